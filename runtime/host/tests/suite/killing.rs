//! Kills, drops and the host's own end: a guest stops whether it runs or waits.

use crate::{
    door::ScriptedDoor,
    program::{EMIT, EMIT_IMPORT, agent},
    stage::{HOST, begin, block_on, host, load, pid},
};
use remit_abi::{Exit, Fault};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

const SPIN: &str = "(loop $again (br $again))";

/// Kills a guest that is under way; it must end at once.
fn check_kill(component: &[u8], door: ScriptedDoor) {
    let pid = pid();
    let (door, watch) = door.watched();
    let running = begin(&HOST, Arc::new(door), pid, load(component));
    watch.until_under_way();
    let killed = Instant::now();
    HOST.kill(pid);
    let exit = block_on(running);
    assert_eq!(exit, Exit { end: Err(Fault::Killed), fuel: None });
    assert!(killed.elapsed() < Duration::from_millis(500), "{:?}", killed.elapsed());
}

#[test]
fn a_guest_that_spins_is_killed() {
    check_kill(&agent("", SPIN), ScriptedDoor::new(u64::MAX));
}

#[test]
fn a_guest_that_waits_is_killed() {
    check_kill(&agent(EMIT_IMPORT, EMIT), ScriptedDoor::new(10).delayed(Duration::from_secs(3600)));
}

#[test]
fn a_kill_of_nobody_is_nothing() {
    HOST.kill(pid());
}

#[test]
fn a_guest_whose_answer_nobody_awaits_is_stopped() {
    let (door, watch) = ScriptedDoor::new(u64::MAX).watched();
    let running = begin(&HOST, Arc::new(door), pid(), load(&agent("", SPIN)));
    watch.until_under_way();
    drop(running);
    watch.until_gone();
}

#[test]
fn one_process_has_one_call_at_a_time() {
    let pid = pid();
    let image = load(&agent("", SPIN));
    let door = Arc::new(ScriptedDoor::new(u64::MAX));
    let first = begin(&HOST, door.clone(), pid, image.clone());
    let second = block_on(begin(&HOST, door.clone(), pid, image.clone()));
    assert!(matches!(&second.end, Err(Fault::Host(text)) if text.contains("runs already")), "{second:?}");
    HOST.kill(pid);
    assert_eq!(block_on(first).end, Err(Fault::Killed), "the second start left the first one alone");
    let door = Arc::new(ScriptedDoor::new(3));
    let third = block_on(begin(&HOST, door, pid, image));
    assert!(matches!(third.end, Err(Fault::BudgetExhausted(_))), "its place is free again: {third:?}");
}

#[test]
fn a_host_that_ends_takes_its_guests_along() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let host = host(folder.path().join("code"));
    let guests = [
        (agent("", SPIN), ScriptedDoor::new(u64::MAX)),
        (agent(EMIT_IMPORT, EMIT), ScriptedDoor::new(10).delayed(Duration::from_secs(3600))),
    ];
    let running = guests.map(|(component, door)| {
        let image = host.load(&component, &[]).expect("it is an agent");
        let (door, watch) = door.watched();
        let running = begin(&host, Arc::new(door), pid(), image);
        watch.until_under_way();
        running
    });
    drop(host);
    for guest in running {
        assert_eq!(block_on(guest).end, Err(Fault::Killed));
    }
}
