//! Speaking to registries: who may be spoken to without TLS, who one is there, and one call with its login.

use crate::{
    Credentials, Error, Login, Reference,
    challenge::{Challenge, is_near},
    credentials::Hidden,
    documents::{read, shown},
    limits::{ANSWER_BYTES_MAX, patience},
    transfer::Content,
};
use remit_egress::{
    Body, Bytes, Connector, Credential, HeaderName, HeaderValue, Limits, Method, Policy, Redirects, Request, Response,
    SecretText, StatusCode, Target, header,
};
use serde::Deserialize;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use url::Url;
use zeroize::Zeroizing;

/// Reaches registries through the one way out. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    connector: Connector,
    credentials: Credentials,
    without_tls: Vec<String>,
    realms: Vec<String>,
    silence: Option<Duration>,
}

impl Client {
    /// Reaches what the connector's operator lets it reach, over TLS, without a login.
    #[must_use]
    pub fn new(connector: Connector) -> Self {
        Self {
            connector,
            credentials: Credentials::default(),
            without_tls: Vec::new(),
            realms: Vec::new(),
            silence: None,
        }
    }

    /// Logs in with these where a registry asks for it.
    #[must_use]
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self
    }

    /// Speaks to these registries without TLS, as `host:port`. Credentials go there only if they are local to the connector.
    #[must_use]
    pub fn without_tls(mut self, registries: &[String]) -> Self {
        self.without_tls.extend_from_slice(registries);
        self
    }

    /// Lets registries have their credentials exchanged for tokens at these hosts, besides those that are near to them.
    #[must_use]
    pub fn realms(mut self, hosts: &[String]) -> Self {
        self.realms.extend_from_slice(hosts);
        self
    }

    /// Gives up on a registry that says nothing for so long; 30 seconds without this.
    #[must_use]
    pub const fn silence(mut self, most: Duration) -> Self {
        self.silence = Some(most);
        self
    }

    fn limits(&self) -> Limits {
        let limits = patience();
        match self.silence {
            Some(most) => Limits { answer: most, idle: most, ..limits },
            None => limits,
        }
    }

    /// The repository of a reference.
    pub(crate) fn remote(&self, reference: &Reference) -> Remote {
        Remote {
            client: self.clone(),
            registry: reference.registry().to_owned(),
            repository: reference.repository().to_owned(),
            logins: Arc::default(),
        }
    }
}

/// One repository, and the tokens for it.
#[derive(Clone)]
pub(crate) struct Remote {
    client: Client,
    pub(crate) registry: String,
    pub(crate) repository: String,
    logins: Arc<Mutex<HashMap<Access, Credential>>>,
}

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Access {
    Pull,
    Push,
}

/// One request to a registry, which can be made again with a login.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) target: Target,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) content: Content,
    pub(crate) access: Access,
    pub(crate) redirects: Redirects,
    pub(crate) limits: Limits,
}

#[derive(Deserialize)]
struct Token {
    token: Option<Hidden>,
    access_token: Option<Hidden>,
}

/// distribution-spec 1.1, "Error Codes".
#[derive(Deserialize)]
struct Faults {
    errors: Vec<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    code: String,
    #[serde(default)]
    message: String,
}

impl Remote {
    /// A URL of this repository.
    pub(crate) fn target(&self, path: &str) -> Result<Target, Error> {
        let scheme = if self.is_plain() { "http" } else { "https" };
        Ok(Target::parse(&format!("{scheme}://{}/v2/{}/{path}", self.registry, self.repository))?)
    }

    /// A call without headers and body.
    pub(crate) fn call(&self, method: Method, access: Access, path: &str) -> Result<Call, Error> {
        let target = self.target(path)?;
        let (headers, content, limits) = (Vec::new(), Content::Empty, self.client.limits());
        Ok(Call { method, target, headers, content, access, redirects: Redirects::Granted, limits })
    }

    fn is_plain(&self) -> bool {
        self.client.without_tls.contains(&self.registry)
    }

    fn policy(&self, host: &str, methods: &[Method], is_plain: bool) -> Result<Policy, Error> {
        let policy = Policy::new(&[host])?.methods(methods);
        Ok(if is_plain { policy.without_tls() } else { policy })
    }

    /// Makes a call, and once more where a login is asked for.
    pub(crate) async fn send(&self, call: &Call) -> Result<Response, Error> {
        let answer = self.send_once(call).await?;
        let answer = if answer.status() == StatusCode::UNAUTHORIZED {
            self.log_in(&answer, call.access).await?;
            self.send_once(call).await?
        } else {
            answer
        };
        match answer.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(Error::Denied { place: self.registry.clone(), repository: self.repository.clone() })
            }
            _ => Ok(answer),
        }
    }

    async fn send_once(&self, call: &Call) -> Result<Response, Error> {
        let policy =
            self.policy(&self.registry, std::slice::from_ref(&call.method), self.is_plain())?.redirects(call.redirects);
        let mut request = Request::new(call.method.clone(), call.target.clone()).limits(call.limits);
        for (name, value) in &call.headers {
            request = request.header(name.clone(), value.clone());
        }
        if let Some(credential) = self.logins.lock().unwrap_or_else(PoisonError::into_inner).get(&call.access) {
            request = request.credential(header::AUTHORIZATION, credential.clone());
        }
        let request = request.body(call.content.body().await?);
        Ok(self.client.connector.send(&policy, request).await?)
    }

    async fn log_in(&self, answer: &Response, access: Access) -> Result<(), Error> {
        let strange = |reason| Error::Challenge { place: self.registry.clone(), reason };
        let offered = answer.headers().get_all(header::WWW_AUTHENTICATE).iter();
        let read = offered.map(|value| Challenge::read(value.to_str().map_err(|_| "it is no text")?));
        let mut last = Err("it names none");
        for challenge in read {
            let done = challenge.is_ok();
            last = challenge;
            if done {
                break;
            }
        }
        let login = self.client.credentials.find(&self.registry).await?;
        let credential = match (last.map_err(strange)?, login) {
            (Challenge::Basic, Some(Login::Password { user, password })) => Credential::basic(&user, &password),
            (Challenge::Basic, _) => {
                return Err(Error::Denied { place: self.registry.clone(), repository: self.repository.clone() });
            }
            (Challenge::Bearer { realm, service }, login) => {
                Credential::bearer(&self.token(&realm, service.as_deref(), login, access).await?)
            }
        };
        self.logins.lock().unwrap_or_else(PoisonError::into_inner).insert(access, credential);
        Ok(())
    }

    /// Exchanges a login, or nothing, for a token (distribution, "Token Authentication").
    async fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        login: Option<Login>,
        access: Access,
    ) -> Result<SecretText, Error> {
        let strange = |reason| Error::Challenge { place: self.registry.clone(), reason };
        let mut url = Url::parse(realm).map_err(|_| strange("its realm is no URL"))?;
        let place = Target::parse(url.as_str())?.place().clone();
        let own = self.target("")?.place().host().to_owned();
        if login.is_some()
            && !is_near(&own, place.host())
            && !self.client.realms.iter().any(|host| host == place.host())
        {
            return Err(Error::Realm { place: self.registry.clone(), realm: shown(place.host()) });
        }
        let actions = if access == Access::Push { "pull,push" } else { "pull" };
        let mut asked = vec![("scope", format!("repository:{}:{actions}", self.repository))];
        asked.extend(service.map(|service| ("service", service.to_owned())));
        let mut credential = None;
        let request = match login {
            Some(Login::Identity(token)) => {
                let mut form = url::form_urlencoded::Serializer::new(String::new());
                form.extend_pairs(&asked).append_pair("grant_type", "refresh_token").append_pair("client_id", "remit");
                let form = form.append_pair("refresh_token", token.reveal()).finish();
                Request::new(Method::POST, Target::parse(url.as_str())?)
                    .header(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))
                    .body(Body::Bytes(Bytes::from(form)))
            }
            login => {
                url.query_pairs_mut().extend_pairs(&asked);
                if let Some(Login::Password { user, password }) = login {
                    credential = Some(Credential::basic(&user, &password));
                }
                Request::new(Method::GET, Target::parse(url.as_str())?)
            }
        };
        let request = match credential {
            Some(credential) => request.credential(header::AUTHORIZATION, credential),
            None => request,
        };
        // A realm without TLS is one of a registry that is spoken to so itself, on the same host.
        let is_plain = self.is_plain() && place.host() == own;
        // A form with a token in it is sent nowhere else, whatever the realm says.
        let policy = self.policy(&place.name(), &[Method::GET, Method::POST], is_plain)?.redirects(Redirects::Returned);
        let answer = self.client.connector.send(&policy, request.limits(self.client.limits())).await?;
        if !answer.status().is_success() {
            return Err(match answer.status() {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    Error::Denied { place: self.registry.clone(), repository: self.repository.clone() }
                }
                _ => self.status(answer, "a question for a token").await,
            });
        }
        let bytes = Zeroizing::new(answer.bytes().await?.to_vec());
        let token: Token = serde_json::from_slice(&bytes).map_err(|_| strange("its realm gave no token"))?;
        let token = token.token.or(token.access_token).ok_or_else(|| strange("its realm gave no token"))?;
        Ok(token.secret())
    }

    /// What to say of a status that nothing can be made of.
    pub(crate) async fn status(&self, answer: Response, act: &str) -> Error {
        let status = answer.status().as_u16();
        let said = match answer.bytes().await {
            Ok(bytes) => faults(&bytes),
            // The status says enough.
            Err(_) => String::new(),
        };
        Error::Status { place: self.registry.clone(), status, act: act.to_owned(), said }
    }

    pub(crate) fn misbehaved(&self, reason: String) -> Error {
        Error::Misbehaved { place: self.registry.clone(), reason }
    }
}

/// A registry's own words.
fn faults(bytes: &[u8]) -> String {
    debug_assert!(bytes.len() as u64 <= ANSWER_BYTES_MAX, "the connector lets no more through");
    let Ok(Faults { errors }) = read(bytes, "an error") else { return String::new() };
    let Some(Fault { code, message }) = errors.into_iter().next() else { return String::new() };
    shown(&format!(": {code} {message}")).trim_end().to_owned()
}
