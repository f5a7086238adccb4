//! What encoders have beside decoders: norms with a mean, biases, and the gate-less activation.
//!
//! Sources: Ba et al. 2016, "Layer Normalization"; Hendrycks and Gimpel 2016, "Gaussian Error Linear Units"; Abramowitz and Stegun
//! 1964, "Handbook of Mathematical Functions", 7.1.26 (the error function, off by at most 1.5e-7).

use super::each_rows;
use crate::{
    Team,
    functions::exp,
    lanes::{self, Lanes, Work},
    sixteen::{LANES, Sixteen},
};
use std::f32::consts::FRAC_1_SQRT_2;

/// Takes each row's mean from it, divides it by the root of its variance, multiplies it with `weight`, and adds `bias`. `rows` is
/// `[rows][weight.len()]`.
///
/// # Panics
/// For lengths that do not fit together.
pub fn layer_norm(team: &Team, rows: &mut [f32], weight: &[f32], bias: &[f32], epsilon: f32) {
    assert_eq!(weight.len(), bias.len(), "{} weights and {} biases", weight.len(), bias.len());
    each_rows(team, weight.len(), rows, |_, rows| {
        lanes::run(team.isa(), LayerNorm { rows, weight, bias, epsilon });
    });
}

/// Adds the same to each row: `rows` is `[rows][bias.len()]`.
///
/// # Panics
/// For lengths that do not fit together.
pub fn add_bias(team: &Team, rows: &mut [f32], bias: &[f32]) {
    each_rows(team, bias.len(), rows, |_, rows| lanes::run(team.isa(), Bias { rows, bias }));
}

/// A number `x` becomes `x · Φ(x)`.
pub fn gelu(team: &Team, numbers: &mut [f32]) {
    each_rows(team, 1, numbers, |_, numbers| lanes::run(team.isa(), Gelu { numbers }));
}

struct LayerNorm<'a> {
    rows: &'a mut [f32],
    weight: &'a [f32],
    bias: &'a [f32],
    epsilon: f32,
}

impl Work for LayerNorm<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, _lanes: L) {
        let width = self.weight.len() as f32;
        for row in self.rows.chunks_exact_mut(self.weight.len()) {
            let mean = sum(row, |number| number) / width;
            let variance = sum(row, |number| (number - mean) * (number - mean)) / width;
            let factor = 1.0 / (variance + self.epsilon).sqrt();
            for ((number, weight), bias) in row.iter_mut().zip(self.weight).zip(self.bias) {
                *number = ((*number - mean) * factor).mul_add(*weight, *bias);
            }
        }
    }
}

/// The sum of a function of each number: a lane for each position modulo [`LANES`].
#[inline(always)]
fn sum(numbers: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut sums = Sixteen::ZERO;
    let (whole, rest) = numbers.as_chunks::<LANES>();
    for numbers in whole {
        for (sum, number) in sums.0.iter_mut().zip(numbers) {
            *sum += of(*number);
        }
    }
    for (sum, number) in sums.0.iter_mut().zip(rest) {
        *sum += of(*number);
    }
    sums.sum()
}

struct Bias<'a> {
    rows: &'a mut [f32],
    bias: &'a [f32],
}

impl Work for Bias<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, _lanes: L) {
        for row in self.rows.chunks_exact_mut(self.bias.len()) {
            row.iter_mut().zip(self.bias).for_each(|(number, bias)| *number += bias);
        }
    }
}

struct Gelu<'a> {
    numbers: &'a mut [f32],
}

impl Work for Gelu<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, _lanes: L) {
        for number in self.numbers {
            *number *= below(*number);
        }
    }
}

/// Φ: how much of a normal distribution is below a number.
#[inline(always)]
fn below(x: f32) -> f32 {
    /// How fast the argument falls, and the polynomial's factors, the highest power first: halves of those of the source.
    const FALL: f32 = 0.327_591_1;
    const FACTORS: [f32; 5] = [0.530_702_7, -0.726_576, 0.710_706_9, -0.142_248_37, 0.127_414_8];
    let magnitude = x.abs() * FRAC_1_SQRT_2;
    let argument = 1.0 / FALL.mul_add(magnitude, 1.0);
    let mut polynomial = 0.0;
    for factor in FACTORS {
        polynomial = argument.mul_add(polynomial, factor);
    }
    let tail = argument * polynomial * exp(-magnitude * magnitude);
    if x < 0.0 { tail } else { 1.0 - tail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;

    /// The same bits on every instruction set and any number of threads, and near what is expected.
    fn check(act: impl Fn(&Team, &mut [f32]), input: &[f32], expect: impl Fn(&[f64]) -> Vec<f64>, width: usize) {
        let run = |isa: Isa, threads: usize| {
            let mut numbers = input.to_vec();
            act(&Team::new(threads, isa).unwrap(), &mut numbers);
            numbers
        };
        let first = run(Isa::Plain, 1);
        for isa in Isa::all_here() {
            assert_eq!(run(isa, 3), first, "{isa:?}");
        }
        for (found, row) in first.chunks(width).zip(input.chunks(width)) {
            let expected = expect(&row.iter().map(|number| f64::from(*number)).collect::<Vec<_>>());
            for (found, expected) in found.iter().zip(expected) {
                assert!((f64::from(*found) - expected).abs() < 2e-6, "{found} and {expected}");
            }
        }
    }

    fn numbers(count: usize) -> Vec<f32> {
        (0..count).map(|index| (index * 7919 % 20_011) as f32 / 2000.0 - 5.0).collect()
    }

    #[test]
    fn rows_are_normalised_and_biased() {
        for width in [1, 16, 33, 384] {
            let (input, weight, bias) = (numbers(width * 60), numbers(width), numbers(2 * width)[width..].to_vec());
            let normed = |row: &[f64]| {
                let mean = row.iter().sum::<f64>() / row.len() as f64;
                let variance = row.iter().map(|number| (number - mean).powi(2)).sum::<f64>() / row.len() as f64;
                let each = row.iter().zip(&weight).zip(&bias);
                let root = (variance + 1e-3).sqrt();
                each.map(|((number, weight), bias)| (number - mean) / root * f64::from(*weight) + f64::from(*bias))
                    .collect()
            };
            let scaled = |team: &Team, rows: &mut [f32]| layer_norm(team, rows, &weight, &bias, 1e-3);
            // Weights up to 5: their products are as far off.
            check(
                |team, rows| {
                    scaled(team, rows);
                    rows.iter_mut().for_each(|number| *number /= 8.0);
                },
                &input,
                |row| {
                    let row: Vec<f64> = normed(row);
                    row.iter().map(|number| number / 8.0).collect()
                },
                width,
            );
            let sums = |row: &[f64]| row.iter().zip(&bias).map(|(number, bias)| number + f64::from(*bias)).collect();
            check(|team, rows| add_bias(team, rows, &bias), &input, sums, width);
        }
    }

    #[test]
    fn the_activation_is_the_integrals() {
        // Simpson's rule over the density.
        let below = |x: f64| {
            let (steps, end) = (2000, x.abs());
            let density = |at: f64| (-at * at / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
            let width = end / f64::from(steps);
            let inside: f64 = (0..=steps)
                .map(|step| {
                    let factor = if step == 0 || step == steps {
                        1.0
                    } else if step % 2 == 1 {
                        4.0
                    } else {
                        2.0
                    };
                    factor * density(f64::from(step) * width)
                })
                .sum::<f64>()
                * width
                / 3.0;
            if x < 0.0 { 0.5 - inside } else { 0.5 + inside }
        };
        check(gelu, &numbers(20_000)[..3000], |row| row.iter().map(|x| x * below(*x)).collect(), 1);
        let mut ends = [-100.0, 0.0, 100.0, f32::NAN];
        gelu(&Team::alone(Isa::best()), &mut ends);
        assert_eq!(ends[..3], [0.0, 0.0, 100.0]);
        assert!(ends[3].is_nan());
    }
}
