//! Models: what they are, and what they are given.

use crate::{
    Content, LlmError, ToolCall, Value,
    bindings::remit::kernel::llm,
    call::{Call, ChatPrompt, TextPrompt},
    capability::Grant,
    task::Role,
};

pub use llm::{Media, ModelInfo};

/// A model that was opened through a grant.
///
/// ```no_run
/// use remit::prelude::*;
///
/// #[remit::agent]
/// fn run(task: Task) -> Result<Outcome, Failure> {
///     let model = Model::take("chat")?;
///     let messages: Vec<Message> = task.messages().collect();
///     for piece in &mut model.chat(&messages).max_tokens(200).stream()? {
///         emit_text(piece?)?;
///     }
///     Ok(Outcome::complete())
/// }
/// # fn main() {}
/// ```
#[derive(Debug)]
pub struct Model {
    pub(crate) raw: llm::Model,
    max_tokens_per_call: Option<u32>,
}

impl Model {
    /// Takes the grant under a label of the manifest, and opens its model.
    ///
    /// # Errors
    /// [`LlmError::Denied`] where no such grant was given; [`LlmError::Unavailable`] where the model is not there.
    pub fn take(label: &str) -> Result<Self, LlmError> {
        Self::open(&Grant::take(label)?)
    }

    /// Opens the model of a grant.
    ///
    /// # Errors
    /// As [`Model::take`].
    pub fn open(grant: &Grant) -> Result<Self, LlmError> {
        let max_tokens_per_call = grant.info()?.limits.max_tokens_per_call;
        Ok(Self { raw: llm::Model::open(&grant.0)?, max_tokens_per_call })
    }

    /// Name, context length and digest.
    ///
    /// # Errors
    /// [`LlmError`], as the kernel says.
    pub fn info(&self) -> Result<ModelInfo, LlmError> {
        Ok(self.raw.get_info()?)
    }

    /// The most output tokens that the grant allows a call, where it has a limit.
    #[must_use]
    pub const fn max_tokens_per_call(&self) -> Option<u32> {
        self.max_tokens_per_call
    }

    /// How many tokens a prompt has, exactly as a generation would see it.
    ///
    /// ```no_run
    /// # use remit::prelude::*;
    /// # fn example(model: &Model, document: &Value) -> Result<(), Failure> {
    /// let text = model.count_tokens(document)?;
    /// let with_template = model.count_tokens(&[Message::user(document)])?;
    /// assert!(with_template > text);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`LlmError`], for example where a value is not text, or the account cannot pay the count.
    pub fn count_tokens<'a>(&self, prompt: impl Into<Prompt<'a>>) -> Result<u32, LlmError> {
        let count = match prompt.into() {
            Prompt::Chat(messages) => return self.chat(messages).count_tokens(),
            Prompt::Text(text) => self.raw.count_tokens(llm::Prompt::Text(text.raw())),
        };
        Ok(count?)
    }

    /// Texts as vectors, in their order: of length one, so that a scalar product is a cosine. Only of a model that embeds.
    /// After this the process has read the texts: its label has risen with theirs.
    ///
    /// ```no_run
    /// # use remit::prelude::*;
    /// # fn example(model: &Model, document: &Value) -> Result<(), Failure> {
    /// let vectors = model.embed(&["rivers of Europe".into(), document.into()])?;
    /// let cosine: f32 = vectors[0].iter().zip(&vectors[1]).map(|(a, b)| a * b).sum();
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`LlmError`], for example where a text is longer than the model's context, or the model does not embed.
    pub fn embed(&self, texts: &[Content<'_>]) -> Result<Vec<Vec<f32>>, LlmError> {
        let texts: Vec<_> = texts.iter().map(Content::raw).collect();
        Ok(self.raw.embed(&texts)?)
    }

    /// Answers a conversation: a call to be set up, then sent or streamed.
    #[must_use = "a call does nothing until it is sent or streamed"]
    pub const fn chat<'a>(&'a self, messages: &'a [Message<'a>]) -> Call<'a, ChatPrompt<'a>> {
        Call::new(self.max_tokens_per_call, ChatPrompt::new(self, messages))
    }

    /// Goes on from a text as it is: a call to be set up, then sent.
    #[must_use = "a call does nothing until it is sent"]
    pub fn complete<'a>(&'a self, text: impl Into<Content<'a>>) -> Call<'a, TextPrompt<'a>> {
        Call::new(self.max_tokens_per_call, TextPrompt { model: self, text: text.into() })
    }
}

/// One message of a conversation. Special tokens in its content are plain text to the model.
///
/// ```no_run
/// # use remit::prelude::*;
/// # fn example(document: &Value) {
/// let messages = [Message::system("Summarise the text."), Message::user(document)];
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// Who speaks.
    pub role: Role,
    /// What is said, in this order; texts follow each other without anything between.
    pub content: Vec<Part<'a>>,
}

/// A piece of what a message says.
#[derive(Clone, Debug)]
pub enum Part<'a> {
    /// Text.
    Text(Content<'a>),
    /// A picture: a value of a media type `image/...`, unread.
    Image(&'a Value),
    /// A sound: a value of a media type `audio/...`, unread.
    Audio(&'a Value),
    /// In messages of the assistant: what it asked for. The model sees it behind the message's texts.
    ToolCall(&'a ToolCall),
    /// In messages of the user: what an earlier call came to. The model sees it before the message's texts.
    ToolResult {
        /// Which call.
        id: &'a str,
        /// What the tool says: also that it failed, and why.
        content: Content<'a>,
    },
}

impl Part<'_> {
    fn raw(&self) -> llm::Part<'_> {
        match self {
            Self::Text(text) => llm::Part::Text(text.raw()),
            Self::Image(value) => llm::Part::Image(value.raw()),
            Self::Audio(value) => llm::Part::Audio(value.raw()),
            Self::ToolCall(call) => llm::Part::ToolCall(call),
            Self::ToolResult { id, content } => llm::Part::ToolResult(llm::ToolResult { id, content: content.raw() }),
        }
    }
}

impl<'a> Message<'a> {
    /// Said by somebody.
    #[must_use]
    pub fn new(role: Role, content: impl Into<Content<'a>>) -> Self {
        Self { role, content: vec![Part::Text(content.into())] }
    }

    /// Standing instructions.
    #[must_use]
    pub fn system(content: impl Into<Content<'a>>) -> Self {
        Self::new(Role::System, content)
    }

    /// Said by the person, or whoever stands for one.
    #[must_use]
    pub fn user(content: impl Into<Content<'a>>) -> Self {
        Self::new(Role::User, content)
    }

    /// Said by the model.
    #[must_use]
    pub fn assistant(content: impl Into<Content<'a>>) -> Self {
        Self::new(Role::Assistant, content)
    }

    /// Said by the model, with the calls that it asked for.
    #[must_use]
    pub fn called(content: impl Into<Content<'a>>, calls: &'a [ToolCall]) -> Self {
        let said = Self::assistant(content);
        calls.iter().fold(said, |said, call| said.with(Part::ToolCall(call)))
    }

    /// What a call came to.
    #[must_use]
    pub fn result(call: &'a ToolCall, content: impl Into<Content<'a>>) -> Self {
        Self { role: Role::User, content: vec![Part::ToolResult { id: &call.id, content: content.into() }] }
    }

    /// Says one more thing. A model that does not take it answers [`LlmError::NotSupported`], and costs nothing.
    ///
    /// ```no_run
    /// # use remit::{Part, prelude::*};
    /// # fn example(model: &Model, photo: &Value) -> Result<(), Failure> {
    /// let messages = [Message::user("What is on this photo?").with(Part::Image(photo))];
    /// match model.chat(&messages).send() {
    ///     Err(LlmError::NotSupported { .. }) => emit_text("I cannot see.")?,
    ///     answer => emit_text(&answer?.content)?,
    /// }
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn with(mut self, part: Part<'a>) -> Self {
        self.content.push(part);
        self
    }
}

/// The parts of messages as the kernel takes them, all in one list: what [`RawParts::messages`] borrows.
pub(crate) struct RawParts<'a>(Vec<llm::Part<'a>>);

impl<'a> RawParts<'a> {
    pub(crate) fn of(messages: &'a [Message<'a>]) -> Self {
        Self(messages.iter().flat_map(|message| message.content.iter().map(Part::raw)).collect())
    }

    /// Of the messages that it was made of.
    pub(crate) fn messages(&'a self, messages: &[Message<'_>]) -> Vec<llm::Message<'a>> {
        let mut rest = self.0.as_slice();
        let message = |message: &Message<'_>| {
            let (content, others) = rest.split_at(message.content.len());
            rest = others;
            llm::Message { role: message.role, content }
        };
        messages.iter().map(message).collect()
    }
}

/// What a model is given; whatever takes one takes messages, a text or a value.
#[derive(Clone, Debug)]
pub enum Prompt<'a> {
    /// A conversation, put into the model's own form.
    Chat(&'a [Message<'a>]),
    /// A text to go on from, as it is.
    Text(Content<'a>),
}

impl<'a> From<&'a [Message<'a>]> for Prompt<'a> {
    fn from(messages: &'a [Message<'a>]) -> Self {
        Self::Chat(messages)
    }
}

impl<'a, const N: usize> From<&'a [Message<'a>; N]> for Prompt<'a> {
    fn from(messages: &'a [Message<'a>; N]) -> Self {
        Self::Chat(messages)
    }
}

impl<'a> From<&'a Vec<Message<'a>>> for Prompt<'a> {
    fn from(messages: &'a Vec<Message<'a>>) -> Self {
        Self::Chat(messages)
    }
}

impl<'a> From<&'a str> for Prompt<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text.into())
    }
}

impl<'a> From<&'a String> for Prompt<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text.into())
    }
}

impl<'a> From<&'a Value> for Prompt<'a> {
    fn from(value: &'a Value) -> Self {
        Self::Text(value.into())
    }
}
