//! Whole blocks of keys and values, all of a layer's one behind the other: to copy one, and to have it elsewhere for a while.
//!
//! A layer's block is its keys `[kv head, quarter, 16, 4]`, then its values `[kv head, 16, quarter, 4]` (see `heads`).

use super::memory::cubes;
use crate::model::pool::BLOCK_TOKENS;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

/// Units of a cube, which each have a number.
const UNITS: usize = 64;

/// What is copied between a layer's memory and a buffer of blocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    /// Parts that lie apart in the layer's memory: `[line, slot, numbers]`.
    pub(super) lines: usize,
    /// Of a slot.
    pub(super) numbers: usize,
    pub(super) slots: usize,
    pub(super) block: u32,
    /// The first number in the buffer.
    pub(super) place: usize,
}

impl Piece {
    /// Numbers of it.
    pub(super) fn size(&self) -> usize {
        self.lines * BLOCK_TOKENS * self.numbers
    }

    /// From a layer's memory.
    pub(super) fn read(self, layer: &CubeTensor, buffer: &CubeTensor) {
        self.launch(layer, buffer, true);
    }

    /// To a layer's memory.
    pub(super) fn write(self, layer: &CubeTensor, buffer: &CubeTensor) {
        self.launch(buffer, layer, false);
    }

    fn launch(self, from: &CubeTensor, to: &CubeTensor, reads: bool) {
        let each = BLOCK_TOKENS * self.numbers;
        copy_kernel::launch(
            &from.client,
            cubes(self.size().div_ceil(UNITS)),
            CubeDim::new_1d(UNITS as u32),
            from.clone().into_buffer_arg(),
            to.clone().into_buffer_arg(),
            self.size() as u32,
            each as u32,
            (self.slots * self.numbers) as u32,
            self.block * each as u32,
            self.place as u32,
            reads,
        );
    }
}

#[cube(launch)]
fn copy_kernel(
    from: &[f32],
    to: &mut [f32],
    size: u32,
    each: u32,
    line: u32,
    first: u32,
    place: u32,
    #[comptime] reads: bool,
) {
    let unit = ABSOLUTE_POS as u32;
    if unit >= size {
        terminate!();
    }
    let in_layer = (unit / each * line + first + unit % each) as usize;
    let in_buffer = (place + unit) as usize;
    if comptime!(reads) {
        to[in_buffer] = from[in_layer];
    } else {
        to[in_layer] = from[in_buffer];
    }
}
