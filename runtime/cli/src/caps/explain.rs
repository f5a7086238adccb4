//! `remit caps explain`: why something was denied, and what would have been enough.

use super::grant::command;
use crate::{
    exit::CommandError,
    json,
    node::ask,
    text::{moment_in_words, plain},
};
use clap::Args;
use remit_abi::Pid;
use remit_server::protocol::{Denials, Denied, Reason, Terms};
use std::{process::ExitCode, str::FromStr};

/// Which denials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    /// Those of a process, dead or alive.
    Of(Pid),
    /// One of them.
    Number(u64),
}

impl FromStr for Which {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = || text.parse().map(Self::Number);
        text.parse()
            .map(Self::Of)
            .or_else(|_| number())
            .map_err(|_| "name a process, such as 0.3.1, or a denial's number")
    }
}

/// Say why something was denied, and what would have been enough.
#[derive(Args)]
pub(crate) struct Explain {
    /// Those of one process, or the one of a number; all that the host remembers without this
    #[arg(value_name = "PID | NUMBER")]
    which: Option<Which>,
    /// Write one JSON object instead
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub(super) fn run(self) -> Result<ExitCode, CommandError> {
        ask(async |host| {
            let Denials { mut denials } = match self.which {
                Some(Which::Of(pid)) => host.denials(Some(pid)).await?,
                _ => host.denials(None).await?,
            };
            if let Some(Which::Number(number)) = self.which {
                denials.retain(|denied| denied.number == number);
                if denials.is_empty() {
                    return Err(CommandError::Usage(format!("there is no denial {number}, or it is forgotten by now")));
                }
            }
            match (self.json, denials.as_slice()) {
                (true, _) => json::print(&Denials { denials })?,
                (false, []) => println!("nothing was denied"),
                (false, denials) => denials.iter().for_each(|denied| println!("{}", explanation(denied))),
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}

fn explanation(denied: &Denied) -> String {
    let Denied { number, pid, .. } = denied;
    let mut text = format!(
        "{number}  {}  {pid} ({}) called {}\n   told      {}\n   why       {}\n",
        moment_in_words(denied.at_ns),
        plain(&denied.package),
        denied.interface,
        plain(&denied.told),
        why(denied),
    );
    if let Some(manifest) = &denied.manifest {
        text += "   manifest  to ask for enough, its remit.toml needs\n";
        text.extend(manifest.lines().map(|line| format!("                 {}\n", plain(line))));
    }
    text += &match &denied.enough {
        Some(enough) if denied.alive => format!("   now       {}\n", plain(&now(denied, enough))),
        Some(_) => String::new(),
        None => "   no grant could allow this: what was named is nothing of that kind\n".to_owned(),
    };
    text
}

/// The command that gives what would have been enough. A label that is held cannot be given again.
fn now(denied: &Denied, enough: &Terms) -> String {
    match denied.refused_by {
        None => command(denied.pid, enough),
        Some(_) => {
            let label = format!("{}-2", enough.label);
            let renamed = command(denied.pid, &Terms { label, ..enough.clone() });
            format!("{renamed}   (under a new label: it holds {} already)", enough.label)
        }
    }
}

fn why(denied: &Denied) -> String {
    let grant = denied.refused_by.map_or_else(|| "the grant".to_owned(), |grant| format!("grant {grant}"));
    match denied.reason {
        Reason::Missing => "the process holds no such grant".to_owned(),
        Reason::OtherKind => format!("{grant} opens another kind of thing"),
        Reason::Revoked => format!("{grant} was revoked"),
        Reason::Expired => format!("{grant} has expired"),
        Reason::OutOfScope => format!("{grant} does not open that: it is out of scope"),
        Reason::ReadOnly => format!("{grant} is for looking only"),
        Reason::TooManyTokens => format!("{grant} allows fewer tokens a call"),
        Reason::Label => format!("{grant} takes no data of that label"),
        Reason::UsedUp => format!("{grant} is exhausted: it was used as often as it may be"),
        Reason::TooFast => format!("{grant} is used faster than it may be"),
    }
}
