//! Words: how a text becomes terms, what of it is looked for, and which part of it is shown.
//!
//! Words are those of Unicode (UAX #29), parted besides where a character is neither letter, digit nor mark; in lower case and without marks
//! (NFKD), at most 40 characters of each, with English endings taken off (Snowball's English stemmer, after Porter 1980). Scripts that do
//! not part words are found by the character. A term is the first 8 bytes of HMAC-SHA-256 of a word under the index's key, in hexadecimal: of
//! all words there are, no two are likely to have the same.

use super::{
    Recalled,
    texts::{HeardThere, Place},
};
use crate::audit::{Hash, keyed};
use frostem::{Algorithm, Stemmer};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::{collections::BTreeSet, fmt::Write};
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};
use unicode_segmentation::UnicodeSegmentation;

/// Of a word, in characters: Lance's index, which agents' memories are found by, cuts there as well.
const WORD_CHARS_MAX: usize = 40;
/// Distinct words of one question: each has a list of all texts that have it.
const WORDS_MAX: usize = 64;
/// Of a text whose words are looked through, from its beginning: a book's worth, so that one text is never the whole of a slice.
pub(super) const TEXT_BYTES_MAX: usize = 1 << 20;
/// Of a term.
const TERM_BYTES: usize = 8;
/// How much of a text is shown: some lines.
const EXCERPT_BYTES: usize = 600;
/// How much of that stands before the first word that was looked for.
const LEAD_BYTES: usize = 150;

/// The words of a text, with the places where they begin.
fn words(text: &str) -> impl Iterator<Item = (usize, String)> {
    let stemmer = Stemmer::new(Algorithm::English);
    let is_of_word = |character: char| character.is_alphanumeric() || is_combining_mark(character);
    let parts = text.unicode_word_indices().flat_map(move |(at, word)| {
        let begins = move |part: &str| at + (part.as_ptr() as usize - word.as_ptr() as usize);
        word.split(move |character| !is_of_word(character)).map(move |part| (begins(part), part))
    });
    parts.filter_map(move |(at, part)| {
        let plain = part.nfkd().filter(|character| !is_combining_mark(*character)).flat_map(char::to_lowercase);
        let word: String = plain.take(WORD_CHARS_MAX).collect();
        (!word.is_empty()).then(|| (at, stemmer.stem(&word).into_owned()))
    })
}

/// As much of a text as is looked through, in whole characters.
fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}

/// Turns words into terms.
pub(super) struct Terms(Hmac<Sha256>);

impl Terms {
    pub(super) fn new(key: &Hash) -> Self {
        Self(keyed(key))
    }

    /// The digest of something that is no word.
    pub(super) fn digest(&self, what: &str, of: &[u8]) -> Hash {
        // No word has a zero byte.
        self.0.clone().chain_update(what).chain_update([0]).chain_update(of).finalize().into_bytes().into()
    }

    fn add(&self, word: &str, out: &mut String) {
        let digest = self.0.clone().chain_update(word).finalize().into_bytes();
        for byte in &digest[..TERM_BYTES] {
            // Writing to a string does not fail.
            let _written = write!(out, "{byte:02x}");
        }
    }

    /// The terms of a text, with spaces between them, in their order.
    pub(super) fn of(&self, text: &str) -> String {
        let mut terms = String::new();
        for (_, word) in words(beginning(text)) {
            self.add(&word, &mut terms);
            terms.push(' ');
        }
        terms
    }

    /// A query of FTS5 for texts with any of the words. It has nothing but digests in it.
    pub(super) fn query(&self, question: &Question) -> String {
        let mut query = String::new();
        for word in &question.words {
            query.push_str(if query.is_empty() { "\"" } else { " OR \"" });
            self.add(word, &mut query);
            query.push('"');
        }
        query
    }
}

/// What somebody looks for.
#[derive(Debug)]
pub(super) struct Question {
    words: BTreeSet<String>,
}

impl Question {
    pub(super) fn of(text: &str) -> Self {
        let mut distinct = BTreeSet::new();
        for (_, word) in words(text) {
            if distinct.len() < WORDS_MAX {
                distinct.insert(word);
            }
        }
        Self { words: distinct }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// What is shown of a text.
    pub(super) fn shown(&self, place: &Place, heard: &HeardThere) -> Recalled {
        let HeardThere { at_ns, from, label, ref text } = *heard;
        let first = words(beginning(text)).find(|(_, word)| self.words.contains(word)).map_or(0, |(at, _)| at);
        let begin = text.floor_char_boundary(first.saturating_sub(LEAD_BYTES));
        let end = text.floor_char_boundary(begin.saturating_add(EXCERPT_BYTES));
        let (excerpt, bytes) = (text[begin..end].into(), text.len() as u64);
        Recalled { pid: place.pid, sequence: place.sequence, at_ns, from, label, excerpt, bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &[&str]) {
        let found: Vec<String> = words(text).map(|(_, word)| word).collect();
        assert_eq!(found, expect, "{text:?}");
    }

    #[test]
    fn words_are_plain_and_without_endings() {
        check("Running, CAFÉS; runs: run!", &["run", "cafe", "run", "run"]);
        check("cafe\u{301} ＡＢＣ ﬁne", &["cafe", "abc", "fine"]);
        check("example.com/a_b-c 3.14", &["exampl", "com", "a", "b", "c", "3", "14"]);
        check("東京都", &["東", "京", "都"]);
        check("", &[]);
        check("\0\u{1} !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ \u{301}🦀", &[]);
        check(&"x".repeat(1_000_000), &[&"x".repeat(WORD_CHARS_MAX)]);
    }

    #[test]
    fn a_word_begins_where_it_is_said_to() {
        let text = "Ein Café, zwei cafés.com";
        let found: Vec<&str> = words(text).map(|(at, _)| &text[at..at + 3]).collect();
        assert_eq!(found, ["Ein", "Caf", "zwe", "caf", "com"]);
    }

    #[test]
    fn terms_are_digests_of_words_under_a_key() {
        let [mine, others] = [[1; 32], [2; 32]].map(|key| Terms::new(&key));
        let terms = mine.of("the heron, the herons");
        let terms: Vec<&str> = terms.split_whitespace().collect();
        assert_eq!((terms.len(), terms[0], terms[1]), (4, terms[2], terms[3]));
        assert!(terms.iter().all(|term| term.len() == 2 * TERM_BYTES), "{terms:?}");
        assert_ne!(mine.of("heron"), others.of("heron"));
        assert_eq!(
            mine.query(&Question::of("Heron herons \" OR *")),
            format!("\"{}\" OR \"{}\"", terms[1], mine.of("or").trim())
        );
    }

    #[test]
    fn the_part_of_a_text_is_shown_that_has_the_word() {
        let shown = |text: &str, question: &str| {
            let generation = None;
            let pid = Pid { tenant: remit_abi::TenantId(1), index: 1, generation: 1 };
            let place = Place { pid, sequence: 1, last: 1, ordinal: 0, generation, position: 1, end: 1 };
            let (from, label) = (remit_kernel::ports::HeardFrom::Tool, remit_abi::Label::TRUSTED);
            let heard = HeardThere { at_ns: 1, from, label, text: text.to_owned() };
            let Recalled { excerpt, bytes, .. } = Question::of(question).shown(&place, &heard);
            (excerpt, bytes)
        };
        assert_eq!(shown("a heron", "heron"), ("a heron".into(), 7));
        assert_eq!(shown("nothing of it", "heron"), ("nothing of it".into(), 13));
        let long = format!("{}heron{}", "é ".repeat(5_000), "é ".repeat(5_000));
        let (excerpt, bytes) = shown(&long, "heron");
        assert_eq!(bytes, long.len() as u64);
        assert!(excerpt.contains("heron") && excerpt.len() <= EXCERPT_BYTES, "{excerpt}");
        assert!(shown(&"é".repeat(TEXT_BYTES_MAX), "heron").0.len() <= EXCERPT_BYTES);
    }

    use remit_abi::Pid;
}
