//! `remit caps tree`.

use super::grant::options;
use crate::{
    exit::CommandError,
    json,
    node::ask,
    table::{Column, Table},
};
use clap::Args;
use remit_abi::Pid;
use remit_server::protocol::Grant;
use std::process::ExitCode;

/// Show the grant tree, each grant above those that derive from it.
#[derive(Args)]
pub(crate) struct Tree {
    /// Only grants of this process, and what they derive from
    pid: Option<Pid>,
    /// Write one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

impl Tree {
    pub(super) fn run(self) -> Result<ExitCode, CommandError> {
        ask(async |host| {
            let grants = host.grants(self.pid).await?;
            match self.json {
                true => json::print(&grants)?,
                false => print!("{}", table(&grants.grants)),
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// Grants, each indented below the one that it derives from.
pub(crate) fn table(grants: &[Grant]) -> Table<8> {
    let mut table = Table::new([
        Column::Words("GRANT"),
        Column::Words("LABEL"),
        Column::Words("KIND"),
        Column::Words("SCOPE"),
        Column::Words("LIMITS"),
        Column::Words("HOLDER"),
        Column::Numbers("USES"),
        Column::Words("STATE"),
    ]);
    for grant in grants {
        let limits = options(&grant.terms).join(" ").replace("--", "");
        table.row([
            format!("{:indent$}{}", "", grant.id, indent = 2 * grant.depth),
            grant.terms.label.clone(),
            grant.terms.kind.name().to_owned(),
            grant.terms.scope.join(" "),
            if limits.is_empty() { "-".to_owned() } else { limits },
            grant.holder.map_or_else(|| "-".to_owned(), |holder| holder.to_string()),
            grant.uses.to_string(),
            match grant {
                Grant { revoked: true, .. } => "revoked",
                Grant { released: true, .. } => "released",
                Grant { .. } => "open",
            }
            .to_owned(),
        ]);
    }
    table
}
