//! What a registry and a folder have in common.

use crate::{
    Digest, Error, Which,
    client::Remote,
    documents::{Descriptor, MANIFEST_TYPE},
    download::MANIFEST_KINDS,
    layout::Layout,
    transfer::{Content, OnProgress},
};
use remit_egress::Bytes;
use std::path::Path;

/// Where artifacts are kept.
pub(crate) enum Store {
    Remote(Box<Remote>),
    Folder(Layout),
}

impl Store {
    /// The bytes of a manifest with the type that its keeper says.
    pub(crate) async fn document(&self, which: &Which) -> Result<Option<(Bytes, String)>, Error> {
        match self {
            Self::Remote(remote) => remote.document(which, MANIFEST_KINDS).await,
            Self::Folder(layout) => layout.document(which).await,
        }
    }

    pub(crate) async fn small_blob(&self, blob: &Descriptor) -> Result<Bytes, Error> {
        match self {
            Self::Remote(remote) => remote.small_blob(blob).await,
            Self::Folder(layout) => layout.small_blob(blob).await,
        }
    }

    pub(crate) async fn get(&self, blob: &Descriptor, to: &Path, progress: OnProgress<'_>) -> Result<(), Error> {
        match self {
            Self::Remote(remote) => remote.download(blob, to, progress).await,
            Self::Folder(layout) => layout.copy_out(blob, to, progress).await,
        }
    }

    pub(crate) async fn put(
        &self,
        blob: &Descriptor,
        content: &Content,
        progress: OnProgress<'_>,
    ) -> Result<(), Error> {
        match self {
            Self::Remote(remote) => remote.upload(blob, content, progress).await,
            Self::Folder(layout) => layout.copy_in(blob, content, progress).await,
        }
    }

    pub(crate) async fn put_manifest(&self, which: &Which, descriptor: &Descriptor, bytes: &[u8]) -> Result<(), Error> {
        match self {
            Self::Remote(remote) => remote.put_document(which, MANIFEST_TYPE, bytes).await.map(drop),
            Self::Folder(layout) => layout.put_document(which, descriptor, bytes).await,
        }
    }

    /// Stores a manifest that refers to another one, so that it is found from there.
    pub(crate) async fn put_referrer(
        &self,
        subject: &Digest,
        descriptor: &Descriptor,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let which = Which::Digest(descriptor.digest.clone());
        match self {
            Self::Remote(remote) => {
                if !remote.put_document(&which, MANIFEST_TYPE, bytes).await? {
                    remote.add_fallback(subject, descriptor).await?;
                }
                Ok(())
            }
            Self::Folder(layout) => layout.put_document(&which, descriptor, bytes).await,
        }
    }

    /// What may refer to a manifest.
    pub(crate) async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
        match self {
            Self::Remote(remote) => remote.referrers(subject).await,
            Self::Folder(layout) => layout.signatures().await,
        }
    }

    /// For people.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Remote(remote) => format!("{}/{}", remote.registry, remote.repository),
            Self::Folder(_) => "the folder".to_owned(),
        }
    }
}
