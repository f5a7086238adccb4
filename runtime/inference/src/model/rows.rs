//! Where the tokens of a step lie in its tensors, and to what sizes tensors are padded on a device.
//!
//! A row is a token, one span behind the other. A device compiles some of its programs for the shapes that they meet,
//! the first time they meet one; there sizes are rounded up, so that there are few:
//!
//! | size | is rounded up to | so there are |
//! | --- | --- | --- |
//! | rows of a step | a power of two | 8 for chunks of up to 128 tokens |
//! | rows of logits, rows of an expert | a power of two | 4 for 8 sequences; 8 |
//!
//! A padded row is a token of the vocabulary, behind all others. Its numbers are finite and nobody reads them: it writes
//! no keys and sees none, its logits are not asked for, and a router passes over it.

use std::ops::Range;

/// The rows of a step.
#[derive(Debug)]
pub(super) struct StepRows {
    /// Of each span.
    pub(super) spans: Vec<Range<usize>>,
    /// With those that pad them.
    pub(super) total: usize,
}

impl StepRows {
    /// One row for each token.
    pub(super) fn packed(tokens: impl Iterator<Item = usize>) -> Self {
        let mut total = 0;
        let place = |tokens| {
            let begin = total;
            total += tokens;
            begin..total
        };
        let spans = tokens.map(place).collect();
        Self { spans, total }
    }

    /// The same, and rows that pad them.
    pub(super) fn padded(tokens: impl Iterator<Item = usize>) -> Self {
        let rows = Self::packed(tokens);
        Self { total: rows.total.next_power_of_two(), ..rows }
    }

    /// How many rows are tokens; they come first.
    pub(super) fn live(&self) -> usize {
        self.spans.last().map_or(0, |span| span.end)
    }

    /// The tokens of all rows; the first of the vocabulary pads them.
    pub(super) fn tokens<'a>(&self, spans: impl Iterator<Item = &'a [u32]>) -> Vec<usize> {
        let mut tokens: Vec<usize> = spans.flatten().map(|token| *token as usize).collect();
        tokens.resize(self.total, 0);
        tokens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_placed() {
        let check = |rows: &StepRows, total: usize, tokens: &[usize]| {
            assert_eq!(rows.spans, [0..3, 3..4, 4..9]);
            assert_eq!((rows.live(), rows.total), (9, total));
            let spans = [&[1, 2, 3][..], &[4], &[5, 6, 7, 8, 9]];
            assert_eq!(rows.tokens(spans.into_iter()), tokens);
        };
        let counts = [3, 1, 5];
        check(&StepRows::packed(counts.into_iter()), 9, &[1, 2, 3, 4, 5, 6, 7, 8, 9]);
        let padded = [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0, 0, 0, 0, 0, 0];
        check(&StepRows::padded(counts.into_iter()), 16, &padded);
    }
}
