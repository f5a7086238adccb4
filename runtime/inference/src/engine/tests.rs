//! The engine over a scripted model: what a generation sends, how it ends, and who is told when computing fails; then
//! the whole of it over a tiny file.

use super::*;
use crate::gguf::{
    Gguf,
    sample::{self, END, Writer},
};
use compute::{Models, Work};
use remit_abi::{Params, Priority, Role, Sampling, TenantId, Usage};
use remit_kernel::ports::{ChatMessage, EngineEvent, EngineFinish};
use std::sync::Mutex;

mod adapters;
mod damaged;
mod faults;
mod formats;
mod leaks;
mod memory;
mod observe;
mod readers;
mod sampling;
mod slots;
mod snapshots;
mod speculation;

/// The token after these.
type Script = fn(&[u32]) -> u32;

/// What happens in a step that brings sequences to these tokens: nothing, or a panic.
type Fault = Arc<dyn Fn(&[Vec<u32>]) + Send + Sync>;

/// A model that goes by a script. It stands still while somebody holds the gate, and notes the tokens of each span. What it
/// knows of a sequence is what was written to the blocks of its table.
#[derive(Clone)]
struct Scripted {
    script: Script,
    gate: Arc<Mutex<()>>,
    steps: Arc<Mutex<Vec<Vec<usize>>>>,
    fault: Fault,
    blocks: Vec<[u32; BLOCK_TOKENS]>,
}

impl Scripted {
    fn new(script: Script, gate: &Arc<Mutex<()>>, steps: &Arc<Mutex<Vec<Vec<usize>>>>, fault: Fault) -> Self {
        let blocks = vec![[u32::MAX; BLOCK_TOKENS]; KV_TOKENS / BLOCK_TOKENS];
        Self { script, gate: gate.clone(), steps: steps.clone(), fault, blocks }
    }

    /// What a sequence comes to.
    fn come_to(&self, work: &Work<'_>) -> Vec<u32> {
        let at = |position: usize| self.blocks[work.table[position / BLOCK_TOKENS] as usize][position % BLOCK_TOKENS];
        (0..work.known).map(at).chain(work.tokens.iter().copied()).collect()
    }
}

impl Compute for Scripted {
    fn copy(&mut self, _: usize, from: u32, to: u32) {
        self.blocks[to as usize] = self.blocks[from as usize];
    }

    fn read(&mut self, _: usize, block: u32) -> Vec<u8> {
        self.blocks[block as usize].iter().flat_map(|token| token.to_le_bytes()).collect()
    }

    fn write(&mut self, _: usize, block: u32, bytes: &[u8]) {
        for (token, bytes) in self.blocks[block as usize].iter_mut().zip(bytes.as_chunks().0) {
            *token = u32::from_le_bytes(*bytes);
        }
    }

    fn block_bytes(&self, _: usize) -> usize {
        BLOCK_TOKENS * size_of::<u32>()
    }

    fn layout(&self, _: usize) -> String {
        "scripted".to_owned()
    }

    fn forward(&mut self, _: usize, work: &[Work<'_>]) -> Vec<f32> {
        drop(self.gate.lock());
        let come_to: Vec<_> = work.iter().map(|work| self.come_to(work)).collect();
        (self.fault)(&come_to);
        self.steps.lock().unwrap().push(work.iter().map(|work| work.tokens.len()).collect());
        let mut logits = Vec::new();
        for (work, tokens) in work.iter().zip(&come_to) {
            for (position, token) in tokens.iter().enumerate().skip(work.known) {
                let block = work.table[position / BLOCK_TOKENS] as usize;
                self.blocks[block][position % BLOCK_TOKENS] = *token;
            }
            for end in tokens.len() - work.logits + 1..=tokens.len() {
                let next = (self.script)(&tokens[..end]);
                // A few others are likely too, so that a seed matters.
                logits.extend((0..261).map(|id| {
                    if id == next {
                        3.0
                    } else if id % 26 == 7 {
                        2.0
                    } else {
                        -9.0
                    }
                }));
            }
        }
        logits
    }

    fn is_deferred(&self) -> bool {
        false
    }

    fn settle(&self) {}

    fn lose(&self) -> bool {
        false
    }

    fn probe(&mut self) {
        (self.fault)(&[]);
    }
}

/// Real models; `watch` sees each step, before it is computed and after.
struct Watched {
    models: Models,
    watch: Watch,
}

/// Whether the step was computed, and what of.
type Watch = Box<dyn FnMut(bool, &[Work<'_>]) + Send>;

impl Compute for Watched {
    fn copy(&mut self, base: usize, from: u32, to: u32) {
        self.models.copy(base, from, to);
    }

    fn read(&mut self, base: usize, block: u32) -> Vec<u8> {
        self.models.read(base, block)
    }

    fn write(&mut self, base: usize, block: u32, bytes: &[u8]) {
        self.models.write(base, block, bytes);
    }

    fn block_bytes(&self, base: usize) -> usize {
        self.models.block_bytes(base)
    }

    fn layout(&self, base: usize) -> String {
        self.models.layout(base)
    }

    fn forward(&mut self, base: usize, work: &[Work<'_>]) -> Vec<f32> {
        (self.watch)(false, work);
        let logits = self.models.forward(base, work);
        (self.watch)(true, work);
        logits
    }

    fn is_deferred(&self) -> bool {
        self.models.is_deferred()
    }

    fn settle(&self) {
        self.models.settle();
    }

    fn broken(&self, adapter: usize) -> Option<Arc<str>> {
        self.models.broken(adapter)
    }

    fn lose(&self) -> bool {
        self.models.lose()
    }

    fn probe(&mut self) {
        self.models.probe();
    }
}

struct Fixture {
    gate: Arc<Mutex<()>>,
    steps: Arc<Mutex<Vec<Vec<usize>>>>,
    engine: LocalEngine,
}

const CONTEXT: u32 = 100_000;
const KV_TOKENS: usize = 1 << 17;

fn fixture(script: Script, limits: Limits) -> Fixture {
    fixture_with(script, limits, Arc::new(|_| ()))
}

fn fixture_with(script: Script, limits: Limits, fault: Fault) -> Fixture {
    let (gate, steps) = (Arc::default(), Arc::default());
    let compute = Scripted::new(script, &gate, &steps, fault);
    let engine = scripted(limits, &Residency::unlimited(), move || Ok(compute.clone())).unwrap();
    Fixture { gate, steps, engine }
}

/// An engine of the model `m`, whose weights take ten bytes.
fn scripted<C: Compute + 'static>(
    limits: Limits,
    residency: &Arc<Residency>,
    make: impl FnMut() -> Result<C, LoadError> + Send + 'static,
) -> Result<LocalEngine, LoadError> {
    scripted_in(Limits { kv_tokens_max: KV_TOKENS, ..limits }, residency, make)
}

/// The same, with as much room for keys and values as its limits say.
fn scripted_in<C: Compute + 'static>(
    limits: Limits,
    residency: &Arc<Residency>,
    make: impl FnMut() -> Result<C, LoadError> + Send + 'static,
) -> Result<LocalEngine, LoadError> {
    let file = Gguf::from_bytes(sample::with_tokenizer(Writer::new()).finish()).unwrap();
    let tokenizer = Arc::new(Tokenizer::from_gguf(&file).unwrap());
    let (family, vocabulary) = ("f".into(), tokenizer.size() as u32);
    let card = ModelCard { name: "m".into(), family, context_length: CONTEXT, vocabulary, digest: "0".into() };
    let template = Some(Arc::new(ChatTemplate::new(sample::TEMPLATE, None, None).unwrap()));
    let formats = Arc::new(Formats::new(tokenizer.clone()));
    let blocks = limits.blocks();
    let served = (vec![Served { card, tokenizer, template, formats, blocks }], no_adapters(&limits));
    LocalEngine::start(served, limits, (residency, 10), make)
}

fn no_adapters(limits: &Limits) -> Arc<Adapters> {
    Arc::new(Adapters::new(Vec::new(), limits))
}

/// An engine of the tiny model `a`, each step of which is watched, and the folder of its file.
fn watched(limits: Limits, watch: impl Fn() -> Watch + Send + 'static) -> (tempfile::TempDir, LocalEngine) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, sample::model().finish()).unwrap();
    let (served, files) = open(&ModelFile { name: "a".into(), path, digest: "d".into() }, &limits, None).unwrap();
    let adapters = no_adapters(&limits);
    let mut read_weights = reader(vec![(files, served.blocks)], adapters.clone(), &limits, &Residency::unlimited());
    let make = move || Ok(Watched { models: read_weights()?, watch: watch() });
    let engine = LocalEngine::start((vec![served], adapters), limits, (&Residency::unlimited(), 10), make).unwrap();
    (folder, engine)
}

/// A letter that depends on everything before it.
fn letters(tokens: &[u32]) -> u32 {
    let hash = tokens.iter().fold(7u32, |hash, token| hash.wrapping_mul(31).wrapping_add(*token));
    u32::from(b'a') + (hash >> 7) % 26
}

fn alphabet(tokens: &[u32]) -> u32 {
    u32::from(b'a') + (tokens.len() as u32) % 26
}

fn job(prompt: &str, max_tokens: u32) -> GenerationJob {
    GenerationJob {
        tenant: TenantId(1),
        program: 1,
        priority: Priority::Normal,
        model: "m".into(),
        prompt: prompt.bytes().map(u32::from).collect(),
        params: Params::greedy(max_tokens),
        tools: None,
    }
}

/// The text that a script gives.
fn told(script: Script, prompt: &str, count: usize) -> String {
    let mut tokens: Vec<u32> = prompt.bytes().map(u32::from).collect();
    (0..count)
        .map(|_| {
            tokens.push(script(&tokens));
            char::from(tokens[tokens.len() - 1] as u8)
        })
        .collect()
}

fn read(mut stream: EngineStream) -> (String, Result<EngineFinish, EngineError>, Usage) {
    let mut text = String::new();
    loop {
        match stream.events.blocking_recv().expect("a stream ends with End or Failed") {
            EngineEvent::Text(more) => {
                assert!(!more.is_empty());
                text += &more;
            }
            EngineEvent::Token(token) => panic!("nobody asked for {token:?}"),
            EngineEvent::ToolCall(call) => panic!("nobody asked for {call:?}"),
            EngineEvent::End(finish) => return (text, Ok(finish), stream.meter.usage()),
            EngineEvent::Failed(error) => return (text, Err(error), stream.meter.usage()),
        }
    }
}

fn check(script: Script, job: GenerationJob, expect: (&str, EngineFinish, u32)) {
    let (text, finish, usage) = read(fixture(script, Limits::default()).engine.generate(job).unwrap());
    assert_eq!((text.as_str(), finish.unwrap(), usage.output), expect);
}

#[test]
fn a_generation_ends_at_its_limit() {
    check(letters, job("abc", 40), (&told(letters, "abc", 40), EngineFinish::Length, 40));
    check(letters, job("abc", 1), (&told(letters, "abc", 1), EngineFinish::Length, 1));
    // A precondition of the port, met all the same.
    check(letters, job("abc", 0), (&told(letters, "abc", 1), EngineFinish::Length, 1));
}

#[test]
fn a_generation_ends_with_the_context() {
    let prompt = "x".repeat(CONTEXT as usize - 3);
    check(letters, job(&prompt, u32::MAX), (&told(letters, &prompt, 3), EngineFinish::Length, 3));
}

#[test]
fn an_end_token_ends_a_generation() {
    check(|tokens| if tokens.len() < 5 { 65 } else { END }, job("abc", 40), ("AA", EngineFinish::Stop, 3));
    check(|_| END, job("abc", 40), ("", EngineFinish::Stop, 1));
}

#[test]
fn a_stop_string_ends_a_generation() {
    let with = |stop: &[&str]| {
        let stop = stop.iter().map(|stop| (*stop).into()).collect();
        GenerationJob { params: Params { stop, ..Params::greedy(8) }, ..job("a", 8) }
    };
    check(alphabet, with(&["def"]), ("bc", EngineFinish::Stop, 5));
    check(alphabet, with(&["e", "def"]), ("bcd", EngineFinish::Stop, 4));
    check(alphabet, with(&["hijkl"]), ("bcdefghi", EngineFinish::Length, 8));
}

#[test]
fn characters_are_sent_whole() {
    let crab = |tokens: &[u32]| u32::from("🦀".as_bytes()[(tokens.len() - 1) % 4]);
    check(crab, job("a", 8), ("🦀🦀", EngineFinish::Length, 8));
    check(crab, job("a", 6), ("🦀\u{fffd}", EngineFinish::Length, 6));
}

#[test]
fn a_seed_is_a_text() {
    let fixture = fixture(letters, Limits::default());
    let draw = |seed| {
        let sampling = Sampling { temperature: 1.0, seed, ..Sampling::default() };
        let params = Params { sampling, ..Params::greedy(60) };
        let job = GenerationJob { params, tenant: TenantId(seed as u32), ..job("abc", 60) };
        read(fixture.engine.generate(job).unwrap()).0
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}

#[test]
fn a_cancelled_generation_ends() {
    let fixture = fixture(letters, Limits::default());
    let mut stream = fixture.engine.generate(job("abc", 90_000)).unwrap();
    let first = stream.events.blocking_recv();
    assert!(matches!(first, Some(EngineEvent::Text(_))));
    stream.meter.cancel();
    let (_, finish, usage) = read(stream);
    assert_eq!(finish, Ok(EngineFinish::Cancelled));
    assert!(usage.output < 90_000);
}

#[test]
fn a_generation_without_a_reader_makes_room() {
    let fixture = fixture(letters, Limits { active_sequences_max: 1, ..Limits::default() });
    drop(fixture.engine.generate(job("abc", 90_000)).unwrap());
    let waiting = fixture.engine.generate(job("abc", 90_000)).unwrap();
    waiting.meter.cancel();
    assert_eq!(read(waiting).1, Ok(EngineFinish::Cancelled));
    assert_eq!(read(fixture.engine.generate(job("abc", 5)).unwrap()).0, told(letters, "abc", 5));
    assert_eq!(fixture.engine.shared.queued.load(Ordering::Acquire), 0);
}

#[test]
fn streams_move_side_by_side() {
    let fixture = fixture(letters, Limits { chunk_rows: 16, ..Limits::default() });
    let held = fixture.gate.lock().unwrap();
    let prompts = ["a".to_owned(), "b".repeat(40), "c".repeat(30)];
    let streams: Vec<_> = prompts.iter().map(|prompt| fixture.engine.generate(job(prompt, 20)).unwrap()).collect();
    drop(held);
    for (prompt, stream) in prompts.iter().zip(streams) {
        let (text, finish, usage) = read(stream);
        assert_eq!((text, finish), (told(letters, prompt, 20), Ok(EngineFinish::Length)));
        assert_eq!((usage.input as usize, usage.output), (prompt.len(), 20));
    }
    let steps = fixture.steps.lock().unwrap();
    assert!(steps.iter().all(|spans| spans.iter().filter(|tokens| **tokens > 1).sum::<usize>() <= 16), "{steps:?}");
    assert!(steps.iter().any(|spans| *spans == [1, 1, 1]), "{steps:?}");
}

#[test]
fn prefixes_are_reused_inside_a_tenant() {
    let fixture = fixture(letters, Limits::default());
    let check = |tenant, prompt: &str, expect| {
        let stream = fixture.engine.generate(GenerationJob { tenant: TenantId(tenant), ..job(prompt, 4) }).unwrap();
        let (text, _, usage) = read(stream);
        assert_eq!(text, told(letters, prompt, 4));
        assert_eq!((usage.cached, usage.input), expect, "{prompt}");
    };
    check(1, "hello world", (0, 11));
    check(1, "hello world", (10, 1));
    check(1, "hello there", (6, 5));
    check(2, "hello world", (0, 11));
    // Output counts as well, but for its last token, which was not computed.
    check(1, &format!("hello world{}!", told(letters, "hello world", 4)), (14, 2));
}

fn stopped(result: Result<EngineFinish, EngineError>, expect: &str) {
    let sentence = result.unwrap_err().to_string();
    assert!(sentence.starts_with("the engine has stopped: ") && sentence.contains(expect), "{sentence}");
}

#[test]
fn a_dropped_engine_tells_its_streams() {
    let fixture = fixture(letters, Limits { active_sequences_max: 1, ..Limits::default() });
    let streams = [(); 2].map(|()| fixture.engine.generate(job("abc", 90_000)).unwrap());
    drop(fixture.engine);
    for stream in streams {
        stopped(read(stream).1, "it was shut down");
    }
}

#[test]
fn what_cannot_be_generated_is_refused() {
    let fixture = fixture(letters, Limits { active_sequences_max: 1, queued_sequences_max: 2, ..Limits::default() });
    let held = fixture.gate.lock().unwrap();
    let refuse = |job: GenerationJob, expect: &str| {
        let sentence = fixture.engine.generate(job).unwrap_err().to_string();
        assert!(sentence.contains(expect), "{sentence}");
    };
    refuse(GenerationJob { model: "n".into(), ..job("abc", 4) }, "no model n is loaded; there is m");
    refuse(job(&"x".repeat(CONTEXT as usize), 4), "the prompt has 100000 tokens and the model's context holds 100000");
    refuse(job("", 4), "the prompt has no tokens");
    refuse(GenerationJob { prompt: [261].into(), ..job("", 4) }, "tokens of another model");
    let mut streams = Vec::new();
    // One may be active already.
    while streams.len() < 4 {
        match fixture.engine.generate(job("abc", 4)) {
            Ok(stream) => streams.push(stream),
            Err(error) => {
                assert!(error.to_string().contains("its queue is full with 2 generations"), "{error}");
                break;
            }
        }
    }
    assert!((2..4).contains(&streams.len()));
    drop(held);
    for stream in streams {
        assert_eq!(read(stream).0, told(letters, "abc", 4));
    }
}

fn load(bytes: &[u8], names: &[&str], limits: Limits) -> Result<LocalEngine, LoadError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, bytes).unwrap();
    let file = |name: &&str| ModelFile { name: (*name).into(), path: path.clone(), digest: "d".into() };
    LocalEngine::load(&names.iter().map(file).collect::<Vec<_>>(), limits)
}

#[test]
fn a_file_is_served() {
    let bytes = sample::model().finish();
    let message = ChatMessage::said(Role::User, "Tell me.".repeat(20));
    let serve = |chunk_rows, threads| {
        let limits = Limits { chunk_rows, threads, ..Limits::default() };
        let engine = load(&bytes, &["a", "b"], limits).unwrap();
        assert_eq!(engine.card("b").unwrap().context_length, 256);
        let prompt = engine.tokenize("b", &PromptText::Chat(vec![message.clone()].into())).unwrap();
        assert_eq!(&prompt[..2], &[258, u32::from(b'u')]);
        let job = GenerationJob { model: "b".into(), prompt, ..job("", 30) };
        let (text, finish, _) = read(engine.generate(job).unwrap());
        finish.unwrap();
        text
    };
    let text = serve(512, 2);
    assert!(!text.is_empty());
    assert_eq!(serve(11, 1), text);
}

#[test]
fn what_cannot_be_loaded_is_refused() {
    let check = |bytes: &[u8], names: &[&str], expect: &str| {
        let sentence = load(bytes, names, Limits::default()).unwrap_err().to_string();
        assert!(sentence.contains(expect), "{sentence}");
    };
    check(b"GGUF", &["a"], "model a: the GGUF file ends within the version");
    check(&sample::model().finish(), &["a", "a"], "two models are called a");
    check(&Writer::new().finish(), &["a"], "model a: the tokenizer cannot be built: ");
    check(
        &sample::with_tokenizer(Writer::new()).finish(),
        &["a"],
        "model a: the GGUF file has no metadata key general.architecture",
    );
    let broken = sample::with_template(Writer::new(), "{% for %}");
    check(&broken.finish(), &["a"], "model a: the model's chat template does not compile");
    check(&sample::model_with(f32::NAN).finish(), &["a"], "is infinite or not a number");
    let missing = ModelFile { name: "a".into(), path: "/absent.gguf".into(), digest: "d".into() };
    let sentence = LocalEngine::load(&[missing], Limits::default()).unwrap_err().to_string();
    assert!(sentence.starts_with("model a: cannot open /absent.gguf"), "{sentence}");
}
