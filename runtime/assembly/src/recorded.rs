//! An engine whose replies are written down: what a clever model might have said. No model is loaded, and the same prompts get the same
//! replies in microseconds. Whatever an agent does around its model can be tested on it.
//!
//! The first turn whose `when` stands in the prompt gives the reply; one without a `when` fits every prompt. A turn with `fail` breaks off
//! after its reply. Tokens are words with the space before them; how they are to be drawn does not matter to it, and it knows no
//! log-probabilities. It answers as every model by any name, and texts become vectors by their words, so that texts with the same words are
//! alike.

use parking_lot::Mutex;
use remit_abi::{OutputFormat, TenantId, ToolCall, Toolset};
use remit_kernel::ports::{
    ChatMessage, EmbedOutcome, Engine, EngineError, EngineEvent, EngineFinish, EngineStream, GenerationJob, Meter,
    ModelCard, PortFuture, PromptText,
};
use serde::Deserialize;
use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};
use tokio::sync::mpsc;

/// As much of a prompt as a sentence about it shows: its end, which is what was said last.
const SHOWN_CHARS_MAX: usize = 200;

/// What a model says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replies {
    /// Tokens of prompt and answer together, at most.
    pub context_length: u32,
    /// What it says to what, in the order in which they are tried.
    pub turns: Vec<Turn>,
}

/// What it says to one kind of prompt.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// What stands in the prompt; empty, and it fits every prompt.
    #[serde(default)]
    pub when: String,
    /// What it says then.
    pub reply: String,
    /// What it asks for behind that: one token each.
    #[serde(default)]
    pub calls: Vec<WrittenCall>,
    /// Whether it breaks off then.
    #[serde(default)]
    pub fail: bool,
}

/// A call of a tool, as it is written down.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrittenCall {
    /// The tool's name.
    pub name: String,
    /// Its arguments: an object.
    pub arguments: serde_json::Value,
}

/// Says what is written.
#[derive(Debug)]
pub struct RecordedEngine {
    replies: Replies,
    words: Mutex<Words>,
    prompts: Mutex<Vec<String>>,
}

/// Words by number: a token is a place in this list.
#[derive(Debug, Default)]
struct Words {
    words: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl RecordedEngine {
    /// One that says this.
    #[must_use]
    pub fn new(replies: Replies) -> Self {
        Self { replies, words: Mutex::default(), prompts: Mutex::default() }
    }

    /// Every prompt that was generated from, in order.
    #[must_use]
    pub fn prompts(&self) -> Vec<String> {
        self.prompts.lock().clone()
    }

    fn encode(&self, text: &str) -> Arc<[u32]> {
        let Words { words, numbers } = &mut *self.words.lock();
        let number = |word: &str| {
            *numbers.entry(word.to_owned()).or_insert_with(|| {
                words.push(word.to_owned());
                whole(words.len()).saturating_sub(1)
            })
        };
        text.split_inclusive(' ').map(number).collect()
    }

    fn decode(&self, tokens: &[u32]) -> String {
        let words = self.words.lock();
        tokens.iter().filter_map(|token| words.words.get(*token as usize)).map(String::as_str).collect()
    }
}

/// A count of words, of which nobody writes 2^32.
fn whole(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// A message as it stands in prompts.
fn said(message: &ChatMessage) -> String {
    match message {
        ChatMessage::Said { role, content } => format!("<{role:?}> {content} "),
        ChatMessage::Called { content, calls } => {
            let calls = calls.iter().map(|call| format!("[{} {} {}] ", call.id, call.name, call.arguments));
            format!("<Assistant> {content} {}", calls.collect::<String>())
        }
        ChatMessage::Result { id, name, content } => format!("<Result> [{id} {name}] {content} "),
    }
}

/// How wide the vectors of the embedding model are that it stands for.
const WIDTH: usize = 384;

fn direction(text: &str) -> Vec<f32> {
    let mut vector = vec![0.0_f32; WIDTH];
    for word in text.split(|end: char| !end.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let mut hasher = DefaultHasher::new();
        word.to_lowercase().hash(&mut hasher);
        // Some numbers of each word, so that two words seldom have the same.
        for _ in 0..4 {
            hasher.write_u8(1);
            let place = usize::try_from(hasher.finish() % WIDTH as u64).ok();
            if let Some(number) = place.and_then(|place| vector.get_mut(place)) {
                *number += 1.0;
            }
        }
    }
    let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    vector.iter().map(|number| number / length).collect()
}

/// The sentence where nothing that is written fits.
fn unfitting(prompt: &str) -> EngineError {
    let skipped = prompt.chars().count().saturating_sub(SHOWN_CHARS_MAX);
    let end: String = prompt.chars().skip(skipped).collect();
    let cut = if skipped > 0 { "..." } else { "" };
    EngineError::Failed(
        format!("no turn that is written down fits the prompt {cut}{end:?}: write one whose `when` stands in it")
            .into(),
    )
}

impl Engine for RecordedEngine {
    fn card(&self, model: &str) -> Result<ModelCard, EngineError> {
        Ok(ModelCard {
            name: model.into(),
            family: "recorded".into(),
            context_length: self.replies.context_length,
            // Words become tokens as they come.
            vocabulary: u32::MAX,
            digest: "none".into(),
        })
    }

    fn tokenize(&self, _: &str, prompt: &PromptText) -> Result<Arc<[u32]>, EngineError> {
        Ok(match prompt {
            PromptText::Text(text) => self.encode(text),
            PromptText::Chat(chat) => self.encode(&chat.messages.iter().map(said).collect::<String>()),
        })
    }

    /// Whatever it is asked for, it says what is written.
    fn accepts(&self, _: TenantId, _: &str, _: &OutputFormat, _: Option<&Toolset>) -> Result<(), EngineError> {
        Ok(())
    }

    /// Each word points somewhere, and a text to where its words do together: texts with the same words are alike.
    fn embed(&self, _: &str, texts: Vec<Arc<[u32]>>) -> Result<PortFuture<'static, EmbedOutcome>, EngineError> {
        let vectors: Vec<_> = texts.iter().map(|tokens| direction(&self.decode(tokens))).collect();
        Ok(Box::pin(std::future::ready(Ok(vectors))))
    }

    fn generate(&self, job: GenerationJob) -> Result<EngineStream, EngineError> {
        let prompt = self.decode(&job.prompt);
        let turn = self.replies.turns.iter().find(|turn| prompt.contains(&turn.when));
        let turn = turn.ok_or_else(|| unfitting(&prompt))?;
        self.prompts.lock().push(prompt);
        let mut words = turn.reply.split_inclusive(' ').peekable();
        let (sender, events) = mpsc::channel(words.clone().count() + turn.calls.len() + 1);
        let meter = Arc::new(Meter::default());
        meter.add_input(whole(job.prompt.len()));
        // The channel holds all of it, and its other end is here.
        let send = |event| drop(sender.try_send(event));
        for word in words.by_ref().take(job.params.max_tokens as usize) {
            meter.add_output(1);
            send(EngineEvent::Text(word.to_owned()));
        }
        let is_cut = words.peek().is_some();
        for (index, WrittenCall { name, arguments }) in turn.calls.iter().enumerate().filter(|_| !is_cut) {
            meter.add_output(1);
            let (id, arguments) = (format!("call{index}").into(), arguments.to_string().into());
            send(EngineEvent::ToolCall(Box::new(ToolCall { id, name: name.as_str().into(), arguments })));
        }
        send(match (turn.fail, is_cut) {
            (true, _) => EngineEvent::Failed(EngineError::Stopped("the recording breaks off".into())),
            (false, false) if turn.calls.is_empty() => EngineEvent::End(EngineFinish::Stop),
            (false, false) => EngineEvent::End(EngineFinish::ToolCalls),
            (false, true) => EngineEvent::End(EngineFinish::Length),
        });
        Ok(EngineStream { events, meter })
    }
}
