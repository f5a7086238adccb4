//! The life of a process: its runs, the pauses between them, and what becomes of what it held.
//!
//! | a process is | from | until |
//! | --- | --- | --- |
//! | running | its start, or the end of a pause | its runner reports an exit, or it is killed |
//! | pausing | an exit after which its policy starts it again | the pause is over, or it is killed |
//! | away | it sleeps, and nothing ties it ([`away`](crate::away)) | somebody reaches for it, or its moment comes: another life goes on |
//! | ending | its last exit | its children have ended |
//! | dead | then | for ever: its pid is stale, its work is settled, its funds are back |
//!
//! A run that follows another one finds the grants, the account, the mailbox, the alarms and the label of the one before, and
//! the state that was committed last; everything else it held is gone.

use crate::{
    bill::Ledger,
    control::ControlBlock,
    dispatch::ProcessDoor,
    hibernation::Slept,
    kernel::Kernel,
    mailbox::Letter,
    ports::{Change, Entry, PortFuture, Program},
    process::{Process, Value, Values},
    supervise::{Supervisor, Verdict},
};
use bytes::Bytes;
use remit_abi::{Exit, Failure, Fault, Fuel, Label, Outcome, Pid, Request, Signal, Status, Tokens};
use remit_authority::Arena;
use serde::{Deserialize, Serialize};
use std::{
    borrow::Cow,
    sync::{Arc, atomic::Ordering},
};

/// A result that a process returned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The content.
    pub bytes: Bytes,
    /// RFC 6838.
    pub media_type: Arc<str>,
    /// What went into it.
    pub label: Label,
}

/// How a process ended, for whoever started it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    /// It did its work, or a usable part of it.
    Done(Status, Option<Output>),
    /// It could not.
    Failed(Failure),
    /// It was ended.
    Faulted(Fault),
}

/// What is left of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// How it ended.
    pub ended: Ended,
    /// What it did and paid itself.
    pub ledger: Ledger,
    /// What it and its children spent.
    pub paid: Tokens,
    /// What went back to its payer.
    pub refunded: Tokens,
    /// The state that it committed last.
    pub checkpoint: Option<Bytes>,
    /// What it had read by then.
    pub label: Label,
    /// How often it was started again.
    pub restarts: u32,
    /// Log lines that its listener was too slow for.
    pub logs_dropped: u64,
}

impl Finished {
    /// What is left of one that was ended and did nothing that is known.
    pub(crate) fn faulted(fault: Fault, refunded: Tokens) -> Self {
        Self {
            ended: Ended::Faulted(fault),
            ledger: Ledger::default(),
            paid: Tokens::ZERO,
            refunded,
            checkpoint: None,
            label: Label::default(),
            restarts: 0,
            logs_dropped: 0,
        }
    }
}

/// A process on its way.
pub(crate) struct Life {
    program: Program,
    reaper: Reaper,
}

impl Life {
    pub(crate) fn new(kernel: Kernel, block: Arc<ControlBlock>, program: Program) -> Self {
        Self { program, reaper: Reaper { kernel, block, is_over: false } }
    }

    /// The life of a process that cannot go on, for this reason: until it is killed.
    pub(crate) fn parked(kernel: Kernel, block: Arc<ControlBlock>, why: &str) -> PortFuture<'static, ()> {
        let why: Box<str> = why.into();
        Box::pin(async move {
            let mut reaper = Reaper { kernel, block, is_over: false };
            park(&reaper.kernel, &reaper.block, &why).await;
            reaper.reap(Exit { end: Err(Fault::Killed), fuel: None });
        })
    }

    /// All of it. Dropped on the way, the process is dead.
    pub(crate) async fn live(self) {
        let Self { program, mut reaper } = self;
        let (kernel, block) = (reaper.kernel.clone(), reaper.block.clone());
        let clock = &kernel.shared.ports.clock;
        let mut supervisor = Supervisor::new(block.facts.restart);
        supervisor.restarts = block.restarts.load(Ordering::Relaxed);
        let exit = loop {
            let began_ns = clock.monotonic_ns();
            let may_leave = supervisor.is_calm(began_ns);
            let Lived::To(exit) = run_and_sleep(&kernel, &block, &program, may_leave).await else {
                reaper.is_over = true;
                return;
            };
            if let Err(Fault::Diverged(why)) = &exit.end {
                park(&kernel, &block, why).await;
                break Exit { end: Err(Fault::Killed), fuel: None };
            }
            let now_ns = clock.monotonic_ns();
            let verdict = if block.is_killed() { Verdict::End } else { supervisor.after(&exit, began_ns, now_ns) };
            let Verdict::Again { pause_ns } = verdict else { break exit };
            tracing::info!(pid = %block.pid, pause_ns, ?exit, "is started again");
            block.restarts.store(supervisor.restarts, Ordering::Relaxed);
            reset(&kernel, &block, &exit);
            tokio::select! {
                biased;
                () = block.killed() => {}
                () = clock.sleep_until(now_ns.saturating_add(pause_ns)) => block.released().await,
            }
            if block.is_killed() {
                break Exit { end: Err(Fault::Killed), fuel: None };
            }
        };
        end_children(&kernel, &block).await;
        reaper.reap(exit);
    }
}

/// What became of a guest.
enum Ran {
    To(Exit),
    /// It waits, and was thrown away until what it asked for is there.
    Asleep(Request),
}

/// How far a process came.
enum Lived {
    To(Exit),
    /// It is not in memory any more.
    Away,
}

/// One run, from its start to an exit; it may sleep meanwhile.
async fn run_and_sleep(kernel: &Kernel, block: &Arc<ControlBlock>, program: &Program, may_leave: bool) -> Lived {
    loop {
        let request = match run_once(kernel, block, program).await {
            Ran::To(exit) => return Lived::To(exit),
            Ran::Asleep(request) => request,
        };
        let slept = tokio::select! {
            biased;
            () = block.killed() => return Lived::To(Exit { end: Err(Fault::Killed), fuel: None }),
            slept = kernel.shared.sleep(block, &request, may_leave) => slept,
        };
        match slept {
            Ok(Slept::Woken) => {}
            Ok(Slept::Away) => return Lived::Away,
            Err(error) => {
                let why = format!("it slept and cannot be woken: {error}");
                return Lived::To(Exit { end: Err(Fault::Diverged(why.into())), fuel: None });
            }
        }
    }
}

/// One guest, from its start to an exit, or until it has waited for so long that it is to sleep. A kill ends it also where its runner
/// does not hear of it.
async fn run_once(kernel: &Kernel, block: &Arc<ControlBlock>, program: &Program) -> Ran {
    let start = match block.process.lock().start() {
        Ok(start) => start,
        Err(error) => {
            let fault = Fault::Limit(error.to_string().into());
            return Ran::To(Exit { end: Err(fault), fuel: Some(Fuel(0)) });
        }
    };
    let (door, runner) = (ProcessDoor::new(kernel.shared.clone(), block.clone()), &kernel.shared.ports.runner);
    let run = runner.run(Arc::new(door), block.pid, program.clone(), start);
    // Whoever held it before there was a run told the runner nothing that it could remember.
    if block.is_held() {
        runner.suspend(block.pid);
    }
    let exit = tokio::select! {
        biased;
        exit = run => exit,
        () = block.killed() => Exit { end: Err(Fault::Killed), fuel: None },
        request = kernel.shared.is_to_sleep(block) => return Ran::Asleep(request),
    };
    let process = &mut *block.process.lock();
    let exit = kernel.shared.ended_in_replay(process, exit);
    if !matches!(exit.end, Err(Fault::Diverged(_)))
        && let Err(error) = kernel.shared.write(process, Some(Entry::Exited(Cow::Borrowed(&exit))))
        && !kernel.shared.has_stopped()
    {
        tracing::error!(pid = %block.pid, %error, "an exit was not journaled");
    }
    Ran::To(exit)
}

/// Keeps a process that cannot go on, until it is killed: somebody has to look.
async fn park(kernel: &Kernel, block: &ControlBlock, why: &str) {
    tracing::error!(pid = %block.pid, why, "is parked");
    block.park(why.into());
    kernel.shared.change(None, [Change::Held { pid: block.pid, holds: block.holds() }]);
    block.killed().await;
}

/// Takes from a process what does not outlive a run.
fn reset(kernel: &Kernel, block: &ControlBlock, exit: &Exit) {
    let (letters, children) = {
        let process = &mut *block.process.lock();
        settle_run(kernel, process, exit);
        let children = let_children_go(process);
        children.iter().for_each(|child| process.let_child_go(child.clone()));
        let letters = let_go(kernel, process);
        process.alarms = std::mem::take(&mut process.alarms).renumbered();
        let (now_ns, restarts) = (kernel.shared.ports.clock.monotonic_ns(), block.restarts.load(Ordering::Relaxed));
        let began = process.beginning(now_ns, restarts, block.outlet.count());
        if let Err(error) = kernel.shared.write(process, Some(Entry::Began(Box::new(began)))) {
            tracing::error!(pid = %block.pid, %error, "a new run was not journaled");
        }
        (letters, children)
    };
    children.iter().for_each(|child| kernel.shared.kill(child));
    kernel.shared.drop_letters(letters);
}

/// Takes a process's children out of its table.
fn let_children_go(process: &mut Process) -> Vec<Arc<ControlBlock>> {
    let children = process.children();
    process.children = Arena::default();
    children.iter().for_each(|child| process.due.change(|| Change::ReportGone { pid: child.pid }));
    children
}

/// Gives the parts of its account back, and pays for a run's fuel out of all of it.
fn settle_run(kernel: &Kernel, process: &mut Process, exit: &Exit) {
    for part in process.parts.drain(..) {
        // A part is open as long as it is held here.
        let _held = kernel.shared.accounts.lock().close(part);
        process.due.change(|| Change::Closed { account: part });
    }
    let toll = std::mem::take(&mut process.toll);
    process.generations = Arena::default();
    match exit.fuel {
        Some(Fuel(used)) => process.bill.settle_fuel(Fuel(used.saturating_add(toll.used().0))),
        None => process.bill.forfeit_fuel(toll.unpaid()),
    }
}

/// Empties a process's tables; answers that it never took are handed out.
fn let_go(kernel: &Kernel, process: &mut Process) -> Vec<Letter> {
    process.values = Values::default();
    process.models = Arena::default();
    process.contexts = Arena::default();
    process.timers = Arena::default();
    for (_, answer) in std::mem::take(&mut process.answers).iter() {
        process.due.change(|| Change::Unanswered { number: answer.number() });
    }
    process.watches = Arena::default();
    kernel.shared.drop_questions(process);
    kernel.shared.drop_tool_calls(process);
    process.waits_in = None;
    process.replay = None;
    process.own_names = None;
    let calls = std::mem::take(&mut process.calls);
    calls.iter().for_each(|(_, call)| process.due.change(|| Change::CallGone { number: call.number }));
    calls.iter().filter_map(|(_, call)| call.forget()).collect()
}

/// Ends the children of a process that ends, so that what they did not spend is back before its own account is closed.
async fn end_children(kernel: &Kernel, block: &ControlBlock) {
    let (children, leaving) = {
        let process = &mut *block.process.lock();
        (process.children(), std::mem::take(&mut process.leaving))
    };
    children.iter().for_each(|child| kernel.shared.kill(child));
    for child in children.into_iter().chain(leaving) {
        child.ended().await;
    }
}

/// Takes a process down, also where its life is dropped on the way.
struct Reaper {
    kernel: Kernel,
    block: Arc<ControlBlock>,
    /// Whether there is nothing to take down.
    is_over: bool,
}

impl Reaper {
    fn reap(&mut self, exit: Exit) {
        self.is_over = true;
        let shared = &self.kernel.shared;
        shared.table.write().leave(self.block.pid);
        let mut letters = self.block.mailbox.close();
        let (finished, at) = {
            let process = &mut *self.block.process.lock();
            settle_run(&self.kernel, process, &exit);
            let_children_go(process).iter().for_each(|child| shared.kill(child));
            if !process.is_another() {
                let mut grants = shared.grants.lock();
                process.grants.drain().for_each(|id| grants.release(id));
            }
            let (ended, label) = (ended(process, exit.end), process.label);
            for letter in letters.iter().filter_map(|letter| letter.answer.as_ref()) {
                process.due.change(|| Change::Unanswered { number: letter.number() });
            }
            letters.extend(let_go(&self.kernel, process));
            process.settle_written();
            let (refunded, account) = (process.bill.close(), process.bill.account());
            process.due.change(|| Change::Closed { account });
            let finished = Finished {
                ended,
                ledger: process.bill.ledger(),
                paid: self.block.facts.funds.saturating_sub(refunded),
                refunded,
                checkpoint: process.checkpoint.take(),
                label,
                restarts: self.block.restarts.load(Ordering::Relaxed),
                logs_dropped: process.logs_dropped,
            };
            if process.due.keeps_notes {
                let pid = self.block.pid;
                process.due.change(|| Change::Ended { pid, finished: Box::new(finished.clone()) });
            }
            let written = shared.write(process, None);
            let at = written.inspect_err(|error| {
                if !shared.has_stopped() {
                    tracing::error!(pid = %self.block.pid, %error, "the end of a process was not journaled");
                }
            });
            (finished, at.unwrap_or_default())
        };
        shared.drop_letters(letters);
        self.tell_parent(&finished.ended);
        self.block.outlet.close();
        self.block.end(finished, at);
    }

    fn tell_parent(&self, ended: &Ended) {
        let parent: Option<Pid> = self.block.facts.parent;
        let parent = parent.and_then(|parent| self.kernel.shared.block(parent));
        let Some(parent) = parent.filter(|_| matches!(ended, Ended::Failed(_) | Ended::Faulted(_))) else { return };
        let is_child = {
            let process = parent.process.lock();
            // One that was detached or let go is no child of it any more; one that it has yet to find again may be.
            match &process.replay {
                Some(replay) => {
                    replay.child_failed(self.block.pid);
                    false
                }
                None => process.children.iter().any(|(_, child)| Arc::ptr_eq(&child.block, &self.block)),
            }
        };
        if is_child {
            self.kernel.shared.signal(&parent, Signal::ChildFailed);
        }
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        if !self.is_over {
            self.reap(Exit { end: Err(Fault::Killed), fuel: None });
        }
    }
}

fn ended(process: &mut Process, end: Result<Result<Outcome, Failure>, Fault>) -> Ended {
    match end {
        Err(fault) => Ended::Faulted(fault),
        Ok(Err(failure)) => Ended::Failed(failure),
        Ok(Ok(Outcome { status, output: None })) => Ended::Done(status, None),
        Ok(Ok(Outcome { status, output: Some(id) })) => match process.values.remove(id) {
            Some(Value { bytes, media_type, label }) => {
                // Which value it returns is its own choice, so that all that it read went into it.
                let label = label.join(process.label);
                Ended::Done(status, Some(Output { bytes, media_type, label }))
            }
            None => Ended::Faulted(Fault::Protocol("it returned a value that it had dropped".into())),
        },
    }
}
