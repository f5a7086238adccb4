//! Generations: whole or streamed, and what they came to.

use crate::{
    LlmError, Tokens, Value, ValueError,
    bindings::remit::kernel::llm,
    logprob::{self, DrawnToken},
    tool::{self, ToolCall},
    wait::{Pollable, Waitable, Watched},
};
use std::iter::FusedIterator;

pub use llm::{FinishReason, Usage};

/// A whole generation.
#[derive(Debug)]
pub struct Completion {
    /// What the model wrote, unread, without the calls that it asks for.
    pub content: Value,
    /// The calls, unread, where there are any. They are the model's words: reading them raises the process's label as reading
    /// the content does.
    pub calls: Option<Value>,
    /// Its tokens with their log-probabilities, unread, where [`Call::logprobs`](crate::Call::logprobs) asked for them and
    /// the engine knows them. They tell the text: reading them raises the process's label as reading the content does.
    pub logprobs: Option<Value>,
    /// What it came to.
    pub summary: Summary,
}

impl Completion {
    pub(crate) fn new(raw: llm::Completion) -> Self {
        let (content, calls) = (Value::new(raw.content), raw.calls.map(Value::new));
        Self { content, calls, logprobs: raw.logprobs.map(Value::new), summary: raw.summary.into() }
    }

    /// Reads what the model wrote.
    ///
    /// # Errors
    /// As [`Value::text`].
    pub fn text(&self) -> Result<String, ValueError> {
        self.content.text()
    }

    /// Reads the calls that the model asks for; none where [`Call::tools`](crate::Call::tools) gave it none.
    ///
    /// # Errors
    /// As [`tool::read`].
    pub fn tool_calls(&self) -> Result<Vec<ToolCall>, ValueError> {
        self.calls.as_ref().map_or(Ok(Vec::new()), tool::read)
    }

    /// Reads its tokens with their log-probabilities; none where they were not asked for or the engine knows none.
    ///
    /// ```no_run
    /// # use remit::prelude::*;
    /// # fn example(model: &Model) -> Result<(), Failure> {
    /// let messages = [Message::user("Is the sky blue? Answer yes or no.")];
    /// let answer = model.chat(&messages).max_tokens(1).logprobs(5).send()?;
    /// for drawn in answer.tokens()? {
    ///     for token in &drawn.likeliest {
    ///         remit::info!("{:?}: {:.1} %", String::from_utf8_lossy(&token.bytes), 100.0 * token.logprob.exp());
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`logprob::read`].
    pub fn tokens(&self) -> Result<Vec<DrawnToken>, ValueError> {
        self.logprobs.as_ref().map_or(Ok(Vec::new()), logprob::read)
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
    /// Told, and not asked for yet.
    tokens: Vec<DrawnToken>,
    /// Likewise.
    calls: Vec<ToolCall>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Running,
    Ended(Summary),
    Failed,
}

impl Generation {
    pub(crate) const fn new(raw: llm::Generation) -> Self {
        Self { raw, state: State::Running, tokens: Vec::new(), calls: Vec::new() }
    }

    /// What it came to, once its end was read.
    #[must_use]
    pub const fn summary(&self) -> Option<Summary> {
        match self.state {
            State::Ended(summary) => Some(summary),
            State::Running | State::Failed => None,
        }
    }

    /// The tokens with their log-probabilities that were drawn for the pieces read so far, less those that this gave
    /// already. Where [`Call::logprobs`](crate::Call::logprobs) asked for them; the token that ended the output comes with
    /// the end.
    pub fn take_tokens(&mut self) -> Vec<DrawnToken> {
        std::mem::take(&mut self.tokens)
    }

    /// The calls that the model asked for in what was read so far, less those that this gave already. After the last piece of
    /// text, all are there.
    pub fn take_tool_calls(&mut self) -> Vec<ToolCall> {
        std::mem::take(&mut self.calls)
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
        while matches!(self.state, State::Running) {
            match self.raw.next() {
                Ok(llm::Delta::Text(text)) => return Some(Ok(text)),
                Ok(llm::Delta::Token(token)) => self.tokens.push(token),
                Ok(llm::Delta::ToolCall(call)) => self.calls.push(call),
                Ok(llm::Delta::End(summary)) => self.state = State::Ended(summary.into()),
                Err(error) => {
                    self.state = State::Failed;
                    return Some(Err(error.into()));
                }
            }
        }
        None
    }
}

impl FusedIterator for Generation {}

impl Waitable for Generation {
    fn watch(&self) -> Watched<'_> {
        self.readiness().into()
    }
}
