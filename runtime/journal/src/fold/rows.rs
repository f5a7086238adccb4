//! Rows as the writer has them in memory: read on first use, written once a commit, whatever happened to them in between.

use rustc_hash::FxHashMap;
use std::hash::Hash;

/// Rows of one table that stay in memory between commits. 16,384: with a process's key ready for use (1 KiB) some 20 MiB, and more processes
/// than are active within seconds.
const ROWS_MAX: usize = 16_384;

struct Row<V> {
    now: Option<V>,
    /// The table has it.
    stored: bool,
    changed: bool,
}

/// What a commit does to a row.
pub(crate) enum Write<'a, V> {
    Insert(&'a mut V),
    Update(&'a mut V),
    Delete,
}

/// Some rows of a table.
pub(crate) struct Rows<K, V> {
    rows: FxHashMap<K, Row<V>>,
    /// In the order of their first change.
    changed: Vec<K>,
}

impl<K, V> Default for Rows<K, V> {
    fn default() -> Self {
        Self { rows: FxHashMap::default(), changed: Vec::new() }
    }
}

impl<K: Copy + Eq + Hash, V> Rows<K, V> {
    /// A row as it is after all changes so far.
    pub(crate) fn look<E>(&mut self, key: K, load: impl FnOnce() -> Result<Option<V>, E>) -> Result<Option<&mut V>, E> {
        Ok(self.row(key, load)?.now.as_mut())
    }

    /// The same, to be changed, made or removed.
    pub(crate) fn edit<E>(&mut self, key: K, load: impl FnOnce() -> Result<Option<V>, E>) -> Result<&mut Option<V>, E> {
        if !self.row(key, load)?.changed {
            self.changed.push(key);
        }
        let row = self.row(key, || Ok::<_, E>(None))?;
        row.changed = true;
        Ok(&mut row.now)
    }

    fn row<E>(&mut self, key: K, load: impl FnOnce() -> Result<Option<V>, E>) -> Result<&mut Row<V>, E> {
        use std::collections::hash_map::Entry;
        Ok(match self.rows.entry(key) {
            Entry::Occupied(row) => row.into_mut(),
            Entry::Vacant(place) => {
                let now = load()?;
                let stored = now.is_some();
                place.insert(Row { now, stored, changed: false })
            }
        })
    }

    /// A row that is in memory, if it exists.
    pub(crate) fn at_hand(&self, key: K) -> Option<&V> {
        self.rows.get(&key)?.now.as_ref()
    }

    /// What the table has to be told, in the order of the first changes.
    pub(crate) fn writes<E>(&mut self, mut write: impl FnMut(K, Write<'_, V>) -> Result<(), E>) -> Result<(), E> {
        for key in &self.changed {
            let Some(row) = self.rows.get_mut(key) else { continue };
            match (&mut row.now, row.stored) {
                (Some(value), false) => write(*key, Write::Insert(value))?,
                (Some(value), true) => write(*key, Write::Update(value))?,
                (None, true) => write(*key, Write::Delete)?,
                (None, false) => {}
            }
        }
        Ok(())
    }

    /// The table has been told.
    pub(crate) fn settle(&mut self, mut each: impl FnMut(&mut V)) {
        for key in self.changed.drain(..) {
            let Some(row) = self.rows.get_mut(&key) else { continue };
            row.stored = row.now.is_some();
            row.changed = false;
            if let Some(value) = &mut row.now {
                each(value);
            }
        }
        if self.rows.len() > ROWS_MAX {
            self.rows.clear();
        }
    }
}
