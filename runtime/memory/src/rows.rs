//! Versions of entries as rows of a table, and back. The columns are those of `FORMAT.md`.

use crate::{error::Fault, search::words::Terms};
use arrow_array::{
    Array, ArrayRef, BinaryArray, FixedSizeListArray, Float32Array, LargeBinaryArray, LargeStringArray, ListArray,
    RecordBatch, StringArray, UInt32Array, UInt64Array,
    builder::{
        BinaryBuilder, FixedSizeListBuilder, Float32Builder, LargeBinaryBuilder, LargeStringBuilder, ListBuilder,
        StringBuilder,
    },
    cast::AsArray,
};
use arrow_schema::{DataType, Field as Column, Schema, SchemaRef};
use bytes::Bytes;
use remit_abi::{EntryId, Field, Label, Particulars, Remembered};
use remit_kernel::ports::EntryVersion;
use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

/// The layout that is written down in `FORMAT.md`.
pub(crate) const FORMAT: u32 = 1;

/// Where a table's schema says its format.
pub(crate) const FORMAT_KEY: &str = "remit.format";

/// What `embedded_by` says of a vector that the writer gave.
pub(crate) const GIVEN: &str = "given";

/// How long a text waits for its vector before it is applied without. It is in the journal and found by its words meanwhile; a small model
/// takes no longer for as many texts as may wait (`BATCH_ROWS_MAX`).
const EMBED_WAIT: Duration = Duration::from_secs(10);

/// Which of a tenant's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    /// The newest version of each entry that lives.
    Entries,
    /// All other versions that are kept.
    Versions,
}

impl Table {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Entries => "entries",
            Self::Versions => "versions",
        }
    }

    /// As LanceDB names it.
    pub(crate) fn folder(self) -> String {
        format!("{}.lance", self.name())
    }
}

/// A vector that was computed, and by which model.
#[derive(Clone, Debug)]
pub(crate) struct Vector {
    pub(crate) numbers: Arc<[f32]>,
    /// [`GIVEN`], or the digest of the model.
    pub(crate) by: Arc<str>,
}

/// A version, with what follows from it.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) version: EntryVersion,
    /// Of the write that made it.
    pub(crate) number: u64,
    made: Instant,
    /// Empty until the embedder has answered; `None` inside where it could not.
    embedded: OnceLock<Option<Vector>>,
    terms: OnceLock<Terms>,
}

impl Row {
    pub(crate) fn new(version: EntryVersion, number: u64) -> Self {
        Self { version, number, made: Instant::now(), embedded: OnceLock::new(), terms: OnceLock::new() }
    }

    pub(crate) fn id(&self) -> EntryId {
        self.version.id
    }

    /// Whether it is still to be embedded.
    pub(crate) fn awaits_vector(&self) -> bool {
        self.version.vector.is_none() && self.embedded.get().is_none()
    }

    /// The vector that it is found by.
    pub(crate) fn vector(&self) -> Option<Vector> {
        match &self.version.vector {
            Some(numbers) => Some(Vector { numbers: Arc::clone(numbers), by: GIVEN.into() }),
            None => self.embedded.get().cloned().flatten(),
        }
    }

    /// The embedder's answer. Only the first counts.
    pub(crate) fn embed(&self, vector: Option<Vector>) {
        // It was answered before: a row can be asked for twice, after a failure.
        let _ = self.embedded.set(vector);
    }

    /// The text that a vector is to be computed of, and is not yet.
    pub(crate) fn unembedded(&self) -> Option<&str> {
        if self.version.vector.is_some() || self.embedded.get().is_some() {
            return None;
        }
        self.version.content.text().filter(|text| has_words(text))
    }

    /// Whether it has a text and no vector, though the embedder may have been asked.
    pub(crate) fn lacks_vector(&self) -> bool {
        self.vector().is_none() && self.version.content.text().is_some_and(has_words)
    }

    /// How long it is still worth waiting for its vector.
    pub(crate) fn embedding(&self) -> Duration {
        if self.unembedded().is_some() { EMBED_WAIT.saturating_sub(self.made.elapsed()) } else { Duration::ZERO }
    }

    /// Its words, counted when somebody first looks for words.
    pub(crate) fn terms(&self) -> &Terms {
        self.terms.get_or_init(|| self.version.content.text().map(Terms::of).unwrap_or_default())
    }

    /// What it takes in memory, about.
    pub(crate) fn bytes(&self) -> usize {
        const FIXED: usize = 512;
        let version = &self.version;
        let vector = version.vector.as_ref().map_or(0, |vector| vector.len() * 4);
        FIXED
            + version.content.bytes.len()
            + vector
            + 64 * (version.particulars.tags.len() + version.particulars.metadata.len())
    }
}

/// A row as it was read.
pub(crate) struct Stored {
    pub(crate) version: EntryVersion,
    pub(crate) number: u64,
    pub(crate) vector: Option<Vector>,
}

/// The columns of a table.
pub(crate) fn schema(table: Table, width: usize) -> SchemaRef {
    let text = |name: &str, nullable| Column::new(name, DataType::Utf8, nullable);
    let number = |name: &str, nullable| Column::new(name, DataType::UInt64, nullable);
    let item = Arc::new(Column::new("item", DataType::Float32, true));
    let width_of = i32::try_from(width).unwrap_or(i32::MAX);
    let mut columns = vec![
        number("id", false),
        Column::new("version", DataType::UInt32, false),
        number("number", false),
        text("store", false),
        text("source", true),
        number("written_ns", false),
        number("expires_ns", true),
        Column::new("importance", DataType::Float32, false),
        Column::new("label", DataType::Binary, false),
        text("media_type", false),
        Column::new("text", DataType::LargeUtf8, true),
        Column::new("data", DataType::LargeBinary, true),
        Column::new("tags", DataType::List(Arc::new(Column::new("item", DataType::Utf8, true))), false),
        Column::new("metadata", DataType::Binary, false),
        Column::new("vector", DataType::FixedSizeList(item, width_of), true),
        text("embedded_by", true),
    ];
    if table == Table::Versions {
        columns.push(number("until", false));
    }
    let metadata = HashMap::from([(FORMAT_KEY.to_owned(), FORMAT.to_string())]);
    Arc::new(Schema::new_with_metadata(columns, metadata))
}

/// Rows of the table of entries.
pub(crate) fn entries(rows: &[Arc<Row>], width: usize) -> Result<RecordBatch, Fault> {
    let columns = columns(rows, width, true)?;
    Ok(RecordBatch::try_new(schema(Table::Entries, width), columns)?)
}

/// Rows of the table of versions, each with the number of the write that ended it. A computed vector is left out: old versions are not
/// searched, and it follows from the text.
pub(crate) fn versions(ended: &[(Arc<Row>, u64)], width: usize) -> Result<RecordBatch, Fault> {
    let rows: Vec<_> = ended.iter().map(|(row, _)| Arc::clone(row)).collect();
    let mut columns = columns(&rows, width, false)?;
    columns.push(Arc::new(UInt64Array::from_iter_values(ended.iter().map(|(_, until)| *until))));
    Ok(RecordBatch::try_new(schema(Table::Versions, width), columns)?)
}

/// Rows of a table, with vectors of another width: those of the old one are left out.
pub(crate) fn widened(batch: &RecordBatch, table: Table, width: usize) -> Result<RecordBatch, Fault> {
    let stored = read(batch)?.into_iter().map(|stored| Arc::new(Row::new(stored.version, stored.number)));
    match table {
        Table::Entries => entries(&stored.collect::<Vec<_>>(), width),
        Table::Versions => {
            let until: &UInt64Array = column(batch, "until")?;
            versions(&stored.zip(until.values().iter().copied()).collect::<Vec<_>>(), width)
        }
    }
}

fn columns(rows: &[Arc<Row>], width: usize, computed: bool) -> Result<Vec<ArrayRef>, Fault> {
    let versions = || rows.iter().map(|row| &row.version);
    let text = |version: &EntryVersion| version.content.text().is_some();
    let mut labels = BinaryBuilder::new();
    let mut texts = LargeStringBuilder::new();
    let mut data = LargeBinaryBuilder::new();
    let mut tags = ListBuilder::new(StringBuilder::new());
    let mut metadata = BinaryBuilder::new();
    for version in versions() {
        labels.append_value(postcard::to_stdvec(&version.label)?);
        texts.append_option(version.content.text());
        data.append_option((!text(version)).then_some(&version.content.bytes));
        for tag in &version.particulars.tags {
            tags.values().append_value(tag);
        }
        tags.append(true);
        metadata.append_value(postcard::to_stdvec(&version.particulars.metadata)?);
    }
    let (vectors, embedded_by) = vectors(rows, width, computed)?;
    Ok(vec![
        Arc::new(UInt64Array::from_iter_values(versions().map(|version| version.id.0))),
        Arc::new(UInt32Array::from_iter_values(versions().map(|version| version.version))),
        Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.number))),
        Arc::new(StringArray::from_iter_values(versions().map(|version| &*version.store))),
        Arc::new(StringArray::from_iter(versions().map(|version| version.source.map(|pid| pid.to_string())))),
        Arc::new(UInt64Array::from_iter_values(versions().map(|version| version.written_ns))),
        Arc::new(UInt64Array::from_iter(versions().map(|version| version.particulars.expires_ns))),
        Arc::new(Float32Array::from_iter_values(versions().map(|version| version.particulars.importance))),
        Arc::new(labels.finish()),
        Arc::new(StringArray::from_iter_values(versions().map(|version| &*version.content.media_type))),
        Arc::new(texts.finish()),
        Arc::new(data.finish()),
        Arc::new(tags.finish()),
        Arc::new(metadata.finish()),
        vectors,
        embedded_by,
    ])
}

fn vectors(rows: &[Arc<Row>], width: usize, computed: bool) -> Result<(ArrayRef, ArrayRef), Fault> {
    let list_width = i32::try_from(width).map_err(|_| Fault::Content("vectors are too wide".into()))?;
    let mut vectors = FixedSizeListBuilder::with_capacity(Float32Builder::new(), list_width, rows.len());
    let mut embedded_by = StringBuilder::new();
    for row in rows {
        // The kernel has checked vectors; what slipped through must not end a batch of others.
        let vector = row.vector().filter(|vector| is_sound(&vector.numbers, width));
        let vector = vector.filter(|vector| computed || &*vector.by == GIVEN);
        match &vector {
            Some(vector) => vectors.values().append_slice(&vector.numbers),
            None => vectors.values().append_nulls(width),
        }
        vectors.append(vector.is_some());
        embedded_by.append_option(vector.map(|vector| vector.by));
    }
    Ok((Arc::new(vectors.finish()), Arc::new(embedded_by.finish())))
}

/// Whether there is something that a vector could be of.
pub(crate) fn has_words(text: &str) -> bool {
    !text.trim().is_empty()
}

/// Whether something can be compared with a vector.
pub(crate) fn is_sound(vector: &[f32], width: usize) -> bool {
    vector.len() == width && vector.iter().all(|number| number.is_finite())
}

/// Reads all rows of a batch that has all columns of an entry.
pub(crate) fn read(batch: &RecordBatch) -> Result<Vec<Stored>, Fault> {
    let columns = Columns::of(batch)?;
    (0..batch.num_rows()).map(|row| columns.row(row)).collect()
}

struct Columns<'a> {
    ids: &'a UInt64Array,
    versions: &'a UInt32Array,
    numbers: &'a UInt64Array,
    stores: &'a StringArray,
    sources: &'a StringArray,
    written_ns: &'a UInt64Array,
    expires_ns: &'a UInt64Array,
    importance: &'a Float32Array,
    labels: &'a BinaryArray,
    media_types: &'a StringArray,
    texts: &'a LargeStringArray,
    data: &'a LargeBinaryArray,
    tags: &'a ListArray,
    metadata: &'a BinaryArray,
    vectors: &'a FixedSizeListArray,
    embedded_by: &'a StringArray,
}

/// A column by its name and type.
pub(crate) fn column<'a, T: 'static>(batch: &'a RecordBatch, name: &str) -> Result<&'a T, Fault> {
    let column = batch.column_by_name(name).and_then(|column| column.as_any().downcast_ref());
    column.ok_or_else(|| Fault::Content(format!("its table has no column {name} of the known type").into()))
}

impl<'a> Columns<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self, Fault> {
        Ok(Self {
            ids: column(batch, "id")?,
            versions: column(batch, "version")?,
            numbers: column(batch, "number")?,
            stores: column(batch, "store")?,
            sources: column(batch, "source")?,
            written_ns: column(batch, "written_ns")?,
            expires_ns: column(batch, "expires_ns")?,
            importance: column(batch, "importance")?,
            labels: column(batch, "label")?,
            media_types: column(batch, "media_type")?,
            texts: column(batch, "text")?,
            data: column(batch, "data")?,
            tags: column(batch, "tags")?,
            metadata: column(batch, "metadata")?,
            vectors: column(batch, "vector")?,
            embedded_by: column(batch, "embedded_by")?,
        })
    }

    fn row(&self, row: usize) -> Result<Stored, Fault> {
        let vector = vector(self.vectors, self.embedded_by, row);
        let given = vector.as_ref().filter(|vector| &*vector.by == GIVEN).map(|vector| Arc::clone(&vector.numbers));
        let source = self.sources.is_valid(row).then(|| self.sources.value(row).parse()).transpose();
        let source = source.map_err(|_| Fault::Content("the column source has no process id".into()))?;
        let version = EntryVersion {
            id: EntryId(self.ids.value(row)),
            version: self.versions.value(row),
            store: self.stores.value(row).into(),
            source,
            written_ns: self.written_ns.value(row),
            label: label(self.labels, row)?,
            content: Remembered { bytes: self.content(row), media_type: self.media_types.value(row).into() },
            particulars: Particulars {
                tags: tags(self.tags, row),
                metadata: metadata(self.metadata, row)?,
                importance: self.importance.value(row),
                expires_ns: self.expires_ns.is_valid(row).then(|| self.expires_ns.value(row)),
            },
            vector: given,
        };
        Ok(Stored { version, number: self.numbers.value(row), vector })
    }

    fn content(&self, row: usize) -> Bytes {
        if self.texts.is_valid(row) {
            return Bytes::copy_from_slice(self.texts.value(row).as_bytes());
        }
        Bytes::copy_from_slice(self.data.value(row))
    }
}

/// The vector of a row, where it has one.
pub(crate) fn vector(vectors: &FixedSizeListArray, embedded_by: &StringArray, row: usize) -> Option<Vector> {
    let numbers = numbers(vectors, row)?;
    let by = if embedded_by.is_valid(row) { embedded_by.value(row) } else { "" };
    Some(Vector { numbers, by: by.into() })
}

/// The same, without whose it is.
pub(crate) fn numbers(vectors: &FixedSizeListArray, row: usize) -> Option<Arc<[f32]>> {
    vectors.is_valid(row).then(|| {
        let values = vectors.value(row);
        let values: &Float32Array = values.as_primitive();
        values.values().as_ref().into()
    })
}

/// The tags of a row.
pub(crate) fn tags(tags: &ListArray, row: usize) -> Vec<Box<str>> {
    let tags = tags.value(row);
    tags.as_string::<i32>().iter().flatten().map(Into::into).collect()
}

/// The label of a row.
pub(crate) fn label(labels: &BinaryArray, row: usize) -> Result<Label, Fault> {
    Ok(postcard::from_bytes(labels.value(row))?)
}

/// The metadata of a row.
pub(crate) fn metadata(metadata: &BinaryArray, row: usize) -> Result<Vec<Field>, Fault> {
    Ok(postcard::from_bytes(metadata.value(row))?)
}
