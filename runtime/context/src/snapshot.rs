//! A context as plain data, to be kept and to be had again.
//!
//! What comes in is an allegation: whoever restores it gets a context that holds all that this crate promises, or an error. What follows
//! from the rest is not in it.

use crate::{
    block::{self, Block},
    context::{Config, Context, SEGMENTS_MAX},
    layout::{Run, Shape, State},
    overhead::Overhead,
    segment::{Segment, SegmentId, Standing, SummaryId},
    summary::Summary,
};
use remit_abi::{Label, Role};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, sync::Arc};
use thiserror::Error;

/// The form that is written.
const VERSION: u32 = 1;

/// A context as plain data. It shares what the context says.
#[derive(Debug, Serialize, Deserialize)]
pub struct Snapshot<B> {
    version: u32,
    config: Config,
    blocks: Vec<Block>,
    segments: Vec<Segment<B>>,
    standings: Vec<Standing>,
    summaries: Vec<Arc<Summary<B>>>,
    shape: Shape,
    sent: Shape,
    overhead: Overhead,
    turn: u64,
    next_summary: u64,
    next_revision: u64,
}

/// Why a snapshot is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SnapshotError {
    /// It has another form.
    #[error(
        "the snapshot has form {found}, and this version of Remit knows {VERSION}: use the one that wrote it, or a later one"
    )]
    Version {
        /// What it says.
        found: u32,
    },
    /// It contradicts itself.
    #[error("the snapshot is damaged, since {0}: take another one, or begin anew")]
    Damaged(&'static str),
}

use SnapshotError::Damaged;

impl<B: Clone> Snapshot<B> {
    /// Says that a label went into all of it: of a snapshot that somebody may have changed who had seen so much.
    pub fn taint(&mut self, label: Label) {
        let labels = self.segments.iter_mut().map(|segment| &mut segment.label);
        let labels = labels.chain(self.blocks.iter_mut().map(|block| &mut block.label));
        let labels = labels.chain(self.summaries.iter_mut().map(|summary| &mut Arc::make_mut(summary).label));
        labels.for_each(|own| *own = own.join(label));
    }
}

impl<B> Context<B> {
    /// All of it, as plain data.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot<B> {
        Snapshot {
            version: VERSION,
            config: self.config,
            blocks: self.blocks.clone(),
            segments: self.segments.range(0..self.len()).cloned().collect(),
            standings: self.standings.range(0..self.len()).copied().collect(),
            summaries: self.summaries.to_vec(),
            shape: self.shape.clone(),
            sent: self.sent.clone(),
            overhead: self.overhead,
            turn: self.turn,
            next_summary: self.next_summary,
            next_revision: self.next_revision,
        }
    }

    /// The context that a snapshot is of.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn restore(snapshot: Snapshot<B>) -> Result<Self, SnapshotError> {
        if snapshot.version != VERSION {
            return Err(SnapshotError::Version { found: snapshot.version });
        }
        let mut context = Self::new(snapshot.config);
        check_numbers(&snapshot)?;
        context.turn = snapshot.turn;
        context.restore_segments(snapshot.segments, snapshot.standings)?;
        check_shape(&snapshot.shape, context.len())?;
        check_shape(&snapshot.sent, context.len())?;
        context.restore_blocks(snapshot.blocks, &snapshot.shape)?;
        context.shape = snapshot.shape;
        context.sent = snapshot.sent;
        context.summaries = Arc::new(snapshot.summaries);
        context.overhead = snapshot.overhead;
        (context.next_summary, context.next_revision) = (snapshot.next_summary, snapshot.next_revision);
        context.check_summaries()?;
        context.check_window()?;
        Ok(context)
    }

    fn restore_segments(&mut self, segments: Vec<Segment<B>>, standings: Vec<Standing>) -> Result<(), SnapshotError> {
        if segments.len() != standings.len() || segments.len() > SEGMENTS_MAX {
            return Err(Damaged("it has another number of segments than of what is said about them, or too many"));
        }
        for (index, (mut segment, standing)) in segments.into_iter().zip(standings).enumerate() {
            let depends_on = segment.depends_on.map(|on| self.segment(on).map(|on| on.root));
            let root = match depends_on {
                None => index,
                Some(Some(root)) => root,
                Some(None) => return Err(Damaged("a segment depends on a later one")),
            };
            if segment.id != SegmentId::at(index) || segment.turn.max(standing.used) > self.turn {
                return Err(Damaged("a segment has another's number, or one of a turn that has not come"));
            }
            if root == index && segment.role == Role::User {
                self.turn_start = Some(index);
            }
            (segment.root, segment.before) = (root, self.standings.get(root).map(|first| first.last));
            segment.tokens_until = self.tokens_until(index) + u64::from(segment.tokens);
            self.segments.push(segment);
            self.standings.push(Standing { last: index, ..standing });
            if let Some(first) = self.standings.get_mut(root) {
                first.last = index;
            }
        }
        Ok(())
    }

    fn restore_blocks(&mut self, blocks: Vec<Block>, shape: &Shape) -> Result<(), SnapshotError> {
        for block in blocks {
            let is_possible = block::can_make(&self.blocks, &block.name).is_ok();
            let most = self.config.blocks_tokens_max;
            let fits = block::can_hold(&self.blocks, &block.name, block.tokens, block.tokens_max, most).is_ok();
            if !is_possible || !fits {
                return Err(Damaged("a block has a name or a size that it cannot have"));
            }
            self.blocks.push(block);
        }
        if self.blocks.iter().map(|block| &block.revision).ne(&shape.revisions) {
            return Err(Damaged("other blocks are shown than there are"));
        }
        Ok(())
    }

    fn check_summaries(&self) -> Result<(), SnapshotError> {
        let mut end = 0;
        let mut ids = BTreeSet::new();
        for summary in self.summaries.iter() {
            let range = summary.range();
            let is_new = ids.insert(summary.id) && summary.id.0 < self.next_summary;
            if !is_new || range.is_empty() || range.start < end || range.end > self.len() {
                return Err(Damaged("summaries stand for the same segments, or for none"));
            }
            end = range.end;
        }
        for run in self.shape.runs.iter() {
            let summary = self.summaries.partition_point(|summary| summary.range().end <= run.first);
            let summary = self.summaries.get(summary).filter(|summary| summary.range().start < run.end());
            let is_right = match run.state {
                State::Summary(id) => summary.is_some_and(|summary| is_of(summary, id, run)),
                State::Stub => summary.is_none(),
                State::Resident | State::Clipped(_) => true,
            };
            if !is_right {
                return Err(Damaged("segments are under a summary that does not stand for them, or under none"));
            }
        }
        Ok(())
    }

    /// Whether what has to be shown is, and what is recalled is out.
    fn check_window(&self) -> Result<(), SnapshotError> {
        let mut shown = Vec::with_capacity(self.len());
        for run in self.shape.runs.iter() {
            shown.extend(std::iter::repeat_n(run.state.is_shown(), run.count));
        }
        if shown.len() != self.len() {
            return Err(Damaged("not every segment has a place"));
        }
        for (index, segment) in self.segments.range(0..self.len()).enumerate() {
            if shown[index] != shown[segment.root] {
                return Err(Damaged("a segment is shown without the one that it depends on, or the other way round"));
            }
            if self.is_pinned(segment.id) && !shown[index] {
                return Err(Damaged("a pinned segment is not shown"));
            }
        }
        let mut recalled = self.shape.recalled.iter().map(|recalled| recalled.index);
        let mut seen = BTreeSet::new();
        if !recalled.all(|index| seen.insert(index) && !shown[index]) {
            return Err(Damaged("a segment is recalled that is in its place, or twice"));
        }
        Ok(())
    }
}

fn is_of<B>(summary: &Summary<B>, id: SummaryId, run: &Run) -> bool {
    summary.id == id && summary.range().start <= run.first && run.end() <= summary.range().end
}

/// Numbers that are counted up are far below what they can be.
fn check_numbers<B>(snapshot: &Snapshot<B>) -> Result<(), SnapshotError> {
    let numbers = [snapshot.turn, snapshot.next_summary, snapshot.next_revision];
    let is_plausible = numbers.iter().all(|number| *number < 1 << 62) && snapshot.overhead.is_plausible();
    if is_plausible { Ok(()) } else { Err(Damaged("it has counted further than anybody can")) }
}

/// Whether the runs follow each other and name segments that there are.
fn check_shape(shape: &Shape, count: usize) -> Result<(), SnapshotError> {
    let mut end = 0;
    for run in shape.runs.iter() {
        let is_possible =
            run.count > 0 && run.count <= count && (run.count == 1 || !matches!(run.state, State::Clipped(_)));
        if run.first != end || !is_possible {
            return Err(Damaged("the places of its segments do not follow each other"));
        }
        end += run.count;
        if end > count {
            return Err(Damaged("it has places for segments that there are not"));
        }
    }
    if shape.recalled.iter().any(|recalled| recalled.index >= count || recalled.before > count) {
        return Err(Damaged("a segment is recalled that there is not"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        layout::Recalled,
        policy::{Budget, InPlace, Policy},
        recall::Candidate,
        segment::NewSegment,
        summary::Written,
    };

    /// Of sixteen segments of which s1 depends on s0: s0 to s9 are under a summary but for s4, which is pinned; s8 is recalled.
    fn snapshot() -> Snapshot<u8> {
        let mut context = Context::new(Config::default());
        for number in 0..16 {
            let depends_on = (number == 1).then_some(SegmentId(0));
            let role = if number % 2 == 0 { Role::User } else { Role::Assistant };
            context.append(NewSegment { depends_on, ..NewSegment::new(role, 100, number) }).expect("there is room");
        }
        let policy = Policy { in_place: InPlace::Summary, low_percent: 60, gist_percent: 40, ..Policy::default() };
        let plan =
            context.plan(Budget { window: 1_000, output_reserve: 0, recall_budget: 0 }, &policy).expect("it fits");
        let written = plan.summaries.iter().map(|task| Some(Written { tokens: task.tokens_max, body: 99 })).collect();
        context.apply(plan, written).expect("nothing changed");
        context.pin(SegmentId(4)).expect("it is there");
        context.recall(&[Candidate { id: SegmentId(8), score: 1.0 }], 130);
        context.mark_sent();
        context.snapshot()
    }

    fn check(damage: impl FnOnce(&mut Snapshot<u8>), expected: Option<&str>) {
        let mut snapshot = snapshot();
        damage(&mut snapshot);
        let found = Context::restore(snapshot).err().map(|error| error.to_string());
        let is_right = match (&found, expected) {
            (Some(found), Some(expected)) => found.contains(expected),
            (found, expected) => found.is_none() && expected.is_none(),
        };
        assert!(is_right, "{found:?}, and not {expected:?}");
    }

    fn runs(snapshot: &mut Snapshot<u8>) -> &mut Vec<Run> {
        Arc::make_mut(&mut snapshot.shape.runs)
    }

    #[test]
    fn whatever_contradicts_itself_is_refused() {
        check(|_| {}, None);
        check(|snapshot| snapshot.standings[3].pinned = true, Some("a pinned segment is not shown"));
        check(
            |snapshot| snapshot.segments[3].depends_on = Some(SegmentId(4)),
            Some("a segment depends on a later one"),
        );
        check(
            |snapshot| snapshot.segments[5].depends_on = Some(SegmentId(4)),
            Some("without the one that it depends on"),
        );
        check(|snapshot| snapshot.segments[5].id = SegmentId(4), Some("another's number"));
        check(|snapshot| snapshot.standings[5].used = 7, Some("a turn that has not come"));
        check(|snapshot| snapshot.standings.truncate(5), Some("another number of segments"));
        check(|snapshot| snapshot.shape.recalled[0].index = 4, Some("that is in its place, or twice"));
        check(|snapshot| snapshot.shape.recalled[0].index = 16, Some("a segment is recalled that there is not"));
        let again = |snapshot: &mut Snapshot<u8>| {
            let again = Recalled { ..snapshot.shape.recalled[0] };
            snapshot.shape.recalled.push(again);
        };
        check(again, Some("that is in its place, or twice"));
        check(|snapshot| snapshot.shape.revisions.push(1), Some("other blocks are shown"));
        check(|snapshot| snapshot.turn = u64::MAX, Some("further than anybody can"));
    }

    #[test]
    fn places_that_do_not_follow_each_other_are_refused() {
        check(|snapshot| runs(snapshot)[0].count = usize::MAX, Some("do not follow each other"));
        check(|snapshot| runs(snapshot)[1].first += 1, Some("do not follow each other"));
        check(|snapshot| runs(snapshot).truncate(2), Some("not every segment has a place"));
        check(|snapshot| runs(snapshot).push(Run::one(16, State::Resident)), Some("segments that there are not"));
        let sent = |snapshot: &mut Snapshot<u8>| Arc::make_mut(&mut snapshot.sent.runs)[0].count = usize::MAX;
        check(sent, Some("do not follow each other"));
    }

    #[test]
    fn summaries_that_stand_for_something_else_are_refused() {
        check(|snapshot| runs(snapshot)[0].state = State::Stub, Some("under a summary that does not"));
        check(|snapshot| runs(snapshot)[0].state = State::Summary(SummaryId(7)), Some("under a summary that does not"));
        check(|snapshot| snapshot.summaries.clear(), Some("under a summary that does not"));
        check(|snapshot| snapshot.next_summary = 0, Some("for the same segments, or for none"));
        let twice = |snapshot: &mut Snapshot<u8>| {
            let again = Arc::clone(&snapshot.summaries[0]);
            snapshot.summaries.push(again);
        };
        check(twice, Some("for the same segments, or for none"));
        let shorter = |snapshot: &mut Snapshot<u8>| {
            let summary = &snapshot.summaries[0];
            let Summary { id, first, tokens, label, body, .. } = **summary;
            snapshot.summaries[0] = Arc::new(Summary { id, first, last: SegmentId(5), tokens, label, body });
        };
        check(shorter, Some("under a summary that does not"));
    }
}
