//! What the watermarks cost and bring: `cargo bench -p remit-context --bench watermarks`.
//!
//! A model's prefix cache serves what is rendered as before. Paging out changes the prefix where the first segment goes out, and all
//! behind it is computed again; so it should be rare. But what goes out at once is not shown until the window is full again; so it should be
//! little. The simulation has conversations of messages whose sizes are as those of chats with tools (most are short, one in ten has ten times as many
//! tokens), and says for each low mark:
//!
//! | column | is |
//! | --- | --- |
//! | `paged` | prompts for which anything went out, of 100 |
//! | `computed` | tokens of prompts that no cache could serve, for each token that was said |
//! | `full` | how much of what it may have a prompt has, on average |

#![allow(clippy::print_stdout, reason = "a benchmark says what it measured")]
#![allow(clippy::unwrap_used, reason = "it ends where it cannot go on")]

use remit_abi::Role;
use remit_context::{Budget, Config, Context, InPlace, NewSegment, Policy, Written};

const TURNS: usize = 20_000;

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
    paged: f64,
    computed: f64,
    full: f64,
}

fn converse(window: u32, policy: &Policy) -> Course {
    let budget = Budget { window, output_reserve: window / 8, recall_budget: 0 };
    let most = f64::from(budget.prompt_tokens_max().unwrap());
    let (mut context, mut numbers, mut said) = (Context::new(Config::default()), Numbers(11), 0.0);
    let mut course = Course::default();
    for _ in 0..TURNS {
        for role in [Role::Assistant, Role::User] {
            let tokens = numbers.tokens();
            said += f64::from(tokens);
            context.append(NewSegment::new(role, tokens, 0)).unwrap();
        }
        let plan = context.plan(budget, policy).unwrap();
        course.paged += if plan.is_empty() { 0.0 } else { 1.0 };
        course.computed += (plan.tokens - plan.kept.tokens) as f64;
        course.full += plan.tokens as f64 / most;
        let written = plan.summaries.iter().map(|task| Some(Written { tokens: task.tokens_max, body: 0 })).collect();
        context.apply(plan, written).unwrap();
        context.mark_sent();
        context.end_turn(policy);
    }
    let turns = TURNS as f64;
    Course { paged: course.paged / turns, computed: course.computed / said, full: course.full / turns }
}

fn main() {
    for (in_place, name) in [(InPlace::Stub, "stubs"), (InPlace::Summary, "summaries")] {
        for window in [2_048, 8_192] {
            println!(
                "{name}, a window of {window}\n{:>6} {:>5} {:>7} {:>9} {:>6}",
                "high", "low", "paged", "computed", "full"
            );
            for high_percent in [100, 90] {
                for low_percent in [30, 40, 50, 60, 70, 80, 90] {
                    let policy = Policy { in_place, high_percent, low_percent, ..Policy::default() };
                    let Course { paged, computed, full } = converse(window, &policy);
                    let (paged, full_percent) = (paged * 100.0, full * 100.0);
                    println!("{high_percent:>6} {low_percent:>5} {paged:>7.1} {computed:>9.2} {full_percent:>5.0}%");
                }
            }
        }
    }
}
