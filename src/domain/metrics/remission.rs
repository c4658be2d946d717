//! Remission and response after an elevated PHQ-9: HEDIS DRR-E and CMS159.
//!
//! Sources: NCQA, HEDIS "Depression Remission or Response for Adolescents and Adults"; CMS159 "Depression Remission at
//! Twelve Months" (MN Community Measurement). Both count the PHQ-9 modified for teens as a PHQ-9, and the last score of
//! the follow-up period.

use chrono::{Days, Months, NaiveDate};
use uuid::Uuid;

use super::Metric;
use super::tally::{MetricTally, Tallies};
use crate::domain::instrument::Instrument;
use crate::domain::story::Story;

/// Limits of the registry's HEDIS DRR-E denominator.
const DRR_REMARK: &str = "by patient; who died by the end of the year is left out. Age (12 or older), the diagnosis of \
    depression at an encounter, enrollment in the health plan, and the exclusions for bipolar, personality, psychotic and \
    pervasive developmental disorder and for hospice are not known here and not applied";

/// Limits of the registry's CMS159 denominator.
const CMS159_REMARK: &str = "by patient; who died by the end of the assessment period is left out. Age (12 or older), \
    the diagnosis of major depression or dysthymia at an encounter, and the exclusions for bipolar, personality, psychotic \
    and pervasive developmental disorder and for hospice or palliative care are not known here and not applied";

/// HEDIS DRR-E: of the index PHQ-9s above 9, those with a follow-up, in remission and with a response 120–240 days
/// later. The index lies between 1 May of the year before and 30 April of the measurement year.
pub fn hedis_drr(stories: &[Story], year: i32) -> Vec<Metric> {
    hedis_drr_tallies(stories, year).metrics()
}

/// The same, to be counted on. `stories` come from [`super::for_export`].
pub fn hedis_drr_tallies(stories: &[Story], year: i32) -> Tallies {
    let mut rows: [Vec<(Uuid, bool)>; 3] = Default::default();
    let day = |year, month, day| NaiveDate::from_ymd_opt(year, month, day).unwrap_or_default();
    let (from, to, end) = (day(year - 1, 5, 1), day(year, 4, 30), day(year, 12, 31));
    for (story, (on, score)) in indexes(stories, from, to) {
        if died_by(story, end) {
            continue;
        }
        let last = last_between(story, on + Days::new(120), on + Days::new(240));
        let id = story.patient.id.0;
        rows[0].push((id, last.is_some()));
        rows[1].push((id, last.is_some_and(|l| l < 5)));
        rows[2].push((id, last.is_some_and(|l| 2 * u32::from(l) <= u32::from(score))));
    }
    let [follow_up, remission, response] = rows;
    Tallies(vec![
        MetricTally::rate(1, "follow_up", None, follow_up).remark(DRR_REMARK),
        MetricTally::rate(2, "remission", None, remission).remark(DRR_REMARK),
        MetricTally::rate(3, "response", None, response).remark(DRR_REMARK),
    ])
}

/// CMS159: of the index PHQ-9s above 9, those in remission (below 5) 12 months later, give or take 60 days. The index
/// lies between 1 November two years before and 31 October of the year before the measurement year.
pub fn cms159(stories: &[Story], year: i32) -> Vec<Metric> {
    cms159_tallies(stories, year).metrics()
}

/// The same, to be counted on. `stories` come from [`super::for_export`].
pub fn cms159_tallies(stories: &[Story], year: i32) -> Tallies {
    let day = |year, month, day| NaiveDate::from_ymd_opt(year, month, day).unwrap_or_default();
    let (from, to) = (day(year - 2, 11, 1), day(year - 1, 10, 31));
    let mut rows = Vec::new();
    for (story, (on, _)) in indexes(stories, from, to) {
        let later = on.checked_add_months(Months::new(12)).unwrap_or(on);
        let (first, last) = (later - Days::new(60), later + Days::new(60));
        if !died_by(story, last) {
            rows.push((story.patient.id.0, last_between(story, first, last).is_some_and(|total| total < 5)));
        }
    }
    Tallies(vec![MetricTally::rate(1, "remission_at_12_months", None, rows).remark(CMS159_REMARK)])
}

fn died_by(story: &Story, date: NaiveDate) -> bool {
    story.patient.deceased_on.is_some_and(|died| died <= date)
}

/// Each patient's first PHQ-9 above 9 in a span: (when, points).
fn indexes(stories: &[Story], from: NaiveDate, to: NaiveDate) -> Vec<(&Story, (NaiveDate, u16))> {
    let index = |story| scores_between(story, from, to).into_iter().find(|(_, total)| *total > 9);
    stories.iter().filter_map(|story| index(story).map(|index| (story, index))).collect()
}

fn last_between(story: &Story, from: NaiveDate, to: NaiveDate) -> Option<u16> {
    scores_between(story, from, to).last().map(|(_, total)| *total)
}

/// The PHQ-9s of a span in order, one per form and day.
fn scores_between(story: &Story, from: NaiveDate, to: NaiveDate) -> Vec<(NaiveDate, u16)> {
    let mut scores: Vec<_> = [Instrument::Phq9, Instrument::Phq9Modified]
        .into_iter()
        .flat_map(|instrument| story.scores(instrument, to))
        .filter(|s| s.on >= from)
        .map(|s| (s.on, s.measurement.taken_at, s.total))
        .collect();
    scores.sort_unstable();
    scores.into_iter().map(|(on, _, total)| (on, total)).collect()
}
