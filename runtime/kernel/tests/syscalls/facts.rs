//! What an auditor may read of what processes were told.

use crate::{
    fakes::{Given, Guest, Play, TestNode, done, generate, prompt, tokens},
    guest::{message, same},
};
use remit_abi::{
    Attenuate, CapabilityRequest, ClockRequest, Content, Delta, Exit, FinishReason, Fuel, GenerationId, LlmReply,
    LlmRequest, ModelId, Params, Request, Sampling, Tokens, Usage,
};
use remit_authority::PriceList;
use remit_kernel::ports::{DenialKind, EndKind, Entry, Fact};
use std::future::Future;

/// A text of a guest, which no fact has.
const SECRET: &str = "heron";
const SEED: u64 = 77;

/// Each fact of a process's log, in order, with the entry that it is of.
fn facts(node: &TestNode) -> Vec<(Fact, Entry<'static>)> {
    let entries = node.journal.memory.records().into_iter().filter_map(|record| record.entry);
    entries.filter_map(|entry| Some((entry.fact()?, entry))).collect()
}

/// What a script leaves for an auditor between its beginning and its end.
async fn check<F, R>(node: &TestNode, script: F, expect: &[Fact])
where
    F: Fn(Guest) -> R + Send + Sync + 'static,
    R: Future<Output = Exit> + Send + 'static,
{
    node.run(Given::default(), script).await;
    let facts: Vec<_> = facts(node).into_iter().map(|(fact, _)| fact).collect();
    let [created, began, between @ .., exited] = facts.as_slice() else { panic!("{facts:?}") };
    let (package, component) = ("script".into(), "digest of script".into());
    assert_eq!(*created, Fact::Created { package, component, parent: None, funds: tokens(1000) });
    assert_eq!(*began, Fact::Began { restarts: 0 });
    assert_eq!(between, expect);
    assert_eq!(*exited, Fact::Exited { end: EndKind::Complete, fuel: Some(Fuel(0)) });
    let written = format!("{facts:?}");
    assert!(!written.contains(SECRET), "{written}");
}

fn opened() -> Fact {
    Fact::Opened { model: "m".into(), digest: "d".into() }
}

fn seeded(model: ModelId) -> Box<remit_abi::Generate> {
    let mut asked = generate(model, prompt(SECRET), 3);
    asked.params = Params { sampling: Sampling { seed: SEED, ..Sampling::default() }, ..asked.params };
    asked
}

async fn started(guest: &Guest) -> GenerationId {
    let model = guest.open_model().await;
    match guest.llm(LlmRequest::Start(seeded(model))).await {
        Ok(LlmReply::Started(generation)) => generation,
        other => panic!("the account can pay it: {other:?}"),
    }
}

fn usage(output: u32) -> Usage {
    Usage { input: SECRET.len() as u32, cached: 0, output }
}

fn generated(paid: Tokens) -> Fact {
    let (model, digest, finish) = ("m".into(), "d".into(), FinishReason::Length);
    Fact::Generated { model, digest, seed: SEED, finish, usage: usage(3), paid }
}

fn streaming() -> Fact {
    Fact::Streaming { model: "m".into(), digest: "d".into(), seed: SEED }
}

#[tokio::test]
async fn a_generation_says_model_seed_tokens_and_price_and_none_of_its_texts() {
    let node = TestNode::new();
    let script = |guest: Guest| async move {
        let model = guest.open_model().await;
        assert!(guest.llm(LlmRequest::Chat(seeded(model))).await.is_ok());
        guest.commit(SECRET.as_bytes()).await;
        let texts = vec![Content::Text(SECRET.into())];
        assert!(guest.llm(LlmRequest::Embed { model, texts }).await.is_ok());
        done()
    };
    // Five tokens in and three out, at the built-in prices; five bytes of state behind three that say what they are.
    let paid = PriceList::built_in().model("m").of(usage(3));
    let embedded = Fact::Embedded { model: "m".into(), digest: "d".into(), usage: usage(0) };
    check(&node, script, &[opened(), generated(paid), Fact::Committed { bytes: 8 }, embedded]).await;
}

#[tokio::test]
async fn a_stream_is_told_when_it_begins_and_once_when_its_end_is_read() {
    let node = TestNode::new();
    let script = |guest: Guest| async move {
        let generation = started(&guest).await;
        let mut ends = 0;
        while ends < 2 {
            ends += u32::from(matches!(guest.next(generation).await, Ok(Delta::End(_))));
        }
        done()
    };
    let paid = PriceList::built_in().model("m").of(usage(3));
    check(&node, script, &[opened(), streaming(), generated(paid)]).await;
}

#[tokio::test]
async fn what_broke_off_is_told_with_what_was_paid() {
    let node = TestNode::new();
    node.engine.plays.lock().push_back(Play::Fails(&["a", "b"]));
    let script = |guest: Guest| async move {
        let generation = started(&guest).await;
        while guest.next(generation).await.is_ok() {}
        done()
    };
    let broken = Fact::Broken { model: "m".into(), digest: "d".into(), seed: SEED, usage: usage(2) };
    check(&node, script, &[opened(), streaming(), broken]).await;
}

#[tokio::test]
async fn a_denial_says_where_and_of_what_kind_and_not_what_was_asked_for() {
    let node = TestNode::new();
    let script = |guest: Guest| async move {
        let grant = guest.take("chat").await;
        let narrow = Attenuate { max_tokens_per_call: Some(1), ..same(grant, SECRET) };
        let narrow = guest.attenuate(narrow).await.expect("no wider");
        let Ok(LlmReply::Opened(model)) = guest.llm(LlmRequest::Open { grant: narrow }).await else {
            panic!("it opens the model");
        };
        assert!(guest.llm(LlmRequest::Chat(seeded(model))).await.is_err());
        assert!(guest.send(grant, message("news", SECRET)).await.is_err());
        assert!(guest.capability(CapabilityRequest::Take { label: format!("{SECRET}-2").into() }).await.is_err());
        done()
    };
    let denied = |interface: &str, denial| Fact::Denied { interface: interface.into(), denial };
    let expect = [
        opened(),
        denied("llm", DenialKind::Exceeded),
        denied("mailbox", DenialKind::NotGranted),
        denied("capability", DenialKind::NotGranted),
    ];
    check(&node, script, &expect).await;
}

#[tokio::test]
async fn other_replies_have_no_fact() {
    let node = TestNode::new();
    node.run(Given::default(), |guest| async move {
        guest.call(Request::Clock(ClockRequest::Wall)).await;
        done()
    })
    .await;
    assert!(!facts(&node).iter().any(|(_, entry)| matches!(entry, Entry::Told(_))));
}
