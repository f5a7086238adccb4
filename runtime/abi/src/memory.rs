//! What agents remember: entries of a tenant's memory, and how they are looked for.
//!
//! An entry lies in a *store*, which has a name that grants open. It is never changed in its place: each write of it is a *version*, and
//! older ones are kept until they are forgotten.

use crate::Pid;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// An entry of a tenant's memory: the number of the write that made it, of all writes of the node. It opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EntryId(pub u64);

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m{}", self.0)
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
