//! Answers drawn at random among the masks, drafts of which a scout knows what would be taken, and formats that are nonsense.

use super::compile;
use crate::{
    Constraint, Format, Limits, Next, Scout, State,
    testing::{ALL_WORDS, Ended, Random, Words, fits, vocabulary, write},
};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Schemas of what agents ask for.
fn schemas() -> Vec<Value> {
    vec![
        json!({
            "type": "object",
            "properties": {
                "name": { "type": "string", "minLength": 1, "maxLength": 20 },
                "age": { "type": "integer", "minimum": 0, "maximum": 150 },
                "tags": { "type": "array", "items": { "enum": ["a", "b", 3, null] }, "maxItems": 3 },
                "address": { "$ref": "#/$defs/address" },
            },
            "required": ["name", "age", "address"],
            "$defs": { "address": {
                "type": "object",
                "properties": { "city": { "type": "string" }, "zip": { "type": ["string", "integer"] } },
                "required": ["city"],
            } },
        }),
        json!({ "anyOf": [
            { "type": "object", "properties": { "kind": { "const": "x" }, "x": { "type": "number" } }, "required": ["kind"] },
            { "type": "array", "items": { "type": "boolean" }, "minItems": 1 },
            { "type": "null" },
        ] }),
        json!({ "type": "object", "additionalProperties": { "type": "integer" } }),
        json!({ "type": "object", "properties": { "any": {} }, "required": ["any"], "additionalProperties": { "type": "number" } }),
        json!(true),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever a model draws among the masks is JSON that fits the schema; and a rollback leads back to the same mask.
    #[test]
    fn random_answers_fit_their_schema(seed in any::<u64>(), which in 0..5_usize, words in 0..3_usize) {
        let (vocabulary, schema) = (vocabulary(ALL_WORDS[words]), &schemas()[which]);
        let format = Format::JsonSchema(schema.clone());
        let constraint = Constraint::compile(&vocabulary, &format, &Limits::default()).expect("a constraint");
        let mut state = constraint.begin();
        let mut random = Random::new(seed);
        let (text, ended) = write(&mut state, &vocabulary, &mut random, 800);
        if ended == Ended::Complete {
            let value: Value = serde_json::from_str(&text).expect(&text);
            prop_assert_eq!(fits(&value, schema, schema), Ok(()));
        }
    }

    /// A scout knows how much of a draft would be taken, wherever the generation is by then, which notices nothing.
    #[test]
    fn a_scout_cuts_a_draft_where_it_would_be_refused(
        seed in any::<u64>(),
        which in 0..5_usize,
        steps in prop::collection::vec((0..6_usize, 0..12_usize), 1..6),
    ) {
        let vocabulary = vocabulary(Words::Json);
        let format = Format::JsonSchema(schemas()[which].clone());
        let constraint = Constraint::compile(&vocabulary, &format, &Limits::default()).expect("a constraint");
        let (mut state, mut random, mut text) = (constraint.begin(), Random::new(seed), Vec::new());
        let mut scout = Scout::new(&state, 0);
        for (written, right) in steps {
            let go = |state: &mut State, random: &mut Random, count: usize| {
                let mut taken = Vec::new();
                while taken.len() < count {
                    let Next::Among(mask) = state.allowed() else { break };
                    let allowed: Vec<u32> = mask.tokens().collect();
                    let token = allowed[random.below(allowed.len())];
                    state.accept(token).expect("a token of the mask");
                    taken.push(token);
                }
                taken
            };
            text.extend(go(&mut state, &mut random, written));
            let before = mask(&mut state);
            // Some that are right, and then others.
            let mut draft = go(&mut state.clone(), &mut random, right);
            draft.extend((0..6).map(|_| random.below(vocabulary.size() + 3) as u32));
            prop_assert!(scout.follow(&text));
            prop_assert_eq!(scout.allowed(&draft), Some(state.clone().accept_all(&draft)));
            prop_assert_eq!(mask(&mut state), before);
        }
    }

    /// What is tried and taken back leaves no trace: the mask is that of a state that never went there.
    #[test]
    fn a_rollback_leaves_no_trace(seed in any::<u64>(), which in 0..5_usize, tokens in 1..12_usize) {
        let vocabulary = vocabulary(Words::Json);
        let format = Format::JsonSchema(schemas()[which].clone());
        let constraint = Constraint::compile(&vocabulary, &format, &Limits::default()).expect("a constraint");
        let (mut state, mut random) = (constraint.begin(), Random::new(seed));
        write(&mut state, &vocabulary, &mut random, tokens);
        state.rollback(1);
        let before = mask(&mut state);
        let mut tried = 0;
        for _ in 0..tokens {
            let Next::Among(mask) = state.allowed() else { break };
            let allowed: Vec<u32> = mask.tokens().collect();
            state.accept(allowed[random.below(allowed.len())]).expect("a token of the mask");
            tried += 1;
        }
        let mut copy = state.clone();
        state.rollback(tried);
        copy.rollback(tried);
        prop_assert_eq!(&mask(&mut state), &before);
        prop_assert_eq!(&mask(&mut copy), &before);
    }
}

/// Parts of grammars and regular expressions.
const FRAGMENTS: &[&str] = &[
    "start: ",
    "\n",
    "a",
    "B",
    "a: ",
    "B: ",
    "\"x\"",
    "/[a-z]+/",
    "/(.|\\n)*/",
    " | ",
    "(",
    ")",
    "*",
    "+",
    "?",
    "{2,3}",
    "{1000}",
    "[a-z]",
    "&",
    "~",
    "%json {\"type\": \"object\"}",
    "%regex {",
    "%ignore ",
    "[lazy]",
    "[stop=\"\"]",
    "[max_tokens=2]",
    "<[3]>",
    "<[^1-5]>",
    "<|im_end|>",
    "@x",
    "\\",
    "\\p{L}",
    "\\b",
    "^",
    "$",
    ".",
    "é",
    "::",
    "%lark {",
    "}",
    " ",
];

/// Parts of schemas, which stand in each other.
fn some_schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(true)),
        Just(json!(false)),
        Just(json!({})),
        Just(json!(7)),
        Just(json!({ "$ref": "#" })),
        Just(json!({ "type": "integer", "multipleOf": 7, "minimum": 1e300 })),
        Just(json!({ "type": "number", "exclusiveMaximum": -1e16 })),
        Just(json!({ "const": "\u{1}\u{7f}é\"" })),
        Just(json!({ "enum": [1.5, null, { "a": [] }] })),
        Just(json!({ "type": [] })),
        Just(json!({ "type": "string", "pattern": "(a|b*)+[", "format": "uuid" })),
        Just(json!({ "pattern": "^\\d{3,}$", "maxLength": 5 })),
        Just(json!({ "minItems": 3, "prefixItems": [true, false] })),
        Just(json!({ "required": ["a", 1] })),
        Just(json!({ "x-guidance": 1 })),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let keys = prop::sample::select(vec![
            "items",
            "additionalProperties",
            "anyOf",
            "allOf",
            "oneOf",
            "properties",
            "patternProperties",
            "not",
            "$defs",
            "prefixItems",
        ]);
        prop::collection::vec((keys, prop::collection::vec(inner, 1..4)), 1..4).prop_map(|members| {
            let value = |key: &str, schemas: Vec<Value>| match key {
                "properties" | "patternProperties" | "$defs" => {
                    json!(["a", "b", "^a|b$"].iter().zip(schemas).collect::<std::collections::HashMap<_, _>>())
                }
                "anyOf" | "allOf" | "oneOf" | "prefixItems" => json!(schemas),
                _ => schemas[0].clone(),
            };
            let members = members.into_iter().map(|(key, schemas)| (key.to_owned(), value(key, schemas)));
            Value::Object(members.collect())
        })
    })
}

/// Compiles what may be nonsense, and goes some steps where it is none: every step is a mask, or an ending.
fn try_out(format: &Format, seed: u64) -> Result<(), TestCaseError> {
    let Ok(constraint) = compile(format) else { return Ok(()) };
    let (mut state, mut random) = (constraint.begin(), Random::new(seed));
    for _ in 0..12 {
        let Next::Among(mask) = state.allowed() else {
            prop_assert!(state.ending().is_some());
            break;
        };
        let allowed: Vec<u32> = mask.tokens().collect();
        prop_assert!(!allowed.is_empty());
        let token = allowed[random.below(allowed.len())];
        prop_assert!(state.accept(token).is_ok() || state.ending().is_some(), "{token} of the mask is refused");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn nonsense_is_refused_or_taken(parts in prop::collection::vec(prop::sample::select(FRAGMENTS), 1..16), seed in any::<u64>()) {
        let text = parts.concat();
        try_out(&Format::Regex(text.clone()), seed)?;
        try_out(&Format::Grammar(text.clone()), seed)?;
        try_out(&Format::Grammar(format!("start: {text}")), seed)?;
    }

    #[test]
    fn nonsense_of_schemas_is_refused_or_taken(schema in some_schema(), seed in any::<u64>()) {
        try_out(&Format::JsonSchema(schema), seed)?;
    }
}

fn mask(state: &mut State) -> Option<Vec<u32>> {
    match state.allowed() {
        Next::Among(mask) => Some(mask.tokens().collect()),
        Next::End => None,
    }
}
