//! Calendar days. Dates at the end of the calendar stay there: a mistyped year must not stop the planner.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

/// So many days later.
pub fn after(date: NaiveDate, days: u16) -> NaiveDate {
    date.checked_add_days(Days::new(days.into())).unwrap_or(NaiveDate::MAX)
}

/// The day after the last of so many days: "more than 30 days" begins here.
pub fn beyond(date: NaiveDate, days: u16) -> NaiveDate {
    after(after(date, days), 1)
}

/// So many days earlier.
pub fn before(date: NaiveDate, days: u16) -> NaiveDate {
    date.checked_sub_days(Days::new(days.into())).unwrap_or(NaiveDate::MIN)
}

/// Local midnight, or the first instant after it where clocks go forward over it.
pub fn local_midnight(zone: Tz, on: NaiveDate) -> DateTime<Utc> {
    let midnight = on.and_time(NaiveTime::MIN);
    (0..4)
        .find_map(|hours| zone.from_local_datetime(&(midnight + TimeDelta::hours(hours))).earliest())
        .map_or_else(|| midnight.and_utc(), |at| at.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    use chrono_tz::{America::New_York, Asia::Beirut};

    use super::*;

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn a_day_begins_at_its_midnight_or_where_there_is_none_when_the_clocks_have_gone_forward() {
        let begins = |zone, on| local_midnight(zone, date(on)).to_rfc3339();
        assert_eq!(begins(New_York, "2026-03-08"), "2026-03-08T05:00:00+00:00", "they go forward at two");
        assert_eq!(begins(New_York, "2026-03-09"), "2026-03-09T04:00:00+00:00");
        assert_eq!(begins(Beirut, "2026-03-28"), "2026-03-27T22:00:00+00:00");
        assert_eq!(
            begins(Beirut, "2026-03-29"),
            "2026-03-28T22:00:00+00:00",
            "from midnight to one: 01:00 is the first"
        );
    }

    #[test]
    fn more_than_30_days_begins_on_the_31st_and_the_calendar_has_ends() {
        assert_eq!(after(date("2026-01-05"), 30), date("2026-02-04"));
        assert_eq!(beyond(date("2026-01-05"), 30), date("2026-02-05"));
        assert_eq!(before(date("2026-01-05"), 14), date("2025-12-22"));
        assert_eq!((after(NaiveDate::MAX, 1), before(NaiveDate::MIN, 1)), (NaiveDate::MAX, NaiveDate::MIN));
    }
}
