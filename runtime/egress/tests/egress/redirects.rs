//! From hop to hop.

use crate::{
    server::{Server, answer},
    world::{Names, config, connector, fetch, get, patient, policy, refused, whole},
};
use futures::{StreamExt as _, stream};
use remit_egress::{
    Body, Connector, Credential, HeaderValue, Method, Policy, Redirects, Request, SecretText, Target, header,
};
use std::sync::Arc;

fn redirect(to: &str) -> Vec<crate::server::Act> {
    answer("302 Found", &format!("location: {to}\r\n"), "")
}

/// What becomes of a redirect to this place.
async fn check(to: &str, part: &str) {
    let location = to.to_owned();
    let server = Server::start(move |_| redirect(&location)).await;
    refused(fetch(&server, get(&server, "/")).await, part);
    assert_eq!(server.seen().len(), 1, "{to}");
}

#[tokio::test]
async fn where_redirects_do_not_lead() {
    check("https://evil.example/", "redirects, and that was not followed: https://evil.example is not among").await;
    check("http://127.0.0.1:22/", "not among").await;
    check("http://169.254.169.254/latest/meta-data/", "not among").await;
    check("file:///etc/passwd", "neither https nor http").await;
    check("http://user:password@a.test/", "user name").await;
    check("http://", "cannot be read").await;
    check("/x\r\nlocation: /y", "it says several").await;
}

#[tokio::test]
async fn a_circle_ends() {
    let server = Server::start(|_| redirect("/again")).await;
    refused(fetch(&server, get(&server, "/")).await, "once more after 5 redirects");
    assert_eq!(server.seen().len(), 6);
}

#[tokio::test]
async fn followed_to_the_end() {
    let server = Server::start(|request| match request.split(' ').nth(1) {
        Some("/one/") => redirect("two"),
        Some("/one/two") => answer("308 Permanent Redirect", "location: ?three\r\n", ""),
        Some("/one/two?three") => answer("200 OK", "", "arrived"),
        _ => answer("404 Not Found", "", ""),
    })
    .await;
    assert_eq!(fetch(&server, get(&server, "/one/")).await.expect("an answer"), (200, "arrived".to_owned()));
}

#[tokio::test]
async fn returned_where_the_policy_says_so() {
    let server = Server::start(|_| redirect("https://evil.example/")).await;
    let policy = policy(&[&server]).redirects(Redirects::Returned);
    let answer = connector(&[&server]).send(&policy, get(&server, "/")).await.expect("an answer");
    assert_eq!(answer.header(&header::LOCATION), Some("https://evil.example/"));
}

/// Follows a redirect with credentials to a URL that is made of the port of a second server, and gives back what it was asked.
async fn carried(path: &str, to: impl Fn(u16, u16) -> String) -> String {
    let second = Server::start(|_| answer("200 OK", "", "arrived")).await;
    let other = second.port;
    let location = Arc::new(std::sync::Mutex::new(String::new()));
    let said = Arc::clone(&location);
    let first = Server::start(move |request| {
        if request.contains(" /there ") {
            return answer("200 OK", "", "arrived");
        }
        redirect(&said.lock().expect("a location"))
    })
    .await;
    *location.lock().expect("a location") = to(first.port, other);
    let token = Credential::bearer(&SecretText::new("hush".to_owned()));
    let request = get(&first, path)
        .credential(header::AUTHORIZATION, token)
        .header("x-api-key".parse().expect("a name"), HeaderValue::from_static("hush"))
        .header(header::ACCEPT, HeaderValue::from_static("text/plain"))
        .limits(patient());
    let answer = connector(&[&first, &second]).send(&policy(&[&first, &second]), request).await.expect("an answer");
    assert_eq!(whole(answer).await.expect("a body").1, "arrived");
    assert!(first.seen()[0].contains("authorization: Bearer hush") && first.seen()[0].contains("x-api-key: hush"));
    let mut seen = first.seen();
    seen.extend(second.seen());
    assert_eq!(seen.len(), 2);
    seen.remove(1)
}

#[tokio::test]
async fn credentials_stay_at_their_origin() {
    let same = carried("/", |_, _| "/there".to_owned()).await;
    assert!(same.contains("authorization: Bearer hush") && same.contains("x-api-key: hush"), "{same}");
    // Another port, and another host at the same port.
    for other in [
        carried("/", |_, port| format!("http://a.test:{port}/there")).await,
        carried("/", |port, _| format!("http://b.test:{port}/there")).await,
    ] {
        assert!(!other.contains("hush"), "{other}");
        assert!(other.contains("accept: text/plain"), "{other}");
    }
}

#[tokio::test]
async fn what_becomes_of_a_body() {
    let server = Server::start(|request| match request.split(' ').nth(1) {
        Some("/see-other") => answer("303 See Other", "location: /there\r\n", ""),
        Some("/again") => answer("307 Temporary Redirect", "location: /there\r\n", ""),
        _ => answer("200 OK", "", ""),
    })
    .await;
    let post = |path: &str, body| {
        let target = Target::parse(&format!("http://a.test:{}{path}", server.port)).expect("a URL");
        let kind = HeaderValue::from_static("text/plain");
        Request::new(Method::POST, target).header(header::CONTENT_TYPE, kind).body(body)
    };
    let policy = policy(&[&server]).methods(&[Method::GET, Method::POST]);
    let connector = connector(&[&server]);
    for path in ["/see-other", "/again"] {
        connector.send(&policy, post(path, Body::Bytes("letter".into()))).await.expect("an answer");
    }
    let seen = server.seen();
    assert!(seen[1].starts_with("GET /there ") && !seen[1].contains("content-type"), "{}", seen[1]);
    assert!(seen[3].starts_with("POST /there ") && seen[3].ends_with("letter"), "{}", seen[3]);
    let pieces = || Body::Stream { bytes: 6, pieces: stream::iter([Ok("letter".into())]).boxed() };
    connector.send(&policy, post("/see-other", pieces())).await.expect("an answer");
    refused(connector.send(&policy, post("/again", pieces())).await, "cannot be sent again");
    // The grant has no GET, so what a POST becomes is refused.
    let narrow = policy.methods(&[Method::POST]);
    refused(connector.send(&narrow, post("/see-other", Body::Empty)).await, "GET requests are not granted");
}

#[tokio::test]
async fn to_any_public_host_where_the_policy_says_so() {
    let check = async |method: Method, to: &str, resolved: Option<&str>, part: &str| {
        let location = to.to_owned();
        let server = Server::start(move |_| redirect(&location)).await;
        let names = Arc::new(Names::default());
        if let Some(address) = resolved {
            names.script("store.example", &[&[address]]);
        }
        let connector = Connector::new(config(&names, &[&server])).expect("a connector");
        let policy: Policy = policy(&[&server]).methods(&[Method::GET, Method::PUT]).redirects(Redirects::Public);
        let target = Target::parse(&format!("http://a.test:{}/", server.port)).expect("a URL");
        refused(connector.send(&policy, Request::new(method, target)).await, part);
        assert_eq!(names.asked().len(), if part.contains("redirects, and that") { 1 } else { 2 }, "{to}");
    };
    let get = || Method::GET;
    // Followed: the scripted resolver is asked.
    check(get(), "https://store.example/blob", None, "no such name").await;
    check(get(), "https://store.example/blob", Some("127.0.0.1"), "loopback").await;
    check(get(), "https://store.example/blob", Some("169.254.169.254"), "metadata").await;
    check(get(), "https://store.example:8443/blob", None, "redirects, and that was not followed").await;
    check(get(), "http://store.example/blob", None, "redirects, and that was not followed").await;
    check(Method::PUT, "https://store.example/blob", None, "redirects, and that was not followed").await;
}
