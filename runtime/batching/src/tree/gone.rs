//! Whole blocks by their names: those that leave the tree, and those behind a place, so that somebody may keep them.

use super::{Cursor, NodeId, Place, Tree};
use crate::{
    blocks::BLOCK_TOKENS,
    chain::{Chain, Prefix},
};

/// A whole block, and what it cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Named {
    pub(crate) place: Place,
    pub(crate) prefix: Prefix,
    /// To compute it again.
    pub(crate) seconds: f64,
}

impl Tree {
    /// Names whole blocks from now on, and notes those that leave. Of a tree that is empty.
    pub(crate) fn naming(mut self) -> Self {
        self.gone = Some(Vec::new());
        self
    }

    /// The name of what is behind a place together with a run.
    pub(super) fn chain_behind(&self, cursor: Cursor, run: &[u32]) -> Chain {
        match self.gone {
            Some(_) if run.len() == BLOCK_TOKENS => self.chain(cursor).then(run),
            _ => Chain::default(),
        }
    }

    /// The name of all up to a place.
    pub(crate) fn chain(&self, cursor: Cursor) -> Chain {
        match cursor {
            Cursor::Root(_) => Chain::default(),
            Cursor::Node(id) => self.node(id).map_or(Chain::default(), |node| node.chain),
        }
    }

    /// Where the block before a place is. None at a root, and where it has left.
    pub(crate) fn place(&self, cursor: Cursor) -> Option<Place> {
        match cursor {
            Cursor::Root(_) => None,
            Cursor::Node(id) => self.node(id).map(|node| node.place),
        }
    }

    pub(super) fn named(&self, id: NodeId) -> Option<Named> {
        let node = self.node(id).filter(|node| node.run.get().len() == BLOCK_TOKENS)?;
        let prefix = Prefix { namespace: node.namespace, chain: node.chain };
        Some(Named { place: node.place, prefix, seconds: node.seconds })
    }

    /// Notes that a node leaves.
    pub(super) fn note_gone(&mut self, id: NodeId) {
        if self.gone.is_some() {
            let named = self.named(id);
            self.gone.iter_mut().for_each(|gone| gone.extend(named));
        }
    }

    /// Whole blocks that have left since this was asked last.
    pub(crate) fn take_gone(&mut self) -> Vec<Named> {
        self.gone.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Whole blocks up to a place, the first first. None where the place has left.
    pub(crate) fn path(&self, mut cursor: Cursor) -> Vec<Named> {
        let mut path = Vec::new();
        while let Cursor::Node(id) = cursor {
            let Some(node) = self.node(id) else { return Vec::new() };
            cursor = node.parent;
            path.extend(self.named(id));
        }
        path.reverse();
        path
    }

    /// All whole blocks, each behind its parents.
    pub(crate) fn whole(&self) -> Vec<Named> {
        let mut open: Vec<NodeId> = self.roots.values().flat_map(|children| children.values().copied()).collect();
        let mut all = Vec::new();
        while let Some(id) = open.pop() {
            all.extend(self.named(id));
            open.extend(self.node(id).into_iter().flat_map(|node| node.children.values()));
        }
        all
    }
}
