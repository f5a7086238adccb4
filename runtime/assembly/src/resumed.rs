//! Tasks that outlived the host before this one, and tasks that come back into memory.

use crate::{
    node::{Node, NodeError},
    payment::Payment,
    serving::{Models, names},
};
use parking_lot::Mutex;
use remit_abi::{GrantSpec, Pid};
use remit_kernel::{Attendant, Finished, Kernel, Resumed, ports::PortFuture};
use std::{collections::BTreeSet, future::ready, sync::Arc};
use tokio::runtime::Handle;

/// A task that goes on, and that nobody waits for yet. It runs while `finished` is polled, and stops when that is dropped.
pub struct ResumedTask {
    /// The process that does it.
    pub pid: Pid,
    /// Its end.
    pub finished: PortFuture<'static, Finished>,
}

/// What this crate does for processes that come back, and whoever waits for their ends.
struct Attending<F> {
    models: Models,
    /// Models and routes that were opened: nothing is to be done for them again.
    opened: Arc<Mutex<BTreeSet<Box<str>>>>,
    runtime: Handle,
    resumed: F,
}

impl<F: Fn(ResumedTask) + Send + Sync + 'static> Attendant for Attending<F> {
    fn prepare(&self, grants: Vec<GrantSpec>) -> PortFuture<'static, ()> {
        let (models, opened) = (self.models.clone(), self.opened.clone());
        if names(&grants).all(|name| opened.lock().contains(name)) {
            return Box::pin(ready(()));
        }
        let opening = self.runtime.spawn_blocking(move || {
            if let Err(error) = models.serve(&grants) {
                tracing::error!(%error, "a model of a process that goes on cannot be served");
            }
            opened.lock().extend(names(&grants).cloned());
        });
        Box::pin(async move { drop(opening.await) })
    }

    fn resumed(&self, resumed: Resumed) {
        (self.resumed)(task(&self.models.kernel, resumed));
    }
}

/// A task that pays back what is left when it ends.
fn task(kernel: &Kernel, Resumed { pid, payer, finished }: Resumed) -> ResumedTask {
    let payment = payer.map(|payer| Payment { kernel: kernel.clone(), payer });
    let finished: PortFuture<'static, Finished> = Box::pin(async move {
        let finished = finished.await;
        drop(payment);
        finished
    });
    ResumedTask { pid, finished }
}

impl Node {
    /// Lets processes leave memory altogether that wait for long, as long as the future is there; polled, it brings them back with their
    /// models served as far as they can be. Those that nobody waits for are handed over. To be called from a tokio runtime, and before
    /// [`Node::recover`], which leaves out who sleeps only where somebody attends.
    pub fn attend<F>(&self, resumed: F) -> PortFuture<'static, ()>
    where
        F: Fn(ResumedTask) + Send + Sync + 'static,
    {
        let (models, runtime) = (self.models(), Handle::current());
        Box::pin(self.kernel.attend(Arc::new(Attending { models, opened: Arc::default(), runtime, resumed })))
    }

    /// Lets the processes go on that a host on this data folder left behind, with their models served as far as they can be. To be
    /// called once, before anything is started. Those that had left memory are not among them where somebody
    /// [attends](Node::attend).
    ///
    /// # Errors
    /// [`NodeError::Unreadable`].
    pub async fn recover(&self) -> Result<Vec<ResumedTask>, NodeError> {
        if !self.durable {
            return Ok(Vec::new());
        }
        let recovery = self.kernel.recover()?;
        for grant in recovery.held() {
            if let Err(error) = self.serve_models(std::slice::from_ref(&grant)) {
                tracing::error!(%error, "a model of a process that goes on cannot be served");
            }
        }
        Ok(recovery.go_on().await.into_iter().map(|resumed| task(&self.kernel, resumed)).collect())
    }
}
