//! What a model is, from its metadata: hyperparameters and the shapes that follow from them.

use crate::gguf::{Gguf, GgufError, optional};
use std::collections::HashSet;
use thiserror::Error;

/// Why a model cannot be computed.
#[derive(Debug, Error)]
pub enum ModelError {
    /// Metadata or a tensor is missing, or of a type that cannot be read.
    #[error(transparent)]
    File(#[from] GgufError),
    /// Another architecture.
    #[error("its architecture is {name}, and llama is supported; choose another model")]
    Architecture {
        /// As the file names it.
        name: String,
    },
    /// A variant of the architecture that would give other numbers.
    #[error("it uses {what}, which is not supported yet; choose another model")]
    Variant {
        /// Which.
        what: String,
    },
    /// Hyperparameters that contradict each other.
    #[error("its metadata contradict each other: {why}; download the file again")]
    Metadata {
        /// How.
        why: String,
    },
    /// A tensor of another shape than the metadata imply.
    #[error("its tensor {name} has the shape {found:?} and should have {wanted:?}; download the file again")]
    Shape {
        /// Which tensor.
        name: String,
        /// As the file states it.
        found: Vec<usize>,
        /// As the metadata imply.
        wanted: Vec<usize>,
    },
}

/// Layers of one model, at most: the largest known have about 130.
const LAYERS_MAX: u32 = 1024;
/// Any width, at most: products of two of them stay far from overflowing.
const WIDTH_MAX: u32 = 1 << 20;

/// Hyperparameters of the llama family.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Blocks of attention and feed-forward.
    pub layers: usize,
    /// Of the hidden state.
    pub width: usize,
    /// Of the feed-forward's inside.
    pub inner: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; each serves `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Of one head.
    pub head_width: usize,
    /// How much of a head the rotary embedding turns.
    pub rope_width: usize,
    /// The rotary embedding's base.
    pub rope_base: f64,
    /// Added to the mean square before its root is taken.
    pub epsilon: f32,
    /// Tokens.
    pub vocabulary: usize,
    /// Prompt and output together, in tokens.
    pub context: usize,
}

impl Config {
    /// Reads and checks the hyperparameters of a file.
    ///
    /// # Errors
    /// [`ModelError`], where they are missing, contradict each other, or describe what is not supported.
    pub fn from_gguf(file: &Gguf) -> Result<Self, ModelError> {
        let name = file.get_str("general.architecture")?;
        if name != "llama" {
            return Err(ModelError::Architecture { name: name.to_owned() });
        }
        let size = |key: &str, limit: u32| -> Result<usize, ModelError> {
            let value = file.get_u32(key)?;
            if value == 0 || value > limit {
                return Err(ModelError::Metadata { why: format!("{key} is {value} and must be 1 to {limit}") });
            }
            Ok(value as usize)
        };
        let width = size("llama.embedding_length", WIDTH_MAX)?;
        let heads = size("llama.attention.head_count", WIDTH_MAX)?;
        let kv_heads = match optional(file.get_u32("llama.attention.head_count_kv"))? {
            Some(_) => size("llama.attention.head_count_kv", WIDTH_MAX)?,
            None => heads,
        };
        let head_width = match optional(file.get_u32("llama.attention.key_length"))? {
            Some(_) => size("llama.attention.key_length", WIDTH_MAX)?,
            None if width.is_multiple_of(heads) => width / heads,
            None => {
                return Err(ModelError::Metadata { why: format!("{heads} heads do not divide a width of {width}") });
            }
        };
        let rope_width = match optional(file.get_u32("llama.rope.dimension_count"))? {
            Some(_) => size("llama.rope.dimension_count", WIDTH_MAX)?,
            None => head_width,
        };
        let config = Self {
            layers: size("llama.block_count", LAYERS_MAX)?,
            width,
            inner: size("llama.feed_forward_length", WIDTH_MAX)?,
            heads,
            kv_heads,
            head_width,
            rope_width,
            rope_base: f64::from(optional(file.get_f32("llama.rope.freq_base"))?.unwrap_or(10_000.0)),
            epsilon: file.get_f32("llama.attention.layer_norm_rms_epsilon")?,
            vocabulary: file.tensor("token_embd.weight")?.dimensions.get(1).copied().unwrap_or(0),
            context: size("llama.context_length", u32::MAX)?,
        };
        config.check()?;
        config.check_variants(file)?;
        config.check_tensors(file)?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ModelError> {
        let Self { heads, kv_heads, head_width, rope_width, .. } = self;
        let why = if !heads.is_multiple_of(*kv_heads) {
            format!("{kv_heads} key heads do not divide {heads} heads")
        } else if !rope_width.is_multiple_of(2) || rope_width > head_width {
            format!("a rotary width of {rope_width} does not fit into heads of {head_width}")
        } else if !(self.epsilon.is_finite() && self.epsilon > 0.0) {
            format!("the norms' epsilon is {}", self.epsilon)
        } else if !(self.rope_base.is_finite() && self.rope_base >= 1.0) {
            format!("the rotary base is {}", self.rope_base)
        } else if heads * head_width > WIDTH_MAX as usize {
            format!("{heads} heads of {head_width} are too wide")
        } else {
            return Ok(());
        };
        Err(ModelError::Metadata { why })
    }

    fn check_variants(&self, file: &Gguf) -> Result<(), ModelError> {
        let refuse = |what: String| Err(ModelError::Variant { what });
        if let Some(scaling) = optional(file.get_str("llama.rope.scaling.type"))?
            && scaling != "none"
        {
            return refuse(format!("the rotary scaling {scaling}"));
        }
        if optional(file.get_u32("llama.expert_count"))?.unwrap_or(0) > 0 {
            return refuse("experts".to_owned());
        }
        if let Some(value_width) = optional(file.get_u32("llama.attention.value_length"))?
            && value_width as usize != self.head_width
        {
            return refuse(format!("values of {value_width} beside keys of {}", self.head_width));
        }
        Ok(())
    }

    fn check_tensors(&self, file: &Gguf) -> Result<(), ModelError> {
        let tensors = self.tensors(has_output(file));
        for (name, wanted) in &tensors {
            let found = &file.tensor(name)?.dimensions;
            if found != wanted {
                return Err(ModelError::Shape { name: name.clone(), found: found.clone(), wanted: wanted.clone() });
            }
        }
        let used: HashSet<&str> = tensors.iter().map(|(name, _)| name.as_str()).collect();
        match file.tensor_names().filter(|name| !used.contains(name)).min() {
            Some(name) => Err(ModelError::Variant { what: format!("the tensor {name}") }),
            None => Ok(()),
        }
    }

    /// The name and shape of every tensor.
    fn tensors(&self, has_output: bool) -> Vec<(String, Vec<usize>)> {
        let (width, query, key) = (self.width, self.heads * self.head_width, self.kv_heads * self.head_width);
        let mut tensors = vec![
            ("token_embd.weight".to_owned(), vec![width, self.vocabulary]),
            ("output_norm.weight".to_owned(), vec![width]),
        ];
        if has_output {
            tensors.push((OUTPUT.to_owned(), vec![width, self.vocabulary]));
        }
        for layer in 0..self.layers {
            let each = [
                ("attn_norm", vec![width]),
                ("attn_q", vec![width, query]),
                ("attn_k", vec![width, key]),
                ("attn_v", vec![width, key]),
                ("attn_output", vec![query, width]),
                ("ffn_norm", vec![width]),
                ("ffn_gate", vec![width, self.inner]),
                ("ffn_up", vec![width, self.inner]),
                ("ffn_down", vec![self.inner, width]),
            ];
            tensors.extend(each.map(|(name, shape)| (block_tensor(layer, name), shape)));
        }
        tensors
    }
}

/// The output matrix; where a file has none, the embedding serves.
pub(super) const OUTPUT: &str = "output.weight";

pub(super) fn has_output(file: &Gguf) -> bool {
    file.tensor(OUTPUT).is_ok()
}

pub(super) fn block_tensor(layer: usize, name: &str) -> String {
    format!("blk.{layer}.{name}.weight")
}
