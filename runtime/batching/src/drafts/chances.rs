//! How likely what is drafted comes: a mean of what came, for each range of lengths of the match before it, over a guess that counts
//! as some observations (a beta distribution whose past fades).

/// Ranges of lengths, by their lowest one; what is guessed of each before anything is known. Low, since looking costs nothing: a text
/// that copies shows it within a few tokens, and one that does not pays for no row behind a pair that it has twice by chance.
const RANGES: [(usize, f64); 4] = [(0, 0.2), (4, 0.4), (8, 0.6), (16, 0.75)];
/// As how many observations the guess counts. 4: a single one that came is enough to begin.
const GUESS_WEIGHT: f64 = 4.0;
/// What is left of an observation's weight after the next one. Of a text that turns from copying to writing half is forgotten after
/// some 20 tokens.
const FADE: f64 = 0.967;

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    came: f64,
    all: f64,
}

/// What came of one sequence's drafts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Chances([Seen; RANGES.len()]);

fn range(length: usize) -> usize {
    RANGES.iter().rposition(|(lowest, _)| length >= *lowest).unwrap_or_default()
}

impl Chances {
    /// That a token comes which is drafted behind so many that are the same; from 0 to 1, both excluded.
    pub(super) fn of(&self, length: usize) -> f64 {
        let range = range(length);
        let (Seen { came, all }, (_, guess)) = (self.0[range], RANGES[range]);
        (came + GUESS_WEIGHT * guess) / (all + GUESS_WEIGHT)
    }

    /// Whether one came.
    pub(super) fn learn(&mut self, length: usize, came: bool) {
        let seen = &mut self.0[range(length)];
        seen.came = seen.came * FADE + f64::from(u8::from(came));
        seen.all = seen.all * FADE + 1.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guess_gives_way_to_what_came() {
        let check = |length, came: &[bool], low: f64, high: f64| {
            let mut chances = Chances::default();
            came.iter().for_each(|came| chances.learn(length, *came));
            let chance = chances.of(length);
            assert!((low..=high).contains(&chance), "{chance} behind {length}");
        };
        for (lowest, guess) in RANGES {
            check(lowest, &[], guess, guess);
        }
        check(40, &[], 0.75, 0.75);
        check(2, &[true; 100], 0.89, 0.95);
        check(20, &[true; 100], 0.96, 0.98);
        check(20, &[false; 100], 0.08, 0.1);
        let turned: Vec<bool> = (0..100).map(|place| place < 80).collect();
        check(3, &turned, 0.4, 0.55);
    }
}
