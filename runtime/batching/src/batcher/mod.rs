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
//! - Its decodes, and [`Config::chunk_time`] for prompts while anybody decodes who need not wait for them ([`Policy::bears`]), or one
//!   block where that takes longer.
//! - For each tenant in it no longer than what the tenant has in it would take alone, divided by its share
//!   ([`Policy::share`]), as far as others come behind it in the order. What a step leaves of that, a later one may take, so that a
//!   chunk that is too long for each step is computed in some of them.

mod finish;
mod memory;
mod plan;
mod request;
mod sequence;
mod snapshots;
mod speculate;
#[cfg(test)]
mod tests;

pub use memory::Move;
pub use request::{Config, Ended, Outcome, Plan, Refusal, Request, SequenceId, Span, Swap};
pub use snapshots::Restorable;

use crate::{Load, Policy, Report, Slot, Speed, Task, Totals, blocks::BLOCK_TOKENS, programs::Programs, tree::Tree};
use memory::{Memory, RestoreSpeed, SwapSpeed};
use sequence::{Asked, Sequence, State};
use std::{collections::HashMap, fmt, time::Duration};

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
        let swap = config.swap.map(|swap| SwapSpeed::new(swap.block_time));
        let memory = Self::memory(&config, swap, config.restore_time.map(RestoreSpeed::new));
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

    fn memory(config: &Config, swap: Option<SwapSpeed>, restore: Option<RestoreSpeed>) -> Memory {
        Memory::new((config.blocks, config.swap.map_or(0, |swap| swap.slots)), swap, restore)
    }

    /// Takes a request. Its tokens are computed from one of the next plans on.
    ///
    /// # Errors
    /// [`Refusal`]; nothing has changed then.
    pub fn add(&mut self, request: Request, now: Duration) -> Result<SequenceId, Refusal> {
        let checked = self.config.check(&request, self.waiting.len());
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
            sequence.expected = sequence.proposed.len() as f64;
        }
    }

    /// One of a plan's moves took so long. Blocks go out where that has been quicker than computing them again.
    pub fn moved(&mut self, step: &Move, took: Duration) {
        if let Some(swap) = &mut self.memory.swap {
            swap.learn(step, took);
        }
    }

    /// Whether what was written to a slot may be read again; else it can be forgotten.
    #[must_use]
    pub fn needs(&self, slot: Slot) -> bool {
        self.memory.tree.slots.references(slot) > 0
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
        let Memory { dropped, swap, restore, .. } = self.memory;
        self.memory = Memory { dropped, ..Self::memory(&self.config, swap, restore) };
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
            slots: slots.size(),
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
