//! A table whose numbers are never given out again, and that can be put together anew, a part at a time.
//!
//! What is named beyond the life of a host lies here: an [`Arena`](crate::Arena) reuses its slots, and would have to hold all of them.

use rustc_hash::FxHashMap;
use std::marker::PhantomData;

/// Objects of one kind under ids of their own type, numbered in the order of their making from 0 on: an id's index are the lower
/// 32 bits of the number, its generation is one more than the upper ones. A stale or invented id finds nothing.
#[derive(Debug)]
pub struct Numbered<Id, T> {
    objects: FxHashMap<u64, T>,
    /// The next number.
    next: u64,
    id: PhantomData<fn() -> Id>,
}

impl<Id, T> Default for Numbered<Id, T> {
    fn default() -> Self {
        Self { objects: FxHashMap::default(), next: 0, id: PhantomData }
    }
}

impl<Id: From<(u32, u32)> + Into<(u32, u32)> + Copy, T> Numbered<Id, T> {
    /// Puts an object in; its id has never named another one.
    pub fn insert(&mut self, object: T) -> Id {
        self.insert_with(|_| object)
    }

    /// As [`Numbered::insert`], for an object that has to know its own id.
    pub fn insert_with(&mut self, make: impl FnOnce(Id) -> T) -> Id {
        let number = self.next;
        self.next += 1;
        let id = Self::id(number);
        self.objects.insert(number, make(id));
        id
    }

    /// Puts an object back under the id that it had. An id that is none is left out; whether it was put back.
    pub fn restore(&mut self, id: Id, object: T) -> bool {
        let Some(number) = Self::number(id) else { return false };
        self.skip_to(number.saturating_add(1));
        self.objects.insert(number, object);
        true
    }

    /// Gives out no number below this one from here on.
    pub fn skip_to(&mut self, number: u64) {
        self.next = self.next.max(number);
    }

    /// The object, where it is there.
    pub fn get(&self, id: Id) -> Option<&T> {
        self.objects.get(&Self::number(id)?)
    }

    /// The object, where it is there.
    pub fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        self.objects.get_mut(&Self::number(id)?)
    }

    /// Takes the object out; its id is stale from here on.
    pub fn remove(&mut self, id: Id) -> Option<T> {
        self.objects.remove(&Self::number(id)?)
    }

    /// How many are there.
    #[must_use]
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// All of them, in no stated order.
    pub fn iter(&self) -> impl Iterator<Item = (Id, &T)> {
        self.objects.iter().map(|(number, object)| (Self::id(*number), object))
    }

    /// The id of a number.
    #[must_use]
    pub fn id(number: u64) -> Id {
        // A generation of 2³² is 2⁶⁴ objects away.
        Id::from((number as u32, ((number >> 32) as u32).wrapping_add(1)))
    }

    /// The number of an id; none has the generation 0.
    #[must_use]
    pub fn number(id: Id) -> Option<u64> {
        let (index, generation) = id.into();
        Some(u64::from(generation.checked_sub(1)?) << 32 | u64::from(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use remit_abi::GrantId;

    #[test]
    fn a_number_is_given_out_once() {
        let mut numbered: Numbered<GrantId, &str> = Numbered::default();
        let first = numbered.insert("first");
        assert_eq!(numbered.remove(first), Some("first"));
        let second = numbered.insert("second");
        assert_ne!(first, second);
        assert_eq!((numbered.get(first), numbered.get(second)), (None, Some(&"second")));
        assert_eq!(numbered.get(GrantId { index: second.index, generation: 0 }), None);
    }

    #[test]
    fn what_is_put_back_is_found_and_nothing_new_takes_its_place() {
        let mut numbered: Numbered<GrantId, &str> = Numbered::default();
        let id = Numbered::<GrantId, &str>::id(u64::from(u32::MAX));
        assert_eq!(id, GrantId { index: u32::MAX, generation: 1 });
        assert!(numbered.restore(id, "back"));
        assert!(!numbered.restore(GrantId { index: 0, generation: 0 }, "invented"));
        assert_eq!(numbered.get(id), Some(&"back"));
        assert_eq!(numbered.insert("next"), GrantId { index: 0, generation: 2 });
        numbered.skip_to(5);
        assert_eq!(numbered.insert("later"), GrantId { index: 1, generation: 2 });
    }
}
