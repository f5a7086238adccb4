//! Where the tokens of a step lie in its tensors, and to what sizes tensors are padded on a device.
//!
//! On the CPU a row is a token, one span behind the other. A device compiles some of its programs for the shapes that
//! they meet, the first time they meet one; there sizes are rounded up, so that there are few:
//!
//! | size | is rounded up to | so there are |
//! | --- | --- | --- |
//! | rows of a span | a power of two | 8 for chunks of up to 128 tokens |
//! | rows of a step | a power of two | as many |
//! | rows of logits, rows of an expert | a power of two | 4 for 8 sequences; 8 |
//!
//! A padded row is a token of the vocabulary at the positions behind its span. Its numbers are finite and nobody
//! reads them: it writes no keys, its logits are not asked for, and a router passes over it.

use std::ops::Range;

/// The rows of one span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) begin: usize,
    /// Those of tokens; they come first.
    pub(super) tokens: usize,
    /// With those that pad them.
    pub(super) padded: usize,
}

impl Place {
    /// The rows of its tokens.
    pub(super) fn live(&self) -> Range<usize> {
        self.begin..self.begin + self.tokens
    }
}

/// The rows of a step.
#[derive(Debug)]
pub(super) struct StepRows {
    pub(super) places: Vec<Place>,
    /// Of all spans, with those that pad them.
    pub(super) total: usize,
}

impl StepRows {
    /// One row for each token.
    pub(super) fn packed(tokens: impl Iterator<Item = usize>) -> Self {
        Self::place(tokens, |tokens| tokens)
    }

    /// Each span padded, and all of them.
    pub(super) fn padded(tokens: impl Iterator<Item = usize>) -> Self {
        let rows = Self::place(tokens, usize::next_power_of_two);
        Self { total: rows.total.next_power_of_two(), ..rows }
    }

    fn place(tokens: impl Iterator<Item = usize>, padded: impl Fn(usize) -> usize) -> Self {
        let mut total = 0;
        let place = |tokens| {
            let place = Place { begin: total, tokens, padded: padded(tokens) };
            total += place.padded;
            place
        };
        let places = tokens.map(place).collect();
        Self { places, total }
    }

    /// The rows of tokens, in order.
    pub(super) fn live(&self) -> impl Iterator<Item = usize> {
        self.places.iter().flat_map(Place::live)
    }

    /// The tokens of all rows; the first of the vocabulary pads them.
    pub(super) fn tokens<'a>(&self, spans: impl Iterator<Item = &'a [u32]>) -> Vec<usize> {
        let mut tokens = vec![0; self.total];
        for (place, span) in self.places.iter().zip(spans) {
            tokens[place.live()].iter_mut().zip(span).for_each(|(to, token)| *to = *token as usize);
        }
        tokens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_placed() {
        let check = |rows: &StepRows, places: &[(usize, usize, usize)], total| {
            let found: Vec<_> = rows.places.iter().map(|place| (place.begin, place.tokens, place.padded)).collect();
            assert_eq!((found.as_slice(), rows.total), (places, total));
        };
        let counts = [3, 1, 4];
        let packed = StepRows::packed(counts.into_iter());
        check(&packed, &[(0, 3, 3), (3, 1, 1), (4, 4, 4)], 8);
        assert_eq!(packed.live().collect::<Vec<_>>(), (0..8).collect::<Vec<_>>());
        let padded = StepRows::padded(counts.into_iter());
        check(&padded, &[(0, 3, 4), (4, 1, 1), (5, 4, 4)], 16);
        assert_eq!(padded.live().collect::<Vec<_>>(), [0, 1, 2, 4, 5, 6, 7, 8]);
        let spans = [&[1, 2, 3][..], &[4], &[5, 6, 7, 8]];
        assert_eq!(padded.tokens(spans.into_iter())[..10], [1, 2, 3, 0, 4, 5, 6, 7, 8, 0]);
    }
}
