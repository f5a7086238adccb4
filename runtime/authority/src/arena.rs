//! A table whose ids go stale: slots are reused only under a new generation.

use slotmap::{DefaultKey, Key, KeyData, SlotMap};
use std::marker::PhantomData;

/// Objects of one kind under ids of their own type. A stale or invented id finds nothing.
#[derive(Debug)]
pub struct Arena<Id, T> {
    /// Made with the first object: an empty map takes memory, and most tables of most processes stay empty.
    slots: Option<SlotMap<DefaultKey, T>>,
    id: PhantomData<fn() -> Id>,
}

impl<Id, T> Default for Arena<Id, T> {
    fn default() -> Self {
        Self { slots: None, id: PhantomData }
    }
}

impl<Id: From<(u32, u32)> + Into<(u32, u32)> + Copy, T> Arena<Id, T> {
    /// Puts an object in; its id has never named another one.
    pub fn insert(&mut self, object: T) -> Id {
        Self::id(self.slots.get_or_insert_default().insert(object))
    }

    /// As [`Arena::insert`], for an object that has to know its own id.
    pub fn insert_with(&mut self, make: impl FnOnce(Id) -> T) -> Id {
        Self::id(self.slots.get_or_insert_default().insert_with_key(|key| make(Self::id(key))))
    }

    /// The object, where it lives.
    pub fn get(&self, id: Id) -> Option<&T> {
        self.slots.as_ref()?.get(Self::key(id)?)
    }

    /// The object, where it lives.
    pub fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        self.slots.as_mut()?.get_mut(Self::key(id)?)
    }

    /// Takes the object out; its id is stale from here on.
    pub fn remove(&mut self, id: Id) -> Option<T> {
        self.slots.as_mut()?.remove(Self::key(id)?)
    }

    /// How many live here.
    pub fn len(&self) -> usize {
        self.slots.as_ref().map_or(0, SlotMap::len)
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same objects in the same order under the ids that they get in an empty table.
    #[must_use]
    pub fn renumbered(self) -> Self {
        let mut again = Self::default();
        for (_, object) in self.slots.into_iter().flatten() {
            again.insert(object);
        }
        again
    }

    /// All of them, in no stated order.
    pub fn into_objects(self) -> impl Iterator<Item = T> {
        self.slots.into_iter().flatten().map(|(_, object)| object)
    }

    /// All of them with their ids, in no stated order.
    pub fn iter(&self) -> impl Iterator<Item = (Id, &T)> {
        self.slots.iter().flatten().map(|(key, object)| (Self::id(key), object))
    }

    /// All of them, to be changed, in no stated order.
    pub fn objects_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().flat_map(|slots| slots.values_mut())
    }

    fn id(key: DefaultKey) -> Id {
        let bits = key.data().as_ffi();
        Id::from((bits as u32, (bits >> 32) as u32))
    }

    /// The map's key; it marks live slots by odd generations, and would round an even one up.
    fn key(id: Id) -> Option<DefaultKey> {
        let (index, generation) = id.into();
        (generation % 2 == 1).then(|| KeyData::from_ffi(u64::from(generation) << 32 | u64::from(index)).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use remit_abi::ValueId;

    #[test]
    fn a_stale_or_invented_id_finds_nothing() {
        let mut arena: Arena<ValueId, &str> = Arena::default();
        let first = arena.insert("first");
        assert_eq!(arena.remove(first), Some("first"));
        let second = arena.insert("second");
        assert_eq!(second.index, first.index, "the slot is reused");
        assert_eq!(arena.get(first), None);
        assert_eq!(arena.get(ValueId { generation: second.generation - 1, ..second }), None);
        assert_eq!(arena.get(ValueId { index: 7, generation: 1 }), None);
        assert_eq!(arena.get(second), Some(&"second"));
    }
}
