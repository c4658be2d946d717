//! The eleven CoCM metrics of New York State OMH, 2025.

use std::collections::BTreeSet;

use chrono::Months;

use super::episode_month::{EpisodeMonth, seen, tested, which};
use super::tally::{MetricTally, Tallies};
use super::{Metric, MetricsFilter, Month};
use crate::domain::care::Payer;
use crate::domain::instrument::Instrument;
use crate::domain::rules::RuleSet;
use crate::domain::story::Story;
use crate::id::PatientId;

/// Rules for quality exports: no look-back for a baseline.
fn export_rules(rules: &RuleSet) -> RuleSet {
    let mut rules = rules.clone();
    rules.baseline.look_back_days = 0;
    rules
}

/// The eleven metrics. With a payer, metrics 2–8 are narrowed to the episodes whose patient it covered on any day of the
/// month. `stories` come from [`super::for_export`].
pub fn nys(stories: &[Story], rules: &RuleSet, month: Month, payer: Option<Payer>, fte: Option<f64>) -> Vec<Metric> {
    nys_tallies(stories, rules, month, &MetricsFilter { payer, care_manager: None }, fte).metrics()
}

/// The same, to be counted on. `fte` is what is attested for the whole clinic.
pub fn nys_tallies(stories: &[Story], rules: &RuleSet, month: Month, of: &MetricsFilter, fte: Option<f64>) -> Tallies {
    let rules = export_rules(rules);
    let enrolled = seen(stories, &rules, month, of);
    let narrowed: Vec<&EpisodeMonth<'_>> =
        enrolled.iter().filter(|s| of.payer.is_none_or(|payer| s.covered_by(payer, month))).collect();
    let covered = of.payer.unwrap_or(Payer::Medicaid);
    let ended: Vec<&&EpisodeMonth<'_>> =
        narrowed.iter().filter(|s| s.course.end.is_some_and(|end| month.contains(end.on))).collect();
    let due: Vec<&EpisodeMonth<'_>> = narrowed.iter().copied().filter(|s| s.should_be_improved()).collect();
    let not_improved: Vec<&EpisodeMonth<'_>> = narrowed.iter().copied().filter(|s| s.is_not_improved()).collect();

    let mut caseload = MetricTally::count(1, "enrolled", enrolled.iter().map(EpisodeMonth::id).collect());
    caseload = match (fte, &of.care_manager) {
        (_, Some(_)) => {
            caseload.remark("full-time equivalents are attested for the clinic: one care manager has no target")
        }
        (None, None) => {
            caseload.remark("the target is above 75 per care-manager FTE; no FTE is attested for this month")
        }
        (Some(fte), None) => caseload.target(Some(75.0 * fte)),
    };
    let covered_name = if of.payer.is_some() { "enrolled_with_payer" } else { "medicaid_enrolled" };
    let mut tallies = vec![
        caseload,
        MetricTally::count(2, covered_name, which(&narrowed, |s| s.covered_by(covered, month))),
        MetricTally::count(3, "newly_enrolled", which(&narrowed, |s| month.contains(s.start))),
        // Mean weeks from the initial assessment to discharge, one decimal.
        MetricTally::mean(4, "weeks_in_treatment", 7.0, ended.iter().map(|s| (s.id(), s.days())).collect()),
        MetricTally::rate(
            5,
            "contact_and_scale",
            Some(0.80),
            tested(&narrowed, |s| s.treated_in(month) && s.measured_in(month)),
        ),
        MetricTally::rate(6, "improved_after_70_days", Some(0.60), tested(&due, |s| s.track.improved_now())),
        MetricTally::rate(7, "remission", None, tested(&narrowed, |s| s.in_remission_in(month))),
        MetricTally::rate(8, "not_improved_reviewed", Some(0.80), tested(&not_improved, EpisodeMonth::reviewed_lately)),
    ];
    let mine: Option<BTreeSet<PatientId>> =
        of.care_manager.as_ref().map(|_| enrolled.iter().map(|s| s.story.patient.id).collect());
    tallies.extend(screening(stories, month, mine.as_ref()));
    tallies.push(MetricTally::attested(11, "care_manager_fte", fte.filter(|_| of.care_manager.is_none())));
    Tallies(tallies)
}

/// Metrics 9 and 10, by patient. "Seen" is what the registry can know: a contact that took place, or a form, this month.
fn screening(stories: &[Story], month: Month, only: Option<&BTreeSet<PatientId>>) -> [MetricTally; 2] {
    let phq = |i: Instrument| matches!(i, Instrument::Phq9 | Instrument::Phq2 | Instrument::Phq9Modified);
    let year_ago = month.last.checked_sub_months(Months::new(12)).unwrap_or(month.first);
    let mut screened = Vec::new();
    let mut positive = Vec::new();
    for story in stories.iter().filter(|s| only.is_none_or(|only| only.contains(&s.patient.id))) {
        let scored: Vec<_> = story.measurements.iter().filter(|m| m.score().is_some()).collect();
        let met = story.standing_entries().iter().any(|e| e.care.is_clinical_contact() && month.contains(e.on));
        if met || scored.iter().any(|m| month.contains(m.taken_on)) {
            let done = scored.iter().any(|m| phq(m.instrument) && m.taken_on > year_ago && m.taken_on <= month.last);
            screened.push((story.patient.id.0, done));
        }
        let nine = |i: Instrument| matches!(i, Instrument::Phq9 | Instrument::Phq9Modified);
        let initial = scored.iter().filter(|m| nine(m.instrument)).min_by_key(|m| (m.taken_at, m.id));
        if let Some(initial) = initial.filter(|m| month.contains(m.taken_on)) {
            positive.push((story.patient.id.0, initial.score().is_some_and(|total| total >= 10)));
        }
    }
    let remarks = match only {
        None => [
            "by patient; seen means a contact that took place or a form in the month, as the registry knows it",
            "by patient",
        ],
        Some(_) => ["by patient; of those in this caseload in the month"; 2],
    };
    [
        MetricTally::rate(9, "phq_screened", Some(0.85), screened).remark(remarks[0]),
        MetricTally::rate(10, "initial_phq9_elevated", None, positive).remark(remarks[1]),
    ]
}
