//! What was decided about one deployment: a state machine over plain data.
//!
//! A *revision* is what its processes are: which bytes, told what, with which grants, for how much. Its number is in the names of its
//! processes, and is never given to another one.
//!
//! | act | where a revision is tried | where none is |
//! | --- | --- | --- |
//! | a changed file | refused, where it changes what processes are | what changes that is a new revision, which everything goes to |
//! | upgrade | a new revision, which everything goes to; the one that was tried is not | a new revision, which everything goes to |
//! | upgrade with a share | another share, or another version in its place | a new revision is tried |
//! | promote | everything goes to it | refused |
//! | rollback | it is tried no more | the revision before comes back; once more, and the other one does |
//!
//! The file is what it was when it was applied last. So the same file changes nothing, whatever version was gone to meanwhile.

use crate::file::Spec;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt};
use thiserror::Error;

/// What this version writes, and reads.
const FORMAT: u32 = 1;

/// A package whose name was resolved: these bytes run, and no others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of its file, in hexadecimal.
    pub digest: String,
}

impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}

/// What processes of a deployment are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revision {
    /// Of all revisions of the deployment, from 1 on.
    pub number: u32,
    /// What runs.
    pub package: Package,
    /// What a replica is told at its start.
    pub task: Option<String>,
    /// Labels of the wants that it gets; all without this.
    pub grants: Option<Vec<String>>,
    /// For how many whole tokens; the manifest's budget without this.
    pub tokens: Option<u64>,
}

/// A revision that a share of new work goes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tried {
    /// Which.
    pub revision: Revision,
    /// Of a hundred messages and runs.
    pub percent: u8,
}

/// What was decided about one deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    format: u32,
    /// When it was first deployed, in seconds since 1970-01-01T00:00:00Z.
    pub began: i64,
    /// The file as it was applied last.
    pub spec: Spec,
    /// What everything goes to, less what is tried.
    pub stable: Revision,
    /// What is tried.
    pub tried: Option<Tried>,
    /// What a rollback brings back.
    pub before: Option<Revision>,
    /// The highest number that a revision has had.
    newest: u32,
    /// Runs that were begun.
    pub runs: u64,
    /// Up to when schedules were looked at, in seconds since 1970-01-01T00:00:00Z.
    pub clock: i64,
    /// Replicas that ended and are not started again: revision and slot.
    pub ended: BTreeSet<(u32, u32)>,
}

/// What applying a file came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// There was none of that name.
    New,
    /// It is as the file says already.
    Unchanged,
    /// What is different, a line for each field.
    Changed(Vec<String>),
}

/// What an act on versions came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upgraded {
    /// A share of new work goes to a version.
    Tried(Package, u8),
    /// Everything goes to a version.
    Stable {
        /// Which.
        now: Package,
        /// Instead of which.
        before: Package,
    },
    /// A version is tried no more.
    Withdrawn {
        /// Which.
        tried: Package,
        /// What everything goes to.
        now: Package,
    },
}

impl fmt::Display for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tried(package, percent) => write!(f, "{percent} of a hundred messages and runs go to {package}"),
            Self::Stable { now, before } if now == before => write!(f, "{now} runs as it did before the last change"),
            Self::Stable { now, before } => write!(f, "everything goes to {now} instead of {before}"),
            Self::Withdrawn { tried, now } => write!(f, "{tried} is tried no more, and everything goes to {now}"),
        }
    }
}

/// An act that makes no sense now.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Undecidable {
    /// What is to be gone to is there.
    #[error("{0} is what everything goes to already")]
    Same(Package),
    /// No version is tried.
    #[error("no version is tried: `remit upgrade NAME@VERSION --canary PERCENT` tries one")]
    NothingTried,
    /// There is nothing before.
    #[error("no version is tried, and none ran before: there is nothing to go back to")]
    NothingBefore,
    /// Two things at once.
    #[error("{0} is tried, and the file changes what its processes are: promote it or roll it back first")]
    Trying(Package),
    /// All or nothing.
    #[error("a share is 1 to 99 of a hundred; without --canary everything goes to the new version")]
    Share,
}

/// What was kept of a deployment and cannot be read.
#[derive(Debug, Error)]
pub enum StateError {
    /// It is no state.
    #[error("what was kept of a deployment cannot be read: {0}")]
    Form(#[from] serde_json::Error),
    /// Another version wrote it.
    #[error("what was kept of a deployment has the format {0}, and this version knows {FORMAT}")]
    Format(u32),
}

impl Deployment {
    /// A deployment of a file, and the package that it names; at a moment in seconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn new(spec: Spec, package: Package, now: i64) -> Self {
        let stable = Revision::of(1, &spec, package);
        let (tried, before, ended) = (None, None, BTreeSet::new());
        Self { format: FORMAT, began: now, spec, stable, tried, before, newest: 1, runs: 0, clock: now, ended }
    }

    /// Reads what [`Deployment::to_json`] wrote.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn of_json(text: &str) -> Result<Self, StateError> {
        let deployment: Self = serde_json::from_str(text)?;
        if deployment.format == FORMAT { Ok(deployment) } else { Err(StateError::Format(deployment.format)) }
    }

    /// The whole of it as text.
    ///
    /// # Errors
    /// [`StateError::Form`], which plain data does not come to.
    pub fn to_json(&self) -> Result<String, StateError> {
        Ok(serde_json::to_string(self)?)
    }

    /// Applies a file that may have changed. `package` is what it names, where it names another one than before.
    ///
    /// # Errors
    /// [`Undecidable::Trying`]; nothing is different then.
    pub fn apply(&mut self, spec: Spec, package: Option<Package>, now: i64) -> Result<Applied, Undecidable> {
        let mut differences = spec.differences(&self.spec);
        if differences.is_empty() {
            return Ok(Applied::Unchanged);
        }
        let package = package.filter(|package| *package != self.stable.package);
        let was = &self.spec;
        let is_other =
            package.is_some() || (&spec.task, &spec.grants, spec.tokens) != (&was.task, &was.grants, was.tokens);
        if is_other {
            if let Some(tried) = &self.tried {
                return Err(Undecidable::Trying(tried.revision.package.clone()));
            }
            if let Some(package) = &package {
                differences.push(format!("runs: {} -> {package}", self.stable.package));
            }
            let package = package.unwrap_or_else(|| self.stable.package.clone());
            let revision = Revision::of(self.next_number(), &spec, package);
            self.go_to(revision);
        }
        if spec.cron != self.spec.cron {
            self.clock = self.clock.max(now);
        }
        self.spec = spec;
        Ok(Applied::Changed(differences))
    }

    /// Goes to another version with everything, or with so many of a hundred messages and runs.
    ///
    /// # Errors
    /// [`Undecidable`]; nothing is different then.
    pub fn upgrade(&mut self, package: Package, percent: Option<u8>) -> Result<Upgraded, Undecidable> {
        if percent.is_some_and(|percent| !(1..=99).contains(&percent)) {
            return Err(Undecidable::Share);
        }
        if package == self.stable.package {
            return Err(Undecidable::Same(package));
        }
        let known = self.tried.take().map(|tried| tried.revision).filter(|revision| revision.package == package);
        let revision = match known {
            Some(revision) => revision,
            None => Revision { number: self.next_number(), package: package.clone(), ..self.stable.clone() },
        };
        match percent {
            Some(percent) => {
                self.tried = Some(Tried { revision, percent });
                self.forget_ended();
                Ok(Upgraded::Tried(package, percent))
            }
            None => Ok(self.go_to(revision)),
        }
    }

    /// Goes to what is tried with everything.
    ///
    /// # Errors
    /// [`Undecidable::NothingTried`].
    pub fn promote(&mut self) -> Result<Upgraded, Undecidable> {
        let tried = self.tried.take().ok_or(Undecidable::NothingTried)?;
        Ok(self.go_to(tried.revision))
    }

    /// Tries no version any more; where none is tried, goes back to what ran before.
    ///
    /// # Errors
    /// [`Undecidable::NothingBefore`].
    pub fn rollback(&mut self) -> Result<Upgraded, Undecidable> {
        if let Some(tried) = self.tried.take() {
            self.forget_ended();
            return Ok(Upgraded::Withdrawn { tried: tried.revision.package, now: self.stable.package.clone() });
        }
        let before = self.before.take().ok_or(Undecidable::NothingBefore)?;
        Ok(self.go_to(before))
    }

    fn go_to(&mut self, revision: Revision) -> Upgraded {
        let now = revision.package.clone();
        let before = std::mem::replace(&mut self.stable, revision);
        let upgraded = Upgraded::Stable { now, before: before.package.clone() };
        self.before = Some(before);
        self.tried = None;
        self.forget_ended();
        upgraded
    }

    const fn next_number(&mut self) -> u32 {
        self.newest = self.newest.saturating_add(1);
        self.newest
    }

    /// What is said of replicas of revisions that have none is of no use, and would keep them from starting if they came back.
    fn forget_ended(&mut self) {
        let (stable, tried) = (self.stable.number, self.tried.as_ref().map(|tried| tried.revision.number));
        self.ended.retain(|(revision, _)| *revision == stable || Some(*revision) == tried);
    }

    /// A revision that new work goes to.
    #[must_use]
    pub fn revision(&self, number: u32) -> Option<&Revision> {
        self.revisions().find(|revision| revision.number == number)
    }

    /// What new work goes to: the stable revision, and the one that is tried.
    pub fn revisions(&self) -> impl Iterator<Item = &Revision> {
        [Some(&self.stable), self.tried.as_ref().map(|tried| &tried.revision)].into_iter().flatten()
    }

    /// What a run is one of, by whether it belongs to the share that is tried.
    #[must_use]
    pub fn revision_of_run(&self, is_tried: bool) -> &Revision {
        self.tried.as_ref().filter(|_| is_tried).map_or(&self.stable, |tried| &tried.revision)
    }

    /// Of a hundred messages and runs, how many go to what is tried.
    #[must_use]
    pub fn percent(&self) -> u8 {
        self.tried.as_ref().map_or(0, |tried| tried.percent)
    }

    /// Which schedules have a moment that was not looked at yet, and the latest one of each: earlier ones, which passed while no host
    /// ran, are not made up for.
    #[must_use]
    pub fn due(&self, now: i64) -> Vec<(usize, i64)> {
        let latest = |(at, cron): (usize, &crate::Cron)| Some((at, cron.schedule.latest(self.clock, now)?));
        self.spec.cron.iter().enumerate().filter_map(latest).collect()
    }
}

impl Revision {
    fn of(number: u32, spec: &Spec, package: Package) -> Self {
        Self { number, package, task: spec.task.clone(), grants: spec.grants.clone(), tokens: spec.tokens }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::parse;
    use proptest::prelude::*;

    pub(crate) fn spec(rest: &str) -> Spec {
        let text = format!("[[deployment]]\nname = \"support\"\npackage = \"clerk\"\n{rest}");
        parse(&text).map(|mut specs| specs.remove(0)).unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) fn version(number: u8) -> Package {
        Package { name: "clerk".to_owned(), version: format!("1.{number}.0"), digest: format!("{number:02x}") }
    }

    fn deployed() -> Deployment {
        Deployment::new(spec("replicas = 2"), version(0), 100)
    }

    #[test]
    fn the_same_file_changes_nothing_and_another_one_what_it_says() {
        let mut deployment = deployed();
        let before = deployment.clone();
        assert_eq!(deployment.apply(spec("replicas = 2"), None, 200), Ok(Applied::Unchanged));
        assert_eq!(deployment, before);
        let applied = deployment.apply(spec("replicas = 3"), None, 200);
        assert_eq!(applied, Ok(Applied::Changed(vec!["replicas: 2 -> 3".to_owned()])));
        assert_eq!((deployment.stable.number, deployment.spec.replicas), (1, 3), "its processes are the same");
        deployment.apply(spec("replicas = 3\ntask = \"Work.\""), None, 200).expect("nothing is tried");
        assert_eq!((deployment.stable.number, deployment.stable.task.as_deref()), (2, Some("Work.")));
        assert_eq!(
            deployment.rollback().map(|done| done.to_string()).as_deref(),
            Ok("clerk@1.0.0 runs as it did before the last change")
        );
        assert_eq!(deployment.apply(spec("replicas = 3\ntask = \"Work.\""), None, 200), Ok(Applied::Unchanged));
        assert_eq!(deployment.stable.task, None, "the same file takes no rollback back");
    }

    #[test]
    fn a_file_that_names_another_package_goes_to_it() {
        let mut deployment = deployed();
        let other = Spec { package: "clerk@1.1.0".to_owned(), ..spec("replicas = 2") };
        let applied = deployment.apply(other.clone(), Some(version(1)), 200);
        let lines = ["package: clerk -> clerk@1.1.0", "runs: clerk@1.0.0 -> clerk@1.1.0"].map(str::to_owned);
        assert_eq!(applied, Ok(Applied::Changed(lines.to_vec())));
        assert_eq!((deployment.stable.number, &deployment.stable.package), (2, &version(1)));
        // The same bytes by another name are no other revision.
        let applied = deployment.apply(spec("replicas = 2"), Some(version(1)), 200);
        assert_eq!(applied, Ok(Applied::Changed(vec!["package: clerk@1.1.0 -> clerk".to_owned()])));
        assert_eq!(deployment.stable.number, 2);
        deployment.upgrade(version(2), Some(10)).expect("it is another one");
        assert_eq!(deployment.apply(other, Some(version(3)), 200), Err(Undecidable::Trying(version(2))));
        deployment.apply(spec("replicas = 9"), None, 200).expect("how many there are is no matter of versions");
    }

    #[test]
    fn a_share_is_tried_promoted_and_taken_back() {
        let mut deployment = deployed();
        assert_eq!(deployment.upgrade(version(0), None), Err(Undecidable::Same(version(0))));
        for percent in [0, 100] {
            assert_eq!(deployment.upgrade(version(1), Some(percent)), Err(Undecidable::Share));
        }
        assert_eq!(deployment.promote(), Err(Undecidable::NothingTried));
        assert_eq!(deployment.rollback(), Err(Undecidable::NothingBefore));
        assert_eq!(deployment.upgrade(version(1), Some(10)), Ok(Upgraded::Tried(version(1), 10)));
        deployment.upgrade(version(1), Some(50)).expect("it is tried on more");
        assert_eq!((deployment.percent(), deployment.revision_of_run(true).number), (50, 2));
        assert_eq!(deployment.revision_of_run(false).number, 1);
        let withdrawn = Upgraded::Withdrawn { tried: version(1), now: version(0) };
        assert_eq!(deployment.rollback(), Ok(withdrawn));
        deployment.upgrade(version(1), Some(10)).expect("it is another one");
        assert_eq!(deployment.promote(), Ok(Upgraded::Stable { now: version(1), before: version(0) }));
        assert_eq!((deployment.stable.number, deployment.percent()), (3, 0));
        assert_eq!(deployment.rollback(), Ok(Upgraded::Stable { now: version(0), before: version(1) }));
        assert_eq!(deployment.rollback(), Ok(Upgraded::Stable { now: version(1), before: version(0) }));
        assert_eq!(deployment.upgrade(version(2), None), Ok(Upgraded::Stable { now: version(2), before: version(1) }));
    }

    #[test]
    fn a_moment_is_due_once_and_only_the_latest_one() {
        let minutely = "[[deployment.cron]]\nschedule = \"* * * * *\"\ntask = \"x\"";
        let mut deployment = Deployment::new(spec(minutely), version(0), 90);
        assert_eq!(deployment.due(119), []);
        assert_eq!(deployment.due(120), [(0, 120)]);
        assert_eq!(deployment.due(3601), [(0, 3600)], "what passed while nobody looked is made up for once");
        deployment.clock = 3601;
        assert_eq!((deployment.due(3601), deployment.due(10)), (vec![], vec![]), "also where the clock is set back");
        let both = format!("{minutely}\n[[deployment.cron]]\nschedule = \"0 * * * *\"\ntask = \"y\"");
        deployment.apply(spec(&both), None, 7230).expect("nothing is tried");
        assert_eq!(deployment.due(7230), [], "a new schedule has no past");
        assert_eq!(deployment.due(10_800), [(0, 10_800), (1, 10_800)]);
    }

    #[test]
    fn what_another_version_kept_is_refused() {
        let text = deployed().to_json().expect("it is plain data");
        assert!(
            Deployment::of_json(&text.replacen("\"format\":1", "\"format\":2", 1))
                .is_err_and(|error| error.to_string().contains("format 2"))
        );
        assert!(Deployment::of_json(&text.replacen("\"runs\"", "\"walks\"", 1)).is_err());
    }

    proptest! {
        /// Whatever is done in whatever order: a number is one revision's for ever, and what was kept is read back as it was.
        #[test]
        fn a_number_is_given_once(acts in prop::collection::vec((0_u8..6, 0_u8..4, 0_u8..101), 0..60)) {
            let mut deployment = deployed();
            let mut known = std::collections::BTreeMap::from([(1, deployment.stable.clone())]);
            for (act, number, percent) in acts {
                let before = deployment.clone();
                let done = match act {
                    0 => deployment.upgrade(version(number), None).is_ok(),
                    1 => deployment.upgrade(version(number), Some(percent)).is_ok(),
                    2 => deployment.promote().is_ok(),
                    3 => deployment.rollback().is_ok(),
                    4 => deployment.apply(spec(&format!("tokens = {}", number + 1)), None, 5).is_ok(),
                    _ => deployment.ended.insert((deployment.stable.number, 1)),
                };
                if !done {
                    prop_assert_eq!(&deployment, &before, "who is refused changes nothing");
                }
                for revision in deployment.revisions().chain(&deployment.before) {
                    prop_assert_eq!(known.entry(revision.number).or_insert_with(|| revision.clone()), revision);
                }
                let used: Vec<_> = deployment.revisions().map(|revision| revision.number).collect();
                prop_assert!(deployment.ended.iter().all(|(revision, _)| used.contains(revision)));
                let text = deployment.to_json().expect("it is plain data");
                prop_assert_eq!(Deployment::of_json(&text).expect("it was written just now"), deployment.clone());
            }
        }
    }
}
