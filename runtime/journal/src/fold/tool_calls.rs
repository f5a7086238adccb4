//! Calls of tools. A tool takes longer than a commit: each change is written as it is, in its order.

use super::{Tools, plaintext};
use crate::{
    error::Damage,
    number::stored,
    seal::{Key, Place},
};
use remit_abi::TenantId;
use remit_kernel::ports::{Change, Decided, ToolOutcome};
use rusqlite::{OptionalExtension, params};

/// The changes of the commit under way.
#[derive(Default)]
pub(crate) struct ToolCalls(Vec<Change>);

impl ToolCalls {
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
        Change::ToolCalled(posted) => {
            let (number, tenant) = (posted.number, posted.caller.tenant);
            let key = tools.folder.tenant_or_new(tenant, tools.sealer)?;
            let payload = tools.seal(&key, Place::tool_call(tenant, number), &plaintext(posted)?)?;
            let put = "INSERT OR REPLACE INTO tool_calls(number, tenant, attempts, payload) VALUES (?1, ?2, 0, ?3)";
            tools.db.prepare_cached(put)?.execute(params![stored(number), tenant.0, payload])?;
            Ok(())
        }
        Change::ToolBegun { number, decided } => {
            let begin = "UPDATE tool_calls SET attempts = attempts + 1, question = NULL WHERE number = ?1";
            tools.db.prepare_cached(begin)?.execute([stored(*number)])?;
            put_decided(tools, *number, decided.as_ref())
        }
        Change::ToolDoubted { number, question } => {
            let doubt = "UPDATE tool_calls SET question = ?2 WHERE number = ?1";
            tools.db.prepare_cached(doubt)?.execute([stored(*number), stored(*question)])?;
            Ok(())
        }
        Change::ToolReturned { number, outcome, decided } => returned(tools, *number, outcome, decided.as_ref()),
        Change::ToolCallGone { number } => {
            tools.db.prepare_cached("DELETE FROM tool_calls WHERE number = ?1")?.execute([stored(*number)])?;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Nothing where nobody waits for it any more, or something came of it before.
fn returned(
    tools: &mut Tools<'_>,
    number: u64,
    outcome: &ToolOutcome,
    decided: Option<&Decided>,
) -> Result<(), Damage> {
    let find = "SELECT tenant FROM tool_calls WHERE number = ?1 AND outcome IS NULL";
    let Some((tenant, key)) = owner(tools, find, number)? else { return Ok(()) };
    let payload = tools.seal(&key, Place::tool_outcome(tenant, number), &plaintext(outcome)?)?;
    let put = "UPDATE tool_calls SET outcome = ?2, question = NULL WHERE number = ?1";
    tools.db.prepare_cached(put)?.execute(params![stored(number), payload])?;
    put_decided(tools, number, decided)
}

/// What a person decided, in the place of what they or another one decided before.
fn put_decided(tools: &mut Tools<'_>, number: u64, decided: Option<&Decided>) -> Result<(), Damage> {
    let Some(decided) = decided else { return Ok(()) };
    let find = "SELECT tenant FROM tool_calls WHERE number = ?1";
    let Some((tenant, key)) = owner(tools, find, number)? else { return Ok(()) };
    let payload = tools.seal(&key, Place::tool_decision(tenant, number), &plaintext(decided)?)?;
    let put = "UPDATE tool_calls SET decided = ?2 WHERE number = ?1";
    tools.db.prepare_cached(put)?.execute(params![stored(number), payload])?;
    Ok(())
}

/// The tenant of a call that is found, and its key.
fn owner(tools: &mut Tools<'_>, find: &str, number: u64) -> Result<Option<(TenantId, Key)>, Damage> {
    let tenant: Option<u32> =
        tools.db.prepare_cached(find)?.query_row([stored(number)], |row| row.get(0)).optional()?;
    let Some(tenant) = tenant.map(TenantId) else { return Ok(None) };
    Ok(Some((tenant, tools.folder.tenant_or_new(tenant, tools.sealer)?)))
}
