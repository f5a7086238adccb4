//! What it costs an agent to be a program of WebAssembly behind the kernel: its tokens a second beside those of the same loop written
//! natively on the engine's port.
//!
//! The loop is `tests/programs/examples/turns.rs`. Both write the same tokens, one beside the other in turns, so that a busy moment of
//! the machine meets both; the fastest of each counts, since the work is the same every time.

use super::{
    common::{Stage, block_on, message, program_asking},
    drive::{Driver, MODEL, Model, Seat},
    fleet::OUTPUT_TOKENS,
};
use remit_abi::Tokens;
use remit_assembly::{Agent, Ended, Running, Task};
use remit_inference::{Limits, LocalEngine};
use remit_kernel::ports::{ChatMessage, Engine as _, EngineEvent, PromptText};
use serde_json::{Value, json};
use std::{sync::Arc, time::Instant};

/// Turns of one life: two seconds of writing.
const TURNS: u32 = 10;
/// Lives of each.
const LIVES: usize = 12;
const SYSTEM: &str = include_str!("system.txt");
/// Places for guests.
const GUESTS: u32 = 8;

/// Seconds of a life as a program.
fn guest(stage: &Stage, agent: &Agent, ends: &[u32]) -> f64 {
    let ends: String = ends.iter().map(|end| format!(" {end}")).collect();
    let messages = message(&format!("{TURNS} {OUTPUT_TOKENS}{ends}\n{SYSTEM}"));
    let task = Task { budget: Tokens::from_whole(1_000_000), messages, ..Task::default() };
    let begin = Instant::now();
    let Running { mut events, finished, .. } = stage.node.start(agent, task).expect("it has a budget");
    let ended = block_on(async {
        while events.recv().await.is_some() {}
        finished.await.ended
    });
    assert!(matches!(ended, Ended::Done(..)), "{ended:?}");
    begin.elapsed().as_secs_f64()
}

/// Seconds of the same natively.
fn native(driver: &Driver<'_>, engine: &LocalEngine) -> f64 {
    let begin = Instant::now();
    for turn in 0..TURNS {
        let message = |role, content: &str| ChatMessage::said(role, content);
        let messages = vec![
            message(remit_abi::Role::System, SYSTEM),
            message(remit_abi::Role::User, &format!("Request number {turn}: what do you do first?")),
        ];
        let prompt = engine.tokenize(MODEL, &PromptText::Chat(messages.into())).expect("it has a template");
        let mut stream = driver.ask(Seat { tenant: 77, program: 1 }, prompt);
        let mut text = String::new();
        while let Some(event) = stream.events.blocking_recv() {
            match event {
                EngineEvent::Text(more) => text += &more,
                EngineEvent::Failed(error) => panic!("{error}"),
                _ => {}
            }
        }
        assert_eq!(stream.meter.usage().output, OUTPUT_TOKENS);
    }
    begin.elapsed().as_secs_f64()
}

/// Measures it.
#[allow(clippy::print_stdout, reason = "a benchmark prints its table")]
pub(crate) fn report(model: &Model<'_>) -> Value {
    let engine = Arc::new(model.engine(Limits::default()));
    let stage = Stage::over(engine.clone(), GUESTS);
    let agent = stage.load(&program_asking("turns", "[[wants.models]]\nlabel = \"chat\"\n"));
    let driver = Driver::new(model, &engine);
    let mut least = [f64::INFINITY; 2];
    // The first life of each has its beginning to compute, and does not count.
    for life in 0..=LIVES {
        let took = [guest(&stage, &agent, &model.ends), native(&driver, &engine)];
        if life > 0 {
            least.iter_mut().zip(took).for_each(|(least, took)| *least = least.min(took));
        }
    }
    let [guest, native] = least.map(|seconds| f64::from(TURNS * OUTPUT_TOKENS) / seconds);
    let tax = 1.0 - guest / native;
    println!("an agent in Wasm writes {guest:.1} tokens/s, the same loop natively {native:.1}");
    println!("the tax is {:.2} % (target: at most 2 %)", tax * 100.0);
    json!({ "wasm_tax": tax })
}
