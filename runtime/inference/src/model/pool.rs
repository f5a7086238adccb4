//! Keys and values of all sequences of a model, in blocks, in plain memory or on a device.
//!
//! A sequence has no memory of its own: it has a table of blocks, and position `p` is in slot `p % 16` of the table's
//! block `p / 16`. So nothing is copied as it grows, sequences that begin alike have blocks in common, and what one
//! gives up serves any other. Who has which block is not known here: a scheduler says so with each
//! [`Span`](super::Span). Source: Kwon et al. 2023, "Efficient Memory Management for Large Language Model Serving with
//! PagedAttention".
//!
//! | where a layer is computed | its keys | its values |
//! | --- | --- | --- |
//! | on the CPU, natively: the first layers of a model that is split | see [`remit_compute::blocks`] | |
//! | on `burn`'s CPU backend | `[kv head][slot][head width]` | the same |
//! | on a device | `[kv head][quarter of a head][slot][4]` | `[kv head][slot][quarter][4]` |
//!
//! A slot is `16 · block + offset`, so that what one head reads of a block lies together. All of it is allocated once.
//! Zeroed plain memory that was not touched takes no room yet; a device's is taken from the beginning, and holds
//! whatever was there. Slots that nobody wrote to are never read.

use super::{
    Architecture, NativeMemory,
    device::{COUNTED_BYTES_MAX, LayerMemory, buffer_bytes_max},
    linear::is_memory,
    split::Split,
};
use burn::tensor::Device;
use remit_compute::blocks::BlocksError;
use std::ops::Range;
use thiserror::Error;

/// Tokens of a block: few enough that a sequence's last block wastes little, and as many as neighbouring units of a GPU
/// read together.
pub const BLOCK_TOKENS: usize = 16;

/// Keys and values of all sequences of a model, where its layers are computed. [`Decoder::pool`](super::Decoder::pool)
/// makes one.
#[derive(Debug)]
pub struct Pool {
    /// Of the layers that the CPU computes natively.
    host: Option<NativeMemory>,
    /// The number of the first of all others.
    first: usize,
    layers: Vec<LayerPool>,
    blocks: usize,
}

/// Why there is no such pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PoolError {
    /// More tokens than are counted.
    #[error("{blocks} blocks of keys and values are more than 32 bits can count; choose a lower limit on tokens")]
    Count {
        /// That were asked for.
        blocks: usize,
    },
    /// A device's programs see so much of its memory at once.
    #[error(
        "a layer's keys of {blocks} blocks take {bytes} bytes, and the device's programs see {most} at once; choose a lower \
         limit on tokens"
    )]
    Device {
        /// That were asked for.
        blocks: usize,
        /// That they take.
        bytes: u64,
        /// That a buffer may have.
        most: u64,
    },
    /// There is no plain memory for the CPU's layers.
    #[error(transparent)]
    Host(#[from] BlocksError),
}

/// A layer's part.
#[derive(Debug)]
pub(super) enum LayerPool {
    Memory(LayerSlots),
    Device(Box<LayerMemory>, Device),
}

/// A layer's keys and values in plain memory.
#[derive(Debug)]
pub(super) struct LayerSlots {
    keys: Vec<f32>,
    values: Vec<f32>,
    kv_heads: usize,
    width: usize,
    slots: usize,
}

/// Some positions of a sequence, one behind the other: `[kv head][position][head width]`.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) keys: Vec<f32>,
    pub(super) values: Vec<f32>,
}

/// The slot of a position.
fn slot(table: &[u32], position: usize) -> usize {
    table[position / BLOCK_TOKENS] as usize * BLOCK_TOKENS + position % BLOCK_TOKENS
}

impl LayerSlots {
    fn new(architecture: &Architecture, slots: usize) -> Self {
        let Architecture { kv_heads, head_width: width, .. } = *architecture;
        let size = kv_heads * width * slots;
        // Not cloned: a clone would touch the memory.
        Self { keys: vec![0.0; size], values: vec![0.0; size], kv_heads, width, slots }
    }

    /// Writes a head's key and value at a position.
    pub(super) fn write(&mut self, table: &[u32], position: usize, head: usize, key: &[f32], value: &[f32]) {
        let place = (head * self.slots + slot(table, position)) * self.width;
        self.keys[place..place + self.width].copy_from_slice(key);
        self.values[place..place + self.width].copy_from_slice(value);
    }

    /// Copies some positions of a sequence.
    pub(super) fn gather(&self, table: &[u32], positions: Range<usize>) -> Gathered {
        let gather = |source: &[f32]| {
            let mut target = Vec::with_capacity(self.kv_heads * positions.len() * self.width);
            for head in source.chunks_exact(self.slots * self.width) {
                let mut position = positions.start;
                while position < positions.end {
                    let end = (position / BLOCK_TOKENS + 1) * BLOCK_TOKENS;
                    let count = end.min(positions.end) - position;
                    let begin = slot(table, position) * self.width;
                    target.extend_from_slice(&head[begin..begin + count * self.width]);
                    position += count;
                }
            }
            target
        };
        Gathered { keys: gather(&self.keys), values: gather(&self.values) }
    }

    /// Numbers of a head in a block.
    fn head_block(&self) -> usize {
        BLOCK_TOKENS * self.width
    }

    /// Where a block's numbers are in the keys, and in the values: a part for each head.
    fn parts(&self, block: u32) -> impl Iterator<Item = Range<usize>> + use<> {
        let (head, each) = (self.slots * self.width, self.head_block());
        let begin = block as usize * each;
        (0..self.kv_heads).map(move |index| index * head + begin..index * head + begin + each)
    }

    fn copy(&mut self, from: u32, to: u32) {
        for (from, to) in self.parts(from).zip(self.parts(to)) {
            self.keys.copy_within(from.clone(), to.start);
            self.values.copy_within(from, to.start);
        }
    }

    fn read(&self, block: u32, bytes: &mut Vec<u8>) {
        for numbers in [&self.keys, &self.values] {
            for part in self.parts(block) {
                bytes.extend(numbers[part].iter().flat_map(|number| number.to_ne_bytes()));
            }
        }
    }

    fn write_block(&mut self, block: u32, bytes: &[u8]) {
        let mut numbers = to_numbers(bytes);
        for part in self.parts(block) {
            self.keys[part].iter_mut().zip(&mut numbers).for_each(|(to, number)| *to = number);
        }
        for part in self.parts(block) {
            self.values[part].iter_mut().zip(&mut numbers).for_each(|(to, number)| *to = number);
        }
    }
}

fn to_numbers(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.as_chunks().0.iter().map(|bytes| f32::from_ne_bytes(*bytes))
}

impl LayerPool {
    fn new(architecture: &Architecture, slots: usize, device: &Device) -> Self {
        if is_memory(device) {
            return Self::Memory(LayerSlots::new(architecture, slots));
        }
        let Architecture { kv_heads, head_width, .. } = *architecture;
        Self::Device(Box::new(LayerMemory::new(kv_heads, head_width, slots, device)), device.clone())
    }

    fn block_bytes(&self) -> usize {
        let numbers = match self {
            Self::Memory(layer) => 2 * layer.kv_heads * layer.head_block(),
            Self::Device(layer, _) => layer.block_numbers(),
        };
        numbers * size_of::<f32>()
    }

    /// The layer in plain memory.
    pub(super) fn memory(&mut self) -> &mut LayerSlots {
        match self {
            Self::Memory(layer) => layer,
            Self::Device(..) => panic!("{OTHER_DEVICE}"),
        }
    }

    /// The layer on a device.
    pub(super) fn device(&self) -> &LayerMemory {
        match self {
            Self::Device(layer, _) => layer,
            Self::Memory(_) => panic!("{OTHER_DEVICE}"),
        }
    }
}

/// A pool is of the kind that its decoder's devices need.
const OTHER_DEVICE: &str = "a pool is made by the decoder that computes in it";

impl Pool {
    /// So many blocks, where the layers are computed.
    ///
    /// # Errors
    /// [`PoolError`].
    pub(super) fn new(architecture: &Architecture, blocks: usize, split: &Split) -> Result<Self, PoolError> {
        let slots = blocks.checked_mul(BLOCK_TOKENS).filter(|slots| u32::try_from(*slots).is_ok());
        let slots = slots.ok_or(PoolError::Count { blocks })?;
        let device = split.device();
        let most = if is_memory(device) { u64::MAX } else { buffer_bytes_max(device) };
        let bytes = Self::keys_bytes(architecture, slots);
        if bytes > most {
            return Err(PoolError::Device { blocks, bytes, most });
        }
        let first = split.host_layers(architecture.layers.len());
        let host = (first > 0).then(|| NativeMemory::of_layers(architecture, first, blocks)).transpose()?;
        let layers = first..architecture.layers.len();
        let layers = layers.map(|_| LayerPool::new(architecture, slots, device));
        Ok(Self { host, first, layers: layers.collect(), blocks })
    }

    /// Bytes of a layer's keys on a device, for so many tokens; its values take as many.
    fn keys_bytes(architecture: &Architecture, tokens: usize) -> u64 {
        let width = architecture.head_width.next_multiple_of(4) * size_of::<f32>();
        (architecture.kv_heads as u64).saturating_mul(width as u64).saturating_mul(tokens as u64)
    }

    /// How many blocks there can be on a device whose buffers have so many bytes at most.
    pub(crate) fn blocks_within(architecture: &Architecture, buffer_bytes: u64) -> usize {
        let each = Self::keys_bytes(architecture, BLOCK_TOKENS).max(1);
        usize::try_from(buffer_bytes.min(COUNTED_BYTES_MAX) / each).unwrap_or(usize::MAX)
    }

    /// How many blocks it has.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.blocks
    }

    /// Bytes of a block, all layers.
    #[must_use]
    pub fn block_bytes(&self) -> usize {
        self.host_block_bytes() + self.layers.iter().map(LayerPool::block_bytes).sum::<usize>()
    }

    /// Of these, those of the layers that the CPU computes.
    pub(crate) fn host_block_bytes(&self) -> usize {
        self.host.as_ref().map_or(0, |host| host.blocks().bytes_each())
    }

    /// Copies a whole block, all layers: what a sequence does before it writes to one that others have too.
    ///
    /// # Panics
    /// Where there is no such block.
    pub fn copy(&mut self, from: u32, to: u32) {
        self.check(&[from, to]);
        if let Some(host) = &mut self.host {
            host.blocks_mut().copy(from, to);
        }
        for layer in &mut self.layers {
            match layer {
                LayerPool::Memory(layer) => layer.copy(from, to),
                LayerPool::Device(layer, _) => layer.copy(from, to),
            }
        }
    }

    /// A block's [`block_bytes`](Self::block_bytes), to be written back later, into any block of this pool or of one of
    /// the same decoder. A device is waited for.
    ///
    /// # Panics
    /// Where there is no such block, or the device failed.
    #[must_use]
    pub fn read(&self, block: u32) -> Vec<u8> {
        self.check(&[block]);
        let mut bytes = Vec::with_capacity(self.block_bytes());
        if let Some(host) = &self.host {
            host.blocks().read(block, &mut bytes);
        }
        for layer in &self.layers {
            if let LayerPool::Memory(layer) = layer {
                layer.read(block, &mut bytes);
            }
        }
        let on_device: Vec<&LayerMemory> = self.on_device().map(|(layer, _)| layer).collect();
        bytes.extend(LayerMemory::read(&on_device, block).into_iter().flat_map(f32::to_ne_bytes));
        bytes
    }

    /// Writes what [`read`](Self::read) gave.
    ///
    /// # Panics
    /// Where there is no such block, or the bytes are not as many as a block has.
    pub fn write(&mut self, block: u32, bytes: &[u8]) {
        self.check(&[block]);
        assert_eq!(bytes.len(), self.block_bytes(), "a block's bytes are those of one of this decoder's");
        let (own, mut rest) = bytes.split_at(self.host_block_bytes());
        if let Some(host) = &mut self.host {
            let written = host.blocks_mut().write(block, own);
            written.unwrap_or_else(|error| unreachable!("it is given a block's bytes: {error}"));
        }
        for layer in &mut self.layers {
            let size = layer.block_bytes();
            if let LayerPool::Memory(layer) = layer {
                let (own, others) = rest.split_at(size);
                layer.write_block(block, own);
                rest = others;
            }
        }
        let on_device: Vec<&LayerMemory> = self.on_device().map(|(layer, _)| layer).collect();
        if let Some((_, device)) = self.on_device().next() {
            LayerMemory::write(&on_device, block, to_numbers(rest).collect(), device);
        }
    }

    /// The layers that are not in plain memory; all of them are on one device.
    fn on_device(&self) -> impl Iterator<Item = (&LayerMemory, &Device)> {
        self.layers.iter().filter_map(|layer| match layer {
            LayerPool::Device(layer, device) => Some((layer.as_ref(), device)),
            LayerPool::Memory(_) => None,
        })
    }

    fn check(&self, blocks: &[u32]) {
        assert!(self.has(blocks), "blocks {blocks:?} of a pool of {}", self.blocks);
    }

    /// A layer's part, of those that are not the CPU's natively.
    pub(super) fn layer(&mut self, layer: usize) -> &mut LayerPool {
        &mut self.layers[layer - self.first]
    }

    /// What the CPU's first layers compute in.
    pub(super) fn host(&mut self) -> &mut NativeMemory {
        self.host.as_mut().unwrap_or_else(|| panic!("{OTHER_DEVICE}"))
    }

    /// Whether all of a table's blocks are this pool's.
    pub(super) fn has(&self, table: &[u32]) -> bool {
        table.iter().all(|block| (*block as usize) < self.blocks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEADS: usize = 2;
    const WIDTH: usize = 3;

    /// What a head's key of a position is; its value is the same, negative.
    fn numbers(head: usize, position: usize) -> [f32; WIDTH] {
        [head as f32 + 1.0, position as f32, 0.5]
    }

    proptest! {
        /// In whatever blocks, a sequence's positions come back as they were written, and copies as what they are of.
        #[test]
        fn positions_come_back_as_they_were_written(
            table in Just((0..6).collect::<Vec<u32>>()).prop_shuffle(),
            (begin, end) in (0..64usize, 0..64usize).prop_map(|(a, b)| (a.min(b), a.max(b) + 1)),
        ) {
            let slots = 6 * BLOCK_TOKENS;
            let empty = || vec![f32::NAN; HEADS * WIDTH * slots];
            let mut layer = LayerSlots { keys: empty(), values: empty(), kv_heads: HEADS, width: WIDTH, slots };
            for (position, head) in (0..end).flat_map(|position| (0..HEADS).map(move |head| (position, head))) {
                let key = numbers(head, position);
                layer.write(&table, position, head, &key, &key.map(|number| -number));
            }
            let keys: Vec<f32> =
                (0..HEADS).flat_map(|head| (begin..end).flat_map(move |position| numbers(head, position))).collect();
            let check = |layer: &LayerSlots, table: &[u32]| {
                let found = layer.gather(table, begin..end);
                assert_eq!(found.keys, keys);
                assert!(found.values.iter().zip(&keys).all(|(value, key)| *value == -key));
            };
            check(&layer, &table);
            // Of the six blocks four are written at most: the others take the last two of these.
            let mut copied = table.clone();
            copied[2] = table[4];
            layer.copy(table[2], table[4]);
            let mut bytes = Vec::new();
            layer.read(table[3], &mut bytes);
            copied[3] = table[5];
            layer.write_block(table[5], &bytes);
            check(&layer, &copied);
            check(&layer, &table);
        }
    }
}
