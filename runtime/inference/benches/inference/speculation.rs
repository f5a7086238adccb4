//! What speculation gives: the same prompts through an engine with it and without, one stream, greedy.

use super::ROUNDS;
use remit_abi::{Params, Priority, Role, TenantId};
use remit_inference::{Limits, LocalEngine, ModelFile};
use remit_kernel::ports::{ChatMessage, Engine, EngineEvent, GenerationJob, PromptText};
use serde_json::{Value, json};
use std::{path::Path, time::Instant};

const TOKENS: u32 = 160;

/// A document to say again, as agents do with files that they change a little.
const COPY: &str = r#"Repeat this JSON exactly as it is:
{"orders": [
{"id": 1001, "customer": "Alice Martin", "city": "Lyon", "items": ["lamp", "desk"], "paid": true},
{"id": 1002, "customer": "Bruno Keller", "city": "Basel", "items": ["chair"], "paid": false},
{"id": 1003, "customer": "Carla Rossi", "city": "Turin", "items": ["shelf", "rug", "clock"], "paid": true}
]}"#;
/// A text that was not there before.
const WRITE: &str = "Write a short story about a lighthouse keeper and a storm.";

/// Tokens a second behind the first one, and the text.
fn measure(engine: &LocalEngine, prompt: &str, speculation: bool) -> (f64, String) {
    let message = ChatMessage::said(Role::User, prompt);
    let prompt =
        engine.tokenize("m", &PromptText::Chat(vec![message].into())).unwrap_or_else(|error| panic!("{error}"));
    let job = GenerationJob {
        tenant: TenantId(0),
        program: 1,
        priority: Priority::Normal,
        model: "m".into(),
        prompt,
        params: Params { speculation, ..Params::greedy(TOKENS) },
        tools: None,
    };
    let mut stream = engine.generate(job).unwrap_or_else(|error| panic!("{error}"));
    let (mut text, mut begin) = (String::new(), None);
    loop {
        match stream.events.blocking_recv() {
            Some(EngineEvent::Text(more)) => {
                begin.get_or_insert_with(Instant::now);
                text += &more;
            }
            Some(EngineEvent::End(_)) => break,
            other => panic!("it ends with {other:?}"),
        }
    }
    let seconds = begin.map_or(0.0, |begin| begin.elapsed().as_secs_f64());
    (f64::from(stream.meter.usage().output - 1) / seconds, text)
}

/// Prints a row for each prompt, and answers the figures.
#[allow(clippy::print_stdout, reason = "a bench prints its table")]
pub(crate) fn report(model: &Path) -> Value {
    let file = ModelFile { name: "m".into(), path: model.to_owned(), digest: "".into() };
    let engine = LocalEngine::load(&[file], Limits::default()).unwrap_or_else(|error| panic!("{error}"));
    let mut json = json!({});
    println!("{:10} {:>12} {:>12} {:>8}", "tokens/s", "speculating", "without", "ratio");
    for (name, prompt) in [("copy", COPY), ("write", WRITE)] {
        let (mut best, mut texts) = ([0.0f64; 2], Vec::new());
        // In turn, so that both meet the same machine.
        for _ in 0..ROUNDS {
            for (best, speculation) in best.iter_mut().zip([true, false]) {
                let (tps, text) = measure(&engine, prompt, speculation);
                *best = best.max(tps);
                texts.push(text);
            }
        }
        assert!(texts.iter().all(|text| *text == texts[0]), "speculation changes no text");
        let ratio = best[0] / best[1];
        println!("{name:10} {:>12.0} {:>12.0} {ratio:>8.2}", best[0], best[1]);
        json[format!("speculation_{name}_tps")] = best[0].into();
        json[format!("speculation_{name}_ratio")] = ratio.into();
    }
    let totals = engine.figures().first().map(|figures| figures.totals).unwrap_or_default();
    println!("of {} tokens guessed {} came", totals.proposed, totals.accepted);
    json
}
