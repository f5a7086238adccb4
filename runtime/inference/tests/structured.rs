//! SmolLM2 held to formats: whatever it draws fits. At temperature 1, where the smallest model writes next to nonsense.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "it says what masks cost")]

use remit_abi::{OutputFormat, Params, Priority, Role, Sampling, TenantId, Tool, ToolCall, ToolChoice, Toolset};
use remit_inference::{Limits, LocalEngine, ModelFile};
use remit_kernel::ports::{
    Chat, ChatMessage, Engine, EngineError, EngineEvent, EngineFinish, EngineStream, GenerationJob, PromptText,
};
use serde_json::Value;
use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

const SEEDS: u64 = 8;

fn engine() -> &'static LocalEngine {
    static ENGINE: OnceLock<LocalEngine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let Some(path) = std::env::var_os("REMIT_TEST_MODEL") else {
            panic!("REMIT_TEST_MODEL does not name SmolLM2's GGUF file; run `cargo xtask test`, which sets it")
        };
        let model = ModelFile { name: "smollm2".into(), path: path.into(), digest: "0".into() };
        LocalEngine::load(&[model], Limits::default()).unwrap()
    })
}

fn job(question: &str, params: Params, tools: Option<Toolset>) -> GenerationJob {
    let tools = tools.map(Arc::new);
    let chat = Chat { messages: vec![ChatMessage::said(Role::User, question)], tools: tools.clone() };
    GenerationJob {
        tenant: TenantId(1),
        program: 1,
        priority: Priority::Normal,
        model: "smollm2".into(),
        prompt: engine().tokenize("smollm2", &PromptText::Chat(chat)).unwrap(),
        params,
        tools,
    }
}

fn drawn(format: OutputFormat, max_tokens: u32, seed: u64) -> Params {
    let sampling = Sampling { temperature: 1.0, seed, ..Sampling::default() };
    Params { format, sampling, ..Params::greedy(max_tokens) }
}

/// Text, calls and end.
fn read(mut stream: EngineStream) -> (String, Vec<ToolCall>, Result<EngineFinish, EngineError>) {
    let (mut text, mut calls) = (String::new(), Vec::new());
    loop {
        match stream.events.blocking_recv().unwrap() {
            EngineEvent::Text(more) => text += &more,
            EngineEvent::ToolCall(call) => calls.push(*call),
            EngineEvent::Token(token) => panic!("nobody asked for {token:?}"),
            EngineEvent::End(finish) => return (text, calls, Ok(finish)),
            EngineEvent::Failed(error) => return (text, calls, Err(error)),
        }
    }
}

/// Every answer fits, or was cut by its length.
fn check(question: &str, format: &OutputFormat, max_tokens: u32, fits: impl Fn(&str) -> bool) {
    let start = |seed| engine().generate(job(question, drawn(format.clone(), max_tokens, seed), None)).unwrap();
    let streams: Vec<_> = (0..SEEDS).map(start).collect();
    let mut whole = 0;
    for (seed, stream) in streams.into_iter().enumerate() {
        let (text, calls, finish) = read(stream);
        assert_eq!(calls, []);
        match finish.unwrap() {
            EngineFinish::Stop => whole += usize::from(fits(&text)),
            EngineFinish::Length => whole += 1,
            other => panic!("{other:?}"),
        }
        assert_eq!(whole, seed + 1, "seed {seed}: {text:?}");
    }
}

#[test]
fn every_answer_under_a_schema_parses_and_fits() {
    let schema = r#"{
        "type": "object",
        "properties": {
            "name": { "type": "string", "maxLength": 20 },
            "age": { "type": "integer", "minimum": 0, "maximum": 150 },
            "kind": { "enum": ["person", "animal"] },
            "tags": { "type": "array", "items": { "type": "string", "maxLength": 9 }, "maxItems": 3 }
        },
        "required": ["name", "age", "kind"],
        "additionalProperties": false
    }"#;
    let fits = |text: &str| {
        let json: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text:?}"));
        let is_text = |value: &Value, most| value.as_str().is_some_and(|text| text.chars().count() <= most);
        let tags = json["tags"].as_array().is_none_or(|tags| tags.len() <= 3 && tags.iter().all(|tag| is_text(tag, 9)));
        let members = json.as_object().unwrap().keys().all(|key| ["name", "age", "kind", "tags"].contains(&&**key));
        tags && members
            && is_text(&json["name"], 20)
            && json["age"].as_u64().is_some_and(|age| age <= 150)
            && (json["kind"] == "person" || json["kind"] == "animal")
    };
    check("Describe Ada Lovelace as JSON.", &OutputFormat::JsonSchema(schema.into()), 200, fits);
}

#[test]
fn every_answer_under_an_expression_a_choice_or_a_grammar_fits() {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let phone = |text: &str| {
        let parts: Vec<_> = text.split('-').collect();
        parts.iter().map(|part| part.len()).collect::<Vec<_>>() == [3, 3, 4] && parts.iter().all(|part| digits(part))
    };
    check("A phone number?", &OutputFormat::Regex("[0-9]{3}-[0-9]{3}-[0-9]{4}".into()), 40, phone);
    let choices = ["red", "green", "dark green", "blue"];
    let choice = OutputFormat::Choice(choices.map(Into::into).into());
    check("What colour has grass?", &choice, 20, |text| choices.contains(&text));
    let sum = "start: NUMBER (\" + \" NUMBER)* \" =\"\nNUMBER: /[0-9]{1,3}/";
    let is_sum = |text: &str| text.strip_suffix(" =").is_some_and(|sum| sum.split(" + ").all(digits));
    check("A sum?", &OutputFormat::Grammar(sum.into()), 60, is_sum);
}

fn weather(choice: ToolChoice) -> Toolset {
    let parameters = r#"{"type": "object", "properties": {"city": {"type": "string", "maxLength": 20},
                         "unit": {"enum": ["celsius", "fahrenheit"]}}, "required": ["city", "unit"],
                         "additionalProperties": false}"#;
    let tool = |name: &str, description: &str, parameters: &str| Tool {
        name: name.into(),
        description: description.into(),
        parameters: parameters.into(),
    };
    let tools = [tool("weather", "Tells the weather of a city.", parameters), tool("time", "Tells the time.", "")];
    Toolset { tools: tools.into(), choice }
}

fn check_call(call: &ToolCall) {
    let json: Value = serde_json::from_str(&call.arguments).unwrap_or_else(|error| panic!("{error}: {call:?}"));
    match &*call.name {
        "weather" => {
            assert!(json["city"].as_str().is_some_and(|city| city.chars().count() <= 20), "{call:?}");
            assert!(json["unit"] == "celsius" || json["unit"] == "fahrenheit", "{call:?}");
            assert_eq!(json.as_object().map(serde_json::Map::len), Some(2), "{call:?}");
        }
        "time" => assert_eq!(json, serde_json::json!({})),
        _ => panic!("there is no such tool: {call:?}"),
    }
}

#[test]
fn every_call_parses_and_fits_unless_its_answer_was_cut() {
    let question = "What is the weather in Oslo?";
    for choice in [ToolChoice::Required, ToolChoice::Named("weather".into()), ToolChoice::Auto] {
        let start = |seed| {
            // Some are cut: a call takes some thirty tokens.
            let max_tokens = if seed % 4 == 3 { 12 } else { 200 };
            engine()
                .generate(job(question, drawn(OutputFormat::Any, max_tokens, seed), Some(weather(choice.clone()))))
                .unwrap()
        };
        let streams: Vec<_> = (0..SEEDS).map(start).collect();
        for (seed, stream) in streams.into_iter().enumerate() {
            let (text, calls, finish) = read(stream);
            calls.iter().for_each(check_call);
            match (finish.unwrap(), &choice) {
                (EngineFinish::Length, _) => {}
                (EngineFinish::ToolCalls, ToolChoice::Named(name)) => {
                    assert!(calls.len() == 1 && calls[0].name == *name);
                }
                (EngineFinish::ToolCalls, _) => assert!(!calls.is_empty()),
                (EngineFinish::Stop, ToolChoice::Auto) => assert_eq!(calls, []),
                (finish, _) => panic!("seed {seed}: {finish:?} of {text:?}"),
            }
            if choice != ToolChoice::Auto && !calls.is_empty() {
                assert_eq!(text.trim(), "", "seed {seed}");
            }
        }
    }
}

#[test]
fn what_cannot_be_held_to_disturbs_nobody() {
    let mut beside = engine().generate(job("Tell me a story.", Params::greedy(60), None)).unwrap();
    let bombs = [
        OutputFormat::JsonSchema(r#"{"type": "integer", "minimum": 5, "maximum": 2}"#.into()),
        OutputFormat::Regex("a?".repeat(2049).into()),
        OutputFormat::JsonSchema(format!("{}true{}", "{\"items\":".repeat(60), "}".repeat(60)).into()),
        OutputFormat::Grammar("start: start start | \"a\"\nbroken".into()),
    ];
    let mut longest = Duration::ZERO;
    for format in bombs {
        let begin = Instant::now();
        let error = engine().accepts(TenantId(1), "smollm2", &format, None).unwrap_err();
        longest = longest.max(begin.elapsed());
        assert!(matches!(error, EngineError::Format(_)), "{error}");
    }
    println!("the slowest refusal took {longest:.1?}");
    while let Some(event) = beside.events.blocking_recv() {
        assert!(!matches!(event, EngineEvent::Failed(_)), "{event:?}");
    }
    assert_eq!(engine().rebuilds(), 0);
}

/// Alone, and beside seven others, to the character.
#[test]
fn neighbours_change_nothing() {
    let schema = OutputFormat::JsonSchema(
        r#"{"type": "array", "items": {"type": "string", "maxLength": 12}, "maxItems": 4}"#.into(),
    );
    let one = |tenant, seed| {
        let params = drawn(if seed % 2 == 0 { schema.clone() } else { OutputFormat::Any }, 60, seed);
        GenerationJob { tenant: TenantId(tenant), ..job("Some names?", params, None) }
    };
    let alone: Vec<_> = (0..8).map(|seed| read(engine().generate(one(2, seed)).unwrap()).0).collect();
    let streams: Vec<_> = (0..8).map(|seed| engine().generate(one(3, seed)).unwrap()).collect();
    let together: Vec<_> = streams.into_iter().map(|stream| read(stream).0).collect();
    assert_eq!(together, alone);
}
