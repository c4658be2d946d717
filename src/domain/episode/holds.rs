//! R7: the days on which a treatment pauses. They do not count on the plan clock, and nothing is due on one of them.

use chrono::NaiveDate;

use crate::domain::day;

/// One pause: from its first day up to the day of resuming, which is a day of treatment again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hold {
    from: NaiveDate,
    until: NaiveDate,
}

/// The pauses of an episode, in order. One that nobody has ended goes on to the end of the calendar.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holds(Vec<Hold>);

impl Holds {
    pub(super) fn begin(&mut self, on: NaiveDate) {
        self.0.push(Hold { from: on, until: NaiveDate::MAX });
    }

    pub(super) fn end(&mut self, on: NaiveDate) {
        if let Some(last) = self.0.last_mut() {
            last.until = on.max(last.from);
        }
    }

    /// Days of treatment from one date to another.
    pub fn treatment_days(&self, from: NaiveDate, until: NaiveDate) -> i64 {
        let paused = self.0.iter().map(|hold| (hold.until.min(until) - hold.from.max(from)).num_days().max(0));
        (until - from).num_days() - paused.sum::<i64>()
    }

    /// The date after so many days of treatment: never one on hold.
    pub fn after(&self, from: NaiveDate, days: u16) -> NaiveDate {
        let mut date = day::after(from, days);
        for hold in self.0.iter().filter(|hold| hold.until > from) {
            if date >= hold.from {
                let paused = (hold.until - hold.from.max(from)).num_days();
                date = u64::try_from(paused)
                    .ok()
                    .and_then(|paused| date.checked_add_days(chrono::Days::new(paused)))
                    .unwrap_or(NaiveDate::MAX);
            }
        }
        date
    }

    /// The date after more than so many days of treatment.
    pub fn beyond(&self, from: NaiveDate, days: u16) -> NaiveDate {
        self.after(from, days.saturating_add(1))
    }

    /// A date, or the day of resuming where it lies in a pause.
    pub fn next_treatment_day(&self, date: NaiveDate) -> NaiveDate {
        self.after(date, 0)
    }

    /// The last time that treatment was resumed.
    pub fn resumed_on(&self) -> Option<NaiveDate> {
        self.0.last().map(|hold| hold.until).filter(|until| *until < NaiveDate::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn ninety_days() -> Holds {
        let mut holds = Holds::default();
        holds.begin(date("2026-01-15"));
        holds.end(date("2026-04-15"));
        holds
    }

    #[test]
    fn days_on_hold_do_not_count() {
        let holds = ninety_days();
        let start = date("2026-01-05");
        for (until, days) in [("2026-01-15", 10), ("2026-03-01", 10), ("2026-04-15", 10), ("2026-04-16", 11)] {
            assert_eq!(holds.treatment_days(start, date(until)), days, "{until}");
        }
        assert_eq!(holds.treatment_days(date("2026-04-15"), date("2026-04-20")), 5);
    }

    #[test]
    fn nothing_is_due_on_a_day_on_hold() {
        let holds = ninety_days();
        let start = date("2026-01-05");
        assert_eq!(holds.after(start, 9), date("2026-01-14"));
        assert_eq!(holds.after(start, 10), date("2026-04-15"), "day 10 is the day of resuming");
        assert_eq!(holds.after(start, 56), date("2026-05-31"), "46 days of treatment later");
        assert_eq!(holds.next_treatment_day(date("2026-02-01")), date("2026-04-15"));
        assert_eq!(holds.next_treatment_day(date("2026-05-01")), date("2026-05-01"));
        assert_eq!(holds.after(date("2026-02-01"), 5), date("2026-04-20"), "counted from a day on hold");
    }

    #[test]
    fn a_hold_that_nobody_ended_goes_on() {
        let mut holds = Holds::default();
        holds.begin(date("2026-01-15"));
        assert_eq!((holds.after(date("2026-01-05"), 20), holds.resumed_on()), (NaiveDate::MAX, None));
        assert_eq!(holds.treatment_days(date("2026-01-05"), date("2026-03-05")), 10);
    }

    #[test]
    fn each_day_of_treatment_is_reached_on_the_day_that_is_counted_for_it() {
        let mut holds = ninety_days();
        holds.begin(date("2026-05-01"));
        holds.end(date("2026-05-03"));
        let start = date("2026-01-05");
        for days in 0..80_u16 {
            let reached = holds.after(start, days);
            assert_eq!(holds.treatment_days(start, reached), i64::from(days), "day {days}: {reached}");
            assert_eq!(holds.next_treatment_day(reached), reached, "day {days}: {reached}");
        }
    }
}
