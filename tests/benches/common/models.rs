//! Models of benches about memory: the real tokenizer, template and embedder, and a chat model that is real, or says the same to everything.

#![allow(dead_code, reason = "each benchmark takes what it needs")]

use super::common::made;
use parking_lot::Mutex;
use remit_abi::{OutputFormat, TenantId, Toolset};
use remit_inference::{Limits, LocalEmbedder, LocalEngine, ModelFile};
use remit_kernel::ports::{
    ChatMessage, EmbedOutcome, Engine, EngineError, EngineEvent, EngineFinish, EngineStream, GenerationJob, Meter,
    ModelCard, PortFuture, PromptText,
};
use std::{mem, sync::Arc, thread};
use tokio::sync::mpsc;

/// The name by which programs get a model that ask for any.
pub(crate) const CHAT: &str = "smollm2";

/// The name of the model by which texts become vectors.
pub(crate) const EMBEDDER: &str = "minilm";

/// What a model says that only listens, and how many tokens that counts as.
const REPLY: (&str, u32) = ("I see.", 3);

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Voice {
    /// The chat model.
    Model,
    /// Nobody who computes: the same few words at once.
    Same,
    /// The same, and each prompt is kept.
    Listening,
}

/// A prompt as the model was given it.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    /// How many.
    pub(crate) tokens: usize,
    /// All that its messages say.
    pub(crate) text: String,
}

/// An engine of a chat model and, unless it goes without, of the embedder.
pub(crate) struct Models {
    chat: LocalEngine,
    embedder: Option<Arc<LocalEmbedder>>,
    voice: Voice,
    /// What was tokenised last: what is generated next is of that, since one process at a time is listened to.
    rendered: Mutex<Option<(Arc<[u32]>, String)>>,
    heard: Mutex<Vec<Heard>>,
}

impl Models {
    /// Loads both.
    pub(crate) fn new(voice: Voice) -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let file = ModelFile { name: EMBEDDER.into(), path: made("REMIT_TEST_EMBEDDER"), digest: "1".into() };
        let embedder = LocalEmbedder::load(&file, threads).expect("the set-up fetched it");
        Self { embedder: Some(Arc::new(embedder)), ..Self::without_embedder(voice) }
    }

    /// Texts are found by their words alone.
    pub(crate) fn without_embedder(voice: Voice) -> Self {
        let file = ModelFile { name: CHAT.into(), path: made("REMIT_TEST_MODEL"), digest: "0".into() };
        let chat = LocalEngine::load(&[file], Limits::default()).expect("the set-up fetched it");
        Self { chat, embedder: None, voice, rendered: Mutex::default(), heard: Mutex::default() }
    }

    /// The tokens of a text to the chat model.
    pub(crate) fn count(&self, text: &str) -> usize {
        let tokens = self.chat.tokenize(CHAT, &PromptText::Text(text.to_owned()));
        tokens.expect("it has a tokenizer").len()
    }

    /// The prompts since this was asked last.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        mem::take(&mut *self.heard.lock())
    }

    /// The embedder, where it is asked for by its name.
    fn embeds(&self, model: &str) -> Option<&Arc<LocalEmbedder>> {
        self.embedder.as_ref().filter(|_| model == EMBEDDER)
    }

    /// Answers at once, without a model.
    fn reply(&self, job: &GenerationJob) -> EngineStream {
        if self.voice == Voice::Listening {
            let rendered = self.rendered.lock().take();
            let (_, text) =
                rendered.filter(|(tokens, _)| *tokens == job.prompt).expect("the prompt was counted before");
            self.heard.lock().push(Heard { tokens: job.prompt.len(), text });
        }
        let (text, tokens) = REPLY;
        let (sender, events) = mpsc::channel(2);
        let meter = Arc::new(Meter::default());
        meter.add_input(u32::try_from(job.prompt.len()).expect("it is no longer than the window"));
        meter.add_output(tokens);
        for event in [EngineEvent::Text(text.to_owned()), EngineEvent::End(EngineFinish::Stop)] {
            sender.try_send(event).expect("the channel holds both");
        }
        EngineStream { events, meter }
    }
}

impl Engine for Models {
    fn card(&self, model: &str) -> Result<ModelCard, EngineError> {
        self.embeds(model).map_or_else(|| self.chat.card(model), |embedder| Ok(embedder.card().clone()))
    }

    fn tokenize(&self, model: &str, prompt: &PromptText) -> Result<Arc<[u32]>, EngineError> {
        if let (Some(embedder), PromptText::Text(text)) = (self.embeds(model), prompt) {
            return Ok(embedder.tokenize(text).into());
        }
        let tokens = self.chat.tokenize(model, prompt)?;
        if let (Voice::Listening, PromptText::Chat(chat)) = (self.voice, prompt) {
            let said: Vec<_> = chat.messages.iter().map(ChatMessage::content).collect();
            *self.rendered.lock() = Some((tokens.clone(), said.join("\n")));
        }
        Ok(tokens)
    }

    fn accepts(
        &self,
        tenant: TenantId,
        model: &str,
        format: &OutputFormat,
        tools: Option<&Toolset>,
    ) -> Result<(), EngineError> {
        self.chat.accepts(tenant, model, format, tools)
    }

    fn embed(&self, model: &str, texts: Vec<Arc<[u32]>>) -> Result<PortFuture<'static, EmbedOutcome>, EngineError> {
        match self.embeds(model) {
            Some(embedder) => Ok(Box::pin(embedder.clone().embed_later(texts))),
            None => self.chat.embed(model, texts),
        }
    }

    fn generate(&self, job: GenerationJob) -> Result<EngineStream, EngineError> {
        match self.voice {
            Voice::Model => self.chat.generate(job),
            Voice::Same | Voice::Listening => Ok(self.reply(&job)),
        }
    }
}
