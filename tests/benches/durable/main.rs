//! What it costs to outlive the host, and how fast that which outlived it comes back. On a real disk, in the target folder.
//!
//! | row | is |
//! | --- | --- |
//! | clock reads | 64 durable processes that read the clock; nobody waits for the disk but their ends |
//! | commits | 64 durable processes that commit a state over and over, each time until it survives a crash |
//! | raw rows | SQLite by itself, with rows of as many bytes, as many writers, and groups that form in the same way |
//! | busy | the same while a model writes four answers at a time on all processors |
//! | added | what the journal adds to one clock read of one process |
//! | replay | an agent of model calls, and one without, run again from their logs, beside their lives |
//! | wake | sleepers with some 90 entries and half a millisecond of computing, that all wake at one moment |
//! | a million | a host that finds so many asleep: its start, its memory, its disk, and a thousand of them that wake ([`dormant`]) |

#![allow(missing_docs, reason = "a benchmark has no reader of its documentation")]
#![allow(clippy::print_stdout, reason = "a benchmark prints its table")]

#[path = "../common/mod.rs"]
mod common;
mod dormant;
mod raw;

use common::{Stage, block_on, compiler, leave, made, median, message, program, program_asking, state};
use futures::future::join_all;
use remit_abi::{Params, Priority, TenantId, Tokens};
use remit_assembly::{
    Agent, Ended, Finished, Home, Reran, Running, State, Task,
    recording::{Recording, rerun},
};
use remit_inference::{Limits, LocalEngine, ModelFile};
use remit_kernel::ports::{Engine, EngineEvent, GenerationJob, PromptText};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;
use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

const PROCESSES: usize = 64;
/// Of each of them.
const CLOCK_READS: u32 = 20_000;
const COMMITS: u32 = 300;
/// Of the one process whose calls are compared with an ephemeral one's.
const CALLS: u32 = 300_000;
/// Of that, in turns.
const RUNS: usize = 5;
/// Model calls of the agent that is run again.
const TURNS: u32 = 10;
const OUTPUT_TOKENS: u32 = 64;
/// Sleepers that wake at one moment.
const SLEEPERS: usize = 2_000;
/// How long a process waits before it sleeps.
const PATIENCE: Duration = Duration::from_millis(50);
const MODEL: &str = "smollm2";

fn main() {
    if dormant::fill() {
        return;
    }
    let folder = made("REMIT_BENCH_OUT").with_file_name("durable");
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder).expect("the target folder is writable");
    println!("fsyncs of 4 KiB a second: {:.0}", fsyncs_per_s(&folder));
    let engine = Arc::new(engine());
    let place = Place { folder: &folder, engine: &engine };
    let mut metrics = serde_json::Map::new();
    let mut put = |name: &str, value: f64| {
        metrics.insert(name.to_owned(), json!((value * 1000.0).round() / 1000.0));
    };
    journaled(&place, &mut put);
    put("syscall_added_us", added(&place));
    replays(&place, &mut put);
    sleepers(&place, &mut put);
    dormant::measure(&folder, &mut put);
    leave(&metrics.into());
    fs::remove_dir_all(&folder).expect("the target folder is writable");
}

/// Where it is measured, and the model that is beside it.
struct Place<'a> {
    folder: &'a Path,
    engine: &'a Arc<LocalEngine>,
}

impl Place<'_> {
    fn home(&self, name: &str) -> Home {
        let home = Home::at(self.folder.join(name));
        fs::create_dir_all(home.folder()).expect("the target folder is writable");
        home
    }

    fn stage(&self, name: &str) -> Stage {
        Stage::durable(self.engine.clone(), self.home(name), PATIENCE)
    }
}

fn engine() -> LocalEngine {
    let file = ModelFile { name: MODEL.into(), path: made("REMIT_TEST_MODEL"), digest: "0".into() };
    LocalEngine::load(&[file], Limits::default()).expect("the set-up fetched it")
}

fn fsyncs_per_s(folder: &Path) -> f64 {
    let mut file = File::create(folder.join("fsync")).expect("the target folder is writable");
    let (started, mut count) = (Instant::now(), 0_u32);
    while started.elapsed() < Duration::from_secs(1) {
        file.write_all(&[0; 4096]).and_then(|()| file.sync_data()).expect("the disk writes");
        count += 1;
    }
    f64::from(count) / started.elapsed().as_secs_f64()
}

fn budget() -> Option<Tokens> {
    Tokens::from_whole(1_000_000)
}

fn task(number: u32, durable: bool) -> Task {
    Task { budget: budget(), resumed: Some(state(number).into()), durable, ..Task::default() }
}

fn is_done(finished: &Finished) {
    assert!(matches!(finished.ended, Ended::Done(..)), "{:?}", finished.ended);
}

/// Seconds for so many processes of an agent, side by side, with so many calls each.
fn side_by_side(stage: &Stage, agent: &Agent, processes: usize, task: impl Fn() -> Task) -> f64 {
    let started = Instant::now();
    let ends = (0..processes).map(|_| common::life(&stage.node, agent, task()));
    block_on(join_all(ends)).iter().for_each(is_done);
    started.elapsed().as_secs_f64()
}

/// Has a model write four answers at a time as long as something else goes on.
fn beside<T>(engine: &LocalEngine, work: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for program in 0..4 {
            let stop = &stop;
            scope.spawn(move || {
                let prompt = engine.tokenize(MODEL, &PromptText::Text("Once upon a time".to_owned()));
                let prompt = prompt.expect("it has a tokenizer");
                while !stop.load(Ordering::Relaxed) {
                    let (tenant, priority, params) = (TenantId(9), Priority::Normal, Params::greedy(256));
                    let (model, prompt) = (MODEL.into(), prompt.clone());
                    let job = GenerationJob { tenant, program, priority, model, prompt, params, tools: None };
                    let mut stream = engine.generate(job).expect("there is room");
                    while let Some(event) = stream.events.blocking_recv() {
                        if matches!(event, EngineEvent::End(_)) {
                            break;
                        }
                        if stop.load(Ordering::Relaxed) {
                            stream.meter.cancel();
                        }
                    }
                }
            });
        }
        let result = work();
        stop.store(true, Ordering::Relaxed);
        result
    })
}

fn journaled(place: &Place<'_>, put: &mut impl FnMut(&str, f64)) {
    let stage = place.stage("journaled");
    let (reads, commits) = (stage.load(&program("calls")), stage.load(&program("commits")));
    let before = journal_bytes(&place.home("journaled"));
    let of_reads = || {
        PROCESSES as f64 * f64::from(CLOCK_READS) / side_by_side(&stage, &reads, PROCESSES, || task(CLOCK_READS, true))
    };
    let of_commits =
        || PROCESSES as f64 * f64::from(COMMITS) / side_by_side(&stage, &commits, PROCESSES, || task(COMMITS, true));
    let rate = of_reads();
    // As many bytes as an entry takes on the disk, what SQLite adds included.
    let grown = journal_bytes(&place.home("journaled")).saturating_sub(before) as f64;
    let bytes = (grown / (PROCESSES as f64 * f64::from(CLOCK_READS))).ceil() as usize;
    let raw_reads = raw::rows_per_s(place.folder, PROCESSES, CLOCK_READS.into(), bytes, u64::MAX);
    let (waited, raw_commits) = (of_commits(), raw::rows_per_s(place.folder, PROCESSES, COMMITS.into(), bytes, 1));
    let (busy, busy_waited) = beside(place.engine, || (of_reads(), of_commits()));
    println!("\n{:28} {:>12} {:>12} {:>7} {:>12}", "", "a second", "raw rows", "ratio", "busy");
    let row = |name: &str, ours: f64, raw: f64, busy: f64| {
        println!("{name:28} {ours:>12.0} {raw:>12.0} {:>7.2} {busy:>12.0}", ours / raw);
    };
    row("clock reads, 64 processes", rate, raw_reads, busy);
    row("commits, 64 processes", waited, raw_commits, busy_waited);
    println!("{bytes} bytes an entry on the disk");
    put("journaled_per_s_64", rate);
    put("journaled_per_s_64_busy", busy);
    put("committed_per_s_64", waited);
    put("committed_per_s_64_busy", busy_waited);
    put("sqlite_ratio", rate / raw_reads);
    put("sqlite_ratio_committed", waited / raw_commits);
}

/// What the journal's files take.
fn journal_bytes(home: &Home) -> u64 {
    let Ok(files) = fs::read_dir(home.journal()) else { return 0 };
    files.flatten().filter_map(|file| file.metadata().ok()).map(|file| file.blocks() * 512).sum()
}

/// What the journal adds to a clock read, in microseconds.
fn added(place: &Place<'_>) -> f64 {
    let stage = place.stage("added");
    let agent = stage.load(&program("calls"));
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        without.push(side_by_side(&stage, &agent, 1, || task(CALLS, false)));
        with.push(side_by_side(&stage, &agent, 1, || task(CALLS, true)));
    }
    let each = |mut runs: Vec<f64>| median(&mut runs) / f64::from(CALLS) * 1e6;
    let (with, without) = (each(with), each(without));
    println!("\na clock read: {without:.2} us of an ephemeral process, {with:.2} us of a durable one");
    with - without
}

/// Processor time of this program, in seconds.
fn cpu() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Wall and processor seconds.
fn timed<T>(work: impl FnOnce() -> T) -> (f64, f64, T) {
    let (wall, cpu_before) = (Instant::now(), cpu());
    let result = work();
    (wall.elapsed().as_secs_f64(), cpu() - cpu_before, result)
}

/// A life, and the recording of it.
fn lived(stage: &Stage, agent: &Agent, task: Task) -> (f64, f64, Recording) {
    let (wall, cpu, pid) = timed(|| {
        let Running { pid, events, finished } = stage.node.start(agent, task).expect("it has a budget");
        events.leave();
        is_done(&block_on(finished));
        pid
    });
    (wall, cpu, stage.node.recording(pid).expect("it was kept"))
}

/// The same, run again; the first time compiles and does not count.
fn relived(home: &Home, recording: &Recording) -> (f64, f64) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("threads can be started");
    let again = || {
        let reran = runtime.block_on(rerun(home, compiler(), recording.clone(), (None, None), |_| {}));
        assert!(matches!(reran, Ok(Reran::Ended(_))), "{reran:?}");
    };
    again();
    let (wall, cpu, ()) = timed(again);
    (wall, cpu)
}

fn replays(place: &Place<'_>, put: &mut impl FnMut(&str, f64)) {
    let (stage, home) = (place.stage("replay"), place.home("replay"));
    let asks = stage.load(&program_asking("turns", "[[wants.models]]\nlabel = \"chat\"\n"));
    let messages = message(&format!("{TURNS} {OUTPUT_TOKENS}\nYou are a careful assistant."));
    let (live, _, recording) =
        lived(&stage, &asks, Task { messages, budget: budget(), durable: true, ..Task::default() });
    let (again, _) = relived(&home, &recording);
    println!("\n{TURNS} model calls: {live:.3} s live, {again:.4} s again, {:.0} times as fast", live / again);
    put("replay_speedup_llm", live / again);
    let reads = stage.load(&program("calls"));
    let (live, live_cpu, recording) = lived(&stage, &reads, task(CALLS, true));
    let (again, again_cpu) = relived(&home, &recording);
    let ratio = again_cpu / live_cpu;
    println!(
        "{CALLS} clock reads: {live:.3} s live ({live_cpu:.3} of processor), {again:.3} s again ({again_cpu:.3}), {ratio:.2}"
    );
    put("replay_cpu_ratio", ratio);
}

/// Starts sleepers that wake so long after all of them sleep; the moment at which they do.
fn put_to_sleep(stage: &Stage, agent: &Agent, count: usize, after: Duration) -> (Vec<Running>, SystemTime) {
    let wakes = SystemTime::now() + after;
    let until = wakes.duration_since(UNIX_EPOCH).expect("it is later").as_millis().to_string();
    let start = || {
        let task =
            Task { budget: Tokens::from_whole(100), messages: message(&until), durable: true, ..Task::default() };
        stage.node.start(agent, task).expect("it has a budget")
    };
    let running: Vec<_> = (0..count).map(|_| start()).collect();
    while stage.node.kernel().processes().iter().any(|process| process.state != State::Asleep) {
        assert!(SystemTime::now() < wakes, "they do not sleep in time");
        thread::sleep(Duration::from_millis(20));
    }
    (running, wakes)
}

fn sleepers(place: &Place<'_>, put: &mut impl FnMut(&str, f64)) {
    let stage = place.stage("sleepers");
    let agent = stage.load(&program("late_riser"));
    let (running, wakes) = put_to_sleep(&stage, &agent, SLEEPERS, Duration::from_secs(20));
    block_on(join_all(running.into_iter().map(|running| running.finished))).iter().for_each(is_done);
    let seconds = wakes.elapsed().expect("it is later").as_secs_f64();
    println!("\n{SLEEPERS} sleepers woke, did half a millisecond again and ended in {seconds:.2} s");
    put("wake_per_s", SLEEPERS as f64 / seconds);
    stage.node.stop();
}
