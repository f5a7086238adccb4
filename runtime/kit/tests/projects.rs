//! Projects on the disk: what is made, what is refused, what is brought up to date.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use remit_kit::{CreateError, Project, ProjectError, Template, UpdateError, VERSION, watch::Snapshot};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn create(place: &TempDir, name: &str, template: Template) -> PathBuf {
    let folder = place.path().join(name);
    Project::create(&folder, name, template).unwrap();
    folder
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_template_makes_a_project_of_its_name_that_needs_nothing_else() {
    let place = folder();
    for template in Template::ALL {
        let name = format!("my-{}", template.name());
        let folder = create(&place, &name, template);
        let project = Project::open(&folder).unwrap();
        assert_eq!(
            (project.manifest().name.as_str(), project.sdk_version().as_deref()),
            (name.as_str(), Some(VERSION))
        );
        assert_eq!(project.component(), folder.canonicalize().unwrap().join(format!("{name}.wasm")));
        assert!(read(&folder.join("Cargo.toml")).contains(&format!("name = \"{name}\"")));
        for file in ["src/lib.rs", "tests/answers.toml", "README.md", ".gitignore", "sdk/LICENSE", "sdk/wit/world.wit"]
        {
            let text = read(&folder.join(file));
            assert!(!text.contains("{{") || file.starts_with("sdk/"), "{file} has a gap");
        }
        // The interfaces are where the SDK's source looks for them.
        let bindings = read(&folder.join("sdk/guest-sdk/rust/src/bindings.rs"));
        let path = bindings.split("path: \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        assert!(folder.join("sdk/guest-sdk/rust").join(path).join("world.wit").is_file(), "{path}");
    }
}

#[test]
fn what_the_sdk_inherits_and_stands_on_comes_with_it() {
    let place = folder();
    let folder = create(&place, "mine", Template::Chat);
    let workspace = read(&folder.join("sdk/Cargo.toml"));
    for line in ["[workspace.package]", "edition = \"2024\"", "[workspace.dependencies]", "[workspace.lints.rust]"] {
        assert!(workspace.contains(line), "{line}: {workspace}");
    }
    for name in ["serde", "postcard", "wit-bindgen", "remit-sdk-macros"] {
        assert!(workspace.lines().any(|line| line.starts_with(&format!("{name} ="))), "{name}: {workspace}");
    }
    assert!(!workspace.contains("wasmtime"), "the host is none of an agent's business");
    let lock = read(&folder.join("Cargo.lock"));
    for name in ["mine", "remit-sdk", "remit-sdk-macros", "wit-bindgen", "serde_derive"] {
        assert_eq!(lock.matches(&format!("name = \"{name}\"\n")).count(), 1, "{name}");
    }
    assert!(!lock.contains("\"wasmtime\""), "the host is none of an agent's business");
}

#[test]
fn a_name_that_no_crate_or_package_can_have_is_refused_and_nothing_is_written() {
    let place = folder();
    let long = "a".repeat(65);
    for name in ["", "Mine", "1st", "-x", "a b", "a/b", "..", "a.b", "ä", "a\n", long.as_str()] {
        let refused = Project::create(&place.path().join("x"), name, Template::Chat);
        assert!(matches!(refused, Err(CreateError::Name { .. })), "{name:?}: {refused:?}");
    }
    for name in ["test", "std", "remit", "match"] {
        let refused = Project::create(&place.path().join("x"), name, Template::Chat);
        assert!(matches!(refused, Err(CreateError::Taken(_))), "{name:?}: {refused:?}");
    }
    assert!(!place.path().join("x").exists());
}

#[test]
fn a_folder_with_something_in_it_stays_as_it_is() {
    let place = folder();
    let file = place.path().join("notes.txt");
    fs::write(&file, "mine").unwrap();
    let refused = Project::create(place.path(), "mine", Template::Chat);
    assert!(matches!(&refused, Err(CreateError::There(_))), "{refused:?}");
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    fs::remove_file(file).unwrap();
    Project::create(place.path(), "mine", Template::Chat).unwrap();
}

#[test]
fn what_is_no_project_is_said() {
    let place = folder();
    let missing = place.path().join("absent");
    assert!(matches!(Project::open(&missing), Err(ProjectError::NoManifest(_))));
    assert!(matches!(Project::open(place.path()), Err(ProjectError::NoManifest(_))));
    let manifest = "name = \"x\"\nversion = \"1.0.0\"\ncomponent = \"x.wasm\"\n";
    fs::write(place.path().join("remit.toml"), manifest).unwrap();
    assert!(matches!(Project::open(place.path()), Err(ProjectError::NoSource(_))));
    fs::write(place.path().join("remit.toml"), "nmae = \"x\"\n").unwrap();
    let wrong = Project::open(place.path()).unwrap_err().to_string();
    assert!(wrong.contains("nmae"), "{wrong}");
}

#[test]
fn an_sdk_is_replaced_whole_and_one_elsewhere_is_not_touched() {
    let place = folder();
    let folder = create(&place, "mine", Template::Chat);
    let project = Project::open(&folder).unwrap();
    fs::write(folder.join("sdk/VERSION"), "0.0.1\n").unwrap();
    fs::write(folder.join("sdk/guest-sdk/rust/src/stale.rs"), "").unwrap();
    // As if an update had been cut.
    fs::create_dir(folder.join("sdk.next")).unwrap();
    assert_eq!(project.sdk_version().as_deref(), Some("0.0.1"));
    project.update_sdk().unwrap();
    assert_eq!(project.sdk_version().as_deref(), Some(VERSION));
    assert!(!folder.join("sdk/guest-sdk/rust/src/stale.rs").exists());
    for left in ["sdk.next", "sdk.old"] {
        assert!(!folder.join(left).exists(), "{left}");
    }
    fs::remove_dir_all(folder.join("sdk")).unwrap();
    assert!(matches!(project.update_sdk(), Err(UpdateError::Absent(_))));
    assert_eq!(project.sdk_version(), None);
}

#[test]
fn a_look_sees_source_and_not_what_a_build_makes() {
    let place = folder();
    let folder = create(&place, "mine", Template::Chat);
    let before = Snapshot::of(&folder).unwrap();
    for (made, text) in [("mine.wasm", "x"), ("target/release/x", "x"), (".git/index", "x"), ("Cargo.lock", "x")] {
        let path = folder.join(made);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    assert_eq!(before.changes(&Snapshot::of(&folder).unwrap()), Vec::<PathBuf>::new());
    fs::write(folder.join("src/more.rs"), "// more").unwrap();
    fs::remove_file(folder.join("README.md")).unwrap();
    let changes = before.changes(&Snapshot::of(&folder).unwrap());
    assert_eq!(changes, [folder.join("README.md"), folder.join("src/more.rs")]);
    assert!(Snapshot::of(&folder.join("absent")).is_err());
}
