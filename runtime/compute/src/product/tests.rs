//! Products against sums in f64, and against themselves: by other instructions, among other rows, on other threads.

use super::*;
use crate::{
    Format, Packer, Part,
    weights::tests::{Noise, blocks, numbers},
};
use proptest::prelude::*;

/// A matrix, and its numbers.
fn matrix(parts: &[(Format, usize)], inputs: usize, noise: &mut Noise) -> (Matrix, Vec<f32>) {
    let team = Team::new(1, Isa::best()).unwrap();
    let bytes: Vec<_> = parts.iter().map(|(format, rows)| blocks(*format, rows * inputs, noise)).collect();
    let all = parts.iter().zip(&bytes).flat_map(|((format, _), bytes)| numbers(*format, bytes)).collect();
    let parts: Vec<_> = parts.iter().zip(&bytes).map(|(&(format, rows), bytes)| Part { format, rows, bytes }).collect();
    (Packer::new(&team).pack(&parts, inputs).unwrap(), all)
}

fn product(matrix: &Matrix, isa: Isa, threads: usize, numbers: &[f32]) -> Vec<f32> {
    let team = Team::new(threads, isa).unwrap();
    let mut rows = Rows::new();
    rows.fill(&team, numbers, matrix);
    let mut output = vec![f32::NAN; rows.count() * matrix.outputs()];
    matrix.multiply(&team, &rows, &mut output);
    output
}

fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|number| number.to_bits()).collect()
}

/// The distance of the two, over the length of the second.
fn distance(got: &[f32], expect: &[f64]) -> f64 {
    let square = |numbers: &mut dyn Iterator<Item = f64>| numbers.map(|number| number * number).sum::<f64>();
    let apart = square(&mut got.iter().zip(expect).map(|(got, expect)| f64::from(*got) - expect));
    (apart / square(&mut expect.iter().copied())).sqrt()
}

/// Sums in f64, of rows of each.
fn exactly(rows: &[f32], weights: &[f32], inputs: usize) -> Vec<f64> {
    let dot = |row: &[f32], weights: &[f32]| row.iter().zip(weights).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
    let of_row = |row| weights.chunks_exact(inputs).map(move |weights| dot(row, weights));
    rows.chunks_exact(inputs).flat_map(of_row).collect()
}

/// All ways to compute a product come to the same bits.
fn check_bits(parts: &[(Format, usize)], inputs: usize, counts: &[usize], seed: u64) {
    let mut noise = Noise(seed | 1);
    let (matrix, _) = matrix(parts, inputs, &mut noise);
    let most = counts.iter().max().copied().unwrap_or(0);
    let numbers: Vec<f32> = (0..most * inputs).map(|_| noise.float()).collect();
    let one_by_one: Vec<u32> =
        numbers.chunks_exact(inputs).flat_map(|row| bits(&product(&matrix, Isa::Plain, 1, row))).collect();
    for isa in Isa::all_here() {
        for threads in [1, 3] {
            for count in counts {
                let got = product(&matrix, isa, threads, &numbers[..count * inputs]);
                let expect = &one_by_one[..count * matrix.outputs()];
                assert!(bits(&got) == expect, "{parts:?} of {inputs}: {count} rows by {isa:?} on {threads} threads");
            }
        }
    }
}

#[test]
fn one_row_and_many_come_to_the_same_bits() {
    for format in Format::ALL {
        let counts: Vec<usize> = (1..=20).chain([64, 129]).collect();
        check_bits(&[(format, 41)], 256, &counts, 3);
        // More blocks than are unpacked at once.
        check_bits(&[(format, 25)], 2304, &[1, 9, 31], 4);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn rows_parts_and_threads_change_no_bit(
        parts in prop::collection::vec((prop::sample::select(&Format::ALL[..]), 0_usize..70), 1..4),
        blocks in 1_usize..7,
        count in 1_usize..40,
        seed: u64,
    ) {
        check_bits(&parts, 256 * blocks, &[count], seed);
    }
}

#[test]
fn products_are_near_the_exact_sums() {
    for format in Format::ALL {
        let mut noise = Noise(11);
        let inputs = 768;
        let (matrix, weights) = matrix(&[(format, 50)], inputs, &mut noise);
        let numbers: Vec<f32> = (0..12 * inputs).map(|_| noise.float() * noise.float()).collect();
        let got = product(&matrix, Isa::best(), 2, &numbers);
        let mut rows = Rows::new();
        rows.fill(&Team::new(1, Isa::Plain).unwrap(), &numbers, &matrix);
        let has_codes = format.block().0 > 1;
        let quantized = || (0..rows.count()).flat_map(|row| rows.dequantized(row)).collect();
        let seen = if has_codes { &quantized() } else { &numbers };
        let near = distance(&got, &exactly(seen, &weights, inputs));
        assert!(near <= 1e-6, "{format}: {near} from the sums of what is multiplied");
        let near = distance(&got, &exactly(&numbers, &weights, inputs));
        assert!(near <= 1e-2, "{format}: {near} from the sums of what was given");
    }
}

#[test]
fn any_number_of_inputs_goes_without_scales() {
    for format in [Format::F32, Format::F16, Format::Bf16] {
        for inputs in [1, 2, 31, 33, 100] {
            check_bits(&[(format, 11)], inputs, &[1, 5, 12], 8);
        }
    }
}

#[test]
fn the_largest_codes_do_not_overflow() {
    for format in Format::ALL.into_iter().filter(|format| format.block().0 > 1) {
        let (inputs, block_bytes) = format.block();
        for byte in [0x00, 0x7f, 0x80, 0xff] {
            let mut bytes = vec![byte; block_bytes * 8];
            for (index, block) in bytes.chunks_exact_mut(block_bytes).enumerate() {
                let ones: &[usize] = match format {
                    Format::Q4_1 | Format::Q5_1 | Format::Q4K | Format::Q5K => &[0, 2],
                    Format::Q2K => &[80, 82],
                    Format::Q3K => &[108],
                    Format::Q6K => &[208],
                    _ => &[0],
                };
                let sign = if index % 2 == 0 { 0x3c } else { 0xbc };
                ones.iter().for_each(|at| block[*at..][..2].copy_from_slice(&[0, sign]));
            }
            let team = Team::new(1, Isa::best()).unwrap();
            let part = Part { format, rows: 8, bytes: &bytes };
            let matrix = Packer::new(&team).pack(&[part], inputs).unwrap();
            let weights = numbers(format, &bytes);
            for sign in [1.0, -1.0] {
                let row = vec![127.0 * sign; inputs];
                let expect = exactly(&row, &weights, inputs);
                for isa in Isa::all_here() {
                    let got = product(&matrix, isa, 1, &row);
                    for (got, expect) in got.iter().zip(&expect) {
                        let apart = (f64::from(*got) - expect).abs();
                        assert!(
                            apart <= expect.abs() * 1e-5 + 1e-2,
                            "{format} of {byte:#x} by {isa:?}: {got}, not {expect}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_no_number_stays_in_its_row() {
    for format in Format::ALL {
        let mut noise = Noise(5);
        let (matrix, _) = matrix(&[(format, 9)], 512, &mut noise);
        let mut numbers: Vec<f32> = (0..10 * 512).map(|_| noise.float()).collect();
        let before = product(&matrix, Isa::best(), 1, &numbers);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            numbers[512 + 7] = bad;
            for isa in Isa::all_here() {
                let after = product(&matrix, isa, 1, &numbers);
                assert!(
                    after[9..18].iter().all(|number| !number.is_finite()),
                    "{format} by {isa:?}: {:?}",
                    &after[9..18]
                );
                assert!(bits(&after[..9]) == bits(&before[..9]) && bits(&after[18..]) == bits(&before[18..]));
            }
        }
    }
}

#[test]
fn nothing_times_nothing_is_nothing() {
    let (matrix, _) = matrix(&[(Format::Q4_0, 0), (Format::Q8_0, 3), (Format::Q4_0, 0)], 32, &mut Noise(1));
    assert!(product(&matrix, Isa::best(), 2, &[]).is_empty());
    assert_eq!(product(&matrix, Isa::best(), 2, &[0.0; 32]), [0.0; 3]);
}

#[test]
fn tasks_cover_each_result_once() {
    for (parts, inputs) in [(vec![(Format::Q4_0, 900), (Format::Q8_0, 3)], 64), (vec![(Format::F32, 2000)], 3)] {
        let (matrix, _) = matrix(&parts, inputs, &mut Noise(1));
        for (rows, threads) in [(1, 1), (1, 2), (7, 64), (500, 2), (10_000, 3)] {
            let plan = Plan::new(&matrix, threads, rows);
            let mut seen: Vec<_> = parts.iter().map(|(_, count)| vec![0; count.div_ceil(8) * rows]).collect();
            for task in (0..plan.tasks()).map(|index| plan.task(index)) {
                for (panel, row) in task.panels.clone().flat_map(|panel| task.rows.clone().map(move |row| (panel, row)))
                {
                    seen[task.part][panel * rows + row] += 1;
                }
            }
            assert!(seen.iter().flatten().all(|times| *times == 1), "{rows} rows on {threads} threads");
        }
    }
}

#[test]
#[should_panic(expected = "results of 2 rows and 3 outputs")]
fn a_buffer_of_another_size_is_a_mistake() {
    let (matrix, _) = matrix(&[(Format::Q8_0, 3)], 32, &mut Noise(1));
    let team = Team::new(1, Isa::Plain).unwrap();
    let mut rows = Rows::new();
    rows.fill(&team, &[0.0; 64], &matrix);
    matrix.multiply(&team, &rows, &mut [0.0; 5]);
}

#[test]
#[should_panic(expected = "rows that were filled for other formats")]
fn rows_for_another_format_are_a_mistake() {
    let [(plain, _), (coded, _)] = [Format::F32, Format::Q8_0].map(|format| matrix(&[(format, 3)], 32, &mut Noise(1)));
    let team = Team::new(1, Isa::Plain).unwrap();
    let mut rows = Rows::new();
    rows.fill(&team, &[0.0; 32], &plain);
    coded.multiply(&team, &rows, &mut [0.0; 3]);
}
