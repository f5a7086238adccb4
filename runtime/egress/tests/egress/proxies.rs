//! The operator's proxy, and no other.

use crate::{
    server::{Act, Server, send},
    world::{Names, config, get, patient, policy, refused, whole},
};
use remit_egress::{Config, Connector, Credential, Proxy, SecretText};
use std::sync::Arc;

fn through(proxy: &Server, credential: Option<Credential>, server: &Server) -> Connector {
    let proxy = Proxy { authority: format!("127.0.0.1:{}", proxy.port), credential };
    let names = Arc::new(Names::default());
    Connector::new(Config { proxy: Some(proxy), ..config(&names, &[server]) }).expect("a connector")
}

#[tokio::test]
async fn a_tunnel_to_the_address_that_was_checked() {
    // Behind its answer to CONNECT the scripted proxy plays the server too.
    let proxy = Server::start(|_| {
        let far = send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfar!");
        vec![send("HTTP/1.1 200 OK\r\n\r\n"), Act::Read, far, Act::Hold]
    })
    .await;
    let server = Server::start(|_| Vec::new()).await;
    let password = Credential::basic("me", &SecretText::new("hush".to_owned()));
    let connector = through(&proxy, Some(password), &server);
    let answer = connector.send(&policy(&[&server]), get(&server, "/").limits(patient())).await.expect("an answer");
    assert_eq!(whole(answer).await.expect("a body").1, "far!");
    let asked = proxy.seen().remove(0);
    assert!(asked.starts_with(&format!("CONNECT 127.0.0.1:{} HTTP/1.1\r\n", server.port)), "{asked}");
    assert!(asked.contains("proxy-authorization: Basic bWU6aHVzaA=="), "{asked}");
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_proxy_that_refuses() {
    let proxy = Server::start(|_| vec![send("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")]).await;
    let server = Server::start(|_| Vec::new()).await;
    let connector = through(&proxy, None, &server);
    refused(connector.send(&policy(&[&server]), get(&server, "/").limits(patient())).await, "it answered 403");
}

#[test]
fn proxies_that_are_none() {
    for authority in ["", "host/path", "user@host:1"] {
        let proxy = Some(Proxy { authority: authority.to_owned(), credential: None });
        let error = Connector::new(Config { proxy, ..Config::default() }).expect_err("it is refused").to_string();
        assert!(error.contains("write host:port"), "{error}");
    }
}
