//! What a `tokenizer.json` says: checked, changed for the crate, and read for what the crate is not asked.
//!
//! Source: the format as `tokenizers` writes it (version 1.0).

use crate::tokenizer::{
    byte_level::{bytes_by_character, token_bytes},
    normalize::SPACE,
    vocabulary::{Special, TOKENS_MAX, TokenBytes, Trim, byte_of, is_text_piece},
};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// How many times longer a text may get by the file's rules: known ones make three bytes of one (`▁` for a space).
const GROWTH_MAX: usize = 32;
/// Parts of a normaliser or a splitter, one in the other: known files have ten.
const PARTS_MAX: usize = 64;

pub(super) struct Description {
    /// What the crate gets.
    pub(super) json: Value,
    pub(super) bytes: TokenBytes,
    pub(super) special: Special,
    pub(super) prefixes_space: bool,
}

/// How token texts stand for bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writing {
    ByteLevel,
    Pieces,
    WordPiece,
    Plain,
}

/// A token of `added_tokens`.
struct Added {
    id: u32,
    text: String,
    trim: Trim,
    is_control: bool,
}

pub(super) fn read(json: &[u8]) -> Result<Description, String> {
    let mut json: Value = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    let root = json.as_object_mut().ok_or("it is no object")?;
    for part in ["normalizer", "pre_tokenizer"] {
        check_growth(root.get(part).unwrap_or(&Value::Null))?;
    }
    let added = added_tokens(root)?;
    let mut texts = vocabulary(root)?;
    for Added { id, text, .. } in &added {
        texts.insert(*id, text.clone());
    }
    let size = texts.keys().max().map_or(0, |id| *id as usize + 1);
    let writing = writing(root.get("decoder").unwrap_or(&Value::Null));
    let mut special = Special::default();
    for token in added.iter().filter(|token| token.is_control) {
        special.control.insert(token.id, token.text.as_str().into());
        special.trims.insert(token.id, token.trim);
    }
    let (begin, end) = around(root.get("post_processor").unwrap_or(&Value::Null), &special);
    (special.begin, special.end) = (begin, end);
    (special.adds_begin, special.adds_end) = (begin.is_some(), end.is_some());
    let bytes = all_bytes(size, &texts, &special, writing);
    hide_control(root, &special)?;
    for token in added.iter().filter(|token| !token.is_control) {
        keep(root, token)?;
    }
    let metaspace = |part: &str| root.get(part).is_some_and(prefixes);
    let prefixes_space = writing == Writing::WordPiece || metaspace("normalizer") || metaspace("pre_tokenizer");
    for unasked in ["post_processor", "decoder", "truncation", "padding"] {
        root.insert(unasked.to_owned(), Value::Null);
    }
    Ok(Description { bytes, special, prefixes_space, json })
}

/// Refuses rules that make a text much longer.
fn check_growth(part: &Value) -> Result<(), String> {
    let mut parts = vec![part];
    let (mut growth, mut count) = (1usize, 0);
    while let Some(part) = parts.pop() {
        count += 1;
        for inner in ["normalizers", "pretokenizers"] {
            parts.extend(part[inner].as_array().into_iter().flatten());
        }
        let added = part["content"].as_str().or_else(|| part["prepend"].as_str()).map_or(0, str::len);
        let removed = part["pattern"]["String"].as_str().map_or(1, str::len).max(1);
        growth = growth.saturating_mul(added.div_ceil(removed).max(1));
        if count > PARTS_MAX || growth > GROWTH_MAX {
            return Err(format!(
                "its rules make a text more than {GROWTH_MAX} times longer, or have more than {PARTS_MAX} parts"
            ));
        }
        if let Some(text) = part["precompiled_charsmap"].as_str() {
            check_charsmap(text)?;
        }
    }
    Ok(())
}

/// A charsmap is compiled rules in base64: its text is checked by the same reader that GGUF files get.
fn check_charsmap(text: &str) -> Result<(), String> {
    let bytes = from_base64(text).ok_or("its charsmap is not base64")?;
    crate::tokenizer::charsmap::Charsmap::new(&bytes).map(drop).map_err(|error| error.to_string())
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut held, mut bits) = (0u32, 0);
    for digit in text.bytes().filter(|byte| *byte != b'=') {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        held = held << 6 | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    Some(bytes)
}

fn id_of(value: &Value) -> Result<u32, String> {
    let id = value.as_u64().ok_or("a token's id is no number")?;
    u32::try_from(id).ok().filter(|id| (*id as usize) < TOKENS_MAX).ok_or_else(|| format!("a token has the id {id}"))
}

/// Reads the added tokens, and leaves only those that are text.
fn added_tokens(root: &mut Map<String, Value>) -> Result<Vec<Added>, String> {
    let Some(list) = root.get_mut("added_tokens").and_then(Value::as_array_mut) else { return Ok(Vec::new()) };
    let mut added = Vec::new();
    for token in list.iter() {
        let text = token["content"].as_str().ok_or("an added token has no text")?;
        let flag = |name: &str| token[name].as_bool().unwrap_or(false);
        added.push(Added {
            id: id_of(&token["id"])?,
            text: text.to_owned(),
            trim: Trim { before: flag("lstrip"), behind: flag("rstrip") },
            is_control: flag("special") || !is_text_piece(text),
        });
    }
    let mut kept = added.iter();
    list.retain(|_| kept.next().is_some_and(|token| !token.is_control));
    Ok(added)
}

/// The model's tokens by id.
fn vocabulary(root: &Map<String, Value>) -> Result<HashMap<u32, String>, String> {
    let vocabulary = &root.get("model").ok_or("it has no model")?["vocab"];
    match vocabulary {
        Value::Object(tokens) => tokens.iter().map(|(text, id)| Ok((id_of(id)?, text.clone()))).collect(),
        Value::Array(tokens) if tokens.len() <= TOKENS_MAX => {
            let text = |token: &Value| token[0].as_str().map(ToOwned::to_owned).ok_or("a token has no text".to_owned());
            tokens.iter().enumerate().map(|(id, token)| Ok((id as u32, text(token)?))).collect()
        }
        _ => Err("its model has no vocabulary".to_owned()),
    }
}

/// Every part of a normaliser, a splitter or a decoder, whatever it is inside of.
fn parts(part: &Value) -> Vec<&Value> {
    let mut all = vec![part];
    let mut next = 0;
    while let Some(part) = all.get(next).copied() {
        for inner in ["normalizers", "pretokenizers", "decoders", "processors"] {
            all.extend(part[inner].as_array().into_iter().flatten());
        }
        next += 1;
    }
    all
}

fn writing(decoder: &Value) -> Writing {
    let is = |part: &&Value, name: &str| part["type"] == name;
    let parts = parts(decoder);
    let space = SPACE.to_string();
    let replaces = |part: &&Value| is(part, "Replace") && part["pattern"]["String"] == *space && part["content"] == " ";
    if parts.iter().any(|part| is(part, "ByteLevel")) {
        Writing::ByteLevel
    } else if parts.iter().any(|part| is(part, "Metaspace") || is(part, "ByteFallback") || replaces(part)) {
        Writing::Pieces
    } else if parts.iter().any(|part| is(part, "WordPiece")) {
        Writing::WordPiece
    } else {
        Writing::Plain
    }
}

/// Whether a normaliser or a splitter puts a space before a text.
fn prefixes(part: &Value) -> bool {
    parts(part).iter().any(|part| match part["type"].as_str() {
        Some("Prepend") => true,
        Some("Metaspace") => match part["prepend_scheme"].as_str() {
            Some(scheme) => scheme != "never",
            None => part["add_prefix_space"].as_bool().unwrap_or(true),
        },
        Some("ByteLevel") => part["add_prefix_space"].as_bool().unwrap_or(false),
        _ => false,
    })
}

/// The tokens that the file puts before and behind a single text.
fn around(processor: &Value, special: &Special) -> (Option<u32>, Option<u32>) {
    let ids: HashMap<&str, u32> = special.control.iter().map(|(id, text)| (&**text, *id)).collect();
    let mut found = (None, None);
    for part in parts(processor) {
        let token = |name: &Value| ids.get(name.as_str()?).copied();
        match part["type"].as_str() {
            Some("TemplateProcessing") => {
                let mut behind = false;
                for step in part["single"].as_array().into_iter().flatten() {
                    behind |= step.get("Sequence").is_some();
                    let place = if behind { &mut found.1 } else { &mut found.0 };
                    *place = place.or_else(|| token(&step["SpecialToken"]["id"]));
                }
            }
            Some("BertProcessing" | "RobertaProcessing") => found = (token(&part["cls"][0]), token(&part["sep"][0])),
            _ => {}
        }
    }
    found
}

fn all_bytes(size: usize, texts: &HashMap<u32, String>, special: &Special, writing: Writing) -> TokenBytes {
    let byte_of_character = bytes_by_character();
    let mut all = TokenBytes::default();
    for id in 0..size as u32 {
        let text = texts.get(&id).filter(|_| !special.control.contains_key(&id));
        all.push(match (text, writing) {
            (None, _) => Vec::new(),
            (Some(text), Writing::ByteLevel) => token_bytes(&byte_of_character, text),
            (Some(text), Writing::Pieces) => {
                byte_of(text).map_or_else(|| text.replace(SPACE, " ").into_bytes(), |byte| vec![byte])
            }
            (Some(text), Writing::WordPiece) => match text.strip_prefix("##") {
                Some(rest) => rest.as_bytes().to_vec(),
                None => [" ", text].concat().into_bytes(),
            },
            (Some(text), Writing::Plain) => text.as_bytes().to_vec(),
        });
    }
    all
}

/// Gives the control tokens of the model's vocabulary names that no text holds.
fn hide_control(root: &mut Map<String, Value>, special: &Special) -> Result<(), String> {
    let model = root.get_mut("model").and_then(Value::as_object_mut).ok_or("it has no model")?;
    let hidden: HashMap<&str, String> =
        special.control.iter().map(|(id, text)| (&**text, format!("{}{id}", super::MARK))).collect();
    let name = |text: &mut String| {
        if let Some(hidden) = hidden.get(text.as_str()) {
            text.clone_from(hidden);
        }
    };
    match model.get_mut("vocab") {
        Some(Value::Object(tokens)) => {
            let renamed = std::mem::take(tokens).into_iter().map(|(mut text, id)| {
                name(&mut text);
                (text, id)
            });
            *tokens = renamed.collect();
        }
        Some(Value::Array(tokens)) => {
            for token in tokens {
                if let Some(Value::String(text)) = token.get_mut(0) {
                    name(text);
                }
            }
        }
        _ => {}
    }
    if let Some(Value::String(unknown)) = model.get_mut("unk_token") {
        name(unknown);
    }
    if let Some(Value::Array(merges)) = model.get_mut("merges") {
        merges.retain(|merge| !joins_control(merge, &hidden));
    }
    check_unknown(model)
}

/// Enters a token that is text in the model's vocabulary: the crate numbers added tokens that are not there by itself, and
/// not as the file does once the control tokens are gone.
fn keep(root: &mut Map<String, Value>, token: &Added) -> Result<(), String> {
    let model = root.get_mut("model").ok_or("it has no model")?;
    match model.get_mut("vocab") {
        Some(Value::Object(tokens)) => {
            tokens.entry(token.text.as_str()).or_insert_with(|| token.id.into());
        }
        Some(Value::Array(tokens)) => {
            while tokens.len() <= token.id as usize {
                let name = if tokens.len() == token.id as usize {
                    token.text.clone()
                } else {
                    format!("{}{}", super::MARK, tokens.len())
                };
                tokens.push(serde_json::json!([name, 0.0]));
            }
        }
        _ => {}
    }
    Ok(())
}

fn joins_control(merge: &Value, hidden: &HashMap<&str, String>) -> bool {
    let (left, right) = match merge {
        Value::String(merge) => merge.split_once(' ').unwrap_or((merge, "")),
        _ => (merge[0].as_str().unwrap_or_default(), merge[1].as_str().unwrap_or_default()),
    };
    let merged = [left, right].concat();
    [left, right, &merged].iter().any(|text| hidden.contains_key(text))
}

/// Without a token for unknown text some models fail on a text instead of on the file.
fn check_unknown(model: &Map<String, Value>) -> Result<(), String> {
    let named = model.get("unk_token").and_then(Value::as_str);
    let vocabulary = model.get("vocab").and_then(Value::as_object);
    match (named, vocabulary) {
        (Some(named), Some(tokens)) if !tokens.contains_key(named) => {
            Err("its token for unknown text is not in its vocabulary".to_owned())
        }
        _ => Ok(()),
    }
}
