//! A grammar compiled for a vocabulary, and where a generation stands in it.

use crate::{Format, GrammarError, Limits, Mask, Vocabulary, error::sentence};
use llguidance::{
    Logger, Matcher,
    api::{GrammarInit, ParserLimits, StopReason, TopLevelGrammar},
    toktrie::InferenceCapabilities,
};
use std::{fmt, sync::Arc, thread};

/// Stack of the thread that compiles: the library recurses with what it reads, some kilobytes a level, and a caller's own
/// stack may be short. Pages that are not used take no memory.
pub const COMPILE_STACK_BYTES: usize = 32 << 20;

/// A grammar compiled for a vocabulary. Generations share it; cloning costs nothing.
#[derive(Clone)]
pub struct Constraint {
    vocabulary: Vocabulary,
    start: Arc<Matcher>,
}

impl Constraint {
    /// Compiles a format. It takes some milliseconds of this thread's time, tens for large schemas: never call it between
    /// two steps of a model.
    ///
    /// # Errors
    /// [`GrammarError`], also where the library panics.
    pub fn compile(vocabulary: &Vocabulary, format: &Format, limits: &Limits) -> Result<Self, GrammarError> {
        Self::of(vocabulary, format.source(limits)?, limits)
    }

    pub(crate) fn of(vocabulary: &Vocabulary, source: TopLevelGrammar, limits: &Limits) -> Result<Self, GrammarError> {
        let limits = library_limits(limits);
        let compile = || -> Result<Matcher, String> {
            let (init, quiet) = (GrammarInit::Serialized(source), Logger::new(0, 0));
            let parser = vocabulary
                .factory()
                .create_parser_from_init_ext(init, quiet, InferenceCapabilities::default(), limits)
                .map_err(|error| format!("{error:#}"))?;
            // The first mask is a part of the check: a lexer may be within its limits, and its first step beyond. Generations
            // begin with what the lexer learnt by it.
            let mut matcher = Matcher::new(Ok(parser));
            if let Some(error) = matcher.get_error() {
                return Err(error);
            }
            match mask_of(&mut matcher, vocabulary) {
                Ok(_) | Err(Ending::Complete) => Ok(matcher),
                Err(Ending::Stuck) => Err(StopReason::NoExtensionBias.to_string()),
                Err(Ending::Exhausted(error)) => Err(error),
            }
        };
        let compiled = thread::scope(|scope| {
            let builder = thread::Builder::new().name("grammar".to_owned()).stack_size(COMPILE_STACK_BYTES);
            let compiling = builder.spawn_scoped(scope, compile).map_err(|_| GrammarError::NoThread)?;
            let compiled = compiling.join().unwrap_or_else(|_| Err("the compiler failed".to_owned()));
            compiled.map_err(|message| GrammarError::from_library(&message))
        })?;
        Ok(Self { vocabulary: vocabulary.clone(), start: Arc::new(compiled) })
    }

    /// The state of a generation that begins.
    ///
    /// It has a lexer of its own, so what it may do does not depend on what others did, and nobody waits for anybody.
    #[must_use]
    pub fn begin(&self) -> State {
        State {
            vocabulary: self.vocabulary.clone(),
            matcher: self.start.deep_clone(),
            mask: None,
            accepted: 0,
            ended_by_token: false,
        }
    }
}

impl fmt::Debug for Constraint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Constraint").field("vocabulary", &self.vocabulary).finish_non_exhaustive()
    }
}

fn library_limits(limits: &Limits) -> ParserLimits {
    ParserLimits {
        max_items_in_row: limits.row_items_max,
        initial_lexer_fuel: limits.compile_fuel,
        step_lexer_fuel: limits.step_fuel,
        step_max_items: limits.step_items_max,
        max_lexer_states: limits.lexer_states_max,
        max_grammar_size: limits.symbols_max,
        precompute_large_lexemes: true,
        verbose_errors: false,
    }
}

/// Why nothing may come next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The text is complete, and nothing could be added; or an end token came. The finish reason is `stop`.
    Complete,
    /// No token of this vocabulary goes on, as where it cannot spell what the grammar asks for. The text is incomplete.
    Stuck,
    /// The next step takes more than the limits allow; says which. The text is incomplete.
    Exhausted(String),
}

/// What may come next.
#[derive(Clone, Copy, Debug)]
pub enum Next<'a> {
    /// One of these tokens, at least one.
    Among(&'a Mask),
    /// Nothing. [`State::ending`] says why.
    End,
}

/// A token that the grammar does not allow. The state is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("token {0} is not allowed here; take one of the mask")]
pub struct Rejected(pub u32);

/// Where a generation stands in its grammar.
///
/// | the text | mask | [`may_end`](Self::may_end) | [`ending`](Self::ending) |
/// | --- | --- | --- | --- |
/// | is incomplete | tokens of text | no | none |
/// | is complete, and may go on | tokens of text, and the end tokens | yes | none |
/// | is complete | none | yes | `Complete` |
/// | was ended by an end token | none | yes | `Complete` |
/// | cannot go on | none | no | `Stuck`, `Exhausted` |
///
/// It can be sent to another thread, so that a mask is computed while a device computes logits.
pub struct State {
    vocabulary: Vocabulary,
    matcher: Matcher,
    /// Of this place, once it was asked for.
    mask: Option<Result<Mask, Ending>>,
    /// Tokens of text.
    accepted: usize,
    /// End tokens are not the grammar's.
    ended_by_token: bool,
}

impl State {
    /// Which tokens may come next. Computes it once for each place.
    pub fn allowed(&mut self) -> Next<'_> {
        if self.mask.is_none() {
            self.mask = Some(self.compute());
        }
        match &self.mask {
            Some(Ok(mask)) => Next::Among(mask),
            _ => Next::End,
        }
    }

    /// Why nothing may come next, where nothing may.
    pub fn ending(&mut self) -> Option<Ending> {
        match self.allowed() {
            Next::Among(_) => None,
            Next::End => self.mask.as_ref().and_then(|mask| mask.as_ref().err().cloned()),
        }
    }

    /// Whether the text is complete as it is.
    pub fn may_end(&mut self) -> bool {
        self.ended_by_token || self.is_complete() || self.matcher.is_accepting().unwrap_or(false)
    }

    /// Whether the text is complete, and nothing could be added; or an end token came. Takes no time, as a mask does: what is
    /// incomplete may be stuck or exhausted all the same.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.ended_by_token || self.is_complete()
    }

    /// Goes on by a token.
    ///
    /// # Errors
    /// [`Rejected`], where it is not allowed: nothing is changed then. Also where taking it exhausts the limits, as
    /// [`ending`](Self::ending) says then.
    pub fn accept(&mut self, token: u32) -> Result<(), Rejected> {
        if self.accept_all(&[token]) == 1 { Ok(()) } else { Err(Rejected(token)) }
    }

    /// Goes on by as many of these tokens as are allowed, and answers how many.
    pub fn accept_all(&mut self, tokens: &[u32]) -> usize {
        if self.ended_by_token {
            return 0;
        }
        let is_text = |token: &&u32| !self.vocabulary.ends().contains(token);
        let text = tokens.iter().take_while(is_text).take_while(|token| (**token as usize) < self.vocabulary.size());
        let text = text.count();
        let mut accepted = 0;
        if text > 0 && !self.matcher.is_stopped() {
            match self.matcher.try_consume_tokens(&tokens[..text]) {
                Ok(count) => accepted = count,
                Err(error) => {
                    self.mask = Some(Err(Ending::Exhausted(sentence(&error.to_string()))));
                    return 0;
                }
            }
        }
        self.accepted += accepted;
        let end = tokens.get(accepted).filter(|token| self.vocabulary.ends().contains(token));
        if accepted > 0 {
            self.mask = None;
        }
        if end.is_some() && self.may_end() {
            self.ended_by_token = true;
            self.mask = None;
            accepted += 1;
        }
        accepted
    }

    /// How many of these tokens are allowed, one behind the other. It stays where it is, and has spent some of what its masks may
    /// cost. `None` where it can no more, and is exhausted.
    pub(crate) fn allows(&mut self, tokens: &[u32]) -> Option<usize> {
        if self.ended_by_token {
            return Some(0);
        }
        if self.is_complete() {
            let is_end = |token: &&u32| self.vocabulary.ends().contains(token);
            return Some(tokens.iter().take(1).filter(is_end).count());
        }
        let known = tokens.iter().take_while(|token| (**token as usize) < self.vocabulary.size()).count();
        self.matcher.validate_tokens(&tokens[..known]).ok()
    }

    /// Takes the last tokens back, so many of those that were accepted; more than there are take all back.
    pub fn rollback(&mut self, tokens: usize) {
        let mut text = tokens;
        if text > 0 && self.ended_by_token {
            self.ended_by_token = false;
            text -= 1;
        }
        let text = text.min(self.accepted);
        // It fails only where the state is exhausted already, and that it stays then.
        if self.matcher.rollback(text).is_ok() {
            self.accepted -= text;
        }
        if tokens > 0 {
            self.mask = None;
        }
    }

    /// The bytes that must come next, whatever the model holds of them; empty where it has a choice. They make drafts: as
    /// tokens of the model's own tokenizer, they need not be drawn.
    #[must_use]
    pub fn forced(&self) -> Vec<u8> {
        // On a copy: what is forced changes how a state goes on, and a rollback would not take that back.
        if self.ended_by_token || self.matcher.is_stopped() {
            Vec::new()
        } else {
            self.matcher.clone().compute_ff_bytes()
        }
    }

    fn is_complete(&self) -> bool {
        is_complete(&self.matcher)
    }

    fn compute(&mut self) -> Result<Mask, Ending> {
        if self.ended_by_token { Err(Ending::Complete) } else { mask_of(&mut self.matcher, &self.vocabulary) }
    }
}

fn is_complete(matcher: &Matcher) -> bool {
    matches!(matcher.stop_reason(), StopReason::NoExtension | StopReason::EndOfSentence)
}

/// The tokens that may come next. An end token ends a text that is complete, and nothing else, whatever a grammar says of it.
fn mask_of(matcher: &mut Matcher, vocabulary: &Vocabulary) -> Result<Mask, Ending> {
    if is_complete(matcher) {
        return Err(Ending::Complete);
    }
    let mut bits = matcher.compute_mask().map_err(|error| {
        let error = error.to_string();
        let is_stuck = error.contains(&StopReason::NoExtensionBias.to_string());
        if is_stuck { Ending::Stuck } else { Ending::Exhausted(sentence(&error)) }
    })?;
    if !matcher.is_accepting().unwrap_or(false) {
        vocabulary.ends().iter().for_each(|end| bits.disallow_token(*end));
    }
    if bits.is_zero() { Err(Ending::Stuck) } else { Ok(Mask::new(bits)) }
}

impl Clone for State {
    /// A state that goes its own way, as two drafts do.
    fn clone(&self) -> Self {
        Self {
            vocabulary: self.vocabulary.clone(),
            matcher: self.matcher.deep_clone(),
            mask: self.mask.clone(),
            accepted: self.accepted,
            ended_by_token: self.ended_by_token,
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (accepted, ended) = (self.accepted, self.ended_by_token);
        formatter.debug_struct("State").field("accepted", &accepted).field("ended", &ended).finish_non_exhaustive()
    }
}
