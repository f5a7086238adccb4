//! A process that was told what an entry of a memory held, and a host that starts anew after that was purged.

use crate::fakes::{Given, Guest, TestNode, generate, model_grant, prompt, tokens};
use remit_abi::{EntryId, Exit, Fault, GrantLimits, LlmReply, LlmRequest, Pid, Reply, Request, TenantId, ValueRequest};
use remit_kernel::{
    Ended, MemoryJournal, ProcessView, State,
    ports::{Change, Entry, Journal, MemoryAct, MemoryWrite, Note, Record},
};
use std::future::Future;

const ENTRY: EntryId = EntryId(3);

/// Is told something, and waits for ever.
async fn hears(guest: Guest) -> Exit {
    let model = guest.open_model().await;
    match guest.call(Request::Llm(LlmRequest::Chat(generate(model, prompt("say"), 3)))).await {
        Reply::Llm(Ok(LlmReply::Completed(completion))) => drop(guest.read(completion.content).await),
        Reply::Fault(fault) => return Exit { end: Err(fault), fuel: None },
        other => panic!("the engine answers: {other:?}"),
    }
    std::future::pending().await
}

/// The same, and lets go of all and commits before it waits.
async fn hears_and_commits(guest: Guest) -> Exit {
    if guest.start.resumed.is_none() {
        let model = guest.open_model().await;
        let Ok(LlmReply::Completed(heard)) = guest.llm(LlmRequest::Chat(generate(model, prompt("say"), 3))).await
        else {
            panic!("the engine answers")
        };
        guest.call(Request::Value(ValueRequest::Drop { value: heard.content })).await;
        guest.call(Request::Llm(LlmRequest::DropModel { model })).await;
        guest.commit(b"heard").await;
    }
    std::future::pending().await
}

/// The same log, in which what the process was told is what an entry of its tenant's memory held.
fn remembered(log: &MemoryJournal, pid: Pid) -> MemoryJournal {
    let memory = MemoryJournal::default();
    for kept in log.records() {
        let mut entry = kept.entry;
        if let Some(Entry::Told(told)) = &mut entry {
            for note in &mut told.notes {
                if let Note::Value(id, image) = note.clone() {
                    *note = Note::Remembered(id, ENTRY, Some(image));
                }
            }
        }
        let is_told = entry.as_ref().is_some_and(|entry| entry.remembered().next().is_some());
        assert!(!is_told || kept.pid == Some(pid));
        memory.append(&[Record { pid: kept.pid, entry, changes: &kept.changes }]).expect("it takes everything");
    }
    memory
}

fn purge(memory: &MemoryJournal, tenant: TenantId) {
    let act = MemoryAct::Forget { entries: vec![ENTRY], purge: true };
    let changes = [Change::Remembered { tenant, write: Box::new(MemoryWrite { number: 9, act }) }];
    memory.append(&[Record { pid: None, entry: None, changes: &changes }]).expect("it takes everything");
}

/// How a process is after a new start, where what it was told is purged, and where it is not.
async fn after<R>(script: fn(Guest) -> R, is_purged: bool) -> ProcessView
where
    R: Future<Output = Exit> + Send + 'static,
{
    let node = TestNode::new();
    let given = Given {
        package: "hears",
        grants: vec![model_grant(GrantLimits::default())],
        budget: tokens(100),
        ..Given::default()
    };
    let running = node.spawn(given, script);
    let pid = running.pid;
    let finished = tokio::spawn(running.finished);
    node.settle().await;
    let memory = remembered(&node.journal.memory, pid);
    if is_purged {
        purge(&memory, pid.tenant);
    }
    let again = TestNode::after(memory);
    again.install("hears", script);
    let resumed = again.kernel.recover().expect("it can be read").go_on().await.pop().expect("it lives");
    let resumed = tokio::spawn(resumed.finished);
    again.settle().await;
    let view = again.kernel.process(pid).expect("it lives");
    again.kernel.kill(pid);
    assert_eq!(resumed.await.expect("it ends").ended, Ended::Faulted(Fault::Killed));
    assert!(again.kernel.is_conserved());
    drop(finished);
    view
}

#[tokio::test]
async fn one_that_was_told_what_is_purged_is_parked_and_says_what_can_be_done() {
    let view = after(hears, true).await;
    assert_eq!(view.state, State::Parked);
    let why = view.parked.expect("it is parked");
    assert!(why.contains("it was told what has been purged since: it can only be started anew"), "{why}");
}

#[tokio::test]
async fn one_that_committed_after_it_begins_anew_from_there() {
    let view = after(hears_and_commits, true).await;
    assert_eq!(view.parked, None);
}

#[tokio::test]
async fn as_long_as_it_is_kept_it_is_told_again() {
    let view = after(hears, false).await;
    assert_eq!(view.parked, None);
}
