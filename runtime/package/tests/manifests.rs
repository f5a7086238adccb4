//! What a manifest says, what it must not say, and how its author is told.

use proptest::{prelude::*, sample::Index};
use remit_abi::{Access, GrantKind, Integrity, Rate, Tokens};
use remit_package::{
    Budget, Ceiling, Expiry, Manifest, ManifestError, Priority, Problem, Restart, RestartPolicy, Storm, explain,
};

const WHOLE: &str = r#"
name = "clerk"
version = "1.2.0"
description = "Answers letters."
component = "clerk.wasm"
priority = "low"

[[wants.models]]
label = "chat"
max_tokens_per_call = 512
ceiling = { integrity = "untrusted", tags = ["letters"] }

[[wants.http]]
label = "post-office"
hosts = ["api.example.com"]
access = "read-write"
uses = 100
rate = "60/minute"
expires = "30d"
reason = "It posts\nthe answers."
optional = true

[[wants.models]]
label = "judge"
names = ["small", "large"]

[[wants.processes]]
label = "helper"
agents = ["reader"]
children_max = 2

[[wants.files]]
label = "letters"
paths = ["inbox"]

[budget]
tokens = 2000
soft = 200

[limits]
memory_bytes_max = 1048576

[restart]
policy = "on-failure"
backoff_ms = 500
storm = { restarts = 3, within_ms = 10000 }
"#;

fn whole() -> Manifest {
    match Manifest::parse(WHOLE) {
        Ok(manifest) => manifest,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_whole_manifest_is_read() {
    let manifest = whole();
    assert_eq!((manifest.name.as_str(), manifest.version.to_string().as_str()), ("clerk", "1.2.0"));
    assert_eq!(manifest.priority, Priority::Low);
    assert_eq!(manifest.budget, Budget { tokens: 2000, soft: Some(200) });
    assert_eq!(manifest.budget.amount().map(|amount| amount.to_string()).as_deref(), Ok("2000"));
    assert_eq!(manifest.budget.soft_amount().ok().flatten().map(Tokens::micro), Some(200_000_000));
    assert_eq!(manifest.limits.memory_bytes_max, 1 << 20);
    assert_eq!(manifest.limits.objects_max, Manifest::bare("", "").limits.objects_max);
    let storm = Storm { restarts: 3, within_ms: 10_000 };
    let restart = Restart { policy: RestartPolicy::OnFailure, backoff_ms: 500, backoff_max_ms: 60_000, storm };
    assert_eq!(manifest.restart, restart);
}

#[test]
fn wants_keep_the_order_of_the_text() {
    let manifest = whole();
    let labels: Vec<_> = manifest.wants.iter().map(|want| want.label.as_str()).collect();
    assert_eq!(labels, ["chat", "post-office", "judge", "helper", "letters"]);
    let [chat, post, judge, helper, letters] = manifest.wants.as_slice() else { panic!("five wants") };
    assert_eq!((chat.kind, &chat.scope, chat.limits.max_tokens_per_call), (GrantKind::Model, &None, Some(512)));
    let ceiling = Ceiling { integrity: Integrity::Untrusted, tags: vec!["letters".to_owned()] };
    assert_eq!(chat.limits.ceiling, Some(ceiling));
    assert_eq!((post.kind, post.access, post.optional), (GrantKind::Http, Access::ReadWrite, true));
    assert_eq!(post.limits.uses, Some(100));
    assert_eq!(post.limits.rate, Some(Rate { uses: 60, per_ms: 60_000 }));
    assert_eq!(post.limits.expires, Some(Expiry::After { ms: 30 * 86_400_000 }));
    assert_eq!(post.reason.as_deref(), Some("It posts the answers."));
    assert_eq!(judge.scope.as_ref().map(|scope| scope.entries().len()), Some(2));
    assert_eq!((helper.children_max, helper.access), (Some(2), Access::ReadWrite));
    assert_eq!((letters.access, letters.optional), (Access::ReadOnly, false));
}

/// What the author of a changed manifest is told, problem by problem.
fn problems(text: &str) -> Vec<Problem> {
    match Manifest::parse(text) {
        Err(ManifestError::Wrong { problems, .. }) => problems,
        Err(error) => panic!("{error}"),
        Ok(_) => Vec::new(),
    }
}

/// Checks the one sentence that a change of the whole manifest leads to.
fn check(from: &str, to: &str, expect: &str) {
    assert!(WHOLE.contains(from), "{from}");
    let told: Vec<_> = problems(&WHOLE.replacen(from, to, 1)).iter().map(ToString::to_string).collect();
    assert_eq!(told, [expect]);
}

#[test]
fn unknown_keys_name_the_nearest() {
    check(
        "[[wants.models]]\nlabel = \"judge\"\nnames = [\"small\", \"large\"]",
        "[[wants.modles]]",
        "line 23: unknown key `modles` in [wants]: did you mean `models`?",
    );
    check(
        "tokens = 2000",
        "tokens = 2000\ntoken = 1",
        "line 38: unknown key `token` in [budget]: did you mean `tokens`?",
    );
    check("[budget]", "[budget]\ngpu = 1", "line 37: unknown key `gpu` in [budget]: there are `soft`, `tokens`");
    check(
        "paths = [\"inbox\"]",
        "paths = [\"inbox\"]\nchildren_max = 1",
        "line 35: unknown key `children_max` in [[wants.files]]: \
         there are `access`, `ceiling`, `expires`, `label`, `optional`, `paths`, `rate`, `reason`, `uses`",
    );
    check(
        "\"untrusted\", tags",
        "\"untrusted\", tag",
        "line 11: unknown key `tag` in [wants.models.ceiling]: did you mean `tags`?",
    );
}

#[test]
fn look_alikes_are_refused_by_character() {
    check(
        "name = \"clerk\"",
        "name = \"сlerk\"",
        "line 2: `name` is \"сlerk\", whose `с` (U+0441) only looks like `c`",
    );
    check(
        "api.example.com",
        "аpi.example.com",
        "line 15: `wants.http[0].hosts` names \"аpi.example.com\", whose `а` (U+0430) only looks like `a`",
    );
    check(
        "[limits]",
        "[limits]\n\"objeсts_max\" = 1",
        "line 41: unknown key `objeсts_max`, whose `с` (U+0441) only looks like `c`, in [limits]: did you mean `objects_max`?",
    );
    check(
        "soft = 200",
        "sоft = 200",
        "line 38: this is no TOML: invalid unquoted key, expected letters, numbers, `-`, `_`, \
         in a word whose `о` (U+043E) only looks like `o`",
    );
    check(
        "tags = [\"letters\"]",
        "tags = [\"lett\u{200b}ers\"]",
        "line 11: `wants.models[0].ceiling.tags` names \"lett\\u{200b}ers\", which holds the invisible character U+200B",
    );
}

#[test]
fn numbers_out_of_range_and_wrong_types_are_one_sentence() {
    let tokens = "line 37: `budget.tokens` must be a whole number from 1 to 18446744073709, and is";
    check("tokens = 2000", "tokens = 18446744073709551616", &format!("{tokens} 18446744073709551616"));
    check("tokens = 2000\nsoft = 200", "tokens = -1", &format!("{tokens} -1"));
    check("tokens = 2000", "tokens = \"many\"", &format!("{tokens} \"many\""));
    check("tokens = 2000", "tokens = 2e3", &format!("{tokens} the number 2e3, which is not whole"));
    check(
        "memory_bytes_max = 1048576",
        "memory_bytes_max = 268435457",
        "line 41: `limits.memory_bytes_max` must be a whole number from 0 to 268435456 \
         (268435456 is the host's limit, which a manifest can only lower), and is 268435457",
    );
    check("optional = true", "optional = 1", "line 21: `wants.http[0].optional` must be true or false, and is 1");
    check(
        "hosts = [\"api.example.com\"]",
        "hosts = \"api.example.com\"",
        "line 15: `wants.http[0].hosts` must be a list of 1 to 32 texts, and is \"api.example.com\"",
    );
    check(
        "\"read-write\"",
        "\"write\"",
        "line 16: `wants.http[0].access` must be \"read-only\" or \"read-write\", and is \"write\"",
    );
    check(
        "policy = \"on-failure\"",
        "policy = 1979-05-27",
        "line 44: `restart.policy` must be \"never\" or \"on-failure\" or \"always\", and is the date or time 1979-05-27",
    );
}

#[test]
fn what_contradicts_itself_is_told() {
    check(
        "soft = 200",
        "soft = 2000",
        "line 38: `budget.soft` is 2000, and must be below `budget.tokens`, which is 2000",
    );
    check(
        "backoff_ms = 500",
        "backoff_ms = 60001",
        "line 43: `restart.backoff_max_ms` is 60000, and must not be below `restart.backoff_ms`, which is 60001",
    );
    check(
        "label = \"letters\"",
        "label = \"chat\"",
        "line 33: `wants.files[0].label` is another want's label too: a label names one right",
    );
    check(
        "names = [\"small\"",
        "name = \"small\"\nnames = [\"small\"",
        "line 25: `wants.models[1].name` and `names` say the same: keep one of them",
    );
    check(
        "version = \"1.2.0\"",
        "version = \"1.2\"",
        "line 3: `version` is \"1.2\", which is no semantic version: \
         unexpected end of input while parsing minor version number; write one such as 1.0.0",
    );
    check(
        "clerk.wasm",
        "../clerk.wasm",
        "line 5: `component` is \"../clerk.wasm\", and must be the name of a file beside it, without a folder",
    );
    check("paths = [\"inbox\"]", "", "line 32: [[wants.files]] has no `paths`, which it needs");
    check(
        "rate = \"60/minute\"",
        "rate = \"60/min\"",
        "line 18: `wants.http[0].rate` is \"60/min\", which is no rate: write one such as 60/minute; \
         there are second, minute, hour and day",
    );
    check(
        "expires = \"30d\"",
        "expires = 2030-01-01",
        "line 19: `wants.http[0].expires` is \"2030-01-01\", which is no end: \
         write a time after the start such as 30d, or a moment such as 2027-01-31T12:00:00Z",
    );
}

#[test]
fn all_is_told_at_once_and_not_without_end() {
    let several = WHOLE.replace("tokens = 2000", "tokens = 0").replace("priority", "prioritie").replace("60/", "/");
    assert_eq!(problems(&several).iter().map(|problem| problem.line).collect::<Vec<_>>(), [6, 18, 37]);
    let many: String = (0..40).map(|index| format!("key{index} = 1\n")).collect();
    let Err(ManifestError::Wrong { problems, more }) = Manifest::parse(&many) else { panic!("none of these is a key") };
    assert_eq!((problems.len(), more), (16, 27));
    let wants = |count: usize| -> String {
        let want = |index| format!("[[wants.models]]\nlabel = \"l{index}\"\n");
        (0..count).map(want).collect()
    };
    assert_eq!(problems_of_wants(&wants(64)), Vec::<String>::new());
    assert_eq!(
        problems_of_wants(&wants(65)),
        ["line 4: `wants.models` must be a list of at most 64 tables, and is a list of 65"]
    );
    let tools: String =
        (0..33).map(|index| format!("[[wants.tools]]\nlabel = \"t{index}\"\ntools = [\"t\"]\n")).collect();
    let asked = problems_of_wants(&(wants(32) + &tools));
    assert_eq!(asked, ["line 164: there are 65 rights in [wants], and 64 are the most"]);
    assert!(!self::problems(&" ".repeat(70_000)).is_empty());
}

fn problems_of_wants(wants: &str) -> Vec<String> {
    let head = "name = \"clerk\"\nversion = \"1.0.0\"\ncomponent = \"clerk.wasm\"\n";
    problems(&format!("{head}{wants}")).iter().map(ToString::to_string).collect()
}

/// Whatever the text, the parser answers: a manifest that can be explained, or problems that can be read.
fn answers(text: &str) {
    let is_clean = |line: &str| !line.chars().any(char::is_control);
    match Manifest::parse(text) {
        Ok(manifest) => assert!(explain(&manifest).iter().all(|sentence| is_clean(&sentence.text))),
        Err(ManifestError::Wrong { problems, .. }) => {
            assert!((1..=16).contains(&problems.len()));
            let lines = text.bytes().filter(|byte| *byte == b'\n').count() + 1;
            for Problem { line, text } in problems {
                assert!((1..=lines).contains(&line) && is_clean(&text), "{line}: {text}");
            }
        }
        Err(error) => panic!("{error}"),
    }
}

/// A piece that is put into a manifest, or in the place of one.
fn piece() -> impl Strategy<Value = String> {
    const ODD: &[&str] = &[
        "=",
        "\"",
        "'''",
        "[",
        "]",
        "[[",
        "{",
        "}",
        ",",
        "\n",
        "#",
        ".",
        "-1",
        "1e400",
        "nan",
        "true",
        "\\u0000",
        "\u{202e}",
        "0xffffffffffffffffffffffffffffffffffffff",
        "9999-12-31T23:59:60Z",
        "wants",
        "[wants.models]",
        "а",
        "\u{0}",
        "label = \"chat\"",
        "[[wants.files]]",
        "expires = \"99999999999999999w\"",
        "rate = \"4294967296/day\"",
        "\"*\"",
    ];
    prop_oneof![prop::sample::select(ODD).prop_map(str::to_owned), "(?s).{0,12}"]
}

#[test]
fn no_depth_and_no_length_makes_it_panic() {
    const MANY: usize = 60_000;
    answers(&format!("a = {}", "[".repeat(MANY)));
    answers(&format!("a = {}", "{a=".repeat(MANY / 3)));
    answers(&format!("{}a = 1", "a.".repeat(MANY / 2)));
    answers(&format!("[{}a]", "a.".repeat(MANY / 2)));
    answers(&format!("[[{}a]]", "a.".repeat(MANY / 2)));
    answers(&format!("limits.{}a = 1", "a.".repeat(MANY / 2)));
    answers(&"[[wants.files]]\n".repeat(MANY / 16));
    answers(&(0..MANY / 8).map(|index| format!("{index} = 1\n")).collect::<String>());
    answers(&format!("name = \"{}\"", "а".repeat(MANY / 2)));
    answers(&format!("{} = 1", "a".repeat(MANY)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        answers(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_change_of_a_manifest_makes_it_panic(
        changes in prop::collection::vec((any::<Index>(), 0_usize..24, piece()), 1..6),
    ) {
        let mut text: Vec<char> = WHOLE.chars().collect();
        for (place, removed, piece) in changes {
            let start = place.index(text.len() + 1);
            let end = (start + removed).min(text.len());
            text.splice(start..end, piece.chars());
        }
        answers(&text.into_iter().collect::<String>());
    }

    #[test]
    fn no_value_of_a_key_makes_it_panic(line in any::<Index>(), value in piece()) {
        let keys: Vec<_> = WHOLE.lines().filter_map(|line| line.split_once(" = ")).collect();
        let (key, old) = keys[line.index(keys.len())];
        answers(&WHOLE.replacen(&format!("{key} = {old}"), &format!("{key} = {value}"), 1));
    }
}
