//! Whole models with one file damaged, missing or of another kind: a sentence that names the model and what is wrong, or a
//! model that loads; never a panic. Both forms: a GGUF file, and a folder with safetensors.

use super::*;
use crate::safetensors::sample::{Tensor, bytes, file};
use remit_compute::{Isa, Team};
use serde_json::{Value, json};
use std::{fs, path::Path};

/// A model of one layer, 8 wide, over the sample's vocabulary, as a folder has it.
fn config() -> Value {
    json!({
        "model_type": "llama", "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
        "num_key_value_heads": 1, "head_dim": 4, "max_position_embeddings": 16, "vocab_size": 261, "rms_norm_eps": 1e-5,
        "tie_word_embeddings": true, "rope_parameters": { "rope_type": "default", "rope_theta": 10000.0 },
    })
}

fn tokenizer() -> Value {
    let (tokens, merges) = sample::vocabulary();
    let control = |id: usize| {
        json!({ "id": id, "content": tokens[id], "special": true, "single_word": false,
                                      "lstrip": false, "rstrip": false, "normalized": false })
    };
    let level = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true });
    let vocabulary: serde_json::Map<String, Value> =
        tokens[..258].iter().enumerate().map(|(id, token)| (token.clone(), json!(id))).collect();
    json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
        "added_tokens": (258..261).map(control).collect::<Vec<_>>(), "pre_tokenizer": level, "decoder": level,
        "model": { "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                   "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": vocabulary,
                   "merges": merges.iter().map(|merge| merge.split(' ').collect()).collect::<Vec<Vec<_>>>() },
    })
}

/// The weights in two files, of which the second has the output norm alone.
fn weights(norm: &[f32]) -> [Vec<u8>; 2] {
    let shapes: [(&str, &[u64]); 10] = [
        ("model.embed_tokens.weight", &[261, 8]),
        ("model.layers.0.self_attn.q_proj.weight", &[8, 8]),
        ("model.layers.0.self_attn.k_proj.weight", &[4, 8]),
        ("model.layers.0.self_attn.v_proj.weight", &[4, 8]),
        ("model.layers.0.self_attn.o_proj.weight", &[8, 8]),
        ("model.layers.0.mlp.gate_proj.weight", &[8, 8]),
        ("model.layers.0.mlp.up_proj.weight", &[8, 8]),
        ("model.layers.0.mlp.down_proj.weight", &[8, 8]),
        ("model.layers.0.input_layernorm.weight", &[8]),
        ("model.layers.0.post_attention_layernorm.weight", &[8]),
    ];
    let zeros: Vec<_> = shapes.map(|(_, shape)| vec![0; 4 * shape.iter().product::<u64>() as usize]).into();
    let tensors: Vec<_> =
        shapes.iter().zip(&zeros).map(|((name, shape), bytes)| Tensor { name, dtype: "F32", shape, bytes }).collect();
    let (shape, norm) = ([norm.len() as u64], bytes(norm));
    let norm = Tensor { name: "model.norm.weight", dtype: "F32", shape: &shape, bytes: &norm };
    [file(&tensors), file(&[norm])]
}

/// A sound folder's files.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let [first, second] = weights(&[1.0; 8]);
    let mut map: serde_json::Map<String, Value> = serde_json::Map::new();
    for name in crate::safetensors::Safetensors::from_bytes(first.clone()).unwrap().tensor_names() {
        map.insert(name.to_owned(), json!("a.safetensors"));
    }
    map.insert("model.norm.weight".to_owned(), json!("b.safetensors"));
    let index = json!({ "metadata": {}, "weight_map": map });
    let settings = json!({ "eos_token": "<|end|>", "chat_template": sample::TEMPLATE });
    vec![
        ("config.json", config().to_string().into_bytes()),
        ("tokenizer.json", tokenizer().to_string().into_bytes()),
        ("tokenizer_config.json", settings.to_string().into_bytes()),
        ("generation_config.json", b"{\"eos_token_id\": [259]}".to_vec()),
        ("model.safetensors.index.json", index.to_string().into_bytes()),
        ("a.safetensors", first),
        ("b.safetensors", second),
    ]
}

/// Everything that loading does, on this thread; the sentence where it fails.
fn load_at(path: &Path) -> Result<(), String> {
    let file = ModelFile { name: "a".into(), path: path.to_owned(), digest: "d".into() };
    let loaded = open(&file, &Limits::default(), None)
        .and_then(|(_, files)| files.native_decoder(&Team::alone(Isa::best())).map(drop));
    loaded.map_err(|error| error.to_string())
}

/// A folder that is sound but for what a test does to it.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        files().iter().for_each(|(name, bytes)| folder.put(name, bytes));
        folder
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.0.path().join(name), bytes).unwrap();
    }

    fn load(&self) -> Result<(), String> {
        load_at(self.0.path())
    }

    fn check(&self, expect: &str) {
        let sentence = self.load().expect_err(expect);
        assert!(sentence.starts_with("model a: ") && sentence.contains(expect), "{sentence}");
        assert!(!sentence.contains('\n'), "{sentence}");
    }
}

#[test]
fn the_models_that_are_damaged_are_sound() {
    Folder::new().load().unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), sample::model().finish()).unwrap();
    load_at(file.path()).unwrap();
}

#[test]
fn a_file_that_is_missing_is_named() {
    for (name, expect) in [
        ("config.json", "config.json cannot be read: No such file"),
        ("tokenizer.json", "tokenizer.json cannot be read: No such file"),
        ("a.safetensors", "a.safetensors"),
        ("b.safetensors", "b.safetensors"),
        ("model.safetensors.index.json", "model.safetensors"),
    ] {
        let folder = Folder::new();
        fs::remove_file(folder.0.path().join(name)).unwrap();
        folder.check(expect);
    }
    for name in ["tokenizer_config.json", "generation_config.json"] {
        let folder = Folder::new();
        fs::remove_file(folder.0.path().join(name)).unwrap();
        folder.load().expect("a model can do without its settings");
    }
    let folder = tempfile::tempdir().unwrap();
    assert!(load_at(folder.path()).unwrap_err().contains("config.json cannot be read: No such file"));
    assert!(load_at(&folder.path().join("absent")).unwrap_err().contains("absent"));
}

#[test]
fn a_file_of_another_kind_is_told_with_what_is_supported() {
    let changed = |key: &str, value: Value| {
        let mut config = config();
        config[key] = value;
        config.to_string().into_bytes()
    };
    for (name, content, expect) in [
        (
            "config.json",
            changed("model_type", json!("rwkv")),
            "its architecture is rwkv, and supported are llama, mistral,",
        ),
        ("config.json", changed("model_type", Value::Null), "no model_type"),
        ("config.json", changed("hidden_size", json!(16)), "has the shape [261, 8] and should have [261, 16]"),
        ("config.json", changed("num_hidden_layers", json!(2)), "model.layers.1."),
        ("config.json", changed("vocab_size", json!(260)), "has the shape [261, 8] and should have [260, 8]"),
        ("config.json", b"[]".to_vec(), "config.json cannot be read: invalid type"),
        ("config.json", b"\xff".to_vec(), "config.json cannot be read: stream did not contain valid UTF-8"),
        ("config.json", b"[".repeat(100_000), "config.json cannot be read"),
        ("tokenizer.json", b"{}".to_vec(), "tokenizer.json: "),
        ("tokenizer.json", b"[".repeat(100_000), "tokenizer.json: recursion limit exceeded"),
        ("tokenizer_config.json", b"[]".to_vec(), "tokenizer_config.json: "),
        ("tokenizer_config.json", br#"{"chat_template": 7}"#.to_vec(), "tokenizer_config.json: "),
        ("tokenizer_config.json", br#"{"chat_template": "{% for %}"}"#.to_vec(), "chat template does not compile"),
        ("chat_template.jinja", b"\xff".to_vec(), "chat_template.jinja: "),
        ("chat_template.jinja", b"{{".to_vec(), "chat template does not compile: unexpected end of input"),
        ("generation_config.json", br#"{"eos_token_id": "x"}"#.to_vec(), "generation_config.json: "),
        ("model.safetensors.index.json", b"{}".to_vec(), "missing field `weight_map`"),
        ("b.safetensors", weights(&[1.0; 7])[1].clone(), "model.norm.weight has the shape [7] and should have [8]"),
        ("b.safetensors", weights(&[f32::NAN; 8])[1].clone(), "number 0 of the tensor model.norm.weight is infinite"),
        ("b.safetensors", b"GGUF".to_vec(), "not a safetensors file"),
    ] {
        let folder = Folder::new();
        folder.put(name, &content);
        folder.check(expect);
    }
    let mut small = tokenizer();
    small["added_tokens"][2]["id"] = json!(9_999);
    let folder = Folder::new();
    folder.put("tokenizer.json", small.to_string().as_bytes());
    folder.check("its tokenizer has 10000 tokens and its weights 261");
}

/// Where a file is cut off does not matter to how it is refused. Each length of what is text; of numbers, those around each
/// of its parts would all be told alike.
#[test]
fn a_file_that_is_cut_off_anywhere_is_refused() {
    let folder = Folder::new();
    for (name, whole) in files() {
        let is_json = name.ends_with(".json");
        let step = if is_json { 1 + whole.len() / 600 } else { 1 + whole.len() / 200 };
        for length in (0..whole.len()).step_by(step).chain([whole.len() - 1]) {
            folder.put(name, &whole[..length]);
            let sentence = folder.load().expect_err(name);
            assert!(sentence.starts_with("model a: ") && !sentence.contains('\n'), "{name}, {length}: {sentence}");
        }
        folder.put(name, &whole);
    }
    folder.load().expect("everything is back");
    let (whole, file) = (sample::model().finish(), tempfile::NamedTempFile::new().unwrap());
    for length in (0..whole.len()).step_by(1 + whole.len() / 400).chain([whole.len() - 1]) {
        fs::write(file.path(), &whole[..length]).unwrap();
        let sentence = load_at(file.path()).expect_err("it is cut off");
        assert!(sentence.starts_with("model a: ") && !sentence.contains('\n'), "{length}: {sentence}");
    }
}

/// A bit that flips makes another model, or none.
#[test]
fn a_bit_that_flips_anywhere_never_panics() {
    let folder = Folder::new();
    let survive = |loaded: Result<(), String>| {
        if let Err(sentence) = loaded {
            assert!(sentence.starts_with("model a: ") && sentence.len() < 1_000, "{sentence}");
        }
    };
    for (name, whole) in files() {
        // Every part of the small files and of the headers, and some of the numbers.
        let places = whole.len().min(2_000);
        for place in (0..places).step_by(1 + places / 250) {
            let mut changed = whole.clone();
            changed[place] ^= 1 << (place % 8);
            folder.put(name, &changed);
            survive(folder.load());
        }
        folder.put(name, &whole);
    }
    let (whole, file) = (sample::model().finish(), tempfile::NamedTempFile::new().unwrap());
    let header = whole.len() - 60_000.min(whole.len() / 2);
    for place in (0..header).step_by(1 + header / 500) {
        let mut changed = whole.clone();
        changed[place] ^= 1 << (place % 8);
        fs::write(file.path(), &changed).unwrap();
        survive(load_at(file.path()));
    }
}
