//! A child that is not started leaves its parent what it had; and there is an end to starting.

use crate::{
    fakes::{Given, Guest, TENANT, done, grant, tokens},
    guest::{named, plan, same},
    stage::{Stage, parent},
};
use remit_abi::{
    AccountId, BudgetRequest, ChildInput, ChildrenError, ChildrenRequest, Content, Denial, Exit, GrantId, GrantKind,
    Plan, Role, ValueId,
    limits::{self, Limits, TenantLimits},
};
use remit_kernel::{Ended, Selection};
use std::sync::Arc;

/// Starts a child with a grant under the label of another one and 10 tokens, in a way that fails. Its parent has what it had.
async fn assert_refused(stage: &Stage, alice: &Guest, change: impl FnOnce(Plan) -> Plan, expected: ChildrenError) {
    let run = alice.take("run").await;
    alice.attenuate(same(run, "mine")).await.expect("it holds run");
    let passed = alice.attenuate(same(run, "passed")).await.expect("it holds run");
    let (labels, part) = (alice.labels().await, alice.split(tokens(10)).await);
    let before = alice.remaining().await.saturating_add(tokens(10));
    let refused = alice.spawn(change(Plan { grants: vec![named("mine", passed)], ..plan(run, part) })).await;
    assert_eq!(refused, Err(expected));
    assert_eq!(alice.labels().await, labels, "the grants are its own, under their labels");
    assert_eq!(alice.take("passed").await, passed);
    assert_eq!(alice.remaining().await, before, "the funds were given back");
    assert!(stage.node.kernel.is_conserved());
    for label in ["mine", "passed"] {
        let grant = alice.take(label).await;
        alice.capability(remit_abi::CapabilityRequest::Discard { grant }).await.expect("it holds it");
    }
}

#[tokio::test]
async fn an_agent_outside_of_the_grants_scope_is_denied() {
    let stage = Stage::new();
    stage.install("other");
    let grants = vec![grant("run", GrantKind::Process, &["worker"])];
    let alice = stage.start(Given { grants, ..parent() }).await;
    let denied = Denial::OutOfScope { grant: "run".into() }.into();
    assert_refused(&stage, &alice, |plan| Plan { agent: "other".into(), ..plan }, denied).await;
}

#[tokio::test]
async fn a_grant_of_another_kind_starts_nothing() {
    let stage = Stage::new();
    let alice = stage.start(parent()).await;
    let chat = alice.take("chat").await;
    let denied = Denial::NotGranted("process".into()).into();
    assert_refused(&stage, &alice, |plan| Plan { grant: chat, ..plan }, denied).await;
}

#[tokio::test]
async fn an_agent_that_is_not_installed_is_unavailable() {
    let stage = Stage::new();
    let alice = stage.start(parent()).await;
    let unavailable = ChildrenError::Unavailable("no agent of that name is installed".into());
    assert_refused(&stage, &alice, |plan| Plan { agent: "gone".into(), ..plan }, unavailable).await;
}

#[tokio::test]
async fn a_frozen_agent_is_unavailable_until_it_is_thawed() {
    let stage = Stage::new();
    let alice = stage.start(parent()).await;
    let frozen = Selection::Package(Arc::from("worker"));
    assert_eq!(stage.node.kernel.freeze(frozen.clone()), 0);
    let unavailable = ChildrenError::Unavailable("starts of this agent are frozen".into());
    assert_refused(&stage, &alice, |plan| plan, unavailable).await;
    stage.node.kernel.thaw(&frozen);
    let (run, part) = (alice.take("run").await, alice.split(tokens(10)).await);
    assert!(alice.spawn(plan(run, part)).await.is_ok());
}

#[tokio::test]
async fn a_process_has_so_many_children_at_a_time() {
    let stage = Stage::new();
    let limits = Limits { children_max: 1, ..Limits::default() };
    let alice = stage.start(Given { limits, ..parent() }).await;
    let (run, part) = (alice.take("run").await, alice.split(tokens(10)).await);
    let (child, _) = stage.child(&alice, plan(run, part)).await;
    assert_refused(&stage, &alice, |plan| plan, ChildrenError::TooMany { limit: 1 }).await;
    alice.children(ChildrenRequest::Drop { child }).await.expect("it is its child");
    let part = alice.split(tokens(10)).await;
    assert!(alice.spawn(plan(run, part)).await.is_ok());
}

#[tokio::test]
async fn a_tenant_has_so_many_processes_at_a_time() {
    let stage = Stage::new();
    stage.node.kernel.set_limits(TENANT, TenantLimits { processes_max: 1, ..TenantLimits::default() });
    let alice = stage.start(parent()).await;
    assert_refused(&stage, &alice, |plan| plan, ChildrenError::TooMany { limit: 1 }).await;
}

#[tokio::test]
async fn funds_that_are_gone_start_nothing() {
    let stage = Stage::new();
    let alice = stage.start(parent()).await;
    let gone = alice.split(tokens(7)).await;
    alice.budget(BudgetRequest::Merge { account: gone }).await.expect("it is a part");
    // The part that is made for the child is given back by hand, since the plan names another one.
    let run = alice.take("run").await;
    let refused = alice.spawn(plan(run, gone)).await;
    assert_eq!(refused, Err(ChildrenError::Dead));
    let foreign = AccountId { index: 0, generation: 1 };
    assert_eq!(alice.spawn(plan(run, foreign)).await, Err(ChildrenError::Dead), "the payer's account is not its own");
    assert_eq!(alice.remaining().await, tokens(1000));
}

#[tokio::test]
async fn its_own_account_funds_no_child_and_stays_open() {
    let stage = Stage::new();
    let alice = stage.start(parent()).await;
    let (run, own) = (alice.take("run").await, alice.own_account().await);
    assert!(matches!(alice.spawn(plan(run, own)).await, Err(ChildrenError::Invalid(_))));
    assert_eq!(alice.remaining().await, tokens(1000));
}

#[tokio::test]
async fn a_grant_is_passed_on_once() {
    let stage = Stage::new();
    let alice = stage.start(parent()).await;
    let chat = alice.take("chat").await;
    let twice = |plan| Plan { grants: vec![named("a", chat), named("b", chat)], ..plan };
    let invalid = ChildrenError::Invalid("the grant for b is passed on twice, or its label is".into());
    assert_refused(&stage, &alice, twice, invalid).await;
}

#[tokio::test]
async fn a_grant_of_somebody_else_is_not_passed_on() {
    let stage = Stage::new();
    let alice = stage.start(parent()).await;
    let bob = stage.start(parent()).await;
    let foreign: GrantId = bob.take("chat").await;
    let steals = |plan| Plan { grants: vec![named("a", foreign)], ..plan };
    let invalid = ChildrenError::Invalid("the grant for a is not this process's any more".into());
    assert_refused(&stage, &alice, steals, invalid).await;
    assert_eq!(bob.take("chat").await, foreign);
}

#[tokio::test]
async fn a_conversation_of_values_that_are_gone_starts_nothing() {
    let stage = Stage::new();
    let alice = stage.start(parent()).await;
    let content = Content::Value(ValueId { index: 9, generation: 1 });
    let conversation = vec![ChildInput { role: Role::User, content }];
    assert_refused(&stage, &alice, |plan| Plan { conversation, ..plan }, ChildrenError::Dead).await;
}

#[tokio::test]
async fn a_conversation_beyond_the_childs_limits_starts_nothing() {
    let stage = Stage::new();
    let limits = Limits { objects_max: 2, ..Limits::default() };
    let alice = stage.start(Given { limits, ..parent() }).await;
    let input = ChildInput { role: Role::User, content: Content::Text("x".into()) };
    let conversation = vec![input.clone(), input.clone(), input];
    let invalid = ChildrenError::Invalid("this process may hold 2 values at most: drop some".into());
    assert_refused(&stage, &alice, |plan| Plan { conversation, ..plan }, invalid).await;
}

#[tokio::test]
async fn processes_nest_so_deep() {
    let stage = Stage::new();
    let root = stage.start(parent()).await;
    let mut deepest: Guest = (*root).clone();
    for depth in 1..=limits::PROCESS_DEPTH_MAX {
        let run = deepest.take("run").await;
        let passed = deepest.attenuate(same(run, "passed")).await.expect("it is not that deep yet");
        let part = deepest.split(tokens(100 - u64::from(depth))).await;
        let grants = vec![named("run", passed)];
        (_, deepest) = stage.child(&deepest, Plan { grants, ..plan(run, part) }).await;
    }
    let too_deep = ChildrenError::TooMany { limit: u64::from(limits::PROCESS_DEPTH_MAX) };
    assert_refused(&stage, &deepest, |plan| plan, too_deep).await;
    assert_eq!(stage.node.kernel.processes().len(), 1 + limits::PROCESS_DEPTH_MAX as usize);
    let finished = stage.end(root, done()).await;
    assert_eq!(stage.assert_empty(), finished.refunded);
}

/// Starts two of itself with all it has, and waits for ever.
async fn bomb(guest: Guest) -> Exit {
    let run = guest.take("run").await;
    for part in [2, 1] {
        let amount = remit_abi::Tokens::from_micro(guest.remaining().await.micro() / (part + 1));
        let Ok(passed) = guest.attenuate(same(run, &format!("run-{part}"))).await else { break };
        let funds = guest.split(amount).await;
        let grants = vec![named("run", passed)];
        let _refused = guest.spawn(Plan { agent: "bomb".into(), grants, ..plan(run, funds) }).await;
    }
    std::future::pending().await
}

#[tokio::test]
async fn a_fork_bomb_ends_at_its_tenants_limit_and_leaves_nothing() {
    let stage = Stage::new();
    stage.node.install("bomb", bomb);
    stage.node.kernel.set_limits(TENANT, TenantLimits { processes_max: 100, ..TenantLimits::default() });
    let spawned = stage.node.spawn(parent(), bomb);
    stage.node.settle().await;
    assert_eq!(stage.node.kernel.processes().len(), 100);
    assert!(stage.node.kernel.is_conserved());
    stage.node.kernel.kill(spawned.pid);
    let finished = spawned.finished.await;
    assert!(matches!(finished.ended, Ended::Faulted(_)));
    assert_eq!(stage.assert_empty(), finished.refunded);
    let one_more = stage.start(parent()).await;
    stage.end(one_more, done()).await;
}

#[tokio::test]
async fn a_fork_bomb_without_a_tenants_limit_ends_at_its_depth() {
    async fn chain(guest: Guest) -> Exit {
        let run = guest.take("run").await;
        let passed = guest.attenuate(same(run, "passed")).await.expect("grants nest deeper than processes");
        let half = remit_abi::Tokens::from_micro(guest.remaining().await.micro() / 2);
        let funds = guest.split(half).await;
        let chain = Plan { agent: "chain".into(), grants: vec![named("run", passed)], ..plan(run, funds) };
        match guest.spawn(chain).await {
            Ok(child) => guest.wait(child).await.map(|_report| done()).expect("it ends"),
            Err(error) => {
                assert_eq!(error, ChildrenError::TooMany { limit: u64::from(limits::PROCESS_DEPTH_MAX) });
                done()
            }
        }
    }
    let stage = Stage::new();
    stage.node.install("chain", chain);
    let finished = stage.node.spawn(parent(), chain).finished.await;
    assert!(matches!(finished.ended, Ended::Done(..)), "{:?}", finished.ended);
    assert_eq!(stage.assert_empty(), finished.refunded);
}
