//! Which tenant gets how much of the machine, and who of its processes goes first.

use remit_abi::TenantId;
use remit_kernel::schedule::{FairQueue, FairShare, Fifo, MakePolicy, RoundRobin, Weight};

/// Who of one tenant's processes runs next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Equal run time in each class of priority, higher classes first, nobody for ever last.
    #[default]
    FairShare,
    /// One turn each.
    RoundRobin,
    /// Whoever came first goes on until it waits. For comparison: it keeps others waiting without bound.
    Fifo,
}

impl Policy {
    fn maker<T: Send + 'static>(self) -> MakePolicy<T> {
        match self {
            Self::FairShare => || Box::new(FairShare::default()),
            Self::RoundRobin => || Box::new(RoundRobin::default()),
            Self::Fifo => || Box::new(Fifo::default()),
        }
    }
}

/// What an operator says about one tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TenantShare {
    /// Which.
    pub tenant: TenantId,
    /// Its part of the machine, against the other tenants' weights.
    pub weight: Weight,
    /// Inside it.
    pub policy: Policy,
}

/// How a node divides its processors. By default all tenants have the same weight and [`Policy::FairShare`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// Tenants that are to have something else than the default.
    pub shares: Vec<TenantShare>,
}

impl Schedule {
    pub(crate) fn queue<T: Send + 'static>(&self) -> FairQueue<T> {
        let mut queue = FairQueue::default();
        for TenantShare { tenant, weight, policy } in &self.shares {
            queue.set(*tenant, *weight, policy.maker());
        }
        queue
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use remit_abi::{Pid, Priority};
    use remit_kernel::schedule::{Queued, TURN_NS};

    #[test]
    fn a_tenant_has_the_weight_and_the_policy_that_were_set() {
        let (first, second) = (TenantId(1), TenantId(2));
        let weight = Weight::new(300).expect("a weight");
        let schedule = Schedule { shares: vec![TenantShare { tenant: first, weight, policy: Policy::Fifo }] };
        let mut queue = schedule.queue();
        for (tenant, index) in [(first, 1), (first, 2), (second, 1), (second, 2)] {
            let pid = Pid { tenant, index, generation: 1 };
            queue.push(Queued { pid, priority: Priority::Normal, item: () });
        }
        let mut turns = [[0; 2]; 2];
        for _ in 0..400 {
            let next = queue.pop().expect("four can go on");
            let pid = next.pid;
            turns[pid.tenant.0 as usize - 1][pid.index as usize - 1] += 1;
            queue.push(next);
            queue.ran(pid, TURN_NS);
        }
        assert_eq!(turns, [[300, 0], [50, 50]]);
    }
}
