use super::*;
use crate::{Isa, blocks::BlockShape};
use proptest::{prelude::*, test_runner::TestRng};

/// No number, in half precision, with a payload.
const NO_NUMBER: [u8; 2] = 0xfe5au16.to_le_bytes();

/// Numbers around zero, the same for the same seed.
fn random(seed: u64, length: usize) -> Vec<f32> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut rng = TestRng::from_seed(prop::test_runner::RngAlgorithm::ChaCha, &bytes);
    (0..length).map(|_| rng.next_u32() as f32 / (1u32 << 30) as f32 - 2.0).collect()
}

fn heads(heads: usize, kv_heads: usize, width: usize) -> Heads {
    Heads { heads, kv_heads, width, scale: 1.0 / (width as f32).sqrt(), softcap: None, window: None }
}

/// A pool of which nothing was written: whoever reads that is not given a number.
fn pool(heads: &Heads, layers: usize, count: usize) -> Blocks {
    let shape = BlockShape { layers, kv_heads: heads.kv_heads, head_width: heads.width };
    let mut blocks = Blocks::new(shape, count).unwrap();
    let bytes = NO_NUMBER.repeat(blocks.bytes_each() / 2);
    (0..count as u32).for_each(|block| blocks.write(block, &bytes).unwrap());
    blocks
}

/// A text of so many tokens: what they are projected to.
#[derive(Clone)]
struct Text {
    heads: Heads,
    projected: Vec<f32>,
}

impl Text {
    fn new(heads: Heads, seed: u64, tokens: usize) -> Self {
        Self { heads, projected: random(seed, tokens * heads.projected_width()) }
    }

    fn tokens(&self) -> usize {
        self.projected.len() / self.heads.projected_width()
    }

    fn rows(&self, rows: Range<usize>) -> &[f32] {
        let width = self.heads.projected_width();
        &self.projected[rows.start * width..rows.end * width]
    }

    /// All at once, in a pool of its own, by one thread with plain instructions.
    fn at_once(&self) -> Vec<f32> {
        let count = self.tokens().div_ceil(BLOCK_TOKENS);
        let table: Vec<u32> = (0..count as u32).collect();
        let team = Team::new(1, Isa::Plain).unwrap();
        self.by_cuts(&team, &mut pool(&self.heads, 1, count), 0, &table, &[])
    }

    /// A step up to each cut.
    fn by_cuts(&self, team: &Team, blocks: &mut Blocks, layer: usize, table: &[u32], cuts: &[usize]) -> Vec<f32> {
        let mut all = Vec::new();
        let mut known = 0;
        for cut in cuts.iter().copied().chain([self.tokens()]) {
            let count = cut - known;
            let mut out = vec![f32::NAN; count * self.heads.mixed_width()];
            let sequence = Sequence { table, known, rows: 0..count };
            attend(team, blocks, layer, &self.heads, self.rows(known..cut), &[sequence], &mut out);
            all.extend(out);
            known = cut;
        }
        all
    }

    /// A row of one head in double precision, with keys and values of half precision.
    fn exact(&self, row: usize, head: usize) -> Vec<f64> {
        let Heads { heads, kv_heads, width, scale, softcap, window } = self.heads;
        let kv_head = head / (heads / kv_heads);
        let of = |row: usize, head: usize| &self.rows(row..row + 1)[head * width..][..width];
        let half = |number: &f32| {
            // To 11 digits, the even one of two that are equally near.
            let exponent = f64::from(number.abs()).max(2f64.powi(-14)).log2().floor() as i32;
            let unit = 2f64.powi(exponent - 10);
            (f64::from(*number) / unit).round_ties_even() * unit
        };
        let first = window.map_or(0, |window| (row + 1).saturating_sub(window));
        let score = |at: usize| {
            let pairs = of(row, head).iter().zip(of(at, heads + kv_head));
            let score = pairs.map(|(query, key)| f64::from(*query) * half(key)).sum::<f64>() * f64::from(scale);
            softcap.map_or(score, |cap| f64::from(cap) * (score / f64::from(cap)).tanh())
        };
        let scores: Vec<f64> = (first..=row).map(score).collect();
        let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = scores.iter().map(|score| (score - top).exp()).collect();
        let sum: f64 = weights.iter().sum();
        let mix = |index: usize| {
            let values = (first..=row).map(|at| half(&of(at, heads + kv_heads + kv_head)[index]));
            values.zip(&weights).map(|(value, weight)| value * weight).sum::<f64>() / sum
        };
        (0..width).map(mix).collect()
    }
}

fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|number| number.to_bits()).collect()
}

/// What all rows are given is right, where it is looked at; and the same on each instruction set.
fn check(heads: Heads, tokens: usize) {
    let text = Text::new(heads, tokens as u64, tokens);
    let count = tokens.div_ceil(BLOCK_TOKENS);
    let table: Vec<u32> = (0..count as u32).rev().collect();
    let each = Isa::all_here().map(|isa| {
        let team = Team::new(2, isa).unwrap();
        text.by_cuts(&team, &mut pool(&heads, 2, count), 1, &table, &[])
    });
    let found = each
        .reduce(|first, next| {
            assert_eq!(bits(&first), bits(&next), "{heads:?} {tokens}");
            first
        })
        .unwrap();
    // Rows around the begin of blocks and stretches, and the last.
    for row in [0, 1, 15, 16, 17, 63, 64, 200, tokens - 1].into_iter().filter(|row| *row < tokens) {
        for head in [0, heads.heads / 2, heads.heads - 1] {
            let found = &found[row * heads.mixed_width() + head * heads.width..][..heads.width];
            let exact = text.exact(row, head);
            let most = exact.iter().fold(0.0, |most: f64, number| most.max(number.abs()));
            for (found, exact) in found.iter().zip(exact) {
                let off = (f64::from(*found) - exact).abs();
                assert!(off <= 1e-5 * most, "{found} is {exact}, row {row} of {tokens}, head {head} of {heads:?}");
            }
        }
    }
}

#[test]
fn it_is_what_the_papers_say() {
    for width in [32, 64, 80, 128, 256] {
        check(heads(3, 1, width), 150);
    }
    for group in 1..=8 {
        check(heads(2 * group, 2, 32), 90);
    }
    // No multiple of 16; more heads than a tile has rows.
    check(heads(2, 2, 20), 40);
    check(heads(31, 1, 32), 40);
    for tokens in [1, 2, 16, 17, 63, 64, 65, 128, 300, 700] {
        check(heads(3, 1, 32), tokens);
    }
    for window in [1, 2, 16, 37, 64, 100, 1000] {
        check(Heads { window: Some(window), ..heads(4, 2, 32) }, 300);
    }
    check(Heads { softcap: Some(2.0), ..heads(4, 2, 64) }, 300);
    check(Heads { softcap: Some(50.0), window: Some(70), ..heads(4, 2, 64) }, 300);
}

#[test]
fn scores_far_apart() {
    // So that weights of most tokens are zero, and the highest score rises again and again.
    check(Heads { scale: 1.0, ..heads(2, 1, 16) }, 300);
    check(Heads { scale: 1.0, softcap: Some(30.0), ..heads(2, 1, 16) }, 300);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However the tokens of a text come, wherever they are, whoever computes: the same bits.
    #[test]
    fn cuts_tables_and_threads_change_nothing(
        tokens in 1usize..400,
        cuts in proptest::collection::vec(0usize..400, 0..8),
        (group, window) in (1usize..5, proptest::option::of(1usize..200)),
        softcap in proptest::option::of(Just(3.0f32)),
        table in Just((0..40u32).collect::<Vec<_>>()).prop_shuffle(),
        threads in 1usize..=3,
    ) {
        let text = Text::new(Heads { window, softcap, ..heads(2 * group, 2, 32) }, 11, tokens);
        let mut cuts: Vec<_> = cuts.into_iter().filter(|cut| *cut <= tokens).collect();
        cuts.sort_unstable();
        let expected = text.at_once();
        for isa in Isa::all_here() {
            let team = Team::new(threads, isa).unwrap();
            let found = text.by_cuts(&team, &mut pool(&text.heads, 1, 40), 0, &table, &cuts);
            prop_assert!(bits(&found) == bits(&expected), "{isa:?}");
        }
    }

    /// Several texts in the same steps, each at its own pace.
    #[test]
    fn batches_change_nothing(paces in proptest::collection::vec((1usize..120, 1usize..50), 1..6), threads in 1usize..=3) {
        let shape = heads(6, 2, 32);
        let texts: Vec<_> =
            paces.iter().enumerate().map(|(index, pace)| Text::new(shape, index as u64, pace.0)).collect();
        // Blocks of all texts in turn.
        let tables: Vec<Vec<u32>> =
            (0..texts.len()).map(|index| (0..8).map(|block| (block * texts.len() + index) as u32).collect()).collect();
        let team = Team::new(threads, Isa::best()).unwrap();
        let mut blocks = pool(&shape, 1, 8 * texts.len());
        let mut found = vec![Vec::new(); texts.len()];
        let mut known = vec![0; texts.len()];
        while texts.iter().zip(&known).any(|(text, known)| text.tokens() > *known) {
            let (mut projected, mut sequences) = (Vec::new(), Vec::new());
            let mut end = 0;
            for (index, text) in texts.iter().enumerate() {
                let next = text.tokens().min(known[index] + paces[index].1);
                projected.extend_from_slice(text.rows(known[index]..next));
                let rows = end..end + next - known[index];
                end = rows.end;
                sequences.push(Sequence { table: &tables[index], known: known[index], rows });
            }
            let mut out = vec![f32::NAN; end * shape.mixed_width()];
            attend(&team, &mut blocks, 0, &shape, &projected, &sequences, &mut out);
            for (index, sequence) in sequences.iter().enumerate() {
                known[index] += sequence.rows.len();
                found[index].extend_from_slice(
                    &out[sequence.rows.start * shape.mixed_width()..sequence.rows.end * shape.mixed_width()],
                );
            }
        }
        for (text, found) in texts.iter().zip(found) {
            prop_assert!(bits(&found) == bits(&text.at_once()));
        }
    }
}

/// Longer than partitions: a few tiles by several threads are split, and nothing else is different.
#[test]
fn partitions_change_nothing() {
    let tokens = 2 * PARTITION_TOKENS + 100;
    for window in [None, Some(PARTITION_TOKENS + 70)] {
        let text = Text::new(Heads { window, ..heads(2, 1, 32) }, 5, tokens);
        let count = tokens.div_ceil(BLOCK_TOKENS);
        let table: Vec<u32> = (0..count as u32).collect();
        let best = Isa::best();
        let alone = Team::new(1, best).unwrap();
        let expected = text.by_cuts(&alone, &mut pool(&text.heads, 1, count), 0, &table, &[]);
        // The last rows come by one, and by some.
        let cuts = [1000, PARTITION_TOKENS, tokens - 40, tokens - 20, tokens - 2, tokens - 1];
        for threads in [1, 2, 3] {
            let team = Team::new(threads, best).unwrap();
            let found = text.by_cuts(&team, &mut pool(&text.heads, 1, count), 0, &table, &cuts);
            assert!(bits(&found) == bits(&expected), "{window:?} {threads}");
        }
        for row in [PARTITION_TOKENS - 1, PARTITION_TOKENS, tokens - 1] {
            for (found, exact) in expected[row * 64..][..32].iter().zip(text.exact(row, 0)) {
                assert!((f64::from(*found) - exact).abs() <= 1e-5, "{found} is {exact}");
            }
        }
    }
}

/// A text goes on in blocks that another began, in a copy of the last of them, and in what was read and written back.
#[test]
fn common_copied_and_swapped_blocks_change_nothing() {
    let shape = heads(6, 2, 64);
    let text = Text::new(shape, 21, 100);
    let mut other = text.clone();
    // The same up to token 56, in the middle of the fourth block.
    let common = 56 * shape.projected_width();
    let rest = other.projected.len() - common;
    other.projected[common..].copy_from_slice(&random(22, rest));
    let team = Team::new(2, Isa::best()).unwrap();
    let mut blocks = pool(&shape, 2, 20);
    let mixed = shape.mixed_width();
    let first: Vec<u32> = (0..7).collect();
    let mut out = vec![f32::NAN; 56 * mixed];
    attend(
        &team,
        &mut blocks,
        1,
        &shape,
        text.rows(0..56),
        &[Sequence { table: &first, known: 0, rows: 0..56 }],
        &mut out,
    );
    blocks.copy(3, 10);
    let second = [0, 1, 2, 10, 11, 12, 13];
    let step = |blocks: &mut Blocks, tables: [&[u32]; 2], known: usize, next: usize| {
        let count = next - known;
        let projected = [text.rows(known..next), other.rows(known..next)].concat();
        let sequences = [
            Sequence { table: tables[0], known, rows: 0..count },
            Sequence { table: tables[1], known, rows: count..2 * count },
        ];
        let mut out = vec![f32::NAN; 2 * count * mixed];
        attend(&team, blocks, 1, &shape, &projected, &sequences, &mut out);
        for (text, out) in [&text, &other].into_iter().zip(out.chunks_exact(count * mixed)) {
            assert!(bits(out) == bits(&text.at_once()[known * mixed..next * mixed]), "{known} to {next}");
        }
    };
    step(&mut blocks, [&first, &second], 56, 70);
    let mut bytes = Vec::new();
    for (from, to) in [(2, 17), (10, 16), (11, 19)] {
        blocks.read(from, &mut bytes);
        blocks.write(to, &bytes).unwrap();
        blocks.write(from, &NO_NUMBER.repeat(bytes.len() / 2)).unwrap();
    }
    step(&mut blocks, [&[0, 1, 17, 3, 4, 5, 6], &[0, 1, 17, 16, 19, 12, 13]], 70, 100);
}

#[test]
fn what_a_row_does_not_see_does_not_matter() {
    // The rows after it have no numbers, as keys and as values; slots that were not written have none in every test.
    let shape = heads(4, 2, 32);
    let text = Text::new(shape, 31, 100);
    let mut spoilt = text.clone();
    spoilt.projected[50 * shape.projected_width()..].fill(f32::INFINITY);
    let (found, expected) = (spoilt.at_once(), text.at_once());
    let seen = 50 * shape.mixed_width();
    assert_eq!(bits(&found[..seen]), bits(&expected[..seen]));
    assert!(found[seen..].iter().all(|number| number.is_nan()));
    // A window leaves the first out.
    let shape = Heads { window: Some(20), ..shape };
    let mut spoilt = Text { heads: shape, ..text.clone() };
    let expected = spoilt.at_once();
    spoilt.projected[..30 * shape.projected_width()].fill(f32::NAN);
    let (found, seen) = (spoilt.at_once(), 49 * shape.mixed_width());
    assert_eq!(bits(&found[seen..]), bits(&expected[seen..]));
}

#[test]
fn nothing_to_do_and_rows_of_nobody() {
    let shape = heads(2, 1, 16);
    let team = Team::new(2, Isa::best()).unwrap();
    let mut blocks = pool(&shape, 1, 2);
    attend(&team, &mut blocks, 0, &shape, &[], &[], &mut []);
    let text = Text::new(shape, 41, 5);
    let mut out = vec![7.0; 5 * shape.mixed_width()];
    attend(&team, &mut blocks, 0, &shape, &text.projected, &[], &mut out);
    let nobody = Sequence { table: &[], known: 0, rows: 2..2 };
    let one = Sequence { table: &[1], known: 0, rows: 3..4 };
    attend(&team, &mut blocks, 0, &shape, &text.projected, &[nobody, one], &mut out);
    let expected = Text { heads: shape, projected: text.rows(3..4).to_vec() }.at_once();
    assert_eq!(out, [vec![7.0; 96], expected, vec![7.0; 32]].concat());
}

#[test]
fn what_does_not_fit_panics() {
    let good = heads(2, 1, 16);
    let one = |table, known, rows| vec![Sequence { table, known, rows }];
    let two = |table, other| vec![Sequence { table, known: 0, rows: 0..2 }, other];
    let third = |rows| Sequence { table: &[1, 0], known: 15, rows };
    let fits = || one(&[0], 0, 0..3);
    type Case<'a> = (&'a str, Heads, usize, Vec<Sequence<'a>>, [usize; 2]);
    #[rustfmt::skip]
    let cases: [Case<'_>; 14] = [
        ("layer 2 of 2", good, 2, fits(), [192, 96]),
        ("1 key heads of 8 numbers for blocks that have 1 of 16", heads(2, 1, 8), 0, fits(), [192, 96]),
        ("2 key heads of 16 numbers", heads(2, 2, 16), 0, fits(), [192, 96]),
        ("1 key heads do not divide 0 heads", heads(0, 1, 16), 0, fits(), [192, 96]),
        ("a window of no position", Heads { window: Some(0), ..good }, 0, fits(), [192, 96]),
        ("not whole rows", good, 0, fits(), [191, 96]),
        ("room for other than 3 rows", good, 0, fits(), [192, 95]),
        ("rows up to 4 of 3", good, 0, one(&[0], 0, 0..4), [192, 96]),
        ("rows 1..3 after those before 2", good, 0, two(&[0], third(1..3)), [192, 96]),
        ("1 blocks for 14 tokens and 3 more", good, 0, one(&[0], 14, 0..3), [192, 96]),
        ("1 blocks for 18446744073709551615 tokens", good, 0, one(&[0], usize::MAX, 0..3), [192, 96]),
        ("block 3 of 3", good, 0, one(&[3], 0, 0..3), [192, 96]),
        ("block 4294967295 of 3", good, 0, one(&[u32::MAX, 1], 16, 0..3), [192, 96]),
        ("block 0 is written to twice", good, 0, two(&[0], Sequence { table: &[0], known: 3, rows: 2..3 }), [192, 96]),
    ];
    for threads in [1, 2] {
        let team = Team::new(threads, Isa::best()).unwrap();
        for (text, heads, layer, sequences, [projected, out]) in &cases {
            let mut blocks = pool(&good, 2, 3);
            let (projected, mut out) = (vec![0.0; *projected], vec![0.0; *out]);
            let act = || attend(&team, &mut blocks, *layer, heads, &projected, sequences, &mut out);
            let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)).unwrap_err();
            let found = panic.downcast_ref::<String>().cloned();
            let found = found.or(panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap();
            assert!(found.contains(text), "{found} instead of {text}");
        }
    }
}
