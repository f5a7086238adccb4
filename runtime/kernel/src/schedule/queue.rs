//! The queue of a node: shares between tenants.

use super::{FairShare, Queued, TenantPolicy};
use remit_abi::{Pid, TenantId};
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};

/// What a turn counts as while it is under way: a guest that does not wait runs for a tick.
pub const TURN_NS: u64 = 1_000_000;

/// A tenant's share, against the others' weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Weight(u32);

impl Weight {
    /// The largest: two tenants' shares differ by four orders of magnitude at most, so that the least of them still gets a
    /// turn every ten seconds.
    pub const MAX: u32 = 10_000;

    /// A weight from 1 to [`Weight::MAX`].
    #[must_use]
    pub const fn new(weight: u32) -> Option<Self> {
        if weight >= 1 && weight <= Self::MAX { Some(Self(weight)) } else { None }
    }

    /// As a number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl Default for Weight {
    /// 100: there is room for less.
    fn default() -> Self {
        Self(100)
    }
}

/// Makes a tenant's policy. It is made anew when the tenant comes back after all of it was forgotten.
pub type MakePolicy<T> = fn() -> Box<dyn TenantPolicy<T>>;

/// Run time divided by weight, in units of a nanosecond at [`Weight::MAX`]. 128 bits never overflow.
type VirtualTime = u128;

fn virtual_time(ran_ns: u64, weight: u64) -> VirtualTime {
    u128::from(ran_ns) * u128::from(Weight::MAX) / u128::from(weight.max(1))
}

/// What an operator said about a tenant.
struct Settings<T> {
    weight: Weight,
    policy: MakePolicy<T>,
}

/// One tenant that is active, or has had more than its share.
struct Tenant<T> {
    weight: Weight,
    /// What it was given, and where it began.
    had: VirtualTime,
    policy: Box<dyn TenantPolicy<T>>,
    queued: usize,
    on_turn: usize,
    /// Its key in the order of tenants, where it has something queued.
    place: Option<(VirtualTime, u64)>,
}

impl<T> Tenant<T> {
    fn is_active(&self) -> bool {
        self.queued > 0 || self.on_turn > 0
    }

    fn key(&self) -> VirtualTime {
        let under_way = TURN_NS.saturating_mul(self.on_turn as u64);
        self.had + virtual_time(under_way, self.weight.get().into())
    }
}

/// A run queue that is fair between tenants.
///
/// A process is in one place at a time: queued, or handed out and on its turn. After each [`FairQueue::pop`] there is one
/// [`FairQueue::ran`] for it. A [`FairQueue::push`] that comes just before that is held until then.
pub struct FairQueue<T> {
    settings: FxHashMap<TenantId, Settings<T>>,
    tenants: FxHashMap<TenantId, Tenant<T>>,
    /// Tenants with something queued: who had least first, then who came first.
    order: BTreeMap<(VirtualTime, u64), TenantId>,
    placings: u64,
    /// Tenants that are not active and have had more than the queue's own virtual time.
    ahead: BTreeSet<(VirtualTime, TenantId)>,
    /// Processes on their turn, and what was pushed for them meanwhile.
    on_turn: FxHashMap<Pid, Option<Queued<T>>>,
    now: VirtualTime,
    active_weight: u64,
}

impl<T: Send + 'static> Default for FairQueue<T> {
    /// Empty; every tenant has the default weight and [`FairShare`].
    fn default() -> Self {
        Self {
            settings: FxHashMap::default(),
            tenants: FxHashMap::default(),
            order: BTreeMap::new(),
            placings: 0,
            ahead: BTreeSet::new(),
            on_turn: FxHashMap::default(),
            now: 0,
            active_weight: 0,
        }
    }
}

fn fair_share<T: Send + 'static>() -> Box<dyn TenantPolicy<T>> {
    Box::new(FairShare::default())
}

impl<T: Send + 'static> FairQueue<T> {
    /// Says what a tenant's share is, and who of its processes goes first. It holds for what is queued already.
    pub fn set(&mut self, tenant: TenantId, weight: Weight, policy: MakePolicy<T>) {
        self.settings.insert(tenant, Settings { weight, policy });
        let Some(known) = self.tenants.get_mut(&tenant) else { return };
        if known.is_active() {
            self.active_weight += u64::from(weight.get());
            self.active_weight -= u64::from(known.weight.get());
        }
        known.weight = weight;
        let mut before = std::mem::replace(&mut known.policy, policy());
        while let Some(queued) = before.next() {
            known.policy.arrive(queued);
        }
        self.place(tenant);
    }

    /// A process can go on.
    pub fn push(&mut self, queued: Queued<T>) {
        if let Some(held @ None) = self.on_turn.get_mut(&queued.pid) {
            *held = Some(queued);
            return;
        }
        let id = queued.pid.tenant;
        self.activate(id);
        if let Some(tenant) = self.tenants.get_mut(&id) {
            tenant.policy.arrive(queued);
            tenant.queued += 1;
            if tenant.place.is_none() {
                self.place(id);
            }
        }
    }

    /// The process whose turn it is.
    pub fn pop(&mut self) -> Option<Queued<T>> {
        let ((had, _), id) = self.order.pop_first()?;
        self.now = self.now.max(had);
        let tenant = self.tenants.get_mut(&id)?;
        tenant.place = None;
        let queued = tenant.policy.next()?;
        tenant.queued -= 1;
        tenant.on_turn += 1;
        self.on_turn.insert(queued.pid, None);
        if tenant.queued > 0 {
            self.place(id);
        }
        Some(queued)
    }

    /// A process that was handed out has run for so long. Nothing happens where it is not on its turn.
    pub fn ran(&mut self, pid: Pid, ran_ns: u64) {
        let (id, Some(again)) = (pid.tenant, self.on_turn.remove(&pid)) else { return };
        let Some(tenant) = self.tenants.get_mut(&id) else { return };
        tenant.had += virtual_time(ran_ns, tenant.weight.get().into());
        tenant.on_turn -= 1;
        tenant.queued += usize::from(again.is_some());
        tenant.policy.ran(pid, ran_ns, again);
        self.now += virtual_time(ran_ns, self.active_weight);
        if tenant.queued > 0 {
            self.place(id);
        } else if tenant.on_turn == 0 {
            self.active_weight -= u64::from(tenant.weight.get());
            self.ahead.insert((tenant.had, id));
        }
        self.forget_the_caught_up();
    }

    /// Whether nothing is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// How many tenants are remembered.
    #[must_use]
    pub fn tenants(&self) -> usize {
        self.tenants.len()
    }

    /// Makes a tenant active. It begins no earlier than now, and where it had more than that, there.
    fn activate(&mut self, id: TenantId) {
        let (now, settings) = (self.now, self.settings.get(&id));
        let tenant = self.tenants.entry(id).or_insert_with(|| Tenant {
            weight: settings.map_or_else(Weight::default, |settings| settings.weight),
            had: now,
            policy: settings.map_or(fair_share as MakePolicy<T>, |settings| settings.policy)(),
            queued: 0,
            on_turn: 0,
            place: None,
        });
        if !tenant.is_active() {
            self.ahead.remove(&(tenant.had, id));
            tenant.had = tenant.had.max(now);
            self.active_weight += u64::from(tenant.weight.get());
        }
    }

    /// Puts a tenant that has something queued where it belongs now.
    fn place(&mut self, id: TenantId) {
        let Some(tenant) = self.tenants.get_mut(&id) else { return };
        if let Some(place) = tenant.place.take() {
            self.order.remove(&place);
        }
        if tenant.queued > 0 {
            let place = (tenant.key(), self.placings);
            self.placings += 1;
            tenant.place = Some(place);
            self.order.insert(place, id);
        }
    }

    /// Forgets tenants that are not active and would begin now like any stranger. Where nobody is active, that is everybody.
    fn forget_the_caught_up(&mut self) {
        if self.active_weight == 0
            && let Some(&(furthest, _)) = self.ahead.last()
        {
            self.now = self.now.max(furthest);
        }
        while let Some(&(had, id)) = self.ahead.first()
            && had <= self.now
        {
            self.ahead.pop_first();
            self.tenants.remove(&id);
        }
    }
}
