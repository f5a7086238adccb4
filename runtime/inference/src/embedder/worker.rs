//! The embedder's thread: it owns the weights, asks for memory, and lets its pool compute what has come in.

use crate::{
    LoadError,
    engine::faults::panic_text,
    model::{Encoder, encoder::EmbedError},
    residency::{ASK_EVERY, Demand, Order, Seat},
};
use remit_compute::Team;
use remit_kernel::ports::EngineError;
use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender},
    },
    time::Instant,
};
use tokio::sync::oneshot;

/// Texts of several calls that are computed together, but for the last call's. 64: enough rows for products at full speed, and
/// a short call does not wait for long.
const TEXTS_TOGETHER: usize = 64;

/// The vectors of a call's texts, or why there are none.
pub(super) type Vectors = Result<Vec<Result<Vec<f32>, EmbedError>>, EngineError>;

/// Something that embeds texts. Tests script one that fails.
pub(super) trait Encode {
    /// As [`Encoder::embed`].
    fn embed(&self, team: &Team, texts: &[&[u32]]) -> Vec<Result<Vec<f32>, EmbedError>>;
}

impl Encode for Encoder {
    fn embed(&self, team: &Team, texts: &[&[u32]]) -> Vec<Result<Vec<f32>, EmbedError>> {
        Self::embed(self, team, texts)
    }
}

/// An encoder and the threads that compute it.
pub(super) struct Encoding<E> {
    pub(super) encoder: E,
    pub(super) team: Team,
}

/// A call.
pub(super) struct Job {
    pub(super) texts: Vec<Arc<[u32]>>,
    pub(super) done: oneshot::Sender<Vectors>,
}

/// What the thread is told.
pub(super) enum Message {
    /// Texts to embed.
    Embed(Job),
    /// Read the weights now, where there is room that nobody else waits for, and answer when that is done.
    Warm(Sender<Result<(), LoadError>>),
    /// Look at memory again, or at the embedder's end.
    Wake,
}

/// What callers and the thread both see.
#[derive(Default)]
pub(super) struct Shared {
    /// Calls handed over and not yet computed.
    pub(super) queued: AtomicUsize,
    /// The embedder is being dropped.
    pub(super) closing: AtomicBool,
    /// Why it has stopped.
    pub(super) stopped: OnceLock<Box<str>>,
}

pub(super) struct Worker<E, M> {
    name: Arc<str>,
    /// Reads the weights.
    make: M,
    /// Absent while the weights are away.
    encoding: Option<Encoding<E>>,
    seat: Seat,
    shared: Arc<Shared>,
    waiting: VecDeque<Job>,
}

impl<E: Encode, M: FnMut() -> Result<Encoding<E>, LoadError>> Worker<E, M> {
    pub(super) fn new(name: Arc<str>, make: M, seat: Seat, shared: Arc<Shared>) -> Self {
        Self { name, make, encoding: None, seat, shared, waiting: VecDeque::new() }
    }

    /// Serves until the embedder is dropped, or its weights cannot be read.
    pub(super) fn run(mut self, incoming: &Receiver<Message>) {
        let why = match catch_unwind(AssertUnwindSafe(|| self.serve(incoming))) {
            Ok(Ok(())) => "it was shut down".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(panic) => format!("its thread failed: {}", panic_text(&*panic)),
        };
        let why = self.shared.stopped.get_or_init(|| why.into()).clone();
        let waiting = std::mem::take(&mut self.waiting);
        // With the seat goes the last sender but the embedder's own, and the room of its weights.
        self.encoding = None;
        drop(self);
        // Nobody waits any more where the call was revoked or its process is gone: here and below.
        let stop = |job: Job| drop(job.done.send(Err(EngineError::Stopped(why.clone()))));
        waiting.into_iter().for_each(stop);
        for message in incoming {
            match message {
                Message::Embed(job) => stop(job),
                Message::Warm(done) => drop(done.send(Err(LoadError::Crashed(why.to_string())))),
                Message::Wake => {}
            }
        }
    }

    /// Until the embedder is dropped; the error is why it cannot go on.
    fn serve(&mut self, incoming: &Receiver<Message>) -> Result<(), LoadError> {
        loop {
            incoming.try_iter().for_each(|message| self.take(message));
            if self.shared.closing.load(Ordering::Acquire) {
                return Ok(());
            }
            self.drop_unwanted();
            let order = self.seat.report(Demand { active: 0, waiting: self.waiting.len() });
            match order {
                Order::Serve | Order::Wait if self.waiting.is_empty() => match incoming.recv() {
                    Ok(message) => self.take(message),
                    Err(_) => return Ok(()),
                },
                Order::Wait => match incoming.recv_timeout(ASK_EVERY) {
                    Ok(message) => self.take(message),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return Ok(()),
                },
                Order::Serve | Order::Finish => self.compute(),
                Order::Load => self.load()?,
                Order::Leave => {
                    self.encoding = None;
                    self.seat.left();
                    tracing::info!(model = %self.name, "the weights made room for another model's");
                }
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Embed(job) => self.waiting.push_back(job),
            Message::Warm(done) => {
                let is_wanted = self.encoding.is_none() && self.seat.prefetch();
                // Nobody waits any more where the embedder is being dropped.
                let _ = done.send(if is_wanted { self.load() } else { Ok(()) });
            }
            Message::Wake => {}
        }
    }

    /// Reads the weights into the room that the seat has.
    fn load(&mut self) -> Result<(), LoadError> {
        let begin = Instant::now();
        let made = catch_unwind(AssertUnwindSafe(&mut self.make));
        match made.unwrap_or_else(|panic| Err(LoadError::Crashed(panic_text(&*panic)))) {
            Ok(encoding) => {
                self.encoding = Some(encoding);
                self.seat.loaded();
                let seconds = begin.elapsed().as_secs_f64();
                tracing::info!(model = %self.name, seconds, "the weights are in memory");
                Ok(())
            }
            Err(error) => {
                self.seat.left();
                Err(error)
            }
        }
    }

    /// Forgets calls that nobody waits for.
    fn drop_unwanted(&mut self) {
        let before = self.waiting.len();
        self.waiting.retain(|job| !job.done.is_closed());
        self.shared.queued.fetch_sub(before - self.waiting.len(), Ordering::AcqRel);
    }

    /// Computes the calls that come next.
    fn compute(&mut self) {
        let Some(Encoding { encoder, team }) = &self.encoding else { return };
        let mut jobs = Vec::new();
        let mut texts = 0;
        while texts < TEXTS_TOGETHER
            && let Some(job) = self.waiting.pop_front()
        {
            texts += job.texts.len();
            jobs.push(job);
        }
        self.shared.queued.fetch_sub(jobs.len(), Ordering::AcqRel);
        let texts: Vec<&[u32]> = jobs.iter().flat_map(|job| &job.texts).map(AsRef::as_ref).collect();
        // What panics has written to nothing that is read again.
        let embed = |texts: &[&[u32]]| {
            catch_unwind(AssertUnwindSafe(|| encoder.embed(team, texts))).map_err(|panic| panic_text(&*panic))
        };
        let vectors: Vec<Result<_, String>> = match embed(&texts) {
            Ok(vectors) => vectors.into_iter().map(Ok).collect(),
            // Each alone: so it shows whose it is.
            Err(_) => texts.iter().map(|text| embed(&[text]).map(|mut alone| alone.swap_remove(0))).collect(),
        };
        let mut vectors = vectors.into_iter();
        for Job { texts, done } in jobs {
            let own: Result<Vec<_>, String> = vectors.by_ref().take(texts.len()).collect();
            let own = own.map_err(|why| {
                tracing::error!(model = %self.name, why, "computing an embedding crashed");
                EngineError::Failed(format!("an embedding crashed ({why}); report this with its text").into())
            });
            // Nobody waits any more where the call was revoked or its process is gone.
            let _ = done.send(own);
        }
    }
}
