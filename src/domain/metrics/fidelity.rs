//! Fidelity: is the registry kept, are measures on schedule, are the weekly reviews held.

use std::collections::BTreeSet;

use chrono::Datelike;
use chrono::{Days, NaiveDate, Weekday};

use super::episode_month::{EpisodeMonth, seen, tested, which};
use super::tally::{MetricTally, Tallies};
use super::{Metric, MetricsFilter, Month};
use crate::domain::care::{Care, CareEntry};
use crate::domain::episode::Phase;
use crate::domain::rules::RuleSet;
use crate::domain::story::Story;

/// Whether the program is run as meant: contacts, measures, reviews, treatment changes, weekly meetings.
pub fn fidelity(stories: &[Story], rules: &RuleSet, month: Month) -> Vec<Metric> {
    fidelity_tallies(stories, rules, month, &MetricsFilter::default()).metrics()
}

/// The episodes in care in a month: not those that are on hold at its end.
pub(super) fn in_care<'a, 'b>(enrolled: &'b [EpisodeMonth<'a>]) -> Vec<&'b EpisodeMonth<'a>> {
    enrolled.iter().filter(|s| s.course.phase != Phase::OnHold).collect()
}

/// The same, to be counted on. A payer does not narrow it.
pub fn fidelity_tallies(stories: &[Story], rules: &RuleSet, month: Month, of: &MetricsFilter) -> Tallies {
    let enrolled = seen(stories, rules, month, of);
    let in_care = in_care(&enrolled);
    let not_improved: Vec<&EpisodeMonth<'_>> = in_care.iter().copied().filter(|s| s.is_not_improved()).collect();
    let held: BTreeSet<NaiveDate> = enrolled.iter().flat_map(reviews).map(monday).collect();
    Tallies(vec![
        MetricTally::count(1, "caseload", which(&in_care, |_| true)),
        MetricTally::rate(2, "treatment_contact_in_month", Some(0.80), tested(&in_care, |s| s.treated_in(month))),
        MetricTally::rate(3, "scale_in_month", Some(0.80), tested(&in_care, |s| s.measured_in(month))),
        MetricTally::rate(4, "measured_on_schedule", Some(0.80), tested(&in_care, |s| is_on_schedule(s, rules))),
        MetricTally::rate(
            5,
            "not_improved_treatment_changed",
            None,
            tested(&not_improved, EpisodeMonth::changed_lately),
        ),
        MetricTally::weeks(6, "weeks_with_a_case_review", weeks_of(month), held).remark("by week"),
        MetricTally::rate(7, "registry_kept", None, tested(&in_care, |s| is_kept(s, month)))
            .remark("something was documented in the month: an entry of the care team or a score"),
    ])
}

/// The primary scale is not overdue (R11) on the last day that the month knows.
fn is_on_schedule(s: &EpisodeMonth<'_>, rules: &RuleSet) -> bool {
    let cadence = &rules.cadence;
    let days = match s.course.phase {
        Phase::RelapsePrevention => cadence.measure_relapse_prevention_days,
        _ => cadence.measure_active_days,
    };
    let last = s.story.scores(s.course.episode.primary_instrument, s.until).last().map_or(s.start, |score| score.on);
    (s.until - last.max(s.start)).num_days() <= i64::from(days)
}

fn is_kept(s: &EpisodeMonth<'_>, month: Month) -> bool {
    s.measured_in(month) || month.contains(s.start) || s.course.entries.iter().any(|e| month.contains(e.on))
}

/// Every case review of an episode: the week that a month ends in may hold it in the next one.
fn reviews(s: &EpisodeMonth<'_>) -> Vec<NaiveDate> {
    let is_review =
        |e: &&CareEntry| e.episode == Some(s.course.episode.id) && matches!(e.care, Care::CaseReview { .. });
    s.story.standing_entries().into_iter().filter(is_review).map(|e| e.on).collect()
}

fn monday(date: NaiveDate) -> NaiveDate {
    date - Days::new(u64::from(date.weekday().num_days_from_monday()))
}

/// The weeks whose Tuesday lies in the month, by their Monday: each week belongs to one month.
fn weeks_of(month: Month) -> BTreeSet<NaiveDate> {
    month
        .first
        .iter_days()
        .take_while(|day| *day <= month.last)
        .filter(|day| day.weekday() == Weekday::Tue)
        .map(monday)
        .collect()
}
