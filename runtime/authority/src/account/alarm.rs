//! A soft limit: a balance that somebody wants to be told of.
//!
//! | state | the balance is lower | the balance is as high | it was told |
//! | --- | --- | --- | --- |
//! | armed | pending | armed | – |
//! | pending | pending | pending | rung, or armed where it is as high again |
//! | rung | rung | armed | – |

use remit_abi::Tokens;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Armed,
    Pending,
    Rung,
}

/// The default never rings.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Alarm {
    threshold: Tokens,
    state: State,
}

impl Alarm {
    pub(super) const fn below(threshold: Tokens) -> Self {
        Self { threshold, state: State::Armed }
    }

    /// Whether it can ever ring.
    pub(super) fn is_set(self) -> bool {
        self.threshold > Tokens::ZERO
    }

    pub(super) fn is_pending(self) -> bool {
        self.state == State::Pending
    }

    /// Follows the balance; whether somebody is to be told now.
    pub(super) fn rings(&mut self, balance: Tokens) -> bool {
        let is_low = balance < self.threshold;
        match self.state {
            State::Armed if is_low => self.state = State::Pending,
            State::Rung if !is_low => self.state = State::Armed,
            _ => return false,
        }
        is_low
    }

    /// Somebody was told.
    pub(super) fn take(&mut self, balance: Tokens) {
        if self.state == State::Pending {
            self.state = if balance < self.threshold { State::Rung } else { State::Armed };
        }
    }
}
