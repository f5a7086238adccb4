//! Two lists of hits into one, and the order of what is found.
//!
//! With `s` the cosine and `w` the BM25 score of a hit, its likeness is
//!
//! | looked for | likeness |
//! | --- | --- |
//! | a vector | `s` |
//! | words | `w / w_max`, by the best of all candidates |
//! | both | `(1 / (60 + rank by s) + 1 / (60 + rank by w)) × 61 / 2`, a list that has it not adding nothing: 1 is first in both |
//!
//! What is so new that it has no vector yet would be behind whatever is in both lists. Until it has one, its rank by `w` counts twice.
//!
//! and its score is `likeness + recency × 2^(-age / half-life) + importance × its importance`.
//!
//! With a `diversity` of `d` above 0 hits are then taken one by one, always the one with the largest `(1 - d) × score - d × m`, where `m`
//! is the largest cosine to one that was taken, at least 0. That value, which never rises, is the score that is told.

use super::Candidate;
use remit_abi::Weighting;

/// Cormack, Clarke and Buettcher 2009 found it best, and little in it.
const RANK_OFFSET: f32 = 60.0;

/// What a search is after, of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Likeness {
    Vector,
    Words,
    Both,
}

/// Sets each candidate's score, and puts the best first.
pub(crate) fn rank(candidates: &mut [Candidate], likeness: Likeness, weighting: &Weighting, now_ns: u64) {
    let best = candidates.iter().filter_map(|candidate| candidate.relevance).fold(f32::MIN_POSITIVE, f32::max);
    for candidate in candidates.iter_mut() {
        candidate.score = match likeness {
            Likeness::Vector => candidate.similarity.unwrap_or_default(),
            Likeness::Words => candidate.relevance.unwrap_or_default() / best,
            Likeness::Both => 0.0,
        };
    }
    if likeness == Likeness::Both {
        add_ranks(candidates, |candidate| candidate.similarity);
        add_ranks(candidates, |candidate| candidate.relevance);
        candidates.iter_mut().filter(|candidate| candidate.awaits_vector).for_each(|candidate| candidate.score *= 2.0);
    }
    for candidate in candidates.iter_mut() {
        candidate.score += bonus(candidate, weighting, now_ns);
    }
    candidates.sort_by(|one, other| other.score.total_cmp(&one.score).then(one.id.cmp(&other.id)));
}

#[expect(clippy::cast_precision_loss, reason = "ranks are small, and ages need not be exact")]
fn bonus(candidate: &Candidate, weighting: &Weighting, now_ns: u64) -> f32 {
    let age_s = now_ns.saturating_sub(candidate.written_ns) as f64 / 1e9;
    let half_life_s = f64::from(weighting.half_life_s.max(1));
    #[expect(clippy::cast_possible_truncation, reason = "from 0 to 1")]
    let newness = (-age_s / half_life_s).exp2() as f32;
    weighting.recency * newness + weighting.importance * candidate.importance
}

#[expect(clippy::cast_precision_loss, reason = "ranks are small")]
fn add_ranks(candidates: &mut [Candidate], by: impl Fn(&Candidate) -> Option<f32>) {
    let mut order: Vec<_> = candidates
        .iter()
        .enumerate()
        .filter_map(|(place, candidate)| Some((by(candidate)?, candidate.id, place)))
        .collect();
    order.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
    for (rank, (_, _, place)) in order.into_iter().enumerate() {
        if let Some(candidate) = candidates.get_mut(place) {
            candidate.score += (RANK_OFFSET + 1.0) / 2.0 / (RANK_OFFSET + 1.0 + rank as f32);
        }
    }
}

/// Takes `count` of them by maximal marginal relevance. They come with the best first, and leave in the order in which they were taken.
pub(crate) fn diversify(mut candidates: Vec<Candidate>, diversity: f32, count: usize) -> Vec<Candidate> {
    let mut taken: Vec<Candidate> = Vec::with_capacity(count.min(candidates.len()));
    // How like each is to the likest that was taken.
    let mut alike = vec![0.0_f32; candidates.len()];
    while taken.len() < count {
        let value = |(candidate, alike): (&Candidate, &f32)| (1.0 - diversity) * candidate.score - diversity * alike;
        let values = candidates.iter().zip(&alike).map(value);
        let best = values.enumerate().reduce(|best, next| if next.1 > best.1 { next } else { best });
        let Some((place, score)) = best else { break };
        let mut next = candidates.remove(place);
        alike.remove(place);
        for (candidate, alike) in candidates.iter().zip(&mut alike) {
            *alike = alike.max(candidate.likeness(&next));
        }
        next.score = score;
        taken.push(next);
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use remit_abi::EntryId;

    fn candidate(id: u64, similarity: Option<f32>, relevance: Option<f32>, vector: &[f32]) -> Candidate {
        let vector = (!vector.is_empty()).then(|| vector.into());
        Candidate { id: EntryId(id), similarity, relevance, vector, ..Candidate::default() }
    }

    fn ids(candidates: &[Candidate]) -> Vec<u64> {
        candidates.iter().map(|candidate| candidate.id.0).collect()
    }

    #[test]
    fn who_is_high_in_both_lists_comes_first() {
        let mut candidates = vec![
            candidate(1, Some(0.9), None, &[]),
            candidate(2, Some(0.8), Some(3.0), &[]),
            candidate(3, None, Some(9.0), &[]),
            candidate(4, Some(0.7), Some(1.0), &[]),
        ];
        rank(&mut candidates, Likeness::Both, &Weighting::default(), 0);
        assert_eq!(ids(&candidates), [2, 4, 1, 3]);
        let expect = 61.0 / 2.0 * (1.0 / 62.0 + 1.0 / 62.0);
        assert!((candidates[0].score - expect).abs() < 1e-6, "{}", candidates[0].score);
    }

    #[test]
    fn what_has_no_vector_yet_is_as_high_as_its_words() {
        let mut candidates = vec![
            candidate(1, Some(0.9), Some(3.0), &[]),
            candidate(2, None, Some(9.0), &[]),
            candidate(3, None, Some(1.0), &[]),
        ];
        candidates[1].awaits_vector = true;
        candidates[2].awaits_vector = true;
        rank(&mut candidates, Likeness::Both, &Weighting::default(), 0);
        assert_eq!(ids(&candidates), [2, 1, 3]);
        assert!((candidates[0].score - 1.0).abs() < 1e-6, "{}", candidates[0].score);
    }

    #[test]
    fn being_new_counts_half_after_the_half_life() {
        let weighting = Weighting { recency: 0.5, half_life_s: 10, ..Weighting::default() };
        let mut candidates = vec![candidate(1, Some(0.6), None, &[]), candidate(2, Some(0.4), None, &[])];
        candidates[0].written_ns = 0;
        candidates[1].written_ns = 10_000_000_000;
        rank(&mut candidates, Likeness::Vector, &weighting, 10_000_000_000);
        assert_eq!(ids(&candidates), [2, 1]);
        assert!((candidates[0].score - 0.9).abs() < 1e-6 && (candidates[1].score - 0.85).abs() < 1e-6);
    }

    #[test]
    fn doubles_come_later_where_diversity_is_asked_for() {
        let all = || {
            vec![
                candidate(1, Some(1.0), None, &[1.0, 0.0]),
                candidate(2, Some(0.99), None, &[1.0, 0.0]),
                candidate(3, Some(0.5), None, &[0.0, 1.0]),
            ]
        };
        let order = |diversity| {
            let mut candidates = all();
            rank(&mut candidates, Likeness::Vector, &Weighting::default(), 0);
            let taken = diversify(candidates, diversity, 3);
            assert!(taken.is_sorted_by(|one, other| one.score >= other.score));
            ids(&taken)
        };
        assert_eq!(order(0.0), [1, 2, 3]);
        assert_eq!(order(0.5), [1, 3, 2]);
    }
}
