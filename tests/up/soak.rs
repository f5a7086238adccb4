//! A team that works while its host is killed over and over, at random moments. Here a few times; `cargo xtask soak` does it a thousand times,
//! and prints what the processes were told last before each kill.

use super::{relay, stage::Host};
use remit_journal::SqliteJournal;
use remit_kernel::ports::{Asked, Entry, Journal as _};
use std::{collections::BTreeMap, path::Path, thread, time::Duration};

const KILLS: u32 = 8;
/// Between the host's first word and its end, at most.
const UP_MS_MAX: u64 = 150;

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
            Some(_) => "another entry".to_owned(),
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

#[test]
fn a_team_loses_nothing_however_often_its_host_is_killed() {
    let kills = std::env::var("REMIT_SOAK_KILLS").map_or(KILLS, |kills| kills.parse().expect("it is a number"));
    let mut random = Random(20_261_122);
    let (patient, mut told) = (["--patience", "20ms"], BTreeMap::<String, u32>::new());
    let home = tempfile::tempdir().expect("a folder for the test");
    relay::install(home.path());
    let mut host = Host::on(home, &patient);
    let pid = relay::start(&host);
    for _ in 0..kills {
        // The moment is the test.
        thread::sleep(Duration::from_millis(random.below(UP_MS_MAX)));
        host.signal("KILL");
        let home = host.ended().1;
        last_told(home.path()).into_iter().for_each(|step| *told.entry(step).or_default() += 1);
        host = Host::on(home, &patient);
    }
    let rounds = relay::ends_as_ever(&host, &pid);
    println!("{kills} kills, {rounds} rounds; what the processes were told last:");
    told.iter().for_each(|(step, count)| println!("{count:>6}  {step}"));
}
