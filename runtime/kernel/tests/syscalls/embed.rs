//! Texts as vectors.

use crate::fakes::{EMBEDDING_WIDTH, Given, TestNode, done, model_grant, tokens};
use remit_abi::{Content, Embeddings, GrantLimits, Label, LlmError, LlmReply, LlmRequest, ModelId, Shortfall, limits};

fn texts(texts: &[&str]) -> Vec<Content> {
    texts.iter().map(|text| Content::Text((*text).into())).collect()
}

fn embed(model: ModelId, texts: Vec<Content>) -> LlmRequest {
    LlmRequest::Embed { model, texts }
}

/// Input that a stranger wrote, and the right to the model.
fn given() -> Given {
    Given {
        grants: vec![model_grant(GrantLimits::default())],
        input: vec![("a document", Label::UNTRUSTED), ("\u{0}", Label::TRUSTED)],
        ..Given::default()
    }
}

#[tokio::test]
async fn each_text_has_its_vector_in_order_and_pays_for_its_tokens() {
    let node = TestNode::new();
    let (finished, _) = node
        .run(Given::default(), |guest| async move {
            let model = guest.open_model().await;
            let Ok(LlmReply::Embedded(embeddings)) = guest.llm(embed(model, texts(&["abc", "数"]))).await else {
                panic!("the account can pay it");
            };
            assert_eq!(embeddings.width, EMBEDDING_WIDTH);
            assert_eq!(embeddings.vectors().collect::<Vec<_>>(), [[3.0, 0.5], [1.0, 0.5]]);
            done()
        })
        .await;
    // Four tokens at a twentieth of a token, and three syscalls, 200 units of fuel each, ten million units a token.
    assert_eq!(finished.ledger.paid.micro(), 4 * 50_000 + 3 * 200 / 10);
}

#[tokio::test]
async fn whoever_gets_a_texts_vector_has_read_the_text() {
    let node = TestNode::new();
    node.run(given(), |guest| async move {
        let model = guest.open_model().await;
        let [document, _] = [0, 1].map(|index| guest.start.conversation[index].content);
        assert!(guest.llm(embed(model, texts(&["own words"]))).await.is_ok());
        assert_eq!(guest.own_label().await, Label::TRUSTED);
        assert!(guest.llm(embed(model, vec![Content::Value(document)])).await.is_ok());
        assert_eq!(guest.own_label().await, Label::UNTRUSTED);
        done()
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_embedded_is_refused_by_name_and_costs_nothing() {
    let node = TestNode::new();
    node.run(given(), |guest| async move {
        let model = guest.open_model().await;
        let many = texts(&["x"; limits::EMBED_TEXTS_MAX + 1]);
        assert!(matches!(guest.llm(embed(model, many)).await, Err(LlmError::Invalid(why)) if why.contains("257")));
        assert_eq!(guest.llm(embed(model, Vec::new())).await, Err(LlmError::EmptyPrompt));
        let long = texts(&["short", &"x".repeat(101)]);
        assert_eq!(guest.llm(embed(model, long)).await, Err(LlmError::TooLong { tokens: 101, capacity: 100 }));
        let before = guest.remaining().await;
        // The scripted engine gives one vector too few for this text.
        let short = guest.llm(embed(model, texts(&["!"]))).await;
        assert!(matches!(short, Err(LlmError::Unavailable(_))), "{short:?}");
        assert!(before.saturating_sub(guest.remaining().await) < tokens(1));
        done()
    })
    .await;
}

#[tokio::test]
async fn a_batch_that_cannot_be_paid_is_not_computed() {
    let node = TestNode::new();
    let poor = Given { budget: tokens(4), ..Given::default() };
    node.run(poor, |guest| async move {
        let model = guest.open_model().await;
        let remaining = guest.remaining().await;
        let reply = guest.llm(embed(model, texts(&[&"x".repeat(100)]))).await;
        assert!(
            matches!(reply, Err(LlmError::Shortfall(Shortfall { needed, .. })) if needed == tokens(5)),
            "{reply:?}"
        );
        assert!(remaining.saturating_sub(guest.remaining().await) < tokens(1));
        done()
    })
    .await;
}

#[test]
fn vectors_survive_being_put_together() {
    let vectors = vec![vec![1.0, -2.5, f32::MIN_POSITIVE], vec![0.0, 3.25, f32::MAX]];
    assert_eq!(Embeddings::new(3, &vectors).vectors().collect::<Vec<_>>(), vectors);
}
