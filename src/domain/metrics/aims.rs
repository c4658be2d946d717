//! Process measures after the AIMS Center, University of Washington: how large the caseload is, how often its patients are
//! met, and whether those who do not improve are reviewed and their treatment changed.

use super::episode_month::{EpisodeMonth, seen, tested, which};
use super::fidelity::in_care;
use super::tally::{MetricTally, Tallies};
use super::{MetricsFilter, Month};
use crate::domain::rules::RuleSet;
use crate::domain::story::Story;

/// The process measures of a month, to be counted on. A payer does not narrow them.
pub fn aims_tallies(stories: &[Story], rules: &RuleSet, month: Month, of: &MetricsFilter) -> Tallies {
    let enrolled = seen(stories, rules, month, of);
    let in_care = in_care(&enrolled);
    let not_improved: Vec<&EpisodeMonth<'_>> = in_care.iter().copied().filter(|s| s.is_not_improved()).collect();
    let contacts = in_care.iter().map(|s| (s.id(), i64::try_from(s.contacts_in(month)).unwrap_or(0))).collect();
    Tallies(vec![
        MetricTally::count(1, "caseload", which(&in_care, |_| true)),
        MetricTally::mean(2, "contacts_per_patient", 1.0, contacts)
            .remark("treatment contacts that took place, a mean"),
        MetricTally::rate(3, "treatment_contact_in_month", None, tested(&in_care, |s| s.treated_in(month))),
        MetricTally::rate(
            4,
            "reviewed_in_month",
            None,
            tested(&in_care, |s| s.course.reviews(true).any(|on| month.contains(on))),
        )
        .remark("with a recommendation"),
        MetricTally::rate(5, "not_improved_reviewed", None, tested(&not_improved, EpisodeMonth::reviewed_lately))
            .remark("in the 60 days up to the end of the month, or to discharge"),
        MetricTally::rate(
            6,
            "not_improved_treatment_changed",
            None,
            tested(&not_improved, EpisodeMonth::changed_lately),
        )
        .remark("in the 60 days up to the end of the month, or to discharge"),
    ])
}
