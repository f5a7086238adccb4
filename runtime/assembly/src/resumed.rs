//! Tasks that outlived the host before this one.

use crate::{
    node::{Node, NodeError},
    payment::Payment,
};
use remit_abi::Pid;
use remit_kernel::{Finished, Resumed, ports::PortFuture};

/// A task that went on when the host started anew. It runs while `finished` is polled, and stops when that is dropped.
pub struct ResumedTask {
    /// The process that does it.
    pub pid: Pid,
    /// Its end.
    pub finished: PortFuture<'static, Finished>,
}

impl Node {
    /// Lets the processes go on that a host on this data folder left behind, with their models served as far as they can be. To be
    /// called once, before anything is started.
    ///
    /// # Errors
    /// [`NodeError::Unreadable`].
    pub async fn recover(&self) -> Result<Vec<ResumedTask>, NodeError> {
        if !self.durable {
            return Ok(Vec::new());
        }
        let recovery = self.kernel.recover()?;
        let held = self.kernel.grant_tree(None).into_iter().filter(|grant| grant.holder.is_some() && !grant.revoked);
        for grant in held {
            if let Err(error) = self.serve_models(std::slice::from_ref(&grant.spec)) {
                tracing::error!(%error, "a model of a process that goes on cannot be served");
            }
        }
        let task = |Resumed { pid, payer, finished }| {
            let payment = payer.map(|payer| Payment { kernel: self.kernel.clone(), payer });
            let finished: PortFuture<'static, Finished> = Box::pin(async move {
                let finished = finished.await;
                drop(payment);
                finished
            });
            ResumedTask { pid, finished }
        };
        Ok(recovery.go_on().await.into_iter().map(task).collect())
    }
}
