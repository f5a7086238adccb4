//! Blocks of keys and values by number: which are free, and how many hold each of the others.
//!
//! A block has room for [`BLOCK_TOKENS`] tokens in every layer. It has one writer at most, and any number of readers; each of them
//! holds a reference, and with the last one the block is free. The same pool counts the slots outside of the device, to which
//! blocks are swapped.

/// Tokens of a block. 16: half a block is wasted for each sequence on average, 1.3 % of 600 tokens, and a kernel still has long
/// runs to read.
pub const BLOCK_TOKENS: usize = 16;

/// How many blocks so many tokens take.
#[must_use]
pub const fn blocks_of(tokens: usize) -> usize {
    tokens.div_ceil(BLOCK_TOKENS)
}

/// A block of keys and values on the device, by its place in the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block(pub u32);

/// A place for a block's bytes outside of the device: in the host's memory, or on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);

/// What a pool counts.
pub trait Numbered: Copy {
    /// That with this number.
    fn of(number: u32) -> Self;
    /// Its number.
    fn number(self) -> u32;
}

impl Numbered for Block {
    fn of(number: u32) -> Self {
        Self(number)
    }

    fn number(self) -> u32 {
        self.0
    }
}

impl Numbered for Slot {
    fn of(number: u32) -> Self {
        Self(number)
    }

    fn number(self) -> u32 {
        self.0
    }
}

/// The device's blocks.
pub type BlockPool = Pool<Block>;
/// The slots outside of it.
pub type SlotPool = Pool<Slot>;

/// A pool of things with numbers from 0 on, with a count of references for each.
#[derive(Clone, Debug)]
pub struct Pool<N> {
    /// 0 where it is free.
    references: Vec<u32>,
    /// A stack: what was freed last is in caches, and is used first.
    free: Vec<N>,
    /// How many have more than one reference.
    shared: usize,
}

impl<N: Numbered> Pool<N> {
    /// A pool of so many, all free. At most 2³² − 1.
    #[must_use]
    pub fn new(size: usize) -> Self {
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        Self { references: vec![0; size as usize], free: (0..size).rev().map(N::of).collect(), shared: 0 }
    }

    /// How many there are.
    #[must_use]
    pub fn size(&self) -> usize {
        self.references.len()
    }

    /// How many are free.
    #[must_use]
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// How many are not.
    #[must_use]
    pub fn used(&self) -> usize {
        self.size() - self.free()
    }

    /// How many have more than one reference.
    #[must_use]
    pub fn shared(&self) -> usize {
        self.shared
    }

    /// Whether so many are free.
    #[must_use]
    pub fn can_allocate(&self, count: usize) -> bool {
        count <= self.free.len()
    }

    /// Takes a free one, with one reference.
    pub fn allocate(&mut self) -> Option<N> {
        let taken = self.free.pop()?;
        self.references[taken.number() as usize] = 1;
        Some(taken)
    }

    /// How many references one has.
    #[must_use]
    pub fn references(&self, of: N) -> u32 {
        self.references.get(of.number() as usize).copied().unwrap_or(0)
    }

    /// Adds a reference to one that is not free.
    ///
    /// # Panics
    /// Where it is free: somebody holds what was given back.
    pub fn share(&mut self, of: N) {
        let references = &mut self.references[of.number() as usize];
        assert!(*references > 0, "{} is shared and is free", of.number());
        *references += 1;
        self.shared += usize::from(*references == 2);
    }

    /// Takes a reference away; whether it was the last one.
    ///
    /// # Panics
    /// Where it is free: it was given back twice.
    pub fn release(&mut self, of: N) -> bool {
        let references = &mut self.references[of.number() as usize];
        assert!(*references > 0, "{} is given back twice", of.number());
        *references -= 1;
        self.shared -= usize::from(*references == 1);
        if *references == 0 {
            self.free.push(of);
        }
        self.references[of.number() as usize] == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Copy, Debug)]
    enum Act {
        Allocate,
        Share(usize),
        Release(usize),
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let act = prop_oneof![
            Just(Act::Allocate),
            any::<usize>().prop_map(Act::Share),
            any::<usize>().prop_map(Act::Release)
        ];
        proptest::collection::vec(act, 0..200)
    }

    proptest! {
        /// Against a list that has each reference once.
        #[test]
        fn a_pool_is_a_list_of_references(acts in acts(), size in 1..20usize) {
            let mut pool = BlockPool::new(size);
            let mut held: Vec<Block> = Vec::new();
            for act in acts {
                match act {
                    Act::Allocate => {
                        prop_assert_eq!(pool.can_allocate(1), pool.free() > 0);
                        match pool.allocate() {
                            Some(block) => {
                                prop_assert!(!held.contains(&block));
                                held.push(block);
                            }
                            None => prop_assert_eq!(pool.used(), size),
                        }
                    }
                    Act::Share(which) if !held.is_empty() => {
                        let block = held[which % held.len()];
                        pool.share(block);
                        held.push(block);
                    }
                    Act::Release(which) if !held.is_empty() => {
                        let block = held.swap_remove(which % held.len());
                        prop_assert_eq!(pool.release(block), !held.contains(&block));
                    }
                    Act::Share(_) | Act::Release(_) => {}
                }
                let count = |block: u32| held.iter().filter(|held| held.0 == block).count();
                let counts: Vec<_> = (0..size as u32).map(count).collect();
                let references: Vec<_> = (0..size as u32).map(|block| pool.references(Block(block)) as usize).collect();
                prop_assert_eq!(&references, &counts);
                prop_assert_eq!(pool.used(), counts.iter().filter(|count| **count > 0).count());
                prop_assert_eq!(pool.shared(), counts.iter().filter(|count| **count > 1).count());
            }
        }
    }

    #[test]
    #[should_panic(expected = "given back twice")]
    fn what_is_free_cannot_be_given_back() {
        let mut pool = BlockPool::new(1);
        let block = pool.allocate().expect("one is free");
        pool.release(block);
        pool.release(block);
    }

    #[test]
    fn tokens_take_whole_blocks() {
        assert_eq!([0, 1, 16, 17].map(blocks_of), [0, 1, 1, 2]);
    }
}
