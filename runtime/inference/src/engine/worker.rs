//! The engine's thread.
//!
//! A round: take what has come in, ask for memory, end what nobody wants, admit in order of arrival, plan, and compute each
//! step. Between rounds the state is whole. A panic inside one throws away whatever computes, with every cache, and the
//! sequences go on from their tokens on a new one (see `recovery`). `steps` has what a round computes.

use super::{
    Limits, Shared,
    compute::Compute,
    faults::{Pauses, panic_text},
    prefix::{Kept, PrefixStore},
    schedule::{self, Load, Status},
    sequence::Sequence,
};
use crate::{
    LoadError,
    residency::{ASK_EVERY, Demand, Order, Seat},
    sampler::Scratch,
};
use remit_kernel::ports::{EngineError, EngineFinish};
use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError, Sender},
    },
    time::Instant,
};

/// What the thread is told.
pub(super) enum Message {
    /// A sequence to compute.
    Generate(Box<Sequence>),
    /// Read the weights now, where there is room that nobody else waits for, and answer when that is done.
    Warm(Sender<Result<(), LoadError>>),
    /// Crash.
    Drill,
    /// Look at memory again, or at the engine's end.
    Wake,
}

/// A sequence that is computed.
pub(super) struct Active<C> {
    pub(super) sequence: Sequence,
    pub(super) cache: C,
    pub(super) room: usize,
    pub(super) finish: Option<Result<EngineFinish, EngineError>>,
}

impl<C> Active<C> {
    fn status<K: Compute<Cache = C>>(&self) -> Status<'_> {
        let done = K::length(&self.cache);
        Status {
            id: self.sequence.id,
            base: self.sequence.model().base,
            done,
            pending: self.sequence.tokens().len() - done,
            history: self.sequence.history(),
            alone: self.sequence.record.is_alone(done),
        }
    }
}

pub(super) struct Worker<C: Compute, M> {
    /// Reads the weights: at the beginning, when they come back, and after a crash.
    pub(super) make: M,
    /// Absent while the weights are away.
    pub(super) compute: Option<C>,
    pub(super) seat: Seat,
    pub(super) limits: Limits,
    pub(super) shared: Arc<Shared>,
    pub(super) waiting: VecDeque<Sequence>,
    pub(super) active: Vec<Active<C::Cache>>,
    pub(super) retained: PrefixStore<C::Cache>,
    /// What is being computed, or not known to be: ids, and how many tokens they will have come to.
    pub(super) under_way: Vec<(u64, usize)>,
    pub(super) pauses: Pauses,
    /// Whether the next step crashes.
    pub(super) is_drill: bool,
    pub(super) begin: Instant,
    next_id: u64,
    /// The sequence that had the last chunk.
    pub(super) last_chunk: u64,
    pub(super) scratch: Scratch,
}

impl<C: Compute, M: FnMut() -> Result<C, LoadError>> Worker<C, M> {
    pub(super) fn new(make: M, seat: Seat, limits: Limits, shared: Arc<Shared>) -> Self {
        Self {
            make,
            compute: None,
            seat,
            limits,
            shared,
            waiting: VecDeque::new(),
            active: Vec::new(),
            retained: PrefixStore::default(),
            under_way: Vec::new(),
            pauses: Pauses::default(),
            is_drill: false,
            begin: Instant::now(),
            next_id: 1,
            last_chunk: 0,
            scratch: Scratch::default(),
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
        self.active.iter_mut().for_each(|active| active.sequence.fail(&why));
        self.waiting.iter_mut().for_each(|sequence| sequence.fail(&why));
        self.waiting.clear();
        self.active.clear();
        self.drop_weights();
        // With the seat goes the last sender but the engine's own, and the room of its weights.
        drop(self);
        for message in incoming {
            match message {
                Message::Generate(mut sequence) => sequence.fail(&why),
                Message::Warm(done) => drop(done.send(Err(LoadError::Crashed(why.to_string())))),
                Message::Drill | Message::Wake => {}
            }
        }
    }

    /// Until the engine is dropped; the error is why it cannot go on.
    fn serve(&mut self, incoming: &Receiver<Message>) -> Result<(), String> {
        loop {
            incoming.try_iter().for_each(|message| self.take(message));
            if self.is_closing() {
                return Ok(());
            }
            self.drop_unwanted();
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
                    let round = catch_unwind(AssertUnwindSafe(|| self.round(order)));
                    if let Err(panic) = round {
                        self.recover(&panic_text(&*panic), incoming)?;
                    }
                }
                Order::Load => self.load().map_err(|error| error.to_string())?,
                Order::Leave => {
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
            Message::Generate(mut sequence) => {
                sequence.id = self.next_id;
                self.next_id += 1;
                self.waiting.push_back(*sequence);
            }
            Message::Warm(done) => {
                let is_wanted = self.compute.is_none() && self.seat.prefetch();
                // Nobody waits any more where the engine is being dropped.
                let _ = done.send(if is_wanted { self.load() } else { Ok(()) });
            }
            // On a device it happens by itself.
            Message::Drill => self.is_drill = !self.compute.as_ref().is_some_and(Compute::lose),
            Message::Wake => {}
        }
    }

    /// Reads the weights into the room that the seat has.
    fn load(&mut self) -> Result<(), LoadError> {
        let begin = Instant::now();
        match self.build() {
            Ok(compute) => {
                self.compute = Some(compute);
                self.seat.loaded();
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

    /// Ends what was cancelled, or whose reader is gone, before its turn came.
    fn drop_unwanted(&mut self) {
        self.waiting.retain_mut(|sequence| {
            let unwanted = sequence.is_unwanted();
            if unwanted {
                self.shared.queued.fetch_sub(1, Ordering::AcqRel);
                sequence.end(EngineFinish::Cancelled);
            }
            !unwanted
        });
    }

    /// Computes what comes next. May panic.
    fn round(&mut self, order: Order) {
        for active in self.active.iter_mut().filter(|active| active.sequence.is_unwanted()) {
            active.finish = Some(Ok(EngineFinish::Cancelled));
        }
        self.retire();
        self.admit(order);
        let statuses: Vec<_> = self.active.iter().map(Active::status::<C>).collect();
        let has_suspects = statuses.iter().any(|status| status.alone);
        for step in schedule::plan(&statuses, self.last_chunk, &self.limits) {
            self.compute(&step);
            if has_suspects {
                self.settle();
            }
        }
        self.retire();
    }

    fn kv_tokens(&self) -> usize {
        self.active.iter().map(|active| active.room).sum()
    }

    /// What was begun and put back after a crash is under way too.
    fn demand(&self) -> Demand {
        let begun = self.waiting.iter().take_while(|sequence| sequence.is_begun()).count();
        Demand { active: self.active.len() + begun, waiting: self.waiting.len() - begun }
    }

    /// Takes those that come next and for whom there is room; where the order is to finish, of those that were begun.
    fn admit(&mut self, order: Order) {
        let may = |sequence: &Sequence| order == Order::Serve || sequence.is_begun();
        while let Some(next) = self.waiting.front().filter(|next| may(next)) {
            let room = next.room();
            let load = Load { active: self.active.len(), kv_tokens: self.kv_tokens() };
            if !schedule::admits(load, room, &self.limits) {
                return;
            }
            let Some(compute) = &self.compute else { return };
            // It stays in the queue, and is not lost, until there is a cache.
            self.under_way.push((next.id, 0));
            let model = next.model();
            // One that is computed again goes on from its own tokens alone.
            let state = if next.is_begun() { None } else { self.retained.find(next.key(), next.tokens()) };
            let (cache, history) = match state {
                Some((state, tokens)) => {
                    (compute.prefix(model.base, &state.cache, tokens, room), Some(state.history.clone()))
                }
                None => (compute.cache(model, room), None),
            };
            self.under_way.pop();
            let Some(mut sequence) = self.waiting.pop_front() else { return };
            self.shared.queued.fetch_sub(1, Ordering::AcqRel);
            // Not all of the state where the model cannot go on from it.
            sequence.begin(history.map(|history| (history, C::length(&cache))));
            self.active.push(Active { sequence, cache, room, finish: None });
            self.shrink();
        }
    }

    /// Leaves to finished sequences what active ones do not need.
    fn shrink(&mut self) {
        let free = self.limits.kv_tokens_max.saturating_sub(self.kv_tokens());
        self.retained.shrink(self.limits.retained_sequences_max, free);
    }

    /// Ends what came to its end, and keeps its keys and values.
    fn retire(&mut self) {
        let mut place = 0;
        while place < self.active.len() {
            let Some(finish) = self.active[place].finish.take() else {
                place += 1;
                continue;
            };
            let Active { mut sequence, cache, room, .. } = self.active.remove(place);
            match finish {
                Err(error) => sequence.fail_with(error),
                Ok(finish) => {
                    sequence.end(finish);
                    let key = sequence.key();
                    let (mut tokens, history) = sequence.into_state();
                    tokens.truncate(C::length(&cache));
                    self.retained.keep(key, tokens, Kept { cache, history }, room);
                }
            }
            self.shrink();
        }
    }
}
