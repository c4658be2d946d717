//! Calendar months.

use chrono::{Days, Months, NaiveDate};

/// A calendar month in the clinic's time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month {
    pub first: NaiveDate,
    pub last: NaiveDate,
}

impl std::str::FromStr for Month {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let fault = || "a month is written YYYY-MM".to_owned();
        if s.len() != 7 {
            return Err(fault());
        }
        let first: NaiveDate = format!("{s}-01").parse().map_err(|_| fault())?;
        let last = first.checked_add_months(Months::new(1)).ok_or_else(fault)? - Days::new(1);
        Ok(Self { first, last })
    }
}

impl std::fmt::Display for Month {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.first.format("%Y-%m"))
    }
}

impl Month {
    /// The month of a date.
    pub fn of(date: NaiveDate) -> Self {
        let first = date - Days::new(u64::from(chrono::Datelike::day0(&date)));
        let last = first.checked_add_months(Months::new(1)).map_or(NaiveDate::MAX, |next| next - Days::new(1));
        Self { first, last }
    }

    /// The month before; the same one at the beginning of the calendar.
    #[must_use]
    pub fn before(self) -> Self {
        self.first.pred_opt().map_or(self, Self::of)
    }

    /// Every month from one to another, both included.
    pub fn through(self, to: Self) -> impl Iterator<Item = Self> {
        let next = |month: &Self| month.last.succ_opt().map(Self::of);
        std::iter::successors(Some(self), next).take_while(move |month| month.first <= to.first)
    }

    /// Whether a date lies in it.
    pub fn contains(self, date: NaiveDate) -> bool {
        date >= self.first && date <= self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_follow_each_other_over_the_end_of_a_year() {
        let (from, to): (Month, Month) = ("2025-11".parse().unwrap(), "2026-02".parse().unwrap());
        let all: Vec<String> = from.through(to).map(|month| month.to_string()).collect();
        assert_eq!(all, ["2025-11", "2025-12", "2026-01", "2026-02"]);
        assert_eq!(to.last.to_string(), "2026-02-28");
        assert_eq!(Month::of(to.last), to);
        assert_eq!(to.before().before(), "2025-12".parse().unwrap());
        assert_eq!(to.through(from).count(), 0);
    }
}
