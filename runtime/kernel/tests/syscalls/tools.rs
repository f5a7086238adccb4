//! Formats, tools, calls and what they come to, as the guest sees them.

use crate::fakes::{Given, Guest, Play, TestNode, call, done, generate, model_grant, paid_for_models};
use remit_abi::{
    Content, Conversation, Delta, FinishReason, GrantLimits, Integrity, Label, LlmError, LlmReply, LlmRequest, Message,
    ModelId, OutputFormat, Part, Prompt, Reply, Request, Role, Tokens, Tool, ToolCall, ToolChoice, ToolResult, Toolset,
    ValueId, ValueReply, ValueRequest, limits,
};
use remit_kernel::ports::ChatMessage;

fn tools(choice: ToolChoice) -> Toolset {
    let parameters = r#"{"properties": {"city": {"type": "string"}}}"#.into();
    Toolset { tools: [Tool { name: "weather".into(), description: "Tells it.".into(), parameters }].into(), choice }
}

fn text(text: &str) -> Part {
    Part::Text(Content::Text(text.into()))
}

fn result(id: &str, content: Content) -> Part {
    Part::ToolResult(ToolResult { id: id.into(), content })
}

fn message(role: Role, parts: &[Part]) -> Message {
    Message { role, content: parts.into() }
}

fn conversation(messages: &[Message], tools: Option<Toolset>) -> Prompt {
    Prompt::Chat(Conversation { messages: messages.to_vec(), tools: tools.map(Box::new) })
}

/// The calls of a value as [`ToolCall::append_to`] writes them.
async fn read_calls(guest: &Guest, value: ValueId) -> Vec<u8> {
    match guest.call(Request::Value(ValueRequest::Read { value, offset: 0, length: 10_000 })).await {
        Reply::Value(Ok(ValueReply::Read(bytes))) => bytes.to_vec(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_call_is_told_and_its_result_goes_back_to_the_model() {
    let node = TestNode::new();
    let asks = Play::Calls(&["Let me", " see."], &[("weather", r#"{"city":"Oslo"}"#)]);
    node.engine.plays.lock().extend([asks.clone(), asks, Play::Words(&["It", " rains."])]);
    node.run(Given::default(), |guest| async move {
        let model = guest.open_model().await;
        let question = message(Role::User, &[text("Rain?")]);
        let asked = conversation(std::slice::from_ref(&question), Some(tools(ToolChoice::Auto)));
        let stream = guest.start(asked.clone(), 9).await;
        assert_eq!(guest.next(stream).await, Ok(Delta::Text("Let me".into())));
        assert_eq!(guest.next(stream).await, Ok(Delta::Text(" see.".into())));
        let wish = call(0, "weather", r#"{"city":"Oslo"}"#);
        assert_eq!(guest.next(stream).await, Ok(Delta::ToolCall(Box::new(wish.clone()))));
        match guest.next(stream).await {
            Ok(Delta::End(summary)) => assert_eq!(summary.finish, FinishReason::ToolCalls),
            other => panic!("{other:?}"),
        }
        let Ok(LlmReply::Completed(completion)) = guest.llm(LlmRequest::Chat(generate(model, asked, 9))).await else {
            panic!("the account can pay it");
        };
        assert_eq!(completion.summary.finish, FinishReason::ToolCalls);
        let mut expect = Vec::new();
        wish.append_to(&mut expect);
        assert_eq!(read_calls(&guest, completion.calls.expect("there is one")).await, expect);
        let turns = [
            question,
            message(Role::Assistant, &[text("Let me see."), Part::ToolCall(wish)]),
            message(Role::User, &[result("c0", Content::Text("yes".into())), text("Go on.")]),
        ];
        let answered = conversation(&turns, Some(tools(ToolChoice::None)));
        let Ok(LlmReply::Completed(completion)) = guest.llm(LlmRequest::Chat(generate(model, answered, 9))).await
        else {
            panic!("the account can pay it");
        };
        assert_eq!((completion.summary.finish, completion.calls), (FinishReason::Stop, None));
        done()
    })
    .await;
    let jobs = node.engine.jobs.lock();
    assert!(jobs[..2].iter().all(|job| job.tools.as_deref() == Some(&tools(ToolChoice::Auto))));
    let prompt: String = jobs[2].prompt.iter().filter_map(|token| char::from_u32(*token)).collect();
    assert_eq!(prompt, r#"Rain?Let me see.[c0 weather {"city":"Oslo"}](c0 weather yes)Go on."#);
    // What the engine is told names who said what.
    assert_eq!(ChatMessage::said(Role::User, "Rain?").content(), "Rain?");
}

#[tokio::test]
async fn calls_have_the_label_of_the_text_and_results_taint_it() {
    let node = TestNode::new();
    node.engine.plays.lock().extend([Play::Calls(&[], &[("weather", "{}")]), Play::Calls(&[], &[("weather", "{}")])]);
    let given = Given {
        grants: vec![model_grant(GrantLimits::default())],
        input: vec![("rain", Label::UNTRUSTED)],
        ..Given::default()
    };
    node.run(given, |guest| async move {
        let model = guest.open_model().await;
        let said = Content::Value(guest.start.conversation[0].content);
        let clean = message(Role::User, &[text("Rain?")]);
        let tainted = [
            clean.clone(),
            message(Role::Assistant, &[Part::ToolCall(call(0, "weather", "{}"))]),
            message(Role::User, &[result("c0", said)]),
        ];
        for (messages, label) in [(&[clean][..], Label::TRUSTED), (&tainted[..], Label::UNTRUSTED)] {
            let prompt = conversation(messages, Some(tools(ToolChoice::Required)));
            let Ok(LlmReply::Completed(completion)) = guest.llm(LlmRequest::Chat(generate(model, prompt, 3))).await
            else {
                panic!("the account can pay it");
            };
            let calls = completion.calls.expect("there is one");
            assert_eq!((guest.label_of(calls).await, guest.label_of(completion.content).await), (label, label));
            let before = guest.make_value(b"x").await;
            assert_eq!(guest.label_of(before).await, Label::TRUSTED, "calls were not read");
            read_calls(&guest, calls).await;
        }
        let after = guest.make_value(b"x").await;
        assert_eq!(guest.label_of(after).await.integrity, Integrity::Untrusted);
        done()
    })
    .await;
}

#[tokio::test]
async fn a_completion_without_room_for_its_calls_leaves_nothing_behind() {
    let node = TestNode::new();
    node.engine.plays.lock().push_back(Play::Calls(&["a"], &[("weather", "{}")]));
    let limits = limits::Limits { value_bytes_max: 20, ..limits::Limits::default() };
    node.run(Given { limits, ..Given::default() }, |guest| async move {
        let model = guest.open_model().await;
        let prompt = conversation(&[message(Role::User, &[text("q")])], Some(tools(ToolChoice::Auto)));
        let reply = guest.llm(LlmRequest::Chat(generate(model, prompt, 5))).await;
        assert!(matches!(reply, Err(LlmError::Invalid(_))), "{reply:?}");
        guest.make_value(&[0; 20]).await;
        done()
    })
    .await;
}

async fn check(guest: &Guest, model: ModelId, prompt: Prompt, format: OutputFormat, sentence: &str) {
    let mut generate = generate(model, prompt, 3);
    generate.params.format = format;
    for request in [LlmRequest::Chat(generate.clone()), LlmRequest::Start(generate)] {
        match guest.llm(request).await {
            Err(LlmError::Invalid(said)) => assert!(said.contains(sentence), "{said}\n{sentence}"),
            other => panic!("{sentence}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_a_sentence_and_costs_nothing() {
    let node = TestNode::new();
    let (finished, _) = node
        .run(Given::default(), |guest| async move {
            let model = guest.open_model().await;
            let question = message(Role::User, &[text("q")]);
            let plain = |tools| conversation(std::slice::from_ref(&question), tools);
            let said = async |messages: &[Message], sentence: &str| {
                let all = [std::slice::from_ref(&question), messages].concat();
                check(&guest, model, conversation(&all, None), OutputFormat::Any, sentence).await;
            };
            let asks = |id: &str| Part::ToolCall(ToolCall { id: id.into(), ..call(0, "weather", "{}") });
            let answers = |id: &str| result(id, Content::Text("yes".into()));
            said(&[message(Role::User, &[asks("a")])], "a tool-call is in a message that is not the assistant's").await;
            said(&[message(Role::Assistant, &[asks("")])], "the id of a tool-call is 1 to 64 letters").await;
            said(&[message(Role::Assistant, &[asks("a b")])], "the id of a tool-call is 1 to 64 letters").await;
            said(&[message(Role::Assistant, &[asks("a"), asks("a")])], "the tool-call a is there twice").await;
            said(&[message(Role::User, &[answers("a")])], "there is no tool-call \"a\" before its result").await;
            let asked = message(Role::Assistant, &[asks("a")]);
            said(
                &[asked.clone(), message(Role::User, &[answers("a"), answers("a")])],
                "the tool-call a has two results",
            )
            .await;
            said(&[asked, message(Role::System, &[answers("a")])], "a tool-result is in a message that is not").await;
            let long = Part::ToolCall(call(0, "weather", &"x".repeat(limits::TOOL_BYTES_MAX + 1)));
            said(&[message(Role::Assistant, &[long])], "the tool-call c0 is longer than a call may be").await;

            let set = |tools: Vec<Tool>| Some(Toolset { tools: tools.into(), choice: ToolChoice::Auto });
            let tool = tools(ToolChoice::Auto).tools[0].clone();
            let none = "there are 0 tools, and must be 1 to 128";
            check(&guest, model, plain(set(Vec::new())), OutputFormat::Any, none).await;
            check(&guest, model, plain(set(vec![tool.clone(); 129])), OutputFormat::Any, "there are 129 tools").await;
            let named = Tool { name: "x".repeat(65).into(), ..tool.clone() };
            check(&guest, model, plain(set(vec![named])), OutputFormat::Any, "a tool's name has 65 bytes").await;
            let wide = Tool { parameters: "x".repeat(65_537).into(), ..tool.clone() };
            check(&guest, model, plain(set(vec![wide])), OutputFormat::Any, "\"weather\" have 65537 bytes").await;
            let told = Tool { description: "x".repeat(1 << 20).into(), ..tool };
            check(&guest, model, plain(set(vec![told])), OutputFormat::Any, "its tools 10486").await;

            let regex = OutputFormat::Regex("a+".into());
            let both = plain(Some(tools(ToolChoice::Auto)));
            check(&guest, model, both, regex, "there are a format and tools that may be called").await;
            let impossible = OutputFormat::Grammar("impossible".into());
            check(&guest, model, plain(None), impossible, "no text fits the grammar").await;
            done()
        })
        .await;
    assert_eq!(paid_for_models(&finished), Tokens::ZERO);
    assert!(node.engine.jobs.lock().is_empty(), "nothing reached the engine");
}

#[tokio::test]
async fn tools_count_as_text_of_the_prompt() {
    let node = TestNode::new();
    let (finished, _) = node
        .run(Given::default(), |guest| async move {
            let model = guest.open_model().await;
            let question = [message(Role::User, &[text("q")])];
            let prompt = Box::new(conversation(&question, Some(tools(ToolChoice::Auto))));
            assert_eq!(guest.llm(LlmRequest::CountTokens { model, prompt }).await, Ok(LlmReply::Counted(1)));
            let nothing = conversation(&[], Some(tools(ToolChoice::Auto)));
            assert_eq!(guest.llm(LlmRequest::Chat(generate(model, nothing, 1))).await, Err(LlmError::EmptyPrompt));
            done()
        })
        .await;
    let bytes = tools(ToolChoice::Auto).tools[0].bytes() as u64 + 1;
    // Besides four syscalls, 200 units of fuel each, ten million units a token.
    assert_eq!(finished.ledger.paid.micro(), (bytes + 4) * 200 / 10);
}
