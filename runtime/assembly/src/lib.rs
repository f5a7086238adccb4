//! Puts the pieces together: configuration in, a node that runs agents out.
//!
//! It is the only crate that names all the others. It adapts the host to the kernel's `Runner`, loads engines for the
//! models that are granted, and turns a package and an operator's choices into a process.

mod adapters;
mod check;
mod components;
mod engines;
pub mod eval;
mod home;
mod journal;
pub mod models;
mod node;
mod packages;
mod past;
mod payment;
pub mod recording;
mod resumed;
pub mod routes;
mod schedule;
mod serving;
mod wants;

pub use check::{Import, Report, check};
pub use home::{HOME_VARIABLE, Home, HomeLock, LockError, NoHome};
pub use node::{
    Agent, GrantChoice, GrantingError, Node, NodeConfig, NodeError, Running, StartError, Task, TaskMessage,
    open_package,
};
pub use past::PastError;
pub use remit_authority::{Explanation, GrantError, ModelPrices, PriceError, PriceList, Refusal};
pub use remit_host::{CompileLimits, CompilerCommand, compile::child_main as compile_child};
pub use remit_journal::audit;
pub use remit_kernel::{
    Denied, Ended, Events, Finished, GiveError, GrantView, History, HistoryError, InboxError, KeptEvent, Kernel,
    Ledger, Listener, Logged, Output, ProcessView, Reran, Run, RunawayPolicy, Selection, State, Step,
    ports::{Effect, JournalError, Notice, PostedQuestion, Response, StandingApproval, StoredResult, Uncertain},
    routing,
    schedule::Weight,
};
pub use remit_package::{
    Manifest, Package, PackageError, Sentence, Want, explain, json_schema, spawn_cycle, want_lines,
};
pub use remit_tools::{Declarations, Declared, ToolsError};
pub use resumed::ResumedTask;
pub use schedule::{Policy, Schedule, TenantShare};
