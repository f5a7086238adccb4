//! A table of a file of routes: its keys read as what they must be, and each error with its line.

use super::ReadError;
use std::ops::RangeInclusive;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// How alike two keys are of which one is taken for a slip of the other, from 0 to 1: as `clap` has it for commands.
const NEAR_MIN: f64 = 0.8;

/// Names that are listed in a sentence where none is near.
const LISTED_MAX: usize = 12;

/// Texts, each with its line.
pub(super) type Texts<'t> = Vec<(&'t str, usize)>;

/// A table with its place in the text.
pub(super) struct Section<'t> {
    text: &'t str,
    table: &'t DeTable<'t>,
    /// Where it begins, in bytes.
    offset: usize,
    /// What sentences call it; empty at the top.
    name: String,
}

/// The line of a byte, from 1 on.
pub(super) fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// What to do about a name that is not known.
pub(super) fn advice(written: &str, known: &[&str]) -> String {
    let alike = |name: &&str| (strsim::jaro_winkler(written, name), (*name).to_owned());
    let best = known.iter().map(alike).max_by(|one, other| one.0.total_cmp(&other.0));
    match best.filter(|(alike, _)| *alike >= NEAR_MIN) {
        Some((_, meant)) => format!("did you mean `{meant}`?"),
        None => {
            let listed: Vec<_> = known.iter().take(LISTED_MAX).map(|name| format!("`{name}`")).collect();
            let more = if known.len() > LISTED_MAX { " and more" } else { "" };
            format!("there are {}{more}", listed.join(", "))
        }
    }
}

impl<'t> Section<'t> {
    pub(super) fn new(text: &'t str, table: &'t DeTable<'t>, offset: usize, name: String) -> Self {
        Self { text, table, offset, name }
    }

    /// What is wrong with the whole, as the end of a sentence that begins with its name.
    pub(super) fn wrong(&self, why: &str) -> ReadError {
        ReadError { line: line_of(self.text, self.offset), sentence: format!("`{}` {why}", self.name) }
    }

    /// The last part of its name.
    pub(super) fn last_name(&self) -> &str {
        self.name.strip_prefix("route.").unwrap_or(&self.name)
    }

    /// Refuses a key that is none of these.
    pub(super) fn knows(&self, keys: &[&str]) -> Result<(), ReadError> {
        // In the order of the text, so that the first one is told.
        let unknown = self.table.iter().map(|(key, _)| key).filter(|key| !keys.contains(&&**key.get_ref()));
        let Some(key) = unknown.min_by_key(|key| key.span().start) else { return Ok(()) };
        let place = if self.name.is_empty() { String::new() } else { format!(" in `{}`", self.name) };
        let sentence =
            format!("unknown key `{}`{place}: {}", key.get_ref().escape_debug(), advice(key.get_ref(), keys));
        Err(ReadError { line: line_of(self.text, key.span().start), sentence })
    }

    fn path(&self, key: &str) -> String {
        match self.name.is_empty() {
            true => key.to_owned(),
            false => format!("{}.{key}", self.name),
        }
    }

    fn must_be(&self, key: &str, what: &str, found: &Spanned<DeValue<'_>>) -> ReadError {
        let sentence = format!("`{}` must be {what}", self.path(key));
        ReadError { line: line_of(self.text, found.span().start), sentence }
    }

    fn get(&self, key: &str) -> Option<(usize, &'t Spanned<DeValue<'t>>)> {
        self.table.get_key_value(key).map(|(key, value)| (key.span().start, value))
    }

    fn inner(&self, key: &str, offset: usize, value: &'t Spanned<DeValue<'t>>) -> Result<Self, ReadError> {
        match value.get_ref() {
            DeValue::Table(table) => Ok(Self::new(self.text, table, offset, self.path(key))),
            _ => Err(self.must_be(key, "a table", value)),
        }
    }

    /// A table in it.
    pub(super) fn section(&self, key: &str) -> Result<Option<Self>, ReadError> {
        self.get(key).map(|(offset, value)| self.inner(key, offset, value)).transpose()
    }

    /// All that is in it, as tables.
    pub(super) fn sections(&self) -> Result<Vec<Self>, ReadError> {
        let inner = |(key, value): (&'t Spanned<_>, _)| {
            let name: &std::borrow::Cow<'t, str> = key.get_ref();
            self.inner(name, key.span().start, value)
        };
        self.table.iter().map(inner).collect()
    }

    /// A list of tables in it.
    pub(super) fn list(&self, key: &str, most: usize) -> Result<Vec<Self>, ReadError> {
        let Some((_, value)) = self.get(key) else { return Ok(Vec::new()) };
        let what = format!("a list of at most {most} tables, each under [[{}]]", self.path(key));
        let wrong = || self.must_be(key, &what, value);
        let DeValue::Array(list) = value.get_ref() else { return Err(wrong()) };
        if list.len() > most {
            return Err(wrong());
        }
        let inner = |(index, value): (usize, &'t Spanned<DeValue<'t>>)| match value.get_ref() {
            DeValue::Table(table) => {
                let name = format!("{}[{}]", self.path(key), index + 1);
                Ok(Self::new(self.text, table, value.span().start, name))
            }
            _ => Err(wrong()),
        };
        list.iter().enumerate().map(inner).collect()
    }

    /// A text in it.
    pub(super) fn text(&self, key: &str) -> Result<Option<&'t str>, ReadError> {
        let Some((_, value)) = self.get(key) else { return Ok(None) };
        match value.get_ref() {
            DeValue::String(text) => Ok(Some(text)),
            _ => Err(self.must_be(key, "a text", value)),
        }
    }

    /// A list of texts in it.
    pub(super) fn texts(&self, key: &str, count: RangeInclusive<usize>) -> Result<Option<Texts<'t>>, ReadError> {
        let Some((_, value)) = self.get(key) else { return Ok(None) };
        let what = format!("a list of {} to {} texts", count.start(), count.end());
        let DeValue::Array(list) = value.get_ref() else { return Err(self.must_be(key, &what, value)) };
        if !count.contains(&list.len()) {
            return Err(self.must_be(key, &what, value));
        }
        let text = |value: &'t Spanned<DeValue<'t>>| match value.get_ref() {
            DeValue::String(text) => Ok((&**text, line_of(self.text, value.span().start))),
            _ => Err(self.must_be(key, &what, value)),
        };
        list.iter().map(text).collect::<Result<_, _>>().map(Some)
    }

    /// A number in it.
    pub(super) fn number(&self, key: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, ReadError> {
        let Some((_, value)) = self.get(key) else { return Ok(None) };
        match whole(value).filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => {
                let what = format!("a whole number between {} and {}", range.start(), range.end());
                Err(self.must_be(key, &what, value))
            }
        }
    }

    /// A list of numbers of 32 bits in it; empty where there is none.
    pub(super) fn numbers(&self, key: &str, most: usize) -> Result<Vec<u32>, ReadError> {
        let Some((_, value)) = self.get(key) else { return Ok(Vec::new()) };
        let wrong = || self.must_be(key, &format!("a list of 1 to {most} whole numbers"), value);
        let DeValue::Array(list) = value.get_ref() else { return Err(wrong()) };
        if list.is_empty() || list.len() > most {
            return Err(wrong());
        }
        let number = |value| whole(value).and_then(|number| u32::try_from(number).ok()).ok_or_else(wrong);
        list.iter().map(number).collect()
    }
}

fn whole(value: &Spanned<DeValue<'_>>) -> Option<u64> {
    match value.get_ref() {
        DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
        _ => None,
    }
}
