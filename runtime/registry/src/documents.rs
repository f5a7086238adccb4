//! What stands in a registry: image-spec 1.1, and the WebAssembly artifact of the CNCF's working group (`wasm-oci`, version 0).
//!
//! Only what is written or looked at here. Fields that others add are kept out of what is judged, and never written back but in an
//! index that others share.

use crate::{Digest, Error, Which};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub(crate) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const CONFIG_TYPE: &str = "application/vnd.wasm.config.v0+json";
pub(crate) const LAYER_TYPE: &str = "application/wasm";
/// image-spec 1.1, "Guidance for an Empty Descriptor".
pub(crate) const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
pub(crate) const EMPTY: &[u8] = b"{}";
/// A DSSE envelope, under the name that other signers of artifacts gave it.
pub const ENVELOPE_TYPE: &str = "application/vnd.dsse.envelope.v1+json";
/// A bundle of Sigstore, under the name that its own programs give it.
pub const BUNDLE_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// The tag of a manifest in the index of a folder (image-spec 1.1, "Pre-Defined Annotation Keys").
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Points at bytes (image-spec 1.1, "OCI Content Descriptors").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) artifact_type: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

impl Descriptor {
    pub(crate) fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self::new(media_type, Digest::of(bytes), bytes.len() as u64)
    }

    pub(crate) fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self { media_type: media_type.to_owned(), digest, size, artifact_type: None, annotations: BTreeMap::new() }
    }
}

/// One artifact (image-spec 1.1, "OCI Image Manifest").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u32,
    pub(crate) media_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) artifact_type: Option<String>,
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

impl Manifest {
    pub(crate) fn new(config: Descriptor, layer: Descriptor) -> Self {
        Self {
            schema_version: 2,
            media_type: MANIFEST_TYPE.to_owned(),
            artifact_type: None,
            config,
            layers: vec![layer],
            subject: None,
            annotations: BTreeMap::new(),
        }
    }

    pub(crate) fn read(bytes: &[u8], what: &Which) -> Result<Self, Error> {
        let manifest: Self = read(bytes, &format!("the manifest {what}"))?;
        if manifest.schema_version != 2 {
            let reason = format!("its schemaVersion is {}, and 2 is known", manifest.schema_version);
            return Err(Error::Document { what: format!("the manifest {what}"), reason });
        }
        if manifest.media_type != MANIFEST_TYPE {
            return Err(Error::MediaType {
                what: format!("the manifest {what}"),
                found: shown(&manifest.media_type),
                expected: MANIFEST_TYPE,
            });
        }
        Ok(manifest)
    }

    /// The one layer.
    pub(crate) fn layer(&self, what: &Which, expected: &'static str) -> Result<&Descriptor, Error> {
        let [layer] = self.layers.as_slice() else {
            return Err(Error::Layers { what: what.to_string(), count: self.layers.len() });
        };
        expect_type(layer, expected, &format!("the layer of {what}"))?;
        Ok(layer)
    }
}

/// Several manifests (image-spec 1.1, "OCI Image Index"). What others wrote into it stays in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    pub(crate) schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
    pub(crate) manifests: Vec<serde_json::Value>,
    #[serde(flatten)]
    others: serde_json::Map<String, serde_json::Value>,
}

impl Index {
    pub(crate) fn new() -> Self {
        let others = serde_json::Map::new();
        Self { schema_version: 2, media_type: Some(INDEX_TYPE.to_owned()), manifests: Vec::new(), others }
    }

    /// Those entries that can be read as descriptors; others are nobody's that is looked for here.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = Descriptor> + '_ {
        self.manifests.iter().filter_map(|entry| serde_json::from_value(entry.clone()).ok())
    }

    pub(crate) fn add(&mut self, descriptor: &Descriptor) -> Result<(), Error> {
        self.manifests.push(serde_json::to_value(descriptor).map_err(Error::writing)?);
        Ok(())
    }
}

/// What a host can know of a component without its bytes (`wasm-oci`, "Wasm Config").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Config {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) author: Option<String>,
    pub(crate) architecture: String,
    pub(crate) os: String,
    pub(crate) layer_digests: Vec<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) component: Option<Component>,
}

/// A component's world, by names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Component {
    #[serde(default)]
    pub(crate) exports: Vec<String>,
    #[serde(default)]
    pub(crate) imports: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<String>,
}

/// A document, or what is wrong with it.
pub(crate) fn read<T: for<'de> Deserialize<'de>>(bytes: &[u8], what: &str) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| Error::Document { what: what.to_owned(), reason: error.to_string() })
}

/// The bytes of a document. The same document has the same bytes.
pub(crate) fn write<T: Serialize>(document: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(document).map_err(Error::writing)
}

pub(crate) fn expect_type(descriptor: &Descriptor, expected: &'static str, what: &str) -> Result<(), Error> {
    if descriptor.media_type == expected {
        return Ok(());
    }
    Err(Error::MediaType { what: what.to_owned(), found: shown(&descriptor.media_type), expected })
}

pub(crate) fn expect_size(descriptor: &Descriptor, most: u64, what: &str) -> Result<(), Error> {
    if descriptor.size <= most {
        return Ok(());
    }
    Err(Error::TooLarge { what: what.to_owned(), bytes: descriptor.size, most })
}

/// The beginning of a text that somebody else wrote, without what would move a terminal's cursor.
pub(crate) fn shown(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 200;
    text.chars().filter(|character| !character.is_control()).take(SHOWN_CHARS_MAX).collect()
}
