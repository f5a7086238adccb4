//! Journals that survive no crash. The one of this file keeps nothing: processes on it live as long as their node.
//!
//! A process that is started again within that time goes on from its last checkpoint, which the kernel itself holds.

mod memory;

pub use memory::{KeptRecord, MemoryJournal};

use crate::ports::{
    Holdings, Journal, JournalError, Line, NodeImage, PortFuture, Position, Record, StoredProcess, StoredResult,
};
use remit_abi::{AccountId, GrantId, Pid};

/// Takes everything and remembers nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct EphemeralJournal;

impl Journal for EphemeralJournal {
    fn keeps(&self) -> bool {
        false
    }

    fn append(&self, _: &[Record<'_>]) -> Result<Position, JournalError> {
        Ok(Position::default())
    }

    fn durable(&self, _: Position) -> PortFuture<'_, Result<(), JournalError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn node(&self) -> Result<NodeImage, JournalError> {
        Ok(NodeImage::default())
    }

    fn holdings(&self, _: &[AccountId], _: &[GrantId]) -> Result<Holdings, JournalError> {
        Ok(Holdings::default())
    }

    fn process(&self, _: Pid) -> Result<Option<StoredProcess>, JournalError> {
        Ok(None)
    }

    fn results(&self, _: Option<Pid>, _: usize) -> Result<Vec<StoredResult>, JournalError> {
        Ok(Vec::new())
    }

    fn history(&self, _: Pid, _: u64, _: usize) -> Result<Vec<Line>, JournalError> {
        Ok(Vec::new())
    }
}
