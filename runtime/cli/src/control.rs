//! What is done to processes: ended, held, let go.

use crate::{exit::CommandError, node::ask};
use clap::Args;
use remit_abi::Pid;
use remit_server::{ClientError, protocol};
use std::process::ExitCode;

/// Stop a process where it stands, and its children with it.
#[derive(Args)]
pub(crate) struct Kill {
    /// Which, as `remit ps` shows it
    pid: Pid,
}

impl Kill {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        ask(async |host| {
            let said = if host.kill(self.pid).await?.ended { "was killed" } else { "is being killed" };
            println!("{} {said}", self.pid);
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// Something that is asked of one process.
#[derive(Args)]
pub(crate) struct One {
    /// Which, as `remit ps` shows it
    pid: Pid,
}

impl One {
    pub(crate) fn cancel(self) -> Result<ExitCode, CommandError> {
        ask(async |host| done(host.cancel(self.pid).await))
    }

    pub(crate) fn suspend(self) -> Result<ExitCode, CommandError> {
        ask(async |host| done(host.suspend(self.pid).await))
    }

    pub(crate) fn resume(self) -> Result<ExitCode, CommandError> {
        ask(async |host| done(host.resume(self.pid).await))
    }
}

fn done(answer: Result<(), ClientError>) -> Result<ExitCode, CommandError> {
    Ok(answer.map(|()| ExitCode::SUCCESS)?)
}

/// Which processes.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Selection {
    /// Those of this tenant
    #[arg(long, value_name = "N")]
    tenant: Option<u32>,
    /// Those of this package
    #[arg(long, value_name = "NAME")]
    package: Option<String>,
    /// Those of this component, by its SHA-256 as `remit inspect` shows it
    #[arg(long, value_name = "SHA256")]
    component: Option<String>,
    /// Every one
    #[arg(long)]
    all: bool,
}

impl Selection {
    fn asked(self) -> protocol::Selection {
        match self {
            Self { tenant: Some(tenant), .. } => protocol::Selection::Tenant(tenant),
            Self { package: Some(name), .. } => protocol::Selection::Package(name),
            Self { component: Some(digest), .. } => protocol::Selection::Component(digest),
            _ => protocol::Selection::All,
        }
    }

    pub(crate) fn freeze(self) -> Result<ExitCode, CommandError> {
        ask(async |host| {
            let affected = host.freeze(&self.asked()).await?;
            println!("{} processes are frozen, and none like them is started", affected.processes);
            Ok(ExitCode::SUCCESS)
        })
    }

    pub(crate) fn thaw(self) -> Result<ExitCode, CommandError> {
        ask(async |host| {
            let affected = host.thaw(&self.asked()).await?;
            println!("{} processes go on", affected.processes);
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// Says what is frozen.
pub(crate) fn frozen() -> Result<ExitCode, CommandError> {
    ask(async |host| {
        for selection in host.frozen().await?.frozen {
            match selection {
                protocol::Selection::All => println!("all"),
                protocol::Selection::Tenant(tenant) => println!("tenant {tenant}"),
                protocol::Selection::Package(name) => println!("package {name}"),
                protocol::Selection::Component(digest) => println!("component {digest}"),
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Says how the running host is.
pub(crate) fn status() -> Result<ExitCode, CommandError> {
    ask(async |host| {
        let health = host.health().await?;
        let state = if health.shutting_down { "is shutting down" } else { "is well" };
        let protocol::Health { version, system_pid, processes, .. } = health;
        println!("remit {version}, process {system_pid}, {state}: {processes} agents run");
        Ok(ExitCode::SUCCESS)
    })
}
