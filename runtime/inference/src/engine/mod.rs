//! The engine behind the kernel's port: models that are loaded, and one thread that runs them.
//!
//! | part | does | knows |
//! | --- | --- | --- |
//! | this file | loads, tokenises and checks on the caller's thread, hands sequences over | the port |
//! | `sequence` | one generation: sampling, text, stop strings, its end | no other sequence |
//! | `slots` | blocks that left the device | bytes |
//! | `snapshots` | blocks that are kept when they leave, and come back when a prompt needs them | the port that keeps them |
//! | `observe` | what an operator sees: figures, spans | counters, clocks |
//! | `outbox` | what a slow reader makes of a generation | the channel |
//! | [`remit_batching`] | who is computed next and how much of it, where keys and values are, whose beginnings are shared | numbers only: pure functions |
//! | `build` | from files to what computes: the device, each model's share of its memory, weights, adapters | files, devices |
//! | `formats` | compiles what answers are held to, on the caller's thread | schemas, grammars, tools |
//! | `held` | one generation that is held to a format: masks beside the step, calls | its state, no other |
//! | `adapters` | LoRA: models by name that share a base's weights | files, the base |
//! | `faults` | who is the reason of a crash; how often to build again | numbers and times only |
//! | `compute` | what computes, as a seam for tests | models and devices |
//! | `worker`, `steps`, `recovery` | the thread: ask for memory, plan, compute, hand tokens out; go on after a crash | all of the above |
//!
//! Principles:
//!
//! - One thread owns the device, the weights and all keys and values. It never waits for a reader: a generation whose reader is behind
//!   is paused until he has read.
//! - A generation whose reader is gone, or that is cancelled, ends before its next token.
//! - On the CPU the same seed, prompt and parameters give the same text, to the bit of each log-probability, whatever is computed
//!   beside it, however its prompt is cut, whatever was at hand of it, whether it gave way meanwhile, and whether it speculates: no kernel adds across
//!   rows, or in an order that depends on them. On a GPU logits may differ by rounding.
//! - Whatever is computed is counted in the meter before its text is sent.
//! - A panic while computing, which is also how a lost device shows, ends neither the process nor the engine: all that
//!   computes is built again from the model's files, and every generation goes on from its tokens. A generation that was in the step
//!   of three crashes fails alone (see `faults`). Where nothing can be built any more, the engine stops, and every generation,
//!   running or to come, is told.
//! - Weights are in memory as long as its [`Residency`] says, which several engines share; the card, the tokenizer and the
//!   chat template stay. The weights come back with the next generation.
//!
//! Limits: see [`Limits`].

mod adapters;
mod build;
mod compute;
pub(crate) mod faults;
mod formats;
mod held;
mod observe;
mod outbox;
mod policy;
mod recovery;
mod sequence;
mod slots;
mod snapshots;
mod steps;
#[cfg(test)]
mod tests;
mod worker;

use crate::{
    AdapterFile, DeviceChoice, LoadError, Requirements,
    residency::Residency,
    template::{ChatTemplate, TemplateError},
    tokenizer::Tokenizer,
};
pub use observe::{Ends, GENERATIONS, Histogram, Measures, ModelFigures};
pub use policy::PolicyChoice;
pub use remit_batching::{BLOCK_TOKENS, Totals};

use adapters::{Adapters, ModelId};
use build::{open, reader};
use compute::Compute;
use formats::Formats;
use observe::{Board, Noted};
use remit_abi::{OutputFormat, TenantId, Toolset};
use remit_batching::{Config, Swap};
use remit_kernel::ports::{Engine, EngineError, EngineStream, GenerationJob, Meter, ModelCard, PromptText, Snapshots};
use sequence::Sequence;
use std::{
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use worker::{Message, Worker};

/// Of a GPU's memory, one part in so many is left to its driver and to others.
pub const DEVICE_SPARE: u64 = 10;

/// In which time a block goes out and comes back, until that is known: SmolLM2's at 7 GB/s.
const BLOCK_TIME: Duration = Duration::from_micros(100);

/// What an engine may use at most.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Sequences that are computed side by side. 64: beyond that, rows add as much to a step's time as they add tokens.
    pub active_sequences_max: usize,
    /// Sequences that wait for their turn; more are refused. 256: minutes of work on a small machine.
    pub queued_sequences_max: usize,
    /// Tokens whose keys and values there is room for, of each model; no conversation is longer. 65,536: 1.5 GB for
    /// SmolLM2-135M, where all of it is used.
    pub kv_tokens_max: usize,
    /// Tokens whose keys and values have room outside of the device, of each model; those that are worth it go there rather than to be
    /// computed again. `None`: as many as on a GPU, and none where the CPU computes, whose memory it would be.
    pub swap_tokens_max: Option<usize>,
    /// Where that room is a file's and not the host's memory.
    pub swap_folder: Option<PathBuf>,
    /// Where blocks are kept that leave memory and are worth it, by the names of their tokens, beyond the engine's life. `None`: nowhere.
    pub snapshots: Option<Arc<dyn Snapshots>>,
    /// What prompts may add to a step while others decode. 10 ms: a reader does not notice.
    pub chunk_time: Duration,
    /// Rows of prompts in a step while nobody decodes. 512: enough for matrix products at full speed.
    pub chunk_rows: usize,
    /// Who goes first.
    pub policy: PolicyChoice,
    /// Whether sequences of a tenant share what they have in common. Only comparisons turn it off.
    pub shares_prefixes: bool,
    /// Adapters of all models. 64: each is looked for by its name in a list.
    pub adapters_max: usize,
    /// Bytes of all adapters' weights. 2 GiB: an adapter of rank 16 on every matrix of a model of 7 billion weights has
    /// 160 MB.
    pub adapter_bytes_max: u64,
    /// Threads that compute.
    pub threads: usize,
    /// Where all models are computed.
    pub device: DeviceChoice,
    /// Bytes of a GPU's memory for weights, keys and values; layers that do not fit are the CPU's. `None`: all that it has,
    /// where that is known, less [`DEVICE_SPARE`].
    pub device_bytes: Option<u64>,
}

impl Default for Limits {
    /// The numbers above, on the CPU with as many threads as the machine has.
    fn default() -> Self {
        Self {
            active_sequences_max: 64,
            queued_sequences_max: 256,
            kv_tokens_max: 65_536,
            swap_tokens_max: None,
            swap_folder: None,
            snapshots: None,
            chunk_time: Duration::from_millis(10),
            chunk_rows: 512,
            policy: PolicyChoice::Fair,
            shares_prefixes: true,
            adapters_max: 64,
            adapter_bytes_max: 2 << 30,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            device: DeviceChoice::Cpu,
            device_bytes: None,
        }
    }
}

impl Limits {
    /// Blocks of each model's pool.
    fn blocks(&self) -> usize {
        self.kv_tokens_max.div_ceil(BLOCK_TOKENS)
    }

    /// Blocks of each model that have room outside of the device.
    fn slots(&self) -> usize {
        self.swap_tokens_max.unwrap_or_default().div_ceil(BLOCK_TOKENS)
    }

    /// What a batcher needs to know, with a pool of so many blocks.
    fn batching(&self, blocks: usize) -> Config {
        Config {
            running_max: self.active_sequences_max,
            // Whoever is handed over is never refused here.
            waiting_max: self.queued_sequences_max + self.active_sequences_max,
            rows_max: self.chunk_rows + self.active_sequences_max,
            chunk_time: self.chunk_time,
            chunk_rows: self.chunk_rows,
            swap: (self.slots() > 0).then(|| Swap { slots: self.slots(), block_time: BLOCK_TIME }),
            restore_time: self.snapshots.as_ref().map(|_| snapshots::RESTORE_TIME),
            shares_prefixes: self.shares_prefixes,
            ..Config::new(blocks)
        }
    }
}

/// A model to load.
#[derive(Clone, Debug)]
pub struct ModelFile {
    /// As the registry calls it, and as jobs will.
    pub name: Arc<str>,
    /// The GGUF file, or the folder with safetensors and what belongs to them.
    pub path: PathBuf,
    /// SHA-256, in hexadecimal, as the registry knows it.
    pub digest: Arc<str>,
}

/// An engine on this machine.
pub struct LocalEngine {
    served: Vec<Arc<Served>>,
    adapters: Arc<Adapters>,
    weights_bytes: u64,
    shared: Arc<Shared>,
    queue_max: usize,
    /// `None` only while it is dropped.
    messages: Option<mpsc::Sender<Message>>,
    /// `None` only while it is dropped.
    thread: Option<JoinHandle<()>>,
}

/// What callers' threads need of a model.
struct Served {
    card: ModelCard,
    tokenizer: Arc<Tokenizer>,
    template: Option<Arc<ChatTemplate>>,
    formats: Arc<Formats>,
    /// Of its pool.
    blocks: usize,
}

/// What callers and the engine's thread both see.
#[derive(Default)]
struct Shared {
    /// The models, comma-separated.
    names: String,
    /// Sequences handed over and not yet admitted.
    queued: AtomicUsize,
    /// The engine is being dropped.
    closing: AtomicBool,
    /// Why the engine has stopped.
    stopped: OnceLock<Box<str>>,
    /// What each base did and does.
    board: Board,
    /// Generations of each base that were turned away, since too many waited.
    refused: Vec<AtomicU64>,
    /// How often what computes was built again after a crash.
    rebuilds: AtomicU64,
    /// How long the last one took, in microseconds.
    last_rebuild_us: AtomicU64,
}

impl std::fmt::Debug for LocalEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalEngine").field("models", &self.shared.names).finish_non_exhaustive()
    }
}

impl LocalEngine {
    /// Opens the files, checks them, reads their weights on the engine's thread, and waits until it serves. The weights stay
    /// in memory until it is dropped.
    ///
    /// # Errors
    /// [`LoadError`]; nothing stays behind then.
    pub fn load(models: &[ModelFile], limits: Limits) -> Result<Self, LoadError> {
        let engine = Self::open(models, limits, &Residency::unlimited())?;
        engine.warm()?;
        Ok(engine)
    }

    /// Opens the files and checks them. Their weights come into memory with the first generation, and leave again when others
    /// need their room.
    ///
    /// # Errors
    /// [`LoadError`]; nothing stays behind then.
    pub fn open(models: &[ModelFile], mut limits: Limits, residency: &Arc<Residency>) -> Result<Self, LoadError> {
        limits.device = limits.device.settle();
        let mut served = Vec::new();
        let mut files = Vec::new();
        let mut architectures = Vec::new();
        let mut weights_bytes = 0u64;
        let device = limits.device.look()?;
        let is_gpu = device.is_gpu;
        limits.swap_tokens_max.get_or_insert(if is_gpu { limits.kv_tokens_max } else { 0 });
        for (index, model) in models.iter().enumerate() {
            if models[..index].iter().any(|other| other.name == model.name) {
                return Err(LoadError::Duplicate { name: model.name.to_string() });
            }
            let (model, file) = open(model, &limits, device.buffer_bytes_max)?;
            weights_bytes = weights_bytes.saturating_add(Requirements::of_files(&file, is_gpu)?.weights_bytes);
            architectures.push(file.architecture()?);
            files.push((file, model.blocks));
            served.push(model);
        }
        if let Some(room) = limits.device_bytes.filter(|_| is_gpu) {
            // What has no room there is the CPU's.
            weights_bytes = weights_bytes.min(room);
        }
        let adapters = Arc::new(Adapters::new(architectures, &limits));
        let make = reader(files, adapters.clone(), &limits, residency);
        Self::start((served, adapters), limits, (residency, weights_bytes), make)
    }

    /// Starts the engine's thread; `make` reads the weights, of so many bytes.
    fn start<C: Compute + 'static>(
        (served, adapters): (Vec<Served>, Arc<Adapters>),
        limits: Limits,
        (residency, weights_bytes): (&Arc<Residency>, u64),
        make: impl FnMut() -> Result<C, LoadError> + Send + 'static,
    ) -> Result<Self, LoadError> {
        let names = served.iter().map(|served| &*served.card.name).collect::<Vec<_>>().join(", ");
        let blocks: Vec<usize> = served.iter().map(|served| served.blocks).collect();
        let queue_max = limits.queued_sequences_max;
        let (messages, incoming) = mpsc::channel();
        let (sender, own) = (messages.clone(), messages.clone());
        let wake = move || drop(sender.send(Message::Wake));
        let seat = residency.seat(names.as_str().into(), weights_bytes, wake)?;
        adapters.sit(seat.room());
        let refused = blocks.iter().map(|_| AtomicU64::default()).collect();
        let shared = Arc::new(Shared { names, refused, ..Shared::default() });
        let thread = std::thread::Builder::new().name("inference".to_owned()).spawn({
            let shared = shared.clone();
            move || Worker::new(make, seat, &blocks, &limits, (shared, own)).run(&incoming)
        });
        let thread = thread.map_err(|error| LoadError::Thread(error.to_string()))?;
        let served = served.into_iter().map(Arc::new).collect();
        Ok(Self { served, adapters, weights_bytes, shared, queue_max, messages: Some(messages), thread: Some(thread) })
    }

    /// Serves an adapter of one of the models under a name of its own, from now until the engine is dropped. It is read on
    /// the caller's thread; the model's weights stay as they are, and generations go on. Its own weights come and go with
    /// the model's.
    ///
    /// # Errors
    /// [`LoadError`]; nothing has changed then.
    pub fn add_adapter(&self, file: &AdapterFile) -> Result<(), LoadError> {
        let begin = Instant::now();
        let place = |name: &str| self.served.iter().position(|served| &*served.card.name == name);
        if place(&file.name).is_some() {
            return Err(LoadError::Duplicate { name: file.name.to_string() });
        }
        let Some(base) = place(&file.base) else {
            let (name, base, known) = (file.name.to_string(), file.base.to_string(), self.shared.names.clone());
            return Err(LoadError::NoBase { name, base, known });
        };
        self.adapters.add(file, base, &self.served[base])?;
        tracing::info!(
            model = &*file.name,
            base = &*file.base,
            seconds = begin.elapsed().as_secs_f64(),
            "adapter added"
        );
        Ok(())
    }

    /// Bytes that the weights of all adapters take, beside the models'.
    #[must_use]
    pub fn adapter_bytes(&self) -> u64 {
        self.adapters.bytes()
    }

    /// Reads the weights where there is room that nobody else waits for, and waits until that is done.
    ///
    /// # Errors
    /// [`LoadError`], where they cannot be read.
    pub fn warm(&self) -> Result<(), LoadError> {
        let (done, is_done) = mpsc::channel();
        let gone = || LoadError::Crashed("it gave no reason".to_owned());
        self.tell(Message::Warm(done));
        is_done.recv().unwrap_or_else(|_| Err(gone()))
    }

    /// Hands over to what keeps snapshots all that is at hand and worth it, and waits until that is done: the host is about to end.
    pub fn keep_snapshots(&self) {
        let (done, is_done) = mpsc::channel();
        // One that has stopped has nothing at hand.
        if self.tell(Message::Keep(done)) {
            let _ = is_done.recv();
        }
    }

    /// Bytes of the weights of all its models, in memory.
    #[must_use]
    pub fn weights_bytes(&self) -> u64 {
        self.weights_bytes
    }

    /// What each of its models did and does, as of the last step.
    #[must_use]
    pub fn figures(&self) -> Vec<ModelFigures> {
        let rebuilds = self.rebuilds();
        let mut board = self.shared.board.read().into_iter();
        let mut refused = self.shared.refused.iter().map(|refused| refused.load(Ordering::Relaxed));
        let figures = |served: &Arc<Served>| {
            // Nothing was written down yet where the thread has only begun.
            let Noted { totals, mut measures, swapped_bytes } = board.next().unwrap_or_default();
            measures.refused = refused.next().unwrap_or_default();
            ModelFigures { model: served.card.name.clone(), totals, measures, swapped_bytes, rebuilds }
        };
        self.served.iter().map(figures).collect()
    }

    /// How often what computes was built again after a crash.
    #[must_use]
    pub fn rebuilds(&self) -> u64 {
        self.shared.rebuilds.load(Ordering::Acquire)
    }

    /// From the last crash until computing went on, pauses included; the sequences' tokens are computed again after that. None
    /// where there was no crash.
    #[must_use]
    pub fn last_rebuild(&self) -> Option<Duration> {
        let took = || Duration::from_micros(self.shared.last_rebuild_us.load(Ordering::Acquire));
        (self.rebuilds() > 0).then(took)
    }

    /// Makes what computes crash in its next step, on a GPU by losing it as a driver's reset does: a drill, and a test. Whoever
    /// generates sees nothing of it but the time.
    pub fn drill(&self) {
        // An engine that has stopped cannot crash.
        self.tell(Message::Drill);
    }

    /// Whether the engine's thread is there to hear it.
    fn tell(&self, message: Message) -> bool {
        self.messages.as_ref().is_some_and(|messages| messages.send(message).is_ok())
    }

    /// Why it has stopped, where it has: it computes nothing any more then.
    #[must_use]
    pub fn stopped(&self) -> Option<&str> {
        self.shared.stopped.get().map(|why| &**why)
    }

    fn find(&self, name: &str) -> Result<(ModelId, Arc<Served>), EngineError> {
        let base = self.served.iter().position(|served| &*served.card.name == name);
        let base = base.map(|base| (ModelId::base(base), self.served[base].clone()));
        base.or_else(|| self.adapters.find(name)).ok_or_else(|| {
            let bases = self.served.iter().map(|served| served.card.name.clone());
            let known: Vec<Arc<str>> = bases.chain(self.adapters.names()).collect();
            EngineError::UnknownModel { name: name.into(), known: known.join(", ").into() }
        })
    }
}

/// What cannot be generated from: the port's precondition, checked all the same.
fn refused(why: &str) -> EngineError {
    EngineError::Prompt(why.into())
}

impl Engine for LocalEngine {
    fn card(&self, model: &str) -> Result<ModelCard, EngineError> {
        self.find(model).map(|(_, served)| served.card.clone())
    }

    fn tokenize(&self, model: &str, prompt: &PromptText) -> Result<Arc<[u32]>, EngineError> {
        let (_, served) = self.find(model)?;
        let tokens = match prompt {
            PromptText::Text(text) => served.tokenizer.encode_prompt(text),
            PromptText::Chat(chat) => {
                let template = served.template.as_ref().ok_or(TemplateError::Missing);
                let tokens = template.and_then(|template| served.tokenizer.encode_chat(template, chat));
                tokens.map_err(|error| EngineError::Prompt(error.to_string().into()))?
            }
        };
        Ok(tokens.into())
    }

    fn accepts(
        &self,
        tenant: TenantId,
        model: &str,
        format: &OutputFormat,
        tools: Option<&Toolset>,
    ) -> Result<(), EngineError> {
        let (_, served) = self.find(model)?;
        served.formats.accept(tenant, format, tools, served.template.as_deref())
    }

    fn generate(&self, job: GenerationJob) -> Result<EngineStream, EngineError> {
        let (model, served) = self.find(&job.model)?;
        let capacity = served.card.context_length;
        let tokens = u32::try_from(job.prompt.len()).unwrap_or(u32::MAX);
        if tokens >= capacity {
            return Err(EngineError::TooLong { tokens, capacity });
        }
        if job.prompt.is_empty() {
            return Err(refused("the prompt has no tokens; give it some text"));
        }
        if job.prompt.iter().any(|token| *token as usize >= served.tokenizer.size()) {
            return Err(refused("the prompt has tokens of another model; tokenize it with this one"));
        }
        if let Some(why) = self.shared.stopped.get() {
            return Err(EngineError::Stopped(why.clone()));
        }
        let (held, calls) = served.formats.hold(&job, served.template.as_deref())?;
        let queue = |queued: usize| (queued < self.queue_max).then_some(queued + 1);
        if self.shared.queued.fetch_update(Ordering::AcqRel, Ordering::Acquire, queue).is_err() {
            self.shared.refused[model.base].fetch_add(1, Ordering::Relaxed);
            return Err(EngineError::Busy { waiting: self.queue_max });
        }
        let meter = Arc::new(Meter::default());
        let limit = job.params.max_tokens.clamp(1, capacity - tokens);
        let is_long = self.adapters.is_long(model, job.prompt.len() + limit as usize - 1);
        let computer = (model, served.card.digest.clone());
        let (mut sequence, events) =
            Sequence::new(job, computer, limit, is_long, served.tokenizer.clone(), meter.clone());
        sequence.hold(held, calls);
        if !self.tell(Message::Generate(Box::new(sequence))) {
            return Err(EngineError::Stopped("its thread has ended".into()));
        }
        Ok(EngineStream { events, meter })
    }

    fn rests(&self, tenant: TenantId, program: u64) {
        // An engine that has stopped keeps nothing.
        self.tell(Message::Rest(tenant, program));
    }
}

impl Drop for LocalEngine {
    /// Ends every generation and waits for the step that is being computed.
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        // The thread may sleep. It ends when nobody can tell it anything any more.
        self.tell(Message::Wake);
        self.messages = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported to every generation.
            let _ = thread.join();
        }
    }
}
