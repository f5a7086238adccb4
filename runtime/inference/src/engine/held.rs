//! A generation that is held to a format: where it stands, which tokens may come next, and the calls in what it wrote.
//!
//! | when | what | where |
//! | --- | --- | --- |
//! | a step that draws begins to be computed | the mask of its place is asked for | [`Masks`], a thread of its own, beside the step |
//! | a draft is made | it is cut where a token could not come | the engine's thread, on a state beside the generation's |
//! | its logits are there | a token is drawn among those of the mask | the engine's thread, which computes a mask that is not there yet |
//! | a token was drawn | the state goes on by it | the engine's thread |
//!
//! The thread computes masks one after the other while the step is computed; what is not there by then, whoever draws waits for or
//! computes. A state has one place at a time, so that whoever computes its mask computes the same: a panic or a crash between changes nothing.

use crate::{sampler::SplitMix64, tokenizer::Utf8Stream};
use remit_abi::ToolCall;
use remit_grammar::{
    Constraint, Ending, Mask, Next, Scout, State, Vocabulary,
    tools::{CallReader, Piece},
};
use remit_kernel::ports::{EngineError, GenerationJob};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread::JoinHandle,
};

/// Characters of a call's id: what templates of Mistral want, and 46 bits of it.
const ID_CHARACTERS: usize = 9;

/// What a generation is held to.
pub(super) struct Held {
    state: Place,
    /// Looks at what may come, where there was a draft.
    scout: Option<Scout>,
}

impl Held {
    pub(super) fn new(constraint: &Constraint) -> Self {
        Self { state: Arc::new(Mutex::new(constraint.begin())), scout: None }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the text is complete, and nothing could be added.
    pub(super) fn is_at_end(&self) -> bool {
        self.state().is_at_end()
    }

    /// How many tokens of a draft may come behind what was written so far.
    pub(super) fn cut(&mut self, written: &[u32], draft: &[u32]) -> usize {
        if draft.is_empty() {
            return 0;
        }
        let following = self.scout.take().and_then(|mut scout| scout.follow(written).then_some(scout));
        let mut scout = following.unwrap_or_else(|| Scout::new(&self.state(), written.len()));
        let allowed = scout.allowed(draft);
        self.scout = allowed.map(|_| scout);
        allowed.unwrap_or(draft.len())
    }

    /// Draws a token among those that may come next, and goes on by it.
    ///
    /// # Errors
    /// [`EngineError::Format`], where there is none.
    pub(super) fn draw(&self, sample: impl FnOnce(&Mask) -> u32) -> Result<u32, EngineError> {
        let state = &mut *self.state();
        let drawn = match state.allowed() {
            Next::Among(mask) => Some(sample(mask)).filter(|token| mask.allows(*token)),
            Next::End => return Err(over(state.ending())),
        };
        match drawn.filter(|token| state.accept(*token).is_ok()) {
            Some(token) => Ok(token),
            None => Err(match state.ending() {
                None => EngineError::Format("logit-bias forbids every token that the format allows".into()),
                ending => over(ending),
            }),
        }
    }
}

/// Why a text that is not complete cannot go on.
fn over(ending: Option<Ending>) -> EngineError {
    EngineError::Format(match ending {
        Some(Ending::Exhausted(why)) => {
            format!("the format became too large or too ambiguous on the way ({why}); simplify it").into()
        }
        Some(Ending::Stuck | Ending::Complete) | None => {
            "no token of the model goes on as the format asks; change the format, or choose another model".into()
        }
    })
}

/// Where a generation stands.
type Place = Arc<Mutex<State>>;

/// A thread that computes masks while a step is computed.
#[derive(Default)]
pub(super) struct Masks {
    /// Absent until there is a mask to compute, and where the system gives no thread: whoever draws computes them then.
    thread: Option<(mpsc::Sender<Place>, JoinHandle<()>)>,
}

impl Masks {
    /// Computes the mask of its place soon.
    pub(super) fn prepare(&mut self, held: &Held) {
        if self.thread.is_none() {
            let (queue, states) = mpsc::channel::<Place>();
            let compute = move || {
                for state in states {
                    state.lock().unwrap_or_else(PoisonError::into_inner).allowed();
                }
            };
            let spawned = std::thread::Builder::new().name("inference-masks".to_owned()).spawn(compute);
            self.thread = spawned.ok().map(|thread| (queue, thread));
        }
        if let Some((queue, _)) = &self.thread {
            // A thread that panicked computes no more.
            drop(queue.send(held.state.clone()));
        }
    }
}

impl Drop for Masks {
    fn drop(&mut self) {
        if let Some((queue, thread)) = self.thread.take() {
            drop(queue);
            // A panic was the library's, and its generation is told.
            drop(thread.join());
        }
    }
}

/// Reads the calls of a generation, token by token.
pub(super) struct Calls {
    reader: CallReader,
    vocabulary: Vocabulary,
    characters: Utf8Stream,
    /// Of the ids.
    seed: u64,
    count: u64,
}

/// A part of an answer.
#[derive(Debug)]
pub(super) enum Told {
    Text(String),
    Call(ToolCall),
}

impl Calls {
    /// Ids follow from the prompt and the seed: the same generation has the same, and the next turn's others.
    pub(super) fn new(reader: CallReader, vocabulary: Vocabulary, job: &GenerationJob) -> Self {
        let hash = |hash: u64, token: &u32| (hash ^ u64::from(*token)).wrapping_mul(0x0000_0100_0000_01b3);
        let seed = job.prompt.iter().fold(0xcbf2_9ce4_8422_2325 ^ job.params.sampling.seed, hash);
        Self { reader, vocabulary, characters: Utf8Stream::default(), seed, count: 0 }
    }

    /// Whether there was any.
    pub(super) fn is_some(&self) -> bool {
        self.count > 0
    }

    /// Goes on by a token.
    pub(super) fn push(&mut self, token: u32) -> Vec<Told> {
        let text = self.characters.push(self.vocabulary.written(token));
        let pieces = self.reader.push(&text);
        self.tell(pieces)
    }

    /// What was held back, once no more can come: a call that was cut is text.
    pub(super) fn finish(&mut self) -> Vec<Told> {
        let rest = self.characters.finish();
        let mut pieces = self.reader.push(&rest);
        pieces.extend(self.reader.clone().finish());
        self.tell(pieces)
    }

    /// Texts that follow each other are one.
    fn tell(&mut self, pieces: Vec<Piece>) -> Vec<Told> {
        let mut told = Vec::new();
        for piece in pieces {
            match (piece, told.last_mut()) {
                (Piece::Text(more), Some(Told::Text(text))) => text.push_str(&more),
                (Piece::Text(text), _) => told.push(Told::Text(text)),
                (Piece::Call(call), _) => {
                    let (name, arguments) = (call.name.into(), call.arguments.into());
                    told.push(Told::Call(ToolCall { id: self.next_id(), name, arguments }));
                }
            }
        }
        told
    }

    fn next_id(&mut self) -> Box<str> {
        let mut number = SplitMix64::after(self.seed, self.count).next_u64();
        self.count += 1;
        let character = |_| {
            let digit = (number % 36) as u32;
            number /= 36;
            char::from_digit(digit, 36).unwrap_or('0')
        };
        (0..ID_CHARACTERS).map(character).collect::<String>().into()
    }
}
