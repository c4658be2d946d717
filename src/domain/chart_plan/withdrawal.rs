//! How an open item ends that is no longer called for.

use chrono::NaiveDate;

use super::WorkItem;
use crate::domain::care::{RecommendationDecision, ReferralProgress};
use crate::domain::episode::{Course, Phase};
use crate::domain::finding::Rule;
use crate::domain::history::History;
use crate::domain::instrument::Instrument;
use crate::domain::measurement::EvidenceStatus;
use crate::domain::read_back;
use crate::domain::recommendation;
use crate::domain::story::Story;
use crate::domain::task::{Code, Posture};

/// Why something that stands open in the chart is not called for any more, and how it should end there.
pub fn resolve(open: &WorkItem, story: &Story, as_of: NaiveDate) -> (Posture, String) {
    if story.patient.deceased_on.is_some_and(|died| died <= as_of) {
        return (Posture::Withdrawn, "The patient has died.".to_owned());
    }
    let history = History::of(story);
    let evidence_gone = !open.evidence.is_empty() && open.evidence.iter().all(|s| !story.source_stands(s));
    // An assessment earlier on the day of the answer has not looked at it.
    let answered_at = story.measurements.iter().filter(|m| open.evidence.contains(&m.source)).map(|m| m.taken_at).max();
    let assessed = history
        .assessments(as_of)
        .iter()
        .find(|a| answered_at.map_or(a.on >= open.since, |answered_at| a.at >= answered_at))
        .map(|a| a.on);
    match open.code {
        Code::SafetyAssessment | Code::SafetyEscalation | Code::CocmSafety => {
            return match assessed {
                Some(on) => (Posture::Fulfilled, format!("Assessed on {on}.")),
                None if confirmed(open, &history, as_of) => {
                    (Posture::Fulfilled, "The corrected answer was confirmed in the chart.".to_owned())
                }
                // Never "entered in error": the Task stays and asks a person to confirm.
                None if still_answered(open, story) => (
                    Posture::Withdrawn,
                    "No longer past due: its level was corrected, or the rules changed.".to_owned(),
                ),
                None => {
                    (Posture::Withdrawn, "The answer was corrected or withdrawn: confirm with the patient.".to_owned())
                }
            };
        }
        Code::AskItem9 if !evidence_gone => {
            let how =
                assessed.map_or_else(|| "Item 9 was answered since.".to_owned(), |on| format!("Assessed on {on}."));
            return (Posture::Fulfilled, how);
        }
        _ => {}
    }
    let course = open.episode.and_then(|id| history.courses(as_of).into_iter().find(|c| c.episode.id == id));
    if open.code == Code::Recommendation {
        return recommended(open, story, course.as_ref());
    }
    if let Some(reason) = course.as_ref().and_then(|course| done(open, story, course)) {
        return (Posture::Fulfilled, reason);
    }
    if evidence_gone {
        return (Posture::EnteredInError, "The questionnaire behind it was retracted.".to_owned());
    }
    if story.patient.inactive {
        return (Posture::Withdrawn, "The record is inactive in the chart.".to_owned());
    }
    let reason = course.and_then(|course| withdrawn(open, story, &course));
    (Posture::Withdrawn, reason.unwrap_or_else(|| "No longer called for by the present scores.".to_owned()))
}

/// Reason that follows from a recommendation's state, or from its review.
fn recommended(open: &WorkItem, story: &Story, course: Option<&Course<'_>>) -> (Posture, String) {
    let all = course.map(recommendation::of_course).unwrap_or_default();
    let Some(one) = all.iter().find(|f| open.key.contains(&f.recommendation.id.to_string())) else {
        return (Posture::EnteredInError, "The case review behind it was taken back.".to_owned());
    };
    let because = |what: &str, on: Option<NaiveDate>| {
        let on = on.map(|on| format!(" on {on}")).unwrap_or_default();
        match &one.reason {
            Some(reason) => format!("{what}{on}: {}.", reason.trim_end_matches('.')),
            None => format!("{what}{on}."),
        }
    };
    match (one.progress, one.decision) {
        (Some(ReferralProgress::Declined), _) => (Posture::Withdrawn, because("Not wanted", one.progress_on)),
        (Some(ReferralProgress::Closed), _) => (Posture::Withdrawn, because("Closed", one.progress_on)),
        (_, Some(RecommendationDecision::Done)) => {
            (Posture::Fulfilled, format!("Done on {}.", one.decided_on.unwrap_or(one.recommended_on)))
        }
        (_, Some(RecommendationDecision::Declined)) => (Posture::Withdrawn, because("Declined", one.decided_on)),
        _ if story.patient.inactive => (Posture::Withdrawn, "The record is inactive in the chart.".to_owned()),
        _ => (Posture::Withdrawn, "The episode has ended.".to_owned()),
    }
}

/// A person completed the Task in the chart after its answer was corrected.
fn confirmed(open: &WorkItem, history: &History<'_>, as_of: NaiveDate) -> bool {
    let forms = history.story.measurements.iter().filter(|m| open.evidence.contains(&m.source));
    let changed_at = forms.filter_map(|m| m.self_harm.changed_at).max();
    changed_at
        .is_some_and(|at| read_back::completed_since(history.entries(as_of), Code::SafetyAssessment, at).is_some())
}

/// An answer above 0 behind an open Task still stands.
fn still_answered(open: &WorkItem, story: &Story) -> bool {
    story.measurements.iter().any(|m| {
        open.evidence.contains(&m.source)
            && m.counting != EvidenceStatus::Retracted
            && m.item9.is_some_and(|answer| answer > 0)
    })
}

/// Reason why the item is fulfilled.
fn done(open: &WorkItem, story: &Story, course: &Course<'_>) -> Option<String> {
    match open.code {
        Code::PsychiatricCaseReview => course
            .reviews(open.rule == Rule::ReviewRequired)
            .find(|on| *on >= open.since)
            .map(|on| format!("Reviewed on {on}.")),
        Code::Measure => scored_since(open, story, course).then(|| "Measured since.".to_owned()),
        Code::Contact => course.last_contact().filter(|on| *on >= open.since).map(|on| format!("Contact on {on}.")),
        Code::RelapsePreventionPlan => {
            (course.phase == Phase::RelapsePrevention).then(|| "Relapse prevention has begun.".to_owned())
        }
        Code::DischargeReview => course.end.map(|end| format!("Discharged on {}.", end.on)),
        Code::Reassess => course
            .baseline_overrides()
            .find(|(instrument, on)| Some(*instrument) == open.instrument && *on >= open.since)
            .map(|(_, on)| format!("A new baseline was set on {on}.")),
        Code::SafetyAssessment
        | Code::SafetyEscalation
        | Code::Recommendation
        | Code::AskItem9
        | Code::CocmNotAtTarget
        | Code::CocmSafety => None,
    }
}

/// Reason why the cause is gone, other than scores.
fn withdrawn(open: &WorkItem, story: &Story, course: &Course<'_>) -> Option<String> {
    let changed = course.treatment_changes().last().filter(|on| *on >= open.since);
    match (course.phase, open.code, open.rule) {
        (Phase::Discharged, ..) => Some("The episode has ended.".to_owned()),
        (Phase::OnHold, ..) => Some("The episode is on hold.".to_owned()),
        (_, Code::Contact | Code::DischargeReview, _) => {
            let last = course.last_contact()?;
            Some(format!("The record of contacts was completed: the last was on {last}."))
        }
        (_, _, Rule::ReviewRequired) if course.reviews(true).next().is_some() => {
            Some("The record of reviews was completed.".to_owned())
        }
        _ if changed.is_some() => changed.map(|on| format!("Treatment was changed on {on}.")),
        (_, _, Rule::InadequateResponse) if !scored_since(open, story, course) => {
            Some("Replaced by a later review.".to_owned())
        }
        _ => None,
    }
}

/// Whether each measure that the open Task is about has a score newer than those it rests on.
fn scored_since(open: &WorkItem, story: &Story, course: &Course<'_>) -> bool {
    let reasons = open.reasons.iter().map(|reason| reason.instrument);
    let mut instruments: Vec<Option<Instrument>> = reasons.chain([open.instrument]).collect();
    instruments.dedup();
    instruments.into_iter().all(|instrument| {
        let of_it = || story.measurements.iter().filter(|m| Some(m.instrument) == instrument);
        let known = of_it().filter(|m| open.evidence.contains(&m.source)).map(|m| m.taken_on).max();
        let after = known.or(course.start());
        of_it().any(|m| {
            m.score().is_some()
                && m.taken_on <= course.last_day()
                && after.is_none_or(|after| m.taken_on > after || (known.is_none() && m.taken_on == after))
        })
    })
}
