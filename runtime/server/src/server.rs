//! The host: a node behind a control socket, from its start to its orderly end.

use crate::{
    api::{Managed, router},
    connections,
    limits::{LAST_WAIT_MAX, Limits},
    socket::{Bound, SocketError, socket_path},
};
use remit_assembly::{Consolidation, Home, HomeLock, Node, ResumedTask, consolidate_while_idle, keep_deployments};
use std::{ops::Deref, path::Path, sync::Arc, time::Duration};
use tokio::{task::JoinHandle, time};
use tokio_util::sync::CancellationToken;

/// A node that listens on the control socket of its data folder.
pub struct Server {
    managed: Arc<Managed>,
    bound: Bound,
    limits: Limits,
    /// Given back last.
    _lock: HomeLock,
}

/// The node that a host manages.
#[derive(Clone)]
struct NodeOf(Arc<Managed>);

impl Deref for NodeOf {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.0.node
    }
}

impl Server {
    /// Listens for a node on the data folder whose lock is held, and consolidates its memory as it is told.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn bind(node: Node, home: Home, lock: HomeLock, consolidation: Consolidation) -> Result<Self, SocketError> {
        let bound = Bound::at(socket_path(&home)?, &lock)?;
        let limits = Limits::default();
        let managed = Arc::new(Managed::new(node, home, consolidation, limits.body_time_max));
        Ok(Self { managed, bound, limits, _lock: lock })
    }

    /// Where it listens.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.bound.path()
    }

    /// Lets processes go on that the host before left behind, and serves until it is asked to stop, by `asked` becoming ready. Then
    /// it takes no new work, asks every process to end that does not outlive the host, gives them `grace`, or until it is asked
    /// again, and kills those that are left. Who is told of an end is told before the socket goes.
    pub async fn serve(self, grace: Duration, mut asked: impl AsyncFnMut()) {
        let attending = self.see_resumed().await;
        let consolidation = self.managed.consolidation.clone();
        let consolidating = tokio::spawn(consolidate_while_idle(NodeOf(self.managed.clone()), consolidation));
        let managed = self.managed.clone();
        let resumed = move |task: ResumedTask| drop(managed.resumed.spawn(task.finished));
        let deploying = tokio::spawn(keep_deployments(NodeOf(self.managed.clone()), resumed));
        let stop = CancellationToken::new();
        let router = router(self.managed.clone());
        let serving = connections::serve(&self.bound.listener, &router, self.limits, &stop);
        let ending = async {
            asked().await;
            // What it has begun is found again by the next host.
            consolidating.abort();
            deploying.abort();
            self.end_processes(grace, asked).await;
            stop.cancel();
            // Whoever does not read the last lines by then misses them.
            time::sleep(LAST_WAIT_MAX).await;
        };
        tokio::select! {
            () = serving => {}
            () = ending => {}
        }
        attending.abort();
        consolidating.abort();
        deploying.abort();
    }

    async fn end_processes(&self, grace: Duration, mut asked: impl AsyncFnMut()) {
        let (managed, kernel) = (&self.managed, self.managed.node.kernel());
        managed.close();
        for pid in kernel.ephemeral() {
            kernel.cancel(pid);
        }
        tokio::select! {
            () = managed.all_ended(|_| {}) => {}
            () = time::sleep(grace) => {}
            () = asked() => {}
        }
        let killed = managed.all_ended(|pid| kernel.kill(pid));
        if time::timeout(LAST_WAIT_MAX, killed).await.is_err() {
            tracing::warn!("some processes, or those who read of their ends, are left behind");
        }
        // Those that outlive the host stop where they stand.
        managed.node.stop();
        let node = NodeOf(managed.clone());
        if let Err(error) = tokio::task::spawn_blocking(move || node.keep_snapshots()).await {
            tracing::warn!(%error, "what models had at hand is not kept");
        }
    }

    /// Lets the processes go on that the host before left behind, and sees to those that are not in memory until it is aborted.
    async fn see_resumed(&self) -> JoinHandle<()> {
        let managed = self.managed.clone();
        let resumed = move |task: ResumedTask| drop(managed.resumed.spawn(task.finished));
        let attending = tokio::spawn(self.managed.node.attend(resumed));
        match self.managed.node.recover().await {
            Ok(resumed) => resumed.into_iter().for_each(|task| drop(self.managed.resumed.spawn(task.finished))),
            Err(error) => tracing::error!(%error, "no process of the host before goes on"),
        }
        attending
    }
}

impl Managed {
    /// Waits until no process lives that ends with the host, and everybody who reads of an end has been told. Each process that is
    /// waited for is treated before.
    async fn all_ended(&self, treat: impl Fn(remit_abi::Pid)) {
        loop {
            let living = self.node.kernel().ephemeral();
            living.iter().for_each(|pid| treat(*pid));
            let Some(first) = living.first() else { break };
            self.ended(*first).await;
        }
        self.tasks.close();
        self.tasks.wait().await;
    }
}
