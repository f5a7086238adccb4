//! How far the work is: what is committed after each answer, and gone on from.

use serde::{Deserialize, Serialize};

/// All that a restart needs besides the text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// Where the parts of the text end, in bytes.
    ends: Vec<usize>,
    /// What came of each part so far.
    answers: Vec<Option<Answer>>,
    /// Parts that are shown: the first so many.
    shown: usize,
}

/// What came of a part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// All of it.
    Whole(String),
    /// As much as the budget or a limit allowed.
    Cut(String),
    /// Nothing; why.
    Missing(String),
}

impl State {
    pub(crate) fn new(ends: Vec<usize>) -> Self {
        Self { answers: vec![None; ends.len()], ends, shown: 0 }
    }

    /// Whether this is the state of a text of so many bytes.
    pub(crate) fn is_of(&self, text_bytes: usize) -> bool {
        self.ends.is_sorted()
            && self.ends.last().copied().unwrap_or(0) == text_bytes
            && self.answers.len() == self.ends.len()
            && self.shown <= self.ends.len()
    }

    /// How many parts there are.
    pub(crate) fn parts(&self) -> usize {
        self.ends.len()
    }

    /// How many of them came to something, or to nothing.
    pub(crate) fn done(&self) -> usize {
        self.answers.iter().flatten().count()
    }

    /// Where a part begins and ends.
    pub(crate) fn part(&self, index: usize) -> (usize, usize) {
        (index.checked_sub(1).map_or(0, |before| self.ends[before]), self.ends[index])
    }

    /// The parts that are still to be done, the last one first.
    pub(crate) fn open(&self) -> Vec<usize> {
        (0..self.parts()).rev().filter(|&index| self.answers[index].is_none()).collect()
    }

    pub(crate) fn answered(&mut self, index: usize, answer: Answer) {
        self.answers[index] = Some(answer);
    }

    /// The next part that can be shown, as its number and its text: those before it are shown, or missing.
    pub(crate) fn next_to_show(&mut self) -> Option<(usize, String)> {
        while let Some(Some(answer)) = self.answers.get(self.shown) {
            self.shown += 1;
            match answer {
                Answer::Whole(text) => return Some((self.shown, text.trim().to_owned())),
                Answer::Cut(text) => return Some((self.shown, format!("{} [cut short]", text.trim()))),
                Answer::Missing(_) => {}
            }
        }
        None
    }

    /// Nothing where all is there; otherwise which parts are missing or cut short, and why.
    pub(crate) fn missing(&self) -> Option<String> {
        let mut reasons = Vec::new();
        for (part, answer) in (1..).zip(&self.answers) {
            match answer {
                Some(Answer::Whole(_)) => {}
                Some(Answer::Cut(_)) => reasons.push(format!("part {part} is cut short")),
                Some(Answer::Missing(why)) => reasons.push(format!("part {part} is missing: {why}")),
                None => reasons.push(format!("part {part} is missing: it was not begun")),
            }
        }
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_shown_in_order_whenever_they_come() {
        let mut state = State::new(vec![10, 20, 30]);
        assert_eq!((state.open(), state.part(0), state.part(2)), (vec![2, 1, 0], (0, 10), (20, 30)));
        state.answered(1, Answer::Whole("two\n".into()));
        assert_eq!((state.next_to_show(), state.done(), state.open()), (None, 1, vec![2, 0]));
        state.answered(0, Answer::Cut("one".into()));
        assert_eq!(state.next_to_show(), Some((1, "one [cut short]".into())));
        assert_eq!(state.next_to_show(), Some((2, "two".into())));
        assert_eq!(state.next_to_show(), None);
        assert_eq!(state.missing().as_deref(), Some("part 1 is cut short; part 3 is missing: it was not begun"));
    }

    #[test]
    fn what_is_missing_is_stepped_over_and_said() {
        let mut state = State::new(vec![10, 20]);
        state.answered(0, Answer::Missing("its budget was too small".into()));
        state.answered(1, Answer::Whole("two".into()));
        assert_eq!(state.next_to_show(), Some((2, "two".into())));
        assert_eq!(state.missing().as_deref(), Some("part 1 is missing: its budget was too small"));
        state.answered(0, Answer::Whole("one".into()));
        assert_eq!(state.missing(), None);
    }

    #[test]
    fn a_state_of_another_text_is_known() {
        let state = State::new(vec![10, 20]);
        assert!(state.is_of(20) && !state.is_of(30));
        assert!(!State { shown: 3, ..state.clone() }.is_of(20));
        assert!(!State { answers: vec![None], ..state }.is_of(20));
    }
}
