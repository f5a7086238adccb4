//! Telling a process again what it was told before its host started anew.
//!
//! The guest runs from the beginning of its last run, and its syscalls are answered from the log: no engine is asked, no message is
//! sent, nothing is paid. Pure syscalls are done as ever. When the log is at its end, the process goes on: what it asked last,
//! and was not told, it asks now.
//!
//! Every request is compared with the one that the log has an answer to. The first that differs is a divergence: the guest is told
//! nothing more, and its process is parked.

use crate::{
    calls::{Answer, PendingCall},
    control::ControlBlock,
    inbox::PendingQuestion,
    kernel::Shared,
    ports::{Asked, CallImage, CallState, Change, Entry, Line},
    process::{Held, Process},
    syscalls::{self, Context},
};
use parking_lot::Mutex;
use remit_abi::{AccountId, Class, Exit, Fault, Pid, Reply, Request};
use rustc_hash::FxHashMap;
use std::{collections::VecDeque, sync::Arc};

/// What a process is still to be told again.
#[derive(Debug)]
pub(crate) struct Replay {
    lines: VecDeque<Line>,
    links: Arc<Links>,
}

/// What processes share that are put together again: found by its number, from whichever side comes first.
#[derive(Debug, Default)]
pub(crate) struct Links {
    calls: Mutex<FxHashMap<u64, Ends>>,
    /// Children that had ended, with a report that nobody had taken.
    pub(crate) ended: Mutex<FxHashMap<Pid, Arc<ControlBlock>>>,
    questions: Mutex<FxHashMap<u64, Arc<PendingQuestion>>>,
}

/// Both ends of a call; that of whoever is to answer until a process has it.
type Ends = (Arc<PendingCall>, Option<Answer>);

/// Nobody's.
const NOBODY: Pid = Pid { tenant: remit_abi::TenantId(0), index: 0, generation: 0 };

impl Links {
    /// A call as the log left it; its deadline on the node's monotonic clock.
    pub(crate) fn restore_call(&self, image: CallImage, state: CallState, deadline_ns: u64) {
        let CallImage { number, receiver, .. } = image;
        let ends = match state {
            CallState::Open => {
                let (call, answer) = PendingCall::new(number, receiver, deadline_ns);
                (call, Some(answer))
            }
            CallState::Answered(letter) => {
                let letter = crate::mailbox::Letter::of_image(number, *letter, None);
                (PendingCall::answered(number, receiver, Box::new(letter)), None)
            }
            CallState::Unanswered => (PendingCall::settled_before(number, receiver, false), None),
        };
        self.calls.lock().insert(number, ends);
    }

    /// A call of a process that sleeps.
    pub(crate) fn keep_call(&self, call: Arc<PendingCall>) {
        self.calls.lock().insert(call.number, (call, None));
    }

    /// The other ends of calls that a process has that sleeps.
    pub(crate) fn keep_answers(&self, answers: impl Iterator<Item = Answer>) {
        let mut calls = self.calls.lock();
        for answer in answers {
            let number = answer.number();
            calls.insert(number, (PendingCall::settled_before(number, NOBODY, true), Some(answer)));
        }
    }

    /// The caller's end of a call. Of one that the log has forgotten the answer was taken.
    pub(crate) fn call(&self, number: u64) -> Arc<PendingCall> {
        let calls = self.calls.lock();
        let call = calls.get(&number).map(|(call, _)| call.clone());
        call.unwrap_or_else(|| PendingCall::settled_before(number, NOBODY, true))
    }

    /// The other end. Nobody waits for an answer that was given, or to a call that is forgotten.
    pub(crate) fn answer(&self, number: u64) -> Answer {
        let answer = self.calls.lock().get_mut(&number).and_then(|(_, answer)| answer.take());
        answer.unwrap_or_else(|| Answer::to_nobody(PendingCall::settled_before(number, NOBODY, true)))
    }

    /// A question that its asker is to find again.
    pub(crate) fn keep_question(&self, question: Arc<PendingQuestion>) {
        self.questions.lock().insert(question.number, question);
    }

    /// A question to people. Of one that the log has forgotten the answer was taken, or it was let go.
    pub(crate) fn question(&self, number: u64) -> Arc<PendingQuestion> {
        let kept = self.questions.lock().get(&number).cloned();
        kept.unwrap_or_else(|| PendingQuestion::taken_before(number))
    }

    /// A child: one that lives, one whose report nobody has taken, or what is left of one that is gone. One that kept no journal
    /// is gone with the host, and what it had not spent is its parent's again.
    pub(crate) fn child(&self, shared: &Shared, pid: Pid, funds: AccountId) -> Arc<ControlBlock> {
        let ended = || self.ended.lock().get(&pid).cloned();
        if let Some(block) = shared.block(pid).or_else(ended) {
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
        let mut replay = Self { lines: lines.into(), links };
        replay.skip();
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
        if let Err(why) = syscalls::again(context, &self.links, request, &told) {
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
                _ => return,
            }
        }
    }

    /// Passes over what answers nothing.
    fn skip(&mut self) {
        while let Some(Line { entry: Entry::Committed(_) | Entry::Intended(_), .. }) = self.lines.front() {
            self.lines.pop_front();
        }
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
        let diverged = matches!(reply, Some(Reply::Fault(Fault::Diverged(_))));
        if replay.is_over() {
            context.process.is_silent = false;
        } else if !diverged {
            context.process.replay = Some(replay);
        }
        reply
    }

    /// How a run ended: not at all, where it was to be told more.
    pub(crate) fn ended_in_replay(&self, process: &mut Process, exit: Exit) -> Exit {
        let Some(replay) = process.replay.take() else { return exit };
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
