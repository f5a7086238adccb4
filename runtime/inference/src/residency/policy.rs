//! Decisions about memory, over plain numbers: whose weights come in, whose leave, and who waits. Nothing here knows a
//! model, a thread or a clock; `now` is the time since some moment, and never falls.
//!
//! Each model says how much work it has ([`Demand`]) whenever that may have changed, and is told what to do ([`Order`]).
//!
//! | it is | and | order |
//! | --- | --- | --- |
//! | away | nobody asks for it, or there is no room yet | `Wait` |
//! | away | somebody asks and there is room, which is its own from then on | `Load` |
//! | in | nobody needs its room | `Serve` |
//! | in, working | its room is needed | `Finish`: what is under way, and nothing new |
//! | in, idle | its room is needed | `Leave` |
//!
//! Who makes room for a model that waits:
//!
//! - Nobody before it has been in for [`Rules::stay_min`], and for as long as its loading took: so loading never takes more
//!   than about half of the time, whatever is asked for.
//! - Idle models first, the least recently used of them first, and no more of them than are needed.
//! - Models that work only when somebody has waited for [`Rules::patience`]. Their orders are `Finish`, and what comes for
//!   them meanwhile waits for their return, at the end of the line.
//!
//! Who waits comes in by the order in which they asked. A later one may come in before an earlier one that does not fit
//! yet, but not any more once that has waited for `patience`. So a model waits at most for `patience`, the loading and the
//! stay of others that came in just before, and the longest generation that is under way then; and for those before it in
//! line.
//!
//! Orders are computed from what is, each time. A model that was told to leave and has not yet is told to go on where the
//! room is not needed any more.

use std::{collections::BTreeMap, time::Duration};

#[cfg(test)]
mod tests;

/// What an operator says about memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Bytes of weights that are in memory, at most.
    pub bytes_max: u64,
    /// For how long a model stays once it is in, at least.
    pub stay_min: Duration,
    /// For how long a model waits before those that work have to make room for it.
    pub patience: Duration,
}

impl Rules {
    /// With so many bytes; a stay of 10 s, in which short conversations end, and a patience of 30 s, for which people wait.
    #[must_use]
    pub const fn new(bytes_max: u64) -> Self {
        Self { bytes_max, stay_min: Duration::from_secs(10), patience: Duration::from_secs(30) }
    }
}

/// Who a model is, for as long as it is registered.
pub(super) type Id = u64;

/// How much work a model has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Requests that are computed.
    pub active: usize,
    /// Requests that wait for their turn.
    pub waiting: usize,
}

/// What a model is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// It is in: go on.
    Serve,
    /// It is in: end what is under way, and begin nothing.
    Finish,
    /// It is in: drop weights and all that belongs to them.
    Leave,
    /// It has room: read the weights.
    Load,
    /// It is away: wait.
    Wait,
}

/// Where the weights of a model are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the disk alone.
    Away,
    /// On their way in; their room is taken.
    Loading,
    /// In memory.
    In,
    /// On their way out; their room is not free yet.
    Leaving,
}

/// What is known of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) bytes: u64,
    pub(super) place: Place,
    /// Since when it is there.
    pub(super) since: Duration,
    /// When it was in and had work last.
    pub(super) used: Duration,
    pub(super) demand: Demand,
    /// While it is away: since when somebody asks for it.
    asked: Option<Duration>,
    /// While it is in: until when it stays, whoever asks.
    stays_until: Duration,
    /// How often it came in.
    pub(super) loads: u64,
    /// Whether somebody needs its room.
    needed: bool,
}

impl Model {
    fn is_idle(&self) -> bool {
        self.demand == Demand::default()
    }

    fn begin_loading(&mut self, now: Duration) {
        self.place = Place::Loading;
        self.since = now;
        self.asked = None;
    }
}

/// All models.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    rules: Rules,
    models: BTreeMap<Id, Model>,
    next: Id,
    /// Who has got something to do, and may sleep.
    to_wake: Vec<Id>,
}

impl Policy {
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules, models: BTreeMap::new(), next: 0, to_wake: Vec::new() }
    }

    pub(super) fn rules(&self) -> &Rules {
        &self.rules
    }

    pub(super) fn models(&self) -> &BTreeMap<Id, Model> {
        &self.models
    }

    /// Bytes that are taken.
    pub(super) fn held(&self) -> u64 {
        self.models.values().filter(|model| model.place != Place::Away).map(|model| model.bytes).sum()
    }

    /// Enters a model that is away; none where it can never fit.
    pub(super) fn add(&mut self, bytes: u64, now: Duration) -> Option<Id> {
        if bytes > self.rules.bytes_max {
            return None;
        }
        let id = self.next;
        self.next += 1;
        let model = Model {
            bytes,
            place: Place::Away,
            since: now,
            used: now,
            demand: Demand::default(),
            asked: None,
            stays_until: now,
            loads: 0,
            needed: false,
        };
        self.models.insert(id, model);
        Some(id)
    }

    /// Takes a model out, wherever it is: its room is free.
    pub(super) fn remove(&mut self, id: Id, now: Duration) {
        self.models.remove(&id);
        self.decide(now);
    }

    /// Gives a model so many bytes more: at once where it is in memory, or with its weights when they come. The error is how many
    /// there could be.
    pub(super) fn grow(&mut self, id: Id, bytes: u64, now: Duration) -> Result<(), u64> {
        let free = self.rules.bytes_max - self.held();
        let Some(model) = self.models.get_mut(&id) else { return Err(0) };
        let left = if model.place == Place::Away { self.rules.bytes_max - model.bytes } else { free };
        if bytes > left {
            return Err(left);
        }
        model.bytes += bytes;
        self.decide(now);
        Ok(())
    }

    /// Takes so many bytes back that it was given.
    pub(super) fn shrink(&mut self, id: Id, bytes: u64, now: Duration) {
        if let Some(model) = self.models.get_mut(&id) {
            model.bytes = model.bytes.saturating_sub(bytes);
        }
        self.decide(now);
    }

    /// What a model is to do, which has so much work.
    pub(super) fn report(&mut self, id: Id, demand: Demand, now: Duration) -> Order {
        let Some(model) = self.models.get_mut(&id) else { return Order::Wait };
        if !model.is_idle() || demand != Demand::default() {
            model.used = now;
        }
        model.demand = demand;
        // Nobody asks any more, and its thread has not begun: it would not report while it reads.
        if model.place == Place::Loading && demand == Demand::default() {
            model.place = Place::Away;
            model.since = now;
        }
        if model.place == Place::Away {
            model.asked = (demand.waiting > 0).then(|| model.asked.unwrap_or(now));
        }
        self.decide(now);
        self.order(id, now)
    }

    fn order(&mut self, id: Id, now: Duration) -> Order {
        let Some(model) = self.models.get_mut(&id) else { return Order::Wait };
        match model.place {
            Place::Away => Order::Wait,
            Place::Loading => Order::Load,
            Place::Leaving => Order::Leave,
            Place::In if !model.needed => Order::Serve,
            Place::In if model.demand.active > 0 => Order::Finish,
            Place::In => {
                model.place = Place::Leaving;
                model.since = now;
                Order::Leave
            }
        }
    }

    /// Whether a model may come in that nobody asks for yet: where there is room that nobody waits for.
    pub(super) fn prefetch(&mut self, id: Id, now: Duration) -> bool {
        let free = self.rules.bytes_max - self.held();
        let waits = self.models.values().any(|model| model.asked.is_some());
        let Some(model) = self.models.get_mut(&id) else { return false };
        let may = model.place == Place::Away && !waits && model.bytes <= free;
        if may {
            model.begin_loading(now);
        }
        may
    }

    /// A model's weights are in.
    pub(super) fn loaded(&mut self, id: Id, now: Duration) {
        let stay_min = self.rules.stay_min;
        if let Some(model) = self.models.get_mut(&id) {
            model.stays_until = now + stay_min.max(now.saturating_sub(model.since));
            model.place = Place::In;
            model.since = now;
            model.used = now;
            model.loads += 1;
        }
        self.decide(now);
    }

    /// A model's weights are out, or could not be loaded.
    pub(super) fn left(&mut self, id: Id, now: Duration) {
        if let Some(model) = self.models.get_mut(&id) {
            model.place = Place::Away;
            model.since = now;
            model.needed = false;
            model.asked = (model.demand.waiting > 0).then_some(now);
        }
        self.decide(now);
    }

    /// The models that have to be told since the last call: those that may sleep and have got something to do.
    pub(super) fn take_to_wake(&mut self) -> Vec<Id> {
        std::mem::take(&mut self.to_wake)
    }

    fn with_news(&self) -> Vec<Id> {
        let has_news = |model: &Model| match model.place {
            Place::In => model.needed && model.demand.active == 0,
            Place::Loading => true,
            Place::Away | Place::Leaving => false,
        };
        self.models.iter().filter(|(_, model)| has_news(model)).map(|(id, _)| *id).collect()
    }

    fn decide(&mut self, now: Duration) {
        let before = self.with_news();
        self.assign(now);
        let news = self.with_news();
        self.to_wake.extend(news.into_iter().filter(|id| !before.contains(id)));
    }

    /// Gives room to who waits, in order, and says whose room is needed.
    fn assign(&mut self, now: Duration) {
        self.models.values_mut().for_each(|model| model.needed = false);
        let mut line: Vec<(Duration, Id)> =
            self.models.iter().filter_map(|(id, model)| Some((model.asked?, *id))).collect();
        line.sort_unstable();
        let mut free = self.rules.bytes_max - self.held();
        let leaving = self.models.values().filter(|model| model.place == Place::Leaving);
        let mut coming: u64 = leaving.map(|model| model.bytes).sum();
        for (asked, id) in line {
            let bytes = self.models[&id].bytes;
            if bytes <= free {
                free -= bytes;
                if let Some(model) = self.models.get_mut(&id) {
                    model.begin_loading(now);
                }
                continue;
            }
            let is_urgent = now >= asked.saturating_add(self.rules.patience);
            coming += self.make_room(bytes.saturating_sub(free + coming), is_urgent, now);
            match (free + coming).checked_sub(bytes) {
                // What it waits for is nobody else's.
                Some(left) => {
                    free = free.min(left);
                    coming = left - free;
                }
                None if is_urgent => return,
                None => {}
            }
        }
    }

    /// Makes models leave that have so many bytes together, and says how many: those that may go, if they are enough.
    fn make_room(&mut self, bytes: u64, even_working: bool, now: Duration) -> u64 {
        let may_go = |model: &&Model| {
            model.place == Place::In && !model.needed && now >= model.stays_until && (model.is_idle() || even_working)
        };
        let mut chosen: Vec<Id> = Vec::new();
        let mut sum = 0;
        let mut candidates: Vec<_> = self.models.iter().filter(|(_, model)| may_go(model)).collect();
        candidates.sort_unstable_by_key(|(id, model)| match model.is_idle() {
            true => (false, model.used, **id),
            false => (true, model.since, **id),
        });
        for (id, model) in candidates {
            if sum >= bytes {
                break;
            }
            sum += model.bytes;
            chosen.push(*id);
        }
        if sum < bytes {
            return 0;
        }
        // Later ones may have made earlier ones needless.
        chosen.retain(|id| {
            let keeps = sum - self.models[id].bytes >= bytes;
            if keeps {
                sum -= self.models[id].bytes;
            }
            !keeps
        });
        for id in chosen {
            if let Some(model) = self.models.get_mut(&id) {
                model.needed = true;
            }
        }
        sum
    }
}
