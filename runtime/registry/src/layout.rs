//! A folder as a registry: the image layout (image-spec 1.1, "OCI Image Layout Specification"), which other tools read and write too.
//!
//! Files are written beside their place and moved there, the index last: whoever reads meanwhile sees what was, or what is.

use crate::{
    Digest, Error, Which,
    documents::{BUNDLE_TYPE, Descriptor, ENVELOPE_TYPE, Index, REF_NAME, expect_size, read, write},
    limits::MANIFEST_BYTES_MAX,
    transfer::{Content, OnProgress, Partial, Progress},
};
use futures::StreamExt as _;
use remit_egress::{Body, Bytes};
use serde_json::json;
use std::{
    io,
    path::{Path, PathBuf},
};
use tokio::{fs, io::AsyncReadExt as _};

/// image-spec 1.1: the only one.
const VERSION: &str = "1.0.0";

/// The file that says so has some 30 bytes.
const MARK_BYTES_MAX: u64 = 4 << 10;

/// One folder.
pub(crate) struct Layout {
    folder: PathBuf,
}

impl Layout {
    /// A folder that is one.
    pub(crate) async fn open(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("oci-layout");
        let mark: serde_json::Value = read(&read_file(&path, MARK_BYTES_MAX).await?, &path.display().to_string())?;
        if mark["imageLayoutVersion"] != VERSION {
            let reason = format!("it is of another version than {VERSION}");
            return Err(Error::Document { what: path.display().to_string(), reason });
        }
        Ok(Self { folder: folder.to_owned() })
    }

    /// A folder that is one, or becomes one.
    pub(crate) async fn create(folder: &Path) -> Result<Self, Error> {
        let blobs = folder.join("blobs/sha256");
        fs::create_dir_all(&blobs).await.map_err(|error| Error::storing(&blobs, error))?;
        let layout = Self { folder: folder.to_owned() };
        if !fs::try_exists(folder.join("index.json")).await.unwrap_or(false) {
            layout.write_index(&Index::new()).await?;
        }
        replace(&folder.join("oci-layout"), json!({ "imageLayoutVersion": VERSION }).to_string().as_bytes()).await?;
        Self::open(folder).await
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.folder.join("blobs/sha256").join(digest.hex())
    }

    async fn index(&self) -> Result<Index, Error> {
        let path = self.folder.join("index.json");
        read(&read_file(&path, MANIFEST_BYTES_MAX).await?, &path.display().to_string())
    }

    async fn write_index(&self, index: &Index) -> Result<(), Error> {
        replace(&self.folder.join("index.json"), &write(index)?).await
    }

    /// The bytes of a manifest with the type that the index says.
    pub(crate) async fn document(&self, which: &Which) -> Result<Option<(Bytes, String)>, Error> {
        let descriptors: Vec<Descriptor> = self.index().await?.descriptors().collect();
        let wanted = |entry: &&Descriptor| match which {
            Which::Tag(tag) => entry.annotations.get(REF_NAME) == Some(tag),
            Which::Digest(digest) => entry.digest == *digest,
        };
        let Some(entry) = descriptors.iter().find(wanted) else { return Ok(None) };
        expect_size(entry, MANIFEST_BYTES_MAX, &format!("the manifest {which}"))?;
        Ok(Some((self.small_blob(entry).await?, entry.media_type.clone())))
    }

    pub(crate) async fn small_blob(&self, blob: &Descriptor) -> Result<Bytes, Error> {
        let path = self.blob(&blob.digest);
        let bytes = read_file(&path, blob.size).await?;
        let (what, found) = (path.display().to_string(), bytes.len() as u64);
        if found != blob.size {
            return Err(Error::Size { what, found, expected: blob.size });
        }
        let found = Digest::of(&bytes);
        if found != blob.digest {
            return Err(Error::Lie { what, found, expected: blob.digest.clone() });
        }
        Ok(bytes)
    }

    /// Copies a blob out of the folder.
    pub(crate) async fn copy_out(&self, blob: &Descriptor, to: &Path, progress: OnProgress<'_>) -> Result<(), Error> {
        let path = self.blob(&blob.digest);
        let bytes = file_bytes(&path).await?;
        let from = Content::File { path, from: 0, bytes };
        copy(&from, blob, to, progress).await
    }

    /// Copies a blob into the folder.
    pub(crate) async fn copy_in(
        &self,
        blob: &Descriptor,
        from: &Content,
        progress: OnProgress<'_>,
    ) -> Result<(), Error> {
        copy(from, blob, &self.blob(&blob.digest), progress).await
    }

    /// Stores a manifest; a tag is taken from whatever had it.
    pub(crate) async fn put_document(&self, which: &Which, descriptor: &Descriptor, bytes: &[u8]) -> Result<(), Error> {
        let mut entry = descriptor.clone();
        let content = Content::Bytes(Bytes::copy_from_slice(bytes));
        self.copy_in(descriptor, &content, &|_| ()).await?;
        let mut index = self.index().await?;
        index.manifests.retain(|present| match which {
            Which::Tag(tag) => present["annotations"][REF_NAME] != tag.as_str(),
            Which::Digest(digest) => present["digest"] != digest.to_string(),
        });
        if let Which::Tag(tag) = which {
            entry.annotations.insert(REF_NAME.to_owned(), tag.clone());
        }
        index.add(&entry)?;
        self.write_index(&index).await
    }

    /// The envelopes and bundles in the folder, whatever they are about.
    pub(crate) async fn signatures(&self) -> Result<Vec<Descriptor>, Error> {
        let index = self.index().await?;
        let is_one = |entry: &Descriptor| matches!(entry.artifact_type.as_deref(), Some(ENVELOPE_TYPE | BUNDLE_TYPE));
        Ok(index.descriptors().filter(is_one).collect())
    }
}

/// Copies bytes into a file that is whole or not there.
pub(crate) async fn copy(from: &Content, blob: &Descriptor, to: &Path, progress: OnProgress<'_>) -> Result<(), Error> {
    let mut partial = Partial::open(to, blob).await?;
    partial.restart().await?;
    let what = to.display().to_string();
    match from.body().await? {
        Body::Empty => {}
        Body::Bytes(bytes) => partial.write(&bytes, &what).await?,
        Body::Stream { mut pieces, .. } => {
            while let Some(piece) = pieces.next().await {
                partial.write(&piece.map_err(|error| Error::storing(to, error))?, &what).await?;
                progress(Progress { done: partial.bytes(), total: blob.size });
            }
        }
    }
    partial.finish(to, &what).await
}

/// How long a file is. A pipe or a device, which would never end, is none.
pub(crate) async fn file_bytes(path: &Path) -> Result<u64, Error> {
    let metadata = fs::metadata(path).await.map_err(|error| Error::reading(path, error))?;
    if !metadata.is_file() {
        return Err(Error::reading(path, io::Error::other("it is no plain file")));
    }
    Ok(metadata.len())
}

/// A whole file of at most so many bytes.
pub(crate) async fn read_file(path: &Path, most: u64) -> Result<Bytes, Error> {
    let bytes = file_bytes(path).await?;
    if bytes > most {
        return Err(Error::TooLarge { what: path.display().to_string(), bytes, most });
    }
    let read = async {
        let mut all = Vec::new();
        // It may grow meanwhile.
        fs::File::open(path).await?.take(most).read_to_end(&mut all).await?;
        Ok(Bytes::from(all))
    };
    read.await.map_err(|error| Error::reading(path, error))
}

/// Writes a small file, whole or not at all.
pub(crate) async fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let descriptor = Descriptor::of("", bytes);
    copy(&Content::Bytes(Bytes::copy_from_slice(bytes)), &descriptor, path, &|_| ()).await
}
