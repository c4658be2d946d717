//! R13: what is expected before a patient graduates.

use super::care::Care;
use super::chart_plan::plan_without_outlook;
use super::rules::RuleSet;
use super::story::Story;
use crate::id::EpisodeId;
use chrono::NaiveDate;

/// What is missing for a graduation on a date: each a sentence that asks for a reason.
pub fn missing(story: &Story, rules: &RuleSet, episode: EpisodeId, on: NaiveDate) -> Vec<&'static str> {
    let plan = plan_without_outlook(story, rules, on);
    let standing = plan.standings.iter().find(|standing| standing.episode == episode);
    let is_plan = |care: &Care| matches!(care, Care::RelapsePrevention { .. });
    // A discharge that was taken back does not count.
    let has_plan = story.standing_entries().iter().any(|e| e.episode == Some(episode) && is_plan(&e.care));
    let mut missing = Vec::new();
    if !has_plan {
        missing
            .push("A relapse-prevention plan is expected before graduation; the note does not say why there is none.");
    }
    // The primary measure says it: one that was never taken beside it is no lack of response.
    let primary = standing.and_then(|standing| standing.measures.first());
    if !primary.is_some_and(|measure| measure.response || measure.remission) {
        missing.push(
            "Response is expected before graduation; the note does not say why the patient graduates without it.",
        );
    }
    missing
}
