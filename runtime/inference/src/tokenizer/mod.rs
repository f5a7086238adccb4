//! Text to tokens and back, from a GGUF file's metadata or from the `tokenizer.json` of a Hugging Face folder.
//!
//! | described by | model | module |
//! | --- | --- | --- |
//! | `tokenizer.ggml.model` = `gpt2` | byte-level BPE, with the pre-tokenizers of [`split`]'s table | [`byte_level`] |
//! | `tokenizer.ggml.model` = `llama` | SentencePiece BPE | [`pieces`] |
//! | `tokenizer.ggml.model` = `t5` | SentencePiece unigram | [`unigram`] |
//! | `tokenizer.ggml.model` = `bert` | WordPiece | [`word_piece`] |
//! | `tokenizer.json` | whatever it says | [`library`]: the crate `tokenizers` |
//!
//! Sources: Sennrich et al. 2016, "Neural Machine Translation of Rare Words with Subword Units" (BPE); Radford et al.
//! 2019, GPT-2's `encoder.py` (bytes as characters, the splitter); llama.cpp's `llama-vocab.cpp` (metadata keys and
//! defaults, splitters by name); the modules name the others.
//!
//! # Control tokens come from templates alone
//!
//! `<|im_end|>` in a document must not end a turn. Rendering a template first and looking for control tokens in the
//! result cannot tell the two apart; rendering with placeholders instead of contents changes what a template does that
//! trims, compares or splits contents. So contents are rendered as they are, but with a *marker* that spoils control
//! tokens: one private-use character that occurs nowhere in the conversation, put behind each character that begins a
//! control token and before each that ends one ([`guard::Guard`]). Then control tokens are looked for, the marker is
//! removed from the plain text between them, and only then that text becomes tokens.
//!
//! - Whatever a template trims, cuts off or moves, a control token that begins or ends in a content is spoilt, also
//!   where the content completes text of the template or is completed by it.
//! - Markers are removed from plain text after control tokens were found, so nothing comes together by their removal.
//! - No randomness: a conversation has the same tokens every time, and a marker inside a text harms nobody.
//! - No model knows the control tokens: none of their ids comes out of plain text, whatever the text.
//! - A token that a file lists as user-defined is a control token here, unless it is one character, blanks or an HTML
//!   element ([`vocabulary::is_text_piece`]): `<tool_call>` steers a model as `<|im_end|>` does.
//!
//! Limits: a template that builds the name of a control token around a whole content (`'<|' ~ content ~ '|>'`) means
//! to, and gets it. One that measures or cuts contents by length counts the markers; one that looks for a control token
//! in contents does not find it there. Control tokens of one character, or with a space at an end, are never taken from
//! text. A byte for which the vocabulary has no token is left out, as llama.cpp does. Where SentencePiece puts a space
//! before a text, it does so behind every control token too, as llama.cpp does.

mod byte_level;
mod charsmap;
mod error;
mod folder;
mod guard;
mod library;
mod merge;
mod normalize;
mod pieces;
mod prefixes;
mod split;
mod stream;
#[cfg(test)]
mod tests;
mod unigram;
mod vocabulary;
mod word_piece;

#[cfg(test)]
pub(crate) use byte_level::byte_character;
pub use error::TokenizerError;
pub use folder::chat_template_of;
pub use stream::Utf8Stream;

use crate::{
    gguf::Gguf,
    template::{ChatTemplate, Heard, TemplateError},
};
use byte_level::ByteLevel;
use guard::{Control, Guard};
use library::Library;
use pieces::Pieces;
use remit_grammar::{Token as GrammarToken, Vocabulary, VocabularyError};
use remit_kernel::ports::Chat;
use split::Splitter;
use unigram::Unigram;
use vocabulary::{Defaults, Listing, Special, TokenBytes, is_text_piece};
use word_piece::WordPiece;

/// A model's tokenizer. Immutable: threads share it.
#[derive(Debug)]
pub struct Tokenizer {
    model: Model,
    bytes: TokenBytes,
    special: Special,
    control: Control,
}

/// What makes tokens of plain text.
#[derive(Debug)]
enum Model {
    ByteLevel(ByteLevel),
    Pieces(Pieces),
    Unigram(Unigram),
    WordPiece(WordPiece),
    Library(Box<Library>),
}

/// Values of `tokenizer.ggml.model`.
const MODELS: &str = "gpt2 (byte-level BPE), llama (SentencePiece BPE), t5 (SentencePiece unigram), bert (WordPiece)";

impl Tokenizer {
    /// Builds the tokenizer that a file describes.
    ///
    /// # Errors
    /// [`TokenizerError`], where it is missing, damaged, or of a kind that is not supported.
    pub fn from_gguf(file: &Gguf) -> Result<Self, TokenizerError> {
        let kind = file.get_str("tokenizer.ggml.model")?;
        if !matches!(kind, "gpt2" | "llama" | "t5" | "bert") {
            return Err(TokenizerError::Kind { name: kind.to_owned(), known: MODELS.to_owned() });
        }
        let listing = Listing::from_gguf(file)?;
        let special = |adds_begin, adds_end, is_text| {
            Special::from_gguf(file, &listing, Defaults { adds_begin, adds_end }, is_text)
        };
        let (model, bytes, special) = match kind {
            "llama" => {
                let (model, bytes) = Pieces::from_gguf(file, &listing)?;
                (Model::Pieces(model), bytes, special(true, false, is_text_piece)?)
            }
            "t5" => {
                let (model, bytes) = Unigram::from_gguf(file, &listing)?;
                (Model::Unigram(model), bytes, special(false, true, is_text_piece)?)
            }
            "bert" => {
                let (model, bytes) = WordPiece::from_gguf(file, &listing)?;
                let mut special = special(true, true, |_| false)?;
                special.separate(file, &listing)?;
                (Model::WordPiece(model), bytes, special)
            }
            _ => {
                let splitter = Splitter::from_gguf(file)?;
                let adds_begin = splitter.adds_begin();
                let (model, bytes) = ByteLevel::from_gguf(file, &listing, splitter)?;
                (Model::ByteLevel(model), bytes, special(adds_begin, false, |_| false)?)
            }
        };
        Ok(Self { model, bytes, control: Control::new(&special), special })
    }

    /// How many tokens there are.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.count()
    }

    /// Whether this token ends a generation.
    #[must_use]
    pub fn is_end(&self, token: u32) -> bool {
        self.special.ends.contains(&token)
    }

    /// The tokens that end a generation, rising.
    #[must_use]
    pub fn ends(&self) -> &[u32] {
        &self.special.ends
    }

    /// The text of the token that begins a text, where the file names one.
    #[must_use]
    pub fn begin_text(&self) -> Option<&str> {
        self.special.text_of(self.special.begin?)
    }

    /// The text of the token that ends a text, where the file names one.
    #[must_use]
    pub fn end_text(&self) -> Option<&str> {
        self.special.text_of(self.special.end?)
    }

    /// The token that fills up the shorter texts of a batch, where the file names one.
    #[must_use]
    pub fn padding(&self) -> Option<u32> {
        self.special.padding
    }

    /// The bytes that a token stands for: none for control tokens, and none for ids that do not exist. Where a space
    /// marks the beginning of a word, it is among them, also at the beginning of a text.
    #[must_use]
    pub fn bytes(&self, token: u32) -> &[u8] {
        self.bytes.get(token)
    }

    /// The tokens as a grammar takes them.
    ///
    /// # Errors
    /// [`VocabularyError`], such as where no token ends a text.
    pub fn grammar_vocabulary(&self) -> Result<Vocabulary, VocabularyError> {
        let token = |id: u32| match (self.special.text_of(id), self.bytes(id)) {
            (Some(name), _) => GrammarToken::Control(name),
            (None, []) => GrammarToken::Unused,
            (None, bytes) => GrammarToken::Text(bytes),
        };
        Vocabulary::new((0..self.size() as u32).map(token), self.ends())
    }

    /// The first token of this vocabulary that another tokenizer does not have, or has for another text. Where one of them
    /// has no text for an id, as for one that merely fills the vocabulary up, that is no difference.
    #[must_use]
    pub fn first_unlike(&self, other: &Self) -> Option<u32> {
        fn text(tokenizer: &Tokenizer, token: u32) -> &[u8] {
            tokenizer.special.text_of(token).map_or_else(|| tokenizer.bytes(token), str::as_bytes)
        }
        let is_other = |token: &u32| {
            let (own, others) = (text(self, *token), text(other, *token));
            *token as usize >= other.size() || (!own.is_empty() && !others.is_empty() && own != others)
        };
        (0..self.size() as u32).find(is_other)
    }

    /// The tokens of a plain text, in which nothing is a control token.
    #[must_use]
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut out = Vec::new();
        self.encode_into(text, &mut out);
        out
    }

    /// The tokens of a text to go on from: plain text, between the tokens that the model was trained with at its
    /// beginning and its end.
    #[must_use]
    pub fn encode_prompt(&self, text: &str) -> Vec<u32> {
        let mut out = Vec::new();
        out.extend(self.special.begin.filter(|_| self.special.adds_begin));
        self.encode_into(text, &mut out);
        out.extend(self.special.end.filter(|_| self.special.adds_end));
        out
    }

    /// The tokens of a conversation, in which control tokens come from the template alone: not from messages, and not from
    /// tools, calls and results.
    ///
    /// # Errors
    /// [`TemplateError`], where the template refuses the conversation or exceeds its limits, or a tool or call is none.
    pub fn encode_chat(&self, template: &ChatTemplate, chat: &Chat) -> Result<Vec<u32>, TemplateError> {
        let heard = Heard::new(chat, template.calls())?;
        let guard = Guard::new(&self.control, |visit| heard.visit(visit))?;
        let rendered = template.render_dialogue(&heard.dialogue(template, &|text| guard.spoil(text)))?;
        let mut out = Vec::new();
        let mut rest = rendered.as_str();
        while let Some((range, token)) = self.control.find(rest) {
            let before = guard.restore(&rest[..range.start]);
            self.encode_part(self.control.trim_before(token, &before), &mut out);
            out.push(token);
            rest = self.control.trim_behind(token, &rest[range.end..]);
        }
        self.encode_part(&guard.restore(rest), &mut out);
        Ok(out)
    }

    /// The text of these tokens at once; what is not UTF-8 becomes U+FFFD. A space that the tokenizer put before a text
    /// is taken away again.
    #[must_use]
    pub fn decode(&self, tokens: &[u32]) -> String {
        let bytes: Vec<u8> = tokens.iter().flat_map(|token| self.bytes(*token)).copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let prefixed = match &self.model {
            Model::ByteLevel(_) => false,
            Model::Pieces(model) => model.prefixes_space(),
            Model::Unigram(model) => model.prefixes_space(),
            Model::WordPiece(_) => true,
            Model::Library(model) => model.prefixes_space(),
        };
        text.strip_prefix(' ').filter(|_| prefixed).unwrap_or(&text).to_owned()
    }

    fn encode_into(&self, text: &str, out: &mut Vec<u32>) {
        match &self.model {
            Model::ByteLevel(model) => model.encode(text, out),
            Model::Pieces(model) => model.encode(text, out),
            Model::Unigram(model) => model.encode(text, out),
            Model::WordPiece(model) => model.encode(text, out),
            Model::Library(model) => model.encode(text, library::Place::Beginning, out),
        }
    }

    /// The same for a part of a text that begins where `out` ends.
    fn encode_part(&self, text: &str, out: &mut Vec<u32>) {
        match &self.model {
            Model::Library(model) if !out.is_empty() => model.encode(text, library::Place::Inside, out),
            _ => self.encode_into(text, out),
        }
    }
}
