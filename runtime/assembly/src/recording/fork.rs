//! Starting a process that goes on where a recorded one once was.

use super::Recording;
use crate::{
    components,
    engines::EngineLoadError,
    node::{Agent, LOCAL_TENANT, Node},
    payment::Payment,
    resumed::ResumedTask,
};
use remit_abi::{GrantKind, GrantSpec, Pid, Tokens};
use remit_host::LoadError;
use remit_kernel::{Fork, ForkError, SpawnError, ports::Program};
use sha2::{Digest, Sha256};
use std::{io, sync::Arc};
use thiserror::Error;

/// What a forked process gets.
pub struct ForkTerms<'a> {
    /// The last entry of the log that it shares; all without.
    pub at: Option<u64>,
    /// For how much; what the recorded one was given without this.
    pub budget: Option<Tokens>,
    /// Whose grants it gets: an agent's, with those of its wants that were chosen. Without one, those that the recorded process
    /// holds, which must live then.
    pub agent: Option<&'a Agent>,
}

/// A process that cannot be forked.
#[derive(Debug, Error)]
pub enum ForkingError {
    /// The kernel refuses.
    #[error(transparent)]
    Fork(#[from] ForkError),
    /// A model that it was granted cannot be served.
    #[error(transparent)]
    Engine(#[from] EngineLoadError),
    /// Its component.
    #[error("the recorded component cannot be loaded: {0}")]
    Load(#[from] LoadError),
    /// This host does not let it in.
    #[error("the recorded component is not let in: {0}")]
    Denied(String),
    /// Its component could not be kept.
    #[error("the component cannot be kept for the process to outlive the host: {0}")]
    Keep(io::Error),
    /// Nobody holds grants that it could get.
    #[error("process {0} does not live here, so that it holds no grants: name the agent whose grants the new one gets")]
    NoGrants(Pid),
    /// The node keeps nothing.
    #[error("this host keeps no journal, which a forked process needs: it was started without")]
    NotKept,
}

impl Node {
    /// Starts a process that goes on where a recorded one once was, with its models served. Blocks.
    ///
    /// # Errors
    /// [`ForkingError`]; nothing runs then.
    pub fn fork(&self, recording: Recording, terms: &ForkTerms<'_>) -> Result<ResumedTask, ForkingError> {
        if !self.durable {
            return Err(ForkingError::NotKept);
        }
        let Recording { history, component, .. } = recording;
        let created = &history.created;
        let recorded = hex::encode(Sha256::digest(&component));
        self.gate.readmit(&created.package, &recorded).map_err(ForkingError::Denied)?;
        let kinds: Vec<&str> = created.kinds.iter().map(|kind| kind.name()).collect();
        let image = self.host.load(&component, &kinds)?;
        let digest: Arc<str> = image.digest().into();
        let program = Program {
            name: created.package.clone(),
            digest: digest.clone(),
            linked: created.kinds.clone(),
            image,
            limits: created.limits,
        };
        let grants = match terms.agent {
            Some(agent) => agent.grants.clone(),
            None => self.grants_of(history.pid).ok_or(ForkingError::NoGrants(history.pid))?,
        };
        self.serve_models(&grants)?;
        components::keep_bytes(&self.home, &digest, &component).map_err(ForkingError::Keep)?;
        let budget = terms.budget.unwrap_or(created.funds);
        let payer = self.kernel.deposit(budget).map_err(|error| ForkError::Spawn(SpawnError::from(error)))?;
        let payment = Payment { kernel: self.kernel.clone(), payer };
        let fork = Fork { tenant: LOCAL_TENANT, program, history, at: terms.at, grants, payer, budget };
        let resumed = self.kernel.fork(fork)?;
        Ok(ResumedTask {
            pid: resumed.pid,
            finished: Box::pin(async move {
                let finished = resumed.finished.await;
                drop(payment);
                finished
            }),
        })
    }

    /// What a process holds that lives, but for rights to send messages: those are to itself, or to whom it knows.
    fn grants_of(&self, pid: Pid) -> Option<Vec<GrantSpec>> {
        self.kernel.process(pid)?;
        let held = self.kernel.grant_tree(Some(pid)).into_iter().filter(|grant| grant.holder == Some(pid));
        let lives = held.filter(|grant| !grant.revoked && grant.spec.kind != GrantKind::Mailbox);
        Some(lives.map(|grant| grant.spec).collect())
    }
}
