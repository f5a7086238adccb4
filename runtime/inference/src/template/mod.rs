//! The chat template: how a model's family writes a conversation.
//!
//! Templates are Jinja2 in the environment that Hugging Face's `transformers` gives them (`apply_chat_template`): blocks are
//! trimmed, loops can be left, and the variables are `messages`, `tools`, `add_generation_prompt`, `bos_token`, `eos_token` and the
//! function `raise_exception`. A template comes with a model file, so it is untrusted.
//!
//! The library `minijinja` parses and runs it. Its fuel bounds how many instructions a rendering takes, but one instruction can
//! double a text, or compare lists that share their items forty levels deep. So the library's syntax tree is [rewritten](rewrite)
//! before it is compiled: operators, lists and slices become calls of functions that count what they [make and read](meter), what
//! is written is counted by the formatter, and every filter, test and method stands behind one that counts. The results are the
//! library's own.
//!
//! What Jinja2 has and this does not: tuples (they are lists), `{% include %}`, `{% import %}`, `{% block %}` and `{% autoescape %}`,
//! arguments from lists (`*`, `**`), a text before `%`, and [filters](builtins) that no known chat template uses.
//!
//! Limits: [`SOURCE_BYTES_MAX`], [`FUEL`] instructions, [`MEMORY_BYTES_MAX`], [`READ_BYTES_MAX`], [`VALUE_BYTES_MAX`],
//! [`RECURSION_MAX`], [`NESTING_MAX`], [`OUTPUT_BYTES_MAX`] of output. No files, no other templates, no clock: `strftime_now` does
//! not exist, so the same conversation is the same prompt tomorrow; templates that ask whether it is defined go on without. Messages
//! are text: there are no images and no sound for a template to write. The module `dialogue` says how it gets tools, calls and
//! results.

mod builtins;
mod dialogue;
mod json;
mod meter;
mod operators;
mod print;
mod rewrite;
mod value;

use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, Output, State, Value, context,
    machinery::{Instructions, Vm, make_string_output},
};
use remit_abi::Role;
use remit_grammar::tools::CallFormat;
use self_cell::self_cell;
use serde_json::Value as Json;
use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{LazyLock, OnceLock},
};
use thiserror::Error as ThisError;
use value::Tree;

pub(crate) use dialogue::{Dialogue, Heard, Knows, toolbox};

/// Instructions of one rendering: thousands of messages take some hundred each.
pub const FUEL: u64 = 5_000_000;

/// Bytes that one rendering makes in all, the prompt thrice (it grows by doubling): some five times as much as the longest
/// conversation takes.
pub const MEMORY_BYTES_MAX: usize = 64 << 20;

/// Bytes that one rendering copies, compares and searches: 256 times the longest prompt that the kernel lets through.
pub const READ_BYTES_MAX: usize = 256 << 20;

/// Bytes of one text, or of all texts in a list or map with 16 for each value: as many as the prompt may have.
pub const VALUE_BYTES_MAX: usize = OUTPUT_BYTES_MAX;

/// Depth of loops and blocks inside each other, where a macro counts as five: known templates have less than ten.
pub const RECURSION_MAX: usize = 64;

/// Depth of lists and maps inside each other: known templates write JSON of less than 10.
pub const NESTING_MAX: usize = 32;

/// Text of one rendering: four times the longest prompt that the kernel lets through.
pub const OUTPUT_BYTES_MAX: usize = 4 << 20;

/// Text of a template: the longest known ones have 40 KB.
pub const SOURCE_BYTES_MAX: usize = 256 << 10;

/// Why a template gave no prompt.
#[derive(Debug, ThisError)]
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
    /// A tool, or the arguments of a call, are none.
    #[error("{0}")]
    Tools(String),
    /// The model has none.
    #[error("the model file has none; use a plain completion, or choose an instruction-tuned model")]
    Missing,
    /// The conversation leaves no private-use character free.
    #[error("the conversation uses every character of private use area B; remove some of them")]
    Markers,
}

/// A chat template, compiled once. Immutable: threads share it.
pub struct ChatTemplate {
    compiled: Compiled,
    begin: String,
    end: String,
    /// How its family writes calls.
    calls: &'static CallFormat,
    /// What it writes of what it is given, once somebody asked.
    knows: OnceLock<Knows>,
}

self_cell! {
    /// A text, and the instructions that borrow from it.
    struct Compiled {
        owner: String,
        #[covariant]
        dependent: Instructions,
    }
}

impl std::fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChatTemplate").field("source", self.compiled.borrow_owner()).finish_non_exhaustive()
    }
}

/// What every template may call, and how it writes.
static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::empty();
    environment.set_debug(false);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION_MAX);
    environment.set_formatter(write);
    builtins::install(&mut environment);
    environment
});

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
        let source = without_generation(&source);
        let calls = CallFormat::of_template(&source);
        let compiled =
            rewrite::measure(&source).and_then(|()| Compiled::try_new(source, |source| rewrite::compile(source)));
        let compiled = compiled.map_err(|error| TemplateError::Compile(sentence(&error)))?;
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        Ok(Self { compiled, begin: text(begin), end: text(end), calls, knows: OnceLock::new() })
    }

    /// How the model writes calls of tools: as its template does where that is known, else as a grammar forces it.
    #[must_use]
    pub fn calls(&self) -> &'static CallFormat {
        self.calls
    }

    /// What it writes of what it is given. It is found by trying, the first time.
    pub(crate) fn knows(&self) -> Knows {
        *self.knows.get_or_init(|| Knows::probe(self))
    }

    /// The prompt of a conversation of texts, with the head of the model's turn at its end.
    ///
    /// # Errors
    /// [`TemplateError::Render`], [`TemplateError::Output`].
    pub fn render(&self, messages: &[(Role, String)]) -> Result<String, TemplateError> {
        let said = messages.iter().map(|(role, content)| dialogue::said(*role, content));
        self.render_dialogue(&Dialogue { messages: said.collect(), tools: Json::Null })
    }

    /// The prompt of a conversation in the form that `transformers` gives to templates.
    pub(crate) fn render_dialogue(&self, dialogue: &Dialogue) -> Result<String, TemplateError> {
        meter::begin();
        let mut prompt = String::new();
        let messages = dialogue.messages.iter().map(Tree::of_json).collect::<Result<_, _>>().and_then(Tree::list);
        let rendered = messages.and_then(|messages| {
            let variables = context! {
                messages,
                tools => Tree::of_json(&dialogue.tools)?,
                add_generation_prompt => true,
                bos_token => self.begin,
                eos_token => self.end,
            };
            let (instructions, blocks) = (self.compiled.borrow_dependent(), BTreeMap::new());
            let mut out = make_string_output(&mut prompt);
            Vm::new(&ENVIRONMENT).eval(instructions, variables, &blocks, &mut out, AutoEscape::None).map(drop)
        });
        match rendered {
            Err(error) => Err(TemplateError::Render(sentence(&error))),
            Ok(()) if prompt.len() > OUTPUT_BYTES_MAX => Err(TemplateError::Output),
            Ok(()) => Ok(prompt),
        }
    }
}

/// A template whose tags around what a model says, which matter in training alone, are conditions that always hold.
fn without_generation(source: &str) -> String {
    let mut tags = source.split("{%");
    let mut out = tags.next().unwrap_or_default().to_owned();
    for tag in tags {
        let end = tag.find("%}").unwrap_or(0);
        let (tag, rest) = tag.split_at(end);
        out.push_str("{%");
        match tag.trim_matches(['-', '+']).trim() {
            "generation" => out.push_str(&tag.replace("generation", "if true")),
            "endgeneration" => out.push_str(&tag.replace("endgeneration", "endif")),
            _ => out.push_str(tag),
        }
        out.push_str(rest);
    }
    out
}

/// Writes a value to the prompt, or to what a block or macro becomes. A text that grows takes at most thrice its length.
fn write(out: &mut Output<'_>, _: &State<'_, '_>, value: &Value) -> Result<(), Error> {
    let text = print::text(value)?;
    meter::make(text.len().saturating_mul(3))?;
    Ok(out.write_str(&text)?)
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

#[cfg(test)]
mod tests;
