//! Heads on their way to the cache, and attention to it, against sums over all positions in f64.

use super::{back, check, device, on, random};
use crate::model::{
    architecture::Pairs,
    device::{Attending, HeadShape, LayerMemory, Sight, SpanRows, StepMemory},
};
use burn::tensor::{Device, Tensor, TensorData};

struct Case {
    shape: HeadShape,
    normalised: bool,
    sight: Sight,
}

fn shape(heads: usize, kv_heads: usize, width: usize, pairs: usize, order: Pairs) -> HeadShape {
    HeadShape { heads, kv_heads, width, pairs, order, scale: (width as f32).sqrt().recip(), epsilon: 1e-5 }
}

/// A head, normalised and turned as its position says.
fn turned(shape: &HeadShape, head: &[f32], weight: Option<&[f32]>, turns: &[f32]) -> Vec<f64> {
    let mut head: Vec<f64> = head.iter().map(|x| f64::from(*x)).collect();
    if let Some(weight) = weight {
        let square = head.iter().map(|x| x * x).sum::<f64>() / head.len() as f64;
        let scale = (square + f64::from(shape.epsilon)).sqrt().recip();
        head.iter_mut().zip(weight).for_each(|(x, weight)| *x *= scale * f64::from(*weight));
    }
    for (pair, turn) in turns.chunks_exact(2).enumerate() {
        let (cos, sin) = (f64::from(turn[0]), f64::from(turn[1]));
        let (a, b) = match shape.order {
            Pairs::Neighbours => (2 * pair, 2 * pair + 1),
            Pairs::Halves => (pair, pair + shape.pairs),
        };
        (head[a], head[b]) = (head[a] * cos - head[b] * sin, head[a] * sin + head[b] * cos);
    }
    head
}

fn mixture(case: &Case, query: &[f64], keys: &[Vec<f64>], values: &[Vec<f64>]) -> Vec<f64> {
    let first = case.sight.window.map_or(0, |window| keys.len().saturating_sub(window));
    let score = |key: &Vec<f64>| {
        let score = query.iter().zip(key).map(|(a, b)| a * b).sum::<f64>() * f64::from(case.shape.scale);
        case.sight.softcap.map_or(score, |cap| f64::from(cap) * (score / f64::from(cap)).tanh())
    };
    let weights: Vec<f64> = keys[first..].iter().map(|key| score(key).exp()).collect();
    let total: f64 = weights.iter().sum();
    let mut mixture = vec![0.0; case.shape.width];
    for (weight, value) in weights.iter().zip(&values[first..]) {
        mixture.iter_mut().zip(value).for_each(|(out, x)| *out += weight / total * x);
    }
    mixture
}

/// What a sequence's steps come to: projected rows go in, in steps of these sizes.
fn run(case: &Case, device: &Device, steps: &[usize], capacity: usize) {
    let shape = &case.shape;
    let (heads, kv, width, pairs) = (shape.heads, shape.kv_heads, shape.width, shape.pairs);
    let norms = random(11, 2 * width);
    let on_device = Tensor::<1>::from_data(TensorData::new(norms.clone(), [2 * width]), device);
    let mut cache = LayerMemory::new(kv, width, capacity, device);
    let (mut keys, mut values) = (vec![Vec::new(); kv], vec![Vec::new(); kv]);
    let mut before = 0;
    for (index, tokens) in steps.iter().copied().enumerate() {
        // Rows before this sequence's and behind it.
        let (row, padded) = (index % 2, tokens.next_power_of_two() + index % 3);
        let rows = row + padded;
        let all = heads + 2 * kv;
        let mut projected = random(20 + index as u64, rows * all * width);
        projected.iter_mut().for_each(|x| *x *= 3.0);
        let angles = random(30 + index as u64, rows * pairs);
        let turns: Vec<f32> = angles.iter().flat_map(|angle| [(angle * 3.0).cos(), (angle * 3.0).sin()]).collect();
        let step = StepMemory::new(vec![turns.clone()], vec![0, before as u32], device);
        let input = Tensor::from_data(TensorData::new(projected.clone(), [rows, all * width]), device);
        let attending = Attending::new(shape, &step, input);
        let span = SpanRows { span: 1, row, tokens, before, padded };
        attending.span(span, (0, case.normalised.then_some(&on_device), case.sight), &cache);
        let found = back::<2>(super::memory(attending.mixtures()));
        let mut expected = Vec::new();
        for token in 0..tokens {
            let heads_of: Vec<_> =
                projected[(row + token) * all * width..][..all * width].chunks_exact(width).collect();
            let turns = &turns[(row + token) * pairs * 2..][..pairs * 2];
            let turn = |head, weight: usize| {
                turned(shape, head, case.normalised.then(|| &norms[weight * width..][..width]), turns)
            };
            for head in 0..kv {
                keys[head].push(turn(heads_of[heads + head], 1));
                values[head].push(heads_of[heads + kv + head].iter().map(|x| f64::from(*x)).collect());
            }
            for (head, query) in heads_of[..heads].iter().enumerate() {
                let from = head / (heads / kv);
                expected.extend(mixture(case, &turn(query, 0), &keys[from], &values[from]));
            }
        }
        expected.resize((padded) * heads * width, 0.0);
        check(&format!("step {index}"), &found[row * heads * width..], &expected, 2e-5);
        before += tokens;
        // A copy goes on as what it was copied from.
        cache = cache.prefix(before, capacity + index, device);
    }
}

#[test]
fn heads_attend_as_their_shape_says() {
    let device = device();
    let all = Sight { window: None, softcap: None };
    let cases = [
        Case { shape: shape(4, 2, 16, 8, Pairs::Halves), normalised: false, sight: all },
        Case {
            shape: shape(3, 3, 10, 3, Pairs::Neighbours),
            normalised: true,
            sight: Sight { window: Some(5), softcap: None },
        },
        Case {
            shape: shape(16, 1, 8, 4, Pairs::Halves),
            normalised: true,
            sight: Sight { window: None, softcap: Some(2.0) },
        },
    ];
    for case in &cases {
        run(case, &device, &[7, 1, 3, 1], 40);
    }
}

/// More positions than a tile has, then as many as are shared out.
#[test]
fn many_positions_are_shared_out() {
    let device = device();
    for window in [None, Some(530)] {
        let sight = Sight { window, softcap: None };
        let case = Case { shape: shape(6, 2, 12, 6, Pairs::Halves), normalised: false, sight };
        run(&case, &device, &[200, 1, 500, 1, 1], 703);
    }
}

#[test]
fn a_prefix_has_the_first_positions() {
    let device = device();
    let cache = LayerMemory::new(2, 6, 5, &device);
    let numbers = random(12, 2 * 2 * 5 * 4);
    let filled = LayerMemory { keys: on(&device, &numbers, [80]), values: on(&device, &numbers, [80]), ..cache };
    let copy = filled.prefix(3, 9, &device);
    let copied = back::<1>(copy.keys);
    for line in 0..4 {
        assert_eq!(copied[line * 36..][..12], numbers[line * 20..][..12], "keys");
    }
    let copied = back::<1>(copy.values);
    for line in 0..2 {
        assert_eq!(copied[line * 72..][..24], numbers[line * 40..][..24], "values");
    }
}
