//! `llm`: what a guest may ask of models; what it opens, counts and reads. Generations begin in `generate`, by routes in `route`.

use super::{
    Context, Right, embed,
    params::validate_params,
    prompt::{self, Resolved},
    route,
    streaming::Streaming,
    toolset,
};
use crate::{
    bill::{Quote, Reservation},
    control::ControlBlock,
    generation::unavailable,
    kernel::Shared,
    ports::Note,
    process::{OpenModel, Process, Way},
};
use remit_abi::{
    Access, Fuel, GenerationId, GrantId, GrantKind, Label, LlmError, LlmReply, LlmRequest, ModelId, ModelInfo, Params,
    Prompt, Toolset, limits,
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
    let tools = match &generate.prompt {
        Prompt::Chat(conversation) => conversation.tools.as_deref(),
        Prompt::Text(_) => None,
    };
    validate_params_of(open, &generate.params, tools)
}

/// Whether an open model can be asked so.
pub(super) fn validate_params_of(open: &OpenModel, params: &Params, tools: Option<&Toolset>) -> Result<(), LlmError> {
    match open.way {
        Way::Direct => {}
        Way::Routed { .. } => route::validate_params(params)?,
    }
    validate_params(params, open.card.vocabulary)?;
    toolset::validate_beside(tools, &params.format)
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
            Some(generation) => Right::Look { grant: generation.grant(), kind },
            None => Right::None,
        },
        _ => Right::None,
    }
}

fn open(context: &mut Context<'_>, grant: GrantId) -> Result<LlmReply, LlmError> {
    let name = model_of(context, grant)?;
    let open = match route::open(context, &name, grant)? {
        Some(open) => open,
        None => {
            let card = context.shared.ports.engine.card(&name).map_err(|error| unavailable(&error))?;
            OpenModel { grant, card: Arc::new(card), way: Way::Direct }
        }
    };
    context.process.due.note(|| Note::Model(open.image()));
    Ok(LlmReply::Opened(context.process.models.insert(open)))
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

/// Whose tokenizer counts for an open model.
pub(super) fn tokenizer(context: &Context<'_>, OpenModel { card, way, .. }: &OpenModel) -> Result<Arc<str>, LlmError> {
    match way {
        Way::Direct => Ok(card.name.clone()),
        Way::Routed { .. } => route::measure(context, &card.name),
    }
}

/// Counting a prompt's tokens.
pub(crate) struct Count {
    /// Whose tokenizer counts: of a route the one that its rules count by.
    model: Arc<str>,
    prompt: Resolved,
}

impl Count {
    pub(super) fn prepare(context: &Context<'_>, model: ModelId, prompt: &Prompt) -> Result<Self, LlmError> {
        let open = context.process.models.get(model).ok_or(LlmError::Dead)?;
        let prompt = Resolved::new(context.process, prompt, &open.card)?;
        Ok(Self { model: tokenizer(context, open)?, prompt })
    }

    pub(super) fn quote(&self, shared: &Shared) -> Quote {
        let fuel = Fuel(self.prompt.bytes.saturating_mul(limits::TOKENIZE_FUEL_PER_BYTE));
        Quote::exactly(shared.prices.fuel(fuel))
    }

    pub(super) fn act(self, shared: &Shared, reserved: Reservation) -> Result<LlmReply, LlmError> {
        let tokens = shared.ports.engine.tokenize(&self.model, &self.prompt.text);
        let tokens = tokens.map_err(|error| unavailable(&error))?;
        reserved.settle_whole();
        Ok(LlmReply::Counted(u32::try_from(tokens.len()).unwrap_or(u32::MAX)))
    }
}

/// Reading the next piece of a stream, which raises the process's label.
pub(crate) struct Next {
    generation: Streaming,
}

impl Next {
    pub(super) fn prepare(process: &Process, id: GenerationId) -> Result<Self, LlmError> {
        process.generations.get(id).cloned().map(|generation| Self { generation }).ok_or(LlmError::Dead)
    }

    pub(super) async fn act(self, shared: &Arc<Shared>, block: &ControlBlock) -> Result<LlmReply, LlmError> {
        let delta = self.generation.next(shared, block).await;
        let used = self.generation.take_used().await;
        let process = &mut *block.process.lock();
        process.due.used(used);
        let delta = delta?;
        process.label = process.label.join(self.generation.label());
        Ok(LlmReply::Next(delta))
    }
}
