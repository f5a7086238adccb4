//! Identities: a second way to stand behind a package, for whoever keeps no key.
//!
//! Sigstore (<https://docs.sigstore.dev>) has an issuer of identities vouch for somebody, an e-mail address or a run of a workflow; a
//! certificate authority bind a key to that for some minutes; and a public log write down what the key signed meanwhile. What
//! comes of it is a *bundle* (<https://github.com/sigstore/protobuf-specs>, `sigstore_bundle.proto`, version 0.3): the statement, a
//! signature, the certificate, and the log's proof. It is verified here without a network, by a *trust root*
//! (`sigstore_trustroot.proto`) that the operator gives: certificates and keys of the authority and of the logs.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `identity` | who signs: a key, or somebody whom an issuer vouches for |
//! | `bundle` | bundles as they lie beside a package |
//! | `root` | whether a bundle is right, by a trust root |
//! | `backend` | the arithmetic: `ring`, for the libraries of the Sigstore project |
//!
//! A bundle is an allegation. Whom it names is believed of it when it was verified, and its statement is read no earlier.

mod backend;
mod bundle;
mod identity;
mod root;

pub use bundle::{BUNDLE_BYTES_MAX, BUNDLE_TYPE, BUNDLES_BYTES_MAX, BUNDLES_MAX, Bundle, BundleError, bundles_path};
pub use identity::{Identity, Signer};
pub use root::{Logged, TRUST_ROOT_BYTES_MAX, TrustRoot, TrustRootError};
