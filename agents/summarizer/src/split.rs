//! Splits a document into parts of about equal size that a model can take, by the model's own token counts.
//!
//! - A part ends where a reader would pause: after a paragraph, else a line or sentence, else a word, else a character.
//! - Nothing is lost: the parts together are the document.
//! - Counting costs money, so paragraphs are counted once; only what is too large is halved and counted again.

/// Paragraphs are counted together up to this size: a sixth of a part or so, so that parts still come out even.
const PIECE_BYTES_MIN: usize = 512;

/// No tokenizer is this terse on real text. What is larger is halved without being counted, which also keeps every count
/// below the kernel's limit on a prompt.
const BYTES_PER_TOKEN_MAX: usize = 16;

/// A stretch of the document, by its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    end: usize,
    tokens: u32,
}

/// The ends of the parts of `text`, none of more than `limit` tokens as `count` counts them.
pub(crate) fn split<E>(text: &str, limit: u32, mut count: impl FnMut(&str) -> Result<u32, E>) -> Result<Vec<usize>, E> {
    let mut pieces = Vec::new();
    let mut begin = 0;
    for end in paragraphs(text) {
        measure(&text[begin..end], begin, limit, &mut count, &mut pieces)?;
        begin = end;
    }
    Ok(pack(&pieces, limit))
}

/// Ends of paragraphs with the blank lines behind them, small ones taken together.
fn paragraphs(text: &str) -> Vec<usize> {
    let mut ends = Vec::new();
    let (mut begin, mut at, mut blank) = (0, 0, false);
    for line in text.split_inclusive('\n') {
        let is_blank = line.trim().is_empty();
        if blank && !is_blank && at - begin >= PIECE_BYTES_MIN {
            ends.push(at);
            begin = at;
        }
        blank = is_blank;
        at += line.len();
    }
    if begin < text.len() {
        ends.push(text.len());
    }
    ends
}

/// Counts a stretch, or its halves where it is too large.
fn measure<E>(
    text: &str,
    begin: usize,
    limit: u32,
    count: &mut impl FnMut(&str) -> Result<u32, E>,
    pieces: &mut Vec<Piece>,
) -> Result<(), E> {
    let middle = halve(text);
    let countable = text.len() <= (limit as usize).saturating_mul(BYTES_PER_TOKEN_MAX);
    if countable || middle.is_none() {
        let tokens = count(text)?;
        if tokens <= limit || middle.is_none() {
            pieces.push(Piece { end: begin + text.len(), tokens });
            return Ok(());
        }
    }
    let (first, second) = text.split_at(middle.unwrap_or(text.len()));
    measure(first, begin, limit, count, pieces)?;
    measure(second, begin + first.len(), limit, count, pieces)
}

/// Where to cut a stretch in two: the best border near its middle. `None` for a single character.
fn halve(text: &str) -> Option<usize> {
    let (middle, nearest, furthest) = (text.len() / 2, text.len() / 3, text.len() - text.len() / 3);
    let (mut sentence, mut word) = (None, None);
    let nearer = |best: Option<usize>, at: usize| match best {
        Some(best) if middle.abs_diff(best) <= middle.abs_diff(at) => Some(best),
        _ => Some(at),
    };
    let window = text.floor_char_boundary(nearest)..text.ceil_char_boundary(furthest);
    let offset = window.start;
    let mut before = ' ';
    for (index, char) in text[window].char_indices() {
        let after = offset + index + char.len_utf8();
        if after < text.len() && char.is_whitespace() {
            word = nearer(word, after);
            if char == '\n' || ends_sentence(before) {
                sentence = nearer(sentence, after);
            }
        }
        before = char;
    }
    let character = || {
        let at = text.floor_char_boundary(middle);
        let at = if at == 0 { text.ceil_char_boundary(middle.max(1)) } else { at };
        (at < text.len()).then_some(at)
    };
    sentence.or(word).or_else(character)
}

const fn ends_sentence(char: char) -> bool {
    matches!(char, '.' | '!' | '?' | '…' | ';' | '。' | '！' | '？')
}

/// Packs pieces into as few parts as the limit allows, and into parts of about equal size.
fn pack(pieces: &[Piece], limit: u32) -> Vec<usize> {
    let total: u64 = pieces.iter().map(|piece| u64::from(piece.tokens)).sum();
    let parts = total.div_ceil(u64::from(limit).max(1)).max(1);
    let target = total.div_ceil(parts);
    let mut ends: Vec<usize> = Vec::new();
    let (mut held, mut end) = (0_u64, 0);
    for piece in pieces {
        let tokens = u64::from(piece.tokens);
        // A piece goes where more of it lies: before the target or behind it.
        let is_over = held + tokens > u64::from(limit) || held + tokens / 2 > target;
        if held > 0 && is_over {
            ends.push(end);
            held = 0;
        }
        held += tokens;
        end = piece.end;
    }
    if end > 0 {
        ends.push(end);
    }
    ends
}

/// How many of the first `sizes` go together into `limit`: at least two, so that joining always comes to an end.
pub(crate) fn group(sizes: &[u32], limit: u32) -> usize {
    let mut held = 0_u32;
    let fitting = sizes.iter().take_while(|size| {
        held = held.saturating_add(**size);
        held <= limit
    });
    fitting.count().max(2).min(sizes.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    /// A tokenizer of four bytes a token.
    fn bytes4(text: &str) -> Result<u32, Infallible> {
        Ok(u32::try_from(text.len().div_ceil(4)).expect("tests are small"))
    }

    fn parts(text: &str, limit: u32) -> Vec<&str> {
        let Ok(ends) = split(text, limit, bytes4);
        let mut begin = 0;
        let part = |end| {
            let part = &text[begin..end];
            begin = end;
            part
        };
        let parts: Vec<&str> = ends.into_iter().map(part).collect();
        assert_eq!(parts.concat(), text, "the parts are the document");
        for part in &parts {
            let Ok(tokens) = bytes4(part);
            assert!(tokens <= limit || part.chars().count() == 1, "{tokens} tokens and {limit} are the most");
        }
        parts
    }

    fn paragraph(words: usize) -> String {
        format!("{}end.\n\n", "word ".repeat(words))
    }

    #[test]
    fn a_document_that_fits_is_one_part() {
        assert_eq!(parts("One line.", 100), ["One line."]);
        assert_eq!(parts(&paragraph(300), 1000).len(), 1);
        assert!(parts("", 100).is_empty());
    }

    #[test]
    fn parts_end_between_paragraphs_and_are_even() {
        let document = paragraph(150).repeat(10);
        let parts = parts(&document, 500);
        assert_eq!(parts.len(), 5);
        assert!(parts.iter().all(|part| part.ends_with("end.\n\n") && part.len() == parts[0].len()), "{parts:?}");
    }

    #[test]
    fn a_long_paragraph_is_cut_between_sentences() {
        let document = "This is a sentence of some length. ".repeat(400);
        for part in parts(&document, 500) {
            assert!(part.ends_with("length. "), "{part:?}");
        }
    }

    #[test]
    fn a_long_sentence_is_cut_between_words() {
        for part in parts(&"word ".repeat(3000), 500) {
            assert!(part.ends_with("word "), "{part:?}");
        }
    }

    #[test]
    fn text_without_any_border_is_cut_between_characters() {
        assert!(parts(&"x".repeat(10_000), 500).len() >= 5);
        assert!(parts(&"ü".repeat(10_001), 500).len() >= 10);
        assert!(parts(&"字🦀".repeat(2_000), 333).len() >= 10);
        assert_eq!(parts("🦀🦀🦀", 0).len(), 3);
    }

    #[test]
    fn strange_texts_are_split_without_loss() {
        for text in ["\n\n\n", " ", "\r\n\r\na\r\n\r\n", "\u{0}", "a\u{300}\u{301}", ".\n.\n.\n", "\n\na"] {
            for limit in [0, 1, 2, 100] {
                parts(text, limit);
            }
        }
    }

    #[test]
    fn what_is_counted_is_near_the_documents_size() {
        let document = format!("{}{}", paragraph(150).repeat(40), paragraph(5).repeat(200));
        let (mut calls, mut bytes) = (0, 0);
        let ends: Result<Vec<usize>, Infallible> = split(&document, 500, |text| {
            (calls, bytes) = (calls + 1, bytes + text.len());
            bytes4(text)
        });
        let Ok(ends) = ends;
        assert!(ends.len() > 10);
        assert_eq!(bytes, document.len(), "each byte is counted once");
        assert!(calls < 60, "{calls} calls");
    }

    #[test]
    fn a_failed_count_ends_it() {
        assert_eq!(split("text", 10, |_| Err("no money")), Err("no money"));
    }

    #[test]
    fn groups_have_two_at_least() {
        assert_eq!(group(&[10, 10, 10, 10], 30), 3);
        assert_eq!(group(&[50, 50, 50], 30), 2);
        assert_eq!(group(&[50], 30), 1);
        assert_eq!(group(&[], 30), 0);
        assert_eq!(group(&[u32::MAX, u32::MAX], u32::MAX), 2);
    }
}
