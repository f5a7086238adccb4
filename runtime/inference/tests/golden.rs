//! SmolLM2 against an independent f32 implementation (see `goldens/make.py`): tokens, logits, greedy text.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "it says how long it took")]

use burn::tensor::Device;
use remit_abi::{Params, Penalties, Priority, Role, Sampling, TenantId};
use remit_compute::{Isa, Team};
use remit_inference::{
    Limits, LocalEngine, ModelFile,
    gguf::Gguf,
    model::{BLOCK_TOKENS, Decoder, NativeDecoder, NativeMemory, Span},
    sampler::argmax,
    tokenizer::Tokenizer,
};
use remit_kernel::ports::{ChatMessage, Engine, EngineEvent, EngineFinish, EngineStream, GenerationJob, PromptText};
use serde_json::Value;
use std::{path::PathBuf, sync::Arc, time::Duration};

/// Largest difference of a logit, over the largest logit of its position. The reference itself is within 2e-6 of f64;
/// two orders of f32 additions over 30 layers differ by some 3e-6.
const LOGIT_TOLERANCE: f64 = 1e-5;

fn model_path() -> PathBuf {
    match std::env::var_os("REMIT_TEST_MODEL") {
        Some(path) => path.into(),
        None => panic!(
            "REMIT_TEST_MODEL does not name SmolLM2's GGUF file; run `cargo xtask test`, which fetches it and sets it"
        ),
    }
}

fn goldens(name: &str) -> Value {
    let path = PathBuf::from("tests/goldens").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| u32::try_from(id.as_u64().unwrap()).unwrap()).collect()
}

fn prompt_of(golden: &Value) -> PromptText {
    let Some(messages) = golden["messages"].as_array() else {
        return PromptText::Text(golden["prompt"].as_str().unwrap().to_owned());
    };
    let message = |message: &Value| {
        let role = match message["role"].as_str().unwrap() {
            "system" => Role::System,
            "assistant" => Role::Assistant,
            _ => Role::User,
        };
        ChatMessage::said(role, message["content"].as_str().unwrap())
    };
    PromptText::Chat(messages.iter().map(message).collect::<Vec<_>>().into())
}

fn load() -> LocalEngine {
    let model = ModelFile { name: "smollm2".into(), path: model_path(), digest: "0".into() };
    LocalEngine::load(&[model], Limits::default()).unwrap()
}

#[test]
fn plain_strings_have_the_references_tokens() {
    let tokenizer = Tokenizer::from_gguf(&Gguf::open(&model_path()).unwrap()).unwrap();
    for golden in goldens("tokenization.json")["strings"].as_array().unwrap() {
        let text = golden["text"].as_str().unwrap();
        let tokens = ids(&golden["ids"]);
        // Where the two references differ (by the age of their Unicode tables, by when they leave out a byte that has
        // no token), either will do.
        let encoded = tokenizer.encode(text);
        let other = golden["note"].as_str().is_some_and(|note| note.ends_with(&format!("gives {encoded:?}")));
        assert!(encoded == tokens || other, "{text:?}: {encoded:?}, not {tokens:?}");
        let bytes: Vec<u8> = tokens.iter().flat_map(|token| tokenizer.bytes(*token)).copied().collect();
        match golden["lossy"].as_str() {
            None => assert_eq!(bytes, text.as_bytes(), "{text:?}"),
            Some(hex) => {
                assert_eq!(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), hex, "{text:?}");
            }
        }
    }
}

#[test]
fn the_same_tokens_end_a_generation() {
    let tokenizer = Tokenizer::from_gguf(&Gguf::open(&model_path()).unwrap()).unwrap();
    assert_eq!(tokenizer.ends(), ids(&goldens("smollm2-135m-instruct.json")["stop_ids"]));
}

/// The likeliest tokens behind a prompt, computed alone and one by one, and whether the last of them ends the text.
fn greedy(native: &mut Native, tokenizer: &Tokenizer, prompt: &[u32], most: usize) -> (Vec<u32>, bool) {
    let mut tokens = prompt.to_vec();
    let mut known = 0;
    for _ in 0..most {
        let logits = native.logits(&tokens[known..], known);
        known = tokens.len();
        tokens.push(argmax(&logits));
        if tokenizer.is_end(tokens[known]) {
            return (tokens.split_off(prompt.len()), true);
        }
    }
    (tokens.split_off(prompt.len()), false)
}

/// All prompts at once: sequences beside each other, chunks between decode steps, beginnings in common.
#[test]
fn greedy_text_is_what_each_prompt_gives_alone() {
    let engine = load();
    let goldens = goldens("smollm2-135m-instruct.json");
    let prompts = goldens["prompts"].as_array().unwrap().iter();
    let streams: Vec<_> = prompts
        .map(|golden| {
            let prompt = engine.tokenize("smollm2", &prompt_of(golden)).unwrap();
            assert_eq!(*prompt, *ids(&golden["prompt_ids"]), "{}", golden["name"]);
            let (tenant, program, priority) = (TenantId(1), 1, Priority::Normal);
            let (model, params) = ("smollm2".into(), Params::greedy(48));
            let job = GenerationJob { tenant, program, priority, model, prompt: prompt.clone(), params, tools: None };
            (&golden["name"], prompt, engine.generate(job).unwrap())
        })
        .collect();
    let mut native = Native::load();
    let tokenizer = Tokenizer::from_gguf(&Gguf::open(&model_path()).unwrap()).unwrap();
    for (name, prompt, mut stream) in streams {
        let mut text = String::new();
        let finish = loop {
            match stream.events.blocking_recv().unwrap() {
                EngineEvent::Text(more) => text += &more,
                EngineEvent::Token(token) => panic!("nobody asked for {token:?}"),
                EngineEvent::ToolCall(call) => panic!("nobody asked for {call:?}"),
                EngineEvent::End(finish) => break finish,
                EngineEvent::Failed(error) => panic!("{error}"),
            }
        };
        let (tokens, stopped) = greedy(&mut native, &tokenizer, &prompt, 48);
        let shown = &tokens[..tokens.len() - usize::from(stopped)];
        let bytes: Vec<u8> = shown.iter().flat_map(|token| tokenizer.bytes(*token)).copied().collect();
        assert_eq!(text, String::from_utf8_lossy(&bytes), "{name}");
        assert_eq!(finish, if stopped { EngineFinish::Stop } else { EngineFinish::Length }, "{name}");
        let usage = stream.meter.usage();
        assert_eq!(((usage.input + usage.cached) as usize, usage.output as usize), (prompt.len(), tokens.len()));
    }
}

/// SmolLM2 as the CPU computes it, with room for one sequence.
struct Native {
    team: Team,
    decoder: NativeDecoder,
    memory: NativeMemory,
    table: Vec<u32>,
}

impl Native {
    fn load() -> Self {
        let team = Team::new(2, Isa::best()).unwrap();
        let decoder = NativeDecoder::load(&Gguf::open(&model_path()).unwrap(), &team).unwrap();
        let memory = NativeMemory::new(decoder.architecture(), 64).unwrap();
        // The sequence's blocks are any of the pool.
        Self { team, decoder, memory, table: (0..64).rev().collect() }
    }

    /// The logits behind some tokens, which lie behind others.
    fn logits(&mut self, tokens: &[u32], known: usize) -> Vec<f32> {
        let span = Span { tokens, table: &self.table, known, room: 1024, adapter: None, logits: 1 };
        self.decoder.forward(&self.team, &mut self.memory, &[span])
    }
}

/// How far logits may be from those of f32, as the distance of the vectors over their length: on average, and a third of a vector
/// anywhere. Weights are as in the file, and what they are multiplied with has 8 bits: nothing else is left out, since with 16 bits
/// the same is 5e-4 on average and 5e-3 at most.
const PACKED_MEAN_MAX: f64 = 5e-2;
const PACKED_MAX: f64 = 0.33;
/// By so much of itself the likeliest token has to be ahead of the next for a clear choice.
const CLEAR: f64 = 5e-2;

/// Against the plain path: near enough, and the same token wherever the plain path clearly prefers one.
#[test]
fn packed_logits_are_near_those_of_the_plain_path() {
    let decoder = Decoder::load(&Gguf::open(&model_path()).unwrap(), &Device::flex()).unwrap();
    let mut native = Native::load();
    let goldens = goldens("smollm2-135m-instruct.json");
    let mut distances = Vec::new();
    let (mut compared, mut same) = (0, 0);
    for golden in goldens["prompts"].as_array().unwrap() {
        let (prompt, output) = (ids(&golden["prompt_ids"]), ids(&golden["output_ids"]));
        let tokens = [prompt.as_slice(), &output].concat();
        let table: Vec<u32> = (0..tokens.len().div_ceil(BLOCK_TOKENS) as u32).collect();
        let span =
            Span { tokens: &tokens, table: &table, known: 0, room: 1024, adapter: None, logits: output.len() + 1 };
        let plain = decoder.forward(&mut decoder.pool(table.len()).unwrap(), &[span]);
        native.logits(&prompt[..prompt.len() - 1], 0);
        let vocabulary = plain.len() / (output.len() + 1);
        for (place, plain) in plain.chunks_exact(vocabulary).enumerate() {
            let known = prompt.len() - 1 + place;
            let packed = native.logits(&tokens[known..=known], known);
            let norm =
                |numbers: &mut dyn Iterator<Item = f64>| numbers.map(|number| number * number).sum::<f64>().sqrt();
            let away = norm(&mut plain.iter().zip(&packed).map(|(a, b)| f64::from(a - b)));
            let length = norm(&mut plain.iter().map(|number| f64::from(*number)));
            distances.push(away / length);
            let mut order: Vec<f32> = plain.to_vec();
            order.sort_unstable_by(|a, b| b.total_cmp(a));
            if f64::from(order[0] - order[1]) > CLEAR * f64::from(order[0].abs()) {
                compared += 1;
                same += usize::from(argmax(plain) == argmax(&packed));
            }
        }
    }
    let worst = distances.iter().copied().fold(0.0, f64::max);
    let mean = distances.iter().sum::<f64>() / distances.len() as f64;
    println!("packed logits are {mean:.1e} away, {worst:.1e} at most; {same} of {compared} clear choices are the same");
    assert!(mean <= PACKED_MEAN_MAX && worst <= PACKED_MAX, "{mean:.1e}, {worst:.1e}");
    assert!(compared > 50 && same == compared, "{same} of {compared}");
}

/// The golden's logits at its positions, and its greedy tokens at every step, from one forward pass a position.
#[test]
fn logits_and_ids_are_the_references() {
    let decoder = Decoder::load(&Gguf::open(&model_path()).unwrap(), &Device::flex()).unwrap();
    let goldens = goldens("smollm2-135m-instruct.json");
    let sampled = ids(&goldens["sampled_ids"]);
    let mut worst = 0.0f64;
    for golden in goldens["prompts"].as_array().unwrap() {
        let (prompt, output) = (ids(&golden["prompt_ids"]), ids(&golden["output_ids"]));
        let tokens = [prompt.as_slice(), &output].concat();
        let entries: Vec<_> = golden["logits"].as_array().unwrap().iter().collect();
        // The sequence's blocks are any of the pool.
        let blocks = tokens.len().div_ceil(BLOCK_TOKENS);
        let (mut pool, table) = (decoder.pool(blocks).unwrap(), (0..blocks as u32).rev().collect::<Vec<_>>());
        let mut chosen = Vec::new();
        let mut begin = 0;
        let checked = |position: usize| entries.iter().find(|entry| entry["position"] == position);
        while begin < tokens.len() {
            // To the next position that is checked, or whose choice is; so prefill is chunked and decoding is not.
            let end = (begin..tokens.len()).find(|end| *end >= prompt.len() - 1 || checked(*end).is_some()).unwrap();
            let (known, room) = (begin, tokens.len());
            let span = Span { tokens: &tokens[begin..=end], table: &table, known, room, adapter: None, logits: 1 };
            let logits = decoder.forward(&mut pool, &[span]);
            begin = end + 1;
            if end >= prompt.len() - 1 {
                chosen.push(argmax(&logits));
            }
            if let Some(entry) = checked(end) {
                worst = worst.max(difference(&logits, entry, &sampled));
            }
        }
        let stop = golden["stop"].as_u64().map(|stop| stop as u32);
        let expect: Vec<u32> = output.iter().copied().chain(stop).collect();
        assert_eq!(chosen[..expect.len()], expect, "{}", golden["name"]);
    }
    assert!(worst <= LOGIT_TOLERANCE, "a logit is off by {worst:.1e} of the largest");
}

fn difference(logits: &[f32], entry: &Value, sampled: &[u32]) -> f64 {
    let top = entry["top"].as_array().unwrap().iter().map(|pair| (pair[0].as_u64().unwrap() as usize, &pair[1]));
    let others = sampled.iter().map(|id| *id as usize).zip(entry["sampled"].as_array().unwrap());
    let scale = entry["top"][0][1].as_f64().unwrap().abs();
    let each = top.chain(others).map(|(id, expect)| (f64::from(logits[id]) - expect.as_f64().unwrap()).abs());
    each.fold(0.0, f64::max) / scale
}

/// A prompt that continues an earlier one computes only what is new, and says the same.
#[test]
fn a_reused_prefix_gives_the_same_text() {
    let golden = &goldens("smollm2-135m-instruct.json")["prompts"][7];
    let run = |engine: &LocalEngine, tenant| {
        let prompt: Arc<[u32]> = ids(&golden["prompt_ids"]).into();
        let job = GenerationJob {
            tenant: TenantId(tenant),
            program: 1,
            priority: Priority::Normal,
            model: "smollm2".into(),
            prompt,
            params: Params::greedy(24),
            tools: None,
        };
        let mut stream = engine.generate(job).unwrap();
        let mut text = String::new();
        while let Some(event) = stream.events.blocking_recv() {
            if let EngineEvent::Text(more) = event {
                text += &more;
            }
        }
        (text, stream.meter.usage())
    };
    let engine = load();
    let (first, usage) = run(&engine, 1);
    assert_eq!((usage.input, usage.cached), (315, 0));
    let (again, usage) = run(&engine, 1);
    assert_eq!((usage.input, usage.cached), (1, 314));
    assert_eq!(again, first);
    let (other, usage) = run(&engine, 2);
    assert_eq!((usage.input, usage.cached), (315, 0));
    assert_eq!(other, first);
}

/// Starts to write behind a prompt: with a seed and a tenant of its own.
fn start(engine: &LocalEngine, tenant: u32, (index, prompt): (usize, &Arc<[u32]>)) -> EngineStream {
    let sampling = Sampling { temperature: 1.0, top_k: 200, top_p: 0.95, seed: index as u64, ..Sampling::default() };
    let penalties = Penalties { repetition: 1.1, ..Penalties::default() };
    let params = Params { sampling, penalties, logprobs: Some(2), ..Params::greedy(12) };
    let (tenant, prompt) = (TenantId(tenant + index as u32), prompt.clone());
    engine
        .generate(GenerationJob {
            tenant,
            program: 1,
            priority: Priority::Normal,
            model: "smollm2".into(),
            prompt,
            params,
            tools: None,
        })
        .unwrap()
}

fn rest(mut stream: EngineStream) -> Vec<EngineEvent> {
    std::iter::from_fn(|| stream.events.blocking_recv()).collect()
}

/// All events of these prompts, together or one after the other.
fn sampled(engine: &LocalEngine, prompts: &[Arc<[u32]>], tenant: u32, together: bool) -> Vec<Vec<EngineEvent>> {
    let starts = prompts.iter().enumerate();
    if together {
        let streams: Vec<_> = starts.map(|each| start(engine, tenant, each)).collect();
        streams.into_iter().map(rest).collect()
    } else {
        starts.map(|each| rest(start(engine, tenant, each))).collect()
    }
}

/// The same text and the same log-probabilities, to the bit: alone, beside others, and where the prompt is at hand.
#[test]
fn a_seeds_text_does_not_depend_on_what_is_computed_beside_it() {
    let engine = load();
    let goldens = goldens("smollm2-135m-instruct.json");
    let prompt = |index: usize| ids(&goldens["prompts"][index]["prompt_ids"]);
    // Short ones, some that are cut up, and one beyond what a matrix product adds up in one go.
    let mut prompts: Vec<Arc<[u32]>> = [0, 2, 6, 8].map(|index| prompt(index).into()).into();
    prompts.push(prompt(7).repeat(2).into());
    let alone = sampled(&engine, &prompts, 0, false);
    assert_ne!(alone[0], alone[1]);
    let check = |events: Vec<Vec<EngineEvent>>, how: &str| {
        let same: Vec<bool> = events.iter().zip(&alone).map(|(events, alone)| events == alone).collect();
        assert_eq!(same, vec![true; prompts.len()], "{how}");
    };
    check(sampled(&engine, &prompts, 100, true), "beside each other");
    check(sampled(&engine, &prompts, 100, true), "with prompts at hand");
}

/// A crash in the middle changes neither text nor log-probabilities, and all goes on within five seconds.
#[test]
fn texts_go_on_after_a_crash() {
    let engine = load();
    let goldens = goldens("smollm2-135m-instruct.json");
    let prompts: Vec<Arc<[u32]>> = [0, 2, 7].map(|index| ids(&goldens["prompts"][index]["prompt_ids"]).into()).into();
    let undisturbed = sampled(&engine, &prompts, 0, true);
    let mut streams: Vec<_> = prompts.iter().enumerate().map(|each| start(&engine, 100, each)).collect();
    let first = streams[0].events.blocking_recv();
    engine.drill();
    let mut disturbed: Vec<_> = streams.into_iter().map(rest).collect();
    disturbed[0].splice(..0, first);
    let same: Vec<bool> = disturbed.iter().zip(&undisturbed).map(|(a, b)| a == b).collect();
    assert_eq!(same, [true; 3]);
    assert_eq!(engine.rebuilds(), 1);
    let took = engine.last_rebuild().unwrap();
    println!("computing again after a crash: {:.2} s", took.as_secs_f64());
    assert!(took < Duration::from_secs(5), "{took:?}");
}
