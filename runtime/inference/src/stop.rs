//! Stop strings, found wherever token boundaries fall.
//!
//! Each stop string is an automaton (Knuth, Morris, Pratt 1977, "Fast Pattern Matching in Strings") that is fed byte by
//! byte, so that the work is linear in the text. Text that may still become a stop string is held back; the stop string
//! itself is never given out. The one that is complete first counts, and of several at once the longest.

/// Looks for stop strings in a text that comes in pieces.
#[derive(Debug)]
pub struct StopMatcher {
    automata: Vec<Automaton>,
    held: String,
    stopped: bool,
}

/// What a piece of text came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matched {
    /// Text that may be given out.
    pub text: String,
    /// Whether a stop string followed it: nothing is to be given out after it.
    pub stopped: bool,
}

#[derive(Debug)]
struct Automaton {
    pattern: Box<[u8]>,
    /// For each length of a matched prefix, less one, the next shorter prefix that is also its suffix.
    shorter: Box<[usize]>,
    /// How much of the pattern the text ends with.
    matched: usize,
}

impl Automaton {
    fn new(pattern: &str) -> Self {
        let pattern: Box<[u8]> = pattern.as_bytes().into();
        let mut automaton = Self { shorter: vec![0; pattern.len()].into(), pattern, matched: 0 };
        for index in 1..automaton.pattern.len() {
            let byte = automaton.pattern[index];
            automaton.shorter[index] = automaton.step(byte);
        }
        automaton.matched = 0;
        automaton
    }

    fn step(&mut self, byte: u8) -> usize {
        while self.matched > 0 && (self.matched == self.pattern.len() || self.pattern[self.matched] != byte) {
            self.matched = self.shorter[self.matched - 1];
        }
        if self.pattern[self.matched] == byte {
            self.matched += 1;
        }
        self.matched
    }
}

impl StopMatcher {
    /// A matcher of these; empty ones are left out.
    pub fn new<S: AsRef<str>>(stops: &[S]) -> Self {
        let stops = stops.iter().map(AsRef::as_ref).filter(|stop| !stop.is_empty());
        Self { automata: stops.map(Automaton::new).collect(), held: String::new(), stopped: false }
    }

    /// Adds text and returns what may be given out: behind a stop string, nothing.
    pub fn push(&mut self, text: &str) -> Matched {
        if self.stopped {
            return Matched { text: String::new(), stopped: true };
        }
        let start = self.held.len();
        self.held.push_str(text);
        for (index, byte) in text.bytes().enumerate() {
            let mut complete = 0;
            for automaton in &mut self.automata {
                if automaton.step(byte) == automaton.pattern.len() {
                    complete = complete.max(automaton.pattern.len());
                }
            }
            if complete > 0 {
                self.stopped = true;
                let mut text = std::mem::take(&mut self.held);
                text.truncate(start + index + 1 - complete);
                return Matched { text, stopped: true };
            }
        }
        // A prefix of a stop string begins with a character's first byte, so this is a boundary.
        let hold = self.automata.iter().map(|automaton| automaton.matched).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - hold);
        Matched { text: std::mem::replace(&mut self.held, rest), stopped: false }
    }

    /// The text that was held back, where something else than text comes next: no stop string goes on behind that.
    pub fn interrupt(&mut self) -> String {
        self.automata.iter_mut().for_each(|automaton| automaton.matched = 0);
        std::mem::take(&mut self.held)
    }

    /// The text that was held back, once no more can come.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Feeds the pieces; returns the text given out, and whether it was stopped.
    fn run(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let mut matcher = StopMatcher::new(stops);
        let mut out = String::new();
        for piece in pieces {
            let matched = matcher.push(piece);
            out += &matched.text;
            if matched.stopped {
                return (out, true);
            }
        }
        (out + &matcher.finish(), false)
    }

    fn check(stops: &[&str], pieces: &[&str], expect: (&str, bool)) {
        assert_eq!(run(stops, pieces), (expect.0.to_owned(), expect.1), "{stops:?} in {pieces:?}");
    }

    #[test]
    fn finds_stops_across_pieces() {
        check(&["END"], &["so E", "N", "D and more"], ("so ", true));
        check(&["END"], &["so EN", "d"], ("so ENd", false));
        check(&["END"], &["so EN"], ("so EN", false));
        check(&["aab"], &["aa", "ab"], ("a", true));
        check(&["abab", "b"], &["xab"], ("xa", true));
        check(&["bc", "abc"], &["xab", "cd"], ("x", true));
        check(&["🦀"], &["a🦀b"], ("a", true));
        check(&["é!"], &["è", "é", "é!"], ("èé", true));
        check(&[""], &["a"], ("a", false));
        check(&[], &["a", "b"], ("ab", false));
    }

    #[test]
    fn gives_out_what_cannot_be_a_stop() {
        let mut matcher = StopMatcher::new(&["\n\n"]);
        assert_eq!(matcher.push("a\n").text, "a");
        assert_eq!(matcher.push("b").text, "\nb");
    }

    #[test]
    fn nothing_goes_on_behind_an_interruption() {
        let mut matcher = StopMatcher::new(&["ab"]);
        assert_eq!(matcher.push("xa").text, "x");
        assert_eq!(matcher.interrupt(), "a");
        assert_eq!(matcher.push("bab"), Matched { text: "b".to_owned(), stopped: true });
    }

    #[test]
    fn gives_out_nothing_behind_a_stop() {
        let mut matcher = StopMatcher::new(&["b"]);
        assert_eq!(matcher.push("ab"), Matched { text: "a".to_owned(), stopped: true });
        assert_eq!(matcher.push("c"), Matched { text: String::new(), stopped: true });
        assert_eq!(matcher.finish(), "");
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            stops in prop::collection::vec("[aé]{1,4}", 0..3),
            pieces in prop::collection::vec("[aéb]{0,4}", 0..8),
        ) {
            let stops: Vec<&str> = stops.iter().map(String::as_str).collect();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let whole = pieces.concat();
            let first = stops.iter().filter_map(|stop| whole.find(stop).map(|start| (start + stop.len(), start))).min();
            let expect = first.map_or((whole.clone(), false), |(_, start)| (whole[..start].to_owned(), true));
            prop_assert_eq!(run(&stops, &pieces), expect);
        }
    }
}
