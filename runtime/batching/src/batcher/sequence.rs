//! One sequence: its tokens, and the blocks that it holds.

use super::memory::{Memory, Move};
use crate::{
    Namespace, Report, Speed, Task,
    blocks::{BLOCK_TOKENS, Block, blocks_of},
    tree::{Cursor, Found, Place},
};
use std::time::Duration;

/// Whether it is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It has no blocks, and waits for its turn.
    Waiting,
    /// It is computed.
    Running,
    /// It has no blocks, and its reader has stopped.
    Paused,
}

/// What was asked for while it was being computed, and is done after the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Nothing,
    Pause,
    Cancel,
}

/// Its table begins with the blocks of the tree's nodes up to `cursor`: all that are full. Behind them is at most one that has
/// some of its tokens, which nobody else writes, and in the middle of a step those that the step fills.
#[derive(Debug)]
pub(super) struct Sequence {
    pub(super) task: Task,
    pub(super) namespace: Namespace,
    /// Whether what it computes is for others too.
    pub(super) shares: bool,
    /// Prompt and output.
    pub(super) tokens: Vec<u32>,
    /// Tokens that it has at its end, at most.
    pub(super) tokens_max: usize,
    pub(super) state: State,
    pub(super) asked: Asked,
    /// Whether nobody may be computed in the same step.
    pub(super) is_alone: bool,
    /// Tokens that may come next.
    pub(super) proposed: Vec<u32>,
    /// How many of these are expected to come.
    pub(super) expected: f64,
    /// Tokens whose keys and values it has.
    pub(super) computed: usize,
    /// The most that it ever had.
    reached: usize,
    pub(super) table: Vec<Block>,
    cursor: Cursor,
    /// Blocks of the table that are of nodes.
    nodes: usize,
    pub(super) arrived: Duration,
    begun: Option<Duration>,
    first_drawn: Option<Duration>,
    /// When it had something last.
    pub(super) progressed: Duration,
    pub(super) report: Report,
}

impl Sequence {
    pub(super) fn new(task: Task, namespace: Namespace, prompt: Vec<u32>, output_max: usize, now: Duration) -> Self {
        Self {
            task,
            namespace,
            shares: true,
            tokens_max: prompt.len() + output_max,
            tokens: prompt,
            state: State::Waiting,
            asked: Asked::Nothing,
            is_alone: false,
            proposed: Vec::new(),
            expected: 0.0,
            computed: 0,
            reached: 0,
            table: Vec::new(),
            cursor: Cursor::Root(namespace),
            nodes: 0,
            arrived: now,
            begun: None,
            first_drawn: None,
            progressed: now,
            report: Report::default(),
        }
    }

    /// Tokens to compute before the next one can be drawn; at least 1.
    pub(super) fn pending(&self) -> usize {
        self.tokens.len() - self.computed
    }

    /// Blocks that its tokens need beyond those that it has, with room for the next one.
    pub(super) fn blocks_missing(&self) -> usize {
        blocks_of(self.tokens.len() + 1).saturating_sub(self.table.len())
    }

    /// Places in its blocks that have nothing in them.
    pub(super) fn places_empty(&self) -> usize {
        self.table.len() * BLOCK_TOKENS - self.computed
    }

    /// Blocks of its tokens that are at hand, and that others hold: they cost nothing.
    pub(super) fn blocks_held_by_others(&self, memory: &Memory) -> usize {
        let mut cursor = Cursor::Root(self.namespace);
        let mut held = 0;
        for run in self.tokens[..self.tokens.len() - 1].chunks_exact(BLOCK_TOKENS) {
            match memory.tree.find(cursor, run) {
                Found::Full(node, Place::Here(block)) if memory.tree.blocks.references(block) > 1 => {
                    cursor = Cursor::Node(node);
                    held += 1;
                }
                _ => break,
            }
        }
        held
    }

    pub(super) fn begin(&mut self, now: Duration) {
        self.state = State::Running;
        if self.begun.is_none() {
            self.begun = Some(now);
            self.report.queued = now.saturating_sub(self.arrived);
        }
    }

    /// Takes what is at hand of its tokens, all but the last. Answers how many tokens that gave.
    pub(super) fn adopt(&mut self, memory: &mut Memory, now: Duration) -> usize {
        let before = self.computed;
        while self.shares && self.pending() > 1 {
            let full = self.nodes * BLOCK_TOKENS;
            let found = memory.tree.find(self.cursor, &self.tokens[full..self.tokens.len() - 1]);
            let took = match found {
                Found::Full(node, place) => self.take_full(node, place, memory),
                Found::Part(node, place, common) if full + common > self.computed => {
                    let took = self.take_part(place, full + common, memory);
                    if took == Took::It {
                        memory.tree.hit(node, now);
                        break;
                    }
                    took
                }
                Found::Part(..) | Found::Nothing => break,
            };
            match took {
                Took::It => {
                    if let Cursor::Node(node) = self.cursor {
                        memory.tree.hit(node, now);
                    }
                }
                Took::MadeRoom => {}
                Took::Nothing => break,
            }
        }
        self.report.cached += self.computed.saturating_sub(self.reached.max(before));
        self.reached = self.reached.max(self.computed);
        self.computed - before
    }

    fn take_full(&mut self, node: crate::tree::NodeId, place: Place, memory: &mut Memory) -> Took {
        let block = match place {
            Place::Here(block) => block,
            Place::Out(_) if !memory.tree.blocks.can_allocate(1) => {
                // What goes may be what was found.
                return if memory.make_free(1) { Took::MadeRoom } else { Took::Nothing };
            }
            Place::Out(slot) => {
                let Some(block) = memory.tree.blocks.allocate() else { return Took::Nothing };
                memory.tree.bring_in(node, block);
                memory.moves.push(Move::In(slot, block));
                block
            }
        };
        memory.tree.blocks.share(block);
        self.release_from(self.nodes, memory);
        self.table.push(block);
        self.nodes += 1;
        self.cursor = Cursor::Node(node);
        self.computed = self.nodes * BLOCK_TOKENS;
        Took::It
    }

    fn take_part(&mut self, place: Place, computed: usize, memory: &mut Memory) -> Took {
        if self.table.len() == self.nodes {
            if !memory.tree.blocks.can_allocate(1) {
                return if memory.make_free(1) { Took::MadeRoom } else { Took::Nothing };
            }
            self.table.extend(memory.tree.blocks.allocate());
        }
        let own = self.table[self.nodes];
        if memory.tree.blocks.references(own) > 1 {
            return Took::Nothing;
        }
        memory.moves.push(match place {
            Place::Here(block) => Move::Copy(block, own),
            Place::Out(slot) => Move::In(slot, own),
        });
        self.computed = computed;
        Took::It
    }

    /// Whether the first block that it would compute is the same as the other's.
    pub(super) fn repeats(&self, other: &Self) -> bool {
        let next = |sequence: &Self| {
            let begin = sequence.nodes * BLOCK_TOKENS;
            begin..begin + BLOCK_TOKENS
        };
        self.shares
            && self.cursor == other.cursor
            && self.tokens.len() > next(self).end
            && self.tokens.get(next(self)) == other.tokens.get(next(other))
    }

    /// Where the first block ends that is not full.
    pub(super) fn block_end(&self) -> usize {
        (self.computed / BLOCK_TOKENS + 1) * BLOCK_TOKENS
    }

    /// Tokens up to `end` were computed, as rows of so many from `begin` on.
    pub(super) fn advance(&mut self, begin: usize, end: usize, now: Duration) {
        let again = end.min(self.reached).saturating_sub(begin);
        self.report.recomputed += again;
        self.report.computed += (end - begin) - again;
        self.reached = self.reached.max(end);
        self.computed = end;
        self.progressed = now;
    }

    pub(super) fn drew(&mut self, drawn: &[u32], now: Duration) {
        self.tokens.extend_from_slice(drawn);
        self.report.drawn += drawn.len();
        let begun = self.begun.unwrap_or(now);
        let first = *self.first_drawn.get_or_insert(now);
        self.report.prefill = first.saturating_sub(begun);
        self.report.decode = now.saturating_sub(first);
    }

    /// Enters full blocks into the tree. Where somebody else was first, his is taken, and the own one is free.
    pub(super) fn enter(&mut self, memory: &mut Memory, speed: &Speed, now: Duration) {
        while self.shares && self.computed >= (self.nodes + 1) * BLOCK_TOKENS {
            let begin = self.nodes * BLOCK_TOKENS;
            let own = self.table[self.nodes];
            let run = &self.tokens[begin..begin + BLOCK_TOKENS];
            let seconds = speed.token(begin) * BLOCK_TOKENS as f64;
            let Some((node, block)) = memory.tree.insert(self.cursor, run, own, seconds, now) else { return };
            if block != own {
                memory.tree.blocks.share(block);
                memory.tree.blocks.release(own);
                self.table[self.nodes] = block;
            }
            self.cursor = Cursor::Node(node);
            self.nodes += 1;
        }
    }

    /// Enters what it has of the last block. It may go on writing behind that: others only copy it.
    pub(super) fn enter_rest(&mut self, memory: &mut Memory, speed: &Speed, now: Duration) -> Cursor {
        let begin = self.nodes * BLOCK_TOKENS;
        if self.shares && begin < self.computed {
            let run = &self.tokens[begin..self.computed];
            let seconds = speed.token(begin) * run.len() as f64;
            if let Some((node, _)) = memory.tree.insert(self.cursor, run, self.table[self.nodes], seconds, now) {
                return Cursor::Node(node);
            }
        }
        self.cursor
    }

    /// Gives blocks back that have none of its tokens.
    pub(super) fn trim(&mut self, memory: &mut Memory) {
        self.release_from(blocks_of(self.computed), memory);
    }

    fn release_from(&mut self, from: usize, memory: &mut Memory) {
        for block in self.table.drain(from.min(self.table.len())..) {
            memory.tree.blocks.release(block);
        }
    }

    /// Leaves all that it has to the tree. Answers the place behind its tokens there.
    pub(super) fn let_go(&mut self, memory: &mut Memory, speed: &Speed, now: Duration) -> Cursor {
        let tail = self.enter_rest(memory, speed, now);
        self.release_from(0, memory);
        self.forget();
        tail
    }

    /// Has nothing any more, since there is nothing any more.
    pub(super) fn forget(&mut self) {
        self.table.clear();
        self.cursor = Cursor::Root(self.namespace);
        self.nodes = 0;
        self.computed = 0;
        self.proposed.clear();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Took {
    It,
    /// There was no free block, and now there is one: look again.
    MadeRoom,
    Nothing,
}
