//! Doing what processes call tools for: a call is begun when it is on the disk, and what came of it is told when it is written down.
//!
//! The kernel works for a call beside its caller, who may wait, sleep or do something else meanwhile. Where the caller lets go, ends, or
//! loses the right, what has not begun never begins, and what runs is stopped. Where the caller is suspended or frozen, what has not begun
//! waits until it goes on.

use crate::{
    effects::{OpenToolCall, PendingToolCall, Phase, WithdrawnCall},
    kernel::Shared,
    ports::{
        Change, Decided, Effect, JournalError, Position, PostedToolCall, ToolEnd, ToolFailure, ToolJob, ToolOutcome,
        ToolOutput, ValueImage,
    },
    process::{Process, TEXT},
};
use remit_abi::{GrantId, Label, Pid, TenantId};
use std::{
    collections::BTreeSet,
    mem,
    sync::{Arc, atomic::Ordering},
};

/// How long the kernel waits before it tries once more to write down what came of a call.
const WRITE_AGAIN_NS: u64 = 1_000_000_000;

/// A call that is begun.
struct Begun {
    pending: Arc<PendingToolCall>,
    job: ToolJob,
    returns: Label,
    /// Whether an earlier try may have acted.
    may_have_acted: bool,
}

impl Begun {
    fn of(call: &OpenToolCall) -> Self {
        let posted = &call.image.posted;
        Self {
            pending: call.pending.clone(),
            job: ToolJob {
                tenant: posted.caller.tenant,
                tool: posted.tool.clone(),
                number: posted.number,
                key: posted.key.clone(),
                arguments: posted.arguments.bytes.clone(),
            },
            returns: posted.returns,
            may_have_acted: call.image.attempts > 1 && posted.effect != Effect::None,
        }
    }

    fn outcome(&self, end: ToolEnd) -> ToolOutcome {
        let (label, said) = (self.returns, |media_type, bytes| ValueImage { bytes, media_type, label: self.returns });
        match end {
            Ok(ToolOutput { bytes, media_type }) => ToolOutcome::Done(ValueImage { bytes, media_type, label }),
            Err(ToolFailure::Failed(text)) => ToolOutcome::Failed(said(TEXT.into(), text.into_string().into())),
            Err(ToolFailure::TimedOut) => ToolOutcome::TimedOut,
            Err(ToolFailure::Unavailable(why)) if self.may_have_acted => {
                ToolOutcome::Uncertain(format!("the host ended while it ran, and it was not begun again: {why}").into())
            }
            Err(ToolFailure::Unavailable(why)) => ToolOutcome::Unavailable(why),
        }
    }
}

impl Shared {
    /// The number of a new call of a tool.
    pub(crate) fn next_tool_call(&self) -> u64 {
        self.next_tool_call.fetch_add(1, Ordering::Relaxed)
    }

    /// Gives out no number of a call of a tool below this one.
    pub(crate) fn skip_tool_calls_to(&self, number: u64) {
        self.next_tool_call.fetch_max(number, Ordering::Relaxed);
    }

    /// Sets a call going that is written down, whose grant may have been revoked since it was used.
    pub(crate) fn set_tool_call_going(self: &Arc<Self>, tenant: TenantId, number: u64, grant: GrantId) {
        let begun = {
            let mut effects = self.effects.lock();
            effects.show(tenant, number).filter(|call| call.phase == Phase::Running).map(Begun::of)
        };
        if !self.grants.lock().is_live(grant) {
            self.withdraw_called_under(&[grant]);
            return;
        }
        match begun {
            Some(begun) => self.ports.tools.run(Box::pin(self.clone().do_call(begun))),
            None => self.begin_tool_calls(tenant),
        }
    }

    /// Begins as many calls of a tenant that stand in line as may run.
    pub(crate) fn begin_tool_calls(self: &Arc<Self>, tenant: TenantId) {
        while let Some(begun) = self.begin_next(tenant) {
            self.ports.tools.run(Box::pin(self.clone().do_call(begun)));
        }
    }

    /// Whether the caller of a call takes no turns. The freezes are asked besides its block: a start that puts the node together again tells
    /// each block of them when its life begins.
    pub(crate) fn holds_caller(&self, posted: &PostedToolCall) -> bool {
        let PostedToolCall { caller, package, .. } = posted;
        let block = self.block(*caller);
        // Who has calls stays in memory, so that its component is known.
        let component = block.as_ref().map_or("", |block| &block.facts.digest);
        self.frozen.lock().holds(caller.tenant, package, component) || block.is_some_and(|block| block.is_held())
    }

    fn begin_next(&self, tenant: TenantId) -> Option<Begun> {
        let mut effects = self.effects.lock();
        let call = effects.next(tenant, |posted| self.holds_caller(posted))?;
        let (number, question) = (call.image.posted.number, call.image.question);
        let decided = call.image.decided.clone().filter(|_| question.is_some());
        let gone = question.map(|number| Change::QuestionGone { number });
        if let Err(error) = self.try_change(None, [Change::ToolBegun { number, decided }].into_iter().chain(gone)) {
            if !self.has_stopped() {
                tracing::error!(number, %error, "a call of a tool was not begun");
            }
            return None;
        }
        effects.begin(tenant, number);
        effects.open(tenant, number).map(|call| Begun::of(call))
    }

    /// Does a call that is begun, as long as anybody wants it.
    async fn do_call(self: Arc<Self>, begun: Begun) {
        let at = Position(self.appended.load(Ordering::Acquire));
        let durable = tokio::select! {
            biased;
            () = begun.pending.ready() => return,
            durable = self.ports.journal.durable(at) => durable,
        };
        let (tenant, number) = (begun.job.tenant, begun.job.number);
        let end = match durable {
            Ok(()) => {
                let call = self.ports.tools.call(begun.job.clone());
                tokio::select! {
                    biased;
                    () = begun.pending.ready() => return,
                    end = call => end,
                }
            }
            Err(error) => Err(ToolFailure::Unavailable(error.to_string().into())),
        };
        self.tool_returned(tenant, number, begun.outcome(end), None).await;
    }

    /// Writes down what came of a call, and tells its caller. It tries until it can, or nobody wants it any more.
    pub(crate) async fn tool_returned(
        self: &Arc<Self>,
        tenant: TenantId,
        number: u64,
        outcome: ToolOutcome,
        decided: Option<Decided>,
    ) {
        while let Err(error) = self.try_return(tenant, number, &outcome, decided.as_ref()) {
            if self.has_stopped() {
                return;
            }
            tracing::error!(number, %error, "what came of a call of a tool was not journaled yet");
            let clock = &self.ports.clock;
            clock.sleep_until(clock.monotonic_ns().saturating_add(WRITE_AGAIN_NS)).await;
        }
        self.begin_tool_calls(tenant);
    }

    fn try_return(
        &self,
        tenant: TenantId,
        number: u64,
        outcome: &ToolOutcome,
        decided: Option<&Decided>,
    ) -> Result<(), JournalError> {
        let mut effects = self.effects.lock();
        let Some(call) = effects.open(tenant, number) else { return Ok(()) };
        let gone = call.image.question.map(|number| Change::QuestionGone { number });
        let (boxed, by) = (Box::new(outcome.clone()), decided.cloned());
        let returned = Change::ToolReturned { number, outcome: boxed, decided: by.clone() };
        self.try_change(None, [returned].into_iter().chain(gone))?;
        tracing::info!(number, pid = %call.image.posted.caller, tool = %call.image.posted.tool, outcome = ?outcome.kind(), "a tool returned");
        effects.settle(tenant, number, outcome.clone(), by);
        Ok(())
    }

    /// Withdraws the calls under grants that are revoked: what has not begun never begins, and what runs is stopped.
    pub(crate) fn withdraw_called_under(self: &Arc<Self>, revoked: &[GrantId]) {
        let withdrawn = self.effects.lock().take_called_under(revoked);
        self.change(None, withdrawn.iter().flat_map(WithdrawnCall::changes));
        withdrawn.iter().for_each(|call| self.tell_withdrawn(call));
    }

    /// Tells the caller of a call that was withdrawn; that is written down.
    pub(crate) fn tell_withdrawn(self: &Arc<Self>, call: &WithdrawnCall) {
        if let Some(question) = call.question {
            self.inbox.lock().remove(call.tenant, question);
        }
        call.withdraw();
        self.begin_tool_calls(call.tenant);
    }

    /// Lets go of a call of a process.
    pub(crate) fn drop_tool_call(self: &Arc<Self>, process: &mut Process, number: u64) {
        let tenant = process.pid.tenant;
        let removed = self.effects.lock().remove(tenant, number);
        if let Some(number) = removed.and_then(|image| image.question) {
            self.inbox.lock().remove(tenant, number);
            process.due.change(|| Change::QuestionGone { number });
        }
        process.due.change(|| Change::ToolCallGone { number });
        self.begin_tool_calls(tenant);
    }

    /// Lets go of all calls of a process whose run is over: those that it holds, and those that it was not told again of.
    pub(crate) fn drop_tool_calls(self: &Arc<Self>, process: &mut Process) {
        let mut numbers: BTreeSet<u64> = self.effects.lock().called_by(process.pid).into_iter().collect();
        numbers.extend(mem::take(&mut process.tool_calls).iter().map(|(_, call)| call.number));
        for number in numbers {
            self.drop_tool_call(process, number);
        }
    }

    /// A call that could not be written down is not made.
    pub(crate) fn unmake_tool_call(self: &Arc<Self>, caller: Pid, number: u64) {
        self.effects.lock().remove(caller.tenant, number);
        self.begin_tool_calls(caller.tenant);
    }
}

/// The idempotency key of a call: which tenant, which call, and what no other node's call has.
pub(crate) fn idempotency_key(caller: Pid, number: u64, called_ns: u64, drawn: &[u8]) -> Box<str> {
    use sha2::{Digest, Sha256};
    let digest = Sha256::new()
        .chain_update("remit tool call 1\n")
        .chain_update(drawn)
        .chain_update(format!("{caller} {number} {called_ns}"))
        .finalize();
    let digest: String = digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{number}-{digest}", caller.tenant.0).into()
}
