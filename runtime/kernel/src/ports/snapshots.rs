//! Keys and values of models that have left memory.
//!
//! They can always be computed again, so nothing here fails: what cannot be kept is not kept, and what cannot be read is not there. Both
//! are counted. An engine decides what is worth keeping and reading; whoever stands behind this decides what there is room for, and
//! sees to it that nobody reads another tenant's.

use remit_abi::TenantId;
use std::{fmt, time::Duration};

/// A block's name: a digest of the tokens that it is of with all before them, of the model, and of how it is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotName(pub [u8; 32]);

/// A block that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadSnapshot {
    /// How many others of the same call were answered before.
    pub index: usize,
    /// As they were kept. None where they are not there any more, or are damaged; the call ends with it.
    pub bytes: Option<Vec<u8>>,
    /// How long reading them took.
    pub took: Duration,
}

/// Takes the blocks of a call one after the other; whether it wants more.
pub type SnapshotReader = Box<dyn FnMut(ReadSnapshot) -> bool + Send>;

/// What was kept and read since the node began, and what is kept now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotFigures {
    /// Blocks that are kept.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What they may come to.
    pub bytes_max: u64,
    /// Blocks that were written.
    pub written: u64,
    /// Blocks that were read whole.
    pub read: u64,
    /// Blocks that were asked for and were not there any more.
    pub missing: u64,
    /// Blocks that were there and were damaged.
    pub damaged: u64,
    /// Blocks that were not kept: the disk was full or too slow, or their tenant has no key.
    pub refused: u64,
    /// Blocks that made room for others.
    pub evicted: u64,
}

/// A place for blocks outside of memory. No call waits for a disk.
pub trait Snapshots: fmt::Debug + Send + Sync + 'static {
    /// Whether a tenant's block is kept, as far as that is known without looking.
    fn holds(&self, tenant: TenantId, name: SnapshotName) -> bool;

    /// Whether it would be kept if it was given now: it is not there, and there is room for it to wait.
    fn wants(&self, tenant: TenantId, name: SnapshotName) -> bool;

    /// Keeps a block, soon, where that is possible.
    fn keep(&self, tenant: TenantId, name: SnapshotName, bytes: Vec<u8>);

    /// Reads blocks of a tenant in this order, and hands them over on another thread. A call for which there is no room is dropped
    /// with its reader.
    fn read(&self, tenant: TenantId, names: Vec<SnapshotName>, reader: SnapshotReader);

    /// How it stands.
    fn figures(&self) -> SnapshotFigures;
}
