//! The small steps between products and attention: norms, rotary turns, gates, sums.
//!
//! A number of the result depends on its own row alone. A norm's sum of squares has a lane for each position of the row modulo
//! 16; the lanes are added in one order. Several threads share the rows where there are many numbers.
//!
//! Sources: Zhang and Sennrich 2019, "Root Mean Square Layer Normalization"; Henry et al. 2020, "Query-Key Normalization"; Su
//! et al. 2021, "RoFormer" (turns); Shazeer 2020, "GLU Variants Improve Transformer" (gates); Hendrycks and Gimpel 2016,
//! "Gaussian Error Linear Units"; Bello et al. 2016, "Neural Combinatorial Optimization" (caps).

#[cfg(test)]
mod tests;

use crate::{
    Team,
    attention::Heads,
    functions::{exp, tanh},
    lanes::{self, Lanes, Work},
    parts::Parts,
    sixteen::{LANES, Sixteen},
};
use std::ops::Range;

/// Numbers from which on several threads share the work: some microseconds of one.
const SHARED_NUMBERS_MIN: usize = 1 << 14;
/// Numbers that a thread takes at a time.
const TASK_NUMBERS: usize = 1 << 13;

/// Weights of the norms of each query head and of each key head.
#[derive(Clone, Copy, Debug)]
pub struct HeadNorms<'a> {
    /// `[width]`.
    pub query: &'a [f32],
    /// `[width]`.
    pub key: &'a [f32],
    /// Added to the mean square before its root is taken.
    pub epsilon: f32,
}

/// Which numbers of a head are turned together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairs {
    /// 0 with 1, 2 with 3.
    Neighbours,
    /// The first half of those that are turned with the second.
    Halves,
}

/// Of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x · sigmoid(x)`.
    Silu,
    /// `x · Φ(x)`, in the form with tanh.
    GeluTanh,
}

/// Divides each row by the root of its mean square, and multiplies it with `weight`. `input` and `out` are
/// `[rows][weight.len()]`.
///
/// # Panics
/// For lengths that do not fit together.
pub fn rms_norm(team: &Team, input: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    assert_eq!(input.len(), out.len(), "norms of {} numbers into {}", input.len(), out.len());
    each_rows(team, weight.len(), out, |rows, out| {
        let input = &input[rows.start * weight.len()..][..out.len()];
        lanes::run(team.isa(), Norm { input, weight, epsilon, out });
    });
}

/// Adds `other` to `sums`.
///
/// # Panics
/// For different lengths.
pub fn add(team: &Team, sums: &mut [f32], other: &[f32]) {
    assert_eq!(sums.len(), other.len(), "{} sums and {} numbers", sums.len(), other.len());
    each_rows(team, 1, sums, |rows, sums| lanes::run(team.isa(), Add { sums, other: &other[rows] }));
}

/// Multiplies all with a factor.
pub fn scale(team: &Team, numbers: &mut [f32], factor: f32) {
    each_rows(team, 1, numbers, |_, numbers| lanes::run(team.isa(), Scale { numbers, factor }));
}

/// A number `x` becomes `cap · tanh(x / cap)`.
pub fn softcap(team: &Team, numbers: &mut [f32], cap: f32) {
    each_rows(team, 1, numbers, |_, numbers| lanes::run(team.isa(), Cap { numbers, cap }));
}

/// Normalises each query head and each key head as [`rms_norm`] does a row. `projected` is
/// `[rows][heads.projected_width()]`.
///
/// # Panics
/// For lengths that do not fit together.
pub fn norm_heads(team: &Team, heads: &Heads, norms: &HeadNorms<'_>, projected: &mut [f32]) {
    let width = heads.width;
    let fits = norms.query.len() == width && norms.key.len() == width;
    assert!(fits, "norms of {} and {} numbers for heads of {width}", norms.query.len(), norms.key.len());
    each_rows(team, heads.projected_width(), projected, |_, projected| {
        lanes::run(team.isa(), NormHeads { heads, norms, projected });
    });
}

/// Turns each query head and each key head. `projected` is `[rows][heads.projected_width()]`; `turns` are the sines and
/// cosines of each row, `[rows][pairs]`. Numbers of a head for which there is no pair stay as they are.
///
/// # Panics
/// For lengths that do not fit together.
pub fn turn(team: &Team, heads: &Heads, turns: &[(f32, f32)], pairs: Pairs, projected: &mut [f32]) {
    let rows = projected.len() / heads.projected_width().max(1);
    let each = turns.len() / rows.max(1);
    assert_eq!(turns.len(), each * rows, "turns of {rows} rows");
    assert!(2 * each <= heads.width, "turns of {each} pairs of a head's {} numbers", heads.width);
    each_rows(team, heads.projected_width(), projected, |rows, projected| {
        let turns = &turns[rows.start * each..rows.end * each];
        lanes::run(team.isa(), Turn { heads, turns, each, pairs, projected });
    });
}

/// The first half of each row goes through the activation, and is multiplied with the second. `both` is `[rows][2 · inner]`,
/// `out` is `[rows][inner]`.
///
/// # Panics
/// For lengths that do not fit together.
pub fn gate(team: &Team, both: &[f32], inner: usize, activation: Activation, out: &mut [f32]) {
    assert_eq!(both.len(), 2 * out.len(), "gates of {} numbers into {}", both.len(), out.len());
    each_rows(team, inner, out, |rows, out| {
        let both = &both[rows.start * 2 * inner..][..2 * out.len()];
        lanes::run(team.isa(), Gate { both, inner, activation, out });
    });
}

/// Calls `task` with some rows of a buffer at a time: their numbers, and what they hold.
///
/// # Panics
/// Where the buffer has other than whole rows.
fn each_rows(team: &Team, width: usize, buffer: &mut [f32], task: impl Fn(Range<usize>, &mut [f32]) + Sync) {
    if buffer.is_empty() {
        return;
    }
    let length = buffer.len();
    assert!(width != 0 && length.is_multiple_of(width), "{length} numbers in rows of {width}");
    let rows = length / width;
    if team.threads() == 1 || length < SHARED_NUMBERS_MIN {
        task(0..rows, buffer);
        return;
    }
    let together = (TASK_NUMBERS / width).max(1);
    let parts = Parts::new(buffer);
    team.each(rows.div_ceil(together), |index| {
        let own = index * together..rows.min((index + 1) * together);
        #[allow(unsafe_code, reason = "each task has its own rows")]
        // SAFETY: tasks have disjoint rows, and each is done once.
        let part = unsafe { parts.part(own.start * width..own.end * width) };
        task(own, part);
    });
}

struct Norm<'a> {
    input: &'a [f32],
    weight: &'a [f32],
    epsilon: f32,
    out: &'a mut [f32],
}

impl Work for Norm<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, _lanes: L) {
        let width = self.weight.len();
        for (input, out) in self.input.chunks_exact(width).zip(self.out.chunks_exact_mut(width)) {
            let factor = norm_factor(input, self.epsilon);
            for ((out, input), weight) in out.iter_mut().zip(input).zip(self.weight) {
                *out = input * factor * weight;
            }
        }
    }
}

/// One divided by the root of the mean square.
#[inline(always)]
fn norm_factor(numbers: &[f32], epsilon: f32) -> f32 {
    let mut squares = Sixteen::ZERO;
    let (whole, rest) = numbers.as_chunks::<LANES>();
    for numbers in whole {
        for (square, number) in squares.0.iter_mut().zip(numbers) {
            *square = number.mul_add(*number, *square);
        }
    }
    for (square, number) in squares.0.iter_mut().zip(rest) {
        *square = number.mul_add(*number, *square);
    }
    1.0 / (squares.sum() / numbers.len() as f32 + epsilon).sqrt()
}

struct Add<'a> {
    sums: &'a mut [f32],
    other: &'a [f32],
}

impl Work for Add<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, _lanes: L) {
        for (sum, other) in self.sums.iter_mut().zip(self.other) {
            *sum += other;
        }
    }
}

struct Scale<'a> {
    numbers: &'a mut [f32],
    factor: f32,
}

impl Work for Scale<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, _lanes: L) {
        for number in self.numbers {
            *number *= self.factor;
        }
    }
}

struct Cap<'a> {
    numbers: &'a mut [f32],
    cap: f32,
}

impl Work for Cap<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, _lanes: L) {
        for number in self.numbers {
            *number = self.cap * tanh(*number / self.cap);
        }
    }
}

struct NormHeads<'a> {
    heads: &'a Heads,
    norms: &'a HeadNorms<'a>,
    projected: &'a mut [f32],
}

impl Work for NormHeads<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, _lanes: L) {
        let Heads { heads, kv_heads, width, .. } = *self.heads;
        for row in self.projected.chunks_exact_mut(self.heads.projected_width()) {
            for (index, head) in row.chunks_exact_mut(width).take(heads + kv_heads).enumerate() {
                let weight = if index < heads { self.norms.query } else { self.norms.key };
                let factor = norm_factor(head, self.norms.epsilon);
                for (number, weight) in head.iter_mut().zip(weight) {
                    *number = *number * factor * weight;
                }
            }
        }
    }
}

struct Turn<'a> {
    heads: &'a Heads,
    turns: &'a [(f32, f32)],
    /// Pairs of a row.
    each: usize,
    pairs: Pairs,
    projected: &'a mut [f32],
}

impl Work for Turn<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, _lanes: L) {
        let Heads { heads, kv_heads, width, .. } = *self.heads;
        for (index, row) in self.projected.chunks_exact_mut(self.heads.projected_width()).enumerate() {
            let turns = &self.turns[index * self.each..][..self.each];
            for head in row.chunks_exact_mut(width).take(heads + kv_heads) {
                match self.pairs {
                    Pairs::Neighbours => turn_neighbours(head, turns),
                    Pairs::Halves => turn_halves(head, turns),
                }
            }
        }
    }
}

#[inline(always)]
fn turn_neighbours(head: &mut [f32], turns: &[(f32, f32)]) {
    for (pair, (sin, cos)) in head.as_chunks_mut::<2>().0.iter_mut().zip(turns) {
        let [a, b] = *pair;
        *pair = [a * cos - b * sin, a * sin + b * cos];
    }
}

#[inline(always)]
fn turn_halves(head: &mut [f32], turns: &[(f32, f32)]) {
    let (first, second) = head.split_at_mut(turns.len());
    for ((first, second), (sin, cos)) in first.iter_mut().zip(second).zip(turns) {
        let (a, b) = (*first, *second);
        (*first, *second) = (a * cos - b * sin, a * sin + b * cos);
    }
}

struct Gate<'a> {
    both: &'a [f32],
    inner: usize,
    activation: Activation,
    out: &'a mut [f32],
}

impl Work for Gate<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, _lanes: L) {
        for (both, out) in self.both.chunks_exact(2 * self.inner).zip(self.out.chunks_exact_mut(self.inner)) {
            let (gate, up) = both.split_at(self.inner);
            let each = out.iter_mut().zip(gate).zip(up);
            match self.activation {
                Activation::Silu => {
                    for ((out, gate), up) in each {
                        *out = silu(*gate) * up;
                    }
                }
                Activation::GeluTanh => {
                    for ((out, gate), up) in each {
                        *out = gelu_tanh(*gate) * up;
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}

/// `x / 2 · (1 + tanh(u))` is `x / (1 + e^(-2 u))`, which is exact for small results too.
#[inline(always)]
fn gelu_tanh(x: f32) -> f32 {
    /// 2 · √(2 / π), and that times 0.044715.
    const TWICE: [f32; 2] = [1.595_769, 0.071_354_814];
    let twice = x * (x * x).mul_add(TWICE[1], TWICE[0]);
    x / (1.0 + exp(-twice))
}
