//! Which models' weights are in memory: several models share a limit that the operator states, in bytes.
//!
//! | part | does | knows |
//! | --- | --- | --- |
//! | `policy` | decides who comes in, who leaves and who waits | plain numbers and times: pure functions |
//! | [`Residency`] | keeps the policy's state, and a clock | who is to be woken |
//! | `device` | counts what the models take of a GPU's memory | names and numbers |
//! | [`Seat`] | speaks for one model, from the thread that owns its weights | its name and its bytes |
//!
//! A thread reads its own model's weights and drops them itself; nobody else waits for that but who asked for the model.
//! It says how much work it has ([`Seat::report`]) in each round, and sleeps only where it can be woken. While requests wait for
//! room it comes back every [`ASK_EVERY`], since time alone changes the answer.
//!
//! What counts are the weights as they are held ([`Requirements::weights_bytes`](crate::Requirements::weights_bytes)), and those
//! of a model's adapters, which come and go with it; keys and values, which leave with them, have a limit of their own
//! ([`Limits::kv_tokens_max`](crate::Limits::kv_tokens_max)). A GPU's memory is shared too, by leases (see `device`).

mod device;
mod policy;

pub(crate) use device::DeviceLease;
pub use policy::{Demand, Order, Place, Rules};

use crate::{LoadError, heap};
use device::Devices;
use policy::{Id, Policy};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How often whoever waits for room asks again; a generation that is cancelled meanwhile ends as late. 50 ms: nobody sees it
/// beside the time of loading.
pub const ASK_EVERY: Duration = Duration::from_millis(50);

type Wake = Box<dyn Fn() + Send>;

/// The models of a node, and the memory that they share.
pub struct Residency {
    begin: Instant,
    state: Mutex<State>,
    devices: Arc<Devices>,
}

struct State {
    policy: Policy,
    names: BTreeMap<Id, (Arc<str>, Wake)>,
}

impl std::fmt::Debug for Residency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Residency").field("view", &self.view()).finish_non_exhaustive()
    }
}

/// What an operator sees of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResidencyView {
    /// Bytes of weights, at most.
    pub bytes_max: u64,
    /// Bytes that are taken, by models on their way in or out too.
    pub bytes_held: u64,
    /// All models, those that are away too, in the order in which they were opened.
    pub models: Vec<ModelView>,
    /// GPUs by name, and bytes of each that models have taken: weights, keys and values, and what is computed in.
    pub devices: Vec<(Arc<str>, u64)>,
}

/// What an operator sees of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelView {
    /// As the registry calls it.
    pub name: Arc<str>,
    /// Of its weights, in memory.
    pub bytes: u64,
    /// Where they are.
    pub place: Place,
    /// For how long they are there.
    pub since: Duration,
    /// How long ago it had work in memory; since it was opened where it never had.
    pub used: Duration,
    /// How often they were brought in.
    pub loads: u64,
    /// Requests under way and waiting.
    pub demand: Demand,
}

impl Residency {
    /// No models yet.
    #[must_use]
    pub fn new(rules: Rules) -> Arc<Self> {
        heap::settle();
        let state = State { policy: Policy::new(rules), names: BTreeMap::new() };
        Arc::new(Self { begin: Instant::now(), state: Mutex::new(state), devices: Arc::default() })
    }

    /// One in which all models fit.
    #[must_use]
    pub fn unlimited() -> Arc<Self> {
        Self::new(Rules::new(u64::MAX))
    }

    /// A seat for a model that is away; `wake` makes its thread report.
    ///
    /// # Errors
    /// [`LoadError::TooLarge`], where it could never come in.
    pub(crate) fn seat(
        self: &Arc<Self>,
        name: Arc<str>,
        bytes: u64,
        wake: impl Fn() + Send + 'static,
    ) -> Result<Seat, LoadError> {
        let now = self.begin.elapsed();
        let mut state = self.state();
        let State { policy, names } = &mut *state;
        let Some(id) = policy.add(bytes, now) else {
            return Err(LoadError::TooLarge { name: name.to_string(), bytes, most: policy.rules().bytes_max });
        };
        names.insert(id, (name, Box::new(wake)));
        drop(state);
        Ok(Seat { residency: self.clone(), id })
    }

    /// What is in memory now.
    #[must_use]
    pub fn view(&self) -> ResidencyView {
        let state = self.state();
        let now = self.begin.elapsed();
        let view = |(id, model): (&Id, &policy::Model)| ModelView {
            name: state.names[id].0.clone(),
            bytes: model.bytes,
            place: model.place,
            since: now.saturating_sub(model.since),
            used: now.saturating_sub(model.used),
            loads: model.loads,
            demand: model.demand,
        };
        ResidencyView {
            bytes_max: state.policy.rules().bytes_max,
            bytes_held: state.policy.held(),
            models: state.policy.models().iter().map(view).collect(),
            devices: self.devices.view(),
        }
    }

    /// Lets a model plan with what is left of `most` bytes of a GPU, by its name. `plan` answers with what it decided, and with how
    /// many bytes that takes, which are its own until the lease is dropped.
    pub(crate) fn lease<T, E>(
        &self,
        device: &str,
        most: u64,
        plan: impl FnOnce(u64) -> Result<(T, u64), E>,
    ) -> Result<(T, DeviceLease), E> {
        self.devices.lease(device, most, plan)
    }

    /// The state is whole between two calls, also where one of them panicked: each of its changes is one assignment.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the policy, and wakes those whom its answer concerns.
    fn with<T>(&self, ask: impl FnOnce(&mut Policy, Duration) -> T) -> T {
        let mut state = self.state();
        let answer = ask(&mut state.policy, self.begin.elapsed());
        for id in state.policy.take_to_wake() {
            if let Some((_, wake)) = state.names.get(&id) {
                wake();
            }
        }
        answer
    }
}

/// A model's place in the memory of a node. Dropping it gives its room back: the weights are dropped before.
pub(crate) struct Seat {
    residency: Arc<Residency>,
    id: Id,
}

/// How much room a model has, as others than its thread may change it.
#[derive(Clone)]
pub(crate) struct Room {
    residency: Arc<Residency>,
    id: Id,
}

impl Room {
    /// Asks for so many bytes more, for as long as the model is registered; the error is how many there could be.
    pub(crate) fn grow(&self, bytes: u64) -> Result<(), u64> {
        self.residency.with(|policy, now| policy.grow(self.id, bytes, now))
    }

    /// Gives so many back.
    pub(crate) fn shrink(&self, bytes: u64) {
        self.residency.with(|policy, now| policy.shrink(self.id, bytes, now));
    }
}

impl Seat {
    /// Its room.
    pub(crate) fn room(&self) -> Room {
        Room { residency: self.residency.clone(), id: self.id }
    }

    /// What to do, with so much work.
    pub(crate) fn report(&self, demand: Demand) -> Order {
        self.residency.with(|policy, now| policy.report(self.id, demand, now))
    }

    /// Whether to load though nobody asks yet: where there is room that nobody else waits for.
    pub(crate) fn prefetch(&self) -> bool {
        self.residency.with(|policy, now| policy.prefetch(self.id, now))
    }

    /// The weights are in memory.
    pub(crate) fn loaded(&self) {
        self.residency.with(|policy, now| policy.loaded(self.id, now));
    }

    /// They are not any more, or not after all.
    pub(crate) fn left(&self) {
        heap::give_back();
        self.residency.with(|policy, now| policy.left(self.id, now));
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.residency.with(|policy, now| policy.remove(self.id, now));
        let gone = self.residency.state().names.remove(&self.id);
        drop(gone);
    }
}
