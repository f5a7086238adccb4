//! What the operator of a node says about all requests.

use crate::{Credential, Local, NoSecrets, Resolver, Secrets, SystemResolver, Trust};
use std::{fmt, sync::Arc};
use thiserror::Error;

/// A connector that cannot be made.
#[derive(Debug, Error)]
pub enum SetupError {
    /// A file of authorities.
    #[error("the certificates of authorities cannot be used: {0}")]
    Authority(String),
    /// TLS itself.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// A proxy.
    #[error("the proxy cannot be used: {0}; write host:port")]
    Proxy(String),
}

/// A proxy that every connection goes through, as a tunnel (`CONNECT`, RFC 9110, section 9.3.6). Names are resolved and
/// addresses checked here all the same, and the proxy is asked for the address: it must let addresses pass. The variables of the
/// environment that other programs take proxies from are not read.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// `host:port`, anywhere.
    pub authority: String,
    /// For `Proxy-Authorization`.
    pub credential: Option<Credential>,
}

/// Zero reach by default: no local hosts, no secrets, no proxy, Mozilla's roots, the machine's resolver.
#[derive(Clone)]
pub struct Config {
    /// Hosts of the operator's own networks.
    pub locals: Vec<Local>,
    /// Whose certificates are believed.
    pub trust: Trust,
    /// The way out, where there is only one.
    pub proxy: Option<Proxy>,
    /// Who knows addresses.
    pub resolver: Arc<dyn Resolver>,
    /// Who keeps secrets.
    pub secrets: Arc<dyn Secrets>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            locals: Vec::new(),
            trust: Trust::default(),
            proxy: None,
            resolver: Arc::new(SystemResolver::default()),
            secrets: Arc::new(NoSecrets),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { locals, trust, proxy, .. } = self;
        f.debug_struct("Config")
            .field("locals", locals)
            .field("trust", trust)
            .field("proxy", proxy)
            .finish_non_exhaustive()
    }
}
