//! A suspended guest has no turn, keeps all that it has, and can be ended.
//!
//! These hosts have one thread and a queue that is first come, first served: when a guest that came later has ended, every
//! earlier one has had the turn that it was to have.

use crate::{
    door::{ScriptedDoor, Watch},
    program::{EMIT, EMIT_IMPORT, agent, spin},
    stage::{Running, begin, block_on, config, pid},
};
use remit_abi::{Exit, Fault, Outcome, Pid, Reply, Request, Status, limits::FUEL_SLICE};
use remit_host::Host;
use std::{
    sync::{Arc, Mutex, atomic::Ordering, mpsc},
    time::Duration,
};

/// Rounds of a guest that counts for some tenths of a second: longer than a busy machine keeps a test from its turn.
const ROUNDS: u64 = 400_000_000;

const SPIN: &str = "(loop $again (br $again))";

/// A host of one thread, with its cache.
struct Stage {
    host: Host,
    _folder: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut config = config(folder.path().join("code"));
        config.threads = 1;
        Self { host: Host::new(config).expect("a small host starts anywhere"), _folder: folder }
    }

    fn begin(&self, component: &[u8], door: ScriptedDoor) -> Guest {
        let (door, watch) = door.watched();
        let (door, pid) = (Arc::new(door), pid());
        let image = self.host.load(component, &[]).expect("it is an agent");
        let running = begin(&self.host, door.clone(), pid, image);
        Guest { door, watch, pid, running }
    }

    /// Lets everybody who is to have a turn have it.
    fn let_others_run(&self) {
        for _ in 0..3 {
            let other = self.begin(&agent("", ""), ScriptedDoor::new(1));
            assert_complete(&block_on(other.running));
        }
    }
}

struct Guest {
    door: Arc<ScriptedDoor>,
    watch: Watch,
    pid: Pid,
    running: Running,
}

impl Guest {
    fn slices_sold(&self) -> u64 {
        self.door.slices_sold.load(Ordering::Relaxed)
    }
}

fn assert_complete(exit: &Exit) {
    assert_eq!(exit.end, Ok(Ok(Outcome { status: Status::Complete, output: None })));
}

#[test]
fn a_suspended_guest_computes_nothing_and_goes_on_where_it_stood() {
    let stage = Stage::new();
    let counting = agent("", &spin(ROUNDS));
    let alone = block_on(stage.begin(&counting, ScriptedDoor::new(u64::MAX)).running);
    assert_complete(&alone);
    let guest = stage.begin(&counting, ScriptedDoor::new(u64::MAX));
    guest.watch.until_under_way();
    stage.host.suspend(guest.pid);
    stage.let_others_run();
    let sold = guest.slices_sold();
    assert!(sold < ROUNDS * 5 / FUEL_SLICE.0, "it has ended already");
    stage.let_others_run();
    assert_eq!(guest.slices_sold(), sold);
    stage.host.resume(guest.pid);
    assert_eq!(block_on(guest.running), alone, "to the same end, for the same fuel");
}

#[test]
fn a_reply_is_not_delivered_before_the_guest_is_resumed() {
    let stage = Stage::new();
    let door = ScriptedDoor::new(10).delayed(Duration::from_millis(20));
    let guest = stage.begin(&agent(EMIT_IMPORT, EMIT), door);
    guest.watch.until_under_way();
    stage.host.suspend(guest.pid);
    // This one's call takes longer: the other's reply has come before.
    let later = ScriptedDoor::new(10).delayed(Duration::from_millis(60));
    assert_complete(&block_on(stage.begin(&agent(EMIT_IMPORT, EMIT), later).running));
    assert_eq!(guest.door.asked(), [], "the door was not asked again");
    stage.host.resume(guest.pid);
    assert_complete(&block_on(guest.running));
    assert!(matches!(guest.door.asked().as_slice(), [Request::Task(_)]));
}

#[test]
fn a_guest_that_is_suspended_at_once_does_not_begin() {
    let stage = Stage::new();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    // Holds the one thread.
    let blocker = stage.begin(
        &agent(EMIT_IMPORT, EMIT),
        ScriptedDoor::new(1).scripted(move |_| {
            released.lock().expect("no test panics here").recv().expect("the test goes on");
            Some(Reply::Task(Ok(())))
        }),
    );
    blocker.watch.until_under_way();
    let guest = stage.begin(&agent("", ""), ScriptedDoor::new(1));
    stage.host.suspend(guest.pid);
    release.send(()).expect("the blocker listens");
    assert_complete(&block_on(blocker.running));
    stage.let_others_run();
    assert_eq!(guest.slices_sold(), 0);
    stage.host.resume(guest.pid);
    assert_complete(&block_on(guest.running));
}

#[test]
fn a_suspended_guest_can_be_killed_dropped_and_shut_down() {
    let stage = Stage::new();
    let suspended = |component: &[u8], door: ScriptedDoor| {
        let guest = stage.begin(component, door);
        guest.watch.until_under_way();
        stage.host.suspend(guest.pid);
        stage.let_others_run();
        guest
    };
    let killed = suspended(&agent("", SPIN), ScriptedDoor::new(u64::MAX));
    stage.host.kill(killed.pid);
    assert_eq!(block_on(killed.running), Exit { end: Err(Fault::Killed), fuel: None });
    let waiting = ScriptedDoor::new(10).delayed(Duration::from_secs(3600));
    let dropped = suspended(&agent(EMIT_IMPORT, EMIT), waiting);
    drop((dropped.running, dropped.door));
    dropped.watch.until_gone();
    let left = suspended(&agent("", SPIN), ScriptedDoor::new(u64::MAX));
    drop(stage);
    assert_eq!(block_on(left.running).end, Err(Fault::Killed));
}

#[test]
fn who_is_not_suspended_is_not_resumed() {
    let stage = Stage::new();
    stage.host.suspend(pid());
    stage.host.resume(pid());
    let guest = stage.begin(&agent("", ""), ScriptedDoor::new(1));
    stage.host.resume(guest.pid);
    assert_complete(&block_on(guest.running));
}
