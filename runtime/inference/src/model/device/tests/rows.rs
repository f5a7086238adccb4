//! Programs that go over rows: norms, gates, the likeliest token.

use super::{back, check, device, on, random};
use crate::model::{
    architecture::Activation,
    device::{gate::gate, likeliest, norm},
};
use burn::tensor::{Tensor, TensorData};

const EPSILON: f32 = 1e-5;

fn normalised(rows: &[f32], weight: &[f32]) -> Vec<f64> {
    let normalise = |row: &[f32]| {
        let square: f64 = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / row.len() as f64;
        let scale = (square + f64::from(EPSILON)).sqrt().recip();
        row.iter().zip(weight).map(|(x, weight)| f64::from(*x) * scale * f64::from(*weight)).collect::<Vec<_>>()
    };
    rows.chunks_exact(weight.len()).flat_map(normalise).collect()
}

#[test]
fn rows_are_normalised() {
    let device = device();
    for (rows, width) in [(1, 1), (3, 37), (2, 600)] {
        let (input, added, weight) = (random(1, rows * width), random(2, rows * width), random(3, width));
        let [a, b] = [&input, &added].map(|numbers| on(&device, numbers, [rows, width]));
        let on_device = on(&device, &weight, [width]);
        check("norm", &back::<2>(norm::norm(&a, &on_device, EPSILON)), &normalised(&input, &weight), 1e-6);
        let (sum, normal) = norm::add_norm(&a, &b, &on_device, EPSILON);
        let sums: Vec<f32> = input.iter().zip(&added).map(|(a, b)| a + b).collect();
        assert_eq!(back::<2>(sum), sums);
        check("add and norm", &back::<2>(normal), &normalised(&sums, &weight), 1e-6);
    }
}

#[test]
fn gates_open_as_their_activation_says() {
    let device = device();
    let silu = |x: f64| x / (1.0 + (-x).exp());
    let gelu = |x: f64| 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh());
    let (rows, inner) = (3, 21);
    let mut both = random(4, rows * 2 * inner);
    both.iter_mut().for_each(|x| *x *= 6.0);
    // Where exponentials overflow.
    (both[0], both[1]) = (-200.0, 200.0);
    for (activation, of) in [(Activation::Silu, &silu as &dyn Fn(f64) -> f64), (Activation::GeluTanh, &gelu)] {
        let gated = |row: &[f32]| {
            let (gate, up) = row.split_at(inner);
            gate.iter().zip(up).map(|(gate, up)| of(f64::from(*gate)) * f64::from(*up)).collect::<Vec<_>>()
        };
        let expected: Vec<f64> = both.chunks_exact(2 * inner).flat_map(gated).collect();
        check("gate", &back::<2>(gate(&on(&device, &both, [rows, 2 * inner]), activation)), &expected, 1e-6);
    }
}

#[test]
fn the_likeliest_is_the_first_of_the_largest() {
    let device = device();
    let columns = 1003;
    let mut logits = random(5, 3 * columns);
    (logits[700], logits[44]) = (2.0, 2.0);
    logits[2 * columns - 1] = 3.0;
    logits[2 * columns..].fill(-7.0);
    let on_device = Tensor::from_data(TensorData::new(logits, [3, columns]), &device);
    assert_eq!(likeliest(on_device.clone(), (3, columns)), [44, columns as u32 - 1, 0]);
    assert_eq!(likeliest(on_device, (1, 60)), [44]);
}
