//! Which files there are, how large they are, and which of them was used least recently.

use remit_abi::TenantId;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;

/// A file: whose it is, and its name, which says nothing of the tokens to whoever has not the tenant's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct FileId {
    pub(super) tenant: TenantId,
    pub(super) name: [u8; 32],
}

#[derive(Clone, Copy, Debug)]
struct Known {
    bytes: u64,
    used: u64,
}

/// All files of the folder.
#[derive(Debug, Default)]
pub(super) struct Index {
    known: FxHashMap<FileId, Known>,
    /// By when they were used, on a clock that counts uses.
    by_use: BTreeMap<u64, FileId>,
    clock: u64,
    bytes: u64,
}

impl Index {
    pub(super) fn contains(&self, id: &FileId) -> bool {
        self.known.contains_key(id)
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A file is there, and was used just now.
    pub(super) fn insert(&mut self, id: FileId, bytes: u64) {
        self.remove(&id);
        self.clock += 1;
        self.known.insert(id, Known { bytes, used: self.clock });
        self.by_use.insert(self.clock, id);
        self.bytes += bytes;
    }

    /// A file is used now; whether it is there.
    pub(super) fn touch(&mut self, id: &FileId) -> bool {
        let Some(bytes) = self.known.get(id).map(|known| known.bytes) else { return false };
        self.insert(*id, bytes);
        true
    }

    pub(super) fn remove(&mut self, id: &FileId) {
        if let Some(Known { bytes, used }) = self.known.remove(id) {
            self.by_use.remove(&used);
            self.bytes -= bytes;
        }
    }

    /// Forgets a tenant's.
    pub(super) fn remove_tenant(&mut self, tenant: TenantId) {
        let theirs: Vec<FileId> = self.known.keys().filter(|id| id.tenant == tenant).copied().collect();
        theirs.iter().for_each(|id| self.remove(id));
    }

    /// Forgets the one that was used least recently, where there is any.
    pub(super) fn remove_oldest(&mut self) -> Option<FileId> {
        let (_, id) = self.by_use.first_key_value()?;
        let id = *id;
        self.remove(&id);
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(tenant: u32, name: u8) -> FileId {
        FileId { tenant: TenantId(tenant), name: [name; 32] }
    }

    #[test]
    fn what_was_used_least_recently_goes_first() {
        let mut index = Index::default();
        (0..4).for_each(|name| index.insert(id(1, name), 10));
        assert!(index.touch(&id(1, 0)) && !index.touch(&id(2, 0)));
        index.insert(id(1, 1), 30);
        assert_eq!((index.len(), index.bytes()), (4, 60));
        let order: Vec<_> = std::iter::from_fn(|| index.remove_oldest()).collect();
        assert_eq!(order, [2, 3, 0, 1].map(|name| id(1, name)));
        assert_eq!((index.len(), index.bytes()), (0, 0));
    }

    #[test]
    fn a_tenants_go_together() {
        let mut index = Index::default();
        for tenant in [1, 2, 1] {
            (0..3).for_each(|name| index.insert(id(tenant, name), 5));
        }
        index.remove_tenant(TenantId(1));
        assert_eq!((index.len(), index.bytes(), index.contains(&id(2, 1))), (3, 15, true));
    }
}
