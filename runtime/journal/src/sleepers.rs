//! Reading what processes are that have left memory, and what left with them.

use crate::{
    error::Damage,
    number::{self, account_id, grant_id, pid as pid_of, stored},
    read::{Reader, decode},
    seal::Place,
};
use remit_abi::{AccountId, GrantId, Pid, Tokens};
use remit_kernel::ports::{Holdings, Sleeper, SleeperKind};
use rusqlite::Row;
use rustc_hash::FxHashMap;
use std::{iter::Peekable, sync::Arc, vec::IntoIter};

/// Who is not believed to sleep: a message lies in its mailbox.
const WITH_LETTERS: &str = "(SELECT process FROM letters)";

/// Rows of one table that are left out, in the order in which it is read.
pub(crate) struct LeftOut(Peekable<IntoIter<i64>>);

impl LeftOut {
    pub(crate) fn of(mut keys: Vec<i64>) -> Self {
        keys.sort_unstable();
        Self(keys.into_iter().peekable())
    }

    pub(crate) fn nothing() -> Self {
        Self::of(Vec::new())
    }

    /// Whether the row with this key is: to be asked for ascending keys.
    pub(crate) fn has(&mut self, key: i64) -> bool {
        while self.0.next_if(|left_out| *left_out < key).is_some() {}
        self.0.peek() == Some(&key)
    }
}

/// What a row of `sleepers` says, its kind by its number and its name sealed.
struct Stored {
    sleeper: Sleeper,
    name: Option<Vec<u8>>,
}

impl Reader {
    /// Tells each process that sleeps. The accounts and grants that left with them.
    pub(crate) fn sleepers(&self, tell: &mut dyn FnMut(Sleeper)) -> Result<(LeftOut, LeftOut), Damage> {
        let (kinds, mut accounts, mut grants) = (self.kinds()?, Vec::new(), Vec::new());
        let mut select = self.db.prepare_cached(&format!(
            "SELECT tenant, number, kind, account, payer, grants, funds, remaining, started_ns, zero_ns, wakes_ns, name
             FROM sleepers WHERE process NOT IN {WITH_LETTERS} ORDER BY process"
        ))?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let Stored { mut sleeper, name } = read(row, &kinds)?;
            if let Some(sealed) = name {
                let key = self.folder.tenant(sleeper.pid.tenant)?;
                sleeper.name = Some(decode(&key.open(Place::sleeper(sleeper.pid), &sealed)?)?);
            }
            accounts.extend(sleeper.accounts().map(|account| stored(number::account(account))));
            grants.extend(sleeper.grants.iter().map(|grant| stored(number::grant(*grant))));
            tell(sleeper);
        }
        Ok((LeftOut::of(accounts), LeftOut::of(grants)))
    }

    fn kinds(&self) -> Result<FxHashMap<i64, Arc<SleeperKind>>, Damage> {
        let mut select = self.db.prepare_cached("SELECT kind, facts FROM kinds")?;
        let rows = select.query_map([], |row| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?)))?;
        rows.map(|row| {
            let (kind, facts) = row?;
            Ok((kind, Arc::new(decode(&facts)?)))
        })
        .collect()
    }

    /// Processes that have a row of those that sleep: all, or those that are not believed.
    pub(crate) fn asleep(&self, all: bool) -> Result<Vec<Pid>, Damage> {
        let which = if all { "1".to_owned() } else { format!("process IN {WITH_LETTERS}") };
        let mut select =
            self.db.prepare_cached(&format!("SELECT tenant, number FROM sleepers WHERE {which} ORDER BY process"))?;
        let rows = select.query_map([], |row| Ok(pid_of(row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Accounts and grants as they are.
    pub(crate) fn holdings(&self, accounts: &[AccountId], grants: &[GrantId]) -> Result<Holdings, Damage> {
        let mut holdings = Holdings::default();
        for account in accounts {
            holdings.accounts.extend(self.account(*account)?);
        }
        for grant in grants {
            holdings.grants.extend(self.grant(*grant)?);
        }
        Ok(holdings)
    }
}

fn read(row: &Row<'_>, kinds: &FxHashMap<i64, Arc<SleeperKind>>) -> Result<Stored, Damage> {
    let number = |column| row.get::<_, i64>(column).map(number::read);
    let optional = |column| row.get::<_, Option<i64>>(column).map(|number| number.map(number::read));
    let grants: Vec<u64> = postcard::from_bytes(row.get_ref(5)?.as_blob().map_err(rusqlite::Error::from)?)?;
    let sleeper = Sleeper {
        pid: pid_of(row.get(0)?, row.get(1)?),
        kind: kinds.get(&row.get(2)?).cloned().ok_or(Damage::Missing)?,
        name: None,
        account: account_id(number(3)?),
        payer: optional(4)?.map(account_id),
        grants: grants.into_iter().map(grant_id).collect(),
        funds: Tokens::from_micro(number(6)?),
        remaining: Tokens::from_micro(number(7)?),
        started_ns: number(8)?,
        zero_ns: row.get(9)?,
        wakes_ns: optional(10)?,
    };
    Ok(Stored { sleeper, name: row.get(11)? })
}
