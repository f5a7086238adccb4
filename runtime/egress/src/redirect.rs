//! What a redirect makes of a request (RFC 9110, section 15.4, as the Fetch standard reads it).
//!
//! A place that the request was at already may answer differently the next time: only the number of redirects ends a circle.

use crate::{Error, Policy, Response, connector::Hop, request::is_credential};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, StatusCode, header};

/// The next hop; `None`: this is the answer.
pub(crate) fn next(policy: &Policy, hop: &Hop, answer: &Response) -> Result<Option<Hop>, Error> {
    let status = answer.status();
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) || !answer.headers().contains_key(header::LOCATION) {
        return Ok(None);
    }
    let from = hop.target.place();
    let unusable = |reason| Error::RedirectUrl { place: from.clone(), reason };
    let location = answer.header(&header::LOCATION).ok_or_else(|| unusable("it says several, or no text"))?;
    let target = hop.target.join(location).map_err(unusable)?;
    let refused = |refusal| Error::Redirect { place: from.clone(), refusal: Box::new(refusal) };
    if from.is_tls() && !target.place().is_tls() {
        return Err(Error::Downgrade { place: from.clone(), to: target.place().clone() });
    }
    let method = method_after(status, &hop.method);
    policy.admit_redirected(&method, &target).map_err(refused)?;
    let (body, mut headers) = if method == hop.method {
        let body = hop.body.clone().ok_or_else(|| Error::RedirectStream { place: from.clone() })?;
        (body, hop.headers.clone())
    } else {
        (Bytes::new(), without_body(&hop.headers))
    };
    let mut credentials = hop.credentials.clone();
    if target.place() != from {
        credentials.clear();
        headers = keep(&headers, |name| !is_credential(name));
    }
    Ok(Some(Hop { method, target, headers, credentials, body: Some(body) }))
}

/// `303 See Other` leads to something to be read, and so do the two older ones after a `POST`, as browsers made it the rule.
fn method_after(status: StatusCode, method: &Method) -> Method {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    match status.as_u16() {
        303 if !reads => Method::GET,
        301 | 302 if *method == Method::POST => Method::GET,
        _ => method.clone(),
    }
}

/// Without what describes the body.
fn without_body(headers: &HeaderMap) -> HeaderMap {
    keep(headers, |name| !name.as_str().starts_with("content-"))
}

fn keep(headers: &HeaderMap, wanted: impl Fn(&HeaderName) -> bool) -> HeaderMap {
    headers.iter().filter(|(name, _)| wanted(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod unit_tests {
    use super::method_after;
    use crate::Target;
    use http::{Method, StatusCode};

    #[test]
    fn methods() {
        let check = |status: u16, method: Method, expected: Method| {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(method_after(status, &method), expected, "{status} {method}");
        };
        check(301, Method::POST, Method::GET);
        check(302, Method::POST, Method::GET);
        check(303, Method::PUT, Method::GET);
        check(303, Method::HEAD, Method::HEAD);
        check(302, Method::PUT, Method::PUT);
        check(307, Method::POST, Method::POST);
        check(308, Method::POST, Method::POST);
        check(301, Method::GET, Method::GET);
    }

    #[test]
    fn where_a_location_leads() {
        let check = |location: &str, expected: Result<&str, &str>| {
            let from = Target::parse("https://a.example/x/y?q=1").expect("a URL");
            let led = from.join(location);
            match (&led, expected) {
                (Ok(to), Ok(expected)) => assert_eq!(to.as_str(), expected),
                (Err(reason), Err(part)) => assert!(reason.contains(part), "{reason}"),
                _ => panic!("{location} led to {led:?}"),
            }
        };
        check("z", Ok("https://a.example/x/z"));
        check("/z#part", Ok("https://a.example/z"));
        check("//B.Example./z", Ok("https://b.example/z"));
        check("https://b.example:443", Ok("https://b.example/"));
        check("https://user@b.example/", Err("user name"));
        check("ftp://b.example/", Err("neither"));
        check("https://", Err("cannot be read"));
        check("https://b.example:0/", Err("port"));
        check(&format!("/{}", "z".repeat(9000)), Err("longer"));
    }
}
