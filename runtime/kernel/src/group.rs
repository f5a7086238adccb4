//! Processes that share a name: a message to the group goes to one of them.
//!
//! The members are told by what their own names begin with. They take turns. Where a share of the messages is for some of them, it is that
//! share of any hundred in a row, and where one of the two sides has nobody, the other one gets all.

use crate::kernel::Kernel;
use remit_abi::TenantId;
use std::sync::atomic::{AtomicU64, Ordering};

/// Whose turn it is in one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// What the names of its members begin with.
    pub members: Box<str>,
    /// What the names of those begin with that a share is for, and how many of a hundred messages that is.
    pub tried: Option<(Box<str>, u8)>,
}

/// A group, and how many messages it has had.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    pub(crate) group: Group,
    turn: AtomicU64,
}

impl Turns {
    /// Whose turn it is of these members, which are in the order of their names.
    pub(crate) fn next<'m, T: Copy + 'm>(&self, members: impl Iterator<Item = (&'m str, T)>) -> Option<T> {
        let Group { tried, .. } = &self.group;
        let is_tried = |name: &str| tried.as_ref().is_some_and(|(prefix, _)| name.starts_with(&**prefix));
        let (tried_ones, others): (Vec<_>, Vec<_>) = members.partition(|(name, _)| is_tried(name));
        let percent = tried.as_ref().map_or(0, |(_, percent)| *percent);
        let (of_tried, place) =
            chosen(self.turn.fetch_add(1, Ordering::Relaxed), percent, tried_ones.len(), others.len())?;
        let side = if of_tried { tried_ones } else { others };
        side.get(place).map(|(_, member)| *member)
    }
}

/// How many of the first turns belong to a share of a hundred.
const fn belonging(turns: u64, percent: u64) -> u64 {
    // Whole hundreds apart, so that no product is too large.
    (turns / 100).wrapping_mul(percent).wrapping_add(turns % 100 * percent / 100)
}

/// Whether a turn, counted from 0 on, belongs to a share of a hundred: exactly so many of any hundred turns in a row do.
#[must_use]
pub const fn is_in_share(turn: u64, percent: u8) -> bool {
    let percent = if percent > 100 { 100 } else { percent } as u64;
    (turn % 100 + 1) * percent / 100 > turn % 100 * percent / 100
}

/// Whose turn it is: whether one of those that a share is for, and which one of them.
fn chosen(turn: u64, percent: u8, tried: usize, others: usize) -> Option<(bool, usize)> {
    let of_tried = (is_in_share(turn, percent) && tried > 0) || others == 0;
    let before = belonging(turn, percent.min(100).into());
    let (nth, count) = if of_tried { (before, tried) } else { (turn.wrapping_sub(before), others) };
    // Where one side gets all, its own turns do not say who is next.
    let nth = if tried == 0 || others == 0 { turn } else { nth };
    let place = nth.checked_rem(count as u64)?;
    Some((of_tried, usize::try_from(place).ok()?))
}

impl Kernel {
    /// Has messages to a name go to the members of a group, or to nobody but a process of that name. How many messages it has had is
    /// not forgotten where it changes.
    pub fn set_group(&self, tenant: TenantId, name: &str, group: Option<Group>) {
        self.shared.table.write().set_group(tenant, name, group);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn members_take_turns() {
        let turns =
            Turns { group: Group { members: "s#".into(), tried: Some(("s#2.".into(), 50)) }, ..Turns::default() };
        let members = [("s#1.1", 11), ("s#1.2", 12), ("s#2.1", 21)];
        let got: Vec<_> = (0..6).filter_map(|_| turns.next(members.into_iter())).collect();
        assert_eq!(got, [11, 21, 12, 21, 11, 21]);
        assert_eq!(turns.next([("s#2.1", 21)].into_iter()), Some(21), "the share is for whoever is there");
        assert_eq!(turns.next([("s#1.1", 11)].into_iter()), Some(11));
        assert_eq!(turns.next(std::iter::empty::<(&str, u32)>()), None);
    }

    proptest! {
        #[test]
        fn a_share_is_exact_in_any_hundred(start in any::<u32>(), percent in 0_u8..=100) {
            let start = u64::from(start);
            let count = (start..start + 100).filter(|turn| is_in_share(*turn, percent)).count();
            prop_assert_eq!(count, usize::from(percent));
        }

        /// Nobody is passed over: between two turns of a member all others of its side have had one.
        #[test]
        fn nobody_is_passed_over(start in 0_u64..1_000_000, percent in 0_u8..=100, tried in 0_usize..5, others in 0_usize..5) {
            let all: Vec<_> = (start..start + 600).map(|turn| chosen(turn, percent, tried, others)).collect();
            if tried + others == 0 {
                prop_assert!(all.iter().all(Option::is_none));
                return Ok(());
            }
            for (side, count) in [(true, tried), (false, others)] {
                let places: Vec<_> = all.iter().flatten().filter(|(of, _)| *of == side).map(|(_, place)| *place).collect();
                for (one, next) in places.iter().zip(places.iter().skip(1)) {
                    prop_assert!(*next == (one + 1) % count, "{places:?}");
                }
            }
        }
    }
}
