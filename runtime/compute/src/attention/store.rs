//! New keys and values go into the blocks of their sequence.

use super::{Heads, Sequence};
use crate::{
    Team,
    blocks::{BLOCK_TOKENS, Blocks},
    lanes::{self, Lanes, Work},
    parts::Parts,
    sixteen::LANES,
};
use std::ops::Range;

/// Rows from which on several threads write: some 10 µs of one.
const SHARED_ROWS_MIN: usize = 64;

/// New rows that go into one block.
struct Target {
    block: u32,
    /// Of the first row.
    slot: usize,
    rows: Range<usize>,
}

/// Writes the keys and values of all new rows.
///
/// # Panics
/// For blocks that there are not, and where two sequences write to one block.
pub(super) fn store(
    team: &Team,
    blocks: &mut Blocks,
    layer: usize,
    heads: &Heads,
    projected: &[f32],
    sequences: &[Sequence<'_>],
) {
    let targets = targets(sequences);
    let places: Vec<_> = targets.iter().map(|target| blocks.layer(target.block, layer)).collect();
    let numbers = Parts::new(blocks.numbers_mut());
    let write = |index: usize| {
        #[allow(unsafe_code, reason = "each target has its own block")]
        // SAFETY: `targets` saw that they have different blocks, and each is written once.
        let block = unsafe { numbers.part(places[index].clone()) };
        lanes::run(team.isa(), Write { heads, projected, target: &targets[index], block });
    };
    let rows: usize = targets.iter().map(|target| target.rows.len()).sum();
    if rows < SHARED_ROWS_MIN {
        (0..targets.len()).for_each(write);
    } else {
        team.each(targets.len(), write);
    }
}

/// The blocks that are written to.
fn targets(sequences: &[Sequence<'_>]) -> Vec<Target> {
    let mut targets = Vec::new();
    for Sequence { table, known, rows } in sequences {
        let mut begin = rows.start;
        while begin < rows.end {
            let position = known + (begin - rows.start);
            let slot = position % BLOCK_TOKENS;
            let end = rows.end.min(begin + BLOCK_TOKENS - slot);
            targets.push(Target { block: table[position / BLOCK_TOKENS], slot, rows: begin..end });
            begin = end;
        }
    }
    targets.sort_unstable_by_key(|target| target.block);
    for pair in targets.windows(2) {
        assert!(pair[0].block != pair[1].block, "block {} is written to twice in one step", pair[0].block);
    }
    targets
}

struct Write<'a> {
    heads: &'a Heads,
    projected: &'a [f32],
    target: &'a Target,
    /// Of one layer.
    block: &'a mut [u16],
}

impl Work for Write<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let Heads { heads, kv_heads, width, .. } = *self.heads;
        let length = self.block.len() / kv_heads;
        for (kv_head, block) in self.block.chunks_exact_mut(length).enumerate() {
            let (vectors, _) = block.as_chunks_mut::<LANES>();
            let (keys, values) = vectors.split_at_mut(vectors.len() / 2);
            let columns = values.len() / BLOCK_TOKENS;
            for (index, row) in self.target.rows.clone().enumerate() {
                let slot = self.target.slot + index;
                let row = &self.projected[row * self.heads.projected_width()..][..self.heads.projected_width()];
                let key = &row[(heads + kv_head) * width..][..width];
                for (key, keys) in key.chunks(LANES).zip(keys.chunks_mut(LANES)) {
                    let key = narrow(lanes, key);
                    for (key, keys) in key.iter().zip(keys) {
                        keys[slot] = *key;
                    }
                }
                let value = &row[(heads + kv_heads + kv_head) * width..][..width];
                let values = &mut values[slot * columns..][..columns];
                for (value, values) in value.chunks(LANES).zip(values) {
                    *values = narrow(lanes, value);
                }
            }
        }
    }
}

/// In half precision, zeros behind them.
#[inline(always)]
fn narrow<L: Lanes>(lanes: L, numbers: &[f32]) -> [u16; LANES] {
    let mut all = [0.0; LANES];
    // Most are whole vectors, for which copying is no call.
    match numbers.first_chunk() {
        Some(numbers) => all = *numbers,
        None => all[..numbers.len()].copy_from_slice(numbers),
    }
    let mut out = [0; LANES];
    for (out, numbers) in out.as_chunks_mut().0.iter_mut().zip(all.as_chunks().0) {
        *out = lanes.narrow(lanes.floats(numbers));
    }
    out
}
