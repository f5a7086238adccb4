//! What metadata and settings say, one by one, with vocabularies of a few tokens.

use super::*;
use crate::gguf::sample::{F32, I32, STRING, string};
use tempfile::TempDir;

fn listed(model: &str, tokens: &[(&str, f32, i32)]) -> Writer {
    let texts: Vec<_> = tokens.iter().map(|token| string(token.0)).collect();
    let scores: Vec<_> = tokens.iter().map(|token| token.1.to_le_bytes().to_vec()).collect();
    let kinds: Vec<_> = tokens.iter().map(|token| token.2.to_le_bytes().to_vec()).collect();
    Writer::new()
        .str("tokenizer.ggml.model", model)
        .array("tokenizer.ggml.tokens", STRING, &texts)
        .array("tokenizer.ggml.scores", F32, &scores)
        .array("tokenizer.ggml.token_type", I32, &kinds)
}

fn built(writer: Writer) -> Result<Tokenizer, TokenizerError> {
    Tokenizer::from_gguf(&Gguf::from_bytes(writer.finish()).unwrap())
}

fn check(writer: Writer, text: &str, expect: &[u32]) {
    assert_eq!(built(writer).unwrap().encode_prompt(text), expect, "{text:?}");
}

fn check_error(writer: Writer, expect: &str) {
    let sentence = built(writer).unwrap_err().to_string();
    assert!(sentence.contains(expect), "{sentence}");
}

/// Kinds: 1 text, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
const PIECES: &[(&str, f32, i32)] = &[
    ("<unk>", 0.0, 2),
    ("<s>", 0.0, 3),
    ("</s>", 0.0, 3),
    ("▁", -9.0, 1),
    ("a", -9.0, 1),
    ("b", -9.0, 1),
    ("ab", -1.0, 1),
    ("aa", -1.0, 1),
    ("▁ab", -2.0, 5),
    ("▁▁", 0.0, 4),
    ("<tool_call>", 0.0, 4),
];

fn pieces(model: &str) -> Writer {
    listed(model, PIECES).u32("tokenizer.ggml.bos_token_id", 1).u32("tokenizer.ggml.eos_token_id", 2)
}

#[test]
fn pieces_merge_by_score_and_then_from_the_left() {
    check(pieces("llama"), "aab", &[1, 3, 7, 5]);
    check(pieces("llama"), "baab", &[1, 3, 5, 7, 5]);
    // The unused piece falls apart into what it was made of.
    check(pieces("llama"), "ab", &[1, 3, 6]);
    // A run of unknown text is one token.
    check(pieces("llama"), "axyzb", &[1, 3, 4, 0, 5]);
    check(pieces("llama"), "", &[1]);
}

#[test]
fn user_defined_blanks_are_pieces_and_other_user_defined_tokens_are_control() {
    let unprefixed = || pieces("llama").bool("tokenizer.ggml.add_space_prefix", false);
    check(unprefixed(), "a   a", &[1, 4, 9, 3, 4]);
    let tokenizer = built(unprefixed()).unwrap();
    assert_eq!(tokenizer.special.text_of(10), Some("<tool_call>"));
    assert_eq!(tokenizer.special.text_of(9), None);
}

#[test]
fn begin_and_end_tokens_are_added_as_the_file_says() {
    check(pieces("llama").bool("tokenizer.ggml.add_bos_token", false), "a", &[3, 4]);
    check(pieces("llama").bool("tokenizer.ggml.add_eos_token", true), "a", &[1, 3, 4, 2]);
    check(pieces("t5"), "a", &[3, 4, 2]);
    check(pieces("t5").bool("tokenizer.ggml.add_eos_token", false), "a", &[3, 4]);
    let tokenizer = built(pieces("llama").u32("tokenizer.ggml.padding_token_id", 2)).unwrap();
    assert_eq!((tokenizer.padding(), tokenizer.ends()), (Some(2), &[2][..]));
    assert_eq!((tokenizer.begin_text(), tokenizer.end_text()), (Some("<s>"), Some("</s>")));
}

#[test]
fn unigram_takes_the_best_sum() {
    let model = |tokens: &[(&str, f32, i32)]| {
        listed("t5", tokens).bool("tokenizer.ggml.add_space_prefix", false).bool("tokenizer.ggml.add_eos_token", false)
    };
    let tokens = [("<unk>", 0.0, 2), ("a", -1.0, 1), ("b", -1.0, 1), ("ab", -2.5, 1), ("abc", -4.0, 1), ("c", -2.5, 1)];
    check(model(&tokens), "ab", &[1, 2]);
    check(model(&tokens), "abc", &[4]);
    check(model(&tokens), "azza", &[1, 0, 1]);
}

#[test]
fn words_fall_into_the_longest_pieces_of_either_form() {
    let plain = [
        ("[UNK]", 0.0, 3),
        ("un", 0.0, 1),
        ("##believ", 0.0, 1),
        ("##able", 0.0, 1),
        ("!", 0.0, 1),
        ("##a", 0.0, 1),
        ("中", 0.0, 1),
    ];
    let marked = [
        ("[UNK]", 0.0, 3),
        ("▁un", 0.0, 1),
        ("believ", 0.0, 1),
        ("able", 0.0, 1),
        ("▁!", 0.0, 1),
        ("a", 0.0, 1),
        ("▁中", 0.0, 1),
    ];
    for tokens in [plain, marked] {
        check(listed("bert", &tokens), "ÜNbelievable!un\u{0}a", &[1, 2, 3, 4, 1, 5]);
        check(listed("bert", &tokens), "un中un unx able", &[1, 6, 1, 0, 0]);
        check(listed("bert", &tokens), &["un", &"a".repeat(98)].concat(), &[&[1][..], &[5; 98]].concat());
        check(listed("bert", &tokens), &["un", &"a".repeat(99)].concat(), &[0]);
        check(listed("bert", &tokens).bool("tokenizer.ggml.normalizer.lowercase", false), "UN", &[0]);
    }
}

#[test]
fn phi3s_control_tokens_take_the_blanks_behind_them_along() {
    let template =
        ChatTemplate::new("<s> {% for m in messages %}</s>\n {{ m.content }}{% endfor %}", None, None).unwrap();
    let message = ChatMessage::said(Role::User, "a");
    let encode = |writer| built(writer).unwrap().encode_chat(&template, &vec![message.clone()].into()).unwrap();
    assert_eq!(encode(pieces("llama").str("general.architecture", "phi3")), [1, 9, 2, 3, 4]);
    assert_eq!(encode(pieces("llama")), [1, 9, 2, 3, 0, 3, 4]);
}

#[test]
fn refuses_what_it_cannot_build() {
    let base = || Writer::new().str("tokenizer.ggml.model", "gpt2");
    let tokens = |count: usize, kinds: usize| {
        let kinds = vec![1i32.to_le_bytes().to_vec(); kinds];
        base().array("tokenizer.ggml.tokens", STRING, &vec![string("a"); count]).array(
            "tokenizer.ggml.token_type",
            I32,
            &kinds,
        )
    };
    check_error(Writer::new(), "no metadata key tokenizer.ggml.model");
    check_error(
        Writer::new().str("tokenizer.ggml.model", "rwkv"),
        "model is rwkv, and supported are gpt2 (byte-level BPE), llama (SentencePiece BPE), t5 (SentencePiece unigram), bert",
    );
    check_error(base(), "no metadata key tokenizer.ggml.tokens");
    let pre = |writer: Writer, name| writer.str("tokenizer.ggml.pre", name);
    check_error(pre(tokens(2, 1), "gpt-2"), "2 tokens and 1 token types");
    check_error(pre(tokens(0, 0), "gpt-2"), "0 tokens");
    let merged = |merge: &str| tokens(2, 2).array("tokenizer.ggml.merges", STRING, &[string(merge)]);
    check_error(pre(merged("ab"), "gpt-2"), "merge 0 has not two parts");
    check_error(
        pre(merged("a a"), "gpt-2").u32("tokenizer.ggml.eos_token_id", 2),
        "eos_token_id is 2 and there are 2 tokens",
    );
    check_error(pre(merged("a a"), "exotic"), "pre-tokenizer is exotic, and supported are gpt-2, smollm, llama-bpe,");
    check_error(merged("a a"), "pre-tokenizer is (absent)");
    let kinds = vec![1i32.to_le_bytes().to_vec(); 2];
    let unscored = Writer::new()
        .str("tokenizer.ggml.model", "llama")
        .array("tokenizer.ggml.tokens", STRING, &vec![string("a"); 2])
        .array("tokenizer.ggml.token_type", I32, &kinds);
    check_error(unscored, "no metadata key tokenizer.ggml.scores");
    check_error(listed("llama", &[("a", f32::NAN, 1)]), "a score is no number");
    check_error(
        listed("llama", &[(&"a".repeat(1025), 0.0, 1)]),
        "the token aaaaaaaaaaaaaaaa… has more than 1024 bytes",
    );
    let charsmap = |bytes: &[u8]| {
        let bytes: Vec<_> = bytes.iter().map(|byte| vec![*byte]).collect();
        pieces("t5").array("tokenizer.ggml.precompiled_charsmap", 0, &bytes)
    };
    check_error(charsmap(&[1, 2]), "precompiled_charsmap is too short");
    check_error(charsmap(&[8, 0, 0, 0, 1]), "precompiled_charsmap is cut off");
    check_error(
        charsmap(&[&[0; 4][..], &[b'a'; 300]].concat()),
        "precompiled_charsmap has a replacement without an end",
    );
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// Words of one letter, and four added tokens.
const WORDS: &str = r#"{"version": "1.0", "truncation": null, "padding": null, "normalizer": null,
    "added_tokens": [
        {"id": 3, "content": "<s>", "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false},
        {"id": 4, "content": "</s>", "special": true, "single_word": false, "lstrip": false, "rstrip": true, "normalized": false},
        {"id": 5, "content": "<think>", "special": false, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false},
        {"id": 6, "content": "  ", "special": false, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false}],
    "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null, "decoder": null,
    "model": {"type": "WordLevel", "unk_token": "?", "vocab": {"?": 0, "a": 1, "b": 2, "<s>": 3, "</s>": 4}}}"#;

#[test]
fn a_folders_settings_go_before_its_tokenizer() {
    let generation = r#"{"bos_token_id": 3, "eos_token_id": [4, 1, 99], "pad_token_id": -1}"#;
    let tokenizer = |files: &[(&str, &str)]| {
        Tokenizer::from_folder(folder(&[&[("tokenizer.json", WORDS)], files].concat()).path()).unwrap()
    };
    let plain = tokenizer(&[]);
    assert_eq!(plain.encode_prompt("a <s> b"), [1, 0, 2]);
    assert_eq!((plain.begin_text(), plain.ends(), plain.padding()), (None, &[4][..], None));
    let set = tokenizer(&[
        (
            "tokenizer_config.json",
            r#"{"bos_token": {"content": "<s>"}, "eos_token": "</s>", "pad_token": "</s>", "add_bos_token": true}"#,
        ),
        ("generation_config.json", generation),
    ]);
    assert_eq!(set.encode_prompt("a"), [3, 1]);
    assert_eq!((set.begin_text(), set.end_text()), (Some("<s>"), Some("</s>")));
    assert_eq!((set.ends(), set.padding()), (&[1, 4][..], Some(4)));
    let template = ChatTemplate::new("<s>{{ messages[0].content }}</s>\n<think> a  b", None, None).unwrap();
    let message = ChatMessage::said(Role::User, "a <think> </s>");
    assert_eq!(set.encode_chat(&template, &vec![message].into()).unwrap(), [3, 1, 0, 0, 4, 5, 1, 6, 2]);
}

#[test]
fn a_folders_template_is_a_string_one_of_a_list_or_a_file() {
    let check = |files: &[(&str, &str)], expect: Option<&str>| {
        assert_eq!(chat_template_of(folder(files).path()).unwrap().as_deref(), expect);
    };
    check(&[], None);
    check(&[("tokenizer_config.json", "{}")], None);
    check(&[("tokenizer_config.json", r#"{"chat_template": "one"}"#)], Some("one"));
    let named =
        r#"{"chat_template": [{"name": "tool_use", "template": "two"}, {"name": "default", "template": "three"}]}"#;
    check(&[("tokenizer_config.json", named)], Some("three"));
    check(&[("tokenizer_config.json", r#"{"chat_template": []}"#)], None);
    check(&[("tokenizer_config.json", named), ("chat_template.jinja", "four")], Some("four"));
}

#[test]
fn refuses_folders_that_it_cannot_read() {
    let check = |files: &[(&str, &str)], expect: &str| {
        let sentence = Tokenizer::from_folder(folder(files).path()).unwrap_err().to_string();
        assert!(sentence.contains(expect), "{sentence}");
    };
    check(&[], "tokenizer.json cannot be read: ");
    check(&[("tokenizer.json", "[]")], "it is no object");
    check(&[("tokenizer.json", "{}")], "it has no model");
    check(&[("tokenizer.json", &WORDS[..WORDS.len() - 1])], "EOF while parsing");
    check(&[("tokenizer.json", &WORDS.replace("\"a\": 1", "\"a\": 4000000000"))], "a token has the id 4000000000");
    check(
        &[("tokenizer.json", &WORDS.replace("\"unk_token\": \"?\"", "\"unk_token\": \"!\""))],
        "not in its vocabulary",
    );
    check(&[("tokenizer.json", WORDS), ("tokenizer_config.json", "{\"eos_token\": 1}")], "tokenizer_config.json: ");
    let doubling = r#"{"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}"#;
    let normalizer = |parts: &[&str]| {
        let sequence = format!(r#""normalizer": {{"type": "Sequence", "normalizers": [{}]}}"#, parts.join(","));
        WORDS.replace("\"normalizer\": null", &sequence)
    };
    check(&[("tokenizer.json", &normalizer(&[doubling; 40]))], "more than 32 times longer");
    let charsmap = r#"{"type": "Precompiled", "precompiled_charsmap": "AAAA"}"#;
    check(&[("tokenizer.json", &normalizer(&[charsmap]))], "precompiled_charsmap is too short");
}
