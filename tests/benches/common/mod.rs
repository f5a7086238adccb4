//! What the benchmarks of guests stand on.

#![allow(dead_code, reason = "each benchmark takes what it needs")]

use remit_abi::Event;
use remit_assembly::{
    Agent, CompileLimits, CompilerCommand, Ended, Finished, GrantChoice, Home, Manifest, Node, NodeConfig, Package,
    PriceList, Running, Schedule, Task, TaskMessage,
};
use remit_kernel::ports::{Engine, EngineError, EngineStream, GenerationJob, ModelCard, PromptText};
use std::{
    fs,
    future::Future,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Duration,
};
use tokio::runtime::Runtime;

/// The type that a linker gives to resources nobody defined.
#[allow(unreachable_pub, reason = "the generated module re-exports it")]
pub type Nothing = ();

pub(crate) mod bindings {
    #![allow(unused, clippy::all, reason = "generated from wit/")]
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "agent",
        exports: { default: async },
        // What a linker's traps stand in for.
        with: { "remit:kernel/value.value": crate::common::Nothing },
    });
}

/// For one compilation. None of the programs takes a tenth of it; one that would take minutes is not waited for.
const COMPILE_SECONDS_MAX: u64 = 10;

/// Guests that the pool has room for.
pub(crate) const GUESTS: u32 = 256;

/// No model is asked in these benchmarks.
struct NoModel;

impl Engine for NoModel {
    fn card(&self, model: &str) -> Result<ModelCard, EngineError> {
        let (family, digest) = ("none".into(), "none".into());
        Ok(ModelCard { name: model.into(), family, context_length: 1, vocabulary: 1, digest })
    }

    fn tokenize(&self, _: &str, _: &PromptText) -> Result<Arc<[u32]>, EngineError> {
        Err(EngineError::Stopped("no model is asked here".into()))
    }

    fn generate(&self, _: GenerationJob) -> Result<EngineStream, EngineError> {
        Err(EngineError::Stopped("no model is asked here".into()))
    }
}

/// A file or folder that the set-up made.
pub(crate) fn made(variable: &str) -> PathBuf {
    let path = std::env::var_os(variable).map(PathBuf::from);
    path.unwrap_or_else(|| panic!("{variable} is not set: run `cargo xtask bench NAME`"))
}

/// The program that compiles components.
pub(crate) fn compiler() -> CompilerCommand {
    CompilerCommand { program: made("REMIT_TEST_CLI"), arguments: vec!["compile-component".into()] }
}

/// A program of `tests/programs`.
pub(crate) fn program(name: &str) -> Package {
    Package::open(&made("REMIT_TEST_PROGRAMS").join(format!("{name}.wasm"))).expect("the set-up built it")
}

/// A program whose manifest says this besides its name, such as the rights that it asks for.
pub(crate) fn program_asking(name: &str, manifest: &str) -> Package {
    let mut package = program(name);
    package.manifest = Manifest::parse(&manifest_of(name, manifest)).expect("the benchmark wrote it");
    package
}

fn manifest_of(name: &str, rest: &str) -> String {
    format!("name = \"{name}\"\nversion = \"0.0.0\"\ncomponent = \"{name}.wasm\"\n{rest}")
}

/// Lets processes start a program.
pub(crate) fn install(name: &str) {
    let folder = home().agent(name);
    fs::create_dir_all(&folder).expect("the target folder is writable");
    fs::copy(program(name).component, folder.join(format!("{name}.wasm"))).expect("the target folder is writable");
    fs::write(folder.join("remit.toml"), manifest_of(name, "")).expect("the target folder is writable");
}

fn home() -> Home {
    Home::at(made("REMIT_TEST_PROGRAMS").with_file_name("bench-home"))
}

/// One message that the operator typed.
pub(crate) fn message(text: &str) -> Vec<TaskMessage> {
    vec![TaskMessage { text: text.to_owned(), trusted: true, ..TaskMessage::default() }]
}

/// The state that a program of a benchmark reads its number from.
pub(crate) fn state(number: u32) -> Vec<u8> {
    [&[1], number.to_le_bytes().as_slice()].concat()
}

/// A node, and the runtime that does its timers.
pub(crate) struct Stage {
    pub(crate) node: Node,
    _runtime: Runtime,
}

/// Places for guests where sleepers wake all at once.
const DURABLE_GUESTS_MAX: u32 = 4096;

impl Stage {
    pub(crate) fn new() -> Self {
        Self::with_guests(GUESTS)
    }

    /// With room for so many guests.
    pub(crate) fn with_guests(guests_max: u32) -> Self {
        Self::over(Arc::new(NoModel), guests_max)
    }

    /// In a data folder of the benchmark's own.
    pub(crate) fn in_home(home: Home) -> Self {
        Self::of(Arc::new(NoModel), home, Some(GUESTS), None)
    }

    /// Whose models are this engine's.
    pub(crate) fn over(engine: Arc<dyn Engine>, guests_max: u32) -> Self {
        Self::of(engine, home(), Some(guests_max), None)
    }

    /// Whose processes may outlive it, in this data folder, and sleep after so long.
    pub(crate) fn durable(engine: Arc<dyn Engine>, home: Home, patience: Duration) -> Self {
        Self::of(engine, home, Some(DURABLE_GUESTS_MAX), Some(patience))
    }

    fn of(engine: Arc<dyn Engine>, home: Home, guests_max: Option<u32>, patience: Option<Duration>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("threads can be started");
        let config = NodeConfig {
            home,
            compiler: compiler(),
            compile_limits: CompileLimits { seconds_max: COMPILE_SECONDS_MAX, ..CompileLimits::default() },
            guest_threads: None,
            guests_max,
            place_wait_max: None,
            weights_bytes_max: None,
            device: remit_assembly::models::DeviceChoice::Cpu,
            swapping: remit_assembly::models::Swapping::default(),
            durable: patience.is_some(),
            patience,
            tools: remit_assembly::Declarations::default(),
            schedule: Schedule::default(),
            prices: PriceList::built_in(),
        };
        let entered = runtime.enter();
        let node = Node::with_engine(config, engine).expect("the node starts");
        drop(entered);
        Self { node, _runtime: runtime }
    }

    pub(crate) fn load(&self, package: &Package) -> Agent {
        self.node.load(package, &GrantChoice::All).expect("it is let in")
    }
}

/// A process, from its start to its end.
pub(crate) async fn life(node: &Node, agent: &Agent, task: Task) -> Finished {
    let Running { finished, .. } = node.start(agent, task).expect("it has a budget");
    finished.await
}

/// Polls on this thread, and blocks it between two polls.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

pub(crate) fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share) as usize]
}

pub(crate) fn median(values: &mut [f64]) -> f64 {
    percentile(values, 0.5)
}

/// Leaves the numbers where they are looked for.
pub(crate) fn leave(metrics: &serde_json::Value) {
    let path = made("REMIT_BENCH_OUT");
    fs::create_dir_all(path.parent().expect("a file has a folder")).expect("the target folder is writable");
    fs::write(path, format!("{metrics:#}\n")).expect("the target folder is writable");
}

/// What earlier runs left there.
fn left() -> serde_json::Value {
    let text = fs::read_to_string(made("REMIT_BENCH_OUT")).ok();
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_else(|| serde_json::json!({}))
}

/// Leaves the numbers of a part beside those of others.
pub(crate) fn leave_more(metrics: &serde_json::Value) {
    let mut all = left();
    for (key, number) in metrics.as_object().into_iter().flatten() {
        all[key] = number.clone();
    }
    leave(&all);
}

/// The parts that the arguments name; all, where they name none. Cargo has arguments of its own, which begin with a dash.
pub(crate) fn chosen(all: &[&str]) -> Vec<String> {
    let named: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    for part in &named {
        assert!(all.contains(&part.as_str()), "there is no part {part}, but {all:?}");
    }
    if named.is_empty() { all.iter().copied().map(str::to_owned).collect() } else { named }
}

/// An empty folder beside the numbers, which a benchmark may fill.
pub(crate) fn scratch(name: &str) -> PathBuf {
    let folder = made("REMIT_BENCH_OUT").with_file_name(name);
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder).expect("the target folder is writable");
    folder
}

/// Takes such a folder away. What somebody still writes there goes with the next run.
pub(crate) fn remove(folder: &Path) {
    drop(fs::remove_dir_all(folder));
}

/// All that a process shows as text, once it has done its work.
pub(crate) fn shown(running: Running) -> String {
    let Running { mut events, finished, .. } = running;
    let mut text = String::new();
    let ended = block_on(async {
        while let Some(event) = events.recv().await {
            if let Event::Text { text: more, .. } = event {
                text += std::str::from_utf8(&more).expect("texts are UTF-8");
            }
        }
        finished.await.ended
    });
    assert!(matches!(ended, Ended::Done(..)), "{ended:?}");
    text
}
