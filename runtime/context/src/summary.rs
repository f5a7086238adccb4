//! Summaries of what is out: what is to be summarised, and what came of it.

use crate::segment::{SegmentId, SummaryId};
use remit_abi::Label;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// The least that a summary may have, in tokens: two sentences. What would get less has a stub.
pub const SUMMARY_TOKENS_MIN: u32 = 32;

/// A summary may have one token for so many that it stands for: a quarter is about where a summary still says who said what.
pub const COMPRESSION: u64 = 4;

/// Summaries of one plan: each is a generation that a turn waits for. What would get more has stubs.
pub const SUMMARIES_NEW_MAX: usize = 8;

/// Segments under a stub that a new summary beside it takes in, at most: a page or two. A longer stub stays what it is, since to summarise
/// what is long gone is work that nobody asked for.
pub const STUB_ABSORBED_MAX: usize = 64;

/// A summary that stands for segments which are out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary<B> {
    /// Which it is.
    pub id: SummaryId,
    /// The first segment that it stands for.
    pub first: SegmentId,
    /// The last one.
    pub last: SegmentId,
    /// As the caller counted it.
    pub tokens: u32,
    /// Of all that was summarised.
    pub label: Label,
    /// What it says.
    pub body: B,
}

impl<B> Summary<B> {
    pub(crate) fn range(&self) -> Range<usize> {
        self.first.index()..self.last.index().saturating_add(1)
    }
}

/// What a summary is made of, in the order of the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A summary that it takes the place of.
    Summary(SummaryId),
    /// Segments, from the first to the last. Some may be out already.
    Segments {
        /// The first.
        first: SegmentId,
        /// The last.
        last: SegmentId,
    },
}

/// A summary that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SummaryTask {
    /// What it will be.
    pub id: SummaryId,
    /// The first segment that it stands for.
    pub first: SegmentId,
    /// The last one.
    pub last: SegmentId,
    /// What it is made of. That can be longer than a window.
    pub sources: Vec<Source>,
    /// So many tokens it may have.
    pub tokens_max: u32,
    /// Of all that is summarised.
    pub label: Label,
}

/// A summary that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written<B> {
    /// As the caller counted it. More than the task allows, and a stub is taken in its place.
    pub tokens: u32,
    /// What it says.
    pub body: B,
}
