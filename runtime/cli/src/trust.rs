//! `remit trust`: whose packages run on this host, and how far they go.

use crate::{exit::CommandError, node::runtime};
use clap::Subcommand;
use remit_assembly::{
    Home,
    package::{Policy, TrustedIdentity, read_policy, trust_schema},
};
use remit_server::{Client, protocol::CalledBackPackage};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Check the policy that says whose packages run, and how far they go.
#[derive(Subcommand)]
pub(crate) enum Trust {
    /// Print the JSON Schema of trust.toml
    Schema,
    /// Say what a policy means, or what is wrong with it
    Check {
        /// The policy; the data folder's trust.toml without this, and what its tenant says besides in tenants/0/trust.toml
        file: Option<PathBuf>,
    },
    /// Have the running host read the policy anew, and park what may run no longer
    Reload,
}

impl Trust {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        match self {
            Self::Schema => print!("{}", trust_schema()),
            Self::Check { file } => check(file.as_deref())?,
            Self::Reload => tell_host(&Home::find()?)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn check(file: Option<&Path>) -> Result<(), CommandError> {
    let path = match file {
        Some(path) => path.to_owned(),
        None => Home::find()?.trust_policy(),
    };
    match read_policy(&path)? {
        Some(policy) => {
            println!("{}: nothing is wrong with it", path.display());
            told(&policy).iter().for_each(|line| println!("  {line}"));
            if file.is_none() { tenants() } else { Ok(()) }
        }
        None if file.is_some() => Err(CommandError::Usage(format!("there is no policy at {}", path.display()))),
        None => {
            println!("there is no {}: nothing is installed, since nobody is trusted", path.display());
            println!("agents that are started by a path, or lie in the folder `agents`, run as they are");
            tenants()
        }
    }
}

/// What the tenant of the data folder says besides.
fn tenants() -> Result<(), CommandError> {
    if let Some((tenant, policy)) = Home::find()?.trust()?.tenant() {
        println!("{tenant} has a policy of its own, which has to agree:");
        told(policy).iter().for_each(|line| println!("  {line}"));
    }
    Ok(())
}

/// A policy in lines for people.
fn told(policy: &Policy) -> Vec<String> {
    let mut lines: Vec<_> = policy.keys().map(|(name, key)| format!("key {name} is {}", key.id())).collect();
    lines.extend(policy.identities().map(|(name, TrustedIdentity { identity, root_name, .. })| {
        format!("identity {name} is {identity}, verified by {root_name}")
    }));
    for rule in policy.rules() {
        let names: Vec<_> = rule.names.entries().iter().map(ToString::to_string).collect();
        let signers: Vec<_> = rule.signers.iter().map(String::as_str).collect();
        let who = match (signers.as_slice(), rule.unsigned) {
            ([], _) => "run without a signature".to_owned(),
            (signers, false) => format!("need {} signatures of {}", rule.threshold, signers.join(", ")),
            (signers, true) => format!("run unsigned, or signed by {} of {}", rule.threshold, signers.join(", ")),
        };
        let (grants, tokens) = (rule.grants.len(), rule.tokens_max);
        lines.push(format!("packages {} {who}: up to {tokens} tokens, {grants} kinds of rights", names.join(", ")));
    }
    let revoked = policy.revoked();
    let (keys, identities, packages) = (revoked.keys.len(), revoked.identities.len(), revoked.packages.len());
    lines.push(format!("{keys} keys, {identities} identities and {packages} packages are revoked"));
    lines
}

/// A running host takes over what was decided, and says what it parked.
pub(crate) fn tell_host(home: &Home) -> Result<(), CommandError> {
    let recalled = runtime(1)?.block_on(async {
        match Client::find(home).await? {
            Some(host) => Ok::<_, CommandError>(Some(host.reload_trust().await?)),
            None => Ok(None),
        }
    })?;
    match recalled {
        None => println!("no host is running: it counts from the next start on"),
        Some(recalled) if recalled.packages.is_empty() => println!("the running host has taken it over"),
        Some(recalled) => recalled.packages.iter().for_each(|package| println!("{}", parked(package))),
    }
    Ok(())
}

fn parked(CalledBackPackage { package, digest, why, processes }: &CalledBackPackage) -> String {
    let undo = format!("`remit thaw --component {digest}` would let them go on");
    format!("{package}: {processes} processes take no turns any more, since {why}; {undo}")
}
