//! Blocks that leave memory and come back from a port that keeps them in memory, keeps others, or keeps nothing.

use super::{
    readers::{totals, until},
    sampling::{events, everything},
    *,
};
use remit_kernel::ports::{ReadSnapshot, SnapshotFigures, SnapshotName, SnapshotReader, Snapshots};
use std::collections::HashMap;

/// What becomes of a block that is read.
type Spoil = fn(usize, Vec<u8>) -> Option<Vec<u8>>;

/// Keeps all that it is given. It answers at once, or never.
#[derive(Default)]
struct Shelf {
    blocks: Mutex<HashMap<(TenantId, SnapshotName), Vec<u8>>>,
    spoil: Mutex<Option<Spoil>>,
    is_stuck: AtomicBool,
    stuck: Mutex<Vec<SnapshotReader>>,
    asked: AtomicUsize,
}

impl std::fmt::Debug for Shelf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shelf")
    }
}

impl Snapshots for Shelf {
    fn holds(&self, tenant: TenantId, name: SnapshotName) -> bool {
        self.blocks.lock().unwrap().contains_key(&(tenant, name))
    }

    fn wants(&self, tenant: TenantId, name: SnapshotName) -> bool {
        !self.holds(tenant, name)
    }

    fn keep(&self, tenant: TenantId, name: SnapshotName, bytes: Vec<u8>) {
        self.blocks.lock().unwrap().insert((tenant, name), bytes);
    }

    fn read(&self, tenant: TenantId, names: Vec<SnapshotName>, mut reader: SnapshotReader) {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.is_stuck.load(Ordering::Relaxed) {
            return self.stuck.lock().unwrap().push(reader);
        }
        let spoil = *self.spoil.lock().unwrap();
        for (index, name) in names.into_iter().enumerate() {
            let bytes = self.blocks.lock().unwrap().get(&(tenant, name)).cloned();
            let bytes = bytes.and_then(|bytes| spoil.map_or(Some(bytes.clone()), |spoil| spoil(index, bytes)));
            let is_last = bytes.is_none();
            if !reader(ReadSnapshot { index, bytes, took: Duration::ZERO }) || is_last {
                return;
            }
        }
    }

    fn figures(&self) -> SnapshotFigures {
        SnapshotFigures::default()
    }
}

impl Shelf {
    fn len(&self) -> usize {
        self.blocks.lock().unwrap().len()
    }
}

/// Room for 32 blocks, and a shelf.
fn tight(shelf: &Arc<Shelf>) -> Limits {
    let snapshots: Arc<dyn Snapshots> = shelf.clone();
    Limits { kv_tokens_max: 512, snapshots: Some(snapshots), ..Limits::default() }
}

fn engine(limits: Limits) -> LocalEngine {
    let compute = Scripted::new(letters, &Arc::default(), &Arc::default(), Arc::new(|_| ()));
    scripted_in(limits, &Residency::unlimited(), move || Ok(compute.clone())).unwrap()
}

/// A prompt of twenty blocks; how many of its tokens were at hand.
fn ask(engine: &LocalEngine, tenant: u32, letter: &str) -> u32 {
    let prompt = letter.repeat(320);
    let job = GenerationJob { tenant: TenantId(tenant), ..job(&prompt, 4) };
    let (text, finish, usage) = read(engine.generate(job).unwrap());
    assert_eq!((text, finish), (told(letters, &prompt, 4), Ok(EngineFinish::Length)));
    usage.cached
}

/// Nineteen whole blocks before the last token.
const WHOLE: u32 = 304;

#[test]
fn what_had_to_go_comes_back() {
    let shelf = Arc::new(Shelf::default());
    let engine = engine(tight(&shelf));
    assert_eq!(["a", "b", "c"].map(|letter| ask(&engine, 1, letter)), [0; 3]);
    assert!(shelf.len() > 0);
    assert_eq!(ask(&engine, 1, "a"), WHOLE);
    assert_eq!(until(&engine, |totals| totals.ended == 4).restored, 19);
}

#[test]
fn what_an_engine_had_is_the_next_ones() {
    let shelf = Arc::new(Shelf::default());
    assert_eq!(ask(&engine(tight(&shelf)), 1, "a"), 0);
    // All of its whole blocks, with that of the output.
    assert_eq!(shelf.len(), 20);
    let next = engine(tight(&shelf));
    // Another tenant's are not there, and not even asked for.
    assert_eq!((ask(&next, 2, "a"), shelf.asked.load(Ordering::Relaxed)), (0, 0));
    assert_eq!((ask(&next, 1, "a"), shelf.asked.load(Ordering::Relaxed)), (WHOLE, 1));
    // What is at hand is not read.
    assert!(ask(&next, 1, "a") >= WHOLE);
    assert_eq!(shelf.asked.load(Ordering::Relaxed), 1);
}

#[test]
fn what_a_crash_took_comes_back() {
    let shelf = Arc::new(Shelf::default());
    assert_eq!(ask(&engine(tight(&shelf)), 1, "a"), 0);
    let next = engine(tight(&shelf));
    assert_eq!(ask(&next, 1, "a"), WHOLE);
    next.drill();
    ask(&next, 1, "b");
    until(&next, |_| next.rebuilds() == 1);
    assert_eq!(ask(&next, 1, "a"), WHOLE);
}

#[test]
fn what_is_missing_or_damaged_is_computed() {
    let shelf = Arc::new(Shelf::default());
    assert_eq!(ask(&engine(tight(&shelf)), 1, "a"), 0);
    let check = |spoil: Spoil, expect| {
        *shelf.spoil.lock().unwrap() = Some(spoil);
        assert_eq!(ask(&engine(tight(&shelf)), 1, "a"), expect);
    };
    check(|_, _| None, 0);
    check(|index, bytes| (index < 5).then_some(bytes), 80);
    check(|index, bytes| Some(if index < 3 { bytes } else { Vec::new() }), 48);
}

#[test]
fn nobody_waits_for_a_disk_that_does_not_answer() {
    let shelf = Arc::new(Shelf::default());
    assert_eq!(ask(&engine(tight(&shelf)), 1, "a"), 0);
    shelf.is_stuck.store(true, Ordering::Relaxed);
    let next = engine(tight(&shelf));
    assert_eq!(ask(&next, 1, "a"), 0);
    // It answers at last, and nobody is there who wants it.
    let readers = std::mem::take(&mut *shelf.stuck.lock().unwrap());
    assert_eq!(readers.len(), 1);
    for mut reader in readers {
        assert!(reader(ReadSnapshot { index: 0, bytes: Some(vec![7; 64]), took: Duration::ZERO }));
    }
    assert!(ask(&next, 1, "a") >= WHOLE);
    assert_eq!(totals(&next).restored, 0);
    drop(next);
}

#[test]
fn a_process_that_leaves_memory_has_its_prompt_kept() {
    let shelf = Arc::new(Shelf::default());
    let engine = engine(tight(&shelf));
    ask(&engine, 1, "a");
    engine.rests(TenantId(1), 2);
    engine.rests(TenantId(2), 1);
    engine.rests(TenantId(1), 1);
    let begin = Instant::now();
    while shelf.len() < 20 {
        assert!(begin.elapsed() < Duration::from_secs(60), "{} were kept", shelf.len());
        std::thread::yield_now();
    }
    // It is still at hand.
    assert!(ask(&engine, 1, "a") >= WHOLE);
    assert_eq!(shelf.asked.load(Ordering::Relaxed), 0);
}

/// What the tiny model says behind a prompt of ten blocks and some, and how many blocks were restored.
fn real(digest: &str, limits: Limits) -> (Vec<EngineEvent>, u64) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, sample::model().finish()).unwrap();
    let file = ModelFile { name: "a".into(), path, digest: digest.into() };
    let engine = LocalEngine::load(&[file], Limits { threads: 2, ..limits }).unwrap();
    let prompt: Vec<u32> = (0..170u32).map(|place| (place * 7 + 3) % 250).collect();
    let job = GenerationJob { model: "a".into(), prompt: prompt.into(), params: everything(5), ..job("", 1) };
    let told = events(engine.generate(job).unwrap());
    (told, until(&engine, |totals| totals.ended == 1).restored)
}

#[test]
fn real_texts_are_the_same_to_the_bit_with_what_was_restored() {
    let shelf = Arc::new(Shelf::default());
    let (plain, _) = real("one", Limits::default());
    assert_eq!(real("one", tight(&shelf)), (plain.clone(), 0));
    assert!(shelf.len() >= 10);
    assert_eq!(real("one", tight(&shelf)), (plain.clone(), 10));
    // Another model's are not taken, even where it comes to the same.
    assert_eq!(real("two", tight(&shelf)), (plain, 0));
}
