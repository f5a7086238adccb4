//! Secrets go where they belong, and are seen nowhere.

use crate::{
    server::{Server, answer},
    world::{Names, config, connector, get, policy, refused},
};
use remit_abi::{GrantKind, Scope};
use remit_egress::{Config, Connector, Credential, HeaderValue, Policy, Request, Secret, SecretText, Secrets, header};
use std::{collections::HashMap, sync::Arc};

const HUSH: &str = "hush-4711";

struct Kept(HashMap<&'static str, Secret>);

impl Secrets for Kept {
    fn secret(&self, name: &str) -> Option<Secret> {
        self.0.get(name).cloned()
    }
}

fn secret(text: &str, host: &str) -> Secret {
    let hosts = Scope::parse(GrantKind::Http, &[host]).expect("hosts");
    Secret { text: SecretText::new(text.to_owned()), hosts }
}

fn named(name: &str) -> Credential {
    Credential::Named { prefix: "Bearer ".to_owned(), secret: name.to_owned() }
}

#[tokio::test]
async fn by_name() {
    let server = Server::start(|_| answer("200 OK", "", "")).await;
    let here = format!("a.test:{}", server.port);
    let kept = [
        ("right", secret(HUSH, &here)),
        ("elsewhere", secret(HUSH, "other.example")),
        ("broken", secret(&format!("{HUSH}\r\nx: y"), &here)),
    ];
    let secrets = Arc::new(Kept(HashMap::from(kept)));
    let connector = Connector::new(Config { secrets, ..config(&Arc::default(), &[&server]) }).expect("a connector");
    let ask = async |name: &str| {
        let request = get(&server, "/").credential(header::AUTHORIZATION, named(name));
        assert!(!format!("{request:?}").contains(HUSH));
        connector.send(&policy(&[&server]), request).await
    };
    ask("right").await.expect("an answer");
    assert!(server.seen()[0].contains(&format!("authorization: Bearer {HUSH}\r\n")));
    for (name, part) in
        [("none", "there is no secret"), ("elsewhere", "is not for http://a.test"), ("broken", "cannot be sent")]
    {
        let error = refused(ask(name).await, part);
        assert!(error.to_string().contains(name));
        assert!(!format!("{error} {error:?}").contains(HUSH), "{error:?}");
    }
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn not_without_tls_but_to_local_hosts() {
    let names = Arc::new(Names::default());
    names.script("far.example", &[&["93.184.215.14"]]);
    let connector = Connector::new(config(&names, &[])).expect("a connector");
    let policy = Policy::new(&["far.example"]).expect("hosts").without_tls();
    let request = || Request::get("http://far.example/").expect("a URL");
    let token = Credential::bearer(&SecretText::new(HUSH.to_owned()));
    refused(connector.send(&policy, request().credential(header::AUTHORIZATION, token)).await, "without TLS");
    let plain = request().header(header::AUTHORIZATION, HeaderValue::from_static(HUSH));
    assert!(!format!("{plain:?}").contains(HUSH));
    refused(connector.send(&policy, plain).await, "without TLS");
    assert!(names.asked().is_empty());
}

#[tokio::test]
async fn basic() {
    let server = Server::start(|_| answer("200 OK", "", "")).await;
    // RFC 7617, section 2.
    let credential = Credential::basic("Aladdin", &SecretText::new("open sesame".to_owned()));
    assert!(!format!("{credential:?}").contains("QWxh"));
    let request = get(&server, "/").credential(header::AUTHORIZATION, credential);
    connector(&[&server]).send(&policy(&[&server]), request).await.expect("an answer");
    assert!(server.seen()[0].contains("authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"));
}
