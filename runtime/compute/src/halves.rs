//! Numbers of half precision, IEEE 754's binary16: what keys and values are kept in.
//!
//! To half precision is to the nearest, of two equally near ones to the even one; from 65 520 on that is infinity. Back is
//! exact. What is no number stays none.

/// The sign bit of half precision.
const SIGN: u32 = 1 << 15;
/// Bits of a fraction that single precision has more.
const FINER: u32 = 23 - 10;

/// Exactly.
#[inline(always)]
pub(crate) fn widen(half: u16) -> f32 {
    /// By how much the biases of the exponents differ, as a factor: 2 to the 112. Multiplying is exact, for subnormal ones too.
    const BIAS: f32 = f32::from_bits((112 + 127) << 23);
    let half = u32::from(half);
    let magnitude = (half & !SIGN) << FINER;
    let finite = (f32::from_bits(magnitude) * BIAS).to_bits();
    let is_finite = half & 0x7c00 != 0x7c00;
    let magnitude = if is_finite { finite } else { magnitude | 0x7f80_0000 };
    f32::from_bits(magnitude | (half & SIGN) << 16)
}

/// To the nearest.
#[inline(always)]
pub(crate) fn narrow(number: f32) -> u16 {
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

#[cfg(test)]
mod tests {
    use crate::{
        Isa,
        lanes::{self, LANES, Lanes, Work},
    };

    struct Both<'a> {
        halves: &'a [u16; LANES],
        numbers: &'a [f32; LANES],
        out: &'a mut ([f32; LANES], [u16; LANES]),
    }

    impl Work for Both<'_> {
        #[inline(always)]
        fn run<L: Lanes>(self, lanes: L) {
            lanes.store(lanes.widen(self.halves), &mut self.out.0);
            self.out.1 = lanes.narrow(lanes.floats(self.numbers));
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
        let mut numbers = halves.map(|half| exact(half) as f32);
        let mut out = ([0.0; LANES], [0; LANES]);
        lanes::run(isa, Both { halves: &halves, numbers: &numbers, out: &mut out });
        for ((half, number), (wide, back)) in halves.iter().zip(numbers).zip(out.0.iter().zip(out.1)) {
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
            numbers = middles.map(|middle| f32::from_bits(middle.to_bits().wrapping_add_signed(step)));
            lanes::run(isa, Both { halves: &halves, numbers: &numbers, out: &mut out });
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
