//! What a list charges, and which lists are refused.

use super::*;

/// The built-in list, with a free model and money besides.
const WHOLE: &str = r#"
    version = 1
    fuel_per_token = 10_000_000
    memory_write = 200_000
    tool_call = 1_000_000
    message = 10_000
    [default_model]
    input = 200_000
    cached_input = 20_000
    output = 1_000_000
    embedding = 50_000
    [models."org/tiny"]
    free = true
    [money]
    currency = "EUR"
    per_million_tokens = "2.50"
"#;

fn whole() -> PriceList {
    PriceList::parse(WHOLE).expect("it is whole")
}

#[test]
fn work_is_priced_by_kind() {
    let prices = PriceList::built_in().model("any");
    let usage = Usage { input: 10, cached: 100, output: 5 };
    assert_eq!(prices.of(usage).to_string(), "9");
    assert_eq!(prices.of_prompt_at_most(10).to_string(), "2");
    assert_eq!(prices.of_embedding(10).to_string(), "0.5");
    assert_eq!(prices.output_tokens_for(Tokens::from_micro(2_999_999)), 2);
    let list = whole();
    let actions = [list.memory_write(), list.tool_call(), list.message()].map(|price| price.to_string());
    assert_eq!(actions, ["0.2", "1", "0.01"]);
}

#[test]
fn fuel_is_rounded_up_and_never_overflows() {
    let list = PriceList::built_in();
    assert_eq!(list.fuel(Fuel(1)), Tokens::from_micro(1));
    assert_eq!(list.fuel(Fuel(10_000_000)), Tokens::from_micro(Tokens::MICRO));
    assert!(list.fuel(Fuel(u64::MAX)) > Tokens::ZERO);
}

#[test]
fn a_free_model_costs_nothing_and_says_so() {
    let tiny = whole().model("org/tiny");
    assert_eq!(tiny, ModelPrices::FREE);
    assert_eq!(tiny.of(Usage { input: u32::MAX, cached: 1, output: 1 }), Tokens::ZERO);
    assert_eq!(tiny.output_tokens_for(Tokens::ZERO), u32::MAX);
    assert_eq!(whole().model("org/tiny2"), PriceList::built_in().model("any"));
}

#[test]
fn prices_from_elsewhere_complete_a_list_and_never_change_it() {
    let stated = |text: &str| toml::from_str::<StatedPrices>(text).expect("it has the form").read("price");
    let dear = stated("input = 1\ncached_input = 0\noutput = 5_000_000\nembedding = 2").expect("they can be meant");
    let (mut list, before) = (whole(), whole());
    list.complete("org/tiny", dear);
    assert_eq!(
        (list.model("org/tiny"), list.digest()),
        (ModelPrices::FREE, before.digest()),
        "the operator's own stand"
    );
    list.complete("org/other", dear);
    assert_eq!(list.model("org/other").of(Usage { output: 2, ..Usage::default() }).to_string(), "10");
    assert_ne!(list.digest(), before.digest());
    let written =
        WHOLE.to_owned() + "[models.\"org/other\"]\ninput = 1\ncached_input = 0\noutput = 5_000_000\nembedding = 2";
    assert_eq!(list.digest(), PriceList::parse(&written).expect("it is whole").digest(), "wherever they were written");
    assert_eq!(stated("free = true").expect("it is meant"), ModelPrices::FREE);
    for (wrong, words) in [
        ("input = 1", "has no price.cached_input"),
        ("input = 1\ncached_input = 1\noutput = 0\nembedding = 1", "gives price.output away"),
        ("free = true\ninput = 1", "has price free and priced"),
    ] {
        let error = stated(wrong).expect_err(wrong).to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn the_dearest_usage_can_be_counted() {
    let text = ["input = 200_000", "cached_input = 20_000", "output = 1_000_000"].into_iter().fold(
        WHOLE.to_owned(),
        |text, price| {
            let (key, _) = price.split_once(" =").expect("it is an entry");
            text.replacen(&format!("    {price}"), &format!("    {key} = 1_000_000_000"), 1)
        },
    );
    let prices = PriceList::parse(&text).expect("it is the highest price").model("any");
    let all = Usage { input: u32::MAX, cached: u32::MAX, output: u32::MAX };
    assert_eq!(prices.of(all).micro(), 3 * 1_000_000_000 * u64::from(u32::MAX));
}

#[test]
fn money_is_named_by_the_operator_or_not_at_all() {
    let amount = Tokens::from_micro(1_000_000_000);
    assert_eq!(whole().money(amount).map(|money| money.to_string()).as_deref(), Some("0.0025 EUR"));
    assert_eq!(PriceList::built_in().money(amount), None);
}

#[test]
fn a_digest_follows_the_values_and_not_the_text() {
    let digest = |from: &str, to: &str| {
        let text = WHOLE.replacen(from, to, 1);
        assert!(text != WHOLE || from == to, "{from} is in the text");
        PriceList::parse(&text).expect("it is whole").digest()
    };
    let same = digest("", "");
    assert_eq!(digest("10_000_000", "10000000 # units"), same);
    for (from, to) in [
        ("version = 1", "version = 2"),
        ("10_000_000", "10_000_001"),
        ("200_000", "200_001"),
        ("tool_call = 1_000_000", "tool_call = 1_000_001"),
        ("message = 10_000", "message = 10_001"),
        ("embedding = 50_000", "embedding = 50_001"),
        ("org/tiny", "org/tinier"),
        ("EUR", "USD"),
        ("2.50", "2.51"),
    ] {
        assert_ne!(digest(from, to), same, "{to}");
    }
    let built_in = WHOLE.split("[models").next().expect("there is a beginning");
    assert_eq!(PriceList::parse(built_in).expect("it is whole").digest(), PriceList::built_in().digest());
}

#[test]
fn what_is_wrong_with_a_list_is_named() {
    let check = |from: &str, to: &str, words: &str| {
        let text = WHOLE.replacen(from, to, 1);
        assert_ne!(text, WHOLE, "{from} is in the text");
        let error = PriceList::parse(&text).expect_err(to).to_string();
        assert!(error.contains(words), "{error}");
    };
    check("version = 1", "versoin = 1", "unknown field `versoin`");
    check("output = 1_000_000", "output = 0.5", "output = 0.5");
    check("output = 1_000_000", "output = 99999999999999999999", "output = 99999999999999999999");
    check("version = 1", "", "has no version");
    check("tool_call = 1_000_000", "", "has no tool_call");
    check("embedding = 50_000", "", "has no default_model.embedding");
    check("free = true", "", "has no models.org/tiny.input");
    check("message = 10_000", "message = -1", "message is -1, and must be between 0 and 1000000000");
    check("input = 200_000", "input = -1", "default_model.input is -1, and must be between 1 and");
    check("output = 1_000_000", "output = 1_000_000_001", "default_model.output is 1000000001");
    check("version = 1", "version = 4294967296", "version is 4294967296");
    check("= 10_000_000", "= 0", "gives fuel away");
    check("= 10_000_000", "= -5", "fuel_per_token is -5");
    check("= 10_000_000", "= 1_000_000_000_000_001", "fuel_per_token is 1000000000000001");
    check(
        "input = 200_000",
        "input = 0",
        "gives default_model.input away: name a price, or write free = true in default_model",
    );
    check("embedding = 50_000", "embedding = 0", "gives default_model.embedding away");
    check("free = true", "free = true\n    input = 1", "has models.org/tiny free and priced");
    check("org/tiny", "t\u{456}ny", "is no model's name");
    check("\"EUR\"", "\"euro\"", "money.currency is \"euro\", and must be three capital letters");
    check("\"2.50\"", "\"2,50\"", "money.per_million_tokens is \"2,50\", and must be a decimal number");
    check("\"2.50\"", "2.5", "per_million_tokens = 2.5");
}

#[test]
fn what_costs_fuel_anyway_may_be_free() {
    let text = ["memory_write = 200_000", "tool_call = 1_000_000", "message = 10_000", "cached_input = 20_000"]
        .into_iter()
        .fold(WHOLE.to_owned(), |text, price| {
            let (key, _) = price.split_once('=').expect("it is an entry");
            text.replacen(price, &format!("{key}= 0"), 1)
        });
    let list = PriceList::parse(&text).expect("each of these may be 0");
    assert_eq!((list.message(), list.model("any").cached_input), (Tokens::ZERO, 0));
}
