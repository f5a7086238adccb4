//! `checkpoint`: the state to go on from. It is kept when the journal holds it, not before.

use crate::{
    control::ControlBlock,
    kernel::Shared,
    ports::{JournalError, Position},
};
use bytes::Bytes;
use remit_abi::{CheckpointError, CheckpointRequest, limits};

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

    pub(super) async fn act(self, shared: &Shared, block: &ControlBlock) -> Result<(), CheckpointError> {
        let not_kept = |error: JournalError| CheckpointError::NotKept(error.to_string().into());
        shared.ports.journal.durable(Position::default()).await.map_err(not_kept)?;
        block.process.lock().checkpoint = Some(self.state);
        Ok(())
    }
}
