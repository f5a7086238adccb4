//! Circuit breakers: a model that fails again and again is left alone for a while (Nygard, "Release It!", 2007, chapter 5).
//!
//! | state | what happens | next |
//! | --- | --- | --- |
//! | closed | so many failures within the window | open |
//! | open | the pause is over and a request comes, which is the probe | half-open |
//! | half-open | the probe succeeds | closed, with nothing counted |
//! | half-open | the probe fails | open for another pause |
//! | half-open | the probe is given up, or says nothing for a pause | the next request is the probe |
//!
//! Pure: time is handed in, in nanoseconds since some moment, and never falls.
//!
//! Principles:
//!
//! - A process alone cannot close a model to others with requests that fail by themselves: such a failure counts once for each
//!   process within the window. An engine that has stopped counts each time.
//! - A probe whose reader is slow holds nobody up for longer than a pause.
//! - What was begun before the breaker opened says nothing about the model now, and is not counted.

use remit_abi::Pid;
use serde::Serialize;
use std::collections::VecDeque;

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BreakerRules {
    /// So many failures open it; at least 1.
    pub failures: u32,
    /// Within so long.
    pub window_ns: u64,
    /// For so long, each time.
    pub pause_ns: u64,
}

impl Default for BreakerRules {
    /// Five failures within 30 s, in which somebody would have noticed; a pause of 10 s, in which an engine is opened again.
    fn default() -> Self {
        Self { failures: 5, window_ns: 30_000_000_000, pause_ns: 10_000_000_000 }
    }
}

/// A request that was let through, and what it is to the breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// One of many.
    Usual {
        /// How often the breaker had closed before.
        era: u64,
    },
    /// The one that finds out whether the model is well again.
    Probe {
        /// Which one, so that a late word of an earlier one is not heard.
        number: u64,
    },
}

/// Whose fault a failure may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The engine's alone.
    Engine,
    /// The request's of this process, as well.
    Request(Pid),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open { until_ns: u64 },
    HalfOpen { probe: u64, since_ns: u64 },
}

/// What an operator sees of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BreakerState {
    /// Requests go through.
    Closed,
    /// None does.
    Open,
    /// One does, to find out.
    HalfOpen,
}

/// The breaker of one model.
#[derive(Clone, Debug)]
pub struct Breaker {
    rules: BreakerRules,
    state: State,
    /// Failures within the window, the oldest first; fewer than [`BreakerRules::failures`].
    recent: VecDeque<(u64, Cause)>,
    probes: u64,
    era: u64,
}

impl Breaker {
    /// Closed, with nothing counted.
    #[must_use]
    pub const fn new(rules: BreakerRules) -> Self {
        Self { rules, state: State::Closed, recent: VecDeque::new(), probes: 0, era: 0 }
    }

    /// Other rules from now on; what was counted stays.
    pub const fn set_rules(&mut self, rules: BreakerRules) {
        self.rules = rules;
    }

    /// For how long it still lets nothing through; `None` where [`Breaker::admit`] would let one.
    #[must_use]
    pub const fn rests_ns(&self, now_ns: u64) -> Option<u64> {
        let until_ns = match self.state {
            State::Closed => return None,
            State::Open { until_ns } => until_ns,
            State::HalfOpen { since_ns, .. } => since_ns.saturating_add(self.rules.pause_ns),
        };
        match until_ns.saturating_sub(now_ns) {
            0 => None,
            rest => Some(rest),
        }
    }

    /// Lets a request through, or not.
    pub fn admit(&mut self, now_ns: u64) -> Option<Admission> {
        if self.rests_ns(now_ns).is_some() {
            return None;
        }
        if self.state == State::Closed {
            return Some(Admission::Usual { era: self.era });
        }
        self.probes += 1;
        self.state = State::HalfOpen { probe: self.probes, since_ns: now_ns };
        Some(Admission::Probe { number: self.probes })
    }

    /// A request that was let through was answered.
    pub fn succeeded(&mut self, admission: Admission) {
        if self.is_probe(admission) {
            self.close();
        }
    }

    /// A request that was let through failed.
    pub fn failed(&mut self, admission: Admission, cause: Cause, now_ns: u64) {
        match admission {
            Admission::Probe { .. } if self.is_probe(admission) => self.open(now_ns),
            Admission::Usual { era } if self.state == State::Closed && era == self.era => self.count(cause, now_ns),
            Admission::Probe { .. } | Admission::Usual { .. } => {}
        }
    }

    /// A request that was let through was given up before it came to anything.
    pub fn given_up(&mut self, admission: Admission, now_ns: u64) {
        if self.is_probe(admission) {
            self.state = State::Open { until_ns: now_ns };
        }
    }

    /// What an operator sees.
    #[must_use]
    pub const fn state(&self) -> BreakerState {
        match self.state {
            State::Closed => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    fn is_probe(&self, admission: Admission) -> bool {
        match (self.state, admission) {
            (State::HalfOpen { probe, .. }, Admission::Probe { number }) => probe == number,
            _ => false,
        }
    }

    fn count(&mut self, cause: Cause, now_ns: u64) {
        let is_recent = |(at_ns, _): &(u64, Cause)| now_ns.saturating_sub(*at_ns) < self.rules.window_ns;
        self.recent.retain(is_recent);
        if cause != Cause::Engine {
            self.recent.retain(|(_, earlier)| *earlier != cause);
        }
        self.recent.push_back((now_ns, cause));
        if self.recent.len() >= self.rules.failures as usize {
            self.open(now_ns);
        }
    }

    fn open(&mut self, now_ns: u64) {
        self.recent.clear();
        self.state = State::Open { until_ns: now_ns.saturating_add(self.rules.pause_ns) };
    }

    fn close(&mut self) {
        self.recent.clear();
        self.era += 1;
        self.state = State::Closed;
    }
}

#[cfg(test)]
mod tests;
