//! A generation, from the request to its stream or its whole text.
//!
//! It reserves its prompt at the full price and as many output tokens as were asked for, or as the account can pay: then the
//! account, not the caller, sets its length, and its end says so. Some fuel is left in the account, so that the agent can
//! still say a last word.
//!
//! Where several models may answer, what is reserved is enough for the dearest of them as far as the account goes, and for the
//! cheapest at least; what is paid is the price of the one that answered.

use super::{Context, prompt::Resolved, route, streaming::Streaming};
use crate::{
    bill::{Quote, Reservation},
    control::ControlBlock,
    generation::{Collected, Generation, unavailable},
    kernel::Shared,
    ports::{ModelCard, ModelUse, Note},
    process::{OpenModel, Process, TEXT, Value, Way},
    routing::turns::{RetryRules, Turns},
    runaway::{Turn, hash_of},
    tries::{Candidate, Common, Tries, Trip},
};
use bytes::Bytes;
use remit_abi::{
    Completion, DrawnToken, GrantId, Label, LlmError, LlmReply, Params, Pid, Priority, Tokens, ToolCall, ValueError,
    limits,
};
use std::sync::Arc;

/// How a generation is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    Whole,
    Stream,
}

/// Who asks a model.
#[derive(Clone)]
pub(super) struct Asker {
    pid: Pid,
    priority: Priority,
    /// What the process could spend when it asked.
    budget: Tokens,
    pub(super) model: OpenModel,
}

impl Asker {
    pub(super) fn new(context: &Context<'_>, model: OpenModel) -> Self {
        let (process, priority) = (&*context.process, context.block.facts.priority);
        Self { pid: process.pid, priority, budget: process.bill.remaining(), model }
    }
}

/// What came of a whole generation.
pub(super) struct Came {
    pub(super) collected: Result<Collected, LlmError>,
    pub(super) used: Option<ModelUse>,
    pub(super) turn: Option<Turn>,
}

/// A generation to do.
pub(crate) struct Generate {
    pub(super) pid: Pid,
    pub(super) priority: Priority,
    /// What the process could spend when it asked.
    pub(super) budget: Tokens,
    grant: GrantId,
    pub(super) card: Arc<ModelCard>,
    pub(super) way: Way,
    pub(super) prompt: Resolved,
    pub(super) params: Params,
    delivery: Delivery,
    /// Who may answer, once the prompt is counted; the preferred one first.
    candidates: Vec<Candidate>,
    /// Where a route decided.
    trip: Option<(Trip, RetryRules)>,
}

impl Generate {
    pub(super) fn prepare(
        context: &Context<'_>,
        generate: &remit_abi::Generate,
        delivery: Delivery,
    ) -> Result<Self, LlmError> {
        let process = &*context.process;
        let model = process.models.get(generate.model).ok_or(LlmError::Dead)?.clone();
        let prompt = Resolved::new(process, &generate.prompt, &model.card)?;
        Ok(Self { delivery, ..Self::of(Asker::new(context, model), prompt, generate.params.clone()) })
    }

    /// One that is wanted whole.
    pub(super) fn of(asker: Asker, prompt: Resolved, params: Params) -> Self {
        let Asker { pid, priority, budget, model: OpenModel { grant, card, way } } = asker;
        let (delivery, candidates, trip) = (Delivery::Whole, Vec::new(), None);
        Self { pid, priority, budget, grant, card, way, prompt, params, delivery, candidates, trip }
    }

    /// Tokenises, so that the price is exact, compiles what the answer is held to, and shortens the generation to what fits the context.
    pub(super) fn quote(&mut self, shared: &Shared) -> Result<Quote, LlmError> {
        match &self.way {
            Way::Direct => self.candidates = vec![self.candidate(shared, self.card.clone())?],
            Way::Routed { task } => {
                let chosen = route::choose(self, task, shared)?;
                (self.candidates, self.trip) = (chosen.candidates, Some((chosen.trip, chosen.retry)));
            }
        }
        Ok(self.price(shared))
    }

    fn price(&self, shared: &Shared) -> Quote {
        let least = self.candidates.iter().map(Candidate::least).min().unwrap_or_default();
        let most = self.candidates.iter().map(Candidate::most).max().unwrap_or_default();
        let spare = shared.prices.fuel(limits::FUEL_SLICE).saturating_mul(limits::WIND_DOWN_SLICES);
        Quote { least, most, spare }
    }

    /// The prompt's length, once it is counted: by the tokenizer that has most tokens, of those that may answer.
    pub(super) fn prompt_tokens(&self) -> u32 {
        let most = self.candidates.iter().map(|candidate| candidate.tokens.len()).max().unwrap_or_default();
        u32::try_from(most).unwrap_or(u32::MAX)
    }

    /// The quote for no more than so many tokens of output.
    pub(super) fn shortened(&mut self, shared: &Shared, max_tokens: u32) -> Quote {
        for candidate in &mut self.candidates {
            candidate.max_tokens = candidate.max_tokens.min(max_tokens);
        }
        self.price(shared)
    }

    /// Waits for all of it.
    pub(super) async fn whole(self, shared: &Shared, reserved: Reservation) -> Came {
        match self.begin(shared, reserved).await {
            Ok(generation) => {
                let collected = generation.collect().await;
                Came { collected, used: generation.take_used().await, turn: generation.take_turn().await }
            }
            Err(error) => Came { collected: Err(error), used: None, turn: None },
        }
    }

    /// The request as it would be put to a model.
    pub(super) fn candidate(&self, shared: &Shared, card: Arc<ModelCard>) -> Result<Candidate, LlmError> {
        let engine = &shared.ports.engine;
        let tokens = engine.tokenize(&card.name, &self.prompt.text).map_err(|error| unavailable(&error))?;
        let accepted = engine.accepts(
            self.pid.tenant,
            &card.name,
            &self.params.format,
            self.prompt.text.tools().map(|tools| &**tools),
        );
        accepted.map_err(|error| unavailable(&error))?;
        let (used, capacity) = (u32::try_from(tokens.len()).unwrap_or(u32::MAX), card.context_length);
        if used == 0 {
            return Err(LlmError::EmptyPrompt);
        }
        let room = capacity.checked_sub(used).filter(|room| *room > 0);
        let room = room.ok_or(LlmError::TooLong { tokens: used, capacity })?;
        let (max_tokens, prices) = (self.params.max_tokens.min(room), shared.prices.model(&card.name));
        Ok(Candidate { card, tokens, max_tokens, prices })
    }

    pub(super) async fn act(
        self,
        shared: &Shared,
        block: &ControlBlock,
        reserved: Reservation,
    ) -> Result<LlmReply, LlmError> {
        let label = self.prompt.label;
        match self.delivery {
            Delivery::Stream => {
                let generation = self.begin(shared, reserved).await?;
                let asked = generation.asked().await;
                let generation = Arc::new(generation);
                shared.streams.enter(&generation);
                let process = &mut *block.process.lock();
                process.due.used(asked);
                Ok(LlmReply::Started(process.generations.insert(Streaming::Live(generation))))
            }
            Delivery::Whole => {
                let Came { collected, used, turn } = self.whole(shared, reserved).await;
                if collected.is_ok() {
                    shared.turned(block, turn);
                }
                let process = &mut *block.process.lock();
                let kept = collected.and_then(|collected| keep(process, collected, label));
                process.due.used(used);
                kept.map(LlmReply::Completed)
            }
        }
    }

    /// Counts, pays and begins again what a host's end cut.
    pub(super) async fn begin_anew(
        mut self,
        shared: &Shared,
        block: &ControlBlock,
    ) -> Result<Arc<Generation>, LlmError> {
        let quote = self.quote(shared)?;
        let bill = block.process.lock().bill.clone();
        let reserved = bill.reserve(quote).map_err(LlmError::Shortfall)?;
        let generation = Arc::new(self.begin(shared, reserved).await?);
        shared.streams.enter(&generation);
        Ok(generation)
    }

    /// The same request, of which nothing is counted.
    pub(super) fn afresh(&self) -> Self {
        let Self { pid, priority, budget, grant, delivery, .. } = *self;
        let (card, way, prompt, params) =
            (self.card.clone(), self.way.clone(), self.prompt.clone(), self.params.clone());
        let (candidates, trip) = Default::default();
        Self { pid, priority, budget, grant, card, way, prompt, params, delivery, candidates, trip }
    }

    /// What goes into it.
    pub(super) const fn label(&self) -> Label {
        self.prompt.label
    }

    /// Under which it is asked for.
    pub(super) const fn grant(&self) -> GrantId {
        self.grant
    }

    /// As [`Generate::grant`], for who has it under another one.
    pub(super) const fn grant_mut(&mut self) -> &mut GrantId {
        &mut self.grant
    }

    async fn begin(self, shared: &Shared, reserved: Reservation) -> Result<Generation, LlmError> {
        let (label, grant) = (self.prompt.label, self.grant);
        let Params { max_tokens, sampling, .. } = &self.params;
        let prompts = self.candidates.iter().map(|candidate| &candidate.tokens).collect::<Vec<_>>();
        let asked = hash_of((prompts, max_tokens, sampling.seed, sampling.temperature.to_bits()));
        Generation::begin(self.tries(shared, reserved.amount()), reserved, (label, grant), asked).await
    }

    fn tries(self, shared: &Shared, reserved: Tokens) -> Tries {
        let (engine, clock) = (shared.ports.engine.clone(), shared.ports.clock.clone());
        let (trip, retry) = match self.trip {
            Some((trip, retry)) => (Some(trip), retry),
            None => (None, RetryRules::ONCE),
        };
        // Where the system has no random bytes, pauses are all drawn alike.
        let mut seed = [0; 8];
        let _zeros = trip.as_ref().map(|_| shared.ports.entropy.fill(&mut seed));
        let turns = Turns::new(self.candidates.len(), retry, u64::from_le_bytes(seed), clock.monotonic_ns());
        let tools = self.prompt.text.tools().cloned();
        let Self { params, pid, priority, .. } = self;
        let common = Common { engine, clock, params, tools, reserved, pid, priority };
        Tries::new(common, self.candidates, turns, trip)
    }
}

/// Makes values of what a model wrote, of its calls and of its log-probabilities where there are any. It was paid for, so a table
/// without room for it is the guest's mistake to mend.
///
/// All have the label of the text: calls are the model's words, and log-probabilities name its tokens, so that whoever reads
/// them has read it.
pub(super) fn keep(process: &mut Process, collected: Collected, label: Label) -> Result<Completion, LlmError> {
    let Collected { text, calls, logprobs, summary } = collected;
    let mut kept = Vec::new();
    let mut insert = |bytes: Bytes, media_type: &str| {
        let value = Value { bytes, media_type: media_type.into(), label };
        let image = value.image();
        let inserted = process.values.insert(value, &process.limits);
        inserted.inspect(|value| kept.push((*value, image))).map_err(|error| match error {
            ValueError::TooMany { limit } => LlmError::TooMany { limit },
            error => LlmError::Invalid(error.to_string().into()),
        })
    };
    let insert_all = || {
        let content = insert(text.into(), TEXT)?;
        let mut insert_some = |bytes: Vec<u8>, media_type| match bytes.is_empty() {
            true => Ok(None),
            false => insert(bytes.into(), media_type).map(Some),
        };
        let calls = insert_some(calls, ToolCall::MEDIA_TYPE)?;
        let logprobs = insert_some(logprobs, DrawnToken::MEDIA_TYPE)?;
        Ok(Completion { content, calls, logprobs, summary })
    };
    let completion = insert_all();
    for (value, image) in kept {
        match completion {
            Ok(_) => process.due.note(|| Note::Value(value, image)),
            Err(_) => drop(process.values.remove(value)),
        }
    }
    completion
}
