//! What is said in a conversation, a piece at a time.

use remit_abi::{Label, Role};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// A segment of a context: its place in the order of appending, from 0 on. It is never given out twice in one context, and a fork goes on
/// from where it was made: in two forks an id names the same segment where that is older than the fork.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SegmentId(pub u64);

impl SegmentId {
    pub(crate) const fn at(index: usize) -> Self {
        Self(index as u64)
    }

    /// Where it would lie; beyond all where it cannot be.
    pub(crate) fn index(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.0)
    }
}

/// Whether the middle of a segment may be left out where it is too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Clipping {
    /// It is text.
    #[default]
    Allowed,
    /// It is a whole or nothing: a call with its arguments, a picture.
    Never,
}

/// How much of a clipped segment is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clip {
    /// Its first tokens.
    pub head: u32,
    /// Its last tokens.
    pub tail: u32,
}

impl Clip {
    /// So many tokens, the half of them at each end: instructions stand at the beginning, questions at the end.
    pub(crate) const fn of(tokens: u32) -> Self {
        Self { head: tokens - tokens / 2, tail: tokens / 2 }
    }

    pub(crate) fn tokens(self) -> u64 {
        u64::from(self.head) + u64::from(self.tail)
    }
}

/// What is appended to a context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSegment<B> {
    /// Who says it.
    pub role: Role,
    /// As the caller counted it, in its message.
    pub tokens: u32,
    /// An earlier segment without which it means nothing, as the result of a tool without its call: both are shown, or neither.
    pub depends_on: Option<SegmentId>,
    /// How much it matters where that decides what stays; 255 is most.
    pub importance: u8,
    /// What went into it.
    pub label: Label,
    /// Whether its middle may be left out.
    pub clipping: Clipping,
    /// What it says. Contexts never look into it.
    pub body: B,
}

impl<B> NewSegment<B> {
    /// One that depends on nothing, matters as others do (128), is trusted, and may be clipped.
    pub const fn new(role: Role, tokens: u32, body: B) -> Self {
        let (depends_on, importance, label, clipping) = (None, 128, Label::TRUSTED, Clipping::Allowed);
        Self { role, tokens, depends_on, importance, label, clipping, body }
    }
}

/// A segment of a context. It never changes.
#[derive(Debug, Serialize, Deserialize)]
pub struct Segment<B> {
    /// Which it is.
    pub id: SegmentId,
    /// Who says it.
    pub role: Role,
    /// As the caller counted it.
    pub tokens: u32,
    /// Without what it means nothing.
    pub depends_on: Option<SegmentId>,
    /// What went into it.
    pub label: Label,
    /// Whether its middle may be left out.
    pub clipping: Clipping,
    /// In which turn it was appended, from 0 on.
    pub turn: u64,
    /// What it says.
    pub body: Arc<B>,
    /// The first of those that are shown with it or not at all: itself, where it depends on nothing.
    #[serde(skip)]
    pub(crate) root: usize,
    /// The one of them before it.
    #[serde(skip)]
    pub(crate) before: Option<usize>,
    /// Tokens of all segments up to this one, with it: so those of any stretch are a difference.
    #[serde(skip)]
    pub(crate) tokens_until: u64,
}

impl<B> Clone for Segment<B> {
    fn clone(&self) -> Self {
        Self { body: Arc::clone(&self.body), ..*self }
    }
}

/// What is said about a segment, and changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// In which turn it was used last.
    pub(crate) used: u64,
    pub(crate) importance: u8,
    pub(crate) pinned: bool,
    /// Of the first of a group: the last of it.
    #[serde(skip)]
    pub(crate) last: usize,
}

/// Where a segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// In the window, at its place.
    Resident,
    /// In the window, at its place, without its middle.
    Clipped(Clip),
    /// Out of the window; a line stands for it and its neighbours.
    Stub,
    /// Out of the window; a summary stands for it and its neighbours.
    Summary(SummaryId),
    /// Out of the window, and shown again behind what was asked last.
    Recalled,
}

/// A summary of a context. It is never given out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SummaryId(pub u64);
