//! The indexes of `entries`: made, kept up with new rows, and made anew where rows are not to be found in them any more.
//!
//! | index | from when on | without it |
//! | --- | --- | --- |
//! | `id`, `store` | so many rows (`Options`) | columns are read |
//! | `text` | the table is there: it has no row at first | words would be compared letter by letter, without stems or small letters |
//! | `vector` | so many vectors that comparing with each is slow | each is compared, exactly |
//!
//! Rows that an index does not have yet are looked at one by one.

use crate::{error::Fault, maintain::Due, rows::Table, tables::Tables};
use lance::{
    Dataset,
    index::{DatasetIndexExt, vector::VectorIndexParams},
};
use lance_index::{
    IndexParams, IndexType,
    optimize::OptimizeOptions,
    scalar::{BuiltinIndexType, InvertedIndexParams, ScalarIndexParams},
    vector::{ivf::IvfBuildParams, sq::builder::SQBuildParams},
};
use lance_linalg::distance::MetricType;
use lance_table::format::IndexMetadata;
use std::sync::Arc;

/// An index that `entries` has.
struct Index {
    column: &'static str,
    name: &'static str,
    kind: IndexType,
    rows_min: usize,
}

const INDEXES: [Index; 4] = [
    Index { column: "id", name: "id", kind: IndexType::BTree, rows_min: 1 },
    Index { column: "store", name: "store", kind: IndexType::Bitmap, rows_min: 1 },
    Index { column: "text", name: "text", kind: IndexType::Inverted, rows_min: 1 },
    Index { column: "vector", name: "vector", kind: IndexType::IvfSq, rows_min: 0 },
];

impl Index {
    /// The parameters for so many values. Partitions of vectors: the square root of their number, as usual; vectors as bytes (a scalar
    /// quantiser), since that trains at once, and its candidates are compared exactly anyway.
    fn parameters(&self, values: usize) -> Box<dyn IndexParams> {
        match self.kind {
            IndexType::Inverted => Box::new(InvertedIndexParams::default()),
            IndexType::Bitmap => Box::new(ScalarIndexParams::for_builtin(BuiltinIndexType::Bitmap)),
            IndexType::BTree => Box::new(ScalarIndexParams::for_builtin(BuiltinIndexType::BTree)),
            _ => {
                let partitions = IvfBuildParams { max_iters: 20, ..IvfBuildParams::new(values.isqrt().max(1)) };
                let quantiser = SQBuildParams::default();
                Box::new(VectorIndexParams::with_ivf_sq_params(MetricType::Cosine, partitions, quantiser))
            }
        }
    }
}

/// Makes indexes that are missing, brings so many rows into them that they do not have, and merges so many deltas.
pub(crate) async fn keep(tables: &mut Tables, due: Due, vector_rows_min: usize) -> Result<(), Fault> {
    let rows = tables.entries.count_rows(None).await?;
    for index in &INDEXES {
        let rows_min = if index.column == "vector" { vector_rows_min } else { index.rows_min };
        let (deltas, unindexed) = coverage(&tables.entries, index.name).await?;
        if deltas.is_empty() && unindexed.min(rows) >= rows_min.max(due.unindexed_rows) {
            let values = values(tables, index).await?;
            if values >= rows_min {
                build(tables, index, values).await?;
            }
        } else if !deltas.is_empty() && (unindexed >= due.unindexed_rows || deltas.len() >= due.deltas) {
            let options = OptimizeOptions::merge(merged(&deltas, due.deltas)).index_names(vec![index.name.to_owned()]);
            let mut dataset = Dataset::clone(&tables.entries);
            dataset.optimize_indices(&options.transaction_properties(tables.properties(Table::Entries))).await?;
            tables.entries = Arc::new(dataset);
        }
    }
    Ok(())
}

/// How many of the newest deltas, which have so many rows, are merged with what is new: until there are fewer than `due`, and further where
/// one has no more rows than all newer ones. So a row is merged a few times, however many there are.
fn merged(deltas: &[usize], due: usize) -> usize {
    if deltas.len() < due {
        return 0;
    }
    let (mut count, mut rows) = (0, 0);
    for delta in deltas.iter().rev() {
        let left = deltas.len() - count + 1;
        if left < due && *delta > rows {
            break;
        }
        count += 1;
        rows += delta;
    }
    count
}

/// How many rows have something for an index. Vectors are those that can be many fewer, and somebody made each.
async fn values(tables: &Tables, index: &Index) -> Result<usize, Fault> {
    let made = (index.column == "vector").then(|| "embedded_by IS NOT NULL".to_owned());
    Ok(tables.entries.count_rows(made).await?)
}

async fn build(tables: &mut Tables, index: &Index, values: usize) -> Result<(), Fault> {
    let parameters = index.parameters(values);
    let mut dataset = Dataset::clone(&tables.entries);
    let columns = [index.column];
    let builder = dataset.create_index_builder(&columns, index.kind, &*parameters);
    let builder = builder.name(index.name.to_owned()).replace(true);
    builder.transaction_properties(tables.properties(Table::Entries)).await?;
    tables.entries = Arc::new(dataset);
    Ok(())
}

/// How many rows each delta of an index covers, the oldest first, where it covers any; and how many rows are in none of them.
pub(crate) async fn coverage(entries: &Dataset, name: &str) -> Result<(Vec<usize>, usize), Fault> {
    let mut deltas = entries.load_indices_by_name(name).await?;
    deltas.retain(|delta| delta.fragment_bitmap.as_ref().is_some_and(|covered| !covered.is_empty()));
    let (mut rows, mut unindexed) = (vec![0; deltas.len()], 0);
    for fragment in entries.fragments().iter() {
        let covers = |delta: &IndexMetadata| {
            let covered = delta.fragment_bitmap.as_ref().zip(u32::try_from(fragment.id).ok());
            covered.is_some_and(|(covered, fragment)| covered.contains(fragment))
        };
        let place = deltas.iter().position(covers).and_then(|place| rows.get_mut(place));
        *place.unwrap_or(&mut unindexed) += fragment.num_rows().unwrap_or_default();
    }
    Ok((rows, unindexed))
}

/// Makes the index of words where there is none, so that words of rows that it does not have are at least cut as it would cut them.
pub(crate) async fn begin(tables: &mut Tables) -> Result<(), Fault> {
    for index in INDEXES.iter().filter(|index| index.kind == IndexType::Inverted) {
        if tables.entries.load_indices_by_name(index.name).await?.is_empty() {
            let values = values(tables, index).await?;
            build(tables, index, values).await?;
        }
    }
    Ok(())
}

/// Makes indexes that copy what is in rows anew: they keep words that no text has any more.
pub(crate) async fn forget(tables: &mut Tables) -> Result<(), Fault> {
    for index in &INDEXES {
        // Also where it covers no row any more: its files are still those of the newest state.
        if tables.entries.load_indices_by_name(index.name).await?.is_empty() {
            continue;
        }
        let values = values(tables, index).await?;
        match index.kind {
            IndexType::Inverted => build(tables, index, values).await?,
            IndexType::IvfSq if values > 0 => build(tables, index, values).await?,
            _ if values == 0 => drop_index(tables, index).await?,
            _ => {}
        }
    }
    Ok(())
}

async fn drop_index(tables: &mut Tables, index: &Index) -> Result<(), Fault> {
    let mut dataset = Dataset::clone(&tables.entries);
    dataset.drop_index(index.name).await?;
    tables.entries = Arc::new(dataset);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deltas_are_merged_with_such_as_are_no_larger() {
        let check = |deltas: &[usize], due, expect| assert_eq!(merged(deltas, due), expect, "{deltas:?}, {due}");
        check(&[4, 4, 4], 8, 0);
        check(&[4; 8], 8, 8);
        check(&[32, 4, 4, 4, 4, 4, 4, 4], 8, 7);
        check(&[28, 4, 4, 4, 4, 4, 4, 4], 8, 8);
        // Each is larger than all that are newer.
        check(&[128, 64, 32, 16, 8, 4, 2, 1], 8, 2);
        check(&[128, 1], 2, 2);
        check(&[128], 2, 0);
    }
}
