//! The tree against a plain model: a list of all runs' beginnings.

use super::*;
use proptest::prelude::*;

impl Tree {
    /// All nodes: the tokens up to their ends, how many of these are in their own run, and where they are.
    pub(crate) fn all(&self) -> Vec<(Namespace, Vec<u32>, usize, Place)> {
        let mut all = Vec::new();
        for (namespace, children) in &self.roots {
            let mut open: Vec<_> = children.values().map(|id| (Vec::new(), *id)).collect();
            while let Some((mut tokens, id)) = open.pop() {
                let node = self.node(id).expect("a child is in the tree");
                tokens.extend_from_slice(node.run.get());
                open.extend(node.children.values().map(|id| (tokens.clone(), *id)));
                all.push((*namespace, tokens, node.run.get().len(), node.place));
            }
        }
        all
    }

    /// What the tree knows of itself more than once is the same each time.
    pub(crate) fn check(&self) {
        let ids = |listed: &BTreeSet<(Worth, NodeId)>| listed.iter().map(|(_, id)| *id).collect::<BTreeSet<_>>();
        let (mut leaves, mut leaves_out, mut here, mut out, mut unread) = (BTreeSet::new(), BTreeSet::new(), 0, 0, 0);
        for (index, seat) in self.seats.iter().enumerate() {
            let Some(node) = &seat.node else { continue };
            let id = NodeId { index: index as u32, generation: seat.generation };
            let children: Vec<_> =
                node.children.values().map(|id| self.node(*id).expect("it is in the tree")).collect();
            let children_here = children.iter().filter(|child| child.is_here()).count();
            assert_eq!(node.children_here, children_here);
            assert!(children.iter().all(|child| child.parent == Cursor::Node(id)));
            assert!(children.is_empty() || node.run.get().len() == BLOCK_TOKENS);
            let runs: Vec<_> = node.children.keys().collect();
            assert!(runs.windows(2).all(|pair| !pair[1].get().starts_with(pair[0].get())));
            if let Place::Here(block) = node.place {
                here += 1;
                unread += usize::from(self.blocks.references(block) == 1);
                if children_here == 0 {
                    leaves.insert(id);
                }
            } else {
                out += 1;
                assert_eq!(children_here, 0);
                if children.is_empty() {
                    leaves_out.insert(id);
                }
            }
        }
        assert_eq!((here, out, unread), (self.here, self.slots.used(), self.evictable()));
        assert_eq!((ids(&self.leaves), ids(&self.leaves_out)), (leaves, leaves_out));
        assert!(self.roots.values().all(|children| !children.is_empty()));
    }
}

/// Somebody's tokens.
type Tokens = (Namespace, Vec<u32>);

const NAMESPACE: Namespace = Namespace { tenant: 1, model: 1 };

impl Tree {
    /// Computes tokens as a sequence does: takes whole blocks that are at hand, and enters the rest. Answers the blocks that it
    /// holds then.
    fn compute(&mut self, namespace: Namespace, tokens: &[u32], now: Duration) -> Option<Vec<Block>> {
        let mut cursor = Cursor::Root(namespace);
        let mut held = Vec::new();
        for run in tokens.chunks(BLOCK_TOKENS) {
            while !self.blocks.can_allocate(1) && self.evict(None).is_some() {}
            let Some(own) = self.blocks.allocate() else {
                self.release(&held);
                return None;
            };
            let Some((node, block)) = self.insert(cursor, run, own, 0.01, now) else {
                self.blocks.release(own);
                break;
            };
            // What is not full others only copy.
            if block != own && run.len() == BLOCK_TOKENS {
                self.blocks.share(block);
                self.blocks.release(own);
                held.push(block);
            } else {
                held.push(own);
            }
            cursor = Cursor::Node(node);
        }
        Some(held)
    }

    fn release(&mut self, held: &[Block]) {
        for block in held {
            self.blocks.release(*block);
        }
    }

    /// Computes tokens, and holds nothing of them.
    fn keep(&mut self, tokens: &[u32], now: u64) {
        let held = self.compute(NAMESPACE, tokens, Duration::from_secs(now)).expect("there is room");
        self.release(&held);
    }

    /// How many of these tokens are at hand, and the place behind the last full block.
    fn walk(&self, namespace: Namespace, tokens: &[u32]) -> (usize, Cursor) {
        let mut cursor = Cursor::Root(namespace);
        for begin in (0..).step_by(BLOCK_TOKENS) {
            match self.find(cursor, &tokens[begin.min(tokens.len())..]) {
                Found::Full(node, _) => cursor = Cursor::Node(node),
                Found::Part(_, _, common) => return (begin + common, cursor),
                Found::Nothing => return (begin, cursor),
            }
        }
        unreachable!("a prompt ends")
    }

    fn prefixes(&self) -> BTreeSet<Tokens> {
        self.all().into_iter().map(|(namespace, tokens, ..)| (namespace, tokens)).collect()
    }
}

/// Tokens that often begin alike.
fn tokens() -> impl Strategy<Value = Tokens> {
    let blocks = proptest::collection::vec((0..2u32, 0..3usize), 1..5);
    (0..2u64, blocks, 1..17usize).prop_map(|(tenant, blocks, last)| {
        // Where two blocks differ, they have some tokens in common.
        let block =
            |(kind, common): (u32, usize)| (0..BLOCK_TOKENS).map(move |at| if at < common * 6 { 9 } else { kind });
        let mut tokens: Vec<_> = blocks.into_iter().flat_map(block).collect();
        tokens.truncate(tokens.len() - BLOCK_TOKENS + last);
        (Namespace { tenant, model: 1 }, tokens)
    })
}

#[derive(Clone, Debug)]
enum Act {
    /// Compute these, and hold them or not.
    Compute(Tokens, bool),
    Release(usize),
    Evict(bool),
    BringIn(Tokens),
    Hit(Tokens),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (tokens(), any::<bool>()).prop_map(|(tokens, holds)| Act::Compute(tokens, holds)),
        2 => any::<usize>().prop_map(Act::Release),
        4 => any::<bool>().prop_map(Act::Evict),
        1 => tokens().prop_map(Act::BringIn),
        1 => tokens().prop_map(Act::Hit),
    ]
}

/// What a model has after tokens were computed: each run's beginning, and none that is in a longer run of one block.
fn add(model: &mut BTreeSet<Tokens>, namespace: Namespace, tokens: &[u32]) {
    for end in (BLOCK_TOKENS..tokens.len()).step_by(BLOCK_TOKENS).chain([tokens.len()]) {
        let prefix = tokens[..end].to_vec();
        let same_block = |other: &Vec<u32>| other.len().div_ceil(BLOCK_TOKENS) == end.div_ceil(BLOCK_TOKENS);
        let covered = |(of, other): &Tokens| *of == namespace && same_block(other) && other.starts_with(&prefix);
        if !model.iter().any(covered) {
            model.retain(|(of, other)| *of != namespace || !same_block(other) || !prefix.starts_with(other));
            model.insert((namespace, prefix));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_tree_is_a_list_of_beginnings(acts in proptest::collection::vec(act(), 1..60), prompts in proptest::collection::vec(tokens(), 4)) {
        let mut tree = Tree::new(64, 6);
        let mut model = BTreeSet::new();
        let mut held: Vec<(Vec<Block>, Tokens)> = Vec::new();
        for (now, act) in acts.into_iter().enumerate() {
            let now = Duration::from_secs(now as u64);
            match act {
                Act::Compute((namespace, tokens), holds) if tree.blocks.free() > 5 => {
                    // What is out above would have to come in first.
                    let (_, cursor) = tree.walk(namespace, &tokens);
                    if !matches!(cursor, Cursor::Root(_)) && tree.slots.used() > 0 {
                        continue;
                    }
                    let blocks = tree.compute(namespace, &tokens, now).expect("there is room");
                    add(&mut model, namespace, &tokens);
                    if holds {
                        held.push((blocks, (namespace, tokens)));
                    } else {
                        tree.release(&blocks);
                    }
                }
                Act::Release(which) if !held.is_empty() => {
                    let (blocks, _) = held.swap_remove(which % held.len());
                    tree.release(&blocks);
                }
                Act::Evict(swaps) => {
                    let (free, before) = (tree.blocks.free(), tree.prefixes());
                    let evicted = tree.evict(swaps.then_some(0.001));
                    prop_assert_eq!(tree.blocks.free(), free + usize::from(evicted.is_some()));
                    prop_assert_eq!(evicted.is_none(), tree.evictable() == 0 && free == tree.blocks.free());
                    let after = tree.prefixes();
                    // Whatever went has taken all with it that is behind it, and nobody held it.
                    let gone: Vec<_> = before.difference(&after).cloned().collect();
                    for (of, prefix) in &gone {
                        let is_cut_off = after.iter().any(|(other, tokens)| other == of && tokens.starts_with(prefix));
                        let is_full = prefix.len() % BLOCK_TOKENS == 0;
                        let is_held = is_full && held.iter().any(|(blocks, (other, tokens))| {
                            other == of && tokens.starts_with(prefix) && blocks.len() * BLOCK_TOKENS >= prefix.len()
                        });
                        prop_assert!(!is_cut_off && !is_held);
                    }
                    prop_assert_eq!(&before, &model);
                    model = after;
                }
                Act::BringIn((namespace, tokens)) => {
                    let (_, cursor) = tree.walk(namespace, &tokens);
                    let is_out = |id| tree.node(id).filter(|node| !node.is_here()).map(|node| node.parent);
                    if let Cursor::Node(id) = cursor
                        && let Some(parent) = is_out(id)
                        && (matches!(parent, Cursor::Root(_)) || matches!(parent, Cursor::Node(parent) if is_out(parent).is_none()))
                        && let Some(block) = tree.blocks.allocate()
                    {
                        tree.bring_in(id, block);
                    }
                }
                Act::Hit((namespace, tokens)) => {
                    if let (_, Cursor::Node(id)) = tree.walk(namespace, &tokens) {
                        tree.hit(id, now);
                    }
                }
                Act::Compute(..) | Act::Release(_) => {}
            }
            tree.check();
            prop_assert_eq!(&tree.prefixes(), &model);
            for (namespace, prompt) in &prompts {
                let common = |tokens: &Vec<u32>| tokens.iter().zip(prompt).take_while(|(a, b)| a == b).count();
                let own = model.iter().filter(|(of, _)| of == namespace).map(|(_, tokens)| common(tokens));
                prop_assert_eq!(tree.walk(*namespace, prompt).0, own.max().unwrap_or(0));
            }
        }
        // All that is held comes back, and then all can go.
        for (blocks, _) in held {
            tree.release(&blocks);
        }
        while tree.evict(None).is_some() {}
        prop_assert_eq!((tree.blocks.used(), tree.slots.used()), (0, tree.all().len()));
    }
}

/// A block of tokens of its own for each name.
fn named(names: &str) -> Vec<u32> {
    names.chars().flat_map(|name| [u32::from(name); BLOCK_TOKENS]).collect()
}

/// In which order paths go, of which each is computed at a time and then goes on being expected at others.
fn check(paths: &[(&str, u64)], then: impl FnOnce(&mut Tree), expect: &str) {
    let mut tree = Tree::new(64, 0);
    paths.iter().for_each(|(path, now)| tree.keep(&named(path), *now));
    then(&mut tree);
    let mut order = String::new();
    let mut before = tree.prefixes();
    while tree.evict(None).is_some() {
        let after = tree.prefixes();
        let gone = before.difference(&after).filter_map(|(_, tokens)| char::from_u32(*tokens.last()?));
        order.extend(gone);
        before = after;
    }
    assert_eq!(order, expect);
}

fn tail(tree: &Tree, path: &str) -> (NodeId, Cursor) {
    match tree.walk(NAMESPACE, &named(path)) {
        (_, Cursor::Node(id)) => (id, Cursor::Node(id)),
        other => unreachable!("{path} is in the tree: {other:?}"),
    }
}

#[test]
fn what_is_worth_least_goes_first() {
    let nothing = |_: &mut Tree| {};
    // The oldest; and children before their parents, whatever they are worth.
    check(&[("a", 1), ("b", 2), ("c", 3)], nothing, "abc");
    check(&[("abc", 1), ("d", 2)], nothing, "cbad");
    check(&[("abc", 5), ("abd", 6), ("e", 1)], nothing, "ecdba");
    // A second hit doubles what one has: it is worth as much for another half-life.
    let hit = |tree: &mut Tree| tree.hit(tail(tree, "a").0, Duration::from_secs(1));
    check(&[("a", 1), ("b", 20), ("c", 40)], hit, "bac");
    // Who is expected back stays until then, and for a while.
    let expected = |tree: &mut Tree| tree.expect(tail(tree, "ab").1, Duration::from_secs(60));
    check(&[("ab", 1), ("c", 20), ("d", 50), ("e", 90)], expected, "cdbae");
}

#[test]
fn what_costs_more_stays_longer() {
    let mut tree = Tree::new(8, 0);
    for (name, seconds) in [("a", 0.04), ("b", 0.01)] {
        let block = tree.blocks.allocate().expect("one is free");
        let now = Duration::from_secs(if name == "a" { 0 } else { 50 });
        tree.insert(Cursor::Root(NAMESPACE), &named(name), block, seconds, now);
        tree.blocks.release(block);
    }
    // Four times the cost is worth two half-lives: 60 s.
    tree.evict(None);
    assert_eq!(tree.walk(NAMESPACE, &named("a")).0, BLOCK_TOKENS);
    assert_eq!(tree.walk(NAMESPACE, &named("b")).0, 0);
}

#[test]
fn a_full_slot_goes_to_what_is_worth_more() {
    let mut tree = Tree::new(8, 1);
    for (now, name) in ["a", "b", "c"].into_iter().enumerate() {
        tree.keep(&named(name), now as u64);
    }
    let places = |tree: &Tree| {
        ["a", "b", "c"].map(|name| match tree.find(Cursor::Root(NAMESPACE), &named(name)) {
            Found::Full(_, Place::Here(_)) => 'h',
            Found::Full(_, Place::Out(_)) => 'o',
            _ => '-',
        })
    };
    assert!(matches!(tree.evict(Some(0.001)), Some(Evicted::Out(..))));
    assert_eq!(places(&tree), ['o', 'h', 'h']);
    assert!(matches!(tree.evict(Some(0.001)), Some(Evicted::Out(..))));
    assert_eq!(places(&tree), ['-', 'o', 'h']);
    // Where computing is cheaper, nothing goes out.
    assert_eq!(tree.evict(Some(10.0)), Some(Evicted::Dropped));
    assert_eq!(places(&tree), ['-', 'o', '-']);
}
