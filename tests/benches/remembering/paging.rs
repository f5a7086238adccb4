//! Contexts side by side, each of a process of its own.

use super::{
    common::{self, Stage, message, percentile, program_asking, scratch, shown},
    models::{Models, Voice},
};
use remit_abi::Tokens;
use remit_assembly::{Home, Task};
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

const CONTEXTS: usize = 1_000;

/// Prompt and answer together.
const WINDOW: u32 = 2_048;

/// Of each, behind the first one, which fills the window.
const TURNS: u32 = 6;

/// A process thinks so long at most, and half of that on average.
const THINK: Duration = Duration::from_secs(40);

const MANIFEST: &str = "[[wants.models]]\nlabel = \"chat\"\n[[wants.memory]]\nlabel = \"pages\"\nstores = [\"pages\"]\naccess = \"read-write\"\n";

/// Nothing of it outlives the host.
const PATIENCE: Duration = Duration::from_secs(3600);

pub(crate) fn measure() -> Value {
    let models = Arc::new(Models::without_embedder(Voice::Same));
    let folder = scratch("remembering-paging");
    let stage = Stage::durable(models, Home::at(folder.clone()), PATIENCE);
    let agent = stage.load(&program_asking("pages_out", MANIFEST));
    let begun = Instant::now();
    let start = |seed: usize| {
        let messages = message(&format!("{WINDOW} {TURNS} {} {seed}", THINK.as_millis()));
        let task = Task { budget: Tokens::from_whole(1_000_000), messages, ..Task::default() };
        stage.node.start(&agent, task).expect("it has a budget")
    };
    // What a process shows has room until somebody reads it.
    let running: Vec<_> = (0..CONTEXTS).map(start).collect();
    let shown: Vec<_> = running.into_iter().map(shown).collect();
    let turns = shown.iter().flat_map(|text| text.lines()).map(|line| {
        let (micros, out) = line.split_once(' ').expect("two numbers");
        (micros.parse::<f64>().expect("a number") / 1e3, out.parse::<u64>().expect("a number") > 0)
    });
    let (paged, others): (Vec<_>, Vec<_>) = turns.partition(|(_, paged)| *paged);
    let times = |turns: Vec<(f64, bool)>| turns.into_iter().map(|(ms, _)| ms).collect::<Vec<_>>();
    let (mut paged, others) = (times(paged), times(others));
    let (p50, p99) = (percentile(&mut paged, 0.5), percentile(&mut paged, 0.99));
    println!(
        "\n{CONTEXTS} contexts side by side for {:.0} s: {} turns paged and took {p50:.1} ms, p99 {p99:.1} ms; {} did not",
        begun.elapsed().as_secs_f64(),
        paged.len(),
        others.len()
    );
    stage.node.stop();
    drop(stage);
    common::remove(&folder);
    json!({ "paging_p50_ms_1000": p50, "paging_p99_ms_1000": p99 })
}
