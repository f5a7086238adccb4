//! `remit keys`: keys that sign packages, and keys of others who do.

use crate::{
    exit::CommandError,
    passphrase::{Asked, Passphrase},
    table::{Column, Table},
    trust::tell_host,
};
use clap::{Args, Subcommand};
use remit_assembly::{
    Home,
    package::{KeyRing, Signer, disk},
    revoke_key,
};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// A key's file has some 300 bytes.
const FILE_BYTES_MAX: u64 = 16 << 10;

/// Make, keep and revoke keys that sign packages.
#[derive(Subcommand)]
pub(crate) enum Keys {
    /// Make a key; its secret half is kept in the data folder under a passphrase
    New(New),
    /// List keys and their ids
    Ls,
    /// Print the public half of a key, for whoever is to trust it
    Export(Export),
    /// Keep a key of a file: a public one, or a secret one under its passphrase
    Import(Import),
    /// Believe a key or an identity no longer: what it signed is refused, and its processes are parked where too few others stand
    /// behind them
    Revoke {
        /// A key's id, its name here, or the name of a key or an identity in trust.toml
        key: String,
    },
}

#[derive(Args)]
pub(crate) struct New {
    /// What to call it: a-z, 0-9, '-', '.', '_'
    name: String,
    #[command(flatten)]
    passphrase: Passphrase,
}

#[derive(Args)]
pub(crate) struct Export {
    /// Its name
    name: String,
    /// Write the secret half too, into a new file: under its passphrase, readable by its owner alone
    #[arg(long, value_name = "FILE")]
    secret: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Import {
    /// What to call it: a-z, 0-9, '-', '.', '_'
    name: String,
    /// PEM, as `remit keys export` or `openssl` writes it
    file: PathBuf,
    #[command(flatten)]
    passphrase: Passphrase,
}

impl Keys {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        let home = Home::find()?;
        let ring = KeyRing::at(home.keys());
        match self {
            Self::New(New { name, passphrase }) => {
                ring.check_free(&name)?;
                let public = ring.create(&name, &passphrase.get(&name, Asked::New)?)?;
                println!("{name}  {}", public.id());
            }
            Self::Ls => print!("{}", listed(&home, &ring)?),
            Self::Export(Export { name, secret }) => {
                if let Some(path) = secret {
                    let pem = ring.export_secret(&name)?;
                    disk::create_private(&path, pem.as_bytes()).map_err(|error| failed(&path, error))?;
                }
                print!("{}", ring.find(&name)?.public.to_pem());
            }
            Self::Import(Import { name, file, passphrase }) => {
                ring.check_free(&name)?;
                let pem = disk::read(&file, FILE_BYTES_MAX).map_err(|error| failed(&file, error))?;
                let pem = String::from_utf8(pem).map_err(|error| failed(&file, error))?;
                let public = match pem.contains("PRIVATE KEY") {
                    true => ring.import_secret(&name, &pem, &passphrase.get(&name, Asked::Known)?)?,
                    false => ring.import(&name, &pem)?,
                };
                println!("{name}  {}", public.id());
            }
            Self::Revoke { key } => {
                let (signer, is_new) = revoke_key(&home, &key)?;
                let what = if matches!(signer, Signer::Key(_)) { "key" } else { "identity" };
                println!("the {what} {signer} is {}", if is_new { "revoked" } else { "revoked already" });
                tell_host(&home)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn failed(path: &Path, error: impl std::fmt::Display) -> CommandError {
    CommandError::Machine(format!("{}: {error}", path.display()))
}

fn listed(home: &Home, ring: &KeyRing) -> Result<String, CommandError> {
    let revoked = home.trust()?;
    let mut table = Table::new([Column::Words("KEY"), Column::Words("ID"), Column::Words("IS")]);
    for key in ring.list()? {
        let is_revoked = revoked.revoked().keys.contains(&key.public.id());
        let whose = if key.is_own { "yours" } else { "another's" };
        let is = if is_revoked { format!("{whose}, revoked") } else { whose.to_owned() };
        table.row([key.name, key.public.id().to_string(), is]);
    }
    Ok(table.to_string())
}
