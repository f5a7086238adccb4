//! The course of one generation: when it came to what, and its spans.

use super::{End, GENERATIONS, measures::name};
use remit_abi::Usage;
use remit_batching::Report;
use remit_kernel::ports::{EngineError, GenerationJob};
use std::time::{Duration, Instant};
use tracing::{Span, debug_span, field::Empty};

/// How long a generation took for what, as far as it came to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    /// From the call until it was computed for the first time.
    pub(super) queue: Option<Duration>,
    /// From the call until its first token was drawn.
    pub(super) first_token: Option<Duration>,
    /// From then on, less the time in which its reader was behind.
    pub(super) decode: Option<Duration>,
    /// From the call.
    pub(super) whole: Duration,
}

/// Begun on the caller's thread, in the caller's span.
pub(in crate::engine) struct Course {
    /// Queue, prefill or decode.
    phase: Span,
    whole: Span,
    arrived: Instant,
    begun: Option<Instant>,
    drew: Option<Instant>,
    /// Since when its reader is behind.
    rests: Option<Instant>,
    rested: Duration,
}

impl Course {
    /// It waits, to draw so many tokens at most.
    pub(in crate::engine) fn new(job: &GenerationJob, limit: u32) -> Self {
        let whole = debug_span!(
            target: GENERATIONS,
            "generation",
            otel.name = format_args!("text_completion {}", job.model),
            otel.kind = "internal",
            otel.status_code = Empty,
            gen_ai.operation.name = "text_completion",
            gen_ai.provider.name = "remit",
            gen_ai.request.model = &*job.model,
            gen_ai.request.max_tokens = limit,
            gen_ai.request.temperature = job.params.sampling.temperature,
            gen_ai.request.seed = job.params.sampling.seed,
            gen_ai.usage.input_tokens = Empty,
            gen_ai.usage.cache_read.input_tokens = Empty,
            gen_ai.usage.output_tokens = Empty,
            gen_ai.response.finish_reasons = Empty,
            error.type = Empty,
            remit.tenant = job.tenant.0,
            remit.program = job.program,
            remit.preemptions = Empty,
            remit.recomputed_tokens = Empty,
            remit.proposed_tokens = Empty,
            remit.accepted_tokens = Empty,
        );
        let phase = debug_span!(target: GENERATIONS, parent: &whole, "queue");
        Self { phase, whole, arrived: Instant::now(), begun: None, drew: None, rests: None, rested: Duration::ZERO }
    }

    /// It is computed for the first time.
    pub(in crate::engine) fn begin(&mut self) {
        self.begun = Some(Instant::now());
        self.phase = debug_span!(target: GENERATIONS, parent: &self.whole, "prefill");
    }

    /// A token was drawn.
    pub(in crate::engine) fn draw(&mut self) {
        if self.drew.is_none() {
            self.drew = Some(Instant::now());
            self.phase = debug_span!(target: GENERATIONS, parent: &self.whole, "decode");
        }
    }

    /// Its reader fell behind.
    pub(in crate::engine) fn rest(&mut self) {
        self.rests = Some(Instant::now());
    }

    /// Its reader has read.
    pub(in crate::engine) fn go_on(&mut self) {
        self.rested += self.rests.take().map(|since| since.elapsed()).unwrap_or_default();
    }

    pub(super) fn times(&self) -> Times {
        let now = Instant::now();
        let since = |begin: Instant| now.saturating_duration_since(begin);
        let rested = self.rested + self.rests.map(since).unwrap_or_default();
        Times {
            queue: self.begun.map(|begun| begun.saturating_duration_since(self.arrived)),
            first_token: self.drew.map(|drew| drew.saturating_duration_since(self.arrived)),
            decode: self.drew.map(|drew| since(drew).saturating_sub(rested)),
            whole: since(self.arrived),
        }
    }

    /// It is at its end, and its spans are closed.
    pub(in crate::engine) fn end(&mut self, usage: Usage, report: &Report, end: &End) {
        self.phase = Span::none();
        let span = std::mem::replace(&mut self.whole, Span::none());
        span.record("gen_ai.usage.input_tokens", usage.input + usage.cached);
        span.record("gen_ai.usage.cache_read.input_tokens", usage.cached);
        span.record("gen_ai.usage.output_tokens", usage.output);
        span.record("remit.preemptions", report.preemptions);
        span.record("remit.recomputed_tokens", report.recomputed);
        span.record("remit.proposed_tokens", report.proposed);
        span.record("remit.accepted_tokens", report.accepted);
        match end {
            Ok(finish) => span.record("gen_ai.response.finish_reasons", name(*finish)),
            Err(error) => span.record("otel.status_code", "ERROR").record("error.type", kind(error)),
        };
        tracing::debug!(target: GENERATIONS, parent: &span, "a generation ended");
    }
}

/// A word for each kind of error, so that they can be counted.
const fn kind(error: &EngineError) -> &'static str {
    match error {
        EngineError::UnknownModel { .. } => "unknown_model",
        EngineError::TooLong { .. } => "too_long",
        EngineError::Prompt(_) => "prompt",
        EngineError::Format(_) => "format",
        EngineError::Busy { .. } => "busy",
        EngineError::Failed(_) => "failed",
        EngineError::Stopped(_) => "stopped",
    }
}
