//! What is installed: only what the operator's policy takes, exactly those bytes, and nothing older.

mod kit;

use kit::{ALICE, BOB, MALLORY, MANIFEST, RULE, component, now, package, policy, policy_text, read, signed, terms};
use remit_package::{
    Arrival, Build, Folder, KeyId, Older, Package, Policy, Producer, Revocations, SecretKey, Signer, Statement, Store,
    Trust, envelope_path,
};
use std::{collections::BTreeSet, fs, path::PathBuf};
use tempfile::TempDir;

struct Place {
    folder: TempDir,
    store: Store,
    trust: Trust,
}

#[track_caller]
fn refused<T>(result: Result<T, impl ToString>, expected: &str) {
    match result {
        Ok(_) => panic!("it was taken, and should be refused: {expected}"),
        Err(error) => assert!(error.to_string().contains(expected), "{:?} is not {expected:?}", error.to_string()),
    }
}

fn arrival(older: Older) -> Arrival {
    Arrival { older, from: None, now: now().now }
}

impl Place {
    fn new(policy: Option<Policy>) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let store = Store::at(folder.path().join("packages"));
        Self { folder, store, trust: Trust::new(policy, Revocations::default()) }
    }

    /// A package's file, and the envelope beside it where keys sign it.
    fn file(&self, version: &str, serial: u64, keys: &[&SecretKey]) -> PathBuf {
        let path = self.folder.path().join(format!("post-office-{version}.wasm"));
        let bytes = package(&MANIFEST.replace("1.2.0", version));
        fs::write(&path, &bytes).expect("it is writable");
        if !keys.is_empty() {
            let envelope = signed(&Statement::of(&read(&bytes), terms(serial)), keys);
            fs::write(envelope_path(&path), envelope).expect("it is writable");
        }
        path
    }

    fn install(&self, version: &str, serial: u64, older: Older) -> Result<String, String> {
        let package = Package::open(&self.file(version, serial, &[&ALICE])).expect("it is a package");
        let installed = self.store.install(&package, &self.trust, &arrival(older));
        installed.map(|(listed, _)| listed.digest).map_err(|error| error.to_string())
    }

    /// The version that a name means, as it would be run.
    fn runs(&self, asked: &str) -> Result<String, String> {
        let opened = self.store.open(&asked.parse()?).map_err(|error| error.to_string())?;
        let package = opened.ok_or("nothing of that name is installed")?;
        let circumstances = package.circumstances(now().now, None);
        self.trust.admit(&package, &circumstances).map_err(|error| error.to_string())?;
        Ok(package.manifest.version.to_string())
    }
}

#[test]
fn a_name_means_the_bytes_that_were_verified() {
    let place = Place::new(Some(policy(RULE)));
    refused(place.runs("post-office"), "nothing of that name is installed");
    let digest = place.install("1.2.0", 7, Older::Refused).expect("Alice signed it");
    assert_eq!(place.runs("post-office").as_deref(), Ok("1.2.0"));
    assert_eq!(place.runs("post-office@1.2.0").as_deref(), Ok("1.2.0"));
    refused(place.runs("post-office@1.3.0"), "no package post-office@1.3.0 is installed: there are post-office@1.2.0");
    let package = place.store.open(&"post-office".parse().expect("it is a name")).expect("it is there");
    let package = package.expect("it is there");
    assert_eq!((package.digest(), package.bytes()), (digest.clone(), &*kit::package(MANIFEST)));
    // What was read is what runs, whatever becomes of the file.
    let file = place.folder.path().join(format!("packages/{digest}.wasm"));
    fs::write(&file, kit::package(&MANIFEST.replace("1.2.0", "6.6.6"))).expect("it is ours");
    assert_eq!(package.bytes(), &*kit::package(MANIFEST));
    refused(place.runs("post-office"), "has other bytes than were installed, so it does not run");
    place.install("1.2.0", 7, Older::Refused).expect("it is put back");
    assert_eq!(place.runs("post-office").as_deref(), Ok("1.2.0"));
}

#[test]
fn what_the_policy_does_not_take_is_not_installed() {
    let place = Place::new(Some(policy(RULE)));
    let check = |path: PathBuf, expected: &str| {
        let package = Package::open(&path).expect("it is a package");
        refused(place.store.install(&package, &place.trust, &arrival(Older::Refused)), expected);
        assert_eq!(place.store.list().expect("it can be read"), []);
        assert!(!place.folder.path().join(format!("packages/{}.wasm", package.digest())).exists());
    };
    check(place.file("1.2.0", 7, &[]), "post-office is not let in: signers (operator): none of its signers signed it");
    let path = place.file("1.2.1", 7, &[&ALICE]);
    fs::copy(envelope_path(&path), envelope_path(&place.file("1.2.2", 7, &[]))).expect("it is there");
    check(place.folder.path().join("post-office-1.2.2.wasm"), "one of the two was changed");
    let folder = place.folder.path().join("folder");
    fs::create_dir(&folder).expect("it is ours");
    fs::write(folder.join("remit.toml"), MANIFEST).expect("it is ours");
    fs::write(folder.join("post.wasm"), component()).expect("it is ours");
    check(folder, "is no packed file, and nothing else is installed");
}

#[test]
fn older_packages_are_refused_unless_the_operator_says_so() {
    let place = Place::new(Some(policy(RULE)));
    place.install("1.2.0", 7, Older::Refused).expect("Alice signed it");
    refused(place.install("1.1.0", 6, Older::Refused), "its serial is 6, and 7 was installed already: it is older");
    place.install("1.3.0", 8, Older::Refused).expect("it is newer");
    place.install("1.1.0", 6, Older::Taken).expect("the operator says so");
    assert_eq!(place.runs("post-office").as_deref(), Ok("1.1.0"));
    // What was said once is not said for ever.
    refused(place.install("1.0.0", 5, Older::Refused), "8 was installed already");
    refused(place.install("1.4.0", 8, Older::Refused), "its serial is 8, as that of another file");
    // Nor does it help to uninstall first.
    let asked = "post-office".parse().expect("it is a name");
    assert_eq!(place.store.uninstall(&asked).map(|gone| gone.len()).ok(), Some(3));
    refused(
        place.store.open(&asked).map(|opened| opened.ok_or(())).expect("it can be read").map_err(|()| "none"),
        "none",
    );
    refused(place.install("1.0.0", 5, Older::Refused), "8 was installed already");
    let left = fs::read_dir(place.folder.path().join("packages")).expect("it is there").flatten();
    let left: BTreeSet<_> = left.map(|file| file.file_name()).collect();
    assert_eq!(left, [".lock".into(), "packages.lock".into()].into());
}

#[test]
fn a_version_means_one_file() {
    let place = Place::new(Some(policy(RULE)));
    place.install("1.2.0", 7, Older::Refused).expect("Alice signed it");
    let other = package(&MANIFEST.replace("component =", "# again\ncomponent ="));
    let path = place.folder.path().join("other.wasm");
    fs::write(&path, &other).expect("it is ours");
    let envelope = signed(&Statement::of(&read(&other), terms(8)), &[&ALICE]);
    fs::write(envelope_path(&path), envelope).expect("it is ours");
    let again = Package::open(&path).expect("it is a package");
    assert_eq!(again.manifest.version.to_string(), "1.2.0");
    let installed = place.store.install(&again, &place.trust, &arrival(Older::Refused));
    refused(installed, "post-office@1.2.0 is installed already, as the file");
    place.store.uninstall(&"post-office@1.2.0".parse().expect("it is a name")).expect("it is there");
    let installed = place.store.install(&again, &place.trust, &arrival(Older::Refused));
    assert_eq!(installed.map(|(listed, _)| listed.digest).ok(), Some(again.digest()));
}

#[test]
fn a_name_goes_back_to_what_it_meant() {
    let mut place = Place::new(Some(policy(RULE)));
    let rollback = |place: &Place, asked: &str| {
        let listed = place.store.rollback(&asked.parse().expect("it is a name"), &place.trust, now().now);
        listed.map(|listed| listed.version.to_string()).map_err(|error| error.to_string())
    };
    place.install("1.2.0", 7, Older::Refused).expect("Alice signed it");
    refused(rollback(&place, "post-office"), "meant no other version before");
    place.install("1.3.0", 8, Older::Refused).expect("it is newer");
    refused(place.store.uninstall(&"post-office@1.3.0".parse().expect("a name")), "is what its name means now");
    assert_eq!(rollback(&place, "post-office").as_deref(), Ok("1.2.0"));
    assert_eq!(place.runs("post-office").as_deref(), Ok("1.2.0"));
    assert_eq!(rollback(&place, "post-office").as_deref(), Ok("1.3.0"));
    assert_eq!(rollback(&place, "post-office@1.2.0").as_deref(), Ok("1.2.0"));
    refused(rollback(&place, "post-office@1.1.0"), "there are post-office@1.2.0, post-office@1.3.0");
    refused(rollback(&place, "bank"), "no package bank is installed: there are post-office");
    rollback(&place, "post-office@1.3.0").expect("it is here");
    let min = format!("{RULE}\n[[serials]]\nname = \"post-office\"\nmin = 8\n");
    place.trust = Trust::new(Some(policy(&min)), Revocations::default());
    refused(rollback(&place, "post-office"), "its serial is 7, and the lowest that runs is 8");
    assert_eq!(place.runs("post-office").as_deref(), Ok("1.3.0"));
}

#[test]
fn what_is_installed_is_judged_again_when_it_starts() {
    let mut place = Place::new(Some(policy(RULE)));
    let digest = place.install("1.2.0", 7, Older::Refused).expect("Alice signed it");
    let mut of_key = Revocations::default();
    of_key.keys.insert(ALICE.public().id());
    let mut of_package = Revocations::default();
    of_package.packages.insert(hex_bytes(&digest));
    for (revoked, expected) in [(of_key, "revoked keys signed it: alice"), (of_package, "is revoked")] {
        place.trust = Trust::new(Some(policy(RULE)), revoked);
        refused(place.runs("post-office"), expected);
    }
    place.trust = Trust::new(None, Revocations::default());
    refused(place.runs("post-office"), "no entry of [[packages]] covers the name");
}

fn hex_bytes(digest: &str) -> [u8; 32] {
    let byte = |index: usize| u8::from_str_radix(&digest[2 * index..2 * index + 2], 16).expect("it is hexadecimal");
    std::array::from_fn(byte)
}

#[test]
fn without_a_policy_nothing_is_installed_and_paths_run_as_ever() {
    let place = Place::new(None);
    let path = place.file("1.2.0", 7, &[&ALICE]);
    let package = Package::open(&path).expect("it is a package");
    refused(
        place.store.install(&package, &place.trust, &arrival(Older::Refused)),
        "no entry of [[packages]] covers the name",
    );
    assert!(place.trust.admit(&package, &now()).is_ok());
    let bare = place.folder.path().join("bare.wasm");
    fs::write(&bare, component()).expect("it is ours");
    assert!(place.trust.admit(&Package::open(&bare).expect("it is a component"), &now()).is_ok());
    let mut revoked = Revocations::default();
    revoked.packages.insert(package.digest_bytes());
    refused(Trust::new(None, revoked).admit(&package, &now()), "is revoked");
}

#[test]
fn with_a_policy_paths_and_folders_are_judged_too() {
    let place = Place::new(Some(policy(RULE)));
    let path = place.file("1.2.0", 7, &[&BOB]);
    let package = Package::open(&path).expect("it is a package");
    let admission = place.trust.admit(&package, &now()).expect("Bob signed it");
    let bob: BTreeSet<Signer> = [Signer::Key(BOB.public().id())].into();
    assert_eq!((admission.signers, admission.serial), (bob.clone(), Some(7)));
    assert_eq!(place.trust.signers_of(&package.digest_bytes(), package.evidence()), bob);
    assert!(place.trust.signers_of(&[0; 32], package.evidence()).is_empty());
    let folder = tempfile::tempdir().expect("a folder for the test");
    let write = |file: &str, content: &[u8]| fs::write(folder.path().join(file), content).expect("it is ours");
    write("remit.toml", MANIFEST.as_bytes());
    write("post.wasm", &component());
    let unsigned = Package::open(folder.path()).expect("it is a package");
    refused(place.trust.admit(&unsigned, &now()), "none of its signers signed it");
    let open = Trust::new(Some(policy(&RULE.replace("threshold = 1", "unsigned = true"))), Revocations::default());
    assert!(open.admit(&unsigned, &now()).is_ok());
    let mut wider = unsigned.clone();
    wider.manifest.budget.tokens += 1;
    refused(open.admit(&wider, &now()), "was changed after it was read");
    write("bare.wasm", &component());
    let bare = Package::open(&folder.path().join("bare.wasm")).expect("it is a component");
    refused(open.admit(&bare, &now()), "make a package of it with `remit build`");
    let mut revoked = Revocations::default();
    revoked.packages.insert(unsigned.digest_bytes());
    let open = Trust::new(Some(policy(&RULE.replace("threshold = 1", "unsigned = true"))), revoked);
    refused(open.admit(&unsigned, &now()), "is revoked");
}

#[test]
fn what_runs_stands_as_long_as_enough_of_its_signers_do() {
    let (alice, bob) = (ALICE.public().id(), BOB.public().id());
    let against = |rest: &str, keys: &[KeyId], packages: &[[u8; 32]], signers: &[KeyId]| {
        let revoked = Revocations {
            keys: keys.iter().copied().collect(),
            packages: packages.iter().copied().collect(),
            ..Revocations::default()
        };
        let trust = Trust::new(Some(policy(rest)), revoked);
        trust.against("post-office", &[7; 32], &signers.iter().copied().map(Signer::Key).collect())
    };
    let both = &RULE.replace("threshold = 1", "threshold = 2");
    let unsigned = &RULE.replace("threshold = 1", "unsigned = true");
    assert_eq!(against(RULE, &[], &[], &[alice]), None);
    assert_eq!(against(RULE, &[alice], &[], &[alice, bob]), None, "Bob still stands behind it");
    assert_eq!(against(unsigned, &[], &[], &[]), None);
    for (rest, keys, packages, signers, expected) in [
        (RULE, &[alice][..], &[][..], &[alice][..], "0 of its signers stand behind it, and 1 are needed, and a key"),
        (both, &[alice], &[], &[alice, bob], "1 of its signers stand behind it, and 2 are needed, and a key"),
        (unsigned, &[alice], &[], &[alice], "a key that signed it is revoked"),
        (RULE, &[], &[[7; 32]], &[alice], "is revoked"),
        (RULE, &[], &[], &[], "0 of its signers stand behind it"),
        ("", &[], &[], &[alice], "no entry of [[packages]] covers"),
    ] {
        let told = against(rest, keys, packages, signers);
        assert!(told.as_ref().is_some_and(|told| told.contains(expected)), "{told:?} is not {expected:?}");
    }
}

/// A tenant's own policy has to agree, and whatever it says never lets in what the operator's does not.
#[test]
fn a_tenants_own_policy_narrows_and_never_widens() {
    let unsigned = RULE.replace("threshold = 1", "unsigned = true");
    let by = |operator: Option<&str>, tenant: &str, keys: &[&SecretKey]| {
        let package = Package::open(&Place::new(None).file("1.2.0", 7, keys)).expect("it is a package");
        let trust = Trust::new(operator.map(policy), Revocations::default()).within("tenant 0", policy(tenant));
        let installed = trust.admit_for_install(&package, &now()).map_err(|error| error.to_string());
        let run = trust.admit(&package, &now()).map_err(|error| error.to_string());
        (installed, run)
    };
    let admitted = |(installed, run): (Result<_, String>, Result<_, String>)| {
        assert_eq!(installed, run);
        run
    };
    assert!(admitted(by(Some(RULE), RULE, &[&ALICE])).is_ok());
    assert!(admitted(by(Some(RULE), &unsigned, &[&ALICE])).is_ok());
    let serial = |min: u64| format!("{unsigned}\n[[serials]]\nname = \"post-office\"\nmin = {min}\n");
    let revoked = format!("{RULE}\n[revoked]\nkeys = [\"{}\"]\n", ALICE.public().id());
    let poor = RULE.replace("tokens_max = 2000", "tokens_max = 1");
    for (operator, tenant, keys, expected) in [
        (RULE, "", &[&*ALICE][..], "name (tenant 0): no entry of [[packages]] covers the name"),
        (RULE, &poor, &[&*ALICE], "budget (tenant 0): it asks for 2000 tokens, and it may ask for 1"),
        (RULE, &revoked, &[&*ALICE], "signers (tenant 0): none of its signers signed it"),
        (RULE, &serial(8), &[&*ALICE], "serial (tenant 0): its serial is 7, and the lowest that runs is 8"),
        (RULE, &unsigned, &[], "signers (operator): none of its signers signed it"),
        ("", &unsigned, &[&*ALICE], "name (operator): no entry of [[packages]] covers the name"),
        (&serial(8), &unsigned, &[&*ALICE], "serial (operator): its serial is 7, and the lowest that runs is 8"),
    ] {
        refused(admitted(by(Some(operator), tenant, keys)), expected);
    }
    // Nobody's policy lets nothing be installed, whatever the tenant says; a path is the tenant's to judge then.
    let (installed, run) = by(None, &unsigned, &[]);
    refused(installed, "name (operator): no entry of [[packages]] covers the name");
    assert!(run.is_ok());
    refused(by(None, "", &[]).1, "name (tenant 0)");
}

/// A serial that only a key of the tenant's stands for is none to the operator's policy.
#[test]
fn what_a_tenants_key_says_is_no_ground_for_the_operators_policy() {
    let place = Place::new(None);
    let package = Package::open(&place.file("1.2.0", 7, &[&MALLORY])).expect("it is a package");
    let operator =
        format!("{}\n[[serials]]\nname = \"post-office\"\nmin = 6\n", RULE.replace("threshold = 1", "unsigned = true"));
    let public = MALLORY.public().to_pem();
    let tenant = format!("[[keys]]\nname = \"mallory\"\npublic = \"\"\"\n{public}\"\"\"\n{WIDE}");
    let tenant = Policy::parse(&tenant.replace("@SIGNERS", "signers = [\"mallory\"]")).expect("it is a policy");
    let trust =
        |operator: &str| Trust::new(Some(policy(operator)), Revocations::default()).within("tenant 0", tenant.clone());
    refused(trust(&operator).admit(&package, &now()), "it has no serial, and packages of this name had one");
    let unsigned = RULE.replace("threshold = 1", "unsigned = true");
    let admission = trust(&unsigned).admit(&package, &now()).expect("both agree");
    assert_eq!((admission.serial, admission.not_after.is_some()), (None, true));
    let stands = |signers: &[KeyId]| {
        trust(&unsigned).against(
            "post-office",
            &package.digest_bytes(),
            &signers.iter().copied().map(Signer::Key).collect(),
        )
    };
    assert_eq!(stands(&[MALLORY.public().id()]), None);
    assert!(
        stands(&[]).is_some_and(|why| why.starts_with("by the policy of tenant 0: 0 of its signers stand behind it"))
    );
}

/// A policy of everything, with a place for who signs.
const WIDE: &str = "[[packages]]\nnames = [\"*\"]\n@SIGNERS\ntokens_max = 1000000\n[[packages.grants.models]]\nnames = [\"*\"]\n\
    [[packages.grants.http]]\nhosts = [\"*.example.com\"]\naccess = \"read-write\"\n";

#[test]
fn revocations_are_kept_and_only_added_to() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("revoked.toml");
    assert_eq!(Revocations::read(&path).expect("there is none"), Revocations::default());
    let alice = Revocations { keys: [ALICE.public().id()].into(), ..Revocations::default() };
    let package = Revocations { packages: [[7; 32]].into(), ..Revocations::default() };
    assert!(alice.add_to(&path).expect("it is writable"));
    assert!(package.add_to(&path).expect("it is writable"));
    assert!(!package.add_to(&path).expect("it is writable"), "it is there already");
    let all = Revocations { keys: alice.keys.clone(), ..package.clone() };
    assert_eq!(Revocations::read(&path).expect("it was written"), all);
    assert_eq!(Revocations::parse(&all.to_toml()), Ok(all.clone()));
    fs::write(&path, "[revoked]\nkeys = [\"x\"]\n").expect("it is ours");
    refused(Revocations::read(&path), "64 lower-case hexadecimal digits");
    refused(alice.add_to(&path), "64 lower-case hexadecimal digits");
    fs::write(&path, policy_text(RULE)).expect("it is ours");
    refused(Revocations::read(&path), "only the table `revoked` stands in this file");
}

#[test]
fn a_list_that_somebody_changed_runs_nothing() {
    let place = Place::new(Some(policy(RULE)));
    place.install("1.2.0", 7, Older::Refused).expect("Alice signed it");
    let lockfile = place.store.lockfile();
    let text = fs::read_to_string(&lockfile).expect("it was written");
    for (from, to, expected) in [
        ("format = 1", "format = 2", "its format is 2"),
        ("[packages.post-office]", "[packages.Post]\n[packages.post-office]", "\"Post\" is no name"),
        ("current = \"1.2.0\"", "current = \"1.2.1\"", "the version 1.2.1 is not here"),
        ("digest = \"", "digest = \"../", "is no SHA-256"),
        ("[packages.post-office]", "[packages.post-office]\nhidden = 1", "unknown field"),
    ] {
        assert!(text.contains(from), "{from} is not in {text}");
        fs::write(&lockfile, text.replace(from, to)).expect("it is ours");
        refused(place.runs("post-office"), expected);
        refused(place.install("1.3.0", 8, Older::Refused), expected);
    }
    fs::write(&lockfile, text).expect("it is ours");
    assert_eq!(place.runs("post-office").as_deref(), Ok("1.2.0"));
}

#[test]
fn a_folder_becomes_the_same_file_each_time() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let write = |file: &str, content: &[u8]| fs::write(folder.path().join(file), content).expect("it is ours");
    let built = || Folder::read(folder.path()).and_then(|read| read.pack(Default::default(), None));
    refused(built(), "holds no remit.toml");
    write("remit.toml", MANIFEST.as_bytes());
    refused(built(), "the manifest names it as its component: compile the agent first");
    write("post.wasm", &component());
    fs::create_dir_all(folder.path().join("assets/skills")).expect("it is ours");
    write("assets/skills/letter.md", b"Write kindly.");
    write("assets/logo", b"x");
    write("notes.txt", b"not a part of it");
    let bytes = built().expect("it is whole");
    assert_eq!(built().ok().as_ref(), Some(&bytes));
    let packed = read(&bytes);
    assert_eq!((packed.component(), packed.manifest_text()), (&*component(), MANIFEST));
    let assets: Vec<_> = packed.assets().iter().collect();
    assert_eq!(assets, [("logo", &b"x"[..]), ("skills/letter.md", b"Write kindly.")]);
    write("assets/Logo", b"y");
    refused(built(), "stands twice, if capitals are not told apart");
    fs::remove_file(folder.path().join("assets/Logo")).expect("it is ours");
    #[cfg(unix)]
    {
        let link = folder.path().join("assets/link");
        std::os::unix::fs::symlink("/etc/passwd", &link).expect("it is ours");
        refused(built(), "is neither a file nor a folder");
        fs::remove_file(link).expect("it is ours");
        fs::rename(folder.path().join("assets"), folder.path().join("elsewhere")).expect("it is ours");
        std::os::unix::fs::symlink("elsewhere", folder.path().join("assets")).expect("it is ours");
        refused(built(), "is neither a file nor a folder");
    }
}

#[test]
fn the_programs_that_made_a_component_are_named_in_its_package() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let text = r#"(component
        (core module $m
            (func (export "run"))
            (@producers (language "Rust" "2024") (processed-by "rustc" "1.96.0")))
        (core module (@producers (processed-by "rustc" "1.96.0") (sdk "wit\nbindgen" "1"))))"#;
    let write = |file: &str, content: &[u8]| fs::write(folder.path().join(file), content).expect("it is ours");
    write("remit.toml", MANIFEST.as_bytes());
    write("post.wasm", &wat::parse_str(text).expect("it is a component"));
    let remit = Producer { name: "remit".to_owned(), version: "0.1.0".to_owned() };
    let build = Build { producers: vec![remit], source: None, licence: Some("Apache-2.0".to_owned()) };
    let bytes = Folder::read(folder.path()).and_then(|read| read.pack(build, None)).expect("it is whole");
    let packed = read(&bytes);
    let build = packed.build().expect("it was told");
    let named: Vec<_> = build.producers.iter().map(|made| (made.name.as_str(), made.version.as_str())).collect();
    assert_eq!(named, [("Rust", "2024"), ("rustc", "1.96.0"), ("remit", "0.1.0")], "each once, and no broken text");
    assert_eq!(build.licence.as_deref(), Some("Apache-2.0"));
}
