//! The published schema is the one that manifests are checked against, and our own agents' manifests are right.

use remit_package::{Manifest, json_schema};
use std::{env, fs, path::Path};

/// Set it to write the schema anew: `REMIT_REWRITE_SCHEMA=1 cargo test -p remit-package --test schema`.
const REWRITE: &str = "REMIT_REWRITE_SCHEMA";

#[test]
fn the_published_schema_is_the_one_in_use() {
    let path = Path::new("remit.schema.json");
    let generated = json_schema();
    if env::var_os(REWRITE).is_some() {
        fs::write(path, &generated).expect("the schema can be written");
    }
    let published = fs::read_to_string(path).unwrap_or_default();
    assert!(
        published == generated,
        "{} is out of date: run `{REWRITE}=1 cargo test -p remit-package --test schema` and commit it",
        path.display()
    );
}

#[test]
fn manifests_of_our_agents_are_right() {
    let folders = fs::read_dir("../../agents").expect("there are agents");
    let mut checked = 0;
    for folder in folders {
        let path = folder.expect("the folder can be read").path().join("remit.toml");
        let text = fs::read_to_string(&path).expect("each agent has a manifest");
        if let Err(error) = Manifest::parse(&text) {
            panic!("{}: {error}", path.display());
        }
        checked += 1;
    }
    assert!(checked >= 2, "only {checked} agents");
}
