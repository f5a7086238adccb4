//! The engine's thread.
//!
//! A round: take what has come in, ask for memory, end what nobody wants, let the batcher of each model plan a step, and
//! compute it. Between rounds the state is whole. A panic inside one throws away whatever computes, with every block, and the
//! sequences go on from their tokens on a new one (see `recovery`). `steps` has what a round computes.

use super::{
    Limits, Shared,
    compute::Compute,
    faults::{Pauses, panic_text},
    held::Masks,
    observe::{End, Measures},
    sequence::{Reader, Sequence},
    slots::Slots,
    snapshots::Desk,
};
use crate::{
    LoadError,
    residency::{ASK_EVERY, Demand, Order, Seat},
    sampler::Scratch,
};
use remit_abi::TenantId;
use remit_batching::{Batcher, Refusal, Report, SequenceId};
use remit_kernel::ports::{EngineError, EngineFinish};
use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError, Sender},
    },
    task::{Wake, Waker},
    time::Instant,
};

/// What the thread is told.
pub(super) enum Message {
    /// A sequence to compute.
    Generate(Box<Sequence>),
    /// Read the weights now, where there is room that nobody else waits for, and answer when that is done.
    Warm(Sender<Result<(), LoadError>>),
    /// A process of a tenant has left memory.
    Rest(TenantId, u64),
    /// Keep what is at hand where it outlives the engine, and answer when that was handed over.
    Keep(Sender<()>),
    /// Crash.
    Drill,
    /// Look at memory again, at readers, or at the engine's end.
    Wake,
}

/// Wakes the thread, from a reader's.
pub(super) struct Bell(Sender<Message>);

impl Bell {
    pub(super) fn ring(&self) {
        // A thread that has ended has told every reader.
        let _ = self.0.send(Message::Wake);
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}

/// Which sequence: the index of its base, and its number there.
pub(super) type Key = (usize, SequenceId);

pub(super) struct Worker<C: Compute, M> {
    /// Reads the weights: at the beginning, when they come back, and after a crash.
    pub(super) make: M,
    /// Absent while the weights are away.
    pub(super) compute: Option<C>,
    pub(super) seat: Seat,
    pub(super) shared: Arc<Shared>,
    pub(super) bell: Arc<Bell>,
    /// The same, for readers who were behind.
    waker: Waker,
    /// One for each base. All know the same tokens as `sequences`.
    pub(super) batchers: Vec<Batcher>,
    pub(super) sequences: BTreeMap<Key, Sequence>,
    /// Blocks that left the device, of each base.
    pub(super) slots: Vec<Slots>,
    pub(super) desk: Desk,
    /// Of each base.
    pub(super) measures: Vec<Measures>,
    /// What is being computed, or not known to be, and how many tokens they will have come to.
    pub(super) under_way: Vec<(Key, usize)>,
    pub(super) pauses: Pauses,
    /// Whether the next step crashes.
    pub(super) is_drill: bool,
    /// Whether sequences that were not begun are held back, since the weights are about to leave.
    pub(super) is_holding: bool,
    pub(super) begin: Instant,
    pub(super) scratch: Scratch,
    pub(super) masks: Masks,
}

impl<C: Compute, M: FnMut() -> Result<C, LoadError>> Worker<C, M> {
    /// For bases whose pools have so many blocks; it is told by itself too.
    pub(super) fn new(
        make: M,
        seat: Seat,
        blocks: &[usize],
        limits: &Limits,
        (shared, messages): (Arc<Shared>, Sender<Message>),
    ) -> Self {
        let bell = Arc::new(Bell(messages));
        let batcher = |blocks: &usize| Batcher::new(limits.batching(*blocks), limits.policy.make());
        Self {
            make,
            compute: None,
            seat,
            shared,
            waker: Waker::from(bell.clone()),
            bell,
            batchers: blocks.iter().map(batcher).collect(),
            sequences: BTreeMap::new(),
            slots: blocks.iter().map(|_| Slots::new(limits.slots(), limits.swap_folder.as_deref())).collect(),
            desk: Desk::new(limits.snapshots.clone()),
            measures: vec![Measures::default(); blocks.len()],
            under_way: Vec::new(),
            pauses: Pauses::default(),
            is_drill: false,
            is_holding: false,
            begin: Instant::now(),
            scratch: Scratch::default(),
            masks: Masks::default(),
        }
    }

    /// Serves until the engine is dropped, or cannot compute any more.
    pub(super) fn run(mut self, incoming: &Receiver<Message>) {
        let why = match catch_unwind(AssertUnwindSafe(|| self.serve(incoming))) {
            Ok(Ok(())) => "it was shut down".to_owned(),
            Ok(Err(why)) => why,
            Err(panic) => format!("its thread failed: {}", panic_text(&*panic)),
        };
        // From here on nobody is handed over any more, except those who looked before: they are told below.
        let why = self.shared.stopped.get_or_init(|| why.into()).clone();
        self.sequences.values_mut().for_each(|sequence| sequence.fail(&why));
        self.sequences.clear();
        self.drop_weights();
        // With the seat and the waker go the last senders but the engine's own, and the room of its weights.
        drop(self);
        for message in incoming {
            match message {
                Message::Generate(mut sequence) => sequence.fail(&why),
                Message::Warm(done) => drop(done.send(Err(LoadError::Crashed(why.to_string())))),
                Message::Rest(..) | Message::Keep(_) | Message::Drill | Message::Wake => {}
            }
        }
    }

    /// Until the engine is dropped; the error is why it cannot go on.
    fn serve(&mut self, incoming: &Receiver<Message>) -> Result<(), String> {
        loop {
            incoming.try_iter().for_each(|message| self.take(message));
            if self.is_closing() {
                self.keep_leaving();
                return Ok(());
            }
            self.drop_unwanted();
            self.heed_readers();
            self.forget_slots();
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.tend_snapshots())) {
                self.recover(&panic_text(&*panic), incoming)?;
            }
            self.note_figures();
            let demand = self.demand();
            let is_idle = demand == Demand::default();
            let order = self.seat.report(demand);
            match order {
                Order::Serve | Order::Wait if is_idle => match incoming.recv() {
                    Ok(message) => self.take(message),
                    Err(_) => return Ok(()),
                },
                Order::Wait => match incoming.recv_timeout(ASK_EVERY) {
                    Ok(message) => self.take(message),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return Ok(()),
                },
                Order::Serve | Order::Finish => {
                    self.hold(order == Order::Finish);
                    match catch_unwind(AssertUnwindSafe(|| self.round())) {
                        // Whoever is left is held back.
                        Ok(false) => match incoming.recv_timeout(ASK_EVERY) {
                            Ok(message) => self.take(message),
                            Err(RecvTimeoutError::Timeout) => {}
                            Err(RecvTimeoutError::Disconnected) => return Ok(()),
                        },
                        Ok(true) => {}
                        Err(panic) => self.recover(&panic_text(&*panic), incoming)?,
                    }
                }
                Order::Load => self.load().map_err(|error| error.to_string())?,
                Order::Leave => {
                    self.keep_leaving();
                    self.drop_weights();
                    self.seat.left();
                    tracing::info!(models = %self.shared.names, "the weights made room for another model's");
                }
            }
        }
    }

    pub(super) fn is_closing(&self) -> bool {
        self.shared.closing.load(Ordering::Acquire)
    }

    pub(super) fn take(&mut self, message: Message) {
        match message {
            Message::Generate(sequence) => self.enter(*sequence),
            Message::Warm(done) => {
                let is_wanted = self.compute.is_none() && self.seat.prefetch();
                // Nobody waits any more where the engine is being dropped.
                let _ = done.send(if is_wanted { self.load() } else { Ok(()) });
            }
            Message::Rest(tenant, program) => self.desk.rest(tenant, program),
            Message::Keep(done) => {
                self.keep_leaving();
                // Nobody waits any more where the host has ended.
                let _ = done.send(());
            }
            // On a device it happens by itself.
            Message::Drill => self.is_drill = !self.compute.as_ref().is_some_and(Compute::lose),
            Message::Wake => {}
        }
    }

    /// Hands a sequence to its batcher.
    fn enter(&mut self, sequence: Sequence) {
        let (base, now) = (sequence.model().base, self.begin.elapsed());
        match self.batchers[base].add(sequence.request(), now) {
            Ok(id) => {
                if self.is_holding {
                    self.batchers[base].pause(id, now);
                }
                self.sequences.insert((base, id), sequence);
                self.give_up_broken();
            }
            Err(refusal) => {
                self.shared.queued.fetch_sub(1, Ordering::AcqRel);
                let error = match refusal {
                    Refusal::QueueFull { waiting } => EngineError::Busy { waiting },
                    refusal => EngineError::Prompt(refusal.to_string().into()),
                };
                self.close(base, sequence, &Report::default(), Err(error));
            }
        }
    }

    /// Reads the weights into the room that the seat has.
    fn load(&mut self) -> Result<(), LoadError> {
        let begin = Instant::now();
        match self.build() {
            Ok(compute) => {
                self.compute = Some(compute);
                self.seat.loaded();
                self.give_up_broken();
                tracing::info!(models = %self.shared.names, seconds = begin.elapsed().as_secs_f64(), "the weights are in memory");
                Ok(())
            }
            Err(error) => {
                self.seat.left();
                Err(error)
            }
        }
    }

    pub(super) fn build(&mut self) -> Result<C, LoadError> {
        let built = catch_unwind(AssertUnwindSafe(&mut self.make));
        built.unwrap_or_else(|panic| Err(LoadError::Crashed(panic_text(&*panic))))
    }

    /// Ends what was cancelled, or whose reader is gone, before its next token.
    fn drop_unwanted(&mut self) {
        let unwanted = self.sequences.iter().filter(|(_, sequence)| sequence.is_unwanted());
        for key in unwanted.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.end(key, Ok(EngineFinish::Cancelled));
        }
    }

    /// Pauses those whose readers fell behind, and lets those go on whose readers have read.
    fn heed_readers(&mut self) {
        let now = self.begin.elapsed();
        for ((base, id), sequence) in &mut self.sequences {
            match sequence.heed_reader(&self.waker) {
                Some(Reader::FellBehind) => self.batchers[*base].pause(*id, now),
                Some(Reader::CaughtUp) => self.batchers[*base].resume(*id, now),
                None => {}
            }
        }
    }

    /// Forgets blocks that are out and that nobody needs: whatever ends, moves or is computed again may leave some.
    fn forget_slots(&mut self) {
        for (slots, batcher) in self.slots.iter_mut().zip(&self.batchers) {
            if slots.len() > batcher.totals().slots_used {
                slots.retain(|slot| batcher.needs(slot));
            }
        }
    }

    /// Ends a sequence before its time, of which the batcher keeps what others may need.
    pub(super) fn end(&mut self, key: Key, end: End) {
        let report = self.batchers[key.0].cancel(key.1, self.begin.elapsed());
        self.part(key, &report.unwrap_or_default(), end);
    }

    /// Tells the reader of a sequence that the batcher has no more that it is at its end.
    pub(super) fn part(&mut self, key: Key, report: &Report, end: End) {
        let Some(sequence) = self.sequences.remove(&key) else { return };
        if !sequence.is_begun() {
            self.shared.queued.fetch_sub(1, Ordering::AcqRel);
        }
        self.close(key.0, sequence, report, end);
    }

    fn close(&mut self, base: usize, mut sequence: Sequence, report: &Report, end: End) {
        let end = sequence.end(report, end);
        self.measures[base].ended(sequence.course(), sequence.generated(), &end);
    }

    /// Holds those back that were not begun, or lets them go on.
    fn hold(&mut self, holds: bool) {
        if self.is_holding == holds {
            return;
        }
        self.is_holding = holds;
        let now = self.begin.elapsed();
        for ((base, id), _) in self.sequences.iter().filter(|(_, sequence)| !sequence.is_begun()) {
            match holds {
                true => self.batchers[*base].pause(*id, now),
                false => self.batchers[*base].resume(*id, now),
            }
        }
    }

    /// Lets each model compute its next step; whether any had something to compute. May panic.
    fn round(&mut self) -> bool {
        let mut computed = false;
        for base in 0..self.batchers.len() {
            computed |= self.step(base);
        }
        computed
    }

    /// Work, whose readers are not behind: nobody's weights stay or come for the others. What goes on while the weights are away waits
    /// for them like what begins.
    pub(super) fn demand(&self) -> Demand {
        let (is_in, mut demand) = (self.compute.is_some(), Demand::default());
        for sequence in self.sequences.values().filter(|sequence| !sequence.is_stalled()) {
            *if is_in && sequence.is_begun() { &mut demand.active } else { &mut demand.waiting } += 1;
        }
        demand
    }
}
