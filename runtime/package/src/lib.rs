//! Packages: what an agent is made of, and what it asks for.
//!
//! A package is a component and its manifest `remit.toml`, side by side in a folder or in one file. The manifest says what
//! the agent *wants*; what it gets is the operator's decision. Reading one runs nothing and opens nothing besides the package.
//! What each check of a package stops is in `THREATS.md`, beside this crate's source.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `package` | where a package lies on disk |
//! | `packed` | a package as one file |
//! | `signing` | keys, and what is said about a package under a signature |
//! | `sigstore` | identities, whose signatures come with bundles instead of keys |
//! | `evidence` | envelopes and bundles as they lie beside a package |
//! | `trust` | whose packages run, and how far they go |
//! | `installed` | packages that are kept under their digests, and which of them a name means |
//! | [`disk`] | files: read up to a bound, and written whole or not at all |
//! | `form` | what a manifest looks like as TOML, and the JSON Schema of that |
//! | `read` | text to values of that form, with every problem and its line |
//! | `manifest`, `want`, `restart` | what the values mean |
//! | `cycle` | agents that would start each other for ever |
//! | `explain` | a manifest in plain words |
//!
//! A whole manifest:
//!
//! ```
//! let manifest = remit_package::Manifest::parse(r#"
//!     name = "clerk"
//!     version = "1.2.0"
//!     description = "Answers letters."
//!     component = "clerk.wasm"
//!     priority = "low"
//!
//!     [[wants.models]]
//!     label = "chat"
//!     max_tokens_per_call = 512
//!     ceiling = { integrity = "untrusted", tags = ["letters"] }
//!
//!     [[wants.files]]
//!     label = "letters"
//!     paths = ["inbox"]
//!     reason = "It reads the letters that it answers."
//!
//!     [[wants.http]]
//!     label = "post-office"
//!     hosts = ["api.example.com"]
//!     access = "read-write"
//!     rate = "60/minute"
//!     expires = "30d"
//!     optional = true
//!
//!     [budget]
//!     tokens = 2000
//!     soft = 200
//!
//!     [limits]
//!     generations_max = 1
//!
//!     [restart]
//!     policy = "on-failure"
//!     storm = { restarts = 3, within_ms = 60000 }
//! "#)?;
//! assert_eq!(manifest.wants.len(), 3);
//! # Ok::<(), remit_package::ManifestError>(())
//! ```

mod cycle;
pub mod disk;
mod evidence;
mod explain;
mod form;
mod installed;
mod json;
mod lines;
mod manifest;
mod moment;
mod name;
mod package;
mod packed;
mod problem;
mod read;
mod restart;
mod signing;
mod sigstore;
mod trust;
mod want;

pub use cycle::spawn_cycle;
pub use evidence::{Evidence, EvidenceError};
pub use explain::{Power, Sentence, explain};
pub use form::json_schema;
pub use installed::{AgentName, Arrival, Listed, Older, Store, StoreError, Version};
pub use lines::want_lines;
pub use manifest::{Budget, Manifest};
pub use moment::Expiry;
pub use package::{Package, PackageError};
pub use packed::{
    ASSETS_BYTES_MAX, AssetError, Assets, Build, Folder, FolderError, PACKAGE_BYTES_MAX, PackError, Packed, Parts,
    Producer, Source, World,
};
pub use problem::{ManifestError, Problem};
pub use restart::{Priority, Restart, RestartPolicy, Storm};
pub use signing::{
    Claims, ENVELOPE_BYTES_MAX, Envelope, EnvelopeError, KeptKey, KeyError, KeyId, KeyRing, Models, PAYLOAD_TYPE,
    PREDICATE_TYPE, PublicKey, RingError, SecretKey, SignError, Signature, Statement, StatementError, Terms, WantClaim,
    cosign, envelope_path, gather, pae, parse_sha256, sign,
};
pub use sigstore::{
    BUNDLE_BYTES_MAX, BUNDLE_TYPE, BUNDLES_BYTES_MAX, BUNDLES_MAX, Bundle, BundleError, Identity, Logged, Signer,
    TRUST_ROOT_BYTES_MAX, TrustRoot, TrustRootError, bundles_path,
};
pub use trust::{
    Admission, Check, CheckKind, Circumstances, Denied, Excess, Installed, Outcome, Policy, Revocations, Rule, Trust,
    TrustError, TrustedIdentity, Verdict, excesses, read_policy, trust_schema, verify,
};
pub use want::{Ceiling, Want, WantLimits};
