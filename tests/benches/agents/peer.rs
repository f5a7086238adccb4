//! The same agents on llama.cpp, by a script that knows its library (`runtime/inference/benches/peers/run_agents_llama_cpp.py`).
//!
//! It has the same tokens: what all conversations begin with, and what each turn adds behind an answer. It need not tokenize, and the
//! answers that its agents go on from are the tokens that it drew itself.

use super::{
    drive::{MODEL, Model, Run},
    fleet::{Conversation, OUTPUT_TOKENS, Plan},
};
use remit_inference::LocalEngine;
use remit_kernel::ports::Engine as _;
use serde_json::{Value, json};
use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

/// Sequences that it computes side by side.
const SLOTS: usize = 8;
/// Tokens of a sequence: the beginning, and five turns.
const CONTEXT_TOKENS: usize = 1_280;
/// The type of file for which it has its fastest kernels (the bench `inference` measures them all), by its number in `llama.h`.
const TYPE: &str = "2";

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime/inference/benches/peers").join(name)
}

/// llama.cpp with a file that it made of the model.
pub(crate) struct Peer {
    python: PathBuf,
    folder: tempfile::TempDir,
}

impl Peer {
    pub(crate) fn new(python: PathBuf, model: &Model<'_>) -> Self {
        let peer = Self { python, folder: tempfile::tempdir().expect("there is a folder for scratch") };
        let mut command = Command::new(&peer.python);
        command.arg(script("measure_llama_cpp.py")).arg("requantize").arg(model.path).arg(peer.file()).arg(TYPE);
        let output = command.output().expect("the set-up made it");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        peer
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("model.gguf")
    }

    /// Lets agents talk to it.
    pub(crate) fn run(&self, task: &Value) -> Run {
        let mut command = Command::new(&self.python);
        command.arg(script("run_agents_llama_cpp.py")).arg(self.file());
        let errors = std::fs::File::create(self.folder.path().join("errors")).expect("the folder is ours");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors);
        let mut child = command.spawn().expect("the set-up made it");
        let mut input = child.stdin.take().expect("it is piped");
        input.write_all(task.to_string().as_bytes()).expect("it reads its task");
        drop(input);
        let output = child.wait_with_output().expect("it ends");
        let errors = || std::fs::read_to_string(self.folder.path().join("errors")).unwrap_or_default();
        assert!(output.status.success(), "the peer failed: {}", errors());
        let text = String::from_utf8_lossy(&output.stdout);
        let found: Value = serde_json::from_str(text.lines().last().unwrap_or_default()).expect("it prints JSON");
        let numbers = |key: &str| found[key].as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
        Run {
            tokens: found["tokens"].as_u64().expect("it counts tokens"),
            seconds: found["seconds"].as_f64().expect("it has a clock"),
            turns: numbers("turns"),
            unended: numbers("unended"),
        }
    }
}

fn tokens(engine: &LocalEngine, conversation: &Conversation) -> Vec<u32> {
    engine.tokenize(MODEL, &conversation.prompt()).expect("it has a template").to_vec()
}

/// The tokens that a turn adds: the whole first prompt, or what stands behind an answer.
fn segment(engine: &LocalEngine, turn: usize, text: &str) -> Vec<u32> {
    let mut conversation = Conversation::new();
    if turn == 0 {
        conversation.ask(text);
        return tokens(engine, &conversation);
    }
    // An answer of one token, so that it is known where it ends.
    conversation.ask("?");
    let before = tokens(engine, &conversation);
    conversation.answered("1");
    conversation.ask(text);
    let all = tokens(engine, &conversation);
    assert!(all.starts_with(&before), "a template that goes on from its beginning");
    all[before.len() + 1..].to_vec()
}

fn common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// What the script is told.
pub(crate) fn task(engine: &LocalEngine, model: &Model<'_>, plans: &[Plan], window: Duration) -> Value {
    let of = |plan: &Plan| -> Vec<Vec<u32>> {
        plan.turns.iter().enumerate().map(|(turn, text)| segment(engine, turn, text)).collect()
    };
    let mut agents: Vec<_> = plans.iter().map(of).collect();
    // Beginnings that are the same with every agent. One agent has to be given something to compute, too.
    let first = agents[0][0].clone();
    let shared = agents.iter().map(|segments| common(&first, &segments[0])).min().unwrap_or(0).min(first.len() - 1);
    agents.iter_mut().for_each(|segments| drop(segments[0].drain(..shared)));
    let agents = plans.iter().zip(agents).map(|(plan, segments)| {
        let thinks: Vec<f64> = plan.thinks.iter().map(Duration::as_secs_f64).collect();
        json!({ "thinks": thinks, "segments": segments })
    });
    json!({
        "prefix": first[..shared],
        "agents": agents.collect::<Vec<_>>(),
        "output_tokens": OUTPUT_TOKENS,
        "ends": model.ends,
        "slots": SLOTS,
        "context_tokens": CONTEXT_TOKENS,
        "threads": std::thread::available_parallelism().map_or(1, usize::from),
        "window_seconds": window.as_secs_f64(),
    })
}
