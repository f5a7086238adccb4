//! From the component's export to the author's `run`.

use crate::{
    Failure, Outcome, Task,
    bindings::{AgentTask, Failure as RawFailure, Outcome as RawOutcome},
    checkpoint,
    log::{Level, log},
};
use serde::{Serialize, de::DeserializeOwned};

/// What the component's export gives and takes.
type Returned = Result<RawOutcome, RawFailure>;

/// The component's export.
pub type Run = fn(AgentTask, Option<Vec<u8>>) -> Returned;

/// The type of an agent's second parameter.
#[diagnostic::on_unimplemented(
    message = "the second parameter of an agent is `Option<State>`, not `{Self}`",
    label = "expected `Option<State>`",
    note = "it holds the state that was committed last; `State` is a type that derives serde's `Serialize` and `Deserialize`"
)]
pub trait Resumed: Sized {
    /// Reads what was committed last.
    fn decode(state: Option<&[u8]>) -> Result<Self, Failure>;
}

impl<S: Serialize + DeserializeOwned> Resumed for Option<S> {
    fn decode(state: Option<&[u8]>) -> Result<Self, Failure> {
        state.map(checkpoint::decode).transpose()
    }
}

/// The type of an agent's first parameter.
#[diagnostic::on_unimplemented(
    message = "the first parameter of an agent is a `Task`, not `{Self}`",
    label = "expected `remit::Task`"
)]
pub trait IsTask {}

impl IsTask for Task {}

/// The type that an agent returns.
#[diagnostic::on_unimplemented(
    message = "an agent returns `Result<Outcome, Failure>`, not `{Self}`",
    label = "expected `Result<remit::Outcome, remit::Failure>`"
)]
pub trait Answer {
    /// In the kernel's own types.
    fn into_raw(self) -> Returned;
}

impl Answer for Result<Outcome, Failure> {
    fn into_raw(self) -> Returned {
        self.map(Outcome::into_raw).map_err(Failure::into_raw)
    }
}

/// Runs an agent that starts anew each time.
pub fn start<A: Answer>(task: AgentTask, run: impl FnOnce(Task) -> A) -> Returned {
    log_panics();
    run(Task::new(task)).into_raw()
}

/// Runs an agent that goes on from its state.
pub fn resume<R: Resumed, A: Answer>(
    task: AgentTask,
    state: Option<Vec<u8>>,
    run: impl FnOnce(Task, R) -> A,
) -> Returned {
    log_panics();
    let resumed = R::decode(state.as_deref()).map_err(Failure::into_raw)?;
    drop(state);
    run(Task::new(task), resumed).into_raw()
}

/// A trap shows no message; so a panic logs its own before it becomes one.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("no message");
        match panic.location() {
            Some(place) => log(Level::Error, format_args!("panicked at {place}: {message}")),
            None => log(Level::Error, format_args!("panicked: {message}")),
        }
    }));
}
