//! Two tiny models, and memory for one.

use super::*;
use crate::{
    home::Home,
    models::{KnownFile, KnownModel, Place, RegistryError, describe},
};
use remit_abi::{Params, Priority, TenantId, Usage};
use remit_inference::Requirements;
use remit_kernel::ports::EngineEvent;
use sha2::{Digest, Sha256};
use std::{fs, path::Path, time::Duration};

/// A GGUF file in the making: metadata, directory and data, each with its count.
#[derive(Default)]
struct Writer {
    entries: (u64, Vec<u8>),
    directory: (u64, Vec<u8>),
    data: Vec<u8>,
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

impl Writer {
    fn entry(&mut self, key: &str, kind: u32, value: &[u8]) {
        self.entries.0 += 1;
        self.entries.1.extend([&string(key)[..], &kind.to_le_bytes(), value].concat());
    }

    fn u32(&mut self, key: &str, value: u32) {
        self.entry(key, 4, &value.to_le_bytes());
    }

    fn array(&mut self, key: &str, kind: u32, values: &[Vec<u8>]) {
        let head = [&kind.to_le_bytes()[..], &(values.len() as u64).to_le_bytes()].concat();
        self.entry(key, 9, &[head, values.concat()].concat());
    }

    /// A tensor of f32 that are made from a seed.
    fn tensor(&mut self, name: &str, dimensions: &[u64], seed: &mut u32) {
        let sizes: Vec<u8> = dimensions.iter().flat_map(|size| size.to_le_bytes()).collect();
        let head = [string(name), (dimensions.len() as u32).to_le_bytes().into(), sizes].concat();
        self.directory.0 += 1;
        self.directory.1.extend([&head[..], &0u32.to_le_bytes(), &(self.data.len() as u64).to_le_bytes()].concat());
        for _ in 0..dimensions.iter().product::<u64>() {
            *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            self.data.extend(((*seed >> 8) as f32 / (1 << 23) as f32 - 1.0).to_le_bytes());
        }
        self.data.resize(self.data.len().next_multiple_of(32), 0);
    }

    fn finish(self) -> Vec<u8> {
        let mut file = b"GGUF\x03\0\0\0".to_vec();
        file.extend([self.directory.0.to_le_bytes(), self.entries.0.to_le_bytes()].concat());
        file.extend([self.entries.1, self.directory.1].concat());
        file.resize(file.len().next_multiple_of(32), 0);
        file.extend(self.data);
        file
    }
}

/// A llama of one layer, 16 wide, whose tokens are 256 bytes as GPT-2 writes them.
fn model(mut seed: u32) -> Vec<u8> {
    let mut writer = Writer::default();
    let is_plain = |byte: u32| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let mut others = 256..;
    let tokens = (0..256).filter_map(|byte| char::from_u32(if is_plain(byte) { byte } else { others.next()? }));
    let tokens: Vec<_> = tokens.map(|token| string(token.encode_utf8(&mut [0; 4]))).collect();
    for (key, text) in
        [("general.architecture", "llama"), ("tokenizer.ggml.model", "gpt2"), ("tokenizer.ggml.pre", "smollm")]
    {
        writer.entry(key, 8, &string(text));
    }
    writer.array("tokenizer.ggml.tokens", 8, &tokens);
    writer.array("tokenizer.ggml.merges", 8, &[]);
    writer.array("tokenizer.ggml.token_type", 5, &vec![1u32.to_le_bytes().to_vec(); 256]);
    writer.u32("tokenizer.ggml.eos_token_id", 0);
    for (key, value) in [
        ("block_count", 1),
        ("context_length", 256),
        ("embedding_length", 16),
        ("feed_forward_length", 16),
        ("attention.head_count", 2),
        ("rope.dimension_count", 8),
    ] {
        writer.u32(&format!("llama.{key}"), value);
    }
    writer.entry("llama.attention.layer_norm_rms_epsilon", 6, &1e-5f32.to_le_bytes());
    writer.tensor("token_embd.weight", &[16, 256], &mut seed);
    writer.tensor("output_norm.weight", &[16], &mut seed);
    for name in ["attn_norm", "ffn_norm"] {
        writer.tensor(&format!("blk.0.{name}.weight"), &[16], &mut seed);
    }
    for name in ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"] {
        writer.tensor(&format!("blk.0.{name}.weight"), &[16, 16], &mut seed);
    }
    writer.finish()
}

/// Adds an adapter of a model's query matrix, of rank 1 and as strong as this, to the list.
fn adapter(home: &Home, (name, base): (&str, &str), folder: &Path, strength: f32) -> Result<(), RegistryError> {
    let tensor = |letter: char, shape: &str, place: [usize; 2]| {
        let name = format!("base_model.model.model.layers.0.self_attn.q_proj.lora_{letter}.weight");
        format!("\"{name}\":{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":{place:?}}}")
    };
    let header = format!("{{{},{}}}", tensor('A', "[1,16]", [0, 64]), tensor('B', "[16,1]", [64, 128]));
    let numbers = [[1.0; 16], [strength; 16]].concat();
    let data: Vec<u8> = numbers.iter().flat_map(|number: &f32| number.to_le_bytes()).collect();
    let weights = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat();
    let config = b"{\"peft_type\":\"LORA\",\"r\":1,\"lora_alpha\":1}";
    let place = folder.join(name);
    fs::create_dir_all(&place).expect("a folder");
    let files = [("adapter_config.json", &config[..]), ("adapter_model.safetensors", &weights)].map(|(name, bytes)| {
        fs::write(place.join(name), bytes).expect("a file");
        describe(&place.join(name), &mut |_| ()).expect("it can be read")
    });
    let model = KnownModel::in_folder(name.into(), place, files.into());
    Registry::keep(home, model.adapting(Some(base.into())))
}

/// The models `one` and `two` in a data folder, and the bytes that each takes in memory.
fn two_models(folder: &Path) -> (Registry, ModelStore, u64) {
    let home = Home::at(folder.join("data"));
    let mut weights_bytes = 0;
    for (name, seed) in [("one", 1), ("two", 2)] {
        let place = folder.join(name);
        let bytes = model(seed);
        fs::create_dir_all(&place).expect("a folder");
        fs::write(place.join("model.gguf"), &bytes).expect("a file");
        let sha256: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let file = KnownFile { name: "model.gguf".into(), from: None, bytes: bytes.len() as u64, sha256 };
        weights_bytes =
            Requirements::of(name, &place.join("model.gguf"), false).expect("a model that is served").weights_bytes;
        Registry::keep(&home, KnownModel::in_folder(name.into(), place, vec![file])).expect("it is right");
    }
    (Registry::of(&home).expect("both were written"), ModelStore::of(&home), weights_bytes)
}

fn job(model: &str, prompt: Arc<[u32]>, max_tokens: u32) -> GenerationJob {
    // The end token is never drawn, so that there are always as many tokens.
    let params = Params { logit_bias: vec![(0, Params::BIAS_NEVER)], ..Params::greedy(max_tokens) };
    let (tenant, priority, model) = (TenantId(1), Priority::Normal, model.into());
    GenerationJob { tenant, program: 1, priority, model, prompt, params, tools: None }
}

/// The text, and what was counted.
fn read(mut stream: EngineStream) -> (String, Usage) {
    let mut text = String::new();
    loop {
        match stream.events.blocking_recv().expect("a stream ends with End or Failed") {
            EngineEvent::Text(more) => text += &more,
            EngineEvent::Token(_) | EngineEvent::ToolCall(_) => {}
            EngineEvent::End(_) => return (text, stream.meter.usage()),
            EngineEvent::Failed(error) => panic!("{error}"),
        }
    }
}

#[test]
fn two_models_answer_in_memory_for_one() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let (registry, store, weights_bytes) = two_models(folder.path());
    let rules = Rules {
        bytes_max: weights_bytes * 3 / 2,
        stay_min: Duration::from_millis(100),
        patience: Duration::from_millis(300),
    };
    let engines = Engines::with_rules(registry, store, rules, DeviceChoice::Cpu);
    let places = || engines.residency().models.iter().map(|model| model.place).collect::<Vec<_>>();
    for name in ["one", "two", "one"] {
        engines.open(name).expect("it can be served");
    }
    assert_eq!(places(), [Place::In, Place::Away], "the first one that was opened had room");
    // Neither the card nor the tokenizer needs the weights.
    assert_eq!(engines.card("two").expect("it is open").context_length, 256);
    let prompt = engines.tokenize("two", &PromptText::Text("hello, you".into())).expect("it is open");
    assert_eq!(prompt.len(), 10);
    let expect =
        ["one", "two"].map(|name| read(engines.generate(job(name, prompt.clone(), 60)).expect("it is open")).0);
    assert_ne!(expect[0], expect[1]);
    std::thread::scope(|scope| {
        for (name, expect) in ["one", "two", "two", "one"].iter().zip([0, 1, 1, 0].map(|index| &expect[index])) {
            let (engines, prompt) = (&engines, &prompt);
            scope.spawn(move || {
                for _ in 0..10 {
                    let (text, usage) = read(engines.generate(job(name, prompt.clone(), 60)).expect("it is open"));
                    assert_eq!((&text, usage.output, usage.input + usage.cached), (expect, 60, 10));
                    assert!(engines.residency().bytes_held <= rules.bytes_max);
                }
            });
        }
    });
    let view = engines.residency();
    assert_eq!(view.bytes_max, rules.bytes_max);
    assert!(view.models.iter().all(|model| model.loads > 0 && model.bytes == weights_bytes), "{view:?}");
}

#[test]
fn an_adapter_comes_and_goes_with_its_base_and_is_a_model_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let (_, store, weights_bytes) = two_models(folder.path());
    let home = Home::at(folder.path().join("data"));
    for (name, strength) in [("same", 0.0), ("other", 3.0)] {
        adapter(&home, (name, "one"), folder.path(), strength).expect("its base is known");
    }
    let rules = Rules {
        bytes_max: weights_bytes * 3 / 2,
        stay_min: Duration::from_millis(1),
        patience: Duration::from_millis(2),
    };
    let engines = Engines::with_rules(Registry::of(&home).expect("it is a list"), store, rules, DeviceChoice::Cpu);
    for name in ["same", "two", "other", "one"] {
        engines.open(name).expect("it can be served");
    }
    let view = engines.residency();
    assert_eq!(view.models.iter().map(|model| &*model.name).collect::<Vec<_>>(), ["one", "two"], "one reading for all");
    let [one, same] = ["one", "same"].map(|name| engines.card(name).expect("it is open"));
    assert_ne!(one.digest, same.digest);
    assert_eq!(ModelCard { name: one.name.clone(), digest: one.digest.clone(), ..same }, one);
    let prompt = engines.tokenize("other", &PromptText::Text("hello, you".into())).expect("it is open");
    let answer = |name: &str| read(engines.generate(job(name, prompt.clone(), 60)).expect("it is open")).0;
    let first = ["one", "same", "other"].map(answer);
    assert_eq!(first[0], first[1]);
    assert_ne!(first[0], first[2]);
    for _ in 0..3 {
        answer("two");
        assert_eq!(["one", "same", "other"].map(answer), first);
    }
    let loads: Vec<_> = engines.residency().models.iter().map(|model| model.loads).collect();
    assert!(loads.iter().all(|loads| *loads >= 3), "each made room for the other: {loads:?}");
}

#[test]
fn an_adapter_that_does_not_fit_is_refused_and_its_base_is_not() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let (_, store, weights_bytes) = two_models(folder.path());
    let home = Home::at(folder.path().join("data"));
    adapter(&home, ("tuned", "one"), folder.path(), 1.0).expect("its base is known");
    let config = b"{\"peft_type\":\"LORA\",\"r\":2,\"lora_alpha\":1}";
    fs::write(folder.path().join("tuned/adapter_config.json"), config).expect("it is writable");
    let engines = Engines::new(Registry::of(&home).expect("it is a list"), store, weights_bytes, DeviceChoice::Cpu);
    let sentence = engines.open("tuned").expect_err("its rank is another").to_string();
    assert!(sentence.starts_with("model tuned, an adapter of one: its tensor "), "{sentence}");
    engines.open("one").expect("it can be served");
    let sentence = engines.card("tuned").expect_err("it is not open").to_string();
    assert!(sentence.contains("no model tuned is loaded; there is one"), "{sentence}");
}

/// What an operator says of swapping is what an engine has, and where he says nothing, it is the engine's own choice.
#[test]
fn room_for_what_leaves_a_device_is_the_engines() {
    let swap = std::env::temp_dir();
    let check = |swapping: Swapping, slots| {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let (registry, store, weights_bytes) = two_models(folder.path());
        let engines = Engines::new(registry, store, weights_bytes, DeviceChoice::Cpu).swapping(swapping);
        engines.open("one").expect("it can be served");
        let totals = || engines.figures().first().map(|figures| figures.totals).unwrap_or_default();
        // The engine's thread may only have begun.
        while totals().blocks == 0 {
            std::thread::yield_now();
        }
        assert_eq!(totals().slots, slots);
    };
    check(Swapping::default(), 0);
    check(Swapping { tokens_max: Some(1_000), ..Swapping::default() }, 63);
    let in_folder = |tokens| Swapping { tokens_max: Some(tokens), folder: Some(swap.clone()), ..Swapping::default() };
    check(in_folder(4_096), 256);
    let limits = in_folder(1).within(Limits::default());
    assert_eq!((limits.swap_tokens_max, limits.swap_folder), (Some(1), Some(swap.clone())));
}

#[test]
fn a_model_that_never_fits_is_refused_where_it_is_granted() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let (registry, store, weights_bytes) = two_models(folder.path());
    let engines = Engines::new(registry, store, weights_bytes - 1, DeviceChoice::Cpu);
    let sentence = engines.open("one").expect_err("it does not fit").to_string();
    assert!(
        sentence.starts_with("model one: its weights take 1 MB, and all models together may have 0 MB"),
        "{sentence}"
    );
    assert!(engines.card("one").is_err());
    assert!(engines.open("three").expect_err("there is none").to_string().contains("three"));
}
