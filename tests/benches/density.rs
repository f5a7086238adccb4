//! How many processes live on this machine, and how much memory each one takes.
//!
//! Each one runs guest code up to a receive that blocks, and is a whole process: account, mailbox, name, entry in the table,
//! store, stack, linear memory. Afterwards a process calls every one of them and is answered, so that none of them only
//! looks alive. Then more are started, until the host refuses one.

#![allow(missing_docs, reason = "a benchmark has no reader of its documentation")]
#![allow(clippy::print_stdout, reason = "a benchmark prints its table")]

mod common;

use common::{Stage, block_on, message, program, program_asking};
use remit_abi::Tokens;
use remit_assembly::{Agent, Ended, Running, State, Task};
use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// How many shall live at a time.
const PROCESSES: usize = 10_000;

/// Places for guests: those, the one that calls them, and some to find the end with.
const GUESTS: u32 = 10_500;

/// Started at a time.
const BATCH: usize = 500;

/// After so long it does not get better.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at the process table.
const LOOK: Duration = Duration::from_millis(20);

/// Resident memory of this process.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:").map(str::to_owned));
    let said = line.unwrap_or_else(|| {
        let output = Command::new("ps").args(["-o", "rss=", "-p", &std::process::id().to_string()]).output();
        String::from_utf8_lossy(&output.expect("there is ps where there is no /proc").stdout).into_owned()
    });
    said.split_whitespace().next().and_then(|kib| kib.parse().ok()).expect("a number of KiB")
}

/// Memory maps of this process, and how many the system allows; nothing where it does not say so.
fn maps() -> Option<(usize, usize)> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?.lines().count();
    let most = std::fs::read_to_string("/proc/sys/vm/max_map_count").ok()?;
    Some((maps, most.trim().parse().ok()?))
}

/// How many live and wait, of how many that live.
fn waiting(stage: &Stage) -> (usize, usize) {
    let all = stage.node.kernel().processes();
    (all.iter().filter(|process| matches!(process.state, State::Waiting(_))).count(), all.len())
}

/// Until every process that lives waits; how many these are.
fn settled(stage: &Stage) -> usize {
    let started = Instant::now();
    loop {
        let (waiting, alive) = waiting(stage);
        if waiting == alive {
            return alive;
        }
        assert!(started.elapsed() < PATIENCE, "of {alive} processes, {waiting} wait");
        thread::sleep(LOOK);
    }
}

/// Processes that wait.
struct Blockers<'a> {
    stage: &'a Stage,
    agent: Agent,
    /// Who lets go of it ends it.
    running: Vec<Running>,
}

impl Blockers<'_> {
    /// Starts so many more and lets them come to their receive; how many live then, and why the next one was not started.
    fn start(&mut self, count: usize) -> (usize, Option<String>) {
        for _ in 0..count {
            let name = Some(format!("blocker-{}", self.running.len()));
            match self.stage.node.start(&self.agent, Task { name, ..Task::default() }) {
                Ok(running) => self.running.push(running),
                Err(refused) => return (settled(self.stage), Some(refused.to_string())),
            }
        }
        (settled(self.stage), None)
    }

    /// Why those ended that did.
    fn refusal(&mut self) -> Option<String> {
        let kernel = self.stage.node.kernel();
        let index = self.running.iter().position(|running| kernel.process(running.pid).is_none())?;
        match block_on(self.running.swap_remove(index).finished).ended {
            Ended::Faulted(fault) => Some(fault.to_string()),
            other => Some(format!("{other:?}")),
        }
    }
}

/// Calls each of so many; how long that took.
fn call_all(stage: &Stage, count: usize) -> Duration {
    let peers = "[[wants.mailboxes]]\nlabel = \"peers\"\nmailboxes = [\"blocker-*\"]\n";
    let agent = stage.load(&program_asking("roll_call", peers));
    let budget = Tokens::from_whole(100_000);
    let started = Instant::now();
    let task = Task { budget, messages: message(&count.to_string()), ..Task::default() };
    let Running { events: _events, finished, .. } = stage.node.start(&agent, task).expect("it has a budget");
    match block_on(finished).ended {
        Ended::Done(..) => started.elapsed(),
        other => panic!("not every process answers: {other:?}"),
    }
}

fn main() {
    let stage = Stage::with_guests(GUESTS);
    let agent = stage.load(&program("blocker"));
    let mut blockers = Blockers { stage: &stage, agent, running: Vec::new() };
    // The first one takes what all of them share.
    blockers.start(1);
    let before_kib = resident_kib();
    let started = Instant::now();
    while blockers.running.len() < PROCESSES {
        let count = BATCH.min(PROCESSES - blockers.running.len());
        let (alive, refused) = blockers.start(count);
        let wanted = blockers.running.len();
        if refused.is_some() || alive < wanted {
            let why = refused.or_else(|| blockers.refusal()).unwrap_or_default();
            panic!("{alive} processes of {wanted} live: {why}");
        }
    }
    let start = started.elapsed();
    let after_kib = resident_kib();
    let alive = waiting(&stage).0;
    let kib_per_process = (after_kib.saturating_sub(before_kib)) as f64 / (alive - 1) as f64;
    let calls = call_all(&stage, alive);
    let answered_kib = (resident_kib().saturating_sub(before_kib)) as f64 / (alive - 1) as f64;
    println!("processes that wait, after guest code ran           {alive:10}");
    println!("resident before and after, MiB           {:10} {:10}", before_kib >> 10, after_kib >> 10);
    println!("resident for each, KiB                              {kib_per_process:10.1}");
    println!("the same, after each of them answered a call        {answered_kib:10.1}");
    println!("started in, s                                       {:10.2}", start.as_secs_f64());
    println!("all of them called and answered in, s               {:10.2}", calls.as_secs_f64());
    if let Some((maps, most)) = maps() {
        println!("memory maps, of {most:6}                              {maps:10}");
    }
    let (most, why) = until_refused(&mut blockers);
    println!("at most                                             {most:10}\nthen: {why}");
    common::leave(&serde_json::json!({
        "processes_live": alive,
        "kib_per_process": kib_per_process,
        "kib_per_process_answered": answered_kib,
        "start_all_s": start.as_secs_f64(),
        "call_all_s": calls.as_secs_f64(),
        "processes_max": most,
    }));
}

/// Starts more until one is refused; how many lived, and why not one more.
fn until_refused(blockers: &mut Blockers<'_>) -> (usize, String) {
    loop {
        let before = blockers.running.len();
        let (alive, refused) = blockers.start(BATCH / 10);
        let refusal = refused.or_else(|| blockers.refusal());
        if let Some(why) = refusal {
            return (alive, why);
        }
        assert_eq!(alive, before + BATCH / 10, "each one lives, or was refused");
    }
}
