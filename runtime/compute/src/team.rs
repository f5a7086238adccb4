//! Threads that go through the steps of a model together.
//!
//! A step has some hundred short parts, one after the other, of some microseconds each. Handing each of them to a pool that
//! wakes its threads would take as long as computing it. So a team's threads stay awake for [`AWAKE`] after a part, looking
//! for the next one, and a part begins and ends with some exchanged cache lines.
//!
//! - [`Team::each`] hands out numbers, in order, to whoever comes. A thread that is held up, or asleep, holds up nobody: it
//!   finds the part closed when it comes, and nobody waits for it.
//! - Which thread computes what never changes a result: a task writes only what is its own.
//! - A panic in a task is the caller's, after all other tasks have ended.
//!
//! The state of a part is one number: who is in it, whether it is open, and its own number, so that a late thread cannot
//! mistake one part for another.
//!
//! | bits | hold |
//! | --- | --- |
//! | 0 to 15 | threads in the part, the caller's aside |
//! | 16 | whether more may come |
//! | 17 to 63 | the part's number |

use crate::Isa;
use std::{
    any::Any,
    cell::UnsafeCell,
    io,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// For how long a thread looks for the next part before it sleeps. 200 µs: longer than what lies between two steps of a model,
/// which is the drawing of tokens; short beside a turn of anything else on the machine.
pub const AWAKE: Duration = Duration::from_micros(200);
/// Looks at the state before a thread lets others run between two looks: some microseconds.
const LOOKS: u32 = 400;
/// Threads of one team, at most: as many as the state can count, and more than any machine has.
pub const THREADS_MAX: usize = 1 << 12;

const OPEN: u64 = 1 << 16;
const COUNT: u64 = OPEN - 1;
const NEXT: u64 = OPEN << 1;

/// A task of a part, with its lifetime forgotten: see [`Team::each`].
type Task = *const (dyn Fn(usize) + Sync);

/// Threads that compute together.
pub struct Team {
    shared: Arc<Shared>,
    isa: Isa,
    workers: Vec<Worker>,
    /// One part at a time.
    turn: Mutex<()>,
}

struct Worker {
    /// `None` only while it is dropped.
    thread: Option<JoinHandle<()>>,
    asleep: Arc<AtomicBool>,
}

struct Shared {
    state: AtomicU64,
    part: UnsafeCell<Option<Task>>,
    tasks: AtomicUsize,
    next: AtomicUsize,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    closing: AtomicBool,
}

#[allow(unsafe_code, reason = "the part is handed over by hand")]
// SAFETY: `part` is written by the caller of `each` alone, while the state says that nobody is in a part and none is open; it is
// read by threads that entered an open part, whose opening came after the write.
unsafe impl Sync for Shared {}
#[allow(unsafe_code, reason = "the part is handed over by hand")]
// SAFETY: as above; the tasks that it points to are `Sync`.
unsafe impl Send for Shared {}

impl std::fmt::Debug for Team {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Team").field("threads", &self.threads()).field("isa", &self.isa).finish()
    }
}

impl Team {
    /// A team of so many threads, at least one: whoever calls [`each`](Self::each) is one of them.
    ///
    /// # Errors
    /// Where the operating system gives no more threads.
    pub fn new(threads: usize, isa: Isa) -> io::Result<Self> {
        // Dropping it ends those that were started already.
        let mut team = Self::alone(isa);
        for index in 1..threads.min(THREADS_MAX) {
            let asleep = Arc::new(AtomicBool::new(false));
            let (shared, own) = (team.shared.clone(), asleep.clone());
            let thread = thread::Builder::new().name(format!("compute-{index}")).spawn(move || shared.work(&own))?;
            team.workers.push(Worker { thread: Some(thread), asleep });
        }
        Ok(team)
    }

    /// A team of whoever calls it.
    #[must_use]
    pub fn alone(isa: Isa) -> Self {
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            part: UnsafeCell::new(None),
            tasks: AtomicUsize::new(0),
            next: AtomicUsize::new(0),
            panic: Mutex::new(None),
            closing: AtomicBool::new(false),
        });
        Self { shared, isa, workers: Vec::new(), turn: Mutex::new(()) }
    }

    /// How many threads it has.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// The instructions that its kernels use.
    #[must_use]
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Calls `task` once with each number below `tasks`, on all threads that come in time, and returns when all are done.
    ///
    /// # Panics
    /// With what a task panicked with. Never call it from a task.
    pub fn each(&self, tasks: usize, task: impl Fn(usize) + Sync) {
        if tasks <= 1 || self.workers.is_empty() {
            (0..tasks).for_each(task);
            return;
        }
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.open(tasks, &task);
        self.shared.take_part(&task);
        self.shared.close();
        drop(turn);
        let panic = self.shared.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    fn open<'a>(&self, tasks: usize, task: &'a (dyn Fn(usize) + Sync + 'a)) {
        let shared = &*self.shared;
        shared.tasks.store(tasks, Ordering::Relaxed);
        shared.next.store(0, Ordering::Relaxed);
        #[allow(unsafe_code, reason = "threads that outlive the task call it")]
        // SAFETY: the last part is closed and nobody is in it, so nobody reads. Only the lifetime changes: `each` returns
        // after `close`, from which on nobody has the reference.
        unsafe {
            let task: &'static (dyn Fn(usize) + Sync) = std::mem::transmute(task);
            *shared.part.get() = Some(task);
        }
        let before = shared.state.load(Ordering::Relaxed);
        shared.state.store((before | OPEN) + NEXT, Ordering::SeqCst);
        for worker in &self.workers {
            // Either it sees the part before it sleeps, or it is seen here.
            if worker.asleep.load(Ordering::SeqCst)
                && let Some(thread) = &worker.thread
            {
                thread.thread().unpark();
            }
        }
    }
}

impl Shared {
    /// Does tasks until none is left.
    fn take_part(&self, task: &(dyn Fn(usize) + Sync)) {
        let tasks = self.tasks.load(Ordering::Relaxed);
        let all = || {
            loop {
                let index = self.next.fetch_add(1, Ordering::Relaxed);
                if index >= tasks {
                    return;
                }
                task(index);
            }
        };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(all)) {
            // The others need not begin what is left.
            self.next.fetch_max(tasks, Ordering::Relaxed);
            *self.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
        }
    }

    /// Lets nobody in any more, and waits for those who are.
    fn close(&self) {
        self.state.fetch_and(!OPEN, Ordering::AcqRel);
        let mut looks = 0;
        while self.state.load(Ordering::Acquire) & COUNT != 0 {
            pause(&mut looks);
        }
    }

    /// A thread's life.
    fn work(&self, asleep: &AtomicBool) {
        let mut last = 0;
        loop {
            let Some(state) = self.next_part(last, asleep) else { return };
            last = state & !(COUNT | OPEN);
            if self.state.compare_exchange(state, state + 1, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                // Others came or it was closed: look again at the same part.
                last -= NEXT;
                continue;
            }
            #[allow(unsafe_code, reason = "the task's lifetime was forgotten")]
            // SAFETY: it was open when this thread was counted, so the caller of `each` waits for this thread, and has the task
            // that it wrote before.
            let task = unsafe { &*self.part.get() }.map(|task| unsafe { &*task });
            if let Some(task) = task {
                self.take_part(task);
            }
            self.state.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// The state, when there is an open part that is not `last`; none when the team is dropped.
    fn next_part(&self, last: u64, asleep: &AtomicBool) -> Option<u64> {
        let mut looks = 0;
        let mut since = None;
        loop {
            let state = self.state.load(Ordering::SeqCst);
            if state & OPEN != 0 && state & !(COUNT | OPEN) != last {
                return Some(state);
            }
            if self.closing.load(Ordering::Acquire) {
                return None;
            }
            pause(&mut looks);
            if looks.is_multiple_of(LOOKS) && since.get_or_insert_with(Instant::now).elapsed() > AWAKE {
                asleep.store(true, Ordering::SeqCst);
                let state = self.state.load(Ordering::SeqCst);
                let is_idle = state & OPEN == 0 || state & !(COUNT | OPEN) == last;
                if is_idle && !self.closing.load(Ordering::SeqCst) {
                    thread::park();
                    since = None;
                }
                asleep.store(false, Ordering::SeqCst);
            }
        }
    }
}

/// Waits for a moment, and lets others run after many of them.
fn pause(looks: &mut u32) {
    *looks = looks.wrapping_add(1);
    if looks.is_multiple_of(LOOKS) { thread::yield_now() } else { std::hint::spin_loop() }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        for worker in &mut self.workers {
            let Some(thread) = worker.thread.take() else { continue };
            thread.thread().unpark();
            // It catches what its tasks panic with.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_task_is_done_once() {
        for threads in [1, 2, 3, 8] {
            let team = Team::new(threads, Isa::Plain).unwrap();
            assert_eq!(team.threads(), threads);
            for tasks in [0, 1, 2, 7, 100, 1000] {
                let done: Vec<_> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                for turn in 1..=20 {
                    team.each(tasks, |index| {
                        done[index].fetch_add(1, Ordering::Relaxed);
                    });
                    assert!(done.iter().all(|done| done.load(Ordering::Relaxed) == turn));
                }
            }
        }
    }

    #[test]
    fn threads_that_sleep_come_back() {
        let team = Team::new(3, Isa::Plain).unwrap();
        let all_asleep = || team.workers.iter().all(|worker| worker.asleep.load(Ordering::SeqCst));
        for _ in 0..3 {
            while !all_asleep() {
                thread::yield_now();
            }
            // Each task waits for the others: they are on three threads.
            let met = std::sync::Barrier::new(3);
            team.each(3, |_| _ = met.wait());
        }
    }

    #[test]
    fn a_panic_is_the_callers_and_the_team_goes_on() {
        let team = Team::new(4, Isa::Plain).unwrap();
        for _ in 0..50 {
            let panic = catch_unwind(AssertUnwindSafe(|| team.each(64, |index| assert!(index != 7, "task {index}"))));
            let text = panic.unwrap_err();
            assert_eq!(text.downcast_ref::<String>().map(String::as_str), Some("task 7"));
            let sum = AtomicUsize::new(0);
            let add = |index| sum.fetch_add(index, Ordering::Relaxed);
            team.each(10, |index| _ = add(index));
            assert_eq!(sum.into_inner(), 45);
        }
    }

    #[test]
    fn several_callers_take_turns() {
        let team = Team::new(2, Isa::Plain).unwrap();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let sum = AtomicUsize::new(0);
                        let add = |index| sum.fetch_add(index, Ordering::Relaxed);
                        team.each(9, |index| _ = add(index));
                        assert_eq!(sum.into_inner(), 36);
                    }
                });
            }
        });
    }
}
