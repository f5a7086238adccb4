//! What an operator sees of an engine: figures of now, and one event for each generation that ended.
//!
//! | what | how | by |
//! | --- | --- | --- |
//! | [`ModelFigures`] | read at any moment, without waiting for the thread | [`LocalEngine::figures`](super::LocalEngine::figures) |
//! | a generation's way | a `tracing` event at its end, with the target [`GENERATIONS`] | whoever subscribes |
//!
//! Counters only rise, so that a rate is the difference of two looks over the time between them.

use super::{sequence::Sequence, worker::Worker};
use crate::{LoadError, engine::compute::Compute};
use remit_batching::{Report, Totals};
use remit_kernel::ports::{EngineError, EngineFinish};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Target of the events of generations, at the level `debug`: there is one for each call of each agent.
pub const GENERATIONS: &str = "remit::generation";

/// What a model's batcher did and does; its adapters' generations count as its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFigures {
    /// As the registry calls it.
    pub model: Arc<str>,
    /// Since the engine was opened.
    pub totals: Totals,
    /// Bytes of blocks that were swapped out of the device and not yet read again.
    pub swapped_bytes: u64,
    /// How often what computes was built again after a crash.
    pub rebuilds: u64,
}

/// What the thread wrote down last, for each base.
#[derive(Debug, Default)]
pub(super) struct Board(Mutex<Vec<(Totals, u64)>>);

impl Board {
    pub(super) fn read(&self) -> Vec<(Totals, u64)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn write(&self, figures: impl Iterator<Item = (Totals, u64)>) {
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
        let figures =
            self.batchers.iter().enumerate().map(|(base, batcher)| (batcher.totals(), self.slots[base].bytes()));
        self.shared.board.write(figures);
    }
}

impl Sequence {
    /// Tells of a generation that ended.
    pub(super) fn tell_of(&self, report: &Report, end: &End) {
        let Report { queued, prefill, decode, cached, computed, recomputed, drawn, proposed, accepted, preemptions } =
            report;
        let ms = |time: &Duration| time.as_secs_f64() * 1_000.0;
        tracing::debug!(
            target: GENERATIONS,
            model = &*self.job().model,
            tenant = self.job().tenant.0,
            program = self.job().program,
            finish = ?end,
            queued_ms = ms(queued),
            prefill_ms = ms(prefill),
            decode_ms = ms(decode),
            cached,
            computed,
            recomputed,
            drawn,
            proposed,
            accepted,
            preemptions,
            "a generation ended"
        );
    }
}
