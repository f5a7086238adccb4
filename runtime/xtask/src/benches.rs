//! `cargo xtask bench NAME`: one benchmark, which prints a table and leaves its numbers as JSON.
//!
//! Those that have parts take their names behind `--`. Numbers of an earlier run stay where only parts are run. A bench may have its parts in
//! several of cargo's bench targets, which then add their numbers to one file: what is measured of a crate alone, beside what it stands on, and
//! what of the whole.

use crate::{
    build, command,
    data_folder::make_folder,
    environment::{EMBEDDER, Environment, LANGUAGE_MODEL, Model},
    peer,
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
    name: &'static str,
    what: &'static str,
}

/// A part of a bench that has its parts in several targets.
struct Part {
    bench: &'static str,
    name: &'static str,
    /// The name of cargo's bench target that has it, by the same name.
    target: &'static str,
    /// Whether a whole run has it. Others take long, and are run where they are named.
    is_usual: bool,
}

const BENCHES: &[Bench] = &[
    Bench { name: "spawn", what: "the life of a process, next to raw wasmtime" },
    Bench { name: "syscall", what: "a call from a guest into the kernel, next to one into the bare host" },
    Bench { name: "metering", what: "what fuel and preemption cost a guest that computes" },
    Bench { name: "density", what: "how many processes live on this machine, and what each one takes" },
    Bench { name: "durable", what: "what outliving the host costs, next to raw SQLite, and how fast it comes back" },
    Bench { name: "neighbour", what: "a call between two processes while another one misbehaves" },
    Bench { name: "packages", what: "what signatures cost a start, compiling agents, and many packages" },
    Bench { name: MEMORY, what: "what remembering and looking up cost, next to LanceDB; contexts that page" },
    Bench { name: RECALL, what: "whether that is found which left the window, or was noted" },
    Bench { name: INFERENCE, what: "tokens per second, next to llama.cpp and to the memory's limit; perplexity" },
    Bench { name: AGENTS, what: "many agents on one engine, next to llama.cpp; what a flood and Wasm cost" },
    Bench { name: GPU, what: "how much of a GPU's bandwidth and compute inference gets" },
];

/// Their parts are these.
const MEMORY: &str = "memory";
const RECALL: &str = "recall";

const PARTS: &[Part] = &[
    Part { bench: MEMORY, name: "store", target: "memory", is_usual: true },
    Part { bench: MEMORY, name: "million", target: "memory", is_usual: false },
    Part { bench: MEMORY, name: "put", target: "remembering", is_usual: true },
    Part { bench: MEMORY, name: "embedding", target: "remembering", is_usual: true },
    Part { bench: MEMORY, name: "paging", target: "remembering", is_usual: true },
    Part { bench: RECALL, name: "index", target: "memory", is_usual: true },
    Part { bench: RECALL, name: "nested", target: "recall", is_usual: true },
    Part { bench: RECALL, name: "needle-8k", target: "recall", is_usual: true },
    Part { bench: RECALL, name: "needle-32k", target: "recall", is_usual: true },
    Part { bench: RECALL, name: "needle-128k", target: "recall", is_usual: true },
];

/// These are held against a peer, and their targets know their parts.
const INFERENCE: &str = "inference";
const AGENTS: &str = "agents";
/// This one is a program that can be taken to another machine, and needs no agents and no model.
const GPU: &str = "gpu";

/// All programs, as their users run them, and as `cargo bench` builds what it measures.
const PRODUCT: &[&str] = &["--release", "--workspace", "--bins"];

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
    let targets = targets(bench.name, parts)?;
    let mut environment = Environment::open()?;
    let out = numbers_file(&environment, bench.name, parts.is_empty())?;
    match bench.name {
        GPU => run_program(&mut environment, &out)?,
        name => run_targets(&mut environment, name, &targets, &out)?,
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

/// A target, and the parts of it that are to be run; all of them, where none is named.
type Target = (&'static str, Vec<String>);

/// What is to be run for some parts of a bench, or for all usual ones where none is named.
fn targets(bench: &'static str, parts: &[String]) -> Result<Vec<Target>> {
    let known: Vec<_> = PARTS.iter().filter(|part| part.bench == bench).collect();
    if known.is_empty() {
        if !parts.is_empty() && ![INFERENCE, AGENTS].contains(&bench) {
            bail!("the bench {bench} has no parts: leave out what follows `--`");
        }
        return Ok(vec![(bench, parts.to_vec())]);
    }
    if let Some(unknown) = parts.iter().find(|name| !known.iter().any(|part| part.name == **name)) {
        let names: Vec<_> = known.iter().map(|part| part.name).collect();
        bail!("the bench {bench} has no part {unknown:?}, but these: {}", names.join(", "));
    }
    let mut targets: Vec<Target> = Vec::new();
    for part in known {
        let is_meant = if parts.is_empty() { part.is_usual } else { parts.iter().any(|name| name == part.name) };
        match targets.iter_mut().find(|(target, _)| *target == part.target) {
            _ if !is_meant => {}
            Some((_, names)) => names.push(part.name.to_owned()),
            None => targets.push((part.target, vec![part.name.to_owned()])),
        }
    }
    Ok(targets)
}

fn run_targets(environment: &mut Environment, bench: &str, targets: &[Target], out: &Path) -> Result<()> {
    let models: &[Model] =
        if [MEMORY, RECALL].contains(&bench) { &[LANGUAGE_MODEL, EMBEDDER] } else { &[LANGUAGE_MODEL] };
    let prepared = environment.prepare(PRODUCT, models)?;
    for (target, parts) in targets {
        let mut cargo = environment.cargo();
        // Of the whole workspace, with the features that everything else was built with: nothing is built twice.
        cargo.args(["bench", "--workspace", "--bench", target]).env("REMIT_BENCH_OUT", out);
        if !parts.is_empty() {
            cargo.arg("--").args(parts);
        }
        prepared.apply(environment, &mut cargo);
        if [INFERENCE, AGENTS].contains(&bench) {
            cargo.env("REMIT_PEER_PYTHON", peer::ensure(&environment.data)?);
        }
        command::run(&mut cargo, &format!("the bench {bench}"))?;
    }
    Ok(())
}

/// On whatever GPU there is, else on a software adapter, whose numbers say that they are no GPU's.
fn run_program(environment: &mut Environment, out: &Path) -> Result<()> {
    let vulkan = Vulkan::ensure(&environment.data)?;
    environment.set_up_host_build()?;
    let program = "remit-gpu-bench";
    let mut cargo = environment.cargo();
    let artifacts = build::artifacts(cargo.arg("build").args(PRODUCT), &format!("building {program}"))?;
    let mut bench = command::new(build::executable(&artifacts, program)?);
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
    use super::{BENCHES, PARTS, check_numbers, targets};

    #[test]
    fn parts_choose_the_targets_that_have_them() {
        let check = |bench: &'static str, parts: &[&str], expect: &[(&str, &[&str])]| {
            let parts: Vec<_> = parts.iter().copied().map(str::to_owned).collect();
            let chosen = targets(bench, &parts).expect("there are such parts");
            let chosen: Vec<(&str, Vec<&str>)> =
                chosen.iter().map(|(target, parts)| (*target, parts.iter().map(String::as_str).collect())).collect();
            let expect: Vec<(&str, Vec<&str>)> =
                expect.iter().map(|(target, parts)| (*target, parts.to_vec())).collect();
            assert_eq!(chosen, expect, "{bench} {parts:?}");
        };
        check("spawn", &[], &[("spawn", &[])]);
        check("agents", &["flood", "wasm"], &[("agents", &["flood", "wasm"])]);
        check("memory", &["million"], &[("memory", &["million"])]);
        check("memory", &["paging", "store", "put"], &[("memory", &["store"]), ("remembering", &["put", "paging"])]);
        check("memory", &[], &[("memory", &["store"]), ("remembering", &["put", "embedding", "paging"])]);
        check("recall", &["needle-8k"], &[("recall", &["needle-8k"])]);
    }

    #[test]
    fn a_part_that_there_is_not_is_named() {
        let check = |bench: &'static str, part: &str, expect: &str| {
            let error = targets(bench, &[part.to_owned()]).expect_err("there is no such part").to_string();
            assert!(error.contains(expect), "{error}");
        };
        check("spawn", "fast", "has no parts");
        check("recall", "paging", "no part \"paging\", but these: index, nested");
    }

    #[test]
    fn every_part_is_of_a_bench() {
        assert!(PARTS.iter().all(|part| BENCHES.iter().any(|bench| bench.name == part.bench)));
    }

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
