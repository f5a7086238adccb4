//! Models, as an operator sees them.

use serde::{Deserialize, Serialize};

/// Every model that was opened, with what it did since. `GET /v1/models`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Models {
    /// Bytes of weights that are in memory, at most.
    pub bytes_max: u64,
    /// Bytes that are taken.
    pub bytes_held: u64,
    /// Each of them, in the order in which they were opened.
    pub models: Vec<Model>,
    /// GPUs that models have memory of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceMemory>,
    /// Keys and values that are kept on the disk; absent where there is no room for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots: Option<KeptSnapshots>,
}

/// Blocks of 16 tokens' keys and values on the disk, and what became of blocks since the host began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptSnapshots {
    /// Blocks that are there.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What these may come to.
    pub bytes_max: u64,
    /// Blocks that were written.
    pub written: u64,
    /// Blocks that were read whole.
    pub read: u64,
    /// Blocks that were asked for, and were gone.
    pub missing: u64,
    /// Blocks that were asked for, and were damaged.
    pub damaged: u64,
    /// Blocks that were not kept.
    pub refused: u64,
    /// Blocks that made room for others.
    pub evicted: u64,
}

/// What models have taken of a GPU: weights, keys and values, and what is computed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceMemory {
    /// The GPU's name.
    pub name: String,
    /// Bytes of its memory.
    pub bytes: u64,
}

/// One model. Its adapters' generations count as its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// Where its weights are.
    pub place: ModelPlace,
    /// Of its weights, in memory.
    pub bytes: u64,
    /// How often they were brought in.
    pub loads: u64,
    /// Of one that answers; absent of one that embeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub figures: Option<Figures>,
}

/// Where the weights of a model are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelPlace {
    /// On the disk alone.
    Away,
    /// On their way in.
    Loading,
    /// In memory.
    In,
    /// On their way out.
    Leaving,
}

/// What a model does, and did since it was opened: what is counted only rises.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Generations that are computed now.
    pub running: usize,
    /// Generations that wait for their turn.
    pub waiting: usize,
    /// Generations that wait for their readers.
    pub paused: usize,
    /// Steps that were computed.
    pub steps: u64,
    /// Generations that came to an end.
    pub ended: u64,
    /// Generations that were cancelled, or failed.
    pub cancelled: u64,
    /// Tokens of prompts that were computed, some more than once.
    pub input_tokens: u64,
    /// Tokens of prompts that were at hand.
    pub cached_tokens: u64,
    /// Tokens that were drawn.
    pub output_tokens: u64,
    /// Tokens that were guessed, and computed.
    pub proposed_tokens: u64,
    /// Of those, the ones that were drawn.
    pub accepted_tokens: u64,
    /// How often a generation gave way to another.
    pub preemptions: u64,
    /// Blocks of 16 tokens' keys and values that there is room for.
    pub blocks: usize,
    /// Blocks that generations hold.
    pub blocks_held: usize,
    /// Blocks that are kept for those to come.
    pub blocks_kept: usize,
    /// Places for tokens in blocks that are held.
    pub places: usize,
    /// Of those, the ones without a token.
    pub places_empty: usize,
    /// Blocks that were dropped.
    pub blocks_dropped: u64,
    /// Blocks that were swapped out.
    pub swapped_out: u64,
    /// Blocks that were read in again.
    pub swapped_in: u64,
    /// Bytes of blocks that are out.
    pub swapped_bytes: u64,
    /// Blocks that came back from snapshots.
    #[serde(default)]
    pub restored: u64,
    /// How often computing was built again after a crash.
    pub rebuilds: u64,
}
