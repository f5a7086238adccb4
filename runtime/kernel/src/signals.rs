//! Signals of one process: a set of bits, so that they need no queue and cannot flood one.

use remit_abi::Signal;
use std::sync::atomic::{AtomicU8, Ordering};
use tokio::sync::Notify;

/// In the order in which they are taken.
const ORDER: [Signal; 3] = [Signal::Cancel, Signal::BudgetLow, Signal::ChildFailed];

/// What a process was signalled and has not taken yet.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    pending: AtomicU8,
    raised: Notify,
}

const fn bit(signal: Signal) -> u8 {
    match signal {
        Signal::Cancel => 1,
        Signal::BudgetLow => 2,
        Signal::ChildFailed => 4,
    }
}

impl Signals {
    pub(crate) fn raise(&self, signal: Signal) {
        self.pending.fetch_or(bit(signal), Ordering::AcqRel);
        self.raised.notify_waiters();
    }

    /// All that are pending.
    pub(crate) fn bits(&self) -> u8 {
        self.pending.load(Ordering::Acquire)
    }

    /// Puts back what was pending before the host started anew.
    pub(crate) fn restore(&self, bits: u8) {
        self.pending.fetch_or(bits, Ordering::AcqRel);
    }

    /// The most urgent one, taken.
    pub(crate) fn take(&self) -> Option<Signal> {
        let taken = |signal: &Signal| self.pending.fetch_and(!bit(*signal), Ordering::AcqRel) & bit(*signal) != 0;
        ORDER.into_iter().find(taken)
    }

    pub(crate) fn is_raised(&self) -> bool {
        self.pending.load(Ordering::Acquire) != 0
    }

    /// Waits until one is raised.
    pub(crate) async fn ready(&self) {
        loop {
            let raised = self.raised.notified();
            if self.is_raised() {
                return;
            }
            raised.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_kept_once_however_often_it_was_raised() {
        let signals = Signals::default();
        for signal in [Signal::BudgetLow, Signal::Cancel, Signal::BudgetLow] {
            signals.raise(signal);
        }
        assert_eq!(
            [signals.take(), signals.take(), signals.take()],
            [Some(Signal::Cancel), Some(Signal::BudgetLow), None]
        );
    }
}
