//! Has a Sigstore of its own vouch for a package, and says whether one is believed: for trying our reading of bundles with others'
//! programs, and for `cargo xtask suite sigstore`.
//!
//! ```text
//! voucher make FOLDER     a package, a trust root, and a bundle by it; says who vouches, and whom for
//! voucher judge FOLDER    what a policy that knows that identity by FOLDER/root.json says of FOLDER/theirs.json
//! ```

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that talks to a person")]

#[path = "../tests/kit/instance.rs"]
mod instance;

use instance::Instance;
use jiff::Timestamp;
use remit_package::{Circumstances, Evidence, Packed, Parts, Policy, Statement, Terms, verify};
use std::{collections::BTreeMap, error::Error, fs, path::Path, process::ExitCode};

const ISSUER: &str = "https://token.actions.githubusercontent.com";
const SUBJECT: &str = "https://github.com/alice/clerk/.github/workflows/release.yml@refs/heads/main";

const MANIFEST: &str = "name = \"clerk\"\nversion = \"1.2.0\"\ncomponent = \"clerk.wasm\"\n[budget]\ntokens = 1000\n";

const POLICY: &str = r#"
[[roots]]
name = "ours"
file = "root.json"

[[identities]]
name = "ci"
issuer = "@ISSUER"
subject = "@SUBJECT"

[[packages]]
names = ["clerk"]
signers = ["ci"]
tokens_max = 1000000
"#;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["make", folder] => make(Path::new(folder)),
        ["judge", folder] => judge(Path::new(folder)),
        _ => Err("voucher make FOLDER, or voucher judge FOLDER".into()),
    };
    match done {
        Ok(is_accepted) => ExitCode::from(u8::from(!is_accepted)),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn make(folder: &Path) -> Result<bool, Box<dyn Error>> {
    let component = wat::parse_str("(component)")?;
    let assets = BTreeMap::new();
    let parts = Parts { component: &component, manifest: MANIFEST, assets: &assets, build: None, sbom: None };
    let bytes = Packed::make(&parts)?;
    let now = Timestamp::now().as_second();
    let (issued, not_after) = (Timestamp::from_second(now - 3_600)?, Timestamp::from_second(now + 86_400)?);
    let statement = Statement::of(&Packed::read(&bytes)?, Terms { serial: 7, issued, not_after });
    let sigstore = Instance::new();
    let bundle = sigstore.bundle(ISSUER, SUBJECT, &statement.to_json());
    fs::write(folder.join("clerk.wasm"), &bytes)?;
    fs::write(folder.join("root.json"), sigstore.trusted_root().to_string())?;
    fs::write(folder.join("ours.json"), bundle.to_string())?;
    println!("{ISSUER} {SUBJECT}");
    Ok(true)
}

fn judge(folder: &Path) -> Result<bool, Box<dyn Error>> {
    let bytes = fs::read(folder.join("clerk.wasm"))?;
    let policy = Policy::parse_in(&POLICY.replace("@ISSUER", ISSUER).replace("@SUBJECT", SUBJECT), folder)?;
    let evidence = Evidence { envelope: None, bundles: Some(fs::read(folder.join("theirs.json"))?) };
    let circumstances = Circumstances { now: Timestamp::now(), installed: None };
    let verdict = verify(&Packed::read(&bytes)?, &evidence, &[("operator", &policy)], &circumstances);
    verdict.checks.iter().for_each(|check| println!("{check}"));
    Ok(verdict.is_accepted())
}
