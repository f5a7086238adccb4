//! What it costs an agent to be a program of WebAssembly behind the kernel: its tokens a second beside those of the same loop written
//! natively on the engine's port.
//!
//! The loop is `tests/programs/examples/turns.rs`. Both write the same tokens, one after the other in pairs, and in each pair the other
//! one begins. What the machine gives changes by more than is measured, but less within a pair: the median of the pairs counts.

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
const LIVES: usize = 32;
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
    let mut taxes = Vec::with_capacity(LIVES);
    // The first life of each has its beginning to compute, and does not count.
    for life in 0..=LIVES {
        let as_guest = || guest(&stage, &agent, &model.ends);
        let natively = || native(&driver, &engine);
        let (of_guest, of_native) = if life % 2 == 0 {
            let of_guest = as_guest();
            (of_guest, natively())
        } else {
            let of_native = natively();
            (as_guest(), of_native)
        };
        if life > 0 {
            taxes.push(1.0 - of_native / of_guest);
        }
    }
    taxes.sort_unstable_by(f64::total_cmp);
    let [low, tax, high] = [1, 2, 3].map(|quarter| taxes[quarter * LIVES / 4]);
    println!(
        "of its tokens/s an agent in Wasm lacks {:.2} % of the same loop natively, half of {LIVES} pairs between {:.2} and {:.2} % (target: at \
         most 2 %)",
        tax * 100.0,
        low * 100.0,
        high * 100.0
    );
    json!({ "wasm_tax": tax })
}
