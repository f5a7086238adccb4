//! Adapters beside their base in one engine: bits, prefixes, adding them while it works, and what is refused.

use super::{
    super::adapters::Placed,
    sampling::{events, everything},
    *,
};
use crate::{
    model::{Decoder, Span, Split},
    residency::Rules,
    safetensors::sample::{Tensor, bytes, file},
};
use burn::tensor::Device;
use serde_json::{Value, json};
use std::collections::HashSet;
use tempfile::TempDir;

/// The matrices of a layer of [`sample::model`] as `peft` calls them, with outputs and inputs.
const MATRICES: [(&str, u64, u64); 7] = [
    ("self_attn.q_proj", 32, 32),
    ("self_attn.k_proj", 16, 32),
    ("self_attn.v_proj", 16, 32),
    ("self_attn.o_proj", 32, 32),
    ("mlp.gate_proj", 48, 32),
    ("mlp.up_proj", 48, 32),
    ("mlp.down_proj", 32, 48),
];

/// A folder with [`sample::model`] and adapters of it, each of another rank.
struct Shelf(TempDir);

const ADAPTERS: [(&str, u64); 3] = [("x", 4), ("y", 1), ("z", 16)];

impl Shelf {
    fn new() -> Self {
        let shelf = Self(tempfile::tempdir().unwrap());
        std::fs::write(shelf.path("a"), sample::model().finish()).unwrap();
        for (index, (name, rank)) in ADAPTERS.into_iter().enumerate() {
            shelf.write_adapter(name, rank, &sample::numbers(100 + index as u64, 4096));
        }
        shelf
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// An adapter of every matrix, as `peft` would write it, its weights taken from these numbers in turn.
    fn write_adapter(&self, name: &str, rank: u64, numbers: &[f32]) {
        let shapes = (0..2).flat_map(|layer| {
            MATRICES.into_iter().flat_map(move |(matrix, outputs, inputs)| {
                let name = move |letter| format!("base_model.model.model.layers.{layer}.{matrix}.lora_{letter}.weight");
                [(name('A'), [rank, inputs]), (name('B'), [outputs, rank])]
            })
        });
        let mut numbers = numbers.iter().copied().cycle();
        let tensors: Vec<_> = shapes
            .map(|(name, shape)| {
                (name, shape, bytes(&numbers.by_ref().take((shape[0] * shape[1]) as usize).collect::<Vec<_>>()))
            })
            .collect();
        let tensors: Vec<_> =
            tensors.iter().map(|(name, shape, bytes)| Tensor { name, dtype: "F32", shape, bytes }).collect();
        let config = json!({ "peft_type": "LORA", "r": rank, "lora_alpha": rank, "bias": "none" });
        self.put(name, "adapter_model.safetensors", &file(&tensors));
        self.put(name, "adapter_config.json", config.to_string().as_bytes());
    }

    /// Puts a file into an adapter's folder.
    fn put(&self, adapter: &str, name: &str, content: &[u8]) {
        std::fs::create_dir_all(self.path(adapter)).unwrap();
        std::fs::write(self.path(adapter).join(name), content).unwrap();
    }

    fn base(&self) -> ModelFile {
        ModelFile { name: "a".into(), path: self.path("a"), digest: "a's".into() }
    }

    fn adapter(&self, name: &str) -> AdapterFile {
        AdapterFile { name: name.into(), base: "a".into(), path: self.path(name), digest: format!("{name}'s").into() }
    }

    /// An engine with the base and all adapters.
    fn engine(&self, limits: Limits) -> LocalEngine {
        let engine = LocalEngine::load(&[self.base()], limits).unwrap();
        for (name, _) in ADAPTERS {
            engine.add_adapter(&self.adapter(name)).unwrap();
        }
        engine
    }
}

/// The adapters of each step.
type Steps = Arc<Mutex<Vec<HashSet<Option<usize>>>>>;

/// An engine that stands still while somebody holds the gate.
struct Gated {
    engine: LocalEngine,
    gate: Arc<Mutex<()>>,
    steps: Steps,
}

/// An engine on the base alone, to be watched.
fn watched(shelf: &Shelf) -> Gated {
    let limits = Limits::default();
    let (served, files) = open(&shelf.base(), &limits, None).unwrap();
    let adapters = Arc::new(Adapters::new(vec![files.architecture().unwrap()], &limits));
    let (gate, steps) = (Arc::<Mutex<()>>::default(), Steps::default());
    let (own_gate, own_steps) = (Arc::clone(&gate), Arc::clone(&steps));
    let mut read_weights = reader(vec![(files, served.blocks)], adapters.clone(), &limits, &Residency::unlimited());
    let make = move || {
        let (gate, steps) = (own_gate.clone(), own_steps.clone());
        let watch = move |is_computed: bool, work: &[Work<'_>]| {
            if !is_computed {
                drop(gate.lock());
                steps.lock().unwrap().push(work.iter().map(|work| work.adapter).collect());
            }
        };
        Ok(Watched { models: read_weights()?, watch: Box::new(watch) })
    };
    let engine = LocalEngine::start((vec![served], adapters), limits, (&Residency::unlimited(), 10), make);
    Gated { engine: engine.unwrap(), gate, steps }
}

/// A job whose tenant is its own, so that nobody finds another's beginning.
fn long_job(model: &str, tenant: u32, length: u32) -> GenerationJob {
    let prompt: Vec<u32> = (0..length).map(|place| (place * 37 + length) % 256).collect();
    let (tenant, model) = (TenantId(tenant), model.into());
    GenerationJob { tenant, model, prompt: prompt.into(), params: everything(u64::from(length)), ..job("", 1) }
}

#[test]
fn a_base_and_its_adapters_side_by_side_give_what_each_gives_alone() {
    let shelf = Shelf::new();
    // Around the sizes of chunks, so that prompts are cut up differently beside others.
    let lengths = [1, 8, 9, 32, 33, 65, 150];
    let models = ["a", "x", "y", "z"];
    let jobs = || {
        let each = lengths.into_iter().flat_map(|length| models.map(|model| (model, length)));
        each.zip(0..).map(|((model, length), tenant)| long_job(model, tenant, length))
    };
    let alone: Vec<_> = {
        let engine = shelf.engine(Limits { threads: 1, ..Limits::default() });
        jobs().map(|job| events(engine.generate(job).unwrap())).collect()
    };
    for of_length in alone.chunks_exact(models.len()) {
        assert!(of_length.iter().all(|events| events.len() > 40), "every job writes 40 tokens");
        // The models differ; that they do so by the right numbers, the tests of `model::adapter` show.
        assert!((1..models.len()).all(|place| !of_length[..place].contains(&of_length[place])));
    }
    for active_sequences_max in [2, 8, 20] {
        let engine = shelf.engine(Limits { threads: 2, active_sequences_max, ..Limits::default() });
        let streams: Vec<_> = jobs().map(|job| (job.clone(), engine.generate(job).unwrap())).collect();
        for ((job, stream), alone) in streams.into_iter().zip(&alone) {
            let (model, length) = (job.model, job.prompt.len());
            assert!(events(stream) == *alone, "{model} on {length} tokens, among {active_sequences_max}");
        }
    }
}

#[test]
fn an_adapter_is_added_while_its_base_generates_and_shares_its_steps() {
    let shelf = Shelf::new();
    let alone = |model: &str| {
        let engine = shelf.engine(Limits::default());
        events(engine.generate(long_job(model, 1, 40)).unwrap())
    };
    let Gated { engine, gate, steps } = watched(&shelf);
    let held = gate.lock().unwrap();
    let base = engine.generate(long_job("a", 1, 40)).unwrap();
    // The engine's thread stands in a step, or before its first.
    for name in ["x", "y"] {
        engine.add_adapter(&shelf.adapter(name)).unwrap();
    }
    let adapted = ["x", "y"].map(|name| engine.generate(long_job(name, 2, 40)).unwrap());
    drop(held);
    assert!(events(base) == alone("a"));
    for (stream, name) in adapted.into_iter().zip(["x", "y"]) {
        assert!(events(stream) == alone(name), "{name}");
    }
    let most = steps.lock().unwrap().iter().map(HashSet::len).max();
    assert_eq!(most, Some(3), "the base and both adapters are rows of one step");
}

#[test]
fn a_crash_changes_nothing_that_adapters_write() {
    let shelf = Shelf::new();
    let play = |drill: bool| {
        let engine = shelf.engine(Limits::default());
        let streams = ["a", "x", "y"].map(|model| engine.generate(long_job(model, 1, 40)).unwrap());
        if drill {
            engine.drill();
        }
        let told = streams.map(events);
        assert_eq!(engine.rebuilds(), u64::from(drill));
        told
    };
    assert!(play(true) == play(false));
}

#[test]
fn prefixes_are_not_reused_across_adapters() {
    let shelf = Shelf::new();
    let engine = shelf.engine(Limits::default());
    let check = |model: &str, expect| {
        let job = GenerationJob { model: model.into(), tenant: TenantId(1), ..job(&"hello ".repeat(8), 4) };
        let (_, finish, usage) = read(engine.generate(job).unwrap());
        finish.unwrap();
        assert_eq!((usage.cached, usage.input), expect, "{model}");
    };
    for model in ["a", "x", "y"] {
        check(model, (0, 48));
    }
    for model in ["x", "a", "y"] {
        check(model, (47, 1));
    }
}

#[test]
fn an_adapter_is_its_base_by_everything_but_its_name_its_digest_and_its_weights() {
    let shelf = Shelf::new();
    let engine = shelf.engine(Limits::default());
    let card = engine.card("a").unwrap();
    assert_eq!(engine.card("y").unwrap(), ModelCard { name: "y".into(), digest: "y's".into(), ..card });
    let chat = PromptText::Chat(vec![ChatMessage::said(Role::User, "Tell me.")].into());
    assert_eq!(engine.tokenize("y", &chat), engine.tokenize("a", &chat));
    // Rank and the sizes of all matrices, in f32, twice.
    let bytes = |rank: u64| MATRICES.iter().map(|(_, outputs, inputs)| 4 * 2 * rank * (outputs + inputs)).sum::<u64>();
    assert_eq!(engine.adapter_bytes(), ADAPTERS.iter().map(|(_, rank)| bytes(*rank)).sum::<u64>());
    assert_eq!(crate::adapter_bytes(&shelf.adapter("z"), &shelf.path("a")).unwrap(), bytes(16));
    let unknown = engine.card("w").unwrap_err().to_string();
    assert!(unknown.contains("no model w is loaded; there is a, x, y, z"), "{unknown}");
}

#[test]
fn an_adapters_own_chat_template_is_used() {
    let shelf = Shelf::new();
    shelf.put("x", "chat_template.jinja", b"{% for m in messages %}{{ m.content }}<|end|>{% endfor %}");
    let engine = shelf.engine(Limits::default());
    let chat = PromptText::Chat(vec![ChatMessage::said(Role::User, "Hi")].into());
    assert_eq!(*engine.tokenize("x", &chat).unwrap(), [u32::from(b'H'), u32::from(b'i'), END]);
    assert_ne!(engine.tokenize("x", &chat), engine.tokenize("a", &chat));
}

/// The vocabulary of [`sample::model`] as a `tokenizer.json`.
fn tokenizer_json() -> Value {
    let (tokens, _) = sample::vocabulary();
    let added = |id: usize| {
        json!({ "id": id, "content": tokens[id], "special": true, "single_word": false,
                                    "lstrip": false, "rstrip": false, "normalized": false })
    };
    let vocabulary: serde_json::Map<_, _> =
        tokens[..258].iter().enumerate().map(|(id, token)| (token.clone(), json!(id))).collect();
    json!({
        "added_tokens": (258..tokens.len()).map(added).collect::<Vec<_>>(),
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
        "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true },
        "model": { "type": "BPE", "vocab": vocabulary, "merges": ["h e", "he l"] },
    })
}

#[test]
fn a_tokenizer_beside_an_adapter_is_its_bases_or_refused() {
    let shelf = Shelf::new();
    let engine = LocalEngine::load(&[shelf.base()], Limits::default()).unwrap();
    let add = |name: &str, tokenizer: &Value| {
        shelf.put(name, "tokenizer.json", tokenizer.to_string().as_bytes());
        engine.add_adapter(&shelf.adapter(name)).map(drop).map_err(|error| error.to_string())
    };
    let refused = |tokenizer: &Value, expect: &str| {
        let sentence = add("y", tokenizer).unwrap_err();
        assert!(sentence.contains(expect), "{sentence}");
    };
    let plain = tokenizer_json();
    assert_eq!(add("x", &plain), Ok(()));
    let mut other = plain.clone();
    other["added_tokens"][1]["content"] = "<|stop|>".into();
    refused(&other, "its tokenizer.json and its base's differ in token 259");
    let mut larger = plain.clone();
    let mut added = larger["added_tokens"][1].clone();
    (added["id"], added["content"]) = (261.into(), "<|tool|>".into());
    larger["added_tokens"].as_array_mut().unwrap().push(added);
    refused(&larger, "differ in token 261");
    refused(&json!({}), "y/tokenizer.json: it has no model");
}

#[test]
fn what_is_no_adapter_of_the_base_is_refused_and_changes_nothing() {
    let shelf = Shelf::new();
    let limits = Limits { adapters_max: 2, adapter_bytes_max: 20_000, ..Limits::default() };
    let engine = LocalEngine::load(&[shelf.base()], limits).unwrap();
    let refused = |file: AdapterFile, expect: &str| {
        let sentence = engine.add_adapter(&file).unwrap_err().to_string();
        assert!(sentence.contains(expect), "{sentence}");
        assert!(engine.card(&file.name).is_err() || &*file.name == "a");
    };
    let x = || shelf.adapter("x");
    refused(AdapterFile { base: "b".into(), ..x() }, "model x: its base b is no model of this engine, which has a");
    refused(AdapterFile { name: "a".into(), ..x() }, "two models are called a");
    refused(AdapterFile { path: shelf.path("a"), ..x() }, "model x, an adapter of a: ");
    refused(AdapterFile { path: shelf.path("a"), ..x() }, "is no folder; an adapter is the folder that `peft` writes");
    shelf.put("pickled", "adapter_model.bin", b"");
    refused(shelf.adapter("pickled"), "is a pickle, which is not read; save the adapter as safetensors");
    shelf.put("bare", "adapter_model.safetensors", b"");
    refused(shelf.adapter("bare"), "adapter_config.json cannot be read: ");
    shelf.put("bare", "adapter_config.json", b"{}");
    refused(shelf.adapter("bare"), "so it is not a safetensors file");
    shelf.write_adapter("nan", 2, &[0.5, f32::NAN]);
    refused(shelf.adapter("nan"), "is infinite or not a number");
    shelf.write_adapter("other", 2, &[0.5]);
    shelf.put("other", "adapter_config.json", br#"{"peft_type": "LORA", "r": 3, "lora_alpha": 3}"#);
    refused(shelf.adapter("other"), "has the shape [2, 32] and should have [3, 32]; use it with the base");
    shelf.write_adapter("worded", 2, &[0.5]);
    shelf.put("worded", "chat_template.jinja", b"{% for %}");
    refused(shelf.adapter("worded"), "model worded: the model's chat template does not compile");
    refused(
        shelf.adapter("z"),
        "it takes 59392 bytes, and of 20000 for all adapters of its base's engine 20000 are left",
    );
    for name in ["x", "y"] {
        engine.add_adapter(&shelf.adapter(name)).unwrap();
    }
    let twice = engine.add_adapter(&x()).unwrap_err().to_string();
    assert!(twice.contains("two models are called x"), "{twice}");
    shelf.write_adapter("third", 1, &[0.5]);
    refused(
        shelf.adapter("third"),
        "model third: 2 adapters are loaded in its base's engine, and more are not possible",
    );
}

/// The logits behind some tokens with the first adapter.
fn logits(decoder: &Decoder, adapters: &Placed) -> Vec<f32> {
    let adapter = adapters.weights(0);
    let (tokens, table) = ([5, 6, 7], [0]);
    let span = Span { tokens: &tokens, table: &table, known: 0, room: 8, adapter: Some(&adapter), logits: 1 };
    decoder.forward(&mut decoder.pool(1).unwrap(), &[span])
}

#[test]
fn weights_of_adapters_come_and_go_with_those_of_their_base() {
    let shelf = Shelf::new();
    let (served, files) = open(&shelf.base(), &Limits::default(), None).unwrap();
    let decoders = [files.decoder(Split::from(&Device::flex())).unwrap()];
    let homes = || vec![decoders[0].split().clone().into()];
    let [decoder] = &decoders;
    let adapters = Arc::new(Adapters::new(vec![decoder.architecture().clone()], &Limits::default()));
    let wrong = adapters.add(&AdapterFile { path: shelf.path("a"), ..shelf.adapter("x") }, 0, &served);
    assert!(wrong.is_err(), "it is checked though no weight is read");
    // While the base's weights are away; and while they are here.
    adapters.add(&shelf.adapter("x"), 0, &served).unwrap();
    let placed = adapters.place(homes());
    adapters.add(&shelf.adapter("y"), 0, &served).unwrap();
    let expect = logits(decoder, &placed);
    let held = [0, 1].map(|adapter| Arc::downgrade(&placed.weights(adapter)));
    drop(placed);
    assert!(held.iter().all(|weights| weights.upgrade().is_none()), "they leave with it");
    let placed = adapters.place(homes());
    assert_eq!(logits(decoder, &placed), expect);
    // A new one comes before the old one goes.
    let again = adapters.place(homes());
    drop(placed);
    assert_eq!(logits(decoder, &again), expect);
    std::fs::remove_dir_all(shelf.path("x")).unwrap();
    drop(again);
    let placed = adapters.place(homes());
    let gone = placed.broken(0).unwrap();
    assert!(gone.contains("model x, an adapter of a: ") && gone.contains("x"), "{gone}");
    assert!(placed.broken(1).is_none(), "the other is served");
    let _ = placed.weights(1);
}

/// Engine, residency, and what the base takes, with so many bytes beside it.
fn beside_base(shelf: &Shelf, bytes: u64) -> (LocalEngine, Arc<Residency>, u64) {
    let base = LocalEngine::open(&[shelf.base()], Limits::default(), &Residency::unlimited()).unwrap().weights_bytes();
    let residency = Residency::new(Rules::new(base + bytes));
    (LocalEngine::open(&[shelf.base()], Limits::default(), &residency).unwrap(), residency, base)
}

#[test]
fn adapters_count_with_their_base() {
    let shelf = Shelf::new();
    // Of a rank of 4, of 1, and of 16.
    let [x, y, z] = [14_848, 3_712, 59_392];
    let (engine, residency, base) = beside_base(&shelf, x + y + 9);
    let add = |name: &str| engine.add_adapter(&shelf.adapter(name)).map_err(|error| error.to_string());
    add("x").unwrap();
    assert_eq!(
        (residency.view().models[0].bytes, residency.view().bytes_held),
        (base + x, 0),
        "it is away with its base"
    );
    let refused = add("z").unwrap_err();
    let expect = format!(
        "model z: it takes {z} bytes beside its base, and of the memory for all models' weights {} are left",
        y + 9
    );
    assert!(refused.contains(&expect), "{refused}");
    assert!(engine.card("z").is_err());
    engine.warm().unwrap();
    assert_eq!(residency.view().bytes_held, base + x);
    add("y").unwrap();
    assert_eq!(residency.view().bytes_held, base + x + y);
    shelf.write_adapter("nan", 1, &[0.5, f32::NAN]);
    add("nan").unwrap_err();
    assert_eq!(residency.view().bytes_held, base + x + y, "what was refused takes nothing");
}

#[test]
fn an_adapter_whose_files_are_gone_fails_alone() {
    let shelf = Shelf::new();
    let alone = events(shelf.engine(Limits::default()).generate(long_job("y", 2, 40)).unwrap());
    let engine = LocalEngine::open(&[shelf.base()], Limits::default(), &Residency::unlimited()).unwrap();
    for name in ["x", "y"] {
        engine.add_adapter(&shelf.adapter(name)).unwrap();
    }
    std::fs::remove_file(shelf.path("x").join("adapter_model.safetensors")).unwrap();
    let gone = |stream: EngineStream| {
        let error = read(stream).1.unwrap_err().to_string();
        assert!(
            error.contains("model x, an adapter of a: ") && error.contains("x/adapter_model.safetensors"),
            "{error}"
        );
    };
    // One that waits for the weights, and one that comes when they are there.
    for _ in 0..2 {
        gone(engine.generate(long_job("x", 1, 40)).unwrap());
    }
    assert!(events(engine.generate(long_job("y", 2, 40)).unwrap()) == alone);
    // Its files are back, and so are the weights after a crash.
    shelf.write_adapter("x", 4, &sample::numbers(100, 4096));
    engine.drill();
    assert!(events(engine.generate(long_job("y", 2, 40)).unwrap()) == alone);
    assert_eq!(engine.rebuilds(), 1);
    let told = events(engine.generate(long_job("x", 1, 40)).unwrap());
    assert!(matches!(told.last(), Some(EngineEvent::End(_))), "its files are read again");
}
