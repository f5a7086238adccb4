//! Calls of tools: a grammar that lets a model write nothing but calls that parse, and a reader of what it wrote.
//!
//! | choice | the answer is |
//! | --- | --- |
//! | [`ToolChoice::Auto`] | text, or text and then calls; calls end it |
//! | [`ToolChoice::Required`] | calls, at least one |
//! | [`ToolChoice::Named`] | one call, of this tool |
//! | [`ToolChoice::None`] | text, in which no call begins |
//!
//! A call's arguments fit the tool's schema, bounded as the module `schema` of this crate says: from any model, at any
//! temperature, unless the generation was cut by its limit of tokens or its budget, which is then the finish reason.
//!
//! Where calls have no mark of their own ([`FORCED`], Llama 3) the first character decides: an answer that begins with `{` is
//! a call, and another is text, so text does not begin with `{`. Both may follow a blank or two, since the first token of an answer has
//! one in some vocabularies.

mod families;
mod reader;
#[cfg(test)]
mod tests;

pub use families::{CallFormat, FAMILIES, FORCED};
pub use reader::{Call, CallReader, Piece};

use crate::{
    Constraint, GrammarError, Limits, Vocabulary,
    schema::{self, Bounder},
    source::escape,
};
use families::{Inside, Many};
use llguidance::api::TopLevelGrammar;
use serde_json::{Value, json};
use std::{collections::HashSet, ops::RangeInclusive};

/// Tools of one request: a model that is shown more does not find the right one, and each is some hundred tokens of the
/// prompt.
pub const TOOLS_MAX: usize = 128;

/// Bytes of a tool's name, as the APIs of this kind have it.
pub const NAME_BYTES_MAX: usize = 64;

/// Calls of one answer: what is worth doing at once; a loop of calls ends here.
pub const CALLS_MAX: usize = 16;

/// What a model may call.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// 1 to [`NAME_BYTES_MAX`] letters, digits, `_`, `-` or `.`.
    pub name: String,
    /// What it does, for the model to read.
    pub description: String,
    /// A JSON Schema of an object; none (`null`) where it takes nothing.
    pub parameters: Value,
}

/// Whether a model is to call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ToolChoice {
    /// As it likes.
    #[default]
    Auto,
    /// It must.
    Required,
    /// It must call this one.
    Named(String),
    /// It must not.
    None,
}

/// The tools of a request, in the format of a model.
#[derive(Clone, Debug)]
pub struct Toolbox {
    tools: Vec<Tool>,
    format: &'static CallFormat,
}

impl Toolbox {
    /// Checks names and sizes.
    ///
    /// # Errors
    /// [`GrammarError::Empty`], [`GrammarError::TooMany`], [`GrammarError::ToolName`], those of sizes, and
    /// [`GrammarError::Invalid`], where a tool's parameters are of another type than `object`.
    pub fn new(tools: Vec<Tool>, format: &'static CallFormat, limits: &Limits) -> Result<Self, GrammarError> {
        if tools.is_empty() {
            return Err(GrammarError::Empty { what: "the list of tools" });
        }
        if tools.len() > TOOLS_MAX {
            return Err(GrammarError::TooMany { what: "tools", count: tools.len(), limit: TOOLS_MAX });
        }
        let mut names = HashSet::new();
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        for Tool { name, parameters, .. } in &tools {
            let fits = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_name);
            if !fits || !names.insert(name) {
                return Err(GrammarError::ToolName { name: name.chars().take(NAME_BYTES_MAX).collect() });
            }
            schema::check(parameters, limits)?;
            if parameters.get("type").is_some_and(|kind| kind != "object") {
                return Err(GrammarError::Invalid {
                    reason: format!("the parameters of the tool {name} are no object"),
                });
            }
        }
        Ok(Self { tools, format })
    }

    /// How calls are written.
    #[must_use]
    pub fn format(&self) -> &'static CallFormat {
        self.format
    }

    /// The constraint of an answer.
    ///
    /// # Errors
    /// [`GrammarError`].
    pub fn constraint(
        &self,
        vocabulary: &Vocabulary,
        choice: &ToolChoice,
        limits: &Limits,
    ) -> Result<Constraint, GrammarError> {
        let grammar = match choice {
            ToolChoice::None => format!("start: TEXT?\n{}", self.text()),
            ToolChoice::Auto => self.auto(vocabulary),
            ToolChoice::Required => {
                let calls = self.calls(vocabulary, &self.tools, 1..=self.calls_max());
                format!("start: {}\n{calls}", self.opened(vocabulary))
            }
            ToolChoice::Named(name) => {
                let tool = self.tools.iter().find(|tool| tool.name == *name);
                let tool = tool.ok_or_else(|| GrammarError::NoSuchTool { name: name.clone() })?;
                let calls = self.calls(vocabulary, std::slice::from_ref(tool), 1..=1);
                format!("start: {}\n{calls}", self.opened(vocabulary))
            }
        };
        Constraint::of(vocabulary, TopLevelGrammar::from_lark(grammar), limits)
    }

    /// A reader of an answer.
    #[must_use]
    pub fn reader(&self) -> CallReader {
        CallReader::new(self.format)
    }

    /// The tools as JSON, as templates take them: a list of `{"type": "function", "function": {…}}`.
    #[must_use]
    pub fn described(&self) -> Value {
        let describe = |Tool { name, description, parameters }: &Tool| {
            let function = json!({ "name": name, "description": description, "parameters": parameters });
            json!({ "type": "function", "function": function })
        };
        self.tools.iter().map(describe).collect()
    }

    /// What a model is told of the tools where its template does not: a part of the system message.
    #[must_use]
    pub fn instructions(&self) -> String {
        let example = self.format.write("TOOL", "{\"PARAMETER\": \"VALUE\"}");
        let tools = self.described();
        format!("You can call these tools:\n<tools>{tools}</tools>\nTo call one, answer with nothing but:\n{example}")
    }

    /// Text in which no call begins.
    fn text(&self) -> String {
        match self.format.open {
            "" => "TEXT: /[ \\n]{0,2}[^\\s{](?s:.*)/".to_owned(),
            open => format!("TEXT: /(?s:.+)/ & ~/(?s:.*){}(?s:.*)/", escape(open)),
        }
    }

    fn auto(&self, vocabulary: &Vocabulary) -> String {
        let (text, open) = (self.text(), self.format.open);
        let least = usize::from(self.format.many != Many::ListOrNone);
        let calls = self.calls(vocabulary, &self.tools, least..=self.calls_max());
        if open.is_empty() {
            format!("start: TEXT? | {}\n{text}\n{calls}", self.opened(vocabulary))
        } else if vocabulary.control(open).is_some() {
            format!("start: TEXT? | TEXT? {}\n{text}\n{calls}", self.opened(vocabulary))
        } else {
            // A lexeme that is lazy ends with the first mark. One for the text before it alone would be longer than that.
            let head = format!("head[lazy]: /(?s:.*){}/", escape(open));
            format!("start: TEXT? | head calls\n{head}\n{text}\n{calls}")
        }
    }

    fn calls_max(&self) -> usize {
        if self.format.has_many() { CALLS_MAX } else { 1 }
    }

    /// Calls with their opening.
    fn opened(&self, vocabulary: &Vocabulary) -> String {
        let open = mark(vocabulary, self.format.open);
        if open.is_empty() { "BLANKS? calls".to_owned() } else { format!("{open} calls") }
    }

    /// Rules of calls, behind the opening of the first.
    fn calls(&self, vocabulary: &Vocabulary, tools: &[Tool], count: RangeInclusive<usize>) -> String {
        let (before, after) = self.format.inside.blanks();
        let (open, close) = (mark(vocabulary, self.format.open), mark(vocabulary, self.format.close));
        let quoted = |text: &str| if text.is_empty() { String::new() } else { Value::from(text).to_string() };
        let (mut before, after) = (quoted(before), quoted(after));
        if self.format.inside == Inside::Space {
            before.push('?');
        }
        let further = count.end() - 1;
        let json = self.schema(tools, &count);
        let body = format!("BLANKS: /[ \\n]{{1,2}}/\nbody: {before} json {after} {close}\njson: %json {json}");
        match self.format.many {
            Many::Blocks if further > 0 => format!("calls: body (\"\\n\" {open} body){{0,{further}}}\n{body}"),
            _ => format!("calls: body\n{body}"),
        }
    }

    /// A schema of the JSON of calls: an object, or a list of them.
    fn schema(&self, tools: &[Tool], count: &RangeInclusive<usize>) -> Value {
        let place = |index: usize| format!("tool-{index}");
        let call = |(index, tool): (usize, &Tool)| {
            let arguments = self.format.arguments;
            json!({
                "type": "object",
                "properties": {
                    "name": { "const": tool.name },
                    arguments: { "$ref": format!("#/$defs/{}", place(index)) },
                },
                "required": ["name", arguments],
                "additionalProperties": false,
            })
        };
        let calls: Vec<_> = tools.iter().enumerate().map(call).collect();
        let one = json!({ "anyOf": calls });
        let root = match self.format.many {
            Many::List | Many::ListOrNone => {
                json!({ "type": "array", "items": one, "minItems": count.start(), "maxItems": count.end() })
            }
            Many::One | Many::Blocks => one,
        };
        let part = |(index, tool): (usize, &Tool)| {
            let place = place(index);
            let bounded = Bounder::bound(&parameters(&tool.parameters), &format!("/$defs/{place}"));
            (place, bounded)
        };
        schema::document(root, tools.iter().enumerate().map(part))
    }
}

/// A mark in a grammar: a control token, where the vocabulary has it, otherwise text.
fn mark(vocabulary: &Vocabulary, mark: &str) -> String {
    match vocabulary.control(mark) {
        _ if mark.is_empty() => String::new(),
        Some(token) => format!("<[{token}]>"),
        None => Value::from(mark).to_string(),
    }
}

/// Parameters are an object: a schema that says nothing of its type is one of an object, and none at all is one without
/// members.
fn parameters(schema: &Value) -> Value {
    match schema {
        Value::Null => json!({ "type": "object", "properties": {} }),
        Value::Bool(true) => json!({ "type": "object" }),
        Value::Object(members) if members.is_empty() => json!({ "type": "object" }),
        Value::Object(members) if members.contains_key("properties") && !members.contains_key("type") => {
            let mut members = members.clone();
            members.insert("type".to_owned(), "object".into());
            members.into()
        }
        other => other.clone(),
    }
}
