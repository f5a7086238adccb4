mod random;

use crate::{
    Constraint, Ending, Format, GrammarError, Limits, Next, State, Token, Vocabulary, VocabularyError,
    testing::{Words, vocabulary},
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// What hostile formats may take: the fuel of [`Limits`] is some 20 ms, and this is for slow machines.
const COMPILE_MAX: Duration = Duration::from_secs(20);

fn compile(format: &Format) -> Result<Constraint, GrammarError> {
    Constraint::compile(&vocabulary(Words::Json), format, &Limits::default())
}

/// Whether a text is complete under a format, byte by byte.
fn is_complete(constraint: &Constraint, text: &str) -> bool {
    let mut state = constraint.begin();
    text.bytes().all(|byte| state.accept(u32::from(byte)).is_ok()) && state.may_end()
}

fn check(format: &Format, fit: &[&str], unfit: &[&str]) {
    let constraint = compile(format).expect("a constraint");
    for text in fit {
        assert!(is_complete(&constraint, text), "{format:?} refuses {text:?}");
    }
    for text in unfit {
        assert!(!is_complete(&constraint, text), "{format:?} takes {text:?}");
    }
}

#[test]
fn formats_take_what_fits_them() {
    check(&Format::Regex("[a-c]{2,3}x?".into()), &["ab", "abcx"], &["", "a", "abcd", "xab"]);
    check(&Format::Regex("a/b\\/c".into()), &["a/b/c"], &["a"]);
    let choices = ["yes", "no", "no way", "a.b/[c]\n\"é\"", "#{x}"];
    check(&Format::Choice(choices.map(str::to_owned).into()), &choices, &["", "n", "no wa", "axb/[c]\n\"é\""]);
    check(
        &Format::Grammar("start: item (\",\" item)*\nitem: /[0-9]+/ | \"(\" start \")\"".into()),
        &["1", "1,(2,3)"],
        &["(1", ","],
    );
    check(
        &Format::Json,
        &["null", "{}", "[1, {\"a\": \"b\"}]", "-1.5", "[[[[]]]]"],
        &["", "nul", "{a: 1}", "1e999", "[1,,2]"],
    );
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    check(&Format::Json, &[&deep(12)], &[&deep(13)]);
}

fn check_schema(schema: Value, fit: &[&str], unfit: &[&str]) {
    check(&Format::JsonSchema(schema), fit, unfit);
}

#[test]
fn schemas_are_bounded() {
    let digits = "1".repeat(16);
    check_schema(json!({ "type": "integer" }), &["0", "-5", &digits[1..]], &[&digits, "1.5", "1e3"]);
    check_schema(json!({ "type": "number" }), &["0.25", "-17"], &[&digits, "1e999"]);
    check_schema(json!({ "type": "integer", "minimum": 5e15 }), &["5000000000000000"], &["17"]);
    check_schema(json!({ "type": "integer", "maximum": 3 }), &["3", "-100"], &["4"]);
    let person = json!({ "type": "object", "properties": { "a": { "type": "integer" }, "b": {} }, "required": ["a"] });
    check_schema(
        person,
        &["{\"a\": 1}", "{\"a\":1,\"b\":[true]}"],
        &["{}", "{\"a\": 1, \"c\": 2}", "{\"\\u0061\": 1}"],
    );
    let open = json!({ "type": "object", "properties": { "a": { "type": "integer" } }, "required": ["z"] });
    check_schema(open, &["{\"z\": [1]}", "{\"a\": 1, \"z\": 2}"], &["{\"a\": 1}"]);
    check_schema(json!({ "type": "string", "format": "phone" }), &["\"x\""], &["x"]);
    check_schema(json!({ "type": "string", "format": "date" }), &["\"2024-02-29\""], &["\"x\""]);
    check_schema(json!({ "type": "array", "maxItems": 2 }), &["[]", "[1, null]"], &["[1,2,3]"]);
    let tree = json!({ "type": "object", "properties": { "next": { "$ref": "#" } } });
    check_schema(tree, &["{}", "{\"next\": {\"next\": {}}}"], &["{\"next\": 1}"]);
    let both = json!({ "allOf": [
        { "type": "object", "properties": { "a": { "type": "integer" } }, "required": ["a"] },
        { "type": "object", "properties": { "b": { "type": "integer" } }, "required": ["b"] },
    ] });
    check_schema(both, &["{\"a\": 1, \"b\": 2}"], &["{\"a\": 1}", "{\"b\": 1}"]);
    let spaces = " ".repeat(30);
    check_schema(json!({ "const": [1, 2] }), &["[1, 2]", "[\n  1,\n  2\n]"], &[&format!("[1,{spaces}2]"), "[1,  2]"]);
}

fn check_refused(format: &Format, is_right: impl Fn(&GrammarError) -> bool) {
    let begun = Instant::now();
    let error = match compile(format) {
        Err(error) => error,
        Ok(_) => panic!("{:.80} was taken", format!("{format:?}")),
    };
    assert!(begun.elapsed() < COMPILE_MAX, "{:?} for {error}", begun.elapsed());
    assert!(is_right(&error), "{error:?}");
    let text = error.to_string();
    assert!(text.len() < 400 && text.contains(';') && !text.contains('\n'), "{text}");
}

#[test]
fn what_cannot_be_held_to_is_refused_with_a_sentence() {
    use GrammarError as E;
    let schema = |schema: Value| Format::JsonSchema(schema);
    let unsatisfiable = |error: &E| matches!(error, E::Unsatisfiable { .. });
    check_refused(&schema(json!(false)), unsatisfiable);
    check_refused(&schema(json!({ "type": "string", "minLength": 3, "maxLength": 2 })), unsatisfiable);
    check_refused(&schema(json!({ "type": "string", "pattern": "^a$", "minLength": 2 })), unsatisfiable);
    check_refused(&schema(json!({ "allOf": [{ "type": "string" }, { "type": "integer" }] })), unsatisfiable);
    check_refused(&schema(json!({ "type": "integer", "minimum": 2, "maximum": 1 })), unsatisfiable);
    let unsupported = |error: &E| matches!(error, E::Unsupported { .. });
    check_refused(&schema(json!({ "type": "array", "uniqueItems": true })), unsupported);
    let either = json!({ "oneOf": [{ "type": "integer" }, { "type": "number" }] });
    check_refused(&schema(either), |error| unsupported(error) && !error.to_string().contains("Enable"));
    check_refused(&schema(json!({ "not": { "type": "string" } })), unsupported);
    check_refused(&schema(json!({ "$ref": "https://example.org/x" })), unsupported);
    let invalid = |error: &E| matches!(error, E::Invalid { .. });
    check_refused(&schema(json!({ "type": "text" })), invalid);
    check_refused(&schema(json!([1])), invalid);
    check_refused(&schema(json!({ "$ref": "#/$defs/missing" })), invalid);
    check_refused(&Format::Regex("(a".into()), invalid);
    check_refused(&Format::Regex("(?=a)b".into()), |error| matches!(error, E::Invalid { .. } | E::Unsupported { .. }));
    check_refused(&Format::Grammar("begin: \"a\"".into()), invalid);
    check_refused(&Format::Grammar("start: <|nobody|>".into()), invalid);
    check_refused(&Format::Grammar("start: <|im_end|> \"a\"".into()), unsatisfiable);
    let empty = |error: &E| matches!(error, E::Empty { .. });
    check_refused(&Format::Regex(String::new()), empty);
    check_refused(&Format::Grammar(" \n".into()), empty);
    check_refused(&Format::Choice(Vec::new()), empty);
    check_refused(&Format::Choice(vec!["a".into(), String::new()]), empty);
}

#[test]
fn what_is_too_large_is_refused_before_it_is_read() {
    use GrammarError as E;
    let too_long = |error: &E| matches!(error, E::TooLong { .. });
    let too_deep = |error: &E| matches!(error, E::TooDeep { .. });
    let long = "a".repeat(Limits::SOURCE_BYTES_MAX + 1);
    check_refused(&Format::Regex(long.clone()), too_long);
    check_refused(&Format::Grammar(long.clone()), too_long);
    check_refused(&Format::Choice(vec![long.clone()]), too_long);
    check_refused(&Format::JsonSchema(json!({ "const": long })), too_long);
    let too_wide = |error: &E| matches!(error, E::PatternTooLong { .. });
    let options = "a?".repeat(Limits::PATTERN_BYTES_MAX / 2 + 1);
    check_refused(&Format::Regex(options.clone()), too_wide);
    check_refused(&Format::JsonSchema(json!({ "type": "string", "pattern": options })), too_wide);
    let patterns: serde_json::Map<_, _> = (0..2_000).map(|index| (format!("^p{index}$"), json!(true))).collect();
    check_refused(&Format::JsonSchema(json!({ "patternProperties": patterns })), too_wide);
    let (b, c) = ("B ".repeat(70), "C ".repeat(70));
    check_refused(&Format::Grammar(format!("start: A\nA: {b}\nB: {c}\nC: \"a\"?")), too_wide);
    let items = (0..=Limits::CHOICES_MAX).map(|item| item.to_string());
    check_refused(&Format::Choice(items.collect()), |error| matches!(error, E::TooMany { .. }));
    let deep = (0..1_000).fold(json!({ "type": "null" }), |inner, _| json!({ "type": "array", "items": inner }));
    check_refused(&Format::JsonSchema(deep), too_deep);
    check_refused(&Format::Regex(format!("{}a{}", "(".repeat(5_000), ")".repeat(5_000))), too_deep);
    check_refused(&Format::Grammar(format!("start: {}\"a\"", "(".repeat(60_000))), too_deep);
}

/// Formats that are written to take long: they are refused, or taken with steps that end.
#[test]
fn bombs_end_within_their_limits() {
    let nested = |inner: &str, times: usize| (0..times).fold(inner.to_owned(), |inner, _| format!("({inner}{{50}})"));
    let wide: serde_json::Map<_, _> =
        (0..2_000).map(|index| (format!("p{index}"), json!({ "type": "string" }))).collect();
    let doubling: serde_json::Map<_, _> = (0..30)
        .map(|index| (format!("d{index}"), json!({ "allOf": [{ "$ref": format!("#/$defs/d{}", index + 1) }, { "$ref": format!("#/$defs/d{}", index + 1) }] })))
        .chain([("d30".to_owned(), json!({ "type": "object" }))])
        .collect();
    let ambiguous = "start: a+\na: \"x\" | a a | a a a";
    let long_rules: String = (0..5_000).map(|index| format!("r{index}: \"a\" r{} | \"b\"\n", index + 1)).collect();
    let formats = [
        Format::Regex(nested("a", 6)),
        Format::Regex("(.*a){25}.{25}".into()),
        Format::Regex("(a|aa|aaa)*b".repeat(1_000)),
        Format::Regex("(?:a?){400}a{400}".into()),
        Format::Regex(".{0,100000}x.{100000}".into()),
        Format::Regex("a?".repeat(1_000)),
        Format::Regex("(a?){20000}".into()),
        Format::Regex("((a?){100}){200}".into()),
        Format::Regex("(a?b?c?){7000}".into()),
        Format::Regex("((a|b)?c?){3000}((b|c)?){300}".into()),
        Format::Grammar(format!(
            "start: A\nA: B | {}\nB: {}\nC: {}\nD: \"a\"?",
            "B ".repeat(10),
            "C ".repeat(10),
            "D ".repeat(10)
        )),
        Format::Regex("a?".repeat(2_000)),
        Format::Regex("\\w{500}\\W{500}".repeat(20)),
        Format::Choice((0..Limits::CHOICES_MAX).map(|item| format!("{item:b}").repeat(8)).collect()),
        Format::JsonSchema(json!({ "type": "object", "properties": wide })),
        Format::JsonSchema(json!({ "$ref": "#/$defs/d0", "$defs": doubling })),
        Format::JsonSchema(json!({ "type": "array", "minItems": 100_000, "items": { "type": "null" } })),
        Format::JsonSchema(json!({ "type": "array", "maxItems": 1_000_000_000, "items": { "type": "null" } })),
        Format::JsonSchema(json!({ "type": "string", "maxLength": 1_000_000_000, "minLength": 999_999_999 })),
        Format::JsonSchema(json!({ "type": "string", "pattern": "^(([a-z])+.)+[A-Z]([a-z])+$", "minLength": 10_000 })),
        Format::JsonSchema(json!({ "enum": (0..20_000).collect::<Vec<_>>() })),
        Format::JsonSchema(json!({ "$ref": "#" })),
        Format::JsonSchema(json!({ "allOf": [{ "$ref": "#" }, { "$ref": "#" }] })),
        Format::JsonSchema(json!({ "type": "object", "patternProperties": { "^(a|b)*$": {}, "^(b|a)*c$": {} } })),
        Format::Grammar(ambiguous.into()),
        Format::Grammar(format!("start: r0\n{long_rules}r5000: \"c\"")),
        Format::Grammar("start: start \"a\" | start".into()),
        Format::Grammar("start: \"a\"{100000000}".into()),
    ];
    for format in formats {
        let begun = Instant::now();
        let name = format!("{format:?}").chars().take(70).collect::<String>();
        let outcome = match compile(&format) {
            Err(error) => {
                assert!(error.to_string().len() < 400, "{error}");
                format!("refused: {error}")
            }
            Ok(constraint) => {
                let mut state = constraint.begin();
                let mut steps = 0;
                while let Next::Among(mask) = state.allowed() {
                    let token = mask.tokens().next().expect("a token");
                    steps += 1;
                    if steps > 20 || state.accept(token).is_err() {
                        break;
                    }
                }
                format!("{steps} steps, {:?}", state.ending())
            }
        };
        println!("{:>8.1?} {name}: {outcome}", begun.elapsed());
        assert!(begun.elapsed() < COMPILE_MAX, "{:?} for {name}", begun.elapsed());
    }
}

#[test]
fn a_state_says_whether_it_may_end() {
    let constraint = compile(&Format::Regex("ab*".into())).expect("a constraint");
    let vocabulary = vocabulary(Words::Json);
    let end = vocabulary.ends()[0];
    let mut state = constraint.begin();
    assert!(!state.may_end());
    assert!(state.accept(end).is_err());
    assert!(state.accept(u32::from(b'b')).is_err());
    assert!(state.accept(u32::MAX).is_err());
    assert_eq!(state.forced(), b"a");
    assert_eq!(state.accept_all(&[97, 98, 98, 99]), 3);
    assert!(state.may_end() && state.ending().is_none());
    let Next::Among(mask) = state.allowed() else { panic!("it goes on") };
    assert_eq!(mask.tokens().collect::<Vec<_>>(), [98, end]);
    assert_eq!(mask.count(), 2);
    let mut logits = vec![1.0; vocabulary.size() + 40];
    mask.apply(&mut logits);
    let finite = logits.iter().enumerate().filter(|(_, logit)| logit.is_finite()).map(|(id, _)| id as u32);
    assert_eq!(finite.collect::<Vec<_>>(), [98, end]);
    state.accept(end).expect("it may end");
    assert_eq!(state.ending(), Some(Ending::Complete));
    assert!(state.accept(98).is_err());
    state.rollback(2);
    assert_eq!(state.ending(), None);
    state.accept(98).expect("it goes on");
    state.rollback(100);
    assert_eq!(state.forced(), b"a");
}

#[test]
fn a_complete_text_ends_by_itself() {
    let constraint = compile(&Format::Choice(vec!["ab".into()])).expect("a constraint");
    let mut state = constraint.begin();
    assert_eq!(state.accept_all(&[97, 98]), 2);
    assert_eq!(state.ending(), Some(Ending::Complete));
    assert!(state.may_end());
    state.rollback(1);
    assert_eq!(state.ending(), None);
    assert_eq!(state.accept_all(&[98]), 1);
}

#[test]
fn what_cannot_be_spelt_ends_as_stuck() {
    let tokens = [Token::Text(b"a"), Token::Text(b"b"), Token::Control("<end>")];
    let vocabulary = Vocabulary::new(tokens, &[2]).expect("a vocabulary");
    let constraint = Constraint::compile(&vocabulary, &Format::Regex("abc".into()), &Limits::default());
    let mut state = constraint.expect("a constraint").begin();
    assert_eq!(state.accept_all(&[0, 1]), 2);
    assert_eq!(state.ending(), Some(Ending::Stuck));
    assert!(!state.may_end());
    let none = Constraint::compile(&vocabulary, &Format::Regex("c".into()), &Limits::default());
    assert!(matches!(none, Err(GrammarError::Unsatisfiable { .. })), "{none:?}");
}

#[test]
fn vocabularies_are_checked() {
    let check = |tokens: Vec<Token<'_>>, ends: &[u32], expected: VocabularyError| {
        assert_eq!(Vocabulary::new(tokens, ends).err(), Some(expected));
    };
    check(Vec::new(), &[0], VocabularyError::Size(0));
    check(vec![Token::Unused], &[], VocabularyError::End(None));
    check(vec![Token::Unused], &[1], VocabularyError::End(Some(1)));
    check(vec![Token::Text(&[b'a'; 1025])], &[0], VocabularyError::Length(0));
    let vocabulary = vocabulary(Words::Marks);
    let mark = vocabulary.control("<tool_call>").expect("a mark");
    assert_eq!(vocabulary.written(mark), b"<tool_call>");
    assert_eq!(vocabulary.written(65), b"A");
    assert_eq!(vocabulary.written(255), b"\xff");
    assert_eq!(vocabulary.written(u32::MAX), b"");
    assert_eq!(vocabulary.control("<tool"), None);
}

#[test]
fn twins_are_allowed_alike_and_control_tokens_are_no_text() {
    let vocabulary = vocabulary(Words::Marks);
    let constraint = Constraint::compile(&vocabulary, &Format::Regex("(?s:.*)".into()), &Limits::default());
    let mut state = constraint.expect("a constraint").begin();
    let Next::Among(mask) = state.allowed() else { panic!("it goes on") };
    let names: Vec<u32> = mask.tokens().filter(|token| vocabulary.written(*token) == b"name").collect();
    assert_eq!(names.len(), 2);
    assert!(!mask.allows(vocabulary.control("<tool_call>").expect("a mark")));
    assert!(mask.allows(vocabulary.ends()[0]));
    for name in names {
        state.accept(name).expect("a token of the mask");
    }
}

#[test]
fn threads_share_constraints() {
    fn is_shared<T: Send + Sync + Clone>() {}
    fn is_sent<T: Send>() {}
    is_shared::<Constraint>();
    is_shared::<Vocabulary>();
    is_sent::<State>();
}
