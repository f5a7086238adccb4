//! A context against a plain model, in which all that was ever said is a list, and what a model of language was given is a list of texts.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use proptest::prelude::*;
use remit_abi::{Label, Role, TagSet};
use remit_context::{
    Budget, Candidate, Clipping, Config, Context, Edit, InPlace, NewBlock, NewSegment, Order, Piece, Plan, PlanError,
    Policy, SegmentId, Snapshot, Whereabouts, Written,
};
use std::collections::{BTreeMap, BTreeSet};

/// What was said, as the test knows it.
#[derive(Clone, Debug)]
struct Said {
    role: Role,
    tokens: u32,
    clipping: Clipping,
    /// The first of those that it is shown with.
    root: usize,
    pinned: bool,
    label: Label,
    body: String,
}

/// A context, and what is known of it.
struct Tried {
    context: Context<String>,
    said: Vec<Said>,
    blocks: Vec<(String, u32)>,
    /// What was given to the model last.
    given: Vec<String>,
}

#[derive(Clone, Debug)]
enum Step {
    Append { role: Role, tokens: u32, depends_on: Option<usize>, clipping: Clipping, tag: u32 },
    Pin(usize),
    Unpin(usize),
    Matter(usize, u8),
    Touch(usize),
    PageIn(Vec<usize>),
    Recall(Vec<(usize, f32)>, u32),
    EndTurn(u64),
    Edit(usize, u32),
    Page { budget: Budget, policy: Policy, written: Vec<bool> },
    Give,
    Count(u32),
    Fork,
    Keep,
}

fn config() -> Config {
    Config { stub_tokens: 10, note_tokens: 6, blocks_tokens_max: 150 }
}

impl Tried {
    fn new() -> Self {
        let mut context = Context::new(config());
        let blocks: Vec<_> = [("persona", 30), ("person", 10)].map(|(name, tokens)| (name.to_owned(), tokens)).into();
        for (name, tokens) in &blocks {
            let new = NewBlock {
                name: name.as_str().into(),
                text: name.as_str().into(),
                tokens: *tokens,
                tokens_max: 100,
                label: Label::TRUSTED,
            };
            context.make_block(new).unwrap();
        }
        Self { context, said: Vec::new(), blocks, given: Vec::new() }
    }

    fn id(&self, index: usize) -> SegmentId {
        SegmentId((index % (self.said.len() + 1)) as u64)
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Append { role, tokens, depends_on, clipping, tag } => {
                self.append(role, tokens, depends_on, clipping, tag);
            }
            Step::Pin(index) => self.pin(index, true),
            Step::Unpin(index) => self.pin(index, false),
            Step::Matter(index, importance) => {
                let id = self.id(index);
                assert_eq!(self.context.set_importance(id, importance).is_ok(), self.exists(id));
            }
            Step::Touch(index) => {
                let id = self.id(index);
                assert_eq!(self.context.touch(id).is_ok(), self.exists(id));
            }
            Step::PageIn(indexes) => self.page_in(&indexes),
            Step::Recall(found, budget) => self.recall(&found, budget),
            Step::EndTurn(turns) => {
                self.context.end_turn(&Policy { recalled_turns: turns, ..Policy::default() });
                let recalled = self.context.pieces().filter(|piece| matches!(piece, Piece::Recalled(_))).count();
                assert!(turns > 0 || recalled == 0);
            }
            Step::Edit(index, tokens) => self.edit(index, tokens),
            Step::Page { budget, policy, written } => self.page(budget, &policy, &written),
            Step::Give => {
                self.given = self.rendered();
                self.context.mark_sent();
            }
            Step::Count(surplus) => {
                let raw = self.context.tokens() - self.context.usage(budget(1_000)).overhead;
                let measured = u32::try_from(raw).unwrap() + surplus;
                self.context.correct(measured);
                assert_eq!(self.context.tokens(), measured.into(), "what was counted is expected again");
            }
            Step::Fork => self.fork(),
            Step::Keep => self.keep(),
        }
        self.check();
    }

    fn exists(&self, id: SegmentId) -> bool {
        id.0 < self.said.len() as u64
    }

    fn append(&mut self, role: Role, tokens: u32, depends_on: Option<usize>, clipping: Clipping, tag: u32) {
        let index = self.said.len();
        let on = depends_on.map(|back| self.id(index.saturating_sub(back)));
        let label = Label { tags: TagSet::single(tag).unwrap(), ..Label::TRUSTED };
        let body = format!("body {index} of {tokens}");
        let new = NewSegment { depends_on: on, clipping, label, ..NewSegment::new(role, tokens, body.clone()) };
        let appended = self.context.append(new);
        if on.is_some_and(|on| !self.exists(on)) {
            appended.unwrap_err();
            return;
        }
        assert_eq!(appended.unwrap(), SegmentId(index as u64));
        let root = on.map_or(index, |on| self.said[on.0 as usize].root);
        self.said.push(Said { role, tokens, clipping, root, pinned: false, label, body });
    }

    fn pin(&mut self, index: usize, pinned: bool) {
        let id = self.id(index);
        let done = if pinned { self.context.pin(id) } else { self.context.unpin(id) };
        assert_eq!(done.is_ok(), self.exists(id));
        if self.exists(id) {
            self.said[id.0 as usize].pinned = pinned;
        }
    }

    fn page_in(&mut self, indexes: &[usize]) {
        let ids: Vec<_> = indexes.iter().map(|index| self.id(*index)).collect();
        let all = ids.iter().all(|id| self.exists(*id));
        assert_eq!(self.context.page_in(&ids).is_ok(), all);
        for id in ids.into_iter().filter(|_| all) {
            assert_eq!(self.context.whereabouts(id), Some(Whereabouts::Resident), "{id}");
        }
    }

    fn recall(&mut self, found: &[(usize, f32)], budget: u32) {
        let before = self.shown();
        let candidates: Vec<_> =
            found.iter().map(|(index, score)| Candidate { id: self.id(*index), score: *score }).collect();
        let chosen = self.context.recall(&candidates, budget);
        assert!(chosen.is_sorted());
        for id in &chosen {
            assert!(!before.contains(&(id.0 as usize)), "{id} was in its place");
            assert_eq!(self.context.whereabouts(*id), Some(Whereabouts::Recalled));
        }
        let tokens = self.context.usage(self::budget(1_000)).recalled;
        assert!(chosen.is_empty() || tokens <= budget.into(), "{tokens} of {budget}");
        assert_eq!(self.shown(), before);
    }

    fn edit(&mut self, index: usize, tokens: u32) {
        let (name, _) = self.blocks[index % self.blocks.len()].clone();
        let edit = Edit::Append("!".into());
        let text = self.context.edited(&name, &edit).unwrap();
        if self.context.edit_block(&name, &edit, tokens, Label::TRUSTED).is_ok() {
            let place = index % self.blocks.len();
            self.blocks[place].1 = tokens;
            assert_eq!(*self.context.blocks()[place].text, *text);
        } else {
            let others: u32 = self.blocks.iter().filter(|block| block.0 != name).map(|block| block.1).sum();
            assert!(tokens > 100 || others + tokens > config().blocks_tokens_max);
        }
    }

    fn page(&mut self, budget: Budget, policy: &Policy, written: &[bool]) {
        let mut fails = written.iter().map(|written| !written);
        let capacity = u64::from(budget.prompt_tokens_max().unwrap());
        // A summary that fails leaves stubs, which may need another round: there are fewer summaries to be written in each.
        for _ in 0..20 {
            let planned = self.context.plan(budget, policy);
            let again = self.context.fork().plan(budget, policy);
            assert_eq!(format!("{planned:?}"), format!("{again:?}"), "a plan is the same whenever it is made");
            match planned {
                Err(error) => return self.check_error(&error, capacity),
                Ok(plan) => {
                    assert!(plan.tokens <= capacity, "{} of {capacity}: {plan:?}", plan.tokens);
                    let all_written = self.apply(plan, &mut fails);
                    assert!(!all_written || self.context.tokens() <= capacity);
                    if self.context.tokens() <= capacity {
                        return;
                    }
                }
            }
        }
        panic!("it does not end: {} tokens of {capacity}", self.context.tokens());
    }

    /// Whether all summaries were written.
    fn apply(&mut self, plan: Plan, fails: &mut impl Iterator<Item = bool>) -> bool {
        let (before, visible) = (self.shown(), self.rendered());
        let tasks = plan.summaries.clone();
        for task in &tasks {
            let segments = self.sources(&task.sources);
            let labels = segments.iter().map(|index| self.said[*index].label);
            assert_eq!(labels.fold(Label::TRUSTED, Label::join), task.label, "{task:?}");
        }
        let written: Vec<_> = tasks
            .iter()
            .map(|task| {
                let fails = fails.next().unwrap_or(false);
                (!fails).then(|| Written { tokens: task.tokens_max - 1, body: format!("summary {:?}", task.id) })
            })
            .collect();
        let all_written = written.iter().all(Option::is_some);
        let (leaving, kept, is_empty) = (plan.leaving.clone(), plan.kept, plan.is_empty());
        self.context.fork().apply(plan.clone(), Vec::new()).unwrap();
        self.context.apply(plan.clone(), written).unwrap();
        self.context.apply(plan, Vec::new()).expect_err("it was made for another state");
        let gone: BTreeSet<_> = before.difference(&self.shown()).copied().collect();
        let told = leaving.iter().flat_map(|leaving| leaving.first.0 as usize..=leaving.last.0 as usize).collect();
        assert_eq!(gone, told, "what goes out is told");
        assert!(self.shown().is_subset(&before), "a plan pages nothing in");
        assert!(!is_empty || visible == self.rendered());
        if all_written {
            let same = self.rendered().iter().zip(&self.given).take_while(|(new, old)| new == old).count() as u64;
            assert_eq!(same, kept.pieces, "what is told to be kept is what is the same");
        }
        all_written
    }

    /// The segments that a summary is made of, whatever other summaries it is made of.
    fn sources(&self, sources: &[remit_context::Source]) -> BTreeSet<usize> {
        let range = |first: SegmentId, last: SegmentId| first.0 as usize..=last.0 as usize;
        let segments = |source: &remit_context::Source| match *source {
            remit_context::Source::Segments { first, last } => range(first, last),
            remit_context::Source::Summary(id) => {
                let summary = self.context.summary(id).unwrap();
                range(summary.first, summary.last)
            }
        };
        sources.iter().flat_map(segments).collect()
    }

    /// An error is right where nothing could have been left out any more: blocks, pins, what was asked and what came last are more than
    /// there is room for, with a line between each two of them.
    fn check_error(&self, error: &PlanError, capacity: u64) {
        let has_pins = self.said.iter().any(|said| said.pinned);
        assert_eq!(matches!(error, PlanError::Pinned { .. }), has_pins, "{error}");
        if let PlanError::Pinned { unpin, .. } = error {
            assert!(!unpin.is_empty() && unpin.iter().all(|id| self.context.is_pinned(*id)));
        }
        let asked = self.said.iter().rposition(|said| said.role == Role::User && self.is_first(said));
        let last = self.said.last().map(|said| said.root);
        let pinned: BTreeSet<_> = self.said.iter().filter(|said| said.pinned).map(|said| said.root).collect();
        let stays = |said: &&Said| pinned.contains(&said.root) || Some(said.root) == last || Some(said.root) == asked;
        let least = |said: &Said| match said.clipping {
            Clipping::Allowed if !pinned.contains(&said.root) => u64::from(said.tokens.min(config().note_tokens)),
            _ => u64::from(said.tokens),
        };
        let kept: Vec<_> = self.said.iter().filter(stays).map(least).collect();
        let lines = (kept.len() as u64 + 1) * u64::from(config().stub_tokens);
        let blocks: u64 = self.blocks.iter().map(|block| u64::from(block.1)).sum();
        let needed = blocks + kept.iter().sum::<u64>() + lines + self.context.usage(budget(1_000)).overhead;
        assert!(needed > capacity, "{error}, but {needed} would be enough of {capacity}");
    }

    fn is_first(&self, said: &Said) -> bool {
        std::ptr::eq(said, &raw const self.said[said.root])
    }

    fn fork(&mut self) {
        let before = self.rendered();
        let mut fork = self.context.fork();
        fork.append(NewSegment::new(Role::User, 50, "another".to_owned())).unwrap();
        fork.pin(SegmentId(0)).unwrap();
        fork.edit_block("person", &Edit::Replace("x".into()), 1, Label::UNTRUSTED).unwrap();
        fork.end_turn(&Policy::default());
        if let Ok(plan) = fork.plan(budget(300), &Policy::default()) {
            fork.apply(plan, Vec::new()).unwrap();
        }
        assert_eq!(self.rendered(), before, "a fork's doings are its own");
        // From here on the other way round: the steps that follow are a fork's, and the original stays as it is.
        let mut fork = Tried {
            context: self.context.fork(),
            said: self.said.clone(),
            blocks: self.blocks.clone(),
            given: self.given.clone(),
        };
        std::mem::swap(self, &mut fork);
        self.append(Role::Assistant, 9, None, Clipping::Allowed, 1);
        assert_eq!(fork.rendered(), before);
    }

    fn keep(&mut self) {
        let bytes = postcard::to_allocvec(&self.context.snapshot()).unwrap();
        let snapshot: Snapshot<String> = postcard::from_bytes(&bytes).unwrap();
        let restored = Context::restore(snapshot).unwrap();
        assert_eq!(postcard::to_allocvec(&restored.snapshot()).unwrap(), bytes);
        self.context = restored;
    }

    /// Segments at their places.
    fn shown(&self) -> BTreeSet<usize> {
        let index = |piece: Piece<'_, String>| match piece {
            Piece::Segment(segment) | Piece::Clipped(segment, _) => Some(segment.id.0 as usize),
            _ => None,
        };
        self.context.pieces().filter_map(index).collect()
    }

    /// What the model is given.
    fn rendered(&self) -> Vec<String> {
        let render = |piece: Piece<'_, String>| match piece {
            Piece::Block(block) => format!("block {}: {}", block.name, block.text),
            Piece::Segment(segment) => segment.body.to_string(),
            Piece::Clipped(segment, clip) => format!("{}, clipped {clip:?}", segment.body),
            Piece::Stub(stub) => format!("out: {} to {}", stub.first, stub.last),
            Piece::Summary(summary) => format!("{} of {} to {}", summary.body, summary.first, summary.last),
            Piece::Recalled(segment) => format!("recalled {}", segment.body),
        };
        self.context.pieces().map(render).collect()
    }

    /// All that always holds.
    fn check(&self) {
        let mut place = BTreeMap::new();
        let mut order = Vec::new();
        let mut summaries = BTreeSet::new();
        let mut label = Label::TRUSTED;
        for (number, piece) in self.context.pieces().enumerate() {
            label = label.join(piece.label());
            match piece {
                Piece::Block(block) => assert_eq!(&*block.name, self.blocks[number].0),
                Piece::Segment(segment) | Piece::Clipped(segment, _) => {
                    order.push(segment.id.0);
                    assert_eq!(*segment.body, self.said[segment.id.0 as usize].body);
                    assert!(place.insert(segment.id.0, "shown").is_none());
                }
                Piece::Stub(stub) => {
                    order.push(stub.first.0);
                    (stub.first.0..=stub.last.0).for_each(|id| assert!(place.insert(id, "stub").is_none()));
                }
                Piece::Summary(summary) => assert!(summaries.insert(summary.id)),
                Piece::Recalled(segment) => assert_eq!(*segment.body, self.said[segment.id.0 as usize].body),
            }
        }
        assert!(order.is_sorted(), "what is shown at its place is in its order: {order:?}");
        assert!(self.context.label() == label);
        assert!(self.context.pieces().count() >= self.blocks.len());
        for (index, said) in self.said.iter().enumerate() {
            self.check_segment(index, said, &place, &summaries);
        }
        self.check_usage();
    }

    fn check_segment(
        &self,
        index: usize,
        said: &Said,
        place: &BTreeMap<u64, &str>,
        summaries: &BTreeSet<remit_context::SummaryId>,
    ) {
        let id = SegmentId(index as u64);
        let found = self.context.whereabouts(id).unwrap();
        match (place.get(&id.0), found) {
            (Some(&"shown"), Whereabouts::Resident) => {}
            (Some(&"shown"), Whereabouts::Clipped(clip)) => {
                assert!(clip.head + clip.tail < said.tokens && said.clipping == Clipping::Allowed);
            }
            (Some(&"stub"), Whereabouts::Stub) | (Some(&"stub") | None, Whereabouts::Recalled) => {}
            (None, Whereabouts::Summary(of)) => {
                let summary = self.context.summary(of).unwrap();
                assert!(summary.first <= id && id <= summary.last && summaries.contains(&of), "{id} under {summary:?}");
            }
            other => panic!("{id} is lost: {other:?}"),
        }
        assert_eq!(self.context.is_pinned(id), said.pinned);
        assert!(!said.pinned || found == Whereabouts::Resident, "{id} is pinned and {found:?}");
        let kind = |found| match found {
            Whereabouts::Resident | Whereabouts::Clipped(_) => "shown",
            Whereabouts::Recalled => "recalled",
            Whereabouts::Stub | Whereabouts::Summary(_) => "out",
        };
        let first = self.context.whereabouts(SegmentId(said.root as u64)).unwrap();
        assert_eq!(kind(found), kind(first), "{id} without s{}", said.root);
    }

    fn check_usage(&self) {
        let usage = self.context.usage(budget(1_000));
        let parts = [usage.blocks, usage.resident, usage.clipped, usage.stubs, usage.summaries, usage.recalled];
        let tokens = parts.into_iter().sum::<u64>() + usage.overhead;
        assert_eq!((tokens, usage.free), (self.context.tokens(), 1_000_u64.saturating_sub(tokens)));
        let blocks: u32 = self.blocks.iter().map(|block| block.1).sum();
        assert_eq!(usage.blocks, blocks.into());
    }
}

fn budget(window: u32) -> Budget {
    Budget { window, output_reserve: 0, recall_budget: 0 }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let role = prop_oneof![Just(Role::User), Just(Role::Assistant), Just(Role::Assistant), Just(Role::System)];
    let clipping = prop_oneof![3 => Just(Clipping::Allowed), 1 => Just(Clipping::Never)];
    let tokens = prop_oneof![6 => 0..40_u32, 3 => 40..400_u32, 1 => 400..3_000_u32];
    let append = (role, tokens, prop::option::weighted(0.3, 0..4_usize), clipping, 0..5_u32)
        .prop_map(|(role, tokens, depends_on, clipping, tag)| Step::Append { role, tokens, depends_on, clipping, tag });
    let order = prop_oneof![
        Just(Order::LeastRecentlyUsed),
        Just(Order::Importance),
        prop::collection::vec((0..60_u64).prop_map(SegmentId), 0..30).prop_map(Order::Given),
    ];
    let in_place = prop_oneof![Just(InPlace::Stub), Just(InPlace::Summary)];
    let policy = (order, in_place, 0..60_u8, 50..120_u8, 0..110_u8).prop_map(|(order, in_place, gist, high, low)| {
        Policy { order, in_place, gist_percent: gist, high_percent: high, low_percent: low, recalled_turns: 0 }
    });
    let window = prop_oneof![Just(2_000_u32), Just(1_000), 150..3_000_u32];
    let budget = (window, 0..100_u32, 0..1_000_u32).prop_map(|(window, output_reserve, recall_budget)| Budget {
        window,
        output_reserve,
        recall_budget,
    });
    let page = (budget, policy, prop::collection::vec(any::<bool>(), 0..3))
        .prop_map(|(budget, policy, written)| Step::Page { budget, policy, written });
    let score = prop_oneof![4 => 0.0..1.0_f32, 1 => Just(f32::NAN)];
    let index = 0..200_usize;
    let step = prop_oneof![
        12 => append,
        8 => page,
        1 => index.clone().prop_map(Step::Pin),
        2 => index.clone().prop_map(Step::Unpin),
        1 => (index.clone(), any::<u8>()).prop_map(|(index, importance)| Step::Matter(index, importance)),
        1 => index.clone().prop_map(Step::Touch),
        2 => prop::collection::vec(index.clone(), 1..4).prop_map(Step::PageIn),
        3 => (prop::collection::vec((index, score), 0..6), 0..400_u32).prop_map(|(found, budget)| Step::Recall(found, budget)),
        2 => (0..3_u64).prop_map(Step::EndTurn),
        1 => (0..2_usize, 0..120_u32).prop_map(|(index, tokens)| Step::Edit(index, tokens)),
        3 => Just(Step::Give),
        1 => (0..60_u32).prop_map(Step::Count),
        1 => Just(Step::Fork),
        1 => Just(Step::Keep),
    ];
    prop::collection::vec(step, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_and_the_window_is_never_exceeded(steps in steps()) {
        let mut tried = Tried::new();
        tried.append(Role::System, 20, None, Clipping::Allowed, 0);
        tried.check();
        for step in steps {
            tried.step(step);
        }
        // All of it can be had again.
        let all: Vec<_> = (0..tried.said.len() as u64).map(SegmentId).collect();
        tried.context.page_in(&all).unwrap();
        tried.check();
        prop_assert_eq!(tried.shown().len(), tried.said.len());
    }
}
