//! Undoing a run: each entry gets the version back that it had before, and what the run made is forgotten.
//!
//! It looks at how things are, and not at whether a step says that it was done: a run may have been cut off between the two. What was changed
//! since by somebody else is left as it is.

use crate::{
    marks::{FACT, RUN, SUMMARY, run_of},
    record::{Change, Step},
    runs::all,
    store::Group,
};
use remit::{
    MemoryError, Stop,
    memory::{Comparison, Condition, EntryId, Filter},
};

const PAGE: u32 = 64;

/// What undoing came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Undone {
    restored: usize,
    forgotten: u64,
    left: usize,
}

impl Undone {
    pub(crate) fn said(&self) -> String {
        let Self { restored, forgotten, left } = *self;
        let mut said = format!("{restored} entries are as they were, {forgotten} that the run wrote are forgotten");
        if left > 0 {
            said.push_str(&format!(", {left} are left as they are: they were changed or destroyed since"));
        }
        said
    }
}

pub(crate) fn undo(group: &Group, run: EntryId, steps: &[Step]) -> Result<Undone, Stop> {
    let mut undone = Undone::default();
    for change in steps.iter().rev().flat_map(|step| step.changes.iter().rev()) {
        match *change {
            Change::Kept { entry, before, .. } => match restore_kept(group, run, entry, before)? {
                Some(true) => undone.restored += 1,
                Some(false) => {}
                None => undone.left += 1,
            },
            Change::Gone { entry, version } => match restore_gone(group, entry, version)? {
                Some(true) => undone.restored += 1,
                Some(false) => {}
                None => undone.left += 1,
            },
            Change::Made { .. } => {}
        }
    }
    let of_run = Condition::field(RUN, Comparison::Equal, run.cast_signed());
    let made = Filter::from(of_run).and_any([Condition::tagged(SUMMARY), Condition::tagged(FACT)]);
    for hit in all(&group.store, &group.label, &made, PAGE)? {
        undone.forgotten += group.store.forget(hit.entry)?;
    }
    Ok(undone)
}

/// True where it has its version back, false where it had it, and nothing where it is somebody else's by now.
fn restore_kept(group: &Group, run: EntryId, entry: EntryId, before: u32) -> Result<Option<bool>, Stop> {
    let now = match group.store.describe(entry) {
        Err(MemoryError::NoSuchEntry) => return Ok(None),
        now => now?,
    };
    if now.version == before {
        return Ok(Some(false));
    }
    if run_of(&now.particulars) != Some(run) {
        // Undone before, where it is as it was then.
        return Ok(None);
    }
    restored(group, entry, before)
}

fn restore_gone(group: &Group, entry: EntryId, version: u32) -> Result<Option<bool>, Stop> {
    match group.store.get(entry) {
        Err(MemoryError::NoSuchEntry) => {}
        Ok(_) => return Ok(Some(false)),
        Err(error) => return Err(error.into()),
    }
    let newest = match group.store.versions(entry) {
        Err(MemoryError::NoSuchEntry) => return Ok(None),
        versions => versions?.last().map(|newest| newest.version),
    };
    // Somebody wrote it again and forgot it then.
    if newest != Some(version) {
        return Ok(None);
    }
    restored(group, entry, version)
}

fn restored(group: &Group, entry: EntryId, version: u32) -> Result<Option<bool>, Stop> {
    match group.store.restore(entry, version) {
        Err(MemoryError::NoSuchVersion(_) | MemoryError::NoSuchEntry) => Ok(None),
        written => {
            written?;
            Ok(Some(true))
        }
    }
}
