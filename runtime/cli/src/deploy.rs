//! `remit deploy`, `remit upgrade`: agents that a host keeps running, by a file, and from version to version.

use crate::{
    exit::CommandError,
    json,
    node::{ask, runtime},
    table::{Column, Table},
};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use remit_assembly::{Home, deploy, package::AgentName};
use remit_server::{
    Client, ClientError,
    protocol::{
        DeployRequest, DeployedAs, DeployedOne, DeployedRunRequest, DeployedVersion, Deployment, ErrorCode,
        UpgradeRequest,
    },
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Keep agents running as a file says: replicas, schedules, grants and budgets.
///
/// The same file again changes nothing; a changed one is compared with what is there, and applied. Deployments that the file does not name
/// stay as they are. The host has to run.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Deploy {
    #[command(subcommand)]
    action: Option<Action>,
    /// The file, in TOML
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Only say what would be different
    #[arg(long)]
    dry_run: bool,
    /// Take another version also where it asks for more than the one that runs
    #[arg(long)]
    allow_wider: bool,
}

#[derive(Subcommand)]
enum Action {
    /// List deployments
    Ls {
        /// As one JSON value
        #[arg(long)]
        json: bool,
    },
    /// Say all about one deployment
    Show {
        /// Its name
        name: String,
        /// As one JSON value
        #[arg(long)]
        json: bool,
    },
    /// Keep a deployment running no more: its replicas are asked to end
    Rm {
        /// Its name
        name: String,
    },
    /// Begin a run of a deployment: a process of its own, whose id is printed
    Run {
        /// Its name
        name: String,
        /// What it is told
        task: String,
    },
}

/// Go to another installed version of a deployment, with everything or with a share.
///
/// What it asks for is compared with what the version gets that runs, and put before the policies; more is refused, and the difference is
/// shown. `remit rollback NAME` undoes it.
#[derive(Args)]
pub(crate) struct Upgrade {
    /// NAME@VERSION, where NAME is the deployment's; with --promote NAME
    deployment: AgentName,
    /// Only so many of a hundred messages and runs go there, until --promote or `remit rollback`
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=99))]
    canary: Option<u8>,
    /// Go with everything to the version that is tried
    #[arg(long, conflicts_with_all = ["canary", "allow_wider"])]
    promote: bool,
    /// Take it also where it asks for more than the one that runs
    #[arg(long)]
    allow_wider: bool,
}

impl Deploy {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        match (self.action, self.file) {
            (Some(Action::Ls { json }), _) => list(json),
            (Some(Action::Show { name, json }), _) => show(&name, json),
            (Some(Action::Rm { name }), _) => ask(async |host| {
                host.remove_deployment(&name).await?;
                println!("{name} is deployed no more, and its replicas end");
                Ok(ExitCode::SUCCESS)
            }),
            (Some(Action::Run { name, task }), _) => ask(async |host| {
                println!("{}", host.run_deployed(&name, &DeployedRunRequest { task }).await?.pid);
                Ok(ExitCode::SUCCESS)
            }),
            (None, Some(file)) => apply(&file, self.dry_run, self.allow_wider),
            (None, None) => {
                let sentence = "name a file with -f, or say what is to be done: ls, show, rm or run";
                Err(CommandError::Usage(sentence.to_owned()))
            }
        }
    }
}

fn apply(path: &Path, dry_run: bool, allow_wider: bool) -> Result<ExitCode, CommandError> {
    let failed = |error| CommandError::Machine(format!("{} cannot be read: {error}", path.display()));
    let file = fs::read_to_string(path).map_err(failed)?;
    deploy::parse(&file).map_err(|error| CommandError::Usage(format!("{}: {error}", path.display())))?;
    ask(async |host| {
        let deployed = host.deploy(&DeployRequest { file, dry_run, allow_wider }).await?;
        for DeployedOne { name, change, differences } in deployed.deployments {
            let said = match (change, dry_run) {
                (DeployedAs::Unchanged, _) => "is as the file says",
                (DeployedAs::New, false) => "is deployed",
                (DeployedAs::New, true) => "would be deployed",
                (DeployedAs::Changed, false) => "is changed:",
                (DeployedAs::Changed, true) => "would be changed:",
            };
            println!("{name} {said}");
            differences.iter().for_each(|difference| println!("  {difference}"));
        }
        Ok(ExitCode::SUCCESS)
    })
}

impl Upgrade {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        let Self { deployment: AgentName { name, version }, canary, promote, allow_wider } = self;
        ask(async |host| {
            let upgraded = match (promote, version) {
                (true, None) => host.promote(&name).await?,
                (false, Some(version)) => {
                    let request = UpgradeRequest { version: version.to_string(), percent: canary, allow_wider };
                    host.upgrade(&name, &request).await?
                }
                (true, Some(_)) => {
                    let sentence = "--promote goes to the version that is tried: name the deployment alone";
                    return Err(CommandError::Usage(sentence.to_owned()));
                }
                (false, None) => {
                    return Err(CommandError::Usage(format!("name a version of {name}, as {name}@VERSION")));
                }
            };
            println!("{name}: {}", upgraded.said);
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// Rolls back the deployment of a name, where a host runs that has one.
pub(crate) fn rolled_back(home: &Home, name: &str) -> Result<bool, CommandError> {
    runtime(1)?.block_on(async {
        let Some(host) = Client::find(home).await? else { return Ok(false) };
        match host.rollback(name).await {
            Ok(upgraded) => {
                println!("{name}: {}", upgraded.said);
                Ok(true)
            }
            Err(ClientError::Refused(refusal)) if refusal.code == ErrorCode::NoSuchDeployment => Ok(false),
            Err(error) => Err(error.into()),
        }
    })
}

fn list(as_json: bool) -> Result<ExitCode, CommandError> {
    ask(async |host| {
        let listed = host.deployments().await?;
        if as_json {
            json::print(&listed)?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut table = Table::new([
            Column::Words("NAME"),
            Column::Words("RUNS"),
            Column::Words("TRIES"),
            Column::Numbers("REPLICAS"),
            Column::Numbers("LIVING"),
            Column::Numbers("SCHEDULES"),
            Column::Words("TROUBLE"),
        ]);
        for deployment in listed.deployments {
            let tried = deployment.tried.map(|tried| format!("{} ({} %)", tried.package, deployment.percent));
            table.row([
                deployment.name,
                deployment.stable.package,
                tried.unwrap_or_else(|| "-".to_owned()),
                deployment.replicas.to_string(),
                deployment.living.len().to_string(),
                deployment.cron.len().to_string(),
                deployment.troubles.into_iter().next().map_or_else(|| "-".to_owned(), |trouble| trouble.why),
            ]);
        }
        print!("{table}");
        Ok(ExitCode::SUCCESS)
    })
}

fn show(name: &str, as_json: bool) -> Result<ExitCode, CommandError> {
    ask(async |host| {
        let mut listed = host.deployments().await?.deployments.into_iter();
        let found = listed.find(|deployment| deployment.name == *name);
        let sentence = || CommandError::Usage(format!("there is no deployment {name}: `remit deploy ls` lists them"));
        let deployment = found.ok_or_else(sentence)?;
        match as_json {
            true => json::print(&deployment)?,
            false => told(&deployment).iter().for_each(|line| println!("{}", crate::text::plain(line))),
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn told(deployment: &Deployment) -> Vec<String> {
    let version = |version: &DeployedVersion| {
        format!("{}, revision {}, sha256 {}", version.package, version.revision, version.digest)
    };
    let mut lines = vec![deployment.name.clone(), format!("  runs     {}", version(&deployment.stable))];
    lines.extend(
        deployment.tried.as_ref().map(|tried| format!("  tries    {} on {} %", version(tried), deployment.percent)),
    );
    lines.extend(deployment.before.as_ref().map(|before| format!("  before   {}", version(before))));
    let grants = deployment.grants.as_ref().map_or_else(|| "all".to_owned(), |labels| labels.join(", "));
    let tokens = deployment.tokens.map_or_else(|| "the manifest's".to_owned(), |tokens| tokens.to_string());
    lines.push(format!("  grants   {grants}; tokens {tokens}"));
    let (replicas, restart, ended) = (deployment.replicas, &deployment.restart, deployment.ended);
    lines.push(format!("  replicas {replicas}, started again {restart}; {ended} have ended for good"));
    for replica in &deployment.living {
        lines.push(format!("    {} is replica {} of revision {}", replica.pid, replica.slot, replica.revision));
    }
    for trouble in &deployment.troubles {
        let (slot, revision) = (trouble.slot, trouble.revision);
        lines.push(format!("    replica {slot} of revision {revision} does not start: {}", trouble.why));
    }
    lines.push(format!("  runs begun {}", deployment.runs));
    for cron in &deployment.cron {
        let next = cron.next_ns.and_then(|ns| Timestamp::from_nanosecond(ns.into()).ok());
        let next = next.map_or_else(|| "never".to_owned(), |next| format!("{next:.0}"));
        lines.push(format!("    {} (next {next}): {}", cron.schedule, cron.task));
    }
    lines
}
