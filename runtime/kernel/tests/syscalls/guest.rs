//! The syscalls of a guest in words, for tests to which their replies' wrapping does not matter.

use crate::fakes::{Guest, generate};
use bytes::Bytes;
use remit_abi::{
    AccountId, AlarmId, AlarmReply, AlarmRequest, AnswerId, Attenuate, BudgetError, BudgetReply, BudgetRequest, CallId,
    CapabilityError, CapabilityReply, CapabilityRequest, CheckpointRequest, ChildId, ChildReport, ChildrenError,
    ChildrenReply, ChildrenRequest, ClockReply, ClockRequest, Content, Delta, Filter, GenerationId, GrantId, HeldGrant,
    Incoming, Label, LlmError, LlmReply, LlmRequest, MailboxError, MailboxReply, MailboxRequest, ModelId, NamedGrant,
    Order, Outgoing, Pid, Plan, Priority, ProcessReply, ProcessRequest, Prompt, Reply, Request, Restart, Signal,
    TimerId, Tokens, ValueId, ValueReply, ValueRequest, WaitId, WaitRequest, WatchId,
};

/// A child with nothing but its funds.
pub(crate) fn plan(grant: GrantId, funds: AccountId) -> Plan {
    Plan {
        grant,
        agent: "worker".into(),
        conversation: Vec::new(),
        grants: Vec::new(),
        funds,
        restart: Restart::Never,
        priority: Priority::Normal,
    }
}

pub(crate) fn named(label: &str, grant: GrantId) -> NamedGrant {
    NamedGrant { label: label.into(), grant }
}

/// A message of a text.
pub(crate) fn message(topic: &str, body: &str) -> Box<Outgoing> {
    Box::new(Outgoing { topic: topic.into(), body: Content::Text(body.into()), grants: Vec::new() })
}

/// A message that carries grants.
pub(crate) fn parcel(topic: &str, grants: Vec<NamedGrant>) -> Box<Outgoing> {
    Box::new(Outgoing { grants, ..*message(topic, "") })
}

/// Lets every message through.
pub(crate) fn any() -> Filter {
    Filter::default()
}

pub(crate) fn topic(topic: &str) -> Filter {
    Filter { topic: Some(topic.into()), sender: None }
}

/// A derived grant that keeps everything.
pub(crate) fn same(grant: GrantId, label: &str) -> Attenuate {
    Attenuate {
        grant,
        label: label.into(),
        scope: None,
        access: None,
        uses: None,
        rate: None,
        expires_ns: None,
        max_tokens_per_call: None,
        ceiling: None,
    }
}

impl Guest {
    pub(crate) async fn call(&self, request: Request) -> Reply {
        self.door.dispatch(self.pid, request).await
    }

    pub(crate) async fn llm(&self, request: LlmRequest) -> Result<LlmReply, LlmError> {
        match self.call(Request::Llm(request)).await {
            Reply::Llm(result) => result,
            other => panic!("not a reply to llm: {other:?}"),
        }
    }

    pub(crate) async fn open_model(&self) -> ModelId {
        let grant = self.take("chat").await;
        match self.llm(LlmRequest::Open { grant }).await {
            Ok(LlmReply::Opened(model)) => model,
            other => panic!("the model is there: {other:?}"),
        }
    }

    pub(crate) async fn start(&self, prompt: Prompt, max_tokens: u32) -> GenerationId {
        let model = self.open_model().await;
        match self.llm(LlmRequest::Start(generate(model, prompt, max_tokens))).await {
            Ok(LlmReply::Started(generation)) => generation,
            other => panic!("the engine takes every job: {other:?}"),
        }
    }

    pub(crate) async fn next(&self, generation: GenerationId) -> Result<Delta, LlmError> {
        match self.llm(LlmRequest::Next { generation }).await? {
            LlmReply::Next(delta) => Ok(delta),
            other => panic!("not a delta: {other:?}"),
        }
    }

    pub(crate) async fn capability(&self, request: CapabilityRequest) -> Result<CapabilityReply, CapabilityError> {
        match self.call(Request::Capability(request)).await {
            Reply::Capability(result) => result,
            other => panic!("not a reply to capability: {other:?}"),
        }
    }

    pub(crate) async fn take(&self, label: &str) -> GrantId {
        match self.capability(CapabilityRequest::Take { label: label.into() }).await {
            Ok(CapabilityReply::Taken(grant)) => grant,
            other => panic!("it holds {label}: {other:?}"),
        }
    }

    pub(crate) async fn held(&self) -> Vec<HeldGrant> {
        match self.capability(CapabilityRequest::List).await {
            Ok(CapabilityReply::Listed(held)) => held,
            other => panic!("a list never fails: {other:?}"),
        }
    }

    /// The labels of its grants, sorted.
    pub(crate) async fn labels(&self) -> Vec<String> {
        let mut labels: Vec<_> = self.held().await.into_iter().map(|held| held.info.label.to_string()).collect();
        labels.sort_unstable();
        labels
    }

    pub(crate) async fn attenuate(&self, asked: Attenuate) -> Result<GrantId, CapabilityError> {
        match self.capability(CapabilityRequest::Attenuate(Box::new(asked))).await? {
            CapabilityReply::Derived(grant) => Ok(grant),
            other => panic!("not a derived grant: {other:?}"),
        }
    }

    /// Whether a grant would still open something.
    pub(crate) async fn check(&self, grant: GrantId) -> Result<(), CapabilityError> {
        self.capability(CapabilityRequest::Check { grant }).await.map(|_live| ())
    }

    pub(crate) async fn budget(&self, request: BudgetRequest) -> Result<BudgetReply, BudgetError> {
        match self.call(Request::Budget(request)).await {
            Reply::Budget(result) => result,
            other => panic!("not a reply to budget: {other:?}"),
        }
    }

    pub(crate) async fn own_account(&self) -> AccountId {
        match self.budget(BudgetRequest::OwnAccount).await {
            Ok(BudgetReply::Account(account)) => account,
            other => panic!("every process has an account: {other:?}"),
        }
    }

    pub(crate) async fn remaining_in(&self, account: AccountId) -> Result<Tokens, BudgetError> {
        match self.budget(BudgetRequest::Remaining { account }).await? {
            BudgetReply::Remaining(remaining) => Ok(remaining),
            other => panic!("not an amount: {other:?}"),
        }
    }

    pub(crate) async fn remaining(&self) -> Tokens {
        self.remaining_in(self.own_account().await).await.expect("it is open as long as the process lives")
    }

    /// A part of its own account.
    pub(crate) async fn split(&self, amount: Tokens) -> AccountId {
        let account = self.own_account().await;
        match self.budget(BudgetRequest::Split { account, amount }).await {
            Ok(BudgetReply::Split(part)) => part,
            other => panic!("it has that much: {other:?}"),
        }
    }

    pub(crate) async fn children(&self, request: ChildrenRequest) -> Result<ChildrenReply, ChildrenError> {
        match self.call(Request::Children(request)).await {
            Reply::Children(result) => result,
            other => panic!("not a reply to children: {other:?}"),
        }
    }

    pub(crate) async fn spawn(&self, plan: Plan) -> Result<ChildId, ChildrenError> {
        match self.children(ChildrenRequest::Spawn(Box::new(plan))).await? {
            ChildrenReply::Spawned(child) => Ok(child),
            other => panic!("not a child: {other:?}"),
        }
    }

    pub(crate) async fn child_pid(&self, child: ChildId) -> Pid {
        match self.children(ChildrenRequest::Id { child }).await {
            Ok(ChildrenReply::Id(pid)) => pid,
            other => panic!("the handle lives: {other:?}"),
        }
    }

    /// A right to send a child messages.
    pub(crate) async fn child_mailbox(&self, child: ChildId) -> GrantId {
        match self.children(ChildrenRequest::Mailbox { child }).await {
            Ok(ChildrenReply::Mailbox(grant)) => grant,
            other => panic!("the handle lives: {other:?}"),
        }
    }

    pub(crate) async fn wait(&self, child: ChildId) -> Result<ChildReport, ChildrenError> {
        match self.children(ChildrenRequest::Wait { child }).await? {
            ChildrenReply::Ended(report) => Ok(*report),
            other => panic!("not a report: {other:?}"),
        }
    }

    pub(crate) async fn order(&self, child: ChildId, order: Order) {
        assert_eq!(self.children(ChildrenRequest::Order { child, order }).await, Ok(ChildrenReply::Done));
    }

    pub(crate) async fn mailbox(&self, request: MailboxRequest) -> Result<MailboxReply, MailboxError> {
        match self.call(Request::Mailbox(request)).await {
            Reply::Mailbox(result) => result,
            other => panic!("not a reply to mailbox: {other:?}"),
        }
    }

    /// A right to send it messages.
    pub(crate) async fn own_mailbox(&self) -> GrantId {
        match self.call(Request::Process(ProcessRequest::OwnMailbox)).await {
            Reply::Process(Ok(ProcessReply::Mailbox(grant))) => grant,
            other => panic!("there is room: {other:?}"),
        }
    }

    pub(crate) async fn send(&self, to: GrantId, message: Box<Outgoing>) -> Result<(), MailboxError> {
        self.mailbox(MailboxRequest::Send { to, message }).await.map(|_done| ())
    }

    pub(crate) async fn try_send(&self, to: GrantId, message: Box<Outgoing>) -> Result<(), MailboxError> {
        self.mailbox(MailboxRequest::TrySend { to, message }).await.map(|_done| ())
    }

    pub(crate) async fn ask(
        &self,
        to: GrantId,
        message: Box<Outgoing>,
        timeout_ns: u64,
    ) -> Result<CallId, MailboxError> {
        match self.mailbox(MailboxRequest::Call { to, message, timeout_ns }).await? {
            MailboxReply::Called(call) => Ok(call),
            other => panic!("not a call: {other:?}"),
        }
    }

    pub(crate) async fn collect(&self, call: CallId) -> Result<Incoming, MailboxError> {
        match self.mailbox(MailboxRequest::Collect { call }).await? {
            MailboxReply::Received(incoming) => Ok(*incoming),
            other => panic!("not an answer: {other:?}"),
        }
    }

    pub(crate) async fn reply(&self, answer: AnswerId, message: Box<Outgoing>) -> Result<(), MailboxError> {
        self.mailbox(MailboxRequest::Reply { answer, message }).await.map(|_done| ())
    }

    pub(crate) async fn receive(&self, filter: Filter) -> Result<Incoming, MailboxError> {
        match self.mailbox(MailboxRequest::Receive { filter: Box::new(filter) }).await? {
            MailboxReply::Received(incoming) => Ok(*incoming),
            other => panic!("not a message: {other:?}"),
        }
    }

    pub(crate) async fn try_receive(&self, filter: Filter) -> Result<Option<Incoming>, MailboxError> {
        match self.mailbox(MailboxRequest::TryReceive { filter: Box::new(filter) }).await? {
            MailboxReply::Received(incoming) => Ok(Some(*incoming)),
            MailboxReply::Nothing => Ok(None),
            other => panic!("not a message: {other:?}"),
        }
    }

    /// The topic of the next message, which it need not wait for.
    pub(crate) async fn next_topic(&self, filter: Filter) -> Option<String> {
        self.try_receive(filter).await.expect("there is room").map(|incoming| incoming.topic.to_string())
    }

    pub(crate) async fn watch(&self, filter: Filter) -> WatchId {
        match self.mailbox(MailboxRequest::Watch { filter: Box::new(filter) }).await {
            Ok(MailboxReply::Watching(watch)) => watch,
            other => panic!("there is room: {other:?}"),
        }
    }

    pub(crate) async fn signal(&self) -> Option<Signal> {
        match self.call(Request::Process(ProcessRequest::NextSignal)).await {
            Reply::Process(Ok(ProcessReply::Signal(signal))) => signal,
            other => panic!("it never fails: {other:?}"),
        }
    }

    pub(crate) async fn alarm(&self, label: &str, at_ns: u64) -> AlarmId {
        match self.call(Request::Alarm(AlarmRequest::Set { label: label.into(), at_ns })).await {
            Reply::Alarm(Ok(AlarmReply::Set(alarm))) => alarm,
            other => panic!("there is room: {other:?}"),
        }
    }

    pub(crate) async fn alarm_under(&self, label: &str) -> Option<AlarmId> {
        match self.call(Request::Alarm(AlarmRequest::Take { label: label.into() })).await {
            Reply::Alarm(Ok(AlarmReply::Taken(alarm))) => alarm,
            other => panic!("it never fails: {other:?}"),
        }
    }

    pub(crate) async fn timer(&self, deadline_ns: u64) -> TimerId {
        match self.call(Request::Clock(ClockRequest::StartTimer { deadline_ns })).await {
            Reply::Clock(ClockReply::Timer(timer)) => timer,
            other => panic!("there is room: {other:?}"),
        }
    }

    /// The positions of those that are ready, once one is.
    pub(crate) async fn wait_for(&self, ids: &[WaitId]) -> Vec<u32> {
        match self.call(Request::Wait(WaitRequest::Any { ids: ids.into() })).await {
            Reply::Ready(ready) => ready.into(),
            other => panic!("it holds them all: {other:?}"),
        }
    }

    pub(crate) async fn commit(&self, state: &'static [u8]) {
        let request = Request::Checkpoint(CheckpointRequest::Commit { state: state.into() });
        assert_eq!(self.call(request).await, Reply::Checkpoint(Ok(())));
    }

    /// All of a value, which raises the label.
    pub(crate) async fn read(&self, value: ValueId) -> Bytes {
        match self.call(Request::Value(ValueRequest::Read { value, offset: 0, length: u32::MAX })).await {
            Reply::Value(Ok(ValueReply::Read(bytes))) => bytes,
            other => panic!("the value lives: {other:?}"),
        }
    }

    /// What it has read so far, as a value that it makes has it.
    pub(crate) async fn own_label(&self) -> Label {
        let value = self.make_value(b"").await;
        let label = self.label_of(value).await;
        self.call(Request::Value(ValueRequest::Drop { value })).await;
        label
    }

    pub(crate) async fn make_value(&self, bytes: &'static [u8]) -> ValueId {
        let request = ValueRequest::FromBytes { bytes: bytes.into(), media_type: "text/plain".into() };
        match self.call(Request::Value(request)).await {
            Reply::Value(Ok(ValueReply::Made(value))) => value,
            other => panic!("there is room: {other:?}"),
        }
    }

    pub(crate) async fn label_of(&self, value: ValueId) -> Label {
        match self.call(Request::Value(ValueRequest::Describe { value })).await {
            Reply::Value(Ok(ValueReply::Described(info))) => info.label,
            other => panic!("the value lives: {other:?}"),
        }
    }
}
