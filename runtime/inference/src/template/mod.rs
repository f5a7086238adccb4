//! The chat template: how a model's family writes a conversation.
//!
//! Templates are Jinja2 in the environment that Hugging Face's `transformers` gives them (`apply_chat_template`): blocks are
//! trimmed, loops can be left, and the variables are `messages`, `add_generation_prompt`, `bos_token`, `eos_token` and the
//! function `raise_exception`. A template comes with a model file, so it is untrusted.
//!
//! It is run by an interpreter of our own, since an engine has to bound what a template takes while it takes it. A general
//! one counts instructions, and one instruction can double a text, search a list of 2⁶⁰ items, or nest lists so deep that
//! dropping them overflows the stack; its operators and values cannot be replaced from outside. Here every text and list is
//! held by a [meter](meter) before it is allocated, every instruction costs steps in proportion to what it works on, and
//! nothing nests deeper than its limit.
//!
//! What Jinja2 has and this does not: tuples (they are lists), tags and filters that no known chat template uses, lists of
//! arguments, attributes of Python's own objects; a macro sees the names of the template, and not those of a block around it.
//!
//! Limits: [`SOURCE_BYTES_MAX`], [`FUEL`] steps, [`MEMORY_BYTES_MAX`], [`RECURSION_MAX`], [`NESTING_MAX`],
//! [`OUTPUT_BYTES_MAX`] of output. No files, no other templates, no clock: `strftime_now` does not exist, so the same
//! conversation is the same prompt tomorrow; templates that ask whether it is defined go on without. Messages are text: there
//! are no images, no sound and no tools for a template to write.
//!
//! | file | holds |
//! | --- | --- |
//! | `lexer`, `parser`, `syntax` | from a text to statements and expressions |
//! | `render` | statements, names, calls |
//! | `operators`, `filters`, `predicates` (`is ...`), `methods` | what Python and Jinja2 do with values |
//! | `print`, `format` | values as text and JSON, and in patterns |
//! | `value`, `meter` | values, and what holds them |

mod filters;
mod format;
mod lexer;
mod meter;
mod methods;
mod operators;
mod parser;
mod predicates;
mod print;
mod render;
mod syntax;
mod value;

use meter::{Meter, Outcome, Stop};
use remit_abi::Role;
use render::Renderer;
use std::{borrow::Cow, rc::Rc};
use syntax::Block;
use thiserror::Error;
use value::{List, Map, Value};

/// Steps of one rendering: an instruction takes one, and one more for some hundred bytes that it works on. Thousands of messages
/// take some hundred each; all of them take about a second.
pub const FUEL: u64 = 5_000_000;

/// Bytes that texts and lists of one rendering hold together at any moment, the output with them: some ten times as much as
/// the longest conversation takes.
pub const MEMORY_BYTES_MAX: usize = 64 << 20;

/// Depth of calls, blocks and expressions inside each other: known templates have less than 30. Each takes some hundred bytes of
/// the stack.
pub const RECURSION_MAX: usize = 200;

/// Depth of lists and maps inside each other: known templates write JSON of less than 10.
pub const NESTING_MAX: usize = 64;

/// Text of one rendering: four times the longest prompt that the kernel lets through.
pub const OUTPUT_BYTES_MAX: usize = 4 << 20;

/// Text of a template: the longest known ones have 40 KB.
pub const SOURCE_BYTES_MAX: usize = 256 << 10;

/// Blocks inside each other, and brackets in one expression: known templates have less than 20.
const PARSE_DEPTH_MAX: usize = 64;

/// Why a template gave no prompt.
#[derive(Debug, Error)]
pub enum TemplateError {
    /// It is not Jinja2, or more of it than chat templates have.
    #[error("the model's chat template does not compile: {0}; choose another model file")]
    Compile(String),
    /// It failed, called `raise_exception`, or went over a limit.
    #[error("{0}")]
    Render(String),
    /// It wrote more than [`OUTPUT_BYTES_MAX`].
    #[error("it writes more than {OUTPUT_BYTES_MAX} bytes; shorten the conversation, or choose another model")]
    Output,
    /// The model has none.
    #[error("the model file has none; use a plain completion, or choose an instruction-tuned model")]
    Missing,
    /// The conversation leaves no private-use character free.
    #[error("the conversation uses every character of private use area B; remove some of them")]
    Markers,
}

/// A compiled chat template. Immutable: threads share it.
#[derive(Debug)]
pub struct ChatTemplate {
    template: Block,
    begin: String,
    end: String,
}

impl ChatTemplate {
    /// Compiles a template. `begin` and `end` are what it sees as `bos_token` and `eos_token`.
    ///
    /// # Errors
    /// [`TemplateError::Compile`].
    pub fn new(source: &str, begin: Option<&str>, end: Option<&str>) -> Result<Self, TemplateError> {
        if source.len() > SOURCE_BYTES_MAX {
            return Err(TemplateError::Compile(format!("it has more than {SOURCE_BYTES_MAX} bytes")));
        }
        let source = match source.contains('\r') {
            true => Cow::Owned(source.replace("\r\n", "\n").replace('\r', "\n")),
            false => Cow::Borrowed(source),
        };
        let template = parser::parse(&source).map_err(|error| TemplateError::Compile(error.0))?;
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        Ok(Self { template, begin: text(begin), end: text(end) })
    }

    /// The prompt of a conversation, with the head of the model's turn at its end.
    ///
    /// # Errors
    /// [`TemplateError::Render`], [`TemplateError::Output`].
    pub fn render(&self, messages: &[(Role, String)]) -> Result<String, TemplateError> {
        let meter = Rc::new(Meter::default());
        let mut renderer = Renderer::new(&meter).map_err(|stop| stopped(stop, 1))?;
        let rendered = self.give(&mut renderer, messages).and_then(|()| renderer.render(&self.template));
        rendered.map_err(|stop| stopped(stop, renderer.line()))
    }

    /// Gives a template its variables.
    fn give<'a>(&'a self, renderer: &mut Renderer<'a>, messages: &'a [(Role, String)]) -> Outcome<()> {
        let meter = renderer.meter.clone();
        let mut list = List::new(&meter)?;
        for (role, content) in messages {
            let role = match role {
                Role::System => "system",
                Role::User => "user",
                Role::Assistant => "assistant",
            };
            let mut message = Map::new(&meter)?;
            message.insert(Value::from("role"), Value::from(role))?;
            message.insert(Value::from("content"), Value::from(content.as_str()))?;
            list.push(message.into())?;
        }
        renderer.assign_name("messages", list.into())?;
        renderer.assign_name("add_generation_prompt", Value::Bool(true))?;
        renderer.assign_name("bos_token", Value::from(self.begin.as_str()))?;
        renderer.assign_name("eos_token", Value::from(self.end.as_str()))
    }
}

/// Why a rendering stopped, as its user sees it.
fn stopped(stop: Stop, line: u32) -> TemplateError {
    let sentence = match stop {
        Stop::Failed(why) => why,
        Stop::Fuel => format!("it takes more than {FUEL} steps; shorten the conversation"),
        Stop::Memory => {
            format!("it takes too much memory, more than {MEMORY_BYTES_MAX} bytes; shorten the conversation")
        }
        Stop::Recursion => format!("its calls and blocks go deeper than {RECURSION_MAX} levels (endless recursion?)"),
        Stop::Nesting => format!("its lists and mappings nest deeper than {NESTING_MAX} levels"),
        Stop::Output => return TemplateError::Output,
    };
    TemplateError::Render(format!("{sentence} (line {line})"))
}

#[cfg(test)]
mod tests;
