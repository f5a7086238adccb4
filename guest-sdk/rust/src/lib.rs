//! What an agent's author imports.
//!
//! An agent is a function. It gets a [`Task`], asks the kernel for what it needs, shows what it has, and returns an
//! [`Outcome`]:
//!
//! ```no_run
//! use remit::prelude::*;
//!
//! #[remit::agent]
//! fn run(task: Task) -> Result<Outcome, Failure> {
//!     let model = Model::take("chat")?;
//!     let messages: Vec<Message> = task.messages().collect();
//!     let mut answer = model.chat(&messages).max_tokens(200).stream()?;
//!     for piece in &mut answer {
//!         emit_text(piece?)?;
//!     }
//!     match answer.finish()?.finish {
//!         FinishReason::Stop => Ok(Outcome::complete()),
//!         _ => Ok(Outcome::partial()),
//!     }
//! }
//! # fn main() {}
//! ```
//!
//! What it asks for stands in its manifest, `remit.toml`; what it got is in its grants. It starts with nothing else: no
//! files, no network, no clock but the kernel's.
//!
//! | to | use |
//! | --- | --- |
//! | read the task | [`Task`], [`Value`] |
//! | use a model | [`Model`], [`Message`], [`Call`], [`Generation`] |
//! | know how likely a token was | [`Call::logprobs`], [`logprob`] |
//! | have an answer in a form: JSON, a pattern, a choice | [`Call::json_schema`], [`Call::regex`], [`Call::choice`], [`Call::grammar`] |
//! | let a model ask for something to be done | [`Call::tools`], [`tool`] |
//! | act outside the node, or let a model do so | [`tool::GrantedTool`], [`tool::Toolbox`] |
//! | show something | [`emit_text`], [`progress`](fn@progress), [`artifact`] |
//! | know what is left, divide it | [`budget`] |
//! | see, narrow and give up rights | [`capability`] |
//! | start other agents | [`children`] |
//! | send and receive messages | [`mailbox`] |
//! | talk for as long as one likes, in a window that the kernel pages | [`context`] |
//! | remember, and look up what was remembered | [`memory`] |
//! | read files of the folders that it was granted | [`files`] |
//! | ask people, have them approve, tell them | [`human`] |
//! | know its own name, hear signals | [`process`] |
//! | survive a restart | [`checkpoint`] |
//! | log | [`log`](mod@log), [`info!`] and its siblings |
//! | wait, tell the time, wake up later, draw lots | [`wait`], [`time`], [`alarm`], [`random`] |
//!
//! Errors are closed enums, and `?` turns each into a [`Failure`] of one sentence. A component imports only the interfaces
//! that its agent uses. On the host's own target everything compiles, and every call of the kernel panics: keep what is
//! to be tested there free of calls.

mod bindings;
mod call;
mod entry;
mod error;
mod generate;
#[cfg(target_family = "wasm")]
#[allow(unsafe_code, reason = "an allocator cannot be written without it")]
#[cfg(feature = "heap")]
mod heap;
mod model;
mod outcome;

pub mod alarm;
pub mod budget;
pub mod capability;
pub mod checkpoint;
pub mod children;
pub mod context;
pub mod files;
pub mod human;
pub mod log;
pub mod logprob;
pub mod mailbox;
pub mod memory;
pub mod process;
pub mod random;
pub mod task;
pub mod time;
pub mod tool;
pub mod value;
pub mod wait;

pub use budget::Tokens;
pub use call::{Call, ChatPrompt, ContextPrompt, TextPrompt};
pub use error::{
    AlarmError, AnswerError, AskError, AttenuationError, BudgetError, CallError, CheckpointError, ContextError, Denial,
    EmitError, FileError, LlmError, MemoryError, ReceiveError, ResultError, SendError, Shortfall, SpawnError,
    ToolError, ValueError, WaitError,
};
pub use generate::{Completion, FinishReason, Generation, Summary, Usage};
pub use model::{Media, Message, Model, ModelInfo, Part, Prompt};
pub use outcome::{Failure, Outcome, Stop};
pub use remit_sdk_macros::agent;
pub use task::{Input, Role, Status, Task, artifact, emit_text, progress};
pub use tool::{Tool, ToolCall, ToolChoice};
pub use value::{Content, Value};

/// What most agents use: `use remit::prelude::*;`.
pub mod prelude {
    pub use crate::{
        Content, Failure, FinishReason, Generation, Input, LlmError, Message, Model, Outcome, Role, Task, Tokens,
        Value, artifact, budget, checkpoint, emit_text, progress,
    };
}

/// For what `#[remit::agent]` writes; not part of the interface.
#[doc(hidden)]
pub mod __private {
    pub use crate::{
        bindings::{
            __export_world_agent_cabi, __post_return_run, _export_run_cabi, AgentTask, Failure, Guest, Outcome, export,
        },
        entry::{Answer, IsTask, Resumed, Run, resume, start},
    };
}
