//! Tokenizers whose files were changed at random: making one takes memory in proportion to its file, and what was made
//! tokenizes.

use super::{allocation, change, mutated};
use proptest::{collection::vec, prelude::*};
use remit_inference::{gguf::Gguf, tokenizer::Tokenizer};

/// Bytes that a tokenizer may hold for each byte of its file: a token of one letter is a few bytes there, and here an entry in each of several
/// tables. The crate `tokenizers` parses its JSON twice over.
const HELD_PER_BYTE_MAX: i64 = 96;
/// And for none: tables that start with some capacity, compiled patterns.
const HELD_MAX: i64 = 24 << 20;
/// Some seconds.
const CASES: u32 = 512;
const FILES: [&str; 12] = [
    "bert",
    "bert-cased",
    "deepseek-v3",
    "gpt-2",
    "llama-bpe",
    "qwen2",
    "smollm",
    "spm-bare",
    "spm-gemma",
    "spm-llama",
    "unigram-bytes",
    "unigram-t5",
];
const FOLDERS: [&str; 4] = ["bert-json", "llama2-json", "llama3-json", "t5-json"];

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(format!("tests/goldens/tokenizers/{name}")).unwrap()
}

fn gguf(name: &str) -> Vec<u8> {
    golden(&format!("{name}.gguf"))
}

fn json(name: &str) -> Vec<u8> {
    golden(&format!("{name}/tokenizer.json"))
}

fn of_gguf(bytes: Vec<u8>) -> Option<Tokenizer> {
    Tokenizer::from_gguf(&Gguf::from_bytes(bytes).ok()?).ok()
}

#[allow(clippy::needless_pass_by_value, reason = "it is used as `of_gguf` is, which keeps the bytes")]
fn of_json(bytes: Vec<u8>) -> Option<Tokenizer> {
    Tokenizer::from_json(&bytes).ok()
}

fn check(bytes: Vec<u8>, make: fn(Vec<u8>) -> Option<Tokenizer>) -> bool {
    let limit = HELD_MAX + HELD_PER_BYTE_MAX * bytes.len() as i64;
    let mut made = None;
    let held = allocation::most_during(|| made = make(bytes));
    assert!(held <= limit, "{held} bytes, and at most {limit} are accepted");
    let Some(tokenizer) = made else { return false };
    let tokens = tokenizer.encode_prompt("The Harbour’s ﬁrst\u{a0}boat, e\u{301}t 12 中文 🦀\t<s> </s>  ");
    assert!(tokens.iter().all(|token| (*token as usize) < tokenizer.size()));
    let _ = (tokenizer.decode(&tokens), tokenizer.begin_text(), tokenizer.end_text());
    true
}

#[test]
fn the_tokenizers_that_are_changed_are_sound() {
    FILES.iter().for_each(|name| assert!(check(gguf(name), of_gguf), "{name}"));
    FOLDERS.iter().for_each(|name| assert!(check(json(name), of_json), "{name}"));
}

#[test]
fn hostile_descriptions_stay_within_the_limit() {
    let nested = |part: &str, count: usize| part.repeat(count);
    for json in [
        String::new(),
        "null".to_owned(),
        "[]".to_owned(),
        nested("[", 1 << 20),
        nested("{\"model\":", 1 << 18),
        format!("{{\"model\":{{\"type\":\"BPE\",\"vocab\":{{\"a\":{}}},\"merges\":[]}}}}", u32::MAX),
        format!("{{\"model\":{{\"type\":\"BPE\",\"vocab\":{{\"a\":{}}},\"merges\":[]}}}}", u64::MAX),
        format!("{{\"model\":{{\"type\":\"Unigram\",\"vocab\":[{}[\"a\",0]]}}}}", "[\"a\",0],".repeat(100_000)),
        format!("{{\"added_tokens\":[{}{{}}]}}", "{},".repeat(300_000)),
    ] {
        // One letter a hundred thousand times over is a tokenizer, of a kind; the others are none.
        assert_eq!(check(json.clone().into_bytes(), of_json), json.contains("Unigram"), "{:.80}", json);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 64, ..ProptestConfig::with_cases(super::cases(CASES)) })]

    #[test]
    fn changed_metadata_are_survived(which in 0..FILES.len(), changes in vec(change(), 1..8)) {
        check(mutated(gguf(FILES[which]), &changes), of_gguf);
    }

    #[test]
    fn changed_descriptions_are_survived(which in 0..FOLDERS.len(), changes in vec(change(), 1..4)) {
        check(mutated(json(FOLDERS[which]), &changes), of_json);
    }
}
