//! Tools act outside the node: who may call them, what they are given and say, and what stops them.

use crate::{
    fakes::{Given, Guest, TENANT, done, grant},
    guest::same,
    stage::{Played, Stage, failed, stranger},
};
use futures::{FutureExt, poll};
use remit_abi::{
    Access, Attenuate, CapabilityRequest, Content, Denial, Fault, GrantId, GrantKind, GrantLimits, GrantSpec,
    Integrity, Label, Reply, Request, Restart, TenantId, Tokens, ToolCallId, ToolError, ToolReply, ToolRequest,
    ToolUse, ValueId, WaitId, limits,
};
use remit_authority::PriceList;
use remit_kernel::{
    RestartPolicy,
    ports::{Change, Effect, Fact, OutcomeKind, PostedToolCall, ToolFacts, Uncertain},
};
use std::sync::atomic::Ordering;

/// A right to a tool.
pub(crate) fn tool(name: &str) -> GrantSpec {
    grant(name, GrantKind::Tool, &[name])
}

/// May call every tool that is declared, and spend 100.
pub(crate) fn user() -> Given {
    let grants = ["look", "set", "pay", "send", "again", "ask"].map(tool);
    Given { grants: grants.into(), ..stranger() }
}

impl Guest {
    pub(crate) async fn tool(&self, request: ToolRequest) -> Result<ToolReply, ToolError> {
        match self.call(Request::Tool(request)).await {
            Reply::Tool(result) => result,
            other => panic!("not a reply to tool: {other:?}"),
        }
    }

    pub(crate) async fn try_tool(&self, grant: GrantId, arguments: Content) -> Result<ToolCallId, ToolError> {
        match self.tool(ToolRequest::Call(Box::new(ToolUse { grant, arguments }))).await? {
            ToolReply::Called(call) => Ok(call),
            other => panic!("not a call: {other:?}"),
        }
    }

    /// Calls a tool that it may call.
    pub(crate) async fn use_tool(&self, name: &str, arguments: &str) -> ToolCallId {
        let grant = self.take(name).await;
        self.try_tool(grant, Content::Text(arguments.into())).await.expect("it may, and there is room")
    }

    /// What came of a call: what the tool said where it was done, and what it said where it failed.
    pub(crate) async fn came(&self, call: ToolCallId) -> Result<Result<ValueId, ValueId>, ToolError> {
        match self.tool(ToolRequest::Collect { call }).await? {
            ToolReply::Returned(said) => Ok(Ok(said)),
            ToolReply::Failed(said) => Ok(Err(said)),
            other => panic!("not what came of a call: {other:?}"),
        }
    }

    /// What a tool said when it was done.
    async fn tool_said(&self, call: ToolCallId) -> String {
        let said = self.came(call).await.expect("something came of it").expect("it was done");
        String::from_utf8(self.read(said).await.to_vec()).expect("it is text")
    }

    pub(crate) async fn drop_tool(&self, call: ToolCallId) {
        assert_eq!(self.tool(ToolRequest::Drop { call }).await, Ok(ToolReply::Done));
    }
}

async fn start() -> (Stage, Played) {
    let stage = Stage::new();
    let alice = stage.start(user()).await;
    (stage, alice)
}

fn begun(stage: &Stage) -> usize {
    stage.node.tools.begun.lock().len()
}

fn stopped(stage: &Stage) -> usize {
    stage.node.tools.stopped.load(Ordering::SeqCst)
}

/// The calls that were written down.
fn posted(stage: &Stage) -> Vec<PostedToolCall> {
    let records = stage.node.journal.memory.records();
    let posted = records.into_iter().flat_map(|record| record.changes).filter_map(|change| match change {
        Change::ToolCalled(posted) => Some(*posted),
        _ => None,
    });
    posted.collect()
}

fn facts(stage: &Stage) -> Vec<Fact> {
    let facts = stage.node.journal.memory.records().into_iter().filter_map(|record| record.entry?.fact());
    facts.filter(|fact| matches!(fact, Fact::CalledTool { .. } | Fact::ReturnedTool { .. })).collect()
}

#[tokio::test]
async fn a_tool_is_described_called_and_paid_and_what_it_says_is_not_read_yet() {
    let (stage, alice) = start().await;
    let pay = alice.take("pay").await;
    let Ok(ToolReply::Described(described)) = alice.tool(ToolRequest::Describe { grant: pay }).await else {
        panic!("it is declared");
    };
    let [described] = &described[..] else { panic!("it is one") };
    assert_eq!((&*described.name, &*described.description, &*described.parameters), ("pay", "It is pay.", "{}"));
    let before = alice.remaining().await;
    let call = alice.use_tool("pay", "{\"euro\":5}").await;
    assert_eq!(before.saturating_sub(alice.remaining().await), PriceList::built_in().tool_call());
    assert_eq!(alice.wait_for(&[WaitId::ToolCall(call)]).await, [0]);
    let said = alice.came(call).await.expect("something came of it").expect("it was done");
    assert_eq!((alice.label_of(said).await, alice.own_label().await), (Label::UNTRUSTED, Label::TRUSTED));
    assert_eq!(alice.read(said).await, "pay {\"euro\":5}");
    assert_eq!(alice.came(call).await, Err(ToolError::Taken));
    let [posted] = &posted(&stage)[..] else { panic!("one was called") };
    assert_eq!((posted.number, posted.caller, &*posted.tool, posted.effect), (1, alice.pid, "pay", Effect::Keyed));
    assert!(posted.key.starts_with("1-1-") && posted.key.len() == 28, "{}", posted.key);
    assert_eq!(stage.node.tools.keys_of("pay"), [&*posted.key]);
    let (number, key) = (1, posted.key.clone());
    let called = Fact::CalledTool { number, tool: "pay".into(), effect: Effect::Keyed, key };
    let returned = Fact::ReturnedTool { number, attempts: 1, outcome: OutcomeKind::Done, decided: None };
    assert_eq!(facts(&stage), [called, returned]);
    stage.end(alice, done()).await;
    stage.assert_empty();
}

#[tokio::test]
async fn nobody_calls_a_tool_without_a_right_to() {
    let stage = Stage::new();
    let read_only = |name: &str| GrantSpec { access: Access::ReadOnly, ..tool(name) };
    let once = GrantLimits { uses: Some(1), ..GrantLimits::default() };
    let grants = vec![
        read_only("look"),
        read_only("send"),
        GrantSpec { label: "once".into(), limits: once, ..tool("set") },
        grant("all", GrantKind::Tool, &["*"]),
        tool("nothing"),
    ];
    let alice = stage.start(Given { grants, ..stranger() }).await;
    let bob = stage.start(stranger()).await;
    let call = async |guest: &Guest, label: &str| {
        let grant = alice.take(label).await;
        guest.try_tool(grant, Content::Text("{}".into())).await.map(drop)
    };
    let denied = |denial| Err(ToolError::Denied(denial));
    let missing = denied(Denial::NotGranted("tool".into()));
    assert_eq!(call(&bob, "look").await, missing, "a handle that it was not given");
    assert_eq!(call(&alice, "look").await, Ok(()));
    assert_eq!(call(&alice, "send").await, denied(Denial::OutOfScope { grant: "send".into() }), "it may look");
    assert_eq!(call(&alice, "once").await, Ok(()));
    assert_eq!(call(&alice, "once").await, denied(Denial::Exhausted("once".into())));
    assert!(matches!(call(&alice, "all").await, Err(ToolError::Invalid(_))), "which of them?");
    assert_eq!(call(&alice, "nothing").await, Err(ToolError::NoSuchTool("nothing".into())));
    let all = alice.take("all").await;
    let described = alice.tool(ToolRequest::Describe { grant: all }).await;
    let Ok(ToolReply::Described(described)) = described else { panic!("it opens them: {described:?}") };
    let names: Vec<_> = described.iter().map(|tool| &*tool.name).collect();
    assert_eq!(names, ["again", "ask", "look", "pay", "send", "set"]);
    let narrow = Attenuate { scope: Some(["send".into()].into()), ..same(all, "narrow") };
    let narrow = alice.attenuate(narrow).await.expect("it is one of them");
    assert!(alice.try_tool(narrow, Content::Text("{}".into())).await.is_ok());
    stage.node.kernel.revoke(all).expect("it is live");
    let revoked = alice.try_tool(narrow, Content::Text("{}".into())).await;
    assert_eq!(revoked.map(drop), denied(Denial::Revoked("narrow".into())));
    let described = alice.tool(ToolRequest::Describe { grant: narrow }).await;
    assert_eq!(described, Err(ToolError::Denied(Denial::Revoked("narrow".into()))));
    stage.node.settle().await;
    assert_eq!(begun(&stage), 2, "what was withdrawn before it began never begins");
    assert_eq!(stage.node.kernel.denials(Some(alice.pid)).len(), 4);
}

#[tokio::test]
async fn what_is_above_the_ceiling_leaves_by_no_tool_and_what_comes_back_is_as_secret_as_what_went() {
    let stage = Stage::new();
    let secret =
        Label { integrity: Integrity::Untrusted, tags: stage.node.kernel.tag(TENANT, "hr").expect("the first") };
    stage
        .node
        .tools
        .declare("look", |facts| Some(ToolFacts { integrity: Integrity::Trusted, tags: vec!["web".into()], ..facts }));
    let ceiling = GrantLimits { ceiling: Some(Label::TRUSTED), ..GrantLimits::default() };
    let grants = vec![tool("look"), GrantSpec { limits: ceiling, ..tool("pay") }];
    let alice = stage.start(Given { grants, input: vec![("{\"x\":1}", secret)], ..stranger() }).await;
    let (pay, look, unread) = (alice.take("pay").await, alice.take("look").await, alice.start.conversation[0].content);
    let tainted = ToolError::Denied(Denial::Tainted { grant: "pay".into() });
    assert_eq!(alice.try_tool(pay, Content::Value(unread)).await, Err(tainted), "it need not have read it");
    let web = stage.node.kernel.tag(TENANT, "web").expect("there is room");
    for (arguments, expect) in [
        (Content::Text("{}".into()), Label { integrity: Integrity::Trusted, tags: web }),
        (Content::Value(unread), Label { integrity: Integrity::Untrusted, tags: web.union(secret.tags) }),
    ] {
        let call = alice.try_tool(look, arguments).await.expect("it may");
        let said = alice.came(call).await.expect("something came of it").expect("it was done");
        assert_eq!((alice.label_of(said).await, alice.own_label().await), (expect, Label::TRUSTED));
    }
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_refused_and_costs_nothing() {
    let (stage, alice) = start().await;
    let (look, before) = (alice.take("look").await, alice.remaining().await);
    let large = format!("{{{}}}", " ".repeat(limits::TOOL_BYTES_MAX));
    let limit = limits::TOOL_BYTES_MAX as u64;
    assert_eq!(alice.try_tool(look, Content::Text(large.into())).await, Err(ToolError::TooLarge { limit }));
    let (not_text, gone) = (alice.make_value(&[0xff, 0xfe]).await, alice.make_value(b"{}").await);
    alice.call(Request::Value(remit_abi::ValueRequest::Drop { value: gone })).await;
    for bad in [Content::Value(not_text), Content::Text("[]".into()), Content::Text("".into())] {
        assert!(matches!(alice.try_tool(look, bad).await, Err(ToolError::Invalid(_))));
    }
    assert_eq!(alice.try_tool(look, Content::Value(gone)).await, Err(ToolError::Dead));
    assert_eq!(alice.remaining().await, before);
    let poor = stage.start(Given { budget: Tokens::from_micro(1_500_000), ..user() }).await;
    let call = poor.use_tool("look", "{}").await;
    let refused = poor.try_tool(poor.take("look").await, Content::Text("{}".into())).await;
    assert!(matches!(refused, Err(ToolError::Invalid(_))), "it has half a call left: {refused:?}");
    assert_eq!(poor.tool_said(call).await, "look {}");
    assert_eq!(begun(&stage), 1);
}

#[tokio::test]
async fn failures_say_of_what_kind_they_are() {
    let (stage, alice) = start().await;
    let call = alice.use_tool("send", "{\"fail\":1}").await;
    let said = alice.came(call).await.expect("it failed").expect_err("it failed");
    assert_eq!((alice.label_of(said).await, alice.own_label().await), (Label::UNTRUSTED, Label::TRUSTED));
    assert_eq!(alice.read(said).await, "exit status 3\nsend {\"fail\":1}");
    let late = alice.use_tool("send", "{\"late\":1}").await;
    assert_eq!(alice.came(late).await, Err(ToolError::TimedOut));
    let gone = alice.use_tool("send", "{\"gone\":1}").await;
    assert_eq!(alice.came(gone).await, Err(ToolError::Unavailable("it is not there".into())));
    let kinds = facts(&stage).into_iter().filter_map(|fact| match fact {
        Fact::ReturnedTool { outcome, .. } => Some(outcome),
        _ => None,
    });
    let expect = [OutcomeKind::Failed, OutcomeKind::TimedOut, OutcomeKind::Unavailable];
    assert_eq!(kinds.collect::<Vec<_>>(), expect);
}

#[tokio::test]
async fn calls_are_bounded_and_those_that_may_not_run_yet_stand_in_line() {
    let (stage, alice) = start().await;
    let running = limits::TOOL_CALLS_RUNNING_MAX;
    for _ in 0..limits::TOOL_CALLS_MAX {
        alice.use_tool("send", "{\"slow\":1}").await;
    }
    let one_more = alice.try_tool(alice.take("look").await, Content::Text("{}".into())).await;
    assert_eq!(one_more, Err(ToolError::TooMany { limit: limits::TOOL_CALLS_MAX }));
    let bob = stage.start(user()).await;
    let waits = bob.use_tool("look", "{\"n\":1}").await;
    let never = bob.use_tool("look", "{\"n\":2}").await;
    let elsewhere = stage.start(Given { tenant: TenantId(2), ..user() }).await;
    let other = elsewhere.use_tool("look", "{}").await;
    assert_eq!(elsewhere.tool_said(other).await, "look {}", "another tenant has its own line");
    stage.node.settle().await;
    assert_eq!(begun(&stage), running + 1);
    bob.drop_tool(never).await;
    let mut coming = bob.came(waits).boxed();
    assert!(poll!(&mut coming).is_pending());
    stage.node.tools.release();
    assert!(coming.await.expect("its turn comes").is_ok());
    stage.node.settle().await;
    let numbers: Vec<_> = stage.node.tools.begun.lock().iter().skip(running).map(|job| job.number).collect();
    assert_eq!(numbers, [19, 17], "what was dropped before it began never begins");
    assert_eq!(stopped(&stage), 0);
}

#[tokio::test]
async fn a_tenant_has_so_many_calls_and_no_more() {
    let stage = Stage::new();
    let mut users = Vec::new();
    for _ in 0..limits::TENANT_TOOL_CALLS_MAX as u64 / limits::TOOL_CALLS_MAX {
        let user = stage.start(user()).await;
        for _ in 0..limits::TOOL_CALLS_MAX {
            user.use_tool("look", "{}").await;
        }
        users.push(user);
    }
    let late = stage.start(user()).await;
    let before = late.remaining().await;
    let limit = limits::TENANT_TOOL_CALLS_MAX as u64;
    let call = async || late.try_tool(late.take("look").await, Content::Text("{}".into())).await.map(drop);
    assert_eq!(call().await, Err(ToolError::TooMany { limit }), "what nobody took counts, too");
    assert_eq!(late.remaining().await, before);
    stage.end(users.pop().expect("there are some"), done()).await;
    assert_eq!(call().await, Ok(()));
}

#[tokio::test]
async fn what_its_caller_lets_go_of_is_stopped() {
    let stage = Stage::new();
    let restart = RestartPolicy::of(Restart::OnFailure);
    let alice = stage.start(Given { restart, ..user() }).await;
    let call = alice.use_tool("send", "{\"slow\":1}").await;
    stage.node.settle().await;
    assert_eq!((begun(&stage), stopped(&stage)), (1, 0));
    alice.drop_tool(call).await;
    stage.node.settle().await;
    assert_eq!(stopped(&stage), 1);
    assert_eq!(alice.tool(ToolRequest::Collect { call }).await, Err(ToolError::Dead));
    alice.use_tool("send", "{\"slow\":2}").await;
    stage.node.settle().await;
    stage.exit(alice.pid, failed("again", true)).await;
    assert_eq!((begun(&stage), stopped(&stage)), (2, 2), "a new run has none of the calls of the one before");
    stage.pass(limits::RESTART_PAUSE_NS_MAX).await;
    let again = stage.run_of(alice.pid);
    again.use_tool("send", "{\"slow\":3}").await;
    stage.node.settle().await;
    stage.exit(alice.pid, done()).await;
    assert_eq!((begun(&stage), stopped(&stage)), (3, 3));
    assert_eq!(posted(&stage).iter().map(|posted| posted.number).collect::<Vec<_>>(), [1, 2, 3]);
    let image = remit_kernel::ports::Journal::node(&*stage.node.journal).expect("it is in memory");
    assert_eq!((image.tool_calls, image.next.tool_call), (Vec::new(), 4));
}

#[tokio::test]
async fn a_call_is_withdrawn_and_what_runs_is_stopped_when_the_right_is_taken_back() {
    let (stage, alice) = start().await;
    let send = alice.take("send").await;
    let lent = alice.attenuate(same(send, "lent")).await.expect("no wider");
    let under = alice.try_tool(lent, Content::Text("{\"slow\":1}".into())).await.expect("it may");
    let done_before = alice.use_tool("send", "{}").await;
    let runs = alice.use_tool("send", "{\"slow\":2}").await;
    stage.node.settle().await;
    let take_back = CapabilityRequest::RevokeDerived { grant: send, label: "lent".into() };
    alice.capability(take_back).await.expect("it holds the parent");
    assert_eq!(alice.came(under).await, Err(ToolError::Withdrawn));
    let mut coming = alice.came(runs).boxed();
    assert!(poll!(&mut coming).is_pending());
    stage.node.settle().await;
    assert_eq!(stopped(&stage), 1);
    stage.node.kernel.revoke(send).expect("it is live");
    assert_eq!(coming.await, Err(ToolError::Withdrawn));
    stage.node.settle().await;
    assert_eq!((begun(&stage), stopped(&stage)), (3, 2));
    assert_eq!(alice.tool_said(done_before).await, "send {}", "what was done before stays done");
}

#[tokio::test]
async fn nothing_is_begun_that_is_not_on_the_disk() {
    let (stage, alice) = start().await;
    stage.node.journal.stalls.store(true, Ordering::SeqCst);
    let call = alice.use_tool("send", "{}").await;
    let never = alice.use_tool("send", "{\"never\":1}").await;
    stage.node.settle().await;
    assert_eq!(begun(&stage), 0);
    alice.drop_tool(never).await;
    stage.node.journal.stalls.store(false, Ordering::SeqCst);
    stage.pass(1).await;
    assert_eq!((alice.tool_said(call).await, begun(&stage)), ("send {}".into(), 1));
    let (grant, arguments) = (alice.take("look").await, Content::Text("{}".into()));
    stage.node.journal.fails.store(true, Ordering::SeqCst);
    let refused = alice.call(Request::Tool(ToolRequest::Call(Box::new(ToolUse { grant, arguments })))).await;
    assert!(matches!(refused, Reply::Fault(Fault::Host(_))), "{refused:?}");
    stage.node.journal.fails.store(false, Ordering::SeqCst);
    stage.pass(1).await;
    assert_eq!(begun(&stage), 1);
}

#[tokio::test]
async fn nobody_is_told_what_came_of_a_call_before_it_is_written_down() {
    let (stage, alice) = start().await;
    let call = alice.use_tool("send", "{\"slow\":1}").await;
    stage.node.settle().await;
    let mut coming = alice.came(call).boxed();
    assert!(poll!(&mut coming).is_pending());
    stage.node.journal.fails.store(true, Ordering::SeqCst);
    stage.node.tools.release();
    stage.pass(1).await;
    assert!(poll!(&mut coming).is_pending());
    stage.node.journal.fails.store(false, Ordering::SeqCst);
    stage.pass(2_000_000_000).await;
    assert!(coming.await.expect("it is written down by now").is_ok());
    assert_eq!((begun(&stage), stopped(&stage)), (1, 0), "it is written down later, and not done again");
}

#[tokio::test]
async fn what_is_declared_says_what_a_right_is_needed_for() {
    let stage = Stage::new();
    let alice =
        stage.start(Given { grants: vec![GrantSpec { access: Access::ReadOnly, ..tool("set") }], ..user() }).await;
    let set = alice.take("set").await;
    let call = async || alice.try_tool(set, Content::Text("{}".into())).await;
    assert_eq!(call().await, Err(ToolError::Denied(Denial::OutOfScope { grant: "set".into() })));
    stage
        .node
        .tools
        .declare("set", |facts| Some(ToolFacts { effect: Effect::None, uncertain: Uncertain::Fail, ..facts }));
    assert!(call().await.is_ok());
}
