//! Lists: of tags, and of signatures.

use crate::{
    fake::{Asked, Fake, Trick, raw},
    world::{Desk, client, location, refused},
};
use remit_registry::{Location, Reference};

fn reference(fake: &Fake) -> Reference {
    match location(fake, "") {
        Location::Registry(reference) => reference,
        other => panic!("{other:?} is no registry"),
    }
}

async fn tags(trick: impl Fn(&Asked) -> Option<Trick> + Send + Sync + 'static) -> (Result<Vec<String>, String>, usize) {
    let fake = Fake::start(trick).await;
    let tags = client(&[&fake]).tags(&reference(&fake)).await.map_err(|error| error.to_string());
    (tags, fake.log().len())
}

#[tokio::test]
async fn all_pages() {
    let (found, asked) = tags(|asked| {
        let link = ("link", "</v2/team/clerk/tags/list?last=1.1>; rel=\"next\"");
        match asked.query.as_str() {
            "" => Some(Trick::Raw(raw("200 OK", &[link], br#"{"tags":["1.0","1.1","-no tag-"]}"#))),
            _ => Some(Trick::Raw(raw("200 OK", &[], br#"{"tags":["1.2"]}"#))),
        }
    })
    .await;
    assert_eq!(found.expect("tags"), ["1.0", "1.1", "1.2"]);
    assert_eq!(asked, 2);
    let (found, _) = tags(|_| Some(Trick::Raw(raw("200 OK", &[], br#"{"tags":null}"#)))).await;
    assert!(found.expect("tags").is_empty());
}

#[tokio::test]
async fn without_an_end() {
    let next = |_: &Asked| {
        let link = ("link", "</v2/team/clerk/tags/list?last=x>; rel=\"next\"");
        Some(Trick::Raw(raw("200 OK", &[link], br#"{"tags":["1.0"]}"#)))
    };
    let (found, asked) = tags(next).await;
    assert!(found.expect_err("it is refused").contains("goes on after 64"));
    assert_eq!(asked, 64);
    let many = format!(r#"{{"tags":[{}"1.0"]}}"#, r#""1.0","#.repeat(10_000));
    let (found, _) = tags(move |_| Some(Trick::Raw(raw("200 OK", &[], many.as_bytes())))).await;
    assert!(found.expect_err("it is refused").contains("goes on after 10000"));
    let large = "x".repeat(2 << 20);
    let (found, _) = tags(move |_| Some(Trick::Raw(raw("200 OK", &[], large.as_bytes())))).await;
    assert!(found.expect_err("it is refused").contains("more than 1048576 bytes"));
}

#[tokio::test]
async fn elsewhere() {
    let (found, asked) = tags(|_| {
        let link = ("link", "<http://evil.test/v2/team/clerk/tags/list>; rel=\"next\"");
        Some(Trick::Raw(raw("200 OK", &[link], br#"{"tags":["1.0"]}"#)))
    })
    .await;
    assert!(found.expect_err("it is refused").contains("which is not itself"));
    assert_eq!(asked, 1);
}

#[tokio::test]
async fn signatures_without_an_end() {
    let fake = Fake::start(|asked| {
        let link = ("link", "</v2/team/clerk/referrers/x>; rel=\"next\"");
        asked
            .is("GET", "referrers")
            .then(|| Trick::Raw(raw("200 OK", &[link], br#"{"schemaVersion":2,"manifests":[]}"#)))
    })
    .await;
    let (client, desk) = (client(&[&fake]), Desk::new(10));
    desk.push(&client, &location(&fake, ":1"), &[]).await.expect("pushed");
    refused(desk.pull(&client, &location(&fake, ":1")).await, "the list of signatures goes on after 64");
}

#[tokio::test]
async fn too_many_signatures() {
    let fake = Fake::honest().await;
    let (client, desk) = (client(&[&fake]), Desk::new(10));
    let envelopes: Vec<Vec<u8>> = (0..33).map(|number| format!("{{\"number\":{number}}}").into_bytes()).collect();
    refused(desk.push(&client, &location(&fake, ":1"), &envelopes).await, "goes on after 32");
    desk.push(&client, &location(&fake, ":1"), &envelopes[..32]).await.expect("pushed");
    desk.push(&client, &location(&fake, ":1"), &envelopes[32..]).await.expect("pushed");
    refused(desk.pull(&client, &location(&fake, ":1")).await, "goes on after 32");
}

#[tokio::test]
async fn signatures_of_another_package_are_none() {
    let fake = Fake::honest().await;
    let (client, one, two) = (client(&[&fake]), Desk::new(10), Desk::new(11));
    one.push(&client, &location(&fake, ":1"), &[b"{}".to_vec()]).await.expect("pushed");
    two.push(&client, &location(&fake, ":2"), &[]).await.expect("pushed");
    // The registry lists the signature of the one under the other.
    let pulled = one.pull(&client, &location(&fake, ":1")).await.expect("pulled");
    assert_eq!(pulled.envelopes.len(), 1);
    let other = fake.asked().into_iter().find(|asked| asked.is("GET", "referrers")).expect("a question").path;
    let listed = {
        let kept = fake.kept.lock().expect("the registry");
        let (digest, (_, bytes)) = kept
            .manifests
            .iter()
            .find(|(name, (_, bytes))| {
                name.starts_with("sha256:") && String::from_utf8_lossy(bytes).contains("subject")
            })
            .expect("a signature");
        format!(
            r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","size":{},"artifactType":"application/vnd.dsse.envelope.v1+json"}}]}}"#,
            bytes.len()
        )
    };
    let liar = Fake::start(move |asked| {
        (asked.is("GET", "referrers") && asked.path != other).then(|| Trick::Raw(raw("200 OK", &[], listed.as_bytes())))
    })
    .await;
    std::mem::swap(&mut *liar.kept.lock().expect("the registry"), &mut *fake.kept.lock().expect("the registry"));
    let client = crate::world::client(&[&liar]);
    assert!(two.pull(&client, &location(&liar, ":2")).await.expect("pulled").envelopes.is_empty());
}
