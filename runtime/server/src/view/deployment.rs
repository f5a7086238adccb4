//! Deployments, as the protocol says them.

use crate::protocol::{DeployedCron, DeployedVersion, Deployment, Replica, ReplicaTrouble};
use remit_assembly::{
    DeploymentView,
    deploy::{Cron, Revision},
};
use std::time::{SystemTime, UNIX_EPOCH};

const NS_PER_SECOND: u64 = 1_000_000_000;

/// A deployment, with what lives of it.
#[must_use]
pub(crate) fn deployment(DeploymentView { deployment, replicas, troubles }: DeploymentView) -> Deployment {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let cron = |Cron { schedule, task }: &Cron| DeployedCron {
        schedule: schedule.to_string(),
        task: task.clone(),
        next_ns: schedule.next(now).and_then(|at| u64::try_from(at).ok()?.checked_mul(NS_PER_SECOND)),
    };
    Deployment {
        name: deployment.spec.name.clone(),
        stable: version(&deployment.stable),
        tried: deployment.tried.as_ref().map(|tried| version(&tried.revision)),
        percent: deployment.percent(),
        before: deployment.before.as_ref().map(version),
        replicas: deployment.spec.replicas,
        restart: deployment.spec.restart.policy.name().to_owned(),
        grants: deployment.stable.grants.clone(),
        tokens: deployment.stable.tokens,
        living: replicas
            .iter()
            .map(|(member, pid)| Replica { pid: *pid, revision: member.revision, slot: member.slot })
            .collect(),
        troubles: troubles
            .into_iter()
            .map(|(member, why)| ReplicaTrouble { revision: member.revision, slot: member.slot, why })
            .collect(),
        ended: deployment.ended.len(),
        runs: deployment.runs,
        cron: deployment.spec.cron.iter().map(cron).collect(),
    }
}

fn version(revision: &Revision) -> DeployedVersion {
    let Revision { number, package, .. } = revision;
    DeployedVersion { revision: *number, package: package.to_string(), digest: package.digest.clone() }
}
