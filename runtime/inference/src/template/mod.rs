//! The chat template: how a model's family writes a conversation.
//!
//! Templates are Jinja2 in the environment that Hugging Face's `transformers` gives them (`apply_chat_template`):
//! blocks are trimmed, Python's string methods exist, and the variables are `messages`, `add_generation_prompt`,
//! `bos_token`, `eos_token` and the function `raise_exception`. A template comes with a model file, so it is untrusted.
//!
//! A list that a template writes out as it is has double quotes around its strings, where Python has single ones.
//!
//! Limits: [`SOURCE_BYTES_MAX`], [`FUEL`] instructions, [`RECURSION_MAX`], [`OUTPUT_BYTES_MAX`] of output. No files, no other
//! templates, no clock: `strftime_now` does not exist, so the same conversation is the same prompt tomorrow; templates
//! that ask whether it is defined go on without. Messages are text: there are no images, no sound and no tools for a
//! template to write. A string that a template builds inside an expression and does not write out is bounded by the
//! fuel alone, and so is a list: forty doublings of one are within the fuel and beyond any memory. Who serves models of
//! strangers bounds the process's memory.

mod json;

use minijinja::{Environment, Error, ErrorKind, Value, context};
use remit_abi::Role;
use serde::Serialize;
use std::{
    io::{self, Write},
    panic::{AssertUnwindSafe, catch_unwind},
};
use thiserror::Error;

/// Instructions of one rendering: thousands of messages take some hundred each.
pub const FUEL: u64 = 5_000_000;
/// Depth of calls and loops inside each other: known templates have less than ten.
pub const RECURSION_MAX: usize = 64;
/// Text of one rendering: four times the longest prompt that the kernel lets through.
pub const OUTPUT_BYTES_MAX: usize = 4 << 20;

/// Text of a template: the longest known ones have 40 KB.
pub const SOURCE_BYTES_MAX: usize = 1 << 20;

const NAME: &str = "chat template";

/// Why a template gave no prompt.
#[derive(Debug, Error)]
pub enum TemplateError {
    /// It is not Jinja2.
    #[error("the model's chat template does not compile: {0}; choose another model file")]
    Compile(String),
    /// It failed, called `raise_exception`, or ran out of fuel.
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
    environment: Environment<'static>,
    begin: String,
    end: String,
}

#[derive(Serialize)]
struct Message<'a> {
    role: Role,
    content: &'a str,
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
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(RECURSION_MAX);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_filter("tojson", json::to_json);
        let compiled = environment.add_template_owned(NAME, source.to_owned());
        compiled.map_err(|error| TemplateError::Compile(sentence(&error)))?;
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        Ok(Self { environment, begin: text(begin), end: text(end) })
    }

    /// The prompt of a conversation, with the head of the model's turn at its end.
    ///
    /// # Errors
    /// [`TemplateError::Render`], [`TemplateError::Output`].
    pub fn render(&self, messages: &[(Role, String)]) -> Result<String, TemplateError> {
        let messages: Vec<_> = messages.iter().map(|(role, content)| Message { role: *role, content }).collect();
        let variables = context! {
            messages => messages,
            add_generation_prompt => true,
            bos_token => self.begin,
            eos_token => self.end,
        };
        let template = self.environment.get_template(NAME).map_err(|error| TemplateError::Render(sentence(&error)))?;
        let mut out = Bounded::default();
        // A list of 2^60 elements makes the library panic.
        let render = AssertUnwindSafe(|| template.render_captured_to(variables, &mut out).map(drop));
        let rendered = catch_unwind(render)
            .unwrap_or_else(|_| Err(Error::new(ErrorKind::InvalidOperation, "the template asks for too much memory")));
        if out.exceeded {
            return Err(TemplateError::Output);
        }
        rendered.map_err(|error| TemplateError::Render(sentence(&error)))?;
        String::from_utf8(out.bytes).map_err(|error| TemplateError::Render(error.to_string()))
    }
}

/// An error's message without the listing of the source that its `Display` may add.
fn sentence(error: &Error) -> String {
    let place = error.line().map(|line| format!(" (line {line})")).unwrap_or_default();
    match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => format!("it takes more than {FUEL} steps; shorten the conversation{place}"),
        (_, Some(detail)) => format!("{detail}{place}"),
        (kind, None) => format!("{kind}{place}"),
    }
}

/// Takes [`OUTPUT_BYTES_MAX`] and no more.
#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
    exceeded: bool,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > OUTPUT_BYTES_MAX {
            self.exceeded = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
