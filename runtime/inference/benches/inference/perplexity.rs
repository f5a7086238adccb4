//! What 8-bit rows cost in quality: the perplexity of a text, natively and on the plain path in f32, and how far logits are apart.
//!
//! | what | how |
//! | --- | --- |
//! | the text | `tests/documents/around-the-world.txt`, [`TOKENS`] tokens of it |
//! | perplexity | exp of the mean of −ln p(token), of all tokens of each window of [`WINDOW`] behind its first one, each window alone |
//! | distance of logits | that of the two vectors over the length of the plain one, at each [`LOGITS_EVERY`]th place |
//!
//! The plain path takes minutes for this, and the same numbers come out each time. So they are kept beside the bench's numbers, in a
//! file that is named by what they come from: SHA-256 of model, tokens and sizes. Its layout: of each token behind the first of its window
//! −ln p as f32, then the logits at the places above as f32, all little-endian.

use super::Fixture;
use burn::tensor::Device;
use remit_inference::{
    gguf::Gguf,
    model::{BLOCK_TOKENS, Decoder, Span},
    tokenizer::Tokenizer,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    path::{Path, PathBuf},
    time::Instant,
};

const TEXT: &str = include_str!("../../../../tests/documents/around-the-world.txt");
/// Tokens of a window, as llama.cpp's `perplexity` has them by default.
const WINDOW: usize = 512;
/// 98 windows: the 50,000 tokens that the target is stated for.
const TOKENS: usize = 98 * WINDOW;
/// Two places of each window: 38 MB of logits in all.
const LOGITS_EVERY: usize = 256;
/// What the difference of perplexity, and the distance of logits, ought to stay below.
const DELTA_MAX: f64 = 0.005;
const DISTANCE_MAX: f64 = 2e-2;
/// Threads that sum up logits.
const SUMMING: usize = 2;

/// What a model says of a text.
#[derive(Debug, Default)]
struct Said {
    /// −ln p of each token behind the first of its window.
    surprises: Vec<f32>,
    /// At each [`LOGITS_EVERY`]th place.
    logits: Vec<f32>,
}

impl Said {
    fn perplexity(&self) -> f64 {
        let sum: f64 = self.surprises.iter().map(|surprise| f64::from(*surprise)).sum();
        (sum / self.surprises.len() as f64).exp()
    }

    /// Adds what was computed of a window: logits behind each of its tokens.
    fn add(&mut self, window: &[u32], logits: &[f32]) {
        let vocabulary = logits.len() / window.len();
        let rows: Vec<_> = logits.chunks_exact(vocabulary).zip(&window[1..]).collect();
        let parts = rows.chunks(rows.len().div_ceil(SUMMING));
        let found: Vec<Vec<f32>> = std::thread::scope(|scope| {
            let sum = |part: &[(&[f32], &u32)]| part.iter().map(|(row, token)| surprise(row, **token)).collect();
            let threads: Vec<_> = parts.map(|part| scope.spawn(move || sum(part))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| panic!("a sum failed"))).collect()
        });
        self.surprises.extend(found.concat());
        let places = logits.chunks_exact(vocabulary).skip(LOGITS_EVERY - 1).step_by(LOGITS_EVERY);
        self.logits.extend(places.flatten());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let numbers: Vec<f32> = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let count = TOKENS / WINDOW * (WINDOW - 1);
        let (surprises, logits) = numbers.split_at_checked(count)?;
        let is_whole = !logits.is_empty() && logits.len() % (TOKENS / LOGITS_EVERY) == 0;
        is_whole.then(|| Self { surprises: surprises.into(), logits: logits.into() })
    }

    fn bytes(&self) -> Vec<u8> {
        self.surprises.iter().chain(&self.logits).flat_map(|number| number.to_le_bytes()).collect()
    }

    /// How far the logits are from these, on average and at most.
    fn distances(&self, plain: &Self) -> (f64, f64) {
        let vocabulary = plain.logits.len() / (TOKENS / LOGITS_EVERY);
        let length = |numbers: &mut dyn Iterator<Item = f32>| {
            numbers.map(|number| f64::from(number) * f64::from(number)).sum::<f64>().sqrt()
        };
        let rows = self.logits.chunks_exact(vocabulary).zip(plain.logits.chunks_exact(vocabulary));
        let distances: Vec<f64> = rows
            .map(|(row, plain)| {
                length(&mut row.iter().zip(plain).map(|(a, b)| a - b)) / length(&mut plain.iter().copied())
            })
            .collect();
        (distances.iter().sum::<f64>() / distances.len() as f64, distances.iter().copied().fold(0.0, f64::max))
    }
}

/// −ln of the probability of a token.
fn surprise(logits: &[f32], token: u32) -> f32 {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from((logit - most).exp())).sum();
    (sum.ln() - f64::from(logits[token as usize] - most)) as f32
}

fn tokens(model: &Gguf) -> Vec<u32> {
    let tokenizer = Tokenizer::from_gguf(model).unwrap_or_else(|error| panic!("{error}"));
    let mut tokens = tokenizer.encode(TEXT);
    assert!(tokens.len() >= TOKENS, "the text has {} tokens", tokens.len());
    tokens.truncate(TOKENS);
    tokens
}

/// The blocks of a window.
fn table() -> Vec<u32> {
    (0..WINDOW.div_ceil(BLOCK_TOKENS) as u32).collect()
}

fn span<'a>(window: &'a [u32], table: &'a [u32]) -> Span<'a> {
    Span { tokens: window, table, known: 0, room: WINDOW, adapter: None, logits: WINDOW }
}

/// The plain path: the model's weights as numbers of 32 bits, and nothing else rounded.
fn plain(model: &Gguf, tokens: &[u32]) -> Said {
    let decoder = Decoder::load(model, &Device::flex()).unwrap_or_else(|error| panic!("{error}"));
    let table = table();
    let mut pool = decoder.pool(table.len()).unwrap_or_else(|error| panic!("{error}"));
    let mut said = Said::default();
    for window in tokens.chunks_exact(WINDOW) {
        said.add(window, &decoder.forward(&mut pool, &[span(window, &table)]));
    }
    said
}

fn native(fixture: &mut Fixture, tokens: &[u32]) -> Said {
    let table = table();
    let mut said = Said::default();
    for window in tokens.chunks_exact(WINDOW) {
        let Fixture { team, decoder, memory } = &mut *fixture;
        said.add(window, &decoder.forward(team, memory, &[span(window, &table)]));
    }
    said
}

/// Where the plain path's numbers are kept.
fn kept(folder: &Path, model: &Path, tokens: &[u32]) -> PathBuf {
    let model = std::fs::read(model).unwrap_or_else(|error| panic!("{}: {error}", model.display()));
    let mut digest = Sha256::new_with_prefix(model);
    let sizes = [WINDOW as u32, LOGITS_EVERY as u32];
    sizes.iter().chain(tokens).for_each(|number| digest.update(number.to_le_bytes()));
    let digest: String = digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    folder.join(format!("perplexity-{digest}.f32"))
}

/// The plain path's numbers, computed where they are not kept in `folder`.
#[allow(clippy::print_stdout, reason = "a bench says what takes minutes")]
fn plain_once(folder: &Path, path: &Path, model: &Gguf, tokens: &[u32]) -> Said {
    let file = kept(folder, path, tokens);
    if let Some(said) = std::fs::read(&file).ok().as_deref().and_then(Said::read) {
        println!("the plain path's numbers are those of an earlier run, {}", file.display());
        return said;
    }
    let begin = Instant::now();
    let said = plain(model, tokens);
    println!("the plain path took {:.0} s for {TOKENS} tokens", begin.elapsed().as_secs_f64());
    let kept = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&file, said.bytes()));
    kept.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    said
}

/// Measures both; `folder` is where what takes long is kept.
#[allow(clippy::print_stdout, reason = "a bench prints its table")]
pub(super) fn report(fixture: &mut Fixture, path: &Path, folder: &Path) -> Value {
    let model = Gguf::open(path).unwrap_or_else(|error| panic!("{error}"));
    let tokens = tokens(&model);
    let plain = plain_once(folder, path, &model, &tokens);
    let begin = Instant::now();
    let native = native(fixture, &tokens);
    let (here, there) = (native.perplexity(), plain.perplexity());
    let delta = here / there - 1.0;
    let (mean, most) = native.distances(&plain);
    println!("perplexity {here:.3}, in {:.0} s; on the plain path {there:.3}", begin.elapsed().as_secs_f64());
    println!("the difference is {:.2} % (target: at most {:.1} %)", delta * 100.0, DELTA_MAX * 100.0);
    println!("logits are {mean:.1e} away on average and {most:.1e} at most (target: at most {DISTANCE_MAX:.0e})");
    json!({ "perplexity_delta": delta, "perplexity": here, "logit_distance_mean": mean, "logit_distance_max": most })
}
