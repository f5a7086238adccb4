//! Conversations with tools, in the form that `transformers` gives to templates, or in words where a template knows no tools.
//!
//! | the template | tools | a call | a result |
//! | --- | --- | --- | --- |
//! | writes tools, in a known family's way | are its variable `tools` | is in `tool_calls` of a message | is a message of the role `tool` |
//! | writes them in another way, or not at all | stand in the system's message, with how to call | is text, as the grammar forces it | is text of the user's, between `<tool_response>` and `</tool_response>` |
//!
//! What a template writes is found by trying it: a conversation with names that occur nowhere else is rendered, and they are
//! looked for. The forms are those of `apply_chat_template` (Hugging Face, "Tool use"); results as text are Hermes's.
//!
//! Tools and calls are the guest's words as much as contents are: all of them go through the guard of control tokens.

use super::{ChatTemplate, TemplateError};
use remit_abi::{Role, Tool, ToolCall, Toolset};
use remit_grammar::{
    GrammarError, Limits,
    tools::{self, CallFormat, FORCED, Toolbox},
};
use remit_kernel::ports::{Chat, ChatMessage};
use serde_json::{Value as Json, json};

/// A conversation as a template sees it.
#[derive(Clone, Debug)]
pub(crate) struct Dialogue {
    pub(crate) messages: Vec<Json>,
    /// `null` where there are none.
    pub(crate) tools: Json,
}

/// What a template writes of what it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Knows {
    /// Messages of the system.
    pub(crate) system: bool,
    pub(crate) tools: bool,
    /// Calls, and what they came to.
    pub(crate) calls: bool,
}

impl Knows {
    pub(super) fn probe(template: &ChatTemplate) -> Self {
        let writes = |messages: Vec<Json>, tools: Json, words: &[&str]| {
            let rendered = template.render_dialogue(&Dialogue { messages, tools });
            rendered.is_ok_and(|prompt| words.iter().all(|word| prompt.contains(word)))
        };
        let user = || said(Role::User, "Hello");
        let object = json!({ "type": "object", "properties": {} });
        let tools = json!([{ "type": "function", "function": {
            "name": "probe_tool", "description": "Does something.", "parameters": object,
        } }]);
        // Some templates want ids of nine letters.
        let call = ToolCall { id: "probe0001".into(), name: "probe_tool".into(), arguments: "{}".into() };
        let called = vec![
            user(),
            called("", &[(&call, json!({}))], &str::to_owned),
            result(&call.id, &call.name, "probe_result"),
        ];
        Self {
            system: writes(vec![said(Role::System, "probe_system"), user()], Json::Null, &["probe_system"]),
            tools: writes(vec![user()], tools.clone(), &["probe_tool"]),
            calls: writes(called, tools, &["probe_tool", "probe_result"]),
        }
    }
}

/// Somebody says something.
pub(super) fn said(role: Role, content: &str) -> Json {
    let role = match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    json!({ "role": role, "content": content })
}

/// The model asks for calls.
fn called(content: &str, calls: &[(&ToolCall, Json)], spoil: &dyn Fn(&str) -> String) -> Json {
    let call = |(call, arguments): &(&ToolCall, Json)| {
        let function = json!({ "name": spoil(&call.name), "arguments": arguments });
        json!({ "id": spoil(&call.id), "type": "function", "function": function })
    };
    json!({ "role": "assistant", "content": content, "tool_calls": calls.iter().map(call).collect::<Vec<_>>() })
}

fn result(id: &str, name: &str, content: &str) -> Json {
    json!({ "role": "tool", "tool_call_id": id, "name": name, "content": content })
}

/// The tools of a request, as a grammar takes them.
pub(crate) fn toolbox(tools: &Toolset, format: &'static CallFormat) -> Result<Toolbox, GrammarError> {
    let read = |Tool { name, description, parameters }: &Tool| {
        let parameters = match parameters.trim() {
            "" => Json::Null,
            text => serde_json::from_str(text).map_err(|error| GrammarError::Invalid {
                reason: format!("the parameters of the tool {name:?} are no JSON: {error}"),
            })?,
        };
        Ok(tools::Tool { name: name.to_string(), description: description.to_string(), parameters })
    };
    Toolbox::new(tools.tools.iter().map(read).collect::<Result<_, _>>()?, format, &Limits::default())
}

/// A conversation whose JSON was read.
pub(crate) struct Heard<'a> {
    chat: &'a Chat,
    toolbox: Option<Toolbox>,
    /// Of each call, in their order.
    arguments: Vec<Json>,
}

impl<'a> Heard<'a> {
    /// Reads tools and arguments.
    ///
    /// # Errors
    /// [`TemplateError::Tools`].
    pub(crate) fn new(chat: &'a Chat, format: &'static CallFormat) -> Result<Self, TemplateError> {
        let toolbox = chat.tools.as_ref().map(|tools| toolbox(tools, format)).transpose();
        let toolbox = toolbox.map_err(|error| TemplateError::Tools(error.to_string()))?;
        let calls = chat.messages.iter().flat_map(|message| match message {
            ChatMessage::Called { calls, .. } => calls.as_slice(),
            ChatMessage::Said { .. } | ChatMessage::Result { .. } => &[],
        });
        let read = |call: &ToolCall| {
            serde_json::from_str(&call.arguments).map_err(|error| {
                TemplateError::Tools(format!("the arguments of the tool-call {} are no JSON: {error}", call.id))
            })
        };
        Ok(Self { chat, toolbox, arguments: calls.map(read).collect::<Result<_, _>>()? })
    }

    /// Hands every text to a visitor that comes from the guest.
    pub(crate) fn visit(&self, visit: &mut dyn FnMut(&str)) {
        for message in &self.chat.messages {
            visit(message.content());
            match message {
                ChatMessage::Said { .. } => {}
                ChatMessage::Called { calls, .. } => {
                    calls.iter().flat_map(|call| [&call.id, &call.name, &call.arguments]).for_each(|text| visit(text));
                }
                ChatMessage::Result { id, name, .. } => [id, name].into_iter().for_each(|text| visit(text)),
            }
        }
        self.arguments.iter().for_each(|json| visit_json(json, visit));
        if let Some(toolbox) = &self.toolbox {
            visit_json(&toolbox.described(), visit);
        }
    }

    /// As a template takes it; `spoil` is what every text of the guest's goes through.
    pub(crate) fn dialogue(&self, template: &ChatTemplate, spoil: &dyn Fn(&str) -> String) -> Dialogue {
        let is_plain = self.toolbox.is_none() && self.arguments.is_empty();
        // Trying a template takes some renderings: only for whom it matters.
        let knows = if is_plain { Knows { system: true, tools: false, calls: false } } else { template.knows() };
        // A model that writes calls in a way that nobody here reads is told of another.
        let is_own = *template.calls() != FORCED;
        let (tells_tools, tells_calls) = (knows.tools && is_own, knows.calls && is_own);
        let mut messages = self.messages(template.calls(), tells_calls, spoil);
        let Some(toolbox) = &self.toolbox else { return Dialogue { messages, tools: Json::Null } };
        if tells_tools {
            return Dialogue { messages, tools: spoil_tools(toolbox.described(), spoil) };
        }
        instruct(&mut messages, &spoil(&toolbox.instructions()), knows.system);
        Dialogue { messages, tools: Json::Null }
    }

    fn messages(&self, format: &CallFormat, tells_calls: bool, spoil: &dyn Fn(&str) -> String) -> Vec<Json> {
        let mut messages: Vec<Json> = Vec::with_capacity(self.chat.messages.len());
        let mut arguments = self.arguments.iter();
        // Whether the last message is the user's words for results, so that roles alternate.
        let mut tells_results = false;
        for message in &self.chat.messages {
            let is_joined = std::mem::replace(&mut tells_results, false);
            match message {
                ChatMessage::Said { role: Role::User, content } if is_joined => {
                    add_line(&mut messages, &spoil(content));
                }
                ChatMessage::Said { role, content } => messages.push(said(*role, &spoil(content))),
                ChatMessage::Called { content, calls } => {
                    let read: Vec<_> = calls.iter().zip(arguments.by_ref()).collect();
                    messages.push(match tells_calls {
                        true => {
                            let read = read.into_iter().map(|(call, json)| (call, spoil_json(json, spoil)));
                            called(&spoil(content), &read.collect::<Vec<_>>(), spoil)
                        }
                        false => said(Role::Assistant, &(spoil(content) + &in_words(calls, format, spoil))),
                    });
                }
                ChatMessage::Result { id, name, content } if tells_calls => {
                    messages.push(result(&spoil(id), &spoil(name), &spoil(content)));
                }
                ChatMessage::Result { content, .. } => {
                    tells_results = true;
                    let words = format!("<tool_response>\n{}\n</tool_response>", spoil(content));
                    match is_joined {
                        true => add_line(&mut messages, &words),
                        false => messages.push(said(Role::User, &words)),
                    }
                }
            }
        }
        messages
    }
}

/// Calls as text.
fn in_words(calls: &[ToolCall], format: &CallFormat, spoil: &dyn Fn(&str) -> String) -> String {
    let spoilt: Vec<_> = calls.iter().map(|call| (spoil(&call.name), spoil(&call.arguments))).collect();
    format.write_all(spoilt.iter().map(|(name, arguments)| (name.as_str(), arguments.as_str())))
}

/// Tells of tools in the system's message, or where a model has none, in the first one.
fn instruct(messages: &mut Vec<Json>, instructions: &str, has_system: bool) {
    let is_system = |message: &Json| message["role"] == "system";
    let first = messages.first_mut().filter(|first| !has_system || is_system(first));
    match first {
        Some(first) => {
            let content = first["content"].as_str().unwrap_or_default();
            let (head, tail) = if is_system(first) { (content, instructions) } else { (instructions, content) };
            first["content"] = format!("{head}\n\n{tail}").into();
        }
        None => messages.insert(0, said(Role::System, instructions)),
    }
}

fn add_line(messages: &mut [Json], line: &str) {
    if let Some(last) = messages.last_mut() {
        let content = last["content"].as_str().unwrap_or_default();
        last["content"] = format!("{content}\n{line}").into();
    }
}

fn visit_json(json: &Json, visit: &mut dyn FnMut(&str)) {
    match json {
        Json::String(text) => visit(text),
        Json::Array(items) => items.iter().for_each(|item| visit_json(item, visit)),
        Json::Object(members) => members.iter().for_each(|(key, value)| {
            visit(key);
            visit_json(value, visit);
        }),
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

fn spoil_json(json: &Json, spoil: &dyn Fn(&str) -> String) -> Json {
    match json {
        Json::String(text) => spoil(text).into(),
        Json::Array(items) => items.iter().map(|item| spoil_json(item, spoil)).collect(),
        Json::Object(members) => members
            .iter()
            .map(|(key, value)| (spoil(key), spoil_json(value, spoil)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Json::Null | Json::Bool(_) | Json::Number(_) => json.clone(),
    }
}

/// What the guest says of tools, inside of what their form is.
fn spoil_tools(mut described: Json, spoil: &dyn Fn(&str) -> String) -> Json {
    for tool in described.as_array_mut().into_iter().flatten() {
        for part in ["name", "description", "parameters"] {
            let spoilt = spoil_json(&tool["function"][part], spoil);
            tool["function"][part] = spoilt;
        }
    }
    described
}
