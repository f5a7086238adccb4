//! What signatures cost: an installed package's way into a process, the first time and after that; compiling agents; and many packages.
//!
//! | figure | what it is |
//! | --- | --- |
//! | `verify_warm_us` | what a process that starts another by its name waits longer where that is a signed package than where it is a folder that nobody signed |
//! | `verify_first_ms`, `verify_first_ms_per_mb` | reading an installed package, comparing it with its digest, and admitting it by its policy: a line through sizes from 1 to 16 MB |
//! | `cold_compile_ms_max` | the slowest of the sample agents, from its file to what can be started, with nothing in the cache |
//! | `start_1000_s` | a host's start with 1,000 installed packages, until one of them has run |
//!
//! Once a package is loaded, a start looks at the stamps of four files (trust.toml, revoked.toml, the list of packages, the agent's own
//! manifest) and at the clock. The first time SHA-256 over the file is most of it: it is computed once, and once more by the host, which
//! believes no name.

#![allow(missing_docs, reason = "a benchmark has no reader of its documentation")]
#![allow(clippy::print_stdout, reason = "a benchmark prints its table")]

mod common;

use common::{Stage, block_on, leave, life, made, median, message, program, scratch};
use jiff::Timestamp;
use remit_abi::Tokens;
use remit_assembly::{
    Ended, GrantChoice, Home, Package, Running, Task,
    package::{Arrival, Envelope, Evidence, Older, Packed, Parts, SecretKey, Statement, Store, Terms},
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Children of one measurement, and measurements of each kind, in turns.
const CHILDREN: usize = 500;
const ROUNDS: usize = 15;

/// Packages of one size that are read, and the sizes.
const READS: usize = 15;
const SIZES_MB: [usize; 4] = [1, 4, 8, 16];

const PACKAGES: usize = 1_000;

/// What the program that starts others asks for.
const WANTS: &str = "[[wants.processes]]\nlabel = \"workers\"\nagents = [\"signed\", \"plain\"]\n";

/// An author, and an operator who takes what that author signed, and folders that nobody did.
struct Desk {
    key: SecretKey,
    home: Home,
    folder: PathBuf,
}

impl Desk {
    fn new(name: &str) -> Self {
        let folder = scratch(name);
        let (key, home) = (SecretKey::generate().expect("the machine has randomness"), Home::at(folder.join("home")));
        fs::create_dir_all(home.folder()).expect("the target folder is writable");
        let policy = format!(
            "[[keys]]\nname = \"author\"\npublic = \"\"\"\n{}\"\"\"\n\
             [[packages]]\nnames = [\"plain\", \"spawner\"]\nunsigned = true\ntokens_max = 1000000000\n[[packages.grants.processes]]\nagents = [\"*\"]\n\
             [[packages]]\nnames = [\"*\"]\nsigners = [\"author\"]\ntokens_max = 1000000000\n",
            key.public().to_pem()
        );
        fs::write(home.trust_policy(), policy).expect("the target folder is writable");
        Self { key, home, folder }
    }

    /// Packs a program under a name, with so many bytes of assets, signs it, and installs it.
    fn install(&self, name: &str, component: &[u8], padding: usize) {
        let manifest = format!("name = \"{name}\"\nversion = \"1.0.0\"\ncomponent = \"{name}.wasm\"\n");
        // Bytes that no two packages share, so that nobody gains from having seen them.
        let noise =
            |index: usize| (index as u64 ^ name.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()[7];
        let assets = match padding {
            0 => BTreeMap::new(),
            bytes => BTreeMap::from([("padding".to_owned(), (0..bytes).map(noise).collect())]),
        };
        let parts = Parts { component, manifest: &manifest, assets: &assets, build: None, sbom: None };
        let bytes = Packed::make(&parts).expect("it is a package");
        let now = Timestamp::now();
        let seconds = |from_now: i64| Timestamp::from_second(now.as_second() + from_now).expect("it is near");
        let terms = Terms { serial: 1, issued: seconds(-3_600), not_after: seconds(86_400) };
        let packed = Packed::read(&bytes).expect("it was just made");
        let mut envelope = Envelope::new(Statement::of(&packed, terms).to_json());
        envelope.sign(&self.key);
        let file = self.folder.join("package.wasm");
        fs::write(&file, &bytes).expect("the target folder is writable");
        let package = Package::open(&file).expect("it was just made");
        let package = package.with_evidence(Evidence::envelope(envelope.to_json().into_bytes()));
        let (trust, arrival) =
            (self.home.trust().expect("it was just written"), Arrival { older: Older::Refused, from: None, now });
        Store::at(self.home.packages()).install(&package, &trust, &arrival).expect("its author is trusted");
    }

    /// An agent's folder that nobody signed, with nothing that it asks for besides these wants.
    fn lay_out(&self, name: &str, component: &[u8], wants: &str) {
        let folder = self.home.agent(name);
        fs::create_dir_all(&folder).expect("the target folder is writable");
        fs::write(folder.join(format!("{name}.wasm")), component).expect("the target folder is writable");
        let manifest = format!("name = \"{name}\"\nversion = \"1.0.0\"\ncomponent = \"{name}.wasm\"\n{wants}");
        fs::write(folder.join("remit.toml"), manifest).expect("the target folder is writable");
    }

    fn stage(&self) -> Stage {
        Stage::in_home(self.home.clone())
    }

    fn open(&self, name: &str) -> Package {
        let store = Store::at(self.home.packages());
        store.open(&name.parse().expect("it is a name")).expect("it can be read").expect("it is installed")
    }
}

fn main() {
    let mut metrics = serde_json::Map::new();
    let mut tell = |name: &str, value: f64, what: &str| {
        println!("{name:24} {value:10.3}   {what}");
        metrics.insert(name.to_owned(), value.into());
    };
    let warm = warm();
    tell("spawn_plain_us", warm.plain_us, "a child by name, of a folder that nobody signed");
    tell("spawn_signed_us", warm.signed_us, "a child by name, of an installed package");
    tell("verify_warm_us", warm.added_us, "the difference: at most 50");
    let (base_ms, each_ms) = first();
    tell("verify_first_ms", base_ms, "the first start, of a package without bytes: at most 1");
    tell("verify_first_ms_per_mb", each_ms, "each MB: at most 1");
    let (slowest_ms, which) = cold();
    tell("cold_compile_ms_max", slowest_ms, &format!("{which}: at most 300"));
    let (seconds, plain_seconds) = start();
    tell("start_1000_s", seconds, "a host's start with 1,000 packages, and one of them run: at most 1");
    tell("start_1_s", plain_seconds, "the same with one package");
    leave(&metrics.into());
}

struct Warm {
    plain_us: f64,
    signed_us: f64,
    added_us: f64,
}

/// Children by name, in turns: those of a package, and those of a folder.
fn warm() -> Warm {
    let desk = Desk::new("packages-warm");
    let component = fs::read(&program("nothing").component).expect("the set-up built it");
    desk.install("signed", &component, 0);
    desk.lay_out("plain", &component, "");
    let spawner = fs::read(&program("spawner").component).expect("the set-up built it");
    desk.lay_out("spawner", &spawner, WANTS);
    let stage = desk.stage();
    let spawner = Package::open(&desk.home.agent("spawner")).expect("it was just written");
    let agent = stage.node.load(&spawner, &GrantChoice::All).expect("it is let in");
    let run = |name: &str, children: usize| {
        let budget = Tokens::from_whole(1_000_000);
        let task = Task { budget, messages: message(&format!("{name} {children}")), ..Default::default() };
        let started = Instant::now();
        let Running { events, finished, .. } = stage.node.start(&agent, task).expect("it has a budget");
        // What it says at its end is nobody's, and it is not to be stopped for that.
        events.leave();
        let finished = block_on(finished);
        assert!(matches!(finished.ended, Ended::Done(..)), "{:?}", finished.ended);
        common::micros(started.elapsed()) / children as f64
    };
    for name in ["signed", "plain"] {
        run(name, 50);
    }
    let (mut plain, mut signed): (Vec<f64>, Vec<f64>) =
        (0..ROUNDS).map(|_| (run("plain", CHILDREN), run("signed", CHILDREN))).unzip();
    let mut added: Vec<f64> = signed.iter().zip(&plain).map(|(signed, plain)| signed - plain).collect();
    common::remove(&desk.folder);
    Warm { plain_us: median(&mut plain), signed_us: median(&mut signed), added_us: median(&mut added) }
}

/// Milliseconds for a package without bytes, and for each MB: the line of least squares through the medians of all sizes.
fn first() -> (f64, f64) {
    let desk = Desk::new("packages-first");
    let component = fs::read(&program("nothing").component).expect("the set-up built it");
    let mut points = Vec::new();
    for size in SIZES_MB {
        let name = format!("of-{size}");
        desk.install(&name, &component, size << 20);
        let trust = desk.home.trust().expect("it was just written");
        let mut times: Vec<f64> = (0..READS)
            .map(|_| {
                let started = Instant::now();
                let package = desk.open(&name);
                trust.admit(&package, &package.circumstances(Timestamp::now(), None)).expect("its author is trusted");
                common::micros(started.elapsed()) / 1e3
            })
            .collect();
        let bytes = desk.open(&name).bytes().len();
        points.push((bytes as f64 / 1e6, median(&mut times)));
    }
    for (size, time) in &points {
        println!("{:24} {time:10.3}   {size:.1} MB, ms", "first start");
    }
    common::remove(&desk.folder);
    line(&points)
}

/// The base and the slope of the line of least squares.
fn line(points: &[(f64, f64)]) -> (f64, f64) {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let covariance: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let variance: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    let slope = covariance / variance;
    (y - slope * x, slope)
}

/// The slowest of the sample agents, and which one that is. Each is compiled by a child process, as ever.
fn cold() -> (f64, String) {
    let agents = fs::read_dir(made("REMIT_TEST_AGENTS")).expect("the set-up built them").flatten();
    let mut folders: Vec<PathBuf> = agents.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    let mut slowest = (0.0, String::new());
    for folder in folders {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut times: Vec<f64> = (0..5).map(|_| compile(&folder)).collect();
        let time = median(&mut times);
        println!("{:24} {time:10.3}   {name}, ms", "cold compile");
        if time > slowest.0 {
            slowest = (time, name);
        }
    }
    slowest
}

fn compile(agent: &Path) -> f64 {
    let folder = scratch("packages-cold");
    let stage = Stage::in_home(Home::at(folder.clone()));
    let package = Package::open(agent).expect("the set-up built it");
    let started = Instant::now();
    stage.node.load(&package, &GrantChoice::All).expect("it is let in");
    let time = common::micros(started.elapsed()) / 1e3;
    drop(stage);
    common::remove(&folder);
    time
}

/// Seconds from nothing to a process that has ended, with many packages and with one.
fn start() -> (f64, f64) {
    let component = fs::read(&program("nothing").component).expect("the set-up built it");
    let desk = Desk::new("packages-start");
    let begun = |name: &str| {
        let started = Instant::now();
        let stage = desk.stage();
        let agent = stage.node.load(&desk.open(name), &GrantChoice::All).expect("it is let in");
        let task = Task { budget: Tokens::from_whole(1_000), ..Default::default() };
        let finished = block_on(life(&stage.node, &agent, task));
        assert!(matches!(finished.ended, Ended::Done(..)), "{:?}", finished.ended);
        started.elapsed()
    };
    let best = |name: &str| (0..5).map(|_| begun(name)).min().unwrap_or(Duration::ZERO).as_secs_f64();
    desk.install("agent-0", &component, 0);
    let one = best("agent-0");
    (1..PACKAGES).for_each(|index| desk.install(&format!("agent-{index}"), &component, 0));
    let many = best(&format!("agent-{}", PACKAGES - 1));
    common::remove(&desk.folder);
    (many, one)
}
