//! Times as an author writes them: a rate, and a moment that ends a right.

use jiff::{Span, SpanRelativeTo, Timestamp};
use remit_abi::Rate;

/// What [`rate`] reads, as a regular expression.
pub(crate) const RATE_PATTERN: &str = "^[1-9][0-9]*/(second|minute|hour|day)$";

/// What [`Expiry::parse`] reads, as a regular expression: the days of a month are not in it.
pub(crate) const EXPIRY_PATTERN: &str =
    "^([0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:.]+([Zz]|[+-][0-9]{2}:[0-9]{2})|([0-9]+[smhdw])+)$";

/// Units of time, longest first, in milliseconds.
const UNITS: [(&str, u64); 4] = [("day", 86_400_000), ("hour", 3_600_000), ("minute", 60_000), ("second", 1000)];

/// When a wanted right ends.
///
/// A package lives longer than its author thinks, so a time after the start is the better choice; a moment is for what
/// ends with something outside, such as a project or a season. A restarted agent counts from its first start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// At a moment, in nanoseconds since 1970-01-01T00:00:00Z.
    At {
        /// Which.
        ns: u64,
    },
    /// So long after the agent was started.
    After {
        /// In milliseconds, at least 1.
        ms: u64,
    },
}

impl Expiry {
    /// Reads an RFC 3339 date-time, or a duration such as `30d`, `12h` or `1h30m`, in which a day has 24 hours.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Ok(moment) = text.parse::<Timestamp>() {
            // What lies beyond the year 2554 is for ever.
            return Some(Self::At { ns: u64::try_from(moment.as_nanosecond().min(u64::MAX.into())).ok()? });
        }
        let fits = |byte: u8| byte.is_ascii_digit() || b"smhdw".contains(&byte);
        if !text.bytes().all(fits) {
            return None;
        }
        let span: Span = text.parse().ok()?;
        let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
        u64::try_from(duration.as_millis()).ok().filter(|ms| *ms > 0).map(|ms| Self::After { ms })
    }

    /// The moment for an agent that is started at `start_ns`, both in nanoseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn moment_ns(self, start_ns: u64) -> u64 {
        match self {
            Self::At { ns } => ns,
            Self::After { ms } => start_ns.saturating_add(ms.saturating_mul(1_000_000)),
        }
    }

    /// As the end of a sentence.
    pub(crate) fn in_words(self) -> String {
        match self {
            Self::At { ns } => match Timestamp::from_nanosecond(ns.into()) {
                Ok(moment) => format!("until {moment}"),
                Err(_) => "for ever".to_owned(),
            },
            Self::After { ms } => format!("for {} from its start", spoken(ms)),
        }
    }
}

/// Reads `N/second`, `N/minute`, `N/hour` or `N/day`.
pub(crate) fn rate(text: &str) -> Option<Rate> {
    let (uses, unit) = text.split_once('/')?;
    let (_, per_ms) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
    let uses = uses.bytes().all(|byte| byte.is_ascii_digit()).then_some(uses)?.parse().ok()?;
    (uses > 0).then_some(Rate { uses, per_ms })
}

/// A rate as the end of a sentence. On average, since what was saved up in a pause may be used at once.
pub(crate) fn rate_in_words(rate: Rate) -> String {
    let times = counted(rate.uses.into(), "time");
    match UNITS.into_iter().find(|(_, ms)| *ms == rate.per_ms) {
        Some((unit @ "hour", _)) => format!("on average at most {times} an {unit}"),
        Some((unit, _)) => format!("on average at most {times} a {unit}"),
        None => format!("on average at most {times} in {}", spoken(rate.per_ms)),
    }
}

/// A time in the largest unit that has no remainder.
pub(crate) fn spoken(ms: u64) -> String {
    let whole = UNITS.into_iter().find(|(_, unit)| ms > 0 && ms.is_multiple_of(*unit));
    let (name, unit) = whole.unwrap_or(("millisecond", 1));
    counted(ms / unit, name)
}

/// A number with its noun.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read() {
        let check = |text, expect: Option<(u32, u64)>| {
            assert_eq!(rate(text), expect.map(|(uses, per_ms)| Rate { uses, per_ms }), "{text}");
        };
        check("60/minute", Some((60, 60_000)));
        check("1/day", Some((1, 86_400_000)));
        for wrong in ["", "60", "/minute", "0/second", "+5/hour", "-1/hour", "5/week", "5 / hour", "4294967296/second"]
        {
            check(wrong, None);
        }
    }

    #[test]
    fn expiries_are_read_and_count_from_the_start() {
        let check = |text, expect: Option<Expiry>| assert_eq!(Expiry::parse(text), expect, "{text}");
        check("30d", Some(Expiry::After { ms: 30 * 86_400_000 }));
        check("1h30m", Some(Expiry::After { ms: 5_400_000 }));
        check("1970-01-01T00:00:01Z", Some(Expiry::At { ns: 1_000_000_000 }));
        check("1970-01-01T01:00:01+01:00", Some(Expiry::At { ns: 1_000_000_000 }));
        check("9999-01-01T00:00:00Z", Some(Expiry::At { ns: u64::MAX }));
        for wrong in ["", "0d", "-1d", "30", "d", "1y", "1mo", "1 day", "P1D", "2030-01-01", "2030-01-01T00:00:00"] {
            check(wrong, None);
        }
        check("1969-12-31T23:59:59Z", None);
        check("99999999999999999999d", None);
        assert_eq!(Expiry::After { ms: 2 }.moment_ns(5), 2_000_005);
        assert_eq!(Expiry::After { ms: u64::MAX }.moment_ns(5), u64::MAX);
        assert_eq!(Expiry::At { ns: 7 }.moment_ns(5), 7);
    }

    #[test]
    fn times_are_spoken() {
        let check = |ms, expect: &str| assert_eq!(spoken(ms), expect);
        check(0, "0 milliseconds");
        check(1000, "1 second");
        check(5_400_000, "90 minutes");
        check(30 * 86_400_000, "30 days");
        assert_eq!(Expiry::At { ns: 0 }.in_words(), "until 1970-01-01T00:00:00Z");
        assert_eq!(rate_in_words(Rate { uses: 1, per_ms: 3_600_000 }), "on average at most 1 time an hour");
        assert_eq!(rate_in_words(Rate { uses: 2, per_ms: 500 }), "on average at most 2 times in 500 milliseconds");
    }
}
