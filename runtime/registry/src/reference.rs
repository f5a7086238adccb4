//! Names of artifacts: `registry.example.com/team/clerk:1.2.0`, `localhost:5000/clerk@sha256:…`.
//!
//! Repositories and tags as distribution-spec 1.1 has them ("Pulling manifests"). The registry is always said: there is no
//! default one, so that nobody can stand where it was left out.

use crate::{Digest, Error};
use std::fmt;

/// A repository's name: registries keep `host/name` within 255 characters.
const REPOSITORY_BYTES_MAX: usize = 255;

/// distribution-spec 1.1: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
const TAG_BYTES_MAX: usize = 128;

/// How much of a faulty name an error repeats.
const SHOWN_CHARS_MAX: usize = 120;

/// One of the manifests of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one that a name leads to at the moment.
    Tag(String),
    /// Exactly this.
    Digest(Digest),
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(tag),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

impl Which {
    /// Reads a tag or a digest.
    ///
    /// # Errors
    /// [`Error::Reference`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.contains(':') {
            return Digest::parse(text).map(Self::Digest);
        }
        let is_first = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
        let is_rest = |c: u8| is_first(c) || c == b'.' || c == b'-';
        let well =
            text.len() <= TAG_BYTES_MAX && text.bytes().next().is_some_and(is_first) && text.bytes().all(is_rest);
        if well { Ok(Self::Tag(text.to_owned())) } else { Err(wrong(text, "a tag has up to 128 of A-Z a-z 0-9 _ . -")) }
    }
}

/// Where an artifact is, or is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    registry: String,
    repository: String,
    which: Which,
}

impl Reference {
    /// Reads a name. One without tag and digest means the tag `latest`.
    ///
    /// # Errors
    /// [`Error::Reference`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let (registry, rest) = text
            .split_once('/')
            .filter(|(registry, _)| *registry == "localhost" || registry.contains(['.', ':']))
            .ok_or_else(|| wrong(text, "write the registry before it, as in registry.example.com/team/name:tag"))?;
        let is_host = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b".-:[]".contains(&c);
        if !registry.bytes().all(is_host) {
            return Err(wrong(text, "a registry's name has lower-case letters, digits, - and . only"));
        }
        let (repository, which) = match rest.split_once('@') {
            // The digest decides; a tag before it is for people.
            Some((name, digest)) => {
                let bare = name.split_once(':').map_or(name, |(name, _)| name);
                (bare, Which::Digest(Digest::parse(digest)?))
            }
            None => match rest.split_once(':') {
                Some((name, tag)) if !tag.contains(':') => (name, Which::parse(tag)?),
                Some(_) => return Err(wrong(text, "it has too many colons")),
                None => (rest, Which::Tag("latest".to_owned())),
            },
        };
        if repository.len() > REPOSITORY_BYTES_MAX || !repository.split('/').all(is_component) {
            return Err(wrong(
                text,
                "a repository's name has parts of a-z and 0-9 between /, with single . _ - within them",
            ));
        }
        Ok(Self { registry: registry.to_owned(), repository: repository.to_owned(), which })
    }

    /// Host and port.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The name within the registry.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Tag or digest.
    #[must_use]
    pub const fn which(&self) -> &Which {
        &self.which
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
fn is_component(part: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let ends_well = |c: Option<char>| c.is_some_and(is_inner);
    let separators = part.split(is_inner).filter(|separator| !separator.is_empty());
    ends_well(part.chars().next())
        && ends_well(part.chars().next_back())
        && separators.into_iter().all(|text| matches!(text, "." | "_" | "__") || text.bytes().all(|byte| byte == b'-'))
}

fn wrong(text: &str, rule: &'static str) -> Error {
    Error::Reference { text: text.chars().take(SHOWN_CHARS_MAX).collect(), rule }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if matches!(self.which, Which::Tag(_)) { ':' } else { '@' };
        write!(f, "{}/{}{separator}{}", self.registry, self.repository, self.which)
    }
}

#[cfg(test)]
mod unit_tests {
    use super::Reference;

    fn check(text: &str, expected: Result<&str, &str>) {
        let read = Reference::parse(text);
        match (&read, expected) {
            (Ok(reference), Ok(shown)) => assert_eq!(reference.to_string(), shown),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            _ => panic!("{text:?} is {read:?}"),
        }
    }

    #[test]
    fn names() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        check("registry.example.com/team/clerk:1.2.0", Ok("registry.example.com/team/clerk:1.2.0"));
        check("localhost/clerk", Ok("localhost/clerk:latest"));
        check("[::1]:5000/a__b/c-d.e", Ok("[::1]:5000/a__b/c-d.e:latest"));
        check(&format!("a.b/c:1@{digest}"), Ok(&format!("a.b/c@{digest}")));
        check("clerk:1", Err("write the registry"));
        check("team/clerk", Err("write the registry"));
        check("user@evil.example/x", Err("a registry's name"));
        check("a.b/../c", Err("a repository's name"));
        check("a.b//c", Err("a repository's name"));
        check("a.b/C", Err("a repository's name"));
        check("a.b/c..d", Err("a repository's name"));
        check("a.b/c?d", Err("a repository's name"));
        check("a.b/c:.d", Err("a tag has"));
        check("a.b/c:", Err("a tag has"));
        check("a.b/c:d:e", Err("too many colons"));
        check(&format!("a.b/c:{}", "d".repeat(129)), Err("a tag has"));
        check("a.b/c@sha256:00", Err("no digest"));
        check(&format!("a.b/c@{}", digest.to_uppercase()), Err("no digest"));
        check(&format!("a.b/c@sha512:{}", "00".repeat(64)), Err("no digest"));
    }
}
