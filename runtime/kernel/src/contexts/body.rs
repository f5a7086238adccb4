//! What a segment of a context says.

use crate::ports::ChatMessage;
use remit_abi::{Role, ToolCall};
use remit_context::Clip;
use serde::{Deserialize, Serialize};

/// What a segment says, with its values read by the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Body {
    pub(crate) text: Box<str>,
    pub(crate) kind: Kind,
}

/// What kind of message it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// A text.
    Said,
    /// The model asks for calls, after the text.
    Called(Box<[ToolCall]>),
    /// The text is what a call came to.
    Result { call: Box<str>, tool: Box<str> },
}

impl Body {
    pub(crate) fn said(text: impl Into<Box<str>>) -> Self {
        Self { text: text.into(), kind: Kind::Said }
    }

    /// Of all that it says.
    pub(crate) fn bytes(&self) -> u64 {
        let calls = match &self.kind {
            Kind::Called(calls) => {
                calls.iter().map(|call| call.id.len() + call.name.len() + call.arguments.len()).sum()
            }
            Kind::Said => 0,
            Kind::Result { call, tool } => call.len() + tool.len(),
        };
        (self.text.len() + calls) as u64
    }

    /// All of it as a text: what searches find it by, and what is summarised.
    pub(crate) fn in_words(&self) -> String {
        let mut words = self.text.to_string();
        if let Kind::Called(calls) = &self.kind {
            for call in calls {
                let gap = if words.is_empty() { "" } else { "\n" };
                words.push_str(&format!("{gap}[call of {}: {}]", call.name, call.arguments));
            }
        }
        words
    }

    /// As a message of a prompt.
    pub(super) fn message(&self, role: Role) -> ChatMessage {
        let content = self.text.to_string();
        match &self.kind {
            Kind::Said => ChatMessage::Said { role, content },
            Kind::Called(calls) => ChatMessage::Called { content, calls: calls.to_vec() },
            Kind::Result { call, tool } => ChatMessage::Result { id: call.clone(), name: tool.clone(), content },
        }
    }

    /// The same without the middle of its text, of which it has so many tokens. Bytes are taken for tokens in proportion: what the prompt
    /// comes to is counted.
    pub(super) fn clipped(&self, clip: Clip, tokens: u32, gap: &str) -> Self {
        let part = |share: u32| {
            let bytes = self.text.len() as u64 * u64::from(share) / u64::from(tokens.max(1));
            usize::try_from(bytes).unwrap_or(usize::MAX).min(self.text.len())
        };
        let head = self.text.floor_char_boundary(part(clip.head));
        let tail = self.text.ceil_char_boundary(self.text.len() - part(clip.tail)).max(head);
        let text = format!("{}{gap}{}", &self.text[..head], &self.text[tail..]);
        Self { text: text.into(), kind: self.kind.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clip_keeps_both_ends_and_whole_characters() {
        let body = Body::said("aéîöü aéîöü aéîöü");
        for (head, tail) in [(0, 0), (1, 1), (3, 4), (9, 8), (17, 17), (u32::MAX, u32::MAX)] {
            let clipped = body.clipped(Clip { head, tail }, 17, "…").text;
            let (before, after) = clipped.split_once('…').expect("the gap is there");
            assert!(body.text.starts_with(before) && body.text.ends_with(after), "{clipped}");
            assert!(before.len() + after.len() <= body.text.len(), "nothing is there twice: {clipped}");
        }
    }
}
