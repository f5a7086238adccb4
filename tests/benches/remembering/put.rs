//! Guests that write, and a person who looks for what they wrote.

use super::{
    common::{self, Stage, block_on, median, message, program_asking, scratch, shown},
    models::{CHAT, Models, Voice},
};
use remit_abi::{EntryFilter, GrantKind, Params, Priority, Scope, TenantId, Tokens, Weighting};
use remit_assembly::{Agent, Home, Running, Task};
use remit_kernel::{
    Looking, LookingBy,
    ports::{Engine as _, EngineEvent, GenerationJob, PromptText},
};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Who runs agents on their own machine.
const TENANT: TenantId = TenantId(0);

/// Numbers of a vector of MiniLM's.
const WIDTH: u32 = 384;

/// Writes of the process that writes alone.
const ALONE: u32 = 2_000;

/// Processes that write side by side, and writes of each: 100,000 entries with those of the others.
const PROCESSES: u32 = 16;
const EACH: u32 = 6_000;

/// Answers that the model writes at a time.
const ANSWERS: u64 = 4;

const SEARCHES: u32 = 200;

/// The first ones read the index.
const WARM: u32 = 20;

const MANIFEST: &str = "[[wants.memory]]\nlabel = \"notes\"\nstores = [\"notes\"]\naccess = \"read-write\"\n";

/// Nothing of it outlives the host.
const PATIENCE: Duration = Duration::from_secs(3600);

pub(crate) fn measure() -> Value {
    let models = Arc::new(Models::new(Voice::Model));
    let folder = scratch("remembering-put");
    let stage = Stage::durable(models.clone(), Home::at(folder.clone()), PATIENCE);
    let agent = stage.load(&program_asking("notes_much", MANIFEST));
    let alone = |seed: u32| p50_ms(&shown(start(&stage, &agent, ALONE, seed)));
    // What is done for the first time is not measured.
    alone(1);
    let idle = alone(2);
    let decoding = beside(&models, || alone(3));
    let begun = Instant::now();
    let running: Vec<_> = (0..PROCESSES).map(|process| start(&stage, &agent, EACH, 10 + process)).collect();
    // Each shows one line at its end: none of them waits for who reads it.
    let shown: Vec<_> = running.into_iter().map(shown).collect();
    flush(&stage);
    let rate = f64::from(PROCESSES * EACH) / begun.elapsed().as_secs_f64();
    let mut of_each: Vec<_> = shown.iter().map(|times| p50_ms(times)).collect();
    println!(
        "\na write of a guest's: {idle:.3} ms idle, {decoding:.3} ms beside {ANSWERS} answers (target: at most 1 ms idle)"
    );
    println!("{PROCESSES} processes: {rate:.0} writes a second (target: 2,000), p50 {:.3} ms", median(&mut of_each));
    let text = search(&stage);
    println!("a search from text among {} entries: {text:.2} ms (target: at most 20 ms)", entries(&stage));
    stage.node.stop();
    drop(stage);
    common::remove(&folder);
    json!({ "put_p50_ms": idle, "put_decoding_p50_ms": decoding, "puts_per_s_16": rate, "search_text_ms": text })
}

fn start(stage: &Stage, agent: &Agent, count: u32, seed: u32) -> Running {
    let messages = message(&format!("{count} {WIDTH} {seed}"));
    let task = Task { budget: Tokens::from_whole(100_000_000), messages, ..Task::default() };
    stage.node.start(agent, task).expect("it has a budget")
}

/// Of times in microseconds, between spaces.
fn p50_ms(times: &str) -> f64 {
    let mut times: Vec<f64> = times.split_whitespace().map(|time| time.parse().expect("a number")).collect();
    median(&mut times) / 1e3
}

fn flush(stage: &Stage) {
    let store = &stage.node.kernel().memory().store;
    block_on(store.flush(TENANT)).expect("the disk takes it");
}

fn entries(stage: &Stage) -> u64 {
    let store = &stage.node.kernel().memory().store;
    block_on(store.figures(TENANT)).expect("its files are whole").entries
}

/// Has the model write answers as long as something else goes on.
fn beside<T>(models: &Models, work: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for program in 0..ANSWERS {
            let stop = &stop;
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    answer(models, program, stop);
                }
            });
        }
        let result = work();
        stop.store(true, Ordering::Relaxed);
        result
    })
}

/// Has it write one, until that is to stop.
fn answer(models: &Models, program: u64, stop: &AtomicBool) {
    let prompt = models.tokenize(CHAT, &PromptText::Text("Once upon a time".to_owned())).expect("it has a tokenizer");
    let (tenant, priority, params) = (TenantId(9), Priority::Normal, Params::greedy(256));
    let job = GenerationJob { tenant, program, priority, model: CHAT.into(), prompt, params, tools: None };
    let mut stream = models.generate(job).expect("there is room");
    while let Some(event) = stream.events.blocking_recv() {
        if matches!(event, EngineEvent::End(_)) {
            break;
        }
        if stop.load(Ordering::Relaxed) {
            stream.meter.cancel();
        }
    }
}

/// Milliseconds of a search from a text, p50, where all is indexed.
fn search(stage: &Stage) -> f64 {
    let kernel = stage.node.kernel();
    block_on(kernel.memory().store.optimize(TENANT)).expect("the disk takes it");
    let stores = Scope::parse(GrantKind::Memory, &["notes"]).expect("it is a store's name");
    let mut times = Vec::new();
    for place in 0..SEARCHES {
        let text = format!("word{} word{} of the old harbour", place * 7 % 20_000, place * 31 % 20_000).into();
        let (stores, filter, weighting) = (stores.clone(), EntryFilter::default(), Weighting::default());
        let looking = Looking { tenant: TENANT, stores, text, by: LookingBy::Both, filter, weighting, count: 10 };
        let begun = Instant::now();
        let found = block_on(kernel.search_memory(looking)).expect("it can be searched");
        assert_eq!(found.len(), 10);
        if place >= WARM {
            times.push(begun.elapsed().as_secs_f64() * 1e3);
        }
    }
    median(&mut times)
}
