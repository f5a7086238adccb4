//! A team that works while its host is killed over and over, at random moments. Here a few times; `cargo xtask soak` does it a thousand times,
//! and prints where the kills came.
//!
//! Two things say where a kill came. What each process was told last, as the journal has it, is the step that it had come to: whatever comes
//! after it is what was cut. And the host is stopped a moment before, with all its threads where they are, so that it can be seen whether
//! one of them runs an agent's own instructions; where none does, each of the processes is inside of a syscall.
//!
//! Some steps are over at once, and at a random moment hardly anybody stands there. In a long run the host goes on and is stopped again, a
//! bounded number of times, until a step is found that few kills have come to.

use super::{
    relay,
    stage::{Host, program},
};
use remit_journal::SqliteJournal;
use remit_kernel::ports::{Asked, Entry, Journal as _};
use std::{collections::BTreeMap, fs, path::Path, thread, time::Duration};

const KILLS: u32 = 8;
/// Between the host's first word and its end, at most.
const UP_MS_MAX: u64 = 150;

/// One kill in so many is to come to each step: 50 of 1,000.
const KILLS_OF_STEP: u32 = 20;
/// Each look costs some 20 ms, and a rare step is seen once in a thousand.
const LOOKS_MAX: u32 = 50;
/// From one look to the next, at most: some steps further.
const LOOK_US_MAX: u64 = 3_000;

/// A linear congruential generator: the same moments every time, as far as a machine lets them be the same.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// What each process was told last; of a copy, so that the next host finds what the last one left.
fn last_told(home: &Path) -> Vec<String> {
    let scratch = tempfile::tempdir().expect("a folder for the test");
    relay::copy(&home.join("journal"), scratch.path());
    let journal = SqliteJournal::open(scratch.path()).expect("it is whole");
    let living = journal.node().expect("it can be read").living;
    let last = |pid: &remit_abi::Pid| {
        let process = journal.process(*pid).expect("it can be read").expect("it lives");
        match process.lines.last().map(|line| &line.entry) {
            Some(Entry::Told(told)) => said(&told.asked),
            Some(Entry::Intended(asked)) => format!("{}, intended", said(asked)),
            // What is told of a commit and what it keeps are two records, with nothing between them.
            Some(Entry::Committed(_)) => "Checkpoint.Commit".to_owned(),
            Some(Entry::Exited(_)) => "its end".to_owned(),
            Some(_) => "its beginning".to_owned(),
            None => "nothing yet".to_owned(),
        }
    };
    living.iter().map(last).collect()
}

/// The syscall, without what it is about.
fn said(asked: &Asked) -> String {
    let Some(request) = asked.request() else { return "a large request".to_owned() };
    let shown = format!("{request:?}");
    shown
        .split(|end: char| !end.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .take(2)
        .collect::<Vec<_>>()
        .join(".")
}

/// Stops the host somewhere where few kills have come to; whether all of its processes are inside of a syscall there.
fn stop(host: &Host, told: &BTreeMap<String, u32>, wanted: u32, random: &mut Random) -> Option<bool> {
    // The moment is the test.
    thread::sleep(Duration::from_millis(random.below(UP_MS_MAX)));
    let is_rare = |step: &String| told.get(step).is_none_or(|count| *count < wanted);
    for _ in 0..LOOKS_MAX {
        host.signal("STOP");
        let inside = inside_a_syscall(host.system_pid());
        if wanted == 0 || last_told(host.home().path()).iter().any(is_rare) {
            return inside;
        }
        host.signal("CONT");
        thread::sleep(Duration::from_micros(random.below(LOOK_US_MAX)));
    }
    host.signal("STOP");
    inside_a_syscall(host.system_pid())
}

/// Where code lies that neither the program nor a library brought: that of agents.
fn agents_code(maps: &str) -> Vec<std::ops::Range<u64>> {
    let code = |line: &str| {
        let mut words = line.split_whitespace();
        let (range, mode, path) = (words.next()?, words.next()?, words.nth(3).unwrap_or_default());
        let is_program = Path::new(path).file_name().is_some_and(|name| name == "remit");
        let library = path.contains(".so") || path.starts_with('[') || is_program;
        if library || !mode.contains('x') {
            return None;
        }
        let (start, end) = range.split_once('-')?;
        Some(hexadecimal(start)?..hexadecimal(end)?)
    };
    maps.lines().filter_map(code).collect()
}

fn hexadecimal(text: &str) -> Option<u64> {
    u64::from_str_radix(text.trim_start_matches("0x"), 16).ok()
}

/// Whether all threads of a stopped host are outside of the agents' own code; `None` where the system does not show it.
fn inside_a_syscall(host: u32) -> Option<bool> {
    let folder = Path::new("/proc").join(host.to_string());
    let code = agents_code(&fs::read_to_string(folder.join("maps")).ok()?);
    for thread in fs::read_dir(folder.join("task")).ok()?.flatten() {
        // The last word is the instruction's address; a thread that has not come to its stop yet says `running`.
        let place = loop {
            let Ok(place) = fs::read_to_string(thread.path().join("syscall")) else { break String::new() };
            if !place.starts_with("running") {
                break place;
            }
        };
        let address = place.split_whitespace().last().and_then(hexadecimal);
        if address.is_some_and(|address| code.iter().any(|range| range.contains(&address))) {
            return Some(false);
        }
    }
    Some(true)
}

#[test]
fn a_team_loses_nothing_however_often_its_host_is_killed() {
    let kills = std::env::var("REMIT_SOAK_KILLS").map_or(KILLS, |kills| kills.parse().expect("it is a number"));
    let mut random = Random(20_261_122);
    let (patient, mut told) = (["--patience", "20ms"], BTreeMap::<String, u32>::new());
    let (mut inside, mut seen) = (0_u32, 0_u32);
    let home = tempfile::tempdir().expect("a folder for the test");
    relay::install(home.path());
    let mut host = Host::on(home, &patient);
    let pid = relay::start(&host);
    for kill in 1..=kills {
        if let Some(is_inside) = stop(&host, &told, kills / KILLS_OF_STEP, &mut random) {
            seen += 1;
            inside += u32::from(is_inside);
        }
        host.signal("KILL");
        let home = host.ended().1;
        let last = last_told(home.path());
        let lives = !last.is_empty();
        last.into_iter().for_each(|step| *told.entry(step).or_default() += 1);
        host = Host::on(home, &patient);
        assert!(lives, "the team has ended after {kill} kills: {:?}", host.remit(&["results", "show", &pid]));
    }
    let rounds = relay::ends_as_ever(&host, &pid);
    println!(
        "{kills} kills, {rounds} rounds; of {seen} kills {inside} came while all processes were inside of a syscall"
    );
    println!("what the processes were told last:");
    told.iter().for_each(|(step, count)| println!("{count:>6}  {step}"));
}

#[test]
fn an_agent_that_computes_is_seen_to_be_outside_of_syscalls() {
    let host = Host::up();
    host.ask(&["run", "--detach", "--budget", "1000000", &program("spin")]);
    host.until("its own instructions", |host| {
        host.signal("STOP");
        let inside = inside_a_syscall(host.system_pid());
        host.signal("CONT");
        // Where the system shows nothing, the soak says nothing of it either.
        (inside != Some(true)).then_some(())
    });
}
