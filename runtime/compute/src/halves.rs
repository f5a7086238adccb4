//! Numbers of half precision, IEEE 754's binary16: what keys and values are kept in.
//!
//! To half precision is to the nearest, of two equally near ones to the even one; from 65 520 on that is infinity. Back is
//! exact. What is no number stays none.

use crate::kernel::{LANES, Lanes};

/// How an instruction set converts them. Who has one knows that the processor has the instructions.
pub(crate) trait Halves: Copy {
    fn widen(self, halves: &[u16; LANES]) -> Lanes;
    fn narrow(self, numbers: &Lanes) -> [u16; LANES];
}

/// With integers, which every processor has.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Halves for Portable {
    #[inline(always)]
    fn widen(self, halves: &[u16; LANES]) -> Lanes {
        let mut numbers = Lanes::ZERO;
        for (number, half) in numbers.0.iter_mut().zip(halves) {
            *number = widen(*half);
        }
        numbers
    }

    #[inline(always)]
    fn narrow(self, numbers: &Lanes) -> [u16; LANES] {
        let mut halves = [0; LANES];
        for (half, number) in halves.iter_mut().zip(numbers.0) {
            *half = narrow(number);
        }
        halves
    }
}

/// The sign bit of half precision.
const SIGN: u32 = 1 << 15;
/// Bits of a fraction that single precision has more.
const FINER: u32 = 23 - 10;

#[inline(always)]
fn widen(half: u16) -> f32 {
    /// By how much the biases of the exponents differ, as a factor: 2 to the 112. Multiplying is exact, for subnormal ones too.
    const BIAS: f32 = f32::from_bits((112 + 127) << 23);
    let half = u32::from(half);
    let magnitude = (half & !SIGN) << FINER;
    let finite = (f32::from_bits(magnitude) * BIAS).to_bits();
    let is_finite = half & 0x7c00 != 0x7c00;
    let magnitude = if is_finite { finite } else { magnitude | 0x7f80_0000 };
    f32::from_bits(magnitude | (half & SIGN) << 16)
}

#[inline(always)]
fn narrow(number: f32) -> u16 {
    /// From here on all is infinite: 65 536.
    const INFINITE: u32 = (16 + 127) << 23;
    /// Below it, half precision is subnormal: 2 to the -14.
    const NORMAL: u32 = (127 - 14) << 23;
    /// Its last bit is worth the last bit of a subnormal half: 0.5.
    const SUBNORMAL: u32 = (127 - 1) << 23;
    let bits = number.to_bits();
    let magnitude = bits & 0x7fff_ffff;
    let above = if magnitude > 0x7f80_0000 { 0x7e00 } else { 0x7c00 };
    // Adding rounds as it should.
    let below = (f32::from_bits(magnitude) + f32::from_bits(SUBNORMAL)).to_bits().wrapping_sub(SUBNORMAL);
    let even = magnitude >> FINER & 1;
    let normal = magnitude.wrapping_sub((127 - 15) << 23).wrapping_add((1 << (FINER - 1)) - 1 + even) >> FINER;
    let half = if magnitude < NORMAL { below } else { normal };
    let half = if magnitude >= INFINITE { above } else { half };
    (half | bits >> 16 & SIGN) as u16
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx512, F16c};

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "instructions by name")]
mod x86 {
    use super::{Halves, LANES, Lanes};
    use std::arch::x86_64::{
        _MM_FROUND_TO_NEAREST_INT, _mm_loadu_si128, _mm_storeu_si128, _mm256_cvtph_ps, _mm256_cvtps_ph,
        _mm256_loadu_ps, _mm256_loadu_si256, _mm256_storeu_ps, _mm256_storeu_si256, _mm512_cvtph_ps, _mm512_cvtps_ph,
        _mm512_loadu_ps, _mm512_storeu_ps,
    };

    /// Of x86-64's F16C.
    #[derive(Clone, Copy)]
    pub(crate) struct F16c(());

    impl F16c {
        /// # Safety
        /// The processor has F16C and AVX.
        pub(crate) unsafe fn new() -> Self {
            Self(())
        }
    }

    impl Halves for F16c {
        #[inline(always)]
        fn widen(self, halves: &[u16; LANES]) -> Lanes {
            let mut numbers = Lanes::ZERO;
            for (halves, numbers) in halves.as_chunks::<8>().0.iter().zip(numbers.0.as_chunks_mut::<8>().0) {
                // SAFETY: whoever made `self` knows of F16C; 8 halves are read, 8 numbers are written.
                unsafe {
                    let halves = _mm_loadu_si128(halves.as_ptr().cast());
                    _mm256_storeu_ps(numbers.as_mut_ptr(), _mm256_cvtph_ps(halves));
                }
            }
            numbers
        }

        #[inline(always)]
        fn narrow(self, numbers: &Lanes) -> [u16; LANES] {
            let mut halves = [0; LANES];
            for (halves, numbers) in halves.as_chunks_mut::<8>().0.iter_mut().zip(numbers.0.as_chunks::<8>().0) {
                // SAFETY: whoever made `self` knows of F16C; 8 numbers are read, 8 halves are written.
                unsafe {
                    let numbers = _mm256_loadu_ps(numbers.as_ptr());
                    let narrow = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(numbers);
                    _mm_storeu_si128(halves.as_mut_ptr().cast(), narrow);
                }
            }
            halves
        }
    }

    /// Of x86-64's AVX-512F.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx512(());

    impl Avx512 {
        /// # Safety
        /// The processor has AVX-512F.
        pub(crate) unsafe fn new() -> Self {
            Self(())
        }
    }

    impl Halves for Avx512 {
        #[inline(always)]
        fn widen(self, halves: &[u16; LANES]) -> Lanes {
            let mut numbers = Lanes::ZERO;
            // SAFETY: whoever made `self` knows of AVX-512F; 16 halves are read, 16 numbers are written.
            unsafe {
                let halves = _mm256_loadu_si256(halves.as_ptr().cast());
                _mm512_storeu_ps(numbers.0.as_mut_ptr(), _mm512_cvtph_ps(halves));
            }
            numbers
        }

        #[inline(always)]
        fn narrow(self, numbers: &Lanes) -> [u16; LANES] {
            let mut halves = [0; LANES];
            // SAFETY: whoever made `self` knows of AVX-512F; 16 numbers are read, 16 halves are written.
            unsafe {
                let numbers = _mm512_loadu_ps(numbers.0.as_ptr());
                let narrow = _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(numbers);
                _mm256_storeu_si256(halves.as_mut_ptr().cast(), narrow);
            }
            halves
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Isa,
        kernel::{self, Kernel},
    };

    struct Both<'a> {
        halves: &'a [u16; LANES],
        numbers: &'a Lanes,
        out: &'a mut (Lanes, [u16; LANES]),
    }

    impl Kernel for Both<'_> {
        #[inline(always)]
        fn run<H: Halves>(self, by: H) {
            *self.out = (by.widen(self.halves), by.narrow(self.numbers));
        }
    }

    /// What IEEE 754 says, in double precision.
    fn exact(half: u16) -> f64 {
        let (exponent, fraction) = (i32::from(half >> 10 & 0x1f), f64::from(half & 0x3ff));
        let magnitude = match exponent {
            0 => fraction * 2f64.powi(-24),
            31 if fraction == 0.0 => f64::INFINITY,
            31 => f64::NAN,
            _ => (1024.0 + fraction) * 2f64.powi(exponent - 25),
        };
        if half >> 15 == 1 { -magnitude } else { magnitude }
    }

    fn check(isa: Isa, halves: [u16; LANES]) {
        let mut numbers = Lanes(halves.map(|half| exact(half) as f32));
        let mut out = (Lanes::ZERO, [0; LANES]);
        kernel::run(isa, Both { halves: &halves, numbers: &numbers, out: &mut out });
        for ((half, number), (wide, back)) in halves.iter().zip(numbers.0).zip(out.0.0.iter().zip(out.1)) {
            if number.is_nan() {
                assert!(wide.is_nan() && back & 0x7fff > 0x7c00, "{isa:?} {half:#x}");
            } else {
                assert_eq!((wide.to_bits(), back), (number.to_bits(), *half), "{isa:?}");
            }
        }
        // In the middle between it and the next one, and a little to both sides.
        let middles = halves.map(|half| match exact(half & 0x7fff) {
            // As if there were one more exponent.
            65504.0 => 65520.0,
            magnitude => ((magnitude + exact((half & 0x7fff) + 1)) / 2.0) as f32,
        });
        for (step, up) in [(-1i32, [0; LANES]), (0, halves.map(|half| half & 1)), (1, [1; LANES])] {
            numbers.0 = middles.map(|middle| f32::from_bits(middle.to_bits().wrapping_add_signed(step)));
            kernel::run(isa, Both { halves: &halves, numbers: &numbers, out: &mut out });
            for ((half, up), found) in halves.iter().zip(up).zip(out.1) {
                let half = half & 0x7fff;
                if half < 0x7c00 {
                    assert_eq!(found, half + up, "{isa:?} {step} from the middle after {half:#x}");
                }
            }
        }
    }

    #[test]
    fn all_of_them_there_and_back_and_what_is_between() {
        for isa in Isa::all_here() {
            for first in (0..=u16::MAX).step_by(LANES) {
                check(isa, std::array::from_fn(|lane| first + lane as u16));
            }
        }
    }
}
