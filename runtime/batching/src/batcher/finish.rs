//! What becomes of a step that was computed.

use super::{
    Batcher, Ended, Outcome, Plan, SequenceId, Span,
    sequence::{Asked, State},
};
use std::time::Duration;

/// How much of the average length of a step is the last one's. A twentieth: about a second of decoding.
const AVERAGE: f64 = 0.05;

impl Batcher {
    /// A plan's step was computed in so much time, without its moves. `outcomes` has one for each span that draws; where one is
    /// missing, its last token is computed again. Answers who ended. A plan of before a loss is no matter any more.
    pub fn finish(&mut self, plan: &Plan, outcomes: &[Outcome], took: Duration, now: Duration) -> Vec<Ended> {
        if !self.is_computing || plan.number != self.number {
            return Vec::new();
        }
        self.is_computing = false;
        self.totals.steps += 1;
        self.totals.prefill_rows += plan.load.prefill as u64;
        self.totals.decode_rows += plan.load.decode as u64;
        self.charge(plan, took, now);
        self.speed.learn(plan.load, took);
        self.step_seconds += AVERAGE * (took.as_secs_f64() - self.step_seconds);
        let mut ended = Vec::new();
        for span in &plan.spans {
            let outcome = outcomes.iter().find(|outcome| span.draws && outcome.id == span.id);
            let is_end = self.advance(span, outcome, now);
            let asked = self.sequences.get(&span.id).map_or(Asked::Nothing, |sequence| sequence.asked);
            match asked {
                Asked::Nothing if is_end => ended.extend(self.end(span.id, now)),
                Asked::Nothing => {}
                Asked::Pause if is_end => ended.extend(self.end(span.id, now)),
                Asked::Pause | Asked::Cancel => self.yield_and_settle(span.id, now),
            }
        }
        let others = self
            .running
            .iter()
            .copied()
            .filter(|id| self.sequences.get(id).is_some_and(|sequence| sequence.asked != Asked::Nothing));
        for id in others.collect::<Vec<_>>() {
            self.yield_and_settle(id, now);
        }
        ended
    }

    /// Divides the step's time between those who were in it, by what each cost.
    fn charge(&mut self, plan: &Plan, took: Duration, now: Duration) {
        let costs: Vec<_> = plan.spans.iter().map(|span| (span.id, self.speed.added(span.load()))).collect();
        let sum: f64 = costs.iter().map(|(_, cost)| cost).sum();
        for (id, cost) in costs {
            if let Some(sequence) = self.sequences.get(&id) {
                self.policy.served(&sequence.task, took.as_secs_f64() * cost / sum, now);
            }
        }
    }

    /// Takes what was computed, and drawn; whether that was all.
    fn advance(&mut self, span: &Span, outcome: Option<&Outcome>, now: Duration) -> bool {
        let Some(sequence) = self.sequences.get_mut(&span.id) else { return false };
        sequence.proposed.clear();
        let known = span.input.len() - span.proposed;
        let drawn = outcome.map_or(&[][..], |outcome| outcome.drawn.as_slice());
        let drawn = &drawn[..drawn.len().min(sequence.tokens_max - sequence.tokens.len())];
        let rows = match drawn.split_last() {
            None => known - usize::from(span.draws),
            Some((_, before)) => {
                let accepted = span.input[known..].iter().zip(before).take_while(|(a, b)| a == b).count();
                sequence.report.proposed += span.proposed;
                sequence.report.accepted += accepted;
                self.totals.proposed += span.proposed as u64;
                self.totals.accepted += accepted as u64;
                known + accepted
            }
        };
        sequence.advance(span.begin, span.begin + rows, now);
        if !drawn.is_empty() {
            self.totals.drawn += drawn.len() as u64;
            sequence.drew(drawn, now);
        }
        sequence.trim(&mut self.memory);
        sequence.enter(&mut self.memory, &self.speed, now);
        if span.draws && known > 1 {
            // Whoever has the same prompt need not wait for the end.
            sequence.enter_rest(&mut self.memory, &self.speed, now);
        }
        let (computed, tokens, left) =
            (sequence.computed, sequence.tokens.len(), sequence.tokens_max - sequence.tokens.len());
        let is_end = left == 0 || outcome.is_some_and(|outcome| outcome.ended);
        let seconds = self.seconds_left(computed, tokens, left);
        if let Some(sequence) = self.sequences.get_mut(&span.id) {
            sequence.task.seconds_left = seconds;
        }
        is_end
    }

    fn end(&mut self, id: SequenceId, now: Duration) -> Option<Ended> {
        let tail = self.stop(id, now)?;
        let key = self.sequences.get(&id).map(|sequence| (sequence.task.tenant, sequence.task.program))?;
        if let Some(predicted) = self.programs.ended(key, tail, now) {
            self.memory.tree.expect(tail, now + predicted);
        }
        self.totals.ended += 1;
        self.remove(id, now).map(|report| Ended { id, report })
    }

    /// Does what was asked for while a sequence was computed.
    fn yield_and_settle(&mut self, id: SequenceId, now: Duration) {
        self.stop(id, now);
        if let Some(sequence) = self.sequences.get_mut(&id) {
            sequence.state = State::Waiting;
            self.waiting.push(sequence.task);
        }
        self.settle(id, now);
    }
}
