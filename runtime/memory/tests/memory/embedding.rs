//! Texts without a vector get one: beside the write, or later.

use crate::support::{Hashed, Memory, ONE, Told, WIDTH, hashed, ids, lazy, options, text, unembedded, unit};
use futures::executor::block_on;
use remit_abi::Probe;
use remit_kernel::ports::{EntryVersion, MemoryStore, StoreError};
use remit_memory::{LanceMemory, OpenError, Options};
use std::{
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};
use tempfile::tempdir;

/// Looks again and again, for as long as a vector may take.
fn soon(what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(20), "never: {what}");
        thread::yield_now();
    }
    begun.elapsed()
}

#[test]
fn a_text_is_found_by_words_at_once_and_soon_by_its_vector() {
    let folder = tempdir().unwrap();
    let memory = Memory::open_with(folder.path(), Some(Hashed::new("one")), options());
    memory.put(ONE, 1, unembedded(1, 1, "red apple"));
    assert_eq!(memory.words(ONE, "apple"), [1]);
    soon("found by its vector", || memory.nearest(ONE, "red apple") == [1]);
    memory.flush(ONE);
    assert_eq!(memory.nearest(ONE, "red apple"), [1]);
    assert_eq!(memory.get(ONE, 1).unwrap().vector, None);
}

#[test]
fn a_vector_that_was_given_is_kept() {
    let folder = tempdir().unwrap();
    let memory = Memory::open_with(folder.path(), Some(Hashed::new("one")), options());
    let vector = unit((0..WIDTH).map(|place| place as f32).collect());
    memory.put(ONE, 1, EntryVersion { vector: Some(vector.clone().into()), ..unembedded(1, 1, "red apple") });
    memory.flush(ONE);
    block_on(memory.store.optimize(ONE)).unwrap();
    let hit = memory.search(ONE, Probe::Vector(vector.clone().into()), 1).remove(0);
    assert!(hit.similarity.is_some_and(|similarity| similarity > 0.9999), "{hit:?}");
    assert_eq!(hit.entry.vector.as_deref(), Some(&*vector));
}

#[test]
fn where_the_model_is_away_vectors_come_later() {
    let folder = tempdir().unwrap();
    let model = Hashed::new("one");
    model.broken.store(true, Ordering::Relaxed);
    let memory = Memory::open_with(folder.path(), Some(model.clone()), options());
    memory.put(ONE, 1, unembedded(1, 1, "red apple"));
    // There is nothing that a vector could be of.
    memory.put(ONE, 2, unembedded(2, 1, " \n"));
    memory.flush(ONE);
    assert_eq!(memory.words(ONE, "apple"), [1]);
    assert_eq!(memory.nearest(ONE, "red apple"), [0_u64; 0]);
    assert_eq!(block_on(memory.store.figures(ONE)).unwrap().without_vector, 1);
    model.broken.store(false, Ordering::Relaxed);
    block_on(memory.store.optimize(ONE)).unwrap();
    assert_eq!(memory.nearest(ONE, "red apple"), [1]);
    assert_eq!(block_on(memory.store.figures(ONE)).unwrap().without_vector, 0);
}

#[test]
fn more_texts_than_the_model_follows_have_their_vectors_as_soon_as_it_does() {
    let folder = tempdir().unwrap();
    let model = Hashed::new("one");
    let memory = Memory::open_with(folder.path(), Some(model.clone()), options());
    let without_vector = || block_on(memory.store.figures(ONE)).unwrap().without_vector;
    memory.put(ONE, 1, unembedded(1, 1, "red apple"));
    memory.flush(ONE);
    soon("it has its vector", || without_vector() == 0);
    let held = block_on(model.gate.acquire()).unwrap();
    for id in 2..=1500 {
        memory.put(ONE, id, unembedded(id, 1, &format!("text number{id}")));
    }
    memory.flush(ONE);
    assert_eq!(without_vector(), 1499);
    drop(held);
    soon("all have their vectors", || without_vector() == 0);
    assert_eq!(memory.nearest(ONE, "text number777")[0], 777);
}

#[test]
fn another_model_makes_other_vectors() {
    let folder = tempdir().unwrap();
    let memory = Memory::open_with(folder.path(), Some(Hashed::new("one")), options());
    for id in 1..=5 {
        memory.put(ONE, id, unembedded(id, 1, &format!("text number{id}")));
    }
    memory.flush(ONE);
    drop(memory);
    let memory = Memory::open_with(folder.path(), Some(Hashed::new("two")), options());
    soon("all have the vectors of the other model", || {
        block_on(memory.store.optimize(ONE)).unwrap();
        block_on(memory.store.figures(ONE)).unwrap().without_vector == 0
    });
    assert_eq!(memory.list(ONE).len(), 5);
    assert_eq!(memory.nearest(ONE, "text number3")[0], 3);
}

#[test]
fn a_model_whose_vectors_do_not_fit_is_refused() {
    let folder = tempdir().unwrap();
    let told = Arc::new(Told::default());
    let refused = LanceMemory::open(folder.path(), WIDTH + 1, Some(Hashed::new("one")), told, options());
    assert!(matches!(refused, Err(OpenError::Model { found: WIDTH, expected }) if expected == WIDTH + 1));
}

#[test]
fn a_vector_of_another_width_is_refused() {
    let folder = tempdir().unwrap();
    let memory = Memory::open_with(folder.path(), None, Options::default());
    memory.put(ONE, 1, unembedded(1, 1, "red apple"));
    let search = remit_abi::Search {
        probe: Probe::Vector(hashed("red apple", WIDTH + 1).into()),
        filter: remit_abi::EntryFilter::default(),
        weighting: remit_abi::Weighting::default(),
        count: 1,
    };
    let refused = block_on(memory.store.search(ONE, crate::support::every_store(), search, 0));
    assert_eq!(refused, Err(StoreError::Width { found: WIDTH + 1, expected: WIDTH }));
    assert_eq!(ids(&memory.search(ONE, Probe::Words("apple".into()), 1)), [1]);
}

#[test]
fn numbers_that_are_none_are_near_to_nothing_and_harm_nobody() {
    let folder = tempdir().unwrap();
    let memory = Memory::open_with(folder.path(), None, lazy());
    memory.put(ONE, 1, text(1, 1, "red apple"));
    for (id, number) in [(2, f32::NAN), (3, f32::INFINITY), (4, 0.0)] {
        let vector = Some(vec![number; WIDTH].into());
        memory.put(ONE, id, EntryVersion { vector, ..unembedded(id, 1, "odd apple") });
    }
    memory.in_every_state(folder.path(), ONE, |memory| {
        assert_eq!(memory.nearest(ONE, "red apple")[0], 1);
        assert_eq!(memory.words(ONE, "odd"), [2, 3, 4]);
        for number in [f32::NAN, f32::INFINITY] {
            let vector = vec![number; WIDTH].into();
            assert_eq!(memory.search(ONE, Probe::Vector(vector), 5), []);
        }
        let zero = memory.search(ONE, Probe::Vector(vec![0.0; WIDTH].into()), 5);
        assert!(zero.iter().all(|hit| hit.score.is_finite()), "{zero:?}");
    });
}

#[test]
fn a_model_of_another_width_makes_the_column_anew() {
    let folder = tempdir().unwrap();
    let memory = Memory::open_with(folder.path(), Some(Hashed::new("one")), options());
    memory.put(ONE, 1, unembedded(1, 1, "red apple"));
    memory.put(ONE, 2, text(2, 1, "green pear"));
    memory.put(ONE, 3, text(2, 2, "yellow pear"));
    memory.flush(ONE);
    drop(memory);
    let wide = LanceMemory::open(folder.path(), WIDTH * 2, None, Arc::new(Told::default()), options());
    let memory = Memory { store: wide.unwrap(), told: Arc::default() };
    assert_eq!(memory.words(ONE, "apple"), [1]);
    assert_eq!(memory.get(ONE, 2).unwrap().vector, None);
    assert_eq!(memory.versions(ONE, 2).len(), 2);
    let vector: Arc<[f32]> = hashed("blue plum", WIDTH * 2).into();
    memory.put(ONE, 4, EntryVersion { vector: Some(vector.clone()), ..unembedded(4, 1, "blue plum") });
    memory.flush(ONE);
    assert_eq!(ids(&memory.search(ONE, Probe::Vector(vector), 5)), [4]);
}
