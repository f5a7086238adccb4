//! A process that is run again, offline, from its log.

use crate::{
    fakes::{Counting, Given, Guest, SharedClock, TestNode, done, program, prompt},
    recovery::{boss, given, install, worker},
};
use remit_abi::{Exit, Fault, Pid, RandomRequest, Reply, Request, limits::Limits};
use remit_kernel::{
    History, HistoryError, Reran, Rerun, RerunError, Step,
    ports::{Entry, Line},
};
use std::{
    future::Future,
    sync::{Arc, Mutex},
};

/// Runs a script on a log, and what it does.
async fn rerun<F, R>(
    node: &TestNode,
    history: &History,
    script: F,
    (run, until): (Option<usize>, Option<u64>),
) -> (Result<Reran, RerunError>, Vec<Step>)
where
    F: Fn(Guest) -> R + Send + Sync + 'static,
    R: Future<Output = Exit> + Send + 'static,
{
    let steps = Arc::new(Mutex::new(Vec::new()));
    let again = Rerun {
        runner: Arc::<crate::fakes::ClosureRunner>::clone(&node.runner),
        clock: Arc::new(SharedClock(node.clock.clone())),
        entropy: Arc::new(Counting),
        program: program(&history.created.package, Limits::default(), script),
        history: history.clone(),
        run,
        until,
    };
    let shown = steps.clone();
    let reran = again.go(move |step| shown.lock().expect("nobody panics").push(step)).await;
    let steps = std::mem::take(&mut *steps.lock().expect("nobody panics"));
    (reran, steps)
}

/// The answers that a log has.
fn told(lines: &[Line]) -> Vec<u64> {
    let told = lines.iter().filter(|line| matches!(line.entry, Entry::Told(_)));
    told.map(|line| line.sequence).collect()
}

fn sequences(steps: &[Step]) -> Vec<u64> {
    steps.iter().filter_map(|step| Some(step.logged.as_ref()?.sequence)).collect()
}

/// A team that has ended: the boss and its worker.
async fn team() -> (TestNode, Pid, Pid) {
    let node = TestNode::new();
    install(&node);
    let running = node.spawn(given(), boss);
    let boss = running.pid;
    running.finished.await;
    let all = node.journal.memory.records();
    let created = |record: &remit_kernel::KeptRecord| matches!(record.entry, Some(Entry::Created(_)));
    let worker = all.iter().filter(|record| created(record)).filter_map(|record| record.pid).find(|pid| *pid != boss);
    (node, boss, worker.expect("it was started"))
}

#[tokio::test]
async fn each_of_a_team_does_again_what_it_did_and_ends_as_it_did() {
    let (node, first, second) = team().await;
    let asked = node.engine.jobs.lock().len();
    for (pid, is_boss) in [(first, true), (second, false)] {
        let history = node.kernel.history(pid).expect("it is kept");
        let run = history.run(None).expect("it ran");
        let (reran, steps) = match is_boss {
            true => rerun(&node, &history, boss, (None, None)).await,
            false => rerun(&node, &history, worker, (Some(1), None)).await,
        };
        let Some(Line { entry: Entry::Exited(exit), .. }) = run.lines.last() else { panic!("it ended: {run:?}") };
        assert_eq!(reran.expect("it can be run again"), Reran::Ended(exit.clone().into_owned()));
        assert_eq!(sequences(&steps), told(&run.lines));
        for Step { reply, logged, .. } in &steps {
            assert!(logged.as_ref().is_none_or(|logged| *logged.told.reply == *reply));
        }
    }
    assert_eq!(node.engine.jobs.lock().len(), asked, "no engine was asked");
    assert!(node.kernel.is_conserved() && node.kernel.processes().is_empty());
}

#[tokio::test]
async fn it_stops_where_it_is_to() {
    let (node, pid, _) = team().await;
    let history = node.kernel.history(pid).expect("it is kept");
    let all = told(&history.run(None).expect("it ran").lines);
    for until in [0, all[0], all[all.len() / 2], all[all.len() - 2]] {
        let (reran, steps) = rerun(&node, &history, boss, (None, Some(until))).await;
        assert_eq!(reran.expect("it can be run again"), Reran::Until);
        assert!(sequences(&steps).iter().eq(all.iter().filter(|sequence| **sequence <= until)), "until {until}");
    }
}

#[tokio::test]
async fn a_log_that_ends_before_its_process_did_says_what_it_was_to_be_told_next() {
    async fn waits(guest: Guest) -> Exit {
        guest.call(Request::Random(RandomRequest::Bytes { length: 1 })).await;
        guest.receive(crate::guest::any()).await.expect("nobody writes");
        done()
    }
    let node = TestNode::new();
    let running = node.spawn(Given::default(), waits);
    let finished = tokio::spawn(running.finished);
    node.settle().await;
    let expect = |exit| move |reran: Reran| matches!(&reran, Reran::LogEnds { asks, exit: is } if matches!(**asks, Request::Mailbox(_)) && is.is_some() == exit);
    let history = node.kernel.history(running.pid).expect("it is kept");
    let (reran, steps) = rerun(&node, &history, waits, (None, None)).await;
    assert!(expect(false)(reran.expect("it can be run again")));
    assert_eq!(steps.len(), 1);
    node.kernel.kill(running.pid);
    drop(finished.await);
    let history = node.kernel.history(running.pid).expect("it is kept");
    let (reran, _) = rerun(&node, &history, waits, (None, None)).await;
    assert!(expect(true)(reran.expect("it can be run again")), "the log says that it was killed");
}

#[tokio::test]
async fn one_that_does_something_else_is_told_so() {
    async fn draws(guest: Guest, lengths: &[u32]) -> Exit {
        for length in lengths {
            let drawn = guest.call(Request::Random(RandomRequest::Bytes { length: *length })).await;
            if let Reply::Fault(fault) = drawn {
                return Exit { end: Err(fault), fuel: None };
            }
        }
        done()
    }
    let node = TestNode::new();
    let running = node.spawn(Given::default(), |guest| async { draws(guest, &[1, 2, 3]).await });
    running.finished.await;
    let history = node.kernel.history(running.pid).expect("it is kept");
    let (reran, steps) = rerun(&node, &history, |guest| async { draws(guest, &[1, 7]).await }, (None, None)).await;
    let Ok(Reran::Diverged(why)) = reran else { panic!("it does something else: {reran:?}") };
    assert!(why.contains("length: 2") && why.contains("length: 7"), "{why}");
    assert_eq!(steps.len(), 1, "what it asked then and not now is no step");
    let (reran, _) = rerun(&node, &history, |guest| async { draws(guest, &[1]).await }, (None, None)).await;
    assert!(matches!(&reran, Ok(Reran::Diverged(why)) if why.contains("ended before entry")), "{reran:?}");
    let (reran, _) = rerun(&node, &history, |guest| async { draws(guest, &[1, 2, 3, 4]).await }, (None, None)).await;
    assert!(matches!(&reran, Ok(Reran::LogEnds { exit: Some(_), .. })), "{reran:?}");
}

#[tokio::test]
async fn what_cannot_be_run_again_says_why() {
    let node = TestNode::new();
    let running = node.spawn(Given::default(), |guest: Guest| async move {
        guest.open_model().await;
        drop(prompt("q"));
        done()
    });
    running.finished.await;
    let history = node.kernel.history(running.pid).expect("it is kept");
    let (reran, _) = rerun(&node, &history, |_| std::future::pending(), (Some(2), None)).await;
    assert!(matches!(reran, Err(RerunError::History(HistoryError::NoSuchRun { asked: 2, runs: 1, .. }))));
    let mut other = history.clone();
    other.created.digest = "another".into();
    let (reran, _) = rerun(&node, &other, |_| std::future::pending(), (None, None)).await;
    assert!(matches!(reran, Err(RerunError::OtherComponent { .. })));
    let stranger = Pid { index: 99, ..running.pid };
    assert_eq!(node.kernel.history(stranger), Err(HistoryError::Nothing(stranger)));
    let lines = history.lines();
    assert_eq!(History::of(running.pid, lines.clone()).as_ref(), Ok(&history));
    assert_eq!(History::of(running.pid, lines[1..].to_vec()), Err(HistoryError::NoBeginning(running.pid)));
    let killed = Exit { end: Err(Fault::Killed), fuel: None };
    assert!(matches!(&lines[lines.len() - 1].entry, Entry::Exited(exit) if **exit != killed));
}
