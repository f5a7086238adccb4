//! The decoder on the CPU: the same pass as [`Decoder`](super::Decoder)'s, over plain memory, with the kernels of
//! [`remit_compute`].
//!
//! | part | does |
//! | --- | --- |
//! | this file | a whole model |
//! | `stage` | the pass over layers, of a whole model or of one whose other layers are on a GPU |
//! | `load` | from a file's tensors to packed matrices |
//! | `feed` | the feed-forward, dense or of experts |
//! | `change` | what adapters add |
//! | `memory` | keys and values of all sequences, and what a step needs while it is computed |
//!
//! Principles:
//!
//! - Weights stay as narrow as their file has them: they are packed once, in the order in which they are read.
//! - What a row comes to depends on its sequence alone: the same bits in any batch, however its prompt is cut, on any number of
//!   threads and with any instruction set. Every kernel keeps that, and nothing here adds across rows.
//! - Rows are numbers in plain memory from the embedding to the logits: no tensors are made, and rows lie in memory that one step
//!   leaves to the next.
//! - Products with quantized weights take rows quantized to 8 bits; how far that is from the plain path is tested.

mod change;
mod feed;
mod load;
mod memory;
mod stage;
#[cfg(test)]
mod tests;

pub(super) use load::pack;
pub use memory::NativeMemory;
pub(super) use stage::Stage;

use super::{
    Architecture, ModelError, Span, Tensors, families,
    placement::{Layout, Placement, Slot},
};
use crate::gguf::Gguf;
use load::Loader;
use memory::Scratch;
use remit_compute::{
    Packer, Team, elementwise,
    weights::{Format, Matrix, Part},
};
use serde_json::{Map, Value};

/// A model with its weights in memory.
#[derive(Debug)]
pub struct NativeDecoder {
    stage: Stage,
    norm: Vec<f32>,
    /// Absent where the embedding serves.
    output: Option<Matrix>,
}

impl NativeDecoder {
    /// Packs the weights of a GGUF file.
    ///
    /// # Errors
    /// [`ModelError`], where the file holds no model that the decoder can compute.
    pub fn load(file: &Gguf, team: &Team) -> Result<Self, ModelError> {
        let (architecture, layout) = families::read_gguf(file)?;
        Self::place(&architecture, layout, file, team)
    }

    /// Packs weights that a `config.json` describes.
    ///
    /// # Errors
    /// [`ModelError`], where they are no model that the decoder can compute.
    pub fn from_json(config: &Map<String, Value>, tensors: &dyn Tensors, team: &Team) -> Result<Self, ModelError> {
        let (architecture, layout) = families::read_json(config, tensors)?;
        Self::place(&architecture, layout, tensors, team)
    }

    fn place(
        architecture: &Architecture,
        layout: Layout,
        tensors: &dyn Tensors,
        team: &Team,
    ) -> Result<Self, ModelError> {
        let placement = Placement { architecture, layout, tensors };
        let packer = Packer::new(team);
        let output = || Loader { placement: &placement, packer: &packer }.matrix(Slot::Output, 0, architecture.width);
        Ok(Self {
            stage: Stage::load(&placement, architecture.layers.len(), &packer)?,
            norm: placement.norm(Slot::OutputNorm, 0)?,
            output: (!architecture.tied_output).then(output).transpose()?,
        })
    }

    /// What it is.
    #[must_use]
    pub fn architecture(&self) -> &Architecture {
        &self.stage.architecture
    }

    /// Bytes of all weights.
    #[must_use]
    pub fn weights_bytes(&self) -> usize {
        let outside = self.stage.embedding.bytes() + self.output.as_ref().map_or(0, Matrix::bytes);
        self.stage.bytes() + outside
    }

    /// Bytes of weights that one decode step of one sequence reads.
    #[must_use]
    pub fn step_bytes(&self) -> usize {
        self.stage.row_bytes() + self.output().bytes()
    }

    fn output(&self) -> &Matrix {
        self.output.as_ref().unwrap_or(&self.stage.embedding)
    }

    /// Computes new tokens of some sequences, and writes their keys and values. Returns the logits of the last tokens of each
    /// span that it asks for, in order, one vocabulary after the other.
    ///
    /// # Panics
    /// Where a span does not keep what [`Span`] says.
    #[must_use]
    pub fn forward(&self, team: &Team, memory: &mut NativeMemory, spans: &[Span<'_>]) -> Vec<f32> {
        let rows = self.stage.forward(team, memory, spans);
        let asked = spans.iter().zip(rows).flat_map(|(span, rows)| rows.end - span.logits..rows.end);
        self.logits(team, asked, &mut memory.scratch)
    }

    /// The logits of some rows.
    fn logits(&self, team: &Team, asked: impl Iterator<Item = usize>, scratch: &mut Scratch) -> Vec<f32> {
        let Architecture { width, vocabulary, epsilon, output_softcap, .. } = self.stage.architecture;
        let Scratch { hidden, rows, .. } = scratch;
        let last: Vec<f32> = asked.flat_map(|row| &hidden[row * width..][..width]).copied().collect();
        if last.is_empty() {
            return Vec::new();
        }
        let mut normal = vec![0.0; last.len()];
        elementwise::rms_norm(team, &last, &self.norm, epsilon, &mut normal);
        rows.fill(team, &normal, self.output());
        let mut logits = vec![0.0; last.len() / width * vocabulary];
        self.output().multiply(team, rows, &mut logits);
        if let Some(cap) = output_softcap {
            elementwise::softcap(team, &mut logits, cap);
        }
        logits
    }
}

/// A matrix of plain numbers.
pub(super) fn of_numbers(packer: &Packer<'_>, numbers: &[f32], inputs: usize) -> Result<Matrix, ModelError> {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    let part = Part { format: Format::F32, rows: numbers.len() / inputs, bytes: &bytes };
    packer.pack(&[part], inputs).map_err(|source| ModelError::Pack { name: "of plain numbers".to_owned(), source })
}
