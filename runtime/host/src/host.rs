//! The host: loads components, runs guests, suspends and kills them.

use crate::{
    LoadError,
    artifact::{self, Cache},
    bindings::AgentPre,
    compile::{CompileLimits, CompilerCommand, compile},
    driver::drive,
    engine::{self, Ticker, one_line},
    error::HostError,
    executor::{Executor, FifoQueue, RunQueue, Turn},
    guest::{Control, Guest},
    imports::{self, Import},
    linker::Linkers,
    places::Places,
};
use parking_lot::Mutex;
use remit_abi::{
    Door, Exit, Fault, Pid, Priority, Start,
    limits::{Limits, PLACE_WAIT_NS_MAX},
};
use rustc_hash::FxHashMap;
use std::{
    collections::hash_map::Entry,
    fmt,
    future::{Future, poll_fn},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};
use wasmtime::{Engine, component::Component};

/// Guests that live at a time, unless set. Each place costs some 8 µs and two memory maps when the host starts, so a host
/// for one agent takes few; the system's default limit on memory maps (65,530) allows about 10,500.
pub const INSTANCES_MAX: u32 = 1_024;

/// How a host is set up.
///
/// [`HostConfig::new`] sets: one thread a core, first come first served, [`INSTANCES_MAX`] guests, [`PLACE_WAIT_NS_MAX`], and the
/// default [`CompileLimits`].
pub struct HostConfig {
    /// Where compiled components are kept. Made with mode 0700 where it is not there.
    pub cache_folder: PathBuf,
    /// How the compiling child is started.
    pub compiler: CompilerCommand,
    /// What one compilation may use.
    pub compile_limits: CompileLimits,
    /// Threads that run guests; at least 1.
    pub threads: usize,
    /// Guests that live at a time; each reserves 4 GiB of address space. A guest with several memories or many tables counts as
    /// several. Others stand in line.
    pub instances_max: u32,
    /// How long a guest stands in line for a place before it is ended.
    pub place_wait_max: Duration,
    /// Who runs next.
    pub run_queue: Box<dyn RunQueue>,
}

impl fmt::Debug for HostConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostConfig")
            .field("cache_folder", &self.cache_folder)
            .field("compiler", &self.compiler)
            .field("compile_limits", &self.compile_limits)
            .field("threads", &self.threads)
            .field("instances_max", &self.instances_max)
            .field("place_wait_max", &self.place_wait_max)
            .finish_non_exhaustive()
    }
}

impl HostConfig {
    /// The defaults, for a cache folder and a compiler.
    #[must_use]
    pub fn new(cache_folder: PathBuf, compiler: CompilerCommand) -> Self {
        Self {
            cache_folder,
            compiler,
            compile_limits: CompileLimits::default(),
            threads: thread::available_parallelism().map_or(1, usize::from),
            instances_max: INSTANCES_MAX,
            place_wait_max: Duration::from_nanos(PLACE_WAIT_NS_MAX),
            run_queue: Box::<FifoQueue>::default(),
        }
    }
}

/// A component, compiled and linked: what every process of it shares.
pub struct Image {
    digest: Box<str>,
    size_bytes: u64,
    imports: Vec<Import>,
    agent: AgentPre<Guest>,
    places: u32,
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image").field("digest", &self.digest).finish_non_exhaustive()
    }
}

impl Image {
    /// SHA-256 of the component, in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Of the component.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// What it imports, all of it linked.
    #[must_use]
    pub fn imports(&self) -> &[Import] {
        &self.imports
    }

    pub(crate) fn agent(&self) -> &AgentPre<Guest> {
        &self.agent
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.agent.engine()
    }

    /// How many places an instance of it takes.
    pub(crate) fn places(&self) -> u32 {
        self.places
    }
}

/// Who runs now.
type Register = Mutex<FxHashMap<Pid, Arc<Control>>>;

/// Runs components behind doors.
///
/// Dropping it kills every guest and joins its threads.
pub struct Host {
    cache: Cache,
    compiler: CompilerCommand,
    compile_limits: CompileLimits,
    engine: Engine,
    engine_digest: String,
    linkers: Linkers,
    register: Arc<Register>,
    places: Arc<Places>,
    // In this order: guests that end need ticks to do so.
    executor: Executor,
    _ticker: Ticker,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("engine", &self.engine_digest).finish_non_exhaustive()
    }
}

impl Host {
    /// Starts a host: its engine, its threads, its cache.
    ///
    /// # Errors
    /// [`HostError`], where the address space, the folder or a thread cannot be had.
    pub fn new(config: HostConfig) -> Result<Self, HostError> {
        let engine = engine::guest_engine(config.instances_max)?;
        let engine_digest = engine::digest(&engine);
        let cache = Cache::open(config.cache_folder, engine_digest.clone())?;
        let linkers = Linkers::new(&engine).map_err(|error| HostError::Linker(one_line(&error)))?;
        let executor = Executor::start(config.threads, config.run_queue)?;
        let places = Places::new(config.instances_max, config.place_wait_max);
        let (caretaker, line) = (executor.caretaker(), Arc::clone(&places));
        let each_tick = move || {
            caretaker();
            line.look_after();
        };
        Ok(Self {
            cache,
            compiler: config.compiler,
            compile_limits: config.compile_limits,
            linkers,
            register: Arc::default(),
            places,
            _ticker: Ticker::start(&engine, each_tick)?,
            executor,
            engine,
            engine_digest,
        })
    }

    /// Names the engine and its settings, to be journaled: equal digest, equal fuel.
    #[must_use]
    pub fn engine_digest(&self) -> &str {
        &self.engine_digest
    }

    /// Loads a component from a file. Blocks while it is compiled.
    ///
    /// # Errors
    /// [`LoadError`]: one sentence for each way in which a file is no agent for these grants.
    pub fn load_file(&self, path: &Path, granted_kinds: &[&str]) -> Result<Arc<Image>, LoadError> {
        let bytes = imports::read_file(path, self.compile_limits.component_bytes_max)?;
        self.load(&bytes, granted_kinds)
    }

    /// Loads a component: checks its imports against the granted kinds, compiles it or takes it from the cache, links it.
    /// Blocks meanwhile.
    ///
    /// # Errors
    /// [`LoadError`]: one sentence for each way in which the bytes are no agent for these grants.
    pub fn load(&self, bytes: &[u8], granted_kinds: &[&str]) -> Result<Arc<Image>, LoadError> {
        imports::check_size(bytes.len() as u64, self.compile_limits.component_bytes_max)?;
        let imports = imports::read_imports(bytes)?;
        imports::check(&imports, granted_kinds)?;
        let digest = artifact::digest(bytes);
        let component = self.component(&digest, bytes)?;
        let unfit = |error: wasmtime::Error| LoadError::Unfit(one_line(&error));
        let linked = self.linkers.for_grants(granted_kinds).instantiate_pre(&component).map_err(unfit)?;
        let agent = AgentPre::new(linked).map_err(unfit)?;
        let places = engine::places(&component);
        Ok(Arc::new(Image { digest: digest.into(), size_bytes: bytes.len() as u64, imports, agent, places }))
    }

    fn component(&self, digest: &str, bytes: &[u8]) -> Result<Component, LoadError> {
        if let Some(artifact) = self.cache.load(digest) {
            match deserialize(&self.engine, &artifact) {
                Ok(component) => return Ok(component),
                Err(error) => {
                    tracing::warn!(digest, error = one_line(&error), "a compiled agent does not fit and is made again");
                    self.cache.forget(digest);
                }
            }
        }
        let artifact = compile(&self.compiler, self.compile_limits, &self.cache, bytes)?;
        let component = deserialize(&self.engine, &artifact).map_err(|error| LoadError::Unfit(one_line(&error)))?;
        self.cache.keep(digest, &artifact)?;
        Ok(component)
    }

    /// Puts a future on the run queue, as `pid`; it runs to its end, or to the host's.
    pub fn spawn(&self, pid: Pid, priority: Priority, future: impl Future<Output = ()> + Send + 'static) {
        self.executor.spawn(Turn { pid, priority }, future).detach();
    }

    /// Runs `image` as `pid`, inside of a future that was [spawned](Host::spawn): while it is polled, the guest runs. Every
    /// syscall of the guest goes through `door`, which also sells it fuel. The answer says how it ended; dropping it stops
    /// the guest.
    ///
    /// Where every place is taken it stands in line, in the order of first polls, and is not charged meanwhile.
    ///
    /// One call of one export: an instance is made for it and thrown away after it, so that no other call can come to it.
    pub fn run(
        &self,
        door: Arc<dyn Door>,
        pid: Pid,
        image: Arc<Image>,
        limits: Limits,
        start: Start,
    ) -> impl Future<Output = Exit> + Send + use<> {
        let control = Arc::new(Control::new(door, pid));
        let enlisted = match self.register.lock().entry(pid) {
            Entry::Occupied(_) => None,
            Entry::Vacant(place) => {
                place.insert(Arc::clone(&control));
                Some(Enlisted { register: Arc::clone(&self.register), pid })
            }
        };
        let (limits, places) = (limits.lowered_to(Limits::default()), Arc::clone(&self.places));
        async move {
            match enlisted {
                Some(_enlisted) => drive(image, control, places, limits, start).await,
                None => Exit { end: Err(Fault::Host(format!("the process {pid} runs already").into())), fuel: None },
            }
        }
    }

    /// Waits until somebody stands in line for a place; how many do. To be awaited by one at a time.
    pub fn lacks_places(&self) -> impl Future<Output = usize> + Send + use<> {
        let places = Arc::clone(&self.places);
        poll_fn(move |context| places.poll_lacks(context))
    }

    /// Asks for `pid` to be stopped where it stands: a guest that waits or is suspended at once, one that runs at its next
    /// tick. Nothing happens where it does not run (any more).
    pub fn kill(&self, pid: Pid) {
        if let Some(control) = self.control(pid) {
            control.kill();
        }
    }

    /// Gives `pid` no further turn until [`Host::resume`]. One that runs gives way at its next tick; one that waits is not
    /// told what it waited for, and one that has just been started does not begin. It keeps all that it has. Nothing
    /// happens where it does not run.
    pub fn suspend(&self, pid: Pid) {
        if let Some(control) = self.control(pid) {
            control.suspend();
        }
    }

    /// Lets a suspended `pid` go on where it stood. Nothing happens where it is not suspended.
    pub fn resume(&self, pid: Pid) {
        if let Some(control) = self.control(pid) {
            control.resume();
        }
    }

    fn control(&self, pid: Pid) -> Option<Arc<Control>> {
        self.register.lock().get(&pid).cloned()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let controls: Vec<_> = self.register.lock().values().cloned().collect();
        for control in controls {
            control.kill();
        }
    }
}

/// Takes native code in.
#[allow(unsafe_code, reason = "wasmtime runs what it is given here")]
fn deserialize(engine: &Engine, artifact: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the bytes come from the compiling child that this host started on a component of its choice, or from a file
    // in the cache that only this user can have written and whose sum is right.
    unsafe { Component::deserialize(engine, artifact) }
}

/// A place in the register, given back when its guest is gone.
struct Enlisted {
    register: Arc<Register>,
    pid: Pid,
}

impl Drop for Enlisted {
    fn drop(&mut self) {
        let control = self.register.lock().remove(&self.pid);
        if let Some(control) = control {
            control.forget_waker();
        }
    }
}
