//! The one way out: all HTTP that leaves the product goes through a [`Connector`].
//!
//! An agent says where it wants to go; names resolve to what their owners say, and servers redirect to where they like. So every
//! hop is checked anew, after its name was resolved, and the connection is made to the address that was checked.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `place` | URLs in one spelling, and the origin that they name |
//! | `policy` | what a grant allows, and what an operator opens of his own networks |
//! | `address` | which addresses are no ordinary hosts of the internet |
//! | `resolve` | names to checked addresses |
//! | `dial`, `proxy`, `tls` | checked addresses to a stream of bytes |
//! | `exchange`, `activity` | one request and one answer over HTTP/1.1 |
//! | `redirect`, `connector` | from hop to hop |
//! | `secret`, `request`, `response`, `limits`, `error`, `config` | what callers say and get |
//!
//! Principles:
//!
//! - Zero reach by default: no host without a grant, no address of a private or special network without the operator, nothing without
//!   TLS, nothing from the environment.
//! - A credential goes to the origin that it was given for. It is in no error and in no `Debug`.
//! - Every wait and every size has a limit; a body streams.
//! - No cookies, no cache, no compression, no connection for two requests: there is no state that one request could leave for another.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use remit_egress::{Config, Connector, Policy, Request};
//! let connector = Connector::new(Config::default())?;
//! let policy = Policy::new(&["api.example.com", "*.docs.example.com"])?;
//! let mut answer = connector.send(&policy, Request::get("https://api.example.com/v1/letters")?).await?;
//! while let Some(piece) = answer.piece().await? {
//!     println!("{} bytes more", piece.len());
//! }
//! # Ok(())
//! # }
//! ```

mod activity;
mod address;
mod config;
mod connector;
mod dial;
mod error;
mod exchange;
mod limits;
mod place;
mod policy;
mod proxy;
mod redirect;
mod request;
mod resolve;
mod response;
mod secret;
mod stage;
mod tls;

pub use address::{Special, special};
pub use config::{Config, Proxy, SetupError};
pub use connector::Connector;
pub use error::Error;
// What requests and answers are made of, so that nobody needs a client of his own for it.
pub use bytes::Bytes;
pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
pub use ipnet::IpNet;
pub use limits::Limits;
pub use place::{Place, Target};
pub use policy::{Local, Policy, Redirects};
pub use request::{Body, Request};
pub use resolve::{Resolver, SystemResolver};
pub use response::Response;
pub use secret::{Credential, NoSecrets, Secret, SecretText, Secrets};
pub use stage::Stage;
pub use tls::Trust;
