//! What an operator sees of a node and does to its processes.

use crate::{
    fakes::{Given, Guest, Play, TENANT, done, generate, grant, prompt, tokens},
    guest::{any, message, named, parcel, plan, same},
    stage::{Stage, parent, stranger},
};
use futures::{FutureExt, poll};
use remit_abi::{
    Content, Event, Exit, GrantId, GrantKind, GuestEvent, Label, LlmRequest, Plan, Priority, Reply, Request, Restart,
    Signal, TaskRequest, TenantId, limits::Limits,
};
use remit_kernel::{GiveError, RestartPolicy, Selection, SpawnError, State};
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

#[tokio::test]
async fn a_process_is_shown_as_it_is() {
    let stage = Stage::new();
    let tag = stage.node.kernel.tag(TENANT, "medical").expect("it is the first");
    let secret = Label { tags: tag, ..Label::UNTRUSTED };
    let restart = RestartPolicy::of(Restart::OnFailure);
    let given = Given { name: Some("desk"), package: "clerk", restart, input: vec![("a letter", secret)], ..parent() };
    let alice = stage.start(given).await;
    alice.read(alice.start.conversation[0].content).await;
    let (run, part) = (alice.take("run").await, alice.split(tokens(10)).await);
    let (_, worker) = stage.child(&alice, Plan { priority: Priority::Low, ..plan(run, part) }).await;
    let to_alice = stage.connect(&worker, &alice);
    worker.send(to_alice, message("x", "")).await.expect("there is room");
    let view = stage.node.kernel.process(alice.pid).expect("it lives");
    assert_eq!((&*view.package, view.name.as_deref(), view.parent), ("clerk", Some("desk"), None));
    assert_eq!((view.priority, view.restart, view.restarts), (Priority::Normal, Restart::OnFailure, 0));
    assert_eq!((view.label, view.tags), (secret, vec!["medical".into()]));
    assert_eq!((view.funds, view.remaining), (tokens(1000), tokens(990)));
    assert_eq!((view.messages, view.children, view.grants, view.value_bytes), (1, 1, 2, 8));
    assert_eq!(view.started_ns, 1_000_000_000);
    let view = stage.node.kernel.process(worker.pid).expect("it lives");
    assert_eq!((&*view.package, view.name, view.parent), ("worker", None, Some(alice.pid)));
    assert_eq!((view.priority, view.restart), (Priority::Low, Restart::Never));
    assert_eq!(stage.node.kernel.processes().len(), 2);
}

#[tokio::test]
async fn what_a_process_is_doing_is_shown() {
    let stage = Stage::new();
    let alice = stage.start(parent()).await;
    let state = || stage.node.kernel.process(alice.pid).expect("it lives").state;
    assert_eq!(state(), State::Running);
    {
        let mut receiving = alice.receive(any()).boxed();
        assert!(poll!(&mut receiving).is_pending());
        assert_eq!(state(), State::Waiting("mailbox"));
        stage.node.kernel.suspend(alice.pid);
        assert_eq!(state(), State::Suspended);
        stage.node.kernel.freeze(&Selection::All);
        assert_eq!(state(), State::Frozen);
        stage.node.kernel.thaw(&Selection::All);
        stage.node.kernel.resume(alice.pid);
        assert_eq!(state(), State::Waiting("mailbox"));
    }
    assert_eq!(state(), State::Running, "who gave up waits no more");
    stage.node.engine.plays.lock().push_back(Play::Stalls(&[]));
    let model = alice.open_model().await;
    let mut chatting = alice.llm(LlmRequest::Chat(generate(model, prompt("q"), 5))).boxed();
    assert!(poll!(&mut chatting).is_pending());
    assert_eq!(state(), State::Waiting("llm"));
}

#[tokio::test]
async fn nobody_does_anything_to_a_process_that_has_ended() {
    let stage = Stage::new();
    let alice = stage.start(stranger()).await;
    let (kernel, pid) = (&stage.node.kernel, alice.pid);
    assert!(kernel.cancel(pid) && kernel.suspend(pid) && kernel.resume(pid));
    assert_eq!(alice.signal().await, Some(Signal::Cancel));
    stage.end(alice, done()).await;
    assert!(!kernel.cancel(pid) && !kernel.suspend(pid) && !kernel.resume(pid));
    assert!(kernel.process(pid).is_none());
    kernel.kill(pid);
    assert!(kernel.events(pid).is_none());
}

/// Counts the messages that it gets.
async fn count(guest: Guest, counted: Arc<AtomicU32>) -> Exit {
    while guest.receive(any()).await.is_ok() {
        counted.fetch_add(1, Ordering::SeqCst);
    }
    done()
}

/// Two counters, of tenant 1 and package `red` and of tenant 2 and package `blue`, of which a selection holds the first.
async fn check_freeze(selection: Selection, frozen: [bool; 2]) {
    let stage = Stage::new();
    let mut counters = Vec::new();
    for (tenant, package) in [(1, "red"), (2, "blue")] {
        let (tenant, counted) = (TenantId(tenant), Arc::new(AtomicU32::new(0)));
        let given = || Given { tenant, grants: Vec::new(), ..Given::default() };
        let script = counted.clone();
        let counter = stage.node.spawn(Given { package, ..given() }, move |guest| count(guest, script.clone()));
        // The sender is played, which no freeze holds back.
        let sender = stage.start(given()).await;
        let address = counter.pid.to_string();
        let to = stage.node.kernel.give(sender.pid, grant("to", GrantKind::Mailbox, &[&address])).expect("it lives");
        counters.push((counter, sender, to, counted));
    }
    for (_, sender, to, _) in &counters {
        sender.send(*to, message("before", "")).await.expect("there is room");
    }
    stage.node.settle().await;
    stage.node.kernel.freeze(&selection);
    assert_eq!(stage.node.kernel.frozen(), std::slice::from_ref(&selection));
    for (_, sender, to, _) in &counters {
        sender.send(*to, message("during", "")).await.expect("there is room");
    }
    stage.pass(60_000_000_000).await;
    for ((counter, _, _, counted), frozen) in counters.iter().zip(frozen) {
        assert_eq!(counted.load(Ordering::SeqCst), if frozen { 1 } else { 2 }, "{selection:?}");
        let view = stage.node.kernel.process(counter.pid).expect("it lives");
        assert_eq!((view.state == State::Frozen, view.messages), (frozen, usize::from(frozen)));
    }
    stage.node.kernel.thaw(&selection);
    assert_eq!(stage.node.kernel.frozen(), []);
    stage.node.settle().await;
    for (_, _, _, counted) in &counters {
        assert_eq!(counted.load(Ordering::SeqCst), 2, "it goes on where it stood");
    }
}

#[tokio::test]
async fn nothing_happens_while_everything_is_frozen() {
    check_freeze(Selection::All, [true, true]).await;
}

#[tokio::test]
async fn a_tenant_is_frozen_alone() {
    check_freeze(Selection::Tenant(TenantId(1)), [true, false]).await;
}

#[tokio::test]
async fn a_package_is_frozen_alone() {
    check_freeze(Selection::Package("blue".into()), [false, true]).await;
}

#[tokio::test]
async fn a_component_is_frozen_alone() {
    check_freeze(Selection::Component("digest of blue".into()), [false, true]).await;
}

#[tokio::test]
async fn who_is_frozen_twice_is_thawed_twice() {
    let stage = Stage::new();
    let alice = stage.start(stranger()).await;
    let kernel = &stage.node.kernel;
    let state = || kernel.process(alice.pid).expect("it lives").state;
    let (tenant, package) = (Selection::Tenant(TENANT), Selection::Package("script".into()));
    assert_eq!((kernel.freeze(&tenant), kernel.freeze(&package), kernel.freeze(&tenant)), (1, 1, 1));
    assert_eq!((kernel.thaw(&tenant), state()), (0, State::Frozen));
    assert_eq!((kernel.thaw(&package), state()), (1, State::Running));
}

#[tokio::test]
async fn nobody_is_started_into_a_freeze() {
    let stage = Stage::new();
    stage.node.kernel.freeze(&Selection::Tenant(TENANT));
    let refused = stage.node.try_spawn(stranger(), |_| std::future::pending());
    assert!(matches!(refused.err(), Some(SpawnError::Frozen)));
    let other = Given { tenant: TenantId(2), ..stranger() };
    assert!(stage.node.try_spawn(other, |_| std::future::pending()).is_ok());
    assert!(stage.node.kernel.is_conserved());
}

#[tokio::test]
async fn who_is_started_while_a_freeze_begins_is_frozen() {
    let stage = Stage::new();
    let alice = stage.start(parent()).await;
    let (run, part) = (alice.take("run").await, alice.split(tokens(10)).await);
    let kernel = stage.node.kernel.clone();
    let freeze = move || assert_eq!(kernel.freeze(&Selection::Package("worker".into())), 0, "it is not there yet");
    *stage.node.clock.meanwhile.lock() = Some(Box::new(freeze));
    let child = alice.spawn(plan(run, part)).await.expect("it was asked for before");
    stage.node.settle().await;
    let worker = alice.child_pid(child).await;
    let state = || stage.node.kernel.process(worker).expect("it lives").state;
    assert_eq!(state(), State::Frozen);
    stage.node.kernel.thaw(&Selection::Package("worker".into()));
    assert_eq!(state(), State::Running);
}

#[tokio::test]
async fn a_frozen_process_can_be_killed() {
    let stage = Stage::new();
    let alice = stage.start(stranger()).await;
    stage.node.kernel.freeze(&Selection::All);
    stage.node.kernel.kill(alice.pid);
    let finished = stage.finished(alice).await;
    assert_eq!(stage.assert_empty(), finished.refunded);
}

#[tokio::test]
async fn a_live_process_can_be_given_a_grant() {
    let stage = Stage::new();
    let limits = Limits { grants_max: 1, ..Limits::default() };
    let alice = stage.start(Given { limits, ..stranger() }).await;
    let (kernel, pid) = (&stage.node.kernel, alice.pid);
    let tool = |label: &str| grant(label, GrantKind::Tool, &["search"]);
    let given = kernel.give(pid, tool("tool")).expect("it has room");
    assert_eq!(alice.take("tool").await, given);
    assert_eq!(alice.check(given).await, Ok(()));
    assert!(matches!(kernel.give(pid, tool("tool")), Err(GiveError::LabelTaken(_))));
    assert!(matches!(kernel.give(pid, tool("another")), Err(GiveError::TooMany(1))));
    kernel.revoke(given).expect("it lives");
    let again = kernel.give(pid, tool("tool")).expect("it takes the revoked one's place");
    assert_eq!(alice.take("tool").await, again);
    assert_eq!(alice.check(again).await, Ok(()));
    stage.end(alice, done()).await;
    assert!(matches!(kernel.give(pid, tool("late")), Err(GiveError::NoProcess)));
    stage.assert_empty();
}

#[tokio::test]
async fn the_grants_of_one_process_are_shown_with_what_they_derive_from() {
    let stage = Stage::new();
    let (alice, bob) = (stage.start(parent()).await, stage.start(parent()).await);
    let chat = alice.take("chat").await;
    let lent = alice.attenuate(same(chat, "lent")).await.expect("it holds it");
    let sent = alice.attenuate(same(chat, "sent")).await.expect("it holds it");
    let to_bob = stage.connect(&alice, &bob);
    alice.send(to_bob, parcel("x", vec![named("sent", sent)])).await.expect("there is room");
    let (run, part) = (alice.take("run").await, alice.split(tokens(10)).await);
    let (_, worker) = stage.child(&alice, Plan { grants: vec![named("model", lent)], ..plan(run, part) }).await;
    let seen = |pid| -> Vec<(GrantId, usize, Option<remit_abi::Pid>)> {
        let tree = stage.node.kernel.grant_tree(Some(pid));
        tree.into_iter().map(|view| (view.id, view.depth, view.holder)).collect()
    };
    assert_eq!(seen(worker.pid), [(chat, 0, Some(alice.pid)), (lent, 1, Some(worker.pid))]);
    let all = stage.node.kernel.grant_tree(None);
    let view = |id| all.iter().find(|view| view.id == id).expect("it is there");
    assert_eq!((view(sent).holder, view(sent).parent), (None, Some(chat)), "it lies in a message");
    assert_eq!((&*view(lent).spec.label, view(to_bob).uses), ("model", 1));
    assert_eq!(seen(alice.pid).len(), 3);
    assert_eq!(all.len(), 7, "two of Bob's, three of Alice's, one in a message, one of the child's");
}

fn emit(text: &str) -> Request {
    Request::Task(TaskRequest::Emit(Box::new(GuestEvent::Text(Content::Text(text.into())))))
}

#[tokio::test]
async fn what_a_process_showed_can_be_asked_for_later_and_waited_for() {
    let stage = Stage::new();
    let alice = stage.start(parent()).await;
    let (run, part) = (alice.take("run").await, alice.split(tokens(10)).await);
    let (_, worker) = stage.child(&alice, plan(run, part)).await;
    let kernel = &stage.node.kernel;
    for text in ["one", "two"] {
        assert_eq!(worker.call(emit(text)).await, Reply::Task(Ok(())), "nobody listens to a child");
    }
    let seen = kernel.events(worker.pid).expect("it lives").after(1).await;
    let two = Event::Text { text: "two".into(), label: Label::TRUSTED };
    assert_eq!(seen.iter().map(|kept| (kept.number, &kept.event)).collect::<Vec<_>>(), [(2, &two)]);
    let events = kernel.events(worker.pid).expect("it lives");
    let mut next = events.after(2).boxed();
    assert!(poll!(&mut next).is_pending());
    worker.call(emit("three")).await;
    assert_eq!(next.await.len(), 1);
    let mut last = events.after(3).boxed();
    assert!(poll!(&mut last).is_pending());
    stage.exit(worker.pid, done()).await;
    assert_eq!(last.await, [], "there will be no more");
}
