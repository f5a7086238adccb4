//! Whom the host trusts, as an operator changes it.

use serde::{Deserialize, Serialize};

/// What may run no longer. `POST /v1/trust/reload`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalledBack {
    /// Each of them.
    pub packages: Vec<CalledBackPackage>,
}

/// A package whose processes take no turns any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalledBackPackage {
    /// Its name.
    pub package: String,
    /// SHA-256 of its component, in hexadecimal.
    pub digest: String,
    /// Why, in one sentence without a full stop.
    pub why: String,
    /// How many processes of it live.
    pub processes: usize,
}
