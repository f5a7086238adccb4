//! Letters, calls and reports. A letter that is sent and taken in the time of one commit is never written.

use super::{
    Tools, plaintext,
    processes::Processes,
    rows::{Rows, Write},
};
use crate::{
    error::Damage,
    number::{pid as pid_of, stored},
    seal::Place,
};
use remit_abi::Pid;
use remit_kernel::{
    Finished,
    ports::{CallImage, LetterImage},
};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::{BTreeMap, BTreeSet};

/// `calls.state`.
pub(crate) const OPEN: i64 = 0;
pub(crate) const ANSWERED: i64 = 1;
pub(crate) const UNANSWERED: i64 = 2;

struct Letter {
    receiver: Pid,
    process: i64,
    plain: Vec<u8>,
}

struct Call {
    image: CallImage,
    state: i64,
    /// The answer, where it is to be written.
    plain: Option<Vec<u8>>,
}

#[derive(Default)]
pub(crate) struct Mail {
    letters: BTreeMap<u64, Letter>,
    /// Of these letters: receivers' rows, and numbers.
    boxes: BTreeSet<(i64, u64)>,
    gone: BTreeSet<u64>,
    /// Rows of processes whose letters are all gone.
    emptied: BTreeSet<i64>,
    calls: Rows<u64, Call>,
    /// By the ended process's row; `None` where the report is gone.
    reports: BTreeMap<i64, (Pid, Option<Vec<u8>>)>,
}

impl Mail {
    /// A message is in a mailbox. Whoever has ended has none.
    pub(crate) fn send(
        &mut self,
        tools: &mut Tools<'_>,
        processes: &mut Processes,
        number: u64,
        receiver: Pid,
        letter: &LetterImage,
    ) -> Result<(), Damage> {
        let process = &processes.find_or_new(tools, receiver)?.stored;
        if process.ended {
            return Ok(());
        }
        self.boxes.insert((process.row, number));
        self.letters.insert(number, Letter { receiver, process: process.row, plain: plaintext(letter)? });
        Ok(())
    }

    /// A message left its mailbox.
    pub(crate) fn take(&mut self, number: u64) {
        match self.letters.remove(&number) {
            Some(letter) => drop(self.boxes.remove(&(letter.process, number))),
            None => drop(self.gone.insert(number)),
        }
    }

    pub(crate) fn call(&mut self, db: &Connection, image: CallImage) -> Result<(), Damage> {
        let row = self.calls.edit(image.number, || load(db, image.number))?;
        *row = Some(Call { image, state: OPEN, plain: None });
        Ok(())
    }

    /// A call was answered, or will never be. Nothing where nobody waits for it any more.
    pub(crate) fn end_call(
        &mut self,
        db: &Connection,
        number: u64,
        answer: Option<&LetterImage>,
    ) -> Result<(), Damage> {
        if let Some(call) = self.calls.edit(number, || load(db, number))? {
            call.state = if answer.is_some() { ANSWERED } else { UNANSWERED };
            call.plain = answer.map(plaintext).transpose()?;
        }
        Ok(())
    }

    pub(crate) fn remove_call(&mut self, db: &Connection, number: u64) -> Result<(), Damage> {
        *self.calls.edit(number, || load(db, number))? = None;
        Ok(())
    }

    /// A process ended: its mailbox is gone, and its report is there for whoever started it.
    pub(crate) fn end(
        &mut self,
        tools: &mut Tools<'_>,
        processes: &mut Processes,
        pid: Pid,
        finished: &Finished,
    ) -> Result<(), Damage> {
        let process = &processes.find_or_new(tools, pid)?.stored;
        let row = process.row;
        self.reports.insert(row, (pid, (!process.detached).then(|| plaintext(finished)).transpose()?));
        processes.change(tools, pid, |process| (process.ended, process.holds, process.signals) = (true, 0, 0))?;
        let letters: Vec<_> = self.boxes.range((row, 0)..=(row, u64::MAX)).copied().collect();
        for (_, number) in letters {
            self.take(number);
        }
        self.emptied.insert(row);
        Ok(())
    }

    /// A report was taken, or nobody wants it.
    pub(crate) fn remove_report(
        &mut self,
        tools: &mut Tools<'_>,
        processes: &mut Processes,
        pid: Pid,
    ) -> Result<(), Damage> {
        if let Some(process) = processes.find(tools, pid)? {
            self.reports.insert(process.stored.row, (pid, None));
        }
        Ok(())
    }

    pub(crate) fn flush(&mut self, tools: &mut Tools<'_>, processes: &Processes) -> Result<(), Damage> {
        self.flush_letters(tools, processes)?;
        self.flush_calls(tools, processes)?;
        let mut put = tools.db.prepare_cached("INSERT OR REPLACE INTO reports(process, payload) VALUES (?1, ?2)")?;
        let mut delete = tools.db.prepare_cached("DELETE FROM reports WHERE process = ?1")?;
        for (row, (pid, report)) in &self.reports {
            match report {
                Some(plain) => {
                    let key = processes.key(*pid).ok_or(Damage::Missing)?;
                    put.execute(params![row, tools.seal(key, Place::report(*pid), plain)?])?;
                }
                None => drop(delete.execute([row])?),
            }
        }
        Ok(())
    }

    fn flush_letters(&mut self, tools: &mut Tools<'_>, processes: &Processes) -> Result<(), Damage> {
        let mut delete = tools.db.prepare_cached("DELETE FROM letters WHERE number = ?1")?;
        for number in &self.gone {
            delete.execute([stored(*number)])?;
        }
        let mut empty = tools.db.prepare_cached("DELETE FROM letters WHERE process = ?1")?;
        for row in &self.emptied {
            empty.execute([row])?;
        }
        let mut put =
            tools.db.prepare_cached("INSERT OR REPLACE INTO letters(number, process, payload) VALUES (?1, ?2, ?3)")?;
        for (number, letter) in &self.letters {
            let key = processes.key(letter.receiver).ok_or(Damage::Missing)?;
            let payload = tools.seal(key, Place::letter(letter.receiver, *number), &letter.plain)?;
            put.execute(params![stored(*number), letter.process, payload])?;
        }
        Ok(())
    }

    fn flush_calls(&mut self, tools: &mut Tools<'_>, processes: &Processes) -> Result<(), Damage> {
        let db = tools.db;
        let mut put = db.prepare_cached(
            "INSERT OR REPLACE INTO calls(number, caller_tenant, caller, receiver_tenant, receiver, deadline_ns, state, payload)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?;
        let mut delete = db.prepare_cached("DELETE FROM calls WHERE number = ?1")?;
        self.calls.writes(|number, write| {
            let (Write::Insert(call) | Write::Update(call)) = write else {
                delete.execute([stored(number)])?;
                return Ok(());
            };
            let CallImage { caller, receiver, deadline_ns, .. } = call.image;
            let key = |plain: &Vec<u8>| {
                let key = processes.key(caller).ok_or(Damage::Missing)?;
                tools.seal(key, Place::answer(caller, number), plain)
            };
            let payload = call.plain.as_ref().map(key).transpose()?;
            put.execute(params![
                stored(number),
                caller.tenant.0,
                stored(caller.number()),
                receiver.tenant.0,
                stored(receiver.number()),
                stored(deadline_ns),
                call.state,
                payload
            ])?;
            Ok(())
        })
    }

    /// Who made a call that is known.
    pub(crate) fn caller(&mut self, db: &Connection, number: u64) -> Result<Option<Pid>, Damage> {
        Ok(self.calls.look(number, || load(db, number))?.map(|call| call.image.caller))
    }

    pub(crate) fn settle(&mut self) {
        // Calls are not kept in memory: one that is loaded has no answer to be written again.
        *self = Self::default();
    }
}

fn load(db: &Connection, number: u64) -> Result<Option<Call>, Damage> {
    let mut select = db.prepare_cached(
        "SELECT caller_tenant, caller, receiver_tenant, receiver, deadline_ns, state FROM calls WHERE number = ?1",
    )?;
    let call = select.query_row([stored(number)], |row| {
        let image = CallImage {
            number,
            caller: pid_of(row.get(0)?, row.get(1)?),
            receiver: pid_of(row.get(2)?, row.get(3)?),
            deadline_ns: row.get::<_, i64>(4)?.cast_unsigned(),
        };
        Ok(Call { image, state: row.get(5)?, plain: None })
    });
    Ok(call.optional()?)
}
