//! What is kept of the past: exported, forgotten, erased.

use serde::{Deserialize, Serialize};

/// History that is too old. `POST /v1/forget`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForgetRequest {
    /// What was written earlier.
    pub before_ns: u64,
}

/// What was forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// Pieces of processes' logs.
    pub chunks: u64,
}

/// A tenant of whom nothing is to be left. `POST /v1/erase`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EraseRequest {
    /// Which.
    pub tenant: u32,
}
