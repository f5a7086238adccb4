//! Generations as the guest sees them.

use crate::fakes::{Given, Play, TestNode, done, generate, grant, prompt, tokens};
use remit_abi::{Content, Delta, FinishReason, GrantKind, LlmError, LlmReply, LlmRequest, Prompt};

#[tokio::test]
async fn counting_is_exact_and_costs_fuel_by_the_byte() {
    let node = TestNode::new();
    let (finished, _) = node
        .run(Given::default(), |guest| async move {
            let model = guest.open_model().await;
            for (text, count) in [("abc", 3), ("数え方", 3), ("👩‍👩‍👧", 5)] {
                let prompt = Box::new(Prompt::Text(Content::Text(text.into())));
                assert_eq!(guest.llm(LlmRequest::CountTokens { model, prompt }).await, Ok(LlmReply::Counted(count)));
            }
            done()
        })
        .await;
    // 3 + 9 + 18 bytes and five syscalls, 200 units of fuel each, ten million units a token.
    assert_eq!(finished.ledger.paid.micro(), (30 + 5) * 200 / 10);
}

#[tokio::test]
async fn a_generation_is_shortened_to_the_context() {
    let node = TestNode::new();
    node.run(Given::default(), |guest| async move {
        let model = guest.open_model().await;
        let long = prompt(&"x".repeat(90));
        let Ok(LlmReply::Completed(completion)) = guest.llm(LlmRequest::Chat(generate(model, long, 50))).await else {
            panic!("10 tokens fit");
        };
        assert_eq!(completion.summary.usage.output, 10);
        assert_eq!(completion.summary.finish, FinishReason::Length);
        done()
    })
    .await;
}

#[tokio::test]
async fn a_cancelled_stream_still_ends() {
    let node = TestNode::new();
    node.engine.plays.lock().push_back(Play::Words(&["a", "b"]));
    node.run(Given::default(), |guest| async move {
        let generation = guest.start(prompt("q"), 5).await;
        assert_eq!(guest.llm(LlmRequest::Cancel { generation }).await, Ok(LlmReply::Done));
        let mut pieces = 0;
        while let Delta::Text(_) = guest.next(generation).await.expect("a cancelled stream ends") {
            pieces += 1;
        }
        assert_eq!(pieces, 2, "what was written before stays readable");
        assert_eq!(guest.llm(LlmRequest::DropGeneration { generation }).await, Ok(LlmReply::Done));
        assert_eq!(guest.next(generation).await, Err(LlmError::Dead));
        done()
    })
    .await;
}

#[tokio::test]
async fn a_model_that_is_granted_and_not_loaded_is_unavailable() {
    let node = TestNode::new();
    let absent = grant("chat", GrantKind::Model, &["gone"]);
    node.run(Given { grants: vec![absent], budget: tokens(5), ..Given::default() }, |guest| async move {
        use remit_abi::{CapabilityReply, CapabilityRequest, Reply, Request};
        let take = Request::Capability(CapabilityRequest::Take { label: "chat".into() });
        let Reply::Capability(Ok(CapabilityReply::Taken(grant))) = guest.call(take).await else {
            panic!("it was granted");
        };
        match guest.llm(LlmRequest::Open { grant }).await {
            Err(LlmError::Unavailable(why)) => assert!(why.contains("gone"), "{why}"),
            other => panic!("{other:?}"),
        }
        done()
    })
    .await;
}
