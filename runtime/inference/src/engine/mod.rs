//! The engine behind the kernel's port: models that are loaded, and one thread that runs them.
//!
//! | part | does | knows |
//! | --- | --- | --- |
//! | this file | loads, tokenises and checks on the caller's thread, hands sequences over | the port |
//! | `sequence` | one generation: sampling, text, stop strings, its end | no other sequence |
//! | `schedule` | who is admitted, what the next steps compute | numbers only: pure functions |
//! | `prefix` | keys and values of finished sequences, for those that begin alike | tenants and models, to keep them apart |
//! | `adapters` | LoRA: models by name that share a base's weights | files, the device |
//! | `worker` | the thread: admit, plan, compute, hand tokens out | all of the above |
//!
//! Principles:
//!
//! - One thread owns the device and the weights. It never waits for a reader: a stream's channel holds a whole
//!   generation.
//! - A generation whose reader is gone, or that is cancelled, ends before its next token.
//! - The same seed, prompt and parameters give the same text, to the bit of each log-probability, whatever is computed
//!   beside it: few rows are added up in a fixed order, and a prompt is cut up by itself (see `schedule`). Where only a part
//!   of the prompt is at hand, that part may have been computed in other pieces, and logits differ by rounding. So they do
//!   where a model has experts: how many rows one expert has depends on how many pieces are computed together.
//! - Whatever is computed is counted in the meter before its text is sent.
//! - A panic while computing ends the engine, not the process: every generation, running or to come, is told.
//!
//! Limits: see [`Limits`]; weights of all models and adapters stay in memory from load to drop.

mod adapters;
mod prefix;
mod schedule;
mod sequence;
#[cfg(test)]
mod tests;
mod worker;

use crate::{
    AdapterFile, DeviceChoice, LoadError,
    files::ModelFiles,
    template::{ChatTemplate, TemplateError},
    tokenizer::Tokenizer,
};
use adapters::{Adapters, ModelId};
use remit_kernel::ports::{Engine, EngineError, EngineStream, GenerationJob, Meter, ModelCard, PromptText};
use sequence::Sequence;
use std::{
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use worker::{Compute, Models, Worker};

/// Of a GPU's memory, one part in so many is left to its driver and to others.
pub const DEVICE_SPARE: u64 = 10;

/// What an engine may use at most.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Sequences that are computed side by side. 8: as many rows as share one reading of the weights.
    pub active_sequences_max: usize,
    /// Sequences that wait for their turn; more are refused. 256: minutes of work on a small machine.
    pub queued_sequences_max: usize,
    /// Finished sequences whose keys and values are kept. 8: the conversations that go on side by side.
    pub retained_sequences_max: usize,
    /// Tokens whose keys and values there is room for, active and retained together. 32,768: 1.5 GB for SmolLM2-135M.
    /// One sequence alone may have more, so that a whole context always fits.
    pub kv_tokens_max: usize,
    /// Prompt tokens of a step while nobody decodes, in whole pieces. 128: enough rows for matrix products at full speed.
    pub chunk_tokens: usize,
    /// Prompt tokens of a step while others decode, and of a piece into which each prompt is cut. 32: those wait some tenths
    /// of a second at most.
    pub chunk_tokens_shared: usize,
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
            active_sequences_max: 8,
            queued_sequences_max: 256,
            retained_sequences_max: 8,
            kv_tokens_max: 32_768,
            chunk_tokens: 128,
            chunk_tokens_shared: 32,
            adapters_max: 64,
            adapter_bytes_max: 2 << 30,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            device: DeviceChoice::Cpu,
            device_bytes: None,
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

/// A model that was loaded.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What it serves.
    pub card: ModelCard,
    /// How long it took, from opening the file to the last weight in memory.
    pub time: Duration,
}

/// An engine on this machine.
pub struct LocalEngine {
    served: Vec<Arc<Served>>,
    adapters: Arc<Adapters>,
    loaded: Vec<Loaded>,
    shared: Arc<Shared>,
    queue_max: usize,
    /// `None` only while it is dropped.
    sequences: Option<mpsc::Sender<Sequence>>,
    thread: Option<JoinHandle<()>>,
}

/// What callers' threads need of a model.
struct Served {
    card: ModelCard,
    tokenizer: Arc<Tokenizer>,
    template: Option<Arc<ChatTemplate>>,
}

/// What callers and the engine's thread both see.
#[derive(Default)]
struct Shared {
    /// Sequences handed over and not yet admitted.
    queued: AtomicUsize,
    /// The engine is being dropped.
    closing: AtomicBool,
    /// Why the engine has stopped.
    stopped: OnceLock<Box<str>>,
}

impl std::fmt::Debug for LocalEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalEngine").field("loaded", &self.loaded).finish_non_exhaustive()
    }
}

fn open(model: &ModelFile) -> Result<(Served, ModelFiles), LoadError> {
    let name = || model.name.to_string();
    let files = ModelFiles::open(&model.name, &model.path)?;
    let tokenizer = files.tokenizer()?;
    let compile = |source: String| ChatTemplate::new(&source, tokenizer.begin_text(), tokenizer.end_text());
    let template = files.chat_template()?.map(compile).transpose();
    let template = template.map_err(|source| LoadError::Template { name: name(), source })?.map(Arc::new);
    let architecture = files.architecture()?;
    // Some models round the rows of their vocabulary up; what has no token is never drawn.
    let rows = architecture.vocabulary;
    if rows < tokenizer.size() {
        return Err(LoadError::Vocabulary { name: name(), tokens: tokenizer.size(), rows });
    }
    let card = ModelCard {
        name: model.name.clone(),
        family: architecture.family.into(),
        context_length: u32::try_from(architecture.context).unwrap_or(u32::MAX),
        vocabulary: u32::try_from(tokenizer.size()).unwrap_or(u32::MAX),
        digest: model.digest.clone(),
    };
    Ok((Served { card, tokenizer: Arc::new(tokenizer), template }, files))
}

impl LocalEngine {
    /// Opens the files, checks them, reads their weights on the engine's thread, and waits until it serves.
    ///
    /// # Errors
    /// [`LoadError`]; nothing stays behind then.
    pub fn load(models: &[ModelFile], limits: Limits) -> Result<Self, LoadError> {
        let mut served = Vec::new();
        let mut files = Vec::new();
        let mut architectures = Vec::new();
        for (index, model) in models.iter().enumerate() {
            if models[..index].iter().any(|other| other.name == model.name) {
                return Err(LoadError::Duplicate { name: model.name.to_string() });
            }
            let begin = Instant::now();
            let (model, file) = open(model)?;
            architectures.push(file.architecture()?);
            files.push((model.card.name.clone(), file, begin.elapsed()));
            served.push(model);
        }
        let (threads, device, tokens) = (limits.threads, limits.device, limits.kv_tokens_max);
        let stated = limits.device_bytes;
        let adapters = Arc::new(Adapters::new(architectures, &limits));
        Self::start(served, adapters.clone(), limits, move || {
            let pool =
                rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(|index| format!("inference-{index}"));
            let pool = pool.build().map_err(|error| LoadError::Thread(error.to_string()))?;
            let device = device.open()?;
            tracing::info!(device = device.name(), "computing");
            let known = device.memory_bytes().map(|bytes| bytes - bytes / DEVICE_SPARE);
            let room = stated.or(known);
            let mut decoders = Vec::new();
            let mut times = Vec::new();
            for (name, file, opened) in files {
                let begin = Instant::now();
                decoders.push(file.decoder(device.tensors(), room, tokens)?);
                let time = opened + begin.elapsed();
                tracing::info!(model = &*name, seconds = time.as_secs_f64(), "model loaded");
                times.push(time);
            }
            let adapters = adapters.place(&decoders)?;
            Ok((Models { decoders, adapters, pool }, times))
        })
    }

    fn start<C: Compute + 'static>(
        served: Vec<Served>,
        adapters: Arc<Adapters>,
        limits: Limits,
        make: impl FnOnce() -> Result<(C, Vec<Duration>), LoadError> + Send + 'static,
    ) -> Result<Self, LoadError> {
        let shared = Arc::new(Shared::default());
        let queue_max = limits.queued_sequences_max;
        let (sequences, incoming) = mpsc::channel();
        let (ready, result) = mpsc::channel();
        let thread = std::thread::Builder::new().name("inference".to_owned()).spawn({
            let shared = shared.clone();
            move || match std::panic::catch_unwind(std::panic::AssertUnwindSafe(make)) {
                Err(panic) => drop(ready.send(Err(LoadError::Crashed(worker::panic_text(&*panic))))),
                Ok(Err(error)) => drop(ready.send(Err(error))),
                Ok(Ok((compute, times))) => {
                    let _ = ready.send(Ok(times));
                    Worker::new(compute, limits, shared).run(&incoming);
                }
            }
        });
        let thread = thread.map_err(|error| LoadError::Thread(error.to_string()))?;
        let gone = || Err(LoadError::Crashed("it gave no reason".to_owned()));
        let times = result.recv().unwrap_or_else(|_| gone())?;
        let loaded =
            served.iter().zip(times).map(|(served, time)| Loaded { card: served.card.clone(), time }).collect();
        let served = served.into_iter().map(Arc::new).collect();
        Ok(Self { served, adapters, loaded, shared, queue_max, sequences: Some(sequences), thread: Some(thread) })
    }

    /// Serves an adapter of one of the models under a name of its own, from now until the engine is dropped. It is read on
    /// the caller's thread; the model's weights stay as they are, and generations go on.
    ///
    /// # Errors
    /// [`LoadError`]; nothing has changed then.
    pub fn add_adapter(&self, file: &AdapterFile) -> Result<Loaded, LoadError> {
        let begin = Instant::now();
        let place = |name: &str| self.served.iter().position(|served| &*served.card.name == name);
        if place(&file.name).is_some() {
            return Err(LoadError::Duplicate { name: file.name.to_string() });
        }
        let Some(base) = place(&file.base) else {
            let known: Vec<&str> = self.served.iter().map(|served| &*served.card.name).collect();
            let (name, base) = (file.name.to_string(), file.base.to_string());
            return Err(LoadError::NoBase { name, base, known: known.join(", ") });
        };
        let card = self.adapters.add(file, base, &self.served[base])?;
        let time = begin.elapsed();
        tracing::info!(model = &*file.name, base = &*file.base, seconds = time.as_secs_f64(), "adapter loaded");
        Ok(Loaded { card, time })
    }

    /// Bytes that the weights of all adapters take, beside the models'.
    #[must_use]
    pub fn adapter_bytes(&self) -> u64 {
        self.adapters.bytes()
    }

    /// The models that the engine began with, in the order in which they were given, and what loading them took.
    #[must_use]
    pub fn loaded(&self) -> &[Loaded] {
        &self.loaded
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
            PromptText::Chat(messages) => {
                let template = served.template.as_ref().ok_or(TemplateError::Missing);
                let tokens = template.and_then(|template| served.tokenizer.encode_chat(template, messages));
                tokens.map_err(|error| EngineError::Prompt(error.to_string().into()))?
            }
        };
        Ok(tokens.into())
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
        let queue = |queued: usize| (queued < self.queue_max).then_some(queued + 1);
        if self.shared.queued.fetch_update(Ordering::AcqRel, Ordering::Acquire, queue).is_err() {
            return Err(EngineError::Busy { waiting: self.queue_max });
        }
        let meter = Arc::new(Meter::default());
        let limit = job.params.max_tokens.clamp(1, capacity - tokens);
        let (sequence, events) = Sequence::new(job, model, limit, served.tokenizer.clone(), meter.clone());
        let sent = self.sequences.as_ref().is_some_and(|sequences| sequences.send(sequence).is_ok());
        if !sent {
            return Err(EngineError::Stopped("its thread has ended".into()));
        }
        Ok(EngineStream { events, meter })
    }
}

impl Drop for LocalEngine {
    /// Ends every generation and waits for the step that is being computed.
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        self.sequences = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported to every generation.
            let _ = thread.join();
        }
    }
}
