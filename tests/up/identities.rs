//! Packages of somebody who keeps no key: what is to be signed is written, a Sigstore of the test's own signs it, and an operator knows the
//! identity.

#[path = "../../runtime/package/tests/kit/instance.rs"]
mod instance;

use super::{
    packages::{Author, refused, until_frozen},
    stage::Host,
};
use instance::Instance;
use std::fs;

const ISSUER: &str = "https://token.actions.githubusercontent.com";
const SUBJECT: &str = "https://github.com/alice/sleeper/.github/workflows/release.yml@refs/heads/main";

/// A package that an identity signed, with its bundle beside it.
fn signed(author: &Author, sigstore: &Instance) -> String {
    let file = author.build("sleeper", "1.0.0", "");
    let (statement, bundle) = (author.text("statement.json"), author.text("bundle.json"));
    author.ask(&["sign", &file, "--statement", &statement, "--serial", "1"]);
    let payload = fs::read(&statement).expect("it was written");
    fs::write(&bundle, sigstore.bundle(ISSUER, SUBJECT, &payload).to_string()).expect("it is ours");
    refused(&author.remit(&["sign", &file, "--bundle", &author.text("passphrase")]), 5, "cannot be read as JSON");
    let told = author.ask(&["sign", &file, "--bundle", &bundle]);
    assert!(told.contains(&format!("a bundle that says that it is by {SUBJECT} (by {ISSUER})")), "{told}");
    file
}

/// An operator who takes what that identity signed, by the instance's trust root.
fn trust(host: &Host, sigstore: &Instance) {
    let policy = format!(
        "[[roots]]\nname = \"ours\"\nfile = \"trusted_root.json\"\n\
         [[identities]]\nname = \"ci\"\nissuer = \"{ISSUER}\"\nsubject = \"{SUBJECT}\"\n\
         [[packages]]\nnames = [\"*\"]\nsigners = [\"ci\"]\ntokens_max = 100\n"
    );
    fs::write(host.home().path().join("trust.toml"), policy).expect("it is ours");
    believe(host, sigstore);
}

fn believe(host: &Host, sigstore: &Instance) {
    let root = sigstore.trusted_root().to_string();
    fs::write(host.home().path().join("trusted_root.json"), root).expect("it is ours");
}

#[test]
fn what_an_identity_signed_is_pushed_installed_run_and_called_back() {
    let (author, host, sigstore) = (Author::new(), Host::up(), Instance::new());
    let file = signed(&author, &sigstore);
    refused(&host.remit(&["verify", &file]), 16, "the bundles are not looked at, since no policy knows an identity");
    trust(&host, &sigstore);
    let told = host.ask(&["verify", &file]);
    assert!(told.contains("passed identity: ci is") && told.contains("it would be installed"), "{told}");
    let place = format!("oci:{}:1.0.0", author.text("registry"));
    author.ask(&["push", &file, &place]);
    assert!(host.ask(&["install", &place]).contains(&format!("signed by {SUBJECT} (by {ISSUER})")));
    let pid = host.ask(&["run", "--detach", "sleeper", "3600000"]).trim().to_owned();
    let (told, _) = until_frozen(&host, &["keys", "revoke", "ci"], &[&pid]);
    assert!(told.contains(&format!("the identity {SUBJECT} (by {ISSUER}) is revoked")), "{told}");
    assert!(told.contains("sleeper: 1 processes take no turns any more"), "{told}");
    refused(&host.remit(&["run", "sleeper", "1"]), 5, "revoked identities signed it: ci");
}

#[test]
fn a_trust_root_that_was_exchanged_counts_at_once() {
    let (author, host, sigstore) = (Author::new(), Host::up(), Instance::new());
    let file = signed(&author, &sigstore);
    trust(&host, &sigstore);
    host.ask(&["install", &file]);
    host.ask(&["run", "sleeper", "1"]);
    believe(&host, &Instance::new());
    refused(&host.remit(&["run", "sleeper", "1"]), 5, "identity: the bundle of ci");
    believe(&host, &sigstore);
    host.ask(&["run", "sleeper", "1"]);
    fs::remove_file(host.home().path().join("trusted_root.json")).expect("it is there");
    refused(&host.remit(&["run", "sleeper", "1"]), 7, "cannot be read");
}
