//! Calls of tools of a node: what is to act outside, acts, or has acted and nobody has taken what came of it.
//!
//! | a call is | from | until |
//! | --- | --- | --- |
//! | waiting | it is written down that it was made | fewer of its tenant's run than may, and its caller is not held |
//! | running | it is written down, and on the disk, that it is begun | what came of it is written down |
//! | doubted | its host ended while it ran, and people are asked | a person decides, or the question's time is over |
//! | settled | what came of it is written down | its caller takes that |
//! | taken | its caller took it, or let go | for ever |
//!
//! Principles:
//!
//! - Nothing is begun that is not on the disk, and nobody is told what came of it before that is written down.
//! - A call that only stood in line was not begun, and is not uncertain after a crash. One that finds a place at once is begun by the
//!   record that it was made with, so that this costs no wait for the disk of its own.
//! - Whose caller is suspended or frozen does not begin, and is passed over by those behind it; what runs already goes on. So a freeze stops
//!   what has not happened yet.
//! - Every change of a call is made under this table's lock, so that of an outcome and an end one comes first.

use crate::ports::{Change, Decided, PostedToolCall, ToolCallImage, ToolOutcome};
use parking_lot::Mutex;
use remit_abi::{GrantId, Integrity, Label, Pid, TenantId, ToolError, limits};
use rustc_hash::FxHashMap;
use std::{collections::BTreeMap, mem, sync::Arc};
use tokio::sync::Notify;

/// What came of a call, for its caller.
#[derive(Clone, Debug)]
pub(crate) struct Settled {
    pub(crate) attempts: u32,
    pub(crate) outcome: ToolOutcome,
    pub(crate) decided: Option<Decided>,
    /// Of what a person decided, who saw the arguments.
    pub(crate) decision: Label,
}

impl Settled {
    fn of(image: &ToolCallImage, outcome: ToolOutcome) -> Self {
        let decision = Label { integrity: Integrity::Trusted, tags: image.posted.arguments.label.tags };
        Self { attempts: image.attempts, outcome, decided: image.decided.clone(), decision }
    }
}

#[derive(Debug)]
enum State {
    Open,
    Settled(Box<Settled>),
    Taken,
}

/// A call, for whoever made it.
#[derive(Debug)]
pub(crate) struct PendingToolCall {
    /// Of all calls of tools of the node.
    pub(crate) number: u64,
    state: Mutex<State>,
    changed: Notify,
}

impl PendingToolCall {
    fn in_state(number: u64, state: State) -> Arc<Self> {
        Arc::new(Self { number, state: Mutex::new(state), changed: Notify::new() })
    }

    /// One whose outcome was taken before the host started anew, or that was let go.
    pub(crate) fn taken_before(number: u64) -> Arc<Self> {
        Self::in_state(number, State::Taken)
    }

    /// Whether its caller need not wait any longer.
    pub(crate) fn is_ready(&self) -> bool {
        !matches!(*self.state.lock(), State::Open)
    }

    /// Waits until something has come of it, or it was let go: whoever works for it stops then.
    pub(crate) async fn ready(&self) {
        loop {
            let changed = self.changed.notified();
            if self.is_ready() {
                return;
            }
            changed.await;
        }
    }

    fn become_now(&self, state: State) {
        *self.state.lock() = state;
        self.changed.notify_waiters();
    }

    /// What came of it, if `take` can use it: what `take` refuses stays. To be called when it is ready.
    pub(crate) fn take<T>(
        &self,
        take: impl FnOnce(Box<Settled>) -> Result<T, (Box<Settled>, ToolError)>,
    ) -> Result<T, ToolError> {
        let mut state = self.state.lock();
        match mem::replace(&mut *state, State::Taken) {
            State::Settled(settled) => take(settled).map_err(|(settled, error)| {
                *state = State::Settled(settled);
                error
            }),
            State::Open | State::Taken => Err(ToolError::Taken),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Waiting,
    Running,
    Doubted,
    Settled,
}

/// A call from both of its sides.
#[derive(Debug)]
pub(crate) struct OpenToolCall {
    /// Without its outcome, which its caller's side has.
    pub(crate) image: ToolCallImage,
    pub(crate) pending: Arc<PendingToolCall>,
    pub(crate) phase: Phase,
    /// Whether the record that it was made with is written down.
    is_written: bool,
}

/// The calls of one tenant.
#[derive(Debug, Default)]
struct Tray {
    calls: BTreeMap<u64, OpenToolCall>,
    running: usize,
}

impl Tray {
    fn leave(&mut self, phase: Phase) {
        if phase == Phase::Running {
            self.running -= 1;
        }
    }
}

/// As many as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full(pub(crate) usize);

/// A call that was withdrawn, and whose caller is not told yet.
#[derive(Debug)]
pub(crate) struct WithdrawnCall {
    pub(crate) tenant: TenantId,
    pending: Arc<PendingToolCall>,
    settled: Settled,
    /// The question that people were asked about it.
    pub(crate) question: Option<u64>,
}

impl WithdrawnCall {
    /// What is different for the node.
    pub(crate) fn changes(&self) -> impl Iterator<Item = Change> + use<> {
        let (number, question) = (self.pending.number, self.question);
        let gone = question.map(|number| Change::QuestionGone { number });
        let outcome = Box::new(ToolOutcome::Withdrawn);
        [Change::ToolReturned { number, outcome, decided: None }].into_iter().chain(gone)
    }

    /// Stops what runs, and tells its caller.
    pub(crate) fn withdraw(&self) {
        self.pending.become_now(State::Settled(Box::new(self.settled.clone())));
    }
}

/// All calls of tools of a node.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    trays: FxHashMap<TenantId, Tray>,
}

impl Effects {
    /// Puts a call in; whether it begins at once, where it is written down. Those whose caller is held keep nobody waiting.
    pub(crate) fn post(
        &mut self,
        posted: PostedToolCall,
        is_held: impl Fn(&PostedToolCall) -> bool,
    ) -> Result<(Arc<PendingToolCall>, bool), Full> {
        let tray = self.trays.entry(posted.caller.tenant).or_default();
        if tray.calls.len() >= limits::TENANT_TOOL_CALLS_MAX {
            return Err(Full(limits::TENANT_TOOL_CALLS_MAX));
        }
        let waits = |call: &OpenToolCall| call.phase == Phase::Waiting && !is_held(&call.image.posted);
        let stands_behind = tray.calls.values().any(waits);
        let begins = tray.running < limits::TOOL_CALLS_RUNNING_MAX && !stands_behind && !is_held(&posted);
        let (number, mut image) = (posted.number, ToolCallImage::of(posted));
        if begins {
            tray.running += 1;
            image.begin(None);
        }
        let pending = PendingToolCall::in_state(number, State::Open);
        let phase = if begins { Phase::Running } else { Phase::Waiting };
        tray.calls.insert(number, OpenToolCall { image, pending: pending.clone(), phase, is_written: false });
        Ok((pending, begins))
    }

    /// Puts a call back that was there before the host started anew, in a phase in which nothing runs.
    pub(crate) fn restore(&mut self, mut image: ToolCallImage, phase: Phase) -> Arc<PendingToolCall> {
        let tray = self.trays.entry(image.posted.caller.tenant).or_default();
        let state = match image.outcome.take() {
            Some(outcome) => State::Settled(Box::new(Settled::of(&image, outcome))),
            None => State::Open,
        };
        let (number, pending) = (image.posted.number, PendingToolCall::in_state(image.posted.number, state));
        tray.calls.insert(number, OpenToolCall { image, pending: pending.clone(), phase, is_written: true });
        pending
    }

    /// It is written down that a call was made; the call.
    pub(crate) fn show(&mut self, tenant: TenantId, number: u64) -> Option<&OpenToolCall> {
        let call = self.trays.get_mut(&tenant)?.calls.get_mut(&number)?;
        call.is_written = true;
        Some(call)
    }

    /// A call of which nothing has come yet.
    pub(crate) fn open(&mut self, tenant: TenantId, number: u64) -> Option<&mut OpenToolCall> {
        let call = self.trays.get_mut(&tenant)?.calls.get_mut(&number)?;
        (call.phase != Phase::Settled).then_some(call)
    }

    /// The call of a tenant that is begun next, where one more may run: the first one whose caller is not held.
    pub(crate) fn next(
        &mut self,
        tenant: TenantId,
        is_held: impl Fn(&PostedToolCall) -> bool,
    ) -> Option<&mut OpenToolCall> {
        let tray = self.trays.get_mut(&tenant)?;
        if tray.running >= limits::TOOL_CALLS_RUNNING_MAX {
            return None;
        }
        let is_next =
            |call: &&mut OpenToolCall| call.phase == Phase::Waiting && call.is_written && !is_held(&call.image.posted);
        tray.calls.values_mut().find(is_next)
    }

    /// It is written down that a call is begun.
    pub(crate) fn begin(&mut self, tenant: TenantId, number: u64) {
        let Some(tray) = self.trays.get_mut(&tenant) else { return };
        if let Some(call) = tray.calls.get_mut(&number) {
            call.phase = Phase::Running;
            call.image.begin(None);
            tray.running += 1;
        }
    }

    /// It is written down what came of a call.
    pub(crate) fn settle(&mut self, tenant: TenantId, number: u64, outcome: ToolOutcome, decided: Option<Decided>) {
        let Some(tray) = self.trays.get_mut(&tenant) else { return };
        let Some(call) = tray.calls.get_mut(&number) else { return };
        let before = mem::replace(&mut call.phase, Phase::Settled);
        call.image.question = None;
        call.image.decided = decided.or(call.image.decided.take());
        call.pending.become_now(State::Settled(Box::new(Settled::of(&call.image, outcome))));
        tray.leave(before);
    }

    /// Takes a call out, and stops what runs; what it was.
    pub(crate) fn remove(&mut self, tenant: TenantId, number: u64) -> Option<ToolCallImage> {
        let tray = self.trays.get_mut(&tenant)?;
        let call = tray.calls.remove(&number)?;
        tray.leave(call.phase);
        // What came of it may be on its way to its caller.
        if call.phase != Phase::Settled {
            call.pending.become_now(State::Taken);
        }
        Some(call.image)
    }

    /// The numbers of all calls of a process.
    pub(crate) fn called_by(&self, caller: Pid) -> Vec<u64> {
        let calls = self.trays.get(&caller.tenant).into_iter().flat_map(|tray| &tray.calls);
        calls.filter(|(_, call)| call.image.posted.caller == caller).map(|(number, _)| *number).collect()
    }

    /// Withdraws the calls under these grants of which nothing has come; their callers are to be told.
    pub(crate) fn take_called_under(&mut self, grants: &[GrantId]) -> Vec<WithdrawnCall> {
        let mut withdrawn = Vec::new();
        for (tenant, tray) in &mut self.trays {
            let is_under = |call: &&mut OpenToolCall| {
                grants.contains(&call.image.posted.grant) && call.phase != Phase::Settled && call.is_written
            };
            let mut left = 0;
            for call in tray.calls.values_mut().filter(is_under) {
                left += usize::from(call.phase == Phase::Running);
                call.phase = Phase::Settled;
                withdrawn.push(WithdrawnCall {
                    tenant: *tenant,
                    pending: call.pending.clone(),
                    settled: Settled::of(&call.image, ToolOutcome::Withdrawn),
                    question: call.image.question.take(),
                });
            }
            tray.running -= left;
        }
        withdrawn
    }

    /// The tenants that have any.
    pub(crate) fn tenants(&self) -> Vec<TenantId> {
        self.trays.keys().copied().collect()
    }
}
