//! Every instruction set against plain Rust, at the limits of what sums hold.

use super::*;
use crate::weights::tests::Noise;

/// What one operation after the other comes to, of noise.
fn results<L: Lanes>(lanes: L, seed: u64, bits: u32) -> Vec<u32> {
    let mut noise = Noise(seed);
    let mut out = Vec::new();
    let mut bytes = || -> [u8; 32] { std::array::from_fn(|_| (noise.next() >> 20) as u8) };
    let mut put = |floats: L::Floats| {
        let mut numbers = [0.0; 8];
        lanes.store(floats, &mut numbers);
        out.extend(numbers.map(f32::to_bits));
    };
    let (low, high) = (lanes.low(lanes.codes(&bytes())), lanes.high(lanes.codes(&bytes())));
    let planes = lanes.codes(&bytes());
    let dots = match bits {
        4 => 8,
        5 => 4,
        _ => 2,
    };
    let mut sums = lanes.no_sums();
    for dot in 0..dots {
        let half = if dot % 2 == 0 { low } else { high };
        let codes = match bits {
            4 => half,
            5 => lanes.with_fifth(half, planes, dot),
            _ => lanes.with_pair(half, planes, dot),
        };
        let inputs: [i8; 4] = std::array::from_fn(|index| if index == 2 { 127 } else { bytes()[0] as i8 }.max(-127));
        sums = lanes.dot(sums, codes, lanes.inputs(&inputs));
    }
    let eight: [u8; 8] = std::array::from_fn(|_| bytes()[0]);
    let [first, second] = [eight, [128; 8]].map(|factors| lanes.factors(&factors));
    let ints = lanes.add(lanes.ints(sums), lanes.int(-77));
    let ints = lanes.sub(ints, lanes.zeros(-4064, 1 << (seed % 8)));
    put(lanes.float(lanes.sub(ints, lanes.times_32(lanes.scaled(sums, first)))));
    put(lanes.float(lanes.paired(first, second, [-2032, 2031])));
    let mut ints = lanes.int(5);
    for pairs in lanes.pairs(planes) {
        ints = lanes.dot_pairs(ints, pairs, lanes.pair_inputs([-127, i16::from(bytes()[0]) - 128]));
    }
    put(lanes.float(ints));
    // Seven rows: those that are multiplied together, and others.
    let inputs: [[i8; 4]; 7] = std::array::from_fn(|_| std::array::from_fn(|_| (bytes()[0] as i8).max(-127)));
    let mut rows = [lanes.no_sums(); 7];
    lanes.dot_rows(&mut rows, low, &inputs);
    lanes.dot_rows(&mut rows, high, &inputs);
    for row in rows {
        put(lanes.float(lanes.ints(row)));
    }
    let wide = lanes.wide_codes(&bytes());
    let [first, second, third, fourth] = inputs[0].map(i16::from);
    let mut ints = lanes.zeros(i32::from(first + second + third + fourth), L::WIDE_ZERO);
    if L::WIDE {
        let [even, odd] = lanes.pairs(wide);
        ints = lanes.dot_pairs(ints, even, lanes.pair_inputs([first, third]));
        ints = lanes.dot_pairs(ints, odd, lanes.pair_inputs([second, fourth]));
    } else {
        ints = lanes.add(ints, lanes.ints(lanes.dot(lanes.no_sums(), wide, lanes.inputs(&inputs[0]))));
    }
    put(lanes.float(ints));
    let halves: [u8; 16] = std::array::from_fn(|index| if index % 2 == 0 { bytes()[0] } else { bytes()[0] & 0xbb });
    let scale = lanes.mul(lanes.halves(&halves), lanes.unsigned(&eight));
    put(lanes.fused(scale, lanes.signed(&eight), lanes.brain_halves(&halves)));
    put(lanes.plus(scale, lanes.splat(0.3)));
    out
}

#[test]
fn every_operation_is_that_of_plain_rust() {
    struct Take<'a>(&'a mut Vec<u32>, u64, u32);
    impl Work for Take<'_> {
        fn run<L: Lanes>(self, lanes: L) {
            *self.0 = results(lanes, self.1, self.2);
        }
    }
    for isa in Isa::all_here() {
        for (seed, bits) in (1..400).flat_map(|seed| [4, 5, 6].map(|bits| (seed, bits))) {
            let mut got = Vec::new();
            run(isa, Take(&mut got, seed, bits));
            assert_eq!(got, results(Plain, seed, bits), "{isa:?}, seed {seed}, {bits} bits");
        }
    }
}

#[test]
fn codes_of_rows_are_those_of_plain_rust() {
    struct Take<'a>(&'a [i8; 32], &'a mut Vec<i16>);
    impl Work for Take<'_> {
        fn run<L: Lanes>(self, lanes: L) {
            let Self(codes, out) = self;
            out.extend(lanes.halves_total(codes));
            out.extend(lanes.widened(codes).as_flattened().as_flattened());
        }
    }
    let mut noise = Noise(4);
    for case in 0..200 {
        let noise: [i8; 32] = std::array::from_fn(|_| (noise.next() >> 20) as i8);
        let codes = [noise, [-128; 32], [127; 32]][(case % 10_usize).min(2)];
        let mut expect = Vec::new();
        run(Isa::Plain, Take(&codes, &mut expect));
        let sum = |codes: &[i8]| codes.iter().map(|code| i16::from(*code)).sum::<i16>();
        assert_eq!(expect[..2], [sum(&codes[..16]), sum(&codes[16..])]);
        for isa in Isa::all_here() {
            let mut got = Vec::new();
            run(isa, Take(&codes, &mut got));
            assert_eq!(got, expect, "{isa:?} of {codes:?}");
        }
    }
}
