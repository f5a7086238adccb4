//! Fuel: bought in slices, the same on every run, exact at a normal end.

use crate::{
    door::ScriptedDoor,
    program::{EMIT, EMIT_IMPORT, agent, spin},
    stage::run,
};
use remit_abi::{Exit, Fault, Fuel, Outcome, Status, limits::FUEL_SLICE};
use std::{sync::Arc, sync::atomic::Ordering, time::Duration};

const COMPLETE: Outcome = Outcome { status: Status::Complete, output: None };

#[test]
fn fuel_is_the_same_whatever_the_timing() {
    let work = format!("{}{EMIT}{}{EMIT}{}", spin(3_000_000), spin(1_000_000), spin(100));
    let component = agent(EMIT_IMPORT, &work);
    let mut seen = Vec::new();
    for delay_ms in [0, 1, 3, 0, 7] {
        let mut door = ScriptedDoor::new(1_000);
        if delay_ms > 0 {
            door = door.delayed(Duration::from_millis(delay_ms));
        }
        let door = Arc::new(door);
        let exit = run(&component, &door);
        assert_eq!(exit.end, Ok(Ok(COMPLETE)));
        seen.push((exit.fuel.expect("a normal end is counted"), door.slices_sold.load(Ordering::Relaxed)));
    }
    let (Fuel(fuel), slices) = seen[0];
    assert!(seen.iter().all(|run| *run == seen[0]), "{seen:?}");
    assert!(fuel > 4_000_000, "the work was done: {fuel}");
    assert_eq!(slices, fuel / FUEL_SLICE.0 + 1, "every slice was bought before it was used: {fuel}");
}

#[test]
fn a_guest_that_spins_stops_when_its_slices_are_used_up() {
    let component = agent("", "(loop $again (br $again))");
    for slices in [1, 2, 20] {
        let door = Arc::new(ScriptedDoor::new(slices));
        let exit = run(&component, &door);
        assert!(matches!(exit, Exit { end: Err(Fault::BudgetExhausted(_)), fuel: None }), "{exit:?}");
        assert_eq!(door.slices_sold.load(Ordering::Relaxed), slices);
    }
}

#[test]
fn nothing_runs_where_the_first_slice_cannot_be_paid() {
    let door = Arc::new(ScriptedDoor::new(0));
    let exit = run(&agent(EMIT_IMPORT, EMIT), &door);
    assert!(matches!(exit, Exit { end: Err(Fault::BudgetExhausted(_)), fuel: Some(Fuel(0)) }), "{exit:?}");
    assert_eq!(door.asked(), []);
}

#[test]
fn bulk_memory_costs_a_unit_a_byte() {
    let fill = |bytes: u32| agent("", &format!("(memory.fill (i32.const 0) (i32.const 0) (i32.const {bytes}))"));
    let used = |bytes| {
        let exit = run(&fill(bytes), &Arc::new(ScriptedDoor::new(10)));
        exit.fuel.unwrap_or_else(|| panic!("{:?}", exit.end)).0
    };
    assert_eq!(used(60_000) - used(50_000), 10_000);
}
