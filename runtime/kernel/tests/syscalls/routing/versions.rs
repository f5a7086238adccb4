//! Versions of a route, and what a right to it opens.

use super::{TWO, ask, counts, experiment, given, node};
use crate::fakes::{done, generate, prompt};
use remit_abi::{Arm, Content, LlmError, LlmReply, LlmRequest, Prompt};
use remit_kernel::routing::{Deployed, Routes};

#[tokio::test]
async fn a_candidate_gets_its_share_and_a_rollback_takes_it_away() {
    let node = node(TWO);
    let experiment = experiment();
    node.kernel.set_routes(experiment.clone());
    let mut of_candidate = 0;
    for _ in 0..60 {
        let deployed = experiment.deployed["r"].clone();
        node.run(given(1000), move |guest| {
            let (expect, version) = deployed.assigned("r", guest.pid);
            let expect = (expect, version.number, version.route.default[0].clone());
            async move {
                for _ in 0..2 {
                    let summary = ask(&guest, "q", 1).await.expect("a model answers");
                    let routed = summary.routed.expect("a route was asked");
                    assert_eq!((routed.arm, routed.version, routed.model), expect);
                }
                done()
            }
        })
        .await;
    }
    let view = node.kernel.routes().remove(0);
    for arm in &view.arms {
        assert_eq!(arm.share_per_mille, 500);
        assert_eq!(arm.counts.tally.requests, arm.counts.tally.answered);
        assert_eq!(u64::from(arm.arm == Arm::Stable) + 1, 3 - u64::from(arm.version));
        assert_eq!(arm.counts.tally.usage.output, arm.counts.tally.answered);
        assert_eq!(arm.counts.p50_us, Some(0), "no time passed");
        of_candidate += if arm.arm == Arm::Candidate { arm.counts.tally.requests } else { 0 };
    }
    // Five standard deviations of 60 coins, twice each.
    assert!((22..=98).contains(&of_candidate), "{of_candidate} of 120");
    assert_eq!(view.arms.iter().map(|arm| arm.counts.tally.requests).sum::<u64>(), 120);

    let deployed = Deployed { candidate: None, ..experiment.deployed["r"].clone() };
    node.kernel.set_routes(Routes { deployed: [("r".into(), deployed)].into(), ..Routes::default() });
    let before = counts(&node).requests;
    node.run(given(1000), |guest| async move {
        for _ in 0..5 {
            let summary = ask(&guest, "q", 1).await.expect("a model answers");
            assert_eq!(summary.routed.map(|routed| (routed.arm, routed.version)), Some((Arm::Stable, 1)));
        }
        done()
    })
    .await;
    assert_eq!(counts(&node).requests, before + 5, "the stable version's counts go on");
    assert_eq!(node.kernel.routes()[0].arms.len(), 1);
}

#[tokio::test]
async fn a_right_to_a_route_opens_the_route_and_nothing_else() {
    let node = node(TWO);
    node.run(given(1000), |guest| async move {
        let grant = guest.take("chat").await;
        let mut asked = crate::guest::same(grant, "sly");
        asked.scope = Some(["m".into()].into());
        assert!(guest.attenuate(asked).await.is_err(), "the route's models are not in its scope");
        let model = guest.open_model().await;
        let Ok(LlmReply::Info(info)) = guest.llm(LlmRequest::Info { model }).await else { panic!("it is open") };
        assert_eq!((&*info.name, &*info.family, info.context_length), ("r", "route", 1000));
        assert_eq!(&*info.digest, "digest 1");
        let texts = vec![Content::Text("q".into())];
        let refused = guest.llm(LlmRequest::Embed { model, texts }).await;
        assert!(matches!(refused, Err(LlmError::Invalid(why)) if why.contains("only models embed")));
        let mut with_tokens = generate(model, prompt("q"), 1);
        with_tokens.params.stop_tokens = vec![7];
        let refused = guest.llm(LlmRequest::Chat(with_tokens)).await;
        assert!(matches!(refused, Err(LlmError::Invalid(why)) if why.contains("a route has several")));
        let prompt = Box::new(Prompt::Text(Content::Text("abc".into())));
        assert_eq!(guest.llm(LlmRequest::CountTokens { model, prompt }).await, Ok(LlmReply::Counted(3)));
        done()
    })
    .await;
}

#[tokio::test]
async fn a_route_that_went_away_is_unavailable() {
    let node = node(TWO);
    let kernel = node.kernel.clone();
    node.run(given(1000), move |guest| {
        let kernel = kernel.clone();
        async move {
            let model = guest.open_model().await;
            kernel.set_routes(Routes::default());
            let why = "there is no route r any more".into();
            let gone = guest.llm(LlmRequest::Chat(generate(model, prompt("q"), 1))).await;
            assert_eq!(gone, Err(LlmError::Unavailable(why)));
            done()
        }
    })
    .await;
}
