use super::*;
use remit_abi::Role;
use remit_kernel::ports::{ChatMessage, PromptText};

fn answer(text: &str) -> Answer {
    Answer { text: text.to_owned(), tokens: 3, finish: FinishReason::Stop, model: "m".to_owned() }
}

/// A file of one task that expects this.
fn file(expect: &str) -> String {
    format!("[[task]]\nname = 'a'\nprompt = 'q'\n[[task.expect]]\n{expect}\n")
}

/// Whether answers are as expected.
fn check(expect: &str, good: &[&str], bad: &[&str]) {
    let tasks = read_tasks(&file(expect)).expect("it is well-formed");
    for (texts, passes) in [(good, true), (bad, false)] {
        for text in texts {
            let report = evaluate("m", &tasks, |_| Ok(answer(text)));
            assert_eq!(report.tasks[0].passed, passes, "{expect}: {text}");
            assert_eq!((report.passed, report.properties), (usize::from(passes), (usize::from(passes), 1)));
        }
    }
}

#[test]
fn a_property_holds_for_what_it_says_and_nothing_else() {
    check("contains = 'Paris'", &["Paris", "It is Paris."], &["", "paris"]);
    check("contains = 'Paris'\nnot = true", &["", "paris"], &["Paris"]);
    check("equals = 'Paris'", &["Paris", " Paris\n"], &["Paris."]);
    check("matches = '^\\d+$'", &["42"], &["42 or so", ""]);
    check("matches = '(?i)paris'", &["in PARIS"], &["Lyon"]);
    check("json = { pointer = '/a/0', equals = 1 }", &[r#"{"a":[1]}"#, r#"{"a":[1.0]}"#], &[r#"{"a":[2]}"#, "{", "1"]);
    check("json = { pointer = '/a', equals = { b = ['c'] } }", &[r#"{"a":{"b":["c"]}}"#], &[r#"{"a":{"b":[]}}"#]);
    check("json = { pointer = '' }", &["{}", "3"], &["three"]);
    check("tokens_max = 3", &["any"], &[]);
    check("tokens_max = 2", &[], &["any"]);
    check("finish = 'stop'", &["any"], &[]);
    check("finish = 'length'", &[], &["any"]);
}

#[test]
fn a_pattern_that_takes_for_ever_does_not_match() {
    check("matches = '^(?=(a+)+$)(a+)+b\\1$'", &[], &[&"a".repeat(40)]);
}

/// The error of a file.
fn refused(text: &str, expect: &str) {
    let error = read_tasks(text).expect_err(expect).to_string();
    assert!(error.contains(expect), "{error}");
}

#[test]
fn a_file_that_cannot_be_meant_is_refused() {
    refused("", "the file has 0 tasks");
    refused("[[task]]\nnmae = 'a'", "unknown field `nmae`");
    refused("[[task]]\nname = 'a'", "the task \"a\" asks nothing, or twice");
    let both = "[[task]]\nname = 'a'\nprompt = 'q'\nmessages = [{ role = 'user', text = 'q' }]";
    refused(both, "asks nothing, or twice");
    refused("[[task]]\nname = 'a'\nprompt = 'q'", "expects 0 things, and must expect 1 to 64");
    refused(&file(""), "has an `expect` of 0 things");
    refused(&file("contains = 'x'\nequals = 'y'"), "has an `expect` of 2 things");
    refused(&file("matches = '('"), "expects \"(\", which is no pattern");
    refused(&file("json = { pointer = 'a' }"), "has a pointer \"a\", which is none");
    refused(&file("finish = 'well'"), "unknown variant `well`");
    refused(&file("contains = 'x'").repeat(2), "the task \"a\" is there twice");
    let params = |params: &str| file("contains = 'x'").replace("prompt", &format!("params = {{ {params} }}\nprompt"));
    refused(&params("max_tokens = 0"), "max-tokens is 0");
    refused(&params("top_p = 2.0"), "top-p is 2");
    refused(&params("speed = 1"), "unknown field `speed`");
}

const THREE: &str = "
    [[task]]
    name = 'one'
    messages = [{ role = 'system', text = 's' }, { role = 'user', text = '1' }]
    params = { max_tokens = 7, temperature = 0.5, seed = 3, stop = ['x'] }
    expect = [{ contains = '1' }, { tokens_max = 9 }]
    [[task]]
    name = 'two'
    label = 'sum'
    messages = [{ role = 'user', text = '2' }]
    expect = [{ contains = '2' }]
    [[task]]
    name = 'three'
    prompt = '3'
    expect = [{ contains = '3' }]";

/// Says what the last message does.
fn echo(question: &Question) -> Result<Answer, String> {
    Ok(answer(match &question.prompt {
        PromptText::Text(text) => text,
        PromptText::Chat(chat) => chat.messages.last().expect("there is one").content(),
    }))
}

#[test]
fn every_task_is_asked_as_it_is_written_and_one_that_fails_says_why() {
    let tasks = read_tasks(THREE).expect("it is well-formed");
    let mut asked = Vec::new();
    let report = evaluate("m", &tasks, |question| {
        asked.push(question.clone());
        if asked.len() == 2 { Err("the queue is full".to_owned()) } else { echo(question) }
    });
    assert_eq!((report.passed, report.properties, report.tokens), (2, (3, 3), 6));
    assert_eq!(report.tasks[1].error.as_deref(), Some("the queue is full"));
    assert!(!report.tasks[1].passed);
    assert_eq!(report.interval, wilson(2, 3));
    assert_eq!((asked[0].label.as_str(), asked[1].label.as_str()), ("chat", "sum"));
    let params = &asked[0].params;
    assert_eq!((params.max_tokens, params.sampling.temperature, params.sampling.seed), (7, 0.5, 3));
    assert_eq!((asked[1].params.max_tokens, asked[1].params.sampling.temperature), (256, 0.0));
}

#[test]
fn another_system_prompt_takes_the_place_of_the_first() {
    let tasks = read_tasks(THREE).expect("it is well-formed");
    let roles = |index: usize| match tasks[index].question.with_system("other").prompt {
        PromptText::Chat(chat) => {
            assert_eq!(chat.messages[0].content(), "other");
            let role = |message| match message {
                ChatMessage::Said { role, .. } => Some(role),
                ChatMessage::Called { .. } | ChatMessage::Result { .. } => None,
            };
            chat.messages.into_iter().filter_map(role).collect::<Vec<_>>()
        }
        PromptText::Text(_) => Vec::new(),
    };
    assert_eq!(roles(0), [Role::System, Role::User]);
    assert_eq!(roles(1), [Role::System, Role::User]);
    assert_eq!(roles(2), []);
}

#[test]
fn two_runs_are_compared_task_by_task() {
    let tasks = read_tasks(THREE).expect("it is well-formed");
    let without = |silent: &'static [&'static str]| {
        evaluate("m", &tasks, move |question| {
            let said = echo(question)?;
            Ok(if silent.contains(&said.text.as_str()) { answer("") } else { said })
        })
    };
    let compare = |first, second| Comparison::of(&without(first), &without(second));
    let same = compare(&["1"], &["1"]);
    assert_eq!((same.verdict, same.p, same.lost.len() + same.won.len()), (Verdict::AsGood, 1.0, 0));
    let worse = compare(&["1"], &["1", "2"]);
    assert_eq!((worse.verdict, worse.lost.as_slice()), (Verdict::Worse, &["two".to_owned()][..]));
    assert!(!worse.allows(None), "it passes fewer");
    assert!(worse.allows(Some(0.05)), "one task is no proof");
    let other = compare(&["1"], &["2"]);
    assert_eq!((other.verdict, other.won.as_slice()), (Verdict::AsGood, &["one".to_owned()][..]));
    assert_eq!(compare(&["1", "2"], &["3"]).verdict, Verdict::Better);
}
