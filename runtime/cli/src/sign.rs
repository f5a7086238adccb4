//! `remit sign` and `remit verify`: who stands behind a package's file, and whether that is enough.

use crate::{
    exit::{self, CommandError},
    passphrase::{Asked, Passphrase},
    text::moment,
};
use clap::Args;
use jiff::Timestamp;
use remit_assembly::{
    Home,
    package::{
        ENVELOPE_BYTES_MAX, KeyRing, Package, PackageError, Packed, Statement, Store, Terms, Trust, cosign, disk,
        envelope_path, read_policy, sign,
    },
};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// How long a signature holds unless something else is said.
const VALID: &str = "365d";

/// Sign a package: an envelope is written beside its file, or a signature is added to the one that is there.
#[derive(Args)]
pub(crate) struct Sign {
    /// A file that `remit build` made
    file: PathBuf,
    /// The key, by its name in `remit keys ls`
    #[arg(long, value_name = "NAME")]
    key: String,
    /// Higher than that of every package of this name before; seconds since 1970 without this
    #[arg(long, value_name = "N")]
    serial: Option<u64>,
    /// Until when it is to be installed and started: a time from now such as 90d, or a moment; 365d without this
    #[arg(long, value_name = "TIME", value_parser = moment)]
    valid: Option<u64>,
    /// Begin a new envelope: signatures that are there are lost
    #[arg(long)]
    anew: bool,
    #[command(flatten)]
    passphrase: Passphrase,
}

impl Sign {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        let home = Home::find()?;
        let package = Package::open_packed(&self.file)?;
        let packed = Packed::read(package.bytes()).map_err(|error| not_packed(&self.file, error))?;
        let ring = KeyRing::at(home.keys());
        let id = ring.find(&self.key)?.public.id();
        if home.trust()?.revoked().keys.contains(&id) {
            return Err(CommandError::Usage(format!("the key {} is revoked: sign with another one", self.key)));
        }
        let path = envelope_path(&self.file);
        let there = if self.anew { None } else { envelope(&path)? };
        if there.is_some() && (self.serial.is_some() || self.valid.is_some()) {
            let sentence = "has its serial and its time already: leave --serial and --valid out, or begin --anew";
            return Err(CommandError::Usage(format!("{} {sentence}", path.display())));
        }
        let terms = self.terms()?;
        let key = ring.open(&self.key, &self.passphrase.get(&self.key, Asked::Known)?)?;
        let (envelope, statement) = match there {
            Some(there) => cosign(&packed, &there, &key)?,
            None => (sign(&packed, terms, &key), Statement::of(&packed, terms)),
        };
        disk::replace(&path, envelope.to_json().as_bytes()).map_err(|error| failed(&path, error))?;
        let Terms { serial, issued, not_after } = statement.terms;
        println!("{}: signed by {} ({id})", path.display(), self.key);
        println!("  {} {}, sha256 {}", statement.name, statement.claims.version, packed.digest());
        println!("  serial {serial}, valid from {issued} until {not_after}");
        println!("  {} signatures", envelope.signatures().len());
        Ok(ExitCode::SUCCESS)
    }

    fn terms(&self) -> Result<Terms, CommandError> {
        let seconds = Timestamp::now().as_second();
        let wrong = |_| CommandError::Usage("--valid names no moment that can be written down".to_owned());
        let until = match self.valid {
            Some(ns) => ns,
            None => moment(VALID).map_err(CommandError::Usage)?,
        };
        let issued = Timestamp::from_second(seconds).map_err(wrong)?;
        let not_after =
            Timestamp::from_second(i64::try_from(until / 1_000_000_000).unwrap_or(i64::MAX)).map_err(wrong)?;
        if not_after < issued {
            return Err(CommandError::Usage("--valid is over already: name a moment that comes".to_owned()));
        }
        Ok(Terms { serial: self.serial.unwrap_or(seconds.unsigned_abs()), issued, not_after })
    }
}

/// Say whether a package would be installed, by every check, without a network and without running any of it.
///
/// The exit code is 0 where it would be. Else it is that of the first check that failed: 10 envelope, 11 statement, 12 subject,
/// 13 claims, 14 time, 15 serial, 16 name, 17 revocation, 18 signers, 19 wants, 20 budget; 5 where it is no package at all.
#[derive(Args)]
pub(crate) struct Verify {
    /// A file that `remit build` made
    file: PathBuf,
    /// The policy; the data folder's trust.toml without this, with what is revoked there and how old a package may be
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// The envelope; FILE.dsse.json without this
    #[arg(long, value_name = "FILE")]
    envelope: Option<PathBuf>,
}

impl Verify {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        let home = Home::find()?;
        let mut package = Package::open_packed(&self.file)?;
        if let Some(path) = &self.envelope {
            let sentence = || CommandError::Usage(format!("there is no envelope at {}", path.display()));
            package = package.with_envelope(envelope(path)?.ok_or_else(sentence)?);
        }
        let manifest = &package.manifest;
        println!("{} {}, sha256 {}", manifest.name, manifest.version, package.digest());
        let (trust, newest) = match &self.policy {
            Some(path) => {
                let policy = read_policy(path)?;
                let missing = || CommandError::Usage(format!("there is no policy at {}", path.display()));
                println!("by the policy {}", path.display());
                (Trust::new(Some(policy.ok_or_else(missing)?), Default::default()), None)
            }
            None => {
                let (trust, path) = (home.trust()?, home.trust_policy());
                match trust.policy() {
                    Some(_) => println!("by the policy {}", path.display()),
                    None => println!("by no policy: there is no {}, so nobody is trusted", path.display()),
                }
                if let Some((tenant, _)) = trust.tenant() {
                    println!("and by the policy of {tenant}, which has to agree");
                }
                (trust, Store::at(home.packages()).newest(&manifest.name)?)
            }
        };
        let circumstances = package.circumstances(Timestamp::now(), newest);
        let verdict = trust.verify_for_install(&package, &circumstances)?;
        verdict.checks.iter().for_each(|check| println!("  {check}"));
        match verdict.failures().next() {
            None if verdict.is_accepted() => {
                println!("it would be installed");
                Ok(ExitCode::SUCCESS)
            }
            failure => {
                println!("it is refused");
                Ok(exit::code_of_check(failure.map(|check| check.kind)))
            }
        }
    }
}

fn envelope(path: &Path) -> Result<Option<Vec<u8>>, CommandError> {
    disk::read_if_there(path, ENVELOPE_BYTES_MAX as u64).map_err(|error| failed(path, error))
}

fn not_packed(path: &Path, error: remit_assembly::package::PackError) -> CommandError {
    PackageError::Packed { path: path.to_owned(), error: Box::new(error) }.into()
}

fn failed(path: &Path, error: impl std::fmt::Display) -> CommandError {
    CommandError::Machine(format!("{}: {error}", path.display()))
}
