//! Puts the pieces together: configuration in, a node that runs agents out.
//!
//! It is the only crate that names all the others. It adapts the host to the kernel's `Runner`, loads engines for the
//! models that are granted, and turns a package and an operator's choices into a process.

mod adapters;
pub mod carrying;
pub mod cases;
mod check;
mod components;
mod consolidation;
mod deployments;
mod engines;
pub mod eval;
mod gate;
mod home;
mod journal;
mod memory;
pub mod models;
mod node;
mod opening;
mod packages;
mod past;
mod payment;
mod recall;
pub mod recorded;
pub mod recording;
mod resumed;
mod revision;
mod revoking;
pub mod routes;
mod schedule;
mod serving;
mod wants;

pub use check::{Import, Report, check};
pub use consolidation::{Consolidating, Consolidation, ConsolidationError, consolidate_while_idle};
pub use deployments::{DeployError, DeploymentView, Doing, Wider, keep_deployments};
pub use gate::{CalledBack, GateError, admission};
pub use home::{HOME_VARIABLE, Home, HomeLock, LockError, NoHome};
pub use memory::EMBEDDING_MODEL;
pub use node::{
    Agent, GrantChoice, GrantingError, Node, NodeConfig, NodeError, Running, StartError, Task, TaskMessage,
};
pub use opening::{OpenError, open_installed, open_package};
pub use past::PastError;
pub use recall::RecallRulesError;
pub use remit_authority::{Explanation, GrantError, ModelPrices, PriceError, PriceList, Refusal};
pub use remit_deploy as deploy;
pub use remit_host::{CompileLimits, CompilerCommand, compile::child_main as compile_child};
pub use remit_journal::{QUESTION_BYTES_MAX, RECALLED_MAX, RecallError, Recalled, Recalling, audit};
pub use remit_kernel::{
    Citations, Denied, Ended, Events, Finished, GiveError, GrantView, History, HistoryError, InboxError, KeptEvent,
    Kernel, Ledger, Listener, Logged, Looking, LookingBy, Output, ProcessView, Remembering, Reran, Run, RunawayPolicy,
    Selection, State, Step,
    ports::{
        Effect, EntryVersion, HeardFrom, JournalError, MemoryFigures, MemoryHit, Notice, PostedQuestion, Response,
        StandingApproval, StoreError, StoredResult, Uncertain,
    },
    routing,
    schedule::Weight,
};
pub use remit_package as package;
pub use remit_package::{
    Manifest, Package, PackageError, Sentence, Want, explain, json_schema, spawn_cycle, want_lines,
};
pub use remit_registry::{Location, Progress as CarryProgress};
pub use remit_tools::{Declarations, Declared, DeclaredFolder, ToolsError};
pub use resumed::ResumedTask;
pub use revision::revision;
pub use revoking::{RevokeError, revoke_key, revoke_package};
pub use schedule::{Policy, Schedule, TenantShare};
