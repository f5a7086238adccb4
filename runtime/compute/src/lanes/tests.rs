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
    let ints = lanes.add(lanes.ints(sums), lanes.times_16(lanes.int(-77)));
    put(lanes.float(lanes.sub(ints, lanes.times_32(lanes.scaled(sums, first)))));
    put(lanes.float(lanes.paired(first, second, [-2032, 2031])));
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
fn halves_are_exact() {
    for (bits, expect) in [
        (0x0000, 0.0),
        (0x8000, -0.0),
        (0x0001, 2.0_f32.powi(-24)),
        (0x83ff, -1023.0 * 2.0_f32.powi(-24)),
        (0x0400, 2.0_f32.powi(-14)),
        (0x3c00, 1.0),
        (0xbe00, -1.5),
        (0x7bff, 65504.0),
        (0xfc00, f32::NEG_INFINITY),
    ] {
        assert_eq!(half_to_f32(bits).to_bits(), expect.to_bits(), "{bits:#x}");
    }
    assert!(half_to_f32(0x7e01).is_nan());
}
