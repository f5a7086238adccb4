//! `checkpoint`: the state to go on from. It is kept when the journal holds it, not before.

use crate::{
    control::ControlBlock,
    kernel::Shared,
    ports::{Entry, JournalError},
};
use bytes::Bytes;
use remit_abi::{CheckpointError, CheckpointRequest, limits};
use std::sync::{Arc, atomic::Ordering};

pub(super) fn validate(CheckpointRequest::Commit { state }: &CheckpointRequest) -> Result<(), CheckpointError> {
    match state.len() as u64 {
        0..=limits::CHECKPOINT_BYTES_MAX => Ok(()),
        _ => Err(CheckpointError::TooLarge { limit: limits::CHECKPOINT_BYTES_MAX }),
    }
}

/// A state on its way into the journal.
pub(crate) struct Commit {
    state: Bytes,
}

impl Commit {
    pub(super) fn prepare(CheckpointRequest::Commit { state }: &CheckpointRequest) -> Self {
        Self { state: state.clone() }
    }

    /// Waits until it survives a crash.
    pub(super) async fn act(self, shared: &Arc<Shared>, block: &ControlBlock) -> Result<(), CheckpointError> {
        let written = {
            let process = &mut *block.process.lock();
            let before = process.checkpoint.replace(self.state);
            // A run that has more than this begins where it began.
            let beginning = process.holds_nothing_of_its_run().then(|| {
                let (now_ns, restarts) = (shared.ports.clock.monotonic_ns(), block.restarts.load(Ordering::Relaxed));
                // It is in the beginning's ledger.
                process.bill.take_untold();
                process.beginning(now_ns, restarts, block.outlet.count())
            });
            let entry = beginning.map(|beginning| Entry::Committed(Box::new(beginning)));
            shared.write(process, entry).inspect_err(|_| process.checkpoint = before)
        };
        let not_kept = |error: JournalError| CheckpointError::NotKept(error.to_string().into());
        shared.ports.journal.durable(written.map_err(not_kept)?).await.map_err(not_kept)
    }
}
