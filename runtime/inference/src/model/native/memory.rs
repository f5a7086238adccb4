//! What a pass needs beside the weights.

use crate::model::{Architecture, architecture::Feed};
use remit_compute::{
    Team,
    blocks::{BlockShape, Blocks, BlocksError},
    elementwise,
    rows::Rows,
};

/// Keys and values of all sequences of a model, and what a step computes in.
#[derive(Debug)]
pub struct NativeMemory {
    pub(super) blocks: Blocks,
    pub(super) scratch: Scratch,
}

/// The rows of a step on their way through the layers.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) hidden: Vec<f32>,
    pub(super) normal: Vec<f32>,
    /// What the next product takes.
    pub(super) rows: Rows,
    /// Of each row its query, key and value heads.
    pub(super) projected: Vec<f32>,
    pub(super) attended: Vec<f32>,
    /// What a branch adds to the hidden state.
    pub(super) branch: Vec<f32>,
    /// Gate and up.
    pub(super) both: Vec<f32>,
    pub(super) inner: Vec<f32>,
}

impl NativeMemory {
    /// Room for so many blocks. Memory is taken as they are written.
    ///
    /// # Errors
    /// [`BlocksError`], where there cannot be so many.
    pub fn new(architecture: &Architecture, blocks: usize) -> Result<Self, BlocksError> {
        Self::of_layers(architecture, architecture.layers.len(), blocks)
    }

    /// The same for so many layers.
    pub(in crate::model) fn of_layers(
        architecture: &Architecture,
        layers: usize,
        blocks: usize,
    ) -> Result<Self, BlocksError> {
        let shape = BlockShape { layers, kv_heads: architecture.kv_heads, head_width: architecture.head_width };
        Ok(Self { blocks: Blocks::new(shape, blocks)?, scratch: Scratch::default() })
    }

    /// What the rows of the last step came to, `[rows][width]`.
    pub(in crate::model) fn hidden(&self) -> &[f32] {
        &self.scratch.hidden
    }

    /// The blocks.
    #[must_use]
    pub fn blocks(&self) -> &Blocks {
        &self.blocks
    }

    /// The same, to copy, read and write them.
    pub fn blocks_mut(&mut self) -> &mut Blocks {
        &mut self.blocks
    }
}

impl Scratch {
    /// Adds what a branch came to, normalised first where the model does so.
    pub(super) fn add_branch(&mut self, team: &Team, norm: Option<&[f32]>, epsilon: f32) {
        let Self { hidden, normal, branch, .. } = self;
        if let Some(norm) = norm {
            elementwise::rms_norm(team, branch, norm, epsilon, normal);
        }
        elementwise::add(team, hidden, if norm.is_some() { normal } else { branch });
    }

    /// Makes room for so many rows. What is in it is not looked at: each step writes before it reads.
    pub(super) fn resize(&mut self, architecture: &Architecture, rows: usize) {
        let (query, key) = (architecture.query_width(), architecture.key_width());
        let inner = match architecture.feed {
            Feed::Dense { inner } => inner,
            Feed::Experts { .. } => 0,
        };
        for (buffer, width) in [
            (&mut self.hidden, architecture.width),
            (&mut self.normal, architecture.width),
            (&mut self.projected, query + 2 * key),
            (&mut self.attended, query),
            (&mut self.branch, architecture.width),
            (&mut self.both, 2 * inner),
            (&mut self.inner, inner),
        ] {
            buffer.resize(rows * width, 0.0);
        }
    }
}
