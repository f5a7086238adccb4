//! Secrets: kept by name, put into a header here, and shown nowhere.

use crate::{Error, Place};
use http::{HeaderName, HeaderValue};
use remit_abi::Scope;
use std::fmt;
use zeroize::Zeroizing;

/// A text that nobody sees: it has no `Display`, its `Debug` says nothing, and its memory is wiped.
#[derive(Clone)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Keeps a text secret.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for whoever sends or stores it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(…)")
    }
}

/// A secret with the hosts that it is for.
#[derive(Clone, Debug)]
pub struct Secret {
    /// The text.
    pub text: SecretText,
    /// To whom it may be sent, as a grant's hosts are written.
    pub hosts: Scope,
}

/// Where secrets are kept.
pub trait Secrets: Send + Sync {
    /// The secret of this name.
    fn secret(&self, name: &str) -> Option<Secret>;
}

/// No secrets at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSecrets;

impl Secrets for NoSecrets {
    fn secret(&self, _name: &str) -> Option<Secret> {
        None
    }
}

/// What authorises a request at the place that it is for, and nowhere else.
#[derive(Clone, Debug)]
pub enum Credential {
    /// The caller's own.
    Text(SecretText),
    /// One that the caller knows by its name alone, behind a prefix such as `Bearer `.
    Named {
        /// What stands before it.
        prefix: String,
        /// Its name.
        secret: String,
    },
}

impl Credential {
    /// A user's name and password (RFC 7617).
    #[must_use]
    pub fn basic(user: &str, password: &SecretText) -> Self {
        use base64ct::{Base64, Encoding as _};
        let pair = Zeroizing::new(format!("{user}:{}", password.reveal()));
        Self::Text(SecretText::new(format!("Basic {}", Base64::encode_string(pair.as_bytes()))))
    }

    /// A token (RFC 6750).
    #[must_use]
    pub fn bearer(token: &SecretText) -> Self {
        Self::Text(SecretText::new(format!("Bearer {}", token.reveal())))
    }

    /// The header's value for this place.
    pub(crate) fn value(
        &self,
        header: &HeaderName,
        place: &Place,
        secrets: &dyn Secrets,
    ) -> Result<HeaderValue, Error> {
        let (text, name) = match self {
            Self::Text(text) => (text.0.clone(), header.as_str()),
            Self::Named { prefix, secret: name } => {
                let secret = secrets.secret(name).ok_or_else(|| Error::NoSecret(name.clone()))?;
                if !secret.hosts.contains(&place.name()) {
                    return Err(Error::SecretHost { secret: name.clone(), place: place.clone() });
                }
                (Zeroizing::new(format!("{prefix}{}", secret.text.reveal())), name.as_str())
            }
        };
        let mut value = HeaderValue::from_str(&text).map_err(|_| Error::SecretText(name.to_owned()))?;
        value.set_sensitive(true);
        Ok(value)
    }
}
