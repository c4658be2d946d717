//! What may be said about a recommendation, and about the session a review belongs to.

use chrono::NaiveDate;
use uuid::Uuid;

use super::working_set::WorkingSet;
use crate::domain::care::{Care, RecommendationDecision, ReferralProgress};
use crate::domain::recommendation::{TrackedRecommendation, follow};
use crate::domain::story::Story;
use crate::id::EpisodeId;
use crate::problem::Problem;
use crate::store::review_session::SessionReview;

/// Whether a decision about a recommendation, or its progress, may follow what is known of it.
pub fn may_follow(story: &Story, care: &Care, on: NaiveDate) -> Result<(), Problem> {
    match care {
        Care::RecommendationDecision { recommendation, decision, .. } => {
            let followed = known(story, *recommendation, on, "decided_on")?;
            let allowed = followed.allowed();
            let now = followed.progress.filter(|p| matches!(p, ReferralProgress::Declined | ReferralProgress::Closed));
            let now = now.map_or_else(
                || followed.decision.map_or("undecided", RecommendationDecision::as_str),
                ReferralProgress::as_str,
            );
            permitted(allowed, decision, || format!("the recommendation is {now}: it cannot be {decision}"))
        }
        Care::RecommendationProgress { recommendation, progress, .. } => {
            let followed = known(story, *recommendation, on, "on")?;
            if !followed.recommendation.kind.is_followed() {
                let detail = "only a referral or a direct evaluation is followed on its way; decide on this one";
                return Err(Problem::unprocessable(detail).at("progress"));
            }
            if followed.progress_on.is_some_and(|before| on < before) {
                return Err(Problem::unprocessable("before the progress that was entered last").at("on"));
            }
            let decided = followed.decision.filter(|_| followed.progress.is_none());
            let now = decided
                .map(RecommendationDecision::as_str)
                .or(followed.progress.map(ReferralProgress::as_str))
                .unwrap_or("undecided");
            permitted(followed.allowed_progress(), progress, || {
                format!("the recommendation is {now}: it cannot be {progress}")
            })
        }
        Care::TreatmentChange { recommendation: Some(of), .. } if follow(story, *of).is_none() => {
            Err(Problem::unprocessable("no such recommendation").at("recommendation"))
        }
        _ => Ok(()),
    }
}

fn known(story: &Story, recommendation: Uuid, on: NaiveDate, field: &str) -> Result<TrackedRecommendation, Problem> {
    let absent = || Problem::unprocessable("no such recommendation").at("recommendation");
    let followed = follow(story, recommendation).ok_or_else(absent)?;
    if on < followed.recommended_on {
        let detail = format!("before the recommendation was made, {}", followed.recommended_on);
        return Err(Problem::unprocessable(detail).at(field));
    }
    Ok(followed)
}

fn permitted<T: PartialEq + ToString>(allowed: &[T], wanted: &T, detail: impl Fn() -> String) -> Result<(), Problem> {
    if allowed.contains(wanted) {
        return Ok(());
    }
    let mut problem = Problem::conflict(detail());
    problem.allowed = allowed.iter().map(ToString::to_string).collect();
    Err(problem)
}

/// Lets a case review be part of the session that it names: one of this clinic, not closed yet.
pub fn join_session(
    set: &mut WorkingSet,
    (entry, episode): (Uuid, EpisodeId),
    on: NaiveDate,
    care: &Care,
) -> Result<(), Problem> {
    let Care::CaseReview { session: Some(session), .. } = care else { return Ok(()) };
    let absent = || Problem::unprocessable("no such review session").at("session");
    let stored = set.review_session(*session)?.ok_or_else(absent)?;
    if stored.closed_at.is_some() {
        return Err(Problem::conflict("the review session is closed").at("session"));
    }
    if on < stored.held_on {
        let detail = format!("before the session was held, {}", stored.held_on);
        return Err(Problem::unprocessable(detail).at("reviewed_on"));
    }
    set.join_session(SessionReview { session: *session, review: entry, episode });
    Ok(())
}
