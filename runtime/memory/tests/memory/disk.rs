//! A disk that takes so many writes and then fails, and that can be mended.

use futures::{StreamExt, stream::BoxStream};
use lance_io::object_store::WrappingObjectStore;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
    list::PaginatedListStore, path::Path,
};
use remit_memory::StoreWrapper;
use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Counts what is written, and fails from a number on.
#[derive(Debug)]
pub(crate) struct Disk {
    writes: AtomicU64,
    fails_from: AtomicU64,
}

impl Disk {
    /// The write with this number fails, and all that follow; they count from 1.
    pub(crate) fn failing_from(number: u64) -> Arc<Self> {
        Arc::new(Self { writes: AtomicU64::new(0), fails_from: AtomicU64::new(number) })
    }

    pub(crate) fn sound() -> Arc<Self> {
        Self::failing_from(u64::MAX)
    }

    pub(crate) fn wrapper(self: &Arc<Self>) -> StoreWrapper {
        StoreWrapper(Some(Arc::new(Wrapper(Arc::clone(self)))))
    }

    /// Takes so many more writes, and no other.
    pub(crate) fn fail_after(&self, more: u64) {
        self.fails_from.store(self.writes.load(Ordering::SeqCst) + more + 1, Ordering::SeqCst);
    }

    pub(crate) fn mend(&self) {
        self.fails_from.store(u64::MAX, Ordering::SeqCst);
    }

    /// Whether a write has failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.writes.load(Ordering::SeqCst) >= self.fails_from.load(Ordering::SeqCst)
    }

    pub(crate) fn writes(&self) -> u64 {
        self.writes.load(Ordering::SeqCst)
    }

    fn write(&self) -> Result<()> {
        let number = self.writes.fetch_add(1, Ordering::SeqCst) + 1;
        if number < self.fails_from.load(Ordering::SeqCst) {
            return Ok(());
        }
        let full = io::Error::new(io::ErrorKind::StorageFull, "no space is left on the device");
        Err(Error::Generic { store: "a disk under test", source: Box::new(full) })
    }
}

#[derive(Debug)]
struct Wrapper(Arc<Disk>);

impl WrappingObjectStore for Wrapper {
    fn wrap(&self, _: &str, original: Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> {
        Arc::new(Store { original, disk: Arc::clone(&self.0) })
    }

    fn wrap_paginated(&self, _: &str, original: Arc<dyn PaginatedListStore>) -> Option<Arc<dyn PaginatedListStore>> {
        Some(original)
    }
}

#[derive(Debug)]
struct Store {
    original: Arc<dyn ObjectStore>,
    disk: Arc<Disk>,
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} under test", self.original)
    }
}

#[async_trait::async_trait]
impl ObjectStore for Store {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.disk.write()?;
        self.original.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.disk.write()?;
        let original = self.original.put_multipart_opts(location, options).await?;
        Ok(Box::new(Upload { original, disk: Arc::clone(&self.disk) }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.original.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let disk = Arc::clone(&self.disk);
        let counted = locations.map(move |location| disk.write().and(location));
        self.original.delete_stream(counted.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.original.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.original.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.disk.write()?;
        self.original.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.disk.write()?;
        self.original.rename_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct Upload {
    original: Box<dyn MultipartUpload>,
    disk: Arc<Disk>,
}

#[async_trait::async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.original.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.disk.write()?;
        self.original.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.original.abort().await
    }
}
