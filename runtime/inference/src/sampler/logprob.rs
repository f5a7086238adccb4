//! How likely the model held a token: the logarithm of the softmax of its own logits.

use super::number;

/// The distribution that some logits make.
#[derive(Clone, Copy, Debug)]
pub struct Distribution<'a> {
    logits: &'a [f32],
    top: f32,
    /// Logarithm of all probabilities together, where the likeliest token's is 1.
    log_total: f64,
}

impl<'a> Distribution<'a> {
    /// Logits that are not numbers count as minus infinity. Where the largest is infinite, the tokens that have it are
    /// equally likely, and no other is.
    #[must_use]
    pub fn new(logits: &'a [f32]) -> Self {
        let top = logits.iter().copied().map(number).fold(f32::NEG_INFINITY, f32::max);
        let total: f64 = logits.iter().map(|logit| distance(*logit, top).exp()).sum();
        Self { logits, top, log_total: total.ln() }
    }

    /// Natural logarithm of a token's probability; minus infinity for one that does not exist.
    #[must_use]
    pub fn logprob(&self, token: u32) -> f32 {
        let logit = self.logits.get(token as usize);
        logit.map_or(f32::NEG_INFINITY, |logit| (distance(*logit, self.top) - self.log_total) as f32)
    }

    /// The ids of the likeliest tokens, falling; of equal ones the lower id first. One pass, for few.
    #[must_use]
    pub fn likeliest(&self, count: usize) -> Vec<u32> {
        let mut best: Vec<(u32, f32)> = Vec::with_capacity(count);
        for (id, logit) in self.logits.iter().copied().map(number).enumerate() {
            if best.len() == count {
                if best.last().is_none_or(|(_, least)| logit <= *least) {
                    continue;
                }
                best.pop();
            }
            let place = best.partition_point(|(_, other)| *other >= logit);
            best.insert(place, (id as u32, logit));
        }
        best.into_iter().map(|(id, _)| id).collect()
    }
}

/// Of a logit from the largest: 0 or below.
fn distance(logit: f32, top: f32) -> f64 {
    let logit = number(logit);
    // Two infinities have no difference.
    if logit == top { 0.0 } else { f64::from(logit) - f64::from(top) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn logprobs_are_logarithms_of_probabilities() {
        let check = |logits: &[f32], expect: &[f32]| {
            let distribution = Distribution::new(logits);
            for (id, expect) in expect.iter().enumerate() {
                let got = distribution.logprob(id as u32);
                assert!(got == *expect || (got - expect).abs() < 1e-6, "{got} is not {expect}: {logits:?}");
            }
        };
        let (none, half) = (f32::NEG_INFINITY, 0.5f32.ln());
        check(&[3.0], &[0.0, none]);
        check(&[7.0, 7.0], &[half, half]);
        check(&[0.0, 3f32.ln(), f32::NAN, none], &[0.25f32.ln(), 0.75f32.ln(), none, none]);
        check(&[1.0, f32::INFINITY, f32::INFINITY], &[none, half, half]);
        check(&[f32::NAN, none], &[half, half]);
        check(&[f32::MAX, f32::MIN], &[0.0, none]);
        check(&[], &[none]);
    }

    proptest! {
        #[test]
        fn the_likeliest_are_the_head_of_a_whole_sort(
            logits in prop::collection::vec(super::super::tests::logit(), 0..100), count in 0..25usize,
        ) {
            let distribution = Distribution::new(&logits);
            let mut ids: Vec<u32> = (0..logits.len() as u32).collect();
            let logit = |id: &u32| number(logits[*id as usize]);
            ids.sort_by(|a, b| logit(b).partial_cmp(&logit(a)).unwrap().then(a.cmp(b)));
            ids.truncate(count);
            prop_assert_eq!(distribution.likeliest(count), ids);
        }

        #[test]
        fn probabilities_add_up_to_one(logits in prop::collection::vec(super::super::tests::logit(), 1..100)) {
            let distribution = Distribution::new(&logits);
            let sum: f64 = (0..logits.len() as u32).map(|id| f64::from(distribution.logprob(id)).exp()).sum();
            prop_assert!((sum - 1.0).abs() < 1e-4, "{}", sum);
        }
    }
}
