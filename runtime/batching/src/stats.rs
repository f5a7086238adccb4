//! What was done, in plain counters.

use std::time::Duration;

/// What became of one sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Until it was computed for the first time.
    pub queued: Duration,
    /// From then until its first token was drawn.
    pub prefill: Duration,
    /// From then until its last.
    pub decode: Duration,
    /// Tokens that were at hand when it came to them.
    pub cached: usize,
    /// Tokens that were computed for it, the first time.
    pub computed: usize,
    /// Tokens that were computed once more, after it had given way or the device was lost.
    pub recomputed: usize,
    /// Tokens that were drawn.
    pub drawn: usize,
    /// Tokens that were proposed, and computed.
    pub proposed: usize,
    /// Of those, the ones that were drawn.
    pub accepted: usize,
    /// How often it gave way.
    pub preemptions: u32,
}

/// All that a batcher did, and how its blocks are used now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests that came, those that were refused aside.
    pub requests: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Sequences that ended.
    pub ended: u64,
    /// Sequences that were cancelled.
    pub cancelled: u64,
    /// Steps that were computed.
    pub steps: u64,
    /// Rows of prompts, and of what was computed once more.
    pub prefill_rows: u64,
    /// Rows of output.
    pub decode_rows: u64,
    /// Tokens that were drawn.
    pub drawn: u64,
    /// Tokens that were proposed, and computed.
    pub proposed: u64,
    /// Of those, the ones that were drawn.
    pub accepted: u64,
    /// Tokens that were at hand.
    pub cached: u64,
    /// How often a sequence gave way.
    pub preemptions: u64,
    /// Blocks that were dropped.
    pub dropped: u64,
    /// Blocks that were written out.
    pub swapped_out: u64,
    /// Blocks that were read in.
    pub swapped_in: u64,
    /// Blocks that came back from snapshots.
    pub restored: u64,
    /// Blocks that were copied for another writer.
    pub copied: u64,
    /// Sequences that run.
    pub running: usize,
    /// Sequences that wait.
    pub waiting: usize,
    /// Sequences whose readers have stopped.
    pub paused: usize,
    /// Blocks that there are.
    pub blocks: usize,
    /// Blocks that sequences hold.
    pub blocks_held: usize,
    /// Blocks that only the tree holds.
    pub blocks_kept: usize,
    /// Slots that there are.
    pub slots: usize,
    /// Slots that are used.
    pub slots_used: usize,
    /// Places for tokens in blocks that sequences hold.
    pub places: usize,
    /// Of those, the ones without a token.
    pub places_empty: usize,
}

impl Totals {
    /// The part of held memory that has nothing in it, from 0 to 1.
    #[must_use]
    pub fn waste(&self) -> f64 {
        if self.places == 0 { 0.0 } else { self.places_empty as f64 / self.places as f64 }
    }

    /// The part of tokens that were at hand, from 0 to 1, of those that had to be computed or found.
    #[must_use]
    pub fn hits(&self) -> f64 {
        let all = self.cached + self.prefill_rows;
        if all == 0 { 0.0 } else { self.cached as f64 / all as f64 }
    }
}
