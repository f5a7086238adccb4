//! People: asking them, having them approve, telling them.
//!
//! A grant of kind [`person`](crate::GrantKind::Person) opens a desk, and whoever sits there answers. No request of this interface
//! answers a question: a process can ask, and nothing else.

use crate::{Content, Denial, GrantId, QuestionId, ValueId};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A question to put to people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Of kind person, and of one desk.
    pub grant: GrantId,
    /// What they are shown.
    pub content: Content,
    /// What they are to say to it.
    pub wanted: Wanted,
    /// Within so long.
    pub timeout_ns: u64,
}

/// What people are to say to a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wanted {
    /// An answer: one of these, or in their own words where there are none.
    Answer {
        /// In the asker's order.
        choices: Box<[Box<str>]>,
    },
    /// Whether something may be done.
    Approval {
        /// Its name, as [`is_name`](crate::is_name) has it: what is approved for good is known by it again.
        action: Box<str>,
    },
}

/// Requests of `human`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HumanRequest {
    /// Asks, and does not wait for the answer.
    Ask(Box<Question>),
    /// Tells people something.
    Notify {
        /// Of kind person, and of one desk.
        grant: GrantId,
        /// What.
        content: Content,
    },
    /// Waits for the answer.
    Collect {
        /// To which question.
        question: QuestionId,
    },
    /// Withdraws a question; of one that was answered, forgets the answer.
    Drop {
        /// Which.
        question: QuestionId,
    },
}

/// Who answered, when, and what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// The name of the person.
    pub by: Box<str>,
    /// In nanoseconds since 1970-01-01T00:00:00Z.
    pub at_ns: u64,
    /// What they said.
    pub said: Said,
}

/// What a person said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Said {
    /// This, unread.
    Text(ValueId),
    /// The choice at this place.
    Choice(u32),
    /// It may be done this time.
    ApprovedOnce,
    /// It may be done whenever the same agent asks for the same.
    ApprovedAlways,
    /// It may not be done. Why, unread.
    Rejected(ValueId),
}

/// Answers of `human`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HumanReply {
    /// A question that waits for its answer.
    Asked(QuestionId),
    /// The answer to one.
    Answered(Box<Answered>),
    /// Told, or let go.
    Done,
}

/// Errors of `human`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
pub enum HumanError {
    /// The process has no right to ask them this.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// People are shown no more than so much at a time.
    #[error("people are shown {limit} bytes at most at a time: say less, and hand over the rest as an artifact")]
    TooLarge {
        /// In bytes.
        limit: u64,
    },
    /// The process, or its tenant, has as many questions open as it may.
    #[error("{limit} questions are the most that may be open here: wait for answers, or drop some")]
    TooMany {
        /// How many.
        limit: u64,
    },
    /// A text, a choice, an action or a time that is none, or an account that cannot pay.
    #[error("people cannot be asked as it is: {0}")]
    Invalid(Box<str>),
    /// Its time is over.
    #[error("the question was not answered in time")]
    Expired,
    /// The grant that it was asked under was revoked.
    #[error("the question was withdrawn: the right to ask was taken back before anybody answered")]
    Withdrawn,
    /// The answer was taken already.
    #[error("the answer was taken already: keep what it said")]
    Taken,
    /// The process's tables are full.
    #[error("this process holds too much to take the answer: drop some values")]
    NoRoom,
    /// A handle that names nothing (any more).
    #[error("no such question, grant or value: it was let go, or never was")]
    Dead,
}
