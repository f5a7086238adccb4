//! What a process that is suspended or frozen called tools for and has not begun waits until it goes on; what runs goes on at once. So it
//! is also where a host ends meanwhile.

use crate::{
    fakes::{Given, Guest, TENANT, TestNode, done},
    tool::user,
};
use remit_abi::{Exit, Pid};
use remit_kernel::{Selection, ports::Change};
use std::collections::BTreeSet;

/// What holds a process, and lets it go.
#[derive(Clone, Copy, Debug)]
enum Holds {
    Suspension,
    FreezeOfItsPackage,
    FreezeOfItsTenant,
}

impl Holds {
    const ALL: [Self; 3] = [Self::Suspension, Self::FreezeOfItsPackage, Self::FreezeOfItsTenant];

    fn hold(self, node: &TestNode, pid: Pid) {
        match self {
            Self::Suspension => assert!(node.kernel.suspend(pid)),
            Self::FreezeOfItsPackage => assert_eq!(node.kernel.freeze(&Selection::Package("held".into())), 1),
            Self::FreezeOfItsTenant => assert!(node.kernel.freeze(&Selection::Tenant(TENANT)) >= 1),
        }
    }

    fn let_go(self, node: &TestNode, pid: Pid) {
        match self {
            Self::Suspension => assert!(node.kernel.resume(pid)),
            Self::FreezeOfItsPackage => assert_eq!(node.kernel.thaw(&Selection::Package("held".into())), 1),
            Self::FreezeOfItsTenant => assert!(node.kernel.thaw(&Selection::Tenant(TENANT)) >= 1),
        }
    }
}

/// Has as many calls run as may of its tenant, and takes nothing of what comes of them.
async fn fills(guest: Guest) -> Exit {
    for _ in 0..16 {
        guest.use_tool("send", "{\"slow\":1}").await;
    }
    std::future::pending().await
}

/// Calls a tool once.
async fn calls(guest: Guest) -> Exit {
    let call = guest.use_tool("send", "{}").await;
    guest.came(call).await.expect("something comes of it").expect("it is done");
    done()
}

/// Calls a tool once that may be done twice, and that takes its time.
async fn calls_slowly(guest: Guest) -> Exit {
    let call = guest.use_tool("set", "{\"slow\":1}").await;
    guest.came(call).await.expect("something comes of it").expect("it is done");
    done()
}

fn of(package: &'static str) -> Given {
    Given { package, ..user() }
}

fn begun(node: &TestNode) -> BTreeSet<u64> {
    node.tools.begun.lock().iter().map(|job| job.number).collect()
}

fn returned(node: &TestNode) -> usize {
    let changes = node.journal.memory.records().into_iter().flat_map(|record| record.changes);
    changes.filter(|change| matches!(change, Change::ToolReturned { .. })).count()
}

#[tokio::test]
async fn a_call_in_line_of_one_that_is_held_does_not_begin_and_lets_others_by() {
    for holds in Holds::ALL {
        let node = TestNode::new();
        let fills_it = tokio::spawn(node.spawn(of("fills"), fills).finished);
        node.settle().await;
        let held = node.spawn(of("held"), calls);
        node.settle().await;
        holds.hold(&node, held.pid);
        let others = !matches!(holds, Holds::FreezeOfItsTenant);
        let other = others.then(|| tokio::spawn(node.spawn(of("other"), calls).finished));
        node.settle().await;
        node.tools.release();
        node.settle().await;
        let mut expect: BTreeSet<u64> = (1..=16).collect();
        expect.extend(others.then_some(18));
        assert_eq!(begun(&node), expect, "{holds:?}");
        let again = TestNode::after(node.journal.memory.up_to(node.journal.memory.end()));
        holds.let_go(&node, held.pid);
        assert!(node.kernel.process(held.pid).is_some(), "{holds:?}");
        held.finished.await;
        assert!(begun(&node).contains(&17), "{holds:?}");
        if let Some(other) = other {
            other.await.expect("it was let by");
        }
        fills_it.abort();
        // The same where the host ended meanwhile.
        again.install("fills", fills);
        again.install("held", calls);
        let resumed = again.kernel.recover().expect("it can be read").go_on().await;
        again.settle().await;
        assert_eq!(begun(&again), BTreeSet::new(), "{holds:?}");
        holds.let_go(&again, held.pid);
        again.settle().await;
        assert_eq!(begun(&again), BTreeSet::from([17]), "{holds:?}");
        drop(resumed);
    }
}

#[tokio::test]
async fn a_call_that_runs_goes_on_and_is_done_again_only_when_its_caller_goes_on() {
    for holds in Holds::ALL {
        let node = TestNode::new();
        let held = node.spawn(of("held"), calls_slowly);
        node.settle().await;
        holds.hold(&node, held.pid);
        node.settle().await;
        let again = TestNode::after(node.journal.memory.up_to(node.journal.memory.end()));
        node.tools.release();
        node.settle().await;
        assert_eq!(returned(&node), 1, "{holds:?}: what came of it is written down");
        assert!(node.kernel.process(held.pid).is_some(), "{holds:?}: and it is not told");
        let keys = node.tools.keys_of("set");
        holds.let_go(&node, held.pid);
        held.finished.await;
        again.install("held", calls_slowly);
        let mut resumed = again.kernel.recover().expect("it can be read").go_on().await;
        again.settle().await;
        assert_eq!(begun(&again), BTreeSet::new(), "{holds:?}");
        holds.let_go(&again, held.pid);
        again.settle().await;
        assert_eq!(again.tools.keys_of("set"), keys, "{holds:?}");
        again.tools.release();
        resumed.pop().expect("it lives").finished.await;
    }
}
