//! What was read taints; what was only carried does not.

use crate::fakes::{Given, TestNode, done, generate, model_grant, prompt};
use remit_abi::{
    Content, Event, GrantLimits, GuestEvent, Integrity, Label, LlmReply, LlmRequest, Message, Prompt, Reply, Request,
    Role, TaskRequest, ValueReply, ValueRequest,
};

fn given() -> Given {
    Given {
        grants: vec![model_grant(GrantLimits::default())],
        input: vec![("a document", Label::UNTRUSTED)],
        ..Given::default()
    }
}

#[tokio::test]
async fn reading_raises_the_processs_label_and_carrying_does_not() {
    let node = TestNode::new();
    let (_, events) = node
        .run(given(), |guest| async move {
            let document = guest.start.conversation[0].content;
            let emit = |content| Request::Task(TaskRequest::Emit(Box::new(GuestEvent::Text(content))));
            assert_eq!(guest.call(emit(Content::Value(document))).await, Reply::Task(Ok(())));
            assert_eq!(guest.label_of(document).await, Label::UNTRUSTED);
            let before = guest.make_value(b"own words").await;
            let read = ValueRequest::Read { value: document, offset: 2, length: 100 };
            let reply = guest.call(Request::Value(read)).await;
            assert_eq!(reply, Reply::Value(Ok(ValueReply::Read("document".into()))));
            let after = guest.make_value(b"own words").await;
            assert_eq!(guest.label_of(before).await, Label::TRUSTED);
            assert_eq!(guest.label_of(after).await, Label::UNTRUSTED);
            assert_eq!(guest.call(emit(Content::Text("said".into()))).await, Reply::Task(Ok(())));
            done()
        })
        .await;
    let shown: Vec<_> = events
        .into_iter()
        .map(|event| match event {
            Event::Text { text, label } => (text, label.integrity),
            other => panic!("only text was emitted: {other:?}"),
        })
        .collect();
    assert_eq!(shown, [("a document".into(), Integrity::Untrusted), ("said".into(), Integrity::Untrusted)]);
}

#[tokio::test]
async fn a_models_answer_carries_what_went_into_its_prompt() {
    let node = TestNode::new();
    node.run(given(), |guest| async move {
        let model = guest.open_model().await;
        let document = guest.start.conversation[0].content;
        let carried = Prompt::Chat(vec![Message::text(Role::User, Content::Value(document))].into());
        let answers = [(prompt("clean"), Label::TRUSTED), (carried, Label::UNTRUSTED)];
        for (prompt, label) in answers {
            let Ok(LlmReply::Completed(completion)) = guest.llm(LlmRequest::Chat(generate(model, prompt, 3))).await
            else {
                panic!("the account can pay it");
            };
            assert_eq!(guest.label_of(completion.content).await, label);
        }
        let own = guest.make_value(b"still clean").await;
        assert_eq!(guest.label_of(own).await, Label::TRUSTED, "the answer was not read");
        done()
    })
    .await;
}

#[tokio::test]
async fn reading_log_probabilities_is_reading_the_answer() {
    let node = TestNode::new();
    node.run(given(), |guest| async move {
        let model = guest.open_model().await;
        let document = guest.start.conversation[0].content;
        let carried = Prompt::Chat(vec![Message::text(Role::User, Content::Value(document))].into());
        let mut generate = generate(model, carried, 3);
        generate.params.logprobs = Some(1);
        let Ok(LlmReply::Completed(completion)) = guest.llm(LlmRequest::Chat(generate)).await else {
            panic!("the account can pay it");
        };
        let logprobs = completion.logprobs.expect("they were asked for");
        assert_eq!(guest.label_of(logprobs).await, Label::UNTRUSTED);
        let before = guest.make_value(b"x").await;
        guest.call(Request::Value(ValueRequest::Read { value: logprobs, offset: 0, length: 1 })).await;
        let after = guest.make_value(b"x").await;
        assert_eq!(guest.label_of(before).await, Label::TRUSTED);
        assert_eq!(guest.label_of(after).await, Label::UNTRUSTED);
        done()
    })
    .await;
}

#[tokio::test]
async fn a_stream_taints_with_its_first_piece() {
    let node = TestNode::new();
    node.run(given(), |guest| async move {
        let document = guest.start.conversation[0].content;
        let carried = Prompt::Chat(vec![Message::text(Role::User, Content::Value(document))].into());
        let generation = guest.start(carried, 3).await;
        let before = guest.make_value(b"x").await;
        guest.next(generation).await.expect("the engine works");
        let after = guest.make_value(b"x").await;
        assert_eq!(guest.label_of(before).await, Label::TRUSTED);
        assert_eq!(guest.label_of(after).await, Label::UNTRUSTED);
        done()
    })
    .await;
}
