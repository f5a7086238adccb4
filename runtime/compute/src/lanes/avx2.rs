//! AVX2, FMA and F16C of x86-64.
//!
//! `Sums` are 16 numbers of 16 bits, two for each output: `vpmaddubsw` adds two products, and `vpmaddwd` with ones adds the two
//! numbers of an output.

use super::{Lanes, Work};
use std::arch::{asm, x86_64::*};

/// Exists only in [`run`].
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

/// Does `work`.
#[allow(unsafe_code, reason = "instructions that not every processor has")]
// SAFETY: (for callers) the processor must have AVX2, FMA and F16C.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn run(work: impl Work) {
    work.run(Avx2::here());
}

impl Avx2 {
    /// For those who have checked as much.
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) fn here() -> Self {
        Self(())
    }
}

/// An expression of intrinsics.
macro_rules! avx2 {
    ($($body:tt)*) => {{
        #[allow(unsafe_code, reason = "instructions that not every processor has")]
        // SAFETY: a value of `Avx2` exists only where the processor has them; pointers are those of arrays, unaligned.
        unsafe { $($body)* }
    }};
}

/// A function of a product and a sum, two instructions in one: the compiler takes sums in an order of its own, for which the registers of
/// a tile do not suffice.
macro_rules! multiply_and_add {
    ($(#[$doc:meta])* $name:ident: $multiply:literal, $add:literal) => {
        $(#[$doc])*
        #[inline]
        #[target_feature(enable = "avx2")]
        fn $name(mut sums: __m256i, codes: __m256i, inputs: __m256i) -> __m256i {
            #[allow(unsafe_code, reason = "instructions in this order")]
            // SAFETY: they change registers only, of AVX2, which callers have.
            unsafe {
                asm!(
                    concat!($multiply, " {inputs}, {codes}, {inputs}"), concat!($add, " {sums}, {sums}, {inputs}"),
                    sums = inout(ymm_reg) sums, codes = in(ymm_reg) codes, inputs = inout(ymm_reg) inputs => _,
                    options(pure, nomem, nostack, preserves_flags),
                );
            }
            sums
        }
    };
}

multiply_and_add! {
    /// Products of bytes, in pairs, added to sums of 16 bits.
    add_bytes: "vpmaddubsw", "vpaddw"
}
multiply_and_add! {
    /// Products of numbers of 16 bits, in pairs, added to sums of 32 bits.
    add_pairs: "vpmaddwd", "vpaddd"
}

/// Each i32 of four bytes with its low half twice.
#[inline(always)]
fn twice(numbers: __m256i) -> __m256i {
    avx2!(_mm256_blend_epi16::<0xaa>(numbers, _mm256_slli_epi32::<16>(numbers)))
}

impl Lanes for Avx2 {
    type Codes = __m256i;
    type Inputs = __m256i;
    type Sums = __m256i;
    type Ints = __m256i;
    type Floats = __m256;
    type Factors = __m256i;
    const ROWS: usize = 8;
    const WIDE: bool = true;

    #[inline(always)]
    fn will_read(self, line: *const u8) {
        avx2!(_mm_prefetch::<_MM_HINT_T0>(line.cast()));
    }
    #[inline(always)]
    fn codes(self, bytes: &[u8; 32]) -> __m256i {
        avx2!(_mm256_loadu_si256(bytes.as_ptr().cast()))
    }
    #[inline(always)]
    fn low(self, codes: __m256i) -> __m256i {
        avx2!(_mm256_and_si256(codes, _mm256_set1_epi8(15)))
    }
    #[inline(always)]
    fn high(self, codes: __m256i) -> __m256i {
        avx2!(_mm256_and_si256(_mm256_srli_epi16::<4>(codes), _mm256_set1_epi8(15)))
    }
    #[inline(always)]
    fn with_fifth(self, codes: __m256i, bits: __m256i, at: usize) -> __m256i {
        avx2! {
            let bits = match at {
                0 => _mm256_slli_epi16::<4>(bits),
                1 => _mm256_slli_epi16::<3>(bits),
                2 => _mm256_slli_epi16::<2>(bits),
                3 => _mm256_slli_epi16::<1>(bits),
                4 => bits,
                5 => _mm256_srli_epi16::<1>(bits),
                6 => _mm256_srli_epi16::<2>(bits),
                _ => _mm256_srli_epi16::<3>(bits),
            };
            _mm256_or_si256(codes, _mm256_and_si256(bits, _mm256_set1_epi8(0x10)))
        }
    }
    #[inline(always)]
    fn with_pair(self, codes: __m256i, bits: __m256i, at: usize) -> __m256i {
        avx2! {
            let bits = match at {
                0 => _mm256_slli_epi16::<4>(bits),
                1 => _mm256_slli_epi16::<2>(bits),
                2 => bits,
                _ => _mm256_srli_epi16::<2>(bits),
            };
            _mm256_or_si256(codes, _mm256_and_si256(bits, _mm256_set1_epi8(0x30)))
        }
    }

    #[inline(always)]
    fn inputs(self, inputs: &[i8; 4]) -> __m256i {
        avx2!(_mm256_set1_epi32(inputs.as_ptr().cast::<i32>().read_unaligned()))
    }
    #[inline(always)]
    fn no_sums(self) -> __m256i {
        avx2!(_mm256_setzero_si256())
    }
    #[inline(always)]
    fn dot(self, sums: __m256i, codes: __m256i, inputs: __m256i) -> __m256i {
        avx2!(add_bytes(sums, codes, inputs))
    }
    #[inline(always)]
    fn ints(self, sums: __m256i) -> __m256i {
        avx2!(_mm256_madd_epi16(sums, _mm256_set1_epi16(1)))
    }

    #[inline(always)]
    fn pairs(self, codes: __m256i) -> [__m256i; 2] {
        avx2!([_mm256_and_si256(codes, _mm256_set1_epi16(0xff)), _mm256_srli_epi16::<8>(codes)])
    }
    #[inline(always)]
    fn pair_inputs(self, inputs: [i16; 2]) -> __m256i {
        avx2!(_mm256_set1_epi32(inputs.as_ptr().cast::<i32>().read_unaligned()))
    }
    #[inline(always)]
    fn dot_pairs(self, ints: __m256i, pairs: __m256i, inputs: __m256i) -> __m256i {
        avx2!(add_pairs(ints, pairs, inputs))
    }

    #[inline(always)]
    fn factors(self, factors: &[u8; 8]) -> __m256i {
        twice(avx2!(_mm256_cvtepi8_epi32(_mm_loadl_epi64(factors.as_ptr().cast()))))
    }
    #[inline(always)]
    fn scaled(self, sums: __m256i, factors: __m256i) -> __m256i {
        avx2!(_mm256_madd_epi16(sums, factors))
    }
    #[inline(always)]
    fn paired(self, first: __m256i, second: __m256i, halves: [i16; 2]) -> __m256i {
        let halves = i32::from(halves[0]) & 0xffff | i32::from(halves[1]) << 16;
        avx2!(_mm256_madd_epi16(_mm256_blend_epi16::<0xaa>(first, second), _mm256_set1_epi32(halves)))
    }

    #[inline(always)]
    fn int(self, value: i32) -> __m256i {
        avx2!(_mm256_set1_epi32(value))
    }
    #[inline(always)]
    fn add(self, a: __m256i, b: __m256i) -> __m256i {
        avx2!(_mm256_add_epi32(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m256i, b: __m256i) -> __m256i {
        avx2!(_mm256_sub_epi32(a, b))
    }
    #[inline(always)]
    fn times_32(self, a: __m256i) -> __m256i {
        avx2!(_mm256_slli_epi32::<5>(a))
    }
    #[inline(always)]
    fn zeros(self, total: i32, zero: i32) -> __m256i {
        // One operation on what is loaded for all outputs; the compiler would take a product apart, and load it by way of others.
        avx2!(_mm256_madd_epi16(_mm256_set1_epi32(total), _mm256_set1_epi32(zero)))
    }

    #[inline(always)]
    fn float(self, ints: __m256i) -> __m256 {
        avx2!(_mm256_cvtepi32_ps(ints))
    }
    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        avx2!(_mm256_set1_ps(value))
    }
    #[inline(always)]
    fn floats(self, values: &[f32; 8]) -> __m256 {
        avx2!(_mm256_loadu_ps(values.as_ptr()))
    }
    #[inline(always)]
    fn store(self, floats: __m256, values: &mut [f32; 8]) {
        avx2!(_mm256_storeu_ps(values.as_mut_ptr(), floats));
    }
    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        avx2!(_mm256_mul_ps(a, b))
    }
    #[inline(always)]
    fn plus(self, a: __m256, b: __m256) -> __m256 {
        avx2!(_mm256_add_ps(a, b))
    }
    #[inline(always)]
    fn fused(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        avx2!(_mm256_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn widen(self, halves: &[u16; 8]) -> __m256 {
        avx2!(_mm256_cvtph_ps(_mm_loadu_si128(halves.as_ptr().cast())))
    }
    #[inline(always)]
    fn narrow(self, floats: __m256) -> [u16; 8] {
        let mut halves = [0; 8];
        avx2! {
            let narrow = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(floats);
            _mm_storeu_si128(halves.as_mut_ptr().cast(), narrow);
        }
        halves
    }
    #[inline(always)]
    fn halves(self, bytes: &[u8; 16]) -> __m256 {
        avx2!(_mm256_cvtph_ps(_mm_loadu_si128(bytes.as_ptr().cast())))
    }
    #[inline(always)]
    fn brain_halves(self, bytes: &[u8; 16]) -> __m256 {
        avx2! {
            let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(bytes.as_ptr().cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
        }
    }
    #[inline(always)]
    fn largest(self, numbers: &[f32; 32]) -> f32 {
        avx2! {
            // As integers: the bits of magnitudes are in the order of the magnitudes, infinite numbers and NaN behind them.
            let sign = _mm256_set1_epi32(i32::MAX);
            let magnitudes = |at| _mm256_and_si256(_mm256_loadu_si256(numbers.as_ptr().add(at).cast()), sign);
            let first = _mm256_max_epi32(magnitudes(0), magnitudes(8));
            let all = _mm256_max_epi32(first, _mm256_max_epi32(magnitudes(16), magnitudes(24)));
            let four = _mm_max_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256::<1>(all));
            let two = _mm_max_epi32(four, _mm_unpackhi_epi64(four, four));
            let one = _mm_max_epi32(two, _mm_shuffle_epi32::<1>(two));
            f32::from_bits(_mm_cvtsi128_si32(one).cast_unsigned())
        }
    }
    #[inline(always)]
    fn rounded(self, numbers: &[f32; 32], factor: f32, codes: &mut [i8; 32]) {
        avx2! {
            let factor = _mm256_set1_ps(factor);
            let round = |at| _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(numbers.as_ptr().add(at)), factor));
            // Packing goes by halves of the vectors: fours of numbers come out in the order 0, 2, 4, 6, 1, 3, 5, 7.
            let first = _mm256_packs_epi32(round(0), round(8));
            let second = _mm256_packs_epi32(round(16), round(24));
            let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
            let all = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(first, second), order);
            _mm256_storeu_si256(codes.as_mut_ptr().cast(), all);
        }
    }
    #[inline(always)]
    fn halves_total(self, codes: &[i8; 32]) -> [i16; 2] {
        avx2! {
            // Sums of 8 bytes each, of codes as if they were 128 more.
            let more = _mm256_xor_si256(_mm256_loadu_si256(codes.as_ptr().cast()), _mm256_set1_epi8(-128));
            let eights = _mm256_sad_epu8(more, _mm256_setzero_si256());
            let halves = _mm256_add_epi64(eights, _mm256_unpackhi_epi64(eights, eights));
            [_mm256_extract_epi16::<0>(halves), _mm256_extract_epi16::<8>(halves)].map(|half| half as i16 - 128 * 16)
        }
    }
    #[inline(always)]
    fn widened(self, codes: &[i8; 32]) -> [[[i16; 2]; 2]; 8] {
        let mut out = [[[0; 2]; 2]; 8];
        let mut parts = [[[0; 2]; 8]; 2];
        avx2! {
            let codes = _mm256_loadu_si256(codes.as_ptr().cast());
            let even = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(codes));
            _mm256_storeu_si256(parts[0].as_mut_ptr().cast(), even);
            _mm256_storeu_si256(parts[1].as_mut_ptr().cast(), _mm256_srai_epi16::<8>(codes));
        }
        for (group, out) in out.iter_mut().enumerate() {
            *out = [parts[0][group], parts[1][group]];
        }
        out
    }
    #[inline(always)]
    fn unsigned(self, bytes: &[u8; 8]) -> __m256 {
        avx2!(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(bytes.as_ptr().cast()))))
    }
    #[inline(always)]
    fn signed(self, bytes: &[u8; 8]) -> __m256 {
        avx2!(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(bytes.as_ptr().cast()))))
    }
}
