//! One line of the caseload page, ready-made: small enough that thousands of them are read and written at once.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::attention::reasons;
use super::cadence;
use super::episode::Course;
use super::finding::Rule;
use super::history::History;
use super::instrument::Instrument;
use super::measurement::Measurement;
use super::rules::RuleSet;
use super::standing::Standing;
use super::target::{Basis, MeasureStatus};
use super::task::{ChartResource, Code};

/// Scores that a line shows of each measure: the last ones, after its baseline.
const POINTS: usize = 20;

/// Content of a caseload row beyond its columns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseloadRow {
    /// Each targeted measure; the primary one first.
    pub measures: Vec<MeasureCell>,
    /// The last answer to PHQ-9 item 9.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item9: Option<Item9>,
    /// The last clinical contact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_contact: Option<NaiveDate>,
    /// The next appointment; where none was made, when a contact is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_contact: Option<(NaiveDate, NextContactKind)>,
    /// The last case review.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_review: Option<NaiveDate>,
    /// Flagged by hand for the weekly review.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub flagged: bool,
    /// Tasks that stand open, with the day they should be done; soonest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub due: Vec<(Code, Option<NaiveDate>)>,
    /// The most pressing reason, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The rules that speak beside it, most pressing first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Rule>,
}

named! {
    /// Meaning of the next contact's date.
    pub enum NextContactKind {
        /// An appointment that was made.
        Appointment = "appointment",
        /// A past appointment without a documented outcome.
        Missed = "missed",
        /// None was made: the day it is due (R11).
        Due = "due",
    }
}

/// One measure of a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasureCell {
    pub instrument: Instrument,
    pub status: MeasureStatus,
    /// The baseline, its date and where it comes from.
    pub baseline: Option<(u16, NaiveDate, Basis)>,
    /// The latest score after it.
    pub latest: Option<(u16, NaiveDate)>,
    /// Change in whole percent of the baseline.
    pub percent: Option<i32>,
    /// At the target of this measure.
    pub at_target: bool,
    /// The highest score that is a response, from an elevated baseline.
    pub response_at: Option<u16>,
    /// Scores below are a remission.
    pub remission_below: u16,
    /// Days since the baseline and points, the baseline first, in order.
    pub series: Vec<(i32, u16)>,
}

/// An answer to PHQ-9 item 9.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item9 {
    pub answer: u8,
    pub on: NaiveDate,
    /// An earlier answer was above 0.
    pub before: bool,
}

impl CaseloadRow {
    /// The latest score of the first measure of this kind.
    pub fn latest(&self, is: impl Fn(Instrument) -> bool) -> Option<u16> {
        self.measures.iter().find(|gauge| is(gauge.instrument)).and_then(|gauge| gauge.latest).map(|(score, _)| score)
    }

    /// The line of one episode, beside its standing.
    pub fn of(history: &History<'_>, rules: &RuleSet, course: &Course<'_>, standing: &Standing) -> Self {
        let (why, also) = why(standing);
        Self {
            measures: standing.measures.iter().map(|m| gauge(history, rules, course, m)).collect(),
            item9: item9(history, course),
            last_contact: course.last_contact(),
            next_contact: next_contact(course, rules, standing),
            last_review: standing.reviewed_on,
            flagged: standing.discussion_flag,
            due: due(standing),
            why,
            also,
        }
    }
}

fn gauge(
    history: &History<'_>,
    rules: &RuleSet,
    course: &Course<'_>,
    measure: &super::target::MeasureSummary,
) -> MeasureCell {
    let numbers = rules.measure(measure.instrument);
    let baseline = measure.baseline.as_ref();
    let series = baseline.map_or_else(Vec::new, |baseline| {
        let scores = history.scores(measure.instrument, course.last_day());
        let later = &scores[scores.partition_point(|s| s.on <= baseline.taken_on)..];
        let days = |on: NaiveDate| i32::try_from((on - baseline.taken_on).num_days()).unwrap_or(i32::MAX);
        let last = &later[later.len().saturating_sub(POINTS)..];
        std::iter::once((0, baseline.score)).chain(last.iter().map(|s| (days(s.on), s.total))).collect()
    });
    MeasureCell {
        instrument: measure.instrument,
        status: measure.status,
        baseline: baseline.map(|b| (b.score, b.taken_on, b.basis)),
        latest: measure.latest.as_ref().map(|l| (l.score, l.taken_on)),
        percent: measure.percent_change,
        at_target: measure.at_target,
        response_at: baseline
            .filter(|_| measure.elevated)
            .and_then(|b| (0..=b.score).rev().find(|score| numbers.response.reached(b.score, *score))),
        remission_below: numbers.remission_below,
        series,
    }
}

fn item9(history: &History<'_>, course: &Course<'_>) -> Option<Item9> {
    let forms = history.forms(course.as_of);
    let has = |wanted: fn(Instrument) -> bool| forms.iter().any(|m| m.item9.is_some() && wanted(m.instrument));
    // A yes of a screener does not replace what the questionnaire says of how often.
    let asks_how_often = |instrument: Instrument| instrument.definition().item_max() > 1;
    let is_shown = |m: &&&Measurement| !has(asks_how_often) || asks_how_often(m.instrument);
    let mut answers = forms.iter().rev().filter(is_shown).filter_map(|m| Some((m.item9?, m.taken_on)));
    let (answer, on) = answers.next()?;
    Some(Item9 { answer, on, before: answers.any(|(earlier, _)| earlier > 0) })
}

/// The appointment that was made, else when a clinical contact is due (R11).
fn next_contact(course: &Course<'_>, rules: &RuleSet, standing: &Standing) -> Option<(NaiveDate, NextContactKind)> {
    if let Some(next) = &standing.next_contact {
        return Some((next.on, if next.missed { NextContactKind::Missed } else { NextContactKind::Appointment }));
    }
    let dates = cadence::contact_dates(course, rules).filter(|_| course.in_treatment())?;
    Some((dates.due, NextContactKind::Due))
}

fn due(standing: &Standing) -> Vec<(Code, Option<NaiveDate>)> {
    let tasks = standing.desired.iter().filter(|d| d.resource == ChartResource::Task);
    let mut due: Vec<_> = tasks.map(|d| (d.code, d.due_on)).collect();
    due.sort_by_key(|(code, on)| (on.is_none(), *on, *code));
    due.dedup();
    due
}

/// First reason of the review queue, else the first finding; and the other rules with findings.
fn why(standing: &Standing) -> (Option<String>, Vec<Rule>) {
    let reasons = reasons(standing);
    let (first, rule) = match (reasons.first(), standing.findings.first()) {
        (Some(reason), _) => (Some(reason.reason.clone()), reason.rule),
        (None, Some(finding)) => (Some(finding.reason.clone()), Some(finding.rule)),
        (None, None) => (None, None),
    };
    let mut also: Vec<Rule> = Vec::new();
    let in_order = reasons.iter().filter_map(|r| r.rule).chain(standing.findings.iter().map(|f| f.rule));
    for other in in_order.filter(|other| Some(*other) != rule) {
        if !also.contains(&other) {
            also.push(other);
        }
    }
    (first, also)
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;
    use uuid::Uuid;

    use super::super::chart_plan::plan;
    use super::super::episode::Episode;
    use super::super::measurement::{EvidenceStatus, Measurement, Quality, SelfHarm};
    use super::super::story::{PatientStatus, Story};
    use super::{CaseloadRow, History, Instrument, Item9, MeasureStatus, NextContactKind, Rule, RuleSet};
    use crate::id::{EpisodeId, MeasurementId, PatientId};

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn phq9(n: u128, on: &str, total: u16, item9: u8) -> Measurement {
        Measurement {
            id: MeasurementId(Uuid::from_u128(n)),
            instrument: Instrument::PHQ9,
            taken_at: date(on).and_hms_opt(10, 0, 0).unwrap().and_utc(),
            taken_on: date(on),
            answers: Vec::new(),
            total: Some(total),
            quality: Quality::Complete,
            item9: Some(item9),
            item9_unknown: false,
            self_harm: SelfHarm::default(),
            counting: EvidenceStatus::Submitted,
            source: format!("QuestionnaireResponse/{n}"),
            issues: Vec::new(),
            language: None,
        }
    }

    fn line(scores: Vec<Measurement>, today: &str) -> CaseloadRow {
        let mut story = Story::of(PatientStatus { id: PatientId(Uuid::nil()), inactive: false, deceased_on: None });
        story.measurements = scores;
        story.episodes.push(Episode {
            id: EpisodeId(Uuid::from_u128(1)),
            enrolled_on: Some(date("2026-01-05")),
            consent_on: None,
            primary_instrument: Instrument::PHQ9,
            target_instruments: vec![Instrument::PHQ9],
            care_manager: None,
            primary_care_provider: None,
            psychiatric_consultant: None,
        });
        let (rules, today) = (RuleSet::default(), date(today));
        let plan = plan(&story, &rules, today);
        let history = History::of(&story);
        CaseloadRow::of(&history, &rules, &history.courses(today)[0], &plan.standings[0])
    }

    #[test]
    fn a_line_draws_the_scores_from_the_baseline_on_with_their_targets() {
        let line = line(
            vec![
                phq9(1, "2025-12-30", 20, 2),
                phq9(2, "2026-01-05", 17, 1),
                phq9(3, "2026-01-19", 12, 0),
                phq9(4, "2026-02-02", 8, 0),
            ],
            "2026-02-03",
        );
        let gauge = &line.measures[0];
        assert_eq!(gauge.series, [(0, 17), (14, 12), (28, 8)], "what was before the baseline is left out");
        assert_eq!((gauge.response_at, gauge.remission_below), (Some(8), 5), "half of 17 is 8.5: 8 is a response");
        assert_eq!((gauge.status, gauge.percent), (MeasureStatus::Response, Some(-53)));
        assert_eq!(line.item9, Some(Item9 { answer: 0, on: date("2026-02-02"), before: true }));
    }

    #[test]
    fn who_never_answered_item_9_above_0_has_no_such_answer_before() {
        let never = line(vec![phq9(1, "2026-01-05", 17, 0), phq9(2, "2026-01-19", 12, 0)], "2026-02-03");
        assert_eq!(never.item9, Some(Item9 { answer: 0, on: date("2026-01-19"), before: false }));
    }

    #[test]
    fn the_first_contact_is_due_four_weeks_after_enrolment() {
        let line = line(Vec::new(), "2026-01-06");
        assert_eq!(line.next_contact, Some((date("2026-02-02"), NextContactKind::Due)));
        assert_eq!(line.measures[0].series, []);
        assert_eq!(line.why.as_deref(), Some("Enrolled on 2026-01-05 and not reviewed yet."));
    }

    #[test]
    fn the_most_pressing_reason_is_said_and_the_others_are_named_once() {
        let line = line(vec![phq9(1, "2026-01-05", 18, 2), phq9(2, "2026-02-16", 18, 2)], "2026-02-16");
        let why = line.why.unwrap_or_default();
        assert!(why.contains("item 9"), "safety first: {why}");
        assert!(line.also.contains(&Rule::InadequateResponse), "{:?}", line.also);
        let mut once = line.also.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), line.also.len());
    }

    #[test]
    fn what_is_due_is_named_in_the_order_of_its_days() {
        // Item 9 on the last day; no improvement by week 8, a month after the last contact was due.
        let line = line(vec![phq9(1, "2026-01-05", 18, 0), phq9(2, "2026-03-02", 18, 2)], "2026-03-02");
        let due: Vec<(&str, &str)> = line
            .due
            .iter()
            .map(|(code, on)| (code.as_str(), if *on == Some(date("2026-03-02")) { "today" } else { "" }))
            .collect();
        assert!(due.contains(&("safety-assessment", "today")), "{due:?}");
        assert!(due.iter().any(|(code, _)| *code == "psychiatric-case-review"), "{due:?}");
        assert!(line.due.is_sorted_by_key(|(_, on)| on.unwrap_or(NaiveDate::MAX)), "{due:?}");
        assert!(!due.iter().any(|(code, _)| code.starts_with("cocm-")), "a Flag is nothing to do: {due:?}");
    }

    #[test]
    fn a_line_reads_as_it_was_written() {
        let line = line(vec![phq9(1, "2026-01-05", 18, 2), phq9(2, "2026-02-16", 9, 0)], "2026-03-20");
        let json = serde_json::to_string(&line).unwrap();
        assert!(json.len() < 900, "{} bytes: {json}", json.len());
        assert_eq!(serde_json::from_str::<CaseloadRow>(&json).unwrap(), line);
    }
}
