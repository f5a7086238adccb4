//! What of a log are texts that its process was told from outside: what a recall over everything looks through.
//!
//! | entry | is heard from |
//! | --- | --- |
//! | [`Created`](Entry::Created) | the task: its messages |
//! | [`Told`](Entry::Told), a message or the answer to a call was taken | another process |
//! | [`Told`](Entry::Told), a model answered, at once or piece by piece | a model |
//! | [`Told`](Entry::Told), a tool returned or failed | a tool |
//! | [`Told`](Entry::Told), a person answered in words | a person |
//! | [`Told`](Entry::Told), a child ended | a child |
//! | [`Told`](Entry::Told), a file was read | a file |
//! | any other | nobody |
//!
//! What a memory tells is not among it: a memory is searched by itself, and what is destroyed there is then to be found nowhere else. Neither is
//! what the process itself said, of which the log has digests. Data that is no text is not heard.

use super::{Created, Entry, Note, Told, ValueImage};
use remit_abi::{
    ContextReply, Delta, FileReply, GenerationId, HumanReply, Label, LlmReply, LlmRequest, MailboxReply, Reply,
    Request, ToolReply, ValueId,
};
use serde::{Deserialize, Serialize};

/// From whom a process heard something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeardFrom {
    /// Whoever started it: what is to be done.
    Task,
    /// Another process.
    Message,
    /// A model.
    Model,
    /// A tool.
    Tool,
    /// A person.
    Person,
    /// A process that it started.
    Child,
    /// A file.
    File,
}

/// A text that was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeardText<'a> {
    /// From whom.
    pub from: HeardFrom,
    /// What was said.
    pub text: &'a str,
    /// What went into it.
    pub label: Label,
}

/// What an entry adds to what was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard<'a> {
    /// A text at once.
    Text(HeardText<'a>),
    /// A model begins to answer piece by piece.
    Begins(GenerationId),
    /// A piece of such an answer.
    Piece {
        /// Of which.
        of: GenerationId,
        /// The next that was written.
        text: &'a str,
        /// Of the process that read it.
        label: Label,
    },
    /// Nothing more comes of an answer.
    Ends(GenerationId),
    /// Nothing more comes of any.
    AllEnd,
}

/// A value as the text that it is.
fn text_of(from: HeardFrom, image: &ValueImage) -> Option<HeardText<'_>> {
    let is_text = image.media_type.starts_with("text/") || &*image.media_type == "application/json";
    let text = std::str::from_utf8(&image.bytes).ok().filter(|text| is_text && !text.is_empty())?;
    Some(HeardText { from, text, label: image.label })
}

impl Entry<'_> {
    /// What was heard by it, in its order.
    #[must_use]
    pub fn heard(&self) -> Vec<Heard<'_>> {
        match self {
            Self::Created(created) => created.heard(),
            Self::Told(told) => told.heard(),
            Self::Began(_) | Self::Exited(_) => vec![Heard::AllEnd],
            Self::Intended(_) | Self::Given(_) | Self::Committed(_) | Self::Forked(_) => Vec::new(),
        }
    }
}

impl Created {
    fn heard(&self) -> Vec<Heard<'_>> {
        self.input.iter().filter_map(|(_, image)| text_of(HeardFrom::Task, image)).map(Heard::Text).collect()
    }
}

impl Told<'_> {
    /// The one place that says what of a reply is heard, by the interface that answered.
    fn heard(&self) -> Vec<Heard<'_>> {
        let by = |from| self.values(from, |_| true);
        match &*self.reply {
            Reply::Llm(reply) => self.heard_of_model(reply.as_ref().ok()),
            Reply::Context(Ok(ContextReply::Answered(answering))) => self.whole(answering.completion.content),
            Reply::Mailbox(Ok(MailboxReply::Received(_))) => by(HeardFrom::Message),
            Reply::Tool(Ok(ToolReply::Returned(_) | ToolReply::Failed(_))) => by(HeardFrom::Tool),
            Reply::Human(Ok(HumanReply::Answered(_))) => by(HeardFrom::Person),
            Reply::Children(Ok(_)) => by(HeardFrom::Child),
            Reply::File(Ok(FileReply::Read { .. })) => by(HeardFrom::File),
            _ => Vec::new(),
        }
    }

    /// The values that came with it.
    fn values(&self, from: HeardFrom, is_meant: impl Fn(ValueId) -> bool) -> Vec<Heard<'_>> {
        let values = self.notes.iter().filter_map(|note| match note {
            Note::Value(id, image) if is_meant(*id) => text_of(from, image).map(Heard::Text),
            _ => None,
        });
        values.collect()
    }

    /// A whole answer, without its calls and its log-probabilities.
    fn whole(&self, content: ValueId) -> Vec<Heard<'_>> {
        self.values(HeardFrom::Model, |value| value == content)
    }

    /// Of an answer of a model's, or of an error where there is none.
    fn heard_of_model<'a>(&'a self, reply: Option<&'a LlmReply>) -> Vec<Heard<'a>> {
        let read = || match self.asked.request() {
            Some(Request::Llm(LlmRequest::Next { generation })) => Some(generation),
            _ => None,
        };
        match reply {
            Some(LlmReply::Completed(completion)) => self.whole(completion.content),
            Some(LlmReply::Started(generation)) => vec![Heard::Begins(*generation)],
            Some(LlmReply::Next(Delta::Text(text))) => {
                read().map(|of| Heard::Piece { of, text, label: self.label }).into_iter().collect()
            }
            // An error in the middle is an end too.
            Some(LlmReply::Next(Delta::End(_))) | None => read().map(Heard::Ends).into_iter().collect(),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Asked;
    use remit_abi::{
        ChildEnded, ChildReport, ChildrenReply, Completion, EntryId, FinishReason, Incoming, LlmError, MemoryReply,
        Pid, Status, Summary, TenantId, Tokens, Usage,
    };
    use std::borrow::Cow;

    const MEDIA: &str = "text/plain; charset=utf-8";
    const CONTENT: ValueId = ValueId { index: 0, generation: 1 };
    const CALLS: ValueId = ValueId { index: 1, generation: 1 };
    const GENERATION: GenerationId = GenerationId { index: 3, generation: 2 };

    fn image(bytes: &[u8], media_type: &str) -> ValueImage {
        ValueImage { bytes: bytes.to_vec().into(), media_type: media_type.into(), label: Label::UNTRUSTED }
    }

    fn told(request: &Request, reply: Reply, notes: Vec<Note>) -> Entry<'static> {
        let asked = Asked::of(request);
        let (paid, label) = (Tokens::ZERO, Label::TRUSTED);
        Entry::Told(Told { asked, reply: Cow::Owned(reply), notes, paid, label })
    }

    fn next(reply: Result<Delta, LlmError>) -> Entry<'static> {
        let request = Request::Llm(LlmRequest::Next { generation: GENERATION });
        told(&request, Reply::Llm(reply.map(LlmReply::Next)), Vec::new())
    }

    fn check(entry: &Entry<'_>, expect: &[Heard<'_>]) {
        assert_eq!(entry.heard(), expect, "{entry:?}");
    }

    fn summary() -> Summary {
        Summary { finish: FinishReason::Stop, usage: Usage::default(), paid: Tokens::ZERO, routed: None }
    }

    #[test]
    fn a_model_is_heard_at_once_and_in_pieces() {
        let completion = Completion { content: CONTENT, calls: Some(CALLS), logprobs: None, summary: summary() };
        let notes = vec![Note::Value(CONTENT, image(b"hello", MEDIA)), Note::Value(CALLS, image(b"calls", MEDIA))];
        let request = Request::Llm(LlmRequest::Next { generation: GENERATION });
        let entry = told(&request, Reply::Llm(Ok(LlmReply::Completed(completion))), notes);
        let text = HeardText { from: HeardFrom::Model, text: "hello", label: Label::UNTRUSTED };
        check(&entry, &[Heard::Text(text)]);
        let started = told(&request, Reply::Llm(Ok(LlmReply::Started(GENERATION))), Vec::new());
        check(&started, &[Heard::Begins(GENERATION)]);
        let piece = Heard::Piece { of: GENERATION, text: "hel", label: Label::TRUSTED };
        check(&next(Ok(Delta::Text("hel".into()))), &[piece]);
        check(&next(Ok(Delta::End(summary()))), &[Heard::Ends(GENERATION)]);
        check(&next(Err(LlmError::Invalid("it broke off".into()))), &[Heard::Ends(GENERATION)]);
    }

    #[test]
    fn others_are_heard_by_the_interface_that_answers_and_memories_are_not() {
        let request = Request::Llm(LlmRequest::Next { generation: GENERATION });
        let note = || vec![Note::Value(CONTENT, image(b"hello", MEDIA))];
        let by = |from| Heard::Text(HeardText { from, text: "hello", label: Label::UNTRUSTED });
        let sender = Pid { tenant: TenantId(1), index: 1, generation: 1 };
        let incoming = Incoming { sender, topic: "".into(), body: CONTENT, grants: Vec::new(), answer: None };
        let received = Reply::Mailbox(Ok(MailboxReply::Received(Box::new(incoming))));
        check(&told(&request, received, note()), &[by(HeardFrom::Message)]);
        check(&told(&request, Reply::Tool(Ok(ToolReply::Returned(CONTENT))), note()), &[by(HeardFrom::Tool)]);
        let ended = ChildEnded::Done(Status::Complete, Some(CONTENT));
        let report = ChildReport { ended, paid: Tokens::ZERO, refunded: Tokens::ZERO, restarts: 0 };
        let report = Reply::Children(Ok(ChildrenReply::Ended(Box::new(report))));
        check(&told(&request, report, note()), &[by(HeardFrom::Child)]);
        let remembered = vec![Note::Remembered(CONTENT, EntryId(1), Some(image(b"hello", MEDIA)))];
        check(&told(&request, Reply::Memory(Ok(MemoryReply::Found(Box::default()))), remembered), &[]);
    }

    #[test]
    fn what_is_no_text_is_not_heard() {
        let said = |bytes: &[u8], media_type: &str| {
            let notes = vec![Note::Value(CONTENT, image(bytes, media_type))];
            let request = Request::Llm(LlmRequest::Next { generation: GENERATION });
            told(&request, Reply::Tool(Ok(ToolReply::Failed(CONTENT))), notes).heard().len()
        };
        assert_eq!(said(b"{}", "application/json"), 1);
        assert_eq!(said(b"\xff\xfe", MEDIA), 0);
        assert_eq!(said(b"", MEDIA), 0);
        assert_eq!(said(b"hello", "image/png"), 0);
    }
}
