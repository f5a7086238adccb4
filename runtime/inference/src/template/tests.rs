//! Templates of the families, templates that misbehave, and any template at all.

use super::*;
use proptest::prelude::*;
use serde_json::Value as Json;
use std::path::{Path, PathBuf};

fn render(source: &str) -> Result<String, TemplateError> {
    let messages = [(Role::System, "Be brief.".to_owned()), (Role::User, " Hi. ".to_owned())];
    ChatTemplate::new(source, Some("<s>"), None)?.render(&messages)
}

fn check(source: &str, expect: &str) {
    match render(source) {
        Ok(text) => assert_eq!(text, expect),
        Err(error) => assert!(error.to_string().contains(expect), "{error}"),
    }
}

#[test]
fn renders_as_transformers_does() {
    check(
        "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}]{{ m.content.strip() }}\n{% endfor %}",
        "<s>[system]Be brief.\n[user]Hi.\n",
    );
    check("  {% if add_generation_prompt %}\nyes\n  {% endif %}\n", "yes\n");
    check("{{ messages | length }}{{ messages[0].role == 'system' }}", "2True");
    check("{{ messages[1] | tojson }}", r#"{"role": "user", "content": " Hi. "}"#);
    check("{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}", "2");
}

#[test]
fn refuses_with_a_sentence() {
    check("{{ raise_exception('Roles must alternate.') }}", "Roles must alternate. (line 1)");
    check("{% for %}", "does not compile: ");
    check("{{ messages.absent.deeper }}", "undefined");
    check(
        "{% for a in range(9999) %}{% for b in range(9999) %}{{ '' }}{% endfor %}{% endfor %}",
        "more than 5000000 steps",
    );
    check("{% for a in range(9999) %}{{ 'x' * 1000 }}{% endfor %}", "writes more than 4194304 bytes");
    check("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "recursion");
    check("{% for a in messages recursive %}{{ loop([a]) }}{% endfor %}", "recursion");
    check("{{ ([0] * (2 ** 61)) | list | length }}", "too much memory");
    check("{{ 'x' * (2 ** 40) }}", "too large");
    check("{% include 'other' %}", "other");
    check(&"x".repeat(SOURCE_BYTES_MAX + 1), "does not compile: it has more than 1048576 bytes");
    check("{{ strftime_now('%Y') }}", "strftime_now");
}

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/templates")
}

fn source(name: &str) -> String {
    std::fs::read_to_string(goldens().join(format!("{name}.jinja"))).unwrap()
}

fn messages(conversation: &Json) -> Vec<(Role, String)> {
    let message = |message: &Json| {
        let role = match message["role"].as_str().unwrap() {
            "system" => Role::System,
            "assistant" => Role::Assistant,
            _ => Role::User,
        };
        (role, message["content"].as_str().unwrap().to_owned())
    };
    conversation.as_array().unwrap().iter().map(message).collect()
}

/// Every template of `tests/goldens/templates`, with every conversation there.
#[test]
fn the_families_templates_render_as_the_reference_does() {
    let file = std::fs::read_to_string(goldens().join("renderings.json")).unwrap();
    let goldens: Json = serde_json::from_str(&file).unwrap();
    let mut wrong = Vec::new();
    for (name, expected) in goldens["renderings"].as_object().unwrap() {
        let template = ChatTemplate::new(&source(name), Some("<s>"), Some("</s>")).unwrap();
        for (conversation, expect) in expected.as_object().unwrap() {
            let rendered = template.render(&messages(&goldens["conversations"][conversation]));
            let same = match (&rendered, expect["error"].as_str()) {
                (Ok(text), None) => expect["text"] == **text,
                (Err(error), Some(expect)) => error.to_string().starts_with(expect),
                _ => false,
            };
            if !same {
                wrong.push(format!("{name}, {conversation}: {rendered:?}, not {expect}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Parts of templates, which together are often one.
fn part() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "{{",
            "}}",
            "{%",
            "%}",
            "{#",
            "#}",
            "-%}",
            "{%-",
            " for m in messages ",
            " endfor ",
            " if ",
            " else ",
            " endif ",
            " set x = ",
            "messages",
            "[0]",
            "[-1:]",
            ".content",
            ".role",
            "'a'",
            "\"",
            "|",
            "trim",
            "tojson",
            "length",
            "join",
            "(",
            ")",
            "~",
            "+",
            "*",
            "9999999",
            "-1",
            "namespace()",
            "range(9)",
            "m",
            "x",
            "{% macro f() %}",
            "f()",
            "{% endmacro %}",
            "is defined",
            "loop.index0",
            ".split(x)",
            ".strip()",
            "\n",
            " ",
            "é",
        ])
        .prop_map(ToOwned::to_owned),
        ".{0,4}",
    ]
}

fn survive(source: &str) {
    if let Ok(template) = ChatTemplate::new(source, Some("<s>"), None) {
        let rendered = template.render(&[(Role::User, "Hi {{ x }}".to_owned()), (Role::Assistant, "é".to_owned())]);
        assert!(rendered.is_ok() || rendered.is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn any_parts_of_a_template_never_panic(parts in prop::collection::vec(part(), 0..24)) {
        survive(&parts.concat());
    }

    #[test]
    fn a_template_that_was_cut_and_joined_never_panics(which in 0usize..3, begin in any::<prop::sample::Index>(), end in any::<prop::sample::Index>()) {
        let source: Vec<char> = source(["qwen3", "mistral", "features"][which]).chars().collect();
        let (begin, end) = (begin.index(source.len()), end.index(source.len()));
        survive(&source[..begin].iter().chain(&source[end..]).collect::<String>());
    }
}
