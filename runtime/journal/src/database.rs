//! The database: its version, its tables, and how its connections are set.

use crate::error::OpenError;
use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig, ffi};
use std::{path::Path, time::Duration};

/// "REMJ".
const APPLICATION: i64 = 0x5245_4d4a;
/// What each version added to the tables, from version 1 on. A journal is made by all of it, and an older one is brought up by what it
/// does not have yet: a new table is a new line in the newest file, as long as no build with that version was given away.
const STEPS: [&str; 7] = [
    include_str!("schema/1.sql"),
    include_str!("schema/2.sql"),
    include_str!("schema/3.sql"),
    include_str!("schema/4.sql"),
    include_str!("schema/5.sql"),
    include_str!("schema/6.sql"),
    include_str!("schema/7.sql"),
];
/// The newest version that is known, which is the one that is written.
pub(crate) const VERSION: i64 = STEPS.len() as i64;
/// From this one on there are audit chains, signed with a key of the host's.
const CHAINS_VERSION: i64 = 2;
/// Statements that stay compiled: a commit runs some 25.
const STATEMENTS: usize = 64;
/// How long a checkpoint that empties the WAL waits for readers. They read for milliseconds.
pub(crate) const BUSY: Duration = Duration::from_secs(5);

/// A database that was looked at, and is as it was.
pub(crate) struct Opening {
    db: Connection,
    /// Its version; 0 where it has no tables.
    version: i64,
}

impl Opening {
    /// Of a database that this build can go on with.
    pub(crate) fn of(path: &Path, vfs: Option<&str>) -> Result<Self, OpenError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = connect(path, flags, vfs)?;
        let found = version(&db).map_err(|error| match error {
            rusqlite::Error::SqliteFailure(failure, _) if failure.code == ErrorCode::NotADatabase => None,
            error => Some(error),
        });
        match found {
            Ok(Some(found)) if found > VERSION => Err(OpenError::Newer { found, known: VERSION }),
            Ok(Some(version)) => Ok(Self { db, version }),
            Ok(None) | Err(None) => Err(OpenError::Foreign(path.to_owned())),
            Err(Some(error)) => Err(error.into()),
        }
    }

    /// Whether there are chains in it that were signed.
    pub(crate) fn has_chains(&self) -> bool {
        self.version >= CHAINS_VERSION
    }

    /// The connection that writes, with all tables of the newest version.
    pub(crate) fn finish(self) -> Result<Connection, OpenError> {
        let Self { db, version } = self;
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", "FULL")?;
        db.pragma_update(None, "wal_autocheckpoint", 0)?;
        db.pragma_update(None, "secure_delete", "ON")?;
        db.pragma_update(None, "cache_size", -16_384)?;
        bring_up(&db, version)?;
        match empty_wal(&db) {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull) => {
                tracing::warn!(%error, "the journal's WAL stays until there is space");
            }
            outcome => outcome?,
        }
        Ok(db)
    }
}

/// Puts all of the WAL into the database, whatever of it is only in the system's memory, and makes its file empty.
pub(crate) fn empty_wal(db: &Connection) -> Result<(), rusqlite::Error> {
    let busy: bool = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    match busy {
        false => Ok(()),
        true => Err(rusqlite::Error::SqliteFailure(
            ffi::Error::new(ffi::SQLITE_BUSY),
            Some("a reader has the log open".to_owned()),
        )),
    }
}

/// A connection that only reads.
pub(crate) fn open_reader(path: &Path, vfs: Option<&str>) -> Result<Connection, rusqlite::Error> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX, vfs)
}

pub(crate) fn connect(path: &Path, flags: OpenFlags, vfs: Option<&str>) -> Result<Connection, rusqlite::Error> {
    let db = match vfs {
        None => Connection::open_with_flags(path, flags)?,
        Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs)?,
    };
    db.busy_timeout(BUSY)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    // What a damaged page says is checked before it is followed, and no schema of somebody else's runs functions.
    db.pragma_update(None, "cell_size_check", true)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    Ok(db)
}

/// The version; 0 of an empty file, `None` of somebody else's.
fn version(db: &Connection) -> Result<Option<i64>, rusqlite::Error> {
    let number = |pragma| db.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(match (number("application_id")?, number("user_version")?) {
        (APPLICATION, version) => Some(version.max(1)),
        (0, 0) if tables == 0 => Some(0),
        _ => None,
    })
}

/// Makes what a version does not have, all of it or nothing.
fn bring_up(db: &Connection, version: i64) -> Result<(), rusqlite::Error> {
    let steps = STEPS.get(usize::try_from(version).unwrap_or_default()..).unwrap_or_default();
    if steps.is_empty() {
        return Ok(());
    }
    if version > 0 {
        tracing::info!(from = version, to = VERSION, "the journal is brought up to a newer version");
    }
    let tables = steps.concat();
    db.execute_batch(&format!(
        "BEGIN IMMEDIATE; {tables} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}; COMMIT"
    ))
}

/// The last record that is in.
pub(crate) fn position(db: &Connection) -> Result<u64, rusqlite::Error> {
    db.query_row("SELECT position FROM node", [], |row| row.get::<_, i64>(0)).map(i64::cast_unsigned)
}
