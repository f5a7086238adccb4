//! A conversation whose window is paged.

use crate::{
    block::Block,
    chunks::Chunks,
    layout::{self, Recalled, Run, Shape, Slot, State},
    overhead::Overhead,
    policy::{Budget, Policy},
    segment::{NewSegment, Segment, SegmentId, Standing, SummaryId, Whereabouts},
    summary::{Summary, SummaryTask},
};
use remit_abi::Role;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use thiserror::Error;

/// Segments of one context: years of conversation, at a message every ten seconds. What is known of so many is some GiB.
pub const SEGMENTS_MAX: usize = 1 << 24;

/// Sizes of what is not counted piece by piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// A stub's line. Where it is longer, that is learnt as an overhead.
    pub stub_tokens: u32,
    /// What is said beside a segment that is clipped, or recalled from another place.
    pub note_tokens: u32,
    /// What all blocks may have together.
    pub blocks_tokens_max: u32,
}

impl Default for Config {
    /// A stub of 24 tokens and a note of 12, as short English sentences with two numbers have; blocks of 1,024 tokens.
    fn default() -> Self {
        Self { stub_tokens: 24, note_tokens: 12, blocks_tokens_max: 1_024 }
    }
}

/// What cannot be done to a context.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ContextError {
    /// There is no such segment.
    #[error("the context has no segment {id}: it has {count}, from s0 on")]
    UnknownSegment {
        /// Which.
        id: SegmentId,
        /// How many there are.
        count: usize,
    },
    /// There are too many.
    #[error("the context has {SEGMENTS_MAX} segments, which is as many as it may have: begin another")]
    Full,
    /// The context, or another one, changed between the plan and its use.
    #[error("the plan was made for another state of the context: plan again")]
    StalePlan,
}

/// What the window holds, in tokens as they are expected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Core blocks.
    pub blocks: u64,
    /// Whole segments at their places.
    pub resident: u64,
    /// Clipped ones.
    pub clipped: u64,
    /// Lines that stand for what is out.
    pub stubs: u64,
    /// Summaries that do.
    pub summaries: u64,
    /// Segments from elsewhere, for this turn.
    pub recalled: u64,
    /// What the prompt has beyond its pieces, as far as that was learnt.
    pub overhead: u64,
    /// What a prompt may have beyond these.
    pub free: u64,
}

/// Pieces, and the tokens that they have without any overhead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) pieces: u64,
    pub(crate) tokens: u64,
}

/// A conversation as virtual memory. See the [crate's documentation](crate).
#[derive(Debug)]
pub struct Context<B> {
    pub(crate) config: Config,
    pub(crate) blocks: Vec<Block>,
    pub(crate) segments: Chunks<Segment<B>>,
    pub(crate) standings: Chunks<Standing>,
    /// Disjoint, ascending. All that runs name; others are left from before their segments were paged in, until the next plan is done.
    pub(crate) summaries: Arc<Vec<Arc<Summary<B>>>>,
    pub(crate) shape: Shape,
    /// What the model was given last.
    pub(crate) sent: Shape,
    pub(crate) overhead: Overhead,
    pub(crate) turn: u64,
    /// The last segment of a user that depends on nothing.
    pub(crate) turn_start: Option<usize>,
    pub(crate) next_summary: u64,
    pub(crate) next_revision: u64,
    /// Another one after each change that a plan has to know: plans hold the one of their context's state.
    pub(crate) stamp: Arc<()>,
}

impl<B> Context<B> {
    /// An empty one.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            blocks: Vec::new(),
            segments: Chunks::default(),
            standings: Chunks::default(),
            summaries: Arc::default(),
            shape: Shape::default(),
            sent: Shape::default(),
            overhead: Overhead::default(),
            turn: 0,
            turn_start: None,
            next_summary: 0,
            next_revision: 0,
            stamp: Arc::default(),
        }
    }

    /// One that goes its own way from here on. Nothing that either of them does is seen by the other; what neither changes is there once.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self {
            config: self.config,
            blocks: self.blocks.clone(),
            segments: self.segments.clone(),
            standings: self.standings.clone(),
            summaries: Arc::clone(&self.summaries),
            shape: self.shape.clone(),
            sent: self.sent.clone(),
            overhead: self.overhead,
            turn: self.turn,
            turn_start: self.turn_start,
            next_summary: self.next_summary,
            next_revision: self.next_revision,
            stamp: Arc::clone(&self.stamp),
        }
    }

    /// How many segments were ever appended.
    #[must_use]
    pub fn len(&self) -> usize {
        self.segments.len()
    }

    /// Whether nothing was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The turn that this is, from 0 on.
    #[must_use]
    pub const fn turn(&self) -> u64 {
        self.turn
    }

    /// A segment, wherever it is.
    #[must_use]
    pub fn segment(&self, id: SegmentId) -> Option<&Segment<B>> {
        self.segments.get(id.index())
    }

    /// A summary that stands for something.
    #[must_use]
    pub fn summary(&self, id: SummaryId) -> Option<&Summary<B>> {
        self.summaries.iter().find(|summary| summary.id == id).map(|summary| &**summary)
    }

    /// Where a segment is.
    #[must_use]
    pub fn whereabouts(&self, id: SegmentId) -> Option<Whereabouts> {
        if self.shape.recalled.iter().any(|recalled| recalled.index == id.index()) {
            return Some(Whereabouts::Recalled);
        }
        Some(match layout::find(&self.shape.runs, id.index())?.state {
            State::Resident => Whereabouts::Resident,
            State::Clipped(clip) => Whereabouts::Clipped(clip),
            State::Stub => Whereabouts::Stub,
            State::Summary(id) => Whereabouts::Summary(id),
        })
    }

    /// Whether a segment is pinned itself. One that is shown with a pinned one stays as well.
    #[must_use]
    pub fn is_pinned(&self, id: SegmentId) -> bool {
        self.standings.get(id.index()).is_some_and(|standing| standing.pinned)
    }

    /// How much a segment matters.
    #[must_use]
    pub fn importance(&self, id: SegmentId) -> Option<u8> {
        self.standings.get(id.index()).map(|standing| standing.importance)
    }

    /// The core blocks, in the order of their making.
    #[must_use]
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Appends a segment, in the window. Where it depends on one that is out, that comes back with it.
    ///
    /// # Errors
    /// [`ContextError::UnknownSegment`] for what it depends on; [`ContextError::Full`].
    pub fn append(&mut self, new: NewSegment<B>) -> Result<SegmentId, ContextError> {
        let index = self.segments.len();
        if index >= SEGMENTS_MAX {
            return Err(ContextError::Full);
        }
        let root = match new.depends_on {
            None => index,
            Some(on) => self.known(on)?.root,
        };
        let NewSegment { role, tokens, depends_on, importance, label, clipping, body } = new;
        let before = self.standings.get(root).map(|first| first.last);
        let (id, turn, body) = (SegmentId::at(index), self.turn, Arc::new(body));
        let tokens_until = self.tokens_until(index) + u64::from(tokens);
        let segment = Segment { id, role, tokens, depends_on, label, clipping, turn, body, root, before, tokens_until };
        self.segments.push(segment);
        self.standings.push(Standing { used: turn, importance, pinned: false, last: index });
        if let Some(first) = self.standings.get_mut(root) {
            first.last = index;
        }
        layout::push(Arc::make_mut(&mut self.shape.runs), Run::one(index, State::Resident));
        self.changed();
        if root != index && !self.is_shown(root) {
            self.show(&self.group(root));
        }
        if root == index && role == Role::User {
            self.turn_start = Some(index);
        }
        Ok(id)
    }

    /// Keeps a segment in the window, whole, with those that it is shown with. One that is out is paged in.
    ///
    /// # Errors
    /// [`ContextError::UnknownSegment`].
    pub fn pin(&mut self, id: SegmentId) -> Result<(), ContextError> {
        let group = self.group(self.known(id)?.root);
        if let Some(standing) = self.standings.get_mut(id.index()) {
            standing.pinned = true;
        }
        self.show(&group);
        Ok(())
    }

    /// Lets a segment go out again.
    ///
    /// # Errors
    /// [`ContextError::UnknownSegment`].
    pub fn unpin(&mut self, id: SegmentId) -> Result<(), ContextError> {
        self.standing(id)?.pinned = false;
        Ok(())
    }

    /// Says how much a segment matters; 255 is most.
    ///
    /// # Errors
    /// [`ContextError::UnknownSegment`].
    pub fn set_importance(&mut self, id: SegmentId, importance: u8) -> Result<(), ContextError> {
        self.standing(id)?.importance = importance;
        Ok(())
    }

    /// Says that a segment was used in this turn.
    ///
    /// # Errors
    /// [`ContextError::UnknownSegment`].
    pub fn touch(&mut self, id: SegmentId) -> Result<(), ContextError> {
        let turn = self.turn;
        self.standing(id)?.used = turn;
        Ok(())
    }

    /// Shows segments at their places again, whole, with those that they are shown with. Whether there is room is the next plan's question:
    /// what was paged in goes out last, and one that is too long is clipped first.
    ///
    /// # Errors
    /// [`ContextError::UnknownSegment`], and then nothing is paged in.
    pub fn page_in(&mut self, ids: &[SegmentId]) -> Result<(), ContextError> {
        let mut segments = Vec::new();
        for id in ids {
            segments.extend(self.group(self.known(*id)?.root));
        }
        segments.sort_unstable();
        segments.dedup();
        self.show(&segments);
        Ok(())
    }

    /// Ends a turn: what was recalled leaves, unless the policy keeps it.
    pub fn end_turn(&mut self, policy: &Policy) {
        let turn = self.turn;
        self.shape.recalled.retain(|recalled| turn.saturating_sub(recalled.turn) < policy.recalled_turns);
        self.turn = turn.saturating_add(1);
        self.changed();
    }

    /// The model was given what is shown now: from here on [`Plan::kept`](crate::Plan::kept) compares with it.
    pub fn mark_sent(&mut self) {
        self.sent = self.shape.clone();
    }

    /// What is shown now was counted as a prompt, as the model is given it: so much more than the tokens of its pieces is expected from
    /// here on.
    pub fn correct(&mut self, measured: u32) {
        let Sum { pieces, tokens } = self.sum(&self.shape, &[]);
        self.overhead.learn(pieces, tokens, measured.into());
        self.changed();
    }

    /// The tokens that the prompt is expected to have.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.expected(self.sum(&self.shape, &[]))
    }

    /// What the window holds.
    #[must_use]
    pub fn usage(&self, budget: Budget) -> Usage {
        let mut usage = Usage::default();
        let mut pieces = 0;
        for slot in self.shape.slots() {
            let part = match slot {
                Slot::Block { .. } => &mut usage.blocks,
                Slot::Segments { .. } => &mut usage.resident,
                Slot::Clipped(..) => &mut usage.clipped,
                Slot::Stub { .. } => &mut usage.stubs,
                Slot::Summary(_) => &mut usage.summaries,
                Slot::Recalled(_) => &mut usage.recalled,
            };
            *part += self.slot_tokens(slot, &[]);
            pieces += slot.pieces();
        }
        usage.overhead = self.overhead.of(pieces);
        usage.free = u64::from(budget.prompt_tokens_max().unwrap_or(0)).saturating_sub(self.tokens());
        usage
    }

    pub(crate) fn known(&self, id: SegmentId) -> Result<&Segment<B>, ContextError> {
        self.segment(id).ok_or(ContextError::UnknownSegment { id, count: self.len() })
    }

    fn standing(&mut self, id: SegmentId) -> Result<&mut Standing, ContextError> {
        let count = self.len();
        self.standings.get_mut(id.index()).ok_or(ContextError::UnknownSegment { id, count })
    }

    /// Those that are shown with the first of a group, with it, ascending.
    pub(crate) fn group(&self, root: usize) -> Vec<usize> {
        let last = self.standings.get(root).map(|first| first.last);
        let before = |index: &usize| self.segments.get(*index)?.before;
        let mut group: Vec<_> = std::iter::successors(last, before).collect();
        group.reverse();
        group
    }

    /// Whether it is at its place in the window.
    pub(crate) fn is_shown(&self, index: usize) -> bool {
        layout::find(&self.shape.runs, index).is_some_and(|run| run.state.is_shown())
    }

    /// The first segment of the newest turn: the last message of a user, or the last group where no user said anything.
    pub(crate) fn newest_from(&self) -> usize {
        let last_group = || self.len().checked_sub(1).and_then(|last| self.segments.get(last)).map(|last| last.root);
        self.turn_start.or_else(last_group).unwrap_or(0)
    }

    /// Shows whole groups at their places; ascending.
    fn show(&mut self, segments: &[usize]) {
        for index in segments {
            if let Some(standing) = self.standings.get_mut(*index) {
                standing.used = self.turn;
            }
        }
        self.shape.recalled.retain(|recalled| segments.binary_search(&recalled.index).is_err());
        self.shape.runs = Arc::new(layout::with_resident(&self.shape.runs, segments));
        self.changed();
    }

    pub(crate) fn changed(&mut self) {
        self.stamp = Arc::default();
    }

    /// The tokens that a segment has when it is recalled.
    pub(crate) fn recalled_tokens(&self, recalled: &[Recalled]) -> u64 {
        recalled.iter().map(|recalled| self.slot_tokens(Slot::Recalled(recalled.index), &[])).sum()
    }

    /// Of all segments before this one, in or out.
    pub(crate) fn tokens_until(&self, index: usize) -> u64 {
        index.checked_sub(1).and_then(|last| self.segments.get(last)).map_or(0, |last| last.tokens_until)
    }

    /// The tokens of what is shown there. Summaries that are still to be written have as many as they may.
    pub(crate) fn slot_tokens(&self, slot: Slot, tasks: &[SummaryTask]) -> u64 {
        let note = u64::from(self.config.note_tokens);
        let whole = |index: usize| self.segments.get(index).map_or(0, |segment| u64::from(segment.tokens));
        match slot {
            Slot::Block { index, .. } => self.blocks.get(index).map_or(0, |block| u64::from(block.tokens)),
            Slot::Segments { first, count } => self.tokens_until(first + count) - self.tokens_until(first),
            Slot::Clipped(_, clip) => clip.tokens() + note,
            Slot::Stub { .. } => u64::from(self.config.stub_tokens),
            Slot::Summary(id) => {
                let task = tasks.iter().find(|task| task.id == id).map(|task| task.tokens_max);
                u64::from(task.or_else(|| Some(self.summary(id)?.tokens)).unwrap_or(0))
            }
            Slot::Recalled(index) => whole(index) + note,
        }
    }

    pub(crate) fn sum(&self, shape: &Shape, tasks: &[SummaryTask]) -> Sum {
        let add = |sum: Sum, slot: Slot| Sum {
            pieces: sum.pieces + slot.pieces(),
            tokens: sum.tokens + self.slot_tokens(slot, tasks),
        };
        shape.slots().fold(Sum::default(), add)
    }

    /// What is expected of a prompt.
    pub(crate) fn expected(&self, sum: Sum) -> u64 {
        sum.tokens.saturating_add(self.overhead.of(sum.pieces))
    }
}
