//! What a tenant's memory comes to.

use crate::{
    error::Fault,
    indexes::coverage,
    maintain::without_vector,
    memtable::View,
    tables::Tables,
    tenant::{Look, Tenant},
};
use remit_kernel::ports::{MemoryFigures, StoreError};
use std::{fs, io, path::Path};

/// Counts; what is pending counts as if it were applied.
pub(crate) async fn figures(tenant: &Tenant) -> Result<MemoryFigures, StoreError> {
    let Look { tables, view } = tenant.look().await?;
    let mut figures = MemoryFigures { pending: tenant.pending() as u64, ..MemoryFigures::default() };
    let digest = tenant.shared.embedder.as_ref().map(|embedder| embedder.digest());
    let waiting = view.rows.iter().filter(|row| digest.is_some() && row.unembedded().is_some());
    figures.entries = view.rows.len() as u64;
    figures.versions = view.rows.len() as u64;
    figures.without_vector = waiting.count() as u64;
    if let Some(tables) = tables {
        let counted = count(&mut figures, &tables, &view, digest.as_deref()).await;
        counted.map_err(|fault| fault.of(tenant.id))?;
    }
    let folder = tenant.folder.clone();
    let bytes = tokio::task::spawn_blocking(move || bytes(&folder)).await;
    let bytes = bytes.map_err(|error| Fault::panicked(tenant.id, &error))?;
    figures.disk_bytes = bytes.map_err(|error| Fault::from(error).of(tenant.id))?;
    Ok(figures)
}

async fn count(figures: &mut MemoryFigures, tables: &Tables, view: &View, digest: Option<&str>) -> Result<(), Fault> {
    let hidden: Vec<_> = view.hidden.iter().copied().collect();
    let replaced = tables.known(&hidden).await?.len() as u64;
    let entries = tables.stores.values().sum::<u64>();
    figures.entries += entries.saturating_sub(replaced);
    figures.versions += entries + tables.versions.count_rows(None).await? as u64;
    if let Some(digest) = digest {
        figures.without_vector += without_vector(tables, digest, usize::MAX).await?.len() as u64;
    }
    figures.unindexed = coverage(&tables.entries, "vector").await?.1 as u64;
    Ok(())
}

fn bytes(folder: &Path) -> io::Result<u64> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let mut sum = 0;
    for entry in entries {
        let entry = entry?;
        // Files that go meanwhile take no place any more.
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => sum += bytes(&entry.path())?,
            Ok(metadata) => sum += metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sum)
}
