//! What an operator sees of an engine: figures of now, distributions of what was measured, and a span for each generation.
//!
//! | what | how | by |
//! | --- | --- | --- |
//! | [`ModelFigures`] | read at any moment, without waiting for the thread | [`LocalEngine::figures`](super::LocalEngine::figures) |
//! | [`Measures`] | a part of these: tokens, ends, and how long things took | the engine's thread, which writes them down once a round |
//! | a generation's course | `tracing` spans with the target [`GENERATIONS`] | whoever subscribes |
//!
//! Principles:
//!
//! - The thread counts in memory of its own, and copies what it counted once a round: nobody who looks holds a step up for longer
//!   than that copy takes.
//! - Counters only rise, so that a rate is the difference of two looks over the time between them.
//! - No text, and nothing that a text could be made of, is in a figure or a span.
//!
//! A generation's spans are named and filled as OpenTelemetry's conventions for generative AI say
//! (<https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/>), as far as they have a name for it:
//!
//! | span | lasts | fields |
//! | --- | --- | --- |
//! | `generation`, a child of the span that its caller was in | from the call to the last event | `gen_ai.operation.name`, `gen_ai.provider.name`, `gen_ai.request.model`, `gen_ai.request.max_tokens`, `gen_ai.request.temperature`, `gen_ai.request.seed`; at its end `gen_ai.usage.input_tokens` (those at hand included), `gen_ai.usage.cache_read.input_tokens`, `gen_ai.usage.output_tokens`, and `gen_ai.response.finish_reasons` or `error.type`; beside these `remit.tenant`, `remit.program`, and at its end `remit.preemptions`, `remit.recomputed_tokens`, `remit.proposed_tokens`, `remit.accepted_tokens` |
//! | `queue`, in it | until it is computed for the first time | |
//! | `prefill`, in it | until its first token is drawn | |
//! | `decode`, in it | until its end | |
//!
//! `otel.name`, `otel.kind` and `otel.status_code` are what the crate `tracing-opentelemetry` reads.

mod course;
mod histogram;
mod measures;

pub(super) use course::Course;
pub use histogram::Histogram;
pub use measures::{Ends, Measures};

use super::worker::Worker;
use crate::{LoadError, engine::compute::Compute};
use remit_batching::Totals;
use remit_kernel::ports::{EngineError, EngineFinish};
use std::sync::{Arc, Mutex, PoisonError};

/// Target of the spans of generations, at the level `debug`: there is one for each call of each agent.
pub const GENERATIONS: &str = "remit::generation";

/// What a model's batcher did and does; its adapters' generations count as its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFigures {
    /// As the registry calls it.
    pub model: Arc<str>,
    /// Since the engine was opened.
    pub totals: Totals,
    /// What was measured since then.
    pub measures: Measures,
    /// Bytes of blocks that were swapped out of the device and not yet read again.
    pub swapped_bytes: u64,
    /// How often what computes was built again after a crash.
    pub rebuilds: u64,
}

/// What the thread wrote down of a base.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Noted {
    pub(super) totals: Totals,
    pub(super) measures: Measures,
    pub(super) swapped_bytes: u64,
}

/// What the thread wrote down last, for each base.
#[derive(Debug, Default)]
pub(super) struct Board(Mutex<Vec<Noted>>);

impl Board {
    pub(super) fn read(&self) -> Vec<Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn write(&self, figures: impl Iterator<Item = Noted>) {
        let mut board = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        board.clear();
        board.extend(figures);
    }
}

/// How a generation ended.
pub(super) type End = Result<EngineFinish, EngineError>;

impl<C: Compute, M: FnMut() -> Result<C, LoadError>> Worker<C, M> {
    /// Writes down how things stand.
    pub(super) fn note_figures(&self) {
        let bases = self.batchers.iter().zip(&self.measures).zip(&self.slots);
        self.shared.board.write(bases.map(|((batcher, measures), slots)| Noted {
            totals: batcher.totals(),
            measures: *measures,
            swapped_bytes: slots.bytes(),
        }));
    }
}
