//! SQLite by itself: rows of the same bytes, from as many writers, in groups that form while the disk writes the group before.

use rusqlite::{Connection, params};
use std::{
    path::Path,
    sync::{Condvar, Mutex, PoisonError},
    thread,
    time::Instant,
};

/// What all writers share.
#[derive(Default)]
struct Group {
    state: Mutex<State>,
    /// Something is to be written, or nobody writes any more.
    arrived: Condvar,
    /// A group is on the disk.
    committed: Condvar,
}

#[derive(Default)]
struct State {
    rows: Vec<Vec<u8>>,
    appended: u64,
    committed: u64,
    is_over: bool,
}

/// Rows a second: so many writers, each with so many rows of so many bytes, of which each `every`th is waited for, and the last.
pub(crate) fn rows_per_s(folder: &Path, writers: usize, rows: u64, bytes: usize, every: u64) -> f64 {
    let scratch = tempfile::tempdir_in(folder).expect("the folder is writable");
    let db = Connection::open(scratch.path().join("raw.sqlite")).expect("the folder is writable");
    db.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4096;
         CREATE TABLE rows (position INTEGER PRIMARY KEY, payload BLOB NOT NULL)",
    )
    .expect("it is new");
    let group = &Group::default();
    let started = Instant::now();
    thread::scope(|scope| {
        let writer = scope.spawn(move || group.write(&db));
        let appenders: Vec<_> = (0..writers).map(|_| scope.spawn(|| group.append(rows, bytes, every))).collect();
        for appender in appenders {
            appender.join().expect("it does not panic");
        }
        group.lock().is_over = true;
        group.arrived.notify_all();
        writer.join().expect("it does not panic");
    });
    (writers as u64 * rows) as f64 / started.elapsed().as_secs_f64()
}

impl Group {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, rows: u64, bytes: usize, every: u64) {
        for row in 1..=rows {
            let mut state = self.lock();
            state.rows.push(vec![row as u8; bytes]);
            state.appended += 1;
            let position = state.appended;
            self.arrived.notify_one();
            if row % every == 0 || row == rows {
                while state.committed < position {
                    state = self.committed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    fn write(&self, db: &Connection) {
        loop {
            let (rows, last) = {
                let mut state = self.lock();
                while state.rows.is_empty() {
                    if state.is_over {
                        return;
                    }
                    state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                (std::mem::take(&mut state.rows), state.appended)
            };
            let run = |sql: &str| db.prepare_cached(sql).expect("it is SQL").execute([]).expect("the disk writes");
            run("BEGIN IMMEDIATE");
            let mut insert = db.prepare_cached("INSERT INTO rows(payload) VALUES (?1)").expect("it is SQL");
            for row in &rows {
                insert.execute(params![row]).expect("the disk writes");
            }
            run("COMMIT");
            self.lock().committed = last;
            self.committed.notify_all();
        }
    }
}
