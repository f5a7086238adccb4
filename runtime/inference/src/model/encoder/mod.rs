//! Sentence embeddings by the BERT family: all-MiniLM, BGE's and E5's models of that shape, and the like.
//!
//! Sources: Devlin et al. 2019, "BERT" (the architecture); Reimers and Gurevych 2019, "Sentence-BERT" (the mean over the
//! positions as a sentence's embedding); Ba et al. 2016, "Layer Normalization"; Hendrycks and Gimpel 2016, "Gaussian Error
//! Linear Units". A text's embedding has the length one, so that a scalar product is a cosine.
//!
//! Texts are computed together, row behind row, so that each weight is read once for many of them; with the kernels of
//! [`remit_compute`], none of which adds across rows. So a text's embedding is the same bits whatever else is embedded. Weights stay as
//! narrow as their file has them.
//!
//! Limits: absolute positions, one kind of token, the mean as pooling; the CPU.

#[cfg(test)]
mod tests;
mod weights;

use super::{ModelError, Tensors};
use crate::gguf::Gguf;
use remit_compute::{
    Rows, Team,
    bidirectional::{self, Heads},
    elementwise,
    weights::Matrix,
};
use serde_json::{Map, Value};
use std::ops::Range;
use thiserror::Error;

/// Rows that are computed together, but for the last text's: enough that products run at full speed, and some 20 MB of numbers
/// for a model of 1,024 numbers a row.
const ROWS_TOGETHER: usize = 512;

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

/// An encoder with its weights in memory.
#[derive(Debug)]
pub struct Encoder {
    architecture: EncoderArchitecture,
    words: Matrix,
    /// Of each position, with that of the one kind of token: `[context][width]`.
    positions: Vec<f32>,
    norm: LayerNorm,
    blocks: Vec<Block>,
}

#[derive(Debug)]
struct Block {
    /// Query, key and value heads, in this order.
    project: Affine,
    attention_output: Affine,
    attention_norm: LayerNorm,
    up: Affine,
    down: Affine,
    feed_norm: LayerNorm,
}

/// A product and a bias.
#[derive(Debug)]
struct Affine {
    weight: Matrix,
    bias: Vec<f32>,
}

#[derive(Debug)]
struct LayerNorm {
    weight: Vec<f32>,
    bias: Vec<f32>,
    epsilon: f32,
}

impl Affine {
    /// `input` is `[rows][inputs]`; `out` becomes `[rows][outputs]`.
    fn forward(&self, team: &Team, rows: &mut Rows, input: &[f32], out: &mut Vec<f32>) {
        rows.fill(team, input, &self.weight);
        out.resize(rows.count() * self.weight.outputs(), 0.0);
        self.weight.multiply(team, rows, out);
        elementwise::add_bias(team, out, &self.bias);
    }
}

impl LayerNorm {
    fn apply(&self, team: &Team, rows: &mut [f32]) {
        elementwise::layer_norm(team, rows, &self.weight, &self.bias, self.epsilon);
    }
}

impl EncoderArchitecture {
    /// Reads and checks what a GGUF file holds, its tensors' shapes too; and how many bytes its weights take, in memory.
    ///
    /// # Errors
    /// [`ModelError`], where the file holds no encoder that can be computed.
    pub fn from_gguf(file: &Gguf) -> Result<(Self, u64), ModelError> {
        weights::of_gguf(file)?.checked()
    }

    /// The same of what a `config.json` says, and of the tensors beside it.
    ///
    /// # Errors
    /// [`ModelError`], where they are no encoder that can be computed.
    pub fn from_json(config: &Map<String, Value>, tensors: &dyn Tensors) -> Result<(Self, u64), ModelError> {
        weights::of_json(config, tensors)?.checked()
    }
}

impl Encoder {
    /// Packs a GGUF file's weights.
    ///
    /// # Errors
    /// [`ModelError`], where the file holds no encoder that can be computed.
    pub fn load(file: &Gguf, team: &Team) -> Result<Self, ModelError> {
        weights::of_gguf(file)?.read(team)
    }

    /// Packs weights that a `config.json` describes.
    ///
    /// # Errors
    /// [`ModelError`], where they are no encoder that can be computed.
    pub fn from_json(config: &Map<String, Value>, tensors: &dyn Tensors, team: &Team) -> Result<Self, ModelError> {
        weights::of_json(config, tensors)?.read(team)
    }

    /// What it is.
    #[must_use]
    pub fn architecture(&self) -> &EncoderArchitecture {
        &self.architecture
    }

    /// The embedding of each text: as many numbers as the encoder is wide, of length one. The tokens of a text have the control
    /// tokens with which it begins and ends.
    ///
    /// Errors of a text: [`EmbedError`].
    #[must_use]
    pub fn embed(&self, team: &Team, texts: &[&[u32]]) -> Vec<Result<Vec<f32>, EmbedError>> {
        let checked: Vec<_> = texts.iter().map(|text| self.check(text)).collect();
        let fine: Vec<&[u32]> =
            texts.iter().zip(&checked).filter(|(_, error)| error.is_ok()).map(|(text, _)| *text).collect();
        let mut vectors = Vec::with_capacity(fine.len());
        let mut rest = fine.as_slice();
        while !rest.is_empty() {
            let mut rows = 0;
            let more = rest.iter().take_while(|text| {
                let before = rows;
                rows += text.len();
                before < ROWS_TOGETHER
            });
            let (together, others) = rest.split_at(more.count());
            vectors.extend(self.compute(team, together));
            rest = others;
        }
        let mut vectors = vectors.into_iter();
        // As many as there are texts without an error.
        checked.into_iter().map(|checked| checked.map(|()| vectors.next().unwrap_or_default())).collect()
    }

    fn check(&self, tokens: &[u32]) -> Result<(), EmbedError> {
        let EncoderArchitecture { vocabulary, context, .. } = self.architecture;
        if tokens.is_empty() {
            Err(EmbedError::Empty)
        } else if tokens.len() > context {
            Err(EmbedError::TooLong { tokens: tokens.len(), capacity: context })
        } else if tokens.iter().any(|token| *token as usize >= vocabulary) {
            Err(EmbedError::UnknownToken)
        } else {
            Ok(())
        }
    }

    /// The embeddings of some texts, row behind row.
    fn compute(&self, team: &Team, texts: &[&[u32]]) -> Vec<Vec<f32>> {
        let EncoderArchitecture { width, heads, .. } = self.architecture;
        let heads = Heads { heads, width: width / heads, scale: 1.0 / ((width / heads) as f32).sqrt() };
        let mut end = 0;
        let place = |text: &&[u32]| {
            end += text.len();
            end - text.len()..end
        };
        let ranges: Vec<Range<usize>> = texts.iter().map(place).collect();
        let mut hidden = self.look_up(texts, end);
        self.norm.apply(team, &mut hidden);
        let (mut projected, mut branch, mut inner) = (Vec::new(), Vec::new(), Vec::new());
        let mut attended = vec![0.0; hidden.len()];
        let mut rows = Rows::new();
        for block in &self.blocks {
            block.project.forward(team, &mut rows, &hidden, &mut projected);
            bidirectional::attend(team, &heads, &projected, &ranges, &mut attended);
            block.attention_output.forward(team, &mut rows, &attended, &mut branch);
            elementwise::add(team, &mut hidden, &branch);
            block.attention_norm.apply(team, &mut hidden);
            block.up.forward(team, &mut rows, &hidden, &mut inner);
            elementwise::gelu(team, &mut inner);
            block.down.forward(team, &mut rows, &inner, &mut branch);
            elementwise::add(team, &mut hidden, &branch);
            block.feed_norm.apply(team, &mut hidden);
        }
        ranges.iter().map(|rows| pooled(&hidden[rows.start * width..rows.end * width], width)).collect()
    }

    /// The tokens' vectors, each with its position's.
    fn look_up(&self, texts: &[&[u32]], rows: usize) -> Vec<f32> {
        let width = self.architecture.width;
        let mut hidden = vec![0.0; rows * width];
        let places = texts.iter().flat_map(|text| text.iter().zip(self.positions.chunks_exact(width)));
        for ((token, position), row) in places.zip(hidden.chunks_exact_mut(width)) {
            self.words.row(*token as usize, row);
            row.iter_mut().zip(position).for_each(|(number, position)| *number += position);
        }
        hidden
    }
}

/// The mean of some rows, of length one; a length of zero stays zero.
fn pooled(rows: &[f32], width: usize) -> Vec<f32> {
    let mut mean = vec![0.0; width];
    for row in rows.chunks_exact(width) {
        mean.iter_mut().zip(row).for_each(|(sum, number)| *sum += number);
    }
    let count = (rows.len() / width) as f32;
    mean.iter_mut().for_each(|sum| *sum /= count);
    let length = mean.iter().map(|number| number * number).sum::<f32>().sqrt();
    mean.iter_mut().for_each(|number| *number /= length.max(f32::MIN_POSITIVE));
    mean
}
