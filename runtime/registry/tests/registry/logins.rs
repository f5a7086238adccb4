//! Who one is, and whom one tells.

use crate::{
    fake::{Asked, Fake, Trick, raw},
    world::{Desk, client, location, refused},
};
use remit_egress::SecretText;
use remit_registry::{Client, Credentials, Login};
use std::{os::unix::fs::PermissionsExt as _, path::Path};

const BASIC: &str = "Basic bWU6aHVzaA==";

fn me(fake: &Fake) -> Credentials {
    let login = Login::Password { user: "me".to_owned(), password: SecretText::new("hush".to_owned()) };
    Credentials::default().and(&format!("r.test:{}", fake.port), login)
}

/// Refuses whoever has another authorization.
fn guard(challenge: String, authorization: &'static str) -> impl Fn(&Asked) -> Option<Trick> + Send + Sync {
    move |asked| {
        let is_known = asked.header("authorization") == authorization;
        (!is_known).then(|| Trick::Raw(raw("401 Unauthorized", &[("www-authenticate", &challenge)], b"")))
    }
}

fn bearer(host: &str, port: u16) -> String {
    format!("Bearer realm=\"http://{host}:{port}/token\",service=\"the registry\",scope=\"repository:other:*\"")
}

async fn realm() -> Fake {
    Fake::start(|asked| asked.path.ends_with("/token").then(|| Trick::Raw(raw("200 OK", &[], br#"{"token":"t-1"}"#))))
        .await
}

async fn push(client: &Client, fake: &Fake) -> Result<(), remit_registry::Error> {
    Desk::new(10).push(client, &location(fake, ":1"), &[]).await.map(drop)
}

#[tokio::test]
async fn basic() {
    let fake = Fake::start(guard("Basic realm=\"here\"".to_owned(), BASIC)).await;
    push(&client(&[&fake]).credentials(me(&fake)), &fake).await.expect("pushed");
    refused(push(&client(&[&fake]), &fake).await, "refuses access to team/clerk");
    // The first request went without a login: nobody had asked for one.
    assert_eq!(fake.asked()[0].header("authorization"), "");
}

#[tokio::test]
async fn a_token_for_this_repository_alone() {
    let realm = realm().await;
    let fake = Fake::start(guard(bearer("r.test", realm.port), "Bearer t-1")).await;
    push(&client(&[&fake, &realm]).credentials(me(&fake)), &fake).await.expect("pushed");
    let asked = realm.asked();
    assert_eq!(asked.len(), 1, "a token is asked for once");
    assert_eq!(asked[0].header("authorization"), BASIC);
    assert_eq!(asked[0].query, "scope=repository%3Ateam%2Fclerk%3Apull%2Cpush&service=the+registry");
    assert!(fake.asked().iter().all(|asked| asked.header("authorization") != BASIC));
    // Without a login a token is asked for all the same: for what everybody may read.
    push(&client(&[&fake, &realm]), &fake).await.expect("pushed");
    assert_eq!(realm.asked()[1].header("authorization"), "");
}

#[tokio::test]
async fn an_identity_is_exchanged() {
    let realm = realm().await;
    let fake = Fake::start(guard(bearer("r.test", realm.port), "Bearer t-1")).await;
    let login = Login::Identity(SecretText::new("i d".to_owned()));
    let credentials = Credentials::default().and(&format!("r.test:{}", fake.port), login);
    push(&client(&[&fake, &realm]).credentials(credentials), &fake).await.expect("pushed");
    let asked = realm.asked().remove(0);
    assert_eq!(asked.method, "POST");
    let form = String::from_utf8_lossy(&asked.body).into_owned();
    assert!(form.ends_with("grant_type=refresh_token&client_id=remit&refresh_token=i+d"), "{form}");
}

#[tokio::test]
async fn a_realm_elsewhere_gets_nothing() {
    let elsewhere = realm().await;
    let fake = Fake::start(guard(bearer("evil.test", elsewhere.port), "Bearer t-1")).await;
    let clients = client(&[&fake, &elsewhere]);
    refused(
        push(&clients.clone().credentials(me(&fake)), &fake).await,
        "credentials sent to evil.test, which is not near it",
    );
    // Without a login it would be asked, but not without TLS.
    refused(push(&clients, &fake).await, "without TLS");
    assert!(elsewhere.log().is_empty());
    // Named by the operator it is asked; TLS it still needs.
    let named = clients.credentials(me(&fake)).realms(&["evil.test".to_owned()]);
    refused(push(&named, &fake).await, "without TLS");
    assert!(elsewhere.log().is_empty());
}

#[tokio::test]
async fn a_realm_that_points_on_is_not_followed() {
    let elsewhere = Fake::honest().await;
    let to = format!("http://r.test:{}/token", elsewhere.port);
    let realm = Fake::start(move |_| Some(Trick::Raw(raw("307 Temporary Redirect", &[("location", &to)], b"")))).await;
    let fake = Fake::start(guard(bearer("r.test", realm.port), "Bearer t-1")).await;
    let client = client(&[&fake, &realm, &elsewhere]).credentials(me(&fake));
    refused(push(&client, &fake).await, "answered 307 to a question for a token");
    assert!(elsewhere.log().is_empty());
}

#[tokio::test]
async fn challenges_that_are_none() {
    for (challenge, part) in [
        ("Digest realm=\"x\"", "neither Basic nor Bearer"),
        ("Bearer service=\"x\"", "names no realm"),
        ("Bearer realm=\"not a URL\"", "its realm is no URL"),
        ("Bearer realm=\"file:///etc/passwd\"", "neither https nor http"),
    ] {
        let fake = Fake::start(guard(challenge.to_owned(), "none")).await;
        refused(push(&client(&[&fake]).credentials(me(&fake)), &fake).await, part);
    }
    let silent = Fake::start(|_| Some(Trick::Raw(raw("401 Unauthorized", &[], b"")))).await;
    refused(push(&client(&[&silent]), &silent).await, "it names none");
    let denied = Fake::start(|_| Some(Trick::Raw(raw("403 Forbidden", &[], b"")))).await;
    refused(push(&client(&[&denied]), &denied).await, "log in with `docker login");
}

/// What a docker config of this text says of a registry, with these programs on the path.
async fn docker(config: &str, programs: &[(&str, &str)], expected: Result<Option<&str>, &str>) {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("config.json"), config).expect("a file");
    for (name, script) in programs {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    }
    let found = async {
        let path = std::env::join_paths([folder.path(), Path::new("/bin"), Path::new("/usr/bin")]).expect("a path");
        Credentials::docker(folder.path(), Some(path))?.find("r.example:5000").await
    };
    match (found.await, expected) {
        (Ok(login), Ok(expected)) => {
            let shown = login.map(|login| match login {
                Login::Password { user, password } => format!("{user} {}", password.reveal()),
                Login::Identity(token) => format!("token {}", token.reveal()),
            });
            assert_eq!(shown.as_deref(), expected, "{config}");
        }
        (Err(error), Err(part)) => {
            assert!(error.to_string().contains(part), "{error}");
            assert!(!error.to_string().contains("hush"), "{error}");
        }
        (found, _) => panic!("{config} gave {found:?}"),
    }
}

#[tokio::test]
async fn docker_config() {
    docker("{}", &[], Ok(None)).await;
    docker(r#"{"auths":{"r.example:5000":{"auth":"bWU6aHVzaA=="}}}"#, &[], Ok(Some("me hush"))).await;
    docker(r#"{"auths":{"https://r.example:5000/v1/":{"auth":"bWU6aHVzaA=="}}}"#, &[], Ok(Some("me hush"))).await;
    docker(r#"{"auths":{"r.example":{"auth":"bWU6aHVzaA=="}}}"#, &[], Ok(None)).await;
    docker(r#"{"auths":{"r.example:5000":{"username":"me","password":"hush"}}}"#, &[], Ok(Some("me hush"))).await;
    docker(r#"{"auths":{"r.example:5000":{"auth":"bWU6eA==","identitytoken":"hush"}}}"#, &[], Ok(Some("token hush")))
        .await;
    docker(r#"{"auths":{"r.example:5000":{}}}"#, &[], Ok(None)).await;
    docker(r#"{"auths":{"r.example:5000":{"auth":"hush!"}}}"#, &[], Err("not Base64")).await;
    docker(r#"{"auths":{"r.example:5000":{"auth":"aHVzaA=="}}}"#, &[], Err("no colon")).await;
    docker(r#"{"auths":{"r.example:5000":"hush"}}"#, &[], Err("no docker config")).await;
}

#[tokio::test]
async fn credential_programs() {
    let helper = r#"{"credHelpers":{"r.example:5000":"test"},"auths":{"r.example:5000":{"auth":"bWU6aHVzaA=="}}}"#;
    let name = "docker-credential-test";
    let says =
        r#"read registry; echo "{\"ServerURL\":\"$registry\",\"Username\":\"$1 $registry\",\"Secret\":\"hush\"}""#;
    docker(helper, &[(name, says)], Ok(Some("get r.example:5000 hush"))).await;
    let token = r#"echo '{"Username":"<token>","Secret":"hush"}'"#;
    docker(helper, &[(name, token)], Ok(Some("token hush"))).await;
    docker(helper, &[(name, "echo credentials not found in native keychain; exit 1")], Ok(Some("me hush"))).await;
    docker(helper, &[(name, "echo it is locked; exit 1")], Err("said: it is locked")).await;
    docker(helper, &[(name, "echo hush")], Err("said no JSON")).await;
    docker(helper, &[], Err("is not on PATH")).await;
    let store = r#"{"credsStore":"test"}"#;
    docker(store, &[(name, token)], Ok(Some("token hush"))).await;
    docker(r#"{"credsStore":"../../bin/sh"}"#, &[], Err("no name of a credential program")).await;
}

#[test]
fn nothing_is_shown() {
    let login = Login::Password { user: "me".to_owned(), password: SecretText::new("hush".to_owned()) };
    let credentials = Credentials::default().and("r.example", login.clone());
    assert_eq!(format!("{credentials:?}"), "{\"r.example\"}");
    assert!(!format!("{login:?}").contains("hush"));
}
