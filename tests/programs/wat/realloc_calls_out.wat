;; An agent that calls the kernel back while the host lowers its task: its allocator writes a log line. The component model
;; lets nobody leave an instance meanwhile: `Fault::Trap`, and nothing is in the log.
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

  (import "remit:kernel/trace@0.1.0" (instance $trace
    (type $level' (enum "trace" "debug" "info" "warn" "error"))
    (export "level" (type $level (eq $level')))
    (export "log" (func (param "level" $level) (param "message" string)))))
  (alias export $trace "log" (func $log))

  ;; The memory that `log` reads is there before the code that calls it.
  (core module $memory
    (memory (export "memory") 1))
  (core instance $memory (instantiate $memory))
  (alias core export $memory "memory" (core memory $memory))
  (core func $core-log (canon lower (func $log) (memory $memory) string-encoding=utf8))

  (core module $code
    (import "kernel" "log" (func $log (param i32 i32 i32)))
    (import "kernel" "memory" (memory 1))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (call $log (i32.const 2) (i32.const 0) (i32.const 0))
      (i32.const 1024))
    ;; Sixteen bytes of zeros: ok, complete, no output.
    (func (export "run") (param i32 i32 i32 i32 i32) (result i32)
      (i32.const 0)))
  (core instance $code (instantiate $code (with "kernel" (instance
    (export "memory" (memory $memory))
    (export "log" (func $core-log))))))
  (alias core export $code "run" (core func $core-run))
  (alias core export $code "realloc" (core func $realloc))
  (func $run (param "task" $task) (param "resumed" (option (list u8))) (result (result $outcome (error $failure)))
    (canon lift
      (core func $core-run)
      (memory $memory)
      (realloc $realloc)
      string-encoding=utf8))
  (export "run" (func $run)))
