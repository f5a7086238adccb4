//! The tokens of a model, arranged so that a grammar goes through all of them at once.

use llguidance::{
    ParserFactory,
    earley::SlicedBiasComputer,
    toktrie::{ApproximateTokEnv, InferenceCapabilities, TokEnv, TokRxInfo, TokTrie},
};
use std::{collections::HashMap, fmt, sync::Arc};
use thiserror::Error;

/// Tokens of a vocabulary: the trie counts its nodes in 22 bits, and 2^20 tokens have some 3 million. The largest in use
/// have 262,144.
pub const TOKENS_MAX: usize = 1 << 20;

/// Bytes of a token: the trie counts the way back up in 10 bits. The longest in use are 1,024 spaces.
pub const TOKEN_BYTES_MAX: usize = 1 << 10;

/// What a token stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// Bytes of text; may be a part of a character.
    Text(&'a [u8]),
    /// A control token by its name, such as `<tool_call>`. It never matches text.
    Control(&'a str),
    /// Nothing: it fills the vocabulary up, and is never allowed.
    Unused,
}

/// Why a list of tokens is no vocabulary.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum VocabularyError {
    /// None, or more than [`TOKENS_MAX`].
    #[error("a vocabulary has 1 to {TOKENS_MAX} tokens, and this one {0}; use another model file")]
    Size(usize),
    /// Longer than [`TOKEN_BYTES_MAX`].
    #[error("token {0} has more than {TOKEN_BYTES_MAX} bytes; use another model file")]
    Length(u32),
    /// An end token that is not there, or none at all.
    #[error("there is no token {0:?} to end a text with; use another model file")]
    End(Option<u32>),
    /// The library failed.
    #[error("the tokens cannot be arranged ({0}); use another model file")]
    Library(String),
}

/// The tokens of a model. Shared by all its constraints; cloning costs nothing.
#[derive(Clone)]
pub struct Vocabulary {
    shared: Arc<Shared>,
}

struct Shared {
    factory: ParserFactory,
    environment: TokEnv,
    controls: HashMap<String, u32>,
    ends: Vec<u32>,
}

impl Vocabulary {
    /// Arranges the tokens, whose ids are their places in the list. `ends` are those that end a text; where they are
    /// text, they cannot be generated as such.
    ///
    /// # Errors
    /// [`VocabularyError`].
    pub fn new<'a>(tokens: impl IntoIterator<Item = Token<'a>>, ends: &[u32]) -> Result<Self, VocabularyError> {
        let mut words = Vec::new();
        let mut controls = HashMap::new();
        for token in tokens {
            let id = words.len() as u32;
            let word = match token {
                Token::Text(bytes) => bytes.to_vec(),
                Token::Control(name) => {
                    controls.entry(name.to_owned()).or_insert(id);
                    [&[TokTrie::SPECIAL_TOKEN_MARKER], name.as_bytes()].concat()
                }
                Token::Unused => Vec::new(),
            };
            if word.len() > TOKEN_BYTES_MAX {
                return Err(VocabularyError::Length(id));
            }
            words.push(word);
            if words.len() > TOKENS_MAX {
                return Err(VocabularyError::Size(words.len()));
            }
        }
        if words.is_empty() {
            return Err(VocabularyError::Size(0));
        }
        if let Some(missing) = ends.iter().find(|end| **end as usize >= words.len()) {
            return Err(VocabularyError::End(Some(*missing)));
        }
        let Some(first) = ends.first() else { return Err(VocabularyError::End(None)) };
        let trie = TokTrie::from(&TokRxInfo::new(words.len() as u32, *first), &words).with_eos_tokens(ends);
        let environment: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let slices = SlicedBiasComputer::general_slices();
        let mut factory = ParserFactory::new(&environment, InferenceCapabilities::default(), &slices)
            .map_err(|error| VocabularyError::Library(error.to_string()))?;
        factory.quiet();
        Ok(Self { shared: Arc::new(Shared { factory, environment, controls, ends: ends.to_vec() }) })
    }

    /// How many tokens there are.
    #[must_use]
    pub fn size(&self) -> usize {
        self.trie().vocab_size()
    }

    /// The tokens that end a text.
    #[must_use]
    pub fn ends(&self) -> &[u32] {
        &self.shared.ends
    }

    /// The control token of this name.
    #[must_use]
    pub fn control(&self, name: &str) -> Option<u32> {
        self.shared.controls.get(name).copied()
    }

    /// What a token writes where control tokens are written by their names, as a reader of calls needs it: its bytes, or
    /// its name. Nothing for ids that do not exist.
    #[must_use]
    pub fn written(&self, token: u32) -> &[u8] {
        if token as usize >= self.size() {
            return &[];
        }
        let word = self.trie().token(token);
        match word.split_first() {
            Some((&TokTrie::SPECIAL_TOKEN_MARKER, name)) if !name.is_empty() => name,
            _ => word,
        }
    }

    pub(crate) fn factory(&self) -> &ParserFactory {
        &self.shared.factory
    }

    fn trie(&self) -> &TokTrie {
        self.shared.environment.tok_trie()
    }
}

impl fmt::Debug for Vocabulary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Vocabulary").field("size", &self.size()).field("ends", &self.shared.ends).finish()
    }
}
