//! Sequences of tests in one pool, their blocks scattered among each other's and full of what is no number; and what a pool
//! promises, wherever a model's layers are computed.

use crate::model::{Adapter, BLOCK_TOKENS, Decoder, Pool, Span};
use std::sync::Arc;

/// Sequences of a decoder.
pub(crate) struct Sequences<'a> {
    decoder: &'a Decoder,
    pub(crate) pool: Pool,
    pub(crate) all: Vec<Sequence>,
}

#[derive(Clone)]
pub(crate) struct Sequence {
    pub(crate) table: Vec<u32>,
    pub(crate) known: usize,
    pub(crate) room: usize,
    pub(crate) adapter: Option<Arc<Adapter>>,
}

/// New tokens of one of them, and for how many logits are asked for.
pub(crate) type Work<'a> = (usize, &'a [u32], usize);

impl<'a> Sequences<'a> {
    /// Sequences that come to so many tokens at most. Blocks are dealt out in turn, the last one first.
    pub(crate) fn new(decoder: &'a Decoder, rooms: &[usize]) -> Self {
        let blocks = |room: &usize| room.div_ceil(BLOCK_TOKENS);
        let count: usize = rooms.iter().map(blocks).sum();
        let mut free = (0..count as u32).rev();
        let mut tables = vec![Vec::new(); rooms.len()];
        while free.len() > 0 {
            let lacking = tables.iter_mut().zip(rooms).filter(|(table, room)| table.len() < blocks(room));
            lacking.zip(&mut free).for_each(|((table, _), block)| table.push(block));
        }
        let mut pool = decoder.pool(count).unwrap();
        let no_numbers = vec![0xff; pool.block_bytes()];
        (0..count as u32).for_each(|block| pool.write(block, &no_numbers));
        let sequence = |(table, room): (Vec<u32>, &usize)| Sequence { table, known: 0, room: *room, adapter: None };
        Self { decoder, pool, all: tables.into_iter().zip(rooms).map(sequence).collect() }
    }

    fn compute<T>(&mut self, work: &[Work<'_>], compute: impl FnOnce(&Decoder, &mut Pool, &[Span<'_>]) -> T) -> T {
        let spans = work.iter().map(|(index, tokens, logits)| {
            let Sequence { table, known, room, adapter } = &self.all[*index];
            Span { tokens, table, known: *known, room: *room, adapter: adapter.as_ref(), logits: *logits }
        });
        let computed = compute(self.decoder, &mut self.pool, &spans.collect::<Vec<_>>());
        work.iter().for_each(|(index, tokens, _)| self.all[*index].known += tokens.len());
        computed
    }

    /// The logits of each token that asks for them.
    pub(crate) fn step(&mut self, work: &[Work<'_>]) -> Vec<Vec<f32>> {
        let logits = self.compute(work, Decoder::forward);
        logits.chunks_exact(self.decoder.architecture().vocabulary).map(<[f32]>::to_vec).collect()
    }

    /// The likeliest token of each.
    pub(crate) fn greedy(&mut self, work: &[Work<'_>]) -> Vec<u32> {
        self.compute(work, |decoder, pool, spans| decoder.forward_greedy(pool, spans, usize::MAX))
    }

    /// The logits behind each chunk of a sequence's further tokens, in chunks of these sizes and a last one of the rest.
    pub(crate) fn run(&mut self, index: usize, mut tokens: &[u32], chunks: &[usize]) -> Vec<Vec<f32>> {
        let mut found = Vec::new();
        for chunk in chunks.iter().copied().chain([usize::MAX]) {
            let (chunk, rest) = tokens.split_at(chunk.min(tokens.len()));
            if !chunk.is_empty() {
                found.extend(self.step(&[(index, chunk, 1)]));
            }
            tokens = rest;
        }
        found
    }
}

/// Compares logits, of which the first are found and the others expected.
pub(crate) type Same<'a> = &'a dyn Fn(&str, &[Vec<f32>], &[Vec<f32>]);

/// A pool of a decoder keeps what it promises.
pub(crate) fn check(decoder: &Decoder, same: Same<'_>) {
    let vocabulary = decoder.architecture().vocabulary;
    let text = |seed: usize| (0..44).map(|index| ((index * 89 + seed * 31) % vocabulary) as u32).collect::<Vec<u32>>();
    let [begin, other] = [text(0), text(1)];
    order(decoder, &begin, same);
    prefix(decoder, &begin, &other, same);
    copy(decoder, &begin, &other, same);
    swap(decoder, &begin, same);
    several(decoder, &begin, same);
}

/// Which blocks a sequence has does not matter.
fn order(decoder: &Decoder, tokens: &[u32], same: Same<'_>) {
    let mut scattered = Sequences::new(decoder, &[tokens.len(); 3]);
    let mut ordered = Sequences::new(decoder, &[tokens.len()]);
    ordered.all[0].table.sort_unstable();
    same("in any blocks", &scattered.run(1, tokens, &[20, 1]), &ordered.run(0, tokens, &[20, 1]));
}

/// Two sequences read the same blocks in one step, and write their own.
fn prefix(decoder: &Decoder, tokens: &[u32], others: &[u32], same: Same<'_>) {
    let common = 2 * BLOCK_TOKENS;
    let mut sequences = Sequences::new(decoder, &[tokens.len(); 2]);
    sequences.run(0, &tokens[..common], &[]);
    let (first, second) = sequences.all.split_at_mut(1);
    second[0].table[..2].copy_from_slice(&first[0].table[..2]);
    second[0].known = common;
    let found = sequences.step(&[(0, &tokens[common..], 1), (1, &others[common..], 1)]);
    let expected = [tokens, others].map(|own| {
        let own = [&tokens[..common], &own[common..]].concat();
        Sequences::new(decoder, &[own.len()]).run(0, &own, &[common]).remove(1)
    });
    same("two behind the same prefix", &found, &expected);
}

/// A copy of a block that is partly filled is filled up otherwise.
fn copy(decoder: &Decoder, tokens: &[u32], others: &[u32], same: Same<'_>) {
    let common = 20;
    let mut sequences = Sequences::new(decoder, &[tokens.len(); 2]);
    sequences.run(0, &tokens[..common], &[]);
    let (first, second) = sequences.all.split_at_mut(1);
    let [from, to] = [&first[0], &second[0]].map(|sequence| sequence.table[1]);
    second[0].table[0] = first[0].table[0];
    second[0].known = common;
    sequences.pool.copy(from, to);
    let found = [sequences.run(0, &tokens[common..], &[]), sequences.run(1, &others[common..], &[])].concat();
    let expected = [tokens, others].map(|own| {
        let own = [&tokens[..common], &own[common..]].concat();
        Sequences::new(decoder, &[own.len()]).run(0, &own, &[common]).remove(1)
    });
    same("a copied block", &found, &expected);
}

/// Blocks that were read are written back elsewhere.
fn swap(decoder: &Decoder, tokens: &[u32], same: Same<'_>) {
    let known = 20;
    let mut sequences = Sequences::new(decoder, &[tokens.len(); 2]);
    sequences.run(0, &tokens[..known], &[]);
    let [from, to] = [0, 1].map(|index: usize| sequences.all[index].table.clone());
    for (from, to) in from.iter().zip(&to).take(2) {
        let bytes = sequences.pool.read(*from);
        assert_eq!(bytes.len(), sequences.pool.block_bytes());
        sequences.pool.write(*from, &vec![0xff; bytes.len()]);
        sequences.pool.write(*to, &bytes);
    }
    sequences.all[1].known = known;
    let expected = Sequences::new(decoder, &[tokens.len()]).run(0, tokens, &[known]);
    same("blocks that were away", &sequences.run(1, &tokens[known..], &[]), &expected[1..]);
}

/// The logits of several tokens are those that each would give.
fn several(decoder: &Decoder, tokens: &[u32], same: Same<'_>) {
    let (known, new) = (20, 7);
    let mut sequences = Sequences::new(decoder, &[tokens.len(); 2]);
    for index in 0..2 {
        sequences.run(index, &tokens[..known], &[]);
    }
    let new = &tokens[known..known + new];
    let together = sequences.step(&[(0, &new[..1], 1), (1, new, 4)]);
    assert_eq!(together.len(), 5);
    let mut alone = Sequences::new(decoder, &[tokens.len()]);
    alone.run(0, &tokens[..known], &[]);
    let alone = alone.run(0, new, &[1; 7]);
    same("several tokens' logits", &together, &[&alone[..1], &alone[3..]].concat());
}
