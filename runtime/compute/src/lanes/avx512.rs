//! AVX-512 with VNNI of x86-64, on vectors of 256 bits.
//!
//! `vpdpbusd` adds four products at once to a lane of 32 bits; all else is that of AVX2.

use super::{Lanes, Work, avx2::Avx2};
use std::arch::x86_64::*;

/// Exists only in [`run`].
#[derive(Clone, Copy)]
pub(super) struct Avx512(Avx2);

/// Does `work`.
#[allow(unsafe_code, reason = "instructions that not every processor has")]
// SAFETY: (for callers) the processor must have AVX2, FMA, F16C and the F, BW, VL and VNNI parts of AVX-512.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) unsafe fn run(work: impl Work) {
    work.run(Avx512(Avx2::here()));
}

/// An expression of intrinsics.
macro_rules! avx512 {
    ($($body:tt)*) => {{
        #[allow(unsafe_code, reason = "instructions that not every processor has")]
        // SAFETY: a value of `Avx512` exists only where the processor has them.
        unsafe { $($body)* }
    }};
}

/// What AVX2 does.
macro_rules! as_avx2 {
    ($($name:ident($($argument:ident: $kind:ty),*) -> $result:ty;)*) => {$(
        #[inline(always)]
        fn $name(self, $($argument: $kind),*) -> $result {
            self.0.$name($($argument),*)
        }
    )*};
}

impl Lanes for Avx512 {
    type Codes = __m256i;
    type Inputs = __m256i;
    type Sums = __m256i;
    type Ints = __m256i;
    type Floats = __m256;
    type Factors = __m256i;
    const ROWS: usize = 8;
    const WIDE: bool = false;

    #[inline(always)]
    fn will_read(self, line: *const u8) {
        self.0.will_read(line);
    }
    #[inline(always)]
    fn dot(self, sums: __m256i, codes: __m256i, inputs: __m256i) -> __m256i {
        avx512!(_mm256_dpbusd_epi32(sums, codes, inputs))
    }
    #[inline(always)]
    fn ints(self, sums: __m256i) -> __m256i {
        sums
    }
    #[inline(always)]
    fn factors(self, factors: &[u8; 8]) -> __m256i {
        avx512!(_mm256_cvtepi8_epi32(_mm_loadl_epi64(factors.as_ptr().cast())))
    }
    #[inline(always)]
    fn scaled(self, sums: __m256i, factors: __m256i) -> __m256i {
        avx512!(_mm256_mullo_epi32(sums, factors))
    }
    #[inline(always)]
    fn paired(self, first: __m256i, second: __m256i, halves: [i16; 2]) -> __m256i {
        let [low, high] = halves.map(|half| self.int(i32::from(half)));
        self.add(self.scaled(low, first), self.scaled(high, second))
    }

    as_avx2! {
        codes(bytes: &[u8; 32]) -> __m256i;
        low(codes: __m256i) -> __m256i;
        high(codes: __m256i) -> __m256i;
        with_fifth(codes: __m256i, bits: __m256i, at: usize) -> __m256i;
        with_pair(codes: __m256i, bits: __m256i, at: usize) -> __m256i;
        inputs(inputs: &[i8; 4]) -> __m256i;
        no_sums() -> __m256i;
        pairs(codes: __m256i) -> [__m256i; 2];
        pair_inputs(inputs: [i16; 2]) -> __m256i;
        dot_pairs(ints: __m256i, pairs: __m256i, inputs: __m256i) -> __m256i;
        int(value: i32) -> __m256i;
        add(a: __m256i, b: __m256i) -> __m256i;
        sub(a: __m256i, b: __m256i) -> __m256i;
        times_32(a: __m256i) -> __m256i;
        float(ints: __m256i) -> __m256;
        splat(value: f32) -> __m256;
        floats(values: &[f32; 8]) -> __m256;
        store(floats: __m256, values: &mut [f32; 8]) -> ();
        mul(a: __m256, b: __m256) -> __m256;
        plus(a: __m256, b: __m256) -> __m256;
        fused(a: __m256, b: __m256, c: __m256) -> __m256;
        zeros(total: i32, zero: i32) -> __m256i;
        widen(halves: &[u16; 8]) -> __m256;
        narrow(floats: __m256) -> [u16; 8];
        halves(bytes: &[u8; 16]) -> __m256;
        brain_halves(bytes: &[u8; 16]) -> __m256;
        largest(numbers: &[f32; 32]) -> f32;
        rounded(numbers: &[f32; 32], factor: f32, codes: &mut [i8; 32]) -> ();
        halves_total(codes: &[i8; 32]) -> [i16; 2];
        widened(codes: &[i8; 32]) -> [[[i16; 2]; 2]; 8];
        unsigned(bytes: &[u8; 8]) -> __m256;
        signed(bytes: &[u8; 8]) -> __m256;
    }
}
