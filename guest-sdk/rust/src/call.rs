//! A call of a model: from what, with which parameters.

use crate::{
    Completion, Content, ContextError, Generation, LlmError, Message, Model, Tool, ToolChoice,
    bindings::remit::kernel::llm,
    context::{Answer, Context},
    model::RawParts,
};

/// Output tokens of a call that names no limit: a few paragraphs.
const MAX_TOKENS_DEFAULT: u32 = 256;

/// Takes the likeliest token each time.
const GREEDY: llm::Sampling =
    llm::Sampling { temperature: 0.0, top_k: 0, typical_p: 1.0, top_p: 1.0, min_p: 0.0, seed: 0 };

/// None; but whoever sets one looks back over as many tokens as llama.cpp does.
const NO_PENALTIES: llm::Penalties = llm::Penalties { repetition: 1.0, frequency: 0.0, presence: 0.0, window: 64 };

/// A call of a model that is being set up.
///
/// | parameter | default | means |
/// | --- | --- | --- |
/// | `max_tokens` | 256, or the grant's limit where that is lower | |
/// | `temperature` | 0 | the likeliest token each time; the filters below do nothing |
/// | `top_k`, `typical_p`, `top_p`, `min_p` | 0, 1, 1, 0 | off |
/// | `seed` | 0 | |
/// | `repetition_penalty`, `frequency_penalty`, `presence_penalty` | 1, 0, 0 | off |
/// | `penalty_window` | 64 | tokens that penalties look back |
/// | `logit_bias`, `stop`, `stop_tokens`, `logprobs` | none | |
/// | `speculate` | off | the same text either way |
/// | `json_schema`, `regex`, `choice`, `grammar` | none of them | what the answer has to look like; the last one counts |
/// | `tools`, `tool_choice` | none, `Auto` | what the model may ask for |
///
/// They take effect in this order: bias, penalties, temperature, top-k, typical, top-p, min-p; then the seed's next number
/// picks among the tokens that are left. Each filter sees the probabilities that the one before left, together 1 again. A
/// parameter out of its range is [`LlmError::Invalid`], which names it.
///
/// ```no_run
/// # use remit::prelude::*;
/// # fn example(model: &Model) -> Result<(), Failure> {
/// let messages = [Message::user("Name a colour.")];
/// let answer = model.chat(&messages).max_tokens(20).temperature(0.7).top_k(40).min_p(0.05).seed(7).stop(&["\n"]).send()?;
/// remit::info!("{} for {} tokens", answer.text()?, answer.summary.paid);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a call does nothing until it is sent or streamed"]
pub struct Call<'a, P> {
    /// The most output tokens that the grant allows.
    limit: Option<u32>,
    prompt: P,
    max_tokens: Option<u32>,
    sampling: llm::Sampling,
    penalties: llm::Penalties,
    logit_bias: &'a [(u32, f32)],
    stop: &'a [&'a str],
    stop_tokens: &'a [u32],
    logprobs: Option<u8>,
    speculation: bool,
    format: llm::OutputFormat<'a>,
}

/// What [`Model::chat`] answers: a conversation.
#[derive(Clone, Debug)]
pub struct ChatPrompt<'a> {
    model: &'a Model,
    messages: &'a [Message<'a>],
    tools: &'a [Tool<'a>],
    choice: ToolChoice<'a>,
}

impl<'a> ChatPrompt<'a> {
    pub(crate) const fn new(model: &'a Model, messages: &'a [Message<'a>]) -> Self {
        Self { model, messages, tools: &[], choice: ToolChoice::Auto }
    }

    /// Hands the conversation over.
    fn put<T>(&self, to: impl FnOnce(llm::Conversation<'_>) -> T) -> T {
        let parts = RawParts::of(self.messages);
        let messages = parts.messages(self.messages);
        let tools = (!self.tools.is_empty()).then_some(llm::Toolset { tools: self.tools, choice: self.choice.clone() });
        to(llm::Conversation { messages: &messages, tools })
    }
}

/// What [`Model::complete`] goes on from: a text.
#[derive(Clone, Debug)]
pub struct TextPrompt<'a> {
    pub(crate) model: &'a Model,
    pub(crate) text: Content<'a>,
}

/// What [`Context::chat`](crate::context::Context::chat) answers: what was said in a context.
#[derive(Clone, Debug)]
pub struct ContextPrompt<'a> {
    context: &'a Context,
    tools: &'a [Tool<'a>],
    choice: ToolChoice<'a>,
}

impl<'a> ContextPrompt<'a> {
    pub(crate) const fn new(context: &'a Context) -> Self {
        Self { context, tools: &[], choice: ToolChoice::Auto }
    }
}

impl<'a, P> Call<'a, P> {
    pub(crate) const fn new(limit: Option<u32>, prompt: P) -> Self {
        Self {
            limit,
            prompt,
            max_tokens: None,
            sampling: GREEDY,
            penalties: NO_PENALTIES,
            logit_bias: &[],
            stop: &[],
            stop_tokens: &[],
            logprobs: None,
            speculation: false,
            format: llm::OutputFormat::Any,
        }
    }

    /// At most so many tokens of output.
    pub const fn max_tokens(mut self, max_tokens: u32) -> Self {
        self.max_tokens = Some(max_tokens);
        self
    }

    /// Divides the logits; 0 always takes the likeliest token. 0 to 100.
    pub const fn temperature(mut self, temperature: f32) -> Self {
        self.sampling.temperature = temperature;
        self
    }

    /// Draws among this many of the likeliest tokens (Fan et al. 2018); 0 is all.
    pub const fn top_k(mut self, top_k: u32) -> Self {
        self.sampling.top_k = top_k;
        self
    }

    /// Draws among the tokens that are about as surprising as the whole distribution, as many as together have this
    /// probability (Meister et al. 2022); 1 is all. Above 0, at most 1.
    pub const fn typical_p(mut self, typical_p: f32) -> Self {
        self.sampling.typical_p = typical_p;
        self
    }

    /// Draws among the likeliest tokens that together have this probability (Holtzman et al. 2020); 1 is all. Above 0, at
    /// most 1.
    pub const fn top_p(mut self, top_p: f32) -> Self {
        self.sampling.top_p = top_p;
        self
    }

    /// Draws among the tokens that are at least this many times as likely as the likeliest (Nguyen et al. 2024); 0 is all.
    /// 0 to 1.
    pub const fn min_p(mut self, min_p: f32) -> Self {
        self.sampling.min_p = min_p;
        self
    }

    /// The same seed, prompt, parameters and model give the same text.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.sampling.seed = seed;
        self
    }

    /// Divides the logits above 0 of tokens that were there, and multiplies the others (Keskar et al. 2019); 1 does nothing.
    /// 0.1 to 10.
    pub const fn repetition_penalty(mut self, penalty: f32) -> Self {
        self.penalties.repetition = penalty;
        self
    }

    /// Is taken from the logit of a token as often as it was there, as in OpenAI's API; 0 does nothing. -2 to 2.
    pub const fn frequency_penalty(mut self, penalty: f32) -> Self {
        self.penalties.frequency = penalty;
        self
    }

    /// Is taken once from the logit of each token that was there, as in OpenAI's API; 0 does nothing. -2 to 2.
    pub const fn presence_penalty(mut self, penalty: f32) -> Self {
        self.penalties.presence = penalty;
        self
    }

    /// How many tokens the penalties look back, over the output and then over the prompt; 8192 at most.
    pub const fn penalty_window(mut self, tokens: u32) -> Self {
        self.penalties.window = tokens;
        self
    }

    /// What is added to the logits of these tokens, by their ids: -100 to 100, where -100 forbids the token. Each token once,
    /// 1024 at most.
    pub const fn logit_bias(mut self, bias: &'a [(u32, f32)]) -> Self {
        self.logit_bias = bias;
        self
    }

    /// Ends the output where one of these appears; it is not part of the output. 16 at most, of 256 bytes each.
    pub const fn stop(mut self, stop: &'a [&'a str]) -> Self {
        self.stop = stop;
        self
    }

    /// End the output, by their ids, as the model's own end token does. 64 at most.
    pub const fn stop_tokens(mut self, tokens: &'a [u32]) -> Self {
        self.stop_tokens = tokens;
        self
    }

    /// Asks for the log-probability of each token of the output, and for so many of the likeliest tokens beside it, 20 at
    /// most: see [`Completion::tokens`] and [`Generation::take_tokens`].
    pub const fn logprobs(mut self, likeliest: u8) -> Self {
        self.logprobs = Some(likeliest);
        self
    }

    /// Guesses tokens from the prompt and the output so far, and computes several at once: the same text at the same price, sooner
    /// where it repeats something, such as a document that is changed a little.
    pub const fn speculate(mut self) -> Self {
        self.speculation = true;
        self
    }

    /// The answer is JSON that fits this JSON Schema (2020-12), which is JSON too. It is held to while it is written: whatever
    /// the model and the temperature, the answer fits unless it was cut, as the reason of its end says then. Strings, lists
    /// and objects for which the schema has no limits are given some. 64 KiB.
    ///
    /// ```no_run
    /// # use remit::prelude::*;
    /// # fn example(model: &Model, document: &Value) -> Result<(), Failure> {
    /// let schema = r#"{"properties": {"title": {"type": "string", "maxLength": 80}, "year": {"type": "integer"}},
    ///                  "required": ["title", "year"]}"#;
    /// let messages = [Message::user(document), Message::user("Title and year of this book?")];
    /// let answer = model.chat(&messages).json_schema(schema).send()?;
    /// emit_text(&answer.content)?;
    /// # Ok(()) }
    /// ```
    pub const fn json_schema(mut self, schema: &'a str) -> Self {
        self.format = llm::OutputFormat::JsonSchema(schema);
        self
    }

    /// The answer is a text that this regular expression matches as a whole, in the syntax of the crate `regex`, without
    /// look-around and anchors. 4 KiB.
    pub const fn regex(mut self, expression: &'a str) -> Self {
        self.format = llm::OutputFormat::Regex(expression);
        self
    }

    /// The answer is one of these texts. 1024 at most, 64 KiB together.
    pub const fn choice(mut self, choices: &'a [&'a str]) -> Self {
        self.format = llm::OutputFormat::Choice(choices);
        self
    }

    /// The answer is a text of this context-free grammar, whose first rule is `start`, in the variant of Lark's syntax that
    /// llguidance has. 64 KiB.
    pub const fn grammar(mut self, grammar: &'a str) -> Self {
        self.format = llm::OutputFormat::Grammar(grammar);
        self
    }

    fn params(&self) -> llm::Params<'a> {
        let limit = self.limit.unwrap_or(u32::MAX);
        llm::Params {
            max_tokens: self.max_tokens.unwrap_or(MAX_TOKENS_DEFAULT.min(limit)),
            sampling: self.sampling,
            penalties: self.penalties,
            logit_bias: self.logit_bias,
            stop: self.stop,
            stop_tokens: self.stop_tokens,
            logprobs: self.logprobs,
            speculation: self.speculation,
            format: self.format.clone(),
        }
    }
}

impl<'a> Call<'a, ChatPrompt<'a>> {
    /// What the model may ask for, as [`tool`](crate::tool) tells: 128 at most. Not beside a format, unless it must not call.
    pub const fn tools(mut self, tools: &'a [Tool<'a>]) -> Self {
        self.prompt.tools = tools;
        self
    }

    /// Whether it is to call, where it has tools.
    pub const fn tool_choice(mut self, choice: ToolChoice<'a>) -> Self {
        self.prompt.choice = choice;
        self
    }
}

impl Call<'_, ChatPrompt<'_>> {
    /// How many tokens its prompt has, tools included, exactly as the generation would see it.
    ///
    /// # Errors
    /// As [`Model::count_tokens`].
    pub fn count_tokens(&self) -> Result<u32, LlmError> {
        Ok(self.prompt.put(|conversation| self.prompt.model.raw.count_tokens(llm::Prompt::Chat(conversation)))?)
    }

    /// Answers when all of the answer is there.
    ///
    /// # Errors
    /// [`LlmError`]: a parameter out of its range, a format or a tool that is none, no right, no money, no room in the context,
    /// or no engine.
    pub fn send(&self) -> Result<Completion, LlmError> {
        let answer = self.prompt.put(|conversation| self.prompt.model.raw.chat(conversation, self.params()));
        Ok(Completion::new(answer?))
    }

    /// Answers at once with a stream.
    ///
    /// # Errors
    /// As [`Call::send`].
    pub fn stream(&self) -> Result<Generation, LlmError> {
        let stream = self.prompt.put(|conversation| self.prompt.model.raw.chat_stream(conversation, self.params()));
        Ok(Generation::new(stream?))
    }
}

impl Call<'_, TextPrompt<'_>> {
    /// Goes on from the text, and answers when all of it is there.
    ///
    /// # Errors
    /// [`LlmError`]: a parameter out of its range, no right, no money, no room in the context, or no engine.
    pub fn send(&self) -> Result<Completion, LlmError> {
        Ok(Completion::new(self.prompt.model.raw.complete(self.prompt.text.raw(), self.params())?))
    }
}

impl<'a> Call<'a, ContextPrompt<'a>> {
    /// What the model may ask for, as [`tool`](crate::tool) tells: 128 at most. Not beside a format, unless it must not call.
    pub const fn tools(mut self, tools: &'a [Tool<'a>]) -> Self {
        self.prompt.tools = tools;
        self
    }

    /// Whether it is to call, where it has tools.
    pub const fn tool_choice(mut self, choice: ToolChoice<'a>) -> Self {
        self.prompt.choice = choice;
        self
    }
}

impl Call<'_, ContextPrompt<'_>> {
    /// Answers what was said, and appends the answer.
    ///
    /// # Errors
    /// [`ContextError`]: a parameter out of its range, no right, no money, pins that leave no room, or no engine. Never that the
    /// conversation is too long.
    pub fn send(&self) -> Result<Answer, ContextError> {
        let ContextPrompt { context, tools, choice } = &self.prompt;
        let tools = (!tools.is_empty()).then(|| llm::Toolset { tools, choice: choice.clone() });
        Ok(context.raw().chat(self.params(), tools)?.into())
    }
}
