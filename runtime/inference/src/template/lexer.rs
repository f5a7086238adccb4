//! Cuts a template into text, prints and tags, and the latter into tokens.
//!
//! Blanks around tags go as Jinja2 has them go (`lexer.py` of version 3.1) where `trim_blocks` and `lstrip_blocks` are set,
//! as `transformers` sets them: the line break behind a tag or comment, and the blanks before it where nothing else
//! stands before it in its line. A minus sign takes all blanks on its side, a plus sign keeps them.

use super::parser::{SyntaxError, wrong};

/// A piece of a template.
#[derive(Debug)]
pub(super) enum Piece<'s> {
    Text(&'s str),
    /// `{{ tokens }}`
    Print(Vec<Token<'s>>),
    /// `{% tokens %}`
    Tag(Vec<Token<'s>>),
}

/// A token of a print or a tag.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token<'s> {
    Name(&'s str),
    Text(Box<str>),
    Int(i64),
    Float(f64),
    Sign(&'static str),
}

/// Longer ones first.
const SIGNS: [&str; 27] = [
    "**", "//", "==", "!=", "<=", ">=", "(", ")", "[", "]", "{", "}", "+", "-", "*", "/", "%", "~", "<", ">", "=", ".",
    ",", ":", "|", ";", "!",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opened {
    Print,
    Tag,
    Comment,
}

impl Opened {
    const fn closing(self) -> &'static str {
        match self {
            Self::Print => "}}",
            Self::Tag => "%}",
            Self::Comment => "#}",
        }
    }
}

pub(super) struct Lexer<'s> {
    source: &'s str,
    at: usize,
    /// A tag or print that begins at `at`, its text before was told.
    opened: Option<Opened>,
    /// Whether a line begins at `at`, as far as the blanks before a tag are concerned.
    line_begins: bool,
    /// Up to where line breaks were counted, and how many there are.
    counted: (usize, u32),
}

impl<'s> Lexer<'s> {
    /// Line breaks of `source` are `\n` alone.
    pub(super) fn new(source: &'s str) -> Self {
        // Jinja2 drops one line break at the end.
        let source = source.strip_suffix('\n').unwrap_or(source);
        Self { source, at: 0, opened: None, line_begins: true, counted: (0, 1) }
    }

    /// The line of what comes next.
    pub(super) fn line(&mut self) -> u32 {
        let (from, line) = self.counted;
        if from < self.at {
            let breaks = self.source.as_bytes()[from..self.at].iter().filter(|byte| **byte == b'\n').count();
            self.counted = (self.at, line + u32::try_from(breaks).unwrap_or(u32::MAX));
        }
        self.counted.1
    }

    /// The next piece, empty texts left out.
    pub(super) fn next(&mut self) -> Result<Option<Piece<'s>>, SyntaxError> {
        loop {
            match self.opened.take() {
                None if self.at == self.source.len() => return Ok(None),
                None => {
                    let text = self.text();
                    if !text.is_empty() {
                        return Ok(Some(Piece::Text(text)));
                    }
                }
                Some(Opened::Comment) => self.comment()?,
                Some(Opened::Print) => return Ok(Some(Piece::Print(self.tokens(Opened::Print)?))),
                Some(Opened::Tag) => match self.raw()? {
                    Some("") => {}
                    Some(text) => return Ok(Some(Piece::Text(text))),
                    None => return Ok(Some(Piece::Tag(self.tokens(Opened::Tag)?))),
                },
            }
        }
    }

    fn rest(&self) -> &'s str {
        &self.source[self.at..]
    }

    /// Everything up to the next tag, print or comment, which it opens.
    fn text(&mut self) -> &'s str {
        let rest = self.rest();
        let mut from = 0;
        while let Some(found) = rest[from..].find('{') {
            let at = from + found;
            let opened = match rest.as_bytes().get(at + 1) {
                Some(b'{') => Opened::Print,
                Some(b'%') => Opened::Tag,
                Some(b'#') => Opened::Comment,
                _ => {
                    from = at + 1;
                    continue;
                }
            };
            let sign = rest.as_bytes().get(at + 2);
            let text = self.trimmed(&rest[..at], sign, opened);
            self.at += at + 2 + usize::from(matches!(sign, Some(b'-' | b'+')));
            self.opened = Some(opened);
            return text;
        }
        self.at = self.source.len();
        rest
    }

    /// A text before a tag of this kind and sign.
    fn trimmed(&self, text: &'s str, sign: Option<&u8>, opened: Opened) -> &'s str {
        match sign {
            Some(b'-') => text.trim_end(),
            Some(b'+') => text,
            _ if opened == Opened::Print => text,
            _ => {
                let line = text.rfind('\n').map(|at| at + 1);
                match line.or(self.line_begins.then_some(0)) {
                    Some(line) if text[line..].trim_end().is_empty() => &text[..line],
                    _ => text,
                }
            }
        }
    }

    /// Goes behind a closing sign, and the blanks that it takes along.
    fn close(&mut self, opened: Opened, sign: Option<u8>, length: usize) {
        let begin = self.at;
        self.at += length;
        let rest = self.rest();
        self.at += match (sign, opened) {
            (Some(b'-'), _) => rest.len() - rest.trim_start().len(),
            (None, Opened::Tag | Opened::Comment) => usize::from(rest.starts_with('\n')),
            _ => 0,
        };
        self.line_begins = self.source[begin..self.at].ends_with('\n');
    }

    fn comment(&mut self) -> Result<(), SyntaxError> {
        let Some(end) = self.rest().find("#}") else {
            return wrong("a comment is opened and not closed");
        };
        let sign = self.rest()[..end].bytes().last().filter(|sign| matches!(sign, b'-' | b'+'));
        self.at += end;
        self.close(Opened::Comment, sign, 2);
        Ok(())
    }

    /// The text of a `raw` block, where the tag that was opened is one.
    fn raw(&mut self) -> Result<Option<&'s str>, SyntaxError> {
        let Some(behind) = word(self.rest(), "raw") else { return Ok(None) };
        let (sign, length) = match behind.as_bytes() {
            [b'-', b'%', b'}', ..] => (Some(b'-'), 3),
            // Keeps the line break behind it.
            [b'%', b'}', ..] => (Some(b'+'), 2),
            _ => return Ok(None),
        };
        self.at = self.source.len() - behind.len();
        self.close(Opened::Tag, sign, length);
        let rest = self.rest();
        let mut from = 0;
        while let Some(found) = rest[from..].find("{%") {
            let at = from + found;
            let opening = rest.as_bytes().get(at + 2);
            let signed = usize::from(matches!(opening, Some(b'-' | b'+')));
            from = at + 2 + signed;
            let Some(behind) = word(&rest[from..], "endraw") else { continue };
            let (sign, length) = match behind.as_bytes() {
                [sign @ (b'-' | b'+'), b'%', b'}', ..] => (Some(*sign), 3),
                [b'%', b'}', ..] => (None, 2),
                _ => continue,
            };
            let text = self.trimmed(&rest[..at], opening, Opened::Tag);
            self.at = self.source.len() - behind.len();
            self.close(Opened::Tag, sign, length);
            return Ok(Some(text));
        }
        wrong("a raw block is opened and not closed")
    }

    /// Everything up to the closing sign.
    fn tokens(&mut self, opened: Opened) -> Result<Vec<Token<'s>>, SyntaxError> {
        let mut tokens = Vec::new();
        let mut brackets = 0_usize;
        loop {
            let rest = self.rest();
            let rest = rest.trim_start();
            self.at = self.source.len() - rest.len();
            if brackets == 0 {
                let sign = rest.bytes().next().filter(|sign| matches!(sign, b'-' | b'+'));
                let signed = usize::from(sign.is_some());
                if rest[signed..].starts_with(opened.closing()) && (opened == Opened::Tag || sign != Some(b'+')) {
                    self.close(opened, sign, signed + 2);
                    return Ok(tokens);
                }
            }
            let (token, length) = token(rest)?;
            match token {
                Token::Sign("(" | "[" | "{") => brackets += 1,
                Token::Sign(")" | "]" | "}") => brackets = brackets.saturating_sub(1),
                _ => {}
            }
            tokens.push(token);
            self.at += length;
        }
    }
}

/// What follows a word and the blanks around it.
fn word<'s>(text: &'s str, word: &str) -> Option<&'s str> {
    text.trim_start().strip_prefix(word).map(str::trim_start)
}

/// The token that a text begins with, and its length.
fn token(text: &str) -> Result<(Token<'_>, usize), SyntaxError> {
    let Some(first) = text.chars().next() else { return wrong("a tag is opened and not closed") };
    if first == '_' || first.is_alphabetic() {
        let end = text.find(|next: char| next != '_' && !next.is_alphanumeric()).unwrap_or(text.len());
        return Ok((Token::Name(&text[..end]), end));
    }
    if first.is_ascii_digit() {
        return number(text);
    }
    if matches!(first, '\'' | '"') {
        return string(text, first);
    }
    match SIGNS.iter().find(|sign| text.starts_with(**sign)) {
        Some(sign) => Ok((Token::Sign(sign), sign.len())),
        None => wrong(format!("{first:?} has no meaning there")),
    }
}

fn number(text: &str) -> Result<(Token<'_>, usize), SyntaxError> {
    let digits = |from: usize| {
        let rest = &text[from..];
        from + rest.find(|next: char| !next.is_ascii_digit() && next != '_').unwrap_or(rest.len())
    };
    let whole = digits(0);
    let mut end = whole;
    let is_digit = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
    if text[end..].starts_with('.') && is_digit(end + 1) {
        end = digits(end + 1);
    }
    if text[end..].starts_with(['e', 'E']) {
        let signed = usize::from(text[end + 1..].starts_with(['+', '-']));
        if is_digit(end + 1 + signed) {
            end = digits(end + 1 + signed);
        }
    }
    let written: String = text[..end].chars().filter(|digit| *digit != '_').collect();
    let token =
        if end == whole { written.parse().ok().map(Token::Int) } else { written.parse().ok().map(Token::Float) };
    match token {
        Some(token) => Ok((token, end)),
        None => wrong("a number is larger than 64 bits hold"),
    }
}

/// A string between quotes, with Python's escapes.
fn string(text: &str, quote: char) -> Result<(Token<'_>, usize), SyntaxError> {
    let mut read = String::new();
    let mut rest = text[1..].chars();
    while let Some(next) = rest.next() {
        match next {
            next if next == quote => return Ok((Token::Text(read.into()), text.len() - rest.as_str().len())),
            '\\' => {
                let Some(escaped) = rest.next() else { break };
                let code = |digits: usize, rest: &mut std::str::Chars<'_>| {
                    let (code, behind) = rest.as_str().split_at_checked(digits)?;
                    *rest = behind.chars();
                    char::from_u32(u32::from_str_radix(code, 16).ok()?)
                };
                let character = match escaped {
                    'n' => Some('\n'),
                    't' => Some('\t'),
                    'r' => Some('\r'),
                    'b' => Some('\u{8}'),
                    'f' => Some('\u{c}'),
                    'a' => Some('\u{7}'),
                    'v' => Some('\u{b}'),
                    '0' => Some('\0'),
                    '\\' | '\'' | '"' => Some(escaped),
                    '\n' => continue,
                    'x' => code(2, &mut rest),
                    'u' => code(4, &mut rest),
                    'U' => code(8, &mut rest),
                    other => {
                        read.push('\\');
                        Some(other)
                    }
                };
                match character {
                    Some(character) => read.push(character),
                    None => return wrong(format!("\\{escaped} is not followed by a character's number")),
                }
            }
            next => read.push(next),
        }
    }
    wrong("a string is opened and not closed")
}
