//! all-MiniLM-L6-v2 against sentence-transformers (see `goldens/sentences.py`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use remit_inference::{LocalEmbedder, ModelFile};
use serde_json::Value;

/// The least cosine with the reference's vector.
const COSINE_MIN: f32 = 0.9999;

fn load() -> LocalEmbedder {
    let Some(folder) = std::env::var_os("REMIT_TEST_EMBEDDER") else {
        panic!(
            "REMIT_TEST_EMBEDDER does not name MiniLM's folder; run `cargo xtask test`, which fetches it and sets it"
        )
    };
    LocalEmbedder::load(&ModelFile { name: "minilm".into(), path: folder.into(), digest: "0".into() }, 2).unwrap()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn sentences_of_many_languages_get_the_references_vectors() {
    let embedder = load();
    let goldens: Value = serde_json::from_str(include_str!("goldens/sentences.json")).unwrap();
    let sentences = goldens["sentences"].as_array().unwrap();
    let texts: Vec<_> =
        sentences.iter().map(|sentence| embedder.tokenize(sentence["text"].as_str().unwrap())).collect();
    assert_eq!(texts.len(), 20);
    let together = embedder.embed(&texts).unwrap();
    for ((sentence, tokens), vector) in sentences.iter().zip(&texts).zip(together) {
        let vector = vector.unwrap();
        let hexadecimal = sentence["vector"].as_str().unwrap().as_bytes();
        let bytes: Vec<u8> = hexadecimal
            .chunks_exact(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect();
        let golden: Vec<f32> =
            bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
        assert_eq!(golden.len(), embedder.width());
        let cosine = cosine(&vector, &golden);
        assert!(cosine >= COSINE_MIN, "{}: {cosine}", sentence["text"]);
        let alone = embedder.embed(std::slice::from_ref(tokens)).unwrap().remove(0).unwrap();
        assert_eq!(alone, vector, "a text's vector is the same alone and in a batch");
    }
}

#[test]
fn what_means_the_same_is_near() {
    let embedder = load();
    let texts = ["A man is eating food.", "A man eats something.", "The stock market fell."];
    let vectors = embedder.embed(&texts.map(|text| embedder.tokenize(text))).unwrap();
    let vectors: Vec<_> = vectors.into_iter().map(|vector| vector.unwrap()).collect();
    assert!(cosine(&vectors[0], &vectors[1]) > cosine(&vectors[0], &vectors[2]) + 0.4);
}

#[test]
fn a_text_that_is_too_long_is_refused_and_the_others_are_not() {
    let embedder = load();
    let texts = ["a ".repeat(600), "short".to_owned()].map(|text| embedder.tokenize(&text));
    let vectors = embedder.embed(&texts).unwrap();
    let refusal = vectors[0].as_ref().unwrap_err().to_string();
    assert!(refusal.contains("602") && refusal.contains("512"), "{refusal}");
    assert!(vectors[1].is_ok());
}
