//! Blocks that are kept elsewhere by their names: which of them are worth keeping, which a sequence that waits is to have back, and
//! how they enter the tree again.
//!
//! Only whole blocks are kept: what a sequence has of its last one is computed in one row or two. A block is worth it where reading it
//! takes less time than computing it, and a sequence waits for those that it lacks where that is so of all of them together. What
//! reading takes is learnt from what was read, what computing takes from the steps.

use super::{
    Batcher, Move, SequenceId,
    memory::Memory,
    sequence::{Sequence, State},
};
use crate::{
    BLOCK_TOKENS, Block, Load, Prefix,
    tree::{Cursor, Found, Named, Place},
};
use std::time::Duration;

/// What a sequence that waits lacks and may have back.
#[derive(Clone, Debug, PartialEq)]
pub struct Restorable {
    /// How many blocks are at hand before them.
    pub at_hand: usize,
    /// The next ones, in their order; at least one.
    pub prefixes: Vec<Prefix>,
    /// In which time they would be computed.
    pub compute: Duration,
}

impl Batcher {
    /// What a sequence that waits should have back, of what is kept: blocks behind those that are at hand. `None` where there is
    /// nothing, or computing them takes less time.
    #[must_use]
    pub fn restorable(&self, id: SequenceId, is_kept: impl Fn(&Prefix) -> bool) -> Option<Restorable> {
        let restore = self.memory.restore?;
        let waits = |sequence: &&Sequence| sequence.state == State::Waiting && sequence.shares;
        let sequence = self.sequences.get(&id).filter(waits)?;
        let namespace = sequence.namespace;
        // The last token is computed in any case.
        let (_, tokens) = sequence.tokens.split_last()?;
        let (mut at_hand, mut cursor) = (0, Cursor::Root(namespace));
        for run in tokens.chunks_exact(BLOCK_TOKENS) {
            let Found::Full(node, _) = self.memory.tree.find(cursor, run) else { break };
            cursor = Cursor::Node(node);
            at_hand += 1;
        }
        let mut chain = self.memory.tree.chain(cursor);
        let mut prefixes = Vec::new();
        let room = self.memory.tree.available();
        for run in tokens.chunks_exact(BLOCK_TOKENS).skip(at_hand).take(room) {
            chain = chain.then(run);
            let prefix = Prefix { namespace, chain };
            if !is_kept(&prefix) {
                break;
            }
            prefixes.push(prefix);
        }
        let load = Load::span(at_hand * BLOCK_TOKENS, prefixes.len() * BLOCK_TOKENS, true);
        let seconds = self.speed.added(load);
        let pays = !prefixes.is_empty() && restore.seconds * (prefixes.len() as f64) < seconds;
        pays.then(|| Restorable { at_hand, prefixes, compute: Duration::from_secs_f64(seconds) })
    }

    /// Makes room for one block of a sequence, with so many before it, that was read from a snapshot. The moves are made first, then its
    /// bytes are written into the block. `None` where it cannot enter: what is before it has left, there is no room, or it is at hand
    /// already.
    pub fn restore(&mut self, id: SequenceId, index: usize, now: Duration) -> Option<(Vec<Move>, Block)> {
        let sequence = self.sequences.get(&id)?;
        let (_, tokens) = sequence.tokens.split_last()?;
        let begin = index * BLOCK_TOKENS;
        let run: [u32; BLOCK_TOKENS] = tokens.get(begin..begin + BLOCK_TOKENS)?.try_into().ok()?;
        let mut cursor = Cursor::Root(sequence.namespace);
        for run in tokens.get(..begin)?.chunks_exact(BLOCK_TOKENS) {
            cursor = bring_in(&mut self.memory, cursor, run)?;
        }
        if matches!(self.memory.tree.find(cursor, &run), Found::Full(..)) {
            return None;
        }
        let own = room_behind(&mut self.memory, cursor)?;
        let seconds = self.speed.token(begin) * BLOCK_TOKENS as f64;
        let entered = self.memory.tree.insert(cursor, &run, own, seconds, now);
        self.memory.tree.blocks.release(own);
        entered.filter(|(_, block)| *block == own)?;
        self.totals.restored += 1;
        let moves = std::mem::take(&mut self.memory.moves);
        self.count_moves(&moves);
        Some((moves, own))
    }

    /// A block of a snapshot was read in so much time.
    pub fn restored(&mut self, took: Duration) {
        if let Some(restore) = &mut self.memory.restore {
            restore.learn(took);
        }
    }

    /// What is at hand of a program's last call, as far as it is worth keeping: the program will not come back soon.
    #[must_use]
    pub fn resting(&self, tenant: u64, program: u64) -> Vec<(Place, Prefix)> {
        let tail = self.programs.tail((tenant, program));
        self.worth_keeping(tail.map(|tail| self.memory.tree.path(tail)).unwrap_or_default())
    }

    /// All that is at hand and worth keeping, each block behind those before it: the device is about to go.
    #[must_use]
    pub fn leaving(&self) -> Vec<(Place, Prefix)> {
        self.worth_keeping(self.memory.tree.whole())
    }

    fn worth_keeping(&self, blocks: Vec<Named>) -> Vec<(Place, Prefix)> {
        let Some(restore) = self.memory.restore else { return Vec::new() };
        let kept = blocks.into_iter().filter(|named| restore.pays(named));
        kept.map(|named| (named.place, named.prefix)).collect()
    }
}

/// The place behind a whole block that is at hand, which is here then. `None` where it is not at hand, or there is no room for it.
fn bring_in(memory: &mut Memory, cursor: Cursor, run: &[u32]) -> Option<Cursor> {
    if let Found::Full(_, Place::Out(_)) = memory.tree.find(cursor, run) {
        let block = room_behind(memory, cursor)?;
        // What went for it may be what was found.
        let Found::Full(node, Place::Out(slot)) = memory.tree.find(cursor, run) else {
            memory.tree.blocks.release(block);
            return None;
        };
        memory.tree.bring_in(node, block);
        memory.moves.push(Move::In(slot, block));
    }
    match memory.tree.find(cursor, run) {
        Found::Full(node, Place::Here(_)) => Some(Cursor::Node(node)),
        _ => None,
    }
}

/// A block for what comes behind a place that is here, which is not what goes for it.
fn room_behind(memory: &mut Memory, cursor: Cursor) -> Option<Block> {
    let held = match memory.tree.place(cursor) {
        Some(Place::Here(block)) => Some(block),
        _ => None,
    };
    if let Some(block) = held {
        memory.tree.blocks.share(block);
    }
    let own = if memory.make_free(1) { memory.tree.blocks.allocate() } else { None };
    if let Some(block) = held {
        memory.tree.blocks.release(block);
    }
    own
}
