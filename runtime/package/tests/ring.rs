//! Keys by name, and signatures that are added one after the other.

mod kit;

use kit::{ALICE, BOB, MANIFEST, RULE, expect, judged, package, read, terms};
use remit_package::{Envelope, KeyRing, PublicKey, SecretKey, cosign, sign};
use std::fs;

const PASSPHRASE: &str = "correct horse";

#[track_caller]
fn refused<T>(result: Result<T, impl ToString>, expected: &str) {
    match result {
        Ok(_) => panic!("it was taken, and should be refused: {expected}"),
        Err(error) => assert!(error.to_string().contains(expected), "{:?} is not {expected:?}", error.to_string()),
    }
}

#[test]
fn keys_are_made_listed_and_opened_by_name() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let ring = KeyRing::at(folder.path().join("keys"));
    assert_eq!(ring.list().expect("there is no folder yet"), []);
    refused(ring.open("work", PASSPHRASE), "there are none; `remit keys new` makes one");
    refused(ring.create("work", "short"), "fewer than 8 characters");
    assert_eq!(ring.list().expect("nothing was kept"), []);
    let public = ring.create("work", PASSPHRASE).expect("it is made");
    let [kept] = ring.list().expect("they can be read").try_into().expect("there is one");
    assert_eq!((kept.name.as_str(), &kept.public, kept.is_own), ("work", &public, true));
    assert_eq!(ring.open("work", PASSPHRASE).expect("it opens").public(), public);
    refused(ring.open("work", "battery staple"), "the passphrase is not the one of this key");
    refused(ring.create("work", PASSPHRASE), "there is a key work already");
    for name in ["", "../work", "Work", "a/b", ".hidden", &"x".repeat(65)] {
        refused(ring.create(name, PASSPHRASE), "cannot name a key");
        refused(ring.find(name), "there is no key");
    }
    let left: Vec<_> = fs::read_dir(folder.path().join("keys")).expect("it is there").flatten().collect();
    assert_eq!(left.len(), 2, "{left:?}");
    #[cfg(unix)]
    for file in left {
        use std::os::unix::fs::PermissionsExt;
        let mode = file.metadata().expect("it is there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{file:?}");
    }
}

#[test]
fn keys_of_others_are_kept_and_sign_nothing() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let ring = KeyRing::at(folder.path().to_owned());
    let bob = ring.import("bob", &BOB.public().to_pem()).expect("it is a key");
    assert_eq!(bob, BOB.public());
    refused(ring.open("bob", PASSPHRASE), "the key bob is another's");
    refused(ring.export_secret("bob"), "the key bob is another's");
    refused(ring.import("eve", include_str!("keys/x25519.public.pem")), "of the algorithm 1.3.101.110");
    refused(ring.import("bob", &ALICE.public().to_pem()), "there is a key bob already");
    let theirs = include_str!("keys/pbkdf2.pem");
    refused(ring.import_secret("old", theirs, "battery staple"), "the passphrase is not the one");
    let old = ring.import_secret("old", theirs, PASSPHRASE).expect("it is a key of OpenSSL");
    assert_eq!(Ok(old), PublicKey::from_pem(include_str!("keys/public.pem")).map_err(|error| error.to_string()));
    let exported = ring.export_secret("old").expect("it is ours");
    assert!(*exported != theirs, "it is encrypted anew");
    assert_eq!(
        SecretKey::from_pem(&exported, PASSPHRASE).expect("it opens").public().id(),
        ring.find("old").expect("it is there").public.id()
    );
}

#[test]
fn halves_that_do_not_belong_together_sign_nothing() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let ring = KeyRing::at(folder.path().to_owned());
    ring.create("work", PASSPHRASE).expect("it is made");
    fs::write(folder.path().join("work.pub"), BOB.public().to_pem()).expect("it is ours");
    refused(ring.open("work", PASSPHRASE), "one of the two files was exchanged");
    fs::write(folder.path().join("work.pub"), "abc").expect("it is ours");
    refused(ring.list(), "the key work cannot be used: it is not the PEM text of a key");
}

#[test]
fn signatures_are_added_to_a_statement_about_this_package() {
    let bytes = package(MANIFEST);
    let packed = read(&bytes);
    let first = sign(&packed, terms(7), &ALICE).to_json();
    let (both, statement) = cosign(&packed, first.as_bytes(), &BOB).expect("it is about this package");
    assert_eq!((both.signatures().len(), statement.terms), (2, terms(7)));
    let threshold = RULE.replace("threshold = 1", "threshold = 2");
    expect(&judged(&bytes, Some(&both.to_json()), &threshold), &[]);
    let other = package(&MANIFEST.replace("1.2.0", "1.3.0"));
    refused(cosign(&read(&other), first.as_bytes(), &BOB), "one of the two was changed, so it is not signed");
    refused(cosign(&packed, b"{}", &BOB), "the envelope cannot be read as JSON");
    let mut full = Envelope::parse(first.as_bytes()).expect("it is one");
    (1..16).for_each(|_| full.sign(&SecretKey::generate().expect("the machine has randomness")));
    refused(cosign(&packed, full.to_json().as_bytes(), &BOB), "17 signatures, and 16 are the most");
}
