//! Days of the calendar, in UTC.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// A day; the order is that of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    /// Year of the common era.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
}

const SECONDS_OF_A_DAY: u64 = 86_400;

impl Date {
    /// The day of `time`, and the seconds since it began.
    #[must_use]
    pub fn of(time: SystemTime) -> (Self, u32) {
        // Before 1970 no clock of a host is right.
        let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let of_day = u32::try_from(seconds % SECONDS_OF_A_DAY).unwrap_or(0);
        (Self::of_days(seconds / SECONDS_OF_A_DAY), of_day)
    }

    /// Today.
    #[must_use]
    pub fn today() -> Self {
        Self::of(SystemTime::now()).0
    }

    /// By days since 1970-01-01. Years begin in March here, so that the leap day is their last.
    fn of_days(days: u64) -> Self {
        // From 0000-03-01 to 1970-01-01.
        let days = days + 719_468;
        let (era, of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        let small = |value: u64| u8::try_from(value).unwrap_or(u8::MAX);
        Self { year: u16::try_from(year).unwrap_or(u16::MAX), month: small(month), day: small(day) }
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

#[cfg(test)]
mod tests {
    use super::Date;

    #[test]
    fn days_are_those_of_the_calendar() {
        // `date -u -d 1970-01-01+DAYSdays +%F`.
        for (days, text) in [
            (0, "1970-01-01"),
            (58, "1970-02-28"),
            (59, "1970-03-01"),
            (789, "1972-02-29"),
            (11_016, "2000-02-29"),
            (11_017, "2000-03-01"),
            (20_784, "2026-11-27"),
            (47_540, "2100-02-28"),
            (47_541, "2100-03-01"),
        ] {
            assert_eq!(Date::of_days(days).to_string(), text);
        }
        let day = |year, month, day| Date { year, month, day };
        assert!(day(2026, 12, 31) < day(2027, 1, 1) && day(2027, 1, 31) < day(2027, 2, 1));
    }
}
