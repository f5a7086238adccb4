//! A package as one file: what goes in comes out, the same parts make the same bytes, and what is no package is refused.

mod kit;

use kit::{MANIFEST, component, package, read};
use proptest::{collection::btree_map, prelude::*};
use remit_package::{Build, PackError, Package, PackageError, Packed, Parts, Producer, Source};
use std::{collections::BTreeMap, fs};

const SBOM: &str = r#"{"bomFormat":"CycloneDX","specVersion":"1.6","components":[]}"#;

fn build() -> Build {
    Build {
        producers: vec![Producer { name: "rustc".to_owned(), version: "1.95.0".to_owned() }],
        source: Some(Source { url: Some("https://example.com/post".to_owned()), revision: "4f1c2e".to_owned() }),
        licence: Some("Apache-2.0 OR MIT".to_owned()),
    }
}

fn files(files: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
    files.iter().map(|(path, content)| ((*path).to_owned(), content.as_bytes().to_vec())).collect()
}

fn whole() -> Vec<u8> {
    let assets = files(&[("skills/letter.md", "Write kindly."), ("empty", ""), ("skills/a b.txt", "x")]);
    let (component, build) = (component(), build());
    let parts =
        Parts { component: &component, manifest: MANIFEST, assets: &assets, build: Some(&build), sbom: Some(SBOM) };
    Packed::make(&parts).unwrap_or_else(|error| panic!("{error}"))
}

/// A custom section as its bytes.
fn section(name: &str, content: &[u8]) -> Vec<u8> {
    let number = |mut number: usize| {
        let mut bytes = Vec::new();
        while number > 0x7f {
            bytes.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
        bytes
    };
    let body = [&number(name.len()), name.as_bytes(), content].concat();
    [&[0][..], &number(body.len()), &body].concat()
}

/// Checks what is said of bytes that are no package.
#[track_caller]
fn check(bytes: &[u8], expected: &str) {
    let told = Packed::read(bytes).map(drop).map_err(|error| error.to_string());
    assert!(told.as_ref().is_err_and(|told| told.contains(expected)), "{told:?} is not {expected:?}");
}

#[test]
fn what_goes_in_comes_out() {
    let bytes = whole();
    let packed = read(&bytes);
    assert_eq!((packed.component(), packed.manifest_text()), (&*component(), MANIFEST));
    assert_eq!(
        (packed.manifest().name.as_str(), packed.build(), packed.sbom()),
        ("post-office", Some(&build()), Some(SBOM))
    );
    let assets: Vec<_> = packed.assets().iter().map(|(path, content)| (path, content.len())).collect();
    assert_eq!(assets, [("empty", 0), ("skills/a b.txt", 1), ("skills/letter.md", 13)]);
    assert_eq!(packed.assets().get("skills/letter.md"), Some(&b"Write kindly."[..]));
    let names = |names: &std::collections::BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(
        (names(&packed.world().imports), names(&packed.world().exports)),
        ("remit:kernel/trace@0.1.0".to_owned(), "run".to_owned())
    );
    assert_eq!(packed.digest().len(), 64);
    assert_eq!(whole(), bytes, "the same parts make the same bytes");
}

#[test]
fn what_is_no_component_is_told_by_what_it_is() {
    check(b"\0asm\x01\0\0\0", "it is a WebAssembly module");
    check(b"\x7fELF\x02\x01\x01", "compiled machine code");
    check(b"PK\x03\x04", "no WebAssembly component");
    check(b"", "no WebAssembly component");
    check(&component(), "a component without a manifest");
    let whole = whole();
    check(&whole[..whole.len() - 1], "it is damaged");
}

#[test]
fn sections_stand_in_their_place_once() {
    let (component, manifest) = (component(), section("remit:manifest", MANIFEST.as_bytes()));
    let sbom = section("remit:sbom", SBOM.as_bytes());
    let packed = [&component[..], &manifest].concat();
    assert_eq!(packed, package(MANIFEST), "the layout is the one that is written down");
    check(&[&packed[..], &manifest].concat(), "it has the section remit:manifest twice");
    check(&[&packed[..], &sbom, &manifest].concat(), "it has the section remit:manifest twice");
    check(&[&component[..], &sbom, &manifest].concat(), "\"remit:sbom\" is out of its place");
    check(&[&packed[..], &sbom, &section("remit:build", b"{}")].concat(), "\"remit:build\" is out of its place");
    check(&[&packed[..], &section("producers", b"\0")].concat(), "\"producers\" is out of its place");
    check(&[&packed[..], &section("remit:later", b"")].concat(), "\"remit:later\", which this version does not know");
    check(&[&packed[..], &component[8..]].concat(), "\"of the component\" is out of its place");
    // The same section with a length in more bytes than it needs.
    let long = [&[0, manifest[1], manifest[2] | 0x80, 0][..], &manifest[3..]].concat();
    check(&[&component[..], &long].concat(), "not written in their one shortest form");
    let assets = BTreeMap::new();
    let again =
        Packed::make(&Parts { component: &packed, manifest: MANIFEST, assets: &assets, build: None, sbom: None });
    assert!(matches!(again, Err(PackError::AlreadyPackage(_))), "{again:?}");
}

#[test]
fn parts_have_limits_and_forms() {
    let with = |name: &str, content: &[u8]| [&package(MANIFEST)[..], &section(name, content)].concat();
    let manifest = |content: &[u8]| [&component()[..], &section("remit:manifest", content)].concat();
    check(&manifest(&vec![b'#'; (64 << 10) + 1]), "remit:manifest has 65537 bytes, and at most 65536");
    check(&manifest(b"\xff"), "its manifest is not UTF-8 text");
    check(&manifest(b"name = 1"), "its manifest: 3 problems");
    check(&with("remit:build", b"{\"producers\":[],\"producers\":[]}"), "the key \"producers\" stands twice");
    check(&with("remit:build", b"{\"producers\": []}"), "remit:build is not written in its one form");
    check(&with("remit:build", b"{\"producers\":[],\"time\":1}"), "unknown field `time`");
    check(&with("remit:build", b"{\"producers\":[],\"licence\":\"a\\nb\"}"), "more than one line");
    check(&with("remit:sbom", b"{}"), "remit:sbom is no CycloneDX document");
    check(&with("remit:sbom", b"[1, 2"), "remit:sbom cannot be read as JSON");
    check(&with("remit:sbom", "[".repeat(1000).as_bytes()), "remit:sbom cannot be read as JSON");
    let large = vec![0; (64 << 20) + 1];
    check(&large, "it has 67108865 bytes, and a package has at most 67108864");
}

#[test]
fn paths_of_assets_stay_below_their_folder_on_every_system() {
    let made = |paths: &[&str]| {
        let assets = paths.iter().map(|path| ((*path).to_owned(), Vec::new())).collect();
        let component = component();
        let parts = Parts { component: &component, manifest: MANIFEST, assets: &assets, build: None, sbom: None };
        Packed::make(&parts).map(drop).map_err(|error| error.to_string())
    };
    let check = |paths: &[&str], expected: &str| {
        let told = made(paths);
        assert!(told.as_ref().is_err_and(|told| told.contains(expected)), "{paths:?}: {told:?} is not {expected:?}");
    };
    assert_eq!(made(&["a", "b/c.txt", "b/(d) [e].md", ".hidden"]), Ok(()));
    for path in ["../a", "a/../b", "a/./b", ".."] {
        check(&[path], "the parts . and .. may not be in it");
    }
    check(&["/etc/passwd"], "it begins with /");
    check(&["a\\b"], "backslash");
    check(&["C:a"], "names a drive");
    check(&["a//b"], "two slashes in a row");
    check(&[""], "it is empty");
    check(&["a/"], "is a folder's");
    check(&["."], "is a folder's");
    check(&["a\nb"], "U+000A");
    check(&["e\u{301}"], "U+0301");
    check(&["ab:c"], "U+003A");
    check(&["a."], "ends in a dot");
    check(&["b/NUL.txt"], "names a device");
    check(&["com1"], "names a device");
    check(&["A.txt", "a.TXT"], "stands twice, if capitals are not told apart");
    check(&["a", "A/b"], "is a file's and a folder's");
    check(&[&"x".repeat(256)], "longer than 255 bytes");
    let many: Vec<_> = (0..4097).map(|index| format!("f{index}")).collect();
    check(&many.iter().map(String::as_str).collect::<Vec<_>>(), "there are 4097 files, and 4096 are the most");
}

#[test]
fn lists_of_assets_add_up() {
    let list = |count: u32, index: &[(&str, u32)], contents: &[u8]| {
        let mut bytes = count.to_le_bytes().to_vec();
        for (path, length) in index {
            bytes.extend((path.len() as u16).to_le_bytes());
            bytes.extend(path.as_bytes());
            bytes.extend(length.to_le_bytes());
        }
        bytes.extend(contents);
        [&package(MANIFEST)[..], &section("remit:assets", &bytes)].concat()
    };
    assert!(Packed::read(&list(2, &[("a", 1), ("b", 2)], b"xyz")).is_ok());
    check(&list(2, &[("a", 1), ("b", 2)], b"xyzw"), "the list of files is damaged");
    check(&list(2, &[("a", 1), ("b", 2)], b"xy"), "the list of files is damaged");
    check(&list(2, &[("a", 1)], b"x"), "the list of files is damaged");
    check(&list(1, &[("a", u32::MAX)], b"x"), "the list of files is damaged");
    check(&list(0, &[], b""), "the list of files is empty");
    check(&list(u32::MAX, &[], b""), "there are 4294967295 files");
    check(&list(2, &[("b", 0), ("a", 0)], b""), "not in ascending order");
    check(&list(2, &[("a", 0), ("a", 0)], b""), "not in ascending order");
    check(&list(2, &[("B", 0), ("b", 0)], b""), "stands twice");
    check(&list(1, &[("../a", 0)], b""), "the parts . and .. may not be in it");
}

#[test]
fn a_packed_file_is_opened_as_a_folder_is() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("post.wasm");
    fs::write(&path, whole()).expect("it is writable");
    fs::write(folder.path().join("remit.toml"), MANIFEST.replace("post-office", "another")).expect("it is writable");
    let package = Package::open(&path).expect("it is a package");
    assert_eq!((package.manifest.name.as_str(), &package.component), ("post-office", &path));
    let twice = [&whole()[..], &section("remit:manifest", MANIFEST.as_bytes())].concat();
    fs::write(&path, twice).expect("it is writable");
    let told = Package::open(&path);
    assert!(matches!(&told, Err(PackageError::Packed { .. })), "{told:?}");
    fs::write(&path, component()).expect("it is writable");
    assert_eq!(Package::open(&path).expect("the manifest beside it").manifest.name, "another");
}

proptest! {
    #[test]
    fn no_bytes_are_a_panic(start in 0_usize..400, bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut whole = whole();
        let at = start % whole.len();
        whole.splice(at..(at + bytes.len()).min(whole.len()), bytes.iter().copied());
        drop(Packed::read(&whole));
        drop(Packed::read(&bytes));
    }

    /// Whatever is read would be made of its parts again, byte by byte.
    #[test]
    fn there_is_one_form_of_a_package(
        assets in btree_map("[a-z]{1,8}", prop::collection::vec(any::<u8>(), 0..32), 0..8),
        has_build in any::<bool>(),
        sbom in prop::option::of(Just(SBOM)),
    ) {
        let (component, build) = (component(), build());
        let build = has_build.then_some(&build);
        let parts = Parts { component: &component, manifest: MANIFEST, assets: &assets, build, sbom };
        let bytes = Packed::make(&parts).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let packed = read(&bytes);
        let read: BTreeMap<_, _> = packed.assets().iter().map(|(path, file)| (path.to_owned(), file.to_vec())).collect();
        prop_assert_eq!(&read, &assets);
        let parts = Parts {
            component: packed.component(),
            manifest: packed.manifest_text(),
            assets: &read,
            build: packed.build(),
            sbom: packed.sbom(),
        };
        let again = Packed::make(&parts).ok();
        prop_assert_eq!(again.as_ref(), Some(&bytes));
    }
}
