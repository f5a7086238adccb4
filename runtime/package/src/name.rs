//! Names: what one may be, which one was meant, and which one only looks like another.
//!
//! Look-alikes are found with the tables of Unicode Technical Standard 39: the *skeleton* of a text is what is left of it
//! when every character is replaced by the one that it may be mistaken for.

use unicode_security::{MixedScript, RestrictionLevel, RestrictionLevelDetection, skeleton};

/// A name: it becomes a folder's, a label's or a column's.
pub(crate) const NAME_BYTES_MAX: usize = 64;

/// What [`is_name`] accepts, as a regular expression.
pub(crate) const NAME_PATTERN: &str = "^[a-z0-9][a-z0-9._-]{0,63}$";

/// How alike two keys are of which one is taken for a slip of the other, from 0 to 1: as `clap` has it for commands.
const NEAR_MIN: f64 = 0.8;

/// As much of a text as is repeated in a sentence about it.
const QUOTED_CHARS_MAX: usize = 64;

/// Whether a text is 1 to 64 lower-case letters, digits, dashes, dots and underscores, the first a letter or a digit.
pub(crate) fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.' | b'_');
    (1..=NAME_BYTES_MAX).contains(&text.len())
        && text.bytes().all(fits)
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
}

/// The known name that was most likely meant.
pub(crate) fn nearest<'k>(written: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    if written.len() > NAME_BYTES_MAX {
        return None;
    }
    let alike = |name: &'k str| (strsim::jaro_winkler(written, name), name);
    let best = known.map(alike).max_by(|one, other| one.0.total_cmp(&other.0))?;
    (best.0 >= NEAR_MIN).then_some(best.1)
}

/// The known name that a text would be mistaken for.
pub(crate) fn mistaken<'k>(written: &str, mut known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    known.find(|name| skeleton(name).eq(skeleton(written)))
}

/// What is misleading about a text, as the end of a sentence; `None` where nothing is.
///
/// Words of one script are fine, whatever the script, and so are words of Latin and Chinese, Japanese or Korean letters.
/// Misleading is a word that mixes others, that would be taken for one of plain ASCII, or that holds what nobody sees.
pub(crate) fn misleading(text: &str) -> Option<String> {
    text.split(|character: char| character.is_ascii() && !character.is_alphanumeric()).find_map(misleading_word)
}

fn misleading_word(word: &str) -> Option<String> {
    if word.is_ascii() {
        return None;
    }
    let foreign = || word.chars().filter(|character| !character.is_ascii());
    let is_hidden = |character: &char| character.is_control() || is_format(*character) || looks(*character).is_empty();
    if let Some(hidden) = foreign().find(is_hidden) {
        return Some(format!("which holds the invisible character U+{:04X}", u32::from(hidden)));
    }
    let is_mixed = !word.is_single_script() && !word.check_restriction_level(RestrictionLevel::HighlyRestrictive);
    if !is_mixed && !skeleton(word).all(|character| character.is_ascii()) {
        return None;
    }
    let twin = foreign().find(|character| looks(*character).is_ascii());
    let culprit = twin.or_else(|| foreign().next())?;
    let code = u32::from(culprit);
    Some(match twin {
        Some(_) => format!("whose `{culprit}` (U+{code:04X}) only looks like `{}`", looks(culprit)),
        None => format!("whose `{culprit}` (U+{code:04X}) is of another script than the letters around it"),
    })
}

/// What a character may be mistaken for.
fn looks(character: char) -> String {
    skeleton(character.encode_utf8(&mut [0; 4])).collect()
}

/// A text in quotes: not too much of it, with nothing that a terminal would obey.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", shown(text))
}

/// A text that a sentence names: not too much of it, with nothing that a terminal would obey.
pub(crate) fn shown(text: &str) -> String {
    let mut start = String::new();
    for character in text.chars().take(QUOTED_CHARS_MAX) {
        match character {
            '\'' => start.push(character),
            other => start.extend(other.escape_debug()),
        }
    }
    if text.chars().nth(QUOTED_CHARS_MAX).is_some() {
        start.push('…');
    }
    start
}

/// A text as one line: line breaks and control characters become spaces, and what turns or hides text goes.
pub(crate) fn plain(text: &str) -> String {
    let spaced = text.chars().map(|character| if character.is_control() { ' ' } else { character });
    let kept: String = spaced.filter(|character| !is_format(*character)).collect();
    kept.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Characters that show nothing and change how others are shown: joiners, directions, soft hyphens, language tags.
const fn is_format(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_near_and_other_words_are_not() {
        let check = |written, expect| assert_eq!(nearest(written, ["models", "tools", "memory"].into_iter()), expect);
        check("modles", Some("models"));
        check("tool", Some("tools"));
        check("memories", Some("memory"));
        check("gpu", None);
        check(&"models".repeat(20), None);
    }

    #[test]
    fn look_alikes_are_named_and_other_languages_are_not() {
        let check = |text, expect: Option<&str>| assert_eq!(misleading(text).as_deref(), expect, "{text}");
        check("models", None);
        check("Übersicht", None);
        check("документы", None);
        check("данные/report.txt", None);
        check("書類copy", None);
        check("🙂 notes", None);
        check("аpi.example.com", Some("whose `а` (U+0430) only looks like `a`"));
        check("сосо", Some("whose `с` (U+0441) only looks like `c`"));
        check("docжs", Some("whose `ж` (U+0436) is of another script than the letters around it"));
        check("do\u{200b}cs", Some("which holds the invisible character U+200B"));
        assert_eq!(mistaken("mоdels", ["tools", "models"].into_iter()), Some("models"));
    }

    #[test]
    fn no_text_reaches_the_terminal() {
        assert_eq!(plain(" one\n\u{1b}[31mtwo\u{202e}\tthree "), "one [31mtwo three");
        assert_eq!(quoted("a\u{1b}\"\u{202e}'"), r#""a\u{1b}\"\u{202e}'""#);
        assert_eq!(shown(&"x".repeat(100)), format!("{}…", "x".repeat(64)));
    }
}
