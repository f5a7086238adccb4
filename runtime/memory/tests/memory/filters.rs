//! Whatever a guest asks, what is found is what plain Rust says, and nobody else's.

use crate::support::{Memory, ONE, TWO, ids, lazy, text};
use futures::executor::block_on;
use proptest::{
    collection::vec,
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use remit_abi::{
    Comparison, Condition, EntryFilter, Field, GrantKind, Integrity, Label, Particulars, Pid, Probe, Scalar, Scope,
    Search, TagSet, TenantId, Weighting,
};
use remit_kernel::ports::{EntryVersion, MemoryStore};
use std::cmp::Ordering;
use tempfile::tempdir;

/// Texts that would mean something in a query.
const NASTY: [&str; 6] = ["a", "' OR 1=1 --", "\"; DROP TABLE entries; --", "%", "a' OR store = 'private", "\\"];
const STORES: [&str; 4] = ["team/plans", "team/notes", "private", "private2"];
const ROWS: u64 = 60;

fn pid(index: u32) -> Pid {
    Pid { tenant: TenantId(1), index, generation: 1 }
}

fn scalar() -> impl Strategy<Value = Scalar> {
    prop_oneof![
        (0..NASTY.len()).prop_map(|place| Scalar::Text(NASTY[place].into())),
        (-3_i64..4).prop_map(Scalar::Integer),
        (-6_i32..7).prop_map(|half| Scalar::Number(f64::from(half) / 2.0)),
        any::<bool>().prop_map(Scalar::Truth),
    ]
}

fn condition() -> impl Strategy<Value = Condition> {
    let comparison = prop_oneof![
        Just(Comparison::Equal),
        Just(Comparison::Different),
        Just(Comparison::Less),
        Just(Comparison::AtMost),
        Just(Comparison::Greater),
        Just(Comparison::AtLeast),
    ];
    prop_oneof![
        (0..NASTY.len()).prop_map(|place| Condition::Tagged(NASTY[place].into())),
        (0..NASTY.len()).prop_map(|place| Condition::Untagged(NASTY[place].into())),
        (0..3_usize, comparison, scalar()).prop_map(|(name, comparison, value)| Condition::Field {
            name: ["x", "y", "' OR '1'='1"][name].into(),
            comparison,
            value,
        }),
        (0..ROWS).prop_map(|second| Condition::WrittenFrom(second * 1_000_000_000)),
        (0..ROWS).prop_map(|second| Condition::WrittenBefore(second * 1_000_000_000)),
        (0..5_u8).prop_map(|quarter| Condition::ImportanceFrom(f32::from(quarter) / 4.0)),
        (0..3_u32).prop_map(|index| Condition::WrittenBy(pid(index))),
        label().prop_map(Condition::FlowsTo),
    ]
}

fn label() -> impl Strategy<Value = Label> {
    (any::<bool>(), 0..4_u32).prop_map(|(trusted, tag)| {
        let integrity = if trusted { Integrity::Trusted } else { Integrity::Untrusted };
        Label { integrity, tags: TagSet::single(tag).filter(|_| tag > 0).unwrap_or_default() }
    })
}

fn row() -> impl Strategy<Value = EntryVersion> {
    let tags = proptest::sample::subsequence(NASTY.to_vec(), 0..3);
    let fields = (proptest::option::of(scalar()), proptest::option::of(scalar()));
    (tags, fields, 0..5_u8, proptest::option::of(0..3_u32), 0..STORES.len(), label()).prop_map(
        |(tags, (x, y), quarter, source, store, label)| {
            let fields = [("x", x), ("y", y)].into_iter();
            let metadata =
                fields.filter_map(|(name, value)| Some(Field { name: name.into(), value: value? })).collect();
            let mut tags: Vec<Box<str>> = tags.into_iter().map(Into::into).collect();
            tags.sort_unstable();
            EntryVersion {
                store: STORES[store].into(),
                source: source.map(pid),
                label,
                particulars: Particulars { tags, metadata, importance: f32::from(quarter) / 4.0, expires_ns: None },
                ..text(0, 1, "")
            }
        },
    )
}

/// The meaning, written down once more and as plainly as can be.
fn meant(filter: &EntryFilter, row: &EntryVersion) -> bool {
    filter.0.iter().all(|clause| clause.iter().any(|condition| holds(condition, row)))
}

fn holds(condition: &Condition, row: &EntryVersion) -> bool {
    let particulars = &row.particulars;
    match condition {
        Condition::Tagged(tag) => particulars.tags.contains(tag),
        Condition::Untagged(tag) => !particulars.tags.contains(tag),
        Condition::WrittenFrom(from) => row.written_ns >= *from,
        Condition::WrittenBefore(before) => row.written_ns < *before,
        Condition::ImportanceFrom(least) => particulars.importance >= *least,
        Condition::WrittenBy(pid) => row.source == Some(*pid),
        Condition::FlowsTo(ceiling) => row.label.flows_to(*ceiling),
        Condition::Field { name, comparison, value } => {
            let field = particulars.metadata.iter().find(|field| field.name == *name);
            let number = |scalar: &Scalar| match scalar {
                Scalar::Integer(integer) => Some(*integer as f64),
                Scalar::Number(number) => Some(*number),
                _ => None,
            };
            let order = field.and_then(|field| match (&field.value, value) {
                (Scalar::Text(one), Scalar::Text(other)) => Some(one.cmp(other)),
                (Scalar::Truth(one), Scalar::Truth(other)) => Some(one.cmp(other)),
                (one, other) => number(one)?.partial_cmp(&number(other)?),
            });
            match (comparison, order) {
                (Comparison::Different, order) => order != Some(Ordering::Equal),
                (_, None) => false,
                (Comparison::Equal, Some(order)) => order.is_eq(),
                (Comparison::Less, Some(order)) => order.is_lt(),
                (Comparison::AtMost, Some(order)) => order.is_le(),
                (Comparison::Greater, Some(order)) => order.is_gt(),
                (Comparison::AtLeast, Some(order)) => order.is_ge(),
            }
        }
    }
}

#[test]
fn any_filter_finds_what_plain_rust_finds_and_nobody_elses() {
    let folder = tempdir().unwrap();
    let memory = Memory::open_with(folder.path(), None, lazy());
    let mut runner = TestRunner::new_with_rng(
        Config { cases: 150, failure_persistence: None, ..Config::default() },
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let rows = vec(row(), ROWS as usize).new_tree(&mut runner).unwrap().current();
    let mut known = Vec::new();
    for (place, row) in rows.into_iter().enumerate() {
        let id = place as u64 + 1;
        // A third is indexed, a third is in the tables, a third in memory.
        if id == ROWS / 3 {
            block_on(memory.store.optimize(ONE)).unwrap();
        }
        if id == ROWS / 3 * 2 {
            memory.flush(ONE);
        }
        let like = text(id, 1, "one and the same text");
        let row = EntryVersion {
            id: like.id,
            written_ns: like.written_ns,
            content: like.content,
            vector: like.vector,
            ..row
        };
        memory.put(ONE, id, row.clone());
        memory.put(TWO, id, EntryVersion { store: "private".into(), ..row.clone() });
        known.push(row);
    }
    memory.flush(TWO);
    let filters = vec(vec(condition(), 0..4), 0..4).prop_map(EntryFilter);
    let scopes = proptest::sample::subsequence(vec!["team/*", "team/notes", "private", "nobody"], 1..4);
    let check = |(filter, stores): (EntryFilter, Vec<&str>)| {
        let scope = Scope::parse(GrantKind::Memory, &stores).unwrap();
        let open = |row: &&EntryVersion| scope.contains(&row.store) && meant(&filter, row);
        let expect: Vec<_> = known.iter().filter(open).cloned().collect();
        let listed = block_on(memory.store.list(ONE, scope.clone(), filter.clone(), None, usize::MAX, 0)).unwrap();
        prop_assert_eq!(&listed, &expect);
        let vector = text(0, 1, "one and the same text").vector.unwrap();
        for probe in [Probe::Words("same text".into()), Probe::Vector(vector)] {
            let weighting = Weighting::default();
            let search = Search { probe, filter: filter.clone(), weighting, count: 200 };
            let hits = block_on(memory.store.search(ONE, scope.clone(), search, 0)).unwrap();
            let mut found = ids(&hits);
            found.sort_unstable();
            prop_assert_eq!(found, expect.iter().map(|row| row.id.0).collect::<Vec<_>>());
        }
        Ok(())
    };
    runner.run(&(filters, scopes), check).unwrap();
}
