//! Keys and values of all sequences of a model, in blocks of [`BLOCK_TOKENS`] tokens.
//!
//! A sequence is a table of block numbers; its token at position `p` is in slot `p % BLOCK_TOKENS` of the block at
//! `p / BLOCK_TOKENS` of its table. Sequences with a common beginning may have blocks in common. Who has which block is decided
//! elsewhere; here they are memory.
//!
//! What a block has of a layer's key head lies side by side, in half precision, so that both halves of attention are additions of whole vectors:
//!
//! | part | order | a vector is |
//! | --- | --- | --- |
//! | keys | `[head_width][token]` | one number of a head, of all tokens: each lane is a score |
//! | values | `[token][head_width]` | some numbers of one token's head: each lane is a number of the mixture |
//!
//! A block has all layers. The memory of blocks that were never written is not touched, and costs nothing.
//!
//! Sources: Kwon et al. 2023, "Efficient Memory Management for Large Language Model Serving with PagedAttention" (blocks and
//! tables).

use crate::{pages::Pages, sixteen::LANES};
use std::ops::Range;

/// Tokens of a block. 16: a score of each is a vector of AVX-512, or two of AVX2; a sequence wastes half a block on average.
pub const BLOCK_TOKENS: usize = LANES;

/// What a block has of each token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockShape {
    /// Of the model.
    pub layers: usize,
    /// Key heads of each layer, and as many value heads.
    pub kv_heads: usize,
    /// Numbers of a head.
    pub head_width: usize,
}

impl BlockShape {
    /// Numbers that a head has room for: whole vectors.
    fn room(&self) -> Option<usize> {
        self.head_width.checked_next_multiple_of(LANES)
    }

    /// Numbers of a block, of all layers; none for those that no memory has.
    fn numbers(&self) -> Option<usize> {
        let tokens = self.room()?.checked_mul(2 * BLOCK_TOKENS)?;
        tokens.checked_mul(self.kv_heads)?.checked_mul(self.layers)
    }

    /// Vectors of a token's head of values.
    pub(crate) fn columns(&self) -> usize {
        self.head_width.div_ceil(LANES)
    }
}

/// Why there is no such pool, or why a block cannot be read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlocksError {
    /// Something of the shape is zero.
    #[error("blocks without layers, heads or numbers")]
    Empty,
    /// So many blocks of that shape are more than can be addressed, or than the operating system gives.
    #[error("there is no memory for the blocks of keys and values")]
    Memory,
    /// What is to be written into a block has another length.
    #[error("a block has {expected} bytes, and {found} were given")]
    Length {
        /// Bytes of a block.
        expected: usize,
        /// Bytes that came.
        found: usize,
    },
}

/// The pool of one model.
pub struct Blocks {
    shape: BlockShape,
    count: usize,
    /// Of one block.
    each: usize,
    numbers: Pages<u16>,
}

impl std::fmt::Debug for Blocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blocks").field("shape", &self.shape).field("count", &self.count).finish_non_exhaustive()
    }
}

/// A layer's key head in a block.
#[derive(Clone, Copy)]
pub(crate) struct Head<'a> {
    /// `[head_width]`, each of all tokens.
    pub(crate) keys: &'a [[u16; LANES]],
    /// `[token][columns]`.
    pub(crate) values: &'a [[u16; LANES]],
}

impl Blocks {
    /// So many blocks, all zero.
    ///
    /// # Errors
    /// [`BlocksError::Empty`] for a shape without anything, [`BlocksError::Memory`] where there is no memory for them.
    pub fn new(shape: BlockShape, count: usize) -> Result<Self, BlocksError> {
        if shape.layers == 0 || shape.kv_heads == 0 || shape.head_width == 0 {
            return Err(BlocksError::Empty);
        }
        let each = shape.numbers().ok_or(BlocksError::Memory)?;
        let all = each.checked_mul(count).ok_or(BlocksError::Memory)?;
        let numbers = Pages::zeroed(all).map_err(|_| BlocksError::Memory)?;
        Ok(Self { shape, count, each, numbers })
    }

    /// What a block has of each token.
    #[must_use]
    pub fn shape(&self) -> BlockShape {
        self.shape
    }

    /// How many blocks there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Bytes of one block, all layers.
    #[must_use]
    pub fn bytes_each(&self) -> usize {
        self.each * size_of::<u16>()
    }

    /// Makes one block the same as another: what is written when a sequence goes on in a block that others have too.
    ///
    /// # Panics
    /// For numbers of blocks that there are not.
    pub fn copy(&mut self, from: u32, to: u32) {
        let (from, to) = (self.range(from), self.range(to));
        self.numbers.copy_within(from, to.start);
    }

    /// A block's bytes, instead of what `bytes` had: little-endian half-precision numbers.
    ///
    /// # Panics
    /// For the number of a block that there is not.
    pub fn read(&self, block: u32, bytes: &mut Vec<u8>) {
        let numbers = &self.numbers[self.range(block)];
        bytes.clear();
        bytes.resize(size_of_val(numbers), 0);
        bytes.as_chunks_mut::<2>().0.iter_mut().zip(numbers).for_each(|(bytes, number)| *bytes = number.to_le_bytes());
    }

    /// A block as it was [`read`](Self::read), from the same shape.
    ///
    /// # Errors
    /// [`BlocksError::Length`] for other than [`bytes_each`](Self::bytes_each) bytes; nothing is written then.
    ///
    /// # Panics
    /// For the number of a block that there is not.
    pub fn write(&mut self, block: u32, bytes: &[u8]) -> Result<(), BlocksError> {
        let range = self.range(block);
        let (expected, found) = (self.bytes_each(), bytes.len());
        if expected != found {
            return Err(BlocksError::Length { expected, found });
        }
        let numbers = self.numbers[range].iter_mut();
        numbers.zip(bytes.as_chunks::<2>().0).for_each(|(number, bytes)| *number = u16::from_le_bytes(*bytes));
        Ok(())
    }

    /// Where a block is in `numbers`.
    fn range(&self, block: u32) -> Range<usize> {
        assert!((block as usize) < self.count, "block {block} of {}", self.count);
        let begin = block as usize * self.each;
        begin..begin + self.each
    }

    /// Where a layer's part of a block is in all [`numbers_mut`](Self::numbers_mut): key heads in order, each its keys, then its values.
    ///
    /// # Panics
    /// For the number of a block or a layer that there is not.
    pub(crate) fn layer(&self, block: u32, layer: usize) -> Range<usize> {
        assert!(layer < self.shape.layers, "layer {layer} of {}", self.shape.layers);
        let length = self.each / self.shape.layers;
        let begin = self.range(block).start + layer * length;
        begin..begin + length
    }

    /// All numbers.
    pub(crate) fn numbers_mut(&mut self) -> &mut [u16] {
        &mut self.numbers
    }

    /// A layer's key head in a block.
    ///
    /// # Panics
    /// For the number of a block, a layer or a head that there is not.
    pub(crate) fn head(&self, block: u32, layer: usize, kv_head: usize) -> Head<'_> {
        let numbers = &self.numbers[self.layer(block, layer)];
        let length = numbers.len() / self.shape.kv_heads;
        let (vectors, _) = numbers[kv_head * length..][..length].as_chunks();
        let (keys, values) = vectors.split_at(vectors.len() / 2);
        Head { keys: &keys[..self.shape.head_width], values }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    const SHAPE: BlockShape = BlockShape { layers: 3, kv_heads: 2, head_width: 20 };

    fn filled(count: usize) -> Blocks {
        let mut blocks = Blocks::new(SHAPE, count).unwrap();
        for (index, number) in blocks.numbers_mut().iter_mut().enumerate() {
            *number = (index * 7919) as u16;
        }
        blocks
    }

    fn bytes(blocks: &Blocks, block: u32) -> Vec<u8> {
        let mut bytes = vec![1, 2, 3];
        blocks.read(block, &mut bytes);
        bytes
    }

    #[test]
    fn a_block_has_whole_vectors_at_a_cache_line() {
        let blocks = Blocks::new(SHAPE, 5).unwrap();
        assert_eq!((blocks.count(), blocks.shape()), (5, SHAPE));
        assert_eq!(blocks.bytes_each(), 3 * 2 * 2 * 32 * BLOCK_TOKENS * 2);
        for block in 0..5 {
            let head = blocks.head(block, 2, 1);
            assert_eq!((head.keys.len(), head.values.len()), (20, 2 * BLOCK_TOKENS));
            assert_eq!((head.keys.as_ptr() as usize % 64, head.values.as_ptr() as usize % 64), (0, 0));
            assert!(bytes(&blocks, block).iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn copies_and_what_is_written_are_what_was_read() {
        let mut blocks = filled(4);
        let before: Vec<_> = (0..4).map(|block| bytes(&blocks, block)).collect();
        assert_eq!(before[1].len(), blocks.bytes_each());
        blocks.copy(1, 3);
        blocks.write(0, &before[2]).unwrap();
        let now: Vec<_> = (0..4).map(|block| bytes(&blocks, block)).collect();
        assert_eq!(now, [&before[2], &before[1], &before[2], &before[1]].map(Clone::clone));
        for length in [0, blocks.bytes_each() - 1, blocks.bytes_each() + 1] {
            let error = BlocksError::Length { expected: blocks.bytes_each(), found: length };
            assert_eq!(blocks.write(2, &vec![9; length]), Err(error));
        }
        assert_eq!(bytes(&blocks, 2), before[2]);
    }

    #[test]
    fn there_are_no_pools_beyond_memory() {
        for shape in [
            BlockShape { layers: 0, ..SHAPE },
            BlockShape { kv_heads: 0, ..SHAPE },
            BlockShape { head_width: 0, ..SHAPE },
        ] {
            assert_eq!(Blocks::new(shape, 1).err(), Some(BlocksError::Empty));
        }
        let wide = BlockShape { head_width: usize::MAX, ..SHAPE };
        for (shape, count) in [(wide, 1), (SHAPE, usize::MAX), (SHAPE, usize::MAX / 13_000), (SHAPE, 1 << 47)] {
            assert_eq!(Blocks::new(shape, count).err(), Some(BlocksError::Memory), "{count}");
        }
        assert_eq!(Blocks::new(SHAPE, 0).unwrap().count(), 0);
    }

    #[test]
    fn blocks_that_there_are_not_panic() {
        let mut blocks = filled(4);
        for block in [4, u32::MAX] {
            let acts: [&mut dyn FnMut(&mut Blocks); 4] = [
                &mut |blocks| blocks.copy(block, 0),
                &mut |blocks| blocks.copy(0, block),
                &mut |blocks| _ = bytes(blocks, block),
                &mut |blocks| _ = blocks.write(block, &[]),
            ];
            for act in acts {
                let panic = catch_unwind(AssertUnwindSafe(|| act(&mut blocks))).unwrap_err();
                assert_eq!(panic.downcast_ref::<String>(), Some(&format!("block {block} of 4")));
            }
        }
    }
}
