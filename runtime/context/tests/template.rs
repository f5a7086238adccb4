//! A kernel's loop against a chat template that is not additive: plan, do, render, count, and again where it does not fit.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use remit_abi::Role;
use remit_context::{
    Budget, Clipping, Config, Context, InPlace, NewSegment, Piece, Policy, SegmentId, Whereabouts, Written,
};

/// A template of its own kind: words around each piece, words around all, and fewer tokens where two pieces meet.
#[derive(Clone, Copy, Debug)]
struct Template {
    around_all: u64,
    around_each: u64,
    /// How much longer a stub and a note are than the context was told.
    longer: u64,
}

impl Template {
    fn count(self, context: &Context<u32>) -> u64 {
        let config = Config::default();
        let note = u64::from(config.note_tokens) + self.longer;
        let piece = |piece: Piece<'_, u32>| match piece {
            Piece::Block(block) => block.tokens.into(),
            Piece::Segment(segment) => u64::from(segment.tokens),
            Piece::Clipped(_, clip) => u64::from(clip.head) + u64::from(clip.tail) + note,
            Piece::Stub(_) => u64::from(config.stub_tokens) + self.longer,
            Piece::Summary(summary) => summary.tokens.into(),
            Piece::Recalled(segment) => u64::from(segment.tokens) + note,
        };
        let pieces = context.pieces().map(|of| (piece(of) + self.around_each).saturating_sub(1));
        self.around_all + pieces.sum::<u64>()
    }
}

/// Numbers that look like chance, and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

/// What a conversation came to.
#[derive(Debug, Default)]
struct Course {
    prompts: usize,
    /// In which anything went out.
    paged: usize,
    rounds_max: usize,
}

fn converse(turns: usize, template: Template, policy: &Policy, longest: u64) -> Course {
    let budget = Budget { window: 2_048, output_reserve: 256, recall_budget: 0 };
    let most = u64::from(budget.prompt_tokens_max().unwrap());
    let (mut context, mut numbers, mut course) = (Context::new(Config::default()), Numbers(7), Course::default());
    for turn in 0..turns {
        for role in [Role::User, Role::Assistant] {
            let tokens = if numbers.below(50) == 0 { numbers.below(longest) } else { 5 + numbers.below(60) };
            context.append(NewSegment::new(role, tokens as u32, 0)).unwrap();
        }
        let mut rounds = 0;
        let mut paged = false;
        loop {
            rounds += 1;
            let plan = context.plan(budget, policy).unwrap();
            paged |= !plan.is_empty();
            let written =
                plan.summaries.iter().map(|task| Some(Written { tokens: task.tokens_max, body: 1 })).collect();
            context.apply(plan, written).unwrap();
            let counted = template.count(&context);
            if counted <= most {
                break;
            }
            context.correct(u32::try_from(counted).unwrap());
            assert!(rounds < 10, "turn {turn}: it does not end");
        }
        course.rounds_max = course.rounds_max.max(rounds);
        course.paged += usize::from(paged);
        course.prompts += 1;
        context.end_turn(policy);
    }
    course
}

#[test]
fn the_loop_ends_in_few_rounds_whatever_the_template_adds() {
    for (around_all, around_each, longer) in [(0, 0, 0), (40, 5, 0), (0, 40, 3), (300, 1, 60), (3, 9, 200)] {
        for in_place in [InPlace::Stub, InPlace::Summary] {
            let template = Template { around_all, around_each, longer };
            let course = converse(3_000, template, &Policy { in_place, ..Policy::default() }, 6_000);
            assert!(course.rounds_max <= 2, "{template:?}, {in_place:?}: {course:?}");
        }
    }
}

#[test]
fn small_messages_page_out_rarely() {
    // 70 tokens a turn, with four around each message, and 1,792 for all: 60 % are filled up to 100 % in some ten turns.
    let template = Template { around_all: 10, around_each: 4, longer: 0 };
    let paged = |low_percent| {
        let course = converse(2_000, template, &Policy { low_percent, ..Policy::default() }, 65);
        course.paged as f64 / course.prompts as f64
    };
    let (with_a_gap, without) = (paged(60), paged(100));
    assert!(with_a_gap < 0.12, "{with_a_gap}");
    assert!(without > 0.85, "{without}");
}

#[test]
fn agents_that_just_append_never_have_too_much() {
    let budget = Budget { window: 512, output_reserve: 64, recall_budget: 100 };
    for seed in 0..40 {
        let (mut context, mut numbers) = (Context::new(Config::default()), Numbers(seed));
        let mut call: Option<SegmentId> = None;
        for _ in 0..600 {
            let role = [Role::User, Role::Assistant, Role::Assistant][numbers.below(3) as usize];
            let tokens = if numbers.below(8) == 0 { numbers.below(3_000) } else { numbers.below(80) } as u32;
            let depends_on = call.take().filter(|_| numbers.below(2) == 0);
            let clipping = if tokens < 80 && numbers.below(4) == 0 { Clipping::Never } else { Clipping::Allowed };
            let new = NewSegment { depends_on, clipping, ..NewSegment::new(role, tokens, 0) };
            let id = context.append(new).unwrap();
            call = (role == Role::Assistant && numbers.below(3) == 0).then_some(id);
            let in_place = if seed % 2 == 0 { InPlace::Stub } else { InPlace::Summary };
            let plan = context.plan(budget, &Policy { in_place, ..Policy::default() }).unwrap();
            assert!(plan.tokens <= 448);
            context.apply(plan, Vec::new()).unwrap();
            assert!(matches!(context.whereabouts(id), Some(Whereabouts::Resident | Whereabouts::Clipped(_))));
            if numbers.below(4) == 0 {
                context.end_turn(&Policy::default());
            }
        }
    }
}
