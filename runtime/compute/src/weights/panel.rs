//! Where the weights of eight rows lie: a panel.
//!
//! A panel has three runs, one behind the other, and ends with a line of the cache:
//!
//! | run | per | bytes |
//! | --- | --- | --- |
//! | codes | 32 inputs | 32 × [`Width::vectors`] |
//! | scales | 32 inputs | [`Scales::block_bytes`] |
//! | scales of scales | 256 inputs | [`Scales::super_bytes`] |
//!
//! A vector of 32 bytes belongs to a *group* of 4 inputs (the first, the second, ... of the 8 in 32 inputs): byte `4 × output +
//! input`. This is what the instructions of all processors multiply; see [`lanes`](crate::lanes).
//!
//! | width | vectors |
//! | --- | --- |
//! | `Four` | 4 of the groups `2k` (low halves of the bytes) and `2k + 1` (high halves) |
//! | `Five` | these, and one whose bits `g` are the fifth bits of group `g` |
//! | `Six` | these of `Four`, and two whose bits `2g` and `2g + 1` are the high bits of group `g` and `g + 4` |
//! | `Eight` | 8, of a group each |
//!
//! A weight is `scale × (code − zero) + minimum`:
//!
//! | scales | a block has, for each of the 8 rows | 256 inputs have | scale | minimum |
//! | --- | --- | --- | --- | --- |
//! | `Halves` | f16 `d` | | `d` | |
//! | `Minimums` | f16 `d`, f16 `m` | | `d` | `m` |
//! | `K` | u8 `s`, u8 `t` | f16 `d`, f16 `e` | `d × s` | `−(e × t)` |
//! | `Signed` | i8 `s` | f16 `d` | `d × s` | |
//! | `Parts` | i8 `s`, two: of 16 inputs each | f16 `d` | `d × s` | |
//! | `PartMinimums` | i8 `s` and i8 `t`, two of each | f16 `d`, f16 `e` | `d × s` | `−(e × t)` |
//!
//! All products of scales are exact in f32.

use super::Format;
use crate::{
    lanes::{LANES, Lanes, Plain},
    rows::BLOCK,
};
use std::marker::PhantomData;

/// Blocks that share scales of scales.
pub(super) const SUPER: usize = 8;

/// Bytes by which reading is announced: what memory sends in some 400 ns. The hardware guesses well only within a page.
const AHEAD: usize = 4096;

/// How codes are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    Four,
    Five,
    Six,
    Eight,
}

impl Width {
    /// Vectors of a block.
    pub(super) const fn vectors(self) -> usize {
        match self {
            Self::Four => 4,
            Self::Five => 5,
            Self::Six => 6,
            Self::Eight => 8,
        }
    }

    /// Groups whose products the narrowest sums hold: see [`lanes`](crate::lanes).
    pub(crate) const fn groups_max(self) -> usize {
        match self {
            Self::Four | Self::Eight => 8,
            Self::Five => 4,
            Self::Six => 2,
        }
    }
}

/// How scales are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scales {
    Halves,
    Minimums,
    K,
    Signed,
    Parts,
    PartMinimums,
}

impl Scales {
    /// Bytes of 32 inputs.
    pub(super) const fn block_bytes(self) -> usize {
        match self {
            Self::Signed => 8,
            Self::Halves | Self::K | Self::Parts => 16,
            Self::Minimums | Self::PartMinimums => 32,
        }
    }

    /// Bytes of 256 inputs.
    pub(super) const fn super_bytes(self) -> usize {
        match self {
            Self::Halves | Self::Minimums => 0,
            Self::Signed | Self::Parts => 16,
            Self::K | Self::PartMinimums => 32,
        }
    }

    /// What is added to a weight beside its code.
    pub(crate) const fn offsets(self) -> Offsets {
        match self {
            Self::Halves | Self::Signed | Self::Parts => Offsets::None,
            Self::Minimums | Self::K => Offsets::Blocks,
            Self::PartMinimums => Offsets::Parts,
        }
    }

    /// Whether the two halves of a block have factors of their own.
    pub(crate) const fn has_parts(self) -> bool {
        matches!(self, Self::Parts | Self::PartMinimums)
    }
}

/// Minimums that a format has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offsets {
    None,
    /// One for a block.
    Blocks,
    /// One for each half of a block, as an integer times what the block has.
    Parts,
}

/// How a format lies.
pub(crate) trait Layout: Copy + Send + Sync {
    const WIDTH: Width;
    const SCALES: Scales;
    /// The code that means 0.
    const ZERO: i32;
}

/// How numbers without scales lie: 8 outputs of each input.
pub(crate) trait Floats: Copy + Send + Sync {
    /// Bytes of a number.
    const BYTES: usize;
    /// The 8 weights of an input.
    fn load<L: Lanes>(lanes: L, panel: &[u8], input: usize) -> L::Floats;
}

macro_rules! layouts {
    ($($name:ident: $width:ident, $scales:ident, $zero:literal;)*) => {$(
        #[derive(Clone, Copy)]
        struct $name;
        impl Layout for $name {
            const WIDTH: Width = Width::$width;
            const SCALES: Scales = Scales::$scales;
            const ZERO: i32 = $zero;
        }
    )*};
}

layouts! {
    Nibbles: Four, Halves, 8;
    NibblesMinimums: Four, Minimums, 0;
    NibblesK: Four, K, 0;
    NibblesParts: Four, PartMinimums, 0;
    FivesMinimums: Five, Minimums, 0;
    FivesK: Five, K, 0;
    Sixes: Six, Parts, 32;
    Bytes: Eight, Halves, 128;
    BytesSigned: Eight, Signed, 128;
}

#[derive(Clone, Copy)]
struct Singles;
#[derive(Clone, Copy)]
struct HalfFloats;
#[derive(Clone, Copy)]
struct BrainFloats;

/// `N` bytes from `at` on.
#[inline(always)]
fn array<const N: usize>(bytes: &[u8], at: usize) -> &[u8; N] {
    match bytes[at..].first_chunk() {
        Some(array) => array,
        None => panic!("a panel ends before its blocks do"),
    }
}

impl Floats for Singles {
    const BYTES: usize = 4;

    #[inline(always)]
    fn load<L: Lanes>(lanes: L, panel: &[u8], input: usize) -> L::Floats {
        let bytes: &[u8; 32] = array(panel, 32 * input);
        let mut numbers = [0.0; LANES];
        for (number, bytes) in numbers.iter_mut().zip(bytes.as_chunks().0) {
            *number = f32::from_le_bytes(*bytes);
        }
        lanes.floats(&numbers)
    }
}

impl Floats for HalfFloats {
    const BYTES: usize = 2;

    #[inline(always)]
    fn load<L: Lanes>(lanes: L, panel: &[u8], input: usize) -> L::Floats {
        lanes.halves(array(panel, 16 * input))
    }
}

impl Floats for BrainFloats {
    const BYTES: usize = 2;

    #[inline(always)]
    fn load<L: Lanes>(lanes: L, panel: &[u8], input: usize) -> L::Floats {
        lanes.brain_halves(array(panel, 16 * input))
    }
}

/// Something done with the layout of a format.
pub(crate) trait Visit {
    type Output;
    fn floats<F: Floats>(self) -> Self::Output;
    fn codes<F: Layout>(self) -> Self::Output;
}

/// Calls `visit` with the layout of `format`.
pub(crate) fn with_layout<V: Visit>(format: Format, visit: V) -> V::Output {
    match format {
        Format::F32 => visit.floats::<Singles>(),
        Format::F16 => visit.floats::<HalfFloats>(),
        Format::Bf16 => visit.floats::<BrainFloats>(),
        Format::Q4_0 => visit.codes::<Nibbles>(),
        Format::Q4_1 => visit.codes::<NibblesMinimums>(),
        Format::Q4K => visit.codes::<NibblesK>(),
        Format::Q2K => visit.codes::<NibblesParts>(),
        Format::Q5_1 => visit.codes::<FivesMinimums>(),
        Format::Q5K => visit.codes::<FivesK>(),
        Format::Q3K | Format::Q6K => visit.codes::<Sixes>(),
        Format::Q8_0 | Format::Q5_0 | Format::Iq4Nl => visit.codes::<Bytes>(),
        Format::Iq4Xs => visit.codes::<BytesSigned>(),
    }
}

/// Sizes of a panel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) inputs: usize,
    /// What the codes of a format take; `None` for numbers without scales.
    pub(super) codes: Option<(Width, Scales)>,
    /// Bytes of a panel.
    pub(super) stride: usize,
}

impl Shape {
    pub(super) fn of(inputs: usize) -> impl Visit<Output = Self> {
        ShapeOf(inputs)
    }

    /// Where the scales begin.
    pub(super) fn scales_at(&self, width: Width) -> usize {
        self.inputs / BLOCK * 32 * width.vectors()
    }

    /// Where the scales of scales begin.
    pub(super) fn supers_at(&self, width: Width, scales: Scales) -> usize {
        self.scales_at(width) + self.inputs / BLOCK * scales.block_bytes()
    }
}

struct ShapeOf(usize);

impl Visit for ShapeOf {
    type Output = Shape;

    fn floats<F: Floats>(self) -> Shape {
        let bytes = self.0 * LANES * F::BYTES;
        Shape { inputs: self.0, codes: None, stride: bytes.next_multiple_of(64) }
    }

    fn codes<F: Layout>(self) -> Shape {
        let mut shape = Shape { inputs: self.0, codes: Some((F::WIDTH, F::SCALES)), stride: 0 };
        let supers = self.0 / (BLOCK * SUPER) * F::SCALES.super_bytes();
        shape.stride = (shape.supers_at(F::WIDTH, F::SCALES) + supers).next_multiple_of(64);
        shape
    }
}

/// The weights of eight outputs.
pub(crate) struct Panel<'a, F> {
    vectors: &'a [[u8; 32]],
    scales: &'a [u8],
    supers: &'a [u8],
    layout: PhantomData<F>,
}

impl<F> Clone for Panel<'_, F> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<F> Copy for Panel<'_, F> {}

impl<'a, F: Layout> Panel<'a, F> {
    pub(super) fn new(bytes: &'a [u8], shape: &Shape) -> Self {
        let (codes, rest) = bytes.split_at(shape.scales_at(F::WIDTH));
        let (scales, supers) = rest.split_at(shape.inputs / BLOCK * F::SCALES.block_bytes());
        Self { vectors: codes.as_chunks().0, scales, supers, layout: PhantomData }
    }

    /// The numbers of a lane in a block.
    pub(super) fn read(self, lane: usize, block: usize, out: &mut [f32; BLOCK]) {
        let [scale, minimum] = [self.scale(Plain, block), self.minimum(Plain, block)].map(|all| all[lane]);
        let [factors, offsets] = [self.factors(Plain, block), self.offsets(Plain, block)];
        for (group, out) in out.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let codes = self.pair(Plain, block, group / 2)[group % 2];
            let part = group / 4;
            let scale = if F::SCALES.has_parts() { scale * factors[part][lane] as f32 } else { scale };
            for (out, code) in out.iter_mut().zip(&codes[4 * lane..]) {
                let product = scale * (i32::from(*code) - F::ZERO) as f32;
                *out = match F::SCALES.offsets() {
                    Offsets::None => product,
                    Offsets::Blocks => product + minimum,
                    Offsets::Parts => product + minimum * offsets[part][lane] as f32,
                };
            }
        }
    }

    /// Announces what will be read a while after this block.
    #[inline(always)]
    pub(crate) fn announce<L: Lanes>(self, lanes: L, block: usize) {
        let count = F::WIDTH.vectors();
        let vectors = &self.vectors[count * block..][..count];
        for line in 0..count.div_ceil(2) {
            lanes.will_read(vectors.as_ptr().cast::<u8>().wrapping_add(AHEAD + 64 * line));
        }
        lanes.will_read(self.scales.as_ptr().wrapping_add(block * F::SCALES.block_bytes() + AHEAD));
    }

    /// The codes of groups `2 × index` and `2 × index + 1`; those of 8 bits are less by [`Lanes::WIDE_ZERO`].
    #[inline(always)]
    pub(crate) fn pair<L: Lanes>(self, lanes: L, block: usize, index: usize) -> [L::Codes; 2] {
        let count = F::WIDTH.vectors();
        let vectors = &self.vectors[count * block..][..count];
        if F::WIDTH == Width::Eight {
            return [lanes.wide_codes(&vectors[2 * index]), lanes.wide_codes(&vectors[2 * index + 1])];
        }
        let codes = lanes.codes(&vectors[index]);
        let [low, high] = [lanes.low(codes), lanes.high(codes)];
        match F::WIDTH {
            Width::Four | Width::Eight => [low, high],
            Width::Five => {
                let bits = lanes.codes(&vectors[4]);
                [lanes.with_fifth(low, bits, 2 * index), lanes.with_fifth(high, bits, 2 * index + 1)]
            }
            Width::Six => {
                let bits = lanes.codes(&vectors[4 + index / 2]);
                let at = index % 2 * 2;
                [lanes.with_pair(low, bits, at), lanes.with_pair(high, bits, at + 1)]
            }
        }
    }

    /// The block's scale, without [`factors`](Self::factors) where it has parts.
    #[inline(always)]
    pub(crate) fn scale<L: Lanes>(self, lanes: L, block: usize) -> L::Floats {
        let at = block * F::SCALES.block_bytes();
        let of_super = || lanes.halves(array(self.supers, block / SUPER * F::SCALES.super_bytes()));
        match F::SCALES {
            Scales::Halves | Scales::Minimums => lanes.halves(array(self.scales, at)),
            Scales::K => lanes.mul(of_super(), lanes.unsigned(array(self.scales, at))),
            Scales::Signed => lanes.mul(of_super(), lanes.signed(array(self.scales, at))),
            Scales::Parts | Scales::PartMinimums => of_super(),
        }
    }

    /// What is added to each weight, or multiplied with [`offsets`](Self::offsets) where it has parts.
    #[inline(always)]
    pub(crate) fn minimum<L: Lanes>(self, lanes: L, block: usize) -> L::Floats {
        let at = block * F::SCALES.block_bytes();
        let of_super = || {
            let scale = lanes.halves(array(self.supers, block / SUPER * F::SCALES.super_bytes() + 16));
            lanes.mul(scale, lanes.splat(-1.0))
        };
        match F::SCALES {
            Scales::Halves | Scales::Signed | Scales::Parts => lanes.splat(0.0),
            Scales::Minimums => lanes.halves(array(self.scales, at + 16)),
            Scales::K => lanes.mul(of_super(), lanes.unsigned(array(self.scales, at + 8))),
            Scales::PartMinimums => of_super(),
        }
    }

    /// The integer scales of the halves of a block.
    #[inline(always)]
    pub(crate) fn factors<L: Lanes>(self, lanes: L, block: usize) -> [L::Factors; 2] {
        let at = block * F::SCALES.block_bytes();
        match F::SCALES.has_parts() {
            true => [lanes.factors(array(self.scales, at)), lanes.factors(array(self.scales, at + 8))],
            false => [lanes.factors(&[1; 8]); 2],
        }
    }

    /// The integer minimums of the halves of a block.
    #[inline(always)]
    pub(crate) fn offsets<L: Lanes>(self, lanes: L, block: usize) -> [L::Factors; 2] {
        let at = block * F::SCALES.block_bytes() + 16;
        match F::SCALES.offsets() {
            Offsets::Parts => [lanes.factors(array(self.scales, at)), lanes.factors(array(self.scales, at + 8))],
            Offsets::None | Offsets::Blocks => [lanes.factors(&[0; 8]); 2],
        }
    }
}
