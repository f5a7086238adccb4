//! The encoder against `transformers` on a tiny random BERT (see `tests/goldens/encoder.py`).

use super::*;
use crate::model::golden::{config, distance, floats, gguf_with, golden, metadata, safetensors, tokens};
use serde_json::json;

/// As of the decoder's logits.
const TOLERANCE: f32 = 1e-5;

#[test]
fn embeddings_are_the_references() {
    let device = Device::flex();
    for case in golden("bert")["cases"].as_array().unwrap() {
        let json = Encoder::from_json(config(case), &safetensors(case), &device).unwrap();
        let gguf = Encoder::load(&gguf_with(case, metadata(case)), &device).unwrap();
        for (format, encoder) in [("json", json), ("gguf", gguf)] {
            let found = encoder.embed(&tokens(case)).unwrap();
            let distance = distance(&found, &floats(&case[format]["embedding"]));
            println!("bert, {}, {format}: {distance:.1e}", case["name"]);
            assert!(distance <= TOLERANCE, "{}, {format}: {distance:.1e}", case["name"]);
            let length: f32 = found.iter().map(|number| number * number).sum();
            assert!((length - 1.0).abs() < 1e-6);
        }
    }
}

#[test]
fn a_text_that_cannot_be_embedded_is_refused() {
    let case = &golden("bert")["cases"][0];
    let encoder = Encoder::load(&gguf_with(case, metadata(case)), &Device::flex()).unwrap();
    assert_eq!(encoder.embed(&[]), Err(EmbedError::Empty));
    assert_eq!(encoder.embed(&[1; 41]), Err(EmbedError::TooLong { tokens: 41, capacity: 40 }));
    assert_eq!(encoder.embed(&[1, 96]), Err(EmbedError::UnknownToken));
}

/// With one key of the GGUF file or of the `config.json` changed. `expect` is a part of the sentence.
fn check(format: &str, key: &str, value: Value, expect: &str) {
    let case = &golden("bert")["cases"][0];
    let mut changed = if format == "gguf" { metadata(case).clone() } else { config(case).clone() };
    changed.insert(key.to_owned(), value);
    let device = Device::flex();
    let encoder = match format {
        "gguf" => Encoder::load(&gguf_with(case, &changed), &device),
        _ => Encoder::from_json(&changed, &safetensors(case), &device),
    };
    let sentence = encoder.unwrap_err().to_string();
    assert!(sentence.contains(expect), "{sentence}");
}

#[test]
fn refuses_what_it_cannot_compute() {
    check("gguf", "general.architecture", json!("llama"), "architecture is llama, and supported are bert");
    check("gguf", "bert.pooling_type", json!(2), "pooling of the kind 2");
    check("gguf", "bert.attention.causal", json!(true), "attention to earlier positions alone");
    check("gguf", "bert.attention.head_count", json!(5), "5 heads do not divide a width of 32");
    check("gguf", "bert.block_count", json!(u32::MAX), "must be 1 to 1024");
    check("gguf", "bert.block_count", json!(4), "no tensor blk.3.attn_q.weight");
    check("gguf", "bert.block_count", json!(2), "it uses the tensor blk.2.");
    check("gguf", "bert.context_length", json!(0), "must be 1 to");
    check("json", "hidden_act", json!("relu"), "hidden_act \"relu\"");
    check("json", "position_embedding_type", json!("relative_key"), "position_embedding_type \"relative_key\"");
    check("json", "is_decoder", json!(true), "attention to earlier positions alone");
    check("json", "type_vocab_size", json!(3), "has the shape [2, 32] and should have [3, 32]");
    check("json", "layer_norm_eps", json!(0.0), "the norms' epsilon is 0");
    check("json", "model_type", json!("roberta"), "architecture is roberta");
}
