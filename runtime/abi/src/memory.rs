//! What agents remember: entries of a tenant's memory, and how they are looked for.
//!
//! An entry lies in a *store*, which has a name that grants open. It is never changed in its place: each write of it is a *version*, and
//! older ones are kept until they are forgotten.

use crate::{Content, Denial, GrantId, Integrity, Label, Pid, Shortfall, ValueId};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, sync::Arc};
use thiserror::Error;

/// An entry of a tenant's memory: the number of the write that made it, of all writes of the node. It opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EntryId(pub u64);

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m{}", self.0)
    }
}

/// A text that names no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an entry is named by its number, such as m12")]
pub struct NotAnEntry;

impl FromStr for EntryId {
    type Err = NotAnEntry;

    /// As it is written; the letter may be missing.
    fn from_str(text: &str) -> Result<Self, NotAnEntry> {
        let digits = text.strip_prefix('m').unwrap_or(text);
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|_| is_number).map(Self).ok_or(NotAnEntry)
    }
}

/// What a field of an entry's metadata says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Scalar {
    /// A text.
    Text(Box<str>),
    /// A whole number.
    Integer(i64),
    /// A finite number.
    Number(f64),
    /// Yes or no.
    Truth(bool),
}

/// A field of an entry's metadata.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// As a [name](crate::is_name).
    pub name: Box<str>,
    /// What it says.
    pub value: Scalar,
}

/// What is written about a piece of content.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Particulars {
    /// Sorted, each once; as [names](crate::is_name).
    pub tags: Vec<Box<str>>,
    /// Sorted by name, each once.
    pub metadata: Vec<Field>,
    /// From 0 to 1.
    pub importance: f32,
    /// From when on nobody finds it, in nanoseconds since 1970-01-01T00:00:00Z.
    pub expires_ns: Option<u64>,
}

/// How a field has to stand to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Comparison {
    /// The same.
    Equal,
    /// Another, or there is no such field.
    Different,
    /// Before it: texts byte by byte, numbers of both kinds by size.
    Less,
    /// Before it, or the same.
    AtMost,
    /// After it.
    Greater,
    /// After it, or the same.
    AtLeast,
}

/// What may be asked of an entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Condition {
    /// It has this tag.
    Tagged(Box<str>),
    /// It has not.
    Untagged(Box<str>),
    /// A field of its metadata. Where there is none of this name, or it says something of another type (numbers of both kinds are of one),
    /// only [`Comparison::Different`] holds.
    Field {
        /// Which.
        name: Box<str>,
        /// How it has to stand.
        comparison: Comparison,
        /// To what.
        value: Scalar,
    },
    /// This version was written at this moment or later, in nanoseconds since 1970-01-01T00:00:00Z.
    WrittenFrom(u64),
    /// This version was written before.
    WrittenBefore(u64),
    /// It is at least so important.
    ImportanceFrom(f32),
    /// This process wrote this version.
    WrittenBy(Pid),
    /// What went into it [flows](Label::flows_to) to this label. The kernel says so, who knows what a tag's name is.
    FlowsTo(Label),
}

/// Which entries are meant, in conjunctive normal form: of each clause at least one condition holds. No clause at all means every entry,
/// and an empty clause none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EntryFilter(pub Vec<Vec<Condition>>);

/// What entries are compared with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Probe {
    /// By the words of a text (Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework: BM25 and Beyond"). It is words, never
    /// an expression: no character of it has a meaning of its own.
    Words(Box<str>),
    /// By the cosine of the angle to a vector.
    Vector(Arc<[f32]>),
    /// By both, their ranks added up (Cormack, Clarke and Buettcher 2009, "Reciprocal Rank Fusion outperforms Condorcet and individual
    /// Rank Learning Methods").
    Both {
        /// The text.
        words: Box<str>,
        /// The vector.
        vector: Arc<[f32]>,
    },
}

/// How hits are ordered, besides by their likeness.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Weighting {
    /// How much being new counts, from 0 to 1 of the likeness's own weight.
    pub recency: f32,
    /// After how many seconds being new counts half.
    pub half_life_s: u32,
    /// How much importance counts, from 0 to 1 of the likeness's own weight.
    pub importance: f32,
    /// How much a hit loses that is like a better one, from 0 to 1 (Carbonell and Goldstein 1998, "The Use of MMR, Diversity-Based
    /// Reranking for Reordering Documents and Producing Summaries", with `1 - lambda`); 0 leaves doubles in.
    pub diversity: f32,
}

impl Default for Weighting {
    /// By likeness alone.
    fn default() -> Self {
        Self { recency: 0.0, half_life_s: 7 * 24 * 3600, importance: 0.0, diversity: 0.0 }
    }
}

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Search {
    /// What entries are compared with.
    pub probe: Probe,
    /// Which may be found.
    pub filter: EntryFilter,
    /// How they are ordered.
    pub weighting: Weighting,
    /// How many at most.
    pub count: u32,
}

/// The content of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// At most [`MEMORY_BYTES_MAX`](crate::limits::MEMORY_BYTES_MAX).
    pub bytes: Bytes,
    /// RFC 6838.
    pub media_type: Arc<str>,
}

impl Remembered {
    /// Its text, which is what words are looked for in; `None` where it is no text.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        let is_text = self.media_type.starts_with("text/") || &*self.media_type == "application/json";
        is_text.then(|| str::from_utf8(&self.bytes).ok()).flatten()
    }
}

/// What is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Writing {
    /// Of kind memory, and of one store.
    pub grant: GrantId,
    /// A text of the guest's, or a value that it need not have read.
    pub content: Content,
    /// What is written about it. Its tags and fields need not be sorted.
    pub particulars: Particulars,
    /// By which it is found; where there is none, a text gets one from the node's own model.
    pub vector: Option<Arc<[f32]>>,
}

/// A version that is written in the place of another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rewriting {
    /// Of which entry.
    pub entry: EntryId,
    /// The version that it takes the place of; `None` for whichever is the newest.
    pub expected: Option<u32>,
    /// What it is to be.
    pub writing: Writing,
}

/// Which entries are to be forgotten.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forgetting {
    /// Of kind memory.
    pub grant: GrantId,
    /// Which, by name; all that the filter means where it is `None`.
    pub entries: Option<Vec<EntryId>>,
    /// Which of them.
    pub filter: EntryFilter,
    /// Whether all their versions are destroyed, in every file.
    pub purge: bool,
}

/// What entries are to be like, as a guest says it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Likeness {
    /// They have words of this text.
    Words(Content),
    /// They mean what this text means: it becomes a vector by the node's own model.
    Meaning(Content),
    /// Both, their ranks added up.
    Both(Content),
    /// They are near to this vector.
    Vector(Arc<[f32]>),
}

/// A search, as a guest asks for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Seeking {
    /// Of kind memory.
    pub grant: GrantId,
    /// What entries are to be like.
    pub likeness: Likeness,
    /// Which may be found.
    pub filter: EntryFilter,
    /// The highest label of what is found, where there is one.
    pub within: Option<(Integrity, Box<[Box<str>]>)>,
    /// How they are ordered.
    pub weighting: Weighting,
    /// How many at most.
    pub count: u32,
}

/// Entries to be listed, by their ids.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listing {
    /// Of kind memory.
    pub grant: GrantId,
    /// Which.
    pub filter: EntryFilter,
    /// The highest label of what is listed, where there is one.
    pub within: Option<(Integrity, Box<[Box<str>]>)>,
    /// From the first behind this one.
    pub after: Option<EntryId>,
    /// How many at most.
    pub count: u32,
}

/// What an answer rests on, as a guest says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Citing {
    /// Of kind memory.
    pub grant: GrantId,
    /// The entry that is cited.
    pub entry: EntryId,
    /// Which version of it; the newest where it is `None`.
    pub version: Option<u32>,
    /// What is said to stand there: a text of the guest's, or a value that it need not have read.
    pub quotation: Content,
}

/// What a citation came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cited {
    /// The version that was looked in.
    pub version: u32,
    /// Where the quotation stands in it, in bytes; `None` where it does not.
    pub offset: Option<u64>,
}

/// Requests of `memory`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum MemoryRequest {
    /// A new entry.
    Put(Box<Writing>),
    /// A new version of one.
    Update(Box<Rewriting>),
    /// The newest version, unread.
    Get {
        /// Of kind memory.
        grant: GrantId,
        /// Of which entry.
        entry: EntryId,
    },
    /// What is written about it.
    Describe {
        /// Of kind memory.
        grant: GrantId,
        /// Of which entry.
        entry: EntryId,
    },
    /// All versions that are kept.
    Versions {
        /// Of kind memory.
        grant: GrantId,
        /// Of which entry.
        entry: EntryId,
    },
    /// Makes a new version that is as an older one was, also of an entry that was forgotten.
    Restore {
        /// Of kind memory.
        grant: GrantId,
        /// Of which entry.
        entry: EntryId,
        /// Which was.
        version: u32,
    },
    /// Forgets entries.
    Forget(Box<Forgetting>),
    /// Looks for the likest.
    Search(Box<Seeking>),
    /// Lists entries by their ids.
    List(Box<Listing>),
    /// Whether a quotation stands in an entry.
    Cite(Box<Citing>),
}

/// An entry that was found, unread.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    /// Which.
    pub entry: EntryId,
    /// Of the newest version.
    pub version: u32,
    /// Its content, unread.
    pub content: ValueId,
    /// When that was written, in nanoseconds since 1970-01-01T00:00:00Z.
    pub written_ns: u64,
    /// By what hits are ordered, falling; 0 in a list.
    pub score: f32,
    /// The cosine of the angle to what was looked for, where there is one.
    pub similarity: Option<f32>,
    /// Its BM25 score, where it has words that were looked for.
    pub relevance: Option<f32>,
}

/// What is written about an entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// Of the newest version.
    pub version: u32,
    /// The store that it lies in.
    pub store: Box<str>,
    /// Who wrote it; `None` for an operator.
    pub source: Option<Pid>,
    /// When, in nanoseconds since 1970-01-01T00:00:00Z.
    pub written_ns: u64,
    /// The rest.
    pub particulars: Particulars,
}

/// A version that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptVersion {
    /// From 1 on.
    pub version: u32,
    /// When it was written, in nanoseconds since 1970-01-01T00:00:00Z.
    pub written_ns: u64,
    /// Who wrote it; `None` for an operator.
    pub source: Option<Pid>,
}

/// Answers of `memory`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum MemoryReply {
    /// A new entry.
    Put(EntryId),
    /// The number of a new version.
    Updated(u32),
    /// The newest version, unread.
    Got(Hit),
    /// What is written about it.
    Described(Box<Description>),
    /// All versions, the oldest first.
    Versions(Box<[KeptVersion]>),
    /// How many were forgotten.
    Forgotten(u64),
    /// In their order.
    Found(Box<[Hit]>),
    /// Whether the quotation stands there.
    Cited(Cited),
}

/// Errors of `memory`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
pub enum MemoryError {
    /// The process has no right to it.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// No such entry is in the stores of the grant: it never was, is forgotten, or has expired.
    #[error("there is no entry {0} here: it is in another store, is forgotten, has expired, or never was")]
    NoSuchEntry(EntryId),
    /// No such version is kept.
    #[error("no version {version} of the entry is kept")]
    NoSuchVersion {
        /// Which.
        version: u32,
    },
    /// Another version is the newest.
    #[error("its newest version is {newest}, not the one that was expected: read it, and write again")]
    Conflict {
        /// Which.
        newest: u32,
    },
    /// The content is too long.
    #[error("an entry holds {limit} bytes at most: write several, each with a part")]
    TooLarge {
        /// In bytes.
        limit: u64,
    },
    /// Something that is asked for cannot be; says what.
    #[error("the memory cannot do this as it is: {0}")]
    Invalid(Box<str>),
    /// The account cannot pay.
    #[error(transparent)]
    Shortfall(#[from] Shortfall),
    /// The process's tables are full.
    #[error("this process holds too much to take what was found: drop some values, or ask for fewer")]
    NoRoom,
    /// The memory cannot be used now; why.
    #[error("the memory cannot be used now: {0}")]
    Unavailable(Box<str>),
    /// A handle that names nothing (any more).
    #[error("no such grant or value: it was let go, or never was")]
    Dead,
}
