//! A request after a try that failed: again, after a pause, with another model, or never; and who is left alone meanwhile.

use super::{TWO, ask, counts, given, node, read, routed};
use crate::fakes::{Play, TestNode, done, generate, paid_for_models, prompt};
use remit_abi::{LlmError, LlmReply, LlmRequest, Tokens, Usage, WaitId};
use remit_kernel::{Finished, Spawned, routing::breaker::BreakerState};
use std::future::Future;

/// Lets everything go on that waits for less than a minute.
async fn finish(node: &TestNode, spawned: Spawned<impl Future<Output = Finished> + Send>) -> Finished {
    let Spawned { finished, events, .. } = spawned;
    drop(events);
    let mut finished = Box::pin(finished);
    for _ in 0..60 {
        node.settle().await;
        if let std::task::Poll::Ready(finished) = futures::poll!(&mut finished) {
            assert!(node.kernel.is_conserved(), "tokens were made or lost");
            return finished;
        }
        node.clock.advance(1_000_000_000);
    }
    panic!("it waits for more than a minute");
}

#[tokio::test]
async fn what_may_pass_is_tried_again_after_a_pause_and_not_for_ever() {
    for (busy, answers) in [(2, true), (5, false)] {
        for streams in [false, true] {
            let node = node("[route.r]\ndefault = ['m']\nretry = { again = 3, pause_ms = 10, pause_ms_max = 20 }");
            node.engine.plays.lock().extend(vec![Play::IsBusy; busy]);
            let spawned = node.spawn(given(1000), move |guest| async move {
                let model = guest.open_model().await;
                let generate = generate(model, prompt("q"), 3);
                let ended = match streams {
                    false => match guest.llm(LlmRequest::Chat(generate)).await {
                        Ok(LlmReply::Completed(completion)) => Ok(completion.summary),
                        Ok(other) => panic!("not a completion: {other:?}"),
                        Err(error) => Err(error),
                    },
                    true => match guest.llm(LlmRequest::Start(generate)).await {
                        Ok(LlmReply::Started(stream)) => read(&guest, stream).await.1,
                        Ok(other) => panic!("not a stream: {other:?}"),
                        Err(error) => Err(error),
                    },
                };
                match ended {
                    Ok(summary) => assert_eq!(summary.routed.map(|routed| routed.tries), Some(3)),
                    Err(error) => assert!(matches!(error, LlmError::Unavailable(_)), "{error}"),
                }
                done()
            });
            node.settle().await;
            assert_eq!(node.engine.asked().len(), 1, "nothing before the pause is over");
            finish(&node, spawned).await;
            assert_eq!(node.engine.asked().len(), if answers { 3 } else { 4 });
            assert_eq!(counts(&node).answered, u64::from(answers));
        }
    }
}

#[tokio::test]
async fn a_request_that_is_no_models_is_not_tried_again() {
    let node = node("[route.r]\ndefault = ['m', 'tight']");
    node.run(given(1000), |guest| async move {
        let long = "x".repeat(100);
        assert_eq!(ask(&guest, &long, 3).await, Err(LlmError::TooLong { tokens: 100, capacity: 100 }));
        done()
    })
    .await;
    assert_eq!(node.engine.asked(), []);
}

#[tokio::test]
async fn a_guest_that_only_polls_sees_the_next_models_answer() {
    let node = node(TWO);
    node.engine.plays.lock().push_back(Play::Fails(&[]));
    node.run(given(1000), |guest| async move {
        let stream = guest.start(prompt("q"), 2).await;
        let id = WaitId::Generation(stream);
        assert_eq!(guest.wait_for(&[id]).await, [0]);
        let (text, ended) = read(&guest, stream).await;
        assert_eq!((text.as_str(), ended.expect("it ends well").routed), ("aa", Some(Box::new(routed("dear", 2)))));
        done()
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_is_dropped_between_two_tries_is_not_paid() {
    let node = node("[route.r]\ndefault = ['m']\nretry = { again = 1, pause_ms = 1000 }");
    node.engine.plays.lock().push_back(Play::Fails(&[]));
    let spawned = node.spawn(given(100), |guest| async move {
        let generation = guest.start(prompt("ten chars."), 5).await;
        let next = guest.next(generation);
        assert!(futures::poll!(Box::pin(next)).is_pending(), "a pause has to pass");
        done()
    });
    let finished = finish(&node, spawned).await;
    assert_eq!((paid_for_models(&finished), finished.ledger.usage), (Tokens::ZERO, Usage::default()));
    assert_eq!(counts(&node).given_up, 1);
}

#[tokio::test]
async fn a_cancelled_stream_is_not_begun_again() {
    let node = node(TWO);
    node.engine.plays.lock().push_back(Play::Fails(&[]));
    node.run(given(1000), |guest| async move {
        let generation = guest.start(prompt("q"), 2).await;
        assert_eq!(guest.llm(LlmRequest::Cancel { generation }).await, Ok(LlmReply::Done));
        assert!(matches!(guest.next(generation).await, Err(LlmError::Unavailable(_))));
        done()
    })
    .await;
    assert_eq!(node.engine.asked().len(), 1);
}

#[tokio::test]
async fn a_model_that_fails_too_often_is_left_alone_until_a_probe_succeeds() {
    let node = node(
        "[breaker]\nfailures = 3\nwindow_ms = 60000\npause_ms = 10000\n[route.r]\ndefault = ['m', 'dear']\nretry = { again = 0 }",
    );
    let ask_once = |expect: &'static str| {
        node.run(given(1000), move |guest| async move {
            let summary = ask(&guest, "q", 1).await.expect("the second model answers");
            assert_eq!(summary.routed.map(|routed| routed.model), Some(expect.into()));
            done()
        })
    };
    let state = || node.kernel.routes()[0].tiers.iter().find(|tier| &*tier.model == "m").map(|tier| tier.breaker);
    let asked = |model: &str| node.engine.asked().iter().filter(|asked| &***asked == model).count();
    node.engine.plays.lock().extend(vec![Play::HasStopped; 4]);
    for _ in 0..3 {
        ask_once("dear").await;
    }
    assert_eq!((state(), asked("m")), (Some(BreakerState::Open), 3));
    ask_once("dear").await;
    assert_eq!(asked("m"), 3, "nobody asks it");
    node.clock.advance(10_000_000_000);
    ask_once("dear").await;
    assert_eq!((state(), asked("m")), (Some(BreakerState::Open), 4), "the probe failed");
    node.clock.advance(10_000_000_000);
    ask_once("m").await;
    assert_eq!((state(), asked("m")), (Some(BreakerState::Closed), 5));
    assert_eq!((counts(&node).answered, counts(&node).fell_back), (6, 5));
}

#[tokio::test]
async fn one_process_alone_does_not_close_a_model_to_others() {
    let node = node("[breaker]\nfailures = 2\n[route.r]\ndefault = ['m', 'dear']");
    node.engine.plays.lock().extend(vec![Play::FailsAlone; 5]);
    node.run(given(1000), |guest| async move {
        for _ in 0..5 {
            ask(&guest, "q", 1).await.expect("the second model answers");
        }
        done()
    })
    .await;
    assert_eq!(node.engine.asked().iter().filter(|asked| &***asked == "m").count(), 5);
    assert_eq!(node.kernel.routes()[0].tiers[1].breaker, BreakerState::Closed);
}
