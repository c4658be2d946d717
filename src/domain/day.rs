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
