//! Which experts a row goes through, and with what weight: a pure function of the router's logits.
//!
//! A router gives each row a probability over all experts, and the likeliest few compute it, weighted (Shazeer et al. 2017,
//! "Outrageously Large Neural Networks"; Fedus et al. 2022, "Switch Transformers"). Of equally likely experts the one with the
//! lower number comes first. A row's choice depends on its own logits alone.

use super::attention::softmax;

/// How a router's logits become a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Router {
    /// Experts in all.
    pub(super) experts: usize,
    /// How many a row goes through.
    pub(super) used: usize,
    /// Whether the weights of those add up to one.
    pub(super) normalise: bool,
}

impl Router {
    /// For each expert the rows that go through it, in order, and with what weight. `logits` is `[rows][experts]` and becomes
    /// probabilities.
    pub(super) fn choose(self, logits: &mut [f32]) -> Vec<Vec<(usize, f32)>> {
        let mut chosen = vec![Vec::new(); self.experts];
        let mut order: Vec<usize> = Vec::with_capacity(self.experts);
        for (row, probabilities) in logits.chunks_exact_mut(self.experts).enumerate() {
            softmax(probabilities);
            order.clear();
            order.extend(0..self.experts);
            order.sort_by(|a, b| probabilities[*b].total_cmp(&probabilities[*a]));
            order.truncate(self.used);
            let sum: f32 = order.iter().map(|expert| probabilities[*expert]).sum();
            for expert in &order {
                let weight = probabilities[*expert];
                chosen[*expert].push((row, if self.normalise { weight / sum } else { weight }));
            }
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn of_equally_likely_experts_the_first_come_first() {
        let router = Router { experts: 4, used: 2, normalise: true };
        let chosen = router.choose(&mut [0.0, 1.0, 1.0, 1.0, 5.0, 5.0, 5.0, 5.0]);
        let rows = |expert: usize| chosen[expert].iter().map(|(row, _)| *row).collect::<Vec<_>>();
        assert_eq!([0, 1, 2, 3].map(rows), [vec![1], vec![0, 1], vec![0], vec![]]);
        assert!(chosen.iter().flatten().all(|(_, weight)| *weight == 0.5));
    }

    proptest! {
        /// Each row goes through as many as it should, none of which is less likely than one it does not go through.
        #[test]
        fn a_row_goes_through_its_likeliest(
            logits in prop::collection::vec(-4.0_f32..4.0, 6 * 3),
            used in 1_usize..=6,
            normalise: bool,
        ) {
            let router = Router { experts: 6, used, normalise };
            let chosen = router.choose(&mut logits.clone());
            for (row, logits) in logits.chunks_exact(6).enumerate() {
                let weights: Vec<Option<f32>> = chosen
                    .iter()
                    .map(|rows| rows.iter().find(|(other, _)| *other == row).map(|(_, weight)| *weight))
                    .collect();
                let of = |is_chosen: bool| (0..6).filter(move |expert| weights[*expert].is_some() == is_chosen);
                let least = of.clone()(true).map(|expert| logits[expert]).fold(f32::INFINITY, f32::min);
                prop_assert!(of.clone()(false).all(|expert| logits[expert] <= least));
                prop_assert_eq!(of(true).count(), used);
                let sum: f32 = chosen.iter().flatten().filter(|(other, _)| *other == row).map(|(_, weight)| weight).sum();
                let all: f32 = logits.iter().map(|logit| logit.exp()).sum();
                let taken: f32 = {
                    let mut sorted = logits.to_vec();
                    sorted.sort_by(|a, b| b.total_cmp(a));
                    sorted[..used].iter().map(|logit| logit.exp()).sum()
                };
                let expect = if normalise { 1.0 } else { taken / all };
                prop_assert!((sum - expect).abs() < 1e-5, "{} and {}", sum, expect);
            }
        }
    }
}
