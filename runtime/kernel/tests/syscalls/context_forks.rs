//! Forks of contexts: both sides go on by themselves from what was said, which is there once, and wherever a host ends each goes on as it was.

use crate::{
    context::{plain, prompts, serve, talker},
    fakes::{Guest, TENANT, TestNode, done},
    recovery::{emit, life, places},
    stage::Stage,
};
use remit_abi::{
    BlockMaking, Content, ContextError, ContextId, ContextReply, ContextRequest, Exit, Label, Place, ValueRequest,
};
use remit_kernel::{
    Ended, MemoryJournal,
    ports::{EntryVersion, MemoryAct},
};
use std::collections::BTreeMap;

/// The pages that were put, by their texts: how often.
fn pages(memory: &crate::fakes::PlainMemory) -> BTreeMap<String, usize> {
    let mut pages = BTreeMap::new();
    for write in memory.writes(TENANT) {
        if let MemoryAct::Put(version) = write.act {
            let EntryVersion { content, .. } = *version;
            *pages.entry(String::from_utf8_lossy(&content.bytes).into_owned()).or_default() += 1;
        }
    }
    pages
}

#[tokio::test]
async fn what_was_out_before_a_fork_is_in_the_store_once_and_found_by_both() {
    let stage = Stage::new();
    serve(&stage.node.engine, &[]);
    let alice = stage.start(talker()).await;
    let context = alice.open_with_pages(plain()).await;
    alice.asks(context, "the key lies under the mat").await;
    alice.chatters(context, 40).await;
    let before = pages(&stage.node.memory);
    assert!(before.contains_key("the key lies under the mat"), "{before:?}");
    let fork = alice.fork_context(context).await;
    let of_fork = alice.fork_context(fork).await;
    for (side, one) in [context, fork, of_fork].into_iter().enumerate() {
        for turn in 0..30 {
            alice.asks(one, &format!("side {side} turn {turn} {}", "z".repeat(40))).await;
        }
        let answering = alice.asks(one, "where lies the key").await;
        assert!(answering.report.recalled.contains(&0), "{answering:?}");
    }
    let after = pages(&stage.node.memory);
    let times = |start: &str, most: usize| {
        let found: Vec<_> = after.iter().filter(|(text, _)| text.starts_with(start)).collect();
        assert!(!found.is_empty() && found.iter().all(|(_, times)| **times <= most), "{start}: {found:?}");
        found.len()
    };
    // What was out is there once. What was in the window goes out of each side by itself, under its own name.
    assert!(
        before.iter().filter(|(text, _)| text.starts_with("filler")).all(|(text, _)| after[text] == 1),
        "{after:?}"
    );
    assert_eq!((after["the key lies under the mat"], times("filler", 3)), (1, 40));
    for side in 0..3 {
        assert!(times(&format!("side {side}"), 1) > 0);
    }
}

#[tokio::test]
async fn what_one_side_does_to_its_window_the_other_does_not_see() {
    let stage = Stage::new();
    serve(&stage.node.engine, &[]);
    let alice = stage.start(talker()).await;
    let context = alice.open_context(plain()).await.expect("it may");
    let first = alice.says(context, "first and old").await;
    alice.chatters(context, 5).await;
    let fork = alice.fork_context(context).await;
    alice.context(ContextRequest::Pin { context: fork, segment: first }).await.expect("it is there");
    let block = BlockMaking { name: "side".into(), text: Content::Text("the fork".into()), tokens_max: 60 };
    alice.context(ContextRequest::MakeBlock { context: fork, block: Box::new(block) }).await.expect("there is room");
    for one in [context, fork] {
        alice.chatters(one, 40).await;
    }
    let place = async |of: ContextId| alice.segments(of).await[0].place;
    assert_eq!((place(context).await, place(fork).await), (Place::Stub, Place::Resident));
    let last = |count: usize| prompts(&stage.node.engine).into_iter().rev().nth(count).expect("it was asked");
    assert!(last(0).starts_with("[side]\nthe fork") && !last(40).contains("the fork"), "{} {}", last(0), last(40));
    // One goes, and the other stays with all that was said.
    assert_eq!(alice.context(ContextRequest::Drop { context }).await, Ok(ContextReply::Done));
    assert_eq!(alice.answers(context).await, Err(ContextError::Dead));
    assert_eq!(alice.segments(fork).await.len(), 1 + 2 * 45);
    let read = alice.value_of(ContextRequest::Read { context: fork, segment: first }).await;
    assert_eq!((&*alice.read(read).await, alice.label_of(read).await), (b"first and old".as_slice(), Label::TRUSTED));
    alice.asks(fork, "and now?").await;
    stage.end(alice, done()).await;
    stage.assert_empty();
}

/// Talks, forks, talks on all sides in turns, and shows what each came to.
async fn forks(guest: Guest) -> Exit {
    let context = guest.open_with_pages(plain()).await;
    guest.asks(context, "the key lies under the mat").await;
    guest.chatters(context, 18).await;
    let fork = guest.fork_context(context).await;
    let mut sides = vec![context, fork];
    for round in 0..3 {
        for (number, one) in sides.clone().into_iter().enumerate() {
            let answering = guest.asks(one, &format!("side {number} in round {round} {}", "y".repeat(60))).await;
            emit(&guest, &format!("{:?}", answering.report)).await;
        }
        if round == 0 {
            sides.push(guest.fork_context(fork).await);
        }
    }
    guest.context(ContextRequest::Drop { context }).await.expect("it is there");
    for one in &sides[1..] {
        let answering = guest.asks(*one, "where lies the key").await;
        emit(&guest, &format!("{:?}", answering.report)).await;
        let kept = guest.value_of(ContextRequest::Snapshot { context: *one }).await;
        emit(&guest, &format!("{:?}", guest.read(kept).await)).await;
        guest.call(remit_abi::Request::Value(ValueRequest::Drop { value: kept })).await;
    }
    done()
}

fn node_of(memory: Option<MemoryJournal>) -> TestNode {
    let node = memory.map_or_else(TestNode::new, TestNode::after);
    serve(&node.engine, &[]);
    node.install("talker", forks);
    node
}

#[tokio::test]
async fn wherever_the_host_ends_all_sides_go_on_and_nothing_is_asked_or_put_twice() {
    let node = node_of(None);
    node.clock.advance(1_000);
    let (expect, _) = node.run(talker(), forks).await;
    assert!(matches!(expect.ended, Ended::Done(..)), "{expect:?}");
    let (asked, put) = (node.engine.jobs.lock().len(), pages(&node.memory));
    let living = node.memory.living(TENANT);
    let memory = node.journal.memory.up_to(node.journal.memory.end());
    let (born, dead) = life(&memory);
    let mut less = 0;
    for at in places(&memory).filter(|at| (born..dead).contains(at)) {
        let again = node_of(Some(memory.up_to(at)));
        again.clock.advance(1_000);
        let resumed = again.kernel.recover().expect("it can be read").go_on().await.pop().expect("it lives");
        let finished = resumed.finished.await;
        assert_eq!(finished, expect, "at {at}");
        assert_eq!(pages(&again.memory), put, "at {at}");
        assert_eq!(again.memory.living(TENANT), living, "at {at}");
        less += usize::from(again.engine.jobs.lock().len() < asked);
        assert!(again.engine.jobs.lock().len() <= asked && again.kernel.is_conserved(), "at {at}");
    }
    assert!(less > 20, "what was answered before is not asked again");
}
