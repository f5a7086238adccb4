//! An encoder from a file of either format: hyperparameters, names, shapes.
//!
//! Sources: the tensor names of llama.cpp's `bert` and the keys of its converter; the module names of `BertModel` in
//! Hugging Face `transformers`, whose files some write with `bert.` before each.

use super::{Affine, Block, Encoder, EncoderArchitecture, LayerNorm};
use crate::{
    gguf::Gguf,
    model::{
        ModelError, Tensors,
        architecture::{CONTEXT_MAX, LAYERS_MAX, WIDTH_MAX},
        metadata::{Metadata, json, key},
        native::pack,
        placement::Place,
    },
};
use remit_compute::{Packer, Team, weights::Matrix};
use serde_json::{Map, Value};
use std::collections::HashSet;

/// How a format names the tensors. Behind the names of a block's come `.weight` and `.bias`.
struct Names {
    prefix: &'static str,
    words: &'static str,
    positions: &'static str,
    kinds: &'static str,
    norm: &'static str,
    /// Before a block's number.
    block: &'static str,
    query_key_value: [&'static str; 3],
    attention_output: &'static str,
    attention_norm: &'static str,
    up: &'static str,
    down: &'static str,
    feed_norm: &'static str,
    /// Ends of names of tensors that embeddings do not need.
    needless: &'static [&'static str],
}

const GGUF: Names = Names {
    prefix: "",
    words: "token_embd.weight",
    positions: "position_embd.weight",
    kinds: "token_types.weight",
    norm: "token_embd_norm",
    block: "blk.",
    query_key_value: ["attn_q", "attn_k", "attn_v"],
    attention_output: "attn_output",
    attention_norm: "attn_output_norm",
    up: "ffn_up",
    down: "ffn_down",
    feed_norm: "layer_output_norm",
    needless: &[],
};

const JSON: Names = Names {
    prefix: "",
    words: "embeddings.word_embeddings.weight",
    positions: "embeddings.position_embeddings.weight",
    kinds: "embeddings.token_type_embeddings.weight",
    norm: "embeddings.LayerNorm",
    block: "encoder.layer.",
    query_key_value: ["attention.self.query", "attention.self.key", "attention.self.value"],
    attention_output: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    up: "intermediate.dense",
    down: "output.dense",
    feed_norm: "output.LayerNorm",
    needless: &["embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias"],
};

/// GGUF's number for the mean as pooling.
const POOLING_MEAN: usize = 1;
/// Kinds of token, at most: BERT has two.
const KINDS_MAX: usize = 1024;

/// What can be read of a file.
pub(super) fn of_gguf(file: &Gguf) -> Result<Reader<'_>, ModelError> {
    let name = file.get_str("general.architecture")?;
    if name != "bert" {
        return Err(unknown(name));
    }
    let metadata = Metadata::Gguf(file, name);
    if metadata.flag(key("attention.causal", ""))? == Some(true) {
        return Err(ModelError::variant("attention to earlier positions alone"));
    }
    match metadata.whole(key("pooling_type", ""), usize::MAX)? {
        None | Some(POOLING_MEAN) => {}
        Some(kind) => return Err(ModelError::variant(format!("pooling of the kind {kind}"))),
    }
    let rows = |name: &str| -> Result<usize, ModelError> {
        let shape = Tensors::shape(file, name)?;
        Ok(if shape.len() == 2 { shape[0] } else { 0 })
    };
    let architecture = architecture(&metadata, rows(GGUF.words)?)?;
    Ok(Reader { architecture, kinds: rows(GGUF.kinds)?, names: GGUF, tensors: file })
}

/// What can be read of tensors that a `config.json` describes.
pub(super) fn of_json<'a>(config: &Map<String, Value>, tensors: &'a dyn Tensors) -> Result<Reader<'a>, ModelError> {
    let text = |name: &str| json(config, name).and_then(Value::as_str);
    match text("model_type") {
        Some("bert") => {}
        other => return Err(unknown(other.unwrap_or("not named"))),
    }
    for (name, expected) in [("hidden_act", "gelu"), ("position_embedding_type", "absolute")] {
        if let Some(found) = json(config, name)
            && found.as_str() != Some(expected)
        {
            let found: String = found.to_string().chars().take(40).collect();
            return Err(ModelError::variant(format!("{name} {found}")));
        }
    }
    if json(config, "is_decoder") == Some(&Value::Bool(true)) {
        return Err(ModelError::variant("attention to earlier positions alone"));
    }
    let metadata = Metadata::Json(config);
    let vocabulary = metadata.size(key("", "vocab_size"), CONTEXT_MAX)?;
    let kinds = metadata.size(key("", "type_vocab_size"), KINDS_MAX)?;
    let architecture = architecture(&metadata, vocabulary)?;
    let prefix = if tensors.shape_if("bert.embeddings.word_embeddings.weight")?.is_some() { "bert." } else { "" };
    Ok(Reader { architecture, kinds, names: Names { prefix, ..JSON }, tensors })
}

fn unknown(name: &str) -> ModelError {
    ModelError::Architecture { name: name.chars().take(40).collect(), supported: vec!["bert"] }
}

fn architecture(metadata: &Metadata<'_>, vocabulary: usize) -> Result<EncoderArchitecture, ModelError> {
    let epsilon = key("attention.layer_norm_epsilon", "layer_norm_eps");
    let epsilon = metadata.number(epsilon)?.ok_or_else(|| ModelError::NoKey { key: metadata.name(epsilon) })?;
    let architecture = EncoderArchitecture {
        width: metadata.size(key("embedding_length", "hidden_size"), WIDTH_MAX)?,
        inner: metadata.size(key("feed_forward_length", "intermediate_size"), WIDTH_MAX)?,
        layers: metadata.size(key("block_count", "num_hidden_layers"), LAYERS_MAX)?,
        heads: metadata.size(key("attention.head_count", "num_attention_heads"), WIDTH_MAX)?,
        vocabulary,
        context: metadata.size(key("context_length", "max_position_embeddings"), WIDTH_MAX)?,
        epsilon: epsilon as f32,
    };
    let EncoderArchitecture { width, heads, epsilon, .. } = architecture;
    if !width.is_multiple_of(heads) {
        return Err(ModelError::metadata(format!("{heads} heads do not divide a width of {width}")));
    }
    if !(epsilon.is_finite() && epsilon > 0.0) {
        return Err(ModelError::metadata(format!("the norms' epsilon is {epsilon}")));
    }
    if vocabulary == 0 || vocabulary > CONTEXT_MAX {
        return Err(ModelError::metadata(format!("the vocabulary is {vocabulary}")));
    }
    Ok(architecture)
}

/// Reads an encoder's weights.
pub(super) struct Reader<'a> {
    architecture: EncoderArchitecture,
    kinds: usize,
    names: Names,
    tensors: &'a dyn Tensors,
}

impl Reader<'_> {
    fn name(&self, name: &str) -> String {
        format!("{}{name}", self.names.prefix)
    }

    fn block_name(&self, layer: usize, name: &str) -> String {
        self.name(&format!("{}{layer}.{name}", self.names.block))
    }

    /// The names and shapes outside of blocks, then those of each block; made one after the other, so that a file that
    /// claims many layers is refused at the first that it does not have.
    fn expected(&self) -> impl Iterator<Item = (String, Vec<usize>)> {
        let EncoderArchitecture { width, inner, layers, vocabulary, context, .. } = self.architecture;
        let outside = [
            (self.name(self.names.words), vec![vocabulary, width]),
            (self.name(self.names.positions), vec![context, width]),
            (self.name(self.names.kinds), vec![self.kinds, width]),
            (self.name(&format!("{}.weight", self.names.norm)), vec![width]),
            (self.name(&format!("{}.bias", self.names.norm)), vec![width]),
        ];
        let block = move |layer: usize| {
            let [query, key, value] = self.names.query_key_value;
            let matrices = [
                (query, [width, width]),
                (key, [width, width]),
                (value, [width, width]),
                (self.names.attention_output, [width, width]),
                (self.names.up, [inner, width]),
                (self.names.down, [width, inner]),
            ];
            let matrices = matrices.into_iter().flat_map(move |(name, shape)| {
                let weight = (self.block_name(layer, &format!("{name}.weight")), shape.to_vec());
                [weight, (self.block_name(layer, &format!("{name}.bias")), vec![shape[0]])]
            });
            let norms = [self.names.attention_norm, self.names.feed_norm].into_iter().flat_map(move |name| {
                ["weight", "bias"].map(|end| (self.block_name(layer, &format!("{name}.{end}")), vec![width]))
            });
            matrices.chain(norms)
        };
        outside.into_iter().chain((0..layers).flat_map(block))
    }

    fn check(&self) -> Result<(), ModelError> {
        let mut used = HashSet::new();
        for (name, wanted) in self.expected() {
            let found = self.tensors.shape(&name)?;
            if found != wanted {
                return Err(ModelError::Shape { name, found, wanted });
            }
            used.insert(name);
        }
        let needless = |name: &str| self.names.needless.iter().any(|end| name.ends_with(end));
        match self.tensors.names().filter(|name| !used.contains(*name) && !needless(name)).min() {
            Some(name) => Err(ModelError::variant(format!("the tensor {name}"))),
            None => Ok(()),
        }
    }

    /// The numbers of some tensors, one behind the other.
    fn numbers(&self, names: &[String]) -> Result<Vec<f32>, ModelError> {
        let mut numbers = Vec::new();
        names.iter().try_for_each(|name| self.tensors.read(name, &mut numbers))?;
        Ok(numbers)
    }

    /// A matrix of some tensors, one behind the other, each of so many outputs.
    fn matrix(
        &self,
        packer: &Packer<'_>,
        names: Vec<String>,
        (outputs, inputs): (usize, usize),
    ) -> Result<Matrix, ModelError> {
        let place = |name| Place { name, rows: 0..outputs, inputs };
        pack(self.tensors, packer, &names.into_iter().map(place).collect::<Vec<_>>(), inputs)
    }

    fn affine(
        &self,
        packer: &Packer<'_>,
        layer: usize,
        names: &[&str],
        shape: (usize, usize),
    ) -> Result<Affine, ModelError> {
        let with = |end: &str| names.iter().map(|name| self.block_name(layer, &format!("{name}.{end}"))).collect();
        let (weights, biases): (Vec<String>, Vec<String>) = (with("weight"), with("bias"));
        Ok(Affine { weight: self.matrix(packer, weights, shape)?, bias: self.numbers(&biases)? })
    }

    fn norm(&self, name: &str) -> Result<LayerNorm, ModelError> {
        let part = |end: &str| self.numbers(&[format!("{name}.{end}")]);
        Ok(LayerNorm { weight: part("weight")?, bias: part("bias")?, epsilon: self.architecture.epsilon })
    }

    fn block(&self, packer: &Packer<'_>, layer: usize) -> Result<Block, ModelError> {
        let EncoderArchitecture { width, inner, .. } = self.architecture;
        let affine = |names: &[&str], shape| self.affine(packer, layer, names, shape);
        Ok(Block {
            project: affine(&self.names.query_key_value, (width, width))?,
            attention_output: affine(&[self.names.attention_output], (width, width))?,
            attention_norm: self.norm(&self.block_name(layer, self.names.attention_norm))?,
            up: affine(&[self.names.up], (inner, width))?,
            down: affine(&[self.names.down], (width, inner))?,
            feed_norm: self.norm(&self.block_name(layer, self.names.feed_norm))?,
        })
    }

    /// Bytes of all weights, in memory, known without reading one.
    fn bytes(&self) -> Result<u64, ModelError> {
        let outside = [self.names.positions, self.names.kinds].map(|name| self.name(name));
        self.expected().try_fold(0u64, |sum, (name, shape)| {
            let bytes = match shape.as_slice() {
                [rows, inputs] if !outside.contains(&name) => {
                    self.tensors.stored(&name)?.format.held_bytes(*rows, *inputs)
                }
                _ => shape.iter().product::<usize>() * size_of::<f32>(),
            };
            Ok(sum.saturating_add(bytes as u64))
        })
    }

    /// What the encoder is, checked against the shapes of all tensors, and what it takes; no number is read.
    pub(super) fn checked(&self) -> Result<(EncoderArchitecture, u64), ModelError> {
        self.check()?;
        Ok((self.architecture.clone(), self.bytes()?))
    }

    pub(super) fn read(self, team: &Team) -> Result<Encoder, ModelError> {
        self.check()?;
        let packer = &Packer::new(team);
        let width = self.architecture.width;
        let mut positions = self.numbers(&[self.name(self.names.positions)])?;
        let kinds = self.numbers(&[self.name(self.names.kinds)])?;
        for position in positions.chunks_exact_mut(width) {
            position.iter_mut().zip(&kinds).for_each(|(number, kind)| *number += kind);
        }
        let words = vec![self.name(self.names.words)];
        let blocks = 0..self.architecture.layers;
        Ok(Encoder {
            words: self.matrix(packer, words, (self.architecture.vocabulary, width))?,
            positions,
            norm: self.norm(&self.name(self.names.norm))?,
            blocks: blocks.map(|layer| self.block(packer, layer)).collect::<Result<_, _>>()?,
            architecture: self.architecture,
        })
    }
}
