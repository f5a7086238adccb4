//! The tries of one request: a model by its own name is tried once, a route's models in their turns.
//!
//! What a try that showed nothing means:
//!
//! | the engine says | the next model | the same again | the model's breaker |
//! | --- | --- | --- | --- |
//! | its queue is full | yes | after a pause | counts nothing: it works |
//! | it has stopped | yes | after a pause | counts a failure |
//! | the model is not open | yes | no | counts a failure |
//! | computing this one failed | yes | no | counts a failure of this process |
//! | the prompt cannot be put to it, or the answer cannot be held to its form | yes | no | counts nothing: it is the guest's |

use crate::{
    generation::unavailable,
    ports::{Clock, Engine, EngineError, EngineStream, GenerationJob, ModelCard, ModelUse},
    routing::{
        Assigned, RequestEnd, Routing,
        breaker::{Admission, Cause},
        policy::Skip,
        turns::{Trouble, Turn, Turns},
    },
};
use remit_abi::{LlmError, Params, Pid, Priority, Routed, Tokens, Toolset, Usage};
use remit_authority::ModelPrices;
use std::{fmt, sync::Arc};

/// A model that a request may be put to, with what that takes.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) card: Arc<ModelCard>,
    /// The prompt, as this model's tokenizer has it. Never empty, and shorter than the context.
    pub(crate) tokens: Arc<[u32]>,
    /// What was asked for, or what the context has room for.
    pub(crate) max_tokens: u32,
    pub(crate) prices: ModelPrices,
}

impl Candidate {
    /// What the prompt and so many tokens of output cost at most.
    fn price(&self, output: u32) -> Tokens {
        self.price_of_prompt().saturating_add(self.prices.of(Usage { output, ..Usage::default() }))
    }

    fn price_of_prompt(&self) -> Tokens {
        self.prices.of_prompt_at_most(u32::try_from(self.tokens.len()).unwrap_or(u32::MAX))
    }

    /// The prompt and one token.
    pub(crate) fn least(&self) -> Tokens {
        self.price(1)
    }

    /// The prompt and all that is asked for.
    pub(crate) fn most(&self) -> Tokens {
        self.price(self.max_tokens)
    }

    /// How many tokens of output an amount buys besides the prompt.
    fn payable(&self, amount: Tokens) -> u32 {
        amount.checked_sub(self.price_of_prompt()).map_or(0, |rest| self.prices.output_tokens_for(rest))
    }
}

/// A request on its way by a route.
pub(crate) struct Trip {
    routing: Arc<Routing>,
    assigned: Assigned,
    rule: Box<str>,
    /// The model that the rule names first.
    preferred: Box<str>,
    pid: Pid,
    began_ns: u64,
    tries: u32,
    /// The try under way, as long as nothing came of it; then as what it was let through.
    trial: Option<Trial>,
    ended: bool,
}

struct Trial {
    model: Arc<str>,
    admission: Admission,
    showed: bool,
}

impl Trip {
    /// Counts the request.
    pub(crate) fn begin(routing: Arc<Routing>, assigned: Assigned, pid: Pid, now_ns: u64) -> Self {
        routing.count(&assigned, |counts| counts.tally.requests += 1);
        let (rule, preferred) = Default::default();
        Self { routing, assigned, rule, preferred, pid, began_ns: now_ns, tries: 0, trial: None, ended: false }
    }

    /// Nobody was asked.
    pub(crate) fn refuse(&mut self) {
        self.end(RequestEnd::Failed { usage: Usage::default() });
    }

    /// What the rules say.
    pub(crate) fn chosen(&mut self, rule: &str, preferred: &str) {
        (self.rule, self.preferred) = (rule.into(), preferred.into());
    }

    /// For how long a model's breaker lets nothing through.
    pub(crate) fn rests_ns(&self, model: &str, now_ns: u64) -> Option<u64> {
        self.routing.rests_ns(model, now_ns)
    }

    /// The error of a request that no model of the route takes.
    pub(crate) fn refused(&self, troubles: &[(Arc<str>, LlmError)]) -> LlmError {
        let capacity = |error: &LlmError| match error {
            LlmError::TooLong { capacity, .. } => Some(*capacity),
            _ => None,
        };
        let is_guests = |error: &LlmError| {
            use LlmError::{EmptyPrompt, Invalid, Shortfall, TooLong};
            matches!(error, TooLong { .. } | Invalid(_) | EmptyPrompt | Shortfall(_))
        };
        let longest = troubles.iter().max_by_key(|(_, error)| capacity(error));
        match (troubles.first(), longest) {
            (_, Some((_, longest))) if troubles.iter().all(|(_, error)| capacity(error).is_some()) => longest.clone(),
            (Some((_, first)), _) if troubles.iter().all(|(_, error)| is_guests(error)) => first.clone(),
            _ => {
                let told: Vec<_> = troubles.iter().map(|(model, error)| format!("{model}: {error}")).collect();
                let route = &self.assigned.route;
                LlmError::Unavailable(format!("no model of the route {route} answers ({})", told.join("; ")).into())
            }
        }
    }

    fn admit(&mut self, model: &Arc<str>, now_ns: u64) -> Result<(), LlmError> {
        match self.routing.admit(model, now_ns) {
            Some(admission) => {
                self.tries += 1;
                self.trial = Some(Trial { model: model.clone(), admission, showed: false });
                Ok(())
            }
            None => {
                let rests_ns = self.routing.rests_ns(model, now_ns).unwrap_or_default();
                Err(LlmError::Unavailable(format!("it {}", Skip::Resting { rests_ns }).into()))
            }
        }
    }

    /// Nothing came of the try, or no more.
    fn failed(&mut self, error: &EngineError, now_ns: u64) {
        let Some(Trial { model, admission, .. }) = self.trial.take() else { return };
        let cause = match error {
            EngineError::Stopped(_) | EngineError::UnknownModel { .. } => Cause::Engine,
            EngineError::Failed(_) => Cause::Request(self.pid),
            EngineError::Busy { .. }
            | EngineError::TooLong { .. }
            | EngineError::Prompt(_)
            | EngineError::Format(_) => {
                return self.routing.given_up(&model, admission, now_ns);
            }
        };
        self.routing.failed(&model, admission, cause, now_ns);
    }

    fn showed(&mut self) {
        if let Some(trial) = &mut self.trial {
            trial.showed = true;
            self.routing.succeeded(&trial.model, trial.admission);
        }
    }

    fn end(&mut self, end: RequestEnd) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.routing.ended(&self.assigned, end);
        let fell_back = matches!(end, RequestEnd::Answered { .. })
            && self.trial.as_ref().is_some_and(|trial| *trial.model != *self.preferred);
        let again = self.tries.saturating_sub(1);
        self.routing.count(&self.assigned, |counts| {
            counts.tally.fell_back += u64::from(fell_back);
            counts.tally.tried_again += u64::from(again);
        });
    }
}

impl Drop for Trip {
    fn drop(&mut self) {
        self.end(RequestEnd::GivenUp { usage: Usage::default() });
        if let Some(Trial { model, admission, showed: false }) = self.trial.take() {
            // A moment that has passed: the next request is the probe.
            self.routing.given_up(&model, admission, 0);
        }
    }
}

/// A try that an engine took.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) stream: EngineStream,
    pub(crate) prices: ModelPrices,
    /// Whether the account, not the caller, set the number of tokens.
    pub(crate) cut_by_budget: bool,
}

/// How far a request is.
#[derive(Debug)]
pub(crate) enum Progress {
    /// An engine took it.
    Begun(Begun),
    /// Nothing happens before this moment of the monotonic clock.
    Pause { until_ns: u64 },
    /// Nobody takes it.
    Over(LlmError),
}

/// The tries of one request.
pub(crate) struct Tries {
    engine: Arc<dyn Engine>,
    clock: Arc<dyn Clock>,
    /// As each try is asked for, but for model, prompt and length.
    params: Params,
    tools: Option<Arc<Toolset>>,
    /// What was set aside for whichever model answers.
    reserved: Tokens,
    candidates: Vec<Candidate>,
    /// Of these the one that took it last.
    taken_by: Option<usize>,
    turns: Turns,
    /// What each candidate that did not answer said last.
    troubles: Vec<(Arc<str>, LlmError)>,
    trip: Option<Trip>,
    pid: Pid,
    priority: Priority,
}

impl fmt::Debug for Tries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tries").field("candidates", &self.candidates.len()).finish_non_exhaustive()
    }
}

/// What all tries of a request have in common.
pub(crate) struct Common {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) params: Params,
    pub(crate) tools: Option<Arc<Toolset>>,
    pub(crate) reserved: Tokens,
    pub(crate) pid: Pid,
    pub(crate) priority: Priority,
}

impl Tries {
    /// Of candidates in the order of preference; with a trip, by the rules of its route.
    pub(crate) fn new(common: Common, candidates: Vec<Candidate>, turns: Turns, trip: Option<Trip>) -> Self {
        let Common { engine, clock, params, tools, reserved, pid, priority } = common;
        let (taken_by, troubles) = (None, Vec::new());
        Self { engine, clock, params, tools, reserved, candidates, taken_by, turns, troubles, trip, pid, priority }
    }

    /// Whether a failure before anything was shown may be made good.
    pub(crate) fn is_routed(&self) -> bool {
        self.trip.is_some()
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    /// Puts the request to whoever's turn it is, until somebody takes it, or a pause is due, or nobody is left.
    pub(crate) fn step(&mut self) -> Progress {
        loop {
            let now_ns = self.clock.monotonic_ns();
            match self.turns.next(now_ns) {
                Turn::Try(index) => match self.begin(index, now_ns) {
                    Ok(begun) => return Progress::Begun(begun),
                    Err((trouble, error)) => self.note(index, trouble, error),
                },
                Turn::Pause { until_ns } => return Progress::Pause { until_ns },
                Turn::Over => return Progress::Over(self.over()),
            }
        }
    }

    fn begin(&mut self, index: usize, now_ns: u64) -> Result<Begun, (Trouble, LlmError)> {
        let Candidate { card, tokens, max_tokens, prices } = &self.candidates[index];
        let payable = self.candidates[index].payable(self.reserved);
        if payable == 0 {
            let why = "its price is more than the account can set aside".into();
            return Err((Trouble::Stays, LlmError::Unavailable(why)));
        }
        if let Some(trip) = &mut self.trip {
            trip.admit(&card.name, now_ns).map_err(|error| (Trouble::MayPass, error))?;
        }
        let params = Params { max_tokens: (*max_tokens).min(payable), ..self.params.clone() };
        let job = GenerationJob {
            tenant: self.pid.tenant,
            program: self.pid.number(),
            priority: self.priority,
            model: card.name.clone(),
            prompt: tokens.clone(),
            params,
            tools: self.tools.clone(),
        };
        match self.engine.generate(job) {
            Ok(stream) => {
                self.taken_by = Some(index);
                Ok(Begun { stream, prices: *prices, cut_by_budget: payable < *max_tokens })
            }
            Err(error) => Err(self.failed_try(&error)),
        }
    }

    /// What the model did that took it last; `None` before the first.
    pub(crate) fn used(&self, usage: Usage) -> Option<ModelUse> {
        let card = &self.candidates.get(self.taken_by?)?.card;
        let (name, digest) = (card.name.clone(), card.digest.clone());
        Some(ModelUse { name, digest, seed: self.params.sampling.seed, usage })
    }

    /// The try under way came to nothing.
    fn failed_try(&mut self, error: &EngineError) -> (Trouble, LlmError) {
        let now_ns = self.clock.monotonic_ns();
        if let Some(trip) = &mut self.trip {
            trip.failed(error, now_ns);
        }
        let trouble = match error {
            EngineError::Busy { .. } | EngineError::Stopped(_) => Trouble::MayPass,
            EngineError::UnknownModel { .. }
            | EngineError::TooLong { .. }
            | EngineError::Prompt(_)
            | EngineError::Format(_)
            | EngineError::Failed(_) => Trouble::Stays,
        };
        (trouble, unavailable(error))
    }

    fn note(&mut self, index: usize, trouble: Trouble, error: LlmError) {
        self.turns.failed(index, trouble);
        let name = &self.candidates[index].card.name;
        self.troubles.retain(|(earlier, _)| earlier != name);
        self.troubles.push((name.clone(), error));
    }

    /// The stream of the try under way failed before anything was shown.
    pub(crate) fn failed_silently(&mut self, error: &EngineError) {
        let Some(name) = self.trip.as_ref().and_then(|trip| Some(trip.trial.as_ref()?.model.clone())) else { return };
        let (trouble, error) = self.failed_try(error);
        if let Some(index) = self.candidates.iter().position(|candidate| candidate.card.name == name) {
            self.note(index, trouble, error);
        }
    }

    fn over(&mut self) -> LlmError {
        let last = || self.troubles.last().map(|(_, error)| error.clone());
        match &mut self.trip {
            Some(trip) => {
                trip.end(RequestEnd::Failed { usage: Usage::default() });
                trip.refused(&self.troubles)
            }
            None => last().unwrap_or_else(|| LlmError::Unavailable("no model takes it".into())),
        }
    }

    /// The first piece of an answer is here: from now on an error is the guest's.
    pub(crate) fn showed(&mut self) {
        if let Some(trip) = &mut self.trip {
            trip.showed();
        }
    }

    /// The stream broke off after something was shown.
    pub(crate) fn broke(&mut self, error: &EngineError, usage: Usage) {
        let now_ns = self.clock.monotonic_ns();
        if let Some(trip) = &mut self.trip {
            trip.end(RequestEnd::Failed { usage });
            trip.failed(error, now_ns);
        }
    }

    /// The stream ended well; where it had been sent.
    pub(crate) fn answered(&mut self, usage: Usage) -> Option<Box<Routed>> {
        let micros = |began_ns: u64| self.clock.monotonic_ns().saturating_sub(began_ns) / 1000;
        let trip = self.trip.as_mut()?;
        trip.end(RequestEnd::Answered { usage, micros: micros(trip.began_ns) });
        Some(Box::new(Routed {
            route: (&*trip.assigned.route).into(),
            version: trip.assigned.version.number,
            arm: trip.assigned.arm,
            rule: trip.rule.clone(),
            model: trip.trial.as_ref().map_or_else(Box::default, |trial| (&*trial.model).into()),
            tries: trip.tries,
        }))
    }

    /// Nobody wants the rest.
    pub(crate) fn given_up(&mut self, usage: Usage) {
        if let Some(trip) = &mut self.trip {
            trip.end(RequestEnd::GivenUp { usage });
        }
    }
}
