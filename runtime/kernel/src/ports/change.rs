//! What an entry changes for others than its process: the node's own tables, as they are kept beside the log.
//!
//! A change is told in the same record as the entry that caused it, so that both survive a crash or neither does. Amounts are
//! relative, so that records of different processes may come in any order, and each leaves the sum of all accounts as it was.

use super::{
    Decided, GivenAnswer, HeldImage, MemoryWrite, Notice, PostedQuestion, PostedToolCall, Sleeper, StandingApproval,
    ToolOutcome, ValueImage,
};
use crate::{Finished, Selection};
use remit_abi::{AccountId, GrantId, Label, Pid, TenantId, Tokens};
use remit_authority::GrantImage;
use serde::{Deserialize, Serialize};

/// A change of the node's tables.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Change {
    /// A root account was opened.
    Deposited {
        /// The new one.
        account: AccountId,
        /// What it holds.
        amount: Tokens,
    },
    /// An account was opened with a part of another one.
    Split {
        /// Whose part.
        from: AccountId,
        /// The new one.
        account: AccountId,
        /// How much.
        amount: Tokens,
    },
    /// Tokens went from one account to another.
    Moved {
        /// From which.
        from: AccountId,
        /// To which.
        to: AccountId,
        /// How much.
        amount: Tokens,
    },
    /// An account paid for work.
    Paid {
        /// Which.
        account: AccountId,
        /// How much.
        amount: Tokens,
    },
    /// An account got back what it had paid.
    Refunded {
        /// Which.
        account: AccountId,
        /// How much.
        amount: Tokens,
    },
    /// An account was closed: what it holds and paid is its parent's, and so are its children. What a root held is gone.
    Closed {
        /// Which.
        account: AccountId,
    },
    /// A grant is new, or became another.
    Granted(Box<GrantImage>),
    /// A grant is forgotten.
    GrantGone {
        /// Which.
        grant: GrantId,
    },
    /// A grant was used, and with it all that it derives from.
    GrantUsed {
        /// Which.
        grant: GrantId,
    },
    /// A message is in a mailbox.
    Sent {
        /// The letter's, of all letters and calls of the node.
        number: u64,
        /// In whose.
        to: Pid,
        /// What it says.
        letter: Box<LetterImage>,
    },
    /// A message left its mailbox: it was received, or its receiver ended.
    LetterGone {
        /// Which.
        number: u64,
    },
    /// A call was made; its letter is told besides.
    Called(CallImage),
    /// A call was answered.
    Answered {
        /// Which.
        number: u64,
        /// With what.
        letter: Box<LetterImage>,
    },
    /// Whoever was to answer a call let go of it.
    Unanswered {
        /// Which.
        number: u64,
    },
    /// The caller has the answer, or wants it no more.
    CallGone {
        /// Which.
        number: u64,
    },
    /// A process ended. What waited in its mailbox is gone; its report is kept for whoever started it.
    Ended {
        /// Which.
        pid: Pid,
        /// How.
        finished: Box<Finished>,
    },
    /// A report was taken, or nobody wants it.
    ReportGone {
        /// Of which process.
        pid: Pid,
    },
    /// A process belongs to nobody any more: its report goes nowhere.
    Detached {
        /// Which.
        pid: Pid,
    },
    /// Why a process takes no turns: the bits of its holds; 0 where it takes them.
    Held {
        /// Which.
        pid: Pid,
        /// All of them.
        holds: u8,
    },
    /// What a process was signalled and has not taken: the bits of its signals.
    Signalled {
        /// Which.
        pid: Pid,
        /// All of them.
        signals: u8,
    },
    /// A freeze began.
    Frozen(Selection),
    /// A freeze ended.
    Thawed(Selection),
    /// A confidentiality tag has a name.
    Tagged {
        /// Whose.
        tenant: TenantId,
        /// Its bit.
        index: u32,
        /// Its name.
        name: Box<str>,
    },
    /// A question was put to people.
    Questioned(Box<PostedQuestion>),
    /// A question was answered: by a person, or by what one had approved for good.
    QuestionAnswered {
        /// Which.
        number: u64,
        /// By whom, when, and what.
        answer: GivenAnswer,
    },
    /// The right to ask was taken back before anybody answered.
    QuestionWithdrawn {
        /// Which.
        number: u64,
    },
    /// The asker has the answer, or wants it no more.
    QuestionGone {
        /// Which.
        number: u64,
    },
    /// A person approved something for good.
    Approved(Box<StandingApproval>),
    /// An approval stands no more.
    ApprovalWithdrawn {
        /// Which.
        number: u64,
        /// The name of the person who withdrew it.
        by: Box<str>,
        /// On the wall clock, in nanoseconds since 1970-01-01T00:00:00Z.
        at_ns: u64,
    },
    /// People were told something.
    Notified(Box<Notice>),
    /// A notice is not kept any more: later ones took its place.
    NoticeGone {
        /// Which.
        number: u64,
    },
    /// A process has left memory. Void where it is held or signalled, and from the next thing on that is written down of it.
    Slept(Box<Sleeper>),
    /// A tool was called. It is not begun before this is durable.
    ToolCalled(Box<PostedToolCall>),
    /// A call of a tool is begun, once or once more. From here on it may have been done.
    ToolBegun {
        /// Which.
        number: u64,
        /// Where a person said that it is to be.
        decided: Option<Decided>,
    },
    /// People are asked about a call of a tool that may have been done.
    ToolDoubted {
        /// Which.
        number: u64,
        /// The question.
        question: u64,
    },
    /// Something came of a call of a tool.
    ToolReturned {
        /// Of which.
        number: u64,
        /// What.
        outcome: Box<ToolOutcome>,
        /// Where it is what a person said.
        decided: Option<Decided>,
    },
    /// The caller has what came of it, or wants it no more.
    ToolCallGone {
        /// Which.
        number: u64,
    },
    /// A tenant's memory was written. It is kept until the memory's own files have it. Of an entry that it purges the journal keeps nothing:
    /// neither what is still to be written of it, nor what any process was told of it.
    Remembered {
        /// Whose.
        tenant: TenantId,
        /// What.
        write: Box<MemoryWrite>,
    },
    /// The memory's own files have all writes of a tenant up to this number.
    RememberedUpTo {
        /// Whose.
        tenant: TenantId,
        /// Of the last of them.
        number: u64,
    },
    /// An operator decided what is kept running under a name.
    Deployed {
        /// Whose it is.
        tenant: TenantId,
        /// Its name.
        name: Box<str>,
        /// What was decided, as its writer has it; `None` where it is kept running no more.
        state: Option<Box<str>>,
    },
}

/// A message in a mailbox, or the answer to a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LetterImage {
    /// Who sent it.
    pub sender: Pid,
    /// What the sender had read.
    pub sender_label: Label,
    /// What it is about.
    pub topic: Box<str>,
    /// What it says.
    pub body: ValueImage,
    /// What goes over with it.
    pub grants: Vec<HeldImage>,
    /// Where it is a call: the call's number.
    pub call: Option<u64>,
}

/// A call between two processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallImage {
    /// Of all letters and calls of the node.
    pub number: u64,
    /// Who made it.
    pub caller: Pid,
    /// Who is to answer.
    pub receiver: Pid,
    /// Until when, on the wall clock.
    pub deadline_ns: u64,
}

/// What became of a call so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum CallState {
    /// Nothing.
    Open,
    /// It was answered.
    Answered(Box<LetterImage>),
    /// It never will be.
    Unanswered,
}
