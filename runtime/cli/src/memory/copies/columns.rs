//! Entries as columns: Apache Parquet, for programs that read tables.
//!
//! A row is an entry as a line of JSON has it, with the same names:
//!
//! | column | type |
//! | --- | --- |
//! | `id`, `store`, `media_type` | text |
//! | `version` | unsigned, 32 bits |
//! | `source` | text, or none |
//! | `written_ns`, `expires_ns` | moments in UTC, in nanoseconds; the second may be none |
//! | `label` | `integrity`, a text, and `tags`, a list of texts |
//! | `content` | either `text` or, where it is no UTF-8, `hex`: the bytes themselves |
//! | `tags` | a list of texts, or none |
//! | `fields` | a JSON object as a text: a column has one type, and fields of one name may have several |
//! | `importance` | 32 bits of floating point |
//!
//! Arrow's JSON turns the one into the other, so that what a line may be is said once, by [`Entry`]. A table of another program may have
//! further columns, other widths of numbers, and moments of other precision.

use arrow_array::RecordBatch;
use arrow_json::{ArrayWriter, ReaderBuilder, reader::Decoder};
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema, TimeUnit};
use jiff::Timestamp;
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::properties::WriterProperties,
};
use remit_server::protocol::Entry;
use serde_json::Value;
use std::{fs::File, sync::Arc};
use thiserror::Error;

/// Rows that are held at once.
const ROWS: usize = 200;

/// What are moments in a table, and numbers in JSON.
const MOMENTS: [&str; 2] = ["written_ns", "expires_ns"];

/// Why entries are no table, or a table has none.
#[derive(Debug, Error)]
pub(super) enum TableError {
    #[error("{0}")]
    Parquet(#[from] ParquetError),
    #[error("{0}")]
    Arrow(#[from] ArrowError),
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    #[error("`{column}` is no moment: {error}")]
    Moment { column: &'static str, error: jiff::Error },
    #[error("`{0}` is before 1970")]
    TooEarly(&'static str),
}

/// Writes entries.
pub(super) struct Table {
    rows: Decoder,
    out: ArrowWriter<File>,
}

impl Table {
    pub(super) fn new(file: File) -> Result<Self, TableError> {
        let schema = Arc::new(schema());
        let rows = ReaderBuilder::new(Arc::clone(&schema)).with_strict_mode(true).build_decoder()?;
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
        Ok(Self { rows, out: ArrowWriter::try_new(file, schema, Some(properties))? })
    }

    pub(super) fn put(&mut self, entries: &[Entry]) -> Result<(), TableError> {
        for some in entries.chunks(ROWS) {
            let rows = some.iter().map(row).collect::<Result<Vec<_>, _>>()?;
            self.rows.serialize(&rows)?;
            if let Some(batch) = self.rows.flush()? {
                self.out.write(&batch)?;
            }
        }
        Ok(())
    }

    /// Without it the file is no table.
    pub(super) fn finish(self) -> Result<(), TableError> {
        self.out.close()?;
        Ok(())
    }
}

/// The entries of a table, in its order.
pub(super) fn entries(file: File) -> Result<impl Iterator<Item = Result<Entry, TableError>>, TableError> {
    let batches = ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(ROWS).build()?;
    Ok(batches.flat_map(|batch| match batch.map_err(TableError::from).and_then(|batch| rows_of(&batch)) {
        Ok(rows) => rows.into_iter().map(entry).collect(),
        Err(error) => vec![Err(error)],
    }))
}

fn schema() -> Schema {
    let text = || DataType::Utf8;
    let texts = |name: &str| Field::new(name, DataType::List(Arc::new(Field::new("item", text(), true))), true);
    let moment = || DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    let of = |fields: Vec<Field>| DataType::Struct(Fields::from(fields));
    Schema::new(vec![
        Field::new("id", text(), false),
        Field::new("version", DataType::UInt32, false),
        Field::new("store", text(), false),
        Field::new("source", text(), true),
        Field::new("written_ns", moment(), false),
        Field::new("label", of(vec![Field::new("integrity", text(), false), texts("tags")]), false),
        Field::new(
            "content",
            of(vec![Field::new("text", text(), true), Field::new("hex", DataType::Binary, true)]),
            false,
        ),
        Field::new("media_type", text(), false),
        texts("tags"),
        Field::new("fields", text(), false),
        Field::new("importance", DataType::Float32, false),
        Field::new("expires_ns", moment(), true),
    ])
}

fn row(entry: &Entry) -> Result<Value, TableError> {
    let mut row = serde_json::to_value(entry)?;
    let fields = serde_json::to_string(&entry.particulars.fields)?;
    if let Some(row) = row.as_object_mut() {
        row.insert("fields".to_owned(), Value::String(fields));
    }
    Ok(row)
}

fn rows_of(batch: &RecordBatch) -> Result<Vec<Value>, TableError> {
    let mut json = ArrayWriter::new(Vec::new());
    json.write(batch)?;
    json.finish()?;
    Ok(serde_json::from_slice(&json.into_inner())?)
}

fn entry(mut row: Value) -> Result<Entry, TableError> {
    if let Some(row) = row.as_object_mut() {
        if let Some(Value::String(fields)) = row.get("fields") {
            let fields = serde_json::from_str(fields)?;
            row.insert("fields".to_owned(), fields);
        }
        for column in MOMENTS {
            if let Some(Value::String(text)) = row.get(column) {
                let moment: Timestamp = text.parse().map_err(|error| TableError::Moment { column, error })?;
                let ns = u64::try_from(moment.as_nanosecond()).map_err(|_| TableError::TooEarly(column))?;
                row.insert(column.to_owned(), ns.into());
            }
        }
    }
    Ok(serde_json::from_value(row)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn written(entries: &[Entry]) -> File {
        let file = tempfile::tempfile().unwrap();
        let mut table = Table::new(file.try_clone().unwrap()).unwrap();
        table.put(entries).unwrap();
        table.finish().unwrap();
        file
    }

    fn example(id: u64) -> Entry {
        serde_json::from_value(json!({
            "id": format!("m{id}"),
            "version": 3,
            "store": "team",
            "source": "0.3.1",
            "written_ns": 1_763_900_000_123_456_789_u64 + id,
            "label": { "integrity": "untrusted", "tags": ["home", "medical"] },
            "content": { "text": format!("the {id}th, \"quoted\",\nin two lines — ü") },
            "media_type": "text/plain",
            "tags": ["hall"],
            "fields": { "floor": 2, "height": 2.5, "lit": true, "who": "Ada; DROP TABLE entries" },
            "importance": 0.1,
            "expires_ns": 1_900_000_000_000_000_001_u64,
        }))
        .unwrap()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let bare = json!({
            "id": "m1", "version": 1, "store": "team", "written_ns": 0, "label": { "integrity": "trusted" },
            "content": { "hex": "ff00" }, "media_type": "application/octet-stream",
        });
        let mut all = vec![serde_json::from_value(bare).unwrap()];
        all.extend((2..1_000).map(example));
        let read: Vec<_> = entries(written(&all)).unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(read, all);
        assert_eq!(entries(written(&[])).unwrap().count(), 0);
    }

    #[test]
    fn what_is_no_table_of_entries_is_refused() {
        let file = written(&[example(1)]);
        let length = file.metadata().unwrap().len();
        file.set_len(length - 1).unwrap();
        assert!(matches!(entries(file), Err(TableError::Parquet(_))));

        let file = tempfile::tempfile().unwrap();
        let schema = Arc::new(Schema::new(vec![Field::new("name", DataType::Utf8, false)]));
        let column = arrow_array::StringArray::from(vec!["Ada", "Ben"]);
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(column)]).unwrap();
        let mut out = ArrowWriter::try_new(file.try_clone().unwrap(), schema, None).unwrap();
        out.write(&batch).unwrap();
        out.close().unwrap();
        let read: Vec<_> = entries(file).unwrap().map(|entry| entry.unwrap_err().to_string()).collect();
        assert!(read.len() == 2 && read[0].contains("missing field `id`"), "{read:?}");
    }
}
