//! A plan in the making: what becomes of each segment that is shown, and what the window would be then.

use super::gists::{self, Gists};
use crate::{
    context::Context,
    layout::{Recalled, Run, Shape, Slot, State},
    policy::{InPlace, Order, Policy, Room},
    segment::{Clip, Clipping, Segment, SegmentId, Standing},
    summary::SummaryTask,
};
use remit_abi::Role;
use std::{ops::Range, sync::Arc};

/// A segment of an earlier turn that this one wants, and that is longer than this part of a prompt, is clipped to it before it goes out.
const SHARE: u64 = 4;

/// Segments of the newest turn are not clipped to less than this part of a prompt while anything else can go out.
const SHARE_NEWEST: u64 = 8;

/// A segment that is shown.
#[derive(Clone, Copy, Debug)]
struct Shown {
    index: usize,
    /// As it is shown, or would be.
    tokens: u64,
    /// How it is clipped from here on.
    clip: Option<Clip>,
    is_out: bool,
    /// The next one of its group, by its place among those that are shown.
    next: Option<usize>,
}

/// Segments that go out together.
#[derive(Clone, Copy, Debug)]
struct Group {
    root: usize,
    /// Places of its first and its last segment among those that are shown.
    first: usize,
    last: usize,
    used: u64,
    /// It is of an earlier turn, and was used in this one.
    wanted: bool,
    importance: u8,
    pinned: bool,
    is_instruction: bool,
    newest: bool,
}

/// Ascending, groups go out in this order.
type Rank = (u64, u64, u64);

/// What the window would be.
pub(super) struct Built {
    pub(super) shape: Shape,
    pub(super) summaries: Vec<SummaryTask>,
    pub(super) tokens: u64,
}

pub(super) struct Draft<'a, B> {
    context: &'a Context<B>,
    policy: &'a Policy,
    room: Room,
    /// In the order of the conversation.
    shown: Vec<Shown>,
    groups: Vec<Group>,
    recalled: Vec<Recalled>,
    /// Places of what was to go out, and stays for as long as it stands alone.
    islands: Vec<usize>,
    /// No summary stands for anything any more.
    is_bare: bool,
}

impl<'a, B> Draft<'a, B> {
    pub(super) fn new(context: &'a Context<B>, policy: &'a Policy, room: Room) -> Self {
        let recalled = context.shape.recalled.clone();
        let is_shown = |run: &&Run| run.state.is_shown();
        let count = context.shape.runs.iter().filter(is_shown).map(|run| run.count).sum();
        let (shown, groups) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let mut draft = Self { context, policy, room, shown, groups, recalled, islands: Vec::new(), is_bare: false };
        let newest_from = context.newest_from();
        for run in context.shape.runs.iter().filter(is_shown) {
            let segments = context.segments.range(run.range()).zip(context.standings.range(run.range()));
            for (index, (segment, standing)) in run.range().zip(segments) {
                let tokens = match run.state {
                    State::Clipped(clip) => context.slot_tokens(Slot::Clipped(index, clip), &[]),
                    _ => segment.tokens.into(),
                };
                let place = draft.shown.len();
                draft.shown.push(Shown { index, tokens, clip: None, is_out: false, next: None });
                draft.join_group(place, segment, standing, index >= newest_from);
            }
        }
        draft
    }

    /// Puts what is shown at a place into its group.
    fn join_group(&mut self, place: usize, segment: &Segment<B>, standing: &Standing, newest: bool) {
        let turn = self.context.turn;
        let new = Group {
            root: segment.root,
            first: place,
            last: place,
            used: standing.used,
            wanted: standing.used == turn && segment.turn < turn,
            importance: standing.importance,
            pinned: standing.pinned,
            is_instruction: segment.role == Role::System,
            newest,
        };
        // Roots ascend, and a segment's root is shown where the segment is.
        let Some(group) = self.group_of(segment.root).map(|group| &mut self.groups[group]) else {
            self.groups.push(new);
            return;
        };
        self.shown[group.last].next = Some(place);
        group.last = place;
        group.used = group.used.max(new.used);
        group.wanted |= new.wanted;
        group.importance = group.importance.max(new.importance);
        group.pinned |= new.pinned;
        group.is_instruction |= new.is_instruction;
        group.newest |= new.newest;
    }

    fn group_of(&self, root: usize) -> Option<usize> {
        // Mostly it is a new one.
        if self.groups.last().is_none_or(|last| last.root < root) {
            return None;
        }
        self.groups.binary_search_by_key(&root, |group| group.root).ok()
    }

    /// Takes out what has to go.
    pub(super) fn relieve(&mut self) -> Built {
        let turn = self.context.turn;
        self.recalled.retain(|recalled| recalled.turn == turn);
        let mut built = self.as_it_is();
        if built.tokens > self.high() {
            built = self.clip_wanted(built);
            let older = self.ranked(|group| !group.newest && !group.wanted);
            built = self.page_out(&older, self.low(), built);
            let wanted = self.ranked(|group| !group.newest && group.wanted);
            built = self.page_out(&wanted, self.room.capacity, built);
        }
        if built.tokens > self.room.capacity {
            built = self.clip_newest(self.room.capacity / SHARE_NEWEST, self.low(), &built);
        }
        if built.tokens > self.room.capacity {
            let steps = self.steps();
            built = self.page_out(&steps, self.low(), built);
        }
        if built.tokens > self.room.capacity && !self.recalled.is_empty() {
            self.recalled.clear();
            built = self.build();
        }
        if built.tokens > self.room.capacity {
            self.is_bare = true;
            built = self.build();
        }
        if built.tokens > self.room.capacity {
            built = self.clip_newest(0, self.room.capacity, &built);
        }
        built
    }

    fn high(&self) -> u64 {
        self.room.high(self.context.recalled_tokens(&self.recalled))
    }

    fn low(&self) -> u64 {
        self.room.low(self.context.recalled_tokens(&self.recalled))
    }

    /// Groups that may go out, in the policy's order.
    fn ranked(&self, is_meant: impl Fn(&Group) -> bool) -> Vec<usize> {
        let given = self.given();
        let candidates = self.groups.iter().enumerate().filter(|(_, group)| !group.pinned && is_meant(group));
        let mut ranked: Vec<_> = candidates.map(|(place, group)| (self.rank(group, &given), place)).collect();
        ranked.sort_unstable();
        ranked.into_iter().map(|(_, place)| place).collect()
    }

    /// Inside the newest turn, without what was asked and what was done last.
    fn steps(&self) -> Vec<usize> {
        let asked = self.context.newest_from();
        let last = self.shown.len().saturating_sub(1);
        self.ranked(|group| group.newest && group.root != asked && group.last != last)
    }

    fn rank(&self, group: &Group, given: &[(usize, u64)]) -> Rank {
        let root = group.root as u64;
        let last_of_all = u64::from(group.is_instruction) << 8;
        match self.policy.order {
            Order::LeastRecentlyUsed => (last_of_all, group.used, root),
            Order::Importance => (last_of_all | u64::from(group.importance), group.used, root),
            Order::Given(_) => {
                let first = given.get(given.partition_point(|(given, _)| *given < group.root));
                let place = first.filter(|(given, _)| *given == group.root).map(|(_, place)| *place);
                (place.unwrap_or(u64::MAX), group.used, root)
            }
        }
    }

    /// Where the agent put the groups, by their roots.
    fn given(&self) -> Vec<(usize, u64)> {
        let Order::Given(ids) = &self.policy.order else { return Vec::new() };
        let root = |id: &SegmentId| self.context.segment(*id).map(|segment| segment.root);
        let mut given: Vec<_> = (0..).zip(ids).filter_map(|(place, id)| Some((root(id)?, place))).collect();
        given.sort_unstable();
        given
    }

    /// Takes groups out, in this order, until the prompt has no more than `target`.
    ///
    /// What a group gives is estimated, since what stands in its place depends on its neighbours; then the window is built and counted.
    /// What is missing then is asked for twice over each time, so that there are few rounds.
    fn page_out(&mut self, groups: &[usize], target: u64, mut built: Built) -> Built {
        let mut groups = groups.iter().copied().peekable();
        if built.tokens > target && groups.peek().is_some() {
            self.sink_islands();
        }
        let mut factor = 1_u64;
        while built.tokens > target && groups.peek().is_some() {
            let wanted = (built.tokens - target).saturating_mul(factor);
            let mut gained = 0;
            while gained < wanted
                && let Some(group) = groups.next()
            {
                gained += self.give_up(group);
            }
            built = self.build();
            factor = factor.saturating_mul(2);
        }
        if self.keep_islands() { self.build() } else { built }
    }

    /// Takes out what was left alone before. More is going out now, and one line may stand for all of it.
    fn sink_islands(&mut self) {
        for place in self.islands.drain(..) {
            self.shown[place].is_out = true;
        }
    }

    /// Leaves stretches where they are that have no more tokens than the line that would stand for them. Whether there are any.
    fn keep_islands(&mut self) -> bool {
        let mut kept = false;
        let mut place = 0;
        while let Some(shown) = self.shown.get(place) {
            let (first, is_out) = (shown.index, shown.is_out);
            let belongs = |(index, shown): &(usize, &Shown)| shown.is_out == is_out && shown.index == *index;
            let count = (first..).zip(&self.shown[place..]).take_while(belongs).count();
            let stretch = place..place + count;
            if is_out && self.is_island(&stretch) {
                self.shown[stretch.clone()].iter_mut().for_each(|shown| shown.is_out = false);
                self.islands.extend(stretch.clone());
                kept = true;
            }
            place = stretch.end;
        }
        kept
    }

    /// Whether a stretch that is to go out stands alone, has no more tokens than a line, and has whole groups.
    fn is_island(&self, stretch: &Range<usize>) -> bool {
        let each = self.context.overhead.of_one();
        let members = &self.shown[stretch.clone()];
        let tokens: u64 = members.iter().map(|shown| shown.tokens + each).sum();
        if tokens > u64::from(self.context.config.stub_tokens) + each {
            return false;
        }
        let is_covered =
            |shown: &Shown| self.context.summaries.iter().any(|summary| summary.range().contains(&shown.index));
        let is_beside_a_gap = self.is_gap_at(stretch.start.checked_sub(1), members[0].index.checked_sub(1))
            || self.is_gap_at(Some(stretch.end), Some(members[members.len() - 1].index + 1));
        let is_whole = |shown: &Shown| {
            let root = self.context.segments.get(shown.index).map(|segment| segment.root);
            let group = root.and_then(|root| self.group_of(root));
            group.is_some_and(|group| self.members(self.groups[group].first).all(|place| stretch.contains(&place)))
        };
        !is_beside_a_gap && !members.iter().any(is_covered) && members.iter().all(is_whole)
    }

    /// Takes a group out. About what that gives.
    fn give_up(&mut self, group: usize) -> u64 {
        let first = self.groups[group].first;
        let each = self.context.overhead.of_one();
        let stub = u64::from(self.context.config.stub_tokens) + each;
        let (mut gives, mut costs) = (0, 0);
        let mut member = Some(first);
        while let Some(place) = member {
            let Shown { tokens, is_out, next, .. } = self.shown[place];
            if !is_out {
                // One line more where it stands alone, and one less where it joins two.
                let gaps = self.gaps_beside(place);
                gives += tokens + each + if gaps == 2 { stub } else { 0 };
                costs += if gaps == 0 { stub } else { 0 };
            }
            self.shown[place].is_out = true;
            member = next;
        }
        gives.saturating_sub(costs)
    }

    /// Clips what this turn wants of earlier ones and is longer than its share.
    fn clip_wanted(&mut self, built: Built) -> Built {
        let places = self.places(|group| group.wanted && !group.newest);
        for place in &places {
            self.clip(*place, self.room.capacity / SHARE);
        }
        if places.is_empty() { built } else { self.build() }
    }

    /// Places of the segments of groups that are not pinned.
    fn places(&self, is_meant: impl Fn(&Group) -> bool) -> Vec<usize> {
        let groups = self.groups.iter().filter(|group| !group.pinned && is_meant(group));
        groups.flat_map(|group| self.members(group.first)).collect()
    }

    /// Places of a group's segments.
    fn members(&self, first: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(Some(first), |place| self.shown[*place].next)
    }

    /// How many of a segment's neighbours are out, with a line that can stand for it as well.
    fn gaps_beside(&self, place: usize) -> u64 {
        let index = self.shown[place].index;
        let before = self.is_gap_at(place.checked_sub(1), index.checked_sub(1));
        let behind = self.is_gap_at(Some(place + 1), Some(index + 1));
        u64::from(before) + u64::from(behind)
    }

    /// Whether a segment is out, or goes out, that would be shown at that place; one that there is not is not out.
    fn is_gap_at(&self, place: Option<usize>, index: Option<usize>) -> bool {
        let Some(index) = index.filter(|index| *index < self.context.len()) else { return false };
        let shown = place.and_then(|place| self.shown.get(place));
        shown.is_none_or(|shown| shown.index != index || shown.is_out)
    }

    /// Clips a segment to so many tokens with its note, where it has more and may be clipped.
    fn clip(&mut self, place: usize, tokens: u64) {
        let Shown { index, tokens: now, is_out, .. } = self.shown[place];
        let note = u64::from(self.context.config.note_tokens);
        let tokens = tokens.max(note);
        let may_be_clipped =
            |segment: &Segment<B>| segment.clipping == Clipping::Allowed && u64::from(segment.tokens) > tokens;
        if is_out || now <= tokens || !self.context.segments.get(index).is_some_and(may_be_clipped) {
            return;
        }
        let text = u32::try_from(tokens - note).unwrap_or(u32::MAX);
        let shown = &mut self.shown[place];
        (shown.clip, shown.tokens) = (Some(Clip::of(text)), tokens);
    }

    /// Clips the longest segments of the newest turn to a common length, no shorter than `floor`, so that the prompt has no more than
    /// `target`, if that is enough.
    fn clip_newest(&mut self, floor: u64, target: u64, built: &Built) -> Built {
        let is_clippable = |place: &usize| {
            let Shown { index, is_out, .. } = self.shown[*place];
            let segment = self.context.segments.get(index);
            !is_out && segment.is_some_and(|segment| segment.clipping == Clipping::Allowed)
        };
        let places: Vec<_> = self.places(|group| group.newest).into_iter().filter(is_clippable).collect();
        let mut lengths: Vec<_> = places.iter().map(|place| self.shown[*place].tokens).collect();
        let others = built.tokens.saturating_sub(lengths.iter().sum());
        let level = level(&mut lengths, target.saturating_sub(others)).max(floor);
        for place in places {
            self.clip(place, level);
        }
        self.build()
    }

    /// The window, with what is recalled now.
    fn as_it_is(&self) -> Built {
        let shape = Shape { recalled: self.recalled.clone(), ..self.context.shape.clone() };
        let tokens = self.context.expected(self.context.sum(&shape, &[]));
        Built { shape, summaries: Vec::new(), tokens }
    }

    /// What the window would be.
    fn build(&self) -> Built {
        let (in_place, tokens_max) =
            if self.is_bare { (InPlace::Stub, 0) } else { (self.policy.in_place, self.room.gists) };
        let mut gists = Gists::new(self.context, in_place, tokens_max);
        let mut shown = self.shown.iter();
        for run in self.context.shape.runs.iter() {
            match run.state {
                State::Stub => gists.add_stub(*run),
                State::Summary(_) => gists.add_summary(*run),
                State::Resident | State::Clipped(_) => {
                    for shown in shown.by_ref().take(run.count) {
                        match shown.clip {
                            _ if shown.is_out => gists.add_fresh(shown.index),
                            Some(clip) => gists.add_shown(shown.index, State::Clipped(clip)),
                            None => gists.add_shown(shown.index, run.state),
                        }
                    }
                }
            }
        }
        let gists::Settled { runs, summaries } = gists.settle();
        let revisions = self.context.shape.revisions.clone();
        let shape = Shape { revisions, runs: Arc::new(runs), recalled: self.recalled.clone() };
        let tokens = self.context.expected(self.context.sum(&shape, &summaries));
        Built { shape, summaries, tokens }
    }
}

/// To which length the longest have to be cut so that all together have no more than `most`.
fn level(lengths: &mut [u64], most: u64) -> u64 {
    lengths.sort_unstable();
    let mut left = most;
    let mut longer = lengths.len() as u64;
    for length in lengths {
        if *length * longer > left {
            return left / longer;
        }
        left -= *length;
        longer -= 1;
    }
    u64::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_are_cut_to_one_length() {
        let check = |lengths: &[u64], most, expected| {
            let found = level(&mut lengths.to_vec(), most);
            assert_eq!(found, expected, "{lengths:?} in {most}");
            let cut: u64 = lengths.iter().map(|length| found.min(*length)).sum();
            assert!(cut <= most);
        };
        check(&[10, 20, 30], 60, u64::MAX);
        check(&[10, 20, 30], 59, 29);
        check(&[30, 10, 30], 40, 15);
        check(&[30, 10, 30], 6, 2);
        check(&[30, 10, 30], 0, 0);
        check(&[], 0, u64::MAX);
    }
}
