//! Grants on their way from one process to another, with a child's start or in a message.
//!
//! A grant is in exactly one process's table, in one message, or in one answer. It changes its place in one step under its
//! holder's lock, at the moment from which on the other side has it.

use crate::{
    kernel::Shared,
    ports::{HeldImage, Note},
    process::{Held, Process},
};
use remit_abi::{NamedGrant, is_name, limits};

/// Whether these grants can be passed on as asked; the error says why not.
pub(super) fn check(process: &Process, grants: &[NamedGrant]) -> Result<(), Box<str>> {
    if grants.len() > limits::PASSED_GRANTS_MAX {
        return Err(
            format!("it passes {} grants on and {} are the most", grants.len(), limits::PASSED_GRANTS_MAX).into()
        );
    }
    for (index, named) in grants.iter().enumerate() {
        if !is_name(&named.label) {
            return Err("a grant's label must have 1 to 256 ASCII letters, digits and -._/:@".into());
        }
        if process.grants.get(named.grant).is_none() {
            return Err(format!("the grant for {} is not this process's any more", named.label).into());
        }
        if grants[..index].iter().any(|earlier| earlier.grant == named.grant || earlier.label == named.label) {
            return Err(format!("the grant for {} is passed on twice, or its label is", named.label).into());
        }
    }
    Ok(())
}

/// Takes grants that were checked out of their holder.
pub(super) fn give(process: &mut Process, grants: &[NamedGrant]) -> Vec<Held> {
    let given = |named: &NamedGrant| {
        let held = process.grants.remove(named.grant)?;
        Some(Held { label: named.label.clone(), ..held })
    };
    grants.iter().filter_map(given).collect()
}

/// Takes grants back that were not passed on after all, each under the label that it had: the tree learns a new one when
/// it arrives.
pub(super) fn take_back(shared: &Shared, process: &mut Process, grants: Vec<Held>) {
    let tree = shared.grants.lock();
    for held in grants {
        let label = tree.node(held.id).map_or(held.label, |node| node.spec.label.clone());
        process.grants.adopt(Held { label, ..held });
    }
}

/// Takes grants in: each under its label, or under one made from it where that is taken.
pub(super) fn adopt(shared: &Shared, process: &mut Process, grants: Vec<Held>) -> Vec<NamedGrant> {
    let mut tree = shared.grants.lock();
    let adopted = grants.into_iter().map(|held| {
        let grant = held.id;
        let kind = held.kind;
        let label = process.grants.adopt(held);
        tree.relabel(grant, &label);
        process.due.note(|| Note::Grant(HeldImage { label: label.clone(), grant, kind }));
        NamedGrant { label, grant }
    });
    adopted.collect()
}
