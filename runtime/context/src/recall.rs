//! Showing again, for a turn, what is out and was found.

use crate::{
    context::Context,
    layout::{Recalled, Slot},
    segment::SegmentId,
};
use std::collections::BTreeSet;

/// A segment that a search found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Which.
    pub id: SegmentId,
    /// How well it fits; more is better. What is no number is worst.
    pub score: f32,
}

/// Which groups are taken, while there is room.
struct Choice<'a, B> {
    context: &'a Context<B>,
    /// In tokens.
    room: u64,
    taken: BTreeSet<usize>,
}

impl<B> Choice<'_, B> {
    /// Takes the whole group of a segment, where all of it is out and fits. Whether it is taken, now or before.
    fn take(&mut self, index: usize) -> bool {
        if self.taken.contains(&index) {
            return true;
        }
        let Some(segment) = self.context.segments.get(index).filter(|_| self.context.is_out(index)) else {
            return false;
        };
        let group = self.context.group(segment.root);
        let each = self.context.overhead.of_one();
        let tokens = group.iter().map(|member| self.context.slot_tokens(Slot::Recalled(*member), &[]) + each).sum();
        let Some(room) = self.room.checked_sub(tokens) else { return false };
        self.room = room;
        self.taken.extend(group);
        true
    }
}

impl<B> Context<B> {
    /// Shows what was found and is out behind the message that the newest turn began with, in the order of the conversation, and says what it is. It stays until
    /// [`end_turn`](Self::end_turn), and counts as used.
    ///
    /// All that is recalled at a time has at most `recall_budget` tokens. The rule:
    ///
    /// 1. Candidates are taken by score, of equal ones the newer first, each with those that it is shown with: a call with its results. What
    ///    does not fit is passed over, and a lesser one that fits is taken.
    /// 2. Then, in the same order, each of those that were taken brings the segment after it, which is mostly its answer, and then the one
    ///    before it, where these are out and fit.
    ///
    /// What is at its place in the window already, and what does not exist, is no candidate.
    pub fn recall(&mut self, candidates: &[Candidate], recall_budget: u32) -> Vec<SegmentId> {
        let overheads = self.overhead.of_one().saturating_mul(self.shape.recalled.len() as u64);
        let used = self.recalled_tokens(&self.shape.recalled).saturating_add(overheads);
        let room = u64::from(recall_budget).saturating_sub(used);
        let mut choice = Choice { context: self, room, taken: BTreeSet::new() };
        let mut ranked = candidates.to_vec();
        let score = |candidate: &Candidate| if candidate.score.is_nan() { f32::NEG_INFINITY } else { candidate.score };
        ranked.sort_by(|one, other| score(other).total_cmp(&score(one)).then(other.id.cmp(&one.id)));
        ranked.retain(|candidate| choice.take(candidate.id.index()));
        for candidate in ranked {
            let index = candidate.id.index();
            choice.take(index + 1);
            if let Some(before) = index.checked_sub(1) {
                choice.take(before);
            }
        }
        let taken = choice.taken;
        self.show_recalled(&taken);
        taken.into_iter().map(SegmentId::at).collect()
    }

    fn show_recalled(&mut self, taken: &BTreeSet<usize>) {
        let (before, turn) = (self.recalled_before(), self.turn);
        for &index in taken {
            self.shape.recalled.push(Recalled { index, before, turn });
            if let Some(standing) = self.standings.get_mut(index) {
                standing.used = turn;
            }
        }
        if !taken.is_empty() {
            self.changed();
        }
    }

    /// What is recalled is shown before this one: behind what a user said last, since that stays as it is when what was recalled has left, and
    /// is not computed again. Where no user has said anything, before the newest turn.
    fn recalled_before(&self) -> usize {
        self.turn_start.map_or_else(|| self.newest_from(), |asked| asked + 1)
    }

    /// Whether a segment is neither at its place nor recalled.
    fn is_out(&self, index: usize) -> bool {
        index < self.len()
            && !self.is_shown(index)
            && !self.shape.recalled.iter().any(|recalled| recalled.index == index)
    }
}
