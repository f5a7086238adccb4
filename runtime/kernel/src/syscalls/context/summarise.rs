//! Summaries of what leaves a window, by the context's own model, under its grant and at its process's cost.
//!
//! A summary that cannot be had (the right does not go so far, the account would have nothing left for the answer, the engine fails) is left
//! out, and a stub stands in its place.

use super::{INTERFACE, turn::Turn};
use crate::{
    bill::Quote,
    contexts::role_name,
    control::ControlBlock,
    kernel::Shared,
    ports::{ChatMessage, PromptText, WrittenSummary},
    syscalls::{
        generate::{Came, Generate},
        prompt::Resolved,
    },
};
use remit_abi::{Access, GrantKind, LlmError, Params, Role, Usage};
use remit_authority::Use;
use remit_context::{Budget, Plan, SegmentId, Source, SummaryTask};

/// What the model is asked. The number of words is set for `{}`.
const INSTRUCTION: &str = "Write down what the following part of a conversation says, in at most {} words. Keep names, numbers, dates, \
     decisions, promises, and questions that are still open. Say who said what. Leave out greetings and repetitions. Answer with that text \
     alone.\n\n";

/// Rounds in which what is summarised is cut to what the window holds: each leaves half as much at least.
const CUTS_MAX: u32 = 24;

impl Turn {
    /// The plan's summaries, in its order, and what the model did for them.
    pub(super) async fn summarise(
        &mut self,
        shared: &Shared,
        block: &ControlBlock,
        plan: &Plan,
        budget: Budget,
    ) -> (Vec<Option<WrittenSummary>>, Usage) {
        let (mut written, before) = (Vec::with_capacity(plan.summaries.len()), self.summaries_usage);
        for task in &plan.summaries {
            let summary = self.summary(shared, block, task, budget).await;
            self.report.summarised += u32::from(summary.is_some());
            written.push(summary);
        }
        let now = self.summaries_usage;
        let usage = Usage {
            input: now.input.saturating_sub(before.input),
            cached: now.cached.saturating_sub(before.cached),
            output: now.output.saturating_sub(before.output),
        };
        (written, usage)
    }

    async fn summary(
        &mut self,
        shared: &Shared,
        block: &ControlBlock,
        task: &SummaryTask,
        budget: Budget,
    ) -> Option<WrittenSummary> {
        let label = task.label.join(self.label);
        let wanted =
            Use { kind: GrantKind::Model, name: None, access: Access::ReadWrite, tokens: task.tokens_max, label };
        let grant = self.open.model.grant;
        shared.use_besides(block, (grant, INTERFACE), &wanted).ok()?;
        let (generate, quote) = self.fitting(shared, task, budget)?;
        // The answer comes first.
        let prices = shared.prices.model(&self.open.model.card.name);
        let answer = prices.of_prompt_at_most(budget.window).saturating_add(quote.spare);
        if self.bill.remaining() < quote.most.saturating_add(answer) {
            return None;
        }
        let reserved = self.bill.reserve(quote).ok()?;
        let Came { collected, used, .. } = generate.whole(shared, reserved).await;
        if let Some(used) = used {
            self.summaries_usage = self.summaries_usage.plus(used.usage);
            self.note_use(used);
        }
        let collected = collected.ok()?;
        self.report.paid = self.report.paid.saturating_add(collected.summary.paid);
        let text = collected.text.trim();
        let tokens = collected.summary.usage.output.min(task.tokens_max);
        (!text.is_empty()).then(|| WrittenSummary { tokens, text: text.into() })
    }

    /// A request that fits the window: what is too long for one loses its middle.
    fn fitting(&self, shared: &Shared, task: &SummaryTask, budget: Budget) -> Option<(Generate, Quote)> {
        let words = self.words_of(task);
        let room = budget.window.saturating_sub(task.tokens_max);
        let mut bytes = words.len();
        for _ in 0..CUTS_MAX {
            let half = bytes / 2;
            let text = match bytes == words.len() {
                true => words.clone(),
                false => {
                    let (head, tail) = (words.floor_char_boundary(half), words.ceil_char_boundary(words.len() - half));
                    format!("{}\n[...]\n{}", &words[..head], &words[tail..])
                }
            };
            let mut generate = self.asks(task, &text);
            let tokens = match generate.quote(shared) {
                Ok(quote) if generate.prompt_tokens() <= room => return Some((generate, quote)),
                Ok(_) => generate.prompt_tokens(),
                Err(LlmError::TooLong { tokens, .. }) => tokens,
                Err(_) => return None,
            };
            let share = bytes as u64 * u64::from(room) / u64::from(tokens.max(1));
            bytes = usize::try_from(share).unwrap_or(half).min(bytes * 9 / 10);
        }
        None
    }

    fn asks(&self, task: &SummaryTask, text: &str) -> Generate {
        // A token is about three quarters of an English word.
        let words = (task.tokens_max * 3 / 4).max(1).to_string();
        let content = INSTRUCTION.replace("{}", &words) + text;
        let bytes = content.len() as u64;
        let messages = vec![ChatMessage::said(Role::User, content)];
        let prompt = Resolved { text: PromptText::Chat(messages.into()), bytes, label: task.label.join(self.label) };
        Generate::of(self.asker.clone(), prompt, Params::greedy(task.tokens_max))
    }

    /// All that is summarised, one message a paragraph.
    fn words_of(&self, task: &SummaryTask) -> String {
        let mut words = String::new();
        for source in &task.sources {
            match source {
                Source::Summary(id) => {
                    if let Some(summary) = self.open.context.summary(*id) {
                        words.push_str(&format!("[Before:] {}\n\n", summary.body.text));
                    }
                }
                Source::Segments { first, last } => {
                    let segments = (first.0..=last.0).filter_map(|id| self.open.context.segment(SegmentId(id)));
                    for segment in segments {
                        words.push_str(&format!("{}: {}\n\n", role_name(segment.role), segment.body.in_words()));
                    }
                }
            }
        }
        words
    }
}
