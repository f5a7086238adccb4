//! The file of tasks, and everything that can be wrong with it.

use super::property::{Expectation, Property};
use remit_abi::{FinishReason, Params, Role, Sampling};
use remit_kernel::ports::{ChatMessage, PromptText};
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashSet;
use thiserror::Error;

/// Bytes of a file of tasks, at most: it is read whole.
const FILE_BYTES_MAX: usize = 16 << 20;

/// Tasks of one file, at most: each takes seconds of a model.
const TASKS_MAX: usize = 10_000;

/// Expectations of one task, at most: a person reads each that fails.
const EXPECTATIONS_MAX: usize = 64;

/// What is asked for where a task does not say it: enough for an answer, not for an essay.
const MAX_TOKENS: u32 = 256;

/// A file of tasks that cannot be used.
#[derive(Debug, Error)]
pub enum TaskFileError {
    /// No TOML of that form.
    #[error("this is no file of tasks: {0}")]
    Form(String),
    /// Larger than a file may be.
    #[error("the file has {bytes} bytes, and {FILE_BYTES_MAX} are the most: split it")]
    TooLarge {
        /// Of the file.
        bytes: usize,
    },
    /// Too many, or none.
    #[error("the file has {count} tasks, and must have 1 to {TASKS_MAX}")]
    Count {
        /// How many.
        count: usize,
    },
    /// One task is wrong.
    #[error("the task {task:?} {why}")]
    Task {
        /// Its name.
        task: String,
        /// What is wrong with it.
        why: String,
    },
}

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// The label of the grant that a route would be asked under.
    pub label: String,
    /// The prompt.
    pub prompt: PromptText,
    /// How to answer.
    pub params: Params,
}

impl Question {
    /// The same under other standing instructions: in place of the first message where that is of the system, else before it. A
    /// text to go on from has none, and stays.
    #[must_use]
    pub fn with_system(&self, system: &str) -> Self {
        let mut question = self.clone();
        if let PromptText::Chat(chat) = &mut question.prompt {
            let first = ChatMessage::said(Role::System, system);
            match chat.messages.first_mut() {
                Some(message @ ChatMessage::Said { role: Role::System, .. }) => *message = first,
                _ => chat.messages.insert(0, first),
            }
        }
        question
    }
}

/// A recorded task.
#[derive(Clone, Debug)]
pub struct EvalTask {
    /// Its name.
    pub name: String,
    /// What is asked.
    pub question: Question,
    /// What the answer is to be; at least one thing.
    pub expect: Vec<Expectation>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenFile {
    #[serde(rename = "task", default)]
    tasks: Vec<WrittenTask>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTask {
    name: String,
    #[serde(default = "usual_label")]
    label: String,
    prompt: Option<String>,
    messages: Option<Vec<WrittenMessage>>,
    #[serde(default)]
    params: WrittenParams,
    #[serde(default)]
    expect: Vec<WrittenExpectation>,
}

fn usual_label() -> String {
    "chat".to_owned()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenMessage {
    role: Role,
    text: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenParams {
    max_tokens: Option<u32>,
    temperature: Option<f32>,
    top_k: Option<u32>,
    top_p: Option<f32>,
    min_p: Option<f32>,
    seed: Option<u64>,
    #[serde(default)]
    stop: Vec<Box<str>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenExpectation {
    contains: Option<String>,
    equals: Option<String>,
    matches: Option<String>,
    json: Option<WrittenJson>,
    tokens_max: Option<u32>,
    finish: Option<FinishReason>,
    #[serde(default)]
    not: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenJson {
    pointer: String,
    equals: Option<Value>,
}

/// Reads a file of tasks.
///
/// # Errors
/// [`TaskFileError`].
pub fn read_tasks(text: &str) -> Result<Vec<EvalTask>, TaskFileError> {
    if text.len() > FILE_BYTES_MAX {
        return Err(TaskFileError::TooLarge { bytes: text.len() });
    }
    let file: WrittenFile = toml::from_str(text).map_err(|error| TaskFileError::Form(error.to_string()))?;
    if file.tasks.is_empty() || file.tasks.len() > TASKS_MAX {
        return Err(TaskFileError::Count { count: file.tasks.len() });
    }
    let mut names = HashSet::new();
    let read = |task: WrittenTask| {
        let name = task.name.clone();
        let is_new = names.insert(name.clone());
        let read = if is_new { task.read() } else { Err("is there twice: rename one".to_owned()) };
        read.map_err(|why| TaskFileError::Task { task: name, why })
    };
    file.tasks.into_iter().map(read).collect()
}

impl WrittenTask {
    fn read(self) -> Result<EvalTask, String> {
        let prompt = match (self.prompt, self.messages) {
            (Some(text), None) if !text.is_empty() => PromptText::Text(text),
            (None, Some(messages)) if !messages.is_empty() => {
                let message = |WrittenMessage { role, text }| ChatMessage::said(role, text);
                PromptText::Chat(messages.into_iter().map(message).collect::<Vec<_>>().into())
            }
            _ => return Err("asks nothing, or twice: give it `messages` or a `prompt`".to_owned()),
        };
        if self.expect.is_empty() || self.expect.len() > EXPECTATIONS_MAX {
            return Err(format!("expects {} things, and must expect 1 to {EXPECTATIONS_MAX}", self.expect.len()));
        }
        let expect = self.expect.into_iter().map(WrittenExpectation::read).collect::<Result<_, _>>()?;
        let question = Question { label: self.label, prompt, params: self.params.read()? };
        Ok(EvalTask { name: self.name, question, expect })
    }
}

impl WrittenParams {
    fn read(self) -> Result<Params, String> {
        let usual = Sampling::default();
        let sampling = Sampling {
            temperature: self.temperature.unwrap_or(usual.temperature),
            top_k: self.top_k.unwrap_or(usual.top_k),
            top_p: self.top_p.unwrap_or(usual.top_p),
            min_p: self.min_p.unwrap_or(usual.min_p),
            seed: self.seed.unwrap_or(usual.seed),
            ..usual
        };
        let params = Params { sampling, stop: self.stop, ..Params::greedy(self.max_tokens.unwrap_or(MAX_TOKENS)) };
        // In the ranges that hold for a guest. It names no tokens, so that any vocabulary will do.
        remit_kernel::validate_params(&params, u32::MAX)
            .map_err(|error| format!("has params that cannot be: {error}"))?;
        Ok(params)
    }
}

impl WrittenExpectation {
    pub(crate) fn read(self) -> Result<Expectation, String> {
        let mut properties = Vec::new();
        properties.extend(self.contains.map(Property::Contains));
        properties.extend(self.equals.map(Property::Equals));
        if let Some(pattern) = self.matches {
            let read = Property::matches(&pattern);
            properties.push(read.map_err(|error| format!("expects {pattern:?}, which is no pattern: {error}"))?);
        }
        if let Some(WrittenJson { pointer, equals }) = self.json {
            if !pointer.is_empty() && !pointer.starts_with('/') {
                return Err(format!("has a pointer {pointer:?}, which is none: it is empty or begins with /"));
            }
            properties.push(Property::Json { pointer, equals });
        }
        properties.extend(self.tokens_max.map(Property::TokensMax));
        properties.extend(self.finish.map(Property::Finish));
        match <[Property; 1]>::try_from(properties) {
            Ok([property]) => Ok(Expectation { property, not: self.not }),
            Err(properties) => Err(format!(
                "has an `expect` of {} things: give each one of contains, equals, matches, json, tokens_max and finish",
                properties.len()
            )),
        }
    }
}
