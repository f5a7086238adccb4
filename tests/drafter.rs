//! The drafter of `agents/`, on a recorded model, with a person who approves or does not.

use crate::stage::{Job, Shown, Stage, agent, task, tokens};
use remit_abi::Status;
use remit_assembly::{Ended, PostedQuestion, Response};
use std::time::Duration;

const TASK: &str = "Tell our customers that we are closed on Monday.";

/// Runs it, and answers its proposals with these, one after the other; what they were.
async fn drafts(stage: &Stage, budget: u64, answers: &[Response]) -> (Shown, Vec<PostedQuestion>) {
    let kernel = stage.node.kernel();
    let mut proposals: Vec<PostedQuestion> = Vec::new();
    let person = async {
        let mut answers = answers.iter();
        loop {
            match kernel.inbox(None).pop() {
                Some(question) => {
                    let answer = answers.next().expect("it asks no more often than that");
                    kernel.answer(question.number, "ann", answer.clone()).expect("it is open");
                    proposals.push(question);
                }
                None => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    };
    let job = Job { budget: Some(tokens(budget)), ..task(agent("drafter"), TASK) };
    let shown = tokio::select! {
        shown = stage.run(job) => shown,
        () = person => unreachable!("a person looks as long as anybody asks"),
    };
    assert_eq!(kernel.inbox(None), []);
    (shown, proposals)
}

fn texts(proposals: &[PostedQuestion]) -> Vec<String> {
    proposals.iter().map(|question| String::from_utf8_lossy(&question.content.bytes).into_owned()).collect()
}

fn reject(why: &str) -> Response {
    Response::Reject(why.into())
}

#[tokio::test]
async fn a_draft_is_made_again_with_the_remarks_until_it_is_approved() {
    let stage = Stage::new("drafts.json");
    let answers = [reject(""), reject("Shorter, please."), Response::ApproveOnce];
    let (shown, proposals) = drafts(&stage, 1000, &answers).await;
    assert_eq!(shown.finished.ended, Ended::Done(Status::Complete, None), "{}", shown.text());
    let all = ["Dear customers, the shop is closed on Monday.", "On Monday nobody is there.", "Closed on Monday."];
    assert_eq!(texts(&proposals), all);
    assert_eq!(shown.text(), "Closed on Monday.");
    let prompts = stage.engine.prompts();
    let last = prompts.last().expect("it asked the model");
    assert!(last.contains(all[0]) && last.contains(all[1]) && last.contains("Please write it again"), "{last}");
}

#[tokio::test]
async fn who_approves_always_is_asked_once() {
    let stage = Stage::new("drafts.json");
    let (shown, _) = drafts(&stage, 1000, &[Response::ApproveAlways]).await;
    assert!(shown.is_complete());
    let (shown, proposals) = drafts(&stage, 1000, &[]).await;
    assert!(shown.is_complete() && proposals.is_empty(), "{}", shown.text());
}

#[tokio::test]
async fn it_gives_up_politely_after_five_drafts_or_without_money() {
    let stage = Stage::new("drafts.json");
    let (shown, proposals) =
        drafts(&stage, 1000, &[reject("No."), reject("No."), reject("No."), reject("No."), reject("No.")]).await;
    assert_eq!((shown.finished.ended.clone(), proposals.len()), (Ended::Done(Status::Partial, None), 5));
    assert!(shown.text().contains("Nobody approved this: it was rejected too often."), "{}", shown.text());
    let (shown, proposals) = drafts(&Stage::new("drafts.json"), 10, &[]).await;
    assert_eq!((shown.finished.ended.clone(), proposals.len()), (Ended::Done(Status::Partial, None), 0));
    assert!(shown.text().ends_with("[Nobody approved this: the budget is used up.]\n"), "{}", shown.text());
}
