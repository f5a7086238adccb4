//! What a round computes: the steps that the schedule planned, and what is drawn from their logits.

use super::{
    compute::{Compute, Work},
    faults::panic_text,
    schedule::Step,
    worker::{Active, Worker},
};
use crate::{LoadError, sampler::Scratch};
use remit_kernel::ports::EngineError;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A sequence's part in a step.
struct Computed {
    place: usize,
    begin: usize,
    tokens: usize,
    is_drawing: bool,
}

/// What a step gives those who draw, one behind the other.
enum Drawn {
    Tokens(Vec<u32>),
    Logits(Vec<f32>),
}

impl Drawn {
    fn is_empty(&self) -> bool {
        match self {
            Self::Tokens(tokens) => tokens.is_empty(),
            Self::Logits(logits) => logits.is_empty(),
        }
    }
}

impl<C: Compute, M: FnMut() -> Result<C, LoadError>> Worker<C, M> {
    /// Computes a step. May panic: `under_way` then has everybody who may be the reason.
    pub(super) fn compute(&mut self, step: &Step) {
        if step.padding > 0 && self.compute_padded(step) {
            return;
        }
        let Some(compute) = &self.compute else { return };
        let mut work = Vec::new();
        let mut computed = Vec::new();
        // While none that draws needs more; sequences of one base have one tokenizer.
        let mut greedy = Some(usize::MAX);
        for (place, active) in self.active.iter_mut().enumerate() {
            let Some((_, tokens)) = step.spans.iter().find(|(span_place, _)| *span_place == place) else { continue };
            let begin = C::length(&active.cache);
            let known = active.sequence.tokens();
            let is_drawing = begin + tokens == known.len();
            if known.len() - begin > 1 {
                self.last_chunk = active.sequence.id;
            }
            self.under_way.push((active.sequence.id, begin + tokens));
            if is_drawing {
                greedy = greedy.and_then(|_| active.sequence.greedy_among());
            }
            computed.push(Computed { place, begin, tokens: *tokens, is_drawing });
            let tokens = &known[begin..begin + tokens];
            work.push(Work { tokens, cache: &mut active.cache, wants_logits: is_drawing });
        }
        assert!(!std::mem::take(&mut self.is_drill), "this is a drill");
        let greedy = greedy.filter(|_| computed.iter().any(|computed| computed.is_drawing));
        let tokens = greedy.and_then(|among| compute.forward_greedy(step.base, &mut work, among));
        let drawn = match tokens {
            Some(tokens) => Drawn::Tokens(tokens),
            None => Drawn::Logits(compute.forward(step.base, &mut work)),
        };
        // Where something came back, all before it was computed too.
        if !compute.is_deferred() || !drawn.is_empty() {
            self.under_way.clear();
        }
        self.advance(&computed, &drawn);
    }

    /// Computes a step with padding, on a wider copy of its one cache; whether it was done.
    fn compute_padded(&mut self, step: &Step) -> bool {
        let (Some(compute), &[(place, tokens)]) = (&self.compute, step.spans.as_slice()) else { return false };
        let Active { sequence, cache, room, .. } = &mut self.active[place];
        let begin = C::length(cache);
        let end = begin + tokens;
        self.under_way.push((sequence.id, end));
        self.last_chunk = sequence.id;
        let mut wide = compute.prefix(step.base, cache, begin, end + step.padding);
        if C::length(&wide) != begin {
            // With so much room the model would turn its keys differently: the other sequence was not like this one either.
            self.under_way.pop();
            return false;
        }
        let mut padded = sequence.tokens()[begin..end].to_vec();
        padded.resize(tokens + step.padding, 0);
        let work = Work { tokens: &padded, cache: &mut wide, wants_logits: false };
        drop(compute.forward(step.base, &mut [work]));
        *cache = compute.prefix(step.base, &wide, end, *room);
        if !compute.is_deferred() {
            self.under_way.clear();
        }
        sequence.count_computed(begin, tokens);
        true
    }

    /// Waits until all steps are computed, so that the next crash is known to be the next step's.
    pub(super) fn settle(&mut self) {
        if let Some(compute) = &self.compute {
            compute.settle();
            self.under_way.clear();
        }
    }

    /// Counts what was computed, and draws for those that asked for it.
    fn advance(&mut self, computed: &[Computed], drawn: &Drawn) {
        let drawing = computed.iter().filter(|computed| computed.is_drawing).count();
        let mut index = 0;
        for Computed { place, begin, tokens, is_drawing } in computed {
            let Active { sequence, finish, .. } = &mut self.active[*place];
            sequence.count_computed(*begin, *tokens);
            if !is_drawing {
                continue;
            }
            // What computes is whole: a token that cannot be drawn is no matter of the others.
            let drawn = catch_unwind(AssertUnwindSafe(|| match drawn {
                Drawn::Tokens(tokens) => sequence.take(tokens[index]),
                Drawn::Logits(logits) => {
                    let each = logits.len() / drawing;
                    sequence.advance(&logits[index * each..][..each], &mut self.scratch)
                }
            }));
            index += 1;
            *finish = match drawn {
                Ok(finish) => finish.map(Ok),
                Err(panic) => {
                    self.scratch = Scratch::default();
                    let why = panic_text(&*panic);
                    tracing::error!(why, "drawing a token failed");
                    Some(Err(EngineError::Failed(
                        format!("its next token could not be drawn ({why}); report this").into(),
                    )))
                }
            };
        }
    }
}
