//! Places for instances: as many agents have one as the pool was made for, and whoever comes then stands in line.
//!
//! | a start is | from | until |
//! | --- | --- | --- |
//! | in line | too few places are free, or somebody stands before it | it is called, it goes away, or it has stood for too long |
//! | called | its places are free and nobody stands before it | it has its turn, or goes away |
//! | in its place | it has its turn | its store is gone |
//!
//! Principles:
//!
//! - First come, first served: nobody who came later has a place before, also where the first one needs several.
//! - What a component takes of the pool is counted in places when it is loaded. So whoever has a place finds room in the pool.
//! - Nobody looks whether a place is free: whoever gives one up calls the next, and whoever goes away leaves the line at once.
//! - A place that is free costs a short lock, and so does giving it up.

use parking_lot::Mutex;
use remit_abi::Fault;
use rustc_hash::FxHashMap;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

/// All places of a host, and the line before them.
#[derive(Debug)]
pub(crate) struct Places {
    all: u32,
    wait_max: Duration,
    line: Mutex<Line>,
    /// Starts in line. It changes under the lock.
    standing: AtomicUsize,
}

#[derive(Debug)]
struct Line {
    free: u32,
    /// By their numbers: whoever came first has the lowest.
    starts: BTreeMap<u64, Standing>,
    /// Who need not stand any longer, and has not had a turn since.
    called: FxHashMap<u64, Called>,
    next_number: u64,
    /// Who is told when somebody begins to stand.
    watcher: Option<Waker>,
}

#[derive(Debug)]
struct Standing {
    places: u32,
    since: Instant,
    waker: Waker,
}

#[derive(Clone, Copy, Debug)]
enum Called {
    /// Its places are its own.
    In,
    /// It has stood for too long.
    Away,
}

impl Line {
    /// Calls those whose places are free, from the first on; who is to be woken.
    fn call(&mut self) -> Vec<Waker> {
        let mut woken = Vec::new();
        while let Some(first) = self.starts.first_entry()
            && first.get().places <= self.free
        {
            let (number, Standing { places, waker, .. }) = first.remove_entry();
            self.free -= places;
            self.called.insert(number, Called::In);
            woken.push(waker);
        }
        woken
    }

    /// Calls those away who have stood since then or before; who is to be woken.
    fn call_away(&mut self, since: Instant) -> Vec<Waker> {
        let mut woken = Vec::new();
        while let Some(first) = self.starts.first_entry()
            && first.get().since <= since
        {
            let (number, Standing { waker, .. }) = first.remove_entry();
            self.called.insert(number, Called::Away);
            woken.push(waker);
        }
        woken.extend(self.call());
        woken
    }
}

impl Places {
    /// So many places, each of them free, for which nobody stands in line longer than that.
    pub(crate) fn new(all: u32, wait_max: Duration) -> Arc<Self> {
        let line =
            Line { free: all, starts: BTreeMap::new(), called: FxHashMap::default(), next_number: 0, watcher: None };
        Arc::new(Self { all, wait_max, line: Mutex::new(line), standing: AtomicUsize::new(0) })
    }

    /// A start that needs so many places; it stands in line from its first poll on. One that needs more than there are waits for all.
    pub(crate) fn ask(self: &Arc<Self>, places: u32) -> Ask {
        Ask { all: Arc::clone(self), places: places.clamp(1, self.all.max(1)), number: None }
    }

    /// Ends the waiting of those who have stood in line for too long. To be called once a tick.
    pub(crate) fn look_after(&self) {
        if self.standing.load(Ordering::Relaxed) > 0
            && let Some(since) = Instant::now().checked_sub(self.wait_max)
        {
            self.change(|line| line.call_away(since));
        }
    }

    /// Waits until somebody stands in line; how many do. For one at a time.
    pub(crate) fn poll_lacks(&self, context: &Context<'_>) -> Poll<usize> {
        let mut line = self.line.lock();
        if !line.starts.is_empty() {
            return Poll::Ready(line.starts.len());
        }
        let before = line.watcher.replace(context.waker().clone());
        drop(line);
        drop(before);
        Poll::Pending
    }

    /// Changes the line, and wakes those who are called by that.
    fn change(&self, change: impl FnOnce(&mut Line) -> Vec<Waker>) {
        let woken = {
            let mut line = self.line.lock();
            let woken = change(&mut line);
            self.standing.store(line.starts.len(), Ordering::Relaxed);
            woken
        };
        woken.into_iter().for_each(Waker::wake);
    }

    /// Gives places up.
    fn leave(&self, places: u32) {
        self.change(|line| {
            line.free += places;
            line.call()
        });
    }

    fn too_long(&self) -> Fault {
        let seconds = self.wait_max.as_secs();
        let why =
            format!("every place for an agent was taken for {seconds} s: end some, or raise the host's instances_max");
        Fault::Host(why.into())
    }
}

/// A start that asks for a place. Dropped, it stands in line no more.
#[derive(Debug)]
pub(crate) struct Ask {
    all: Arc<Places>,
    places: u32,
    /// In the line, where it stands or was called.
    number: Option<u64>,
}

impl Ask {
    /// Its place, where that is free.
    pub(crate) fn poll(&mut self, waker: &Waker) -> Poll<Result<Place, Fault>> {
        let mut line = self.all.line.lock();
        let Some(number) = self.number else {
            if line.starts.is_empty() && self.places <= line.free {
                line.free -= self.places;
                return Poll::Ready(Ok(self.place()));
            }
            let number = line.next_number;
            line.next_number += 1;
            line.starts.insert(number, Standing { places: self.places, since: Instant::now(), waker: waker.clone() });
            self.all.standing.store(line.starts.len(), Ordering::Relaxed);
            self.number = Some(number);
            let watcher = line.watcher.take();
            drop(line);
            watcher.into_iter().for_each(Waker::wake);
            return Poll::Pending;
        };
        if let Some(standing) = line.starts.get_mut(&number) {
            let before =
                (!standing.waker.will_wake(waker)).then(|| std::mem::replace(&mut standing.waker, waker.clone()));
            drop(line);
            drop(before);
            return Poll::Pending;
        }
        let called = line.called.remove(&number);
        drop(line);
        self.number = None;
        match called {
            Some(Called::In) => Poll::Ready(Ok(self.place())),
            Some(Called::Away) | None => Poll::Ready(Err(self.all.too_long())),
        }
    }

    /// Leaves the line, to come back at its end.
    pub(crate) fn go_away(&mut self) {
        let Some(number) = self.number.take() else { return };
        let mut stood = None;
        self.all.change(|line| {
            stood = line.starts.remove(&number);
            if let Some(Called::In) = line.called.remove(&number) {
                line.free += self.places;
            }
            line.call()
        });
        // Its waker goes outside of the lock.
        drop(stood);
    }

    fn place(&self) -> Place {
        Place { all: Arc::clone(&self.all), places: self.places }
    }
}

impl Drop for Ask {
    fn drop(&mut self) {
        self.go_away();
    }
}

/// A place of one instance, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    all: Arc<Places>,
    places: u32,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.all.leave(self.places);
    }
}
