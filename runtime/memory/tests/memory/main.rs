//! The store through its port, over files.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod bad_input;
mod crashes;
mod disk;
mod embedding;
mod faults;
mod filters;
mod journaled;
mod killed;
mod maintenance;
mod model;
mod purge;
mod support;
mod versions;
mod words;
