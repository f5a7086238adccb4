//! How far the work is: what is committed after each draft and each remark, and gone on from.

use serde::{Deserialize, Serialize};

/// Drafts that are made at most: who has rejected five wants something else.
pub(crate) const DRAFTS_MAX: usize = 5;

/// What stands for a rejection without a word.
const REMARK_DEFAULT: &str = "Please write it again, differently.";

/// All that a restart needs besides the task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// Drafts that were rejected, each with the remark on it.
    rejected: Vec<(String, String)>,
    /// The draft that nobody has decided on yet.
    open: Option<String>,
}

impl State {
    /// The draft that waits for a decision.
    pub(crate) fn open(&self) -> Option<&str> {
        self.open.as_deref()
    }

    /// Whether one more may be made.
    pub(crate) fn may_draft(&self) -> bool {
        self.rejected.len() < DRAFTS_MAX
    }

    /// The number of the draft that is made, or waits, now.
    pub(crate) fn number(&self) -> usize {
        self.rejected.len() + 1
    }

    /// Drafts that were rejected, with the remarks on them, without the oldest.
    pub(crate) fn rejected(&self, without: usize) -> &[(String, String)] {
        self.rejected.get(without..).unwrap_or_default()
    }

    pub(crate) fn drafted(&mut self, draft: String) {
        self.open = Some(draft);
    }

    pub(crate) fn remarked(&mut self, remark: &str) {
        let remark = if remark.trim().is_empty() { REMARK_DEFAULT } else { remark.trim() };
        self.rejected.extend(self.open.take().map(|draft| (draft, remark.to_owned())));
    }

    /// The latest draft, approved by nobody.
    pub(crate) fn last(&self) -> Option<&str> {
        self.open().or_else(|| self.rejected.last().map(|(draft, _)| draft.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drafts_are_made_until_five_are_rejected() {
        let mut state = State::default();
        assert_eq!((state.number(), state.open(), state.last()), (1, None, None));
        for number in 1..=DRAFTS_MAX {
            assert!(state.may_draft());
            state.drafted(format!("draft {number}"));
            assert_eq!((state.number(), state.open()), (number, state.last()));
            state.remarked(if number == 1 { " \n" } else { " shorter " });
        }
        assert!(!state.may_draft() && state.open().is_none());
        assert_eq!(state.last(), Some("draft 5"));
        assert_eq!(state.rejected(0)[0], ("draft 1".into(), REMARK_DEFAULT.into()));
        assert_eq!(state.rejected(4), [("draft 5".into(), "shorter".into())]);
        assert_eq!(state.rejected(9), []);
    }

    #[test]
    fn a_remark_on_nothing_changes_nothing() {
        let mut state = State::default();
        state.remarked("shorter");
        assert_eq!(state, State::default());
    }
}
