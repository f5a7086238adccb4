use super::*;
use proptest::prelude::*;

const MODELS: [&str; 4] = ["small", "large", "tiny", "qwen2.5:0.5b"];

fn read(text: &str) -> Definitions {
    Definitions::read(text, &MODELS).expect("it is well-formed")
}

/// The error of a text, as it is told.
fn check(text: &str, expect: &str) {
    let error = Definitions::read(text, &MODELS).expect_err(expect);
    assert_eq!(error.to_string(), expect);
}

const WHOLE: &str = r#"
[breaker]
failures = 3
pause_ms = 1_000

[route.assist]
default = ["small", "large"]
retry = { again = 1, within_ms = 500 }

[[route.assist.rule]]
name = "long"
use = ["large"]
when = { task = ["sum"], prompt_tokens = { min = 2000, max = 9000 }, output_tokens = { max = 5 } }

[[route.assist.rule]]
use = ["qwen2.5:0.5b", "tiny"]
[route.assist.rule.when]
priority = ["background"]
tenant = [0, 7]
budget = { max = 10 }

[route."team/other"]
default = ["tiny"]
"#;

#[test]
fn what_is_written_is_read() {
    let read = read(WHOLE);
    let usual = BreakerRules::default();
    assert_eq!(read.breaker, BreakerRules { failures: 3, pause_ns: 1_000_000_000, ..usual });
    assert!(read.routes.keys().map(|name| &**name).eq(["assist", "team/other"]));
    let route = &read.routes["assist"];
    assert_eq!(route.retry, RetryRules { again: 1, within_ns: 500_000_000, ..RetryRules::default() });
    let [long, second] = &route.rules[..] else { panic!("there are two: {:?}", route.rules) };
    let expect = When {
        tasks: vec!["sum".into()],
        prompt_tokens: Bounds { min: Some(2000), max: Some(9000) },
        output_tokens: Bounds { min: None, max: Some(5) },
        ..When::default()
    };
    assert_eq!((&*long.name, &long.when, &long.models[..]), ("long", &expect, &["large".into()][..]));
    let expect = When {
        priorities: vec![Priority::Background],
        tenants: vec![TenantId(0), TenantId(7)],
        budget: Bounds { min: None, max: Tokens::from_whole(10) },
        ..When::default()
    };
    assert_eq!((&*second.name, &second.when), ("rule 2", &expect));
    assert_eq!(read.routes["team/other"].retry, RetryRules::default());
    assert_eq!(Definitions::read("", &MODELS), Ok(Definitions::default()));
}

#[test]
fn an_unknown_key_is_told_with_its_line_and_the_nearest_one() {
    check("[brekaer]\n", "line 1: unknown key `brekaer`: did you mean `breaker`?");
    check(
        "\n[route.a]\ndefault = [\"small\"]\nretyr = {}\n",
        "line 4: unknown key `retyr` in `route.a`: did you mean `retry`?",
    );
    let rule =
        |when: &str| format!("[route.a]\ndefault = ['small']\n[[route.a.rule]]\nuse = ['tiny']\nwhen = {when}\n");
    check(
        &rule("{ promt_tokens = { min = 1 } }"),
        "line 5: unknown key `promt_tokens` in `route.a.rule[1].when`: did you mean `prompt_tokens`?",
    );
    check(
        &rule("{ budget = { least = 1 } }"),
        "line 5: unknown key `least` in `route.a.rule[1].when.budget`: there are `min`, `max`",
    );
    check(
        "[breaker]\nx = 1\na = 2",
        "line 2: unknown key `x` in `breaker`: there are `failures`, `window_ms`, `pause_ms`",
    );
}

#[test]
fn a_model_that_is_none_is_told_with_the_nearest_one() {
    let expect = "line 2: there is no model \"smal\" (and a route names no route): did you mean `small`?";
    check("[route.a]\ndefault = [\"smal\"]", expect);
    let listed = "there are `small`, `large`, `tiny`, `qwen2.5:0.5b`";
    check(
        "[route.a]\ndefault = [\"small\"]\n[route.b]\ndefault = [\n\"small\",\n\"a\"]",
        &format!("line 6: there is no model \"a\" (and a route names no route): {listed}"),
    );
    let expect = "line 2: \"small\" is there twice: one after the other would be tried alike";
    check("[route.a]\ndefault = [\"small\", \"small\"]", expect);
    check(
        "[route.small]\ndefault = [\"large\"]",
        "line 1: `route.small` has the name of a model: give the route another",
    );
    let expect = "line 1: `route.a b` is no name for a route: use ASCII letters, digits and -._/:@";
    check("[route.\"a b\"]\ndefault = [\"large\"]", expect);
}

#[test]
fn what_is_missing_or_of_another_kind_is_told() {
    check("[route.a]", "line 1: `route.a` has no `default`, which it needs");
    check("[route.a]\ndefault = []", "line 2: `route.a.default` must be a list of 1 to 8 texts");
    check("[route.a]\ndefault = \"small\"", "line 2: `route.a.default` must be a list of 1 to 8 texts");
    check("route = 3", "line 1: `route` must be a table");
    check("[breaker]\nfailures = 0", "line 2: `breaker.failures` must be a whole number between 1 and 1000");
    check("[breaker]\npause_ms = 1.5", "line 2: `breaker.pause_ms` must be a whole number between 1 and 3600000");
    let route = |rest: &str| format!("[route.a]\ndefault = ['small']\n{rest}");
    check(
        &route("rule = 1"),
        "line 3: `route.a.rule` must be a list of at most 100 tables, each under [[route.a.rule]]",
    );
    check(&route("[[route.a.rule]]\n"), "line 3: `route.a.rule[1]` has no `use`, which it needs");
    let expect =
        "line 3: `route.a.rule[1]` has no condition in `when`, and hides all rules behind it: make it the default";
    check(&route("[[route.a.rule]]\nuse = ['tiny']"), expect);
    check(&route("[[route.a.rule]]\nuse = ['tiny']\nwhen = {}"), expect);
    let expect = "line 3: `route.a.retry` has a `pause_ms` above its `pause_ms_max`: the first pause is the shortest";
    check(&route("retry = { pause_ms = 3000 }"), expect);
    let when = |when: &str| route(&format!("[[route.a.rule]]\nuse = ['tiny']\nwhen = {{ {when} }}"));
    let expect = "line 5: `route.a.rule[1].when.budget` holds for nothing: its `min` is above its `max`";
    check(&when("budget = { min = 2, max = 1 }"), expect);
    let expect = "line 5: `route.a.rule[1].when.budget` has neither `min` nor `max`: give it one of them";
    check(&when("budget = {}"), expect);
    check(&when("priority = ['urgent']"), "line 5: \"urgent\" is no priority: there are background, low, normal, high");
    check(&when("tenant = [-1]"), "line 5: `route.a.rule[1].when.tenant` must be a list of 1 to 64 whole numbers");
    check(&when("task = ['a b']"), "line 5: \"a b\" is no task: a task is the label of a grant");
    let twice = "[[route.a.rule]]\nname = 'x'\nuse = ['tiny']\nwhen = { tenant = [1] }\n".repeat(2);
    check(&route(&twice), "line 7: `route.a.rule[2]` is called \"x\", and so is another: rename it");
    let broken = Definitions::read("[route.a\n", &MODELS).expect_err("it is no TOML");
    assert!(broken.to_string().starts_with("line 1: this is no TOML: "), "{broken}");
    check(&"#".repeat((1 << 20) + 1), "line 1: the file has 1048577 bytes, and 1048576 are the most");
}

fn some_route() -> impl Strategy<Value = Route> {
    let models = || prop::sample::subsequence(MODELS.to_vec(), 1..=4);
    let boxed = |names: Vec<&str>| names.into_iter().map(Into::into).collect::<Vec<Box<str>>>();
    let bounds = || {
        (any::<bool>(), any::<bool>(), 0_u32..50, 0_u32..50).prop_map(|(low, high, one, other)| Bounds {
            min: low.then_some(one.min(other)),
            max: high.then_some(one.max(other)),
        })
    };
    let tokens = |whole: u32| Tokens::from_whole(whole.into()).expect("a small number");
    let budget = bounds().prop_map(move |bounds| Bounds { min: bounds.min.map(tokens), max: bounds.max.map(tokens) });
    let priorities = prop::sample::subsequence(vec![Priority::Low, Priority::Normal, Priority::High], 0..=3);
    let tenants = prop::collection::vec((0_u32..9).prop_map(TenantId), 0..3);
    let tasks = prop::sample::subsequence(vec!["a", "b/c", "d:e@f"], 0..=3);
    let when = (tasks, bounds(), bounds(), priorities, tenants, budget);
    let rule = (when, models(), any::<bool>()).prop_map(move |(when, models, named)| {
        let (tasks, prompt_tokens, output_tokens, priorities, tenants, budget) = when;
        let when = When { tasks: boxed(tasks), prompt_tokens, output_tokens, priorities, tenants, budget };
        Rule { name: if named { "named" } else { "" }.into(), when, models: boxed(models) }
    });
    let retry = (0_u32..=10, 0_u64..100, 0_u64..100, 0_u64..100).prop_map(|(again, one, other, within)| RetryRules {
        again,
        pause_ns_min: one.min(other) * NS_PER_MS,
        pause_ns_max: one.max(other) * NS_PER_MS,
        within_ns: within * NS_PER_MS,
    });
    (prop::collection::vec(rule, 0..4), models(), retry).prop_map(move |(mut rules, default, retry)| {
        rules.retain(|rule| !rule.when.is_empty());
        for (index, rule) in rules.iter_mut().enumerate() {
            let number = index + 1;
            rule.name = if rule.name.is_empty() { format!("rule {number}") } else { format!("named-{number}") }.into();
        }
        Route { rules, default: boxed(default), retry }
    })
}

proptest! {
    #[test]
    fn what_is_written_out_reads_as_it_was(route in some_route()) {
        let text = written("team/a", &route);
        let read = Definitions::read(&text, &MODELS).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        prop_assert_eq!(&read.routes["team/a"], &route);
        prop_assert_eq!(written("team/a", &read.routes["team/a"]), text);
    }

    #[test]
    fn no_text_is_too_much(text in ".{0,200}", cut in 0..WHOLE.len()) {
        let _any = Definitions::read(&text, &MODELS);
        let mut broken = WHOLE.to_owned();
        broken.truncate(cut);
        broken.push_str(&text);
        if let Err(error) = Definitions::read(&broken, &MODELS) {
            prop_assert!(error.line <= broken.lines().count() + 1);
        }
    }
}
