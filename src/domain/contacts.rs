//! The next appointment, and courses of brief treatment, from the contacts.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::care::{Care, ContactKind, Intervention};
use super::day;
use super::episode::{Course, Phase};
use super::rules::BriefTreatment;

/// The next appointment that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NextContact {
    /// Date in the clinic's time zone.
    pub on: NaiveDate,
    /// The contact at which it was made.
    pub entry: Uuid,
    /// The day is past, and no outcome is documented.
    pub missed: bool,
}

/// The next appointment of an open episode: the one made last, until a treatment contact or a scheduled one, attended
/// or not, is documented on its day or later. Without that it stays, as missed.
pub fn next_contact(course: &Course<'_>) -> Option<NextContact> {
    if course.phase == Phase::Discharged {
        return None;
    }
    let mut next: Option<NextContact> = None;
    for entry in &course.entries {
        let Care::Contact { purpose, scheduled, next_contact_on, .. } = &entry.care else { continue };
        let accounts_for_it = *scheduled || *purpose == ContactKind::Treatment;
        next = next.filter(|next| entry.on < next.on || !accounts_for_it);
        if let Some(on) = *next_contact_on {
            next = Some(NextContact { on, entry: entry.id, missed: on < course.as_of });
        }
    }
    next
}

named! {
    /// How a course of brief treatment stands.
    pub enum CourseStatus {
        /// There is time left.
        InProgress = "in_progress",
        /// Enough sessions, in time.
        Completed = "completed",
        /// The time is over, and there were too few sessions.
        NotCompleted = "not_completed",
    }
}

/// A course of one brief treatment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TreatmentCourse {
    /// The treatment.
    pub intervention: Intervention,
    /// The first session.
    pub started_on: NaiveDate,
    /// The last day on which a session still belongs to it.
    pub due_on: NaiveDate,
    /// How many sessions there were: days with an attended treatment contact that delivered it.
    pub sessions: u16,
    /// How many make it complete.
    pub sessions_needed: u16,
    /// The day of the session that completed it.
    pub completed_on: Option<NaiveDate>,
    /// State of the concern.
    pub status: CourseStatus,
}

/// Every course of brief treatment in an episode, in order of their first session. A session after the last day of a
/// course begins another one.
pub fn brief_treatments(course: &Course<'_>, rules: &BriefTreatment) -> Vec<TreatmentCourse> {
    let mut all: Vec<(TreatmentCourse, NaiveDate)> = Vec::new();
    for entry in &course.entries {
        let Care::Contact { interventions, .. } = &entry.care else { continue };
        if !entry.care.is_clinical_contact() || entry.on > course.last_day() {
            continue;
        }
        for intervention in interventions.iter().filter_map(|words| Intervention::named(words)) {
            if !intervention.is_brief_treatment() {
                continue;
            }
            let current = all.iter_mut().rev().find(|(c, _)| c.intervention == intervention && entry.on <= c.due_on);
            match current {
                // Two on one day are one session.
                Some((_, last)) if *last == entry.on => {}
                Some((current, last)) => {
                    current.sessions += 1;
                    *last = entry.on;
                    if current.sessions == current.sessions_needed {
                        current.completed_on = Some(entry.on);
                    }
                }
                None => all.push((
                    TreatmentCourse {
                        intervention,
                        started_on: entry.on,
                        due_on: day::after(entry.on, rules.within_days),
                        sessions: 1,
                        sessions_needed: rules.sessions,
                        completed_on: (rules.sessions == 1).then_some(entry.on),
                        status: CourseStatus::InProgress,
                    },
                    entry.on,
                )),
            }
        }
    }
    let is_over = |due_on: NaiveDate| course.phase == Phase::Discharged || course.as_of > due_on;
    let with_status = |(mut one, _): (TreatmentCourse, NaiveDate)| {
        one.status = match one.completed_on {
            Some(_) => CourseStatus::Completed,
            None if is_over(one.due_on) => CourseStatus::NotCompleted,
            None => CourseStatus::InProgress,
        };
        one
    };
    all.into_iter().map(with_status).collect()
}
