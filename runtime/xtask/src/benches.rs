//! `cargo xtask bench NAME`: one benchmark, which prints a table and leaves its numbers as JSON.
//!
//! Those that have parts take their names behind `--`. Numbers of an earlier run stay where only parts are run.

use crate::{
    command,
    data_folder::make_folder,
    environment::{Environment, LANGUAGE_MODEL},
    peer,
    tests::WHOLE_HOST,
    vulkan::Vulkan,
};
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A benchmark that there is.
struct Bench {
    /// The name of cargo's bench target, one of its kind in the workspace.
    name: &'static str,
    what: &'static str,
}

const BENCHES: &[Bench] = &[
    Bench { name: "spawn", what: "the life of a process, next to raw wasmtime" },
    Bench { name: "syscall", what: "a call from a guest into the kernel, next to one into the bare host" },
    Bench { name: "metering", what: "what fuel and preemption cost a guest that computes" },
    Bench { name: "density", what: "how many processes live on this machine, and what each one takes" },
    Bench { name: "durable", what: "what outliving the host costs, next to raw SQLite, and how fast it comes back" },
    Bench { name: "neighbour", what: "a call between two processes while another one misbehaves" },
    Bench { name: INFERENCE, what: "tokens per second, next to llama.cpp and to the memory's limit; perplexity" },
    Bench { name: AGENTS, what: "many agents on one engine, next to llama.cpp; what a flood and Wasm cost" },
    Bench { name: GPU, what: "how much of a GPU's bandwidth and compute inference gets" },
];

/// These are held against a peer, and have parts.
const INFERENCE: &str = "inference";
const AGENTS: &str = "agents";
/// This one is a program that can be taken to another machine, and needs no agents and no model.
const GPU: &str = "gpu";

/// `cargo xtask bench NAME [-- PARTS]`.
///
/// # Errors
///
/// There is no such bench, it has no parts, it fails, or it leaves no numbers.
pub(crate) fn command(name: &str, parts: &[String]) -> Result<()> {
    let Some(bench) = BENCHES.iter().find(|bench| bench.name == name) else {
        let known: String = BENCHES.iter().map(|bench| format!("\n  {:9} {}", bench.name, bench.what)).collect();
        bail!("`cargo xtask bench NAME` knows no bench {name:?}, but these:{known}");
    };
    let has_parts = [INFERENCE, AGENTS].contains(&bench.name);
    if !has_parts && !parts.is_empty() {
        bail!("the bench {name} has no parts: leave out what follows `--`");
    }
    let mut environment = Environment::open()?;
    let out = numbers_file(&environment, bench.name, parts.is_empty())?;
    match bench.name {
        GPU => run_program(&mut environment, &out)?,
        name => run_target(&mut environment, name, parts, &out)?,
    }
    check_numbers(&out)?;
    println!("{}", out.display());
    Ok(())
}

/// Where a bench leaves its numbers. Those of an earlier run are not to be taken for those of a whole run that wrote none.
fn numbers_file(environment: &Environment, name: &str, is_whole: bool) -> Result<PathBuf> {
    let folder = environment.workspace.target.join("bench");
    make_folder(&folder)?;
    let out = folder.join(format!("{name}.json"));
    if is_whole && out.exists() {
        fs::remove_file(&out).with_context(|| format!("cannot remove the earlier {}", out.display()))?;
    }
    Ok(out)
}

fn run_target(environment: &mut Environment, name: &str, parts: &[String], out: &Path) -> Result<()> {
    let prepared = environment.prepare(WHOLE_HOST, &[LANGUAGE_MODEL])?;
    let mut cargo = environment.cargo();
    // Of the whole workspace, with the features that everything else was built with: nothing is built twice.
    cargo.args(["bench", "--profile", "dev", "--workspace", "--bench", name]).env("REMIT_BENCH_OUT", out);
    if !parts.is_empty() {
        cargo.arg("--").args(parts);
    }
    prepared.apply(environment, &mut cargo);
    if [INFERENCE, AGENTS].contains(&name) {
        cargo.env("REMIT_PEER_PYTHON", peer::ensure(&environment.data)?);
    }
    command::run(&mut cargo, &format!("the bench {name}"))
}

/// On whatever GPU there is, else on a software adapter, whose numbers say that they are no GPU's.
fn run_program(environment: &mut Environment, out: &Path) -> Result<()> {
    let vulkan = Vulkan::ensure(&environment.data)?;
    environment.set_up_host_build()?;
    let program = "remit-gpu-bench";
    let mut cargo = environment.cargo();
    cargo.args(["build", "--workspace", "--bin", program]);
    command::run(&mut cargo, &format!("building {program}"))?;
    let built =
        environment.workspace.target.join("debug").join(program).with_extension(std::env::consts::EXE_EXTENSION);
    let mut bench = command::new(built);
    bench.arg("--out").arg(out);
    vulkan.apply(&mut bench)?;
    command::run(&mut bench, "the bench gpu")
}

fn check_numbers(file: &Path) -> Result<()> {
    let text = fs::read_to_string(file)
        .with_context(|| format!("the bench wrote no {}, which REMIT_BENCH_OUT names", file.display()))?;
    let numbers: Value = serde_json::from_str(&text).with_context(|| format!("{} is no JSON", file.display()))?;
    let sound = numbers.as_object().is_some_and(|fields| !fields.is_empty() && fields.values().all(Value::is_number));
    if !sound {
        bail!("{} is no object of numbers: {text}", file.display());
    }
    Ok(())
}

#[cfg(test)]
mod unit_tests {
    use super::check_numbers;

    #[test]
    fn only_an_object_of_numbers_counts() {
        let scratch = tempfile::tempdir().expect("a scratch folder");
        let file = scratch.path().join("spawn.json");
        assert!(check_numbers(&file).is_err());
        for (text, sound) in
            [("{\"a_us\": 1.5, \"b\": 2}", true), ("{}", false), ("[1]", false), ("{\"a\": \"1\"}", false), ("", false)]
        {
            std::fs::write(&file, text).expect("writable");
            assert_eq!(check_numbers(&file).is_ok(), sound, "{text}");
        }
    }
}
