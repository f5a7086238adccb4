//! What a grant lets pass.

use crate::{
    server::{Server, answer},
    world::{connector, fetch, get, patient, policy, refused},
};
use remit_egress::{Body, Connector, Error, HeaderName, HeaderValue, Method, Policy, Request, Target, header};

/// Whether a grant of these hosts lets a `GET` pass; names are not resolved where it does not.
async fn check(hosts: &[&str], url: &str, expected: Result<(), &str>) {
    let connector = Connector::new(crate::world::config(&std::sync::Arc::default(), &[])).expect("a connector");
    let policy = Policy::new(hosts).expect("hosts");
    let request = match Request::get(url) {
        Ok(request) => request,
        Err(error) => return assert!(expected.is_err_and(|part| error.to_string().contains(part)), "{url}: {error}"),
    };
    let error = connector.send(&policy, request).await.expect_err("nobody is there");
    match expected {
        // The scripted resolver does not know it: that is behind the check.
        Ok(()) => assert!(matches!(error, Error::Resolve { .. }), "{url}: {error}"),
        Err(part) => assert!(error.to_string().contains(part), "{url}: {error}"),
    }
}

#[tokio::test]
async fn hosts() {
    let hosts = &["api.example.com", "*.docs.example.com", "example.org:8443"];
    check(hosts, "https://api.example.com/", Ok(())).await;
    check(hosts, "https://API.Example.com./x/../y", Ok(())).await;
    check(hosts, "https://api.example.com:443/", Ok(())).await;
    check(hosts, "https://a.b.docs.example.com/", Ok(())).await;
    check(hosts, "https://example.org:8443/", Ok(())).await;
    check(hosts, "https://docs.example.com/", Err("not among the granted hosts")).await;
    check(hosts, "https://example.com/", Err("add \"example.com\"")).await;
    check(hosts, "https://api.example.com.evil.example/", Err("not among")).await;
    check(hosts, "https://evil.example/api.example.com", Err("not among")).await;
    check(hosts, "https://evildocs.example.com/", Err("not among")).await;
    check(hosts, "https://api.example.com:8443/", Err("add \"api.example.com:8443\"")).await;
    check(hosts, "https://example.org/", Err("not among")).await;
    check(hosts, "http://api.example.com/", Err("without TLS")).await;
    check(hosts, "https://api.example.com@evil.example/", Err("user name")).await;
    check(hosts, "https://api.example.com\\@evil.example/", Ok(())).await;
    check(hosts, "https://api.example.com%2eevil.example/", Err("not among")).await;
    check(hosts, "https://ａpi.example.com/", Ok(())).await;
    check(hosts, "https://аpi.example.com/", Err("not among")).await;
    check(hosts, "ftp://api.example.com/", Err("neither https nor http")).await;
    check(hosts, "file:///etc/passwd", Err("neither https nor http")).await;
    check(hosts, "api.example.com", Err("not a whole URL")).await;
    check(hosts, "https://", Err("not a whole URL")).await;
    check(hosts, "https://./", Err("names no host")).await;
    check(hosts, "https://api.example.com:0/", Err("port is 0")).await;
    check(hosts, &format!("https://api.example.com/{}", "x".repeat(9000)), Err("longer than 8 KiB")).await;
}

#[tokio::test]
async fn methods() {
    let server = Server::start(|_| answer("200 OK", "", "done")).await;
    let post = |method| {
        let target = Target::parse(&format!("http://a.test:{}/", server.port)).expect("a URL");
        Request::new(method, target).body(Body::Bytes("letter".into())).limits(patient())
    };
    refused(fetch(&server, post(Method::POST)).await, "POST requests are not granted");
    refused(fetch(&server, post(Method::CONNECT)).await, "CONNECT requests are not granted");
    assert!(server.seen().is_empty());
    let policy = policy(&[&server]).methods(&[Method::POST]);
    let answer = connector(&[&server]).send(&policy, post(Method::POST)).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let seen = server.seen();
    assert!(seen[0].starts_with("POST / HTTP/1.1\r\n") && seen[0].ends_with("\r\n\r\nletter"), "{}", seen[0]);
}

#[tokio::test]
async fn headers_that_frame_a_message_are_the_connectors_own() {
    let server = Server::start(|_| answer("200 OK", "set-cookie: a=b\r\n", "")).await;
    for name in
        ["host", "cookie", "content-length", "transfer-encoding", "connection", "proxy-connection", "accept-encoding"]
    {
        let name = HeaderName::from_static(name);
        let request = get(&server, "/").header(name.clone(), HeaderValue::from_static("5"));
        refused(fetch(&server, request).await, name.as_str());
    }
    let request = get(&server, "/x?y=z#part").header(header::ACCEPT, HeaderValue::from_static("text/plain"));
    let answer = connector(&[&server]).send(&policy(&[&server]), request).await.expect("an answer");
    assert!(!answer.headers().contains_key(header::SET_COOKIE));
    let mut lines: Vec<String> = server.seen()[0].trim_end().lines().map(str::to_owned).collect();
    lines.sort();
    let version = env!("CARGO_PKG_VERSION");
    let expected = [
        "GET /x?y=z HTTP/1.1".to_owned(),
        "accept-encoding: identity".to_owned(),
        "accept: text/plain".to_owned(),
        "connection: close".to_owned(),
        format!("host: a.test:{}", server.port),
        format!("user-agent: remit/{version}"),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn what_is_shown_of_a_url_has_no_query() {
    let target = Target::parse("https://example.com/file?signature=hush").expect("a URL");
    assert_eq!(format!("{target:?}"), "https://example.com/file");
}
