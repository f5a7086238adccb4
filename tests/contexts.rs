//! Contexts, from the guest's side to a recorded model: the window is paged, whatever is said.

use crate::stage::{Job, Stage, program_with_model, task, tokens};
use remit_abi::Status;
use remit_assembly::{Ended, TaskMessage};

/// Prompt and output together, in tokens of the recorded model: words.
const WINDOW: u32 = 120;
const TURNS: usize = 60;

#[tokio::test]
async fn an_agent_that_appends_and_chats_never_sees_a_full_window() {
    let stage = Stage::new("talks.json");
    let message = |text: String| TaskMessage { text, trusted: true, ..TaskMessage::default() };
    // Some of what is said is alone longer than the window.
    let said = (0..TURNS).map(|turn| match turn % 20 {
        10 => format!("turn {turn}: {}", "very long ".repeat(100)),
        _ => format!("turn {turn}: nothing in particular was said here"),
    });
    let messages = std::iter::once(WINDOW.to_string()).chain(said).map(message).collect();
    let job = Job { messages, budget: Some(tokens(100_000)), ..task(program_with_model("talks"), "") };
    let shown = stage.run(job).await;
    assert_eq!(shown.finished.ended, Ended::Done(Status::Complete, None), "{}", shown.text());
    let text = shown.text();
    assert_eq!(text.lines().filter(|line| line.starts_with("I see.")).count(), TURNS);
    let last = text.lines().last().expect("it says how it ended");
    let (out, first) = last.split_once(" out, ").expect("it says how many went out");
    assert!(out.parse::<usize>().expect("it is a number") > TURNS, "{last}");
    assert_eq!(first, "turn 0: nothing in particular was said here");
    let prompts = stage.engine.prompts();
    assert_eq!(prompts.len(), TURNS);
    for (turn, prompt) in prompts.iter().enumerate() {
        let count = prompt.split_inclusive(' ').count();
        assert!(count <= WINDOW as usize - 10, "turn {turn} has {count} tokens: {prompt}");
        assert!(prompt.contains(&format!("turn {turn}:")) && prompt.contains("You talk."), "{prompt}");
    }
    // The window is used.
    let longest = prompts.iter().map(|prompt| prompt.split_inclusive(' ').count()).max();
    assert!(longest > Some(WINDOW as usize / 2), "{longest:?}");
}
