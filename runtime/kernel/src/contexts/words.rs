//! A context's pieces as messages of a prompt.
//!
//! | piece | is |
//! | --- | --- |
//! | core blocks, and instructions at the beginning | one message of the system |
//! | a segment | its message |
//! | a stub, a summary, what is recalled | a note in brackets, in a message of the user's: templates know roles that take turns, and no others |
//!
//! A note is joined to what the user said before it, or says next. The model reads notes as text, as it reads all that was said.

use super::body::Body;
use crate::ports::ChatMessage;
use remit_abi::Role;
use remit_context::{Context, Piece, Segment, SegmentId, Stub, Summary};

/// Segments of a size whose numbers are long, for counting what a note takes.
const SAMPLE: Stub = Stub { first: SegmentId(10_000), last: SegmentId(99_999) };

/// A stub's line.
fn stub(Stub { first, last }: Stub) -> String {
    format!("[Messages {} to {} are out of sight.]", first.0, last.0)
}

fn summary(summary: &Summary<Body>) -> String {
    format!("[Messages {} to {} in short:]\n{}", summary.first.0, summary.last.0, summary.body.text)
}

fn recalled(id: SegmentId, role: Role, words: &str) -> String {
    format!("[Message {} of the {}, looked up:]\n{words}", id.0, name(role))
}

/// What stands in the place of a middle.
fn gap(id: SegmentId) -> String {
    format!("\n[The middle of message {} is left out.]\n", id.0)
}

pub(crate) const fn name(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

/// The line of a stub and the longer one of both notes, to be counted.
pub(crate) fn samples() -> (String, String) {
    let (clipped, looked_up) = (gap(SAMPLE.last), recalled(SAMPLE.last, Role::Assistant, ""));
    (stub(SAMPLE), if clipped.len() > looked_up.len() { clipped } else { looked_up })
}

/// Messages as they are written one after the other.
#[derive(Default)]
struct Written {
    messages: Vec<ChatMessage>,
    /// Whether nothing but the system's first message is there.
    is_beginning: bool,
    /// Whether the last message is a note.
    is_note: bool,
}

impl Written {
    fn instruct(&mut self, text: &str) {
        match self.messages.first_mut() {
            Some(ChatMessage::Said { content, .. }) => {
                content.push_str("\n\n");
                content.push_str(text);
            }
            _ => self.messages.push(ChatMessage::said(Role::System, text)),
        }
    }

    fn segment(&mut self, segment: &Segment<Body>, body: &Body) {
        if self.is_beginning && segment.role == Role::System {
            return self.instruct(&body.text);
        }
        self.is_beginning = false;
        let message = body.message(segment.role);
        match (self.messages.last_mut(), message) {
            (Some(ChatMessage::Said { content: note, .. }), ChatMessage::Said { role: Role::User, content })
                if self.is_note =>
            {
                note.push_str("\n\n");
                note.push_str(&content);
            }
            (_, message) => self.messages.push(message),
        }
        self.is_note = false;
    }

    fn note(&mut self, text: String) {
        self.is_beginning = false;
        match self.messages.last_mut() {
            Some(ChatMessage::Said { role: Role::User, content }) => {
                content.push_str("\n\n");
                content.push_str(&text);
            }
            _ => self.messages.push(ChatMessage::said(Role::User, text)),
        }
        self.is_note = true;
    }
}

/// What the model is given.
pub(super) fn messages(context: &Context<Body>) -> Vec<ChatMessage> {
    let mut written = Written { is_beginning: true, ..Written::default() };
    for piece in context.pieces() {
        match piece {
            Piece::Block(block) => written.instruct(&format!("[{}]\n{}", block.name, block.text)),
            Piece::Segment(segment) => written.segment(segment, &segment.body),
            Piece::Clipped(segment, clip) => {
                let body = segment.body.clipped(clip, segment.tokens, &gap(segment.id));
                written.segment(segment, &body);
            }
            Piece::Stub(of) => written.note(stub(of)),
            Piece::Summary(of) => written.note(summary(of)),
            Piece::Recalled(segment) => written.note(recalled(segment.id, segment.role, &segment.body.in_words())),
        }
    }
    written.messages
}
