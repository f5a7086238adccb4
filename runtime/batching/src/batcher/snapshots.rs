//! Blocks that are kept elsewhere by their names: which of them are worth keeping, which a sequence that waits is to have back, and
//! how they enter the tree again.
//!
//! Only whole blocks are kept: what a sequence has of its last one is computed in one row or two. A block is worth it where reading it
//! takes less time than computing it, and a sequence waits for those that it lacks where that is so of all of them together. What
//! reading takes is learnt from what was read, what computing takes from the steps.

use super::{
    Batcher, Move, SequenceId,
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
    /// What a sequence that waits should have back, of what is kept: blocks behind those that are here. `None` where there is
    /// nothing, or computing them takes less time.
    #[must_use]
    pub fn restorable(&self, id: SequenceId, is_kept: impl Fn(&Prefix) -> bool) -> Option<Restorable> {
        let restore = self.memory.restore?;
        let waits = |sequence: &&Sequence| sequence.state == State::Waiting && sequence.shares;
        let sequence = self.sequences.get(&id).filter(waits)?;
        let namespace = sequence.namespace;
        // The last token is computed in any case.
        let (_, tokens) = sequence.tokens.split_last()?;
        let (at_hand, cursor) = self.behind(Cursor::Root(namespace), tokens)?;
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

    /// How many whole blocks of these tokens are here, and the place behind them. `None` where there are more outside of the device:
    /// what is behind those cannot be here.
    fn behind(&self, mut cursor: Cursor, tokens: &[u32]) -> Option<(usize, Cursor)> {
        let mut count = 0;
        for run in tokens.chunks_exact(BLOCK_TOKENS) {
            match self.memory.tree.find(cursor, run) {
                Found::Full(node, Place::Here(_)) => cursor = Cursor::Node(node),
                Found::Full(_, Place::Out(_)) => return None,
                Found::Part(..) | Found::Nothing => break,
            }
            count += 1;
        }
        Some((count, cursor))
    }

    /// Makes room for one block of a sequence, with so many before it, that was read from a snapshot. The moves are made first, then its
    /// bytes are written into the block. `None` where it cannot enter: what is before it has left, there is no room, or it is here
    /// already.
    pub fn restore(&mut self, id: SequenceId, index: usize, now: Duration) -> Option<(Vec<Move>, Block)> {
        let sequence = self.sequences.get(&id)?;
        let (_, tokens) = sequence.tokens.split_last()?;
        let begin = index * BLOCK_TOKENS;
        let run: [u32; BLOCK_TOKENS] = tokens.get(begin..begin + BLOCK_TOKENS)?.try_into().ok()?;
        let root = Cursor::Root(sequence.namespace);
        let (before, cursor) = self.behind(root, tokens.get(..begin)?)?;
        if before < index || matches!(self.memory.tree.find(cursor, &run), Found::Full(_, Place::Here(_))) {
            return None;
        }
        // What goes for it must not be what it stands on.
        let held = self.memory.tree.path(cursor).last().map(|named| named.place);
        let held = held.and_then(|place| if let Place::Here(block) = place { Some(block) } else { None });
        if let Some(block) = held {
            self.memory.tree.blocks.share(block);
        }
        let own = if self.memory.make_free(1) { self.memory.tree.blocks.allocate() } else { None };
        if let Some(block) = held {
            self.memory.tree.blocks.release(block);
        }
        let own = own?;
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
