//! Deciding what leaves the window, and doing it.
//!
//! A plan is made by passes, each of which does no more than it has to:
//!
//! | pass | begins where the prompt has more than | does | until it has no more than |
//! | --- | --- | --- | --- |
//! | 1 | the high mark | what was recalled in earlier turns leaves | |
//! | 2 | the high mark | segments of earlier turns that this one wants (they were paged in or touched) are clipped where they are too long; then groups before the newest turn go out, in the policy's order, but for wanted ones | the low mark |
//! | 3 | what it may have | wanted ones go out too, in the same order | what it may have |
//! | 4 | what it may have | segments of the newest turn that are longer than their share are clipped | the low mark |
//! | 5 | what it may have | groups inside the newest turn go out, in the policy's order: not the user's message, and not the last group | the low mark |
//! | 6 | what it may have | what was recalled leaves; then summaries become stubs; then the rest of the newest turn is clipped, to nothing but notes if need be | what it may have |
//!
//! So the newest turn stays as long as clipping is enough. A turn of hundreds of calls is not held to that: its oldest steps go out as
//! older turns do. Pins and blocks are never touched; where nothing else is left, the plan is an error.

mod draft;
mod gists;

use crate::{
    context::{Context, ContextError},
    layout::{self, Recalled, Run, Shape, State},
    policy::{Budget, Policy, Room},
    segment::{Clip, SegmentId, SummaryId},
    summary::{Summary, SummaryTask, Written},
};
use draft::Draft;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use thiserror::Error;

/// Why there is no plan: what may not go out is too much. In tokens.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PlanError {
    /// The answer leaves nothing.
    #[error(
        "an answer of {output_reserve} tokens leaves no room for a prompt in a window of {window}: ask for a shorter answer"
    )]
    NoRoom {
        /// Prompt and output together.
        window: u32,
        /// Set apart for the answer.
        output_reserve: u32,
    },
    /// Pins and blocks leave too little for the newest turn.
    #[error(
        "pinned segments and blocks ({blocks} tokens) leave the newest turn {excess} tokens too few: unpin {}",
        listed(unpin)
    )]
    Pinned {
        /// So many too many.
        excess: u64,
        /// What the blocks have.
        blocks: u64,
        /// The longest ones, as few as are enough; all, where even these are not.
        unpin: Vec<SegmentId>,
    },
    /// The newest turn does not fit, though nothing else is shown and it is clipped.
    #[error(
        "the newest turn is {excess} tokens too long beside blocks of {blocks}, however it is clipped: say less at a time, shorten the blocks, or take a larger window"
    )]
    Turn {
        /// So many too many.
        excess: u64,
        /// What the blocks have.
        blocks: u64,
    },
}

fn listed(ids: &[SegmentId]) -> String {
    let ids: Vec<_> = ids.iter().map(SegmentId::to_string).collect();
    ids.join(", ")
}

/// What stands in the place of segments that go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replacement {
    /// A line.
    Stub,
    /// A summary: one that is to be written, or one that stands for them already.
    Summary(SummaryId),
}

/// Segments that go out, from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// The first.
    pub first: SegmentId,
    /// The last one.
    pub last: SegmentId,
    /// What stands in their place.
    pub replacement: Replacement,
}

/// How much of the last prompt is the beginning of the next one: what a model's prefix cache can still serve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrefixKept {
    /// Pieces that are rendered as they were.
    pub pieces: u64,
    /// Their tokens, without any overhead.
    pub tokens: u64,
}

/// What is to be paged. Made by [`Context::plan`], done by [`Context::apply`].
#[derive(Clone, Debug)]
pub struct Plan {
    /// What goes out, in the order of the conversation. Its segments have to be findable from here on.
    pub leaving: Vec<Leaving>,
    /// What is shown without its middle from here on.
    pub clipped: Vec<(SegmentId, Clip)>,
    /// What was recalled and leaves again.
    pub dropped: Vec<SegmentId>,
    /// What is to be written before it is done.
    pub summaries: Vec<SummaryTask>,
    /// What the prompt is expected to have then, with summaries as long as they may be. At most what it may have.
    pub tokens: u64,
    /// How much of it is as it was when the model was given it last.
    pub kept: PrefixKept,
    shape: Shape,
    is_empty: bool,
    stamp: Arc<()>,
}

impl Plan {
    /// Whether it changes nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.is_empty
    }
}

impl<B> Context<B> {
    /// What has to leave the window so that the prompt has no more tokens than it may; nothing, where it is below the policy's high mark.
    /// The same for the same context, budget and policy.
    ///
    /// # Errors
    /// [`PlanError`].
    pub fn plan(&self, budget: Budget, policy: &Policy) -> Result<Plan, PlanError> {
        let Some(room) = Room::of(budget, policy) else {
            return Err(PlanError::NoRoom { window: budget.window, output_reserve: budget.output_reserve });
        };
        let tokens = self.expected(self.sum(&self.shape, &[]));
        if tokens <= room.high(self.recalled_tokens(&self.shape.recalled)) {
            return Ok(self.planned(self.shape.clone(), Vec::new(), tokens));
        }
        let mut draft = Draft::new(self, policy, room);
        let built = draft.relieve();
        if built.tokens > room.capacity {
            return Err(self.does_not_fit(built.tokens - room.capacity));
        }
        Ok(self.planned(built.shape, built.summaries, built.tokens))
    }

    /// Does what was planned. `written` are the plan's summaries in their order; where one is missing or longer than it may be, a stub
    /// takes its place.
    ///
    /// # Errors
    /// [`ContextError::StalePlan`] where the context has changed since.
    pub fn apply(&mut self, plan: Plan, written: Vec<Option<Written<B>>>) -> Result<(), ContextError> {
        if !Arc::ptr_eq(&plan.stamp, &self.stamp) {
            return Err(ContextError::StalePlan);
        }
        self.changed();
        if plan.is_empty {
            return Ok(());
        }
        let Plan { shape, summaries: tasks, .. } = plan;
        let written = written.into_iter().chain(std::iter::repeat_with(|| None));
        let mut made = BTreeMap::new();
        for (task, written) in tasks.iter().zip(written) {
            self.next_summary = self.next_summary.max(task.id.0 + 1);
            if let Some(Written { tokens, body }) = written.filter(|written| written.tokens <= task.tokens_max) {
                let SummaryTask { id, first, last, label, .. } = *task;
                made.insert(id, Arc::new(Summary { id, first, last, tokens, label, body }));
            }
        }
        self.shape = shape;
        self.keep_summaries(&tasks, made);
        Ok(())
    }

    /// Puts new summaries in the place of those that they were made of, and stubs where there are none.
    fn keep_summaries(&mut self, tasks: &[SummaryTask], made: BTreeMap<SummaryId, Arc<Summary<B>>>) {
        let is_missing = |id| tasks.iter().any(|task| task.id == id) && !made.contains_key(&id);
        let (mut runs, mut named) = (Vec::with_capacity(self.shape.runs.len()), BTreeSet::new());
        for run in self.shape.runs.iter() {
            let state = match run.state {
                State::Summary(id) if is_missing(id) => State::Stub,
                state => state,
            };
            if let State::Summary(id) = state {
                named.insert(id);
            }
            layout::push(&mut runs, Run { state, ..*run });
        }
        self.shape.runs = Arc::new(runs);
        let summaries = self.summaries.iter().cloned().chain(made.into_values());
        let mut summaries: Vec<_> = summaries.filter(|summary| named.contains(&summary.id)).collect();
        summaries.sort_by_key(|summary| summary.first);
        self.summaries = Arc::new(summaries);
    }

    fn planned(&self, shape: Shape, summaries: Vec<SummaryTask>, tokens: u64) -> Plan {
        let mut kept = PrefixKept::default();
        for slot in shape.kept(&self.sent) {
            kept.pieces += slot.pieces();
            kept.tokens += self.slot_tokens(slot, &summaries);
        }
        let (leaving, clipped) = differences(&self.shape.runs, &shape.runs);
        let is_gone = |recalled: &&Recalled| !shape.recalled.contains(recalled);
        let dropped =
            self.shape.recalled.iter().filter(is_gone).map(|recalled| SegmentId::at(recalled.index)).collect();
        let is_empty = shape == self.shape;
        Plan { leaving, clipped, dropped, summaries, tokens, kept, shape, is_empty, stamp: Arc::clone(&self.stamp) }
    }

    /// Which pins are in the way.
    fn does_not_fit(&self, excess: u64) -> PlanError {
        let blocks = self.blocks.iter().map(|block| u64::from(block.tokens)).sum();
        let mut pinned: Vec<_> = (0..self.len())
            .zip(self.standings.range(0..self.len()).zip(self.segments.range(0..self.len())))
            .filter(|(_, (standing, _))| standing.pinned)
            .map(|(index, (_, segment))| (self.group_tokens(segment.root), index))
            .collect();
        if pinned.is_empty() {
            return PlanError::Turn { excess, blocks };
        }
        pinned.sort_unstable_by(|one, other| other.cmp(one));
        let (mut unpin, mut freed) = (Vec::new(), 0);
        for (tokens, index) in pinned {
            if freed >= excess {
                break;
            }
            freed += tokens;
            unpin.push(SegmentId::at(index));
        }
        PlanError::Pinned { excess, blocks, unpin }
    }

    fn group_tokens(&self, root: usize) -> u64 {
        let tokens = |index: usize| self.segments.get(index).map_or(0, |segment| u64::from(segment.tokens));
        self.group(root).into_iter().map(tokens).sum()
    }
}

/// What goes out, and what is clipped in another way than before.
fn differences(before: &[Run], after: &[Run]) -> (Vec<Leaving>, Vec<(SegmentId, Clip)>) {
    let (mut leaving, mut clipped) = (Vec::new(), Vec::new());
    let mut old = before.iter().peekable();
    for run in after {
        while old.next_if(|old| old.end() <= run.first).is_some() {}
        match run.state {
            State::Resident => {}
            State::Clipped(clip) => {
                if old.peek().is_none_or(|old| old.state != run.state) {
                    clipped.push((SegmentId::at(run.first), clip));
                }
            }
            State::Stub => leaving_of(run, Replacement::Stub, &mut old, &mut leaving),
            State::Summary(id) => leaving_of(run, Replacement::Summary(id), &mut old, &mut leaving),
        }
    }
    (leaving, clipped)
}

/// Those of a run that were shown.
fn leaving_of<'a>(
    run: &Run,
    replacement: Replacement,
    old: &mut std::iter::Peekable<impl Iterator<Item = &'a Run>>,
    leaving: &mut Vec<Leaving>,
) {
    let mut open: Option<(usize, usize)> = None;
    while let Some(before) = old.peek() {
        let (first, end) = (before.first.max(run.first), before.end().min(run.end()));
        if first >= end {
            break;
        }
        open = match (open, before.state.is_shown()) {
            (Some((from, _)), true) => Some((from, end)),
            (None, true) => Some((first, end)),
            (Some(range), false) => {
                leaving.push(leaving_range(range, replacement));
                None
            }
            (None, false) => None,
        };
        if before.end() > run.end() {
            break;
        }
        old.next();
    }
    leaving.extend(open.map(|range| leaving_range(range, replacement)));
}

const fn leaving_range((first, end): (usize, usize), replacement: Replacement) -> Leaving {
    Leaving { first: SegmentId::at(first), last: SegmentId::at(end - 1), replacement }
}
