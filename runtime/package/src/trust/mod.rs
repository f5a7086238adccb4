//! Whom a host believes, and how much.
//!
//! A signature says who stands behind a package. What follows from that is said by `trust.toml`, and by nobody else.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `form` | what `trust.toml` looks like, and the JSON Schema of that |
//! | `policy` | what it means |
//! | `identities` | identities that it knows, and the trust roots that verify them |
//! | `bounds` | whether what a package asks for is within what may be asked for |
//! | `bundles` | which identities signed a package |
//! | `gather` | what was found in a registry, put together |
//! | `verify` | one package before one or more policies: every check, its outcome, its reason |
//! | `revoked` | what is believed no longer, in a file of its own |
//! | `admit` | whom one host trusts, and whether it lets a package in |
//!
//! A policy:
//!
//! ```
//! # use remit_package::Policy;
//! let policy = Policy::parse(r#"
//!     [[keys]]
//!     name = "alice"
//!     public = """
//!     -----BEGIN PUBLIC KEY-----
//!     MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
//!     -----END PUBLIC KEY-----
//!     """
//!
//!     [[packages]]
//!     names = ["post-*"]
//!     signers = ["alice"]
//!     threshold = 1
//!     tokens_max = 5000
//!
//!     [[packages.grants.models]]
//!
//!     [[packages.grants.http]]
//!     hosts = ["*.example.com"]
//!     access = "read-write"
//!     rate = "60/minute"
//!
//!     [[packages]]
//!     names = ["*"]
//!     unsigned = true
//!     tokens_max = 100
//!
//!     [[serials]]
//!     name = "post-office"
//!     min = 7
//!
//!     [revoked]
//!     packages = ["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]
//! "#)?;
//! # Ok::<(), remit_package::ManifestError>(())
//! ```
//!
//! Who keeps no key is known by an identity, which Sigstore's trust root verifies: the file lies beside the policy.
//!
//! ```toml
//! [[roots]]
//! name = "public-good"
//! file = "trusted_root.json"
//!
//! [[identities]]
//! name = "alice-ci"
//! issuer = "https://token.actions.githubusercontent.com"
//! subject = "https://github.com/alice/clerk/.github/workflows/release.yml@refs/heads/main"
//!
//! [[packages]]
//! names = ["clerk"]
//! signers = ["alice", "alice-ci"]
//! threshold = 2
//! tokens_max = 5000
//!
//! [[revoked.identities]]
//! issuer = "https://accounts.example.com"
//! subject = "mallory@example.com"
//! ```
//!
//! Of the entries of `packages` the first counts whose names cover the package's; a package that none covers is refused.
//! Where several policies are asked, an operator's and a tenant's, each of them has to agree: so a tenant's is never wider than
//! its operator's, whatever it says.

mod admit;
mod bounds;
mod bundles;
mod form;
mod gather;
mod identities;
mod policy;
mod revoked;
mod verify;

pub use admit::{Admission, Denied, Trust, TrustError, read_policy};
pub use bounds::{Excess, excesses};
pub use form::trust_schema;
pub use identities::TrustedIdentity;
pub use policy::{Policy, Rule};
pub use revoked::Revocations;
pub use verify::{Check, CheckKind, Circumstances, Installed, Outcome, Verdict, verify};
