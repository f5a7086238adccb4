//! Places for instances: whoever finds none stands in line, in order, for nothing, and not for ever.

use crate::{
    door::ScriptedDoor,
    program::{EMIT, EMIT_IMPORT, agent, component, module},
    stage::{begin, block_on, config, pid},
};
use futures::{FutureExt, future::BoxFuture};
use remit_abi::{Exit, Fault, Fuel, Party, Pid, Start, limits::Limits};
use remit_host::{Host, Image};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

const SPIN: &str = "(loop $again (br $again))";

/// A host of few places, and guests that a test plays with its own hands: they are polled here, so that it decides who comes first.
struct House {
    host: Host,
    _folder: tempfile::TempDir,
}

/// A guest that is polled by hand.
struct Played {
    pid: Pid,
    door: Arc<ScriptedDoor>,
    exit: BoxFuture<'static, Exit>,
}

impl House {
    fn of(places: u32, place_wait_max: Duration) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut config = config(folder.path().join("code"));
        config.instances_max = places;
        config.place_wait_max = place_wait_max;
        Self { host: Host::new(config).expect("a small host starts anywhere"), _folder: folder }
    }

    fn new(places: u32) -> Self {
        Self::of(places, Duration::from_secs(3600))
    }

    fn load(&self, component: &[u8]) -> Arc<Image> {
        self.host.load(component, &[]).expect("the component is an agent")
    }

    /// Starts a guest and gives it one turn.
    fn start(&self, component: &[u8]) -> Played {
        let (pid, door) = (pid(), Arc::new(ScriptedDoor::new(u64::MAX)));
        let image = self.load(component);
        let exit = self.host.run(door.clone(), pid, image, Limits::default(), Start::default()).boxed();
        let mut played = Played { pid, door, exit };
        assert_eq!(played.turn(), None, "it ends later");
        played
    }

    /// One that takes its places and keeps them.
    fn holder(&self) -> Played {
        let holder = self.start(&agent("", SPIN));
        assert!(holder.is_in(), "a place is free");
        holder
    }

    /// One that finds no place, and would end at once if it had one.
    fn waiter(&self) -> Played {
        let waiter = self.start(&agent("", ""));
        assert!(!waiter.is_in(), "no place is free");
        waiter
    }
}

impl Played {
    fn turn(&mut self) -> Option<Exit> {
        (&mut self.exit).now_or_never()
    }

    /// Whether anything was paid for it.
    fn is_in(&self) -> bool {
        self.door.slices_sold.load(Ordering::Relaxed) > 0
    }

    fn ends(self) -> Exit {
        block_on(self.exit)
    }

    fn ends_well(self) {
        let exit = self.ends();
        assert!(exit.end.is_ok(), "{exit:?}");
    }
}

#[test]
fn twenty_starts_share_two_places_and_all_end_well() {
    let house = House::new(2);
    let image = house.load(&agent(EMIT_IMPORT, EMIT));
    let door = || Arc::new(ScriptedDoor::new(10).delayed(Duration::from_millis(1)));
    let running: Vec<_> = (0..20).map(|_| begin(&house.host, door(), pid(), image.clone())).collect();
    for guest in running {
        let exit = block_on(guest);
        assert!(exit.end.is_ok(), "{exit:?}");
    }
}

#[test]
fn who_came_first_has_the_first_place() {
    let house = House::new(1);
    let holder = house.holder();
    let (first, mut second, mut third) = (house.waiter(), house.waiter(), house.waiter());
    drop(holder);
    assert_eq!((third.turn(), second.turn()), (None, None));
    let mut late = house.waiter();
    first.ends_well();
    assert_eq!((late.turn(), third.turn()), (None, None));
    second.ends_well();
    assert_eq!(late.turn(), None);
    third.ends_well();
    late.ends_well();
}

#[test]
fn who_is_killed_or_dropped_in_line_leaves_it_at_once() {
    let house = House::new(1);
    let holder = house.holder();
    let (killed, dropped, last) = (house.waiter(), house.waiter(), house.waiter());
    house.host.kill(killed.pid);
    let door = killed.door.clone();
    assert_eq!(killed.ends(), Exit { end: Err(Fault::Killed), fuel: Some(Fuel(0)) });
    assert_eq!(door.slices_sold.load(Ordering::Relaxed), 0, "standing in line costs nothing");
    drop(dropped);
    drop(holder);
    last.ends_well();
}

#[test]
fn who_goes_when_called_hands_the_place_on() {
    let house = House::new(1);
    let holder = house.holder();
    let (called, next) = (house.waiter(), house.waiter());
    drop(holder);
    drop(called);
    next.ends_well();
}

#[test]
fn who_is_suspended_in_line_lets_others_by() {
    let house = House::new(1);
    let holder = house.holder();
    let (mut suspended, next) = (house.waiter(), house.waiter());
    house.host.suspend(suspended.pid);
    drop(holder);
    assert_eq!(suspended.turn(), None);
    next.ends_well();
    house.host.resume(suspended.pid);
    suspended.ends_well();
}

#[test]
fn nobody_stands_in_line_for_ever() {
    let house = House::of(1, Duration::ZERO);
    let holder = house.holder();
    let waiter = house.waiter();
    let door = waiter.door.clone();
    let exit = waiter.ends();
    let fault = exit.end.expect_err("nobody gives up a place");
    assert!(fault.party() == Party::Host && fault.to_string().contains("instances_max"), "{fault:?}");
    assert_eq!((exit.fuel, door.slices_sold.load(Ordering::Relaxed)), (Some(Fuel(0)), 0));
    drop(holder);
    let next = block_on(begin(&house.host, Arc::new(ScriptedDoor::new(10)), pid(), house.load(&agent("", ""))));
    assert!(next.end.is_ok(), "{next:?}");
}

#[test]
fn a_guest_with_many_tables_takes_several_places() {
    let tables = "(table 1 funcref) (table 1 funcref) (table 1 funcref) (table 1 funcref) (memory (export";
    let large = |body| component(&module("", body).replace("(memory (export", tables));
    let house = House::new(2);
    let holder = house.start(&large(SPIN));
    assert!(holder.is_in());
    let small = house.waiter();
    drop(holder);
    small.ends_well();
    let holder = house.holder();
    let (next, mut small) = (house.start(&large("")), house.waiter());
    assert!(!next.is_in());
    assert_eq!(small.turn(), None, "one place is free, and who stands before it needs two");
    drop(holder);
    next.ends_well();
    small.ends_well();
}

#[test]
fn whoever_looks_is_told_how_many_stand_in_line() {
    let house = House::new(1);
    let mut lacks = house.host.lacks_places().boxed();
    let holder = house.holder();
    assert_eq!((&mut lacks).now_or_never(), None);
    let (first, second) = (house.waiter(), house.waiter());
    assert_eq!(block_on(lacks), 2);
    drop(holder);
    first.ends_well();
    second.ends_well();
    assert_eq!(house.host.lacks_places().now_or_never(), None);
}
