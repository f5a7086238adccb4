//! Where a tenant's tables are: a LanceDB database of its own.
//!
//! LanceDB opens, makes, lists and drops tables; its handles hold data sets of Lance, and from there on those are used ([`super::tables`]).
//! The parameters that it hands on to Lance bring in what every table of ours has: a session whose caches are bounded, and commits that a
//! loss of power does not undo.

use crate::{
    durable::{CommitPoints, DurableCommits, StoreWrapper},
    error::Fault,
    rows::{Table, schema},
};
use arrow_array::RecordBatch;
use lance::{
    Dataset,
    dataset::{ReadParams, WriteParams},
    session::Session,
};
use lance_io::object_store::ObjectStoreParams;
use lancedb::{Connection, table::WriteOptions};
use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// How files are named that are still being written: Lance's own, and manifests that have no name yet. One that a start finds was cut off.
const UNFINISHED: [&str; 2] = [".tmp", ".manifest-"];

/// Where a tenant's tables are, and how they are used.
pub(crate) struct Site {
    pub(crate) folder: PathBuf,
    pub(crate) width: usize,
    pub(crate) session: Arc<Session>,
    pub(crate) points: CommitPoints,
    pub(crate) wrapper: StoreWrapper,
}

impl Site {
    /// Whether there are tables. `entries` is made last: a folder in which it has no state yet has none. One that has data and no state is
    /// damaged, and not to be made anew.
    pub(crate) fn has_tables(&self) -> bool {
        let entries = self.folder.join(Table::Entries.folder());
        let has_finished = |folder: &str| {
            let names = fs::read_dir(entries.join(folder)).into_iter().flatten().flatten();
            names.map(|entry| entry.file_name()).any(|name| !is_unfinished(&name.to_string_lossy()))
        };
        has_finished("_versions") || has_finished("data")
    }

    /// Makes the folder, where it is not.
    async fn connect(&self) -> Result<Connection, Fault> {
        let folder = self.folder.to_string_lossy();
        // Lance writes files of a local disk itself, past any object store, unless it is told to use one.
        let uri = if self.wrapper.0.is_some() { format!("file-object-store://{folder}") } else { folder.into_owned() };
        let connection = lancedb::connect(&uri)
            .session(Arc::clone(&self.session))
            // No table of tables: a folder says what it has.
            .namespace_client_property("manifest_enabled", "false");
        Ok(connection.execute().await?)
    }

    fn commits(&self) -> Arc<DurableCommits> {
        Arc::new(DurableCommits::new(self.points.clone()))
    }

    fn object_store(&self) -> Option<ObjectStoreParams> {
        let wrapper = self.wrapper.0.clone()?;
        Some(ObjectStoreParams { object_store_wrapper: Some(wrapper), ..ObjectStoreParams::default() })
    }

    /// Opens a table as it is now.
    pub(crate) async fn open(&self, table: Table) -> Result<Dataset, Fault> {
        remove_unfinished(&self.folder.join(table.folder()))?;
        let params = ReadParams {
            commit_handler: Some(self.commits()),
            store_options: self.object_store(),
            ..ReadParams::default()
        };
        let connection = self.connect().await?;
        dataset(&connection.open_table(table.name()).lance_read_params(params).execute().await?).await
    }

    /// Makes an empty table, whose first commit says `properties`.
    pub(crate) async fn create(&self, table: Table, properties: HashMap<String, String>) -> Result<Dataset, Fault> {
        let params = WriteParams {
            commit_handler: Some(self.commits()),
            store_params: self.object_store(),
            transaction_properties: Some(Arc::new(properties)),
            ..WriteParams::default()
        };
        let nothing = RecordBatch::new_empty(schema(table, self.width));
        let options = WriteOptions { lance_write_params: Some(params) };
        let connection = self.connect().await?;
        dataset(&connection.create_table(table.name(), nothing).write_options(options).execute().await?).await
    }

    /// Drops what a start that was cut off has left: it has no row.
    pub(crate) async fn drop_leftovers(&self) -> Result<(), Fault> {
        fs::create_dir_all(&self.folder)?;
        let connection = self.connect().await?;
        for name in connection.table_names().execute().await? {
            connection.drop_table(&name, &[]).await?;
        }
        Ok(())
    }

    /// Makes sure that a loss of power does not take away the folder's name.
    pub(crate) fn sync_names(&self) -> io::Result<()> {
        self.folder.ancestors().take(3).try_for_each(|folder| File::open(folder)?.sync_all())
    }
}

async fn dataset(table: &lancedb::Table) -> Result<Dataset, Fault> {
    let Some(native) = table.dataset() else {
        return Err(Fault::Content("its table is not one of files".into()));
    };
    Ok(Dataset::clone(&*native.get().await?))
}

/// Removes what a host that died was writing. No state of a table has it.
fn remove_unfinished(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_unfinished(&entry.path())?;
            continue;
        }
        if is_unfinished(&entry.file_name().to_string_lossy()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn is_unfinished(name: &str) -> bool {
    UNFINISHED.iter().any(|part| name.contains(part))
}
