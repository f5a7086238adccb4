//! How many texts all-MiniLM-L6-v2 embeds in a second, by their length, with as many threads as the machine has: the best of some
//! repetitions. `REMIT_TEST_EMBEDDER` names the model's folder.

#![allow(clippy::print_stdout, reason = "it is what a benchmark does")]

use remit_inference::{LocalEmbedder, ModelFile};
use std::{error::Error, time::Instant};

/// Texts of a call, and tokens of each.
const CALLS: [(usize, usize); 4] = [(1, 12), (256, 12), (64, 128), (16, 512)];
const REPETITIONS: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let Some(folder) = std::env::var_os("REMIT_TEST_EMBEDDER") else {
        return Err("REMIT_TEST_EMBEDDER does not name MiniLM's folder; `cargo xtask test` fetches it".into());
    };
    let threads = std::thread::available_parallelism()?.get();
    let file = ModelFile { name: "minilm".into(), path: folder.into(), digest: "0".into() };
    let embedder = LocalEmbedder::load(&file, threads)?;
    let words = embedder.tokenize("the quick brown fox jumps over a lazy dog while it rains on the old town");
    let [first, between @ .., last] = words.as_slice() else { return Err("the tokenizer gives no tokens".into()) };
    for (count, tokens) in CALLS {
        let inside = between.iter().copied().cycle().take(tokens - 2);
        let text: Vec<u32> = std::iter::once(*first).chain(inside).chain([*last]).collect();
        let texts = vec![text; count];
        let mut best = f64::INFINITY;
        for _ in 0..REPETITIONS {
            let begin = Instant::now();
            for vector in embedder.embed(&texts)? {
                vector?;
            }
            best = best.min(begin.elapsed().as_secs_f64());
        }
        let rate = count as f64 / best;
        println!("{count:4} texts of {tokens:3} tokens: {rate:8.1} texts/s, {:9.0} tokens/s", rate * tokens as f64);
    }
    Ok(())
}
