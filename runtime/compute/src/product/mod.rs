//! Products of rows and packed weights.
//!
//! A row times a weight of codes is, for each block of 32 inputs, an exact sum of integers, times the scales of both. One lane
//! of a vector has one output and goes through its blocks in order, so a result does not depend on how many rows there are,
//! who computes it, and where.
//!
//! Up to 8 rows go through the codes of a panel together: each pair of code vectors is unpacked in registers, once for all of
//! them, and multiplied with what the rows have there. More rows come two tiles of 8 at a time, which stay in the first cache while all
//! panels of a task go by.
//!
//! Threads share outputs, and rows where there are many.
//!
//! What was tried, on one thread of an AMD EPYC (Zen 3, 3.24 GHz), in moments in which nobody else used the core. The bound is what
//! registers alone allow: for each 32 products a broadcast from the cache, `vpmaddubsw` and `vpaddw`, 159 G products/s.
//!
//! | `Q4_1`, 8 rows and more | G/s |
//! | --- | --- |
//! | 4 rows by 2 panels, unpacked into the cache before | 88 |
//! | a block's codes in 8 registers, one row after the other | 93 |
//! | 8 rows by 1 panel, unpacked in registers, as it is | 101 |
//! | the same from intrinsics, of which the compiler makes sums in its own order, with sums in memory | 78 |
//!
//! | `Q8_0`, 8 rows and more | G/s |
//! | --- | --- |
//! | low and high halves of the codes, two `vpmaddubsw` each | 50 |
//! | magnitudes times inputs with the weights' signs, widened by `vpmaddwd` | 56 |
//! | both in 16 bits, `vpmaddwd`, as it is | 61 |
//!
//! | elsewhere | before | after |
//! | --- | --- | --- |
//! | announcing weights 4 KiB ahead; one row, weights from memory | 7.5 GB/s | 11 GB/s |
//! | pages of 2 MiB; a step of one row on two threads | 7.3 ms | 5.1 ms |
//! | announcing 8 KiB ahead instead of 4, in these pages | | the same |
//! | threads that wait for the next product ask for what they will begin it with; a step of one row | | the same |
//! | two tiles through all panels of a task, not all rows through one panel; 512 rows | 600 ms | 580 ms, at best |
//! | tasks that follow each other for the thread that takes every other one, and attention of one row shared; a step of one row on two threads | 7.4 ms | 6.6 ms |

mod codes;
mod floats;
mod output;
#[cfg(test)]
mod tests;

use crate::{
    Isa, Rows, Team,
    lanes::{self, LANES, Lanes},
    rows::TILE,
    weights::{Floats, Layout, Matrix, Packed, Visit, with_layout},
};
use output::Output;
use std::ops::Range;

/// Tasks for each thread, where there is enough to do: so that a thread that comes late does less.
const TASKS_PER_THREAD: usize = 4;
/// Products of a task, at least: some microseconds. Less would take as long as handing it over.
const TASK_PRODUCTS: usize = 1 << 15;
/// Bytes of activations that a task goes through again and again: half of a small second cache.
const ROWS_BYTES: usize = 1 << 18;
/// Rows of a task where there are more, at least: weights come from memory once for them.
const ROWS_MIN: usize = 64;

impl Matrix {
    /// Each row times each row of weights.
    ///
    /// `output` has the shape `[rows, outputs]`.
    ///
    /// # Panics
    /// Where the rows were not [filled](Rows::fill) for a matrix of the same width and formats, or `output` has another size.
    pub fn multiply(&self, team: &Team, input: &Rows, output: &mut [f32]) {
        let (rows, outputs) = (input.count(), self.outputs());
        assert!(rows == 0 || input.width() == self.inputs(), "rows of {} for {} inputs", input.width(), self.inputs());
        let forms = self.forms();
        assert!(rows == 0 || input.forms().and(forms) == input.forms(), "rows that were filled for other formats");
        assert_eq!(output.len(), rows * outputs, "results of {rows} rows and {outputs} outputs");
        if output.is_empty() {
            return;
        }
        let plan = Plan::new(self, team.threads(), rows);
        let output = Output::new(output, outputs);
        team.each(plan.tasks(), |index| {
            let task = plan.task(index);
            let part = &self.parts()[task.part];
            let share = Share { isa: team.isa(), part, panels: task.panels, rows: task.rows, input, output: &output };
            with_layout(part.format, share);
        });
    }
}

/// What a thread does: some panels of a part, for some rows.
struct Share<'a> {
    isa: Isa,
    part: &'a Packed,
    panels: Range<usize>,
    rows: Range<usize>,
    input: &'a Rows,
    output: &'a Output<'a>,
}

impl Visit for Share<'_> {
    type Output = ();

    fn floats<F: Floats>(self) {
        lanes::run(self.isa, floats::Strip::<F>::new(self));
    }

    fn codes<F: Layout>(self) {
        lanes::run(self.isa, codes::Strip::<F>::new(self));
    }
}

impl Share<'_> {
    /// Stores the results of `R` rows and the outputs of a panel.
    #[inline(always)]
    fn store<L: Lanes, const R: usize>(&self, lanes: L, panel: usize, row: usize, sums: &[L::Floats; R]) {
        let first = self.part.first + panel * LANES;
        let count = self.part.lanes(panel);
        for (index, sums) in sums.iter().enumerate() {
            #[allow(unsafe_code, reason = "several threads write one buffer")]
            // SAFETY: tasks have no output of a row in common; this one has no other reference.
            let results = unsafe { self.output.row(row + index, first..first + count) };
            if let Ok(results) = results.try_into() {
                lanes.store(*sums, results);
                continue;
            }
            let mut numbers = [0.0; LANES];
            lanes.store(*sums, &mut numbers);
            results.copy_from_slice(&numbers[..count]);
        }
    }
}

/// What is done with rows that are computed together.
trait Tiles {
    /// Rows at most.
    const ROWS: usize;

    /// Computes `R` rows from `row` on, which is row `at` of its tile.
    fn tile<L: Lanes, const R: usize>(&self, lanes: L, row: usize, at: usize);
}

/// Does `work` with all rows, as many together as there are registers for. The first row is that of a tile.
#[inline(always)]
fn each_tile<L: Lanes, T: Tiles>(lanes: L, rows: Range<usize>, work: &T) {
    let together = const { if L::ROWS < T::ROWS { L::ROWS } else { T::ROWS } };
    for row in rows.clone().step_by(together) {
        // Known to be the first one, for kernels that take a whole tile.
        let at = if together == TILE { 0 } else { row % TILE };
        match together.min(rows.end - row) {
            1 => work.tile::<L, 1>(lanes, row, at),
            2 if together >= 2 => work.tile::<L, 2>(lanes, row, at),
            3 if together >= 3 => work.tile::<L, 3>(lanes, row, at),
            4 if together >= 4 => work.tile::<L, 4>(lanes, row, at),
            5 if together >= 5 => work.tile::<L, 5>(lanes, row, at),
            6 if together >= 6 => work.tile::<L, 6>(lanes, row, at),
            7 if together >= 7 => work.tile::<L, 7>(lanes, row, at),
            8 if together >= 8 => work.tile::<L, 8>(lanes, row, at),
            _ => {}
        }
    }
}

/// How a product is cut into tasks: no two have an output of a row in common.
///
/// Tasks are numbered so that a thread which takes every other one goes through panels that follow each other: what it announced at
/// the end of one is what it begins the next with.
struct Plan {
    threads: usize,
    rows: usize,
    /// Rows of a task.
    row_step: usize,
    parts: Vec<PartPlan>,
}

struct PartPlan {
    panels: usize,
    /// Panels of a task.
    step: usize,
    /// The part's first task.
    first: usize,
}

struct Task {
    part: usize,
    panels: Range<usize>,
    rows: Range<usize>,
}

impl Plan {
    fn new(matrix: &Matrix, threads: usize, rows: usize) -> Self {
        let row_steps = rows.div_ceil((ROWS_BYTES / matrix.inputs()).max(ROWS_MIN));
        let row_step = rows.div_ceil(row_steps).next_multiple_of(TILE);
        let row_steps = rows.div_ceil(row_step);
        let all: usize = matrix.parts().iter().map(Packed::panels).sum();
        let wanted = (threads * TASKS_PER_THREAD).div_ceil(row_steps);
        let least = (TASK_PRODUCTS / (matrix.inputs() * LANES * row_step.min(rows))).max(1);
        let step = all.div_ceil(wanted).max(least);
        let mut first = 0;
        let plan = |part: &Packed| {
            let plan = PartPlan { panels: part.panels(), step, first };
            first += plan.panels.div_ceil(step) * row_steps;
            plan
        };
        let parts = matrix.parts().iter().map(plan).collect();
        Self { threads, rows, row_step, parts }
    }

    fn tasks(&self) -> usize {
        let row_steps = self.rows.div_ceil(self.row_step);
        self.parts.last().map_or(0, |last| last.first + last.panels.div_ceil(last.step) * row_steps)
    }

    fn task(&self, index: usize) -> Task {
        let part = self.parts.partition_point(|part| part.first <= index) - 1;
        let plan = &self.parts[part];
        let row_steps = self.rows.div_ceil(self.row_step);
        let (panel, row) = ((index - plan.first) / row_steps, (index - plan.first) % row_steps);
        let panels = plan.panels.div_ceil(plan.step);
        let (thread, turn) = (panel % self.threads, panel / self.threads);
        let panel = thread * (panels / self.threads) + thread.min(panels % self.threads) + turn;
        let range = |index: usize, step: usize, end: usize| index * step..((index + 1) * step).min(end);
        Task { part, panels: range(panel, plan.step, plan.panels), rows: range(row, self.row_step, self.rows) }
    }
}
