//! What stands in the place of segments that are out.
//!
//! The window is gone through from its beginning. What goes out anew is joined with neighbours that are out, and becomes one of these:
//!
//! | what goes out | and | becomes |
//! | --- | --- | --- |
//! | segments that a summary stands for already, which had been paged in | | part of that summary again |
//! | segments | the policy has stubs, or there is too little to summarise | one stub with the stubs beside it |
//! | segments | there is room for another summary | a summary of them, and of short stubs beside them |
//! | segments | there is not, and summaries stand beside them | one summary of these summaries and of them (Wu et al. 2021, "Recursively Summarizing Books with Human Feedback") |
//! | segments | there is not even then | a stub |
//! | nothing | summaries have more than they may, since the window is smaller than it was | stubs, for the oldest of them |

use crate::{
    context::Context,
    layout::{self, Run, State},
    policy::InPlace,
    segment::{SegmentId, SummaryId},
    summary::{COMPRESSION, STUB_ABSORBED_MAX, SUMMARIES_NEW_MAX, SUMMARY_TOKENS_MIN, Source, Summary, SummaryTask},
};
use remit_abi::Label;
use std::ops::Range;

/// A summary may take this part of what all may take, so that some stand side by side before they are made one.
const SUMMARIES: u64 = 4;

/// A stretch of the window.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// As it is.
    Settled(Run),
    /// Out, and not decided what stands for it.
    Open {
        first: usize,
        count: usize,
        /// Tokens of those that go out now; 0 where none does.
        fresh: u64,
    },
}

/// What came of it.
pub(super) struct Settled {
    pub(super) runs: Vec<Run>,
    pub(super) summaries: Vec<SummaryTask>,
}

pub(super) struct Gists<'a, B> {
    context: &'a Context<B>,
    in_place: InPlace,
    /// What summaries and stubs may have together.
    tokens_max: u64,
    parts: Vec<Part>,
    /// The first summary that ends behind what was added last.
    summary: usize,
    /// Summaries before this segment have no room any more.
    kept_from: usize,
}

impl<'a, B> Gists<'a, B> {
    pub(super) fn new(context: &'a Context<B>, in_place: InPlace, tokens_max: u64) -> Self {
        let parts = Vec::with_capacity(context.shape.runs.len() + 1);
        let mut left = tokens_max;
        let mut kept_from = usize::MAX;
        for summary in context.summaries.iter().rev() {
            let Some(rest) = left.checked_sub(room_of(summary)) else { break };
            (left, kept_from) = (rest, summary.range().start);
        }
        Self { context, in_place, tokens_max, parts, summary: 0, kept_from }
    }

    /// Segments that are out already, with a stub.
    pub(super) fn add_stub(&mut self, run: Run) {
        if self.in_place == InPlace::Summary && run.count > STUB_ABSORBED_MAX {
            self.add_settled(Run { state: State::Stub, ..run });
        } else {
            self.add_open(run.range(), 0);
        }
    }

    /// Segments that are out already, under a summary.
    pub(super) fn add_summary(&mut self, run: Run) {
        if run.first < self.kept_from {
            self.add_stub(run);
        } else {
            self.add_settled(run);
        }
    }

    /// A segment that is shown.
    pub(super) fn add_shown(&mut self, index: usize, state: State) {
        self.add_settled(Run::one(index, state));
    }

    /// A segment that goes out.
    pub(super) fn add_fresh(&mut self, index: usize) {
        let summaries = &self.context.summaries;
        while summaries.get(self.summary).is_some_and(|summary| summary.range().end <= index) {
            self.summary += 1;
        }
        match summaries.get(self.summary) {
            Some(summary) if summary.range().contains(&index) && index >= self.kept_from => {
                self.add_settled(Run::one(index, State::Summary(summary.id)));
            }
            _ => {
                let tokens = self.context.segments.get(index).map_or(0, |segment| segment.tokens);
                self.add_open(index..index + 1, u64::from(tokens).max(1));
            }
        }
    }

    fn add_settled(&mut self, run: Run) {
        match self.parts.last_mut() {
            Some(Part::Settled(last)) if last.state == run.state && !matches!(run.state, State::Clipped(_)) => {
                last.count += run.count;
            }
            _ => self.parts.push(Part::Settled(run)),
        }
    }

    fn add_open(&mut self, range: Range<usize>, tokens: u64) {
        match self.parts.last_mut() {
            Some(Part::Open { count, fresh, .. }) => {
                *count += range.len();
                *fresh += tokens;
            }
            _ => self.parts.push(Part::Open { first: range.start, count: range.len(), fresh: tokens }),
        }
    }

    /// Decides what stands for what is open.
    pub(super) fn settle(mut self) -> Settled {
        let mut summaries = Vec::new();
        if self.in_place == InPlace::Summary {
            let mut tokens = self.tokens();
            for place in 0..self.parts.len() {
                if summaries.len() < SUMMARIES_NEW_MAX
                    && let Part::Open { first, count, fresh } = self.parts[place]
                    && let Some(task) =
                        self.task(place, first..first + count, fresh, &mut tokens, summaries.len() as u64)
                {
                    self.put(place, &task);
                    summaries.push(task);
                }
            }
        }
        let mut runs = Vec::with_capacity(self.parts.len());
        for part in self.parts {
            let run = match part {
                Part::Settled(run) => run,
                Part::Open { first, count, .. } => Run { first, count, state: State::Stub },
            };
            layout::push(&mut runs, run);
        }
        Settled { runs, summaries }
    }

    /// Of stubs and summaries, with a stub for all that is open.
    fn tokens(&self) -> u64 {
        let (mut tokens, mut last) = (0, None);
        for part in &self.parts {
            match part {
                Part::Open { .. } => tokens += self.stub_tokens(),
                Part::Settled(Run { state: State::Stub, .. }) => tokens += self.stub_tokens(),
                Part::Settled(Run { state: State::Summary(id), .. }) if last != Some(*id) => {
                    last = Some(*id);
                    tokens += self.summary_tokens(*id);
                }
                Part::Settled(_) => {}
            }
        }
        tokens
    }

    fn stub_tokens(&self) -> u64 {
        self.context.config.stub_tokens.into()
    }

    fn summary_tokens(&self, id: SummaryId) -> u64 {
        self.context.summary(id).map_or(0, room_of)
    }

    /// A summary of what is open there, if there is to be one; `tokens` is what all have, and is kept up.
    fn task(&self, place: usize, open: Range<usize>, fresh: u64, tokens: &mut u64, number: u64) -> Option<SummaryTask> {
        let most = self.tokens_max / SUMMARIES;
        let wanted = (fresh / COMPRESSION).min(most);
        if wanted < u64::from(SUMMARY_TOKENS_MIN) {
            return None;
        }
        let id = SummaryId(self.context.next_summary + number);
        let others = tokens.saturating_sub(self.stub_tokens());
        if others + wanted <= self.tokens_max {
            *tokens = others + wanted;
            return Some(self.task_of(id, &[], open, &[], wanted));
        }
        let (before, behind) = (self.beside(place, Direction::Before), self.beside(place, Direction::Behind));
        let replaced: u64 = before.iter().chain(&behind).map(|summary| room_of(summary)).sum();
        let others = others.saturating_sub(replaced);
        if replaced == 0 || others + most > self.tokens_max {
            return None;
        }
        *tokens = others + most;
        Some(self.task_of(id, &before, open, &behind, most))
    }

    fn task_of(
        &self,
        id: SummaryId,
        before: &[&Summary<B>],
        open: Range<usize>,
        behind: &[&Summary<B>],
        tokens_max: u64,
    ) -> SummaryTask {
        let first = before.first().map_or(open.start, |summary| summary.range().start.min(open.start));
        let end = behind.last().map_or(open.end, |summary| summary.range().end.max(open.end));
        let label = |label: Label, summary: &&Summary<B>| label.join(summary.label);
        let of_summaries = before.iter().chain(behind).fold(Label::TRUSTED, label);
        let segments = self.context.segments.range(open.clone());
        let label = segments.fold(of_summaries, |label, segment| label.join(segment.label));
        let source = |summary: &&Summary<B>| Source::Summary(summary.id);
        let said = Source::Segments { first: SegmentId::at(open.start), last: SegmentId::at(open.end - 1) };
        let sources = before.iter().map(source).chain([said]).chain(behind.iter().map(source)).collect();
        let (first, last) = (SegmentId::at(first), SegmentId::at(end - 1));
        SummaryTask { id, first, last, sources, tokens_max: u32::try_from(tokens_max).unwrap_or(u32::MAX), label }
    }

    /// The summaries that stand there without anything between, in the order of the conversation.
    fn beside(&self, place: usize, direction: Direction) -> Vec<&'a Summary<B>> {
        let context: &'a Context<B> = self.context;
        let is_summary = |part: &Part| match part {
            Part::Settled(Run { state: State::Summary(id), .. }) => context.summary(*id),
            _ => None,
        };
        match direction {
            Direction::Before => {
                let mut found: Vec<_> = self.parts[..place].iter().rev().map_while(is_summary).collect();
                found.reverse();
                found
            }
            Direction::Behind => self.parts[place + 1..].iter().map_while(is_summary).collect(),
        }
    }

    /// Puts a summary where it stands for what is open there, and for the summaries that it takes in, wherever these have runs.
    fn put(&mut self, place: usize, task: &SummaryTask) {
        let state = State::Summary(task.id);
        if let Part::Open { first, count, .. } = self.parts[place] {
            self.parts[place] = Part::Settled(Run { first, count, state });
        }
        if task.sources.len() == 1 {
            return;
        }
        for part in &mut self.parts {
            if let Part::Settled(run) = part
                && let State::Summary(id) = run.state
                && task.sources.contains(&Source::Summary(id))
            {
                run.state = state;
            }
        }
    }
}

/// What a summary takes of what all may have: no less than the least, so that there are never many, however short they are written.
fn room_of<B>(summary: &Summary<B>) -> u64 {
    summary.tokens.max(SUMMARY_TOKENS_MIN).into()
}

/// Of the conversation.
#[derive(Clone, Copy)]
enum Direction {
    Before,
    Behind,
}
