//! How much of a registry's answers is taken.

use remit_abi::limits::COMPONENT_BYTES_MAX;
use remit_egress::Limits;
use std::time::Duration;

/// A package: no host reads a larger one.
pub const PACKAGE_BYTES_MAX: u64 = COMPONENT_BYTES_MAX;

/// A manifest or an index: what every registry takes (distribution-spec 1.1, "Pushing Manifests"), and none has to take more.
pub const MANIFEST_BYTES_MAX: u64 = 4 << 20;

/// A config: names of imports and exports, some 60 bytes each.
pub(crate) const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// One envelope: a statement about one package, with a few signatures. One bundle: such a statement with one, and what speaks for it.
pub const ENVELOPE_BYTES_MAX: u64 = 1 << 20;

/// Envelopes and bundles of one package: a signer each. Whoever may write to a repository can add some, and all of them are read.
pub const ENVELOPES_MAX: usize = 32;

/// What a registry says about its errors, its tokens or its tags in one answer.
pub(crate) const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// Pages of one list. A registry gives 100 to 1000 entries with each.
pub(crate) const PAGES_MAX: usize = 64;

/// Tags of one repository: more than a person releases.
pub const TAGS_MAX: usize = 10_000;

/// How often one transfer goes on after its connection broke: a bad line breaks now and then, a bad registry always.
pub(crate) const RESUMES_MAX: u32 = 5;

/// What is sent with one request. A line that breaks costs this much at most; most packages are sent with one.
pub(crate) const CHUNK_BYTES: u64 = 8 << 20;

/// The chunk that a registry may ask for at least (`OCI-Chunk-Min-Length`): it is held in memory.
pub(crate) const CHUNK_BYTES_MAX: u64 = 64 << 20;

/// A docker config. It grows with each login.
pub(crate) const DOCKER_CONFIG_BYTES_MAX: u64 = 1 << 20;

/// What a credential program says.
pub(crate) const HELPER_BYTES_MAX: u64 = 64 << 10;

/// How long a credential program may take. It may ask a person for a password.
pub(crate) const HELPER_TIME: Duration = Duration::from_secs(60);

/// How long a registry may take: to answer, for the next bytes, and for a whole package over a slow line.
pub(crate) fn patience() -> Limits {
    Limits {
        answer: Duration::from_secs(30),
        idle: Duration::from_secs(30),
        total: Duration::from_secs(3600),
        body_bytes_max: ANSWER_BYTES_MAX,
        ..Limits::default()
    }
}
