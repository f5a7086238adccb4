//! What the next step computes.

use super::{
    Batcher, Move, Plan, SequenceId, Span,
    sequence::{Sequence, State},
};
use crate::{
    Load, Speed, Task,
    blocks::{BLOCK_TOKENS, Block, blocks_of},
};
use std::time::Duration;

/// Tokens of output for which there has to be room, for each that runs, before another begins. 32: two blocks. So nobody begins who
/// would have to give way at once.
const HEADROOM: usize = 32;
/// Of what others may add to a tenant's time, they are given this part. 0.7: the rest is for the step that is under way when
/// something comes, and for what is not foreseen.
const GIVEN: f64 = 0.7;

/// A step that is being put together.
#[derive(Debug)]
struct Draft {
    spans: Vec<Span>,
    load: Load,
    /// What each tenant has in it.
    parts: Vec<Part>,
    /// One of each tenant of which anybody decodes.
    decodes: Vec<Task>,
    /// What prompts added.
    chunk_seconds: f64,
    has_chunk: bool,
    /// What earlier steps left.
    unspent: f64,
    /// Seconds of the longest part that others had no time for, and that cannot be shorter.
    refused: f64,
    /// Rows of a chunk that is computed by itself.
    chunk_rows: usize,
}

#[derive(Debug)]
struct Part {
    tenant: u64,
    share: f64,
    load: Load,
    /// How long the step may take for it.
    limit: f64,
}

impl Draft {
    fn has(&self, id: SequenceId) -> bool {
        self.spans.iter().any(|span| span.id == id)
    }

    /// Seconds that a tenant may add, for the others' sake.
    fn allowance(&self, tenant: u64, speed: &Speed) -> f64 {
        let others = self.parts.iter().filter(|part| part.tenant != tenant).map(|part| part.limit);
        others.fold(f64::INFINITY, f64::min) + self.unspent - speed.step(self.load)
    }

    fn add(&mut self, span: Span, task: &Task, share: f64, speed: &Speed) {
        let tenant = task.tenant;
        let load = span.load();
        self.load = self.load + load;
        if load.prefill > 0 {
            self.chunk_seconds += speed.added(load);
            self.has_chunk = true;
        }
        if share > 0.0 {
            let known = self.parts.iter().position(|part| part.tenant == tenant);
            let place = known.unwrap_or_else(|| {
                self.parts.push(Part { tenant, share, load: Load::default(), limit: 0.0 });
                self.parts.len() - 1
            });
            let part = &mut self.parts[place];
            part.load = part.load + load;
            // Alone, a prompt would be computed in long chunks, and each row have a small part of what is fixed.
            let fixed =
                if part.load.decode > 0 { 1.0 } else { part.load.prefill as f64 / self.chunk_rows.max(1) as f64 };
            let alone = speed.added(part.load) + fixed.min(1.0) * speed.step(Load::default());
            part.limit = alone * (1.0 + GIVEN * (1.0 / part.share - 1.0));
        }
        self.spans.push(span);
    }

    /// What this step leaves of what it might have taken, to the next one: as much as who had none needs, at most.
    fn left(&self, speed: &Speed) -> f64 {
        let limit = self.parts.iter().map(|part| part.limit).fold(f64::INFINITY, f64::min);
        (limit + self.unspent - speed.step(self.load)).clamp(0.0, self.refused)
    }
}

/// What holds while a plan is made.
#[derive(Debug)]
struct Turn {
    now: Duration,
    /// Of those that run or wait.
    oldest: Option<SequenceId>,
    /// Whether that one had nothing for too long.
    is_overdue: bool,
    /// Who runs, those that go first first.
    order: Vec<SequenceId>,
}

impl Turn {
    fn is_oldest(&self, id: SequenceId) -> bool {
        self.oldest == Some(id)
    }

    /// Whether the policy does not matter for it.
    fn goes_first(&self, id: SequenceId) -> bool {
        self.is_overdue && self.is_oldest(id)
    }
}

impl Batcher {
    /// What to do next. Whatever is computed has to be given to [`finish`](Self::finish) before the next plan: until then there is
    /// nothing more to do, and the plan is empty.
    pub fn plan(&mut self, now: Duration) -> Plan {
        if self.is_computing {
            return Plan::default();
        }
        let mut turn = self.turn(now);
        self.admit(&turn);
        turn.order = self.order(&turn);
        let draft = self.fill(&turn);
        self.unspent = draft.left(&self.speed);
        let predicted = Duration::from_secs_f64(self.speed.step(draft.load));
        self.is_computing = !draft.spans.is_empty();
        self.number += u64::from(self.is_computing);
        let moves = std::mem::take(&mut self.memory.moves);
        self.count_moves(&moves);
        Plan { moves, spans: draft.spans, load: draft.load, predicted, number: self.number }
    }

    pub(super) fn count_moves(&mut self, moves: &[Move]) {
        for step in moves {
            *match step {
                Move::Keep(..) => continue,
                Move::Out(..) => &mut self.totals.swapped_out,
                Move::In(..) => &mut self.totals.swapped_in,
                Move::Copy(..) => &mut self.totals.copied,
            } += 1;
        }
    }

    fn turn(&self, now: Duration) -> Turn {
        let waiting = self.waiting.iter().map(|task| task.id);
        let oldest = self.running.iter().copied().chain(waiting).min();
        let progressed = oldest.and_then(|id| self.sequences.get(&id)).map(|sequence| sequence.progressed);
        let is_overdue = progressed.is_some_and(|progressed| now.saturating_sub(progressed) >= self.config.patience);
        Turn { now, oldest, is_overdue, order: Vec::new() }
    }

    fn order(&self, turn: &Turn) -> Vec<SequenceId> {
        let rank = |id: &SequenceId| {
            let rank = self.sequences.get(id).map(|sequence| self.policy.rank(&sequence.task, turn.now));
            (!turn.goes_first(*id), rank, *id)
        };
        let mut order: Vec<_> = self.running.iter().map(rank).collect();
        order.sort_unstable();
        order.into_iter().map(|(_, _, id)| id).collect()
    }

    /// Lets those begin whose turn it is, as far as there is room or others give way.
    fn admit(&mut self, turn: &Turn) {
        for _ in 0..self.config.running_max {
            let rank = |task: &Task| (!turn.goes_first(task.id), self.policy.rank(task, turn.now), task.id);
            let Some((_, _, id)) = self.waiting.iter().map(rank).min() else { return };
            while !self.has_room(id) {
                if !self.make_way(id, turn) {
                    return;
                }
            }
            self.waiting.retain(|task| task.id != id);
            self.running.push(id);
            let Some(sequence) = self.sequences.get_mut(&id) else { return };
            sequence.begin(turn.now);
            self.policy.begin(&sequence.task);
            self.totals.cached += sequence.adopt(&mut self.memory, turn.now) as u64;
        }
    }

    /// Whether one more may run: there is a place, and blocks for its tokens beside those that the others will need soon.
    fn has_room(&self, id: SequenceId) -> bool {
        let Some(sequence) = self.sequences.get(&id) else { return true };
        if self.running.is_empty() || self.running.len() >= self.config.running_max {
            return self.running.is_empty();
        }
        let soon = |sequence: &Sequence| {
            let tokens = (sequence.tokens.len() + HEADROOM).min(sequence.tokens_max);
            blocks_of(tokens).saturating_sub(sequence.table.len())
        };
        let reserved: usize = self.running.iter().filter_map(|id| self.sequences.get(id)).map(soon).sum();
        let available = self.memory.tree.available();
        let needed = sequence.blocks_missing();
        let fits = |needed| needed + reserved <= available;
        fits(needed) || fits(needed - sequence.blocks_held_by_others(&self.memory).min(needed))
    }

    /// Makes one give way to another that waits; whether there was one.
    fn make_way(&mut self, id: SequenceId, turn: &Turn) -> bool {
        let Some(waiting) = self.sequences.get(&id).map(|sequence| sequence.task) else { return false };
        let gives_way = |id: &&SequenceId| {
            let running = self.sequences.get(id).map(|sequence| &sequence.task);
            let preempts = |running| turn.goes_first(waiting.id) || self.policy.preempts(&waiting, running, turn.now);
            !turn.is_oldest(**id) && running.is_some_and(preempts)
        };
        let victim = self.order(turn).iter().rev().find(gives_way).copied();
        victim.map(|victim| self.preempt(victim, turn.now)).is_some()
    }

    /// A running sequence gives way, and waits.
    fn preempt(&mut self, id: SequenceId, now: Duration) {
        self.stop(id, now);
        if let Some(sequence) = self.sequences.get_mut(&id) {
            sequence.state = State::Waiting;
            sequence.report.preemptions += 1;
            self.totals.preemptions += 1;
            self.waiting.push(sequence.task);
        }
    }

    /// Puts a step together: every other one is of somebody who has to be alone, where there is any.
    fn fill(&mut self, turn: &Turn) -> Draft {
        let is_alone = |id: &SequenceId| self.sequences.get(id).is_some_and(|sequence| sequence.is_alone);
        let places = 0..turn.order.len();
        let (mut alone, others): (Vec<_>, Vec<_>) = places.partition(|place| is_alone(&turn.order[*place]));
        alone.sort_unstable_by_key(|place| (self.last_alone >= Some(turn.order[*place]), turn.order[*place]));
        let mut draft = self.draft(turn);
        if self.was_alone {
            others.iter().for_each(|place| self.add_span(turn, *place, &mut draft));
        }
        self.was_alone = false;
        for place in alone {
            if draft.spans.is_empty() {
                self.add_span(turn, place, &mut draft);
                if !draft.spans.is_empty() {
                    self.was_alone = true;
                    self.last_alone = Some(turn.order[place]);
                }
            }
        }
        if draft.spans.is_empty() {
            others.iter().for_each(|place| self.add_span(turn, *place, &mut draft));
        }
        draft
    }

    fn draft(&self, turn: &Turn) -> Draft {
        let mut decodes: Vec<Task> = Vec::new();
        for sequence in turn.order.iter().filter_map(|id| self.sequences.get(id)) {
            let is_known = decodes.iter().any(|task| task.tenant == sequence.task.tenant);
            if sequence.pending() == 1 && !sequence.is_alone && !is_known {
                decodes.push(sequence.task);
            }
        }
        Draft {
            spans: Vec::with_capacity(turn.order.len()),
            load: Load::default(),
            parts: Vec::new(),
            decodes,
            chunk_seconds: 0.0,
            has_chunk: false,
            unspent: self.unspent,
            refused: 0.0,
            chunk_rows: self.config.chunk_rows,
        }
    }

    /// Adds a sequence's part, where there is room for any.
    fn add_span(&mut self, turn: &Turn, place: usize, draft: &mut Draft) {
        let id = turn.order[place];
        let running = |sequence: &&mut Sequence| sequence.state == State::Running;
        let Some(sequence) = self.sequences.get_mut(&id).filter(running) else { return };
        if sequence.pending() > 1 {
            sequence.proposed.clear();
            self.totals.cached += sequence.adopt(&mut self.memory, turn.now) as u64;
        }
        let Some(sequence) = self.sequences.get(&id) else { return };
        if self.is_repeated(sequence, draft) {
            return;
        }
        let rows = self.rows(sequence, draft);
        let missing = |rows| blocks_of(sequence.computed + rows).saturating_sub(sequence.table.len());
        let pending = sequence.pending();
        // Nobody gives way for what was only proposed.
        let rows = if self.memory.make_free(missing(rows)) { rows } else { rows.min(pending) };
        let missing = missing(rows);
        let blocks = self.take_blocks(turn, place, missing, draft);
        let Some(sequence) = self.sequences.get_mut(&id) else { return };
        sequence.table.extend(blocks);
        let rows = rows.min(sequence.table.len() * BLOCK_TOKENS - sequence.computed);
        if rows == 0 {
            let least = Load::span(sequence.computed, pending.min(BLOCK_TOKENS), pending > 1);
            draft.refused = draft.refused.max(self.speed.added(least));
            return;
        }
        let begin = sequence.computed;
        let known = rows.min(pending);
        let mut input = sequence.tokens[begin..begin + known].to_vec();
        input.extend_from_slice(&sequence.proposed[..rows - known]);
        let table = sequence.table[..blocks_of(begin + rows)].to_vec();
        let span = Span { id, begin, input, proposed: rows - known, table, draws: rows >= pending };
        draft.add(span, &sequence.task, self.policy.share(&sequence.task), &self.speed);
    }

    /// Whether another computes the same block in this step: it is at hand in the next.
    fn is_repeated(&self, sequence: &Sequence, draft: &Draft) -> bool {
        let repeats = |span: &Span| {
            let other = self.sequences.get(&span.id);
            other.is_some_and(|other| span.range().end >= other.block_end() && sequence.repeats(other))
        };
        sequence.pending() > 1 && draft.spans.iter().any(repeats)
    }

    /// How many tokens of a sequence the step may compute, as far as rows and time go.
    fn rows(&self, sequence: &Sequence, draft: &Draft) -> usize {
        let room = self.config.rows_max.saturating_sub(draft.load.rows());
        let (begin, pending) = (sequence.computed, sequence.pending());
        let allowance = match draft.spans.is_empty() {
            true => f64::INFINITY,
            false => draft.allowance(sequence.task.tenant, &self.speed),
        };
        if pending == 1 {
            let fits = |rows: &usize| self.speed.added(Load::span(begin, *rows, false)) <= allowance;
            let all = (1 + sequence.proposed.len()).min(room);
            return [all, 1.min(room)].into_iter().find(fits).unwrap_or(0);
        }
        let bears = |decoding: &Task| self.policy.bears(decoding, &sequence.task);
        let (chunk_time, most) = match draft.decodes.iter().all(bears) {
            true => (self.config.chunk_time_alone, self.config.chunk_rows.saturating_sub(draft.load.prefill)),
            false => (self.config.chunk_time, room),
        };
        let by_time = self.speed.rows_within(begin, chunk_time.as_secs_f64() - draft.chunk_seconds).min(most);
        let by_others = if allowance.is_finite() { self.speed.rows_within(begin, allowance) } else { room }.min(room);
        let block = pending.min(sequence.block_end() - begin);
        match pending.min(by_time).min(by_others) {
            all if all == pending => all,
            some if some >= block => (begin + some) / BLOCK_TOKENS * BLOCK_TOKENS - begin,
            // The first chunk has a block, however long that takes.
            _ if !draft.has_chunk && by_others >= block => block,
            _ => 0,
        }
    }

    /// Takes so many blocks, or as many as there are. Whoever stands behind gives way for them, those in the step and the oldest
    /// aside; for the oldest those before it as well.
    fn take_blocks(&mut self, turn: &Turn, place: usize, count: usize, draft: &Draft) -> Vec<Block> {
        let own = turn.order[place];
        let behind = if turn.is_oldest(own) { 0 } else { place + 1 };
        while !self.memory.make_free(count) {
            let runs = |id: &SequenceId| self.running.contains(id);
            let gives_way = |id: &&SequenceId| runs(id) && **id != own && !turn.is_oldest(**id) && !draft.has(**id);
            let Some(victim) = turn.order[behind..].iter().rev().find(gives_way).copied() else { break };
            self.preempt(victim, turn.now);
        }
        std::iter::from_fn(|| self.memory.tree.blocks.allocate()).take(count).collect()
    }
}
