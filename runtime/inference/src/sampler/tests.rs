//! All steps together: what each parameter does to draws, and the whole against a plain reference.

use super::*;
use proptest::prelude::*;

/// Logits as a damaged model might give them, of which some are the same.
pub(super) fn logit() -> impl Strategy<Value = f32> {
    prop_oneof![
        8 => -20.0..20.0f32,
        6 => (-3..4i8).prop_map(f32::from),
        1 => Just(f32::NAN),
        1 => Just(f32::NEG_INFINITY),
        1 => prop_oneof![Just(f32::INFINITY), Just(f32::MAX), Just(f32::MIN), Just(-0.0)],
    ]
}

pub(super) fn penalties() -> impl Strategy<Value = Penalties> {
    (0.1..10.0f32, -2.0..2.0f32, -2.0..2.0f32, 0..70u32)
        .prop_map(|(repetition, frequency, presence, window)| Penalties { repetition, frequency, presence, window })
}

/// A number that is off half of the time.
fn or_off<T: std::fmt::Debug + Clone>(off: T, on: impl Strategy<Value = T>) -> impl Strategy<Value = T> {
    prop_oneof![Just(off), on]
}

fn params() -> impl Strategy<Value = Params> {
    let shares = (or_off(1.0, 0.0..1.0f32), or_off(1.0, 0.0..1.0f32), or_off(0.0, 0.0..1.0f32));
    let sampling = (0.01..5.0f32, or_off(0, 1..40u32), shares, any::<u64>()).prop_map(
        |(temperature, top_k, (typical_p, top_p, min_p), seed)| Sampling {
            temperature,
            top_k,
            typical_p,
            top_p,
            min_p,
            seed,
        },
    );
    let bias = prop::collection::vec((0..120u32, -100.0..100.0f32), 0..5);
    (sampling, or_off(Penalties::default(), penalties()), bias).prop_map(|(sampling, penalties, logit_bias)| Params {
        sampling,
        penalties,
        logit_bias,
        ..Params::greedy(1)
    })
}

fn drawing(sampling: Sampling) -> Params {
    let temperature = if sampling.temperature == 0.0 { 1.0 } else { sampling.temperature };
    Params { sampling: Sampling { temperature, ..sampling }, ..Params::greedy(1) }
}

/// Draws one token after the other, of the same logits.
fn draws(params: &Params, logits: &[f32], count: u64) -> Vec<u32> {
    let (sampler, mut scratch) = (Sampler::new(params), Scratch::default());
    (0..count).map(|draw| sampler.sample(logits, &[], draw, &mut scratch)).collect()
}

/// The logits of four tokens with probabilities 0.1, 0.2, 0.3 and 0.4.
fn rising() -> [f32; 4] {
    [1f32.ln(), 2f32.ln(), 3f32.ln(), 4f32.ln()]
}

#[test]
fn greedy_takes_the_first_of_the_largest() {
    let check = |params: &Params, tokens: &[u32], expect: u32| {
        let drawn = Sampler::new(params).sample(&[1.0, 3.0, 3.0, 2.0], tokens, 0, &mut Scratch::default());
        assert_eq!(drawn, expect, "{params:?}");
    };
    check(&Params::greedy(1), &[], 1);
    check(&Params { logit_bias: vec![(3, 1.5)], ..Params::greedy(1) }, &[], 3);
    check(&Params { logit_bias: vec![(1, -100.0), (2, -100.0)], ..Params::greedy(1) }, &[], 3);
    let presence = Penalties { presence: 0.5, ..Penalties::default() };
    check(&Params { penalties: presence, ..Params::greedy(1) }, &[1], 2);
    let repetition = Penalties { repetition: 2.0, ..Penalties::default() };
    check(&Params { penalties: repetition, ..Params::greedy(1) }, &[1, 2], 3);
    // Bias comes first: the penalty halves what it made.
    check(&Params { penalties: repetition, logit_bias: vec![(1, 2.9)], ..Params::greedy(1) }, &[1], 2);
    let filters = Sampling { top_k: 1, typical_p: 0.1, top_p: 0.1, min_p: 1.0, seed: 5, ..Sampling::default() };
    check(&Params { sampling: filters, ..Params::greedy(1) }, &[], 1);
}

#[test]
fn numbers_that_are_none_do_not_count() {
    for temperature in [0.0, 1.0, f32::NAN, -1.0] {
        let sampling = Sampling { temperature, top_p: 0.9, seed: 7, ..Sampling::default() };
        let check = |logits: &[f32], expect: u32| {
            assert_eq!(draws(&Params { sampling, ..Params::greedy(1) }, logits, 1), [expect]);
        };
        check(&[f32::NAN, f32::NEG_INFINITY, -5.0, f32::NAN], 2);
        check(&[f32::NAN; 4], 0);
        check(&[f32::NEG_INFINITY; 4], 0);
        check(&[1.0, f32::INFINITY, 2.0], 1);
        check(&[], 0);
    }
}

#[test]
fn draws_follow_the_probabilities() {
    let check = |sampling: Sampling, expect: [i64; 4]| {
        let drawn = draws(&drawing(Sampling { seed: 3, ..sampling }), &rising(), 40_000);
        for (id, expect) in expect.into_iter().enumerate() {
            let count = drawn.iter().filter(|token| **token as usize == id).count() as i64;
            assert!((count - expect).abs() < 600, "{sampling:?}: {count} is not {expect}");
        }
    };
    let off = Sampling::default();
    check(off, [4_000, 8_000, 12_000, 16_000]);
    // Squares of the probabilities: 1, 4, 9, 16 of 30.
    check(Sampling { temperature: 0.5, ..off }, [1_333, 5_333, 12_000, 21_333]);
    // What is left is together 1 again.
    check(Sampling { top_k: 2, ..off }, [0, 0, 17_143, 22_857]);
    check(Sampling { top_p: 0.6, ..off }, [0, 0, 17_143, 22_857]);
    check(Sampling { min_p: 0.4, ..off }, [0, 8_889, 13_333, 17_778]);
    // An entropy of 1.28 nats: the token of 0.3, with 1.20, is the nearest, then that of 0.2, with 1.61.
    check(Sampling { typical_p: 0.45, ..off }, [0, 16_000, 24_000, 0]);
}

#[test]
fn each_filter_sees_what_the_one_before_left() {
    let check = |sampling: Sampling, expect: &[u32]| {
        let mut drawn = draws(&drawing(sampling), &rising(), 2_000);
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn, expect, "{sampling:?}");
    };
    let off = Sampling::default();
    // Of three tokens 0.44 is the likeliest one's; of four it is 0.4.
    check(Sampling { top_p: 0.42, ..off }, &[2, 3]);
    check(Sampling { top_k: 3, top_p: 0.42, ..off }, &[3]);
    // The most typical two are those of 0.3 and 0.2; of those, 0.6 is the likelier one's.
    check(Sampling { typical_p: 0.45, top_p: 0.55, ..off }, &[2]);
    check(Sampling { typical_p: 0.45, min_p: 0.6, ..off }, &[1, 2]);
    check(Sampling { min_p: 0.6, ..off }, &[2, 3]);
    // Temperature first: it leaves the likeliest token 0.53 instead of 0.4.
    check(Sampling { temperature: 0.5, top_p: 0.5, ..off }, &[3]);
    check(Sampling { top_p: 0.5, ..off }, &[2, 3]);
}

/// Every step by sorting everything, over probabilities that are together 1 after each.
fn reference(params: &Params, logits: &[f32], tokens: &[u32]) -> Vec<(u32, f64)> {
    let mut changed = logits.to_vec();
    penalty::add_bias(&mut changed, &params.logit_bias);
    penalty::penalize(&mut changed, tokens, &params.penalties, &mut Vec::new());
    let top = f64::from(changed.iter().copied().map(number).fold(f32::NEG_INFINITY, f32::max));
    let logits = changed.iter().copied().map(number).map(f64::from);
    let weights = logits.map(|logit| ((logit - top) / f64::from(params.sampling.temperature)).exp());
    let mut list: Vec<(u32, f64)> = weights.enumerate().map(|(id, weight)| (id as u32, weight)).collect();
    list.retain(|(_, weight)| *weight >= 1e-300);
    let normalise = |list: &mut Vec<(u32, f64)>| {
        let sum: f64 = list.iter().map(|(_, weight)| weight).sum();
        list.iter_mut().for_each(|(_, weight)| *weight /= sum);
    };
    let head = |list: &mut Vec<(u32, f64)>, share: f32| {
        let mut sum = 0.0;
        let reached = list.iter().position(|(_, weight)| {
            sum += weight;
            sum >= f64::from(share)
        });
        list.truncate(reached.map_or(list.len(), |last| last + 1));
    };
    let falling = |a: &(u32, f64), b: &(u32, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    let Sampling { top_k, typical_p, top_p, min_p, .. } = params.sampling;
    normalise(&mut list);
    if top_k > 0 {
        list.sort_by(falling);
        list.truncate(top_k as usize);
        normalise(&mut list);
    }
    if typical_p < 1.0 {
        let entropy: f64 = list.iter().map(|(_, weight)| -weight * weight.ln()).sum();
        let distance = |one: &(u32, f64)| (-one.1.ln() - entropy).abs();
        list.sort_by(|a, b| distance(a).total_cmp(&distance(b)).then_with(|| falling(a, b)));
        head(&mut list, typical_p);
        normalise(&mut list);
    }
    if top_p < 1.0 {
        list.sort_by(falling);
        head(&mut list, top_p);
        normalise(&mut list);
    }
    let likeliest = list.iter().map(|(_, weight)| *weight).fold(0.0, f64::max);
    list.retain(|(_, weight)| *weight >= f64::from(min_p) * likeliest);
    normalise(&mut list);
    list.sort_by_key(|(id, _)| *id);
    list
}

/// Whether a filter's border is so near to a token that rounding decides.
fn is_close_call(params: &Params, logits: &[f32], tokens: &[u32]) -> bool {
    let nudged = |factor: f32| {
        let Sampling { typical_p, top_p, min_p, .. } = params.sampling;
        let nudge = |share: f32| if share < 1.0 { share * factor } else { share };
        let sampling = Sampling {
            typical_p: nudge(typical_p),
            top_p: nudge(top_p),
            min_p: (min_p * factor).min(1.0),
            ..params.sampling
        };
        let list = reference(&Params { sampling, ..params.clone() }, logits, tokens);
        list.into_iter().map(|(id, _)| id).collect::<Vec<_>>()
    };
    nudged(1.0 - 1e-6) != nudged(1.0 + 1e-6)
}

proptest! {
    #[test]
    fn what_is_left_is_the_references(
        params in params(),
        logits in prop::collection::vec(logit(), 1..120),
        tokens in prop::collection::vec(0..120u32, 0..40),
    ) {
        let mut scratch = Scratch::default();
        let sampler = Sampler::new(&params);
        match sampler.narrow(&logits, None, &tokens, &mut scratch) {
            Narrowed::To(token) => prop_assert!((token as usize) < logits.len()),
            Narrowed::Among(candidates) => {
                prop_assert!(!candidates.is_empty());
                let expect = reference(&params, &logits, &tokens);
                let total = filter::total(candidates);
                let mut got: Vec<(u32, f64)> = candidates.iter().map(|one| (one.id, one.weight / total)).collect();
                got.sort_by_key(|(id, _)| *id);
                let ids = |list: &[(u32, f64)]| list.iter().map(|(id, _)| *id).collect::<Vec<_>>();
                if ids(&got) != ids(&expect) {
                    prop_assert!(is_close_call(&params, &logits, &tokens), "{:?} is not {:?}", got, expect);
                } else {
                    let sum: f64 = got.iter().map(|(_, probability)| probability).sum();
                    prop_assert!((sum - 1.0).abs() < 1e-9);
                    for ((_, got), (_, expect)) in got.iter().zip(&expect) {
                        prop_assert!((got - expect).abs() <= 1e-9, "{} is not {}", got, expect);
                    }
                }
            }
        }
    }

    #[test]
    fn a_draw_depends_on_its_index_and_on_no_draw_before(
        params in params(), logits in prop::collection::vec(logit(), 1..120), used: u8,
    ) {
        let in_turn = draws(&params, &logits, 8);
        let (sampler, mut scratch) = (Sampler::new(&params), Scratch::default());
        // The scratch of another sequence, with another vocabulary.
        let _ = sampler.sample(&vec![1.0; usize::from(used)], &[3, 1], 0, &mut scratch);
        let mut backwards: Vec<u32> =
            (0..8).rev().map(|draw| sampler.sample(&logits, &[], draw, &mut scratch)).collect();
        backwards.reverse();
        prop_assert_eq!(in_turn, backwards);
    }

    #[test]
    fn a_forbidden_token_is_never_drawn(
        params in params(), mut logits in prop::collection::vec(-20.0..20.0f32, 2..60), forbidden: u8,
    ) {
        let forbidden = u32::from(forbidden) % logits.len() as u32;
        logits[forbidden as usize] = 50.0;
        let params = Params { logit_bias: vec![(forbidden, Params::BIAS_NEVER)], ..params };
        prop_assert!(!draws(&params, &logits, 20).contains(&forbidden));
    }
}

#[test]
fn only_plain_greedy_needs_no_logits() {
    let greedy = Params::greedy(1);
    assert!(Sampler::new(&greedy).is_greedy());
    let warm = Params { sampling: Sampling { temperature: 0.5, ..greedy.sampling }, ..greedy.clone() };
    let biased = Params { logit_bias: vec![(1, 1.0)], ..greedy.clone() };
    let penalised = Params { penalties: Penalties { presence: 0.5, ..greedy.penalties }, ..greedy };
    for params in [warm, biased, penalised] {
        assert!(!Sampler::new(&params).is_greedy());
    }
}

/// A mask of a tiny vocabulary, whose tokens are letters from `a` on, that allows these.
fn mask_of(allowed: &str, size: u8) -> Mask {
    use remit_grammar::{Constraint, Format, Limits, Next, Token, Vocabulary};
    let letters: Vec<[u8; 1]> = (0..size).map(|place| [b'a' + place]).collect();
    let tokens = letters.iter().map(|letter| Token::Text(letter)).chain([Token::Control("<end>")]);
    let vocabulary = Vocabulary::new(tokens, &[u32::from(size)]).unwrap();
    let format = Format::Regex(format!("[{allowed}]x"));
    match Constraint::compile(&vocabulary, &format, &Limits::default()).unwrap().begin().allowed() {
        Next::Among(mask) => mask.clone(),
        Next::End => panic!("the first letter is missing"),
    }
}

#[test]
fn a_mask_is_as_a_bias_on_all_others() {
    let mask = mask_of("bdk", 25);
    assert_eq!(mask.tokens().collect::<Vec<_>>(), [1, 3, 10]);
    let logits: Vec<f32> = (0..26).map(|place| (place * 7 % 26) as f32 / 4.0).collect();
    let forbidden = (0..26).filter(|token| !mask.allows(*token)).map(|token| (token, Params::BIAS_NEVER));
    for (temperature, seed) in [(0.0, 0), (1.0, 1), (1.5, 2), (0.7, 3)] {
        let sampling = Sampling { temperature, seed, top_p: 0.9, ..Sampling::default() };
        let penalties = Penalties { presence: 1.0, ..Penalties::default() };
        let params = Params { sampling, penalties, ..Params::greedy(1) };
        let (masked, biased) =
            (Sampler::new(&params), Sampler::new(&Params { logit_bias: forbidden.clone().collect(), ..params }));
        for draw in 0..50 {
            let mut scratch = Scratch::default();
            let token = masked.sample_among(&mask, &logits, &[3, 10], draw, &mut scratch);
            assert_eq!(token, biased.sample(&logits, &[3, 10], draw, &mut scratch));
            assert!(mask.allows(token));
        }
    }
}
