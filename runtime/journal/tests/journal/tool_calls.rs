//! Calls of tools, beside the kernel's own journal in memory.

use crate::{
    sample::{pid, value},
    stage::Stage,
};
use remit_abi::{GrantId, Label, Pid, TenantId};
use remit_kernel::{
    MemoryJournal,
    ports::{Change, Decided, Effect, Journal, NodeImage, PostedToolCall, Record, ToolCallImage, ToolOutcome, Verdict},
};
use std::fs;

/// Nobody says that elsewhere.
const SECRET: &str = "wire the ransom to the keeper";

fn called(number: u64, caller: Pid) -> Change {
    Change::ToolCalled(Box::new(PostedToolCall {
        number,
        caller,
        package: "banker".into(),
        grant: GrantId { index: 3, generation: 1 },
        tool: "pay".into(),
        effect: Effect::Once,
        key: format!("1-{number}-00").into(),
        arguments: value(SECRET),
        returns: Label::UNTRUSTED,
        called_ns: 5,
    }))
}

fn begun(number: u64, decided: Option<Decided>) -> Change {
    Change::ToolBegun { number, decided }
}

fn returned(number: u64, outcome: ToolOutcome, decided: Option<Decided>) -> Change {
    Change::ToolReturned { number, outcome: Box::new(outcome), decided }
}

fn decided(verdict: Verdict) -> Decided {
    Decided { by: "ada (uid 7)".into(), at_ns: 9, verdict }
}

/// All that can happen to a call, and what cannot.
pub(crate) fn changes() -> Vec<Change> {
    let (first, second) = (pid(1, 1), pid(2, 2));
    vec![
        called(1, first),
        begun(1, None),
        called(2, first),
        called(3, second),
        begun(3, None),
        called(4, second),
        returned(1, ToolOutcome::Done(value(SECRET)), None),
        // Something came of it before.
        returned(1, ToolOutcome::TimedOut, Some(decided(Verdict::GiveUp))),
        Change::ToolDoubted { number: 3, question: 7 },
        begun(3, Some(decided(Verdict::DoItNow))),
        Change::ToolDoubted { number: 3, question: 8 },
        returned(3, ToolOutcome::Lost("ada says that it was done".into()), Some(decided(Verdict::WasDone))),
        Change::ToolCallGone { number: 4 },
        // Nobody called that.
        begun(99, Some(decided(Verdict::DoItNow))),
        returned(99, ToolOutcome::Withdrawn, None),
        called(5, second),
        begun(5, None),
        begun(5, None),
        Change::ToolDoubted { number: 5, question: 9 },
    ]
}

/// Calls, and the next number.
pub(crate) fn calls(node: NodeImage) -> (Vec<ToolCallImage>, u64) {
    (node.tool_calls, node.next.tool_call)
}

#[test]
fn calls_are_kept_as_the_kernel_says_it() {
    let (mut stage, model) = (Stage::new(), MemoryJournal::default());
    let kept = |journal: &dyn Journal| calls(journal.node().expect("it can be read"));
    for change in changes() {
        let record = [Record { pid: None, entry: None, changes: &[change] }];
        stage.journal().append(&record).expect("there is room");
        model.append(&record).expect("it takes everything");
        // Each in a commit of its own.
        stage.settle();
        assert_eq!(kept(stage.journal()), kept(&model));
    }
    // And all in one.
    let at_once = Stage::new();
    let all = changes();
    at_once.journal().append(&[Record { pid: None, entry: None, changes: &all }]).expect("there is room");
    stage.reopen();
    assert_eq!(kept(&model).0.len(), 4, "one is gone");
    assert_eq!(kept(stage.journal()), kept(&model));
    assert_eq!(kept(at_once.journal()), kept(&model));
}

#[test]
fn the_calls_of_a_tenant_that_is_erased_are_nobodys_and_nobody_reads_them() {
    let mut stage = Stage::new();
    stage.journal().append(&[Record { pid: None, entry: None, changes: &changes() }]).expect("there is room");
    stage.settle();
    stage.journal().forget_tenant(TenantId(1)).expect("it can be erased");
    let (left, next) = calls(stage.journal().node().expect("it can be read"));
    assert!(left.iter().all(|call| call.posted.caller.tenant == TenantId(2)));
    assert_eq!((left.len(), next), (2, 6));
    stage.close();
    for file in fs::read_dir(stage.folder()).expect("it is there").flatten().filter(|file| file.path().is_file()) {
        let bytes = fs::read(file.path()).expect("it can be read");
        let found = bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
        assert!(!found, "{} has it in plain", file.path().display());
    }
}
