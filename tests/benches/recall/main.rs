//! What is found again of what left the window, or was noted, of questions that are generated. Nobody judges: what is found is compared, byte by
//! byte.
//!
//! | part | what |
//! | --- | --- |
//! | `nested` | 140 pairs of UUIDs whose values are keys themselves, up to four times, by an agent that searches its store and is no model |
//! | `needle-8k` `needle-32k` `needle-128k` | 200 questions about facts in conversations of so many tokens, with a window of 2,048 |
//!
//! Arguments choose parts; without any, all are run. Numbers of parts that are not run stay in the JSON file as they are.
//!
//! # Nested keys and values
//!
//! Each key has five near-misses, which differ from it in one group of digits, and so has each value that is no key. The agent looks for a key by
//! words and meaning together, takes the pair with just that key from the first ten hits, goes on with its value, and says where that ends.
//! `nested_kv` is the share of keys for which it says the right value.
//!
//! # Needles
//!
//! A fact is said once, with 20 near-misses, and is asked for in other words ([`recall_data::facts`] says how). Of a conversation of 8k tokens
//! ten are asked for, of one of 32k forty, of one of 128k all 200; behind the last of them there is more small talk than the window has room
//! for. The conversation is one context of a process, with its pages in a store; each question is asked in a fork of its own, so that none helps
//! another.
//!
//! | key | is the share of questions for which the fact is |
//! | --- | --- |
//! | `needle_8k` `needle_32k` `needle_128k` | in the prompt, as the model is given it |
//! | `…_vector` | among the likest by MiniLM's vectors alone, as many as the prompt has tokens for |
//! | `…_text` | among the likest by their words alone, as many as that |
//!
//! `…_prompt_tokens` and `…_prompt_tokens_p95` are of the prompts that ask. That none has more than the window less what is set apart for the answer
//! is asserted for each prompt of the whole conversation. No model answers: what is recalled does not depend on it. Tokens are counted by
//! SmolLM2's tokenizer and template.

#![allow(missing_docs, reason = "a benchmark has no reader of its documentation")]
#![allow(clippy::print_stdout, reason = "a benchmark prints its table")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/models.rs"]
mod models;
#[path = "data/mod.rs"]
mod recall_data;

mod needle;
mod nested;

use models::{Models, Voice};
use std::sync::Arc;

const PARTS: [&str; 4] = ["nested", "needle-8k", "needle-32k", "needle-128k"];

fn main() {
    let models = Arc::new(Models::new(Voice::Listening));
    for part in common::chosen(&PARTS) {
        let numbers = match part.strip_prefix("needle-") {
            Some(size) => needle::measure(&models, size),
            None => nested::measure(&models),
        };
        common::leave_more(&numbers);
    }
}
