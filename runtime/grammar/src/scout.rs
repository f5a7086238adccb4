//! Cuts drafts to what a grammar allows, before a model computes them.
//!
//! Looking ahead spends what a generation may cost: states of its lexer, and fuel of its masks. So a scout has a state of its own, and the
//! generation's goes on, and fails, as if nobody had looked. A draft is a guess: where a scout cannot say how much of it is allowed, all
//! of it may be computed, and the masks of its places decide.

use crate::State;

/// Goes behind a generation, and looks ahead of it.
#[derive(Clone, Debug)]
pub struct Scout {
    state: State,
    /// Tokens of the text that it went by.
    followed: usize,
}

impl Scout {
    /// Where a generation stands, whose text has so many tokens. It costs what [`Constraint::begin`](crate::Constraint::begin) does.
    #[must_use]
    pub fn new(state: &State, tokens: usize) -> Self {
        Self { state: state.clone(), followed: tokens }
    }

    /// Goes on to the end of a text: all tokens of the generation so far. Whether it could; it is of no use any more where it could
    /// not.
    pub fn follow(&mut self, text: &[u32]) -> bool {
        let fresh = text.get(self.followed..).unwrap_or_default();
        self.followed = text.len();
        self.state.accept_all(fresh) == fresh.len()
    }

    /// How many of these tokens may come next, one behind the other. `None` where that is not known.
    pub fn allowed(&mut self, draft: &[u32]) -> Option<usize> {
        self.state.allows(draft)
    }
}
