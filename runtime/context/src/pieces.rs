//! What a prompt is made of.

use crate::{
    block::Block,
    context::Context,
    layout::Slot,
    segment::{Clip, Segment, SegmentId},
    summary::Summary,
};
use remit_abi::Label;

/// Segments that are out, with a line in their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stub {
    /// The first of them.
    pub first: SegmentId,
    /// The last one.
    pub last: SegmentId,
}

impl Stub {
    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.last.0 - self.first.0 + 1
    }
}

/// A piece of a prompt. The caller puts it into words.
#[derive(Debug)]
pub enum Piece<'a, B> {
    /// A core block.
    Block(&'a Block),
    /// A segment at its place.
    Segment(&'a Segment<B>),
    /// One at its place, without its middle.
    Clipped(&'a Segment<B>, Clip),
    /// A line that says what is out here.
    Stub(Stub),
    /// A summary of what is out. Segments that it stands for may follow it, where they were paged in.
    Summary(&'a Summary<B>),
    /// A segment from an earlier place, which its id and turn tell.
    Recalled(&'a Segment<B>),
}

impl<B> Clone for Piece<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for Piece<'_, B> {}

impl<B> Piece<'_, B> {
    /// What went into it. A stub has only numbers, which no text decides.
    #[must_use]
    pub fn label(&self) -> Label {
        match self {
            Self::Block(block) => block.label,
            Self::Segment(segment) | Self::Clipped(segment, _) | Self::Recalled(segment) => segment.label,
            Self::Stub(_) => Label::TRUSTED,
            Self::Summary(summary) => summary.label,
        }
    }
}

impl<B> Context<B> {
    /// What the prompt is made of, in its order: blocks; then what was said, where it was said; and behind the message that the newest turn
    /// began with what was recalled for it.
    pub fn pieces(&self) -> impl Iterator<Item = Piece<'_, B>> {
        self.shape.slots().flat_map(|slot| {
            let (segments, other) = match slot {
                Slot::Segments { first, count } => (first..first + count, None),
                slot => (0..0, self.piece(slot)),
            };
            self.segments.range(segments).map(Piece::Segment).chain(other)
        })
    }

    /// What went into all of it.
    #[must_use]
    pub fn label(&self) -> Label {
        self.pieces().fold(Label::TRUSTED, |label, piece| label.join(piece.label()))
    }

    /// What is one piece.
    fn piece(&self, slot: Slot) -> Option<Piece<'_, B>> {
        Some(match slot {
            Slot::Block { index, .. } => Piece::Block(self.blocks.get(index)?),
            Slot::Segments { first, .. } => Piece::Segment(self.segments.get(first)?),
            Slot::Clipped(index, clip) => Piece::Clipped(self.segments.get(index)?, clip),
            Slot::Stub { first, count } => {
                Piece::Stub(Stub { first: SegmentId::at(first), last: SegmentId::at(first + count - 1) })
            }
            Slot::Summary(id) => Piece::Summary(self.summary(id)?),
            Slot::Recalled(index) => Piece::Recalled(self.segments.get(index)?),
        })
    }
}
