//! What paging does to conversations, one behaviour a test.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use proptest::prelude::*;
use remit_abi::{Label, Role};
use remit_context::{
    BLOCKS_MAX, BlockError, Budget, Candidate, Clipping, Config, Context, ContextError, Edit, InPlace, NewBlock,
    NewSegment, Order, Piece, PlanError, Policy, SegmentId, Snapshot, SnapshotError, Source, Whereabouts, Written,
};

/// What a message says; it cannot be copied, so that it is a proof that contexts do not.
#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Body(u64);

type Tried = Context<Body>;

const ROOM: Budget = Budget { window: 1_000, output_reserve: 0, recall_budget: 0 };

fn config() -> Config {
    Config { stub_tokens: 10, note_tokens: 5, blocks_tokens_max: 400 }
}

fn say(context: &mut Tried, role: Role, tokens: u32) -> SegmentId {
    context.append(NewSegment::new(role, tokens, Body(tokens.into()))).unwrap()
}

/// A question and its answer.
fn chat(context: &mut Tried, tokens: u32) -> SegmentId {
    let asked = say(context, Role::User, tokens / 2);
    say(context, Role::Assistant, tokens - tokens / 2);
    context.end_turn(&Policy::default());
    asked
}

/// So many turns of 100 tokens; the first asks s0.
fn conversation(turns: usize) -> Tried {
    let mut context = Context::new(config());
    (0..turns).for_each(|_| {
        chat(&mut context, 100);
    });
    context
}

fn block(name: &str, tokens: u32, tokens_max: u32) -> NewBlock {
    NewBlock { name: name.into(), text: name.into(), tokens, tokens_max, label: Label::TRUSTED }
}

/// Pages, with all summaries written; how many tokens the prompt has.
fn page(context: &mut Tried, budget: Budget, policy: &Policy) -> u64 {
    let plan = context.plan(budget, policy).unwrap();
    let written =
        plan.summaries.iter().map(|task| Some(Written { tokens: task.tokens_max, body: Body(task.id.0) })).collect();
    context.apply(plan, written).unwrap();
    context.tokens()
}

/// Segments in the window, `~` for what is clipped, `-` for a stub, `+` for a summary, `^` for what is recalled.
fn window(context: &Tried) -> String {
    let word = |piece: Piece<'_, Body>| match piece {
        Piece::Block(block) => block.name.to_string(),
        Piece::Segment(segment) => segment.id.to_string(),
        Piece::Clipped(segment, clip) => format!("{}~{}+{}", segment.id, clip.head, clip.tail),
        Piece::Stub(stub) => format!("-{}", stub.count()),
        Piece::Summary(summary) => format!("+{}", summary.last.0 - summary.first.0 + 1),
        Piece::Recalled(segment) => format!("^{}", segment.id),
    };
    context.pieces().map(word).collect::<Vec<_>>().join(" ")
}

fn ids(of: impl IntoIterator<Item = u64>) -> Vec<SegmentId> {
    of.into_iter().map(SegmentId).collect()
}

#[test]
fn what_was_left_alone_goes_out_with_its_neighbours() {
    let mut context: Tried = Context::new(config());
    let [before, _, after, pinned] = [20, 9, 20, 140].map(|tokens| say(&mut context, Role::User, tokens));
    context.pin(pinned).unwrap();
    context.end_turn(&Policy::default());
    context.touch(before).unwrap();
    context.touch(after).unwrap();
    say(&mut context, Role::User, 6);
    // A line would be longer than the second one, until there is one line for all three.
    let budget = Budget { window: 156, ..ROOM };
    assert_eq!((page(&mut context, budget, &Policy::default()), window(&context)), (156, "-3 s3 s4".into()));
}

#[test]
fn nothing_goes_out_below_the_high_mark_and_then_down_to_the_low_one() {
    let mut context = conversation(10);
    assert!(context.plan(ROOM, &Policy::default()).unwrap().is_empty());
    say(&mut context, Role::User, 1);
    let tokens = page(&mut context, ROOM, &Policy::default());
    assert_eq!((tokens, &*window(&context)), (561, "-9 s9 s10 s11 s12 s13 s14 s15 s16 s17 s18 s19 s20"));
    let leaves_room = Budget { output_reserve: 300, recall_budget: 100, ..ROOM };
    page(&mut context, leaves_room, &Policy { high_percent: 90, ..Policy::default() });
    assert_eq!(window(&context), "-14 s14 s15 s16 s17 s18 s19 s20", "90 % of 600, and then 60 %");
}

#[test]
fn an_order_says_what_goes_first() {
    let check = |order: Order, expected: &str| {
        let mut context = Context::new(config());
        say(&mut context, Role::System, 50);
        (0..4).for_each(|_| {
            chat(&mut context, 200);
        });
        context.set_importance(SegmentId(2), 200).unwrap();
        context.set_importance(SegmentId(5), 10).unwrap();
        context.touch(SegmentId(3)).unwrap();
        say(&mut context, Role::User, 200);
        page(&mut context, ROOM, &Policy { order, low_percent: 75, ..Policy::default() });
        assert_eq!(window(&context), expected);
    };
    check(Order::LeastRecentlyUsed, "s0 -2 s3 -2 s6 s7 s8 s9");
    check(Order::Importance, "s0 -1 s2 s3 -3 s7 s8 s9");
    check(Order::Given(ids([8, 99, 0, 8])), "-3 s3 s4 s5 s6 s7 -1 s9");
}

#[test]
fn pins_stay_and_too_many_of_them_are_named() {
    let mut context = conversation(9);
    let pins = [SegmentId(0), SegmentId(4)];
    pins.iter().for_each(|id| context.pin(*id).unwrap());
    say(&mut context, Role::User, 200);
    page(&mut context, ROOM, &Policy::default());
    assert_eq!(window(&context), "s0 -3 s4 -8 s13 s14 s15 s16 s17 s18");
    let long = say(&mut context, Role::Assistant, 700);
    let longest = say(&mut context, Role::Assistant, 800);
    [long, longest].iter().for_each(|id| context.pin(*id).unwrap());
    say(&mut context, Role::User, 10);
    let error = context.plan(ROOM, &Policy::default()).unwrap_err();
    let expected = "pinned segments and blocks (0 tokens) leave the newest turn 625 tokens too few: unpin s20";
    assert_eq!((error.to_string().as_str(), longest), (expected, SegmentId(20)));
    context.unpin(longest).unwrap();
    assert!(context.plan(ROOM, &Policy::default()).unwrap().tokens <= 1_000);
}

#[test]
fn nothing_goes_out_whose_line_would_be_longer() {
    let mut context = Context::new(config());
    for number in 0..40 {
        let id = say(&mut context, Role::Assistant, if number % 2 == 0 { 30 } else { 4 });
        if number % 2 == 0 {
            context.pin(id).unwrap();
        }
    }
    (0..3).for_each(|_| {
        chat(&mut context, 100);
    });
    say(&mut context, Role::User, 50);
    page(&mut context, ROOM, &Policy { low_percent: 10, ..Policy::default() });
    assert!(window(&context).starts_with("s0 s1 s2 s3 "), "{}", window(&context));
    assert!(window(&context).ends_with(" s38 -7 s46"), "{}", window(&context));
}

#[test]
fn a_call_and_its_results_go_together() {
    let mut context = Context::new(config());
    say(&mut context, Role::User, 10);
    let call = say(&mut context, Role::Assistant, 10);
    let result = |context: &mut Tried, tokens| {
        let new = NewSegment { depends_on: Some(call), ..NewSegment::new(Role::User, tokens, Body(0)) };
        context.append(new).unwrap()
    };
    result(&mut context, 500);
    (0..4).for_each(|_| {
        chat(&mut context, 100);
    });
    say(&mut context, Role::User, 200);
    page(&mut context, ROOM, &Policy { low_percent: 90, ..Policy::default() });
    assert_eq!(window(&context), "-3 s3 s4 s5 s6 s7 s8 s9 s10 s11", "the result is of the call's age");
    result(&mut context, 20);
    assert_eq!(window(&context), "-1 s1 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 s12", "a late result has its call");
    let unknown = NewSegment { depends_on: Some(SegmentId(99)), ..NewSegment::new(Role::User, 1, Body(0)) };
    let error = context.append(unknown).unwrap_err();
    assert_eq!(error.to_string(), "the context has no segment s99: it has 13, from s0 on");
}

#[test]
fn a_question_that_alone_is_too_long_is_clipped() {
    let mut context = conversation(3);
    say(&mut context, Role::User, 5_000);
    assert_eq!(page(&mut context, ROOM, &Policy::default()), 600);
    assert_eq!(window(&context), "-6 s6~293+292");
    let mut longer = context.fork();
    say(&mut longer, Role::Assistant, 5_000);
    page(&mut longer, Budget { window: 3_000, ..ROOM }, &Policy::default());
    assert_eq!(window(&longer), "-6 s6~293+292 s7~598+597", "a clip never grows");
    let whole = NewSegment { clipping: Clipping::Never, ..NewSegment::new(Role::Assistant, 5_000, Body(0)) };
    context.append(whole).unwrap();
    let error = context.plan(ROOM, &Policy::default()).unwrap_err();
    assert_eq!(error, PlanError::Turn { excess: 4_015, blocks: 0 });
    let error = context.plan(Budget { output_reserve: 1_000, ..ROOM }, &Policy::default()).unwrap_err();
    assert_eq!(error, PlanError::NoRoom { window: 1_000, output_reserve: 1_000 });
}

#[test]
fn what_is_paged_in_and_too_long_is_clipped_before_it_goes_out() {
    let mut context = Context::new(config());
    let long = say(&mut context, Role::User, 900);
    (0..5).for_each(|_| {
        chat(&mut context, 100);
    });
    say(&mut context, Role::User, 100);
    page(&mut context, ROOM, &Policy::default());
    assert_eq!(context.whereabouts(long), Some(Whereabouts::Stub));
    context.page_in(&[long]).unwrap();
    assert!(page(&mut context, ROOM, &Policy { low_percent: 80, ..Policy::default() }) <= 800);
    assert_eq!(window(&context), "s0~123+122 -2 s3 s4 s5 s6 s7 s8 s9 s10 s11");
}

#[test]
fn a_turn_of_hundreds_of_steps_pages_its_own_out() {
    let mut context = Context::new(config());
    chat(&mut context, 100);
    let asked = say(&mut context, Role::User, 30);
    let mut last = asked;
    for step in 0..500 {
        let call = say(&mut context, Role::Assistant, 20);
        let tokens = if step % 10 == 0 { 700 } else { 60 };
        let result = NewSegment { depends_on: Some(call), ..NewSegment::new(Role::User, tokens, Body(0)) };
        last = context.append(result).unwrap();
        assert!(page(&mut context, ROOM, &Policy::default()) <= 1_000);
        for id in [asked, call, last] {
            assert!(
                !matches!(context.whereabouts(id), Some(Whereabouts::Stub)),
                "{id} at step {step}: {}",
                window(&context)
            );
        }
    }
    assert!(context.pieces().count() < 25 && window(&context).starts_with("-2 s2 -"), "{}", window(&context));
    assert_eq!(last, SegmentId(1_002));
}

#[test]
fn summaries_take_in_those_beside_them_and_stay_few() {
    let policy = Policy { in_place: InPlace::Summary, gist_percent: 30, ..Policy::default() };
    let (mut context, mut recursive) = (Context::new(config()), 0);
    for _ in 0..400 {
        say(&mut context, Role::User, 100);
        say(&mut context, Role::Assistant, 100);
        let plan = context.plan(ROOM, &policy).unwrap();
        recursive += plan.summaries.iter().filter(|task| task.sources.iter().any(is_summary)).count();
        assert!(plan.tokens <= 1_000);
        page(&mut context, ROOM, &policy);
        let usage = context.usage(ROOM);
        assert!(usage.summaries + usage.stubs <= 300, "{usage:?}");
        context.end_turn(&policy);
    }
    assert!(recursive > 20, "{recursive}");
    let under = (0..700).filter(|id| matches!(context.whereabouts(SegmentId(*id)), Some(Whereabouts::Summary(_))));
    assert_eq!(under.count(), 700, "all that is long gone is under a summary: {}", window(&context));
    context.page_in(&ids([300])).unwrap();
    assert!(window(&context).contains(" s300 "), "{}", window(&context));
    let summaries = context.pieces().filter(|piece| matches!(piece, Piece::Summary(_))).count();
    say(&mut context, Role::User, 800);
    page(&mut context, ROOM, &Policy { gist_percent: 90, ..policy.clone() });
    assert!(
        matches!(context.whereabouts(SegmentId(300)), Some(Whereabouts::Summary(_))),
        "it is under its summary again"
    );
    assert!(context.pieces().filter(|piece| matches!(piece, Piece::Summary(_))).count() >= summaries);
    // A model with a smaller window: the oldest have no room.
    page(&mut context, Budget { window: 300, ..ROOM }, &policy);
    assert!(context.usage(ROOM).summaries <= 90, "{}", window(&context));
}

fn is_summary(source: &Source) -> bool {
    matches!(source, Source::Summary(_))
}

#[test]
fn a_stub_stands_where_no_summary_was_written() {
    let policy = Policy { in_place: InPlace::Summary, ..Policy::default() };
    let mut context = conversation(11);
    let plan = context.plan(ROOM, &policy).unwrap();
    let [task] = &plan.summaries[..] else { panic!("{plan:?}") };
    assert_eq!((task.tokens_max, task.first, task.last), (50, SegmentId(0), SegmentId(10)));
    let mut fork = context.fork();
    fork.apply(plan.clone(), vec![Some(Written { tokens: 51, body: Body(0) })]).unwrap();
    assert!(window(&fork).starts_with("-11 "), "one that is too long is none");
    context.apply(plan, Vec::new()).unwrap();
    assert_eq!(window(&context), window(&fork));
}

#[test]
fn recalling_takes_the_best_that_fit_with_their_neighbours() {
    let mut context = conversation(12);
    say(&mut context, Role::User, 100);
    page(&mut context, ROOM, &Policy { low_percent: 20, ..Policy::default() });
    assert_eq!(window(&context), "-23 s23 s24");
    context.mark_sent();
    let found = [(3, 0.5), (23, 0.9), (8, 0.7), (99, 0.8), (3, f32::NAN)];
    let candidates = found.map(|(id, score)| Candidate { id: SegmentId(id), score });
    // 55 tokens each: the two hits, what follows the better one, and what precedes it.
    let chosen = context.recall(&candidates, 55 * 4 + 54);
    assert_eq!(chosen, ids([3, 7, 8, 9]));
    assert_eq!(window(&context), "-23 s23 s24 ^s3 ^s7 ^s8 ^s9");
    assert_eq!(context.recall(&candidates, 55 * 4 + 54), [], "what is shown is no candidate");
    assert_eq!(context.plan(ROOM, &Policy::default()).unwrap().kept.pieces, 3, "all before it is as it was");
    context.mark_sent();
    say(&mut context, Role::Assistant, 10);
    assert_eq!(
        context.plan(ROOM, &Policy::default()).unwrap().kept.pieces,
        7,
        "it keeps its place while the turn goes on"
    );
    let mut kept = context.fork();
    kept.end_turn(&Policy { recalled_turns: 1, ..Policy::default() });
    say(&mut kept, Role::User, 10);
    assert_eq!(window(&kept), "-23 s23 s24 ^s3 ^s7 ^s8 ^s9 s25 s26");
    page(&mut kept, Budget { window: 300, ..ROOM }, &Policy::default());
    assert!(!window(&kept).contains('^'), "it goes before anything else does");
    context.end_turn(&Policy::default());
    assert_eq!(window(&context), "-23 s23 s24 s25");
    assert_eq!(context.plan(ROOM, &Policy::default()).unwrap().kept.pieces, 3, "what was asked is as it was");
    assert_eq!(context.recall(&candidates, 54), []);
}

#[test]
fn a_recalled_call_comes_with_its_result_or_not_at_all() {
    let mut context = Context::new(config());
    say(&mut context, Role::User, 50);
    let call = say(&mut context, Role::Assistant, 50);
    let new = NewSegment { depends_on: Some(call), ..NewSegment::new(Role::User, 200, Body(0)) };
    let result = context.append(new).unwrap();
    say(&mut context, Role::User, 900);
    page(&mut context, ROOM, &Policy::default());
    let found = |id| [Candidate { id, score: 1.0 }];
    assert_eq!(context.recall(&found(result), 259), [], "250 tokens and two notes do not fit");
    assert_eq!(context.recall(&found(call), 260), [call, result]);
}

#[test]
fn an_edit_is_told_as_a_change_of_the_prefix() {
    let mut context = Context::new(config());
    context.make_block(block("persona", 10, 20)).unwrap();
    context.make_block(block("person", 10, 400)).unwrap();
    chat(&mut context, 100);
    context.mark_sent();
    let kept = |context: &Tried| context.plan(ROOM, &Policy::default()).unwrap().kept;
    assert_eq!((kept(&context).pieces, kept(&context).tokens), (4, 120));
    let edit = Edit::ReplacePart { old: "son".into(), new: "son: Ada".into() };
    assert_eq!(context.edited("person", &edit).unwrap(), "person: Ada");
    context.edit_block("person", &edit, 12, Label::UNTRUSTED).unwrap();
    assert_eq!((kept(&context).pieces, context.label()), (1, Label::UNTRUSTED));
    context.edit_block("person", &Edit::Append("!".into()), 12, Label::TRUSTED).unwrap();
    assert_eq!(context.label(), Label::UNTRUSTED, "what was there is still in it");
    context.edit_block("person", &Edit::Replace("Ada".into()), 12, Label::TRUSTED).unwrap();
    assert_eq!((&*context.blocks()[1].text, context.label()), ("Ada", Label::TRUSTED));
    let refused = |context: &mut Tried, name: &str, edit: Edit, tokens, expected: BlockError| {
        let before = context.blocks().to_vec();
        assert_eq!(context.edit_block(name, &edit, tokens, Label::UNTRUSTED), Err(expected));
        assert_eq!(context.blocks(), before);
    };
    let too_large = BlockError::TooLarge { name: "persona".into(), tokens: 21, tokens_max: 20 };
    refused(&mut context, "persona", Edit::Append("!".into()), 21, too_large);
    let together = BlockError::TogetherTooLarge { tokens: 401, tokens_max: 400 };
    refused(&mut context, "person", Edit::Append("!".into()), 391, together);
    refused(&mut context, "task", Edit::Append("!".into()), 1, BlockError::Unknown("task".into()));
    for (old, found) in [("a", 2), ("z", 0), ("", 0)] {
        let edit = Edit::ReplacePart { old: old.into(), new: "x".into() };
        let text = Edit::Replace("aha".into());
        context.edit_block("person", &text, 12, Label::TRUSTED).unwrap();
        refused(&mut context, "person", edit, 1, BlockError::Part { name: "person".into(), found });
    }
    assert_eq!(context.make_block(block("a name", 1, 1)), Err(BlockError::Name("a name".into())));
    assert_eq!(context.make_block(block("person", 1, 1)), Err(BlockError::Exists("person".into())));
    (2..BLOCKS_MAX).for_each(|number| context.make_block(block(&format!("b{number}"), 1, 1)).unwrap());
    assert_eq!(context.make_block(block("more", 1, 1)), Err(BlockError::TooMany));
    assert_eq!(context.remove_block("persona").unwrap().tokens, 10);
    assert_eq!(context.remove_block("persona"), Err(BlockError::Unknown("persona".into())));
}

#[test]
fn a_thousand_forks_share_what_was_said() {
    let original = conversation(5_000);
    let mut forks: Vec<_> = (0..1_000).map(|_| original.fork()).collect();
    for (number, fork) in forks.iter_mut().enumerate() {
        let id = say(fork, Role::User, 10);
        fork.touch(SegmentId(number as u64)).unwrap();
        assert_eq!(id, SegmentId(10_000));
    }
    // No body was copied: this type cannot be.
    let body = |context: &Tried| std::sync::Arc::as_ptr(&context.segment(SegmentId(777)).unwrap().body);
    assert!(forks.iter().all(|fork| body(fork) == body(&original)));
    assert_eq!((original.len(), original.segment(SegmentId(10_000)).map(|segment| segment.id)), (10_000, None));
    let plan = forks[0].plan(ROOM, &Policy::default()).unwrap();
    assert_eq!(forks[1].apply(plan, Vec::new()), Err(ContextError::StalePlan), "a plan is of one context");
}

#[test]
fn a_snapshot_of_another_form_is_refused() {
    let mut bytes = postcard::to_allocvec(&conversation(3).snapshot()).unwrap();
    bytes[0] = 7;
    let snapshot: Snapshot<Body> = postcard::from_bytes(&bytes).unwrap();
    assert_eq!(Context::restore(snapshot).err(), Some(SnapshotError::Version { found: 7 }));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is done to its bytes, it is an error, or a context that works.
    #[test]
    fn a_damaged_snapshot_is_an_error_or_a_context(
        changes in prop::collection::vec((0..2_000_usize, any::<u8>()), 1..4), more in prop::collection::vec(0..40_u64, 0..9)
    ) {
        let mut context = conversation(12);
        context.make_block(block("person", 5, 9)).unwrap();
        context.pin(SegmentId(3)).unwrap();
        let policy = Policy { in_place: InPlace::Summary, low_percent: 30, ..Policy::default() };
        page(&mut context, ROOM, &policy);
        context.page_in(&ids([6])).unwrap();
        context.recall(&[Candidate { id: SegmentId(8), score: 1.0 }], 300);
        context.correct(700);
        let mut bytes = postcard::to_allocvec(&context.snapshot()).unwrap();
        for (place, byte) in changes {
            let length = bytes.len();
            bytes[place % length] = byte;
        }
        let restored = postcard::from_bytes::<Snapshot<Body>>(&bytes).ok().map(Context::restore);
        if let Some(Ok(mut context)) = restored {
            say(&mut context, Role::User, 100);
            let known: Vec<_> = ids(more).into_iter().filter(|id| context.segment(*id).is_some()).collect();
            context.page_in(&known).unwrap();
            for window in [5_000, 1_000, 200] {
                if let Ok(plan) = context.plan(Budget { window, ..ROOM }, &policy) {
                    prop_assert!(plan.tokens <= window.into());
                    context.apply(plan, Vec::new()).unwrap();
                }
            }
            context.correct(900);
            context.end_turn(&policy);
            prop_assert!(Context::restore(context.snapshot()).is_ok());
        }
    }
}
