//! Names of confidentiality tags, interned per tenant so that a set of them is one machine word.

use parking_lot::Mutex;
use remit_abi::{TagSet, TenantId};
use std::{collections::HashMap, sync::Arc};

/// The tags of all tenants. A tag is kept as long as its tenant: labels that carry it may lie anywhere.
#[derive(Debug, Default)]
pub(crate) struct Tags {
    names: Mutex<HashMap<TenantId, Vec<Arc<str>>>>,
}

impl Tags {
    /// The set of one tag, and whether it is new; `None` where the tenant has [`TagSet::CAPACITY`] others already.
    pub(crate) fn intern(&self, tenant: TenantId, name: &str) -> Option<(TagSet, bool)> {
        let mut names = self.names.lock();
        let names = names.entry(tenant).or_default();
        let index = names.iter().position(|known| &**known == name).unwrap_or(names.len());
        let set = TagSet::single(u32::try_from(index).ok()?)?;
        let is_new = index == names.len();
        if is_new {
            names.push(name.into());
        }
        Some((set, is_new))
    }

    /// Forgets a tenant's.
    pub(crate) fn forget(&self, tenant: TenantId) {
        self.names.lock().remove(&tenant);
    }

    /// Puts back a name that was interned before the host started anew.
    pub(crate) fn restore(&self, tenant: TenantId, index: u32, name: &str) {
        let mut names = self.names.lock();
        let names = names.entry(tenant).or_default();
        if names.len() == index as usize {
            names.push(name.into());
        }
    }

    /// The set of those of these names that are tags of the tenant. Nothing carries the others.
    pub(crate) fn known(&self, tenant: TenantId, wanted: &[Box<str>]) -> TagSet {
        let names = self.names.lock();
        let known = names.get(&tenant).map_or(&[][..], Vec::as_slice);
        let index = |name: &str| known.iter().position(|known| **known == *name);
        let sets = wanted.iter().filter_map(|name| TagSet::single(u32::try_from(index(name)?).ok()?));
        sets.fold(TagSet::EMPTY, TagSet::union)
    }

    /// The names in a set, sorted.
    pub(crate) fn names(&self, tenant: TenantId, set: TagSet) -> Vec<Box<str>> {
        if set == TagSet::EMPTY {
            return Vec::new();
        }
        let names = self.names.lock();
        let known = names.get(&tenant).map_or(&[][..], Vec::as_slice);
        let mut named: Vec<Box<str>> =
            set.indices().filter_map(|index| known.get(index as usize)).map(|name| (&**name).into()).collect();
        named.sort_unstable();
        named
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_per_tenant_and_bounded() {
        let tags = Tags::default();
        let (one, two) = (TenantId(1), TenantId(2));
        let (secret, is_new) = tags.intern(one, "secret").expect("the first of 64");
        assert!(is_new);
        assert_eq!(tags.intern(one, "secret"), Some((secret, false)));
        assert_eq!(tags.names(one, secret), ["secret".into()]);
        assert!(tags.names(two, secret).is_empty());
        for index in 1..TagSet::CAPACITY {
            assert!(tags.intern(one, &format!("tag {index}")).is_some());
        }
        assert_eq!(tags.intern(one, "one more"), None);
        assert_eq!(tags.intern(one, "secret"), Some((secret, false)));
        tags.intern(two, "other").expect("the first of 64");
        tags.forget(one);
        assert!(tags.names(one, secret).is_empty());
        assert_eq!(tags.names(two, secret), ["other".into()]);
        assert_eq!(tags.intern(one, "new").map(|(_, is_new)| is_new), Some(true));
    }
}
