//! Guests that mean harm. Each ends in its own fault or is told no, and the host goes on as if nothing had been.

use crate::stage::{Job, Shown, Stage, program_asking, task, tokens};
use remit_abi::{Event, Fault, LogLevel, Party, limits};
use remit_assembly::{Ended, Running};

/// The right to the model, as a program takes it by `chat`.
const CHAT: &str = "[[wants.models]]\nlabel = \"chat\"\n";

/// More than any of them needs to show what it does.
const BUDGET: u64 = 50;

/// Runs one, and then one that means well on the same host.
async fn run(name: &str, manifest: &str, text: &str) -> Shown {
    let stage = Stage::new("answers.json");
    let job = Job { budget: Some(tokens(BUDGET)), ..task(program_asking(name, manifest), text) };
    let shown = stage.run(job).await;
    unharmed(&stage, &shown).await;
    shown
}

/// Nothing of it is left, every token is somewhere, and the next guest finds the host as it was.
async fn unharmed(stage: &Stage, shown: &Shown) {
    let spent = shown.finished.paid.saturating_add(shown.finished.refunded);
    assert_eq!(spent, tokens(BUDGET), "{:?}", shown.finished.ended);
    assert!(stage.alive().is_empty(), "{:?}", stage.alive());
    let next = stage.run(task(program_asking("echo", ""), "still here")).await;
    assert!(next.is_complete() && next.text() == "still here", "{:?}", next.finished.ended);
}

fn is_exhausted(shown: &Shown) -> bool {
    matches!(shown.finished.ended, Ended::Faulted(Fault::BudgetExhausted(_)))
}

/// That it crashed by itself.
fn assert_trap(shown: &Shown) {
    assert!(matches!(shown.finished.ended, Ended::Faulted(Fault::Trap(_))), "{:?}", shown.finished.ended);
}

/// That it broke the protocol, and in which words that is said.
fn assert_protocol(shown: &Shown, words: &str) {
    match &shown.finished.ended {
        Ended::Faulted(Fault::Protocol(why)) => assert!(why.contains(words), "{why}"),
        other => panic!("{other:?}"),
    }
}

/// That it went over a limit, and which one is named.
fn assert_limit(shown: &Shown, words: &str) {
    match &shown.finished.ended {
        Ended::Faulted(fault @ Fault::Limit(why)) => {
            assert!(why.contains(words), "{why}");
            assert_eq!(fault.party(), Party::Guest);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_endless_loop_of_any_kind_ends_with_its_account() {
    for name in ["spin", "bulk_memory", "start_loops"] {
        let shown = run(name, "", "x").await;
        assert!(is_exhausted(&shown), "{name}: {:?}", shown.finished.ended);
    }
}

#[tokio::test]
async fn a_start_that_never_ends_can_be_killed() {
    let stage = Stage::new("answers.json");
    let running = stage.start(Job { budget: Some(tokens(BUDGET)), ..task(program_asking("start_loops", ""), "") });
    let running = running.expect("it starts");
    stage.node.kill(running.pid);
    let shown = stage.follow(running).await;
    assert_eq!(shown.fault(), Fault::Killed.to_string());
    unharmed(&stage, &shown).await;
}

#[tokio::test]
async fn a_flood_of_logs_waits_for_nobody_and_is_counted() {
    let stage = Stage::new("answers.json");
    let job = Job { budget: Some(tokens(BUDGET)), ..task(program_asking("log_flood", ""), "") };
    let Running { mut events, finished, .. } = stage.start(job).expect("it starts");
    let finished = finished.await;
    let mut shown = Shown { finished, events: Vec::new() };
    while let Some(event) = events.recv().await {
        shown.events.push(event);
    }
    assert!(is_exhausted(&shown), "{:?}", shown.finished.ended);
    assert!(shown.logs().iter().all(|line| line.len() == limits::LOG_LINE_BYTES_MAX));
    let most = limits::EVENTS_QUEUED_BYTES_MAX.div_ceil(limits::LOG_LINE_BYTES_MAX);
    assert_eq!(shown.events.len(), most, "nobody listened, so one queue is all there is");
    assert!(shown.finished.logs_dropped > 0);
    unharmed(&stage, &shown).await;
}

#[tokio::test]
async fn a_million_calls_are_paid_for() {
    let stage = Stage::new("answers.json");
    let budget = tokens(1000);
    let shown = stage.run(Job { budget: Some(budget), ..task(program_asking("host_calls", ""), "1000000") }).await;
    assert_eq!(shown.text(), "1000000 calls", "{:?}", shown.finished.ended);
    let fuel = shown.finished.ledger.fuel;
    assert!(fuel.0 >= 1_000_000 * limits::SYSCALL_FUEL, "{fuel:?}");
    assert_eq!(shown.finished.paid.saturating_add(shown.finished.refunded), budget);
}

#[tokio::test]
async fn a_table_grows_to_its_limit() {
    assert_limit(&run("table_growth", "", "").await, "table_elements_max");
}

#[tokio::test]
async fn an_allocator_that_lies_or_crashes_harms_itself() {
    assert_trap(&run("realloc_traps", "", "x").await);
    assert_protocol(&run("realloc_lies", "", "x").await, "");
    let shown = run("realloc_calls_out", "", "x").await;
    assert_trap(&shown);
    assert!(shown.events.is_empty(), "{:?}", shown.events);
}

#[tokio::test]
async fn a_result_whose_clean_up_crashes_does_not_count() {
    assert_trap(&run("post_return_traps", "", "").await);
}

#[tokio::test]
async fn nobody_enters_an_instance_twice() {
    assert_trap(&run("reenters", "", "").await);
}

#[tokio::test]
async fn a_panic_while_it_panics_is_one_trap_with_the_first_message() {
    let shown = run("panics_in_drop", "", "").await;
    assert_trap(&shown);
    let errors = shown.events.iter().filter(|event| matches!(event, Event::Log { level: LogLevel::Error, .. }));
    assert_eq!(errors.count(), 1, "{:?}", shown.events);
    assert!(shown.logs()[0].contains("a destructor fails") && !shown.logs()[0].contains("while"), "{:?}", shown.logs());
}

#[tokio::test]
async fn what_standard_libraries_import_opens_nothing() {
    let shown = run("unarmed", "", "").await;
    assert_eq!(shown.logs(), ["the socket is denied"], "a printed line is a line of the log");
    assert_protocol(&shown, "`exit`");
}

#[tokio::test]
async fn a_handle_is_dropped_once() {
    assert_protocol(&run("double_drop", CHAT, "chat").await, "handle");
}

#[tokio::test]
async fn a_handle_that_was_not_given_opens_nothing() {
    for guess in ["0", "1", "2", "3", "1000", "4294967295"] {
        assert_protocol(&run("forged_handles", CHAT, guess).await, "handle");
    }
}

#[tokio::test]
async fn handles_are_bounded() {
    assert_limit(&run("handle_leak", CHAT, "chat").await, "handles");
}

#[tokio::test]
async fn what_is_no_text_is_not_taken_for_one() {
    for way in ["bytes", "cut", "outside", "huge"] {
        let shown = run("malformed_text", "", way).await;
        assert_protocol(&shown, "");
        assert!(shown.events.is_empty(), "{way}: {:?}", shown.events);
    }
}

#[tokio::test]
async fn odd_waits_are_answered_or_end_the_guest() {
    assert_protocol(&run("poll_tricks", "", "empty").await, "nothing to wait for");
    assert_protocol(&run("poll_tricks", "", "dropped").await, "handle");
    assert_limit(&run("poll_tricks", "", "many 2000").await, "1024");
    assert_eq!(run("poll_tricks", "", "many 1024").await.text(), "ready");
    assert_eq!(run("poll_tricks", "", "twice").await.text(), "ready: 2");
}

#[tokio::test]
async fn what_is_too_large_is_refused_with_the_limit_in_the_sentence() {
    let refused = [
        ("emit 2048", limits::EVENT_BYTES_MAX),
        ("value 1025", limits::VALUE_CHUNK_BYTES_MAX),
        ("commit 17000", limits::CHECKPOINT_BYTES_MAX),
        ("label 300", limits::NAME_BYTES_MAX as u64),
        ("topic 1", limits::NAME_BYTES_MAX as u64),
        ("message 1100", limits::MESSAGE_BYTES_MAX),
        ("scope 100", limits::SCOPE_ENTRIES_MAX as u64),
    ];
    for (input, limit) in refused {
        let shown = run("giant_data", CHAT, input).await;
        assert!(shown.is_complete(), "{input}: {:?}", shown.finished.ended);
        assert!(shown.text().contains(&limit.to_string()), "{input}: {}", shown.text());
    }
}

#[tokio::test]
async fn a_giant_log_line_is_cut() {
    let shown = run("giant_data", CHAT, "log 4096").await;
    assert_eq!(shown.text(), "\nok");
    assert_eq!(shown.logs()[0].len(), limits::LOG_LINE_BYTES_MAX);
}

#[tokio::test]
async fn one_call_brings_in_so_much_and_no_more() {
    for input in ["emit 21000", "scope 3000"] {
        assert_limit(&run("giant_data", CHAT, input).await, &limits::HOSTCALL_BYTES_MAX.to_string());
    }
}

#[tokio::test]
async fn amounts_that_no_account_has_are_not_moved() {
    let shown = run("odd_amounts", "", "").await;
    assert!(shown.is_complete(), "{:?}", shown.finished.ended);
    assert_eq!(shown.said("to itself"), "ok");
    assert_eq!(shown.said("unchanged"), "true");
    let refused = ["split none", "split the most", "split one too many", "move none", "move the most"];
    for what in refused.into_iter().chain(["move one too many", "the most to itself", "merge its own"]) {
        assert_ne!(shown.said(what), "ok", "{what}");
    }
}

#[tokio::test]
async fn a_budget_split_to_dust_comes_back_whole() {
    for way in ["wide", "deep"] {
        let shown = run("budget_dust", "", way).await;
        assert!(shown.is_complete(), "{way}: {:?}", shown.finished.ended);
        assert_eq!(shown.said("back"), "true");
        assert!(shown.text().contains("parts, then an account may have"), "{}", shown.text());
    }
}

#[tokio::test]
async fn no_limit_of_a_grant_can_be_widened() {
    let shown = run("widens", CHAT, "").await;
    assert!(shown.is_complete(), "{:?}", shown.finished.ended);
    for limit in ["uses", "rate", "window", "expires", "tokens", "ceiling", "access", "scope"] {
        assert!(shown.said(limit).contains("would widen"), "{limit}: {}", shown.said(limit));
    }
    assert_eq!((shown.said("nothing"), shown.said("narrower")), ("ok".to_owned(), "ok".to_owned()));
}

#[tokio::test]
async fn a_revoked_grant_is_revoked_with_all_that_derive_from_it() {
    let shown = run("revoked", CHAT, "chat").await;
    assert!(shown.is_complete(), "{:?}", shown.finished.ended);
    for (what, expected) in [("before", "ok"), ("revoked", "2"), ("again", "0"), ("root", "ok")] {
        assert_eq!(shown.said(what), expected, "{what}");
    }
    for what in ["first", "second", "derive"] {
        assert!(shown.said(what).contains("was revoked"), "{what}: {}", shown.said(what));
    }
}

#[tokio::test]
async fn to_ask_what_a_grant_opens_uses_none_of_it() {
    let shown = run("checker", &format!("{CHAT}uses = 1\n"), "chat 1000").await;
    assert_eq!(shown.text(), "1000 checks", "{:?}", shown.finished.ended);
}

#[tokio::test]
async fn a_flooded_mailbox_is_full_and_its_owner_does_not_wait_for_itself() {
    for (way, words) in [("own try", "mailbox is full"), ("own send", "neither would ever go on")] {
        let shown = run("mailbox_flood", "", way).await;
        assert!(shown.is_complete(), "{way}: {:?}", shown.finished.ended);
        let text = shown.text();
        let begin = format!("{} messages, then ", limits::MESSAGES_QUEUED_MAX);
        assert!(text.starts_with(&begin) && text.contains(words), "{text}");
    }
}
