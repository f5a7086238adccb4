//! Each kind of tokenizer against its reference implementation, on 1,000 lines (see `goldens/tokenizers/make.py`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use remit_inference::{gguf::Gguf, tokenizer::Tokenizer};
use serde_json::Value;
use std::path::PathBuf;

/// Every how many lines `ids.json` has all ids.
const SAMPLE_EVERY: usize = 20;

fn folder() -> PathBuf {
    PathBuf::from("tests/goldens/tokenizers")
}

fn lines() -> Vec<String> {
    let text = std::fs::read_to_string(folder().join("lines.txt")).unwrap();
    text.split('\n').map(ToOwned::to_owned).collect()
}

fn from_gguf(path: &std::path::Path) -> Tokenizer {
    Tokenizer::from_gguf(&Gguf::open(path).unwrap()).unwrap()
}

fn small(name: &str) -> Tokenizer {
    from_gguf(&folder().join(format!("{name}.gguf")))
}

/// FNV-1a of the ids as little-endian u32.
fn hash(ids: &[u32]) -> String {
    let bytes = ids.iter().flat_map(|id| id.to_le_bytes());
    format!("{:08x}", bytes.fold(0x811c_9dc5u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)))
}

fn check(name: &str, tokenizer: &Tokenizer) {
    let goldens: Value = serde_json::from_str(&std::fs::read_to_string(folder().join("ids.json")).unwrap()).unwrap();
    let golden = &goldens[name];
    let hashes = golden["hashes"].as_str().unwrap();
    let lines = lines();
    assert_eq!((lines.len(), hashes.len()), (1000, 8000));
    let mut wrong = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let ids = tokenizer.encode(line);
        if hash(&ids) != hashes[index * 8..][..8] {
            let sample = &golden["samples"][index / SAMPLE_EVERY];
            let expect = if index % SAMPLE_EVERY == 0 { format!(", not {sample}") } else { String::new() };
            wrong.push(format!("line {}: {line:?} is {ids:?}{expect}", index + 1));
        }
    }
    assert!(wrong.is_empty(), "{name}: {} of 1000 lines differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn byte_level_bpe_has_the_references_ids() {
    for name in ["gpt-2", "smollm", "llama-bpe", "qwen2", "tekken", "deepseek-v3"] {
        check(name, &small(name));
    }
}

#[test]
fn sentencepiece_bpe_has_the_references_ids() {
    for name in ["spm-llama", "spm-unused", "spm-bare", "spm-gemma"] {
        check(name, &small(name));
    }
}

#[test]
fn sentencepiece_unigram_has_the_references_ids() {
    for name in ["unigram-t5", "unigram-bytes"] {
        check(name, &small(name));
    }
}

#[test]
fn word_piece_has_the_references_ids() {
    for name in ["bert", "bert-cased"] {
        check(name, &small(name));
    }
}

#[test]
fn folders_have_the_references_ids() {
    for name in ["llama3-json", "llama2-json", "t5-json", "bert-json"] {
        check(name, &Tokenizer::from_folder(&folder().join(name)).unwrap());
    }
}

#[test]
fn smollm2_has_the_references_ids() {
    let Some(path) = std::env::var_os("REMIT_TEST_MODEL") else {
        panic!(
            "REMIT_TEST_MODEL does not name SmolLM2's GGUF file; run `cargo xtask test`, which fetches it and sets it"
        );
    };
    check("smollm2", &from_gguf(path.as_ref()));
}
