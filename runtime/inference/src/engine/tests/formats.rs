//! Answers that are held to a format, and calls of tools: over the scripted model, whose tokens are bytes.

use super::{readers::until, sampling::events, *};
use remit_abi::{Tool, ToolCall, ToolChoice};
use remit_kernel::ports::Chat;

fn regex(expression: &str) -> OutputFormat {
    OutputFormat::Regex(expression.into())
}

/// Drawn at temperature 1, where the scripted model holds a letter, or some others, for likely.
fn drawn(format: OutputFormat, max_tokens: u32, seed: u64) -> Params {
    let sampling = Sampling { temperature: 1.0, seed, ..Sampling::default() };
    Params { format, sampling, ..Params::greedy(max_tokens) }
}

fn asking(params: Params, prompt: &str) -> GenerationJob {
    GenerationJob { params, ..job(prompt, 1) }
}

fn check_format(format: OutputFormat, max_tokens: u32, expect: (&str, EngineFinish)) {
    let params = Params { format, ..Params::greedy(max_tokens) };
    let (text, finish, usage) =
        read(fixture(alphabet, Limits::default()).engine.generate(asking(params, "a")).unwrap());
    assert_eq!((text.as_str(), finish.unwrap()), expect);
    assert_eq!(usage.output as usize, text.len());
}

#[test]
fn an_answer_goes_by_its_format_and_ends_with_it() {
    // The model says the alphabet on from b; of what is not allowed, the likeliest that is.
    check_format(regex("[b-d]{5}"), 20, ("bcdbb", EngineFinish::Stop));
    check_format(regex("[b-d]{5}"), 3, ("bcd", EngineFinish::Length));
    check_format(regex("[b-d]{3}"), 3, ("bcd", EngineFinish::Stop));
    let choice = ["ape", "bee", "bear"].map(Into::into);
    check_format(OutputFormat::Choice(choice.into()), 20, ("bear", EngineFinish::Stop));
    check_format(OutputFormat::Grammar("start: \"b\" A+ \"!\"\nA: /[c-e]/".into()), 6, ("bcde!", EngineFinish::Stop));
    let schema =
        r#"{"type": "object", "properties": {"a": {"const": 7}}, "required": ["a"], "additionalProperties": false}"#;
    let sentence = fixture(alphabet, Limits::default());
    let params = drawn(OutputFormat::JsonSchema(schema.into()), 200, 1);
    let (text, finish, _) = read(sentence.engine.generate(asking(params, "a")).unwrap());
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((json, finish), (serde_json::json!({ "a": 7 }), Ok(EngineFinish::Stop)));
}

#[test]
fn bias_penalties_and_stops_come_behind_the_format() {
    let with = |params: Params| {
        let (text, finish, _) =
            read(fixture(alphabet, Limits::default()).engine.generate(asking(params, "a")).unwrap());
        (text, finish)
    };
    let format = regex("[b-d]{5}");
    let usual = || Params { format: format.clone(), ..Params::greedy(20) };
    let never = |letters: &str| letters.bytes().map(|letter| (u32::from(letter), Params::BIAS_NEVER)).collect();
    assert_eq!(with(Params { logit_bias: never("b"), ..usual() }), ("ccdcc".to_owned(), Ok(EngineFinish::Stop)));
    assert_eq!(with(Params { stop: vec!["d".into()], ..usual() }), ("bc".to_owned(), Ok(EngineFinish::Stop)));
    let stop_tokens = vec![u32::from(b'c')];
    assert_eq!(with(Params { stop_tokens, ..usual() }), ("b".to_owned(), Ok(EngineFinish::Stop)));
    let (text, failed) = with(Params { logit_bias: never("bcd"), ..usual() });
    assert_eq!(text, "");
    let why = "logit-bias forbids every token that the format allows";
    assert_eq!(failed, Err(EngineError::Format(why.into())));
}

#[test]
fn what_cannot_be_held_to_is_refused_with_a_sentence() {
    let fixture = fixture(letters, Limits::default());
    let check = |format: OutputFormat, tools: Option<Toolset>, sentence: &str| {
        let accepted = fixture.engine.accepts(TenantId(1), "m", &format, tools.as_ref());
        let params = Params { format, ..Params::greedy(9) };
        let started = fixture.engine.generate(GenerationJob { params, tools: tools.map(Arc::new), ..job("a", 9) });
        for error in [accepted.unwrap_err(), started.map(drop).unwrap_err()] {
            let EngineError::Format(said) = error else { panic!("{error}") };
            assert!(said.contains(sentence), "{said}\n{sentence}");
        }
    };
    let schema = |text: &str| OutputFormat::JsonSchema(text.into());
    check(schema("{"), None, "the schema is no JSON");
    check(schema("false"), None, "no text fits the format");
    check(schema(r#"{"type": "string", "minLength": 9, "maxLength": 3}"#), None, "no text fits the format");
    check(schema(&"[".repeat(9999)), None, "the schema is no JSON");
    check(regex("a("), None, "the format cannot be read");
    check(regex(&"a?".repeat(2049)), None, "4096 are allowed");
    check(OutputFormat::Choice([].into()), None, "the list of choices is empty");
    check(OutputFormat::Grammar("start: nowhere".into()), None, "the format cannot be read");
    check(OutputFormat::Any, Some(tools("a b", "{}", ToolChoice::Auto)), "\"a b\" is no name for a tool");
    check(OutputFormat::Any, Some(tools("a", "{", ToolChoice::Auto)), "the parameters of the tool \"a\" are no JSON");
    let named = ToolChoice::Named("b".into());
    check(OutputFormat::Any, Some(tools("a", "{}", named)), "there is no tool \"b\" to call");
    assert_eq!(fixture.engine.shared.queued.load(Ordering::Acquire), 0);
    let (text, finish, _) = read(fixture.engine.generate(job("abc", 9)).unwrap());
    assert_eq!((text, finish), (told(letters, "abc", 9), Ok(EngineFinish::Length)));
}

/// The prompt says something else than the format, so that what is guessed from it is cut before it is computed; what the answer itself
/// repeats is guessed, and comes.
#[test]
fn guesses_that_a_format_refuses_are_not_computed() {
    let run = |format: OutputFormat, speculation, seed| {
        let fixture = fixture(letters, Limits::default());
        let params = Params { speculation, logprobs: Some(2), ..drawn(format, 120, seed) };
        let told = events(fixture.engine.generate(asking(params, &"ab2".repeat(30))).unwrap());
        (told, until(&fixture.engine, |totals| totals.ended == 1))
    };
    let check = |format: OutputFormat, seed| {
        let ((plain, without), (speculative, with)) = (run(format.clone(), false, seed), run(format, true, seed));
        assert!(plain == speculative);
        assert_eq!((without.proposed, without.drawn), (0, with.drawn));
        with
    };
    // One token is allowed at each place.
    let forced = check(regex("(ab1){40}"), 0);
    assert!(forced.accepted > 0, "{forced:?}");
    assert_eq!(forced.proposed, forced.accepted, "what cannot come was computed: {forced:?}");
    for seed in 0..6 {
        check(regex("([ab]{1,3}[12] ?){9,30}"), seed);
        check(OutputFormat::JsonSchema(r#"{"type": "array", "items": {"enum": ["ab2", "ab2ab2", 2]}}"#.into()), seed);
    }
}

/// As many as are computed at once, of which one in four fails on its way: the others, and whoever comes then, have all the room
/// there is.
#[test]
fn one_that_fails_gives_its_blocks_back_and_disturbs_nobody() {
    let fixture = fixture(letters, Limits::default());
    let held = fixture.gate.lock().unwrap();
    let prompts: Vec<String> = (0..16).map(|index| format!("{index:04}").repeat(40)).collect();
    let bias: Vec<(u32, f32)> = (b'0'..=b'9').map(|digit| (u32::from(digit), Params::BIAS_NEVER)).collect();
    let failing = Params { format: regex("[a-z]{9}[0-9]"), logit_bias: bias, ..Params::greedy(60) };
    let start = |(index, prompt): (usize, &String)| {
        let params = if index % 4 == 0 { failing.clone() } else { Params::greedy(60) };
        fixture.engine.generate(asking(params, prompt)).unwrap()
    };
    let streams: Vec<_> = prompts.iter().enumerate().map(start).collect();
    drop(held);
    for (index, (prompt, stream)) in prompts.iter().zip(streams).enumerate() {
        let (text, finish, _) = read(stream);
        if index % 4 == 0 {
            assert_eq!(text, told(letters, prompt, 9));
            assert!(matches!(finish, Err(EngineError::Format(_))), "{finish:?}");
        } else {
            assert_eq!((text, finish), (told(letters, prompt, 60), Ok(EngineFinish::Length)));
        }
    }
    // One that needs nearly all blocks.
    let long = "x".repeat(90_000);
    let (text, finish, usage) = read(fixture.engine.generate(job(&long, 9)).unwrap());
    assert_eq!((text, finish), (told(letters, &long, 9), Ok(EngineFinish::Length)));
    assert_eq!(usage.output, 9);
    assert_eq!(fixture.engine.rebuilds(), 0);
}

#[test]
fn neighbours_and_crashes_change_nothing() {
    let schema = r#"{"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
                     "required": ["name", "age"], "additionalProperties": false}"#;
    let formats = || [regex("[a-z ]{0,30}[!?]"), OutputFormat::JsonSchema(schema.into()), OutputFormat::Any];
    let jobs: Vec<_> = (0..12u64)
        .map(|seed| asking(drawn(formats()[seed as usize % 3].clone(), 70, seed), &format!("prompt {seed} ").repeat(9)))
        .collect();
    let alone: Vec<_> = jobs
        .iter()
        .map(|job| read(fixture(letters, Limits::default()).engine.generate(job.clone()).unwrap()).0)
        .collect();
    for crashes in [&[][..], &[9, 31]] {
        let steps = Mutex::new(0);
        let fault: Fault = Arc::new(move |come_to| {
            let mut steps = steps.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            *steps += usize::from(!come_to.is_empty());
            assert!(come_to.is_empty() || !crashes.contains(&*steps), "the device is lost");
        });
        let fixture = fixture_with(letters, Limits { chunk_rows: 50, ..Limits::default() }, fault);
        let held = fixture.gate.lock().unwrap();
        let streams: Vec<_> = jobs.iter().map(|job| fixture.engine.generate(job.clone()).unwrap()).collect();
        drop(held);
        let together: Vec<_> = streams.into_iter().map(|stream| read(stream).0).collect();
        assert_eq!(together, alone, "{crashes:?}");
        assert_eq!(fixture.engine.rebuilds() as usize, crashes.len());
    }
}

fn tools(name: &str, parameters: &str, choice: ToolChoice) -> Toolset {
    let tool = |name: &str| Tool { name: name.into(), description: "Does.".into(), parameters: parameters.into() };
    Toolset { tools: [tool(name)].into(), choice }
}

const ADD: &str = r#"{"type": "object", "properties": {"a": {"type": "integer", "minimum": 0, "maximum": 99}},
                      "required": ["a"], "additionalProperties": false}"#;

/// Text and calls of a generation with the tool `add`, in one line, and its end.
fn called(choice: ToolChoice, params: Params, prompt: &str) -> (String, EngineFinish, Vec<ToolCall>) {
    let tools = Some(Arc::new(tools("add", ADD, choice)));
    let fixture = fixture(letters, Limits::default());
    let (mut line, mut calls) = (String::new(), Vec::new());
    for event in events(fixture.engine.generate(GenerationJob { tools, ..asking(params, prompt) }).unwrap()) {
        match event {
            EngineEvent::Text(text) => line += &text,
            EngineEvent::ToolCall(call) => calls.push(*call),
            EngineEvent::End(finish) => return (line, finish, calls),
            other => panic!("{other:?}"),
        }
    }
    unreachable!("a stream ends")
}

#[test]
fn a_call_that_must_come_parses_and_is_told_apart_from_text() {
    let mut ids = std::collections::HashSet::new();
    for seed in 0..20 {
        for choice in [ToolChoice::Required, ToolChoice::Named("add".into())] {
            let params = || drawn(OutputFormat::Any, 200, seed);
            let (text, finish, calls) = called(choice.clone(), params(), "x");
            assert_eq!((text.trim(), finish), ("", EngineFinish::ToolCalls));
            let [call] = calls.as_slice() else { panic!("{calls:?}") };
            let json: serde_json::Value = serde_json::from_str(&call.arguments).unwrap();
            assert!(json["a"].as_u64().is_some_and(|number| number < 100), "{json}");
            assert_eq!((&*call.name, call.id.len()), ("add", 9));
            assert!(call.id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{}", call.id);
            assert_eq!(called(choice, params(), "x").2, calls, "the same generation has the same ids");
            ids.insert(call.id.clone());
        }
    }
    assert_eq!(ids.len(), 20, "another generation has others");
}

#[test]
fn a_call_that_is_cut_is_text_and_its_end_says_so() {
    let (text, finish, calls) = called(ToolChoice::Required, Params::greedy(12), "x");
    assert_eq!((finish, calls), (EngineFinish::Length, Vec::new()));
    assert!(r#"{"name": "add""#.starts_with(text.trim()) && text.len() == 12, "{text:?}");
}

#[test]
fn a_model_that_may_call_and_does_not_answers_as_ever() {
    for choice in [ToolChoice::Auto, ToolChoice::None] {
        let (text, finish, calls) = called(choice, Params::greedy(12), "x");
        assert_eq!((text, finish, calls), (told(letters, "x", 12), EngineFinish::Length, Vec::new()));
    }
}

#[test]
fn tools_calls_and_results_are_in_the_prompt() {
    let fixture = fixture(letters, Limits::default());
    let count = |chat: Chat| fixture.engine.tokenize("m", &PromptText::Chat(chat)).map(|tokens| tokens.len());
    let call = |arguments: &str| ToolCall { id: "c1".into(), name: "add".into(), arguments: arguments.into() };
    let messages = |arguments: &str| {
        vec![
            ChatMessage::said(Role::User, "Add."),
            ChatMessage::Called { content: String::new(), calls: vec![call(arguments)] },
            ChatMessage::Result { id: "c1".into(), name: "add".into(), content: "9".into() },
        ]
    };
    let text = |chat: Chat| {
        let tokens = fixture.engine.tokenize("m", &PromptText::Chat(chat)).unwrap();
        fixture.engine.served[0].tokenizer.decode(&tokens)
    };
    // The template knows no tools: all is said in words.
    let offered = Some(Arc::new(tools("add", ADD, ToolChoice::Auto)));
    let told = text(Chat { messages: messages(r#"{"a": 1}"#), tools: offered.clone() });
    let places = [
        "system\nYou can call these tools:",
        "\"maximum\":99",
        "user\nAdd.",
        "assistant\n{\"name\": \"add\", \"arguments\": {\"a\": 1}}",
    ];
    let places = places.into_iter().chain(["user\n<tool_response>\n9\n</tool_response>", "assistant\n"]);
    let found: Vec<_> = places.map(|part| told.find(part).unwrap_or_else(|| panic!("{part}\n{told}"))).collect();
    assert!(found[..5].is_sorted(), "{told}");
    let without = count(vec![ChatMessage::said(Role::User, "Add.")].into()).unwrap();
    let with = count(Chat { messages: vec![ChatMessage::said(Role::User, "Add.")], tools: offered }).unwrap();
    assert!(with > without + 100, "{with} {without}");
    match count(messages("{").into()) {
        Err(EngineError::Prompt(why)) => assert!(why.contains("the tool-call c1 are no JSON"), "{why}"),
        other => panic!("{other:?}"),
    }
    // No word of a call ends a turn.
    let hostile = fixture.engine.tokenize("m", &PromptText::Chat(messages(r#"{"a": "<|end|>"}"#).into())).unwrap();
    assert_eq!(hostile.iter().filter(|token| **token == END).count(), 3);
}
