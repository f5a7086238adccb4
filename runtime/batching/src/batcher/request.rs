//! What a batcher is told, and what it answers.

use super::Move;
use crate::{
    Block, Class, Load, Namespace, Report, Speed,
    blocks::{BLOCK_TOKENS, blocks_of},
};
use std::{fmt, ops::Range, time::Duration};

/// A sequence's number, rising in the order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SequenceId(pub u64);

/// Slots outside of the device to which blocks are written rather than dropped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Swap {
    /// How many.
    pub slots: usize,
    /// In which time a block is written out and read in again, as far as that is known; see [`Batcher::moved`](crate::Batcher::moved).
    /// A block goes out where computing it again takes longer.
    pub block_time: Duration,
}

/// What a batcher may use at most.
#[derive(Clone, Debug)]
pub struct Config {
    /// Blocks of the pool.
    pub blocks: usize,
    /// Slots for blocks that leave it.
    pub swap: Option<Swap>,
    /// In which time a block of a snapshot is read, as far as that is known; see [`Batcher::restored`](crate::Batcher::restored).
    /// `None` where there are no snapshots.
    pub restore_time: Option<Duration>,
    /// Sequences that run side by side. 64: beyond that, rows add as much to a step's time as they add tokens.
    pub running_max: usize,
    /// Sequences that wait; more are refused. 1,024: minutes of work on a small machine.
    pub waiting_max: usize,
    /// Rows of a step. 576: a long chunk and a token of each that runs.
    pub rows_max: usize,
    /// What prompts may add to a step while anybody decodes. 10 ms: a reader does not notice.
    pub chunk_time: Duration,
    /// What prompts may take of a step while nobody decodes. 100 ms: a newcomer waits for no longer, and little of that is the
    /// reading of the weights.
    pub chunk_time_alone: Duration,
    /// Rows of prompts in such a step, at most. 512: more make matrix products no faster.
    pub chunk_rows: usize,
    /// After such a time without a token the oldest sequence goes first. 2 s: longer than any policy takes on a machine that is not
    /// overloaded.
    pub patience: Duration,
    /// Whether sequences share what they have in common. Only comparisons turn it off.
    pub shares_prefixes: bool,
    /// How long steps take, as far as that is known.
    pub speed: Speed,
}

impl Config {
    /// The numbers above, for a pool of so many blocks, with neither swapping nor snapshots.
    #[must_use]
    pub fn new(blocks: usize) -> Self {
        Self {
            blocks,
            swap: None,
            restore_time: None,
            running_max: 64,
            waiting_max: 1_024,
            rows_max: 576,
            chunk_time: Duration::from_millis(10),
            chunk_time_alone: Duration::from_millis(100),
            chunk_rows: 512,
            patience: Duration::from_secs(2),
            shares_prefixes: true,
            speed: Speed::default(),
        }
    }

    /// Whether a request can be served, beside so many that wait.
    pub(super) fn check(&self, request: &Request, waiting: usize) -> Result<(), Refusal> {
        if request.prompt.is_empty() || request.output_max == 0 {
            return Err(Refusal::Empty);
        }
        let tokens = request.prompt.len().saturating_add(request.output_max);
        if blocks_of(tokens) > self.blocks {
            return Err(Refusal::NeverFits { tokens, tokens_max: self.blocks * BLOCK_TOKENS });
        }
        if waiting >= self.waiting_max { Err(Refusal::QueueFull { waiting }) } else { Ok(()) }
    }
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// Whose prefixes it may share.
    pub namespace: Namespace,
    /// Whose share of the machine it takes.
    pub tenant: u64,
    /// Of which of the tenant's programs.
    pub program: u64,
    /// How urgent it is.
    pub class: Class,
    /// The tenant's weight, the same in each of its requests; at least 1.
    pub weight: u32,
    /// When it should have ended.
    pub deadline: Option<Duration>,
    /// Its tokens so far.
    pub prompt: Vec<u32>,
    /// Tokens to draw, at most.
    pub output_max: usize,
}

/// Why a request cannot be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is nothing to go on from, or nothing to draw.
    Empty,
    /// Its tokens would not fit if nobody else were there.
    NeverFits {
        /// Prompt and output.
        tokens: usize,
        /// What there is room for.
        tokens_max: usize,
    },
    /// Too many wait.
    QueueFull {
        /// How many do.
        waiting: usize,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a request needs a token to go on from, and one to draw"),
            Self::NeverFits { tokens, tokens_max } => {
                write!(f, "prompt and output come to {tokens} tokens, and there is room for {tokens_max}")
            }
            Self::QueueFull { waiting } => write!(f, "{waiting} requests wait already"),
        }
    }
}

impl std::error::Error for Refusal {}

/// A sequence's part in a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Whose.
    pub id: SequenceId,
    /// Position of the first token; those before it are computed.
    pub begin: usize,
    /// The tokens to compute.
    pub input: Vec<u32>,
    /// How many of these, at the end, were proposed.
    pub proposed: usize,
    /// Blocks of the sequence, for positions up to those of the input: position p is in `table[p / 16]`.
    pub table: Vec<Block>,
    /// Whether a token is drawn behind the input; and behind each token that was proposed, and the one before those.
    pub draws: bool,
}

impl Span {
    /// The positions that it computes.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        self.begin..self.begin + self.input.len()
    }

    /// What it costs. One token that was known before, with what was proposed behind it, is decoding.
    #[must_use]
    pub fn load(&self) -> Load {
        Load::span(self.begin, self.input.len(), self.input.len() - self.proposed > 1)
    }
}

/// What to do next: all moves, in this order, and then one step with all spans.
#[derive(Debug, Default)]
#[must_use]
pub struct Plan {
    /// Before the step.
    pub moves: Vec<Move>,
    /// Of the step. Empty where there is nothing to compute.
    pub spans: Vec<Span>,
    /// What the spans come to.
    pub load: Load,
    /// How long the step should take.
    pub predicted: Duration,
    pub(super) number: u64,
}

impl Plan {
    /// Whether there is nothing to compute. It need not be finished then, but its moves have to be made.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }
}

/// What a span that draws came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whose.
    pub id: SequenceId,
    /// The tokens that were drawn: those that were proposed, as far as they were accepted, and one more.
    pub drawn: Vec<u32>,
    /// Whether that was all. It also ends by itself at its `output_max`.
    pub ended: bool,
}

/// A sequence that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Which it was.
    pub id: SequenceId,
    /// What became of it.
    pub report: Report,
}
