//! The names of a deployment's processes. They are no names that a grant could have, so that nobody writes to one of them past the
//! deployment, and everything that is to be known of a process is in its name.
//!
//! | name | is |
//! | --- | --- |
//! | `support#3.1` | the first replica of revision 3 |
//! | `support!3.cron0.29923445` | a run of revision 3 that the first schedule began in that minute since 1970 |
//! | `support!3.run17` | the run with number 17 |

use std::{fmt, str::FromStr};

/// Stands between a deployment's name and the numbers of a replica.
const REPLICA: char = '#';

/// Stands between a deployment's name and what began a run.
const RUN: char = '!';

/// A replica.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// Whose.
    pub deployment: String,
    /// Of which revision.
    pub revision: u32,
    /// Which, from 1 on.
    pub slot: u32,
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{REPLICA}{}.{}", self.deployment, self.revision, self.slot)
    }
}

impl FromStr for Member {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (deployment, numbers) = text.split_once(REPLICA).ok_or(())?;
        let (revision, slot) = numbers.split_once('.').ok_or(())?;
        let member = Self {
            deployment: deployment.to_owned(),
            revision: revision.parse().map_err(|_| ())?,
            slot: slot.parse().map_err(|_| ())?,
        };
        // One spelling for each.
        (member.to_string() == text).then_some(member).ok_or(())
    }
}

/// What the names of a revision's replicas begin with.
#[must_use]
pub fn group_of(deployment: &str, revision: u32) -> String {
    format!("{deployment}{REPLICA}{revision}.")
}

/// The name of a run: what began it stands behind the revision.
#[must_use]
pub fn run_name(deployment: &str, revision: u32, begun_by: &str) -> String {
    format!("{deployment}{RUN}{revision}.{begun_by}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_replica() {
        let member = Member { deployment: "support".to_owned(), revision: 3, slot: 12 };
        assert_eq!(member.to_string().parse(), Ok(member.clone()));
        assert!(member.to_string().starts_with(&group_of("support", 3)));
        assert!(!member.to_string().starts_with(&group_of("support", 31)));
        for other in ["support", "support#3", "support#3.x", "support#03.1", "support#3.1.1", "support!3.run1", "#"] {
            assert_eq!(other.parse::<Member>(), Err(()), "{other}");
        }
    }
}
