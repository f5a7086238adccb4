//! An engine whose replies are a data file: what a clever model might have said.
//!
//! A file has a context length and turns. The first turn whose `when` stands in the prompt gives the reply; one without a
//! `when` fits every prompt. A turn with `fail` breaks off after its reply. Tokens are words with the space before them; how
//! they are to be drawn does not matter to it, and it knows no log-probabilities.

use crate::stage::data;
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

#[derive(Deserialize)]
struct Recording {
    context_length: u32,
    turns: Vec<Turn>,
}

#[derive(Deserialize)]
struct Turn {
    #[serde(default)]
    when: String,
    reply: String,
    /// Behind the reply: one token each.
    #[serde(default)]
    calls: Vec<Call>,
    #[serde(default)]
    fail: bool,
}

#[derive(Deserialize)]
struct Call {
    name: String,
    arguments: serde_json::Value,
}

/// Plays one file.
pub(crate) struct RecordedEngine {
    recording: Recording,
    /// Words by number: a token is a place in this list.
    words: Mutex<(Vec<String>, HashMap<String, u32>)>,
    prompts: Mutex<Vec<String>>,
}

impl RecordedEngine {
    pub(crate) fn load(file: &str) -> Self {
        let text = std::fs::read_to_string(data(file)).expect("the recording is beside the tests");
        let recording = serde_json::from_str(&text).expect("the recording is in its form");
        Self { recording, words: Mutex::default(), prompts: Mutex::default() }
    }

    /// Every prompt that was generated from, in order.
    pub(crate) fn prompts(&self) -> Vec<String> {
        self.prompts.lock().clone()
    }

    fn encode(&self, text: &str) -> Arc<[u32]> {
        let (words, numbers) = &mut *self.words.lock();
        let number = |word: &str| {
            *numbers.entry(word.to_owned()).or_insert_with(|| {
                words.push(word.to_owned());
                u32::try_from(words.len() - 1).expect("tests have few words")
            })
        };
        text.split_inclusive(' ').map(number).collect()
    }

    fn decode(&self, tokens: &[u32]) -> String {
        let (words, _) = &*self.words.lock();
        tokens.iter().map(|token| words[*token as usize].as_str()).collect()
    }
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
            vector[usize::try_from(hasher.finish() % WIDTH as u64).expect("it is below the width")] += 1.0;
        }
    }
    let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    vector.iter().map(|number| number / length).collect()
}

impl Engine for RecordedEngine {
    fn card(&self, model: &str) -> Result<ModelCard, EngineError> {
        Ok(ModelCard {
            name: model.into(),
            family: "recorded".into(),
            context_length: self.recording.context_length,
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
        let turn = self.recording.turns.iter().find(|turn| prompt.contains(&turn.when));
        let turn = turn.unwrap_or_else(|| panic!("no turn of the recording fits {prompt:?}"));
        self.prompts.lock().push(prompt);
        let (sender, events) = mpsc::channel(job.params.max_tokens as usize + turn.calls.len() + 2);
        let meter = Arc::new(Meter::default());
        meter.add_input(u32::try_from(job.prompt.len()).expect("tests have few words"));
        let send = |event| sender.try_send(event).expect("the channel holds a whole generation");
        let mut words = turn.reply.split_inclusive(' ');
        for word in words.by_ref().take(job.params.max_tokens as usize) {
            meter.add_output(1);
            send(EngineEvent::Text(word.to_owned()));
        }
        let cut = words.next();
        for (index, Call { name, arguments }) in turn.calls.iter().enumerate().filter(|_| cut.is_none()) {
            meter.add_output(1);
            let (id, arguments) = (format!("call{index}").into(), arguments.to_string().into());
            send(EngineEvent::ToolCall(Box::new(ToolCall { id, name: name.as_str().into(), arguments })));
        }
        send(match (turn.fail, cut) {
            (true, _) => EngineEvent::Failed(EngineError::Stopped("the recording breaks off".into())),
            (false, None) if turn.calls.is_empty() => EngineEvent::End(EngineFinish::Stop),
            (false, None) => EngineEvent::End(EngineFinish::ToolCalls),
            (false, Some(_)) => EngineEvent::End(EngineFinish::Length),
        });
        Ok(EngineStream { events, meter })
    }
}
