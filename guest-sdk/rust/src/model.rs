//! Models: what they are, and what they are given.

use crate::{
    Content, LlmError, Value,
    bindings::remit::kernel::llm,
    call::{Call, ChatPrompt, TextPrompt},
    capability::Grant,
    task::Role,
};

pub use llm::ModelInfo;

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
            Prompt::Chat(messages) => {
                let messages: Vec<_> = messages.iter().map(Message::raw).collect();
                self.raw.count_tokens(llm::Prompt::Chat(&messages))
            }
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
        Call::new(self, ChatPrompt(messages))
    }

    /// Goes on from a text as it is: a call to be set up, then sent.
    #[must_use = "a call does nothing until it is sent"]
    pub fn complete<'a>(&'a self, text: impl Into<Content<'a>>) -> Call<'a, TextPrompt<'a>> {
        Call::new(self, TextPrompt(text.into()))
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
    /// What is said.
    pub content: Content<'a>,
}

impl<'a> Message<'a> {
    /// Said by somebody.
    #[must_use]
    pub fn new(role: Role, content: impl Into<Content<'a>>) -> Self {
        Self { role, content: content.into() }
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

    pub(crate) fn raw(&self) -> llm::Message<'_> {
        llm::Message { role: self.role, content: self.content.raw() }
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
