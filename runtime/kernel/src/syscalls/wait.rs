//! `wasi:io/poll`: waiting is a syscall like any other, so that it can be journaled, hibernate and cross a channel.

use super::{Context, streaming::Streaming};
use crate::{
    calls::PendingCall,
    control::ControlBlock,
    deadlock::{Awaited, Circle},
    effects::PendingToolCall,
    inbox::PendingQuestion,
    kernel::Shared,
    mailbox::Select,
    ports::Clock,
    process::Process,
};
use futures::{FutureExt, future::select_all};
use remit_abi::{Fault, Reply, WaitId, WaitRequest, limits};
use std::sync::Arc;

pub(super) fn validate(process: &Process, request: &WaitRequest) -> Result<(), Fault> {
    let ids = match request {
        WaitRequest::Any { ids } => &**ids,
        WaitRequest::IsReady { id } => std::slice::from_ref(id),
    };
    if ids.is_empty() {
        return Err(Fault::Protocol("it waits for nothing, which would never end".into()));
    }
    if ids.len() > limits::WAIT_IDS_MAX {
        let sentence = format!("it waits for {} things and {} are the most", ids.len(), limits::WAIT_IDS_MAX);
        return Err(Fault::Limit(sentence.into()));
    }
    let lives = |id: &WaitId| match *id {
        WaitId::Timer(timer) => process.timers.get(timer).is_some(),
        WaitId::Generation(generation) => process.generations.get(generation).is_some(),
        WaitId::Child(child) => process.children.get(child).is_some(),
        WaitId::Call(call) => process.calls.get(call).is_some(),
        WaitId::Watch(watch) => process.watches.get(watch).is_some(),
        WaitId::Alarm(alarm) => process.alarms.get(alarm).is_some(),
        WaitId::Signal => true,
        WaitId::Question(question) => process.questions.get(question).is_some(),
        WaitId::ToolCall(call) => process.tool_calls.get(call).is_some(),
    };
    match ids.iter().all(lives) {
        true => Ok(()),
        false => Err(Fault::Protocol("it waits for something that it has dropped".into())),
    }
}

pub(super) fn act(context: &mut Context<'_>, request: &WaitRequest) -> Reply {
    let WaitRequest::IsReady { id } = request else { unreachable!("a wait that may last becomes a call") };
    let ready = source(context.process, *id).is_some_and(|source| source.is_ready(context.shared, context.block));
    Reply::Ready(if ready { [0].into() } else { [].into() })
}

/// Something waited for, by what makes it ready.
enum Source {
    /// A moment of the node's monotonic clock.
    Deadline(u64),
    /// A moment of the wall clock.
    Alarm(u64),
    Generation(Streaming),
    Child(Arc<ControlBlock>),
    Call(Arc<PendingCall>),
    Message(Arc<Select>),
    Signal,
    Question(Arc<PendingQuestion>),
    ToolCall(Arc<PendingToolCall>),
}

fn source(process: &Process, id: WaitId) -> Option<Source> {
    Some(match id {
        WaitId::Timer(timer) => Source::Deadline(process.monotonic_ns(*process.timers.get(timer)?)),
        WaitId::Alarm(alarm) => Source::Alarm(process.alarms.get(alarm)?.at_ns),
        WaitId::Generation(generation) => Source::Generation(process.generations.get(generation)?.clone()),
        WaitId::Child(child) => Source::Child(process.children.get(child)?.block.clone()),
        WaitId::Call(call) => Source::Call(process.calls.get(call)?.clone()),
        WaitId::Watch(watch) => Source::Message(process.watches.get(watch)?.clone()),
        WaitId::Signal => Source::Signal,
        WaitId::Question(question) => Source::Question(process.questions.get(question)?.clone()),
        WaitId::ToolCall(call) => Source::ToolCall(process.tool_calls.get(call)?.clone()),
    })
}

impl Source {
    fn is_ready(&self, shared: &Shared, block: &ControlBlock) -> bool {
        let clock = &shared.ports.clock;
        match self {
            Self::Deadline(deadline_ns) => clock.monotonic_ns() >= *deadline_ns,
            Self::Alarm(at_ns) => clock.wall_ns() >= *at_ns,
            Self::Generation(generation) => generation.is_ready(),
            Self::Child(child) => child.has_ended(),
            Self::Call(call) => !call.is_open() || clock.monotonic_ns() >= call.deadline_ns,
            Self::Message(select) => block.mailbox.has(select),
            Self::Signal => block.signals.is_raised(),
            Self::Question(question) => question.is_ready(&**clock),
            Self::ToolCall(call) => call.is_ready(),
        }
    }

    async fn ready(&self, shared: &Arc<Shared>, block: &ControlBlock) {
        let clock = &shared.ports.clock;
        match self {
            Self::Deadline(deadline_ns) => clock.sleep_until(*deadline_ns).await,
            Self::Alarm(at_ns) => clock.sleep_towards(*at_ns).await,
            Self::Generation(generation) => generation.ready(shared, block).await,
            Self::Child(child) => child.ended().await,
            Self::Call(call) => {
                tokio::select! {
                    () = call.settled() => {}
                    () = clock.sleep_until(call.deadline_ns) => {}
                }
            }
            Self::Message(select) => block.mailbox.ready(select).await,
            Self::Signal => block.signals.ready().await,
            Self::Question(question) => question.step(&**clock).await,
            Self::ToolCall(call) => call.ready().await,
        }
    }

    /// What another process has to do, where this is the only thing that is waited for.
    fn awaited(&self) -> Option<Awaited> {
        match self {
            Self::Child(child) => Some(Awaited::End(child.clone())),
            Self::Call(call) => Some(Awaited::Answer(call.clone())),
            _ => None,
        }
    }
}

/// A wait that may last.
pub(crate) struct Wait {
    sources: Vec<Source>,
}

impl Wait {
    pub(super) fn prepare(context: &Context<'_>, ids: &[WaitId]) -> Self {
        Self { sources: ids.iter().filter_map(|id| source(context.process, *id)).collect() }
    }

    pub(super) async fn act(self, shared: &Arc<Shared>, block: &ControlBlock) -> Reply {
        Reply::Ready(self.ready(shared, block).await)
    }

    /// Whether something became of a question among what is waited for.
    pub(super) fn is_answered(&self, clock: &dyn Clock) -> bool {
        let is_answered = |source: &Source| matches!(source, Source::Question(question) if question.is_ready(clock));
        self.sources.iter().any(is_answered)
    }

    /// Waits until something is ready, and takes nothing; which.
    pub(super) async fn ready(&self, shared: &Arc<Shared>, block: &ControlBlock) -> Box<[u32]> {
        let awaited = match &*self.sources {
            [only] if !only.is_ready(shared, block) => only.awaited(),
            _ => None,
        };
        let edge = awaited.map(|awaited| shared.waits.wait(block.pid, awaited)).transpose();
        let Ok(_edge) = edge.map_err(|Circle| ()) else {
            // Ready, for what comes next answers that it would wait for ever.
            return [0].into();
        };
        loop {
            let ready = self.sources.iter().enumerate().filter(|(_, source)| source.is_ready(shared, block));
            let ready: Box<[u32]> = ready.filter_map(|(index, _)| u32::try_from(index).ok()).collect();
            if !ready.is_empty() {
                return ready;
            }
            select_all(self.sources.iter().map(|source| source.ready(shared, block).boxed())).await;
        }
    }
}
