//! What a search for bad input begins with, and a small search of our own: files that are right, and all that is one byte away.

use remit_package::{Bundle, Envelope, Manifest, Packed, Parts, Policy, Statement, TrustRoot, explain};
use sigstore_verify::trust_root::SIGSTORE_PRODUCTION_TRUSTED_ROOT;
use std::{fs, path::Path, sync::LazyLock};

static ROOT: LazyLock<TrustRoot> =
    LazyLock::new(|| TrustRoot::parse(SIGSTORE_PRODUCTION_TRUSTED_ROOT.as_bytes()).expect("it is a trust root"));

/// Bytes that mean something to one of the readers.
const BYTES: [u8; 8] = [0x00, 0x01, 0x7f, 0x80, 0xff, b'"', b'/', b'\n'];

/// Tells whether a file is right. What it finds to be right, it checks.
type Reader = fn(&[u8]) -> bool;

fn envelope(bytes: &[u8]) -> bool {
    let Ok(envelope) = Envelope::parse(bytes) else { return false };
    assert_eq!(Envelope::parse(envelope.to_json().as_bytes()).as_ref(), Ok(&envelope));
    let Ok(statement) = Statement::parse(envelope.payload()) else { return false };
    assert_eq!(Statement::parse(&statement.to_json()).as_ref(), Ok(&statement));
    true
}

fn bundle(bytes: &[u8]) -> bool {
    let Ok(bundles) = Bundle::parse_all(bytes) else { return false };
    let again = Bundle::parse_all(Bundle::lines(&bundles).as_bytes());
    assert_eq!(again.as_ref().map(Vec::len), Ok(bundles.len()));
    for bundle in &bundles {
        // What it says of a neighbour of the right one is another test's: here nothing falls over.
        let _ = ROOT.verify(bundle, bundle.claimed(), &[7; 32]);
    }
    true
}

fn manifest(bytes: &[u8]) -> bool {
    let read = str::from_utf8(bytes).ok().and_then(|text| Manifest::parse(text).ok());
    read.is_some_and(|manifest| explain(&manifest).len() >= manifest.wants.len())
}

fn policy(bytes: &[u8]) -> bool {
    str::from_utf8(bytes).is_ok_and(|text| Policy::parse(text).is_ok())
}

fn package(bytes: &[u8]) -> bool {
    let Ok(packed) = Packed::read(bytes) else { return false };
    let assets = packed.assets().iter().map(|(path, content)| (path.to_owned(), content.to_vec())).collect();
    let (component, manifest) = (packed.component(), packed.manifest_text());
    let parts = Parts { component, manifest, assets: &assets, build: packed.build(), sbom: packed.sbom() };
    assert_eq!(Packed::make(&parts).ok().as_deref(), Some(bytes));
    true
}

/// Reads every seed, and what it becomes by one byte more, less, or another one at every `step`th place.
fn search(folder: &str, step: usize, read: Reader) {
    let seeds = fs::read_dir(Path::new("tests/seeds").join(folder)).expect("the folder is there");
    let (mut count, mut wrong) = (0, 0);
    for path in seeds.map(|seed| seed.expect("it can be read").path()) {
        let bytes = fs::read(&path).expect("it can be read");
        assert!(read(&bytes), "{} is not right", path.display());
        count += 1;
        let mut look = |bytes: &[u8]| wrong += usize::from(!read(bytes));
        for place in (0..bytes.len()).step_by(step) {
            look(&bytes[..place]);
            look(&[&bytes[..place], &bytes[place + 1..]].concat());
            for byte in BYTES {
                let mut changed = bytes.clone();
                changed[place] = byte;
                look(&changed);
                changed.insert(place, byte);
                look(&changed);
            }
        }
    }
    assert!(count > 0 && wrong > 0, "{count} seeds, {wrong} of their neighbours are wrong");
}

#[test]
fn envelopes_of_any_bytes_are_read_or_refused() {
    search("envelope", 7, envelope);
}

#[test]
fn bundles_of_any_bytes_are_read_or_refused() {
    search("bundle", 97, bundle);
}

#[test]
fn manifests_of_any_bytes_are_read_or_refused() {
    search("manifest", 23, manifest);
}

#[test]
fn policies_of_any_bytes_are_read_or_refused() {
    search("policy", 31, policy);
}

#[test]
fn packages_of_any_bytes_are_read_or_refused() {
    search("package", 11, package);
}
