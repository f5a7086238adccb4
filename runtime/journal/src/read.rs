//! Reading: by a connection of its own, which sees whole commits and never waits for the writer's.

use crate::{
    audit::Salts,
    error::Damage,
    fold::{
        accounts::Account,
        inbox,
        mail::{ANSWERED, UNANSWERED},
        next,
        processes::{COLUMNS, PLAIN_VERSION, Stored},
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
        AccountImage, Away, Beginning, CallImage, CallState, Entry, GrantImage, LetterImage, Line, NodeImage,
        PostedQuestion, QuestionState, Sleeper, StoredProcess,
    },
};
use rusqlite::{Connection, OptionalExtension, Row};
use serde::de::DeserializeOwned;
use std::{collections::BTreeMap, sync::Arc};

/// Reads; what one call reads is one state of the journal where a transaction is begun before.
pub(crate) struct Reader {
    pub(crate) db: Connection,
    pub(crate) folder: Arc<Folder>,
}

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

/// A chunk without its payload.
struct Header {
    position: u64,
    previous: u64,
    first_sequence: u64,
}

/// A value as it was sealed.
pub(crate) fn decode<T: DeserializeOwned>(plain: &[u8]) -> Result<T, Damage> {
    Ok(postcard::from_bytes(body(plain)?)?)
}

fn body(plain: &[u8]) -> Result<&[u8], Damage> {
    plain.strip_prefix(&[PLAIN_VERSION]).ok_or(Damage::Form(postcard::Error::DeserializeBadEncoding))
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
            frozen: self.frozen()?,
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

    fn reports(&self) -> Result<Vec<(Pid, Option<Pid>, Finished)>, Damage> {
        let mut select = self.db.prepare_cached(&format!(
            "SELECT tenant, number, payload, {COLUMNS}
             FROM reports JOIN processes USING (process) LEFT JOIN logs USING (process) ORDER BY process"
        ))?;
        let rows = select.query_map([], |row| {
            Ok((pid_of(row.get(0)?, row.get(1)?), row.get::<_, Vec<u8>>(2)?, Stored::read(row, 3)?))
        })?;
        rows.map(|row| {
            let (pid, sealed, row) = row?;
            let report = decode(&self.key(pid, &row)?.open(Place::report(pid), &sealed)?)?;
            Ok((pid, row.parent, report))
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

    fn frozen(&self) -> Result<Vec<Selection>, Damage> {
        let mut select = self.db.prepare_cached("SELECT selection FROM frozen ORDER BY place")?;
        let rows = select.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
        rows.map(|row| Ok(postcard::from_bytes(&row?)?)).collect()
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

    /// All rows of a table that has a number, a tenant and a payload.
    fn kept<T: DeserializeOwned>(&self, table: &str, place: impl Fn(TenantId, u64) -> Place) -> Result<Vec<T>, Damage> {
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

    fn key(&self, pid: Pid, row: &Stored) -> Result<Key, Damage> {
        self.folder.tenant(pid.tenant)?.open_key(Place::process_key(pid), &row.key)
    }

    /// A process that has not ended and has a log.
    pub(crate) fn process(&self, pid: Pid) -> Result<Option<StoredProcess>, Damage> {
        let Some(row) = Stored::find(&self.db, pid)?.filter(|row| !row.ended) else { return Ok(None) };
        let Some(first) = row.created else { return Ok(None) };
        let key = self.key(pid, &row)?;
        let mut created = None;
        for line in self.chunk(pid, &key, first)? {
            if let Entry::Created(found) = line.entry {
                created = Some(*found);
            }
        }
        let (from, began_sequence) = row.began.unwrap_or((first, 1));
        let mut lines = Vec::new();
        for header in self.chain(row.last, from)?.iter().rev() {
            let chunk = self.chunk(pid, &key, header.position)?;
            lines.extend(chunk.into_iter().filter(|line| line.sequence >= began_sequence));
        }
        if lines.first().is_none_or(|line| line.sequence != began_sequence) {
            return Err(Damage::Missing);
        }
        let began = match lines.remove(0).entry {
            Entry::Began(began) => *began,
            _ => Beginning::default(),
        };
        Ok(Some(StoredProcess {
            pid,
            created: created.ok_or(Damage::Missing)?,
            began,
            lines,
            letters: self.letters(pid, &key, row.row)?,
            holds: row.holds,
            signals: row.signals,
            detached: row.detached,
        }))
    }

    fn letters(&self, pid: Pid, key: &Key, row: i64) -> Result<Vec<(u64, LetterImage)>, Damage> {
        let mut select =
            self.db.prepare_cached("SELECT number, payload FROM letters WHERE process = ?1 ORDER BY number")?;
        let rows = select.query_map([row], |row| Ok((number::read(row.get(0)?), row.get::<_, Vec<u8>>(1)?)))?;
        rows.map(|row| {
            let (number, sealed) = row?;
            Ok((number, decode(&key.open(Place::letter(pid, number), &sealed)?)?))
        })
        .collect()
    }

    /// Lines of a process, as far as they are kept.
    pub(crate) fn history(&self, pid: Pid, from: u64, limit: usize) -> Result<Vec<Line>, Damage> {
        let Some(row) = Stored::find(&self.db, pid)? else { return Ok(Vec::new()) };
        let key = self.key(pid, &row)?;
        let mut chain = self.chain_from_line(row.last, from)?;
        // Of a process that lives its first chunk is kept, whatever was forgotten behind it.
        if let Some(first) = row.created
            && chain.last().is_none_or(|oldest| oldest.position > first && oldest.first_sequence > from)
        {
            chain.extend(self.header(first)?);
        }
        let mut lines = Vec::new();
        for header in chain.iter().rev() {
            let left = limit - lines.len();
            if left == 0 {
                break;
            }
            let chunk = self.chunk(pid, &key, header.position)?;
            lines.extend(chunk.into_iter().filter(|line| line.sequence >= from).take(left));
        }
        Ok(lines)
    }

    fn header(&self, position: u64) -> Result<Option<Header>, Damage> {
        let mut select = self.db.prepare_cached("SELECT previous, first_sequence FROM chunks WHERE position = ?1")?;
        let header = select.query_row([stored(position)], |row| {
            Ok(Header { position, previous: number::read(row.get(0)?), first_sequence: number::read(row.get(1)?) })
        });
        Ok(header.optional()?)
    }

    /// Chunks from the newest back to one that has to be there.
    fn chain(&self, last: u64, to: u64) -> Result<Vec<Header>, Damage> {
        let mut chain = Vec::new();
        let mut next = last;
        while next >= to && next > 0 {
            let header = self.header(next)?.ok_or(Damage::Missing)?;
            next = header.previous.min(next - 1);
            chain.push(header);
        }
        Ok(chain)
    }

    /// Chunks from the newest back to the one with a line, or as far as they are kept.
    fn chain_from_line(&self, last: u64, from: u64) -> Result<Vec<Header>, Damage> {
        let mut chain = Vec::new();
        let mut next = last;
        while next > 0
            && let Some(header) = self.header(next)?
        {
            next = if header.first_sequence <= from { 0 } else { header.previous.min(next - 1) };
            chain.push(header);
        }
        Ok(chain)
    }

    /// The lines of a chunk.
    fn chunk(&self, pid: Pid, key: &Key, position: u64) -> Result<Vec<Line>, Damage> {
        let mut lines = Vec::new();
        let add = |sequence, at_ns, entry, _: &[u8]| lines.push(Line { sequence, at_ns, entry });
        self.each_line(pid, key, position, add)?.ok_or(Damage::Missing)?;
        Ok(lines)
    }

    /// The lines of a chunk as they were encoded, by their places in the process's log, with the salts of their digests. `None` where no chunk
    /// of the process begins at this position, or nothing of the process is left.
    pub(crate) fn raw_chunk(&self, pid: Pid, position: u64) -> Result<Option<RawChunk>, Damage> {
        let Some(row) = Stored::find(&self.db, pid)? else { return Ok(None) };
        let mut select = self.db.prepare_cached("SELECT 1 FROM chunks WHERE position = ?1 AND process = ?2")?;
        if !select.exists([stored(position), row.row])? {
            return Ok(None);
        }
        let key = self.key(pid, &row)?;
        let mut entries = Vec::new();
        let add = |sequence, _, _: Entry<'static>, bytes: &[u8]| entries.push((sequence, bytes.to_owned()));
        Ok(self.each_line(pid, &key, position, add)?.map(|()| (key.salts(), entries)))
    }

    /// Tells each line of a chunk: its place in the process's log, its time, its entry, and that as it was encoded. `None` where the chunk is
    /// gone.
    fn each_line(
        &self,
        pid: Pid,
        key: &Key,
        position: u64,
        mut tell: impl FnMut(u64, u64, Entry<'static>, &[u8]),
    ) -> Result<Option<()>, Damage> {
        let mut select = self
            .db
            .prepare_cached("SELECT previous, first_sequence, at_ns, payload FROM chunks WHERE position = ?1")?;
        let chunk = select.query_row([stored(position)], |row| {
            Ok(([row.get(0)?, row.get(1)?, row.get(2)?].map(number::read), row.get::<_, Vec<u8>>(3)?))
        });
        let Some(([previous, first_sequence, at_ns], sealed)) = chunk.optional()? else { return Ok(None) };
        let plain = key.open(Place::chunk(pid, position, previous, first_sequence, at_ns), &sealed)?;
        let mut rest = body(&plain)?;
        let (mut sequence, mut at_ns) = (first_sequence, at_ns);
        while !rest.is_empty() {
            let (since, bytes) = postcard::take_from_bytes::<i64>(rest)?;
            let (entry, after) = postcard::take_from_bytes::<Entry<'static>>(bytes)?;
            at_ns = at_ns.wrapping_add_signed(since);
            tell(sequence, at_ns, entry, &bytes[..bytes.len() - after.len()]);
            (sequence, rest) = (sequence + 1, after);
        }
        Ok(Some(()))
    }
}

/// Salts of a process, and entries of it by their places in its log, as they were encoded.
pub(crate) type RawChunk = (Salts, Vec<(u64, Vec<u8>)>);

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
