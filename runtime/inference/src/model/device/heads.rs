//! Heads of new rows on their way from a projection to attention: normalised where the model does so, turned, and
//! written where attention reads them. Queries go to a buffer of the step, keys and values to their sequence's blocks.
//!
//! Layout of a layer's memory: keys `[kv head, quarter, slot, 4]`, values `[kv head, slot, quarter, 4]`, where a quarter
//! is four numbers of a head, the last one padded with zeros, and a block is 16 slots. So neighbouring units, which have
//! neighbouring positions of keys and neighbouring quarters of values, read neighbouring memory of a block.

use super::{
    Rows,
    memory::cubes,
    norm::total,
    places::{seen, slot, table},
};
use crate::model::architecture::Pairs;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

/// Units of a cube, which has a head of a row.
const UNITS: u32 = 64;

/// What heads are, in all layers.
#[derive(Clone, Copy, Debug)]
pub(in crate::model) struct HeadShape {
    pub(in crate::model) heads: usize,
    pub(in crate::model) kv_heads: usize,
    pub(in crate::model) width: usize,
    /// How many pairs of a head are turned, and which numbers are a pair.
    pub(in crate::model) pairs: usize,
    pub(in crate::model) order: Pairs,
    /// Of scores: queries are multiplied with it.
    pub(in crate::model) scale: f32,
    pub(in crate::model) epsilon: f32,
}

impl HeadShape {
    /// Quarters of a head.
    pub(super) fn quarters(&self) -> usize {
        self.width.div_ceil(4)
    }
}

/// Keys and values of a layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slots<'a> {
    pub(super) keys: &'a CubeTensor,
    pub(super) values: &'a CubeTensor,
    pub(super) count: usize,
}

/// What programs are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Plan {
    width: u32,
    quarters: u32,
    pairs: u32,
    neighbours: bool,
    normalised: bool,
}

/// Turns the heads `[row, query, key and value heads]` and writes them to `queries` `[row, query heads]` and to the
/// slots of the rows' positions. `turns` are cosine and sine of each row's pairs, `norms` the weights of query and of key
/// heads, where there are any. Rows that pad are left out.
pub(super) fn place(
    shape: &HeadShape,
    rows: &Rows,
    projected: &CubeTensor,
    (norms, turns): (Option<&CubeTensor>, &CubeTensor),
    queries: &CubeTensor,
    slots: Slots<'_>,
) {
    let plan = Plan {
        width: shape.width as u32,
        quarters: shape.quarters() as u32,
        pairs: shape.pairs as u32,
        neighbours: shape.order == Pairs::Neighbours,
        normalised: norms.is_some(),
    };
    let all = shape.heads + 2 * shape.kv_heads;
    place_kernel::launch(
        &projected.client,
        cubes(all * rows.live),
        CubeDim::new_1d(UNITS),
        projected.clone().into_buffer_arg(),
        norms.unwrap_or(turns).clone().into_buffer_arg(),
        turns.clone().into_buffer_arg(),
        rows.places.clone().into_buffer_arg(),
        queries.clone().into_buffer_arg(),
        slots.keys.clone().into_buffer_arg(),
        slots.values.clone().into_buffer_arg(),
        rows.live as u32,
        shape.heads as u32,
        shape.kv_heads as u32,
        slots.count as u32,
        shape.scale,
        shape.epsilon,
        plan,
    );
}

#[cube(launch)]
fn place_kernel(
    projected: &[f32],
    norms: &[f32],
    turns: &[f32],
    places: &[u32],
    queries: &mut [f32],
    keys: &mut [f32],
    values: &mut [f32],
    rows: u32,
    heads: u32,
    kv_heads: u32,
    slots: u32,
    scale: f32,
    epsilon: f32,
    #[comptime] plan: Plan,
) {
    let all = heads + 2u32 * kv_heads;
    let cube = CUBE_POS as u32;
    let (row, head) = (cube / all, cube % all);
    if row >= rows {
        terminate!();
    }
    let place = slot(places, table(places, row), seen(places, row) - 1u32);
    let begin = (row * all + head) * plan.width;
    let is_query = head < heads;
    let is_value = head >= heads + kv_heads;
    let mut factor = 1.0f32;
    let weights = select(is_query, 0u32, comptime!(plan.width));
    if comptime!(plan.normalised) {
        let mut square = 0.0f32;
        for index in range_stepped(UNIT_POS, plan.width, UNITS) {
            let value = projected[(begin + index) as usize];
            square += value * value;
        }
        let square = total(square, UNITS);
        factor = 1.0f32 / (square / comptime!(plan.width as f32) + epsilon).sqrt();
    }
    for index in range_stepped(UNIT_POS, comptime!(4 * plan.quarters), UNITS) {
        let mut value = 0.0f32;
        if index < plan.width {
            value = projected[(begin + index) as usize];
            if !is_value {
                if comptime!(plan.normalised) {
                    value *= factor * norms[(weights + index) as usize];
                }
                if index < comptime!(2 * plan.pairs) {
                    let (is_first, pair) = pair_of(index, plan.pairs, plan.neighbours);
                    let other = select(is_first, index + distance(plan), index - distance(plan));
                    let mut partner = projected[(begin + other) as usize];
                    if comptime!(plan.normalised) {
                        partner *= factor * norms[(weights + other) as usize];
                    }
                    let turn = ((row * plan.pairs + pair) * 2u32) as usize;
                    let sine = select(is_first, -turns[turn + 1], turns[turn + 1]);
                    value = value * turns[turn] + partner * sine;
                }
            }
        }
        let (quarter, part) = (index / 4u32, index % 4u32);
        if is_query {
            if index < plan.width {
                queries[((row * heads + head) * plan.width + index) as usize] = value * scale;
            }
        } else if is_value {
            let kv_head = head - heads - kv_heads;
            values[((kv_head * slots + place) * comptime!(4 * plan.quarters) + index) as usize] = value;
        } else {
            let line = (head - heads) * plan.quarters + quarter;
            keys[((line * slots + place) * 4u32 + part) as usize] = value;
        }
    }
}

/// Whether a number is the first of its pair, and which pair that is.
#[cube]
fn pair_of(index: u32, #[comptime] pairs: u32, #[comptime] neighbours: bool) -> (bool, u32) {
    let (place, pair) = (index % 2u32, index / 2u32);
    if comptime!(neighbours) { (place == 0u32, pair) } else { (index < pairs, index % pairs) }
}

/// From the first number of a pair to the second.
#[cube]
fn distance(#[comptime] plan: Plan) -> u32 {
    comptime!(if plan.neighbours { 1u32 } else { plan.pairs }).runtime()
}
