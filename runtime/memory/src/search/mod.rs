//! Search: over what is in memory and what is in the tables, indexed or not.
//!
//! | step | does |
//! | --- | --- |
//! | candidates | of each kind that is looked for, the best of the tables (Lance: by its index, and one by one what that does not cover yet) and of the rows in memory (one by one, exactly), as one list |
//! | [`fuse`] | scores them, and takes the best |
//! | content | is read for those alone |
//!
//! More candidates than hits are looked at only where something besides likeness orders them, or where two lists are joined.
//! The columns that order candidates are small, so a search reads some kilobytes of the tables, however large contents are.

pub(crate) mod fuse;
pub(crate) mod words;

use crate::{
    error::Fault,
    filter::Meant,
    memtable::View,
    rows::{self, Row, column, is_sound, numbers},
    tables::Tables,
};
use arrow_array::{Array, FixedSizeListArray, Float32Array, RecordBatch, UInt64Array};
use fuse::Likeness;
use futures::TryStreamExt;
use lance::dataset::{ProjectionRequest, scanner::Scanner};
use lance_index::scalar::{
    FullTextSearchQuery,
    inverted::query::{FtsQuery, MatchQuery},
};
use lance_linalg::distance::MetricType;
use remit_abi::{EntryId, Probe, Search, limits::MEMORY_HITS_MAX};
use remit_kernel::ports::{EntryVersion, MemoryHit};
use rustc_hash::FxHashMap;
use std::sync::Arc;
use words::Words;

/// Candidates for each hit, where something besides likeness orders them.
const CANDIDATES_PER_HIT: usize = 4;

/// The fewest candidates then: what is tenth by vector and by words can be first by both.
const CANDIDATES_MIN: usize = 100;

/// The most: each has its vector read where diversity is asked for.
const CANDIDATES_MAX: usize = 1024;

/// Entries hidden by rows in memory that are found along and dropped. Above, the query leaves them out itself.
const HIDDEN_MAX: usize = 32;

/// Partitions of the index of vectors that a search looks into, and how many of its candidates for each hit are compared exactly. The bench
/// prints the recall that they reach.
const PROBES: usize = 24;
const REFINE: u32 = 4;

/// Something that may become a hit.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) id: EntryId,
    pub(crate) similarity: Option<f32>,
    pub(crate) relevance: Option<f32>,
    pub(crate) written_ns: u64,
    pub(crate) importance: f32,
    /// Where diversity is asked for, and it has one.
    pub(crate) vector: Option<Arc<[f32]>>,
    /// It is so new that it has none yet.
    pub(crate) awaits_vector: bool,
    pub(crate) score: f32,
    place: Place,
}

/// Where the rest of it is.
#[derive(Clone, Debug)]
enum Place {
    Memory(Arc<Row>),
    /// The row's id in Lance.
    Table(u64),
}

impl Candidate {
    fn of(row: &Arc<Row>, diverse: bool) -> Self {
        Self {
            id: row.id(),
            similarity: None,
            relevance: None,
            written_ns: row.version.written_ns,
            importance: row.version.particulars.importance,
            vector: diverse.then(|| row.vector()).flatten().map(|vector| vector.numbers),
            awaits_vector: row.awaits_vector(),
            score: 0.0,
            place: Place::Memory(Arc::clone(row)),
        }
    }

    /// How like it is to another: 0 where one of them has no vector.
    pub(crate) fn likeness(&self, other: &Self) -> f32 {
        match (&self.vector, &other.vector) {
            (Some(one), Some(other)) => cosine(one, other),
            _ => 0.0,
        }
    }
}

/// What is searched, in one state.
pub(crate) struct Corpus<'a> {
    pub(crate) tables: Option<&'a Tables>,
    pub(crate) view: &'a View,
    pub(crate) width: usize,
}

/// One search.
struct Task<'a> {
    corpus: &'a Corpus<'a>,
    meant: &'a Meant,
    /// The rows in memory that are meant.
    rows: Vec<&'a Arc<Row>>,
    candidates: usize,
    diverse: bool,
}

/// The likest entries.
pub(crate) async fn search(corpus: &Corpus<'_>, meant: &Meant, search: &Search) -> Result<Vec<MemoryHit>, Fault> {
    let count = search.count.min(MEMORY_HITS_MAX) as usize;
    if count == 0 {
        return Ok(Vec::new());
    }
    let (vector, words) = match &search.probe {
        Probe::Words(words) => (None, Some(&**words)),
        Probe::Vector(vector) => (Some(vector), None),
        Probe::Both { words, vector } => (Some(vector), Some(&**words)),
    };
    if let Some(vector) = vector.filter(|vector| vector.len() != corpus.width) {
        return Err(Fault::Width { found: vector.len(), expected: corpus.width });
    }
    let weighting = &search.weighting;
    let diverse = weighting.diversity > 0.0;
    let plain = weighting.recency <= 0.0 && weighting.importance <= 0.0 && !diverse;
    let likeness = match (vector, words) {
        (Some(_), Some(_)) => Likeness::Both,
        (Some(_), None) => Likeness::Vector,
        _ => Likeness::Words,
    };
    let more = (count * CANDIDATES_PER_HIT).clamp(CANDIDATES_MIN, CANDIDATES_MAX);
    let candidates = if plain && likeness != Likeness::Both { count } else { more };
    let rows = corpus.view.rows.iter().filter(|row| meant.of(&row.version)).collect();
    let task = Task { corpus, meant, rows, candidates, diverse };
    let mut found = match vector {
        Some(vector) if is_sound(vector, corpus.width) => task.by_vector(vector).await?,
        // Nothing is near to what has no direction.
        _ => Vec::new(),
    };
    if let Some(words) = words.and_then(Words::of) {
        join(&mut found, task.by_words(&words).await?);
    }
    fuse::rank(&mut found, likeness, weighting, meant.now_ns);
    if diverse {
        found = fuse::diversify(found, weighting.diversity.min(1.0), count);
    }
    found.truncate(count);
    task.hits(found, vector.map(|vector| &**vector)).await
}

/// Adds candidates to others, those that are among them already once.
fn join(found: &mut Vec<Candidate>, more: Vec<Candidate>) {
    let places: FxHashMap<_, _> = found.iter().enumerate().map(|(place, candidate)| (candidate.id, place)).collect();
    for candidate in more {
        match places.get(&candidate.id).and_then(|place| found.get_mut(*place)) {
            Some(known) => known.relevance = candidate.relevance,
            None => found.push(candidate),
        }
    }
}

/// The best of two lists.
fn best(mut candidates: Vec<Candidate>, count: usize, by: impl Fn(&Candidate) -> f32) -> Vec<Candidate> {
    candidates.sort_by(|one, other| by(other).total_cmp(&by(one)).then(one.id.cmp(&other.id)));
    candidates.truncate(count);
    candidates
}

impl Task<'_> {
    async fn by_vector(&self, vector: &Arc<[f32]>) -> Result<Vec<Candidate>, Fault> {
        let candidates = self.in_tables("_distance", |scan, count| {
            let probe = Float32Array::from(vector.to_vec());
            scan.nearest("vector", &probe, count)?;
            // At least: where a filter leaves few rows, all partitions are looked into until there are enough.
            scan.distance_metric(MetricType::Cosine).minimum_nprobes(PROBES).refine(REFINE);
            Ok(())
        });
        let mut found: Vec<Candidate> = candidates
            .await?
            .into_iter()
            .map(|(candidate, distance)| Candidate { similarity: Some(1.0 - distance), ..candidate })
            .collect();
        for row in &self.rows {
            if let Some(of) = row.vector().filter(|of| is_sound(&of.numbers, vector.len())) {
                let similarity = Some(cosine(vector, &of.numbers));
                found.push(Candidate { similarity, ..Candidate::of(row, self.diverse) });
            }
        }
        Ok(best(found, self.candidates, |candidate| candidate.similarity.unwrap_or_default()))
    }

    async fn by_words(&self, words: &Words) -> Result<Vec<Candidate>, Fault> {
        let query = MatchQuery::new(words.plain().to_owned()).with_column(Some("text".to_owned()));
        let found = self.in_tables("_score", |scan, count| {
            let limit = i64::try_from(count).ok();
            scan.full_text_search(FullTextSearchQuery::new_query(FtsQuery::Match(query)).limit(limit))?;
            scan.limit(limit, None)?;
            Ok(())
        });
        let with = |(candidate, relevance)| Candidate { relevance: Some(relevance), ..candidate };
        let mut found: Vec<Candidate> = found.await?.into_iter().map(with).collect();
        let others = self.corpus.tables.map_or(0, |tables| tables.stores.values().sum());
        for (row, relevance) in self.rows.iter().zip(words.scores(&self.rows, others)) {
            if relevance > 0.0 {
                found.push(Candidate { relevance: Some(relevance), ..Candidate::of(row, self.diverse) });
            }
        }
        Ok(best(found, self.candidates, |candidate| candidate.relevance.unwrap_or_default()))
    }

    /// The best of the tables, with the number that Lance gives each of them in `column_of_score`.
    async fn in_tables(
        &self,
        column_of_score: &str,
        ask: impl FnOnce(&mut Scanner, usize) -> Result<(), Fault>,
    ) -> Result<Vec<(Candidate, f32)>, Fault> {
        let hidden = &self.corpus.view.hidden;
        let Some(tables) = self.corpus.tables.filter(|tables| !tables.stores.is_empty()) else { return Ok(Vec::new()) };
        let many = hidden.len() > HIDDEN_MAX;
        let expression = self.meant.expression(&tables.stores, tables.expires_ns, many.then(|| Arc::clone(hidden)));
        let mut columns = vec!["id", "written_ns", "importance", column_of_score];
        if self.diverse {
            columns.push("vector");
        }
        let mut scan = tables.entries.scan();
        ask(&mut scan, self.candidates + if many { 0 } else { hidden.len() })?;
        scan.project(&columns)?.with_row_id().disable_scoring_autoprojection();
        if let Some(expression) = expression {
            scan.prefilter(true).filter_expr(expression);
        }
        let mut stream = scan.try_into_stream().await?;
        let mut found = Vec::new();
        while let Some(batch) = stream.try_next().await? {
            self.take(&batch, column_of_score, &mut found)?;
        }
        found.retain(|(candidate, _)| !hidden.contains(&candidate.id));
        Ok(found)
    }

    fn take(&self, batch: &RecordBatch, score: &str, found: &mut Vec<(Candidate, f32)>) -> Result<(), Fault> {
        let ids: &UInt64Array = column(batch, "id")?;
        let rows: &UInt64Array = column(batch, "_rowid")?;
        let written_ns: &UInt64Array = column(batch, "written_ns")?;
        let importance: &Float32Array = column(batch, "importance")?;
        let scores: &Float32Array = column(batch, score)?;
        let vectors: Option<&FixedSizeListArray> = if self.diverse { Some(column(batch, "vector")?) } else { None };
        for row in (0..batch.num_rows()).filter(|row| scores.is_valid(*row) && !scores.value(*row).is_nan()) {
            let candidate = Candidate {
                id: EntryId(ids.value(row)),
                similarity: None,
                relevance: None,
                written_ns: written_ns.value(row),
                importance: importance.value(row),
                vector: vectors.and_then(|vectors| numbers(vectors, row)),
                awaits_vector: false,
                score: 0.0,
                place: Place::Table(rows.value(row)),
            };
            found.push((candidate, scores.value(row)));
        }
        Ok(())
    }

    /// Reads what the hits say.
    async fn hits(&self, found: Vec<Candidate>, vector: Option<&[f32]>) -> Result<Vec<MemoryHit>, Fault> {
        let row_ids: Vec<_> = found
            .iter()
            .filter_map(|candidate| match candidate.place {
                Place::Table(row) => Some(row),
                Place::Memory(_) => None,
            })
            .collect();
        let mut stored = FxHashMap::default();
        if let Some(tables) = self.corpus.tables.filter(|_| !row_ids.is_empty()) {
            let projection = ProjectionRequest::from_schema(tables.entries.schema().clone());
            let batch = tables.entries.take_rows(&row_ids, projection).await?;
            stored.extend(rows::read(&batch)?.into_iter().map(|row| (row.version.id, row)));
        }
        let hit = |candidate: Candidate| {
            let (entry, numbers): (EntryVersion, _) = match &candidate.place {
                Place::Memory(row) => (row.version.clone(), row.vector()),
                Place::Table(_) => {
                    let row = stored.remove(&candidate.id)?;
                    (row.version, row.vector)
                }
            };
            let exact = || Some(cosine(vector?, &numbers?.numbers));
            let similarity = candidate.similarity.or_else(exact);
            Some(MemoryHit { entry, score: candidate.score, similarity, relevance: candidate.relevance })
        };
        Ok(found.into_iter().filter_map(hit).collect())
    }
}

/// The cosine of the angle between two vectors; 0 where one of them is no direction.
pub(crate) fn cosine(one: &[f32], other: &[f32]) -> f32 {
    let (mut product, mut one_square, mut other_square) = ([0.0_f32; LANES], [0.0_f32; LANES], [0.0_f32; LANES]);
    let (one_parts, other_parts) = (one.chunks_exact(LANES), other.chunks_exact(LANES));
    let rest = one_parts.remainder().iter().zip(other_parts.remainder());
    for (one, other) in one_parts.zip(other_parts) {
        for lane in 0..LANES {
            product[lane] += one[lane] * other[lane];
            one_square[lane] += one[lane] * one[lane];
            other_square[lane] += other[lane] * other[lane];
        }
    }
    for (lane, (one, other)) in rest.enumerate() {
        product[lane] += one * other;
        one_square[lane] += one * one;
        other_square[lane] += other * other;
    }
    let sum = |lanes: [f32; LANES]| lanes.iter().sum::<f32>();
    let length = (sum(one_square) * sum(other_square)).sqrt();
    if length > 0.0 { sum(product) / length } else { 0.0 }
}

/// Sums side by side, so that the compiler can keep them in one register.
const LANES: usize = 16;

#[cfg(test)]
impl Default for Candidate {
    fn default() -> Self {
        Self {
            id: EntryId(0),
            similarity: None,
            relevance: None,
            written_ns: 0,
            importance: 0.0,
            vector: None,
            awaits_vector: false,
            score: 0.0,
            place: Place::Table(0),
        }
    }
}
