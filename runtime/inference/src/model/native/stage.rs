//! Layers that the CPU computes, one behind the other: all of a model, or the first ones of one that is split.

use super::{NativeMemory, change::Changes, feed::Feed, load::Loader, memory::Scratch};
use crate::model::{
    Architecture, ModelError, Span,
    architecture::Pairs as ModelPairs,
    placement::{Placement, Slot},
    rope::Turns,
};
use remit_compute::{
    Packer, Team,
    attention::{Heads, Sequence, attend},
    elementwise::{self, HeadNorms, Pairs},
    weights::Matrix,
};
use std::ops::Range;

/// The first layers of a model, and what its tokens are looked up in.
#[derive(Debug)]
pub(in crate::model) struct Stage {
    pub(super) architecture: Architecture,
    pub(super) embedding: Matrix,
    layers: Vec<Layer>,
    ropes: Vec<Turns>,
}

#[derive(Debug)]
pub(super) struct Layer {
    pub(super) attention_norm: Vec<f32>,
    /// Query, key and value heads, in this order.
    pub(super) project: Matrix,
    pub(super) project_bias: Option<Vec<f32>>,
    /// Of a query head, and of a key head.
    pub(super) head_norms: Option<(Vec<f32>, Vec<f32>)>,
    pub(super) heads: Heads,
    pub(super) rope: usize,
    pub(super) attention_output: Matrix,
    pub(super) post_attention_norm: Option<Vec<f32>>,
    pub(super) feed_norm: Vec<f32>,
    pub(super) feed: Feed,
    pub(super) post_feed_norm: Option<Vec<f32>>,
}

impl Stage {
    /// Packs the weights of the first `layers`.
    ///
    /// # Errors
    /// [`ModelError`], where the file's numbers cannot be computed with.
    pub(in crate::model) fn load(
        placement: &Placement<'_>,
        layers: usize,
        packer: &Packer<'_>,
    ) -> Result<Self, ModelError> {
        let (loader, architecture) = (Loader { placement, packer }, placement.architecture);
        let turns = |rope| Turns::new(rope, architecture.rope_width);
        Ok(Self {
            embedding: loader.matrix(Slot::Embedding, 0, architecture.width)?,
            layers: (0..layers).map(|layer| loader.layer(layer)).collect::<Result<_, ModelError>>()?,
            ropes: architecture.ropes.iter().map(turns).collect(),
            architecture: architecture.clone(),
        })
    }

    /// Bytes of all its layers' weights.
    pub(super) fn bytes(&self) -> usize {
        self.layers.iter().map(Layer::bytes).sum()
    }

    /// Bytes of its layers' weights that one row reads.
    pub(in crate::model) fn row_bytes(&self) -> usize {
        self.layers.iter().map(Layer::row_bytes).sum()
    }

    /// Computes new tokens of some sequences through its layers, and writes their keys and values. What they came to is the memory's
    /// [`hidden`](NativeMemory::hidden) then; answers with each span's rows of it.
    ///
    /// # Panics
    /// Where a span does not keep what [`Span`] says.
    pub(in crate::model) fn forward<'a>(
        &self,
        team: &Team,
        memory: &mut NativeMemory,
        spans: &[Span<'a>],
    ) -> Vec<Range<usize>> {
        let NativeMemory { blocks, scratch } = memory;
        let mut next = 0;
        let place = |span: &Span<'_>| {
            let rows = next..next + span.tokens.len();
            next = rows.end;
            rows
        };
        let rows: Vec<_> = spans.iter().map(place).collect();
        let sequence = |(span, rows): (&Span<'a>, &Range<usize>)| {
            let Span { table, known, .. } = *span;
            Sequence { table, known, rows: rows.clone() }
        };
        let sequences: Vec<_> = spans.iter().zip(&rows).map(sequence).collect();
        let changes = Changes::new(&sequences, spans);
        self.embed(team, spans, next, scratch);
        let turns: Vec<_> = self.ropes.iter().map(|rope| rope.of(spans)).collect();
        for (index, layer) in self.layers.iter().enumerate() {
            self.project(team, (index, layer), &turns[layer.rope], &changes, scratch);
            let Scratch { projected, attended, .. } = scratch;
            attend(team, blocks, index, &layer.heads, projected, &sequences, attended);
            self.mix(team, (index, layer), &changes, scratch);
            layer.feed(team, index, &changes, &self.architecture, scratch);
        }
        rows
    }

    /// The tokens' embeddings.
    fn embed(&self, team: &Team, spans: &[Span<'_>], rows: usize, scratch: &mut Scratch) {
        scratch.resize(&self.architecture, rows);
        let (width, scale) = (self.architecture.width, self.architecture.embedding_scale);
        let tokens = spans.iter().flat_map(|span| span.tokens);
        for (token, row) in tokens.zip(scratch.hidden.chunks_exact_mut(width)) {
            self.embedding.row(*token as usize, row);
        }
        if scale != 1.0 {
            elementwise::scale(team, &mut scratch.hidden, scale);
        }
    }

    /// From the hidden state to turned queries and keys, and values.
    fn project(
        &self,
        team: &Team,
        (index, layer): (usize, &Layer),
        turns: &[(f32, f32)],
        changes: &Changes<'_>,
        scratch: &mut Scratch,
    ) {
        let Architecture { epsilon, rope_pairs, .. } = self.architecture;
        let Scratch { hidden, normal, rows, projected, .. } = scratch;
        elementwise::rms_norm(team, hidden, &layer.attention_norm, epsilon, normal);
        rows.fill(team, normal, &layer.project);
        layer.project.multiply(team, rows, projected);
        changes.apply(team, (index, Slot::Projection), normal, projected);
        if let Some(bias) = &layer.project_bias {
            for row in projected.chunks_exact_mut(bias.len()) {
                row.iter_mut().zip(bias).for_each(|(number, bias)| *number += bias);
            }
        }
        let heads = &layer.heads;
        if let Some((query, key)) = &layer.head_norms {
            elementwise::norm_heads(team, heads, &HeadNorms { query, key, epsilon }, projected);
        }
        let pairs = match rope_pairs {
            ModelPairs::Neighbours => Pairs::Neighbours,
            ModelPairs::Halves => Pairs::Halves,
        };
        elementwise::turn(team, heads, turns, pairs, projected);
    }

    /// From the heads' mixtures to the hidden state.
    fn mix(&self, team: &Team, (index, layer): (usize, &Layer), changes: &Changes<'_>, scratch: &mut Scratch) {
        let Scratch { rows, attended, branch, .. } = scratch;
        rows.fill(team, attended, &layer.attention_output);
        layer.attention_output.multiply(team, rows, branch);
        changes.apply(team, (index, Slot::AttentionOutput), attended, branch);
        scratch.add_branch(team, layer.post_attention_norm.as_deref(), self.architecture.epsilon);
    }
}

impl Layer {
    fn bytes(&self) -> usize {
        self.project.bytes() + self.attention_output.bytes() + self.feed.bytes()
    }

    fn row_bytes(&self) -> usize {
        self.project.bytes() + self.attention_output.bytes() + self.feed.row_bytes()
    }

    /// What the feed-forward adds to the hidden state.
    fn feed(
        &self,
        team: &Team,
        index: usize,
        changes: &Changes<'_>,
        architecture: &Architecture,
        scratch: &mut Scratch,
    ) {
        elementwise::rms_norm(team, &scratch.hidden, &self.feed_norm, architecture.epsilon, &mut scratch.normal);
        self.feed.forward(team, index, changes, architecture, scratch);
        scratch.add_branch(team, self.post_feed_norm.as_deref(), architecture.epsilon);
    }
}
