//! FHIR's date, dateTime and instant, as they really arrive.

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

use super::content::{Doubt, EvidenceTime, ReadingContext};
use super::json::JsonNode;
use crate::domain::measurement::DataQualityIssue;
use crate::problem::Problem;

/// A point in time, as precise as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FhirDate {
    Year,
    Month,
    Day(NaiveDate),
    /// With a time and an offset.
    Instant(DateTime<Utc>),
    /// With a time but without an offset: invalid, and common.
    Local(NaiveDateTime),
}

impl FhirDate {
    /// Reads any of FHIR's forms; `None` where it is no date or an impossible one (`2026-02-30`).
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if !text.is_ascii() {
            return None;
        }
        let (date, time) = match text.split_once(['T', 't', ' ']) {
            Some((date, time)) => (date, Some(time)),
            None => (text, None),
        };
        let mut parts = date.split('-');
        let year = i32::try_from(digits(parts.next()?, 4)?).ok().filter(|year| *year > 0)?;
        let (month, day) = (parts.next(), parts.next());
        if parts.next().is_some() {
            return None;
        }
        let Some(month) = month else { return time.is_none().then_some(Self::Year) };
        let month = digits(month, 2)?;
        let Some(day) = day else {
            return (time.is_none() && (1..=12).contains(&month)).then_some(Self::Month);
        };
        let date = NaiveDate::from_ymd_opt(year, month, digits(day, 2)?)?;
        let Some(time) = time else { return Some(Self::Day(date)) };
        let (clock, offset) = match time.find(['Z', 'z', '+', '-']) {
            Some(at) => (&time[..at], Some(offset(&time[at..])?)),
            None => (time, None),
        };
        let local = date.and_time(time_of_day(clock)?);
        Some(match offset {
            Some(offset) => Self::Instant(local.checked_sub_signed(offset)?.and_utc()),
            None => Self::Local(local),
        })
    }

    /// The instant and the clinic's date, where it is precise enough.
    pub fn taken(self, zone: Tz) -> Option<EvidenceTime> {
        match self {
            Self::Year | Self::Month => None,
            Self::Day(on) => Some(EvidenceTime { at: local(on.and_time(NaiveTime::MIN), zone), on }),
            Self::Instant(at) => Some(EvidenceTime { at, on: at.with_timezone(&zone).date_naive() }),
            Self::Local(time) => Some(EvidenceTime { at: local(time, zone), on: time.date() }),
        }
    }
}

/// Exactly `length` digits.
fn digits(text: &str, length: usize) -> Option<u32> {
    (text.len() == length && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

/// `hh:mm`, `hh:mm:ss`, `hh:mm:ss.f…`. Microseconds are what both databases keep; the rest is cut off.
fn time_of_day(text: &str) -> Option<NaiveTime> {
    let mut parts = text.split(':');
    let (hour, minute) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let seconds = parts.next().unwrap_or("00");
    if parts.next().is_some() {
        return None;
    }
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let micros = fraction.bytes().chain(std::iter::repeat(b'0')).take(6).fold(0, |n, b| n * 10 + u32::from(b - b'0'));
    match digits(whole, 2)? {
        // FHIR allows the leap second; we have no use for it.
        60 => NaiveTime::from_hms_micro_opt(hour, minute, 59, 999_999),
        second => NaiveTime::from_hms_micro_opt(hour, minute, second, micros),
    }
}

/// `Z`, `+hh:mm`, `-hh:mm`; also without the colon.
fn offset(text: &str) -> Option<TimeDelta> {
    if text.eq_ignore_ascii_case("z") {
        return Some(TimeDelta::zero());
    }
    let (sign, rest) = text.split_at(1);
    let (hours, minutes) = match rest.split_once(':') {
        Some(parts) => parts,
        None if rest.len() == 4 => rest.split_at(2),
        None => (rest, "00"),
    };
    let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
    if hours > 14 || minutes > 59 {
        return None;
    }
    let offset = TimeDelta::minutes(i64::from(hours * 60 + minutes));
    Some(if sign == "-" { -offset } else { offset })
}

/// A wall-clock time as an instant: the earlier of two when clocks go back, the first that exists when they jump.
fn local(time: NaiveDateTime, zone: Tz) -> DateTime<Utc> {
    // The longest jump on record skipped a whole day (Pacific/Apia, 2011).
    (0..=26 * 4)
        .filter_map(|quarters| time.checked_add_signed(TimeDelta::minutes(15 * quarters)))
        .find_map(|time| zone.from_local_datetime(&time).earliest())
        .map_or_else(|| time.and_utc(), |at| at.with_timezone(&Utc))
}

/// When evidence was taken, with what there is to say about it.
#[derive(Debug, Default)]
pub(super) struct DateReading {
    pub(super) taken: Option<EvidenceTime>,
    pub(super) doubt: Option<Doubt>,
    pub(super) issue: Option<DataQualityIssue>,
}

/// Reads the clinical date of a form or an Observation. Nothing is guessed.
pub(super) fn clinical(
    date: Option<&JsonNode<'_>>,
    expression: &str,
    context: &ReadingContext<'_>,
) -> Result<DateReading, Problem> {
    let doubtful = |code, detail: &str| DateReading {
        doubt: Some(Doubt { code, detail: format!("{expression} {detail}") }),
        ..DateReading::default()
    };
    let text = match date {
        None => return Ok(doubtful("no_authored", "is missing: it is unknown when this was taken")),
        Some(JsonNode::Text(text)) if text.trim().is_empty() => {
            return Ok(doubtful("no_authored", "is empty: it is unknown when this was taken"));
        }
        Some(JsonNode::Text(text)) => text,
        Some(_) => return Err(Problem::malformed("a date must be a string").at(expression)),
    };
    let impossible = || Problem::malformed("not a possible FHIR date").at(expression);
    let when = FhirDate::parse(text).ok_or_else(impossible)?;
    let Some(taken) = when.taken(context.zone) else {
        return Ok(doubtful("imprecise_authored", "is only a year or a month"));
    };
    let today = context.now.with_timezone(&context.zone).date_naive();
    let is_future = match when {
        FhirDate::Day(on) => Some(on) > today.checked_add_days(Days::new(1)),
        _ => taken.at > context.now + TimeDelta::days(1),
    };
    let issue = matches!(when, FhirDate::Local(_)).then(|| {
        DataQualityIssue::new("no_offset", format!("{expression} has no offset; taken as the clinic's local time"))
    });
    let doubt = is_future
        .then(|| Doubt { code: "future_authored", detail: format!("{expression} is more than one day in the future") });
    Ok(DateReading { taken: Some(taken), doubt, issue })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().with_timezone(&Utc)
    }

    #[test]
    fn every_precision_of_fhir_is_read() {
        let day = NaiveDate::from_ymd_opt(2026, 3, 4).unwrap();
        assert_eq!(FhirDate::parse("2026"), Some(FhirDate::Year));
        assert_eq!(FhirDate::parse("2026-03"), Some(FhirDate::Month));
        assert_eq!(FhirDate::parse("2026-03-04"), Some(FhirDate::Day(day)));
        for (text, instant) in [
            ("2026-03-04T10:00:00Z", "2026-03-04T10:00:00Z"),
            ("2026-03-04T10:00Z", "2026-03-04T10:00:00Z"),
            ("2026-03-04T10:00:00.1-05:00", "2026-03-04T15:00:00.1Z"),
            ("2026-03-04T10:00:00.123456789+09:30", "2026-03-04T00:30:00.123456Z"),
            ("2026-03-04T10:00:00+0000", "2026-03-04T10:00:00Z"),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(FhirDate::parse(text), Some(FhirDate::Instant(utc(instant))), "{text}");
        }
        assert_eq!(FhirDate::parse("2026-03-04T10:00:00"), day.and_hms_opt(10, 0, 0).map(FhirDate::Local));
    }

    #[test]
    fn an_impossible_date_is_none() {
        for text in [
            "2026-02-30",
            "2026-13",
            "2026-13-01",
            "0000",
            "26",
            "2026-1-1",
            "yesterday",
            "2026-03-04T25:00:00Z",
            "２０２６",
            "2026-03-04T10:00:00+25:00",
            "2026-03-04T",
            "2026-03-04T10:00:00.Z",
            "2026T10:00",
            "2026-03-04-05",
            "",
            "-",
            "2026-03-04T10:00:00é",
        ] {
            assert_eq!(FhirDate::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_day_starts_at_the_clinics_midnight() {
        let zone = chrono_tz::America::New_York;
        let taken = FhirDate::parse("2026-07-01").unwrap().taken(zone).unwrap();
        assert_eq!(taken.at, utc("2026-07-01T04:00:00Z"));
        let taken = FhirDate::parse("2026-07-01T02:00:00Z").unwrap().taken(zone).unwrap();
        assert_eq!(taken.on.to_string(), "2026-06-30");
    }

    #[test]
    fn a_time_that_the_clocks_skip_or_repeat_is_still_read() {
        let at = |text: &str, zone| FhirDate::parse(text).unwrap().taken(zone).unwrap();
        let new_york = chrono_tz::America::New_York;
        assert_eq!(at("2026-03-08T02:30:00", new_york).at, utc("2026-03-08T07:00:00Z"));
        assert_eq!(at("2026-11-01T01:30:00", new_york).at, utc("2026-11-01T05:30:00Z"));
        let cairo = at("2024-04-26", chrono_tz::Africa::Cairo);
        assert_eq!(cairo.on.to_string(), "2024-04-26", "midnight was skipped, the day was not");
        let apia = at("2011-12-30", chrono_tz::Pacific::Apia);
        assert_eq!((apia.on.to_string().as_str(), apia.at), ("2011-12-30", utc("2011-12-30T10:00:00Z")));
    }
}
