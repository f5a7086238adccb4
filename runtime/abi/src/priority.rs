//! How urgent a process is, among those of its tenant.

use serde::{Deserialize, Serialize};

/// A class of urgency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Priority {
    /// When nothing else is to be done.
    Background,
    /// After the usual.
    Low,
    /// The usual.
    #[default]
    Normal,
    /// Before the usual.
    High,
}
