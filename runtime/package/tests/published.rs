//! Bundles that others made with Sigstore's own instances, before the trust roots of those.

use remit_package::{Bundle, Identity, Statement, StatementError, TrustRoot};
use serde_json::{Value, json};
use sigstore_verify::trust_root::{SIGSTORE_PRODUCTION_TRUSTED_ROOT, SIGSTORE_STAGING_TRUSTED_ROOT};

const GITHUB: &str = "https://token.actions.githubusercontent.com";

struct Published {
    bundle: &'static str,
    root: &'static str,
    subject: &'static str,
    file: &'static str,
    at: &'static str,
}

/// Rekor 1: a promise with the time in it.
const PUBLIC_GOOD: Published = Published {
    bundle: include_str!("seeds/bundle/public-good.json"),
    root: SIGSTORE_PRODUCTION_TRUSTED_ROOT,
    subject: "https://github.com/prefix-dev/sigstore-example/.github/workflows/action.yaml@refs/heads/main",
    file: "54303491a8418fbed24344b513546182c29b43bf282ceb433af65e2299f9271f",
    at: "2025-09-01T12:13:59Z",
};

/// Rekor 2: a timestamp of an authority.
const STAGING: Published = Published {
    bundle: include_str!("seeds/bundle/staging.json"),
    root: SIGSTORE_STAGING_TRUSTED_ROOT,
    subject: concat!(
        "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/",
        ".github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main",
    ),
    file: "a0cfc71271d6e278e57cd332ff957c3f7043fdda354c4cbb190a30d56efa01bf",
    at: "2026-05-13T19:23:33Z",
};

fn verify(published: &Published, bundle: &str, root: &str) -> Result<Vec<String>, String> {
    let bundle = Bundle::parse(bundle.as_bytes()).map_err(|error| error.to_string())?;
    let root = TrustRoot::parse(root.as_bytes()).expect("it is a trust root");
    let identity = Identity { issuer: GITHUB.to_owned(), subject: published.subject.to_owned() };
    let file = remit_package::parse_sha256(published.file).expect("it is a digest");
    Ok(root.verify(&bundle, &identity, &file)?.at.iter().map(ToString::to_string).collect())
}

#[test]
fn they_are_right_and_no_statements_of_ours() {
    for published in [PUBLIC_GOOD, STAGING] {
        let at = verify(&published, published.bundle, published.root).expect("it is right");
        assert!(at.iter().any(|at| at == published.at), "{at:?}");
        let bundle = Bundle::parse(published.bundle.as_bytes()).expect("it is a bundle");
        assert_eq!((&*bundle.claimed().issuer, &*bundle.claimed().subject), (GITHUB, published.subject));
        assert_eq!(Statement::parse(bundle.payload()), Err(StatementError::Type));
    }
}

#[test]
fn each_is_wrong_by_another_root_for_another_file_and_for_somebody_else() {
    for (published, other) in [(PUBLIC_GOOD, STAGING), (STAGING, PUBLIC_GOOD)] {
        assert!(verify(&published, published.bundle, other.root).is_err(), "another root");
        let file = Published { file: other.file, ..published };
        assert!(
            verify(&file, published.bundle, published.root).is_err_and(|why| why.starts_with("is about another file"))
        );
        let subject = Published { subject: other.subject, ..published };
        assert!(
            verify(&subject, published.bundle, published.root).is_err_and(|why| why.starts_with("is somebody else's"))
        );
    }
}

#[test]
fn a_timestamp_that_was_changed_or_taken_away_is_missed() {
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut bundle: Value = serde_json::from_str(STAGING.bundle).expect("it is JSON");
        change(&mut bundle["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"]);
        verify(&STAGING, &bundle.to_string(), STAGING.root).expect_err("it is wrong")
    };
    assert!(
        changed(&|timestamps| *timestamps = json!([]))
            .starts_with("the bundle has neither a promise of its log nor a timestamp")
    );
    let token = |timestamps: &mut Value| {
        let text = timestamps[0]["signedTimestamp"].as_str().expect("a text").to_owned();
        // Of the last bytes, which are the signature's.
        timestamps[0]["signedTimestamp"] =
            json!(format!("{}AAAA{}", &text[..text.len() - 12], &text[text.len() - 8..]));
    };
    let told = changed(&token);
    assert!(told.starts_with("has no moment that somebody of the trust root signed"), "{told}");
}
