//! A process that goes on where another one once was.

use crate::{
    fakes::{Given, Guest, TENANT, TestNode, done, grant, model_grant, prompt, tokens},
    guest::{any, message, plan},
    recovery::emit,
};
use remit_abi::{
    BudgetReply, BudgetRequest, CapabilityReply, CapabilityRequest, Delta, Event, Exit, GrantKind, GrantLimits,
    GrantSpec, LlmReply, LlmRequest, RandomRequest, Reply, Request, Tokens, WaitId,
};
use remit_kernel::{
    Ended, Finished, Fork, ForkError, Resumed, SpawnError,
    ports::{Entry, Position, Program},
};
use std::future::Future;

/// What a fork came to: its end, the texts that it showed, and what is left of its money.
struct Came {
    finished: Finished,
    shown: Vec<String>,
    left: Tokens,
}

async fn end_of(node: &TestNode, resumed: Resumed) -> Came {
    let events = node.kernel.events(resumed.pid).expect("it lives");
    let (finished, events) = (resumed.finished.await, events.known(0).await);
    let text = |event| match event {
        Event::Text { text, .. } => String::from_utf8(text.to_vec()).ok(),
        _ => None,
    };
    assert!(node.kernel.is_conserved(), "tokens were made or lost");
    let left = node.kernel.withdraw(resumed.payer.expect("a root account pays"));
    Came { finished, shown: events.into_iter().filter_map(|kept| text(kept.event)).collect(), left }
}

/// Forks a process at a place of its log, with these grants and ten tokens.
fn fork(node: &TestNode, pid: remit_abi::Pid, at: Option<u64>, grants: Vec<GrantSpec>) -> Resumed {
    let payer = node.kernel.deposit(tokens(10)).expect("a small deposit");
    let history = node.kernel.history(pid).expect("it is kept");
    let program = node.installed(&history.created.package);
    let fork = Fork { tenant: TENANT, program, history, at, grants, payer, budget: tokens(10) };
    node.kernel.fork(fork).expect("it can be forked")
}

fn chat() -> Vec<GrantSpec> {
    vec![model_grant(GrantLimits::default())]
}

async fn draw(guest: &Guest) {
    guest.call(Request::Random(RandomRequest::Bytes { length: 8 })).await;
}

/// Runs a script that is installed, and gives its log.
async fn ran<F, R>(node: &TestNode, given: Given, script: F) -> remit_abi::Pid
where
    F: Fn(Guest) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Exit> + Send + 'static,
{
    node.install("alone", script.clone());
    let running = node.spawn(Given { package: "alone", ..given }, script);
    let pid = running.pid;
    running.finished.await;
    pid
}

/// Asks a model twice, and uses its grant and its account by the names that it got them under.
async fn asks(guest: Guest) -> Exit {
    let held = guest.take("chat").await;
    let account = guest.call(Request::Budget(BudgetRequest::OwnAccount)).await;
    let Reply::Budget(Ok(BudgetReply::Account(account))) = account else { panic!("its account: {account:?}") };
    let home = guest.own_mailbox().await;
    let model = guest.open_model().await;
    let stream = guest.start(prompt("q"), 3).await;
    let first = guest.next(stream).await;
    draw(&guest).await;
    emit(&guest, &format!("{first:?}")).await;
    let mut text = String::new();
    while let Ok(Delta::Text(piece)) = guest.next(stream).await {
        text.push_str(&piece);
    }
    let remaining = guest.call(Request::Budget(BudgetRequest::Remaining { account })).await;
    assert!(matches!(remaining, Reply::Budget(Ok(BudgetReply::Remaining(_)))), "{remaining:?}");
    let check = guest.call(Request::Capability(CapabilityRequest::Check { grant: held })).await;
    guest.send(home, message("note", "to itself")).await.expect("it is its own mailbox");
    let answer = guest.llm(LlmRequest::Chat(crate::fakes::generate(model, prompt("more"), 2))).await;
    emit(&guest, &format!("{text} {check:?} {}", matches!(answer, Ok(LlmReply::Completed(_))))).await;
    done()
}

#[tokio::test]
async fn it_goes_on_from_every_place_with_what_it_is_given() {
    let node = TestNode::new();
    let pid = ran(&node, Given::default(), asks).await;
    let history = node.kernel.history(pid).expect("it is kept");
    let run = history.run(None).expect("it ran");
    let expect = format!("aa {:?} true", Reply::Capability(Ok(CapabilityReply::Live)));
    for at in std::iter::once(run.sequence).chain(run.lines.iter().map(|line| line.sequence)) {
        let resumed = fork(&node, pid, Some(at), chat());
        assert_ne!(resumed.pid, pid);
        let came = end_of(&node, resumed).await;
        assert!(matches!(came.finished.ended, Ended::Done(..)), "at {at}: {:?}", came.finished);
        assert_eq!(came.shown.last(), Some(&expect), "at {at}");
        assert_eq!(came.finished.paid, tokens(10).saturating_sub(came.left), "at {at}: it pays itself");
        assert_eq!(came.finished.paid, came.finished.ledger.paid, "at {at}: its ledger is its own");
    }
    assert!(node.kernel.processes().is_empty());
}

#[tokio::test]
async fn without_a_grant_what_it_could_do_before_is_denied() {
    let node = TestNode::new();
    let pid = ran(&node, Given::default(), asks).await;
    let history = node.kernel.history(pid).expect("it is kept");
    let drawn = history.run(None).expect("it ran").lines.iter().find_map(|line| match &line.entry {
        Entry::Told(told) if matches!(*told.reply, Reply::Random(_)) => Some(line.sequence),
        _ => None,
    });
    let came = end_of(&node, fork(&node, pid, drawn, Vec::new())).await;
    assert!(matches!(came.finished.ended, Ended::Done(..)), "{:?}", came.finished);
    let last = came.shown.last().expect("it says something");
    assert!(last.starts_with(' ') && last.ends_with("false"), "it read no more and got no answer: {last}");
    assert_eq!(node.engine.jobs.lock().len(), 2, "those of the first one");
}

#[tokio::test]
async fn what_is_shared_stays_the_first_ones() {
    async fn boss(guest: Guest) -> Exit {
        let funds = guest.split(tokens(20)).await;
        let spare = guest.split(tokens(5)).await;
        let child = guest.spawn(plan(guest.take("workers").await, funds)).await.expect("it is installed");
        let to_child = guest.child_mailbox(child).await;
        let call = guest.ask(to_child, message("question", "?"), 1_000_000).await.expect("it lives");
        draw(&guest).await;
        let merged = guest.call(Request::Budget(BudgetRequest::Merge { account: spare })).await;
        let told = guest.collect(call).await;
        let report = guest.wait(child).await;
        emit(&guest, &format!("{} {} {}", matches!(merged, Reply::Budget(Ok(_))), told.is_ok(), report.is_ok())).await;
        done()
    }
    async fn worker(guest: Guest) -> Exit {
        let asked = guest.receive(any()).await.expect("there is room");
        let alarm = guest.alarm("go", 1_000_001_000).await;
        guest.wait_for(&[WaitId::Alarm(alarm)]).await;
        guest.reply(asked.answer.expect("it is a call"), message("answer", "!")).await.expect("it waits");
        done()
    }
    let node = TestNode::new();
    node.install("boss", boss);
    node.install("worker", worker);
    let grants = vec![grant("workers", GrantKind::Process, &["worker"])];
    let running =
        node.spawn(Given { package: "boss", grants: grants.clone(), budget: tokens(50), ..Given::default() }, boss);
    let (pid, first) = (running.pid, tokio::spawn(running.finished));
    node.settle().await;
    // The first one waits for its answer. The second one has neither child nor call nor part.
    let history = node.kernel.history(pid).expect("it is kept");
    let drawn = history.run(None).expect("it ran").lines.iter().find_map(|line| match &line.entry {
        Entry::Told(told) if matches!(*told.reply, Reply::Random(_)) => Some(line.sequence),
        _ => None,
    });
    let second = fork(&node, pid, drawn, grants);
    let second = tokio::spawn(second.finished);
    node.settle().await;
    let alive: Vec<_> = node.kernel.processes().into_iter().map(|view| view.package.to_string()).collect();
    assert!(alive.iter().filter(|package| *package == "worker").count() == 1, "{alive:?}");
    assert!(matches!(second.await.expect("it ends").ended, Ended::Done(..)));
    // The first one's child is still asked, and answers.
    node.clock.advance(1_000);
    let first = first.await.expect("it ends");
    assert!(matches!(first.ended, Ended::Done(..)), "{first:?}");
    assert!(node.kernel.is_conserved());
}

#[tokio::test]
async fn a_fork_outlives_its_host_too() {
    let node = TestNode::new();
    let pid = ran(&node, Given::default(), asks).await;
    let history = node.kernel.history(pid).expect("it is kept");
    let lines = &history.run(None).expect("it ran").lines;
    let at = lines[lines.len() / 2].sequence;
    let born = node.journal.memory.end();
    let whole = end_of(&node, fork(&node, pid, Some(at), chat())).await;
    let memory = &node.journal.memory;
    let mut recovered = 0;
    for place in (born.0..=memory.end().0).map(Position) {
        let again = TestNode::after(memory.up_to(place));
        again.install("alone", asks);
        let Some(resumed) = again.kernel.recover().expect("it can be read").go_on().await.pop() else { continue };
        let came = end_of(&again, resumed).await;
        assert_eq!((came.finished, came.left), (whole.finished.clone(), whole.left), "at {place}");
        recovered += 1;
    }
    assert!(recovered > 5, "{recovered}");
}

#[tokio::test]
async fn one_that_is_killed_while_it_is_told_again_takes_nothing_of_the_first_one() {
    async fn holds(guest: Guest) -> Exit {
        guest.take("chat").await;
        draw(&guest).await;
        guest.receive(any()).await.expect("nobody writes");
        done()
    }
    let node = TestNode::new();
    node.install("alone", holds);
    let running = node.spawn(Given { package: "alone", ..Given::default() }, holds);
    let (pid, first) = (running.pid, tokio::spawn(running.finished));
    node.settle().await;
    node.install("alone", |_| std::future::pending());
    let second = fork(&node, pid, None, chat());
    node.settle().await;
    node.kernel.kill(second.pid);
    second.finished.await;
    let held = node.kernel.grant_tree(Some(pid));
    assert_eq!(held.iter().filter(|grant| grant.holder == Some(pid) && !grant.revoked).count(), 1, "{held:?}");
    node.kernel.kill(pid);
    drop(first.await);
    assert!(node.kernel.is_conserved());
}

#[tokio::test]
async fn what_cannot_be_forked_says_why_and_costs_nothing() {
    let node = TestNode::new();
    let pid = ran(&node, Given::default(), asks).await;
    let history = node.kernel.history(pid).expect("it is kept");
    let payer = node.kernel.deposit(tokens(10)).expect("a small deposit");
    let wanted = |at, budget| Fork {
        tenant: TENANT,
        program: node.installed("alone"),
        history: history.clone(),
        at,
        grants: chat(),
        payer,
        budget,
    };
    let other = Program { digest: "another".into(), ..node.installed("alone") };
    let other = node.kernel.fork(Fork { program: other, ..wanted(None, tokens(1)) });
    assert!(matches!(other, Err(ForkError::OtherComponent { .. })));
    let early = node.kernel.fork(wanted(Some(1), tokens(1)));
    assert!(matches!(early, Err(ForkError::TooEarly { at: 1, first: 2, .. })));
    let dear = node.kernel.fork(wanted(None, tokens(11)));
    assert!(matches!(dear, Err(ForkError::Spawn(SpawnError::Budget(_)))));
    assert_eq!(node.kernel.withdraw(payer), tokens(10));
    assert!(node.kernel.processes().is_empty() && node.kernel.is_conserved());
}
