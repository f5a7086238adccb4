//! Where a request goes: a URL in its one spelling, and the place that it names.

use crate::{Error, limits::URL_BYTES_MAX};
use std::fmt;
use url::{Host, Url};

/// An origin (RFC 6454): scheme, host and port. Two requests with the same one speak to the same party.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Place {
    tls: bool,
    /// Lower case and ASCII, without a last dot; IPv6 in brackets.
    host: Box<str>,
    port: u16,
}

impl Place {
    /// The port that `https` or `http` has without saying so.
    const fn own_port(tls: bool) -> u16 {
        if tls { 443 } else { 80 }
    }

    /// As a grant's hosts have it: with the port where it is not the scheme's own.
    #[must_use]
    pub fn name(&self) -> String {
        if self.has_own_port() { self.host.to_string() } else { format!("{}:{}", self.host, self.port) }
    }

    pub(crate) const fn has_own_port(&self) -> bool {
        self.port == Self::own_port(self.tls)
    }

    /// Whether it is spoken to over TLS.
    #[must_use]
    pub const fn is_tls(&self) -> bool {
        self.tls
    }

    /// The host alone; IPv6 in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.name())
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A URL that can be requested, as the URL standard (WHATWG) normalises it: no credentials and no fragment in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    url: Url,
    place: Place,
}

impl Target {
    /// Reads a URL.
    ///
    /// # Errors
    /// [`Error::Url`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > URL_BYTES_MAX {
            return Err(Error::Url(TOO_LONG));
        }
        let url =
            Url::parse(text).map_err(|_| Error::Url("it is not a whole URL, such as https://example.com/path"))?;
        Self::of(url).map_err(Error::Url)
    }

    /// Where a redirect's `Location` leads from here.
    pub(crate) fn join(&self, location: &str) -> Result<Self, &'static str> {
        if location.len() > URL_BYTES_MAX {
            return Err(TOO_LONG);
        }
        Self::of(self.url.join(location).map_err(|_| "it cannot be read as one")?)
    }

    fn of(mut url: Url) -> Result<Self, &'static str> {
        let tls = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err("its scheme is neither https nor http"),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it has a user name or a password in it, which belong into a credential");
        }
        url.set_fragment(None);
        // `example.com.` is the same host, and would not be found among the granted ones.
        if let Some(Host::Domain(name)) = url.host()
            && let Some(bare) = name.strip_suffix('.').map(str::to_owned)
        {
            url.set_host(Some(&bare)).map_err(|_| NO_HOST)?;
        }
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { return Err(NO_HOST) };
        if host.is_empty() || host.ends_with('.') {
            return Err(NO_HOST);
        }
        if port == 0 {
            return Err("its port is 0, which nobody listens at");
        }
        if url.as_str().len() > URL_BYTES_MAX {
            return Err(TOO_LONG);
        }
        let place = Place { tls, host: host.into(), port };
        Ok(Self { url, place })
    }

    /// The place that it names.
    #[must_use]
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// The whole URL. A query may hold what is secret.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    pub(crate) fn host(&self) -> Option<Host<&str>> {
        self.url.host()
    }

    /// Path and query, as the first line of a request has them (RFC 9112, section 3.2.1).
    pub(crate) fn path_and_query(&self) -> &str {
        &self.url[url::Position::BeforePath..url::Position::AfterQuery]
    }
}

const TOO_LONG: &str = "it is longer than 8 KiB";
const NO_HOST: &str = "it names no host";

/// Without the query.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.place, self.url.path())
    }
}
