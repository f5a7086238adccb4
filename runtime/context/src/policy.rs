//! What goes out of the window first, what stands in its place, and when.

use crate::segment::SegmentId;
use serde::{Deserialize, Serialize};

/// What the window has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Prompt and output together, in tokens.
    pub window: u32,
    /// Set apart for the answer.
    pub output_reserve: u32,
    /// Set apart for what is recalled, so that recalling pages nothing out. At most half of what the answer leaves.
    pub recall_budget: u32,
}

impl Budget {
    /// What a prompt may have at most; `None` where the answer leaves nothing.
    #[must_use]
    pub const fn prompt_tokens_max(self) -> Option<u32> {
        match self.window.checked_sub(self.output_reserve) {
            None | Some(0) => None,
            Some(tokens) => Some(tokens),
        }
    }
}

/// What goes out first. Calls and their results go together, and standing instructions (segments of the system's role) go last in all
/// orders but the agent's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Whatever has not been used for the most turns; of these the oldest. Being appended, touched, recalled and paged in are uses.
    #[default]
    LeastRecentlyUsed,
    /// Whatever matters least; of these the least recently used.
    Importance,
    /// As the agent says, from the first on; then all others, the least recently used first.
    Given(Vec<SegmentId>),
}

/// What stands in the place of segments that go out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum InPlace {
    /// One line for all neighbours that are out.
    #[default]
    Stub,
    /// A summary, where there is enough to summarise and room for it; a stub otherwise.
    Summary,
}

/// How a context is paged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// What goes out first.
    pub order: Order,
    /// What stands in its place.
    pub in_place: InPlace,
    /// How much of the prompt summaries may take, in percent: a new one beyond that takes in those beside it, or is a stub. Stubs count
    /// too, and are never refused.
    pub gist_percent: u8,
    /// Nothing goes out before the prompt is so full, in percent of what it may have without the recalled segments.
    pub high_percent: u8,
    /// And then so much goes out that it is no fuller than this.
    pub low_percent: u8,
    /// For how many turns after its own a recalled segment stays, where there is room.
    pub recalled_turns: u64,
}

impl Default for Policy {
    /// Least recently used, with stubs; out at 100 %, down to 60 %; summaries may take 20 %; what is recalled leaves with its turn.
    ///
    /// The marks come from a simulation (`cargo bench -p remit-context --bench watermarks`), whose table is in the
    /// [crate's documentation](crate#watermarks).
    fn default() -> Self {
        Self {
            order: Order::LeastRecentlyUsed,
            in_place: InPlace::Stub,
            gist_percent: 20,
            high_percent: 100,
            low_percent: 60,
            recalled_turns: 0,
        }
    }
}

/// What a budget and a policy come to, in tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// What a prompt may have.
    pub(crate) capacity: u64,
    /// What summaries and stubs may.
    pub(crate) gists: u64,
    recall: u64,
    high_percent: u64,
    low_percent: u64,
}

impl Room {
    /// `None` where there is none. Percentages above what they can be are taken for the most that they can.
    pub(crate) fn of(budget: Budget, policy: &Policy) -> Option<Self> {
        let capacity = u64::from(budget.prompt_tokens_max()?);
        let percent = |percent: u8, most: u64| u64::from(percent).min(most);
        let high_percent = percent(policy.high_percent, 100);
        Some(Self {
            capacity,
            gists: capacity * percent(policy.gist_percent, 100) / 100,
            recall: u64::from(budget.recall_budget).min(capacity / 2),
            high_percent,
            low_percent: percent(policy.low_percent, high_percent),
        })
    }

    /// Where paging out begins, of a prompt in which so much is recalled.
    pub(crate) fn high(&self, recalled: u64) -> u64 {
        self.mark(self.high_percent, recalled)
    }

    /// Where it ends.
    pub(crate) fn low(&self, recalled: u64) -> u64 {
        self.mark(self.low_percent, recalled)
    }

    fn mark(&self, percent: u64, recalled: u64) -> u64 {
        let others = self.capacity.saturating_sub(self.recall.max(recalled));
        (others * percent / 100 + recalled).min(self.capacity)
    }
}
