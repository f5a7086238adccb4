//! Our own guest executor: a few threads that poll guests out of a run queue.
//!
//! The queue's policy decides who runs next; the executor owns its lock, the sleeping and the waking. No I/O is done here:
//! what a guest waits for wakes it from elsewhere.

use crate::HostError;
use parking_lot::{Condvar, Mutex};
use remit_abi::{Pid, Priority};
use std::{
    any::Any,
    collections::VecDeque,
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// What a run queue is told of a guest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) pid: Pid,
    pub(crate) priority: Priority,
}

/// A guest that can go on. Running it is the executor's; a queue only holds it.
#[derive(Debug)]
pub struct Runnable(async_task::Runnable<Turn>);

impl Runnable {
    /// Whose turn it is.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.0.metadata().pid
    }

    /// How urgent it was said to be.
    #[must_use]
    pub fn priority(&self) -> Priority {
        self.0.metadata().priority
    }
}

/// Who runs next: a policy, called under the executor's lock. It never drops a [`Runnable`]: that would end a guest.
///
/// Each guest is in at most one place: in the queue, or popped and on its turn. After each [`RunQueue::pop`] there is one
/// [`RunQueue::ran`] of the same guest. Its next [`RunQueue::push`] may come just before that: what wakes a guest does not
/// wait for its turn to be counted.
pub trait RunQueue: Send + 'static {
    /// A guest can go on.
    fn push(&mut self, runnable: Runnable);

    /// The one that goes on now.
    fn pop(&mut self) -> Option<Runnable>;

    /// A guest's turn is over, and took so long.
    fn ran(&mut self, pid: Pid, turn: Duration);
}

/// First come, first served.
#[derive(Debug, Default)]
pub struct FifoQueue(VecDeque<Runnable>);

impl RunQueue for FifoQueue {
    fn push(&mut self, runnable: Runnable) {
        self.0.push_back(runnable);
    }

    fn pop(&mut self) -> Option<Runnable> {
        self.0.pop_front()
    }

    fn ran(&mut self, _: Pid, _: Duration) {}
}

/// A guest on its way: dropping it stops the guest, `None` means that the executor has shut down.
pub(crate) type Task<T> = async_task::FallibleTask<T, Turn>;

struct Turns {
    queue: Box<dyn RunQueue>,
    sleeping: usize,
    open: bool,
}

struct Shared {
    turns: Mutex<Turns>,
    ready: Condvar,
}

impl Shared {
    fn push(&self, runnable: Runnable) {
        let mut turns = self.turns.lock();
        turns.queue.push(runnable);
        if turns.sleeping > 0 {
            drop(turns);
            self.ready.notify_one();
        }
    }

    /// The next turn, after the one that is over; `None` when there is none any more.
    fn pop(&self, over: Option<(Pid, Duration)>) -> Option<Runnable> {
        let mut turns = self.turns.lock();
        if let Some((pid, turn)) = over {
            turns.queue.ran(pid, turn);
        }
        loop {
            if let Some(runnable) = turns.queue.pop() {
                return Some(runnable);
            }
            if !turns.open {
                return None;
            }
            turns.sleeping += 1;
            self.ready.wait(&mut turns);
            turns.sleeping -= 1;
        }
    }

    fn run(&self) {
        let mut over = None;
        while let Some(Runnable(runnable)) = self.pop(over) {
            let pid = runnable.metadata().pid;
            let began = Instant::now();
            // A guest's own future catches its panics; what is left is a panic in a destructor.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| runnable.run())) {
                tracing::error!(%pid, panic = panic_text(&*panic), "a guest's clean-up panicked");
            }
            over = Some((pid, began.elapsed()));
        }
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without a text")
}

/// The threads.
pub(crate) struct Executor {
    shared: Arc<Shared>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}

impl Executor {
    pub(crate) fn start(threads: usize, queue: Box<dyn RunQueue>) -> Result<Self, HostError> {
        let turns = Mutex::new(Turns { queue, sleeping: 0, open: true });
        let shared = Arc::new(Shared { turns, ready: Condvar::new() });
        let mut executor = Self { shared, threads: Vec::with_capacity(threads) };
        for index in 0..threads.max(1) {
            let shared = Arc::clone(&executor.shared);
            let thread = thread::Builder::new().name(format!("remit-guest-{index}")).spawn(move || shared.run());
            executor.threads.push(thread.map_err(HostError::Thread)?);
        }
        Ok(executor)
    }

    /// Starts a guest.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        turn: Turn,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Task<T> {
        let shared = Arc::clone(&self.shared);
        let schedule = move |runnable| shared.push(Runnable(runnable));
        let (runnable, task) = async_task::Builder::new().metadata(turn).spawn(|_| future, schedule);
        runnable.schedule();
        task.fallible()
    }
}

impl Drop for Executor {
    /// Gives every guest that can go on its last turns, joins the threads, and drops what came too late.
    fn drop(&mut self) {
        self.shared.turns.lock().open = false;
        self.shared.ready.notify_all();
        let current = thread::current().id();
        for thread in self.threads.drain(..) {
            // The last owner of a host may be a guest's own future, on one of these threads.
            if thread.thread().id() != current {
                let _ = thread.join();
            }
        }
        loop {
            let late = self.shared.turns.lock().queue.pop();
            if late.is_none() {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use remit_abi::TenantId;
    use std::sync::mpsc;

    fn turn(index: u32) -> Turn {
        Turn { pid: Pid { tenant: TenantId(1), index, generation: 0 }, priority: Priority::Normal }
    }

    #[test]
    fn tasks_run_in_the_queues_order_and_threads_are_joined() {
        let executor = Executor::start(1, Box::<FifoQueue>::default()).expect("one thread");
        let (done, order) = mpsc::channel();
        for index in 0..3 {
            let done = done.clone();
            executor.spawn(turn(index), async move { done.send(index).expect("the test listens") }).detach();
        }
        drop(executor);
        drop(done);
        assert_eq!(order.into_iter().collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn a_panic_does_not_take_the_thread_along() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("in a destructor");
            }
        }
        let executor = Executor::start(1, Box::<FifoQueue>::default()).expect("one thread");
        let bomb = Bomb;
        executor.spawn(turn(0), async move { drop(bomb) }).detach();
        let (done, heard) = mpsc::channel();
        executor.spawn(turn(1), async move { done.send(()).expect("the test listens") }).detach();
        heard.recv().expect("the thread goes on");
    }
}
