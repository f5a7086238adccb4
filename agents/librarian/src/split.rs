//! Passages of a document: whole paragraphs while they are short, so that one vector stands for one thing.

/// Some hundred words.
const PASSAGE_BYTES_MAX: usize = 800;

/// A document's passages, in its order; none of blank text. Each stands in it byte by byte.
pub(crate) fn passages(text: &str) -> Vec<&str> {
    let mut passages = Vec::new();
    for paragraph in text.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty()) {
        let mut rest = paragraph;
        while rest.len() > PASSAGE_BYTES_MAX {
            let most = rest.floor_char_boundary(PASSAGE_BYTES_MAX);
            let cut = rest[..most].rfind(char::is_whitespace).filter(|cut| *cut > 0).unwrap_or(most);
            let (passage, behind) = rest.split_at(cut);
            passages.push(passage.trim_end());
            rest = behind.trim_start();
        }
        if !rest.is_empty() {
            passages.push(rest);
        }
    }
    passages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_are_passages_and_long_ones_are_cut_between_words() {
        assert_eq!(passages(" \n\n\n"), [""; 0]);
        assert_eq!(passages("one\ntwo\n\n\n three "), ["one\ntwo", "three"]);
        let long = "word ".repeat(400);
        let cut = passages(&long);
        assert!(cut.len() > 1 && cut.iter().all(|passage| passage.len() <= PASSAGE_BYTES_MAX), "{cut:?}");
        assert_eq!(cut.join(" "), long.trim());
        let unbroken = "é".repeat(1000);
        assert_eq!(passages(&unbroken).concat(), unbroken);
    }
}
