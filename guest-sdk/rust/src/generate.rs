//! Generations: set up, sent or streamed, and what they came to.

use crate::{
    Content, LlmError, Message, Model, Tokens, Value, ValueError,
    bindings::remit::kernel::llm,
    wait::{Pollable, Waitable, Watched},
};
use std::iter::FusedIterator;

pub use llm::{FinishReason, Usage};

/// Output tokens of a call that names no limit: a few paragraphs.
const MAX_TOKENS_DEFAULT: u32 = 256;

/// A call of a model that is being set up.
///
/// Defaults: `max_tokens` 256, or the grant's limit where that is lower; `temperature` 0, which always takes the likeliest
/// token; `top_p` 1, `seed` 0; no stop strings.
///
/// ```no_run
/// # use remit::prelude::*;
/// # fn example(model: &Model) -> Result<(), Failure> {
/// let messages = [Message::user("Name a colour.")];
/// let answer = model.chat(&messages).max_tokens(20).temperature(0.7).top_p(0.9).seed(7).stop(&["\n"]).send()?;
/// remit::info!("{} for {} tokens", answer.text()?, answer.summary.paid);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a call does nothing until it is sent or streamed"]
pub struct Call<'a, P> {
    model: &'a Model,
    prompt: P,
    max_tokens: Option<u32>,
    temperature: f32,
    top_p: f32,
    seed: u64,
    stop: &'a [&'a str],
}

/// What [`Model::chat`] answers: a conversation.
#[derive(Clone, Debug)]
pub struct ChatPrompt<'a>(pub(crate) &'a [Message<'a>]);

/// What [`Model::complete`] goes on from: a text.
#[derive(Clone, Debug)]
pub struct TextPrompt<'a>(pub(crate) Content<'a>);

impl<'a, P> Call<'a, P> {
    pub(crate) const fn new(model: &'a Model, prompt: P) -> Self {
        Self { model, prompt, max_tokens: None, temperature: 0.0, top_p: 1.0, seed: 0, stop: &[] }
    }

    /// At most so many tokens of output.
    pub const fn max_tokens(mut self, max_tokens: u32) -> Self {
        self.max_tokens = Some(max_tokens);
        self
    }

    /// Divides the logits; 0 always takes the likeliest token.
    pub const fn temperature(mut self, temperature: f32) -> Self {
        self.temperature = temperature;
        self
    }

    /// Draws among the likeliest tokens that together have this probability; 1 is all.
    pub const fn top_p(mut self, top_p: f32) -> Self {
        self.top_p = top_p;
        self
    }

    /// The same seed, prompt and model give the same text.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Ends the output where one of these appears; it is not part of the output. 16 at most, of 256 bytes each.
    pub const fn stop(mut self, stop: &'a [&'a str]) -> Self {
        self.stop = stop;
        self
    }

    fn params(&self) -> llm::Params<'a> {
        let limit = self.model.max_tokens_per_call().unwrap_or(u32::MAX);
        llm::Params {
            max_tokens: self.max_tokens.unwrap_or(MAX_TOKENS_DEFAULT.min(limit)),
            temperature: self.temperature,
            top_p: self.top_p,
            seed: self.seed,
            stop: self.stop,
        }
    }
}

impl Call<'_, ChatPrompt<'_>> {
    /// Answers when all of the answer is there.
    ///
    /// # Errors
    /// [`LlmError`]: no right, no money, no room in the context, or no engine.
    pub fn send(&self) -> Result<Completion, LlmError> {
        let messages: Vec<_> = self.prompt.0.iter().map(Message::raw).collect();
        Ok(Completion::new(self.model.raw.chat(&messages, self.params())?))
    }

    /// Answers at once with a stream.
    ///
    /// # Errors
    /// As [`Call::send`].
    pub fn stream(&self) -> Result<Generation, LlmError> {
        let messages: Vec<_> = self.prompt.0.iter().map(Message::raw).collect();
        Ok(Generation::new(self.model.raw.chat_stream(&messages, self.params())?))
    }
}

impl Call<'_, TextPrompt<'_>> {
    /// Goes on from the text, and answers when all of it is there.
    ///
    /// # Errors
    /// [`LlmError`]: no right, no money, no room in the context, or no engine.
    pub fn send(&self) -> Result<Completion, LlmError> {
        Ok(Completion::new(self.model.raw.complete(self.prompt.0.raw(), self.params())?))
    }
}

/// A whole generation.
#[derive(Debug)]
pub struct Completion {
    /// What the model wrote, unread.
    pub content: Value,
    /// What it came to.
    pub summary: Summary,
}

impl Completion {
    fn new(raw: llm::Completion) -> Self {
        Self { content: Value::new(raw.content), summary: raw.summary.into() }
    }

    /// Reads what the model wrote.
    ///
    /// # Errors
    /// As [`Value::text`].
    pub fn text(&self) -> Result<String, ValueError> {
        self.content.text()
    }
}

/// What a generation came to.
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    /// Why it ended.
    pub finish: FinishReason,
    /// Exact counts, in tokens of the model's own tokenizer.
    pub usage: Usage,
    /// What it cost.
    pub paid: Tokens,
}

impl From<llm::Summary> for Summary {
    fn from(raw: llm::Summary) -> Self {
        Self { finish: raw.finish, usage: raw.usage, paid: Tokens::from_micro(raw.paid) }
    }
}

/// A generation that streams: an iterator over pieces of text, each of whole characters and never empty.
///
/// Dropping it cancels it; what was generated is paid, the rest refunded.
///
/// ```no_run
/// # use remit::prelude::*;
/// # fn example(model: &Model) -> Result<(), Failure> {
/// let messages = [Message::user("Tell me a story.")];
/// let mut story = model.chat(&messages).stream()?;
/// for piece in &mut story {
///     emit_text(piece?)?;
/// }
/// if story.finish()?.finish == FinishReason::Budget {
///     emit_text("\n[the budget ended it here]")?;
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Generation {
    raw: llm::Generation,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Running,
    Ended(Summary),
    Failed,
}

impl Generation {
    const fn new(raw: llm::Generation) -> Self {
        Self { raw, state: State::Running }
    }

    /// What it came to, once its end was read.
    #[must_use]
    pub const fn summary(&self) -> Option<Summary> {
        match self.state {
            State::Ended(summary) => Some(summary),
            State::Running | State::Failed => None,
        }
    }

    /// Reads on to its end, without the text that may still come.
    ///
    /// # Errors
    /// [`LlmError`] where it fails before, or failed already.
    pub fn finish(mut self) -> Result<Summary, LlmError> {
        loop {
            match self.state {
                State::Ended(summary) => return Ok(summary),
                State::Failed => return Err(LlmError::Unavailable("the generation failed before its end".into())),
                State::Running => {
                    self.next().transpose()?;
                }
            }
        }
    }

    /// Ends it before its next token. What was written can still be read, and the end.
    pub fn cancel(&self) {
        self.raw.cancel();
    }

    /// Ready when the next piece is there; for [`wait::any`](crate::wait::any).
    #[must_use]
    pub fn readiness(&self) -> Pollable<'_> {
        Pollable::new(self.raw.subscribe())
    }
}

impl Iterator for Generation {
    type Item = Result<String, LlmError>;

    /// The next piece; waits for it.
    fn next(&mut self) -> Option<Self::Item> {
        if !matches!(self.state, State::Running) {
            return None;
        }
        match self.raw.next() {
            Ok(llm::Delta::Text(text)) => Some(Ok(text)),
            Ok(llm::Delta::End(summary)) => {
                self.state = State::Ended(summary.into());
                None
            }
            Err(error) => {
                self.state = State::Failed;
                Some(Err(error.into()))
            }
        }
    }
}

impl FusedIterator for Generation {}

impl Waitable for Generation {
    fn watch(&self) -> Watched<'_> {
        self.readiness().into()
    }
}
