//! R10 measured: from the answer to item 9 to the documented assessment.

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::metrics::Month;
use super::safety::{Concern, ConcernState};

/// How long a patient waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct WaitingTime {
    /// Minutes between the two instants; `null` where one of them is known only as a date.
    pub minutes: Option<i64>,
    /// Days between the two local dates; 0 is the same day.
    pub days: i64,
}

/// From the first answer of a concern to its assessment; `None` while it is open. `only_a_day` knows the instants that
/// stand for a whole day.
pub fn to_assessment(concern: &Concern, only_a_day: &impl Fn(DateTime<Utc>) -> bool) -> Option<WaitingTime> {
    let (at, on) = (concern.assessed_at?, concern.assessed_on?);
    let known = !only_a_day(at) && !only_a_day(concern.answered_at);
    Some(WaitingTime {
        minutes: known.then(|| (at - concern.answered_at).num_minutes()),
        days: (on - concern.answered_on).num_days(),
    })
}

/// The safety concerns of a month: those answered in it, whenever they were assessed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Timeliness {
    /// How many.
    pub concerns: usize,
    /// At a level that cannot wait.
    pub high: usize,
    /// No higher than a level assessed shortly before: routine.
    pub repeated: usize,
    /// Assessed by now.
    pub assessed: usize,
    /// Assessed on the local day of the answer.
    pub assessed_same_day: usize,
    /// Unassessed.
    pub open: usize,
    /// Open, and due before today.
    pub overdue: usize,
    /// A step of the escalation chain was reached before the assessment.
    pub escalated: usize,
    /// Median of the minutes from answer to assessment, of those known to the minute; half minutes are rounded down.
    pub median_minutes: Option<i64>,
    /// The longest of them.
    pub longest_minutes: Option<i64>,
    /// Number of concerns with known minutes.
    pub timed: usize,
    /// The longest wait for an assessment in days, of all that were assessed.
    pub longest_days: Option<i64>,
    /// The earliest unassessed answer.
    pub open_since: Option<NaiveDate>,
}

/// Sums up the concerns of a month as they stand on a date.
pub fn of_month<'a>(
    concerns: impl Iterator<Item = &'a Concern>,
    month: Month,
    as_of: NaiveDate,
    only_a_day: &impl Fn(DateTime<Utc>) -> bool,
) -> Timeliness {
    let mut sum = Timeliness::default();
    let mut minutes = Vec::new();
    for concern in concerns.filter(|c| month.contains(c.answered_on)) {
        sum.concerns += 1;
        sum.high += usize::from(concern.high);
        sum.repeated += usize::from(concern.repeated);
        let until = concern.assessed_on.unwrap_or(as_of);
        sum.escalated += usize::from(concern.escalation.iter().any(|step| step.on <= until));
        if concern.state == ConcernState::Open {
            sum.open += 1;
            sum.overdue += usize::from(concern.due_on < as_of);
            sum.open_since = Some(sum.open_since.map_or(concern.answered_on, |on| on.min(concern.answered_on)));
        }
        if let Some(elapsed) = to_assessment(concern, only_a_day) {
            sum.assessed += 1;
            sum.assessed_same_day += usize::from(elapsed.days == 0);
            sum.longest_days = sum.longest_days.max(Some(elapsed.days));
            minutes.extend(elapsed.minutes);
        }
    }
    minutes.sort_unstable();
    sum.timed = minutes.len();
    sum.longest_minutes = minutes.last().copied();
    sum.median_minutes = match (minutes.len() / 2, minutes.len() % 2) {
        (0, 0) => None,
        (half, 0) => Some(i64::midpoint(minutes[half - 1], minutes[half])),
        (half, _) => Some(minutes[half]),
    };
    sum
}
