//! What tests share: vocabularies, a model that draws at random, and a check of values by schemas.

use crate::{Next, State, Token, Vocabulary};
use serde_json::Value;

/// Numbers that look random: xorshift64* (Vigna 2016).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(2).wrapping_add(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize) % end
    }
}

/// What tokens of text a vocabulary has beside all bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Words {
    /// None.
    Bytes,
    /// Parts of JSON and of marks, across their borders.
    Json,
    /// The same, and the marks as control tokens.
    Marks,
}

pub(crate) const ALL_WORDS: [Words; 3] = [Words::Bytes, Words::Json, Words::Marks];

const PARTS: &[&str] = &[
    "{\"",
    "\"}",
    "\": ",
    "\":",
    "\",",
    ", ",
    "\": \"",
    "\": {",
    "}}",
    "}\n",
    "]}",
    "[{",
    "}]",
    "\"name\"",
    "name",
    "arg",
    "uments",
    "parameters",
    "true",
    "false",
    "null",
    "<tool",
    "_call",
    ">\n",
    ">[",
    "</",
    "tool_call>\n",
    "[TOOL",
    "_CALLS",
    "] [",
    "  ",
    "\n\n",
    "12",
    "0.",
    "city",
    "Paris",
    "é",
    "\u{20ac}",
    "\n<tool_call>",
    "<",
    "\\n",
    "\\\"",
    "-1",
];

/// A vocabulary whose last token ends a text. The first 256 are the bytes.
pub(crate) fn vocabulary(words: Words) -> Vocabulary {
    let bytes: Vec<[u8; 1]> = (0..=255).map(|byte| [byte]).collect();
    let mut tokens: Vec<Token<'_>> = bytes.iter().map(|byte| Token::Text(byte)).collect();
    if words != Words::Bytes {
        tokens.extend(PARTS.iter().map(|part| Token::Text(part.as_bytes())));
        // Twice the same, as SentencePiece has bytes and pieces; and one that fills up.
        tokens.extend([Token::Text(b"name"), Token::Unused]);
    }
    if words == Words::Marks {
        tokens.extend(["<tool_call>", "</tool_call>", "[TOOL_CALLS]"].map(Token::Control));
    }
    tokens.push(Token::Control("<|im_end|>"));
    let end = tokens.len() as u32 - 1;
    Vocabulary::new(tokens, &[end]).expect("a vocabulary")
}

/// How an answer of the random model ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Complete,
    Cut,
}

/// What a model writes that draws among the allowed tokens, so many at most. After a quarter of them it prefers what closes.
pub(crate) fn write(state: &mut State, vocabulary: &Vocabulary, random: &mut Random, limit: usize) -> (String, Ended) {
    let mut out = Vec::new();
    let mut ended = Ended::Cut;
    for drawn in 0..limit {
        let allowed: Vec<u32> = match state.allowed() {
            Next::Among(mask) => mask.tokens().collect(),
            Next::End => {
                assert_eq!(state.ending(), Some(crate::Ending::Complete), "after {}", String::from_utf8_lossy(&out));
                ended = Ended::Complete;
                break;
            }
        };
        assert!(!allowed.is_empty(), "a state without tokens");
        let closes = |token: &u32| {
            vocabulary.ends().contains(token)
                || matches!(vocabulary.written(*token), b"\"" | b"}" | b"]" | b"\"}" | b"}}" | b"</tool_call>")
        };
        let closing: Vec<u32> = allowed.iter().copied().filter(closes).collect();
        let among = if drawn > limit / 4 && !closing.is_empty() { &closing } else { &allowed };
        let token = among[random.below(among.len())];
        state.accept(token).expect("a token of the mask");
        if !vocabulary.ends().contains(&token) {
            out.extend_from_slice(vocabulary.written(token));
        }
    }
    let text = match String::from_utf8(out) {
        Ok(text) => text,
        Err(error) if ended == Ended::Cut => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        Err(error) => panic!("a complete text that is no text: {error}"),
    };
    (text, ended)
}

/// Whether a value fits a schema, by JSON Schema 2020-12: the keywords that tests use, and no other.
pub(crate) fn fits(value: &Value, schema: &Value, root: &Value) -> Result<(), String> {
    let members = match schema {
        Value::Bool(true) => return Ok(()),
        Value::Object(members) => members,
        other => return Err(format!("{other} allows nothing")),
    };
    let fail = |what: &str| Err(format!("{value} against {what} of {schema}"));
    for (keyword, wanted) in members {
        let fits_keyword = match keyword.as_str() {
            "description" | "title" | "default" | "$defs" | "$schema" => true,
            "type" => match wanted {
                Value::Array(kinds) => kinds.iter().any(|kind| is_kind(value, kind)),
                kind => is_kind(value, kind),
            },
            "$ref" => {
                let pointer = wanted.as_str().expect("a pointer").trim_start_matches('#');
                fits(value, root.pointer(pointer).expect("a definition"), root)?;
                true
            }
            "anyOf" => wanted.as_array().expect("schemas").iter().any(|one| fits(value, one, root).is_ok()),
            "allOf" => wanted.as_array().expect("schemas").iter().all(|one| fits(value, one, root).is_ok()),
            "const" => value == wanted,
            "enum" => wanted.as_array().expect("values").contains(value),
            _ => fits_kind(value, keyword, wanted, members, root)?,
        };
        if !fits_keyword {
            return fail(keyword);
        }
    }
    Ok(())
}

fn is_kind(value: &Value, kind: &Value) -> bool {
    match kind.as_str().expect("a type") {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        // 2020-12, "Validation", 6.1.1: also `-0`, which serde_json reads as a double.
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no type: {other}"),
    }
}

/// The keywords that speak of one type alone.
fn fits_kind(
    value: &Value,
    keyword: &str,
    wanted: &Value,
    schema: &serde_json::Map<String, Value>,
    root: &Value,
) -> Result<bool, String> {
    let number = |wanted: &Value| wanted.as_f64().expect("a number");
    let size = wanted.as_u64().unwrap_or(0) as usize;
    Ok(match (keyword, value) {
        ("minimum", Value::Number(value)) => value.as_f64() >= Some(number(wanted)),
        ("maximum", Value::Number(value)) => value.as_f64() <= Some(number(wanted)),
        ("minLength", Value::String(value)) => value.chars().count() >= size,
        ("maxLength", Value::String(value)) => value.chars().count() <= size,
        ("minItems", Value::Array(items)) => items.len() >= size,
        ("maxItems", Value::Array(items)) => items.len() <= size,
        ("items", Value::Array(items)) => {
            items.iter().try_for_each(|item| fits(item, wanted, root))?;
            true
        }
        ("required", Value::Object(members)) => {
            wanted.as_array().expect("names").iter().all(|name| members.contains_key(name.as_str().expect("a name")))
        }
        ("properties", Value::Object(members)) => {
            for (name, schema) in wanted.as_object().expect("properties") {
                members.get(name).map_or(Ok(()), |member| fits(member, schema, root))?;
            }
            true
        }
        ("additionalProperties", Value::Object(members)) => {
            let is_named = |name: &String| schema.get("properties").is_some_and(|named| named.get(name).is_some());
            members
                .iter()
                .filter(|(name, _)| !is_named(name))
                .try_for_each(|(_, member)| fits(member, wanted, root))?;
            true
        }
        (
            "minimum"
            | "maximum"
            | "minLength"
            | "maxLength"
            | "minItems"
            | "maxItems"
            | "items"
            | "required"
            | "properties"
            | "additionalProperties",
            _,
        ) => true,
        (other, _) => panic!("the check does not know {other}"),
    })
}
