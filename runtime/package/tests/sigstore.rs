//! Bundles of Sigstore before policies: those that are right count, and each way to spoil one is told in a sentence.

#[path = "kit/identities.rs"]
mod identities;
#[path = "kit/instance.rs"]
mod instance;
mod kit;

use identities::{
    CAROL, INSTANCE, ISSUER, MAILS, WORKFLOW, bundle_of, digest_of, identity, judged, policy, rule, statement, with,
};
use instance::{DAY, Instance, Manner};
use kit::{ALICE, MANIFEST, RULE, expect, now, package, policy_text, read, signed};
use remit_package::{
    BUNDLE_BYTES_MAX, BUNDLES_MAX, Bundle, BundleError, Evidence, Policy, Revocations, Signer, Trust, TrustRoot,
    TrustRootError, verify,
};
use serde_json::{Value, json};
use std::fs;

#[test]
fn keys_and_identities_count_together_over_one_statement() {
    let bytes = package(MANIFEST);
    let text = statement(&bytes, 7);
    let (ci, carol) = (bundle_of(&bytes, 7), INSTANCE.bundle(MAILS, CAROL, &text.to_json()));
    let (of_ci, of_carol) = (Signer::Identity(identity(ISSUER, WORKFLOW)), Signer::Identity(identity(MAILS, CAROL)));
    let of_alice = Signer::Key(ALICE.public().id());
    let envelope = || Some(signed(&text, &[&ALICE]));

    let alone = judged(&bytes, &with(None, std::slice::from_ref(&ci)), &rule("[\"alice-ci\"]", 1));
    expect(&alone, &[]);
    assert_eq!((alone.signers.clone(), alone.statement), ([of_ci.clone()].into(), Some(text.clone())));
    let said: Vec<_> = alone.checks.iter().map(ToString::to_string).collect();
    for line in [
        "passed identity: alice-ci is https://github.com/alice/clerk/.github/workflows/release.yml@refs/heads/main (by https://token.",
        "passed identity: it was signed at 2026-01-05T12:00:00Z, as ours says",
        "passed identity: the signature is in the transparency log, at 1,",
        "passed identity: the signature is by the certificate's key, and the statement is about this file",
        "passed signers (operator): alice-ci signed, and 1 of its signers are needed",
    ] {
        assert!(said.iter().any(|said| said.starts_with(line)), "{line}: {said:#?}");
    }

    let both = judged(&bytes, &with(envelope(), std::slice::from_ref(&ci)), &rule("[\"alice\", \"alice-ci\"]", 2));
    expect(&both, &[]);
    assert_eq!(both.signers, [of_alice, of_ci.clone()].into());
    let two = judged(&bytes, &with(None, &[ci.clone(), carol.clone()]), &rule("[\"carol\", \"alice-ci\"]", 2));
    expect(&two, &[]);
    assert_eq!(two.signers, [of_ci, of_carol].into());

    let twice = [ci.clone(), bundle_of(&bytes, 7)];
    let told = "signers (operator): 1 of its signers signed it (alice-ci), and 2 are needed";
    expect(&judged(&bytes, &with(None, &twice), &rule("[\"carol\", \"alice-ci\"]", 2)), &[told]);

    // Another spelling of what says the same is the same statement.
    let spaced =
        serde_json::to_vec_pretty(&serde_json::from_slice::<Value>(&text.to_json()).expect("JSON")).expect("JSON");
    let spaced = INSTANCE.bundle(ISSUER, WORKFLOW, &spaced);
    expect(&judged(&bytes, &with(envelope(), &[spaced]), &rule("[\"alice\", \"alice-ci\"]", 2)), &[]);
    let newer = judged(&bytes, &with(envelope(), &[bundle_of(&bytes, 8)]), &rule("[\"alice\", \"alice-ci\"]", 1));
    expect(&newer, &["is over a statement that says something else than that of the envelope"]);
    let newer = judged(&bytes, &with(None, &[carol, bundle_of(&bytes, 8)]), &rule("[\"carol\", \"alice-ci\"]", 1));
    expect(&newer, &["is over a statement that says something else than that of another bundle"]);
}

#[test]
fn what_a_statement_says_is_checked_as_that_of_an_envelope() {
    let bytes = package(MANIFEST);
    let mut other = statement(&bytes, 7);
    other.claims.budget.tokens = 1;
    let bundle = INSTANCE.bundle(ISSUER, WORKFLOW, &other.to_json());
    expect(
        &judged(&bytes, &with(None, &[bundle]), &rule("[\"alice-ci\"]", 1)),
        &["claims: the statement says something else"],
    );
    let mut over = statement(&bytes, 7);
    over.terms.not_after = kit::time("2026-11-02T00:00:00Z");
    let bundle = INSTANCE.bundle(ISSUER, WORKFLOW, &over.to_json());
    expect(
        &judged(&bytes, &with(None, &[bundle]), &rule("[\"alice-ci\"]", 1)),
        &["time: the statement was valid until 2026-11-02"],
    );
    let serial = format!("{}\n[[serials]]\nname = \"post-office\"\nmin = 8\n", rule("[\"alice-ci\"]", 1));
    expect(&judged(&bytes, &with(None, &[bundle_of(&bytes, 7)]), &serial), &["serial (operator): its serial is 7"]);
    let payload = br#"{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"post-office","digest":{"sha256":"@"}}],"predicateType":"https://slsa.dev/provenance/v1","predicate":{}}"#;
    let payload = str::from_utf8(payload).expect("text").replace('@', &read(&bytes).digest());
    let bundle = INSTANCE.bundle(ISSUER, WORKFLOW, payload.as_bytes());
    let told = "the statement is of another type than an in-toto Statement v1 with a predicate urn:remit:package:v1";
    expect(&judged(&bytes, &with(None, &[bundle]), &rule("[\"alice-ci\"]", 1)), &[told, "signers (operator)"][..1]);
}

#[test]
fn a_bundle_that_was_spoilt_is_refused_for_what_was_spoilt() {
    let bytes = package(MANIFEST);
    let good = bundle_of(&bytes, 7);
    let rule = rule("[\"alice\", \"alice-ci\"]", 1);
    // Even where a key's signature is enough.
    let envelope = signed(&statement(&bytes, 7), &[&ALICE]);
    let check = |bundle: Value, told: &str| {
        let verdict = judged(&bytes, &with(Some(envelope.clone()), &[bundle]), &rule);
        let failures: Vec<_> = verdict.failures().map(ToString::to_string).collect();
        assert!(
            matches!(failures.as_slice(), [one] if one.starts_with("FAILED identity: ") && one.contains(told)),
            "{told}: {failures:#?}"
        );
    };
    let spoilt = |spoil: &dyn Fn(&mut Value)| {
        let mut bundle = good.clone();
        spoil(&mut bundle);
        bundle
    };
    let entry =
        |spoil: &dyn Fn(&mut Value)| spoilt(&|bundle| spoil(&mut bundle["verificationMaterial"]["tlogEntries"][0]));
    let made = |manner: Manner| INSTANCE.bundle_in(manner, ISSUER, WORKFLOW, &statement(&bytes, 7).to_json());
    // Another character in the middle of some Base64.
    let flip = |value: &mut Value| {
        let mut text = value.as_str().expect("a text").to_owned();
        let place = text.len() / 2;
        let other = if text[place..].starts_with('A') { "B" } else { "A" };
        text.replace_range(place..=place, other);
        *value = json!(text);
    };

    let another = package(&MANIFEST.replace("1.2.0", "1.2.1"));
    check(bundle_of(&another, 7), "is about another file");
    check(
        Instance::new().bundle(ISSUER, WORKFLOW, &statement(&bytes, 7).to_json()),
        "has a promise that is not the log's",
    );
    check(made(Manner { logged: DAY + 2, ..Manner::default() }), "was not signed while its certificate was valid");
    check(made(Manner { logged: DAY - 2, ..Manner::default() }), "was not signed while its certificate was valid");
    check(
        made(Manner { is_certificate_logged: false, ..Manner::default() }),
        "has a certificate that no log of the trust root wrote down",
    );
    check(
        made(Manner { is_for_code: false, ..Manner::default() }),
        "does not come from the trust root, or is not for signing",
    );
    let other = INSTANCE.bundle(ISSUER, WORKFLOW, &statement(&bytes, 8).to_json());
    check(
        spoilt(&|bundle| bundle["dsseEnvelope"]["payload"] = other["dsseEnvelope"]["payload"].clone()),
        "has a signature that is not over its statement",
    );
    check(
        spoilt(&|bundle| {
            bundle["verificationMaterial"]["tlogEntries"] = other["verificationMaterial"]["tlogEntries"].clone();
        }),
        "has a log entry about something else",
    );
    check(entry(&|entry| entry["integratedTime"] = json!("1767614401")), "has a promise that is not the log's");
    check(
        entry(&|entry| flip(&mut entry["inclusionPromise"]["signedEntryTimestamp"])),
        "has a promise that is not the log's",
    );
    check(entry(&|entry| flip(&mut entry["inclusionProof"]["hashes"][0])), "has a log entry that is not proved");
    check(entry(&|entry| entry["inclusionProof"]["hashes"] = json!([])), "has a log entry that is not proved");
    let checkpoint = |entry: &mut Value, from: &str, to: &str| {
        let text = entry["inclusionProof"]["checkpoint"]["envelope"].as_str().expect("a text").replacen(from, to, 1);
        entry["inclusionProof"]["checkpoint"]["envelope"] = json!(text);
    };
    check(
        entry(&|entry| checkpoint(entry, "log.example.com - 1", "log.example.com - 2")),
        "has a log entry that is not proved",
    );
    check(entry(&|entry| checkpoint(entry, "\n2\n", "\n3\n")), "has a log entry that is not proved");
    check(
        entry(&|entry| drop(entry.as_object_mut().expect("an object").remove("inclusionProof"))),
        "has no proof that it is in the log",
    );
    check(
        entry(&|entry| drop(entry.as_object_mut().expect("an object").remove("inclusionPromise"))),
        "neither a promise of its log nor a timestamp",
    );
    check(spoilt(&|bundle| bundle["verificationMaterial"]["tlogEntries"] = json!([])), "the bundle has no log entry");
}

/// A certificate of another authority, in a log that is believed: whoever runs the log is not the authority.
#[test]
fn a_certificate_of_another_authority_is_none() {
    let bytes = package(MANIFEST);
    let other = Instance::new();
    let bundle = other.bundle(ISSUER, WORKFLOW, &statement(&bytes, 7).to_json());
    let mut root = other.trusted_root();
    root["certificateAuthorities"] = INSTANCE.trusted_root()["certificateAuthorities"].clone();
    let root = TrustRoot::parse(root.to_string().as_bytes()).expect("it is a trust root");
    let bundle = Bundle::parse(bundle.to_string().as_bytes()).expect("it is a bundle");
    let told = root.verify(&bundle, &identity(ISSUER, WORKFLOW), &digest_of(&bytes)).expect_err("it is not");
    assert!(told.starts_with("has a certificate that does not come from the trust root"), "{told}");
}

#[test]
fn others_identities_do_not_count() {
    let bytes = package(MANIFEST);
    let text = statement(&bytes, 7).to_json();
    let fork = WORKFLOW.replace("alice", "mallory");
    for (issuer, subject) in
        [(MAILS, WORKFLOW), (ISSUER, &*fork), (MAILS, "carol@example.com.example"), (ISSUER, CAROL)]
    {
        let verdict = judged(
            &bytes,
            &with(None, &[INSTANCE.bundle(issuer, subject, &text)]),
            &rule("[\"alice-ci\", \"carol\"]", 1),
        );
        let told = format!("; a bundle says that it is by {subject} (by {issuer}), whom this policy does not know");
        expect(&verdict, &[&told]);
        assert!(verdict.signers.is_empty() && verdict.statement.is_none());
    }
    // A policy without identities has others' bundles lie where they are, whatever they are.
    let evidence = Evidence {
        bundles: Some(b"what others read".to_vec()),
        ..Evidence::envelope(signed(&statement(&bytes, 7), &[&ALICE]).into_bytes())
    };
    expect(&verify(&read(&bytes), &evidence, &[("operator", &kit::policy(RULE))], &now()), &[]);
    // An identity that is known, and is not among the signers.
    let verdict = judged(&bytes, &with(None, &[bundle_of(&bytes, 7)]), &rule("[\"carol\"]", 1));
    expect(&verdict, &["none of its signers signed it, and 1 are needed"]);
}

#[test]
fn a_revoked_identity_counts_no_longer() {
    let bytes = package(MANIFEST);
    let digest = digest_of(&bytes);
    let gone = format!(
        "{}\n[[revoked.identities]]\nissuer = \"{ISSUER}\"\nsubject = \"{WORKFLOW}\"\n",
        rule("[\"alice\", \"alice-ci\"]", 1)
    );
    let evidence = with(None, &[bundle_of(&bytes, 7)]);
    expect(
        &judged(&bytes, &evidence, &gone),
        &["none of its signers signed it, and 1 are needed; revoked identities signed it: alice-ci"],
    );

    // What runs is looked at again by those who signed it.
    let signer = Signer::Identity(identity(ISSUER, WORKFLOW));
    let trust = |revoked: Revocations| Trust::new(Some(policy(&rule("[\"alice\", \"alice-ci\"]", 1))), revoked);
    let signers = trust(Revocations::default()).signers_of(&digest, &evidence);
    assert_eq!(signers, [signer.clone()].into());
    assert_eq!(trust(Revocations::default()).against("post-office", &digest, &signers), None);
    let told =
        trust(Revocations::signer(signer.clone())).against("post-office", &digest, &signers).expect("it is revoked");
    assert!(
        told.ends_with("0 of its signers stand behind it, and 1 are needed, and an identity that signed it is revoked"),
        "{told}"
    );
    assert!(trust(Revocations::default()).signers_of(&[7; 32], &evidence).is_empty(), "another file's");

    // The file of what is revoked has it, and is read again.
    let folder = tempfile::tempdir().expect("a folder for the test");
    let file = folder.path().join("revoked.toml");
    let revoked = Revocations::signer(signer.clone());
    assert!(revoked.add_to(&file).expect("written") && !revoked.add_to(&file).expect("written"));
    assert!(Revocations::read(&file).expect("read").contains(&signer));
}

#[test]
fn a_policy_says_what_is_wrong_with_its_identities() {
    let root = INSTANCE.trusted_root();
    let identity = format!("[[identities]]\nname = \"ci\"\nissuer = \"{ISSUER}\"\nsubject = \"{WORKFLOW}\"\n");
    let ours = format!("[[roots]]\nname = \"ours\"\njson = '''{root}'''\n");
    let check = |text: &str, told: &str| {
        let error = Policy::parse(&policy_text(text)).expect_err(told).to_string();
        assert!(error.contains(told), "{told}: {error}");
    };
    assert!(Policy::parse(&format!("{ours}{identity}")).is_ok());
    check(&identity, "needs a trust root to be verified by: add one to [[roots]]");
    check(&format!("{ours}{}", identity.replace("\"ci\"", "\"alice\"")), "is a key's name too");
    check(
        &format!("{ours}{identity}{}", identity.replace("\"ci\"", "\"other\"")),
        "is the identity that is called \"ci\" already",
    );
    check(
        &format!("{ours}{identity}{}", identity.replace(WORKFLOW, "https://example.com")),
        "is another identity's name too",
    );
    check(&format!("{ours}{}", identity.replace("main", "*")), "has a `*`, and no patterns are matched here");
    check(&format!("{ours}{}", identity.replace("main", "ma in")), "has white space");
    check(&format!("{ours}{identity}root = \"theirs\"\n"), "names \"theirs\", which is no trust root of [[roots]]");
    check(
        &format!("{ours}{}{identity}", ours.replace("\"ours\"", "\"theirs\"")),
        "has no `root`, and there are several",
    );
    check(&format!("{ours}{ours}"), "is another trust root's name too");
    check(
        &format!("[[roots]]\nname = \"ours\"\nfile = \"root.json\"\n{identity}"),
        "this policy has no folder: give the root's `json`",
    );
    check(&format!("[[roots]]\nname = \"ours\"\n{identity}"), "needs one of `file` and `json`");
    check(&format!("[[roots]]\nname = \"ours\"\njson = \"{{\"\n{identity}"), "the trust root cannot be read as JSON");

    let folder = tempfile::tempdir().expect("a folder for the test");
    let text = |file: &str| format!("[[roots]]\nname = \"ours\"\nfile = \"{file}\"\n{identity}");
    fs::write(folder.path().join("root.json"), root.to_string()).expect("it is writable");
    let policy = Policy::parse_in(&text("root.json"), folder.path()).expect("it is a policy");
    assert_eq!(policy.root_files().collect::<Vec<_>>(), [folder.path().join("root.json")]);
    fs::write(folder.path().join("large.json"), vec![b' '; (1 << 20) + 1]).expect("it is writable");
    for (file, told) in [
        ("none.json", "cannot be read: No such file"),
        ("large.json", "it has more than 1048576 bytes"),
        ("../root.json", "without `..`"),
        ("/etc/passwd", "without `..`"),
    ] {
        let error = Policy::parse_in(&text(file), folder.path()).expect_err(file).to_string();
        assert!(error.contains(told), "{file}: {error}");
    }
}

#[test]
fn a_trust_root_that_verifies_nothing_is_told_apart() {
    let good = INSTANCE.trusted_root();
    let check = |key: &str, value: Value, expect: TrustRootError| {
        let mut root = good.clone();
        root[key] = value;
        assert_eq!(TrustRoot::parse(root.to_string().as_bytes()), Err(expect), "{key}");
    };
    assert!(TrustRoot::parse(good.to_string().as_bytes()).is_ok());
    check("mediaType", json!("x"), TrustRootError::Type("x".to_owned()));
    check("certificateAuthorities", json!([]), TrustRootError::Lacks("certificate authority"));
    check("ctlogs", json!([]), TrustRootError::Lacks("log of certificates"));
    check("tlogs", json!([]), TrustRootError::Lacks("transparency log"));
    let mut twice = good.clone();
    twice["tlogs"] = json!([good["tlogs"][0], good["tlogs"][0]]);
    assert!(matches!(TrustRoot::parse(twice.to_string().as_bytes()), Err(TrustRootError::Material(_))));
    let mut broken = good.clone();
    broken["certificateAuthorities"][0]["certChain"]["certificates"][0]["rawBytes"] = json!("AAAA");
    assert!(matches!(TrustRoot::parse(broken.to_string().as_bytes()), Err(TrustRootError::Material(_))));
    assert_eq!(TrustRoot::parse(&vec![b' '; 2 << 20]), Err(TrustRootError::TooLarge(2 << 20)));
}

#[test]
fn the_form_of_a_bundle_is_checked_before_anything_is_computed() {
    let bytes = package(MANIFEST);
    let good = bundle_of(&bytes, 7);
    let line = good.to_string();
    let count = |text: &str| Bundle::parse_all(text.as_bytes()).map(|bundles| bundles.len());
    assert_eq!(count(&line), Ok(1));
    assert_eq!(
        count(&format!("{line}\n{line}{}\n\n", serde_json::to_string_pretty(&good).expect("JSON"))),
        Ok(3),
        "in any form"
    );
    assert_eq!(count(" \n"), Err(BundleError::None));
    assert_eq!(count(&line.repeat(BUNDLES_MAX + 1)), Err(BundleError::TooMany));
    assert!(matches!(count("{\"a\":1,\"a\":2}"), Err(BundleError::Json(told)) if told.contains("stands twice")));
    assert!(matches!(count(&format!("{line} x")), Err(BundleError::Json(_))));
    let large = " ".repeat(BUNDLE_BYTES_MAX);
    assert_eq!(
        Bundle::parse(format!("{large}{line}").as_bytes()),
        Err(BundleError::TooLarge { bytes: BUNDLE_BYTES_MAX + line.len(), most: BUNDLE_BYTES_MAX })
    );
    assert!(matches!(count(&" ".repeat(100 << 20)), Err(BundleError::TooLarge { bytes, .. }) if bytes == 100 << 20));

    let check = |spoil: &dyn Fn(&mut Value), expect: BundleError| {
        let mut bundle = good.clone();
        spoil(&mut bundle);
        assert_eq!(count(&bundle.to_string()), Err(expect));
    };
    check(
        &|bundle| bundle["mediaType"] = json!("application/vnd.dev.sigstore.bundle+json;version=0.2"),
        BundleError::Version,
    );
    check(
        &|bundle| bundle["dsseEnvelope"]["payloadType"] = json!("text/plain"),
        BundleError::PayloadType("\"text/plain\"".to_owned()),
    );
    let message = |bundle: &mut Value| {
        drop(bundle.as_object_mut().expect("an object").remove("dsseEnvelope"));
        bundle["messageSignature"] =
            json!({ "messageDigest": { "algorithm": "SHA2_256", "digest": "AAAA" }, "signature": "AAAA" });
    };
    check(&message, BundleError::NoStatement);
    let key = |bundle: &mut Value| {
        drop(bundle["verificationMaterial"].as_object_mut().expect("an object").remove("certificate"));
        bundle["verificationMaterial"]["publicKey"] = json!({ "hint": "x" });
    };
    check(&key, BundleError::NoCertificate);
    let many = |bundle: &mut Value| {
        let entry = bundle["verificationMaterial"]["tlogEntries"][0].clone();
        bundle["verificationMaterial"]["tlogEntries"] = json!(vec![entry; 5]);
    };
    check(&many, BundleError::TooManyEntries);
}
