//! Decisions over plain numbers: who is admitted, and what the next steps compute. Nothing here knows a tensor or a
//! channel.
//!
//! One round has, for each model, the next token of each sequence that has one token to compute, together as rows of
//! one step, and then one chunk of one longer prompt. So each stream moves in every round, and waits for one chunk at
//! most. Longer prompts take turns.

use super::Limits;
use crate::model::linear;

/// What there is of sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Load {
    /// How many are active.
    pub(super) active: usize,
    /// For how many tokens they have room.
    pub(super) kv_tokens: usize,
}

/// Whether one more sequence, with room for `kv_tokens`, may become active. One alone always may: nothing else would
/// make room for it.
pub(super) fn admits(load: Load, kv_tokens: usize, limits: &Limits) -> bool {
    let fits = load.active < limits.active_sequences_max && load.kv_tokens + kv_tokens <= limits.kv_tokens_max;
    load.active == 0 || fits
}

/// An active sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status {
    /// Rising in the order of admission.
    pub(super) id: u64,
    /// Index of its model.
    pub(super) model: usize,
    /// Tokens to compute before the next one can be drawn; at least 1.
    pub(super) pending: usize,
}

/// One forward pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Index of the model.
    pub(super) model: usize,
    /// Place in the list of sequences, and how many of its pending tokens.
    pub(super) spans: Vec<(usize, usize)>,
}

/// The steps of the next round. `last` is the id of the sequence that had the last chunk.
pub(super) fn plan(sequences: &[Status], last: u64, limits: &Limits) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (place, status) in sequences.iter().enumerate().filter(|(_, status)| status.pending == 1) {
        let open = |step: &&mut Step| step.model == status.model && step.spans.len() < linear::ROWS_MAX;
        match steps.iter_mut().find(open) {
            Some(step) => step.spans.push((place, 1)),
            None => steps.push(Step { model: status.model, spans: vec![(place, 1)] }),
        }
    }
    let chunk = if steps.is_empty() { limits.chunk_tokens } else { limits.chunk_tokens_shared };
    let long = sequences.iter().enumerate().filter(|(_, status)| status.pending > 1);
    // The next id behind the last one; where there is none, the first.
    if let Some((place, status)) = long.min_by_key(|(_, status)| (status.id <= last, status.id)) {
        steps.push(Step { model: status.model, spans: vec![(place, status.pending.min(chunk.max(1)))] });
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `sequences` are (id, model, pending); `expect` are (model, [(place, tokens)]).
    fn check(sequences: &[(u64, usize, usize)], last: u64, expect: &[(usize, &[(usize, usize)])]) {
        let statuses: Vec<_> = sequences.iter().map(|&(id, model, pending)| Status { id, model, pending }).collect();
        let limits = Limits { chunk_tokens: 128, chunk_tokens_shared: 32, ..Limits::default() };
        let got = plan(&statuses, last, &limits);
        let got: Vec<_> = got.iter().map(|step| (step.model, step.spans.as_slice())).collect();
        assert_eq!(got, expect);
    }

    #[test]
    fn rounds() {
        check(&[], 0, &[]);
        check(&[(1, 0, 300)], 0, &[(0, &[(0, 128)])]);
        check(&[(1, 0, 50)], 0, &[(0, &[(0, 50)])]);
        check(&[(1, 0, 1), (2, 0, 300), (3, 0, 1)], 0, &[(0, &[(0, 1), (2, 1)]), (0, &[(1, 32)])]);
        check(&[(1, 0, 1), (2, 1, 1), (3, 0, 1)], 0, &[(0, &[(0, 1), (2, 1)]), (1, &[(1, 1)])]);
    }

    #[test]
    fn long_prompts_take_turns() {
        let three = [(4, 0, 300), (6, 0, 300), (9, 0, 300)];
        for (last, place) in [(0, 0), (4, 1), (5, 1), (6, 2), (9, 0), (20, 0)] {
            check(&three, last, &[(0, &[(place, 128)])]);
        }
    }

    #[test]
    fn rows_of_a_step_are_bounded() {
        let many: Vec<_> = (0..11).map(|id| (id, 0, 1)).collect();
        let places: Vec<_> = (0..11).map(|place| (place, 1)).collect();
        check(&many, 0, &[(0, &places[..8]), (0, &places[8..])]);
    }

    #[test]
    fn admission() {
        let limits = Limits { active_sequences_max: 2, kv_tokens_max: 100, ..Limits::default() };
        let check = |active, kv_tokens, need, expect| {
            assert_eq!(admits(Load { active, kv_tokens }, need, &limits), expect);
        };
        check(0, 0, 1_000, true);
        check(1, 60, 40, true);
        check(1, 60, 41, false);
        check(2, 10, 1, false);
    }
}
