//! Cases: what an agent is to do, tried on a model whose replies are written down beside it.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `file` | the file of cases, and everything that can be wrong with it |
//! | here | trying one |
//!
//! A file of cases is TOML:
//!
//! ```toml
//! context_length = 2048                  # of the model, in words; this without it
//!
//! [[turn]]                               # what the model says: the first of these whose `when` stands in the prompt
//! when = "weather"                       # without it, to every prompt
//! reply = "It rains."
//! calls = [{ name = "look", arguments = { where = "outside" } }]
//! fail = true                            # it breaks off then
//!
//! [[case]]
//! name = "it tells the weather"          # each another
//! say = ["How is the weather?"]          # what a person says, one message each
//! given = ["It has rained for days."]    # texts of others, which are untrusted, one message each; behind the others
//! budget = 500                           # tokens; what the manifest says without it
//! ends = "complete"                      # this without it; or "partial", "failed", "stopped"
//! asked = ["How is the weather?"]        # each stands in a prompt that the model was given meanwhile
//! expect = [{ contains = "rains" }]      # of what the agent showed and returned, and of the sentence where it failed or was stopped;
//!                                        # in the form of `remit eval`, but for `finish`
//! ```
//!
//! Cases of one file are tried one after the other on one node: what one notes in a memory, the next one finds.

mod file;

pub use file::{Case, CaseFile, CaseFileError, End, read_cases};

use crate::{
    eval::Answer,
    node::{Agent, Node, Running, StartError, Task, TaskMessage},
    recorded::RecordedEngine,
};
use remit_abi::{Event, FinishReason, LogLevel, Status};
use remit_kernel::{Ended, Finished, Output};
use std::time::{Duration, Instant};

/// How long a case may take: it waits for no model, so one that takes longer waits for ever.
const CASE_TIME_MAX: Duration = Duration::from_secs(10);

/// What a case came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// What is not as expected, a sentence each; nothing where it passed.
    pub wrong: Vec<String>,
    /// What the agent showed and returned, and the sentence where it failed or was stopped.
    pub text: String,
    /// What it logged.
    pub logs: Vec<(LogLevel, Box<str>)>,
    /// How long it took.
    pub took: Duration,
}

/// Tries a case: runs the agent on a node whose engine is this one.
///
/// # Errors
/// [`StartError`]; nothing ran then.
pub async fn try_case(node: &Node, engine: &RecordedEngine, agent: &Agent, case: &Case) -> Result<Tried, StartError> {
    let (started, prompts_before) = (Instant::now(), engine.prompts().len());
    let message =
        |trusted: bool| move |text: &String| TaskMessage { text: text.clone(), trusted, ..TaskMessage::default() };
    let messages = case.say.iter().map(message(true)).chain(case.given.iter().map(message(false))).collect();
    let Running { pid, mut events, finished } =
        node.start(agent, Task { budget: case.budget, messages, ..Task::default() })?;
    let mut following = Box::pin(async {
        tokio::join!(finished, async {
            let mut shown = Vec::new();
            while let Some(event) = events.recv().await {
                shown.push(event);
            }
            shown
        })
    });
    let mut wrong = Vec::new();
    let (finished, shown) = match tokio::time::timeout(CASE_TIME_MAX, &mut following).await {
        Ok(ended) => ended,
        Err(_) => {
            wrong.push(format!("it does not end within {} s: what does it wait for?", CASE_TIME_MAX.as_secs()));
            node.kill(pid);
            following.await
        }
    };
    let (mut text, mut logs) = (String::new(), Vec::new());
    for event in shown {
        match event {
            Event::Text { text: piece, .. } => text += &String::from_utf8_lossy(&piece),
            Event::Log { level, message } => logs.push((level, message)),
            Event::Progress { .. } | Event::Artifact { .. } => {}
        }
    }
    let end = ended(&finished, &mut text);
    if wrong.is_empty() && end != case.ends {
        wrong.push(format!("it is to end {}, and ended {end}", case.ends));
    }
    let prompts = engine.prompts().split_off(prompts_before);
    for asked in case.asked.iter().filter(|asked| !prompts.iter().any(|prompt| prompt.contains(asked.as_str()))) {
        let count = prompts.len();
        wrong.push(format!(
            "the model was to be asked {asked:?}, which is in none of the {count} prompts that it was given"
        ));
    }
    let answer = Answer {
        text,
        tokens: finished.ledger.usage.output,
        // No case says anything of it.
        finish: FinishReason::Stop,
        model: "recorded".to_owned(),
    };
    wrong
        .extend(case.expect.iter().filter(|expect| !expect.holds(&answer)).map(|expect| format!("expected: {expect}")));
    Ok(Tried { wrong, text: answer.text, logs, took: started.elapsed() })
}

/// How it ended; what it says by that is put behind the text.
fn ended(finished: &Finished, text: &mut String) -> End {
    let mut add = |output: &Option<Output>| {
        if let Some(output) = output {
            *text += &String::from_utf8_lossy(&output.bytes);
        }
    };
    match &finished.ended {
        Ended::Done(Status::Complete, output) => {
            add(output);
            End::Complete
        }
        Ended::Done(Status::Partial, output) => {
            add(output);
            End::Partial
        }
        Ended::Failed(failure) => {
            *text += &failure.message;
            End::Failed
        }
        Ended::Faulted(fault) => {
            *text += &fault.to_string();
            End::Stopped
        }
    }
}
