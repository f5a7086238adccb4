;; An agent that uses what every standard library imports: it asks for a socket, prints what came of it, and leaves by `exit` instead
;; of returning. The socket is denied, the line goes to its log, and leaving so is `Fault::Protocol`.
(component
  (import "remit:kernel/types@0.1.0" (instance $types
    (type $role' (enum "system" "user" "assistant"))
    (export "role" (type (eq $role')))))
  (import "remit:kernel/value@0.1.0" (instance $value
    (export "value" (type (sub resource)))))
  (alias export $types "role" (type $role))
  (alias export $value "value" (type $a-value))
  (import "remit:kernel/task@0.1.0" (instance $tasks
    (alias outer 1 $role (type $outer-role))
    (export "role" (type $role (eq $outer-role)))
    (alias outer 1 $a-value (type $outer-value))
    (export "value" (type $value (eq $outer-value)))
    (type $own (own $value))
    (type $input' (record (field "role" $role) (field "content" $own)))
    (export "input" (type $input (eq $input')))
    (type $conversation (list $input))
    (type $task' (record (field "conversation" $conversation)))
    (export "task" (type (eq $task')))
    (type $status' (enum "complete" "partial"))
    (export "status" (type $status (eq $status')))
    (type $output (option $own))
    (type $outcome' (record (field "status" $status) (field "output" $output)))
    (export "outcome" (type (eq $outcome')))
    (type $failure' (record (field "message" string) (field "retryable" bool)))
    (export "failure" (type (eq $failure')))))
  (alias export $tasks "task" (type $tasks-task))
  (alias export $tasks "outcome" (type $tasks-outcome))
  (alias export $tasks "failure" (type $tasks-failure))
  (import "agent-task" (type $task (eq $tasks-task)))
  (import "outcome" (type $outcome (eq $tasks-outcome)))
  (import "failure" (type $failure (eq $tasks-failure)))

  (import "wasi:io/error@0.2.12" (instance $errors
    (export "error" (type (sub resource)))))
  (alias export $errors "error" (type $an-error))
  (import "wasi:io/streams@0.2.12" (instance $streams
    (export "output-stream" (type $output-stream (sub resource)))
    (alias outer 1 $an-error (type $outer-error))
    (export "error" (type $error (eq $outer-error)))
    (type $own-error (own $error))
    (type $stream-error' (variant (case "last-operation-failed" $own-error) (case "closed")))
    (export "stream-error" (type $stream-error (eq $stream-error')))
    (type $borrowed (borrow $output-stream))
    (type $bytes (list u8))
    (type $written (result (error $stream-error)))
    (export "[method]output-stream.blocking-write-and-flush" (func
      (param "self" $borrowed) (param "contents" $bytes) (result $written)))))
  (alias export $streams "output-stream" (type $output-stream))
  (import "wasi:cli/stdout@0.2.12" (instance $stdout
    (alias outer 1 $output-stream (type $outer-stream))
    (export "output-stream" (type $stream (eq $outer-stream)))
    (type $own-stream (own $stream))
    (export "get-stdout" (func (result $own-stream)))))
  (import "wasi:cli/exit@0.2.12" (instance $leaving
    (type $status (result))
    (export "exit" (func (param "status" $status)))))

  ;; Of an older patch than the host's, as componentize-py has it.
  (import "wasi:sockets/network@0.2.9" (instance $network
    (type $family' (enum "ipv4" "ipv6"))
    (export "ip-address-family" (type (eq $family')))
    (type $code' (enum
      "unknown" "access-denied" "not-supported" "invalid-argument" "out-of-memory" "timeout" "concurrency-conflict"
      "not-in-progress" "would-block" "invalid-state" "new-socket-limit" "address-not-bindable" "address-in-use"
      "remote-unreachable" "connection-refused" "connection-reset" "connection-aborted" "datagram-too-large"
      "name-unresolvable" "temporary-resolver-failure" "permanent-resolver-failure"))
    (export "error-code" (type (eq $code')))))
  (alias export $network "ip-address-family" (type $family))
  (alias export $network "error-code" (type $code))
  (import "wasi:sockets/tcp@0.2.9" (instance $tcp
    (export "tcp-socket" (type (sub resource)))))
  (alias export $tcp "tcp-socket" (type $socket))
  (import "wasi:sockets/tcp-create-socket@0.2.9" (instance $sockets
    (alias outer 1 $family (type $outer-family))
    (export "ip-address-family" (type $family (eq $outer-family)))
    (alias outer 1 $code (type $outer-code))
    (export "error-code" (type $code (eq $outer-code)))
    (alias outer 1 $socket (type $outer-socket))
    (export "tcp-socket" (type $socket (eq $outer-socket)))
    (type $own-socket (own $socket))
    (type $made (result $own-socket (error $code)))
    (export "create-tcp-socket" (func (param "address-family" $family) (result $made)))))

  (core module $room
    (memory (export "memory") 1)
    (data (i32.const 64) "the socket is denied\n")
    (data (i32.const 128) "the socket is open\n")
    (global $free (mut i32) (i32.const 1024))
    (func (export "realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
      (local $place i32)
      (local.set $place (i32.and
        (i32.add (global.get $free) (i32.sub (local.get $align) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get $align))))
      (global.set $free (i32.add (local.get $place) (local.get $size)))
      (local.get $place)))
  (core instance $room (instantiate $room))
  (alias core export $room "memory" (core memory $memory))
  (alias core export $room "realloc" (core func $realloc))
  (core func $create (canon lower (func $sockets "create-tcp-socket") (memory $memory)))
  (core func $get-stdout (canon lower (func $stdout "get-stdout")))
  (core func $write (canon lower (func $streams "[method]output-stream.blocking-write-and-flush") (memory $memory)))
  (core func $exit (canon lower (func $leaving "exit")))

  (core module $code
    (import "room" "memory" (memory 1))
    (import "host" "create" (func $create (param i32 i32)))
    (import "host" "get-stdout" (func $get-stdout (result i32)))
    (import "host" "write" (func $write (param i32 i32 i32 i32)))
    (import "host" "exit" (func $exit (param i32)))
    (func (export "run") (param i32 i32 i32 i32 i32) (result i32)
      (call $create (i32.const 0) (i32.const 256))
      ;; An error, of the second kind.
      (if (i32.and
            (i32.eq (i32.load8_u (i32.const 256)) (i32.const 1))
            (i32.eq (i32.load8_u (i32.const 260)) (i32.const 1)))
        (then (call $write (call $get-stdout) (i32.const 64) (i32.const 21) (i32.const 320)))
        (else (call $write (call $get-stdout) (i32.const 128) (i32.const 19) (i32.const 320))))
      (call $exit (i32.const 1))
      ;; Sixteen bytes of zeros: ok, complete, no output.
      (i32.const 512)))
  (core instance $code (instantiate $code
    (with "room" (instance $room))
    (with "host" (instance
      (export "create" (func $create))
      (export "get-stdout" (func $get-stdout))
      (export "write" (func $write))
      (export "exit" (func $exit))))))
  (alias core export $code "run" (core func $core-run))
  (func $run (param "task" $task) (param "resumed" (option (list u8))) (result (result $outcome (error $failure)))
    (canon lift
      (core func $core-run)
      (memory $memory)
      (realloc $realloc)
      string-encoding=utf8))
  (export "run" (func $run)))
