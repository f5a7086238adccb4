//! Prompts: what is possible, what flows into a model with one, and its texts.
//!
//! A message may have parts that are pictures or sounds. No engine takes one so far, as the port's `ChatMessage` is text, so such a
//! prompt ends in [`LlmError::NotSupported`]: after the caller's right to the model was checked, and before anything
//! is tokenised or paid.

use super::toolset::{self, Calls};
use crate::{
    ports::{Chat, ChatMessage, ModelCard, PromptText},
    process::Process,
};
use remit_abi::{Content, Conversation, Label, LlmError, Media, Message, Part, Prompt, ToolResult, ValueId, limits};
use std::sync::Arc;

pub(super) fn validate(process: &Process, prompt: &Prompt) -> Result<(), LlmError> {
    let size = match prompt {
        Prompt::Chat(conversation) => conversation_size(process, conversation)?,
        Prompt::Text(content) => Size { text: process.content_size(content), ..Size::default() },
    };
    match size {
        Size { text: 0, media: 0, .. } => Err(LlmError::EmptyPrompt),
        Size { text, .. } if text > limits::PROMPT_BYTES_MAX => {
            Err(invalid(format!("a prompt holds {text} bytes and {} are the most", limits::PROMPT_BYTES_MAX)))
        }
        Size { text, tools, .. } if text + tools > limits::PROMPT_BYTES_MAX => {
            let most = limits::PROMPT_BYTES_MAX;
            Err(invalid(format!("a prompt holds {text} bytes and its tools {tools}, and {most} together are the most")))
        }
        Size { media, .. } if media > limits::PROMPT_MEDIA_BYTES_MAX => {
            let most = limits::PROMPT_MEDIA_BYTES_MAX;
            Err(invalid(format!("images and audio of a prompt hold {media} bytes and {most} are the most")))
        }
        _ => Ok(()),
    }
}

/// In bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    text: u64,
    tools: u64,
    media: u64,
}

fn conversation_size(process: &Process, conversation: &Conversation) -> Result<Size, LlmError> {
    let Conversation { messages, tools } = conversation;
    if messages.len() > limits::PROMPT_MESSAGES_MAX {
        let most = limits::PROMPT_MESSAGES_MAX;
        return Err(invalid(format!("a prompt has {} messages and {most} are the most", messages.len())));
    }
    let tools = tools.as_ref().map_or(Ok(0), |tools| toolset::validate(tools))?;
    let (mut size, mut calls) = (Size { tools, ..Size::default() }, Calls::default());
    for message in messages {
        let content = &message.content;
        if content.len() > limits::MESSAGE_PARTS_MAX {
            let most = limits::MESSAGE_PARTS_MAX;
            return Err(invalid(format!("a message has {} parts and {most} are the most", content.len())));
        }
        size.text = size.text.saturating_add(calls.validate(message)?);
        for part in content {
            match part {
                Part::Text(content) | Part::ToolResult(ToolResult { content, .. }) => {
                    size.text = size.text.saturating_add(process.content_size(content));
                }
                Part::ToolCall(_) => {}
                Part::Media(media, value) => {
                    size.media = size.media.saturating_add(media_size(process, *media, *value)?);
                }
            }
        }
    }
    Ok(size)
}

/// The size of a part that is what it says; one without bytes is none.
fn media_size(process: &Process, media: Media, value: ValueId) -> Result<u64, LlmError> {
    let value = process.values.get(value).ok_or(LlmError::Dead)?;
    let expected = media.top_level_type();
    let begins = value.media_type.get(..expected.len());
    if !begins.is_some_and(|begins| begins.eq_ignore_ascii_case(expected)) {
        let given = &value.media_type;
        return Err(invalid(format!("an {media} part is a value of media type {given}, and must be of {expected}*")));
    }
    match value.bytes.len() {
        0 => Err(invalid(format!("an {media} part is empty"))),
        bytes => Ok(bytes as u64),
    }
}

fn invalid(sentence: String) -> LlmError {
    LlmError::Invalid(sentence.into())
}

/// What flows into a model with a prompt.
pub(super) fn label(process: &Process, prompt: &Prompt) -> Label {
    let parts = |label: Label, message: &Message| {
        message.content.iter().fold(label, |label, part| {
            label.join(match part {
                Part::Text(content) | Part::ToolResult(ToolResult { content, .. }) => process.content_label(content),
                // The guest's own words.
                Part::ToolCall(_) => process.label,
                Part::Media(_, value) => process.content_label(&Content::Value(*value)),
            })
        })
    };
    match prompt {
        Prompt::Text(content) => process.content_label(content),
        Prompt::Chat(conversation) => conversation.messages.iter().fold(process.label, parts),
    }
}

/// A prompt with its values read by the kernel, not by the process.
#[derive(Clone)]
pub(super) struct Resolved {
    pub(super) text: PromptText,
    pub(super) bytes: u64,
    pub(super) label: Label,
}

impl Resolved {
    /// For a model.
    pub(super) fn new(process: &Process, prompt: &Prompt, card: &ModelCard) -> Result<Self, LlmError> {
        let mut resolved = Self { text: PromptText::Chat(Chat::default()), bytes: 0, label: process.label };
        resolved.text = match prompt {
            Prompt::Text(content) => {
                let mut text = String::new();
                resolved.append(process, content, &mut text)?;
                PromptText::Text(text)
            }
            Prompt::Chat(Conversation { messages, tools }) => {
                let (mut calls, mut read) = (Calls::default(), Vec::with_capacity(messages.len()));
                for message in messages {
                    resolved.bytes = resolved.bytes.saturating_add(calls.validate(message)?);
                    resolved.message(process, message, &calls, card, &mut read)?;
                }
                let bytes = tools.iter().flat_map(|tools| &tools.tools).map(|tool| tool.bytes() as u64);
                resolved.bytes = bytes.fold(resolved.bytes, u64::saturating_add);
                PromptText::Chat(Chat { messages: read, tools: tools.clone().map(|tools| Arc::new(*tools)) })
            }
        };
        Ok(resolved)
    }

    /// What a message says, as models have it: each result by itself, then all texts together, then the calls.
    fn message(
        &mut self,
        process: &Process,
        message: &Message,
        known: &Calls<'_>,
        card: &ModelCard,
        read: &mut Vec<ChatMessage>,
    ) -> Result<(), LlmError> {
        let (mut text, mut calls, mut results) = (String::new(), Vec::new(), 0);
        for part in &message.content {
            match part {
                Part::Text(content) => self.append(process, content, &mut text)?,
                Part::Media(part, _) => {
                    return Err(LlmError::NotSupported { model: (&*card.name).into(), part: *part });
                }
                Part::ToolCall(call) => calls.push(call.clone()),
                Part::ToolResult(ToolResult { id, content }) => {
                    let (mut said, name) = (String::new(), known.tool_of(id).unwrap_or_default());
                    self.append(process, content, &mut said)?;
                    read.push(ChatMessage::Result { id: id.clone(), name: name.into(), content: said });
                    results += 1;
                }
            }
        }
        if !calls.is_empty() {
            read.push(ChatMessage::Called { content: text, calls });
        } else if results == 0 || !text.is_empty() {
            read.push(ChatMessage::Said { role: message.role, content: text });
        }
        Ok(())
    }

    fn append(&mut self, process: &Process, content: &Content, text: &mut String) -> Result<(), LlmError> {
        let resolved = process.resolve(content).ok_or(LlmError::Dead)?;
        self.label = self.label.join(resolved.label);
        self.bytes = self.bytes.saturating_add(resolved.bytes.len() as u64);
        let added = std::str::from_utf8(&resolved.bytes);
        text.push_str(added.map_err(|_| invalid("a value in the prompt is not UTF-8 text".to_owned()))?);
        Ok(())
    }
}
