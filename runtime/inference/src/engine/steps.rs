//! What a round computes: the step that a batcher planned, and what is drawn from its logits.

use super::{
    compute::{Compute, Work},
    faults::panic_text,
    observe::End,
    sequence::Sequence,
    worker::{Key, Worker},
};
use crate::{LoadError, sampler::Scratch};
use remit_batching::{Move, Outcome, Plan, Span};
use remit_kernel::ports::EngineError;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::Ordering,
    time::Instant,
};

/// What a step gives those who draw, one row behind the other.
enum Drawn {
    Tokens(Vec<u32>),
    Logits { rows: Vec<f32>, each: usize },
}

/// How many rows of logits a span asks for.
fn rows(span: &Span) -> usize {
    if span.draws { 1 + span.proposed } else { 0 }
}

impl<C: Compute, M: FnMut() -> Result<C, LoadError>> Worker<C, M> {
    /// Computes a model's next step; whether there was one. May panic: `under_way` then has everybody who may be the reason.
    pub(super) fn step(&mut self, base: usize) -> bool {
        let has_suspects = self.mark_suspects(base);
        self.speculate(base);
        let plan = self.batchers[base].plan(self.begin.elapsed());
        self.make_moves(base, &plan.moves);
        if plan.is_empty() {
            return false;
        }
        let begin = self.begin.elapsed();
        self.count(base, &plan);
        let Some(drawn) = self.compute(base, &plan) else { return false };
        let took = self.begin.elapsed() - begin;
        self.measures[base].stepped(plan.spans.len(), took);
        let (outcomes, ends) = self.draw(base, &plan, &drawn);
        let now = self.begin.elapsed();
        let ended = self.batchers[base].finish(&plan, &outcomes, took, now);
        for (key, end) in ends {
            match ended.iter().find(|ended| ended.id == key.1) {
                Some(ended) => self.part(key, &ended.report, end),
                None => self.end(key, end),
            }
        }
        if has_suspects {
            self.settle();
        }
        true
    }

    /// Gives those who were in a crash steps of their own; whether there are any.
    fn mark_suspects(&mut self, base: usize) -> bool {
        let mut any = false;
        for ((of, id), sequence) in self.sequences.iter().filter(|(_, sequence)| sequence.record.crashes() > 0) {
            if *of == base {
                let batcher = &mut self.batchers[base];
                let is_alone = sequence.record.is_alone(batcher.computed(*id).unwrap_or(0));
                batcher.set_alone(*id, is_alone);
                any |= is_alone;
            }
        }
        any
    }

    /// Proposes what may come next, as far as that is worth it.
    fn speculate(&mut self, base: usize) {
        for ((_, id), sequence) in self.sequences.iter_mut().filter(|((of, _), _)| *of == base) {
            if let Some(draft) = sequence.draft() {
                self.batchers[base].speculate(*id, draft);
            }
        }
    }

    pub(super) fn make_moves(&mut self, base: usize, moves: &[Move]) {
        let Some(compute) = &mut self.compute else { return };
        let (slots, batcher) = (&mut self.slots[base], &mut self.batchers[base]);
        for step in moves {
            let begin = Instant::now();
            match *step {
                Move::Copy(from, to) => compute.copy(base, from.0, to.0),
                Move::Out(block, slot) => slots.write(slot, compute.read(base, block.0)),
                Move::In(slot, block) => compute.write(base, block.0, &slots.read(slot)),
                Move::Keep(place, prefix) => self.desk.keep(base, (place, prefix), compute, slots),
            }
            batcher.moved(step, begin.elapsed());
        }
    }

    /// Notes who is computed, and what is found for the first time.
    fn count(&mut self, base: usize, plan: &Plan) {
        for span in &plan.spans {
            let key = (base, span.id);
            self.under_way.push((key, span.range().end));
            let Some(sequence) = self.sequences.get_mut(&key) else { continue };
            if !sequence.is_begun() {
                sequence.begin();
                self.shared.queued.fetch_sub(1, Ordering::AcqRel);
            }
            let found = sequence.count_found(span.begin);
            self.measures[base].found(found);
        }
    }

    fn compute(&mut self, base: usize, plan: &Plan) -> Option<Drawn> {
        let Self { compute, sequences, masks, .. } = self;
        let compute = compute.as_mut()?;
        let tables: Vec<Vec<u32>> =
            plan.spans.iter().map(|span| span.table.iter().map(|block| block.0).collect()).collect();
        for span in plan.spans.iter().filter(|span| span.draws) {
            if let Some(held) = sequences.get(&(base, span.id)).and_then(Sequence::held) {
                masks.prepare(held);
            }
        }
        // While none that draws needs more; sequences of one base have one tokenizer.
        let mut greedy = Some(usize::MAX);
        let mut work = Vec::with_capacity(plan.spans.len());
        for (span, table) in plan.spans.iter().zip(&tables) {
            let sequence = sequences.get(&(base, span.id))?;
            if span.draws {
                greedy = greedy.and_then(|_| sequence.greedy_among());
            }
            let adapter = sequence.model().adapter;
            let (known, room, logits) = (span.begin, sequence.room(), rows(span));
            work.push(Work { adapter, tokens: &span.input, table, known, room, logits });
        }
        assert!(!std::mem::take(&mut self.is_drill), "this is a drill");
        let asked: usize = work.iter().map(|work| work.logits).sum();
        let tokens = greedy.filter(|_| asked > 0).and_then(|among| compute.forward_greedy(base, &work, among));
        let drawn = tokens.map_or_else(
            || {
                let rows = compute.forward(base, &work);
                Drawn::Logits { each: rows.len() / asked.max(1), rows }
            },
            Drawn::Tokens,
        );
        // Where something came back, all before it was computed too.
        if !compute.is_deferred() || asked > 0 {
            self.under_way.clear();
        }
        Some(drawn)
    }

    /// Waits until all steps are computed, so that the next crash is known to be the next step's.
    fn settle(&mut self) {
        if let Some(compute) = &self.compute {
            compute.settle();
            self.under_way.clear();
        }
    }

    /// Counts what was computed, and draws for those that asked for it. Answers what they drew, and who is at an end.
    fn draw(&mut self, base: usize, plan: &Plan, drawn: &Drawn) -> (Vec<Outcome>, Vec<Ending>) {
        let mut row = 0;
        let (mut outcomes, mut ends) = (Vec::new(), Vec::new());
        for span in &plan.spans {
            let key = (base, span.id);
            let first = row;
            row += rows(span);
            let Some(sequence) = self.sequences.get_mut(&key) else { continue };
            let computed = sequence.count_computed(span.begin, span.input.len() - span.proposed);
            self.measures[base].computed(computed);
            if !span.draws {
                continue;
            }
            let proposed = &span.input[span.input.len() - span.proposed..];
            let mut tokens = Vec::new();
            // What computes is whole: a token that cannot be drawn is no matter of the others.
            let finish = catch_unwind(AssertUnwindSafe(|| {
                for place in 0..rows(span) {
                    let before = sequence.tokens().len();
                    let finish = match drawn {
                        Drawn::Tokens(drawn) => sequence.take(drawn[first + place]),
                        Drawn::Logits { rows, each } => {
                            sequence.advance(&rows[(first + place) * each..][..*each], &mut self.scratch)?
                        }
                    };
                    tokens.extend(&sequence.tokens()[before..]);
                    if finish.is_some() || proposed.get(place) != tokens.last() || sequence.is_unwanted() {
                        return Ok(finish);
                    }
                }
                Ok(None)
            }));
            let end = finish.map(Result::transpose).unwrap_or_else(|panic| {
                self.scratch = Scratch::default();
                Some(Err(not_drawn(&panic_text(&*panic))))
            });
            outcomes.push(Outcome { id: span.id, drawn: tokens, ended: end.is_some() });
            ends.extend(end.map(|end| (key, end)));
        }
        (outcomes, ends)
    }
}

/// Who is at an end, and how.
type Ending = (Key, End);

fn not_drawn(why: &str) -> EngineError {
    tracing::error!(why, "drawing a token failed");
    EngineError::Failed(format!("its next token could not be drawn ({why}); report this").into())
}
