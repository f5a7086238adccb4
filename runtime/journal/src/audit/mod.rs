//! The audit: a hash chain a tenant over all that its processes were told, which whoever has an export of it can check alone.
//!
//! | part | does |
//! | --- | --- |
//! | `line` | a line's bytes, digests, salts and links |
//! | `key` | the host's key, and what it signs |
//! | `chain` | goes on with the chains, in the transaction that writes the log |
//! | `export` | writes a chain as a file |
//! | `file` | the rows of that file |
//! | `verify` | checks such a file; needs no journal |
//! | `summary` | what a file tells that was checked |
//!
//! Principles:
//!
//! - A line has its entry's digest, salted, and what an auditor may read of it for ever: its [fact](remit_kernel::ports::Fact).
//! - Salts follow from the process's key. Once that is destroyed a digest says nothing of its entry, and the chain is as it was: links are
//!   over digests, not over contents.
//! - Nothing of a chain is ever changed or deleted. What is deleted elsewhere is a line of it.

pub(crate) mod chain;
mod export;
mod file;
mod key;
mod line;
mod summary;
mod verify;

pub(crate) use chain::{Chains, Head};
pub(crate) use export::{export, failed};
pub(crate) use key::Signer;
pub(crate) use line::{Act, Hash, Salts, keyed, said};

pub use export::{Detail, Exported};
pub use key::{NotAKey, PublicKey};
pub use summary::{Checkpoint, ModelTotal, RecallTotal, Summary, ToolTotal};
pub use verify::{CLOCK_BACK_NS_MAX, Expected, Flaw, ROW_BYTES_MAX, verify};
