//! After a crash: everything that computes is thrown away and built again, and the sequences go on from their tokens.
//!
//! | what | becomes of it |
//! | --- | --- |
//! | weights, keys and values, also those that were kept | dropped, and read or computed again |
//! | sequences | go on from their tokens when it is their turn again; what they sent stays sent |
//! | who was in the step | is under suspicion, or given up (see `faults`) |
//! | tokens that are computed again | are not counted again |
//!
//! On the CPU a sequence comes to the same bits however it is computed, so that its text goes on as if nothing had happened.
//! Before it serves, what was built computes one token of each model: where that crashes too, no
//! sequence is the reason, and after some attempts the engine stops.

use super::{
    compute::Compute,
    faults::{ATTEMPTS_MAX, RETRY_PAUSE, panic_text},
    worker::{Message, Worker},
};
use crate::LoadError;
use remit_kernel::ports::EngineError;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

impl<C: Compute, M: FnMut() -> Result<C, LoadError>> Worker<C, M> {
    /// Goes on after a panic in a round; the error is why that is not possible.
    pub(super) fn recover(&mut self, why: &str, incoming: &Receiver<Message>) -> Result<(), String> {
        let begin = Instant::now();
        self.blame();
        let active = self.demand().active;
        tracing::warn!(models = %self.shared.names, why, active, "computing crashed; it is built again");
        self.give_up_guilty(why);
        self.drop_weights();
        let mut last = String::new();
        for attempt in 0..ATTEMPTS_MAX {
            let pause = self.pauses.next(self.begin.elapsed()).max(RETRY_PAUSE * attempt);
            if !self.pause(pause, incoming) {
                return Ok(());
            }
            match self.build_and_probe() {
                Ok(compute) => {
                    self.compute = Some(compute);
                    self.give_up_broken();
                    let took = begin.elapsed();
                    self.shared.last_rebuild_us.store(took.as_micros() as u64, Ordering::Release);
                    self.shared.rebuilds.fetch_add(1, Ordering::AcqRel);
                    let seconds = took.as_secs_f64();
                    tracing::warn!(models = %self.shared.names, seconds, "computing goes on after a crash");
                    return Ok(());
                }
                Err(error) => last = error.to_string(),
            }
            tracing::warn!(models = %self.shared.names, why = last, "what computes could not be built again");
        }
        Err(format!("computing crashed ({why}), and what computes could not be built again: {last}"))
    }

    /// Adds the crash to the records of those who may be its reason: of all that were begun, where it was in no step.
    fn blame(&mut self) {
        let mut suspects = std::mem::take(&mut self.under_way);
        if suspects.is_empty() {
            let begun = self.sequences.iter().filter(|(_, sequence)| sequence.is_begun());
            suspects = begun.map(|(key, sequence)| (*key, sequence.tokens().len())).collect();
        }
        for (key, sequence) in &mut self.sequences {
            let places = suspects.iter().filter(|(suspect, _)| suspect == key).map(|(_, place)| *place);
            if let Some(place) = places.max() {
                sequence.record.add(place);
            }
        }
    }

    fn give_up_guilty(&mut self, why: &str) {
        let guilty = self.sequences.iter().filter(|(_, sequence)| sequence.record.is_guilty());
        for key in guilty.map(|(key, _)| *key).collect::<Vec<_>>() {
            let Some(crashes) = self.sequences.get(&key).map(|sequence| sequence.record.crashes()) else { continue };
            tracing::warn!(models = %self.shared.names, crashes, "a generation is given up");
            let why = format!(
                "the engine crashed {crashes} times with it in the step, the last time with: {why}; report this with its prompt"
            );
            self.end(key, Err(EngineError::Failed(why.into())));
        }
    }

    /// Drops whatever lies on the device: sequences have their tokens alone from now on. A broken device may panic once more.
    pub(super) fn drop_weights(&mut self) {
        let now = self.begin.elapsed();
        self.under_way.clear();
        self.forget_snapshots();
        self.slots.iter_mut().for_each(|slots| slots.retain(|_| false));
        self.batchers.iter_mut().for_each(|batcher| batcher.lost(now));
        drop_quietly(self.compute.take());
    }

    /// Waits, and takes what comes meanwhile; whether to go on.
    fn pause(&mut self, pause: Duration, incoming: &Receiver<Message>) -> bool {
        let end = Instant::now() + pause;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if self.is_closing() {
                return false;
            }
            match incoming.recv_timeout(left) {
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    fn build_and_probe(&mut self) -> Result<C, LoadError> {
        let mut compute = self.build()?;
        match catch_unwind(AssertUnwindSafe(|| compute.probe())) {
            Ok(()) => Ok(compute),
            Err(panic) => {
                drop_quietly(compute);
                Err(LoadError::Probe(panic_text(&*panic)))
            }
        }
    }
}

fn drop_quietly<T>(broken: T) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(broken))) {
        tracing::warn!(why = panic_text(&*panic), "a broken device's memory could not be given back");
    }
}
