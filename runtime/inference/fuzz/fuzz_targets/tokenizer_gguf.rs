//! Builds the tokenizer of a GGUF file's metadata and uses it. `tests/goldens/tokenizers` has files to begin with.

#![no_main]

use remit_inference::{gguf::Gguf, tokenizer::Tokenizer};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = Gguf::from_bytes(bytes.to_vec()) else { return };
    let Ok(tokenizer) = Tokenizer::from_gguf(&file) else { return };
    let tokens = tokenizer.encode_prompt("The Harbour’s ﬁrst\u{a0}boat, e\u{301}t 12 中文 🦀\t<s> </s>  ");
    assert!(tokens.iter().all(|token| (*token as usize) < tokenizer.size()));
    let _ = (tokenizer.decode(&tokens), tokenizer.begin_text(), tokenizer.end_text());
});
