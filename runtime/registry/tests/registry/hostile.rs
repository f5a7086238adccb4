//! A registry that lies.

use crate::{
    fake::{Asked, Fake, Trick, digest, raw},
    world::{Desk, client, location, refused},
};
use serde_json::{Value, json};
use std::time::Duration;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// What becomes of a package whose manifest somebody changed.
async fn changed(change: impl Fn(&mut Value), part: &str) {
    let fake = Fake::honest().await;
    let (client, desk) = (client(&[&fake]), Desk::new(1000));
    desk.push(&client, &location(&fake, ":1"), &[]).await.expect("pushed");
    {
        let mut kept = fake.kept.lock().expect("the registry");
        let mut manifest: Value = serde_json::from_slice(&kept.manifests["1"].1).expect("a manifest");
        change(&mut manifest);
        let bytes = manifest.to_string().into_bytes();
        kept.manifests.insert("1".to_owned(), (MANIFEST.to_owned(), bytes));
    }
    refused(desk.pull(&client, &location(&fake, ":1")).await, part);
    assert_eq!(desk.files(), ["clerk.wasm"]);
}

#[tokio::test]
async fn manifests_of_something_else() {
    changed(
        |manifest| manifest["layers"][0]["mediaType"] = json!("application/x-tar"),
        "\"application/x-tar\", and application/wasm",
    )
    .await;
    changed(
        |manifest| manifest["config"]["mediaType"] = json!("application/json"),
        "application/vnd.wasm.config.v0+json is needed",
    )
    .await;
    changed(|manifest| manifest["mediaType"] = json!("application/other"), "\"application/other\"").await;
    changed(|manifest| manifest["schemaVersion"] = json!(1), "its schemaVersion is 1").await;
    changed(|manifest| manifest["layers"] = json!([]), "has 0 layers").await;
    changed(|manifest| manifest["layers"] = json!([manifest["layers"][0], manifest["layers"][0]]), "has 2 layers")
        .await;
    changed(
        |manifest| manifest["layers"][0]["size"] = json!(1_u64 << 40),
        "1099511627776 bytes, and 67108864 are the most",
    )
    .await;
    changed(|manifest| manifest["config"]["size"] = json!(1_u64 << 40), "are the most").await;
    changed(|manifest| manifest["layers"][0]["size"] = json!(999), "has 1000 bytes, and 999 were promised").await;
    changed(|manifest| manifest["layers"][0]["size"] = json!(0), "and 0 were promised").await;
    changed(|manifest| manifest["layers"][0]["size"] = json!(-1), "cannot be read").await;
    changed(|manifest| manifest["layers"][0]["digest"] = json!("sha256:../../etc/passwd"), "no digest").await;
    changed(|manifest| manifest["layers"][0]["digest"] = manifest["config"]["digest"].clone(), "describes other bytes")
        .await;
    changed(|manifest| *manifest = json!([]), "cannot be read").await;
}

/// What becomes of an honest package where one answer is another one.
async fn tricked(trick: impl Fn(&Asked) -> Option<Trick> + Send + Sync + 'static, part: &str) {
    impatient(trick, Duration::from_secs(60), part).await;
}

/// The same where a registry may be silent for so long.
async fn impatient(trick: impl Fn(&Asked) -> Option<Trick> + Send + Sync + 'static, silence: Duration, part: &str) {
    let fake = Fake::start(move |asked| if asked.method == "GET" { trick(asked) } else { None }).await;
    let (client, desk) = (client(&[&fake]), Desk::new(1000));
    desk.push(&client, &location(&fake, ":1"), &[]).await.expect("pushed");
    refused(desk.pull(&client.silence(silence), &location(&fake, ":1")).await, part);
    assert!(!desk.files().contains(&"pulled.wasm".to_owned()));
}

fn blob() -> String {
    format!("blobs/{}", digest(&Desk::new(1000).bytes))
}

#[tokio::test]
async fn other_bytes() {
    let path = blob();
    let other = raw("200 OK", &[], &[0; 1000]);
    tricked(move |asked| asked.is("GET", &path).then(|| Trick::Raw(other.clone())), "was promised: it was changed")
        .await;
    let path = blob();
    let longer = raw("200 OK", &[], &[0; 1001]);
    tricked(
        move |asked| asked.is("GET", &path).then(|| Trick::Raw(longer.clone())),
        "1001 bytes, and 1000 were promised",
    )
    .await;
    let path = blob();
    let unsaid = [b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &[0; 5000]].concat();
    tricked(move |asked| asked.is("GET", &path).then(|| Trick::Raw(unsaid.clone())), "").await;
    let path = blob();
    let shorter = [b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &[0; 10]].concat();
    tricked(
        move |asked| asked.is("GET", &path).then(|| Trick::Raw(shorter.clone())),
        "10 bytes, and 1000 were promised",
    )
    .await;
    let said = raw("200 OK", &[("content-type", MANIFEST), ("docker-content-digest", &digest(b"x"))], b"{}");
    tricked(
        move |asked| asked.is("GET", "manifests").then(|| Trick::Raw(said.clone())),
        "the manifest 1 has the digest",
    )
    .await;
    let index = raw("200 OK", &[("content-type", "application/vnd.oci.image.index.v1+json")], b"{}");
    tricked(move |asked| asked.is("GET", "manifests").then(|| Trick::Raw(index.clone())), "image.index.v1+json\", and")
        .await;
    let huge = raw("200 OK", &[("content-type", MANIFEST), ("content-length", "5000000")], b"");
    tricked(move |asked| asked.is("GET", "manifests").then(|| Trick::Raw(huge.clone())), "more than 4194304 bytes")
        .await;
    let garbage = raw("200 OK", &[("content-type", MANIFEST)], b"\xff{");
    tricked(move |asked| asked.is("GET", "manifests").then(|| Trick::Raw(garbage.clone())), "cannot be read").await;
}

#[tokio::test]
async fn a_manifest_by_its_digest_is_that_one() {
    let fake = Fake::honest().await;
    let (client, desk) = (client(&[&fake]), Desk::new(1000));
    let pushed = desk.push(&client, &location(&fake, ":1"), &[]).await.expect("pushed");
    let exact = pushed.manifest.expect("a manifest").to_string();
    fake.kept.lock().expect("the registry").manifests.insert(exact.clone(), (MANIFEST.to_owned(), b"{}".to_vec()));
    refused(desk.pull(&client, &location(&fake, &format!("@{exact}"))).await, "was promised");
}

#[tokio::test]
async fn stalls_and_ends() {
    const SHORT: Duration = Duration::from_millis(100);
    for path in ["manifests", "blobs", "referrers"] {
        let nothing = move |asked: &Asked| asked.is("GET", path).then(|| Trick::Stall(Vec::new()));
        impatient(nothing, SHORT, "did not answer within 100 ms").await;
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n".to_vec();
        let begun = move |asked: &Asked| asked.is("GET", path).then(|| Trick::Stall(head.clone()));
        impatient(begun, SHORT, "did not answer within 100 ms").await;
        let cut = move |asked: &Asked| asked.is("GET", path).then(|| Trick::Raw(b"HTTP/1.1 2".to_vec()));
        tricked(cut, "before its answer was whole").await;
        let said = b"{\"errors\":[{\"code\":\"UNKNOWN\",\"message\":\"it \\u001b[31mburns\"}]}";
        let failed = raw("500 Internal Server Error", &[], said);
        tricked(move |asked| asked.is("GET", path).then(|| Trick::Raw(failed.clone())), ": UNKNOWN it [31mburns").await;
    }
    let path = blob();
    let half = raw("200 OK", &[("content-length", "1000")], b"half");
    impatient(move |asked| asked.is("GET", &path).then(|| Trick::Stall(half.clone())), SHORT, "within 100 ms").await;
}

#[tokio::test]
async fn a_download_that_always_breaks_ends() {
    let path = blob();
    let none = raw("200 OK", &[("content-length", "1000")], b"");
    tricked(move |asked| asked.is("GET", &path).then(|| Trick::Raw(none.clone())), "before its answer was whole").await;
}

#[tokio::test]
async fn blobs_are_not_fetched_from_within() {
    let inside = Fake::honest().await;
    let to = format!("http://inside.test:{}/v2/team/clerk/secret", inside.port);
    let path = blob();
    let moved = raw("307 Temporary Redirect", &[("location", &to)], b"");
    tricked(
        move |asked| asked.is("GET", &path).then(|| Trick::Raw(moved.clone())),
        "redirects, and that was not followed",
    )
    .await;
    assert!(inside.log().is_empty());
}

#[tokio::test]
async fn uploads_go_nowhere_else() {
    let outside = Fake::honest().await;
    let port = outside.port;
    let begin = move |location: &str| {
        let answer = raw("202 Accepted", &[("location", location)], b"");
        Fake::start(move |asked| asked.is("POST", "").then(|| Trick::Raw(answer.clone())))
    };
    let desk = Desk::new(10);
    for location_of_upload in
        [format!("http://evil.test:{port}/up"), format!("//r.test:{port}/up"), "https://r.test/up".to_owned()]
    {
        let fake = begin(&location_of_upload).await;
        let pushed = desk.push(&client(&[&fake, &outside]), &location(&fake, ":1"), &[]).await;
        refused(pushed, "for an upload, which is not itself");
    }
    let fake = begin("http://user:word@r.test/").await;
    refused(desk.push(&client(&[&fake]), &location(&fake, ":1"), &[]).await, "user name");
    assert!(outside.log().is_empty());
}

#[tokio::test]
async fn a_registry_that_stores_something_else() {
    let said = raw("201 Created", &[("docker-content-digest", &digest(b"x"))], b"");
    let fake = Fake::start(move |asked| asked.is("PUT", "manifests").then(|| Trick::Raw(said.clone()))).await;
    refused(Desk::new(10).push(&client(&[&fake]), &location(&fake, ":1"), &[]).await, "it stored sha256:");
    let greedy = raw("202 Accepted", &[("location", "/x"), ("oci-chunk-min-length", "99999999999")], b"");
    let fake = Fake::start(move |asked| asked.is("POST", "").then(|| Trick::Raw(greedy.clone()))).await;
    refused(Desk::new(10).push(&client(&[&fake]), &location(&fake, ":1"), &[]).await, "takes no chunks below");
}
