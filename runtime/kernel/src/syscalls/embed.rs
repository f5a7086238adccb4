//! `llm`'s `embed`: texts as vectors, paid by their tokens.
//!
//! A vector can be turned back into much of its text (Morris et al. 2023, "Text Embeddings Reveal (Almost) As Much As
//! Text"). So whoever gets it has read the text: the process's label rises with the labels of all of them.

use crate::{
    bill::{Quote, Reservation},
    control::ControlBlock,
    generation::unavailable,
    kernel::Shared,
    ports::{ModelCard, ModelUse, PromptText},
    process::{OpenModel, Process, Way},
};
use remit_abi::{Content, Embeddings, Label, LlmError, LlmReply, ModelId, Usage, limits};
use std::sync::Arc;

pub(super) fn validate(process: &Process, texts: &[Content]) -> Result<(), LlmError> {
    if texts.is_empty() {
        return Err(LlmError::EmptyPrompt);
    }
    if texts.len() > limits::EMBED_TEXTS_MAX {
        let sentence =
            format!("{} texts are embedded at once and {} are the most", texts.len(), limits::EMBED_TEXTS_MAX);
        return Err(LlmError::Invalid(sentence.into()));
    }
    let size = texts.iter().fold(0_u64, |sum, text| sum.saturating_add(process.content_size(text)));
    if size > limits::PROMPT_BYTES_MAX {
        let sentence = format!("texts hold {size} bytes and {} are the most", limits::PROMPT_BYTES_MAX);
        return Err(LlmError::Invalid(sentence.into()));
    }
    Ok(())
}

/// Texts to embed.
pub(crate) struct Embed {
    card: Arc<ModelCard>,
    texts: Vec<PromptText>,
    label: Label,
    /// Their tokens, once they are known.
    tokens: Vec<Arc<[u32]>>,
    /// How many.
    total: u32,
}

impl Embed {
    pub(super) fn prepare(process: &Process, model: ModelId, texts: &[Content]) -> Result<Self, LlmError> {
        let OpenModel { card, way, .. } = process.models.get(model).ok_or(LlmError::Dead)?.clone();
        if way != Way::Direct {
            // Vectors of two models cannot be compared: whoever keeps some must know which it was.
            return Err(LlmError::Invalid(format!("{} is a route, and only models embed: open one", card.name).into()));
        }
        let mut label = process.label;
        let mut read = |content: &Content| {
            let resolved = process.resolve(content).ok_or(LlmError::Dead)?;
            label = label.join(resolved.label);
            let text = std::str::from_utf8(&resolved.bytes);
            let text = text.map_err(|_| LlmError::Invalid("a value to embed is not UTF-8 text".into()))?;
            Ok(PromptText::Text(text.to_owned()))
        };
        let texts = texts.iter().map(&mut read).collect::<Result<_, LlmError>>()?;
        Ok(Self { card, texts, label, tokens: Vec::new(), total: 0 })
    }

    /// Tokenises, so that the price is exact.
    pub(super) fn quote(&mut self, shared: &Shared) -> Result<Quote, LlmError> {
        let capacity = self.card.context_length;
        for text in &self.texts {
            let tokens = shared.ports.engine.tokenize(&self.card.name, text).map_err(|error| unavailable(&error))?;
            let count = u32::try_from(tokens.len()).unwrap_or(u32::MAX);
            if count > capacity {
                return Err(LlmError::TooLong { tokens: count, capacity });
            }
            self.total = self.total.saturating_add(count);
            self.tokens.push(tokens);
        }
        Ok(Quote::exactly(shared.prices.model(&self.card.name).of_embedding(self.total)))
    }

    pub(super) async fn act(
        self,
        shared: &Shared,
        block: &ControlBlock,
        reserved: Reservation,
    ) -> Result<LlmReply, LlmError> {
        let texts = self.tokens.len();
        let vectors = shared.ports.engine.embed(&self.card.name, self.tokens).map_err(|error| unavailable(&error))?;
        let vectors = vectors.await.map_err(|error| unavailable(&error))?;
        let width = vectors.first().map_or(0, Vec::len);
        if width == 0 || vectors.len() != texts || vectors.iter().any(|vector| vector.len() != width) {
            return Err(LlmError::Unavailable("the engine gave other vectors than it was asked for".into()));
        }
        reserved.settle_whole();
        let process = &mut *block.process.lock();
        process.label = process.label.join(self.label);
        let usage = Usage { input: self.total, ..Usage::default() };
        let (name, digest) = (self.card.name.clone(), self.card.digest.clone());
        process.due.used(Some(ModelUse { name, digest, seed: 0, usage }));
        Ok(LlmReply::Embedded(Embeddings::new(u32::try_from(width).unwrap_or(u32::MAX), &vectors)))
    }
}
