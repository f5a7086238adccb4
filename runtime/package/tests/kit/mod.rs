//! What tests of packages have in common: parts, keys, policies, and a look at all that was said.
#![allow(dead_code, reason = "each test file uses a part of it")]

use jiff::Timestamp;
use remit_package::{
    Circumstances, Envelope, Evidence, Packed, Parts, Policy, SecretKey, Statement, Terms, Verdict, verify,
};
use std::{collections::BTreeMap, sync::LazyLock};

/// Three keys of nobody.
pub(crate) static ALICE: LazyLock<SecretKey> = LazyLock::new(key);
pub(crate) static BOB: LazyLock<SecretKey> = LazyLock::new(key);
pub(crate) static MALLORY: LazyLock<SecretKey> = LazyLock::new(key);

fn key() -> SecretKey {
    SecretKey::generate().expect("the machine has randomness")
}

pub(crate) const MANIFEST: &str = r#"
name = "post-office"
version = "1.2.0"
component = "post.wasm"

[[wants.models]]
label = "chat"
max_tokens_per_call = 512

[[wants.http]]
label = "post"
hosts = ["api.example.com"]
access = "read-write"
rate = "60/minute"

[budget]
tokens = 2000

[limits]
generations_max = 1
"#;

/// The rule and the keys with which [`MANIFEST`] runs, one signature by Alice or Bob being enough.
pub(crate) const RULE: &str = r#"
[[packages]]
names = ["post-*"]
signers = ["alice", "bob"]
threshold = 1
tokens_max = 2000

[[packages.grants.models]]
max_tokens_per_call = 512

[[packages.grants.http]]
hosts = ["*.example.com"]
access = "read-write"
rate = "60/minute"
"#;

/// A component that imports one interface and exports `run`.
pub(crate) fn component() -> Vec<u8> {
    wat::parse_str(
        r#"(component
            (import "remit:kernel/trace@0.1.0" (instance))
            (core module $m (func (export "run")))
            (core instance $i (instantiate $m))
            (func $run (canon lift (core func $i "run")))
            (export "run" (func $run)))"#,
    )
    .expect("it is a component")
}

/// A package of a manifest and nothing besides.
pub(crate) fn package(manifest: &str) -> Vec<u8> {
    let assets = BTreeMap::new();
    let parts = Parts { component: &component(), manifest, assets: &assets, build: None, sbom: None };
    Packed::make(&parts).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn read(bytes: &[u8]) -> Packed<'_> {
    Packed::read(bytes).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn time(text: &str) -> Timestamp {
    text.parse().expect("it is a time")
}

pub(crate) fn terms(serial: u64) -> Terms {
    Terms { serial, issued: time("2026-11-01T00:00:00Z"), not_after: time("2027-11-01T00:00:00Z") }
}

/// The statement about a package, signed by keys.
pub(crate) fn signed(statement: &Statement, keys: &[&SecretKey]) -> String {
    let mut envelope = Envelope::new(statement.to_json());
    keys.iter().for_each(|key| envelope.sign(key));
    envelope.to_json()
}

/// A policy with Alice's and Bob's keys, and what follows.
pub(crate) fn policy_text(rest: &str) -> String {
    let key = |name: &str, key: &SecretKey| {
        format!("[[keys]]\nname = \"{name}\"\npublic = \"\"\"\n{}\"\"\"\n", key.public().to_pem())
    };
    format!("{}{}{rest}", key("alice", &ALICE), key("bob", &BOB))
}

pub(crate) fn policy(rest: &str) -> Policy {
    Policy::parse(&policy_text(rest)).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn now() -> Circumstances {
    Circumstances { now: time("2026-12-01T00:00:00Z"), installed: None }
}

/// What one policy says of a package, now.
pub(crate) fn judged(package: &[u8], envelope: Option<&str>, rest: &str) -> Verdict {
    let evidence = Evidence { envelope: envelope.map(|text| text.as_bytes().to_vec()), bundles: None };
    verify(&read(package), &evidence, &[("operator", &policy(rest))], &now())
}

/// Checks that a package is taken, or for what it is not: the failed checks as they are told.
#[track_caller]
pub(crate) fn expect(verdict: &Verdict, failures: &[&str]) {
    let told: Vec<_> = verdict.failures().map(ToString::to_string).collect();
    let said: Vec<_> = verdict.checks.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), failures.len(), "{said:#?}");
    for (told, expected) in told.iter().zip(failures) {
        assert!(told.contains(expected), "{told:?} is not {expected:?}");
    }
    assert_eq!(verdict.is_accepted(), failures.is_empty(), "{said:#?}");
}
