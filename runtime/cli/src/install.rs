//! `remit install` and what follows from it: packages that are kept, and what their names mean.

use crate::{
    carry::{place, pull},
    deploy::rolled_back,
    exit::CommandError,
    table::{Column, Table},
    trust::tell_host,
};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use remit_assembly::{
    Home, Location,
    package::{AgentName, Arrival, Listed, Older, Package, Store},
    revoke_package,
};
use std::process::ExitCode;

/// Install a package that the policy takes: its name means it from now on.
///
/// The policy is trust.toml in the data folder. Without one nobody is trusted, and nothing is installed; an agent in a folder
/// runs by its path all the same.
#[derive(Args)]
pub(crate) struct Install {
    /// A file that `remit build` made, with FILE.dsse.json or FILE.sigstore.json beside it, or where it was pushed: REGISTRY/NAME:TAG, oci:FOLDER:TAG
    package: String,
    /// Take it although a newer one was installed before
    #[arg(long)]
    allow_older: bool,
}

/// Remove a package, or one version of it. How old a package of that name may be is not forgotten.
#[derive(Args)]
pub(crate) struct Uninstall {
    /// NAME or NAME@VERSION
    package: AgentName,
}

/// Go back. Of a deployment of the running host: try no version any more, or run the one before.
///
/// Where there is none of that name, of an installed package: have its name mean what it meant before, or another version.
#[derive(Args)]
pub(crate) struct Rollback {
    /// NAME of a deployment or a package, or NAME@VERSION for that version of a package
    package: AgentName,
    /// Mean the package, also where a deployment has its name
    #[arg(long)]
    only_package: bool,
}

/// List installed packages, and revoke them.
#[derive(Args)]
pub(crate) struct Packages {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// List installed packages: the version that a name means has a mark
    Ls,
    /// Believe a package no longer: it is not started, and its processes are parked
    Revoke {
        /// NAME@VERSION of one that is installed, or the SHA-256 of its file
        package: String,
    },
}

impl Install {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        let home = Home::find()?;
        let trust = home.trust()?;
        if trust.policy().is_none() {
            let path = home.trust_policy();
            eprintln!("there is no {}: nobody is trusted, so that nothing is installed", path.display());
        }
        let older = if self.allow_older { Older::Taken } else { Older::Refused };
        let (listed, admission) = match place(&self.package)? {
            Location::File(file) => {
                let arrival = Arrival { older, from: None, now: Timestamp::now() };
                Store::at(home.packages()).install(&Package::open_packed(&file)?, &trust, &arrival)?
            }
            elsewhere => pull(&home, &elsewhere)?.install(&home, older)?,
        };
        let Listed { name, version, digest, from, .. } = listed;
        println!("{name}@{version} is installed: {name} means it from now on");
        if let Some(from) = from {
            println!("  from {from}");
        }
        println!("  sha256 {digest}");
        admission.signers.iter().for_each(|key| println!("  signed by {key}"));
        Ok(ExitCode::SUCCESS)
    }
}

impl Uninstall {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        let gone = Store::at(Home::find()?.packages()).uninstall(&self.package)?;
        gone.iter().for_each(|listed| println!("{}@{} is not installed any more", listed.name, listed.version));
        Ok(ExitCode::SUCCESS)
    }
}

impl Rollback {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        let home = Home::find()?;
        if self.package.version.is_none() && !self.only_package && rolled_back(&home, &self.package.name)? {
            return Ok(ExitCode::SUCCESS);
        }
        let listed = Store::at(home.packages()).rollback(&self.package, &home.trust()?, Timestamp::now())?;
        println!("{} means {}@{} from now on", listed.name, listed.name, listed.version);
        Ok(ExitCode::SUCCESS)
    }
}

impl Packages {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        let home = Home::find()?;
        match self.action.unwrap_or(Action::Ls) {
            Action::Ls => print!("{}", listed(&home)?),
            Action::Revoke { package } => {
                let (digest, is_new) = revoke_package(&home, &package)?;
                println!("the file {digest} is {}", if is_new { "revoked" } else { "revoked already" });
                tell_host(&home)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn listed(home: &Home) -> Result<String, CommandError> {
    let trust = home.trust()?;
    let mut table = Table::new([
        Column::Words("PACKAGE"),
        Column::Words("VERSION"),
        Column::Words("IS"),
        Column::Numbers("SERIAL"),
        Column::Words("INSTALLED"),
        Column::Words("SHA256"),
    ]);
    for listed in Store::at(home.packages()).list()? {
        let digest = remit_assembly::package::parse_sha256(&listed.digest);
        let is_revoked = digest.is_some_and(|digest| trust.revoked().packages.contains(&digest));
        let is = match (listed.is_current, is_revoked) {
            (_, true) => "revoked",
            (true, false) => "current",
            (false, false) => "kept",
        };
        table.row([
            listed.name,
            listed.version.to_string(),
            is.to_owned(),
            listed.serial.map_or_else(|| "-".to_owned(), |serial| serial.to_string()),
            format!("{:.0}", listed.installed),
            listed.digest,
        ]);
    }
    Ok(table.to_string())
}
