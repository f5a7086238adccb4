//! Reserve, settle, refund: also in the middle of a generation.

use crate::fakes::{Given, Play, TestNode, done, generate, paid_for_models, prompt, tokens};
use remit_abi::{
    Delta, Exit, Fault, FinishReason, Fuel, FuelReply, FuelRequest, LlmError, LlmReply, LlmRequest, Reply, Request,
    Shortfall, Tokens, Usage, limits,
};
use remit_kernel::Ended;

const BUY: Request = Request::Fuel(FuelRequest::BuySlice);

#[tokio::test]
async fn a_generation_pays_what_it_used_and_no_more() {
    let node = TestNode::new();
    node.engine.plays.lock().push_back(Play::Words(&["one ", "two"]));
    let (finished, _) = node
        .run(Given { budget: tokens(100), ..Given::default() }, |guest| async move {
            let model = guest.open_model().await;
            let Ok(LlmReply::Completed(completion)) =
                guest.llm(LlmRequest::Chat(generate(model, prompt("ten chars."), 50))).await
            else {
                panic!("the account can pay it");
            };
            assert_eq!(completion.summary.finish, FinishReason::Stop);
            assert_eq!(completion.summary.usage, Usage { input: 10, cached: 0, output: 2 });
            assert_eq!(completion.summary.paid, tokens(4));
            assert_eq!(guest.remaining().await, tokens(96));
            done()
        })
        .await;
    assert_eq!(paid_for_models(&finished), tokens(4));
    assert_eq!(finished.ledger.paid.saturating_add(finished.refunded), tokens(100));
}

#[tokio::test]
async fn an_account_that_runs_dry_cuts_the_generation_off() {
    let node = TestNode::new();
    // 10 input tokens cost 2, the wind-down keeps 2 back, and 16 of 20 are left for output.
    let (finished, _) = node
        .run(Given { budget: tokens(20), ..Given::default() }, |guest| async move {
            let generation = guest.start(prompt("ten chars."), 80).await;
            let mut text = String::new();
            let summary = loop {
                match guest.next(generation).await.expect("the engine works") {
                    Delta::Text(piece) => text.push_str(&piece),
                    Delta::Token(token) => panic!("nobody asked for log-probabilities: {token:?}"),
                    Delta::ToolCall(call) => panic!("nobody gave it tools: {call:?}"),
                    Delta::End(summary) => break summary,
                }
            };
            assert_eq!(text, "a".repeat(16), "the partial text is the guest's");
            assert_eq!(summary.finish, FinishReason::Budget);
            assert_eq!(summary.paid, tokens(18));
            assert_eq!(guest.next(generation).await, Ok(Delta::End(summary)), "the end stays the end");
            assert_eq!(guest.call(BUY).await, Reply::Fuel(FuelReply::Granted), "a last word can be paid");
            done()
        })
        .await;
    assert_eq!(paid_for_models(&finished), tokens(18));
}

#[tokio::test]
async fn a_callers_own_limit_is_no_cut_off() {
    let node = TestNode::new();
    node.run(Given::default(), |guest| async move {
        let model = guest.open_model().await;
        let Ok(LlmReply::Completed(completion)) = guest.llm(LlmRequest::Chat(generate(model, prompt("q"), 3))).await
        else {
            panic!("the account can pay it");
        };
        assert_eq!(completion.summary.finish, FinishReason::Length);
        assert_eq!(completion.summary.usage.output, 3);
        done()
    })
    .await;
}

#[tokio::test]
async fn a_prompt_that_cannot_be_paid_never_begins() {
    let node = TestNode::new();
    node.run(Given { budget: tokens(2), ..Given::default() }, |guest| async move {
        let model = guest.open_model().await;
        let shortfall = Shortfall { needed: tokens(3), remaining: tokens(2) };
        let refused = guest.llm(LlmRequest::Chat(generate(model, prompt("ten chars."), 5))).await;
        assert_eq!(refused, Err(LlmError::Shortfall(shortfall)));
        assert_eq!(guest.remaining().await, tokens(2));
        done()
    })
    .await;
    assert!(node.engine.jobs.lock().is_empty());
}

#[tokio::test]
async fn whatever_ends_a_stream_settles_it_by_the_meter() {
    for play in [Play::Stalls(&["a", "b"]), Play::Fails(&["a", "b"]), Play::Vanishes(&["a", "b"])] {
        let node = TestNode::new();
        node.engine.plays.lock().push_back(play.clone());
        let (finished, _) = node
            .run(Given { budget: tokens(100), ..Given::default() }, |guest| async move {
                let generation = guest.start(prompt("ten chars."), 50).await;
                assert_eq!(guest.next(generation).await, Ok(Delta::Text("a".into())));
                assert_eq!(guest.next(generation).await, Ok(Delta::Text("b".into())));
                done()
            })
            .await;
        assert_eq!(paid_for_models(&finished), tokens(4), "{play:?}");
        assert_eq!(finished.ledger.usage, Usage { input: 10, cached: 0, output: 2 }, "{play:?}");
        assert_eq!(finished.ledger.paid.saturating_add(finished.refunded), tokens(100), "{play:?}");
    }
}

#[tokio::test]
async fn an_engine_that_fails_in_the_middle_is_an_error_with_a_reason() {
    for (play, word) in [(Play::Fails(&["a"]), "device is lost"), (Play::Vanishes(&["a"]), "middle of a generation")] {
        let node = TestNode::new();
        node.engine.plays.lock().push_back(play);
        node.run(Given::default(), move |guest| async move {
            let generation = guest.start(prompt("q"), 50).await;
            assert_eq!(guest.next(generation).await, Ok(Delta::Text("a".into())));
            for _ in 0..2 {
                match guest.next(generation).await {
                    Err(LlmError::Unavailable(why)) => assert!(why.contains(word), "{why}"),
                    other => panic!("{other:?}"),
                }
            }
            done()
        })
        .await;
    }
}

#[tokio::test]
async fn a_process_dropped_in_the_middle_gives_everything_back() {
    let node = TestNode::new();
    node.engine.plays.lock().push_back(Play::Stalls(&["a"]));
    let mut spawned = node.spawn(Given { budget: tokens(100), ..Given::default() }, |guest| async move {
        let model = guest.open_model().await;
        let _never = guest.llm(LlmRequest::Chat(generate(model, prompt("ten chars."), 50))).await;
        done()
    });
    node.settle().await;
    assert!(
        futures::poll!(Box::pin(spawned.finished)).is_pending(),
        "the model was still at work, and the end is dropped"
    );
    assert_eq!(spawned.events.recv().await, None, "the process is gone");
    assert!(node.kernel.is_conserved());
}

#[tokio::test]
async fn fuel_has_no_balance_of_its_own() {
    let node = TestNode::new();
    let slice = Tokens::from_micro(100_000);
    let (finished, _) = node
        .run(Given { budget: Tokens::from_micro(250_000), ..Given::default() }, move |guest| async move {
            assert_eq!(guest.call(BUY).await, Reply::Fuel(FuelReply::Granted));
            assert_eq!(guest.call(BUY).await, Reply::Fuel(FuelReply::Granted));
            let shortfall = Shortfall { needed: slice, remaining: Tokens::from_micro(50_000) };
            assert_eq!(guest.call(BUY).await, Reply::Fuel(FuelReply::Refused(shortfall)));
            Exit { end: Err(Fault::BudgetExhausted(shortfall)), fuel: None }
        })
        .await;
    assert!(matches!(finished.ended, Ended::Faulted(Fault::BudgetExhausted(_))));
    assert_eq!(finished.ledger.fuel, Fuel(2 * limits::FUEL_SLICE.0), "a lost count is charged by the slice");
    assert_eq!(finished.refunded, Tokens::from_micro(50_000));
}

#[tokio::test]
async fn fuel_that_was_not_used_is_refunded_at_the_end() {
    let node = TestNode::new();
    let (finished, _) = node
        .run(Given { budget: tokens(1), ..Given::default() }, |guest| async move {
            assert_eq!(guest.call(BUY).await, Reply::Fuel(FuelReply::Granted));
            Exit { fuel: Some(Fuel(10)), ..done() }
        })
        .await;
    assert_eq!(finished.ledger.fuel, Fuel(10));
    assert_eq!(finished.ledger.paid, Tokens::from_micro(1));
}

#[tokio::test]
async fn fuel_that_one_instruction_used_beyond_its_slice_is_charged_at_the_end() {
    let node = TestNode::new();
    let used = Fuel(limits::FUEL_SLICE.0 + 5);
    let (finished, _) = node
        .run(Given { budget: tokens(1), ..Given::default() }, move |guest| async move {
            assert_eq!(guest.call(BUY).await, Reply::Fuel(FuelReply::Granted));
            Exit { fuel: Some(used), ..done() }
        })
        .await;
    assert_eq!(finished.ledger.fuel, used);
    assert_eq!(finished.ledger.paid, Tokens::from_micro(100_001));
    assert_eq!(finished.refunded, Tokens::from_micro(899_999));
}
