//! What answers are held to: compiled on the caller's thread, and kept for whoever asks for the same again.
//!
//! Principles:
//!
//! - A model's vocabulary is arranged at its first request with a format: 0.3 s, which models that never get one do not take.
//! - What one tenant compiled is not at hand for another, who could tell by the time what others ask for.
//! - Nobody waits for another's compilation: two callers who ask for the same at once both compile it.

use super::held::{Calls, Held};
use crate::{
    template::{ChatTemplate, toolbox},
    tokenizer::Tokenizer,
};
use remit_abi::{OutputFormat, TenantId, ToolChoice, Toolset};
use remit_grammar::{
    Constraint, Format, GrammarError, Limits, Vocabulary,
    tools::{self, CallFormat, FORCED, Toolbox},
};
use remit_kernel::ports::{EngineError, GenerationJob};
use serde_json::Value as Json;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Compiled formats of a model that are kept. 64: as many as generations are computed side by side; each has some 100 KB, and a
/// lexer that has grown to its limit 32 MB.
const COMPILED_MAX: usize = 64;

/// What answers of a model are held to. Adapters share their base's.
pub(super) struct Formats {
    tokenizer: Arc<Tokenizer>,
    vocabulary: OnceLock<Result<Vocabulary, Box<str>>>,
    compiled: Mutex<Kept>,
}

/// What somebody asked for.
#[derive(Clone, Debug, PartialEq)]
enum Asked {
    Format(OutputFormat),
    /// In the way of a family.
    Tools(Toolset, &'static CallFormat),
}

/// What was compiled, the least recently used first.
#[derive(Default)]
struct Kept(Vec<(TenantId, Asked, Constraint)>);

impl Kept {
    fn find(&mut self, tenant: TenantId, asked: &Asked) -> Option<Constraint> {
        let place = self.0.iter().position(|(of, kept, _)| *of == tenant && kept == asked)?;
        let found = self.0.remove(place);
        let constraint = found.2.clone();
        self.0.push(found);
        Some(constraint)
    }

    fn keep(&mut self, tenant: TenantId, asked: Asked, constraint: Constraint) {
        if self.0.len() == COMPILED_MAX {
            self.0.remove(0);
        }
        self.0.push((tenant, asked, constraint));
    }
}

impl Formats {
    pub(super) fn new(tokenizer: Arc<Tokenizer>) -> Self {
        Self { tokenizer, vocabulary: OnceLock::new(), compiled: Mutex::default() }
    }

    /// Whether answers can be held to this. What compiles is kept for the tenant.
    pub(super) fn accept(
        &self,
        tenant: TenantId,
        format: &OutputFormat,
        tools: Option<&Toolset>,
        template: Option<&ChatTemplate>,
    ) -> Result<(), EngineError> {
        match asked(format, tools, template) {
            None => Ok(()),
            Some(asked) => self.constraint(tenant, asked).map(drop),
        }
    }

    /// What a generation is held to, where it is held to anything, and what reads its calls, where it may have some.
    pub(super) fn hold(
        &self,
        job: &GenerationJob,
        template: Option<&ChatTemplate>,
    ) -> Result<(Option<Held>, Option<Calls>), EngineError> {
        let tools = job.tools.as_deref();
        let Some(asked) = asked(&job.params.format, tools, template) else { return Ok((None, None)) };
        let held = Held::new(&self.constraint(job.tenant, asked)?);
        let calls = match tools.filter(|tools| tools.may_call()) {
            None => None,
            Some(tools) => {
                let reader = toolbox(tools, format_of(template)).map_err(|error| refused(&error))?.reader();
                Some(Calls::new(reader, self.vocabulary()?.clone(), job))
            }
        };
        Ok((Some(held), calls))
    }

    fn constraint(&self, tenant: TenantId, asked: Asked) -> Result<Constraint, EngineError> {
        let kept = || self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(constraint) = kept().find(tenant, &asked) {
            return Ok(constraint);
        }
        let compiled = compile(self.vocabulary()?, &asked).map_err(|error| refused(&error))?;
        kept().keep(tenant, asked, compiled.clone());
        Ok(compiled)
    }

    fn vocabulary(&self) -> Result<&Vocabulary, EngineError> {
        let arrange = || self.tokenizer.grammar_vocabulary().map_err(|error| error.to_string().into());
        let arranged = self.vocabulary.get_or_init(arrange);
        arranged.as_ref().map_err(|why| EngineError::Format(format!("the model has no formats: {why}").into()))
    }
}

/// Tools that may be called decide the form of an answer; what is left to say of it without them is its format.
fn asked(format: &OutputFormat, tools: Option<&Toolset>, template: Option<&ChatTemplate>) -> Option<Asked> {
    match (format, tools) {
        (OutputFormat::Any, None) => None,
        (OutputFormat::Any, Some(tools)) => Some(Asked::Tools(tools.clone(), format_of(template))),
        (format, _) => Some(Asked::Format(format.clone())),
    }
}

fn format_of(template: Option<&ChatTemplate>) -> &'static CallFormat {
    template.map_or(&FORCED, ChatTemplate::calls)
}

fn compile(vocabulary: &Vocabulary, asked: &Asked) -> Result<Constraint, GrammarError> {
    let limits = Limits::default();
    match asked {
        Asked::Format(format) => Constraint::compile(vocabulary, &read(format)?, &limits),
        Asked::Tools(tools, format) => {
            let toolbox: Toolbox = toolbox(tools, format)?;
            let choice = match &tools.choice {
                ToolChoice::Auto => tools::ToolChoice::Auto,
                ToolChoice::Required => tools::ToolChoice::Required,
                ToolChoice::Named(name) => tools::ToolChoice::Named(name.to_string()),
                ToolChoice::None => tools::ToolChoice::None,
            };
            toolbox.constraint(vocabulary, &choice, &limits)
        }
    }
}

fn read(format: &OutputFormat) -> Result<Format, GrammarError> {
    Ok(match format {
        OutputFormat::Any => Format::Grammar("start: /(?s:.*)/".to_owned()),
        OutputFormat::JsonSchema(schema) => Format::JsonSchema(read_json(schema)?),
        OutputFormat::Regex(expression) => Format::Regex(expression.to_string()),
        OutputFormat::Choice(choices) => Format::Choice(choices.iter().map(ToString::to_string).collect()),
        OutputFormat::Grammar(grammar) => Format::Grammar(grammar.to_string()),
    })
}

fn read_json(schema: &str) -> Result<Json, GrammarError> {
    serde_json::from_str(schema)
        .map_err(|error| GrammarError::Invalid { reason: format!("the schema is no JSON: {error}") })
}

fn refused(error: &GrammarError) -> EngineError {
    EngineError::Format(error.to_string().into())
}
