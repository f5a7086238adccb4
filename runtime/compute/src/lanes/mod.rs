//! Vectors of eight lanes, one for each output; the kernels are written once, over these, and compiled for each instruction set.
//!
//! [`run`] is the one place that chooses: whatever is inlined (`#[inline(always)]`) into a [`Work`] may use the instructions of the
//! set, those that the compiler makes of plain loops too. A function that is called would be compiled for what every processor
//! has.
//!
//! | name | holds |
//! | --- | --- |
//! | `Codes` | 32 unsigned bytes: for each of 8 outputs the codes of 4 inputs that follow each other |
//! | `Inputs` | 4 signed bytes of a row of activations, for all outputs |
//! | `Sums` | sums of products of both, before they are [`ints`](Lanes::ints) |
//! | `Ints`, `Floats` | 8 numbers of 32 bits |
//! | `Factors` | 8 integer scales |
//!
//! Integers are exact everywhere, as long as `Sums` get no more than they hold. Those of 32 bits hold a block's; of others, with
//! [`Lanes::WIDE`]:
//!
//! | codes below | products of one code and input, per output, in `Sums` |
//! | --- | --- |
//! | 16 | 32 |
//! | 32 | 16 |
//! | 64 | 8 |
//! | 256 | none |
//!
//! (`Sums` of AVX2 are two numbers of 16 bits for each output: `15 × 127 × 16`, `31 × 127 × 8` and `63 × 127 × 4` are below
//! 32 768.) Operations on `Floats` are rounded as IEEE 754 says, and nothing is fused but [`fused`](Lanes::fused).
//!
//! Source of the layout: what `vpdpbusd` of x86-64 and `sdot` of AArch64 add up for each lane of 32 bits.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod plain;
#[cfg(test)]
mod tests;

pub(crate) use plain::Plain;

use crate::Isa;

/// Outputs of a panel.
pub(crate) const LANES: usize = 8;

/// The instructions of one [`Isa`]. A value of it exists only where the processor has them.
pub(crate) trait Lanes: Copy {
    type Codes: Copy;
    type Inputs: Copy;
    type Sums: Copy;
    type Ints: Copy;
    type Floats: Copy;
    type Factors: Copy;
    /// Rows that the kernels take at once, at most: 8 where registers hold the sums of as many, else 1.
    const ROWS: usize;
    /// Whether [`Sums`](Self::Sums) have 16 bits: codes of 8 bits, whose products they do not hold, are multiplied as pairs of 16.
    const WIDE: bool;
    /// What [`wide_codes`](Self::wide_codes) takes from each code: 128 where instructions have signed bytes only.
    const WIDE_ZERO: i32 = 0;

    /// Says that a line of the cache will be read soon. It is not read here, and need not be there.
    fn will_read(self, line: *const u8);
    fn codes(self, bytes: &[u8; 32]) -> Self::Codes;
    /// Codes of 8 bits, each less by [`WIDE_ZERO`](Self::WIDE_ZERO).
    #[inline(always)]
    fn wide_codes(self, bytes: &[u8; 32]) -> Self::Codes {
        self.codes(bytes)
    }
    /// The low four bits of each byte.
    fn low(self, codes: Self::Codes) -> Self::Codes;
    /// The high four bits of each byte.
    fn high(self, codes: Self::Codes) -> Self::Codes;
    /// Bit `at` of each byte of `bits` as bit 4 beside the four bits of `codes`.
    fn with_fifth(self, codes: Self::Codes, bits: Self::Codes, at: usize) -> Self::Codes;
    /// Bits `2 × at` and `2 × at + 1` of each byte of `bits` as bits 4 and 5 beside the four bits of `codes`.
    fn with_pair(self, codes: Self::Codes, bits: Self::Codes, at: usize) -> Self::Codes;

    fn inputs(self, inputs: &[i8; 4]) -> Self::Inputs;
    fn no_sums(self) -> Self::Sums;
    fn dot(self, sums: Self::Sums, codes: Self::Codes, inputs: Self::Inputs) -> Self::Sums;
    /// The same codes for rows side by side.
    #[allow(clippy::needless_range_loop, reason = "of constant length, so that arrays become registers")]
    #[inline(always)]
    fn dot_rows<const R: usize>(self, sums: &mut [Self::Sums; R], codes: Self::Codes, inputs: &[[i8; 4]; R]) {
        for r in 0..R {
            sums[r] = self.dot(sums[r], codes, self.inputs(&inputs[r]));
        }
    }
    fn ints(self, sums: Self::Sums) -> Self::Ints;

    /// Codes 0 and 2 of each output in 16 bits each, then codes 1 and 3.
    fn pairs(self, codes: Self::Codes) -> [Self::Codes; 2];
    /// Two inputs of a row, in 16 bits each, for all outputs.
    fn pair_inputs(self, inputs: [i16; 2]) -> Self::Inputs;
    /// Adds to each output its pair of codes times the pair of inputs.
    fn dot_pairs(self, ints: Self::Ints, pairs: Self::Codes, inputs: Self::Inputs) -> Self::Ints;

    fn factors(self, factors: &[u8; 8]) -> Self::Factors;
    /// The sums times the factors.
    fn scaled(self, sums: Self::Sums, factors: Self::Factors) -> Self::Ints;
    /// `first × halves[0] + second × halves[1]`.
    fn paired(self, first: Self::Factors, second: Self::Factors, halves: [i16; 2]) -> Self::Ints;

    fn int(self, value: i32) -> Self::Ints;
    fn add(self, a: Self::Ints, b: Self::Ints) -> Self::Ints;
    fn sub(self, a: Self::Ints, b: Self::Ints) -> Self::Ints;
    fn times_32(self, a: Self::Ints) -> Self::Ints;
    /// `total × zero` for all outputs; both fit in 16 bits.
    fn zeros(self, total: i32, zero: i32) -> Self::Ints;

    /// The nearest numbers; of two that are as near the even one.
    fn float(self, ints: Self::Ints) -> Self::Floats;
    fn splat(self, value: f32) -> Self::Floats;
    fn floats(self, values: &[f32; 8]) -> Self::Floats;
    fn store(self, floats: Self::Floats, values: &mut [f32; 8]);
    fn mul(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    fn plus(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a × b + c`, rounded once.
    fn fused(self, a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
    /// Of half precision, exactly.
    fn widen(self, halves: &[u16; 8]) -> Self::Floats;
    /// To half precision, as [`halves`](crate::halves) says.
    fn narrow(self, floats: Self::Floats) -> [u16; 8];
    /// Of little-endian f16.
    fn halves(self, bytes: &[u8; 16]) -> Self::Floats;
    /// Of little-endian bf16.
    fn brain_halves(self, bytes: &[u8; 16]) -> Self::Floats;
    /// The largest magnitude; NaN and infinite numbers are larger than all others.
    fn largest(self, numbers: &[f32; 32]) -> f32;
    /// The integers that are nearest to `number × factor`, which are those of an i8; of two that are as near the even one.
    fn rounded(self, numbers: &[f32; 32], factor: f32, codes: &mut [i8; 32]);
    /// The sum of the first 16, and that of the others.
    fn halves_total(self, codes: &[i8; 32]) -> [i16; 2];
    /// Of each four codes the first and third, then the second and fourth.
    fn widened(self, codes: &[i8; 32]) -> [[[i16; 2]; 2]; 8];
    fn unsigned(self, bytes: &[u8; 8]) -> Self::Floats;
    fn signed(self, bytes: &[u8; 8]) -> Self::Floats;
}

/// What can be done with any [`Lanes`].
pub(crate) trait Work {
    /// Marked `#[inline(always)]`: it becomes part of a function that may use the instructions.
    fn run<L: Lanes>(self, lanes: L);
}

/// Does `work` with the instructions of `isa`, or with plain Rust where the processor has them not.
pub(crate) fn run(isa: Isa, work: impl Work) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 if isa.is_here() => {
            #[allow(unsafe_code, reason = "instructions that not every processor has")]
            // SAFETY: it has them.
            unsafe {
                avx2::run(work);
            }
        }
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 if isa.is_here() => {
            #[allow(unsafe_code, reason = "instructions that not every processor has")]
            // SAFETY: it has them.
            unsafe {
                avx512::run(work);
            }
        }
        #[cfg(target_arch = "aarch64")]
        Isa::Neon if isa.is_here() => {
            #[allow(unsafe_code, reason = "instructions that not every processor has")]
            // SAFETY: it has them.
            unsafe {
                neon::run(work);
            }
        }
        _ => work.run(Plain),
    }
}
