//! Whether a grant allows a use.
//!
//! What never changes was compared when the node was derived, so it is looked at in the node alone; what is shared by a
//! subtree is looked at in every node up to the root. The tests of `model.rs` hold this to the plain form, in which
//! every node is asked everything.

use super::{Grant, Grants};
use remit_abi::{Access, Denial, GrantId, GrantKind, Label};

const NS_PER_MS: u64 = 1_000_000;

/// What somebody wants to do with a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use<'a> {
    /// With what kind of thing.
    pub kind: GrantKind,
    /// With which one; `None` where that is not said yet.
    pub name: Option<&'a str>,
    /// What is to be done with it.
    pub access: Access,
    /// Output tokens of this call.
    pub tokens: u32,
    /// Of the data that flows in.
    pub label: Label,
}

impl Use<'_> {
    /// The least use of a kind: it fails only where every use would.
    #[must_use]
    pub const fn least(kind: GrantKind) -> Self {
        Self { kind, name: None, access: Access::ReadOnly, tokens: 0, label: Label::TRUSTED }
    }
}

/// Why a grant does not allow a use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such grant, or its holder let it go.
    NotHeld,
    /// It opens another kind of thing.
    OtherKind,
    /// It, or one that it derives from, was taken back.
    Revoked,
    /// Its end has come.
    Expired,
    /// The thing is not in its scope.
    Scope,
    /// It may be looked at only.
    Access,
    /// The call is for more tokens.
    Tokens,
    /// The data's label is above its ceiling.
    Ceiling,
    /// It was used as often as it may be.
    Uses,
    /// It is used faster than it may be.
    Rate {
        /// How long until it may be used again, in nanoseconds.
        wait_ns: u64,
    },
}

impl Refusal {
    /// As the grant's holder is told.
    pub(super) fn denial(self, label: Option<&str>, kind: GrantKind) -> Denial {
        let grant = Box::from(label.unwrap_or(kind.name()));
        match self {
            Self::NotHeld | Self::OtherKind => Denial::NotGranted(kind.name().into()),
            Self::Revoked => Denial::Revoked(grant),
            Self::Expired => Denial::Expired(grant),
            Self::Scope | Self::Access => Denial::OutOfScope { grant },
            Self::Tokens => Denial::Exceeded(grant),
            Self::Ceiling => Denial::Tainted { grant },
            Self::Uses => Denial::Exhausted(grant),
            Self::Rate { wait_ns } => Denial::TooFast { grant, retry_after_ms: wait_ns.div_ceil(NS_PER_MS) },
        }
    }
}

/// The wall clock, read once, and only where a limit needs it.
pub(super) struct Clock<F> {
    read: F,
    now_ns: Option<u64>,
}

impl<F: Fn() -> u64> Clock<F> {
    pub(super) const fn new(read: F) -> Self {
        Self { read, now_ns: None }
    }

    pub(super) fn now_ns(&mut self) -> u64 {
        *self.now_ns.get_or_insert_with(&self.read)
    }
}

impl Grant {
    /// Whether the node allows it by what never changes, and by not being revoked.
    pub(super) fn allows(&self, wanted: &Use<'_>, clock: &mut Clock<impl Fn() -> u64>) -> Result<(), Refusal> {
        let (spec, limits) = (&self.spec, &self.spec.limits);
        if spec.kind != wanted.kind {
            return Err(Refusal::OtherKind);
        }
        if self.revoked {
            return Err(Refusal::Revoked);
        }
        if limits.expires_ns.is_some_and(|expires_ns| clock.now_ns() >= expires_ns) {
            return Err(Refusal::Expired);
        }
        if wanted.access > spec.access {
            return Err(Refusal::Access);
        }
        if wanted.name.is_some_and(|name| !spec.scope.contains(name)) {
            return Err(Refusal::Scope);
        }
        if limits.max_tokens_per_call.is_some_and(|most| wanted.tokens > most) {
            return Err(Refusal::Tokens);
        }
        if limits.ceiling.is_some_and(|ceiling| !wanted.label.flows_to(ceiling)) {
            return Err(Refusal::Ceiling);
        }
        Ok(())
    }

    /// Whether one more use is left, now.
    pub(super) fn has_use_left(&self, clock: &mut Clock<impl Fn() -> u64>) -> Result<(), Refusal> {
        if self.spec.limits.uses.is_some_and(|uses| self.uses >= uses) {
            return Err(Refusal::Uses);
        }
        match self.spec.limits.rate.map(|rate| self.pace.wait_ns(rate, clock.now_ns())) {
            None | Some(0) => Ok(()),
            Some(wait_ns) => Err(Refusal::Rate { wait_ns }),
        }
    }
}

impl Grants {
    /// Whether a use is allowed; if so, it is counted in the grant and in all that it derives from. `now` reads the wall
    /// clock, in nanoseconds since 1970-01-01T00:00:00Z, and is called at most once, and only where a limit needs it.
    /// Allocates nothing where the use is allowed.
    ///
    /// # Errors
    /// The [`Denial`] that says which limit was met, with the label under which the holder has the grant. Then nothing is
    /// counted.
    pub fn check(&mut self, id: GrantId, wanted: &Use<'_>, now: impl Fn() -> u64) -> Result<(), Denial> {
        let mut clock = Clock::new(now);
        if let Err((by, refusal)) = self.verdict(id, wanted, &mut clock) {
            if let (Refusal::Rate { .. }, Some(node)) = (refusal, self.tree.get_mut(by))
                && let Some(rate) = node.spec.limits.rate
            {
                node.pace.follow_clock(rate, clock.now_ns());
            }
            return Err(self.denial(id, refusal, wanted));
        }
        let mut next = Some(id);
        while let Some(id) = next {
            next = self.tree.parent(id);
            if let Some(node) = self.tree.get_mut(id) {
                node.uses = node.uses.saturating_add(1);
                if let Some(rate) = node.spec.limits.rate {
                    node.pace.count(rate, clock.now_ns());
                }
            }
        }
        Ok(())
    }

    /// As [`Grants::check`], for opening and describing: nothing is counted.
    ///
    /// # Errors
    /// The [`Denial`] that [`Grants::check`] would answer.
    pub fn peek(&self, id: GrantId, wanted: &Use<'_>, now: impl Fn() -> u64) -> Result<(), Denial> {
        let verdict = self.verdict(id, wanted, &mut Clock::new(now));
        verdict.map_err(|(_, refusal)| self.denial(id, refusal, wanted))
    }

    /// The first node from the grant upwards that refuses, and why.
    pub(super) fn verdict(
        &self,
        id: GrantId,
        wanted: &Use<'_>,
        clock: &mut Clock<impl Fn() -> u64>,
    ) -> Result<(), (GrantId, Refusal)> {
        let node = self.tree.get(id).filter(|node| !node.released).ok_or((id, Refusal::NotHeld))?;
        node.allows(wanted, clock).map_err(|refusal| (id, refusal))?;
        self.tree.chain(id).try_for_each(|(id, node)| node.has_use_left(clock).map_err(|refusal| (id, refusal)))
    }

    pub(super) fn denial(&self, id: GrantId, refusal: Refusal, wanted: &Use<'_>) -> Denial {
        refusal.denial(self.tree.get(id).map(|node| &*node.spec.label), wanted.kind)
    }
}
