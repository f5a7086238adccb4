//! How fast SmolLM2 is read and written here, next to what the memory allows.
//!
//! `REMIT_TEST_MODEL` names the GGUF file; `REMIT_BENCH_OUT`, where it is set, the JSON file to write. All figures are
//! of this run: medians of several repetitions, with as many threads as the machine has. The limit of a decode step is
//! the time in which the same threads only read as many bytes as the step has weights. `REMIT_BENCH_DEVICE` names another
//! device than the CPU (`wgpu`, say); the limit is the CPU's all the same.

use remit_inference::{
    DeviceChoice,
    gguf::Gguf,
    model::{BLOCK_TOKENS, Decoder, Pool, Span},
    read_bandwidth,
    sampler::argmax,
};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

const PREFILL_TOKENS: usize = 512;
const PREFILL_CHUNK: usize = 128;
const PREFILL_REPETITIONS: usize = 3;
/// A decode measurement: this many tokens behind a short prompt.
const DECODE_TOKENS: usize = 24;
const DECODE_REPETITIONS: usize = 5;
/// One after the other until this is spent, so that a busy machine does not make the run long.
const BUDGET: Duration = Duration::from_secs(8);
const READ_REPETITIONS: usize = 9;
const GIGABYTE: usize = 1 << 30;

/// The median of up to `repetitions` figures, and at least one.
fn median(repetitions: usize, mut measure: impl FnMut() -> f64) -> f64 {
    let begin = Instant::now();
    let mut figures = Vec::new();
    while figures.len() < repetitions && (figures.is_empty() || begin.elapsed() < BUDGET) {
        figures.push(measure());
    }
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn prompt(length: usize) -> Vec<u32> {
    (0..length).map(|index| (index * 7919 % 40_000 + 100) as u32).collect()
}

/// Writes a prompt to the first blocks of a pool; what comes last are its last token's logits.
fn prefill(decoder: &Decoder, pool: &mut Pool, tokens: &[u32]) -> Vec<f32> {
    let table: Vec<u32> = (0..tokens.len().div_ceil(BLOCK_TOKENS) as u32).collect();
    let mut logits = Vec::new();
    for (index, chunk) in tokens.chunks(PREFILL_CHUNK).enumerate() {
        let (known, room) = (index * PREFILL_CHUNK, tokens.len() + DECODE_TOKENS);
        let span = Span { tokens: chunk, table: &table, known, room, adapter: None, logits: 1 };
        logits = decoder.forward(pool, &[span]);
    }
    logits
}

fn prefill_tps(decoder: &Decoder) -> f64 {
    let tokens = prompt(PREFILL_TOKENS);
    let mut pool = decoder.pool(PREFILL_TOKENS.div_ceil(BLOCK_TOKENS));
    median(PREFILL_REPETITIONS, || {
        let begin = Instant::now();
        let _ = prefill(decoder, &mut pool, &tokens);
        PREFILL_TOKENS as f64 / begin.elapsed().as_secs_f64()
    })
}

/// Tokens a second of all streams together, all of them behind one prompt's blocks.
fn decode_tps(decoder: &Decoder, streams: usize) -> f64 {
    let (prompt_blocks, own_blocks) = (2, DECODE_TOKENS.div_ceil(BLOCK_TOKENS));
    let mut pool = decoder.pool(prompt_blocks + streams * own_blocks);
    let known = prompt_blocks * BLOCK_TOKENS;
    let logits = prefill(decoder, &mut pool, &prompt(known));
    let table = |stream: usize| {
        let own = prompt_blocks + stream * own_blocks;
        (0..prompt_blocks).chain(own..own + own_blocks).map(|block| block as u32).collect::<Vec<_>>()
    };
    let tables: Vec<_> = (0..streams).map(table).collect();
    median(DECODE_REPETITIONS, || {
        let mut next = vec![[argmax(&logits)]; streams];
        let begin = Instant::now();
        for known in known..known + DECODE_TOKENS {
            let spans = tables.iter().zip(&next).map(|(table, tokens)| Span {
                tokens,
                table,
                known,
                room: known + DECODE_TOKENS,
                adapter: None,
                logits: 1,
            });
            let logits = decoder.forward(&mut pool, &spans.collect::<Vec<_>>());
            next = logits.chunks_exact(logits.len() / streams).map(|logits| [argmax(logits)]).collect();
        }
        (DECODE_TOKENS * streams) as f64 / begin.elapsed().as_secs_f64()
    })
}

/// Bytes a second, reading a buffer of so many bytes with all threads.
fn bandwidth(bytes: usize) -> f64 {
    median(READ_REPETITIONS, || read_bandwidth(bytes))
}

#[allow(clippy::print_stdout, reason = "a bench prints its table")]
fn report(device: &str, decoder: &Decoder) -> String {
    println!("on {device}");
    let weights = decoder.step_bytes();
    let (near, far) = (bandwidth(weights), bandwidth(GIGABYTE));
    let prefill = prefill_tps(decoder);
    let streams = [1, 4, 8].map(|streams| (streams, decode_tps(decoder, streams)));
    let decode = streams[0].1;
    let fraction = decode * weights as f64 / far;
    println!("threads                                  {:>10}", rayon::current_num_threads());
    println!("weights read per decode step             {:>10.0} MB", weights as f64 / 1e6);
    println!("reading as much                          {:>10.1} GB/s", near / 1e9);
    println!("reading 1 GB                             {:>10.1} GB/s", far / 1e9);
    println!("prefill of {PREFILL_TOKENS}                           {prefill:>10.1} tokens/s");
    for (streams, tps) in streams {
        println!("decode, {streams} at a time                      {tps:>10.1} tokens/s");
    }
    println!("limit of decode, 1 at a time (1 GB)      {:>10.1} tokens/s", far / weights as f64);
    println!("decode over its limit                    {fraction:>10.2}");
    serde_json::json!({ "prefill_tps": prefill, "decode_tps": decode, "bandwidth_fraction": fraction }).to_string()
}

fn main() {
    let Some(model) = std::env::var_os("REMIT_TEST_MODEL").map(PathBuf::from) else {
        panic!("REMIT_TEST_MODEL does not name SmolLM2's GGUF file; run `cargo xtask bench decode`, which sets it");
    };
    let file = Gguf::open(&model).unwrap_or_else(|error| panic!("{error}"));
    let choice = std::env::var("REMIT_BENCH_DEVICE").map_or(Ok(DeviceChoice::Cpu), |name| name.parse());
    let device = choice.and_then(DeviceChoice::open).unwrap_or_else(|error| panic!("{error}"));
    let decoder = Decoder::load(&file, device.tensors()).unwrap_or_else(|error| panic!("{error}"));
    // On a thread of the pool, as the engine does.
    let json = rayon::scope(|_| report(device.name(), &decoder));
    if let Some(out) = std::env::var_os("REMIT_BENCH_OUT").map(PathBuf::from) {
        let folder = out.parent().map(std::fs::create_dir_all).unwrap_or(Ok(()));
        folder.and_then(|()| std::fs::write(&out, json)).unwrap_or_else(|error| panic!("{}: {error}", out.display()));
    }
}
