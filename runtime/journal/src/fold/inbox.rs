//! Questions to people, approvals that stand, and notices. People are slow: each change is written as it is, in its order.

use super::{Tools, plaintext};
use crate::{
    error::Damage,
    number::stored,
    seal::{Key, Place},
};
use remit_abi::TenantId;
use remit_kernel::ports::{Change, GivenAnswer};
use rusqlite::{OptionalExtension, params};

/// `questions.state`.
pub(crate) const OPEN: i64 = 0;
pub(crate) const ANSWERED: i64 = 1;
pub(crate) const WITHDRAWN: i64 = 2;

/// The changes of the commit under way.
#[derive(Default)]
pub(crate) struct Inbox(Vec<Change>);

/// The tables of what is only put and removed.
#[derive(Clone, Copy)]
enum Table {
    Approvals,
    Notices,
}

impl Inbox {
    pub(crate) fn change(&mut self, change: &Change) {
        self.0.push(change.clone());
    }

    pub(crate) fn flush(&self, tools: &mut Tools<'_>) -> Result<(), Damage> {
        self.0.iter().try_for_each(|change| write(tools, change))
    }

    pub(crate) fn settle(&mut self) {
        self.0.clear();
    }
}

fn write(tools: &mut Tools<'_>, change: &Change) -> Result<(), Damage> {
    match change {
        Change::Questioned(question) => {
            let (number, tenant) = (question.number, question.asker.tenant);
            let (key, plain) = (key(tools, tenant)?, plaintext(question)?);
            let payload = tools.seal(&key, Place::question(tenant, number), &plain)?;
            let put = "INSERT OR REPLACE INTO questions(number, tenant, state, payload) VALUES (?1, ?2, ?3, ?4)";
            tools.db.prepare_cached(put)?.execute(params![stored(number), tenant.0, OPEN, payload])?;
            Ok(())
        }
        Change::QuestionAnswered { number, answer } => answered(tools, *number, answer),
        Change::QuestionWithdrawn { number } => {
            let withdraw = "UPDATE questions SET state = ?2 WHERE number = ?1 AND state = ?3";
            tools.db.prepare_cached(withdraw)?.execute([stored(*number), WITHDRAWN, OPEN])?;
            Ok(())
        }
        Change::QuestionGone { number } => {
            tools.db.prepare_cached("DELETE FROM questions WHERE number = ?1")?.execute([stored(*number)])?;
            Ok(())
        }
        Change::Approved(approval) => {
            let (number, tenant) = (approval.number, approval.tenant);
            put(tools, Table::Approvals, tenant, number, Place::approval(tenant, number), &plaintext(approval)?)
        }
        Change::Notified(notice) => {
            let (number, tenant) = (notice.number, notice.sender.tenant);
            put(tools, Table::Notices, tenant, number, Place::notice(tenant, number), &plaintext(notice)?)
        }
        Change::ApprovalWithdrawn { number, .. } => remove(tools, Table::Approvals, *number),
        Change::NoticeGone { number } => remove(tools, Table::Notices, *number),
        _ => Ok(()),
    }
}

/// Nothing where nobody waits for it any more, or it was settled before.
fn answered(tools: &mut Tools<'_>, number: u64, answer: &GivenAnswer) -> Result<(), Damage> {
    let find = "SELECT tenant FROM questions WHERE number = ?1 AND state = ?2";
    let tenant: Option<u32> =
        tools.db.prepare_cached(find)?.query_row([stored(number), OPEN], |row| row.get(0)).optional()?;
    let Some(tenant) = tenant.map(TenantId) else { return Ok(()) };
    let (key, plain) = (key(tools, tenant)?, plaintext(answer)?);
    let payload = tools.seal(&key, Place::persons_answer(tenant, number), &plain)?;
    let put = "UPDATE questions SET state = ?2, answer = ?3 WHERE number = ?1";
    tools.db.prepare_cached(put)?.execute(params![stored(number), ANSWERED, payload])?;
    Ok(())
}

fn key(tools: &mut Tools<'_>, tenant: TenantId) -> Result<Key, Damage> {
    tools.folder.tenant_or_new(tenant, tools.sealer)
}

fn put(
    tools: &mut Tools<'_>,
    table: Table,
    tenant: TenantId,
    number: u64,
    place: Place,
    plain: &[u8],
) -> Result<(), Damage> {
    let key = key(tools, tenant)?;
    let payload = tools.seal(&key, place, plain)?;
    let put = match table {
        Table::Approvals => "INSERT OR REPLACE INTO approvals(number, tenant, payload) VALUES (?1, ?2, ?3)",
        Table::Notices => "INSERT OR REPLACE INTO notices(number, tenant, payload) VALUES (?1, ?2, ?3)",
    };
    tools.db.prepare_cached(put)?.execute(params![stored(number), tenant.0, payload])?;
    Ok(())
}

fn remove(tools: &mut Tools<'_>, table: Table, number: u64) -> Result<(), Damage> {
    let remove = match table {
        Table::Approvals => "DELETE FROM approvals WHERE number = ?1",
        Table::Notices => "DELETE FROM notices WHERE number = ?1",
    };
    tools.db.prepare_cached(remove)?.execute([stored(number)])?;
    Ok(())
}
