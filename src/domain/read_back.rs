//! Changes that people make to our Tasks in the chart, and their effect here.
//!
//! A closed Task is a statement about the Task. The work itself counts when it is documented: closing a Task does not
//! assess a suicide risk or hold a case review. Only a recommendation is decided by its Task, because a decision is all
//! that it asks for.

use chrono::NaiveDate;
use uuid::Uuid;

use super::care::{Care, CareEntry, DELETED, RecommendationDecision};
use super::episode::Course;
use super::finding::{Finding, Rule};
use super::story::Story;
use super::task::Code;

named! {
    /// How the chart differs from what we wrote there.
    pub enum Drift {
        /// A person closed it: it stays closed.
        ClosedByPerson = "closed_by_person",
        /// A person changed it, which is theirs to do: an owner, a priority, a note, a status.
        ChangedByPerson = "changed_by_person",
        /// Deleted in the chart. It is not written again.
        Deleted = "deleted",
        /// The chart differs from what we wrote, and no person's change explains it, as after a restore from a backup.
        OursLost = "ours_lost",
        /// It names another patient now: its state there says nothing about this patient.
        NamesAnotherPatient = "names_another_patient",
    }
}

/// Whether the status is final.
pub fn is_closed(status: &str) -> bool {
    matches!(status, "completed" | "cancelled" | "rejected" | "failed" | "entered-in-error" | "inactive" | DELETED)
}

/// Decision that a Task's status means for its recommendation. `failed` and `entered-in-error` decide nothing.
pub fn decision(status: &str) -> Option<RecommendationDecision> {
    match status {
        "accepted" | "in-progress" => Some(RecommendationDecision::Accepted),
        "completed" => Some(RecommendationDecision::Done),
        "rejected" | "cancelled" => Some(RecommendationDecision::Declined),
        _ => None,
    }
}

/// The last reported status of a delivery, even if the entry was taken back. In order of entry: ids are ordered by
/// time.
pub fn reported_status(story: &Story, of: Uuid) -> Option<&str> {
    let told = story.entries.iter().filter_map(|entry| match &entry.care {
        Care::SetInChart { delivery, status, .. } if *delivery == of => Some((entry.id, status.as_str())),
        _ => None,
    });
    told.max_by_key(|(id, _)| *id).map(|(_, status)| status)
}

/// When the Task of a cause was closed in the chart; `None` while it is not, or stands open again. `entries` are in
/// order of time.
pub fn closed_on(entries: &[&CareEntry], cause: &str) -> Option<NaiveDate> {
    let said = entries.iter().rev().find_map(|entry| match &entry.care {
        Care::SetInChart { key, status, .. } if key == cause => Some((entry.on, status)),
        _ => None,
    });
    said.filter(|(_, status)| is_closed(status)).map(|(on, _)| on)
}

/// A Task that asked for a case review was completed, and no review since its cause is on record: somebody has to
/// document it, or to hold it.
pub fn review_undocumented(course: &Course<'_>) -> Option<Finding> {
    if !course.in_treatment() {
        return None;
    }
    let asked = |entry: &CareEntry| match &entry.care {
        Care::SetInChart { code: Code::PsychiatricCaseReview, key, since, .. } => Some((key.clone(), *since)),
        _ => None,
    };
    let completed =
        |entry: &&&CareEntry| matches!(&entry.care, Care::SetInChart { status, .. } if status == "completed");
    let last_word = |entry: &&&CareEntry| {
        let key = asked(entry).map(|(key, _)| key);
        let later = course.entries.iter().rfind(|other| asked(other).map(|(key, _)| key) == key);
        later.is_some_and(|later| later.id == entry.id)
    };
    let undocumented = |entry: &&&CareEntry| {
        let Some((_, since)) = asked(entry) else { return false };
        let changed = course.plan_start().is_some_and(|start| start > entry.on);
        !changed && !course.reviews(false).any(|on| on >= since)
    };
    let first = course.entries.iter().filter(completed).filter(last_word).find(undocumented)?;
    let reason =
        format!("The case review was marked as completed in the chart on {}, and none is documented.", first.on);
    let mut finding = Finding::new(Rule::ReviewUndocumented, None, first.on, reason);
    finding.evidence.push(first.id);
    Some(finding)
}
