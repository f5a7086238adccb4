//! Limits: each ends in its named fault, and traps in theirs.

use crate::{
    door::ScriptedDoor,
    program::{agent, component, module},
    stage::{HOST, run, run_with},
};
use remit_abi::{AccountId, BudgetReply, Fault, Party, Reply, Start, limits::Limits};
use std::sync::Arc;

/// Runs a guest that must end in a fault, and looks at its text.
fn check_fault(component: &[u8], limits: Limits, is: impl Fn(&Fault) -> bool, says: &str) {
    let exit = run_with(component, &Arc::new(ScriptedDoor::new(1_000)), limits, Start::default());
    let fault = exit.end.expect_err("it ends in a fault");
    assert!(is(&fault) && fault.to_string().contains(says), "{fault:?}");
    assert!(!fault.to_string().contains('\n'), "one line: {fault}");
    assert_eq!(exit.fuel, None);
}

fn is_limit(fault: &Fault) -> bool {
    matches!(fault, Fault::Limit(_)) && fault.party() == Party::Guest
}

fn is_trap(fault: &Fault) -> bool {
    matches!(fault, Fault::Trap(_))
}

#[test]
fn traps_say_what_happened() {
    let default = Limits::default();
    check_fault(&agent("", "unreachable"), default, is_trap, "unreachable");
    check_fault(&agent("", "(drop (i32.load (i32.const -4)))"), default, is_trap, "out of bounds memory access");
    check_fault(&agent("", "(drop (i32.div_u (i32.const 1) (i32.const 0)))"), default, is_trap, "divide by zero");
}

#[test]
fn memory_stops_at_its_limit() {
    let limits = Limits { memory_bytes_max: 4 << 20, ..Limits::default() };
    // As an allocator does it: grow until the answer is no, then give up.
    let bomb =
        agent("", "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable");
    check_fault(&bomb, limits, is_limit, "4194304 bytes");
    let less_than_a_page = Limits { memory_bytes_max: 1 << 10, ..Limits::default() };
    check_fault(&agent("", ""), less_than_a_page, is_limit, "1024 bytes");
}

#[test]
fn a_guest_that_takes_no_for_an_answer_goes_on() {
    let asks = "(if (i32.ne (memory.grow (i32.const 5000)) (i32.const -1)) (then unreachable))
        (if (i32.ne (memory.grow (i32.const 65536)) (i32.const -1)) (then unreachable))";
    assert!(run(&agent("", asks), &Arc::new(ScriptedDoor::new(10))).end.is_ok());
}

#[test]
fn a_component_that_wants_more_memory_than_any_agent_has_is_refused() {
    let text = module("", "").replace("(memory (export \"memory\") 1)", "(memory (export \"memory\") 5000)");
    let error = HOST.load(&component(&text), &[]).expect_err("it does not fit").to_string();
    assert!(error.contains("does not fit"), "{error}");
}

#[test]
fn tables_stop_at_their_limit() {
    let grow = |elements: u32| {
        let asks = format!("(table.grow $t (ref.null func) (i32.const {elements}))");
        let text = module("", &format!("(if (i32.eq {asks} (i32.const -1)) (then unreachable))"));
        component(&text.replace("(memory (export", "(table $t 0 funcref) (memory (export"))
    };
    let limits = Limits { table_elements_max: 1000, ..Limits::default() };
    assert!(run_with(&grow(900), &Arc::new(ScriptedDoor::new(10)), limits, Start::default()).end.is_ok());
    check_fault(&grow(2000), limits, is_limit, "1000 elements");
}

#[test]
fn recursion_stops_at_the_stacks_end() {
    let deep = "(func $deep (param i32) (result i32) (i32.add (call $deep (local.get 0)) (i32.const 1)))";
    let text = module("", "(drop (call $deep (i32.const 0)))");
    let text = text.replace("(func $realloc", &format!("{deep} (func $realloc"));
    check_fault(&component(&text), Limits::default(), is_limit, "stack");
}

const OWN_ACCOUNT: &str = r#"(import "remit:kernel/budget@0.1.0" "own-account" (func $own_account (result i32)))"#;

#[test]
fn handles_stop_at_their_limit() {
    let hoard = agent(OWN_ACCOUNT, "(loop $again (drop (call $own_account)) (br $again))");
    let limits = Limits { objects_max: 100, ..Limits::default() };
    let account = BudgetReply::Account(AccountId { index: 1, generation: 1 });
    let door = ScriptedDoor::new(1_000).scripted(move |_| Some(Reply::Budget(Ok(account.clone()))));
    let door = Arc::new(door);
    let fault = run_with(&hoard, &door, limits, Start::default()).end.expect_err("it hoards");
    assert!(is_limit(&fault) && fault.to_string().contains("400 handles"), "{fault:?}");
    assert!((399..=401).contains(&door.asked().len()), "{}", door.asked().len());
}

const LOG: &str = r#"(import "remit:kernel/trace@0.1.0" "log" (func $log (param i32 i32 i32)))"#;

#[test]
fn one_call_brings_in_so_much_and_no_more() {
    let flood = format!(
        "(drop (memory.grow (i32.const 400))) (call $log (i32.const 2) (i32.const 0) (i32.const {}))",
        21 << 20
    );
    check_fault(&agent(LOG, &flood), Limits::default(), is_limit, "one call may bring in");
}

#[test]
fn what_breaks_the_canonical_abi_is_a_protocol_fault() {
    let is_protocol = |fault: &Fault| matches!(fault, Fault::Protocol(_));
    let not_utf8 =
        "(i32.store8 (i32.const 16) (i32.const 0xff)) (call $log (i32.const 2) (i32.const 16) (i32.const 1))";
    check_fault(&agent(LOG, not_utf8), Limits::default(), is_protocol, "utf-8");
    let outside = "(call $log (i32.const 2) (i32.const -16) (i32.const 8))";
    check_fault(&agent(LOG, outside), Limits::default(), is_protocol, "bounds");
    let no_level = "(call $log (i32.const 99) (i32.const 0) (i32.const 0))";
    check_fault(&agent(LOG, no_level), Limits::default(), is_protocol, "discriminant");
}

#[test]
fn a_start_function_that_never_ends_is_paid_like_anything_else() {
    let start = "(func $start (loop $again (br $again))) (start $start) (func $realloc";
    let text = module("", "").replace("(func $realloc", start);
    let exit = run(&component(&text), &Arc::new(ScriptedDoor::new(5)));
    assert!(matches!(exit.end, Err(Fault::BudgetExhausted(_))), "{exit:?}");
}
