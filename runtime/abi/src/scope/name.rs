//! Names, and prefixes of names: `chat`, `org/model@v2`, `notes-*`.

use super::EntryFault;
use crate::limits::NAME_BYTES_MAX;
use std::borrow::Cow;

/// Whether a text is a name of one thing, or a label: 1 to [`NAME_BYTES_MAX`] ASCII letters, digits and `-._/:@`, and no
/// `.` or `..` between slashes.
#[must_use]
pub fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| is_name_character(byte.into()))
        && !(text.contains('.') && text.split('/').any(is_traversal))
}

pub(super) fn check(entry: &str) -> Result<Cow<'_, str>, EntryFault> {
    let prefix = entry.strip_suffix('*');
    let text = prefix.unwrap_or(entry);
    match text.chars().find(|character| !is_name_character(*character)) {
        Some('*') => return Err(EntryFault::Star),
        Some(other) => return Err(EntryFault::NameCharacter(other)),
        None => {}
    }
    // The last part of a prefix is a beginning: `..*` covers `..a`, which is a name like any other.
    let whole = match prefix {
        Some(prefix) => prefix.rsplit_once('/').map_or("", |(whole, _)| whole),
        None => text,
    };
    if whole.split('/').any(is_traversal) {
        return Err(EntryFault::Traversal);
    }
    Ok(entry.into())
}

pub(super) fn contains(entry: &str, name: &str) -> bool {
    match entry.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix) && is_name(name),
        None => entry == name,
    }
}

pub(super) fn covers(entry: &str, inner: &str) -> bool {
    match (entry.strip_suffix('*'), inner.strip_suffix('*')) {
        (Some(prefix), Some(longer)) => longer.starts_with(prefix),
        (None, Some(_)) => false,
        (_, None) => contains(entry, inner),
    }
}

fn is_name_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '-' | '.' | '_' | '/' | ':' | '@')
}

fn is_traversal(segment: &str) -> bool {
    matches!(segment, "." | "..")
}
