;; An agent that imports what no agent gets unless it is granted: outgoing HTTP. It is to be refused at load, by that name,
;; before anything is compiled. It is a whole agent besides: with the import linked, `run` would be complete at once.
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

  (import "wasi:http/types@0.2.12" (instance $http
    (export "outgoing-request" (type (sub resource)))
    (export "request-options" (type (sub resource)))
    (export "future-incoming-response" (type (sub resource)))))
  (alias export $http "outgoing-request" (type $request))
  (alias export $http "request-options" (type $options))
  (alias export $http "future-incoming-response" (type $response))
  ;; The error's type is left out: the name alone decides.
  (import "wasi:http/outgoing-handler@0.2.12" (instance
    (alias outer 1 $request (type $outer-request))
    (export "outgoing-request" (type $request (eq $outer-request)))
    (alias outer 1 $options (type $outer-options))
    (export "request-options" (type $options (eq $outer-options)))
    (alias outer 1 $response (type $outer-response))
    (export "future-incoming-response" (type $response (eq $outer-response)))
    (export "handle" (func
      (param "request" (own $request))
      (param "options" (option (own $options)))
      (result (result (own $response)))))))

  (core module $code
    (memory (export "memory") 1)
    (global $free (mut i32) (i32.const 1024))
    ;; Lowers the arguments; nothing is ever freed.
    (func (export "realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
      (local $place i32)
      (local.set $place (i32.and
        (i32.add (global.get $free) (i32.sub (local.get $align) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get $align))))
      (global.set $free (i32.add (local.get $place) (local.get $size)))
      (local.get $place))
    ;; Sixteen bytes of zeros: ok, complete, no output.
    (func (export "run") (param i32 i32 i32 i32 i32) (result i32)
      (i32.const 0)))
  (core instance $code (instantiate $code))
  (alias core export $code "run" (core func $core-run))
  (alias core export $code "realloc" (core func $realloc))
  (alias core export $code "memory" (core memory $memory))
  (func $run (param "task" $task) (param "resumed" (option (list u8))) (result (result $outcome (error $failure)))
    (canon lift
      (core func $core-run)
      (memory $memory)
      (realloc $realloc)
      string-encoding=utf8))
  (export "run" (func $run)))
