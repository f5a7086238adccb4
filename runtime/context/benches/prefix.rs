//! How much of a prompt is the beginning of the one before it, where each turn recalls something: `cargo bench -p remit-context --bench prefix`.
//!
//! Conversations as those of the bench `watermarks`; in each turn a search finds some segments that are out, not the same ones in any two
//! turns. What was recalled leaves with its turn, and all that stood behind it is computed again.
//!
//! | column | is |
//! | --- | --- |
//! | `kept` | tokens of the prompt before that are the beginning of this one, of 100 of this one's |
//! | `again` | tokens that are neither said nor recalled in this turn and are computed, a turn |
//! | `computed` | tokens of prompts that no cache could serve, for each token that was said or recalled |

#![allow(clippy::print_stdout, reason = "a benchmark says what it measured")]
#![allow(clippy::unwrap_used, reason = "it ends where it cannot go on")]

use remit_abi::Role;
use remit_context::{Budget, Candidate, Config, Context, InPlace, NewSegment, Policy, SegmentId, Written};

const TURNS: usize = 20_000;

/// What a search finds in a turn.
const FOUND: u64 = 4;

/// Numbers that look like chance, and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }

    /// 38 on average, in a message.
    fn tokens(&mut self) -> u32 {
        let factor = if self.below(10) == 0 { 10 } else { 1 };
        (5 + self.below(36) * factor) as u32
    }
}

#[derive(Default)]
struct Course {
    kept: f64,
    again: f64,
    computed: f64,
}

fn converse(window: u32, in_place: InPlace, recall_percent: u32) -> Course {
    let (output_reserve, policy) = (window / 8, Policy { in_place, ..Policy::default() });
    let budget = Budget { window, output_reserve, recall_budget: (window - output_reserve) * recall_percent / 100 };
    let (mut context, mut numbers) = (Context::new(Config::default()), Numbers(11));
    let (mut course, mut fresh, mut prompts) = (Course::default(), 0.0, 0.0);
    for _ in 0..TURNS {
        let mut said = 0.0;
        for role in [Role::Assistant, Role::User] {
            let tokens = numbers.tokens();
            said += f64::from(tokens);
            context.append(NewSegment::new(role, tokens, 0)).unwrap();
        }
        let all = context.len() as u64;
        let candidate = |_| Candidate { id: SegmentId(numbers.below(all)), score: 1.0 };
        let found: Vec<_> = (0..if recall_percent > 0 { FOUND } else { 0 }).map(candidate).collect();
        context.recall(&found, budget.recall_budget);
        let plan = context.plan(budget, &policy).unwrap();
        let (tokens, kept) = (plan.tokens as f64, plan.kept.tokens as f64);
        let written = plan.summaries.iter().map(|task| Some(Written { tokens: task.tokens_max, body: 0 })).collect();
        context.apply(plan, written).unwrap();
        let new = said + context.usage(budget).recalled as f64;
        course.kept += kept;
        course.computed += tokens - kept;
        course.again += tokens - kept - new;
        (fresh, prompts) = (fresh + new, prompts + tokens);
        context.mark_sent();
        context.end_turn(&policy);
    }
    let turns = TURNS as f64;
    Course { kept: 100.0 * course.kept / prompts, again: course.again / turns, computed: course.computed / fresh }
}

fn main() {
    for (in_place, name) in [(InPlace::Stub, "stubs"), (InPlace::Summary, "summaries")] {
        println!("{name}\n{:>6} {:>8} {:>7} {:>6} {:>9}", "window", "recalled", "kept", "again", "computed");
        for window in [2_048, 8_192, 32_768] {
            for recall_percent in [0, 10, 25] {
                let Course { kept, again, computed } = converse(window, in_place, recall_percent);
                println!("{window:>6} {recall_percent:>7}% {kept:>6.1}% {again:>6.1} {computed:>9.2}");
            }
        }
    }
}
