//! Words: how a text becomes terms, and how well some terms fit a text.
//!
//! Terms are what Lance's index makes of a text by its defaults, and the same code makes them here: split where a character is neither
//! letter nor digit, at most 40 bytes, lower case, Porter's stems of English (Porter 1980, "An algorithm for suffix stripping"), without
//! English stop words, letters with marks as ASCII. Other languages are split and folded alike, and not stemmed to any purpose.
//!
//! Words that are looked for are words. Of what somebody asks for only letters and digits are kept, as distinct words with spaces between
//! them, and these go into a match of terms: Lance's language of queries is never read.
//!
//! Scores are BM25 with k1 = 1.2 and b = 0.75. For rows in memory they are estimated, since the index does not say in how many of its texts
//! a term is: where many rows are in memory, as often as in those; where few are, only in those. That lasts until they are applied.

use crate::rows::Row;
use lance_index::scalar::{InvertedIndexParams, inverted::document_tokenizer::LanceTokenizer};
use lance_tokenizer::TokenStream;
use rustc_hash::{FxHashMap, FxHashSet};
use std::{cell::RefCell, sync::Arc};

/// Distinct words of one search: a question, not a document. Each has a list of all texts that have it.
const WORDS_MAX: usize = 128;

const K1: f32 = 1.2;
const B: f32 = 0.75;

/// Rows in memory from which on their frequencies stand for those of the whole memory.
const SAMPLE_ROWS: usize = 256;

thread_local! {
    /// `None` where it cannot be made, which the defaults rule out.
    static TOKENIZER: RefCell<Option<Box<dyn LanceTokenizer>>> = RefCell::new(InvertedIndexParams::default().build().ok());
}

/// The terms of a text.
#[derive(Debug, Default)]
pub(crate) struct Terms {
    counts: FxHashMap<Box<str>, u32>,
    length: u32,
}

impl Terms {
    pub(crate) fn of(text: &str) -> Self {
        let mut terms = Self::default();
        each(text, |term| {
            terms.length += 1;
            match terms.counts.get_mut(term) {
                Some(count) => *count += 1,
                None => {
                    terms.counts.insert(term.into(), 1);
                }
            }
        });
        terms
    }
}

fn each(text: &str, mut term: impl FnMut(&str)) {
    TOKENIZER.with_borrow_mut(|tokenizer| {
        let Some(tokenizer) = tokenizer else { return };
        let mut stream = tokenizer.token_stream_for_doc(text);
        while stream.advance() {
            term(&stream.token().text);
        }
    });
}

/// Words that somebody looks for.
#[derive(Debug)]
pub(crate) struct Words {
    /// As they were written, without anything else.
    plain: String,
    terms: Vec<Box<str>>,
}

impl Words {
    /// `None` where there is no word among them that could be found.
    pub(crate) fn of(asked: &str) -> Option<Self> {
        let mut seen = FxHashSet::default();
        let words = asked.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty());
        let words: Vec<_> = words.filter(|word| seen.insert(*word)).take(WORDS_MAX).collect();
        let plain = words.join(" ");
        let (mut terms, mut seen) = (Vec::new(), FxHashSet::default());
        each(&plain, |term| {
            if seen.insert(Box::<str>::from(term)) {
                terms.push(term.into());
            }
        });
        (!terms.is_empty()).then_some(Self { plain, terms })
    }

    pub(crate) fn plain(&self) -> &str {
        &self.plain
    }

    /// How well each of these rows fits; 0 has none of the words. `others` are rows that are not in memory.
    #[expect(clippy::cast_precision_loss, reason = "statistics")]
    pub(crate) fn scores(&self, rows: &[&Arc<Row>], others: u64) -> Vec<f32> {
        let texts = rows.iter().filter(|row| row.terms().length > 0).count().max(1);
        let length: u64 = rows.iter().map(|row| u64::from(row.terms().length)).sum();
        let average = (length as f32 / texts as f32).max(1.0);
        let all = texts as f32 + others as f32;
        let scale = if texts >= SAMPLE_ROWS { all / texts as f32 } else { 1.0 };
        let weights: Vec<f32> = self
            .terms
            .iter()
            .map(|term| {
                let having = rows.iter().filter(|row| row.terms().counts.contains_key(term)).count() as f32 * scale;
                ((all - having + 0.5) / (having + 0.5)).ln_1p()
            })
            .collect();
        rows.iter()
            .map(|row| {
                let terms = row.terms();
                let norm = K1 * (1.0 - B + B * terms.length as f32 / average);
                self.terms
                    .iter()
                    .zip(&weights)
                    .map(|(term, weight)| {
                        let count = terms.counts.get(term).map_or(0.0, |count| *count as f32);
                        weight * (K1 + 1.0) * count / (count + norm)
                    })
                    .sum()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_are_left_of_what_is_asked() {
        let check = |asked: &str, expect: Option<&str>| {
            let words = Words::of(asked);
            assert_eq!(words.as_ref().map(Words::plain), expect, "{asked:?}");
        };
        check("", None);
        check("the of and", None);
        check("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", None);
        check("\0\u{1}🦀", None);
        check("+red -blue \"green car\"~2 NOT title:x^3", Some("red blue green car 2 NOT title x 3"));
        check("red red Red", Some("red Red"));
        check(&"a1 ".repeat(3_000_000), Some("a1"));
    }

    #[test]
    fn terms_are_stems_in_lower_case_without_marks() {
        let terms = Terms::of("Running, CAFÉS; runs: run!");
        assert_eq!(terms.counts.get("run"), Some(&3), "{terms:?}");
        assert_eq!(terms.length, 4, "{terms:?}");
    }
}
