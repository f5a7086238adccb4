//! Routes, as an operator sees them.

use super::text;
use remit_abi::{Arm, Pid, Priority};
use serde::{Deserialize, Serialize};

/// Every route, by name, with what it came to since the host was started. `GET /v1/routes`; also the answer of
/// `POST /v1/routes/reload`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routes {
    /// Each of them.
    pub routes: Vec<Route>,
}

/// One route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Its name.
    pub name: String,
    /// The stable version, and the candidate where there is one.
    pub arms: Vec<RouteArm>,
    /// The models of these versions.
    pub tiers: Vec<RouteTier>,
}

/// One version in effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteArm {
    /// Whose it is.
    pub arm: Arm,
    /// Which one.
    pub version: u32,
    /// How many processes, or tenants, of a thousand get it.
    pub share_per_mille: u16,
    /// Requests that began.
    pub requests: u64,
    /// Of these: that an engine answered to the end.
    pub answered: u64,
    /// That ended in an error.
    pub failed: u64,
    /// That somebody gave up.
    pub given_up: u64,
    /// That another than the preferred model served.
    pub fell_back: u64,
    /// Tries besides the first one of each request.
    pub tried_again: u64,
    /// Prompt tokens that had to be computed.
    pub input_tokens: u64,
    /// Prompt tokens whose state was at hand.
    pub cached_tokens: u64,
    /// Tokens that models wrote.
    pub output_tokens: u64,
    /// From a request until its end was read, in microseconds: half of those that were answered took no longer.
    pub p50_us: Option<u64>,
    /// Nine of ten did not.
    pub p90_us: Option<u64>,
    /// 99 of a hundred did not.
    pub p99_us: Option<u64>,
}

/// One model of a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTier {
    /// Its name.
    pub model: String,
    /// Its circuit breaker: requests go through, none does, or one does, to find out.
    pub breaker: Breaker,
}

/// The state of a circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Breaker {
    /// Requests go through.
    Closed,
    /// None does.
    Open,
    /// One does, to find out.
    HalfOpen,
}

/// What a request is like. `POST /v1/routes/explain`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainRequest {
    /// Which route.
    pub route: String,
    /// The label of the grant that it is asked under.
    pub task: String,
    /// Of the prompt.
    pub prompt_tokens: u32,
    /// What is asked for, at most.
    pub output_tokens: u32,
    /// Of the process.
    #[serde(default)]
    pub priority: Priority,
    /// Of the process.
    #[serde(default)]
    pub tenant: u32,
    /// What the process can spend.
    pub budget_micro_tokens: u64,
    /// Whose request; of any process without this.
    #[serde(default, with = "text::option", skip_serializing_if = "Option::is_none")]
    pub pid: Option<Pid>,
}

/// What such a request would get. The answer of `POST /v1/routes/explain`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanations {
    /// From each version in effect, or from the one that the process gets.
    pub arms: Vec<Explanation>,
}

/// What such a request would get from one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Whose it is.
    pub arm: Arm,
    /// Which one.
    pub version: u32,
    /// Rules that come before the one that decides, and what did not hold.
    pub missed: Vec<MissedRule>,
    /// The rule that decides.
    pub rule: String,
    /// Its models, in the order in which they are tried.
    pub models: Vec<RankedModel>,
}

/// A rule that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissedRule {
    /// Its name.
    pub rule: String,
    /// The first condition that does not hold, in words.
    pub why: String,
}

/// A model of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RankedModel {
    /// Its name.
    pub model: String,
    /// Why it is passed over; absent where it is tried in its turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
}
