//! What becomes of a recommendation: decided by the patient's own doctor, then done.
//!
//! ```text
//!  undecided ──► accepted, modified ──► done
//!      │  └──────────────────────────────▲
//!      └──────► declined ──► accepted, modified
//! ```

use chrono::NaiveDate;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::care::{Care, Decision, Recommendation};
use super::story::Story;

/// A recommendation and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Followed {
    /// As recommended.
    #[serde(flatten)]
    pub recommendation: Recommendation,
    /// The case review it comes from.
    pub review: Uuid,
    /// The episode of that review.
    pub episode: Option<Uuid>,
    /// When it was made.
    pub recommended_on: NaiveDate,
    /// What was decided last; `null` while nobody has.
    pub decision: Option<Decision>,
    /// When.
    pub decided_on: Option<NaiveDate>,
    /// Why.
    pub reason: Option<String>,
}

impl Followed {
    /// What may be decided now. Doing what nobody has decided yet is accepting it; what was declined has to be accepted
    /// first.
    pub fn allowed(&self) -> &'static [Decision] {
        match self.decision {
            None => &[Decision::Accepted, Decision::Modified, Decision::Declined, Decision::Done],
            Some(Decision::Accepted) => &[Decision::Modified, Decision::Declined, Decision::Done],
            Some(Decision::Modified) => &[Decision::Accepted, Decision::Declined, Decision::Done],
            Some(Decision::Declined) => &[Decision::Accepted, Decision::Modified],
            Some(Decision::Done) => &[],
        }
    }
}

/// Every recommendation of the reviews that stand, in order of time.
pub fn followed(story: &Story) -> Vec<Followed> {
    let entries = story.standing_entries();
    let mut all: Vec<Followed> = Vec::new();
    for entry in &entries {
        let Care::CaseReview { recommendations, .. } = &entry.care else { continue };
        all.extend(recommendations.iter().map(|recommendation| Followed {
            recommendation: recommendation.clone(),
            review: entry.id,
            episode: entry.episode,
            recommended_on: entry.on,
            decision: None,
            decided_on: None,
            reason: None,
        }));
    }
    // In order of entry, not of date: who declines after accepting may date it the same day. Ids are ordered by time.
    let mut decisions: Vec<_> =
        entries.iter().filter(|e| matches!(e.care, Care::RecommendationDecision { .. })).collect();
    decisions.sort_by_key(|e| e.id);
    for entry in decisions {
        let Care::RecommendationDecision { recommendation, decision, reason, .. } = &entry.care else { continue };
        if let Some(one) = all.iter_mut().find(|f| f.recommendation.id == *recommendation) {
            one.decision = Some(*decision);
            one.decided_on = Some(entry.on);
            one.reason.clone_from(reason);
        }
    }
    all
}

/// One recommendation, if the review it comes from stands.
pub fn follow(story: &Story, recommendation: Uuid) -> Option<Followed> {
    followed(story).into_iter().find(|f| f.recommendation.id == recommendation)
}
