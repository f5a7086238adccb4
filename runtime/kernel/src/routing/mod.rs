//! Routes: names that stand where a model's name does, and send each request to a model.
//!
//! | module | what it decides | pure |
//! | --- | --- | --- |
//! | `policy` | which models may answer a request, in which order | yes |
//! | `turns` | which of them is tried next, and when | yes |
//! | `breaker` | whether a model is left alone for a while | yes |
//! | `arm` | who gets the new version of a route | yes |
//! | `count` | what each version came to | yes |
//! | `read` | what an operator wrote down | yes |
//! | here | the routes of a node, their breakers and counts | |
//!
//! Principles:
//!
//! - A grant on a route opens the route. It opens none of its models by their own names, and what a guest is told of the route
//!   is the route's own.
//! - Another model is tried as long as nothing was shown of an answer. After the first piece an error is the guest's.
//! - A try that showed nothing costs nothing: a request pays the model that answered it, at that model's price.
//! - What was decided is recorded with the end of the generation, which is journaled: the version, the arm, the rule, the model.

pub mod arm;
pub mod breaker;
pub mod count;
pub mod policy;
pub mod read;
pub mod turns;

use crate::kernel::Kernel;
use arm::{SHARE_WHOLE, Subject, place};
use breaker::{Admission, Breaker, BreakerRules, BreakerState, Cause};
use count::{Counts, CountsView};
use parking_lot::{Mutex, RwLock};
use policy::{Explained, RequestClass, Route, Tier, explain};
use remit_abi::{Arm, Pid, Usage};
use serde::Serialize;
use std::{collections::BTreeMap, sync::Arc};

/// One version of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// From 1 on; none is used twice for the same name.
    pub number: u32,
    /// SHA-256 of what was written down, in hexadecimal.
    pub digest: Arc<str>,
    /// What it says.
    pub route: Arc<Route>,
}

/// A version that is tried on a share of the requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Which one.
    pub version: Version,
    /// How many subjects of a thousand get it.
    pub share_per_mille: u16,
    /// What a subject is.
    pub by: Subject,
}

/// A route as it is in effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployed {
    /// What everybody gets who is not in the candidate's share.
    pub stable: Version,
    /// What is tried.
    pub candidate: Option<Candidate>,
}

impl Deployed {
    /// Which version a process gets.
    #[must_use]
    pub fn assigned(&self, name: &str, pid: Pid) -> (Arm, &Version) {
        match &self.candidate {
            Some(Candidate { version, share_per_mille, by })
                if place(name, version.number, *by, pid) < (*share_per_mille).min(SHARE_WHOLE) =>
            {
                (Arm::Candidate, version)
            }
            _ => (Arm::Stable, &self.stable),
        }
    }

    /// The versions in effect, each with its arm.
    pub fn arms(&self) -> impl Iterator<Item = (Arm, &Version)> {
        let candidate = self.candidate.iter().map(|candidate| (Arm::Candidate, &candidate.version));
        std::iter::once((Arm::Stable, &self.stable)).chain(candidate)
    }
}

/// All routes of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    /// Of every model.
    pub breaker: BreakerRules,
    /// By name.
    pub deployed: BTreeMap<Box<str>, Deployed>,
}

/// A version of a route, with what it came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ArmView {
    /// Whose it is.
    pub arm: Arm,
    /// Which one.
    pub version: u32,
    /// How many subjects of a thousand get it.
    pub share_per_mille: u16,
    /// Since the node was started.
    pub counts: CountsView,
}

/// A model that routes name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TierView {
    /// Its name.
    pub model: Box<str>,
    /// Its circuit breaker.
    pub breaker: BreakerState,
}

/// A route as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RouteView {
    /// Its name.
    pub name: Box<str>,
    /// The stable version, and the candidate where there is one.
    pub arms: Vec<ArmView>,
    /// Models of these versions.
    pub tiers: Vec<TierView>,
}

/// What an explanation says of one arm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ArmExplained {
    /// Whose it is.
    pub arm: Arm,
    /// Which version.
    pub version: u32,
    /// What it does with the request.
    pub explained: Explained,
}

/// What a process's requests are sent by.
#[derive(Clone, Debug)]
pub(crate) struct Assigned {
    pub(crate) route: Arc<str>,
    pub(crate) arm: Arm,
    pub(crate) version: Version,
}

/// How a request of a route ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestEnd {
    Answered { usage: Usage, micros: u64 },
    Failed { usage: Usage },
    GivenUp { usage: Usage },
}

/// The routes of a node, and what changes about them while it runs.
#[derive(Debug, Default)]
pub(crate) struct Routing {
    routes: RwLock<Arc<Routes>>,
    live: Mutex<Live>,
}

#[derive(Debug, Default)]
struct Live {
    breakers: BTreeMap<Box<str>, Breaker>,
    counts: BTreeMap<(Arc<str>, u32), Counts>,
}

impl Live {
    fn breaker(&mut self, model: &str, rules: BreakerRules) -> &mut Breaker {
        self.breakers.entry(model.into()).or_insert_with(|| Breaker::new(rules))
    }
}

impl Routing {
    /// Which version of a route a process gets; `None` where there is no such route (any more).
    pub(crate) fn assigned(&self, name: &str, pid: Pid) -> Option<Assigned> {
        let routes = self.routes.read();
        let (key, deployed) = routes.deployed.get_key_value(name)?;
        let (arm, version) = deployed.assigned(key, pid);
        Some(Assigned { route: (&**key).into(), arm, version: version.clone() })
    }

    /// For how long a model's breaker lets nothing through.
    pub(crate) fn rests_ns(&self, model: &str, now_ns: u64) -> Option<u64> {
        self.live.lock().breakers.get(model).and_then(|breaker| breaker.rests_ns(now_ns))
    }

    pub(crate) fn admit(&self, model: &str, now_ns: u64) -> Option<Admission> {
        let rules = self.routes.read().breaker;
        self.live.lock().breaker(model, rules).admit(now_ns)
    }

    pub(crate) fn succeeded(&self, model: &str, admission: Admission) {
        let rules = self.routes.read().breaker;
        self.live.lock().breaker(model, rules).succeeded(admission);
    }

    pub(crate) fn failed(&self, model: &str, admission: Admission, cause: Cause, now_ns: u64) {
        let rules = self.routes.read().breaker;
        let mut live = self.live.lock();
        let breaker = live.breaker(model, rules);
        breaker.failed(admission, cause, now_ns);
        if breaker.state() == BreakerState::Open {
            tracing::warn!(model, ?cause, "a model failed too often, and rests");
        }
    }

    pub(crate) fn given_up(&self, model: &str, admission: Admission, now_ns: u64) {
        let rules = self.routes.read().breaker;
        self.live.lock().breaker(model, rules).given_up(admission, now_ns);
    }

    pub(crate) fn count(&self, assigned: &Assigned, change: impl FnOnce(&mut Counts)) {
        let mut live = self.live.lock();
        change(live.counts.entry((assigned.route.clone(), assigned.version.number)).or_default());
    }

    pub(crate) fn ended(&self, assigned: &Assigned, end: RequestEnd) {
        self.count(assigned, |counts| match end {
            RequestEnd::Answered { usage, micros } => {
                counts.tally.answered += 1;
                counts.times.add(micros);
                counts.tally.usage.add(usage);
            }
            RequestEnd::Failed { usage } => {
                counts.tally.failed += 1;
                counts.tally.usage.add(usage);
            }
            RequestEnd::GivenUp { usage } => {
                counts.tally.given_up += 1;
                counts.tally.usage.add(usage);
            }
        });
    }

    fn set(&self, routes: Routes) {
        let mut live = self.live.lock();
        live.breakers.values_mut().for_each(|breaker| breaker.set_rules(routes.breaker));
        // Counts of versions that are in effect no more are forgotten, so that none are kept without end.
        live.counts.retain(|(name, number), _| {
            let deployed = routes.deployed.get(&**name);
            deployed.is_some_and(|deployed| deployed.arms().any(|(_, version)| version.number == *number))
        });
        let names = |model: &str| routes.deployed.values().any(|deployed| models_of(deployed).contains(&model));
        live.breakers.retain(|model, _| names(model));
        drop(live);
        *self.routes.write() = Arc::new(routes);
    }

    fn view(&self) -> Vec<RouteView> {
        let routes = self.routes.read().clone();
        let live = self.live.lock();
        let arm = |name: &str, deployed: &Deployed, arm: Arm, version: &Version| {
            let share = deployed.candidate.as_ref().map_or(0, |candidate| candidate.share_per_mille);
            let counts = live.counts.get(&(name.into(), version.number)).map(Counts::view);
            ArmView {
                arm,
                version: version.number,
                share_per_mille: if arm == Arm::Candidate { share } else { SHARE_WHOLE.saturating_sub(share) },
                counts: counts.unwrap_or_default(),
            }
        };
        let tier = |model: &str| TierView {
            model: model.into(),
            breaker: live.breakers.get(model).map_or(BreakerState::Closed, Breaker::state),
        };
        let view = |name: &str, deployed: &Deployed| RouteView {
            name: name.into(),
            arms: deployed.arms().map(|(whose, version)| arm(name, deployed, whose, version)).collect(),
            tiers: models_of(deployed).into_iter().map(tier).collect(),
        };
        routes.deployed.iter().map(|(name, deployed)| view(name, deployed)).collect()
    }
}

/// The models of the versions in effect, each once, sorted.
fn models_of(deployed: &Deployed) -> Vec<&str> {
    let mut models: Vec<&str> = deployed.arms().flat_map(|(_, version)| version.route.models()).collect();
    models.sort_unstable();
    models.dedup();
    models
}

impl Kernel {
    /// Other routes from now on. Requests under way end as they began; breakers stay, and counts of versions that stay in
    /// effect.
    pub fn set_routes(&self, routes: Routes) {
        self.shared.routing.set(routes);
    }

    /// The models of a route's versions in effect, each once; `None` where there is no such route.
    #[must_use]
    pub fn models_of_route(&self, name: &str) -> Option<Vec<Box<str>>> {
        let routes = self.shared.routing.routes.read();
        Some(models_of(routes.deployed.get(name)?).into_iter().map(Into::into).collect())
    }

    /// All routes, with what they came to since the node was started.
    #[must_use]
    pub fn routes(&self) -> Vec<RouteView> {
        self.shared.routing.view()
    }

    /// What requests of a class would get from a route now: for each arm, or for the one that a process is in. `None` where there is
    /// no such route.
    #[must_use]
    pub fn explain_route(&self, name: &str, class: &RequestClass, pid: Option<Pid>) -> Option<Vec<ArmExplained>> {
        let routing = &self.shared.routing;
        let routes = routing.routes.read().clone();
        let deployed = routes.deployed.get(name)?;
        let now_ns = self.shared.ports.clock.monotonic_ns();
        let tier = |model: &str| {
            let card = self.shared.ports.engine.card(model).ok();
            Tier {
                is_open: card.is_some(),
                rests_ns: routing.rests_ns(model, now_ns),
                context_length: card.map(|card| card.context_length),
                prompt_tokens: Some(class.prompt_tokens),
            }
        };
        let arms = deployed.arms().filter(|(arm, _)| pid.is_none_or(|pid| deployed.assigned(name, pid).0 == *arm));
        let explained = |(arm, version): (Arm, &Version)| ArmExplained {
            arm,
            version: version.number,
            explained: explain(&version.route, class, tier),
        };
        Some(arms.map(explained).collect())
    }
}
