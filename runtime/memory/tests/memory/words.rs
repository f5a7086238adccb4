//! Whatever is written and looked for, words are words.

use crate::support::{Memory, ONE, WIDTH, hashed, ids, lazy, text};
use remit_abi::Probe;
use std::collections::HashSet;
use tempfile::tempdir;

#[test]
fn no_character_has_a_meaning_of_its_own() {
    let folder = tempdir().unwrap();
    let memory = Memory::open_with(folder.path(), None, lazy());
    memory.put(ONE, 1, text(1, 1, "the quick brown fox"));
    memory.put(ONE, 2, text(2, 1, "a slow green turtle"));
    let mut asked: Vec<String> = (0_u8..128)
        // A letter would make another word, or another form of the same.
        .filter(|byte| !byte.is_ascii_alphabetic())
        .flat_map(|byte| {
            let character = char::from(byte);
            [
                format!("{character}"),
                format!("fox{character}"),
                format!("{character}fox"),
                format!("fox {character} \"fox"),
            ]
        })
        .collect();
    asked.extend([
        "".into(),
        "the a of".into(),
        "🦊 fox 🦊".into(),
        "fox AND NOT fox".into(),
        "text:fox^2 OR (".into(),
    ]);
    asked.push("x ".repeat(5 << 20) + "fox");
    asked.push("fox ".repeat(100_000));
    asked.push((0..200).map(|number| format!("w{number} ")).collect::<String>() + "fox");
    memory.in_every_state(folder.path(), ONE, |memory| {
        for asked in &asked {
            // Each word counts once.
            let mut seen = HashSet::new();
            let words = asked.split(|character: char| !character.is_alphanumeric());
            let some = words.filter(|word| seen.insert(*word)).take(128).any(|word| word == "fox");
            let beginning: String = asked.chars().take(20).collect();
            assert_eq!(!memory.words(ONE, asked).is_empty(), some, "{beginning:?}");
        }
    });
}

#[test]
fn both_lists_are_joined() {
    let folder = tempdir().unwrap();
    let memory = Memory::open_with(folder.path(), None, lazy());
    for id in 1..=30 {
        memory.put(ONE, id, text(id, 1, &format!("line number{id} of a text about nothing")));
    }
    memory.put(ONE, 31, text(31, 1, "a zebra crosses the street"));
    memory.flush(ONE);
    memory.put(ONE, 32, text(32, 1, "another zebra stands still"));
    memory.in_every_state(folder.path(), ONE, |memory| {
        let vector = hashed("another zebra stands still", WIDTH).into();
        let hits = memory.search(ONE, Probe::Both { words: "zebra stands".into(), vector }, 5);
        assert_eq!(ids(&hits)[0], 32, "{hits:?}");
        assert!(hits[0].similarity.is_some_and(|similarity| similarity > 0.999), "{hits:?}");
        assert!(hits[0].relevance.is_some(), "{hits:?}");
        assert!(hits.is_sorted_by(|one, other| one.score >= other.score), "{hits:?}");
        assert!(ids(&hits)[..3].contains(&31), "{hits:?}");
    });
}
