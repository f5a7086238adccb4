//! In which order sequences are computed.

use remit_batching::{Fair, Fifo, Policy, RoundRobin};

/// A policy by its name; [`remit_batching::policy`] says what each promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PolicyChoice {
    /// By tenants' shares, and within a tenant by what each program had.
    #[default]
    Fair,
    /// A turn each; for comparison.
    RoundRobin,
    /// First come, first served; for comparison.
    Fifo,
}

impl PolicyChoice {
    pub(super) fn make(self) -> Box<dyn Policy> {
        match self {
            Self::Fair => Box::new(Fair::default()),
            Self::RoundRobin => Box::new(RoundRobin::default()),
            Self::Fifo => Box::new(Fifo),
        }
    }
}
