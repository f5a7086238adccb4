//! Reading what is true of the node: by a connection of its own, which sees whole commits and never waits for the writer's.

use crate::{
    error::Damage,
    fold::{
        accounts::Account,
        inbox,
        mail::{ANSWERED, UNANSWERED},
        next,
        processes::{COLUMNS, PLAIN_VERSION, PLAIN_VERSION_1, Stored},
    },
    folder::Folder,
    number::{self, account_id, grant_id, pid as pid_of, stored},
    seal::{Key, Place},
    sleepers::LeftOut,
};
use remit_abi::{AccountId, GrantId, Pid, TenantId, Tokens};
use remit_kernel::{
    Finished, Selection,
    ports::{
        AccountImage, Away, CallImage, CallState, Entry, GrantImage, NodeImage, PostedQuestion, QuestionState, Sleeper,
        StoredResult, ToolCallImage, version_1,
    },
};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::de::DeserializeOwned;
use std::{collections::BTreeMap, sync::Arc};

/// Reads; what one call reads is one state of the journal where a transaction is begun before.
pub(crate) struct Reader {
    pub(crate) db: Connection,
    pub(crate) folder: Arc<Folder>,
}

/// Whose it is, its name, and its text.
type KeptDeployment = (TenantId, Box<str>, Box<str>);

/// The columns of a grant, in the order in which they are read.
const GRANT_COLUMNS: &str = "grant_, parent, tenant, uses, revoked, released, payload";

/// An account as it is kept.
fn account_image(key: i64, row: &Account) -> AccountImage {
    AccountImage {
        account: account_id(number::read(key)),
        parent: row.parent.map(account_id),
        balance: Tokens::from_micro(row.balance),
        spent: Tokens::from_micro(row.spent),
        spent_below: Tokens::from_micro(row.spent_below),
    }
}

/// A value as it was sealed, of a kind that is the same in all versions.
pub(crate) fn decode<T: DeserializeOwned>(plain: &[u8]) -> Result<T, Damage> {
    Ok(postcard::from_bytes(body(plain)?.1)?)
}

/// A report as it was sealed.
fn decode_report(plain: &[u8]) -> Result<Finished, Damage> {
    match body(plain)? {
        (Written::Now, body) => Ok(postcard::from_bytes(body)?),
        (Written::Before, body) => Ok(postcard::from_bytes::<version_1::Finished>(body)?.into()),
    }
}

/// By which version something was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Now,
    /// By version 1 of plaintexts.
    Before,
}

/// What was sealed, and by which version.
pub(crate) fn body(plain: &[u8]) -> Result<(Written, &[u8]), Damage> {
    match plain.split_first() {
        Some((&PLAIN_VERSION, body)) => Ok((Written::Now, body)),
        Some((&PLAIN_VERSION_1, body)) => Ok((Written::Before, body)),
        _ => Err(Damage::Form(postcard::Error::DeserializeBadEncoding)),
    }
}

impl Reader {
    /// What is true after the log.
    pub(crate) fn node(&self) -> Result<NodeImage, Damage> {
        self.all_but(LeftOut::nothing(), LeftOut::nothing(), self.asleep(true)?)
    }

    /// The same without processes that sleep, which are told instead.
    pub(crate) fn awake(&self, sleeper: &mut dyn FnMut(Sleeper)) -> Result<NodeImage, Damage> {
        let (accounts, grants) = self.sleepers(sleeper)?;
        self.all_but(accounts, grants, self.asleep(false)?)
    }

    /// What is true after the log, without some accounts and grants, and of those that sleep with these processes only.
    fn all_but(&self, accounts: LeftOut, grants: LeftOut, asleep: Vec<Pid>) -> Result<NodeImage, Damage> {
        let (accounts, away) = self.accounts(accounts)?;
        Ok(NodeImage {
            accounts,
            away,
            grants: self.grants(grants)?,
            calls: self.calls()?,
            reports: self.reports()?,
            living: [self.living()?, asleep].concat(),
            tags: self.tags()?,
            questions: self.questions()?,
            approvals: self.kept("approvals", Place::approval)?,
            notices: self.kept("notices", Place::notice)?,
            tool_calls: self.tool_calls()?,
            memory: self.memory_writes()?,
            frozen: self.frozen()?,
            deployments: self.deployments()?,
            next: next(&self.db)?,
        })
    }

    fn accounts(&self, mut left_out: LeftOut) -> Result<(Vec<AccountImage>, Away), Damage> {
        let mut select = self.db.prepare_cached(
            "SELECT account, parent, balance, spent, spent_below, opened FROM accounts WHERE opened = 1 ORDER BY account",
        )?;
        let mut rows = select.query([])?;
        let (mut images, mut away) = (BTreeMap::new(), Away::default());
        while let Some(row) = rows.next()? {
            let key = row.get(0)?;
            let image = account_image(key, &Account::read(row, 1)?);
            match left_out.has(key) {
                true => away = away.with(&image),
                false => drop(images.insert(number::read(key), (image.parent.map(number::account), image))),
            }
        }
        Ok((parents_first(images), away))
    }

    /// An account that is open.
    pub(crate) fn account(&self, account: AccountId) -> Result<Option<AccountImage>, Damage> {
        let key = stored(number::account(account));
        let mut select = self.db.prepare_cached(
            "SELECT parent, balance, spent, spent_below, opened FROM accounts WHERE account = ?1 AND opened = 1",
        )?;
        Ok(select.query_row([key], |row| Ok(account_image(key, &Account::read(row, 0)?))).optional()?)
    }

    fn grants(&self, mut left_out: LeftOut) -> Result<Vec<GrantImage>, Damage> {
        let mut select = self.db.prepare_cached(&format!("SELECT {GRANT_COLUMNS} FROM grants ORDER BY grant_"))?;
        let mut rows = select.query([])?;
        let mut images = BTreeMap::new();
        while let Some(row) = rows.next()? {
            if !left_out.has(row.get(0)?) {
                let image = self.grant_image(row)?;
                images.insert(number::grant(image.grant), (image.parent.map(number::grant), image));
            }
        }
        Ok(parents_first(images))
    }

    /// A grant that is kept.
    pub(crate) fn grant(&self, grant: GrantId) -> Result<Option<GrantImage>, Damage> {
        let mut select = self.db.prepare_cached(&format!("SELECT {GRANT_COLUMNS} FROM grants WHERE grant_ = ?1"))?;
        let mut rows = select.query([stored(number::grant(grant))])?;
        rows.next()?.map(|row| self.grant_image(row)).transpose()
    }

    /// From [`GRANT_COLUMNS`].
    fn grant_image(&self, row: &Row<'_>) -> Result<GrantImage, Damage> {
        let grant = number::read(row.get(0)?);
        let key = match row.get::<_, Option<u32>>(2)? {
            None => self.folder.node().clone(),
            Some(tenant) => self.folder.tenant(TenantId(tenant))?,
        };
        let plain = key.open(Place::grant(grant), row.get_ref(6)?.as_blob().map_err(rusqlite::Error::from)?)?;
        let (spec, derived_as) = decode(&plain)?;
        Ok(GrantImage {
            grant: grant_id(grant),
            parent: row.get::<_, Option<i64>>(1)?.map(|parent| grant_id(number::read(parent))),
            spec,
            derived_as,
            uses: number::read(row.get(3)?),
            revoked: row.get(4)?,
            released: row.get(5)?,
        })
    }

    fn calls(&self) -> Result<Vec<(CallImage, CallState)>, Damage> {
        let mut select = self.db.prepare_cached(
            "SELECT number, caller_tenant, caller, receiver_tenant, receiver, deadline_ns, state, payload
             FROM calls ORDER BY number",
        )?;
        let rows = select.query_map([], |row| {
            let image = CallImage {
                number: number::read(row.get(0)?),
                caller: pid_of(row.get(1)?, row.get(2)?),
                receiver: pid_of(row.get(3)?, row.get(4)?),
                deadline_ns: number::read(row.get(5)?),
            };
            Ok((image, row.get::<_, i64>(6)?, row.get::<_, Option<Vec<u8>>>(7)?))
        })?;
        rows.map(|row| {
            let (image, state, payload) = row?;
            let state = match (state, payload) {
                (ANSWERED, Some(sealed)) => {
                    let row = Stored::find(&self.db, image.caller)?.ok_or(Damage::Missing)?;
                    let key = self.key(image.caller, &row)?;
                    CallState::Answered(decode(&key.open(Place::answer(image.caller, image.number), &sealed)?)?)
                }
                (UNANSWERED, _) => CallState::Unanswered,
                _ => CallState::Open,
            };
            Ok((image, state))
        })
        .collect()
    }

    /// Of children: what has no parent is an operator's, who asks for it when it is wanted.
    fn reports(&self) -> Result<Vec<(Pid, Pid, Finished)>, Damage> {
        let mut select = self.db.prepare_cached(&format!(
            "SELECT tenant, number, payload, {COLUMNS}
             FROM reports JOIN processes USING (process) LEFT JOIN logs USING (process)
             WHERE parent_number IS NOT NULL ORDER BY process"
        ))?;
        let rows = select.query_map([], |row| {
            Ok((pid_of(row.get(0)?, row.get(1)?), row.get::<_, Vec<u8>>(2)?, Stored::read(row, 3)?))
        })?;
        rows.map(|row| {
            let (pid, sealed, row) = row?;
            let report = decode_report(&self.key(pid, &row)?.open(Place::report(pid), &sealed)?)?;
            Ok((pid, row.parent.ok_or(Damage::Missing)?, report))
        })
        .collect()
    }

    /// What processes without a parent came to, latest first.
    pub(crate) fn results(&self, of: Option<Pid>, limit: usize) -> Result<Vec<StoredResult>, Damage> {
        let mut select = self.db.prepare_cached(&format!(
            "SELECT tenant, number, payload, at_ns, {COLUMNS}
             FROM reports JOIN processes USING (process) LEFT JOIN logs USING (process)
             LEFT JOIN (SELECT position, at_ns FROM chunks) ON position = last
             WHERE parent_number IS NULL AND (?1 IS NULL OR (tenant = ?1 AND number = ?2))
             ORDER BY at_ns DESC, process DESC LIMIT ?3"
        ))?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = select.query_map(
            params![of.map(|pid| pid.tenant.0), of.map(|pid| stored(number::process(pid))), limit],
            |row| {
                let (pid, ended_ns) = (pid_of(row.get(0)?, row.get(1)?), row.get::<_, Option<i64>>(3)?);
                Ok((pid, row.get::<_, Vec<u8>>(2)?, ended_ns.map(number::read), Stored::read(row, 4)?))
            },
        )?;
        rows.map(|row| {
            let (pid, sealed, ended_ns, row) = row?;
            let key = self.key(pid, &row)?;
            let finished = decode_report(&key.open(Place::report(pid), &sealed)?)?;
            let created = match row.created.map(|first| self.header(first)).transpose()?.flatten() {
                Some(header) => self.chunk(pid, &key, header.position)?.into_iter().find_map(|line| match line.entry {
                    Entry::Created(created) => Some(*created),
                    _ => None,
                }),
                None => None,
            };
            Ok(StoredResult { pid, created, ended_ns, finished })
        })
        .collect()
    }

    fn living(&self) -> Result<Vec<Pid>, Damage> {
        let mut select = self.db.prepare_cached(
            "SELECT tenant, number FROM processes WHERE ended = 0 AND created IS NOT NULL ORDER BY process",
        )?;
        let rows = select.query_map([], |row| Ok(pid_of(row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn tags(&self) -> Result<Vec<(TenantId, u32, Box<str>)>, Damage> {
        let mut select = self.db.prepare_cached("SELECT tenant, bit, payload FROM tags ORDER BY tenant, bit")?;
        let rows = select.query_map([], |row| Ok((TenantId(row.get(0)?), row.get(1)?, row.get::<_, Vec<u8>>(2)?)))?;
        rows.map(|row| {
            let (tenant, bit, sealed) = row?;
            let name = decode(&self.folder.tenant(tenant)?.open(Place::tag(tenant, bit), &sealed)?)?;
            Ok((tenant, bit, name))
        })
        .collect()
    }

    /// Bits and names of a tenant's tags.
    pub(crate) fn tags_of(&self, tenant: TenantId) -> Result<Vec<(u32, Box<str>)>, Damage> {
        let mut select = self.db.prepare_cached("SELECT bit, payload FROM tags WHERE tenant = ?1 ORDER BY bit")?;
        let rows = select.query_map([tenant.0], |row| Ok((row.get::<_, u32>(0)?, row.get::<_, Vec<u8>>(1)?)))?;
        rows.map(|row| {
            let (bit, sealed) = row?;
            Ok((bit, decode(&self.folder.tenant(tenant)?.open(Place::tag(tenant, bit), &sealed)?)?))
        })
        .collect()
    }

    fn frozen(&self) -> Result<Vec<Selection>, Damage> {
        let mut select = self.db.prepare_cached("SELECT selection FROM frozen ORDER BY place")?;
        let rows = select.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
        rows.map(|row| Ok(postcard::from_bytes(&row?)?)).collect()
    }

    fn deployments(&self) -> Result<Vec<KeptDeployment>, Damage> {
        let mut select = self.db.prepare_cached("SELECT tenant, digest, payload FROM deployments")?;
        let rows = select
            .query_map([], |row| Ok((TenantId(row.get(0)?), number::read(row.get(1)?), row.get::<_, Vec<u8>>(2)?)))?;
        let mut all = Vec::new();
        for row in rows {
            let (tenant, digest, sealed) = row?;
            let opened = self.folder.tenant(tenant)?.open(Place::deployment(tenant, digest), &sealed)?;
            let (name, state): (Box<str>, Box<str>) = decode(&opened)?;
            all.push((tenant, name, state));
        }
        all.sort_unstable();
        Ok(all)
    }

    fn questions(&self) -> Result<Vec<(PostedQuestion, QuestionState)>, Damage> {
        let mut select =
            self.db.prepare_cached("SELECT number, tenant, state, payload, answer FROM questions ORDER BY number")?;
        let rows = select.query_map([], |row| {
            let (number, tenant) = (number::read(row.get(0)?), TenantId(row.get(1)?));
            Ok((number, tenant, row.get::<_, i64>(2)?, row.get::<_, Vec<u8>>(3)?, row.get::<_, Option<Vec<u8>>>(4)?))
        })?;
        rows.map(|row| {
            let (number, tenant, state, sealed, answer) = row?;
            let key = self.folder.tenant(tenant)?;
            let question = decode(&key.open(Place::question(tenant, number), &sealed)?)?;
            let state = match (state, answer) {
                (inbox::ANSWERED, Some(sealed)) => {
                    QuestionState::Answered(decode(&key.open(Place::persons_answer(tenant, number), &sealed)?)?)
                }
                (inbox::WITHDRAWN, _) => QuestionState::Withdrawn,
                _ => QuestionState::Open,
            };
            Ok((question, state))
        })
        .collect()
    }

    fn tool_calls(&self) -> Result<Vec<ToolCallImage>, Damage> {
        let mut select = self.db.prepare_cached(
            "SELECT number, tenant, attempts, question, payload, decided, outcome FROM tool_calls ORDER BY number",
        )?;
        let mut rows = select.query([])?;
        let mut images = Vec::new();
        while let Some(row) = rows.next()? {
            let (number, tenant) = (number::read(row.get(0)?), TenantId(row.get(1)?));
            let key = self.folder.tenant(tenant)?;
            let opened = |column: usize, place: Place| match row.get::<_, Option<Vec<u8>>>(column)? {
                Some(sealed) => Ok::<_, Damage>(Some(key.open(place, &sealed)?)),
                None => Ok(None),
            };
            let posted = opened(4, Place::tool_call(tenant, number))?.ok_or(Damage::Missing)?;
            let decided = opened(5, Place::tool_decision(tenant, number))?;
            let outcome = opened(6, Place::tool_outcome(tenant, number))?;
            images.push(ToolCallImage {
                posted: decode(&posted)?,
                attempts: row.get(2)?,
                question: row.get::<_, Option<i64>>(3)?.map(number::read),
                decided: decided.map(|plain| decode(&plain)).transpose()?,
                outcome: outcome.map(|plain| decode(&plain)).transpose()?,
            });
        }
        Ok(images)
    }

    /// All rows of a table that has a number, a tenant and a payload.
    pub(crate) fn kept<T: DeserializeOwned>(
        &self,
        table: &str,
        place: impl Fn(TenantId, u64) -> Place,
    ) -> Result<Vec<T>, Damage> {
        let mut select =
            self.db.prepare_cached(&format!("SELECT number, tenant, payload FROM {table} ORDER BY number"))?;
        let rows = select
            .query_map([], |row| Ok((number::read(row.get(0)?), TenantId(row.get(1)?), row.get::<_, Vec<u8>>(2)?)))?;
        rows.map(|row| {
            let (number, tenant, sealed) = row?;
            decode(&self.folder.tenant(tenant)?.open(place(tenant, number), &sealed)?)
        })
        .collect()
    }

    pub(crate) fn key(&self, pid: Pid, row: &Stored) -> Result<Key, Damage> {
        self.folder.tenant(pid.tenant)?.open_key(Place::process_key(pid), &row.key)
    }
}

/// Each after the one that it belongs to. One whose parent is not there comes as a root does.
fn parents_first<T>(mut items: BTreeMap<u64, (Option<u64>, T)>) -> Vec<T> {
    let mut children: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    let mut next = Vec::new();
    for (id, (parent, _)) in &items {
        match parent.filter(|parent| items.contains_key(parent)) {
            Some(parent) => children.entry(parent).or_default().push(*id),
            None => next.push(*id),
        }
    }
    let mut ordered = Vec::with_capacity(items.len());
    let mut at = 0;
    while at < next.len() {
        ordered.extend(items.remove(&next[at]).map(|(_, item)| item));
        next.extend(children.remove(&next[at]).unwrap_or_default());
        at += 1;
    }
    ordered
}
