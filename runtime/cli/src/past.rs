//! `remit forget` and `remit erase`: what is kept of the past, and shall not be any more.

use crate::{exit::CommandError, node::ask, text::long_ago};
use clap::Args;
use remit_server::protocol::{EraseRequest, ForgetRequest};
use std::process::ExitCode;

/// Forget history that nobody needs any more to go on.
#[derive(Args)]
pub(crate) struct Forget {
    /// What was written so long ago, for example 30d or 12h
    #[arg(long, value_name = "TIME", value_parser = long_ago)]
    older_than: u64,
}

impl Forget {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        ask(async |host| {
            let forgotten = host.forget(&ForgetRequest { before_ns: self.older_than }).await?;
            println!("{} pieces of history are forgotten", forgotten.chunks);
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// Erase all that is kept of a tenant, for good: what its processes were told, and the keys of every copy.
#[derive(Args)]
pub(crate) struct Erase {
    /// Which; none of its processes may live
    #[arg(long, value_name = "N")]
    tenant: u32,
}

impl Erase {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        ask(async |host| {
            host.erase(&EraseRequest { tenant: self.tenant }).await?;
            println!("tenant {} is erased; its audit says so, and stays", self.tenant);
            Ok(ExitCode::SUCCESS)
        })
    }
}
