//! NEON of AArch64 with dot products (FEAT_DotProd), whose vectors are two registers of 128 bits.
//!
//! `sdot` adds four products of signed bytes to each lane of 32 bits, and takes one of four groups of inputs in a register for
//! all its lanes: four rows' inputs are one load, where a broadcast for each would cost as much as a product does.
//! (`usdot`, for unsigned codes, is FEAT_I8MM, which many of these processors lack.) Codes below 128 are the same as signed bytes;
//! of codes of 8 bits [`wide_codes`](Lanes::wide_codes) takes 128.
//!
//! Sums of eight rows are 16 of the 32 registers; the rest have codes, inputs and masks. Conversions round as the register FPCR
//! says, which is to the nearest even as long as nobody changes it, and Rust forbids to.
//!
//! How it was checked: the tests of this crate, built for `aarch64-unknown-linux-gnu`, ran under an emulator (unicorn 2.1.4, which is
//! QEMU's) with these instructions, and all passed; products of every format came to the bits of plain Rust. In what the
//! compiler makes of the products of eight rows, the innermost loop has 32 `sdot` and no access to the stack:
//!
//! | codes | instructions of that loop |
//! | --- | --- |
//! | 4 bits | 44 or 45 |
//! | 5 bits | 57 |
//! | 6 bits | 64 |
//! | 8 bits | 45 |
//!
//! It was never timed on a processor.
//!
//! Source of the instructions: Arm Architecture Reference Manual for A-profile, DDI 0487.

use super::{Lanes, Work};
use std::arch::{aarch64::*, asm};

/// Exists only in [`run`].
#[derive(Clone, Copy)]
pub(super) struct Neon(());

/// Does `work`.
#[allow(unsafe_code, reason = "instructions that not every processor has")]
// SAFETY: (for callers) the processor must have NEON, dot products and half precision.
#[target_feature(enable = "neon,dotprod,fp16")]
pub(super) unsafe fn run(work: impl Work) {
    work.run(Neon(()));
}

/// An expression of intrinsics.
macro_rules! neon {
    ($($body:tt)*) => {{
        #[allow(unsafe_code, reason = "instructions that not every processor has")]
        // SAFETY: a value of `Neon` exists only where the processor has them; pointers are those of arrays, unaligned.
        unsafe { $($body)* }
    }};
}

/// Products of four signed bytes each, added to lanes of 32 bits: for all lanes those of group `GROUP` of the inputs.
/// Intrinsics for it are not stable yet.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn add_dots<const GROUP: i32>(mut sums: int32x4_t, codes: uint8x16_t, inputs: int8x16_t) -> int32x4_t {
    #[allow(unsafe_code, reason = "an instruction without a stable intrinsic")]
    // SAFETY: it changes a register only, and callers have it.
    unsafe {
        asm!(
            "sdot {sums:v}.4s, {codes:v}.16b, {inputs:v}.4b[{group}]",
            sums = inout(vreg) sums, codes = in(vreg) codes, inputs = in(vreg) inputs, group = const GROUP,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

/// The same for both registers.
#[inline(always)]
fn add_both<const GROUP: i32>(sums: [int32x4_t; 2], codes: [uint8x16_t; 2], inputs: int8x16_t) -> [int32x4_t; 2] {
    neon!([add_dots::<GROUP>(sums[0], codes[0], inputs), add_dots::<GROUP>(sums[1], codes[1], inputs)])
}

#[inline(always)]
fn each<A: Copy, B>(a: [A; 2], f: impl Fn(A) -> B) -> [B; 2] {
    [f(a[0]), f(a[1])]
}

#[inline(always)]
fn zip<A: Copy, B: Copy, C>(a: [A; 2], b: [B; 2], f: impl Fn(A, B) -> C) -> [C; 2] {
    [f(a[0], b[0]), f(a[1], b[1])]
}

/// The bits of `MASK` from `bits`, moved up by so many (or down), the others from `codes`. By how many is in a register, since not
/// every loop that counts with it is unrolled.
#[inline(always)]
fn insert<const MASK: u8>(codes: [uint8x16_t; 2], bits: [uint8x16_t; 2], up: i8) -> [uint8x16_t; 2] {
    zip(codes, bits, |codes, bits| neon!(vbslq_u8(vdupq_n_u8(MASK), vshlq_u8(bits, vdupq_n_s8(up)), codes)))
}

/// Both halves, of 32 bits each.
#[inline(always)]
fn long(numbers: int16x8_t) -> [int32x4_t; 2] {
    neon!([vmovl_s16(vget_low_s16(numbers)), vmovl_high_s16(numbers)])
}

/// 16 numbers times a factor, rounded to i8.
#[inline(always)]
fn round(numbers: &[f32; 16], factor: f32) -> int8x16_t {
    neon! {
        let four = |at| vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(numbers.as_ptr().add(at)), factor));
        let eight = |at| vqmovn_high_s32(vqmovn_s32(four(at)), four(at + 4));
        vqmovn_high_s16(vqmovn_s16(eight(0)), eight(8))
    }
}

impl Lanes for Neon {
    type Codes = [uint8x16_t; 2];
    type Inputs = int8x16_t;
    type Sums = [int32x4_t; 2];
    type Ints = [int32x4_t; 2];
    type Floats = [float32x4_t; 2];
    type Factors = int16x8_t;
    const ROWS: usize = 8;
    const WIDE: bool = false;
    const WIDE_ZERO: i32 = 128;

    #[inline(always)]
    fn will_read(self, line: *const u8) {
        #[allow(unsafe_code, reason = "an instruction without a stable intrinsic")]
        // SAFETY: no memory is accessed; no register changes.
        unsafe {
            asm!("prfm pldl1keep, [{line}]", line = in(reg) line, options(nomem, nostack, preserves_flags));
        }
    }
    #[inline(always)]
    fn codes(self, bytes: &[u8; 32]) -> [uint8x16_t; 2] {
        neon!([vld1q_u8(bytes.as_ptr()), vld1q_u8(bytes.as_ptr().add(16))])
    }
    #[inline(always)]
    fn wide_codes(self, bytes: &[u8; 32]) -> [uint8x16_t; 2] {
        each(self.codes(bytes), |codes| neon!(veorq_u8(codes, vdupq_n_u8(128))))
    }
    #[inline(always)]
    fn low(self, codes: [uint8x16_t; 2]) -> [uint8x16_t; 2] {
        each(codes, |codes| neon!(vandq_u8(codes, vdupq_n_u8(15))))
    }
    #[inline(always)]
    fn high(self, codes: [uint8x16_t; 2]) -> [uint8x16_t; 2] {
        each(codes, |codes| neon!(vshrq_n_u8::<4>(codes)))
    }
    #[inline(always)]
    fn with_fifth(self, codes: [uint8x16_t; 2], bits: [uint8x16_t; 2], at: usize) -> [uint8x16_t; 2] {
        insert::<0x10>(codes, bits, 4 - at as i8)
    }
    #[inline(always)]
    fn with_pair(self, codes: [uint8x16_t; 2], bits: [uint8x16_t; 2], at: usize) -> [uint8x16_t; 2] {
        insert::<0x30>(codes, bits, 4 - 2 * at as i8)
    }

    #[inline(always)]
    fn inputs(self, inputs: &[i8; 4]) -> int8x16_t {
        // For `dot` in the first group only: a broadcast costs more than a load.
        neon!(vreinterpretq_s8_s32(vld1q_lane_s32::<0>(inputs.as_ptr().cast(), vdupq_n_s32(0))))
    }
    #[inline(always)]
    fn no_sums(self) -> [int32x4_t; 2] {
        self.int(0)
    }
    #[inline(always)]
    fn dot(self, sums: [int32x4_t; 2], codes: [uint8x16_t; 2], inputs: int8x16_t) -> [int32x4_t; 2] {
        add_both::<0>(sums, codes, inputs)
    }
    #[inline(always)]
    fn dot_rows<const R: usize>(self, sums: &mut [[int32x4_t; 2]; R], codes: [uint8x16_t; 2], inputs: &[[i8; 4]; R]) {
        let (fours, rest) = inputs.as_chunks::<4>();
        for (index, four) in fours.iter().enumerate() {
            let (r, four) = (4 * index, neon!(vld1q_s8(four.as_ptr().cast())));
            sums[r] = add_both::<0>(sums[r], codes, four);
            sums[r + 1] = add_both::<1>(sums[r + 1], codes, four);
            sums[r + 2] = add_both::<2>(sums[r + 2], codes, four);
            sums[r + 3] = add_both::<3>(sums[r + 3], codes, four);
        }
        for (index, one) in rest.iter().enumerate() {
            let r = R / 4 * 4 + index;
            sums[r] = self.dot(sums[r], codes, self.inputs(one));
        }
    }
    #[inline(always)]
    fn ints(self, sums: [int32x4_t; 2]) -> [int32x4_t; 2] {
        sums
    }

    #[inline(always)]
    fn pairs(self, codes: [uint8x16_t; 2]) -> [[uint8x16_t; 2]; 2] {
        let even = each(codes, |codes| neon!(vandq_u8(codes, vreinterpretq_u8_u16(vdupq_n_u16(0xff)))));
        let odd = each(codes, |codes| neon!(vreinterpretq_u8_u16(vshrq_n_u16::<8>(vreinterpretq_u16_u8(codes)))));
        [even, odd]
    }
    #[inline(always)]
    fn pair_inputs(self, inputs: [i16; 2]) -> int8x16_t {
        let pair = i32::from(inputs[0]) & 0xffff | i32::from(inputs[1]) << 16;
        neon!(vreinterpretq_s8_s32(vdupq_n_s32(pair)))
    }
    #[inline(always)]
    fn dot_pairs(self, ints: [int32x4_t; 2], pairs: [uint8x16_t; 2], inputs: int8x16_t) -> [int32x4_t; 2] {
        zip(ints, pairs, |ints, pairs| {
            neon! {
                let (pairs, inputs) = (vreinterpretq_s16_u8(pairs), vreinterpretq_s16_s8(inputs));
                let low = vmull_s16(vget_low_s16(pairs), vget_low_s16(inputs));
                vaddq_s32(ints, vpaddq_s32(low, vmull_high_s16(pairs, inputs)))
            }
        })
    }

    #[inline(always)]
    fn factors(self, factors: &[u8; 8]) -> int16x8_t {
        neon!(vmovl_s8(vreinterpret_s8_u8(vld1_u8(factors.as_ptr()))))
    }
    #[inline(always)]
    fn scaled(self, sums: [int32x4_t; 2], factors: int16x8_t) -> [int32x4_t; 2] {
        zip(sums, long(factors), |sums, factors| neon!(vmulq_s32(sums, factors)))
    }
    #[inline(always)]
    fn paired(self, first: int16x8_t, second: int16x8_t, halves: [i16; 2]) -> [int32x4_t; 2] {
        neon! {
            let low = vmull_n_s16(vget_low_s16(first), halves[0]);
            let high = vmull_high_n_s16(first, halves[0]);
            [vmlal_n_s16(low, vget_low_s16(second), halves[1]), vmlal_high_n_s16(high, second, halves[1])]
        }
    }

    #[inline(always)]
    fn int(self, value: i32) -> [int32x4_t; 2] {
        neon!([vdupq_n_s32(value); 2])
    }
    #[inline(always)]
    fn add(self, a: [int32x4_t; 2], b: [int32x4_t; 2]) -> [int32x4_t; 2] {
        zip(a, b, |a, b| neon!(vaddq_s32(a, b)))
    }
    #[inline(always)]
    fn sub(self, a: [int32x4_t; 2], b: [int32x4_t; 2]) -> [int32x4_t; 2] {
        zip(a, b, |a, b| neon!(vsubq_s32(a, b)))
    }
    #[inline(always)]
    fn times_32(self, a: [int32x4_t; 2]) -> [int32x4_t; 2] {
        each(a, |a| neon!(vshlq_n_s32::<5>(a)))
    }
    #[inline(always)]
    fn zeros(self, total: i32, zero: i32) -> [int32x4_t; 2] {
        self.int(total * zero)
    }

    #[inline(always)]
    fn float(self, ints: [int32x4_t; 2]) -> [float32x4_t; 2] {
        each(ints, |ints| neon!(vcvtq_f32_s32(ints)))
    }
    #[inline(always)]
    fn splat(self, value: f32) -> [float32x4_t; 2] {
        neon!([vdupq_n_f32(value); 2])
    }
    #[inline(always)]
    fn floats(self, values: &[f32; 8]) -> [float32x4_t; 2] {
        neon!([vld1q_f32(values.as_ptr()), vld1q_f32(values.as_ptr().add(4))])
    }
    #[inline(always)]
    fn store(self, floats: [float32x4_t; 2], values: &mut [f32; 8]) {
        neon! {
            vst1q_f32(values.as_mut_ptr(), floats[0]);
            vst1q_f32(values.as_mut_ptr().add(4), floats[1]);
        }
    }
    #[inline(always)]
    fn mul(self, a: [float32x4_t; 2], b: [float32x4_t; 2]) -> [float32x4_t; 2] {
        zip(a, b, |a, b| neon!(vmulq_f32(a, b)))
    }
    #[inline(always)]
    fn plus(self, a: [float32x4_t; 2], b: [float32x4_t; 2]) -> [float32x4_t; 2] {
        zip(a, b, |a, b| neon!(vaddq_f32(a, b)))
    }
    #[inline(always)]
    fn fused(self, a: [float32x4_t; 2], b: [float32x4_t; 2], c: [float32x4_t; 2]) -> [float32x4_t; 2] {
        neon!([vfmaq_f32(c[0], a[0], b[0]), vfmaq_f32(c[1], a[1], b[1])])
    }
    #[inline(always)]
    fn widen(self, halves: &[u16; 8]) -> [float32x4_t; 2] {
        neon! {
            let halves = vreinterpretq_f16_u16(vld1q_u16(halves.as_ptr()));
            [vcvt_f32_f16(vget_low_f16(halves)), vcvt_high_f32_f16(halves)]
        }
    }
    #[inline(always)]
    fn narrow(self, floats: [float32x4_t; 2]) -> [u16; 8] {
        let mut halves = [0; 8];
        neon! {
            let narrow = vcvt_high_f16_f32(vcvt_f16_f32(floats[0]), floats[1]);
            vst1q_u16(halves.as_mut_ptr(), vreinterpretq_u16_f16(narrow));
        }
        halves
    }
    #[inline(always)]
    fn halves(self, bytes: &[u8; 16]) -> [float32x4_t; 2] {
        neon! {
            let halves = vreinterpretq_f16_u8(vld1q_u8(bytes.as_ptr()));
            [vcvt_f32_f16(vget_low_f16(halves)), vcvt_high_f32_f16(halves)]
        }
    }
    #[inline(always)]
    fn brain_halves(self, bytes: &[u8; 16]) -> [float32x4_t; 2] {
        neon! {
            let halves = vreinterpretq_u16_u8(vld1q_u8(bytes.as_ptr()));
            let wide = [vshll_n_u16::<16>(vget_low_u16(halves)), vshll_high_n_u16::<16>(halves)];
            [vreinterpretq_f32_u32(wide[0]), vreinterpretq_f32_u32(wide[1])]
        }
    }
    #[inline(always)]
    fn largest(self, numbers: &[f32; 32]) -> f32 {
        neon! {
            // As integers: the bits of magnitudes are in the order of the magnitudes, infinite numbers and NaN behind them.
            let sign = vdupq_n_u32(u32::MAX >> 1);
            let magnitudes = |at| vandq_u32(vreinterpretq_u32_f32(vld1q_f32(numbers.as_ptr().add(at))), sign);
            let eight = |at| vmaxq_u32(magnitudes(at), magnitudes(at + 4));
            let all = vmaxq_u32(vmaxq_u32(eight(0), eight(8)), vmaxq_u32(eight(16), eight(24)));
            f32::from_bits(vmaxvq_u32(all))
        }
    }
    #[inline(always)]
    fn rounded(self, numbers: &[f32; 32], factor: f32, codes: &mut [i8; 32]) {
        let ([first, second], _) = numbers.as_chunks() else { return };
        neon! {
            vst1q_s8(codes.as_mut_ptr(), round(first, factor));
            vst1q_s8(codes.as_mut_ptr().add(16), round(second, factor));
        }
    }
    #[inline(always)]
    fn halves_total(self, codes: &[i8; 32]) -> [i16; 2] {
        neon!([vaddlvq_s8(vld1q_s8(codes.as_ptr())), vaddlvq_s8(vld1q_s8(codes.as_ptr().add(16)))])
    }
    #[inline(always)]
    fn widened(self, codes: &[i8; 32]) -> [[[i16; 2]; 2]; 8] {
        let mut out = [[[0; 2]; 2]; 8];
        for (codes, out) in codes.as_chunks::<16>().0.iter().zip(out.as_chunks_mut::<4>().0) {
            neon! {
                let codes = vreinterpretq_s16_s8(vld1q_s8(codes.as_ptr()));
                let even = vshrq_n_s16::<8>(vshlq_n_s16::<8>(codes));
                let both = int32x4x2_t(vreinterpretq_s32_s16(even), vreinterpretq_s32_s16(vshrq_n_s16::<8>(codes)));
                // Stores a pair of the one and a pair of the other in turn.
                vst2q_s32(out.as_mut_ptr().cast(), both);
            }
        }
        out
    }
    #[inline(always)]
    fn unsigned(self, bytes: &[u8; 8]) -> [float32x4_t; 2] {
        neon! {
            let wide = vmovl_u8(vld1_u8(bytes.as_ptr()));
            [vcvtq_f32_u32(vmovl_u16(vget_low_u16(wide))), vcvtq_f32_u32(vmovl_high_u16(wide))]
        }
    }
    #[inline(always)]
    fn signed(self, bytes: &[u8; 8]) -> [float32x4_t; 2] {
        self.float(long(self.factors(bytes)))
    }
}
