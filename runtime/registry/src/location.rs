//! Where a package is, in one word.

use crate::{Error, Reference, Which};
use std::path::PathBuf;

/// One of the three places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// In a registry.
    Registry(Reference),
    /// In a folder that is an image layout.
    Folder {
        /// The folder.
        path: PathBuf,
        /// Which of its manifests.
        which: Which,
    },
    /// A file, with its envelopes beside it, one a line, in a file whose name goes on with `.intoto.jsonl` (in-toto attestation,
    /// "Bundle"), and its bundles of Sigstore, one a line too, in one whose name goes on with `.sigstore.json`.
    File(PathBuf),
}

impl Location {
    /// Reads `oci:FOLDER:TAG`, `./file.wasm`, `/file.wasm` or `registry.example.com/name:tag`.
    ///
    /// # Errors
    /// [`Error::Reference`], [`Error::Digest`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        if let Some(rest) = text.strip_prefix("oci:") {
            let (path, which) = match (rest.split_once("@"), rest.rsplit_once(':')) {
                (Some((path, digest)), _) => (path, Which::parse(digest)?),
                (None, Some((path, tag))) if !tag.contains('/') => (path, Which::parse(tag)?),
                _ => (rest, Which::Tag("latest".to_owned())),
            };
            return Ok(Self::Folder { path: path.into(), which });
        }
        if text.starts_with(['/', '.']) || text.ends_with(".wasm") && !text.contains('/') {
            return Ok(Self::File(text.into()));
        }
        Reference::parse(text).map(Self::Registry)
    }
}

#[cfg(test)]
mod unit_tests {
    use super::Location;
    use crate::{Reference, Which};

    #[test]
    fn places() {
        let check = |text: &str, expected: Location| assert_eq!(Location::parse(text).expect("a place"), expected);
        let folder = |path: &str, tag: &str| Location::Folder { path: path.into(), which: Which::Tag(tag.to_owned()) };
        check("oci:out", folder("out", "latest"));
        check("oci:out:1.0", folder("out", "1.0"));
        check("oci:/a:b/out", folder("/a:b/out", "latest"));
        check("clerk.wasm", Location::File("clerk.wasm".into()));
        check("./clerk", Location::File("./clerk".into()));
        check("a.b/c.wasm", Location::Registry(Reference::parse("a.b/c.wasm").expect("a name")));
        assert!(Location::parse("oci:out:.x").is_err());
        assert!(Location::parse("clerk").is_err());
    }
}
