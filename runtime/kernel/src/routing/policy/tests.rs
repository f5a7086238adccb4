use super::*;
use proptest::prelude::*;

fn class() -> RequestClass {
    RequestClass {
        task: "chat".into(),
        prompt_tokens: 100,
        output_tokens: 50,
        priority: Priority::Normal,
        tenant: TenantId(1),
        budget: Tokens::from_micro(1_000_000),
    }
}

fn rule(name: &str, when: When) -> Rule {
    Rule { name: name.into(), when, models: vec![name.into(), "last".into()] }
}

fn route(rules: Vec<Rule>) -> Route {
    Route { rules, default: vec!["small".into(), "last".into()], retry: RetryRules::default() }
}

fn min<T>(min: T) -> Bounds<T> {
    Bounds { min: Some(min), max: None }
}

fn max<T>(max: T) -> Bounds<T> {
    Bounds { min: None, max: Some(max) }
}

fn check(when: When, class: &RequestClass, expect: Result<(), &str>) {
    let route = route(vec![rule("special", when)]);
    let missed = route.misses(class);
    match expect {
        Ok(()) => assert_eq!((route.choose(class).rule, missed), ("special", vec![])),
        Err(told) => {
            assert_eq!(route.choose(class).rule, DEFAULT_RULE);
            assert_eq!(missed, [("special".into(), told.to_owned())]);
        }
    }
}

#[test]
fn each_condition_lets_through_what_it_says_and_tells_what_it_missed() {
    let class = class();
    check(When { tasks: vec!["sum".into(), "chat".into()], ..When::default() }, &class, Ok(()));
    let tasks = vec!["sum".into(), "code".into()];
    check(When { tasks, ..When::default() }, &class, Err("the task is chat, and it is for sum, code"));
    check(When { prompt_tokens: min(100), ..When::default() }, &class, Ok(()));
    let prompt_tokens = min(101);
    let told = "the prompt has 100 tokens, and it is for at least 101";
    check(When { prompt_tokens, ..When::default() }, &class, Err(told));
    check(When { output_tokens: max(50), ..When::default() }, &class, Ok(()));
    let told = "50 tokens of output are asked for, and it is for between 1 and 49";
    let output_tokens = Bounds { min: Some(1), max: Some(49) };
    check(When { output_tokens, ..When::default() }, &class, Err(told));
    let priorities = vec![Priority::High, Priority::Low];
    check(When { priorities, ..When::default() }, &class, Err("the priority is normal, and it is for high, low"));
    check(When { tenants: vec![TenantId(1)], ..When::default() }, &class, Ok(()));
    let tenants = vec![TenantId(2), TenantId(3)];
    check(When { tenants, ..When::default() }, &class, Err("the tenant is 1, and it is for 2, 3"));
    let budget = max(Tokens::from_micro(500_000));
    check(When { budget, ..When::default() }, &class, Err("1 tokens are left to spend, and it is for at most 0.5"));
}

#[test]
fn the_first_rule_that_holds_decides() {
    let long = When { prompt_tokens: min(50), ..When::default() };
    let route = route(vec![
        rule("none", When { tasks: vec!["other".into()], ..When::default() }),
        rule("first", long.clone()),
        rule("second", long),
    ]);
    let choice = route.choose(&class());
    assert_eq!((choice.rule, choice.models), ("first", &["first".into(), "last".into()][..]));
    assert_eq!(route.models(), ["small", "last", "none", "first", "second"]);
    assert!(route.measures_prompts());
}

#[test]
fn a_model_that_cannot_serve_is_passed_over_with_its_reason() {
    let open = Tier { is_open: true, ..Tier::default() };
    let check = |tier: Tier, expect: Option<&str>| {
        assert_eq!(skip(tier).map(|skip| skip.to_string()).as_deref(), expect);
    };
    check(open, None);
    check(Tier::default(), Some("is not open"));
    check(Tier { rests_ns: Some(1_500_000), ..open }, Some("failed too often, and rests for 2 ms"));
    let prompt = |tokens| Tier { context_length: Some(10), prompt_tokens: Some(tokens), ..open };
    check(prompt(9), None);
    check(prompt(10), Some("holds 10 tokens, and the prompt has 10"));
    let explained = explain(&route(vec![]), &class(), |model| match model {
        "small" => Tier::default(),
        _ => open,
    });
    assert_eq!(explained.rule.as_ref(), DEFAULT_RULE);
    let expect = [("small", Some(Skip::NotOpen)), ("last", None)];
    assert!(explained.models.iter().map(|ranked| (&*ranked.model, ranked.skip)).eq(expect));
}

fn some_when() -> impl Strategy<Value = When> {
    let bounds = || (prop::option::of(0_u32..8), prop::option::of(0_u32..8)).prop_map(|(min, max)| Bounds { min, max });
    let priorities = prop::collection::vec(prop_oneof![Just(Priority::Low), Just(Priority::High)], 0..3);
    (prop::collection::vec(0_u8..3, 0..3), bounds(), bounds(), priorities, prop::collection::vec(0_u32..3, 0..3))
        .prop_map(|(tasks, prompt_tokens, output_tokens, priorities, tenants)| When {
            tasks: tasks.into_iter().map(|task| task.to_string().into()).collect(),
            prompt_tokens,
            output_tokens,
            priorities,
            tenants: tenants.into_iter().map(TenantId).collect(),
            budget: Bounds::default(),
        })
}

proptest! {
    /// The plain model: try the rules one after the other, each condition written out.
    #[test]
    fn a_choice_is_the_first_rule_whose_conditions_all_hold(
        whens in prop::collection::vec(some_when(), 0..6),
        (task, prompt, output, high, tenant) in (0_u8..3, 0_u32..8, 0_u32..8, any::<bool>(), 0_u32..3),
    ) {
        let class = RequestClass {
            task: task.to_string().into(),
            prompt_tokens: prompt,
            output_tokens: output,
            priority: if high { Priority::High } else { Priority::Low },
            tenant: TenantId(tenant),
            budget: Tokens::ZERO,
        };
        let holds = |when: &When| {
            (when.tasks.is_empty() || when.tasks.iter().any(|one| **one == *class.task))
                && prompt >= when.prompt_tokens.min.unwrap_or(0)
                && prompt <= when.prompt_tokens.max.unwrap_or(u32::MAX)
                && output >= when.output_tokens.min.unwrap_or(0)
                && output <= when.output_tokens.max.unwrap_or(u32::MAX)
                && (when.priorities.is_empty() || when.priorities.contains(&class.priority))
                && (when.tenants.is_empty() || when.tenants.contains(&class.tenant))
        };
        let expect = whens.iter().position(holds).map_or(DEFAULT_RULE.to_owned(), |index| index.to_string());
        let rules = whens.into_iter().enumerate().map(|(index, when)| rule(&index.to_string(), when)).collect();
        let route = route(rules);
        prop_assert_eq!(route.choose(&class).rule, &*expect);
        let before = route.rules.iter().position(|rule| *rule.name == *expect).unwrap_or(route.rules.len());
        prop_assert_eq!(route.misses(&class).len(), before);
    }
}
