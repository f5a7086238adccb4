//! Which tokens are left to draw from.
//!
//! Weights are probabilities times a common factor. Each filter takes shares of what is there when it begins, so that it
//! sees the probabilities that the one before left, together 1 again. Each keeps at least one token, and says by itself in
//! which order it leaves the list, so that a draw depends on nothing else.

use super::number;
use std::cmp::Ordering;

/// Tokens that a filter sorts at first: most of the probability lies on a few.
const HEAD_FIRST: usize = 64;
/// How many times more, where those were too few.
const HEAD_GROWTH: usize = 8;
/// Below this share of the likeliest token's weight no draw of 53 bits ever comes to a token; and above it no quotient of
/// weights overflows.
const WEIGHT_MIN: f64 = 1e-300;

/// A token that may be drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candidate {
    pub(super) id: u32,
    /// At least [`WEIGHT_MIN`].
    pub(super) weight: f64,
    /// How much more or less surprising than the whole distribution, in nats; set by [`typical`].
    distance: f64,
}

/// The candidates of some logits, by their ids. `top` is the largest logit and finite, so that its weight is 1. Tokens below
/// [`WEIGHT_MIN`] are none.
pub(super) fn fill(candidates: &mut Vec<Candidate>, logits: &[f32], top: f32, temperature: f32) {
    let scale = 1.0 / f64::from(temperature);
    candidates.clear();
    candidates.extend(logits.iter().enumerate().filter_map(|(id, logit)| {
        let weight = ((f64::from(number(*logit)) - f64::from(top)) * scale).exp();
        (weight >= WEIGHT_MIN).then_some(Candidate { id: id as u32, weight, distance: 0.0 })
    }));
}

/// All weights together.
pub(super) fn total(candidates: &[Candidate]) -> f64 {
    candidates.iter().map(|candidate| candidate.weight).sum()
}

/// Likelier ones first; of equal ones the lower id.
fn falling(a: &Candidate, b: &Candidate) -> Ordering {
    b.weight.total_cmp(&a.weight).then(a.id.cmp(&b.id))
}

/// Keeps the `count` likeliest, falling; at least one.
pub(super) fn top_k(candidates: &mut Vec<Candidate>, count: usize) {
    let count = count.max(1);
    if count < candidates.len() {
        candidates.select_nth_unstable_by(count, falling);
        candidates.truncate(count);
    }
    candidates.sort_unstable_by(falling);
}

/// Keeps those whose surprise is nearest to the distribution's entropy, nearest first, until they have this share (Meister
/// et al. 2022, section 4).
pub(super) fn typical(candidates: &mut Vec<Candidate>, share: f64) {
    let total = total(candidates);
    let surprise = |weight: f64| (total / weight).ln();
    let entropy: f64 = candidates.iter().map(|candidate| candidate.weight / total * surprise(candidate.weight)).sum();
    for candidate in &mut *candidates {
        candidate.distance = (surprise(candidate.weight) - entropy).abs();
    }
    let nearest = |a: &Candidate, b: &Candidate| a.distance.total_cmp(&b.distance).then_with(|| falling(a, b));
    keep_head(candidates, share * total, nearest);
}

/// Keeps the likeliest, falling, until they have this share (Holtzman et al. 2020, section 3.1).
pub(super) fn top_p(candidates: &mut Vec<Candidate>, share: f64) {
    let share = share * total(candidates);
    keep_head(candidates, share, falling);
}

/// Keeps those that are at least `part` times as likely as the likeliest, in the order in which they come (Nguyen et al.
/// 2024, section 3).
pub(super) fn min_p(candidates: &mut Vec<Candidate>, part: f64) {
    let top = candidates.iter().map(|candidate| candidate.weight).fold(0.0, f64::max);
    let least = part * top;
    candidates.retain(|candidate| candidate.weight >= least);
}

/// Keeps the fewest, in this order, whose weights reach `target`. The list is sorted only as far as needed.
fn keep_head(candidates: &mut Vec<Candidate>, target: f64, order: impl Fn(&Candidate, &Candidate) -> Ordering) {
    let mut width = HEAD_FIRST;
    loop {
        let whole = width >= candidates.len();
        if !whole {
            candidates.select_nth_unstable_by(width, &order);
        }
        let head = if whole { &mut candidates[..] } else { &mut candidates[..width] };
        head.sort_unstable_by(&order);
        let mut sum = 0.0;
        let reached = head.iter().position(|candidate| {
            sum += candidate.weight;
            sum >= target
        });
        match reached {
            Some(last) => return candidates.truncate(last + 1),
            // Rounding left a little to be desired.
            None if whole => return,
            None => width *= HEAD_GROWTH,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn candidates(weights: &[f64]) -> Vec<Candidate> {
        let each = weights.iter().enumerate();
        each.map(|(id, weight)| Candidate { id: id as u32, weight: *weight, distance: 0.0 }).collect()
    }

    fn check(filter: impl Fn(&mut Vec<Candidate>), weights: &[f64], expect: &[u32]) {
        let mut candidates = candidates(weights);
        filter(&mut candidates);
        assert_eq!(candidates.iter().map(|candidate| candidate.id).collect::<Vec<_>>(), expect, "{weights:?}");
    }

    #[test]
    fn each_filter_keeps_what_its_paper_says() {
        let weights = [1.0, 4.0, 2.0, 4.0, 5.0];
        check(|list| top_k(list, 3), &weights, &[4, 1, 3]);
        check(|list| top_k(list, 9), &weights, &[4, 1, 3, 2, 0]);
        check(|list| top_p(list, 0.5), &weights, &[4, 1]);
        check(|list| top_p(list, 0.6), &weights, &[4, 1, 3]);
        check(|list| min_p(list, 0.4), &weights, &[1, 2, 3, 4]);
        check(|list| min_p(list, 0.8), &weights, &[1, 3, 4]);
        // Surprises of 0.6, 1.4, 2.5, 2.9 and 2.6 nats around an entropy of 1.2: the likeliest is not the most typical.
        let skewed = [0.54, 0.25, 0.08, 0.055, 0.075];
        check(|list| typical(list, 0.2), &skewed, &[1]);
        check(|list| typical(list, 0.3), &skewed, &[1, 0]);
    }

    #[test]
    fn one_token_is_always_left() {
        for weights in [&[1.0][..], &[1.0, 1.0, 1.0], &[1.0, 1e-300, 1e-300]] {
            for filter in [
                (|list: &mut Vec<Candidate>| top_k(list, 0)) as fn(&mut Vec<Candidate>),
                |list| typical(list, 0.0),
                |list| top_p(list, 0.0),
            ] {
                let mut list = candidates(weights);
                filter(&mut list);
                assert_eq!(list.len(), 1, "{weights:?}");
            }
            let mut list = candidates(weights);
            min_p(&mut list, 1.0);
            assert!(!list.is_empty());
        }
    }

    /// The filter over a list that is sorted whole.
    fn plain(weights: &[f64], share: f64, key: impl Fn(&Candidate) -> f64) -> Vec<u32> {
        let mut list = candidates(weights);
        list.sort_by(|a, b| key(a).total_cmp(&key(b)).then(b.weight.total_cmp(&a.weight)).then(a.id.cmp(&b.id)));
        let mut sum = 0.0;
        let target = share * weights.iter().sum::<f64>();
        let length = list.iter().position(|candidate| {
            sum += candidate.weight;
            sum >= target
        });
        list.truncate(length.map_or(list.len(), |last| last + 1));
        list.iter().map(|candidate| candidate.id).collect()
    }

    fn ids(weights: &[f64], filter: impl Fn(&mut Vec<Candidate>)) -> Vec<u32> {
        let mut list = candidates(weights);
        filter(&mut list);
        list.iter().map(|candidate| candidate.id).collect()
    }

    /// Weights of which some are the same.
    fn weight() -> impl Strategy<Value = f64> {
        prop_oneof![1e-9..1.0f64, (1..5u8).prop_map(|part| f64::from(part) / 4.0)]
    }

    proptest! {
        #[test]
        fn filters_equal_a_whole_sort(
            weights in prop::collection::vec(weight(), 1..700), share in 0.0..1.0f64, count in 1..50usize,
        ) {
            let all: f64 = weights.iter().sum();
            prop_assert_eq!(ids(&weights, |list| top_p(list, share)), plain(&weights, share, |one| -one.weight));
            let mut sorted = plain(&weights, 2.0, |one| -one.weight);
            let likeliest = weights[sorted[0] as usize];
            sorted.truncate(count);
            prop_assert_eq!(ids(&weights, |list| top_k(list, count)), sorted);
            let entropy: f64 = weights.iter().map(|weight| weight / all * (all / weight).ln()).sum();
            let distance = |one: &Candidate| ((all / one.weight).ln() - entropy).abs();
            prop_assert_eq!(ids(&weights, |list| typical(list, share)), plain(&weights, share, distance));
            let above = (0..weights.len() as u32).filter(|id| weights[*id as usize] >= share * likeliest);
            prop_assert_eq!(ids(&weights, |list| min_p(list, share)), above.collect::<Vec<_>>());
        }
    }
}
