//! Our own guest executor: a few threads that poll guests out of a run queue.
//!
//! The queue's policy decides who runs next; the executor owns its lock, the sleeping and the waking. No I/O is done here:
//! what a guest waits for wakes it from elsewhere.
//!
//! To wake a thread costs more than all else that happens here together: 5 µs for who wakes, 20 to 50 µs until the other
//! runs, against 1 µs for a turn's way through the queue and some 25 µs for the whole life of a small guest. So:
//!
//! - A guest that becomes ready in another's turn is taken up by the same thread when that turn is over, if it is the only
//!   one that waits. Where the turn goes on for longer than a tick, another thread is woken after all.
//! - Whoever takes a guest out of a queue that holds more wakes the next thread. Nobody wakes two.
//! - A thread that finds nothing after a turn looks on for a moment before it sleeps, one at a time; when that was in
//!   vain, the next ones sleep at once. An idle executor does nothing.

use crate::HostError;
use parking_lot::{Condvar, Mutex, MutexGuard};
use remit_abi::{Pid, Priority};
use std::{
    any::Any,
    cell::Cell,
    collections::VecDeque,
    fmt,
    future::Future,
    hint,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
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

/// How long an idle thread looks for work before it sleeps, once after a turn: twice a wake-up, the one of whoever waited for
/// the turn's end, and its own, which is saved.
const SPIN: Duration = Duration::from_micros(100);

/// Turns after which nobody looks, when the last look was in vain: looking then costs under a tenth of a processor, also on
/// a machine that is too busy for it to be of use.
const TURNS_WITHOUT_SPIN: usize = 15;

thread_local! {
    /// Whose guest has its turn on this thread: the address of that executor's [`Shared`], or 0.
    static ON_TURN: Cell<usize> = const { Cell::new(0) };
}

struct Turns {
    queue: Box<dyn RunQueue>,
    open: bool,
}

struct Shared {
    turns: Mutex<Turns>,
    ready: Condvar,
    /// Guests in the queue. It changes under the lock.
    queued: AtomicUsize,
    /// Threads that sleep. It changes under the lock.
    sleeping: AtomicUsize,
    /// Whether a thread looks for work: one at a time.
    spinning: AtomicBool,
    /// Turns after which nobody is to look.
    without_spin: AtomicUsize,
}

impl Shared {
    fn new(queue: Box<dyn RunQueue>) -> Self {
        Self {
            turns: Mutex::new(Turns { queue, open: true }),
            ready: Condvar::new(),
            queued: AtomicUsize::new(0),
            sleeping: AtomicUsize::new(0),
            spinning: AtomicBool::new(false),
            without_spin: AtomicUsize::new(0),
        }
    }

    fn push(&self, runnable: Runnable) {
        let mut turns = self.turns.lock();
        turns.queue.push(runnable);
        let queued = self.queued.fetch_add(1, Ordering::SeqCst) + 1;
        // This thread looks into the queue itself when the turn that it is in is over.
        let comes_by = queued == 1 && ON_TURN.get() == self.address();
        let wakes = !comes_by && self.lacks_threads();
        drop(turns);
        if wakes {
            self.ready.notify_one();
        }
    }

    /// The next turn, after the one that is over; `None` when there is none any more.
    fn pop(&self, over: Option<(Pid, Duration)>) -> Option<Runnable> {
        let mut may_spin = over.is_some();
        let mut turns = self.turns.lock();
        if let Some((pid, turn)) = over {
            turns.queue.ran(pid, turn);
        }
        loop {
            if let Some(runnable) = turns.queue.pop() {
                let others = self.queued.fetch_sub(1, Ordering::SeqCst) - 1;
                let wakes = others > 0 && self.lacks_threads();
                drop(turns);
                if wakes {
                    self.ready.notify_one();
                }
                return Some(runnable);
            }
            if !turns.open {
                return None;
            }
            if std::mem::take(&mut may_spin) && self.begins_to_spin() {
                MutexGuard::unlocked(&mut turns, || self.spin());
                continue;
            }
            self.sleeping.fetch_add(1, Ordering::SeqCst);
            self.ready.wait(&mut turns);
            self.sleeping.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Whether this thread is to look for work. Called under the lock.
    fn begins_to_spin(&self) -> bool {
        let skip = |left: usize| left.checked_sub(1);
        self.without_spin.fetch_update(Ordering::SeqCst, Ordering::SeqCst, skip).is_err()
            && !self.spinning.swap(true, Ordering::SeqCst)
    }

    /// Looks for work without the lock. Who stops looking takes the lock and looks once more: so whoever puts work in and
    /// sees somebody looking need not wake anybody.
    fn spin(&self) {
        let began = Instant::now();
        while self.queued.load(Ordering::SeqCst) == 0 {
            if began.elapsed() >= SPIN {
                self.without_spin.store(TURNS_WITHOUT_SPIN, Ordering::SeqCst);
                break;
            }
            hint::spin_loop();
        }
        self.spinning.store(false, Ordering::SeqCst);
    }

    /// Whether work that is there is seen by nobody unless somebody is woken.
    fn lacks_threads(&self) -> bool {
        self.sleeping.load(Ordering::SeqCst) > 0 && !self.spinning.load(Ordering::SeqCst)
    }

    /// Wakes a thread for what was left to one whose turn then went on.
    fn look_after(&self) {
        if self.queued.load(Ordering::SeqCst) > 0 && self.lacks_threads() {
            self.ready.notify_one();
        }
    }

    fn address(&self) -> usize {
        ptr::from_ref(self).addr()
    }

    fn run(&self) {
        let mut over = None;
        while let Some(Runnable(runnable)) = self.pop(over) {
            let pid = runnable.metadata().pid;
            let began = Instant::now();
            ON_TURN.set(self.address());
            // A guest's own future catches its panics; what is left is a panic in a destructor.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| runnable.run())) {
                tracing::error!(%pid, panic = panic_text(&*panic), "a guest's clean-up panicked");
            }
            ON_TURN.set(0);
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
        let mut executor = Self { shared: Arc::new(Shared::new(queue)), threads: Vec::with_capacity(threads) };
        for index in 0..threads.max(1) {
            let shared = Arc::clone(&executor.shared);
            let thread = thread::Builder::new().name(format!("remit-guest-{index}")).spawn(move || shared.run());
            executor.threads.push(thread.map_err(HostError::Thread)?);
        }
        Ok(executor)
    }

    /// What is to be called once a tick, so that no guest waits longer than that while a thread sleeps.
    pub(crate) fn caretaker(&self) -> impl Fn() + Send + use<> {
        let shared = Arc::clone(&self.shared);
        move || shared.look_after()
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
    use std::{future::poll_fn, sync::mpsc, task::Poll};

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
    fn what_a_long_turn_has_woken_is_taken_up_by_another_thread() {
        let executor = Executor::start(2, Box::<FifoQueue>::default()).expect("two threads");
        let (sleeps, asleep) = mpsc::channel();
        let (done, heard) = mpsc::channel();
        let mut polled = false;
        let sleeper = poll_fn(move |context| {
            if std::mem::replace(&mut polled, true) {
                done.send(()).expect("the other waits");
                return Poll::Ready(());
            }
            sleeps.send(context.waker().clone()).expect("the test listens");
            Poll::Pending
        });
        executor.spawn(turn(0), sleeper).detach();
        let waker = asleep.recv().expect("it goes to sleep");
        let (over, ends) = mpsc::channel();
        let waits_in_its_turn = async move {
            waker.wake();
            over.send(heard.recv()).expect("the test listens");
        };
        executor.spawn(turn(1), waits_in_its_turn).detach();
        let tick = executor.caretaker();
        let end = loop {
            match ends.recv_timeout(Duration::from_millis(1)) {
                Err(mpsc::RecvTimeoutError::Timeout) => tick(),
                end => break end,
            }
        };
        assert_eq!(end, Ok(Ok(())));
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
