//! Agents that run in circles: noticed by what they ask of models and what comes of it, signalled, and then parked.
//!
//! | what happened since something last came of it | counts as |
//! | --- | --- |
//! | a model was asked what it had been asked, and answered what it had answered | a repetition |
//! | a model answered what it had answered, whatever it was asked | an idle turn |
//! | something was shown, sent, started, received or committed that had not been before | progress: all counts begin anew |
//!
//! At as many of either as the policy says the process is signalled to finish politely ([`Signal::Cancel`]). At twice as many it takes
//! no more turns, and an operator sees why; letting it go on begins all counts anew. What is compared are
//! hashes of contents, not ids, so that an agent that makes new values of the same text is seen through. Counts are of the
//! run in memory: a host that starts anew begins them anew.

use crate::{
    control::ControlBlock,
    due::Publish,
    kernel::{Kernel, Shared},
    process::Process,
};
use remit_abi::{CheckpointRequest, Event, HumanReply, MailboxReply, Reply, Request, Signal, ToolReply};
use rustc_hash::FxHasher;
use std::{
    collections::VecDeque,
    hash::{Hash, Hasher},
};

/// When an agent is held to run in circles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunawayPolicy {
    /// Repetitions after which it is signalled.
    pub repetitions: u32,
    /// Idle turns in a row after which it is signalled.
    pub idle_turns: u32,
    /// Whether it is parked at twice as many.
    pub parks: bool,
}

impl Default for RunawayPolicy {
    /// Signalled at 4 repetitions or 12 idle turns, parked at 8 or 24.
    fn default() -> Self {
        Self { repetitions: 4, idle_turns: 12, parks: true }
    }
}

/// One answer of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    /// Of the prompt and the parameters.
    pub(crate) asked: u64,
    /// Of all that was answered.
    pub(crate) answered: u64,
}

/// What is remembered at most of each kind: circles that are longer are not seen.
const REMEMBERED_MAX: usize = 64;

/// What a process has asked, been answered and done lately.
#[derive(Debug, Default)]
pub(crate) struct Circles {
    turns: VecDeque<Turn>,
    work: VecDeque<u64>,
    repetitions: u32,
    idle_turns: u32,
}

/// What is done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Signal,
    Park,
}

impl Circles {
    /// A model answered.
    fn turned(&mut self, turn: Turn, policy: RunawayPolicy) -> Option<Verdict> {
        let repeats = self.turns.contains(&turn);
        let is_idle = self.turns.iter().any(|before| before.answered == turn.answered);
        self.repetitions = if repeats { self.repetitions.saturating_add(1) } else { 0 };
        self.idle_turns = if is_idle { self.idle_turns.saturating_add(1) } else { 0 };
        remember(&mut self.turns, turn);
        let is_at = |times: u32| {
            // The first one of these is no repetition of itself.
            let reached = |count: u32, limit: u32| count.checked_add(1) == limit.checked_mul(times);
            reached(self.repetitions, policy.repetitions) || reached(self.idle_turns, policy.idle_turns)
        };
        match () {
            () if policy.parks && is_at(2) => Some(Verdict::Park),
            () if is_at(1) => Some(Verdict::Signal),
            () => None,
        }
    }

    /// Something came of it.
    fn worked(&mut self, work: u64) {
        if !self.work.contains(&work) {
            remember(&mut self.work, work);
            (self.repetitions, self.idle_turns) = (0, 0);
            self.turns.clear();
        }
    }
}

fn remember<T>(lately: &mut VecDeque<T>, new: T) {
    if lately.len() >= REMEMBERED_MAX {
        lately.pop_front();
    }
    lately.push_back(new);
}

/// Of contents.
pub(crate) fn hash_of(content: impl Hash) -> u64 {
    let mut hasher = FxHasher::default();
    content.hash(&mut hasher);
    hasher.finish()
}

impl Shared {
    /// A model answered a process: whether that one runs in circles.
    pub(crate) fn turned(&self, block: &ControlBlock, turn: Option<Turn>) {
        let (Some(turn), Some(policy)) = (turn, *self.runaway.read()) else { return };
        let (verdict, counts) = {
            let process = &mut *block.process.lock();
            let circles = process.circles.get_or_insert_default();
            (circles.turned(turn, policy), (circles.repetitions, circles.idle_turns))
        };
        let Some(verdict) = verdict else { return };
        let (repetitions, idle_turns) = counts;
        tracing::warn!(pid = %block.pid, repetitions, idle_turns, ?verdict, "runs in circles");
        match verdict {
            Verdict::Signal => self.signal(block, Signal::Cancel),
            Verdict::Park => {
                let why = match repetitions.saturating_add(1) >= policy.repetitions.saturating_mul(2) {
                    true => format!("it asked a model the same {} times, and was answered the same", repetitions + 1),
                    false => {
                        format!("a model told it nothing new in {} turns, and nothing came of them", idle_turns + 1)
                    }
                };
                block.park_for_now(format!("it runs in circles: {why}").into());
                self.suspend(block);
            }
        }
    }
}

impl Process {
    /// Notes what comes of an answer, where anybody counts.
    pub(crate) fn note_work(&mut self, request: &Request, reply: &Reply) {
        let Some(mut circles) = self.circles.take() else { return };
        for publish in &self.due.publish {
            match publish {
                Publish::Letter { letter, .. } | Publish::Answer { letter, .. } => {
                    circles.worked(hash_of((&letter.topic, &letter.body.bytes)));
                }
                Publish::Event { event, .. } => hash_of_event(event).map_or((), |shown| circles.worked(shown)),
                Publish::Start { block, .. } => circles.worked(hash_of(block.pid)),
                // A person is there to see that it is the same again.
                Publish::Question { number, .. } => circles.worked(hash_of(number)),
                // What a tool says to it is looked at when it says that.
                Publish::ToolCall { .. }
                | Publish::WithdrawnCall { .. }
                | Publish::Order { .. }
                | Publish::Kill { .. }
                | Publish::Notice { .. }
                | Publish::Withdrawn { .. } => {}
            }
        }
        if let Reply::Mailbox(Ok(MailboxReply::Received(incoming))) = reply {
            let body = self.values.get(incoming.body).map(|value| hash_of(&value.bytes));
            circles.worked(hash_of((incoming.sender, body)));
        }
        if let Reply::Tool(Ok(ToolReply::Returned(said) | ToolReply::Failed(said))) = reply {
            circles.worked(hash_of(self.values.get(*said).map(|value| hash_of(&value.bytes))));
        }
        // A person spoke.
        if let Reply::Human(Ok(HumanReply::Answered(answered))) = reply {
            circles.worked(hash_of((&answered.by, answered.at_ns)));
        }
        if let (Request::Checkpoint(CheckpointRequest::Commit { state }), Reply::Checkpoint(Ok(()))) = (request, reply)
        {
            circles.worked(hash_of(state));
        }
        self.circles = Some(circles);
    }
}

/// What is shown; what an operator is told to find faults by is no result.
fn hash_of_event(event: &Event) -> Option<u64> {
    match event {
        Event::Text { text, .. } => Some(hash_of(text)),
        Event::Progress { done, total, note } => Some(hash_of((done, total, note))),
        Event::Artifact { name, bytes, .. } => Some(hash_of((name, bytes))),
        Event::Log { .. } => None,
    }
}

impl Kernel {
    /// When an agent is held to run in circles; `None`, as at first, never.
    pub fn set_runaway(&self, policy: Option<RunawayPolicy>) {
        *self.shared.runaway.write() = policy;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RunawayPolicy = RunawayPolicy { repetitions: 3, idle_turns: 5, parks: true };

    fn verdicts(circles: &mut Circles, turns: impl IntoIterator<Item = (u64, u64)>) -> Vec<Option<Verdict>> {
        let turns = turns.into_iter().map(|(asked, answered)| Turn { asked, answered });
        turns.map(|turn| circles.turned(turn, POLICY)).collect()
    }

    #[test]
    fn the_same_again_and_again_is_signalled_and_then_parked() {
        let mut circles = Circles::default();
        let (signal, park) = (Some(Verdict::Signal), Some(Verdict::Park));
        assert_eq!(verdicts(&mut circles, [(1, 1); 7]), [None, None, signal, None, signal, park, None]);
        let mut alternating = Circles::default();
        let pairs = (0..8).map(|turn| (turn % 2, turn % 2));
        assert!(verdicts(&mut alternating, pairs).contains(&park), "circles of several turns are circles too");
    }

    #[test]
    fn an_answer_that_is_known_is_idle_whatever_was_asked() {
        let mut circles = Circles::default();
        let verdicts = verdicts(&mut circles, (0..10).map(|asked| (asked, 7)));
        assert_eq!(verdicts.iter().position(|verdict| *verdict == Some(Verdict::Signal)), Some(4));
        assert_eq!(verdicts.iter().position(|verdict| *verdict == Some(Verdict::Park)), Some(9));
    }

    #[test]
    fn new_answers_and_new_work_are_no_circle_and_old_work_is() {
        let mut busy = Circles::default();
        assert!(verdicts(&mut busy, (0..100).map(|turn| (1, turn))).iter().all(Option::is_none));
        let mut working = Circles::default();
        for turn in 0..100 {
            assert_eq!(working.turned(Turn { asked: 1, answered: 1 }, POLICY), None);
            working.worked(turn);
        }
        let mut pretending = Circles::default();
        let turned = (0..6).map(|_| {
            pretending.worked(1);
            pretending.turned(Turn { asked: 1, answered: 1 }, POLICY)
        });
        assert!(turned.collect::<Vec<_>>().contains(&Some(Verdict::Park)));
    }
}
