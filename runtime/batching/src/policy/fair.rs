//! The real one: equal shares of time by weight between tenants; inside a tenant classes, programs that had little, and deadlines.
//!
//! Service is measured in seconds of the machine: a step's time, divided between its sequences by what each cost.
//!
//! # Between tenants
//!
//! A tenant's clock is what it had, divided by its weight; the machine's clock goes on by each second divided by the weight of all
//! active tenants. Who has the least goes first, however many sequences it has. A clock is never more than [`LAG_MAX`] before or
//! behind the machine's, so that nobody saves much up by asking for little, and taking what nobody else wanted is no debt for
//! ever. That much a tenant has when it wakes up beside others: a short turn now and then passes those who never stop.
//!
//! A tenant that has fewer sequences running than its share, and others waiting, takes a place from one that has more:
//! running ÷ weight has to fall with the exchange, so it is never taken back. And [`Policy::share`] is weight ÷ weight of all
//! active tenants: no step takes longer for a tenant than its own part would on a machine that is slower by that.
//!
//! # Inside a tenant
//!
//! A sequence's key is fixed when it comes but for what its program attains:
//!
//! > key = seconds that the tenant had by then + class × [`AGING`] + min(seconds that the program had, [`ATTAINED_MAX`])
//!
//! The last part is "least attained service" for whole programs, as in Autellix (Luo et al., 2025): short agents pass long ones,
//! at whichever call. Sequences that would miss their deadline if they waited any longer go before their tenant's others, the
//! earliest first, until it has passed.
//!
//! # How long a sequence waits
//!
//! Without deadlines, whoever comes when its tenant has had 2 × [`AGING`] + [`ATTAINED_MAX`] more than at a sequence's arrival has a
//! greater key. So the sequence gets what it needs after at most **B = 6 s** of its own tenant's service, and that of those who came
//! within these, each once: nobody's later arrival is in the sum. A tenant of weight w out of W gets that within (W ÷ w) × (B + 2 ×
//! [`LAG_MAX`]) seconds of the machine, as long as no other tenants wake up; each one that does may have [`LAG_MAX`] before it. Deadlines
//! can only do wrong to the own tenant, and only until they have passed. Beyond all this the batcher's rule on the oldest sequence
//! holds.

#[cfg(test)]
mod tests;

use super::{Account, Class, Policy, Rank, Task};
use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

/// After so much of its tenant's service a sequence that waits stands where the next class stands on arrival. 1 s: a person who
/// waits for an answer does not notice.
pub const AGING: Duration = Duration::from_secs(1);
/// What a program had counts against it up to this. 4 s: some thousand tokens, by which short agents can be told from long ones.
pub const ATTAINED_MAX: Duration = Duration::from_secs(4);
/// How far a tenant's clock may be from the machine's, in seconds at its share. 1 s: some hundred steps.
pub const LAG_MAX: Duration = Duration::from_secs(1);
/// Programs whose service is remembered while nothing of them is here. 4,096: some hundred kilobytes. Those that have been away the
/// longest are forgotten first, and come back as new ones.
pub const PROGRAMS_MAX: usize = 4_096;
/// How much less a sequence's key has to be for it to take the place of another of its tenant: 250 ms, some ten steps.
const MARGIN: f64 = 0.25;
/// Who runs so many times more sequences than another, by weight, may have to wait for the other's long chunks. 4: in equal company
/// nobody's reader notices another's prompt, and a crowd does not make the prompts of others slow.
const CROWD: f64 = 4.0;
/// A sequence is in danger where what is left takes so many times longer than there is time.
const DANGER: f64 = 2.0;

#[derive(Clone, Debug)]
struct Tenant {
    weight: f64,
    /// Seconds that it had.
    had: f64,
    /// Its clock.
    clock: f64,
    /// Sequences that are here.
    here: u32,
    running: u32,
}

#[derive(Clone, Debug)]
struct Program {
    key: (u64, u64),
    had: f64,
    here: u32,
    /// Since when nothing of it is here.
    away: Duration,
}

/// A sequence.
#[derive(Clone, Copy, Debug)]
struct Seat {
    tenant: u32,
    program: u32,
    /// The fixed part of its key.
    key: f64,
}

/// Places by number, those that were given back first.
#[derive(Clone, Debug)]
struct Slab<T> {
    items: Vec<Option<T>>,
    vacant: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { items: Vec::new(), vacant: Vec::new() }
    }
}

impl<T> Slab<T> {
    fn add(&mut self, item: T) -> u32 {
        match self.vacant.pop() {
            Some(place) => {
                self.items[place as usize] = Some(item);
                place
            }
            None => {
                self.items.push(Some(item));
                self.items.len() as u32 - 1
            }
        }
    }

    fn get(&self, place: u32) -> Option<&T> {
        self.items.get(place as usize)?.as_ref()
    }

    fn get_mut(&mut self, place: u32) -> Option<&mut T> {
        self.items.get_mut(place as usize)?.as_mut()
    }

    fn remove(&mut self, place: u32) -> Option<T> {
        let item = self.items.get_mut(place as usize)?.take()?;
        self.vacant.push(place);
        Some(item)
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Fair {
    seats: Slab<Seat>,
    tenants: Slab<Tenant>,
    tenant_of: HashMap<u64, u32>,
    programs: Slab<Program>,
    program_of: HashMap<(u64, u64), u32>,
    /// Programs of which nothing is here, by since when.
    away: BTreeSet<(Duration, u32)>,
    /// The machine's clock.
    clock: f64,
    /// Of the tenants of which something is here.
    active_weight: f64,
    /// Tenants of which nothing is here, and that are before the machine's clock.
    ahead: Vec<u32>,
}

fn micros(seconds: f64) -> i64 {
    (seconds * 1e6) as i64
}

impl Fair {
    /// With nobody here.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Tenants and programs that are remembered.
    #[must_use]
    pub fn remembered(&self) -> (usize, usize) {
        (self.tenant_of.len(), self.program_of.len())
    }

    fn tenant(&mut self, task: &Task) -> u32 {
        let clock = self.begin_at();
        let place = *self
            .tenant_of
            .entry(task.tenant)
            .or_insert_with(|| self.tenants.add(Tenant { weight: 1.0, had: 0.0, clock, here: 0, running: 0 }));
        if let Some(tenant) = self.tenants.get_mut(place) {
            if tenant.here > 0 {
                self.active_weight -= tenant.weight;
            } else {
                self.ahead.retain(|ahead| *ahead != place);
                tenant.clock = tenant.clock.max(clock);
            }
            tenant.weight = f64::from(task.weight.max(1));
            tenant.here += 1;
            self.active_weight += tenant.weight;
        }
        place
    }

    /// Where a stranger's clock begins.
    fn begin_at(&self) -> f64 {
        self.clock - self.lag_max()
    }

    /// By how much clocks may differ from the machine's: at a tenant's share, so that it is the same time for all.
    fn lag_max(&self) -> f64 {
        LAG_MAX.as_secs_f64() / self.active_weight.max(1.0)
    }

    fn program(&mut self, task: &Task) -> u32 {
        let key = (task.tenant, task.program);
        let new = || self.programs.add(Program { key, had: 0.0, here: 0, away: Duration::ZERO });
        let place = *self.program_of.entry(key).or_insert_with(new);
        if let Some(program) = self.programs.get_mut(place) {
            if program.here == 0 {
                self.away.remove(&(program.away, place));
            }
            program.here += 1;
        }
        place
    }

    fn forget_programs(&mut self) {
        while self.away.len() > PROGRAMS_MAX
            && let Some((_, place)) = self.away.pop_first()
        {
            if let Some(program) = self.programs.remove(place) {
                self.program_of.remove(&program.key);
            }
        }
    }

    /// Forgets tenants that would begin now like any stranger.
    fn forget_tenants(&mut self) {
        let (clock, is_idle) = (self.begin_at(), self.tenants.items.iter().flatten().all(|tenant| tenant.here == 0));
        let caught_up = |tenant: &Tenant| tenant.here == 0 && (is_idle || tenant.clock <= clock);
        let (gone, ahead) = std::mem::take(&mut self.ahead)
            .into_iter()
            .partition(|place| self.tenants.get(*place).is_none_or(caught_up));
        self.ahead = ahead;
        let gone: Vec<u32> = gone;
        self.tenant_of.retain(|_, place| !gone.contains(place));
        for place in gone {
            self.tenants.remove(place);
        }
    }

    fn of(&self, task: &Task) -> Option<(&Seat, &Tenant, &Program)> {
        let seat = self.seats.get(task.account.0)?;
        Some((seat, self.tenants.get(seat.tenant)?, self.programs.get(seat.program)?))
    }

    /// Of the two parts: where it stands in its tenant, before those that are in danger are.
    fn key(seat: &Seat, program: &Program) -> f64 {
        seat.key + program.had.min(ATTAINED_MAX.as_secs_f64())
    }
}

fn classes_above(class: Class) -> f64 {
    match class {
        Class::Interactive => 0.0,
        Class::Normal => 1.0,
        Class::Batch => 2.0,
    }
}

/// The deadline of a task that would miss it if it waited any longer.
fn danger(task: &Task, now: Duration) -> Option<Duration> {
    let left = |deadline: &Duration| deadline.saturating_sub(now).as_secs_f64();
    task.deadline.filter(|deadline| *deadline > now && left(deadline) < task.seconds_left * DANGER)
}

impl Policy for Fair {
    fn arrive(&mut self, task: &Task, _: Duration) -> Account {
        let (tenant, program) = (self.tenant(task), self.program(task));
        let had = self.tenants.get(tenant).map_or(0.0, |tenant| tenant.had);
        let key = had + classes_above(task.class) * AGING.as_secs_f64();
        Account(self.seats.add(Seat { tenant, program, key }))
    }

    fn rank(&self, task: &Task, now: Duration) -> Rank {
        let Some((seat, tenant, program)) = self.of(task) else { return Rank(i64::MAX, i64::MAX) };
        let within = match danger(task, now) {
            Some(deadline) => i64::MIN.saturating_add_unsigned(deadline.as_micros() as u64),
            None => micros(Self::key(seat, program)),
        };
        // Two tenants never have one clock to the microsecond for long; where they do, their keys mean nothing to each other and do
        // no harm.
        Rank(micros(tenant.clock), within)
    }

    fn preempts(&self, waiting: &Task, running: &Task, now: Duration) -> bool {
        let (Some((seat, tenant, program)), Some((seat_running, other, program_running))) =
            (self.of(waiting), self.of(running))
        else {
            return false;
        };
        if seat.tenant != seat_running.tenant {
            return f64::from(other.running) / other.weight > f64::from(tenant.running + 1) / tenant.weight;
        }
        match (danger(waiting, now), danger(running, now)) {
            (Some(_), None) => true,
            (None, None) => Self::key(seat, program) + MARGIN < Self::key(seat_running, program_running),
            (_, Some(_)) => false,
        }
    }

    fn bears(&self, decoding: &Task, chunk: &Task) -> bool {
        let (Some((_, other, _)), Some((_, own, _))) = (self.of(decoding), self.of(chunk)) else { return false };
        f64::from(other.running) / other.weight >= CROWD * f64::from(own.running) / own.weight
    }

    fn begin(&mut self, task: &Task) {
        let place = self.seats.get(task.account.0).map(|seat| seat.tenant);
        if let Some(tenant) = place.and_then(|place| self.tenants.get_mut(place)) {
            tenant.running += 1;
        }
    }

    fn stop(&mut self, task: &Task) {
        let place = self.seats.get(task.account.0).map(|seat| seat.tenant);
        if let Some(tenant) = place.and_then(|place| self.tenants.get_mut(place)) {
            tenant.running -= 1;
        }
    }

    fn served(&mut self, task: &Task, seconds: f64, _: Duration) {
        let Some(Seat { tenant, program, .. }) = self.seats.get(task.account.0).copied() else { return };
        if let Some(program) = self.programs.get_mut(program) {
            program.had += seconds;
        }
        self.clock += seconds / self.active_weight.max(1.0);
        let lag = self.lag_max();
        let Some(tenant) = self.tenants.get_mut(tenant) else { return };
        tenant.had += seconds;
        // Who is alone is behind nobody.
        let behind = if self.active_weight > tenant.weight { lag } else { 0.0 };
        let clock = (tenant.clock + seconds / tenant.weight).max(self.clock - behind);
        tenant.clock = clock.min(self.clock + lag);
    }

    fn leave(&mut self, task: &Task, now: Duration) {
        let Some(seat) = self.seats.remove(task.account.0) else { return };
        if let Some(program) = self.programs.get_mut(seat.program) {
            program.here -= 1;
            if program.here == 0 {
                program.away = now;
                self.away.insert((now, seat.program));
            }
        }
        self.forget_programs();
        if let Some(tenant) = self.tenants.get_mut(seat.tenant) {
            tenant.here -= 1;
            if tenant.here == 0 {
                self.active_weight -= tenant.weight;
                self.ahead.push(seat.tenant);
                self.forget_tenants();
            }
        }
    }

    fn share(&self, task: &Task) -> f64 {
        self.of(task).map_or(0.0, |(_, tenant, _)| tenant.weight / self.active_weight.max(tenant.weight))
    }
}
