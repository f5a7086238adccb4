//! Matrices of weights, in the block formats of GGUF files, laid out once for the products.
//!
//! A matrix is made of parts that lie behind each other: rows of one tensor each, for example those of queries, keys and
//! values, which may have different formats. No weight changes its value; what is held is at most this much larger than
//! the file's bytes (for 256 inputs and more; rows that do not fill a panel come on top):
//!
//! | formats | held as | bits of a weight, in the file and here |
//! | --- | --- | --- |
//! | `F32`, `F16`, `Bf16` | they are | 32 and 16, the same |
//! | `Q4_0`, `Q4_1`, `Q8_0` | they are | 4.5, 5 and 8.5, the same |
//! | `Q4K`, `Q5K`, `Q6K` | codes of 4, 5 and 6 bits, scales of 8 | 4.5, 5.5 and 6.56; 4.63, 5.63 and 6.56 |
//! | `Q5_1` | codes of 5 bits | 6, the same |
//! | `Q5_0`, `Iq4Nl` | codes of 8 bits | 5.5 and 4.5; 8.5 |
//! | `Iq4Xs` | codes of 8 bits, scales of 8 | 4.25; 8.31 |
//! | `Q3K` | codes of 6 bits, scales of 8 | 3.44; 6.56 |
//! | `Q2K` | codes of 4 bits, scales and minimums of 8 | 2.63; 5.13 |
//!
//! Where it lies: see the modules `panel` and `store`.

mod decode;
mod panel;
mod store;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use panel::{Floats, Layout, Offsets, Panel, Visit, Width, with_layout};
pub use store::Packer;

use crate::{
    lanes::{LANES, Plain},
    rows::Forms,
};
use panel::Shape;
use std::{
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};
use store::{Line, Lines};

/// Panels that a thread packs at a time.
const PACK_TASK: usize = 8;

/// How a tensor of a GGUF file stores its numbers.
#[allow(missing_docs, reason = "they are ggml's names")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    F32,
    F16,
    Bf16,
    Q8_0,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q2K,
    Q3K,
    Q4K,
    Q5K,
    Q6K,
    Iq4Nl,
    Iq4Xs,
}

impl Format {
    /// All that there are.
    pub const ALL: [Self; 15] = [
        Self::F32,
        Self::F16,
        Self::Bf16,
        Self::Q8_0,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q2K,
        Self::Q3K,
        Self::Q4K,
        Self::Q5K,
        Self::Q6K,
        Self::Iq4Nl,
        Self::Iq4Xs,
    ];

    /// Numbers of a block, and its bytes in a file.
    #[must_use]
    pub const fn block(self) -> (usize, usize) {
        match self {
            Self::F32 => (1, 4),
            Self::F16 | Self::Bf16 => (1, 2),
            Self::Q8_0 => (32, 34),
            Self::Q4_0 | Self::Iq4Nl => (32, 18),
            Self::Q4_1 => (32, 20),
            Self::Q5_0 => (32, 22),
            Self::Q5_1 => (32, 24),
            Self::Q2K => (256, 84),
            Self::Q3K => (256, 110),
            Self::Q4K => (256, 144),
            Self::Q5K => (256, 176),
            Self::Q6K => (256, 210),
            Self::Iq4Xs => (256, 136),
        }
    }
}

impl Format {
    /// Bytes that a matrix takes here, of so many rows of `inputs` numbers each.
    #[must_use]
    pub fn held_bytes(self, rows: usize, inputs: usize) -> usize {
        with_layout(self, Shape::of(inputs)).stride.saturating_mul(rows.div_ceil(LANES))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Bf16 => "BF16",
            Self::Q2K => "Q2_K",
            Self::Q3K => "Q3_K",
            Self::Q4K => "Q4_K",
            Self::Q5K => "Q5_K",
            Self::Q6K => "Q6_K",
            Self::Iq4Nl => "IQ4_NL",
            Self::Iq4Xs => "IQ4_XS",
            _ => return fmt::Debug::fmt(self, f),
        };
        f.pad(name)
    }
}

/// Rows of a matrix that lie in one tensor.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// How they are stored.
    pub format: Format,
    /// How many there are.
    pub rows: usize,
    /// The blocks of the rows, as in a GGUF file: row after row.
    pub bytes: &'a [u8],
}

/// Why a matrix cannot be made of some bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// A row is not made of whole blocks.
    #[error(
        "a row of {inputs} weights is not made of whole blocks of {block}, as {format} has them; store this matrix in a \
         format of smaller blocks, such as Q8_0 or F16"
    )]
    Inputs {
        /// How they are stored.
        format: Format,
        /// Numbers of a row.
        inputs: usize,
        /// Numbers of a block.
        block: usize,
    },
    /// There are more or fewer bytes than the rows have.
    #[error(
        "{rows} rows of {inputs} weights in {format} have {expected} bytes, not {got}; the file is damaged or its shapes are \
         not what they are taken for"
    )]
    Length {
        /// How they are stored.
        format: Format,
        /// How many rows there are.
        rows: usize,
        /// Numbers of a row.
        inputs: usize,
        /// Bytes that they would have.
        expected: usize,
        /// Bytes that there are.
        got: usize,
    },
    /// The sizes are beyond what a machine can address.
    #[error("{rows} rows of {inputs} weights are more than this machine can address; the shapes are not right")]
    TooLarge {
        /// How many rows there are.
        rows: usize,
        /// Numbers of a row.
        inputs: usize,
    },
    /// There is no memory for them.
    #[error("there is no memory for {bytes} bytes of weights; take a smaller model, or end something else")]
    Memory {
        /// What they take.
        bytes: usize,
    },
    /// A weight or a scale is infinite or not a number.
    #[error(
        "row {row} of part {part} has a weight or a scale that is infinite or not a number; the file is damaged or was badly \
         converted: get it again"
    )]
    NotFinite {
        /// Which part it is, from 0.
        part: usize,
        /// Which of its rows it is, from 0.
        row: usize,
    },
}

/// Weights, `outputs` rows of `inputs` each.
pub struct Matrix {
    inputs: usize,
    outputs: usize,
    parts: Vec<Packed>,
}

/// A part, laid out in panels.
pub(crate) struct Packed {
    pub(crate) format: Format,
    /// Which output its first row is.
    pub(crate) first: usize,
    pub(crate) rows: usize,
    shape: Shape,
    lines: Lines,
}

impl fmt::Debug for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<_> = self.parts.iter().map(|part| (part.format, part.rows)).collect();
        f.debug_struct("Matrix").field("inputs", &self.inputs).field("parts", &parts).finish_non_exhaustive()
    }
}

impl Matrix {
    /// Numbers of a row.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// How many rows there are, of all parts.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Bytes that are held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.parts.iter().map(|part| part.lines.len() * size_of::<Line>()).sum()
    }

    /// Writes a row's numbers, the same bits that ggml makes of them.
    ///
    /// # Panics
    /// Where there is no such row, or `out` has not [`inputs`](Self::inputs) numbers.
    pub fn row(&self, index: usize, out: &mut [f32]) {
        assert_eq!(out.len(), self.inputs, "a row has {} numbers", self.inputs);
        let part = self.parts.iter().find(|part| (part.first..part.first + part.rows).contains(&index));
        let Some(part) = part else { panic!("there is no row {index} of {}", self.outputs) };
        let row = index - part.first;
        with_layout(part.format, ReadRow { part, row, out });
    }

    pub(crate) fn parts(&self) -> &[Packed] {
        &self.parts
    }

    /// What its products take of rows.
    pub(crate) fn forms(&self) -> Forms {
        self.parts.iter().fold(Forms::default(), |forms, part| forms.and(with_layout(part.format, FormsOf)))
    }
}

fn check(part: &Part<'_>, inputs: usize) -> Result<(), PackError> {
    let &Part { format, rows, bytes } = part;
    let (block, block_bytes) = format.block();
    if inputs == 0 || !inputs.is_multiple_of(block) {
        return Err(PackError::Inputs { format, inputs, block });
    }
    // As much as is held at most, with room for rounding: what follows cannot overflow.
    let held = rows.checked_add(LANES).and_then(|rows| rows.checked_mul(inputs)?.checked_mul(16));
    if held.is_none_or(|held| held > isize::MAX as usize) {
        return Err(PackError::TooLarge { rows, inputs });
    }
    let expected = rows * (inputs / block * block_bytes);
    if bytes.len() != expected {
        return Err(PackError::Length { format, rows, inputs, expected, got: bytes.len() });
    }
    Ok(())
}

impl Packed {
    fn new(packer: &Packer<'_>, part: &Part<'_>, index: usize, inputs: usize, first: usize) -> Result<Self, PackError> {
        let &Part { format, rows, bytes } = part;
        let shape = with_layout(format, Shape::of(inputs));
        let stride = shape.stride / size_of::<Line>();
        let row_bytes = inputs / format.block().0 * format.block().1;
        let count = rows.div_ceil(LANES) * stride;
        let mut lines =
            packer.lines(count).map_err(|_| PackError::Memory { bytes: count.saturating_mul(size_of::<Line>()) })?;
        // The first row that is bad.
        let bad = AtomicUsize::new(usize::MAX);
        let tasks: Vec<_> = lines.chunks_mut(PACK_TASK * stride).map(Mutex::new).collect();
        packer.team().each(tasks.len(), |task| {
            let mut lines = tasks[task].lock().unwrap_or_else(PoisonError::into_inner);
            for (panel, lines) in lines.chunks_exact_mut(stride).enumerate() {
                let first = (task * PACK_TASK + panel) * LANES;
                for lane in 0..LANES.min(rows - first) {
                    let row = first + lane;
                    let bytes = &bytes[row * row_bytes..][..row_bytes];
                    if !decode::pack(format, bytes, &shape, lane, flat_mut(lines)) {
                        bad.fetch_min(row, Ordering::Relaxed);
                    }
                }
            }
        });
        match bad.into_inner() {
            usize::MAX => Ok(Self { format, first, rows, shape, lines }),
            row => Err(PackError::NotFinite { part: index, row }),
        }
    }

    /// How many panels there are.
    pub(crate) fn panels(&self) -> usize {
        self.rows.div_ceil(LANES)
    }

    /// The outputs of a panel that there are.
    pub(crate) fn lanes(&self, panel: usize) -> usize {
        LANES.min(self.rows - panel * LANES)
    }

    fn panel_at(&self, index: usize) -> &[u8] {
        let stride = self.shape.stride / size_of::<Line>();
        flat(&self.lines[index * stride..][..stride])
    }

    /// A panel of codes. The layout must be that of the format.
    pub(crate) fn panel<F: Layout>(&self, index: usize) -> Panel<'_, F> {
        Panel::new(self.panel_at(index), &self.shape)
    }

    /// A panel of numbers without scales: 8 for each input.
    pub(crate) fn floats<F: Floats>(&self, index: usize) -> &[u8] {
        &self.panel_at(index)[..self.shape.inputs * LANES * F::BYTES]
    }
}

#[allow(unsafe_code, reason = "bytes of a type whose alignment is the point")]
fn flat(lines: &[Line]) -> &[u8] {
    // SAFETY: a line is 64 bytes and nothing else.
    unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), size_of_val(lines)) }
}

#[allow(unsafe_code, reason = "bytes of a type whose alignment is the point")]
fn flat_mut(lines: &mut [Line]) -> &mut [u8] {
    // SAFETY: a line is 64 bytes and nothing else.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), size_of_val(lines)) }
}

struct FormsOf;

impl Visit for FormsOf {
    type Output = Forms;

    fn floats<F: Floats>(self) -> Forms {
        Forms { numbers: true, ..Forms::default() }
    }

    fn codes<F: Layout>(self) -> Forms {
        Forms { codes: true, wide: F::WIDTH == Width::Eight, ..Forms::default() }
    }
}

struct ReadRow<'a> {
    part: &'a Packed,
    row: usize,
    out: &'a mut [f32],
}

impl Visit for ReadRow<'_> {
    type Output = ();

    fn floats<F: Floats>(self) {
        let (panel, lane) = (self.part.floats::<F>(self.row / LANES), self.row % LANES);
        for (input, out) in self.out.iter_mut().enumerate() {
            *out = F::load(Plain, panel, input)[lane];
        }
    }

    fn codes<F: Layout>(self) {
        let (panel, lane) = (self.part.panel::<F>(self.row / LANES), self.row % LANES);
        for (block, out) in self.out.as_chunks_mut().0.iter_mut().enumerate() {
            panel.read(lane, block, out);
        }
    }
}
