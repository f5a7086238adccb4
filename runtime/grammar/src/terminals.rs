//! How much the terminals of a grammar in Lark's syntax come to, before the library reads it.
//!
//! A terminal is one regular expression, in which other terminals stand in full: a short text can spell a very long one. A
//! step of its automaton costs the square of its length at worst, which the library's fuel counts too late; so the length is
//! bounded here. Repetition (`{1000}`) costs nothing: it is not written out.

use std::collections::HashMap;

/// A part of a grammar that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part<'a> {
    /// A string or a regular expression of so many bytes.
    Literal(usize),
    Name(&'a str),
    Colon,
    Line,
    Other,
}

/// The largest terminals are `each` long, all together `all`; in bytes, none beyond `usize::MAX`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lengths {
    pub(crate) each: usize,
    pub(crate) all: usize,
}

/// A terminal's own literals, and the terminals that stand in it.
#[derive(Debug, Default)]
struct Terminal<'a> {
    own: usize,
    parts: Vec<&'a str>,
}

/// Measures the terminals of a grammar, literals in rules among them.
pub(crate) fn measure(grammar: &str) -> Lengths {
    let parts = parts(grammar);
    let (mut terminals, mut lengths) = (HashMap::<&str, Terminal<'_>>::new(), Lengths::default());
    let mut current = None;
    for (at, part) in parts.iter().enumerate() {
        match *part {
            Part::Name(name) if begins_definition(&parts, at) => current = Some(name).filter(|name| is_terminal(name)),
            Part::Name(name) if is_terminal(name) => {
                if let Some(terminal) = current {
                    terminals.entry(terminal).or_default().parts.push(name);
                }
            }
            Part::Literal(bytes) => match current {
                Some(terminal) => {
                    let own = &mut terminals.entry(terminal).or_default().own;
                    *own = own.saturating_add(bytes);
                }
                None => lengths.add(bytes),
            },
            _ => {}
        }
    }
    let mut known = HashMap::new();
    let mut names: Vec<_> = terminals.keys().copied().collect();
    names.sort_unstable();
    for name in names {
        lengths.add(length(name, &terminals, &mut known));
    }
    lengths
}

impl Lengths {
    fn add(&mut self, bytes: usize) {
        self.each = self.each.max(bytes);
        self.all = self.all.saturating_add(bytes);
    }
}

/// The length of a terminal with all that stands in it. One that stands in itself has none: the library refuses it.
fn length<'a>(name: &'a str, terminals: &HashMap<&'a str, Terminal<'a>>, known: &mut HashMap<&'a str, usize>) -> usize {
    // A stack of its own, since a chain of terminals may be as long as the grammar.
    let mut open = vec![(name, false)];
    while let Some((name, is_ready)) = open.pop() {
        let Some(terminal) = terminals.get(name) else { continue };
        if is_ready {
            let inner = terminal.parts.iter().map(|part| known.get(part).copied().unwrap_or(0));
            let sum = inner.fold(terminal.own, usize::saturating_add);
            known.insert(name, sum);
        } else if !known.contains_key(name) {
            known.insert(name, 0);
            open.push((name, true));
            open.extend(terminal.parts.iter().filter(|part| !known.contains_key(*part)).map(|part| (*part, false)));
        }
    }
    known.get(name).copied().unwrap_or(0)
}

fn is_terminal(name: &str) -> bool {
    name.trim_start_matches('_').starts_with(|first: char| first.is_ascii_uppercase())
}

/// Whether a name at this place is defined there: it begins a line, and a colon follows in it before any other name.
fn begins_definition(parts: &[Part<'_>], at: usize) -> bool {
    let begins_line = parts[..at].iter().rev().take_while(|part| **part != Part::Line).all(|part| *part == Part::Other);
    let mut behind = parts[at + 1..].iter().take_while(|part| **part != Part::Line);
    begins_line && behind.any(|part| *part == Part::Colon)
}

fn parts(grammar: &str) -> Vec<Part<'_>> {
    let bytes = grammar.as_bytes();
    let (mut parts, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let begin = at;
        at += 1;
        let part = match bytes[begin] {
            b'\n' => Part::Line,
            b':' => Part::Colon,
            b' ' | b'\t' | b'\r' => continue,
            b'/' if bytes.get(at) == Some(&b'/') => {
                at = line_end(bytes, at);
                continue;
            }
            b'#' => {
                at = line_end(bytes, at);
                continue;
            }
            quote @ (b'"' | b'/') => {
                at = literal_end(bytes, at, quote);
                Part::Literal(at - begin)
            }
            first if first.is_ascii_alphabetic() || first == b'_' => {
                let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
                at += bytes[at..].iter().take_while(|byte| is_name(byte)).count();
                Part::Name(&grammar[begin..at])
            }
            _ => Part::Other,
        };
        parts.push(part);
    }
    parts
}

fn line_end(bytes: &[u8], from: usize) -> usize {
    bytes[from..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |length| from + length)
}

/// Behind the quote that closes a literal; the end where none does.
fn literal_end(bytes: &[u8], from: usize, quote: u8) -> usize {
    let mut at = from;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            byte if byte == quote => return at + 1,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::{Lengths, measure};

    fn check(grammar: &str, each: usize, all: usize) {
        assert_eq!(measure(grammar), Lengths { each, all }, "{grammar}");
    }

    #[test]
    fn terminals_count_with_what_stands_in_them() {
        check("", 0, 0);
        check("start: A \"xy\"\nA: /b/", 4, 7);
        check("A: B B\nB: C C\nC: \"a\"", 12, 12 + 6 + 3);
        check("A{x}: B\nB.2: \"a\" | \"b\"", 6, 12);
        check("A: \"a\"\n | \"b\"", 6, 6);
        check("A: \"\\\"\" // \"c\"\n# \"d\"\nb: A A A", 4, 4);
        check("A: A \"a\"", 3, 3);
        check("A: \"open", 5, 5);
    }

    #[test]
    fn what_doubles_saturates() {
        let lines: String = (0..200).map(|line| format!("T{}: T{line} T{line}\n", line + 1)).collect();
        assert_eq!(measure(&format!("T0: \"a\"\n{lines}")).each, usize::MAX);
    }
}
