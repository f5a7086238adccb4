//! What an act of a process has done and nobody has seen yet.
//!
//! An act changes tables while it is under way. What that means for the journal is gathered here, and so is what others are to
//! see of it; both go out with the act's entry: first it is written down, then it is seen. So nobody can be told something that
//! the log has before its cause, and a crash between the two takes both away.

use crate::{
    calls::Answer,
    control::ControlBlock,
    effects::WithdrawnCall,
    inbox::PendingQuestion,
    kernel::Shared,
    mailbox::Letter,
    memories::HeldEntries,
    ports::{Change, MemoryAct, ModelUse, Note, Position, Program},
    room::Room,
};
use remit_abi::{Event, GrantId, Order, Pid, Signal};
use std::sync::Arc;

/// What others see of an act.
#[derive(Debug)]
pub(crate) enum Publish {
    /// A message, and the room that it takes.
    Letter { to: Arc<ControlBlock>, letter: Box<Letter>, room: Room },
    /// The answer to a call.
    Answer { answer: Answer, letter: Box<Letter> },
    /// A child that starts.
    Start { block: Arc<ControlBlock>, program: Program },
    /// A child that is asked something.
    Order { block: Arc<ControlBlock>, order: Order },
    /// A child that is killed.
    Kill { block: Arc<ControlBlock> },
    /// Something to show to whoever started the process.
    Event { block: Arc<ControlBlock>, event: Event, is_due: bool },
    /// A question to people, which was asked under this grant.
    Question { number: u64, asker: Pid, grant: GrantId },
    /// Something that people are told.
    Notice { number: u64, sender: Pid },
    /// A question whose grant was revoked.
    Withdrawn { asker: Pid, question: Arc<PendingQuestion> },
    /// A call of a tool, which was made under this grant.
    ToolCall { number: u64, caller: Pid, grant: GrantId },
    /// A call of a tool whose grant was revoked.
    WithdrawnCall { call: Box<WithdrawnCall> },
}

/// What goes out with the next entry of a process.
#[derive(Debug, Default)]
pub(crate) struct Due {
    /// Whether what stands behind a reply's ids is written down.
    pub(crate) keeps_notes: bool,
    /// Whether changes of the node's tables are.
    pub(crate) keeps_changes: bool,
    pub(crate) notes: Vec<Note>,
    pub(crate) changes: Vec<Change>,
    pub(crate) publish: Vec<Publish>,
    /// What is written to the tenant's memory.
    pub(crate) remembers: Vec<MemoryAct>,
    /// Entries that nobody else writes until that is done.
    pub(crate) held_entries: HeldEntries,
}

impl Due {
    /// Says what stands behind an id of the reply.
    pub(crate) fn note(&mut self, note: impl FnOnce() -> Note) {
        if self.keeps_notes {
            self.notes.push(note());
        }
    }

    /// Says what a model did, where it did something.
    pub(crate) fn used(&mut self, used: Option<ModelUse>) {
        if let Some(used) = used {
            self.note(|| Note::Used(used));
        }
    }

    /// Says what is different for the node.
    pub(crate) fn change(&mut self, change: impl FnOnce() -> Change) {
        if self.keeps_changes {
            self.changes.push(change());
        }
    }

    /// Lets others see something, once it is written down.
    pub(crate) fn publish(&mut self, publish: Publish) {
        self.publish.push(publish);
    }
}

impl Publish {
    /// Lets it be seen; it was written down at this place.
    pub(crate) fn go_out(self, shared: &Arc<Shared>, at: Position) {
        match self {
            Self::Letter { to, letter, room } => {
                // Whoever ended meanwhile has not read it, and what came with it is nobody's.
                if let Err(letter) = to.mailbox.put(letter, room) {
                    shared.drop_letters(vec![*letter]);
                }
            }
            Self::Answer { answer, letter } => {
                if let Err(letter) = answer.give(letter) {
                    shared.drop_letters(vec![*letter]);
                }
            }
            Self::Start { block, program } => shared.set_going(&block, program),
            Self::Order { block, order } => match order {
                Order::Cancel => shared.signal(&block, Signal::Cancel),
                Order::Suspend => shared.suspend(&block),
                Order::Resume => shared.resume(&block),
            },
            Self::Kill { block } => shared.kill(&block),
            Self::Event { block, event, is_due } => block.outlet.keep(event, is_due, at),
            Self::Question { number, grant, .. } => shared.show_question(number, grant),
            Self::Notice { number, .. } => shared.inbox.lock().show(number),
            Self::Withdrawn { asker, question } => shared.withdraw(asker, &question),
            Self::ToolCall { number, caller, grant } => shared.set_tool_call_going(caller.tenant, number, grant),
            Self::WithdrawnCall { call } => shared.tell_withdrawn(&call),
        }
    }

    /// It will not be seen: the process stops, since it could not be written down.
    pub(crate) fn be_dropped(self, shared: &Arc<Shared>) {
        match self {
            Self::Letter { letter, .. } | Self::Answer { letter, .. } => shared.drop_letters(vec![*letter]),
            Self::Start { block, .. } => shared.drop_child(&block),
            Self::Question { number, asker: process, .. } | Self::Notice { number, sender: process } => {
                shared.inbox.lock().remove(process.tenant, number);
            }
            // The grant is revoked all the same.
            Self::Withdrawn { asker, question } => shared.withdraw(asker, &question),
            Self::WithdrawnCall { call } => shared.tell_withdrawn(&call),
            Self::ToolCall { number, caller, .. } => shared.unmake_tool_call(caller, number),
            Self::Order { .. } | Self::Kill { .. } | Self::Event { .. } => {}
        }
    }
}
