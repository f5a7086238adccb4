//! Versions of one route, and which is which: a pure state machine over texts and numbers.
//!
//! | act | where a version is tried | where none is |
//! | --- | --- | --- |
//! | set-canary | the text is tried in its place, or on another share | the text is tried |
//! | promote | it becomes the stable one | the text does |
//! | rollback | it is tried no more | the stable one before comes back |
//!
//! A text that was kept before keeps its number. A number is never given to another text.

use remit_kernel::routing::arm::{SHARE_WHOLE, Subject};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};
use thiserror::Error;

/// Versions of one route that are kept, at most: who goes back further writes it down again.
const VERSIONS_MAX: usize = 50;

/// What was decided about all routes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    #[serde(rename = "route", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) routes: BTreeMap<String, Kept>,
}

impl State {
    /// What cannot be, although it is well-formed.
    pub(super) fn check(&self) -> Result<(), String> {
        for (name, kept) in &self.routes {
            let named = [kept.stable].into_iter().chain(kept.before.iter().copied());
            let named = named.chain(kept.candidate.as_ref().map(|tried| tried.version));
            if let Some(missing) = named.into_iter().find(|number| kept.text(*number).is_none()) {
                return Err(format!("the route {name} has no version {missing}, and uses it"));
            }
            if kept.candidate.as_ref().is_some_and(|tried| tried.share_per_mille > SHARE_WHOLE) {
                return Err(format!("the route {name} is tried on more than everybody"));
            }
        }
        Ok(())
    }
}

/// A text that was in effect, or is tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptVersion {
    number: u32,
    text: String,
}

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tried {
    pub(super) version: u32,
    pub(super) share_per_mille: u16,
    pub(super) by: Subject,
}

/// What was decided about one route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    stable: u32,
    /// The highest number that was given.
    newest: u32,
    /// What was stable, the latest last.
    #[serde(default)]
    before: Vec<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    candidate: Option<Tried>,
    #[serde(rename = "version")]
    versions: Vec<KeptVersion>,
}

/// What an act came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A version is tried.
    Tried {
        /// Which.
        version: u32,
        /// On how many of a thousand.
        share_per_mille: u16,
    },
    /// Everybody gets a version.
    Promoted {
        /// Which.
        version: u32,
        /// Instead of which.
        instead_of: u32,
    },
    /// A version is tried no more.
    Withdrawn {
        /// Which.
        version: u32,
        /// What everybody gets.
        stable: u32,
    },
    /// Everybody gets an earlier version.
    RolledBack {
        /// Which.
        version: u32,
        /// Instead of which.
        instead_of: u32,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tried { version, share_per_mille } => {
                write!(f, "version {version} is tried on {share_per_mille} of a thousand")
            }
            Self::Promoted { version, instead_of } => {
                write!(f, "everybody gets version {version} instead of {instead_of}")
            }
            Self::Withdrawn { version, stable } => {
                write!(f, "version {version} is tried no more, and everybody gets version {stable}")
            }
            Self::RolledBack { version, instead_of } => {
                write!(f, "everybody gets version {version} again instead of {instead_of}")
            }
        }
    }
}

/// An act that makes no sense now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Undecidable {
    /// What is to be tried is what everybody gets.
    #[error("routes.toml says what everybody gets already: change it first")]
    NothingNew,
    /// There is nothing before.
    #[error("no version is tried, and none was in effect before: there is nothing to go back to")]
    NothingBefore,
    /// More than everybody.
    #[error("a share is 1 to 1000 of a thousand")]
    Share,
}

impl Kept {
    /// The first version of a name.
    pub(super) fn first(text: String) -> Self {
        let versions = vec![KeptVersion { number: 1, text }];
        Self { stable: 1, newest: 1, before: Vec::new(), candidate: None, versions }
    }

    pub(super) const fn stable(&self) -> u32 {
        self.stable
    }

    pub(super) const fn candidate(&self) -> Option<Tried> {
        self.candidate
    }

    /// What a rollback of the stable version would bring back.
    pub(super) fn before(&self) -> Option<u32> {
        self.before.last().copied()
    }

    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> {
        self.versions.iter().map(|version| version.number)
    }

    pub(super) fn text(&self, number: u32) -> Option<&str> {
        self.versions.iter().find(|version| version.number == number).map(|version| &*version.text)
    }

    /// Whether a text is in effect or tried.
    pub(super) fn uses(&self, text: &str) -> bool {
        let tried = self.candidate.map(|tried| tried.version);
        [Some(self.stable), tried].into_iter().flatten().any(|number| self.text(number) == Some(text))
    }

    /// The number of a text, which is kept.
    fn number_of(&mut self, text: String) -> u32 {
        if let Some(version) = self.versions.iter().find(|version| version.text == text) {
            return version.number;
        }
        self.newest += 1;
        self.versions.push(KeptVersion { number: self.newest, text });
        self.newest
    }

    pub(super) fn set_canary(
        &mut self,
        text: String,
        share_per_mille: u16,
        by: Subject,
    ) -> Result<Change, Undecidable> {
        if !(1..=SHARE_WHOLE).contains(&share_per_mille) {
            return Err(Undecidable::Share);
        }
        if self.text(self.stable) == Some(&text) {
            return Err(Undecidable::NothingNew);
        }
        let version = self.number_of(text);
        self.candidate = Some(Tried { version, share_per_mille, by });
        self.forget();
        Ok(Change::Tried { version, share_per_mille })
    }

    pub(super) fn promote(&mut self, text: String) -> Result<Change, Undecidable> {
        let version = match self.candidate.take() {
            Some(tried) => tried.version,
            None if self.text(self.stable) == Some(&text) => return Err(Undecidable::NothingNew),
            None => self.number_of(text),
        };
        let instead_of = std::mem::replace(&mut self.stable, version);
        self.before.push(instead_of);
        self.forget();
        Ok(Change::Promoted { version, instead_of })
    }

    pub(super) fn rollback(&mut self) -> Result<Change, Undecidable> {
        if let Some(Tried { version, .. }) = self.candidate.take() {
            return Ok(Change::Withdrawn { version, stable: self.stable });
        }
        let version = self.before.pop().ok_or(Undecidable::NothingBefore)?;
        let instead_of = std::mem::replace(&mut self.stable, version);
        Ok(Change::RolledBack { version, instead_of })
    }

    /// Keeps no more versions than there may be: the oldest go first that are neither in effect nor tried.
    fn forget(&mut self) {
        let needed = [Some(self.stable), self.candidate.map(|tried| tried.version)];
        while self.versions.len() > VERSIONS_MAX {
            let oldest = self.versions.iter().position(|version| !needed.contains(&Some(version.number)));
            let Some(oldest) = oldest else { return };
            let KeptVersion { number, .. } = self.versions.remove(oldest);
            self.before.retain(|before| *before != number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BY: Subject = Subject::Process;

    fn kept() -> Kept {
        Kept::first("one".to_owned())
    }

    #[test]
    fn what_is_tried_becomes_everybodys_and_a_rollback_takes_it_back() {
        let mut kept = kept();
        assert_eq!(kept.set_canary("one".to_owned(), 50, BY), Err(Undecidable::NothingNew));
        assert_eq!(kept.set_canary("two".to_owned(), 0, BY), Err(Undecidable::Share));
        assert_eq!(kept.set_canary("two".to_owned(), 1001, BY), Err(Undecidable::Share));
        let tried = |share_per_mille| Ok(Change::Tried { version: 2, share_per_mille });
        assert_eq!(kept.set_canary("two".to_owned(), 50, BY), tried(50));
        assert_eq!(kept.set_canary("two".to_owned(), 500, BY), tried(500));
        assert_eq!((kept.stable(), kept.candidate().map(|tried| tried.share_per_mille)), (1, Some(500)));
        assert_eq!(kept.promote("three".to_owned()), Ok(Change::Promoted { version: 2, instead_of: 1 }));
        assert_eq!((kept.stable(), kept.candidate(), kept.before()), (2, None, Some(1)));
        assert_eq!(kept.rollback(), Ok(Change::RolledBack { version: 1, instead_of: 2 }));
        assert_eq!(kept.rollback(), Err(Undecidable::NothingBefore));
    }

    #[test]
    fn a_rollback_withdraws_what_is_tried_first() {
        let mut kept = kept();
        kept.promote("two".to_owned()).expect("it is new");
        kept.set_canary("three".to_owned(), 10, BY).expect("it is new");
        assert_eq!(kept.rollback(), Ok(Change::Withdrawn { version: 3, stable: 2 }));
        assert_eq!(kept.rollback(), Ok(Change::RolledBack { version: 1, instead_of: 2 }));
    }

    #[test]
    fn a_text_keeps_its_number_and_no_number_is_given_twice() {
        let mut kept = kept();
        kept.promote("two".to_owned()).expect("it is new");
        assert_eq!(kept.promote("two".to_owned()), Err(Undecidable::NothingNew));
        assert_eq!(kept.promote("one".to_owned()), Ok(Change::Promoted { version: 1, instead_of: 2 }));
        assert_eq!(kept.promote("three".to_owned()), Ok(Change::Promoted { version: 3, instead_of: 1 }));
        assert!(kept.uses("three") && !kept.uses("two"));
    }

    #[test]
    fn so_many_versions_are_kept_and_those_in_use_are_among_them() {
        let mut kept = kept();
        for version in 0..3 * VERSIONS_MAX {
            kept.promote(format!("text {version}")).expect("it is new");
            let state = State { routes: [("r".to_owned(), kept.clone())].into() };
            assert_eq!(state.check(), Ok(()));
            assert!(kept.versions.len() <= VERSIONS_MAX);
        }
        let mut back = 0;
        while kept.rollback().is_ok() {
            back += 1;
            assert!(kept.text(kept.stable()).is_some());
        }
        assert_eq!(back, VERSIONS_MAX - 1);
    }

    #[test]
    fn a_state_that_uses_what_is_not_kept_is_none() {
        let text = "[route.r]\nstable = 2\nnewest = 2\n[[route.r.version]]\nnumber = 1\ntext = 'x'";
        let state: State = toml::from_str(text).expect("it is well-formed");
        assert_eq!(state.check(), Err("the route r has no version 2, and uses it".to_owned()));
        assert!(toml::from_str::<State>("[route.r]\nstabel = 2").is_err());
    }
}
