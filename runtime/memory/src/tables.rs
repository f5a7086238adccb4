//! The tables of one tenant: opened, made, read, and changed by one commit at a time.
//!
//! Every commit, also one that only compacts, says in its transaction's properties up to which write its table is applied. So the newest
//! state of a table and its watermark are one thing, and a table that is opened says where to go on.

use crate::{
    error::Fault,
    indexes,
    rows::{self, FORMAT, FORMAT_KEY, Row, Stored, Table, column, schema},
    site::Site,
};
use arrow_array::{Array, RecordBatch, StringArray, UInt64Array};
use arrow_schema::DataType;
use datafusion::{
    error::DataFusionError,
    logical_expr::{Expr, ident, lit},
    physical_plan::{SendableRecordBatchStream, stream::RecordBatchStreamAdapter},
};
use futures::{StreamExt, TryStreamExt, stream};
use lance::{
    Dataset,
    dataset::{
        CommitBuilder, InsertBuilder, WriteMode, WriteParams,
        transaction::{Operation, Transaction, UpdateMode},
        write::delete::DeleteBuilder,
    },
};
use remit_abi::EntryId;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Where a commit says up to which write its table is applied.
const APPLIED_KEY: &str = "remit.applied";

/// Where a commit says that bytes of what was purged may still be in files.
const PURGING_KEY: &str = "remit.purging";

/// Rows that are read at a time where whole rows are: each has up to a megabyte.
const BATCH_ROWS: usize = 256;

/// Rows that are read at a time where they move from one table into the other, and bytes that are read ahead.
const MOVED_ROWS: usize = 64;
const MOVED_BYTES: u64 = 256 << 20;

/// Where bytes of what was purged may still be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purging {
    /// Nowhere.
    #[default]
    No,
    /// In files of no state: those of commits that failed.
    Files,
    /// In the rows and indexes of earlier states, and so in files of the present one.
    Rows,
}

impl Purging {
    const fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Files => "files",
            Self::Rows => "rows",
        }
    }

    /// What is not known is taken for the most.
    fn named(name: Option<&String>) -> Self {
        match name.map(String::as_str) {
            None | Some("no") => Self::No,
            Some("files") => Self::Files,
            Some(_) => Self::Rows,
        }
    }
}

/// What a commit says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Said {
    applied: u64,
    purging: Purging,
}

/// One state of a tenant's tables.
#[derive(Clone, Debug)]
pub(crate) struct Tables {
    pub(crate) entries: Arc<Dataset>,
    pub(crate) versions: Arc<Dataset>,
    /// The number of the last write that is in `entries`, and so in both.
    pub(crate) applied: u64,
    /// The same of `versions`, which is written first.
    pub(crate) ended: u64,
    /// The stores that `entries` has, with the number of its rows.
    pub(crate) stores: BTreeMap<Box<str>, u64>,
    /// The first moment at which one of `entries` expires; `u64::MAX` where none does.
    pub(crate) expires_ns: u64,
    pub(crate) width: usize,
    pub(crate) purging: Purging,
    /// Whether `entries` may have texts without a vector of today's model.
    pub(crate) unembedded: bool,
}

/// What is done to `entries` by one commit.
#[derive(Default)]
pub(crate) struct Change {
    /// Rows that go: their ids and stores.
    pub(crate) gone: Vec<(EntryId, Box<str>)>,
    /// Rows that come.
    pub(crate) come: Vec<Arc<Row>>,
}

/// Versions that come into `versions`, each with the number of the write that ended it.
#[derive(Default)]
pub(crate) struct Ended {
    /// That are in memory.
    pub(crate) rows: Vec<(Arc<Row>, u64)>,
    /// That are the newest of their entries in `entries`.
    pub(crate) stored: BTreeMap<EntryId, u64>,
}

impl Tables {
    /// Opens the tables at a site; `None` where there are none.
    pub(crate) async fn open(site: &Site) -> Result<Option<Self>, Fault> {
        if !site.has_tables() {
            return Ok(None);
        }
        let entries = open(site, Table::Entries).await?;
        let versions = open(site, Table::Versions).await?;
        let (stores, expires_ns) = survey(&entries).await?;
        let (of_entries, of_versions) = (last_said(&entries).await?, last_said(&versions).await?);
        let mut tables = Self {
            entries: Arc::new(entries),
            versions: Arc::new(versions),
            applied: of_entries.applied,
            ended: of_versions.applied,
            stores,
            expires_ns,
            width: site.width,
            purging: of_entries.purging.max(of_versions.purging),
            unembedded: true,
        };
        indexes::begin(&mut tables).await?;
        Ok(Some(tables))
    }

    /// Makes empty tables, and their folder. `entries` comes last: where it is, both are.
    pub(crate) async fn create(site: &Site) -> Result<Self, Fault> {
        site.drop_leftovers().await?;
        let nothing = Said { applied: 0, purging: Purging::No };
        let versions = Arc::new(site.create(Table::Versions, nothing.properties()).await?);
        let entries = Arc::new(site.create(Table::Entries, nothing.properties()).await?);
        site.sync_names()?;
        let mut tables = Self {
            entries,
            versions,
            applied: 0,
            ended: 0,
            stores: BTreeMap::new(),
            expires_ns: u64::MAX,
            width: site.width,
            purging: Purging::No,
            unembedded: false,
        };
        indexes::begin(&mut tables).await?;
        Ok(tables)
    }

    /// The newest versions of these entries that are in `entries`.
    pub(crate) async fn get(&self, ids: &[EntryId]) -> Result<Vec<Stored>, Fault> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        read(&self.entries, id_in(ids)).await
    }

    /// Which of these entries `entries` has, and in which stores.
    pub(crate) async fn known(&self, ids: &[EntryId]) -> Result<Vec<(EntryId, Box<str>)>, Fault> {
        let mut known = Vec::new();
        if ids.is_empty() {
            return Ok(known);
        }
        let mut scan = self.entries.scan();
        let mut stream = scan.project(&["id", "store"])?.filter_expr(id_in(ids)).try_into_stream().await?;
        while let Some(batch) = stream.try_next().await? {
            let (ids, stores): (&UInt64Array, &StringArray) = (column(&batch, "id")?, column(&batch, "store")?);
            known.extend((0..batch.num_rows()).map(|row| (EntryId(ids.value(row)), stores.value(row).into())));
        }
        Ok(known)
    }

    /// The older versions of an entry.
    pub(crate) async fn older(&self, id: EntryId) -> Result<Vec<Stored>, Fault> {
        read(&self.versions, id_in(&[id])).await
    }

    /// Adds versions that writes up to `number` have ended, and removes those of entries that are purged.
    pub(crate) async fn end(&mut self, ended: Ended, purged: &[EntryId], number: u64) -> Result<(), Fault> {
        let come = self.ended_rows(ended).await?;
        let gone = (!purged.is_empty()).then(|| id_in(purged));
        if come.is_some() || gone.is_some() {
            self.versions = Arc::new(commit(&self.versions, gone, come, self.said(number)).await?);
        }
        self.ended = self.ended.max(number);
        Ok(())
    }

    /// The rows that come into `versions`. Those that are in `entries` are read while they are written: a small write can end thousands, and
    /// each can have a megabyte.
    async fn ended_rows(&self, ended: Ended) -> Result<Option<SendableRecordBatchStream>, Fault> {
        let Ended { rows, stored } = ended;
        if rows.is_empty() && stored.is_empty() {
            return Ok(None);
        }
        let in_memory = if rows.is_empty() { None } else { Some(Ok(rows::versions(&rows, self.width)?)) };
        let in_memory = stream::iter(in_memory);
        let schema = schema(Table::Versions, self.width);
        if stored.is_empty() {
            return Ok(Some(Box::pin(RecordBatchStreamAdapter::new(schema, in_memory))));
        }
        let ids: Vec<_> = stored.keys().copied().collect();
        let mut scan = self.entries.scan();
        scan.filter_expr(id_in(&ids)).batch_size(MOVED_ROWS).io_buffer_size(MOVED_BYTES);
        let width = self.width;
        let batches = scan.try_into_stream().await?.map(move |batch| {
            let anew = || moved(&batch.map_err(Fault::from)?, &stored, width);
            anew().map_err(|fault| DataFusionError::External(fault.into()))
        });
        Ok(Some(Box::pin(RecordBatchStreamAdapter::new(schema, in_memory.chain(batches)))))
    }

    /// Changes `entries`. Where nothing changes, the tables still say what they said, and an equal write that comes again does nothing again.
    pub(crate) async fn change(&mut self, change: Change, number: u64) -> Result<(), Fault> {
        let ids: Vec<_> = change.gone.iter().map(|(id, _)| *id).collect();
        let gone = (!ids.is_empty()).then(|| id_in(&ids));
        let come = if change.come.is_empty() { None } else { Some(alone(rows::entries(&change.come, self.width)?)) };
        if come.is_some() || gone.is_some() {
            self.entries = Arc::new(commit(&self.entries, gone, come, self.said(number)).await?);
        }
        for (_, store) in &change.gone {
            if let Some(count) = self.stores.get_mut(store) {
                *count = count.saturating_sub(1);
            }
        }
        for row in &change.come {
            *self.stores.entry(row.version.store.clone()).or_default() += 1;
            self.expires_ns = self.expires_ns.min(row.version.particulars.expires_ns.unwrap_or(u64::MAX));
            self.unembedded |= row.lacks_vector();
        }
        self.stores.retain(|_, count| *count > 0);
        self.applied = number;
        Ok(())
    }

    /// What a commit that changes no entry says of itself.
    pub(crate) fn properties(&self, table: Table) -> HashMap<String, String> {
        self.said_of(table).properties()
    }

    fn said(&self, applied: u64) -> Said {
        Said { applied, purging: self.purging }
    }

    fn said_of(&self, table: Table) -> Said {
        self.said(match table {
            Table::Entries => self.applied,
            Table::Versions => self.ended,
        })
    }

    pub(crate) fn of(&self, table: Table) -> &Arc<Dataset> {
        match table {
            Table::Entries => &self.entries,
            Table::Versions => &self.versions,
        }
    }

    pub(crate) fn set(&mut self, table: Table, dataset: Dataset) {
        match table {
            Table::Entries => self.entries = Arc::new(dataset),
            Table::Versions => self.versions = Arc::new(dataset),
        }
    }

    /// Looks again what `entries` has, after rows went by a filter.
    pub(crate) async fn survey(&mut self) -> Result<(), Fault> {
        (self.stores, self.expires_ns) = survey(&self.entries).await?;
        Ok(())
    }
}

/// A condition on the column `id`.
pub(crate) fn id_in(ids: &[EntryId]) -> Expr {
    match ids {
        [id] => ident("id").eq(lit(id.0)),
        ids => ident("id").in_list(ids.iter().map(|id| lit(id.0)).collect(), false),
    }
}

impl Said {
    fn properties(self) -> HashMap<String, String> {
        let purging = self.purging.name().to_owned();
        HashMap::from([(APPLIED_KEY.to_owned(), self.applied.to_string()), (PURGING_KEY.to_owned(), purging)])
    }

    fn of(transaction: Option<Transaction>) -> Option<Self> {
        let properties = transaction?.transaction_properties?;
        let applied = properties.get(APPLIED_KEY)?.parse().ok()?;
        Some(Self { applied, purging: Purging::named(properties.get(PURGING_KEY)) })
    }
}

async fn open(site: &Site, table: Table) -> Result<Dataset, Fault> {
    let dataset = site.open(table).await?;
    let found = dataset.schema().metadata.get(FORMAT_KEY).and_then(|format| format.parse().ok());
    match found {
        Some(FORMAT) => widened(dataset, site, table).await,
        Some(found) => Err(Fault::Newer { found, known: FORMAT }),
        None => Err(Fault::Content(format!("the table {} does not say its format", table.name()).into())),
    }
}

/// Up to which write a table is applied. Some operations of Lance are several commits, of which only the last says it: a start that finds
/// one of the others takes what the commit before it said.
async fn last_said(dataset: &Dataset) -> Result<Said, Fault> {
    let mut version = dataset.version().version;
    while version > 0 {
        if let Some(said) = Said::of(dataset.read_transaction_by_version(version).await?) {
            return Ok(said);
        }
        version -= 1;
    }
    Err(Fault::Content("no commit says up to which write it goes".into()))
}

/// Makes a table anew whose vectors have another width, in one commit. Vectors of the old one are left out.
async fn widened(dataset: Dataset, site: &Site, table: Table) -> Result<Dataset, Fault> {
    let field = dataset.schema().field("vector").map(lance::datatypes::Field::data_type);
    let Some(DataType::FixedSizeList(_, width)) = field else {
        return Err(Fault::Content("its table has no column vector of the known type".into()));
    };
    if usize::try_from(width) == Ok(site.width) {
        return Ok(dataset);
    }
    let mut scan = dataset.scan();
    scan.batch_size(BATCH_ROWS);
    let (width, schema) = (site.width, schema(table, site.width));
    let batches = scan.try_into_stream().await?.map(move |batch| {
        let anew = || rows::widened(&batch.map_err(Fault::from)?, table, width);
        anew().map_err(|fault| DataFusionError::External(fault.into()))
    });
    let batches: SendableRecordBatchStream = Box::pin(RecordBatchStreamAdapter::new(schema, batches));
    let params = WriteParams {
        mode: WriteMode::Overwrite,
        transaction_properties: Some(Arc::new(last_said(&dataset).await?.properties())),
        ..WriteParams::default()
    };
    Ok(InsertBuilder::new(Arc::new(dataset)).with_params(&params).execute_stream(batches).await?)
}

/// Rows of `entries` as rows of `versions`.
fn moved(batch: &RecordBatch, until: &BTreeMap<EntryId, u64>, width: usize) -> Result<RecordBatch, Fault> {
    let stored = rows::read(batch)?.into_iter().filter_map(|stored| {
        let until = *until.get(&stored.version.id)?;
        Some((Arc::new(Row::new(stored.version, stored.number)), until))
    });
    rows::versions(&stored.collect::<Vec<_>>(), width)
}

fn alone(batch: RecordBatch) -> SendableRecordBatchStream {
    Box::pin(RecordBatchStreamAdapter::new(batch.schema(), stream::iter([Ok(batch)])))
}

/// Stores, and when the first entry expires.
async fn survey(entries: &Dataset) -> Result<(BTreeMap<Box<str>, u64>, u64), Fault> {
    let (mut stores, mut expires_ns) = (BTreeMap::<Box<str>, u64>::new(), u64::MAX);
    let mut scan = entries.scan();
    scan.project(&["store", "expires_ns"])?;
    let mut stream = scan.try_into_stream().await?;
    while let Some(batch) = stream.try_next().await? {
        let names: &StringArray = column(&batch, "store")?;
        let expiries: &UInt64Array = column(&batch, "expires_ns")?;
        for row in 0..batch.num_rows() {
            match stores.get_mut(names.value(row)) {
                Some(count) => *count += 1,
                None => {
                    stores.insert(names.value(row).into(), 1);
                }
            }
            if expiries.is_valid(row) {
                expires_ns = expires_ns.min(expiries.value(row));
            }
        }
    }
    Ok((stores, expires_ns))
}

/// All rows of a table that a condition means.
pub(crate) async fn read(dataset: &Dataset, condition: Expr) -> Result<Vec<Stored>, Fault> {
    let mut scan = dataset.scan();
    scan.filter_expr(condition).batch_size(BATCH_ROWS);
    let mut stream = scan.try_into_stream().await?;
    let mut stored = Vec::new();
    while let Some(batch) = stream.try_next().await? {
        stored.extend(rows::read(&batch)?);
    }
    Ok(stored)
}

/// The first entries by id that a condition means.
pub(crate) async fn ids(dataset: &Dataset, condition: Option<Expr>, count: usize) -> Result<Vec<EntryId>, Fault> {
    let mut scan = dataset.scan();
    scan.project(&["id"])?;
    if let Some(condition) = condition {
        scan.filter_expr(condition);
    }
    let mut stream = scan.try_into_stream().await?;
    let mut found = Vec::new();
    while let Some(batch) = stream.try_next().await? {
        let ids: &UInt64Array = column(&batch, "id")?;
        found.extend(ids.values().iter().map(|id| EntryId(*id)));
    }
    found.sort_unstable();
    found.truncate(count);
    Ok(found)
}

/// Removes all rows of a table that a condition means.
pub(crate) async fn remove(tables: &mut Tables, table: Table, condition: Expr) -> Result<(), Fault> {
    let dataset = commit(tables.of(table), Some(condition), None, tables.said_of(table)).await?;
    tables.set(table, dataset);
    Ok(())
}

/// Makes sure that the newest commit says what is so. Some operations of Lance end with commits that say nothing of ours.
pub(crate) async fn say(tables: &mut Tables, table: Table) -> Result<(), Fault> {
    if Said::of(tables.of(table).read_transaction().await?) == Some(tables.said_of(table)) {
        return Ok(());
    }
    remove(tables, table, lit(false)).await
}

/// Removes rows and adds rows, by one commit that says up to which write this goes.
async fn commit(
    dataset: &Arc<Dataset>,
    gone: Option<Expr>,
    come: Option<SendableRecordBatchStream>,
    said: Said,
) -> Result<Dataset, Fault> {
    let deletion = match gone {
        Some(condition) => Some(DeleteBuilder::from_expr(Arc::clone(dataset), condition).execute_uncommitted().await?),
        None => None,
    };
    let insertion = match come {
        Some(batches) => {
            let params = WriteParams { mode: WriteMode::Append, ..WriteParams::default() };
            let insert = InsertBuilder::new(Arc::clone(dataset)).with_params(&params);
            Some(insert.execute_uncommitted_stream(batches).await?)
        }
        None => None,
    };
    let transaction = match (deletion.map(|deletion| deletion.transaction), insertion) {
        (Some(deletion), Some(insertion)) => joined(deletion, insertion)?,
        (Some(transaction), None) | (None, Some(transaction)) => transaction,
        (None, None) => return Ok(Dataset::clone(dataset)),
    };
    // The builder's own way to say them is for batches alone.
    let transaction = Transaction { transaction_properties: Some(Arc::new(said.properties())), ..transaction };
    Ok(CommitBuilder::new(Arc::clone(dataset)).with_skip_auto_cleanup(true).execute(transaction).await?)
}

/// A deletion and an insertion as one operation, as Lance's own merge makes it.
fn joined(deletion: Transaction, insertion: Transaction) -> Result<Transaction, Fault> {
    let read_version = deletion.read_version;
    let Operation::Delete { updated_fragments, deleted_fragment_ids, .. } = deletion.operation else {
        return Err(Fault::Content("deleting rows made another operation".into()));
    };
    let Operation::Append { fragments } = insertion.operation else {
        return Err(Fault::Content("adding rows made another operation".into()));
    };
    let operation = Operation::Update {
        removed_fragment_ids: deleted_fragment_ids,
        updated_fragments,
        new_fragments: fragments,
        fields_modified: Vec::new(),
        compacted_sstables: Vec::new(),
        fields_for_preserving_frag_bitmap: Vec::new(),
        update_mode: Some(UpdateMode::RewriteRows),
        inserted_rows_filter: None,
        updated_fragment_offsets: None,
    };
    Ok(Transaction::new(read_version, operation, None))
}
