//! How an agent ends: with an outcome, or a failure.

use crate::{BudgetError, EmitError, LlmError, MemoryError, Shortfall, Value, bindings::remit::kernel::task};
use std::{error::Error, fmt};

/// What an agent returns when it did its work.
///
/// ```no_run
/// use remit::prelude::*;
///
/// #[remit::agent]
/// fn run(task: Task) -> Result<Outcome, Failure> {
///     let output = Value::from_bytes(br#"{"messages":1}"#, "application/json")?;
///     Ok(Outcome::complete().with_output(output))
/// }
/// # fn main() {}
/// ```
#[derive(Debug)]
#[must_use = "an outcome is what `run` returns"]
pub struct Outcome {
    status: task::Status,
    output: Option<Value>,
}

impl Outcome {
    /// All that was asked for.
    pub const fn complete() -> Self {
        Self { status: task::Status::Complete, output: None }
    }

    /// A usable part: the budget or a limit ended the work early.
    pub const fn partial() -> Self {
        Self { status: task::Status::Partial, output: None }
    }

    /// With a result that is more than what was emitted.
    pub fn with_output(mut self, output: Value) -> Self {
        self.output = Some(output);
        self
    }

    pub(crate) fn into_raw(self) -> task::Outcome {
        task::Outcome { status: self.status, output: self.output.map(Value::into_raw) }
    }
}

/// What an agent returns when it could not do its work: one sentence that says what failed, why, and what to do.
///
/// Every error becomes one by `?`. It is no [`Error`] itself, as `anyhow::Error` is none.
///
/// ```
/// use remit::Failure;
///
/// fn page(text: &str) -> Result<u32, Failure> {
///     let page = text.parse()?;
///     if page == 0 {
///         return Err(Failure::new("there is no page 0: pages count from 1"));
///     }
///     Ok(page)
/// }
/// assert_eq!(page("0").unwrap_err().message, "there is no page 0: pages count from 1");
/// assert_eq!(page("x").unwrap_err().message, "invalid digit found in string");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a failure is what `run` returns"]
pub struct Failure {
    /// One sentence.
    pub message: String,
    /// Whether the same task may succeed later.
    pub retryable: bool,
}

impl Failure {
    /// That the same task would meet again.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), retryable: false }
    }

    /// That may pass: the same task may succeed later.
    pub fn retryable(message: impl Into<String>) -> Self {
        Self { message: message.into(), retryable: true }
    }

    pub(crate) fn into_raw(self) -> task::Failure {
        task::Failure { message: self.message, retryable: self.retryable }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl<E: Error + 'static> From<E> for Failure {
    /// Retryable where the machine was at fault, or the listener left; not where the agent or the task is.
    fn from(error: E) -> Self {
        let error: &(dyn Error + 'static) = &error;
        let passes = matches!(error.downcast_ref(), Some(LlmError::Unavailable(_)))
            || matches!(error.downcast_ref(), Some(EmitError::Closed));
        Self { message: error.to_string(), retryable: passes }
    }
}

/// Why work ends early: an empty account is no failure, as what was done until then can be of use.
///
/// Every error becomes one by `?`, as it becomes a [`Failure`].
///
/// ```no_run
/// use remit::{Stop, prelude::*};
///
/// #[remit::agent]
/// fn run(task: Task) -> Result<Outcome, Failure> {
///     match answer(&task) {
///         Ok(()) => Ok(Outcome::complete()),
///         Err(Stop::Budget) => Ok(Outcome::partial()),
///         Err(Stop::Failed(failure)) => Err(failure),
///     }
/// }
///
/// fn answer(task: &Task) -> Result<(), Stop> {
///     let messages: Vec<Message> = task.messages().collect();
///     let answer = Model::take("chat")?.chat(&messages).send()?;
///     Ok(emit_text(&answer.content)?)
/// }
/// # fn main() {}
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The account cannot pay what comes next.
    Budget,
    /// Something else.
    Failed(Failure),
}

impl<E: Error + 'static> From<E> for Stop {
    fn from(error: E) -> Self {
        let cause: &(dyn Error + 'static) = &error;
        let is_shortfall = cause.is::<Shortfall>()
            || matches!(cause.downcast_ref(), Some(LlmError::Shortfall(_)))
            || matches!(cause.downcast_ref(), Some(BudgetError::Shortfall(_)))
            || matches!(cause.downcast_ref(), Some(MemoryError::Shortfall(_)));
        if is_shortfall { Self::Budget } else { Self::Failed(error.into()) }
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CheckpointError, Denial, Media, Tokens, ValueError};

    #[test]
    fn an_error_becomes_a_failure_of_one_sentence() {
        let check = |failure: Failure, part: &str, retryable: bool| {
            assert!(failure.message.contains(part), "{failure}");
            assert!(!failure.message.contains('\n'), "{failure}");
            assert_eq!(failure.retryable, retryable, "{failure}");
        };
        let shortfall = Shortfall { needed: Tokens::from_micro(1_500_000), remaining: Tokens::from_whole(1) };
        check(LlmError::Shortfall(shortfall).into(), "1.5 tokens are needed and 1 are left", false);
        check(LlmError::from(Denial::NotGranted("chat".into())).into(), "--grant chat", false);
        check(LlmError::TooLong { tokens: 9, capacity: 8 }.into(), "9 tokens", false);
        check(LlmError::NotSupported { model: "m".into(), part: Media::Audio }.into(), "m takes no audio parts", false);
        check(LlmError::Unavailable("it is loading".into()).into(), "it is loading", true);
        check(EmitError::Closed.into(), "nobody listens", true);
        check(ValueError::NotText { offset: 3 }.into(), "byte 3", false);
        check(ValueError::NotLogprobs { offset: 4 }.into(), "byte 4", false);
        check(ValueError::NotCalls { offset: 6 }.into(), "byte 6", false);
        check(CheckpointError::TooLarge { limit: 5 }.into(), "5 bytes", false);
    }

    #[test]
    fn an_empty_account_stops_the_work_and_is_no_failure() {
        let shortfall = Shortfall { needed: Tokens::from_whole(2), remaining: Tokens::from_whole(1) };
        assert_eq!(Stop::from(LlmError::Shortfall(shortfall)), Stop::Budget);
        assert_eq!(Stop::from(BudgetError::Shortfall(shortfall)), Stop::Budget);
        assert_eq!(Stop::from(LlmError::EmptyPrompt), Stop::Failed(LlmError::EmptyPrompt.into()));
    }
}
