//! Plain Rust, for every processor; what the others are tested against.

use super::Lanes;
use crate::halves;
use std::array::from_fn;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Plain;

#[inline(always)]
fn zip<A: Copy, B: Copy, C>(a: [A; 8], b: [B; 8], f: impl Fn(A, B) -> C) -> [C; 8] {
    from_fn(|lane| f(a[lane], b[lane]))
}

fn u16s(bytes: &[u8; 16]) -> [u16; 8] {
    from_fn(|lane| u16::from_le_bytes([bytes[2 * lane], bytes[2 * lane + 1]]))
}

impl Lanes for Plain {
    type Codes = [u8; 32];
    type Inputs = [i8; 4];
    type Sums = [i32; 8];
    type Ints = [i32; 8];
    type Floats = [f32; 8];
    type Factors = [i32; 8];
    const ROWS: usize = 1;
    const WIDE: bool = false;

    fn will_read(self, _: *const u8) {}
    fn codes(self, bytes: &[u8; 32]) -> [u8; 32] {
        *bytes
    }
    fn low(self, codes: [u8; 32]) -> [u8; 32] {
        codes.map(|byte| byte & 15)
    }
    fn high(self, codes: [u8; 32]) -> [u8; 32] {
        codes.map(|byte| byte >> 4)
    }
    fn with_fifth(self, codes: [u8; 32], bits: [u8; 32], at: usize) -> [u8; 32] {
        from_fn(|index| codes[index] | (bits[index] >> at & 1) << 4)
    }
    fn with_pair(self, codes: [u8; 32], bits: [u8; 32], at: usize) -> [u8; 32] {
        from_fn(|index| codes[index] | (bits[index] >> (2 * at) & 3) << 4)
    }

    fn inputs(self, inputs: &[i8; 4]) -> [i8; 4] {
        *inputs
    }
    fn no_sums(self) -> [i32; 8] {
        [0; 8]
    }
    fn dot(self, sums: [i32; 8], codes: [u8; 32], inputs: [i8; 4]) -> [i32; 8] {
        from_fn(|lane| {
            (0..4).fold(sums[lane], |sum, index| sum + i32::from(codes[4 * lane + index]) * i32::from(inputs[index]))
        })
    }
    fn ints(self, sums: [i32; 8]) -> [i32; 8] {
        sums
    }

    fn pairs(self, codes: [u8; 32]) -> [[u8; 32]; 2] {
        [0, 1].map(|odd| from_fn(|index| if index % 2 == 0 { codes[index + odd] } else { 0 }))
    }
    fn pair_inputs(self, inputs: [i16; 2]) -> [i8; 4] {
        let [first, second] = inputs.map(|input| input as i8);
        [first, 0, second, 0]
    }
    fn dot_pairs(self, ints: [i32; 8], pairs: [u8; 32], inputs: [i8; 4]) -> [i32; 8] {
        self.dot(ints, pairs, inputs)
    }

    fn factors(self, factors: &[u8; 8]) -> [i32; 8] {
        factors.map(|factor| i32::from(factor.cast_signed()))
    }
    fn scaled(self, sums: [i32; 8], factors: [i32; 8]) -> [i32; 8] {
        zip(sums, factors, |sum, factor| sum * factor)
    }
    fn paired(self, first: [i32; 8], second: [i32; 8], halves: [i16; 2]) -> [i32; 8] {
        let halves = halves.map(i32::from);
        zip(first, second, |first, second| first * halves[0] + second * halves[1])
    }

    fn int(self, value: i32) -> [i32; 8] {
        [value; 8]
    }
    fn add(self, a: [i32; 8], b: [i32; 8]) -> [i32; 8] {
        zip(a, b, |a, b| a + b)
    }
    fn sub(self, a: [i32; 8], b: [i32; 8]) -> [i32; 8] {
        zip(a, b, |a, b| a - b)
    }
    fn times_32(self, a: [i32; 8]) -> [i32; 8] {
        a.map(|a| a * 32)
    }
    fn zeros(self, total: i32, zero: i32) -> [i32; 8] {
        [total * zero; 8]
    }

    fn float(self, ints: [i32; 8]) -> [f32; 8] {
        ints.map(|int| int as f32)
    }
    #[inline(always)]
    fn splat(self, value: f32) -> [f32; 8] {
        [value; 8]
    }
    #[inline(always)]
    fn floats(self, values: &[f32; 8]) -> [f32; 8] {
        *values
    }
    #[inline(always)]
    fn store(self, floats: [f32; 8], values: &mut [f32; 8]) {
        *values = floats;
    }
    #[inline(always)]
    fn mul(self, a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        zip(a, b, |a, b| a * b)
    }
    #[inline(always)]
    fn plus(self, a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        zip(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn fused(self, a: [f32; 8], b: [f32; 8], c: [f32; 8]) -> [f32; 8] {
        from_fn(|lane| a[lane].mul_add(b[lane], c[lane]))
    }
    #[inline(always)]
    fn widen(self, halves: &[u16; 8]) -> [f32; 8] {
        halves.map(halves::widen)
    }
    #[inline(always)]
    fn narrow(self, floats: [f32; 8]) -> [u16; 8] {
        floats.map(halves::narrow)
    }
    fn halves(self, bytes: &[u8; 16]) -> [f32; 8] {
        u16s(bytes).map(halves::widen)
    }
    fn brain_halves(self, bytes: &[u8; 16]) -> [f32; 8] {
        u16s(bytes).map(|bits| f32::from_bits(u32::from(bits) << 16))
    }
    fn largest(self, numbers: &[f32; 32]) -> f32 {
        // Bits of magnitudes are in the order of the magnitudes, infinite numbers and NaN behind them.
        let bits = numbers.iter().fold(0, |largest, number| number.abs().to_bits().max(largest));
        f32::from_bits(bits)
    }
    fn rounded(self, numbers: &[f32; 32], factor: f32, codes: &mut [i8; 32]) {
        for (code, number) in codes.iter_mut().zip(numbers) {
            *code = (number * factor).round_ties_even() as i8;
        }
    }
    fn halves_total(self, codes: &[i8; 32]) -> [i16; 2] {
        [0, 16].map(|first| codes[first..first + 16].iter().map(|code| i16::from(*code)).sum())
    }
    fn widened(self, codes: &[i8; 32]) -> [[[i16; 2]; 2]; 8] {
        from_fn(|group| [0, 1].map(|odd| [0, 2].map(|even| i16::from(codes[4 * group + odd + even]))))
    }
    fn unsigned(self, bytes: &[u8; 8]) -> [f32; 8] {
        bytes.map(f32::from)
    }
    fn signed(self, bytes: &[u8; 8]) -> [f32; 8] {
        bytes.map(|byte| f32::from(byte.cast_signed()))
    }
}
