//! Which token comes next.
//!
//! Principles:
//!
//! - Pure: logits, parameters and the index of the draw decide; the same seed gives the same text.
//! - Logits that are not numbers count as minus infinity. Where no logit is finite, the lowest id is chosen: a damaged
//!   model talks nonsense, it does not panic.
//! - Of equal logits the lower id comes first.
//!
//! Sources: nucleus sampling is Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration"; the generator is
//! SplitMix64 (Steele, Lea, Flood 2014, "Fast Splittable Pseudorandom Number Generators").

/// SplitMix64: 64 bits of state, one addition and one mix a number. Not fit for keys.
#[derive(Clone, Debug)]
pub struct SplitMix64 {
    state: u64,
}

const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

impl SplitMix64 {
    /// The generator of that seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN_GAMMA);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The next number in [0, 1), of 53 random bits.
    pub fn next_unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// How a sequence draws its tokens.
#[derive(Clone, Debug)]
pub struct Sampler {
    temperature: f32,
    top_p: f64,
    random: SplitMix64,
}

impl Sampler {
    /// A `temperature` that is not a positive number means greedy. `top_p` is the share of probability to draw from; at
    /// least the likeliest token stays in it.
    #[must_use]
    pub fn new(temperature: f32, top_p: f32, seed: u64) -> Self {
        let temperature = if temperature.is_finite() { temperature.max(0.0) } else { 0.0 };
        let top_p = if top_p.is_nan() { 0.0 } else { f64::from(top_p.clamp(0.0, 1.0)) };
        Self { temperature, top_p, random: SplitMix64::new(seed) }
    }

    /// The next token. Each call draws one number, greedy ones none.
    pub fn sample(&mut self, logits: &[f32]) -> u32 {
        let best = argmax(logits);
        if self.temperature == 0.0 {
            return best;
        }
        let chance = self.random.next_unit();
        let top = number(logits[best as usize]);
        if !top.is_finite() {
            return best;
        }
        let scale = 1.0 / f64::from(self.temperature);
        let weights: Vec<f64> = logits.iter().map(|logit| (f64::from(number(*logit) - top) * scale).exp()).collect();
        self.draw(&weights, chance)
    }

    fn draw(&self, weights: &[f64], chance: f64) -> u32 {
        let total: f64 = weights.iter().sum();
        if self.top_p >= 1.0 {
            return pick(weights.iter().copied().enumerate(), chance * total);
        }
        let nucleus = nucleus(weights, self.top_p * total);
        let kept: f64 = nucleus.iter().map(|id| weights[*id]).sum();
        pick(nucleus.iter().map(|id| (*id, weights[*id])), chance * kept)
    }
}

/// The first id at which the running sum exceeds `target`; the last one with a weight, where rounding lets none.
fn pick(weights: impl Iterator<Item = (usize, f64)>, target: f64) -> u32 {
    let mut sum = 0.0;
    let mut last = 0;
    for (id, weight) in weights {
        if weight > 0.0 {
            sum += weight;
            last = id as u32;
            if sum > target {
                break;
            }
        }
    }
    last
}

/// The fewest ids, likeliest first, whose weights reach `share`. The vocabulary is sorted only as far as needed: most
/// of the probability lies on a few tokens.
fn nucleus(weights: &[f64], share: f64) -> Vec<usize> {
    let falling = |a: &usize, b: &usize| weights[*b].total_cmp(&weights[*a]).then(a.cmp(b));
    let mut ids: Vec<usize> = (0..weights.len()).collect();
    let mut width = 64;
    loop {
        let whole = width >= ids.len();
        if !whole {
            ids.select_nth_unstable_by(width, falling);
        }
        let head = if whole { &mut ids[..] } else { &mut ids[..width] };
        head.sort_unstable_by(falling);
        let mut sum = 0.0;
        let reached = head.iter().position(|id| {
            sum += weights[*id];
            sum >= share
        });
        match reached {
            Some(last) => ids.truncate(last + 1),
            None if !whole => {
                width *= 8;
                continue;
            }
            None => {}
        }
        return ids;
    }
}

fn number(logit: f32) -> f32 {
    if logit.is_nan() { f32::NEG_INFINITY } else { logit }
}

/// The id of the largest number; of equal ones the lowest; 0 where there is none.
#[must_use]
pub fn argmax(logits: &[f32]) -> u32 {
    let mut best = (0, f32::NEG_INFINITY);
    for (id, logit) in logits.iter().enumerate() {
        if *logit > best.1 {
            best = (id as u32, *logit);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Draws `count` tokens and returns how often each came.
    fn counts(mut sampler: Sampler, logits: &[f32], count: usize) -> Vec<usize> {
        let mut counts = vec![0; logits.len()];
        for _ in 0..count {
            counts[sampler.sample(logits) as usize] += 1;
        }
        counts
    }

    #[test]
    fn generator_matches_its_reference() {
        // The first numbers of the reference implementation for the seed 1234567.
        let mut random = SplitMix64::new(1_234_567);
        let expect = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!(expect.map(|_| random.next_u64()), expect);
    }

    #[test]
    fn greedy_takes_the_first_of_the_largest() {
        assert_eq!(Sampler::new(0.0, 1.0, 1).sample(&[1.0, 3.0, 3.0, 2.0]), 1);
    }

    #[test]
    fn numbers_that_are_none_do_not_count() {
        for temperature in [0.0, 1.0, f32::NAN] {
            let mut sampler = Sampler::new(temperature, 0.9, 7);
            assert_eq!(sampler.sample(&[f32::NAN, f32::NEG_INFINITY, -5.0, f32::NAN]), 2);
            assert_eq!(sampler.sample(&[f32::NAN; 4]), 0);
            assert_eq!(sampler.sample(&[f32::NEG_INFINITY; 4]), 0);
            assert_eq!(sampler.sample(&[1.0, f32::INFINITY, 2.0]), 1);
        }
    }

    #[test]
    fn draws_follow_the_probabilities() {
        let logits = [1f32.ln(), 2f32.ln(), f32::NEG_INFINITY, 5f32.ln()];
        let counts = counts(Sampler::new(1.0, 1.0, 3), &logits, 80_000);
        for (count, expect) in counts.into_iter().zip([10_000i64, 20_000, 0, 50_000]) {
            assert!((count as i64 - expect).abs() < 600, "{count} is not {expect}");
        }
    }

    #[test]
    fn the_nucleus_leaves_the_tail_out() {
        let logits = [1f32.ln(), 2f32.ln(), 3f32.ln(), 4f32.ln()];
        let drawn =
            |top_p| counts(Sampler::new(1.0, top_p, 3), &logits, 4_000).iter().map(|count| *count > 0).collect();
        let expect = |expect: [bool; 4], got: Vec<bool>| assert_eq!(got, expect);
        expect([false, false, false, true], drawn(0.0));
        expect([false, false, true, true], drawn(0.6));
        expect([false, true, true, true], drawn(0.85));
        expect([true; 4], drawn(1.0));
    }

    proptest! {
        #[test]
        fn the_nucleus_is_the_shortest_head(weights in prop::collection::vec(0.0..1.0f64, 1..700), share in 0.0..1.0f64) {
            let total: f64 = weights.iter().sum();
            let mut sorted: Vec<usize> = (0..weights.len()).collect();
            sorted.sort_by(|a, b| weights[*b].total_cmp(&weights[*a]).then(a.cmp(b)));
            let mut sum = 0.0;
            let length = sorted.iter().position(|id| { sum += weights[*id]; sum >= share * total });
            sorted.truncate(length.map_or(sorted.len(), |last| last + 1));
            prop_assert_eq!(nucleus(&weights, share * total), sorted);
        }

        #[test]
        fn a_seed_is_a_text(seed: u64, temperature in 0.0..3.0f32, top_p in 0.0..1.1f32) {
            let logits: Vec<f32> = (0..300).map(|i| ((i * 37) % 101) as f32 / 20.0).collect();
            let text = |mut sampler: Sampler| (0..20).map(|_| sampler.sample(&logits)).collect::<Vec<_>>();
            let sampler = Sampler::new(temperature, top_p, seed);
            prop_assert_eq!(text(sampler.clone()), text(sampler));
        }
    }
}
