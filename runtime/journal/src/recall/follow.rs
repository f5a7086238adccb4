//! Takes into an index what the log has besides, a slice at a time.
//!
//! A slice is one state of the log, and one transaction of the index, which ends with the position that it comes to. So an index that is cut off
//! anywhere goes on where it was. An answer that comes in pieces is taken in when nothing more comes of it, and is then read from where it
//! began; until then the index knows no more than that.

use super::{
    RecallRules, Trouble,
    index::{Adding, Begun, Index},
    texts::Place,
};
use crate::{
    database,
    error::Damage,
    fold::processes::Stored,
    number::{self, pid as pid_of, stored},
    read::Reader,
};
use remit_abi::{Pid, TagSet, TenantId};
use remit_kernel::ports::{Heard, Line};
use rusqlite::params;

/// Chunks of one slice: some milliseconds, for which the journal's WAL cannot be emptied.
const CHUNKS: usize = 64;

/// Whether there is more to be taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slice {
    More,
    Last,
}

impl Index {
    /// Takes in the next slice of the log, and out what is too old.
    pub(super) fn follow(
        &self,
        reader: &Reader,
        tenant: TenantId,
        rules: &RecallRules,
        now_ns: u64,
    ) -> Result<Slice, Trouble> {
        let state = reader.db.unchecked_transaction().map_err(Damage::from)?;
        let newest = database::position(&reader.db).map_err(Damage::from)?;
        let chunks = reader.chunks_after(tenant, self.position()?)?;
        let excluded = reader.tag_set(tenant, &rules.excluded)?;
        let oldest_ns = now_ns.saturating_sub(rules.keep_ns);
        let slice = Following { reader, adding: self.adding()?, excluded, oldest_ns };
        for (position, pid) in &chunks {
            match slice.chunk(*pid, *position) {
                Err(Trouble::Journal(damage)) if !matches!(damage, Damage::Database(_) | Damage::File(_)) => {
                    // Others are found all the same, and reading this one's log says what is wrong.
                    tracing::warn!(%pid, position, %damage, "what a process was told cannot be read and is not recalled");
                }
                outcome => outcome?,
            }
        }
        slice.adding.forget_before(oldest_ns)?;
        let (reached, more) = match chunks.last() {
            Some((last, _)) if chunks.len() == CHUNKS => (*last, Slice::More),
            _ => (newest, Slice::Last),
        };
        slice.adding.reach(reached)?;
        drop(state);
        Ok(more)
    }
}

/// A slice.
struct Following<'a> {
    reader: &'a Reader,
    adding: Adding<'a>,
    /// A text with any of these tags is not taken in.
    excluded: TagSet,
    oldest_ns: u64,
}

impl Following<'_> {
    fn chunk(&self, pid: Pid, position: u64) -> Result<(), Trouble> {
        let Some(row) = Stored::find(&self.reader.db, pid)? else { return Ok(()) };
        let key = self.reader.key(pid, &row)?;
        for line in self.reader.lines(pid, &key, position)?.unwrap_or_default() {
            self.line(pid, position, &line)?;
        }
        Ok(())
    }

    fn line(&self, pid: Pid, position: u64, line: &Line) -> Result<(), Trouble> {
        let (sequence, at_ns) = (line.sequence, line.at_ns);
        let mut ordinal = 0;
        for heard in line.entry.heard() {
            match heard {
                Heard::Text(text) => {
                    let place =
                        Place { pid, sequence, last: sequence, ordinal, generation: None, position, end: position };
                    ordinal += 1;
                    if self.is_wanted(at_ns, text.label.tags) {
                        self.adding.add(&place, at_ns, text.text)?;
                    }
                }
                Heard::Begins(of) => {
                    // Whoever had its place before was let go, which nothing says.
                    self.end(pid, Some(of.index), (position, sequence))?;
                    self.adding.begin(pid, Begun { of, sequence, position, at_ns })?;
                }
                Heard::Piece { .. } => {}
                Heard::Ends(of) => self.end(pid, Some(of.index), (position, sequence))?,
                Heard::AllEnd => self.end(pid, None, (position, sequence))?,
            }
        }
        Ok(())
    }

    /// Takes in answers of which nothing more comes.
    fn end(&self, pid: Pid, slot: Option<u32>, (end, last): (u64, u64)) -> Result<(), Trouble> {
        for Begun { of, sequence, position, at_ns } in self.adding.take_begun(pid, slot)? {
            let place = Place { pid, sequence, last, ordinal: 0, generation: Some(of), position, end };
            if let Some(heard) = self.reader.heard_at(&place)?
                && self.is_wanted(at_ns, heard.label.tags)
            {
                self.adding.add(&place, at_ns, &heard.text)?;
            }
        }
        Ok(())
    }

    fn is_wanted(&self, at_ns: u64, tags: TagSet) -> bool {
        let is_excluded = tags.indices().filter_map(TagSet::single).any(|tag| self.excluded.contains(tag));
        at_ns >= self.oldest_ns && !is_excluded
    }
}

impl Reader {
    /// The next chunks of a tenant's logs behind a position, in their order.
    fn chunks_after(&self, tenant: TenantId, position: u64) -> Result<Vec<(u64, Pid)>, Damage> {
        let mut select = self.db.prepare_cached(
            "SELECT position, number FROM chunks JOIN processes USING (process)
             WHERE position > ?1 AND tenant = ?2 ORDER BY position LIMIT ?3",
        )?;
        let rows = select.query_map(params![stored(position), tenant.0, CHUNKS as i64], |row| {
            Ok((number::read(row.get(0)?), pid_of(tenant.0, row.get(1)?)))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The tags of these names, as far as the tenant has them.
    fn tag_set(&self, tenant: TenantId, names: &[Box<str>]) -> Result<TagSet, Damage> {
        if names.is_empty() {
            return Ok(TagSet::EMPTY);
        }
        let known = self.tags_of(tenant)?;
        let meant = known.iter().filter(|(_, name)| names.contains(name));
        Ok(meant.filter_map(|(bit, _)| TagSet::single(*bit)).fold(TagSet::EMPTY, TagSet::union))
    }
}
