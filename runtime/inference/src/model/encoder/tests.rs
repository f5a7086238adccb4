//! The encoder against `transformers` on a tiny random BERT (see `tests/goldens/encoder.py`).

use super::*;
use crate::model::golden::{config, distance, floats, gguf_with, golden, metadata, safetensors, tokens};
use remit_compute::Isa;
use serde_json::json;

/// As of the decoder's logits.
const TOLERANCE: f32 = 1e-5;

fn team() -> Team {
    Team::new(2, Isa::best()).unwrap()
}

#[test]
fn embeddings_are_the_references() {
    let team = team();
    for case in golden("bert")["cases"].as_array().unwrap() {
        let json = Encoder::from_json(config(case), &safetensors(case), &team).unwrap();
        let gguf = Encoder::load(&gguf_with(case, metadata(case)), &team).unwrap();
        for (format, encoder) in [("json", json), ("gguf", gguf)] {
            let found = encoder.embed(&team, &[&tokens(case)]).remove(0).unwrap();
            let distance = distance(&found, &floats(&case[format]["embedding"]));
            println!("bert, {}, {format}: {distance:.1e}", case["name"]);
            assert!(distance <= TOLERANCE, "{}, {format}: {distance:.1e}", case["name"]);
            let length: f32 = found.iter().map(|number| number * number).sum();
            assert!((length - 1.0).abs() < 1e-6);
        }
    }
}

/// On any number of threads, and whatever else is embedded; what cannot be embedded keeps nobody from it.
#[test]
fn a_texts_embedding_is_its_own() {
    let case = &golden("bert")["cases"][0];
    let encoder = Encoder::load(&gguf_with(case, metadata(case)), &team()).unwrap();
    // More rows than are computed together.
    let texts: Vec<Vec<u32>> =
        (0..40).map(|text| (0..=text % 40).map(|place| (text * 7 + place * 31) % 96).collect()).collect();
    assert!(texts.iter().map(Vec::len).sum::<usize>() > ROWS_TOGETHER);
    let mut together: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
    together.insert(3, &[]);
    together.insert(9, &[1, 96]);
    let mut found = encoder.embed(&team(), &together);
    assert_eq!(found.remove(9), Err(EmbedError::UnknownToken));
    assert_eq!(found.remove(3), Err(EmbedError::Empty));
    for (text, found) in texts.iter().zip(found) {
        assert_eq!(encoder.embed(&Team::alone(Isa::best()), &[text]), [found]);
    }
}

#[test]
fn a_text_that_cannot_be_embedded_is_refused() {
    let case = &golden("bert")["cases"][0];
    let encoder = Encoder::load(&gguf_with(case, metadata(case)), &team()).unwrap();
    let check = |text: &[u32], expect| assert_eq!(encoder.embed(&team(), &[text]), [Err(expect)]);
    check(&[], EmbedError::Empty);
    check(&[1; 41], EmbedError::TooLong { tokens: 41, capacity: 40 });
    check(&[1, 96], EmbedError::UnknownToken);
}

/// With one key of the GGUF file or of the `config.json` changed. `expect` is a part of the sentence.
fn check(format: &str, key: &str, value: Value, expect: &str) {
    let case = &golden("bert")["cases"][0];
    let mut changed = if format == "gguf" { metadata(case).clone() } else { config(case).clone() };
    changed.insert(key.to_owned(), value);
    let team = team();
    let encoder = match format {
        "gguf" => Encoder::load(&gguf_with(case, &changed), &team),
        _ => Encoder::from_json(&changed, &safetensors(case), &team),
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
