//! The tree with what a plan has to move for it.

use crate::{
    blocks::{Block, Slot},
    chain::Prefix,
    tree::{Evicted, Named, Place, Tree},
};
use std::time::Duration;

/// Bytes that are moved before a step is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// A block is written out.
    Out(Block, Slot),
    /// A block is read in.
    In(Slot, Block),
    /// A block is copied into another, so that each has one writer.
    Copy(Block, Block),
    /// A block that leaves may be kept as a snapshot.
    Keep(Place, Prefix),
}

/// How much of what is known of a move's time is the last one's. A quarter: a disk that is busy is found out after a few blocks, and
/// one slow write is not all that is known.
const RATE: f64 = 0.25;

/// In which time a block moves, each way; learnt from those that moved.
#[derive(Clone, Copy, Debug)]
pub(super) struct SwapSpeed {
    out_seconds: f64,
    in_seconds: f64,
}

impl SwapSpeed {
    /// A guess of both together.
    pub(super) fn new(there_and_back: Duration) -> Self {
        let each = there_and_back.as_secs_f64() / 2.0;
        Self { out_seconds: each, in_seconds: each }
    }

    /// There and back.
    fn seconds(self) -> f64 {
        self.out_seconds + self.in_seconds
    }

    /// A block moved in so much time.
    pub(super) fn learn(&mut self, step: &Move, took: Duration) {
        let seconds = match step {
            Move::Out(..) => &mut self.out_seconds,
            Move::In(..) => &mut self.in_seconds,
            Move::Copy(..) | Move::Keep(..) => return,
        };
        *seconds += RATE * (took.as_secs_f64() - *seconds);
    }
}

/// In which time a block of a snapshot is read; learnt from those that were.
#[derive(Clone, Copy, Debug)]
pub(super) struct RestoreSpeed {
    pub(super) seconds: f64,
}

impl RestoreSpeed {
    pub(super) fn new(guess: Duration) -> Self {
        Self { seconds: guess.as_secs_f64() }
    }

    /// A block was read in so much time.
    pub(super) fn learn(&mut self, took: Duration) {
        self.seconds += RATE * (took.as_secs_f64() - self.seconds);
    }

    /// Whether reading a block takes less time than computing it.
    pub(super) fn pays(self, of: &Named) -> bool {
        self.seconds < of.seconds
    }
}

#[derive(Debug)]
pub(super) struct Memory {
    pub(super) tree: Tree,
    /// `None` where there are no slots.
    pub(super) swap: Option<SwapSpeed>,
    /// `None` where there are no snapshots.
    pub(super) restore: Option<RestoreSpeed>,
    /// For the next plan, in order: what is freed by one of them is used by a later one.
    pub(super) moves: Vec<Move>,
    pub(super) dropped: u64,
}

impl Memory {
    pub(super) fn new((blocks, slots): (usize, usize), swap: Option<SwapSpeed>, restore: Option<RestoreSpeed>) -> Self {
        let tree = Tree::new(blocks, slots);
        let tree = if restore.is_some() { tree.naming() } else { tree };
        Self { tree, swap, restore, moves: Vec::new(), dropped: 0 }
    }

    /// Makes so many blocks free, as far as nobody reads them; whether that was enough.
    pub(super) fn make_free(&mut self, count: usize) -> bool {
        while !self.tree.blocks.can_allocate(count) {
            let evicted = self.tree.evict(self.swap.map(SwapSpeed::seconds));
            // Before their places are written again.
            let gone = self.tree.take_gone().into_iter();
            let pays = |named: &Named| self.restore.is_some_and(|restore| restore.pays(named));
            self.moves.extend(gone.filter(pays).map(|named| Move::Keep(named.place, named.prefix)));
            match evicted {
                Some(Evicted::Out(block, slot)) => self.moves.push(Move::Out(block, slot)),
                Some(Evicted::Dropped) => self.dropped += 1,
                None => return false,
            }
        }
        true
    }
}
