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
use remit_abi::Role;
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
