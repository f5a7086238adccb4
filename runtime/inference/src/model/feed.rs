//! The feed-forward of a block: one, or several behind a router.
//!
//! With experts, a router says which few of them compute a position, and with what weights (see [`Router`]). The positions
//! of a step are grouped by expert, so that an expert's weights are read once for all of its positions: gathered, put
//! through, and added back.
//!
//! A position's result is the sum over its experts in the order of their index, whoever else is in the step; each term
//! comes from [`Linear`], whose rows do not depend on each other up to its limit. Only the router's logits leave the
//! device: once a layer, which on a GPU is a wait for everything before it. Computing all experts for all rows would need no such wait and, of 128 experts with 8 in
//! use, 16 times the products and as many times the memory read; so there is the wait, until there is a kernel that
//! takes the router's choice where it is.

use super::{
    adapter::Adapted,
    architecture::Activation,
    device,
    linear::{Linear, indices, is_memory},
    placement::Slot,
    router::Router,
    rows::StepRows,
};
use burn::tensor::{IndexingUpdateOp, Tensor, TensorData, activation::silu};

/// Gate and up, an activation, and down: Shazeer 2020, "GLU Variants Improve Transformer".
#[derive(Debug)]
pub(super) struct Dense {
    /// Gate and up, in this order.
    pub(super) gate_up: Linear,
    pub(super) down: Linear,
    /// Of the inside.
    pub(super) inner: usize,
    pub(super) activation: Activation,
}

/// Several, and which of them to use.
#[derive(Debug)]
pub(super) struct Experts {
    pub(super) router: Linear,
    pub(super) choice: Router,
    pub(super) experts: Vec<Dense>,
}

/// A block's.
#[derive(Debug)]
pub(super) enum FeedForward {
    Dense(Box<Dense>),
    Experts(Box<Experts>),
}

impl FeedForward {
    /// `[rows, width]` to the same, with the rows' adapters; experts have none.
    pub(super) fn forward(&self, layer: usize, rows: &StepRows, adapted: &Adapted, input: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Dense(dense) => {
                let both = adapted.forward(&dense.gate_up, (layer, Slot::GateUp), input);
                adapted.forward(&dense.down, (layer, Slot::Down), dense.gated(both))
            }
            Self::Experts(experts) => experts.forward(&input, rows),
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
    fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        self.down.forward(self.gated(self.gate_up.forward(input)))
    }

    fn gated(&self, both: Tensor<2>) -> Tensor<2> {
        if !is_memory(&both.device()) {
            return device::gated(both, self.activation);
        }
        let gate = both.clone().narrow(1, 0, self.inner);
        let up = both.narrow(1, self.inner, self.inner);
        let gate = match self.activation {
            Activation::Silu => silu(gate),
            Activation::GeluTanh => gelu_tanh(gate),
        };
        gate * up
    }

    fn bytes(&self) -> usize {
        self.gate_up.bytes() + self.down.bytes()
    }
}

/// `burn` has it with a power, which a GPU may not compute of negative numbers; a product is right everywhere.
fn gelu_tanh(input: Tensor<2>) -> Tensor<2> {
    let cube = input.clone() * input.clone() * input.clone();
    let inside = (input.clone() + cube * 0.044_715) * (2.0 / std::f64::consts::PI).sqrt();
    input * (inside.tanh() + 1.0) * 0.5
}

impl Experts {
    fn forward(&self, input: &Tensor<2>, rows: &StepRows) -> Tensor<2> {
        let device = input.device();
        let pads = !is_memory(&device);
        let mut total = Tensor::zeros_like(input);
        for (expert, mut chosen) in self.experts.iter().zip(self.choose(input, rows)) {
            if chosen.is_empty() {
                continue;
            }
            if pads {
                // With weight zero, the first row again.
                chosen.resize(chosen.len().next_power_of_two(), (0, 0.0));
            }
            let count = chosen.len();
            let (chosen, weights): (Vec<i64>, Vec<f32>) =
                chosen.into_iter().map(|(row, weight)| (row as i64, weight)).unzip();
            let weights = Tensor::<2>::from_data(TensorData::new(weights, [count, 1]), &device);
            if count == rows.total && !pads {
                // Every row, in order.
                total = total + expert.forward(input.clone()) * weights;
                continue;
            }
            let chosen = indices(chosen, &device);
            let result = expert.forward(input.clone().select(0, chosen.clone())) * weights;
            total = total.select_assign(0, chosen, result, IndexingUpdateOp::Add);
        }
        total
    }

    /// For each expert, the rows that go through it, in order, and with what weight.
    fn choose(&self, input: &Tensor<2>, rows: &StepRows) -> Vec<Vec<(usize, f32)>> {
        let mut logits = self.router.forward(input.clone()).into_data();
        let Ok(logits) = logits.as_mut_slice::<f32>() else { unreachable!("every tensor of the decoder is f32") };
        self.choice.choose(&mut logits[..rows.live() * self.choice.experts])
    }
}
