//! What changes logits before anything is drawn: bias, and penalties for what was there before.

use remit_abi::{Params, Penalties};

/// Adds each token's bias; [`Params::BIAS_NEVER`] forbids the token. Tokens that do not exist are passed over.
pub(super) fn add_bias(logits: &mut [f32], bias: &[(u32, f32)]) {
    for (token, bias) in bias {
        if let Some(logit) = logits.get_mut(*token as usize) {
            *logit = if *bias <= Params::BIAS_NEVER { f32::NEG_INFINITY } else { *logit + bias };
        }
    }
}

/// Changes the logits of the tokens in the window: first by the repetition penalty, then by the frequency and presence
/// penalties, as llama.cpp does. `seen` is scratch.
pub(super) fn penalize(logits: &mut [f32], tokens: &[u32], penalties: &Penalties, seen: &mut Vec<u32>) {
    let begin = tokens.len().saturating_sub(penalties.window as usize);
    seen.clear();
    seen.extend_from_slice(&tokens[begin..]);
    seen.sort_unstable();
    for same in seen.chunk_by(|a, b| a == b) {
        if let Some(logit) = logits.get_mut(same[0] as usize) {
            *logit = penalized(*logit, same.len(), penalties);
        }
    }
}

/// The logit of a token that was there `count` times.
///
/// Keskar et al. divide every logit, which makes a token with one below 0 likelier; multiplying those is how all
/// implementations read them.
fn penalized(logit: f32, count: usize, penalties: &Penalties) -> f32 {
    let Penalties { repetition, frequency, presence, .. } = *penalties;
    let repeated = if logit > 0.0 { logit / repetition } else { logit * repetition };
    repeated - frequency * count as f32 - presence
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(penalties: Penalties, tokens: &[u32], expect: [f32; 4]) {
        let mut logits = [2.0, -2.0, 1.0, 0.0];
        penalize(&mut logits, tokens, &penalties, &mut Vec::new());
        assert_eq!(logits, expect, "{penalties:?} after {tokens:?}");
    }

    const OFF: Penalties = Penalties { repetition: 1.0, frequency: 0.0, presence: 0.0, window: 8 };

    #[test]
    fn penalties_are_their_formulas() {
        check(OFF, &[0, 1, 2, 3], [2.0, -2.0, 1.0, 0.0]);
        check(Penalties { repetition: 2.0, ..OFF }, &[0, 1, 1, 3], [1.0, -4.0, 1.0, 0.0]);
        check(Penalties { repetition: 0.5, ..OFF }, &[0, 1], [4.0, -1.0, 1.0, 0.0]);
        check(Penalties { frequency: 0.5, ..OFF }, &[0, 1, 1, 1], [1.5, -3.5, 1.0, 0.0]);
        check(Penalties { presence: 0.5, ..OFF }, &[0, 1, 1, 1], [1.5, -2.5, 1.0, 0.0]);
        check(
            Penalties { repetition: 2.0, frequency: 1.0, presence: -0.5, window: 8 },
            &[0, 0],
            [-0.5, -2.0, 1.0, 0.0],
        );
    }

    #[test]
    fn penalties_look_back_over_their_window_only() {
        let once = |window| Penalties { presence: 1.0, window, ..OFF };
        check(once(0), &[0, 1, 2], [2.0, -2.0, 1.0, 0.0]);
        check(once(1), &[0, 1, 2], [2.0, -2.0, 0.0, 0.0]);
        check(once(2), &[0, 1, 2], [2.0, -3.0, 0.0, 0.0]);
        check(once(u32::MAX), &[0, 1, 2], [1.0, -3.0, 0.0, 0.0]);
        check(once(8), &[4, u32::MAX], [2.0, -2.0, 1.0, 0.0]);
    }

    #[test]
    fn a_bias_is_added_and_the_lowest_forbids() {
        let mut logits = [1.0, f32::INFINITY, 3.0, f32::NEG_INFINITY];
        add_bias(&mut logits, &[(0, -1.5), (1, -100.0), (2, 100.0), (3, 100.0), (4, 1.0)]);
        assert_eq!(logits, [-0.5, f32::NEG_INFINITY, 103.0, f32::NEG_INFINITY]);
    }

    proptest! {
        #[test]
        fn penalties_are_their_formulas_on_every_token(
            logits in prop::collection::vec(super::super::tests::logit(), 1..30),
            tokens in prop::collection::vec(0..40u32, 0..60),
            penalties in super::super::tests::penalties(),
        ) {
            let window = &tokens[tokens.len() - tokens.len().min(penalties.window as usize)..];
            let expect: Vec<f32> = logits.iter().enumerate().map(|(id, logit)| {
                let count = window.iter().filter(|token| **token as usize == id).count() as f32;
                if count == 0.0 {
                    return *logit;
                }
                let divided = logit * penalties.repetition.powi(if *logit > 0.0 { -1 } else { 1 });
                divided - count * penalties.frequency - penalties.presence
            }).collect();
            let mut got = logits.clone();
            penalize(&mut got, &tokens, &penalties, &mut Vec::new());
            for (got, expect) in got.iter().zip(&expect) {
                let same = got == expect || got.is_nan() && expect.is_nan();
                prop_assert!(same || (got - expect).abs() <= 1e-4 * (1.0 + expect.abs()), "{} is not {}", got, expect);
            }
        }
    }
}
