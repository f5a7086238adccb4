//! Whom a request may speak to, and how: what a grant says, and what an operator says about the machine's own networks.

use crate::{Error, Place, Target};
use http::Method;
use ipnet::IpNet;
use remit_abi::{GrantKind, Scope, ScopeError};

/// What is granted. [`Policy::new`] starts with `GET` and `HEAD` over TLS, and redirects among the granted hosts.
#[derive(Clone, Debug)]
pub struct Policy {
    hosts: Scope,
    methods: Vec<Method>,
    plain: bool,
    redirects: Redirects,
}

/// What happens to a redirect. One from TLS to none is never followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redirects {
    /// It is the answer.
    Returned,
    /// Followed among the granted hosts.
    Granted,
    /// `GET` and `HEAD` are followed to any public host over TLS at its own port, without a credential: to where registries
    /// and shops of files keep what is large.
    Public,
}

impl Policy {
    /// Grants these hosts: `example.com`, `*.example.com`, `example.com:8443`.
    ///
    /// # Errors
    /// [`ScopeError`], naming the entry that is none.
    pub fn new<S: AsRef<str>>(hosts: &[S]) -> Result<Self, ScopeError> {
        Ok(Self::of(Scope::parse(GrantKind::Http, hosts)?))
    }

    /// Grants the hosts of a grant of the kind `http`. A scope of another kind contains no host.
    #[must_use]
    pub fn of(hosts: Scope) -> Self {
        Self { hosts, methods: vec![Method::GET, Method::HEAD], plain: false, redirects: Redirects::Granted }
    }

    /// Allows these methods and no others.
    #[must_use]
    pub fn methods(mut self, methods: &[Method]) -> Self {
        self.methods = methods.to_vec();
        self
    }

    /// Allows requests without TLS too, which everybody on the way can read and change.
    #[must_use]
    pub const fn without_tls(mut self) -> Self {
        self.plain = true;
        self
    }

    /// Says what happens to redirects.
    #[must_use]
    pub const fn redirects(mut self, redirects: Redirects) -> Self {
        self.redirects = redirects;
        self
    }

    pub(crate) const fn follows(&self) -> bool {
        !matches!(self.redirects, Redirects::Returned)
    }

    /// Whether a host is granted by name.
    pub(crate) fn names(&self, place: &Place) -> bool {
        self.hosts.kind() == GrantKind::Http && self.hosts.contains(&place.name())
    }

    /// Lets a request pass, or says what it lacks.
    pub(crate) fn admit(&self, method: &Method, target: &Target) -> Result<(), Error> {
        let place = target.place();
        if !self.names(place) {
            return Err(Error::Host { place: place.clone() });
        }
        self.admit_method(method, place)?;
        if !place.is_tls() && !self.plain {
            return Err(Error::Plain { place: place.clone() });
        }
        Ok(())
    }

    /// The same for a request that somebody was redirected to.
    pub(crate) fn admit_redirected(&self, method: &Method, target: &Target) -> Result<(), Error> {
        let place = target.place();
        let is_public = place.is_tls() && place.has_own_port();
        let reads = matches!(*method, Method::GET | Method::HEAD);
        if self.redirects == Redirects::Public && is_public && reads {
            return self.admit_method(method, place);
        }
        self.admit(method, target)
    }

    fn admit_method(&self, method: &Method, place: &Place) -> Result<(), Error> {
        if self.methods.contains(method) {
            return Ok(());
        }
        let allowed: Vec<&str> = self.methods.iter().map(Method::as_str).collect();
        Err(Error::Method { method: method.clone(), place: place.clone(), allowed: allowed.join(", ") })
    }
}

/// Hosts of the operator's own networks: only under these names, only in these networks, and only where a grant names the
/// host besides. Whoever brings a name of his own along, reaches nothing by having it resolve to such a network.
#[derive(Clone, Debug)]
pub struct Local {
    hosts: Scope,
    networks: Vec<IpNet>,
}

impl Local {
    /// Opens `networks` to requests for `hosts`, which are written as in a grant. A cloud's metadata service is opened only by a
    /// network of its one address.
    ///
    /// # Errors
    /// [`ScopeError`], naming the entry that is none.
    pub fn new<S: AsRef<str>>(hosts: &[S], networks: &[IpNet]) -> Result<Self, ScopeError> {
        Ok(Self { hosts: Scope::parse(GrantKind::Http, hosts)?, networks: networks.to_vec() })
    }

    pub(crate) fn contains(&self, place: &Place) -> bool {
        self.hosts.contains(&place.name())
    }

    pub(crate) fn networks(&self) -> &[IpNet] {
        &self.networks
    }
}
