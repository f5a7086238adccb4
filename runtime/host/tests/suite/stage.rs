//! The host that the tests share, and how a guest is run on it.

use crate::door::ScriptedDoor;
use futures::{
    FutureExt,
    channel::oneshot,
    future::{Either, select},
};
use remit_abi::{Exit, Pid, Priority, Start, TenantId, limits::Limits};
use remit_host::{CompilerCommand, Host, HostConfig, Image};
use std::{
    future::Future,
    path::PathBuf,
    pin::{Pin, pin},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

static CACHE: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a temporary folder"));

/// One host for all tests: each reserves address space.
pub(crate) static HOST: LazyLock<Host> = LazyLock::new(|| host(CACHE.path().join("code")));

/// A small host with a cache of its own.
pub(crate) fn host(cache_folder: PathBuf) -> Host {
    Host::new(config(cache_folder)).expect("a small host starts anywhere")
}

pub(crate) fn config(cache_folder: PathBuf) -> HostConfig {
    let compiler = CompilerCommand { program: env!("CARGO_BIN_EXE_remit-compile").into(), arguments: Vec::new() };
    let mut config = HostConfig::new(cache_folder, compiler);
    config.threads = 2;
    config.instances_max = 32;
    config
}

/// A process id that no other test uses.
pub(crate) fn pid() -> Pid {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    Pid { tenant: TenantId(1), index: NEXT.fetch_add(1, Ordering::Relaxed), generation: 0 }
}

pub(crate) fn load(component: &[u8]) -> Arc<Image> {
    HOST.load(component, &["model", "process", "person", "tool"]).expect("the component is an agent")
}

/// A guest on a host's run queue; its end is the answer. Dropping it stops the guest.
pub(crate) struct Running(oneshot::Receiver<Exit>);

impl Running {
    fn begin(host: &Host, pid: Pid, guest: impl Future<Output = Exit> + Send + 'static) -> Self {
        let (mut sender, receiver) = oneshot::channel();
        host.spawn(pid, Priority::default(), async move {
            let ended = match select(pin!(guest), sender.cancellation()).await {
                Either::Left((exit, _)) => Some(exit),
                Either::Right(_) => None,
            };
            if let Some(exit) = ended {
                // Who stopped listening just now wanted it stopped.
                let _unheard = sender.send(exit);
            }
        });
        Self(receiver)
    }
}

impl Future for Running {
    type Output = Exit;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Exit> {
        self.0.poll_unpin(context).map(|exit| exit.expect("the host runs it to its end"))
    }
}

/// Starts a process with nothing special about it.
pub(crate) fn begin(host: &Host, door: Arc<ScriptedDoor>, pid: Pid, image: Arc<Image>) -> Running {
    Running::begin(host, pid, host.run(door, pid, image, Limits::default(), Start::default()))
}

/// Runs a component on the shared host to its end.
pub(crate) fn run(component: &[u8], door: &Arc<ScriptedDoor>) -> Exit {
    run_with(component, door, Limits::default(), Start::default())
}

pub(crate) fn run_with(component: &[u8], door: &Arc<ScriptedDoor>, limits: Limits, start: Start) -> Exit {
    let pid = pid();
    block_on(Running::begin(&HOST, pid, HOST.run(door.clone(), pid, load(component), limits, start)))
}

/// Polls on this thread.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
