//! Routes: another model where the first refuses or fails, who pays what, what is recorded, and who gets which version.

use crate::fakes::{
    Given, Guest, Other, Play, TENANT, TestNode, Written, done, generate, grant, paid_for_models, prompt, tokens,
};
use remit_abi::{
    Arm, Content, Delta, FinishReason, GrantKind, LlmError, LlmReply, LlmRequest, Pid, Priority, Prompt, Reply, Routed,
    Summary, TenantId, Tokens, Usage, WaitId,
};
use remit_authority::{ModelPrices, PriceList};
use remit_kernel::{
    Finished, Spawned,
    routing::{
        Candidate, Deployed, Routes, Version,
        arm::Subject,
        breaker::BreakerState,
        count::Tally,
        policy::{RequestClass, Skip},
        read::Definitions,
    },
};
use std::{future::Future, sync::Arc};

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
        Written::Reply { reply: Reply::Llm(Ok(LlmReply::Completed(completion))), .. } => {
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
async fn a_prompt_too_long_for_a_model_goes_to_the_next() {
    let node = node("[route.r]\ndefault = ['tight', 'absent', 'm']");
    node.run(given(1000), |guest| async move {
        let short = ask(&guest, "ten chars.", 50).await.expect("it fits");
        assert_eq!((short.finish, short.usage.output), (FinishReason::Length, 10), "the context has no more room");
        let long = ask(&guest, &"x".repeat(30), 3).await.expect("it fits the last");
        assert_eq!(long.routed.as_deref(), Some(&routed("m", 1)));
        done()
    })
    .await;
    assert_eq!((counts(&node).answered, counts(&node).fell_back), (2, 1));
}

#[tokio::test]
async fn an_account_too_small_for_the_dear_model_pays_the_cheap_one() {
    let node = node("[route.r]\ndefault = ['dear', 'm']");
    let (finished, _) = node
        .run(given(20), |guest| async move {
            let summary = ask(&guest, "ten chars.", 50).await.expect("it can pay the cheap one");
            assert_eq!(summary.routed.map(|routed| routed.model), Some("m".into()));
            assert_eq!(summary.finish, FinishReason::Budget);
            let poor = ask(&guest, "ten chars.", 50).await;
            assert!(matches!(poor, Err(LlmError::Shortfall(_))), "{poor:?}");
            done()
        })
        .await;
    // 2 for the prompt and 16 of output; the wind-down keeps 2 back.
    assert_eq!(paid_for_models(&finished), tokens(18));
}

#[tokio::test]
async fn rules_see_task_size_budget_and_priority() {
    let text = "
        [route.r]
        default = ['m']
        [[route.r.rule]]
        name = 'poor'
        use = ['tight']
        when = { budget = { max = 100 } }
        [[route.r.rule]]
        name = 'long'
        use = ['dear']
        when = { prompt_tokens = { min = 5 }, priority = ['normal'] }
        [[route.r.rule]]
        name = 'sums'
        use = ['tight']
        when = { task = 'sum', output_tokens = { max = 3 } }";
    let text = text.replace("'sum',", "['sum'],");
    for (label, budget, question, most, expect) in [
        ("chat", 1000, "q", 3, ("default", "m")),
        ("chat", 100, "long text", 3, ("poor", "tight")),
        ("chat", 1000, "long text", 3, ("long", "dear")),
        ("sum", 1000, "q", 3, ("sums", "tight")),
        ("sum", 1000, "q", 4, ("default", "m")),
    ] {
        let node = node(&text);
        let given = Given { grants: vec![grant(label, GrantKind::Model, &["r"])], ..given(budget) };
        node.run(given, move |guest| async move {
            let grant = guest.take(label).await;
            let Ok(LlmReply::Opened(model)) = guest.llm(LlmRequest::Open { grant }).await else {
                panic!("it is there")
            };
            let Ok(LlmReply::Completed(done_with)) =
                guest.llm(LlmRequest::Chat(generate(model, prompt(question), most))).await
            else {
                panic!("a model answers")
            };
            let routed = done_with.summary.routed.expect("a route was asked");
            assert_eq!((&*routed.rule, &*routed.model), expect);
            done()
        })
        .await;
    }
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

/// Version 1 asks `m`; version 2 asks `dear`, and half of all processes get it.
fn experiment() -> Routes {
    let read = |text: &str| Definitions::read(text, &["m", "dear"]).expect("it is well-formed");
    let (old, new) = (read("[route.r]\ndefault = ['m']"), read("[route.r]\ndefault = ['dear']"));
    let candidate = Candidate { version: version(2, &new, "r"), share_per_mille: 500, by: Subject::Process };
    let deployed = Deployed { stable: version(1, &old, "r"), candidate: Some(candidate) };
    Routes { deployed: [("r".into(), deployed)].into(), ..Routes::default() }
}

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
async fn an_operator_is_told_what_a_request_would_get() {
    let node = node(
        "[route.r]\ndefault = ['tight', 'absent', 'm']\n[[route.r.rule]]\nuse = ['dear']\nwhen = { task = ['sum'] }",
    );
    let class = RequestClass {
        task: "chat".into(),
        prompt_tokens: 20,
        output_tokens: 5,
        priority: Priority::Normal,
        tenant: TenantId(0),
        budget: tokens(5),
    };
    assert_eq!(node.kernel.explain_route("none", &class, None), None);
    let told = node.kernel.explain_route("r", &class, None).expect("it is there").remove(0);
    assert_eq!((told.arm, told.version, &*told.explained.rule), (Arm::Stable, 1, "default"));
    assert_eq!(told.explained.missed, [("rule 1".into(), "the task is chat, and it is for sum".to_owned())]);
    let skips: Vec<_> = told.explained.models.iter().map(|ranked| ranked.skip).collect();
    assert_eq!(skips, [Some(Skip::TooLong { tokens: 20, capacity: 20 }), Some(Skip::NotOpen), None]);
    node.kernel.set_routes(experiment());
    assert_eq!(node.kernel.explain_route("r", &class, None).map(|arms| arms.len()), Some(2));
    let pid = Pid { tenant: TENANT, index: 1, generation: 1 };
    assert_eq!(node.kernel.explain_route("r", &class, Some(pid)).map(|arms| arms.len()), Some(1));
}
