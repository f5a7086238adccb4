//! How much of the memory for keys and values has nothing in it: places without a token in blocks that sequences hold, over all
//! places of these, over a run of conversations of some 600 tokens that share nothing. The worst moment counts: while prompts are
//! computed in whole blocks there is next to nothing empty.

use remit_abi::{Params, Priority, TenantId};
use remit_inference::{Limits, LocalEngine, ModelFile};
use remit_kernel::ports::{Engine as _, EngineStream, GenerationJob};
use serde_json::{Value, json};
use std::{path::Path, time::Duration};

/// Conversations side by side, and the tokens that their prompts have: 600 on average.
const CONVERSATIONS: usize = 16;
const PROMPT_TOKENS_MIN: usize = 480;
const PROMPT_TOKENS_STEP: usize = 16;
/// Tokens that each writes.
const OUTPUT_TOKENS: u32 = 64;
/// Between two looks: a step.
const LOOK: Duration = Duration::from_millis(20);
/// What the part ought to stay below.
const WASTE_MAX: f64 = 0.04;

fn begin(engine: &LocalEngine, conversation: usize) -> EngineStream {
    // An odd number more than a multiple of a block, so that lengths within blocks differ.
    let length = PROMPT_TOKENS_MIN + conversation * (PROMPT_TOKENS_STEP + 1);
    let prompt = (0..length).map(|place| (place * 7919 + conversation * 104_729) as u32 % 40_000 + 100).collect();
    let job = GenerationJob {
        tenant: TenantId(1),
        program: conversation as u64,
        priority: Priority::Normal,
        model: "model".into(),
        prompt,
        params: Params::greedy(OUTPUT_TOKENS),
        tools: None,
    };
    engine.generate(job).unwrap_or_else(|error| panic!("{error}"))
}

/// Measures it.
#[allow(clippy::print_stdout, reason = "a bench prints its table")]
pub(super) fn report(path: &Path) -> Value {
    let model = ModelFile { name: "model".into(), path: path.into(), digest: "0".into() };
    let engine = LocalEngine::load(&[model], Limits::default()).unwrap_or_else(|error| panic!("{error}"));
    let streams: Vec<_> = (0..CONVERSATIONS).map(|conversation| begin(&engine, conversation)).collect();
    let (mut places, mut empty, mut worst) = (0, 0, 0.0f64);
    loop {
        let totals = engine.figures()[0].totals;
        places += totals.places;
        empty += totals.places_empty;
        worst = worst.max(totals.waste());
        if totals.running + totals.waiting == 0 && totals.requests == CONVERSATIONS as u64 {
            break;
        }
        std::thread::sleep(LOOK);
    }
    drop(streams);
    println!(
        "of the blocks of {CONVERSATIONS} conversations {:.2} % are empty on average, {:.2} % at the worst (target: under {:.0} %)",
        empty as f64 / places as f64 * 100.0,
        worst * 100.0,
        WASTE_MAX * 100.0
    );
    json!({ "kv_waste": worst })
}
