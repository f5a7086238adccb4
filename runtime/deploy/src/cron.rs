//! Moments in five fields, as `crontab(5)` has them, in UTC.
//!
//! | field | values |
//! | --- | --- |
//! | minute | 0 to 59 |
//! | hour | 0 to 23 |
//! | day of the month | 1 to 31 |
//! | month | 1 to 12, or `jan` to `dec` |
//! | day of the week | 0 to 7, or `sun` to `sat`; 0 and 7 are Sunday |
//!
//! A field is `*`, a value, a range `a-b`, each of the two also with a step `/n`, or several of these with commas. Where both days are
//! narrowed, one of the two is enough; a day field that begins with `*` narrows nothing for this rule.

use serde::{Deserialize, Serialize};
use std::fmt;
use thiserror::Error;

const MINUTE: i64 = 60;
const DAY: i64 = 24 * 60 * MINUTE;

/// Days that are looked through for a moment: the 29th of February comes within eight years and a day.
const DAYS_MAX: i64 = 8 * 366 + 1;

/// Characters of a schedule: every minute of a day by its number needs fewer.
const TEXT_BYTES_MAX: usize = 256;

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// A text that is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ScheduleError {
    /// Too few fields, or too many.
    #[error(
        "{0:?} has not the five fields of a schedule: minute, hour, day of the month, month, day of the week, as in \"30 7 * * mon-fri\""
    )]
    Fields(String),
    /// One field.
    #[error("{part:?} is no {field}: write {least} to {most}, a range, a step, or * for all")]
    Field {
        /// What stands there.
        part: String,
        /// Which field it is.
        field: &'static str,
        /// The lowest value.
        least: u8,
        /// The highest.
        most: u8,
    },
    /// A day that no year has.
    #[error("{0:?} never comes: no month that it names has such a day")]
    Never(String),
}

/// When something begins, again and again.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Schedule {
    text: String,
    /// Bit by value.
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether one of the two kinds of days is enough.
    either_day: bool,
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schedule({:?})", self.text)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<Schedule> for String {
    fn from(schedule: Schedule) -> Self {
        schedule.text
    }
}

impl TryFrom<String> for Schedule {
    type Error = ScheduleError;

    fn try_from(text: String) -> Result<Self, ScheduleError> {
        let fields: Vec<_> = text.split_ascii_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else { return Err(ScheduleError::Fields(text)) };
        if text.len() > TEXT_BYTES_MAX {
            return Err(ScheduleError::Fields(text.chars().take(TEXT_BYTES_MAX).collect()));
        }
        let narrows = |field: &str| !field.starts_with('*');
        let either_day = narrows(days) && narrows(weekdays);
        let weekdays = values(weekdays, "day of the week", 0, 7, &WEEKDAYS)?;
        let mut schedule = Self {
            minutes: values(minutes, "minute", 0, 59, &[])?,
            hours: values(hours, "hour", 0, 23, &[])?,
            days: values(days, "day of the month", 1, 31, &[])?,
            months: values(months, "month", 1, 12, &MONTHS)?,
            // Both numbers of Sunday are one.
            weekdays: (weekdays | weekdays >> 7) & 0x7f,
            either_day,
            text: String::new(),
        };
        if schedule.next(0).is_none() {
            return Err(ScheduleError::Never(text));
        }
        schedule.text = fields.join(" ");
        Ok(schedule)
    }
}

/// The values of a field, bit by value.
fn values(text: &str, field: &'static str, least: u8, most: u8, names: &[&str]) -> Result<u64, ScheduleError> {
    text.split(',').try_fold(0, |bits, part| {
        let wrong = || ScheduleError::Field { part: part.to_owned(), field, least, most };
        part_values(part, least, most, names).map(|more| bits | more).ok_or_else(wrong)
    })
}

fn part_values(part: &str, least: u8, most: u8, names: &[&str]) -> Option<u64> {
    let value = |text: &str| {
        let name = names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let value = match name {
            Some(place) => u8::try_from(place).ok()?.checked_add(least)?,
            None if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok()?,
            None => return None,
        };
        (least..=most).contains(&value).then_some(value)
    };
    let (range, step) = match part.split_once('/') {
        Some((range, step)) => (range, Some(step.parse::<u8>().ok().filter(|step| (1..=most).contains(step))?)),
        None => (part, None),
    };
    let (from, to) = match (range, range.split_once('-')) {
        ("*", _) => (least, most),
        (_, Some((from, to))) => (value(from)?, value(to)?),
        // A step needs something to step through.
        (one, None) if step.is_none() => (value(one)?, value(one)?),
        _ => return None,
    };
    let step = usize::from(step.unwrap_or(1));
    (from <= to).then(|| (from..=to).step_by(step).fold(0, |bits, value| bits | 1 << value))
}

impl Schedule {
    /// Whether it begins in the minute of a moment, in seconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn is_at(&self, at: i64) -> bool {
        self.is_day(at.div_euclid(DAY)) && self.is_minute(at.rem_euclid(DAY) / MINUTE)
    }

    /// The first moment after one, within eight years.
    #[must_use]
    pub fn next(&self, after: i64) -> Option<i64> {
        let first = (after.div_euclid(MINUTE)).checked_add(1)?.checked_mul(MINUTE)?;
        let day = first.div_euclid(DAY);
        (day..day.checked_add(DAYS_MAX)?).filter(|day| self.is_day(*day)).find_map(|day| {
            let mut minutes = (0..DAY / MINUTE).filter(|minute| self.is_minute(*minute));
            minutes.find_map(|minute| Some(day * DAY + minute * MINUTE).filter(|at| *at >= first))
        })
    }

    /// The last moment after one and not after another; none further back than eight years.
    #[must_use]
    pub fn latest(&self, after: i64, until: i64) -> Option<i64> {
        let day = until.div_euclid(DAY);
        let oldest = after.div_euclid(DAY).max(day.checked_sub(DAYS_MAX)?);
        let found = (oldest..=day).rev().filter(|day| self.is_day(*day)).find_map(|day| {
            let mut minutes = (0..DAY / MINUTE).rev().filter(|minute| self.is_minute(*minute));
            minutes.find_map(|minute| Some(day * DAY + minute * MINUTE).filter(|at| *at <= until))
        });
        found.filter(|at| *at > after)
    }

    fn is_minute(&self, minute: i64) -> bool {
        self.hours >> (minute / 60) & 1 == 1 && self.minutes >> (minute % 60) & 1 == 1
    }

    /// Of days since 1970-01-01, which was a Thursday.
    fn is_day(&self, day: i64) -> bool {
        let (month, of_month) = civil(day);
        let of_month = self.days >> of_month & 1 == 1;
        let of_week = self.weekdays >> (day + 4).rem_euclid(7) & 1 == 1;
        self.months >> month & 1 == 1 && if self.either_day { of_month || of_week } else { of_month && of_week }
    }
}

/// Month and day of the month of a day since 1970-01-01: Howard Hinnant's `civil_from_days`
/// (<https://howardhinnant.github.io/date_algorithms.html>).
const fn civil(day: i64) -> (i64, i64) {
    let of_era = (day + 719_468).rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (month, of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn schedule(text: &str) -> Schedule {
        Schedule::try_from(text.to_owned()).unwrap_or_else(|error| panic!("{error}"))
    }

    /// 2026-11-23T00:00:00Z, a Monday.
    const MONDAY: i64 = 1_795_392_000;

    fn check(text: &str, after: i64, expect: i64) {
        assert_eq!(schedule(text).next(after), Some(expect), "{text}");
    }

    #[test]
    fn the_next_moment_is_the_first_one_that_all_fields_let_through() {
        let (hour, day) = (60 * MINUTE, DAY);
        check("* * * * *", MONDAY, MONDAY + MINUTE);
        check("* * * * *", MONDAY + 59, MONDAY + MINUTE);
        check("30 7 * * *", MONDAY, MONDAY + 7 * hour + 30 * MINUTE);
        check("30 7 * * *", MONDAY + 7 * hour + 30 * MINUTE, MONDAY + day + 7 * hour + 30 * MINUTE);
        check("0 0 * * mon", MONDAY, MONDAY + 7 * day);
        check("0 0 * * Sun", MONDAY, MONDAY + 6 * day);
        check("0 0 * * 7", MONDAY, MONDAY + 6 * day);
        check("0 0 * * tue-thu", MONDAY, MONDAY + day);
        check("*/20 3-5/2 * * *", MONDAY, MONDAY + 3 * hour);
        check("*/20 3-5/2 * * *", MONDAY + 3 * hour + 40 * MINUTE, MONDAY + 5 * hour);
        check("0 0 1 dec *", MONDAY, MONDAY + 8 * day);
        // Either day is enough where both are narrowed.
        check("0 0 1 * sat", MONDAY, MONDAY + 5 * day);
        check("0 0 1 * sat", MONDAY + 5 * day, MONDAY + 8 * day);
        check("0 0 */1 * sat", MONDAY, MONDAY + 5 * day);
        // 2028-02-29.
        check("0 0 29 2 *", MONDAY, 1_835_395_200);
        // 1999-12-31T23:59:00Z, before 2000-02-29.
        check("0 0 29 2 *", 946_684_740, 951_782_400);
    }

    #[test]
    fn what_is_no_schedule_says_which_field_is_wrong() {
        let wrong = |text: &str, expected: &str| {
            let told = Schedule::try_from(text.to_owned()).expect_err(text).to_string();
            assert!(told.contains(expected), "{told}");
        };
        wrong("", "five fields");
        wrong("* * * *", "five fields");
        wrong("@daily", "five fields");
        wrong("60 * * * *", "\"60\" is no minute: write 0 to 59");
        wrong("* 24 * * *", "is no hour");
        wrong("* * 0 * *", "is no day of the month: write 1 to 31");
        wrong("* * * 13 *", "is no month");
        wrong("* * * * 8", "is no day of the week");
        wrong("* * * * moon", "is no day of the week");
        wrong("5-1 * * * *", "\"5-1\" is no minute");
        wrong("*/0 * * * *", "\"*/0\" is no minute");
        wrong("1/5 * * * *", "\"1/5\" is no minute");
        wrong("1,,2 * * * *", "\"\" is no minute");
        wrong("+1 * * * *", "\"+1\" is no minute");
        wrong("0 0 31 feb,apr *", "never comes");
    }

    #[test]
    fn it_is_written_as_it_was_read() {
        let written = serde_json::to_string(&schedule(" 0  7 * * mon ")).expect("it is a text");
        assert_eq!(written, "\"0 7 * * mon\"");
        assert_eq!(serde_json::from_str::<Schedule>(&written).expect("it is one"), schedule("0 7 * * mon"));
    }

    fn field(least: u8, most: u8) -> impl Strategy<Value = String> {
        let part = prop_oneof![
            Just("*".to_owned()),
            (least..=most).prop_map(|value| value.to_string()),
            (least..=most, least..=most).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
            (1..=most).prop_map(|step| format!("*/{step}")),
            (least..=most, 1..=most).prop_map(move |(from, step)| format!("{from}-{most}/{step}")),
        ];
        prop::collection::vec(part, 1..3).prop_map(|parts| parts.join(","))
    }

    fn any() -> impl Strategy<Value = String> {
        // Days that every month has, so that each comes.
        (field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 7))
            .prop_map(|(minute, hour, day, month, weekday)| format!("{minute} {hour} {day} {month} {weekday}"))
    }

    proptest! {
        #[test]
        fn a_moment_is_at_its_schedule_and_none_lies_before_it(text in any(), from in 0_i64..4_000_000_000) {
            let schedule = schedule(&text);
            let next = schedule.next(from).expect("each of these comes within eight years");
            prop_assert!(next > from && next % MINUTE == 0 && schedule.is_at(next));
            let minutes = (from / MINUTE + 1..next / MINUTE).take(5000);
            prop_assert_eq!(minutes.map(|minute| minute * MINUTE).find(|at| schedule.is_at(*at)), None);
            prop_assert_eq!(schedule.latest(from, next), Some(next));
            prop_assert_eq!(schedule.latest(from, next - 1), None);
            prop_assert_eq!(schedule.latest(next, next), None);
        }

        #[test]
        fn the_latest_moment_has_none_behind_it(text in any(), from in 0_i64..4_000_000_000, span in 0_i64..40_000_000) {
            let schedule = schedule(&text);
            let until = from + span;
            match schedule.latest(from, until) {
                Some(latest) => {
                    prop_assert!(from < latest && latest <= until && schedule.is_at(latest));
                    prop_assert!(schedule.next(latest).is_none_or(|next| next > until));
                }
                None => prop_assert!(schedule.next(from).is_none_or(|next| next > until)),
            }
        }

        #[test]
        fn no_text_is_more_than_refused(text in "[-0-9a-z*/, ]{0,40}") {
            let _maybe = Schedule::try_from(text);
        }

        /// Days follow each other as a calendar's do.
        #[test]
        fn days_come_one_by_one(day in -1_000_000_i64..1_000_000) {
            let ((month, today), (next_month, tomorrow)) = (civil(day), civil(day + 1));
            prop_assert!((1..=12).contains(&month) && (1..=31).contains(&today));
            let same_month = (next_month, tomorrow) == (month, today + 1);
            prop_assert!(same_month || (tomorrow == 1 && next_month == month % 12 + 1 && today >= 28));
        }
    }
}
