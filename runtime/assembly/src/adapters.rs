//! The kernel's ports, filled with what this machine has, and the host's run queue with the kernel's policy.

use remit_abi::{Door, Exit, Fault, Pid, Priority, Start};
use remit_host::{Host, Image, RunQueue, Runnable};
use remit_kernel::{
    ports::{Clock, Entropy, PortFuture, Program, Runner},
    schedule::{FairQueue, Queued},
};
use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::{runtime::Handle, time};

/// The host as the kernel's runner, in this process.
pub(crate) struct HostRunner {
    pub(crate) host: Arc<Host>,
}

impl Runner for HostRunner {
    fn start(&self, pid: Pid, priority: Priority, life: PortFuture<'static, ()>) {
        self.host.spawn(pid, priority, life);
    }

    fn run(&self, door: Arc<dyn Door>, pid: Pid, program: Program, start: Start) -> PortFuture<'static, Exit> {
        match program.image.downcast::<Image>() {
            Ok(image) => Box::pin(self.host.run(door, pid, image, program.limits, start)),
            Err(_) => {
                let fault = Fault::Host("the program was not loaded by this node's host".into());
                Box::pin(std::future::ready(Exit { end: Err(fault), fuel: None }))
            }
        }
    }

    fn kill(&self, pid: Pid) {
        self.host.kill(pid);
    }

    fn suspend(&self, pid: Pid) {
        self.host.suspend(pid);
    }

    fn resume(&self, pid: Pid) {
        self.host.resume(pid);
    }

    fn lacks_places(&self) -> PortFuture<'static, usize> {
        Box::pin(self.host.lacks_places())
    }
}

/// The kernel's fair queue as the host's run queue.
pub(crate) struct FairRunQueue(pub(crate) FairQueue<Runnable>);

impl RunQueue for FairRunQueue {
    fn push(&mut self, runnable: Runnable) {
        self.0.push(Queued { pid: runnable.pid(), priority: runnable.priority(), item: runnable });
    }

    fn pop(&mut self) -> Option<Runnable> {
        self.0.pop().map(|queued| queued.item)
    }

    fn ran(&mut self, pid: Pid, turn: Duration) {
        self.0.ran(pid, u64::try_from(turn.as_nanos()).unwrap_or(u64::MAX));
    }
}

/// The machine's clocks. Sleeping is tokio's, whichever thread awaits it.
pub(crate) struct SystemClock {
    zero: Instant,
    runtime: Handle,
}

impl SystemClock {
    /// A clock on the runtime of the calling thread.
    pub(crate) fn of_runtime(runtime: Handle) -> Self {
        Self { zero: Instant::now(), runtime }
    }
}

impl Clock for SystemClock {
    fn wall_ns(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    fn monotonic_ns(&self) -> u64 {
        u64::try_from(self.zero.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn sleep_until(&self, deadline_ns: u64) -> PortFuture<'static, ()> {
        let _entered = self.runtime.enter();
        let wait = deadline_ns.saturating_sub(self.monotonic_ns());
        Box::pin(time::sleep(Duration::from_nanos(wait)))
    }
}

/// The system's generator.
pub(crate) struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), Fault> {
        getrandom::fill(buffer).map_err(|error| Fault::Host(format!("the system has no random bytes: {error}").into()))
    }
}
