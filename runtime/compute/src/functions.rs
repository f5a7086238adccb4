//! Exponentials and hyperbolic tangent, as chains of operations that every instruction set has and rounds alike.
//!
//! | function | off by, at most | where that was measured |
//! | --- | --- | --- |
//! | [`exp`] | 1.0 ulp | from -104 to 89 |
//! | [`exp2`] | 0.9 ulp | from -126 to 0 |
//! | [`tanh`] | 2.2 ulp | from -12 to 12 |
//!
//! No branches: a loop over lanes becomes vector instructions. The polynomials meet the function at Chebyshev's points of their
//! range, in 40 digits, rounded to single precision.

use std::f32::consts::{LN_2, LOG2_E};

/// What is added so that the unit of the last place is one, and taken away again: rounding to the nearest integer.
const ROUND: f32 = 12_582_912.0;
/// Steeper than that nothing fits between -1 and 1: from here on [`tanh`] is one.
const TANH_ONE: f32 = 9.02;

/// 2 to the power of a number that is not above 126; zero below -126.
#[inline(always)]
pub(crate) fn exp2(x: f32) -> f32 {
    /// Beside rounding, it adds the bias of an exponent.
    const ROUND_BIASED: f32 = ROUND + 127.0;
    // The order keeps what is no number.
    let bounded = if x < -126.0 { -126.0 } else { x };
    let rounded = bounded + ROUND_BIASED;
    let fraction = bounded - (rounded - ROUND_BIASED);
    let mut sum = 0.000_154_531_63;
    for factor in [0.001_339_086_3, 0.009_618_083, 0.055_503_57, 0.240_226_5, LN_2, 1.0] {
        sum = fraction.mul_add(sum, factor);
    }
    // The exponent is in the last bits: all others are shifted out.
    let power = sum * f32::from_bits(rounded.to_bits() << 23);
    if x < -126.0 { 0.0 } else { power }
}

/// A number as an integer times the logarithm of two, and what e to the power of the rest is, less one.
#[inline(always)]
fn reduce(x: f32) -> (i32, f32) {
    /// The logarithm of two, in two parts: products of integers up to 2^14 with the first are exact.
    const PARTS: [f32; 2] = [355.0 / 512.0, -0.000_212_194_44];
    let rounded = x.mul_add(LOG2_E, ROUND);
    let count = rounded - ROUND;
    let rest = count.mul_add(-PARTS[1], count.mul_add(-PARTS[0], x));
    let mut sum = 0.000_198_910_8;
    for factor in [0.001_393_373_1, 0.008_333_31, 0.041_666_463, 0.166_666_67, 0.5] {
        sum = rest.mul_add(sum, factor);
    }
    let integer = rounded.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
    (integer, (rest * rest).mul_add(sum, rest))
}

/// 2 to the power of an integer from -126 to 127.
#[inline(always)]
fn power_of_two(integer: i32) -> f32 {
    f32::from_bits((integer.wrapping_add(127) as u32) << 23)
}

/// e to the power of a number.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    /// Above it, it is infinite; below the other, zero.
    const BOUNDS: [f32; 2] = [-104.0, 89.0];
    let bounded = if x < BOUNDS[0] { BOUNDS[0] } else { x };
    let bounded = if bounded > BOUNDS[1] { BOUNDS[1] } else { bounded };
    let (integer, less_one) = reduce(bounded);
    // In two steps: one factor alone may not be a number that there is.
    let half = integer >> 1;
    (1.0 + less_one) * power_of_two(half) * power_of_two(integer.wrapping_sub(half))
}

/// The hyperbolic tangent.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let magnitude = x.abs();
    let bounded = if magnitude > TANH_ONE { TANH_ONE } else { magnitude };
    let (integer, less_one) = reduce(2.0 * bounded);
    let power = power_of_two(integer);
    let less_one = power.mul_add(less_one, power - 1.0);
    let tanh = less_one / (less_one + 2.0);
    let tanh = if magnitude > TANH_ONE { 1.0 } else { tanh };
    tanh.copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Isa,
        lanes::{self, Lanes, Work},
        sixteen::{LANES, Sixteen},
    };

    #[derive(Clone, Copy)]
    enum Function {
        Exp,
        Exp2,
        Tanh,
    }

    struct All<'a>(Function, &'a mut [Sixteen]);

    impl Work for All<'_> {
        #[inline(always)]
        fn run<L: Lanes>(self, _lanes: L) {
            for lanes in self.1 {
                for number in &mut lanes.0 {
                    *number = match self.0 {
                        Function::Exp => exp(*number),
                        Function::Exp2 => exp2(*number),
                        Function::Tanh => tanh(*number),
                    };
                }
            }
        }
    }

    /// On each instruction set; they agree.
    fn evaluate(function: Function, inputs: &[f32]) -> Vec<f32> {
        let mut lanes = vec![Sixteen::ZERO; inputs.len().div_ceil(LANES)];
        inputs.iter().enumerate().for_each(|(index, input)| lanes[index / LANES].0[index % LANES] = *input);
        let each = Isa::all_here().map(|isa| {
            let mut lanes = lanes.clone();
            lanes::run(isa, All(function, &mut lanes));
            lanes.iter().flat_map(|lanes| lanes.0).take(inputs.len()).collect::<Vec<_>>()
        });
        let bits = |numbers: &[f32]| numbers.iter().map(|number| number.to_bits()).collect::<Vec<_>>();
        each.reduce(|first, next| {
            assert_eq!(bits(&first), bits(&next));
            first
        })
        .unwrap()
    }

    /// Within so many units of the last place, over a range.
    fn check(function: Function, reference: fn(f64) -> f64, range: [f32; 2], ulp_max: f64) {
        let steps = 400_000;
        let step = (f64::from(range[1]) - f64::from(range[0])) / f64::from(steps);
        let even = (0..=steps).map(|index| (f64::from(range[0]) + f64::from(index) * step) as f32);
        // And ever smaller ones.
        let small = (0..4000).map(|index| range[0].signum() * 0.97f32.powi(index));
        let inputs: Vec<f32> = even.chain(small).collect();
        let mut most = (0.0, 0.0);
        for (input, found) in inputs.iter().zip(evaluate(function, &inputs)) {
            let expected = reference(f64::from(*input));
            let near = (expected as f32).abs();
            let ulp = f64::from(f32::from_bits(near.to_bits() + 1)) - f64::from(near);
            let off = (f64::from(found) - expected).abs() / ulp;
            if off > most.0 {
                most = (off, *input);
            }
        }

        assert!(most.0 <= ulp_max, "{} ulp at {}", most.0, most.1);
    }

    #[test]
    fn near_what_they_are() {
        check(Function::Exp, f64::exp, [-104.0, 88.7], 1.0);
        check(Function::Exp2, f64::exp2, [-126.0, 0.0], 0.9);
        check(Function::Tanh, f64::tanh, [-12.0, 12.0], 2.2);
        check(Function::Tanh, f64::tanh, [1.0, -1.0], 2.2);
    }

    #[test]
    fn at_the_edges() {
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        let edge = |function, input: f32, expected: f32| {
            let found = evaluate(function, &[input])[0];
            let same = found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
            assert!(same, "{found} for {input}, which is {expected}");
        };
        for (input, expected) in
            [(-inf, 0.0), (inf, inf), (nan, nan), (0.0, 1.0), (-0.0, 1.0), (88.8, inf), (-104.0, 0.0)]
        {
            edge(Function::Exp, input, expected);
        }
        for (input, expected) in
            [(-inf, 0.0), (nan, nan), (0.0, 1.0), (-1.0, 0.5), (-126.0, 2f32.powi(-126)), (-126.1, 0.0)]
        {
            edge(Function::Exp2, input, expected);
        }
        for (input, expected) in
            [(-inf, -1.0), (inf, 1.0), (nan, nan), (0.0, 0.0), (-0.0, -0.0), (20.0, 1.0), (1e-30, 1e-30)]
        {
            edge(Function::Tanh, input, expected);
        }
        // Signalling, and with a payload that looks like an exponent.
        for bits in [0x7f80_0001u32, 0xff80_007f, 0x7fff_ffff] {
            for function in [Function::Exp, Function::Exp2, Function::Tanh] {
                assert!(evaluate(function, &[f32::from_bits(bits)])[0].is_nan());
            }
        }
    }
}
