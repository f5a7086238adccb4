//! Attention of new rows to the positions of their sequences, in one program for all rows of a step, or in two where a row
//! sees many positions.
//!
//! A cube has a row and some query heads that share a key head. It goes over the positions in tiles of [`UNITS`]: each
//! unit scores one position, then each unit adds up a quarter of a head's values, weighted. Maxima and sums are kept as
//! one goes ("online softmax", Milakov and Gimelshein 2018; Dao et al. 2022, "FlashAttention"). So no scores leave the
//! cube, and nothing is masked before: what a row sees, and in which slots, follows from its place (see `places`). A window,
//! and how far a sequence is, are arguments, so that nothing is compiled as sequences grow.
//!
//! Where a row sees many positions, several cubes take a share of them each, and a second program combines what they
//! found (Dao et al. 2023, "Flash-Decoding"). How many depends on the row alone while there are few of them; where
//! there are many, these are enough for all of a device.

use super::{
    Rows,
    heads::{HeadShape, Slots},
    memory::{cubes, room},
    places::{seen, slot, table},
};
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

/// Units of a cube, and positions of a tile.
const UNITS: u32 = 128;
/// Query heads of a cube, at most: their queries, scores and sums fit into 20 KiB of shared memory, and into registers.
const GROUP_MAX: usize = 4;
/// Units that fold a head's numbers of a tile together, before each unit does so with what they found.
const FOLDS: u32 = 16;
/// The widest head: a tile's values are added up by a unit for each quarter at least.
pub(in crate::model) const HEAD_WIDTH_MAX: usize = 4 * UNITS as usize;
/// Shares of a row's positions, at most.
const SHARES_MAX: usize = 32;
/// Positions of a share, at least: twice as many are shared out.
const SHARE_POSITIONS_MIN: usize = 2 * UNITS as usize;
/// Cubes of a launch from which on sharing out makes a device no busier: some sixteen for each of its processors.
const CUBES_ENOUGH: usize = 2048;
/// The score of what is not seen: far below any, and far from the smallest f32.
const HIDDEN: f32 = -1e30;

/// What programs are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Plan {
    width: u32,
    quarters: u32,
    /// Query heads of a cube.
    group: u32,
    capped: bool,
    /// Whether positions are shared out.
    shares: bool,
}

/// What a layer's rows see.
#[derive(Clone, Copy, Debug)]
pub(in crate::model) struct Sight {
    /// The last so many positions.
    pub(in crate::model) window: Option<usize>,
    /// Scores stay below this.
    pub(in crate::model) softcap: Option<f32>,
}

/// The mixtures of all rows `[row, query heads]`; zeros of those that pad.
pub(super) fn attend(
    shape: &HeadShape,
    sight: Sight,
    rows: &Rows,
    queries: &CubeTensor,
    slots: Slots<'_>,
) -> CubeTensor {
    let per_key = shape.heads / shape.kv_heads;
    let group = (1..=GROUP_MAX).rev().find(|group| per_key.is_multiple_of(*group)).unwrap_or(1);
    let lines = rows.total * shape.heads;
    let most_seen = sight.window.map_or(rows.longest, |window| window.min(rows.longest));
    let useful = SHARES_MAX.min(CUBES_ENOUGH / (lines / group)).max(1);
    let shares = (most_seen / SHARE_POSITIONS_MIN).clamp(1, useful);
    let plan = Plan {
        width: shape.width as u32,
        quarters: shape.quarters() as u32,
        group: group as u32,
        capped: sight.softcap.is_some(),
        shares: shares > 1,
    };
    let output = room(queries, [rows.total, shape.heads * shape.width]);
    let target = if shares > 1 { room(queries, [lines * shares, part_numbers(plan) as usize]) } else { output.clone() };
    attend_kernel::launch(
        &queries.client,
        cubes(lines / group * shares),
        CubeDim::new_1d(UNITS),
        queries.clone().into_buffer_arg(),
        slots.keys.clone().into_buffer_arg(),
        slots.values.clone().into_buffer_arg(),
        rows.places.clone().into_buffer_arg(),
        target.clone().into_buffer_arg(),
        rows.total as u32,
        shares as u32,
        shape.heads as u32,
        per_key as u32,
        slots.count as u32,
        sight.window.map_or(u32::MAX, |window| u32::try_from(window).unwrap_or(u32::MAX)),
        sight.softcap.unwrap_or(1.0),
        plan,
    );
    if shares > 1 {
        combine_kernel::launch(
            &queries.client,
            cubes(lines),
            CubeDim::new_1d(UNITS),
            target.into_buffer_arg(),
            output.clone().into_buffer_arg(),
            lines as u32,
            shares as u32,
            plan,
        );
    }
    output
}

/// Numbers of what one share found: a sum of values, the largest score, the sum of weights.
fn part_numbers(plan: Plan) -> u32 {
    4 * plan.quarters + 2
}

#[cube(launch)]
fn attend_kernel(
    queries: &[f32],
    keys: &[Vector<f32, Const<4>>],
    values: &[Vector<f32, Const<4>>],
    places: &[u32],
    output: &mut [f32],
    rows: u32,
    shares: u32,
    heads: u32,
    per_key: u32,
    slots: u32,
    window: u32,
    softcap: f32,
    #[comptime] plan: Plan,
) {
    let (group, quarters) = comptime!((plan.group as usize, plan.quarters));
    let groups = heads / plan.group;
    let cube = CUBE_POS as u32;
    let (share, rest) = (cube % shares, cube / shares);
    let (index, first_head) = (rest / groups, rest % groups * plan.group);
    let kv_head = first_head / per_key;
    let is_row = index < rows;
    let row = select(is_row, index, 0u32);
    // Through shared memory, since all units have to agree on the loop's bounds.
    let mut place = Shared::<[u32]>::new_slice(2usize);
    if UNIT_POS == 0u32 {
        place[0usize] = seen(places, row);
        place[1usize] = table(places, row);
    }
    let mut query = Shared::<[Vector<f32, Const<4>>]>::new_slice(comptime!((plan.group * quarters) as usize));
    load_queries(&mut query, queries, row * heads + first_head, plan);
    sync_cube();
    let (end, blocks) = (place[0usize], place[1usize]);
    let in_sight = clamp_max(end, window);
    let own = clamp(in_sight / comptime!(SHARE_POSITIONS_MIN as u32), 1u32, shares);
    let length = in_sight.div_ceil(own);
    let from = clamp_max(end - in_sight + share * length, end);
    let to = clamp_max(from + length, end);

    let mut tile_slots = Shared::<[u32]>::new_slice(comptime!(UNITS as usize));
    let mut weights = Shared::<[f32]>::new_slice(comptime!((plan.group * UNITS) as usize));
    let mut folds = Shared::<[f32]>::new_slice(comptime!((plan.group * FOLDS) as usize));
    let mut most = Array::<f32>::new(group);
    let mut sums = Array::<f32>::new(group);
    let mut mixed = Array::<Vector<f32, Const<4>>>::new(group);
    #[unroll]
    for head in 0..group {
        most[head] = HIDDEN;
        sums[head] = 0.0f32;
        mixed[head] = Vector::new(0.0f32);
    }
    for tile in range_stepped(from, to, UNITS) {
        let is_seen = tile + UNIT_POS < to;
        let position = select(is_seen, tile + UNIT_POS, tile);
        let place = slot(places, blocks, position);
        tile_slots[UNIT_POS as usize] = place;
        let mut scores = Array::<f32>::new(group);
        score(&mut scores, &query, keys, kv_head * quarters * slots + place, slots, softcap, plan);
        #[unroll]
        for head in 0..group {
            scores[head] = select(is_seen, scores[head], HIDDEN);
        }
        fold(&scores, &mut weights, &mut folds, true, plan);
        #[unroll]
        for head in 0..group {
            let known = clamp_min(most[head], folded(&folds, comptime!(head as u32), true));
            let shrink = (most[head] - known).exp();
            let weight = select(is_seen, (scores[head] - known).exp(), 0.0f32);
            weights[comptime!(head * UNITS as usize) + UNIT_POS as usize] = weight;
            sums[head] = sums[head] * shrink + weight;
            mixed[head] *= Vector::new(shrink);
            most[head] = known;
        }
        sync_cube();
        mix(&mut mixed, &weights, values, kv_head * slots, &tile_slots, clamp_max(to - tile, UNITS), plan);
        sync_cube();
    }
    fold(&sums, &mut weights, &mut folds, false, plan);
    if is_row {
        finish(output, &mixed, &most, &folds, row * heads + first_head, share, shares, plan);
    }
}

/// Adds the values of a tile's positions, weighted: a unit has a quarter of a head, and every so many positions.
#[cube]
fn mix(
    mixed: &mut Array<Vector<f32, Const<4>>>,
    weights: &Shared<[f32]>,
    values: &[Vector<f32, Const<4>>],
    first: u32,
    tile_slots: &Shared<[u32]>,
    count: u32,
    #[comptime] plan: Plan,
) {
    let slices = comptime!(UNITS / plan.quarters);
    let (quarter, slice) = (UNIT_POS % plan.quarters, UNIT_POS / plan.quarters);
    if slice < slices {
        for place in range_stepped(slice, count, slices) {
            let value = values[((first + tile_slots[place as usize]) * plan.quarters + quarter) as usize];
            #[unroll]
            for head in 0..comptime!(plan.group as usize) {
                mixed[head] += value * Vector::new(weights[comptime!(head * UNITS as usize) + place as usize]);
            }
        }
    }
}

/// The first `count` numbers of four.
#[cube]
fn write(output: &mut [f32], place: u32, numbers: Vector<f32, Const<4>>, count: u32) {
    #[unroll]
    for part in 0..4u32 {
        if part < count {
            output[(place + part) as usize] = numbers.extract(part as usize);
        }
    }
}

/// The queries of some heads, whose first is at a line of `[row and head, width]`, in quarters.
#[cube]
fn load_queries(query: &mut Shared<[Vector<f32, Const<4>>]>, queries: &[f32], line: u32, #[comptime] plan: Plan) {
    for index in range_stepped(UNIT_POS, comptime!(plan.group * plan.quarters), UNITS) {
        let (head, quarter) = (index / plan.quarters, index % plan.quarters);
        let mut numbers = Vector::<f32, Const<4>>::new(0.0f32);
        #[unroll]
        for part in 0..4u32 {
            let place = quarter * 4u32 + part;
            if place < plan.width {
                numbers.insert(part as usize, queries[((line + head) * plan.width + place) as usize]);
            }
        }
        query[index as usize] = numbers;
    }
}

/// The scores of a position for all heads.
#[cube]
fn score(
    scores: &mut Array<f32>,
    query: &Shared<[Vector<f32, Const<4>>]>,
    keys: &[Vector<f32, Const<4>>],
    first: u32,
    slots: u32,
    softcap: f32,
    #[comptime] plan: Plan,
) {
    let mut products = Array::<Vector<f32, Const<4>>>::new(comptime!(plan.group as usize));
    #[unroll]
    for head in 0..comptime!(plan.group as usize) {
        products[head] = Vector::new(0.0f32);
    }
    for quarter in 0..plan.quarters {
        let key = keys[(first + quarter * slots) as usize];
        #[unroll]
        for head in 0..comptime!(plan.group as usize) {
            products[head] += key * query[comptime!(head * plan.quarters as usize) + quarter as usize];
        }
    }
    #[unroll]
    for head in 0..comptime!(plan.group as usize) {
        let product = products[head];
        let mut score = product.extract(0usize) + product.extract(1usize);
        score += product.extract(2usize) + product.extract(3usize);
        if comptime!(plan.capped) {
            // Beyond 10 tanh is one, and some devices' has no number there.
            score = clamp(score / softcap, -10.0f32, 10.0f32).tanh() * softcap;
        }
        scores[head] = score;
    }
}

/// Brings the largest number of all units, or their sum, as far as [`folded`] takes it, for each head.
#[cube]
fn fold(
    numbers: &Array<f32>,
    shared: &mut Shared<[f32]>,
    folds: &mut Shared<[f32]>,
    #[comptime] takes_largest: bool,
    #[comptime] plan: Plan,
) {
    #[unroll]
    for head in 0..comptime!(plan.group as usize) {
        shared[comptime!(head * UNITS as usize) + UNIT_POS as usize] = numbers[head];
    }
    sync_cube();
    if UNIT_POS < comptime!(plan.group * FOLDS) {
        let begin = (UNIT_POS * comptime!(UNITS / FOLDS)) as usize;
        let mut number = shared[begin];
        #[unroll]
        for index in 1..comptime!((UNITS / FOLDS) as usize) {
            number = either(number, shared[begin + index], takes_largest);
        }
        folds[UNIT_POS as usize] = number;
    }
    sync_cube();
}

/// A head's largest number, or the sum.
#[cube]
fn folded(folds: &Shared<[f32]>, head: u32, #[comptime] takes_largest: bool) -> f32 {
    let begin = (head * FOLDS) as usize;
    let mut number = folds[begin];
    #[unroll]
    for index in 1..comptime!(FOLDS as usize) {
        number = either(number, folds[begin + index], takes_largest);
    }
    number
}

#[cube]
fn either(a: f32, b: f32, #[comptime] takes_largest: bool) -> f32 {
    if comptime!(takes_largest) { clamp_min(a, b) } else { a + b }
}

/// Writes what a cube found: its heads' mixtures, or its share of them.
#[cube]
fn finish(
    output: &mut [f32],
    mixed: &Array<Vector<f32, Const<4>>>,
    most: &Array<f32>,
    folds: &Shared<[f32]>,
    line: u32,
    share: u32,
    shares: u32,
    #[comptime] plan: Plan,
) {
    let slices = comptime!(UNITS / plan.quarters);
    let mut all_mixed = Shared::<[Vector<f32, Const<4>>]>::new_slice(comptime!((plan.group * UNITS) as usize));
    let mut all_most = Shared::<[f32]>::new_slice(comptime!(plan.group as usize));
    #[unroll]
    for head in 0..comptime!(plan.group as usize) {
        all_mixed[comptime!(head * UNITS as usize) + UNIT_POS as usize] = mixed[head];
        all_most[head] = most[head];
    }
    sync_cube();
    for index in range_stepped(UNIT_POS, comptime!(plan.group * plan.quarters), UNITS) {
        let (head, quarter) = (index / plan.quarters, index % plan.quarters);
        let place = (head * UNITS + quarter) as usize;
        let mut sum = all_mixed[place];
        #[unroll]
        for slice in 1..comptime!(slices as usize) {
            sum += all_mixed[place + comptime!(slice * plan.quarters as usize)];
        }
        let weight = folded(folds, head, false);
        if comptime!(plan.shares) {
            let begin = ((line + head) * shares + share) * comptime!(part_numbers(plan));
            write(output, begin + 4u32 * quarter, sum, 4u32);
            if quarter == 0u32 {
                output[(begin + comptime!(4 * plan.quarters)) as usize] = all_most[head as usize];
                output[(begin + comptime!(4 * plan.quarters + 1)) as usize] = weight;
            }
        } else {
            // A row that nobody reads saw nothing.
            let factor = select(weight > 0.0f32, 1.0f32 / weight, 0.0f32);
            let left = plan.width - 4u32 * quarter;
            write(output, (line + head) * plan.width + 4u32 * quarter, sum * Vector::new(factor), left);
        }
    }
}

/// What the shares of each row and head come to.
#[cube(launch)]
fn combine_kernel(parts: &[f32], output: &mut [f32], lines: u32, shares: u32, #[comptime] plan: Plan) {
    let line = CUBE_POS as u32;
    if line >= lines {
        terminate!();
    }
    let numbers = comptime!(part_numbers(plan));
    let begin = line * shares * numbers;
    let scores = begin + comptime!(4 * plan.quarters);
    let mut most = HIDDEN.runtime();
    for share in 0..shares {
        most = clamp_min(most, parts[(scores + share * numbers) as usize]);
    }
    for index in range_stepped(UNIT_POS, plan.width, UNITS) {
        let mut sum = 0.0f32;
        let mut weight = 0.0f32;
        for share in 0..shares {
            let shrink = (parts[(scores + share * numbers) as usize] - most).exp();
            sum += parts[(begin + share * numbers + index) as usize] * shrink;
            weight += parts[(scores + share * numbers + 1u32) as usize] * shrink;
        }
        // As where nothing is shared out.
        let factor = select(weight > 0.0f32, 1.0f32 / weight, 0.0f32);
        output[(line * plan.width + index) as usize] = sum * factor;
    }
}
