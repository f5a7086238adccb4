//! The tree with what a plan has to move for it.

use crate::{
    blocks::{Block, Slot},
    tree::{Evicted, Tree},
};

/// Bytes that are moved before a step is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// A block is written out.
    Out(Block, Slot),
    /// A block is read in.
    In(Slot, Block),
    /// A block is copied into another, so that each has one writer.
    Copy(Block, Block),
}

#[derive(Debug)]
pub(super) struct Memory {
    pub(super) tree: Tree,
    /// Seconds in which a block is written out and read in again; `None` where there are no slots.
    swap_seconds: Option<f64>,
    /// For the next plan, in order: what is freed by one of them is used by a later one.
    pub(super) moves: Vec<Move>,
    pub(super) dropped: u64,
}

impl Memory {
    pub(super) fn new(blocks: usize, slots: usize, swap_seconds: Option<f64>) -> Self {
        Self { tree: Tree::new(blocks, slots), swap_seconds, moves: Vec::new(), dropped: 0 }
    }

    /// Makes so many blocks free, as far as nobody reads them; whether that was enough.
    pub(super) fn make_free(&mut self, count: usize) -> bool {
        while !self.tree.blocks.can_allocate(count) {
            match self.tree.evict(self.swap_seconds) {
                Some(Evicted::Out(block, slot)) => self.moves.push(Move::Out(block, slot)),
                Some(Evicted::Dropped) => self.dropped += 1,
                None => return false,
            }
        }
        true
    }
}
