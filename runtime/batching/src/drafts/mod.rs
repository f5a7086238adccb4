//! Speculation without a second model: what a sequence wrote before is what it may write again.
//!
//! Agents copy: a file with one line changed, the arguments of a call from its schema, a name from a document. Where the last tokens
//! were there before, those that came behind them then are drafted now (prompt lookup decoding, Saxena 2023; "Inference with
//! Reference", Yang et al. 2023), and the model computes them all in one step with the token that it would compute anyway. What
//! it draws at each place decides, by the same draw as without, so that drafts change how long a text takes and never the text.
//!
//! | part | decides | knows |
//! | --- | --- | --- |
//! | `lookup` | what may come next | the sequence's tokens |
//! | `chances` | how likely each of these comes | which of them came so far |
//! | [`Batcher::speculate`](crate::Batcher::speculate) | how many are worth their rows | how long steps take, and who else is in them |
//!
//! Principles:
//!
//! - Looking costs a bounded time for each token, and no memory but what is in proportion to the tokens.
//! - What was drafted is held against what came, also where it was not worth computing. So a sequence that begins to copy is found
//!   out at no price, and one that does not copy pays nothing for having been asked to speculate.
//! - A draft is a guess about tokens alone. Whoever knows that some of it cannot come cuts it there, before it is proposed.

mod chances;
mod lookup;

use chances::Chances;
use lookup::Lookup;

/// Tokens of a draft, at most. 15: with the token before them a block. Where each comes with a chance of 0.95, the sixteenth does with
/// less than a half.
pub const DRAFT_MAX: usize = 15;

/// What drafts for one sequence.
#[derive(Debug, Default)]
pub struct Drafter {
    lookup: Lookup,
    chances: Chances,
    tokens: Vec<u32>,
    likely: Vec<f64>,
    /// How many tokens stood before the draft.
    known: usize,
    /// How many of these were the same where it was found.
    length: usize,
}

/// Tokens that may come next, and of each the chance that it does where those before it did.
#[derive(Clone, Copy, Debug)]
pub struct Draft<'a> {
    /// At most [`DRAFT_MAX`].
    pub tokens: &'a [u32],
    /// From 0 to 1, as many.
    pub chances: &'a [f64],
}

impl<'a> Draft<'a> {
    /// Its first tokens.
    #[must_use]
    pub fn first(self, count: usize) -> Self {
        let count = count.min(self.tokens.len());
        Self { tokens: &self.tokens[..count], chances: &self.chances[..count] }
    }
}

impl Drafter {
    /// What may come behind these tokens, which are all of a sequence: those of the call before, and what was drawn since.
    pub fn draft(&mut self, tokens: &[u32]) -> Draft<'_> {
        self.learn(tokens);
        self.tokens.clear();
        self.likely.clear();
        self.known = tokens.len();
        if let Some(found) = self.lookup.find(tokens) {
            self.length = found.length;
            for place in found.place..found.place + DRAFT_MAX {
                // What repeats itself goes on into the draft.
                let token = tokens.get(place).or_else(|| self.tokens.get(place - tokens.len())).copied();
                self.likely.push(self.chances.of(found.length + self.tokens.len()));
                self.tokens.extend(token);
            }
        }
        Draft { tokens: &self.tokens, chances: &self.likely }
    }

    /// Holds the last draft against what came.
    fn learn(&mut self, tokens: &[u32]) {
        let came = tokens.get(self.known..).unwrap_or_default();
        for (place, (drafted, came)) in self.tokens.iter().zip(came).enumerate() {
            self.chances.learn(self.length + place, drafted == came);
            if drafted != came {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `output` come first in the drafts, step by step, where those that come are taken; and how many steps that takes.
    fn taken(prompt: &[u32], output: &[u32]) -> (usize, usize) {
        let mut drafter = Drafter::default();
        let mut tokens = prompt.to_vec();
        let end = prompt.len() + output.len();
        let all = [prompt, output].concat();
        let (mut taken, mut steps) = (0, 0);
        while tokens.len() < end {
            let draft = drafter.draft(&tokens);
            assert_eq!(draft.tokens.len(), draft.chances.len());
            assert!(draft.chances.iter().all(|chance| (0.0..=1.0).contains(chance)));
            let right = draft.tokens.iter().zip(&all[tokens.len()..]).take_while(|(a, b)| a == b).count();
            taken += right;
            steps += 1;
            tokens = all[..(tokens.len() + right + 1).min(end)].to_vec();
        }
        (taken, steps)
    }

    #[test]
    fn a_copy_is_drafted_and_a_new_text_is_not() {
        let words: Vec<u32> = (100..200).collect();
        let check = |output: &[u32], expect| assert_eq!(taken(&words, output), expect, "{output:?}");
        // Two tokens have to be there before anything is found.
        check(&words[20..52], (29, 4));
        check(&[&words[..10], &[1], &words[10..20]].concat(), (16, 6));
        check(&[7; 40], (35, 6));
        check(&(300..330).collect::<Vec<u32>>(), (0, 30));
    }

    #[test]
    fn chances_follow_what_came() {
        let words: Vec<u32> = (0..60).collect();
        let mut drafter = Drafter::default();
        let mut tokens = words.clone();
        let mut chances = Vec::new();
        for token in &words {
            tokens.push(*token);
            chances.extend(drafter.draft(&tokens).chances.first().copied());
        }
        assert!(chances.last() > Some(&0.95), "{chances:?}");
        // A pair that was there before, each time with another token behind.
        for token in 100..160 {
            tokens.extend([5, 6]);
            chances.extend(drafter.draft(&tokens).chances.first().copied());
            tokens.push(token);
        }
        assert!(chances.last() < Some(&0.1), "{chances:?}");
    }
}
