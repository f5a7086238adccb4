//! The feed-forward of a layer: one, or several behind a router.
//!
//! With experts a router says which few of them compute a row (see [`Router`]). The rows of a
//! step are gathered by expert, so that an expert's weights are read once for all of its rows. A row's result is the sum
//! over its experts in the order of their numbers, whoever else is in the step.

use super::{change::Changes, memory::Scratch};
use crate::model::{Architecture, architecture, placement::Slot, router::Router};
use remit_compute::{
    Team,
    elementwise::{self, Activation},
    rows::Rows,
    weights::Matrix,
};

/// A layer's.
#[derive(Debug)]
pub(super) enum Feed {
    Dense(Dense),
    Experts(Experts),
}

/// Gate and up, an activation, and down.
#[derive(Debug)]
pub(super) struct Dense {
    /// Gate and up, in this order.
    pub(super) gate_up: Matrix,
    pub(super) down: Matrix,
}

/// Several, and which of them to use.
#[derive(Debug)]
pub(super) struct Experts {
    pub(super) router: Matrix,
    pub(super) choice: Router,
    pub(super) experts: Vec<Dense>,
    /// Of the inside of each.
    pub(super) inner: usize,
}

fn activation(activation: architecture::Activation) -> Activation {
    match activation {
        architecture::Activation::Silu => Activation::Silu,
        architecture::Activation::GeluTanh => Activation::GeluTanh,
    }
}

impl Feed {
    /// From the normalised rows to what is added to the hidden state.
    pub(super) fn forward(
        &self,
        team: &Team,
        layer: usize,
        changes: &Changes<'_>,
        architecture: &Architecture,
        scratch: &mut Scratch,
    ) {
        let activation = activation(architecture.activation);
        match self {
            Self::Dense(Dense { gate_up, down }) => {
                let Scratch { normal, rows, both, inner, branch, .. } = scratch;
                rows.fill(team, normal, gate_up);
                gate_up.multiply(team, rows, both);
                changes.apply(team, (layer, Slot::GateUp), normal, both);
                elementwise::gate(team, both, down.inputs(), activation, inner);
                rows.fill(team, inner, down);
                down.multiply(team, rows, branch);
                changes.apply(team, (layer, Slot::Down), inner, branch);
            }
            Self::Experts(experts) => experts.forward(team, activation, architecture.width, scratch),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Dense(dense) => dense.bytes(),
            Self::Experts(experts) => experts.router.bytes() + experts.experts.iter().map(Dense::bytes).sum::<usize>(),
        }
    }

    /// Bytes of weights that one row reads.
    pub(super) fn row_bytes(&self) -> usize {
        match self {
            Self::Dense(dense) => dense.bytes(),
            Self::Experts(experts) => {
                experts.router.bytes()
                    + experts.experts.iter().take(experts.choice.used).map(Dense::bytes).sum::<usize>()
            }
        }
    }
}

impl Dense {
    fn bytes(&self) -> usize {
        self.gate_up.bytes() + self.down.bytes()
    }
}

impl Experts {
    fn forward(&self, team: &Team, activation: Activation, width: usize, scratch: &mut Scratch) {
        let Scratch { normal, rows, branch, .. } = scratch;
        let chosen = self.choose(team, rows, normal, width);
        branch.fill(0.0);
        let (mut gathered, mut both, mut inner, mut result) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (Dense { gate_up, down }, chosen) in self.experts.iter().zip(chosen) {
            if chosen.is_empty() {
                continue;
            }
            gathered.clear();
            chosen.iter().for_each(|(row, _)| gathered.extend_from_slice(&normal[row * width..][..width]));
            both.resize(chosen.len() * 2 * self.inner, 0.0);
            inner.resize(chosen.len() * self.inner, 0.0);
            result.resize(chosen.len() * width, 0.0);
            rows.fill(team, &gathered, gate_up);
            gate_up.multiply(team, rows, &mut both);
            elementwise::gate(team, &both, self.inner, activation, &mut inner);
            rows.fill(team, &inner, down);
            down.multiply(team, rows, &mut result);
            for ((row, weight), result) in chosen.iter().zip(result.chunks_exact(width)) {
                let to = &mut branch[row * width..][..width];
                to.iter_mut().zip(result).for_each(|(to, result)| *to += weight * result);
            }
        }
    }

    /// For each expert, the rows that go through it, in order, and with what weight.
    fn choose(&self, team: &Team, rows: &mut Rows, normal: &[f32], width: usize) -> Vec<Vec<(usize, f32)>> {
        let mut logits = vec![0.0; normal.len() / width * self.choice.experts];
        rows.fill(team, normal, &self.router);
        self.router.multiply(team, rows, &mut logits);
        self.choice.choose(&mut logits)
    }
}
