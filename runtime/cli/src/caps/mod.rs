//! `remit caps`: who may do what, and why not.

mod explain;
mod grant;
pub(crate) mod tree;

use crate::{exit::CommandError, node::ask};
use clap::Subcommand;
use remit_server::protocol::GrantName;
use std::process::ExitCode;

/// See, give and take back grants; see why something was denied.
#[derive(Subcommand)]
pub(crate) enum Caps {
    /// Show the grant tree, each grant above those that derive from it
    Tree(tree::Tree),
    /// Give a running process a grant
    Grant(grant::Grant),
    /// Take a grant back, and all that derive from it
    Revoke {
        /// Which, as `remit caps tree` shows it
        grant: GrantName,
    },
    /// Say why something was denied, and what would have been enough
    Explain(explain::Explain),
}

impl Caps {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        match self {
            Self::Tree(tree) => tree.run(),
            Self::Grant(grant) => grant.run(),
            Self::Revoke { grant } => revoke(grant),
            Self::Explain(explain) => explain.run(),
        }
    }
}

fn revoke(grant: GrantName) -> Result<ExitCode, CommandError> {
    ask(async |host| {
        match host.revoke(grant).await?.revoked {
            0 => println!("{grant} was revoked before"),
            1 => println!("{grant} is revoked"),
            more => println!("{grant} is revoked, and {} that derived from it", more - 1),
        }
        Ok(ExitCode::SUCCESS)
    })
}
