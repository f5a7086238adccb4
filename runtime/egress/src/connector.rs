//! The way out: a request, hop by hop, each of them checked.

use crate::{
    Body, Config, Credential, Error, Limits, Local, Place, Policy, Request, Resolver, Response, Secrets, SetupError,
    Stage, Target,
    dial::{Dialer, Until},
    exchange::{Message, exchange},
    redirect,
    request::is_credential,
    resolve::checked_addresses,
};
use http::{HeaderMap, HeaderName, Method};
use std::{fmt, sync::Arc};
use tokio::time::Instant;

/// Makes requests. Cheap to clone; one for a whole node.
#[derive(Clone)]
pub struct Connector(Arc<Inner>);

struct Inner {
    locals: Vec<Local>,
    resolver: Arc<dyn Resolver>,
    secrets: Arc<dyn Secrets>,
    dialer: Dialer,
}

/// One of the requests that a redirected one becomes.
pub(crate) struct Hop {
    pub(crate) method: Method,
    pub(crate) target: Target,
    pub(crate) headers: HeaderMap,
    pub(crate) credentials: Vec<(HeaderName, Credential)>,
    /// To send again; `None`: it was a stream, and is gone.
    pub(crate) body: Option<bytes::Bytes>,
}

impl Connector {
    /// A connector that reaches what its operator allows.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(config: Config) -> Result<Self, SetupError> {
        let Config { locals, trust, proxy, resolver, secrets } = config;
        if let Some(proxy) = &proxy {
            let own = Target::parse(&format!("http://{}/", proxy.authority));
            let own = own.map_err(|error| SetupError::Proxy(error.to_string()))?;
            if own.path_and_query() != "/" {
                return Err(SetupError::Proxy("it has a path".to_owned()));
            }
        }
        let dialer = Dialer { tls: trust.client()?, proxy, secrets: Arc::clone(&secrets) };
        Ok(Self(Arc::new(Inner { locals, resolver, secrets, dialer })))
    }

    /// Sends a request and follows its redirects as far as the policy goes. Any status is an answer.
    ///
    /// Runs within a tokio runtime with I/O and time.
    ///
    /// # Errors
    /// [`Error`], the first that is met. Before a policy lets a hop pass, nobody learns of it: no name is resolved.
    pub async fn send(&self, policy: &Policy, request: Request) -> Result<Response, Error> {
        request.check_headers()?;
        policy.admit(&request.method, &request.target)?;
        let limits = request.limits;
        let deadline = Instant::now() + limits.total;
        let (mut hop, mut body) = Hop::first(request);
        for _ in 0..=limits.redirects_max {
            let answer = self.exchange(policy, &hop, body, &limits, deadline).await?;
            let next = if policy.follows() { redirect::next(policy, &hop, &answer)? } else { None };
            let Some(next) = next else { return Ok(answer) };
            hop = next;
            body = hop.body.clone().map_or(Body::Empty, Body::Bytes);
        }
        Err(Error::Redirects { place: hop.target.place().clone(), max: limits.redirects_max })
    }

    async fn exchange(
        &self,
        policy: &Policy,
        hop: &Hop,
        body: Body,
        limits: &Limits,
        deadline: Instant,
    ) -> Result<Response, Error> {
        let inner = &self.0;
        let place = hop.target.place();
        let headers = inner.headers(hop)?;
        let until = until(limits, deadline);
        let lookup = checked_addresses(inner.resolver.as_ref(), policy, &inner.locals, &hop.target);
        let addresses = until.wait(place, Stage::Resolve, lookup).await?;
        let stream = inner.dialer.connect(&hop.target, &addresses, until).await?;
        let message = Message { method: &hop.method, target: &hop.target, headers, body };
        let answer = exchange(stream, message, limits, deadline).await?;
        Response::new(hop.target.clone(), answer, *limits, deadline)
    }
}

/// Until when a hop is connected.
fn until(limits: &Limits, deadline: Instant) -> Until {
    let connected = Instant::now() + limits.connect;
    if connected < deadline {
        Until { instant: connected, limit: limits.connect }
    } else {
        Until { instant: deadline, limit: limits.total }
    }
}

impl Inner {
    /// The headers of a hop with its credentials in them.
    fn headers(&self, hop: &Hop) -> Result<HeaderMap, Error> {
        let place = hop.target.place();
        let mut headers = hop.headers.clone();
        let is_secret = hop.headers.keys().any(is_credential) || !hop.credentials.is_empty();
        if is_secret && !place.is_tls() && !self.is_local(place) {
            return Err(Error::PlainCredential { place: place.clone() });
        }
        for (name, credential) in &hop.credentials {
            headers.insert(name.clone(), credential.value(name, place, self.secrets.as_ref())?);
        }
        Ok(headers)
    }

    fn is_local(&self, place: &Place) -> bool {
        self.locals.iter().any(|local| local.contains(place))
    }
}

impl Hop {
    fn first(request: Request) -> (Self, Body) {
        let Request { method, target, headers, credentials, body, .. } = request;
        let again = match &body {
            Body::Empty => Some(bytes::Bytes::new()),
            Body::Bytes(bytes) => Some(bytes.clone()),
            Body::Stream { .. } => None,
        };
        (Self { method, target, headers, credentials, body: again }, body)
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("locals", &self.0.locals).finish_non_exhaustive()
    }
}
