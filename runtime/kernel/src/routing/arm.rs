//! Who gets the new version of a route, and who the old: by a hash, so that whoever asks twice is answered alike.
//!
//! The hash is of the route, the experiment (the candidate's number) and the subject. Another experiment divides the same
//! subjects otherwise. A subject has one place among a thousand, and a share takes the places below it: whoever is in the
//! candidate's arm stays in it while the share grows.

use super::turns::split_mix;
use remit_abi::Pid;
use serde::{Deserialize, Serialize};

/// What keeps its arm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// Each process: an agent's whole work is answered by one version.
    #[default]
    Process,
    /// Each tenant.
    Tenant,
}

/// The whole, of which a share is a part.
pub const SHARE_WHOLE: u16 = 1000;

/// A place from 0 to 999, the same for the same route, experiment and subject.
///
/// FNV-1a with 64 bits (Fowler, Noll, Vo; draft-eastlake-fnv), over texts that no other names give, and a last mix, since the low
/// bits of FNV alone are poor.
#[must_use]
pub fn place(route: &str, experiment: u32, by: Subject, pid: Pid) -> u16 {
    let subject = match by {
        Subject::Process => pid.to_string(),
        Subject::Tenant => pid.tenant.to_string(),
    };
    // A name has no spaces.
    let text = format!("{route} {experiment} {subject}");
    let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, fnv);
    // Below the whole; that 2^64 is no multiple of it is off by less than 1e-16.
    (split_mix(hash) % u64::from(SHARE_WHOLE)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use remit_abi::TenantId;

    fn pid(tenant: u32, index: u32) -> Pid {
        Pid { tenant: TenantId(tenant), index, generation: 1 }
    }

    #[test]
    fn a_place_is_the_same_in_every_build_and_on_every_machine() {
        let by = Subject::Process;
        assert_eq!(place("assist", 2, by, pid(0, 3)), place("assist", 2, by, pid(0, 3)));
        let places: Vec<_> = (0..4).map(|index| place("assist", 2, by, pid(0, index))).collect();
        assert_eq!(places, PLACES, "an assignment that moves with the build is none");
    }

    /// Written down when this was written.
    const PLACES: [u16; 4] = [564, 425, 621, 200];

    #[test]
    fn a_share_gets_about_as_many_as_it_says() {
        for share in [1_u16, 50, 500, 999] {
            let below = |index: &u32| place("assist", 7, Subject::Process, pid(0, *index)) < share;
            let count = (0..100_000).filter(below).count() as f64;
            let (expected, p) = (100.0 * f64::from(share), f64::from(share) / 1000.0);
            // Five standard deviations of a binomial distribution.
            let bound = 5.0 * (100_000.0 * p * (1.0 - p)).sqrt();
            assert!((count - expected).abs() < bound, "{share}: {count}");
        }
    }

    #[test]
    fn experiments_and_routes_divide_independently() {
        let in_arm = |route: &str, experiment, index| place(route, experiment, Subject::Process, pid(0, index)) < 500;
        for (route, experiment) in [("assist", 8), ("other", 7)] {
            let both = (0..10_000).filter(|index| in_arm("assist", 7, *index) && in_arm(route, experiment, *index));
            let both = both.count();
            assert!((2_300..2_700).contains(&both), "{route} {experiment}: {both}");
        }
    }

    #[test]
    fn a_tenants_processes_share_a_place_where_tenants_are_divided() {
        let of = |tenant, index| place("assist", 1, Subject::Tenant, pid(tenant, index));
        assert_eq!(of(3, 1), of(3, 2));
        assert!((0..100).any(|tenant| of(tenant, 1) != of(0, 1)));
    }
}
