//! A node of fakes, and guests that are closures.

mod engine;
mod folders;
mod journal;
mod memory;
mod tools;

pub(crate) use engine::{EMBEDDING_WIDTH, Other, Play, ScriptedEngine, call, drawn};
pub(crate) use folders::PlainFolders;
pub(crate) use journal::{RecordingJournal, Written};
pub(crate) use memory::PlainMemory;
pub(crate) use tools::ScriptedTools;

use futures::{FutureExt, task::AtomicWaker};
use parking_lot::Mutex;
use remit_abi::{
    Access, AccountId, Content, Door, Event, Exit, Fault, Fuel, Generate, GrantKind, GrantLimits, GrantSpec, Label,
    Message, ModelId, Outcome, Params, Pid, Priority, Prompt, Role, Scope, Start, Status, TenantId, Tokens,
    limits::Limits,
};
use remit_authority::PriceList;
use remit_kernel::{
    Durability, Finished, GivenMessage, Kernel, MemoryJournal, Ports, RestartPolicy, Spawn, SpawnError, Spawned,
    ports::{Clock, Entropy, Memory, PackageError, Packages, PortFuture, Program, Runner},
};
use std::{
    collections::HashMap,
    future::{Future, poll_fn, ready},
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering},
    },
    task::Poll,
};
use tokio::sync::Notify;

pub(crate) const TENANT: TenantId = TenantId(1);

/// One syscall at a time, as a process does them.
#[derive(Clone)]
pub(crate) struct Guest {
    pub(crate) door: Arc<dyn Door>,
    pub(crate) pid: Pid,
    pub(crate) start: Start,
}

type Script = Box<dyn Fn(Guest) -> PortFuture<'static, Exit> + Send + Sync>;

/// Lets a script take turns, or not.
#[derive(Default)]
struct Gate {
    held: AtomicBool,
    waker: AtomicWaker,
}

/// Runs closures as if they were components.
#[derive(Default)]
pub(crate) struct ClosureRunner {
    gates: Mutex<HashMap<Pid, Arc<Gate>>>,
    /// Scripts that panicked: an assertion in one of them did not hold.
    panicked: Arc<AtomicU64>,
    /// Programs that stand in line and that nobody was told of yet.
    lacking: Arc<(AtomicUsize, AtomicWaker)>,
}

impl ClosureRunner {
    fn gate(&self, pid: Pid) -> Arc<Gate> {
        self.gates.lock().entry(pid).or_default().clone()
    }

    /// So many programs stand in line for a place.
    pub(crate) fn lack(&self, programs: usize) {
        self.lacking.0.store(programs, Ordering::SeqCst);
        self.lacking.1.wake();
    }
}

impl Runner for ClosureRunner {
    fn start(&self, _: Pid, _: Priority, life: PortFuture<'static, ()>) {
        let panicked = self.panicked.clone();
        tokio::spawn(async move {
            if AssertUnwindSafe(life).catch_unwind().await.is_err() {
                panicked.fetch_add(1, Ordering::SeqCst);
            }
        });
    }

    fn run(&self, door: Arc<dyn Door>, pid: Pid, program: Program, start: Start) -> PortFuture<'static, Exit> {
        let script = program.image.downcast::<Script>().expect("programs of these tests are scripts");
        let (gate, mut turns) = (self.gate(pid), script(Guest { door, pid, start }));
        Box::pin(poll_fn(move |context| {
            gate.waker.register(context.waker());
            match gate.held.load(Ordering::SeqCst) {
                true => Poll::Pending,
                false => turns.as_mut().poll(context),
            }
        }))
    }

    fn kill(&self, _: Pid) {}

    fn suspend(&self, pid: Pid) {
        self.gate(pid).held.store(true, Ordering::SeqCst);
    }

    fn resume(&self, pid: Pid) {
        let gate = self.gate(pid);
        gate.held.store(false, Ordering::SeqCst);
        gate.waker.wake();
    }

    fn lacks_places(&self) -> PortFuture<'static, usize> {
        let lacking = self.lacking.clone();
        Box::pin(poll_fn(move |context| {
            lacking.1.register(context.waker());
            match lacking.0.swap(0, Ordering::SeqCst) {
                0 => Poll::Pending,
                programs => Poll::Ready(programs),
            }
        }))
    }
}

/// Agents that were installed for processes to start.
#[derive(Default)]
pub(crate) struct Shelf(Mutex<HashMap<String, Program>>);

impl Packages for Shelf {
    fn reopen(
        &self,
        tenant: TenantId,
        agent: &str,
        _: &str,
        granted: &[GrantKind],
    ) -> PortFuture<'static, Result<Program, PackageError>> {
        self.open(tenant, agent, granted)
    }

    fn open(&self, _: TenantId, agent: &str, _: &[GrantKind]) -> PortFuture<'static, Result<Program, PackageError>> {
        let found = self.0.lock().get(agent).cloned();
        Box::pin(ready(found.ok_or_else(|| PackageError("no agent of that name is installed".into()))))
    }
}

pub(crate) fn program<F, R>(name: &str, limits: Limits, script: F) -> Program
where
    F: Fn(Guest) -> R + Send + Sync + 'static,
    R: Future<Output = Exit> + Send + 'static,
{
    let boxed: Script = Box::new(move |guest| Box::pin(script(guest)));
    let digest = format!("digest of {name}").into();
    Program { name: name.into(), digest, linked: Vec::new(), image: Arc::new(boxed), limits }
}

/// A clock that a test moves.
#[derive(Default)]
pub(crate) struct ManualClock {
    now_ns: AtomicU64,
    /// How far the wall clock was set ahead, or back.
    set_ns: AtomicI64,
    moved: Arc<Notify>,
    /// What happens while somebody next looks at the wall clock.
    pub(crate) meanwhile: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl ManualClock {
    pub(crate) fn advance(&self, ns: u64) {
        self.now_ns.fetch_add(ns, Ordering::SeqCst);
        self.moved.notify_waiters();
    }

    /// Sets the wall clock so far ahead, or back, of what it would read. Nobody is told.
    pub(crate) fn set_wall(&self, ahead_ns: i64) {
        self.set_ns.store(ahead_ns, Ordering::SeqCst);
    }
}

/// What the wall clock reads when the monotonic one reads zero.
const WALL_NS: u64 = 1_000_000_000;

/// Shared with the futures that it makes.
#[derive(Clone, Default)]
pub(crate) struct SharedClock(pub(crate) Arc<ManualClock>);

impl Clock for SharedClock {
    fn wall_ns(&self) -> u64 {
        let meanwhile = self.0.meanwhile.lock().take();
        meanwhile.into_iter().for_each(|happens| happens());
        WALL_NS.saturating_add(self.monotonic_ns()).saturating_add_signed(self.0.set_ns.load(Ordering::SeqCst))
    }

    fn monotonic_ns(&self) -> u64 {
        self.0.now_ns.load(Ordering::SeqCst)
    }

    fn sleep_until(&self, deadline_ns: u64) -> PortFuture<'static, ()> {
        let clock = self.0.clone();
        Box::pin(async move {
            loop {
                let moved = clock.moved.notified();
                if clock.now_ns.load(Ordering::SeqCst) >= deadline_ns {
                    return;
                }
                moved.await;
            }
        })
    }
}

/// Entropy that counts.
pub(crate) struct Counting;

impl Entropy for Counting {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), Fault> {
        buffer.iter_mut().zip(0..).for_each(|(byte, count)| *byte = count);
        Ok(())
    }
}

/// A node of fakes.
pub(crate) struct TestNode {
    pub(crate) kernel: Kernel,
    pub(crate) engine: Arc<ScriptedEngine>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) journal: Arc<RecordingJournal>,
    pub(crate) tools: Arc<ScriptedTools>,
    pub(crate) memory: Arc<PlainMemory>,
    pub(crate) folders: Arc<PlainFolders>,
    shelf: Arc<Shelf>,
    pub(crate) runner: Arc<ClosureRunner>,
    payers: Mutex<Vec<AccountId>>,
}

impl Drop for TestNode {
    /// A panic inside a script is the test's: whoever runs scripts would swallow it.
    fn drop(&mut self) {
        let panicked = self.runner.panicked.load(Ordering::SeqCst);
        assert!(std::thread::panicking() || panicked == 0, "{panicked} scripts panicked");
    }
}

/// What a scripted process is given.
pub(crate) struct Given {
    pub(crate) tenant: TenantId,
    pub(crate) grants: Vec<GrantSpec>,
    pub(crate) budget: Tokens,
    pub(crate) soft_limit: Tokens,
    pub(crate) restart: RestartPolicy,
    pub(crate) name: Option<&'static str>,
    pub(crate) package: &'static str,
    pub(crate) limits: Limits,
    pub(crate) input: Vec<(&'static str, Label)>,
    pub(crate) durability: Durability,
}

impl Default for Given {
    fn default() -> Self {
        Self {
            tenant: TENANT,
            grants: vec![model_grant(GrantLimits::default())],
            budget: tokens(1000),
            soft_limit: Tokens::ZERO,
            restart: RestartPolicy::default(),
            name: None,
            package: "script",
            limits: Limits::default(),
            input: Vec::new(),
            durability: Durability::Durable,
        }
    }
}

/// A grant of these things.
pub(crate) fn grant(label: &str, kind: GrantKind, scope: &[&str]) -> GrantSpec {
    let scope = Scope::parse(kind, scope).expect("the tests' scopes are well-formed");
    GrantSpec { label: label.into(), kind, scope, access: Access::ReadWrite, limits: GrantLimits::default() }
}

pub(crate) fn model_grant(limits: GrantLimits) -> GrantSpec {
    GrantSpec { limits, ..grant("chat", GrantKind::Model, &["m"]) }
}

/// What a process paid besides fuel.
pub(crate) fn paid_for_models(finished: &Finished) -> Tokens {
    finished.ledger.paid.saturating_sub(PriceList::built_in().fuel(finished.ledger.fuel))
}

pub(crate) fn tokens(whole: u64) -> Tokens {
    Tokens::from_whole(whole).expect("a small number")
}

impl TestNode {
    pub(crate) fn new() -> Self {
        Self::with_prices(PriceList::built_in())
    }

    pub(crate) fn with_prices(prices: PriceList) -> Self {
        Self::of(prices, RecordingJournal::default())
    }

    /// A node on the journal of one that ended, before anything of it is put together again.
    pub(crate) fn after(memory: MemoryJournal) -> Self {
        Self::of(PriceList::built_in(), RecordingJournal::of(memory))
    }

    fn of(prices: PriceList, journal: RecordingJournal) -> Self {
        let (engine, clock, journal) = (Arc::<ScriptedEngine>::default(), Arc::default(), Arc::new(journal));
        let (shelf, runner) = (Arc::<Shelf>::default(), Arc::<ClosureRunner>::default());
        let (tools, memory) = (Arc::<ScriptedTools>::default(), Arc::<PlainMemory>::default());
        let folders = Arc::<PlainFolders>::default();
        let ports = Ports {
            runner: Arc::<ClosureRunner>::clone(&runner),
            engine: engine.clone(),
            packages: Arc::<Shelf>::clone(&shelf),
            journal: Arc::<RecordingJournal>::clone(&journal),
            clock: Arc::new(SharedClock(Arc::clone(&clock))),
            entropy: Arc::new(Counting),
            tools: Arc::<ScriptedTools>::clone(&tools),
            memory: Memory { store: Arc::<PlainMemory>::clone(&memory), model: None },
            folders: Arc::<PlainFolders>::clone(&folders),
        };
        let kernel = Kernel::new(ports, prices);
        Self { kernel, engine, clock, journal, tools, memory, folders, shelf, runner, payers: Mutex::default() }
    }

    /// Makes an agent that processes can start.
    pub(crate) fn install<F, R>(&self, name: &str, script: F)
    where
        F: Fn(Guest) -> R + Send + Sync + 'static,
        R: Future<Output = Exit> + Send + 'static,
    {
        self.shelf.0.lock().insert(name.to_owned(), program(name, Limits::default(), script));
    }

    /// An agent that was installed.
    pub(crate) fn installed(&self, name: &str) -> Program {
        self.shelf.0.lock().get(name).cloned().expect("it was installed")
    }

    /// Takes out what those who paid for the processes hold; how much it is.
    pub(crate) fn withdraw(&self) -> Tokens {
        self.payers.lock().drain(..).map(|payer| self.kernel.withdraw(payer)).sum()
    }

    /// Lets every process that can go on do so.
    pub(crate) async fn settle(&self) {
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
    }

    /// Starts a script.
    pub(crate) fn spawn<F, R>(
        &self,
        given: Given,
        script: F,
    ) -> Spawned<impl Future<Output = Finished> + Send + use<F, R>>
    where
        F: Fn(Guest) -> R + Send + Sync + 'static,
        R: Future<Output = Exit> + Send + 'static,
    {
        self.try_spawn(given, script).expect("the payer has the budget")
    }

    /// Starts a script, where nothing is in the way.
    pub(crate) fn try_spawn<F, R>(
        &self,
        given: Given,
        script: F,
    ) -> Result<Spawned<impl Future<Output = Finished> + Send + use<F, R>>, SpawnError>
    where
        F: Fn(Guest) -> R + Send + Sync + 'static,
        R: Future<Output = Exit> + Send + 'static,
    {
        let payer = self.kernel.deposit(given.budget).expect("a small deposit");
        self.payers.lock().push(payer);
        let message = |(text, label): (&'static str, Label)| GivenMessage {
            role: Role::User,
            bytes: text.as_bytes().into(),
            label,
        };
        let spawn = Spawn {
            tenant: given.tenant,
            program: program(given.package, given.limits, script),
            name: given.name.map(Into::into),
            grants: given.grants,
            payer,
            budget: given.budget,
            conversation: given.input.into_iter().map(message).collect(),
            resumed: None,
            soft_limit: given.soft_limit,
            restart: given.restart,
            priority: Priority::Normal,
            durability: given.durability,
        };
        self.kernel.spawn(spawn)
    }

    /// Runs a script to its end.
    pub(crate) async fn run<F, R>(&self, given: Given, script: F) -> (Finished, Vec<Event>)
    where
        F: Fn(Guest) -> R + Send + Sync + 'static,
        R: Future<Output = Exit> + Send + 'static,
    {
        let Spawned { mut events, finished, .. } = self.spawn(given, script);
        let (finished, shown) = tokio::join!(finished, async {
            let mut shown = Vec::new();
            while let Some(event) = events.recv().await {
                shown.push(event);
            }
            shown
        });
        assert!(self.kernel.is_conserved(), "tokens were made or lost");
        (finished, shown)
    }
}

/// A process that did all its work.
pub(crate) fn done() -> Exit {
    Exit { end: Ok(Ok(Outcome { status: Status::Complete, output: None })), fuel: Some(Fuel(0)) }
}

/// A prompt of one message.
pub(crate) fn prompt(text: &str) -> Prompt {
    Prompt::Chat(vec![Message::text(Role::User, Content::Text(text.into()))].into())
}

/// A greedy generation.
pub(crate) fn generate(model: ModelId, prompt: Prompt, max_tokens: u32) -> Box<Generate> {
    Box::new(Generate { model, prompt, params: Params::greedy(max_tokens) })
}
