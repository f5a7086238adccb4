//! Whether a process that ended is started again, and when. Pure: the caller sleeps.
//!
//! | it ended | never | on failure | always |
//! | --- | --- | --- | --- |
//! | with its work done | end | end | again |
//! | with a failure that may pass, a crash, a limit, a fault of the runtime | end | again | again |
//! | with a failure that will not pass | end | end | end |
//! | with its account empty, or killed | end | end | end |
//!
//! Pauses between runs double, from [`limits::RESTART_PAUSE_NS_MIN`] to [`limits::RESTART_PAUSE_NS_MAX`], and begin anew after
//! a run that lasted longer than a storm. More than the policy's restarts within its time are a storm: the process has failed
//! for good.

use remit_abi::{Exit, Fault, Restart, limits};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// When and how often a process is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartPolicy {
    /// After which ends.
    pub restart: Restart,
    /// Before the first restart, in nanoseconds.
    pub pause_ns_min: u64,
    /// Before any, in nanoseconds.
    pub pause_ns_max: u64,
    /// At most so many restarts
    pub restarts_max: u32,
    /// within so many nanoseconds.
    pub storm_ns: u64,
}

impl Default for RestartPolicy {
    /// Never; the numbers are those of `limits`.
    fn default() -> Self {
        Self::of(Restart::Never)
    }
}

impl RestartPolicy {
    /// The usual numbers.
    #[must_use]
    pub const fn of(restart: Restart) -> Self {
        Self {
            restart,
            pause_ns_min: limits::RESTART_PAUSE_NS_MIN,
            pause_ns_max: limits::RESTART_PAUSE_NS_MAX,
            restarts_max: limits::RESTARTS_MAX,
            storm_ns: limits::RESTART_STORM_NS,
        }
    }
}

/// What becomes of a process after a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing more.
    End,
    /// It is started again after a pause.
    Again { pause_ns: u64 },
}

/// The restarts of one process.
#[derive(Debug)]
pub(crate) struct Supervisor {
    policy: RestartPolicy,
    /// Moments of the restarts that still count towards a storm.
    recent: VecDeque<u64>,
    pause_ns: u64,
    pub(crate) restarts: u32,
}

impl Supervisor {
    pub(crate) fn new(policy: RestartPolicy) -> Self {
        Self { policy, recent: VecDeque::new(), pause_ns: policy.pause_ns_min, restarts: 0 }
    }

    /// After a run that ended at `now_ns` and had begun at `began_ns`.
    pub(crate) fn after(&mut self, exit: &Exit, began_ns: u64, now_ns: u64) -> Verdict {
        if !self.wants_another(exit) {
            return Verdict::End;
        }
        let storm_ns = self.policy.storm_ns;
        while self.recent.front().is_some_and(|moment| now_ns.saturating_sub(*moment) >= storm_ns) {
            self.recent.pop_front();
        }
        if self.recent.len() as u64 >= u64::from(self.policy.restarts_max) {
            return Verdict::End;
        }
        if now_ns.saturating_sub(began_ns) >= storm_ns {
            self.pause_ns = self.policy.pause_ns_min;
        }
        let pause_ns = self.pause_ns.min(self.policy.pause_ns_max);
        self.pause_ns = pause_ns.saturating_mul(2);
        self.recent.push_back(now_ns);
        self.restarts = self.restarts.saturating_add(1);
        Verdict::Again { pause_ns }
    }

    /// Whether no restart counts towards a storm any more.
    pub(crate) fn is_calm(&self, now_ns: u64) -> bool {
        self.recent.back().is_none_or(|moment| now_ns.saturating_sub(*moment) >= self.policy.storm_ns)
    }

    fn wants_another(&self, exit: &Exit) -> bool {
        match (self.policy.restart, &exit.end) {
            (Restart::Never, _) => false,
            (Restart::OnFailure, Ok(Ok(_))) => false,
            (Restart::Always, Ok(Ok(_))) => true,
            (_, Ok(Err(failure))) => failure.retryable,
            (_, Err(fault)) => match fault {
                Fault::Trap(_) | Fault::Protocol(_) | Fault::Limit(_) | Fault::Host(_) => true,
                Fault::BudgetExhausted(_) | Fault::Killed | Fault::Dead | Fault::Diverged(_) => false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use remit_abi::{Failure, Outcome, Shortfall, Status, Tokens};

    fn exit(end: Result<Result<Outcome, Failure>, Fault>) -> Exit {
        Exit { end, fuel: None }
    }

    fn crash() -> Exit {
        exit(Err(Fault::Trap("unreachable".into())))
    }

    fn failure(retryable: bool) -> Exit {
        exit(Ok(Err(Failure { message: "no".into(), retryable })))
    }

    #[test]
    fn the_table_of_the_module_holds() {
        let done = exit(Ok(Ok(Outcome { status: Status::Complete, output: None })));
        let broke = exit(Err(Fault::BudgetExhausted(Shortfall { needed: Tokens::ZERO, remaining: Tokens::ZERO })));
        let cases = [
            (done, [false, false, true]),
            (failure(true), [false, true, true]),
            (crash(), [false, true, true]),
            (failure(false), [false, false, false]),
            (broke, [false, false, false]),
            (exit(Err(Fault::Killed)), [false, false, false]),
        ];
        for (exit, expected) in cases {
            for (restart, again) in [Restart::Never, Restart::OnFailure, Restart::Always].into_iter().zip(expected) {
                let verdict = Supervisor::new(RestartPolicy::of(restart)).after(&exit, 0, 1);
                assert_eq!(verdict != Verdict::End, again, "{restart:?} {exit:?}");
            }
        }
    }

    #[test]
    fn pauses_double_and_a_storm_ends() {
        let mut supervisor = Supervisor::new(RestartPolicy::of(Restart::OnFailure));
        let pauses = std::iter::from_fn(|| match supervisor.after(&crash(), 0, 1) {
            Verdict::Again { pause_ns } => Some(pause_ns / 1_000_000),
            Verdict::End => None,
        });
        assert_eq!(pauses.collect::<Vec<_>>(), [100, 200, 400, 800, 1600]);
        assert_eq!(supervisor.restarts, 5);
    }

    proptest! {
        #[test]
        fn never_more_than_the_limit_within_a_storms_time(gaps in prop::collection::vec(0..40_000_000_000_u64, 0..60)) {
            let mut supervisor = Supervisor::new(RestartPolicy::of(Restart::Always));
            let (mut now, mut starts) = (0_u64, Vec::new());
            for gap in gaps {
                let began = now;
                now += gap;
                match supervisor.after(&crash(), began, now) {
                    Verdict::Again { pause_ns } => {
                        prop_assert!(pause_ns <= limits::RESTART_PAUSE_NS_MAX);
                        starts.push(now);
                    }
                    Verdict::End => break,
                }
            }
            for (index, start) in starts.iter().enumerate() {
                let within = starts[..=index].iter().filter(|earlier| start - **earlier < limits::RESTART_STORM_NS);
                prop_assert!(within.count() <= limits::RESTARTS_MAX as usize);
            }
        }
    }
}
