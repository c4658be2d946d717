//! The programme's metrics by calendar month: numerator, denominator, and the episodes behind each.
//!
//! New York State OMH CoCM metrics 2025, HEDIS DRR-E, CMS159, and the fidelity of the programme itself.

use std::collections::BTreeSet;

use chrono::{Datelike, Days, Months, NaiveDate, Weekday};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::care::{Care, Payer};
use super::episode::{Course, Phase};
use super::instrument::Instrument;
use super::measurement::Quality;
use super::rules::RuleSet;
use super::story::Story;
use super::target::Track;

/// A calendar month in the clinic's time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Month {
    /// Its first day.
    pub first: NaiveDate,
    /// Its last day.
    pub last: NaiveDate,
}

impl std::str::FromStr for Month {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let fault = || "a month is written YYYY-MM".to_owned();
        if s.len() != 7 {
            return Err(fault());
        }
        let first: NaiveDate = format!("{s}-01").parse().map_err(|_| fault())?;
        let last = first.checked_add_months(Months::new(1)).ok_or_else(fault)? - Days::new(1);
        Ok(Self { first, last })
    }
}

impl std::fmt::Display for Month {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.first.format("%Y-%m"))
    }
}

impl Month {
    fn contains(self, date: NaiveDate) -> bool {
        date >= self.first && date <= self.last
    }
}

/// One metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Metric {
    /// Its number in the specification.
    pub number: u8,
    /// Stable name.
    pub name: String,
    /// Episodes (or patients, where the metric counts those) in the numerator; `null` for a mean.
    pub numerator: Option<usize>,
    /// In the denominator; `null` for a count.
    pub denominator: Option<usize>,
    /// A rate is a fraction (0.8 is 80 %), a count a number, a mean in weeks; `null` with an empty denominator.
    pub value: Option<f64>,
    /// The programme's target, in the same unit.
    pub target: Option<f64>,
    /// What has to be known to read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
    /// The ids behind the numerator.
    pub numerator_episodes: Vec<Uuid>,
    /// The ids behind the denominator.
    pub denominator_episodes: Vec<Uuid>,
}

impl Metric {
    fn named(number: u8, name: &str) -> Self {
        Self {
            number,
            name: name.to_owned(),
            numerator: None,
            denominator: None,
            value: None,
            target: None,
            remark: None,
            numerator_episodes: Vec::new(),
            denominator_episodes: Vec::new(),
        }
    }

    fn count(number: u8, name: &str, of: Vec<Uuid>) -> Self {
        Self {
            numerator: Some(of.len()),
            value: Some(figure(of.len())),
            numerator_episodes: of,
            ..Self::named(number, name)
        }
    }

    /// `among`: (id, whether it is in the numerator).
    fn rate(number: u8, name: &str, target: Option<f64>, among: &[(Uuid, bool)]) -> Self {
        let numerator: Vec<Uuid> = among.iter().filter(|(_, counts)| *counts).map(|(id, _)| *id).collect();
        let denominator: Vec<Uuid> = among.iter().map(|(id, _)| *id).collect();
        Self {
            numerator: Some(numerator.len()),
            denominator: Some(denominator.len()),
            value: (!denominator.is_empty()).then(|| figure(numerator.len()) / figure(denominator.len())),
            target,
            numerator_episodes: numerator,
            denominator_episodes: denominator,
            ..Self::named(number, name)
        }
    }

    fn remark(mut self, remark: &str) -> Self {
        self.remark = Some(remark.to_owned());
        self
    }
}

fn figure(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// One episode, as a month sees it.
struct Seen<'a> {
    story: &'a Story,
    course: Course<'a>,
    start: NaiveDate,
    /// The last day in treatment that the month knows.
    until: NaiveDate,
    track: Track<'a>,
}

/// Rules for quality exports: no look-back for a baseline.
fn export_rules(rules: &RuleSet) -> RuleSet {
    let mut rules = rules.clone();
    rules.baseline.look_back_days = 0;
    rules
}

/// A story without prorated scores: they drive worklists and are left out of quality exports.
fn exported(story: &Story) -> Story {
    let mut story = story.clone();
    story.measurements.retain(|m| m.quality != Quality::Prorated);
    story
}

/// The stories that quality exports are computed from.
pub fn for_export(stories: &[Story]) -> Vec<Story> {
    stories.iter().map(exported).collect()
}

fn seen<'a>(stories: &'a [Story], rules: &'a RuleSet, month: Month) -> Vec<Seen<'a>> {
    let mut all = Vec::new();
    for story in stories {
        let mut previous_end = None;
        for course in story.courses(month.last) {
            let Some(start) = course.start() else { continue };
            let end = course.end.map(|end| end.on);
            let track = Track::follow(story, rules, &course, previous_end, course.episode.primary_instrument);
            previous_end = end.max(previous_end);
            if end.is_none_or(|end| end >= month.first) {
                all.push(Seen { story, start, until: end.unwrap_or(month.last), course, track });
            }
        }
    }
    all
}

impl Seen<'_> {
    fn id(&self) -> Uuid {
        self.course.episode.id
    }

    fn days(&self) -> i64 {
        (self.until - self.start).num_days()
    }

    fn covered_by(&self, payer: Payer, month: Month) -> bool {
        self.story.standing_entries().iter().any(|e| match &e.care {
            Care::Coverage { payer: p, from, to } => {
                *p == payer && *from <= month.last && to.is_none_or(|to| to >= month.first)
            }
            _ => false,
        })
    }

    fn treated_in(&self, month: Month) -> bool {
        self.course.entries.iter().any(|e| e.care.is_clinical_contact() && month.contains(e.on))
    }

    fn measured_in(&self, month: Month) -> bool {
        let targets = &self.course.episode.target_instruments;
        self.story.measurements.iter().any(|m| {
            targets.contains(&m.instrument)
                && m.score().is_some()
                && month.contains(m.taken_on)
                && m.taken_on >= self.start
                && m.taken_on <= self.until
        })
    }

    fn reviewed_since(&self, from: NaiveDate) -> bool {
        self.course.reviews(true).any(|on| on >= from && on <= self.until)
    }

    fn in_remission_in(&self, month: Month) -> bool {
        self.track.latest().is_some_and(|s| month.contains(s.on) && self.track.is_remission(s.total))
    }
}

/// The eleven metrics of New York State OMH, 2025. With a payer, metrics 2–8 are narrowed to the episodes whose patient
/// it covered on any day of the month. `stories` come from [`for_export`].
pub fn nys(stories: &[Story], rules: &RuleSet, month: Month, payer: Option<Payer>, fte: Option<f64>) -> Vec<Metric> {
    let rules = export_rules(rules);
    let enrolled = seen(stories, &rules, month);
    let narrowed: Vec<&Seen<'_>> =
        enrolled.iter().filter(|s| payer.is_none_or(|payer| s.covered_by(payer, month))).collect();
    let ids = |of: Vec<&&Seen<'_>>| -> Vec<Uuid> { of.iter().map(|s| s.id()).collect() };

    let mut caseload = Metric::count(1, "enrolled", enrolled.iter().map(Seen::id).collect());
    caseload.target = fte.map(|fte| 75.0 * fte);
    if fte.is_none() {
        caseload = caseload.remark("the target is above 75 per care-manager FTE; no FTE is attested for this month");
    }
    let medicaid: Vec<Uuid> = match payer {
        Some(_) => narrowed.iter().map(|s| s.id()).collect(),
        None => enrolled.iter().filter(|s| s.covered_by(Payer::Medicaid, month)).map(Seen::id).collect(),
    };
    let new = ids(narrowed.iter().filter(|s| month.contains(s.start)).collect());
    let discharged: Vec<&&Seen<'_>> =
        narrowed.iter().filter(|s| s.course.end.is_some_and(|end| month.contains(end.on))).collect();
    let served: Vec<(Uuid, bool)> =
        narrowed.iter().map(|s| (s.id(), s.treated_in(month) && s.measured_in(month))).collect();
    let improved: Vec<(Uuid, bool)> = narrowed
        .iter()
        .filter(|s| s.days() >= 70 && s.track.elevated())
        .map(|s| (s.id(), s.track.improved_now()))
        .collect();
    let remission: Vec<(Uuid, bool)> = narrowed.iter().map(|s| (s.id(), s.in_remission_in(month))).collect();
    let reviewed: Vec<(Uuid, bool)> = narrowed
        .iter()
        .filter(|s| s.days() >= 70 && s.track.elevated() && !s.track.improved_now())
        .map(|s| (s.id(), s.reviewed_since(s.until - Days::new(60))))
        .collect();
    let mut metrics = vec![
        caseload,
        Metric::count(2, if payer.is_some() { "enrolled_with_payer" } else { "medicaid_enrolled" }, medicaid),
        Metric::count(3, "newly_enrolled", new),
        weeks_in_treatment(&discharged),
        Metric::rate(5, "contact_and_scale", Some(0.80), &served),
        Metric::rate(6, "improved_after_70_days", Some(0.60), &improved),
        Metric::rate(7, "remission", None, &remission),
        Metric::rate(8, "not_improved_reviewed", Some(0.80), &reviewed),
    ];
    metrics.extend(screening(stories, month));
    let mut attested = Metric::named(11, "care_manager_fte");
    attested.value = fte;
    metrics.push(attested);
    metrics
}

/// Metric 4: mean weeks from the initial assessment to discharge, one decimal.
fn weeks_in_treatment(discharged: &[&&Seen<'_>]) -> Metric {
    let mut metric = Metric::named(4, "weeks_in_treatment");
    metric.denominator = Some(discharged.len());
    metric.denominator_episodes = discharged.iter().map(|s| s.id()).collect();
    if !discharged.is_empty() {
        let days: i64 = discharged.iter().map(|s| s.days()).sum();
        let weeks = f64::from(i32::try_from(days).unwrap_or(i32::MAX)) / 7.0 / figure(discharged.len());
        metric.value = Some((weeks * 10.0).round() / 10.0);
    }
    metric
}

/// Metrics 9 and 10, by patient. "Seen" is what the registry can know: a contact that took place, or a form, this month.
fn screening(stories: &[Story], month: Month) -> [Metric; 2] {
    let phq = |i: Instrument| matches!(i, Instrument::Phq9 | Instrument::Phq2 | Instrument::Phq9Modified);
    let year_ago = month.last.checked_sub_months(Months::new(12)).unwrap_or(month.first);
    let mut screened = Vec::new();
    let mut positive = Vec::new();
    for story in stories {
        let scored: Vec<_> = story.measurements.iter().filter(|m| m.score().is_some()).collect();
        let met = story.standing_entries().iter().any(|e| e.care.is_clinical_contact() && month.contains(e.on));
        if met || scored.iter().any(|m| month.contains(m.taken_on)) {
            let done = scored.iter().any(|m| phq(m.instrument) && m.taken_on > year_ago && m.taken_on <= month.last);
            screened.push((story.patient.id, done));
        }
        let nine = |i: Instrument| matches!(i, Instrument::Phq9 | Instrument::Phq9Modified);
        let initial = scored.iter().filter(|m| nine(m.instrument)).min_by_key(|m| (m.taken_at, m.id));
        if let Some(initial) = initial.filter(|m| month.contains(m.taken_on)) {
            positive.push((story.patient.id, initial.score().is_some_and(|total| total >= 10)));
        }
    }
    [
        Metric::rate(9, "phq_screened", Some(0.85), &screened).remark(
            "by patient; seen means a contact that took place or a form in the month, as the registry knows it",
        ),
        Metric::rate(10, "initial_phq9_elevated", None, &positive).remark("by patient"),
    ]
}

/// HEDIS DRR-E: of the index PHQ-9s above 9, those with a follow-up, in remission and with a response 120–240 days
/// later. The index lies between 1 May of the year before and 30 April of the measurement year.
pub fn hedis_drr(stories: &[Story], year: i32) -> Vec<Metric> {
    let (Some(from), Some(to)) = (NaiveDate::from_ymd_opt(year - 1, 5, 1), NaiveDate::from_ymd_opt(year, 4, 30)) else {
        return Vec::new();
    };
    let mut rows: [Vec<(Uuid, bool)>; 3] = Default::default();
    for (story, index) in indexes(stories, from, to) {
        let window = scores_between(story, index.0 + Days::new(120), index.0 + Days::new(240));
        let last = window.last().map(|(_, total)| *total);
        let id = story.patient.id;
        rows[0].push((id, last.is_some()));
        rows[1].push((id, last.is_some_and(|l| l < 5)));
        rows[2].push((id, last.is_some_and(|l| 2 * u32::from(l) <= u32::from(index.1))));
    }
    [("follow_up", 0), ("remission", 1), ("response", 2)]
        .map(|(name, i)| Metric::rate(u8::try_from(i + 1).unwrap_or(0), name, None, &rows[i]).remark("by patient"))
        .to_vec()
}

/// CMS159: of the index PHQ-9s above 9, those in remission (below 5) 12 months later, give or take 60 days. The index
/// lies between 1 November two years before and 31 October of the year before the measurement year.
pub fn cms159(stories: &[Story], year: i32) -> Vec<Metric> {
    let (Some(from), Some(to)) = (NaiveDate::from_ymd_opt(year - 2, 11, 1), NaiveDate::from_ymd_opt(year - 1, 10, 31))
    else {
        return Vec::new();
    };
    let rows: Vec<(Uuid, bool)> = indexes(stories, from, to)
        .into_iter()
        .map(|(story, index)| {
            let later = index.0.checked_add_months(Months::new(12)).unwrap_or(index.0);
            let window = scores_between(story, later - Days::new(60), later + Days::new(60));
            (story.patient.id, window.last().is_some_and(|(_, total)| *total < 5))
        })
        .collect();
    vec![Metric::rate(1, "remission_at_12_months", None, &rows).remark("by patient")]
}

/// Each patient's first PHQ-9 above 9 in a span.
fn indexes(stories: &[Story], from: NaiveDate, to: NaiveDate) -> Vec<(&Story, (NaiveDate, u16))> {
    stories
        .iter()
        .filter_map(|story| {
            scores_between(story, from, to).into_iter().find(|(_, total)| *total > 9).map(|index| (story, index))
        })
        .collect()
}

fn scores_between(story: &Story, from: NaiveDate, to: NaiveDate) -> Vec<(NaiveDate, u16)> {
    story.scores(Instrument::Phq9, to).iter().filter(|s| s.on >= from).map(|s| (s.on, s.total)).collect()
}

/// Whether the programme is run as meant: contacts, measures, reviews, treatment changes, weekly meetings.
pub fn fidelity(stories: &[Story], rules: &RuleSet, month: Month) -> Vec<Metric> {
    let enrolled = seen(stories, rules, month);
    let in_care: Vec<&Seen<'_>> =
        enrolled.iter().filter(|s| s.course.phase != Phase::OnHold && s.start < month.last).collect();
    let rows =
        |test: &dyn Fn(&Seen<'_>) -> bool| -> Vec<(Uuid, bool)> { in_care.iter().map(|s| (s.id(), test(s))).collect() };
    let not_improved: Vec<&&Seen<'_>> =
        in_care.iter().filter(|s| s.days() >= 70 && s.track.elevated() && !s.track.improved_now()).collect();
    let changed: Vec<(Uuid, bool)> = not_improved
        .iter()
        .map(|s| {
            let since = s.until - Days::new(60);
            let changed = s.course.treatment_changes().any(|on| on >= since && on <= s.until);
            (s.id(), changed)
        })
        .collect();
    let on_schedule = |s: &Seen<'_>| {
        let days = rules.cadence.measure_active_days;
        let last =
            s.story.scores(s.course.episode.primary_instrument, s.until).last().map_or(s.start, |score| score.on);
        (s.until - last.max(s.start)).num_days() <= i64::from(days)
    };
    let weeks: BTreeSet<NaiveDate> = weeks_of(month);
    let held: BTreeSet<NaiveDate> = enrolled
        .iter()
        .flat_map(|s| s.course.reviews(false).filter(|on| month.contains(*on)).map(monday).collect::<Vec<_>>())
        .collect();
    let weekly: Vec<(Uuid, bool)> = weeks.iter().map(|week| (Uuid::nil(), held.contains(week))).collect();
    let mut meetings = Metric::rate(6, "weeks_with_a_case_review", Some(1.0), &weekly).remark("by week");
    meetings.numerator_episodes.clear();
    meetings.denominator_episodes.clear();
    vec![
        Metric::count(1, "caseload", in_care.iter().map(|s| s.id()).collect()),
        Metric::rate(2, "treatment_contact_in_month", Some(0.80), &rows(&|s| s.treated_in(month))),
        Metric::rate(3, "scale_in_month", Some(0.80), &rows(&|s| s.measured_in(month))),
        Metric::rate(4, "measured_on_schedule", Some(0.80), &rows(&on_schedule)),
        Metric::rate(5, "not_improved_treatment_changed", None, &changed),
        meetings,
    ]
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
