//! What records do to the tables: each commit's are folded in memory, and each row that changed is written once.
//!
//! | part | tables |
//! | --- | --- |
//! | `processes` | `processes`, `logs`, `chunks` |
//! | `sleepers` | `sleepers`, `kinds` |
//! | `accounts` | `accounts` |
//! | `grants` | `grants` |
//! | `mail` | `letters`, `calls`, `reports` |
//! | `names` | `tags`, `frozen`, `deployments` |
//! | `inbox` | `questions`, `approvals`, `notices` |
//! | `tool_calls` | `tool_calls` |
//! | `memory` | `memory_writes`, `remembered`, `memory_keys` |
//! | `audit::chain` | `chains`, `audit`, `checkpoints` |
//!
//! A fold that fails is thrown away as a whole, and done again from the records: what is in memory is what is in the tables, or what the
//! commit under way will put there.

pub(crate) mod accounts;
mod grants;
pub(crate) mod inbox;
pub(crate) mod mail;
pub(crate) mod memory;
mod names;
pub(crate) mod processes;
pub(crate) mod rows;
mod sleepers;
mod tool_calls;

use crate::{
    audit::{Chains, Signer, chain},
    error::Damage,
    folder::Folder,
    number::{self, stored},
    queue::{Group, Kind, Taken},
    seal::{Key, Place, Sealer},
};
use accounts::Accounts;
use grants::Grants;
use inbox::Inbox;
use mail::Mail;
use memory::Memory;
use names::Names;
use processes::{PLAIN_VERSION, Placed, Processes};
use remit_abi::{Pid, TenantId};
use remit_kernel::ports::{Change, MemoryAct, MemoryWrite, NextNumbers};
use rusqlite::{Connection, params};
use serde::Serialize;
use tool_calls::ToolCalls;

/// What a fold needs besides its state.
pub(crate) struct Tools<'a> {
    pub(crate) db: &'a Connection,
    pub(crate) folder: &'a Folder,
    pub(crate) signer: &'a Signer,
    pub(crate) sealer: &'a mut Sealer,
}

impl Tools<'_> {
    fn seal(&mut self, key: &Key, place: Place, plain: &[u8]) -> Result<Vec<u8>, Damage> {
        Ok(self.sealer.seal(key, place, plain)?)
    }
}

/// A value as it is sealed: by which version, then postcard.
fn plaintext(value: &impl Serialize) -> Result<Vec<u8>, Damage> {
    Ok(postcard::to_extend(value, vec![PLAIN_VERSION])?)
}

/// The tables, as far as they are in memory.
pub(crate) struct Fold {
    processes: Processes,
    accounts: Accounts,
    grants: Grants,
    mail: Mail,
    names: Names,
    inbox: Inbox,
    tool_calls: ToolCalls,
    memory: Memory,
    chains: Chains,
    next: NextNumbers,
}

impl Fold {
    /// Nothing but the next numbers is read.
    pub(crate) fn new(db: &Connection) -> Result<Self, Damage> {
        Ok(Self {
            processes: Processes::new(db)?,
            accounts: Accounts::default(),
            grants: Grants::default(),
            mail: Mail::default(),
            names: Names::default(),
            inbox: Inbox::default(),
            tool_calls: ToolCalls::default(),
            memory: Memory::new(db)?,
            chains: Chains::new(db)?,
            next: next(db)?,
        })
    }

    /// Puts all records of a group into the tables.
    pub(crate) fn write(&mut self, tools: &mut Tools<'_>, group: &Group) -> Result<(), Damage> {
        for (position, record) in (group.first..).zip(&group.records) {
            self.record(tools, position, record)?;
        }
        self.processes.flush(tools)?;
        self.accounts.flush(tools.db)?;
        self.grants.flush(tools)?;
        self.mail.flush(tools, &self.processes)?;
        self.names.flush(tools)?;
        self.inbox.flush(tools)?;
        self.tool_calls.flush(tools)?;
        self.memory.flush(tools)?;
        self.chains.flush(tools.db)?;
        let NextNumbers { process, account, grant, letter, question, tool_call, memory_write, memory_entry } =
            self.next;
        let next = [group.last(), process, account, grant, letter, question, tool_call, memory_write, memory_entry];
        tools
            .db
            .prepare_cached(
                "UPDATE node SET position = ?1, process = ?2, account = ?3, grant_ = ?4, letter = ?5, question = ?6,
                 tool_call = ?7, memory_write = ?8, memory_entry = ?9 WHERE id = 1",
            )?
            .execute(next.map(stored))?;
        Ok(())
    }

    /// Whether what was collected destroys something of which old pages have copies.
    pub(crate) fn purges(&self) -> bool {
        self.memory.purges()
    }

    /// The commit is on the disk.
    pub(crate) fn settle(&mut self) {
        self.processes.settle();
        self.accounts.settle();
        self.grants.settle();
        self.mail.settle();
        self.names.settle();
        self.inbox.settle();
        self.tool_calls.settle();
        self.memory.settle();
        self.chains.settle();
    }

    fn record(&mut self, tools: &mut Tools<'_>, position: u64, record: &Taken) -> Result<(), Damage> {
        if let Some(pid) = record.pid {
            self.saw_process(pid);
            if let Some(line) = &record.line {
                let placed = self.processes.line(tools, pid, position, record.at_ns, line)?;
                let Placed { sequence, salts, chunk, apart: first } = placed;
                let (at_ns, plain, fact) = (record.at_ns, &*line.bytes, &*line.fact);
                let entry = chain::Entry { pid, sequence, position, at_ns, plain, fact };
                self.chains.entry(tools.db, tools.signer, &entry, salts)?;
                for (ordinal, apart) in (first..).zip(&line.apart) {
                    self.memory.tell(tools, pid, (chunk, ordinal), apart)?;
                }
                if let Kind::Created { account, .. } = line.kind {
                    self.saw_account(number::account(account));
                }
            }
        }
        let tenant = record.pid.map(|pid| pid.tenant);
        record.changes.iter().try_for_each(|change| self.change(tools, tenant, change))
    }

    fn change(&mut self, tools: &mut Tools<'_>, tenant: Option<TenantId>, change: &Change) -> Result<(), Damage> {
        use Change::{
            Answered, ApprovalWithdrawn, Approved, CallGone, Called, Closed, Deployed, Deposited, Detached, Ended,
            Frozen, GrantGone, GrantUsed, Granted, Held, LetterGone, Moved, NoticeGone, Notified, Paid,
            QuestionAnswered, QuestionGone, QuestionWithdrawn, Questioned, Refunded, Remembered, RememberedUpTo,
            ReportGone, Sent, Signalled, Slept, Split, Tagged, Thawed, ToolBegun, ToolCallGone, ToolCalled,
            ToolDoubted, ToolReturned, Unanswered,
        };
        match change {
            Deposited { .. } | Split { .. } | Moved { .. } | Paid { .. } | Refunded { .. } | Closed { .. } => {
                self.amounts(tools.db, change)
            }
            Granted(image) => {
                self.next.grant = self.next.grant.max(number::grant(image.grant) + 1);
                self.grants.put(tools.db, image, tenant)
            }
            GrantGone { grant } => self.grants.remove(tools.db, number::grant(*grant)),
            GrantUsed { grant } => self.grants.count_use(tools.db, number::grant(*grant)),
            Sent { .. } | LetterGone { .. } | Called(_) | Answered { .. } | Unanswered { .. } | CallGone { .. } => {
                self.message(tools, change)
            }
            Questioned(_)
            | QuestionAnswered { .. }
            | QuestionWithdrawn { .. }
            | QuestionGone { .. }
            | Approved(_)
            | ApprovalWithdrawn { .. }
            | Notified(_)
            | NoticeGone { .. } => {
                self.saw_question(change);
                self.inbox.change(change);
                Ok(())
            }
            ToolCalled(_) | ToolBegun { .. } | ToolDoubted { .. } | ToolReturned { .. } | ToolCallGone { .. } => {
                if let ToolCalled(posted) = change {
                    self.next.tool_call = self.next.tool_call.max(posted.number + 1);
                }
                self.tool_calls.change(change);
                Ok(())
            }
            Remembered { tenant, write } => {
                self.saw_memory(write);
                self.memory.write(tools, *tenant, write)
            }
            RememberedUpTo { tenant, number } => {
                self.memory.applied(*tenant, *number);
                Ok(())
            }
            Ended { pid, finished } => self.mail.end(tools, &mut self.processes, *pid, finished),
            ReportGone { pid } => self.mail.remove_report(tools, &mut self.processes, *pid),
            Detached { pid } => {
                self.mail.remove_report(tools, &mut self.processes, *pid)?;
                self.processes.change(tools, *pid, |process| process.detached = true)
            }
            Held { pid, holds } => self.processes.change(tools, *pid, |process| process.holds = *holds),
            Signalled { pid, signals } => self.processes.change(tools, *pid, |process| process.signals = *signals),
            Slept(sleeper) => self.processes.sleep(tools, sleeper),
            Frozen(selection) => self.names.freeze(selection, true),
            Thawed(selection) => self.names.freeze(selection, false),
            Tagged { tenant, index, name } => {
                self.names.tag(*tenant, *index, name);
                Ok(())
            }
            Deployed { tenant, name, state } => {
                self.names.deploy(*tenant, name, state.as_deref());
                Ok(())
            }
        }
    }

    fn amounts(&mut self, db: &Connection, change: &Change) -> Result<(), Damage> {
        let accounts = &mut self.accounts;
        let id = number::account;
        match *change {
            Change::Deposited { account, amount } => {
                self.next.account = self.next.account.max(id(account) + 1);
                accounts.deposit(db, id(account), amount)
            }
            Change::Split { from, account, amount } => {
                self.next.account = self.next.account.max(id(account) + 1);
                accounts.split(db, id(from), id(account), amount)
            }
            Change::Moved { from, to, amount } => accounts.transfer(db, id(from), id(to), amount),
            Change::Paid { account, amount } => accounts.pay(db, id(account), amount),
            Change::Refunded { account, amount } => accounts.refund(db, id(account), amount),
            Change::Closed { account } => accounts.close(db, id(account)),
            _ => Ok(()),
        }
    }

    fn message(&mut self, tools: &mut Tools<'_>, change: &Change) -> Result<(), Damage> {
        match change {
            Change::Sent { number, to, letter } => {
                self.next.letter = self.next.letter.max(*number + 1);
                self.saw_process(*to);
                self.processes.wake(tools, *to)?;
                self.mail.send(tools, &mut self.processes, *number, *to, letter)
            }
            Change::LetterGone { number } => {
                self.mail.take(*number);
                Ok(())
            }
            Change::Called(image) => {
                self.next.letter = self.next.letter.max(image.number + 1);
                self.mail.call(tools.db, *image)
            }
            Change::Answered { number, letter } => {
                if let Some(caller) = self.mail.caller(tools.db, *number)? {
                    self.processes.find_or_new(tools, caller)?;
                }
                self.mail.end_call(tools.db, *number, Some(letter))
            }
            Change::Unanswered { number } => self.mail.end_call(tools.db, *number, None),
            Change::CallGone { number } => self.mail.remove_call(tools.db, *number),
            _ => Ok(()),
        }
    }

    fn saw_process(&mut self, pid: Pid) {
        self.next.process = self.next.process.max(number::process(pid) + 1);
    }

    fn saw_question(&mut self, change: &Change) {
        let number = match change {
            Change::Questioned(question) => question.number,
            Change::Notified(notice) => notice.number,
            _ => return,
        };
        self.next.question = self.next.question.max(number + 1);
    }

    fn saw_memory(&mut self, write: &MemoryWrite) {
        self.next.memory_write = self.next.memory_write.max(write.number.saturating_add(1));
        if let MemoryAct::Put(version) = &write.act {
            self.next.memory_entry = self.next.memory_entry.max(version.id.0.saturating_add(1));
        }
    }

    fn saw_account(&mut self, account: u64) {
        self.next.account = self.next.account.max(account + 1);
    }
}

/// What is given out next.
pub(crate) fn next(db: &Connection) -> Result<NextNumbers, Damage> {
    let columns = "process, account, grant_, letter, question, tool_call, memory_write, memory_entry";
    let next = db.query_row(&format!("SELECT {columns} FROM node"), params![], |row| {
        let number = |column| Ok::<_, rusqlite::Error>(row.get::<_, i64>(column)?.cast_unsigned());
        Ok(NextNumbers {
            process: number(0)?,
            account: number(1)?,
            grant: number(2)?,
            letter: number(3)?,
            question: number(4)?,
            tool_call: number(5)?,
            memory_write: number(6)?,
            memory_entry: number(7)?,
        })
    });
    Ok(next?)
}
