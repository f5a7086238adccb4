//! A forest of numbered nodes: what grants and accounts have in common.
//!
//! Each node knows its parent, its first and last child and its siblings on both sides, so that adding a node and taking a
//! leaf away cost the same however many siblings it has, and walking allocates nothing. No id is given out twice.

use crate::Numbered;
use std::iter;

/// What the ids of a tree's nodes are.
pub(crate) trait NodeId: From<(u32, u32)> + Into<(u32, u32)> + Copy + Eq {}

impl<Id: From<(u32, u32)> + Into<(u32, u32)> + Copy + Eq> NodeId for Id {}

#[derive(Debug)]
struct Node<Id, T> {
    parent: Option<Id>,
    first_child: Option<Id>,
    last_child: Option<Id>,
    previous: Option<Id>,
    next: Option<Id>,
    children: usize,
    value: T,
}

impl<Id, T> Node<Id, T> {
    fn alone(value: T) -> Self {
        Self { parent: None, first_child: None, last_child: None, previous: None, next: None, children: 0, value }
    }
}

/// Trees of values under ids of their own type.
#[derive(Debug)]
pub(crate) struct Tree<Id, T> {
    nodes: Numbered<Id, Node<Id, T>>,
}

impl<Id, T> Default for Tree<Id, T> {
    fn default() -> Self {
        Self { nodes: Numbered::default() }
    }
}

impl<Id: NodeId, T> Tree<Id, T> {
    /// Plants a root.
    pub(crate) fn insert_root(&mut self, value: T) -> Id {
        self.nodes.insert(Node::alone(value))
    }

    /// Puts a node back under the id that it had, behind its parent's other children. Its parent has to be there.
    pub(crate) fn restore(&mut self, id: Id, parent: Option<Id>, value: T) -> bool {
        let orphan = parent.is_some_and(|parent| self.nodes.get(parent).is_none());
        if orphan || self.nodes.get(id).is_some() || !self.nodes.restore(id, Node::alone(value)) {
            return false;
        }
        if let Some(parent) = parent {
            self.link(parent, id);
        }
        true
    }

    /// Gives out no number below this one from here on.
    pub(crate) fn skip_to(&mut self, number: u64) {
        self.nodes.skip_to(number);
    }

    /// Adds a node behind its parent's other children; `None` where the parent is gone.
    pub(crate) fn insert_child(&mut self, parent: Id, value: T) -> Option<Id> {
        self.nodes.get(parent)?;
        let id = self.insert_root(value);
        self.link(parent, id);
        Some(id)
    }

    pub(crate) fn get(&self, id: Id) -> Option<&T> {
        self.nodes.get(id).map(|node| &node.value)
    }

    pub(crate) fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        self.nodes.get_mut(id).map(|node| &mut node.value)
    }

    pub(crate) fn parent(&self, id: Id) -> Option<Id> {
        self.nodes.get(id)?.parent
    }

    /// How many children a node has; 0 where it is gone.
    pub(crate) fn children_count(&self, id: Id) -> usize {
        self.nodes.get(id).map_or(0, |node| node.children)
    }

    /// How many nodes there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// A node's children, oldest first.
    pub(crate) fn children(&self, id: Id) -> impl Iterator<Item = Id> {
        let first = self.nodes.get(id).and_then(|node| node.first_child);
        iter::successors(first, |child| self.nodes.get(*child)?.next)
    }

    /// A node and its ancestors up to the root.
    pub(crate) fn chain(&self, id: Id) -> impl Iterator<Item = (Id, &T)> {
        let start = self.nodes.get(id).map(|node| (id, node));
        iter::successors(start, |(_, node)| {
            let parent = node.parent?;
            Some((parent, self.nodes.get(parent)?))
        })
        .map(|(id, node)| (id, &node.value))
    }

    /// A node and all below it, each before its children.
    pub(crate) fn subtree(&self, top: Id) -> impl Iterator<Item = (Id, &T)> {
        let start = self.nodes.get(top).map(|node| (top, node));
        iter::successors(start, move |(id, node)| {
            let next = node.first_child.or_else(|| self.after(*id, top))?;
            Some((next, self.nodes.get(next)?))
        })
        .map(|(id, node)| (id, &node.value))
    }

    /// All nodes, each before its children; roots in the order of their making.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Id, &T)> {
        let roots = self.nodes.iter().filter(|(_, node)| node.parent.is_none());
        let mut roots: Vec<Id> = roots.map(|(root, _)| root).collect();
        roots.sort_unstable_by_key(|root| Numbered::<Id, T>::number(*root));
        roots.into_iter().flat_map(|root| self.subtree(root))
    }

    /// Takes a node out; its children become its parent's, or roots. Costs as much as it has children.
    pub(crate) fn remove(&mut self, id: Id) -> Option<T> {
        self.unlink(id);
        let node = self.nodes.remove(id)?;
        let mut child = node.first_child;
        while let Some(orphan) = child {
            let Some(links) = self.nodes.get_mut(orphan) else { break };
            child = links.next.take();
            (links.parent, links.previous) = (None, None);
            if let Some(parent) = node.parent {
                self.link(parent, orphan);
            }
        }
        Some(node.value)
    }

    /// What follows a node's whole subtree within `top`'s.
    fn after(&self, id: Id, top: Id) -> Option<Id> {
        let mut id = id;
        while id != top {
            let node = self.nodes.get(id)?;
            if node.next.is_some() {
                return node.next;
            }
            id = node.parent?;
        }
        None
    }

    /// Puts a node without parent behind the children of one.
    fn link(&mut self, parent: Id, child: Id) {
        let Some(links) = self.nodes.get_mut(parent) else { return };
        links.children += 1;
        let previous = links.last_child.replace(child);
        match previous.and_then(|previous| self.nodes.get_mut(previous)) {
            Some(previous) => previous.next = Some(child),
            None => self.update(Some(parent), |links| links.first_child = Some(child)),
        }
        self.update(Some(child), |links| (links.parent, links.previous) = (Some(parent), previous));
    }

    /// Takes a node from among its siblings; its own links stay as they were.
    fn unlink(&mut self, id: Id) {
        let Some(&Node { parent, previous, next, .. }) = self.nodes.get(id) else { return };
        match previous {
            Some(_) => self.update(previous, |links| links.next = next),
            None => self.update(parent, |links| links.first_child = next),
        }
        match next {
            Some(_) => self.update(next, |links| links.previous = previous),
            None => self.update(parent, |links| links.last_child = previous),
        }
        self.update(parent, |links| links.children -= 1);
    }

    fn update(&mut self, id: Option<Id>, change: impl FnOnce(&mut Node<Id, T>)) {
        if let Some(node) = id.and_then(|id| self.nodes.get_mut(id)) {
            change(node);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use remit_abi::GrantId;

    /// The same with a list of pairs of node and parent.
    #[derive(Default)]
    struct Plain(Vec<(GrantId, Option<GrantId>)>);

    impl Plain {
        fn children(&self, parent: GrantId) -> Vec<GrantId> {
            self.0.iter().filter(|(_, of)| *of == Some(parent)).map(|(id, _)| *id).collect()
        }

        fn subtree(&self, top: GrantId) -> Vec<GrantId> {
            let below = self.children(top).into_iter().flat_map(|child| self.subtree(child));
            iter::once(top).chain(below).collect()
        }

        /// Orphans go behind the children that their new parent has already.
        fn remove(&mut self, id: GrantId) {
            let Some(position) = self.0.iter().position(|(node, _)| *node == id) else { return };
            let (_, parent) = self.0.remove(position);
            let (orphans, rest): (Vec<_>, _) = self.0.drain(..).partition(|(_, of)| *of == Some(id));
            self.0 = rest;
            self.0.extend(orphans.into_iter().map(|(orphan, _)| (orphan, parent)));
        }
    }

    proptest! {
        #[test]
        fn a_tree_is_what_a_list_of_parents_says(steps in prop::collection::vec((0..4_u8, any::<usize>()), 0..80)) {
            let (mut tree, mut plain) = (Tree::default(), Plain::default());
            let mut ids = vec![tree.insert_root(0)];
            plain.0.push((ids[0], None));
            for (step, (kind, which)) in steps.into_iter().enumerate() {
                let id = ids[which % ids.len()];
                match kind {
                    0 => {
                        tree.remove(id);
                        plain.remove(id);
                    }
                    1 if which % 8 == 0 => {
                        ids.push(tree.insert_root(step));
                        plain.0.push((ids[ids.len() - 1], None));
                    }
                    _ => if let Some(child) = tree.insert_child(id, step) {
                        ids.push(child);
                        plain.0.push((child, Some(id)));
                    }
                }
                prop_assert_eq!(tree.len(), plain.0.len());
                prop_assert_eq!(tree.iter().count(), plain.0.len());
                for (id, parent) in &plain.0 {
                    prop_assert_eq!(tree.parent(*id), *parent);
                    prop_assert_eq!(tree.children(*id).collect::<Vec<_>>(), plain.children(*id));
                    prop_assert_eq!(tree.children_count(*id), plain.children(*id).len());
                    prop_assert_eq!(tree.subtree(*id).map(|(id, _)| id).collect::<Vec<_>>(), plain.subtree(*id));
                    prop_assert_eq!(tree.chain(*id).nth(1).map(|(id, _)| id), *parent);
                }
            }
        }
    }
}
