//! In which pieces a sequence's tokens were computed, so that they can be computed again to the same bits.
//!
//! A prompt is cut into pieces by itself (see `schedule`), and output is computed one token a step, which is the same as
//! some tokens a step. So what has to be known of a sequence is how much of its prompt was at hand when it began: a
//! [`Segment`]. What was at hand is part of another sequence, with segments of its own.
//!
//! Where a prompt goes on from the middle of another's piece, computing that again takes the piece's size and not its
//! tokens: a position's numbers depend on those before it. So the piece is filled up with any token, and cut off again.

use super::schedule::chunk;
use crate::model::linear;

/// Tokens that were computed for one sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    /// Tokens that were at hand.
    begin: usize,
    /// Tokens of its prompt, with those.
    prompt: usize,
}

/// How the tokens of a sequence were computed, or are to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct History {
    /// Of rising beginnings; the last one is the sequence's own. Never empty.
    segments: Vec<Segment>,
}

/// Pending tokens to compute in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) tokens: usize,
    /// Any tokens behind them, so that the piece has the size that it had.
    pub(super) padding: usize,
}

impl History {
    /// A prompt of which nothing is at hand.
    pub(super) fn new(prompt: usize) -> Self {
        Self { segments: vec![Segment { begin: 0, prompt }] }
    }

    /// A prompt that goes on from the first `found` tokens of a sequence with this history.
    pub(super) fn continued(&self, found: usize, prompt: usize) -> Self {
        let earlier = self.segments.iter().filter(|segment| segment.begin < found);
        let own = Segment { begin: found, prompt };
        Self { segments: earlier.copied().chain([own]).collect() }
    }

    /// What to compute next of `known` tokens, of which `done` are computed and at least one is not: `most` tokens in whole
    /// pieces of `piece`, or one piece.
    pub(super) fn next(&self, done: usize, known: usize, most: usize, piece: usize) -> Piece {
        let later = self.segments.iter().position(|segment| segment.begin > done);
        let of = later.unwrap_or(self.segments.len()).saturating_sub(1);
        // Where the numbers of this segment are not used any more.
        let stop = later.map_or(known, |later| self.segments[later].begin).min(known);
        let Segment { prompt, .. } = self.segments[of];
        if done >= prompt {
            return Piece { tokens: (stop - done).min(linear::ROWS_MAX), padding: 0 };
        }
        let whole = done + chunk(done, prompt - done, most, piece);
        if whole <= stop {
            return Piece { tokens: whole - done, padding: 0 };
        }
        // Several pieces at once are the same as one after the other: no more of them than are needed.
        let end = done + chunk(done, prompt - done, piece, piece);
        let few = end - done <= linear::ROWS_MAX;
        Piece { tokens: end.min(stop) - done, padding: if few { 0 } else { end.saturating_sub(stop) } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The (begin, tokens, padding) of all pieces.
    fn pieces(history: &History, known: usize, most: usize) -> Vec<(usize, usize, usize)> {
        let mut done = 0;
        let mut pieces = Vec::new();
        while done < known {
            let Piece { tokens, padding } = history.next(done, known, most, 32);
            pieces.push((done, tokens, padding));
            done += tokens;
        }
        pieces
    }

    #[test]
    fn output_is_computed_in_few_rows() {
        let history = History::new(40);
        assert_eq!(pieces(&history, 40, 128), [(0, 32, 0), (32, 8, 0)]);
        assert_eq!(pieces(&history, 52, 128), [(0, 32, 0), (32, 8, 0), (40, 8, 0), (48, 4, 0)]);
    }

    #[test]
    fn what_was_at_hand_is_computed_as_it_was() {
        // All of the other's prompt and some of its output.
        let history = History::new(40).continued(45, 90);
        assert_eq!(
            pieces(&history, 93, 128),
            [(0, 32, 0), (32, 8, 0), (40, 5, 0), (45, 19, 0), (64, 25, 0), (89, 1, 0), (90, 3, 0)]
        );
        // A part of a piece.
        let history = History::new(100).continued(50, 90);
        for most in [32, 128] {
            assert_eq!(pieces(&history, 90, most), [(0, 32, 0), (32, 18, 14), (50, 14, 0), (64, 25, 0), (89, 1, 0)]);
        }
        // Of few rows each is alike, whatever the others are.
        let history = History::new(36).continued(34, 60);
        assert_eq!(pieces(&history, 60, 32), [(0, 32, 0), (32, 2, 0), (34, 25, 0), (59, 1, 0)]);
        // Of a sequence that had gone on from another itself.
        let history = History::new(100).continued(50, 90).continued(60, 70).continued(40, 80);
        assert_eq!(history, History::new(100).continued(40, 80));
    }

    proptest::proptest! {
        /// Whatever went on from what, all is computed once, and a segment's numbers come from the pieces that made them.
        #[test]
        fn pieces_are_those_that_were(lengths in proptest::collection::vec((1..200usize, 0..40usize, 0..240usize), 1..6), most: bool) {
            let mut history = History::new(lengths[0].0);
            // The sequence so far: (end of the piece that computed it, whether in few rows), for each position.
            let compute = |history: &History, mut made: Vec<(usize, bool)>, known: usize, most: usize| {
                while made.len() < known {
                    let Piece { tokens, padding } = history.next(made.len(), known, most, 32);
                    let (begin, size) = (made.len(), tokens + padding);
                    for at in begin..begin + tokens {
                        let cut = (at - at % 32 + 32).min(begin + size);
                        made.push(if size <= linear::ROWS_MAX { (at + 1, true) } else { (cut, false) });
                    }
                }
                made
            };
            let mut known = lengths[0].0 + lengths[0].1;
            let mut made = compute(&history, Vec::new(), known, 32);
            for (prompt, output, found) in &lengths[1..] {
                let found = (*found).min(known - 1).max(1);
                history = history.continued(found, found + prompt);
                known = found + prompt + output;
                made.truncate(found);
                made = compute(&history, made, known, if most { 128 } else { 32 });
            }
            let again = compute(&history, Vec::new(), known, if most { 32 } else { 128 });
            proptest::prop_assert_eq!(again, made);
        }
    }
}
