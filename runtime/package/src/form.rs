//! What a manifest looks like as TOML. Text is checked against the schema of these types, and so is every editor's.
//!
//! All is optional here: a reader that has reported a missing or wrong value goes on without it, to find the next.

use crate::{
    manifest::Budget,
    moment::{EXPIRY_PATTERN, RATE_PATTERN},
    name::NAME_PATTERN,
    restart::{Priority, Restart},
    want::WANTS_MAX,
};
use remit_abi::{Access, GrantKind, Integrity, TagSet, limits::Limits};
use schemars::{
    JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema, transform::RecursiveTransform,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What the schema is called where it is published.
const SCHEMA_TITLE: &str = "Remit's manifest";

/// One sentence for people.
const SENTENCE_CHARS_MAX: usize = 512;

/// One entry of a scope: a path is the longest.
const ENTRY_CHARS_MAX: usize = 1024;

/// Entries of one want: as many as a person can read before agreeing.
const ENTRIES_MAX: usize = 32;

/// A value that TOML may write as a date-time of its own, without quotes.
pub(crate) const MOMENT_FORMAT: &str = "moment";

/// `remit.toml`: what an agent is, and what it asks for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct ManifestForm {
    /// The agent's name: 1 to 64 lower-case letters, digits, dashes, dots and underscores.
    #[schemars(required, regex(pattern = NAME_PATTERN))]
    pub(crate) name: Option<String>,
    /// The author's version, as semver.org has it.
    #[schemars(required, length(max = 64))]
    pub(crate) version: Option<String>,
    /// One sentence for people.
    #[schemars(length(max = SENTENCE_CHARS_MAX))]
    pub(crate) description: Option<String>,
    /// The component's file, beside the manifest.
    #[schemars(required, length(min = 1, max = 255))]
    pub(crate) component: Option<String>,
    /// Who goes first where processor time or the model is short.
    pub(crate) priority: Option<Priority>,
    /// Rights that it asks for, by kind.
    #[serde(default)]
    #[schemars(schema_with = "wants_schema")]
    pub(crate) wants: Option<BTreeMap<String, Vec<WantForm>>>,
    /// What it may spend where the operator names nothing else.
    pub(crate) budget: Option<Budget>,
    /// Limits that are lower than the host's.
    #[serde(default)]
    #[schemars(schema_with = "limits_schema")]
    pub(crate) limits: Option<Map<String, Value>>,
    /// What becomes of it when it ends.
    pub(crate) restart: Option<Restart>,
}

/// A right that an agent asks for: the keys of all kinds.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct WantForm {
    /// What the agent takes the right by: a name that no other want has.
    #[schemars(required, regex(pattern = NAME_PATTERN))]
    pub(crate) label: Option<String>,
    /// Why the agent wants it: one sentence for the operator.
    #[schemars(length(max = SENTENCE_CHARS_MAX))]
    pub(crate) reason: Option<String>,
    /// Whether the agent runs without it.
    pub(crate) optional: Option<bool>,
    /// Which things it opens.
    #[serde(
        alias = "names",
        alias = "contexts",
        alias = "stores",
        alias = "tools",
        alias = "paths",
        alias = "hosts",
        alias = "buckets",
        alias = "agents",
        alias = "mailboxes",
        alias = "people",
        alias = "devices"
    )]
    #[schemars(length(min = 1, max = ENTRIES_MAX), inner(length(max = ENTRY_CHARS_MAX)))]
    pub(crate) entries: Option<Vec<String>>,
    /// The one model's name; without it and without names, the host's default model.
    #[schemars(length(max = ENTRY_CHARS_MAX))]
    pub(crate) name: Option<String>,
    /// What may be done there; to look, where nothing is said.
    #[schemars(with = "Option<AccessForm>")]
    pub(crate) access: Option<Access>,
    /// At most so many uses in all.
    #[schemars(range(min = 1))]
    pub(crate) uses: Option<u64>,
    /// At most so many uses in any second, minute, hour or day, such as 60/minute.
    #[schemars(regex(pattern = RATE_PATTERN))]
    pub(crate) rate: Option<String>,
    /// When it ends: so long after the agent's start, such as 30d, 12h or 1h30m; or at a moment, such as
    /// 2027-01-31T12:00:00Z.
    #[schemars(regex(pattern = EXPIRY_PATTERN), extend("format" = MOMENT_FORMAT))]
    pub(crate) expires: Option<String>,
    /// The highest label of data that may flow there.
    pub(crate) ceiling: Option<CeilingForm>,
    /// At most so many output tokens a call.
    #[schemars(range(min = 1))]
    pub(crate) max_tokens_per_call: Option<u32>,
    /// At most so many of them alive at a time.
    #[schemars(range(min = 1))]
    pub(crate) children_max: Option<u32>,
}

/// The highest label of data that may flow into something.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct CeilingForm {
    /// Whether untrusted data may.
    #[schemars(required)]
    pub(crate) integrity: Option<IntegrityForm>,
    /// The tags of data that may; without it, data that has none.
    #[schemars(length(max = TagSet::CAPACITY), inner(length(min = 1, max = 64)))]
    pub(crate) tags: Option<Vec<String>>,
}

/// [`Integrity`], as an author writes it.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum IntegrityForm {
    Trusted,
    Untrusted,
}

impl From<IntegrityForm> for Integrity {
    fn from(form: IntegrityForm) -> Self {
        match form {
            IntegrityForm::Trusted => Self::Trusted,
            IntegrityForm::Untrusted => Self::Untrusted,
        }
    }
}

/// [`Access`], for its schema alone.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
#[expect(dead_code, reason = "the schema is made of the names; values are of abi's type")]
enum AccessForm {
    ReadOnly,
    ReadWrite,
}

/// The key that says which things a want of a kind opens.
pub(crate) const fn entries_key(kind: GrantKind) -> &'static str {
    match kind {
        GrantKind::Model => "names",
        GrantKind::Context => "contexts",
        GrantKind::Memory => "stores",
        GrantKind::Tool => "tools",
        GrantKind::File => "paths",
        GrantKind::Http => "hosts",
        GrantKind::KeyValue => "buckets",
        GrantKind::Process => "agents",
        GrantKind::Mailbox => "mailboxes",
        GrantKind::Person => "people",
        GrantKind::Device => "devices",
    }
}

/// Whether less than everything can be done with things of a kind: looking without changing; with people, asking and telling without
/// having them approve; with tools, calling those alone that change nothing, as their operator says.
///
/// A model, an agent and a mailbox have one use each.
pub(crate) const fn has_access(kind: GrantKind) -> bool {
    use GrantKind::{Context, Device, File, Http, KeyValue, Mailbox, Memory, Model, Person, Process, Tool};
    match kind {
        Context | Memory | Tool | File | Http | KeyValue | Person | Device => true,
        Model | Process | Mailbox => false,
    }
}

/// The JSON Schema of `remit.toml`, for editors and other tools: the file `remit.schema.json` beside this crate's source.
#[must_use]
pub fn json_schema() -> String {
    published(schema())
}

/// A schema as it lies in a file.
pub(crate) fn published(mut schema: Value) -> String {
    // The same text, whether or not some other crate made maps keep their order.
    schema.sort_all_objects();
    format!("{schema:#}\n")
}

/// The schema that manifests are checked against.
pub(crate) fn schema() -> Value {
    schema_of::<ManifestForm>(SCHEMA_TITLE)
}

/// The schema of a form. It holds no references.
pub(crate) fn schema_of<F: JsonSchema>(title: &str) -> Value {
    let inline = |settings: &mut SchemaSettings| settings.inline_subschemas = true;
    let settings = SchemaSettings::draft2020_12().with(inline).with_transform(RecursiveTransform(without_null));
    let mut schema = settings.into_generator().into_root_schema_for::<F>();
    schema.insert("title".to_owned(), title.into());
    schema.to_value()
}

/// TOML has no null: what is optional is left out.
fn without_null(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = object.get_mut("enum") {
        choices.retain(|choice| !choice.is_null());
    }
    if object.get("default").is_some_and(Value::is_null) {
        object.remove("default");
    }
    if let Some(Value::Array(mut schemas)) = object.remove("anyOf") {
        schemas.retain(|schema| schema["type"] != "null");
        for (key, value) in schemas.into_iter().filter_map(|schema| schema.as_object().cloned()).flatten() {
            // The description of the key says more than that of its type.
            object.entry(key).or_insert(value);
        }
    }
}

fn wants_schema(generator: &mut SchemaGenerator) -> Schema {
    let want = generator.subschema_for::<WantForm>().to_value();
    let section = |kind: GrantKind| (kind.section().to_owned(), section_schema(kind, want.clone()));
    let sections: Map<String, Value> = GrantKind::ALL.into_iter().map(section).collect();
    json_schema!({
        "description": "Rights that it asks for, by kind.",
        "type": "object",
        "properties": sections,
        "additionalProperties": false,
    })
}

/// Rights as a policy has them: of a want's keys those that say how far it goes.
pub(crate) fn bounds_schema(generator: &mut SchemaGenerator) -> Schema {
    let mut want = generator.subschema_for::<WantForm>().to_value();
    if let Some(keys) = want["properties"].as_object_mut() {
        keys.retain(|key, _| !matches!(&**key, "label" | "reason" | "optional"));
    }
    want["required"] = json!([]);
    let section = |kind: GrantKind| (kind.section().to_owned(), section_schema(kind, want.clone()));
    let sections: Map<String, Value> = GrantKind::ALL.into_iter().map(section).collect();
    json_schema!({
        "description": "The widest rights that such a package may ask for, by kind.",
        "type": "object",
        "properties": sections,
        "additionalProperties": false,
    })
}

/// The wants of one kind: of all keys those that it has.
fn section_schema(kind: GrantKind, mut want: Value) -> Value {
    if let Some(keys) = want["properties"].as_object_mut() {
        if let Some(entries) = keys.remove("entries") {
            keys.insert(entries_key(kind).to_owned(), entries);
        }
        if !has_access(kind) {
            keys.remove("access");
        }
        if kind != GrantKind::Model {
            keys.remove("name");
            keys.remove("max_tokens_per_call");
        }
        if kind != GrantKind::Process {
            keys.remove("children_max");
        }
    }
    if let Some(required) = want["required"].as_array_mut().filter(|_| kind != GrantKind::Model) {
        required.push(entries_key(kind).into());
    }
    want["description"] = format!("One right of the kind {}.", kind.name()).into();
    json!({ "type": "array", "items": want, "maxItems": WANTS_MAX })
}

/// Whatever limits the host has: none can be raised, so each one's default is its maximum.
fn limits_schema(_: &mut SchemaGenerator) -> Schema {
    let defaults = limits_by_name(&Limits::default());
    let limit = |(name, default): (String, u64)| {
        let why = format!("{default} is the host's limit, which a manifest can only lower");
        (name, json!({ "type": "integer", "minimum": 0, "maximum": default, "$comment": why }))
    };
    let limits: Map<String, Value> = defaults.into_iter().map(limit).collect();
    json_schema!({
        "description": "Limits that are lower than the host's.",
        "type": "object",
        "properties": limits,
        "additionalProperties": false,
    })
}

/// Limits by the names that a manifest has for them.
pub(crate) fn limits_by_name(limits: &Limits) -> BTreeMap<String, u64> {
    let fields = match serde_json::to_value(limits) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    fields.into_iter().filter_map(|(name, value)| Some((name, value.as_u64()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_says_what_each_kind_has() {
        let schema = schema();
        let text = schema.to_string();
        assert!(!text.contains("null") && !text.contains("$ref") && !text.contains("anyOf"), "{text}");
        let has = |kind: GrantKind, key: &str| {
            schema["properties"]["wants"]["properties"][kind.section()]["items"]["properties"].get(key).is_some()
        };
        for kind in GrantKind::ALL {
            assert!(has(kind, entries_key(kind)) && has(kind, "label") && !has(kind, "entries"), "{kind:?}");
            assert_eq!(has(kind, "access"), has_access(kind), "{kind:?}");
            assert_eq!(has(kind, "max_tokens_per_call"), kind == GrantKind::Model, "{kind:?}");
            assert_eq!(has(kind, "children_max"), kind == GrantKind::Process, "{kind:?}");
        }
    }

    #[test]
    fn every_limit_of_the_host_has_its_default_as_maximum() {
        let schema = schema();
        let limits = &schema["properties"]["limits"]["properties"];
        let all = serde_json::to_value(Limits::default()).expect("limits are numbers");
        let all = all.as_object().expect("limits have names");
        assert_eq!(limits.as_object().map(Map::len), Some(all.len()), "a limit is not a number");
        for (name, default) in all {
            assert_eq!(&limits[name]["maximum"], default, "{name}");
        }
    }
}
