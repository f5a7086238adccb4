//! Who built a package from what, and what is in it: an author's words, kept for whoever looks into it later.

use crate::json;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Programs that had a part in a build.
pub(super) const PRODUCERS_MAX: usize = 64;

/// One name, version, address or licence.
const WORD_BYTES_MAX: usize = 1024;

/// Who built a package from what. Nothing in it says when, where or by whom: the same source makes the same bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// Compilers and tools, in the order of their work.
    pub producers: Vec<Producer>,
    /// What it was built from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// An SPDX expression, such as `Apache-2.0 OR MIT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
}

/// A program that had a part in a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Producer {
    /// Such as `rustc`.
    pub name: String,
    /// Such as `1.95.0`.
    pub version: String,
}

/// What a package was built from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Where it lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The commit.
    pub revision: String,
}

impl Build {
    pub(super) fn encode(&self) -> Vec<u8> {
        // Texts alone: writing them cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads the one form in which [`Build::encode`] writes it.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let build: Self = json::strict(bytes)?;
        if build.producers.len() > PRODUCERS_MAX {
            return Err(format!("names {} programs, and {PRODUCERS_MAX} are the most", build.producers.len()));
        }
        let names = build.producers.iter().flat_map(|producer| [&producer.name, &producer.version]);
        let source = build.source.iter().flat_map(|source| source.url.iter().chain([&source.revision]));
        if !names.chain(source).chain(&build.licence).all(|word| is_word(word)) {
            return Err(format!("has a text that is longer than {WORD_BYTES_MAX} bytes, or more than one line"));
        }
        if build.encode() == bytes { Ok(build) } else { Err("is not written in its one form".to_owned()) }
    }
}

/// Whether a text is one name, version, address or licence.
pub(super) fn is_word(text: &str) -> bool {
    text.len() <= WORD_BYTES_MAX && !text.chars().any(char::is_control)
}

/// A bill of materials, as far as it is ours to check: that it is one.
pub(super) fn sbom(bytes: &[u8]) -> Result<&str, String> {
    let document: Value = json::strict(bytes)?;
    if document["bomFormat"] != "CycloneDX" || !document["specVersion"].is_string() {
        return Err("is no CycloneDX document: it needs `bomFormat` and `specVersion`".to_owned());
    }
    str::from_utf8(bytes).map_err(|_| "is not UTF-8 text".to_owned())
}
