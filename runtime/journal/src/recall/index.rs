//! The file that has the terms of a tenant's texts, and where these lie: `recall/N.sqlite`, as `FORMAT.md` lays it out.
//!
//! Nothing in it is needed: whatever is not as it should be is deleted, and made anew from the journal.

use super::{
    RecallRules, Trouble,
    texts::Place,
    words::{Question, Terms},
};
use crate::{
    audit::Hash,
    database,
    folder::Folder,
    number::{self, generation_id, pid as pid_of, stored},
};
use remit_abi::{GenerationId, Pid, TenantId};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, Transaction, params};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// "REMR".
const APPLICATION: i64 = 0x5245_4d52;
/// Of the tables, and of what a term is: another one is made anew.
const VERSION: i64 = 1;
const TABLES: &str = include_str!("tables.sql");
/// What SQLite puts beside a database in WAL mode.
const BESIDE: [&str; 3] = ["", "-wal", "-shm"];

/// The columns of a [`Place`].
const PLACE: &str = "process, sequence, last, ordinal, generation, position, end_position";

/// Whether a new index would be of help: unless it is the machine that refuses.
pub(super) fn is_damaged(error: &rusqlite::Error) -> bool {
    use ErrorCode::{
        CannotOpen, DatabaseBusy, DatabaseLocked, DiskFull, OutOfMemory, PermissionDenied, ReadOnly, SystemIoFailure,
    };
    !matches!(
        error.sqlite_error_code(),
        Some(
            CannotOpen
                | DatabaseBusy
                | DatabaseLocked
                | DiskFull
                | OutOfMemory
                | PermissionDenied
                | ReadOnly
                | SystemIoFailure
        )
    )
}

fn path(folder: &Folder, tenant: TenantId) -> PathBuf {
    folder.recall().join(format!("{tenant}.sqlite"))
}

/// Deletes a tenant's index.
pub(super) fn remove(folder: &Folder, tenant: TenantId) -> io::Result<()> {
    let path = path(folder, tenant);
    for end in BESIDE {
        let mut name = path.clone().into_os_string();
        name.push(end);
        match fs::remove_file(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    folder.sync_recall()
}

/// Deletes the indexes of all tenants but these.
pub(super) fn remove_all_but(folder: &Folder, tenants: &[TenantId]) -> io::Result<()> {
    let entries = match fs::read_dir(folder.recall()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    let kept: Vec<PathBuf> = tenants.iter().map(|tenant| path(folder, *tenant)).collect();
    for entry in entries {
        let found = entry?.path();
        let is_of = |kept: &PathBuf| found.to_string_lossy().starts_with(&*kept.to_string_lossy());
        if !kept.iter().any(is_of) {
            fs::remove_file(&found)?;
        }
    }
    folder.sync_recall()
}

/// A tenant's index.
pub(super) struct Index {
    pub(super) db: Connection,
    pub(super) terms: Terms,
    tenant: TenantId,
}

/// An answer of a model's of which more may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Begun {
    pub(super) of: GenerationId,
    /// Of the line that says that it began.
    pub(super) sequence: u64,
    /// Of that line's chunk.
    pub(super) position: u64,
    pub(super) at_ns: u64,
}

impl Index {
    /// The index of a tenant with a key, as far as it goes; an empty one where there is none that fits. `newest` is the last position of the log.
    pub(super) fn open(
        folder: &Folder,
        (tenant, key): (TenantId, Hash),
        rules: &RecallRules,
        newest: u64,
    ) -> Result<Self, Trouble> {
        let (path, terms) = (path(folder, tenant), Terms::new(&key));
        let made_for = made_for(&terms, rules);
        if path.exists() {
            match fitting(&path, made_for, newest) {
                Ok(Some(db)) => return Ok(Self { db, terms, tenant }),
                Ok(None) => {
                    tracing::info!(tenant = tenant.0, "an index of what was told does not fit and is made anew");
                }
                Err(error) if is_damaged(&error) => {
                    tracing::warn!(tenant = tenant.0, %error, "an index of what was told is damaged and is made anew");
                }
                Err(error) => return Err(error.into()),
            }
        }
        remove(folder, tenant)?;
        fs::create_dir_all(folder.recall())?;
        Ok(Self { db: make(&path, made_for)?, terms, tenant })
    }

    /// The log is in it up to this position.
    pub(super) fn position(&self) -> Result<u64, rusqlite::Error> {
        self.db.query_row("SELECT position FROM state", [], |row| row.get(0)).map(number::read)
    }

    /// Of what somebody looks for: whoever has the tenant's key can find out whether it is what they guess.
    pub(super) fn digest(&self, question: &str) -> Hash {
        self.terms.digest("question", question.as_bytes())
    }

    /// Where texts lie that have some of the words, the likest first: those told from a moment on, and to one process where one is meant.
    pub(super) fn search(
        &self,
        question: &Question,
        (since_ns, of): (u64, Option<Pid>),
        count: usize,
    ) -> Result<Vec<Place>, rusqlite::Error> {
        // BM25 falls as a text is likelier; of two that are alike the newer one comes first.
        let mut select = self.db.prepare_cached(&format!(
            "SELECT {PLACE} FROM words JOIN texts ON texts.number = words.rowid
             WHERE words MATCH ?1 AND at_ns >= ?2 AND (?3 IS NULL OR process = ?3)
             ORDER BY bm25(words), texts.number DESC LIMIT ?4"
        ))?;
        let of = of.map(|pid| stored(number::process(pid)));
        // Moments behind the last that is stored are behind all of them.
        let since_ns = i64::try_from(since_ns).unwrap_or(i64::MAX);
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let places =
            select.query_map(params![self.terms.query(question), since_ns, of, count], |row| self.place(row))?;
        places.collect()
    }

    fn place(&self, row: &Row<'_>) -> rusqlite::Result<Place> {
        Ok(Place {
            pid: pid_of(self.tenant.0, row.get(0)?),
            sequence: number::read(row.get(1)?),
            last: number::read(row.get(2)?),
            ordinal: row.get(3)?,
            generation: row.get::<_, Option<i64>>(4)?.map(number::read).map(generation_id),
            position: number::read(row.get(5)?),
            end: number::read(row.get(6)?),
        })
    }

    /// Begins to take something in: all of it, or nothing.
    pub(super) fn adding(&self) -> Result<Adding<'_>, rusqlite::Error> {
        Ok(Adding { index: self, db: self.db.unchecked_transaction()? })
    }
}

/// A transaction. Dropped, it has changed nothing.
pub(super) struct Adding<'a> {
    index: &'a Index,
    db: Transaction<'a>,
}

impl Adding<'_> {
    /// A text lies there.
    pub(super) fn add(&self, place: &Place, at_ns: u64, text: &str) -> Result<(), rusqlite::Error> {
        let terms = self.index.terms.of(text);
        if terms.is_empty() {
            return Ok(());
        }
        let mut insert = self.db.prepare_cached(&format!(
            "INSERT INTO texts({PLACE}, at_ns) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) RETURNING number"
        ))?;
        let process = stored(number::process(place.pid));
        let [sequence, last, position, end] = [place.sequence, place.last, place.position, place.end].map(stored);
        let generation = place.generation.map(|of| stored(number::generation(of)));
        let values = params![process, sequence, last, place.ordinal, generation, position, end, stored(at_ns)];
        let row: i64 = insert.query_row(values, |row| row.get(0))?;
        let mut insert = self.db.prepare_cached("INSERT INTO words(rowid, terms) VALUES (?1, ?2)")?;
        insert.execute(params![row, terms]).map(drop)
    }

    /// A model begins to answer a process.
    pub(super) fn begin(&self, pid: Pid, begun: Begun) -> Result<(), rusqlite::Error> {
        let mut insert = self.db.prepare_cached(
            "INSERT OR REPLACE INTO begun(process, slot, generation, sequence, position, at_ns) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        let [sequence, position, at_ns] = [begun.sequence, begun.position, begun.at_ns].map(stored);
        let (process, generation) = (stored(number::process(pid)), stored(number::generation(begun.of)));
        insert.execute(params![process, begun.of.index, generation, sequence, position, at_ns]).map(drop)
    }

    /// What was begun of a process's answers, of one place of its table or of all, and is no more.
    pub(super) fn take_begun(&self, pid: Pid, slot: Option<u32>) -> Result<Vec<Begun>, rusqlite::Error> {
        let mut delete = self.db.prepare_cached(
            "DELETE FROM begun WHERE process = ?1 AND (?2 IS NULL OR slot = ?2)
             RETURNING generation, sequence, position, at_ns",
        )?;
        let taken = delete.query_map(params![stored(number::process(pid)), slot], |row| {
            Ok(Begun {
                of: generation_id(number::read(row.get(0)?)),
                sequence: number::read(row.get(1)?),
                position: number::read(row.get(2)?),
                at_ns: number::read(row.get(3)?),
            })
        })?;
        taken.collect()
    }

    /// Nothing is kept that was told before a moment.
    pub(super) fn forget_before(&self, wall_ns: u64) -> Result<(), rusqlite::Error> {
        let before = i64::try_from(wall_ns).unwrap_or(i64::MAX);
        let is_old: bool = self
            .db
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM texts WHERE at_ns < ?1)")?
            .query_row([before], |row| row.get(0))?;
        if is_old {
            for delete in [
                "DELETE FROM words WHERE rowid IN (SELECT number FROM texts WHERE at_ns < ?1)",
                "DELETE FROM texts WHERE at_ns < ?1",
            ] {
                self.db.prepare_cached(delete)?.execute([before])?;
            }
        }
        self.db.prepare_cached("DELETE FROM begun WHERE at_ns < ?1")?.execute([before]).map(drop)
    }

    /// The log is in it up to this position, from when this returns.
    pub(super) fn reach(self, position: u64) -> Result<(), rusqlite::Error> {
        self.db.prepare_cached("UPDATE state SET position = ?1")?.execute([stored(position)])?;
        self.db.commit()
    }
}

/// What an index is made for: one of another key or of other rules has another one.
fn made_for(terms: &Terms, rules: &RecallRules) -> Hash {
    let mut excluded = rules.excluded.clone();
    excluded.sort_unstable();
    excluded.dedup();
    // Each name with its length before it, so that no two lists are the same bytes.
    let names = excluded.iter().flat_map(|name| [&(name.len() as u64).to_be_bytes(), name.as_bytes()].concat());
    let bytes: Vec<u8> = rules.keep_ns.to_be_bytes().into_iter().chain(names).collect();
    terms.digest("rules", &bytes)
}

/// An index that is there; `None` where it is of another version, key or rules, or ahead of the log.
fn fitting(path: &Path, made_for: Hash, newest: u64) -> Result<Option<Connection>, rusqlite::Error> {
    let db = connect(path, OpenFlags::empty())?;
    let pragma = |name| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    if (pragma("application_id")?, pragma("user_version")?) != (APPLICATION, VERSION) {
        return Ok(None);
    }
    let state = db.query_row("SELECT position, made_for FROM state", [], |row| {
        Ok((number::read(row.get(0)?), row.get::<_, Vec<u8>>(1)?))
    });
    let fits = state.optional()?.is_some_and(|(position, of)| position <= newest && of == made_for);
    Ok(fits.then_some(db))
}

fn make(path: &Path, made_for: Hash) -> Result<Connection, rusqlite::Error> {
    let db = connect(path, OpenFlags::SQLITE_OPEN_CREATE)?;
    let making = db.unchecked_transaction()?;
    making.execute_batch(TABLES)?;
    making.execute("INSERT INTO state(id, position, made_for) VALUES (1, 0, ?1)", [made_for])?;
    making.pragma_update(None, "application_id", APPLICATION)?;
    making.pragma_update(None, "user_version", VERSION)?;
    making.commit()?;
    Ok(db)
}

fn connect(path: &Path, more: OpenFlags) -> Result<Connection, rusqlite::Error> {
    let db = database::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | more, None)?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    // A loss of power takes back the last commits, and the watermark with them.
    db.pragma_update(None, "synchronous", "NORMAL")?;
    db.pragma_update(None, "secure_delete", "ON")?;
    Ok(db)
}
