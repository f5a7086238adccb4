//! The sandbox: runs a WebAssembly component behind any [`Door`](remit_abi::Door), on any run queue.
//!
//! This is the only crate that knows wasmtime. It knows no kernel: a guest's call becomes a
//! [`Request`](remit_abi::Request), the door's [`Reply`](remit_abi::Reply) becomes the call's result, and fuel is bought
//! through the same door.
//!
//! Principles:
//!
//! - One file per WIT interface; each only turns WIT types into a request and a reply back. What the request is worth is
//!   checked behind the door; here are the limits that keep a guest from the host's own memory and time.
//! - A guest reaches what was linked for it, and what is linked is decided at load: every import is in a table or is
//!   refused by name.
//! - Everything that a guest computes, and the fuel for it, is the same on every run ([`Host::engine_digest`] names by what
//!   rules).
//! - Nothing precompiled comes from outside: components are compiled here, in a child process with limits of its own, and
//!   kept where only this user can write.
//! - A store lives for one call. After a trap or a kill nothing of it is used again.

mod alarm;
mod artifact;
mod bindings;
mod budget;
mod capability;
mod checkpoint;
mod children;
mod clocks;
pub mod compile;
mod context;
mod driver;
mod engine;
mod error;
mod executor;
mod files;
mod guest;
mod host;
mod human;
mod imports;
mod limiter;
mod linker;
mod llm;
mod mailbox;
mod memory;
mod places;
mod poll;
mod process;
mod random;
mod row;
mod stream_bindings;
mod streams;
mod task;
mod tool;
mod trace;
mod unarmed;
mod value;

pub use compile::{CompileLimits, CompilerCommand};
pub use engine::{PLACES_OF_ONE_MAX, guest_engine, unmetered_engine};
pub use error::{HostError, LoadError};
pub use executor::{FifoQueue, RunQueue, Runnable};
pub use host::{Host, HostConfig, INSTANCES_MAX, Image};
pub use imports::{Import, Inspection, Standing, inspect, inspect_file};
