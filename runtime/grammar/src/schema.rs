//! JSON Schemas before the library reads them: what would let a small model run on without an end is bounded, and what a
//! reader of JSON may refuse is never written.
//!
//! | the schema says | generated is | why |
//! | --- | --- | --- |
//! | anything (`true`, `{}`, no `items`) | JSON of at most [`FREE_DEPTH_MAX`] levels | parsers stop at some depth, and a loop of `[` ends |
//! | a number without bounds | at most [`NUMBER_MAX`] from zero, without an exponent | `1e999` is no number to most parsers, and a loop of digits ends |
//! | named properties, and nothing of others | those properties | a model that may invent properties does not stop |
//! | a `format` that is not known | any string | by the specification a format that is not known is ignored |
//! | an escape `\u0061` | the character itself | a property could hide behind another spelling of its name |
//!
//! All of these fit the schema: the bounded schema allows a part of what the given one allows. Where a schema intersects
//! others (`allOf`, or `$ref` and the like beside other keywords) objects and lists stay as open as they are, since closing
//! both sides of an intersection would leave nothing.
//!
//! Source: JSON Schema 2020-12, "Core" and "Validation".

use crate::{GrammarError, Limits};
use serde_json::{Map, Value, json};

/// Levels of lists and objects in a value of which the schema says nothing: known APIs answer with less than 10, and
/// every level is a handful of productions.
pub(crate) const FREE_DEPTH_MAX: usize = 12;

/// The largest number where the schema names none: 10^15 - 1. All integers up to it are exact in IEEE 754 doubles
/// (RFC 8259, section 6).
pub(crate) const NUMBER_MAX: i64 = 999_999_999_999_999;

/// The spaces between the parts of JSON: none, a space, or a new line with its indentation. A run without an end would be
/// allowed otherwise, and small models take it.
const BLANKS: &str = r" |\n {0,24}";

/// Characters that may follow a backslash: all but `u`.
const ESCAPES: &str = "nrbtf\\\"";

/// Formats that the library enforces.
const FORMATS: &[&str] = &["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"];

/// Keywords that say nothing about a value; `$schema` and `$id` change how others are read, which no other keyword here
/// depends on.
const ANNOTATIONS: &[&str] = &[
    "$schema",
    "$id",
    "id",
    "$anchor",
    "$comment",
    "title",
    "description",
    "default",
    "examples",
    "readOnly",
    "writeOnly",
    "deprecated",
    "contentMediaType",
    "contentEncoding",
    "x-guidance",
];

/// Keywords whose values are schemas by name.
const BY_NAME: &[&str] = &["properties", "patternProperties", "$defs", "definitions"];

/// Keywords whose values are schemas, or lists of schemas.
const NESTED: &[&str] = &["items", "additionalItems", "prefixItems", "additionalProperties", "anyOf", "allOf", "oneOf"];

/// Keywords that apply other schemas, or name values, in place.
const APPLICATORS: &[&str] = &["$ref", "anyOf", "oneOf", "allOf", "const", "enum"];

/// The name of the definition of free JSON of so many levels.
fn free(levels: usize) -> String {
    format!("remit-free-{levels}")
}

/// Checks the size of a schema.
///
/// # Errors
/// [`GrammarError::TooLong`], [`GrammarError::PatternTooLong`], [`GrammarError::TooDeep`].
pub(crate) fn check(schema: &Value, limits: &Limits) -> Result<(), GrammarError> {
    let (mut bytes, mut patterns) = (0, 0);
    let mut open = vec![(schema, 0)];
    while let Some((value, depth)) = open.pop() {
        if depth > limits.depth_max {
            return Err(GrammarError::TooDeep { limit: limits.depth_max });
        }
        // Brackets, quotes and separators are two bytes each; escapes count as what they stand for.
        bytes += 2;
        match value {
            Value::String(text) => bytes += text.len(),
            Value::Array(items) => open.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(members) => {
                bytes += members.keys().map(|key| key.len() + 4).sum::<usize>();
                patterns += members.get("pattern").and_then(Value::as_str).map_or(0, str::len);
                let by_pattern = members.get("patternProperties").and_then(Value::as_object);
                patterns += by_pattern.map_or(0, |schemas| schemas.keys().map(String::len).sum());
                open.extend(members.values().map(|member| (member, depth + 1)));
            }
            other => bytes += other.to_string().len(),
        }
        if bytes > limits.source_bytes_max {
            return Err(GrammarError::TooLong { bytes, limit: limits.source_bytes_max });
        }
        if patterns > limits.pattern_bytes_max {
            return Err(GrammarError::PatternTooLong { bytes: patterns, limit: limits.pattern_bytes_max });
        }
    }
    Ok(())
}

/// The schema that the library reads for a document of one or more schemas. `root` is bounded already, as are `parts`, which
/// it refers to by `#/$defs/NAME`.
pub(crate) fn document(root: Value, parts: impl IntoIterator<Item = (String, Value)>) -> Value {
    let mut members = match root {
        Value::Object(members) => members,
        Value::Bool(false) => return Value::Bool(false),
        other => Map::from_iter([("allOf".to_owned(), json!([other]))]),
    };
    let definitions = members.entry("$defs").or_insert_with(|| json!({}));
    if let Value::Object(definitions) = definitions {
        definitions.extend((0..=FREE_DEPTH_MAX).map(|levels| (free(levels), free_json(levels))));
        definitions.extend(parts);
    }
    let options = json!({ "whitespace_pattern": BLANKS, "json_allowed_escapes": ESCAPES });
    members.insert("x-guidance".to_owned(), options);
    Value::Object(members)
}

/// A schema of any JSON of so many levels.
fn free_json(levels: usize) -> Value {
    let mut kinds = vec![
        json!({ "type": "null" }),
        json!({ "type": "boolean" }),
        json!({ "type": "number", "minimum": -NUMBER_MAX, "maximum": NUMBER_MAX }),
        json!({ "type": "string" }),
    ];
    if let Some(below) = levels.checked_sub(1) {
        let below = json!({ "$ref": format!("#/$defs/{}", free(below)) });
        kinds.push(json!({ "type": "array", "items": below }));
        kinds.push(json!({ "type": "object", "additionalProperties": below }));
    }
    json!({ "anyOf": kinds })
}

/// A schema bounded, to stand at a place in a [`document`].
pub(crate) struct Bounder<'a> {
    /// The place as a pointer (RFC 6901): empty, or `/$defs/NAME`.
    place: &'a str,
    /// Whether parts of it are intersected with each other.
    intersects: bool,
}

impl<'a> Bounder<'a> {
    /// Bounds `schema`, which passed [`check`].
    pub(crate) fn bound(schema: &Value, place: &'a str) -> Value {
        Self { place, intersects: intersects(schema) }.schema(schema)
    }

    fn free() -> Value {
        json!({ "$ref": format!("#/$defs/{}", free(FREE_DEPTH_MAX)) })
    }

    fn schema(&self, schema: &Value) -> Value {
        match schema {
            Value::Bool(true) => Self::free(),
            Value::Object(members) => self.object(members),
            other => other.clone(),
        }
    }

    fn object(&self, members: &Map<String, Value>) -> Value {
        let kept = members.iter().filter(|(key, _)| !ANNOTATIONS.contains(&key.as_str()));
        let mut out: Map<String, Value> = kept.filter_map(|(key, value)| self.member(key, value)).collect();
        let says = |key: &&String| !matches!(key.as_str(), "$defs" | "definitions");
        if !out.keys().any(|key| says(&key)) {
            out.insert("$ref".to_owned(), Self::free()["$ref"].clone());
        } else if !APPLICATORS.iter().any(|key| out.contains_key(*key)) {
            self.bound_values(&mut out);
        }
        Value::Object(out)
    }

    fn member(&self, key: &str, value: &Value) -> Option<(String, Value)> {
        let value = match (key, value) {
            ("$ref", Value::String(target)) => match target.strip_prefix('#') {
                Some(path) => format!("#{}{}", self.place, path.trim_end_matches('/')).into(),
                None => value.clone(),
            },
            ("format", Value::String(name)) if !FORMATS.contains(&name.as_str()) => return None,
            (key, Value::Object(members)) if BY_NAME.contains(&key) => {
                members.iter().map(|(name, schema)| (name.clone(), self.schema(schema))).collect::<Map<_, _>>().into()
            }
            (key, Value::Array(items)) if NESTED.contains(&key) => {
                items.iter().map(|schema| self.schema(schema)).collect::<Vec<_>>().into()
            }
            (key, schema) if NESTED.contains(&key) => self.schema(schema),
            _ => value.clone(),
        };
        Some((key.to_owned(), value))
    }

    /// Bounds what a schema leaves open, where no other schema speaks of the same values.
    fn bound_values(&self, out: &mut Map<String, Value>) {
        let may_be = |out: &Map<String, Value>, kind: &str| match out.get("type") {
            None => true,
            Some(Value::String(only)) => only == kind,
            Some(Value::Array(kinds)) => kinds.iter().any(|one| one == kind),
            Some(_) => false,
        };
        if may_be(out, "number") || may_be(out, "integer") {
            bound_number(out);
        }
        if self.intersects {
            return;
        }
        if may_be(out, "array") {
            let rest = if matches!(out.get("items"), Some(Value::Array(_))) { "additionalItems" } else { "items" };
            out.entry(rest).or_insert_with(Self::free);
        }
        if may_be(out, "object") && !out.contains_key("additionalProperties") {
            let is_closed = names_all(out);
            out.insert("additionalProperties".to_owned(), if is_closed { false.into() } else { Self::free() });
        }
    }
}

/// Whether an object's properties are named, and enough of them.
fn names_all(schema: &Map<String, Value>) -> bool {
    let Some(Value::Object(properties)) = schema.get("properties") else { return false };
    let required = schema.get("required").and_then(Value::as_array);
    let is_named = |name: &Value| name.as_str().is_some_and(|name| properties.contains_key(name));
    let least = schema.get("minProperties").and_then(Value::as_u64).unwrap_or(0);
    !schema.contains_key("patternProperties")
        && required.is_none_or(|names| names.iter().all(is_named))
        && least <= properties.len() as u64
}

fn bound_number(schema: &mut Map<String, Value>) {
    let bound = |schema: &Map<String, Value>, keys: [&str; 2]| {
        keys.iter().filter_map(|key| schema.get(*key)).find_map(Value::as_f64)
    };
    let (low, high) = (bound(schema, ["minimum", "exclusiveMinimum"]), bound(schema, ["maximum", "exclusiveMaximum"]));
    let limit = NUMBER_MAX as f64;
    if low.is_none() && high.is_none_or(|high| high > -limit) {
        schema.insert("minimum".to_owned(), (-NUMBER_MAX).into());
    }
    if high.is_none() && low.is_none_or(|low| low < limit) {
        schema.insert("maximum".to_owned(), NUMBER_MAX.into());
    }
}

/// Whether parts of a schema are intersected with each other. Counts what merely looks like it, such as a property that is
/// called `allOf`.
fn intersects(schema: &Value) -> bool {
    let mut open = vec![schema];
    while let Some(value) = open.pop() {
        match value {
            Value::Object(members) => {
                let says = |key: &str| !ANNOTATIONS.contains(&key) && !matches!(key, "$defs" | "definitions");
                let applies = ["$ref", "anyOf", "oneOf"].iter().any(|key| members.contains_key(*key));
                let keywords = members.keys().filter(|key| says(key)).count();
                if members.contains_key("allOf") || (applies && keywords > 1) {
                    return true;
                }
                open.extend(members.values());
            }
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
    false
}
