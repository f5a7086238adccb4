//! The rotary embedding's angles, and the ways in which models stretch them over longer texts.
//!
//! A pair of numbers is turned by its position times a step, and the steps fall geometrically from pair to pair: `base`
//! to the power of `-2 · pair / width` (Su et al. 2021, "RoFormer"). A scaling makes steps smaller:
//!
//! | scaling | what it does | source |
//! | --- | --- | --- |
//! | linear | divides all steps alike | Chen et al. 2023, "Extending Context Window of Large Language Models via Positional Interpolation" |
//! | divisors | divides each step by a number of its own | GGUF files of llama 3 carry them, computed when the file was made |
//! | llama 3 | keeps fast pairs, divides slow ones, blends between | Llama Team 2024, "The Llama 3 Herd of Models", and its published code |
//! | yarn | the same with another blend, and larger turns' magnitude | Peng et al. 2023, "YaRN" |
//! | long | divisors found by search: one set for short texts, one for long | Ding et al. 2024, "LongRoPE" |
//!
//! Everything is computed in f64 and once a model; a position's angle too, since its f32 product loses digits in long
//! texts.

use super::Span;
use std::f64::consts::{PI, TAU};

/// One rotary embedding.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// Of the steps.
    pub base: f64,
    /// How they are stretched.
    pub scaling: Scaling,
}

/// How a rotary embedding is stretched. Factors above one make steps smaller.
#[derive(Clone, Debug, PartialEq)]
pub enum Scaling {
    /// Not at all.
    None,
    /// All steps alike.
    Linear {
        /// What they are divided by.
        factor: f64,
    },
    /// Each step by its own.
    Divisors(Vec<f32>),
    /// By how often a pair turns within the context that the model was first trained for.
    Llama3 {
        /// What the slow pairs' steps are divided by.
        factor: f64,
        /// Pairs that turn less often are slow.
        slow: f64,
        /// Pairs that turn more often are fast.
        fast: f64,
        /// That context.
        original: usize,
    },
    /// The same along the pairs' index.
    Yarn {
        /// What the slow pairs' steps are divided by.
        factor: f64,
        /// Pairs that turn less often are slow.
        slow: f64,
        /// Pairs that turn more often are fast.
        fast: f64,
        /// That context.
        original: usize,
        /// What turned numbers are multiplied with.
        magnitude: f64,
    },
    /// One of two sets of divisors, by whether a sequence may outgrow the original context.
    Long {
        /// For those that do not.
        short: Vec<f32>,
        /// For those that may.
        long: Vec<f32>,
        /// That context.
        original: usize,
        /// What turned numbers are multiplied with.
        magnitude: f64,
    },
}

impl Rope {
    /// One that is not stretched.
    #[must_use]
    pub fn plain(base: f64) -> Self {
        Self { base, scaling: Scaling::None }
    }

    /// Whether its numbers can be computed with, for heads of which `width` is turned. The reason, where not.
    pub(super) fn check(&self, width: usize) -> Result<(), String> {
        let number = |what: &str, value: f64, least: f64| match value.is_finite() && value >= least {
            true => Ok(()),
            false => Err(format!("the rotary {what} is {value}")),
        };
        let blend = |factor: f64, slow: f64, fast: f64, original: usize| {
            number("scaling's factor", factor, 1.0)?;
            number("scaling's slow limit", slow, f64::MIN_POSITIVE)?;
            number("scaling's fast limit", fast, f64::MIN_POSITIVE)?;
            match (fast > slow, original) {
                (false, _) => Err(format!("the rotary scaling's limits are {slow} and {fast}")),
                (true, 0) => Err("the rotary scaling's original context is 0".to_owned()),
                (true, _) => Ok(()),
            }
        };
        let divisors = |divisors: &[f32]| match divisors.iter().find(|value| !(value.is_finite() && **value > 0.0)) {
            Some(value) => Err(format!("a rotary divisor is {value}")),
            None if divisors.len() != width / 2 => {
                Err(format!("{} rotary divisors for {} pairs", divisors.len(), width / 2))
            }
            None => Ok(()),
        };
        // Above one: the logarithm of the base divides.
        number("base", self.base, 1.0 + 1e-6)?;
        match &self.scaling {
            Scaling::None => Ok(()),
            // Below one is nobody's, and zero would divide by it.
            Scaling::Linear { factor } => number("scaling's factor", *factor, 1.0),
            Scaling::Divisors(values) => divisors(values),
            Scaling::Llama3 { factor, slow, fast, original } => blend(*factor, *slow, *fast, *original),
            Scaling::Yarn { factor, slow, fast, original, magnitude } => {
                number("scaling's magnitude", *magnitude, f64::MIN_POSITIVE)?;
                blend(*factor, *slow, *fast, *original)
            }
            Scaling::Long { short, long, original, magnitude } => {
                number("scaling's magnitude", *magnitude, f64::MIN_POSITIVE)?;
                divisors(short)?;
                divisors(long)?;
                if *original == 0 { Err("the rotary scaling's original context is 0".to_owned()) } else { Ok(()) }
            }
        }
    }

    /// What turned numbers are multiplied with.
    pub(super) fn magnitude(&self) -> f64 {
        match self.scaling {
            Scaling::Yarn { magnitude, .. } | Scaling::Long { magnitude, .. } => magnitude,
            Scaling::None | Scaling::Linear { .. } | Scaling::Divisors(_) | Scaling::Llama3 { .. } => 1.0,
        }
    }

    /// Sequences with more room than this have steps of their own.
    pub(super) fn long_from(&self) -> Option<usize> {
        match self.scaling {
            Scaling::Long { original, .. } => Some(original),
            _ => None,
        }
    }

    /// Whether a sequence with room for so many tokens is one of those.
    pub(super) fn is_long(&self, room: usize) -> bool {
        self.long_from().is_some_and(|original| room > original)
    }

    /// The angle from one position to the next, of each pair.
    pub(super) fn steps(&self, width: usize, is_long: bool) -> Vec<f64> {
        let pairs = width / 2;
        let plain = (0..pairs).map(|pair| self.base.powf(-2.0 * pair as f64 / width as f64));
        let divided = |divisors: &[f32]| plain.clone().zip(divisors).map(|(step, by)| step / f64::from(*by)).collect();
        match &self.scaling {
            Scaling::None => plain.collect(),
            Scaling::Linear { factor } => plain.map(|step| step / factor).collect(),
            Scaling::Divisors(divisors) => divided(divisors),
            Scaling::Llama3 { factor, slow, fast, original } => {
                let blend = |step: f64| {
                    let turns = *original as f64 * step / TAU;
                    let kept = ((turns - slow) / (fast - slow)).clamp(0.0, 1.0);
                    (1.0 - kept) * step / factor + kept * step
                };
                plain.map(blend).collect()
            }
            Scaling::Yarn { factor, slow, fast, original, .. } => {
                // The pair that turns so often within the original context.
                let pair =
                    |turns: f64| width as f64 * (*original as f64 / (turns * 2.0 * PI)).ln() / (2.0 * self.base.ln());
                let first = pair(*fast).floor().max(0.0);
                let last = pair(*slow).ceil().min((width - 1) as f64);
                let span = if first == last { 0.001 } else { last - first };
                let blend = |(index, step): (usize, f64)| {
                    let divided = ((index as f64 - first) / span).clamp(0.0, 1.0);
                    divided * step / factor + (1.0 - divided) * step
                };
                plain.enumerate().map(blend).collect()
            }
            Scaling::Long { short, long, .. } => divided(if is_long { long } else { short }),
        }
    }
}

/// A rotary embedding's angles, ready for the positions of steps. What a model turns differently in long texts goes by how many
/// tokens a sequence may come to, not by its length so far: keys that are written are not turned again.
#[derive(Debug)]
pub(super) struct Turns {
    short: Vec<f64>,
    /// For sequences that may come to more tokens than this.
    long: Option<(usize, Vec<f64>)>,
    magnitude: f64,
}

impl Turns {
    /// For heads of which `width` numbers are turned.
    pub(super) fn new(rope: &Rope, width: usize) -> Self {
        Self {
            short: rope.steps(width, false),
            long: rope.long_from().map(|tokens| (tokens, rope.steps(width, true))),
            magnitude: rope.magnitude(),
        }
    }

    /// Pairs of a head.
    pub(super) fn pairs(&self) -> usize {
        self.short.len()
    }

    /// Sine and cosine of each pair at each new position of these spans, `[row][pair]`.
    pub(super) fn of(&self, spans: &[Span<'_>]) -> Vec<(f32, f32)> {
        let rows: usize = spans.iter().map(|span| span.tokens.len()).sum();
        let mut turns = Vec::with_capacity(rows * self.pairs());
        for span in spans {
            let steps = match &self.long {
                Some((tokens, long)) if span.room > *tokens => long,
                _ => &self.short,
            };
            let positions = span.known..span.known + span.tokens.len();
            let angles = positions.flat_map(|position| steps.iter().map(move |step| position as f64 * step));
            turns.extend(angles.map(|angle| {
                let (sin, cos) = angle.sin_cos();
                ((sin * self.magnitude) as f32, (cos * self.magnitude) as f32)
            }));
        }
        turns
    }
}
