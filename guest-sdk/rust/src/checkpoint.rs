//! The state to go on from.
//!
//! A process that is moved, hibernated or restarted calls `run` again with the state that it committed last. So an agent
//! does a piece of work, commits, and does the next:
//!
//! ```no_run
//! use remit::prelude::*;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Default, Serialize, Deserialize)]
//! struct State {
//!     done: Vec<String>,
//! }
//!
//! #[remit::agent]
//! fn run(task: Task, resumed: Option<State>) -> Result<Outcome, Failure> {
//!     let mut state = resumed.unwrap_or_default();
//!     while state.done.len() < task.conversation.len() {
//!         state.done.push(task.conversation[state.done.len()].content.text()?);
//!         checkpoint::commit(&state)?;
//!     }
//!     Ok(Outcome::complete())
//! }
//! # fn main() {}
//! ```
//!
//! Bytes of a state: one byte [`ENCODING`], then the value in postcard's wire format 1
//! (<https://postcard.jamesmunns.com/wire-format>). That format does not name its fields: a new version of an agent that
//! changes its state's type should wrap it in an enum with one variant per version.

use crate::{CheckpointError, Failure, bindings::remit::kernel::checkpoint};
use serde::{Serialize, de::DeserializeOwned};

/// The first byte of a state: postcard's wire format 1 follows.
pub const ENCODING: u8 = 1;

/// From here on, a restart after a failure calls `run` with this state. So does a host that starts anew, where the process was told
/// nothing since and holds nothing but its task, grants, models and alarms; everybody else goes on exactly where they were.
///
/// # Errors
/// [`CheckpointError`] where the state is larger than 16 MiB, or the journal did not take it.
pub fn commit<S: Serialize + ?Sized>(state: &S) -> Result<(), CheckpointError> {
    Ok(checkpoint::commit(&encode(state)?)?)
}

fn encode<S: Serialize + ?Sized>(state: &S) -> Result<Vec<u8>, CheckpointError> {
    postcard::to_extend(state, vec![ENCODING]).map_err(|error| CheckpointError::NotEncoded(error.to_string()))
}

/// The state that was committed last, as the type that the agent has now.
pub(crate) fn decode<S: DeserializeOwned>(bytes: &[u8]) -> Result<S, Failure> {
    let fits = match bytes.split_first() {
        Some((&ENCODING, state)) => match postcard::take_from_bytes(state) {
            Ok((state, [])) => Some(state),
            Ok(_) | Err(_) => None,
        },
        Some(_) | None => None,
    };
    fits.ok_or_else(|| {
        Failure::new(format!(
            "the saved state of {} bytes does not fit this version of the agent: run the version that wrote it, or start \
             the task anew",
            bytes.len()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_comes_back_whole() {
        let state = (7_u32, vec!["a".to_owned(), "ü".to_owned()], Some(-1_i64));
        let bytes = encode(&state).expect("plain data");
        assert_eq!(bytes[0], ENCODING);
        assert_eq!(decode::<(u32, Vec<String>, Option<i64>)>(&bytes), Ok(state));
    }

    #[test]
    fn a_state_of_another_type_is_a_failure() {
        let bytes = encode(&(7_u32, "a")).expect("plain data");
        let check = |bytes: &[u8]| {
            let failure = decode::<u32>(bytes).expect_err("another type");
            assert!(failure.message.contains("does not fit"), "{failure:?}");
        };
        check(&bytes);
        check(&[]);
        check(&[ENCODING]);
        check(&[ENCODING + 1, 7]);
        check(&[ENCODING, 7, 0]);
    }
}
