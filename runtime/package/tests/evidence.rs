//! Bundles on their way: beside a package, out of a registry, into what is installed.

#[path = "kit/identities.rs"]
mod identities;
#[path = "kit/instance.rs"]
mod instance;
mod kit;

use identities::{
    CAROL, INSTANCE, ISSUER, MAILS, WORKFLOW, bundle_of, digest_of, identity, judged, known, policy, rule, statement,
    with,
};
use instance::Instance;
use kit::{ALICE, MALLORY, MANIFEST, expect, now, package, read, signed};
use remit_package::{
    Arrival, Bundle, Evidence, Older, Package, Policy, Revocations, SignError, Signer, Store, StoreError, Trust,
    bundles_path, envelope_path,
};
use std::fs;

#[test]
fn a_bundle_comes_to_lie_beside_its_package() {
    let (bytes, other) = (package(MANIFEST), package(&MANIFEST.replace("1.2.0", "1.2.1")));
    let packed = read(&bytes);
    let text = statement(&bytes, 7);
    let bundle = |issuer, subject| INSTANCE.bundle(issuer, subject, &text.to_json()).to_string();
    assert_eq!(Evidence::default().statement(&packed), Ok(None));
    let (evidence, said) = Evidence::default().add_bundle(&packed, bundle(ISSUER, WORKFLOW).as_bytes()).expect("added");
    assert_eq!((said, evidence.statement(&packed)), (text.clone(), Ok(Some(text.clone()))));
    let (evidence, _) = evidence.add_bundle(&packed, bundle(MAILS, CAROL).as_bytes()).expect("added");
    let (evidence, _) = evidence.add_bundle(&packed, bundle(ISSUER, WORKFLOW).as_bytes()).expect("it gives way");
    assert_eq!(Bundle::parse_all(evidence.bundles.as_deref().expect("some")).map(|bundles| bundles.len()), Ok(2));

    let refused = evidence.clone().add_bundle(&packed, bundle_of(&other, 7).to_string().as_bytes());
    assert!(matches!(refused, Err(SignError::Other(told)) if told.starts_with("the statement is about the file")));
    let refused = evidence.clone().add_bundle(&packed, bundle_of(&bytes, 8).to_string().as_bytes());
    assert_eq!(refused, Err(SignError::Different));
    let enveloped = Evidence::envelope(signed(&statement(&bytes, 8), &[&ALICE]).into_bytes());
    assert_eq!(enveloped.add_bundle(&packed, bundle(ISSUER, WORKFLOW).as_bytes()), Err(SignError::Different));

    let folder = tempfile::tempdir().expect("a folder for the test");
    let file = folder.path().join("post.wasm");
    evidence.write(&file).expect("written");
    assert!(bundles_path(&file).exists() && !envelope_path(&file).exists());
    assert_eq!(Evidence::read(&file).expect("read"), evidence);
    Evidence::default().write(&file).expect("nothing is left");
    assert!(Evidence::read(&file).expect("read").is_empty());
}

#[test]
fn what_a_registry_has_is_put_together_by_what_it_says() {
    let (bytes, other) = (package(MANIFEST), package(&MANIFEST.replace("1.2.0", "1.2.1")));
    let digest = digest_of(&bytes);
    let trust = Trust::new(Some(policy(&rule("[\"alice\", \"alice-ci\"]", 2))), Revocations::default());
    let envelope = |serial| signed(&statement(&bytes, serial), &[&ALICE]).into_bytes();
    let bundle = |serial| bundle_of(&bytes, serial).to_string().into_bytes();
    let wrong = Instance::new().bundle(ISSUER, WORKFLOW, &statement(&bytes, 8).to_json()).to_string().into_bytes();
    let strange =
        INSTANCE.bundle(MAILS, "mallory@example.com", &statement(&bytes, 7).to_json()).to_string().into_bytes();
    let bundles = [wrong, strange, b"{}".to_vec(), bundle(7), bundle(8), bundle_of(&other, 9).to_string().into_bytes()];
    let found = trust.gather(digest, &[envelope(7), envelope(8)], &bundles);
    let counts: Vec<_> = found
        .iter()
        .map(|evidence| {
            let bundles = Bundle::parse_all(evidence.bundles.as_deref().expect("some")).expect("bundles");
            (evidence.envelope.is_some(), bundles.len())
        })
        .collect();
    assert_eq!(
        counts,
        [(true, 1), (true, 2)],
        "the newest first, without what is wrong; then the older one, with a stranger's"
    );
    for evidence in &found {
        expect(&judged(&bytes, evidence, &rule("[\"alice\", \"alice-ci\"]", 2)), &[]);
    }
    let forged = signed(&statement(&bytes, 99), &[&MALLORY]).into_bytes();
    let last = |trust: &Trust| {
        let found = trust.gather(digest, &[forged.clone(), envelope(7)], &[]);
        found.iter().position(|evidence| *evidence == Evidence::envelope(forged.clone()))
    };
    assert_eq!((last(&trust), last(&Trust::default())), (Some(1), Some(0)), "a stranger's comes behind, however new");
    let alone = trust.gather(digest, &[], &[bundle(7)]);
    assert!(matches!(alone.as_slice(), [one] if one.envelope.is_none() && one.bundles.is_some()));
}

#[test]
fn bundles_are_installed_with_the_package_and_looked_at_again() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let (bytes, file) = (package(MANIFEST), folder.path().join("post.wasm"));
    fs::write(&file, &bytes).expect("it is writable");
    with(None, &[bundle_of(&bytes, 7)]).write(&file).expect("written");
    let store = Store::at(folder.path().join("packages"));
    let trust = |revoked| Trust::new(Some(policy(&rule("[\"alice-ci\"]", 1))), revoked);
    let arrival = Arrival { older: Older::Refused, from: None, now: now().now };
    let package = Package::open_packed(&file).expect("it is a package");
    let (listed, admission) = store.install(&package, &trust(Revocations::default()), &arrival).expect("it is taken");
    assert_eq!((listed.serial, admission.signers.len()), (Some(7), 1));
    let installed = store.open(&"post-office".parse().expect("a name")).expect("it can be read").expect("it is there");
    assert!(installed.evidence().bundles.is_some() && installed.envelope().is_none());
    let circumstances = installed.circumstances(now().now, None);
    assert!(trust(Revocations::default()).admit(&installed, &circumstances).is_ok());
    let revoked = Revocations::signer(Signer::Identity(identity(ISSUER, WORKFLOW)));
    let refused = trust(revoked.clone()).admit(&installed, &circumstances).expect_err("it is revoked").to_string();
    assert!(refused.contains("revoked identities signed it: alice-ci"), "{refused}");
    assert!(matches!(store.install(&package, &trust(revoked), &arrival), Err(StoreError::Denied(_))));

    // A tenant's policy has identities of its own, by a trust root of its own.
    let theirs = known(&rule("[\"alice-ci\"]", 1))
        .replace(&INSTANCE.trusted_root().to_string(), &Instance::new().trusted_root().to_string());
    let tenant =
        |text: &str| trust(Revocations::default()).within("tenant 0", Policy::parse(text).expect("it is a policy"));
    assert!(tenant(&known(&rule("[\"alice-ci\"]", 1))).admit(&installed, &circumstances).is_ok());
    let refused = tenant(&theirs).admit(&installed, &circumstances).expect_err("not by their root").to_string();
    assert!(refused.contains("identity: the bundle of alice-ci"), "{refused}");
    store.uninstall(&"post-office".parse().expect("a name")).expect("it goes");
    let left: Vec<_> = fs::read_dir(folder.path().join("packages"))
        .expect("a folder")
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert_eq!(left.len(), 2, "{left:?}");

    fs::write(bundles_path(&file), vec![b' '; (4 << 20) + 1]).expect("it is writable");
    let told = Package::open_packed(&file).expect_err("it is too large").to_string();
    assert!(told.ends_with("it has more than 4194304 bytes, which are the most"), "{told}");
}
