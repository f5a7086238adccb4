//! How fast SmolLM2 is read and written here, next to llama.cpp on the same file and to what the memory allows.
//!
//! | variable | names |
//! | --- | --- |
//! | `REMIT_TEST_MODEL` | the GGUF file |
//! | `REMIT_PEER_PYTHON` | a Python that has `llama-cpp-python`; without it there is no comparison |
//! | `REMIT_BENCH_OUT` | the JSON file to write, where it is set |
//!
//! All figures are of this run: the best of some rounds, in each of which both sides have their turn, with as many threads as the machine has, and the peer's
//! best of three types of file: the model's own, and two that it makes of it, so that it has what its fastest kernels read. The
//! limit of a decode step is the time in which the same threads only read as many bytes as the step has weights. Speculation is measured
//! against the same engine without it.
//!
//! Arguments choose parts, by [`PARTS`]; numbers of parts that are not run stay in the JSON file as they are.

mod peer;
mod perplexity;
mod speculation;
mod waste;

use peer::Peers;
use remit_compute::{Isa, Team};
use remit_inference::{
    gguf::Gguf,
    model::{BLOCK_TOKENS, NativeDecoder, NativeMemory, Span},
    read_bandwidth,
    sampler::argmax,
};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    time::Instant,
};

/// What there is to measure.
const PARTS: [&str; 4] = ["speed", "speculation", "perplexity", "waste"];

const PREFILL_TOKENS: usize = 512;
/// A decode measurement: this many tokens behind a short prompt.
const DECODE_TOKENS: usize = 32;
const PROMPT_TOKENS: usize = 32;
const STREAMS_MAX: usize = 16;
/// How often each figure is measured, here and by the peer in turn: on a machine that others use too, both have the same chances.
const ROUNDS: usize = 6;
const READ_REPETITIONS: usize = 9;
const GIGABYTE: usize = 1 << 30;
/// A measurement of speed.
#[derive(Clone, Copy)]
enum Figure {
    Prefill,
    Decode1,
    Decode8,
    Decode16,
}

impl Figure {
    const ALL: [Self; 4] = [Self::Prefill, Self::Decode1, Self::Decode8, Self::Decode16];

    fn name(self) -> &'static str {
        ["prefill", "decode1", "decode8", "decode16"][self as usize]
    }

    /// Sequences that are decoded together.
    fn streams(self) -> Option<usize> {
        [None, Some(1), Some(8), Some(STREAMS_MAX)][self as usize]
    }
}

fn best(repetitions: usize, mut measure: impl FnMut() -> f64) -> f64 {
    (0..repetitions).map(|_| measure()).fold(0.0, f64::max)
}

fn prompt(length: usize) -> Vec<u32> {
    (0..length).map(|index| (index * 7919 % 40_000 + 100) as u32).collect()
}

/// A model, and room for the largest measurement.
struct Fixture {
    team: Team,
    decoder: NativeDecoder,
    memory: NativeMemory,
}

/// Blocks of one stream.
fn table(stream: usize, tokens: usize) -> Vec<u32> {
    let blocks = tokens.div_ceil(BLOCK_TOKENS);
    (stream * blocks..(stream + 1) * blocks).map(|block| block as u32).collect()
}

impl Fixture {
    fn new(file: &Path) -> Self {
        let file = Gguf::open(file).unwrap_or_else(|error| panic!("{error}"));
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let team = Team::new(threads, Isa::best()).unwrap_or_else(|error| panic!("{error}"));
        let decoder = NativeDecoder::load(&file, &team).unwrap_or_else(|error| panic!("{error}"));
        let tokens = PREFILL_TOKENS.max(STREAMS_MAX * (PROMPT_TOKENS + DECODE_TOKENS));
        let memory = NativeMemory::new(decoder.architecture(), tokens.div_ceil(BLOCK_TOKENS));
        Self { team, decoder, memory: memory.unwrap_or_else(|error| panic!("{error}")) }
    }

    /// Computes some tokens of each stream, and answers the likeliest next one of each.
    fn step(&mut self, tables: &[Vec<u32>], tokens: &[Vec<u32>], known: usize) -> Vec<Vec<u32>> {
        let span = |(table, tokens): (&'_ Vec<u32>, &'_ Vec<u32>)| (table.clone(), tokens.clone());
        let owned: Vec<_> = tables.iter().zip(tokens).map(span).collect();
        let spans = owned.iter().map(|(table, tokens)| {
            let room = PREFILL_TOKENS;
            Span { tokens, table, known, room, adapter: None, logits: 1 }
        });
        let logits = self.decoder.forward(&self.team, &mut self.memory, &spans.collect::<Vec<_>>());
        logits.chunks_exact(logits.len() / tables.len()).map(|logits| vec![argmax(logits)]).collect()
    }

    /// Tokens a second of all streams together, once.
    fn measure(&mut self, figure: Figure) -> f64 {
        let Some(streams) = figure.streams() else {
            let (tables, tokens) = ([table(0, PREFILL_TOKENS)], [prompt(PREFILL_TOKENS)]);
            let begin = Instant::now();
            let _ = self.step(&tables, &tokens, 0);
            return PREFILL_TOKENS as f64 / begin.elapsed().as_secs_f64();
        };
        let tables: Vec<_> = (0..streams).map(|stream| table(stream, PROMPT_TOKENS + DECODE_TOKENS)).collect();
        let mut next = self.step(&tables, &vec![prompt(PROMPT_TOKENS); streams], 0);
        let begin = Instant::now();
        for step in 0..DECODE_TOKENS {
            next = self.step(&tables, &next, PROMPT_TOKENS + step);
        }
        (DECODE_TOKENS * streams) as f64 / begin.elapsed().as_secs_f64()
    }
}

#[allow(clippy::print_stdout, reason = "a bench prints its table")]
fn speed(fixture: &mut Fixture, model: &Path, python: Option<&Path>) -> Value {
    let threads = fixture.team.threads();
    let file_bytes = std::fs::metadata(model).map_or(0, |metadata| metadata.len()) as f64;
    let (step, weights) = (fixture.decoder.step_bytes() as f64, fixture.decoder.weights_bytes() as f64);
    let mut peers = python.map(|python| Peers::new(python, model, threads));
    let mut figures = [0.0f64; Figure::ALL.len()];
    for figure in Figure::ALL {
        for _ in 0..ROUNDS {
            figures[figure as usize] = figures[figure as usize].max(fixture.measure(figure));
            if let Some(peers) = &mut peers {
                peers.measure(figure);
            }
        }
    }
    let far = best(READ_REPETITIONS, || read_bandwidth(GIGABYTE));
    println!(
        "{threads} threads, {:?}; weights {:.1} MB of a file of {:.1} MB",
        Isa::best(),
        weights / 1e6,
        file_bytes / 1e6
    );
    println!("reading 1 GB: {:.1} GB/s; limit of decode: {:.0} tokens/s", far / 1e9, far / step);
    if let Some(peers) = &peers {
        peers.print();
    }
    let decoded = figures[Figure::Decode1 as usize];
    let mut json = json!({ "bandwidth_fraction": decoded * step / far, "weights_ratio": weights / file_bytes });
    println!("{:10} {:>12} {:>12} {:>8}", "tokens/s", "here", "llama.cpp", "ratio");
    for figure in Figure::ALL {
        let (name, here) = (figure.name(), figures[figure as usize]);
        json[format!("{name}_tps")] = here.into();
        match peers.as_ref().map(|peers| peers.best(figure)) {
            Some(peer) => {
                println!("{name:10} {here:>12.0} {peer:>12.0} {:>8.2}", here / peer);
                json[format!("{name}_ratio")] = (here / peer).into();
            }
            None => println!("{name:10} {here:>12.0}"),
        }
    }
    if let Some(peers) = &peers {
        peers.check();
    }
    println!("decode over its limit {:.2}", json["bandwidth_fraction"].as_f64().unwrap_or(0.0));
    json
}

/// The parts that the arguments name; all, where they name none. Cargo has arguments of its own, which begin with a dash.
fn chosen(arguments: impl Iterator<Item = String>) -> Vec<String> {
    let named: Vec<String> = arguments.filter(|argument| !argument.starts_with('-')).collect();
    for part in &named {
        assert!(PARTS.contains(&part.as_str()), "there is no part {part}, but {PARTS:?}");
    }
    if named.is_empty() { PARTS.map(str::to_owned).into() } else { named }
}

/// Adds numbers to those of the file.
fn leave(file: &Path, numbers: &Value) {
    let earlier = std::fs::read_to_string(file).ok().and_then(|text| serde_json::from_str(&text).ok());
    let mut all: Value = earlier.unwrap_or_else(|| json!({}));
    for (key, number) in numbers.as_object().into_iter().flatten() {
        all[key] = number.clone();
    }
    std::fs::write(file, all.to_string()).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}

fn main() {
    let Some(model) = std::env::var_os("REMIT_TEST_MODEL").map(PathBuf::from) else {
        panic!("REMIT_TEST_MODEL does not name SmolLM2's GGUF file; run `cargo xtask bench inference`, which sets it");
    };
    let python = std::env::var_os("REMIT_PEER_PYTHON").map(PathBuf::from);
    let out = std::env::var_os("REMIT_BENCH_OUT").map(PathBuf::from);
    let folder = out.as_deref().and_then(Path::parent).map_or_else(std::env::temp_dir, Path::to_owned);
    std::fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut fixture = Fixture::new(&model);
    for part in chosen(std::env::args().skip(1)) {
        let numbers = match part.as_str() {
            "perplexity" => perplexity::report(&mut fixture, &model, &folder),
            "speculation" => speculation::report(&model),
            "waste" => waste::report(&model),
            _ => speed(&mut fixture, &model, python.as_deref()),
        };
        if let Some(out) = &out {
            leave(out, &numbers);
        }
    }
}
