//! The models of this machine, asked without a process: by an operator, for nothing.

use super::{Answer, Question};
use crate::{
    engines::{EngineLoadError, Engines},
    home::Home,
    models::{DeviceChoice, DeviceError, ModelStore, Registry, RegistryError, Swapping, weights_bytes_max},
};
use remit_abi::{FinishReason, Priority, TenantId, Tokens};
use remit_inference::device::keep_in;
use remit_kernel::{
    ports::{Engine, EngineEvent, EngineFinish, GenerationJob},
    routing::{Version, policy::RequestClass},
};
use std::sync::Arc;
use thiserror::Error;

/// Whoever evaluates is the machine's one tenant.
const TENANT: TenantId = TenantId(0);

/// Models that cannot be asked.
#[derive(Debug, Error)]
pub enum AnswererError {
    /// The list of models.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Where models are to be computed.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A model that is to answer.
    #[error(transparent)]
    Engine(#[from] EngineLoadError),
}

/// Who is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answers {
    /// A model.
    Model(String),
    /// A version of a route: the models of the rule that holds, one after the other. Neither breakers nor pauses: who evaluates wants to
    /// know what the rules do.
    Route(Version),
}

/// Asks models.
pub struct Answerer {
    engines: Engines,
}

impl Answerer {
    /// With the models of a data folder; all their weights may have so many bytes of memory, or what a node would give them.
    ///
    /// # Errors
    /// [`AnswererError`].
    pub fn open(
        home: &Home,
        weights_max: Option<u64>,
        device: DeviceChoice,
        swapping: Swapping,
    ) -> Result<Self, AnswererError> {
        keep_in(&home.cache().join("gpu"));
        let device = device.settle();
        let found = device.look()?;
        let weights_max = weights_max.unwrap_or_else(|| weights_bytes_max(&found));
        let (registry, store) = (Registry::of(home)?, ModelStore::of(home));
        Ok(Self { engines: Engines::new(registry, store, weights_max, device).swapping(swapping) })
    }

    /// Opens whatever is asked: a model, or all those of a route. Takes seconds.
    ///
    /// # Errors
    /// [`AnswererError::Engine`].
    pub fn serve(&self, who: &Answers) -> Result<(), AnswererError> {
        let models = match who {
            Answers::Model(model) => vec![model.as_str()],
            Answers::Route(version) => version.route.models(),
        };
        models.into_iter().try_for_each(|model| self.engines.open(model))?;
        Ok(())
    }

    /// Asks a question, and waits for the answer: not to be called where a runtime polls futures.
    ///
    /// # Errors
    /// Why nobody answers, in words.
    pub fn ask(&self, who: &Answers, question: &Question) -> Result<Answer, String> {
        let version = match who {
            Answers::Model(model) => return self.ask_model(model, question),
            Answers::Route(version) => version,
        };
        let measure = version.route.default.first().map_or("", |model| model);
        let prompt_tokens = match version.route.measures_prompts() {
            true => self.engines.tokenize(measure, &question.prompt).map_err(|error| error.to_string())?.len(),
            false => 0,
        };
        let class = RequestClass {
            task: question.label.as_str().into(),
            prompt_tokens: u32::try_from(prompt_tokens).unwrap_or(u32::MAX),
            output_tokens: question.params.max_tokens,
            priority: Priority::Normal,
            tenant: TENANT,
            budget: Tokens::MAX,
        };
        let mut troubles = Vec::new();
        for model in version.route.choose(&class).models {
            match self.ask_model(model, question) {
                Ok(answer) => return Ok(answer),
                Err(error) => troubles.push(format!("{model}: {error}")),
            }
        }
        Err(troubles.join("; "))
    }

    fn ask_model(&self, model: &str, question: &Question) -> Result<Answer, String> {
        let said = |error: remit_kernel::ports::EngineError| error.to_string();
        let card = self.engines.card(model).map_err(said)?;
        let prompt: Arc<[u32]> = self.engines.tokenize(model, &question.prompt).map_err(said)?;
        let room = (card.context_length as usize).saturating_sub(prompt.len());
        if prompt.is_empty() || room == 0 {
            return Err(format!("the prompt has {} tokens, and the context {}", prompt.len(), card.context_length));
        }
        let mut params = question.params.clone();
        params.max_tokens = params.max_tokens.min(u32::try_from(room).unwrap_or(u32::MAX));
        let job = GenerationJob {
            tenant: TENANT,
            program: 0,
            priority: Priority::Normal,
            model: card.name,
            prompt,
            params,
            tools: None,
        };
        let mut stream = self.engines.generate(job).map_err(said)?;
        let mut text = String::new();
        loop {
            match stream.events.blocking_recv() {
                Some(EngineEvent::Text(piece)) => text.push_str(&piece),
                // A recorded task has no tools.
                Some(EngineEvent::Token(_) | EngineEvent::ToolCall(_)) => {}
                Some(EngineEvent::End(finish)) => {
                    let finish = match finish {
                        EngineFinish::Stop => FinishReason::Stop,
                        EngineFinish::Length => FinishReason::Length,
                        EngineFinish::Cancelled => FinishReason::Cancelled,
                        EngineFinish::ToolCalls => FinishReason::ToolCalls,
                    };
                    return Ok(Answer { text, tokens: stream.meter.usage().output, finish, model: model.to_owned() });
                }
                Some(EngineEvent::Failed(error)) => return Err(said(error)),
                None => return Err("the engine ended in the middle of an answer".to_owned()),
            }
        }
    }
}
