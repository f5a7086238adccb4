//! Answers that are too large, too short, or none.

use crate::{
    server::{Act, Server, answer, send},
    world::{connector, fetch, get, patient, policy, refused},
};
use futures::{StreamExt as _, stream};
use remit_egress::{Body, Limits, Method, Policy, Request, Target};
use std::io;

/// What becomes of these bytes as an answer, where a body may have 1000 bytes.
async fn check(acts: Vec<Act>, expected: Result<&str, &str>) {
    let server = Server::start(move |_| acts.clone()).await;
    let limits = Limits { body_bytes_max: 1000, head_bytes_max: 8 << 10, ..patient() };
    let fetched = fetch(&server, get(&server, "/").limits(limits)).await;
    match expected {
        Ok(body) => assert_eq!(fetched.expect("an answer").1, body),
        Err(part) => drop(refused(fetched, part)),
    }
}

#[tokio::test]
async fn whole_answers() {
    check(answer("200 OK", "", "body"), Ok("body")).await;
    check(answer("404 Not Found", "content-encoding: identity\r\n", "body"), Ok("body")).await;
    check(
        vec![send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n")],
        Ok("body"),
    )
    .await;
    check(vec![send("HTTP/1.1 200 OK\r\n\r\nuntil the end")], Ok("until the end")).await;
    check(vec![send("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx")], Ok("x")).await;
    check(vec![send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody and more than was announced")], Ok("body")).await;
    check(answer("200 OK", "", &"x".repeat(1000)), Ok(&"x".repeat(1000))).await;
}

#[tokio::test]
async fn too_much() {
    let large = "more than 1000 bytes";
    check(answer("200 OK", "", &"x".repeat(1001)), Err(large)).await;
    check(vec![send("HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551615\r\n\r\n"), Act::Hold], Err("")).await;
    check(vec![send("HTTP/1.1 200 OK\r\n\r\n"), Act::Forever(&[b'x'; 4096])], Err(large)).await;
    let chunks = vec![send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"), Act::Forever(b"4\r\nbody\r\n")];
    check(chunks, Err(large)).await;
    let head = "more than 8192 bytes or 100 lines of headers";
    check(vec![send("HTTP/1.1 200 OK\r\n"), Act::Forever(b"x-header: the same again\r\n")], Err(head)).await;
    check(vec![send("HTTP/1.1 200 OK\r\nx: "), Act::Forever(&[b'x'; 4096])], Err(head)).await;
    check(vec![send(&format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(101)))], Err(head)).await;
    let trailers = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n";
    check(vec![send(trailers), Act::Forever(b"x-trailer: the same again\r\n")], Err("")).await;
}

#[tokio::test]
async fn too_little() {
    let whole = "before its answer was whole";
    check(vec![], Err(whole)).await;
    check(vec![send("HTTP/1.1 200")], Err(whole)).await;
    check(vec![send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")], Err(whole)).await;
    check(vec![send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n10\r\nhalf")], Err(whole)).await;
    check(vec![send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n")], Err(whole)).await;
}

#[tokio::test]
async fn garbage() {
    let other = "not HTTP/1.1";
    check(vec![send("SSH-2.0-OpenSSH_9.2\r\n")], Err(other)).await;
    check(vec![Act::Send(vec![0x16, 3, 1, 0, 5, 1, 0])], Err(other)).await;
    check(vec![send("HTTP/1.1 200 OK\r\nno header\r\n\r\n")], Err(other)).await;
    check(vec![send("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n")], Err(other)).await;
    check(vec![send("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx")], Err(other)).await;
    check(vec![send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\nbody")], Err(other)).await;
    check(vec![send("HTTP/1.1 101 Switching Protocols\r\nupgrade: other\r\n\r\n")], Err("another protocol")).await;
    check(answer("200 OK", "content-encoding: gzip\r\n", "bomb"), Err("compressed body")).await;
    check(answer("200 OK", "content-encoding: identity\r\ncontent-encoding: br\r\n", "bomb"), Err("compressed")).await;
}

/// Sends a stream that says it has four bytes.
async fn send_pieces(pieces: Vec<io::Result<&'static str>>, expected: Result<(), &str>) {
    let server = Server::start(|_| answer("201 Created", "", "")).await;
    let target = Target::parse(&format!("http://a.test:{}/", server.port)).expect("a URL");
    let pieces = stream::iter(pieces).map(|piece| piece.map(Into::into)).boxed();
    let request = Request::new(Method::PUT, target).body(Body::Stream { bytes: 4, pieces }).limits(patient());
    let policy: Policy = policy(&[&server]).methods(&[Method::PUT]);
    let sent = connector(&[&server]).send(&policy, request).await;
    match expected {
        Ok(()) => {
            assert_eq!(sent.expect("an answer").status(), 201);
            assert!(server.seen()[0].ends_with("\r\n\r\nbody"));
        }
        Err(part) => drop(refused(sent, part)),
    }
}

#[tokio::test]
async fn bodies_that_are_sent() {
    send_pieces(vec![Ok("bo"), Ok(""), Ok("dy")], Ok(())).await;
    send_pieces(vec![Ok("bo")], Err("2 bytes too early")).await;
    send_pieces(vec![Ok("bo"), Ok("dies")], Err("longer than was said")).await;
    send_pieces(vec![Ok("bo"), Err(io::Error::other("the disk is gone"))], Err("the disk is gone")).await;
}

#[tokio::test]
async fn a_body_comes_piece_by_piece() {
    let head = send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nfirst");
    let server = Server::start(move |_| vec![head.clone(), Act::Hold]).await;
    let policy = policy(&[&server]);
    let mut answer = connector(&[&server]).send(&policy, get(&server, "/").limits(patient())).await.expect("an answer");
    assert_eq!(answer.bytes_announced(), Some(100));
    assert_eq!(answer.piece().await.expect("a piece").as_deref(), Some(b"first".as_slice()));
}
