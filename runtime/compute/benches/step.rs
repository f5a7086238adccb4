//! Where the time of a whole step goes: the shape of SmolLM2-135M with weights of noise, computed as a decoder does.
//!
//! `cargo bench -p remit-compute --bench step -- [ROWS...]`
//!
//! One table for each number of rows, on one thread and on two: decoding steps of as many sequences, each with [`KNOWN`] tokens
//! before, and one step of a whole prompt. Each kind of work has the lower quartile of its time, what share that is of the whole
//! step, and, for products, how many there are in a second. What is not in any kind is what lies between.

#![allow(clippy::print_stdout, reason = "it prints tables")]
#![allow(clippy::unwrap_used, reason = "it ends where it cannot go on")]

use remit_compute::{
    Format, Isa, Matrix, Packer, Part, Rows, Team,
    attention::{Heads, Sequence, attend},
    blocks::{BLOCK_TOKENS, BlockShape, Blocks},
    elementwise::{self, Activation, Pairs},
};
use std::{
    collections::BTreeMap,
    hint::black_box,
    time::{Duration, Instant},
};

const LAYERS: usize = 30;
const WIDTH: usize = 576;
const INNER: usize = 1536;
const VOCABULARY: usize = 49152;
const HEADS: Heads = Heads { heads: 9, kv_heads: 3, width: 64, scale: 0.125, softcap: None, window: None };
const EPSILON: f32 = 1e-5;
/// Tokens before the new one of a decoding step.
const KNOWN: usize = 128;
/// Rows from which on all are of one prompt.
const PROMPT_MIN: usize = 64;
const ROWS: [usize; 6] = [1, 4, 8, 16, 32, 512];
/// For how long a step is repeated, at least.
const TIME: Duration = Duration::from_millis(700);

fn main() {
    let wanted: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let teams = [1, 2].map(|threads| Team::new(threads, Isa::best()).unwrap());
    let model = Model::new(&teams[1]);
    for rows in if wanted.is_empty() { ROWS.to_vec() } else { wanted } {
        let [one, two] = teams.each_ref().map(|team| model.measure(team, rows));
        print(rows, &one, &two);
    }
}

fn print(rows: usize, one: &[Line], two: &[Line]) {
    println!(
        "\n{rows:>4} rows {:>13} {:>6} {:>7} {:>13} {:>6} {:>7}",
        "1 thread, ms", "share", "G/s", "2 threads, ms", "share", "G/s"
    );
    let step = |lines: &[Line]| lines.iter().find(|line| line.kind == Kind::Step).unwrap().seconds;
    for (a, b) in one.iter().zip(two) {
        let show = |line: &Line, of: f64| {
            let products = line.kind.products(rows) as f64 / line.seconds / 1e9;
            let products = if products > 0.0 { format!("{products:.1}") } else { String::new() };
            format!("{:>13.3} {:>5.1}% {products:>7}", line.seconds * 1e3, line.seconds / of * 100.0)
        };
        println!("{:<9} {} {}", format!("{:?}", a.kind), show(a, step(one)), show(b, step(two)));
    }
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Norm,
    Quantize,
    Project,
    Turn,
    Attend,
    Mix,
    Add,
    GateUp,
    Gate,
    Down,
    Output,
    /// All of it.
    Step,
}

impl Kind {
    /// Products that a step has.
    fn products(self, rows: usize) -> usize {
        match self {
            Self::Project => rows * LAYERS * WIDTH * HEADS.projected_width(),
            Self::Mix => rows * LAYERS * WIDTH * HEADS.mixed_width(),
            Self::GateUp => rows * LAYERS * WIDTH * 2 * INNER,
            Self::Down => rows * LAYERS * WIDTH * INNER,
            Self::Output => drawn(rows) * WIDTH * VOCABULARY,
            Self::Norm | Self::Quantize | Self::Turn | Self::Attend | Self::Add | Self::Gate | Self::Step => 0,
        }
    }
}

/// Rows whose logits are asked for.
fn drawn(rows: usize) -> usize {
    if rows < PROMPT_MIN { rows } else { 1 }
}

struct Line {
    kind: Kind,
    seconds: f64,
}

struct Model {
    layers: Vec<Layer>,
    norm: Vec<f32>,
    output: Matrix,
}

struct Layer {
    project: Matrix,
    mix: Matrix,
    gate_up: Matrix,
    down: Matrix,
}

/// What a step computes in.
#[derive(Default)]
struct Scratch {
    hidden: Vec<f32>,
    normal: Vec<f32>,
    rows: Rows,
    projected: Vec<f32>,
    attended: Vec<f32>,
    branch: Vec<f32>,
    both: Vec<f32>,
    inner: Vec<f32>,
    logits: Vec<f32>,
}

/// When each kind was begun and done, in one step.
struct Watch(BTreeMap<Kind, f64>);

impl Watch {
    fn time(&mut self, kind: Kind, work: impl FnOnce()) {
        let begin = Instant::now();
        work();
        *self.0.entry(kind).or_default() += begin.elapsed().as_secs_f64();
    }
}

impl Model {
    fn new(team: &Team) -> Self {
        let packer = Packer::new(team);
        let mut seed = 0;
        let mut matrix = |format: Format, outputs: usize, inputs: usize| {
            seed += 1;
            let bytes = noise(format, outputs * inputs, seed);
            packer.pack(&[Part { format, rows: outputs, bytes: &bytes }], inputs).unwrap()
        };
        let mut layer = |_| Layer {
            project: matrix(Format::Q4_1, HEADS.projected_width(), WIDTH),
            mix: matrix(Format::Q4_1, WIDTH, HEADS.mixed_width()),
            gate_up: matrix(Format::Q4_1, 2 * INNER, WIDTH),
            down: matrix(Format::Q4_1, WIDTH, INNER),
        };
        let layers = (0..LAYERS).map(&mut layer).collect();
        Self { layers, norm: vec![1.0; WIDTH], output: matrix(Format::Q8_0, VOCABULARY, WIDTH) }
    }

    /// Lower quartiles of what a step takes.
    fn measure(&self, team: &Team, rows: usize) -> Vec<Line> {
        let (known, sequences) = if rows < PROMPT_MIN { (KNOWN, rows) } else { (0, 1) };
        let new = rows / sequences;
        let each = (known + new).div_ceil(BLOCK_TOKENS);
        let shape = BlockShape { layers: LAYERS, kv_heads: HEADS.kv_heads, head_width: HEADS.width };
        let mut blocks = Blocks::new(shape, each * sequences).unwrap();
        // Halves from 0.5 to 1.
        let bytes: Vec<u8> = (0..blocks.bytes_each()).map(|at| if at % 2 == 1 { 0x38 } else { at as u8 }).collect();
        (0..blocks.count() as u32).for_each(|block| blocks.write(block, &bytes).unwrap());
        let table = |sequence: usize| (0..each).map(|block| (block * sequences + sequence) as u32).collect::<Vec<_>>();
        let tables: Vec<_> = (0..sequences).map(table).collect();
        let sequence = |(index, table)| Sequence { table, known, rows: index * new..(index + 1) * new };
        let sequences: Vec<_> = tables.iter().map(Vec::as_slice).enumerate().map(sequence).collect();
        let turns = vec![(0.6, 0.8); rows * HEADS.width / 2];
        let mut scratch = Scratch::new(rows);
        let mut all: BTreeMap<Kind, Vec<f64>> = BTreeMap::new();
        let begin = Instant::now();
        while begin.elapsed() < TIME || all[&Kind::Step].len() < 4 {
            let mut watch = Watch(BTreeMap::new());
            let step = Instant::now();
            self.step(team, &mut blocks, &sequences, &turns, &mut scratch, &mut watch);
            watch.0.insert(Kind::Step, step.elapsed().as_secs_f64());
            watch.0.into_iter().for_each(|(kind, seconds)| all.entry(kind).or_default().push(seconds));
        }
        all.into_iter().map(|(kind, times)| Line { kind, seconds: usual(times) }).collect()
    }

    fn step(
        &self,
        team: &Team,
        blocks: &mut Blocks,
        sequences: &[Sequence<'_>],
        turns: &[(f32, f32)],
        scratch: &mut Scratch,
        watch: &mut Watch,
    ) {
        let Scratch { hidden, normal, rows, projected, attended, branch, both, inner, logits } = scratch;
        hidden.iter_mut().enumerate().for_each(|(index, number)| *number = (index * 7919 % 1009) as f32 / 504.5 - 1.0);
        for (index, layer) in self.layers.iter().enumerate() {
            watch.time(Kind::Norm, || elementwise::rms_norm(team, hidden, &self.norm, EPSILON, normal));
            watch.time(Kind::Quantize, || rows.fill(team, normal, &layer.project));
            watch.time(Kind::Project, || layer.project.multiply(team, rows, projected));
            watch.time(Kind::Turn, || elementwise::turn(team, &HEADS, turns, Pairs::Halves, projected));
            watch.time(Kind::Attend, || attend(team, blocks, index, &HEADS, projected, sequences, attended));
            watch.time(Kind::Quantize, || rows.fill(team, attended, &layer.mix));
            watch.time(Kind::Mix, || layer.mix.multiply(team, rows, branch));
            watch.time(Kind::Add, || elementwise::add(team, hidden, branch));
            watch.time(Kind::Norm, || elementwise::rms_norm(team, hidden, &self.norm, EPSILON, normal));
            watch.time(Kind::Quantize, || rows.fill(team, normal, &layer.gate_up));
            watch.time(Kind::GateUp, || layer.gate_up.multiply(team, rows, both));
            watch.time(Kind::Gate, || elementwise::gate(team, both, INNER, Activation::Silu, inner));
            watch.time(Kind::Quantize, || rows.fill(team, inner, &layer.down));
            watch.time(Kind::Down, || layer.down.multiply(team, rows, branch));
            watch.time(Kind::Add, || elementwise::add(team, hidden, branch));
        }
        let (last, normal) = (&hidden[hidden.len() - logits.len() / VOCABULARY * WIDTH..], &mut *normal);
        let normal = &mut normal[..last.len()];
        watch.time(Kind::Norm, || elementwise::rms_norm(team, last, &self.norm, EPSILON, normal));
        watch.time(Kind::Quantize, || rows.fill(team, normal, &self.output));
        watch.time(Kind::Output, || self.output.multiply(team, rows, logits));
        black_box(logits);
    }
}

impl Scratch {
    fn new(rows: usize) -> Self {
        Self {
            hidden: vec![0.0; rows * WIDTH],
            normal: vec![0.0; rows * WIDTH],
            rows: Rows::new(),
            projected: vec![0.0; rows * HEADS.projected_width()],
            attended: vec![0.0; rows * HEADS.mixed_width()],
            branch: vec![0.0; rows * WIDTH],
            both: vec![0.0; rows * 2 * INNER],
            inner: vec![0.0; rows * INNER],
            logits: vec![0.0; drawn(rows) * VOCABULARY],
        }
    }
}

/// The lower quartile: what it takes while nothing else runs.
fn usual(mut times: Vec<f64>) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 4]
}

/// Blocks of so many weights: noise, whose scales are 1/64 to 1/32 and whose minimums as large and negative.
fn noise(format: Format, count: usize, seed: u64) -> Vec<u8> {
    let (elements, block) = format.block();
    let mut state = 88_172_645_463_325_252_u64 ^ seed;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    let mut bytes: Vec<u8> = (0..count / elements * block).map(|_| next()).collect();
    for block in bytes.chunks_exact_mut(block) {
        block[1] = 0x14;
        if format == Format::Q4_1 {
            block[3] = 0x94;
        }
    }
    bytes
}
