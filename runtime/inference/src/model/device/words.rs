//! From words to numbers, on a device: shifts, masks and the float's own bits, so that no device needs types of 16 or
//! 8 bits. See [`packing`](super::packing) for the layouts.

use super::packing::{Packing, Pairs};
use cubecl::prelude::*;

/// Exponents of f16 and f32 differ by 112; this is that of f32 in place.
const EXPONENT: u32 = 112 << 23;

/// Number `index` of each word, in a group before scale and offset. Exact.
#[cube]
pub(super) fn number<N: Size>(
    words: Vector<u32, N>,
    #[comptime] index: u32,
    #[comptime] packing: Packing,
) -> Vector<f32, N> {
    if comptime!(packing == Packing::F32) {
        Vector::<f32, N>::reinterpret(words)
    } else if comptime!(packing == Packing::Bf16) {
        if comptime!(index == 0) {
            Vector::<f32, N>::reinterpret(words << Vector::new(16u32))
        } else {
            Vector::<f32, N>::reinterpret(words & Vector::new(0xffff_0000u32))
        }
    } else if comptime!(packing == Packing::F16) {
        half::<N>(words, index)
    } else if comptime!(matches!(packing, Packing::Bits8(_))) {
        let bits = move_to::<N>(words, comptime!(8 * index), 15u32) & Vector::new(0x007f_8000u32);
        integer::<N>(bits, 256.0f32)
    } else {
        let bits = move_to::<N>(words, comptime!(4 * index), 19u32) & Vector::new(0x0078_0000u32);
        integer::<N>(bits, 16.0f32)
    }
}

/// The integer whose bits are the upper ones of a mantissa, where `levels` are possible: the float of that mantissa is
/// one more than its share of `levels`.
#[cube]
fn integer<N: Size>(mantissa: Vector<u32, N>, #[comptime] levels: f32) -> Vector<f32, N> {
    let float = Vector::<f32, N>::reinterpret(mantissa | Vector::new(0x3f80_0000u32));
    fma(float, Vector::new(levels), Vector::new(comptime!(-levels)))
}

/// Shifts words so that a bit comes to another place.
#[cube]
fn move_to<N: Size>(words: Vector<u32, N>, #[comptime] from: u32, #[comptime] to: u32) -> Vector<u32, N> {
    if comptime!(from < to) {
        words << Vector::new(comptime!(to - from))
    } else {
        words >> Vector::new(comptime!(from - to))
    }
}

/// The mantissa and the exponent of an f16 in the places of an f32's.
#[cube]
fn half_magnitude<N: Size>(words: Vector<u32, N>, #[comptime] index: u32) -> Vector<u32, N> {
    move_to::<N>(words, comptime!(16 * index), 13u32) & Vector::new(0x0fff_e000u32)
}

/// The sign of an f16 in the place of an f32's.
#[cube]
fn half_sign<N: Size>(words: Vector<u32, N>, #[comptime] index: u32) -> Vector<u32, N> {
    move_to::<N>(words, comptime!(16 * index + 15), 31u32) & Vector::new(0x8000_0000u32)
}

/// Any finite f16. Its smallest numbers have no leading one: with an exponent as if they had one, they are half of what
/// they should be and 2^-15 too large. No step has a number that a device without such numbers takes for zero.
#[cube]
fn half<N: Size>(words: Vector<u32, N>, #[comptime] index: u32) -> Vector<f32, N> {
    let magnitude = half_magnitude::<N>(words, index);
    let float = Vector::<f32, N>::reinterpret(magnitude + Vector::new(EXPONENT));
    let small = fma(float, Vector::new(2.0f32), Vector::new(-6.103_515_6e-5f32));
    let is_small = magnitude.less_than(&Vector::new(0x0080_0000u32));
    let float = select_many(is_small, small, float);
    Vector::<f32, N>::reinterpret(Vector::<u32, N>::reinterpret(float) | half_sign::<N>(words, index))
}

/// An f16 that is zero or none of the smallest numbers: a group's.
#[cube]
fn normal_half<N: Size>(words: Vector<u32, N>, #[comptime] index: u32) -> Vector<f32, N> {
    let bits = half_magnitude::<N>(words, index) | half_sign::<N>(words, index);
    // The float nearest to this is 2^112: what the exponents differ by.
    Vector::<f32, N>::reinterpret(bits) * Vector::new(5.192_297e33f32)
}

/// The scale of a group, or its offset: of `index` 0 or 1. `first` and `second` are the words of its pair; of halves both
/// are in the first.
#[cube]
pub(super) fn of_pair<N: Size>(
    first: Vector<u32, N>,
    second: Vector<u32, N>,
    #[comptime] index: u32,
    #[comptime] pairs: Pairs,
) -> Vector<f32, N> {
    if comptime!(pairs == Pairs::Halves) {
        normal_half::<N>(first, index)
    } else if comptime!(index == 0) {
        Vector::<f32, N>::reinterpret(first)
    } else {
        Vector::<f32, N>::reinterpret(second)
    }
}
