//! Paths below a folder: `.`, `docs`, `docs/2024/report.txt`.

use super::EntryFault;
use crate::limits::PATH_BYTES_MAX;
use std::borrow::Cow;

/// The folder itself.
const WHOLE: &str = ".";

pub(super) fn check(entry: &str) -> Result<Cow<'_, str>, EntryFault> {
    match entry.chars().find(|character| is_hidden(*character)) {
        Some(hidden) => Err(EntryFault::HiddenCharacter(hidden)),
        None => structure(entry).map(Cow::from),
    }
}

/// Whether a path, or all that another entry opens, lies in the entry: entries of paths are paths.
pub(super) fn contains(entry: &str, path: &str) -> bool {
    if path.len() > PATH_BYTES_MAX {
        return false;
    }
    let Ok(path) = structure(path) else { return false };
    entry == WHOLE || path.strip_prefix(entry).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The path without a slash at its end, if it stays below the folder on every system.
fn structure(path: &str) -> Result<&str, EntryFault> {
    if path == WHOLE || path == "./" {
        return Ok(WHOLE);
    }
    if path.starts_with('/') {
        return Err(EntryFault::Absolute);
    }
    let path = path.strip_suffix('/').unwrap_or(path);
    path.split('/').try_for_each(|segment| match segment {
        "" if path.is_empty() => Err(EntryFault::Empty),
        "" => Err(EntryFault::EmptySegment),
        "." | ".." => Err(EntryFault::Traversal),
        _ if segment.contains('\\') || names_drive(segment) => Err(EntryFault::ForeignPath),
        _ => match segment.chars().find(|character| character.is_control()) {
            Some(control) => Err(EntryFault::HiddenCharacter(control)),
            None => Ok(()),
        },
    })?;
    Ok(path)
}

/// `C:` begins a path of its own wherever it is joined to another.
fn names_drive(segment: &str) -> bool {
    matches!(segment.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic())
}

/// Characters that a person cannot see, or that turn the text around them (Unicode's Bidi_Control and
/// Default_Ignorable_Code_Point, as far as they are no part of a script). A file may have them in its name; an entry that
/// a person agrees to may not.
fn is_hidden(character: char) -> bool {
    matches!(character, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
        || character.is_control()
}
