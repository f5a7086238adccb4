;; A core module, where a component is expected.
(module
  (func (export "run") (result i32) (i32.const 0)))
