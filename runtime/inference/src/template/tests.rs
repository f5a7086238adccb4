//! Templates of the families, templates that misbehave, and any template at all.

use super::*;
use proptest::prelude::*;
use serde_json::Value as Json;
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

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
    check("{{ messages.absent.deeper }}", "undefined value");
    check("\n\n{{ absent.deeper }}", "(line 3)");
    check("{{ 'a' + 1 }}", "string + number is not possible (line 1)");
    check("{{ 2 ** 40 * 2 ** 99 }}", "the result is too large");
    check("{{ messages | frobnicate }}", "frobnicate");
    check("{{ messages is frobnicated }}", "frobnicated");
    check("{{ 'a'.frobnicate() }}", "string has no method frobnicate");
    check("{% include 'other' %}", "other templates, and blocks for them, are not supported");
    check("{% autoescape true %}{% endautoescape %}", "the tag autoescape is not supported");
    check("{{ range(*messages) }}", "arguments from a list or mapping (*, **) are not supported");
    check(&"x".repeat(SOURCE_BYTES_MAX + 1), "does not compile: it has more than 262144 bytes");
    check("{{ strftime_now('%Y') }}", "strftime_now");
}

/// What would take for ever, or all memory, or all of the stack. `tests/mutations` measures what such templates hold.
#[test]
fn ends_what_has_no_end() {
    let large = "has more than 4194304 bytes";
    check("{% for a in range(9999) %}{% for b in range(9999) %}{{ '' }}{% endfor %}{% endfor %}", "5000000 steps");
    check("{% for a in range(9999) %}{{ 'x' * 1000 }}{% endfor %}", "writes more than 4194304 bytes");
    check("{{ ([0] * (2 ** 61)) | list | length }}", "too much memory");
    check("{{ 'x' * (2 ** 40) }}", large);
    check("{{ '' * (2 ** 62) }}{{ [] * (2 ** 62) }}", "[]");
    check("{{ 'abc'.count('') }}", "4");
    check("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "recursion");
    check("{% for a in messages recursive %}{{ loop([a]) }}{% endfor %}", "recursion");
    let nested = "{% set ns = namespace(x=[]) %}{% for i in range(99999) %}{% set ns.x = [ns.x] %}{% endfor %}";
    check(nested, "nest deeper than 32 levels");
    for inner in ["ns", "loop", "range", "m"] {
        let around = "{% macro m() %}{% endmacro %}{% set ns = namespace() %}{% for i in [1] %}";
        for put in [
            "{% set ns.x = INNER %}",
            "{% set x = [INNER] %}",
            "{% set x = {'a': INNER} %}",
            "{{ namespace(a=INNER) }}",
        ] {
            check(
                &format!("{around}{}{{% endfor %}}", put.replace("INNER", inner)),
                "cannot be put into another value",
            );
        }
    }
    check(&format!("{{{{ {}1{} }}}}", "(".repeat(1000), ")".repeat(1000)), "more than 500 parts in one tag");
    check(&format!("{{{{ {}1{} }}}}", "(".repeat(240), ")".repeat(240)), "maximum recursion");
    check(&"{% if 1 %}".repeat(1000), "maximum recursion");
    check(&format!("{{{{ {}1 }}}}", "not ".repeat(1000)), "more than 500 parts in one tag");
    check(&format!("{{{{ 0{} }}}}", " + 1".repeat(240)), "240");
    check(&format!("{{{{ 'a'{} }}}}", "|upper".repeat(240)), "A");
    check(&format!("{{% if 0 %}}{}{{% endif %}}", "{% elif 0 %}".repeat(10_000)), "the 200th elif");
}

/// A thread that renders may have little stack left: the library calls itself for what stands inside each other, and has no limit
/// of its own for rows.
#[test]
fn the_deepest_template_takes_a_mebibyte_of_the_stack() {
    let parts = rewrite::TOKENS_MAX / 2 - 1;
    let row = format!("{{{{ 0{} }}}}", " + 1".repeat(parts));
    let chosen = format!("{{{{ {}1 }}}}", "1 if 0 else ".repeat(rewrite::TOKENS_MAX / 4 - 1));
    let negated = format!("{{{{ {}1 }}}}", "not ".repeat(rewrite::TOKENS_MAX - 2));
    let nested = format!("{}{row}{}", "{% if 1 %}".repeat(60), "{% endif %}".repeat(60));
    let alternatives = format!("{{% if 0 %}}{}{{% elif 1 %}}{row}{{% endif %}}", "{% elif 0 %}".repeat(199));
    let calls = format!("{{% macro m(n) %}}{nested}{{{{ m(n + 1) }}}}{{% endmacro %}}{{{{ m(0) }}}}");
    for source in [row, chosen, negated, nested, alternatives, calls] {
        let run = move || render(&source).map_err(|error| error.to_string());
        let ran = std::thread::Builder::new().stack_size(1 << 20).spawn(run).unwrap();
        let rendered = ran.join().unwrap();
        assert!(
            rendered.as_ref().map_or_else(|error| error.contains("recursion"), |text| !text.is_empty()),
            "{rendered:?}"
        );
    }
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

/// One construct at a time, as `snippets.py` had them rendered by Jinja2 itself; but for those, by name and result, that the
/// library renders otherwise, or not at all.
#[test]
fn every_construct_does_what_it_does_in_jinja2_or_is_known_to_differ() {
    let read = |name: &str| -> Vec<(String, Option<String>)> {
        serde_json::from_str(&std::fs::read_to_string(goldens().join(name)).unwrap()).unwrap()
    };
    let (snippets, differences) = (read("snippets.json"), read("differences.json"));
    let differences: HashMap<String, Option<String>> = differences.into_iter().collect();
    let rendered = |source: &str| {
        let messages = [(Role::System, "Be brief.".to_owned()), (Role::User, " Hi. ".to_owned())];
        ChatTemplate::new(source, Some("<s>"), None).and_then(|template| template.render(&messages))
    };
    let mut wrong = Vec::new();
    for (source, in_jinja2) in &snippets {
        let rendered = rendered(source);
        let expect = differences.get(source).unwrap_or(in_jinja2);
        let is_needless = differences.get(source) == Some(in_jinja2);
        if rendered.as_ref().ok() != expect.as_ref() || is_needless {
            wrong.push(format!("{source:?}: {rendered:?}, not {expect:?}"));
        }
    }
    assert!(wrong.is_empty() && snippets.len() > 400 && differences.len() < 60, "{}", wrong.join("\n"));
}

/// Parts of templates, which together are often one.
fn part() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "{{",
            "{% set ns.x = ",
            "ns.x",
            "{% set ns = namespace(x='a') %}",
            "{% for i in range(99) %}",
            "{% endfor %}",
            "{% break %}",
            "[1:",
            ":2]",
            "{'k': ",
            "}",
            "replace('', ns.x)",
            "map('upper')",
            "sort(attribute='role')",
            "dictsort",
            "indent(99)",
            "'%s%d' % ",
            "'{}{0}'.format",
            "loop",
            "**",
            "//",
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

/// The way of Hermes and Qwen, in short.
const KNOWS_TOOLS: &str = "{% if tools %}[tools]{% for tool in tools %}{{ tool | tojson }}{% endfor %}\n{% endif %}\
    {% for m in messages %}{% if m.role == 'tool' %}[<tool_response> {{ m.name }} {{ m.tool_call_id }} {{ m.content }}]\
    {% elif m.tool_calls %}[{{ m.role }} {{ m.content }}{% for call in m.tool_calls %}<tool_call>\
    {\"name\": {{ call.function.name | tojson }}, \"arguments\": {{ call.function.arguments | tojson }}}</tool_call>{% endfor %}]\
    {% else %}[{{ m.role }} {{ m.content }}]{% endif %}{% endfor %}";

fn with_tools(source: &str) -> String {
    use remit_abi::{Tool, ToolCall, ToolChoice, Toolset};
    use remit_kernel::ports::{Chat, ChatMessage};
    let tool = Tool { name: "add".into(), description: "Adds.".into(), parameters: r#"{"type": "object"}"#.into() };
    let tools = Some(std::sync::Arc::new(Toolset { tools: [tool].into(), choice: ToolChoice::Auto }));
    let calls = ["1", "2"].map(|id| ToolCall {
        id: id.into(),
        name: "add".into(),
        arguments: format!("{{\"b\": {id}, \"a\": [true]}}").into(),
    });
    let result = |id: &str| ChatMessage::Result { id: id.into(), name: "add".into(), content: format!("is {id}") };
    let messages = vec![
        ChatMessage::said(Role::User, "Hi"),
        ChatMessage::Called { content: "So.".to_owned(), calls: calls.to_vec() },
        result("1"),
        result("2"),
        ChatMessage::said(Role::User, "And?"),
    ];
    let (chat, template) = (Chat { messages, tools }, ChatTemplate::new(source, None, None).unwrap());
    let heard = Heard::new(&chat, template.calls()).unwrap();
    template.render_dialogue(&heard.dialogue(&template, &str::to_owned)).unwrap()
}

#[test]
fn tools_calls_and_results_come_in_the_form_that_a_template_knows() {
    let call =
        |id| format!("<tool_call>{{\"name\": \"add\", \"arguments\": {{\"b\": {id}, \"a\": [true]}}}}</tool_call>");
    let described = "{\"type\": \"function\", \"function\": {\"name\": \"add\", \"description\": \"Adds.\", \
                     \"parameters\": {\"type\": \"object\"}}}";
    let expect = format!(
        "[tools]{described}[user Hi][assistant So.{}{}][<tool_response> add 1 is 1][<tool_response> add 2 is 2][user And?]",
        call(1),
        call(2)
    );
    assert_eq!(with_tools(KNOWS_TOOLS), expect);
}

#[test]
fn a_template_that_knows_no_tools_is_told_in_words() {
    let told = with_tools("{% for m in messages %}[{{ m.role }} {{ m.content }}]{% endfor %}");
    let words = |id| format!("{{\"name\": \"add\", \"arguments\": {{\"b\": {id}, \"a\": [true]}}}}");
    let turns = format!(
        "[user Hi][assistant So.{}\n{}][user <tool_response>\nis 1\n</tool_response>\n<tool_response>\nis 2\n\
         </tool_response>\nAnd?]",
        words(1),
        words(2)
    );
    assert!(told.starts_with("[system You can call these tools:\n<tools>[{"), "{told}");
    assert!(told.ends_with(&turns), "{told}\n{turns}");
    // One that has no system either.
    let told = with_tools(
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}\
         [{{ m.role }} {{ m.content }}]{% endfor %}",
    );
    assert!(
        told.starts_with("[user You can call these tools:") && told.ends_with(&turns["[user Hi]".len()..]),
        "{told}"
    );
}
