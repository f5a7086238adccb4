//! Splits a text into parts of about equal size, where a reader would pause.
//!
//! - A part ends after a paragraph; after a line where the text has one paragraph; inside one only where it is longer than
//!   a part may be.
//! - Nothing is lost: the parts together are the text.

/// What a small model takes well: a page. No tokenizer makes more tokens than there are bytes, so that a part and its
/// answer fit the context of any model.
pub(crate) const PART_BYTES_MAX: usize = 1800;

/// The ends of the parts of `text`, about `parts` of them, or more where one would be longer than [`PART_BYTES_MAX`].
pub(crate) fn split(text: &str, parts: usize) -> Vec<usize> {
    let target = text.len().div_ceil(parts.max(1)).min(PART_BYTES_MAX);
    let mut ends = Vec::new();
    let mut begin = 0;
    let mut at = 0;
    for end in pieces(text) {
        let (without, with) = (at - begin, end - begin);
        let is_full = with > PART_BYTES_MAX || with > target && target.abs_diff(without) < with - target;
        if is_full && without > 0 {
            ends.push(at);
            begin = at;
        }
        at = end;
    }
    if begin < text.len() {
        ends.push(text.len());
    }
    ends
}

/// The ends of what is kept together.
fn pieces(text: &str) -> Vec<usize> {
    let paragraphs = paragraphs(text);
    let wanted = if paragraphs.len() > 1 { paragraphs } else { lines(text) };
    let mut ends = Vec::new();
    let mut begin = 0;
    for end in wanted {
        while end - begin > PART_BYTES_MAX {
            begin += cut(&text[begin..end]);
            ends.push(begin);
        }
        ends.push(end);
        begin = end;
    }
    ends
}

/// Ends of lines.
fn lines(text: &str) -> Vec<usize> {
    let mut at = 0;
    text.split_inclusive('\n')
        .map(|line| {
            at += line.len();
            at
        })
        .collect()
}

/// Ends of paragraphs, with the blank lines behind them.
fn paragraphs(text: &str) -> Vec<usize> {
    let mut ends = Vec::new();
    let (mut at, mut is_blank) = (0, false);
    for line in text.split_inclusive('\n') {
        let was_blank = std::mem::replace(&mut is_blank, line.trim().is_empty());
        if was_blank && !is_blank && at > 0 {
            ends.push(at);
        }
        at += line.len();
    }
    if at > 0 {
        ends.push(at);
    }
    ends
}

/// Where to cut a text that is too long: behind the last space that fits, else behind the last character.
fn cut(text: &str) -> usize {
    let most = text.floor_char_boundary(PART_BYTES_MAX);
    let space = text[..most].rfind(char::is_whitespace).map(|at| text.ceil_char_boundary(at + 1));
    space.unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, parts: usize, expect: &[&str]) {
        let mut begin = 0;
        let split: Vec<&str> = split(text, parts)
            .into_iter()
            .map(|end| {
                let part = &text[begin..end];
                begin = end;
                part
            })
            .collect();
        assert_eq!(split, expect, "{text:?}");
    }

    #[test]
    fn a_list_is_split_at_its_lines() {
        check("one?\ntwo?\nsix?\nten?", 4, &["one?\n", "two?\n", "six?\n", "ten?"]);
        check("one?\ntwo?\nsix?\nten?", 2, &["one?\ntwo?\n", "six?\nten?"]);
        check("a rather long question?\nb?\nc?", 3, &["a rather long question?\n", "b?\nc?"]);
    }

    #[test]
    fn a_document_is_split_at_its_paragraphs() {
        check("a\nb\n\nc\nd\n\n\ne", 3, &["a\nb\n\n", "c\nd\n\n\n", "e"]);
        check("one line", 4, &["one line"]);
        check("", 4, &[]);
    }

    #[test]
    fn no_part_is_longer_than_a_part_may_be_and_nothing_is_lost() {
        for piece in ["x", "word ", "ü", "line\n", "a paragraph\n\n", "🙂"] {
            for parts in [0, 1, 4, 1000] {
                let text = piece.repeat(5000);
                let ends = split(&text, parts);
                let mut begin = 0;
                for &end in &ends {
                    assert!(begin < end && end - begin <= PART_BYTES_MAX, "{piece:?}: {begin}..{end}");
                    assert!(text.is_char_boundary(end));
                    begin = end;
                }
                assert_eq!(begin, text.len());
            }
        }
    }
}
