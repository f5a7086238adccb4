//! What a run writes down, in a store of its own: a head, whose number is the run's, and one entry for each step, which is there before the
//! step is done and says afterwards what came of it. Beside them lies a mark of how far the store was gone through.
//!
//! A step's text is lines that programs and people read:
//!
//! | line | says |
//! | --- | --- |
//! | `merge`, `summary`, `facts` | what the step is |
//! | `kept m12 3 4` | the entry m12, whose version was 3, stands for the others as version 4 |
//! | `gone m15 1` | the entry m15, whose version was 1, is forgotten |
//! | `made m31` | an entry that is new |
//! | `of m1-m9/9` | of which episode |
//! | `done` | it was done; without it, it may have been |

use remit::memory::EntryId;

/// What a step changed of what was there, or made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Kept { entry: EntryId, before: u32, after: u32 },
    Gone { entry: EntryId, version: u32 },
    Made { entry: EntryId },
}

/// What a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Merge,
    Summary,
    Facts,
}

/// One step of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) kind: Kind,
    pub(crate) changes: Vec<Change>,
    pub(crate) episode: Option<String>,
    pub(crate) is_done: bool,
}

impl Step {
    pub(crate) const fn new(kind: Kind) -> Self {
        Self { kind, changes: Vec::new(), episode: None, is_done: false }
    }

    pub(crate) fn written(&self) -> String {
        let mut lines = vec![
            match self.kind {
                Kind::Merge => "merge",
                Kind::Summary => "summary",
                Kind::Facts => "facts",
            }
            .to_owned(),
        ];
        lines.extend(self.episode.iter().map(|episode| format!("of {episode}")));
        lines.extend(self.changes.iter().map(|change| match change {
            Change::Kept { entry, before, after } => format!("kept m{entry} {before} {after}"),
            Change::Gone { entry, version } => format!("gone m{entry} {version}"),
            Change::Made { entry } => format!("made m{entry}"),
        }));
        if self.is_done {
            lines.push("done".to_owned());
        }
        lines.join("\n")
    }

    /// None where the text is no step.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let mut step = Self::new(match lines.next()? {
            "merge" => Kind::Merge,
            "summary" => Kind::Summary,
            "facts" => Kind::Facts,
            _ => return None,
        });
        for line in lines {
            let words: Vec<_> = line.split(' ').collect();
            match words.as_slice() {
                ["kept", name, before, after] => {
                    let (before, after) = (before.parse().ok()?, after.parse().ok()?);
                    step.changes.push(Change::Kept { entry: entry(name)?, before, after });
                }
                ["gone", name, version] => {
                    step.changes.push(Change::Gone { entry: entry(name)?, version: version.parse().ok()? });
                }
                ["made", name] => step.changes.push(Change::Made { entry: entry(name)? }),
                ["of", episode] => step.episode = Some((*episode).to_owned()),
                ["done"] => step.is_done = true,
                _ => return None,
            }
        }
        Some(step)
    }
}

/// An entry as people name it: `m12`.
pub(crate) fn entry(text: &str) -> Option<EntryId> {
    text.strip_prefix('m')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_reads_as_it_was_written() {
        let mut step = Step::new(Kind::Merge);
        step.changes = vec![
            Change::Kept { entry: 12, before: 3, after: 4 },
            Change::Gone { entry: 15, version: 1 },
            Change::Made { entry: u64::MAX },
        ];
        for kind in [Kind::Merge, Kind::Summary, Kind::Facts] {
            for is_done in [false, true] {
                let step = Step { kind, is_done, episode: Some("m1-m9/9".to_owned()), ..step.clone() };
                assert_eq!(Step::read(&step.written()), Some(step));
            }
        }
        assert_eq!(step.written(), "merge\nkept m12 3 4\ngone m15 1\nmade m18446744073709551615");
        for wrong in ["", "burn", "merge\nkept m1", "merge\nkept 1 2 3", "merge\ngone m1 x", "facts\nmade mm"] {
            assert_eq!(Step::read(wrong), None, "{wrong:?}");
        }
    }
}
