//! Processes among processes: children, messages, signals, alarms, and being started again.

use crate::stage::{Job, Shown, Stage, install_programs, peer, program, program_asking, task, tokens, workers};
use remit_abi::{Fault, Pid, Tokens, limits::TenantLimits};
use remit_assembly::{Ended, Running};
use std::future::Future;

/// Enough for a handful of children.
const BUDGET: u64 = 200;

fn stage() -> Stage {
    Stage::new("answers.json")
}

fn job(name: &str, manifest: &str, text: &str) -> Job {
    Job { budget: Some(tokens(BUDGET)), ..task(program_asking(name, manifest), text) }
}

/// Runs one that may start these; in the end nobody is left, and every token is somewhere.
async fn run_with_workers(name: &str, agents: &[&str], text: &str) -> Shown {
    let stage = stage();
    let installed: Vec<_> = agents.iter().copied().filter(|agent| *agent != "absent").collect();
    install_programs(&installed);
    run(&stage, job(name, &workers(agents), text)).await
}

async fn run(stage: &Stage, job: Job) -> Shown {
    let shown = stage.run(job).await;
    assert_eq!(spent_and_refunded(&shown), tokens(BUDGET), "{:?}", shown.finished.ended);
    assert!(stage.alive().is_empty(), "{:?}", stage.alive());
    shown
}

fn spent_and_refunded(shown: &Shown) -> Tokens {
    shown.finished.paid.saturating_add(shown.finished.refunded)
}

fn failure(shown: &Shown) -> &str {
    match &shown.finished.ended {
        Ended::Failed(failure) => &failure.message,
        other => panic!("{other:?}"),
    }
}

/// Polls a task while others run, until something is so.
async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::task::yield_now().await;
    }
}

/// Starts one under a name that others find it by.
fn start_named(stage: &Stage, name: &str, text: &str) -> Running {
    stage.start(Job { name: Some(name.to_owned()), ..job(name, "", text) }).expect("it starts")
}

fn kill(stage: &Stage, running: Running) -> impl Future<Output = Shown> {
    stage.node.kill(running.pid);
    stage.follow(running)
}

#[tokio::test]
async fn children_come_and_go_one_after_the_other() {
    let shown = run_with_workers("spawner", &["nothing"], "nothing 100").await;
    assert_eq!(shown.text(), "100 children", "{:?}", shown.finished.ended);
}

#[tokio::test]
async fn a_child_that_crashes_is_told_to_its_parent_in_words() {
    let shown = run_with_workers("spawner", &["panics"], "panics 1").await;
    assert!(failure(&shown).starts_with("the agent crashed"), "{}", failure(&shown));
}

#[tokio::test]
async fn only_agents_of_the_grants_scope_are_started() {
    install_programs(&["spin"]);
    let shown = run_with_workers("spawner", &["nothing"], "spin 1").await;
    assert!(failure(&shown).contains("the grant workers does not open that"), "{}", failure(&shown));
}

#[tokio::test]
async fn an_agent_that_is_not_installed_is_said_to_be_so() {
    let shown = run_with_workers("spawner", &["absent"], "absent 1").await;
    assert!(failure(&shown).contains("no agent \"absent\" is installed"), "{}", failure(&shown));
}

#[tokio::test]
async fn no_child_outlives_its_parent() {
    for child in ["spin", "sleeper"] {
        let shown = run_with_workers("leaves_children", &[child], child).await;
        assert!(shown.is_complete(), "{:?}", shown.finished.ended);
        let pids: Vec<Pid> = shown.text().lines().map(|line| line.parse().expect("a pid")).collect();
        assert_eq!(pids.len(), 3, "{pids:?}");
        assert!(shown.finished.refunded > Tokens::ZERO);
    }
}

#[tokio::test]
async fn a_killed_parent_takes_its_children_with_it() {
    let stage = stage();
    install_programs(&["signals", "panics"]);
    let running = stage.start(job("signals", &workers(&["panics"]), "wait")).expect("it starts");
    let shown = kill(&stage, running).await;
    assert_eq!(shown.fault(), Fault::Killed.to_string());
    assert!(stage.alive().is_empty());
}

#[tokio::test]
async fn a_fork_bomb_stops_at_the_tenants_limit_and_leaves_nobody() {
    let stage = stage();
    install_programs(&["fork_bomb"]);
    let package = job("fork_bomb", &workers(&["fork_bomb"]), "");
    let tenant = remit_abi::TenantId(0);
    stage.node.kernel().set_limits(tenant, TenantLimits { processes_max: 24, ..TenantLimits::default() });
    let shown = run(&stage, package).await;
    let is_broke = matches!(shown.finished.ended, Ended::Faulted(Fault::BudgetExhausted(_)));
    assert!(shown.is_complete() || is_broke, "{:?}", shown.finished.ended);
    let next = stage.run(task(program("echo"), "still here")).await;
    assert_eq!(next.text(), "still here");
}

#[tokio::test]
async fn a_fork_bomb_that_finds_no_place_leaves_nobody() {
    let shown = run_with_workers("fork_bomb", &["fork_bomb"], "").await;
    let is_broke = matches!(shown.finished.ended, Ended::Faulted(Fault::BudgetExhausted(_)));
    assert!(shown.is_complete() || is_broke, "{:?}", shown.finished.ended);
}

/// Started again soon.
fn restarting(policy: &str) -> String {
    format!("[restart]\npolicy = \"{policy}\"\nbackoff_ms = 1\n")
}

#[tokio::test]
async fn who_dies_is_started_again_from_what_it_committed() {
    for way in ["fails 2", "panics 2"] {
        let shown = run(&stage(), job("dies", &restarting("on-failure"), way)).await;
        let Ended::Done(_, Some(output)) = &shown.finished.ended else { panic!("{:?}", shown.finished.ended) };
        assert_eq!(output.bytes, "done after 2 deaths");
        assert_eq!((shown.text().as_str(), shown.finished.restarts), ("life 1\nlife 2\nlife 3\n", 2));
    }
}

#[tokio::test]
async fn who_is_always_started_again_is_so_after_a_good_end_too() {
    let shown = run(&stage(), job("dies", &restarting("always"), "ends 1")).await;
    assert_eq!(shown.finished.restarts, 5, "a storm is five in a minute");
    assert_eq!(shown.text(), format!("life 1\n{}", "life 2\n".repeat(5)));
}

#[tokio::test]
async fn who_dies_too_often_stays_dead() {
    let shown = run(&stage(), job("dies", &restarting("on-failure"), "panics 9")).await;
    assert!(matches!(shown.finished.ended, Ended::Faulted(Fault::Trap(_))), "{:?}", shown.finished.ended);
    assert_eq!(shown.finished.restarts, 5);
    assert!(shown.text().ends_with("life 6\n"), "{}", shown.text());
}

#[tokio::test]
async fn who_is_not_to_be_started_again_dies_once() {
    let shown = run(&stage(), job("dies", "", "panics 1")).await;
    assert!(matches!(shown.finished.ended, Ended::Faulted(Fault::Trap(_))), "{:?}", shown.finished.ended);
    assert_eq!((shown.text().as_str(), shown.finished.restarts), ("life 1\n", 0));
}

#[tokio::test]
async fn an_alarm_outlives_a_crash() {
    let shown = run(&stage(), job("alarmist", &restarting("on-failure"), "300")).await;
    assert_eq!(shown.text(), "set\nwoke\n", "{:?}", shown.finished.ended);
}

#[tokio::test]
async fn a_polite_request_to_end_is_heard() {
    let stage = stage();
    let running = stage.start(job("signals", &workers(&["panics"]), "wait")).expect("it starts");
    assert!(stage.node.kernel().cancel(running.pid));
    let shown = stage.follow(running).await;
    assert_eq!(shown.text(), "Cancel", "{:?}", shown.finished.ended);
}

#[tokio::test]
async fn a_budget_that_runs_low_and_a_child_that_fails_are_signalled() {
    for (input, signal) in [("budget", "BudgetLow"), ("child", "ChildFailed")] {
        let shown = run_with_workers("signals", &["panics"], input).await;
        assert_eq!(shown.text(), signal, "{:?}", shown.finished.ended);
    }
}

#[tokio::test]
async fn a_child_a_message_an_answer_and_a_timer_are_waited_for_at_once() {
    let shown = run_with_workers("side_by_side", &["side_by_side", "sleeper"], "").await;
    let (ended, text) = (&shown.finished.ended, shown.text());
    assert_eq!(text.matches("timer ").count(), 1, "{text}: {ended:?}");
    assert_eq!(text.replace("timer ", ""), "child message call ", "{ended:?}");
}

#[tokio::test]
async fn whoever_would_close_a_circle_of_waits_is_told() {
    for way in ["calls", "waits"] {
        let shown = run_with_workers("deadlocks", &["deadlocks"], way).await;
        assert!(shown.is_complete(), "{way}: {:?}", shown.finished.ended);
        let said = [shown.said("parent"), shown.said("child")];
        assert!(said.iter().any(|sentence| sentence.contains("neither would ever go on")), "{way}: {said:?}");
    }
}

#[tokio::test]
async fn the_dead_are_not_spoken_to() {
    let shown = run_with_workers("late_message", &["nothing"], "nothing").await;
    assert!(shown.is_complete(), "{:?}", shown.finished.ended);
    for what in ["send", "call"] {
        assert!(shown.said(what).contains("nobody is there"), "{what}: {}", shown.said(what));
    }
    assert!(shown.said("wait").contains("taken already"), "{}", shown.said("wait"));
    assert_eq!((shown.said("orders"), shown.said("filter")), ("ok".to_owned(), "ok".to_owned()));
}

#[tokio::test]
async fn calls_are_answered_one_by_one() {
    let stage = stage();
    let server = start_named(&stage, "echo_server", "100");
    let pinging = stage.run(job("pinger", &peer("echo_server"), "100"));
    let (pinged, served) = tokio::join!(pinging, stage.follow(server));
    assert_eq!(pinged.text(), "done", "{:?}", pinged.finished.ended);
    assert!(served.is_complete(), "{:?}", served.finished.ended);
}

#[tokio::test]
async fn how_long_each_answer_took_is_known_to_the_caller() {
    let stage = stage();
    let server = start_named(&stage, "echo_server", "20");
    let timing = stage.run(job("ping_times", &peer("echo_server"), "20 60000"));
    let (timed, _) = tokio::join!(timing, stage.follow(server));
    let times: Vec<u64> = timed.text().lines().map(|line| line.parse().expect("nanoseconds")).collect();
    assert!(times.len() == 20 && times.iter().all(|time| *time > 0), "{times:?}, {:?}", timed.finished.ended);
}

#[tokio::test]
async fn one_right_opens_all_neighbours_of_a_pattern() {
    let stage = stage();
    let blocker = |index| {
        stage.start(Job { name: Some(format!("blocker-{index}")), ..job("blocker", "", "") }).expect("it starts")
    };
    let blockers: Vec<_> = (0..3).map(blocker).collect();
    let peers = "[[wants.mailboxes]]\nlabel = \"peers\"\nmailboxes = [\"blocker-*\"]\n";
    let called = stage.run(job("roll_call", peers, "3")).await;
    assert_eq!(called.text(), "3 answers", "{:?}", called.finished.ended);
    for blocker in blockers {
        assert_eq!(kill(&stage, blocker).await.fault(), Fault::Killed.to_string());
    }
}

#[tokio::test]
async fn who_waits_for_one_topic_leaves_the_others_in_its_mailbox() {
    let stage = stage();
    let blocker = start_named(&stage, "blocker", "");
    let pid = blocker.pid;
    let flooded = stage.run(job("mailbox_flood", &peer("blocker"), "peer try")).await;
    assert_eq!(flooded.text(), "64 messages, then the receiver's mailbox is full: wait, or send less");
    let view = stage.node.kernel().process(pid).expect("it waits still");
    assert_eq!(view.messages, 64);
    assert_eq!(kill(&stage, blocker).await.fault(), Fault::Killed.to_string());
}

#[tokio::test]
async fn who_floods_another_waits_for_it_and_hears_of_its_end() {
    let stage = stage();
    let blocker = start_named(&stage, "blocker", "");
    let pid = blocker.pid;
    let flooder = stage.start(job("mailbox_flood", &peer("blocker"), "peer send")).expect("it starts");
    let is_full = || stage.node.kernel().process(pid).is_none_or(|view| view.messages == 64);
    until(is_full).await;
    let (flooded, _) = tokio::join!(stage.follow(flooder), kill(&stage, blocker));
    assert!(flooded.is_complete(), "{:?}", flooded.finished.ended);
    assert!(flooded.text().contains("nobody is there to receive it"), "{}", flooded.text());
}
