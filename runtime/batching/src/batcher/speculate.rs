//! How much of a draft is worth its rows.
//!
//! A step yields a token for each sequence that runs. One more row, for a drafted token that comes with the chance *c* where all
//! before it came, makes the step longer and yields *c* tokens more. It is worth it while the step's tokens a second rise:
//!
//! > c × seconds of the step > seconds of the row × tokens of the step
//!
//! So a sequence that runs alone, whose step is mostly the reading of weights, drafts far; in a full step, whose time is mostly that of
//! its rows, only what is nearly certain is drafted; and where a row costs what a step does, nothing.

use super::{Batcher, SequenceId, sequence::State};
use crate::{Draft, Load, Speed};

/// By how much a row's tokens have to be worth more than its time. 1.1: a guess of the chance that is a tenth too high costs nothing.
const MARGIN: f64 = 1.1;

impl Batcher {
    /// Proposes as much of a draft as is worth it in the next step. Answers how many tokens that are.
    pub fn speculate(&mut self, id: SequenceId, draft: Draft<'_>) -> usize {
        let Some(sequence) = self.sequences.get_mut(&id) else { return 0 };
        sequence.proposed.clear();
        sequence.expected = 0.0;
        if sequence.state != State::Running || sequence.pending() != 1 {
            return 0;
        }
        // One more is drawn behind them.
        let room = (sequence.tokens_max - sequence.tokens.len()).saturating_sub(1);
        let (draft, begin) = (draft.first(room), sequence.computed);
        let (load, tokens) = self.next_step();
        let (count, expected) = worth(&self.speed, (load, tokens), begin + 1, draft.chances);
        if let Some(sequence) = self.sequences.get_mut(&id) {
            sequence.proposed.extend_from_slice(&draft.tokens[..count]);
            sequence.expected = expected;
        }
        count
    }

    /// What the next step has as far as that is known, and how many tokens it yields. Prompts aside: who decodes beside them is slowed
    /// down by both.
    fn next_step(&self) -> (Load, f64) {
        let running = self.running.iter().filter_map(|id| self.sequences.get(id));
        let decodes = running.filter(|sequence| sequence.pending() == 1);
        decodes.fold((Load::default(), 0.0), |(load, tokens), sequence| {
            let span = Load::span(sequence.computed, 1 + sequence.proposed.len(), false);
            (load + span, tokens + 1.0 + sequence.expected)
        })
    }
}

/// How many tokens with these chances, behind the first `begin`, are worth their rows in a step; and how many of them are expected to
/// come.
fn worth(speed: &Speed, (mut load, tokens): (Load, f64), begin: usize, chances: &[f64]) -> (usize, f64) {
    let (mut expected, mut chance) = (0.0, 1.0);
    for (count, next) in chances.iter().enumerate() {
        chance *= next;
        let row = Load::span(begin + count, 1, false);
        if chance * speed.step(load) <= MARGIN * speed.added(row) * (tokens + expected) {
            return (count, expected);
        }
        load = load + row;
        expected += chance;
    }
    (chances.len(), expected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    /// A step costs as much as so many of its rows, beside them.
    fn speed(rows: u64) -> Speed {
        let micros = Duration::from_micros;
        Speed::new(micros(1_000 * rows), micros(1_000), micros(1_000), Duration::from_nanos(1))
    }

    fn decodes(count: usize) -> (Load, f64) {
        (Load { prefill: 0, decode: count, read: 0 }, count as f64)
    }

    #[test]
    fn drafts_are_long_where_rows_are_cheap_and_short_in_a_full_step() {
        let check = |rows, running, chance, expect| {
            let (count, _) = worth(&speed(rows), decodes(running), 100, &[chance; 15]);
            assert_eq!(count, expect, "{running} at {rows} with {chance}");
        };
        check(3, 1, 0.95, 7);
        check(3, 1, 0.7, 2);
        check(3, 1, 0.25, 0);
        check(3, 8, 0.95, 3);
        check(3, 8, 0.7, 0);
        check(3, 64, 0.95, 0);
        check(0, 1, 0.95, 0);
        check(100, 1, 0.95, 15);
    }

    proptest! {
        /// No other length of the draft has more tokens a second, up to the margin.
        #[test]
        fn no_other_length_is_much_better(
            rows in 0..40u64,
            running in 1..64usize,
            chances in prop::collection::vec(0.01..1.0f64, 0..15),
        ) {
            let (speed, (load, tokens)) = (speed(rows), decodes(running));
            let (count, expected) = worth(&speed, (load, tokens), 100, &chances);
            let rate = |count: usize| {
                let (mut load, mut sum, mut chance) = (load, tokens, 1.0);
                for (place, next) in chances[..count].iter().enumerate() {
                    chance *= next;
                    sum += chance;
                    load = load + Load::span(100 + place, 1, false);
                }
                (sum / speed.step(load), sum)
            };
            let (chosen, sum) = rate(count);
            prop_assert!((sum - tokens - expected).abs() < 1e-9);
            prop_assert!(chosen >= rate(0).0);
            prop_assert!((0..=chances.len()).all(|other| rate(other).0 <= chosen * MARGIN));
        }
    }
}
