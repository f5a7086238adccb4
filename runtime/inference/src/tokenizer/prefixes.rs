//! Which pieces a text begins with.

/// Pieces, sorted: those that begin with the same bytes stand together, so that one walk over a text narrows them down.
#[derive(Debug, Default)]
pub(super) struct Prefixes {
    pieces: Vec<(Box<[u8]>, u32)>,
    /// `pieces[starts[b]..starts[b + 1]]` begin with byte b.
    starts: Vec<u32>,
}

impl Prefixes {
    /// Empty pieces are left out; of equal ones the first counts.
    pub(super) fn new<'t>(pieces: impl Iterator<Item = (&'t str, u32)>) -> Self {
        let mut pieces: Vec<(Box<[u8]>, u32)> =
            pieces.filter(|(text, _)| !text.is_empty()).map(|(text, id)| (text.as_bytes().into(), id)).collect();
        pieces.sort_by(|a, b| a.0.cmp(&b.0));
        pieces.dedup_by(|later, earlier| later.0 == earlier.0);
        let start_of = |byte| pieces.partition_point(|(piece, _)| u16::from(piece[0]) < byte) as u32;
        let starts = (0..=256).map(start_of).collect();
        Self { pieces, starts }
    }

    /// Gives the length and the id of every piece that the text begins with, shortest first.
    pub(super) fn each(&self, text: &[u8], mut found: impl FnMut(usize, u32)) {
        let Some(first) = text.first() else { return };
        let bound = |byte: usize| self.starts.get(byte).map_or(0, |start| *start as usize);
        let mut candidates = &self.pieces[bound(usize::from(*first))..bound(usize::from(*first) + 1)];
        for depth in 1.. {
            // All candidates share the first `depth` bytes of the text; the one that is no longer stands first.
            if let Some((piece, id)) = candidates.first()
                && piece.len() == depth
            {
                found(depth, *id);
                candidates = &candidates[1..];
            }
            let (Some(byte), false) = (text.get(depth), candidates.is_empty()) else { return };
            let begin = candidates.partition_point(|(piece, _)| piece[depth] < *byte);
            let end = candidates.partition_point(|(piece, _)| piece[depth] <= *byte);
            candidates = &candidates[begin..end];
        }
    }

    /// The longest piece that the text begins with: its length and its id.
    pub(super) fn longest(&self, text: &[u8]) -> Option<(usize, u32)> {
        let mut longest = None;
        self.each(text, |length, id| longest = Some((length, id)));
        longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &[(usize, u32)]) {
        let prefixes =
            Prefixes::new([("b", 0), ("ab", 1), ("a", 2), ("abc", 3), ("", 4), ("ab", 5), ("é", 6)].into_iter());
        let mut found = Vec::new();
        prefixes.each(text.as_bytes(), |length, id| found.push((length, id)));
        assert_eq!(found, expect, "{text}");
        assert_eq!(prefixes.longest(text.as_bytes()), expect.last().copied());
    }

    #[test]
    fn finds_every_piece_that_a_text_begins_with() {
        check("abd", &[(1, 2), (2, 1)]);
        check("abcabc", &[(1, 2), (2, 1), (3, 3)]);
        check("b", &[(1, 0)]);
        check("éa", &[(2, 6)]);
        check("c", &[]);
        check("", &[]);
    }
}
