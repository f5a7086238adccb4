//! What a task shows while it runs: the same events on a terminal, in a file and over a server's stream.

use crate::Label;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// For the agent's author, in detail.
    Trace,
    /// For the agent's author.
    Debug,
    /// Worth knowing.
    Info,
    /// Something is off, and the agent goes on.
    Warn,
    /// Something failed.
    Error,
}

/// Something that a task shows to whoever started it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// More of the answer.
    Text {
        /// UTF-8, cut at a character.
        text: Bytes,
        /// What went into it.
        label: Label,
    },
    /// How far the work is.
    Progress {
        /// Steps done.
        done: u64,
        /// Steps in all, where that is known.
        total: Option<u64>,
        /// What is being done now.
        note: Box<str>,
    },
    /// A finished piece of work besides the answer.
    Artifact {
        /// A file name without a folder.
        name: Box<str>,
        /// Its media type (RFC 6838).
        media_type: Box<str>,
        /// Its content.
        bytes: Bytes,
        /// What went into it.
        label: Label,
    },
    /// A log line of the agent.
    Log {
        /// How much it matters.
        level: LogLevel,
        /// One line.
        message: Box<str>,
    },
}
