//! Who goes first, and who gives way.
//!
//! A policy ranks tasks: sequences that wait, and sequences that run. It is told what each had. The batcher asks for ranks anew in
//! each step, and uses them in one way whatever the policy is:
//!
//! | what is short | who gets it |
//! | --- | --- |
//! | rows and time of a step | running tasks by rank |
//! | places among those that run | waiting tasks by rank; and one for which another has to give way, by [`Policy::preempts`] |
//! | blocks | running tasks by rank: the last one gives way |
//! | a step without long prompts | who decodes, but for those who bear them, by [`Policy::bears`] |
//!
//! Whatever the policy says, the oldest sequence does not give way, and goes first once it has had nothing for
//! [`Config::patience`](crate::Config::patience). So no policy can starve anybody for ever.
//!
//! | policy | goes by | promises |
//! | --- | --- | --- |
//! | [`Fair`] | tenants' shares, then classes, programs and deadlines | see there |
//! | [`RoundRobin`] | whose last turn is longest ago | a turn in each round |
//! | [`Fifo`] | arrival | nothing but the order; for comparison |

mod fair;
mod in_turn;

pub use fair::{AGING, ATTAINED_MAX, Fair, LAG_MAX, PROGRAMS_MAX};
pub use in_turn::{Fifo, RoundRobin};

use crate::SequenceId;
use std::time::Duration;

/// How urgent a sequence is, against others of its tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Somebody looks at it.
    Interactive,
    /// An agent waits for it.
    #[default]
    Normal,
    /// Whenever there is time.
    Batch,
}

/// A policy's own number for a task, from its arrival until it leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Account(pub u32);

/// A sequence, as policies know it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Task {
    /// Which it is; rising in the order of arrival.
    pub id: SequenceId,
    /// Whose it is.
    pub tenant: u64,
    /// Of which program of the tenant: an agent, with all of its calls.
    pub program: u64,
    /// How urgent it is.
    pub class: Class,
    /// The tenant's share against others' weights; at least 1.
    pub weight: u32,
    /// When it should have ended.
    pub deadline: Option<Duration>,
    /// Seconds that it still takes, at most, as the learnt speed has it.
    pub seconds_left: f64,
    /// The policy's own number for it.
    pub account: Account,
}

/// A place in the order; the least goes first. Equal ones go by arrival.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank(pub i64, pub i64);

/// An order of tasks.
///
/// For each task there is one call of [`arrive`](Self::arrive), then any number of the others, and at last one of
/// [`leave`](Self::leave); between [`begin`](Self::begin) and [`stop`](Self::stop) it runs. `now` never falls.
pub trait Policy: Send {
    /// A task has come. Its account is not known yet: the answer is.
    fn arrive(&mut self, task: &Task, now: Duration) -> Account;

    /// Where it stands now.
    fn rank(&self, task: &Task, now: Duration) -> Rank;

    /// Whether a task that waits may take the place of one that runs. Never both ways, or they would do nothing else.
    fn preempts(&self, _waiting: &Task, _running: &Task, _now: Duration) -> bool {
        false
    }

    /// Whether a task that decodes may have to wait for a long chunk of another's prompt, as if nobody decoded.
    fn bears(&self, _decoding: &Task, _chunk: &Task) -> bool {
        false
    }

    /// It runs from now on.
    fn begin(&mut self, _task: &Task) {}

    /// It does not run any more.
    fn stop(&mut self, _task: &Task) {}

    /// It had so many seconds of a step's time.
    fn served(&mut self, _task: &Task, _seconds: f64, _now: Duration) {}

    /// It has gone.
    fn leave(&mut self, task: &Task, now: Duration);

    /// Which part of the machine's time its tenant may expect, from 0 to 1. Where others are computed in the same step, that takes
    /// at most so many times longer than what the tenant has in it would take alone. 0 is no claim.
    fn share(&self, _task: &Task) -> f64 {
        0.0
    }
}
