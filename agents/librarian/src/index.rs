//! Documents as passages of a memory.
//!
//! Each passage has its document's path and revision. The last one of a document is marked, so that one that was written down in part, since
//! the host ended or the budget did, is begun anew.

use crate::split::passages;
use remit::{
    FileError, Stop, ValueError,
    files::Folders,
    memory::{Comparison, Condition, Filter, Hit, Scalar, Store},
};
use std::collections::BTreeSet;

const TAG: &str = "passage";
const PATH: &str = "path";
const REVISION: &str = "revision";
const LAST: &str = "last";

/// As long as a text of a field may be.
const PATH_BYTES_MAX: usize = 256;

/// All passages.
pub(crate) fn all() -> Filter {
    Filter::tagged(TAG)
}

fn of(path: &str) -> Filter {
    all().and(Condition::field(PATH, Comparison::Equal, path))
}

/// Writes down what is new; the paths of all documents.
pub(crate) fn index(documents: &Folders, library: &Store) -> Result<BTreeSet<String>, Stop> {
    let mut paths = BTreeSet::new();
    for root in documents.roots()? {
        paths.extend(documents.walk(&root)?);
    }
    for path in &paths {
        match index_one(documents, library, path) {
            Err(Stop::Failed(failure)) => remit::warn!("{path} is left out: {}", failure.message),
            done => done?,
        }
    }
    Ok(paths)
}

fn index_one(documents: &Folders, library: &Store, path: &str) -> Result<(), Stop> {
    if path.len() > PATH_BYTES_MAX {
        remit::info!("{path} is left out: its path is too long");
        return Ok(());
    }
    let revision = documents.describe(path)?.revision.cast_signed();
    let whole = of(path).and(Condition::field(REVISION, Comparison::Equal, revision)).and(Condition::field(
        LAST,
        Comparison::Equal,
        true,
    ));
    if !library.entries(&whole, None, 1)?.is_empty() {
        return Ok(());
    }
    // As many as are forgotten at once may be fewer than there are.
    while library.forget(of(path))? > 0 {}
    let part = match documents.read(path) {
        Err(FileError::TooLarge { .. }) => {
            remit::info!("{path} is left out: it is too large");
            return Ok(());
        }
        read => read?,
    };
    let text = match part.content.text() {
        Err(ValueError::NotText { .. }) => return Ok(()),
        text => text?,
    };
    let passages = passages(&text);
    for (number, passage) in (1..).zip(&passages) {
        let note = library.note(*passage).tag(TAG).field(PATH, path).field(REVISION, part.revision.cast_signed());
        note.field(LAST, number == passages.len()).put()?;
    }
    remit::debug!("{path} has {} passages", passages.len());
    Ok(())
}

/// The path of a passage's document, where there still is one; otherwise the passage is forgotten.
pub(crate) fn path_of(library: &Store, paths: &BTreeSet<String>, hit: &Hit) -> Result<Option<String>, Stop> {
    let fields = library.describe(hit.entry)?.particulars.fields;
    let path = fields.into_iter().find_map(|(name, value)| match value {
        Scalar::Text(path) if name == PATH => Some(path),
        _ => None,
    });
    let path = path.filter(|path| paths.contains(path));
    if path.is_none() {
        library.forget(hit.entry)?;
    }
    Ok(path)
}
