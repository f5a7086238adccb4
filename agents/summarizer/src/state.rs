//! How far the work is: what is committed after each step, and gone on from.

use crate::split::group;
use serde::{Deserialize, Serialize};

/// All that a restart needs besides the document. It is committed after the document was measured, and then after each
/// summary, so that none is made or paid twice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// Where the parts of the document end, in bytes.
    pub(crate) ends: Vec<usize>,
    /// Summaries of the parts so far, in order.
    pub(crate) summaries: Vec<String>,
    /// The joining, once all parts are summarised.
    pub(crate) joining: Option<Joining>,
}

/// Joining summaries into fewer, round by round, until one is left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Joining {
    /// What is still to be joined in this round, in order.
    waiting: Vec<String>,
    /// What came out of it.
    joined: Vec<String>,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Summarise this part of the document.
    Part { index: usize, begin: usize, end: usize },
    /// Join these summaries into one. `is_last` says that nothing is left to join after it.
    Join { texts: Vec<String>, is_last: bool },
    /// Nothing.
    Done,
}

impl State {
    pub(crate) fn new(ends: Vec<usize>) -> Self {
        Self { ends, ..Self::default() }
    }

    /// Whether this is the state of a document of so many bytes.
    pub(crate) fn is_of(&self, document_bytes: usize) -> bool {
        self.ends.is_sorted()
            && self.ends.last().copied().unwrap_or(0) == document_bytes
            && self.summaries.len() <= self.ends.len()
    }

    /// The next step. `size` tells how large a summary is, and `limit` how large those may be that are joined at once.
    pub(crate) fn step<E>(&self, limit: u32, mut size: impl FnMut(&str) -> Result<u32, E>) -> Result<Step, E> {
        let index = self.summaries.len();
        if let Some(&end) = self.ends.get(index) {
            let begin = index.checked_sub(1).map_or(0, |before| self.ends[before]);
            return Ok(Step::Part { index, begin, end });
        }
        let Joining { waiting, joined } = match &self.joining {
            Some(joining) => joining.clone(),
            None => Joining { waiting: self.summaries.clone(), joined: Vec::new() },
        };
        if waiting.len() + joined.len() <= 1 {
            return Ok(Step::Done);
        }
        // Counting costs money: no further than a group can reach.
        let (mut sizes, mut held) = (Vec::new(), 0_u32);
        for text in &waiting {
            if held > limit && sizes.len() >= 2 {
                break;
            }
            sizes.push(size(text)?);
            held = held.saturating_add(sizes[sizes.len() - 1]);
        }
        let count = group(&sizes, limit);
        let is_last = joined.is_empty() && count == waiting.len();
        Ok(Step::Join { texts: waiting[..count].to_vec(), is_last })
    }

    /// Takes the summary that a part came to.
    pub(crate) fn part_done(&mut self, summary: String) {
        self.summaries.push(summary);
    }

    /// Takes the summary that `count` summaries came to.
    pub(crate) fn join_done(&mut self, count: usize, summary: String) {
        let summaries = &self.summaries;
        let joining = self.joining.get_or_insert_with(|| Joining { waiting: summaries.clone(), joined: Vec::new() });
        joining.waiting.drain(..count.min(joining.waiting.len()));
        joining.joined.push(summary);
        // A single one has nothing to be joined with in this round.
        if joining.waiting.len() <= 1 {
            joining.joined.append(&mut joining.waiting);
            std::mem::swap(&mut joining.waiting, &mut joining.joined);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn step(state: &State, limit: u32) -> Step {
        let Ok(step) = state.step(limit, |text| Ok::<_, Infallible>(u32::try_from(text.len()).expect("short")));
        step
    }

    /// Does all steps; answers the joins, as the texts that went in.
    fn joins(parts: usize, limit: u32) -> Vec<Vec<String>> {
        let mut state = State::new((1..=parts).map(|part| part * 10).collect());
        let mut joins = Vec::new();
        loop {
            assert!(joins.len() < 2 * parts + 2, "it comes to an end");
            match step(&state, limit) {
                Step::Part { index, begin, end } => {
                    assert_eq!((begin, end), (index * 10, index * 10 + 10));
                    state.part_done(format!("{index}"));
                }
                Step::Join { texts, is_last } => {
                    joins.push(texts.clone());
                    let before = state.clone();
                    state.join_done(texts.len(), texts.concat());
                    assert_ne!(before, state);
                    assert_eq!(is_last, step(&state, limit) == Step::Done);
                }
                Step::Done => return joins,
            }
        }
    }

    #[test]
    fn one_part_is_the_whole() {
        assert!(joins(1, 5).is_empty());
        assert!(joins(0, 5).is_empty());
    }

    #[test]
    fn parts_that_fit_are_joined_at_once() {
        assert_eq!(joins(3, 5), [["0", "1", "2"]]);
    }

    #[test]
    fn parts_that_do_not_fit_are_joined_in_rounds_and_in_order() {
        assert_eq!(joins(5, 2), [vec!["0", "1"], vec!["2", "3"], vec!["01", "23"], vec!["0123", "4"]]);
        for parts in 2..40 {
            for limit in [0, 1, 3, 10] {
                let joins = joins(parts, limit);
                let all: String = (0..parts).map(|part| part.to_string()).collect();
                assert_eq!(joins.last().map(|texts| texts.concat()), Some(all), "{parts} parts, {limit}");
            }
        }
    }

    #[test]
    fn a_state_of_another_document_is_known() {
        let state = State { summaries: vec!["s".into()], ..State::new(vec![10, 20]) };
        assert!(state.is_of(20));
        assert!(!state.is_of(30));
        assert!(!State { ends: vec![20, 10, 20], ..state.clone() }.is_of(20));
        assert!(!State { ends: vec![], ..state }.is_of(0));
    }
}
