//! There and back again, also where the line breaks.

use crate::{
    fake::{Fake, Trick, digest, raw},
    world::{Desk, client, location, refused, same},
};
use remit_registry::{Digest, Location, Progress, Which};
use std::sync::{Arc, Mutex};

fn envelope(signer: &str) -> Vec<u8> {
    format!(r#"{{"payload":"","payloadType":"x","signatures":["{signer}"]}}"#).into_bytes()
}

async fn round_trip(lists_referrers: bool) {
    let fake = Fake::honest().await;
    fake.kept.lock().expect("the registry").lists_referrers = lists_referrers;
    let (client, desk) = (client(&[&fake]), Desk::new(1000));
    let mut envelopes = vec![envelope("a"), envelope("b")];
    let pushed = desk.push(&client, &location(&fake, ":1.0"), &envelopes).await.expect("pushed");
    assert_eq!(pushed.package.to_string(), digest(&desk.bytes));
    // The same again: nothing is sent a second time, and nothing becomes more.
    let uploads = fake.log().iter().filter(|line| line.starts_with("POST")).count();
    assert_eq!(desk.push(&client, &location(&fake, ":1.0"), &envelopes).await.expect("pushed"), pushed);
    assert_eq!(fake.log().iter().filter(|line| line.starts_with("POST")).count(), uploads);

    let mut pulled = desk.pull(&client, &location(&fake, ":1.0")).await.expect("pulled");
    same(&desk.path("pulled.wasm"), &desk.bytes);
    pulled.envelopes.sort();
    envelopes.sort();
    assert_eq!(pulled.envelopes, envelopes);
    assert_eq!((pulled.manifest.clone(), pulled.package, pulled.bytes), (pushed.manifest, pushed.package, 1000));
    // By digest, the tag may go where it likes.
    fake.kept.lock().expect("the registry").manifests.remove("1.0");
    let exact = format!("@{}", pulled.manifest.expect("a manifest"));
    desk.pull(&client, &location(&fake, &exact)).await.expect("pulled");
    refused(desk.pull(&client, &location(&fake, ":1.0")).await, "there is no manifest 1.0");
}

#[tokio::test]
async fn with_a_list_of_referrers() {
    round_trip(true).await;
}

/// Bundles beside envelopes, each under its own type.
async fn bundles(lists_referrers: bool) {
    let fake = Fake::honest().await;
    fake.kept.lock().expect("the registry").lists_referrers = lists_referrers;
    let (client, desk) = (client(&[&fake]), Desk::new(1000));
    let (envelopes, bundles) = ([envelope("a")], [br#"{"mediaType":"x"}"#.to_vec(), br#"{"mediaType":"y"}"#.to_vec()]);
    desk.push_signed(&client, &location(&fake, ":1.0"), &envelopes, &bundles).await.expect("pushed");
    let mut pulled = desk.pull(&client, &location(&fake, ":1.0")).await.expect("pulled");
    pulled.bundles.sort();
    assert_eq!((pulled.envelopes, pulled.bundles), (envelopes.to_vec(), bundles.to_vec()));
}

#[tokio::test]
async fn bundles_with_a_list_of_referrers() {
    bundles(true).await;
}

#[tokio::test]
async fn bundles_with_the_tag_that_stands_in_for_it() {
    bundles(false).await;
}

#[tokio::test]
async fn with_the_tag_that_stands_in_for_it() {
    round_trip(false).await;
}

#[tokio::test]
async fn what_is_written_is_what_the_specifications_say() {
    let fake = Fake::honest().await;
    let desk = Desk::new(10);
    desk.push(&client(&[&fake]), &location(&fake, ":1"), &[]).await.expect("pushed");
    let kept = fake.kept.lock().expect("the registry");
    let (kind, bytes) = &kept.manifests["1"];
    assert_eq!(kind, "application/vnd.oci.image.manifest.v1+json");
    let package = digest(&desk.bytes);
    let config = format!(
        r#"{{"architecture":"wasm","os":"wasip2","layerDigests":["{package}"],"component":{{"exports":[],"imports":["remit:kernel/task@0.1.0"]}}}}"#
    );
    let config_digest = digest(config.as_bytes());
    assert!(kept.blobs.contains_key(&config_digest), "the config has other bytes");
    let expected = format!(
        r#"{{"schemaVersion":2,"mediaType":"{kind}","config":{{"mediaType":"application/vnd.wasm.config.v0+json","digest":"{config_digest}","size":{}}},"layers":[{{"mediaType":"application/wasm","digest":"{package}","size":10}}]}}"#,
        config.len()
    );
    assert_eq!(String::from_utf8_lossy(bytes), expected);
}

/// What one download of 100,000 bytes asks for, where the first answer breaks off after 40,000 of them.
async fn broken_download(
    second: impl Fn(&str) -> Option<Trick> + Send + Sync + 'static,
) -> (Vec<String>, Result<(), String>) {
    let desk = Desk::new(100_000);
    let (bytes, blob) = (desk.bytes.clone(), format!("blobs/{}", digest(&desk.bytes)));
    let path = blob.clone();
    let fake = Fake::start(move |asked| match asked.before {
        _ if !asked.is("GET", &path) => None,
        0 => Some(Trick::Raw(raw("200 OK", &[("content-length", "100000")], &bytes[..40_000]))),
        1 => second(asked.header("range")),
        _ => None,
    })
    .await;
    let client = client(&[&fake]);
    desk.push(&client, &location(&fake, ":1"), &[]).await.expect("pushed");
    let steps = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&steps);
    let on_progress = move |progress: Progress| told.lock().expect("steps").push(progress);
    let pulled = client.pull(&location(&fake, ":1"), &desk.path("pulled.wasm"), &on_progress).await;
    if pulled.is_ok() {
        same(&desk.path("pulled.wasm"), &desk.bytes);
        assert_eq!(steps.lock().expect("steps").last(), Some(&Progress { done: 100_000, total: 100_000 }));
        assert_eq!(desk.files(), ["clerk.wasm", "pulled.wasm"]);
    }
    let asked = fake.asked().into_iter().filter(|asked| asked.is("GET", &blob));
    (asked.map(|asked| asked.header("range").to_owned()).collect(), pulled.map(drop).map_err(|error| error.to_string()))
}

#[tokio::test]
async fn a_download_goes_on_where_it_broke_off() {
    let (ranges, pulled) = broken_download(|_| None).await;
    pulled.expect("pulled");
    assert_eq!(ranges, ["", "bytes=40000-"]);
}

#[tokio::test]
async fn ranges_that_are_ignored_or_refused() {
    let whole = || Desk::new(100_000).bytes;
    let (ranges, pulled) = broken_download(move |_| Some(Trick::Raw(raw("200 OK", &[], &whole())))).await;
    pulled.expect("pulled");
    assert_eq!(ranges.len(), 2);
    let (ranges, pulled) = broken_download(|_| Some(Trick::Raw(raw("416 Range Not Satisfiable", &[], b"")))).await;
    pulled.expect("pulled");
    assert_eq!(ranges, ["", "bytes=40000-", ""]);
}

#[tokio::test]
async fn ranges_that_are_wrong() {
    for range in ["bytes 0-99999/100000", "bytes 40000-99999/200000", "bytes 39999-99998/100000", "", "pages 1-2/3"] {
        let (_, pulled) = broken_download(move |_| {
            Some(Trick::Raw(raw("206 Partial Content", &[("content-range", range)], &[0; 60_000])))
        })
        .await;
        let error = pulled.expect_err("it is refused");
        assert!(error.contains("asked for the bytes from 40000 on"), "{error}");
    }
}

#[tokio::test]
async fn what_was_left_before_is_gone_on_with() {
    for (left, ranges) in [(true, vec!["bytes=600-"]), (false, vec!["bytes=600-", ""])] {
        let fake = Fake::honest().await;
        let (client, desk) = (client(&[&fake]), Desk::new(1000));
        desk.push(&client, &location(&fake, ":1"), &[]).await.expect("pushed");
        let digest = digest(&desk.bytes);
        let partial = desk.path(&format!(".pulled.wasm.{}.partial", &digest[7..23]));
        let begin = if left { desk.bytes[..600].to_vec() } else { vec![0; 600] };
        std::fs::write(partial, begin).expect("a file");
        desk.pull(&client, &location(&fake, ":1")).await.expect("pulled");
        same(&desk.path("pulled.wasm"), &desk.bytes);
        let asked = fake.asked().into_iter().filter(|asked| asked.is("GET", &format!("blobs/{digest}")));
        assert_eq!(asked.map(|asked| asked.header("range").to_owned()).collect::<Vec<_>>(), ranges);
    }
}

#[tokio::test]
async fn a_large_package_goes_in_parts_and_goes_on_where_it_broke_off() {
    let desk = Desk::new(20 << 20);
    let fake = Fake::start(|asked| (asked.is("PATCH", "") && asked.before == 1).then(|| Trick::Raw(Vec::new()))).await;
    let pushed = desk.push(&client(&[&fake]), &location(&fake, ":1"), &[]).await.expect("pushed");
    assert!(fake.kept.lock().expect("the registry").blobs[&pushed.package.to_string()] == desk.bytes);
    let asked = fake.asked().into_iter().filter(|asked| asked.path == "blobs/uploads/0" && asked.method != "PUT");
    let lines: Vec<String> = asked.map(|asked| format!("{} {}", asked.method, asked.header("content-range"))).collect();
    let mib = 1 << 20;
    let part = |from: usize, to: usize| format!("PATCH {}-{}", from * mib, to * mib - 1);
    assert_eq!(lines, [part(0, 8), part(8, 16), "GET ".to_owned(), part(8, 16), part(16, 20)]);
}

#[tokio::test]
async fn a_push_by_digest_is_of_those_bytes() {
    let fake = Fake::honest().await;
    let Location::Registry(reference) = location(&fake, "") else { panic!("a registry") };
    let exact =
        Location::parse(&format!("{}/{}@{}", reference.registry(), reference.repository(), Digest::of(b"other")));
    let desk = Desk::new(10);
    refused(
        desk.push(&client(&[&fake]), &exact.expect("a name"), &[]).await,
        "the manifest of this package has the digest",
    );
    assert!(matches!(reference.which(), Which::Tag(tag) if tag == "latest"));
    assert!(fake.log().is_empty());
}
