//! Requests by a route: opened like a model, and put to one of its models.

use super::{Context, generate::Generate};
use crate::{
    generation::unavailable,
    kernel::Shared,
    ports::ModelCard,
    process::{OpenModel, Way},
    routing::{
        policy::{RequestClass, Skip},
        turns::RetryRules,
    },
    tries::{Candidate, Trip},
};
use remit_abi::{GrantId, LlmError, Params};
use std::{collections::HashMap, sync::Arc};

/// What a route's card says of its family.
const FAMILY: &str = "route";

/// What can be said of a generation whatever model answers it: no token by its number, which means another text to each.
pub(super) fn validate_params(params: &Params) -> Result<(), LlmError> {
    match params.logit_bias.is_empty() && params.stop_tokens.is_empty() {
        true => Ok(()),
        false => {
            let why = "logit-bias and stop-tokens name tokens of one model, and a route has several: open a model";
            Err(LlmError::Invalid(why.into()))
        }
    }
}

/// Opens a route; `None` where the name is none's.
pub(super) fn open(context: &Context<'_>, name: &str, grant: GrantId) -> Result<Option<OpenModel>, LlmError> {
    let shared = context.shared;
    let Some(assigned) = shared.routing.assigned(name, context.process.pid) else { return Ok(None) };
    let models = assigned.version.route.models();
    let cards = models.into_iter().map(|model| shared.ports.engine.card(model));
    let (mut longest, mut trouble) = (None, None);
    for card in cards {
        match card {
            Ok(card) => longest = longest.max(Some((card.context_length, card.vocabulary))),
            Err(error) => trouble = trouble.or(Some(unavailable(&error))),
        }
    }
    let none = || LlmError::Unavailable(format!("the route {name} has no model that is open").into());
    let (context_length, vocabulary) = longest.ok_or_else(|| trouble.unwrap_or_else(none))?;
    let card = ModelCard {
        name: assigned.route.clone(),
        family: FAMILY.into(),
        context_length,
        vocabulary,
        digest: assigned.version.digest.clone(),
    };
    let task = context.process.grants.get(grant).map(|held| held.label.clone()).unwrap_or_default();
    Ok(Some(OpenModel { grant, card: Arc::new(card), way: Way::Routed { task } }))
}

/// Whose tokenizer a route's rules count by.
pub(super) fn measure(context: &Context<'_>, name: &str) -> Result<Arc<str>, LlmError> {
    let assigned = context.shared.routing.assigned(name, context.process.pid).ok_or_else(|| gone(name))?;
    let measure = assigned.version.route.default.first().ok_or_else(|| gone(name))?;
    Ok((&**measure).into())
}

fn gone(name: &str) -> LlmError {
    LlmError::Unavailable(format!("there is no route {name} any more").into())
}

/// What a route says of a request.
pub(super) struct Chosen {
    pub(super) candidates: Vec<Candidate>,
    pub(super) trip: Trip,
    pub(super) retry: RetryRules,
}

/// Asks the rules, and counts the prompt by each model that may answer.
pub(super) fn choose(generate: &Generate, task: &str, shared: &Shared) -> Result<Chosen, LlmError> {
    let (name, pid) = (&*generate.card.name, generate.pid);
    let now_ns = shared.ports.clock.monotonic_ns();
    let assigned = shared.routing.assigned(name, pid).ok_or_else(|| gone(name))?;
    let route = assigned.version.route.clone();
    let mut trip = Trip::begin(shared.routing.clone(), assigned, pid, now_ns);
    let mut asked = Asked { generate, shared, known: HashMap::new() };
    let prompt_tokens = match route.measures_prompts() {
        true => asked.measured(&route.default).inspect_err(|_| trip.refuse())?,
        false => 0,
    };
    let class = RequestClass {
        task: task.into(),
        prompt_tokens,
        output_tokens: generate.params.max_tokens,
        priority: generate.priority,
        tenant: pid.tenant,
        budget: generate.budget,
    };
    let choice = route.choose(&class);
    trip.chosen(choice.rule, choice.models.first().map_or("", |model| model));
    let (mut candidates, mut troubles) = (Vec::new(), Vec::new());
    for model in choice.models {
        match asked.candidate(model, trip.rests_ns(model, now_ns)) {
            Ok(candidate) => candidates.push(candidate),
            Err(error) => troubles.push(((&**model).into(), error)),
        }
    }
    match candidates.is_empty() {
        true => {
            trip.refuse();
            Err(trip.refused(&troubles))
        }
        false => Ok(Chosen { candidates, trip, retry: route.retry }),
    }
}

/// The models that were asked how they would see a request: each counts a prompt once.
struct Asked<'a> {
    generate: &'a Generate,
    shared: &'a Shared,
    known: HashMap<Box<str>, Result<Candidate, LlmError>>,
}

impl Asked<'_> {
    fn of(&mut self, model: &str) -> Result<Candidate, LlmError> {
        if let Some(known) = self.known.get(model) {
            return known.clone();
        }
        let card = self.shared.ports.engine.card(model).map_err(|error| unavailable(&error));
        let candidate = card.and_then(|card| self.generate.candidate(self.shared, Arc::new(card)));
        self.known.insert(model.into(), candidate.clone());
        candidate
    }

    /// One that does not rest.
    fn candidate(&mut self, model: &str, rests_ns: Option<u64>) -> Result<Candidate, LlmError> {
        match rests_ns {
            Some(rests_ns) => Err(LlmError::Unavailable(format!("it {}", Skip::Resting { rests_ns }).into())),
            None => self.of(model),
        }
    }

    /// The prompt's length, by the first of these that can count it.
    fn measured(&mut self, models: &[Box<str>]) -> Result<u32, LlmError> {
        let mut trouble = None;
        for model in models {
            match self.of(model) {
                Ok(candidate) => return Ok(u32::try_from(candidate.tokens.len()).unwrap_or(u32::MAX)),
                Err(LlmError::TooLong { tokens, .. }) => return Ok(tokens),
                Err(error) => trouble = trouble.or(Some(error)),
            }
        }
        Err(trouble.unwrap_or(LlmError::EmptyPrompt))
    }
}
