//! Tools that a model may ask for, its calls, and what they come to.
//!
//! A call is a wish of the model's, which the agent that was told it fulfils or does not: itself, or by a tool that it was
//! [granted](crate::ToolRequest).

use crate::Content;
use serde::{Deserialize, Serialize};

/// A tool, as the guest says it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tool {
    /// 1 to [`limits::TOOL_NAME_BYTES_MAX`](crate::limits::TOOL_NAME_BYTES_MAX) letters, digits, `_`, `-` or `.`.
    pub name: Box<str>,
    /// What it does, for the model to read.
    pub description: Box<str>,
    /// A JSON Schema of an object; empty where a call has nothing to say.
    pub parameters: Box<str>,
}

impl Tool {
    /// Bytes of its texts.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.name.len() + self.description.len() + self.parameters.len()
    }
}

/// Whether a model is to call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ToolChoice {
    /// As it likes.
    #[default]
    Auto,
    /// It must.
    Required,
    /// It must call this one.
    Named(Box<str>),
    /// It must not.
    None,
}

/// What a model may ask for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Toolset {
    /// At least one.
    pub tools: Box<[Tool]>,
    /// Whether it is to.
    pub choice: ToolChoice,
}

impl Toolset {
    /// Whether an answer may have calls.
    #[must_use]
    pub fn may_call(&self) -> bool {
        self.choice != ToolChoice::None
    }
}

/// A call that a model asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Which call a result is of.
    pub id: Box<str>,
    /// Of the tool.
    pub name: Box<str>,
    /// JSON, as the model wrote it.
    pub arguments: Box<str>,
}

/// What a call came to, as the guest says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolResult {
    /// Of the call.
    pub id: Box<str>,
    /// What the tool says; a value need not have been read.
    pub content: Content,
}

impl ToolCall {
    /// Of a value that holds some of them, one behind the other, as [`ToolCall::append_to`] writes them.
    pub const MEDIA_TYPE: &str = "application/vnd.remit.calls";

    /// Writes it behind others. The layout is that of `completion` in `wit/llm.wit`: a guest reads it without a parser.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        for text in [&self.id, &self.name, &self.arguments] {
            // No engine writes 4 GiB; a length that were cut would still leave the layout whole.
            let bytes = &text.as_bytes()[..text.len().min(u32::MAX as usize)];
            out.extend((bytes.len() as u32).to_le_bytes());
            out.extend(bytes);
        }
    }
}

impl ToolCall {
    /// Calls that stand one behind the other as [`ToolCall::append_to`] writes them; `None` where something else stands there.
    #[must_use]
    pub fn read_all(mut bytes: &[u8]) -> Option<Vec<Self>> {
        let mut calls = Vec::new();
        while !bytes.is_empty() {
            let mut text = || {
                let (length, rest) = bytes.split_first_chunk()?;
                let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
                bytes = rest;
                std::str::from_utf8(text).ok().map(Box::from)
            };
            calls.push(Self { id: text()?, name: text()?, arguments: text()? });
        }
        Some(calls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_of_a_call_is_as_documented() {
        let check = |[id, name, arguments]: [&str; 3], expect: &[u8]| {
            let mut out = b"before".to_vec();
            ToolCall { id: id.into(), name: name.into(), arguments: arguments.into() }.append_to(&mut out);
            assert_eq!(out, [b"before", expect].concat());
            let read = ToolCall::read_all(&out[6..]).expect("it is as it was written");
            assert_eq!(read, [ToolCall { id: id.into(), name: name.into(), arguments: arguments.into() }]);
            assert_eq!(ToolCall::read_all(&out[6..out.len() - 1]), None);
        };
        check(["a1", "add", "{}"], b"\x02\0\0\0a1\x03\0\0\0add\x02\0\0\0{}");
        check(["", "", "\u{e9}"], b"\0\0\0\0\0\0\0\0\x02\0\0\0\xc3\xa9");
    }
}
