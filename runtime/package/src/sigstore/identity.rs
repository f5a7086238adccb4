//! Who signs.

use crate::signing::KeyId;
use std::fmt;

/// As much of an identity as is repeated in a sentence about it: a workflow's address has some 100 characters.
const SHOWN_CHARS_MAX: usize = 256;

/// Somebody whom an issuer vouches for. The same subject by another issuer is somebody else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// Who vouches: the address of an issuer of identities (OpenID Connect), as the certificate has it.
    pub issuer: String,
    /// Whom for: an address of e-mail or a URI, as the certificate has it.
    pub subject: String,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (by {})", plain(&self.subject), plain(&self.issuer))
    }
}

/// Whoever stands behind a package, each of whom counts once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signer {
    /// By a key.
    Key(KeyId),
    /// By a bundle.
    Identity(Identity),
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => key.fmt(f),
            Self::Identity(identity) => identity.fmt(f),
        }
    }
}

/// A text of somebody else's in a sentence: not too much of it, with nothing that a terminal would obey.
pub(super) fn plain(text: &str) -> String {
    let mut start: String = text.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        start.push('…');
    }
    start
}
