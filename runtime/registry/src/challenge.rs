//! What a registry asks for: `WWW-Authenticate` (RFC 9110, section 11.6.1), as the token specification of distribution has it.

/// One of the two ways to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    Basic,
    /// A token from somewhere. What scope the registry would like is not looked at: the one that is needed is known here.
    Bearer {
        realm: String,
        service: Option<String>,
    },
}

impl Challenge {
    /// Reads the value of one header.
    pub(crate) fn read(value: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = value.trim().split_once(' ').unwrap_or((value.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Ok(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err("it is neither Basic nor Bearer");
        }
        let (mut realm, mut service) = (None, None);
        let mut rest = rest.trim_start();
        while !rest.is_empty() {
            let (name, value, after) = parameter(rest).ok_or("its parameters cannot be read")?;
            let place = match name.to_ascii_lowercase().as_str() {
                "realm" => &mut realm,
                "service" => &mut service,
                _ => &mut None,
            };
            if place.replace(value).is_some() {
                return Err("it has a parameter twice");
            }
            rest = after;
        }
        Ok(Self::Bearer { realm: realm.ok_or("it names no realm")?, service })
    }
}

/// A name, its value, and what is behind both.
fn parameter(text: &str) -> Option<(&str, String, &str)> {
    let (name, rest) = text.split_once('=')?;
    let (value, rest) = match rest.trim_start().strip_prefix('"') {
        Some(quoted) => unquote(quoted)?,
        None => {
            let end = rest.find(',').unwrap_or(rest.len());
            (rest[..end].trim().to_owned(), &rest[end..])
        }
    };
    let rest = rest.trim_start();
    let rest = if rest.is_empty() { rest } else { rest.strip_prefix(',')?.trim_start() };
    Some((name.trim(), value, rest))
}

/// A quoted string (RFC 9110, section 5.6.4) from behind its first quote.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[index + 1..])),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

/// Whether a registry may have its credentials sent to a realm's host: to its own, below it, or to one with the same parent of at least
/// two parts (`registry.gitlab.example` and `gitlab.example`, `registry-1.docker.example` and `auth.docker.example`).
pub(crate) fn is_near(registry: &str, realm: &str) -> bool {
    let is_below = |name: &str, parent: &str| name.strip_suffix(parent).is_some_and(|front| front.ends_with('.'));
    if registry == realm || is_below(realm, registry) {
        return true;
    }
    let is_address =
        |host: &str| host.starts_with('[') || host.rsplit('.').next().is_some_and(|last| last.parse::<u8>().is_ok());
    let Some((_, parent)) = registry.split_once('.') else { return false };
    !is_address(registry) && parent.contains('.') && (realm == parent || is_below(realm, parent))
}

#[cfg(test)]
mod unit_tests {
    use super::{Challenge, is_near};

    #[test]
    fn challenges() {
        let check = |value: &str, expected: Result<(&str, Option<&str>), &str>| match (Challenge::read(value), expected)
        {
            (Ok(Challenge::Bearer { realm, service }), Ok(expected)) => {
                assert_eq!((realm.as_str(), service.as_deref()), expected);
            }
            (Err(reason), Err(part)) => assert!(reason.contains(part), "{reason}"),
            (read, _) => panic!("{value:?} is {read:?}"),
        };
        let usual =
            r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull""#;
        check(usual, Ok(("https://auth.example/token", Some("registry.example"))));
        check(r#"bearer  scope="a,b" , realm=https://a.example/x"#, Ok(("https://a.example/x", None)));
        check(r#"Bearer realm="a\"b\\c""#, Ok((r#"a"b\c"#, None)));
        check("Bearer", Err("names no realm"));
        check(r#"Bearer realm="https://a.example"#, Err("cannot be read"));
        check(r#"Bearer realm="https://a.example" service="x""#, Err("cannot be read"));
        check(r#"Bearer realm="a",realm="b""#, Err("twice"));
        check("Digest realm=x", Err("neither"));
        assert_eq!(Challenge::read("Basic realm=\"x\""), Ok(Challenge::Basic));
    }

    #[test]
    fn realms() {
        let check = |registry: &str, realm: &str, expected: bool| {
            assert_eq!(is_near(registry, realm), expected, "{registry} {realm}");
        };
        check("ghcr.example", "ghcr.example", true);
        check("ghcr.example", "auth.ghcr.example", true);
        check("registry.gitlab.example", "gitlab.example", true);
        check("registry-1.docker.example", "auth.docker.example", true);
        check("127.0.0.1", "127.0.0.1", true);
        check("ghcr.example", "evil.example", false);
        check("ghcr.example", "evilghcr.example", false);
        check("registry.gitlab.example", "evilgitlab.example", false);
        check("192.168.1.1", "10.168.1.1", false);
        check("localhost", "evil.example", false);
        check("registry.docker.example", "docker.example.evil.example", false);
    }
}
