//! A node of fakes, and guests that are closures.

use parking_lot::Mutex;
use remit_abi::{
    BudgetReply, BudgetRequest, CapabilityReply, CapabilityRequest, Content, Delta, Door, Event, Exit, Fault, Fuel,
    Generate, GenerationId, Label, LlmError, LlmReply, LlmRequest, Message, ModelId, Outcome, Pid, Prompt, Reply,
    Request, Role, Sampling, Start, Status, TenantId, Tokens, ValueId, ValueReply, ValueRequest, limits::Limits,
};
use remit_authority::{GrantKind, GrantLimits, PriceList};
use remit_kernel::{
    Finished, GivenGrant, GivenMessage, Kernel, Ports, Spawn, Spawned,
    ports::{
        Clock, Engine, EngineError, EngineEvent, EngineFinish, EngineStream, Entropy, Entry, GenerationJob, Journal,
        JournalError, Meter, ModelCard, PortFuture, Program, PromptText, Runner,
    },
};
use std::{
    collections::VecDeque,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use tokio::sync::{Notify, mpsc};

pub(crate) const TENANT: TenantId = TenantId(1);

/// One syscall at a time, as a process does them.
#[derive(Clone)]
pub(crate) struct Guest {
    pub(crate) door: Arc<dyn Door>,
    pub(crate) pid: Pid,
    pub(crate) start: Start,
}

type Script = Box<dyn Fn(Guest) -> PortFuture<'static, Exit> + Send + Sync>;

/// Runs closures as if they were components.
#[derive(Default)]
pub(crate) struct ClosureRunner;

impl Runner for ClosureRunner {
    fn run(&self, door: Arc<dyn Door>, pid: Pid, program: Program, start: Start) -> PortFuture<'static, Exit> {
        let script = program.image.downcast::<Script>().expect("programs of these tests are scripts");
        script(Guest { door, pid, start })
    }

    fn kill(&self, _: Pid) {}
}

/// What the engine does with the next generation.
#[derive(Clone, Debug)]
pub(crate) enum Play {
    /// Writes one letter a token until `max_tokens`.
    Letters,
    /// Writes these, then ends.
    Words(&'static [&'static str]),
    /// Writes these, then fails.
    Fails(&'static [&'static str]),
    /// Writes these, then goes away without a word.
    Vanishes(&'static [&'static str]),
    /// Writes these, then nothing until it is cancelled.
    Stalls(&'static [&'static str]),
}

/// An engine whose tokens are letters of the prompt.
#[derive(Default)]
pub(crate) struct ScriptedEngine {
    pub(crate) plays: Mutex<VecDeque<Play>>,
    pub(crate) jobs: Mutex<Vec<GenerationJob>>,
    /// Streams that stall are kept open here.
    stalled: Mutex<Vec<mpsc::Sender<EngineEvent>>>,
}

impl Engine for ScriptedEngine {
    fn card(&self, model: &str) -> Result<ModelCard, EngineError> {
        match model {
            "m" => Ok(ModelCard { name: "m".into(), family: "fake".into(), context_length: 100, digest: "d".into() }),
            _ => Err(EngineError::UnknownModel { name: model.into(), known: "m".into() }),
        }
    }

    fn tokenize(&self, _: &str, prompt: &PromptText) -> Result<Arc<[u32]>, EngineError> {
        let text = match prompt {
            PromptText::Text(text) => text.clone(),
            PromptText::Chat(messages) => messages.iter().map(|message| message.content.as_str()).collect(),
        };
        Ok(text.chars().map(u32::from).collect())
    }

    fn generate(&self, job: GenerationJob) -> Result<EngineStream, EngineError> {
        let meter = Arc::new(Meter::default());
        let (sender, events) = mpsc::channel(1000);
        meter.add_input(u32::try_from(job.prompt.len()).expect("small"));
        let send = |event| sender.try_send(event).expect("the channel holds a whole generation");
        let write = |words: &[&str]| {
            for word in words {
                meter.add_output(1);
                send(EngineEvent::Text((*word).to_owned()));
            }
        };
        match self.plays.lock().pop_front().unwrap_or(Play::Letters) {
            Play::Letters => {
                (0..job.max_tokens).for_each(|_| write(&["a"]));
                send(EngineEvent::End(EngineFinish::Length));
            }
            Play::Words(words) => {
                write(words);
                send(EngineEvent::End(EngineFinish::Stop));
            }
            Play::Fails(words) => {
                write(words);
                send(EngineEvent::Failed(EngineError::Stopped("the device is lost".into())));
            }
            Play::Vanishes(words) => write(words),
            Play::Stalls(words) => {
                write(words);
                self.stalled.lock().push(sender.clone());
            }
        }
        self.jobs.lock().push(job);
        Ok(EngineStream { events, meter })
    }
}

/// A clock that a test moves.
#[derive(Default)]
pub(crate) struct ManualClock {
    now_ns: AtomicU64,
    moved: Arc<Notify>,
}

impl ManualClock {
    pub(crate) fn advance(&self, ns: u64) {
        self.now_ns.fetch_add(ns, Ordering::SeqCst);
        self.moved.notify_waiters();
    }
}

/// Shared with the futures that it makes.
#[derive(Clone, Default)]
pub(crate) struct SharedClock(pub(crate) Arc<ManualClock>);

impl Clock for SharedClock {
    fn wall_ns(&self) -> u64 {
        1_000_000_000 + self.monotonic_ns()
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
struct Counting;

impl Entropy for Counting {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), Fault> {
        buffer.iter_mut().zip(0..).for_each(|(byte, count)| *byte = count);
        Ok(())
    }
}

/// A journal that keeps everything, or fails.
#[derive(Default)]
pub(crate) struct RecordingJournal {
    pub(crate) entries: Mutex<Vec<(Pid, Entry)>>,
    pub(crate) fails: AtomicBool,
}

impl Journal for RecordingJournal {
    fn append(&self, pid: Pid, entry: Entry) -> Result<(), JournalError> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(JournalError("the disk is full".into()));
        }
        self.entries.lock().push((pid, entry));
        Ok(())
    }

    fn flush(&self, _: Pid) -> PortFuture<'_, Result<(), JournalError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A node of fakes.
pub(crate) struct TestNode {
    pub(crate) kernel: Kernel,
    pub(crate) engine: Arc<ScriptedEngine>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) journal: Arc<RecordingJournal>,
}

/// What a scripted process is given.
pub(crate) struct Given {
    pub(crate) grants: Vec<GivenGrant>,
    pub(crate) budget: Tokens,
    pub(crate) limits: Limits,
    pub(crate) input: Vec<(&'static str, Label)>,
}

impl Default for Given {
    fn default() -> Self {
        Self {
            grants: vec![model_grant(GrantLimits::default())],
            budget: tokens(1000),
            limits: Limits::default(),
            input: Vec::new(),
        }
    }
}

pub(crate) fn model_grant(limits: GrantLimits) -> GivenGrant {
    GivenGrant { label: "chat".into(), kind: GrantKind::Model("m".into()), limits }
}

pub(crate) fn tokens(whole: u64) -> Tokens {
    Tokens::from_whole(whole).expect("a small number")
}

impl TestNode {
    pub(crate) fn new() -> Self {
        let (engine, clock, journal) = (Arc::<ScriptedEngine>::default(), Arc::default(), Arc::default());
        let ports = Ports {
            runner: Arc::new(ClosureRunner),
            engine: engine.clone(),
            journal: Arc::<RecordingJournal>::clone(&journal),
            clock: Arc::new(SharedClock(Arc::clone(&clock))),
            entropy: Arc::new(Counting),
        };
        Self { kernel: Kernel::new(ports, PriceList::built_in()), engine, clock, journal }
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
        let boxed: Script = Box::new(move |guest| Box::pin(script(guest)));
        let payer = self.kernel.deposit(given.budget).expect("a small deposit");
        let message = |(text, label): (&'static str, Label)| GivenMessage {
            role: Role::User,
            bytes: text.as_bytes().into(),
            label,
        };
        let spawn = Spawn {
            tenant: TENANT,
            program: Program { digest: "script".into(), image: Arc::new(boxed), limits: given.limits },
            grants: given.grants,
            payer,
            budget: given.budget,
            conversation: given.input.into_iter().map(message).collect(),
            resumed: None,
        };
        self.kernel.spawn(spawn).expect("the payer has the budget")
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
    Prompt::Chat(vec![Message { role: Role::User, content: Content::Text(text.into()) }])
}

/// A greedy generation.
pub(crate) fn generate(model: ModelId, prompt: Prompt, max_tokens: u32) -> Box<Generate> {
    let sampling = Sampling { max_tokens, temperature: 0.0, top_p: 1.0, seed: 0, stop: Vec::new() };
    Box::new(Generate { model, prompt, sampling })
}

impl Guest {
    pub(crate) async fn call(&self, request: Request) -> Reply {
        self.door.dispatch(self.pid, request).await
    }

    pub(crate) async fn llm(&self, request: LlmRequest) -> Result<LlmReply, LlmError> {
        match self.call(Request::Llm(request)).await {
            Reply::Llm(result) => result,
            other => panic!("not a reply to llm: {other:?}"),
        }
    }

    pub(crate) async fn open_model(&self) -> ModelId {
        let Reply::Capability(Ok(CapabilityReply::Taken(grant))) =
            self.call(Request::Capability(CapabilityRequest::Take { label: "chat".into() })).await
        else {
            panic!("the script was given the grant");
        };
        match self.llm(LlmRequest::Open { grant }).await {
            Ok(LlmReply::Opened(model)) => model,
            other => panic!("the model is there: {other:?}"),
        }
    }

    pub(crate) async fn start(&self, prompt: Prompt, max_tokens: u32) -> GenerationId {
        let model = self.open_model().await;
        match self.llm(LlmRequest::Start(generate(model, prompt, max_tokens))).await {
            Ok(LlmReply::Started(generation)) => generation,
            other => panic!("the engine takes every job: {other:?}"),
        }
    }

    pub(crate) async fn next(&self, generation: GenerationId) -> Result<Delta, LlmError> {
        match self.llm(LlmRequest::Next { generation }).await? {
            LlmReply::Next(delta) => Ok(delta),
            other => panic!("not a delta: {other:?}"),
        }
    }

    pub(crate) async fn remaining(&self) -> Tokens {
        let Reply::Budget(Ok(BudgetReply::Account(account))) =
            self.call(Request::Budget(BudgetRequest::OwnAccount)).await
        else {
            panic!("every process has an account");
        };
        match self.call(Request::Budget(BudgetRequest::Remaining { account })).await {
            Reply::Budget(Ok(BudgetReply::Remaining(remaining))) => remaining,
            other => panic!("the account is open: {other:?}"),
        }
    }

    pub(crate) async fn make_value(&self, bytes: &'static [u8]) -> ValueId {
        let request = ValueRequest::FromBytes { bytes: bytes.into(), media_type: "text/plain".into() };
        match self.call(Request::Value(request)).await {
            Reply::Value(Ok(ValueReply::Made(value))) => value,
            other => panic!("there is room: {other:?}"),
        }
    }

    pub(crate) async fn label_of(&self, value: ValueId) -> Label {
        match self.call(Request::Value(ValueRequest::Describe { value })).await {
            Reply::Value(Ok(ValueReply::Described(info))) => info.label,
            other => panic!("the value lives: {other:?}"),
        }
    }
}
