//! Generations as the guest sees them.

use crate::fakes::{Given, Play, TestNode, done, drawn, generate, grant, prompt, tokens};
use remit_abi::{
    Content, Delta, FinishReason, GrantKind, LlmError, LlmReply, LlmRequest, OutputFormat, Params, Penalties, Prompt,
    Reply, Request, Sampling, ValueReply, ValueRequest, limits::Limits,
};

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

/// Every parameter has a value of its own.
fn said() -> Params {
    Params {
        max_tokens: 3,
        sampling: Sampling { temperature: 0.5, top_k: 4, typical_p: 0.9, top_p: 0.8, min_p: 0.1, seed: 7 },
        penalties: Penalties { repetition: 1.5, frequency: 0.5, presence: -0.5, window: 9 },
        logit_bias: vec![(5, -100.0)],
        stop: vec!["x".into()],
        stop_tokens: vec![6],
        logprobs: Some(2),
        speculation: true,
        format: OutputFormat::Regex("a+".into()),
    }
}

#[tokio::test]
async fn the_engine_is_asked_for_what_the_guest_said() {
    let node = TestNode::new();
    node.run(Given::default(), |guest| async move {
        let mut generate = generate(guest.open_model().await, prompt("q"), 1);
        generate.params = said();
        assert!(guest.llm(LlmRequest::Chat(generate.clone())).await.is_ok());
        generate.params.stop_tokens = vec![0x11_0000];
        let sentence = "stop-tokens names token 1114112, and the model's vocabulary has 1114112 tokens";
        assert_eq!(guest.llm(LlmRequest::Start(generate)).await, Err(LlmError::Invalid(sentence.into())));
        done()
    })
    .await;
    let jobs = node.engine.jobs.lock();
    assert_eq!(jobs.iter().map(|job| &job.params).collect::<Vec<_>>(), [&said()]);
}

#[tokio::test]
async fn log_probabilities_come_where_they_are_asked_for() {
    let node = TestNode::new();
    node.run(Given::default(), |guest| async move {
        let model = guest.open_model().await;
        for logprobs in [None, Some(0), Some(3)] {
            let mut generate = generate(model, prompt("q"), 2);
            generate.params.logprobs = logprobs;
            let Ok(LlmReply::Completed(completion)) = guest.llm(LlmRequest::Chat(generate.clone())).await else {
                panic!("the account can pay it");
            };
            let mut expect = Vec::new();
            (0..2).for_each(|_| drawn("a", logprobs.unwrap_or(0)).append_to(&mut expect));
            match (logprobs, completion.logprobs) {
                (None, None) => {}
                (Some(_), Some(value)) => {
                    let read = ValueRequest::Read { value, offset: 0, length: 10_000 };
                    let reply = guest.call(Request::Value(read)).await;
                    assert_eq!(reply, Reply::Value(Ok(ValueReply::Read(expect.into()))));
                }
                other => panic!("{other:?}"),
            }
            let Ok(LlmReply::Started(stream)) = guest.llm(LlmRequest::Start(generate)).await else {
                panic!("the account can pay it");
            };
            for _ in 0..2 {
                if let Some(likeliest) = logprobs {
                    assert_eq!(guest.next(stream).await, Ok(Delta::Token(Box::new(drawn("a", likeliest)))));
                }
                assert_eq!(guest.next(stream).await, Ok(Delta::Text("a".into())));
            }
            assert!(matches!(guest.next(stream).await, Ok(Delta::End(_))));
        }
        done()
    })
    .await;
}

#[tokio::test]
async fn a_completion_without_room_for_its_log_probabilities_leaves_nothing_behind() {
    let node = TestNode::new();
    let limits = Limits { value_bytes_max: 20, ..Limits::default() };
    node.run(Given { limits, ..Given::default() }, |guest| async move {
        let model = guest.open_model().await;
        let mut generate = generate(model, prompt("q"), 5);
        generate.params.logprobs = Some(0);
        assert!(matches!(guest.llm(LlmRequest::Chat(generate)).await, Err(LlmError::Invalid(_))));
        guest.make_value(&[0; 20]).await;
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
