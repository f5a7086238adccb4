//! How long a step takes, learnt from the steps that were measured.
//!
//! > time = fixed + prefill rows × *p* + decode rows × *d* + key/value tokens read × *k*
//!
//! The fixed part is mostly the reading of the weights, which all rows of a step share. Learning is a Kaczmarz step on the
//! logarithm (each coefficient moves by its share of the prediction):
//!
//! > ln θᵢ += η × sᵢ ÷ Σ sⱼ² × clamp(ln(measured ÷ predicted), ±ln 2), where sᵢ = θᵢ xᵢ ÷ predicted
//!
//! - Coefficients stay positive, so a prediction always rises with rows.
//! - sᵢ ÷ Σ sⱼ² is at most 1.5 for four parts: one measurement, however wrong, changes a coefficient by at most 2^(1.5 η), 11 %.
//! - Coefficients stay within [`RANGE`] of the guess, so that the model comes back from any history.

use std::time::Duration;

/// η: a tenth. Some tens of steps find a new speed, and one stalled step is hardly seen.
const RATE: f64 = 0.1;
/// A measurement counts as at most so many times the prediction, and as at least one of so many parts of it.
const OUTLIER: f64 = 2.0;
/// How far a coefficient may go from the guess, each way. A thousand: from a GPU to one slow core.
const RANGE: f64 = 1_000.0;

/// What a step computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Tokens of prompts.
    pub prefill: usize,
    /// Tokens of output, with those that were proposed.
    pub decode: usize,
    /// Tokens whose keys and values the rows read, summed over the rows.
    pub read: usize,
}

impl Load {
    /// What computing tokens behind the first `begin` of a sequence reads: each reads those before it, and itself.
    #[must_use]
    pub fn span(begin: usize, tokens: usize, is_prefill: bool) -> Self {
        let read = tokens * begin + tokens * (tokens + 1) / 2;
        if is_prefill { Self { prefill: tokens, decode: 0, read } } else { Self { prefill: 0, decode: tokens, read } }
    }

    /// Rows of the step.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.prefill + self.decode
    }
}

impl std::ops::Add for Load {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { prefill: self.prefill + other.prefill, decode: self.decode + other.decode, read: self.read + other.read }
    }
}

/// The learnt model.
#[derive(Clone, Debug)]
pub struct Speed {
    /// Seconds: fixed, a prefill row, a decode row, a token read.
    parts: [f64; 4],
    guess: [f64; 4],
}

impl Default for Speed {
    /// A guess for 135 million weights of 4 bits on two cores.
    fn default() -> Self {
        let micros = Duration::from_micros;
        Self::new(micros(4_000), micros(800), micros(1_000), Duration::from_nanos(400))
    }
}

impl Speed {
    /// With a guess of each part: of a step, of a prefill row, of a decode row, and of a token that is read.
    #[must_use]
    pub fn new(fixed: Duration, prefill: Duration, decode: Duration, read: Duration) -> Self {
        // None is nothing: what is nothing cannot grow.
        let guess = [fixed, prefill, decode, read].map(|part| part.as_secs_f64().max(1e-10));
        Self { parts: guess, guess }
    }

    fn shares(&self, load: Load) -> [f64; 4] {
        let [fixed, prefill, decode, read] = self.parts;
        [fixed, prefill * load.prefill as f64, decode * load.decode as f64, read * load.read as f64]
    }

    /// Seconds that a step takes.
    #[must_use]
    pub fn step(&self, load: Load) -> f64 {
        self.shares(load).iter().sum()
    }

    /// Seconds that a load adds to a step that is computed anyway.
    #[must_use]
    pub fn added(&self, load: Load) -> f64 {
        self.shares(load)[1..].iter().sum()
    }

    /// How many prefill rows behind the first `begin` tokens fit into so many seconds of a step that is computed anyway.
    #[must_use]
    pub fn rows_within(&self, begin: usize, seconds: f64) -> usize {
        let seconds = seconds.max(0.0);
        // prefill × n + read × (n × begin + n² ÷ 2) = seconds
        let [_, prefill, _, read] = self.parts;
        let linear = prefill + read * (begin as f64 + 0.5);
        let rows = 2.0 * seconds / (linear + (linear * linear + 2.0 * read * seconds).sqrt());
        rows as usize
    }

    /// Seconds in which one token's keys and values were computed, or would be again, at a place of a sequence.
    #[must_use]
    pub fn token(&self, place: usize) -> f64 {
        self.parts[1] + self.parts[3] * (place + 1) as f64
    }

    /// A step was measured.
    pub fn learn(&mut self, load: Load, took: Duration) {
        let shares = self.shares(load);
        let predicted: f64 = shares.iter().sum();
        let ratio = (took.as_secs_f64() / predicted).clamp(1.0 / OUTLIER, OUTLIER);
        let squares: f64 = shares.iter().map(|share| share * share).sum();
        let step = RATE * ratio.ln() * predicted / squares;
        for ((part, share), guess) in self.parts.iter_mut().zip(shares).zip(self.guess) {
            *part = (*part * (step * share).exp()).clamp(guess / RANGE, guess * RANGE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn load(prefill: usize, decode: usize, read: usize) -> Load {
        Load { prefill, decode, read }
    }

    #[test]
    fn it_learns_another_machine() {
        let micros = Duration::from_micros;
        let truth = Speed::new(micros(900), micros(60), micros(300), Duration::from_nanos(30));
        let mut speed = Speed::default();
        let loads =
            [load(0, 1, 700), load(0, 16, 9_000), load(512, 0, 131_328), load(16, 8, 12_000), load(0, 64, 40_000)];
        for _ in 0..300 {
            loads.iter().for_each(|load| speed.learn(*load, Duration::from_secs_f64(truth.step(*load))));
        }
        for load in loads {
            let (got, truth) = (speed.step(load), truth.step(load));
            assert!((got / truth - 1.0).abs() < 0.05, "{load:?}: {got} for {truth}");
        }
    }

    #[test]
    fn rows_within_a_time_are_as_many_as_fit() {
        let speed = Speed::default();
        for (begin, seconds) in [(0, 0.01), (600, 0.01), (30_000, 0.5), (0, 0.0), (5, 1e-6)] {
            let rows = speed.rows_within(begin, seconds);
            let added = |rows| speed.added(Load::span(begin, rows, true));
            assert!(added(rows) <= seconds + 1e-9 && added(rows + 1) > seconds - 1e-9, "{rows} at {begin}");
        }
    }

    proptest! {
        #[test]
        fn one_outlier_changes_little(prefill in 0..512usize, decode in 0..64usize, read in 0..100_000usize, nanos: u64) {
            let (before, mut speed) = (Speed::default(), Speed::default());
            speed.learn(load(prefill, decode, read), Duration::from_nanos(nanos));
            for (part, before) in speed.parts.iter().zip(before.parts) {
                prop_assert!((part / before).ln().abs() <= 0.11, "{} was {}", part, before);
            }
        }

        #[test]
        fn whatever_is_measured_more_rows_take_longer(
            steps in proptest::collection::vec((0..512usize, 0..64usize, 0..100_000usize, any::<u64>()), 0..200),
        ) {
            let mut speed = Speed::default();
            for (prefill, decode, read, nanos) in steps {
                speed.learn(load(prefill, decode, read), Duration::from_nanos(nanos));
            }
            prop_assert!(speed.parts.iter().all(|part| part.is_finite() && *part > 0.0));
            prop_assert!(speed.step(load(2, 0, 0)) > speed.step(load(1, 0, 0)));
            prop_assert!(speed.step(load(0, 2, 0)) > speed.step(load(0, 1, 0)));
        }
    }
}
