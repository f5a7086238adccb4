//! How fast the store takes entries and finds them, beside LanceDB asked directly for the same. What it takes of processes is measured by
//! `remembering` in `tests/benches`, with the journal and the models.
//!
//! `cargo bench --workspace --bench memory [-- [PART...] [--rows N] [--folder FOLDER]]`
//!
//! | part | key | is |
//! | --- | --- | --- |
//! | `store` | `accept_p50_ms` | one `accept` of an entry of 200 bytes with its vector, nothing else under way |
//! | | `accepts_per_s_16` | the same from 16 threads that wait for `room`, until all is on the disk |
//! | | `index_s` | all of its indexes, made anew |
//! | | `search_p50_ms_100k` | the ten likest of a vector, with their contents |
//! | | `search_direct_p50_ms` | the time that LanceDB takes for the same query of the same table, with the same parameters |
//! | | `search_ratio_direct` | the one by the other |
//! | | `search_both_p50_ms` | the ten likest of some words and a vector |
//! | | `resident_mb` | memory of this process then |
//! | `index` | `recall_at_10` | of the ten nearest by comparing with each, how many the index finds |
//! | `million` | `…_1m` | of a million entries, what the other parts tell of 100,000; it takes long, and is run only where it is named |
//!
//! Vectors are 384 numbers: 1,000 random centres with noise around, as texts of one topic are. Of texts only words matter here. The folder is
//! below the one that is named, or below the working directory. `REMIT_BENCH_OUT` names a file for the figures as JSON; those of other parts
//! stay there.

#![allow(clippy::print_stdout, reason = "it prints a table")]
#![allow(clippy::unwrap_used, reason = "it ends where it cannot go on")]
#![allow(clippy::cast_precision_loss, reason = "figures")]
#![allow(clippy::cast_possible_truncation, reason = "random bits")]

use arrow_array::UInt64Array;
use bytes::Bytes;
use futures::{StreamExt, executor::block_on};
use lancedb::{
    DistanceType, Table,
    query::{ExecutableQuery, QueryBase},
};
use remit_abi::{
    EntryFilter, EntryId, GrantKind, Label, Particulars, Probe, Remembered, Scope, Search, TenantId, Weighting,
};
use remit_kernel::ports::{EntryVersion, JournalError, MemoryAct, MemoryJournal, MemoryStore, MemoryWrite, PortFuture};
use remit_memory::{LanceMemory, Options};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const WIDTH: usize = 384;
const CENTRES: u64 = 1000;
const QUERIES: u64 = 200;

/// The first ones read the index, and do not count.
const WARM: usize = 20;

/// That are looked for.
const NEAREST: usize = 10;

/// As the store asks.
const PROBES: usize = 24;
const REFINE: u32 = 4;

const TENANT: TenantId = TenantId(1);

struct Nobody;

impl MemoryJournal for Nobody {
    fn durable(&self) -> PortFuture<'static, Result<(), JournalError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn applied(&self, _: TenantId, _: u64) {}
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Store,
    Index,
    Million,
}

impl Part {
    fn of(name: &str) -> Option<Self> {
        match name {
            "store" => Some(Self::Store),
            "index" => Some(Self::Index),
            "million" => Some(Self::Million),
            _ => None,
        }
    }

    const fn rows(self) -> u64 {
        match self {
            Self::Store | Self::Index => 100_000,
            Self::Million => 1_000_000,
        }
    }

    /// Comparing each query with each row takes as long as all that is measured.
    const fn queries(self) -> u64 {
        match self {
            Self::Store | Self::Index => QUERIES,
            Self::Million => QUERIES / 4,
        }
    }
}

/// By their names.
type Figures = Vec<(String, f64)>;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let (mut parts, mut rows, mut parent) = (Vec::new(), None, std::env::current_dir().unwrap());
    while let Some(argument) = arguments.next() {
        match &*argument {
            "--rows" => rows = Some(arguments.next().unwrap().parse().unwrap()),
            "--folder" => parent = PathBuf::from(arguments.next().unwrap()),
            name => parts
                .push(Part::of(name).unwrap_or_else(|| panic!("there is no part {name}, but store, index, million"))),
        }
    }
    if parts.is_empty() {
        parts = vec![Part::Store, Part::Index];
    }
    for part in parts {
        let figures = measure(part, rows.unwrap_or(part.rows()), &parent);
        for (name, value) in &figures {
            println!("{name:24} {value:>12.3}");
        }
        leave(figures);
    }
}

fn measure(part: Part, rows: u64, parent: &Path) -> Figures {
    let folder = tempfile::tempdir_in(parent).unwrap();
    let memory = LanceMemory::open(folder.path(), WIDTH, None, Arc::new(Nobody), Options::default()).unwrap();
    let next = AtomicU64::new(1);
    let mut figures = vec![("accept_p50_ms", put_alone(&memory, &next))];
    figures.push(("accepts_per_s_16", put_together(&memory, &next, rows)));
    let begun = Instant::now();
    block_on(memory.optimize(TENANT)).unwrap();
    figures.push(("index_s", begun.elapsed().as_secs_f64()));
    let queries: Vec<_> = (0..part.queries()).map(|query| vector((1 << 50) + query)).collect();
    let (searched, found) = search(&memory, folder.path(), &queries);
    figures.extend(searched);
    figures.push(("resident_mb", resident_mb()));
    if part != Part::Store {
        let count = next.load(Ordering::Relaxed) - 1;
        figures.push(("recall_at_10", recall(count, &queries, &found)));
    }
    let told = match part {
        Part::Store | Part::Million => figures,
        Part::Index => figures.split_off(figures.len() - 1),
    };
    let named = |name: &str| match part {
        Part::Million => format!("{}_1m", name.trim_end_matches("_100k")),
        Part::Store | Part::Index => name.to_owned(),
    };
    told.into_iter().map(|(name, value)| (named(name), value)).collect()
}

/// Writes the figures where they are looked for, beside those that are there already: an object of numbers, as every benchmark leaves it.
fn leave(figures: Figures) {
    let Ok(path) = std::env::var("REMIT_BENCH_OUT") else { return };
    let left = std::fs::read_to_string(&path).unwrap_or_default();
    let fields = left.trim().trim_start_matches('{').trim_end_matches('}').split(',').filter_map(|field| {
        let (name, value) = field.split_once(':')?;
        Some((name.trim().trim_matches('"').to_owned(), value.trim().parse().ok()?))
    });
    let all: BTreeMap<String, f64> = fields.chain(figures).collect();
    let fields: Vec<_> = all.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
    std::fs::write(path, format!("{{{}}}\n", fields.join(", "))).unwrap();
}

/// Numbers that look random, and are the same each time (Steele and others 2014, SplitMix64).
fn mixed(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn part(seed: u64, place: u64) -> f32 {
    (mixed(mixed(seed) ^ place) >> 40) as f32 / (1_u64 << 24) as f32 - 0.5
}

fn vector(seed: u64) -> Arc<[f32]> {
    let centre = (1 << 40) + mixed(seed) % CENTRES;
    let numbers: Vec<f32> = (0..WIDTH as u64).map(|place| part(centre, place) + 0.7 * part(seed, place)).collect();
    let length = numbers.iter().map(|number| number * number).sum::<f32>().sqrt();
    numbers.into_iter().map(|number| number / length).collect()
}

fn write(number: u64) -> MemoryWrite {
    let words = (0..30_u64).map(|place| format!("word{}", mixed(number ^ (place << 32)) % 20_000));
    let text = words.collect::<Vec<_>>().join(" ");
    let version = EntryVersion {
        id: EntryId(number),
        version: 1,
        store: "notes".into(),
        source: None,
        written_ns: number,
        label: Label::TRUSTED,
        content: Remembered { bytes: Bytes::from(text), media_type: "text/plain".into() },
        particulars: Particulars::default(),
        vector: Some(vector(number)),
    };
    MemoryWrite { number, act: MemoryAct::Put(Box::new(version)) }
}

fn p50_ms(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e3
}

fn put_alone(memory: &LanceMemory, next: &AtomicU64) -> f64 {
    let times = (0..2000).map(|_| {
        let write = write(next.fetch_add(1, Ordering::Relaxed));
        let begun = Instant::now();
        memory.accept(TENANT, write);
        begun.elapsed()
    });
    let p50 = p50_ms(times.collect());
    block_on(memory.flush(TENANT)).unwrap();
    p50
}

fn put_together(memory: &LanceMemory, next: &AtomicU64, rows: u64) -> f64 {
    let each = (rows - 2000) / 16;
    let begun = Instant::now();
    // Numbers of one tenant ascend: threads take turns, as the kernel's do at the journal.
    let turn = parking_lot::Mutex::new(());
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..each {
                    block_on(memory.room(TENANT)).unwrap();
                    let turn = turn.lock();
                    memory.accept(TENANT, write(next.fetch_add(1, Ordering::Relaxed)));
                    drop(turn);
                }
            });
        }
    });
    block_on(memory.flush(TENANT)).unwrap();
    (each * 16) as f64 / begun.elapsed().as_secs_f64()
}

fn every_store() -> Scope {
    Scope::parse(GrantKind::Memory, &["*"]).unwrap()
}

fn ask(memory: &LanceMemory, probe: Probe) -> (Vec<u64>, Duration) {
    let search =
        Search { probe, filter: EntryFilter::default(), weighting: Weighting::default(), count: NEAREST as u32 };
    let begun = Instant::now();
    let hits = block_on(memory.search(TENANT, every_store(), search, 0)).unwrap();
    (hits.iter().map(|hit| hit.entry.id.0).collect(), begun.elapsed())
}

/// Times, and what was found of each query.
fn search(memory: &LanceMemory, folder: &Path, queries: &[Arc<[f32]>]) -> (Vec<(&'static str, f64)>, Vec<Vec<u64>>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let path = folder.join(format!("tenants/{TENANT}"));
    let table = runtime.block_on(async {
        let connection = lancedb::connect(&path.to_string_lossy());
        let connection = connection.namespace_client_property("manifest_enabled", "false").execute().await.unwrap();
        connection.open_table("entries").execute().await.unwrap()
    });
    let (mut ours, mut direct, mut by_both, mut found) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (place, query) in queries.iter().enumerate() {
        let (ids, time) = ask(memory, Probe::Vector(Arc::clone(query)));
        let begun = Instant::now();
        runtime.block_on(direct_search(&table, query));
        if place >= WARM {
            direct.push(begun.elapsed());
            ours.push(time);
        }
        found.push(ids);
        let words = format!("word{} word{}", mixed(place as u64) % 20_000, mixed(place as u64 + 7) % 20_000);
        by_both.push(ask(memory, Probe::Both { words: words.into(), vector: Arc::clone(query) }).1);
    }
    let (ours, direct) = (p50_ms(ours), p50_ms(direct));
    let times = vec![
        ("search_p50_ms_100k", ours),
        ("search_direct_p50_ms", direct),
        ("search_ratio_direct", ours / direct),
        ("search_both_p50_ms", p50_ms(by_both)),
    ];
    (times, found)
}

async fn direct_search(table: &Table, query: &[f32]) -> Vec<u64> {
    let query = table.query().nearest_to(query).unwrap();
    let query = query.distance_type(DistanceType::Cosine).minimum_nprobes(PROBES).unwrap();
    let query = query.refine_factor(REFINE).limit(NEAREST);
    let mut ids = Vec::new();
    let mut stream = query.execute().await.unwrap();
    while let Some(batch) = stream.next().await {
        let batch = batch.unwrap();
        let column = batch.column_by_name("id").unwrap().as_any().downcast_ref::<UInt64Array>().unwrap();
        ids.extend(column.values());
    }
    ids
}

/// The share of the ten nearest to each query, of so many rows, that was found.
fn recall(count: u64, queries: &[Arc<[f32]>], found: &[Vec<u64>]) -> f64 {
    // Each vector is made once for all queries, and not kept: a million of them would be 1.5 GB.
    let mut nearest: Vec<Vec<(f32, u64)>> = vec![Vec::with_capacity(NEAREST + 1); queries.len()];
    for id in 1..=count {
        let vector = vector(id);
        for (query, nearest) in queries.iter().zip(&mut nearest) {
            let likeness = vector.iter().zip(query.iter()).map(|(one, other)| one * other).sum::<f32>();
            let place = nearest.partition_point(|(other, _)| *other >= likeness);
            if place < NEAREST {
                nearest.insert(place, (likeness, id));
                nearest.truncate(NEAREST);
            }
        }
    }
    let right = nearest.iter().zip(found).map(|(nearest, found)| {
        let nearest: BTreeSet<_> = nearest.iter().map(|(_, id)| *id).collect();
        found.iter().filter(|id| nearest.contains(*id)).count()
    });
    right.sum::<usize>() as f64 / (NEAREST * queries.len()) as f64
}

fn resident_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or_default() / 1024.0
}
