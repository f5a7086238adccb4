//! Notes each line of its first input, `KEY VALUE`, in the store at `notes` (kind `memory`). Then it looks for each key of its second input, one
//! a line: where one of the first hits begins with just that key, it looks for the value that stands behind, and so on; where none does, it says
//! what it looked for last, a line for each key. The bench `recall` compares.

use remit::{memory::Store, prelude::*};

/// Near-misses have places among them, too.
const HITS: u32 = 10;

/// A value that leads back to its key would be followed for ever.
const STEPS_MAX: usize = 16;

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let [pairs, keys] = task.conversation.as_slice() else { return Err(Failure::new("there are not two inputs")) };
    let notes = Store::take("notes")?;
    for pair in pairs.content.text()?.lines() {
        notes.note(pair).put()?;
    }
    for key in keys.content.text()?.lines() {
        let mut at = key.to_owned();
        for _ in 0..STEPS_MAX {
            let Some(value) = look_up(&notes, &at)? else { break };
            at = value;
        }
        emit_text(at + "\n")?;
    }
    Ok(Outcome::complete())
}

/// What stands behind a key.
fn look_up(notes: &Store, key: &str) -> Result<Option<String>, Failure> {
    for hit in notes.search(key).count(HITS).find()? {
        let text = hit.content.text()?;
        if let Some((found, value)) = text.split_once(' ')
            && found == key
        {
            return Ok(Some(value.to_owned()));
        }
    }
    Ok(None)
}
