//! Under which names a context's pages lie in a store.
//!
//! A page says which context it is of, and which segment. A fork writes under a name of its own, and what was said before the fork lies under
//! its ancestor's: so each finds its own past, and nothing of the other's future.

use remit_abi::{Comparison, Condition, ContextId, EntryFilter, Scalar, limits};
use serde::{Deserialize, Serialize};

/// The field that names the context.
pub(crate) const CONTEXT: &str = "context";
/// The field that numbers the segment.
pub(crate) const SEGMENT: &str = "segment";
/// The field that says who spoke.
pub(crate) const ROLE: &str = "role";

/// Ancestors whose pages are looked for, the nearest ones: each takes up to three conditions of a filter. What older ones wrote is paged in
/// by id.
const ANCESTORS_MAX: usize = 16;

const _: () = assert!(3 * ANCESTORS_MAX < limits::MEMORY_CONDITIONS_MAX, "a search has no more conditions than it may");

/// The names of a context.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Names {
    /// Of its run, by its process and the moment of its opening.
    base: Box<str>,
    own: Box<str>,
    /// Those that it was forked from or restored after, the nearest first, each with how many segments they share.
    ancestors: Vec<(Box<str>, u64)>,
}

impl Names {
    /// Of one without a past.
    pub(super) fn new(base: &str, id: ContextId) -> Self {
        Self { base: base.into(), own: own(base, id), ancestors: Vec::new() }
    }

    /// Of one that goes on from so many segments.
    pub(super) fn branch(&self, base: Option<&str>, id: ContextId, shared: u64) -> Self {
        let base = base.unwrap_or(&self.base);
        let nearest = std::iter::once((self.own.clone(), shared));
        let others = self.ancestors.iter().cloned().map(|(name, until)| (name, until.min(shared)));
        let ancestors = nearest.chain(others).take(ANCESTORS_MAX).collect();
        Self { base: base.into(), own: own(base, id), ancestors }
    }

    /// Under which it writes.
    pub(crate) fn own(&self) -> &str {
        &self.own
    }

    /// Whether they are such as the kernel makes.
    pub(super) fn are_possible(&self) -> bool {
        let mut all = self.ancestors.iter().map(|(name, _)| name).chain([&self.own, &self.base]);
        self.ancestors.len() <= ANCESTORS_MAX && all.all(|name| name.len() <= limits::MEMORY_FIELD_BYTES_MAX)
    }

    /// Which entries of a store are pages of it.
    pub(crate) fn filter(&self) -> EntryFilter {
        let named = |name: &str, comparison| Condition::Field {
            name: CONTEXT.into(),
            comparison,
            value: Scalar::Text(name.into()),
        };
        let all = std::iter::once(&self.own).chain(self.ancestors.iter().map(|(name, _)| name));
        let mut clauses = vec![all.map(|name| named(name, Comparison::Equal)).collect::<Vec<_>>()];
        for (name, until) in &self.ancestors {
            let before = Condition::Field {
                name: SEGMENT.into(),
                comparison: Comparison::Less,
                value: Scalar::Integer(i64::try_from(*until).unwrap_or(i64::MAX)),
            };
            clauses.push(vec![named(name, Comparison::Different), before]);
        }
        EntryFilter(clauses)
    }
}

fn own(base: &str, id: ContextId) -> Box<str> {
    format!("{base}/{}.{}", id.index, id.generation).into()
}
