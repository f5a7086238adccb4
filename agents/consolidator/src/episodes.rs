//! Episodes: runs of notes by time, and the facts that a model finds in one.

use std::{collections::BTreeSet, time::Duration};

/// So long nothing is noted, and another episode begins: longer than a pause in a conversation, shorter than the time to the next one.
const PAUSE: Duration = Duration::from_secs(30 * 60);

/// Notes of one episode at most, and their bytes: with what is said around them they fit in a window of 2,048 tokens.
const NOTES_MAX: usize = 24;
const BYTES_MAX: usize = 4000;

/// Fewer need no summary.
pub(crate) const SUMMARISED_MIN: usize = 3;

/// Facts of one episode.
pub(crate) const FACTS_MAX: usize = 12;

/// A note's place in time, and its length in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) at: Duration,
    pub(crate) bytes: usize,
}

impl Moment {
    /// Whether it is too long for any episode: a document rather than a note.
    pub(crate) const fn is_too_long(self) -> bool {
        self.bytes > BYTES_MAX
    }

    /// Whether it begins another episode than that of the notes before it.
    pub(crate) fn begins_another(self, before: &[Self]) -> bool {
        let Some(last) = before.last() else { return false };
        let bytes: usize = before.iter().map(|moment| moment.bytes).sum();
        // Clocks are set back: what was noted later belongs together all the same.
        self.at.saturating_sub(last.at) > PAUSE || before.len() >= NOTES_MAX || bytes + self.bytes > BYTES_MAX
    }
}

/// A fact as the model said it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fact<'a> {
    /// The places of the notes that it is from, from 0 on.
    pub(crate) from: Vec<usize>,
    pub(crate) text: &'a str,
}

/// What the answer has to look like: lines such as `[1, 3] Ada plays the cello.`
pub(crate) const FACTS_FORM: &str = r"(\[[1-9][0-9]?(, [1-9][0-9]?){0,5}\] [^\n\[\]]{1,240}\n){0,12}";

/// The facts of an answer, each with at least one note that there is. What is no such line is none: the model may have been cut off.
pub(crate) fn facts(answer: &str, notes: usize) -> Vec<Fact<'_>> {
    answer.lines().filter_map(|line| fact(line, notes)).take(FACTS_MAX).collect()
}

fn fact(line: &str, notes: usize) -> Option<Fact<'_>> {
    let (numbers, text) = line.trim().strip_prefix('[')?.split_once(']')?;
    let numbers = numbers.split(',').filter_map(|number| number.trim().parse::<usize>().ok());
    let from: BTreeSet<_> = numbers.filter_map(|number| number.checked_sub(1)).filter(|at| *at < notes).collect();
    let text = text.trim();
    (!from.is_empty() && !text.is_empty()).then(|| Fact { from: from.into_iter().collect(), text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_or_too_much_begins_another_episode() {
        let at = |minutes: u64, bytes| Moment { at: Duration::from_secs(60 * minutes), bytes };
        let check =
            |before: &[Moment], next: Moment, expect| assert_eq!(next.begins_another(before), expect, "{next:?}");
        check(&[], at(999, 1), false);
        check(&[at(0, 10)], at(30, 10), false);
        check(&[at(0, 10)], at(31, 10), true);
        check(&[at(90, 10)], at(10, 10), false);
        check(&[at(0, 3000), at(0, 900)], at(1, 100), false);
        check(&[at(0, 3000), at(0, 900)], at(1, 101), true);
        check(&[at(0, 1); 23], at(1, 1), false);
        check(&[at(0, 1); 24], at(1, 1), true);
        assert!(at(0, 4001).is_too_long() && !at(0, 4000).is_too_long());
    }

    #[test]
    fn facts_have_notes_that_there_are() {
        let fact = |from: &[usize], text| Fact { from: from.to_vec(), text };
        let answer =
            "[1, 3] Ada plays the cello.\n[2] \n[9] Nobody.\nSo much for that.\n [2,2, 0] é lives.\n[x] no\n[1";
        assert_eq!(facts(answer, 3), [fact(&[0, 2], "Ada plays the cello."), fact(&[1], "é lives.")]);
        assert_eq!(facts("", 3), []);
        assert_eq!(facts(&"[1] a\n".repeat(50), 1).len(), FACTS_MAX);
    }
}
