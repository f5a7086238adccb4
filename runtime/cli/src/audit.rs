//! `remit audit`: a tenant's audit as a file, and the check of such a file, which needs no host.

use crate::{
    exit::CommandError,
    node::ask,
    text::{duration, moment_in_words, plain},
};
use clap::{Args, Subcommand};
use remit_assembly::audit::{Checkpoint, Expected, Flaw, PublicKey, Summary, verify};
use std::{
    fs::File,
    io::{BufReader, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

/// Export a tenant's audit, and check exports.
#[derive(Subcommand)]
pub(crate) enum Audit {
    /// Write a tenant's audit into a file that anybody can check
    Export(Export),
    /// Say whether an export is whole and nobody changed anything in it; needs no host
    Verify(Verify),
}

#[derive(Args)]
pub(crate) struct Export {
    /// Whose
    #[arg(long, value_name = "N", default_value_t = 0)]
    tenant: u32,
    /// Write the contents too that are kept: whoever gets the file can read what agents were told
    #[arg(long)]
    reveal: bool,
    /// A new file
    file: PathBuf,
}

#[derive(Args)]
pub(crate) struct Verify {
    /// An export
    file: PathBuf,
    /// The host's key, as the file `journal/audit.pub` of its data folder has it
    #[arg(long, value_name = "HEX")]
    key: Option<PublicKey>,
    /// An earlier export, from which this one has to go on
    #[arg(long, value_name = "EARLIER")]
    extends: Option<PathBuf>,
    /// By how much the host's clock may have been set back
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "1m")]
    clock_back: Duration,
}

impl Audit {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        match self {
            Self::Export(export) => export.run(),
            Self::Verify(verify) => verify.run(),
        }
    }
}

fn failed(path: &Path, error: impl std::fmt::Display) -> CommandError {
    CommandError::Machine(format!("{}: {error}", path.display()))
}

/// What an export tells, where nothing is wrong with it.
fn checked(path: &Path, expected: &Expected) -> Result<Summary, CommandError> {
    let file = File::open(path).map_err(|error| failed(path, error))?;
    verify(BufReader::new(file), expected).map_err(|flaw| match flaw {
        Flaw::Unreadable(error) => failed(path, error),
        flaw => CommandError::Flaw { path: path.display().to_string(), flaw },
    })
}

impl Export {
    fn run(self) -> Result<ExitCode, CommandError> {
        ask(async |host| {
            let folder = self.file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            // Only its owner can read it, and it has its name when it is whole.
            let mut file = tempfile::NamedTempFile::new_in(folder).map_err(|error| failed(&self.file, error))?;
            let mut pieces = host.export_audit(self.tenant, self.reveal).await?;
            while let Some(piece) = pieces.next().await? {
                file.write_all(&piece).map_err(|error| failed(&self.file, error))?;
            }
            let summary = checked(file.path(), &Expected::default())?;
            file.persist_noclobber(&self.file).map_err(|error| failed(&self.file, error.error))?;
            let Checkpoint { number, key, .. } = summary.checkpoint;
            println!("{}: {number} lines of tenant {}, signed with {key}", self.file.display(), self.tenant);
            if self.reveal {
                println!("{} of {} entries are in it with their contents", summary.revealed, summary.entries);
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}

impl Verify {
    fn run(self) -> Result<ExitCode, CommandError> {
        let clock_back_ns_max = u64::try_from(self.clock_back.as_nanos()).unwrap_or(u64::MAX);
        let expected = Expected { key: self.key, earlier: None, clock_back_ns_max };
        let earlier = self.extends.as_deref().map(|earlier| checked(earlier, &expected)).transpose()?;
        let earlier = earlier.map(|summary| summary.checkpoint);
        let summary = checked(&self.file, &Expected { earlier, ..expected })?;
        println!("{}: nothing is wrong with it", self.file.display());
        told(&summary).iter().for_each(|line| println!("  {line}"));
        if let Some(earlier) = earlier {
            println!("  its first {} lines are those of the earlier export", earlier.number);
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A summary in lines for people.
fn told(summary: &Summary) -> Vec<String> {
    let Checkpoint { tenant, number, key, at_ns, .. } = summary.checkpoint;
    let mut lines = vec![format!("{number} lines of tenant {tenant}, signed on {} with {key}", moment_in_words(at_ns))];
    if let Some((first, last)) = summary.times_ns {
        lines.push(format!("from {} to {}", moment_in_words(first), moment_in_words(last)));
    }
    if summary.begins_after > 0 {
        lines.push(format!("what was before position {} is not in it", summary.begins_after));
    }
    let Summary { entries, revealed, processes, denials, .. } = summary;
    lines.push(format!("{entries} entries, {revealed} of them shown; {processes} processes began, {denials} denials"));
    for ((model, digest), total) in &summary.models {
        lines.push(format!(
            "{} ({}): {} answers, {} that broke off, {} embeddings; {} tokens computed, {} at hand, {} written",
            plain(model),
            plain(digest),
            total.generations,
            total.broken,
            total.embeddings,
            total.input,
            total.cached,
            total.output
        ));
    }
    for (tool, total) in &summary.tools {
        lines.push(format!(
            "{}: {} calls; {} done, {} failed, {} not done, {} uncertain; {} were begun more than once, {} were decided by a person",
            tool.as_deref().map_or_else(|| "tools whose call is not in it".to_owned(), plain),
            total.calls,
            total.done,
            total.failed,
            total.not_done,
            total.uncertain,
            total.repeated,
            total.decided
        ));
    }
    let Summary { supported_citations: supported, unsupported_citations: unsupported, .. } = summary;
    if supported + unsupported > 0 {
        lines.push(format!("{supported} citations stand in what they cite, {unsupported} do not"));
    }
    for (by, total) in &summary.recalls {
        let (by, questions, hits) = (plain(by), total.questions, total.hits);
        lines.push(format!("{by} looked through what was told {questions} times, and was shown {hits} texts"));
    }
    if summary.forgotten > 0 {
        lines.push(format!("{} pieces of history were forgotten for their age", summary.forgotten));
    }
    for erased_ns in &summary.erasures {
        lines.push(format!("the tenant was erased, by {}", moment_in_words(*erased_ns)));
    }
    lines
}
