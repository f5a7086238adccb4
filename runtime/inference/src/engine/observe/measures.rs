//! What is measured of a model's generations and steps.

use super::{
    End,
    course::Course,
    histogram::{BATCHES, Histogram, STEPS, WAITS},
};
use remit_kernel::ports::EngineFinish;
use std::time::Duration;

/// How generations ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// By themselves: an end token, a stop token or string, or the end of what the format allows.
    pub stop: u64,
    /// At `max_tokens`, or with the context.
    pub length: u64,
    /// As `stop`, with calls of tools.
    pub tool_calls: u64,
    /// Since nobody wanted more.
    pub cancelled: u64,
    /// With an error.
    pub failed: u64,
}

impl Ends {
    /// Each way, by the name that spans and metrics have for it.
    #[must_use]
    pub const fn by_name(&self) -> [(&'static str, u64); 5] {
        let Self { stop, length, tool_calls, cancelled, failed } = *self;
        [
            (name(EngineFinish::Stop), stop),
            (name(EngineFinish::Length), length),
            (name(EngineFinish::ToolCalls), tool_calls),
            (name(EngineFinish::Cancelled), cancelled),
            ("failed", failed),
        ]
    }

    fn add(&mut self, end: &End) {
        *match end {
            Ok(EngineFinish::Stop) => &mut self.stop,
            Ok(EngineFinish::Length) => &mut self.length,
            Ok(EngineFinish::ToolCalls) => &mut self.tool_calls,
            Ok(EngineFinish::Cancelled) => &mut self.cancelled,
            Err(_) => &mut self.failed,
        } += 1;
    }
}

/// As OpenTelemetry's `gen_ai.response.finish_reasons` and most APIs have it.
pub(super) const fn name(finish: EngineFinish) -> &'static str {
    match finish {
        EngineFinish::Stop => "stop",
        EngineFinish::Length => "length",
        EngineFinish::ToolCalls => "tool_calls",
        EngineFinish::Cancelled => "cancelled",
    }
}

/// Of one model, since the engine was opened. Times of a generation are counted when it ends; those that it did not come to are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measures {
    /// Tokens of prompts, each once: those that were computed for the first time, and those that were at hand.
    pub prompt_tokens: u64,
    /// Of these, the ones that were at hand.
    pub cached_tokens: u64,
    /// How generations ended.
    pub ends: Ends,
    /// Generations that were turned away, since too many waited.
    pub refused: u64,
    /// From the call until the first of its tokens is computed, in nanoseconds.
    pub queue: Histogram,
    /// From the call until the first token is drawn, in nanoseconds.
    pub first_token: Histogram,
    /// From the first token to the end, less the time in which its reader was behind, divided by the tokens behind the first, in
    /// nanoseconds; one value for each generation of two tokens or more.
    pub token: Histogram,
    /// From the call to the end, in nanoseconds.
    pub whole: Histogram,
    /// A step, without the moves of blocks before it, in nanoseconds.
    pub step: Histogram,
    /// Generations in a step.
    pub batch: Histogram,
}

impl Default for Measures {
    fn default() -> Self {
        Self {
            prompt_tokens: 0,
            cached_tokens: 0,
            ends: Ends::default(),
            refused: 0,
            queue: Histogram::new(WAITS),
            first_token: Histogram::new(WAITS),
            token: Histogram::new(STEPS),
            whole: Histogram::new(WAITS),
            step: Histogram::new(STEPS),
            batch: Histogram::new(BATCHES),
        }
    }
}

impl Measures {
    /// Tokens of a prompt were found.
    pub(in crate::engine) fn found(&mut self, tokens: u32) {
        self.prompt_tokens += u64::from(tokens);
        self.cached_tokens += u64::from(tokens);
    }

    /// Tokens of a prompt were computed for the first time.
    pub(in crate::engine) fn computed(&mut self, tokens: u32) {
        self.prompt_tokens += u64::from(tokens);
    }

    /// A step of so many generations was computed.
    pub(in crate::engine) fn stepped(&mut self, generations: usize, took: Duration) {
        self.step.add_time(took);
        self.batch.add(generations as u64);
    }

    /// A generation is at its end, with so many tokens of output.
    pub(in crate::engine) fn ended(&mut self, course: &Course, output: u32, end: &End) {
        self.ends.add(end);
        let times = course.times();
        let known = [(&mut self.queue, times.queue), (&mut self.first_token, times.first_token)];
        known.into_iter().for_each(|(histogram, time)| time.into_iter().for_each(|time| histogram.add_time(time)));
        if let (Some(decode), 2..) = (times.decode, output) {
            self.token.add_time(decode / (output - 1));
        }
        self.whole.add_time(times.whole);
    }
}
