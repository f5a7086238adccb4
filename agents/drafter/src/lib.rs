//! Drafts what it is asked for, and has a person approve it.
//!
//! Each draft is shown to whoever sits at its desk. Where they reject it, the model is given the draft and their remark, and drafts
//! again. After each step the state is committed (`state`). What is approved is returned; where the drafts, the budget or the time
//! are over, the last draft is, and it says that nobody approved it.

mod state;

use remit::{
    AnswerError, Stop,
    human::{Desk, Verdict},
    prelude::*,
};
use state::{DRAFTS_MAX, State};
use std::time::Duration;

/// What it takes its model by.
const CHAT: &str = "chat";

/// What it takes its desk by.
const EDITOR: &str = "editor";

/// What a person approves.
const ACTION: &str = "draft/accept";

/// A page.
const DRAFT_TOKENS_MAX: u32 = 512;

/// How long a person has: who is away comes back within a week.
const TIME: Duration = Duration::from_secs(7 * 24 * 3600);

const SYSTEM: &str = "You write drafts. Write the text that is asked for, and nothing else. Where there is a remark on an earlier \
                      draft, write the whole text again and heed the remark.";

/// How the work came out.
enum End {
    /// A person approved it.
    Approved(String),
    /// Nobody did; why not.
    Unapproved(&'static str),
}

#[remit::agent]
fn run(task: Task, resumed: Option<State>) -> Result<Outcome, Failure> {
    if task.request().is_none_or(Value::is_empty) {
        return Err(Failure::new("there is nothing to draft: say what as input"));
    }
    let mut state = resumed.unwrap_or_default();
    let end = match work(&task, &mut state) {
        Ok(end) => end,
        Err(Stop::Budget) => End::Unapproved("the budget is used up"),
        Err(Stop::Failed(failure)) => return Err(failure),
    };
    match end {
        End::Approved(draft) => {
            emit_text(draft)?;
            Ok(Outcome::complete())
        }
        End::Unapproved(why) => {
            if let Some(draft) = state.last() {
                emit_text(draft)?;
            }
            emit_text(format!("\n[Nobody approved this: {why}.]\n"))?;
            Ok(Outcome::partial())
        }
    }
}

/// Drafts until one is approved, or something is over.
fn work(task: &Task, state: &mut State) -> Result<End, Stop> {
    let (model, editor) = (Model::take(CHAT)?, Desk::take(EDITOR)?);
    while state.may_draft() {
        let step = state.number() as u64 - 1;
        let draft = match state.open() {
            Some(draft) => draft.to_owned(),
            None => {
                progress(step, DRAFTS_MAX as u64, "drafting")?;
                let draft = write(&model, task, state)?;
                checkpoint::commit(&*state)?;
                draft
            }
        };
        progress(step, DRAFTS_MAX as u64, "waiting for a decision")?;
        let decision = match editor.propose(ACTION).details(&draft).expires_in(TIME).get() {
            Ok(decision) => decision,
            Err(AnswerError::Expired) => return Ok(End::Unapproved("its time is over")),
            Err(error) => return Err(error.into()),
        };
        match decision.verdict {
            Verdict::ApprovedOnce | Verdict::ApprovedAlways => return Ok(End::Approved(draft)),
            Verdict::Rejected(why) => {
                state.remarked(&why.text()?);
                checkpoint::commit(&*state)?;
            }
        }
    }
    Ok(End::Unapproved("it was rejected too often"))
}

/// Has the model write a draft, with as many of the latest remarks before it as fit. One that the end of the budget cuts off is shown to
/// nobody but whoever gave the task.
fn write(model: &Model, task: &Task, state: &mut State) -> Result<String, Stop> {
    let max_tokens = DRAFT_TOKENS_MAX.min(model.max_tokens_per_call().unwrap_or(u32::MAX));
    let capacity = model.info()?.context_length.saturating_sub(max_tokens);
    let mut without = 0;
    let mut messages = conversation(task, state, without);
    while !state.rejected(without).is_empty() && model.count_tokens(&messages)? > capacity {
        without += 1;
        messages = conversation(task, state, without);
    }
    let answer = model.chat(&messages).max_tokens(max_tokens).send()?;
    let text = answer.text()?;
    let draft = text.trim();
    if !draft.is_empty() {
        state.drafted(draft.to_owned());
    }
    match (draft, answer.summary.finish) {
        (_, FinishReason::Budget) => Err(Stop::Budget),
        ("", _) => Err(Failure::new("the model wrote nothing: ask for something else, or choose another model").into()),
        (draft, _) => Ok(draft.to_owned()),
    }
}

/// The task, and behind it the drafts that were rejected, each with its remark, without the oldest.
fn conversation<'a>(task: &'a Task, state: &'a State, without: usize) -> Vec<Message<'a>> {
    let mut messages = vec![Message::system(SYSTEM)];
    messages.extend(task.messages());
    for (draft, remark) in state.rejected(without) {
        messages.push(Message::assistant(draft));
        messages.push(Message::user(remark));
    }
    messages
}
