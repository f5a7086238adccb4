//! The headless host: a node behind a control socket, and the client that asks it.
//!
//! Whoever owns the data folder manages its host over a Unix socket, in HTTP/1.1 with bodies in JSON. `README.md` beside
//! this crate has the table of methods and paths; [`protocol`] has the types of every body, for both sides.
//!
//! Principles:
//!
//! - Only the owner of the data folder, and root, are heard: by the folder's mode, the socket's, and the peer's user.
//! - One host at a time has a data folder. Its lock is the system's, so that no crash leaves it behind.
//! - What a client sends is an allegation: read within limits of bytes and time, parsed into a type, and refused with one
//!   sentence and a stable code.
//! - A client costs the host a bounded amount of memory, whatever it sends and however slowly it reads.
//! - The API does nothing itself: it translates, and the node decides.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `protocol` | what crosses the socket, as types |
//! | `socket` | where it is, and who may open it |
//! | `connections` | how many, for how long |
//! | `api` | one file for each family of paths |
//! | `metrics` | what the node did and does, as OpenMetrics text |
//! | `view` | what the node shows, as the protocol says it |
//! | `server` | start, service, orderly end |
//! | `client` | the other side |
//! | `limits` | what a client can take |

mod api;
mod client;
mod connections;
mod limits;
mod metrics;
pub mod protocol;
mod server;
mod socket;
mod view;

pub use client::{Client, ClientError, Lines, Pieces};
pub use server::Server;
pub use socket::{SocketError, socket_path};
pub use view::{finished, shown};
