//! R7: which event the plan clock counts from, and why.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::care::{Care, CareEntry};
use super::episode::Course;

named! {
    /// Start of the plan clock.
    pub enum ClockBasis {
        /// Nothing was changed since enrollment.
        Enrollment = "enrolment",
        /// The last documented treatment change.
        TreatmentChange = "treatment_change",
        /// A recommendation that was done, without an entry of its own.
        Recommendation = "recommendation",
    }
}

/// Where the plan clock stands, explained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanClock {
    /// Day 0.
    pub started_on: NaiveDate,
    /// Event on that date.
    pub basis: ClockBasis,
    /// The entry, where it is one.
    pub entry: Option<Uuid>,
    /// A sentence.
    pub reason: String,
}

/// The plan clock of an episode; `None` while only referred.
pub fn plan_clock(course: &Course<'_>) -> Option<PlanClock> {
    let start = course.start()?;
    let Some(entry) = course.plan_opening() else {
        let reason = format!("Counts from enrollment on {start}: no treatment change has been documented since.");
        return Some(PlanClock { started_on: start, basis: ClockBasis::Enrollment, entry: None, reason });
    };
    let on = entry.on;
    let (basis, reason) = if let Care::TreatmentChange { changes, summary, medication, .. } = &entry.care {
        let kinds: Vec<&str> = changes.iter().map(|kind| kind.as_str()).collect();
        let taken: Vec<String> = medication.iter().map(|m| format!(" {}.", m.phrase())).collect();
        let summary = summary.trim_end_matches('.');
        let reason =
            format!("Counts from the treatment change of {on} ({}): {summary}.{}", kinds.join(", "), taken.concat());
        (ClockBasis::TreatmentChange, reason)
    } else {
        let text = recommended(course, entry).unwrap_or("as recommended");
        (ClockBasis::Recommendation, format!("Counts from {on}, when a recommendation was done: {text}"))
    };
    Some(PlanClock { started_on: entry.on, basis, entry: Some(entry.id), reason })
}

fn recommended<'a>(course: &Course<'a>, entry: &CareEntry) -> Option<&'a str> {
    let Care::RecommendationDecision { recommendation, .. } = &entry.care else { return None };
    course.entries.iter().find_map(|e| match &e.care {
        Care::CaseReview { recommendations, .. } => {
            recommendations.iter().find(|r| r.id == *recommendation).map(|r| r.text.as_str())
        }
        _ => None,
    })
}
