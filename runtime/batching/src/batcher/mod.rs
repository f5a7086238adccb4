//! The batcher: sequences, what the next step computes of them, and what becomes of it.
//!
//! | a sequence | holds | goes on when |
//! | --- | --- | --- |
//! | waits | nothing; what it had is the tree's | the policy says that it is its turn, and there is room |
//! | runs | blocks for its tokens | it is in each step, as far as rows, time and blocks go |
//! | is paused | nothing | its reader reads again |
//!
//! # Why nobody waits for ever
//!
//! - Whoever could never fit is refused, so that each sequence fits while nobody else holds anything.
//! - Of those that are not paused the oldest does not give way. Where blocks are short, it takes them from any other that is not in
//!   the step already; and where it had nothing for [`Config::patience`], it goes first of all, and takes a place from any other. So it
//!   has at least a token or a block of prompt in every `patience` and two steps, and ends. Then the next is the oldest.
//! - Blocks that only the tree holds can always go, and whoever gives way leaves what is its alone to the tree.
//!
//! # What a step may take
//!
//! - Its decodes, and [`Config::chunk_time`] for prompts while anybody decodes, or one block where that takes longer.
//! - For each tenant in it no longer than what the tenant has in it would take alone, divided by its share
//!   ([`Policy::share`]). What a step leaves of that, a later one may take, so that a chunk that is too long for each step is computed
//!   in some of them.

mod finish;
mod memory;
mod plan;
mod sequence;
#[cfg(test)]
mod tests;

pub use memory::Move;

use crate::{
    Class, Load, Namespace, Policy, Report, Speed, Task, Totals,
    blocks::{BLOCK_TOKENS, blocks_of},
    programs::Programs,
    tree::Tree,
};
use memory::Memory;
use sequence::{Asked, Sequence, State};
use std::{collections::HashMap, fmt, ops::Range, time::Duration};

/// A sequence's number, rising in the order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SequenceId(pub u64);

/// Slots outside of the device to which blocks are written rather than dropped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Swap {
    /// How many.
    pub slots: usize,
    /// In which time a block is written out and read in again. A block goes out where computing it again takes longer.
    pub block_time: Duration,
}

/// What a batcher may use at most.
#[derive(Clone, Debug)]
pub struct Config {
    /// Blocks of the pool.
    pub blocks: usize,
    /// Slots for blocks that leave it.
    pub swap: Option<Swap>,
    /// Sequences that run side by side. 64: beyond that, rows add as much to a step's time as they add tokens.
    pub running_max: usize,
    /// Sequences that wait; more are refused. 1,024: minutes of work on a small machine.
    pub waiting_max: usize,
    /// Rows of a step. 576: a long chunk and a token of each that runs.
    pub rows_max: usize,
    /// What prompts may add to a step while anybody decodes. 10 ms: a reader does not notice.
    pub chunk_time: Duration,
    /// Rows of prompts in a step while nobody decodes. 512: enough for matrix products at full speed, and a newcomer waits for less
    /// than a second.
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
    /// The numbers above, for a pool of so many blocks, with no swapping.
    #[must_use]
    pub fn new(blocks: usize) -> Self {
        Self {
            blocks,
            swap: None,
            running_max: 64,
            waiting_max: 1_024,
            rows_max: 576,
            chunk_time: Duration::from_millis(10),
            chunk_rows: 512,
            patience: Duration::from_secs(2),
            shares_prefixes: true,
            speed: Speed::default(),
        }
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
    pub table: Vec<crate::Block>,
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
    number: u64,
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

/// Decides what a model computes.
pub struct Batcher {
    config: Config,
    policy: Box<dyn Policy>,
    memory: Memory,
    speed: Speed,
    programs: Programs,
    sequences: HashMap<SequenceId, Sequence>,
    waiting: Vec<Task>,
    running: Vec<SequenceId>,
    next: u64,
    /// The number of the last plan, and whether it is being computed.
    number: u64,
    is_computing: bool,
    /// Who had the last step of its own, and whether the last step was one.
    last_alone: Option<SequenceId>,
    was_alone: bool,
    /// Seconds that steps left of what they might have taken.
    unspent: f64,
    /// Seconds of a step, on average.
    step_seconds: f64,
    totals: Totals,
}

impl fmt::Debug for Batcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batcher").field("totals", &self.totals()).finish_non_exhaustive()
    }
}

impl Batcher {
    /// With nothing to do.
    #[must_use]
    pub fn new(config: Config, policy: Box<dyn Policy>) -> Self {
        let memory = Self::memory(&config);
        let speed = config.speed.clone();
        Self {
            step_seconds: speed.step(Load { prefill: 0, decode: 1, read: 0 }),
            config,
            policy,
            memory,
            speed,
            programs: Programs::default(),
            sequences: HashMap::new(),
            waiting: Vec::new(),
            running: Vec::new(),
            next: 0,
            number: 0,
            is_computing: false,
            last_alone: None,
            was_alone: false,
            unspent: 0.0,
            totals: Totals::default(),
        }
    }

    fn memory(config: &Config) -> Memory {
        let (slots, seconds) = config.swap.map_or((0, None), |swap| (swap.slots, Some(swap.block_time.as_secs_f64())));
        Memory::new(config.blocks, slots, seconds)
    }

    /// Takes a request. Its tokens are computed from one of the next plans on.
    ///
    /// # Errors
    /// [`Refusal`]; nothing has changed then.
    pub fn add(&mut self, request: Request, now: Duration) -> Result<SequenceId, Refusal> {
        let checked = self.check(&request);
        self.totals.refused += u64::from(checked.is_err());
        checked?;
        self.totals.requests += 1;
        let id = SequenceId(self.next);
        self.next += 1;
        let Request { namespace, tenant, program, class, weight, deadline, prompt, output_max } = request;
        self.programs.came((tenant, program), now);
        let account = crate::Account::default();
        let weight = weight.max(1);
        let mut task = Task { id, tenant, program, class, weight, deadline, seconds_left: 0.0, account };
        task.seconds_left = self.seconds_left(0, prompt.len(), output_max);
        task.account = self.policy.arrive(&task, now);
        let mut sequence = Sequence::new(task, namespace, prompt, output_max, now);
        sequence.shares = self.config.shares_prefixes;
        self.sequences.insert(id, sequence);
        self.waiting.push(task);
        Ok(id)
    }

    fn check(&self, request: &Request) -> Result<(), Refusal> {
        if request.prompt.is_empty() || request.output_max == 0 {
            return Err(Refusal::Empty);
        }
        let tokens = request.prompt.len().saturating_add(request.output_max);
        if blocks_of(tokens) > self.config.blocks {
            return Err(Refusal::NeverFits { tokens, tokens_max: self.config.blocks * BLOCK_TOKENS });
        }
        match self.waiting.len() {
            waiting if waiting >= self.config.waiting_max => Err(Refusal::QueueFull { waiting }),
            _ => Ok(()),
        }
    }

    /// At most, with steps as they are now.
    fn seconds_left(&self, computed: usize, tokens: usize, output: usize) -> f64 {
        let prefill = self.speed.added(Load::span(computed, tokens - computed, true));
        prefill + output as f64 * self.step_seconds
    }

    /// Nobody wants more of it. What it had is kept for others. `None` where it has ended before.
    pub fn cancel(&mut self, id: SequenceId, now: Duration) -> Option<Report> {
        let sequence = self.sequences.get_mut(&id).filter(|sequence| sequence.asked != Asked::Cancel)?;
        let report = sequence.report;
        self.totals.cancelled += 1;
        match sequence.state {
            State::Running if self.is_computing => sequence.asked = Asked::Cancel,
            State::Running => {
                self.stop(id, now);
                self.remove(id, now);
            }
            State::Waiting | State::Paused => {
                self.waiting.retain(|task| task.id != id);
                self.remove(id, now);
            }
        }
        Some(report)
    }

    /// Its reader has stopped: it is not computed until it is resumed. What it had is kept for it as for others.
    pub fn pause(&mut self, id: SequenceId, now: Duration) {
        let Some(sequence) = self.sequences.get_mut(&id).filter(|sequence| sequence.asked == Asked::Nothing) else {
            return;
        };
        match sequence.state {
            State::Running if self.is_computing => sequence.asked = Asked::Pause,
            State::Running => {
                self.stop(id, now);
            }
            State::Waiting => self.waiting.retain(|task| task.id != id),
            State::Paused => {}
        }
        if let Some(sequence) = self.sequences.get_mut(&id).filter(|sequence| sequence.asked == Asked::Nothing) {
            sequence.state = State::Paused;
        }
    }

    /// Its reader reads again.
    pub fn resume(&mut self, id: SequenceId, now: Duration) {
        let Some(sequence) = self.sequences.get_mut(&id) else { return };
        if sequence.asked == Asked::Pause {
            sequence.asked = Asked::Nothing;
        }
        if sequence.state == State::Paused {
            sequence.state = State::Waiting;
            sequence.progressed = now;
            self.waiting.push(sequence.task);
        }
    }

    /// Whether it is computed in steps of its own from the next plan on, since it may be what crashes.
    pub fn set_alone(&mut self, id: SequenceId, is_alone: bool) {
        if let Some(sequence) = self.sequences.get_mut(&id) {
            sequence.is_alone = is_alone;
        }
    }

    /// Tokens that may come next. They are computed with the next step if the sequence draws in it, and forgotten otherwise.
    pub fn propose(&mut self, id: SequenceId, tokens: &[u32]) {
        if let Some(sequence) = self.sequences.get_mut(&id) {
            // One more is drawn behind them.
            let room = (sequence.tokens_max - sequence.tokens.len()).saturating_sub(1);
            sequence.proposed.clear();
            sequence.proposed.extend_from_slice(&tokens[..tokens.len().min(room)]);
        }
    }

    /// A program has made its last call for now, and the next one is expected after so long: what it has in the tree is worth
    /// keeping for that. Where nobody says so, the gaps between its calls do.
    pub fn keep(&mut self, tenant: u64, program: u64, predicted: Duration, now: Duration) {
        if let Some(tail) = self.programs.tail((tenant, program)) {
            self.memory.tree.expect(tail, now + predicted.min(crate::programs::GAP_MAX));
        }
    }

    /// The device, with all blocks and slots, is gone, and the last plan with it. Sequences go on by computing their tokens again, in
    /// the order that the policy says.
    pub fn lost(&mut self, now: Duration) {
        self.is_computing = false;
        let dropped = self.memory.dropped;
        self.memory = Self::memory(&self.config);
        self.memory.dropped = dropped;
        self.programs.forget_tails();
        for id in std::mem::take(&mut self.running) {
            let Some(sequence) = self.sequences.get_mut(&id) else { continue };
            sequence.forget();
            sequence.state = State::Waiting;
            self.policy.stop(&sequence.task);
            self.waiting.push(sequence.task);
            self.settle(id, now);
        }
    }

    /// Does what was asked for while a sequence, which waits now, was computed.
    fn settle(&mut self, id: SequenceId, now: Duration) {
        let Some(sequence) = self.sequences.get_mut(&id) else { return };
        match std::mem::replace(&mut sequence.asked, Asked::Nothing) {
            Asked::Nothing => {}
            Asked::Pause => self.pause(id, now),
            Asked::Cancel => {
                self.waiting.retain(|task| task.id != id);
                self.remove(id, now);
            }
        }
    }

    /// All tokens of a sequence so far, the prompt's first.
    #[must_use]
    pub fn tokens(&self, id: SequenceId) -> Option<&[u32]> {
        self.sequences.get(&id).map(|sequence| sequence.tokens.as_slice())
    }

    /// How many of a sequence's tokens have keys and values at the moment.
    #[must_use]
    pub fn computed(&self, id: SequenceId) -> Option<usize> {
        self.sequences.get(&id).map(|sequence| sequence.computed)
    }

    /// What became of a sequence so far.
    #[must_use]
    pub fn report(&self, id: SequenceId) -> Option<Report> {
        self.sequences.get(&id).map(|sequence| sequence.report)
    }

    /// What is known of how long steps take.
    #[must_use]
    pub fn speed(&self) -> &Speed {
        &self.speed
    }

    /// Whether any sequence waits or runs.
    #[must_use]
    pub fn has_work(&self) -> bool {
        !self.waiting.is_empty() || !self.running.is_empty()
    }

    /// All that was done, and how blocks are used now.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let Tree { blocks, slots, .. } = &self.memory.tree;
        let kept = self.memory.tree.evictable();
        let held = blocks.used() - kept;
        let running = self.running.iter().filter_map(|id| self.sequences.get(id));
        Totals {
            dropped: self.memory.dropped,
            running: self.running.len(),
            waiting: self.waiting.len(),
            paused: self.sequences.len() - self.running.len() - self.waiting.len(),
            blocks: blocks.size(),
            blocks_held: held,
            blocks_kept: kept,
            slots_used: slots.used(),
            places: held * BLOCK_TOKENS,
            places_empty: running.map(Sequence::places_empty).sum(),
            ..self.totals
        }
    }

    /// A running sequence runs no more, and leaves what it has to the tree. Answers the place behind its tokens there. It is in no
    /// list then.
    fn stop(&mut self, id: SequenceId, now: Duration) -> Option<crate::tree::Cursor> {
        self.running.retain(|running| *running != id);
        let sequence = self.sequences.get_mut(&id)?;
        let tail = sequence.let_go(&mut self.memory, &self.speed, now);
        self.policy.stop(&sequence.task);
        Some(tail)
    }

    /// Forgets a sequence that is in no list.
    fn remove(&mut self, id: SequenceId, now: Duration) -> Option<Report> {
        let sequence = self.sequences.remove(&id)?;
        self.policy.leave(&sequence.task, now);
        Some(sequence.report)
    }
}
