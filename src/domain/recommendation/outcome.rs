//! Outcomes: the score before a recommendation, and the first one after it was done.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{TrackedRecommendation, of_course};
use crate::domain::day::{after, before};
use crate::domain::episode::Course;
use crate::domain::history::History;
use crate::domain::instrument::Instrument;
use crate::domain::rules::RuleSet;
use crate::domain::story::Score;
use crate::domain::target::ReferenceSummary;

/// One targeted measure around a recommendation. Says what came after it, not what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MeasureChange {
    /// The measure.
    pub instrument: Instrument,
    /// The latest score when it was recommended.
    pub before: Option<ReferenceSummary>,
    /// The first score long enough after it was done (28 days, unless the rule set says otherwise).
    pub after: Option<ReferenceSummary>,
    /// Points from the one to the other; below 0 is better.
    pub change: Option<i32>,
    /// The latest score of the episode since it was recommended.
    pub latest: Option<ReferenceSummary>,
}

/// Each targeted measure of the episode around one of its recommendations, the primary one first.
pub fn outcomes(
    history: &History<'_>,
    course: &Course<'_>,
    followed: &TrackedRecommendation,
    rules: &RuleSet,
) -> Vec<MeasureChange> {
    let mut instruments = vec![course.episode.primary_instrument];
    instruments.extend(&course.episode.target_instruments);
    let mut seen = Vec::new();
    instruments.retain(|i| {
        !seen.contains(i) && {
            seen.push(*i);
            true
        }
    });
    let from = course.start().map(|start| before(start, rules.baseline.look_back_days));
    instruments
        .into_iter()
        .map(|instrument| {
            let scores = history.scores(instrument, course.last_day());
            let scores = &scores[scores.partition_point(|s| from.is_some_and(|from| s.on < from))..];
            outcome(instrument, scores, followed, rules)
        })
        .collect()
}

fn outcome(
    instrument: Instrument,
    scores: &[Score<'_>],
    followed: &TrackedRecommendation,
    rules: &RuleSet,
) -> MeasureChange {
    let (known, since) = scores.split_at(scores.partition_point(|s| s.on <= followed.recommended_on));
    let long_after = |done: NaiveDate| after(done, rules.recommendations.outcome_after_days);
    let later = followed.done_on().and_then(|done| since.iter().find(|s| s.on >= long_after(done)));
    let before = known.last();
    let change = before.zip(later).map(|(before, later)| i32::from(later.total) - i32::from(before.total));
    let summary = |score: &Score<'_>| ReferenceSummary {
        score: score.total,
        taken_on: score.on,
        measurement: score.measurement.id,
    };
    MeasureChange {
        instrument,
        before: before.map(summary),
        after: later.map(summary),
        change,
        latest: since.last().map(summary),
    }
}

/// A recommendation as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecommendationDetail {
    /// The recommendation and its state.
    #[serde(flatten)]
    pub followed: TrackedRecommendation,
    /// By when it should be done, by the recommendation's own date, its appointment or the rule set; `null` where there
    /// is nothing to do.
    pub due_by: Option<NaiveDate>,
    /// Each targeted measure before and after it.
    pub outcomes: Vec<MeasureChange>,
}

/// Every recommendation of a story on a date, in order of time.
pub fn listed(history: &History<'_>, rules: &RuleSet, as_of: NaiveDate) -> Vec<RecommendationDetail> {
    let mut all: Vec<RecommendationDetail> = Vec::new();
    for course in history.courses(as_of) {
        all.extend(of_course(&course).into_iter().map(|followed| RecommendationDetail {
            due_by: followed.due_on(rules),
            outcomes: outcomes(history, &course, &followed, rules),
            followed,
        }));
    }
    all.sort_by_key(|one| (one.followed.recommended_on, one.followed.review));
    all
}
