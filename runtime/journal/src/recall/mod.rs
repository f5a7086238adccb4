//! Recall: what a tenant's processes were told, found by its words.
//!
//! | part | does |
//! | --- | --- |
//! | this file | which tenants, under which rules; what somebody looks for, and what they are shown |
//! | `words` | how a text becomes terms, and which part of it is shown |
//! | `index` | the file that has the terms of a tenant's texts, and where these lie |
//! | `follow` | takes into it what the journal has besides |
//! | `texts` | reads texts where they lie |
//!
//! Principles:
//!
//! - It is off for each tenant that has no [rules](RecallRules), and nothing of such a tenant is in a file.
//! - *The index has no text.* Texts are read where they lie, so that what the journal has no more is found no more, whatever an index says.
//!   Its terms are digests under a key that follows from the tenant's, and is destroyed with it.
//! - *It follows from the journal.* It says up to which position it has the log, in the transaction that takes in what comes behind that. An
//!   index that is missing, damaged, of other rules, of another key, or ahead of the log is made anew.
//! - Where history is forgotten, indexes are deleted and made anew from what is left. That takes longer than to delete rows, and leaves
//!   no page with a digest of what is gone.
//! - Whoever is shown something is in the tenant's audit before.
//!
//! Why it is here, and not in the tables of memories: what it is made of is sealed, and opened by this crate alone. Lance's tables have their
//! texts plainly and destroy some by writing all others again; an index of SQLite's FTS5 takes digests as well as words, commits with its
//! watermark, and is a file that can be thrown away. It is not in the journal's own database, since a commit of the log must not wait for
//! it, and since what can be made anew need not be in a backup.

mod follow;
mod index;
mod texts;
mod words;

use crate::{SqliteJournal, audit::Act, database, error::Damage, folder::Folder, read::Reader, retain::Job};
use follow::Slice;
use index::Index;
use parking_lot::{Mutex, RwLock};
use remit_abi::{Label, Pid, TenantId};
use remit_kernel::ports::{HeardFrom, JournalError};
use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, mpsc::sync_channel},
};
use texts::Found;
use thiserror::Error;
use words::Question;

/// Bytes of what somebody looks for: a sentence or two, and no document.
pub const QUESTION_BYTES_MAX: usize = 4_096;
/// Texts that somebody is shown at once: a page.
pub const RECALLED_MAX: usize = 100;

/// What of a tenant can be recalled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecallRules {
    /// Names of confidentiality tags: a text with any of these is not looked through.
    pub excluded: Vec<Box<str>>,
    /// What is older is not found any more, in nanoseconds.
    pub keep_ns: u64,
}

/// What somebody looks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recalling<'a> {
    /// Of whose processes.
    pub tenant: TenantId,
    /// Some of these words are in it.
    pub text: &'a str,
    /// What was told from here on, in nanoseconds since 1970-01-01T00:00:00Z.
    pub since_ns: u64,
    /// What this process was told, where one is meant.
    pub pid: Option<Pid>,
    /// So many at most, and never more than [`RECALLED_MAX`].
    pub count: usize,
    /// Who looks: their name is in the audit.
    pub by: &'a str,
}

/// A text that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recalled {
    /// Who was told it.
    pub pid: Pid,
    /// The place of its first line in the log of that process, from 1 on.
    pub sequence: u64,
    /// When, in nanoseconds since 1970-01-01T00:00:00Z.
    pub at_ns: u64,
    /// From whom.
    pub from: HeardFrom,
    /// What went into it.
    pub label: Label,
    /// The part of it in which the first of the words is.
    pub excerpt: Box<str>,
    /// How long all of it is.
    pub bytes: u64,
}

/// What is not recalled.
#[derive(Debug, Error)]
pub enum RecallError {
    /// The tenant has no rules.
    #[error("what tenant {0} was told cannot be looked through: its operator has not switched that on")]
    Off(TenantId),
    /// There is nothing to look for.
    #[error("there is no word in what is looked for: give at least one, of letters or digits")]
    Wordless,
    /// It is longer than what anybody looks for.
    #[error("what is looked for has {QUESTION_BYTES_MAX} bytes at most: give fewer words")]
    TooLong,
    /// The index cannot be used, and not be made anew.
    #[error("the index of what was told cannot be used: {0}; look after the disk and try again")]
    Index(Box<str>),
    /// What was found is not shown.
    #[error("what was found is not shown, since it could not be written down who saw it: {0}")]
    Unwritten(Box<str>),
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// What went wrong, and with which of the two.
#[derive(Debug)]
enum Trouble {
    Journal(Damage),
    Index(rusqlite::Error),
    /// Of the index.
    File(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

impl From<Damage> for Trouble {
    fn from(damage: Damage) -> Self {
        Self::Journal(damage)
    }
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self::Index(error)
    }
}

impl From<Trouble> for RecallError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Journal(damage) => Self::Journal(damage.of("what was told")),
            Trouble::Index(error) => Self::Index(error.to_string().into()),
            Trouble::File(error) => Self::Index(error.to_string().into()),
        }
    }
}

/// A tenant that has rules.
struct Tenant {
    id: TenantId,
    rules: RecallRules,
    /// `None` until somebody needs it.
    opened: Option<Opened>,
}

struct Opened {
    index: Index,
    reader: Reader,
}

/// The tenants that have rules.
#[derive(Default)]
pub(crate) struct Recall(RwLock<BTreeMap<TenantId, Arc<Mutex<Tenant>>>>);

impl Recall {
    fn tenant(&self, tenant: TenantId) -> Option<Arc<Mutex<Tenant>>> {
        self.0.read().get(&tenant).cloned()
    }

    fn tenants(&self) -> Vec<Arc<Mutex<Tenant>>> {
        self.0.read().values().cloned().collect()
    }

    /// Does something that deletes what indexes may have: they are gone before it begins, and none is made until it has ended.
    pub(crate) fn emptied<T>(&self, folder: &Folder, of: Option<TenantId>, act: impl FnOnce() -> T) -> io::Result<T> {
        let tenants = self.tenants();
        let mut held: Vec<_> = tenants.iter().map(|tenant| tenant.lock()).collect();
        for tenant in held.iter_mut().filter(|tenant| of.is_none_or(|of| of == tenant.id)) {
            tenant.opened = None;
        }
        match of {
            Some(tenant) => index::remove(folder, tenant)?,
            None => index::remove_all_but(folder, &[])?,
        }
        Ok(act())
    }
}

impl Tenant {
    /// The index with the journal beside it. Nothing of a tenant without a key can be read.
    fn open(&mut self, journal: &SqliteJournal) -> Result<Option<&mut Opened>, Trouble> {
        if self.opened.is_none() {
            let key = match journal.folder.tenant(self.id) {
                Err(Damage::Key) => return Ok(None),
                key => key?.recall(),
            };
            let db = database::open_reader(&journal.folder.database(), journal.vfs.as_deref());
            let reader = Reader { db: db.map_err(Damage::from)?, folder: Arc::clone(&journal.folder) };
            let newest = database::position(&reader.db).map_err(Damage::from)?;
            let index = Index::open(&journal.folder, (self.id, key), &self.rules, newest)?;
            self.opened = Some(Opened { index, reader });
        }
        Ok(self.opened.as_mut())
    }

    /// Does something with the index, and once more with a new one where it turns out to be damaged.
    fn with<T>(
        &mut self,
        journal: &SqliteJournal,
        mut act: impl FnMut(&mut Opened, &RecallRules, TenantId) -> Result<T, Trouble>,
    ) -> Result<Option<T>, Trouble> {
        let (rules, id) = (self.rules.clone(), self.id);
        let Some(opened) = self.open(journal)? else { return Ok(None) };
        let outcome = act(opened, &rules, id);
        let Err(Trouble::Index(error)) = &outcome else { return outcome.map(Some) };
        if !index::is_damaged(error) {
            return outcome.map(Some);
        }
        tracing::warn!(tenant = id.0, %error, "an index of what was told is damaged and is made anew");
        self.opened = None;
        index::remove(&journal.folder, id)?;
        let Some(opened) = self.open(journal)? else { return Ok(None) };
        act(opened, &rules, id).map(Some)
    }

    /// The next slice of the log. Whether there is more; nothing is of a tenant that has no key.
    fn follow(&mut self, journal: &SqliteJournal) -> Result<Slice, Trouble> {
        let now_ns = (journal.clock)();
        let taken = self.with(journal, |opened, rules, id| opened.index.follow(&opened.reader, id, rules, now_ns))?;
        Ok(taken.unwrap_or(Slice::Last))
    }

    fn find(&mut self, journal: &SqliteJournal, wanted: &Recalling<'_>) -> Result<Found, Trouble> {
        let oldest_ns = (journal.clock)().saturating_sub(self.rules.keep_ns);
        let question = Question::of(wanted.text);
        let found = self.with(journal, |opened, _, _| {
            let since_ns = wanted.since_ns.max(oldest_ns);
            let count = wanted.count.min(RECALLED_MAX);
            let places = opened.index.search(&question, (since_ns, wanted.pid), count)?;
            let mut texts = Vec::with_capacity(places.len());
            for place in &places {
                // What is forgotten, or cannot be read, is not found.
                if let Ok(Some(text)) = opened.reader.heard_at(place) {
                    texts.push(question.shown(place, &text));
                }
            }
            Ok(Found { texts, question: Some(opened.index.digest(wanted.text)) })
        });
        Ok(found?.unwrap_or_default())
    }
}

impl SqliteJournal {
    /// Says of which tenants what was told can be recalled, and under which rules. Of all others nothing is in a file of an index when this
    /// returns. Indexes are made by whoever [follows](Self::follow_recall) or [recalls](Self::recall).
    ///
    /// # Errors
    /// [`RecallError::Index`].
    pub fn set_recall(&self, rules: BTreeMap<TenantId, RecallRules>) -> Result<(), RecallError> {
        let mut tenants = self.recall.0.write();
        let named: Vec<TenantId> = rules.keys().copied().collect();
        let tenant = |(id, rules)| (id, Arc::new(Mutex::new(Tenant { id, rules, opened: None })));
        *tenants = rules.into_iter().map(tenant).collect();
        let removed = index::remove_all_but(&self.folder, &named);
        removed.map_err(|error| RecallError::Index(error.to_string().into()))
    }

    /// Takes some of what was told since into the indexes, and out of them what is too old. Whether there is more. Blocks for some
    /// milliseconds for each tenant.
    ///
    /// # Errors
    /// [`RecallError`], where the other tenants were followed all the same.
    pub fn follow_recall(&self) -> Result<bool, RecallError> {
        let (mut more, mut outcome) = (false, Ok(()));
        for tenant in self.recall.tenants() {
            match tenant.lock().follow(self) {
                Ok(slice) => more |= slice == Slice::More,
                Err(trouble) => outcome = Err(trouble.into()),
            }
        }
        outcome.map(|()| more)
    }

    /// Looks through all that a tenant's processes were told, the likest first. What was appended before is looked through too, so that this
    /// blocks until the index has it: for seconds or minutes where there was none. That somebody looked is on the disk when this returns.
    ///
    /// # Errors
    /// [`RecallError`].
    pub fn recall(&self, wanted: &Recalling<'_>) -> Result<Vec<Recalled>, RecallError> {
        if wanted.text.len() > QUESTION_BYTES_MAX {
            return Err(RecallError::TooLong);
        }
        if Question::of(wanted.text).is_empty() {
            return Err(RecallError::Wordless);
        }
        let tenant = self.recall.tenant(wanted.tenant).ok_or(RecallError::Off(wanted.tenant))?;
        self.queue.settle()?;
        let found = {
            let mut tenant = tenant.lock();
            while tenant.follow(self)? == Slice::More {}
            tenant.find(self, wanted)?
        };
        let Found { texts, question: Some(question) } = found else { return Ok(Vec::new()) };
        let hits = u32::try_from(texts.len()).unwrap_or(u32::MAX);
        let act = Act::Recalled { by: wanted.by.into(), question: hex::encode(question).into(), hits };
        let (done, answer) = sync_channel(1);
        self.queue.ask(Job::WriteDown { tenant: wanted.tenant, act, done });
        let unwritten = |why: &dyn std::fmt::Display| RecallError::Unwritten(why.to_string().into());
        let written = answer.recv().map_err(|_| unwritten(&"the journal's thread has ended"))?;
        written.map_err(|damage| unwritten(&damage))?;
        Ok(texts)
    }
}
