//! The grant tree: unforgeable rights, derived from one another.
//!
//! A grant is a node; attenuating makes a child that is nowhere wider. Revoking marks the whole subtree at once, so that
//! the next use of any of its grants fails. What a grant opens and how far is checked here and nowhere else.

use crate::Arena;
use remit_abi::{Denial, GrantId, GrantInfo};
use std::sync::Arc;
use thiserror::Error;

/// What a grant opens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum GrantKind {
    /// Generations on one model, by the registry's name.
    Model(Arc<str>),
}

impl GrantKind {
    /// The name of the kind, as manifests and `--grant` write it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Model(_) => "model",
        }
    }

    /// What it opens.
    #[must_use]
    pub fn scope(&self) -> &str {
        match self {
            Self::Model(name) => name,
        }
    }
}

/// How far a grant goes. The default has no limit besides the account's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GrantLimits {
    /// At most so many output tokens a call.
    pub max_tokens_per_call: Option<u32>,
}

impl GrantLimits {
    /// The tighter of both, limit by limit.
    #[must_use]
    pub fn meet(self, other: Self) -> Self {
        let tighter = |a: Option<u32>, b: Option<u32>| a.into_iter().chain(b).min();
        Self { max_tokens_per_call: tighter(self.max_tokens_per_call, other.max_tokens_per_call) }
    }
}

/// What cannot be done with a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum GrantError {
    /// The id names no grant.
    #[error("no such grant: it was dropped, or never was")]
    Dead,
    /// It was revoked, so nothing derives from it.
    #[error("the grant was revoked: nothing can be derived from it")]
    Revoked,
}

#[derive(Debug)]
struct Grant {
    label: Arc<str>,
    kind: GrantKind,
    limits: GrantLimits,
    children: Vec<GrantId>,
    revoked: bool,
}

/// All grants of a node.
#[derive(Debug, Default)]
pub struct Grants {
    nodes: Arena<GrantId, Grant>,
}

impl Grants {
    /// Makes a root grant: the operator's act, the only one that makes a right out of nothing.
    pub fn issue(&mut self, label: Arc<str>, kind: GrantKind, limits: GrantLimits) -> GrantId {
        self.nodes.insert(Grant { label, kind, limits, children: Vec::new(), revoked: false })
    }

    /// Derives a grant that goes no further than its parent, whatever `limits` ask for.
    ///
    /// # Errors
    /// [`GrantError::Dead`], [`GrantError::Revoked`].
    pub fn attenuate(&mut self, parent: GrantId, limits: GrantLimits) -> Result<GrantId, GrantError> {
        let node = self.nodes.get(parent).ok_or(GrantError::Dead)?;
        if node.revoked {
            return Err(GrantError::Revoked);
        }
        let (label, kind, limits) = (node.label.clone(), node.kind.clone(), node.limits.meet(limits));
        let child = self.issue(label, kind, limits);
        if let Some(node) = self.nodes.get_mut(parent) {
            node.children.push(child);
        }
        Ok(child)
    }

    /// Takes a grant back, and all that derive from it. Revoking twice is no error.
    ///
    /// # Errors
    /// [`GrantError::Dead`].
    pub fn revoke(&mut self, root: GrantId) -> Result<(), GrantError> {
        let mut pending = vec![root];
        self.nodes.get(root).ok_or(GrantError::Dead)?;
        while let Some(id) = pending.pop() {
            if let Some(node) = self.nodes.get_mut(id) {
                node.revoked = true;
                pending.extend(&node.children);
            }
        }
        Ok(())
    }

    /// Forgets a grant whose holder is gone; what derives from it lives on.
    pub fn remove(&mut self, id: GrantId) {
        self.nodes.remove(id);
    }

    /// Label, kind, scope and limits.
    #[must_use]
    pub fn info(&self, id: GrantId) -> Option<GrantInfo> {
        self.nodes.get(id).map(|node| GrantInfo {
            label: (&*node.label).into(),
            kind: remit_abi::GrantKind::Model,
            scope: vec![node.kind.scope().into()],
            access: remit_abi::Access::ReadWrite,
            limits: remit_abi::GrantLimits {
                max_tokens_per_call: node.limits.max_tokens_per_call,
                ..remit_abi::GrantLimits::default()
            },
            revoked: node.revoked,
        })
    }

    /// Whether a generation of so many tokens may be done under the grant; the model that it opens.
    ///
    /// # Errors
    /// The [`Denial`] that says which limit was met.
    pub fn check_generation(&self, id: GrantId, max_tokens: u32) -> Result<Arc<str>, Denial> {
        let node = self.nodes.get(id).ok_or_else(|| Denial::NotGranted("model".into()))?;
        let label = || (&*node.label).into();
        if node.revoked {
            return Err(Denial::Revoked(label()));
        }
        if node.limits.max_tokens_per_call.is_some_and(|limit| max_tokens > limit) {
            return Err(Denial::Exceeded(label()));
        }
        match &node.kind {
            GrantKind::Model(name) => Ok(name.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limits(max_tokens: u32) -> GrantLimits {
        GrantLimits { max_tokens_per_call: Some(max_tokens) }
    }

    fn model(grants: &mut Grants, limits: GrantLimits) -> GrantId {
        grants.issue("chat".into(), GrantKind::Model("m".into()), limits)
    }

    #[test]
    fn revoking_takes_the_subtree_and_nothing_else() {
        let mut grants = Grants::default();
        let root = model(&mut grants, GrantLimits::default());
        let child = grants.attenuate(root, limits(10)).expect("root lives");
        let grandchild = grants.attenuate(child, limits(5)).expect("child lives");
        let sibling = grants.attenuate(root, limits(7)).expect("root lives");
        grants.revoke(child).expect("child lives");
        for revoked in [child, grandchild] {
            assert_eq!(grants.check_generation(revoked, 1), Err(Denial::Revoked("chat".into())));
            assert_eq!(grants.attenuate(revoked, limits(1)), Err(GrantError::Revoked));
        }
        for live in [root, sibling] {
            assert_eq!(grants.check_generation(live, 1).as_deref(), Ok("m"));
        }
    }

    proptest! {
        #[test]
        fn a_chain_of_attenuations_never_grows(asked in prop::collection::vec(prop::option::of(0..100_u32), 1..8)) {
            let mut grants = Grants::default();
            let mut id = model(&mut grants, GrantLimits::default());
            let mut tightest = u32::MAX;
            for max_tokens_per_call in asked {
                id = grants.attenuate(id, GrantLimits { max_tokens_per_call }).expect("it lives");
                tightest = tightest.min(max_tokens_per_call.unwrap_or(u32::MAX));
                prop_assert_eq!(grants.check_generation(id, tightest).is_ok(), true);
                if let Some(more) = tightest.checked_add(1) {
                    prop_assert_eq!(grants.check_generation(id, more), Err(Denial::Exceeded("chat".into())));
                }
            }
        }
    }
}
