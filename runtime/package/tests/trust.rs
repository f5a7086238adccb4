//! Policies: what they say, and what they say of packages that were changed, signed by others, or ask for too much.

mod kit;

use kit::{
    ALICE, BOB, MALLORY, MANIFEST, RULE, expect, judged, now, package, policy, policy_text, read, signed, terms, time,
};
use remit_package::{
    Circumstances, Evidence, Installed, ManifestError, Policy, SecretKey, Statement, trust_schema, verify,
};
use std::{env, fs, path::Path};

/// What a policy says of a package that keys signed with a serial of 7.
fn of(manifest: &str, keys: &[&SecretKey], rest: &str) -> remit_package::Verdict {
    let bytes = package(manifest);
    let envelope = signed(&Statement::of(&read(&bytes), terms(7)), keys);
    judged(&bytes, Some(&envelope), rest)
}

#[test]
fn what_is_signed_and_asks_for_no_more_than_it_may_is_taken() {
    let verdict = of(MANIFEST, &[&ALICE], RULE);
    expect(&verdict, &[]);
    assert_eq!(verdict.statement.map(|statement| statement.terms.serial), Some(7));
    expect(&of(MANIFEST, &[&ALICE, &BOB, &MALLORY], RULE), &[]);
}

#[test]
fn any_flipped_bit_is_refused() {
    let bytes = package(MANIFEST);
    let envelope = signed(&Statement::of(&read(&bytes), terms(7)), &[&ALICE]);
    let policy = policy(RULE);
    let is_taken = |file: &[u8], envelope: &[u8]| match remit_package::Packed::read(file) {
        Ok(packed) => {
            verify(&packed, &Evidence::envelope(envelope.to_vec()), &[("operator", &policy)], &now()).is_accepted()
        }
        Err(_) => false,
    };
    assert!(is_taken(&bytes, envelope.as_bytes()));
    let flipped = |bytes: &[u8], bit: usize| {
        let mut bytes = bytes.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    };
    for bit in 0..bytes.len() * 8 {
        assert!(!is_taken(&flipped(&bytes, bit), envelope.as_bytes()), "bit {bit} of the package");
    }
    for bit in 0..envelope.len() * 8 {
        assert!(!is_taken(&bytes, &flipped(envelope.as_bytes(), bit)), "bit {bit} of the envelope");
    }
    for end in [0, 1, bytes.len() / 2, bytes.len() - 1] {
        assert!(!is_taken(&bytes[..end], envelope.as_bytes()), "cut off at {end}");
    }
}

#[test]
fn signatures_are_counted_by_keys_that_are_in_the_entry() {
    let both = &RULE.replace("threshold = 1", "threshold = 2");
    expect(&of(MANIFEST, &[&ALICE, &BOB], both), &[]);
    expect(&of(MANIFEST, &[&ALICE], both), &["1 of its signers signed it (alice), and 2 are needed"]);
    expect(&of(MANIFEST, &[&ALICE, &ALICE], both), &["1 of its signers signed it (alice), and 2 are needed"]);
    expect(&of(MANIFEST, &[&MALLORY], RULE), &["none of its signers signed it, and 1 are needed"]);
    let alice_alone = &RULE.replace(r#"["alice", "bob"]"#, r#"["alice"]"#);
    expect(&of(MANIFEST, &[&BOB], alice_alone), &["FAILED signers (operator): none of its signers"]);
    expect(&judged(&package(MANIFEST), None, RULE), &["none of its signers signed it, and 1 are needed"]);
    // A key that is good for other names.
    expect(
        &of(&MANIFEST.replace("post-office", "bank"), &[&ALICE], RULE),
        &["no entry of [[packages]] covers the name \"bank\""],
    );
    let bob_for_banks =
        &format!("{alice_alone}\n[[packages]]\nnames = [\"bank\"]\nsigners = [\"bob\"]\ntokens_max = 9\n");
    expect(&of(MANIFEST, &[&BOB], bob_for_banks), &["none of its signers signed it"]);
}

#[test]
fn a_signature_of_a_known_key_that_is_wrong_is_never_overlooked() {
    let bytes = package(MANIFEST);
    let packed = read(&bytes);
    let right = signed(&Statement::of(&packed, terms(7)), &[&ALICE]);
    let other = signed(&Statement::of(&packed, terms(8)), &[&BOB]);
    let mut mixed: serde_json::Value = serde_json::from_str(&right).expect("it is JSON");
    let other: serde_json::Value = serde_json::from_str(&other).expect("it is JSON");
    mixed["signatures"].as_array_mut().expect("it is a list").push(other["signatures"][0].clone());
    for rest in [RULE.to_owned(), RULE.replace("threshold = 1", "unsigned = true")] {
        let verdict = judged(&bytes, Some(&mixed.to_string()), &rest);
        assert!(!verdict.is_accepted());
        let told = verdict.failures().next().expect("something failed").to_string();
        assert!(told.contains("FAILED statement: the signature of the key bob"), "{told}");
    }
    // Another's signature under Alice's id.
    let mallory = signed(&Statement::of(&packed, terms(7)), &[&MALLORY]);
    let swapped = mallory.replace(&MALLORY.public().id().to_string(), &ALICE.public().id().to_string());
    let told = judged(&bytes, Some(&swapped), RULE).failures().next().map(ToString::to_string).unwrap_or_default();
    assert!(told.contains("FAILED statement: the signature of the key alice"), "{told}");
}

#[test]
fn a_statement_is_about_this_file_and_says_what_it_says() {
    let (bytes, other) = (package(MANIFEST), package(&MANIFEST.replace("1.2.0", "1.3.0")));
    let check = |statement: &Statement, failures: &[&str]| {
        expect(&judged(&bytes, Some(&signed(statement, &[&ALICE])), RULE), failures);
    };
    let statement = Statement::of(&read(&bytes), terms(7));
    check(&Statement::of(&read(&other), terms(7)), &["one of the two was changed", "own file about: version"]);
    check(
        &Statement { name: "bank".to_owned(), ..statement.clone() },
        &["the statement is about \"bank\", and the package's name is"],
    );
    let mut claims = statement.claims.clone();
    claims.wants.pop();
    claims.budget.tokens = 1;
    claims.limits.clear();
    claims.world.imports.clear();
    claims.models.default = false;
    claims.sbom = Some("00".repeat(32));
    check(&Statement { claims, ..statement }, &["own file about: world, models, wants, budget, limits, sbom"]);
}

#[test]
fn a_package_has_its_time() {
    let bytes = package(MANIFEST);
    let envelope = signed(&Statement::of(&read(&bytes), terms(7)), &[&ALICE]);
    let policy = policy(RULE);
    let check = |now: &str, failures: &[&str]| {
        let circumstances = Circumstances { now: time(now), installed: None };
        expect(
            &verify(
                &read(&bytes),
                &Evidence::envelope(envelope.as_bytes().to_vec()),
                &[("operator", &policy)],
                &circumstances,
            ),
            failures,
        );
    };
    check("2026-11-01T00:00:00Z", &[]);
    check("2026-10-31T23:55:00Z", &[]);
    check("2026-10-31T23:54:59Z", &["issued at 2026-11-01T00:00:00Z, and it is 2026-10-31T23:54:59Z now"]);
    check("2027-11-01T00:00:00Z", &[]);
    check("2027-11-01T00:00:01Z", &["valid until 2027-11-01T00:00:00Z, and it is"]);
}

#[test]
fn who_has_seen_a_newer_one_takes_no_older_one() {
    let (bytes, other) = (package(MANIFEST), package(&MANIFEST.replace("1.2.0", "1.2.1")));
    let serials = |min: u64| format!("{RULE}\n[[serials]]\nname = \"post-office\"\nmin = {min}\n");
    expect(&of(MANIFEST, &[&ALICE], &serials(7)), &[]);
    expect(&of(MANIFEST, &[&ALICE], &serials(8)), &["its serial is 7, and the lowest that runs is 8"]);
    let unsigned = |rest: &str| judged(&bytes, None, &rest.replace("threshold = 1", "unsigned = true"));
    expect(&unsigned(RULE), &[]);
    expect(&unsigned(&serials(1)), &["it has no serial, and packages of this name had one"]);
    let envelope = signed(&Statement::of(&read(&bytes), terms(7)), &[&ALICE]);
    let check = |serial: u64, of: &[u8], failures: &[&str]| {
        let installed = Some(Installed { serial, digest: read(of).digest() });
        let circumstances = Circumstances { installed, ..now() };
        let policy = policy(RULE);
        expect(
            &verify(
                &read(&bytes),
                &Evidence::envelope(envelope.as_bytes().to_vec()),
                &[("operator", &policy)],
                &circumstances,
            ),
            failures,
        );
    };
    check(6, &other, &[]);
    check(7, &bytes, &[]);
    check(7, &other, &["its serial is 7, as that of another file"]);
    check(8, &other, &["its serial is 7, and 8 was installed already: it is older"]);
}

#[test]
fn what_is_revoked_is_believed_no_longer() {
    let digest = read(&package(MANIFEST)).digest();
    let packages = format!("{RULE}\n[revoked]\npackages = [\"{digest}\"]\n");
    expect(&of(MANIFEST, &[&ALICE], &packages), &["FAILED revocation (operator): the file"]);
    let keys = format!("{RULE}\n[revoked]\nkeys = [\"{}\"]\n", ALICE.public().id());
    expect(&of(MANIFEST, &[&ALICE], &keys), &["revoked keys signed it: alice"]);
    expect(&of(MANIFEST, &[&ALICE, &BOB], &keys), &[]);
    expect(
        &of(MANIFEST, &[&ALICE], &keys.replace("threshold = 1", "unsigned = true")),
        &["revoked keys signed it: alice"],
    );
}

#[test]
fn nothing_is_taken_where_no_policy_was_asked_or_one_knows_nobody() {
    let bytes = package(MANIFEST);
    let envelope = signed(&Statement::of(&read(&bytes), terms(7)), &[&ALICE]);
    let none = verify(&read(&bytes), &Evidence::envelope(envelope.as_bytes().to_vec()), &[], &now());
    assert!(!none.is_accepted());
    let empty = Policy::default();
    let verdict =
        verify(&read(&bytes), &Evidence::envelope(envelope.as_bytes().to_vec()), &[("operator", &empty)], &now());
    expect(&verdict, &["no entry of [[packages]] covers"]);
}

/// Checks the one sentence that a policy leads to.
#[track_caller]
fn wrong(rest: &str, expected: &str) {
    match Policy::parse(&policy_text(rest)) {
        Err(ManifestError::Wrong { problems, .. }) => {
            let told: Vec<_> = problems.iter().map(|problem| problem.text.as_str()).collect();
            assert!(told.len() == 1 && told[0].contains(expected), "{told:?} is not {expected:?}");
        }
        other => panic!("{other:?} is not {expected:?}"),
    }
}

#[test]
fn policies_are_told_what_is_wrong_with_them() {
    let rule = |rest: &str| format!("[[packages]]\nnames = [\"a\"]\ntokens_max = 1\n{rest}\n");
    wrong("[[package]]", "unknown key `package` in the policy: did you mean `packages`?");
    wrong(
        &rule("signers = [\"alice\"]\ntreshold = 1"),
        "unknown key `treshold` in [[packages]]: did you mean `threshold`?",
    );
    wrong(&rule(""), "has neither `signers` nor `unsigned = true`");
    wrong(&rule("signers = [\"carol\"]\nunsigned = true"), "names \"carol\", which is no key");
    wrong(&rule("signers = [\"alice\", \"alice\"]"), "names \"alice\" twice");
    wrong(&rule("signers = [\"alice\"]\nthreshold = 2"), "`packages[0].threshold` is 2, and there are 1 signers");
    wrong(&rule("signers = [\"alice\"]\nthreshold = 0"), "must be a whole number from 1 to 16");
    wrong("[[packages]]\nnames = [\"a\"]\nunsigned = true", "has no `tokens_max`, which it needs");
    wrong(&format!("{}{}", rule("unsigned = true"), rule("unsigned = true")), "are all covered by an earlier entry");
    wrong("[[packages]]\nnames = [\"a*b\"]\nunsigned = true\ntokens_max = 1", "a * may stand at its end only");
    wrong(
        &rule("unsigned = true\n[[packages.grants.http]]\nhosts = [\"A.example\"]"),
        "packages[0].grants.http[0].hosts` cannot be granted",
    );
    wrong(&rule("unsigned = true\n[[packages.grants.http]]\nlabel = \"x\"\nhosts = [\"a\"]"), "unknown key `label`");
    let alice = ALICE.public().to_pem();
    wrong(
        &format!("[[keys]]\nname = \"al\"\npublic = \"\"\"\n{alice}\"\"\""),
        "is the key that is called \"alice\" already",
    );
    wrong("[[keys]]\nname = \"carol\"\npublic = \"abc\"", "cannot be used: it is not the PEM text of a key");
    wrong("[revoked]\nkeys = [\"ABC\"]", "has \"ABC\", and an entry has 64 lower-case hexadecimal digits");
    wrong("[[serials]]\nname = \"a\"\nmin = 1\n[[serials]]\nname = \"a\"\nmin = 2", "is named by an earlier entry");
    let large = Policy::parse(&"#".repeat((4 << 20) + 1)).map_err(|error| error.to_string());
    assert!(large.is_err_and(|told| told.contains("the policy has 4194305 bytes")));
}

#[test]
fn the_published_schema_is_the_one_in_use() {
    let path = Path::new("trust.schema.json");
    let generated = trust_schema();
    if env::var_os("REMIT_REWRITE_SCHEMA").is_some() {
        fs::write(path, &generated).expect("the schema can be written");
    }
    let published = fs::read_to_string(path).unwrap_or_default();
    assert!(
        published == generated,
        "{} is out of date: run `REMIT_REWRITE_SCHEMA=1 cargo test -p remit-package --test trust` and commit it",
        path.display()
    );
}
