//! `llm`: inference, reserved before it begins and settled by the engine's own counts.
//!
//! A generation reserves its prompt at the full price and as many output tokens as were asked for, or as the account can
//! pay: then the account, not the caller, sets its length, and its end says so. Some fuel is left in the account, so that
//! the agent can still say a last word.

use super::{
    Context, Right, embed,
    params::validate_params,
    prompt::{self, Resolved},
};
use crate::{
    bill::{Quote, Reservation},
    control::ControlBlock,
    generation::{Collected, Generation, unavailable},
    kernel::Shared,
    ports::{EngineStream, GenerationJob, ModelCard},
    process::{OpenModel, Process, TEXT, Value},
};
use bytes::Bytes;
use remit_abi::{
    Access, Completion, DrawnToken, Fuel, GenerationId, GrantId, GrantKind, Label, LlmError, LlmReply, LlmRequest,
    ModelId, ModelInfo, Params, Prompt, TenantId, Usage, ValueError, limits,
};
use std::sync::Arc;

pub(super) fn validate(process: &Process, request: &LlmRequest) -> Result<(), LlmError> {
    match request {
        LlmRequest::Open { .. } if !process.has_room(process.models.len()) => {
            Err(LlmError::TooMany { limit: process.limits.objects_max })
        }
        LlmRequest::CountTokens { prompt, .. } => prompt::validate(process, prompt),
        LlmRequest::Embed { texts, .. } => embed::validate(process, texts),
        LlmRequest::Chat(generate) => validate_generate(process, generate),
        LlmRequest::Start(generate) => {
            if process.generations.len() as u64 >= process.limits.generations_max {
                return Err(LlmError::TooMany { limit: process.limits.generations_max });
            }
            validate_generate(process, generate)
        }
        _ => Ok(()),
    }
}

fn validate_generate(process: &Process, generate: &remit_abi::Generate) -> Result<(), LlmError> {
    prompt::validate(process, &generate.prompt)?;
    let open = process.models.get(generate.model).ok_or(LlmError::Dead)?;
    validate_params(&generate.params, open.card.vocabulary)
}

pub(super) fn right(process: &Process, request: &LlmRequest) -> Right {
    let kind = GrantKind::Model;
    let look = |model: ModelId| match process.models.get(model) {
        Some(open) => Right::Look { grant: open.grant, kind },
        None => Right::None,
    };
    match request {
        LlmRequest::Open { grant } => Right::Look { grant: *grant, kind },
        LlmRequest::CountTokens { model, .. } => look(*model),
        LlmRequest::Chat(generate) | LlmRequest::Start(generate) => match process.models.get(generate.model) {
            Some(open) => {
                let (tokens, label) = (generate.params.max_tokens, prompt::label(process, &generate.prompt));
                Right::Use { grant: open.grant, kind, access: Access::ReadWrite, tokens, label }
            }
            None => Right::None,
        },
        LlmRequest::Embed { model, texts } => match process.models.get(*model) {
            Some(open) => {
                let flows = |label: Label, text| label.join(process.content_label(text));
                let label = texts.iter().fold(process.label, flows);
                Right::Use { grant: open.grant, kind, access: Access::ReadWrite, tokens: 0, label }
            }
            None => Right::None,
        },
        LlmRequest::Next { generation } => match process.generations.get(*generation) {
            Some(generation) => Right::Look { grant: generation.grant, kind },
            None => Right::None,
        },
        _ => Right::None,
    }
}

fn open(context: &mut Context<'_>, grant: GrantId) -> Result<LlmReply, LlmError> {
    let name = model_of(context, grant)?;
    let card = context.shared.ports.engine.card(&name).map_err(|error| unavailable(&error))?;
    Ok(LlmReply::Opened(context.process.models.insert(OpenModel { grant, card: Arc::new(card) })))
}

/// The one model that a grant opens. A grant of several has to be narrowed to one first.
fn model_of(context: &Context<'_>, grant: GrantId) -> Result<Box<str>, LlmError> {
    let several = || LlmError::Invalid("the grant opens several models: attenuate it to one".into());
    let grants = context.shared.grants.lock();
    match grants.node(grant).ok_or(LlmError::Dead)?.spec.scope.entries() {
        [name] if !name.ends_with('*') => Ok(name.clone()),
        _ => Err(several()),
    }
}

pub(super) fn act(context: &mut Context<'_>, request: &LlmRequest) -> Result<LlmReply, LlmError> {
    if let LlmRequest::Open { grant } = request {
        return open(context, *grant);
    }
    let process = &mut *context.process;
    match request {
        LlmRequest::Info { model } => {
            let card = &process.models.get(*model).ok_or(LlmError::Dead)?.card;
            Ok(LlmReply::Info(ModelInfo {
                name: (&*card.name).into(),
                family: (&*card.family).into(),
                context_length: card.context_length,
                digest: (&*card.digest).into(),
            }))
        }
        LlmRequest::Cancel { generation } => {
            process.generations.get(*generation).ok_or(LlmError::Dead)?.cancel();
            Ok(LlmReply::Done)
        }
        LlmRequest::DropModel { model } => process.models.remove(*model).map(|_| LlmReply::Done).ok_or(LlmError::Dead),
        LlmRequest::DropGeneration { generation } => {
            process.generations.remove(*generation).map(|_| LlmReply::Done).ok_or(LlmError::Dead)
        }
        _ => unreachable!("a request that may wait becomes a call"),
    }
}

/// Counting a prompt's tokens.
pub(crate) struct Count {
    card: Arc<ModelCard>,
    prompt: Resolved,
}

impl Count {
    pub(super) fn prepare(process: &Process, model: ModelId, prompt: &Prompt) -> Result<Self, LlmError> {
        let card = process.models.get(model).ok_or(LlmError::Dead)?.card.clone();
        let prompt = Resolved::new(process, prompt, &card)?;
        Ok(Self { card, prompt })
    }

    pub(super) fn quote(&self, shared: &Shared) -> Quote {
        let fuel = Fuel(self.prompt.bytes.saturating_mul(limits::TOKENIZE_FUEL_PER_BYTE));
        Quote::exactly(shared.prices.fuel(fuel))
    }

    pub(super) fn act(self, shared: &Shared, reserved: Reservation) -> Result<LlmReply, LlmError> {
        let tokens = shared.ports.engine.tokenize(&self.card.name, &self.prompt.text);
        let tokens = tokens.map_err(|error| unavailable(&error))?;
        reserved.settle_whole();
        Ok(LlmReply::Counted(u32::try_from(tokens.len()).unwrap_or(u32::MAX)))
    }
}

/// How a generation is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    Whole,
    Stream,
}

/// A generation to do.
pub(crate) struct Generate {
    tenant: TenantId,
    grant: GrantId,
    card: Arc<ModelCard>,
    prompt: Resolved,
    params: Params,
    delivery: Delivery,
    /// The prompt's tokens, once they are known.
    tokens: Arc<[u32]>,
}

impl Generate {
    pub(super) fn prepare(
        process: &Process,
        generate: &remit_abi::Generate,
        delivery: Delivery,
    ) -> Result<Self, LlmError> {
        let OpenModel { grant, card } = process.models.get(generate.model).ok_or(LlmError::Dead)?.clone();
        let prompt = Resolved::new(process, &generate.prompt, &card)?;
        let (tenant, params) = (process.pid.tenant, generate.params.clone());
        Ok(Self { tenant, grant, card, prompt, params, delivery, tokens: [].into() })
    }

    /// Tokenises, so that the price is exact, and shortens the generation to what fits the context.
    pub(super) fn quote(&mut self, shared: &Shared) -> Result<Quote, LlmError> {
        let tokens = shared.ports.engine.tokenize(&self.card.name, &self.prompt.text);
        self.tokens = tokens.map_err(|error| unavailable(&error))?;
        let (used, capacity) = (self.prompt_tokens(), self.card.context_length);
        if used == 0 {
            return Err(LlmError::EmptyPrompt);
        }
        let room = capacity.checked_sub(used).filter(|room| *room > 0);
        let room = room.ok_or(LlmError::TooLong { tokens: used, capacity })?;
        self.params.max_tokens = self.params.max_tokens.min(room);
        let prices = shared.prices.model(&self.card.name);
        let prompt = prices.of_prompt_at_most(used);
        let output = |tokens| prompt.saturating_add(prices.of(Usage { output: tokens, ..Usage::default() }));
        let spare = shared.prices.fuel(limits::FUEL_SLICE).saturating_mul(limits::WIND_DOWN_SLICES);
        Ok(Quote { least: output(1), most: output(self.params.max_tokens), spare })
    }

    pub(super) async fn act(
        self,
        shared: &Shared,
        block: &ControlBlock,
        reserved: Reservation,
    ) -> Result<LlmReply, LlmError> {
        let (delivery, label) = (self.delivery, self.prompt.label);
        let generation = self.start(shared, reserved)?;
        match delivery {
            Delivery::Stream => {
                let generation = Arc::new(generation);
                shared.streams.enter(&generation);
                Ok(LlmReply::Started(block.process.lock().generations.insert(generation)))
            }
            Delivery::Whole => {
                let collected = generation.collect().await?;
                keep(&mut block.process.lock(), collected, label).map(LlmReply::Completed)
            }
        }
    }

    fn start(self, shared: &Shared, reserved: Reservation) -> Result<Generation, LlmError> {
        let prices = shared.prices.model(&self.card.name);
        let for_output = reserved.amount().saturating_sub(prices.of_prompt_at_most(self.prompt_tokens()));
        let payable = prices.output_tokens_for(for_output);
        let cut_by_budget = payable < self.params.max_tokens;
        let params = Params { max_tokens: self.params.max_tokens.min(payable), ..self.params };
        let job = GenerationJob { tenant: self.tenant, model: self.card.name.clone(), prompt: self.tokens, params };
        let stream: EngineStream = shared.ports.engine.generate(job).map_err(|error| unavailable(&error))?;
        Ok(Generation::new(stream, reserved, prices, self.prompt.label, self.grant, cut_by_budget))
    }

    fn prompt_tokens(&self) -> u32 {
        u32::try_from(self.tokens.len()).unwrap_or(u32::MAX)
    }
}

/// Makes values of what a model wrote, and of its log-probabilities where there are any. It was paid for, so a table
/// without room for it is the guest's mistake to mend.
///
/// The log-probabilities have the label of the text: each names its token, so that whoever reads them has read it.
fn keep(process: &mut Process, collected: Collected, label: Label) -> Result<Completion, LlmError> {
    let Collected { text, logprobs, summary } = collected;
    let mut insert = |bytes: Bytes, media_type: &str| {
        let value = Value { bytes, media_type: media_type.into(), label };
        process.values.insert(value, &process.limits).map_err(|error| match error {
            ValueError::TooMany { limit } => LlmError::TooMany { limit },
            error => LlmError::Invalid(error.to_string().into()),
        })
    };
    let content = insert(text.into(), TEXT)?;
    if logprobs.is_empty() {
        return Ok(Completion { content, logprobs: None, summary });
    }
    match insert(logprobs.into(), DrawnToken::MEDIA_TYPE) {
        Ok(logprobs) => Ok(Completion { content, logprobs: Some(logprobs), summary }),
        Err(error) => {
            process.values.remove(content);
            Err(error)
        }
    }
}

/// Reading the next piece of a stream, which raises the process's label.
pub(crate) struct Next {
    generation: Arc<Generation>,
}

impl Next {
    pub(super) fn prepare(process: &Process, id: GenerationId) -> Result<Self, LlmError> {
        process.generations.get(id).cloned().map(|generation| Self { generation }).ok_or(LlmError::Dead)
    }

    pub(super) async fn act(self, block: &ControlBlock) -> Result<LlmReply, LlmError> {
        let delta = self.generation.next().await?;
        let mut process = block.process.lock();
        process.label = process.label.join(self.generation.label);
        Ok(LlmReply::Next(delta))
    }
}
