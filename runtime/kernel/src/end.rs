//! The end of a process, for whoever waits for it: it is there also while the process itself is not in memory.

use crate::{life::Finished, ports::Position};
use parking_lot::Mutex;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tokio::sync::Notify;

#[derive(Debug, Default)]
enum Ending {
    #[default]
    Alive,
    Ended(Finished),
    Taken,
}

/// The end of one process.
#[derive(Debug, Default)]
pub(crate) struct End {
    ending: Mutex<Ending>,
    ended: AtomicBool,
    /// Where it is in the log.
    at: Mutex<Position>,
    changed: Notify,
}

impl End {
    /// Sets it, once; it is at this place of the log.
    pub(crate) fn set(&self, finished: Finished, at: Position) {
        *self.at.lock() = at;
        *self.ending.lock() = Ending::Ended(finished);
        self.ended.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }

    pub(crate) fn is_set(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Waits for it.
    pub(crate) async fn reached(&self) {
        loop {
            let changed = self.changed.notified();
            if self.is_set() {
                return;
            }
            changed.await;
        }
    }

    /// Where it is in the log.
    pub(crate) fn at(&self) -> Position {
        *self.at.lock()
    }

    /// What is left of the process, once; `None` while it lives and after that.
    pub(crate) fn take(&self) -> Option<Finished> {
        let mut ending = self.ending.lock();
        match std::mem::replace(&mut *ending, Ending::Taken) {
            Ending::Ended(finished) => Some(finished),
            Ending::Alive => {
                *ending = Ending::Alive;
                None
            }
            Ending::Taken => None,
        }
    }

    /// Puts back what could not be used.
    pub(crate) fn put_back(&self, finished: Finished) {
        *self.ending.lock() = Ending::Ended(finished);
    }

    /// Whether somebody besides the process waits for it.
    pub(crate) fn is_awaited(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > 1
    }
}
