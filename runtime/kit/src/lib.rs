//! What an agent's author works with, besides a host: a project that begins in an empty folder, its build, and the watch over it.
//!
//! - Whoever has the program has all of it: the SDK's source and the interfaces lie in the binary, at its version, and are written into
//!   each project. A project needs no checkout of this repository, and keeps the version that it began with until its author says so.
//! - A project is an ordinary cargo package beside an ordinary `remit.toml`: nothing here is needed to work on it with other tools.
//! - Nothing here runs an agent or knows a kernel. What runs them is above.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `sdk` | the SDK in the binary, and in a project's folder |
//! | `template` | what a new project begins with |
//! | `project` | a project's folder: made, found, brought up to date |
//! | `compiler` | a compiler for guests: found, or set up |
//! | `build` | from a project's source to its component |
//! | [`watch`] | whether a project has changed, and has come to rest |
//! | [`panics`] | the line of source that a panic names |
//!
//! The set-up of this repository (`xtask`) builds its own agents without this crate: it is there before any crate of ours is built.

mod build;
mod compiler;
pub mod panics;
mod project;
mod sdk;
mod template;
pub mod watch;

pub use build::{BuildError, Built};
pub use compiler::{CompilerError, GUEST_TARGET, GuestCompiler};
pub use project::{CASES_FOLDER, CreateError, Project, ProjectError, UpdateError};
pub use sdk::VERSION;
pub use template::Template;
