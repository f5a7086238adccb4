//! The control socket under clients that are broken, greedy or slow.

use super::stage::{Host, program};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Write},
    time::{Duration, Instant},
};

/// How long the host is asked for what it has no place for.
const FLOOD: Duration = Duration::from_millis(500);

const HEALTH: &[u8] = b"GET /v1/health HTTP/1.1\r\nhost: remit\r\nconnection: close\r\n\r\n";

fn request(method: &str, path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("{method} {path} HTTP/1.1\r\nhost: remit\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
        .into()
}

#[test]
fn mistakes_are_answered_each_with_its_status_and_code() {
    let host = Host::up();
    let check = |request: &[u8], status: &str, code: &str| {
        let answer = host.answer(request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
        let body: Value = serde_json::from_str(body).expect("it is JSON");
        assert_eq!(body["code"], code, "{answer}");
        assert!(body["message"].as_str().is_some_and(|sentence| sentence.len() > 20), "{answer}");
    };
    check(&request("GET", "/", ""), "404", "not-found");
    check(&request("GET", "/v2/health", ""), "404", "not-found");
    check(&request("DELETE", "/v1/health", ""), "405", "wrong-method");
    check(&request("GET", "/v1/processes/everything", ""), "400", "bad-request");
    check(&request("GET", "/v1/processes/0.7.1", ""), "404", "no-such-process");
    check(&request("GET", "/v1/processes/0.7.1/events?folow=true", ""), "400", "bad-request");
    check(&request("DELETE", "/v1/grants/7.1", ""), "404", "no-such-grant");
    check(&request("POST", "/v1/tasks", "{"), "400", "bad-request");
    check(&request("POST", "/v1/tasks", r#"{"agent":"x","grant":[]}"#), "400", "bad-request");
    check(&request("POST", "/v1/tasks", r#"{"agent":"x"}"#), "404", "no-such-agent");
    check(&request("POST", "/v1/tasks", r#"{"agent":"some/where"}"#), "422", "invalid");
    check(&request("POST", "/v1/freeze", r#"{"tenant":-1}"#), "400", "bad-request");
    let core = format!(r#"{{"agent":{:?}}}"#, program("core_module"));
    check(&request("POST", "/v1/tasks", &core), "422", "refused");
    let announced =
        b"POST /v1/tasks HTTP/1.1\r\nhost: remit\r\nconnection: close\r\ncontent-length: 99999999999\r\n\r\n";
    check(announced, "413", "too-large");
}

#[test]
fn garbage_and_floods_leave_the_host_alive() {
    let host = Host::up();
    let noise: Vec<u8> = (0..1_000_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for bytes in
        [noise.as_slice(), b"\0", b"GET / HTTP/9.9\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[b'a'; 100_000]]
    {
        let answer = host.answer(bytes);
        assert!(!answer.contains("200 OK"), "{answer}");
    }
    let mut held = Vec::new();
    let (flood, mut refused) = (Instant::now(), 0);
    while flood.elapsed() < FLOOD || refused == 0 {
        let answer = host.answer(HEALTH);
        if answer.starts_with("HTTP/1.1 200") {
            // There is a place, at first or since a silent client has lost its own: others take it.
            held.extend((0..64).map(|_| host.connect()));
            continue;
        }
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("\"busy\""), "{answer}");
        refused += 1;
    }
    drop(held);
    host.until("a free place", |host| host.answer(HEALTH).starts_with("HTTP/1.1 200").then_some(()));
    assert!(host.ask(&["status"]).contains("is well"));
}

#[test]
fn a_client_that_does_not_read_makes_its_task_wait_and_loses_nothing() {
    let host = Host::up();
    let mut stream = host.connect();
    let asked = format!(r#"{{"agent":{:?}}}"#, program("torrent"));
    stream.write_all(&request("POST", "/v1/tasks", &asked)).expect("it is open");
    // The queues on the way hold a part of it; then it waits for its listener.
    let waits = |host: &Host| {
        let process = host.json(&["ps"])["processes"][0].clone();
        (process["waits_in"] == "task").then_some(())
    };
    host.until("the wait", waits);
    let mut lines = BufReader::new(stream).lines().map(|line| line.expect("it comes to its end"));
    // Lines of the protocol stand between the sizes of the answer's chunks.
    let mut objects = lines.by_ref().filter(|line| line.starts_with('{'));
    let mut next = || serde_json::from_str::<Value>(&objects.next().expect("there is more")).expect("it is JSON");
    assert_eq!(next()["type"], "started");
    for number in 0..1000 {
        let line = next();
        let text = line["text"].as_str().expect("it is a text");
        assert_eq!((text.len() >> 13, text.split_once(' ').map(|(first, _)| first)), (1, Some(&*number.to_string())));
    }
    assert_eq!(next()["status"], "complete");
}

#[test]
fn streams_leave_connections_for_whoever_wants_to_end_them() {
    let host = Host::up();
    let pid = host.detach("sleeper", &["3600000"]);
    let follow = format!("/v1/processes/{pid}/events?follow=true");
    let open = || {
        let mut stream = host.connect();
        stream.write_all(&request("GET", &follow, "")).expect("it is open");
        let mut stream = BufReader::new(stream);
        let mut status = String::new();
        stream.read_line(&mut status).expect("it answers");
        (stream, status)
    };
    let streams: Vec<_> = (0..48).map(|_| open()).collect();
    assert!(streams.iter().all(|(_, status)| status.contains("200")), "{:?}", streams.last());
    assert!(open().1.contains("503"), "one more is refused");
    assert_eq!(host.ask(&["kill", &pid]), format!("{pid} was killed\n"));
}
