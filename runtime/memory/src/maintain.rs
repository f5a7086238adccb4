//! What tables need besides writes: indexes, few fragments, few old versions, vectors of today's model, no bytes of what was purged.
//!
//! | what | when | bound |
//! | --- | --- | --- |
//! | purge | after a batch that purged | rewrites the fragments that had the rows, and the index of words |
//! | expiry | an hour after something expired | one commit |
//! | vectors | rows have none, or one of another model | [`EMBEDDED_ROWS_MAX`] rows a step |
//! | [`indexes`] | so many rows are in none (`Options`) | one delta of each; they are merged when there are [`DELTAS_MAX`] |
//! | compaction | [`SMALL_FRAGMENTS_MAX`] fragments are small | [`COMPACTED_BYTES_MAX`] a step |
//! | old versions | so many commits since the last time | – |
//!
//! A step holds the tenant's `work`, so nothing is applied meanwhile, and pending writes collect in memory. Whoever searches goes on with the
//! state that it has; files of a state are removed when it has been out of sight for [`OLD_STATES_KEPT`], or, after a purge, when nobody
//! searches in it any more.

use crate::{
    embed,
    error::Fault,
    indexes,
    rows::{GIVEN, Row, Table, column, has_words},
    tables::{Change, Purging, Tables, remove, say},
    tenant::Tenant,
};
use arrow_array::{Array, LargeStringArray, UInt64Array};
use datafusion::logical_expr::{ident, lit};
use futures::TryStreamExt;
use lance::{
    Dataset,
    dataset::{
        cleanup::CleanupPolicy,
        optimize::{CompactionOptions, compact_files},
    },
};
use remit_abi::EntryId;
use remit_kernel::ports::{Embedder, StoreError};
use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

/// Rows that are given vectors of today's model in one step: writes wait meanwhile.
const EMBEDDED_ROWS_MAX: usize = 512;

/// Texts of one call of the embedder, and rows that come into the tables by one commit.
const EMBEDDED_BATCH_ROWS: usize = 128;

/// How long rows without a vector stay so after the embedder failed.
const EMBED_AGAIN: Duration = Duration::from_secs(60);

/// Deltas of an index after which they are merged: a search looks into each.
const DELTAS_MAX: usize = 8;

/// Fragments of a table that are smaller than [`FRAGMENT_ROWS`]: each costs a search a file.
const SMALL_FRAGMENTS_MAX: usize = 32;

/// Rows of a fragment that is not compacted any more, so that one row is rewritten a few times, however large the table.
const FRAGMENT_ROWS: usize = 65_536;

/// Bytes that one step of compaction reads: writes wait meanwhile.
const COMPACTED_BYTES_MAX: u64 = 256 << 20;

/// Rows that compaction holds at a time: each has up to a megabyte.
const COMPACTED_BATCH_ROWS: usize = 256;

/// Versions of a table after which old ones are removed: each is a file, and a listing reads them all.
const OLD_STATES_MAX: u64 = 256;

/// How long a state that was replaced keeps its files: longer than any search takes. There are four states a second at most, and every commit
/// looks at the names of all files.
const OLD_STATES_KEPT: Duration = Duration::from_secs(60);

/// How long a purge waits for searches in older states to end, before it takes their files away; such a search then fails.
const READERS_WAIT: Duration = Duration::from_secs(10);

/// How long what expired stays in its table, so that one commit removes many.
const EXPIRED_KEPT_NS: u64 = 3_600_000_000_000;

/// The pause after maintenance failed.
const PAUSE: Duration = Duration::from_secs(30);

/// How much of something there has to be until something is done about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    pub(crate) unindexed_rows: usize,
    pub(crate) deltas: usize,
    small_fragments: usize,
}

impl Due {
    /// All that can be done.
    const NOW: Self = Self { unindexed_rows: 1, deltas: 2, small_fragments: 2 };
}

/// What is known of what a tenant's tables need.
#[derive(Debug, Default)]
pub(crate) struct Upkeep {
    /// Not before this, after something failed.
    not_before: Option<Instant>,
    /// Not before this, after the embedder failed.
    embed_not_before: Option<Instant>,
    /// Versions of the tables when old ones were removed.
    cleaned: [u64; 2],
}

impl Upkeep {
    /// Something failed: the next attempt comes later.
    pub(crate) fn failed(&mut self) {
        self.not_before = Some(Instant::now() + PAUSE);
    }
}

/// One step of what is needed, where something is. Whether there is more to do at once.
pub(crate) async fn step(tenant: &Tenant, upkeep: &mut Upkeep) -> Result<bool, StoreError> {
    if upkeep.not_before.is_some_and(|at| at > Instant::now()) {
        return Ok(false);
    }
    upkeep.not_before = None;
    let unindexed_rows = tenant.shared.options.unindexed_rows_max;
    needed(tenant, upkeep, Due { unindexed_rows, deltas: DELTAS_MAX, small_fragments: SMALL_FRAGMENTS_MAX }).await
}

/// All that can be done.
pub(crate) async fn all(tenant: &Tenant, upkeep: &mut Upkeep) -> Result<(), StoreError> {
    upkeep.embed_not_before = None;
    while needed(tenant, upkeep, Due::NOW).await? {}
    clean(tenant, upkeep, 1, OLD_STATES_KEPT).await
}

async fn needed(tenant: &Tenant, upkeep: &mut Upkeep, due: Due) -> Result<bool, StoreError> {
    // Nothing here holds a state of the tables for longer: a purge waits until nobody looks into older ones.
    let Some(expires_ns) = tenant.open().await?.map(|tables| tables.expires_ns) else { return Ok(false) };
    let now_ns = (tenant.shared.options.clock)();
    if expires_ns.saturating_add(EXPIRED_KEPT_NS) <= now_ns {
        change(tenant, async |tables| expire(tables, now_ns).await).await?;
    }
    let mut more = false;
    if let Some(embedder) = &tenant.shared.embedder
        && upkeep.embed_not_before.is_none_or(|at| at <= Instant::now())
    {
        let given = change(tenant, async |tables| embed_rows(tables, embedder).await).await?;
        upkeep.embed_not_before = matches!(given, Some(Given::Failed)).then(|| Instant::now() + EMBED_AGAIN);
        more = matches!(given, Some(Given::Some));
    }
    let vector_rows_min = tenant.shared.options.vector_index_rows_min;
    change(tenant, async |tables| indexes::keep(tables, due, vector_rows_min).await).await?;
    change(tenant, async |tables| compact(tables, due.small_fragments).await).await?;
    settle(tenant, upkeep).await?;
    clean(tenant, upkeep, OLD_STATES_MAX, OLD_STATES_KEPT).await?;
    Ok(more)
}

/// Changes the tables, and makes their new state visible. Where it fails, what was committed until then is opened anew.
async fn change<T>(
    tenant: &Tenant,
    what: impl AsyncFnOnce(&mut Tables) -> Result<T, Fault>,
) -> Result<Option<T>, StoreError> {
    let Some(tables) = tenant.open().await? else { return Ok(None) };
    let mut next = Tables::clone(&tables);
    match what(&mut next).await {
        Ok(outcome) => {
            tenant.publish(next);
            Ok(Some(outcome))
        }
        Err(fault) => Err(tenant.lost(&fault)),
    }
}

async fn expire(tables: &mut Tables, now_ns: u64) -> Result<(), Fault> {
    for table in [Table::Versions, Table::Entries] {
        remove(tables, table, ident("expires_ns").lt_eq(lit(now_ns))).await?;
    }
    tables.survey().await
}

/// Which rows without a vector of today's model were given one.
enum Given {
    All,
    /// There may be more of them.
    Some,
    Failed,
}

/// Gives rows a vector of today's model.
async fn embed_rows(tables: &mut Tables, embedder: &Arc<dyn Embedder>) -> Result<Given, Fault> {
    if !tables.unembedded {
        return Ok(Given::All);
    }
    let stale = without_vector(tables, &embedder.digest(), EMBEDDED_ROWS_MAX).await?;
    for batch in stale.chunks(EMBEDDED_BATCH_ROWS) {
        let mut stored = tables.get(batch).await?;
        stored.retain(|stored| stored.version.content.text().is_some());
        let texts = stored.iter().filter_map(|stored| stored.version.content.text()).map(embed::beginning).collect();
        let Some(vectors) = embed::embed(embedder, texts).await else { return Ok(Given::Failed) };
        let gone = stored.iter().map(|stored| (stored.version.id, stored.version.store.clone())).collect();
        let come = stored.into_iter().zip(vectors).map(|(stored, vector)| {
            let row = Row::new(stored.version, stored.number);
            row.embed(Some(vector));
            Arc::new(row)
        });
        let come = come.collect();
        tables.change(Change { gone, come }, tables.applied).await?;
    }
    tables.unembedded = stale.len() == EMBEDDED_ROWS_MAX;
    Ok(if tables.unembedded { Given::Some } else { Given::All })
}

/// Joins small fragments, a bounded number of bytes.
async fn compact(tables: &mut Tables, small_fragments_max: usize) -> Result<(), Fault> {
    for table in [Table::Entries, Table::Versions] {
        let small = |rows: Option<usize>| rows.is_none_or(|rows| rows < FRAGMENT_ROWS);
        let fragments = tables.of(table).fragments();
        if fragments.iter().filter(|fragment| small(fragment.num_rows())).count() < small_fragments_max {
            continue;
        }
        let options = CompactionOptions { max_source_bytes: Some(COMPACTED_BYTES_MAX), ..compaction(tables, table) };
        rewrite(tables, table, options).await?;
    }
    Ok(())
}

fn compaction(tables: &Tables, table: Table) -> CompactionOptions {
    CompactionOptions {
        target_rows_per_fragment: FRAGMENT_ROWS,
        batch_size: Some(COMPACTED_BATCH_ROWS),
        num_threads: Some(1),
        transaction_properties: Some(Arc::new(tables.properties(table))),
        ..CompactionOptions::default()
    }
}

async fn rewrite(tables: &mut Tables, table: Table, options: CompactionOptions) -> Result<(), Fault> {
    let mut dataset = Dataset::clone(tables.of(table));
    compact_files(&mut dataset, options, None).await?;
    tables.set(table, dataset);
    say(tables, table).await
}

/// Finishes what a purge has begun, and only then tells that its write is applied: a journal that hears it destroys what it has of it.
pub(crate) async fn settle(tenant: &Tenant, upkeep: &mut Upkeep) -> Result<(), StoreError> {
    let Some(tables) = tenant.open().await? else { return Ok(()) };
    let (purging, applied) = (tables.purging, tables.applied);
    drop(tables);
    if purging == Purging::Rows {
        change(tenant, async |tables| rewrite_all(tables).await).await?;
        tenant.readers_gone(READERS_WAIT).await;
    }
    if purging > Purging::No {
        clean(tenant, upkeep, 0, Duration::ZERO).await?;
        change(tenant, async |tables| {
            tables.purging = Purging::No;
            say(tables, Table::Versions).await?;
            say(tables, Table::Entries).await
        })
        .await?;
    }
    tenant.told(applied);
    Ok(())
}

/// Takes what was purged out of the tables' newest state: fragments that had it are rewritten without, and indexes that copy what is in
/// rows are made anew, since they keep words that no text has any more.
async fn rewrite_all(tables: &mut Tables) -> Result<(), Fault> {
    for table in [Table::Versions, Table::Entries] {
        let options = CompactionOptions { materialize_deletions_threshold: 0.0, ..compaction(tables, table) };
        rewrite(tables, table, options).await?;
    }
    indexes::forget(tables).await?;
    say(tables, Table::Entries).await
}

/// Removes what no state needs that is younger than `kept`, where `states` were made since the last time.
async fn clean(tenant: &Tenant, upkeep: &mut Upkeep, states: u64, kept: Duration) -> Result<(), StoreError> {
    let Some(tables) = tenant.open().await? else { return Ok(()) };
    for (table, cleaned) in [Table::Entries, Table::Versions].into_iter().zip(&mut upkeep.cleaned) {
        let dataset = tables.of(table);
        let version = dataset.version().version;
        if version.saturating_sub(*cleaned) < states {
            continue;
        }
        let (mut before_version, mut before_timestamp) = (None, None);
        if kept.is_zero() {
            before_version = Some(version);
        } else {
            before_timestamp = Some(chrono::Utc::now() - kept);
        }
        let policy =
            CleanupPolicy { before_version, before_timestamp, delete_unverified: true, ..CleanupPolicy::default() };
        let removed = dataset.cleanup_with_policy(policy).await.map_err(|error| Fault::from(error).of(tenant.id))?;
        // Lance goes on past a file that cannot be removed, and only counts it. It may be one that has what was purged.
        if removed.failed_deletes > 0 {
            let reason = format!("{} files that nothing needs any more cannot be removed", removed.failed_deletes);
            return Err(Fault::from(io::Error::other(reason)).of(tenant.id));
        }
        *cleaned = version;
    }
    Ok(())
}

/// Entries with a text and without a vector of today's model, as many as are asked for. Texts are read of those rows alone that have no such
/// vector.
pub(crate) async fn without_vector(tables: &Tables, digest: &str, count: usize) -> Result<Vec<EntryId>, Fault> {
    let by = ident("embedded_by");
    let mut scan = tables.entries.scan();
    scan.project(&["id", "text"])?.batch_size(COMPACTED_BATCH_ROWS);
    scan.filter_expr(by.clone().is_null().or(by.clone().not_eq(lit(digest)).and(by.not_eq(lit(GIVEN)))));
    let mut stream = scan.try_into_stream().await?;
    let mut found = Vec::new();
    while let Some(batch) = stream.try_next().await?.filter(|_| found.len() < count) {
        let (ids, texts): (&UInt64Array, &LargeStringArray) = (column(&batch, "id")?, column(&batch, "text")?);
        let worded = |row: &usize| texts.is_valid(*row) && has_words(texts.value(*row));
        found.extend((0..batch.num_rows()).filter(worded).map(|row| EntryId(ids.value(row))));
    }
    found.truncate(count);
    Ok(found)
}
