//! Keys and their files, envelopes and statements: what is read, what is refused, and in which words.

mod kit;

use kit::{ALICE, BOB, MALLORY, MANIFEST, package, read, signed, terms};
use remit_package::{Envelope, KeyError, PublicKey, SecretKey, Statement, gather};
use serde_json::{Value, json};
use std::fs;

const PASSPHRASE: &str = "correct horse";

/// The id of the key in `keys/public.pem`, as OpenSSL and `sha256sum` have it.
const ID: &str = "57006d2930dd10896a5d41fca126db1970ce87fd694ba4bdf06c2e2f06c085fc";

#[track_caller]
fn refused<T>(result: Result<T, impl ToString>, expected: &str) {
    match result {
        Ok(_) => panic!("it was taken, and should be refused: {expected}"),
        Err(error) => assert!(error.to_string().contains(expected), "{:?} is not {expected:?}", error.to_string()),
    }
}

#[test]
fn keys_of_openssl_are_read() {
    let public = PublicKey::from_pem(include_str!("keys/public.pem")).expect("it is a public key");
    assert_eq!((public.id().to_string().as_str(), public.to_pem().as_str()), (ID, include_str!("keys/public.pem")));
    for text in [include_str!("keys/scrypt.pem"), include_str!("keys/pbkdf2.pem")] {
        let secret = SecretKey::from_pem(text, PASSPHRASE).expect("it is a secret key");
        assert_eq!(secret.public(), public);
        refused(SecretKey::from_pem(text, "battery staple"), "the passphrase is not the one of this key");
    }
}

#[test]
fn other_keys_are_refused_by_what_they_are() {
    let public = |text: &str| PublicKey::from_pem(text);
    refused(public(include_str!("keys/p256.public.pem")), "of the algorithm 1.2.840.10045.2.1");
    refused(public(include_str!("keys/x25519.public.pem")), "of the algorithm 1.3.101.110");
    refused(public(include_str!("keys/scrypt.pem")), "one block `-----BEGIN PUBLIC KEY-----`");
    refused(public(""), "one block");
    refused(public(&"-".repeat(1 << 20)), "one block");
    let weak = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n-----END PUBLIC KEY-----\n";
    refused(public(weak), "not a point that Ed25519 allows");
    let secret = |text: &str| SecretKey::from_pem(text, PASSPHRASE);
    refused(secret(include_str!("keys/x25519.pem")), "of the algorithm 1.3.101.110");
    refused(secret(include_str!("keys/dear.pem")), "more memory or time than a passphrase needs");
    refused(secret(include_str!("keys/public.pem")), "one block `-----BEGIN ENCRYPTED PRIVATE KEY-----`");
    let plain = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    refused(secret(plain), "the secret key is not encrypted");
    refused("0".repeat(63).parse::<remit_package::KeyId>(), "64 lower-case hexadecimal digits");
    refused(ID.to_uppercase().parse::<remit_package::KeyId>(), "64 lower-case hexadecimal digits");
}

#[test]
fn a_key_is_kept_under_its_passphrase_for_its_owner_alone() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("alice.pem");
    refused(ALICE.create(&path, "short"), "fewer than 8 characters");
    assert!(!path.exists());
    ALICE.create(&path, PASSPHRASE).expect("it is written");
    assert_eq!(SecretKey::open(&path, PASSPHRASE).expect("it is its key").public(), ALICE.public());
    refused(ALICE.create(&path, PASSPHRASE), "exists");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(&path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("it is ours");
        assert!(matches!(SecretKey::open(&path, PASSPHRASE), Err(KeyError::Mode { mode: 0o640, .. })));
    }
    assert_eq!(format!("{:?}", *ALICE), format!("SecretKey({})", ALICE.public().id()), "nothing of it is shown");
}

/// The envelope of a package, changed.
fn changed(change: impl Fn(&mut Value)) -> String {
    let bytes = package(MANIFEST);
    let text = signed(&Statement::of(&read(&bytes), terms(1)), &[&ALICE, &BOB]);
    let mut value = serde_json::from_str(&text).expect("it is JSON");
    change(&mut value);
    value.to_string()
}

#[test]
fn envelopes_are_read_as_they_were_written() {
    let text = changed(|_| {});
    let envelope = Envelope::parse(text.as_bytes()).expect("it is an envelope");
    assert_eq!(envelope.is_signed_by(&ALICE.public()), Some(true));
    assert_eq!(Envelope::parse(envelope.to_json().as_bytes()).as_ref(), Ok(&envelope));
    // What DSSE does not know is not ours to understand: nobody signed it, and nothing is done for it.
    let more = changed(|value| value["signatures"][0]["cert"] = json!("x"));
    assert_eq!(Envelope::parse(more.as_bytes()).as_ref(), Ok(&envelope));
    let mut again = envelope.clone();
    again.sign(&ALICE);
    assert_eq!(again.signatures().len(), 2, "a key signs once");
}

#[test]
fn what_is_no_envelope_of_ours_is_refused() {
    let check = |change: &dyn Fn(&mut Value), expected: &str| {
        refused(Envelope::parse(changed(change).as_bytes()), expected);
    };
    check(&|value| value["payloadType"] = json!("text/plain"), "the envelope holds \"text/plain\"");
    check(&|value| value["signatures"] = json!([]), "the envelope has no signature");
    check(&|value| value["payload"] = json!("e30"), "payload is not Base64");
    check(&|value| value["signatures"][0]["sig"] = json!("AAAA"), "has 3 bytes, and one of Ed25519 has 64");
    check(&|value| value["signatures"][0]["sig"] = json!("=="), "signature is not Base64");
    check(&|value| value["signatures"][0]["keyid"] = json!("alice"), "the key \"alice\", which is no id");
    check(&|value| value["signatures"][1] = value["signatures"][0].clone(), "is named by two signatures");
    check(
        &|value| value["signatures"] = json!(vec![value["signatures"][0].clone(); 17]),
        "17 signatures, and 16 are the most",
    );
    check(&|value| drop(value.as_object_mut().map(|value| value.remove("payloadType"))), "missing field `payloadType`");
    let whole = changed(|_| {});
    let twice = whole.replacen('{', "{\"payload\":\"e30=\",", 1);
    refused(Envelope::parse(twice.as_bytes()), "the key \"payload\" stands twice");
    refused(Envelope::parse(&vec![b' '; (512 << 10) + 1]), "has 524289 bytes, and 524288 are the most");
    refused(Envelope::parse("[".repeat(100_000).as_bytes()), "cannot be read as JSON");
}

#[test]
fn what_is_no_statement_of_ours_is_refused() {
    let bytes = package(MANIFEST);
    let statement = Statement::of(&read(&bytes), terms(7));
    assert_eq!(Statement::parse(&statement.to_json()).as_ref(), Ok(&statement));
    let value: Value = serde_json::from_slice(&statement.to_json()).expect("it is JSON");
    let check = |change: &dyn Fn(&mut Value), expected: &str| {
        let mut value = value.clone();
        change(&mut value);
        refused(Statement::parse(value.to_string().as_bytes()), expected);
    };
    check(&|value| value["_type"] = json!("https://in-toto.io/Statement/v0.1"), "of another type");
    check(&|value| value["predicateType"] = json!("https://slsa.dev/provenance/v1"), "of another type");
    check(&|value| value["subject"] = json!([]), "about 0 files");
    check(&|value| value["subject"][0]["digest"] = json!({ "sha256": "AB" }), "is not a SHA-256");
    check(&|value| value["subject"][0]["digest"]["sha1"] = json!("00"), "unknown field `sha1`");
    check(&|value| value["predicate"]["onlyOn"] = json!("weekdays"), "unknown field `onlyOn`");
    check(&|value| value["predicate"]["package"]["wants"][0]["unless"] = json!(true), "unknown field `unless`");
    check(&|value| value["predicate"]["serial"] = json!(-1), "invalid value");
    check(&|value| value["predicate"]["issued"] = json!("yesterday"), "`issued`");
    check(&|value| value["predicate"]["notAfter"] = json!("2027-11-01T01:00:00+01:00"), "`notAfter`");
    check(&|value| value["predicate"]["notAfter"] = json!("2026-10-31T00:00:00Z"), "ends before it begins");
    let twice = value.to_string().replacen("\"serial\":7", "\"serial\":7,\"serial\":8", 1);
    refused(Statement::parse(twice.as_bytes()), "the key \"serial\" stands twice");
}

/// What a registry may have for one package, by whoever writes there.
#[test]
fn signatures_that_were_kept_apart_are_put_together() {
    let (bytes, other) = (package(MANIFEST), package(&MANIFEST.replace("1.2.0", "1.3.0")));
    let statement = |serial| Statement::of(&read(&bytes), terms(serial));
    let by = |statement: &Statement, keys: &[&SecretKey]| signed(statement, keys).into_bytes();
    // Mallory's signature, in Bob's name.
    let wrong = |statement: &Statement| {
        let mut form: Value = serde_json::from_slice(&by(statement, &[&MALLORY])).expect("it is JSON");
        form["signatures"][0]["keyid"] = json!(BOB.public().id().to_string());
        serde_json::to_vec(&form).expect("it is JSON")
    };
    let found = [
        b"{}".to_vec(),
        by(&Statement::of(&read(&other), terms(9)), &[&ALICE]),
        by(&statement(6), &[&ALICE, &BOB]),
        wrong(&statement(7)),
        by(&statement(7), &[&ALICE]),
        by(&statement(7), &[&BOB]),
        wrong(&statement(7)),
        by(&statement(7), &[&MALLORY]),
    ];
    let (alice, bob) = (ALICE.public(), BOB.public());
    let digest = statement(7).digest;
    let gathered = gather(digest, &found, &[&alice, &bob]);
    let serial = |envelope: &Envelope| Statement::parse(envelope.payload()).map(|statement| statement.terms.serial);
    let serials: Vec<_> = gathered.iter().map(serial).collect();
    assert_eq!(serials, [Ok(7), Ok(6)]);
    assert_eq!([&alice, &bob].map(|key| gathered[0].is_signed_by(key)), [Some(true); 2]);
    assert_eq!(gathered[0].signatures().len(), 3, "who is not known may have signed too");
    assert!(Envelope::parse(gathered[0].to_json().as_bytes()).is_ok());
    // Nobody is known: nothing is said of who is right, and what was found first stays.
    assert_eq!(gather(digest, &found, &[])[0].is_signed_by(&bob), Some(false));
    assert_eq!(gather([0; 32], &found, &[&alice, &bob]), []);
}
