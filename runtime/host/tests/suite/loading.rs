//! What is loaded, what is refused and in which words, and what becomes of a spoilt cache.

use crate::{
    door::ScriptedDoor,
    program::{EMIT, EMIT_IMPORT, agent, component, module},
    stage::{HOST, begin, block_on, config, host, pid},
};
use remit_host::{Host, LoadError, Standing, inspect};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Instant,
};

/// Loads on the shared host, and expects a refusal that says all of this.
fn check_refusal(bytes: &[u8], granted: &[&str], says: &[&str]) {
    let error = HOST.load(bytes, granted).expect_err("it is refused").to_string();
    for part in says {
        assert!(error.contains(part), "{part:?} is missing: {error}");
    }
    assert!(!error.contains('\n'), "one sentence: {error}");
}

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("the text is right")
}

const MODEL_IMPORT: &str = r#"(import "remit:kernel/llm@0.1.0" "[resource-drop]model" (func (param i32)))"#;

#[test]
fn what_is_no_component_is_refused_by_what_it_is() {
    check_refusal(b"", &[], &["the file is empty"]);
    check_refusal(b"#!/bin/sh", &[], &["magic bytes"]);
    check_refusal(b"  (component)", &[], &["WebAssembly text"]);
    check_refusal(b"\0asm\x0a\0\x09\0", &[], &["a version"]);
    check_refusal(&wat(&module("", "")), &[], &["core WebAssembly module", "remit build"]);
    let whole = agent("", "");
    check_refusal(&whole[..whole.len() / 2], &[], &["damaged", "too early"]);
}

#[test]
fn a_component_of_another_world_is_refused_with_what_it_exports() {
    check_refusal(&wat("(component)"), &[], &["another world", "exports nothing", "`run`"]);
    let command = r#"(component (instance $i) (export "wasi:cli/run@0.2.0" (instance $i)))"#;
    check_refusal(&wat(command), &[], &["another world", "wasi:cli/run@0.2.0"]);
    let other_run = r#"(component
        (core module $m (func (export "run")))
        (core instance $i (instantiate $m))
        (func (export "run") (canon lift (core func $i "run"))))"#;
    check_refusal(&wat(other_run), &[], &["does not fit", "run"]);
}

#[test]
fn every_unknown_import_is_named() {
    let alien = r#"(component
        (import "wasi:http/types@0.2.0" (instance))
        (import "remit:kernel/trace@0.1.0" (instance))
        (import "wasi:io/poll@0.3.0" (instance))
        (import "anything" (func))
        (core module $m (func (export "run")))
        (core instance $i (instantiate $m))
        (func (export "run") (canon lift (core func $i "run"))))"#;
    check_refusal(&wat(alien), &["model"], &["wasi:http/types@0.2.0", "wasi:io/poll@0.3.0", "anything"]);
    let error = HOST.load(&wat(alien), &[]).expect_err("it is refused");
    assert!(matches!(error, LoadError::UnknownImports(names) if names.len() == 3));
}

#[test]
fn a_model_is_linked_only_where_it_was_granted() {
    let bytes = agent(MODEL_IMPORT, "");
    check_refusal(&bytes, &[], &["remit:kernel/llm", "kind model", "[wants]", "--grant"]);
    check_refusal(&bytes, &["memory"], &["kind model"]);
    HOST.load(&bytes, &["model"]).expect("it was granted");
}

const PEOPLE_IMPORT: &str = r#"(import "remit:kernel/human@0.1.0" "[resource-drop]pending-answer" (func (param i32)))"#;

const TOOL_IMPORT: &str = r#"(import "remit:kernel/tool@0.1.0" "[resource-drop]pending-result" (func (param i32)))"#;

const CHILDREN_IMPORT: &str = r#"(import "remit:kernel/children@0.1.0" "[resource-drop]child" (func (param i32)))"#;

#[test]
fn each_granted_kind_links_its_own_interface_and_no_other() {
    let children = agent(CHILDREN_IMPORT, "");
    let both = agent(&format!("{MODEL_IMPORT}{CHILDREN_IMPORT}"), "");
    check_refusal(&children, &[], &["remit:kernel/children", "kind process", "[wants]"]);
    check_refusal(&children, &["model"], &["kind process"]);
    check_refusal(&both, &["model"], &["kind process"]);
    check_refusal(&both, &["process"], &["kind model"]);
    HOST.load(&children, &["process"]).expect("it was granted");
    HOST.load(&both, &["process", "model"]).expect("both were granted");
    let people = agent(PEOPLE_IMPORT, "");
    check_refusal(&people, &["process", "model"], &["remit:kernel/human", "kind person", "[wants]"]);
    let all = agent(&format!("{MODEL_IMPORT}{CHILDREN_IMPORT}{PEOPLE_IMPORT}"), "");
    check_refusal(&all, &["person", "model"], &["kind process"]);
    HOST.load(&people, &["person"]).expect("it was granted");
    HOST.load(&all, &["person", "process", "model"]).expect("all were granted");
    let tools = agent(TOOL_IMPORT, "");
    check_refusal(&tools, &["process", "model", "person"], &["remit:kernel/tool", "kind tool", "[wants]"]);
    HOST.load(&tools, &["tool"]).expect("it was granted");
}

#[test]
fn messages_signals_and_alarms_need_no_grant() {
    let imports = r#"
        (import "remit:kernel/process@0.1.0" "get-id" (func (param i32)))
        (import "remit:kernel/mailbox@0.1.0" "[resource-drop]answer" (func (param i32)))
        (import "remit:kernel/alarm@0.1.0" "[resource-drop]alarm" (func (param i32)))"#;
    HOST.load(&agent(imports, ""), &[]).expect("they are in the base set");
}

#[test]
fn an_inspection_lists_what_each_import_allows() {
    let bytes = agent(&format!("{MODEL_IMPORT}{EMIT_IMPORT}"), EMIT);
    let inspection = inspect(&bytes).expect("it is an agent");
    assert_eq!(inspection.size_bytes, bytes.len() as u64);
    assert_eq!(inspection.digest.len(), 64);
    let standing = |name: &str| {
        inspection
            .imports
            .iter()
            .find(|import| import.name == name)
            .unwrap_or_else(|| panic!("{inspection:?}"))
            .standing
    };
    assert!(matches!(standing("remit:kernel/llm@0.1.0"), Standing::Granted { kind: "model", .. }));
    assert!(matches!(standing("remit:kernel/task@0.1.0"), Standing::Base { .. }));
}

#[test]
fn a_component_that_is_not_valid_is_refused_by_the_compiler() {
    let invalid = r#"(component
        (core module $m (func (export "run") (drop (i32.add (i64.const 0) (i32.const 0)))))
        (core instance $i (instantiate $m))
        (func (export "run") (canon lift (core func $i "run"))))"#;
    check_refusal(&wat(invalid), &[], &["not valid", "type mismatch"]);
}

#[test]
fn a_component_over_the_size_limit_is_not_read() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut small = config(folder.path().join("code"));
    small.compile_limits.component_bytes_max = 100;
    let small = Host::new(small).expect("it starts");
    let path = folder.path().join("agent.wasm");
    fs::write(&path, agent("", "")).expect("there is room");
    assert!(matches!(small.load_file(&path, &[]), Err(LoadError::TooLarge { limit: 100, .. })));
    assert!(matches!(small.load_file(Path::new("/nowhere"), &[]), Err(LoadError::Read { .. })));
}

/// A component whose compilation takes long: one function of many calls.
fn slow_component() -> Vec<u8> {
    let block =
        "(local.set $i (i32.mul (local.get $i) (i32.add (local.get $i) (call $f (local.get $i)))))\n".repeat(150_000);
    let text = module("", &block);
    component(
        &text.replace(
            "(func (export \"run\")",
            "(func $f (param i32) (result i32) (local.get 0)) (func (export \"run\")",
        ),
    )
}

#[test]
fn compilation_ends_at_its_limits() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let slow = slow_component();
    let mut short = config(folder.path().join("short"));
    short.compile_limits.seconds_max = 0;
    let begun = Instant::now();
    let error = Host::new(short).expect("it starts").load(&slow, &[]).expect_err("its time is up");
    assert!(matches!(error, LoadError::CompileTime { seconds: 0 }), "{error}");
    assert!(begun.elapsed().as_secs() < 5);
    let mut narrow = config(folder.path().join("narrow"));
    narrow.compile_limits.memory_bytes_max = 64 << 20;
    let error = Host::new(narrow).expect("it starts").load(&slow, &[]).expect_err("it needs more memory");
    assert!(matches!(error, LoadError::CompilerCrashed { .. }), "{error}");
    for cache in ["short", "narrow"] {
        let left = fs::read_dir(folder.path().join(cache)).expect("it is there").count();
        assert_eq!(left, 0, "nothing half-written is left");
    }
}

#[test]
fn a_compiler_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut config = config(folder.path().join("code"));
    config.compiler.program = "/nowhere/remit".into();
    let error = Host::new(config).expect("it starts").load(&agent("", ""), &[]).expect_err("it cannot compile");
    assert!(error.to_string().contains("/nowhere/remit"), "{error}");
}

#[test]
fn a_spoilt_cache_entry_is_made_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bytes = agent(EMIT_IMPORT, EMIT);
    let host = host(folder.path().join("code"));
    host.load(&bytes, &[]).expect("it compiles");
    let entry = only_entry(&folder.path().join("code"));
    let good = fs::read(&entry).expect("it is there");
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 0x40;
    fs::write(&entry, &bad).expect("it is ours");
    let image = host.load(&bytes, &[]).expect("it compiles again");
    assert_eq!(fs::read(&entry).expect("it is there"), good, "the same code was made again");
    let door = Arc::new(ScriptedDoor::new(10));
    let exit = block_on(begin(&host, door, pid(), image));
    assert!(exit.end.is_ok(), "{exit:?}");
}

fn only_entry(folder: &Path) -> PathBuf {
    let entries: Vec<_> =
        fs::read_dir(folder).expect("it is there").map(|entry| entry.expect("it reads").path()).collect();
    assert_eq!(entries.len(), 1, "{entries:?}");
    entries.into_iter().next().expect("there is one")
}

#[test]
fn two_that_compile_the_same_component_at_once_both_succeed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bytes = agent(EMIT_IMPORT, EMIT);
    let hosts = [host(folder.path().join("code")), host(folder.path().join("code"))];
    thread::scope(|scope| {
        for host in &hosts {
            scope.spawn(|| host.load(&bytes, &[]).expect("it compiles"));
        }
    });
    only_entry(&folder.path().join("code"));
}
