//! Dates with a prefix: `ge2026-03-01`.

use chrono::{DateTime, Months, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;

use crate::fhir::date::FhirDate;
use crate::store::resource::ChangeWindow;

/// The stretch of time that a value asks for; `None` where it is no date, or has a prefix that is not known here.
///
/// A date without a time is a day of the clinic. A value with a time stands for its second where it has to be equal,
/// and for the instant itself otherwise.
pub fn asked(value: &str, zone: Tz) -> Option<ChangeWindow> {
    let (prefix, date) = match value.get(..2) {
        Some(prefix) if prefix.bytes().all(|b| b.is_ascii_lowercase()) => (prefix, &value[2..]),
        _ => ("eq", value),
    };
    let (begin, end, is_instant) = named(date, zone)?;
    let always = ChangeWindow::always();
    let just_after = begin + TimeDelta::microseconds(1);
    Some(match prefix {
        "eq" => ChangeWindow { since: begin, until: end },
        "ge" => ChangeWindow { since: begin, ..always },
        "gt" | "sa" => ChangeWindow { since: if is_instant { just_after } else { end }, ..always },
        "le" => ChangeWindow { until: end, ..always },
        "lt" | "eb" => ChangeWindow { until: begin, ..always },
        _ => return None,
    })
}

/// The instant at which a date that a resource carries begins.
pub fn beginning(date: &str, zone: Tz) -> Option<DateTime<Utc>> {
    named(date, zone).map(|(begin, ..)| begin)
}

/// From when until when a date names; whether it has a time.
fn named(date: &str, zone: Tz) -> Option<(DateTime<Utc>, DateTime<Utc>, bool)> {
    let midnight = |day: NaiveDate| FhirDate::Day(day).taken(zone).map(|taken| taken.at);
    let first = |text: &str| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    let when = FhirDate::parse(date)?;
    let (begin, end) = match when {
        FhirDate::Year => {
            let day = first(&format!("{}-01-01", date.trim()))?;
            (day, day.checked_add_months(Months::new(12))?)
        }
        FhirDate::Month => {
            let day = first(&format!("{}-01", date.trim()))?;
            (day, day.checked_add_months(Months::new(1))?)
        }
        FhirDate::Day(day) => (day, day.succ_opt()?),
        FhirDate::Instant(_) | FhirDate::Local(_) => {
            let at = when.taken(zone)?.at;
            return Some((at, at.checked_add_signed(TimeDelta::seconds(1))?, true));
        }
    };
    Some((midnight(begin)?, midnight(end)?, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(value: &str, at: &str) -> bool {
        asked(value, chrono_tz::America::New_York).unwrap().holds(at.parse().unwrap())
    }

    #[test]
    fn a_day_is_the_clinics_day() {
        assert!(holds("2026-03-02", "2026-03-02T05:00:00Z") && !holds("2026-03-02", "2026-03-02T04:59:59Z"));
        assert!(holds("gt2026-03-02", "2026-03-03T05:00:00Z") && !holds("gt2026-03-02", "2026-03-03T04:59:59Z"));
        assert!(holds("le2026-03", "2026-03-31T20:00:00Z") && !holds("lt2026-03", "2026-03-01T05:00:00Z"));
        assert!(holds("2026", "2026-12-31T20:00:00Z") && holds("ge2026", "2026-01-01T05:00:00Z"));
    }

    #[test]
    fn a_sweep_never_misses_what_changed_within_its_second() {
        assert!(holds("ge2026-03-02T10:00:00Z", "2026-03-02T10:00:00Z"));
        assert!(holds("gt2026-03-02T10:00:00Z", "2026-03-02T10:00:00.000001Z"));
        assert!(!holds("gt2026-03-02T10:00:00Z", "2026-03-02T10:00:00Z"));
        assert!(holds("le2026-03-02T10:00:00Z", "2026-03-02T10:00:00.5Z"));
        assert!(holds("eq2026-03-02T10:00:00Z", "2026-03-02T10:00:00.5Z"));
        assert!(!holds("lt2026-03-02T10:00:00Z", "2026-03-02T10:00:00Z"));
    }

    #[test]
    fn what_is_no_date_is_nothing() {
        for value in ["", "x", "ge", "ap2026", "ne2026", "2026-02-30", "geé", "é"] {
            assert_eq!(asked(value, Tz::UTC), None, "{value}");
        }
    }
}
