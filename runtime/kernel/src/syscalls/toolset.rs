//! Tools of a conversation, calls that were asked for, and what they came to: what of them is possible.
//!
//! | said | possible |
//! | --- | --- |
//! | tools | 1 to [`limits::TOOLS_MAX`], each within its limits; whether they are tools is the engine's to say, which reads them |
//! | a call | in a message of the assistant; its id no earlier call's |
//! | a result | in a message of the user; its id an earlier call's that has no result yet |
//! | a format | without tools, or with tools that must not be called |

use remit_abi::{LlmError, Message, OutputFormat, Part, Role, ToolCall, Toolset, limits};
use std::collections::HashMap;

/// Checks tools, and answers how many bytes of text they are.
pub(super) fn validate(tools: &Toolset) -> Result<u64, LlmError> {
    let (count, most) = (tools.tools.len(), limits::TOOLS_MAX);
    if count == 0 || count > most {
        return Err(invalid(format!("there are {count} tools, and must be 1 to {most}")));
    }
    let mut bytes = 0;
    for tool in &tools.tools {
        if tool.name.len() > limits::TOOL_NAME_BYTES_MAX {
            let (length, most) = (tool.name.len(), limits::TOOL_NAME_BYTES_MAX);
            return Err(invalid(format!("a tool's name has {length} bytes, and {most} are the most")));
        }
        if tool.parameters.len() > limits::TOOL_BYTES_MAX {
            let (name, length, most) = (&tool.name, tool.parameters.len(), limits::TOOL_BYTES_MAX);
            return Err(invalid(format!(
                "the parameters of the tool {name:?} have {length} bytes, and {most} are the most"
            )));
        }
        bytes += tool.bytes() as u64;
    }
    Ok(bytes)
}

/// That an answer is held to one form alone.
pub(super) fn validate_beside(tools: Option<&Toolset>, format: &OutputFormat) -> Result<(), LlmError> {
    match tools.is_some_and(Toolset::may_call) && *format != OutputFormat::Any {
        true => {
            let why = "there are a format and tools that may be called: leave one out, or choose none of the tools";
            Err(LlmError::Invalid(why.into()))
        }
        false => Ok(()),
    }
}

/// The calls of a conversation as it goes on.
#[derive(Debug, Default)]
pub(super) struct Calls<'a> {
    /// The tool of each call by its id, and whether it has a result.
    known: HashMap<&'a str, (&'a str, bool)>,
}

impl<'a> Calls<'a> {
    /// Goes on by a message, and answers how many bytes of calls it has.
    pub(super) fn validate(&mut self, message: &'a Message) -> Result<u64, LlmError> {
        let mut bytes = 0;
        for part in &message.content {
            match part {
                Part::ToolCall(call) => bytes += self.call(message.role, call)?,
                Part::ToolResult(result) => self.result(message.role, &result.id)?,
                Part::Text(_) | Part::Media(..) => {}
            }
        }
        Ok(bytes)
    }

    fn call(&mut self, role: Role, call: &'a ToolCall) -> Result<u64, LlmError> {
        if role != Role::Assistant {
            return Err(invalid("a tool-call is in a message that is not the assistant's".to_owned()));
        }
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let most = limits::TOOL_NAME_BYTES_MAX;
        if !(1..=most).contains(&call.id.len()) || !call.id.bytes().all(is_letter) {
            return Err(invalid(format!("the id of a tool-call is 1 to {most} letters, digits, _ or -")));
        }
        if call.name.len() > most || call.arguments.len() > limits::TOOL_BYTES_MAX {
            return Err(invalid(format!("the tool-call {} is longer than a call may be", call.id)));
        }
        match self.known.insert(&call.id, (&call.name, false)) {
            None => Ok((call.name.len() + call.arguments.len()) as u64),
            Some(_) => Err(invalid(format!("the tool-call {} is there twice", call.id))),
        }
    }

    fn result(&mut self, role: Role, id: &str) -> Result<(), LlmError> {
        if role != Role::User {
            return Err(invalid("a tool-result is in a message that is not the user's".to_owned()));
        }
        match self.known.get_mut(id) {
            Some((_, has_result @ false)) => {
                *has_result = true;
                Ok(())
            }
            Some(_) => Err(invalid(format!("the tool-call {id} has two results"))),
            None => {
                let id: String = id.chars().take(limits::TOOL_NAME_BYTES_MAX).collect();
                Err(invalid(format!("there is no tool-call {id:?} before its result")))
            }
        }
    }

    /// The tool of a call.
    pub(super) fn tool_of(&self, id: &str) -> Option<&'a str> {
        self.known.get(id).map(|(name, _)| *name)
    }
}

fn invalid(sentence: String) -> LlmError {
    LlmError::Invalid(sentence.into())
}
