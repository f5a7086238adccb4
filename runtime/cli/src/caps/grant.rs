//! `remit caps grant`, and the command line that gives a grant.

use crate::{
    exit::CommandError,
    node::ask,
    text::{moment, rate},
};
use clap::{Args, ValueEnum};
use remit_abi::{Access, GrantKind, Integrity, Pid, Rate};
use remit_server::protocol::{Marking, Terms};
use std::process::ExitCode;

/// What may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Asked {
    /// Look, and change nothing
    ReadOnly,
    /// All that the kind allows
    ReadWrite,
}

/// Give a running process a grant.
#[derive(Args)]
pub(crate) struct Grant {
    /// To which process, as `remit ps` shows it
    pid: Pid,
    /// Under which name the process finds it
    label: String,
    /// What kind of thing it opens: model, context, memory, tool, file, http, keyvalue, process, mailbox, person, device
    #[arg(value_parser = kind)]
    kind: GrantKind,
    /// Which of them, as in a manifest
    #[arg(required = true)]
    scope: Vec<String>,
    /// At most so many output tokens a call
    #[arg(long, value_name = "N")]
    max_tokens_per_call: Option<u32>,
    /// At most so many uses in all
    #[arg(long, value_name = "N")]
    uses: Option<u64>,
    /// At most so many uses over time, for example 60/minute
    #[arg(long, value_name = "RATE", value_parser = rate)]
    rate: Option<Rate>,
    /// Until then: a date and time, or a time from now such as 30d
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    expires: Option<u64>,
    /// What may be done
    #[arg(long, value_enum, default_value = "read-write")]
    access: Asked,
    /// Take no data above this label: `trusted` or `untrusted`, and tags behind commas
    #[arg(long, value_name = "LABEL", value_parser = ceiling)]
    ceiling: Option<Marking>,
}

impl Grant {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        let pid = self.pid;
        let terms = Terms {
            label: self.label,
            kind: self.kind,
            scope: self.scope,
            access: match self.access {
                Asked::ReadOnly => Access::ReadOnly,
                Asked::ReadWrite => Access::ReadWrite,
            },
            uses: self.uses,
            rate: self.rate,
            expires_ns: self.expires,
            max_tokens_per_call: self.max_tokens_per_call,
            ceiling: self.ceiling,
        };
        ask(async |host| {
            println!("{}", host.give(pid, &terms).await?.grant);
            Ok(ExitCode::SUCCESS)
        })
    }
}

fn kind(text: &str) -> Result<GrantKind, String> {
    let known = || GrantKind::ALL.map(GrantKind::name).join(", ");
    GrantKind::from_name(text).ok_or_else(|| format!("that is no kind of grant: these are {}", known()))
}

fn ceiling(text: &str) -> Result<Marking, String> {
    let mut parts = text.split(',');
    let integrity = match parts.next() {
        Some("trusted") => Integrity::Trusted,
        Some("untrusted") => Integrity::Untrusted,
        _ => return Err("a ceiling begins with trusted or untrusted, for example untrusted,secret".to_owned()),
    };
    Ok(Marking { integrity, tags: parts.map(Into::into).collect() })
}

/// The command that gives a process a grant of these terms, as a shell takes it.
pub(super) fn command(pid: Pid, terms: &Terms) -> String {
    let mut words = vec!["remit caps grant".to_owned(), pid.to_string(), quoted(&terms.label)];
    words.push(terms.kind.name().to_owned());
    words.extend(terms.scope.iter().map(|entry| quoted(entry)));
    words.extend(options(terms));
    words.join(" ")
}

/// The limits of a grant as options.
pub(super) fn options(terms: &Terms) -> Vec<String> {
    let mut options = Vec::new();
    if let Some(most) = terms.max_tokens_per_call {
        options.push(format!("--max-tokens-per-call {most}"));
    }
    if let Some(uses) = terms.uses {
        options.push(format!("--uses {uses}"));
    }
    if let Some(rate) = terms.rate {
        options.push(format!("--rate {}", crate::text::rate_in_words(rate)));
    }
    if let Some(expires_ns) = terms.expires_ns {
        options.push(format!("--expires {}", crate::text::moment_in_words(expires_ns)));
    }
    if terms.access == Access::ReadOnly {
        options.push("--access read-only".to_owned());
    }
    if let Some(marking) = &terms.ceiling {
        options.push(format!("--ceiling {}", quoted(&crate::text::label(marking).replace(' ', ","))));
    }
    options
}

/// A word of a shell's command line.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/:@,".contains(&byte);
    match !word.is_empty() && word.bytes().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        grant: Grant,
    }

    #[test]
    fn a_command_gives_what_it_was_made_of() {
        let terms = Terms {
            label: "notes".to_owned(),
            kind: GrantKind::Memory,
            scope: vec!["team/*".to_owned(), "mine".to_owned()],
            access: Access::ReadOnly,
            uses: Some(5),
            rate: Some(Rate { uses: 60, per_ms: 60_000 }),
            expires_ns: Some(1_900_000_000_000_000_000),
            max_tokens_per_call: Some(64),
            ceiling: Some(Marking { integrity: Integrity::Untrusted, tags: vec!["secret".into()] }),
        };
        let command = command("0.3.1".parse().expect("it is a pid"), &terms);
        assert!(command.contains("'team/*' mine"), "{command}");
        let words = command.strip_prefix("remit caps ").expect("it is our command").replace('\'', "");
        let Line { grant } = Line::try_parse_from(words.split(' ')).expect("it is a command line");
        assert_eq!((grant.label, grant.kind, grant.scope), (terms.label, terms.kind, terms.scope));
        assert_eq!((grant.uses, grant.rate, grant.expires), (terms.uses, terms.rate, terms.expires_ns));
        assert_eq!((grant.max_tokens_per_call, grant.ceiling), (terms.max_tokens_per_call, terms.ceiling));
        assert_eq!(grant.access, Asked::ReadOnly);
    }

    #[test]
    fn what_a_shell_would_take_apart_is_quoted() {
        for (word, expect) in [("a/b:c", "a/b:c"), ("a*", "'a*'"), ("it's", r"'it'\''s'"), ("", "''"), ("$x", "'$x'")] {
            assert_eq!(quoted(word), expect);
        }
    }
}
