//! Calls between processes: a message that is to be answered, and the place where its answer will be.
//!
//! The place is made with the call and shared by its two ends, so that an answer never waits for room and never meets a
//! full mailbox. It goes through these states:
//!
//! | state | from | until |
//! | --- | --- | --- |
//! | open | the call | answered, or its [`Answer`] is dropped |
//! | answered | the reply | the caller takes it |
//! | unanswered | the receiver ended or let go of it | for ever |
//! | timed out | the caller asked for the answer when its time was over | for ever |
//! | taken | the caller took the answer | for ever |

use crate::mailbox::Letter;
use parking_lot::Mutex;
use remit_abi::{MailboxError, Pid};
use std::sync::Arc;
use tokio::sync::Notify;

#[derive(Debug)]
enum State {
    Open,
    Answered(Box<Letter>),
    Unanswered,
    TimedOut,
    Taken,
}

/// One call, shared by both of its ends.
#[derive(Debug)]
pub(crate) struct PendingCall {
    /// Of all letters and calls of the node.
    pub(crate) number: u64,
    /// Who is to answer.
    pub(crate) receiver: Pid,
    /// On the node's monotonic clock.
    pub(crate) deadline_ns: u64,
    state: Mutex<State>,
    changed: Notify,
}

impl PendingCall {
    /// A call, and the right to answer it.
    pub(crate) fn new(number: u64, receiver: Pid, deadline_ns: u64) -> (Arc<Self>, Answer) {
        let call = Arc::new(Self::in_state(State::Open, number, receiver, deadline_ns));
        (call.clone(), Answer(call))
    }

    /// A call whose answer came before the host started anew.
    pub(crate) fn answered(number: u64, receiver: Pid, letter: Box<Letter>) -> Arc<Self> {
        Arc::new(Self::in_state(State::Answered(letter), number, receiver, 0))
    }

    /// A call that nobody will answer, or whose answer was taken.
    pub(crate) fn settled_before(number: u64, receiver: Pid, taken: bool) -> Arc<Self> {
        Arc::new(Self::in_state(if taken { State::Taken } else { State::Unanswered }, number, receiver, 0))
    }

    fn in_state(state: State, number: u64, receiver: Pid, deadline_ns: u64) -> Self {
        Self { number, receiver, deadline_ns, state: Mutex::new(state), changed: Notify::new() }
    }

    /// Whether nothing has come yet.
    pub(crate) fn is_open(&self) -> bool {
        matches!(*self.state.lock(), State::Open)
    }

    /// Waits until the call is no longer open.
    pub(crate) async fn settled(&self) {
        loop {
            let changed = self.changed.notified();
            if !self.is_open() {
                return;
            }
            changed.await;
        }
    }

    /// The answer, if `take` can use it: what `take` refuses stays. To be called when the call is settled, or its time is
    /// over: an answer that comes later is refused.
    pub(crate) fn take<T>(
        &self,
        take: impl FnOnce(Box<Letter>) -> Result<T, (Box<Letter>, MailboxError)>,
    ) -> Result<T, MailboxError> {
        let mut state = self.state.lock();
        match std::mem::replace(&mut *state, State::Taken) {
            State::Open | State::TimedOut => {
                *state = State::TimedOut;
                Err(MailboxError::TimedOut)
            }
            State::Unanswered => {
                *state = State::Unanswered;
                Err(MailboxError::Unanswered)
            }
            State::Taken => Err(MailboxError::Taken),
            State::Answered(letter) => take(letter).map_err(|(letter, error)| {
                *state = State::Answered(letter);
                error
            }),
        }
    }

    /// Ends it from the caller's side: an answer that came is handed out to be taken apart, one that comes is refused.
    pub(crate) fn forget(&self) -> Option<Letter> {
        match std::mem::replace(&mut *self.state.lock(), State::Taken) {
            State::Answered(letter) => Some(*letter),
            State::Open | State::Unanswered | State::TimedOut | State::Taken => None,
        }
    }
}

/// The right to answer a call once. Dropped, the call stays unanswered.
#[derive(Debug)]
pub(crate) struct Answer(Arc<PendingCall>);

impl Answer {
    /// The other end of a call that is settled already.
    pub(crate) fn to_nobody(settled: Arc<PendingCall>) -> Self {
        Self(settled)
    }

    /// Of the call.
    pub(crate) fn number(&self) -> u64 {
        self.0.number
    }

    /// Whether its caller still waits.
    pub(crate) fn is_wanted(&self) -> bool {
        self.0.is_open()
    }

    /// Answers. A caller that has gone gives the answer back.
    pub(crate) fn give(self, letter: Box<Letter>) -> Result<(), Box<Letter>> {
        let mut state = self.0.state.lock();
        if !matches!(*state, State::Open) {
            return Err(letter);
        }
        *state = State::Answered(letter);
        drop(state);
        self.0.changed.notify_waiters();
        Ok(())
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        if matches!(*state, State::Open) {
            *state = State::Unanswered;
            drop(state);
            self.0.changed.notify_waiters();
        }
    }
}
