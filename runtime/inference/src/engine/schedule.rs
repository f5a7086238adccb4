//! Decisions over plain numbers: who is admitted, and what the next steps compute. Nothing here knows a tensor or a
//! channel.
//!
//! One round has, for each model, the next token of each sequence that has one token to compute, together as rows of
//! one step, whatever their adapters; and then one chunk of one longer prompt. So each stream moves in every round, and
//! waits for one chunk at most. Longer prompts take turns.
//!
//! Sums of f32 depend on their order, and the model has one way to compute few rows and another for many. So that the same
//! prompt gives the same bits whatever is computed beside it, where a prompt is cut depends on the prompt alone (see
//! [`chunk`]); load decides only how many of the pieces are computed at once. A sequence that is computed again after a
//! crash is one long prompt, cut as it was (see `history`); those under suspicion (see `faults`) come first.

use super::{
    Limits,
    history::{History, Piece},
};
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
pub(super) struct Status<'a> {
    /// Rising in the order of admission.
    pub(super) id: u64,
    /// Index of the model whose weights compute it, whatever its adapter.
    pub(super) base: usize,
    /// Tokens that were computed, or found at hand.
    pub(super) done: usize,
    /// Tokens to compute before the next one can be drawn; at least 1.
    pub(super) pending: usize,
    /// In which pieces.
    pub(super) history: &'a History,
    /// Whether nobody may be computed in the same step.
    pub(super) alone: bool,
}

/// One forward pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Index of the model.
    pub(super) base: usize,
    /// Place in the list of sequences, and how many of its pending tokens.
    pub(super) spans: Vec<(usize, usize)>,
    /// Any tokens behind those of the one span, to be forgotten after the step.
    pub(super) padding: usize,
}

/// The steps of the next round. `last` is the id of the sequence that had the last chunk.
pub(super) fn plan(sequences: &[Status<'_>], last: u64, limits: &Limits) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut own: Vec<Step> = Vec::new();
    for (place, status) in sequences.iter().enumerate().filter(|(_, status)| status.pending == 1) {
        let open = |step: &&mut Step| step.base == status.base && step.spans.len() < linear::ROWS_MAX;
        let step = || Step { base: status.base, spans: vec![(place, 1)], padding: 0 };
        match steps.iter_mut().find(open) {
            _ if status.alone => own.push(step()),
            Some(step) => step.spans.push((place, 1)),
            None => steps.push(step()),
        }
    }
    steps.append(&mut own);
    let most = if steps.is_empty() { limits.chunk_tokens } else { limits.chunk_tokens_shared };
    let long = sequences.iter().enumerate().filter(|(_, status)| status.pending > 1);
    // The next id behind the last one; where there is none, the first.
    if let Some((place, status)) = long.min_by_key(|(_, status)| (!status.alone, status.id <= last, status.id)) {
        let known = status.done + status.pending;
        let Piece { tokens, padding } = status.history.next(status.done, known, most, limits.chunk_tokens_shared);
        steps.push(Step { base: status.base, spans: vec![(place, tokens)], padding });
    }
    steps
}

/// Positions up to which several pieces may be computed at once. `burn`'s matrix product (the crate `gemm`) adds up to 512
/// products in one go and cuts longer sums by their length, so that the attention over more positions than these would
/// depend on how many pieces are computed together.
const TOGETHER_MAX: usize = 512;

/// How many of `pending` tokens behind the first `done` the next chunk has: at most `most`, or one piece.
///
/// A prompt's pieces end at the multiples of `piece` tokens, and before its last token: that one is computed as one of a
/// decode step, as it is where all before it is found at hand. Up to [`linear::ROWS_MAX`] tokens are all computed as such.
pub(super) fn chunk(done: usize, pending: usize, most: usize, piece: usize) -> usize {
    if pending <= linear::ROWS_MAX {
        return pending;
    }
    let piece = piece.max(1);
    let end = done + pending - 1;
    let last_cut = end - end % piece;
    if last_cut <= done {
        return pending - 1;
    }
    let first_cut = done - done % piece + piece;
    if !done.is_multiple_of(piece) {
        // Behind what is at hand a piece is smaller than the others, and so it is computed alone, whatever the load.
        return first_cut - done;
    }
    let reached = (done + most).min(TOGETHER_MAX);
    (reached - reached % piece).clamp(first_cut, last_cut) - done
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `sequences` are (id, base, pending); `expect` are (base, [(place, tokens)]).
    fn check(sequences: &[(u64, usize, usize)], last: u64, expect: &[(usize, &[(usize, usize)])]) {
        check_with(sequences, &[], last, expect);
    }

    /// The same with the ids of those that are to be alone.
    fn check_with(sequences: &[(u64, usize, usize)], alone: &[u64], last: u64, expect: &[(usize, &[(usize, usize)])]) {
        let histories: Vec<_> = sequences.iter().map(|(_, _, pending)| History::new(*pending)).collect();
        let status = |(&(id, base, pending), history)| {
            let alone = alone.contains(&id);
            Status { id, base, done: 0, pending, history, alone }
        };
        let statuses: Vec<_> = sequences.iter().zip(&histories).map(status).collect();
        let limits = Limits { chunk_tokens: 128, chunk_tokens_shared: 32, ..Limits::default() };
        let got = plan(&statuses, last, &limits);
        let got: Vec<_> = got.iter().map(|step| (step.base, step.spans.as_slice())).collect();
        assert_eq!(got, expect);
    }

    #[test]
    fn rounds() {
        check(&[], 0, &[]);
        check(&[(1, 0, 300)], 0, &[(0, &[(0, 128)])]);
        check(&[(1, 0, 50)], 0, &[(0, &[(0, 32)])]);
        check(&[(1, 0, 1), (2, 0, 300), (3, 0, 1)], 0, &[(0, &[(0, 1), (2, 1)]), (0, &[(1, 32)])]);
        check(&[(1, 0, 1), (2, 1, 1), (3, 0, 1)], 0, &[(0, &[(0, 1), (2, 1)]), (1, &[(1, 1)])]);
    }

    #[test]
    fn those_under_suspicion_have_steps_of_their_own_and_come_first() {
        let decode = [(1, 0, 1), (2, 0, 1), (3, 0, 1)];
        check_with(&decode, &[2], 0, &[(0, &[(0, 1), (2, 1)]), (0, &[(1, 1)])]);
        check_with(&decode, &[1, 2, 3], 0, &[(0, &[(0, 1)]), (0, &[(1, 1)]), (0, &[(2, 1)])]);
        let long = [(4, 0, 300), (6, 0, 300), (9, 0, 300)];
        for (last, place) in [(0, 1), (4, 1), (6, 2), (9, 1)] {
            check_with(&long, &[6, 9], last, &[(0, &[(place, 128)])]);
        }
    }

    #[test]
    fn long_prompts_take_turns() {
        let three = [(4, 0, 300), (6, 0, 300), (9, 0, 300)];
        for (last, place) in [(0, 0), (4, 1), (5, 1), (6, 2), (9, 0), (20, 0)] {
            check(&three, last, &[(0, &[(place, 128)])]);
        }
    }

    /// Where a prompt of `length` is cut, of which `done` tokens are at hand.
    fn cuts(done: usize, length: usize, mut most: impl FnMut() -> usize) -> Vec<usize> {
        let mut cuts = vec![done];
        let mut at = done;
        while at < length {
            at += chunk(at, length - at, most(), 32);
            cuts.push(at);
        }
        cuts
    }

    #[test]
    fn a_prompt_is_cut_at_multiples_and_before_its_last_token() {
        let check = |done, length, expect: &[usize]| assert_eq!(cuts(done, length, || 32), expect);
        check(0, 1, &[0, 1]);
        check(0, 8, &[0, 8]);
        check(0, 9, &[0, 8, 9]);
        check(0, 32, &[0, 31, 32]);
        check(0, 33, &[0, 32, 33]);
        check(0, 40, &[0, 32, 40]);
        check(0, 100, &[0, 32, 64, 96, 100]);
        check(50, 100, &[50, 64, 96, 100]);
        check(99, 100, &[99, 100]);
        assert_eq!(cuts(58, 300, || 128), [58, 64, 192, 288, 299, 300]);
        assert_eq!(cuts(0, 300, || 128), [0, 128, 256, 288, 299, 300]);
        assert_eq!(cuts(40, 300, || 100), [40, 64, 160, 256, 288, 299, 300]);
        assert_eq!(cuts(380, 600, || 128), [380, 384, 512, 544, 576, 599, 600]);
    }

    proptest::proptest! {
        /// Whatever the load, the same pieces, some of them together.
        #[test]
        fn a_prompts_pieces_do_not_depend_on_load(done in 0..200usize, more in 1..400usize, load: u64) {
            let pieces = cuts(done, done + more, || 1);
            let mut random = crate::sampler::SplitMix64::new(load);
            let some = cuts(done, done + more, || [32, 128][(random.next_u64() % 2) as usize]);
            proptest::prop_assert!(some.iter().all(|cut| pieces.contains(cut)), "{:?} of {:?}", some, pieces);
            // Few rows are computed alike wherever they are cut; of the others no piece ends elsewhere.
            proptest::prop_assert_eq!(&some[some.len() - 2..], &pieces[pieces.len() - 2..]);
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
