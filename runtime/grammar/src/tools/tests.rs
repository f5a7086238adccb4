use super::{Call, CallFormat, FAMILIES, FORCED, Piece, Tool, ToolChoice, Toolbox};
use crate::{
    GrammarError, Limits,
    testing::{ALL_WORDS, Ended, Random, Words, fits, vocabulary, write},
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn all_formats() -> Vec<&'static CallFormat> {
    FAMILIES.iter().chain([&FORCED]).collect()
}

fn family(name: &str) -> &'static CallFormat {
    all_formats().into_iter().find(|format| format.name == name).expect("a family")
}

fn tool(name: &str, parameters: Value) -> Tool {
    Tool { name: name.to_owned(), description: format!("Does {name}."), parameters }
}

fn tools() -> Vec<Tool> {
    let weather = json!({
        "type": "object",
        "properties": {
            "city": { "type": "string", "minLength": 1, "description": "Such as Paris." },
            "days": { "type": "integer", "minimum": 1, "maximum": 14 },
            "unit": { "enum": ["C", "F"] },
        },
        "required": ["city"],
    });
    let tree = json!({
        "type": "object",
        "properties": { "nodes": { "type": "array", "items": { "$ref": "#/$defs/node" }, "maxItems": 2 } },
        "required": ["nodes"],
        "$defs": { "node": { "type": "object", "properties": { "label": { "type": ["string", "null"] }, "next": { "$ref": "#/$defs/node" } } } },
    });
    vec![tool("get_weather", weather), tool("plant.tree-2", tree), tool("any", json!({})), tool("now", Value::Null)]
}

fn toolbox(format: &'static CallFormat) -> Toolbox {
    Toolbox::new(tools(), format, &Limits::default()).expect("a toolbox")
}

/// Reads an answer in pieces of so many characters; texts that follow each other are one.
fn read(format: &'static CallFormat, answer: &str, characters: usize) -> (Vec<Piece>, bool) {
    let mut reader = toolbox(format).reader();
    let all: Vec<char> = answer.chars().collect();
    let mut pieces: Vec<Piece> = Vec::new();
    for part in all.chunks(characters) {
        pieces.extend(reader.push(&part.iter().collect::<String>()));
    }
    let is_cut = reader.is_within_call();
    pieces.extend(reader.finish());
    let mut joined: Vec<Piece> = Vec::new();
    for piece in pieces {
        match (joined.last_mut(), piece) {
            (Some(Piece::Text(before)), Piece::Text(text)) => before.push_str(&text),
            (_, piece) => joined.push(piece),
        }
    }
    (joined, is_cut)
}

fn text(text: &str) -> Piece {
    Piece::Text(text.to_owned())
}

fn call(name: &str, arguments: &str) -> Piece {
    Piece::Call(Call { name: name.to_owned(), arguments: arguments.to_owned() })
}

fn check_read(format: &str, answer: &str, expected: &[Piece]) {
    for characters in [1, 2, 3, 7, 1_000] {
        assert_eq!(read(family(format), answer, characters).0, expected, "{format}: {answer:?} by {characters}");
    }
}

#[test]
fn answers_are_read_in_each_format() {
    let hermes = "<tool_call>\n{\"name\": \"a\", \"arguments\": {\"x\": \"}<tool_call>\"}}\n</tool_call>";
    let first = call("a", "{\"x\": \"}<tool_call>\"}");
    check_read("hermes", "", &[]);
    check_read("hermes", "Hello < world", &[text("Hello < world")]);
    check_read("hermes", hermes, std::slice::from_ref(&first));
    check_read(
        "hermes",
        &format!("I look é.\n{hermes}\n{hermes}"),
        &[text("I look é.\n"), first.clone(), first.clone()],
    );
    check_read("hermes", &format!("{hermes} done"), &[first.clone(), text(" done")]);
    check_read("hermes", "a <tool_call> b", &[text("a <tool_call> b")]);
    check_read(
        "hermes",
        "<tool_call>{\"name\": 1, \"arguments\": {}}</tool_call>",
        &[text("<tool_call>{\"name\": 1, \"arguments\": {}}</tool_call>")],
    );
    check_read("hermes", &format!("<tool_call>{hermes}"), &[text("<tool_call>"), first]);
    let smollm =
        "<tool_call>[{\"name\": \"a\", \"arguments\": {}},\n{\"arguments\":{\"b\":[1,{}]},\"name\":\"b\"}]</tool_call>";
    check_read("smollm2", smollm, &[call("a", "{}"), call("b", "{\"b\":[1,{}]}")]);
    check_read("smollm2", "<tool_call>[]</tool_call>", &[]);
    check_read("smollm2", "<tool_call>{}</tool_call>", &[text("<tool_call>{}</tool_call>")]);
    check_read("mistral", "[TOOL_CALLS] [{\"name\": \"a\", \"arguments\": {}}]", &[call("a", "{}")]);
    check_read("mistral", "Hi [TOOL_CALLS][{\"name\": \"a\", \"arguments\": {}}]", &[text("Hi "), call("a", "{}")]);
    check_read(
        "llama3-json",
        "{\"name\": \"a\", \"parameters\": {\"q\": \"\\\"{\"}}",
        &[call("a", "{\"q\": \"\\\"{\"}")],
    );
    check_read("llama3-json", "{\"a\": 1} is JSON", &[text("{\"a\": 1} is JSON")]);
    check_read(
        "llama3-json",
        "It is {\"name\": \"a\", \"parameters\": {}}",
        &[text("It is {\"name\": \"a\", \"parameters\": {}}")],
    );
    check_read("forced", "\n{\"name\": \"a\", \"arguments\": {}}\n", &[call("a", "{}")]);
    let deep = format!("{{\"x\": {}{}}}", "[".repeat(500), "]".repeat(500));
    check_read("forced", &format!("{{\"name\": \"a\", \"arguments\": {deep}}}"), &[call("a", &deep)]);
}

#[test]
fn a_call_that_was_cut_is_told() {
    let check = |answer: &str, expected: bool| {
        assert_eq!(read(family("hermes"), answer, 3).1, expected, "{answer}");
    };
    check("text", false);
    check("<tool_call>\n{\"name\": \"a\", \"argu", true);
    check("<tool_call>\n{\"name\": \"a\", \"arguments\": {}}\n</tool_", true);
    check("<tool_call>\n{\"name\": \"a\", \"arguments\": {}}\n</tool_call>", false);
}

#[test]
fn a_template_shows_its_format() {
    let check =
        |template: &str, expected: &str| assert_eq!(CallFormat::of_template(template).name, expected, "{template}");
    check("{{ '<tool_call>\\n{\\\"name\\\": <name>, \\\"arguments\\\": <args>}\\n</tool_call>' }}", "hermes");
    check("<tool_call>{\"name\": x, \"arguments\": y}</tool_call>", "hermes");
    check("You are a helpful AI assistant named SmolLM, trained by Hugging Face", "smollm2");
    check("{{ '[AVAILABLE_TOOLS] [' }} ... {{ '[TOOL_CALLS] [' }}", "mistral");
    check("[AVAILABLE_TOOLS] [TOOL_CALLS]name[ARGS]", "forced");
    check("<|start_header_id|> {{- '\"parameters\": ' }}", "llama3-json");
    check("<start_of_turn>{{ role }}", "forced");
    check("", "forced");
}

#[test]
fn tools_are_checked() {
    let check = |tools: Vec<Tool>, is_right: fn(&GrammarError) -> bool| {
        let error = Toolbox::new(tools, &FORCED, &Limits::default()).expect_err("an error");
        assert!(is_right(&error), "{error}");
    };
    let plain = |name: &str| tool(name, json!({}));
    check(Vec::new(), |error| matches!(error, GrammarError::Empty { .. }));
    check(vec![plain("")], |error| matches!(error, GrammarError::ToolName { .. }));
    check(vec![plain("a b")], |error| matches!(error, GrammarError::ToolName { .. }));
    check(vec![plain(&"a".repeat(65))], |error| matches!(error, GrammarError::ToolName { .. }));
    check(vec![plain("a"), plain("a")], |error| matches!(error, GrammarError::ToolName { .. }));
    check((0..129).map(|index| plain(&format!("t{index}"))).collect(), |error| {
        matches!(error, GrammarError::TooMany { .. })
    });
    check(vec![tool("a", json!({ "type": "string" }))], |error| matches!(error, GrammarError::Invalid { .. }));
    check(vec![tool("a", json!({ "type": ["object", "null"] }))], |error| {
        matches!(error, GrammarError::Invalid { .. })
    });
    let named = ToolChoice::Named("other".into());
    let missing = toolbox(&FORCED).constraint(&vocabulary(Words::Bytes), &named, &Limits::default());
    assert!(matches!(missing, Err(GrammarError::NoSuchTool { .. })), "{missing:?}");
    let bad = Toolbox::new(
        vec![tool("a", json!({ "type": "object", "properties": { "x": false }, "required": ["x"] }))],
        &FORCED,
        &Limits::default(),
    );
    let bad = bad.expect("a toolbox").constraint(&vocabulary(Words::Bytes), &ToolChoice::Auto, &Limits::default());
    assert!(matches!(bad, Err(GrammarError::Unsatisfiable { .. })), "{bad:?}");
}

/// Whether an answer is complete under a choice; marks are written as text.
fn takes(format: &'static CallFormat, choice: &ToolChoice, answer: &str) -> bool {
    let vocabulary = vocabulary(Words::Bytes);
    let constraint = toolbox(format).constraint(&vocabulary, choice, &Limits::default()).expect("a constraint");
    let mut state = constraint.begin();
    answer.bytes().all(|byte| state.accept(u32::from(byte)).is_ok()) && state.may_end()
}

#[test]
fn each_choice_takes_what_it_says() {
    for format in all_formats() {
        let weather = format.write("get_weather", "{\"city\": \"Paris\"}");
        let now = format.write("now", "{}");
        let check = |choice: ToolChoice, answer: &str, expected: bool| {
            assert_eq!(takes(format, &choice, answer), expected, "{} {choice:?}: {answer:?}", format.name);
        };
        let named = || ToolChoice::Named("now".to_owned());
        for (choice, calls, texts) in [
            (ToolChoice::Auto, true, true),
            (ToolChoice::Required, true, false),
            (named(), true, false),
            (ToolChoice::None, false, true),
        ] {
            check(choice.clone(), &now, calls);
            check(choice.clone(), "It is [fine] <now>\n{}.", texts);
            check(choice, "", texts);
        }
        check(ToolChoice::Auto, " Hello\n", true);
        check(ToolChoice::Required, &format!(" {now}"), format.open.is_empty());
        check(named(), &weather, false);
        check(ToolChoice::Required, &weather, true);
        check(ToolChoice::Required, &format.write("get_weather", "{}"), false);
        check(ToolChoice::Auto, &format.write("get_weather", "{\"city\": \"\"}"), false);
        check(ToolChoice::Required, &format.write("other", "{}"), false);
        if !format.open.is_empty() {
            check(ToolChoice::Auto, &format!("I look.\n{weather}"), true);
            check(ToolChoice::Auto, &format!("I look.\n{}", &weather[..weather.len() - 2]), false);
        }
    }
    for (format, is_none) in [("smollm2", "<tool_call>[]</tool_call>"), ("mistral", "[TOOL_CALLS] []")] {
        assert_eq!(takes(family(format), &ToolChoice::Auto, is_none), format == "smollm2");
        assert!(!takes(family(format), &ToolChoice::Required, is_none));
    }
    let twice = family("hermes").write("now", "{}");
    assert!(takes(family("hermes"), &ToolChoice::Auto, &format!("{twice}\n{twice}")));
    assert!(!takes(family("hermes"), &ToolChoice::Named("now".into()), &format!("{twice}\n{twice}")));
}

#[test]
fn what_a_model_is_told_names_its_tools() {
    let instructions = toolbox(family("smollm2")).instructions();
    assert!(
        instructions.contains("\"get_weather\"") && instructions.contains("<tool_call>[{\"name\": \"TOOL\""),
        "{instructions}"
    );
    let described = toolbox(&FORCED).described();
    assert_eq!(described[0]["function"]["name"], "get_weather");
    assert_eq!(described.as_array().map(Vec::len), Some(4));
}

/// Whether all calls of an answer are of a tool that is there, with arguments that fit it.
fn check_calls(pieces: &[Piece]) -> Result<usize, String> {
    let tools = tools();
    let mut calls = 0;
    for piece in pieces {
        let Piece::Call(call) = piece else { continue };
        let tool = tools.iter().find(|tool| tool.name == call.name).ok_or_else(|| format!("no tool {}", call.name))?;
        let arguments: Value = serde_json::from_str(&call.arguments).map_err(|error| error.to_string())?;
        let schema = if tool.parameters.is_null() {
            json!({ "type": "object", "properties": {} })
        } else {
            tool.parameters.clone()
        };
        fits(&arguments, &schema, &schema)?;
        calls += 1;
    }
    Ok(calls)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// From a model that draws at random among the masks, in every format and with every vocabulary, a call parses and fits
    /// its schema, unless the answer was cut.
    #[test]
    fn calls_parse_from_any_model(seed in any::<u64>(), which in 0..5_usize, words in 0..3_usize, kind in 0..4_usize) {
        let (format, vocabulary) = (all_formats()[which], vocabulary(ALL_WORDS[words]));
        let choice = [ToolChoice::Auto, ToolChoice::Required, ToolChoice::Named("get_weather".into()), ToolChoice::None][kind].clone();
        let constraint = toolbox(format).constraint(&vocabulary, &choice, &Limits::default()).expect("a constraint");
        let (answer, ended) = write(&mut constraint.begin(), &vocabulary, &mut Random::new(seed), 1_500);
        let (pieces, is_cut) = read(format, &answer, 5);
        let calls = check_calls(&pieces).map_err(|error| TestCaseError::fail(format!("{error} in {answer:?}")))?;
        let texts = pieces.iter().filter(|piece| matches!(piece, Piece::Text(_))).count();
        if ended == Ended::Complete {
            prop_assert!(!is_cut, "{answer:?}");
            match choice {
                ToolChoice::Auto => {}
                ToolChoice::None => prop_assert_eq!(calls, 0, "{:?}", answer),
                ToolChoice::Required => prop_assert!(calls > 0 && texts == 0, "{answer:?}"),
                ToolChoice::Named(_) => prop_assert!(calls == 1 && texts == 0, "{answer:?}"),
            }
        }
    }

    /// A reader gives out the same whatever the pieces, and never more or less than the answer has.
    #[test]
    fn reading_does_not_depend_on_the_pieces(parts in prop::collection::vec(prop::sample::select(FRAGMENTS), 0..12), which in 0..5_usize, characters in 1..9_usize) {
        let (answer, format) = (parts.concat(), all_formats()[which]);
        let whole = read(format, &answer, usize::MAX);
        prop_assert_eq!(&read(format, &answer, characters), &whole);
        if whole.0.iter().all(|piece| matches!(piece, Piece::Text(_))) && !answer.replace([' ', '\n'], "").contains("[]") {
            let texts: String = whole.0.iter().map(|piece| match piece { Piece::Text(text) => text.as_str(), Piece::Call(_) => "" }).collect();
            prop_assert_eq!(texts, answer);
        }
    }
}

const FRAGMENTS: &[&str] = &[
    "<tool_call>",
    "</tool_call>",
    "<tool_",
    "[TOOL_CALLS]",
    " ",
    "\n",
    "é",
    "{",
    "}",
    "[",
    "]",
    ",",
    "\"",
    "\\",
    "{\"name\": \"a\", \"arguments\": {}}",
    "{\"name\": \"a\", \"parameters\": {\"b\": \"}\"}}",
    "text",
    "[{\"name\": \"a\", \"arguments\": {}}]",
];
