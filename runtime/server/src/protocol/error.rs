//! How the server says no.

use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use std::fmt;
use thiserror::Error;

/// What went wrong, for programs. A code stays what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    /// The request is not one of the protocol: its body, its query or a name in its path.
    BadRequest,
    /// The request is well-formed and asks for what cannot be.
    Invalid,
    /// The agent is refused: it is no agent, or asks for what it is not granted.
    Refused,
    /// There is no such path.
    NotFound,
    /// There is such a path, and not this method on it.
    WrongMethod,
    /// No agent of that name or at that path.
    NoSuchAgent,
    /// No live process of that name.
    NoSuchProcess,
    /// No grant of that name.
    NoSuchGrant,
    /// No open question of that number.
    NoSuchQuestion,
    /// No standing approval of that number.
    NoSuchApproval,
    /// No deployment of that name.
    NoSuchDeployment,
    /// No entry of that number in the memory, or no such version of it.
    NoSuchEntry,
    /// The body is larger than it may be.
    TooLarge,
    /// The body did not come in time.
    TooSlow,
    /// As many connections or streams are open as may be.
    Busy,
    /// The host is shutting down.
    ShuttingDown,
    /// The machine failed: a file, the disk, a model.
    MachineFailed,
}

impl ErrorCode {
    /// The status that an answer with this code has.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Invalid | Self::Refused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NotFound | Self::NoSuchAgent | Self::NoSuchProcess | Self::NoSuchGrant => StatusCode::NOT_FOUND,
            Self::NoSuchQuestion | Self::NoSuchApproval | Self::NoSuchEntry => StatusCode::NOT_FOUND,
            Self::NoSuchDeployment => StatusCode::NOT_FOUND,
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Busy | Self::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
            Self::MachineFailed => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// The body of every answer that is an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
#[error("{message}")]
pub struct Refusal {
    /// What went wrong, for programs.
    pub code: ErrorCode,
    /// One sentence for people: what failed, why, what to do.
    pub message: String,
}

impl Refusal {
    /// A code and its sentence.
    pub(crate) fn new(code: ErrorCode, message: impl fmt::Display) -> Self {
        Self { code, message: message.to_string() }
    }
}
