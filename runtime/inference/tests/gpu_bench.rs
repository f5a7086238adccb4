//! The program `remit-gpu-bench` on the smallest model, and what it says to wrong options. It needs an adapter, real or
//! in software, as `tests/wgpu.rs` does.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use serde_json::{Map, Value};
use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_remit-gpu-bench")).args(arguments).output().unwrap()
}

#[test]
fn the_smallest_model_is_measured() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("gpu.json");
    let forms = ["bf16", "4bit"];
    let output = run(&["--shape", "tiny", "--packing", "bf16,4bit", "--seconds", "20", "--out", out.to_str().unwrap()]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let figures: Map<String, Value> = serde_json::from_str(&std::fs::read_to_string(out).unwrap()).unwrap();
    assert!(figures.values().all(|figure| figure.as_f64().is_some_and(|figure| figure > 0.0)), "{figures:?}");
    // A software adapter's figures are never called a GPU's.
    let is_software = said.contains("software adapter");
    for (name, _) in &figures {
        assert_eq!(name.starts_with("software_"), is_software, "{name}");
    }
    let owner = if is_software { "software" } else { "gpu" };
    assert!(figures.contains_key(&format!("{owner}_bandwidth_fraction_tiny")), "{figures:?}");
    assert!(figures.contains_key(&format!("{owner}_decode_tokens_per_s_8_streams_tiny_4bit")), "{figures:?}");
    assert!(forms.iter().all(|form| said.contains(&format!("tiny  {form}"))), "{said}");
}

#[test]
fn wrong_options_are_said_to_be() {
    let check = |arguments: &[&str], expect: &str| {
        let output = run(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.lines().next(), Some(format!("remit-gpu-bench: {expect}").as_str()));
        assert!(!output.status.success());
    };
    check(&["--shape", "70b"], "there is no 70b; choose of tiny, 135m, 1b, 8b");
    check(&["--packing", "bf16,3bit"], "there is no 3bit; choose of f32, f16, bf16, 8bit, 4bit");
    check(&["--seconds", "soon"], "soon is no whole number of seconds");
    check(&["--out"], "--out wants a value");
    check(&["--fast"], "there is no option --fast");
    check(
        &["--device", "cpu"],
        "the CPU is no GPU; choose another device, or run `cargo xtask bench decode` for the CPU",
    );
    let help = run(&["--help"]);
    assert!(help.status.success() && String::from_utf8(help.stdout).unwrap().starts_with("usage: remit-gpu-bench"));
}
