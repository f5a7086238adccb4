//! Where the last tokens of a sequence were before: a chain through all places of each pair of tokens, as compressors of the family
//! of LZ77 have it (RFC 1951, section 4).

use std::collections::HashMap;

/// Tokens that have to be the same, at least. 2: one is the same too often by chance.
pub(super) const PAIR: usize = 2;
/// Tokens that are compared, at most: of longer matches none is better than another. 32: two blocks.
pub(super) const LENGTH_MAX: usize = 32;
/// Places that are looked at, the latest first. 8: behind a pair as frequent as a comma and a blank the right one may be missed, and
/// the place that the last draft came from is looked at besides.
pub(super) const PLACES_MAX: usize = 8;

/// Where to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Of the token that came next then.
    pub(super) place: usize,
    /// How many tokens before it are the same as the last ones, at most [`LENGTH_MAX`].
    pub(super) length: usize,
}

/// All pairs of a sequence's tokens. Four bytes a token, and some dozen for each pair.
#[derive(Debug, Default)]
pub(super) struct Lookup {
    /// Behind which tokens each pair stands last.
    last: HashMap<[u32; PAIR], u32>,
    /// Of the pair that ends behind so many tokens, the place before; 0 where there is none.
    earlier: Vec<u32>,
    /// What was found last, behind how many tokens.
    followed: Option<(Found, usize)>,
}

impl Lookup {
    /// The longest match of the last of these tokens; of equal ones the one that goes on where the last match did, or the latest.
    /// The tokens are those of the call before, and more.
    pub(super) fn find(&mut self, tokens: &[u32]) -> Option<Found> {
        self.enter(tokens);
        let at = |place: usize| Found { place, length: length(tokens, place) };
        let follows = self.followed.map(|(found, known)| found.place + (tokens.len() - known));
        let mut best = follows.filter(|place| *place < tokens.len()).map(at).filter(|found| found.length >= PAIR);
        let mut place = self.earlier.get(tokens.len()).copied().unwrap_or_default() as usize;
        for _ in 0..PLACES_MAX {
            if place == 0 || best.is_some_and(|best| best.length == LENGTH_MAX) {
                break;
            }
            let found = at(place);
            if best.is_none_or(|best| best.length < found.length) {
                best = Some(found);
            }
            place = self.earlier[place] as usize;
        }
        self.followed = best.map(|found| (found, tokens.len()));
        best
    }

    /// Enters the pairs that are new.
    fn enter(&mut self, tokens: &[u32]) {
        for end in self.earlier.len()..=tokens.len() {
            let pair = tokens[..end].last_chunk().copied();
            let before = pair.and_then(|pair| self.last.insert(pair, end as u32));
            self.earlier.push(before.unwrap_or_default());
        }
    }
}

/// How many tokens before a place are the same as the last ones.
fn length(tokens: &[u32], place: usize) -> usize {
    let before = tokens[..place].iter().rev();
    before.zip(tokens.iter().rev()).take(LENGTH_MAX).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_longest_match_is_found_and_then_followed() {
        let check = |tokens: &str, expect: Option<(usize, usize)>| {
            let tokens: Vec<u32> = tokens.chars().map(u32::from).collect();
            let found = Lookup::default().find(&tokens);
            assert_eq!(found.map(|found| (found.place, found.length)), expect);
        };
        check("", None);
        check("a", None);
        check("aa", None);
        check("aaa", Some((2, 2)));
        check("abcdab", Some((2, 2)));
        check("abc xbc abc", Some((3, 3)));
        check("abcdefg", None);
        // The latest of equal ones.
        check("ab.ab,ab", Some((5, 2)));
    }

    #[test]
    fn what_is_followed_is_not_lost_among_many() {
        let mut tokens: Vec<u32> = (0..40).flat_map(|word| [1, 2, 100 + word]).collect();
        let mut lookup = Lookup::default();
        // From the fourth word on all is said again: of its pairs (1, 2) the latest eight are others.
        let copied = tokens[9..60].to_vec();
        for (count, token) in copied.iter().enumerate() {
            tokens.push(*token);
            let found = lookup.find(&tokens);
            if count > 3 {
                assert_eq!(found.map(|found| found.place), Some(10 + count), "behind {count}");
            }
        }
    }

    proptest! {
        /// What is found is a match, and no shorter than the best of the latest places; nothing is found where there is nothing.
        #[test]
        fn matches_are_as_a_plain_search_has_them(
            tokens in prop::collection::vec(0..4u32, 0..200),
            steps in prop::collection::vec(1..9usize, 0..60),
        ) {
            let mut lookup = Lookup::default();
            let mut known = 0;
            for step in steps {
                known = (known + step).min(tokens.len());
                let tokens = &tokens[..known];
                let found = lookup.find(tokens);
                let places = (PAIR..known).rev().filter(|place| length(tokens, *place) >= PAIR);
                let longest = places.take(PLACES_MAX).map(|place| length(tokens, place)).max();
                prop_assert_eq!(found.is_some(), longest.is_some());
                if let Some(found) = found {
                    prop_assert!(found.place < known && Some(found.length) >= longest);
                    prop_assert_eq!(found.length, length(tokens, found.place));
                }
            }
        }
    }
}
