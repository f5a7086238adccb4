//! Keys and values of finished sequences, for those that begin with the same tokens.
//!
//! A state is found only under its own tenant and model: that a prompt was seen before is itself something that another
//! tenant must not learn, and with another adapter keys and values are others. A found state is copied, so that several
//! can go on from it. Least recently used ones go first.

use super::{adapters::ModelId, history::History};
use remit_abi::TenantId;

/// Whose states they are, and of what.
pub(super) type Key = (TenantId, ModelId);

pub(super) struct PrefixStore<C> {
    states: Vec<State<C>>,
    /// Counts uses.
    clock: u64,
}

/// What a sequence came to.
pub(super) struct Kept<C> {
    pub(super) cache: C,
    /// How its tokens were computed.
    pub(super) history: History,
}

struct State<C> {
    key: Key,
    tokens: Vec<u32>,
    kept: Kept<C>,
    /// For how many tokens the cache has room.
    room: usize,
    used: u64,
}

impl<C> Default for PrefixStore<C> {
    fn default() -> Self {
        Self { states: Vec::new(), clock: 0 }
    }
}

impl<C> PrefixStore<C> {
    /// The state that has the most tokens in common with a prompt, and how many; never the whole prompt, whose last
    /// token has to be computed for its logits.
    pub(super) fn find(&mut self, key: Key, prompt: &[u32]) -> Option<(&Kept<C>, usize)> {
        let common = |state: &State<C>| {
            let most = prompt.len().saturating_sub(1);
            state.tokens.iter().zip(&prompt[..most]).take_while(|(a, b)| a == b).count()
        };
        let own = self.states.iter_mut().filter(|state| state.key == key);
        let (tokens, state) = own.map(|state| (common(state), state)).max_by_key(|(tokens, _)| *tokens)?;
        if tokens == 0 {
            return None;
        }
        self.clock += 1;
        state.used = self.clock;
        Some((&state.kept, tokens))
    }

    /// Keeps a state, in place of those that it continues.
    pub(super) fn keep(&mut self, key: Key, tokens: Vec<u32>, kept: Kept<C>, room: usize) {
        if tokens.is_empty() {
            return;
        }
        self.states.retain(|state| state.key != key || !tokens.starts_with(&state.tokens));
        self.clock += 1;
        self.states.push(State { key, tokens, kept, room, used: self.clock });
    }

    /// Drops states until at most so many are left, with room for at most so many tokens.
    pub(super) fn shrink(&mut self, states_max: usize, kv_tokens_max: usize) {
        self.states.sort_unstable_by_key(|state| std::cmp::Reverse(state.used));
        self.states.truncate(states_max);
        let mut room = 0;
        let fits = self.states.iter().take_while(|state| {
            room += state.room;
            room <= kv_tokens_max
        });
        let fits = fits.count();
        self.states.truncate(fits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Key = (TenantId(1), ModelId::base(0));
    const B: Key = (TenantId(2), ModelId::base(0));
    const A_OTHER_MODEL: Key = (TenantId(1), ModelId::base(1));
    const A_ADAPTED: Key = (TenantId(1), ModelId { base: 0, adapter: Some(0) });

    fn store(states: &[(Key, &[u32], &'static str)]) -> PrefixStore<&'static str> {
        let mut store = PrefixStore::default();
        for (key, tokens, name) in states {
            let kept = Kept { cache: *name, history: History::new(tokens.len()) };
            store.keep(*key, tokens.to_vec(), kept, tokens.len());
        }
        store
    }

    #[test]
    fn finds_the_longest_of_the_own() {
        let mut store =
            store(&[(A, &[1, 2, 9], "short"), (A, &[1, 2, 3, 4], "long"), (B, &[1, 2, 3, 4, 5], "other's")]);
        let mut check = |key, prompt: &[u32], expect: Option<(&'static str, usize)>| {
            assert_eq!(store.find(key, prompt).map(|(kept, tokens)| (kept.cache, tokens)), expect);
        };
        check(A, &[1, 2, 3, 4, 5], Some(("long", 4)));
        check(A, &[1, 2, 3, 4], Some(("long", 3)));
        check(A, &[1, 2, 9, 9], Some(("short", 3)));
        check(B, &[1, 2, 3, 9], Some(("other's", 3)));
        check(A, &[7, 8], None);
        check(A, &[1], None);
        check(A, &[], None);
        check(A_OTHER_MODEL, &[1, 2, 3], None);
        check(A_ADAPTED, &[1, 2, 3], None);
    }

    #[test]
    fn a_state_replaces_what_it_continues() {
        let mut store = store(&[(A, &[1, 2], "a"), (B, &[1, 2], "b"), (A, &[1, 2, 3], "a, continued")]);
        assert_eq!(store.states.len(), 2);
        assert_eq!(store.find(A, &[1, 2, 3, 4]).map(|(kept, _)| kept.cache), Some("a, continued"));
    }

    #[test]
    fn the_least_recently_used_go_first() {
        let mut store = store(&[(A, &[1, 1], "old"), (A, &[2, 2], "middle"), (A, &[3, 3], "new")]);
        store.find(A, &[1, 1, 1]);
        store.shrink(2, 100);
        assert!(store.find(A, &[2, 2, 2]).is_none());
        store.shrink(2, 3);
        assert!(store.find(A, &[3, 3, 3]).is_none());
        assert!(store.find(A, &[1, 1, 1]).is_some());
    }
}
