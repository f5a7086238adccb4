//! LoRA adapters: a few small matrices that change what a model does, for one sequence and not for its neighbours.
//!
//! Source: Hu et al. 2021, "LoRA": to a weight `W` is added `scale · B · A`, where `A` maps to a few numbers and `B` back,
//! so that a row costs two small products more. The scale is `alpha / rank`, or `alpha / √rank` (Kalajdzievski 2023,
//! "rsLoRA"). Files are as Hugging Face `peft` writes them: `adapter_config.json`, and safetensors whose names are those
//! of the base model's modules, so that they fit a base from either format.
//!
//! The keys and values of a sequence are computed with its adapter. So the adapter belongs to the sequence's
//! [`KvCache`](super::KvCache), for its life: there is no other place to name one, hence no way to mix.
//!
//! Limits: matrices of attention and of a dense feed-forward; plain LoRA (no DoRA, no biases, one rank and one alpha for
//! all, no whole modules beside it). Whatever else a file asks for is refused.

#[cfg(test)]
mod tests;

use super::{
    Architecture, ModelError, Tensors,
    architecture::{Feed, Pairs},
    families,
    linear::Linear,
    metadata::{Metadata, json, key},
    placement::{Part, Slot},
};
use burn::tensor::{Device, Tensor};
use serde_json::{Map, Value};
use std::{
    collections::{HashMap, HashSet},
    ops::Range,
    sync::Arc,
};

/// Of an adapter, at most: the rank of the smallest matrices that anybody adapts.
pub const RANK_MAX: usize = 1024;

/// An adapter with its weights on a device. It fits models of one architecture.
#[derive(Debug)]
pub struct Adapter {
    architecture: Architecture,
    changes: HashMap<(usize, Slot), Vec<Change>>,
}

/// What is added to some outputs of a weight.
#[derive(Debug)]
struct Change {
    outputs: Range<usize>,
    down: Linear,
    up: Linear,
    scale: f32,
}

/// The parts that can be adapted, and the slots and outputs that they have in the decoder.
fn targets(architecture: &Architecture) -> Vec<(Part, Slot, Range<usize>)> {
    let (query, key, width) = (architecture.query_width(), architecture.key_width(), architecture.width);
    let mut targets = vec![
        (Part::Query, Slot::Projection, 0..query),
        (Part::Key, Slot::Projection, query..query + key),
        (Part::Value, Slot::Projection, query + key..query + 2 * key),
        (Part::QueryKeyValue, Slot::Projection, 0..query + 2 * key),
        (Part::AttentionOutput, Slot::AttentionOutput, 0..width),
    ];
    if let Feed::Dense { inner } = architecture.feed {
        targets.extend([
            (Part::Gate, Slot::GateUp, 0..inner),
            (Part::Up, Slot::GateUp, inner..2 * inner),
            (Part::GateUp, Slot::GateUp, 0..2 * inner),
            (Part::Down, Slot::Down, 0..width),
        ]);
    }
    targets
}

/// How many numbers a slot's weight takes.
fn inputs(architecture: &Architecture, slot: Slot) -> usize {
    match (slot, architecture.feed) {
        (Slot::AttentionOutput, _) => architecture.query_width(),
        (Slot::Down, Feed::Dense { inner }) => inner,
        _ => architecture.width,
    }
}

impl Adapter {
    /// Reads an adapter for models of this architecture: its `adapter_config.json` and its tensors.
    ///
    /// # Errors
    /// [`ModelError`], where it is for another model, or of a kind that is not supported.
    pub fn load(
        config: &Map<String, Value>,
        tensors: &dyn Tensors,
        architecture: &Architecture,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let (rank, scale) = read_config(config)?;
        let layout = families::json_layout(architecture);
        let mut changes: HashMap<(usize, Slot), Vec<Change>> = HashMap::new();
        let mut used = HashSet::new();
        for layer in 0..architecture.layers.len() {
            for (part, slot, outputs) in targets(architecture) {
                let Some(pattern) = layout.pattern(part) else { continue };
                let module = pattern.replace("{layer}", &layer.to_string());
                let module = module.trim_end_matches(".weight");
                let names = ["A", "B"].map(|letter| format!("base_model.model.{module}.lora_{letter}.weight"));
                if tensors.shape_if(&names[0])?.is_none() {
                    continue;
                }
                let inputs = inputs(architecture, slot);
                let [down, mut up] = [(&names[0], rank, inputs), (&names[1], outputs.len(), rank)]
                    .map(|(name, rows, columns)| matrix(tensors, name, rows, columns));
                if let (Part::Query | Part::Key, Pairs::Neighbours, Ok(up)) = (part, architecture.rope_pairs, &mut up) {
                    *up = to_neighbours(up, rank, architecture);
                }
                let (down, up) = (Linear::new(down?, inputs, device), Linear::new(up?, rank, device));
                changes.entry((layer, slot)).or_default().push(Change { outputs, down, up, scale });
                used.extend(names);
            }
        }
        match tensors.names().filter(|name| !used.contains(*name)).min() {
            Some(name) => Err(ModelError::variant(format!("the adapter's tensor {name}"))),
            None => Ok(Self { architecture: architecture.clone(), changes }),
        }
    }

    /// What it fits.
    #[must_use]
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }
}

/// The rank and the scale.
fn read_config(config: &Map<String, Value>) -> Result<(usize, f32), ModelError> {
    let metadata = Metadata::Json(config);
    match json(config, "peft_type").and_then(Value::as_str) {
        Some("LORA") => {}
        _ => return Err(ModelError::variant("an adapter that is no LoRA")),
    }
    // What changes numbers, and what stands for: not at all.
    let is_off = |value: &Value| match value {
        Value::Bool(on) => !on,
        Value::String(kind) => kind == "none",
        Value::Object(entries) => entries.is_empty(),
        Value::Array(entries) => entries.is_empty(),
        _ => false,
    };
    for name in [
        "use_dora",
        "use_qalora",
        "use_bdlora",
        "fan_in_fan_out",
        "lora_bias",
        "bias",
        "rank_pattern",
        "alpha_pattern",
        "modules_to_save",
        "layer_replication",
        "trainable_token_indices",
        "target_parameters",
        "alora_invocation_tokens",
        "arrow_config",
        "kasa_config",
    ] {
        if json(config, name).is_some_and(|value| !is_off(value)) {
            return Err(ModelError::variant(format!("the adapter's {name}")));
        }
    }
    let rank = metadata.size(key("", "r"), RANK_MAX)?;
    let alpha = key("", "lora_alpha");
    let alpha = metadata.number(alpha)?.ok_or_else(|| ModelError::NoKey { key: metadata.name(alpha) })?;
    let by_root = metadata.flag(key("", "use_rslora"))?.unwrap_or(false);
    let scale = (alpha / if by_root { (rank as f64).sqrt() } else { rank as f64 }) as f32;
    match scale.is_finite() {
        true => Ok((rank, scale)),
        false => Err(ModelError::metadata(format!("lora_alpha is {alpha}"))),
    }
}

fn matrix(tensors: &dyn Tensors, name: &str, rows: usize, columns: usize) -> Result<Vec<f32>, ModelError> {
    let (found, wanted) = (tensors.shape(name)?, vec![rows, columns]);
    if found != wanted {
        return Err(ModelError::Shape { name: name.to_owned(), found, wanted });
    }
    let mut numbers = Vec::with_capacity(rows * columns);
    tensors.read(name, &mut numbers)?;
    Ok(numbers)
}

/// Orders the rows of a matrix as a GGUF file of llama has them, in which neighbours are turned together.
fn to_neighbours(rows: &[f32], columns: usize, architecture: &Architecture) -> Vec<f32> {
    let mut ordered = Vec::with_capacity(rows.len());
    for head in rows.chunks_exact(architecture.head_width * columns) {
        let (first, second) = head.split_at(head.len() / 2);
        for (first, second) in first.chunks_exact(columns).zip(second.chunks_exact(columns)) {
            ordered.extend_from_slice(first);
            ordered.extend_from_slice(second);
        }
    }
    ordered
}

/// The rows of a step that have an adapter.
pub(super) struct Adapted(Vec<(Range<usize>, Arc<Adapter>)>);

impl Adapted {
    /// From the rows and the adapter of each sequence.
    pub(super) fn new<'a>(sequences: impl Iterator<Item = (Range<usize>, Option<&'a Arc<Adapter>>)>) -> Self {
        Self(sequences.filter_map(|(rows, adapter)| Some((rows, Arc::clone(adapter?)))).collect())
    }

    /// A weight's output for all rows of the step, with what each row's adapter changes in it.
    pub(super) fn forward(&self, weight: &Linear, (layer, slot): (usize, Slot), input: Tensor<2>) -> Tensor<2> {
        if self.0.is_empty() {
            return weight.forward(input);
        }
        let mut output = weight.forward(input.clone());
        for (rows, adapter) in &self.0 {
            for Change { outputs, down, up, scale } in adapter.changes.get(&(layer, slot)).into_iter().flatten() {
                let change = up.forward(down.forward(input.clone().slice([rows.clone()]))) * *scale;
                let place = [rows.clone(), outputs.clone()];
                let changed = output.clone().slice(place.clone()) + change;
                output = output.slice_assign(place, changed);
            }
        }
        output
    }
}
