//! What an answer says: text, and calls.
//!
//! It reads piece by piece as the answer comes, and gives text out as soon as it cannot begin a call. It reads the answers of
//! models without a constraint too: what looks like a call and is none is text.
//!
//! | at | sees | and does |
//! | --- | --- | --- |
//! | text | the mark of calls, or `{` at the beginning where there is none | goes on to calls |
//! | calls | an object or a list with a name and arguments, and the closing mark | gives the calls out, goes on behind them |
//! | calls | anything else | gives out as text what it held, goes on as text |
//! | behind calls | blanks, another mark | goes on to calls |
//! | behind calls | anything else | goes on as text |

use super::families::{CallFormat, Many};
use serde::de::IgnoredAny;

/// A call that a model wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Of the tool, as the model wrote it.
    pub name: String,
    /// JSON, as the model wrote it: an object, where the tool's parameters are one.
    pub arguments: String,
}

/// A part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Never empty.
    Text(String),
    /// A whole call.
    Call(Call),
}

/// Reads an answer in the format of a model, piece by piece.
#[derive(Clone, Debug)]
pub struct CallReader {
    format: &'static CallFormat,
    place: Place,
    /// What is not given out yet.
    held: String,
    /// Of `held`, at a call: so many bytes are scanned.
    scan: Scan,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Nothing came yet but blanks.
    Beginning,
    Text,
    /// Behind a mark, whose bytes are held too.
    Calls {
        from: usize,
    },
    Behind,
}

/// Whether a step got further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    On,
    NeedsMore,
}

impl CallReader {
    pub(super) fn new(format: &'static CallFormat) -> Self {
        Self { format, place: Place::Beginning, held: String::new(), scan: Scan::default() }
    }

    /// Reads on. Control tokens come by their names, as [`Vocabulary::written`](crate::Vocabulary::written) has them.
    pub fn push(&mut self, text: &str) -> Vec<Piece> {
        self.held.push_str(text);
        let mut pieces = Vec::new();
        while self.step(&mut pieces) == Step::On {}
        pieces
    }

    /// What is left at the end of the answer: text, of which some may be a call that was cut.
    #[must_use]
    pub fn finish(mut self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        if !matches!(self.place, Place::Behind) {
            self.give(self.held.len(), &mut pieces);
        }
        pieces
    }

    /// Whether a call has begun that is not complete: at the end of an answer, it was cut.
    #[must_use]
    pub fn is_within_call(&self) -> bool {
        matches!(self.place, Place::Calls { .. })
    }

    fn step(&mut self, pieces: &mut Vec<Piece>) -> Step {
        match self.place {
            Place::Beginning | Place::Behind if self.format.open.is_empty() => self.step_unmarked(),
            Place::Text if self.format.open.is_empty() => {
                self.give(self.held.len(), pieces);
                Step::NeedsMore
            }
            Place::Beginning | Place::Text => self.step_text(pieces),
            Place::Behind => self.step_behind(),
            Place::Calls { from } => self.step_calls(from, pieces),
        }
    }

    /// At the beginning, where calls have no mark.
    fn step_unmarked(&mut self) -> Step {
        let blanks = self.held.len() - self.held.trim_start().len();
        if blanks == self.held.len() {
            return Step::NeedsMore;
        }
        let is_call = self.held[blanks..].starts_with('{') && self.place == Place::Beginning;
        self.place = if is_call { Place::Calls { from: blanks } } else { Place::Text };
        Step::On
    }

    fn step_text(&mut self, pieces: &mut Vec<Piece>) -> Step {
        let open = self.format.open;
        if let Some(at) = self.held.find(open) {
            self.give(at, pieces);
            self.place = Place::Calls { from: open.len() };
            return Step::On;
        }
        // The end may be the beginning of a mark.
        let is_prefix = |at: &usize| self.held.is_char_boundary(*at) && open.starts_with(&self.held[*at..]);
        let from = self.held.len().saturating_sub(open.len() - 1);
        let kept = (from..self.held.len()).find(is_prefix).unwrap_or(self.held.len());
        self.give(kept, pieces);
        if kept > 0 {
            self.place = Place::Text;
        }
        Step::NeedsMore
    }

    fn step_behind(&mut self) -> Step {
        let rest = self.held.trim_start();
        if rest.starts_with(self.format.open) {
            self.held.drain(..self.held.len() - rest.len());
            self.place = Place::Calls { from: self.format.open.len() };
            return Step::On;
        }
        if self.format.open.starts_with(rest) {
            return Step::NeedsMore;
        }
        self.place = Place::Text;
        Step::On
    }

    fn step_calls(&mut self, from: usize, pieces: &mut Vec<Piece>) -> Step {
        let body = &self.held[from..];
        match self.scan.scan(body) {
            Scanned::NeedsMore => return Step::NeedsMore,
            Scanned::Bad => {}
            Scanned::Until(end) => {
                // The mark behind it, once it is there.
                let behind = body[end..].trim_start();
                let close = self.format.close;
                if behind.len() < close.len() && close.starts_with(behind) {
                    return Step::NeedsMore;
                }
                let json = body[..end].trim_start();
                if let Some(calls) = calls(json, self.format).filter(|_| behind.starts_with(close)) {
                    pieces.extend(calls.into_iter().map(Piece::Call));
                    let rest = if close.is_empty() { &body[end..] } else { &behind[close.len()..] };
                    self.held = rest.to_owned();
                    self.scan = Scan::default();
                    self.place = Place::Behind;
                    return Step::On;
                }
            }
        }
        // No call. The mark is text, and another one may follow it.
        let passed = if from == 0 || self.format.open.is_empty() { self.held.len() } else { from };
        self.give(passed, pieces);
        self.scan = Scan::default();
        self.place = Place::Text;
        Step::On
    }

    fn give(&mut self, bytes: usize, pieces: &mut Vec<Piece>) {
        if bytes > 0 {
            let rest = self.held.split_off(bytes);
            pieces.push(Piece::Text(std::mem::replace(&mut self.held, rest)));
        }
    }
}

/// The calls of a list, or of one object; none where a member of them is missing.
fn calls(json: &str, format: &CallFormat) -> Option<Vec<Call>> {
    let one = |object: &str| {
        let (mut name, mut arguments) = (None, None);
        for (key, value) in members(object)? {
            match key.as_str() {
                "name" => name = serde_json::from_str::<String>(value).ok(),
                key if key == format.arguments => arguments = Some(value),
                _ => {}
            }
        }
        let arguments = arguments.filter(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())?;
        Some(Call { name: name?, arguments: arguments.to_owned() })
    };
    match format.many {
        Many::List | Many::ListOrNone if json.starts_with('[') => items(json)?.into_iter().map(one).collect(),
        Many::List | Many::ListOrNone => None,
        Many::One | Many::Blocks => Some(vec![one(json)?]),
    }
}

/// The parts of a list or an object, between the brackets and the commas of its own level.
fn items(json: &str) -> Option<Vec<&str>> {
    let inner = json.strip_prefix(['[', '{'])?.strip_suffix([']', '}'])?;
    let (mut parts, mut begin, mut scan) = (Vec::new(), 0, Scan::default());
    for (at, byte) in inner.bytes().enumerate() {
        scan.take(byte);
        if byte == b',' && scan.is_outside() {
            parts.push(inner[begin..at].trim());
            begin = at + 1;
        }
    }
    let last = inner[begin..].trim();
    if !(last.is_empty() && parts.is_empty()) {
        parts.push(last);
    }
    Some(parts)
}

/// The members of an object: names, and values as they are written.
fn members(object: &str) -> Option<Vec<(String, &str)>> {
    fn member(part: &str) -> Option<(String, &str)> {
        let mut scan = Scan::default();
        let colon = part.bytes().position(|byte| {
            scan.take(byte);
            byte == b':' && scan.is_outside()
        })?;
        let name = serde_json::from_str(&part[..colon]).ok()?;
        Some((name, part[colon + 1..].trim()))
    }
    if object.starts_with('{') { items(object)?.into_iter().map(member).collect() } else { None }
}

/// Brackets and strings of JSON that comes piece by piece.
#[derive(Clone, Debug, Default)]
struct Scan {
    bytes: usize,
    depth: usize,
    is_string: bool,
    is_escaped: bool,
    /// Behind the last bracket, once it came.
    end: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scanned {
    NeedsMore,
    /// It does not begin with a bracket.
    Bad,
    /// The brackets are closed here.
    Until(usize),
}

impl Scan {
    fn is_outside(&self) -> bool {
        self.depth == 0 && !self.is_string
    }

    fn take(&mut self, byte: u8) {
        match byte {
            _ if self.is_escaped => self.is_escaped = false,
            b'\\' if self.is_string => self.is_escaped = true,
            b'"' => self.is_string = !self.is_string,
            b'{' | b'[' if !self.is_string => self.depth += 1,
            b'}' | b']' if !self.is_string => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }

    /// Goes on with a text whose beginning it saw before.
    fn scan(&mut self, text: &str) -> Scanned {
        if let Some(end) = self.end {
            return Scanned::Until(end);
        }
        while let Some(byte) = text.as_bytes().get(self.bytes) {
            let is_blank = self.is_outside() && byte.is_ascii_whitespace();
            if self.is_outside() && !is_blank && !matches!(byte, b'{' | b'[') {
                return Scanned::Bad;
            }
            self.take(*byte);
            self.bytes += 1;
            if self.is_outside() && !is_blank {
                self.end = Some(self.bytes);
                return Scanned::Until(self.bytes);
            }
        }
        Scanned::NeedsMore
    }
}
