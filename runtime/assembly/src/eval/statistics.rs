//! How sure a share is, and whether two differ. Pure.

use serde::Serialize;

/// The 97.5 % quantile of the standard normal distribution: 95 % lie between its negative and it.
const Z: f64 = 1.959_963_984_540_054;

/// A share, from 0 to 1, and where the true one lies with 95 % confidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// At least.
    pub low: f64,
    /// At most.
    pub high: f64,
}

/// The score interval of a share (Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference"):
///
/// `(p + z²/2n ± z·√(p(1−p)/n + z²/4n²)) / (1 + z²/n)` with `p = passed/n`.
///
/// Unlike the usual one it is right for few tasks, and where all or none pass. Of nothing anything is possible.
#[must_use]
pub fn wilson(passed: u64, of: u64) -> Interval {
    if of == 0 {
        return Interval { low: 0.0, high: 1.0 };
    }
    // Counts of tasks are far below 2^53.
    let (n, z2) = (of as f64, Z * Z);
    let p = passed as f64 / n;
    let middle = p + z2 / (2.0 * n);
    let half = Z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z2 / n;
    Interval { low: ((middle - half) / scale).max(0.0), high: ((middle + half) / scale).min(1.0) }
}

/// The exact form of McNemar's test for pairs (McNemar 1947, "Note on the sampling error of the difference between correlated
/// proportions or percentages"; exact as in Agresti, "Categorical Data Analysis", 3rd edition, section 11.1).
///
/// Only tasks count that one passes and the other does not. If both were equally good, each of these would fall to either side
/// by the toss of a coin: `p = min(1, 2 · Σ C(n, i) / 2ⁿ)` over `i` from 0 to the smaller count, `n` being both together.
#[must_use]
pub fn mcnemar(lost: u64, won: u64) -> f64 {
    let n = lost + won;
    let smaller = lost.min(won);
    // The logarithm of C(n, i) / 2^n, from each i to the next.
    let mut term = -(n as f64) * std::f64::consts::LN_2;
    let mut sum = 0.0;
    for i in 0..=smaller {
        sum += term.exp();
        term += ((n - i) as f64).ln() - ((i + 1) as f64).ln();
    }
    (2.0 * sum).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Worked out from the formula with numbers of another program.
    #[test]
    fn the_interval_is_wilsons() {
        let check = |passed, of, low: f64, high: f64| {
            let interval = wilson(passed, of);
            assert!((interval.low - low).abs() < 5e-5, "{passed} of {of}: {interval:?}");
            assert!((interval.high - high).abs() < 5e-5, "{passed} of {of}: {interval:?}");
        };
        check(0, 0, 0.0, 1.0);
        check(5, 10, 0.236_6, 0.763_4);
        check(10, 10, 0.722_5, 1.0);
        check(0, 10, 0.0, 0.277_5);
        check(90, 100, 0.825_6, 0.944_8);
    }

    #[test]
    fn the_test_is_the_tossing_of_coins() {
        let check = |lost, won, expect: f64| {
            assert!((mcnemar(lost, won) - expect).abs() < 1e-9, "{lost} {won}: {}", mcnemar(lost, won));
            assert_eq!(mcnemar(lost, won), mcnemar(won, lost));
        };
        check(0, 0, 1.0);
        check(1, 0, 1.0);
        check(5, 5, 1.0);
        check(0, 5, 2.0 / 32.0);
        check(1, 5, 2.0 * 7.0 / 64.0);
        check(2, 8, 2.0 * 56.0 / 1024.0);
        assert!(mcnemar(4000, 6000) < 1e-80, "large counts neither overflow nor vanish at once");
        assert!((mcnemar(5000, 5000) - 1.0).abs() < 1e-9);
    }
}
