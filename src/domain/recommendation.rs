//! The life of a recommendation: the patient's own doctor decides, then it is done. A referral, or a direct evaluation,
//! is tracked to its end.
//!
//! ```text
//!  undecided ──► accepted, modified ──► done
//!      │  └──────────────────────────────▲
//!      └──────► declined ──► accepted, modified
//!
//!  ordered ◄──► scheduled ──► completed (done), declined, closed
//! ```

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::care::{Addressee, Care, CareEntry, ChangeKind, Recommendation, RecommendationDecision, ReferralProgress};
use super::conclusion::Conclusion;
use super::day::{after, beyond};
use super::episode::{Course, Phase};
use super::finding::Finding;
use super::rules::RuleSet;
use super::story::Story;
use super::task::Owner;
use crate::id::EpisodeId;

mod outcome;

pub use outcome::{MeasureChange, RecommendationDetail, listed, outcomes};

named! {
    /// How a recommendation stands.
    pub enum RecommendationState {
        /// Undecided.
        Undecided = "undecided",
        /// Accepted or modified, and not done yet.
        Open = "open",
        Done = "done",
        /// Will not be done.
        Declined = "declined",
        /// Ended without being done: a referral that was closed, or the episode is over.
        Closed = "closed",
        /// To go on as before: nothing to do.
        NothingToDo = "nothing_to_do",
    }
}

impl RecommendationState {
    /// Whether somebody still has to act.
    pub fn waits(self) -> bool {
        matches!(self, Self::Undecided | Self::Open)
    }
}

/// A recommendation and its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TrackedRecommendation {
    /// The recommendation.
    #[serde(flatten)]
    pub recommendation: Recommendation,
    /// The case review it comes from.
    pub review: Uuid,
    /// Reviewer who made it.
    pub reviewer: String,
    /// The review session it was made in.
    pub session: Option<Uuid>,
    /// The episode of that review.
    pub episode: Option<EpisodeId>,
    /// When it was made.
    pub recommended_on: NaiveDate,
    /// State of the concern.
    pub state: RecommendationState,
    /// Last decision; `null` before the first.
    pub decision: Option<RecommendationDecision>,
    /// Date in the clinic's time zone.
    pub decided_on: Option<NaiveDate>,
    /// Person who decided.
    pub decided_by: Option<String>,
    /// Why it was decided, or ended, so.
    pub reason: Option<String>,
    /// Progress of a referral or a direct evaluation.
    pub progress: Option<ReferralProgress>,
    /// Date of the progress.
    pub progress_on: Option<NaiveDate>,
    /// The appointment, while it is scheduled.
    pub scheduled_for: Option<NaiveDate>,
}

impl TrackedRecommendation {
    fn of(review: &CareEntry, recommendation: &Recommendation, reviewer: &str, session: Option<Uuid>) -> Self {
        Self {
            recommendation: recommendation.clone(),
            review: review.id,
            reviewer: reviewer.to_owned(),
            session,
            episode: review.episode,
            recommended_on: review.on,
            state: RecommendationState::Undecided,
            decision: None,
            decided_on: None,
            decided_by: None,
            reason: None,
            progress: None,
            progress_on: None,
            scheduled_for: None,
        }
    }

    fn decide(
        &mut self,
        decision: RecommendationDecision,
        on: NaiveDate,
        by: Option<&String>,
        reason: Option<&String>,
    ) {
        self.decision = Some(decision);
        self.decided_on = Some(on);
        self.decided_by = by.cloned();
        self.reason = reason.cloned();
    }

    /// One more entry about it.
    fn take(&mut self, entry: &CareEntry) {
        match &entry.care {
            Care::RecommendationDecision { decision, by, reason, .. } => {
                self.decide(*decision, entry.on, by.as_ref(), reason.as_ref());
            }
            Care::RecommendationProgress { progress, scheduled_for, by, reason, .. } => {
                self.progress = Some(*progress);
                self.progress_on = Some(entry.on);
                self.scheduled_for = *scheduled_for;
                match progress {
                    ReferralProgress::Completed => {
                        self.decide(RecommendationDecision::Done, entry.on, by.as_ref(), reason.as_ref());
                    }
                    // Acting on an undecided recommendation accepts it.
                    ReferralProgress::Ordered | ReferralProgress::Scheduled if self.decision.is_none() => {
                        self.decide(RecommendationDecision::Accepted, entry.on, by.as_ref(), reason.as_ref());
                    }
                    ReferralProgress::Ordered | ReferralProgress::Scheduled => {}
                    ReferralProgress::Declined | ReferralProgress::Closed => self.reason.clone_from(reason),
                }
            }
            _ => {}
        }
    }

    fn stands(&self) -> RecommendationState {
        match (self.progress, self.decision) {
            (Some(ReferralProgress::Declined | ReferralProgress::Closed), _) => RecommendationState::Closed,
            (_, Some(RecommendationDecision::Done)) => RecommendationState::Done,
            (_, Some(RecommendationDecision::Declined)) => RecommendationState::Declined,
            _ if self.recommendation.kind == ChangeKind::Continue => RecommendationState::NothingToDo,
            (_, None) => RecommendationState::Undecided,
            (_, Some(RecommendationDecision::Accepted | RecommendationDecision::Modified)) => RecommendationState::Open,
        }
    }

    /// Decisions allowed now. Doing an undecided recommendation accepts it; a declined one must be accepted first; a
    /// referral that has ended stays decided.
    pub fn allowed(&self) -> &'static [RecommendationDecision] {
        match (self.progress, self.decision) {
            (Some(ReferralProgress::Declined | ReferralProgress::Closed), _)
            | (_, Some(RecommendationDecision::Done)) => &[],
            (_, None) => &[
                RecommendationDecision::Accepted,
                RecommendationDecision::Modified,
                RecommendationDecision::Declined,
                RecommendationDecision::Done,
            ],
            (_, Some(RecommendationDecision::Accepted)) => {
                &[RecommendationDecision::Modified, RecommendationDecision::Declined, RecommendationDecision::Done]
            }
            (_, Some(RecommendationDecision::Modified)) => {
                &[RecommendationDecision::Accepted, RecommendationDecision::Declined, RecommendationDecision::Done]
            }
            (_, Some(RecommendationDecision::Declined)) => {
                &[RecommendationDecision::Accepted, RecommendationDecision::Modified]
            }
        }
    }

    /// Progress allowed now, for tracked recommendations. A declined one must be accepted first.
    pub fn allowed_progress(&self) -> &'static [ReferralProgress] {
        if !self.recommendation.kind.is_followed()
            || matches!(self.decision, Some(RecommendationDecision::Declined | RecommendationDecision::Done))
        {
            return &[];
        }
        match self.progress {
            None | Some(ReferralProgress::Scheduled) => ReferralProgress::ALL,
            Some(ReferralProgress::Ordered) => &ReferralProgress::ALL[1..],
            Some(ReferralProgress::Completed | ReferralProgress::Declined | ReferralProgress::Closed) => &[],
        }
    }

    /// By when it should be done: its appointment, the date that was recommended, or the rule set's. `None` where there
    /// is nothing to do.
    pub fn due_on(&self, rules: &RuleSet) -> Option<NaiveDate> {
        let kind = self.recommendation.kind;
        let days = match kind {
            ChangeKind::Continue => return None,
            _ if kind.is_followed() => rules.recommendations.referral_due_days,
            _ => rules.recommendations.due_days,
        };
        let due = self.scheduled_for.or(self.recommendation.due_on);
        Some(due.unwrap_or_else(|| after(self.recommended_on, days)).max(self.recommended_on))
    }

    /// When it was done.
    pub fn done_on(&self) -> Option<NaiveDate> {
        self.decided_on.filter(|_| self.decision == Some(RecommendationDecision::Done))
    }

    /// Role that should act on it.
    pub fn owner(&self) -> Owner {
        match self.recommendation.to {
            Addressee::PrimaryCare => Owner::PrimaryCareProvider,
            Addressee::CareManager => Owner::CareManager,
            Addressee::PsychiatricConsultant => Owner::PsychiatricConsultant,
        }
    }

    /// Sentence for the Task.
    pub fn sentence(&self) -> String {
        let mut said = format!(
            "{}, case review of {}: {}",
            self.reviewer,
            self.recommended_on,
            self.recommendation.text.trim_end_matches('.')
        );
        if let (Some(RecommendationDecision::Modified), Some(on)) = (self.decision, self.decided_on) {
            said = match &self.reason {
                Some(reason) => format!("{said}. Modified on {on}: {}", reason.trim_end_matches('.')),
                None => format!("{said}. Modified on {on}"),
            };
        }
        if let Some(on) = self.scheduled_for {
            said = format!("{said}. Scheduled for {on}");
        }
        format!("{said}.")
    }
}

/// The recommendation that an entry is about, if any.
fn subject(care: &Care) -> Option<Uuid> {
    match care {
        Care::RecommendationDecision { recommendation, .. } | Care::RecommendationProgress { recommendation, .. } => {
            Some(*recommendation)
        }
        _ => None,
    }
}

/// Every recommendation of an episode's reviews that stand, in order of time, as of the course's date.
pub fn of_course(course: &Course<'_>) -> Vec<TrackedRecommendation> {
    let mut all = followed_in(&course.entries);
    if course.end.is_some() {
        for one in all.iter_mut().filter(|one| one.state.waits()) {
            one.state = RecommendationState::Closed;
        }
    }
    all
}

/// The same of entries in order, whatever became of the episode.
fn followed_in(entries: &[&CareEntry]) -> Vec<TrackedRecommendation> {
    let mut all: Vec<TrackedRecommendation> = Vec::new();
    for entry in entries {
        let Care::CaseReview { reviewer, recommendations, session, .. } = &entry.care else { continue };
        all.extend(recommendations.iter().map(|one| TrackedRecommendation::of(entry, one, reviewer, *session)));
    }
    if all.is_empty() {
        return all;
    }
    // In order of entry, not of date: who declines after accepting may date it the same day. Ids are ordered by time.
    let mut about: Vec<(Uuid, &CareEntry)> = entries.iter().filter_map(|e| Some((subject(&e.care)?, *e))).collect();
    about.sort_by_key(|(_, entry)| entry.id);
    for (id, entry) in about {
        if let Some(one) = all.iter_mut().find(|f| f.recommendation.id == id) {
            one.take(entry);
        }
    }
    for one in &mut all {
        one.state = one.stands();
    }
    all
}

/// Every recommendation of the reviews that stand, in order of time.
pub fn followed(story: &Story) -> Vec<TrackedRecommendation> {
    let mut all: Vec<TrackedRecommendation> = story.courses(NaiveDate::MAX).iter().flat_map(of_course).collect();
    // What was recommended in a duplicate stands in the episode that stays, too: there it goes on.
    all.sort_by_key(|f| (f.recommended_on, f.review, f.recommendation.id, !f.state.waits()));
    all.dedup_by_key(|f| f.recommendation.id);
    all
}

/// One recommendation, if the review it comes from stands.
pub fn follow(story: &Story, recommendation: Uuid) -> Option<TrackedRecommendation> {
    followed(story).into_iter().find(|f| f.recommendation.id == recommendation)
}

/// Recommendations that wait for action on the course's date, with their due days; none before enrollment or after the
/// end.
pub fn waiting(course: &Course<'_>, rules: &RuleSet) -> Vec<(TrackedRecommendation, NaiveDate)> {
    if matches!(course.phase, Phase::Referred | Phase::Discharged) {
        return Vec::new();
    }
    let waiting = of_course(course).into_iter().filter(|f| f.state.waits());
    waiting.filter_map(|f| f.due_on(rules).map(|due| (f, due))).collect()
}

/// One finding for all overdue recommendations. None while treatment is on hold.
pub fn overdue(course: &Course<'_>, rules: &RuleSet) -> Option<Finding> {
    if !course.in_treatment() {
        return None;
    }
    let mut late: Vec<(NaiveDate, Uuid)> = waiting(course, rules)
        .into_iter()
        .filter(|(_, due)| course.as_of >= course.holds.next_treatment_day(beyond(*due, 0)))
        .map(|(f, due)| (course.holds.next_treatment_day(beyond(due, 0)), f.review))
        .collect();
    late.sort_unstable();
    let (since, _) = *late.first()?;
    let conclusion = Conclusion::RecommendationOverdue {
        count: late.len(),
        since,
        due_days: rules.recommendations.due_days,
        referral_due_days: rules.recommendations.referral_due_days,
    };
    let mut finding = Finding::new(conclusion, since);
    for (_, review) in late.iter().rev() {
        if !finding.evidence.contains(review) {
            finding.evidence.push(*review);
        }
    }
    Some(finding)
}
