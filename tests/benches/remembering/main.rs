//! What it takes to remember, for processes: with the journal, the sandbox and the real models, beside which `memory` of `runtime/memory`
//! measures the store alone.
//!
//! | part | key | is |
//! | --- | --- | --- |
//! | `put` | `put_p50_ms` | a guest's write of a text of 30 words with a vector, nothing else under way; with its entry in the journal |
//! | | `put_decoding_p50_ms` | the same while the model writes four answers at a time on all processors |
//! | | `puts_per_s_16` | the same from 16 processes side by side, until all of it is on the disk |
//! | | `search_text_ms` | of 100,000 entries then, the ten likest of a text by words and meaning, with the text's vector computed; p50 |
//! | `embedding` | `embed_per_s` | short texts that are written at once, until each is found by what it means; by the kernel's own programs |
//! | | `embed_direct_per_s` | the same texts, in calls of 256 to the embedder itself |
//! | `paging` | `paging_p99_ms_1000` | of 1,000 contexts side by side, a turn in which segments leave the window; with its pages written and looked for |
//! | | `paging_p50_ms_1000` | the same |
//!
//! Arguments choose parts; without any, all are run. Numbers of parts that are not run stay in the JSON file as they are.
//!
//! # Paging
//!
//! Each context has a window of 2,048 tokens and is of a process of its own; all write to one store. In each turn its process says twelve
//! messages of some forty tokens, after it has thought for twenty seconds on average, so that some fifty turns come in a second. A turn is timed
//! from the guest's call to its answer: what is like the newest message is looked for, by words, a plan is made, the prompt is rendered and
//! counted, and what has left is written. The model says the same to everything, at once, and no text becomes a vector: the other part says how
//! many can.

#![allow(missing_docs, reason = "a benchmark has no reader of its documentation")]
#![allow(clippy::print_stdout, reason = "a benchmark prints its table")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/models.rs"]
mod models;

mod embedding;
mod paging;
mod put;

const PARTS: [&str; 3] = ["put", "embedding", "paging"];

fn main() {
    for part in common::chosen(&PARTS) {
        let numbers = match part.as_str() {
            "put" => put::measure(),
            "embedding" => embedding::measure(),
            _ => paging::measure(),
        };
        common::leave_more(&numbers);
    }
}
