//! A model's figures, and what they are called.

use crate::{roofs::Roofs, shapes::Shape};
use remit_inference::model::{BLOCK_TOKENS, Decoder, Pool, PoolError, Span};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Streams that are decoded side by side.
const STREAMS: usize = 8;
/// Tokens of a stream before it is measured: their steps compile programs.
const WARM_TOKENS: usize = 4;
/// Tokens of each stream that are measured, at most, and how long.
const TOKENS: usize = 128;
const TIME: Duration = Duration::from_secs(3);
/// Prompts that are measured, after one that is not.
const PROMPTS: usize = 3;
/// Tokens before those that are decoded.
const BEFORE: usize = 16;

/// Tokens a second.
pub(crate) struct Measured {
    step_bytes: usize,
    decode: f64,
    decode_streams: f64,
    prefill: f64,
    /// Multiplications and additions a second.
    prefill_operations: f64,
}

impl Measured {
    /// Measures; what has not begun by `end` is measured as short as can be.
    ///
    /// # Errors
    /// [`PoolError`], where the device has no room for keys and values.
    pub(crate) fn of(decoder: &Decoder, shape: &Shape, end: Instant) -> Result<Self, PoolError> {
        let prefill = prefill_rate(decoder, shape, end)?;
        Ok(Self {
            step_bytes: decoder.step_bytes(),
            decode: decode_rate(decoder, shape, 1, end)?,
            decode_streams: decode_rate(decoder, shape, STREAMS, end)?,
            prefill: prefill * shape.prompt as f64,
            prefill_operations: prefill * shape.prompt_operations(),
        })
    }

    /// Of the memory's bandwidth, how much one stream's weights take.
    fn bandwidth_fraction(&self, roofs: &Roofs) -> f64 {
        self.decode * self.step_bytes as f64 / roofs.bandwidth
    }

    fn compute_fraction(&self, roofs: &Roofs) -> f64 {
        self.prefill_operations / roofs.best_compute()
    }

    /// A line of the table.
    pub(crate) fn line(&self, shape: &str, form: &str, roofs: &Roofs) -> String {
        format!(
            "{shape:5} {form:5} {:6.2} GB {:12.1} {:6.3} {:12.1} {:12.1} {:6.3}",
            self.step_bytes as f64 / 1e9,
            self.decode,
            self.bandwidth_fraction(roofs),
            self.decode_streams,
            self.prefill,
            self.compute_fraction(roofs),
        )
    }
}

fn tokens(count: usize, shape: &Shape) -> Vec<u32> {
    (0..count).map(|index| (index * 7919 % shape.vocabulary) as u32).collect()
}

/// A pool for so many streams of so many tokens, and each one's blocks.
fn blocks(decoder: &Decoder, streams: usize, tokens: usize) -> Result<(Pool, Vec<Vec<u32>>), PoolError> {
    let each = tokens.div_ceil(BLOCK_TOKENS);
    let tables = (0..streams).map(|stream| (0..each).map(|block| (stream * each + block) as u32).collect());
    Ok((decoder.pool(streams * each)?, tables.collect()))
}

/// New tokens of a stream, whose last one's logits are asked for.
fn span<'a>(tokens: &'a [u32], table: &'a [u32], known: usize) -> Span<'a> {
    Span { tokens, table, known, room: table.len() * BLOCK_TOKENS, adapter: None, logits: 1 }
}

/// Prompts a second, the best of some.
fn prefill_rate(decoder: &Decoder, shape: &Shape, end: Instant) -> Result<f64, PoolError> {
    let prompt = tokens(shape.prompt, shape);
    let (mut pool, tables) = blocks(decoder, 1, prompt.len())?;
    let mut best = f64::INFINITY;
    for index in 0..=PROMPTS {
        let begin = Instant::now();
        let drawn = decoder.forward_greedy(&mut pool, &[span(&prompt, &tables[0], 0)], usize::MAX);
        assert_eq!(drawn.len(), 1);
        if index > 0 {
            best = best.min(begin.elapsed().as_secs_f64());
        }
        if index > 0 && Instant::now() > end {
            break;
        }
    }
    Ok(1.0 / best)
}

/// Tokens a second of all streams together.
fn decode_rate(decoder: &Decoder, shape: &Shape, streams: usize, end: Instant) -> Result<f64, PoolError> {
    let room = BEFORE + WARM_TOKENS + TOKENS;
    let (mut pool, tables) = blocks(decoder, streams, room)?;
    let prompt = tokens(BEFORE, shape);
    let mut last = vec![0; streams];
    for (table, last) in tables.iter().zip(&mut last) {
        *last = decoder.forward_greedy(&mut pool, &[span(&prompt, table, 0)], usize::MAX)[0];
    }
    let mut known = BEFORE;
    let mut step = || {
        let spans = tables.iter().zip(&last).map(|(table, token)| span(std::slice::from_ref(token), table, known));
        let drawn = decoder.forward_greedy(&mut pool, &spans.collect::<Vec<_>>(), usize::MAX);
        last.copy_from_slice(&drawn);
        known += 1;
    };
    (0..WARM_TOKENS).for_each(|_| step());
    let begin = Instant::now();
    let mut steps = 0;
    while steps < TOKENS && (steps == 0 || (begin.elapsed() < TIME && Instant::now() < end)) {
        step();
        steps += 1;
    }
    Ok((steps * streams) as f64 / begin.elapsed().as_secs_f64())
}

/// Figures by name. On a software adapter each name says so.
pub(crate) struct Figures {
    is_software: bool,
    figures: BTreeMap<String, f64>,
}

impl Figures {
    pub(crate) fn new(is_software: bool) -> Self {
        Self { is_software, figures: BTreeMap::new() }
    }

    /// A figure of the device.
    pub(crate) fn add(&mut self, name: &str, figure: f64) {
        let owner = if self.is_software { "software" } else { "gpu" };
        self.figures.insert(format!("{owner}_{name}"), figure);
    }

    /// A model's. Those of bf16 weights are the model's own, the others say what their weights are.
    pub(crate) fn add_model(&mut self, shape: &str, form: &str, measured: &Measured, roofs: &Roofs) {
        let name = if form == "bf16" { shape.to_owned() } else { format!("{shape}_{form}") };
        self.add(&format!("bandwidth_fraction_{name}"), measured.bandwidth_fraction(roofs));
        self.add(&format!("decode_tokens_per_s_{name}"), measured.decode);
        self.add(&format!("decode_tokens_per_s_{STREAMS}_streams_{name}"), measured.decode_streams);
        self.add(&format!("prefill_tokens_per_s_{name}"), measured.prefill);
        let prefill = format!("prefill_compute_fraction_{name}");
        let prefill = if self.is_software { format!("software_{prefill}") } else { prefill };
        self.figures.insert(prefill, measured.compute_fraction(roofs));
    }

    pub(crate) fn finish(self) -> BTreeMap<String, f64> {
        self.figures
    }
}
