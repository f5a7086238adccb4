//! Who a server is.

use crate::{
    server::{Server, answer},
    world::{Names, config, patient, refused, whole},
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use remit_egress::{Config, Connector, Error, Policy, Request, Trust};
use rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// A server for `a.test` and `b.test`, and the certificate of the authority that says so, as PEM.
fn acceptor() -> (TlsAcceptor, String) {
    let mut params = CertificateParams::new([]).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&authority).expect("an authority").pem();
    let key = KeyPair::generate().expect("a key");
    let names = CertificateParams::new(["a.test".to_owned(), "b.test".to_owned()]).expect("names");
    let server = names.signed_by(&key, &Issuer::new(params, authority)).expect("a certificate");
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("versions").with_no_client_auth();
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let config = builder.with_single_cert(vec![server.der().clone()], key).expect("a server");
    (TlsAcceptor::from(Arc::new(config)), certificate)
}

async fn ask(server: &Server, host: &str, trust: Trust) -> Result<(u16, String), Error> {
    let connector = Connector::new(Config { trust, ..config(&Arc::new(Names::default()), &[server]) });
    let hosts = [format!("*.test:{}", server.port)];
    let policy = Policy::new(&hosts).expect("hosts").without_tls();
    let request = Request::get(&format!("https://{host}:{}/", server.port)).expect("a URL").limits(patient());
    whole(connector.expect("a connector").send(&policy, request).await?).await
}

fn trusted(authority: &str) -> Trust {
    Trust::default().and(authority.as_bytes()).expect("an authority")
}

#[tokio::test]
async fn certificates() {
    let (acceptor, authority) = acceptor();
    let server = Server::start_tls(acceptor, |_| answer("200 OK", "", "secure")).await;
    let trusted = || trusted(&authority);
    assert_eq!(ask(&server, "a.test", trusted()).await.expect("an answer"), (200, "secure".to_owned()));
    assert_eq!(ask(&server, "b.test", trusted().only_own()).await.expect("an answer").1, "secure");
    refused(ask(&server, "c.test", trusted()).await, "https://c.test");
    refused(ask(&server, "a.test", Trust::default()).await, "invalid peer certificate: UnknownIssuer");
    let plain = Server::start(|_| answer("200 OK", "", "open")).await;
    refused(ask(&plain, "a.test", trusted()).await, "could not be spoken to over TLS");
}

#[tokio::test]
async fn never_from_tls_to_none() {
    let plain = Server::start(|_| answer("200 OK", "", "open")).await;
    let headers = format!("location: http://a.test:{}/\r\n", plain.port);
    let (acceptor, authority) = acceptor();
    let server = Server::start_tls(acceptor, move |_| answer("302 Found", &headers, "")).await;
    refused(ask(&server, "a.test", trusted(&authority)).await, "which is without TLS: this is never followed");
    assert!(plain.seen().is_empty());
}

#[test]
fn files_of_authorities() {
    let check = |pem: &[u8], part: &str| {
        let error = Trust::default().and(pem).and_then(|trust| Connector::new(Config { trust, ..Config::default() }));
        let error = error.expect_err("it is refused").to_string();
        assert!(error.contains(part), "{error}");
    };
    check(b"", "it holds none");
    check(b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", "cannot be used");
    check(b"-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n", "cannot be used");
}
