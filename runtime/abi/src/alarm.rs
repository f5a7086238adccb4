//! Alarms: moments to wake at, which outlive a restart of their process.

use crate::AlarmId;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Requests of `alarm`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AlarmRequest {
    /// Sets the alarm of a label, in place of what it was.
    Set {
        /// Its name.
        label: Box<str>,
        /// In nanoseconds since 1970-01-01T00:00:00Z.
        at_ns: u64,
    },
    /// The alarm of a label.
    Take {
        /// Its name.
        label: Box<str>,
    },
    /// Its moment.
    Moment {
        /// Which.
        alarm: AlarmId,
    },
    /// Unsets it.
    Cancel {
        /// Which.
        alarm: AlarmId,
    },
}

/// Answers of `alarm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AlarmReply {
    /// It is set.
    Set(AlarmId),
    /// Where one is set under the label.
    Taken(Option<AlarmId>),
    /// In nanoseconds since 1970-01-01T00:00:00Z.
    Moment(u64),
    /// It is unset.
    Cancelled,
}

/// Errors of `alarm`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
pub enum AlarmError {
    /// The process has as many as it may.
    #[error("this process may have {limit} alarms: cancel one")]
    TooMany {
        /// How many.
        limit: u64,
    },
    /// A label that is none.
    #[error("the alarm's label is invalid: {0}")]
    Invalid(Box<str>),
    /// An id that names nothing (any more).
    #[error("no such alarm: it was cancelled, or never was")]
    Dead,
}
