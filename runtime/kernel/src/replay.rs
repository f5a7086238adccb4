//! Telling a process again what it was told before its host started anew.
//!
//! The guest runs from the beginning of its last run, and its syscalls are answered from the log: no engine is asked, no message is
//! sent, nothing is paid. Pure syscalls are done as ever. When the log is at its end, the process goes on: what it asked last,
//! and was not told, it asks now.
//!
//! Every request is compared with the one that the log has an answer to. The first that differs is a divergence: the guest is told
//! nothing more, and its process is parked.

use crate::{
    bill::Ledger,
    calls::{Answer, PendingCall},
    control::ControlBlock,
    effects::PendingToolCall,
    inbox::PendingQuestion,
    kernel::Shared,
    ports::{Asked, CallImage, CallState, Change, Entry, Line, Note},
    process::{Held, Process},
    syscalls::{self, Context},
};
use parking_lot::Mutex;
use remit_abi::{
    AccountId, Class, Completion, Delta, Exit, Fault, Fuel, FuelReply, Label, LlmReply, MemoryReply, Pid, Reply,
    Request, Signal, Usage, limits,
};
use rustc_hash::{FxHashMap, FxHashSet};
use std::{collections::VecDeque, sync::Arc};

/// What a process is still to be told again.
#[derive(Debug)]
pub(crate) struct Replay {
    lines: VecDeque<Line>,
    links: Arc<Links>,
    /// Where it begins with what another process was told: nothing of that one's is shared.
    anothers: Option<Links>,
}

/// What processes share that are put together again: found by its number, from whichever side comes first.
#[derive(Debug, Default)]
pub(crate) struct Links {
    /// The callers' ends of calls.
    calls: Mutex<FxHashMap<u64, Arc<PendingCall>>>,
    /// The other ends, each until a process has it.
    answers: Mutex<FxHashMap<u64, Answer>>,
    /// Children, until their parents have them again. A child may be faster than its parent, and end before that.
    children: Mutex<FxHashMap<Pid, Arc<ControlBlock>>>,
    /// Those that failed while their parents were told again.
    failed: Mutex<FxHashSet<Pid>>,
    /// Whether nothing is ever found: it is another process's.
    is_anothers: bool,
    questions: Mutex<FxHashMap<u64, Arc<PendingQuestion>>>,
    tool_calls: Mutex<FxHashMap<u64, Arc<PendingToolCall>>>,
}

/// Nobody's.
const NOBODY: Pid = Pid { tenant: remit_abi::TenantId(0), index: 0, generation: 0 };

/// The number of no call: they are counted up to it, and never come there.
const NO_CALL: u64 = u64::MAX;

impl Links {
    /// What is shared with what another process shared: nothing.
    fn of_another() -> Self {
        Self { is_anothers: true, ..Self::default() }
    }

    /// Whether all that is named is another process's.
    pub(crate) const fn is_anothers(&self) -> bool {
        self.is_anothers
    }

    /// A call as the log left it; its deadline on the node's monotonic clock.
    pub(crate) fn restore_call(&self, image: CallImage, state: CallState, deadline_ns: u64) {
        let CallImage { number, receiver, .. } = image;
        let call = match state {
            CallState::Open => {
                let (call, answer) = PendingCall::new(number, receiver, deadline_ns);
                self.answers.lock().insert(number, answer);
                call
            }
            CallState::Answered(letter) => {
                let letter = crate::mailbox::Letter::of_image(number, *letter, None);
                PendingCall::answered(number, receiver, Box::new(letter))
            }
            CallState::Unanswered => PendingCall::settled_before(number, receiver, false),
        };
        self.keep_call(call);
    }

    /// A call of a process that sleeps.
    pub(crate) fn keep_call(&self, call: Arc<PendingCall>) {
        self.calls.lock().insert(call.number, call);
    }

    /// The other ends of calls that a process has that sleeps.
    pub(crate) fn keep_answers(&self, answers: impl Iterator<Item = Answer>) {
        self.answers.lock().extend(answers.map(|answer| (answer.number(), answer)));
    }

    /// The caller's end of a call. Of one that the log has forgotten the answer was taken.
    pub(crate) fn call(&self, number: u64) -> Arc<PendingCall> {
        let call = self.calls.lock().get(&number).cloned();
        call.unwrap_or_else(|| PendingCall::settled_before(self.own(number), NOBODY, true))
    }

    /// The other end. Nobody waits for an answer that was given, or to a call that is forgotten.
    pub(crate) fn answer(&self, number: u64) -> Answer {
        let answer = self.answers.lock().remove(&number);
        answer.unwrap_or_else(|| Answer::to_nobody(PendingCall::settled_before(self.own(number), NOBODY, true)))
    }

    /// The number of a call, where it is the process's own: letting go of another's changes nothing.
    const fn own(&self, number: u64) -> u64 {
        if self.is_anothers { NO_CALL } else { number }
    }

    /// A question that its asker is to find again.
    pub(crate) fn keep_question(&self, question: Arc<PendingQuestion>) {
        self.questions.lock().insert(question.number, question);
    }

    /// A question to people. Of one that the log has forgotten the answer was taken, or it was let go.
    pub(crate) fn question(&self, number: u64) -> Arc<PendingQuestion> {
        self.known_question(number).unwrap_or_else(|| PendingQuestion::taken_before(self.own(number)))
    }

    /// A question that the log has not forgotten.
    pub(crate) fn known_question(&self, number: u64) -> Option<Arc<PendingQuestion>> {
        self.questions.lock().get(&number).cloned()
    }

    /// A call of a tool that its caller is to find again.
    pub(crate) fn keep_tool_call(&self, call: Arc<PendingToolCall>) {
        self.tool_calls.lock().insert(call.number, call);
    }

    /// A call of a tool. Of one that the log has forgotten the outcome was taken, or it was let go.
    pub(crate) fn tool_call(&self, number: u64) -> Arc<PendingToolCall> {
        let kept = self.tool_calls.lock().get(&number).cloned();
        kept.unwrap_or_else(|| PendingToolCall::taken_before(self.own(number)))
    }

    /// A child that its parent is to find again, alive or not.
    pub(crate) fn keep_child(&self, block: Arc<ControlBlock>) {
        self.children.lock().insert(block.pid, block);
    }

    /// Children of a process that does not come to find them again.
    fn children_of(&self, parent: Pid) -> Vec<Arc<ControlBlock>> {
        let children = self.children.lock();
        children.values().filter(|child| child.facts.parent == Some(parent)).cloned().collect()
    }

    /// A child: one that lives, one whose report nobody has taken, or what is left of one that is gone. One that kept no journal
    /// is gone with the host, and what it had not spent is its parent's again.
    pub(crate) fn child(&self, shared: &Shared, pid: Pid, funds: AccountId) -> Arc<ControlBlock> {
        if self.is_anothers {
            return Arc::new(ControlBlock::gone(NOBODY, None));
        }
        if let Some(block) = self.children.lock().remove(&pid) {
            return block;
        }
        let refunded = shared.accounts.lock().close(funds).ok();
        if refunded.is_some() {
            shared.change(None, [Change::Closed { account: funds }]);
        }
        Arc::new(ControlBlock::gone(pid, refunded))
    }
}

impl Replay {
    /// What follows the beginning of a run; `None` where nothing does.
    pub(crate) fn of(lines: Vec<Line>, links: Arc<Links>) -> Option<Box<Self>> {
        let is_forked = lines.iter().any(|line| matches!(line.entry, Entry::Forked(_)));
        let replay = Self { lines: lines.into(), links, anothers: is_forked.then(Links::of_another) };
        (!replay.lines.is_empty()).then(|| Box::new(replay))
    }

    /// The answer of the log; `None` where it is at its end.
    fn tell(&mut self, context: &mut Context<'_>, request: &Request) -> Option<Reply> {
        self.catch_up(context.process);
        self.lines.front()?;
        if !matches!(request, Request::Fuel(_)) {
            context.process.toll.count_paid(&context.process.bill);
        }
        if request.class() == Class::Pure {
            let reply = syscalls::validate(context.process, request);
            return Some(reply.map_or_else(|reply| reply, |()| syscalls::act(context, request)));
        }
        let Line { sequence, entry, .. } = self.lines.pop_front()?;
        let diverged = |why: String| Some(Reply::Fault(Fault::Diverged(format!("at entry {sequence}, {why}").into())));
        let Entry::Told(told) = entry else { return diverged("the log has no answer".to_owned()) };
        if told.asked != Asked::of(request) {
            return diverged(format!("it asked {} then, and {} now", then(&told.asked), now(request)));
        }
        let (links, own) = (self.anothers.as_ref().unwrap_or(&self.links), context.process.in_own_names(request));
        if let Err(why) = syscalls::again(context, links, &own, &told) {
            return diverged(format!("{why}: it asked {}", now(request)));
        }
        context.process.label = told.label;
        context.process.bill.paid_before(told.paid);
        self.catch_up(context.process);
        Some(told.reply.into_owned())
    }

    /// Does what others did to the process at this place.
    fn catch_up(&mut self, process: &mut Process) {
        loop {
            self.skip();
            match self.lines.front() {
                Some(Line { entry: Entry::Given(held), .. }) => {
                    // It took the place of a revoked one of that label.
                    if let Some(revoked) = process.grants.find(&held.label) {
                        process.grants.remove(revoked);
                    }
                    process.grants.adopt(Held::from(held.clone()));
                    self.lines.pop_front();
                }
                Some(Line { entry: Entry::Committed(began), .. }) => {
                    process.bill.had_paid(began.ledger.paid);
                    self.lines.pop_front();
                }
                Some(Line { entry: Entry::Forked(forked), .. }) => {
                    process.become_its_own((**forked).clone());
                    self.anothers = None;
                    self.lines.pop_front();
                }
                _ => return,
            }
        }
    }

    /// Passes over what answers nothing.
    fn skip(&mut self) {
        while let Some(Line { entry: Entry::Intended(_), .. }) = self.lines.front() {
            self.lines.pop_front();
        }
    }

    /// A child failed. Whether it still is one is known when all is told.
    pub(crate) fn child_failed(&self, child: Pid) {
        self.links.failed.lock().insert(child);
    }

    /// Children that the process has not found again.
    pub(crate) fn children_of(&self, parent: Pid) -> Vec<Arc<ControlBlock>> {
        self.links.children_of(parent)
    }

    /// What its books and its label will be when all is told.
    pub(crate) fn ahead(&self, mut ledger: Ledger, mut label: Label) -> (Ledger, Label) {
        for Line { entry, .. } in &self.lines {
            match entry {
                Entry::Told(told) => {
                    label = told.label;
                    ledger.paid = ledger.paid.saturating_add(told.paid);
                    match &*told.reply {
                        Reply::Llm(Ok(LlmReply::Completed(Completion { summary, .. })))
                        | Reply::Llm(Ok(LlmReply::Next(Delta::End(summary)))) => {
                            ledger.usage = ledger.usage.plus(summary.usage);
                        }
                        // Also where it failed: summaries had been written by then.
                        Reply::Context(_) => {
                            let used = told.notes.iter().filter_map(|note| match note {
                                Note::Used(used) => Some(used.usage),
                                _ => None,
                            });
                            ledger.usage = used.fold(ledger.usage, Usage::plus);
                        }
                        Reply::Memory(Ok(MemoryReply::Cited(cited))) => {
                            ledger.citations = ledger.citations.with(cited.offset.is_some());
                        }
                        Reply::Fuel(FuelReply::Granted) => {
                            ledger.fuel = Fuel(ledger.fuel.0.saturating_add(limits::FUEL_SLICE.0));
                        }
                        _ => {}
                    }
                }
                Entry::Committed(began) => ledger.paid = began.ledger.paid,
                _ => {}
            }
        }
        (ledger, label)
    }

    /// Whether what is told next was told to another process.
    pub(crate) const fn is_anothers(&self) -> bool {
        self.anothers.is_some()
    }

    fn is_over(&self) -> bool {
        self.lines.is_empty()
    }
}

impl Shared {
    /// The reply to a process that is told again what it was told before; `None` to all others.
    pub(crate) fn replayed(&self, context: &mut Context<'_>, request: &Request) -> Option<Reply> {
        let mut replay = context.process.replay.take()?;
        let reply = replay.tell(context, request);
        if replay.is_over() {
            context.process.is_silent = false;
            self.tell_of_failed_children(context, &replay.links);
        } else {
            context.process.replay = Some(replay);
        }
        reply
    }

    /// Those that failed meanwhile, and that the process still has.
    fn tell_of_failed_children(&self, context: &Context<'_>, links: &Links) {
        let mut failed = links.failed.lock();
        // All of them are to be struck off.
        let has_failed = context.process.children.iter().filter(|(_, child)| failed.remove(&child.block.pid)).count();
        if has_failed > 0 {
            self.signal(context.block, Signal::ChildFailed);
        }
    }

    /// How a run ended: not at all, where it was to be told more.
    pub(crate) fn ended_in_replay(&self, process: &Process, exit: Exit) -> Exit {
        let Some(replay) = &process.replay else { return exit };
        match (&exit.end, replay.lines.front()) {
            (Err(Fault::Killed | Fault::Diverged(_)), _) | (_, None) => exit,
            (_, Some(line)) => {
                let why = format!("it ended before entry {}, and did not then", line.sequence);
                Exit { end: Err(Fault::Diverged(why.into())), fuel: None }
            }
        }
    }
}

/// How much of a request a sentence shows, in bytes.
const SHOWN_BYTES_MAX: usize = 200;

fn then(asked: &Asked) -> String {
    match asked {
        Asked::Whole(_) => asked.request().map_or_else(|| "something unreadable".to_owned(), |request| now(&request)),
        Asked::Digest { kind, size, digest } => {
            let digest: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            format!("a request of {size} bytes (kind {}.{}, SHA-256 {digest}...)", kind[0], kind[1])
        }
    }
}

fn now(request: &Request) -> String {
    let mut text = format!("{request:?}");
    text.truncate(text.floor_char_boundary(SHOWN_BYTES_MAX));
    text
}
