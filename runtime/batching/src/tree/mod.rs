//! A prefix tree over blocks: keys and values that were computed, for whoever's tokens begin alike.
//!
//! A node is one block and the run of tokens in it, behind those of its parents. Nodes with full runs have children; a run that
//! ends before its block does is a leaf. Runs of more than one block on an edge would save some bytes beside a block's many
//! thousand, and would have to be split.
//!
//! - Each [`Namespace`] has a root of its own: that a prompt was seen before is itself something that another tenant must not
//!   learn, and with another adapter keys and values are others.
//! - No run is the beginning of a sibling's. So the sibling that has most tokens in common with some others is one of the two next
//!   to them in order.
//! - The tree has one reference to each of its blocks, and sequences that read it have one each. What they read does not go, nor do
//!   its parents, which they read as well.
//! - Nodes are *here*, in a block, or *out*, in a slot. What lies below a node that is out is out as well.
//!
//! # What goes first
//!
//! The leaf that is worth least. A node's worth at the time `t` is what it is likely to save:
//!
//! > worth = seconds to compute its block again × (1 + hits) × 2^(−(t − expected) ÷ [`HALF_LIFE`])
//!
//! `expected` is when it was used last, or when its program is expected back (see `programs`). Until then it is worth more than
//! anything that is used now, and the longer its program is overdue, the less. All worths halve alike, so that their order never
//! changes by itself, and the order of their logarithms is kept in place of them: `expected` + [`HALF_LIFE`] × log₂(seconds × (1 +
//! hits)). This is the order of GreedyDual-Size-Frequency (Cherkasova, HP Labs 1998) with time for its clock.

mod gone;
#[cfg(test)]
mod tests;

use crate::{
    blocks::{BLOCK_TOKENS, Block, BlockPool, Slot, SlotPool},
    chain::Chain,
};
pub(crate) use gone::Named;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

/// In such a time what is not used loses half of its worth. 30 s: most tools have answered by then, and a prefix that is hit twice
/// as often may be that much older.
pub(crate) const HALF_LIFE: Duration = Duration::from_secs(30);
/// Hits that count. 1,023: ten half-lives, so that what was popular once goes some minutes later.
const HITS_MAX: u32 = 1_023;

/// Whose tokens they are, and of what: prefixes are never shared between two of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace {
    /// The tenant.
    pub tenant: u64,
    /// The model, and its adapter.
    pub model: u64,
}

/// The tokens of one block, or its first ones.
#[derive(Clone, Copy, Debug)]
struct Run {
    tokens: [u32; BLOCK_TOKENS],
    length: u8,
}

impl Run {
    /// At most as many as a block has.
    fn new(of: &[u32]) -> Self {
        let mut tokens = [0; BLOCK_TOKENS];
        let length = of.len().min(BLOCK_TOKENS);
        tokens[..length].copy_from_slice(&of[..length]);
        Self { tokens, length: length as u8 }
    }

    fn get(&self) -> &[u32] {
        &self.tokens[..usize::from(self.length)]
    }

    fn common(&self, with: &[u32]) -> usize {
        self.get().iter().zip(with).take_while(|(a, b)| a == b).count()
    }
}

impl PartialEq for Run {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Eq for Run {}

impl Ord for Run {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.get().cmp(other.get())
    }
}

impl PartialOrd for Run {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// A node, for as long as it is in the tree: one that left has another generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId {
    index: u32,
    generation: u32,
}

/// A place between tokens: behind all of a node's, or before all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cursor {
    Root(Namespace),
    Node(NodeId),
}

/// Where keys and values of some tokens are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the device.
    Here(Block),
    /// Outside of it.
    Out(Slot),
}

/// What is at hand behind a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A whole block of the tokens.
    Full(NodeId, Place),
    /// A block whose first so many tokens are alike; at least one.
    Part(NodeId, Place, usize),
    Nothing,
}

/// What became of the node that was worth least: its block is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evicted {
    Dropped,
    /// It has to be written out before the block is written again.
    Out(Block, Slot),
}

type Children = BTreeMap<Run, NodeId>;

#[derive(Debug)]
struct Node {
    parent: Cursor,
    run: Run,
    place: Place,
    children: Children,
    /// Children that are here.
    children_here: usize,
    hits: u32,
    expected: Duration,
    /// To compute its block again.
    seconds: f64,
    namespace: Namespace,
    /// Of a whole block, where the tree names them.
    chain: Chain,
}

/// The order of worths.
type Worth = i64;

impl Node {
    /// In microseconds. Each part fits by far.
    fn worth(&self) -> Worth {
        let saves = self.seconds.max(f64::MIN_POSITIVE) * f64::from(1 + self.hits);
        let ahead = saves.log2() * HALF_LIFE.as_micros() as f64;
        i64::try_from(self.expected.as_micros()).unwrap_or(i64::MAX).saturating_add(ahead as i64)
    }

    fn is_here(&self) -> bool {
        matches!(self.place, Place::Here(_))
    }
}

#[derive(Debug, Default)]
struct Seat {
    generation: u32,
    node: Option<Node>,
}

/// The tree, and the pools that its blocks are of.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) blocks: BlockPool,
    pub(crate) slots: SlotPool,
    seats: Vec<Seat>,
    vacant: Vec<u32>,
    roots: HashMap<Namespace, Children>,
    /// Nodes that are here and have no children here.
    leaves: BTreeSet<(Worth, NodeId)>,
    /// Nodes that are out and have no children.
    leaves_out: BTreeSet<(Worth, NodeId)>,
    /// Nodes that are here.
    here: usize,
    /// Whole blocks that have left; `None` where nobody wants to know.
    gone: Option<Vec<Named>>,
}

impl Tree {
    /// An empty tree over so many blocks and slots, all free.
    pub(crate) fn new(blocks: usize, slots: usize) -> Self {
        Self {
            blocks: BlockPool::new(blocks),
            slots: SlotPool::new(slots),
            seats: Vec::new(),
            vacant: Vec::new(),
            roots: HashMap::new(),
            leaves: BTreeSet::new(),
            leaves_out: BTreeSet::new(),
            here: 0,
            gone: None,
        }
    }

    /// Blocks that could be free: those that are, and those that only the tree holds.
    pub(crate) fn available(&self) -> usize {
        self.blocks.free() + self.evictable()
    }

    /// Blocks that only the tree holds. Whatever has several references is in the tree: what is not full has one reader, who writes
    /// it, and so leaves with one reference where a longer run takes its place.
    pub(crate) fn evictable(&self) -> usize {
        self.here - self.blocks.shared()
    }

    fn node(&self, id: NodeId) -> Option<&Node> {
        let seat = self.seats.get(id.index as usize)?;
        if seat.generation == id.generation { seat.node.as_ref() } else { None }
    }

    fn node_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        let seat = self.seats.get_mut(id.index as usize)?;
        if seat.generation == id.generation { seat.node.as_mut() } else { None }
    }

    fn children(&self, cursor: Cursor) -> Option<&Children> {
        match cursor {
            Cursor::Root(namespace) => self.roots.get(&namespace),
            Cursor::Node(id) => self.node(id).map(|node| &node.children),
        }
    }

    fn children_mut(&mut self, cursor: Cursor) -> Option<&mut Children> {
        match cursor {
            Cursor::Root(namespace) => Some(self.roots.entry(namespace).or_default()),
            Cursor::Node(id) => self.node_mut(id).map(|node| &mut node.children),
        }
    }

    fn namespace(&self, cursor: Cursor) -> Option<Namespace> {
        match cursor {
            Cursor::Root(namespace) => Some(namespace),
            Cursor::Node(id) => self.node(id).map(|node| node.namespace),
        }
    }

    /// What is at hand of these tokens, behind a place.
    pub(crate) fn find(&self, cursor: Cursor, rest: &[u32]) -> Found {
        let Some(children) = self.children(cursor).filter(|_| !rest.is_empty()) else { return Found::Nothing };
        let probe = Run::new(rest);
        let before = children.range(..=probe).next_back();
        let after = children.range(probe..).next();
        let next = before.into_iter().chain(after).map(|(run, id)| (run.common(probe.get()), *id));
        match next.max_by_key(|(common, _)| *common) {
            None | Some((0, _)) => Found::Nothing,
            Some((common, id)) => match self.node(id).map(|node| node.place) {
                Some(place) if common == BLOCK_TOKENS => Found::Full(id, place),
                Some(place) => Found::Part(id, place, common),
                None => Found::Nothing,
            },
        }
    }

    /// A node was of use.
    pub(crate) fn hit(&mut self, id: NodeId, now: Duration) {
        self.revalue(id, |node| {
            node.hits = (node.hits + 1).min(HITS_MAX);
            node.expected = node.expected.max(now);
        });
    }

    /// All nodes up to a place are expected to be of use then.
    pub(crate) fn expect(&mut self, mut cursor: Cursor, at: Duration) {
        while let Cursor::Node(id) = cursor {
            let Some(node) = self.node(id) else { return };
            cursor = node.parent;
            self.revalue(id, |node| node.expected = at);
        }
    }

    /// Changes what a node is worth.
    fn revalue(&mut self, id: NodeId, change: impl FnOnce(&mut Node)) {
        self.unlist(id);
        self.node_mut(id).map(change);
        self.list(id);
    }

    fn unlist(&mut self, id: NodeId) {
        if let Some(entry) = self.node(id).map(|node| (node.worth(), id)) {
            self.leaves.remove(&entry);
            self.leaves_out.remove(&entry);
        }
    }

    /// Lists a node where it is a leaf.
    fn list(&mut self, id: NodeId) {
        let Some(node) = self.node(id) else { return };
        let entry = (node.worth(), id);
        if node.is_here() && node.children_here == 0 {
            self.leaves.insert(entry);
        } else if !node.is_here() && node.children.is_empty() {
            self.leaves_out.insert(entry);
        }
    }

    /// Enters a run of at most a block, behind a place that is here, and whose block it is, which the caller holds. Computing it
    /// took `seconds`. Answers the node that has the run now, whose block may be another: a full run is then in both, and the
    /// caller may go on with either; one that is not full he goes on writing in his own. Where a node has more than a run that is not full, it is left at that.
    pub(crate) fn insert(
        &mut self,
        cursor: Cursor,
        run: &[u32],
        block: Block,
        seconds: f64,
        now: Duration,
    ) -> Option<(NodeId, Block)> {
        let run = Run::new(run);
        let none = Children::new();
        let children = match cursor {
            Cursor::Root(namespace) => self.roots.get(&namespace).unwrap_or(&none),
            Cursor::Node(id) => &self.node(id)?.children,
        };
        if let Some((other, id)) = children.range(run..).next()
            && other.get().starts_with(run.get())
        {
            let (same, id) = (*other == run, *id);
            self.revalue(id, |node| node.expected = node.expected.max(now));
            if !same {
                return None;
            }
            return match self.node(id)?.place {
                Place::Here(own) => Some((id, own)),
                Place::Out(_) => {
                    self.blocks.share(block);
                    self.bring_in(id, block);
                    Some((id, block))
                }
            };
        }
        let shorter = children.range(..run).next_back().filter(|(other, _)| run.get().starts_with(other.get()));
        let mut hits = 0;
        if let Some(shorter) = shorter.map(|(_, id)| *id) {
            hits = self.node(shorter).map_or(0, |node| node.hits);
            self.remove(shorter);
        }
        let namespace = self.namespace(cursor)?;
        self.blocks.share(block);
        let node = Node {
            parent: cursor,
            run,
            place: Place::Here(block),
            children: Children::new(),
            children_here: 0,
            hits,
            expected: now,
            seconds,
            namespace,
            chain: self.chain_behind(cursor, run.get()),
        };
        Some((self.add(node), block))
    }

    fn add(&mut self, node: Node) -> NodeId {
        let (parent, run) = (node.parent, node.run);
        let index = self.vacant.pop().unwrap_or_else(|| {
            self.seats.push(Seat::default());
            self.seats.len() as u32 - 1
        });
        let seat = &mut self.seats[index as usize];
        seat.node = Some(node);
        let id = NodeId { index, generation: seat.generation };
        if let Some(children) = self.children_mut(parent) {
            children.insert(run, id);
        }
        self.here += 1;
        self.count_child_here(parent, 1);
        self.list(id);
        id
    }

    fn count_child_here(&mut self, parent: Cursor, by: isize) {
        if let Cursor::Node(id) = parent {
            self.revalue(id, |node| node.children_here = node.children_here.saturating_add_signed(by));
        }
    }

    /// A node that is out comes into a block, to which the caller gives the tree a reference. Its slot is free then; what was in
    /// it has to be read before it is written again. Its parents are here.
    pub(crate) fn bring_in(&mut self, id: NodeId, block: Block) {
        self.unlist(id);
        let Some(node) = self.node_mut(id) else { return };
        let (parent, before) = (node.parent, std::mem::replace(&mut node.place, Place::Here(block)));
        if let Place::Out(slot) = before {
            self.slots.release(slot);
            self.here += 1;
            self.count_child_here(parent, 1);
        }
        self.list(id);
    }

    /// Makes one block free: the one that is worth least of those that nobody reads. It goes out where reading it back, in
    /// `swap_seconds` there and back, takes less time than computing it, and where a slot is free or has something that is worth
    /// less.
    pub(crate) fn evict(&mut self, swap_seconds: Option<f64>) -> Option<Evicted> {
        let nobody_reads = |id: &NodeId| match self.node(*id).map(|node| node.place) {
            Some(Place::Here(block)) => self.blocks.references(block) == 1,
            _ => false,
        };
        let (worth, id) = *self.leaves.iter().find(|(_, id)| nobody_reads(id))?;
        let pays = swap_seconds.is_some_and(|swap| self.node(id).is_some_and(|node| swap < node.seconds));
        if pays && let Some(slot) = self.slot_for(worth, id) {
            return self.swap_out(id, slot);
        }
        self.remove(id);
        Some(Evicted::Dropped)
    }

    fn slot_for(&mut self, worth: Worth, id: NodeId) -> Option<Slot> {
        while !self.slots.can_allocate(1) {
            let (least, other) = *self.leaves_out.first()?;
            // What is below it would go with it.
            if least >= worth || self.node(other).is_some_and(|node| node.parent == Cursor::Node(id)) {
                return None;
            }
            self.remove(other);
        }
        self.slots.allocate()
    }

    fn swap_out(&mut self, id: NodeId, slot: Slot) -> Option<Evicted> {
        self.unlist(id);
        let node = self.node_mut(id)?;
        let parent = node.parent;
        let Place::Here(block) = std::mem::replace(&mut node.place, Place::Out(slot)) else { return None };
        self.blocks.release(block);
        self.here -= 1;
        self.count_child_here(parent, -1);
        self.list(id);
        Some(Evicted::Out(block, slot))
    }

    /// Takes a node out, with all below it.
    fn remove(&mut self, id: NodeId) {
        let mut doomed = vec![id];
        let mut next = 0;
        while let Some(id) = doomed.get(next) {
            doomed.extend(self.node(*id).into_iter().flat_map(|node| node.children.values()));
            next += 1;
        }
        for id in doomed.into_iter().rev() {
            self.remove_childless(id);
        }
    }

    fn remove_childless(&mut self, id: NodeId) {
        self.note_gone(id);
        self.unlist(id);
        let Some(seat) = self.seats.get_mut(id.index as usize) else { return };
        let Some(node) = seat.node.take() else { return };
        seat.generation = seat.generation.wrapping_add(1);
        self.vacant.push(id.index);
        match node.place {
            Place::Here(block) => {
                self.blocks.release(block);
                self.here -= 1;
            }
            Place::Out(slot) => {
                self.slots.release(slot);
            }
        }
        match node.parent {
            Cursor::Root(namespace) => {
                if let Some(children) = self.roots.get_mut(&namespace) {
                    children.remove(&node.run);
                    if children.is_empty() {
                        self.roots.remove(&namespace);
                    }
                }
            }
            Cursor::Node(parent) => {
                let here = usize::from(node.is_here());
                self.revalue(parent, |parent| {
                    parent.children.remove(&node.run);
                    parent.children_here -= here;
                });
            }
        }
    }
}
