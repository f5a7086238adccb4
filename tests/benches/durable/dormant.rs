//! A host that finds a million processes asleep: how fast it starts, what they take, and how fast those come back that are called.
//!
//! The journal is the real one, filled through its own port, and so is the kernel. Guests are closures: what it costs to instantiate a
//! component is not in these numbers. Each process was told three readings of the clock that are its own, has an account, a payer
//! and a grant of its own, and waits for a signal. One that wakes is told its readings again, says what they were, and ends.

#![allow(clippy::unwrap_used, reason = "it ends where it cannot go on")]

use parking_lot::Mutex;
use remit_abi::{
    Access, AccountId, ClockReply, ClockRequest, Door, Exit, Fault, Fuel, GrantId, GrantKind, GrantLimits, GrantSpec,
    Label, Outcome, Pid, Priority, ProcessRequest, Reply, Request, Scope, Start, Status, TenantId, Tokens, WaitId,
    WaitRequest, limits::Limits,
};
use remit_assembly::PriceList;
use remit_journal::SqliteJournal;
use remit_kernel::{
    Attendant, Ended, Kernel, Ports, RestartPolicy, Resumed,
    ports::{
        Asked, Beginning, Change, Clock, Created, Engine, EngineError, EngineStream, Entropy, Entry, GenerationJob,
        GrantImage, HeldImage, Journal, Memory, ModelCard, NoFolders, NoTools, PackageError, Packages, PortFuture,
        Program, PromptText, Record, Runner, Sleeper, SleeperKind, Told,
    },
};
use std::{
    borrow::Cow,
    collections::HashMap,
    fs,
    future::ready,
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::{
    runtime::{Handle, Runtime},
    sync::mpsc,
};

/// In the environment: the folder of a journal that is to be filled, and nothing else done.
const FILL: &str = "REMIT_BENCH_FILL";
const PROCESSES: u32 = 1_000_000;
/// Of these, at random.
const WOKEN: u32 = 1_000;
/// Between two waits for the disk: about the node's memory for records that wait.
const GROUP: u32 = 10_000;
const FUNDS: Tokens = Tokens::from_micro(1_000_000_000);
/// The wall clock's readings of the first process; each other one's are its own.
const FIRST_NS: u64 = 1_790_000_000_000_000_000;

/// Fills a journal, where this program was started for that.
pub(crate) fn fill() -> bool {
    let Some(folder) = std::env::var_os(FILL) else { return false };
    make(&SqliteJournal::open(Path::new(&folder)).unwrap(), PROCESSES);
    true
}

/// Starts a host on such a journal.
pub(crate) fn measure(parent: &Path, put: &mut impl FnMut(&str, f64)) {
    let folder = tempfile::tempdir_in(parent).unwrap();
    // By another program, so that nothing of it is in this one's memory.
    let mut filling = Command::new(std::env::current_exe().unwrap());
    let made = timed(|| assert!(filling.env(FILL, folder.path()).status().unwrap().success()));
    let disk = on_disk(folder.path());
    println!("\n{PROCESSES} processes asleep, made in {made:.1} s; {} on the disk", megabytes(disk));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let before = resident();
    let started = Instant::now();
    let node = Node::start(folder.path(), &runtime);
    let seconds = started.elapsed().as_secs_f64();
    assert_eq!(node.kernel.away(), PROCESSES as usize);
    let taken = resident().saturating_sub(before);
    println!(
        "a host starts on them in {seconds:.2} s and takes {}, {} bytes each",
        megabytes(taken),
        taken / u64::from(PROCESSES)
    );
    println!("the tokens of all are added up in {:.2} s", timed(|| assert!(node.kernel.is_conserved())));
    let some: Vec<u32> = (0..WOKEN).map(|number| random(number) % PROCESSES).collect();
    let woken = timed(|| node.wake(&some, &runtime));
    println!("{WOKEN} at random wake, are told again what they were told, and end in {woken:.2} s");
    node.kernel.stop();
    put("start_1m_s", seconds);
    put("resident_1m_bytes_each", taken as f64 / f64::from(PROCESSES));
    put("disk_1m_bytes_each", disk as f64 / f64::from(PROCESSES));
    put("random_wake_per_s", f64::from(WOKEN) / woken);
}

fn timed(work: impl FnOnce()) -> f64 {
    let started = Instant::now();
    work();
    started.elapsed().as_secs_f64()
}

/// Some number for a number, the same each time: the finaliser of MurmurHash3.
fn random(number: u32) -> u32 {
    let mixed = (number ^ number >> 16).wrapping_mul(0x85eb_ca6b).wrapping_add(0x9e37_79b9);
    let mixed = (mixed ^ mixed >> 13).wrapping_mul(0xc2b2_ae35);
    mixed ^ mixed >> 16
}

fn megabytes(bytes: u64) -> String {
    format!("{:.0} MB", bytes as f64 / 1e6)
}

fn on_disk(folder: &Path) -> u64 {
    fs::read_dir(folder).unwrap().flatten().filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
}

/// What the system has in memory for this program, in bytes.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

fn pid(number: u32) -> Pid {
    Pid { tenant: TenantId(number % 16), index: number, generation: 1 }
}

/// The account, or the payer's.
fn account(number: u32, payer: bool) -> AccountId {
    AccountId { index: number * 2 + u32::from(!payer), generation: 1 }
}

fn reading(number: u32, place: u64) -> u64 {
    FIRST_NS + u64::from(number) * 1000 + place
}

fn make(journal: &SqliteJournal, count: u32) {
    let kind = Arc::new(SleeperKind {
        package: "agent".into(),
        digest: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".into(),
        priority: Priority::Normal,
        restart: RestartPolicy::default(),
    });
    for number in 0..count {
        let (pid, payer, account) = (pid(number), account(number, true), account(number, false));
        let grant = GrantId { index: number, generation: 1 };
        let began = Entry::Began(Box::new(Beginning {
            grants: vec![HeldImage { label: "model".into(), grant, kind: GrantKind::Model }],
            ..Beginning::default()
        }));
        let opened = [
            Change::Deposited { account: payer, amount: FUNDS },
            Change::Split { from: payer, account, amount: FUNDS },
            granted(grant),
        ];
        let slept = [Change::Slept(Box::new(Sleeper {
            pid,
            kind: kind.clone(),
            name: None,
            account,
            payer: Some(payer),
            grants: [grant].into(),
            funds: FUNDS,
            remaining: FUNDS,
            started_ns: FIRST_NS,
            zero_ns: FIRST_NS as i64,
            wakes_ns: None,
        }))];
        let record = |entry, changes| Record { pid: Some(pid), entry, changes };
        let told = (0..3).map(|place| record(Some(told(reading(number, place))), &[]));
        let first = [record(Some(created(&kind, account)), &opened[..]), record(Some(began), &[])];
        let records: Vec<_> = first.into_iter().chain(told).chain([record(None, &slept)]).collect();
        let last = journal.append(&records).unwrap();
        if number % GROUP == GROUP - 1 {
            futures::executor::block_on(journal.durable(last)).unwrap();
        }
    }
}

fn granted(grant: GrantId) -> Change {
    let spec = GrantSpec {
        label: "model".into(),
        kind: GrantKind::Model,
        scope: Scope::parse(GrantKind::Model, &["small"]).unwrap(),
        access: Access::default(),
        limits: GrantLimits::default(),
    };
    let derived_as = "model".into();
    Change::Granted(Box::new(GrantImage {
        grant,
        parent: None,
        spec,
        derived_as,
        uses: 0,
        revoked: false,
        released: false,
    }))
}

fn created(kind: &SleeperKind, account: AccountId) -> Entry<'static> {
    Entry::Created(Box::new(Created {
        package: kind.package.clone(),
        digest: kind.digest.clone(),
        kinds: vec![GrantKind::Model],
        limits: Limits::default(),
        name: None,
        parent: None,
        depth: 0,
        priority: kind.priority,
        restart: kind.restart,
        account,
        funds: FUNDS,
        started_ns: FIRST_NS,
        input: Vec::new(),
    }))
}

fn told(wall_ns: u64) -> Entry<'static> {
    Entry::Told(Told {
        asked: Asked::of(&Request::Clock(ClockRequest::Wall)),
        reply: Cow::Owned(Reply::Clock(ClockReply::Wall(wall_ns))),
        notes: Vec::new(),
        paid: Tokens::ZERO,
        label: Label::TRUSTED,
    })
}

/// What processes said that woke: their readings.
type Said = Arc<Mutex<HashMap<Pid, Vec<u64>>>>;

struct Node {
    kernel: Kernel,
    said: Said,
    ended: Mutex<mpsc::UnboundedReceiver<(Pid, Ended)>>,
}

impl Node {
    fn start(folder: &Path, runtime: &Runtime) -> Self {
        let (handle, said) = (runtime.handle().clone(), Said::default());
        let ports = Ports {
            runner: Arc::new(Closures { handle: handle.clone(), said: said.clone() }),
            engine: Arc::new(NoEngine),
            packages: Arc::new(OnePackage),
            journal: Arc::new(SqliteJournal::open(folder).unwrap()),
            clock: Arc::new(System(Instant::now())),
            entropy: Arc::new(NoEntropy),
            tools: Arc::new(NoTools),
            folders: Arc::new(NoFolders),
            memory: Memory::none(),
        };
        let kernel = Kernel::new(ports, PriceList::built_in());
        let (ends, ended) = mpsc::unbounded_channel();
        runtime.spawn(kernel.attend(Arc::new(Ends { handle, ends })));
        let recovery = kernel.recover().unwrap();
        assert!(runtime.block_on(recovery.go_on()).is_empty());
        Self { kernel, said, ended: Mutex::new(ended) }
    }

    /// Wakes processes, and waits until they have ended.
    fn wake(&self, some: &[u32], runtime: &Runtime) {
        let woken: std::collections::HashSet<_> = some.iter().copied().collect();
        woken.iter().for_each(|number| assert!(self.kernel.cancel(pid(*number))));
        for _ in &woken {
            let (pid, ended) = runtime.block_on(self.ended.lock().recv()).unwrap();
            assert!(matches!(ended, Ended::Done(..)), "{pid}: {ended:?}");
        }
        let said = self.said.lock();
        for number in woken {
            let readings: Vec<_> = (0..3).map(|place| reading(number, place)).collect();
            assert_eq!(said.get(&pid(number)), Some(&readings), "it was told what it was told");
        }
    }
}

struct Ends {
    handle: Handle,
    ends: mpsc::UnboundedSender<(Pid, Ended)>,
}

impl Attendant for Ends {
    fn resumed(&self, Resumed { pid, finished, .. }: Resumed) {
        let ends = self.ends.clone();
        self.handle.spawn(async move { drop(ends.send((pid, finished.await.ended))) });
    }
}

/// Runs the one program there is, as a closure.
struct Closures {
    handle: Handle,
    said: Said,
}

impl Runner for Closures {
    fn start(&self, _: Pid, _: Priority, life: PortFuture<'static, ()>) {
        self.handle.spawn(life);
    }

    fn run(&self, door: Arc<dyn Door>, pid: Pid, _: Program, _: Start) -> PortFuture<'static, Exit> {
        let said = self.said.clone();
        Box::pin(async move {
            let read = || match door.try_dispatch(pid, &Request::Clock(ClockRequest::Wall)) {
                Some(Reply::Clock(ClockReply::Wall(wall_ns))) => wall_ns,
                _ => 0,
            };
            let readings = vec![read(), read(), read()];
            door.dispatch(pid, Request::Wait(WaitRequest::Any { ids: [WaitId::Signal].into() })).await;
            door.try_dispatch(pid, &Request::Process(ProcessRequest::NextSignal));
            said.lock().insert(pid, readings);
            Exit { end: Ok(Ok(Outcome { status: Status::Complete, output: None })), fuel: Some(Fuel(0)) }
        })
    }

    fn kill(&self, _: Pid) {}

    fn suspend(&self, _: Pid) {}

    fn resume(&self, _: Pid) {}
}

struct OnePackage;

impl Packages for OnePackage {
    fn open(&self, _: TenantId, agent: &str, _: &[GrantKind]) -> PortFuture<'static, Result<Program, PackageError>> {
        Box::pin(ready(Err(PackageError(format!("nobody starts {agent}").into()))))
    }

    fn reopen(
        &self,
        _: TenantId,
        agent: &str,
        digest: &str,
        linked: &[GrantKind],
    ) -> PortFuture<'static, Result<Program, PackageError>> {
        let (name, digest, linked) = (agent.into(), digest.into(), linked.to_vec());
        Box::pin(ready(Ok(Program { name, digest, linked, image: Arc::new(()), limits: Limits::default() })))
    }
}

struct NoEngine;

impl Engine for NoEngine {
    fn card(&self, model: &str) -> Result<ModelCard, EngineError> {
        Err(EngineError::Stopped(model.into()))
    }

    fn tokenize(&self, model: &str, _: &PromptText) -> Result<Arc<[u32]>, EngineError> {
        Err(EngineError::Stopped(model.into()))
    }

    fn generate(&self, job: GenerationJob) -> Result<EngineStream, EngineError> {
        Err(EngineError::Stopped((&*job.model).into()))
    }
}

struct System(Instant);

impl Clock for System {
    fn wall_ns(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
    }

    fn monotonic_ns(&self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }

    fn sleep_until(&self, deadline_ns: u64) -> PortFuture<'static, ()> {
        let left = deadline_ns.saturating_sub(self.monotonic_ns());
        Box::pin(tokio::time::sleep(Duration::from_nanos(left)))
    }
}

struct NoEntropy;

impl Entropy for NoEntropy {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), Fault> {
        buffer.fill(0);
        Ok(())
    }
}
