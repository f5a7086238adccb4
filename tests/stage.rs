//! What the tests stand on: files that `cargo xtask test` made, and nodes with a recorded engine.

use bytes::Bytes;
use remit_abi::{Event, Status, Tokens};
use remit_assembly::{
    CompileLimits, CompilerCommand, Declarations, Ended, Finished, GrantChoice, Home, Manifest, Node, NodeConfig,
    NodeError, Package, PriceList, ProcessView, Running, Schedule, StartError, Task, TaskMessage,
    recorded::RecordedEngine,
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

/// A file or folder that the set-up made.
pub(crate) fn made(variable: &str) -> PathBuf {
    let path = std::env::var_os(variable).map(PathBuf::from);
    path.unwrap_or_else(|| panic!("{variable} is not set: run `cargo xtask test`, which makes what the tests need"))
}

/// An agent of `agents/`.
pub(crate) fn agent(name: &str) -> Package {
    Package::open(&made("REMIT_TEST_AGENTS").join(name)).expect("the set-up built it")
}

/// A program of `tests/programs`. It asks for nothing.
pub(crate) fn program(name: &str) -> Package {
    Package::open(&made("REMIT_TEST_PROGRAMS").join(format!("{name}.wasm"))).expect("the set-up built it")
}

/// A program that asks for the recorded model.
pub(crate) fn program_with_model(name: &str) -> Package {
    let mut package = program(name);
    package.manifest.wants = vec![remit_assembly::Want::default_model("chat")];
    package
}

/// A program whose manifest says this besides its name: rights that it asks for, limits, when it is started again.
pub(crate) fn program_asking(name: &str, manifest: &str) -> Package {
    let mut package = program(name);
    package.manifest = Manifest::parse(&manifest_of(name, manifest)).expect("the test wrote it");
    package
}

fn manifest_of(name: &str, rest: &str) -> String {
    format!("name = \"{name}\"\nversion = \"0.0.0\"\ncomponent = \"{name}.wasm\"\n{rest}")
}

/// The right to start these, as a program takes it by `workers`.
pub(crate) fn workers(agents: &[&str]) -> String {
    format!("[[wants.processes]]\nlabel = \"workers\"\nagents = {agents:?}\n")
}

/// The right to speak to the neighbour of this name, as a program takes it by `peer`.
pub(crate) fn peer(name: &str) -> String {
    format!("[[wants.mailboxes]]\nlabel = \"peer\"\nmailboxes = [{name:?}]\n")
}

/// Installs a package where processes find what they start: all tests share it, and it is the same for all of them.
fn install(name: &str, manifest: &str, component: &Path) {
    static INSTALLING: parking_lot::Mutex<()> = parking_lot::Mutex::new(());
    let _one_at_a_time = INSTALLING.lock();
    let folder = home().agent(name);
    fs::create_dir_all(&folder).expect("the target folder is writable");
    let component = fs::read(component).expect("the set-up built it");
    for (file, content) in [(format!("{name}.wasm"), component.as_slice()), ("remit.toml".into(), manifest.as_bytes())]
    {
        let path = folder.join(file);
        if fs::read(&path).ok().as_deref() != Some(content) {
            fs::write(path, content).expect("the target folder is writable");
        }
    }
}

/// Lets processes start these programs of `tests/programs`.
pub(crate) fn install_programs(names: &[&str]) {
    names.iter().for_each(|name| install(name, &manifest_of(name, ""), &program(name).component));
}

/// Lets processes start this agent of `agents/`.
pub(crate) fn install_agent(name: &str) {
    let manifest = fs::read_to_string(made("REMIT_TEST_AGENTS").join(name).join("remit.toml"));
    install(name, &manifest.expect("the set-up made it"), &agent(name).component);
}

/// A data folder that all tests share: what one compiled, the others find.
fn home() -> Home {
    Home::at(made("REMIT_TEST_PROGRAMS").with_file_name("test-home"))
}

/// A node whose model's replies are the turns of a data file.
pub(crate) struct Stage {
    pub(crate) node: Node,
    pub(crate) engine: Arc<RecordedEngine>,
}

/// For one compilation. None of the programs takes a tenth of it; one that would take minutes is not waited for.
const COMPILE_SECONDS_MAX: u64 = 10;

/// Guests side by side in one test.
const GUESTS: u32 = 64;

/// Only guests that wait for each other ever wait so long for a place here.
const PLACE_WAIT_MAX: Duration = Duration::from_secs(3);

/// Longer than a node that was dropped holds its data folder.
const RELEASE_MAX: Duration = Duration::from_secs(10);

impl Stage {
    pub(crate) fn new(recording: &str) -> Self {
        Self::with_tools(recording, Declarations::default())
    }

    /// Whose operator has declared these.
    pub(crate) fn with_tools(recording: &str, tools: Declarations) -> Self {
        Self::on(home(), recording, tools, false).expect("the node starts")
    }

    /// On a data folder of its own, with a journal and a memory; to be dropped before another one is on it. The last thread of that one may
    /// hold the journal for a moment longer.
    pub(crate) async fn remembering(folder: &Path, recording: &str) -> Self {
        Self::remembering_with(folder, recording, &Declarations::default()).await
    }

    /// The same, whose operator has declared these.
    pub(crate) async fn remembering_with(folder: &Path, recording: &str, tools: &Declarations) -> Self {
        let deadline = Instant::now() + RELEASE_MAX;
        let stage = loop {
            match Self::on(Home::at(folder.to_owned()), recording, tools.clone(), true) {
                Err(NodeError::Journal(_)) if Instant::now() < deadline => {}
                opened => break opened.expect("the node starts"),
            }
        };
        // What the memory does not have yet comes from the journal, and no number is given out again.
        let resumed = stage.node.recover().await.expect("the journal can be read");
        assert!(resumed.is_empty(), "a process of the one before outlived it");
        stage
    }

    fn on(home: Home, recording: &str, tools: Declarations, durable: bool) -> Result<Self, NodeError> {
        let replies = fs::read_to_string(data(recording)).expect("the recording is beside the tests");
        let replies = serde_json::from_str(&replies).expect("the recording is in its form");
        let engine = Arc::new(RecordedEngine::new(replies));
        let config = NodeConfig {
            home,
            compiler: CompilerCommand { program: made("REMIT_TEST_CLI"), arguments: vec!["compile-component".into()] },
            compile_limits: CompileLimits { seconds_max: COMPILE_SECONDS_MAX, ..CompileLimits::default() },
            guest_threads: Some(2),
            guests_max: Some(GUESTS),
            place_wait_max: Some(PLACE_WAIT_MAX),
            weights_bytes_max: None,
            device: remit_assembly::models::DeviceChoice::Cpu,
            swapping: remit_assembly::models::Swapping::default(),
            durable,
            patience: None,
            tools,
            schedule: Schedule::default(),
            prices: PriceList::built_in(),
        };
        let node = Node::with_engine(config, engine.clone())?;
        Ok(Self { node, engine })
    }

    pub(crate) fn start(&self, job: Job) -> Result<Running, StartError> {
        let Job { package, grants, budget, messages, tags, resumed, name } = job;
        let agent = self.node.load(&package, &grants)?;
        self.node.start(&agent, Task { budget, messages, tags, resumed, name, durable: false })
    }

    /// Everything that lives.
    pub(crate) fn alive(&self) -> Vec<ProcessView> {
        self.node.kernel().processes()
    }

    /// Runs a task to its end.
    pub(crate) async fn run(&self, job: Job) -> Shown {
        let running = self.start(job).expect("the task starts");
        self.follow(running).await
    }

    pub(crate) async fn follow(&self, running: Running) -> Shown {
        let Running { mut events, finished, .. } = running;
        let (finished, events) = tokio::join!(finished, async {
            let mut shown = Vec::new();
            while let Some(event) = events.recv().await {
                shown.push(event);
            }
            shown
        });
        assert!(self.node.is_conserved(), "tokens were made or lost");
        Shown { finished, events }
    }
}

/// A task, and who is to do it.
pub(crate) struct Job {
    pub(crate) package: Package,
    pub(crate) grants: GrantChoice,
    pub(crate) budget: Option<Tokens>,
    pub(crate) messages: Vec<TaskMessage>,
    pub(crate) tags: Vec<String>,
    pub(crate) resumed: Option<Bytes>,
    pub(crate) name: Option<String>,
}

/// A task with one message that the operator typed.
pub(crate) fn task(package: Package, text: &str) -> Job {
    Job {
        package,
        grants: GrantChoice::All,
        budget: None,
        messages: vec![TaskMessage { text: text.to_owned(), trusted: true, ..TaskMessage::default() }],
        tags: Vec::new(),
        resumed: None,
        name: None,
    }
}

pub(crate) fn tokens(whole: u64) -> Tokens {
    Tokens::from_whole(whole).expect("a small number")
}

/// What a task showed.
pub(crate) struct Shown {
    pub(crate) finished: Finished,
    pub(crate) events: Vec<Event>,
}

impl Shown {
    /// All its text.
    pub(crate) fn text(&self) -> String {
        let texts = self.events.iter().filter_map(|event| match event {
            Event::Text { text, .. } => Some(std::str::from_utf8(text).expect("texts are UTF-8")),
            _ => None,
        });
        texts.collect()
    }

    /// Whether it did all its work.
    pub(crate) fn is_complete(&self) -> bool {
        matches!(self.finished.ended, Ended::Done(Status::Complete, _))
    }

    /// Its log lines.
    pub(crate) fn logs(&self) -> Vec<&str> {
        let lines = self.events.iter().filter_map(|event| match event {
            Event::Log { message, .. } => Some(&**message),
            _ => None,
        });
        lines.collect()
    }

    /// What it said in its text behind `WHAT: `, in a line of its own.
    pub(crate) fn said(&self, what: &str) -> String {
        let text = self.text();
        let line = text.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("it says nothing of {what}: {text}, {:?}", self.finished.ended)).to_owned()
    }

    /// The fault that it was ended by.
    pub(crate) fn fault(&self) -> String {
        match &self.finished.ended {
            Ended::Faulted(fault) => fault.to_string(),
            other => panic!("it was not ended by a fault: {other:?}"),
        }
    }
}

/// A document of so many different words, in paragraphs.
pub(crate) fn document(words: usize) -> String {
    let paragraph = |first: usize| {
        let words = (first..words.min(first + 60)).map(|number| format!("word{number}"));
        words.collect::<Vec<_>>().join(" ") + ".\n\n"
    };
    (0..words).step_by(60).map(paragraph).collect()
}

/// A file beside the tests, which run in their package's folder.
pub(crate) fn data(name: &str) -> PathBuf {
    Path::new("recorded").join(name)
}
