//! Where the decoder's weights are in a file: names, shapes, and what is fused, stacked or offset.
//!
//! Both formats name tensors by a pattern that most families share, and a family says where it differs. All shapes are
//! compared before any number is read, so that what is allocated is what the file has; and each tensor of the file has to
//! be one that is used or that the family names as needless, since leaving another out would give other numbers.
//!
//! Sources: the tensor names in llama.cpp's `llama-arch.cpp` and its `gguf` package; the module names in Hugging Face
//! `transformers`.

use super::{
    Architecture, ModelError,
    architecture::{Feed, Pairs},
    device::{NotFinite, Packed},
    tensors::Tensors,
};
use std::{collections::HashSet, ops::Range};

/// A tensor of a file, by what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Embedding,
    OutputNorm,
    Output,
    AttentionNorm,
    Query,
    Key,
    Value,
    /// The three in one.
    QueryKeyValue,
    QueryBias,
    KeyBias,
    ValueBias,
    QueryNorm,
    KeyNorm,
    AttentionOutput,
    PostAttentionNorm,
    FeedNorm,
    Gate,
    Up,
    /// Both in one.
    GateUp,
    Down,
    Router,
    ExpertGate,
    ExpertUp,
    ExpertDown,
    PostFeedNorm,
}

/// Names of parts. `{layer}` and `{expert}` stand for numbers; experts without a number are stacked in one tensor.
pub(super) type Names = &'static [(Part, &'static str)];

/// How one format stores one family.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// Names that differ from the format's.
    pub(super) own: Names,
    /// The format's.
    pub(super) names: Names,
    /// How the rows of query and key matrices are ordered.
    pub(super) pairs: Pairs,
    /// What the decoder adds to a norm's weights.
    pub(super) norm_offset: f32,
    /// Ends of names of tensors that are not read as weights.
    pub(super) needless: &'static [&'static str],
}

impl Layout {
    /// The name of a part, where the family has it.
    pub(super) fn pattern(&self, part: Part) -> Option<&'static str> {
        let mut names = self.own.iter().chain(self.names);
        names.find(|(named, _)| *named == part).map(|(_, name)| *name)
    }
}

/// What most families are called in GGUF.
pub(super) const GGUF: Layout = Layout {
    own: &[],
    names: &[
        (Part::Embedding, "token_embd.weight"),
        (Part::OutputNorm, "output_norm.weight"),
        (Part::Output, "output.weight"),
        (Part::AttentionNorm, "blk.{layer}.attn_norm.weight"),
        (Part::Query, "blk.{layer}.attn_q.weight"),
        (Part::Key, "blk.{layer}.attn_k.weight"),
        (Part::Value, "blk.{layer}.attn_v.weight"),
        (Part::QueryBias, "blk.{layer}.attn_q.bias"),
        (Part::KeyBias, "blk.{layer}.attn_k.bias"),
        (Part::ValueBias, "blk.{layer}.attn_v.bias"),
        (Part::QueryNorm, "blk.{layer}.attn_q_norm.weight"),
        (Part::KeyNorm, "blk.{layer}.attn_k_norm.weight"),
        (Part::AttentionOutput, "blk.{layer}.attn_output.weight"),
        (Part::PostAttentionNorm, "blk.{layer}.post_attention_norm.weight"),
        (Part::FeedNorm, "blk.{layer}.ffn_norm.weight"),
        (Part::Gate, "blk.{layer}.ffn_gate.weight"),
        (Part::Up, "blk.{layer}.ffn_up.weight"),
        (Part::Down, "blk.{layer}.ffn_down.weight"),
        (Part::Router, "blk.{layer}.ffn_gate_inp.weight"),
        (Part::ExpertGate, "blk.{layer}.ffn_gate_exps.weight"),
        (Part::ExpertUp, "blk.{layer}.ffn_up_exps.weight"),
        (Part::ExpertDown, "blk.{layer}.ffn_down_exps.weight"),
        (Part::PostFeedNorm, "blk.{layer}.post_ffw_norm.weight"),
    ],
    pairs: Pairs::Halves,
    norm_offset: 0.0,
    needless: &[],
};

/// What most families are called in a file made by `transformers`.
pub(super) const JSON: Layout = Layout {
    own: &[],
    names: &[
        (Part::Embedding, "model.embed_tokens.weight"),
        (Part::OutputNorm, "model.norm.weight"),
        (Part::Output, "lm_head.weight"),
        (Part::AttentionNorm, "model.layers.{layer}.input_layernorm.weight"),
        (Part::Query, "model.layers.{layer}.self_attn.q_proj.weight"),
        (Part::Key, "model.layers.{layer}.self_attn.k_proj.weight"),
        (Part::Value, "model.layers.{layer}.self_attn.v_proj.weight"),
        (Part::QueryBias, "model.layers.{layer}.self_attn.q_proj.bias"),
        (Part::KeyBias, "model.layers.{layer}.self_attn.k_proj.bias"),
        (Part::ValueBias, "model.layers.{layer}.self_attn.v_proj.bias"),
        (Part::QueryNorm, "model.layers.{layer}.self_attn.q_norm.weight"),
        (Part::KeyNorm, "model.layers.{layer}.self_attn.k_norm.weight"),
        (Part::AttentionOutput, "model.layers.{layer}.self_attn.o_proj.weight"),
        (Part::FeedNorm, "model.layers.{layer}.post_attention_layernorm.weight"),
        (Part::Gate, "model.layers.{layer}.mlp.gate_proj.weight"),
        (Part::Up, "model.layers.{layer}.mlp.up_proj.weight"),
        (Part::Down, "model.layers.{layer}.mlp.down_proj.weight"),
        (Part::Router, "model.layers.{layer}.mlp.gate.weight"),
        (Part::ExpertGate, "model.layers.{layer}.mlp.experts.{expert}.gate_proj.weight"),
        (Part::ExpertUp, "model.layers.{layer}.mlp.experts.{expert}.up_proj.weight"),
        (Part::ExpertDown, "model.layers.{layer}.mlp.experts.{expert}.down_proj.weight"),
    ],
    pairs: Pairs::Halves,
    norm_offset: 0.0,
    // A tied output that is stored nevertheless, and the rotary steps that old files carry.
    needless: &["lm_head.weight", "rotary_emb.inv_freq"],
};

/// One of the decoder's weights: what it is made of, one part behind the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Slot {
    Embedding,
    OutputNorm,
    Output,
    AttentionNorm,
    /// Query, key and value heads, in this order.
    Projection,
    ProjectionBias,
    QueryNorm,
    KeyNorm,
    AttentionOutput,
    PostAttentionNorm,
    FeedNorm,
    /// Gate and up, in this order.
    GateUp,
    Down,
    Router,
    /// Of all experts.
    ExpertGates,
    ExpertUps,
    ExpertDowns,
    PostFeedNorm,
}

/// A tensor that a file has to have.
pub(super) struct Piece {
    pub(super) name: String,
    /// Slowest-varying size first.
    pub(super) shape: Vec<usize>,
}

/// Some rows of a tensor.
pub(super) struct Place {
    pub(super) name: String,
    pub(super) rows: Range<usize>,
    /// Numbers of a row.
    pub(super) inputs: usize,
}

/// One model's weights in its file.
pub(super) struct Placement<'a> {
    pub(super) architecture: &'a Architecture,
    pub(super) layout: Layout,
    pub(super) tensors: &'a dyn Tensors,
}

impl Placement<'_> {
    /// The tensors of a weight, in the order in which they lie behind each other.
    pub(super) fn pieces(&self, slot: Slot, layer: usize) -> Result<Vec<Piece>, ModelError> {
        let mut pieces = Vec::new();
        for part in self.parts(slot) {
            let pattern =
                self.layout.pattern(*part).ok_or_else(|| ModelError::variant(format!("{part:?} in such a file")))?;
            let name = pattern.replace("{layer}", &layer.to_string());
            let shape = self.shape(*part);
            match self.architecture.feed {
                Feed::Experts { count, .. } if name.contains("{expert}") => {
                    let each = |expert: usize| Piece {
                        name: name.replace("{expert}", &expert.to_string()),
                        shape: shape[1..].to_vec(),
                    };
                    pieces.extend((0..count).map(each));
                }
                Feed::Experts { .. } | Feed::Dense { .. } => pieces.push(Piece { name, shape }),
            }
        }
        Ok(pieces)
    }

    fn parts(&self, slot: Slot) -> &'static [Part] {
        let fused = |part| self.layout.pattern(part).is_some();
        match slot {
            Slot::Embedding => &[Part::Embedding],
            Slot::OutputNorm => &[Part::OutputNorm],
            Slot::Output => &[Part::Output],
            Slot::AttentionNorm => &[Part::AttentionNorm],
            Slot::Projection if fused(Part::QueryKeyValue) => &[Part::QueryKeyValue],
            Slot::Projection => &[Part::Query, Part::Key, Part::Value],
            Slot::ProjectionBias => &[Part::QueryBias, Part::KeyBias, Part::ValueBias],
            Slot::QueryNorm => &[Part::QueryNorm],
            Slot::KeyNorm => &[Part::KeyNorm],
            Slot::AttentionOutput => &[Part::AttentionOutput],
            Slot::PostAttentionNorm => &[Part::PostAttentionNorm],
            Slot::FeedNorm => &[Part::FeedNorm],
            Slot::GateUp if fused(Part::GateUp) => &[Part::GateUp],
            Slot::GateUp => &[Part::Gate, Part::Up],
            Slot::Down => &[Part::Down],
            Slot::Router => &[Part::Router],
            Slot::ExpertGates => &[Part::ExpertGate],
            Slot::ExpertUps => &[Part::ExpertUp],
            Slot::ExpertDowns => &[Part::ExpertDown],
            Slot::PostFeedNorm => &[Part::PostFeedNorm],
        }
    }

    fn shape(&self, part: Part) -> Vec<usize> {
        let Architecture { width, head_width, vocabulary, feed, .. } = self.architecture;
        let (query, key) = (self.architecture.query_width(), self.architecture.key_width());
        let (count, inner) = match *feed {
            Feed::Dense { inner } => (1, inner),
            Feed::Experts { count, inner, .. } => (count, inner),
        };
        match part {
            Part::Embedding | Part::Output => vec![*vocabulary, *width],
            Part::OutputNorm | Part::AttentionNorm | Part::PostAttentionNorm | Part::FeedNorm | Part::PostFeedNorm => {
                vec![*width]
            }
            Part::Query => vec![query, *width],
            Part::Key | Part::Value => vec![key, *width],
            Part::QueryKeyValue => vec![query + 2 * key, *width],
            Part::QueryBias => vec![query],
            Part::KeyBias | Part::ValueBias => vec![key],
            Part::QueryNorm | Part::KeyNorm => vec![*head_width],
            Part::AttentionOutput => vec![*width, query],
            Part::Gate | Part::Up => vec![inner, *width],
            Part::GateUp => vec![2 * inner, *width],
            Part::Down => vec![*width, inner],
            Part::Router => vec![count, *width],
            Part::ExpertGate | Part::ExpertUp => vec![count, inner, *width],
            Part::ExpertDown => vec![count, *width, inner],
        }
    }

    /// The weights outside of layers, and those of each layer.
    fn slots(&self) -> (Vec<Slot>, Vec<Slot>) {
        let architecture = self.architecture;
        let mut outside = vec![Slot::Embedding, Slot::OutputNorm];
        if !architecture.tied_output {
            outside.push(Slot::Output);
        }
        let mut inside = vec![Slot::AttentionNorm, Slot::Projection, Slot::AttentionOutput, Slot::FeedNorm];
        if architecture.projection_bias {
            inside.push(Slot::ProjectionBias);
        }
        if architecture.query_key_norm {
            inside.extend([Slot::QueryNorm, Slot::KeyNorm]);
        }
        if architecture.post_norms {
            inside.extend([Slot::PostAttentionNorm, Slot::PostFeedNorm]);
        }
        match architecture.feed {
            Feed::Dense { .. } => inside.extend([Slot::GateUp, Slot::Down]),
            Feed::Experts { .. } => {
                inside.extend([Slot::Router, Slot::ExpertGates, Slot::ExpertUps, Slot::ExpertDowns]);
            }
        }
        (outside, inside)
    }

    /// Whether the file has every tensor that the decoder needs, each of the right shape, and no other.
    ///
    /// # Errors
    /// [`ModelError`], which names the first that is missing, misshapen or unknown.
    pub(super) fn check(&self) -> Result<(), ModelError> {
        let (outside, inside) = self.slots();
        let inside = (0..self.architecture.layers.len()).flat_map(|layer| inside.iter().map(move |slot| (layer, slot)));
        let mut used = HashSet::new();
        for (layer, slot) in outside.iter().map(|slot| (0, slot)).chain(inside) {
            for Piece { name, shape } in self.pieces(*slot, layer)? {
                let found = self.tensors.shape(&name)?;
                if found != shape {
                    return Err(ModelError::Shape { name, found, wanted: shape });
                }
                used.insert(name);
            }
        }
        let needless = |name: &str| self.layout.needless.iter().any(|end| name.ends_with(end));
        match self.tensors.names().filter(|name| !used.contains(*name) && !needless(name)).min() {
            Some(name) => Err(ModelError::variant(format!("the tensor {name}"))),
            None => Ok(()),
        }
    }

    /// The numbers of a weight. Only after [`check`](Self::check).
    pub(super) fn numbers(&self, slot: Slot, layer: usize) -> Result<Vec<f32>, ModelError> {
        let pieces = self.pieces(slot, layer)?;
        let total = pieces.iter().map(|piece| piece.shape.iter().product::<usize>()).sum();
        let mut numbers = Vec::with_capacity(total);
        pieces.iter().try_for_each(|piece| self.tensors.read(&piece.name, &mut numbers))?;
        Ok(numbers)
    }

    /// A weight as a device holds it, a part for each of its tensors. Only after [`check`](Self::check).
    pub(super) fn packed(&self, slot: Slot, layer: usize) -> Result<Vec<Packed>, ModelError> {
        let pack = |piece: &Piece| self.pack(&piece.name, 0..piece.shape[0], piece.shape[1]);
        self.pieces(slot, layer)?.iter().map(pack).collect()
    }

    /// The same of one expert's.
    pub(super) fn packed_expert(&self, slot: Slot, layer: usize, expert: usize) -> Result<Packed, ModelError> {
        let Place { name, rows, inputs } = self.expert(slot, layer, expert)?;
        self.pack(&name, rows, inputs)
    }

    /// Where one expert's weight is: experts are stacked in one tensor, or each has its own.
    pub(super) fn expert(&self, slot: Slot, layer: usize, expert: usize) -> Result<Place, ModelError> {
        let mut pieces = self.pieces(slot, layer)?;
        let is_stacked = pieces.len() == 1 && pieces[0].shape.len() == 3;
        let Piece { name, shape } = pieces.swap_remove(if is_stacked { 0 } else { expert });
        let (rows, inputs) = (shape[shape.len() - 2], shape[shape.len() - 1]);
        let first = if is_stacked { expert * rows } else { 0 };
        Ok(Place { name, rows: first..first + rows, inputs })
    }

    /// A norm's weights, with what the decoder adds to them. Only after [`check`](Self::check).
    pub(super) fn norm(&self, slot: Slot, layer: usize) -> Result<Vec<f32>, ModelError> {
        let mut weights = self.numbers(slot, layer)?;
        let offset = self.layout.norm_offset;
        if offset != 0.0 {
            weights.iter_mut().for_each(|weight| *weight += offset);
        }
        Ok(weights)
    }

    /// Bytes that a weight takes on a device other than the CPU, at most, but for numbers that f16 cannot hold.
    pub(super) fn device_bytes(&self, slot: Slot, layer: usize) -> Result<u64, ModelError> {
        let bytes = |Piece { name, shape }: &Piece| {
            let numbers = shape.iter().fold(1u64, |all, size| all.saturating_mul(*size as u64));
            Ok(Packed::bytes_max(self.tensors.stored(name)?.format, numbers))
        };
        self.pieces(slot, layer)?.iter().map(bytes).sum()
    }

    /// The same where it is computed natively. Weights of one size are plain numbers.
    pub(super) fn native_bytes(&self, slot: Slot, layer: usize) -> Result<u64, ModelError> {
        let bytes = |Piece { name, shape }: &Piece| {
            let format = self.tensors.stored(name)?.format;
            Ok(match shape.split_last() {
                Some((inputs, rows @ [_, ..])) => format.held_bytes(rows.iter().product(), *inputs) as u64,
                _ => shape.iter().map(|size| *size as u64 * size_of::<f32>() as u64).sum(),
            })
        };
        self.pieces(slot, layer)?.iter().map(bytes).sum()
    }

    /// The largest matrix of a layer, in numbers.
    pub(super) fn largest_matrix(&self) -> Result<u64, ModelError> {
        let (_, inside) = self.slots();
        let mut largest = 0;
        for slot in inside {
            let pieces = self.pieces(slot, 0)?;
            let size = |piece: &Piece| piece.shape.iter().rev().take(2).map(|size| *size as u64).product::<u64>();
            largest = pieces.iter().map(size).sum::<u64>().max(largest);
        }
        Ok(largest)
    }

    /// The weights of a layer.
    pub(super) fn layer_slots(&self) -> Vec<Slot> {
        self.slots().1
    }

    fn pack(&self, name: &str, rows: Range<usize>, inputs: usize) -> Result<Packed, ModelError> {
        Packed::of_stored(&self.tensors.stored(name)?, rows, inputs).or_else(|NotFinite| {
            // Reading it says which number it is.
            self.tensors.read(name, &mut Vec::new())?;
            Err(ModelError::variant(format!("numbers of {name} that are infinite in its packing")))
        })
    }
}
