//! Messages with pictures and sounds, which no engine takes so far.

use crate::fakes::{Given, Guest, TestNode, done, generate, model_grant, paid_for_models};
use remit_abi::{
    Content, Denial, GrantLimits, Label, LlmError, LlmReply, LlmRequest, Media, Message, Part, Prompt, Reply, Request,
    Role, Tokens, ValueId, ValueReply, ValueRequest, limits,
};

impl Guest {
    async fn make_media(&self, media_type: &str, bytes: &'static [u8]) -> ValueId {
        let make = ValueRequest::FromBytes { bytes: bytes.into(), media_type: media_type.into() };
        match self.call(Request::Value(make)).await {
            Reply::Value(Ok(ValueReply::Made(value))) => value,
            other => panic!("there is room: {other:?}"),
        }
    }
}

fn said(parts: Vec<Part>) -> Prompt {
    let messages = vec![
        Message::text(Role::System, Content::Text("Be brief.".into())),
        Message { role: Role::User, content: parts.into() },
    ];
    Prompt::Chat(messages.into())
}

fn text(text: &str) -> Part {
    Part::Text(Content::Text(text.into()))
}

/// Each way to put a prompt to a model.
async fn each_way(guest: &Guest, prompt: Prompt) -> Vec<Result<LlmReply, LlmError>> {
    let model = guest.open_model().await;
    vec![
        guest.llm(LlmRequest::CountTokens { model, prompt: Box::new(prompt.clone()) }).await,
        guest.llm(LlmRequest::Chat(generate(model, prompt.clone(), 3))).await,
        guest.llm(LlmRequest::Start(generate(model, prompt, 3))).await,
    ]
}

async fn check(guest: &Guest, parts: Vec<Part>, expect: &LlmError) {
    for reply in each_way(guest, said(parts)).await {
        assert_eq!(reply.as_ref(), Err(expect));
    }
}

#[tokio::test]
async fn a_part_that_the_model_does_not_take_is_named_with_the_model_and_costs_nothing() {
    let node = TestNode::new();
    let (finished, _) = node
        .run(Given::default(), |guest| async move {
            let photo = guest.make_media("image/png", b"\x89PNG").await;
            let song = guest.make_media("Audio/ogg; codecs=opus", b"OggS").await;
            for (media, value) in [(Media::Image, photo), (Media::Audio, song)] {
                let unsupported = LlmError::NotSupported { model: "m".into(), part: media };
                check(&guest, vec![text("What is this?"), Part::Media(media, value)], &unsupported).await;
                check(&guest, vec![Part::Media(media, value)], &unsupported).await;
            }
            let first = LlmError::NotSupported { model: "m".into(), part: Media::Audio };
            check(&guest, vec![Part::Media(Media::Audio, song), Part::Media(Media::Image, photo)], &first).await;
            done()
        })
        .await;
    assert_eq!(paid_for_models(&finished), Tokens::ZERO);
    assert!(node.engine.jobs.lock().is_empty(), "nothing reached the engine");
}

#[tokio::test]
async fn a_missing_right_is_told_before_what_the_model_takes() {
    let node = TestNode::new();
    let limits = GrantLimits { max_tokens_per_call: Some(2), ceiling: Some(Label::TRUSTED), ..GrantLimits::default() };
    let given = Given {
        grants: vec![model_grant(limits)],
        input: vec![("a stranger's words", Label::UNTRUSTED)],
        ..Given::default()
    };
    node.run(given, |guest| async move {
        let strange = Part::Text(Content::Value(guest.start.conversation[0].content));
        let photo = Part::Media(Media::Image, guest.make_media("image/png", b"\x89PNG").await);
        let model = guest.open_model().await;
        let chat = || Box::<str>::from("chat");
        for (parts, max_tokens, expect) in [
            (vec![photo.clone()], 3, Denial::Exceeded(chat()).into()),
            (vec![photo.clone(), strange], 2, Denial::Tainted { grant: chat() }.into()),
            (vec![photo], 2, LlmError::NotSupported { model: "m".into(), part: Media::Image }),
        ] {
            assert_eq!(guest.llm(LlmRequest::Chat(generate(model, said(parts), max_tokens))).await, Err(expect));
        }
        done()
    })
    .await;
}

#[tokio::test]
async fn a_part_is_what_it_says_and_within_the_limits() {
    let node = TestNode::new();
    node.run(Given::default(), |guest| async move {
        let note = guest.make_media("text/plain", b"a note").await;
        let song = guest.make_media("audio/ogg", b"OggS").await;
        let bare = guest.make_media("imag", b"?").await;
        let cut = guest.make_media("imagé", b"?").await;
        let empty = guest.make_media("image/png", b"").await;
        let long = guest.make_media("image/png", &[0; 1 << 20]).await;
        let is = |given: &str| format!("an image part is a value of media type {given}, and must be of image/*");
        for (value, sentence) in [
            (note, is("text/plain")),
            (song, is("audio/ogg")),
            (bare, is("imag")),
            (cut, is("imagé")),
            (empty, "an image part is empty".to_owned()),
        ] {
            check(&guest, vec![Part::Media(Media::Image, value)], &LlmError::Invalid(sentence.into())).await;
        }
        let most = limits::MESSAGE_PARTS_MAX;
        let many = LlmError::Invalid(format!("a message has {} parts and {most} are the most", most + 1).into());
        check(&guest, vec![text("a"); most + 1], &many).await;
        let bytes = limits::PROMPT_MEDIA_BYTES_MAX;
        let sentence =
            format!("images and audio of a prompt hold {} bytes and {bytes} are the most", bytes + (1 << 20));
        check(&guest, vec![Part::Media(Media::Image, long); 17], &LlmError::Invalid(sentence.into())).await;
        done()
    })
    .await;
}

#[tokio::test]
async fn texts_of_one_message_follow_each_other() {
    let node = TestNode::new();
    node.run(Given::default(), |guest| async move {
        let value = guest.make_media("text/plain", "-数-".as_bytes()).await;
        let parts = vec![text("ab"), Part::Text(Content::Value(value)), text("c")];
        for reply in
            each_way(&guest, Prompt::Chat(vec![Message { role: Role::User, content: parts.into() }].into())).await
        {
            match reply {
                Ok(LlmReply::Counted(tokens)) => assert_eq!(tokens, 6),
                reply => assert!(reply.is_ok(), "{reply:?}"),
            }
        }
        done()
    })
    .await;
    let expect: Vec<u32> = "ab-数-c".chars().map(u32::from).collect();
    assert!(node.engine.jobs.lock().iter().all(|job| job.prompt[..] == expect[..]));
}
