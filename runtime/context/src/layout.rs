//! What stands where in the window: the page table of a conversation.
//!
//! All segments, in their order, lie in *runs*: each segment in exactly one, so that none is ever lost. What is shown follows from the runs.
//!
//! | state of a run | what is shown |
//! | --- | --- |
//! | resident | each of its segments |
//! | clipped, of one segment | its head and tail |
//! | stub | one line for all of them |
//! | summary | the summary at the first run that it stands for, nothing at the others |
//!
//! A summary has several runs where segments that it stands for were paged in: these are shown behind it, each at its place. When they go
//! out again they are under the summary as before.

use crate::segment::{Clip, SummaryId};
use serde::{Deserialize, Serialize};
use std::{ops::Range, sync::Arc};

/// How the segments of a run are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum State {
    Resident,
    Clipped(Clip),
    Stub,
    Summary(SummaryId),
}

impl State {
    /// Whether its segments are in the window.
    pub(crate) const fn is_shown(self) -> bool {
        matches!(self, Self::Resident | Self::Clipped(_))
    }
}

/// Segments that follow each other and are shown alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) first: usize,
    /// At least 1; of a clipped one, 1.
    pub(crate) count: usize,
    pub(crate) state: State,
}

impl Run {
    pub(crate) const fn one(first: usize, state: State) -> Self {
        Self { first, count: 1, state }
    }

    pub(crate) fn of(range: Range<usize>, state: State) -> Self {
        Self { first: range.start, count: range.len(), state }
    }

    pub(crate) const fn end(&self) -> usize {
        self.first + self.count
    }

    pub(crate) const fn range(&self) -> Range<usize> {
        self.first..self.end()
    }
}

/// Puts a run behind the others, or makes the last one longer.
pub(crate) fn push(runs: &mut Vec<Run>, run: Run) {
    if run.count == 0 {
        return;
    }
    match runs.last_mut() {
        Some(last) if last.state == run.state && !matches!(run.state, State::Clipped(_)) => last.count += run.count,
        _ => runs.push(run),
    }
}

/// The run that a segment lies in.
pub(crate) fn find(runs: &[Run], index: usize) -> Option<&Run> {
    let place = runs.partition_point(|run| run.end() <= index);
    runs.get(place)
}

/// The runs with these segments resident; ascending, each once.
pub(crate) fn with_resident(runs: &[Run], segments: &[usize]) -> Vec<Run> {
    let mut made = Vec::with_capacity(runs.len() + 2 * segments.len());
    let mut segments = segments.iter().copied().peekable();
    for run in runs {
        let mut from = run.first;
        while let Some(segment) = segments.next_if(|segment| *segment < run.end()) {
            push(&mut made, Run::of(from..segment, run.state));
            push(&mut made, Run::one(segment, State::Resident));
            from = segment + 1;
        }
        push(&mut made, Run::of(from..run.end(), run.state));
    }
    made
}

/// A segment that is out, and shown again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Recalled {
    pub(crate) index: usize,
    /// It is shown before this one, or at the end: behind the message that the newest turn began with when it was recalled.
    pub(crate) before: usize,
    /// In which turn it was recalled.
    pub(crate) turn: u64,
}

/// A piece of the prompt, or several, by what they are: two of them that are equal are rendered alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Block {
        index: usize,
        revision: u64,
    },
    /// As many as follow each other: what comes next is something else.
    Segments {
        first: usize,
        count: usize,
    },
    Clipped(usize, Clip),
    Stub {
        first: usize,
        count: usize,
    },
    Summary(SummaryId),
    Recalled(usize),
}

/// All that decides what is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shape {
    /// Of the blocks, in their order.
    pub(crate) revisions: Vec<u64>,
    pub(crate) runs: Arc<Vec<Run>>,
    /// In the order in which they are shown; what they are shown before never falls.
    pub(crate) recalled: Vec<Recalled>,
}

impl Shape {
    /// What is shown, in its order.
    pub(crate) fn slots(&self) -> Slots<'_> {
        Slots { shape: self, block: 0, run: 0, offset: 0, recalled: 0, summary: None }
    }

    /// What is the same at the beginning of another shape.
    pub(crate) fn kept<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = Slot> + 'a {
        let mut same = true;
        self.slots().zip(other.slots()).map_while(move |(one, other)| {
            let common = if same { one.common(other) } else { None };
            same = one == other;
            common
        })
    }
}

impl Slot {
    /// How many pieces it is.
    pub(crate) const fn pieces(self) -> u64 {
        match self {
            Self::Segments { count, .. } => count as u64,
            _ => 1,
        }
    }

    /// What both begin with.
    fn common(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Segments { first, count }, Self::Segments { first: same, count: others }) if first == same => {
                Some(Self::Segments { first, count: count.min(others) })
            }
            _ => (self == other).then_some(self),
        }
    }
}

/// The pieces of a shape.
pub(crate) struct Slots<'a> {
    shape: &'a Shape,
    block: usize,
    run: usize,
    offset: usize,
    recalled: usize,
    /// The one that was shown last.
    summary: Option<SummaryId>,
}

impl Slots<'_> {
    /// The next recalled segment, where it is shown before `end`.
    fn recalled_before(&mut self, end: usize) -> Option<Slot> {
        let next = self.shape.recalled.get(self.recalled).filter(|next| next.before < end)?;
        self.recalled += 1;
        Some(Slot::Recalled(next.index))
    }

    /// How many segments of a run are shown from there on before anything else is.
    fn count_from(&self, index: usize, run: &Run) -> usize {
        let next = self.shape.recalled.get(self.recalled).filter(|_| run.state == State::Resident);
        next.map_or(run.end(), |next| next.before.min(run.end())) - index
    }
}

impl Iterator for Slots<'_> {
    type Item = Slot;

    fn next(&mut self) -> Option<Slot> {
        if let Some(&revision) = self.shape.revisions.get(self.block) {
            self.block += 1;
            return Some(Slot::Block { index: self.block - 1, revision });
        }
        loop {
            let Some(&run) = self.shape.runs.get(self.run) else { return self.recalled_before(usize::MAX) };
            let index = run.first + self.offset;
            let is_silent = matches!(run.state, State::Summary(id) if self.summary == Some(id));
            if is_silent {
                self.run += 1;
                continue;
            }
            let end = if run.state == State::Resident { index + 1 } else { run.end() };
            if let Some(recalled) = self.recalled_before(end) {
                return Some(recalled);
            }
            let count = self.count_from(index, &run);
            let is_inside = index + count < run.end();
            (self.run, self.offset) = if is_inside { (self.run, self.offset + count) } else { (self.run + 1, 0) };
            return Some(match run.state {
                State::Resident => Slot::Segments { first: index, count },
                State::Clipped(clip) => Slot::Clipped(index, clip),
                State::Stub => Slot::Stub { first: run.first, count: run.count },
                State::Summary(id) => {
                    self.summary = Some(id);
                    Slot::Summary(id)
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(runs: &[(usize, usize, State)], recalled: &[(usize, usize)]) -> Shape {
        let runs = runs.iter().map(|&(first, end, state)| Run::of(first..end, state)).collect();
        let recalled = recalled.iter().map(|&(index, before)| Recalled { index, before, turn: 0 }).collect();
        Shape { revisions: vec![7], runs: Arc::new(runs), recalled }
    }

    const SUMMARY: State = State::Summary(SummaryId(4));
    const BLOCK: Slot = Slot::Block { index: 0, revision: 7 };

    fn segments(first: usize, count: usize) -> Slot {
        Slot::Segments { first, count }
    }

    #[test]
    fn a_summary_is_shown_once_with_what_was_paged_in_behind_it() {
        let runs = [
            (0, 2, SUMMARY),
            (2, 3, State::Resident),
            (3, 9, SUMMARY),
            (9, 12, State::Stub),
            (12, 14, State::Resident),
        ];
        let shown: Vec<_> = shape(&runs, &[]).slots().collect();
        let stub = Slot::Stub { first: 9, count: 3 };
        let summary = Slot::Summary(SummaryId(4));
        assert_eq!(shown, [BLOCK, summary, segments(2, 1), stub, segments(12, 2)]);
    }

    #[test]
    fn recalled_segments_stand_before_the_turn_that_they_were_recalled_in() {
        let runs = [(0, 9, State::Stub), (9, 12, State::Resident)];
        let shown: Vec<_> = shape(&runs, &[(3, 10), (1, 11), (2, 11), (5, 12)]).slots().skip(2).collect();
        let (segment, recalled) = (|first| segments(first, 1), Slot::Recalled);
        assert_eq!(shown, [segment(9), recalled(3), segment(10), recalled(1), recalled(2), segment(11), recalled(5)]);
    }

    #[test]
    fn paging_in_splits_a_run_and_joins_neighbours() {
        let runs = [Run::of(0..4, State::Resident), Run::of(4..9, State::Stub), Run::of(9..10, State::Resident)];
        let check = |segments: &[usize], expected: &[(usize, usize, State)]| {
            let expected: Vec<_> = expected.iter().map(|&(first, end, state)| Run::of(first..end, state)).collect();
            assert_eq!(with_resident(&runs, segments), expected, "{segments:?}");
        };
        check(&[4], &[(0, 5, State::Resident), (5, 9, State::Stub), (9, 10, State::Resident)]);
        check(&[4, 5, 6, 7, 8], &[(0, 10, State::Resident)]);
        check(&[1], &[(0, 4, State::Resident), (4, 9, State::Stub), (9, 10, State::Resident)]);
        let (stub, resident) = (State::Stub, State::Resident);
        check(&[6, 8], &[(0, 4, resident), (4, 6, stub), (6, 7, resident), (7, 8, stub), (8, 10, resident)]);
    }
}
