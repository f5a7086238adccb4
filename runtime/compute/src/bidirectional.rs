//! Attention of every row of a text to every other, before and after it: what encoders do. Nothing is kept from step to step.
//!
//! A task is a head of a text. Its keys are laid out with [`LANES`] tokens side by side, so that a vector is a score of each; values
//! as they are, so that a vector is some numbers of the mixture. A score is a chain of additions in the order of the head's numbers; a
//! number of the mixture is one in the order of the positions. So what a row is given depends on its own text alone.
//!
//! Sources: Vaswani et al. 2017, "Attention Is All You Need"; Devlin et al. 2019, "BERT".

use crate::{
    Team,
    functions::exp2,
    lanes::{self, Lanes, Work},
    parts::Parts,
    sixteen::{LANES, Sixteen},
};
use std::{cell::RefCell, cmp::Reverse, f32::consts::LOG2_E, ops::Range};

/// Rows that go through keys and values together: their sums, and what they meet, fit into 16 registers of AVX2.
const ROWS: usize = 4;

/// The heads of a layer's attention: as many of keys and of values as of queries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heads {
    /// How many.
    pub heads: usize,
    /// Numbers of one.
    pub width: usize,
    /// What a score is multiplied with.
    pub scale: f32,
}

/// Mixes values for each row of each text, by all rows of it.
///
/// - `projected` is `[rows][3 · heads · width]`: queries, keys and values.
/// - `out` is `[rows][heads · width]`. Rows of no text are left as they are.
///
/// # Panics
/// For shapes that do not fit together, for texts that are not behind each other, and for rows that there are not.
pub fn attend(team: &Team, heads: &Heads, projected: &[f32], texts: &[Range<usize>], out: &mut [f32]) {
    let mixed = heads.heads * heads.width;
    let rows = out.len().checked_div(mixed).unwrap_or(0);
    assert!(rows * mixed == out.len() && 3 * out.len() == projected.len(), "rows of {heads:?}");
    let mut end = 0;
    for text in texts {
        assert!(end <= text.start && text.start <= text.end && text.end <= rows, "a text of {text:?} in {rows} rows");
        end = text.end;
    }
    let mut tasks: Vec<_> = texts.iter().flat_map(|text| (0..heads.heads).map(move |head| (text, head))).collect();
    // Those with most to do first, so that none is left over for one thread at the end.
    tasks.sort_by_key(|(text, _)| Reverse(text.len()));
    let out = Parts::new(out);
    team.each(tasks.len(), |index| {
        let (text, head) = &tasks[index];
        AT_HAND.with_borrow_mut(|scratch| {
            lanes::run(team.isa(), Mix { heads, head: *head, projected, text, scratch, out: &out });
        });
    });
}

/// What a thread has at hand: allocating it for each task would take as long as a short text.
#[derive(Default)]
struct Scratch {
    /// `[tokens / LANES][width]`, each of [`LANES`] tokens; behind the last one zeros.
    keys: Vec<Sixteen>,
    /// `[token][columns]`, behind a head's numbers zeros.
    values: Vec<Sixteen>,
    /// `[ROWS][tokens / LANES]`: scores, then weights.
    scores: Vec<Sixteen>,
}

thread_local! {
    static AT_HAND: RefCell<Scratch> = RefCell::default();
}

struct Mix<'a> {
    heads: &'a Heads,
    head: usize,
    projected: &'a [f32],
    text: &'a Range<usize>,
    scratch: &'a mut Scratch,
    out: &'a Parts<'a, f32>,
}

impl Work for Mix<'_> {
    #[inline(always)]
    fn run<L: Lanes>(mut self, _lanes: L) {
        self.gather();
        let whole = self.text.len() / ROWS * ROWS;
        for row in (0..whole).step_by(ROWS) {
            self.rows::<ROWS>(row);
        }
        for row in whole..self.text.len() {
            self.rows::<1>(row);
        }
    }
}

impl Mix<'_> {
    /// A row's query, key or value, which are numbered so.
    #[inline(always)]
    fn part(&self, row: usize, part: usize) -> &[f32] {
        let Heads { heads, width, .. } = *self.heads;
        &self.projected[(((self.text.start + row) * 3 + part) * heads + self.head) * width..][..width]
    }

    #[inline(always)]
    fn gather(&mut self) {
        let (tokens, width) = (self.text.len(), self.heads.width);
        let columns = width.div_ceil(LANES);
        let mut scratch = std::mem::take(self.scratch);
        scratch.keys.clear();
        scratch.keys.resize(tokens.div_ceil(LANES) * width, Sixteen::ZERO);
        scratch.values.clear();
        scratch.values.resize(tokens * columns, Sixteen::ZERO);
        scratch.scores.resize(ROWS * tokens.div_ceil(LANES), Sixteen::ZERO);
        for token in 0..tokens {
            let keys = &mut scratch.keys[token / LANES * width..][..width];
            keys.iter_mut().zip(self.part(token, 1)).for_each(|(lanes, number)| lanes.0[token % LANES] = *number);
            let values = &mut scratch.values[token * columns..][..columns];
            for (lanes, numbers) in values.iter_mut().zip(self.part(token, 2).chunks(LANES)) {
                lanes.0[..numbers.len()].copy_from_slice(numbers);
            }
        }
        *self.scratch = scratch;
    }

    /// `R` rows of the text, from the first on.
    #[inline(always)]
    fn rows<const R: usize>(&mut self, first: usize) {
        let blocks = self.text.len().div_ceil(LANES);
        let mut scratch = std::mem::take(self.scratch);
        self.score::<R>(first, &scratch.keys, &mut scratch.scores);
        let mut sums = [0.0; R];
        for (row, sum) in sums.iter_mut().enumerate() {
            *sum = soften(&mut scratch.scores[row * blocks..][..blocks], self.text.len());
        }
        self.mix::<R>(first, &scratch.values, &scratch.scores, sums);
        *self.scratch = scratch;
    }

    #[inline(always)]
    fn score<const R: usize>(&self, first: usize, keys: &[Sixteen], scores: &mut [Sixteen]) {
        let (blocks, width) = (self.text.len().div_ceil(LANES), self.heads.width);
        let mut queries = [[].as_slice(); R];
        for (row, query) in queries.iter_mut().enumerate() {
            *query = &self.part(first + row, 0)[..width];
        }
        for block in 0..blocks {
            let mut sums = [Sixteen::ZERO; R];
            for (index, key) in keys[block * width..][..width].iter().enumerate() {
                for row in 0..R {
                    sums[row].add_product(queries[row][index], key);
                }
            }
            for (row, mut sums) in sums.into_iter().enumerate() {
                // Weights are powers of two.
                sums.scale(self.heads.scale * LOG2_E);
                scores[row * blocks + block] = sums;
            }
        }
    }

    #[inline(always)]
    fn mix<const R: usize>(&self, first: usize, values: &[Sixteen], weights: &[Sixteen], sums: [f32; R]) {
        let (tokens, Heads { heads, width, .. }) = (self.text.len(), *self.heads);
        let (blocks, columns) = (tokens.div_ceil(LANES), width.div_ceil(LANES));
        for column in 0..columns {
            let mut mixtures = [Sixteen::ZERO; R];
            for token in 0..tokens {
                let value = &values[token * columns + column];
                for row in 0..R {
                    mixtures[row].add_product(weights[row * blocks + token / LANES].0[token % LANES], value);
                }
            }
            for (row, mixture) in mixtures.iter().enumerate() {
                let begin = ((self.text.start + first + row) * heads + self.head) * width;
                let range = begin + column * LANES..begin + width.min((column + 1) * LANES);
                #[allow(unsafe_code, reason = "each task has its own head of its own rows")]
                // SAFETY: texts have no rows in common, and each head of a text is one task.
                let out = unsafe { self.out.part(range) };
                out.iter_mut().zip(mixture.0).for_each(|(out, number)| *out = number / sums[row]);
            }
        }
    }
}

/// A row's scores for so many tokens to weights; their sum.
#[inline(always)]
fn soften(scores: &mut [Sixteen], tokens: usize) -> f32 {
    if let Some(last) = scores.last_mut() {
        let filled = (tokens - 1) % LANES + 1;
        last.0[filled..].fill(f32::NEG_INFINITY);
    }
    let mut top = Sixteen([f32::NEG_INFINITY; LANES]);
    scores.iter().for_each(|scores| top.rise_to(scores));
    let top = top.0.iter().fold(f32::NEG_INFINITY, |top, score| if *score > top { *score } else { top });
    let mut sum = Sixteen::ZERO;
    for scores in scores {
        for score in &mut scores.0 {
            *score = exp2(*score - top);
        }
        sum.add(scores);
    }
    sum.sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;
    use proptest::prelude::*;

    /// In double precision.
    fn plain(heads: &Heads, projected: &[f32]) -> Vec<f64> {
        let Heads { heads, width, scale } = *heads;
        let rows = projected.len() / (3 * heads * width);
        let part = |row: usize, part: usize, head: usize| {
            projected[((row * 3 + part) * heads + head) * width..][..width].iter().map(|number| f64::from(*number))
        };
        let mut out = Vec::new();
        for (row, head) in (0..rows).flat_map(|row| (0..heads).map(move |head| (row, head))) {
            let score = |other| part(row, 0, head).zip(part(other, 1, head)).map(|(a, b)| a * b).sum::<f64>();
            let weights: Vec<f64> = (0..rows).map(|other| (score(other) * f64::from(scale)).exp()).collect();
            let sum: f64 = weights.iter().sum();
            out.extend((0..width).map(|number| {
                let values = (0..rows).map(|other| part(other, 2, head).nth(number).unwrap_or_default());
                values.zip(&weights).map(|(value, weight)| value * weight / sum).sum::<f64>()
            }));
        }
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// As in double precision; and the same bits on every instruction set, on any number of threads, alone and beside others.
        #[test]
        fn each_text_is_mixed_alone(
            lengths in prop::collection::vec(0_usize..40, 1..4),
            (count, width) in (1_usize..4, 1_usize..36),
            numbers in prop::collection::vec(-2.0_f32..2.0, 64),
        ) {
            let heads = Heads { heads: count, width, scale: 0.7 };
            let rows: usize = lengths.iter().sum();
            let mixed = count * width;
            let projected: Vec<f32> = (0..3 * rows * mixed).map(|index| numbers[index * 31 % 61]).collect();
            let mut end = 0;
            let texts: Vec<_> = lengths.iter().map(|length| { end += length; end - length..end }).collect();
            let together = |isa: Isa, threads: usize| {
                let mut out = vec![f32::NAN; rows * mixed];
                attend(&Team::new(threads, isa).unwrap(), &heads, &projected, &texts, &mut out);
                out
            };
            let first = together(Isa::Plain, 1);
            for isa in Isa::all_here() {
                prop_assert_eq!(&together(isa, 3), &first);
            }
            for text in &texts {
                let own = &projected[3 * mixed * text.start..3 * mixed * text.end];
                let mut alone = vec![f32::NAN; text.len() * mixed];
                attend(&Team::alone(Isa::best()), &heads, own, std::slice::from_ref(&(0..text.len())), &mut alone);
                prop_assert_eq!(&alone, &first[mixed * text.start..mixed * text.end]);
                for (found, expected) in alone.iter().zip(plain(&heads, own)) {
                    prop_assert!((f64::from(*found) - expected).abs() < 1e-5, "{} and {}", found, expected);
                }
            }
        }
    }
}
