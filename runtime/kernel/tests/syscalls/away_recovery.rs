//! Hosts that end while processes are out of memory: those come back as they were, and a start reads no more of them than it has to.

use crate::{
    away::{SeenEnd, attend, is_done, sends, slept, start, until_all_ended, until_away, waits},
    fakes::{Given, Guest, TestNode, done, generate, grant, model_grant, prompt},
    guest::{any, message, topic},
    hibernation::sleeping_until,
    human::{clerk, words},
    recovery::{emit, life, places},
};
use remit_abi::{Exit, Fault, GrantKind, GrantLimits, LlmRequest, Pid, Said, Tokens, WaitId};
use remit_kernel::{
    Attendant, Ended, Finished, MemoryJournal, Spawned, State,
    ports::{Entry, Journal, Position, Response, Runner},
};
use std::sync::atomic::Ordering;

/// Does something of everything that can be slept through.
async fn hub(guest: Guest) -> Exit {
    let model = guest.open_model().await;
    let timer = guest.timer(500).await;
    guest.wait_for(&[WaitId::Timer(timer)]).await;
    guest.llm(LlmRequest::Chat(generate(model, prompt("first"), 2))).await.expect("it answers");
    let first = guest.receive(topic("a")).await.expect("there is room");
    assert_eq!(guest.read(first.body).await, "one");
    let name = guest.put(words(), "Which name?").await;
    let Said::Text(said) = guest.heard(name).await.expect("it is answered").said else { panic!("it is in words") };
    guest.read(said).await;
    let alarm = guest.alarm("later", 1_000_020_000).await;
    guest.wait_for(&[WaitId::Alarm(alarm)]).await;
    let second = guest.receive(any()).await.expect("there is room");
    assert_eq!(guest.read(second.body).await, "two");
    guest.llm(LlmRequest::Chat(generate(model, prompt("second"), 2))).await.expect("it answers");
    emit(&guest, "done").await;
    done()
}

async fn sender(guest: Guest) -> Exit {
    let to = guest.take("to").await;
    for (text, moment) in [("one", 2_000), ("two", 30_000)] {
        let timer = guest.timer(moment).await;
        guest.wait_for(&[WaitId::Timer(timer)]).await;
        guest.send(to, message("a", text)).await.expect("it lives");
    }
    done()
}

fn install(node: &TestNode) {
    node.install("hub", hub);
    node.install("sender", sender);
}

/// Answers questions until nobody lives.
async fn all_end(node: &TestNode) {
    let kernel = node.kernel.clone();
    let person = tokio::spawn(async move {
        loop {
            for question in kernel.inbox(None) {
                kernel.answer(question.number, "ann", Response::Text("Ada".into())).expect("it was open just now");
            }
            tokio::task::yield_now().await;
        }
    });
    until_all_ended(node).await;
    person.abort();
}

/// What a process asked and was told, in order.
fn told(memory: &MemoryJournal, pid: Pid) -> Vec<String> {
    let lines = memory.history(pid, 1, usize::MAX).expect("it is in memory");
    let told = lines.into_iter().filter_map(|line| match line.entry {
        // When a person answered is part of the reply, and of no other run.
        Entry::Told(told) => Some(format!("{:?} {:?} {:?}", told.asked, told.paid, told.label)),
        _ => None,
    });
    told.collect()
}

/// Both scripts on one node, that sleep or do not; the pid of the hub, and how it ended.
async fn undisturbed(leaves: bool) -> (Pid, Finished, MemoryJournal) {
    let node = TestNode::new();
    install(&node);
    if leaves {
        attend(&node);
    }
    let desk = clerk().grants;
    let grants = [desk, vec![model_grant(GrantLimits::default())]].concat();
    let (pid, finished) = start(&node, Given { package: "hub", name: Some("hub"), grants, ..Given::default() }, hub);
    let grants = vec![grant("to", GrantKind::Mailbox, &["hub"])];
    let other = node.spawn(Given { package: "sender", grants, ..Given::default() }, sender);
    let ends = tokio::spawn(async move { tokio::join!(finished, other.finished).0 });
    all_end(&node).await;
    let finished = ends.await.expect("both end");
    assert!(node.kernel.is_conserved());
    (pid, finished, node.journal.memory.up_to(node.journal.memory.end()))
}

#[tokio::test]
async fn who_leaves_memory_whenever_they_wait_ends_as_who_never_does_wherever_the_host_ends() {
    let (pid, expect, plain) = undisturbed(false).await;
    let (same, finished, memory) = undisturbed(true).await;
    assert_eq!((pid, told(&plain, pid)), (same, told(&memory, same)));
    assert_eq!(finished, expect);
    assert!(slept(&memory) >= 4, "{} times", slept(&memory));
    // Before, nobody is there to send what the hub waits for.
    let are_both_there = |at: &Position| memory.up_to(*at).node().expect("it is in memory").living.len() == 2;
    let born = places(&memory).find(are_both_there).expect("both lived");
    let (_, dead) = life(&memory);
    let mut found_away = 0;
    for at in (born.0..dead.0).map(Position) {
        let node = TestNode::after(memory.up_to(at));
        install(&node);
        let ends = attend(&node);
        let recovery = node.kernel.recover().expect("it can be read");
        found_away += node.kernel.away();
        assert!(node.kernel.is_conserved(), "at {at}");
        recovery.go_on().await.into_iter().for_each(|resumed| ends.resumed(resumed));
        all_end(&node).await;
        assert!(node.kernel.is_conserved(), "at {at}");
        let ends = ends.0.lock();
        let end = ends.iter().find(|end| end.pid == pid);
        // It had ended, and nobody had taken that, or it was not there yet.
        let Some(SeenEnd { payer, finished, .. }) = end else { continue };
        assert_eq!(finished, &expect, "at {at}");
        assert!(payer.is_some(), "at {at}");
        assert_eq!(told(&node.journal.memory, pid), told(&plain, pid), "at {at}");
    }
    assert!(found_away >= 4, "hosts found {found_away} that slept");
}

#[tokio::test]
async fn a_start_reads_who_sleeps_only_when_it_wakes_and_believes_no_old_hint() {
    let node = TestNode::new();
    attend(&node);
    node.install("late", waits);
    let given = || Given { package: "late", name: Some("late"), ..Given::default() };
    let (pid, finished) = start(&node, given(), waits);
    let finished = tokio::spawn(finished);
    until_away(&node, 1).await;
    let asleep = node.journal.memory.up_to(node.journal.memory.end());
    // It comes back and takes no turn yet: its message lies in its mailbox.
    node.runner.suspend(pid);
    sends(&node, "late", "go").await;
    let called = node.journal.memory.up_to(node.journal.memory.end());
    node.runner.resume(pid);
    sleeping_until(&node, finished).await.0.expect("it ends");
    for (memory, away) in [(asleep, 1), (called, 0)] {
        let again = TestNode::after(memory.up_to(memory.end()));
        again.install("late", waits);
        let ends = attend(&again);
        let recovery = again.kernel.recover().expect("it can be read");
        assert_eq!((again.kernel.away(), recovery.held().len()), (away, 1 - away));
        let names = again.try_spawn(given(), waits).err();
        assert!(names.is_some(), "its name is its own");
        let resumed = recovery.go_on().await;
        assert_eq!(resumed.len(), 1 - away);
        resumed.into_iter().for_each(|resumed| ends.resumed(resumed));
        if away == 1 {
            sends(&again, "late", "go").await;
        }
        until_all_ended(&again).await;
        let ended: Vec<_> = ends.0.lock().iter().map(|end| (end.pid, is_done(&end.finished))).collect();
        assert!(ended.contains(&(pid, true)), "{ended:?}");
        assert!(again.kernel.is_conserved());
        // Where nobody attends, it is read and runs as all others do.
        let whole = TestNode::after(memory);
        whole.install("late", waits);
        let resumed = whole.kernel.recover().expect("it can be read").go_on().await;
        assert_eq!((whole.kernel.away(), resumed.iter().filter(|resumed| resumed.pid == pid).count()), (0, 1));
    }
}

#[tokio::test]
async fn a_moment_that_passed_while_the_host_was_away_wakes_at_the_start() {
    async fn rises(guest: Guest) -> Exit {
        let alarm = guest.alarm("early", 1_000_005_000).await;
        guest.wait_for(&[WaitId::Alarm(alarm)]).await;
        done()
    }
    let node = TestNode::new();
    attend(&node);
    let (pid, finished) = start(&node, Given { package: "early", ..Given::default() }, rises);
    until_away(&node, 1).await;
    let memory = node.journal.memory.up_to(node.journal.memory.end());
    drop(finished);
    let again = TestNode::after(memory);
    again.install("early", rises);
    again.clock.advance(1_000_000);
    let ends = attend(&again);
    assert!(again.kernel.recover().expect("it can be read").go_on().await.is_empty());
    again.settle().await;
    let ended: Vec<_> = ends.0.lock().iter().map(|end| end.pid).collect();
    assert_eq!(ended, [pid], "no time had to pass");
}

#[tokio::test]
async fn one_whose_package_is_gone_when_it_wakes_is_parked_and_can_be_ended() {
    let node = TestNode::new();
    attend(&node);
    let (pid, finished) = start(&node, Given::default(), waits);
    until_away(&node, 1).await;
    // Its package is not installed: it cannot go on, and can be ended.
    node.kernel.cancel(pid);
    sleeping_until(&node, node.settle()).await;
    let view = node.kernel.process(pid).expect("it lives");
    assert_eq!(view.state, State::Parked, "{view:?}");
    node.kernel.kill(pid);
    let (finished, _) = sleeping_until(&node, finished).await;
    assert_eq!(finished.ended, Ended::Faulted(Fault::Killed));
    assert!(node.kernel.is_conserved());
}

/// Has a process that sleeps reached for when its log cannot be read, and ends it.
async fn unread(node: &TestNode, pid: Pid, finished: impl Future<Output = Finished> + Send + 'static) {
    node.journal.is_unreadable.store(true, Ordering::SeqCst);
    sends(node, &pid.to_string(), "go").await;
    sleeping_until(node, node.settle()).await;
    let view = node.kernel.process(pid).expect("it lives");
    let why = view.parked.as_deref().unwrap_or_default();
    assert!(view.state == State::Parked && why.contains("its pages are damaged"), "{view:?}");
    assert!(node.kernel.is_conserved());
    node.kernel.kill(pid);
    let (finished, _) = sleeping_until(node, finished).await;
    assert_eq!(finished.ended, Ended::Faulted(Fault::Killed));
    assert!(finished.refunded > Tokens::ZERO && finished.refunded <= Given::default().budget, "{finished:?}");
    assert_eq!((node.kernel.processes(), node.kernel.grant_tree(None)), (Vec::new(), Vec::new()));
    assert!(node.kernel.is_conserved());
    let image = node.journal.memory.node().expect("it is in memory");
    assert_eq!((image.living, image.grants, image.questions), (Vec::new(), Vec::new(), Vec::new()));
    assert!(node.withdraw() >= finished.refunded, "its payer has it back");
}

#[tokio::test]
async fn one_that_cannot_be_read_when_it_wakes_is_parked_and_can_be_ended() {
    let node = TestNode::new();
    attend(&node);
    let (pid, finished) = start(&node, Given::default(), waits);
    until_away(&node, 1).await;
    unread(&node, pid, finished).await;
    // One that is tied, as somebody listens to it, and sleeps in memory.
    let node = TestNode::new();
    attend(&node);
    let Spawned { pid, events: _listens, finished } = node.spawn(Given::default(), waits);
    let is_asleep = async {
        while node.kernel.process(pid).is_none_or(|view| view.state != State::Asleep) {
            tokio::task::yield_now().await;
        }
    };
    sleeping_until(&node, is_asleep).await;
    unread(&node, pid, finished).await;
}

#[tokio::test]
async fn one_that_cannot_be_read_is_ended_by_the_kill_that_wakes_it() {
    let node = TestNode::new();
    let ends = attend(&node);
    let (pid, finished) = start(&node, Given::default(), waits);
    until_away(&node, 1).await;
    let again = TestNode::after(node.journal.memory.up_to(node.journal.memory.end()));
    drop(finished);
    drop(ends);
    let ends = attend(&again);
    assert!(again.kernel.recover().expect("it can be read").go_on().await.is_empty());
    again.journal.is_unreadable.store(true, Ordering::SeqCst);
    again.kernel.kill(pid);
    until_all_ended(&again).await;
    let ends = ends.0.lock();
    assert!(matches!(&ends[..], [end] if end.pid == pid && end.payer.is_some()), "whoever pays is told");
    assert!(again.kernel.is_conserved());
}
