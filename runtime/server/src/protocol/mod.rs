//! What crosses the control socket, as types: the server and its clients share them.
//!
//! Requests refuse fields that they do not know: a misspelt limit must not silently be no limit. Answers may grow fields.
//! Processes and grants go by their names in text: `0.3.1` and `7.1`. Amounts are in micro-tokens, moments in nanoseconds
//! since 1970-01-01T00:00:00Z.

mod deployment;
mod error;
mod fork;
mod grant;
mod inbox;
mod memory;
mod model;
mod past;
mod process;
mod recall;
mod route;
mod task;
mod trust;

pub use deployment::{
    DeployRequest, Deployed, DeployedAs, DeployedCron, DeployedOne, DeployedRun, DeployedRunRequest, DeployedVersion,
    Deployment, Deployments, Replica, ReplicaTrouble, UpgradeRequest, Upgraded,
};
pub use error::{ErrorCode, Refusal};
pub use fork::{ForkRequest, Forked, Recorded};
pub use grant::{Denials, Denied, Given, Grant, GrantName, GrantRequest, Grants, NotAGrant, Reason, Revoked, Terms};
pub use inbox::{
    AnswerRequest, Approval, Approvals, Inbox, Notice, Notices, Question, Response, Wanted, WithdrawRequest,
};
pub use memory::{
    About, Consolidate, Entries, Entry, ForgetEntries, ForgottenEntries, Hit, Hits, ListEntries, Meant, MemoryStats,
    PutDone, PutEntry, RestoreEntry, Restored, SearchBy, SearchEntries,
};
pub use model::{DeviceMemory, Figures, KeptSnapshots, Model, ModelPlace, Models};
pub use past::{EraseRequest, ForgetRequest, Forgotten};
pub use process::{Affected, Ended, Frozen, Health, Process, ProcessState, Processes, Selection};
pub use recall::{RecallRequest, RecalledText, RecalledTexts};
pub use route::{
    Breaker, ExplainRequest, Explanation, Explanations, MissedRule, RankedModel, Route, RouteArm, RouteTier, Routes,
};
pub use task::{
    Content, End, FaultKind, Finished, Ledger, Message, Numbered, Results, RunLine, RunRequest, Shown, TaskResult,
};
pub use trust::{CalledBack, CalledBackPackage};

use remit_abi::Integrity;
use serde::{Deserialize, Serialize};

/// The version of the protocol: the first part of every path.
pub const VERSION: u32 = 1;

/// A label, with its tags by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Marking {
    /// Where the data comes from.
    pub integrity: Integrity,
    /// Whose secrets are in it, sorted.
    #[serde(default)]
    pub tags: Vec<Box<str>>,
}

/// Ids as texts.
pub(crate) mod text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::{borrow::Cow, fmt::Display, str::FromStr};

    pub(crate) fn serialize<T: Display, S: Serializer>(id: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }

    /// Ids that may be absent.
    pub(crate) mod option {
        use super::{Cow, Deserialize, Deserializer, Display, Error, FromStr, Serializer};

        pub(crate) fn serialize<T: Display, S: Serializer>(id: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
            match id {
                Some(id) => serializer.collect_str(id),
                None => serializer.serialize_none(),
            }
        }

        pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
        where
            T: FromStr<Err: Display>,
            D: Deserializer<'de>,
        {
            let text = Option::<Cow<'de, str>>::deserialize(deserializer)?;
            text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
        }
    }
}
