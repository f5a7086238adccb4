//! The decoder: weights and the forward pass.

use super::{
    Config, KvCache, ModelError,
    attention::{Rotation, Rows},
    config::{OUTPUT, block_tensor, has_output},
    linear::{Linear, as_numbers},
};
use crate::gguf::{Gguf, GgufError};
use burn::tensor::{Device, Tensor, TensorData, activation::silu};

/// A model with its weights on a device.
#[derive(Debug)]
pub struct Decoder {
    config: Config,
    device: Device,
    embedding: Linear,
    blocks: Vec<Block>,
    norm: Tensor<1>,
    /// Absent where the embedding serves.
    output: Option<Linear>,
}

#[derive(Debug)]
struct Block {
    attention_norm: Tensor<1>,
    /// Query, key and value heads, in this order.
    project: Linear,
    attention_output: Linear,
    feed_norm: Tensor<1>,
    /// Gate and up, in this order.
    gate_up: Linear,
    down: Linear,
}

/// New tokens of one sequence in a forward pass.
pub struct Span<'a> {
    /// The tokens behind those of the cache; at least one, each of the vocabulary, and no more than fit into the cache.
    pub tokens: &'a [u32],
    /// What the sequence came to so far.
    pub cache: &'a mut KvCache,
    /// Whether the logits after the last of them are asked for.
    pub wants_logits: bool,
}

/// Appends tensors to one weight.
fn weights(file: &Gguf, names: &[String]) -> Result<Vec<f32>, GgufError> {
    let mut total = 0;
    for name in names {
        total += file.tensor(name)?.elements();
    }
    let mut out = Vec::with_capacity(total);
    names.iter().try_for_each(|name| file.dequantize(name, &mut out))?;
    Ok(out)
}

impl Decoder {
    /// Reads the weights of a file onto a device.
    ///
    /// # Errors
    /// [`ModelError`], where the file holds no model that this decoder can compute.
    pub fn load(file: &Gguf, device: &Device) -> Result<Self, ModelError> {
        let config = Config::from_gguf(file)?;
        let norm = |name: String| -> Result<Tensor<1>, GgufError> {
            let numbers = weights(file, &[name])?;
            Ok(Tensor::from_data(TensorData::new(numbers, [config.width]), device))
        };
        let linear = |names: &[String], inputs| Ok::<_, GgufError>(Linear::new(weights(file, names)?, inputs, device));
        let block = |layer: usize| -> Result<Block, GgufError> {
            let name = |name: &str| block_tensor(layer, name);
            Ok(Block {
                attention_norm: norm(name("attn_norm"))?,
                project: linear(&["attn_q", "attn_k", "attn_v"].map(name), config.width)?,
                attention_output: linear(&[name("attn_output")], config.heads * config.head_width)?,
                feed_norm: norm(name("ffn_norm"))?,
                gate_up: linear(&["ffn_gate", "ffn_up"].map(name), config.width)?,
                down: linear(&[name("ffn_down")], config.inner)?,
            })
        };
        let output = has_output(file).then(|| linear(&[OUTPUT.to_owned()], config.width)).transpose()?;
        Ok(Self {
            device: device.clone(),
            embedding: linear(&["token_embd.weight".to_owned()], config.width)?,
            blocks: (0..config.layers).map(block).collect::<Result<_, _>>()?,
            norm: norm("output_norm.weight".to_owned())?,
            output,
            config,
        })
    }

    /// Its hyperparameters.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Bytes of weights that one decode step reads.
    #[must_use]
    pub fn step_bytes(&self) -> usize {
        let block = |block: &Block| {
            block.project.bytes() + block.attention_output.bytes() + block.gate_up.bytes() + block.down.bytes()
        };
        self.blocks.iter().map(block).sum::<usize>() + self.output().bytes()
    }

    fn output(&self) -> &Linear {
        self.output.as_ref().unwrap_or(&self.embedding)
    }

    /// Computes new tokens of some sequences, and lengthens their caches. Returns the logits of each span that asks for
    /// them, in order, one vocabulary after the other.
    ///
    /// # Panics
    /// Where a span does not keep what [`Span`] says.
    #[must_use]
    pub fn forward(&self, spans: &mut [Span<'_>]) -> Vec<f32> {
        let rotation = self.rotation(spans);
        let mut hidden = self.embed(spans);
        for (layer, block) in self.blocks.iter().enumerate() {
            let projected = block.project.forward(self.normalize(hidden.clone(), &block.attention_norm));
            let attended = self.attend(spans, layer, projected, &rotation);
            hidden = hidden + block.attention_output.forward(attended);
            let both = block.gate_up.forward(self.normalize(hidden.clone(), &block.feed_norm));
            let gate = both.clone().narrow(1, 0, self.config.inner);
            let up = both.narrow(1, self.config.inner, self.config.inner);
            hidden = hidden + block.down.forward(silu(gate) * up);
        }
        for span in &mut *spans {
            span.cache.advance(span.tokens.len());
        }
        self.logits(spans, hidden)
    }

    fn rotation(&self, spans: &[Span<'_>]) -> Rotation {
        let positions = spans.iter().flat_map(|span| {
            let begin = span.cache.length();
            begin..begin + span.tokens.len()
        });
        Rotation::new(&self.config, positions)
    }

    fn embed(&self, spans: &[Span<'_>]) -> Tensor<2> {
        let tokens = spans.iter().flat_map(|span| span.tokens);
        let numbers: Vec<f32> = tokens.flat_map(|token| self.embedding.row(*token as usize)).copied().collect();
        let rows = numbers.len() / self.config.width;
        Tensor::from_data(TensorData::new(numbers, [rows, self.config.width]), &self.device)
    }

    /// RMSNorm.
    fn normalize(&self, input: Tensor<2>, weight: &Tensor<1>) -> Tensor<2> {
        let square = (input.clone() * input.clone()).mean_dim(1);
        input / (square + self.config.epsilon).sqrt() * weight.clone().unsqueeze()
    }

    fn attend(&self, spans: &mut [Span<'_>], layer: usize, projected: Tensor<2>, rotation: &Rotation) -> Tensor<2> {
        let [rows, stride] = projected.dims();
        let query = self.config.heads * self.config.head_width;
        let mut projected = projected.into_data();
        let mut attended = vec![0.0; rows * query];
        let Ok(mut rest) = projected.as_mut_slice::<f32>() else { unreachable!("every tensor of the decoder is f32") };
        let mut out = attended.as_mut_slice();
        let mut first_row = 0;
        for span in spans {
            let count = span.tokens.len();
            let (here, after) = rest.split_at_mut(count * stride);
            let (here_out, after_out) = out.split_at_mut(count * query);
            let rows = Rows { config: &self.config, layer, projected: here, rotation, first_row, out: here_out };
            rows.attend(span.cache, &self.device);
            (rest, out, first_row) = (after, after_out, first_row + count);
        }
        Tensor::from_data(TensorData::new(attended, [rows, query]), &self.device)
    }

    fn logits(&self, spans: &[Span<'_>], hidden: Tensor<2>) -> Vec<f32> {
        let width = self.config.width;
        let hidden = hidden.into_data();
        let hidden = as_numbers(&hidden);
        let mut last = Vec::new();
        let mut end = 0;
        for span in spans {
            end += span.tokens.len();
            if span.wants_logits {
                last.extend_from_slice(&hidden[(end - 1) * width..end * width]);
            }
        }
        if last.is_empty() {
            return Vec::new();
        }
        let rows = last.len() / width;
        let last = Tensor::<2>::from_data(TensorData::new(last, [rows, width]), &self.device);
        let logits = self.output().forward(self.normalize(last, &self.norm)).into_data();
        as_numbers(&logits).to_vec()
    }
}
