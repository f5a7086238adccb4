//! What becomes of an agent that ends, and who goes first.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A day: whoever waits longer than that between two starts wants a schedule, not a restart.
const DAY_MS: u64 = 86_400_000;

/// Whether an agent is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// It stays ended.
    #[default]
    Never,
    /// After a failure or a fault; not after an outcome, and not where an operator ended it.
    OnFailure,
    /// After every end but an operator's.
    Always,
}

/// How an agent is started again.
///
/// Without a `[restart]` section it is not: a start spends tokens, and an agent that nobody made for it would repeat what
/// it has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Restart {
    /// Whether it is.
    pub policy: RestartPolicy,
    /// The wait before the first restart, in milliseconds; each further one waits twice as long.
    #[schemars(range(min = 1, max = DAY_MS))]
    pub backoff_ms: u64,
    /// The longest wait, in milliseconds; not below `backoff_ms`.
    #[schemars(range(min = 1, max = DAY_MS))]
    pub backoff_max_ms: u64,
    /// When to give up.
    pub storm: Storm,
}

/// So many restarts in so long are a storm: whoever reaches it stays ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Storm {
    /// Restarts that are still fine.
    #[schemars(range(min = 1, max = 1000))]
    pub restarts: u32,
    /// In any window of so many milliseconds.
    #[schemars(range(min = 1, max = DAY_MS))]
    pub within_ms: u64,
}

impl Default for Restart {
    /// Never. Where only the policy is named: the first wait of a second lets what was busy recover, and nobody waits
    /// longer than the minute in which a storm is counted.
    fn default() -> Self {
        Self { policy: RestartPolicy::Never, backoff_ms: 1000, backoff_max_ms: 60_000, storm: Storm::default() }
    }
}

impl Default for Storm {
    /// Five in a minute: the waits double from 1 s to 16 s, 31 s together, so that an agent that fails at once gives up
    /// after half a minute, and one that fails once in a while never does.
    fn default() -> Self {
        Self { restarts: 5, within_ms: 60_000 }
    }
}

/// Who goes first where processor time or the model is short. The order is that of urgency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Only when nobody else wants to.
    Background,
    /// Less than others.
    Low,
    /// As others.
    #[default]
    Normal,
    /// More than others; the operator may refuse it.
    High,
}
