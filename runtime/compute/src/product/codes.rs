//! Weights of codes and scales: integers times integers.

use super::{FEW, Output, Share};
use crate::{
    Rows,
    lanes::{LANES, Lanes, Work},
    rows::Row,
    weights::{Layout, Offsets, Packed, Source, Width},
};
use std::{marker::PhantomData, ops::Range};

/// Panels whose codes are unpacked together.
const PANELS: usize = 2;
/// Blocks of two panels that are unpacked together, at most: 16 KiB, so that they stay in the first cache, beside the rows.
const BLOCKS: usize = 32;
/// Pairs of vectors of a block whose codes are worth unpacking.
const PAIRS: usize = 4;

/// Some panels of a part, for some rows.
pub(super) struct Strip<'a, F> {
    part: &'a Packed,
    panels: Range<usize>,
    rows: Range<usize>,
    input: &'a Rows,
    output: &'a Output<'a>,
    layout: PhantomData<F>,
}

impl<'a, F> Strip<'a, F> {
    pub(super) fn new(share: Share<'a>) -> Self {
        let Share { part, panels, rows, input, output, .. } = share;
        Self { part, panels, rows, input, output, layout: PhantomData }
    }
}

impl<F: Layout> Work for Strip<'_, F> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        if L::ROWS == 1 || !F::WIDTH.is_worth_unpacking() || self.rows.len() <= FEW {
            self.few(lanes);
        } else {
            self.many(lanes);
        }
    }
}

/// Calls `$call` with the number of rows of each tile of `$rows`, and its first row.
macro_rules! tiles {
    ($lanes:ident, $rows:expr, |$count:ident, $row:ident| $call:expr) => {{
        let rows = $rows;
        let mut $row = rows.start;
        while $row < rows.end {
            let count = $lanes::ROWS.min(rows.end - $row);
            if $lanes::ROWS == 1 || count == 1 {
                const $count: usize = 1;
                $call
            } else if $lanes::ROWS > 1 {
                match count {
                    2 => {
                        const $count: usize = 2;
                        $call
                    }
                    3 => {
                        const $count: usize = 3;
                        $call
                    }
                    _ => {
                        const $count: usize = 4;
                        $call
                    }
                }
            }
            $row += count;
        }
    }};
}

impl<F: Layout> Strip<'_, F> {
    #[inline(always)]
    fn few<L: Lanes>(self, lanes: L) {
        let blocks = self.input.row(self.rows.start).blocks.len();
        for panel in self.panels.clone() {
            let source = self.part.panel::<F>(panel);
            tiles!(L, self.rows.clone(), |R, row| {
                let rows: [_; R] = self.rows_at(row, 0..blocks);
                let mut sums = [[lanes.splat(0.0)]; R];
                tile(lanes, [source], blocks, rows, &mut sums);
                self.store(lanes, panel, row, &sums);
            });
        }
    }

    #[inline(always)]
    fn many<L: Lanes>(self, lanes: L) {
        let blocks = self.input.row(self.rows.start).blocks.len();
        // Chunks of about the same length.
        let chunk = blocks.div_ceil(blocks.div_ceil(BLOCKS));
        let mut scratch = Scratch::new();
        for panel in self.panels.clone().step_by(PANELS) {
            for start in (0..blocks).step_by(chunk) {
                let range = start..(start + chunk).min(blocks);
                // The last one twice, where there is no other.
                let other = (panel + 1).min(self.panels.end - 1);
                let panels: [_; PANELS] = [self.part.panel::<F>(panel), self.part.panel(other)];
                for (index, panel) in panels.into_iter().enumerate() {
                    scratch.unpack(lanes, index, panel, range.clone());
                }
                tiles!(L, self.rows.clone(), |R, row| {
                    let rows: [_; R] = self.rows_at(row, range.clone());
                    let mut sums = match start {
                        0 => [[lanes.splat(0.0); PANELS]; R],
                        _ => self.load(lanes, panel, row),
                    };
                    let [first, second] = panels;
                    let sources = [
                        Unpacked { scratch: &scratch, index: 0, panel: first, start },
                        Unpacked { scratch: &scratch, index: 1, panel: second, start },
                    ];
                    tile(lanes, sources, range.len(), rows, &mut sums);
                    self.store(lanes, panel, row, &sums);
                });
            }
        }
    }

    #[inline(always)]
    fn rows_at<const R: usize>(&self, row: usize, blocks: Range<usize>) -> [Row<'_>; R] {
        let mut rows = [Row::default(); R];
        for (index, out) in rows.iter_mut().enumerate() {
            let row = self.input.row(row + index);
            *out = Row { codes: &row.codes[blocks.clone()], blocks: &row.blocks[blocks.clone()], ..row };
        }
        rows
    }

    /// Results of a row and a panel; none where the strip has no such panel.
    #[allow(clippy::mut_from_ref, reason = "the numbers are those of the output, of which the task has its own")]
    #[inline(always)]
    fn results(&self, panel: usize, row: usize) -> &mut [f32] {
        let count = if panel < self.panels.end { self.part.lanes(panel) } else { 0 };
        let first = if count > 0 { self.part.first + panel * LANES } else { 0 };
        #[allow(unsafe_code, reason = "several threads write one buffer")]
        // SAFETY: tasks have no output of a row in common; this one has no other reference.
        unsafe {
            self.output.row(row, first..first + count)
        }
    }

    #[inline(always)]
    fn store<L: Lanes, const R: usize, const P: usize>(
        &self,
        lanes: L,
        panel: usize,
        row: usize,
        sums: &[[L::Floats; P]; R],
    ) {
        for (index, sums) in sums.iter().enumerate() {
            for (offset, sums) in sums.iter().enumerate() {
                let results = self.results(panel + offset, row + index);
                if let Ok(results) = results.try_into() {
                    lanes.store(*sums, results);
                    continue;
                }
                let mut numbers = [0.0; LANES];
                lanes.store(*sums, &mut numbers);
                results.copy_from_slice(&numbers[..results.len()]);
            }
        }
    }

    /// What [`store`](Self::store) stored.
    #[inline(always)]
    fn load<L: Lanes, const R: usize, const P: usize>(
        &self,
        lanes: L,
        panel: usize,
        row: usize,
    ) -> [[L::Floats; P]; R] {
        let mut sums = [[lanes.splat(0.0); P]; R];
        for (index, sums) in sums.iter_mut().enumerate() {
            for (offset, sums) in sums.iter_mut().enumerate() {
                let results = self.results(panel + offset, row + index);
                let mut numbers = [0.0; LANES];
                numbers[..results.len()].copy_from_slice(results);
                *sums = lanes.floats(&numbers);
            }
        }
        sums
    }
}

/// Adds to the sums of `R` rows and `P` panels their products of `blocks` blocks.
///
/// Loops over rows and panels have constant lengths and are unrolled, so that all arrays become registers; functions of the
/// standard library that take closures would not be inlined here.
#[inline(always)]
fn tile<L: Lanes, S: Source<L>, const R: usize, const P: usize>(
    lanes: L,
    sources: [S; P],
    blocks: usize,
    rows: [Row<'_>; R],
    sums: &mut [[L::Floats; P]; R],
) {
    for block in 0..blocks {
        let ints = match <S::Layout as Layout>::WIDTH {
            Width::Eight => halves_ints(lanes, &sources, block, &rows),
            _ => group_ints(lanes, &sources, block, &rows),
        };
        for p in 0..P {
            let scale = sources[p].scale(lanes, block);
            for r in 0..R {
                let scale = lanes.mul(scale, lanes.splat(rows[r].blocks[block].scale));
                sums[r][p] = lanes.fused(lanes.float(ints[r][p]), scale, sums[r][p]);
            }
            match <S::Layout as Layout>::SCALES.offsets() {
                Offsets::None => {}
                Offsets::Blocks => {
                    let minimum = sources[p].minimum(lanes, block);
                    for r in 0..R {
                        sums[r][p] = lanes.fused(minimum, lanes.splat(rows[r].blocks[block].sum), sums[r][p]);
                    }
                }
                Offsets::Parts => {
                    let minimum = sources[p].minimum(lanes, block);
                    let [first, second] = sources[p].offsets(lanes, block);
                    for r in 0..R {
                        let row = &rows[r].blocks[block];
                        let ints = lanes.float(lanes.paired(first, second, row.halves));
                        let scale = lanes.mul(minimum, lanes.splat(row.scale));
                        sums[r][p] = lanes.fused(ints, scale, sums[r][p]);
                    }
                }
            }
        }
    }
}

/// `count`, which the compiler is not to know where there are many sums: it would unroll the loop and take the products in an
/// order of its own, for which the registers do not suffice.
#[inline(always)]
fn loops(count: usize, sums: usize) -> usize {
    if count > 1 && sums > 4 { std::hint::black_box(count) } else { count }
}

/// The inputs of a group.
#[inline(always)]
fn inputs<L: Lanes>(lanes: L, row: &Row<'_>, block: usize, group: usize) -> L::Inputs {
    let (groups, _) = row.codes[block].as_chunks();
    lanes.inputs(&groups[group])
}

/// Exact sums of the products of a block's inputs and `code − zero`, of codes in low and high halves.
#[inline(always)]
fn halves_ints<L: Lanes, S: Source<L>, const R: usize, const P: usize>(
    lanes: L,
    sources: &[S; P],
    block: usize,
    rows: &[Row<'_>; R],
) -> [[L::Ints; P]; R] {
    let mut ints = [[lanes.int(0); P]; R];
    for p in 0..P {
        let mut low = [lanes.no_sums(); R];
        let mut high = [lanes.no_sums(); R];
        for group in 0..loops(8, 2 * R) {
            let [codes_low, codes_high] = sources[p].pair(lanes, block, group);
            for r in 0..R {
                let inputs = inputs(lanes, &rows[r], block, group);
                low[r] = lanes.dot(low[r], codes_low, inputs);
                high[r] = lanes.dot(high[r], codes_high, inputs);
            }
        }
        for r in 0..R {
            let zeros = lanes.int(rows[r].blocks[block].total * <S::Layout as Layout>::ZERO);
            let sum = lanes.add(lanes.ints(low[r]), lanes.times_16(lanes.ints(high[r])));
            ints[r][p] = lanes.sub(sum, zeros);
        }
    }
    ints
}

/// Exact sums of the products of a block's inputs and `code − zero`, times the factor of their part.
#[inline(always)]
fn group_ints<L: Lanes, S: Source<L>, const R: usize, const P: usize>(
    lanes: L,
    sources: &[S; P],
    block: usize,
    rows: &[Row<'_>; R],
) -> [[L::Ints; P]; R] {
    let has_parts = <S::Layout as Layout>::SCALES.has_parts();
    let groups_max = <S::Layout as Layout>::WIDTH.groups_max();
    let groups_max = if has_parts { groups_max.min(4) } else { groups_max };
    let mut ints = [[lanes.int(0); P]; R];
    let mut pair = 0;
    for part in 0..8 / groups_max {
        let mut sums = [[lanes.no_sums(); P]; R];
        for _ in 0..loops(groups_max / 2, R * P) {
            let mut codes = [sources[0].pair(lanes, block, pair); P];
            for p in 1..P {
                codes[p] = sources[p].pair(lanes, block, pair);
            }
            for r in 0..R {
                let even = inputs(lanes, &rows[r], block, 2 * pair);
                for p in 0..P {
                    sums[r][p] = lanes.dot(sums[r][p], codes[p][0], even);
                }
                let odd = inputs(lanes, &rows[r], block, 2 * pair + 1);
                for p in 0..P {
                    sums[r][p] = lanes.dot(sums[r][p], codes[p][1], odd);
                }
            }
            pair += 1;
        }
        for p in 0..P {
            let factors = sources[p].factors(lanes, block);
            for r in 0..R {
                let new = match has_parts {
                    true => lanes.scaled(sums[r][p], factors[part * groups_max / 4]),
                    false => lanes.ints(sums[r][p]),
                };
                ints[r][p] = lanes.add(ints[r][p], new);
            }
        }
    }
    if <S::Layout as Layout>::ZERO != 0 {
        take_zeros(lanes, sources, block, rows, &mut ints);
    }
    ints
}

/// Takes from the sums of `code × input` what they are too much, as each code is `zero` too much.
#[inline(always)]
fn take_zeros<L: Lanes, S: Source<L>, const R: usize, const P: usize>(
    lanes: L,
    sources: &[S; P],
    block: usize,
    rows: &[Row<'_>; R],
    ints: &mut [[L::Ints; P]; R],
) {
    for r in 0..R {
        let row = &rows[r].blocks[block];
        let zeros = lanes.int(row.total * <S::Layout as Layout>::ZERO);
        for p in 0..P {
            let zeros = if <S::Layout as Layout>::SCALES.has_parts() {
                // Their zero is 32.
                let [first, second] = sources[p].factors(lanes, block);
                lanes.times_32(lanes.paired(first, second, row.halves))
            } else {
                zeros
            };
            ints[r][p] = lanes.sub(ints[r][p], zeros);
        }
    }
}

/// Blocks of two panels, unpacked.
struct Scratch {
    /// Of each block and each of its pairs of vectors those of each panel.
    codes: [[[[[u8; 32]; 2]; PANELS]; PAIRS]; BLOCKS],
    scales: [[[f32; LANES]; PANELS]; BLOCKS],
    minimums: [[[f32; LANES]; PANELS]; BLOCKS],
}

impl Scratch {
    fn new() -> Self {
        Self {
            codes: [[[[[0; 32]; 2]; PANELS]; PAIRS]; BLOCKS],
            scales: [[[0.0; LANES]; PANELS]; BLOCKS],
            minimums: [[[0.0; LANES]; PANELS]; BLOCKS],
        }
    }

    /// Takes some blocks of a panel as panel `index`.
    #[inline(always)]
    fn unpack<L: Lanes, S: Source<L>>(&mut self, lanes: L, index: usize, panel: S, blocks: Range<usize>) {
        for (at, block) in blocks.enumerate() {
            for (pair, out) in self.codes[at].iter_mut().enumerate() {
                let [first, second] = panel.pair(lanes, block, pair);
                lanes.store_codes(first, &mut out[index][0]);
                lanes.store_codes(second, &mut out[index][1]);
            }
            lanes.store(panel.scale(lanes, block), &mut self.scales[at][index]);
            if <S::Layout as Layout>::SCALES.offsets() != Offsets::None {
                lanes.store(panel.minimum(lanes, block), &mut self.minimums[at][index]);
            }
        }
    }
}

/// A panel of which some blocks were unpacked.
struct Unpacked<'a, S> {
    scratch: &'a Scratch,
    /// Which of the unpacked panels it is.
    index: usize,
    panel: S,
    /// The first block that was unpacked.
    start: usize,
}

impl<S: Clone> Clone for Unpacked<'_, S> {
    fn clone(&self) -> Self {
        Self { panel: self.panel.clone(), ..*self }
    }
}
impl<S: Copy> Copy for Unpacked<'_, S> {}

impl<L: Lanes, S: Source<L>> Source<L> for Unpacked<'_, S> {
    type Layout = S::Layout;

    #[inline(always)]
    fn pair(self, lanes: L, block: usize, index: usize) -> [L::Codes; 2] {
        let [first, second] = &self.scratch.codes[block][index][self.index];
        [lanes.codes(first), lanes.codes(second)]
    }

    #[inline(always)]
    fn scale(self, lanes: L, block: usize) -> L::Floats {
        lanes.floats(&self.scratch.scales[block][self.index])
    }

    #[inline(always)]
    fn minimum(self, lanes: L, block: usize) -> L::Floats {
        lanes.floats(&self.scratch.minimums[block][self.index])
    }

    #[inline(always)]
    fn factors(self, lanes: L, block: usize) -> [L::Factors; 2] {
        self.panel.factors(lanes, self.start + block)
    }

    #[inline(always)]
    fn offsets(self, lanes: L, block: usize) -> [L::Factors; 2] {
        self.panel.offsets(lanes, self.start + block)
    }
}
