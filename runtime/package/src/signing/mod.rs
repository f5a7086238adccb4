//! Who stands behind a package, and for what.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `keys` | Ed25519 keys, their files, their ids |
//! | `ring` | keys by name, in a folder |
//! | `dsse` | signatures beside what they are over |
//! | `statement` | what is signed: which file, and what it asks for |
//! | `sign` | one signature after the other |
//! | `gather` | signatures that were kept apart |

mod dsse;
mod gather;
mod keys;
mod ring;
mod sign;
mod statement;

pub use dsse::{ENVELOPE_BYTES_MAX, Envelope, EnvelopeError, PAYLOAD_TYPE, Signature, pae};
pub use gather::gather;
pub use keys::{KeyError, KeyId, PublicKey, SecretKey, parse_sha256};
pub use ring::{KeptKey, KeyRing, RingError};
pub use sign::{SignError, cosign, envelope_path, sign};
pub use statement::{Claims, Models, PREDICATE_TYPE, Statement, StatementError, Terms, WantClaim};
