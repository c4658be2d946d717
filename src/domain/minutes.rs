//! Care-manager minutes by calendar month, and the billing codes they suggest. Suggest, never decide.
//!
//! Thresholds: CPT 99492–99494, G2214, 99484; half of a code's time plus a minute is enough.

use chrono::{DateTime, Days, Months, NaiveDate, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::care::{Care, CareEntry, ContactKind, ContactOutcome};
use super::episode::Course;
use super::metrics::Month;
use super::story::Story;
use crate::id::EpisodeId;

/// Months without CoCM before a month is a "first" one again.
const FIRST_AGAIN_AFTER: u32 = 6;

/// The minutes of one episode in one month.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EpisodeMinutes {
    /// The episode.
    pub episode: EpisodeId,
    /// Minutes of the care manager that count; overlapping intervals once.
    pub minutes: i64,
    /// Minutes that do not count, with the reason.
    pub left_out: Vec<UncountedMinutes>,
    /// Whether this is a first month of care.
    pub first_month: bool,
    /// Billing codes that the minutes suggest.
    pub suggested_codes: Vec<BillingSuggestion>,
    /// How the suggestion came about.
    pub reasoning: String,
}

/// Minutes that do not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UncountedMinutes {
    /// Id of the entry.
    pub entry: Uuid,
    /// Its minutes.
    pub minutes: i64,
    /// Why they do not count.
    pub reason: String,
}

/// A billing code and how many times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BillingSuggestion {
    /// The code.
    pub code: String,
    /// Units.
    pub units: i64,
    /// The code that this one would take the place of: never both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead_of: Option<String>,
}

/// The first code, or further unit of one, that more minutes would reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NextCode {
    /// The code.
    pub code: String,
    /// Minutes still to be spent.
    pub minutes: i64,
}

named! {
    /// Documentation that CoCM codes ask for beside the minutes.
    pub enum MissingDocumentation {
        /// No consent is documented by the end of the month.
        Consent = "consent",
        /// No target measure was scored in the month.
        Score = "score",
        /// No case review with the psychiatric consultant is documented in the month.
        CaseReview = "case_review",
    }
}

/// Documentation still missing for the codes of a month.
pub fn missing(story: &Story, course: &Course<'_>, month: Month) -> Vec<MissingDocumentation> {
    let episode = course.episode;
    let has_consent = episode.consent_on.is_some_and(|on| on <= month.last);
    let has_score = episode
        .target_instruments
        .iter()
        .any(|one| story.scores(*one, month.last).last().is_some_and(|score| month.contains(score.on)));
    let is_review = |entry: &CareEntry| matches!(entry.care, Care::CaseReview { .. }) && month.contains(entry.on);
    let has_review = course.entries.iter().any(|entry| is_review(entry));
    let all = [
        (has_consent, MissingDocumentation::Consent),
        (has_score, MissingDocumentation::Score),
        (has_review, MissingDocumentation::CaseReview),
    ];
    all.into_iter().filter(|(is_there, _)| !is_there).map(|(_, missing)| missing).collect()
}

fn suggest(code: &str, units: i64) -> BillingSuggestion {
    BillingSuggestion { code: code.to_owned(), units, instead_of: None }
}

/// An interval of time, its end excluded.
pub type Interval = (DateTime<Utc>, DateTime<Utc>);

/// Minutes and suggestions for one episode. `span` is the month as instants: from its first local midnight up to that of
/// the next month. `earlier` are the dates of care before this month, in any episode.
pub fn of(course: &Course<'_>, month: Month, span: Interval, earlier: &[NaiveDate]) -> EpisodeMinutes {
    let mut left_out = Vec::new();
    let mut timed: Vec<Interval> = Vec::new();
    let mut untimed = 0_i64;
    for entry in &course.entries {
        let Care::Contact { minutes: Some(minutes), purpose, outcome, starts_at, .. } = &entry.care else { continue };
        let whole = i64::from(*minutes);
        let interval = starts_at.map(|from| (from, from + TimeDelta::minutes(whole)));
        // A contact over midnight of the last day is divided between two months.
        let within = match interval {
            Some((from, to)) => Some((from.max(span.0), to.min(span.1))).filter(|(from, to)| from < to),
            None => None,
        };
        if within.is_none() && !(interval.is_none() && month.contains(entry.on)) {
            continue;
        }
        let inside = within.map_or(whole, |(from, to)| (to - from).num_minutes());
        let mut leave = |minutes: i64, reason: &str| {
            left_out.push(UncountedMinutes { entry: entry.id, minutes, reason: reason.to_owned() });
        };
        match because(course, entry.on, *purpose, *outcome) {
            Some(reason) => leave(inside, reason),
            None => match within {
                Some(within) => {
                    timed.push(within);
                    if inside < whole {
                        leave(whole - inside, "in the next month or the one before");
                    }
                }
                None => untimed += whole,
            },
        }
    }
    let entered: i64 = untimed + timed.iter().map(|(from, to)| (*to - *from).num_minutes()).sum::<i64>();
    let minutes = union(timed) + untimed;
    let first_month = !recently(earlier, month);
    let (suggested_codes, reasoning) = codes(minutes, first_month);
    let mut counted = String::new();
    if entered > minutes {
        counted = format!("Of {entered} minutes {} overlap and count once. ", entered - minutes);
    }
    if !left_out.is_empty() {
        let minutes: i64 = left_out.iter().map(|l| l.minutes).sum();
        counted = format!("{counted}{minutes} minutes do not count: see left_out. ");
    }
    let reasoning = format!("{counted}{reasoning}");
    EpisodeMinutes { episode: course.episode.id, minutes, left_out, first_month, suggested_codes, reasoning }
}

/// Why the minutes of a contact do not count, if they do not.
fn because(course: &Course<'_>, on: NaiveDate, purpose: ContactKind, outcome: ContactOutcome) -> Option<&'static str> {
    match course.episode.consent_on {
        _ if !purpose.is_care_management() => Some("scheduling and clerical work"),
        None => Some("no consent is documented"),
        Some(consent) if on < consent => Some("before consent"),
        _ if course.end.is_some_and(|end| on > end.on) => Some("after discharge"),
        _ if outcome == ContactOutcome::NotReached => Some("nobody was reached"),
        _ => None,
    }
}

/// Whole minutes covered by the intervals; overlaps count once.
fn union(mut intervals: Vec<Interval>) -> i64 {
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

/// The least minutes of G2214.
const LEAST_G2214: i64 = 16;
/// The least minutes of 99484.
const LEAST_99484: i64 = 20;

/// The CoCM code of a month, the least minutes that reach it, and its whole time.
fn base_code(first: bool) -> (&'static str, i64, i64) {
    if first { ("99492", 36, 70) } else { ("99493", 31, 60) }
}

/// Units of 99494 beyond the whole time of the month's code: a further 30 minutes count from their 16th on.
fn further_units(minutes: i64, whole: i64) -> i64 {
    ((minutes - whole - 16).div_euclid(30) + 1).max(0)
}

/// The code, or the unit, that more minutes in this month would reach first.
pub fn next_code(minutes: i64, first: bool) -> NextCode {
    let (base, enough, whole) = base_code(first);
    let (code, from) = if minutes < LEAST_G2214 {
        ("G2214", LEAST_G2214)
    } else if minutes < enough {
        (base, enough)
    } else {
        ("99494", whole + 16 + 30 * further_units(minutes, whole))
    };
    NextCode { code: code.to_owned(), minutes: from - minutes }
}

fn codes(minutes: i64, first: bool) -> (Vec<BillingSuggestion>, String) {
    let (base, enough, whole) = base_code(first);
    let which = if first {
        "a first month (no care in the six months before)"
    } else {
        "a later month (there was care in the six months before)"
    };
    if minutes >= enough {
        let more = further_units(minutes, whole);
        let mut suggested = vec![suggest(base, 1)];
        if more > 0 {
            suggested.push(suggest("99494", more));
        }
        let reasoning = format!(
            "{minutes} minutes in {which}: {base} from {enough}, 99494 from {} and every 30 further minutes.",
            whole + 16
        );
        return (suggested, reasoning);
    }
    if minutes >= LEAST_G2214 {
        let mut suggested = vec![suggest("G2214", 1)];
        if minutes >= LEAST_99484 {
            suggested.push(BillingSuggestion { instead_of: Some("G2214".to_owned()), ..suggest("99484", 1) });
        }
        return (
            suggested,
            format!(
                "{minutes} minutes in {which} do not reach {base} ({enough}): G2214 from 16; from 20 also 99484, instead of and never beside a CoCM code."
            ),
        );
    }
    (Vec::new(), format!("{minutes} minutes in {which} reach no code: G2214 begins at 16."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(minutes: i64, first: bool) -> Vec<(String, i64)> {
        codes(minutes, first).0.into_iter().map(|s| (s.code, s.units)).collect()
    }

    #[test]
    fn the_thresholds_are_the_published_ones() {
        assert_eq!(units(16, true), vec![("G2214".into(), 1)]);
        assert_eq!(units(19, false), vec![("G2214".into(), 1)]);
        assert_eq!(units(20, false), vec![("G2214".into(), 1), ("99484".into(), 1)]);
        assert_eq!(codes(20, false).0[1].instead_of.as_deref(), Some("G2214"));
        assert_eq!(units(70, true), vec![("99492".into(), 1)], "the whole of it");
        assert_eq!(units(60, false), vec![("99493".into(), 1)], "the whole of it");
        assert_eq!(units(75, false), vec![("99493".into(), 1)]);
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
    fn the_next_code_is_the_first_that_more_minutes_reach() {
        let next = |minutes, first| {
            let next = next_code(minutes, first);
            (next.code, next.minutes)
        };
        assert_eq!(next(0, true), ("G2214".into(), 16));
        assert_eq!(next(16, true), ("99492".into(), 20));
        assert_eq!(next(30, false), ("99493".into(), 1));
        assert_eq!(next(31, false), ("99494".into(), 45));
        assert_eq!(next(76, false), ("99494".into(), 30));
        for minutes in 0..200 {
            for first in [true, false] {
                let more = minutes + next_code(minutes, first).minutes;
                assert!(units(more, first) != units(more - 1, first), "{minutes} {first}");
            }
        }
    }

    #[test]
    fn overlapping_intervals_count_once() {
        let at = |minute: i64| DateTime::from_timestamp(minute * 60, 0).unwrap();
        assert_eq!(union(vec![(at(0), at(30)), (at(20), at(40)), (at(25), at(30)), (at(60), at(70))]), 50);
    }
}
