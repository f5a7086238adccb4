//! Sentences out of a stream of pieces, while they come.
//!
//! A small model, asked for two sentences, may never stop: it says the same again, turns in circles inside one sentence,
//! or is cut off in the middle. So a sentence is shown when it is whole, and the stream is enough once it repeats itself or
//! has said as much as was asked for. That also saves what the rest would have cost.

/// Words that a circle is made of, at most.
const CIRCLE_WORDS_MAX: usize = 12;

/// How often the same words stand behind each other before it is a circle. Three in a row can be meant.
const CIRCLE_TURNS: usize = 4;

/// Two sentences that share this part of their words, in percent, say the same.
const SAME_PERCENT: usize = 80;

/// The sentences of one stream.
#[derive(Debug)]
pub(crate) struct Sentences {
    most: usize,
    said: Vec<String>,
    /// What came behind the last whole sentence.
    pending: String,
    enough: bool,
}

impl Sentences {
    /// Of a stream that should say `most` sentences.
    pub(crate) const fn new(most: usize) -> Self {
        Self { most, said: Vec::new(), pending: String::new(), enough: false }
    }

    /// Takes a piece, and answers the sentences that became whole with it.
    pub(crate) fn push(&mut self, piece: &str) -> Vec<String> {
        let mut whole = Vec::new();
        self.pending.push_str(piece);
        while let Some(end) = self.sentence_end() {
            if self.enough {
                break;
            }
            let rest = self.pending.split_off(end);
            let sentence = std::mem::replace(&mut self.pending, rest);
            whole.extend(self.say(&sentence));
        }
        if let Some(words) = circle(&self.pending) {
            self.enough = true;
            self.pending = words;
        }
        whole
    }

    /// Whether the stream has nothing more to say.
    pub(crate) const fn is_enough(&self) -> bool {
        self.enough
    }

    /// The stream is at its end. `is_whole` tells whether it ended by itself: what was cut off in the middle of a sentence
    /// is only shown where nothing else is.
    pub(crate) fn finish(&mut self, is_whole: bool) -> Option<String> {
        let rest = std::mem::take(&mut self.pending);
        match (is_whole && !self.enough, self.said.is_empty()) {
            (true, _) => self.say(&rest),
            (false, true) => {
                let cut = rest.trim_end_matches(|char: char| !char.is_alphanumeric());
                if cut.is_empty() { None } else { self.say(&format!("{cut} …")) }
            }
            (false, false) => None,
        }
    }

    /// All that was said.
    pub(crate) fn text(&self) -> String {
        self.said.join(" ")
    }

    /// Keeps a sentence, unless it is empty or was said before.
    fn say(&mut self, sentence: &str) -> Option<String> {
        let sentence = sentence.split_whitespace().collect::<Vec<_>>().join(" ");
        if !sentence.contains(char::is_alphanumeric) {
            return None;
        }
        if self.said.iter().any(|said| says_the_same(said, &sentence)) {
            self.enough = true;
            return None;
        }
        self.said.push(sentence.clone());
        self.enough = self.said.len() >= self.most;
        Some(sentence)
    }

    /// The end of the first whole sentence that is pending: a line's end, or a full stop with a space behind it that more
    /// than a number or an abbreviation stands before.
    fn sentence_end(&self) -> Option<usize> {
        let mut before = None;
        for (at, char) in self.pending.char_indices() {
            let is_stop = matches!(before, Some('.' | '!' | '?' | '…'));
            let is_end = char.is_whitespace() && is_stop || char == '\n' && self.is_break(at);
            if is_end && self.pending[..at].split_whitespace().nth(2).is_some() {
                return Some(at + char.len_utf8());
            }
            before = Some(char);
        }
        None
    }

    /// Whether a line's end ends a sentence that has no full stop: where a blank line or a list's next entry follows.
    fn is_break(&self, at: usize) -> bool {
        let rest = &self.pending[at + 1..];
        rest.starts_with(['\n', '-', '*', '#']) || rest.starts_with(|char: char| char.is_ascii_digit())
    }
}

fn words(text: &str) -> impl Iterator<Item = String> {
    let word = |word: &str| word.chars().filter(|char| char.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    text.split_whitespace().map(word).filter(|word: &String| !word.is_empty())
}

fn says_the_same(one: &str, other: &str) -> bool {
    let (mut one, mut other): (Vec<String>, Vec<String>) = (words(one).collect(), words(other).collect());
    for words in [&mut one, &mut other] {
        words.sort_unstable();
        words.dedup();
    }
    let shared = one.iter().filter(|word| other.binary_search(word).is_ok()).count();
    let all = one.len() + other.len() - shared;
    all > 0 && shared * 100 >= all * SAME_PERCENT
}

/// What stands before a circle, and its first turn, where the text ends in one.
fn circle(text: &str) -> Option<String> {
    let shown: Vec<&str> = text.split_whitespace().collect();
    let words: Vec<String> = shown.iter().map(|word| words(word).collect()).collect();
    for length in 1..=CIRCLE_WORDS_MAX {
        let Some(begin) = words.len().checked_sub(length * CIRCLE_TURNS) else { break };
        let turns = &words[begin..];
        if turns.iter().zip(&turns[length..]).all(|(word, next)| word == next) {
            return Some(shown[..begin + length].join(" "));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds a stream by characters; answers what was shown, and whether it was enough before its end.
    fn check(stream: &str, most: usize, is_whole: bool, expect: &[&str]) -> bool {
        let mut sentences = Sentences::new(most);
        let mut shown = Vec::new();
        for char in stream.chars() {
            shown.extend(sentences.push(char.encode_utf8(&mut [0; 4])));
            if sentences.is_enough() {
                break;
            }
        }
        let enough = sentences.is_enough();
        shown.extend(sentences.finish(is_whole && !enough));
        assert_eq!(shown, expect, "{stream:?}");
        assert_eq!(sentences.text(), expect.join(" "));
        enough
    }

    #[test]
    fn sentences_come_whole_and_on_one_line() {
        assert!(!check(
            "The first is\nbroken. The second  is not",
            5,
            true,
            &["The first is broken.", "The second is not"]
        ));
        assert!(!check("Only one, e.g. this one here.", 5, true, &["Only one, e.g.", "this one here."]));
        assert!(!check("", 5, true, &[]));
        assert!(!check(" \n\n ", 5, true, &[]));
    }

    #[test]
    fn a_number_does_not_end_a_sentence() {
        check(
            "1. The first point of it\n2. The second point here",
            5,
            true,
            &["1. The first point of it", "2. The second point here"],
        );
    }

    #[test]
    fn what_was_cut_off_is_left_out_unless_it_is_all() {
        check("This is a whole one. And this was c", 5, false, &["This is a whole one."]);
        check("This was cut off here, ", 5, false, &["This was cut off here …"]);
    }

    #[test]
    fn as_many_as_were_asked_for_are_enough() {
        assert!(check("One is here. Two is there. Three is gone. ", 2, true, &["One is here.", "Two is there."]));
    }

    #[test]
    fn a_sentence_that_comes_again_is_enough() {
        let stream = "A syscall is a value.\n\nA syscall is a value.\n\nA syscall is a value.\n\n";
        assert!(check(stream, 5, true, &["A syscall is a value."]));
        let stream =
            "It supports the work of all the systems. It supports the work, of all the systems! More is here. ";
        assert!(check(stream, 5, true, &["It supports the work of all the systems."]));
    }

    #[test]
    fn a_circle_inside_a_sentence_is_enough() {
        let stream = format!("The page is {}", "the map of the page, ".repeat(20));
        assert!(check(&stream, 5, true, &["The page is the map of the page …"]));
        let stream = format!("A whole sentence comes first. Then {}", "patent-free, ".repeat(20));
        assert!(check(&stream, 5, true, &["A whole sentence comes first."]));
    }
}
