//! Grants that outlive the host: what changed, to be written down, and how it is put back.

use super::{Grant, Grants, limits::Pace};
use remit_abi::{GrantId, GrantSpec};
use serde::{Deserialize, Serialize};
use std::mem;

/// A node of the tree with all that is kept of it. How fast it was used is not: after a restart a rate begins anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantImage {
    /// Its id.
    pub grant: GrantId,
    /// What it derives from; `None` for an operator's own.
    pub parent: Option<GrantId>,
    /// Label, kind, scope and limits.
    pub spec: GrantSpec,
    /// Under which label it was made.
    pub derived_as: Box<str>,
    /// Uses so far, those of derived grants included.
    pub uses: u64,
    /// Whether it, or one that it derives from, was taken back.
    pub revoked: bool,
    /// Whether nobody holds it any more.
    pub released: bool,
}

impl Grants {
    /// From here on, what changes is remembered until it is [taken](Grants::take_changed).
    pub fn remember_changes(&mut self) {
        self.changed.get_or_insert_default();
    }

    /// Whether something changed since the last call of [`Grants::take_changed`].
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.changed.as_ref().is_some_and(|changed| !changed.is_empty())
    }

    /// The grants that are new, gone, or different in more than their uses, each once; `Err` names one that is gone.
    pub fn take_changed(&mut self) -> Vec<Result<GrantImage, GrantId>> {
        let mut changed = self.changed.as_mut().map(mem::take).unwrap_or_default();
        // Parents were made before what derives from them.
        changed.sort_unstable_by_key(|id| (id.generation, id.index));
        changed.dedup();
        changed.into_iter().map(|id| self.kept(id).ok_or(id)).collect()
    }

    /// Puts a grant back as it was. What it derives from has to be there; whether it was put back.
    pub fn restore(&mut self, image: GrantImage) -> bool {
        let GrantImage { grant: id, parent, spec, derived_as, uses, revoked, released } = image;
        let grant = Grant { spec, derived_as, uses, pace: Pace::default(), revoked, released };
        self.tree.restore(id, parent, grant)
    }

    /// Whether a grant can leave memory, to be kept elsewhere as it is: an operator's own that somebody holds, from which nothing
    /// derives, whose rate nobody counts, and which has not changed since somebody last wrote that down.
    #[must_use]
    pub fn can_leave(&self, id: GrantId) -> bool {
        let is_quiet = |grant: &Grant| !grant.released && grant.spec.limits.rate.is_none();
        self.tree.get(id).is_some_and(is_quiet)
            && self.tree.parent(id).is_none()
            && self.tree.children_count(id) == 0
            && !self.changed.as_ref().is_some_and(|changed| changed.contains(&id))
    }

    /// Takes a grant out of memory that [can leave](Grants::can_leave); whether it could. It comes back by [`Grants::restore`].
    pub fn leave(&mut self, id: GrantId) -> bool {
        self.can_leave(id) && self.tree.remove(id).is_some()
    }

    /// Gives out no number below this one from here on.
    pub fn skip_to(&mut self, number: u64) {
        self.tree.skip_to(number);
    }

    fn kept(&self, id: GrantId) -> Option<GrantImage> {
        let Grant { spec, derived_as, uses, revoked, released, .. } = self.tree.get(id)?;
        Some(GrantImage {
            grant: id,
            parent: self.tree.parent(id),
            spec: spec.clone(),
            derived_as: derived_as.clone(),
            uses: *uses,
            revoked: *revoked,
            released: *released,
        })
    }

    pub(super) fn note(&mut self, id: GrantId) {
        if let Some(changed) = &mut self.changed {
            changed.push(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use remit_abi::{Access, GrantKind, GrantLimits, Narrowing, Scope};

    fn spec() -> GrantSpec {
        let kind = GrantKind::Model;
        let scope = Scope::parse(kind, &["m"]).expect("it is well-formed");
        GrantSpec { label: "chat".into(), kind, scope, access: Access::ReadWrite, limits: GrantLimits::default() }
    }

    #[test]
    fn a_grant_that_nothing_hangs_on_leaves_and_comes_back_unchanged() {
        let mut grants = Grants::default();
        grants.remember_changes();
        let root = grants.issue(spec()).expect("an operator's");
        assert!(!grants.leave(root), "nobody has written it down");
        let kept = grants.take_changed().pop().and_then(Result::ok).expect("it is new");
        let part = grants.attenuate(root, "part", &Narrowing::default()).expect("no wider");
        grants.take_changed();
        assert!(!grants.leave(root) && !grants.leave(part), "one derives from the other");
        grants.release(part);
        grants.take_changed();
        assert!(grants.leave(root) && !grants.is_live(root));
        assert!(!grants.has_changed(), "it is kept as it was");
        assert!(grants.restore(kept) && grants.is_live(root));
    }

    #[test]
    fn what_changed_puts_the_tree_together_again() {
        let mut grants = Grants::default();
        grants.remember_changes();
        let mut kept = std::collections::BTreeMap::new();
        let mut write = |grants: &mut Grants| {
            for changed in grants.take_changed() {
                match changed {
                    Ok(grant) => drop(kept.insert(grant.grant, grant)),
                    Err(gone) => drop(kept.remove(&gone)),
                }
            }
            kept.clone()
        };
        let root = grants.issue(spec()).expect("an operator's");
        let part = grants.attenuate(root, "part", &Narrowing::default()).expect("no wider");
        let leaf = grants.attenuate(part, "leaf", &Narrowing::default()).expect("no wider");
        write(&mut grants);
        grants.relabel(leaf, "mine");
        grants.revoke(part).expect("it is there");
        grants.release(part);
        let gone = grants.attenuate(root, "gone", &Narrowing::default()).expect("no wider");
        grants.release(gone);
        let kept = write(&mut grants);
        assert!(!grants.has_changed());
        let mut again = Grants::default();
        assert!(kept.into_values().all(|grant| again.restore(grant)));
        assert!(again.tree().eq(grants.tree()));
        assert_eq!(again.issue(spec()).expect("an operator's").index, gone.index, "only what is kept is skipped");
        again.skip_to(9);
        assert_eq!(again.issue(spec()).expect("an operator's").index, 9);
    }
}
