//! What can go wrong before a guest runs. Each text is one sentence: what failed, why, what to do.

use std::{io, path::PathBuf, process::ExitStatus};
use thiserror::Error;

/// A host that cannot start.
#[derive(Debug, Error)]
pub enum HostError {
    /// The sandbox's address space cannot be had.
    #[error("the sandbox cannot have room for {instances_max} agents: {reason}; run with fewer, or raise `ulimit -v`")]
    Engine {
        /// How many were asked for.
        instances_max: u32,
        /// What the engine says.
        reason: String,
    },
    /// The system allows fewer memory maps than so many agents take.
    #[error(
        "the sandbox cannot have room for {instances_max} agents: the system allows {maps_max} memory maps, which is room \
         for {places_max}; run with fewer, or raise `sysctl vm.max_map_count`"
    )]
    Maps {
        /// How many were asked for.
        instances_max: u32,
        /// Of one process of the system.
        maps_max: u64,
        /// How many agents these are enough for.
        places_max: u64,
    },
    /// The cache folder cannot be made, or is not ours alone.
    #[error("the folder for compiled agents {path} cannot be used: {reason}")]
    CacheFolder {
        /// Which.
        path: PathBuf,
        /// Why not, and what to do.
        reason: String,
    },
    /// No thread can be started.
    #[error("a thread cannot be started: {0}; raise `ulimit -u`")]
    Thread(#[source] io::Error),
    /// The interfaces do not link: a mistake of this crate.
    #[error("the sandbox's interfaces do not link: {0}; please report this")]
    Linker(String),
}

/// A component that is not loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read the agent {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Larger than any agent may be.
    #[error("the agent's component has {size} bytes and may have {limit}: leave out what it does not need")]
    TooLarge {
        /// In bytes.
        size: u64,
        /// In bytes.
        limit: u64,
    },
    /// Not WebAssembly at all.
    #[error("this is not a WebAssembly component: {0}")]
    NotWasm(&'static str),
    /// A core module.
    #[error("this is a core WebAssembly module and an agent is a component: make one of it with `remit build`")]
    CoreModule,
    /// It begins like a component and does not go on like one.
    #[error("the component is damaged: {0}")]
    Malformed(String),
    /// Imports that are no interface of this host.
    #[error(
        "the agent imports what no agent can have: {}; build it without them, or against the versions that this host has",
        .0.join(", ")
    )]
    UnknownImports(Vec<String>),
    /// Interfaces that need a grant which was not given.
    #[error(
        "{interface} needs a grant of kind {kind}, and none was given: ask for one in the manifest's [wants], and do not \
         leave it out with --grant"
    )]
    Ungranted {
        /// As the component names it; several are comma-separated.
        interface: String,
        /// The missing kind.
        kind: &'static str,
    },
    /// No `run` of ours.
    #[error(
        "the component is of another world: it exports {exports} and no function `run`; an agent is built for the world \
         `agent` of remit:kernel"
    )]
    OtherWorld {
        /// What it exports instead.
        exports: String,
    },
    /// An import or export has the right name and not the type that goes with it.
    #[error("the component does not fit this host: {0}; build it with the SDK of this version")]
    Unfit(String),
    /// The compiler refused it.
    #[error("the component is not valid: {0}")]
    Invalid(String),
    /// Compilation took too long.
    #[error("the component takes more than {seconds} s to compile: make it smaller")]
    CompileTime {
        /// The limit, in seconds.
        seconds: u64,
    },
    /// The compiler ended without a word: most likely at its memory limit.
    #[error("the compiler ended with {status}; it may use {memory_bytes} bytes of memory: make the component smaller")]
    CompilerCrashed {
        /// How it ended.
        status: ExitStatus,
        /// The limit, in bytes.
        memory_bytes: u64,
    },
    /// The compiler cannot be started.
    #[error("the compiler {program} cannot be started: {source}")]
    CompilerMissing {
        /// Which.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The cache cannot be read or written.
    #[error("the compiled agent cannot be kept in {path}: {source}; free some space, or check the folder's rights")]
    Cache {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}
