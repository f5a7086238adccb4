//! Routes: another model where the first refuses or fails, who pays what, what is recorded, and who gets which version.
//!
//! This file has what all have in common, and what is paid and recorded.

mod choice;
mod tries;
mod versions;

use crate::fakes::{
    Given, Guest, Other, Play, TestNode, Written, done, generate, grant, paid_for_models, prompt, tokens,
};
use remit_abi::{Arm, Delta, GrantKind, LlmError, LlmReply, LlmRequest, Reply, Routed, Summary, Tokens};
use remit_authority::{ModelPrices, PriceList};
use remit_kernel::routing::{Candidate, Deployed, Routes, Version, arm::Subject, count::Tally, read::Definitions};
use std::sync::Arc;

/// `m` costs 0.2 tokens a token of prompt and 1 a token of output, `dear` ten times that, and `tight` holds 20 tokens.
fn node(text: &str) -> TestNode {
    let mut prices = PriceList::built_in();
    prices.complete("dear", ModelPrices { input: 2_000_000, cached_input: 0, output: 10_000_000, embedding: 1 });
    let node = TestNode::with_prices(prices);
    node.engine.serve("dear", Other { context_length: 1000, letter: 2 }, &[]);
    node.engine.serve("tight", Other { context_length: 20, letter: 1 }, &[]);
    node.kernel.set_routes(routes(text));
    node
}

fn version(number: u32, definitions: &Definitions, name: &str) -> Version {
    Version { number, digest: format!("digest {number}").into(), route: Arc::new(definitions.routes[name].clone()) }
}

/// Every route of a text, in its first version.
fn routes(text: &str) -> Routes {
    let read = Definitions::read(text, &["m", "dear", "tight", "absent"]).expect("the tests' routes are well-formed");
    let deployed = |name: &str| Deployed { stable: version(1, &read, name), candidate: None };
    Routes { breaker: read.breaker, deployed: read.routes.keys().map(|name| (name.clone(), deployed(name))).collect() }
}

/// Version 1 asks `m`; version 2 asks `dear`, and half of all processes get it.
fn experiment() -> Routes {
    let read = |text: &str| Definitions::read(text, &["m", "dear"]).expect("it is well-formed");
    let (old, new) = (read("[route.r]\ndefault = ['m']"), read("[route.r]\ndefault = ['dear']"));
    let candidate = Candidate { version: version(2, &new, "r"), share_per_mille: 500, by: Subject::Process };
    let deployed = Deployed { stable: version(1, &old, "r"), candidate: Some(candidate) };
    Routes { deployed: [("r".into(), deployed)].into(), ..Routes::default() }
}

/// What a process with a right to the route `r` is given.
fn given(budget: u64) -> Given {
    Given { grants: vec![grant("chat", GrantKind::Model, &["r"])], budget: tokens(budget), ..Given::default() }
}

/// One request of a process, and what it is told.
async fn ask(guest: &Guest, text: &str, max_tokens: u32) -> Result<Summary, LlmError> {
    let model = guest.open_model().await;
    match guest.llm(LlmRequest::Chat(generate(model, prompt(text), max_tokens))).await? {
        LlmReply::Completed(completion) => Ok(completion.summary),
        other => panic!("not a completion: {other:?}"),
    }
}

/// All that a stream still has.
async fn read(guest: &Guest, stream: remit_abi::GenerationId) -> (String, Result<Summary, LlmError>) {
    let mut text = String::new();
    loop {
        match guest.next(stream).await {
            Ok(Delta::Text(piece)) => text.push_str(&piece),
            Ok(Delta::Token(token)) => panic!("nobody asked for log-probabilities: {token:?}"),
            Ok(Delta::ToolCall(call)) => panic!("nobody gave it tools: {call:?}"),
            Ok(Delta::End(summary)) => return (text, Ok(summary)),
            Err(error) => return (text, Err(error)),
        }
    }
}

fn routed(model: &str, tries: u32) -> Routed {
    let (route, rule) = ("r".into(), "default".into());
    Routed { route, version: 1, arm: Arm::Stable, rule, model: model.into(), tries }
}

/// The counts of the stable version of `r`.
fn counts(node: &TestNode) -> Tally {
    node.kernel.routes()[0].arms[0].counts.tally
}

const TWO: &str = "[route.r]\ndefault = ['m', 'dear']\nretry = { again = 0 }";

/// One request over `m` and then `dear`, of which `m` plays this.
async fn check(play: Play, expect: Result<Routed, &str>, paid: Tokens) {
    for streams in [false, true] {
        let node = node(TWO);
        node.engine.plays.lock().push_back(play.clone());
        let expect = expect.clone().map_err(str::to_owned);
        let (finished, _) = node
            .run(given(1000), move |guest| {
                let expect = expect.clone();
                async move {
                    let ended = match streams {
                        false => ask(&guest, "ten chars.", 3).await,
                        true => {
                            let stream = guest.start(prompt("ten chars."), 3).await;
                            read(&guest, stream).await.1
                        }
                    };
                    match (ended, expect) {
                        (Ok(summary), Ok(expect)) => assert_eq!(summary.routed.as_deref(), Some(&expect)),
                        (Err(LlmError::Unavailable(why)), Err(expect)) => assert_eq!(*why, *expect),
                        other => panic!("{other:?}"),
                    }
                    done()
                }
            })
            .await;
        assert_eq!(paid_for_models(&finished), paid, "{play:?}");
        assert_eq!(finished.ledger.paid.saturating_add(finished.refunded), tokens(1000), "{play:?}");
    }
}

#[tokio::test]
async fn whoever_answers_is_paid_at_its_own_price_and_recorded() {
    // 10 tokens of prompt at 0.2 and 3 of output.
    check(Play::Letters, Ok(routed("m", 1)), tokens(5)).await;
    // `dear` counts 20 tokens of prompt, at 2, and 3 of output at 10: what `m` did before is not paid.
    for play in [Play::IsBusy, Play::HasStopped, Play::Fails(&[]), Play::Vanishes(&[]), Play::FailsAlone] {
        check(play, Ok(routed("dear", 2)), tokens(70)).await;
    }
}

#[tokio::test]
async fn after_the_first_piece_an_error_is_the_guests() {
    let why = "the engine has stopped: the device is lost";
    check(Play::Fails(&["a"]), Err(why), tokens(3)).await;
}

#[tokio::test]
async fn the_record_is_in_the_journal() {
    let node = node(TWO);
    node.engine.plays.lock().push_back(Play::HasStopped);
    node.run(given(1000), |guest| async move {
        ask(&guest, "q", 3).await.expect("the second model answers");
        done()
    })
    .await;
    let journal = node.journal.entries.lock();
    let recorded = journal.iter().find_map(|(_, written)| match written {
        Written::Told { reply: Reply::Llm(Ok(LlmReply::Completed(completion))), .. } => {
            completion.summary.routed.as_deref()
        }
        _ => None,
    });
    assert_eq!(recorded, Some(&routed("dear", 2)));
}

#[tokio::test]
async fn where_nobody_answers_the_error_names_each_and_nothing_is_paid() {
    let node = node(TWO);
    node.engine.plays.lock().push_back(Play::IsBusy);
    node.engine.serve("dear", Other { context_length: 1000, letter: 1 }, &[Play::FailsAlone]);
    let (finished, _) = node
        .run(given(1000), |guest| async move {
            let expect = "no model of the route r answers (\
                m: the model is not available: its queue is full with 7 generations: try again when some have ended; \
                dear: the model is not available: computing it failed: it is poison)";
            assert_eq!(ask(&guest, "q", 3).await, Err(LlmError::Unavailable(expect.into())));
            done()
        })
        .await;
    assert_eq!(paid_for_models(&finished), Tokens::ZERO);
    assert_eq!((counts(&node).requests, counts(&node).failed, counts(&node).tried_again), (1, 1, 1));
}
