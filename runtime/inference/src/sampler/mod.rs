//! Which token comes next.
//!
//! | step | what it does | source |
//! | --- | --- | --- |
//! | mask | forbids what the answer's format does not allow | [`remit_grammar`] |
//! | bias | adds to the logits of named tokens, or forbids them | `logit_bias` in OpenAI's API |
//! | penalties | lower the logits of tokens that were there | Keskar et al. 2019; OpenAI's API |
//! | temperature | 0: the likeliest token, and that is all; otherwise divides the logits | |
//! | top-k | keeps the likeliest tokens, so many | Fan et al. 2018, "Hierarchical Neural Story Generation" |
//! | typical | keeps the tokens that are about as surprising as the distribution | Meister et al. 2022 |
//! | top-p | keeps the likeliest tokens that together have this probability | Holtzman et al. 2020 |
//! | min-p | keeps the tokens that are this many times as likely as the likeliest | Nguyen et al. 2024 |
//! | draw | one number of the seed's sequence picks among what is kept | |
//!
//! The order of the filters is llama.cpp's, which takes the cheapest first. Temperature stands before them, as in Hugging
//! Face's `transformers`: the papers take shares of the distribution that is drawn from. (llama.cpp puts it last, so that
//! its filters see the same tokens whatever the temperature.)
//!
//! Principles:
//!
//! - Pure: logits, parameters, the tokens so far and the index of the draw decide; the same seed gives the same text,
//!   whoever else is computed beside it.
//! - Logits that are not numbers count as minus infinity. Where no logit is finite, the lowest id is chosen: a damaged
//!   model talks nonsense, it does not panic. So it is where every token is forbidden.
//! - Of equal logits the lower id comes first.
//! - The greedy path allocates nothing; what the others need is in a [`Scratch`] that all sequences share.
//!
//! How likely the model held a token is told by a [`Distribution`], of the logits as they come from the model.

mod filter;
mod logprob;
mod penalty;
mod random;

pub use logprob::Distribution;
pub use random::SplitMix64;

use filter::Candidate;
use remit_abi::{Params, Penalties, Sampling};
use remit_grammar::Mask;

/// How a sequence draws its tokens.
#[derive(Clone, Debug)]
pub struct Sampler {
    sampling: Sampling,
    penalties: Option<Penalties>,
    bias: Vec<(u32, f32)>,
}

/// Memory that draws use again.
#[derive(Debug, Default)]
pub struct Scratch {
    logits: Vec<f32>,
    seen: Vec<u32>,
    candidates: Vec<Candidate>,
}

impl Sampler {
    /// Takes the parameters as they are where they are in the ranges that the kernel checks. Otherwise a temperature that is
    /// not a positive number means greedy, shares are brought into [0, 1], and penalties that are no numbers are off.
    #[must_use]
    pub fn new(params: &Params) -> Self {
        let Sampling { temperature, top_k, typical_p, top_p, min_p, seed } = params.sampling;
        let share = |value: f32| if value.is_nan() { 0.0 } else { value.clamp(0.0, 1.0) };
        let finite = |value: f32, otherwise: f32| if value.is_finite() { value } else { otherwise };
        let Penalties { repetition, frequency, presence, window } = params.penalties;
        let repetition = if repetition > 0.0 { finite(repetition, 1.0) } else { 1.0 };
        let penalties =
            Penalties { repetition, frequency: finite(frequency, 0.0), presence: finite(presence, 0.0), window };
        Self {
            sampling: Sampling {
                temperature: finite(temperature, 0.0).max(0.0),
                top_k,
                typical_p: share(typical_p),
                top_p: share(top_p),
                min_p: share(min_p),
                seed,
            },
            penalties: (!penalties.are_off()).then_some(penalties),
            bias: params.logit_bias.clone(),
        }
    }

    /// Whether it always takes the first of the likeliest tokens, so that logits need not be seen.
    #[must_use]
    pub fn is_greedy(&self) -> bool {
        self.sampling.temperature == 0.0 && self.penalties.is_none() && self.bias.is_empty()
    }

    /// The token that follows `tokens`, which are prompt and output so far, as draw number `draw` of the generation.
    #[must_use]
    pub fn sample(&self, logits: &[f32], tokens: &[u32], draw: u64, scratch: &mut Scratch) -> u32 {
        self.pick(self.narrow(logits, None, tokens, scratch), draw)
    }

    /// The same among the tokens of a mask. Where the bias forbids all of them, it is none of them.
    #[must_use]
    pub fn sample_among(&self, mask: &Mask, logits: &[f32], tokens: &[u32], draw: u64, scratch: &mut Scratch) -> u32 {
        self.pick(self.narrow(logits, Some(mask), tokens, scratch), draw)
    }

    fn pick(&self, narrowed: Narrowed<'_>, draw: u64) -> u32 {
        match narrowed {
            Narrowed::To(token) => token,
            Narrowed::Among(candidates) => pick(candidates, SplitMix64::after(self.sampling.seed, draw).next_unit()),
        }
    }

    /// All steps but the draw.
    fn narrow<'a>(
        &self,
        logits: &[f32],
        mask: Option<&Mask>,
        tokens: &[u32],
        scratch: &'a mut Scratch,
    ) -> Narrowed<'a> {
        let Scratch { logits: changed, seen, candidates } = scratch;
        let logits = self.change((logits, mask), tokens, changed, seen);
        let best = argmax(logits);
        let top = logits.get(best as usize).copied().map_or(f32::NEG_INFINITY, number);
        if self.sampling.temperature == 0.0 || !top.is_finite() {
            return Narrowed::To(best);
        }
        filter::fill(candidates, logits, top, self.sampling.temperature);
        if self.sampling.top_k > 0 {
            filter::top_k(candidates, self.sampling.top_k as usize);
        }
        if self.sampling.typical_p < 1.0 {
            filter::typical(candidates, f64::from(self.sampling.typical_p));
        }
        if self.sampling.top_p < 1.0 {
            filter::top_p(candidates, f64::from(self.sampling.top_p));
        }
        if self.sampling.min_p > 0.0 {
            filter::min_p(candidates, f64::from(self.sampling.min_p));
        }
        Narrowed::Among(candidates)
    }

    /// The logits with mask, bias and penalties; the same ones where there are none.
    fn change<'a>(
        &self,
        (logits, mask): (&'a [f32], Option<&Mask>),
        tokens: &[u32],
        changed: &'a mut Vec<f32>,
        seen: &mut Vec<u32>,
    ) -> &'a [f32] {
        if mask.is_none() && self.bias.is_empty() && self.penalties.is_none() {
            return logits;
        }
        changed.clear();
        changed.extend_from_slice(logits);
        if let Some(mask) = mask {
            mask.apply(changed);
        }
        penalty::add_bias(changed, &self.bias);
        if let Some(penalties) = &self.penalties {
            penalty::penalize(changed, tokens, penalties, seen);
        }
        changed
    }
}

/// What is left to draw from.
#[derive(Clone, Copy, Debug)]
enum Narrowed<'a> {
    /// One token, and nothing to draw.
    To(u32),
    /// At least one.
    Among(&'a [Candidate]),
}

/// The first candidate at which the running sum of probabilities exceeds `chance`; the last one, where rounding lets none.
fn pick(candidates: &[Candidate], chance: f64) -> u32 {
    let target = chance * filter::total(candidates);
    let mut sum = 0.0;
    let exceeds = candidates.iter().find(|candidate| {
        sum += candidate.weight;
        sum > target
    });
    exceeds.or(candidates.last()).map_or(0, |candidate| candidate.id)
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
mod tests;
