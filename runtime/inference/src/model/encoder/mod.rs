//! Sentence embeddings by the BERT family: all-MiniLM, BGE's and E5's models of that shape, and the like.
//!
//! Sources: Devlin et al. 2019, "BERT" (the architecture); Reimers and Gurevych 2019, "Sentence-BERT" (the mean over the
//! positions as a sentence's embedding); Ba et al. 2016, "Layer Normalization"; Hendrycks and Gimpel 2016, "Gaussian Error
//! Linear Units". A text's embedding has the length one, so that a scalar product is a cosine.
//!
//! Each text is computed alone: its embedding is the same bits whatever else is embedded. All of it is `burn` tensors;
//! [`Linear`] computes short texts itself.
//!
//! Limits: absolute positions, one kind of token, the mean as pooling.

#[cfg(test)]
mod tests;
mod weights;

use super::{
    ModelError, Tensors,
    linear::{Linear, as_numbers},
};
use crate::gguf::Gguf;
use burn::tensor::{
    Device, Tensor, TensorData,
    activation::{gelu, softmax},
};
use serde_json::{Map, Value};
use thiserror::Error;

/// What an encoder is.
#[derive(Clone, Debug, PartialEq)]
pub struct EncoderArchitecture {
    /// Of the hidden state, and of an embedding.
    pub width: usize,
    /// Of the feed-forward's inside.
    pub inner: usize,
    /// Blocks of attention and feed-forward.
    pub layers: usize,
    /// Of attention; they divide the width.
    pub heads: usize,
    /// Tokens.
    pub vocabulary: usize,
    /// Tokens of a text, at most.
    pub context: usize,
    /// Added to the variance before its root is taken.
    pub epsilon: f32,
}

/// Why a text has no embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EmbedError {
    /// There is nothing to embed.
    #[error("the text has no tokens; give it some")]
    Empty,
    /// More than there are positions.
    #[error("the text has {tokens} tokens and the model takes {capacity}; shorten it, or embed it in parts")]
    TooLong {
        /// Of the text.
        tokens: usize,
        /// Of the model.
        capacity: usize,
    },
    /// A token that the model does not have.
    #[error("the text has tokens of another model; tokenize it with this one")]
    UnknownToken,
}

/// An encoder with its weights on a device.
#[derive(Debug)]
pub struct Encoder {
    architecture: EncoderArchitecture,
    embedding: Linear,
    /// Of each position, with that of the one kind of token.
    positions: Linear,
    norm: LayerNorm,
    blocks: Vec<Block>,
}

#[derive(Debug)]
struct Block {
    /// Query, key and value heads, in this order.
    project: Linear,
    attention_output: Linear,
    attention_norm: LayerNorm,
    up: Linear,
    down: Linear,
    feed_norm: LayerNorm,
}

#[derive(Debug)]
struct LayerNorm {
    weight: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f32,
}

impl LayerNorm {
    fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        let mean = input.clone().mean_dim(1);
        let centred = input - mean;
        let variance = (centred.clone() * centred.clone()).mean_dim(1);
        centred / (variance + self.epsilon).sqrt() * self.weight.clone().unsqueeze() + self.bias.clone().unsqueeze()
    }
}

impl EncoderArchitecture {
    /// Reads and checks what a GGUF file holds, its tensors' shapes too.
    ///
    /// # Errors
    /// [`ModelError`], where the file holds no encoder that can be computed.
    pub fn from_gguf(file: &Gguf) -> Result<Self, ModelError> {
        weights::of_gguf(file, &Device::flex())?.checked()
    }

    /// Reads and checks what a `config.json` says, and the shapes of the tensors beside it.
    ///
    /// # Errors
    /// [`ModelError`], where they are no encoder that can be computed.
    pub fn from_json(config: &Map<String, Value>, tensors: &dyn Tensors) -> Result<Self, ModelError> {
        weights::of_json(config, tensors, &Device::flex())?.checked()
    }
}

impl Encoder {
    /// Reads a GGUF file's weights onto a device.
    ///
    /// # Errors
    /// [`ModelError`], where the file holds no encoder that can be computed.
    pub fn load(file: &Gguf, device: &Device) -> Result<Self, ModelError> {
        weights::of_gguf(file, device)?.read()
    }

    /// Reads weights that a `config.json` describes onto a device.
    ///
    /// # Errors
    /// [`ModelError`], where they are no encoder that can be computed.
    pub fn from_json(config: &Map<String, Value>, tensors: &dyn Tensors, device: &Device) -> Result<Self, ModelError> {
        weights::of_json(config, tensors, device)?.read()
    }

    /// What it is.
    #[must_use]
    pub fn architecture(&self) -> &EncoderArchitecture {
        &self.architecture
    }

    /// The embedding of a text: as many numbers as the encoder is wide, of length one. `tokens` has the control tokens
    /// with which a text begins and ends.
    ///
    /// # Errors
    /// [`EmbedError`], where there is none.
    pub fn embed(&self, tokens: &[u32]) -> Result<Vec<f32>, EmbedError> {
        let EncoderArchitecture { vocabulary, context, width, .. } = self.architecture;
        if tokens.is_empty() {
            return Err(EmbedError::Empty);
        }
        if tokens.len() > context {
            return Err(EmbedError::TooLong { tokens: tokens.len(), capacity: context });
        }
        if tokens.iter().any(|token| *token as usize >= vocabulary) {
            return Err(EmbedError::UnknownToken);
        }
        let words = self.embedding.rows(tokens.iter().map(|token| *token as usize), 1.0);
        let mut hidden = self.norm.forward(words + self.positions.rows(0..tokens.len(), 1.0));
        for block in &self.blocks {
            let attended = self.attend(&block.project.forward(hidden.clone()));
            hidden = block.attention_norm.forward(hidden + block.attention_output.forward(attended));
            let fed = block.down.forward(gelu(block.up.forward(hidden.clone())));
            hidden = block.feed_norm.forward(hidden + fed);
        }
        let mean = hidden.mean_dim(0).into_data();
        let mean = as_numbers(&mean);
        let length = mean.iter().map(|number| number * number).sum::<f32>().sqrt();
        debug_assert_eq!(mean.len(), width);
        // A length of zero stays zero.
        Ok(mean.iter().map(|number| number / length.max(f32::MIN_POSITIVE)).collect())
    }

    /// Every position to every other.
    fn attend(&self, projected: &Tensor<2>) -> Tensor<2> {
        let [rows, _] = projected.dims();
        let EncoderArchitecture { width, heads, .. } = self.architecture;
        let head_width = width / heads;
        let part = |index: usize| {
            projected.clone().narrow(1, index * width, width).reshape([rows, heads, head_width]).swap_dims(0, 1)
        };
        let scores = part(0).matmul(part(1).transpose()) / (head_width as f32).sqrt();
        softmax(scores, 2).matmul(part(2)).swap_dims(0, 1).reshape([rows, width])
    }

    /// A vector on the device.
    fn vector(numbers: Vec<f32>, device: &Device) -> Tensor<1> {
        let width = numbers.len();
        Tensor::from_data(TensorData::new(numbers, [width]), device)
    }
}
