//! What a prompt has beyond the tokens of its pieces: a chat template's words around each, and around all.
//!
//! It is learnt from prompts that were counted, as a line: so much in all, and so much for each piece. The line goes through the last
//! count, so that what was counted is what is expected of the same pieces again; and through the one before, where that had another number
//! of pieces. It is never below zero: of pieces that together have fewer tokens than each alone, too much is expected rather than too little.

use serde::{Deserialize, Serialize};

/// Steps of the slope. A thousandth of a token is 10 tokens with 10,000 pieces.
const STEPS: u64 = 1_000;

/// A prompt that was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Count {
    pieces: u64,
    /// Beyond the tokens of the pieces.
    surplus: u64,
}

/// The learnt line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Overhead {
    in_all: u64,
    /// For each piece, in [`STEPS`] of a token.
    each: u64,
    last: Option<Count>,
}

impl Overhead {
    /// Of so many pieces.
    pub(crate) fn of(&self, pieces: u64) -> u64 {
        self.in_all.saturating_add(self.each.saturating_mul(pieces).div_ceil(STEPS))
    }

    /// Of one more piece.
    pub(crate) fn of_one(&self) -> u64 {
        self.each.div_ceil(STEPS)
    }

    /// Whether counts of 32 bits can have come to it.
    pub(crate) fn is_plausible(&self) -> bool {
        let most = u64::from(u32::MAX);
        self.in_all <= most && self.each <= most * STEPS
    }

    /// So many pieces with so many tokens were counted as a prompt.
    pub(crate) fn learn(&mut self, pieces: u64, tokens: u64, measured: u64) {
        let count = Count { pieces, surplus: measured.saturating_sub(tokens) };
        let all_by_pieces = (count.surplus.saturating_mul(STEPS)).checked_div(pieces).unwrap_or(0);
        self.each = match self.last {
            None => all_by_pieces,
            Some(last) => slope(last, count).unwrap_or(self.each).min(all_by_pieces),
        };
        self.in_all = 0;
        self.in_all = count.surplus.saturating_sub(self.of(pieces));
        self.last = Some(count);
    }
}

/// Of the line through two counts; 0 where it would fall, `None` where there is none.
fn slope(one: Count, other: Count) -> Option<u64> {
    let (few, many) = if one.pieces < other.pieces { (one, other) } else { (other, one) };
    let rise = many.surplus.saturating_sub(few.surplus);
    rise.saturating_mul(STEPS).checked_div(many.pieces - few.pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_that_is_a_line_is_known_after_two_prompts() {
        let template = |pieces: u64| 11 + 4 * pieces;
        let mut overhead = Overhead::default();
        overhead.learn(100, 5_000, 5_000 + template(100));
        assert_eq!(overhead.of(100), template(100));
        overhead.learn(10, 500, 500 + template(10));
        for pieces in [0, 1, 10, 50, 10_000] {
            assert_eq!(overhead.of(pieces), template(pieces), "{pieces} pieces");
        }
    }

    #[test]
    fn what_was_counted_is_expected_again() {
        let mut overhead = Overhead::default();
        let counts =
            [(3, 100, 130), (3, 100, 90), (7, 10, 10), (0, 0, 9), (1, 0, u64::MAX), (5, u64::MAX, 0), (4, 9, 20)];
        for (pieces, tokens, measured) in counts {
            overhead.learn(pieces, tokens, measured);
            let expected = u64::max(measured, tokens);
            assert_eq!(tokens + overhead.of(pieces), expected, "{pieces} pieces: {overhead:?}");
        }
    }
}
