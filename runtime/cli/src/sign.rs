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
        BUNDLE_BYTES_MAX, BUNDLES_BYTES_MAX, Bundle, ENVELOPE_BYTES_MAX, Evidence, EvidenceError, KeyRing, Package,
        PackageError, Packed, SignError, Statement, Store, Terms, Trust, bundles_path, cosign, disk, envelope_path,
        read_policy, sign,
    },
};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// How long a signature holds unless something else is said.
const VALID: &str = "365d";

/// Sign a package: an envelope is written beside its file, or a signature is added to the one that is there.
///
/// Who keeps no key signs with a program of Sigstore's: --statement writes what is to be signed, and --bundle puts what came of it beside
/// the package.
#[derive(Args)]
pub(crate) struct Sign {
    /// A file that `remit build` made
    file: PathBuf,
    /// The key, by its name in `remit keys ls`
    #[arg(long, value_name = "NAME", required_unless_present_any = ["statement", "bundle"])]
    key: Option<String>,
    /// Sign nothing: write the statement, for `cosign attest-blob --statement FILE` and its like
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key", "bundle"])]
    statement: Option<PathBuf>,
    /// Sign nothing: put the bundle of a statement that was signed so beside the package
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key", "serial", "valid", "anew"])]
    bundle: Option<PathBuf>,
    /// Higher than that of every package of this name before; seconds since 1970 without this
    #[arg(long, value_name = "N")]
    serial: Option<u64>,
    /// Until when it is to be installed and started: a time from now such as 90d, or a moment; 365d without this
    #[arg(long, value_name = "TIME", value_parser = moment)]
    valid: Option<u64>,
    /// Begin a new statement: signatures that are there are lost
    #[arg(long)]
    anew: bool,
    #[command(flatten)]
    passphrase: Passphrase,
}

impl Sign {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        let package = Package::open_packed(&self.file)?;
        let packed = Packed::read(package.bytes()).map_err(|error| not_packed(&self.file, error))?;
        let evidence = if self.anew { Evidence::default() } else { package.evidence().clone() };
        if let Some(bundle) = &self.bundle {
            return self.take(&packed, evidence, bundle);
        }
        // All who sign are to say the same, or their signatures do not count together.
        let agreed = evidence.statement(&packed)?;
        if agreed.is_some() && (self.serial.is_some() || self.valid.is_some()) {
            let sentence =
                "is signed already, with a serial and a time: leave --serial and --valid out, or begin --anew";
            return Err(CommandError::Usage(format!("{} {sentence}", self.file.display())));
        }
        let statement = match agreed {
            Some(agreed) => agreed,
            None => Statement::of(&packed, self.terms()?),
        };
        match (&self.statement, &self.key) {
            (Some(path), _) => self.tell(&statement, &packed, path),
            (None, Some(key)) => self.sign(&statement, &packed, evidence, key),
            (None, None) => Err(CommandError::Usage("name a key with --key, or write a --statement".to_owned())),
        }
    }

    /// Signs with a key.
    fn sign(
        &self,
        statement: &Statement,
        packed: &Packed<'_>,
        evidence: Evidence,
        name: &str,
    ) -> Result<ExitCode, CommandError> {
        let home = Home::find()?;
        let ring = KeyRing::at(home.keys());
        let id = ring.find(name)?.public.id();
        if home.trust()?.revoked().keys.contains(&id) {
            return Err(CommandError::Usage(format!("the key {name} is revoked: sign with another one")));
        }
        let key = ring.open(name, &self.passphrase.get(name, Asked::Known)?)?;
        let envelope = match &evidence.envelope {
            Some(there) => cosign(packed, there, &key)?.0,
            None => sign(packed, statement.terms, &key),
        };
        let evidence = Evidence { envelope: Some(envelope.to_json().into_bytes()), ..evidence };
        evidence.write(&self.file).map_err(|error| unwritten(&error))?;
        println!("{}: signed by {name} ({id})", envelope_path(&self.file).display());
        told(statement, packed);
        println!("  {} signatures", envelope.signatures().len());
        Ok(ExitCode::SUCCESS)
    }

    /// Writes what others' programs sign.
    fn tell(&self, statement: &Statement, packed: &Packed<'_>, path: &Path) -> Result<ExitCode, CommandError> {
        if self.anew {
            Evidence::default().write(&self.file).map_err(|error| unwritten(&error))?;
        }
        disk::replace(path, &statement.to_json()).map_err(|error| failed(path, error))?;
        println!("{}: what is to be signed of {}", path.display(), self.file.display());
        told(statement, packed);
        println!(
            "  sign it as it is, and put the bundle beside the package: remit sign {} --bundle BUNDLE",
            self.file.display()
        );
        Ok(ExitCode::SUCCESS)
    }

    /// Puts a bundle beside the package.
    fn take(&self, packed: &Packed<'_>, evidence: Evidence, bundle: &Path) -> Result<ExitCode, CommandError> {
        let bytes = disk::read(bundle, BUNDLE_BYTES_MAX as u64).map_err(|error| failed(bundle, error))?;
        let claimed = Bundle::parse(&bytes).map_err(SignError::from)?.claimed().clone();
        let (evidence, statement) = evidence.add_bundle(packed, &bytes)?;
        evidence.write(&self.file).map_err(|error| unwritten(&error))?;
        println!("{}: a bundle that says that it is by {claimed}", bundles_path(&self.file).display());
        told(&statement, packed);
        println!("  `remit verify` says whether it is, by a policy that knows the identity");
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
/// 13 claims, 14 time, 15 serial, 16 name, 17 revocation, 18 signers, 19 wants, 20 budget, 21 identity; 5 where it is no package at all.
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
    /// The bundles of identities; FILE.sigstore.json without this
    #[arg(long, value_name = "FILE")]
    bundles: Option<PathBuf>,
}

impl Verify {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        let home = Home::find()?;
        let mut package = Package::open_packed(&self.file)?;
        let mut evidence = package.evidence().clone();
        if let Some(path) = &self.envelope {
            evidence.envelope = Some(named(path, ENVELOPE_BYTES_MAX, "envelope")?);
        }
        if let Some(path) = &self.bundles {
            evidence.bundles = Some(named(path, BUNDLES_BYTES_MAX, "bundle")?);
        }
        package = package.with_evidence(evidence);
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

/// A file that the command line names.
fn named(path: &Path, bytes_max: usize, what: &str) -> Result<Vec<u8>, CommandError> {
    let found = disk::read_if_there(path, bytes_max as u64).map_err(|error| failed(path, error))?;
    found.ok_or_else(|| CommandError::Usage(format!("there is no {what} at {}", path.display())))
}

/// What a statement says, for people.
fn told(statement: &Statement, packed: &Packed<'_>) {
    let Terms { serial, issued, not_after } = statement.terms;
    println!("  {} {}, sha256 {}", statement.name, statement.claims.version, packed.digest());
    println!("  serial {serial}, valid from {issued} until {not_after}");
}

fn unwritten(error: &EvidenceError) -> CommandError {
    CommandError::Machine(error.to_string())
}

fn not_packed(path: &Path, error: remit_assembly::package::PackError) -> CommandError {
    PackageError::Packed { path: path.to_owned(), error: Box::new(error) }.into()
}

fn failed(path: &Path, error: impl std::fmt::Display) -> CommandError {
    CommandError::Machine(format!("{}: {error}", path.display()))
}
