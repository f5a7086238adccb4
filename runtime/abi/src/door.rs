//! The one way into the kernel.

use crate::{Pid, Reply, Request};
use std::{future::Future, pin::Pin};

/// A syscall on its way.
pub type Dispatch<'a> = Pin<Box<dyn Future<Output = Reply> + Send + 'a>>;

/// Takes a process's syscalls. The kernel is one; so are a replayer, the far end of a worker's channel, and a test.
///
/// Dropping a [`Dispatch`] cancels the call: what it had reserved goes back.
pub trait Door: Send + Sync + 'static {
    /// Does a syscall that never waits: builds no future and allocates nothing of its own. `None` where the request
    /// [may wait](Request::may_wait); nothing has happened then.
    fn try_dispatch(&self, pid: Pid, request: &Request) -> Option<Reply>;

    /// Does any syscall.
    fn dispatch(&self, pid: Pid, request: Request) -> Dispatch<'_>;
}
