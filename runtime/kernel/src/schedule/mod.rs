//! Who runs next: fair between tenants first, then between the processes of one tenant.
//!
//! Pure tables, generic over what is queued: no lock, no clock, no sandbox. Whoever runs the items says after each turn how
//! long it took ([`FairQueue::ran`]), and that measured time is all that counts.
//!
//! Principles:
//!
//! - Between tenants a **virtual time** decides: what a tenant was given, divided by its weight. Who has the least of it goes
//!   first. How many processes a tenant has makes no difference.
//! - The queue's own virtual time is what a tenant would have that had always been here: each turn raises it by its length
//!   divided by the weight of all active tenants. A tenant that wakes up begins there: it has saved nothing up while it
//!   slept, and since that time goes on with all work, newcomers cannot stay ahead of those who wait.
//! - Between the processes of a tenant its [`TenantPolicy`] decides. It can do wrong to that tenant alone.
//! - A turn that is under way counts as one of [`TURN_NS`] until its length is known, so that several threads do not all
//!   take up the same tenant.
//! - What has nothing queued is forgotten, except where fairness needs it: a tenant that has had more than its share is
//!   remembered until the others have caught up, or until nobody is left. Each of those was active within the last few
//!   turns, so there are never many.
//!
//! All operations are O(log n) in what is queued.
//!
//! # How long a process waits
//!
//! Let there be T threads; a turn lasts Δ at most: the tick of a millisecond at which a guest gives way, and the longest
//! operation that cannot be interrupted (a fill of all its memory, a prompt tokenised on the guest's thread). At any moment
//! of the wait at most N tenants are active, with the weight W together and w⁻ the least of them. A process of class c waits
//! in a tenant of weight w that has n processes. Then, under [`FairShare`], it gets its turn after the machine has done at
//! most
//!
//! > B = (3 − c) × [`AGING_NS`] + (2n + T) × Δ of work for its own tenant, and so
//! > (W ÷ w) × (B + TΔ) + (W ÷ w⁻) × Δ + (N + 2T) × Δ of work altogether,
//!
//! a T-th of which is the time that passes. For N tenants of one weight with one process each, all of one class, on one
//! thread, that is at most 6N + 2 turns. Nobody's later arrival is in the sum.
//!
//! Why: (1) *In the tenant.* What it was given, S, is the clock of [`FairShare`]. A process is queued under a key of at most
//! S + (n − 1)Δ + (3 − c) × [`AGING_NS`], and whatever is queued later than S has passed that key stands behind it: then only
//! the at most n − 1 that stand before it go first, each once. (2) *Until the queue's virtual time V passes the tenant's.* A
//! tenant is taken up when it has the least, and V is then no less; so it is at most TΔ ÷ w ahead of V, and B ÷ w further on
//! when its process is due. Each unit of work moves V by at least 1 ÷ W. (3) *From then on.* Who arrives begins at V, behind
//! it. Those that lag behind V are served first, and catch up, since work for who has the least reduces the sum of what is
//! lacking by its length and raises it by no more; only a turn for one that lacks less than a turn raises it, so nobody
//! lacks more than Δ ÷ w⁻, and all of them together W ÷ w⁻ × Δ, with one turn each in excess.
//!
//! Shares: while two tenants have something queued all the time, what they were given, divided by their weights w and w′,
//! differs by at most T × (Δ ÷ w + Δ ÷ w′).
//!
//! Under [`RoundRobin`] B is (n + T) × Δ. [`Fifo`] promises nothing inside its tenant.

mod fair_share;
mod in_turn;
mod queue;

pub use fair_share::{AGING_NS, FairShare};
pub use in_turn::{Fifo, RoundRobin};
pub use queue::{FairQueue, MakePolicy, TURN_NS, Weight};

use remit_abi::{Pid, Priority};

/// A process that can go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued<T> {
    /// Which it is.
    pub pid: Pid,
    /// How urgent it is.
    pub priority: Priority,
    /// What whoever runs it needs for that.
    pub item: T,
}

/// Who of one tenant's processes runs next.
///
/// A policy loses nothing and makes nothing up: what came in by [`TenantPolicy::arrive`] or [`TenantPolicy::ran`] goes out
/// once, by [`TenantPolicy::next`].
pub trait TenantPolicy<T>: Send {
    /// A process that waited for something, or is new, can go on.
    fn arrive(&mut self, queued: Queued<T>);

    /// The one whose turn it is.
    fn next(&mut self) -> Option<Queued<T>>;

    /// A process that was handed out has run for so long. `again` is the process itself, where it can go on at once.
    fn ran(&mut self, pid: Pid, ran_ns: u64, again: Option<Queued<T>>);
}
