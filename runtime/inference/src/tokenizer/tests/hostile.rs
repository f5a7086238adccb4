//! Damaged files and texts made to be slow.

use super::*;
use proptest::{collection::vec, prelude::*};
use std::time::{Duration, Instant};

/// For one tokenization of 1 MiB: some hundred times what it takes where time is linear, far below what it takes where
/// it is not.
const TIME_MAX: Duration = Duration::from_secs(10);

fn check_time(name: &str, tokenizer: &Tokenizer, text: &str, lossless: bool) {
    let start = Instant::now();
    let tokens = tokenizer.encode(text);
    let sample: String = text.chars().take(4).collect();
    assert!(start.elapsed() < TIME_MAX, "{name}: {sample:?} took {:?}", start.elapsed());
    assert!(!lossless || tokenizer.decode(&tokens) == text, "{name}: {sample:?}");
}

#[test]
fn a_text_without_a_space_takes_linear_time() {
    let tokenizer = tokenizer();
    for text in ["h", "he", "hello", " ", "\n", "'", "é", "1", "<", "🦀"] {
        let text = text.repeat((1 << 20) / text.len());
        for text in [text.clone(), text + "x"] {
            check_time("sample", &tokenizer, &text, true);
        }
    }
}

#[test]
fn a_long_text_takes_linear_time_whatever_the_model() {
    for (name, tokenizer) in all() {
        let normalizes = name.starts_with("unigram") || name.starts_with("bert") || name == "t5-json";
        for text in ["a", "A", " ", "e\u{301}", "中"] {
            let text = text.repeat((1 << 20) / text.len()) + "x";
            let composed = name == "qwen2" && text.contains('\u{301}');
            check_time(name, &tokenizer, &text, !normalizes && !composed);
        }
    }
}

/// Builds what can be built of a file, and uses it.
fn survive(bytes: Vec<u8>) {
    if let Ok(file) = Gguf::from_bytes(bytes)
        && let Ok(tokenizer) = Tokenizer::from_gguf(&file)
    {
        use_it(&tokenizer);
    }
}

fn use_it(tokenizer: &Tokenizer) {
    let tokens = tokenizer.encode_prompt("The Harbour’s ﬁrst\u{a0}boat, e\u{301}t 12 中文 🦀\t<s> </s>  ");
    assert!(tokens.iter().all(|token| (*token as usize) < tokenizer.size()));
    let _ = (tokenizer.decode(&tokens), tokenizer.begin_text(), tokenizer.end_text());
}

#[test]
fn a_file_cut_off_anywhere_is_an_error() {
    for name in FILES {
        let file = file(name);
        for length in (0..file.len()).step_by(file.len() / 97) {
            assert!(Gguf::from_bytes(file[..length].to_vec()).is_err(), "{name}: {length}");
        }
    }
    for name in FOLDERS {
        let json = std::fs::read(goldens().join(name).join("tokenizer.json")).unwrap();
        for length in (0..json.len()).step_by(json.len() / 97) {
            assert!(Library::new(&json[..length]).is_err(), "{name}: {length}");
        }
    }
}

#[test]
fn a_library_that_fails_on_a_text_loses_no_more_than_it_must() {
    // A charsmap whose root leads out of the array makes the crate panic on some characters.
    let base64 = "BAAAAAAEAAAA";
    let json = format!(
        r#"{{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "pre_tokenizer": null,
            "normalizer": {{"type": "Precompiled", "precompiled_charsmap": "{base64}"}}, "post_processor": null, "decoder": null,
            "model": {{"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": {{"a": 0, "b": 1}}, "merges": []}}}}"#
    );
    if let Ok((library, _, _)) = Library::new(json.as_bytes()) {
        let mut tokens = Vec::new();
        library.encode(&"ab".repeat(1000), library::Place::Beginning, &mut tokens);
        assert!(tokens.len() <= 2000);
    }
}

fn flipped(mut bytes: Vec<u8>, flips: &[(usize, u8)]) -> Vec<u8> {
    let length = bytes.len();
    for (place, bit) in flips {
        bytes[place % length] ^= 1 << (bit % 8);
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn flipped_bits_of_a_file_never_panic(which in 0..FILES.len(), flips in vec((any::<usize>(), any::<u8>()), 1..4)) {
        survive(flipped(file(FILES[which]), &flips));
    }

    #[test]
    fn flipped_bits_of_a_folder_never_panic(which in 0..FOLDERS.len(), flips in vec((any::<usize>(), any::<u8>()), 1..4)) {
        let name = FOLDERS[which];
        let json = flipped(std::fs::read(goldens().join(name).join("tokenizer.json")).unwrap(), &flips);
        if let Ok((library, bytes, special)) = Library::new(&json) {
            let control = Control::new(&special);
            use_it(&Tokenizer { model: Model::Library(Box::new(library)), bytes, special, control });
        }
    }

    #[test]
    fn a_charsmap_of_any_bytes_never_panics(bytes in vec(any::<u8>(), 0..400), size in 0u32..400, text in ".{0,40}") {
        let bytes = [&size.to_le_bytes()[..], &bytes].concat();
        if let Ok(rules) = charsmap::Charsmap::new(&bytes) {
            let lengths: Vec<_> = text.char_indices().map(|(start, _)| rules.longest(&text[start..]).map(|found| found.1)).collect();
            prop_assert_eq!(lengths.len(), text.chars().count());
        }
    }
}
