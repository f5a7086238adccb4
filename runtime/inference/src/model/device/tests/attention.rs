//! Heads on their way to blocks, and attention to these, against sums over all positions in f64; and copies of blocks.

use super::{back, check, device, on, random};
use crate::model::{
    architecture::Pairs,
    device::{HeadShape, LayerMemory, Places, Sight, StepMemory, attend},
    pool::BLOCK_TOKENS,
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

/// A sequence's keys and values: of each key head, each position's.
struct Known {
    table: Vec<u32>,
    keys: Vec<Vec<Vec<f64>>>,
    values: Vec<Vec<Vec<f64>>>,
}

impl Known {
    fn positions(&self) -> usize {
        self.keys[0].len()
    }
}

/// Two sequences, whose blocks lie between each other's, and all of which is no number before it is written.
fn sequences(case: &Case, device: &Device, positions: usize) -> (LayerMemory, [Known; 2]) {
    let HeadShape { kv_heads, width, .. } = case.shape;
    let blocks = positions.div_ceil(BLOCK_TOKENS) as u32;
    let known = |first: u32| Known {
        table: (0..blocks).rev().map(|block| 2 * block + first).collect(),
        keys: vec![Vec::new(); kv_heads],
        values: vec![Vec::new(); kv_heads],
    };
    let layer = LayerMemory::new(kv_heads, width, 2 * blocks as usize * BLOCK_TOKENS, device);
    for block in 0..2 * blocks {
        LayerMemory::write(&[&layer], block, vec![f32::NAN; layer.block_numbers()], device);
    }
    (layer, [0, 1].map(known))
}

/// What both sequences' steps come to: so many projected rows of each go in.
fn run(case: &Case, device: &Device, steps: &[[usize; 2]]) {
    let shape = &case.shape;
    let (heads, kv, width, pairs) = (shape.heads, shape.kv_heads, shape.width, shape.pairs);
    let norms = random(11, 2 * width);
    let on_device = Tensor::<1>::from_data(TensorData::new(norms.clone(), [2 * width]), device);
    let most = steps.iter().fold([0, 0], |[a, b], [c, d]| [a + c, b + d]).into_iter().max().unwrap_or(0);
    let (layer, mut sequences) = sequences(case, device, most);
    for (index, counts) in steps.iter().enumerate() {
        let live: usize = counts.iter().sum();
        let rows = live + index % 3;
        let all = heads + 2 * kv;
        let mut projected = random(20 + index as u64, rows * all * width);
        projected.iter_mut().for_each(|x| *x *= 3.0);
        let angles = random(30 + index as u64, live * pairs);
        let turns: Vec<f32> = angles.iter().flat_map(|angle| [(angle * 3.0).cos(), (angle * 3.0).sin()]).collect();
        let mut places = Places::new(rows);
        for (known, count) in sequences.iter().zip(counts).filter(|(_, count)| **count > 0) {
            places.sequence(known.positions(), *count, &known.table);
        }
        let step = StepMemory::new(vec![turns.clone()], places, device);
        let input = Tensor::from_data(TensorData::new(projected.clone(), [rows, all * width]), device);
        let norms_on_device = case.normalised.then_some(&on_device);
        let mixtures = attend(shape, input, (&step, 0), (norms_on_device, case.sight), &layer);
        let found = back::<2>(super::memory(mixtures));
        let mut expected = Vec::new();
        let mut row = 0;
        for (known, count) in sequences.iter_mut().zip(counts) {
            for _ in 0..*count {
                let heads_of: Vec<_> = projected[row * all * width..][..all * width].chunks_exact(width).collect();
                let turns = &turns[row * pairs * 2..][..pairs * 2];
                let turn = |head, weight: usize| {
                    turned(shape, head, case.normalised.then(|| &norms[weight * width..][..width]), turns)
                };
                for head in 0..kv {
                    known.keys[head].push(turn(heads_of[heads + head], 1));
                    known.values[head].push(heads_of[heads + kv + head].iter().map(|x| f64::from(*x)).collect());
                }
                for (head, query) in heads_of[..heads].iter().enumerate() {
                    let from = head / (heads / kv);
                    expected.extend(mixture(case, &turn(query, 0), &known.keys[from], &known.values[from]));
                }
                row += 1;
            }
        }
        expected.resize(rows * heads * width, 0.0);
        check(&format!("step {index}"), &found, &expected, 2e-5);
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
        run(case, &device, &[[7, 0], [1, 18], [30, 1], [1, 1]]);
    }
}

/// More positions than a tile has, then as many as are shared out.
#[test]
fn many_positions_are_shared_out() {
    let device = device();
    for window in [None, Some(530)] {
        let sight = Sight { window, softcap: None };
        let case = Case { shape: shape(6, 2, 12, 6, Pairs::Halves), normalised: false, sight };
        run(&case, &device, &[[200, 30], [0, 1], [500, 1], [1, 1], [1, 300], [80, 1], [1, 0]]);
    }
}

#[test]
fn a_block_is_read_written_and_copied_whole() {
    let device = device();
    let (kv_heads, quarters, slots) = (2, 2, 3 * BLOCK_TOKENS);
    let numbers = random(12, kv_heads * quarters * slots * 4);
    let of_keys = |block: usize| {
        let lines = numbers.chunks_exact(slots * 4);
        lines.flat_map(|line| &line[block * BLOCK_TOKENS * 4..][..BLOCK_TOKENS * 4]).copied().collect::<Vec<_>>()
    };
    let of_values = |block: usize| {
        let each = BLOCK_TOKENS * quarters * 4;
        let heads = numbers.chunks_exact(slots * quarters * 4);
        heads.flat_map(|head| &head[block * each..][..each]).copied().collect::<Vec<_>>()
    };
    let block = |block| [of_keys(block), of_values(block)].concat();
    let layer = LayerMemory::new(kv_heads, 7, slots, &device);
    let [keys, values] = [(); 2].map(|()| on(&device, &numbers, [numbers.len()]));
    let layer = LayerMemory { keys, values, ..layer };
    let check = |blocks: [&[f32]; 3]| {
        for (index, expected) in (0..).zip(blocks) {
            assert_eq!(LayerMemory::read(&[&layer], index), expected, "block {index}");
        }
    };
    assert_eq!(layer.block_numbers(), block(0).len());
    check([&block(0), &block(1), &block(2)]);
    layer.copy(2, 0);
    check([&block(2), &block(1), &block(2)]);
    LayerMemory::write(&[&layer], 2, block(0), &device);
    check([&block(2), &block(1), &block(0)]);
    let both = LayerMemory::read(&[&layer, &layer], 1);
    assert_eq!(both, block(1).repeat(2));
}
