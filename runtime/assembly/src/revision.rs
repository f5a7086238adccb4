//! Which revision an author's folder is at, as git tells.

use std::{path::Path, process::Command};

/// The commit of a folder, with `+changed` where files that git knows differ from it; `None` where there is no git, or no
/// commit.
#[must_use]
pub fn revision(folder: &Path) -> Option<String> {
    let commit = git(folder, &["rev-parse", "HEAD"])?;
    let changes = git(folder, &["status", "--porcelain", "--untracked-files=no", "--", "."])?;
    Some(if changes.is_empty() { commit } else { format!("{commit}+changed") })
}

fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    // Nothing that the folder's own settings name is run, and nothing in it is written.
    let safely = ["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"];
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(safely).args(arguments).env("GIT_OPTIONAL_LOCKS", "0");
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
