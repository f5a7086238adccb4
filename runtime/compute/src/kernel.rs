//! One source for each instruction set.
//!
//! A kernel is plain Rust over [`Lanes`], which the compiler turns into vector instructions: once for each set that it may
//! use. What it calls in its loops is inlined (`#[inline(always)]`), since a function that is called would be compiled for
//! what every processor has. Only half-precision numbers need instructions by name; [`Halves`] has them.
//!
//! | instructions | lanes | half precision |
//! | --- | --- | --- |
//! | plain | as the target has them | by integers, [`halves`](crate::halves) |
//! | AVX2 | two vectors of 8 | F16C |
//! | AVX-512 | a vector of 16 | AVX-512F |
//! | NEON | four vectors of 4 | by integers |

use crate::{
    Isa,
    halves::{Halves, Portable},
};

/// Numbers side by side, as many as a block has tokens: each is an output of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(64))]
pub(crate) struct Lanes(pub(crate) [f32; LANES]);

/// How many there are.
pub(crate) const LANES: usize = 16;

impl Lanes {
    pub(crate) const ZERO: Self = Self([0.0; LANES]);

    /// Adds a factor times other lanes, rounding once.
    #[inline(always)]
    pub(crate) fn add_product(&mut self, factor: f32, other: &Self) {
        for lane in 0..LANES {
            self.0[lane] = factor.mul_add(other.0[lane], self.0[lane]);
        }
    }

    /// Multiplies each with a factor.
    #[inline(always)]
    pub(crate) fn scale(&mut self, factor: f32) {
        for number in &mut self.0 {
            *number *= factor;
        }
    }

    /// Adds each to the other's.
    #[inline(always)]
    pub(crate) fn add(&mut self, other: &Self) {
        for (sum, other) in self.0.iter_mut().zip(other.0) {
            *sum += other;
        }
    }

    /// Each that is higher of the two; not those of `other` that are no number.
    #[inline(always)]
    pub(crate) fn rise_to(&mut self, other: &Self) {
        for lane in 0..LANES {
            self.0[lane] = if other.0[lane] > self.0[lane] { other.0[lane] } else { self.0[lane] };
        }
    }

    /// All lanes: the second half is added to the first, and so on.
    #[inline(always)]
    pub(crate) fn sum(&self) -> f32 {
        let mut sums = self.0;
        let mut half = LANES / 2;
        while half > 0 {
            for lane in 0..half {
                sums[lane] += sums[lane + half];
            }
            half /= 2;
        }
        sums[0]
    }
}

/// What is compiled for each instruction set.
pub(crate) trait Kernel {
    /// Does it. Implementations are `#[inline(always)]`.
    fn run<H: Halves>(self, by: H);
}

/// Runs a kernel with these instructions; with plain ones where the processor has not got them.
pub(crate) fn run(isa: Isa, kernel: impl Kernel) {
    #[allow(unsafe_code, reason = "functions that use some instructions are called where they are")]
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has them.
        Isa::Avx2 if isa.is_here() => unsafe { avx2(kernel) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has them.
        Isa::Avx512 if isa.is_here() => unsafe { avx512(kernel) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: the processor has them.
        Isa::Neon if isa.is_here() => unsafe { neon(kernel) },
        _ => kernel.run(Portable),
    }
}

/// Asks for memory that is read soon. A hint: without instructions for it, nothing is done.
#[inline(always)]
pub(crate) fn prefetch<T>(memory: &[T]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        const LINE_BYTES: usize = 64;
        let begin = memory.as_ptr().cast::<i8>();
        for line in (0..size_of_val(memory)).step_by(LINE_BYTES) {
            #[allow(unsafe_code, reason = "instructions by name")]
            // SAFETY: every x86-64 has it, and the address is within `memory`.
            unsafe {
                _mm_prefetch::<_MM_HINT_T0>(begin.add(line));
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = memory;
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
fn avx2(kernel: impl Kernel) {
    #[allow(unsafe_code, reason = "instructions by name")]
    // SAFETY: who calls this has them.
    let by = unsafe { crate::halves::F16c::new() };
    kernel.run(by);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn avx512(kernel: impl Kernel) {
    #[allow(unsafe_code, reason = "instructions by name")]
    // SAFETY: who calls this has them.
    let by = unsafe { crate::halves::Avx512::new() };
    kernel.run(by);
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon,dotprod,fp16")]
fn neon(kernel: impl Kernel) {
    kernel.run(Portable);
}
