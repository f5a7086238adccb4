//! Syscalls cost fuel: a guest of nothing but syscalls pays for the processor that it takes, and ends when it cannot.

use crate::{
    fakes::{Given, Guest, done, tokens},
    guest::message,
    stage::{Stage, parent, stranger},
};
use remit_abi::{
    BudgetRequest, Exit, Fault, MailboxError, MailboxRequest, Reply, Request, Tokens,
    limits::{FUEL_SLICE, MESSAGES_QUEUED_MAX, SYSCALL_FUEL},
};
use remit_kernel::Ended;
use std::sync::atomic::Ordering;

/// Makes a request over and over, until the account cannot pay for it; how often it could, and the fault.
fn exhaust(guest: &Guest, request: &Request, expected: impl Fn(&Reply) -> bool) -> (u64, Fault) {
    for count in 0.. {
        match guest.door.try_dispatch(guest.pid, request).expect("it never waits") {
            Reply::Fault(fault) => return (count, fault),
            reply => assert!(expected(&reply), "{reply:?}"),
        }
    }
    unreachable!("no account is that full")
}

async fn assert_exhausted(stage: &Stage, alice: crate::stage::Played, count: u64, fault: Fault) {
    // A slice is bought with the last syscall that it pays for.
    let a_slice = FUEL_SLICE.0 / SYSCALL_FUEL;
    assert!((1_000_000..1_000_000 + a_slice).contains(&count), "{count}");
    assert!(matches!(fault, Fault::BudgetExhausted(_)), "{fault}");
    let finished = stage.end(alice, Exit { end: Err(fault.clone()), fuel: None }).await;
    assert_eq!(finished.ended, Ended::Faulted(fault));
    assert_eq!(finished.refunded, Tokens::ZERO);
}

#[tokio::test]
async fn a_million_looks_at_the_account_cost_twenty_tokens() {
    let stage = Stage::new();
    stage.node.journal.forgets.store(true, Ordering::SeqCst);
    let alice = stage.start(Given { budget: tokens(20), ..stranger() }).await;
    let request = Request::Budget(BudgetRequest::Remaining { account: alice.own_account().await });
    let (count, fault) = exhaust(&alice, &request, |reply| matches!(reply, Reply::Budget(Ok(_))));
    assert_exhausted(&stage, alice, count, fault).await;
}

#[tokio::test]
async fn a_million_messages_to_a_full_mailbox_cost_twenty_tokens() {
    let stage = Stage::new();
    stage.node.journal.forgets.store(true, Ordering::SeqCst);
    // 64 messages are sent, at 0.01 tokens each.
    let budget = tokens(20).saturating_add(Tokens::from_micro(640_000));
    let (alice, bob) = (stage.start(Given { budget, ..stranger() }).await, stage.start(stranger()).await);
    let to = stage.connect(&alice, &bob);
    for _ in 0..MESSAGES_QUEUED_MAX {
        alice.send(to, message("x", "")).await.expect("there is room");
    }
    let request = Request::Mailbox(MailboxRequest::TrySend { to, message: message("x", "") });
    let full = |reply: &Reply| matches!(reply, Reply::Mailbox(Err(MailboxError::Full)));
    let (count, fault) = exhaust(&alice, &request, full);
    assert_exhausted(&stage, alice, count + MESSAGES_QUEUED_MAX as u64, fault).await;
}

#[tokio::test]
async fn what_was_put_aside_in_parts_pays_for_the_syscalls_too() {
    let stage = Stage::new();
    let alice = stage.start(parent()).await;
    alice.split(tokens(1000)).await;
    let finished = stage.end(alice, done()).await;
    assert_eq!(finished.paid, Tokens::from_micro(2 * SYSCALL_FUEL / 10));
}
