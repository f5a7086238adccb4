//! A generation that streams.
//!
//! The engine writes into a channel and counts on a meter; the process reads at its own pace. Whatever way a generation
//! ends (its end was read, it was cancelled, its process died) it settles once: what the meter counted is paid, the rest
//! of the reservation goes back.

use crate::{
    bill::Reservation,
    ports::{EngineError, EngineEvent, EngineFinish, EngineStream, Meter},
};
use parking_lot::Mutex;
use remit_abi::{Delta, FinishReason, GrantId, Label, LlmError, Summary, Tokens};
use remit_authority::ModelPrices;
use std::sync::{Arc, Weak};
use tokio::sync::{Mutex as AsyncMutex, mpsc};

/// A generation of one process.
#[derive(Debug)]
pub(crate) struct Generation {
    /// What went into its prompt.
    pub(crate) label: Label,
    /// Under which it was begun.
    pub(crate) grant: GrantId,
    stream: AsyncMutex<Stream>,
    meter: Arc<Meter>,
    payment: Mutex<Payment>,
    /// Whether the account, not the caller, set the number of tokens.
    cut_by_budget: bool,
}

/// A whole generation.
#[derive(Debug)]
pub(crate) struct Collected {
    pub(crate) text: String,
    /// As [`DrawnToken::append_to`](remit_abi::DrawnToken::append_to) writes them; empty where the engine told none.
    pub(crate) logprobs: Vec<u8>,
    pub(crate) summary: Summary,
}

#[derive(Debug)]
struct Stream {
    events: mpsc::Receiver<EngineEvent>,
    /// Received by a wait, not yet read.
    ahead: Option<EngineEvent>,
    ended: Option<Result<Summary, LlmError>>,
}

#[derive(Debug)]
enum Payment {
    Reserved(Reservation, ModelPrices),
    Settled(Tokens),
}

impl Generation {
    pub(crate) fn new(
        stream: EngineStream,
        reservation: Reservation,
        prices: ModelPrices,
        label: Label,
        grant: GrantId,
        cut_by_budget: bool,
    ) -> Self {
        let EngineStream { events, meter } = stream;
        Self {
            label,
            grant,
            stream: AsyncMutex::new(Stream { events, ahead: None, ended: None }),
            meter,
            payment: Mutex::new(Payment::Reserved(reservation, prices)),
            cut_by_budget,
        }
    }

    /// The next piece. After the end, the end again.
    pub(crate) async fn next(&self) -> Result<Delta, LlmError> {
        let mut stream = self.stream.lock().await;
        if let Some(ended) = &stream.ended {
            return ended.clone().map(Delta::End);
        }
        match stream.take().await {
            EngineEvent::Text(text) => Ok(Delta::Text(text.into())),
            EngineEvent::Token(token) => Ok(Delta::Token(token)),
            EngineEvent::End(finish) => {
                let summary = self.summary(finish);
                stream.ended = Some(Ok(summary));
                Ok(Delta::End(summary))
            }
            EngineEvent::Failed(error) => {
                self.settle();
                let error = unavailable(&error);
                stream.ended = Some(Err(error.clone()));
                Err(error)
            }
        }
    }

    /// All that is still to come.
    pub(crate) async fn collect(&self) -> Result<Collected, LlmError> {
        let mut text = String::new();
        let mut logprobs = Vec::new();
        loop {
            match self.next().await? {
                Delta::Text(piece) => text.push_str(&piece),
                Delta::Token(token) => token.append_to(&mut logprobs),
                Delta::End(summary) => return Ok(Collected { text, logprobs, summary }),
            }
        }
    }

    /// Waits until `next` would answer at once.
    pub(crate) async fn ready(&self) {
        let mut stream = self.stream.lock().await;
        if stream.ended.is_none() && stream.ahead.is_none() {
            let event = stream.receive().await;
            stream.ahead = Some(event);
        }
    }

    /// Whether `next` would answer at once.
    pub(crate) fn is_ready(&self) -> bool {
        let Ok(mut stream) = self.stream.try_lock() else { return false };
        if stream.ended.is_none() && stream.ahead.is_none() {
            stream.ahead = match stream.events.try_recv() {
                Ok(event) => Some(event),
                Err(mpsc::error::TryRecvError::Empty) => None,
                Err(mpsc::error::TryRecvError::Disconnected) => Some(silence()),
            };
        }
        stream.ended.is_some() || stream.ahead.is_some()
    }

    /// Ends it before its next token; the reader still gets what was written, and the end.
    pub(crate) fn cancel(&self) {
        self.meter.cancel();
    }

    fn summary(&self, finish: EngineFinish) -> Summary {
        let finish = match finish {
            EngineFinish::Stop => FinishReason::Stop,
            EngineFinish::Length if self.cut_by_budget => FinishReason::Budget,
            EngineFinish::Length => FinishReason::Length,
            EngineFinish::Cancelled => FinishReason::Cancelled,
        };
        Summary { finish, usage: self.meter.usage(), paid: self.settle() }
    }

    fn settle(&self) -> Tokens {
        let mut payment = self.payment.lock();
        let paid = match std::mem::replace(&mut *payment, Payment::Settled(Tokens::ZERO)) {
            Payment::Reserved(reservation, prices) => reservation.settle_usage(self.meter.usage(), &prices),
            Payment::Settled(paid) => paid,
        };
        *payment = Payment::Settled(paid);
        paid
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.meter.cancel();
        self.settle();
    }
}

impl Stream {
    async fn take(&mut self) -> EngineEvent {
        match self.ahead.take() {
            Some(event) => event,
            None => self.receive().await,
        }
    }

    async fn receive(&mut self) -> EngineEvent {
        self.events.recv().await.unwrap_or_else(silence)
    }
}

/// Every generation under way, by its grant, so that a revocation reaches it.
#[derive(Debug, Default)]
pub(crate) struct Streams(Mutex<Vec<(GrantId, Weak<Generation>)>>);

impl Streams {
    /// Enters one, and forgets those that are gone.
    pub(crate) fn enter(&self, generation: &Arc<Generation>) {
        let mut streams = self.0.lock();
        if streams.len() == streams.capacity() {
            streams.retain(|(_, generation)| generation.strong_count() > 0);
        }
        streams.push((generation.grant, Arc::downgrade(generation)));
    }

    /// Ends those of these grants before their next token.
    pub(crate) fn cancel(&self, grants: &[GrantId]) {
        let streams = self.0.lock();
        let under = streams.iter().filter(|(grant, _)| grants.contains(grant));
        under.filter_map(|(_, generation)| generation.upgrade()).for_each(|generation| generation.cancel());
    }
}

/// What an engine that went away without a last word said.
fn silence() -> EngineEvent {
    EngineEvent::Failed(EngineError::Stopped("it ended in the middle of a generation".into()))
}

/// An engine's error as its user sees it.
pub(crate) fn unavailable(error: &EngineError) -> LlmError {
    match error {
        EngineError::TooLong { tokens, capacity } => LlmError::TooLong { tokens: *tokens, capacity: *capacity },
        EngineError::Prompt(why) => LlmError::Invalid(why.clone()),
        EngineError::UnknownModel { .. }
        | EngineError::Busy { .. }
        | EngineError::Failed(_)
        | EngineError::Stopped(_) => LlmError::Unavailable(error.to_string().into_boxed_str()),
    }
}
