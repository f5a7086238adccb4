//! Splits a task over workers that run side by side, and gathers what they answer.
//!
//! The last message is what is split (`split`); messages before it say what to do with each part, and are passed on unread.
//! Each worker is a child with a share of the budget and a model grant of its own. Whichever ends first is gathered first,
//! and the state is committed (`state`). What a worker could not do is said, and the others go on.

mod split;
mod state;

use remit::{
    AttenuationError, BudgetError, SpawnError, Status, Stop,
    capability::{Grant, Narrowing},
    children::{Child, Ended, Plan},
    prelude::*,
    process::{self, Signal},
    wait::{self, Waitable},
};
use split::split;
use state::{Answer, State};

/// What it starts its workers by.
const WORKERS: &str = "workers";

/// What it takes the model by that it passes on.
const CHAT: &str = "chat";

/// The package that does a part.
const WORKER: &str = "worker";

/// Workers at a time: as many as one engine serves about as fast as one.
const WORKERS_MAX: usize = 4;

/// An answer to a part: a few paragraphs.
const ANSWER_TOKENS_MAX: u32 = 256;

/// What is kept back, to gather the answers and say what is missing.
const RESERVE: Tokens = Tokens::from_whole(20);

#[remit::agent]
fn run(task: Task, resumed: Option<State>) -> Result<Outcome, Failure> {
    let (text, wishes) =
        task.conversation.split_last().ok_or_else(|| Failure::new("there is no task: give a text as input"))?;
    let text = text.content.text()?;
    if text.trim().is_empty() {
        return Err(Failure::new("the task is empty: give a document, or a list of questions, as input"));
    }
    let state = match resumed {
        Some(state) if state.is_of(text.len()) => state,
        Some(_) => return Err(Failure::new("the saved state is of another text: start the task anew")),
        None => State::new(split(&text, WORKERS_MAX)),
    };
    let mut team = Team { text: &text, wishes, workers: Grant::take(WORKERS)?, chat: Grant::take(CHAT)?, state };
    team.work()?;
    match team.state.missing() {
        None => Ok(Outcome::complete()),
        Some(missing) => {
            emit_text(format!("[{missing}.]\n"))?;
            Ok(Outcome::partial())
        }
    }
}

/// The workers, and what they work on.
struct Team<'a> {
    text: &'a str,
    wishes: &'a [Input],
    workers: Grant,
    chat: Grant,
    state: State,
}

/// A worker at a part.
struct Worker {
    part: usize,
    child: Child,
}

impl Team<'_> {
    /// Does all parts that can be done.
    fn work(&mut self) -> Result<(), Failure> {
        let mut open = self.state.open();
        let mut running: Vec<Worker> = Vec::new();
        loop {
            self.start_some(&mut open, &mut running)?;
            let (done, parts) = (self.state.done(), self.state.parts());
            progress(done as u64, parts as u64, &format!("{} workers", running.len()))?;
            if running.is_empty() {
                return Ok(());
            }
            let signals = process::signals();
            let children = running.iter().map(|worker| &worker.child as &dyn Waitable);
            let all: Vec<&dyn Waitable> = children.chain([&signals as &dyn Waitable]).collect();
            match wait::first(&all) {
                index if index < running.len() => {
                    let Worker { part, child } = running.swap_remove(index);
                    self.gather(part, &child)?;
                }
                _ if signals_to_end() => return self.end(open, running),
                _ => {}
            }
        }
    }

    /// Starts workers on open parts while there is room and money for them.
    fn start_some(&mut self, open: &mut Vec<usize>, running: &mut Vec<Worker>) -> Result<(), Failure> {
        while running.len() < WORKERS_MAX {
            let Some(&part) = open.last() else { return Ok(()) };
            match self.start(part, open.len()) {
                Ok(child) => running.push(Worker { part, child }),
                // Those that run give back what they do not use: later there may be room and money.
                Err(Start::NotNow(_)) if !running.is_empty() => return Ok(()),
                Err(Start::NotNow(why)) => self.state.answered(part, Answer::Missing(why)),
                Err(Start::Failed(failure)) => return Err(failure),
            }
            open.pop();
        }
        Ok(())
    }

    /// Starts a worker on a part, with an equal share of what is left for so many.
    fn start(&self, part: usize, shares: usize) -> Result<Child, Start> {
        let account = budget::own();
        let share = account.remaining().saturating_sub(RESERVE) / shares as u64;
        let funds = account.split(share)?;
        let granted = self.chat.info().map_err(AttenuationError::Denied)?.limits.max_tokens_per_call;
        let tokens = ANSWER_TOKENS_MAX.min(granted.unwrap_or(u32::MAX));
        let label = format!("part-{}", part + 1);
        let theirs = self.chat.attenuate(&label, &Narrowing::new().max_tokens_per_call(tokens))?;
        let (begin, end) = self.state.part(part);
        let mut plan = Plan::new(WORKER, funds).grant(CHAT, theirs);
        for wish in self.wishes {
            plan = plan.message(wish.role, &wish.content);
        }
        let started = plan.input(&self.text[begin..end]).spawn(&self.workers);
        if started.is_err() {
            // It would be in the way of another try.
            self.chat.revoke_derived(&label);
        }
        Ok(started?)
    }

    /// Takes what became of a part, keeps it, and shows what can be shown.
    fn gather(&mut self, part: usize, child: &Child) -> Result<(), Failure> {
        let answer = match child.wait() {
            Ok(report) => {
                remit::debug!("part {} cost {}, {} came back", part + 1, report.paid, report.refunded);
                answer(report.ended)?
            }
            Err(error) => Answer::Missing(error.to_string()),
        };
        self.state.answered(part, answer);
        self.show()?;
        Ok(checkpoint::commit(&self.state)?)
    }

    /// Shows the answers that all before are there for.
    fn show(&mut self) -> Result<(), Failure> {
        while let Some((number, text)) = self.state.next_to_show() {
            emit_text(format!("Part {number} of {}\n{text}\n\n", self.state.parts()))?;
        }
        Ok(())
    }

    /// Ends politely: what runs is ended, what is open stays so.
    fn end(&mut self, open: Vec<usize>, running: Vec<Worker>) -> Result<(), Failure> {
        let parts = running.into_iter().map(|worker| worker.part).chain(open);
        parts.for_each(|part| self.state.answered(part, Answer::Missing("the team was asked to end".to_owned())));
        self.show()
    }
}

/// Why a worker was not started.
enum Start {
    /// There is no room or money for it now; why.
    NotNow(String),
    Failed(Failure),
}

impl From<BudgetError> for Start {
    fn from(error: BudgetError) -> Self {
        match Stop::from(error) {
            Stop::Budget => Self::NotNow("the budget is used up".to_owned()),
            // A share that is rounded down to nothing.
            Stop::Failed(_) if error == BudgetError::Nothing => Self::NotNow("the budget is used up".to_owned()),
            Stop::Failed(failure) => Self::Failed(failure),
        }
    }
}

impl From<AttenuationError> for Start {
    fn from(error: AttenuationError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<SpawnError> for Start {
    fn from(error: SpawnError) -> Self {
        match error {
            SpawnError::TooMany { .. } => Self::NotNow(error.to_string()),
            error => Self::Failed(error.into()),
        }
    }
}

/// What a worker's end says of its part.
fn answer(ended: Ended) -> Result<Answer, Failure> {
    Ok(match ended {
        Ended::Done { status: Status::Complete, output: Some(output) } => Answer::Whole(output.text()?),
        Ended::Done { status: Status::Partial, output: Some(output) } => Answer::Cut(output.text()?),
        Ended::Done { output: None, .. } => Answer::Missing("its worker's budget was too small".to_owned()),
        Ended::Failed { message, .. } => Answer::Missing(message.text()?),
        Ended::Faulted(why) => Answer::Missing(why),
    })
}

/// Whether somebody wants it to end. That a worker failed is seen where it is gathered.
fn signals_to_end() -> bool {
    process::signals().any(|signal| signal == Signal::Cancel)
}
