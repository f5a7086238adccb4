//! `remit recall`: what processes were told, found by its words.

use crate::{
    exit::CommandError,
    json,
    node::ask,
    text::{label, long_ago, moment_in_words, plain},
};
use clap::Args;
use remit_abi::Pid;
use remit_server::protocol::{RecallRequest, RecalledText};
use std::process::ExitCode;

/// Look through all that processes were told: tasks, messages, answers of models, tools and people. It has to be switched on, and the audit
/// says who looked.
#[derive(Args)]
pub(crate) struct Recall {
    /// Some of its words; endings do not matter
    text: String,
    /// Only what was told since then, such as 12h or 30d ago
    #[arg(long, value_name = "TIME", value_parser = long_ago)]
    since: Option<u64>,
    /// Only what this process was told, which may have ended
    #[arg(long)]
    pid: Option<Pid>,
    /// Of this tenant's processes
    #[arg(long, value_name = "N", default_value_t = 0)]
    tenant: u32,
    /// At most so many texts
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    limit: u32,
    /// Who looks: the audit has the name, and the user that asks
    #[arg(long = "as", value_name = "NAME")]
    by: Option<String>,
    /// Write one JSON object instead
    #[arg(long)]
    json: bool,
}

impl Recall {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        let Self { text, since, pid, tenant, limit, by, json: as_json } = self;
        let request = RecallRequest { tenant, text, since_ns: since.unwrap_or(0), pid, count: Some(limit), by };
        ask(async |host| {
            let found = host.recall(&request).await?;
            match as_json {
                true => json::print(&found)?,
                false if found.texts.is_empty() => println!("nothing that is kept has any of these words"),
                false => found.texts.iter().for_each(|text| print!("{}", shown(text))),
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// A text with where it is from. What an agent was told is shown as a line, whatever it is.
fn shown(text: &RecalledText) -> String {
    let RecalledText { pid, sequence, at_ns, from, label: marking, excerpt, bytes } = text;
    let more = if excerpt.len() as u64 == *bytes { String::new() } else { format!(" ({bytes} bytes in all)") };
    let words: Vec<&str> = excerpt.split_whitespace().collect();
    format!(
        "{} {pid} line {sequence}, from a {from}, {}{more}\n    {}\n",
        moment_in_words(*at_ns),
        label(marking),
        plain(&words.join(" "))
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use remit_abi::TenantId;
    use remit_server::protocol::Marking;

    #[test]
    fn what_was_told_moves_no_cursor_and_begins_no_line() {
        let pid = Pid { tenant: TenantId(0), index: 3, generation: 1 };
        let excerpt = "red\n\u{1b}[2Jkettle\tsings".to_owned();
        let (at_ns, from, label) = (0, "tool".to_owned(), Marking::default());
        let text = RecalledText { pid, sequence: 7, at_ns, from, label, excerpt, bytes: 900 };
        let lines = shown(&text);
        let lines: Vec<&str> = lines.lines().collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].contains("0.3.1 line 7, from a tool, trusted (900 bytes in all)"), "{lines:?}");
        assert_eq!(lines[1], "    red \u{fffd}[2Jkettle sings");
    }
}
