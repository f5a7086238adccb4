//! A turn of a context: what is out and fits is recalled, what has to leave leaves, and the model answers.
//!
//! The turn works on a fork of the context, with nothing of the process locked, and the fork takes the context's place at the end. What was paged
//! stays so where the answer fails: it was paid for. Each thing that was told from outside is a step, and goes into the log with the reply.

use super::{INTERFACE, get, get_mut};
use crate::{
    bill::{Bill, Quote},
    contexts::{Body, Kind, OpenContext, cost_of, segment_of},
    control::ControlBlock,
    generation::Collected,
    kernel::Shared,
    ports::{Chat, MemoryAct, ModelUse, Note, PageStep, PromptText},
    process::Process,
    syscalls::{
        Context,
        generate::{Asker, Came, Generate, keep},
        prompt::Resolved,
    },
};
use remit_abi::{
    Access, Answering, ContextError, ContextId, ContextReply, ContextTurn, Denial, GrantKind, Label, LlmError, Role,
    Summary, ToolCall, TurnReport, Usage,
};
use remit_authority::Use;
use remit_context::{Budget, NewSegment};
use std::sync::Arc;

/// Rounds of planning and counting. The second one mostly fits; the bound is for a template whose counts nobody can learn.
const ROUNDS_MAX: usize = 64;

/// A turn under way.
pub(crate) struct Turn {
    id: ContextId,
    /// What becomes of the context.
    pub(super) open: OpenContext,
    asked: ContextTurn,
    pub(super) asker: Asker,
    pub(super) bill: Arc<Bill>,
    /// What the process had read.
    pub(super) label: Label,
    /// What the turn tells it.
    pub(super) raised: Label,
    pub(super) steps: Vec<PageStep>,
    pub(super) writes: Vec<MemoryAct>,
    pub(super) report: TurnReport,
    pub(super) summaries_usage: Usage,
    used: Option<ModelUse>,
}

impl Turn {
    pub(in crate::syscalls) fn prepare(
        context: &Context<'_>,
        id: ContextId,
        asked: &ContextTurn,
    ) -> Result<Self, ContextError> {
        let process = &*context.process;
        let open = get(process, id)?.fork();
        let asker = Asker::new(context, open.model.clone());
        let (steps, writes, report, summaries_usage, used) = Default::default();
        Ok(Self {
            id,
            open,
            asked: asked.clone(),
            asker,
            bill: process.bill.clone(),
            label: process.label,
            raised: Label::TRUSTED,
            steps,
            writes,
            report,
            summaries_usage,
            used,
        })
    }

    pub(in crate::syscalls) async fn act(
        mut self,
        shared: &Arc<Shared>,
        block: &ControlBlock,
    ) -> Result<ContextReply, ContextError> {
        self.recall(shared, block).await;
        let fitted = self.fit(shared, block).await;
        self.file(shared, block).await;
        let answer = match fitted {
            Ok((generate, quote)) => self.generate(shared, block, generate, quote).await,
            Err(error) => Err(error),
        };
        self.settle(block, answer)
    }

    /// Goes on by a step.
    pub(super) fn take(&mut self, step: PageStep) {
        // It was planned for the same context, and is kept only where it did something.
        if self.open.take(&step).is_ok() {
            self.steps.push(step);
        }
    }

    /// Pages, renders and counts until the prompt fits.
    async fn fit(&mut self, shared: &Shared, block: &ControlBlock) -> Result<(Generate, Quote), ContextError> {
        let mut budget = self.open.budget(self.asked.params.max_tokens);
        for _ in 0..ROUNDS_MAX {
            self.page(shared, block, budget).await?;
            let mut generate = self.request();
            match generate.quote(shared) {
                Ok(_) => {
                    let tokens = generate.prompt_tokens();
                    self.take(PageStep::Counted(tokens));
                    if budget.prompt_tokens_max().is_some_and(|most| tokens <= most) {
                        self.report.prompt_tokens = tokens;
                        let quote = generate.shortened(shared, budget.window - tokens);
                        return Ok((generate, quote));
                    }
                }
                // Of a route the model with the longest window is left out.
                Err(LlmError::TooLong { tokens, capacity }) => {
                    self.take(PageStep::Counted(tokens));
                    budget.window = budget.window.min(capacity);
                    budget.output_reserve = budget.output_reserve.min(budget.window / 2).max(1);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(ContextError::Unavailable("no plan of this window fits it as the model's template writes it".into()))
    }

    async fn page(&mut self, shared: &Shared, block: &ControlBlock, budget: Budget) -> Result<(), ContextError> {
        let plan = self.open.plan(budget)?;
        self.report.kept_tokens = plan.kept.tokens;
        if plan.is_empty() {
            return Ok(());
        }
        let (written, usage) = self.summarise(shared, block, &plan, budget).await;
        let out = plan.leaving.iter().map(|leaving| leaving.last.0 - leaving.first.0 + 1).sum::<u64>();
        self.report.paged_out += out;
        let Budget { window, output_reserve, .. } = budget;
        self.take(PageStep::Paged { window, output_reserve, written: written.into(), usage });
        Ok(())
    }

    /// The prompt as it is now.
    fn request(&self) -> Generate {
        let ContextTurn { params, tools } = &self.asked;
        let (messages, tools) = (self.open.messages(), tools.clone().map(|tools| Arc::new(*tools)));
        let bytes = messages.iter().map(|message| message.content().len() as u64).sum();
        let prompt = Resolved { text: PromptText::Chat(Chat { messages, tools }), bytes, label: self.prompt_label() };
        Generate::of(self.asker.clone(), prompt, params.clone())
    }

    fn prompt_label(&self) -> Label {
        self.open.context.label().join(self.label).join(self.raised)
    }

    /// Whether the model may be given data of a label. Its use was counted when the turn began.
    pub(super) fn may_send(&self, shared: &Shared, label: Label) -> Result<(), Denial> {
        let label = label.join(self.label);
        let tokens = self.asked.params.max_tokens;
        let wanted = Use { kind: GrantKind::Model, name: None, access: Access::ReadWrite, tokens, label };
        shared.grants.lock().peek(self.open.model.grant, &wanted, || shared.ports.clock.wall_ns())
    }

    async fn generate(
        &mut self,
        shared: &Shared,
        block: &ControlBlock,
        generate: Generate,
        quote: Quote,
    ) -> Result<Collected, ContextError> {
        let label = generate.label();
        if let Err(denial) = self.may_send(shared, label) {
            tracing::warn!(pid = %block.pid, interface = INTERFACE, %denial, "denied");
            return Err(denial.into());
        }
        let reserved = self.bill.reserve(quote).map_err(ContextError::Shortfall)?;
        let Came { collected, used, turn } = generate.whole(shared, reserved).await;
        if collected.is_ok() {
            shared.turned(block, turn);
        }
        if let Some(used) = used {
            self.note_use(used);
        }
        Ok(collected?)
    }

    /// Adds up what the model did.
    pub(super) fn note_use(&mut self, used: ModelUse) {
        let before = self.used.take().map(|before| before.usage).unwrap_or_default();
        self.used = Some(ModelUse { usage: used.usage.plus(before), ..used });
    }

    /// The fork takes the context's place, and what is to be seen of the turn goes out with its reply.
    fn settle(
        self,
        block: &ControlBlock,
        answer: Result<Collected, ContextError>,
    ) -> Result<ContextReply, ContextError> {
        let prompt_label = self.prompt_label();
        let Self { id, open, raised, steps, writes, report, used, .. } = self;
        let process = &mut *block.process.lock();
        process.label = process.label.join(raised);
        *get_mut(process, id)? = open;
        process.due.remembers.extend(writes);
        let answered = answer.and_then(|collected| answered(process, id, collected, report, prompt_label));
        process.due.note(|| Note::Paged(steps));
        process.due.used(used);
        answered.map(Box::new).map(ContextReply::Answered)
    }
}

/// Appends the answer, and keeps it as values.
fn answered(
    process: &mut Process,
    id: ContextId,
    collected: Collected,
    report: TurnReport,
    label: Label,
) -> Result<Answering, ContextError> {
    let answer = answer_of(&collected.text, &collected.calls, &collected.summary, label);
    let bytes = answer.as_ref().map_or(0, |answer| cost_of(&answer.body));
    process.values.count_in(bytes, &process.limits)?;
    let completion = keep(process, collected, label).inspect_err(|_| process.values.count_out(bytes))?;
    let segment = get_mut(process, id)?.answered(answer)?;
    Ok(Answering { completion, segment, report })
}

/// The answer as a segment; none where the model said nothing.
fn answer_of(text: &str, calls: &[u8], summary: &Summary, label: Label) -> Option<NewSegment<Body>> {
    let calls = ToolCall::read_all(calls).unwrap_or_default();
    let kind = match calls.is_empty() {
        true if text.is_empty() => return None,
        true => Kind::Said,
        false => Kind::Called(calls.into()),
    };
    Some(segment_of(Role::Assistant, summary.usage.output, label, Body { text: text.into(), kind }))
}

/// Takes the steps of a turn again, and its answer where there was one, whose values are there already.
pub(in crate::syscalls) fn turned_again(
    process: &mut Process,
    id: ContextId,
    answering: Option<&Answering>,
    steps: &[PageStep],
) -> Result<(), ContextError> {
    let open = get_mut(process, id)?;
    for step in steps {
        open.take(step)?;
    }
    for step in steps {
        if let PageStep::Paged { usage, .. } = step {
            process.bill.did_before(*usage);
        }
    }
    let Some(Answering { completion, segment, .. }) = answering else { return Ok(()) };
    process.bill.did_before(completion.summary.usage);
    let content = process.values.get(completion.content).ok_or(ContextError::Dead)?;
    let calls = completion.calls.and_then(|calls| process.values.get(calls)).map(|calls| calls.bytes.clone());
    let text = std::str::from_utf8(&content.bytes).map_err(|_| ContextError::Dead)?;
    let answer = answer_of(text, &calls.unwrap_or_default(), &completion.summary, content.label);
    let bytes = answer.as_ref().map_or(0, |answer| cost_of(&answer.body));
    process.values.count_in(bytes, &process.limits)?;
    match get_mut(process, id)?.answered(answer)? == *segment {
        true => Ok(()),
        false => Err(ContextError::Dead),
    }
}
