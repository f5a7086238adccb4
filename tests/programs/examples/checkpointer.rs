//! Counts to five, and commits each number. On its first start it panics after the number that its input names; when it is
//! resumed it says where it goes on. Says `resumed at N`, and then `5`.

use remit::prelude::*;
use serde::{Deserialize, Serialize};

const LAST: u32 = 5;

#[derive(Serialize, Deserialize)]
struct State {
    count: u32,
    note: String,
}

#[remit::agent]
fn run(task: Task, resumed: Option<State>) -> Result<Outcome, Failure> {
    let crash_at = match &resumed {
        Some(State { count, note }) => {
            emit_text(format!("resumed at {count} ({note})\n"))?;
            None
        }
        None => {
            let request = task.request().ok_or_else(|| Failure::new("there is no input"))?.text()?;
            Some(request.trim().parse::<u32>()?)
        }
    };
    let first = resumed.map_or(1, |state| state.count + 1);
    for count in first..=LAST {
        checkpoint::commit(&State { count, note: format!("{count} of {LAST}") })?;
        assert!(crash_at != Some(count), "it was told to crash at {count}");
    }
    emit_text(LAST.to_string())?;
    Ok(Outcome::complete())
}
