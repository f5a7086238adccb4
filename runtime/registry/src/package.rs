//! A package between a file and where packages are kept.

use crate::{
    Client, Digest, Error, Location, OnProgress, Reference, Which,
    documents::{
        BUNDLE_TYPE, CONFIG_TYPE, Component, Config, Descriptor, EMPTY, EMPTY_TYPE, ENVELOPE_TYPE, LAYER_TYPE,
        MANIFEST_TYPE, Manifest, expect_size, expect_type, read, shown, write,
    },
    layout::{Layout, copy, file_bytes, read_file, replace},
    limits::{CONFIG_BYTES_MAX, ENVELOPE_BYTES_MAX, ENVELOPES_MAX, PACKAGE_BYTES_MAX},
    store::Store,
    transfer::{Content, digest_file},
};
use remit_egress::Bytes;
use serde::de::IgnoredAny;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// What files beside a package are called after it.
const ENVELOPES_SUFFIX: &str = ".intoto.jsonl";
const BUNDLES_SUFFIX: &str = ".sigstore.json";

/// What a registry is told of a package besides its bytes. It is for people and for other tools: nothing here believes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// Who made it.
    pub author: Option<String>,
    /// Interfaces that the component imports, such as `remit:kernel/llm@0.1.0`.
    pub imports: Vec<String>,
    /// Interfaces that it exports.
    pub exports: Vec<String>,
    /// The world that it was made for.
    pub target: Option<String>,
    /// Annotations of the manifest (image-spec 1.1, "Annotations").
    pub annotations: BTreeMap<String, String>,
}

/// What is pushed.
#[derive(Clone, Copy, Debug)]
pub struct Parcel<'a> {
    /// The package, as a file.
    pub package: &'a Path,
    /// About it.
    pub description: &'a Description,
    /// DSSE envelopes as JSON.
    pub envelopes: &'a [Vec<u8>],
    /// Bundles of Sigstore as JSON.
    pub bundles: &'a [Vec<u8>],
}

/// What was pushed. The same parcel has the same digests everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// Of the manifest; `None` for a file, which has none.
    pub manifest: Option<Digest>,
    /// Of the package itself: what signatures are about.
    pub package: Digest,
}

/// What was pulled: the bytes are those that the manifest promised, and nothing else is known of them yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// Of the manifest: what a tag led to this time, to be kept in a lockfile. `None` for a file, which has none.
    pub manifest: Option<Digest>,
    /// Of the package itself.
    pub package: Digest,
    /// Its length.
    pub bytes: u64,
    /// DSSE envelopes as JSON, unverified, as they were pushed.
    pub envelopes: Vec<Vec<u8>>,
    /// Bundles of Sigstore as JSON, unverified, as somebody pushed them.
    pub bundles: Vec<Vec<u8>>,
}

/// What refers to a package, by its kind.
#[derive(Default)]
struct Signatures {
    envelopes: Vec<Vec<u8>>,
    bundles: Vec<Vec<u8>>,
}

impl Client {
    /// Pushes a package, its envelopes and its bundles.
    ///
    /// # Errors
    /// [`Error`], the first that is met. What was stored until then stays, and is found again by the next try.
    pub async fn push(&self, to: &Location, parcel: &Parcel<'_>, progress: OnProgress<'_>) -> Result<Pushed, Error> {
        file_bytes(parcel.package).await?;
        let (package, bytes) = digest_file(parcel.package, PACKAGE_BYTES_MAX).await?;
        check_signatures(parcel.envelopes, parcel.bundles)?;
        let layer = Descriptor::new(LAYER_TYPE, package.clone(), bytes);
        let content = Content::File { path: parcel.package.to_owned(), from: 0, bytes };
        let (store, which) = match to {
            Location::File(path) => {
                copy(&content, &layer, path, progress).await?;
                replace(&beside(path, ENVELOPES_SUFFIX), &lines(parcel.envelopes)?).await?;
                let bundles = beside(path, BUNDLES_SUFFIX);
                // Others read that file too, and one without a bundle is none.
                if !parcel.bundles.is_empty() || tokio::fs::try_exists(&bundles).await.unwrap_or(false) {
                    replace(&bundles, &lines(parcel.bundles)?).await?;
                }
                return Ok(Pushed { manifest: None, package });
            }
            Location::Folder { path, which } => (Store::Folder(Layout::create(path).await?), which),
            Location::Registry(reference) => (Store::Remote(Box::new(self.remote(reference))), reference.which()),
        };
        let config = write(&config(&package, parcel.description))?;
        let mut manifest = Manifest::new(Descriptor::of(CONFIG_TYPE, &config), layer.clone());
        manifest.annotations.clone_from(&parcel.description.annotations);
        let manifest = write(&manifest)?;
        let subject = Descriptor::of(MANIFEST_TYPE, &manifest);
        if let Which::Digest(expected) = which
            && *expected != subject.digest
        {
            let (found, expected) = (subject.digest, expected.clone());
            return Err(Error::Lie { what: "the manifest of this package".to_owned(), found, expected });
        }
        store.put(&layer, &content, progress).await?;
        put_bytes(&store, CONFIG_TYPE, &config).await?;
        store.put_manifest(which, &subject, &manifest).await?;
        for (kind, signatures) in [(ENVELOPE_TYPE, parcel.envelopes), (BUNDLE_TYPE, parcel.bundles)] {
            for signature in signatures {
                put_signature(&store, &subject, kind, signature).await?;
            }
        }
        Ok(Pushed { manifest: Some(subject.digest), package })
    }

    /// Pulls a package into a file, and its envelopes and bundles into memory. What was pulled in part before is gone on with.
    ///
    /// # Errors
    /// [`Error`], the first that is met. The file is there only if all of its bytes are right.
    pub async fn pull(&self, from: &Location, to: &Path, progress: OnProgress<'_>) -> Result<Pulled, Error> {
        let (store, which) = match from {
            Location::File(path) => return pull_file(path, to, progress).await,
            Location::Folder { path, which } => (Store::Folder(Layout::open(path).await?), which),
            Location::Registry(reference) => (Store::Remote(Box::new(self.remote(reference))), reference.which()),
        };
        let (digest, manifest) = manifest(&store, which).await?;
        expect_type(&manifest.config, CONFIG_TYPE, &format!("the config of {which}"))?;
        expect_size(&manifest.config, CONFIG_BYTES_MAX, &format!("the config of {which}"))?;
        let layer = manifest.layer(which, LAYER_TYPE)?;
        expect_size(layer, PACKAGE_BYTES_MAX, &format!("the package {which}"))?;
        let config: Config = read(&store.small_blob(&manifest.config).await?, &format!("the config of {which}"))?;
        if config.layer_digests != [layer.digest.clone()] || config.architecture != "wasm" {
            return Err(Error::Config(which.to_string()));
        }
        // What is small comes first: where it fails, nothing large was moved for it.
        let Signatures { envelopes, bundles } = signatures(&store, &digest).await?;
        store.get(layer, to, progress).await?;
        Ok(Pulled { manifest: Some(digest), package: layer.digest.clone(), bytes: layer.size, envelopes, bundles })
    }

    /// What a tag leads to at the moment.
    ///
    /// # Errors
    /// [`Error`], the first that is met.
    pub async fn resolve(&self, reference: &Reference) -> Result<Digest, Error> {
        let store = Store::Remote(Box::new(self.remote(reference)));
        Ok(manifest(&store, reference.which()).await?.0)
    }

    /// All tags of a repository, as its registry orders them.
    ///
    /// # Errors
    /// [`Error`], the first that is met.
    pub async fn tags(&self, repository: &Reference) -> Result<Vec<String>, Error> {
        self.remote(repository).tags().await
    }
}

/// A manifest with its digest.
async fn manifest(store: &Store, which: &Which) -> Result<(Digest, Manifest), Error> {
    let missing = || Error::Missing { what: format!("manifest {which}"), place: store.place() };
    let (bytes, kind) = store.document(which).await?.ok_or_else(missing)?;
    // What its keeper calls it, before what it calls itself: an index would otherwise be read as a manifest that lacks everything.
    if kind != MANIFEST_TYPE {
        return Err(Error::MediaType {
            what: format!("the manifest {which}"),
            found: shown(&kind),
            expected: MANIFEST_TYPE,
        });
    }
    Ok((Digest::of(&bytes), Manifest::read(&bytes, which)?))
}

fn config(package: &Digest, description: &Description) -> Config {
    let Description { author, imports, exports, target, .. } = description.clone();
    Config {
        // No time: the same package has the same manifest.
        created: None,
        author,
        architecture: "wasm".to_owned(),
        os: "wasip2".to_owned(),
        layer_digests: vec![package.clone()],
        component: Some(Component { exports, imports, target }),
    }
}

async fn put_bytes(store: &Store, kind: &str, bytes: &[u8]) -> Result<Descriptor, Error> {
    let descriptor = Descriptor::of(kind, bytes);
    store.put(&descriptor, &Content::Bytes(Bytes::copy_from_slice(bytes)), &|_| ()).await?;
    Ok(descriptor)
}

/// Stores an envelope or a bundle as what refers to a manifest.
async fn put_signature(store: &Store, subject: &Descriptor, kind: &str, signature: &[u8]) -> Result<(), Error> {
    let config = put_bytes(store, EMPTY_TYPE, EMPTY).await?;
    let layer = put_bytes(store, kind, signature).await?;
    let mut manifest = Manifest::new(config, layer);
    manifest.artifact_type = Some(kind.to_owned());
    manifest.subject = Some(subject.clone());
    let bytes = write(&manifest)?;
    let mut descriptor = Descriptor::of(MANIFEST_TYPE, &bytes);
    descriptor.artifact_type.clone_from(&manifest.artifact_type);
    store.put_referrer(&subject.digest, &descriptor, &bytes).await
}

/// The envelopes and bundles that refer to a manifest.
async fn signatures(store: &Store, subject: &Digest) -> Result<Signatures, Error> {
    let mut found = Signatures::default();
    for entry in store.referrers(subject).await? {
        let (kind, of_kind) = match entry.artifact_type.as_deref() {
            Some(ENVELOPE_TYPE) => (ENVELOPE_TYPE, &mut found.envelopes),
            Some(BUNDLE_TYPE) => (BUNDLE_TYPE, &mut found.bundles),
            _ => continue,
        };
        if of_kind.len() == ENVELOPES_MAX {
            return Err(Error::Endless { what: "the list of signatures".to_owned(), most: ENVELOPES_MAX });
        }
        let which = Which::Digest(entry.digest);
        let (_, manifest) = manifest(store, &which).await?;
        // About something else, whatever the list says.
        if manifest.subject.as_ref().is_none_or(|about| about.digest != *subject) {
            continue;
        }
        let layer = manifest.layer(&which, kind)?;
        expect_size(layer, ENVELOPE_BYTES_MAX, "a signature")?;
        of_kind.push(store.small_blob(layer).await?.to_vec());
    }
    Ok(found)
}

async fn pull_file(from: &Path, to: &Path, progress: OnProgress<'_>) -> Result<Pulled, Error> {
    file_bytes(from).await?;
    let (package, bytes) = digest_file(from, PACKAGE_BYTES_MAX).await?;
    let content = Content::File { path: from.to_owned(), from: 0, bytes };
    copy(&content, &Descriptor::new(LAYER_TYPE, package.clone(), bytes), to, progress).await?;
    let envelopes = read_lines(&beside(from, ENVELOPES_SUFFIX)).await?;
    let bundles = read_lines(&beside(from, BUNDLES_SUFFIX)).await?;
    // A signing program may write its one bundle in several lines.
    let bundles = match bundles.concat() {
        one if bundles.len() > 1 && serde_json::from_slice::<IgnoredAny>(&one).is_ok() => vec![one],
        _ => bundles,
    };
    check_signatures(&envelopes, &bundles)?;
    Ok(Pulled { manifest: None, package, bytes, envelopes, bundles })
}

/// The lines of a file that need not be there.
async fn read_lines(path: &Path) -> Result<Vec<Vec<u8>>, Error> {
    let most = ENVELOPE_BYTES_MAX * ENVELOPES_MAX as u64;
    let lines = match tokio::fs::try_exists(path).await {
        Ok(false) => Bytes::new(),
        _ => read_file(path, most).await?,
    };
    Ok(lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect())
}

/// `clerk.wasm.intoto.jsonl`, `clerk.wasm.sigstore.json`
fn beside(package: &Path, suffix: &str) -> PathBuf {
    let mut name = package.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn check_signatures(envelopes: &[Vec<u8>], bundles: &[Vec<u8>]) -> Result<(), Error> {
    if envelopes.len().max(bundles.len()) > ENVELOPES_MAX {
        return Err(Error::Endless { what: "the list of signatures".to_owned(), most: ENVELOPES_MAX });
    }
    match envelopes
        .iter()
        .chain(bundles)
        .map(|envelope| envelope.len() as u64)
        .find(|bytes| *bytes > ENVELOPE_BYTES_MAX)
    {
        Some(bytes) => Err(Error::TooLarge { what: "a signature".to_owned(), bytes, most: ENVELOPE_BYTES_MAX }),
        None => Ok(()),
    }
}

/// One envelope or bundle a line. White space between its parts is not part of what is signed.
fn lines(envelopes: &[Vec<u8>]) -> Result<Vec<u8>, Error> {
    let mut lines = Vec::new();
    for envelope in envelopes {
        if envelope.contains(&b'\n') {
            let value: serde_json::Value = read(envelope, "a signature")?;
            lines.extend(write(&value)?);
        } else {
            lines.extend_from_slice(envelope);
        }
        lines.push(b'\n');
    }
    Ok(lines)
}
