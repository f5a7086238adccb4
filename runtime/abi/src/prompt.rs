//! What a model is given, as the guest says it.

use crate::{Content, Role, ToolCall, ToolResult, Toolset, ValueId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a message says besides text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Media {
    /// A picture.
    Image,
    /// A sound.
    Audio,
}

impl Media {
    /// What its media types begin with (RFC 6838, section 4.2).
    #[must_use]
    pub const fn top_level_type(self) -> &'static str {
        match self {
            Self::Image => "image/",
            Self::Audio => "audio/",
        }
    }
}

impl fmt::Display for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Image => "image",
            Self::Audio => "audio",
        })
    }
}

/// A piece of what a message says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// Text.
    Text(Content),
    /// A picture or a sound: a value of such a media type, which the process need not have read.
    Media(Media, ValueId),
    /// In messages of the assistant: a call that it asked for. It stands behind the message's texts.
    ToolCall(ToolCall),
    /// In messages of the user: what an earlier call came to. It stands before the message's texts.
    ToolResult(ToolResult),
}

/// One message of a prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said, in this order; texts follow each other without anything between.
    pub content: Box<[Part]>,
}

impl Message {
    /// One that says a text and nothing else.
    #[must_use]
    pub fn text(role: Role, content: Content) -> Self {
        Self { role, content: [Part::Text(content)].into() }
    }
}

/// What was said, and what may be called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversation {
    /// In their order.
    pub messages: Vec<Message>,
    /// What the model may ask for.
    pub tools: Option<Box<Toolset>>,
}

impl From<Vec<Message>> for Conversation {
    /// One without tools.
    fn from(messages: Vec<Message>) -> Self {
        Self { messages, tools: None }
    }
}

/// What a model is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Prompt {
    /// A conversation, put into the model's own form by its chat template.
    Chat(Conversation),
    /// A text to go on from, as it is.
    Text(Content),
}
