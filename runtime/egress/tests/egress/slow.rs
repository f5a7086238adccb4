//! Whoever stalls is left, at each stage. Each test reaches one limit and no other.

use crate::{
    server::{Act, Server, send},
    world::{Names, SHORT, config, get, patient, policy, refused, whole},
};
use remit_egress::{Body, Connector, Limits, Method, Request, Target};
use std::{sync::Arc, time::Duration};
use tokio::net::TcpListener;

async fn check(acts: Vec<Act>, limits: Limits, part: &str) {
    let server = Server::start(move |_| acts.clone()).await;
    let connector = Connector::new(config(&Arc::default(), &[&server])).expect("a connector");
    let fetched = match connector.send(&policy(&[&server]), get(&server, "/").limits(limits)).await {
        Ok(answer) => whole(answer).await,
        Err(error) => Err(error),
    };
    refused(fetched, part);
}

#[tokio::test]
async fn names() {
    let limits = Limits { connect: SHORT, ..patient() };
    let connector = Connector::new(config(&Arc::new(Names::default()), &[])).expect("a connector");
    let policy = remit_egress::Policy::new(&["stuck.test"]).expect("hosts");
    let request = Request::get("https://stuck.test/").expect("a URL").limits(limits);
    refused(connector.send(&policy, request).await, "was not resolved within 100 ms");
}

#[tokio::test]
async fn handshakes() {
    // It accepts, and never says a word.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let host = format!("a.test:{port}");
    let locals = vec![remit_egress::Local::new(&[&host], &crate::world::loopback()).expect("hosts")];
    let config = remit_egress::Config { locals, ..config(&Arc::default(), &[]) };
    let connector = Connector::new(config).expect("a connector");
    let policy = remit_egress::Policy::new(&[&host]).expect("hosts");
    let limits = Limits { connect: SHORT, ..patient() };
    let request = Request::get(&format!("https://{host}/")).expect("a URL").limits(limits);
    refused(connector.send(&policy, request).await, "did not finish the handshake of TLS within 100 ms");
}

#[tokio::test]
async fn answers() {
    let limits = Limits { answer: SHORT, ..patient() };
    check(vec![Act::Hold], limits, "did not answer within 100 ms").await;
    check(vec![send("HTTP/1.1 200 OK\r\n"), Act::Hold], limits, "did not answer within 100 ms").await;
}

#[tokio::test]
async fn bodies() {
    let limits = Limits { idle: SHORT, ..patient() };
    let head = send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
    check(vec![head, Act::Hold], limits, "sent nothing more of its answer within 100 ms").await;
}

#[tokio::test]
async fn drops_that_never_end() {
    let limits = Limits { total: SHORT, ..patient() };
    let drop = Act::Every(Duration::from_millis(5), b"x");
    check(vec![send("HTTP/1.1 200 OK\r\n\r\n"), drop.clone()], limits, "was not done within 100 ms").await;
    check(vec![send("HTTP/1.1 200 OK\r\nx: "), drop], limits, "was not done within 100 ms").await;
    let hint = Act::Every(Duration::from_millis(5), b"HTTP/1.1 103 Early Hints\r\n\r\n");
    check(vec![hint], limits, "was not done within 100 ms").await;
}

#[tokio::test]
async fn readers_who_take_no_body() {
    // It reads the head and no more, so that the sender's buffers fill.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let host = format!("a.test:{}", listener.local_addr().expect("an address").port());
    let locals = vec![remit_egress::Local::new(&[&host], &crate::world::loopback()).expect("hosts")];
    let config = remit_egress::Config { locals, ..config(&Arc::default(), &[]) };
    let connector = Connector::new(config).expect("a connector");
    let policy = remit_egress::Policy::new(&[&host]).expect("hosts").without_tls().methods(&[Method::PUT]);
    let limits = Limits { answer: SHORT, ..patient() };
    let target = Target::parse(&format!("http://{host}/")).expect("a URL");
    let body = Body::Bytes(vec![0; 64 << 20].into());
    refused(
        connector.send(&policy, Request::new(Method::PUT, target).body(body).limits(limits)).await,
        "did not answer",
    );
}
