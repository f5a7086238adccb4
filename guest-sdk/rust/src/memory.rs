//! What an agent remembers, in stores that it was granted. A right to it is a grant of kind `memory`.
//!
//! ```no_run
//! use remit::{
//!     Failure,
//!     memory::{Filter, Store},
//! };
//!
//! fn note(said: &str) -> Result<(), Failure> {
//!     let notes = Store::take("notes")?;
//!     notes.note(said).tag("said").importance(0.3).put()?;
//!     Ok(())
//! }
//!
//! fn recall(question: &str) -> Result<Vec<String>, Failure> {
//!     let notes = Store::take("notes")?;
//!     let found = notes.search(question).only(Filter::tagged("said")).count(5).recency(0.2).find()?;
//!     // Reading taints: what is only passed on stays a value.
//!     found.iter().map(|hit| Ok(hit.content.text()?)).collect()
//! }
//! ```
//!
//! What is put is found at once, by whoever was granted the same store, and outlives the process and the host. An entry is never changed
//! in its place: each write of it is a version, and older ones come back by [`Store::restore`] until it is
//! [destroyed](Store::destroy).

use crate::{Content, Denial, MemoryError, Value, bindings::remit::kernel::memory, capability::Grant, value::Label};
use std::time::Duration;

pub use memory::{Citation, Comparison, KeptVersion};

/// An entry, by a number that opens nothing.
pub type EntryId = u64;

/// Hits, where nothing is said.
const COUNT_DEFAULT: u32 = 10;

/// After how long being new counts half, where nothing is said: a week.
const HALF_LIFE_DEFAULT: Duration = Duration::from_secs(7 * 24 * 3600);

/// A store, or several to be searched together.
#[derive(Debug)]
pub struct Store(Grant);

impl Store {
    /// The stores of the grant under a label of the manifest.
    ///
    /// # Errors
    /// [`Denial`] where no such grant was given.
    pub fn take(label: &str) -> Result<Self, Denial> {
        Ok(Self(Grant::take(label)?))
    }

    /// Something to be remembered: a text of some hundred words, or any value of 1 MiB at most.
    pub fn note<'a>(&'a self, content: impl Into<Content<'a>>) -> Note<'a> {
        Note { store: self, content: content.into(), particulars: Particulars::default(), vector: None }
    }

    /// Entries that are like a text, by its words and by what it means. [`Search::by_words`] and [`Search::by_meaning`] go by one of them.
    pub fn search<'a>(&'a self, text: impl Into<Content<'a>>) -> Search<'a> {
        Search::of(self, Likeness::Both(text.into()))
    }

    /// Entries that are near to a vector, which has to be as wide as all of this memory.
    pub fn near<'a>(&'a self, vector: &'a [f32]) -> Search<'a> {
        Search::of(self, Likeness::Vector(vector))
    }

    /// Entries by ascending id, from the first behind `after`; 256 at most.
    ///
    /// # Errors
    /// [`MemoryError`].
    pub fn entries(&self, filter: &Filter, after: Option<EntryId>, count: u32) -> Result<Vec<Hit>, MemoryError> {
        self.list(filter, None, after, count)
    }

    /// The same of those alone that are no less trusted than a label and have no other tags: nothing is told of the rest, and this process's
    /// label does not rise above it.
    ///
    /// # Errors
    /// [`MemoryError`].
    pub fn entries_within(
        &self,
        label: &Label,
        filter: &Filter,
        after: Option<EntryId>,
        count: u32,
    ) -> Result<Vec<Hit>, MemoryError> {
        self.list(filter, Some(label), after, count)
    }

    fn list(
        &self,
        filter: &Filter,
        within: Option<&Label>,
        after: Option<EntryId>,
        count: u32,
    ) -> Result<Vec<Hit>, MemoryError> {
        let found = filter.with_raw(|filter| memory::entries(&self.0.0, filter, within, after, count))?;
        Ok(found.into_iter().map(Hit::from).collect())
    }

    /// An entry's newest version, unread.
    ///
    /// # Errors
    /// [`MemoryError`].
    pub fn get(&self, entry: EntryId) -> Result<Hit, MemoryError> {
        Ok(memory::get(&self.0.0, entry)?.into())
    }

    /// What is written about an entry. Whoever wrote it chose that: this process's label rises to the entry's.
    ///
    /// # Errors
    /// [`MemoryError`].
    pub fn describe(&self, entry: EntryId) -> Result<Description, MemoryError> {
        Ok(memory::describe(&self.0.0, entry)?.into())
    }

    /// All versions of an entry that are kept, the oldest first.
    ///
    /// # Errors
    /// [`MemoryError`].
    pub fn versions(&self, entry: EntryId) -> Result<Vec<KeptVersion>, MemoryError> {
        Ok(memory::versions(&self.0.0, entry)?)
    }

    /// Makes a new version that is as an older one was; its number. So an entry comes back that was forgotten.
    ///
    /// # Errors
    /// [`MemoryError`].
    pub fn restore(&self, entry: EntryId, version: u32) -> Result<u32, MemoryError> {
        Ok(memory::restore(&self.0.0, entry, version)?)
    }

    /// Says that an answer rests on an entry, and asks whether a quotation stands in it, byte by byte: in its newest version, or in another
    /// one. It is unsupported where [`Citation::offset`] is none. The operator's audit counts both.
    ///
    /// # Errors
    /// [`MemoryError`].
    pub fn cite<'a>(
        &self,
        entry: EntryId,
        version: Option<u32>,
        quotation: impl Into<Content<'a>>,
    ) -> Result<Citation, MemoryError> {
        Ok(memory::cite(&self.0.0, entry, version, quotation.into().raw())?)
    }

    /// Forgets entries; how many there were. Their versions are kept.
    ///
    /// # Errors
    /// [`MemoryError`].
    pub fn forget(&self, which: impl Into<Selection>) -> Result<u64, MemoryError> {
        self.forget_all(&which.into(), false)
    }

    /// Forgets entries and destroys all their versions, in every file; how many there were. Nothing brings them back.
    ///
    /// # Errors
    /// [`MemoryError`].
    pub fn destroy(&self, which: impl Into<Selection>) -> Result<u64, MemoryError> {
        self.forget_all(&which.into(), true)
    }

    fn forget_all(&self, which: &Selection, purge: bool) -> Result<u64, MemoryError> {
        let forgotten = match which {
            Selection::Entries(entries) => memory::forget(&self.0.0, memory::Selection::Entries(entries), purge),
            Selection::Matching(filter) => {
                filter.with_raw(|filter| memory::forget(&self.0.0, memory::Selection::Matching(filter), purge))
            }
        };
        Ok(forgotten?)
    }
}

impl From<Grant> for Store {
    /// The stores of a grant of kind `memory`.
    fn from(grant: Grant) -> Self {
        Self(grant)
    }
}

/// What a field of an entry says.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// A text, of 256 bytes at most.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A finite number.
    Number(f64),
    /// Yes or no.
    Truth(bool),
}

impl From<&str> for Scalar {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i64> for Scalar {
    fn from(integer: i64) -> Self {
        Self::Integer(integer)
    }
}

impl From<f64> for Scalar {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Scalar {
    fn from(truth: bool) -> Self {
        Self::Truth(truth)
    }
}

impl Scalar {
    fn raw(&self) -> memory::Scalar {
        match self {
            Self::Text(text) => memory::Scalar::Text(text.clone()),
            Self::Integer(integer) => memory::Scalar::Integer(*integer),
            Self::Number(number) => memory::Scalar::Number(*number),
            Self::Truth(truth) => memory::Scalar::Truth(*truth),
        }
    }
}

impl From<memory::Scalar> for Scalar {
    fn from(scalar: memory::Scalar) -> Self {
        match scalar {
            memory::Scalar::Text(text) => Self::Text(text),
            memory::Scalar::Integer(integer) => Self::Integer(integer),
            memory::Scalar::Number(number) => Self::Number(number),
            memory::Scalar::Truth(truth) => Self::Truth(truth),
        }
    }
}

/// What is written about an entry, by which it can be found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Particulars {
    /// Each of letters, digits and `-._/:@`; 64 at most.
    pub tags: Vec<String>,
    /// By their names; 32 at most.
    pub fields: Vec<(String, Scalar)>,
    /// From 0 to 1.
    pub importance: f32,
    /// From when on nobody finds it, since 1970-01-01T00:00:00Z.
    pub expires_at: Option<Duration>,
}

impl Particulars {
    fn raw(&self) -> memory::Particulars {
        let field = |(name, value): &(String, Scalar)| memory::Field { name: name.clone(), value: value.raw() };
        memory::Particulars {
            tags: self.tags.clone(),
            fields: self.fields.iter().map(field).collect(),
            importance: self.importance,
            expires_at_ns: self.expires_at.map(nanoseconds),
        }
    }
}

/// Something to be remembered.
///
/// [`Store::note`] sets: no tags, no fields, no importance, no end.
#[derive(Clone, Debug)]
#[must_use = "a note does nothing until it is put"]
pub struct Note<'a> {
    store: &'a Store,
    content: Content<'a>,
    particulars: Particulars,
    vector: Option<&'a [f32]>,
}

impl<'a> Note<'a> {
    /// All that is written about it, in the place of what was said so far.
    pub fn particulars(mut self, particulars: Particulars) -> Self {
        self.particulars = particulars;
        self
    }

    /// One more tag.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.particulars.tags.push(tag.into());
        self
    }

    /// One more field.
    pub fn field(mut self, name: impl Into<String>, value: impl Into<Scalar>) -> Self {
        self.particulars.fields.push((name.into(), value.into()));
        self
    }

    /// How much it matters, from 0 to 1.
    pub const fn importance(mut self, importance: f32) -> Self {
        self.particulars.importance = importance;
        self
    }

    /// From when on nobody finds it, since 1970-01-01T00:00:00Z.
    pub const fn expires_at(mut self, since_epoch: Duration) -> Self {
        self.particulars.expires_at = Some(since_epoch);
        self
    }

    /// A vector by which it is found, in the place of one of the node's own model.
    pub const fn vector(mut self, vector: &'a [f32]) -> Self {
        self.vector = Some(vector);
        self
    }

    /// Writes it as a new entry.
    ///
    /// # Errors
    /// [`MemoryError`].
    pub fn put(self) -> Result<EntryId, MemoryError> {
        Ok(memory::put(&self.store.0.0, self.content.raw(), &self.particulars.raw(), self.vector)?)
    }

    /// Writes it as a new version of an entry; its number. Where a version is expected, only if that is the newest.
    ///
    /// # Errors
    /// [`MemoryError`].
    pub fn update(self, entry: EntryId, expected: Option<u32>) -> Result<u32, MemoryError> {
        let (store, particulars) = (&self.store.0.0, self.particulars.raw());
        Ok(memory::update(store, entry, expected, self.content.raw(), &particulars, self.vector)?)
    }
}

/// One thing that may be asked of an entry.
#[derive(Clone, Debug)]
pub struct Condition(Asked);

#[derive(Clone, Debug)]
enum Asked {
    Tagged(String),
    Untagged(String),
    Field(String, Comparison, memory::Scalar),
    WrittenFrom(Duration),
    WrittenBefore(Duration),
    ImportanceFrom(f32),
    WrittenBy(String),
}

/// Which entries are meant. By default all.
#[derive(Clone, Debug, Default)]
pub struct Filter(Vec<Vec<Condition>>);

impl Filter {
    /// All entries.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Those with a tag.
    #[must_use]
    pub fn tagged(tag: &str) -> Self {
        Self::all().and(Condition::tagged(tag))
    }

    /// Those of these that fulfil one more condition.
    #[must_use]
    pub fn and(self, condition: Condition) -> Self {
        self.and_any([condition])
    }

    /// Those of these that fulfil at least one of some conditions.
    #[must_use]
    pub fn and_any(mut self, conditions: impl IntoIterator<Item = Condition>) -> Self {
        self.0.push(conditions.into_iter().collect());
        self
    }

    /// Hands it over as the kernel has it.
    fn with_raw<T>(&self, use_it: impl FnOnce(&[&[memory::Condition<'_>]]) -> T) -> T {
        let clauses: Vec<Vec<_>> = self.0.iter().map(|clause| clause.iter().map(Condition::raw).collect()).collect();
        let clauses: Vec<&[_]> = clauses.iter().map(Vec::as_slice).collect();
        use_it(&clauses)
    }
}

impl From<Condition> for Filter {
    fn from(condition: Condition) -> Self {
        Self::all().and(condition)
    }
}

impl Condition {
    /// It has this tag.
    #[must_use]
    pub fn tagged(tag: &str) -> Self {
        Self(Asked::Tagged(tag.to_owned()))
    }

    /// It has not.
    #[must_use]
    pub fn untagged(tag: &str) -> Self {
        Self(Asked::Untagged(tag.to_owned()))
    }

    /// A field of it stands so to a value.
    #[must_use]
    pub fn field(name: &str, comparison: Comparison, value: impl Into<Scalar>) -> Self {
        Self(Asked::Field(name.to_owned(), comparison, value.into().raw()))
    }

    /// Its newest version was written at this moment or later, since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn written_from(since_epoch: Duration) -> Self {
        Self(Asked::WrittenFrom(since_epoch))
    }

    /// It was written before.
    #[must_use]
    pub const fn written_before(since_epoch: Duration) -> Self {
        Self(Asked::WrittenBefore(since_epoch))
    }

    /// It is at least so important.
    #[must_use]
    pub const fn importance_from(importance: f32) -> Self {
        Self(Asked::ImportanceFrom(importance))
    }

    /// This process wrote its newest version.
    #[must_use]
    pub fn written_by(pid: &str) -> Self {
        Self(Asked::WrittenBy(pid.to_owned()))
    }

    fn raw(&self) -> memory::Condition<'_> {
        match &self.0 {
            Asked::Tagged(tag) => memory::Condition::Tagged(tag),
            Asked::Untagged(tag) => memory::Condition::Untagged(tag),
            Asked::Field(name, comparison, value) => {
                memory::Condition::Field(memory::FieldCondition { name, comparison: *comparison, value })
            }
            Asked::WrittenFrom(moment) => memory::Condition::WrittenFrom(nanoseconds(*moment)),
            Asked::WrittenBefore(moment) => memory::Condition::WrittenBefore(nanoseconds(*moment)),
            Asked::ImportanceFrom(importance) => memory::Condition::ImportanceFrom(*importance),
            Asked::WrittenBy(pid) => memory::Condition::WrittenBy(pid),
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    time.as_nanos().try_into().unwrap_or(u64::MAX)
}

#[derive(Clone, Debug)]
enum Likeness<'a> {
    Words(Content<'a>),
    Meaning(Content<'a>),
    Both(Content<'a>),
    Vector(&'a [f32]),
}

/// A search of all that its stores hold, whatever its age.
///
/// [`Store::search`] sets: by words and meaning, 10 hits, by their likeness alone.
#[derive(Clone, Debug)]
#[must_use = "a search does nothing until it is asked to find"]
pub struct Search<'a> {
    store: &'a Store,
    likeness: Likeness<'a>,
    filter: Filter,
    within: Option<Label>,
    weighting: memory::Weighting,
    count: u32,
}

impl<'a> Search<'a> {
    const fn of(store: &'a Store, likeness: Likeness<'a>) -> Self {
        let weighting = memory::Weighting {
            recency: 0.0,
            half_life_seconds: HALF_LIFE_DEFAULT.as_secs() as u32,
            importance: 0.0,
            diversity: 0.0,
        };
        Self { store, likeness, filter: Filter(Vec::new()), within: None, weighting, count: COUNT_DEFAULT }
    }

    /// By the words of the text alone.
    pub fn by_words(mut self) -> Self {
        if let Likeness::Meaning(text) | Likeness::Both(text) = self.likeness {
            self.likeness = Likeness::Words(text);
        }
        self
    }

    /// By what the text means alone.
    pub fn by_meaning(mut self) -> Self {
        if let Likeness::Words(text) | Likeness::Both(text) = self.likeness {
            self.likeness = Likeness::Meaning(text);
        }
        self
    }

    /// Only those that a filter means.
    pub fn only(mut self, filter: impl Into<Filter>) -> Self {
        self.filter = filter.into();
        self
    }

    /// Only what is no less trusted than this label and has no other tags: nothing is told of the rest, and this process's label does not
    /// rise above it.
    pub fn within(mut self, label: Label) -> Self {
        self.within = Some(label);
        self
    }

    /// How many at most, 256.
    pub const fn count(mut self, count: u32) -> Self {
        self.count = count;
        self
    }

    /// How much being new counts, from 0 to 1.
    pub const fn recency(mut self, weight: f32) -> Self {
        self.weighting.recency = weight;
        self
    }

    /// After how long being new counts half.
    pub fn half_life(mut self, time: Duration) -> Self {
        self.weighting.half_life_seconds = time.as_secs().try_into().unwrap_or(u32::MAX).max(1);
        self
    }

    /// How much importance counts, from 0 to 1.
    pub const fn importance(mut self, weight: f32) -> Self {
        self.weighting.importance = weight;
        self
    }

    /// How much a hit loses that says the same as a better one, from 0 to 1.
    pub const fn diversity(mut self, weight: f32) -> Self {
        self.weighting.diversity = weight;
        self
    }

    /// The likest entries, the best first.
    ///
    /// # Errors
    /// [`MemoryError`].
    pub fn find(self) -> Result<Vec<Hit>, MemoryError> {
        let likeness = match &self.likeness {
            Likeness::Words(text) => memory::Likeness::Words(text.raw()),
            Likeness::Meaning(text) => memory::Likeness::Meaning(text.raw()),
            Likeness::Both(text) => memory::Likeness::Both(text.raw()),
            Likeness::Vector(vector) => memory::Likeness::Vector(vector),
        };
        let (grant, within) = (&self.store.0.0, self.within.as_ref());
        let found = self
            .filter
            .with_raw(|filter| memory::search(grant, likeness, filter, within, self.weighting, self.count))?;
        Ok(found.into_iter().map(Hit::from).collect())
    }
}

/// An entry that was found.
#[derive(Debug)]
pub struct Hit {
    /// Which.
    pub entry: EntryId,
    /// Of its newest version, from 1 on.
    pub version: u32,
    /// What it says, unread.
    pub content: Value,
    /// Since 1970-01-01T00:00:00Z.
    pub written_at: Duration,
    /// By what hits are ordered, falling; comparable within one search only.
    pub score: f32,
    /// The cosine of the angle to what was looked for.
    pub similarity: Option<f32>,
    /// How well its words fit: BM25.
    pub relevance: Option<f32>,
}

impl From<memory::Hit> for Hit {
    fn from(hit: memory::Hit) -> Self {
        let memory::Hit { entry, version, content, written_at_ns, score, similarity, relevance } = hit;
        let (content, written_at) = (Value::new(content), Duration::from_nanos(written_at_ns));
        Self { entry, version, content, written_at, score, similarity, relevance }
    }
}

/// What is written about an entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// Of its newest version.
    pub version: u32,
    /// The store that it lies in.
    pub store: String,
    /// Who wrote it; `None` where an operator did.
    pub source: Option<String>,
    /// Since 1970-01-01T00:00:00Z.
    pub written_at: Duration,
    /// The rest.
    pub particulars: Particulars,
}

impl From<memory::Description> for Description {
    fn from(description: memory::Description) -> Self {
        let memory::Description { version, store, source, written_at_ns, particulars } = description;
        let memory::Particulars { tags, fields, importance, expires_at_ns } = particulars;
        let fields = fields.into_iter().map(|field| (field.name, field.value.into())).collect();
        let expires_at = expires_at_ns.map(Duration::from_nanos);
        let particulars = Particulars { tags, fields, importance, expires_at };
        Self { version, store, source, written_at: Duration::from_nanos(written_at_ns), particulars }
    }
}

/// Which entries are to be forgotten.
#[derive(Clone, Debug)]
pub enum Selection {
    /// These; 4096 at most.
    Entries(Vec<EntryId>),
    /// Those that a filter means; up to 4096 at once.
    Matching(Filter),
}

impl From<EntryId> for Selection {
    fn from(entry: EntryId) -> Self {
        Self::Entries(vec![entry])
    }
}

impl From<Filter> for Selection {
    fn from(filter: Filter) -> Self {
        Self::Matching(filter)
    }
}
