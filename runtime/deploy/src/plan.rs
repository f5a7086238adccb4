//! Which replicas are to be started, and which are to end, by what is wanted and who lives. Whoever does it asks again: each answer follows
//! from the moment alone.
//!
//! Principles:
//!
//! - No replica ends before all those of the stable revision are there, so that messages always have a receiver, and a version that does
//!   not start takes none away.
//! - A replica that did its work is in its place for this rule, although nobody starts it again.

use crate::{
    file::{Restart, RestartPolicy},
    member::Member,
    state::Deployment,
};
use std::collections::{BTreeMap, BTreeSet};

/// Something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    /// A replica is to be started.
    Start {
        /// Of which revision.
        revision: u32,
        /// Which.
        slot: u32,
    },
    /// A replica is to end.
    End {
        /// Of which revision.
        revision: u32,
        /// Which.
        slot: u32,
    },
}

impl Deployment {
    /// How many replicas of a revision there are to be: of what is tried its share, and one at least.
    #[must_use]
    pub fn replicas_of(&self, revision: u32) -> u32 {
        let all = self.spec.replicas;
        match &self.tried {
            _ if revision == self.stable.number => all,
            Some(tried) if revision == tried.revision.number => {
                let share = (all.saturating_mul(tried.percent.into()).saturating_add(50)) / 100;
                share.max(1).min(all)
            }
            _ => 0,
        }
    }

    /// Every replica that there is to be, also those that did their work: revision and slot.
    fn wanted(&self) -> BTreeSet<(u32, u32)> {
        let slots = |number: u32| (1..=self.replicas_of(number)).map(move |slot| (number, slot));
        self.revisions().flat_map(|revision| slots(revision.number)).collect()
    }
}

/// What is to be done now, where these replicas live, as revision and slot.
#[must_use]
pub fn plan(deployment: &Deployment, living: &BTreeSet<(u32, u32)>) -> Vec<Act> {
    let wanted = deployment.wanted();
    let missing: Vec<_> =
        wanted.difference(living).copied().filter(|replica| !deployment.ended.contains(replica)).collect();
    let stands = missing.iter().all(|(revision, _)| *revision != deployment.stable.number);
    let ends = living.difference(&wanted).filter(|_| stands);
    let ends = ends.map(|&(revision, slot)| Act::End { revision, slot });
    missing.iter().map(|&(revision, slot)| Act::Start { revision, slot }).chain(ends).collect()
}

impl Restart {
    /// Whether another process takes the place of one that has ended.
    #[must_use]
    pub const fn again(&self, did_its_work: bool) -> bool {
        match self.policy {
            RestartPolicy::Always => true,
            RestartPolicy::OnFailure => !did_its_work,
            RestartPolicy::Never => false,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Pause {
    ms: u64,
    until_ms: u64,
}

/// Pauses before replicas are started again: they double, and begin anew behind a process that lived for long. Moments are milliseconds
/// of a clock that is never set.
#[derive(Debug, Default)]
pub struct Pauses(BTreeMap<Member, Pause>);

impl Pauses {
    /// Whether a replica may be started.
    #[must_use]
    pub fn are_over(&self, member: &Member, now_ms: u64) -> bool {
        self.0.get(member).is_none_or(|pause| pause.until_ms <= now_ms)
    }

    /// A replica ended, or was not to be started; how long it has lived. The pause that follows.
    pub fn begin(&mut self, member: &Member, restart: &Restart, lived_ms: u64, now_ms: u64) -> u64 {
        let last = self.0.get(member).filter(|_| lived_ms < restart.backoff_max_ms);
        let ms = last.map_or(restart.backoff_ms, |last| last.ms.saturating_mul(2).min(restart.backoff_max_ms));
        self.0.insert(member.clone(), Pause { ms, until_ms: now_ms.saturating_add(ms) });
        ms
    }

    /// Forgets those of replicas that nobody wants any more.
    pub fn keep(&mut self, is_wanted: impl Fn(&Member) -> bool) {
        self.0.retain(|member, _| is_wanted(member));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::tests::{spec, version};
    use proptest::prelude::*;

    fn deployed(replicas: u32) -> Deployment {
        Deployment::new(spec(&format!("replicas = {replicas}")), version(0), 0)
    }

    fn start(revision: u32, slot: u32) -> Act {
        Act::Start { revision, slot }
    }

    fn end(revision: u32, slot: u32) -> Act {
        Act::End { revision, slot }
    }

    fn check(deployment: &Deployment, living: &[(u32, u32)], expect: &[Act]) {
        assert_eq!(plan(deployment, &living.iter().copied().collect()), expect);
    }

    #[test]
    fn what_is_missing_is_started_and_what_is_too_much_ends() {
        let mut deployment = deployed(2);
        check(&deployment, &[], &[start(1, 1), start(1, 2)]);
        check(&deployment, &[(1, 2)], &[start(1, 1)]);
        check(&deployment, &[(1, 1), (1, 2)], &[]);
        deployment.spec.replicas = 1;
        check(&deployment, &[(1, 1), (1, 2)], &[end(1, 2)]);
        deployment.ended.insert((1, 1));
        check(&deployment, &[], &[]);
    }

    #[test]
    fn an_earlier_revision_stays_until_the_new_one_is_there() {
        let mut deployment = deployed(2);
        deployment.upgrade(version(1), None).expect("it is another one");
        check(&deployment, &[(1, 1), (1, 2)], &[start(2, 1), start(2, 2)]);
        check(&deployment, &[(1, 1), (1, 2), (2, 1)], &[start(2, 2)]);
        check(&deployment, &[(1, 1), (1, 2), (2, 1), (2, 2)], &[end(1, 1), end(1, 2)]);
        deployment.ended.extend([(2, 1), (2, 2)]);
        check(&deployment, &[(1, 1)], &[end(1, 1)]);
    }

    #[test]
    fn what_is_tried_has_its_share_of_replicas() {
        for (replicas, percent, expect) in [(0, 50, 0), (1, 1, 1), (10, 1, 1), (10, 25, 3), (10, 99, 10), (100, 7, 7)] {
            let mut deployment = deployed(replicas);
            deployment.upgrade(version(1), Some(percent)).expect("it is another one");
            assert_eq!(deployment.replicas_of(2), expect, "{percent} of {replicas}");
            assert_eq!(deployment.replicas_of(1), replicas);
        }
        let mut deployment = deployed(1);
        deployment.upgrade(version(1), Some(10)).expect("it is another one");
        check(&deployment, &[(1, 1)], &[start(2, 1)]);
        deployment.promote().expect("it is tried");
        check(&deployment, &[(1, 1), (2, 1)], &[end(1, 1)]);
        let mut deployment = deployed(1);
        deployment.upgrade(version(1), Some(10)).expect("it is another one");
        deployment.rollback().expect("it is tried");
        check(&deployment, &[(1, 1), (2, 1)], &[end(2, 1)]);
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew() {
        let (restart, mut pauses) =
            (Restart { backoff_ms: 1000, backoff_max_ms: 5000, ..Restart::default() }, Pauses::default());
        let member = Member { deployment: "support".to_owned(), revision: 1, slot: 1 };
        let other = Member { slot: 2, ..member.clone() };
        let got: Vec<_> = (0..4).map(|_| pauses.begin(&member, &restart, 0, 100)).collect();
        assert_eq!(got, [1000, 2000, 4000, 5000]);
        assert!(!pauses.are_over(&member, 5099) && pauses.are_over(&member, 5100) && pauses.are_over(&other, 0));
        assert_eq!(pauses.begin(&member, &restart, 5000, 6000), 1000);
        pauses.keep(|_| false);
        assert!(pauses.are_over(&member, 0));
    }

    #[test]
    fn a_policy_says_after_which_ends() {
        for (policy, expect) in [
            (RestartPolicy::Always, [true, true]),
            (RestartPolicy::OnFailure, [false, true]),
            (RestartPolicy::Never, [false, false]),
        ] {
            let restart = Restart { policy, ..Restart::default() };
            assert_eq!([true, false].map(|did| restart.again(did)), expect, "{policy:?}");
        }
    }

    proptest! {
        /// Whatever was decided and whoever lives: who does what the plan says comes to what is wanted, and on the way there are never
        /// fewer receivers than there were, or than there are to be.
        #[test]
        fn a_plan_comes_to_what_is_wanted(
            replicas in 0_u32..6,
            acts in prop::collection::vec((0_u8..4, 0_u8..3, 1_u8..100), 0..8),
            mut living in prop::collection::btree_set((1_u32..6, 1_u32..8), 0..12),
            order in prop::collection::vec(any::<prop::sample::Index>(), 80),
        ) {
            let mut deployment = deployed(replicas);
            for (act, number, percent) in acts {
                let _refused = match act {
                    0 => deployment.upgrade(version(number), None),
                    1 => deployment.upgrade(version(number), Some(percent)),
                    2 => deployment.promote(),
                    _ => deployment.rollback(),
                };
            }
            let least = living.len().min(replicas as usize);
            for turn in &order {
                let acts = plan(&deployment, &living);
                if acts.is_empty() {
                    break;
                }
                match *turn.get(&acts) {
                    Act::Start { revision, slot } => prop_assert!(living.insert((revision, slot))),
                    Act::End { revision, slot } => prop_assert!(living.remove(&(revision, slot))),
                }
                prop_assert!(living.len() >= least, "{:?} are fewer than {}", living, least);
            }
            prop_assert_eq!(&living, &deployment.wanted());
        }
    }
}
