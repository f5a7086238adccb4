//! How urgent a process is among its tenant's own.

use serde::{Deserialize, Serialize};

/// The class of a process. It decides between processes of one tenant and gives no tenant more of the machine; a process
/// that has waited long is treated as one of a higher class, so that none waits for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Priority {
    /// Nobody waits for it.
    Background,
    /// It can wait for a while.
    Low,
    /// What nobody said anything about.
    #[default]
    Normal,
    /// Somebody waits for it now.
    High,
}
