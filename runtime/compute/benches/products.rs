//! How fast products are, beside how fast this machine reads memory.
//!
//! `cargo bench -p remit-compute --bench products -- [FORMAT...]`
//!
//! A product goes through as many matrices as have [`BYTES`] together, so that the caches hold no more of them than of a model.

#![allow(clippy::print_stdout, reason = "it prints a table")]
#![allow(clippy::unwrap_used, reason = "it ends where it cannot go on")]

use remit_compute::{Format, Isa, Matrix, Packer, Part, Rows, Team};
use std::{
    hint::black_box,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Bytes of all weights of a product.
const BYTES: usize = 100 << 20;
/// For how long a product is repeated, at least.
const TIME: Duration = Duration::from_millis(150);
const SHAPES: [(usize, usize); 5] = [(960, 576), (576, 576), (3072, 576), (576, 1536), (49152, 576)];
const ROWS: [usize; 6] = [1, 4, 8, 16, 64, 512];
/// Bytes of a task of [`stream`].
const STREAM: usize = 64 << 10;
/// Tasks between two looks at the clock.
const STREAM_TASKS: usize = 64;

fn main() {
    let names: Vec<String> = std::env::args().skip(1).filter(|name| !name.starts_with('-')).collect();
    let is_wanted = |format: &Format| names.is_empty() || names.contains(&format.to_string());
    println!(
        "{:8} {:>12} {:>4} {:>8} {:>8} {:>8} {:>8}",
        "format", "shape", "rows", "GMAC/s 1", "GB/s 1", "GMAC/s 2", "GB/s 2"
    );
    let teams = [1, 2].map(|threads| Team::new(threads, Isa::best()).unwrap());
    let streamed = teams.each_ref().map(stream);
    println!("{:8} {:>12} {:>4} {:>8} {:>8.1} {:>8} {:>8.1}", "memory", "", "", "", streamed[0], "", streamed[1]);
    for format in Format::ALL.into_iter().filter(is_wanted) {
        for (outputs, inputs) in SHAPES {
            // Blocks of 256 would not fit: the next width that they do.
            let inputs = inputs.next_multiple_of(format.block().0);
            let bytes = noise(format, outputs * inputs);
            let count = (BYTES / bytes.len()).max(1);
            let part = Part { format, rows: outputs, bytes: &bytes };
            let packer = Packer::new(&teams[1]);
            let matrices: Vec<_> = (0..count).map(|_| packer.pack(&[part], inputs).unwrap()).collect();
            for rows in ROWS {
                let [one, two] = teams.each_ref().map(|team| seconds(team, &matrices, rows));
                let products = (rows * outputs * inputs) as f64 / 1e9;
                let weights = matrices[0].bytes() as f64 / 1e9;
                let shape = format!("{outputs}x{inputs}");
                println!(
                    "{:8} {shape:>12} {rows:>4} {:>8.1} {:>8.1} {:>8.1} {:>8.1}",
                    format.to_string(),
                    products / one,
                    weights / one,
                    products / two,
                    weights / two
                );
            }
        }
    }
}

/// Seconds of a product, all of [`Matrix::multiply`], of rows that are ready.
fn seconds(team: &Team, matrices: &[Matrix], count: usize) -> f64 {
    let (inputs, outputs) = (matrices[0].inputs(), matrices[0].outputs());
    let numbers: Vec<f32> = (0..count * inputs).map(|index| (index * 7919 % 1009) as f32 / 504.5 - 1.0).collect();
    let mut rows = Rows::new();
    rows.fill(team, &numbers, &matrices[0]);
    let mut output = vec![0.0; count * outputs];
    matrices[0].multiply(team, &rows, &mut output);
    let start = Instant::now();
    let mut times = Vec::new();
    for matrix in matrices.iter().cycle() {
        let begin = Instant::now();
        matrix.multiply(team, &rows, &mut output);
        times.push(begin.elapsed().as_secs_f64());
        if start.elapsed() > TIME && (times.len() >= matrices.len() || count > 8) {
            break;
        }
    }
    black_box(&output);
    usual(times)
}

/// The lower quartile: what it takes while nothing else runs.
fn usual(mut times: Vec<f64>) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 4]
}

/// GB/s that the team reads.
fn stream(team: &Team) -> f64 {
    let numbers = vec![1_u64; (256 << 20) / 8];
    let tasks: Vec<_> = numbers.chunks(STREAM / 8).collect();
    let sum = AtomicU64::new(0);
    let start = Instant::now();
    let mut times = Vec::new();
    for tasks in tasks.chunks(STREAM_TASKS).cycle() {
        let begin = Instant::now();
        team.each(tasks.len(), |task| {
            let part = tasks[task].iter().fold(0_u64, |sum, number| sum.wrapping_add(*number));
            sum.fetch_add(part, Ordering::Relaxed);
        });
        times.push(begin.elapsed().as_secs_f64());
        if start.elapsed() > TIME * 4 {
            break;
        }
    }
    black_box(sum);
    (STREAM * STREAM_TASKS) as f64 / usual(times) / 1e9
}

/// Blocks of so many weights: noise, whose scales are 1/64 to 1/32.
fn noise(format: Format, count: usize) -> Vec<u8> {
    let (elements, block) = format.block();
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    let mut bytes: Vec<u8> = (0..count / elements * block).map(|_| next()).collect();
    let scales: &[usize] = match format {
        Format::F32 => &[2],
        Format::Q4_1 | Format::Q5_1 | Format::Q4K | Format::Q5K => &[0, 2],
        Format::Q2K => &[80, 82],
        Format::Q3K => &[108],
        Format::Q6K => &[208],
        _ => &[0],
    };
    let high = if matches!(format, Format::F32 | Format::Bf16) { 0x3c } else { 0x24 };
    for block in bytes.chunks_exact_mut(block) {
        scales.iter().for_each(|at| block[at + 1] = high);
    }
    bytes
}
