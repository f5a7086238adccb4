//! SmolLM2 twice, in memory for one: what leaves is really gone.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "it says how much memory was used")]

use remit_abi::{Params, Priority, TenantId};
use remit_inference::{
    Limits, LocalEngine, ModelFile, Residency,
    residency::{Place, Rules},
};
use remit_kernel::ports::{Engine, EngineEvent, GenerationJob, PromptText};
use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

fn open(name: &str, residency: &Arc<Residency>) -> LocalEngine {
    let Some(path) = std::env::var_os("REMIT_TEST_MODEL").map(PathBuf::from) else {
        panic!("REMIT_TEST_MODEL does not name SmolLM2's GGUF file; run `cargo xtask test`, which sets it")
    };
    let file = ModelFile { name: name.into(), path, digest: "0".into() };
    LocalEngine::open(&[file], Limits::default(), residency).unwrap()
}

fn answer(engine: &LocalEngine, name: &str) -> String {
    let prompt = engine.tokenize(name, &PromptText::Text("The capital of France is".into())).unwrap();
    let job = GenerationJob {
        tenant: TenantId(1),
        program: 1,
        priority: Priority::Normal,
        model: name.into(),
        prompt,
        params: Params::greedy(4),
        tools: None,
    };
    let mut stream = engine.generate(job).unwrap();
    let mut text = String::new();
    while let Some(event) = stream.events.blocking_recv() {
        match event {
            EngineEvent::Text(more) => text += &more,
            EngineEvent::Failed(error) => panic!("{error}"),
            EngineEvent::Token(_) | EngineEvent::ToolCall(_) | EngineEvent::End(_) => {}
        }
    }
    text
}

/// Bytes of this process that are in memory and are not a file's.
#[cfg(target_os = "linux")]
fn own_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches("kB").trim_end().parse::<u64>().unwrap() * 1024
}

#[test]
fn weights_that_leave_give_their_memory_back() {
    let weights = open("alone", &Residency::unlimited()).weights_bytes();
    let (stay_min, patience) = (Duration::ZERO, Duration::ZERO);
    let residency = Residency::new(Rules { bytes_max: weights * 3 / 2, stay_min, patience });
    let engines = ["one", "two"].map(|name| (name, open(name, &residency)));
    let mut texts = Vec::new();
    for round in 1..4 {
        for (index, (name, engine)) in engines.iter().enumerate() {
            let begin = Instant::now();
            texts.push(answer(engine, name));
            println!("{name}, round {round}: {:.2} s", begin.elapsed().as_secs_f64());
            let view = residency.view();
            assert_eq!(view.bytes_held, weights);
            assert_eq!((view.models[index].place, view.models[index].loads), (Place::In, round));
        }
        #[cfg(target_os = "linux")]
        {
            let own = own_bytes();
            println!("round {round}: {} MB in memory, {} MB of weights", own / 1_000_000, weights / 1_000_000);
            assert!(own < weights * 8 / 5, "weights that left are still in memory");
        }
    }
    assert!(texts.iter().all(|text| text == &texts[0]), "{texts:?}");
}
