//! Why a use was denied, and what would have allowed it.
//!
//! A process is told its own grant's label and no more. An operator is told which grant of the chain refused, and is shown
//! the grant that would have been enough.

use super::{Grant, Grants, Refusal, Use, check::Clock};
use remit_abi::{Denial, GrantId, GrantKind, GrantLimits, GrantSpec, Rate, Scope};

/// Why a use was denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What the process was told.
    pub denial: Denial,
    /// Why.
    pub refusal: Refusal,
    /// The grant nearest to the root that refuses for this reason: no other one below it would help. `None` where no
    /// grant is held.
    pub refused_by: Option<GrantId>,
    /// The narrowest grant that contains the one that refused and allows the use. `None` where no grant could: what was
    /// named is no thing of that kind, or nothing was named.
    pub enough: Option<GrantSpec>,
}

impl Explanation {
    /// For a use under a label, or of a kind, that the process holds no grant for.
    #[must_use]
    pub fn not_granted(label: &str, wanted: &Use<'_>) -> Self {
        let spec = |scope| GrantSpec {
            label: label.into(),
            kind: wanted.kind,
            scope,
            access: wanted.access,
            limits: GrantLimits::default(),
        };
        let scope = wanted.name.and_then(|name| scope_with(wanted.kind, &[], name));
        Self {
            denial: Denial::NotGranted(label.into()),
            refusal: Refusal::NotHeld,
            refused_by: None,
            enough: scope.map(spec),
        }
    }
}

impl Grants {
    /// Why a use is denied now; `None` where it is allowed. Counts nothing. `now` is as in [`Grants::check`].
    #[must_use]
    pub fn explain(&self, id: GrantId, wanted: &Use<'_>, now: impl Fn() -> u64) -> Option<Explanation> {
        let mut clock = Clock::new(now);
        let (_, refusal) = self.verdict(id, wanted, &mut clock).err()?;
        if matches!(refusal, Refusal::NotHeld | Refusal::OtherKind) {
            let refused_by = self.tree.get(id).filter(|node| !node.released).map(|_| id);
            return Some(Explanation { refusal, refused_by, ..Explanation::not_granted(wanted.kind.name(), wanted) });
        }
        let mut refuses = |node: &Grant| {
            let answers = [node.allows(wanted, &mut clock), node.has_use_left(&mut clock)];
            answers.into_iter().filter_map(Result::err).any(|other| is_same(refusal, other))
        };
        let (refused_by, node) = self.tree.chain(id).filter(|(_, node)| refuses(node)).last()?;
        Some(Explanation {
            denial: self.denial(id, refusal, wanted),
            refusal,
            refused_by: Some(refused_by),
            enough: widened(node, wanted, refusal, clock.now_ns()),
        })
    }
}

fn is_same(one: Refusal, other: Refusal) -> bool {
    std::mem::discriminant(&one) == std::mem::discriminant(&other)
}

/// The specification, raised where the use goes beyond it.
fn widened(node: &Grant, wanted: &Use<'_>, refusal: Refusal, now_ns: u64) -> Option<GrantSpec> {
    let held = &node.spec;
    let scope = match wanted.name {
        Some(name) if !held.scope.contains(name) => scope_with(held.kind, held.scope.entries(), name)?,
        _ => held.scope.clone(),
    };
    let faster = |rate: Rate| match refusal {
        Refusal::Rate { .. } => Rate { uses: rate.uses.saturating_add(1), ..rate },
        _ => rate,
    };
    let limits = held.limits;
    let limits = GrantLimits {
        uses: limits.uses.map(|most| most.max(node.uses.saturating_add(1))),
        rate: limits.rate.map(faster),
        expires_ns: limits.expires_ns.filter(|expires_ns| *expires_ns > now_ns),
        max_tokens_per_call: limits.max_tokens_per_call.map(|most| most.max(wanted.tokens)),
        ceiling: limits.ceiling.map(|ceiling| ceiling.join(wanted.label)),
    };
    Some(GrantSpec { scope, access: held.access.max(wanted.access), limits, ..held.clone() })
}

/// Entries and one more; `None` where that is no single thing, or one too many.
fn scope_with(kind: GrantKind, entries: &[Box<str>], name: &str) -> Option<Scope> {
    let entries: Vec<_> = entries.iter().map(|entry| &**entry).chain([name]).collect();
    Scope::parse(kind, &entries).ok().filter(|scope| scope.contains(name))
}
