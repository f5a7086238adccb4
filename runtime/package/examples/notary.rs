//! Signs a package, and says whether one is believed: for trying our envelopes with others' programs, and for `cargo xtask suite intoto`.
//!
//! ```text
//! notary make FOLDER     a package, two keys under a passphrase, and an envelope that both signed
//! notary judge FOLDER    what a policy that wants both of FOLDER/theirs-1.pem and theirs-2.pem says of FOLDER/theirs.json
//! ```

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that talks to a person")]

use jiff::Timestamp;
use remit_package::{Circumstances, Evidence, Packed, Parts, Policy, SecretKey, Terms, cosign, sign, verify};
use std::{collections::BTreeMap, error::Error, fs, path::Path, process::ExitCode};

/// Of the keys that are made here.
const PASSPHRASE: &str = "correct horse battery staple";

const MANIFEST: &str = "name = \"clerk\"\nversion = \"1.2.0\"\ncomponent = \"clerk.wasm\"\n[budget]\ntokens = 1000\n";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["make", folder] => make(Path::new(folder)),
        ["judge", folder] => judge(Path::new(folder)),
        _ => Err("notary make FOLDER, or notary judge FOLDER".into()),
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
    let packed = Packed::read(&bytes)?;
    let now = Timestamp::now().as_second();
    let (issued, not_after) = (Timestamp::from_second(now - 3_600)?, Timestamp::from_second(now + 86_400)?);
    let keys = [SecretKey::generate()?, SecretKey::generate()?];
    let envelope = sign(&packed, Terms { serial: 7, issued, not_after }, &keys[0]);
    let (envelope, _) = cosign(&packed, envelope.to_json().as_bytes(), &keys[1])?;
    fs::write(folder.join("clerk.wasm"), &bytes)?;
    fs::write(folder.join("ours.json"), envelope.to_json())?;
    fs::write(folder.join("passphrase"), PASSPHRASE)?;
    for (number, key) in (1..).zip(&keys) {
        key.create(&folder.join(format!("secret-{number}.pem")), PASSPHRASE)?;
        fs::write(folder.join(format!("ours-{number}.pem")), key.public().to_pem())?;
        println!("{}", key.public().id());
    }
    Ok(true)
}

fn judge(folder: &Path) -> Result<bool, Box<dyn Error>> {
    let bytes = fs::read(folder.join("clerk.wasm"))?;
    let mut policy = String::new();
    for number in [1, 2] {
        let public = fs::read_to_string(folder.join(format!("theirs-{number}.pem")))?;
        policy += &format!("[[keys]]\nname = \"key-{number}\"\npublic = \"\"\"\n{public}\"\"\"\n");
    }
    policy +=
        "[[packages]]\nnames = [\"clerk\"]\nsigners = [\"key-1\", \"key-2\"]\nthreshold = 2\ntokens_max = 1000000\n";
    let policy = Policy::parse(&policy)?;
    let envelope = fs::read(folder.join("theirs.json"))?;
    let circumstances = Circumstances { now: Timestamp::now(), installed: None };
    let evidence = Evidence::envelope(envelope);
    let verdict = verify(&Packed::read(&bytes)?, &evidence, &[("operator", &policy)], &circumstances);
    verdict.checks.iter().for_each(|check| println!("{check}"));
    Ok(verdict.is_accepted())
}
