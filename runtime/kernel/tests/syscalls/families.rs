//! Parents that are slower than their children, where a host that starts anew tells both again what they were told.

use crate::{
    fakes::{Given, Guest, TestNode, done, grant, tokens},
    guest::{any, plan},
    recovery::{boss, emit, go_on, install, life, undisturbed, worker},
};
use remit_abi::{Event, Exit, Failure, Fuel, GrantKind, WaitId};
use remit_kernel::{MemoryJournal, ports::Position};
use std::{future::Future, sync::Arc};
use tokio::sync::Semaphore;

/// The script, from when on the gate is open: its instance was not there before.
fn late<R>(
    gate: &Arc<Semaphore>,
    script: impl Fn(Guest) -> R + Clone + Send + Sync + 'static,
) -> impl Fn(Guest) -> futures::future::BoxFuture<'static, Exit> + Clone + Send + Sync + 'static
where
    R: Future<Output = Exit> + Send + 'static,
{
    let gate = gate.clone();
    move |guest| {
        let (gate, script) = (gate.clone(), script.clone());
        Box::pin(async move {
            // A closed semaphore lets everybody pass.
            let _open = gate.acquire().await;
            script(guest).await
        })
    }
}

#[tokio::test]
async fn a_team_ends_as_ever_whoever_of_it_is_first() {
    let (expected, memory) = undisturbed().await;
    let (born, dead) = life(&memory);
    for at in (born.0..dead.0).map(Position) {
        for is_boss_late in [true, false] {
            let (node, gate) = (TestNode::after(memory.up_to(at)), Arc::new(Semaphore::new(0)));
            install(&node);
            match is_boss_late {
                true => node.install("boss", late(&gate, boss)),
                false => node.install("worker", late(&gate, worker)),
            }
            let came = go_on(&node, || gate.close()).await.expect("it lives");
            assert_eq!(came, expected, "cut at {at}, the boss is late: {is_boss_late}");
        }
    }
}

/// Has a child, sleeps, and shows the signal that it got meanwhile.
async fn parent(guest: Guest) -> Exit {
    let funds = guest.split(tokens(10)).await;
    guest.spawn(plan(guest.take("workers").await, funds)).await.expect("it is installed");
    let timer = guest.timer(1_000).await;
    guest.wait_for(&[WaitId::Timer(timer)]).await;
    emit(&guest, &format!("{:?}", guest.signal().await)).await;
    done()
}

async fn child(guest: Guest) -> Exit {
    guest.receive(any()).await.expect("nobody writes to it");
    done()
}

/// The log of a parent and a child that both wait.
async fn both_wait() -> MemoryJournal {
    let node = TestNode::new();
    node.install("worker", child);
    let grants = vec![grant("workers", GrantKind::Process, &["worker"])];
    let running = node.spawn(Given { package: "parent", grants, budget: tokens(100), ..Given::default() }, parent);
    node.settle().await;
    let memory = node.journal.memory.up_to(node.journal.memory.end());
    drop(running);
    memory
}

#[tokio::test]
async fn a_child_that_fails_before_its_parent_has_found_it_again_is_a_signal() {
    async fn fails(_: Guest) -> Exit {
        let failure = Failure { message: "no such page".into(), retryable: false };
        Exit { end: Ok(Err(failure)), fuel: Some(Fuel(0)) }
    }
    let (node, gate) = (TestNode::after(both_wait().await), Arc::new(Semaphore::new(0)));
    node.install("worker", fails);
    node.install("parent", late(&gate, parent));
    let came = go_on(&node, || {
        gate.close();
        node.clock.advance(1_000_000);
    });
    let shown = came.await.expect("it lives").shown;
    let [Event::Text { text, .. }] = shown.as_slice() else { panic!("it shows one thing: {shown:?}") };
    assert_eq!(text, "Some(ChildFailed)");
}

#[tokio::test]
async fn a_parent_that_is_killed_before_it_has_found_its_child_again_takes_it_along() {
    let (node, gate) = (TestNode::after(both_wait().await), Arc::new(Semaphore::new(0)));
    node.install("worker", child);
    node.install("parent", late(&gate, parent));
    let resumed = node.kernel.recover().expect("it can be read").go_on().await.pop().expect("it lives");
    node.settle().await;
    assert_eq!(node.kernel.processes().len(), 2);
    node.kernel.kill(resumed.pid);
    assert!(resumed.finished.await.refunded > tokens(99), "what the child had comes back");
    node.settle().await;
    assert_eq!(node.kernel.processes().len(), 0);
    assert!(node.kernel.is_conserved());
}
