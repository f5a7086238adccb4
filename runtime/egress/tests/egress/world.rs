//! Names with scripted addresses, and connectors that know them.

use crate::server::Server;
use futures::future::BoxFuture;
use remit_egress::{Config, Connector, Error, IpNet, Limits, Local, Policy, Request, Resolver, Response};
use std::{
    collections::{HashMap, VecDeque},
    io,
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

/// Answers each name from its own list, one answer after the other, the last one for ever. Names below `.test` are on loopback.
#[derive(Default)]
pub(crate) struct Names {
    scripts: Mutex<HashMap<String, VecDeque<Vec<IpAddr>>>>,
    asked: Mutex<Vec<String>>,
}

impl Names {
    pub(crate) fn script(&self, name: &str, answers: &[&[&str]]) {
        let parse = |answer: &&[&str]| answer.iter().map(|text| text.parse().expect("an address")).collect();
        self.scripts.lock().expect("names").insert(name.to_owned(), answers.iter().map(parse).collect());
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("names").clone()
    }
}

impl Resolver for Names {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        self.asked.lock().expect("names").push(name.to_owned());
        let mut scripts = self.scripts.lock().expect("names");
        let answer = match scripts.get_mut(name) {
            Some(answers) if answers.len() > 1 => Ok(answers.pop_front().expect("an answer")),
            Some(answers) => Ok(answers.front().cloned().unwrap_or_default()),
            None if name == "stuck.test" => return Box::pin(std::future::pending()),
            None if name.ends_with(".test") => Ok(vec!["127.0.0.1".parse().expect("an address")]),
            None => Err(io::Error::other("no such name")),
        };
        Box::pin(async { answer })
    }
}

pub(crate) fn loopback() -> Vec<IpNet> {
    vec!["127.0.0.0/8".parse().expect("a network")]
}

/// An operator who opens loopback to all names below `.test` at the servers' ports.
pub(crate) fn config(names: &Arc<Names>, servers: &[&Server]) -> Config {
    let hosts: Vec<String> = servers.iter().map(|server| format!("*.test:{}", server.port)).collect();
    let locals = if hosts.is_empty() { Vec::new() } else { vec![Local::new(&hosts, &loopback()).expect("hosts")] };
    Config { locals, resolver: Arc::clone(names) as Arc<dyn Resolver>, ..Config::default() }
}

pub(crate) fn connector(servers: &[&Server]) -> Connector {
    Connector::new(config(&Arc::default(), servers)).expect("a connector")
}

/// All names below `.test` at the servers' ports, without TLS.
pub(crate) fn policy(servers: &[&Server]) -> Policy {
    let hosts: Vec<String> = servers.iter().map(|server| format!("*.test:{}", server.port)).collect();
    Policy::new(&hosts).expect("hosts").without_tls()
}

/// A `GET` of this server.
pub(crate) fn get(server: &Server, path: &str) -> Request {
    Request::get(&format!("http://a.test:{}{path}", server.port)).expect("a URL")
}

/// Limits that no test reaches unless it sets one of them.
pub(crate) fn patient() -> Limits {
    let long = Duration::from_secs(60);
    Limits { connect: long, answer: long, idle: long, total: long, ..Limits::default() }
}

/// How long a test waits for what never comes.
pub(crate) const SHORT: Duration = Duration::from_millis(100);

/// Sends to one server, takes the whole body, and gives back what came of it.
pub(crate) async fn fetch(server: &Server, request: Request) -> Result<(u16, String), Error> {
    whole(connector(&[server]).send(&policy(&[server]), request).await?).await
}

pub(crate) async fn whole(answer: Response) -> Result<(u16, String), Error> {
    let status = answer.status().as_u16();
    Ok((status, String::from_utf8_lossy(&answer.bytes().await?).into_owned()))
}

/// It fails, and says so with this part of a sentence.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, Error>, part: &str) -> Error {
    let error = result.expect_err("it is refused");
    assert!(error.to_string().contains(part), "{error} does not say {part:?}");
    error
}
