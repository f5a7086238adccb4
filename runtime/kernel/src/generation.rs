//! A generation that streams.
//!
//! The engine writes into a channel and counts on a meter; the process reads at its own pace. Whatever way a generation
//! ends (its end was read, it was cancelled, its process died) it settles once: what the meter counted is paid, the rest
//! of the reservation goes back.
//!
//! Where a route was asked and a try fails before it showed anything, the next model is tried in its place. The reader sees a
//! longer wait and nothing else, and pays for the try that answered.

use crate::{
    bill::Reservation,
    ports::{Clock, EngineError, EngineEvent, EngineFinish, EngineStream, Meter, ModelUse},
    runaway::{Turn, hash_of},
    tries::{Begun, Progress, Tries},
};
use parking_lot::Mutex;
use remit_abi::{Delta, FinishReason, GrantId, Label, LlmError, Summary, Tokens, Usage};
use remit_authority::ModelPrices;
use std::{
    fmt,
    hash::Hash,
    sync::{Arc, Weak},
};
use tokio::sync::{Mutex as AsyncMutex, mpsc};

/// A generation of one process.
pub(crate) struct Generation {
    /// What went into its prompt.
    pub(crate) label: Label,
    /// Under which it was begun.
    pub(crate) grant: GrantId,
    /// Of its prompt and its parameters.
    asked: u64,
    stream: AsyncMutex<Stream>,
    work: Mutex<Work>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generation").field("grant", &self.grant).field("work", &self.work).finish_non_exhaustive()
    }
}

/// A whole generation.
#[derive(Debug)]
pub(crate) struct Collected {
    pub(crate) text: String,
    /// As [`ToolCall::append_to`](remit_abi::ToolCall::append_to) writes them; empty where there are none.
    pub(crate) calls: Vec<u8>,
    /// As [`DrawnToken::append_to`](remit_abi::DrawnToken::append_to) writes them; empty where the engine told none.
    pub(crate) logprobs: Vec<u8>,
    pub(crate) summary: Summary,
}

#[derive(Debug)]
struct Stream {
    events: mpsc::Receiver<EngineEvent>,
    /// Received by a wait, not yet read.
    ahead: Option<EngineEvent>,
    /// Whether anything but a failure came.
    showed: bool,
    /// Whether a try failed, and the next has not begun.
    between: bool,
    ended: Option<Result<Summary, LlmError>>,
    /// A hash of what came so far, until somebody counts it.
    answer: Option<u64>,
    /// What the model did, from the end on until somebody writes it down.
    used: Option<ModelUse>,
    tries: Tries,
    /// Whether the account, not the caller, set the number of tokens.
    cut_by_budget: bool,
}

impl Stream {
    fn hears(&mut self, something: impl Hash) {
        self.answer = self.answer.map(|before| hash_of((before, something)));
    }
}

/// The try that is paid.
#[derive(Debug)]
struct Work {
    meter: Arc<Meter>,
    prices: ModelPrices,
    payment: Payment,
}

#[derive(Debug)]
enum Payment {
    Reserved(Reservation),
    Settled(Tokens),
}

/// What can be had from a stream without waiting.
enum Now {
    /// The next event, or the end.
    Something,
    /// Nothing before the engine's next event.
    Nothing,
    /// Nothing before this moment.
    Pause { until_ns: u64 },
}

impl Generation {
    /// Puts a request to a model, waiting where the rules of a route say so.
    pub(crate) async fn begin(
        mut tries: Tries,
        reservation: Reservation,
        (label, grant): (Label, GrantId),
        asked: u64,
    ) -> Result<Self, LlmError> {
        let clock = tries.clock();
        let Begun { stream: EngineStream { events, meter }, prices, cut_by_budget } = loop {
            match tries.step() {
                Progress::Begun(begun) => break begun,
                Progress::Pause { until_ns } => clock.sleep_until(until_ns).await,
                Progress::Over(error) => return Err(error),
            }
        };
        let (ahead, ended, used, showed, between) = Default::default();
        let answer = Some(0);
        Ok(Self {
            label,
            grant,
            asked,
            stream: AsyncMutex::new(Stream {
                events,
                ahead,
                showed,
                between,
                ended,
                answer,
                used,
                tries,
                cut_by_budget,
            }),
            work: Mutex::new(Work { meter, prices, payment: Payment::Reserved(reservation) }),
            clock,
        })
    }

    /// The next piece. After the end, the end again.
    pub(crate) async fn next(&self) -> Result<Delta, LlmError> {
        let mut stream = self.stream.lock().await;
        self.wait(&mut stream).await;
        if let Some(ended) = &stream.ended {
            return ended.clone().map(Delta::End);
        }
        match stream.ahead.take().unwrap_or_else(silence) {
            EngineEvent::Text(text) => {
                // Byte by byte: pieces may be cut anywhere.
                text.bytes().for_each(|byte| stream.hears(byte));
                Ok(Delta::Text(text.into()))
            }
            EngineEvent::Token(token) => Ok(Delta::Token(token)),
            EngineEvent::ToolCall(call) => {
                stream.hears((&call.name, &call.arguments));
                Ok(Delta::ToolCall(call))
            }
            EngineEvent::End(finish) => {
                let summary = self.summary(finish, &mut stream);
                stream.ended = Some(Ok(summary.clone()));
                Ok(Delta::End(summary))
            }
            EngineEvent::Failed(error) => {
                self.settle();
                let usage = self.work.lock().meter.usage();
                stream.used = stream.tries.used(usage);
                stream.tries.broke(&error, usage);
                let error = unavailable(&error);
                stream.ended = Some(Err(error.clone()));
                Err(error)
            }
        }
    }

    /// What was asked and answered, by the end; once.
    pub(crate) async fn take_turn(&self) -> Option<Turn> {
        let answered = self.stream.lock().await.answer.take()?;
        Some(Turn { asked: self.asked, answered })
    }

    /// All that is still to come.
    pub(crate) async fn collect(&self) -> Result<Collected, LlmError> {
        let mut text = String::new();
        let (mut calls, mut logprobs) = (Vec::new(), Vec::new());
        loop {
            match self.next().await? {
                Delta::Text(piece) => text.push_str(&piece),
                Delta::Token(token) => token.append_to(&mut logprobs),
                Delta::ToolCall(call) => call.append_to(&mut calls),
                Delta::End(summary) => return Ok(Collected { text, calls, logprobs, summary }),
            }
        }
    }

    /// The model that it was put to, which has done nothing yet.
    pub(crate) async fn asked(&self) -> Option<ModelUse> {
        self.stream.lock().await.tries.used(Usage::default())
    }

    /// What the model did, once, after the end was told.
    pub(crate) async fn take_used(&self) -> Option<ModelUse> {
        self.stream.lock().await.used.take()
    }

    /// Waits until `next` would answer at once.
    pub(crate) async fn ready(&self) {
        let mut stream = self.stream.lock().await;
        self.wait(&mut stream).await;
    }

    /// Whether `next` would answer at once.
    pub(crate) fn is_ready(&self) -> bool {
        let Ok(mut stream) = self.stream.try_lock() else { return false };
        matches!(self.look(&mut stream), Now::Something)
    }

    async fn wait(&self, stream: &mut Stream) {
        loop {
            match self.look(stream) {
                Now::Something => return,
                Now::Nothing => stream.ahead = Some(stream.events.recv().await.unwrap_or_else(silence)),
                Now::Pause { until_ns } => self.clock.sleep_until(until_ns).await,
            }
        }
    }

    /// What can be had at once. A try that failed in silence is replaced by the next.
    fn look(&self, stream: &mut Stream) -> Now {
        loop {
            if stream.ended.is_some() {
                return Now::Something;
            }
            if stream.between {
                match stream.tries.step() {
                    Progress::Begun(begun) => self.go_on(stream, begun),
                    Progress::Pause { until_ns } => return Now::Pause { until_ns },
                    Progress::Over(error) => {
                        self.settle_unpaid();
                        stream.ended = Some(Err(error));
                    }
                }
                continue;
            }
            match &stream.ahead {
                Some(EngineEvent::Failed(error)) if self.can_be_replaced(stream) => {
                    stream.tries.failed_silently(error);
                    (stream.ahead, stream.between) = (None, true);
                }
                Some(event) => {
                    let shows = !matches!(event, EngineEvent::Failed(_));
                    if shows && !std::mem::replace(&mut stream.showed, true) {
                        stream.tries.showed();
                    }
                    return Now::Something;
                }
                None => match stream.events.try_recv() {
                    Ok(event) => stream.ahead = Some(event),
                    Err(mpsc::error::TryRecvError::Disconnected) => stream.ahead = Some(silence()),
                    Err(mpsc::error::TryRecvError::Empty) => return Now::Nothing,
                },
            }
        }
    }

    /// Whether another model may answer instead: nothing was shown, and somebody still wants it.
    fn can_be_replaced(&self, stream: &Stream) -> bool {
        !stream.showed && stream.tries.is_routed() && !self.work.lock().meter.is_cancelled()
    }

    fn go_on(&self, stream: &mut Stream, begun: Begun) {
        let Begun { stream: EngineStream { events, meter }, prices, cut_by_budget } = begun;
        (stream.events, stream.cut_by_budget, stream.between) = (events, cut_by_budget, false);
        let mut work = self.work.lock();
        if work.meter.is_cancelled() {
            meter.cancel();
        }
        (work.meter, work.prices) = (meter, prices);
    }

    /// Ends it before its next token; the reader still gets what was written, and the end.
    pub(crate) fn cancel(&self) {
        self.work.lock().meter.cancel();
    }

    fn summary(&self, finish: EngineFinish, stream: &mut Stream) -> Summary {
        let finish = match finish {
            EngineFinish::Stop => FinishReason::Stop,
            EngineFinish::Length if stream.cut_by_budget => FinishReason::Budget,
            EngineFinish::Length => FinishReason::Length,
            EngineFinish::Cancelled => FinishReason::Cancelled,
            EngineFinish::ToolCalls => FinishReason::ToolCalls,
        };
        let usage = self.work.lock().meter.usage();
        stream.used = stream.tries.used(usage);
        let paid = self.settle();
        Summary { finish, usage, paid, routed: stream.tries.answered(usage) }
    }

    fn settle(&self) -> Tokens {
        self.work.lock().settle()
    }

    /// Nothing was shown, and nothing is paid.
    fn settle_unpaid(&self) {
        self.work.lock().payment = Payment::Settled(Tokens::ZERO);
    }
}

impl Work {
    fn settle(&mut self) -> Tokens {
        let paid = match std::mem::replace(&mut self.payment, Payment::Settled(Tokens::ZERO)) {
            Payment::Reserved(reservation) => reservation.settle_usage(self.meter.usage(), &self.prices),
            Payment::Settled(paid) => paid,
        };
        self.payment = Payment::Settled(paid);
        paid
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        let work = self.work.get_mut();
        work.meter.cancel();
        let stream = self.stream.get_mut();
        // A try that failed in silence is not paid, also where nobody waits for the next.
        match stream.between {
            true => work.payment = Payment::Settled(Tokens::ZERO),
            false => drop(work.settle()),
        }
        stream.tries.given_up(work.meter.usage());
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
        EngineError::Prompt(why) | EngineError::Format(why) => LlmError::Invalid(why.clone()),
        EngineError::UnknownModel { .. }
        | EngineError::Busy { .. }
        | EngineError::Failed(_)
        | EngineError::Stopped(_) => LlmError::Unavailable(error.to_string().into_boxed_str()),
    }
}
