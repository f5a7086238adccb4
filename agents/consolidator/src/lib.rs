//! Puts a store of the memory in order while nobody needs the machine: one entry for what is there twice, summaries of episodes, and facts
//! with their sources.
//!
//! | it finds | by | and |
//! | --- | --- | --- |
//! | notes that say the same | a search by words and meaning for each note that is new; equal word by word, or so near that the model says that they are the same | keeps the one with the lowest number, in the latest words, with the tags and the sources of all, and forgets the others, which keeps their versions |
//! | an episode: notes without a pause of half an hour | their times | has the model summarise it, and keeps the notes |
//! | facts in an episode | the model | writes each as an entry with its sources, or adds these to the entry that says so already |
//!
//! # Labels
//!
//! A process works on the entries of one label and of no other: that of its task. The task is the operator's and has that label, so that from
//! its first step on the process has it too, and all that it writes, records included, has it by the kernel's rule: a secret cannot get
//! into a summary of what is none, and nothing gets a secret's label because it was looked at beside one. Whoever starts it starts one
//! process for each label that there is.
//!
//! # Runs
//!
//! In a store of its own it writes down each step before it does it, and afterwards what came of it ([`record`]); the head of these records is
//! the run, by whose number it is undone. It writes where it was ([`runs::Cursor`]), so that the next run looks at what is new alone.
//!
//! Whatever ends it (a budget, a signal since somebody needs the machine, a crash), it can be run again:
//!
//! | cut off | then |
//! | --- | --- |
//! | before a step was done | it is found again |
//! | between the version that is kept and the forgetting | they are still alike, and merged once more into the same |
//! | between a summary and its record | the summary names its episode, and is not written again |
//! | among the facts of an episode | those that are there are found, and say the same |
//! | before the cursor was written | what is looked at again has nothing alike any more |
//!
//! # What it is told
//!
//! One message: `consolidate`; `plan`, which writes nothing and shows what it would do; or `undo m40`, the number of a run.

mod episodes;
mod marks;
mod record;
mod runs;
mod store;
mod undo;
mod work;

use remit::{
    LlmError, Model, Stop, Tokens, budget,
    capability::Grant,
    memory::{EntryId, Store},
    prelude::*,
};
use runs::Runs;
use store::Group;
use work::Work;

/// What it takes its model by.
const JUDGE: &str = "judge";

/// What it takes the store by that it works on.
const STORE: &str = "store";

/// What it takes the store by in which it writes down what it does.
const RUNS: &str = "runs";

/// Kept back to write down how a run ended: an entry costs a fifth of a token, and some instructions.
const RESERVE: Tokens = Tokens::from_whole(5);

/// What it is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Consolidate,
    Plan,
    Undo(EntryId),
}

impl Order {
    fn read(text: &str) -> Option<Self> {
        let words: Vec<_> = text.split_whitespace().collect();
        match words.as_slice() {
            ["consolidate"] => Some(Self::Consolidate),
            ["plan"] => Some(Self::Plan),
            ["undo", run] => record::entry(run).map(Self::Undo),
            _ => None,
        }
    }
}

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let order = "say `consolidate`, `plan`, or `undo` with the number of a run, such as m40";
    let Some(request) = task.request() else { return Err(Failure::new(order)) };
    // From here on the process has the label that all has that it works on.
    let label = request.label();
    let order = Order::read(&request.text()?).ok_or_else(|| Failure::new(order))?;
    let model = match Model::take(JUDGE) {
        // What is equal word by word is merged without one.
        Err(LlmError::Denied(_)) => None,
        model => Some(model?),
    };
    let group = Group { store: one_store(STORE)?, label: label.clone(), model };
    let reserve = budget::own().split(RESERVE);
    let opened = Runs::open(one_store(RUNS)?, label);
    let (reserve, runs) = match (reserve, opened) {
        (Ok(reserve), Ok(runs)) => (reserve, runs),
        (Err(error), _) => return out_of(error.into()),
        (_, Err(stop)) => return out_of(stop),
    };
    match order {
        Order::Undo(run) => undone(&group, &runs, run),
        Order::Consolidate | Order::Plan => {
            let mut work = Work::new(group, runs, order == Order::Plan);
            let ended = work.all();
            reserve.merge()?;
            consolidated(&mut work, ended)
        }
    }
}

/// The one store that a grant opens.
fn one_store(label: &str) -> Result<Store, Failure> {
    let grant = Grant::take(label)?;
    match grant.info()?.scope.as_slice() {
        [store] if !store.ends_with('*') => Ok(grant.into()),
        _ => Err(Failure::new(format!(
            "the grant {label} opens several stores, and it works on one: start it by `remit memory consolidate --store NAME`"
        ))),
    }
}

/// Says what a run came to, here and in its record.
fn consolidated(work: &mut Work, ended: Result<bool, Stop>) -> Result<Outcome, Failure> {
    let done = work.done.said();
    let (how, outcome) = match ended {
        Ok(true) => (done, Ok(Outcome::complete())),
        Ok(false) => (format!("{done}; it was asked to stop, and goes on the next time"), Ok(Outcome::partial())),
        Err(Stop::Budget) => {
            (format!("{done}; the budget is used up, and it goes on the next time"), Ok(Outcome::partial()))
        }
        Err(Stop::Failed(failure)) => (format!("{done}; then it failed: {}", failure.message), Err(failure)),
    };
    let said = match work.runs.run {
        Some(run) => format!("run m{run}: {how}\n"),
        None => format!("{how}\n"),
    };
    emit_text(said)?;
    match work.save().and_then(|()| work.runs.ended(&how)) {
        // What was looked at is looked at again, and the record says that the run did not come to its end: no harm is done by either.
        Err(Stop::Budget) | Ok(()) => outcome,
        Err(Stop::Failed(failure)) => Err(failure),
    }
}

fn undone(group: &Group, runs: &Runs, run: EntryId) -> Result<Outcome, Failure> {
    let undo = || {
        if !runs.knows(run)? {
            return Err(Failure::new(format!(
                "m{run} is no run on what has this label: `remit memory ls --tag run` shows them"
            ))
            .into());
        }
        let undone = undo::undo(group, run, &runs.steps(run)?)?.said();
        runs.says(run, &format!("undone: {undone}"))?;
        Ok(undone)
    };
    match undo() {
        Ok(said) => {
            emit_text(format!("run m{run} is undone: {said}\n"))?;
            Ok(Outcome::complete())
        }
        Err(stop) => out_of(stop),
    }
}

fn out_of(stop: Stop) -> Result<Outcome, Failure> {
    match stop {
        Stop::Budget => {
            emit_text(format!("the budget is too small: {} tokens are left\n", budget::remaining()))?;
            Ok(Outcome::partial())
        }
        Stop::Failed(failure) => Err(failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_read_or_refused() {
        let check = |text, expect| assert_eq!(Order::read(text), expect, "{text:?}");
        check("consolidate", Some(Order::Consolidate));
        check(" plan\n", Some(Order::Plan));
        check("undo m40", Some(Order::Undo(40)));
        for wrong in ["", "undo", "undo 40", "undo m", "undo m1 m2", "consolidate now", "undo m99999999999999999999"] {
            check(wrong, None);
        }
    }
}
