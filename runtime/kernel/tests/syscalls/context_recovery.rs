//! Contexts over summaries, labels, crashes, sleep and runs.

use crate::{
    context::{plain, prompts, serve, talker},
    fakes::{Given, Guest, Play, TENANT, TestNode, done, grant, tokens},
    hibernation::sleeping_until,
    recovery::{emit, life, places},
    stage::Stage,
};
use remit_abi::{
    Content, ContextError, ContextId, ContextOptions, ContextReply, ContextRequest, Denial, Event, Exit, Failure,
    GrantKind, GrantLimits, GrantSpec, InItsPlace, Integrity, Label, Recall, Reply, Request, Role, Utterance, ValueId,
    ValueReply, ValueRequest, WaitId,
};
use remit_kernel::{Ended, MemoryJournal, RestartPolicy, Spawned, ports::Entry};

fn summed() -> ContextOptions {
    ContextOptions { in_place: InItsPlace::Summary, ..plain() }
}

#[tokio::test]
async fn summaries_stand_for_what_is_out_and_take_in_each_other() {
    let stage = Stage::new();
    serve(&stage.node.engine, &[]);
    let alice = stage.start(talker()).await;
    let context = alice.open_context(summed()).await.expect("it may");
    let (mut written, mut paid) = (0, tokens(0));
    for turn in 0..120 {
        let report = alice.asks(context, &format!("filler {turn} {}", "x".repeat(80))).await.report;
        assert!(report.prompt_tokens <= 950, "{report:?}");
        (written, paid) = (written + report.summarised, paid.saturating_add(report.paid));
    }
    let prompts = prompts(&stage.node.engine);
    let (summaries, answers): (Vec<_>, Vec<_>) =
        prompts.iter().partition(|prompt| prompt.starts_with("Write down what the following part"));
    assert_eq!((summaries.len(), answers.len()), (written as usize, 120));
    assert!(written > 3 && paid > tokens(0), "{written} {paid:?}");
    assert!(summaries.iter().any(|prompt| prompt.contains("[Before:] a")), "a summary takes in those beside it");
    assert!(summaries.iter().any(|prompt| prompt.contains("user: filler")));
    let last = answers.last().expect("there are some");
    assert!(last.contains(" in short:]\na"), "{last}");
    assert!(last.matches(" in short:]").count() <= 4, "{last}");
}

#[tokio::test]
async fn where_a_summary_cannot_be_had_a_stub_stands() {
    let stage = Stage::new();
    serve(&stage.node.engine, &[]);
    let alice = stage.start(talker()).await;
    let context = alice.open_context(summed()).await.expect("it may");
    let mut failed = 0;
    for turn in 0..60 {
        // The next generation fails: a summary, or else the answer.
        serve(&stage.node.engine, &[Play::FailsAlone]);
        alice.says(context, &format!("filler {turn} {}", "x".repeat(80))).await;
        match alice.answers(context).await {
            Ok(answering) => {
                assert_eq!(answering.report.summarised, 0);
                failed += 1;
            }
            Err(ContextError::Unavailable(_)) => drop(alice.answers(context).await.expect("what was said stays")),
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(failed > 0);
    assert!(!prompts(&stage.node.engine).iter().any(|prompt| prompt.contains(" in short:]")));
}

#[tokio::test]
async fn a_budget_that_pays_no_summary_pays_answers() {
    let stage = Stage::new();
    serve(&stage.node.engine, &[]);
    let alice = stage.start(Given { budget: tokens(6_000), ..talker() }).await;
    let context = alice.open_context(summed()).await.expect("it may");
    let mut last = None;
    let shortfall = loop {
        alice.says(context, &format!("filler {}", "x".repeat(80))).await;
        match alice.answers(context).await {
            Ok(answering) => last = Some(answering.report),
            Err(error) => break error,
        }
    };
    assert!(matches!(shortfall, ContextError::Shortfall(_)), "{shortfall:?}");
    assert!(last.is_some());
    assert!(stage.node.kernel.is_conserved());
}

#[tokio::test]
async fn a_prompt_has_the_label_of_its_pieces() {
    let stage = Stage::new();
    serve(&stage.node.engine, &[]);
    let tag = stage.node.kernel.tag(TENANT, "medical").expect("there is room");
    let secret = Label { integrity: Integrity::Untrusted, tags: tag };
    let input = vec![("the blood is of group zero", secret)];
    let alice = stage.start(Given { input, ..talker() }).await;
    let context = alice.open_with_pages(plain()).await;
    let document = Content::Value(alice.start.conversation[0].content);
    let segment = alice.append(context, Role::User, Utterance::Text(document)).await.expect("there is room");
    let answer = alice.answers(context).await.expect("nothing forbids it").completion.content;
    assert_eq!((alice.label_of(answer).await, alice.own_label().await), (secret, Label::TRUSTED));
    // Each answer has seen the ones before it, so only one that has seen none of them is clean again.
    for number in 0..20 {
        alice.says(context, &format!("filler {number} {}", "x".repeat(80))).await;
    }
    let answer = alice.answers(context).await.expect("it fits").completion.content;
    assert_eq!(alice.label_of(answer).await, Label::TRUSTED, "it is out of the window");
    let read = alice.value_of(ContextRequest::Read { context, segment }).await;
    assert_eq!(alice.label_of(read).await, secret);
    let kept = alice.value_of(ContextRequest::Snapshot { context }).await;
    assert_eq!(alice.label_of(kept).await, secret);
    // That it is found tells of what it says, and the answer of what it was given.
    alice.says(context, "which group zero blood").await;
    let answering = alice.answers(context).await.expect("it fits");
    assert_eq!((answering.report.recall, answering.report.recalled.contains(&0)), (Recall::Sought, true));
    assert_eq!(alice.label_of(answering.completion.content).await, secret);
    assert_eq!(alice.own_label().await, Label { tags: tag, ..Label::TRUSTED });
}

#[tokio::test]
async fn what_is_above_the_models_ceiling_is_not_sent_and_not_recalled() {
    let stage = Stage::new();
    serve(&stage.node.engine, &[]);
    let limits = GrantLimits { ceiling: Some(Label::TRUSTED), ..GrantLimits::default() };
    let narrow = GrantSpec { limits, ..grant("chat", GrantKind::Model, &["w"]) };
    let wide = grant("wide", GrantKind::Model, &["w"]);
    let pages = grant("pages", GrantKind::Memory, &["pages"]);
    let input = vec![("the key lies under the mat", Label::UNTRUSTED)];
    let alice = stage.start(Given { grants: vec![narrow, wide, pages], input, ..talker() }).await;
    let context = alice.open_with_pages(plain()).await;
    let document = Content::Value(alice.start.conversation[0].content);
    alice.append(context, Role::User, Utterance::Text(document)).await.expect("there is room");
    let denied = alice.answers(context).await;
    assert_eq!(denied, Err(ContextError::Denied(Denial::Tainted { grant: "chat".into() })));
    // Nothing that was never sent goes out by being talked over: it is still in the window.
    alice.says(context, "filler").await;
    assert!(matches!(alice.answers(context).await, Err(ContextError::Denied(_))));
    assert!(prompts(&stage.node.engine).is_empty());
}

/// Talks, with a store and summaries, and shows what it came to.
async fn talks(guest: Guest) -> Exit {
    talks_and_waits(guest, 0).await
}

/// The same, and waits for a while in the middle of it.
async fn talks_late(guest: Guest) -> Exit {
    talks_and_waits(guest, 500).await
}

async fn talks_and_waits(guest: Guest, until_ns: u64) -> Exit {
    let context = guest.open_with_pages(ContextOptions { recall_budget: 200, ..summed() }).await;
    guest.asks(context, "the key lies under the mat").await;
    let timer = guest.timer(until_ns).await;
    guest.chatters(context, 25).await;
    guest.wait_for(&[WaitId::Timer(timer)]).await;
    let fork = guest.fork_context(context).await;
    let answering = guest.asks(fork, "where lies the key").await;
    emit(&guest, &format!("{:?}", answering.report)).await;
    guest.chatters(context, 3).await;
    for one in [context, fork] {
        emit(&guest, &format!("{:?}", guest.segments(one).await)).await;
        let kept = guest.value_of(ContextRequest::Snapshot { context: one }).await;
        emit(&guest, &format!("{:?}", guest.read(kept).await)).await;
    }
    done()
}

/// Generations whose answers the log has, with their summaries.
fn generations(memory: &MemoryJournal) -> usize {
    let records = memory.records();
    let told = records.iter().filter_map(|record| match &record.entry {
        Some(Entry::Told(told)) => Some(&*told.reply),
        _ => None,
    });
    told.map(|reply| match reply {
        Reply::Context(Ok(ContextReply::Answered(answering))) => 1 + answering.report.summarised as usize,
        _ => 0,
    })
    .sum()
}

fn texts(shown: impl IntoIterator<Item = Event>) -> Vec<String> {
    let text = |event| match event {
        Event::Text { text, .. } => String::from_utf8(text.to_vec()).ok(),
        _ => None,
    };
    shown.into_iter().filter_map(text).collect()
}

fn node_of(memory: Option<MemoryJournal>) -> TestNode {
    let node = memory.map_or_else(TestNode::new, TestNode::after);
    serve(&node.engine, &[]);
    node.install("talker", talks);
    node
}

#[tokio::test]
async fn whenever_the_host_ends_the_conversation_goes_on_as_it_was_and_nothing_is_asked_again() {
    let node = node_of(None);
    let time = node.clock.clone();
    time.advance(1_000);
    let (expect, shown) = node.run(talker(), talks).await;
    assert!(matches!(expect.ended, Ended::Done(..)), "{expect:?}");
    let shown = texts(shown);
    assert!(shown[0].contains("recalled: [0"), "{}", shown[0]);
    let memory = node.journal.memory.up_to(node.journal.memory.end());
    let (born, dead) = life(&memory);
    for at in places(&memory).filter(|at| (born..dead).contains(at)).step_by(3) {
        let again = node_of(Some(memory.up_to(at)));
        again.clock.advance(1_000);
        let resumed = again.kernel.recover().expect("it can be read").go_on().await.pop().expect("it lives");
        let events = again.kernel.events(resumed.pid).expect("it lives");
        let (finished, events) = (resumed.finished.await, events.known(0).await);
        assert_eq!(finished, expect, "at {at}");
        let told = texts(events.into_iter().map(|kept| kept.event));
        assert!(shown.ends_with(&told), "at {at}: {told:?} and not {shown:?}");
        assert_eq!(again.engine.jobs.lock().len() + generations(&memory.up_to(at)), generations(&memory), "at {at}");
        assert!(again.kernel.is_conserved());
    }
}

#[tokio::test]
async fn who_sleeps_between_two_turns_goes_on_as_who_does_not() {
    let mut ends = Vec::new();
    for patience_ns in [None, Some(1)] {
        let node = node_of(None);
        node.kernel.set_patience(patience_ns);
        let Spawned { mut events, finished, .. } = node.spawn(talker(), talks_late);
        let all = async {
            tokio::join!(finished, async {
                let mut shown = Vec::new();
                while let Some(event) = events.recv().await {
                    shown.push(event);
                }
                shown
            })
        };
        let ((finished, shown), asleep) = sleeping_until(&node, all).await;
        assert_eq!(asleep > 0, patience_ns.is_some());
        ends.push((finished, texts(shown).first().cloned(), node.engine.jobs.lock().len()));
    }
    assert_eq!(ends[0], ends[1]);
}

impl Guest {
    async fn value_from(&self, bytes: &[u8]) -> ValueId {
        let request = ValueRequest::FromBytes { bytes: bytes.to_vec().into(), media_type: "x/y".into() };
        match self.call(Request::Value(request)).await {
            Reply::Value(Ok(ValueReply::Made(value))) => value,
            other => panic!("there is room: {other:?}"),
        }
    }

    async fn restore_context(&self, snapshot: &[ValueId]) -> Result<ContextId, ContextError> {
        let model = self.open_model().await;
        let options = ContextOptions { store: Some(self.take("pages").await), recall_budget: 200, ..plain() };
        let request = ContextRequest::Restore { model, options: Box::new(options), snapshot: snapshot.into() };
        match self.context(request).await? {
            ContextReply::Opened(context) => Ok(context),
            other => panic!("not a context: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_snapshot_in_a_checkpoint_is_how_a_context_outlives_its_run() {
    async fn keeps(guest: Guest) -> Exit {
        let Some(state) = guest.start.resumed.clone() else {
            let context = guest.open_with_pages(plain()).await;
            guest.asks(context, "the key lies under the mat").await;
            guest.chatters(context, 30).await;
            let kept = guest.value_of(ContextRequest::Snapshot { context }).await;
            let state = guest.read(kept).await;
            let commit = remit_abi::CheckpointRequest::Commit { state };
            assert_eq!(guest.call(Request::Checkpoint(commit)).await, Reply::Checkpoint(Ok(())));
            return Exit { end: Ok(Err(Failure { message: "again".into(), retryable: true })), ..done() };
        };
        for index in 0..4 {
            let earlier = ContextId { index, generation: 1 };
            let gone = guest.context(ContextRequest::Usage { context: earlier }).await;
            assert_eq!(gone, Err(ContextError::Dead), "it went with its run");
        }
        let (head, tail) = state.split_at(state.len() / 3);
        let pieces = [guest.value_from(head).await, guest.value_from(tail).await];
        let context = guest.restore_context(&pieces).await.expect("it is whole");
        let report = guest.asks(context, "where lies the key").await.report;
        assert!(report.recalled.contains(&0), "{report:?}");
        for damaged in [&pieces[..1], &pieces[1..], &[]] {
            assert!(matches!(guest.restore_context(damaged).await, Err(ContextError::Invalid(_))));
        }
        for place in 0..state.len() {
            let mut changed = state.to_vec();
            changed[place] ^= 0x15;
            let value = guest.value_from(&changed).await;
            if let Ok(context) = guest.restore_context(&[value]).await {
                drop(guest.segments(context).await);
                guest.context(ContextRequest::Drop { context }).await.expect("it is there");
            }
            guest.call(Request::Value(ValueRequest::Drop { value })).await;
        }
        done()
    }
    let node = TestNode::new();
    serve(&node.engine, &[]);
    let restart = RestartPolicy { restart: remit_abi::Restart::OnFailure, ..RestartPolicy::default() };
    let Spawned { finished, .. } = node.spawn(Given { restart, ..talker() }, keeps);
    let finished = passing(&node, finished).await;
    assert!(matches!(finished.ended, Ended::Done(..)), "{finished:?}");
    assert!(prompts(&node.engine).iter().any(|prompt| prompt.contains("looked up:]\nthe key lies under the mat")));
}

/// Lets pauses between runs go by.
async fn passing<T>(node: &TestNode, future: impl Future<Output = T>) -> T {
    let clock = node.clock.clone();
    let time = tokio::spawn(async move {
        loop {
            clock.advance(100_000_000);
            tokio::task::yield_now().await;
        }
    });
    let outcome = future.await;
    time.abort();
    outcome
}

#[tokio::test]
async fn a_snapshot_that_somebody_could_change_has_their_label() {
    let stage = Stage::new();
    serve(&stage.node.engine, &[]);
    let alice = stage.start(Given { input: vec![("read me", Label::UNTRUSTED)], ..talker() }).await;
    let context = alice.open_with_pages(plain()).await;
    alice.asks(context, "trusted").await;
    let kept = alice.value_of(ContextRequest::Snapshot { context }).await;
    let bytes = alice.read(kept).await;
    assert_eq!(alice.label_of(kept).await, Label::TRUSTED);
    alice.read(alice.start.conversation[0].content).await;
    let changed = alice.value_from(&bytes).await;
    let context = alice.restore_context(&[changed]).await.expect("it is whole");
    let read = alice.value_of(ContextRequest::Read { context, segment: 0 }).await;
    assert_eq!(alice.label_of(read).await, Label::UNTRUSTED);
}

#[tokio::test]
async fn nothing_that_was_said_is_in_a_request_of_the_log() {
    let node = node_of(None);
    node.clock.advance(1_000);
    node.run(talker(), talks).await;
    let asked: String = node
        .journal
        .memory
        .records()
        .into_iter()
        .filter_map(|record| match record.entry {
            Some(Entry::Told(told)) => Some(format!("{:?}", told.asked.request())),
            _ => None,
        })
        .collect();
    assert!(asked.contains("Context(Open") && !asked.contains("under the mat"), "{asked}");
}
