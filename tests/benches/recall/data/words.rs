//! Whether two sentences have a word in common that carries meaning.

use std::collections::BTreeSet;

/// Words that say how others belong together, and nothing else. Everything that is not here carries meaning.
const FUNCTION: &[&str] = &[
    "a", "about", "all", "an", "and", "any", "are", "as", "at", "be", "been", "by", "can", "cannot", "did", "do",
    "does", "for", "from", "had", "has", "have", "he", "her", "him", "his", "how", "i", "in", "into", "is", "it",
    "its", "me", "my", "no", "not", "of", "off", "on", "one", "only", "or", "our", "out", "s", "she", "so", "some",
    "than", "that", "the", "their", "them", "then", "there", "they", "this", "to", "up", "us", "was", "we", "were",
    "what", "when", "where", "which", "who", "whom", "whose", "with", "without", "would", "you", "your",
];

/// Endings that do not make another word of one, the longest first.
const ENDINGS: &[&str] = &["ings", "ing", "ers", "ies", "er", "ed", "es", "ly", "s", "e", "y"];

/// A stem is left of at least so many letters.
const STEM_MIN: usize = 3;

/// The stems of a text's words that carry meaning. They are coarse: words that have nothing to do with each other may have the same, and those that
/// differ in an ending alone do, where more than two letters are left without it.
pub(crate) fn content(text: &str) -> BTreeSet<String> {
    let words = text.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty());
    let words = words.map(str::to_lowercase).filter(|word| !FUNCTION.contains(&word.as_str()));
    words.map(|word| stem(&word).to_owned()).collect()
}

fn stem(word: &str) -> &str {
    let ended = ENDINGS.iter().find_map(|ending| word.strip_suffix(*ending).filter(|rest| rest.len() >= STEM_MIN));
    // Of several endings one goes after the other.
    ended.map_or(word, stem)
}

/// What both have.
pub(crate) fn shared(one: &str, other: &str) -> Vec<String> {
    content(one).intersection(&content(other)).cloned().collect()
}
