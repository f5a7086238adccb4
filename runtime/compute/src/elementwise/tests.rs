use super::*;
use crate::Isa;
use proptest::{prelude::*, test_runner::TestRng};

/// Numbers around zero, the same for the same seed.
fn random(seed: u64, length: usize) -> Vec<f32> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut rng = TestRng::from_seed(prop::test_runner::RngAlgorithm::ChaCha, &bytes);
    (0..length).map(|_| rng.next_u32() as f32 / (1u32 << 30) as f32 - 2.0).collect()
}

/// What `act` makes of `rows`, in double precision by `expect`; the same bits on each instruction set, with any threads, and
/// for each row alone.
fn check(width: usize, act: impl Fn(&Team, Range<usize>) -> Vec<f32>, expect: impl Fn(usize) -> Vec<f64>) {
    let few = 3;
    // So many that threads share them.
    let many = (2 * SHARED_NUMBERS_MIN).div_ceil(width).max(few);
    let bits = |numbers: &[f32]| numbers.iter().map(|number| number.to_bits()).collect::<Vec<_>>();
    let plain = Team::new(1, Isa::Plain).unwrap();
    let all = act(&plain, 0..many);
    assert_eq!(all.len(), many * width);
    for row in (0..few).chain([many - 1]) {
        let found = &all[row * width..][..width];
        for (found, expected) in found.iter().zip(expect(row)) {
            let off = (f64::from(*found) - expected).abs();
            assert!(off <= 2e-6 * expected.abs() + 1e-30, "{found}, which is {expected}");
        }
        for isa in Isa::all_here() {
            let team = Team::new(1, isa).unwrap();
            assert_eq!(bits(&act(&team, row..row + 1)), bits(found), "{isa:?} row {row}");
        }
    }
    for isa in Isa::all_here() {
        for threads in 1..=3 {
            let team = Team::new(threads, isa).unwrap();
            assert_eq!(bits(&act(&team, 0..many)), bits(&all), "{isa:?} {threads}");
        }
    }
}

fn rows(numbers: &[f32], width: usize, rows: Range<usize>) -> Vec<f32> {
    rows.flat_map(|row| (0..width).map(move |index| (row, index)))
        .map(|(row, index)| numbers[(row * width + index) % numbers.len()])
        .collect()
}

fn doubles(numbers: &[f32]) -> Vec<f64> {
    numbers.iter().map(|number| f64::from(*number)).collect()
}

fn normed(numbers: &[f64], weight: &[f32], epsilon: f32) -> Vec<f64> {
    let mean = numbers.iter().map(|number| number * number).sum::<f64>() / numbers.len() as f64;
    let factor = 1.0 / (mean + f64::from(epsilon)).sqrt();
    numbers.iter().zip(weight).map(|(number, weight)| number * factor * f64::from(*weight)).collect()
}

#[test]
fn norms() {
    for width in [1, 7, 16, 64, 100, 576] {
        let (input, weight) = (random(1, 9973), random(2, width));
        let act = |team: &Team, of: Range<usize>| {
            let input = rows(&input, width, of);
            let mut out = vec![f32::NAN; input.len()];
            rms_norm(team, &input, &weight, 1e-5, &mut out);
            out
        };
        check(width, act, |row| normed(&doubles(&rows(&input, width, row..row + 1)), &weight, 1e-5));
    }
}

#[test]
fn sums_scales_and_caps() {
    let (one, other) = (random(3, 9973), random(4, 7919));
    let width = 48;
    let of = |numbers: &[f32], row: usize| doubles(&rows(numbers, width, row..row + 1));
    type Act<'a> = &'a dyn Fn(&Team, &mut [f32], &[f32]);
    let act = |act: Act<'_>, team: &Team, range: Range<usize>| {
        let mut numbers = rows(&one, width, range.clone());
        act(team, &mut numbers, &rows(&other, width, range));
        numbers
    };
    let sum = |team: &Team, range: Range<usize>| act(&|team, one, other| add(team, one, other), team, range);
    let sums = |row: usize| {
        of(&one, row).iter().zip(of(&other, row)).map(|(one, other)| f64::from((one + other) as f32)).collect()
    };
    check(width, sum, sums);
    let scaled = |team: &Team, range: Range<usize>| act(&|team, one, _| scale(team, one, 8.5), team, range);
    check(width, scaled, |row| of(&one, row).iter().map(|number| number * 8.5).collect());
    let capped = |team: &Team, range: Range<usize>| act(&|team, one, _| softcap(team, one, 1.5), team, range);
    check(width, capped, |row| of(&one, row).iter().map(|number| 1.5 * (number / 1.5).tanh()).collect());
}

#[test]
fn norms_of_heads() {
    let heads = Heads { heads: 6, kv_heads: 2, width: 20, scale: 1.0, softcap: None, window: None };
    let (input, query, key) = (random(5, 9973), random(6, 20), random(7, 20));
    let norms = HeadNorms { query: &query, key: &key, epsilon: 1e-6 };
    let act = |team: &Team, of: Range<usize>| {
        let mut numbers = rows(&input, heads.projected_width(), of);
        norm_heads(team, &heads, &norms, &mut numbers);
        numbers
    };
    check(heads.projected_width(), act, |row| {
        let numbers = doubles(&rows(&input, heads.projected_width(), row..row + 1));
        let each = numbers.chunks_exact(heads.width).enumerate();
        each.flat_map(|(index, head)| match index {
            0..6 => normed(head, &query, 1e-6),
            6..8 => normed(head, &key, 1e-6),
            _ => head.to_vec(),
        })
        .collect()
    });
}

#[test]
fn turns() {
    let heads = Heads { heads: 4, kv_heads: 2, width: 24, scale: 1.0, softcap: None, window: None };
    let width = heads.projected_width();
    let input = random(8, 9973);
    for (pairs, each) in [(Pairs::Neighbours, 12), (Pairs::Halves, 12), (Pairs::Neighbours, 5), (Pairs::Halves, 5)] {
        let angle = |row: usize, pair: usize| (row as f32 * 0.7 + pair as f32).sin_cos();
        let act = |team: &Team, of: Range<usize>| {
            let turns: Vec<_> = of.clone().flat_map(|row| (0..each).map(move |pair| angle(row, pair))).collect();
            let mut numbers = rows(&input, width, of);
            turn(team, &heads, &turns, pairs, &mut numbers);
            numbers
        };
        // To the last bit: sums of two products have no other order.
        let expect = |row: usize| {
            let mut numbers = rows(&input, width, row..row + 1);
            for head in numbers.chunks_exact_mut(heads.width).take(6) {
                for pair in 0..each {
                    let (first, second) = match pairs {
                        Pairs::Neighbours => (2 * pair, 2 * pair + 1),
                        Pairs::Halves => (pair, pair + each),
                    };
                    let ((sin, cos), a, b) = (angle(row, pair), head[first], head[second]);
                    (head[first], head[second]) = (a * cos - b * sin, a * sin + b * cos);
                }
            }
            doubles(&numbers)
        };
        check(width, act, expect);
    }
}

#[test]
fn gates() {
    let both: Vec<f32> = random(9, 9973).iter().map(|number| number * 2.5).collect();
    let inner = 40;
    let silu = |x: f64| x / (1.0 + (-x).exp());
    let gelu = |x: f64| {
        let inside = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
        x / (1.0 + (-2.0 * inside).exp())
    };
    for (activation, of) in [(Activation::Silu, &silu as &dyn Fn(f64) -> f64), (Activation::GeluTanh, &gelu)] {
        let act = |team: &Team, range: Range<usize>| {
            let both = rows(&both, 2 * inner, range);
            let mut out = vec![f32::NAN; both.len() / 2];
            gate(team, &both, inner, activation, &mut out);
            out
        };
        check(inner, act, |row| {
            let both = doubles(&rows(&both, 2 * inner, row..row + 1));
            both[..inner].iter().zip(&both[inner..]).map(|(gate, up)| of(*gate) * up).collect()
        });
    }
}

#[test]
fn gates_at_the_edges() {
    let team = Team::new(1, Isa::best()).unwrap();
    for activation in [Activation::Silu, Activation::GeluTanh] {
        let open = |x: f32| {
            let mut out = [f32::NAN];
            gate(&team, &[x, 1.0], 1, activation, &mut out);
            out[0]
        };
        assert_eq!([open(0.0), open(-1e4), open(1e4), open(f32::INFINITY)], [0.0, 0.0, 1e4, f32::INFINITY]);
        assert!(open(f32::NAN).is_nan());
    }
}

#[test]
fn lengths_that_do_not_fit_panic() {
    let team = Team::new(1, Isa::Plain).unwrap();
    let heads = Heads { heads: 1, kv_heads: 1, width: 4, scale: 1.0, softcap: None, window: None };
    let (four, five) = (&[0.0; 4], &[0.0; 5]);
    let norms = HeadNorms { query: four, key: five, epsilon: 1e-6 };
    type Act<'a> = &'a dyn Fn(&mut [f32]);
    let acts: [(&str, Act<'_>); 7] = [
        ("norms of 4 numbers into 12", &|out| rms_norm(&team, four, four, 1e-6, out)),
        ("12 numbers in rows of 5", &|out| rms_norm(&team, &[0.0; 12], five, 1e-6, out)),
        ("12 sums and 4 numbers", &|out| add(&team, out, four)),
        ("norms of 4 and 5 numbers for heads of 4", &|out| norm_heads(&team, &heads, &norms, out)),
        ("turns of 3 pairs of a head's 4 numbers", &|out| turn(&team, &heads, &[(0.0, 1.0); 3], Pairs::Halves, out)),
        ("gates of 5 numbers into 12", &|out| gate(&team, five, 2, Activation::Silu, out)),
        ("12 numbers in rows of 0", &|out| gate(&team, &[0.0; 24], 0, Activation::Silu, out)),
    ];
    for (text, act) in acts {
        let act = std::panic::AssertUnwindSafe(|| act(&mut [0.0; 12]));
        let panic = std::panic::catch_unwind(act).unwrap_err();
        let found = panic.downcast_ref::<String>().unwrap();
        assert!(found.contains(text), "{found}");
    }
}
