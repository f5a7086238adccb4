//! What a package may ask for: every limit of a bound, what wants share of it, and that more policies never let more through.

mod kit;

use kit::{MANIFEST, RULE, expect, judged, now, package, policy, read};
use proptest::prelude::*;
use remit_package::{Evidence, Verdict, verify};

/// What one policy's rights say of one package's wants.
fn judge(wants: &str, grants: &str) -> Verdict {
    let manifest = format!("name = \"a\"\nversion = \"1.0.0\"\ncomponent = \"a.wasm\"\n{wants}");
    let rule = format!("[[packages]]\nnames = [\"a\"]\nunsigned = true\ntokens_max = 1000\n{grants}");
    judged(&package(&manifest), None, &rule)
}

/// A want and a bound of one kind, each with its keys.
#[track_caller]
fn check(kind: &str, want: &str, bound: &str, failures: &[&str]) {
    let wants = format!("[[wants.{kind}]]\nlabel = \"it\"\n{}", want.replace("; ", "\n"));
    expect(&judge(&wants, &format!("[[packages.grants.{kind}]]\n{}", bound.replace("; ", "\n"))), failures);
}

#[test]
fn scopes_are_within_or_the_difference_is_told() {
    let a = r#"hosts = ["a.example"]"#;
    check("http", a, r#"hosts = ["*.example"]"#, &[]);
    check("http", a, a, &[]);
    check(
        "http",
        r#"hosts = ["*.example"]"#,
        a,
        &[r#"the want "it" asks for http "*.example", and it may have hosts "a.example" to look"#],
    );
    check("http", r#"hosts = ["a.example", "b.example"]"#, a, &[r#"asks for http "b.example""#]);
    check("files", r#"paths = ["docs/in"]"#, r#"paths = ["docs"]"#, &[]);
    check("files", r#"paths = ["docs-in"]"#, r#"paths = ["docs"]"#, &[r#"asks for file "docs-in""#]);
    check(
        "files",
        r#"paths = ["docs"]; access = "read-write""#,
        r#"paths = ["."]"#,
        &["asks to change what it opens, and it may look only"],
    );
    expect(
        &judge("[[wants.tools]]\nlabel = \"it\"\ntools = [\"x\"]", ""),
        &[r#"the want "it" asks for tool "x", and it may have no right of the kind tool"#],
    );
}

#[test]
fn the_default_model_is_some_model() {
    check("models", "", "", &[]);
    check("models", "", r#"names = ["*"]"#, &[]);
    check(
        "models",
        "",
        r#"names = ["small"]"#,
        &["asks for the host's default model, and it may have names \"small\""],
    );
    check(
        "models",
        r#"names = ["small"]"#,
        "",
        &[r#"asks for model "small", and it may have the host's default model"#],
    );
}

#[test]
fn every_limit_holds() {
    let with = |limit: &str| format!(r#"hosts = ["a.example"]; {limit}"#);
    let check_limit = |want: &str, bound: &str, failures: &[&str]| check("http", &with(want), &with(bound), failures);
    check_limit("uses = 5", "uses = 5", &[]);
    check_limit("uses = 6", "uses = 5", &["asks for 6 uses, and it may have 5"]);
    check_limit("", "uses = 5", &["asks for uses without a limit, and it may have 5"]);
    check_limit("rate = \"1/second\"", "rate = \"60/minute\"", &[]);
    check_limit("rate = \"60/minute\"", "rate = \"1/second\"", &["asks for use on average at most 60 times a minute"]);
    check_limit(
        "rate = \"59/minute\"",
        "rate = \"60/hour\"",
        &["and it may have use on average at most 60 times an hour"],
    );
    check_limit("", "rate = \"60/hour\"", &["asks for use without a rate"]);
    check_limit("expires = \"30d\"", "expires = \"30d\"", &[]);
    check_limit(
        "expires = \"31d\"",
        "expires = \"30d\"",
        &["asks for it for 31 days from its start, and it may have it for 30 days"],
    );
    check_limit("", "expires = \"30d\"", &["asks for it for ever"]);
    check_limit("expires = \"2026-12-31T00:00:00Z\"", "expires = \"30d\"", &[]);
    check_limit("expires = \"2026-12-31T00:00:01Z\"", "expires = \"30d\"", &["asks for it until 2026-12-31T00:00:01Z"]);
    check_limit(
        "expires = \"1d\"",
        "expires = \"2030-01-01T00:00:00Z\"",
        &["it may have it until 2030-01-01T00:00:00Z"],
    );
    let ceiling = |integrity: &str, tags: &str| format!("ceiling = {{ integrity = \"{integrity}\", tags = [{tags}] }}");
    check_limit(&ceiling("trusted", "\"a\""), &ceiling("untrusted", "\"a\", \"b\""), &[]);
    check_limit(
        &ceiling("untrusted", ""),
        &ceiling("trusted", ""),
        &["lets more data flow there than it may: trusted data without tags"],
    );
    check_limit(&ceiling("trusted", "\"c\""), &ceiling("trusted", "\"a\""), &["with no tag but \"a\""]);
    check_limit("", &ceiling("untrusted", ""), &["lets more data flow there"]);
    check("models", "max_tokens_per_call = 9", "max_tokens_per_call = 9", &[]);
    check(
        "models",
        "max_tokens_per_call = 10",
        "max_tokens_per_call = 9",
        &["asks for 10 tokens a call, and it may have 9"],
    );
    check("models", "", "max_tokens_per_call = 9", &["asks for tokens a call without a limit"]);
    check(
        "processes",
        r#"agents = ["b"]; children_max = 3"#,
        r#"agents = ["*"]; children_max = 2"#,
        &["asks for 3 agents alive at a time"],
    );
    expect(&judge("[budget]\ntokens = 1000", ""), &[]);
    expect(&judge("[budget]\ntokens = 1001", ""), &["it asks for 1001 tokens, and it may ask for 1000"]);
}

#[test]
fn wants_share_what_a_bound_counts() {
    let wants = |limit: &str| {
        let want =
            |label: &str| format!("[[wants.http]]\nlabel = \"{label}\"\nhosts = [\"{label}.example\"]\n{limit}\n");
        format!("{}{}", want("a"), want("b"))
    };
    let bound = |limit: &str| format!("[[packages.grants.http]]\nhosts = [\"*.example\"]\n{limit}\n");
    expect(&judge(&wants("uses = 5"), &bound("uses = 10")), &[]);
    expect(&judge(&wants("uses = 5"), &bound("uses = 9")), &["the want \"b\" asks for 5 uses, and 4 of 9 are left"]);
    expect(&judge(&wants("rate = \"30/minute\""), &bound("rate = \"60/minute\"")), &[]);
    expect(&judge(&wants("rate = \"31/minute\""), &bound("rate = \"60/minute\"")), &["the want \"b\" asks for use"]);
    // Two bounds are as much as both.
    expect(&judge(&wants("uses = 5"), &format!("{0}{0}", bound("uses = 5"))), &[]);
}

#[test]
fn a_tenants_policy_is_within_its_operators() {
    let bytes = package(MANIFEST);
    let operator = policy(&RULE.replace("threshold = 1", "unsigned = true"));
    let everything = policy(
        "[[packages]]\nnames = [\"*\"]\nunsigned = true\ntokens_max = 1000000\n[[packages.grants.models]]\nnames = [\"*\"]\n\
         [[packages.grants.http]]\nhosts = [\"*.example.com\"]\naccess = \"read-write\"\n",
    );
    let nothing = policy("[[packages]]\nnames = [\"*\"]\nunsigned = true\ntokens_max = 1\n");
    let both =
        |one, other| verify(&read(&bytes), &Evidence::default(), &[("operator", one), ("tenant", other)], &now());
    expect(&both(&operator, &everything), &[]);
    expect(&both(&nothing, &everything), &["wants (operator)", "wants (operator)", "budget (operator)"]);
    expect(&both(&operator, &nothing), &["wants (tenant)", "wants (tenant)", "budget (tenant)"]);
}

/// Keys of a want or a bound of HTTP, drawn from few values, so that many pairs are near each other.
fn limits() -> impl Strategy<Value = String> {
    let hosts = prop::sample::select(vec!["[\"*.x\"]", "[\"a.x\"]", "[\"b.x\"]", "[\"a.x\", \"b.x\"]", "[\"*.a.x\"]"]);
    let access = prop::sample::select(vec!["read-only", "read-write"]);
    let uses = prop::option::of(1_u64..4);
    let rate = prop::option::of(prop::sample::select(vec!["1/second", "60/minute", "2/hour", "50/day"]));
    let expires =
        prop::option::of(prop::sample::select(vec!["1d", "2d", "2026-12-01T12:00:00Z", "2030-01-01T00:00:00Z"]));
    (hosts, access, uses, rate, expires).prop_map(|(hosts, access, uses, rate, expires)| {
        let mut text = format!("hosts = {hosts}\naccess = \"{access}\"\n");
        text.extend(uses.map(|uses| format!("uses = {uses}\n")));
        text.extend(rate.map(|rate| format!("rate = \"{rate}\"\n")));
        text.extend(expires.map(|expires| format!("expires = \"{expires}\"\n")));
        text
    })
}

fn grants(limits: &[String]) -> String {
    let grants: Vec<_> = limits.iter().map(|limits| format!("[[packages.grants.http]]\n{limits}")).collect();
    format!("[[packages]]\nnames = [\"a\"]\nunsigned = true\ntokens_max = 1000\n{}", grants.concat())
}

fn asking(limits: &[String]) -> Vec<u8> {
    let want = |(index, limits): (usize, &String)| format!("[[wants.http]]\nlabel = \"w{index}\"\n{limits}");
    let wants: Vec<_> = limits.iter().enumerate().map(want).collect();
    package(&format!("name = \"a\"\nversion = \"1.0.0\"\ncomponent = \"a.wasm\"\n{}", wants.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// What two policies take together, each takes alone, in whatever order they are asked.
    #[test]
    fn more_policies_never_take_more(
        wants in prop::collection::vec(limits(), 0..3),
        one in prop::collection::vec(limits(), 0..4),
        other in prop::collection::vec(limits(), 0..4),
    ) {
        let bytes = asking(&wants);
        let (one, other) = (policy(&grants(&one)), policy(&grants(&other)));
        let asked = |policies: &[(&str, &remit_package::Policy)]| verify(&read(&bytes), &Evidence::default(), policies, &now()).is_accepted();
        let (first, second) = (asked(&[("one", &one)]), asked(&[("other", &other)]));
        prop_assert_eq!(asked(&[("one", &one), ("other", &other)]), first && second);
        prop_assert_eq!(asked(&[("other", &other), ("one", &one)]), first && second);
    }

    /// What is taken is taken still when it asks for one want less, and a policy takes what it writes itself.
    #[test]
    fn less_is_within_and_so_is_the_same(wants in prop::collection::vec(limits(), 1..4), bounds in prop::collection::vec(limits(), 0..4)) {
        let is_taken = |wants: &[String], bounds: &[String]| judged(&asking(wants), None, &grants(bounds)).is_accepted();
        prop_assert!(is_taken(&wants[..1], &wants[..1]));
        if is_taken(&wants, &bounds) {
            prop_assert!(is_taken(&wants[..wants.len() - 1], &bounds));
        }
    }
}
