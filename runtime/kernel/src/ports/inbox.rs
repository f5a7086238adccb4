//! What processes said to people, and what people said to them: as an operator sees it, and as it is kept.

use super::ValueImage;
use remit_abi::{GrantId, Label, Pid, TenantId, Wanted};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A question that was put to people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostedQuestion {
    /// Of all questions and notices of the node; no other one ever has it.
    pub number: u64,
    /// Who asks.
    pub asker: Pid,
    /// Of which package.
    pub package: Arc<str>,
    /// SHA-256 of its component, in hexadecimal.
    pub digest: Arc<str>,
    /// The right that it asks by.
    pub grant: GrantId,
    /// Whom it asks.
    pub desk: Box<str>,
    /// What they are to say to it.
    pub wanted: Wanted,
    /// What they are shown: UTF-8. Its label is that of all that went into the question.
    pub content: ValueImage,
    /// On the wall clock, in nanoseconds since 1970-01-01T00:00:00Z.
    pub asked_ns: u64,
    /// Until when it waits, on the wall clock.
    pub expires_ns: u64,
}

/// What a person says to a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// In their own words.
    Text(Box<str>),
    /// The choice at this place.
    Choice(u32),
    /// It may be done this time.
    ApproveOnce,
    /// It may be done whenever the same package asks the same desk for the same.
    ApproveAlways,
    /// It may not be done; why.
    Reject(Box<str>),
}

/// An answer, and whose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenAnswer {
    /// The name of the person.
    pub by: Box<str>,
    /// On the wall clock, in nanoseconds since 1970-01-01T00:00:00Z.
    pub at_ns: u64,
    /// What they say.
    pub response: Response,
}

/// What became of a question so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum QuestionState {
    /// Nothing.
    Open,
    /// It was answered.
    Answered(GivenAnswer),
    /// The right to ask was taken back.
    Withdrawn,
}

/// An approval that stands: it answers whoever asks for the same again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingApproval {
    /// That of the question to which it was the answer.
    pub number: u64,
    /// In which tenant it holds.
    pub tenant: TenantId,
    /// The name of the package that asked.
    pub package: Arc<str>,
    /// SHA-256 of its component: it holds for these bytes, and no others.
    pub digest: Arc<str>,
    /// Whose it is.
    pub desk: Box<str>,
    /// What may be done.
    pub action: Box<str>,
    /// The highest label that it answers for: that of the question that a person saw.
    pub label: Label,
    /// The name of the person who gave it.
    pub by: Box<str>,
    /// On the wall clock, in nanoseconds since 1970-01-01T00:00:00Z.
    pub at_ns: u64,
}

/// What people were told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Of all questions and notices of the node.
    pub number: u64,
    /// Who told it.
    pub sender: Pid,
    /// Of which package.
    pub package: Arc<str>,
    /// Who was told.
    pub desk: Box<str>,
    /// What: UTF-8.
    pub content: ValueImage,
    /// On the wall clock, in nanoseconds since 1970-01-01T00:00:00Z.
    pub at_ns: u64,
}
