//! Whether a project has changed, and has come to rest.
//!
//! A folder is looked at from time to time, and two looks are compared: by each file's size and time of change. That works on every file
//! system, network ones included, with nothing of the system's that can run out. Editors write a file in several steps, and several
//! files at a time; so a change counts when nothing more has changed for a moment.
//!
//! [`Watch`] is told what was seen and when: it reads no clock and no disk, and [`Snapshot`] reads the disk alone.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// Files of one project that are looked at, at most: a project has tens, and each look costs microseconds a file.
pub const FILES_MAX: usize = 20_000;

/// How deep folders are looked into: deeper than any source is, and bounded where links of a file system go in circles.
const DEPTH_MAX: usize = 32;

/// What builds write, and what nobody edits.
const LEFT_OUT: &[&str] = &["target", "Cargo.lock", "node_modules"];

/// What is known of a file without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    bytes: u64,
    /// `None` where the file system keeps none.
    changed: Option<SystemTime>,
}

/// The files of a folder, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot(BTreeMap<PathBuf, Look>);

impl Snapshot {
    /// Looks at a folder: at every file in it, but for what is hidden, what a build writes (`target`, components, `Cargo.lock`), and links.
    ///
    /// # Errors
    /// The disk's for the folder itself, and [`io::ErrorKind::FileTooLarge`] where it has more than [`FILES_MAX`] files. What goes away
    /// while it is looked at is not there.
    pub fn of(folder: &Path) -> io::Result<Self> {
        let mut found = BTreeMap::new();
        let mut folders = vec![(fs::read_dir(folder)?, 0)];
        while let Some((entries, depth)) = folders.pop() {
            for entry in entries.flatten() {
                let (path, name) = (entry.path(), entry.file_name());
                let is_left_out = name.to_str().is_some_and(|name| name.starts_with('.') || LEFT_OUT.contains(&name));
                let Ok(kind) = entry.file_type() else { continue };
                if is_left_out {
                    continue;
                }
                if kind.is_dir() && depth < DEPTH_MAX {
                    folders.extend(fs::read_dir(&path).ok().map(|entries| (entries, depth + 1)));
                }
                let is_made = path.extension().is_some_and(|extension| extension == "wasm");
                let Some(metadata) = entry.metadata().ok().filter(|_| kind.is_file() && !is_made) else { continue };
                found.insert(path, Look { bytes: metadata.len(), changed: metadata.modified().ok() });
                if found.len() > FILES_MAX {
                    let sentence = format!("it has more than {FILES_MAX} files, which are the most that are watched");
                    return Err(io::Error::new(io::ErrorKind::FileTooLarge, sentence));
                }
            }
        }
        Ok(Self(found))
    }

    /// What is new, gone or another one in a later look, in the order of their paths.
    #[must_use]
    pub fn changes(&self, later: &Self) -> Vec<PathBuf> {
        let other = later.0.iter().filter(|(path, look)| self.0.get(*path) != Some(*look)).map(|(path, _)| path);
        let gone = self.0.keys().filter(|path| !later.0.contains_key(*path));
        let mut changes: Vec<PathBuf> = other.chain(gone).cloned().collect();
        changes.sort();
        changes
    }
}

/// A watch over a folder: what it was when it was last acted upon, and what has changed since.
#[derive(Clone, Debug)]
pub struct Watch {
    /// What was acted upon.
    settled: Snapshot,
    /// What was seen last, and since when it has been so.
    seen: Snapshot,
    since: Duration,
    /// For how long nothing must change.
    quiet: Duration,
}

impl Watch {
    /// A watch that knows of no change, and calls a folder at rest when it was the same for as long as `quiet`.
    #[must_use]
    pub fn new(first: Snapshot, quiet: Duration) -> Self {
        Self { settled: first.clone(), seen: first, since: Duration::ZERO, quiet }
    }

    /// What was seen at a moment of a clock that never goes back. What has changed is told once, when the folder is at rest; nothing where
    /// it is as it was when that was told last, whatever it was in between.
    pub fn see(&mut self, snapshot: Snapshot, now: Duration) -> Option<Vec<PathBuf>> {
        if snapshot != self.seen {
            (self.seen, self.since) = (snapshot, now);
            return None;
        }
        if self.seen == self.settled || now.saturating_sub(self.since) < self.quiet {
            return None;
        }
        let changes = self.settled.changes(&self.seen);
        self.settled.clone_from(&self.seen);
        Some(changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Duration = Duration::from_millis(100);

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn files(files: &[(&str, u64)]) -> Snapshot {
        let look = |bytes| Look { bytes, changed: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(bytes)) };
        Snapshot(files.iter().map(|(path, bytes)| (PathBuf::from(path), look(*bytes))).collect())
    }

    #[test]
    fn a_change_is_told_once_when_nothing_more_changes() {
        let mut watch = Watch::new(files(&[("a", 1)]), QUIET);
        assert_eq!(watch.see(files(&[("a", 1)]), at(0)), None);
        assert_eq!(watch.see(files(&[("a", 2)]), at(50)), None, "it may go on");
        assert_eq!(watch.see(files(&[("a", 3), ("b", 1)]), at(140)), None, "it did");
        assert_eq!(watch.see(files(&[("a", 3), ("b", 1)]), at(239)), None, "it is not at rest yet");
        assert_eq!(watch.see(files(&[("a", 3), ("b", 1)]), at(240)), Some(vec!["a".into(), "b".into()]));
        assert_eq!(watch.see(files(&[("a", 3), ("b", 1)]), at(999)), None, "it was told");
    }

    #[test]
    fn what_goes_away_is_a_change_and_what_comes_back_is_none() {
        let mut watch = Watch::new(files(&[("a", 1), ("b", 1)]), QUIET);
        assert_eq!(watch.see(files(&[("b", 1)]), at(0)), None);
        assert_eq!(watch.see(files(&[("b", 1)]), at(100)), Some(vec!["a".into()]));
        // An editor that writes beside the file and then over it.
        assert_eq!(watch.see(files(&[("b", 1), ("b~", 1)]), at(200)), None);
        assert_eq!(watch.see(files(&[("b", 1)]), at(250)), None);
        assert_eq!(watch.see(files(&[("b", 1)]), at(999)), None, "it is what it was");
    }

    #[test]
    fn a_clock_that_stands_still_or_goes_back_tells_nothing_too_early() {
        let mut watch = Watch::new(files(&[]), QUIET);
        assert_eq!(watch.see(files(&[("a", 1)]), at(500)), None);
        assert_eq!(watch.see(files(&[("a", 1)]), at(400)), None);
        assert_eq!(watch.see(files(&[("a", 1)]), at(600)), Some(vec!["a".into()]));
    }
}
