//! A list that forks share: what one of them changes is copied in one chunk, and the rest stays everybody's.

use std::{ops::Range, sync::Arc};

/// Entries of a chunk: what is copied at most where a fork changes one of them. 64: with 10,000 entries a fork's first change copies
/// 157 references and one chunk.
const CHUNK: usize = 64;

/// A list in chunks. A clone takes as long whatever its length.
#[derive(Debug)]
pub(crate) struct Chunks<T> {
    chunks: Arc<Vec<Arc<Vec<T>>>>,
    length: usize,
}

impl<T> Clone for Chunks<T> {
    fn clone(&self) -> Self {
        Self { chunks: Arc::clone(&self.chunks), length: self.length }
    }
}

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self { chunks: Arc::default(), length: 0 }
    }
}

impl<T> Chunks<T> {
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        self.chunks.get(index / CHUNK)?.get(index % CHUNK)
    }

    /// Those of a range that there are, in their order.
    pub(crate) fn range(&self, range: Range<usize>) -> impl Iterator<Item = &T> {
        let end = range.end.min(self.length);
        let start = range.start.min(end);
        let chunks = start / CHUNK..end.div_ceil(CHUNK);
        let inside = move |chunk: usize| {
            let first = chunk * CHUNK;
            start.saturating_sub(first)..(end - first).min(CHUNK)
        };
        chunks.flat_map(move |chunk| &self.chunks[chunk][inside(chunk)])
    }
}

impl<T: Clone> Chunks<T> {
    pub(crate) fn push(&mut self, entry: T) {
        let chunks = Arc::make_mut(&mut self.chunks);
        match chunks.last_mut() {
            Some(last) if last.len() < CHUNK => Arc::make_mut(last).push(entry),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(entry);
                chunks.push(Arc::new(chunk));
            }
        }
        self.length += 1;
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        if index >= self.length {
            return None;
        }
        let chunk = Arc::make_mut(&mut self.chunks).get_mut(index / CHUNK)?;
        Arc::make_mut(chunk).get_mut(index % CHUNK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(length: usize) -> Chunks<usize> {
        let mut chunks = Chunks::default();
        (0..length).for_each(|entry| chunks.push(entry));
        chunks
    }

    #[test]
    fn a_range_is_what_a_slice_would_be() {
        for length in [0, 1, 63, 64, 65, 200] {
            let chunks = counted(length);
            for start in 0..=length + 1 {
                for end in [start, start + 1, start + 64, start + 65, length] {
                    let expected: Vec<_> = (start..end.min(length)).collect();
                    let found: Vec<_> = chunks.range(start..end).copied().collect();
                    assert_eq!(found, expected, "{start}..{end} of {length}");
                }
            }
        }
    }

    #[test]
    fn a_clone_shares_all_but_what_is_changed() {
        let original = counted(300);
        let mut clone = original.clone();
        *clone.get_mut(70).expect("it is there") = 0;
        clone.push(300);
        let shared = original.chunks.iter().zip(clone.chunks.iter()).filter(|(one, other)| Arc::ptr_eq(one, other));
        assert_eq!(shared.count(), 3, "of five chunks, one was changed and one was added to");
        assert_eq!((original.get(70), clone.get(70)), (Some(&70), Some(&0)));
        assert_eq!((original.len(), clone.len()), (300, 301));
        assert_eq!(clone.get_mut(301), None);
    }
}
