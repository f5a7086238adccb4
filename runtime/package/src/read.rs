//! Reads a text against a schema: what fits becomes a value, what does not becomes a problem with its line.
//!
//! One problem hides no other: what is wrong is left out of the value, and reading goes on. The schema is the one of
//! `form`, so that this knows types, ranges, choices and lengths, and nothing about manifests. What stands in a text
//! between two values is told by the rules of JSON Schema's draft 2020-12, of which this reads the keywords `type`,
//! `properties`, `required`, `items`, `enum`, `oneOf` with `const`, `minimum`, `maximum`, lengths, and `$comment` for the
//! reason of a range; `pattern` is for editors, since its sentence is written where its value is parsed.

use crate::{
    form::MOMENT_FORMAT,
    name::{misleading, mistaken, nearest, plain, quoted, shown},
    problem::Problems,
};
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};
use toml::{
    Spanned,
    de::{DeArray, DeInteger, DeTable, DeValue},
};

/// Keys that are listed in a sentence where none is near.
const KNOWN_LISTED_MAX: usize = 12;

/// What was read of a text, and what is wrong with it.
pub(crate) struct Reading {
    /// All that fits.
    pub(crate) value: Value,
    pub(crate) problems: Problems,
    /// What the whole text is called, such as `the manifest`.
    whole: &'static str,
    /// Byte offsets by path.
    places: HashMap<String, usize>,
    /// Paths whose values were left out.
    refused: HashSet<String>,
}

impl Reading {
    /// Reads a text. Where it is no TOML there is no value, and nothing but that is reported.
    pub(crate) fn of(text: &str, schema: &Value, whole: &'static str) -> Self {
        let mut reading = Self {
            value: Value::Object(Map::new()),
            problems: Problems::default(),
            whole,
            places: HashMap::new(),
            refused: HashSet::new(),
        };
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let offset = error.span().map_or(0, |span| span.start);
            let doubt =
                misleading(word_at(text, offset)).map(|doubt| format!(", in a word {doubt}")).unwrap_or_default();
            reading.problems.add(offset, format!("this is no TOML: {}{doubt}", plain(error.message())));
        }
        if errors.is_empty() {
            reading.value = reading.table(schema, document.get_ref(), 0, "");
        }
        reading
    }

    /// Reports what only its meaning shows, at a path.
    pub(crate) fn wrong(&mut self, path: &str, sentence: &str) {
        self.problems.add(self.place(path), format!("`{path}` {sentence}"));
    }

    /// Whether a path's value was given and left out, so that nothing follows from its absence.
    pub(crate) fn is_refused(&self, path: &str) -> bool {
        self.refused.contains(path)
    }

    /// Where a path stands, or the nearest table that it would stand in.
    pub(crate) fn place(&self, path: &str) -> usize {
        let mut path = path;
        loop {
            match (self.places.get(path), path.rfind('.')) {
                (Some(place), _) => return *place,
                (None, Some(dot)) => path = &path[..dot],
                (None, None) => return 0,
            }
        }
    }

    fn table(&mut self, schema: &Value, table: &DeTable<'_>, place: usize, path: &str) -> Value {
        let mut read = Map::new();
        for (key, value) in table {
            let name: &str = key.get_ref();
            match schema["properties"].get(name) {
                None => self.unknown(schema, name, key.span().start, path),
                Some(schema) => {
                    let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                    self.places.insert(path.clone(), key.span().start);
                    if let Some(value) = self.value(schema, value, key.span().start, &path) {
                        read.insert(name.to_owned(), value);
                    }
                }
            }
        }
        let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        for name in required.filter(|name| !table.contains_key(*name)) {
            self.problems.add(place, format!("{} has no `{name}`, which it needs", section(path, self.whole)));
        }
        Value::Object(read)
    }

    fn unknown(&mut self, schema: &Value, name: &str, place: usize, path: &str) {
        let mut known: Vec<&str> =
            schema["properties"].as_object().into_iter().flat_map(Map::keys).map(|key| &**key).collect();
        known.sort_unstable();
        let names = || known.iter().copied();
        let doubt = misleading(name).map(|doubt| format!(", {doubt},")).unwrap_or_default();
        let advice = match mistaken(name, names()).or_else(|| nearest(name, names())) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => {
                let listed: Vec<_> = names().take(KNOWN_LISTED_MAX).map(|name| format!("`{name}`")).collect();
                let more = if known.len() > KNOWN_LISTED_MAX { " and more" } else { "" };
                format!("there are {}{more}", listed.join(", "))
            }
        };
        let text = format!("unknown key `{}`{doubt} in {}: {advice}", shown(name), section(path, self.whole));
        self.problems.add(place, text);
    }

    fn value(&mut self, schema: &Value, found: &Spanned<DeValue<'_>>, place: usize, path: &str) -> Option<Value> {
        let read = match (kind_of(schema), found.get_ref()) {
            ("object", DeValue::Table(table)) => Some(self.table(schema, table, place, path)),
            ("array", DeValue::Array(array)) if fits(schema, "Items", array.len()) => {
                Some(self.array(schema, array, path))
            }
            ("integer", DeValue::Integer(number)) => whole(schema, number),
            ("boolean", DeValue::Boolean(flag)) => Some(Value::Bool(*flag)),
            ("string", DeValue::Datetime(moment)) if schema["format"] == MOMENT_FORMAT => {
                Some(Value::String(moment.to_string()))
            }
            ("string", DeValue::String(text)) => one_of(schema, text),
            _ => None,
        };
        if read.is_none() {
            let text = format!("`{path}` must be {}, and is {}", expected(schema), described(found.get_ref()));
            self.problems.add(place, text);
            self.refused.insert(path.to_owned());
        }
        read
    }

    /// An element that is wrong leaves its place empty where elements are tables, so that the others keep their paths.
    fn array(&mut self, schema: &Value, array: &DeArray<'_>, path: &str) -> Value {
        let items = &schema["items"];
        let mut read = Vec::with_capacity(array.len());
        for (index, element) in array.iter().enumerate() {
            let path = format!("{path}[{index}]");
            let place = element.span().start;
            self.places.insert(path.clone(), place);
            match self.value(items, element, place, &path) {
                Some(value) => read.push(value),
                None if kind_of(items) == "object" => read.push(Value::Object(Map::new())),
                None => {}
            }
        }
        Value::Array(read)
    }
}

/// The word of a text that an offset lies in. TOML has no bare keys besides ASCII, so that a look-alike ends one.
fn word_at(text: &str, offset: usize) -> &str {
    let (before, after) = text.split_at_checked(offset).unwrap_or((text, ""));
    let is_end = |character: char| character.is_ascii() && !character.is_ascii_alphanumeric();
    let start = before.rfind(is_end).map_or(0, |end| end + 1);
    &text[start..before.len() + after.find(is_end).unwrap_or(after.len())]
}

/// A table as its author writes it: `[budget]`, `[[wants.models]]`.
fn section(path: &str, whole: &str) -> String {
    let mut name = String::with_capacity(path.len());
    let mut is_index = false;
    for character in path.chars() {
        match character {
            '[' => is_index = true,
            ']' => is_index = false,
            _ if !is_index => name.push(character),
            _ => {}
        }
    }
    match path {
        "" => whole.to_owned(),
        path if path.ends_with(']') => format!("[[{name}]]"),
        _ => format!("[{name}]"),
    }
}

fn kind_of(schema: &Value) -> &str {
    schema["type"].as_str().unwrap_or("string")
}

/// The texts that a schema allows; empty where it allows any.
fn choices(schema: &Value) -> Vec<&str> {
    let several = |key: &str| schema[key].as_array().into_iter().flatten();
    let documented = several("oneOf").map(|schema| &schema["const"]);
    several("enum").chain(documented).filter_map(Value::as_str).collect()
}

/// Whether a length is within a schema's `min…` and `max…`.
fn fits(schema: &Value, of: &str, length: usize) -> bool {
    let bound = |end: &str| schema[format!("{end}{of}")].as_u64();
    let length = length as u64;
    bound("min").is_none_or(|min| length >= min) && bound("max").is_none_or(|max| length <= max)
}

fn one_of(schema: &Value, text: &str) -> Option<Value> {
    let choices = choices(schema);
    let chosen = choices.is_empty() || choices.contains(&text);
    (chosen && fits(schema, "Length", text.chars().count())).then(|| Value::String(text.to_owned()))
}

fn whole(schema: &Value, number: &DeInteger<'_>) -> Option<Value> {
    let number = u64::from_str_radix(number.as_str(), number.radix()).ok()?;
    let (min, max) = range(schema);
    (min..=max).contains(&number).then(|| number.into())
}

/// The numbers that a schema allows: none is negative.
fn range(schema: &Value) -> (u64, u64) {
    let format_max = if schema["format"] == "uint32" { u32::MAX.into() } else { u64::MAX };
    (schema["minimum"].as_u64().unwrap_or(0), schema["maximum"].as_u64().unwrap_or(format_max))
}

/// What a schema expects, as a part of a sentence.
fn expected(schema: &Value) -> String {
    let bounds = |of: &str| (schema[format!("min{of}")].as_u64(), schema[format!("max{of}")].as_u64());
    let length = |of: &str| match bounds(of) {
        (None, None) => String::new(),
        (None | Some(0), Some(max)) => format!("at most {max} "),
        (Some(min), Some(max)) => format!("{min} to {max} "),
        (Some(min), None) => format!("at least {min} "),
    };
    match kind_of(schema) {
        "integer" => {
            let (min, max) = range(schema);
            let why = schema["$comment"].as_str().map(|comment| format!(" ({comment})")).unwrap_or_default();
            format!("a whole number from {min} to {max}{why}")
        }
        "boolean" => "true or false".to_owned(),
        "object" => "a table".to_owned(),
        "array" if kind_of(&schema["items"]) == "object" => format!("a list of {}tables", length("Items")),
        "array" => format!("a list of {}texts", length("Items")),
        _ => match choices(schema).as_slice() {
            [] if length("Length").is_empty() => "a text in quotes".to_owned(),
            [] => format!("a text in quotes of {}characters", length("Length")),
            choices => choices.iter().map(|choice| quoted(choice)).collect::<Vec<_>>().join(" or "),
        },
    }
}

/// What was found, as a part of a sentence.
fn described(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => match text.chars().count() {
            0..=64 => quoted(text),
            length => format!("a text of {length} characters"),
        },
        DeValue::Integer(number) => shown(&number.to_string()),
        DeValue::Float(number) => format!("the number {}, which is not whole", shown(number.as_str())),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(moment) => format!("the date or time {moment}"),
        DeValue::Array(array) => format!("a list of {}", array.len()),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_named_as_they_are_written() {
        let check = |path, expect: &str| assert_eq!(section(path, "the manifest"), expect);
        check("", "the manifest");
        check("budget", "[budget]");
        check("wants.models[3]", "[[wants.models]]");
        check("wants.models[3].ceiling", "[wants.models.ceiling]");
    }
}
