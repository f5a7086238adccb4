//! Chat templates that want more than there is: what one holds while it renders, and what one holds when it is compiled, are bounded
//! whatever it says. The counts are the allocator's, not the template engine's own.

use super::{Change, allocation, change, mutated};
use proptest::{collection::vec, prelude::*};
use remit_abi::Role;
use remit_inference::template::{ChatTemplate, MEMORY_BYTES_MAX};
use std::{
    sync::Once,
    time::{Duration, Instant},
};

/// Bytes that a rendering may hold: what it may hold by its own count, half of it again while a text that grows is copied,
/// and a prompt's worth of tables.
const RENDERED_MAX: i64 = MEMORY_BYTES_MAX as i64 * 3 / 2 + (1 << 20);
/// Bytes that a compiled template may hold for each byte of its text: a statement or expression of two bytes, in a list with
/// room for as many again.
const COMPILED_PER_BYTE_MAX: i64 = 128;
/// And for none.
const COMPILED_MAX: i64 = 64 * 1024;
/// How long a rendering may take: more than ten times what the worst of them takes on two busy cores.
const RENDERED_FOR_MAX: Duration = Duration::from_secs(10);
/// Some seconds.
const CASES: u32 = 8_192;

/// What all templates share is made with the first.
fn make_shared() {
    static MADE: Once = Once::new();
    MADE.call_once(|| {
        let template = ChatTemplate::new("{{ messages | length }}", None, None);
        drop(template.and_then(|template| template.render(&[(Role::User, String::new())])));
    });
}

/// Compiles a template and renders it, or not; the error where there is one.
fn check(source: &str) -> Option<String> {
    make_shared();
    let mut compiled = None;
    let held = allocation::most_during(|| compiled = Some(ChatTemplate::new(source, Some("<s>"), None)));
    let limit = COMPILED_MAX + COMPILED_PER_BYTE_MAX * source.len() as i64;
    assert!(held <= limit, "{held} bytes for a template of {}, and at most {limit} are accepted", source.len());
    let template = match compiled? {
        Ok(template) => template,
        Err(error) => return Some(error.to_string()),
    };
    let messages = [(Role::User, "Hi {{ x }}".repeat(10)), (Role::Assistant, "é".to_owned())];
    let mut rendered = None;
    let begun = Instant::now();
    let held = allocation::most_during(|| rendered = Some(template.render(&messages)));
    assert!(begun.elapsed() <= RENDERED_FOR_MAX, "{:?}: {source}", begun.elapsed());
    assert!(held <= RENDERED_MAX, "{held} bytes, and at most {RENDERED_MAX} are accepted: {source}");
    rendered?.err().map(|error| error.to_string())
}

/// Does this forty times, in a row and in a loop.
fn forty(step: &str) -> [String; 2] {
    let begin = "{% set ns = namespace(x='ab', l=['ab'], d={'k': 'ab'}) %}";
    [
        format!("{begin}{}{{{{ ns.x | length }}}}", step.repeat(40)),
        format!("{begin}{{% for i in range(99999) %}}{step}{{% endfor %}}{{{{ ns.x | length }}}}"),
    ]
}

#[test]
fn a_template_that_doubles_something_ends_within_the_limit() {
    for step in [
        "{% set ns.x = ns.x ~ ns.x %}",
        "{% set ns.x = ns.x + ns.x %}",
        "{% set ns.x = ns.x * 2 %}",
        "{% set ns.x = ns.x | replace('', ns.x) %}",
        "{% set ns.x = ns.x.replace('a', 'aa') %}",
        "{% set ns.x = [ns.x, ns.x] | join(ns.x) %}",
        "{% set ns.x = ns.x.join([ns.x, ns.x]) %}",
        "{% set ns.x = '%s%s' | format(ns.x, ns.x) %}",
        "{% set ns.x = '{0}{0}'.format(ns.x) %}",
        "{% set ns.x = ns.x | indent(ns.x | length, true) %}",
        "{% set ns.x = [ns.x, ns.x] | tojson %}",
        "{% set ns.x = [ns.x, ns.x] | tojson(indent=16) %}",
        "{% set ns.x = [ns.x, ns.x] | string %}",
        "{% set ns.x = (ns.x ~ 'ß') | upper %}{% set ns.x = ns.x ~ ns.x %}",
        "{% set ns.x = (ns.x ~ '<') | escape %}{% set ns.x = ns.x + ns.x %}",
        "{% set ns.x %}{{ ns.x }}{{ ns.x }}{% endset %}",
        "{% set ns.x %}{% filter upper %}{{ ns.x }}{{ ns.x }}{% endfilter %}{% endset %}",
        "{% set ns.l = ns.l + ns.l %}",
        "{% set ns.l = ns.l * 2 %}",
        "{% set ns.l = (ns.l * 2) | sort %}",
        "{% set ns.l = (ns.l * 2) | map('upper') | list %}",
        "{% set ns.l = (ns.l * 2)[::-1] %}",
        "{% set ns.x = ns.x ~ ns.x %}{% set ns.l = ns.x | list %}",
        "{% set ns.x = ns.x ~ ' ' ~ ns.x %}{% set ns.l = ns.x.split() %}",
        "{% set ns.d = {'a': ns.d, 'b': ns.d} %}{% set ns.x = ns.d | tojson %}",
        "{% set ns.l = [ns.l, ns.l] %}{% set ns.x = ns.l | string %}",
        "{% set ns.l = [ns.l, ns.l] %}{% set ns.b = ns.l == [ns.l] %}",
        "{% set ns.l = [ns.l, ns.l] %}{{ ns.l }}",
        "{% set ns.l = [ns.l, ns.l] %}{% set ns.b = ns.l in [[ns.l]] %}",
        "{% macro m(x) %}{{ x }}{{ x }}{% endmacro %}{% set ns.x = m(ns.x) %}",
    ] {
        for source in forty(step) {
            let error = check(&source).unwrap_or_else(|| panic!("it came to an end: {source}"));
            let limits =
                ["too much memory", "more than 5000000 steps", "works through", "nest deeper", "4194304 bytes"];
            assert!(limits.iter().any(|limit| error.contains(limit)), "{error}: {source}");
        }
    }
}

#[test]
fn a_template_that_makes_much_at_once_ends_within_the_limit() {
    for source in [
        "{{ 'ab' * (2 ** 62) }}",
        "{{ ['ab'] * (2 ** 62) }}",
        "{{ range(99999) | list * 99999 }}",
        "{{ 'x' in [0] * (2 ** 60) }}",
        "{{ ([0] * (2 ** 60)) | length }}",
        "{{ 'a' | indent(2 ** 62, true) }}",
        "{{ '%.999999999f' | format(1.5) }}",
        "{{ '%*d' | format(999999999, 1) }}",
        "{{ '{:>999999999}'.format('a') }}",
        "{% set s = 'ab' * 2000000 %}{% for i in range(99999) %}{{ s == s ~ '' }}{% endfor %}",
        "{% set s = 'ab' * 2000000 %}{% for i in range(99999) %}{% if s[3999999] %}{% endif %}{% endfor %}",
        "{% set s = 'ab' * 2000000 %}{% for i in range(99999) %}{% for c in s %}{% break %}{% endfor %}{% endfor %}",
        "{{ ('ab' * 2000000).strip('xyz' * 1000000) }}",
        "{{ ('a ' * 2000000).split() | length }}",
        "{% for i in range(99999) %}{% for j in range(99999) if j %}{% endfor %}{% endfor %}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{{ 'abcdefgh' }}{% endfor %}{% endfor %}",
        "{% set x %}{% for a in range(99999) %}{% for b in range(99999) %}abcdefgh{% endfor %}{% endfor %}{% endset %}",
        "{% macro m(n) %}{{ m(n ~ n) }}{{ m(n ~ n) }}{% endmacro %}{{ m('abcdefgh') }}",
        "{% for a in ['abcdefgh'] recursive %}{{ loop([a ~ a, a]) }}{% endfor %}",
        "{% set ns = namespace(s='') %}{% for i in range(99999) %}{% set ns.s = ns.s ~ 'abcdefgh' ~ i %}{% endfor %}",
        "{% set ns = namespace(d={}) %}{% for i in range(99999) %}{% set ns.d = dict(ns.d, k=i) %}{% set ns.d = [ns.d] %}{% endfor %}",
    ] {
        assert!(check(source).is_some(), "it came to an end: {source}");
    }
}

#[test]
fn names_calls_and_templates_of_every_form_are_bounded() {
    let names = |count: usize| (0..count).map(|name| format!("{{% set v{name} = 'x' %}}")).collect::<String>();
    check(&format!("{{% macro m() %}}{}{{{{ m() }}}}{{% endmacro %}}{{{{ m() }}}}", names(9_000)));
    for dense in
        ["a|b", "[1]", "{{a}}", "a.b", "-a", "'a'", "1,", "a,", "{#a#}", "{%set a=b%}", "{%if a%}{%endif%}", "\n", "{"]
    {
        let row = dense.repeat((200 << 10) / dense.len());
        check(&row);
        check(&format!("{{{{ [{row}] }}}}"));
        check(&format!("{{{{ a.{row} }}}}"));
        check(&format!("{{{{ f({row}) }}}}"));
    }
}

fn template() -> String {
    std::fs::read_to_string("tests/goldens/templates/features.jinja").unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(super::cases(CASES)))]

    #[test]
    fn changed_templates_are_survived(changes in vec(change(), 1..8)) {
        let changes: Vec<Change> = changes.into_iter().filter(|change| !matches!(change, Change::Number(..))).collect();
        let changed = mutated(template().into_bytes(), &changes);
        check(&String::from_utf8_lossy(&changed));
    }
}
