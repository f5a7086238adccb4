//! Guests that do one thing each, well or badly.

use crate::stage::{Job, Shown, Stage, program, program_with_model, task, tokens};
use remit_abi::{Event, Fault, Integrity, LogLevel, Party, Status, Tokens, limits};
use remit_assembly::{Ended, StartError, TaskMessage};
use std::collections::BTreeSet;

fn stage() -> Stage {
    Stage::new("answers.json")
}

async fn run(name: &str, text: &str) -> Shown {
    stage().run(task(program(name), text)).await
}

fn complete(shown: &Shown) -> bool {
    shown.is_complete()
}

#[tokio::test]
async fn a_start_costs_a_slice_at_most_and_gives_back_the_rest() {
    let shown = run("nothing", "").await;
    assert!(complete(&shown));
    let ledger = shown.finished.ledger;
    assert!(ledger.fuel > remit_abi::Fuel(0) && ledger.fuel < limits::FUEL_SLICE, "{ledger:?}");
}

#[tokio::test]
async fn fuel_is_the_same_on_every_run() {
    let stage = stage();
    let mut fuel = BTreeSet::new();
    for _ in 0..5 {
        fuel.insert(stage.run(task(program("echo"), "the same")).await.finished.ledger.fuel);
    }
    assert_eq!(fuel.len(), 1, "{fuel:?}");
}

#[tokio::test]
async fn work_and_calls_cost_fuel_in_proportion() {
    let stage = stage();
    for name in ["calls", "crunch", "grant_checks"] {
        let mut fuel = Vec::new();
        for rounds in 1..=3_u32 {
            let state = [&[1], rounds.to_le_bytes().as_slice()].concat();
            let shown = stage.run(Job { resumed: Some(state.into()), ..task(program_with_model(name), "") }).await;
            assert!(complete(&shown), "{:?}", shown.finished.ended);
            fuel.push(shown.finished.ledger.fuel.0);
        }
        assert!(fuel[0] < fuel[1] && fuel[1] - fuel[0] == fuel[2] - fuel[1], "{name}: {fuel:?}");
    }
}

#[tokio::test]
async fn a_value_is_passed_on_unread_with_its_label() {
    let messages =
        vec![TaskMessage { text: "a stranger's words".to_owned(), trusted: false, ..TaskMessage::default() }];
    let shown = stage().run(Job { messages, tags: vec!["secret".to_owned()], ..task(program("echo"), "") }).await;
    let Ended::Done(Status::Complete, Some(output)) = &shown.finished.ended else {
        panic!("{:?}", shown.finished.ended)
    };
    assert_eq!(output.bytes, "a stranger's words");
    assert_eq!(output.label.integrity, Integrity::Untrusted);
    let [Event::Text { label, .. }] = shown.events.as_slice() else { panic!("{:?}", shown.events) };
    assert_eq!(*label, output.label);
    assert_eq!(label.tags.indices().count(), 1);
}

#[tokio::test]
async fn reading_taints_and_carrying_does_not() {
    let messages =
        vec![TaskMessage { text: "a stranger's words".to_owned(), trusted: false, ..TaskMessage::default() }];
    let shown = stage().run(Job { messages, ..task(program("reads_taint"), "") }).await;
    assert_eq!(shown.text(), "trusted -> untrusted");
}

#[tokio::test]
async fn a_spinning_guest_stops_when_its_account_is_empty() {
    let stage = stage();
    let shown = stage.run(Job { budget: Some(tokens(5)), ..task(program("spin"), "") }).await;
    let Ended::Faulted(Fault::BudgetExhausted(shortfall)) = shown.finished.ended else {
        panic!("{:?}", shown.finished.ended)
    };
    let slice = remit_assembly::PriceList::built_in().fuel(limits::FUEL_SLICE);
    assert_eq!(shortfall.needed, slice);
    assert_eq!(shown.finished.refunded, Tokens::ZERO, "5 tokens are 50 slices to the last");
    assert_eq!(shown.finished.ledger.fuel.0, 50 * limits::FUEL_SLICE.0);
}

#[tokio::test]
async fn a_spinning_guest_does_not_hold_up_its_neighbours() {
    let stage = stage();
    let budget = Some(tokens(1_000_000));
    let spinners: Vec<_> =
        (0..3).map(|_| stage.start(Job { budget, ..task(program("spin"), "") }).expect("it starts")).collect();
    let pids: Vec<_> = spinners.iter().map(|running| running.pid).collect();
    let spinning = futures::future::join_all(spinners.into_iter().map(|running| stage.follow(running)));
    let neighbour = async {
        for _ in 0..5 {
            assert!(complete(&stage.run(task(program("echo"), "hello")).await));
        }
        pids.iter().for_each(|pid| stage.node.kill(*pid));
    };
    let (spun, ()) = tokio::join!(spinning, neighbour);
    for shown in spun {
        assert_eq!(shown.fault(), Fault::Killed.to_string());
    }
}

#[tokio::test]
async fn a_waiting_guest_can_be_killed() {
    let stage = stage();
    let running = stage.start(task(program("sleeper"), "3600000")).expect("it starts");
    stage.node.kill(running.pid);
    assert_eq!(stage.follow(running).await.fault(), Fault::Killed.to_string());
}

#[tokio::test]
async fn a_panic_is_a_trap_whose_message_is_in_the_log() {
    let shown = run("panics", "x").await;
    assert!(matches!(&shown.finished.ended, Ended::Faulted(fault @ Fault::Trap(_)) if fault.party() == Party::Guest));
    let logged = shown.events.iter().find_map(|event| match event {
        Event::Log { level: LogLevel::Error, message } => Some(message.clone()),
        _ => None,
    });
    let message = logged.expect("the message is logged before the trap");
    assert!(message.contains("panics on any number") && message.contains("panics.rs"), "{message}");
}

#[tokio::test]
async fn a_memory_bomb_meets_its_own_limit() {
    let mut package = program("memory_bomb");
    package.manifest.limits.memory_bytes_max = 16 << 20;
    let shown = stage().run(task(package, "")).await;
    let fault = shown.fault();
    assert!(matches!(shown.finished.ended, Ended::Faulted(Fault::Limit(_))), "{fault}");
    assert!(fault.contains("memory"), "{fault}");
}

#[tokio::test]
async fn a_stack_overflow_is_a_limit() {
    let shown = run("stack_overflow", "x").await;
    let fault = shown.fault();
    assert!(matches!(shown.finished.ended, Ended::Faulted(Fault::Limit(_))) && fault.contains("stack"), "{fault}");
}

#[tokio::test]
async fn values_are_bounded_by_number_and_by_size() {
    let by_number = run("many_values", "small").await;
    assert!(by_number.text().contains("4096 values"), "{}", by_number.text());
    let by_size = run("many_values", "large").await;
    assert!(by_size.text().starts_with("63: "), "64 MiB less the input: {}", by_size.text());
}

#[tokio::test]
async fn a_label_that_was_not_granted_opens_nothing() {
    let shown = run("no_grant", "").await;
    assert!(shown.text().starts_with("0 grants; ") && shown.text().contains("vault"), "{}", shown.text());
}

#[tokio::test]
async fn an_import_that_nobody_has_is_refused_by_name() {
    match stage().start(task(program("imports_http"), "")) {
        Err(error @ StartError::Load(_)) => {
            assert!(error.is_refusal());
            assert!(error.to_string().contains("wasi:http/outgoing-handler"), "{error}");
        }
        other => panic!("it was let in: {:?}", other.map(|running| running.pid)),
    }
}

#[tokio::test]
async fn what_is_no_agent_is_refused_in_words_of_its_own() {
    for (name, words) in [("core_module", "core WebAssembly module"), ("other_world", "another world")] {
        match stage().start(task(program(name), "")) {
            Err(error @ StartError::Load(_)) => assert!(error.to_string().contains(words), "{error}"),
            other => panic!("{name} was let in: {:?}", other.map(|running| running.pid)),
        }
    }
}

#[tokio::test]
async fn a_generation_is_cut_off_and_the_rest_refunded() {
    let stage = stage();
    let shown = stage.run(Job { budget: Some(tokens(10)), ..task(program_with_model("ask"), "100\nCount") }).await;
    assert!(matches!(shown.finished.ended, Ended::Done(Status::Partial, _)), "{:?}", shown.finished.ended);
    assert!(shown.text().starts_with("one two three") && !shown.text().contains("twelve"), "{}", shown.text());
    assert_eq!(shown.finished.refunded.saturating_add(shown.finished.ledger.paid), tokens(10));
}

#[tokio::test]
async fn every_parameter_reaches_the_kernel_and_one_out_of_range_is_named() {
    let text = stage().run(task(program_with_model("sampled"), "Count")).await.text();
    let expect = "one two three one two three \n0 and 0 tokens were told\n\
                  the request is invalid: min-p is NaN, and must be between 0 and 1";
    assert_eq!(text, expect);
}

#[tokio::test]
async fn a_program_shows_the_answer_of_each_turn() {
    let text = stage().run(task(program_with_model("turns"), "2 3 7\nBe brief.")).await.text();
    assert_eq!(text, "one two three one two three ");
}

#[tokio::test]
async fn a_call_of_a_tool_is_done_and_its_result_goes_back_to_the_model() {
    let text = stage().run(task(program_with_model("tool_user"), "Add two and three")).await.text();
    let expect = "\"\"\"\" true FinishReason::ToolCalls\nadd of {\"a\":2,\"b\":3}\nit is five\n\
                  the request is invalid: there are a format and tools that may be called: leave one out, or choose none of \
                  the tools";
    assert_eq!(text, expect);
}

#[tokio::test]
async fn a_picture_is_refused_by_the_models_name_and_texts_of_a_message_follow_each_other() {
    let text = stage().run(task(program_with_model("shows_pictures"), "Count")).await.text();
    let refused = |kind: &str| {
        format!("the model smollm2 takes no {kind} parts: send text alone, or open a model that takes them\n").repeat(3)
    };
    let wrong = "the request is invalid: an image part is a value of media type audio/ogg, and must be of image/*\n";
    assert_eq!(text, [refused("image"), refused("audio"), wrong.repeat(3), "one two three ".to_owned()].concat());
}

#[tokio::test]
async fn a_dropped_stream_gives_its_reservation_back() {
    let shown = stage().run(task(program_with_model("streams_and_drops"), "Count")).await;
    let text = shown.text();
    let amount = |name: &str| -> u64 {
        let (_, rest) = text.split_once(&format!("{name}=")).expect("it is stated");
        rest.split(' ').next().expect("a number").parse().expect("a number")
    };
    let (before, during, after) = (amount("before"), amount("during"), amount("after"));
    assert!(during < after && after < before, "{text}");
}

#[tokio::test]
async fn timers_are_waited_for_in_the_kernel() {
    let shown = run("sleeper", "30").await;
    assert_eq!(shown.text(), "slept", "{:?}", shown.finished.ended);
}

#[tokio::test]
async fn clocks_run_and_draws_differ() {
    let said = |text: &str, name: &str| -> String {
        let (_, rest) = text.split_once(&format!("{name}=")).expect("it is stated");
        rest.split(' ').next().expect("a reading").to_owned()
    };
    let number = |text: &str, name: &str| said(text, name).parse::<u128>().expect("a number");
    let epoch_s = || u128::from(std::time::UNIX_EPOCH.elapsed().expect("it is after 1970").as_secs());
    let before = epoch_s();
    let (first, second) = (run("clocks_and_random", "").await.text(), run("clocks_and_random", "").await.text());
    for text in [&first, &second] {
        assert!((before..=epoch_s()).contains(&number(text, "epoch_s")), "{text}");
        assert!(number(text, "first_ns") <= number(text, "second_ns"), "{text}");
    }
    for drawn in ["u64", "bytes"] {
        assert_ne!(said(&first, drawn), said(&second, drawn));
    }
}

#[tokio::test]
async fn a_fast_writer_waits_for_its_listener_and_loses_nothing() {
    let shown = run("emits_much", "").await;
    assert!(complete(&shown));
    let numbers: String = (0..1000).map(|number| format!("{number}\n")).collect();
    let text = shown.text();
    let rest = text.strip_prefix(&numbers).expect("every event, in order");
    assert!(rest.contains("1048576"), "{rest}");
    let artifact =
        shown.events.iter().any(|event| matches!(event, Event::Artifact { name, .. } if &**name == "numbers.txt"));
    assert!(artifact);
}

#[tokio::test]
async fn a_crash_loses_nothing_that_was_committed() {
    let stage = stage();
    let crashed = stage.run(task(program("checkpointer"), "3")).await;
    assert!(matches!(crashed.finished.ended, Ended::Faulted(Fault::Trap(_))));
    let resumed = crashed.finished.checkpoint.expect("three states were committed");
    let shown = stage.run(Job { resumed: Some(resumed), ..task(program("checkpointer"), "3") }).await;
    assert!(complete(&shown), "{:?}", shown.finished.ended);
    assert_eq!(shown.text(), "resumed at 3 (3 of 5)\n5");
}
