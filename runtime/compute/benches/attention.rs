//! How long attention takes: decoding steps and prompts, one layer.
//!
//! `cargo bench -p remit-compute --bench attention [THREADS]`; without a number, all processors. Each line is the best of
//! several runs. GFLOP/s count two operations for each number of a query and a key or value that its row sees; GB/s count each key
//! and value once for each sequence.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark")]

use remit_compute::{
    Isa, Team,
    attention::{Heads, Sequence, attend},
    blocks::{BLOCK_TOKENS, BlockShape, Blocks},
};
use std::time::{Duration, Instant};

/// For how long a line is measured.
const LINE: Duration = Duration::from_millis(400);

fn main() {
    // `cargo bench` adds `--bench`.
    let threads = std::env::args().find_map(|argument| argument.parse().ok());
    let threads = threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, Into::into));
    let team = Team::new(threads, Isa::best()).unwrap();
    println!("{:?}, {} threads", team.isa(), team.threads());
    println!("heads     sequences  rows  known        µs   GFLOP/s    GB/s");
    for (heads, kv_heads, width) in [(9, 3, 64), (32, 8, 128)] {
        let scale = 1.0 / (width as f32).sqrt();
        let heads = Heads { heads, kv_heads, width, scale, softcap: None, window: None };
        for known in [128, 600, 4096] {
            for sequences in [1, 8, 16, 64] {
                line(&team, &heads, sequences, 1, known);
            }
        }
        line(&team, &heads, 1, 512, 0);
        line(&team, &heads, 1, 128, 2048);
    }
}

/// Some sequences, each with as many new rows and known tokens.
fn line(team: &Team, heads: &Heads, sequences: usize, rows: usize, known: usize) {
    let each = (known + rows).div_ceil(BLOCK_TOKENS);
    let shape = BlockShape { layers: 1, kv_heads: heads.kv_heads, head_width: heads.width };
    let mut blocks = Blocks::new(shape, each * sequences).unwrap();
    // Halves from 0.5 to 1 of either sign.
    let bytes: Vec<u8> = (0..blocks.bytes_each())
        .map(|at| if at % 2 == 1 { 0x38 | (u8::from(at % 7 == 1) << 7) } else { at as u8 })
        .collect();
    (0..blocks.count() as u32).for_each(|block| blocks.write(block, &bytes).unwrap());
    // Blocks of all sequences in turn, as they come while all generate.
    let table = |sequence: usize| (0..each).map(|block| (block * sequences + sequence) as u32).collect::<Vec<_>>();
    let tables: Vec<_> = (0..sequences).map(table).collect();
    let of =
        |(index, table): (usize, &'static [u32])| Sequence { table, known, rows: index * rows..(index + 1) * rows };
    let tables: Vec<_> = tables.into_iter().map(|table| &*Vec::leak(table)).enumerate().map(of).collect();
    let projected: Vec<f32> = (0..rows * sequences * heads.projected_width()).map(|at| (at as f32).sin()).collect();
    let mut out = vec![0.0; rows * sequences * heads.mixed_width()];
    let mut best = f64::INFINITY;
    let begin = Instant::now();
    while begin.elapsed() < LINE {
        let begin = Instant::now();
        attend(team, &mut blocks, 0, heads, &projected, &tables, &mut out);
        best = best.min(begin.elapsed().as_secs_f64());
    }
    let seen: usize = (0..rows).map(|row| known + row + 1).sum();
    let operations = (4 * seen * sequences * heads.heads * heads.width) as f64;
    let bytes = (4 * (known + rows) * sequences * heads.kv_heads * heads.width) as f64;
    let name = format!("{}/{}/{}", heads.heads, heads.kv_heads, heads.width);
    let (micros, flops, rate) = (best * 1e6, operations / best / 1e9, bytes / best / 1e9);
    println!("{name:<9} {sequences:>9} {rows:>5} {known:>6} {micros:>9.1} {flops:>9.1} {rate:>7.1}");
}
