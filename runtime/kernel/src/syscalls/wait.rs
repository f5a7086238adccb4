//! `wasi:io/poll`: waiting is a syscall like any other, so that it can be journaled, hibernate and cross a channel.

use super::Context;
use crate::{generation::Generation, kernel::Shared, process::Process};
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
    let lives = |id: &WaitId| match id {
        WaitId::Timer(timer) => process.timers.get(*timer).is_some(),
        WaitId::Generation(generation) => process.generations.get(*generation).is_some(),
        _ => false,
    };
    match ids.iter().all(lives) {
        true => Ok(()),
        false => Err(Fault::Protocol("it waits for something that it has dropped".into())),
    }
}

pub(super) fn act(context: &mut Context<'_>, request: &WaitRequest) -> Reply {
    let WaitRequest::IsReady { id } = request else { unreachable!("a wait that may last becomes a call") };
    let ready = source(context, *id).is_some_and(|source| source.is_ready(context.shared));
    Reply::Ready(if ready { [0].into() } else { [].into() })
}

/// Something waited for, by what makes it ready.
enum Source {
    /// A moment of the node's monotonic clock.
    Deadline(u64),
    Generation(Arc<Generation>),
}

fn source(context: &Context<'_>, id: WaitId) -> Option<Source> {
    let process = &context.process;
    match id {
        WaitId::Timer(timer) => {
            process.timers.get(timer).map(|deadline_ns| Source::Deadline(process.zero_ns.saturating_add(*deadline_ns)))
        }
        WaitId::Generation(generation) => process.generations.get(generation).cloned().map(Source::Generation),
        _ => None,
    }
}

impl Source {
    fn is_ready(&self, shared: &Shared) -> bool {
        match self {
            Self::Deadline(deadline_ns) => shared.ports.clock.monotonic_ns() >= *deadline_ns,
            Self::Generation(generation) => generation.is_ready(),
        }
    }

    async fn ready(&self, shared: &Shared) {
        match self {
            Self::Deadline(deadline_ns) => shared.ports.clock.sleep_until(*deadline_ns).await,
            Self::Generation(generation) => generation.ready().await,
        }
    }
}

/// A wait that may last.
pub(crate) struct Wait {
    sources: Vec<Source>,
}

impl Wait {
    pub(super) fn prepare(context: &Context<'_>, ids: &[WaitId]) -> Self {
        Self { sources: ids.iter().filter_map(|id| source(context, *id)).collect() }
    }

    pub(super) async fn act(self, shared: &Shared) -> Reply {
        loop {
            let ready = self.sources.iter().enumerate().filter(|(_, source)| source.is_ready(shared));
            let ready: Box<[u32]> = ready.filter_map(|(index, _)| u32::try_from(index).ok()).collect();
            if !ready.is_empty() {
                return Reply::Ready(ready);
            }
            select_all(self.sources.iter().map(|source| source.ready(shared).boxed())).await;
        }
    }
}
