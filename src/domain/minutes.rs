//! Care-manager minutes by calendar month, and the billing codes they suggest. Suggest, never decide.
//!
//! Thresholds: CPT 99492–99494, G2214, 99484; half of a code's time plus a minute is enough.

use chrono::{DateTime, Days, Months, NaiveDate, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::care::{Care, ContactOutcome};
use super::episode::Course;
use super::metrics::Month;

/// Months without CoCM before a month is a "first" one again.
const FIRST_AGAIN_AFTER: u32 = 6;

/// The minutes of one episode in one month.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EpisodeMinutes {
    /// The episode.
    pub episode: Uuid,
    /// Minutes of the care manager that count; overlapping intervals once.
    pub minutes: i64,
    /// Minutes that do not count, with the reason.
    pub left_out: Vec<LeftOut>,
    /// Whether this is a first month of care.
    pub first_month: bool,
    /// What the minutes suggest.
    pub suggested_codes: Vec<Suggestion>,
    /// How the suggestion came about.
    pub reasoning: String,
}

/// Minutes that do not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeftOut {
    /// The entry.
    pub entry: Uuid,
    /// Its minutes.
    pub minutes: i64,
    /// Why they do not count.
    pub reason: String,
}

/// A billing code and how many times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Suggestion {
    /// The code.
    pub code: String,
    /// Units.
    pub units: i64,
}

fn suggest(code: &str, units: i64) -> Suggestion {
    Suggestion { code: code.to_owned(), units }
}

/// Minutes and suggestions for one episode. `earlier` are the dates of care before this month, in any episode.
pub fn of(course: &Course<'_>, month: Month, earlier: &[NaiveDate]) -> EpisodeMinutes {
    let mut left_out = Vec::new();
    let mut timed: Vec<(DateTime<Utc>, DateTime<Utc>)> = Vec::new();
    let mut untimed = 0_i64;
    for entry in &course.entries {
        let Care::Contact { minutes: Some(minutes), outcome, starts_at, .. } = &entry.care else { continue };
        if entry.on < month.first || entry.on > month.last {
            continue;
        }
        let minutes = i64::from(*minutes);
        let reason = if course.episode.consent_on.is_none_or(|consent| entry.on < consent) {
            Some("before consent")
        } else if course.end.is_some_and(|end| entry.on > end.on) {
            Some("after discharge")
        } else if *outcome == ContactOutcome::NotReached {
            Some("nobody was reached")
        } else {
            None
        };
        if let Some(reason) = reason {
            left_out.push(LeftOut { entry: entry.id, minutes, reason: reason.to_owned() });
        } else if let Some(from) = starts_at {
            timed.push((*from, *from + TimeDelta::minutes(minutes)));
        } else {
            untimed += minutes;
        }
    }
    let minutes = union(timed) + untimed;
    let first_month = !recently(earlier, month);
    let (suggested_codes, reasoning) = codes(minutes, first_month);
    EpisodeMinutes { episode: course.episode.id, minutes, left_out, first_month, suggested_codes, reasoning }
}

/// Whole minutes covered by the intervals, overlaps once.
fn union(mut intervals: Vec<(DateTime<Utc>, DateTime<Utc>)>) -> i64 {
    intervals.sort_unstable();
    let mut total = TimeDelta::zero();
    let mut reached: Option<DateTime<Utc>> = None;
    for (from, to) in intervals {
        let from = reached.map_or(from, |reached| from.max(reached));
        if to > from {
            total += to - from;
            reached = Some(to);
        }
    }
    total.num_minutes()
}

/// Whether there was care in the six months before.
fn recently(earlier: &[NaiveDate], month: Month) -> bool {
    let from = month.first.checked_sub_months(Months::new(FIRST_AGAIN_AFTER)).unwrap_or(month.first);
    earlier.iter().any(|on| *on >= from && *on <= month.first - Days::new(1))
}

fn codes(minutes: i64, first: bool) -> (Vec<Suggestion>, String) {
    let (base, enough, whole) = if first { ("99492", 36, 70) } else { ("99493", 31, 60) };
    let which = if first { "first" } else { "later" };
    if minutes >= enough {
        // A further 30 minutes count from their 16th on.
        let more = ((minutes - whole - 16).div_euclid(30) + 1).max(0);
        let mut suggested = vec![suggest(base, 1)];
        if more > 0 {
            suggested.push(suggest("99494", more));
        }
        let reasoning = format!(
            "{minutes} minutes in a {which} month: {base} from {enough}, 99494 from {} and every 30 further minutes.",
            whole + 16
        );
        return (suggested, reasoning);
    }
    if minutes >= 16 {
        let mut suggested = vec![suggest("G2214", 1)];
        if minutes >= 20 {
            suggested.push(suggest("99484", 1));
        }
        return (
            suggested,
            format!(
                "{minutes} minutes in a {which} month do not reach {base} ({enough}): G2214 from 16; from 20 also 99484, instead of and never beside a CoCM code."
            ),
        );
    }
    (Vec::new(), format!("{minutes} minutes in a {which} month reach no code."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(minutes: i64, first: bool) -> Vec<(String, i64)> {
        codes(minutes, first).0.into_iter().map(|s| (s.code, s.units)).collect()
    }

    #[test]
    fn the_thresholds_are_the_published_ones() {
        assert_eq!(units(35, true), vec![("G2214".into(), 1), ("99484".into(), 1)]);
        assert_eq!(units(36, true), vec![("99492".into(), 1)]);
        assert_eq!(units(85, true), vec![("99492".into(), 1)]);
        assert_eq!(units(86, true), vec![("99492".into(), 1), ("99494".into(), 1)]);
        assert_eq!(units(116, true), vec![("99492".into(), 1), ("99494".into(), 2)]);
        assert_eq!(units(146, true), vec![("99492".into(), 1), ("99494".into(), 3)]);
        assert_eq!(units(30, false), vec![("G2214".into(), 1), ("99484".into(), 1)]);
        assert_eq!(units(31, false), vec![("99493".into(), 1)]);
        assert_eq!(units(76, false), vec![("99493".into(), 1), ("99494".into(), 1)]);
        assert_eq!(units(106, false), vec![("99493".into(), 1), ("99494".into(), 2)]);
        assert_eq!(units(136, false), vec![("99493".into(), 1), ("99494".into(), 3)]);
        assert_eq!(units(15, true), vec![]);
    }

    #[test]
    fn overlapping_intervals_count_once() {
        let at = |minute: i64| DateTime::from_timestamp(minute * 60, 0).unwrap();
        assert_eq!(union(vec![(at(0), at(30)), (at(20), at(40)), (at(25), at(30)), (at(60), at(70))]), 50);
    }
}
