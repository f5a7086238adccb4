//! A host that ends anywhere, and starts anew: nothing is lost, and nothing is done twice.

use crate::{
    fakes::{Given, Guest, Play, TestNode, generate, grant, model_grant, prompt, tokens},
    guest::{any, message, named, parcel, plan, same, topic},
};
use remit_abi::{
    AlarmRequest, ChildEnded, ChildInput, ClockReply, ClockRequest, Completion, Content, Delta, Event, Exit, Fault,
    Fuel, GrantKind, GrantLimits, GuestEvent, LlmError, LlmReply, LlmRequest, Message, Outcome, Plan, Prompt,
    RandomRequest, Reply, Request, Role, Status, TaskRequest, Tokens, ValueId, WaitId,
};
use remit_kernel::{
    Ended, Finished, MemoryJournal, State,
    ports::{Entry, Journal, Position},
};
use std::future::Future;

pub(crate) async fn emit(guest: &Guest, text: &str) {
    let event = GuestEvent::Text(Content::Text(text.into()));
    let reply = guest.call(Request::Task(TaskRequest::Emit(Box::new(event)))).await;
    assert_eq!(reply, Reply::Task(Ok(())));
}

async fn chat(guest: &Guest, model: remit_abi::ModelId, said: Prompt) -> Completion {
    match guest.llm(LlmRequest::Chat(generate(model, said, 3))).await {
        Ok(LlmReply::Completed(completion)) => completion,
        other => panic!("the engine answers: {other:?}"),
    }
}

fn done_with(output: ValueId) -> Exit {
    Exit { end: Ok(Ok(Outcome { status: Status::Complete, output: Some(output) })), fuel: Some(Fuel(0)) }
}

/// Uses every interface that leaves something behind, and starts a worker that it talks to.
pub(crate) async fn boss(guest: Guest) -> Exit {
    let model = guest.open_model().await;
    let answer = chat(&guest, model, prompt("plan")).await;
    emit(&guest, "planned").await;
    let funds = guest.split(tokens(20)).await;
    let spare = guest.split(tokens(5)).await;
    let part = guest.attenuate(same(guest.take("chat").await, "part")).await.expect("no wider");
    let home = guest.own_mailbox().await;
    let conversation = vec![ChildInput { role: Role::User, content: Content::Value(answer.content) }];
    let grants = vec![named("chat", part), named("home", home)];
    let child = guest
        .spawn(Plan { conversation, grants, ..plan(guest.take("workers").await, funds) })
        .await
        .expect("it is installed");
    let to_child = guest.child_mailbox(child).await;
    let call = guest.ask(to_child, message("question", "how far?"), 1_000_000).await.expect("it lives");
    guest.send(to_child, message("more", "and this")).await.expect("there is room");
    let told = guest.collect(call).await.expect("it answers");
    let told = guest.read(told.body).await;
    emit(&guest, std::str::from_utf8(&told).expect("text")).await;
    let watch = guest.watch(topic("done")).await;
    guest.wait_for(&[WaitId::Watch(watch)]).await;
    let back = guest.receive(topic("done")).await.expect("there is room");
    assert_eq!(back.grants.len(), 1, "the right that it was lent comes back");
    let alarm = guest.alarm("later", 5).await;
    guest.call(Request::Alarm(AlarmRequest::Moment { alarm })).await;
    guest.call(Request::Random(RandomRequest::Bytes { length: 8 })).await;
    let report = guest.wait(child).await.expect("it ended");
    let ChildEnded::Done(Status::Complete, Some(output)) = report.ended else { panic!("it did its work: {report:?}") };
    guest.call(Request::Budget(remit_abi::BudgetRequest::Merge { account: spare })).await;
    let said = Message::text(Role::User, Content::Value(output));
    let last = chat(&guest, model, Prompt::Chat(vec![said].into())).await;
    emit(&guest, "done").await;
    done_with(last.content)
}

pub(crate) async fn worker(guest: Guest) -> Exit {
    let asked = guest.receive(topic("question")).await.expect("there is room");
    guest.reply(asked.answer.expect("it is a call"), message("answer", "half")).await.expect("it waits");
    let model = guest.open_model().await;
    let task = Message::text(Role::User, Content::Value(guest.start.conversation[0].content));
    let first = chat(&guest, model, Prompt::Chat(vec![task].into())).await;
    guest.receive(any()).await.expect("there is room");
    let (home, lent) = (guest.take("home").await, guest.take("chat").await);
    guest.send(home, parcel("done", vec![named("part", lent)])).await.expect("there is room");
    done_with(first.content)
}

pub(crate) fn install(node: &TestNode) {
    node.install("boss", boss);
    node.install("worker", worker);
}

pub(crate) fn given() -> Given {
    let grants = vec![model_grant(GrantLimits::default()), grant("workers", GrantKind::Process, &["worker"])];
    Given { package: "boss", grants, budget: tokens(100), ..Given::default() }
}

/// What a run came to, for whoever started it.
#[derive(Debug, PartialEq)]
pub(crate) struct Result {
    pub(crate) finished: Finished,
    pub(crate) shown: Vec<Event>,
    pub(crate) left: Tokens,
}

/// Runs the team where nothing happens to it.
pub(crate) async fn undisturbed() -> (Result, MemoryJournal) {
    let node = TestNode::new();
    install(&node);
    let (finished, shown) = node.run(given(), boss).await;
    let memory = node.journal.memory.up_to(node.journal.memory.end());
    (Result { finished, shown, left: node.withdraw() }, memory)
}

/// Starts anew from a journal, and runs what goes on to its end; `None` where nothing does.
async fn goes_on(memory: MemoryJournal) -> Option<(Result, TestNode)> {
    let node = TestNode::after(memory);
    install(&node);
    let result = go_on(&node, || {}).await?;
    Some((result, node))
}

/// As [`goes_on`]; something happens when all have done what they can.
pub(crate) async fn go_on(node: &TestNode, meanwhile: impl FnOnce()) -> Option<Result> {
    let recovery = node.kernel.recover().expect("it can be read");
    assert!(recovery.unreadable.is_empty());
    let resumed = recovery.go_on().await.into_iter().next()?;
    let events = node.kernel.events(resumed.pid).expect("it lives");
    node.settle().await;
    meanwhile();
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
    Some(Result { finished, shown, left })
}

/// The places at which a crash may leave the log.
pub(crate) fn places(memory: &MemoryJournal) -> impl Iterator<Item = Position> + use<> {
    (0..=memory.end().0).map(Position)
}

/// The place from which on the process of an operator is there, and the one at which it is not any more.
pub(crate) fn life(memory: &MemoryJournal) -> (Position, Position) {
    let there = |at: &Position| !memory.up_to(*at).node().expect("it is in memory").living.is_empty();
    let first = places(memory).find(there).expect("it lived");
    let last = places(memory).filter(there).last().expect("it lived");
    (first, Position(last.0 + 1))
}

#[tokio::test]
async fn a_team_ends_as_if_nothing_had_happened_wherever_its_host_ended() {
    let (expect, memory) = undisturbed().await;
    let (born, dead) = life(&memory);
    for at in places(&memory) {
        match goes_on(memory.up_to(at)).await {
            Some((result, node)) => {
                assert!((born..dead).contains(&at), "at {at}");
                assert_eq!(result, expect, "at {at}");
                let answered = chats(&memory.up_to(at));
                assert_eq!(node.engine.jobs.lock().len() + answered, chats(&memory), "at {at}");
            }
            None => assert!(!(born..dead).contains(&at), "at {at}"),
        }
    }
}

/// Generations whose result is in the log.
fn chats(memory: &MemoryJournal) -> usize {
    let is_chat = |entry: &Entry<'_>| match entry {
        Entry::Told(told) => matches!(*told.reply, Reply::Llm(Ok(LlmReply::Completed(_)))),
        _ => false,
    };
    memory.records().iter().filter(|record| record.entry.as_ref().is_some_and(is_chat)).count()
}

#[tokio::test]
async fn a_host_may_end_again_while_it_goes_on() {
    let (expect, memory) = undisturbed().await;
    let (born, dead) = life(&memory);
    for at in (born.0..dead.0).step_by(7) {
        let (_, node) = goes_on(memory.up_to(Position(at))).await.expect("it lives");
        let second = node.journal.memory.up_to(node.journal.memory.end());
        for again in (at..second.end().0).step_by(5) {
            if let Some((result, _)) = goes_on(second.up_to(Position(again))).await {
                assert_eq!(result, expect, "at {at} and again at {again}");
            }
        }
    }
}

/// Starts a script of a name on one node, and lets it go on on another one from every place of its log.
async fn everywhere<F, R>(given: Given, script: F, mut check: impl AsyncFnMut(TestNode, Position))
where
    F: Fn(Guest) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Exit> + Send + 'static,
{
    let node = TestNode::new();
    node.install("alone", script.clone());
    node.run(Given { package: "alone", ..given }, script.clone()).await;
    let memory = &node.journal.memory;
    let (born, dead) = life(memory);
    for at in (born.0..dead.0).map(Position) {
        let again = TestNode::after(memory.up_to(at));
        again.install("alone", script.clone());
        check(again, at).await;
    }
}

/// Reads a stream to its end, and shows what it read and how it ended. Between two pieces it does something else.
async fn reads(guest: Guest) -> Exit {
    let generation = guest.start(prompt("q"), 3).await;
    let mut read = String::new();
    let end = loop {
        guest.wait_for(&[WaitId::Generation(generation)]).await;
        match guest.next(generation).await {
            Ok(Delta::Text(text)) => read.push_str(&text),
            Ok(Delta::End(summary)) => break format!("{:?}", summary.finish),
            Err(LlmError::Unavailable(why)) => break why.into(),
            other => panic!("neither: {other:?}"),
        }
        guest.call(Request::Clock(ClockRequest::Wall)).await;
    };
    emit(&guest, &format!("{read} {end}")).await;
    crate::fakes::done()
}

/// As `reads`, and wants no more after the first piece.
async fn reads_one(guest: Guest) -> Exit {
    let generation = guest.start(prompt("q"), 3).await;
    let first = guest.next(generation).await;
    assert_eq!(first, Ok(Delta::Text("a".into())));
    guest.llm(LlmRequest::Cancel { generation }).await.expect("it is there");
    while !matches!(guest.next(generation).await.expect("it goes on"), Delta::End(_)) {}
    emit(&guest, "cancelled").await;
    crate::fakes::done()
}

/// How a script ends where nothing happens to it.
async fn alone<F, R>(script: F) -> Finished
where
    F: Fn(Guest) -> R + Send + Sync + 'static,
    R: Future<Output = Exit> + Send + 'static,
{
    TestNode::new().run(Given { package: "alone", ..Given::default() }, script).await.0
}

/// What a process that goes on comes to, and the texts that it shows.
async fn end_of(node: &TestNode) -> (Finished, Vec<String>) {
    let resumed = node.kernel.recover().expect("it can be read").go_on().await.pop().expect("it lives");
    let events = node.kernel.events(resumed.pid).expect("it lives");
    let (finished, events) = (resumed.finished.await, events.known(0).await);
    assert!(node.kernel.is_conserved());
    let text = |event| match event {
        Event::Text { text, .. } => String::from_utf8(text.to_vec()).ok(),
        _ => None,
    };
    (finished, events.into_iter().filter_map(|kept| text(kept.event)).collect())
}

#[tokio::test]
async fn a_stream_that_the_host_cut_is_taken_up_where_it_was_read() {
    let expect = alone(reads).await;
    let mut asked = std::collections::BTreeSet::new();
    everywhere(Given::default(), reads, async |node, at| {
        let (finished, shown) = end_of(&node).await;
        assert_eq!(finished, expect, "at {at}");
        assert!(shown.is_empty() || shown == ["aaa Length"], "at {at}: {shown:?}");
        asked.insert(node.engine.jobs.lock().len());
    })
    .await;
    assert!(asked.iter().eq(&[0, 1]), "a stream whose end was read is asked for again");
}

#[tokio::test]
async fn a_stream_that_was_cancelled_stays_so() {
    everywhere(Given::default(), reads_one, async |node, at| {
        let (finished, _) = end_of(&node).await;
        assert!(matches!(finished.ended, Ended::Done(..)), "at {at}: {finished:?}");
        let jobs = node.engine.jobs.lock().len();
        assert!(jobs == 0 || node.engine.was_cancelled(0), "at {at}");
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_would_go_on_otherwise_says_so() {
    let mut ends = std::collections::BTreeSet::new();
    everywhere(Given::default(), reads, async |node, at| {
        node.engine.plays.lock().push_back(Play::Words(&["ab", "c"]));
        let (finished, shown) = end_of(&node).await;
        assert!(matches!(finished.ended, Ended::Done(..)), "at {at}: {finished:?}");
        ends.extend(shown);
    })
    .await;
    let cut = "the host was started anew in the middle of this generation, and the model writes something else now: ask again";
    // From what "ab" begins with it goes on: the piece is cut elsewhere now.
    let expect = [format!("aa {cut}"), format!("aaa {cut}"), "aaa Length".into(), "abc Stop".into()];
    assert!(ends.iter().eq(expect.iter().collect::<std::collections::BTreeSet<_>>()), "{ends:?}");
}

#[tokio::test]
async fn a_committed_state_is_where_it_goes_on_where_nothing_followed() {
    async fn counts(guest: Guest) -> Exit {
        let said = guest.start.resumed.clone().unwrap_or_default();
        emit(&guest, &format!("run {}", said.len())).await;
        match said.len() {
            0 => {
                guest.commit(b"x").await;
                guest.call(Request::Clock(ClockRequest::Wall)).await;
            }
            _ => guest.commit(b"xx").await,
        }
        crate::fakes::done()
    }
    let expect = alone(counts).await;
    let mut runs = Vec::new();
    everywhere(Given::default(), counts, async |node, at| {
        let resumed = node.kernel.recover().expect("it can be read").go_on().await.pop().expect("it lives");
        let events = node.kernel.events(resumed.pid).expect("it lives");
        let (finished, events) = (resumed.finished.await, events.known(0).await);
        let shown: Vec<_> = events.into_iter().map(|kept| (kept.number, kept.event)).collect();
        if finished.checkpoint == expect.checkpoint {
            assert_eq!(finished.ledger, expect.ledger, "at {at}");
        }
        runs.push((at, shown.len(), finished.checkpoint.expect("it commits").len()));
    })
    .await;
    let anew = runs.iter().filter(|(_, _, checkpoint)| *checkpoint == 2).count();
    let whole = runs.iter().filter(|(_, _, checkpoint)| *checkpoint == 1).count();
    assert!(anew >= 1 && whole >= 3, "{runs:?}");
}

#[tokio::test]
async fn one_that_does_something_else_is_parked_and_says_what() {
    async fn looks(guest: Guest) -> Exit {
        guest.call(Request::Clock(ClockRequest::Wall)).await;
        guest.call(Request::Random(RandomRequest::Bytes { length: 1 })).await;
        std::future::pending().await
    }
    async fn looks_elsewhere(guest: Guest) -> Exit {
        guest.call(Request::Clock(ClockRequest::Wall)).await;
        match guest.call(Request::Random(RandomRequest::Bytes { length: 2 })).await {
            Reply::Fault(fault) => Exit { end: Err(fault), fuel: None },
            other => panic!("the log has no such answer: {other:?}"),
        }
    }
    let node = TestNode::new();
    let running = node.spawn(Given { package: "looks", ..Given::default() }, looks);
    let pid = running.pid;
    let finished = tokio::spawn(running.finished);
    node.settle().await;
    let again = TestNode::after(node.journal.memory.up_to(node.journal.memory.end()));
    again.install("looks", looks_elsewhere);
    let resumed = again.kernel.recover().expect("it can be read").go_on().await.pop().expect("it lives");
    let resumed = tokio::spawn(resumed.finished);
    again.settle().await;
    let view = again.kernel.process(pid).expect("it lives");
    assert_eq!(view.state, State::Parked);
    let why = view.parked.expect("it is parked");
    assert!(why.contains("length: 1") && why.contains("length: 2"), "{why}");
    again.kernel.kill(pid);
    assert_eq!(resumed.await.expect("it ends").ended, Ended::Faulted(Fault::Killed));
    assert!(again.kernel.is_conserved());
    drop(finished);
}

#[tokio::test]
async fn one_whose_package_is_gone_is_parked_and_the_others_go_on() {
    let node = TestNode::new();
    for package in ["gone", "there"] {
        drop(tokio::spawn(node.spawn(Given { package, ..Given::default() }, |_| std::future::pending()).finished));
    }
    node.settle().await;
    let again = TestNode::after(node.journal.memory.up_to(node.journal.memory.end()));
    again.install("there", |_| std::future::ready(crate::fakes::done()));
    let resumed = again.kernel.recover().expect("it can be read").go_on().await;
    assert_eq!(resumed.len(), 2);
    again.settle().await;
    let left = again.kernel.processes();
    assert_eq!(left.iter().map(|view| (&*view.package, view.state)).collect::<Vec<_>>(), [("gone", State::Parked)]);
    assert!(left[0].parked.as_deref().is_some_and(|why| why.contains("no agent of that name is installed")));
    drop(resumed);
}

#[tokio::test]
async fn its_own_clock_goes_on_and_never_back() {
    async fn reads(guest: Guest) -> Exit {
        let mut last = 0;
        for _ in 0..4 {
            let now = guest.call(Request::Clock(ClockRequest::Monotonic)).await;
            let Reply::Clock(ClockReply::Monotonic(now)) = now else { panic!("a clock: {now:?}") };
            assert!(now >= last, "{now} after {last}");
            last = now;
        }
        crate::fakes::done()
    }
    let node = TestNode::new();
    node.clock.advance(1_000_000);
    node.install("alone", reads);
    node.run(Given { package: "alone", ..Given::default() }, reads).await;
    let (born, dead) = life(&node.journal.memory);
    for at in born.0..dead.0 {
        // The new host's clock begins at zero.
        let again = TestNode::after(node.journal.memory.up_to(Position(at)));
        again.install("alone", reads);
        let resumed = again.kernel.recover().expect("it can be read").go_on().await.pop().expect("it lives");
        assert!(matches!(resumed.finished.await.ended, Ended::Done(..)));
    }
}
