//! Deployments, as an operator decides and sees them.

use super::text;
use remit_abi::Pid;
use serde::{Deserialize, Serialize};

/// Applies a deployment file. `POST /v1/deployments`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeployRequest {
    /// The file, in TOML.
    pub file: String,
    /// Whether it is only said what would be different.
    #[serde(default)]
    pub dry_run: bool,
    /// Whether another version may ask for more than the one that runs.
    #[serde(default)]
    pub allow_wider: bool,
}

/// What applying a file came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployed {
    /// In the order of the file.
    pub deployments: Vec<DeployedOne>,
}

/// What became of one deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployedOne {
    /// Its name.
    pub name: String,
    /// In which way.
    pub change: DeployedAs,
    /// What is different, a line for each field.
    pub differences: Vec<String>,
}

/// What becomes of a deployment when a file is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeployedAs {
    /// There was none of that name.
    New,
    /// It is as the file says already.
    Unchanged,
    /// It is different.
    Changed,
}

/// Goes to another version. `POST /v1/deployments/{name}/upgrade`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpgradeRequest {
    /// Which one of those that are installed.
    pub version: String,
    /// For how many of a hundred messages and runs; for all without this.
    #[serde(default)]
    pub percent: Option<u8>,
    /// Whether it may ask for more than the one that runs.
    #[serde(default)]
    pub allow_wider: bool,
}

/// What an act on versions came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upgraded {
    /// One sentence without a full stop.
    pub said: String,
}

/// Begins a run. `POST /v1/deployments/{name}/runs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeployedRunRequest {
    /// What it is told.
    pub task: String,
}

/// A run that was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployedRun {
    /// The process that does it.
    #[serde(with = "text")]
    pub pid: Pid,
}

/// All deployments. `GET /v1/deployments`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployments {
    /// By name.
    pub deployments: Vec<Deployment>,
}

/// One deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Its name.
    pub name: String,
    /// What everything goes to, less what is tried.
    pub stable: DeployedVersion,
    /// What is tried.
    pub tried: Option<DeployedVersion>,
    /// Of a hundred messages and runs, how many go to what is tried.
    pub percent: u8,
    /// What a rollback brings back.
    pub before: Option<DeployedVersion>,
    /// How many replicas of the stable version there are to be.
    pub replicas: u32,
    /// After which ends a replica is started again.
    pub restart: String,
    /// Labels of the wants that its processes get; all without this.
    pub grants: Option<Vec<String>>,
    /// For how many whole tokens each process runs; the manifest's budget without this.
    pub tokens: Option<u64>,
    /// Replicas that live.
    pub living: Vec<Replica>,
    /// Replicas that are not started for now.
    pub troubles: Vec<ReplicaTrouble>,
    /// Replicas that ended, and are not started again.
    pub ended: usize,
    /// Runs that were begun.
    pub runs: u64,
    /// What begins by the clock.
    pub cron: Vec<DeployedCron>,
}

/// A version of a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployedVersion {
    /// Of all revisions of the deployment.
    pub revision: u32,
    /// `NAME@VERSION`.
    pub package: String,
    /// SHA-256 of its file, in hexadecimal.
    pub digest: String,
}

/// A process that is kept running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// Its id.
    #[serde(with = "text")]
    pub pid: Pid,
    /// Of which revision.
    pub revision: u32,
    /// Which one, from 1 on.
    pub slot: u32,
}

/// A replica that is not started for now; it is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaTrouble {
    /// Of which revision.
    pub revision: u32,
    /// Which one.
    pub slot: u32,
    /// Why, in one sentence.
    pub why: String,
}

/// A process that is started by the clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployedCron {
    /// Five fields, in UTC.
    pub schedule: String,
    /// What it is told.
    pub task: String,
    /// When it begins next, in nanoseconds since 1970-01-01T00:00:00Z.
    pub next_ns: Option<u64>,
}
