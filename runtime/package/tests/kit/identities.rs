//! Identities for tests: who they are, a policy that knows them, and their bundles.
#![allow(dead_code, reason = "each test file uses a part of it")]

use crate::{
    instance::Instance,
    kit::{RULE, now, policy_text, read, terms},
};
use remit_package::{Evidence, Identity, Policy, Statement, Verdict, verify};
use serde_json::Value;
use sha2::Digest as _;
use std::sync::LazyLock;

pub(crate) const ISSUER: &str = "https://token.actions.githubusercontent.com";
pub(crate) const WORKFLOW: &str = "https://github.com/alice/clerk/.github/workflows/release.yml@refs/heads/main";
pub(crate) const MAILS: &str = "https://accounts.example.com";
pub(crate) const CAROL: &str = "carol@example.com";

pub(crate) static INSTANCE: LazyLock<Instance> = LazyLock::new(Instance::new);

/// Keys of Alice and Bob, identities of Alice's workflow and of Carol, and what follows.
pub(crate) fn known(rest: &str) -> String {
    let root = INSTANCE.trusted_root();
    let identity = |name: &str, issuer: &str, subject: &str| {
        format!("[[identities]]\nname = \"{name}\"\nissuer = \"{issuer}\"\nsubject = \"{subject}\"\n")
    };
    let (alice, carol) = (identity("alice-ci", ISSUER, WORKFLOW), identity("carol", MAILS, CAROL));
    policy_text(&format!("[[roots]]\nname = \"ours\"\njson = '''{root}'''\n{alice}{carol}{rest}"))
}

/// The rule, with these signers and so many of them.
pub(crate) fn rule(signers: &str, threshold: usize) -> String {
    RULE.replace("[\"alice\", \"bob\"]", signers).replace("threshold = 1", &format!("threshold = {threshold}"))
}

pub(crate) fn policy(rest: &str) -> Policy {
    Policy::parse(&known(rest)).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn statement(bytes: &[u8], serial: u64) -> Statement {
    Statement::of(&read(bytes), terms(serial))
}

pub(crate) fn bundle_of(bytes: &[u8], serial: u64) -> Value {
    INSTANCE.bundle(ISSUER, WORKFLOW, &statement(bytes, serial).to_json())
}

pub(crate) fn with(envelope: Option<String>, bundles: &[Value]) -> Evidence {
    let bundles = bundles.iter().map(|bundle| format!("{bundle}\n")).collect::<String>();
    Evidence {
        envelope: envelope.map(String::into_bytes),
        bundles: (!bundles.is_empty()).then(|| bundles.into_bytes()),
    }
}

pub(crate) fn judged(bytes: &[u8], evidence: &Evidence, rest: &str) -> Verdict {
    verify(&read(bytes), evidence, &[("operator", &policy(rest))], &now())
}

pub(crate) fn identity(issuer: &str, subject: &str) -> Identity {
    Identity { issuer: issuer.to_owned(), subject: subject.to_owned() }
}

/// Of a package's file.
pub(crate) fn digest_of(bytes: &[u8]) -> [u8; 32] {
    sha2::Sha256::digest(bytes).into()
}
