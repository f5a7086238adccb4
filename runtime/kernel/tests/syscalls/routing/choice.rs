//! Which model a request is put to: by its size, by the account, by rules; and what an operator is told of that.

use super::{ask, counts, experiment, given, node, routed};
use crate::fakes::{Given, TENANT, done, generate, grant, paid_for_models, prompt, tokens};
use remit_abi::{Arm, FinishReason, GrantKind, LlmError, LlmReply, LlmRequest, Pid, Priority, TenantId};
use remit_kernel::routing::policy::{RequestClass, Skip};

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
