//! One generation: from drawn tokens to events.

use super::{
    adapters::ModelId,
    faults::Record,
    held::{Calls, Held, Told},
    observe::{Course, End},
    outbox::Outbox,
};
use crate::{
    sampler::{Distribution, Sampler, Scratch},
    stop::{Matched, StopMatcher},
    tokenizer::{Tokenizer, Utf8Stream},
};
use remit_abi::{DrawnToken, Priority, ScoredToken, TenantId};
use remit_batching::{Chain, Class, Draft, Drafter, Namespace, Report, Request};
use remit_kernel::ports::{EngineError, EngineEvent, EngineFinish, GenerationJob, Meter};
use std::{sync::Arc, task::Waker};
use tokio::sync::mpsc;

/// What became of a sequence's reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    FellBehind,
    CaughtUp,
}

pub(super) struct Sequence {
    job: GenerationJob,
    model: ModelId,
    /// The model's, or the adapter's.
    digest: Arc<str>,
    /// Whether snapshots were looked for.
    looked: bool,
    /// Whether the model turns its keys as those of long texts.
    is_long: bool,
    /// Tokens of output, at most; at least 1, and the context has room for them.
    limit: u32,
    generated: u32,
    /// Prompt and output.
    tokens: Vec<u32>,
    is_begun: bool,
    /// Tokens that the meter has counted, as computed or as found: what is computed again after a crash is not paid again.
    counted: usize,
    /// The crashes that it was in.
    pub(super) record: Record,
    tokenizer: Arc<Tokenizer>,
    sampler: Sampler,
    characters: Utf8Stream,
    stop: StopMatcher,
    /// What it is held to.
    held: Option<Held>,
    /// What reads its calls.
    calls: Option<Calls>,
    meter: Arc<Meter>,
    outbox: Outbox,
    /// Whether its reader is behind, so that it is paused.
    is_stalled: bool,
    /// Where it speculates.
    drafter: Option<Drafter>,
    course: Course,
    /// Whether the last event was sent.
    ended: bool,
}

impl Sequence {
    pub(super) fn new(
        job: GenerationJob,
        (model, digest): (ModelId, Arc<str>),
        limit: u32,
        is_long: bool,
        tokenizer: Arc<Tokenizer>,
        meter: Arc<Meter>,
    ) -> (Self, mpsc::Receiver<EngineEvent>) {
        // With tools a token may end a text and a call, and begin a text again.
        let events_each = 1 + usize::from(job.params.logprobs.is_some()) + 3 * usize::from(job.tools.is_some());
        let (outbox, receiver) = Outbox::new(events_each);
        let sequence = Self {
            course: Course::new(&job, limit),
            model,
            digest,
            looked: false,
            is_long,
            limit,
            generated: 0,
            tokens: job.prompt.to_vec(),
            is_begun: false,
            counted: 0,
            record: Record::default(),
            tokenizer,
            sampler: Sampler::new(&job.params),
            characters: Utf8Stream::default(),
            stop: StopMatcher::new(&job.params.stop),
            held: None,
            calls: None,
            meter,
            outbox,
            is_stalled: false,
            drafter: job.params.speculation.then(Drafter::default),
            ended: false,
            job,
        };
        (sequence, receiver)
    }

    /// Holds it to a format, and reads its calls.
    pub(super) fn hold(&mut self, held: Option<Held>, calls: Option<Calls>) {
        (self.held, self.calls) = (held, calls);
    }

    /// What it is held to.
    pub(super) fn held(&self) -> Option<&Held> {
        self.held.as_ref()
    }

    /// What a batcher needs to know.
    pub(super) fn request(&self) -> Request {
        let GenerationJob { tenant, program, priority, .. } = self.job;
        Request {
            namespace: self.namespace(),
            tenant: u64::from(tenant.0),
            program,
            class: match priority {
                Priority::High => Class::Interactive,
                Priority::Normal => Class::Normal,
                Priority::Low | Priority::Background => Class::Batch,
            },
            weight: 1,
            deadline: None,
            prompt: self.tokens.clone(),
            output_max: self.limit as usize,
        }
    }

    /// When it came to what.
    pub(super) fn course(&self) -> &Course {
        &self.course
    }

    /// How many tokens it drew.
    pub(super) fn generated(&self) -> u32 {
        self.generated
    }

    pub(super) fn model(&self) -> ModelId {
        self.model
    }

    pub(super) fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Tokens for whose keys and values it needs room: the last token of the output is never computed.
    pub(super) fn room(&self) -> usize {
        self.job.prompt.len() + self.limit as usize - 1
    }

    /// Whether nobody wants more of it.
    pub(super) fn is_unwanted(&self) -> bool {
        self.meter.is_cancelled() || self.outbox.is_closed()
    }

    /// Whether its reader fell behind, or has read enough, since this was asked last. `waker` is called once the latter may be so.
    pub(super) fn heed_reader(&mut self, waker: &Waker) -> Option<Reader> {
        let is_behind = self.outbox.is_behind(waker);
        let was_behind = std::mem::replace(&mut self.is_stalled, is_behind);
        match (was_behind, is_behind) {
            (false, true) => {
                self.course.rest();
                Some(Reader::FellBehind)
            }
            (true, false) => {
                self.course.go_on();
                Some(Reader::CaughtUp)
            }
            _ => None,
        }
    }

    /// Whose tokens it has, and of what.
    pub(super) fn namespace(&self) -> Namespace {
        Namespace { tenant: u64::from(self.job.tenant.0), model: self.model.number(self.is_long) }
    }

    pub(super) fn tenant(&self) -> TenantId {
        self.job.tenant
    }

    /// The name of what computes it, with a layout of blocks.
    pub(super) fn computer(&self, layout: &str) -> Chain {
        Chain::of(&[&*self.digest, if self.is_long { "long" } else { "short" }, layout])
    }

    /// Whether snapshots are to be looked for: once.
    pub(super) fn looks_for_snapshots(&mut self) -> bool {
        !std::mem::replace(&mut self.looked, true)
    }

    /// What it had is gone.
    pub(super) fn look_again(&mut self) {
        self.looked = false;
    }

    /// Whether it is paused for its reader's sake.
    pub(super) fn is_stalled(&self) -> bool {
        self.is_stalled
    }

    /// What may come next, where it speculates: no more of it than its format allows. Each token is drawn as any other before it
    /// counts.
    pub(super) fn draft(&mut self) -> Option<Draft<'_>> {
        let draft = self.drafter.as_mut()?.draft(&self.tokens);
        let written = &self.tokens[self.job.prompt.len()..];
        let allowed = self.held.as_mut().map(|held| held.cut(written, draft.tokens));
        Some(draft.first(allowed.unwrap_or(draft.tokens.len())))
    }

    /// Whether any of it was computed.
    pub(super) fn is_begun(&self) -> bool {
        self.is_begun
    }

    /// It is computed for the first time.
    pub(super) fn begin(&mut self) {
        self.is_begun = true;
        self.course.begin();
    }

    /// Its next tokens are computed behind so many: those that were not counted before were found. Answers how many of these are of the
    /// prompt.
    pub(super) fn count_found(&mut self, known: usize) -> u32 {
        let found = known.min(self.job.prompt.len()).saturating_sub(self.counted) as u32;
        self.meter.add_cached(found);
        self.counted = self.counted.max(known);
        found
    }

    /// Counts tokens that were computed for the first time, of which those of the prompt are input. Answers how many that are.
    pub(super) fn count_computed(&mut self, begin: usize, tokens: usize) -> u32 {
        let end = (begin + tokens).min(self.job.prompt.len());
        let input = end.saturating_sub(begin.max(self.counted)) as u32;
        self.meter.add_input(input);
        self.counted = self.counted.max(begin + tokens);
        input
    }

    /// Where the likeliest token is all that it needs of a step: of how many.
    pub(super) fn greedy_among(&self) -> Option<usize> {
        let is_greedy = self.sampler.is_greedy() && self.job.params.logprobs.is_none() && self.held.is_none();
        is_greedy.then(|| self.tokenizer.size())
    }

    /// Draws the next token and sends its text. Answers whether, and how, the generation is at its end.
    ///
    /// # Errors
    /// [`EngineError::Format`], where its format leaves no token to draw: nothing was drawn then.
    pub(super) fn advance(
        &mut self,
        logits: &[f32],
        scratch: &mut Scratch,
    ) -> Result<Option<EngineFinish>, EngineError> {
        // Rows beyond the vocabulary are padding.
        let logits = &logits[..logits.len().min(self.tokenizer.size())];
        let (sampler, tokens, draw) = (&self.sampler, &self.tokens, u64::from(self.generated));
        let token = match &self.held {
            None => sampler.sample(logits, tokens, draw, scratch),
            Some(held) if held.is_at_end() => return Ok(Some(EngineFinish::Stop)),
            Some(held) => held.draw(|mask| sampler.sample_among(mask, logits, tokens, draw, scratch))?,
        };
        if let Some(likeliest) = self.job.params.logprobs {
            let scored = self.scored(logits, token, likeliest);
            self.send(EngineEvent::Token(Box::new(scored)));
        }
        Ok(self.take(token))
    }

    /// Sends the text of the next token, which was drawn. Answers as [`advance`](Self::advance).
    pub(super) fn take(&mut self, token: u32) -> Option<EngineFinish> {
        self.course.draw();
        self.tokens.push(token);
        self.generated += 1;
        self.meter.add_output(1);
        if self.tokenizer.is_end(token) || self.job.params.stop_tokens.contains(&token) {
            return Some(EngineFinish::Stop);
        }
        let is_stopped = match &mut self.calls {
            None => {
                let text = self.characters.push(self.tokenizer.bytes(token));
                self.give(&text)
            }
            Some(calls) => {
                let told = calls.push(token);
                self.tell(told)
            }
        };
        if is_stopped || self.held.as_ref().is_some_and(Held::is_at_end) {
            return Some(EngineFinish::Stop);
        }
        (self.generated == self.limit).then_some(EngineFinish::Length)
    }

    /// A token and the likeliest ones, as the model's logits have them.
    fn scored(&self, logits: &[f32], token: u32, likeliest: u8) -> DrawnToken {
        let distribution = Distribution::new(logits);
        let score = |id| ScoredToken { id, logprob: distribution.logprob(id), bytes: self.tokenizer.bytes(id).into() };
        let likeliest = distribution.likeliest(usize::from(likeliest));
        DrawnToken { token: score(token), likeliest: likeliest.into_iter().map(score).collect() }
    }

    /// Gives text out, as far as it cannot be a stop string; answers whether one was complete.
    fn give(&mut self, text: &str) -> bool {
        let Matched { text, stopped } = self.stop.push(text);
        self.send_text(text);
        stopped
    }

    /// Gives out what a reader of calls told: calls, and between them text as far as it cannot be a stop string. Answers whether
    /// one was complete. What is inside of calls stops nothing.
    fn tell(&mut self, told: Vec<Told>) -> bool {
        for part in told {
            match part {
                Told::Text(text) => {
                    if self.give(&text) {
                        return true;
                    }
                }
                Told::Call(call) => {
                    let before = self.stop.interrupt();
                    self.send_text(before);
                    self.send(EngineEvent::ToolCall(Box::new(call)));
                }
            }
        }
        false
    }

    fn send_text(&mut self, text: String) {
        if !text.is_empty() {
            self.send(EngineEvent::Text(text));
        }
    }

    fn send(&mut self, event: EngineEvent) {
        self.outbox.send(event);
    }

    /// Sends what was held back, where it went well, and the end. Answers the end as it was sent.
    pub(super) fn end(&mut self, report: &Report, end: End) -> End {
        let end = end.map(|finish| self.flush(finish));
        self.course.end(self.meter.usage(), report, &end);
        self.send(match &end {
            Ok(finish) => EngineEvent::End(*finish),
            Err(error) => EngineEvent::Failed(error.clone()),
        });
        self.ended = true;
        end
    }

    /// Sends what was held back. Answers how it ends with that.
    fn flush(&mut self, finish: EngineFinish) -> EngineFinish {
        let stopped = match &mut self.calls {
            None => {
                let rest = self.characters.finish();
                self.give(&rest)
            }
            Some(calls) => {
                let told = calls.finish();
                self.tell(told)
            }
        };
        let held = self.stop.finish();
        self.send_text(held);
        let has_calls = self.calls.as_ref().is_some_and(Calls::is_some);
        match finish {
            EngineFinish::Stop if has_calls => EngineFinish::ToolCalls,
            _ if stopped => EngineFinish::Stop,
            finish => finish,
        }
    }

    /// Sends that the generation failed, since the engine has stopped.
    pub(super) fn fail(&mut self, why: &str) {
        // It is told already.
        let _ = self.end(&Report::default(), Err(EngineError::Stopped(why.into())));
    }
}

impl Drop for Sequence {
    /// Whatever happens to the engine, a reader gets a last event.
    fn drop(&mut self) {
        if !self.ended {
            self.fail("it lost the generation");
        }
    }
}
