//! A grant that is taken back opens nothing any more, wherever it and what derives from it are, and whatever is under way.

use crate::{
    fakes::{Given, Guest, Play, generate, model_grant, paid_for_models, prompt, tokens},
    guest::{any, named, parcel, plan, same},
    stage::{Played, Stage, parent, stranger},
};
use futures::{FutureExt, poll};
use remit_abi::{
    Attenuate, CapabilityError, CapabilityReply, CapabilityRequest, Delta, Denial, GrantId, GrantKind, GrantLimits,
    LlmError, LlmReply, LlmRequest, Plan, Rate,
};
use remit_authority::Refusal;

const MS: u64 = 1_000_000;

fn revoked(label: &str) -> CapabilityError {
    Denial::Revoked(label.into()).into()
}

async fn start() -> (Stage, Played, GrantId) {
    let stage = Stage::new();
    let alice = stage.start(parent()).await;
    let chat = alice.take("chat").await;
    (stage, alice, chat)
}

async fn derive(guest: &Guest, grant: GrantId, label: &str) -> GrantId {
    guest.attenuate(same(grant, label)).await.expect("it holds it")
}

#[tokio::test]
async fn what_derives_from_a_revoked_grant_dies_wherever_it_is() {
    let (stage, alice, chat) = start().await;
    let bob = stage.start(stranger()).await;
    let to_bob = stage.connect(&alice, &bob);
    let held = derive(&alice, chat, "held").await;
    let deeper = derive(&alice, held, "deeper").await;
    let (sent, childs) = (derive(&alice, held, "sent").await, derive(&alice, chat, "childs").await);
    alice.send(to_bob, parcel("x", vec![named("sent", sent)])).await.expect("there is room");
    let (run, part) = (alice.take("run").await, alice.split(tokens(10)).await);
    let (_, worker) = stage.child(&alice, Plan { grants: vec![named("chat", childs)], ..plan(run, part) }).await;
    assert_eq!(worker.check(childs).await, Ok(()));
    assert_eq!(stage.node.kernel.revoke(chat).ok(), Some(5));
    for (grant, label) in [(chat, "chat"), (held, "held"), (deeper, "deeper")] {
        assert_eq!(alice.check(grant).await, Err(revoked(label)));
    }
    assert_eq!(worker.check(childs).await, Err(revoked("chat")));
    bob.receive(any()).await.expect("a revoked grant travels like any other");
    assert_eq!(bob.check(sent).await, Err(revoked("sent")));
    assert_eq!(stage.node.kernel.revoke(chat).ok(), Some(0), "it was revoked already");
}

#[tokio::test]
async fn nothing_derives_from_a_revoked_grant() {
    let (stage, alice, chat) = start().await;
    stage.node.kernel.revoke(chat).expect("it is live");
    assert!(matches!(alice.attenuate(same(chat, "x")).await, Err(CapabilityError::Denied(Denial::Revoked(_)))));
    assert_eq!(alice.labels().await, ["chat", "run"], "it is still shown to its holder");
}

#[tokio::test]
async fn a_process_takes_back_what_it_derived_under_a_label_and_nothing_else() {
    let (stage, alice, chat) = start().await;
    let (lent, kept) = (derive(&alice, chat, "lent").await, derive(&alice, chat, "kept").await);
    let below = derive(&alice, lent, "below").await;
    let (run, part) = (alice.take("run").await, alice.split(tokens(10)).await);
    let grants = vec![named("lent", lent), named("below", below)];
    let (_, worker) = stage.child(&alice, Plan { grants, ..plan(run, part) }).await;
    let take_back = |label: &str| CapabilityRequest::RevokeDerived { grant: chat, label: label.into() };
    assert_eq!(alice.capability(take_back("nothing")).await, Ok(CapabilityReply::Revoked(0)));
    assert_eq!(alice.capability(take_back("lent")).await, Ok(CapabilityReply::Revoked(2)));
    assert_eq!(worker.check(lent).await, Err(revoked("lent")));
    assert_eq!(worker.check(below).await, Err(revoked("below")));
    assert_eq!((alice.check(chat).await, alice.check(kept).await), (Ok(()), Ok(())));
}

#[tokio::test]
async fn a_grant_that_its_holder_gave_up_still_bounds_what_derives_from_it() {
    let (stage, alice, chat) = start().await;
    let derived = derive(&alice, chat, "derived").await;
    alice.capability(CapabilityRequest::Discard { grant: chat }).await.expect("it holds it");
    assert_eq!(alice.check(derived).await, Ok(()));
    assert_eq!(stage.node.kernel.revoke(chat).ok(), Some(2), "an operator can still take it back");
    assert_eq!(alice.check(derived).await, Err(revoked("derived")));
}

#[tokio::test]
async fn a_stream_whose_grant_is_revoked_is_cancelled_and_settled() {
    let (stage, alice, chat) = start().await;
    stage.node.engine.plays.lock().push_back(Play::Stalls(&["a", "b"]));
    let generation = alice.start(prompt("ten chars."), 50).await;
    assert_eq!(alice.next(generation).await, Ok(Delta::Text("a".into())));
    stage.node.kernel.revoke(chat).expect("it is live");
    let denied = Err(LlmError::Denied(Denial::Revoked("chat".into())));
    assert_eq!(alice.next(generation).await, denied);
    assert!(stage.node.engine.was_cancelled(0));
    alice.llm(LlmRequest::DropGeneration { generation }).await.expect("it holds it");
    assert_eq!(alice.remaining().await, tokens(1000 - 2 - 2), "ten tokens in, two out");
}

#[tokio::test]
async fn who_waits_for_a_streams_next_piece_is_told_of_the_revocation() {
    let (stage, alice, chat) = start().await;
    stage.node.engine.plays.lock().push_back(Play::Stalls(&[]));
    let generation = alice.start(prompt("q"), 50).await;
    let mut next = alice.next(generation).boxed();
    assert!(poll!(&mut next).is_pending());
    stage.node.kernel.revoke(chat).expect("it is live");
    assert_eq!(next.await, Err(LlmError::Denied(Denial::Revoked("chat".into()))));
}

#[tokio::test]
async fn a_chat_under_way_ends_with_the_denial_and_its_refund() {
    let (stage, alice, chat) = start().await;
    stage.node.engine.plays.lock().push_back(Play::Stalls(&["a", "b"]));
    let model = alice.open_model().await;
    let mut chatting = alice.llm(LlmRequest::Chat(generate(model, prompt("ten chars."), 50))).boxed();
    assert!(poll!(&mut chatting).is_pending());
    assert_eq!(alice.remaining().await, tokens(1000 - 52));
    stage.node.kernel.revoke(chat).expect("it is live");
    assert_eq!(chatting.await, Err(LlmError::Denied(Denial::Revoked("chat".into()))));
    assert!(stage.node.engine.was_cancelled(0));
    assert_eq!(alice.remaining().await, tokens(1000 - 4), "what the model did is paid, and no more");
    let finished = stage.end(alice, crate::fakes::done()).await;
    assert_eq!(paid_for_models(&finished), tokens(4));
}

#[tokio::test]
async fn a_revocation_elsewhere_disturbs_nobody() {
    let (stage, alice, _) = start().await;
    let bob = stage.start(parent()).await;
    stage.node.engine.plays.lock().push_back(Play::Stalls(&["a"]));
    let generation = alice.start(prompt("q"), 50).await;
    assert_eq!(alice.next(generation).await, Ok(Delta::Text("a".into())));
    let mut next = alice.next(generation).boxed();
    assert!(poll!(&mut next).is_pending());
    stage.node.kernel.revoke(bob.take("chat").await).expect("it is live");
    assert!(poll!(&mut next).is_pending());
    assert!(!stage.node.engine.was_cancelled(0));
}

#[tokio::test]
async fn a_grant_expires_and_is_refused_from_then_on() {
    let stage = Stage::new();
    // The wall clock of these tests begins at a second.
    let limits = GrantLimits { expires_ns: Some(1005 * MS), ..GrantLimits::default() };
    let alice = stage.start(Given { grants: vec![model_grant(limits)], ..parent() }).await;
    let (chat, model) = (alice.take("chat").await, alice.open_model().await);
    let ask = || LlmRequest::Chat(generate(model, prompt("q"), 1));
    assert!(alice.llm(ask()).await.is_ok());
    stage.node.clock.advance(5 * MS);
    let expired = Denial::Expired("chat".into());
    assert_eq!(alice.check(chat).await, Err(expired.clone().into()));
    assert_eq!(alice.llm(ask()).await, Err(expired.into()));
}

#[tokio::test]
async fn a_rate_lets_uses_through_again_with_time() {
    let stage = Stage::new();
    let limits = GrantLimits { rate: Some(Rate { uses: 1, per_ms: 1000 }), ..GrantLimits::default() };
    let alice = stage.start(Given { grants: vec![model_grant(limits)], ..parent() }).await;
    let model = alice.open_model().await;
    let ask = || LlmRequest::Chat(generate(model, prompt("q"), 1));
    assert!(alice.llm(ask()).await.is_ok());
    stage.node.clock.advance(400 * MS);
    let too_fast = Denial::TooFast { grant: "chat".into(), retry_after_ms: 600 };
    assert_eq!(alice.llm(ask()).await, Err(too_fast.into()));
    stage.node.clock.advance(600 * MS);
    assert!(matches!(alice.llm(ask()).await, Ok(LlmReply::Completed(_))));
}

#[tokio::test]
async fn a_derived_grant_goes_nowhere_further() {
    let limits = GrantLimits {
        uses: Some(5),
        rate: Some(Rate { uses: 2, per_ms: 1000 }),
        expires_ns: Some(5000 * MS),
        max_tokens_per_call: Some(10),
        ceiling: Some(remit_abi::Label::TRUSTED),
    };
    let stage = Stage::new();
    let alice = stage.start(Given { grants: vec![model_grant(limits)], ..parent() }).await;
    let chat = alice.take("chat").await;
    let base = || same(chat, "x");
    let wider = [
        (Attenuate { scope: Some(["*".into()].into()), ..base() }, "scope"),
        (Attenuate { uses: Some(6), ..base() }, "uses"),
        (Attenuate { rate: Some(Rate { uses: 3, per_ms: 1000 }), ..base() }, "rate"),
        (Attenuate { expires_ns: Some(5001 * MS), ..base() }, "expires_ns"),
        (Attenuate { max_tokens_per_call: Some(11), ..base() }, "max_tokens_per_call"),
        (Attenuate { ceiling: Some((remit_abi::Integrity::Untrusted, [].into())), ..base() }, "ceiling"),
    ];
    for (asked, what) in wider {
        assert_eq!(alice.attenuate(asked).await, Err(CapabilityError::Widens(what.into())));
    }
    let derived = alice.attenuate(base()).await.expect("as wide is no wider");
    let held = alice.held().await;
    let limits_of = |label: &str| held.iter().find(|held| &*held.info.label == label).expect("it is held").info.limits;
    assert_eq!(limits_of("x"), limits_of("chat"));
    assert_eq!(alice.check(derived).await, Ok(()));
}

#[tokio::test]
async fn a_denial_is_kept_with_what_an_operator_can_do_about_it() {
    let stage = Stage::new();
    let limits = GrantLimits { max_tokens_per_call: Some(5), ..GrantLimits::default() };
    let grants = vec![model_grant(limits)];
    let alice = stage.start(Given { grants, package: "summarizer", ..parent() }).await;
    let bob = stage.start(stranger()).await;
    let model = alice.open_model().await;
    assert!(alice.llm(LlmRequest::Chat(generate(model, prompt("q"), 8))).await.is_err());
    let foreign = alice.take("chat").await;
    assert!(bob.llm(LlmRequest::Open { grant: foreign }).await.is_err());
    let denials = stage.node.kernel.denials(None);
    let [first, second] = &denials[..] else { panic!("there were two: {denials:?}") };
    assert_eq!((first.number, first.pid, &*first.package), (1, alice.pid, "summarizer"));
    assert_eq!((first.interface, first.at_ns), ("llm", 1000 * MS));
    assert_eq!(first.denial, Denial::Exceeded("chat".into()));
    assert_eq!(first.explanation.refusal, Refusal::Tokens);
    let enough = first.explanation.enough.as_ref().expect("a grant would be enough");
    assert_eq!((&*enough.label, enough.kind), ("chat", GrantKind::Model));
    assert_eq!(enough.limits.max_tokens_per_call, Some(8));
    assert_eq!((second.number, second.pid), (2, bob.pid));
    assert_eq!(second.denial, Denial::NotGranted(GrantKind::Model.name().into()));
    assert_eq!(stage.node.kernel.denials(Some(bob.pid)).len(), 1);
}

#[tokio::test]
async fn the_latest_denials_are_kept() {
    let stage = Stage::new();
    let alice = stage.start(stranger()).await;
    let grant = GrantId { index: 77, generation: 1 };
    let most = remit_abi::limits::DENIALS_KEPT_MAX;
    for _ in 0..most + 3 {
        assert!(alice.llm(LlmRequest::Open { grant }).await.is_err());
    }
    let denials = stage.node.kernel.denials(None);
    assert_eq!(denials.len(), most);
    assert_eq!(denials.first().map(|denied| denied.number), Some(4));
}

#[tokio::test]
async fn what_was_lent_is_taken_back_under_the_label_that_it_was_derived_with() {
    let (stage, alice, chat) = start().await;
    let lent = derive(&alice, chat, "lent").await;
    let (run, part) = (alice.take("run").await, alice.split(tokens(10)).await);
    let (_, worker) = stage.child(&alice, Plan { grants: vec![named("model", lent)], ..plan(run, part) }).await;
    let request = CapabilityRequest::RevokeDerived { grant: chat, label: "lent".into() };
    assert_eq!(alice.capability(request).await, Ok(CapabilityReply::Revoked(1)));
    assert_eq!(worker.check(lent).await, Err(revoked("model")));
}
