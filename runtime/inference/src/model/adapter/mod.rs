//! LoRA adapters: a few small matrices that change what a model does, for one sequence and not for its neighbours.
//!
//! Source: Hu et al. 2021, "LoRA": to a weight `W` is added `scale · B · A`, where `A` maps to a few numbers and `B` back,
//! so that a row costs two small products more. The scale is `alpha / rank`, or `alpha / √rank` (Kalajdzievski 2023,
//! "rsLoRA"). Files are as Hugging Face `peft` writes them: `adapter_config.json`, and safetensors whose names are those
//! of the base model's modules, so that they fit a base from either format.
//!
//! The keys and values of a sequence are computed with its adapter. So the adapter is the same in all of a sequence's
//! [`Span`](super::Span)s, and sequences with other adapters have no blocks in common.
//!
//! Limits: matrices of attention and of a dense feed-forward; plain LoRA (no DoRA, no biases, one rank and one alpha for
//! all, no whole modules beside it, no initialisation that changes the base). Whatever else a file asks for is refused.

mod config;
mod error;
#[cfg(test)]
mod tests;

pub use config::RANK_MAX;
pub use error::AdapterError;

use super::{
    Architecture, ModelError, Split, Tensors,
    architecture::{Feed, Pairs},
    families,
    linear::Linear,
    placement::{Layout, Part, Slot},
};
use burn::tensor::{Device, Tensor};
use config::Strength;
use remit_compute::{Isa, Packer, Team, weights::Matrix};
use serde_json::{Map, Value};
use std::{
    collections::{HashMap, HashSet},
    ops::Range,
    sync::Arc,
};

/// An adapter with its weights where its base's layers are computed. It fits models of one architecture.
#[derive(Debug)]
pub struct Adapter {
    architecture: Architecture,
    changes: HashMap<(usize, Slot), Vec<Change>>,
}

/// What is added to some outputs of a weight.
#[derive(Debug)]
struct Change {
    outputs: Range<usize>,
    matrices: Matrices,
    scale: f32,
}

/// What maps down, and what maps up.
#[derive(Debug)]
enum Matrices {
    Tensors(Box<[Linear; 2]>),
    Native { down: Matrix, up: Matrix },
}

/// Where an adapter's base is computed.
#[derive(Clone, Debug)]
pub enum Home {
    /// By [`Decoder`](super::Decoder), where its layers are.
    Tensors(Split),
    /// By [`NativeDecoder`](super::NativeDecoder).
    Native,
}

impl Home {
    /// Where a layer is computed; none for those that the CPU computes natively.
    fn device(&self, layer: usize) -> Option<&Device> {
        match self {
            Self::Tensors(split) => (layer >= split.host_layers(layer + 1)).then(|| split.device()),
            Self::Native => None,
        }
    }
}

impl<T: Into<Split>> From<T> for Home {
    fn from(split: T) -> Self {
        Self::Tensors(split.into())
    }
}

/// What is added to some outputs of a weight in plain memory.
pub(super) struct NativeChange<'a> {
    pub(super) outputs: &'a Range<usize>,
    pub(super) down: &'a Matrix,
    pub(super) up: &'a Matrix,
    pub(super) scale: f32,
}

/// The parts that can be adapted, and the slots and outputs that they have in the decoder. A family whose files have
/// fused matrices has no others.
fn targets(architecture: &Architecture, layout: &Layout) -> Vec<(Part, Slot, Range<usize>)> {
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
    let fused = |part| layout.pattern(part).is_some();
    targets.retain(|(part, ..)| match part {
        Part::Query | Part::Key | Part::Value => !fused(Part::QueryKeyValue),
        Part::Gate | Part::Up => !fused(Part::GateUp),
        _ => true,
    });
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

/// The two matrices of one part, checked and not read yet.
struct Pair {
    place: (usize, Slot),
    outputs: Range<usize>,
    inputs: usize,
    /// Of what maps down and of what maps up.
    names: [String; 2],
    /// Whether a file orders the rows of what maps up otherwise than the base.
    turns: bool,
}

/// What an adapter changes, checked against its base.
struct Plan {
    strength: Strength,
    pairs: Vec<Pair>,
}

impl Plan {
    fn new(
        config: &Map<String, Value>,
        tensors: &dyn Tensors,
        architecture: &Architecture,
    ) -> Result<Self, AdapterError> {
        let strength = config::read(config)?;
        let layout = families::json_layout(architecture);
        let targets = targets(architecture, &layout);
        let mut pairs = Vec::new();
        for layer in 0..architecture.layers.len() {
            for (part, slot, outputs) in &targets {
                let Some(pattern) = layout.pattern(*part) else { continue };
                let module = pattern.replace("{layer}", &layer.to_string());
                let module = module.trim_end_matches(".weight");
                let names = ["A", "B"].map(|letter| format!("base_model.model.{module}.lora_{letter}.weight"));
                if tensors.shape_if(&names[0])?.is_none() {
                    continue;
                }
                let turns = matches!(part, Part::Query | Part::Key) && architecture.rope_pairs == Pairs::Neighbours;
                let inputs = inputs(architecture, *slot);
                pairs.push(Pair { place: (layer, *slot), outputs: outputs.clone(), inputs, names, turns });
            }
        }
        let plan = Self { strength, pairs };
        plan.check(tensors, architecture)?;
        Ok(plan)
    }

    fn check(&self, tensors: &dyn Tensors, architecture: &Architecture) -> Result<(), AdapterError> {
        let rank = self.strength.rank;
        let mut used = HashSet::new();
        for Pair { outputs, inputs, names: [down, up], .. } in &self.pairs {
            for (name, wanted) in [(down, [rank, *inputs]), (up, [outputs.len(), rank])] {
                let found = tensors.shape(name)?;
                if found != wanted {
                    return Err(AdapterError::Shape { name: name.clone(), found, wanted: wanted.into() });
                }
                used.insert(name.as_str());
            }
        }
        match tensors.names().filter(|name| !used.contains(name)).min() {
            Some(name) => Err(AdapterError::Tensor { name: name.to_owned(), layers: architecture.layers.len() }),
            None if used.is_empty() => Err(AdapterError::Empty),
            None => Ok(()),
        }
    }
}

impl Adapter {
    /// Reads an adapter for models of this architecture, whose layers are computed there: its `adapter_config.json` and its
    /// tensors.
    ///
    /// # Errors
    /// [`AdapterError`], where it is for another model, or of a kind that is not supported.
    pub fn load(
        config: &Map<String, Value>,
        tensors: &dyn Tensors,
        architecture: &Architecture,
        home: impl Into<Home>,
    ) -> Result<Self, AdapterError> {
        let home = home.into();
        let Plan { strength: Strength { rank, scale }, pairs } = Plan::new(config, tensors, architecture)?;
        let team = Team::alone(Isa::best());
        let packer = Packer::new(&team);
        let native = |numbers: &[f32], inputs| super::native::of_numbers(&packer, numbers, inputs);
        let mut changes: HashMap<(usize, Slot), Vec<Change>> = HashMap::new();
        for Pair { place, outputs, inputs, names: [down, up], turns } in pairs {
            let (down, mut up) = (numbers(tensors, &down)?, numbers(tensors, &up)?);
            if turns {
                up = to_neighbours(&up, rank, architecture);
            }
            let matrices = match home.device(place.0) {
                Some(device) => {
                    Matrices::Tensors(Box::new([Linear::new(down, inputs, device), Linear::new(up, rank, device)]))
                }
                None => Matrices::Native { down: native(&down, inputs)?, up: native(&up, rank)? },
            };
            changes.entry(place).or_default().push(Change { outputs, matrices, scale });
        }
        Ok(Self { architecture: architecture.clone(), changes })
    }

    /// Whether an adapter is one for models of this architecture; no weight is read.
    ///
    /// # Errors
    /// [`AdapterError`], as [`load`](Self::load), but for weights that are no numbers.
    pub fn check(
        config: &Map<String, Value>,
        tensors: &dyn Tensors,
        architecture: &Architecture,
    ) -> Result<(), AdapterError> {
        Plan::new(config, tensors, architecture).map(drop)
    }

    /// What it adds to a weight's outputs in plain memory.
    pub(super) fn native(&self, place: (usize, Slot)) -> impl Iterator<Item = NativeChange<'_>> {
        self.changes.get(&place).into_iter().flatten().map(|Change { outputs, matrices, scale }| match matrices {
            Matrices::Native { down, up } => NativeChange { outputs, down, up, scale: *scale },
            Matrices::Tensors(_) => panic!("{OTHER_HOME}"),
        })
    }

    /// What it fits.
    #[must_use]
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }
}

/// An adapter's matrices lie where its base does.
const OTHER_HOME: &str = "an adapter is loaded for the decoder that computes it";

fn numbers(tensors: &dyn Tensors, name: &str) -> Result<Vec<f32>, ModelError> {
    let mut numbers = Vec::new();
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
            for Change { outputs, matrices, scale } in adapter.changes.get(&(layer, slot)).into_iter().flatten() {
                let Matrices::Tensors(matrices) = matrices else { panic!("{OTHER_HOME}") };
                let [down, up] = &**matrices;
                let change = up.forward(down.forward(input.clone().slice([rows.clone()]))) * *scale;
                let place = [rows.clone(), outputs.clone()];
                let changed = output.clone().slice(place.clone()) + change;
                output = output.slice_assign(place, changed);
            }
        }
        output
    }
}
