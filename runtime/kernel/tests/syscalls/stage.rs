//! Processes that a test plays itself: it does their syscalls one after the other and says how they end. So it decides who
//! goes first, and looks at a call while it waits.

use crate::fakes::{Given, Guest, TestNode, done, grant, model_grant, tokens};
use futures::{FutureExt, future::BoxFuture};
use parking_lot::Mutex;
use remit_abi::{
    ChildId, Exit, Failure, Fault, GrantId, GrantKind, GrantLimits, GrantSpec, Outcome, Pid, Plan, Status, Tokens,
    ValueId,
};
use remit_kernel::Finished;
use std::{collections::HashMap, ops::Deref, sync::Arc};
use tokio::sync::oneshot;

/// One run of a process.
struct Run {
    guest: Guest,
    exit: oneshot::Sender<Exit>,
}

type Runs = Arc<Mutex<HashMap<Pid, Run>>>;

/// A node of such processes. What they start under the name `worker` is one, too.
pub(crate) struct Stage {
    pub(crate) node: TestNode,
    runs: Runs,
}

/// A process that the test started.
pub(crate) struct Played {
    guest: Guest,
    finished: BoxFuture<'static, Finished>,
}

impl Deref for Played {
    type Target = Guest;

    fn deref(&self) -> &Guest {
        &self.guest
    }
}

/// May start any agent, use the model and spend 1000.
pub(crate) fn parent() -> Given {
    let grants = vec![grant("run", GrantKind::Process, &["*"]), model_grant(GrantLimits::default())];
    Given { grants, budget: tokens(1000), ..Given::default() }
}

/// May do nothing, and spend 100.
pub(crate) fn stranger() -> Given {
    Given { grants: Vec::new(), budget: tokens(100), ..Given::default() }
}

/// An end without result that may pass, or not.
pub(crate) fn failed(message: &str, retryable: bool) -> Exit {
    Exit { end: Ok(Err(Failure { message: message.into(), retryable })), ..done() }
}

/// An end with a result.
pub(crate) fn returned(output: ValueId) -> Exit {
    Exit { end: Ok(Ok(Outcome { status: Status::Complete, output: Some(output) })), ..done() }
}

/// A crash.
pub(crate) fn crashed() -> Exit {
    Exit { end: Err(Fault::Trap("unreachable".into())), fuel: None }
}

fn script(runs: &Runs) -> impl Fn(Guest) -> BoxFuture<'static, Exit> + Send + Sync + use<> {
    let runs = runs.clone();
    move |guest| {
        let (exit, exited) = oneshot::channel();
        runs.lock().insert(guest.pid, Run { guest, exit });
        async move {
            match exited.await {
                Ok(exit) => exit,
                Err(_) => std::future::pending().await,
            }
        }
        .boxed()
    }
}

impl Stage {
    pub(crate) fn new() -> Self {
        let stage = Self { node: TestNode::new(), runs: Runs::default() };
        stage.install("worker");
        stage
    }

    /// Another name for such a process.
    pub(crate) fn install(&self, name: &str) {
        self.node.install(name, script(&self.runs));
    }

    /// Starts one.
    pub(crate) async fn start(&self, given: Given) -> Played {
        let spawned = self.node.spawn(given, script(&self.runs));
        self.node.settle().await;
        Played { guest: self.run_of(spawned.pid), finished: spawned.finished.boxed() }
    }

    /// The latest run of a process.
    pub(crate) fn run_of(&self, pid: Pid) -> Guest {
        self.runs.lock().get(&pid).expect("it was started").guest.clone()
    }

    /// Starts a child and lets it begin.
    pub(crate) async fn child(&self, parent: &Guest, plan: Plan) -> (ChildId, Guest) {
        let child = parent.spawn(plan).await.expect("the plan is sound");
        self.node.settle().await;
        (child, self.run_of(parent.child_pid(child).await))
    }

    /// Ends the latest run of a process.
    pub(crate) async fn exit(&self, pid: Pid, exit: Exit) {
        self.will_exit(pid, exit);
        self.node.settle().await;
    }

    /// The same, and nobody has gone on yet.
    pub(crate) fn will_exit(&self, pid: Pid, exit: Exit) {
        let run = self.runs.lock().remove(&pid).expect("it runs");
        run.exit.send(exit).expect("it waits for its exit");
    }

    /// Gives a process a right to send messages to another one.
    pub(crate) fn connect(&self, from: &Guest, to: &Guest) -> GrantId {
        self.connect_within(from, to, GrantLimits::default())
    }

    pub(crate) fn connect_within(&self, from: &Guest, to: &Guest, limits: GrantLimits) -> GrantId {
        let address = to.pid.to_string();
        let spec = GrantSpec { limits, ..grant(&format!("to-{address}"), GrantKind::Mailbox, &[&address]) };
        self.node.kernel.give(from.pid, spec).expect("it lives and has room")
    }

    /// Ends a process that the test started.
    pub(crate) async fn end(&self, played: Played, exit: Exit) -> Finished {
        self.exit(played.pid, exit).await;
        self.finished(played).await
    }

    /// Waits for the end of one that ends of itself.
    pub(crate) async fn finished(&self, played: Played) -> Finished {
        let finished = played.finished.await;
        assert!(self.node.kernel.is_conserved(), "tokens were made or lost");
        finished
    }

    /// Nothing of any process is left. Answers what its payers hold.
    pub(crate) fn assert_empty(&self) -> Tokens {
        let kernel = &self.node.kernel;
        assert_eq!(kernel.processes(), [], "every process has ended");
        assert_eq!(kernel.grant_tree(None), [], "every grant was released");
        assert!(kernel.is_conserved(), "tokens were made or lost");
        self.node.withdraw()
    }
}
