//! A host that ends, or a process that sleeps, while tools act: what may be done twice is done again with the same key, and what must
//! not be is not, unless the operator or a person says so.

use crate::{
    fakes::{Given, Guest, TENANT, TestNode, done, paid_for_models, tokens},
    hibernation::sleeping_until,
    recovery::{Result, emit, life},
    tool::user,
};
use remit_abi::{Event, Exit, Tokens, ToolCallId, ToolError, WaitId};
use remit_kernel::{
    Durability, Fork, Kernel, MemoryJournal, Spawned, State,
    ports::{Change, Entry, Fact, Journal, OutcomeKind, Position, Response, ToolFacts, Uncertain, Verdict},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::Ordering,
};

fn given() -> Given {
    Given { package: "acts", budget: tokens(100), ..user() }
}

/// Shows what came of a call.
async fn show(guest: &Guest, name: &str, call: ToolCallId) {
    let came = match guest.came(call).await {
        Ok(Ok(said)) => format!("{name} did {}", String::from_utf8_lossy(&guest.read(said).await)),
        Ok(Err(said)) => format!("{name} failed {}", String::from_utf8_lossy(&guest.read(said).await)),
        Err(error) => format!("{name}: {error}"),
    };
    emit(guest, &came).await;
}

/// Calls each tool that may be done twice, two at a time, and one that it lets go of.
async fn acts(guest: Guest) -> Exit {
    for name in ["look", "set", "pay", "again"] {
        let (first, second) = (guest.use_tool(name, "{\"n\":1}").await, guest.use_tool(name, "{\"fail\":2}").await);
        guest.wait_for(&[WaitId::ToolCall(first), WaitId::ToolCall(second)]).await;
        show(&guest, name, second).await;
        show(&guest, name, first).await;
    }
    let dropped = guest.use_tool("look", "{\"n\":3}").await;
    guest.drop_tool(dropped).await;
    done()
}

/// Calls a tool that acts once, and shows what came of it.
async fn acts_once(guest: Guest, name: &'static str) -> Exit {
    let call = guest.use_tool(name, "{\"n\":1}").await;
    show(&guest, name, call).await;
    done()
}

/// Runs a script where nothing happens to it.
async fn undisturbed<F, R>(script: F) -> (Result, MemoryJournal)
where
    F: Fn(Guest) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Exit> + Send + 'static,
{
    let node = TestNode::new();
    let (finished, shown) = node.run(given(), script).await;
    (Result { finished, shown, left: node.withdraw() }, node.journal.memory.up_to(node.journal.memory.end()))
}

/// A node after the end of its host, on which such a script goes on.
fn after<F, R>(memory: MemoryJournal, script: F) -> TestNode
where
    F: Fn(Guest) -> R + Send + Sync + 'static,
    R: Future<Output = Exit> + Send + 'static,
{
    let node = TestNode::after(memory);
    node.install("acts", script);
    node
}

/// Puts a node together again, and runs its one process to the end.
async fn goes_on(node: &TestNode) -> Result {
    let recovery = node.kernel.recover().expect("it can be read");
    let resumed = recovery.go_on().await.pop().expect("it lives");
    let events = node.kernel.events(resumed.pid).expect("it lives");
    let (finished, shown) = tokio::join!(resumed.finished, async {
        let (mut shown, mut after) = (Vec::new(), 0);
        loop {
            let more = events.after(after).await;
            let Some(last) = more.last() else { break shown };
            after = last.number;
            shown.extend(more.into_iter().map(|kept| kept.event));
        }
    });
    assert!(node.kernel.is_conserved(), "tokens were made or lost");
    let left = node.kernel.withdraw(resumed.payer.expect("a root account pays"));
    Result { finished, shown, left }
}

/// What was paid besides fuel: an error is one value less to read.
fn paid(result: &Result) -> Tokens {
    paid_for_models(&result.finished)
}

fn texts(result: &Result) -> Vec<String> {
    let text = |event: &Event| match event {
        Event::Text { text, .. } => String::from_utf8(text.to_vec()).ok(),
        _ => None,
    };
    result.shown.iter().filter_map(text).collect()
}

/// The key of each call that is written down, and whether it was begun and nothing had come of it.
fn calls(memory: &MemoryJournal) -> BTreeMap<u64, (String, bool)> {
    let mut calls = BTreeMap::new();
    for change in memory.records().into_iter().flat_map(|record| record.changes) {
        match change {
            Change::ToolCalled(posted) => drop(calls.insert(posted.number, (posted.key.to_string(), false))),
            Change::ToolBegun { number, .. } => calls.get_mut(&number).expect("it was made").1 = true,
            Change::ToolReturned { number, .. } | Change::ToolCallGone { number } => {
                calls.get_mut(&number).expect("it was made").1 = false;
            }
            _ => {}
        }
    }
    calls
}

fn is_cut(memory: &MemoryJournal) -> bool {
    calls(memory).values().any(|(_, cut)| *cut)
}

fn nothing_is_left(node: &TestNode, calls: u64) {
    let image = node.journal.node().expect("it is in memory");
    assert_eq!((image.tool_calls, image.questions, image.next.tool_call), (Vec::new(), Vec::new(), calls + 1));
}

/// Looks at each time that a tool was begun on a node that went on from here: with the key that was written down, where one was.
fn keys_are_kept(node: &TestNode, before: &MemoryJournal, all: &BTreeMap<u64, (String, bool)>) {
    for job in node.tools.begun.lock().iter() {
        assert_eq!(*job.key, all[&job.number].0, "call {}", job.number);
        if let Some((key, _)) = calls(before).get(&job.number) {
            assert_eq!(*job.key, *key);
        }
    }
}

#[tokio::test]
async fn what_may_be_done_twice_ends_as_if_nothing_had_happened_wherever_the_host_ended() {
    let (expect, memory) = undisturbed(acts).await;
    assert_eq!(texts(&expect).len(), 8, "{:?}", texts(&expect));
    let (all, (born, dead)) = (calls(&memory), life(&memory));
    let mut cut = 0;
    for at in (born.0..dead.0).map(Position) {
        let before = memory.up_to(at);
        cut += usize::from(is_cut(&before));
        let node = after(memory.up_to(at), acts);
        assert_eq!(goes_on(&node).await, expect, "at {at}");
        keys_are_kept(&node, &before, &all);
        nothing_is_left(&node, 9);
    }
    assert!(cut > 8, "each of them was cut: {cut}");
}

#[tokio::test]
async fn a_host_may_end_again_while_it_does_them_again() {
    let (expect, memory) = undisturbed(acts).await;
    let (all, (born, dead)) = (calls(&memory), life(&memory));
    for at in (born.0..dead.0).step_by(5) {
        let node = after(memory.up_to(Position(at)), acts);
        goes_on(&node).await;
        let second = node.journal.memory.up_to(node.journal.memory.end());
        for again in (at..life(&second).1.0).step_by(3) {
            let before = second.up_to(Position(again));
            let node = after(second.up_to(Position(again)), acts);
            assert_eq!(goes_on(&node).await, expect, "at {at} and again at {again}");
            keys_are_kept(&node, &before, &all);
        }
    }
}

#[tokio::test]
async fn what_acts_once_is_not_done_twice_and_says_that_it_is_not_known() {
    let sends = |guest| acts_once(guest, "send");
    let (expect, memory) = undisturbed(sends).await;
    let (born, dead) = life(&memory);
    let mut uncertain = 0;
    for at in (born.0..dead.0).map(Position) {
        let before = memory.up_to(at);
        let (was_begun, cut) = (!calls(&before).is_empty(), is_cut(&before));
        let node = after(memory.up_to(at), sends);
        let result = goes_on(&node).await;
        assert_eq!(node.tools.begun.lock().len(), usize::from(!was_begun), "at {at}: twice in all");
        match cut {
            false => assert_eq!(result, expect, "at {at}"),
            true => {
                uncertain += 1;
                let error = ToolError::Uncertain("the host ended while it ran".into());
                assert_eq!(texts(&result), [format!("send: {error}")], "at {at}");
                assert_eq!(paid(&result), paid(&expect), "at {at}: it is paid once");
            }
        }
        nothing_is_left(&node, 1);
    }
    assert!(uncertain >= 1);
}

/// Answers what is asked, for ever.
async fn decides(kernel: Kernel, choice: u32) {
    loop {
        for question in kernel.inbox(None) {
            let text = String::from_utf8_lossy(&question.content.bytes).into_owned();
            assert!(text.contains("The tool ask was called by acts") && text.contains("{\"n\":1}"), "{text}");
            assert_eq!(&*question.desk, "boss");
            kernel.answer(question.number, "ann", Response::Choice(choice)).expect("it was open just now");
        }
        tokio::task::yield_now().await;
    }
}

async fn decided<T>(node: &TestNode, choice: u32, work: impl Future<Output = T>) -> T {
    let person = tokio::spawn(decides(node.kernel.clone(), choice));
    let outcome = work.await;
    person.abort();
    assert!(person.await.is_err_and(|error| error.is_cancelled()), "every answer was taken");
    outcome
}

/// What the log says of what came of a call.
#[derive(Debug, PartialEq, Eq)]
struct Returned {
    attempts: u32,
    outcome: OutcomeKind,
    /// Who decided, and what.
    decided: Option<(String, Verdict)>,
}

/// What came of the only call that the log knows.
fn returned(node: &TestNode) -> Option<Returned> {
    let entries = node.journal.memory.records().into_iter().filter_map(|record| record.entry);
    entries.filter_map(|entry: Entry<'static>| entry.fact()).find_map(|fact| match fact {
        Fact::ReturnedTool { attempts, outcome, decided, .. } => {
            let decided = decided.map(|decided| (decided.by.to_string(), decided.verdict));
            Some(Returned { attempts, outcome, decided })
        }
        _ => None,
    })
}

#[tokio::test]
async fn a_person_decides_about_what_may_have_been_done() {
    let asks = |guest| acts_once(guest, "ask");
    let (expect, memory) = undisturbed(asks).await;
    let (born, dead) = life(&memory);
    let lost = ToolError::Lost("ann says that it was done".into());
    let given_up = ToolError::Uncertain("the host ended while it ran, and ann gave it up".into());
    let said = texts(&expect)[0].clone();
    for (choice, kind, verdict, says, again) in [
        (0, OutcomeKind::Lost, Verdict::WasDone, format!("ask: {lost}"), 0),
        (1, OutcomeKind::Done, Verdict::DoItNow, said, 1),
        (2, OutcomeKind::Uncertain, Verdict::GiveUp, format!("ask: {given_up}"), 0),
    ] {
        for at in (born.0..dead.0).map(Position).filter(|at| is_cut(&memory.up_to(*at))) {
            let node = after(memory.up_to(at), asks);
            let result = decided(&node, choice, goes_on(&node)).await;
            assert_eq!(texts(&result), [&*says], "at {at}");
            assert_eq!(node.tools.begun.lock().len(), again, "at {at}");
            assert_eq!(paid(&result), paid(&expect), "at {at}: it is paid once");
            let attempts = 1 + u32::try_from(again).expect("a small number");
            let decided = Some(("ann".into(), verdict));
            assert_eq!(returned(&node), Some(Returned { attempts, outcome: kind, decided }), "at {at}");
            nothing_is_left(&node, 1);
            host_ends_again(&node, at, &asks, choice, &says).await;
        }
    }
}

/// The host ends once more at every place while a person decides.
async fn host_ends_again<F, R>(node: &TestNode, at: Position, asks: &F, choice: u32, says: &str)
where
    F: Fn(Guest) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Exit> + Send + 'static,
{
    let second = node.journal.memory.up_to(node.journal.memory.end());
    for again in at.0..life(&second).1.0 {
        let before = second.up_to(Position(again));
        let node = after(second.up_to(Position(again)), asks.clone());
        let result = decided(&node, choice, goes_on(&node)).await;
        assert_eq!(texts(&result), [says], "at {at} and again at {again}");
        let is_asked = !before.node().expect("it is in memory").questions.is_empty();
        let begun = node.tools.begun.lock().len();
        assert!(begun <= 1 && (choice == 1 || begun == 0), "at {at} and again at {again}: {is_asked}");
        nothing_is_left(&node, 1);
    }
}

async fn slow(guest: Guest) -> Exit {
    let call = guest.use_tool("send", "{\"slow\":1}").await;
    show(&guest, "send", call).await;
    done()
}

/// The log of a node whose host ended while a tool ran, or several.
async fn cut<F, R>(given: Given, script: F) -> MemoryJournal
where
    F: Fn(Guest) -> R + Send + Sync + 'static,
    R: Future<Output = Exit> + Send + 'static,
{
    let node = TestNode::new();
    let running = tokio::spawn(node.spawn(given, script).finished);
    node.settle().await;
    let memory = node.journal.memory.up_to(node.journal.memory.end());
    running.abort();
    memory
}

#[tokio::test]
async fn a_question_about_a_call_goes_with_its_caller() {
    let asks = |guest| acts_once(guest, "ask");
    let (_, memory) = undisturbed(asks).await;
    let (born, dead) = life(&memory);
    let at = (born.0..dead.0).map(Position).find(|at| is_cut(&memory.up_to(*at))).expect("it was cut");
    let node = after(memory.up_to(at), asks);
    let resumed = node.kernel.recover().expect("it can be read").go_on().await.pop().expect("it lives");
    let running = tokio::spawn(resumed.finished);
    node.settle().await;
    assert_eq!(node.kernel.inbox(None).len(), 1);
    node.kernel.kill(resumed.pid);
    running.await.expect("it ends");
    assert_eq!(node.kernel.inbox(None), []);
    nothing_is_left(&node, 1);
    assert_eq!(*node.tools.begun.lock(), []);
}

#[tokio::test]
async fn a_tool_that_is_not_declared_any_more_says_so() {
    let memory = cut(given(), slow).await;
    let node = after(memory, slow);
    node.tools.declare("send", |_| None);
    let result = goes_on(&node).await;
    let why = "the host ended while it ran, and the tool send is not declared on this host any more";
    assert_eq!(texts(&result), [format!("send: {}", ToolError::Uncertain(why.into()))]);
    nothing_is_left(&node, 1);
}

#[tokio::test]
async fn nothing_is_begun_for_one_that_ended_with_its_host() {
    let memory = cut(Given { durability: Durability::Ephemeral, ..given() }, slow).await;
    assert_eq!(memory.node().expect("it is in memory").tool_calls.len(), 1);
    let node = after(memory, slow);
    node.tools.declare("send", |facts| Some(ToolFacts { uncertain: Uncertain::Retry, ..facts }));
    assert!(node.kernel.recover().expect("it can be read").go_on().await.is_empty());
    node.settle().await;
    assert_eq!(*node.tools.begun.lock(), []);
    nothing_is_left(&node, 1);
}

/// Two that fill the line of their tenant, and one that stands behind.
async fn fills(guest: Guest) -> Exit {
    let calls = [(); 16].map(|()| "{\"slow\":1}");
    let mut held = Vec::new();
    for arguments in calls {
        held.push(guest.use_tool("send", arguments).await);
    }
    std::future::pending::<()>().await;
    done()
}

#[tokio::test]
async fn what_only_stood_in_line_is_not_uncertain() {
    let node = TestNode::new();
    let first = tokio::spawn(node.spawn(Given { package: "fills", ..given() }, fills).finished);
    node.settle().await;
    let second = tokio::spawn(node.spawn(given(), slow).finished);
    node.settle().await;
    let again = after(node.journal.memory.up_to(node.journal.memory.end()), slow);
    again.install("fills", fills);
    first.abort();
    second.abort();
    let resumed = again.kernel.recover().expect("it can be read").go_on().await;
    again.settle().await;
    let begun: BTreeSet<_> = again.tools.begun.lock().iter().map(|job| job.number).collect();
    assert_eq!(begun, BTreeSet::from([17]), "it was never begun, and the others must not be");
    drop(resumed);
}

#[tokio::test]
async fn who_sleeps_while_a_tool_runs_ends_as_one_who_does_not() {
    let node = TestNode::new();
    node.kernel.set_patience(Some(1));
    let Spawned { pid, finished, mut events } = node.spawn(given(), slow);
    let finished = tokio::spawn(finished);
    let is_asleep = async {
        while node.kernel.process(pid).is_none_or(|view| view.state != State::Asleep) {
            tokio::task::yield_now().await;
        }
    };
    sleeping_until(&node, is_asleep).await;
    assert_eq!(node.tools.begun.lock().len(), 1);
    node.tools.release();
    sleeping_until(&node, async { events.recv().await.expect("it shows what came") }).await;
    finished.await.expect("it ends");
    assert_eq!((node.tools.begun.lock().len(), node.tools.stopped.load(Ordering::SeqCst)), (1, 0));
    nothing_is_left(&node, 1);
}

#[tokio::test]
async fn a_fork_calls_no_tool_and_has_no_call_of_the_other_one() {
    let node = TestNode::new();
    node.install("acts", slow);
    let running = node.spawn(given(), slow);
    let pid = running.pid;
    let other = tokio::spawn(running.finished);
    node.settle().await;
    let payer = node.kernel.deposit(tokens(10)).expect("a small deposit");
    let history = node.kernel.history(pid).expect("it is kept");
    let grants = user().grants;
    let program = node.installed("acts");
    let fork = Fork { tenant: TENANT, program, history, at: None, grants, payer, budget: tokens(10) };
    let resumed = node.kernel.fork(fork).expect("it can be forked");
    let events = node.kernel.events(resumed.pid).expect("it lives");
    resumed.finished.await;
    let shown = events.known(0).await;
    assert!(format!("{shown:?}").contains("taken already"), "{shown:?}");
    assert_eq!((node.tools.begun.lock().len(), node.tools.stopped.load(Ordering::SeqCst)), (1, 0));
    node.tools.release();
    other.await.expect("the other one has its own");
    nothing_is_left(&node, 1);
}
