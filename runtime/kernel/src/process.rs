//! What one process holds.

use crate::{
    bill::Bill,
    calls::{Answer, PendingCall},
    contexts::OpenContext,
    control::ControlBlock,
    due::Due,
    effects::PendingToolCall,
    fork::OwnNames,
    hibernation::Waiting,
    inbox::PendingQuestion,
    mailbox::Select,
    ports::{Beginning, Change, HeldImage, ModelCard, ModelImage, Position, ValueImage},
    replay::Replay,
    runaway::Circles,
    syscalls::Streaming,
};
use bytes::Bytes;
use remit_abi::{
    AccountId, AlarmId, AnswerId, CallId, ChildId, Content, ContextId, Fuel, GenerationId, GrantId, GrantKind, Input,
    Label, ModelId, Pid, QuestionId, Role, Shortfall, Start, TimerId, Tokens, ToolCallId, ValueError, ValueId, WatchId,
    limits::{self, Limits},
};
use remit_authority::Arena;
use std::sync::Arc;

/// Data that a process holds, read or unread.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) bytes: Bytes,
    pub(crate) media_type: Arc<str>,
    pub(crate) label: Label,
}

/// The media type of texts.
pub(crate) const TEXT: &str = "text/plain; charset=utf-8";

/// A model that was opened through a grant, or a route. The grant is checked again at every use.
#[derive(Clone, Debug)]
pub(crate) struct OpenModel {
    pub(crate) grant: GrantId,
    /// A route's has its own name, and the longest context of its models.
    pub(crate) card: Arc<ModelCard>,
    pub(crate) way: Way,
}

/// How requests to an open model go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// To that model.
    Direct,
    /// By a route.
    Routed {
        /// The label of the grant that it was opened under: what its requests are for.
        task: Box<str>,
    },
}

impl OpenModel {
    pub(crate) fn image(&self) -> ModelImage {
        let ModelCard { name, family, context_length, vocabulary, digest } = (*self.card).clone();
        let task = match &self.way {
            Way::Direct => None,
            Way::Routed { task } => Some(task.clone()),
        };
        ModelImage { name, family, context_length, vocabulary, digest, task }
    }

    /// As it was when it was opened, whether or not such a model is there now.
    pub(crate) fn of_image(grant: GrantId, image: ModelImage) -> Self {
        let ModelImage { name, family, context_length, vocabulary, digest, task } = image;
        let card = Arc::new(ModelCard { name, family, context_length, vocabulary, digest });
        Self { grant, card, way: task.map_or(Way::Direct, |task| Way::Routed { task }) }
    }
}

/// A process that this one started.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) block: Arc<ControlBlock>,
    /// Under which it was started.
    pub(crate) grant: GrantId,
}

/// A moment to wake at.
#[derive(Debug)]
pub(crate) struct Alarm {
    pub(crate) label: Box<str>,
    /// On the wall clock.
    pub(crate) at_ns: u64,
}

/// One process. It starts with nothing: no grant, no value, and whatever its account was given.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: Pid,
    pub(crate) limits: Limits,
    /// What it has read so far.
    pub(crate) label: Label,
    pub(crate) bill: Arc<Bill>,
    /// Fuel for syscalls, in this run.
    pub(crate) toll: Toll,
    /// Parts of its account that it has neither given back nor given away.
    pub(crate) parts: Vec<AccountId>,
    pub(crate) grants: HeldGrants,
    pub(crate) values: Values,
    pub(crate) models: Arena<ModelId, OpenModel>,
    pub(crate) generations: Arena<GenerationId, Streaming>,
    pub(crate) contexts: Arena<ContextId, OpenContext>,
    /// Deadlines, in nanoseconds of the process's own clock.
    pub(crate) timers: Arena<TimerId, u64>,
    pub(crate) alarms: Arena<AlarmId, Alarm>,
    pub(crate) children: Arena<ChildId, Child>,
    /// Children that were let go: killed, and some not quite dead yet.
    pub(crate) leaving: Vec<Arc<ControlBlock>>,
    pub(crate) calls: Arena<CallId, Arc<PendingCall>>,
    pub(crate) answers: Arena<AnswerId, Answer>,
    pub(crate) watches: Arena<WatchId, Arc<Select>>,
    pub(crate) questions: Arena<QuestionId, Arc<PendingQuestion>>,
    pub(crate) tool_calls: Arena<ToolCallId, Arc<PendingToolCall>>,
    /// What the node's monotonic clock would have read when the process began: its own clock starts at zero then, and goes on where
    /// it was when a host starts anew.
    pub(crate) zero_ns: i128,
    pub(crate) logs_dropped: u64,
    /// What it asked and did lately, where anybody counts.
    pub(crate) circles: Option<Box<Circles>>,
    /// The syscall in which it waits.
    pub(crate) waits_in: Option<Waiting>,
    /// The conversation that every run of it begins with.
    pub(crate) input: Vec<(Role, Value)>,
    /// The conversation as this run was given it.
    given: Vec<ValueId>,
    /// The state that was committed last.
    pub(crate) checkpoint: Option<Bytes>,
    /// What goes out with its next entry.
    pub(crate) due: Due,
    /// Where its latest entry is.
    pub(crate) written_at: Position,
    /// What it was told before the host started anew, or before it slept, as long as it is not told all of it again.
    pub(crate) replay: Option<Box<Replay>>,
    /// Where it was forked from another one: what that one's ids mean here.
    pub(crate) own_names: Option<Box<OwnNames>>,
    /// Whether it shows nothing meanwhile: it was shown before it slept.
    pub(crate) is_silent: bool,
}

/// The bytes of a text, and what went into it.
pub(crate) struct LabelledText {
    pub(crate) bytes: Bytes,
    pub(crate) label: Label,
    pub(crate) media_type: Arc<str>,
}

impl Process {
    /// A process that holds nothing but its account.
    pub(crate) fn new(pid: Pid, limits: Limits, label: Label, bill: Arc<Bill>, zero_ns: i128) -> Self {
        Self {
            pid,
            limits,
            label,
            bill,
            toll: Toll::default(),
            parts: Vec::new(),
            grants: HeldGrants::default(),
            values: Values::default(),
            models: Arena::default(),
            generations: Arena::default(),
            contexts: Arena::default(),
            timers: Arena::default(),
            alarms: Arena::default(),
            children: Arena::default(),
            leaving: Vec::new(),
            calls: Arena::default(),
            answers: Arena::default(),
            watches: Arena::default(),
            questions: Arena::default(),
            tool_calls: Arena::default(),
            zero_ns,
            logs_dropped: 0,
            circles: None,
            waits_in: None,
            input: Vec::new(),
            given: Vec::new(),
            checkpoint: None,
            due: Due::default(),
            written_at: Position::default(),
            replay: None,
            own_names: None,
            is_silent: false,
        }
    }

    /// What its own clock reads where the node's monotonic one reads this.
    pub(crate) fn clock_ns(&self, monotonic_ns: u64) -> u64 {
        u64::try_from((i128::from(monotonic_ns) - self.zero_ns).max(0)).unwrap_or(u64::MAX)
    }

    /// What the node's monotonic clock reads where its own one reads this.
    pub(crate) fn monotonic_ns(&self, clock_ns: u64) -> u64 {
        u64::try_from((i128::from(clock_ns) + self.zero_ns).max(0)).unwrap_or(u64::MAX)
    }

    /// Sets its own clock forward where it would read less than it once did.
    pub(crate) fn clock_reads_at_least(&mut self, read_ns: u64, monotonic_ns: u64) {
        if self.clock_ns(monotonic_ns) < read_ns {
            self.zero_ns = i128::from(monotonic_ns) - i128::from(read_ns);
        }
    }

    /// What was paid since the entry before, as changes of its account.
    pub(crate) fn settle_written(&mut self) {
        let ((paid, refunded), account) = (self.bill.take_unwritten(), self.bill.account());
        if paid > Tokens::ZERO {
            self.due.change(|| Change::Paid { account, amount: paid });
        }
        if refunded > Tokens::ZERO {
            self.due.change(|| Change::Refunded { account, amount: refunded });
        }
    }

    /// What its next run would find.
    pub(crate) fn beginning(&self, monotonic_ns: u64, restarts: u32, events: u64) -> Beginning {
        // In the order of their ids, which the next run's table is filled in.
        let mut alarms: Vec<_> = self.alarms.iter().collect();
        alarms.sort_unstable_by_key(|(id, _)| (id.index, id.generation));
        Beginning {
            checkpoint: self.checkpoint.clone(),
            label: self.label,
            ledger: self.bill.ledger(),
            grants: self.grants.iter().map(Held::image).collect(),
            alarms: alarms.into_iter().map(|(_, alarm)| (alarm.label.clone(), alarm.at_ns)).collect(),
            restarts,
            clock_ns: self.clock_ns(monotonic_ns),
            events,
        }
    }

    /// Finds what a run of it found.
    pub(crate) fn begin(&mut self, began: &Beginning) {
        self.checkpoint = began.checkpoint.clone();
        self.label = began.label;
        self.grants = began.grants.iter().cloned().map(Held::from).collect();
        self.alarms = Arena::default();
        for (label, at_ns) in began.alarms.clone() {
            self.alarms.insert(Alarm { label, at_ns });
        }
    }

    /// Whether a new run from its checkpoint would have all that this one has: then nothing but the checkpoint has to be kept.
    pub(crate) fn holds_nothing_of_its_run(&self) -> bool {
        self.values.ids().all(|id| self.given.contains(&id))
            && self.generations.is_empty()
            && self.contexts.is_empty()
            && self.children.is_empty()
            && self.calls.is_empty()
            && self.answers.is_empty()
            && self.questions.is_empty()
            && self.tool_calls.is_empty()
            && self.parts.is_empty()
    }

    /// The arguments of its next run, with the conversation as fresh values.
    pub(crate) fn start(&mut self) -> Result<Start, ValueError> {
        let mut conversation = Vec::with_capacity(self.input.len());
        for (role, value) in &self.input {
            let content = self.values.insert(value.clone(), &self.limits)?;
            conversation.push(Input { role: *role, content });
        }
        self.given = conversation.iter().map(|input| input.content).collect();
        Ok(Start { conversation, resumed: self.checkpoint.clone() })
    }

    /// What a guest's content holds. `None` where it names no live value.
    pub(crate) fn resolve(&self, content: &Content) -> Option<LabelledText> {
        match content {
            Content::Text(text) => Some(LabelledText {
                bytes: Bytes::copy_from_slice(text.as_bytes()),
                label: self.label,
                media_type: TEXT.into(),
            }),
            Content::Value(id) => self.values.get(*id).map(|value| LabelledText {
                bytes: value.bytes.clone(),
                label: value.label,
                media_type: value.media_type.clone(),
            }),
        }
    }

    /// How long a content is, in bytes. A dead value has none.
    pub(crate) fn content_size(&self, content: &Content) -> u64 {
        match content {
            Content::Text(text) => text.len() as u64,
            Content::Value(id) => self.values.get(*id).map_or(0, |value| value.bytes.len() as u64),
        }
    }

    /// What goes into a request besides what the process has read: the label of a content that it passes on.
    pub(crate) fn content_label(&self, content: &Content) -> Label {
        match content {
            Content::Text(_) => self.label,
            Content::Value(id) => self.values.get(*id).map_or(self.label, |value| self.label.join(value.label)),
        }
    }

    /// Whether one more object fits into a table of so many.
    pub(crate) fn has_room(&self, objects: usize) -> bool {
        (objects as u64) < self.limits.objects_max
    }

    /// Lets a child go that is killed next; its funds are still to come back.
    pub(crate) fn let_child_go(&mut self, child: Arc<ControlBlock>) {
        self.leaving.retain(|leaving| !leaving.has_ended());
        self.leaving.push(child);
    }

    /// All its children, also those that it has yet to find again.
    pub(crate) fn children(&self) -> Vec<Arc<ControlBlock>> {
        let found = self.children.iter().map(|(_, child)| child.block.clone());
        found.chain(self.replay.iter().flat_map(|replay| replay.children_of(self.pid))).collect()
    }

    /// Whether it is still told what another one was told: what it holds is that one's.
    pub(crate) fn is_another(&self) -> bool {
        self.replay.as_ref().is_some_and(|replay| replay.is_anothers())
    }

    /// Whether an account is its own, or a part that it holds.
    pub(crate) fn holds_account(&self, account: AccountId) -> bool {
        account == self.bill.account() || self.parts.contains(&account)
    }
}

/// Fuel that a run's syscalls cost, bought a slice at a time when it is used: one slice is some thousands of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Toll {
    due: u64,
    bought: u64,
}

impl Toll {
    /// Counts one syscall, and buys a slice where one is due.
    pub(crate) fn pay(&mut self, bill: &Bill) -> Result<(), Shortfall> {
        if self.owes_a_slice() {
            bill.buy_fuel(limits::FUEL_SLICE)?;
            self.bought = self.bought.saturating_add(limits::FUEL_SLICE.0);
        }
        Ok(())
    }

    /// Counts one syscall that was paid before the host started anew.
    pub(crate) fn count_paid(&mut self, bill: &Bill) {
        if self.owes_a_slice() {
            bill.bought_before(limits::FUEL_SLICE);
            self.bought = self.bought.saturating_add(limits::FUEL_SLICE.0);
        }
    }

    fn owes_a_slice(&mut self) -> bool {
        self.due = self.due.saturating_add(limits::SYSCALL_FUEL);
        self.due.saturating_sub(self.bought) >= limits::FUEL_SLICE.0
    }

    /// All of it so far.
    pub(crate) const fn used(self) -> Fuel {
        Fuel(self.due)
    }

    /// What is not bought yet.
    pub(crate) const fn unpaid(self) -> Fuel {
        Fuel(self.due.saturating_sub(self.bought))
    }
}

/// A grant that a process holds, or that is on its way to one.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    /// Under which its holder finds it.
    pub(crate) label: Box<str>,
    pub(crate) id: GrantId,
    pub(crate) kind: GrantKind,
}

impl Held {
    pub(crate) fn image(&self) -> HeldImage {
        HeldImage { label: self.label.clone(), grant: self.id, kind: self.kind }
    }
}

impl From<HeldImage> for Held {
    fn from(HeldImage { label, grant, kind }: HeldImage) -> Self {
        Self { label, id: grant, kind }
    }
}

impl Value {
    pub(crate) fn image(&self) -> ValueImage {
        ValueImage { bytes: self.bytes.clone(), media_type: self.media_type.clone(), label: self.label }
    }
}

impl From<ValueImage> for Value {
    fn from(ValueImage { bytes, media_type, label }: ValueImage) -> Self {
        Self { bytes, media_type, label }
    }
}

/// The grants of one process, in the order in which it got them. No two have the same label.
#[derive(Debug, Default)]
pub(crate) struct HeldGrants(Vec<Held>);

impl FromIterator<Held> for HeldGrants {
    fn from_iter<I: IntoIterator<Item = Held>>(held: I) -> Self {
        Self(held.into_iter().collect())
    }
}

impl HeldGrants {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Held> {
        self.0.iter()
    }

    pub(crate) fn get(&self, grant: GrantId) -> Option<&Held> {
        self.0.iter().find(|held| held.id == grant)
    }

    pub(crate) fn find(&self, label: &str) -> Option<GrantId> {
        self.0.iter().find(|held| *held.label == *label).map(|held| held.id)
    }

    /// Whether so many more fit.
    pub(crate) fn has_room_for(&self, count: usize, limits: &Limits) -> bool {
        (self.0.len() as u64).saturating_add(count as u64) <= limits.grants_max
    }

    /// Takes one in under its label, or under one made from it where that is taken; the label.
    pub(crate) fn adopt(&mut self, mut held: Held) -> Box<str> {
        let label = held.label.clone();
        let mut number = 2_u64;
        while self.find(&held.label).is_some() {
            held.label = format!("{label}-{number}").into();
            number += 1;
        }
        let label = held.label.clone();
        self.0.push(held);
        label
    }

    pub(crate) fn remove(&mut self, grant: GrantId) -> Option<Held> {
        let index = self.0.iter().position(|held| held.id == grant)?;
        Some(self.0.remove(index))
    }

    /// The kinds of all of them, ascending.
    pub(crate) fn kinds(&self) -> Vec<GrantKind> {
        let mut kinds: Vec<_> = self.0.iter().map(|held| held.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    pub(crate) fn drain(&mut self) -> impl Iterator<Item = GrantId> {
        self.0.drain(..).map(|held| held.id)
    }
}

/// The values of one process: bounded in number and in bytes. What its contexts say counts with them.
#[derive(Debug, Default)]
pub(crate) struct Values {
    table: Arena<ValueId, Value>,
    bytes: u64,
}

impl Values {
    pub(crate) fn get(&self, id: ValueId) -> Option<&Value> {
        self.table.get(id)
    }

    /// Takes a value in, or says which limit of the process it would break.
    pub(crate) fn insert(&mut self, value: Value, limits: &Limits) -> Result<ValueId, ValueError> {
        let bytes = self.bytes.saturating_add(value.bytes.len() as u64);
        if bytes > limits.value_bytes_max {
            return Err(ValueError::TooLarge { limit: limits.value_bytes_max });
        }
        if self.table.len() as u64 >= limits.objects_max {
            return Err(ValueError::TooMany { limit: limits.objects_max });
        }
        self.bytes = bytes;
        Ok(self.table.insert(value))
    }

    /// Counts bytes that the process holds besides values, or says that there is no room for them.
    pub(crate) fn count_in(&mut self, bytes: u64, limits: &Limits) -> Result<(), ValueError> {
        let all = self.bytes.saturating_add(bytes);
        if all > limits.value_bytes_max {
            return Err(ValueError::TooLarge { limit: limits.value_bytes_max });
        }
        self.bytes = all;
        Ok(())
    }

    /// Counts them no more.
    pub(crate) fn count_out(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Whether values of these sizes fit, all of them.
    pub(crate) fn has_room_for(&self, sizes: impl ExactSizeIterator<Item = usize>, limits: &Limits) -> bool {
        let objects = (self.table.len() as u64).saturating_add(sizes.len() as u64);
        let bytes = sizes.fold(self.bytes, |sum, size| sum.saturating_add(size as u64));
        objects <= limits.objects_max && bytes <= limits.value_bytes_max
    }

    pub(crate) fn remove(&mut self, id: ValueId) -> Option<Value> {
        let value = self.table.remove(id)?;
        self.bytes = self.bytes.saturating_sub(value.bytes.len() as u64);
        Some(value)
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = ValueId> {
        self.table.iter().map(|(id, _)| id)
    }

    /// All of them together.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}
