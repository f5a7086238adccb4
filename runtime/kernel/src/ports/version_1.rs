//! What version 1 of a process's log wrote otherwise: its ledgers had no citations. Read, it becomes what it is now; nothing writes it but tests.

use super::{Asked, Created, Forked, HeldImage, Told};
use crate::{Citations, Ended};
use bytes::Bytes;
use remit_abi::{Exit, Fuel, Label, Tokens, Usage};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    usage: Usage,
    fuel: Fuel,
    paid: Tokens,
    price_version: u32,
}

impl From<Ledger> for crate::Ledger {
    fn from(Ledger { usage, fuel, paid, price_version }: Ledger) -> Self {
        Self { usage, fuel, paid, price_version, citations: Citations::default() }
    }
}

/// What a run found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Beginning {
    /// The state that was committed last.
    pub checkpoint: Option<Bytes>,
    label: Label,
    ledger: Ledger,
    grants: Vec<HeldImage>,
    alarms: Vec<(Box<str>, u64)>,
    /// How often it was started again.
    pub restarts: u32,
    clock_ns: u64,
    events: u64,
}

impl From<Beginning> for super::Beginning {
    fn from(began: Beginning) -> Self {
        let Beginning { checkpoint, label, ledger, grants, alarms, restarts, clock_ns, events } = began;
        Self { checkpoint, label, ledger: ledger.into(), grants, alarms, restarts, clock_ns, events }
    }
}

/// A line of a log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Entry<'a> {
    /// The first of each process.
    Created(Box<Created>),
    /// A run began.
    Began(Box<Beginning>),
    /// An effect was about to be done.
    Intended(Asked),
    /// A syscall was answered.
    Told(Told<'a>),
    /// An operator gave it a grant.
    Given(HeldImage),
    /// It committed a state.
    Committed(Box<Beginning>),
    /// A run ended.
    Exited(Cow<'a, Exit>),
    /// What was told so far was told to another process.
    Forked(Box<Forked>),
}

impl<'a> From<Entry<'a>> for super::Entry<'a> {
    fn from(entry: Entry<'a>) -> Self {
        match entry {
            Entry::Created(created) => Self::Created(created),
            Entry::Began(began) => Self::Began(Box::new((*began).into())),
            Entry::Intended(asked) => Self::Intended(asked),
            Entry::Told(told) => Self::Told(told),
            Entry::Given(held) => Self::Given(held),
            Entry::Committed(began) => Self::Committed(Box::new((*began).into())),
            Entry::Exited(exit) => Self::Exited(exit),
            Entry::Forked(forked) => Self::Forked(forked),
        }
    }
}

/// What was left of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    ended: Ended,
    ledger: Ledger,
    paid: Tokens,
    refunded: Tokens,
    checkpoint: Option<Bytes>,
    label: Label,
    restarts: u32,
    logs_dropped: u64,
}

impl From<Finished> for crate::Finished {
    fn from(finished: Finished) -> Self {
        let Finished { ended, ledger, paid, refunded, checkpoint, label, restarts, logs_dropped } = finished;
        Self { ended, ledger: ledger.into(), paid, refunded, checkpoint, label, restarts, logs_dropped }
    }
}
