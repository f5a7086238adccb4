//! Whatever is written or asked, the answer is a typed error or what is there, and other entries are as they were.

use crate::support::{Memory, ONE, WIDTH, every_store, hashed, ids, lazy, text, unembedded};
use bytes::Bytes;
use futures::executor::block_on;
use remit_abi::{EntryFilter, EntryId, Field, Label, Probe, Scalar, Search, TagSet, Weighting};
use remit_kernel::ports::{EntryVersion, MemoryStore, StoreError};
use std::sync::Arc;
use tempfile::tempdir;

#[test]
fn vectors_of_another_width_or_of_no_number_are_kept_from_the_tables() {
    let folder = tempdir().unwrap();
    let memory = Memory::open_with(folder.path(), None, lazy());
    let vectors = [vec![1.0; WIDTH + 1], Vec::new(), vec![f32::NAN; WIDTH], vec![f32::INFINITY; WIDTH]];
    for (id, vector) in (1..).zip(vectors) {
        memory.put(ONE, id, EntryVersion { vector: Some(vector.into()), ..unembedded(id, 1, "a plan") });
    }
    memory.put(ONE, 5, text(5, 1, "a plan"));
    memory.in_every_state(folder.path(), ONE, |memory| {
        assert_eq!(memory.words(ONE, "plan").len(), 5);
        assert_eq!(memory.nearest(ONE, "a plan"), [5]);
        let ask = |probe: Vec<f32>| {
            let probe = Probe::Vector(probe.into());
            let (filter, weighting) = (EntryFilter::default(), Weighting::default());
            let search = Search { probe, filter, weighting, count: 10 };
            block_on(memory.store.search(ONE, every_store(), search, 0)).map(|hits| ids(&hits))
        };
        assert_eq!(ask(vec![1.0; WIDTH + 1]), Err(StoreError::Width { found: WIDTH + 1, expected: WIDTH }));
        assert_eq!(ask(Vec::new()), Err(StoreError::Width { found: 0, expected: WIDTH }));
        assert_eq!(ask(vec![f32::NAN; WIDTH]), Ok(Vec::new()));
        assert!(ask(vec![0.0; WIDTH]).is_ok());
    });
}

#[test]
fn contents_of_every_kind_come_back_as_they_were() {
    let folder = tempdir().unwrap();
    let memory = Memory::open_with(folder.path(), None, lazy());
    let mut known: Vec<EntryVersion> = [
        "",
        " \t\n",
        "\0",
        "a\0b",
        "🦀 crabs 🦀",
        "'; DROP TABLE entries; --",
        "\u{202e}reversed\u{feff}",
        &"x".repeat(10 << 20),
        &"many words ".repeat(50_000),
    ]
    .iter()
    .zip(1..)
    .map(|(content, id)| text(id, 1, content))
    .collect();
    let mut binary = unembedded(100, 1, "");
    binary.content.bytes = Bytes::from((0..=255).collect::<Vec<u8>>());
    known.push(binary);
    let mut tagged = text(101, 1, "tags by the thousand");
    tagged.particulars.tags = (0..5000).map(|tag| format!("tag{tag:05}").into()).collect();
    tagged.particulars.metadata = (0..1000)
        .map(|field| Field { name: format!("field{field:04}").into(), value: Scalar::Number(f64::from(field)) })
        .collect();
    tagged.particulars.expires_ns = Some(u64::MAX);
    tagged.label = Label { tags: TagSet::single(63).unwrap(), ..Label::UNTRUSTED };
    known.push(tagged);
    for version in &known {
        memory.put(ONE, version.id.0, version.clone());
    }
    memory.in_every_state(folder.path(), ONE, |memory| {
        let list = memory.list(ONE);
        assert_eq!(list.len(), known.len());
        for (found, known) in list.iter().zip(&known) {
            // Its text would fill the screen.
            assert!(found == known, "entry {}", known.id);
        }
        assert_eq!(memory.words(ONE, "crabs"), [5]);
        assert_eq!(memory.words(ONE, "thousand"), [101]);
    });
}

#[test]
fn what_is_not_there_is_forgotten_without_a_word() {
    let folder = tempdir().unwrap();
    let memory = Memory::open_with(folder.path(), None, lazy());
    memory.forget(ONE, 1, &[7, 8, u64::MAX], false);
    memory.forget(ONE, 2, &[], true);
    memory.forget(ONE, 3, &[9], true);
    memory.flush(ONE);
    assert_eq!(memory.told(ONE), 3);
    memory.put(ONE, 4, text(4, 1, "a plan"));
    memory.in_every_state(folder.path(), ONE, |memory| {
        assert_eq!(memory.list(ONE).len(), 1);
        assert_eq!(memory.versions(ONE, 7), []);
    });
}

#[test]
fn the_answer_is_never_longer_than_asked_for() {
    let folder = tempdir().unwrap();
    let memory = Memory::open_with(folder.path(), None, lazy());
    for id in 1..=20 {
        memory.put(ONE, id, text(id, 1, "a plan of one kind"));
    }
    memory.in_every_state(folder.path(), ONE, |memory| {
        let vector: Arc<[f32]> = hashed("a plan of one kind", WIDTH).into();
        for count in [0, 1, 7, u32::MAX] {
            for probe in [
                Probe::Words("plan".into()),
                Probe::Vector(Arc::clone(&vector)),
                Probe::Both { words: "plan".into(), vector: Arc::clone(&vector) },
            ] {
                assert_eq!(memory.search(ONE, probe, count).len() as u64, u64::from(count.min(20)));
            }
        }
        let page = memory.store.list(ONE, every_store(), EntryFilter::default(), Some(EntryId(u64::MAX)), 5, 0);
        assert_eq!(block_on(page), Ok(Vec::new()));
    });
}
