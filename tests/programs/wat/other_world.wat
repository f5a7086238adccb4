;; A component of another world: it imports nothing and exports a function that no agent has, and no `run`.
(component
  (core module $code
    (func (export "answer") (result i32) (i32.const 42)))
  (core instance $code (instantiate $code))
  (alias core export $code "answer" (core func $core-answer))
  (func $answer (result u32) (canon lift (core func $core-answer)))
  (export "answer" (func $answer)))
