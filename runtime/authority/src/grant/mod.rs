//! The grant tree: unforgeable rights, derived from one another.
//!
//! A grant is a node; attenuating makes a child that is nowhere wider. What a grant opens and how far is checked here and
//! nowhere else.
//!
//! | a node | opens | is forgotten |
//! | --- | --- | --- |
//! | held | what it and all its ancestors allow | when it is released |
//! | revoked, as its whole subtree with it | nothing | when it is released |
//! | released, its holder being gone | nothing itself; what derives from it stays under all its limits | with the last that derives from it |
//!
//! Principles:
//!
//! - Whatever a node allows, its parent does: scope, access, expiry, tokens a call and ceiling are compared once, when the
//!   node is derived, and never change. Uses and rates are shared by a whole subtree, so they are counted in every node up
//!   to the root.
//! - A use counts in all of these or in none.
//! - As many nodes are kept as are held, and at most [`GRANT_DEPTH_MAX`] ancestors of each.

mod check;
mod explain;
mod holding;
mod keeping;
mod limits;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use crate::tree::Tree;
pub use check::{Refusal, Use};
pub use explain::Explanation;
pub use keeping::GrantImage;
use limits::{Pace, narrow_limits, narrow_scope, within};
use remit_abi::{
    GrantId, GrantInfo, GrantKind, GrantSpec, Narrowing, Rate, ScopeError, is_name, limits::GRANT_DEPTH_MAX,
};
use std::fmt;
use thiserror::Error;

/// One of the things that a derived grant may only have less of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// What it opens.
    Scope,
    /// What may be done with it.
    Access,
    /// Uses in all.
    Uses,
    /// Uses over time.
    Rate,
    /// The moment of its end.
    Expiry,
    /// Output tokens a call.
    TokensPerCall,
    /// The highest label that may flow in.
    Ceiling,
}

impl fmt::Display for Limit {
    /// As it is written in a manifest.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Scope => "scope",
            Self::Access => "access",
            Self::Uses => "uses",
            Self::Rate => "rate",
            Self::Expiry => "expires_ns",
            Self::TokensPerCall => "max_tokens_per_call",
            Self::Ceiling => "ceiling",
        })
    }
}

/// What cannot be done with a grant.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GrantError {
    /// The id names no grant.
    #[error("no such grant: it was dropped, or never was")]
    Dead,
    /// It was revoked, so nothing derives from it.
    #[error("the grant was revoked: nothing can be derived from it")]
    Revoked,
    /// It would go further than what it derives from.
    #[error("a derived grant can only shrink, and this one would widen {what}: ask for no more than its parent has")]
    Widens {
        /// In which respect.
        what: Limit,
    },
    /// Too many grants in a row.
    #[error("grants derive from one another {GRANT_DEPTH_MAX} deep at most: derive it from an earlier one")]
    TooDeep,
    /// A label that is none.
    #[error("{0:?} is no label: use 1 to 256 ASCII letters, digits and -._/:@")]
    Label(Box<str>),
    /// A scope that is none.
    #[error(transparent)]
    Scope(#[from] ScopeError),
    /// A scope of another kind of thing.
    #[error("the grant is of kind {} and its scope of kind {}: they must be the same", .grant.name(), .scope.name())]
    Kind {
        /// The grant's.
        grant: GrantKind,
        /// The scope's.
        scope: GrantKind,
    },
    /// A rate of nothing.
    #[error("a rate needs at least 1 use in at least 1 ms: revoke the grant where nothing should be allowed")]
    Rate,
}

#[derive(Debug)]
struct Grant {
    /// What its holder of today sees.
    spec: GrantSpec,
    /// Under which label it was made, by which whoever derived it takes it back.
    derived_as: Box<str>,
    /// Uses so far, those of derived grants included.
    uses: u64,
    pace: Pace,
    revoked: bool,
    released: bool,
}

impl Grant {
    fn new(spec: GrantSpec) -> Self {
        let derived_as = spec.label.clone();
        Self { spec, derived_as, uses: 0, pace: Pace::default(), revoked: false, released: false }
    }
}

/// A node of the tree as an operator sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantNode<'a> {
    /// Its id.
    pub id: GrantId,
    /// What it derives from; `None` for an operator's own.
    pub parent: Option<GrantId>,
    /// How many it derives from in a row.
    pub depth: usize,
    /// Label, kind, scope and limits.
    pub spec: &'a GrantSpec,
    /// Uses so far, those of derived grants included.
    pub uses: u64,
    /// Whether it, or one that it derives from, was taken back.
    pub revoked: bool,
    /// Whether nobody holds it any more; something that derives from it is held.
    pub released: bool,
}

/// All grants of a node.
#[derive(Debug, Default)]
pub struct Grants {
    tree: Tree<GrantId, Grant>,
    /// Those that changed, besides their uses, or are gone; `None` where nobody asks.
    changed: Option<Vec<GrantId>>,
}

impl Grants {
    /// Makes a root grant: the operator's act, the only one that makes a right out of nothing.
    ///
    /// # Errors
    /// [`GrantError::Label`], [`GrantError::Kind`], [`GrantError::Rate`].
    pub fn issue(&mut self, spec: GrantSpec) -> Result<GrantId, GrantError> {
        check_label(&spec.label)?;
        check_rate(spec.limits.rate)?;
        match (spec.kind, spec.scope.kind()) {
            (grant, scope) if grant == scope => {
                let id = self.tree.insert_root(Grant::new(spec));
                self.note(id);
                Ok(id)
            }
            (grant, scope) => Err(GrantError::Kind { grant, scope }),
        }
    }

    /// Derives a grant that goes no further than its parent. What the narrowing does not name is the parent's.
    ///
    /// # Errors
    /// [`GrantError::Widens`] where it asks for more than the parent has, however little of that is left;
    /// [`GrantError::Label`], [`GrantError::Scope`] and [`GrantError::Rate`] where it is malformed; [`GrantError::Dead`],
    /// [`GrantError::Revoked`], [`GrantError::TooDeep`].
    pub fn attenuate(&mut self, parent: GrantId, label: &str, asked: &Narrowing) -> Result<GrantId, GrantError> {
        let node = self.tree.get(parent).filter(|node| !node.released).ok_or(GrantError::Dead)?;
        if node.revoked {
            return Err(GrantError::Revoked);
        }
        if self.tree.chain(parent).count() >= GRANT_DEPTH_MAX {
            return Err(GrantError::TooDeep);
        }
        check_label(label)?;
        check_rate(asked.limits.rate)?;
        let held = &node.spec;
        let spec = GrantSpec {
            label: label.into(),
            kind: held.kind,
            scope: narrow_scope(asked.scope.as_deref(), &held.scope)?,
            access: within(asked.access, Some(held.access), |asked, held| asked <= held, Limit::Access)?
                .unwrap_or(held.access),
            limits: narrow_limits(&asked.limits, &held.limits)?,
        };
        let id = self.tree.insert_child(parent, Grant::new(spec)).ok_or(GrantError::Dead)?;
        self.note(id);
        Ok(id)
    }

    /// Takes a grant back, and all that derive from it, at once. Returns those that were not revoked before: none where
    /// it was.
    ///
    /// # Errors
    /// [`GrantError::Dead`].
    pub fn revoke(&mut self, id: GrantId) -> Result<Vec<GrantId>, GrantError> {
        self.tree.get(id).ok_or(GrantError::Dead)?;
        let live: Vec<_> = self.tree.subtree(id).filter(|(_, node)| !node.revoked).map(|(id, _)| id).collect();
        for id in &live {
            if let Some(node) = self.tree.get_mut(*id) {
                node.revoked = true;
            }
            self.note(*id);
        }
        Ok(live)
    }

    /// Takes back what was derived from a grant under a label, as [`Grants::revoke`] does.
    ///
    /// # Errors
    /// [`GrantError::Dead`].
    pub fn revoke_derived(&mut self, parent: GrantId, label: &str) -> Result<Vec<GrantId>, GrantError> {
        self.tree.get(parent).ok_or(GrantError::Dead)?;
        let named = |child: &GrantId| self.tree.get(*child).is_some_and(|node| *node.derived_as == *label);
        let children: Vec<_> = self.tree.children(parent).filter(named).collect();
        let mut revoked = Vec::new();
        for child in children {
            revoked.extend(self.revoke(child)?);
        }
        Ok(revoked)
    }

    /// Lets a grant go whose holder is gone or dropped it: it opens nothing from here on. What derives from it lives on
    /// under all its limits, and the node itself as long as that does. Releasing twice changes nothing.
    pub fn release(&mut self, id: GrantId) {
        let Some(node) = self.tree.get_mut(id) else { return };
        node.released = true;
        self.note(id);
        let mut next = Some(id);
        while let Some(id) = next.filter(|id| self.is_forgettable(*id)) {
            next = self.tree.parent(id);
            self.tree.remove(id);
            self.note(id);
        }
    }

    /// A grant as its holder sees it; `None` where it is gone or released.
    #[must_use]
    pub fn info(&self, id: GrantId) -> Option<GrantInfo> {
        self.tree.get(id).filter(|node| !node.released).map(|node| GrantInfo {
            label: node.spec.label.clone(),
            kind: node.spec.kind,
            scope: node.spec.scope.entries().into(),
            access: node.spec.access,
            limits: node.spec.limits,
            revoked: node.revoked,
        })
    }

    /// A node as an operator sees it; `None` where it is gone.
    #[must_use]
    pub fn node(&self, id: GrantId) -> Option<GrantNode<'_>> {
        self.tree.get(id).map(|node| self.seen(id, node))
    }

    /// All nodes, each before those that derive from it.
    pub fn tree(&self) -> impl Iterator<Item = GrantNode<'_>> {
        self.tree.iter().map(|(id, node)| self.seen(id, node))
    }

    fn seen<'a>(&self, id: GrantId, node: &'a Grant) -> GrantNode<'a> {
        GrantNode {
            id,
            parent: self.tree.parent(id),
            depth: self.tree.chain(id).skip(1).count(),
            spec: &node.spec,
            uses: node.uses,
            revoked: node.revoked,
            released: node.released,
        }
    }

    fn is_forgettable(&self, id: GrantId) -> bool {
        self.tree.get(id).is_some_and(|node| node.released) && self.tree.children_count(id) == 0
    }
}

fn check_label(label: &str) -> Result<(), GrantError> {
    match is_name(label) {
        true => Ok(()),
        false => Err(GrantError::Label(label.chars().take(64).collect::<String>().into())),
    }
}

fn check_rate(rate: Option<Rate>) -> Result<(), GrantError> {
    match rate {
        Some(Rate { uses: 0, .. } | Rate { per_ms: 0, .. }) => Err(GrantError::Rate),
        _ => Ok(()),
    }
}
