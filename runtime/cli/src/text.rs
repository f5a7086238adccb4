//! Amounts, moments and labels as people write and read them.

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use remit_abi::{Integrity, Rate, Tokens};
use remit_server::protocol::Marking;
use std::{path::PathBuf, time::Duration};

/// Units of a rate, in milliseconds.
const UNITS: [(&str, u64); 4] = [("second", 1000), ("minute", 60_000), ("hour", 3_600_000), ("day", 86_400_000)];

/// Reads `5s`, `500ms` or `1h30m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let signed = |text: &str| text.parse::<SignedDuration>().ok().and_then(|signed| Duration::try_from(signed).ok());
    signed(text).ok_or_else(|| "that is no time: write it as 5s, 500ms or 1h30m".to_owned())
}

/// Units of an amount of memory.
const SIZES: [(&str, u64); 6] =
    [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1_000)];

/// Reads `8GB`, `512MiB` or a number of bytes.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let unit = SIZES.into_iter().find_map(|(name, size)| Some((text.strip_suffix(name)?, size)));
    let (number, size) = unit.unwrap_or((text, 1));
    let read = number.trim_end().parse::<u64>().ok().and_then(|number| number.checked_mul(size));
    read.ok_or_else(|| "that is no amount of memory: write it as 8GB, 512MiB or a number of bytes".to_owned())
}

/// Reads the path of a folder that is there.
pub(crate) fn folder(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.is_dir() { Ok(path) } else { Err("there is no such folder: make it first".to_owned()) }
}

/// Reads an RFC 3339 date-time, or a time from now such as `30d` or `12h`; in nanoseconds since 1970-01-01T00:00:00Z.
pub(crate) fn moment(text: &str) -> Result<u64, String> {
    let wrong = || "that is no moment: write it as 2030-01-01T00:00:00Z, or from now on as 30d or 12h".to_owned();
    let moment = match text.parse::<Timestamp>() {
        Ok(moment) => moment,
        Err(_) => {
            let span: Span = text.parse().map_err(|_| wrong())?;
            let ahead = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
            Timestamp::now().checked_add(ahead).map_err(|_| wrong())?
        }
    };
    u64::try_from(moment.as_nanosecond()).map_err(|_| wrong())
}

/// Reads a time such as `30d` or `12h`: the moment so long ago, in nanoseconds since 1970-01-01T00:00:00Z.
pub(crate) fn long_ago(text: &str) -> Result<u64, String> {
    let wrong = || "that is no time: write it as 30d or 12h".to_owned();
    let span: Span = text.parse().map_err(|_| wrong())?;
    let ago = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    let moment = Timestamp::now().checked_sub(ago).map_err(|_| wrong())?;
    u64::try_from(moment.as_nanosecond()).ok().filter(|_| !ago.is_negative()).ok_or_else(wrong)
}

/// Reads `60/minute`.
pub(crate) fn rate(text: &str) -> Result<Rate, String> {
    let read = || {
        let (uses, unit) = text.split_once('/')?;
        let (_, per_ms) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
        Some(Rate { uses: uses.parse().ok().filter(|uses| *uses > 0)?, per_ms })
    };
    read().ok_or_else(|| "that is no rate: write it as 60/minute, by second, minute, hour or day".to_owned())
}

/// Writes a rate as [`rate`] reads it, or in milliseconds where that has no word.
pub(crate) fn rate_in_words(rate: Rate) -> String {
    match UNITS.into_iter().find(|(_, per_ms)| *per_ms == rate.per_ms) {
        Some((unit, _)) => format!("{}/{unit}", rate.uses),
        None => format!("{}/{}ms", rate.uses, rate.per_ms),
    }
}

/// A moment as RFC 3339 has it, to the millisecond.
pub(crate) fn moment_in_words(ns: u64) -> String {
    Timestamp::from_nanosecond(ns.into()).map_or_else(|_| "never".to_owned(), |moment| format!("{moment:.3}"))
}

/// How long something is ago, in its two largest units.
pub(crate) fn age(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// An amount in tokens.
pub(crate) fn tokens(micro: u64) -> String {
    Tokens::from_micro(micro).to_string()
}

/// A label: `untrusted`, and its tags.
pub(crate) fn label(marking: &Marking) -> String {
    let integrity = match marking.integrity {
        Integrity::Trusted => "trusted",
        Integrity::Untrusted => "untrusted",
    };
    match marking.tags.as_slice() {
        [] => integrity.to_owned(),
        tags => format!("{integrity} {}", tags.join(",")),
    }
}

/// Text of an agent for a terminal: one line, and nothing that moves the cursor or changes colours.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_sizes_and_rates_are_read_as_people_write_them() {
        assert_eq!(duration("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("1m 500ms"), Ok(Duration::from_millis(60_500)));
        for wrong in ["", "5", "-5s", "soon"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert_eq!(moment("1970-01-01T00:00:01Z"), Ok(1_000_000_000));
        for (text, expect) in [("8GB", 8_000_000_000), ("512MiB", 512 << 20), ("1 KB", 1000), ("7", 7)] {
            assert_eq!(bytes(text), Ok(expect));
        }
        for wrong in ["", "GB", "-1GB", "1.5GB", "99999999999GB", "8TB"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
        let (day, now) = (moment("1d").expect("it is one"), moment("0s").expect("it is one"));
        assert!((86_399_000_000_000..=86_400_000_000_000).contains(&(day - now)), "{day} - {now}");
        for wrong in ["", "tomorrow", "1969-01-01T00:00:00Z", "99999999d"] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
        let (now, yesterday) = (long_ago("0s").expect("it is one"), long_ago("1d").expect("it is one"));
        assert!((86_400_000_000_000..86_401_000_000_000).contains(&(now - yesterday + 1_000_000_000 - 1)));
        for wrong in ["", "30", "yesterday", "-1d", "99999999d"] {
            assert!(long_ago(wrong).is_err(), "{wrong}");
        }
        assert_eq!(rate("60/minute"), Ok(Rate { uses: 60, per_ms: 60_000 }));
        for text in ["60/minute", "1/second", "5/hour", "7/day"] {
            assert_eq!(rate(text).map(rate_in_words).as_deref(), Ok(text));
        }
        for wrong in ["0/minute", "60", "60/fortnight", "-1/day", "/day"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_shown_is_short_and_cannot_move_the_cursor() {
        for (ms, text) in [(999, "0s"), (61_000, "1m01s"), (7_500_000, "2h05m"), (90_000_000, "1d01h")] {
            assert_eq!(age(ms), text);
        }
        assert_eq!(moment_in_words(1_500_000_000), "1970-01-01T00:00:01.500Z");
        let marking = Marking { integrity: Integrity::Untrusted, tags: vec!["hr".into(), "secret".into()] };
        assert_eq!(label(&marking), "untrusted hr,secret");
        assert_eq!(plain("a\x1b[2Jb\nc"), "a\u{fffd}[2Jb\u{fffd}c");
    }
}
