//! Who stands behind a package, and for what.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `keys` | Ed25519 keys, their files, their ids |
//! | `dsse` | signatures beside what they are over |
//! | `statement` | what is signed: which file, and what it asks for |

mod dsse;
mod keys;
mod statement;

pub use dsse::{Envelope, EnvelopeError, PAYLOAD_TYPE, Signature, pae};
pub(crate) use keys::sha256;
pub use keys::{KeyError, KeyId, PublicKey, SecretKey};
pub use statement::{Claims, Models, PREDICATE_TYPE, Statement, StatementError, Terms, WantClaim};
