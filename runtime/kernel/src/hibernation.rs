//! Processes that wait for long leave memory: their instance, their values and their open models go, and come back by replay when
//! what they wait for is there.
//!
//! | a durable process that waits | is | holds |
//! | --- | --- | --- |
//! | less than the node's patience | awake | all that it has |
//! | longer, for a message, an answer, a person, a tool, a child, a moment or a signal | asleep | what others may reach: mailbox, grants, account, children, calls, questions, calls of tools, alarms |
//! | and is tied to nobody | asleep, and [away](crate::away) | a row of a table |
//! | for a generation, for room in a mailbox, for a listener | awake | all that it has: somebody works for it |
//!
//! Where places to run in are short, nobody's patience counts: for each program that stands in line the process sleeps that has waited
//! longest, among those that can.
//!
//! Nobody can tell that it fell asleep: what it waits for is watched in its place, and its guest asks for it again when it was told again
//! what it was told. A new run begins only where the log says that it may, as after a crash. Only that it is away is written
//! down, so that a start need not look at it.

use crate::{
    control::{ControlBlock, Durability},
    kernel::{Kernel, Shared},
    ports::{Entry, JournalError},
    process::{Process, Toll, Values},
    recovery::last_run,
    replay::{Links, Replay},
    syscalls::{Watch, wakes_ns},
};
use remit_abi::Request;
use remit_authority::Arena;
use std::{
    cmp, mem,
    sync::{Arc, atomic::Ordering},
};

/// How often processes are looked through for who may sleep while programs stand in line. 10 ms: so that a start takes little longer,
/// and that a look at ten thousand of them takes a small part of a processor.
const LOOK_NS_MIN: u64 = 10_000_000;

/// The same after looks that found nobody: each pause is twice as long as the one before.
const LOOK_NS_MAX: u64 = 1_000_000_000;

/// What a process waits in, and since when.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) interface: &'static str,
    /// Where it is one that a process can sleep through.
    pub(crate) request: Option<Request>,
    /// On the node's monotonic clock.
    pub(crate) since_ns: u64,
}

/// What became of a process that slept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slept {
    /// What it waits for is there, and it is ready to be told again what it was told.
    Woken,
    /// It is not in memory any more, and its life is over until it comes back.
    Away,
}

impl Shared {
    /// Waits until a process has waited for so long that it is to sleep, or others need its place; what it waits for. For ever where it
    /// keeps no journal, or the node lets nobody sleep.
    pub(crate) async fn is_to_sleep(&self, block: &ControlBlock) -> Request {
        let patience_ns = self.patience_ns.load(Ordering::Relaxed);
        if patience_ns == u64::MAX || !block.process.lock().due.keeps_notes {
            return std::future::pending().await;
        }
        let clock = &self.ports.clock;
        let mut look_ns = clock.monotonic_ns().saturating_add(patience_ns);
        loop {
            let is_hurried = tokio::select! {
                () = clock.sleep_until(look_ns) => false,
                () = block.hurried() => true,
            };
            let now_ns = clock.monotonic_ns();
            look_ns = match block.process.lock().sleeps_through() {
                Some((request, since_ns)) => {
                    let sleeps_ns = since_ns.saturating_add(patience_ns);
                    if is_hurried || sleeps_ns <= now_ns {
                        return request.clone();
                    }
                    sleeps_ns
                }
                None => now_ns.saturating_add(patience_ns),
            };
        }
    }

    /// As long as programs stand in line for a place, has processes sleep that wait.
    pub(crate) async fn make_places(&self) {
        let clock = &self.ports.clock;
        let mut pause_ns = LOOK_NS_MIN;
        loop {
            let programs = self.ports.runner.lacks_places().await;
            pause_ns = match self.hurry(programs) {
                0 => cmp::min(pause_ns.saturating_mul(2), LOOK_NS_MAX),
                _ => LOOK_NS_MIN,
            };
            clock.sleep_until(clock.monotonic_ns().saturating_add(pause_ns)).await;
        }
    }

    /// Asks as many processes to sleep now, those that have waited longest; how many there were.
    fn hurry(&self, programs: usize) -> usize {
        if self.patience_ns.load(Ordering::Relaxed) == u64::MAX {
            return 0;
        }
        let is_awake = |block: &&Arc<ControlBlock>| block.facts.durability == Durability::Durable && !block.is_asleep();
        // No process is locked under the table's lock.
        let awake: Vec<_> = self.table.read().iter().filter(is_awake).cloned().collect();
        let waits = |block: Arc<ControlBlock>| {
            let since_ns = block.process.lock().sleeps_through().map(|(_, since_ns)| since_ns)?;
            Some((since_ns, block))
        };
        let mut waiting: Vec<_> = awake.into_iter().filter_map(waits).collect();
        if waiting.len() > programs {
            waiting.select_nth_unstable_by_key(programs, |(since_ns, _)| *since_ns);
            waiting.truncate(programs);
        }
        waiting.iter().for_each(|(_, block)| block.hurry());
        waiting.len()
    }

    /// Lets a process sleep, whose run was thrown away, until what it waits for is there; or lets it leave memory, where it may.
    pub(crate) async fn sleep(
        self: &Arc<Self>,
        block: &Arc<ControlBlock>,
        request: &Request,
        may_leave: bool,
    ) -> Result<Slept, JournalError> {
        let (watch, wakes_ns) = {
            let process = &mut *block.process.lock();
            let wakes_ns = wakes_ns(self, process, request);
            let watch = Watch::of(self, block, process, request);
            process.fall_asleep();
            (watch, wakes_ns)
        };
        block.set_asleep(true);
        self.ports.engine.rests(block.pid.tenant, block.pid.number());
        let woken = async {
            watch.ready(self, block).await;
            Slept::Woken
        };
        let slept = tokio::select! {
            biased;
            woken = woken => woken,
            away = self.leaves(block, &watch, wakes_ns), if may_leave => away,
        };
        if slept == Slept::Woken {
            self.wake(block).await?;
        }
        Ok(slept)
    }

    /// Waits until nothing ties a process that sleeps, and takes it out of memory. It is looked at again after pauses that double.
    async fn leaves(&self, block: &Arc<ControlBlock>, watch: &Watch, wakes_ns: Option<u64>) -> Slept {
        let clock = &self.ports.clock;
        let mut pause_ns = self.patience_ns.load(Ordering::Relaxed);
        while self.may_leave(block) {
            if self.leave(block, watch, wakes_ns) {
                return Slept::Away;
            }
            clock.sleep_until(clock.monotonic_ns().saturating_add(pause_ns)).await;
            pause_ns = pause_ns.saturating_mul(2);
        }
        std::future::pending().await
    }

    /// Makes a process that sleeps ready to be told again what it was told.
    async fn wake(self: &Arc<Self>, block: &ControlBlock) -> Result<(), JournalError> {
        let stored = self.ports.journal.wake(block.pid).await?;
        block.set_asleep(false);
        let gone = || JournalError::Unreadable("it does not know the process any more".into());
        let (began, lines, is_new) = last_run(&stored.ok_or_else(gone)?);
        let process = &mut *block.process.lock();
        let links = Arc::new(process.links());
        process.begin(&began);
        process.bill.rewind(began.ledger);
        process.replay = Replay::of(lines, links);
        process.is_silent = process.replay.is_some();
        if is_new {
            self.write(process, Some(Entry::Began(Box::new(began))))?;
        }
        Ok(())
    }
}

impl Process {
    /// Whether all that it holds can be had again.
    fn can_sleep(&self) -> bool {
        self.replay.is_none() && self.generations.iter().all(|(_, generation)| generation.is_at_rest())
    }

    /// What it waits for, and since when, where it can sleep through that.
    fn sleeps_through(&self) -> Option<(&Request, u64)> {
        let Waiting { request, since_ns, .. } = self.waits_in.as_ref().filter(|_| self.can_sleep())?;
        Some((request.as_ref()?, *since_ns))
    }

    /// Lets go of what nobody else can reach.
    fn fall_asleep(&mut self) {
        self.values = Values::default();
        self.models = Arena::default();
        self.generations = Arena::default();
        self.contexts = Arena::default();
        self.timers = Arena::default();
        self.watches = Arena::default();
    }

    /// What it shares with others, taken out of its tables to be found again by number.
    fn links(&mut self) -> Links {
        self.toll = Toll::default();
        self.parts.clear();
        let links = Links::default();
        for (_, call) in mem::take(&mut self.calls).iter() {
            links.keep_call(call.clone());
        }
        links.keep_answers(mem::take(&mut self.answers).into_objects());
        for (_, question) in mem::take(&mut self.questions).iter() {
            links.keep_question(question.clone());
        }
        for (_, call) in mem::take(&mut self.tool_calls).iter() {
            links.keep_tool_call(call.clone());
        }
        for (_, child) in mem::take(&mut self.children).iter() {
            links.keep_child(child.block.clone());
        }
        links
    }
}

impl Kernel {
    /// How long a durable process waits before it sleeps, in nanoseconds; `None`, as at first, lets nobody sleep. Of processes that
    /// begin a run from here on.
    pub fn set_patience(&self, patience_ns: Option<u64>) {
        self.shared.patience_ns.store(patience_ns.unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}
