//! What an operator says of keys and values that have to leave where they are computed.

use remit_inference::Limits;
use std::path::PathBuf;

/// Room outside of where a model is computed, for keys and values that are worth more than computing them again takes.
///
/// By default what an engine does by itself: on a GPU as many tokens of the host's memory as of its own, on the CPU none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swapping {
    /// Tokens, of each model; an engine's own choice without this.
    pub tokens_max: Option<usize>,
    /// A folder in which they are in a file, which has no name and goes with its engine. The host's memory without this.
    pub folder: Option<PathBuf>,
    /// Bytes of snapshots in the data folder: what leaves memory is kept there beyond the host's end, sealed, where reading it takes less
    /// time than computing it. A node that is durable has them; none are kept without this.
    pub snapshot_bytes_max: Option<u64>,
}

impl Swapping {
    /// An engine's limits with this.
    pub(crate) fn within(&self, mut limits: Limits) -> Limits {
        limits.swap_tokens_max = self.tokens_max;
        limits.swap_folder.clone_from(&self.folder);
        limits
    }
}
