//! Citations in what a model wrote: `[2: "the words"]` is a quotation of the second passage.

/// A piece of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// Its own words.
    Plain(&'a str),
    /// A quotation.
    Quoted {
        /// Of which passage, from 1 on.
        passage: usize,
        /// What is said to stand there.
        words: &'a str,
    },
}

/// An answer in pieces. What is no citation is plain text, brackets included.
pub(crate) fn pieces(answer: &str) -> Vec<Piece<'_>> {
    let (mut pieces, mut rest, mut looked) = (Vec::new(), answer, 0);
    while let Some(begin) = rest[looked..].find('[').map(|found| looked + found) {
        let Some((quoted, length)) = quoted(&rest[begin..]) else {
            looked = begin + 1;
            continue;
        };
        if begin > 0 {
            pieces.push(Piece::Plain(&rest[..begin]));
        }
        pieces.push(quoted);
        (rest, looked) = (&rest[begin + length..], 0);
    }
    if !rest.is_empty() {
        pieces.push(Piece::Plain(rest));
    }
    pieces
}

/// The citation that a text begins with, and its length in bytes.
fn quoted(text: &str) -> Option<(Piece<'_>, usize)> {
    let (number, rest) = text.strip_prefix('[')?.split_once(':')?;
    let passage = number.trim().parse().ok()?;
    let begin = rest.trim_start().strip_prefix('"')?;
    let (words, _) = begin.split_once("\"]")?;
    let length = text.len() - begin.len() + words.len() + "\"]".len();
    Some((Piece::Quoted { passage, words }, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn citations_are_found_between_words_and_nothing_else_is_one() {
        let check = |answer, expect: &[Piece<'_>]| assert_eq!(pieces(answer), expect, "{answer}");
        let cited = |passage, words| Piece::Quoted { passage, words };
        check("", &[]);
        check("No.", &[Piece::Plain("No.")]);
        check("[1: \"a b\"]", &[cited(1, "a b")]);
        check(
            "Yes [1:\"a\"] and [ 12 : \"b: c\"].",
            &[Piece::Plain("Yes "), cited(1, "a"), Piece::Plain(" and "), cited(12, "b: c"), Piece::Plain(".")],
        );
        for plain in ["[1]", "[x: \"a\"]", "[1: a]", "[1: \"a\"", "[[", "[-1: \"a\"]", "a]b["] {
            check(plain, &[Piece::Plain(plain)]);
        }
        check("[x] [2: \"é\"]", &[Piece::Plain("[x] "), cited(2, "é")]);
    }
}
