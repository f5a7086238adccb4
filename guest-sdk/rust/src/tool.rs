//! Tools: what a model may ask an agent to do, and what it asks for; and tools of the host, which act outside the node.
//!
//! | | is | runs |
//! | --- | --- | --- |
//! | [`Tool`], [`ToolCall`] | what a model is shown, and what it writes when it wants one | nothing |
//! | [`GrantedTool`] | a right to have a tool of the host act | a program that the host's operator declared |
//! | [`Toolbox`] | all of these, shown to a model, and its calls carried out | as many |
//!
//! A model runs nothing. Where it was given [tools](crate::Call::tools), it may answer with calls; the agent does what they say,
//! or does not, and tells the model with the next messages what came of it.
//!
//! ```no_run
//! use remit::{Tool, ToolChoice, prelude::*};
//!
//! const TOOLS: &[Tool] = &[Tool {
//!     name: "add",
//!     description: "Adds two whole numbers.",
//!     parameters: r#"{"properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "required": ["a", "b"]}"#,
//! }];
//!
//! fn answer(model: &Model, question: &str) -> Result<String, Failure> {
//!     let question = Message::user(question);
//!     let asked = [question.clone()];
//!     let first = model.chat(&asked).tools(TOOLS).send()?;
//!     let (text, calls) = (first.text()?, first.tool_calls()?);
//!     if calls.is_empty() {
//!         return Ok(text);
//!     }
//!     let results = calls.iter().map(|call| Message::result(call, add(&call.arguments)));
//!     let told: Vec<_> = [question, Message::called(&*text, &calls)].into_iter().chain(results).collect();
//!     Ok(model.chat(&told).tools(TOOLS).tool_choice(ToolChoice::None).send()?.text()?)
//! }
//! # fn add(_: &str) -> String { String::new() }
//! ```
//!
//! Calls parse and fit the tool's parameters, whatever the model, unless the answer was cut, as
//! [`Summary::finish`](crate::Summary::finish) says then. They say what the model holds and not what is so: an agent that pays
//! or deletes by a call checks it first.

mod dialogue;
mod granted;

pub use dialogue::{Dialogue, Step, Toolbox};
pub use granted::{Description, GrantedTool, PendingResult};

use crate::{Value, ValueError};

pub use crate::bindings::remit::kernel::llm::{Tool, ToolCall, ToolChoice};

/// Of a value that [`read`] reads.
pub const MEDIA_TYPE: &str = "application/vnd.remit.calls";

/// Reads the calls of a completion, and raises the process's label. The layout is that of `completion` in the kernel's
/// `llm.wit`.
///
/// # Errors
/// [`ValueError::NotCalls`] where it is something else.
pub fn read(value: &Value) -> Result<Vec<ToolCall>, ValueError> {
    let bytes = value.bytes()?;
    let mut rest = bytes.as_slice();
    let mut calls = Vec::new();
    while !rest.is_empty() {
        let offset = (bytes.len() - rest.len()) as u64;
        calls.push(call(&mut rest).ok_or(ValueError::NotCalls { offset })?);
    }
    Ok(calls)
}

fn call(rest: &mut &[u8]) -> Option<ToolCall> {
    Some(ToolCall { id: text(rest)?, name: text(rest)?, arguments: text(rest)? })
}

fn text(rest: &mut &[u8]) -> Option<String> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let (bytes, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *rest = after;
    String::from_utf8(bytes.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What [`call`] makes of these bytes, and how many it leaves.
    fn check(mut bytes: &[u8], expect: Option<[&str; 3]>, left: usize) {
        let call = call(&mut bytes);
        assert_eq!(call.as_ref().map(|call| [&*call.id, &*call.name, &*call.arguments]), expect);
        if expect.is_some() {
            assert_eq!(bytes.len(), left);
        }
    }

    #[test]
    fn the_layout_is_as_documented() {
        let one = b"\x02\0\0\0a1\x03\0\0\0add\x02\0\0\0{}";
        check(one, Some(["a1", "add", "{}"]), 0);
        check(&[one.as_slice(), b"next"].concat(), Some(["a1", "add", "{}"]), 4);
        for cut in 0..one.len() {
            check(&one[..cut], None, 0);
        }
        check(b"\x01\0\0\0\xff\0\0\0\0\0\0\0\0", None, 0);
        check(b"\xff\xff\xff\xff", None, 0);
    }
}
