//! Contexts: an agent appends and chats, and its prompt never has more than it may; what went out is found, and nothing of it gets where it may
//! not.

use crate::{
    fakes::{Given, Guest, Other, Play, TENANT, done, grant, tokens},
    stage::{Played, Stage},
};
use remit_abi::{
    Access, Answering, Appending, BlockEdit, BlockMaking, Content, ContextError, ContextId, ContextOptions,
    ContextReply, ContextRequest, ContextTurn, ContextUsage, Denial, GrantKind, GrantLimits, GrantSpec, Label, Params,
    Place, Recall, Reply, Request, Role, SegmentInfo, ToolCall, Utterance, ValueId, limits,
};
use std::sync::atomic::Ordering;

/// Letters of the wide model's window: each is a token.
pub(crate) const WINDOW: u32 = 1_000;

/// May use the wide model and keep pages, and spend 100,000.
pub(crate) fn talker() -> Given {
    let grants = vec![grant("chat", GrantKind::Model, &["w"]), grant("pages", GrantKind::Memory, &["pages"])];
    Given { grants, budget: tokens(100_000), package: "talker", ..Given::default() }
}

pub(crate) fn serve(engine: &crate::fakes::ScriptedEngine, plays: &[Play]) {
    engine.serve("w", Other { context_length: WINDOW, letter: 1 }, plays);
}

fn stage() -> Stage {
    let stage = Stage::new();
    serve(&stage.node.engine, &[]);
    stage
}

/// The prompts that the engine was given, as texts.
pub(crate) fn prompts(engine: &crate::fakes::ScriptedEngine) -> Vec<String> {
    let text = |prompt: &[u32]| prompt.iter().filter_map(|letter| char::from_u32(*letter)).collect();
    engine.jobs.lock().iter().map(|job| text(&job.prompt)).collect()
}

fn last_prompt(stage: &Stage) -> String {
    prompts(&stage.node.engine).pop().expect("a model was asked")
}

pub(crate) fn plain() -> ContextOptions {
    ContextOptions { output_reserve: 50, ..ContextOptions::default() }
}

impl Guest {
    pub(crate) async fn context(&self, request: ContextRequest) -> Result<ContextReply, ContextError> {
        match self.call(Request::Context(request)).await {
            Reply::Context(result) => result,
            other => panic!("not a reply to context: {other:?}"),
        }
    }

    pub(crate) async fn open_context(&self, options: ContextOptions) -> Result<ContextId, ContextError> {
        let model = self.open_model().await;
        match self.context(ContextRequest::Open { model, options: Box::new(options) }).await? {
            ContextReply::Opened(context) => Ok(context),
            other => panic!("not a context: {other:?}"),
        }
    }

    /// One whose pages lie in the store, with room for what is recalled.
    pub(crate) async fn open_with_pages(&self, options: ContextOptions) -> ContextId {
        let store = Some(self.take("pages").await);
        let options = ContextOptions { store, recall_budget: 200, ..options };
        self.open_context(options).await.expect("it may")
    }

    pub(crate) async fn append(&self, context: ContextId, role: Role, said: Utterance) -> Result<u64, ContextError> {
        let segment = Box::new(Appending { role, said, importance: 128, depends_on: None });
        match self.context(ContextRequest::Append { context, segment }).await? {
            ContextReply::Appended { segment, .. } => Ok(segment),
            other => panic!("not a segment: {other:?}"),
        }
    }

    pub(crate) async fn says(&self, context: ContextId, text: &str) -> u64 {
        let said = Utterance::Text(Content::Text(text.into()));
        self.append(context, Role::User, said).await.expect("there is room")
    }

    pub(crate) async fn answers(&self, context: ContextId) -> Result<Answering, ContextError> {
        let turn = Box::new(ContextTurn { params: Params::greedy(5), tools: None });
        match self.context(ContextRequest::Chat { context, turn }).await? {
            ContextReply::Answered(answering) => Ok(*answering),
            other => panic!("not an answer: {other:?}"),
        }
    }

    /// Says something and lets the model answer; what the turn did. The answer's value is dropped.
    pub(crate) async fn asks(&self, context: ContextId, text: &str) -> Answering {
        self.says(context, text).await;
        let answering = self.answers(context).await.expect("it fits");
        let value = answering.completion.content;
        self.call(Request::Value(remit_abi::ValueRequest::Drop { value })).await;
        answering
    }

    /// Talks about nothing so often.
    pub(crate) async fn chatters(&self, context: ContextId, turns: u32) {
        for turn in 0..turns {
            self.asks(context, &format!("filler {turn} {}", "x".repeat(turn as usize * 37 % 90))).await;
        }
    }

    pub(crate) async fn segments(&self, context: ContextId) -> Box<[SegmentInfo]> {
        match self.context(ContextRequest::Segments { context, after: None, count: 4096 }).await {
            Ok(ContextReply::Segments(segments)) => segments,
            other => panic!("it is there: {other:?}"),
        }
    }

    async fn usage(&self, context: ContextId) -> ContextUsage {
        match self.context(ContextRequest::Usage { context }).await {
            Ok(ContextReply::Usage(usage)) => *usage,
            other => panic!("it is there: {other:?}"),
        }
    }

    pub(crate) async fn value_of(&self, request: ContextRequest) -> ValueId {
        match self.context(request).await {
            Ok(ContextReply::Value(value)) => value,
            other => panic!("it is there: {other:?}"),
        }
    }

    async fn text_of(&self, context: ContextId, segment: u64) -> String {
        let value = self.value_of(ContextRequest::Read { context, segment }).await;
        String::from_utf8(self.read(value).await.to_vec()).expect("it is text")
    }

    pub(crate) async fn fork_context(&self, context: ContextId) -> ContextId {
        match self.context(ContextRequest::Fork { context }).await {
            Ok(ContextReply::Opened(fork)) => fork,
            other => panic!("there is room: {other:?}"),
        }
    }
}

async fn talking() -> (Stage, Played) {
    let stage = stage();
    let alice = stage.start(talker()).await;
    (stage, alice)
}

#[tokio::test]
async fn three_hundred_turns_never_have_more_than_the_window() {
    let (stage, alice) = talking().await;
    let context = alice.open_context(plain()).await.expect("it may");
    alice.chatters(context, 300).await;
    let longest = stage.node.engine.jobs.lock().iter().map(|job| job.prompt.len()).max();
    assert!(longest.is_some_and(|longest| (800..=950).contains(&longest)), "{longest:?}");
    let usage = alice.usage(context).await;
    assert_eq!((usage.segments, usage.window), (600, WINDOW));
    let segments = alice.segments(context).await;
    assert!(segments.iter().filter(|info| info.place == Place::Stub).count() > 500);
    assert!(last_prompt(&stage).starts_with("[Messages 0 to "), "{}", last_prompt(&stage));
    // What is out is there, and comes back by its number.
    assert!(alice.text_of(context, 0).await.starts_with("filler 0 "));
    assert_eq!(alice.context(ContextRequest::PageIn { context, segments: [0].into() }).await, Ok(ContextReply::Done));
    alice.asks(context, "and now?").await;
    assert!(last_prompt(&stage).starts_with("filler 0 "));
    stage.end(alice, done()).await;
    stage.assert_empty();
}

#[tokio::test]
async fn what_went_out_is_recalled_when_it_is_asked_for() {
    let (stage, alice) = talking().await;
    let context = alice.open_with_pages(plain()).await;
    alice.asks(context, "the key lies under the mat").await;
    alice.chatters(context, 40).await;
    assert!(!last_prompt(&stage).contains("under the mat"));
    let answering = alice.asks(context, "where lies the key").await;
    assert!(last_prompt(&stage).contains("[Message 0 of the user, looked up:]\nthe key lies under the mat"));
    assert_eq!((answering.report.recall, answering.report.recalled[0]), (Recall::Sought, 0));
    alice.asks(context, "thanks").await;
    assert!(!last_prompt(&stage).contains("under the mat"), "it leaves with its turn");
    // Each page was put once.
    let living = stage.node.memory.living(TENANT);
    let out = alice.segments(context).await.iter().filter(|info| info.place == Place::Stub).count();
    assert_eq!((living.len(), stage.node.memory.writes(TENANT).len()), (out, out));
}

#[tokio::test]
async fn a_store_that_fails_costs_the_recall_and_not_the_turn() {
    let (stage, alice) = talking().await;
    let context = alice.open_with_pages(plain()).await;
    alice.asks(context, "the key lies under the mat").await;
    alice.chatters(context, 20).await;
    stage.node.memory.fails.store(true, Ordering::SeqCst);
    let before = stage.node.memory.writes(TENANT).len();
    alice.chatters(context, 20).await;
    let answering = alice.asks(context, "where lies the key").await;
    assert_eq!(answering.report.recall, Recall::Unavailable);
    assert!(answering.report.not_stored > 0 && stage.node.memory.writes(TENANT).len() == before);
    stage.node.memory.fails.store(false, Ordering::SeqCst);
    let answering = alice.asks(context, "where lies the key").await;
    assert_eq!((answering.report.recalled[0], answering.report.not_stored), (0, 0), "it is made up for");
}

#[tokio::test]
async fn a_page_that_is_purged_or_forged_is_not_recalled() {
    let (stage, alice) = talking().await;
    let context = alice.open_with_pages(plain()).await;
    alice.asks(context, "the key lies under the mat").await;
    alice.chatters(context, 40).await;
    let page =
        stage.node.memory.living(TENANT).into_iter().find(|(.., text, _)| text.contains("mat")).expect("it is out");
    stage.node.kernel.forget_entries(TENANT, &[page.0], true).await.expect("it is there");
    let answering = alice.asks(context, "where lies the key").await;
    assert!(!answering.report.recalled.contains(&0), "{answering:?}");
    assert_eq!(alice.text_of(context, 0).await, "the key lies under the mat", "the context has it still");
    // Another page claims to be what the segment said.
    let original = stage.node.memory.writes(TENANT).into_iter().find_map(|write| match write.act {
        remit_kernel::ports::MemoryAct::Put(version) if version.id == page.0 => Some(*version),
        _ => None,
    });
    let original = original.expect("it was put");
    let bytes = "the key lies with mallory".as_bytes().into();
    let forged = remit_kernel::Remembering {
        tenant: TENANT,
        store: "pages".into(),
        label: Label::TRUSTED,
        content: remit_abi::Remembered { bytes, ..original.content },
        particulars: original.particulars,
    };
    stage.node.kernel.remember(forged).await.expect("an operator may");
    let answering = alice.asks(context, "where lies the key").await;
    assert!(!answering.report.recalled.contains(&0) && !last_prompt(&stage).contains("mallory"), "{answering:?}");
}

#[tokio::test]
async fn a_message_larger_than_the_window_is_clipped() {
    let (stage, alice) = talking().await;
    let context = alice.open_context(plain()).await.expect("it may");
    let long = format!("begin {} end", "long ".repeat(1_000));
    let answering = alice.asks(context, &long).await;
    assert!(answering.report.prompt_tokens <= 950, "{answering:?}");
    let prompt = last_prompt(&stage);
    assert!(prompt.starts_with("begin ") && prompt.ends_with(" end"), "{prompt}");
    assert!(prompt.contains("\n[The middle of message 0 is left out.]\n"), "{prompt}");
    assert_eq!(alice.text_of(context, 0).await, long);
}

#[tokio::test]
async fn calls_and_their_results_are_messages_as_any() {
    let (stage, alice) = talking().await;
    serve(&stage.node.engine, &[Play::Calls(&["so"], &[("add", "{}")])]);
    let context = alice.open_context(plain()).await.expect("it may");
    let answering = alice.asks(context, "add it").await;
    assert_eq!((answering.segment, answering.completion.calls.is_some()), (Some(1), true));
    let result = |id: &str, text: &str| Utterance::Result(id.into(), Content::Text(text.into()));
    let unknown = alice.append(context, Role::User, result("c9", "7")).await;
    assert!(matches!(unknown, Err(ContextError::Invalid(why)) if why.contains("no call \"c9\"")));
    let said = alice.append(context, Role::Assistant, result("c0", "7")).await;
    assert!(matches!(said, Err(ContextError::Invalid(_))), "{said:?}");
    assert_eq!(alice.append(context, Role::User, result("c0", "7")).await, Ok(2));
    assert!(alice.append(context, Role::User, result("c0", "8")).await.is_err(), "it has a result");
    alice.answers(context).await.expect("it fits");
    assert_eq!(last_prompt(&stage), "add itso[c0 add {}](c0 add 7)");
    let call = ToolCall { id: "d1".into(), name: "sub".into(), arguments: "{}".into() };
    let asked = Utterance::Calls(Content::Text("".into()), [call].into());
    assert!(alice.append(context, Role::User, asked.clone()).await.is_err(), "only the assistant asks");
    assert_eq!(alice.append(context, Role::Assistant, asked).await, Ok(4));
    assert_eq!(alice.append(context, Role::User, result("d1", "1")).await, Ok(5));
    alice.chatters(context, 60).await;
    let prompts = prompts(&stage.node.engine);
    assert!(
        prompts
            .iter()
            .all(|prompt| prompt.contains("[d1 sub {}]") == prompt.contains("(d1 sub 1)") || prompts[1] == *prompt)
    );
}

#[tokio::test]
async fn blocks_are_always_there_and_pins_stay_until_there_is_no_room() {
    let (stage, alice) = talking().await;
    let context = alice.open_context(plain()).await.expect("it may");
    let block = |name: &str, text: &str| {
        let block = BlockMaking { name: name.into(), text: Content::Text(text.into()), tokens_max: 60 };
        ContextRequest::MakeBlock { context, block: Box::new(block) }
    };
    assert_eq!(alice.context(block("person", "name: unknown")).await, Ok(ContextReply::Counted(13)));
    assert!(matches!(alice.context(block("person", "again")).await, Err(ContextError::Invalid(_))));
    assert!(matches!(alice.context(block("long", &"x".repeat(61))).await, Err(ContextError::Invalid(_))));
    let text = |text: &str| Content::Text(text.into());
    let edit = BlockEdit::ReplacePart { old: text("unknown"), new: text("Ada") };
    let edit = ContextRequest::EditBlock { context, name: "person".into(), edit: Box::new(edit) };
    assert_eq!(alice.context(edit.clone()).await, Ok(ContextReply::Counted(9)));
    assert!(matches!(alice.context(edit).await, Err(ContextError::Invalid(why)) if why.contains("stands 0 times")));
    let pinned = alice.says(context, &"p".repeat(500)).await;
    alice.context(ContextRequest::Pin { context, segment: pinned }).await.expect("it is there");
    alice.chatters(context, 40).await;
    let prompt = last_prompt(&stage);
    assert!(prompt.starts_with("[person]\nname: Ada") && prompt.contains(&"p".repeat(500)), "{prompt}");
    let other = alice.says(context, &"q".repeat(500)).await;
    alice.context(ContextRequest::Pin { context, segment: other }).await.expect("it is there");
    match alice.answers(context).await {
        Err(ContextError::Pinned { unpin, .. }) => assert_eq!(*unpin, [other]),
        other => panic!("there is no room: {other:?}"),
    }
    alice.context(ContextRequest::Unpin { context, segment: other }).await.expect("it is there");
    alice.answers(context).await.expect("there is room again");
    let remove = ContextRequest::RemoveBlock { context, name: "person".into() };
    assert_eq!(alice.context(remove).await, Ok(ContextReply::Done));
    alice.asks(context, "who").await;
    assert!(!last_prompt(&stage).contains("Ada"));
}

#[tokio::test]
async fn a_fork_goes_its_own_way() {
    let (stage, alice) = talking().await;
    let context = alice.open_with_pages(plain()).await;
    alice.asks(context, "the key lies under the mat").await;
    alice.chatters(context, 40).await;
    let fork = alice.fork_context(context).await;
    alice.asks(context, "the lamp stands on the left").await;
    alice.asks(fork, "the lamp stands on the right").await;
    for one in [context, fork] {
        alice.chatters(one, 40).await;
    }
    for (one, side, other) in [(context, "left", "right"), (fork, "right", "left")] {
        alice.asks(one, "where stands that lamp").await;
        let prompt = last_prompt(&stage);
        assert!(prompt.contains(&format!("on the {side}")) && !prompt.contains(other), "{prompt}");
        alice.asks(one, "where lies the key").await;
        assert!(last_prompt(&stage).contains("under the mat"), "both have the same past");
    }
}

#[tokio::test]
async fn who_has_no_right_is_denied() {
    let (stage, alice) = talking().await;
    let none = stage.start(Given { grants: vec![grant("chat", GrantKind::Model, &["w"])], ..talker() }).await;
    let stranger = Some(alice.take("pages").await);
    let missing = none.open_context(ContextOptions { store: stranger, ..plain() }).await;
    assert_eq!(missing, Err(ContextError::Denied(Denial::NotGranted("memory".into()))));
    let read_only = GrantSpec { access: Access::ReadOnly, ..grant("pages", GrantKind::Memory, &["pages"]) };
    let several = grant("all", GrantKind::Memory, &["*"]);
    let grants = vec![grant("chat", GrantKind::Model, &["w"]), read_only, several];
    let bob = stage.start(Given { grants, ..talker() }).await;
    let store = Some(bob.take("pages").await);
    let denied = bob.open_context(ContextOptions { store, ..plain() }).await;
    assert_eq!(denied, Err(ContextError::Denied(Denial::OutOfScope { grant: "pages".into() })));
    let store = Some(bob.take("all").await);
    let many = bob.open_context(ContextOptions { store, ..plain() }).await;
    assert!(matches!(many, Err(ContextError::Invalid(why)) if why.contains("attenuate")));
    let fewer = GrantLimits { max_tokens_per_call: Some(4), ..GrantLimits::default() };
    let grants = vec![GrantSpec { limits: fewer, ..grant("chat", GrantKind::Model, &["w"]) }];
    let carol = stage.start(Given { grants, ..talker() }).await;
    let context = carol.open_context(plain()).await.expect("it may");
    carol.says(context, "five tokens").await;
    assert_eq!(carol.answers(context).await, Err(ContextError::Denied(Denial::Exceeded("chat".into()))));
}

#[tokio::test]
async fn ids_that_name_nothing_open_nothing() {
    let (stage, alice) = talking().await;
    let context = alice.open_context(plain()).await.expect("it may");
    alice.says(context, "one").await;
    let bob = stage.start(talker()).await;
    let dead = ContextId { index: context.index, generation: context.generation + 2 };
    for (guest, id) in [(&alice, dead), (&bob, context)] {
        for request in [ContextRequest::Usage { context: id }, ContextRequest::Fork { context: id }] {
            assert_eq!(guest.context(request).await, Err(ContextError::Dead));
        }
        assert_eq!(guest.answers(id).await, Err(ContextError::Dead));
    }
    let unknown = ContextError::NoSuchSegment { segment: u64::MAX, count: 1 };
    let far = u64::MAX;
    let requests = [
        ContextRequest::Pin { context, segment: far },
        ContextRequest::Unpin { context, segment: far },
        ContextRequest::SetImportance { context, segment: far, importance: 1 },
        ContextRequest::SetOrder { context, segments: [0, far].into() },
        ContextRequest::PageIn { context, segments: [far].into() },
        ContextRequest::Read { context, segment: far },
    ];
    for request in requests {
        assert_eq!(alice.context(request.clone()).await, Err(unknown.clone()), "{request:?}");
    }
    let after = ContextRequest::Segments { context, after: Some(far), count: 4096 };
    assert_eq!(alice.context(after).await, Ok(ContextReply::Segments(Box::default())));
    let depends = Appending {
        role: Role::User,
        said: Utterance::Text(Content::Text("x".into())),
        importance: 0,
        depends_on: Some(far),
    };
    let append = ContextRequest::Append { context, segment: Box::new(depends) };
    assert_eq!(alice.context(append).await, Err(unknown));
    let empty = Utterance::Text(Content::Text("".into()));
    assert!(matches!(alice.append(context, Role::User, empty).await, Err(ContextError::Invalid(_))));
    assert_eq!(alice.context(ContextRequest::Drop { context }).await, Ok(ContextReply::Done));
    assert_eq!(alice.answers(context).await, Err(ContextError::Dead));
}

#[tokio::test]
async fn contexts_are_bounded_in_number_and_with_values_in_bytes() {
    let stage = stage();
    let limits = limits::Limits { value_bytes_max: 10_000, ..limits::Limits::default() };
    let alice = stage.start(Given { limits, ..talker() }).await;
    let context = alice.open_context(plain()).await.expect("it may");
    assert_eq!(alice.answers(context).await, Err(ContextError::Empty));
    let full = loop {
        let said = Utterance::Text(Content::Text("x".repeat(1_000).into()));
        if let Err(error) = alice.append(context, Role::User, said).await {
            break error;
        }
    };
    assert_eq!(full, ContextError::TooLarge { limit: 10_000 });
    assert_eq!(alice.segments(context).await.len(), 7, "each counts what is known of it, too");
    let fork = alice.context(ContextRequest::Fork { context }).await;
    assert_eq!(fork, Err(ContextError::TooLarge { limit: 10_000 }));
    alice.context(ContextRequest::Drop { context }).await.expect("it is there");
    alice.make_value(&[0; 10_000]).await;
    let mut opened = 0;
    let full = loop {
        match alice.open_context(plain()).await {
            Ok(_) => opened += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((opened, full), (limits::CONTEXTS_MAX, ContextError::TooMany { limit: limits::CONTEXTS_MAX as u64 }));
}

#[tokio::test]
async fn what_an_order_names_goes_first_and_what_matters_stays() {
    let (stage, alice) = talking().await;
    let context = alice.open_context(plain()).await.expect("it may");
    let first = alice.says(context, "first and old").await;
    for turn in 0..8 {
        alice.asks(context, &format!("{turn}{}", "y".repeat(100))).await;
    }
    let newer: Box<[u64]> =
        alice.segments(context).await.iter().map(|info| info.segment).filter(|id| *id > 2).collect();
    alice.context(ContextRequest::SetOrder { context, segments: newer }).await.expect("they are there");
    alice.asks(context, &"z".repeat(100)).await;
    let places = alice.segments(context).await;
    assert_eq!((places[first as usize].place, places[3].place), (Place::Resident, Place::Stub), "{places:?}");
    assert!(last_prompt(&stage).starts_with("first and old"));
}
