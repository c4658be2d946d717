//! Calendar days. Dates at the end of the calendar stay there: a mistyped year must not stop the planner.

use chrono::{Days, NaiveDate};

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
