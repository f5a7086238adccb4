//! Guests: core modules written by hand, made components of the world `agent`.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A component of a core module in text.
pub(crate) fn component(module: &str) -> Vec<u8> {
    let mut module = wat::parse_str(module).unwrap_or_else(|error| panic!("the module is wrong: {error}\n{module}"));
    let mut resolve = Resolve::default();
    // Tests run in their package's folder.
    let (package, _) = resolve.push_dir("../../wit").expect("our WIT parses");
    let world = resolve.select_world(&[package], Some("agent")).expect("it has the world");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("the world fits the module");
    let mut encoder = ComponentEncoder::default().validate(true).module(&module).expect("the module fits the world");
    encoder.encode().expect("it is a component")
}

/// The text of a module whose `run` does `body` and then returns the 16 zero bytes at 1024, which say "complete". There is
/// a bump allocator above 8192, `$task`, `$task_length` are the conversation.
pub(crate) fn module(imports: &str, body: &str) -> String {
    format!(
        r#"(module
  {imports}
  (memory (export "memory") 1)
  (global $heap (mut i32) (i32.const 8192))
  (func $realloc (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
    (global.set $heap (i32.add (local.get $at) (local.get $size)))
    (local.get $at))
  (func (export "run") (param $task i32) (param $task_length i32) (param $resumed i32) (param $state i32)
    (param $state_length i32) (result i32)
    (local $i i32) (local $j i64) (local $handle i32)
    {body}
    (i32.const 1024)))"#
    )
}

/// An agent: [`module`], made a component.
pub(crate) fn agent(imports: &str, body: &str) -> Vec<u8> {
    component(&module(imports, body))
}

/// Counts to `rounds` in a loop, 5 units of fuel a round.
pub(crate) fn spin(rounds: u64) -> String {
    format!(
        "(local.set $j (i64.const {rounds}))
         (loop $again
           (local.set $j (i64.sub (local.get $j) (i64.const 1)))
           (br_if $again (i64.ne (local.get $j) (i64.const 0))))"
    )
}

/// Imports `task.emit`; [`EMIT`] calls it.
pub(crate) const EMIT_IMPORT: &str = r#"(import "remit:kernel/task@0.1.0" "emit"
  (func $emit (param i32 i64 i32 i64 i32 i32 i32)))"#;

/// Shows four zero bytes as text; what the door says goes to 2048.
pub(crate) const EMIT: &str = "(call $emit (i32.const 0) (i64.const 0) (i32.const 512) (i64.const 4) (i32.const 0)
  (i32.const 0) (i32.const 2048))";

/// An argument of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Arg {
    /// A number, or an address.
    I(i32),
    /// A long number.
    L(i64),
    /// What lies at an address, for example a handle that a call before left there.
    At(i32),
}

/// Calls an import.
pub(crate) fn call(name: &str, arguments: &[Arg]) -> String {
    let mut text = format!("(call ${name}");
    for argument in arguments {
        text.push_str(&match argument {
            Arg::I(number) => format!(" (i32.const {number})"),
            Arg::L(number) => format!(" (i64.const {number})"),
            Arg::At(address) => format!(" (i32.load (i32.const {address}))"),
        });
    }
    text.push(')');
    text
}

/// Calls an import that returns a number, and leaves the number at an address.
pub(crate) fn keep(address: i32, name: &str, arguments: &[Arg]) -> String {
    format!("(i32.store (i32.const {address}) {})", call(name, arguments))
}

/// Calls an import that returns a long number, and leaves the number at an address.
pub(crate) fn keep_long(address: i32, name: &str, arguments: &[Arg]) -> String {
    format!("(i64.store (i32.const {address}) {})", call(name, arguments))
}

/// Leaves a number at an address.
pub(crate) fn put(address: i32, number: i32) -> String {
    format!("(i32.store (i32.const {address}) (i32.const {number}))")
}
